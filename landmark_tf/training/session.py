"""A training put together: network, loss, data and devices, stage by stage."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import tfrecords
from landmark_tf.models import costs, registry, weights
from landmark_tf.training import (
    averaging,
    batch_norm,
    checkpoints,
    evaluation,
    hosts,
    imbalance,
    inputs,
    loop,
    losses,
    optimizers,
    schedules,
    stages,
    step,
    watching,
)
from landmark_tf.training.settings import Config

_POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclasses.dataclass(frozen=True)
class _Part:
    """A stage with its place in the training."""

    index: int
    stage: stages.Stage
    end_epoch: int
    trainer: step.Trainer
    saver: checkpoints.Checkpoints


class Session:
    """What a training consists of.

    Args:
        settings: of the training; `run` is a run directory.
        dataset: what it trains on.
        devices: what computes.
        stop: asked after every call of the step: is the training to be saved
            and ended?
        make_model: called in the strategy's scope, returns images -> logits;
            None: the network that the settings name.

    Raises:
        InputError: settings that this dataset, network or these devices cannot
            do.
    """

    def __init__(
        self,
        settings: Config,
        dataset: tfrecords.Dataset,
        devices: tf.distribute.Strategy,
        stop: Callable[[], bool] = lambda: False,
        make_model: Callable[[], keras.Model] | None = None,
    ):
        self.settings, self.dataset, self.devices = settings, dataset, devices
        self.run = pathlib.Path(settings.run)
        self.stages = stages.parse(
            settings.stages, settings.epochs, settings.learning_rate
        )
        self.epochs = sum(stage.epochs for stage in self.stages)
        make_model = make_model or functools.partial(
            registry.create_model,
            settings.model,
            dataset.num_classes,
            settings.image_size or None,
        )
        self.model = _make_model(settings.precision, devices, make_model)
        self.parameters = costs.parameters(self.model)
        if settings.jit and devices.num_replicas_in_sync > 1:
            raise InputError(
                "--jit is for one device: leave it out, or take "
                "--strategy=one. "
                f"Received: {devices.num_replicas_in_sync} devices"
            )
        self._inputs = inputs.Inputs(settings, dataset, devices, self.model)
        self.steps_per_epoch = self._inputs.steps_per_epoch
        for stage in self.stages:  # what is wrong, now and not in its turn
            stages.trainable_layers(self.model, stage.layers)
            self._rate(stage)
        self._loss = _make_loss(settings, self._inputs)
        self._stop = stop
        self._part: _Part | None = None

    @property
    def in_stages(self) -> bool:
        """Whether `--stages` says how long and how fast, not `--epochs`."""
        return self.settings.stages not in ((), (stages.NONE,))

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    def load_weights(self) -> None:
        """Starts from `--weights`, unless there is a state to go on from.

        Raises:
            InputError: they do not fit.
        """
        source = self.settings.weights
        if source and not checkpoints.steps_saved(self.run):
            with self.devices.scope():
                weights.load(self.model, source)

    def restore(self) -> int:
        """Loads the newest state that can be read; returns its step, or 0.

        Raises:
            InputError: there are states, and none can be read, or another host
                has found another one.
        """

        def saver_of(done: int) -> checkpoints.Checkpoints:
            self._part = self._make_part(self._index_of(done))
            return self._part.saver

        saver = checkpoints.restore_newest(self.run, saver_of)
        done = saver.step if saver else 0
        hosts.check_same_step(self.devices, done)
        return done

    def fit(self) -> None:
        """Trains from the restored state to the end.

        Raises:
            DivergedError: the loss or a weight is not finite any more.
            Preempted: the training was asked to stop; its state is saved.
        """
        part = self._part or self._make_part(0)
        while True:
            if part.saver.step < part.end_epoch * self.steps_per_epoch:
                self._fit_part(part)
            if part.index + 1 == len(self.stages):
                return
            before, part = part, self._make_part(part.index + 1)
            part.saver.carry_over(before.saver)

    def _index_of(self, done: int) -> int:
        """The stage that a number of steps, from 1 on, ends in."""
        end = 0
        for index, stage in enumerate(self.stages):
            end += stage.epochs * self.steps_per_epoch
            if done <= end:
                return index
        return len(self.stages) - 1

    def _make_part(self, index: int) -> _Part:
        settings, stage = self.settings, self.stages[index]
        with self.devices.scope():
            stages.freeze_all_but(self.model, stage.layers)
            learner = self.model
            if stages.trains_classifier_alone(self.model, stage):
                learner = stages.split(self.model)[1]
            trainer = self._make_trainer(stage, learner)
        saver = checkpoints.Checkpoints(
            self.run,
            self.model,
            trainer,
            self.steps_per_epoch,
            every=settings.checkpoint_every,
            keep=settings.keep,
            stop=self._stop,
        )
        end_epoch = sum(x.epochs for x in self.stages[: index + 1])
        return _Part(index, stage, end_epoch, trainer, saver)

    def _rate(self, stage: stages.Stage) -> schedules.Schedule:
        return schedules.Schedule(
            stage.learning_rate,
            self.settings.schedule,
            self.steps_per_epoch,
            stage.epochs,
        )

    def _make_trainer(
        self, stage: stages.Stage, learner: keras.Model
    ) -> step.Trainer:
        settings = self.settings
        optimizer = optimizers.create(
            settings.optimizer,
            self._rate(stage),
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        average = None
        if settings.ema:
            average = averaging.WeightAverage(learner, settings.ema)
        return step.Trainer(
            learner,
            optimizer,
            self.devices,
            settings.batch_size,
            self._loss,
            accumulate=settings.accumulate,
            clip_norm=settings.clip_norm,
            average=average,
            float16=settings.precision == "float16",
            jit=settings.jit,
            timed=step.clocks_are_allowed(),
        )

    def _fit_part(self, part: _Part) -> None:
        """Trains one stage from its saver's step on."""
        chief, learner = hosts.is_chief(self.devices), part.trainer.model
        if len(self.stages) > 1 and chief:
            print(
                f"stage {part.index + 1} of {len(self.stages)}: "
                f"{'+'.join(part.stage.layers)}, {part.stage.epochs} epochs, "
                f"learning rate {part.stage.learning_rate}"
            )
        if learner is not self.model:
            self._inputs.make_vectors()
        with self._inputs.reading(learner):
            self._fit_learner(part)

    def _fit_learner(self, part: _Part) -> None:
        chief, learner = hosts.is_chief(self.devices), part.trainer.model
        evaluator = self._inputs.evaluator(learner)
        shown = []
        if chief:
            shown = watching.callbacks(
                self.run,
                self.settings,
                self.steps_per_epoch,
                part.saver.step,
                self._inputs.sample(learner),
                evaluator,
            )
        callbacks = keras.callbacks.CallbackList(
            [*shown, part.saver],
            model=learner,
            epochs=self.epochs,
            steps=self.steps_per_epoch,
            verbose=watching.verbosity(),
        )
        first_step = part.saver.step
        callbacks.on_train_begin()
        try:
            loop.fit(
                part.trainer,
                self._inputs.batches(learner, first_step, part.end_epoch),
                steps_per_epoch=self.steps_per_epoch,
                epochs=part.end_epoch,
                first_step=first_step,
                steps_per_call=self.settings.steps_per_call,
                validate=evaluator and _figures_of_an_epoch(evaluator),
                callbacks=callbacks,
            )
        finally:
            callbacks.on_train_end()


def _make_model(
    precision: str,
    devices: tf.distribute.Strategy,
    make: Callable[[], keras.Model],
) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES.get(precision, precision))
    try:
        with devices.scope():
            model = make()
            batch_norm.prepare(model, devices.num_replicas_in_sync)
    finally:
        keras.config.set_dtype_policy(before)
    return model


def _make_loss(settings: Config, data: inputs.Inputs) -> Callable:
    loss = functools.partial(
        losses.focal,
        gamma=settings.focal_gamma,
        label_smoothing=settings.label_smoothing,
    )
    if settings.class_weights == "none":
        return loss
    return imbalance.weighted(
        loss,
        imbalance.class_weights(
            data.class_images, settings.class_weights, settings.effective_beta
        ),
    )


def _figures_of_an_epoch(
    evaluator: evaluation.Evaluator,
) -> Callable[[], dict[str, float]]:
    def figures() -> dict[str, float]:
        return {k: x for k, x in evaluator().items() if "examples" not in k}

    return figures
