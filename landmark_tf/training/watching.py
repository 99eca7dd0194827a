"""What a person sees of a training: the screen, history.csv, TensorBoard."""

import csv
import dataclasses
import itertools
import pathlib
import sys

import keras
import numpy as np

from landmark_tf import InputError, config
from landmark_tf.files import atomic
from landmark_tf.training import evaluation, tensorboard
from landmark_tf.training.settings import Config


def callbacks(
    run: pathlib.Path,
    settings: Config,
    steps_per_epoch: int,
    first_step: int,
    pictures: np.ndarray | None = None,
    evaluator: evaluation.Evaluator | None = None,
) -> list[keras.callbacks.Callback]:
    """The callbacks that show and write down what happens.

    Args:
        run: the run directory; gets `history.csv` and `logs/`.
        settings: of the training.
        steps_per_epoch: to turn epochs into steps.
        first_step: the step to go on from; rows of epochs that an earlier
            attempt finished later are taken out of the history.
        pictures: uint8 [N, S, S, 3], augmented, to show.
        evaluator: what measures each epoch, if anything.
    """
    history, logs = run / "history.csv", run / "logs"
    drop_epochs(history, first_step // steps_per_epoch)
    shown = [
        keras.callbacks.ProgbarLogger(),
        History(history),
        tensorboard.Beginning(
            logs,
            {
                item.name: config.to_text(getattr(settings, item.name))
                for item in dataclasses.fields(settings)
            },
            pictures,
        ),
        tensorboard.Training(
            logs / "train", steps_per_epoch, settings.log_every
        ),
    ]
    if evaluator is not None:
        shown.append(tensorboard.Validation(logs / "validation", evaluator))
    if settings.profile:
        shown.append(
            tensorboard.Profile(
                logs,
                steps_per_epoch,
                settings.steps_per_call,
                *settings.profile,
            )
        )
    return shown


def verbosity() -> int:
    """Keras' `verbose`: a moving bar on a terminal, else a line an epoch."""
    return 1 if sys.stdout.isatty() else 2


class History(keras.callbacks.Callback):
    """Adds a row with the figures of each epoch to a file.

    Args:
        path: of the file, made where it is missing.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self._path = path

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = {"epoch": epoch, **dict(sorted(logs.items()))}
        _write(self._path, [*_read(self._path), row])


def drop_epochs(history: pathlib.Path, first: int) -> None:
    """Takes the rows of epoch `first` and later out of a history file.

    Raises:
        InputError: it cannot be read.
    """
    rows = _read(history)
    kept = [row for row in rows if row["epoch"] < first]
    if len(kept) < len(rows):
        _write(history, kept)


def _read(history: pathlib.Path) -> list[dict]:
    if not history.exists():
        return []
    try:
        with open(history, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [row | {"epoch": int(row["epoch"])} for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            "the history cannot be read; move the file away, and the training "
            f"goes on with a new one. Received: {history}"
        ) from error


def _write(history: pathlib.Path, rows: list[dict]) -> None:
    """Writes all of it anew, so that it is never found with half a row."""
    if not rows:
        return history.unlink()
    with atomic.replacing(history) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            names = list(dict.fromkeys(itertools.chain(*rows)))
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
