"""What a person sees of a training: the screen, history.csv, TensorBoard."""

import csv
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from landmark_tf.files import atomic


def callbacks(
    run: pathlib.Path, pictures: np.ndarray, first_epoch: int
) -> list[keras.callbacks.Callback]:
    """The callbacks that show and write down what happens.

    Args:
        run: the run directory; gets `history.csv` and `logs/`.
        pictures: uint8 [N, S, S, 3], augmented, to show in TensorBoard.
        first_epoch: the epoch to go on from; later rows of an earlier attempt
            are taken out of the history.
    """
    history = run / "history.csv"
    drop_epochs(history, first_epoch)
    return [
        keras.callbacks.ProgbarLogger(),
        keras.callbacks.CSVLogger(str(history), append=True),
        keras.callbacks.TensorBoard(str(run / "logs"), write_graph=False),
        Pictures(run / "logs" / "train", pictures),
    ]


def verbosity() -> int:
    """Keras' `verbose`: a moving bar on a terminal, else a line an epoch."""
    return 1 if sys.stdout.isatty() else 2


class Pictures(keras.callbacks.Callback):
    """Shows one augmented batch in TensorBoard, as the model gets it."""

    def __init__(self, logs: pathlib.Path, batch: np.ndarray):
        super().__init__()
        self._logs, self._batch = logs, batch

    def on_train_begin(self, logs: dict | None = None) -> None:
        writer = tf.summary.create_file_writer(str(self._logs))
        with writer.as_default():
            tf.summary.image("augmented", self._batch, step=0, max_outputs=16)
        writer.close()


def drop_epochs(history: pathlib.Path, first: int) -> None:
    """Takes the rows of epoch `first` and later out of a history file."""
    if not history.exists():
        return
    with open(history, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if int(row["epoch"]) < first]
    if not kept:
        history.unlink()
    elif len(kept) < len(rows):
        with atomic.replacing(history) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(kept)
