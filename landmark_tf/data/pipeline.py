"""From a dataset on disk to batches of pictures.

The order and the randomness of training pictures are functions, not states:
those of epoch e come in an order decided by (seed, e), see `order`, and a
picture is changed by numbers drawn from (seed, e, id). A run that goes on after
step k therefore skips k batches of bytes, decodes none of them, and sees bit
for bit what it would have seen, with maps in parallel and on any number of
hosts.

Every host reads its own part of the files. Pictures leave as uint8: the model
normalises them.
"""

import numpy as np
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import augment as augmentation
from landmark_tf.data import order, tfrecords

FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), **order.FEATURES}

_ALIASED = 1.5  # times the image size: beyond, pictures shrink with care


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
    repeats: np.ndarray | None = None,
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
        repeats: float [C], how often in expectation a picture of each class
            comes in an epoch, each time with other changes: 3.4 is 3 times, and
            in 4 epochs of 10 once more; 0.2 is once in every fifth epoch. An
            epoch has as many steps as without: where the pictures are too many
            some are left out, and where they are too few it goes round again;
            so their mean over the pictures should be 1. None: each comes once.

    Returns:
        Batches of {"image": uint8 [B, S, S, 3], "label": int32 [B]}. An epoch
        has `steps_per_epoch(dataset, split, B * num_pipelines)` of them, and
        leaves out the pictures that do not fill one.

    Raises:
        InputError: the split cannot fill one batch, or no such augmentation.
        ValueError: repeats that are no number for each class, negative or all
            0.
    """
    if augment not in augmentation.AUGMENTS:
        raise InputError(
            f"--augment must be one of {', '.join(augmentation.AUGMENTS)}. "
            f"Received: {augment!r}"
        )
    steps = steps_per_epoch(dataset, split, batch_size * num_pipelines)
    records = order.shuffled(
        dataset,
        split,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        epochs=epochs,
        num_pipelines=num_pipelines,
        pipeline=pipeline,
        repeats=repeats,
    )
    antialias = dataset.stored_size > _ALIASED * image_size

    def draw(record: tf.Tensor, key: tf.Tensor) -> tuple:
        examples = tf.io.parse_example(record, FEATURES)
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

    # Draws are made for many at once, which costs less.
    drawn = records.batch(order.BLOCK).map(draw).unbatch()
    pictures = drawn.map(picture, tf.data.AUTOTUNE)
    return order.ready(pictures.batch(batch_size, drop_remainder=True))


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

    def picture(row: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, FEATURES)
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
    return order.in_order(
        order.shares(dataset, split, num_pipelines),
        pipeline,
        batch_size,
        lambda rows: rows.map(picture, tf.data.AUTOTUNE),
        nothing,
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
