"""Every network by its name.

    list_models()                                  # ["inception_v3", ...]
    model = create_model("resnet50", num_classes=23, image_size=128)
    model = create_model("resnet50_keras", 1000, weights="imagenet")
    model = load_model("runs/photos/model.keras")

All of them take uint8 images and return logits; normalisation is inside.
"""

import pathlib

import keras

from landmark_tf.models import entries, graphs
from landmark_tf.models import weights as published_weights


def list_models() -> list[str]:
    """The names that `create_model` knows, sorted."""
    return sorted(entries.ENTRIES)


def create_model(
    name: str,
    num_classes: int,
    image_size: int | None = None,
    weights: str | None = None,
) -> keras.Model:
    """Builds a network.

    Args:
        name: one of `list_models()`.
        num_classes: width of the output, at least 1.
        image_size: side of the square input in pixels; None: its default.
        weights: what to start from, as `weights.load` takes it: "imagenet", a
            run directory or a file; None: fresh ones.

    Returns:
        uint8 images [N, image_size, image_size, 3] -> float32 logits
        [N, num_classes].

    Raises:
        InputError: an unknown name, no class, a size below the smallest, or
            weights that do not fit.
    """
    model = entries.build(name, num_classes, image_size)
    if weights:
        published_weights.load(model, weights)
    return model


def load_model(path: str | pathlib.Path) -> keras.Model:
    """Loads a `.keras` file, of the deepest network too.

    Raises:
        Exception: what `keras.saving.load_model` raises.
    """
    with graphs.deep_graphs():
        return keras.saving.load_model(path, compile=False)
