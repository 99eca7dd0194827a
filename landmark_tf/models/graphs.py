"""Keras' graphs of layers, where they are deep, and parts of them."""

import contextlib
import sys
from collections.abc import Iterator

import keras

_DEEPEST = 20_000  # calls; SENet-154 with attention needs 1,500


@contextlib.contextmanager
def deep_graphs() -> Iterator[None]:
    """Lets Keras walk graphs of thousands of layers, one call deep each."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def backbone(model: keras.Model, endpoint: str, image_size: int) -> keras.Model:
    """Copies a network up to one of its layers, for another size of picture.

    Args:
        model: a network of `models.registry`.
        endpoint: the layer, such as conv4_x.
        image_size: S, in pixels.

    Returns:
        uint8 images [N, S, S, 3] -> the layer's output.
    """
    part = keras.Model(model.input, model.get_layer(endpoint).output)
    images = keras.Input((image_size, image_size, 3), dtype="uint8")
    with deep_graphs():
        copy = keras.models.clone_model(part, input_tensors=images)
    copy.set_weights(part.get_weights())
    return copy
