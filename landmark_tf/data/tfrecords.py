"""Datasets on disk: TFRecord shards with TensorFlow Datasets' metadata.

    tfds.builder_from_directory("tfrecords/toy").as_dataset("train[:10%]")

reads them, as does `open_dataset`, which also checks them. The form is written
down in tfrecords/README.md. TensorFlow is imported by what needs it, quietly.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.files import images, quiet, records

VERSION = "1.0.0"
SETTINGS = "prepare.json"  # written last: a folder with it is complete


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset that `open_dataset` has checked.

    Attributes:
        path: its folder.
        name: its name, as in the files' names.
        builder: `tfds.core.DatasetBuilder`, for `as_dataset` and `info`.
        classes: `label`, `landmark_id`, `images` (int64) and perhaps `category`
            (text); row i is label i.
    """

    path: Path
    name: str
    builder: Any
    classes: pd.DataFrame

    @property
    def stored_size(self) -> int:
        """Pixels of the shorter side, at most; 0 where it is not known."""
        content = json.loads((self.path / SETTINGS).read_text("utf-8"))
        return content.get("settings", {}).get("stored_size", 0)

    @property
    def num_classes(self) -> int:
        """The number of landmarks, C; labels are 0 to C - 1, and -1: none."""
        return len(self.classes)


def dataset_name(path: str | os.PathLike) -> str:
    """A folder's name in the letters that TFDS allows: `GLD-v2` is `gld_v2`."""
    name = re.sub(r"\W", "_", Path(path).resolve().name.lower(), flags=re.A)
    return name if re.match("[a-z]", name) else f"landmarks_{name}"


def features() -> Any:
    """What a record holds, as a `tfds.features.FeaturesDict`."""
    quiet.import_tensorflow(devices=False)
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=(None, None, 3), encoding_format="jpeg"
            ),
            "label": tfds.features.Scalar(np.int64),
            "landmark_id": tfds.features.Scalar(np.int64),
            "id": tfds.features.Text(),
        }
    )


def serialize(image: bytes, label: int, landmark_id: int, id: str) -> bytes:
    """One record: a serialized `tf.train.Example`, the same every time."""
    train = quiet.import_tensorflow(devices=False).train
    values = {
        "image": train.Feature(bytes_list=train.BytesList(value=[image])),
        "label": train.Feature(int64_list=train.Int64List(value=[label])),
        "landmark_id": train.Feature(
            int64_list=train.Int64List(value=[landmark_id])
        ),
        "id": train.Feature(bytes_list=train.BytesList(value=[id.encode()])),
    }
    example = train.Example(features=train.Features(feature=values))
    return example.SerializeToString(deterministic=True)


def write_shard(
    items: pd.DataFrame,
    path: str,
    tick: Callable[[], None],
    *,
    image_root: str,
    stored_size: int,
    square: bool,
) -> dict:
    """Reads pictures and writes one shard; the `Maker` of `files.shards`.

    Args:
        items: `id`, `label`, `landmark_id` in the order on disk.
        path: the file to write.
        tick: called after each picture.
        image_root: the folder of the photographs.
        stored_size: pixels, see `images.stored_jpeg`.
        square: see `images.stored_jpeg`.

    Returns:
        `records`; `bytes` without framing; `rejected`: [id, label, reason].

    Raises:
        OSError: the disk is full or fails.
    """
    count = size = 0
    rejected = []
    with records.writing(path) as writer:
        for row in items.itertuples():
            try:
                file = images.find_image(image_root, row.id)
                image = images.stored_jpeg(file, stored_size, square)
            except images.ImageError as error:
                rejected.append([row.id, row.label, str(error)])
            else:
                record = serialize(image, row.label, row.landmark_id, row.id)
                writer.write(record)
                count, size = count + 1, size + len(record)
            tick()
    return {"records": count, "bytes": size, "rejected": rejected}


def shard_name(name: str, split: str, index: int, count: int) -> str:
    """A shard's file name: `toy-train.tfrecord-00000-of-00008`."""
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def write_metadata(
    out: str | os.PathLike, name: str, splits: Mapping[str, Sequence[dict]]
) -> None:
    """Writes `dataset_info.json` and `features.json` beside the shards.

    Args:
        out: the folder, with exactly the shards of these splits.
        name: as from `dataset_name`.
        splits: for each split the reports of its shards, in order.
    """
    content = features()
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=out,
        template=tfds.core.naming.DEFAULT_FILENAME_TEMPLATE,
        dataset_name=name,
        filetype_suffix="tfrecord",
    )
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[report["records"] for report in reports],
            num_bytes=sum(report["bytes"] for report in reports),
            filename_template=template.replace(split=split),
        )
        for split, reports in splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=os.fspath(out),
        features=content,
        split_infos=infos,
        filename_template=template,
        version=VERSION,
        description="Photographs labelled with landmarks.",
        check_data=False,
    )


