"""From a dataset on disk to batches of pictures.

The order and the randomness of training pictures are functions, not states:
those of epoch e come in an order decided by (seed, e), and a picture is changed
by numbers drawn from (seed, e, id). A run that goes on after step k therefore
skips k batches of bytes, decodes none of them, and sees bit for bit what it
would have seen, with maps in parallel and on any number of hosts.

Every host reads its own part of the files. Pictures leave as uint8: the model
normalises them.
"""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from landmark_tf import InputError
from landmark_tf.data import augment as augmentation
from landmark_tf.data import randomness, tfrecords

_SHUFFLED = 4096  # JPEGs in the shuffle buffer, about 50 MB at 160 pixels
_ALIASED = 1.5  # times the image size: beyond, pictures shrink with care
_FILES = 16  # read at a time
_BLOCK = 64  # records parsed and draws made at once, which costs less
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "id": tf.io.FixedLenFeature([], tf.string),
}


def train_batches(
    dataset: tfrecords.Dataset,
    *,
    split: str = "train",
    batch_size: int,
    image_size: int,
    seed: int,
    augment: str = "report",
    first_step: int = 0,
    epochs: int,
    num_pipelines: int = 1,
    pipeline: int = 0,
) -> tf.data.Dataset:
    """Shuffled, augmented batches over all epochs, without a gap between them.

    Args:
        dataset: what `tfrecords.open_dataset` returned.
        split: as TFDS writes it, such as `train` or `train[:10%]`.
        batch_size: B, pictures in a batch of this pipeline.
        image_size: S, in pixels.
        seed: of the order and of the augmentation.
        augment: one of `augment.AUGMENTS`.
        first_step: steps already done, over all epochs; goes on after them.
        epochs: passes over the split, those already done included.
        num_pipelines: hosts that read, each its own part.
        pipeline: which of them this is.

    Returns:
        Batches of {"image": uint8 [B, S, S, 3], "label": int32 [B]}. An epoch
        has `steps_per_epoch(dataset, split, B * num_pipelines)` of them, and
        leaves out the pictures that do not fill one.

    Raises:
        InputError: the split cannot fill one batch, or no such augmentation.
    """
    if augment not in augmentation.AUGMENTS:
        raise InputError(
            f"--augment must be one of {', '.join(augmentation.AUGMENTS)}. "
            f"Received: {augment!r}"
        )
    steps = steps_per_epoch(dataset, split, batch_size * num_pipelines)
    files = _files(dataset, split, num_pipelines)[pipeline]
    first_epoch, skipped = divmod(first_step, steps)

    antialias = dataset.stored_size > _ALIASED * image_size

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        key = _key(seed, epoch)
        records = _shuffled_records(files, key).take(steps * batch_size)
        # Paired without a function call for each, as a map would cost.
        return tf.data.Dataset.zip(
            records, tf.data.Dataset.from_tensors(key[0]).repeat()
        )

    def draw(record: tf.Tensor, key: tf.Tensor) -> tuple:
        examples = tf.io.parse_example(record, _FEATURES)
        return (
            examples["image"],
            tf.cast(examples["label"], tf.int32),
            augmentation.draw(key, examples["id"], augment),
        )

    def picture(jpeg: tf.Tensor, label: tf.Tensor, drawn: dict) -> dict:
        image = augmentation.decode_and_augment(
            jpeg, drawn, image_size, antialias
        )
        return {"image": image, "label": label}

    records = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_records)
    drawn = records.skip(skipped * batch_size).batch(_BLOCK).map(draw).unbatch()
    return _batches(drawn.map(picture, tf.data.AUTOTUNE), batch_size)


