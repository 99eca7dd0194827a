"""Trains a network on a dataset that `prepare` made.

    python -m landmark_tf.train --flagfile=configs/quickstart.flags
    python -m landmark_tf.train --data=tfrecords/photos --run=runs/photos

Writes the run directory: the best model by validation GAP (model.keras), the
newest states (checkpoints/), history.csv, TensorBoard's logs/, flags.txt. The
same command on a killed training goes on where it was.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.data import tfrecords
    from landmark_tf.training import checkpoints, loop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a training."""

    data: str = config.field(help="dataset folder, made by prepare")
    run: str = config.field(help="run directory to make or to go on with")
    model: str = config.field(
        "resnet50", help="network; python -m landmark_tf.models lists them"
    )
    weights: str = config.field(
        "",
        help="what to start from: imagenet, a run directory, or a file of "
        "landmark_tf, torchvision, timm, Cadene or keras.applications",
    )
    image_size: int = config.field(
        0, help="side of the square input in pixels; 0: the network's default"
    )
    batch_size: int = config.field(
        256, help="pictures of one step over all devices"
    )
    epochs: int = config.field(20, help="passes over the training pictures")
    learning_rate: float = config.field(0.01, help="step size of SGD, above 0")
    momentum: float = config.field(0.9, help="momentum of SGD, in [0, 1)")
    weight_decay: float = config.field(
        1e-4, help="L2 decay of kernels; batch norm and biases have none"
    )
    focal_gamma: float = config.field(
        0.0,
        help="focus of the focal loss on hard pictures; 0: cross-entropy; the "
        "report tried 0.5 and 2",
    )
    label_smoothing: float = config.field(
        0.0, help="share of the target spread over all classes, in [0, 1)"
    )
    augment: str = config.field(
        "report",
        choices=("report", "flip", "none"),
        help="random changes of training pictures; report: flip, then crop, "
        "colour jitter or affine",
    )
    train_split: str = config.field(
        "train", help="what to train on, as TFDS writes it: train[:10%]"
    )
    validation_split: str = config.field(
        "validation",
        help="what to choose the best model by; none: the newest is the best",
    )
    strategy: str = config.field(
        "auto",
        choices=("auto", "one", "mirrored"),
        help="devices; auto: all GPUs when there are several, else one device",
    )
    steps_per_call: int = config.field(
        1, help="steps between two looks at the loss; more is faster on a GPU"
    )
    seed: int = config.field(0, help="of weights, order and augmentation")


# What may change when a run goes on.
_FREE = {"run", "data", "epochs", "strategy", "steps_per_call"}


def run(settings: Config) -> dict[str, float]:
    """Trains, and measures the best model on the validation split.

    Returns:
        The figures of `evaluate`; empty without a validation split.

    Raises:
        InputError: settings or data that cannot be used.
    """
    _check(settings)
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    import keras

    from landmark_tf.data import pipeline, tfrecords
    from landmark_tf.models import weights
    from landmark_tf.training import checkpoints, loop, run_directory

    dataset = tfrecords.open_dataset(settings.data)
    # The run must find what it needs from any other folder.
    settings = dataclasses.replace(settings, data=str(dataset.path.resolve()))
    if settings.weights not in ("", "imagenet"):
        source = str(pathlib.Path(settings.weights).expanduser().resolve())
        settings = dataclasses.replace(settings, weights=source)
    keras.utils.set_random_seed(settings.seed)
    trainer = _make_trainer(settings, dataset.num_classes)
    steps_per_epoch = pipeline.steps_per_epoch(
        dataset, settings.train_split, settings.batch_size
    )
    validate = _validator(settings, trainer, dataset)
    path = pathlib.Path(settings.run)
    saver = checkpoints.Checkpoints(path, trainer, steps_per_epoch)
    if settings.weights and not saver.newest():
        weights.load(trainer.model, settings.weights)
    run_directory.create(path, settings, dataset, _FREE)
    first_step = saver.restore()
    _announce(settings, trainer, steps_per_epoch, first_step)
    if first_step < settings.epochs * steps_per_epoch:
        try:
            with tfrecords.reading(dataset):
                _fit(settings, trainer, dataset, saver, first_step, validate)
        except loop.DivergedError as error:
            raise InputError(
                f"{error}; the last good state is {saver.newest() or 'none'}. "
                "Train with "
                "a lower --learning_rate into another --run. "
                f"Received: --learning_rate={settings.learning_rate}"
            ) from error
    return _finish(settings)


