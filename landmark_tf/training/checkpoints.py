"""A training that is killed goes on where it was; the best model is kept.

`checkpoints/` holds the newest states of training (weights, optimizer, step,
best score), `model.keras` the weights with the best validation GAP.
"""

import pathlib

import keras
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.files import atomic
from landmark_tf.training import loop

# What TensorFlow raises for damaged, cut off, missing and other files.
_UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, ValueError)


class Checkpoints(keras.callbacks.Callback):
    """Saves the state after each epoch, and the model when it is the best.

    Args:
        run: the run directory.
        trainer: its model, optimizer and strategy are saved and restored.
        steps_per_epoch: to turn epochs into steps.
        keep: number of states to keep.
    """

    def __init__(
        self,
        run: pathlib.Path,
        trainer: loop.Trainer,
        steps_per_epoch: int,
        keep: int = 2,
    ):
        super().__init__()
        self.run = run
        self.steps_per_epoch = steps_per_epoch
        self._model_file = run / "model.keras"
        self._trained = trainer.model
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._best = tf.Variable(float("-inf"), trainable=False)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                model=trainer.model,
                optimizer=trainer.optimizer,
                step=self._step,
                best=self._best,
            ),
            str(run / "checkpoints"),
            max_to_keep=keep,
            checkpoint_name="step",
        )

    def restore(self) -> int:
        """Loads the newest readable state.

        A damaged one is named on the screen, and the one before it is tried.

        Returns:
            The number of steps done; 0 when there is no state.

        Raises:
            InputError: there are states, and none can be read.
        """
        paths = self._manager.checkpoints
        for path in reversed(paths):
            try:
                status = self._manager.checkpoint.restore(path)
                status.assert_existing_objects_matched()
                return int(self._step.numpy())
            except _UNREADABLE as error:
                reason = " ".join(str(error).split())[:200]
                print(f"{path} cannot be read and is passed over: {reason}")
        if paths:  # and the model may be half overwritten
            raise InputError(
                "no state of the training can be read; delete the folder or "
                f"give another --run. Received: {self.run}"
            )
        return 0

    def newest(self) -> str:
        """The path of the newest state; empty: there is none yet."""
        return self._manager.latest_checkpoint or ""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves; without a validation split the newest model is the best."""
        score = (logs or {}).get("val_gap", float(epoch))
        if score > self._best.numpy() or not self._model_file.exists():
            self._best.assign(score)
            with atomic.replacing(self._model_file) as temporary:
                self._trained.save(temporary)
        self._step.assign((epoch + 1) * self.steps_per_epoch)
        self._manager.save(checkpoint_number=int(self._step.numpy()))
