"""A training that is killed goes on where it was; the best model is kept.

`checkpoints/` holds the newest states of training (weights, optimizer, loss
scale, averages, the epoch's figures, step, best score), `model.keras` the
weights with the best validation GAP. What else a training needs, the order and
the randomness of its data, is a function of the step.
"""

import pathlib
import re
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from landmark_tf import InputError, Preempted
from landmark_tf.files import atomic
from landmark_tf.training import hosts
from landmark_tf.training.loop import DivergedError
from landmark_tf.training.step import Trainer

# What TensorFlow raises for damaged, cut off, missing and other files.
_UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, ValueError)
_NAME = "step"


def steps_saved(run: pathlib.Path) -> list[int]:
    """The steps whose states a run directory holds, oldest first."""
    state = tf.train.get_checkpoint_state(str(run / "checkpoints"))
    paths = state.all_model_checkpoint_paths if state else []
    return [int(re.search(rf"{_NAME}-(\d+)$", path)[1]) for path in paths]


class Checkpoints(keras.callbacks.Callback):
    """Saves the state now and then, and the model when it is the best.

    On several hosts all save, as variables are gathered for it, and what the
    chief has written is kept.

    Args:
        run: the run directory.
        model: what is saved in `model.keras`.
        trainer: its model, optimizer and strategy are saved and restored.
        steps_per_epoch: to turn epochs into steps.
        every: steps between two states; 0: at the end of each epoch alone.
        keep: number of states to keep.
        stop: asked after every call of the step: is the training to be saved
            and ended?
    """

    def __init__(
        self,
        run: pathlib.Path,
        model: keras.Model,
        trainer: Trainer,
        steps_per_epoch: int,
        every: int = 0,
        keep: int = 2,
        stop: Callable[[], bool] = lambda: False,
    ):
        super().__init__()
        self._run = run
        self._steps_per_epoch, self._every = steps_per_epoch, every
        self._stop = stop
        self._whole_model, self._trainer = model, trainer
        self._chief = hosts.is_chief(trainer.strategy)
        self._epoch = 0
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._best = tf.Variable(float("-inf"), trainable=False)
        figures = (*trainer.loss.variables, *trainer.accuracy.variables)
        parts = {
            "model": model,
            "optimizer": trainer.optimizer,
            "figures": [x.value for x in figures],
            "scale": trainer.scale,
            "average": trainer.average,
            # Dropout's generators, which Keras' model does not track for it.
            "seeds": _seeds(model),
            "step": self._step,
            "best": self._best,
        }
        self._state = tf.train.Checkpoint(
            **{name: part for name, part in parts.items() if part is not None}
        )
        self._manager = tf.train.CheckpointManager(
            self._state,
            str(run / "checkpoints"),
            max_to_keep=keep,
            checkpoint_name=_NAME,
        )

    @property
    def step(self) -> int:
        """Steps done when the state was restored or saved last."""
        return int(self._step.numpy())

    def restore(self, step: int) -> bool:
        """Loads the state of a step; a damaged one is named on the screen.

        Returns:
            Whether it could be read.
        """
        path = str(self._run / "checkpoints" / f"{_NAME}-{step}")
        try:
            status = self._state.restore(path)
            status.assert_existing_objects_matched()
            return True
        except hosts.LOST:
            raise
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            if self._chief:
                print(f"{path} cannot be read and is passed over: {reason}")
            return False

    def carry_over(self, earlier: "Checkpoints") -> None:
        """Goes on counting where the saver of the stage before has stopped."""
        self._step.assign(earlier._step)
        self._best.assign(earlier._best)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves when it is time; `batch` counts within the epoch.

        Raises:
            Preempted: the training was asked to stop.
            DivergedError: a weight is not finite any more; nothing is saved.
        """
        step = self._epoch * self._steps_per_epoch + batch + 1
        stop = hosts.any_host(self._trainer.strategy, self._stop())
        due = self._every and step // self._every > self.step // self._every
        whole = batch + 1 == self._steps_per_epoch
        if (stop or due) and not whole:  # else at the end of the epoch
            if not self._trainer.is_finite():
                raise DivergedError(f"a weight is not finite after step {step}")
            self._save(step)
        if stop and not whole:
            raise self._preempted()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves; without a validation split the newest model is the best.

        Raises:
            Preempted: the training was asked to stop.
        """
        score = (logs or {}).get("val_gap", float(epoch))
        model_file = self._run / "model.keras"
        if score > self._best.numpy() or not model_file.exists():
            self._best.assign(score)
            with self._trainer.best_weights():
                self._save_model(model_file)
        self._save((epoch + 1) * self._steps_per_epoch)
        if hosts.any_host(self._trainer.strategy, self._stop()):
            raise self._preempted()

    def _save_model(self, path: pathlib.Path) -> None:
        if self._chief:
            with atomic.replacing(path) as temporary:
                self._whole_model.save(temporary)
        else:
            with tempfile.TemporaryDirectory() as folder:
                self._whole_model.save(pathlib.Path(folder) / path.name)

    def _save(self, step: int) -> None:
        self._step.assign(step)
        if self._chief:
            self._manager.save(checkpoint_number=step)
        else:
            with tempfile.TemporaryDirectory() as folder:
                self._state.write(f"{folder}/{_NAME}")

    def _preempted(self) -> Preempted:
        return Preempted(
            f"stopped as asked after step {self.step}; the same command goes on"
        )


def _seeds(model: keras.Model) -> list[tf.Variable]:
    weights = {id(weight) for weight in model.weights}
    return [v.value for v in model.variables if id(v) not in weights]


def restore_newest(
    run: pathlib.Path, saver_of: Callable[[int], Checkpoints]
) -> Checkpoints | None:
    """Finds the newest state that can be read.

    Args:
        run: the run directory.
        saver_of: makes the saver of the stage that a step, from 1 on, ends in.

    Returns:
        The saver that has restored it; None: there is no state.

    Raises:
        InputError: there are states, and none can be read.
    """
    steps = steps_saved(run)
    for step in reversed(steps):
        saver = saver_of(step)
        if saver.restore(step):
            return saver
    if steps:  # and the model may be half overwritten
        raise InputError(
            "no state of the training can be read; delete the folder or "
            f"give another --run. Received: {run}"
        )
    return None
