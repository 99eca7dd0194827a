"""A run directory: one training, with all that other verbs need to know.

`flags.txt` (runnable again), `classes.csv`, `checkpoints/`, `history.csv`,
`logs/`, `metrics.json`, `model.keras`.
"""

import dataclasses
import pathlib
import shutil

import keras
import pandas as pd

from landmark_tf import InputError
from landmark_tf.files import atomic


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished, or at least begun, training.

    Attributes:
        path: the run directory.
        model: uint8 images [N, S, S, 3] -> logits [N, C]; the best so far.
        classes: a row for each class: label, landmark_id, images[, category].
        data: the dataset directory that it was trained on.
        image_size: S, in pixels.
    """

    path: pathlib.Path
    model: keras.Model
    classes: pd.DataFrame
    data: pathlib.Path
    image_size: int


def create(
    path: pathlib.Path, settings: list[str], classes: pathlib.Path, free: set
) -> None:
    """Makes a run directory, or checks that an old one has the same settings.

    Args:
        path: the run directory.
        settings: every setting as `--name=value`.
        classes: the dataset's classes.csv, to be copied.
        free: names of settings that may differ from those of the old run.

    Raises:
        InputError: `path` holds something else, or a run of other settings.
    """
    flags = path / "flags.txt"
    if flags.exists():
        before = set(flags.read_text(encoding="utf-8").split("\n"))
        changed = sorted(
            flag.partition("=")[0].lstrip("-")
            for flag in set(settings) - before
        )
        if changed := [name for name in changed if name not in free]:
            raise InputError(
                f"{path} was trained with another "
                f"{', '.join('--' + name for name in changed)}; give the same "
                f"(see {flags}) or another --run. Received: "
                + " ".join(
                    flag
                    for flag in settings
                    if flag.partition("=")[0].lstrip("-") in changed
                )
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"--run must be a new folder or one of an earlier training. "
            f"Received: {path}"
        )
    path.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(classes, path / "classes.csv")
    atomic.write_text(flags, "\n".join(settings) + "\n")


def open_run(path: str | pathlib.Path) -> Run:
    """Loads what a training left behind.

    Raises:
        InputError: not a run directory, or no model has been saved yet.
    """
    path = pathlib.Path(path)
    for name in ("flags.txt", "classes.csv", "model.keras"):
        if not (path / name).is_file():
            raise InputError(
                f"no {name} in the run directory; train one with python -m "
                f"landmark_tf.train --run={path}. Received: {path}"
            )
    try:
        model = keras.saving.load_model(path / "model.keras", compile=False)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path / 'model.keras'} cannot be read "
            f"({str(error).splitlines()[0]}); train again with the same "
            f"command. Received: {path}"
        ) from error
    flags = (path / "flags.txt").read_text(encoding="utf-8").splitlines()
    data = next(x for x in flags if x.startswith("--data=")).partition("=")[2]
    return Run(
        path=path,
        model=model,
        classes=pd.read_csv(path / "classes.csv"),
        data=pathlib.Path(data),
        image_size=model.input_shape[1],
    )
