"""Every network by its name.

    list_models()                                  # ["inception_v3", ...]
    model = create_model("resnet50", num_classes=23, image_size=128)
    model = load_model("runs/photos/model.keras")

All of them take uint8 images and return logits; normalisation is inside.
"""

import dataclasses
import difflib
import functools
import pathlib
from collections.abc import Callable

import keras

from landmark_tf import InputError
from landmark_tf.models import applications, graphs, resnet


@dataclasses.dataclass(frozen=True)
class Entry:
    """How to build one network, and at which sizes.

    Attributes:
        build: called with name, num_classes and image_size.
        image_size: the default side in pixels.
        smallest: the smallest side in pixels that it accepts.
        schemes: what published weights fit: "torchvision", "timm", "cadene" or
            "keras".
    """

    build: Callable[..., keras.Model]
    image_size: int
    smallest: int = 32
    schemes: tuple[str, ...] = ()


_ENTRIES = {
    name: Entry(
        functools.partial(resnet.build, row),
        image_size=128,
        schemes=row.weights,
    )
    for name, row in resnet.TABLE.items()
}
_ENTRIES["mobilenet_v2"] = Entry(
    applications.mobilenet_v2, image_size=224, schemes=("keras",)
)
_ENTRIES["inception_v3"] = Entry(
    applications.inception_v3, image_size=299, smallest=75, schemes=("keras",)
)


def list_models() -> list[str]:
    """The names that `create_model` knows, sorted."""
    return sorted(_ENTRIES)


def find(name: str) -> Entry:
    """The entry of a network.

    Raises:
        InputError: no such network; the nearest names are listed.
    """
    if name in _ENTRIES:
        return _ENTRIES[name]
    names = list_models()
    near = difflib.get_close_matches(name, names, cutoff=0.4) or names
    raise InputError(
        f"no such model; the nearest are {', '.join(near)}. Received: {name!r}"
    )


def create_model(
    name: str, num_classes: int, image_size: int | None = None
) -> keras.Model:
    """Builds a network with fresh weights.

    Args:
        name: one of `list_models()`.
        num_classes: width of the output, at least 1.
        image_size: side of the square input in pixels; None: its default.

    Returns:
        uint8 images [N, image_size, image_size, 3] -> float32 logits
        [N, num_classes].

    Raises:
        InputError: an unknown name, no class, or a size below the smallest.
    """
    entry = find(name)
    image_size = image_size or entry.image_size
    if image_size < entry.smallest:
        raise InputError(
            f"{name} needs an image size of at least {entry.smallest} pixels. "
            f"Received: {image_size}"
        )
    if num_classes < 1:
        raise InputError(
            f"a model needs at least one class. Received: {num_classes}"
        )
    with graphs.deep_graphs():
        return entry.build(
            name=name, num_classes=num_classes, image_size=image_size
        )


def load_model(path: str | pathlib.Path) -> keras.Model:
    """Loads a `.keras` file, of the deepest network too.

    Raises:
        Exception: what `keras.saving.load_model` raises.
    """
    with graphs.deep_graphs():
        return keras.saving.load_model(path, compile=False)
