"""What every layer and every network must pass, and small networks to try."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from landmark_tf.models import resnet
from landmark_tf.models.blocks import ResNet


def narrow(row: ResNet, **changes) -> ResNet:
    """The same design with one thin block a stage and one attention module.

    Widths are those at which the squeezed vector of timm's networks keeps its
    smallest size in some stages and not in others.
    """
    small = {
        "depths": (1, 1, 1, 1),
        "widths": (8, 16, 32, 64),
        "groups": min(row.groups, 4),
        "stem": tuple((kernel, n // 8) for kernel, n in row.stem),
        "attention": (min(row.attention[0], 1), 0, 0),
        "halvings": (2, 0, 0),
        "trunk": 1,
    }
    return dataclasses.replace(row, **small | changes)


def build(name: str, image_size: int = 64, num_classes: int = 5):
    """The narrow variant of a row of the table, with varied weights."""
    model = resnet.build(
        narrow(resnet.TABLE[name]), name, num_classes, image_size
    )
    scramble(model)
    return model


def scramble(model: keras.Model, seed: int = 0) -> None:
    """Gives biases, scales and statistics values that are not all the same."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            old = keras.ops.convert_to_numpy(weight)
            weight.assign(old + random.uniform(-0.2, 0.2, old.shape))


def pictures(count: int, image_size: int, seed: int = 0) -> np.ndarray:
    """uint8 noise [count, image_size, image_size, 3]."""
    return np.random.default_rng(seed).integers(
        0, 256, (count, image_size, image_size, 3), "uint8"
    )


def check_layer(
    make: Callable[[], keras.Layer], inputs, tmp_path: pathlib.Path
) -> np.ndarray:
    """Checks config, shapes, gradients and saving; returns the outputs.

    Args:
        make: makes the layer.
        inputs: an array, or a list of arrays, that it takes.
        tmp_path: a folder to save in.
    """
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype.name), inputs
    )
    layer = make()
    model = keras.Model(symbols, layer(symbols))
    outputs = keras.ops.convert_to_numpy(model(inputs))
    assert model.output.shape == outputs.shape
    assert np.isfinite(outputs).all()
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_allclose(loaded(inputs), outputs, rtol=1e-6, atol=1e-6)
    return outputs
