"""A few stored pictures of some landmarks, to show beside a prediction."""

from collections.abc import Collection

import tensorflow as tf

from landmark_tf.data import tfrecords


def pictures(
    dataset: tfrecords.Dataset,
    landmarks: Collection[int],
    split: str = "train",
    each: int = 1,
) -> dict[int, list[tuple[str, bytes]]]:
    """Reads the first pictures of landmarks, in the order on disk.

    Args:
        dataset: the dataset.
        landmarks: the landmarks' ids, as in its CSV.
        split: where the pictures are taken from.
        each: pictures of a landmark, at most.

    Returns:
        By landmark the pictures' ids and JPEGs; a landmark that has none is
        left out.

    Raises:
        InputError: no such split, or a damaged file.
    """
    table = tfrecords.read_table(dataset, split)
    wanted = table[table["landmark_id"].isin(list(landmarks))]
    wanted = wanted.groupby("landmark_id").head(each)
    jpegs = read_rows(dataset, split, set(wanted.index))
    found: dict[int, list[tuple[str, bytes]]] = {}
    for row, name, landmark in zip(
        wanted.index, wanted["id"], wanted["landmark_id"]
    ):
        found.setdefault(int(landmark), []).append((name, jpegs[row]))
    return found


def read_rows(
    dataset: tfrecords.Dataset, split: str, rows: set[int]
) -> dict[int, bytes]:
    """The JPEGs of some rows of `tfrecords.read_table`."""
    if not rows:
        return {}
    kind = {"image": tf.io.FixedLenFeature([], tf.string)}
    chosen = tf.constant(sorted(rows), tf.int64)
    records = (
        tf.data.Dataset.from_tensor_slices(
            tfrecords.file_ranges(dataset, split)
        )
        .flat_map(tfrecords.read_range)
        .enumerate()
        .filter(lambda row, record: tf.reduce_any(chosen == row))
        .take(len(rows))
    )
    with tfrecords.reading(dataset):
        return {
            int(row): tf.io.parse_single_example(record, kind)["image"].numpy()
            for row, record in records
        }
