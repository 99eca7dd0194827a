"""What TensorBoard shows of a training."""

import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from landmark_tf.training import evaluation


class _Writer(keras.callbacks.Callback):
    """Something that writes into a folder of logs while a training lasts."""

    def __init__(self, logs: pathlib.Path):
        super().__init__()
        self._logs = logs

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self._logs))

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writer.close()

    def _write(self, of: str, figures: dict[str, float], step: int) -> None:
        with self._writer.as_default():
            for name, value in figures.items():
                tf.summary.scalar(f"{of}_{name}", value, step)


class Beginning(_Writer):
    """The settings as hparams, and one augmented batch as the model gets it.

    Args:
        logs: the folder of all logs of the run.
        settings: names and values.
        pictures: uint8 [N, S, S, 3]; None: none to show.
    """

    def __init__(
        self,
        logs: pathlib.Path,
        settings: dict[str, Any],
        pictures: np.ndarray | None,
    ):
        super().__init__(logs)
        self._settings, self._pictures = settings, pictures

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin()
        with self._writer.as_default():
            hparams.hparams(self._settings)
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in self._settings],
                metrics=[hparams.Metric("epoch_gap", group="validation")],
            )
            if self._pictures is not None:
                tf.summary.image("augmented", self._pictures, 0, 16)
        self._writer.flush()


class Training(_Writer):
    """The figures of each epoch, and of the steps since the last point.

    Args:
        logs: the folder of the training's logs.
        steps_per_epoch: to turn epochs into steps.
        every: steps between two points; 0: none within an epoch.
    """

    def __init__(self, logs: pathlib.Path, steps_per_epoch: int, every: int):
        super().__init__(logs)
        self._steps_per_epoch, self._every = steps_per_epoch, every

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = epoch * self._steps_per_epoch
        self._shown, self._sums = None, {}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        done = batch + 1
        if not self._every:
            return
        sums = {name: logs[name] * done for name in ("loss", "accuracy")}
        if self._shown is None or done - self._shown >= self._every:
            count = done - (self._shown or 0)
            recent = {
                name: (total - self._sums.get(name, 0.0)) / count
                for name, total in sums.items()
            }
            self._write("step", {**logs, **recent}, self._first + done)
            self._shown, self._sums = done, sums

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        own = {k: x for k, x in logs.items() if not k.startswith("val_")}
        self._write("epoch", own, epoch)
        self._writer.flush()


class Validation(_Writer):
    """The figures of each epoch, and how confident the answers are.

    Args:
        logs: the folder of the validation's logs.
        evaluator: what has measured each epoch.
    """

    def __init__(self, logs: pathlib.Path, evaluator: evaluation.Evaluator):
        super().__init__(logs)
        self._evaluator = evaluator

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        own = {k: x for k, x in logs.items() if k.startswith("val_")}
        own = {name.removeprefix("val_"): x for name, x in own.items()}
        self._write("epoch", own, epoch)
        outcome = self._evaluator.latest
        right = outcome.predicted == self._evaluator.table["label"].to_numpy()
        with self._writer.as_default():
            for name, rows in (("right", right), ("wrong", ~right)):
                tf.summary.histogram(
                    f"confidence_{name}", outcome.confidence[rows], epoch
                )
        self._writer.flush()


class Profile(keras.callbacks.Callback):
    """A profile of some steps, for TensorBoard's profile plugin.

    Args:
        logs: the folder of all logs of the run.
        steps_per_epoch: to turn epochs into steps.
        steps_per_call: of which only whole ones can be profiled.
        first: step to begin with, from 1 on.
        last: step to end with.
    """

    def __init__(
        self,
        logs: pathlib.Path,
        steps_per_epoch: int,
        steps_per_call: int,
        first: int,
        last: int,
    ):
        super().__init__()
        self._logs, self._steps_per_epoch = logs, steps_per_epoch
        self._first, self._last = first - steps_per_call + 1, last
        self._before = 0
        self._running = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._before = epoch * self._steps_per_epoch

    def on_train_batch_begin(
        self, batch: int, logs: dict | None = None
    ) -> None:
        if not self._running and (
            self._first <= self._before + batch + 1 <= self._last
        ):
            tf.profiler.experimental.start(str(self._logs))
            self._running = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self._before + batch + 1 >= self._last:
            self._stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False