def open_dataset(path: str | os.PathLike) -> Dataset:
    """Opens a dataset that `prepare` wrote, and checks that it is whole.

    Raises:
        InputError: the folder is missing, unfinished, damaged, or of another
            form; the message says what to do.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(
            "no such dataset; make one with python -m landmark_tf.prepare "
            f"--out={path}. Received: {path}"
        )
    if not (path / SETTINGS).exists():
        known = "unfinished" if (path / ".work").exists() else "no dataset"
        raise InputError(
            f"{known}: run python -m landmark_tf.prepare --out={path} "
            f"to its end. Received: {path}"
        )
    quiet.import_tensorflow()
    expected = features()
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(os.fspath(path))
        found = builder.info.features
        same = found.get_serialized_info() == expected.get_serialized_info()
        classes = read_classes(path)
        damage = _damage(builder)
    except Exception as error:  # TFDS raises many types on damaged JSON
        damage, same = " ".join(str(error).split())[:200], True
    if not same:
        damage = "the records are of another form"
    if damage:
        raise InputError(
            f"the dataset is damaged ({damage}); delete the folder and run "
            f"python -m landmark_tf.prepare again. Received: {path}"
        )
    return Dataset(path, builder.name, builder, classes)


def read_classes(path: Path) -> pd.DataFrame:
    """Reads `classes.csv` of a dataset or of a run; see `Dataset.classes`.

    Raises:
        ValueError: the labels are not 0, 1, 2 and so on.
    """
    classes = pd.read_csv(
        path / "classes.csv",
        dtype={"category": str},
        keep_default_na=False,
    )
    numbers = classes[["label", "landmark_id", "images"]].astype("int64")
    if list(numbers.label) != list(range(len(classes))):
        raise ValueError("the labels in classes.csv are not 0, 1, 2 ...")
    return classes


def landmark_names(classes: pd.DataFrame) -> list[str]:
    """The landmarks' names by label; where there is none, their ids.

    Args:
        classes: as from `read_classes`.
    """
    ids = classes["landmark_id"].astype(str)
    if "category" not in classes:
        return ids.tolist()
    return classes["category"].where(classes["category"] != "", ids).tolist()


def _damage(builder: Any) -> str:
    """What is wrong with the shards' files; empty: they are all there."""
    for info in builder.info.splits.values():
        size = 0
        for file in info.filepaths:
            if not os.path.exists(file):
                return f"{os.path.basename(file)} is missing"
            size += os.path.getsize(file)
        if size != info.num_bytes + records.FRAMING * info.num_examples:
            return f"the files of {info.name} have another size than written"
    return ""


@contextlib.contextmanager
def reading(dataset: Dataset) -> Iterator[None]:
    """Names the dataset when a record turns out to be damaged.

    Raises:
        InputError: a record's checksum is wrong, or a file ends too early.
    """
    tf = quiet.import_tensorflow(devices=False)
    try:
        yield
    except tf.errors.DataLossError as error:
        reason = error.message.splitlines()[0][:200]
        raise InputError(
            f"a file of the dataset is damaged ({reason}); delete the folder "
            "and run python -m landmark_tf.prepare again. "
            f"Received: {dataset.path}"
        ) from error


def split_info(dataset: Dataset, split: Any) -> Any:
    """TFDS' record of a split, such as `train`, or of a part, `train[:10%]`.

    Raises:
        InputError: there is no such split.
    """
    splits = dataset.builder.info.splits
    try:
        return splits[split]
    except (KeyError, ValueError, AssertionError) as error:
        raise InputError(
            f"no such split; {dataset.path} has {', '.join(splits)}, and parts "
            f"such as train[:10%]. Received: {split!r}"
        ) from error


def file_ranges(dataset: Dataset, split: Any) -> dict[str, np.ndarray]:
    """What is to be read for a split: `file`, and records to `skip`, `take`."""
    ranges = split_info(dataset, split).file_instructions
    return {
        "file": np.array([x.filename for x in ranges], np.str_),
        "skip": np.array([x.skip for x in ranges], np.int64),
        "take": np.array([x.take for x in ranges], np.int64),
    }


def read_range(part: Mapping[str, Any]) -> Any:
    """A `tf.data.Dataset` of the records of one of `file_ranges`."""
    tf = quiet.import_tensorflow(devices=False)
    found = tf.data.TFRecordDataset(part["file"], buffer_size=1 << 20)
    return found.skip(part["skip"]).take(part["take"])


def read_table(dataset: Dataset, split: str) -> pd.DataFrame:
    """Reads `id` (text), `label`, `landmark_id` (int64), in on-disk order.

    No picture is decoded.

    Raises:
        InputError: there is no such split, or it is empty or damaged.
    """
    if not split_info(dataset, split).num_examples:
        raise InputError(f"the split is empty. Received: {split!r}")
    tf = quiet.import_tensorflow(devices=False)
    kinds = {
        "id": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "landmark_id": tf.io.FixedLenFeature([], tf.int64),
    }
    batches = (
        tf.data.Dataset.from_tensor_slices(file_ranges(dataset, split))
        .flat_map(read_range)
        .batch(512)
        .map(
            lambda records: tf.io.parse_example(records, kinds),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    )
    with reading(dataset):
        found = list(batches.prefetch(2).as_numpy_iterator())
    parts = [pd.DataFrame(batch) for batch in found]
    table = pd.concat(parts, ignore_index=True)[list(kinds)]
    table["id"] = [i.decode() for i in table.id]
    return table
