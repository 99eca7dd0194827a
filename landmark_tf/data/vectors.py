"""The vectors that a frozen backbone makes of a dataset's pictures, on disk.

Where only the classifier is trained, each picture needs to go through the
backbone but once (Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N,
2019, Section 3.3).

    vectors.write(dataset, "train", folder, embed, fingerprint=..., ...)
    batches = vectors.train_batches(dataset, folder, ...)

The folder has a file for each of the dataset's, of the same name and with the
vectors of the same pictures in the same places, in float16. So every split,
part of a split and share of a host is read as `pipeline` reads pictures, in the
same order. The batches have the same keys as well: "image" is what the model
takes, here a vector.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import order, tfrecords, vector_files
from landmark_tf.data import pipeline as pictures


def write(
    dataset: tfrecords.Dataset,
    split: str,
    folder: str | os.PathLike,
    embed: Callable[[tf.Tensor], tf.Tensor],
    *,
    fingerprint: str,
    batch_size: int,
    image_size: int,
    num_pipelines: int = 1,
    pipeline: int = 0,
) -> None:
    """Makes the vectors of a split's files, as far as they are missing.

    Pictures are prepared as in evaluation and not augmented. Files that the
    split touches are made whole, so that its other parts need fewer.

    Args:
        dataset: what `tfrecords.open_dataset` returned.
        split: as TFDS writes it, such as `train` or `train[:10%]`.
        folder: made where it is missing.
        embed: uint8 [B, S, S, 3] -> float [B, D]; made into one graph. Numbers
            too large for float16 become its largest.
        fingerprint: of all that the vectors depend on: the backbone and its
            weights, the image size, the dataset. Vectors in the folder that
            have another one are deleted.
        batch_size: B.
        image_size: S, in pixels.
        num_pipelines: hosts that write, each its own files, to one file system.
        pipeline: which of them this is. The first one deletes, and the others
            wait for it; the files of all are there when all have returned.

    Raises:
        InputError: there is no such split, a file of the dataset is damaged, or
            the first host does not begin.
        ValueError: `embed` does not give a vector for each picture.
    """
    folder = Path(folder)
    counts = vector_files.record_counts(dataset, split)
    mine = {x: counts[x] for x in list(counts)[pipeline::num_pipelines]}

    shape = [batch_size, image_size, image_size, 3]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)])
    def vectors_of(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(embed(images), tf.float32)

    def find_dimension() -> int:
        found = vectors_of.get_concrete_function().output_shapes
        if found.rank != 2 or found[0] != batch_size or not found[1]:
            raise ValueError(
                f"embed must give [{batch_size}, D]. Received: {found}"
            )
        return found[1]

    def records_of(counts: Mapping[str, int]) -> Iterator[bytes]:
        for batch in _batches(counts, batch_size, image_size):
            found = vectors_of(batch["image"]).numpy()
            labels, ids = batch["label"].numpy().tolist(), batch["id"].numpy()
            for vector, label, id in zip(found, labels, ids, strict=True):
                yield vector_files.serialize(vector, label, id)

    if pipeline == 0:
        vector_files.prepare(folder, fingerprint, find_dimension)
    else:
        vector_files.wait(folder, fingerprint)
    with tfrecords.reading(dataset):
        vector_files.write_missing(folder, mine, records_of)


def train_batches(
    dataset: tfrecords.Dataset,
    folder: str | os.PathLike,
    *,
    split: str = "train",
    batch_size: int,
    seed: int,
    first_step: int = 0,
    epochs: int,
    num_pipelines: int = 1,
    pipeline: int = 0,
    repeats: np.ndarray | None = None,
) -> tf.data.Dataset:
    """What `pipeline.train_batches` gives, with vectors in place of pictures.

    They come from `folder`, where `write` has put those of the split, in the
    same order as the pictures. For the other arguments and errors see there.

    Returns:
        Batches of {"image": float32 [B, D], "label": int32 [B]}.

    Raises:
        InputError: also where the folder has no vectors.
    """
    dimension = vector_files.dimension(folder)
    records = order.shuffled(
        dataset,
        split,
        folder,
        steps=pictures.steps_per_epoch(
            dataset, split, batch_size * num_pipelines
        ),
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        epochs=epochs,
        num_pipelines=num_pipelines,
        pipeline=pipeline,
        repeats=repeats,
    )

    def examples(records: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
        return vector_files.parse(records, dimension)

    batches = records.batch(batch_size, drop_remainder=True)
    # In parallel it is no faster, and TensorFlow complains of such a map where
    # its operations are deterministic.
    return order.ready(batches.map(examples))


def evaluation_batches(
    dataset: tfrecords.Dataset,
    folder: str | os.PathLike,
    split: str,
    *,
    batch_size: int,
    num_pipelines: int = 1,
    pipeline: int = 0,
) -> tf.data.Dataset:
    """What `pipeline.evaluation_batches` gives, with vectors for pictures.

    For the arguments see `train_batches`.

    Returns:
        Batches of {"image": float32 [B, D], "label": int32 [B], "row": int32
        [B], "weight": float32 [B]}, filled up as there.

    Raises:
        InputError: there is no such split, or the folder has no vectors.
    """
    dimension = vector_files.dimension(folder)

    def examples(rows: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
        return vector_files.parse(records, dimension) | {
            "row": tf.cast(rows, tf.int32),
            "weight": tf.ones_like(rows, tf.float32),
        }

    def in_blocks(rows: tf.data.Dataset) -> tf.data.Dataset:
        blocks = rows.batch(order.BLOCK)
        return blocks.map(examples, tf.data.AUTOTUNE).unbatch()

    nothing = {
        "image": np.zeros(dimension, np.float32),
        "label": np.int32(-1),
        "row": np.int32(-1),
        "weight": np.float32(0),
    }
    parts = order.shares(dataset, split, num_pipelines, folder)
    return order.in_order(parts, pipeline, batch_size, in_blocks, nothing)


@contextlib.contextmanager
def reading(folder: str | os.PathLike) -> Iterator[None]:
    """Names the folder when vectors turn out to be damaged or missing.

    Raises:
        InputError: a file is missing, a record's checksum is wrong, or a file
            ends too early.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        reason = error.message.splitlines()[0][:200]
        raise InputError(
            f"a file of the vectors is damaged or missing ({reason}); delete "
            "the folder and run the same command again, which makes them anew. "
            f"Received: {folder}"
        ) from error


def _batches(
    counts: Mapping[str, int], batch_size: int, image_size: int
) -> tf.data.Dataset:
    """Pictures with label and id, file after file; the last batch filled up."""

    def picture(_: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, pictures.FEATURES)
        image = pictures.preprocess(example["image"], image_size)
        return example | {"image": image}

    sizes = np.array(list(counts.values()), np.int64)
    files = {"file": list(counts), "skip": np.zeros_like(sizes), "take": sizes}
    nothing = {
        "image": np.zeros((image_size, image_size, 3), np.uint8),
        "label": np.int64(-1),
        "id": b"",
    }
    return order.in_order(
        [files],
        0,
        batch_size,
        lambda rows: rows.map(picture, tf.data.AUTOTUNE),
        nothing,
    )
