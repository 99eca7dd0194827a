"""What there is of Google Landmarks v2, and where.

Source: https://github.com/cvdfoundation/google-landmark (addresses, counts and
approximate sizes); Weyand et al., "Google Landmarks Dataset v2", CVPR 2020.
"""

import csv
import dataclasses
import pathlib

from landmark_tf import InputError
from landmark_tf.files import atomic

BASE = "https://s3.amazonaws.com/google-landmark"
DATASETS = ("gldv2", "gldv2-clean", "gld2019")
CLEAN = "train_clean.csv"
BY_ID = "train_clean_by_id.csv"


@dataclasses.dataclass(frozen=True)
class Split:
    """The tar files of a split.

    Attributes:
        shards: their number.
        images: in all of them.
        shard_bytes: of one, approximately.
    """

    shards: int
    images: int
    shard_bytes: int


SPLITS = {
    "train": Split(500, 4_132_914, 1_000_000_000),
    "index": Split(100, 761_757, 850_000_000),
    "test": Split(20, 117_577, 500_000_000),
}

_TABLES = {
    "train": ("metadata/train.csv", "metadata/train_label_to_category.csv"),
    "index": (
        "metadata/index.csv",
        "metadata/index_image_to_landmark.csv",
        "metadata/index_label_to_category.csv",
    ),
    "test": (
        "metadata/test.csv",
        "ground_truth/recognition_solution_v2.1.csv",
    ),
}


def tables(dataset: str, split: str) -> tuple[str, ...]:
    """The CSV files of a split, below the base address.

    Raises:
        InputError: the dataset has no such split.
    """
    allowed = {
        "gldv2": ("train", "index", "test"),
        "gldv2-clean": ("train",),
        "gld2019": ("train", "test"),
    }[dataset]
    if split not in allowed:
        raise InputError(
            f"{dataset} has the splits {', '.join(allowed)}; choose one. "
            f"Received: --split={split}"
        )
    if dataset == "gldv2-clean":
        return (f"metadata/{CLEAN}", "metadata/train_label_to_category.csv")
    return _TABLES[split]


def shard_name(number: int) -> str:
    """The name of a tar file, without the ending."""
    return f"images_{number:03}"


def parse_shards(text: str, split: str) -> list[int]:
    """Reads `7`, `0-9` or `0-4,7`; empty: all shards of the split.

    Raises:
        InputError: no such range, or beyond the last shard.
    """
    count = SPLITS[split].shards
    if not text:
        return list(range(count))
    chosen: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            found = range(int(first), int(last if dash else first) + 1)
            if not found or found[0] < 0 or found[-1] >= count:
                raise ValueError(part)
            chosen.update(found)
    except ValueError as error:
        raise InputError(
            f"--shards must be numbers from 0 to {count - 1}, such as "
            f"000-{count - 1:03} or 0-4,7. Received: {text!r}"
        ) from error
    return sorted(chosen)


def write_by_id(folder: pathlib.Path) -> pathlib.Path:
    """Turns train_clean.csv, a row a landmark, into a row a picture.

    Args:
        folder: has train_clean.csv with `landmark_id` and `images`, ids with
            blanks between; gets train_clean_by_id.csv with `id` and
            `landmark_id`, as `prepare` reads it.

    Raises:
        InputError: the file has other columns.
    """
    out = folder / BY_ID
    with open(folder / CLEAN, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"landmark_id", "images"} <= set(reader.fieldnames or ()):
            raise InputError(
                f"{folder / CLEAN} must have the columns landmark_id,images; "
                f"delete it and fetch it again. Received: {reader.fieldnames}"
            )
        with atomic.replacing(out) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="") as target:
                writer = csv.writer(target, lineterminator="\n")
                writer.writerow(("id", "landmark_id"))
                for row in reader:
                    for name in row["images"].split():
                        writer.writerow((name, row["landmark_id"]))
    return out
