"""Records of a dataset in their order, before anything is decoded.

The order of training records is a function, not a state: those of epoch e come
in an order decided by (seed, e). A run that goes on after step k therefore
skips k batches of bytes, and reads on as it would have done.

`pipeline` makes pictures of the records, and `vectors` reads files that hold
the vectors of the pictures in the same places: `folder` says where.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from landmark_tf.data import randomness, tfrecords

BLOCK = 64  # records parsed at once, which costs less
FEATURES = {  # of every record, whatever else it holds
    "label": tf.io.FixedLenFeature([], tf.int64),
    "id": tf.io.FixedLenFeature([], tf.string),
}

_SHUFFLED = 4096  # records in the shuffle buffer; JPEGs: 50 MB at 160 pixels
_FILES = 16  # read at a time
_ROUNDS = 1000  # over the pictures of an epoch, at most
_NEXT_ROUND = 2**32  # epochs are fewer


def shares(
    dataset: tfrecords.Dataset,
    split: str,
    num_pipelines: int,
    folder: str | os.PathLike | None = None,
) -> list[dict[str, np.ndarray]]:
    """What each pipeline reads of a split, see `tfrecords.file_ranges`.

    Args:
        dataset: what `tfrecords.open_dataset` returned.
        split: as TFDS writes it.
        num_pipelines: hosts that read, each its own part.
        folder: of files with the dataset's names; None: the dataset's own.

    Raises:
        InputError: there is no such split.
    """
    tfrecords.split_info(dataset, split)  # or TFDS would complain below
    parts = [
        tfrecords.file_ranges(dataset, part)
        for part in tfds.even_splits(split, num_pipelines)
    ]
    if folder is not None:
        for part in parts:
            files = [str(Path(folder, Path(x).name)) for x in part["file"]]
            part["file"] = np.array(files, np.str_)
    return parts


def shuffled(
    dataset: tfrecords.Dataset,
    split: str,
    folder: str | os.PathLike | None = None,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    first_step: int,
    epochs: int,
    num_pipelines: int,
    pipeline: int,
    repeats: np.ndarray | None,
) -> tf.data.Dataset:
    """One pipeline's records of all epochs, without a gap between them.

    Args:
        dataset: see `shares`.
        split: see `shares`.
        folder: see `shares`.
        steps: of an epoch.
        batch_size: records of a step.
        seed: of the order, of the repeats and of the keys.
        first_step: steps already done, over all epochs; goes on after them.
        epochs: those already done included.
        num_pipelines: see `shares`.
        pipeline: which of them this is.
        repeats: float [C], how often in expectation a picture of each class
            comes in one pass over the files. An epoch takes as many passes as
            fill its steps. None: each comes once.

    Returns:
        A string [] and an int64 [] for each record: its bytes, and a key for
        random numbers, which together with the picture's id is another one each
        time that the picture comes.

    Raises:
        InputError: there is no such split.
        ValueError: repeats that are no number for each class, negative or all
            0.
    """
    if repeats is not None:
        repeats = _checked(repeats, dataset.num_classes)
    files = shares(dataset, split, num_pipelines, folder)[pipeline]
    first_epoch, skipped = divmod(first_step, steps)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        if repeats is None:
            return _shuffled_once(files, _key(seed, epoch)).take(
                steps * batch_size
            )
        rounds = tf.data.Dataset.range(
            epoch, epoch + _ROUNDS * _NEXT_ROUND, _NEXT_ROUND
        )
        records = rounds.flat_map(
            lambda number: _shuffled_repeats(files, _key(seed, number), repeats)
        ).take(steps * batch_size)
        # Or an epoch would be shorter where no picture is ever repeated.
        full = tf.data.experimental.assert_cardinality(steps * batch_size)
        return records.apply(full)

    records = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    return records.skip(skipped * batch_size)


def in_order(
    parts: list[dict[str, np.ndarray]],
    pipeline: int,
    batch_size: int,
    examples: Callable[[tf.data.Dataset], tf.data.Dataset],
    nothing: dict[str, np.ndarray],
) -> tf.data.Dataset:
    """Every record once over all pipelines, in the order on disk.

    The last batches are filled up, so that all are full and every pipeline has
    the same number.

    Args:
        parts: what `shares` returned.
        pipeline: which of them to read.
        batch_size: examples in a batch.
        examples: makes examples of (int64 [], string []), a record's place over
            all parts and its bytes; keeps their number and order.
        nothing: the example that fills a batch up.
    """
    sizes = [int(sum(part["take"])) for part in parts]
    full = -(-max(sizes) // batch_size) * batch_size
    records = tf.data.Dataset.from_tensor_slices(parts[pipeline])
    rows = records.flat_map(tfrecords.read_range).enumerate(
        sum(sizes[:pipeline])
    )
    filling = tf.data.Dataset.from_tensors(nothing)
    filled = examples(rows).concatenate(filling.repeat(full - sizes[pipeline]))
    return ready(filled.batch(batch_size, drop_remainder=True))


def ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches made ahead of their use, in their order, by all cores."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF  # `shares` has done it
    )
    # Examples, not the operations within one, are spread over the cores.
    options.threading.max_intra_op_parallelism = 1
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def _checked(repeats: np.ndarray, num_classes: int) -> np.ndarray:
    found = np.asarray(repeats, np.float32)
    good = found.shape == (num_classes,) and np.isfinite(found).all()
    if not (good and (found >= 0).all() and found.any()):
        raise ValueError(
            f"repeats must be finite numbers for {num_classes} classes, none "
            f"below 0 and not all 0. Received: {repeats!r}"
        )
    return found


def _key(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """int64 [2], a hash of (seed, epoch)."""
    return tf.raw_ops.StatelessRandomUniformFullInt(
        shape=[2], seed=tf.stack([seed, epoch]), dtype=tf.int64
    )


def _shuffled_once(
    files: dict[str, np.ndarray], key: tf.Tensor
) -> tf.data.Dataset:
    """Records in an order decided by `key`: files, then a shuffle buffer."""
    # Paired without a function call for each, as a map would cost.
    return tf.data.Dataset.zip(
        _shuffle(_from_shuffled_files(files, key), key),
        tf.data.Dataset.from_tensors(key[0]).repeat(),
    )


def _shuffled_repeats(
    files: dict[str, np.ndarray], key: tf.Tensor, repeats: np.ndarray
) -> tf.data.Dataset:
    """Like `_shuffled_once`, but each record comes as often as `key` decides.

    The first copy has the key that it would have had alone.
    """

    def copy(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        examples = tf.io.parse_example(records, FEATURES)
        label, ids = examples["label"], examples["id"]
        expected = tf.where(
            label >= 0, tf.gather(repeats, tf.maximum(label, 0)), 0.0
        )
        whole = tf.floor(expected)
        draws = randomness.hashed(key[1], ids, 1)[:, 0]  # key[0]: augmentation
        more = tf.cast(draws < expected - whole, tf.int32)
        counts = tf.cast(whole, tf.int32) + more
        which = tf.ragged.range(counts).flat_values  # 0, 1 ... of each
        return tf.repeat(records, counts), key[0] + tf.cast(which, tf.int64)

    records = _from_shuffled_files(files, key).batch(BLOCK)
    return _shuffle(records.map(copy).unbatch(), key)


def _from_shuffled_files(
    files: dict[str, np.ndarray], key: tf.Tensor
) -> tf.data.Dataset:
    order = tf.argsort(randomness.uniform(key, len(files["file"])))
    parts = {name: tf.gather(x, order) for name, x in files.items()}
    return tf.data.Dataset.from_tensor_slices(parts).interleave(
        tfrecords.read_range, _FILES, num_parallel_calls=tf.data.AUTOTUNE
    )


def _shuffle(records: tf.data.Dataset, key: tf.Tensor) -> tf.data.Dataset:
    # This function's graph gets a seed of its own (any but 0), or the program's
    # would enter the shuffle besides `key`.
    tf.random.set_seed(1)
    return records.shuffle(
        _SHUFFLED, seed=key[1], reshuffle_each_iteration=False
    )
