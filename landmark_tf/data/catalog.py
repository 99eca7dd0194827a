"""CSV files become a clean table: which picture, which class, which split.

Nothing here opens a picture. Every decision about one row depends on that row,
on its class and on the hash of its id, so the same CSVs give the same table,
and photographs that are added later move no earlier one to another split.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.data import tfrecords
from landmark_tf.data.rows import NO_LANDMARK, categories, clean
from landmark_tf.files import workspace

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Catalog:
    """What the CSV files say, cleaned.

    Attributes:
        table: the pictures to store: `id` (text), `landmark_id` and `label`
            (int64), `split` (int8, index into `SPLITS`), `place` (uint64, from
            the hash: the order on disk), sorted by split, place and id.
        classes: `label`, `landmark_id`, `images` (planned), by label; and
            `category` where categories were given.
        rejected: `id` and `reason` of the rows that cannot be used, in the
            order of the files.
        class_sizes: int64 [all classes], images of each, falling, before any
            class was left out.
        rows: read from all files.
        left_out: good rows whose class was left out.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    rejected: pd.DataFrame
    class_sizes: np.ndarray
    rows: int
    left_out: int


def build(
    train_csv: str,
    *,
    no_landmark_csv: str = "",
    label_to_category: str = "",
    min_images: int = 50,
    top_classes: int = 0,
    split: Sequence[float] = (0.90, 0.06, 0.04),
    seed: int = 0,
) -> Catalog:
    """Reads the CSV files and decides classes, labels, splits and order.

    Args:
        train_csv: a CSV with the columns `id` and `landmark_id`.
        no_landmark_csv: a CSV with the column `id`: pictures of no landmark,
            for validation and test alone. Empty: none.
        label_to_category: a CSV with the columns `landmark_id` and `category`.
            Empty: classes have no names.
        min_images: images that a class must have to stay.
        top_classes: the most frequent classes that stay; 0: all.
        split: shares of train, validation and test; they sum to 1.
        seed: of the hash of the ids.

    Raises:
        InputError: a file cannot be read or used, or nothing is left.
    """
    rows = clean(train_csv, no_landmark_csv)
    rejected = rows.loc[rows.reason != "", ["id", "reason"]]
    good = rows.loc[rows.reason == "", ["id", "landmark_id"]]
    none = good.landmark_id == NO_LANDMARK
    landmarks, others = good[~none], good[none]
    sizes = landmarks.landmark_id.value_counts()
    classes = _choose_classes(sizes, min_images, top_classes)
    if classes.empty:
        raise InputError(_nothing_left(train_csv, rejected, sizes, min_images))
    if label_to_category:
        names = categories(label_to_category)
        classes["category"] = classes.landmark_id.map(names).fillna("")
    kept = landmarks[landmarks.landmark_id.isin(classes.landmark_id)]
    table = pd.concat([kept, others], ignore_index=True)
    label = pd.Series(classes.label.values, classes.landmark_id)
    table["label"] = (
        table.landmark_id.map(label).fillna(NO_LANDMARK).astype("int64")
    )
    fraction, table["place"] = hashes(table.id, seed)
    table["split"] = _split(fraction, table.label.to_numpy(), split)
    table = table.sort_values(["split", "place", "id"], ignore_index=True)
    return Catalog(
        table=table,
        classes=classes,
        rejected=rejected.reset_index(drop=True),
        class_sizes=sizes.to_numpy(),
        rows=len(rows),
        left_out=len(landmarks) - len(kept),
    )


def of_dataset(
    dataset: str, train_csv: str, no_landmark_csv: str = ""
) -> pd.DataFrame:
    """Splits pictures as a dataset has them, without reading its pictures.

    Args:
        dataset: the folder that `prepare` made of the CSVs; empty: none, and
            every picture of a landmark is for training.
        train_csv: see `build`.
        no_landmark_csv: see `build`; without a dataset it is left out.

    Returns:
        The table of the `Catalog`.

    Raises:
        InputError: there is no such dataset, or it is of other CSVs.
    """
    if not dataset:
        return build(train_csv, min_images=1, split=(1.0, 0.0, 0.0)).table
    path = Path(dataset, tfrecords.SETTINGS)
    try:
        made = json.loads(path.read_text(encoding="utf-8"))["settings"]
        names = ("split", "min_images", "top_classes", "seed")
        shares = {name: made[name] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no dataset is there (no usable {tfrecords.SETTINGS}); give the "
            f"folder that prepare made. Received: {dataset}"
        ) from error
    given = {"train_csv": train_csv, "no_landmark_csv": no_landmark_csv}
    for name, csv in given.items():
        if csv and workspace.fingerprint(csv) != made.get(f"{name}_sha256"):
            raise InputError(
                f"{dataset} was made of another --{name}; give that. "
                f"Received: --{name}={csv}"
            )
    return build(train_csv, no_landmark_csv=no_landmark_csv, **shares).table


def _choose_classes(
    sizes: pd.Series, min_images: int, top_classes: int
) -> pd.DataFrame:
    classes = pd.DataFrame(
        {"landmark_id": sizes.index, "images": sizes.to_numpy()}
    )
    classes = classes[classes.images >= min_images].sort_values(
        ["images", "landmark_id"], ascending=[False, True], ignore_index=True
    )
    classes = classes[: top_classes or None].copy()
    classes.insert(0, "label", np.arange(len(classes), dtype=np.int64))
    return classes


def _nothing_left(
    path: str, rejected: pd.DataFrame, sizes: pd.Series, min_images: int
) -> str:
    if sizes.empty:
        reason = rejected.reason.value_counts().index[0]
        return (
            f"no row can be used, most often because: {reason}. "
            f"Received: {path} with {len(rejected)} rows"
        )
    return (
        f"no class has {min_images} images, the largest has {sizes.max()}: "
        f"lower --min_images. Received: --min_images={min_images}"
    )


def hashes(ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two independent numbers for each id, from one BLAKE2b hash.

    Returns:
        fraction: float64 [N] in [0, 1), for the split.
        place: uint64 [N], for the shard and the place within it.
    """
    key = str(seed).encode()
    digests = b"".join(
        hashlib.blake2b(i.encode(), digest_size=16, key=key).digest()
        for i in ids
    )
    numbers = np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    # 53 bits: all that a float64 holds exactly, so that 1 is never reached
    return (numbers[:, 0] >> np.uint64(11)) * 2.0**-53, numbers[:, 1]


def _split(
    fraction: np.ndarray, label: np.ndarray, shares: Sequence[float]
) -> np.ndarray:
    """The index into `SPLITS` for each row, int8 [N]."""
    none = label == NO_LANDMARK
    result = np.searchsorted(_edges(shares), fraction, side="right")
    if none.any():
        if not sum(shares[1:]):
            raise InputError(
                "pictures of no landmark go to validation and test alone: give "
                f"one of them a share. Received: --split={shares}"
            )
        edges = _edges([0, *shares[1:]])
        result[none] = np.searchsorted(edges, fraction[none], side="right")
    # A class without a training picture lends its lowest hash.
    rows = pd.DataFrame({"label": label, "fraction": fraction})[~none]
    lowest = rows.groupby("label").fraction.idxmin()
    trained = np.unique(label[result == 0])
    result[lowest[~lowest.index.isin(trained)].to_numpy()] = 0
    return result.astype(np.int8)


def _edges(shares: Sequence[float]) -> np.ndarray:
    """Where validation and test begin in [0, 1]; a share of 0 gets nothing."""
    edges = np.cumsum(shares)[:2] / np.sum(shares)
    edges[[not any(shares[i + 1 :]) for i in range(2)]] = 1.0
    return edges
