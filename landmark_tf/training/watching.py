"""What a person sees of a training: the screen, history.csv, TensorBoard."""

import csv
import dataclasses
import pathlib
import sys

import keras
import numpy as np

from landmark_tf import config
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
        keras.callbacks.CSVLogger(str(history), append=True),
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