def evaluation_batches(
    dataset: tfrecords.Dataset,
    split: str,
    *,
    batch_size: int,
    image_size: int,
    num_pipelines: int = 1,
    pipeline: int = 0,
) -> tf.data.Dataset:
    """Every picture once over all pipelines, in the order on disk.

    The last batches are filled up, so that all are full and every pipeline has
    the same number: what fills them has weight 0, row -1 and label -1. For the
    arguments see `train_batches`.

    Returns:
        Batches of {"image": uint8 [B, S, S, 3], "label": int32 [B] (-1: shows
        no landmark), "row": int32 [B], the place in the split as it lies on
        disk, "weight": float32 [B], 1 or 0}.
    """
    parts = _files(dataset, split, num_pipelines)
    sizes = [int(sum(part["take"])) for part in parts]
    full = -(-max(sizes) // batch_size) * batch_size

    def picture(row: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, _FEATURES)
        return {
            "image": preprocess(example["image"], image_size),
            "label": tf.cast(example["label"], tf.int32),
            "row": tf.cast(row, tf.int32),
            "weight": 1.0,
        }

    nothing = {
        "image": np.zeros((image_size, image_size, 3), np.uint8),
        "label": np.int32(-1),
        "row": np.int32(-1),
        "weight": np.float32(0),
    }
    filling = tf.data.Dataset.from_tensors(nothing)
    records = tf.data.Dataset.from_tensor_slices(parts[pipeline])
    rows = records.flat_map(tfrecords.read_range).enumerate(
        sum(sizes[:pipeline])
    )
    return _batches(
        rows.map(picture, tf.data.AUTOTUNE).concatenate(
            filling.repeat(full - sizes[pipeline])
        ),
        batch_size,
    )


def preprocess(image_bytes: tf.Tensor, image_size: int) -> tf.Tensor:
    """What evaluation, prediction and the exported model do to a picture.

    Args:
        image_bytes: a JPEG, PNG, BMP or the first frame of a GIF, string [].
        image_size: S, in pixels.

    Returns:
        uint8 [S, S, 3]: squashed to the square, bilinear, with antialiasing,
        so that large photographs come out as if they had been stored small.
    """
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    image = augmentation.squash(image, image_size, antialias=True)
    return tf.ensure_shape(
        augmentation.to_uint8(image), [image_size, image_size, 3]
    )


def steps_per_epoch(
    dataset: tfrecords.Dataset, split: str, batch_size: int
) -> int:
    """Full batches in one pass over a split.

    Args:
        dataset: what `tfrecords.open_dataset` returned.
        split: as TFDS writes it.
        batch_size: pictures of one step over all hosts and devices.

    Raises:
        InputError: there is not even one, or no such split.
    """
    pictures = tfrecords.split_info(dataset, split).num_examples
    if pictures < batch_size:
        raise InputError(
            f"one batch takes {batch_size} pictures and {split!r} of "
            f"{dataset.path} has {pictures}; lower --batch_size. "
            f"Received: {batch_size}"
        )
    return pictures // batch_size


def _files(
    dataset: tfrecords.Dataset, split: str, num_pipelines: int
) -> list[dict[str, np.ndarray]]:
    """What each pipeline reads, see `tfrecords.file_ranges`."""
    tfrecords.split_info(dataset, split)  # or TFDS would complain below
    return [
        tfrecords.file_ranges(dataset, part)
        for part in tfds.even_splits(split, num_pipelines)
    ]


def _key(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """int64 [2], a hash of (seed, epoch)."""
    return tf.raw_ops.StatelessRandomUniformFullInt(
        shape=[2], seed=tf.stack([seed, epoch]), dtype=tf.int64
    )


def _shuffled_records(
    files: dict[str, np.ndarray], key: tf.Tensor
) -> tf.data.Dataset:
    """Records in an order decided by `key`: files, then a shuffle buffer."""
    # This function's graph gets a seed of its own (any but 0), or the program's
    # would enter the shuffle besides `key`.
    tf.random.set_seed(1)
    count = len(files["file"])
    order = tf.argsort(randomness.uniform(key, count))
    parts = {name: tf.gather(x, order) for name, x in files.items()}
    return (
        tf.data.Dataset.from_tensor_slices(parts)
        .interleave(
            tfrecords.read_range,
            _FILES,
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .shuffle(_SHUFFLED, seed=key[1], reshuffle_each_iteration=False)
    )


def _batches(pictures: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF  # `_files` has done it
    )
    # Pictures, not the operations within one, are spread over the cores.
    options.threading.max_intra_op_parallelism = 1
    return (
        pictures.batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )
