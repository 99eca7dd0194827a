"""The training loop: explicit, so that it is the same on every strategy.

A call of the compiled function runs N steps on every replica; between calls the
host drives `keras.callbacks`. Keras' own `fit` does this too, but not on
several hosts, and not with N steps a call under a strategy.
"""

import math
import time
from collections.abc import Callable, Iterator

import keras

from landmark_tf.training.step import Trainer


class DivergedError(ArithmeticError):
    """The loss or a weight is not finite any more."""


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
    """Trains from a step to the end of an epoch.

    Args:
        trainer: what to train; in the midst of an epoch its metrics go on.
        batches: the distributed batches from `first_step` on.
        steps_per_epoch: at least 1.
        epochs: the epoch to stop before.
        first_step: the global step to go on from.
        steps_per_call: steps between two looks of the host at the metrics.
        validate: called after each epoch; its figures become `val_...` logs.
        callbacks: told of everything, as by `keras.Model.fit`, but for the
            beginning and the end of the training, which may have further parts.

    Raises:
        DivergedError: the loss or a weight is not finite any more.
    """
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
        if validate is not None:
            try:
                with trainer.best_weights():
                    figures = validate()
            except FloatingPointError as error:
                last = (epoch + 1) * steps_per_epoch
                raise DivergedError(f"{error} after step {last}") from error
            logs |= {f"val_{key}": x for key, x in figures.items()}
        callbacks.on_epoch_end(epoch, logs)


def _train_epoch(
    trainer: Trainer,
    batches: Iterator[dict],
    steps: range,
    steps_per_call: int,
    callbacks: keras.callbacks.CallbackList,
    steps_before: int,
) -> dict[str, float]:
    """Returns the logs of the epoch.

    `loss` and `accuracy` are means since its beginning; `images_per_second` (of
    all hosts) and `data_wait` (the share of the time without data) since this
    process began with it.
    """
    if not steps.start:
        trainer.reset_metrics()
    begun, waited = time.perf_counter(), 0.0
    logs = trainer.metrics()
    for step in steps[::steps_per_call]:
        count = min(steps_per_call, steps.stop - step)
        callbacks.on_train_batch_begin(step)
        waited += float(trainer.run(batches, count))
        logs = trainer.metrics()
        if not math.isfinite(logs["loss"]):
            last = steps_before + step + count
            raise DivergedError(
                f"the loss became {logs['loss']} at or before step {last}"
            )
        seconds = time.perf_counter() - begun
        images = (step + count - steps.start) * trainer.batch_size
        logs["images_per_second"] = images / seconds
        logs["data_wait"] = waited / seconds if trainer.timed else math.nan
        logs["learning_rate"] = trainer.learning_rate()
        callbacks.on_train_batch_end(step + count - 1, logs)
    return logs
