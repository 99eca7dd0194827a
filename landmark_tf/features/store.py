"""Local features on disk: TFRecord shards, and an index to read any picture.

    with store.Reader("features/photos") as reader:
        features = reader.read("0a1b2c3d4e5f6071")

A folder holds shards of `tf.train.Example` {`id` text, `size` int64 [2],
`locations`, `scales`, `scores` float32 and `descriptors` float16, each as the
bytes of its numbers, little-endian}; `index.csv` (`id,shard,offset,count`) says
at which byte of which shard a picture's record begins, and `extract.json` how
they were made.
"""

import csv
import functools
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from landmark_tf import InputError
from landmark_tf.features.local import LocalFeatures, empty
from landmark_tf.files import quiet, records

SETTINGS = "extract.json"  # written last: a folder with it is complete
INDEX = "index.csv"
COLUMNS = ("id", "shard", "offset", "count")

_DTYPES = {
    "locations": "<f4",
    "scales": "<f4",
    "scores": "<f4",
    "descriptors": "<f2",
}


class FeatureError(ValueError):
    """A picture's features cannot be read; the message says why."""


def bytes_of(count: int, dimension: int) -> int:
    """What the features of a picture take on disk, about, in bytes."""
    return count * (4 * 4 + 2 * dimension) + 150


def serialize(image_id: str, features: LocalFeatures) -> bytes:
    """One record: a serialized `tf.train.Example`, the same every time."""
    train = quiet.import_tensorflow(devices=False).train

    def text(value: bytes) -> Any:
        return train.Feature(bytes_list=train.BytesList(value=[value]))

    values = {
        name: text(np.asarray(getattr(features, name), dtype).tobytes())
        for name, dtype in _DTYPES.items()
    }
    values["id"] = text(image_id.encode())
    values["size"] = train.Feature(
        int64_list=train.Int64List(value=features.size)
    )
    example = train.Example(features=train.Features(feature=values))
    return example.SerializeToString(deterministic=True)


def parse(record: bytes) -> tuple[str, LocalFeatures]:
    """What `serialize` wrote; features that are no numbers are left out.

    Raises:
        FeatureError: it is no such record.
    """
    train = quiet.import_tensorflow(devices=False).train
    try:
        values = train.Example.FromString(record).features.feature
        image_id = values["id"].bytes_list.value[0].decode()
        height, width = values["size"].int64_list.value
        arrays = {
            name: np.frombuffer(values[name].bytes_list.value[0], dtype)
            for name, dtype in _DTYPES.items()
        }
        count = len(arrays["scales"])
        columns = {"locations": 2, "descriptors": -1 if count else 0}
        for name, width_ in columns.items():
            arrays[name] = arrays[name].reshape(count, width_)
        arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
        features = LocalFeatures(**arrays, size=(int(height), int(width)))
    except Exception as error:  # protobuf has its own types, by version
        raise FeatureError("the record is damaged") from error
    return image_id, features.finite()


class Reader:
    """Reads the features of single pictures; only the index is in memory.

    Args:
        path: a folder that `extract` has finished.

    Attributes:
        path: the folder.
        settings: of extract.json.
        dimension: D, the numbers of a descriptor.

    Raises:
        InputError: the folder or its index cannot be used.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.settings, self.dimension = _read_settings(self.path)
        self._places = _read_index(self.path)
        self._shards: dict[str, Any] = {}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, image_id: str) -> LocalFeatures:
        """Reads one picture's features.

        Raises:
            FeatureError: it has none here, or its record is damaged.
        """
        if image_id not in self._places:
            raise FeatureError("no features")
        shard, offset = self._places[image_id]
        try:
            if shard not in self._shards:
                self._shards[shard] = open(self.path / shard, "rb")
            record = records.read(self._shards[shard], offset)
        except (records.RecordError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FeatureError(f"{shard}: {reason}") from error
        found, features = parse(record)
        if not len(features):
            features = empty(self.dimension, features.size)
        if found != image_id or features.descriptors.shape[1] != self.dimension:
            raise FeatureError(f"{shard}: not what the index says")
        return features


def _read_settings(path: Path) -> tuple[dict[str, Any], int]:
    try:
        content = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
        return dict(content["settings"]), int(content["dimension"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no complete features are there (no usable {SETTINGS}); run "
            f"python -m landmark_tf.extract --out={path}. Received: {path}"
        ) from error


def _read_index(path: Path) -> dict[str, tuple[str, int]]:
    try:
        status = os.stat(path / INDEX)
        return _places(path / INDEX, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path / INDEX} cannot be read ({error!r:.200}); delete the "
            f"folder and extract again. Received: {path}"
        ) from error


# A process opens the same folders for each of its tasks.
@functools.lru_cache(maxsize=2)
def _places(index: Path, time: int, size: int) -> dict[str, tuple[str, int]]:
    """Where each picture's record is; time and size tell files apart."""
    with open(index, encoding="utf-8", newline="") as file:
        # The name of a shard is kept once, not once for each picture.
        return {
            row["id"]: (sys.intern(row["shard"]), int(row["offset"]))
            for row in csv.DictReader(file, strict=True)
        }


def check_alike(readers: Iterable[Reader]) -> None:
    """Compares how features were made.

    Raises:
        InputError: by different extractors, or different modules of a name.
    """
    first, *others = readers
    for other in others:
        if _maker(first) != _maker(other):
            ours, theirs = (
                f"{x.settings.get('extractor')} of {x.dimension} dimensions"
                for x in (first, other)
            )
            raise InputError(
                f"the features of {first.path} and {other.path} are of "
                "different extractors (or of two versions of one); extract one "
                f"of them again. Received: {ours} and {theirs}"
            )


def _maker(reader: Reader) -> tuple[str, int]:
    """A module is known by its content, wherever it lies."""
    settings = reader.settings
    made_by = settings.get("module_sha256") or settings.get("extractor")
    return made_by, reader.dimension
