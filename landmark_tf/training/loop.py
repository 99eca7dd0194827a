"""The training loop: explicit, so that it is the same on every strategy.

A call of the compiled function runs N steps on every replica; between calls the
host drives `keras.callbacks`. Keras' own `fit` does this too, but not on
several hosts, and not with N steps a call under a strategy.
"""

import math
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from landmark_tf.training import losses


class DivergedError(ArithmeticError):
    """The loss or a weight is not finite any more."""


class Trainer:
    """A model, its optimizer and the compiled training step.

    Args:
        model: uint8 images -> logits, made in the strategy's scope.
        optimizer: made in the strategy's scope.
        strategy: the devices.
        batch_size: examples of one step over all replicas.
        loss: (labels [N], logits [N, C]) -> what each example costs, float [N].
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = (
            losses.cross_entropy
        ),
    ):
        self.model = model
        model.optimizer = None  # keras.callbacks.TensorBoard looks for one
        self.optimizer = optimizer
        self.strategy = strategy
        self.batch_size = batch_size
        self._loss_of_each = loss
        with strategy.scope():
            optimizer.build(model.trainable_variables)
            self.loss = keras.metrics.Mean("loss")
            self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
            for metric in (self.loss, self.accuracy):
                metric.reset_state()  # builds its variables in the scope
        self._steps = tf.function(self._run_steps)

    def run(self, batches: Iterator[dict], steps: int) -> None:
        """Updates the weights `steps` times from a distributed iterator."""
        self._steps(batches, tf.constant(steps))

    def reset_metrics(self) -> None:
        """Starts the averages of the next epoch."""
        self.loss.reset_state()
        self.accuracy.reset_state()

    def metrics(self) -> dict[str, float]:
        """Mean loss and accuracy since the last reset."""
        return {
            "loss": float(self.loss.result()),
            "accuracy": float(self.accuracy.result()),
        }

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        sums = [tf.reduce_sum(tf.abs(w)) for w in self.model.weights]
        return bool(tf.math.is_finite(tf.add_n(sums)))

    def learning_rate(self) -> float:
        """The step size of the next update."""
        rate = self.optimizer.learning_rate
        return float(keras.ops.convert_to_numpy(rate))

    def _run_steps(self, batches: Iterator[dict], steps: tf.Tensor) -> None:
        for _ in tf.range(steps):
            self.strategy.run(self._replica_step, args=(next(batches),))

    def _replica_step(self, batch: dict) -> None:
        image, label = batch["image"], batch["label"]
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.model(image, training=True)
            each = self._loss_of_each(label, logits)
            # Divided by the global batch: the optimizer sums over replicas.
            loss = tf.reduce_sum(each) / self.batch_size
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply(gradients, variables)
        shows = tf.cast(label >= 0, tf.float32)
        self.loss.update_state(each, sample_weight=shows)
        self.accuracy.update_state(label, logits, sample_weight=shows)


def fit(
    trainer: Trainer,
    batches: Iterator[dict],
    *,
    steps_per_epoch: int,
    epochs: int,
    first_step: int = 0,
    steps_per_call: int = 1,
    validate: Callable[[], dict[str, float]] | None = None,
    callbacks: keras.callbacks.CallbackList,
) -> None:
    """Trains from a step to the end of the last epoch.

    Args:
        trainer: what to train.
        batches: the distributed batches from `first_step` on.
        steps_per_epoch: at least 1.
        epochs: the epoch to stop before.
        first_step: the global step to go on from.
        steps_per_call: steps between two looks of the host at the metrics.
        validate: called after each epoch; its figures become `val_...` logs.
        callbacks: told of everything, as by `keras.Model.fit`.

    Raises:
        DivergedError: the loss or a weight is not finite any more.
    """
    callbacks.on_train_begin()
    for epoch in range(first_step // steps_per_epoch, epochs):
        callbacks.on_epoch_begin(epoch)
        start = max(0, first_step - epoch * steps_per_epoch)
        logs = _train_epoch(
            trainer,
            batches,
            range(start, steps_per_epoch),
            steps_per_call,
            callbacks,
            epoch * steps_per_epoch,
        )
        if not trainer.is_finite():  # the loss is of before the last update
            last = (epoch + 1) * steps_per_epoch
            raise DivergedError(f"a weight is not finite after step {last}")
        logs["learning_rate"] = trainer.learning_rate()
        if validate is not None:
            logs |= {f"val_{key}": x for key, x in validate().items()}
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()


def _train_epoch(
    trainer: Trainer,
    batches: Iterator[dict],
    steps: range,
    steps_per_call: int,
    callbacks: keras.callbacks.CallbackList,
    steps_before: int,
) -> dict[str, float]:
    trainer.reset_metrics()
    begun = time.perf_counter()
    logs = {}
    for step in steps[::steps_per_call]:
        count = min(steps_per_call, steps.stop - step)
        callbacks.on_train_batch_begin(step)
        trainer.run(batches, count)
        logs = trainer.metrics()
        if not math.isfinite(logs["loss"]):
            last = steps_before + step + count
            raise DivergedError(
                f"the loss became {logs['loss']} at or before step {last}"
            )
        images = (step + count - steps.start) * trainer.batch_size
        logs["images_per_second"] = images / (time.perf_counter() - begun)
        callbacks.on_train_batch_end(step + count - 1, logs)
    return logs