def _fit(
    settings: Config,
    trainer: "loop.Trainer",
    dataset: "tfrecords.Dataset",
    saver: "checkpoints.Checkpoints",
    first_step: int,
    validate: Callable[[], dict] | None,
) -> None:
    """Trains from a step on, with everything that watches."""
    import keras

    from landmark_tf.data import pipeline
    from landmark_tf.training import loop, strategy, watching

    make = functools.partial(
        pipeline.train_batches,
        dataset,
        split=settings.train_split,
        image_size=trainer.model.input_shape[1],
        seed=settings.seed,
        augment=settings.augment,
        first_step=first_step,
        epochs=settings.epochs,
    )
    sample = next(iter(make(batch_size=min(16, settings.batch_size))))
    shown = watching.callbacks(
        saver.run, sample["image"].numpy(), first_step // saver.steps_per_epoch
    )
    batches = strategy.distribute(trainer.strategy, settings.batch_size, make)
    loop.fit(
        trainer,
        iter(batches),
        steps_per_epoch=saver.steps_per_epoch,
        epochs=settings.epochs,
        first_step=first_step,
        steps_per_call=settings.steps_per_call,
        validate=validate,
        callbacks=keras.callbacks.CallbackList(
            [*shown, saver],
            model=trainer.model,
            epochs=settings.epochs,
            steps=saver.steps_per_epoch,
            verbose=watching.verbosity(),
        ),
    )


def _check(settings: Config) -> None:
    """Refuses nonsense before TensorFlow is imported."""
    for name, good, what in (
        ("batch_size", settings.batch_size >= 1, "at least 1"),
        ("epochs", settings.epochs >= 1, "at least 1"),
        ("image_size", settings.image_size >= 0, "a size in pixels, or 0"),
        ("steps_per_call", settings.steps_per_call >= 1, "at least 1"),
        ("learning_rate", 0 < settings.learning_rate < math.inf, "above 0"),
        ("momentum", 0 <= settings.momentum < 1, "at least 0 and below 1"),
        ("weight_decay", 0 <= settings.weight_decay < math.inf, "at least 0"),
        ("focal_gamma", 0 <= settings.focal_gamma < math.inf, "at least 0"),
        (
            "label_smoothing",
            0 <= settings.label_smoothing < 1,
            "at least 0 and below 1",
        ),
        ("seed", 0 <= settings.seed < 2**32, "at least 0 and below 2^32"),
    ):
        if not good:
            value = getattr(settings, name)
            raise InputError(f"--{name} must be {what}. Received: {value}")


def _make_trainer(settings: Config, num_classes: int) -> "loop.Trainer":
    from landmark_tf.models import registry
    from landmark_tf.training import (
        batch_norm,
        loop,
        losses,
        optimizers,
        strategy,
    )

    devices = strategy.create(settings.strategy)
    with devices.scope():
        model = registry.create_model(
            settings.model, num_classes, settings.image_size or None
        )
        batch_norm.prepare(model, devices.num_replicas_in_sync)
        optimizer = optimizers.SGD(
            settings.learning_rate,
            momentum=settings.momentum,
            l2=settings.weight_decay,
        )
    loss = functools.partial(
        losses.focal,
        gamma=settings.focal_gamma,
        label_smoothing=settings.label_smoothing,
    )
    return loop.Trainer(model, optimizer, devices, settings.batch_size, loss)


def _validator(
    settings: Config, trainer: "loop.Trainer", dataset: "tfrecords.Dataset"
) -> Callable[[], dict] | None:
    from landmark_tf.training import evaluation

    if not settings.validation_split:
        return None
    measure = evaluation.Evaluator(
        dataset,
        settings.validation_split,
        trainer.model,
        trainer.strategy,
        settings.batch_size,
    )

    def figures_of_an_epoch() -> dict[str, float]:
        figures = measure()
        return {k: x for k, x in figures.items() if "examples" not in k}

    return figures_of_an_epoch


def _announce(
    settings: Config,
    trainer: "loop.Trainer",
    steps_per_epoch: int,
    first_step: int,
) -> None:
    total = settings.epochs * steps_per_epoch
    print(
        f"{settings.model}, {trainer.model.count_params():,} parameters, "
        f"{trainer.model.input_shape[1]} px, "
        f"{trainer.strategy.num_replicas_in_sync} device(s), batch "
        f"{settings.batch_size}, {settings.epochs} epochs of "
        f"{steps_per_epoch} steps, logs in {settings.run}/logs"
    )
    if first_step >= total:
        print(f"all {total} steps are done; more --epochs would go on")
    elif first_step:
        print(f"goes on after step {first_step} of {total}")


def _finish(settings: Config) -> dict[str, float]:
    """Measures the model that was kept, and says what to do next."""
    from landmark_tf import evaluate

    figures = {}
    if settings.validation_split:
        figures = evaluate.run(
            evaluate.Config(
                run=settings.run,
                data=settings.data,
                split=settings.validation_split,
                batch_size=settings.batch_size,
                strategy=settings.strategy,
            )
        )
    name = pathlib.Path(settings.run).name
    print(
        f"next: python -m landmark_tf.export --run={settings.run} "
        f"--out=exported/{name}\n  or: python -m landmark_tf.predict "
        f"--run={settings.run} --csv=TEST.csv --image_root=PHOTOGRAPHS "
        "--out=submission.csv"
    )
    return figures


if __name__ == "__main__":
    command.main(run, Config)
