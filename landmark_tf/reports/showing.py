"""Photographs beside what was said of them."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from landmark_tf import InputError
from landmark_tf.data import examples, tfrecords
from landmark_tf.files import images
from landmark_tf.training.history import Training

_SIDE = 240  # pixels of a small picture


def names(training: Training | None) -> Mapping[int, str]:
    """The landmarks' names, where the dataset had any."""
    if training is None:
        return {}
    classes = tfrecords.read_classes(training.path)
    called = tfrecords.landmark_names(classes)
    return dict(zip(classes["landmark_id"], called))


def confused(
    pairs: pd.DataFrame, training: Training | None, image_root: str
) -> Iterator[tuple[Any, ...]]:
    """Rows: true and predicted name, count, and a picture of each if there is.

    Args:
        pairs: as from `confusions.pairs`.
        training: whose dataset has pictures of the landmarks; None: none.
        image_root: the queries' photographs; empty: none are shown.
    """
    called = names(training)
    landmarks = {*pairs["true"], *pairs["predicted"]}
    shown = _examples(training, landmarks)
    for true, predicted, count, example in pairs[
        ["true", "predicted", "count", "example"]
    ].itertuples(index=False):
        yield (
            called.get(true) or str(true),
            called.get(predicted) or str(predicted),
            int(count),
            _photograph(image_root, example),
            shown.get(true, ""),
            shown.get(predicted, ""),
        )


def _examples(
    training: Training | None, landmarks: set[int]
) -> dict[int, bytes]:
    if training is None:
        return {}
    try:
        dataset = tfrecords.open_dataset(training.settings.data)
        found = examples.pictures(dataset, landmarks)
    except InputError:  # the dataset has gone; the page does without
        return {}
    return {landmark: some[0][1] for landmark, some in found.items()}


def _photograph(root: str, name: str) -> bytes | str:
    if not root:
        return ""
    try:
        picture = images.open_rgb(images.find_image(root, name))
    except images.ImageError as error:
        return str(error)
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
