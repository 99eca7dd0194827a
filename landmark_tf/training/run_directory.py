"""A run directory: one training, with all that other verbs need to know.

`flags.txt` (runnable again), `classes.csv` and `prepare.json` (of its dataset),
`checkpoints/`, `history.csv`, `logs/`, `metrics.json`, `model.keras`.
"""

import dataclasses
import pathlib
import shutil
import zipfile
from collections.abc import Collection
from typing import Any, TypeVar

import keras
import pandas as pd
from absl import flags

from landmark_tf import InputError, config
from landmark_tf.data import tfrecords
from landmark_tf.files import atomic
from landmark_tf.models import folding, registry

T = TypeVar("T")

FLAGS = "flags.txt"
_OF_DATASET = ("classes.csv", tfrecords.SETTINGS)
# What may be there before the first state.
_BEGUN = {
    *(FLAGS, *_OF_DATASET, ".lock", "history.csv"),
    *("checkpoints", "logs", "vectors"),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished, or at least begun, training.

    Attributes:
        path: the run directory.
        model: uint8 images [N, S, S, 3] -> logits [N, C]; the best so far, for
            inference: batch norm is folded into the convolutions.
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
    path: pathlib.Path,
    settings: Any,
    dataset: tfrecords.Dataset,
    free: Collection[str],
) -> None:
    """Makes a run directory, or checks that an old one is of the same training.

    Args:
        path: the run directory.
        settings: the training's, a dataclass of `config` fields.
        dataset: what it trains on; its classes and description are copied, and
            compared with those of the old run.
        free: names of settings that may differ from those of the old run.

    Raises:
        InputError: `path` holds something else, or a run of other settings or
            other data.
    """
    begun = (path / "checkpoints" / "checkpoint", path / "model.keras")
    if (path / FLAGS).exists() and any(file.exists() for file in begun):
        _compare_settings(path, settings, free)
        for name in _OF_DATASET:
            theirs = (dataset.path / name).read_bytes()
            if theirs != (path / name).read_bytes():
                raise InputError(
                    f"{path} was trained on other data: {name} differs; give "
                    "the same dataset or another --run. "
                    f"Received: {dataset.path}"
                )
    elif path.exists() and not _is_fresh(path):
        raise InputError(
            f"--run must be a new folder or one of an earlier training. "
            f"Received: {path}"
        )
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name in _OF_DATASET:
            shutil.copyfile(dataset.path / name, path / name)


def _is_fresh(path: pathlib.Path) -> bool:
    """Whether nothing but a training that came to no state was there."""
    if not path.is_dir():
        return False
    names = {x.name for x in path.iterdir()}
    # What a kill has left of a file that was being written is overwritten.
    return {x for x in names if ".unfinished." not in x} <= _BEGUN


def record(path: pathlib.Path, settings: Any) -> None:
    """Writes the settings of a training that is held by this process."""
    atomic.write_text(path / FLAGS, "\n".join(config.to_flags(settings)) + "\n")


def _compare_settings(
    path: pathlib.Path, settings: Any, free: Collection[str]
) -> None:
    old = read_flags(path, type(settings))
    changed = [
        item.name
        for item in dataclasses.fields(settings)
        if item.name not in free
        and getattr(old, item.name) != getattr(settings, item.name)
    ]
    if changed:
        given = (
            f"--{x}={config.to_text(getattr(settings, x))}" for x in changed
        )
        raise InputError(
            f"{path} was trained with another "
            f"{', '.join('--' + name for name in changed)}; give the same "
            f"(see {path / FLAGS}) or another --run. "
            f"Received: {' '.join(given)}"
        )


def read_flags(path: pathlib.Path, config_class: type[T]) -> T:
    """What a run was trained with; flags that came later have their default."""
    try:
        return config.parse(config_class, [f"--flagfile={path / FLAGS}"])
    except flags.Error as error:
        raise InputError(
            f"{path / FLAGS} cannot be read ({error}); give another --run. "
            f"Received: {path}"
        ) from error


def open_run(path: str | pathlib.Path) -> Run:
    """Loads what a training left behind.

    Raises:
        InputError: not a run directory, or no model has been saved yet.
    """
    path = pathlib.Path(path)
    for name in (FLAGS, "classes.csv", "model.keras"):
        if not (path / name).is_file():
            raise InputError(
                f"no {name} in the run directory; train one with python -m "
                f"landmark_tf.train --run={path}. Received: {path}"
            )
    classes = tfrecords.read_classes(path)
    try:
        model = registry.load_model(path / "model.keras")
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path / 'model.keras'} cannot be read ({error!r:.200}); delete "
            f"the folder and train again. Received: {path}"
        ) from error
    if model.output_shape[-1] != len(classes):
        raise InputError(
            f"model.keras has {model.output_shape[-1]} classes and classes.csv "
            f"{len(classes)}; train again. Received: {path}"
        )
    lines = (path / FLAGS).read_text(encoding="utf-8").splitlines()
    data = next((x for x in lines if x.startswith("--data=")), "--data=")
    return Run(
        path=path,
        model=folding.for_inference(model),
        classes=classes,
        data=pathlib.Path(data.partition("=")[2]),
        image_size=model.input_shape[1],
    )


def open_data(run: Run, data: str = "") -> tfrecords.Dataset:
    """Opens a dataset to measure a run on.

    Args:
        run: the training.
        data: dataset folder; empty: the one it was trained on.

    Raises:
        InputError: no such dataset, or one of other landmarks.
    """
    if not data and not run.data.is_dir():
        raise InputError(
            "the dataset that the run was trained on is not there any more; "
            f"say where it is with --data. Received: {run.data}"
        )
    dataset = tfrecords.open_dataset(data or run.data)
    theirs = dataset.classes["landmark_id"].tolist()
    if theirs != run.classes["landmark_id"].tolist():
        raise InputError(
            "the dataset has other landmarks than the run was trained on; "
            f"prepare it from the same training CSV. Received: {dataset.path}"
        )
    return dataset
