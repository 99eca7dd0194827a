"""The files of `vectors`: their records, and a note of their origin.

A file that has its name is whole: it gets it when it is complete. So work that
was killed goes on with the files that are missing. `vectors.json`, which is
there before the first of them, holds the `fingerprint` of what the vectors were
made of, and their `dimension`.
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import order, tfrecords
from landmark_tf.files import atomic, progress

NOTE = "vectors.json"

_FEATURES = {
    "vector": tf.io.FixedLenFeature([], tf.string),
    **order.FEATURES,
}
_LARGEST = 65504.0  # of float16
_PATIENCE = 600  # seconds that a host waits for the first one


def prepare(
    folder: Path, fingerprint: str, find_dimension: Callable[[], int]
) -> None:
    """Notes what the vectors are made of, and deletes those of anything else.

    Args:
        folder: made where it is missing.
        fingerprint: of what they are made of.
        find_dimension: called where it is not noted yet.
    """
    if _read_note(folder).get("fingerprint") == fingerprint:
        return
    note = {"fingerprint": fingerprint, "dimension": find_dimension()}
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.tfrecord-*"):
        file.unlink()
    atomic.write_text(folder / NOTE, json.dumps(note, indent=1) + "\n")


def wait(folder: Path, fingerprint: str) -> None:
    """Waits until `prepare` has come to its end on another host.

    Raises:
        InputError: it does not within ten minutes.
    """
    end = time.monotonic() + _PATIENCE
    while _read_note(folder).get("fingerprint") != fingerprint:
        if time.monotonic() > end:
            raise InputError(
                "the first host has not begun to make vectors here; give a "
                "folder that all hosts see, and start them together. "
                f"Received: {folder}"
            )
        time.sleep(0.5)


def dimension(folder: str | os.PathLike) -> int:
    """The numbers in a vector, D.

    Raises:
        InputError: the folder has no vectors.
    """
    found = _read_note(Path(folder)).get("dimension")
    if not isinstance(found, int):
        raise InputError(
            "no vectors in this folder; delete it and run the same command "
            f"again, which makes them. Received: {folder}"
        )
    return found


def _read_note(folder: Path) -> dict:
    try:
        return json.loads((folder / NOTE).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def record_counts(dataset: tfrecords.Dataset, split: str) -> dict[str, int]:
    """The dataset's files that a split touches, each with all its records.

    Raises:
        InputError: there is no such split.
    """
    counts = {}
    for info in dataset.builder.info.splits.values():
        files = map(os.fspath, info.filepaths)
        counts |= zip(files, info.shard_lengths, strict=True)
    touched = tfrecords.file_ranges(dataset, split)["file"].tolist()
    return {file: counts[file] for file in touched}


def write_missing(
    folder: Path,
    counts: Mapping[str, int],
    records_of: Callable[[Mapping[str, int]], Iterator[bytes]],
) -> None:
    """Writes the files that are not there, each whole or not at all.

    Args:
        folder: of the vectors; see `prepare`.
        counts: of `record_counts`, those to be written by this host.
        records_of: gives the records of some of them one after another.
    """
    paths = {file: folder / Path(file).name for file in counts}
    missing = {x: n for x, n in counts.items() if not paths[x].exists()}
    if not missing:
        return
    total, left = sum(counts.values()), sum(missing.values())
    records = records_of(missing)
    with progress.bar(total, "images", total - left) as bar:
        for file, count in missing.items():
            with atomic.replacing(paths[file]) as temporary:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for record in itertools.islice(records, count):
                        writer.write(record)
                        bar.update()
                with open(temporary, "r+b") as written:
                    os.fsync(written.fileno())


def serialize(vector: np.ndarray, label: int, id: bytes) -> bytes:
    """One record, with the vector in little-endian float16.

    Numbers that are too large for it become its largest.
    """
    train = tf.train
    numbers = np.clip(vector, -_LARGEST, _LARGEST).astype("<f2").tobytes()
    values = {
        "vector": train.Feature(bytes_list=train.BytesList(value=[numbers])),
        "label": train.Feature(int64_list=train.Int64List(value=[label])),
        "id": train.Feature(bytes_list=train.BytesList(value=[id])),
    }
    example = train.Example(features=train.Features(feature=values))
    return example.SerializeToString(deterministic=True)


def parse(records: tf.Tensor, dimension: int) -> dict[str, tf.Tensor]:
    """String [N] -> "image" float32 [N, D], "label" int32 [N]."""
    examples = tf.io.parse_example(records, _FEATURES)
    vectors = tf.io.decode_raw(examples["vector"], tf.float16)
    # First cast: of some operations on float16 TensorFlow prints a complaint.
    vectors = tf.cast(vectors, tf.float32)
    return {
        "image": tf.ensure_shape(vectors, [None, dimension]),
        "label": tf.cast(examples["label"], tf.int32),
    }
