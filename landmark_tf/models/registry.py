"""Every network by its name.

    list_models()                                  # ["mobilenet_v2", ...]
    model = create_model("resnet50", num_classes=23, image_size=128)

All of them take uint8 images and return logits; normalisation is inside.
"""

import dataclasses
import difflib
import functools
from collections.abc import Callable

import keras

from landmark_tf import InputError
from landmark_tf.models import applications, resnet


@dataclasses.dataclass(frozen=True)
class Entry:
    """How to build one network, and at which sizes.

    Attributes:
        build: called with name, num_classes and image_size.
        image_size: the default side in pixels.
        smallest: the smallest side in pixels that it accepts.
    """

    build: Callable[..., keras.Model]
    image_size: int
    smallest: int = 32


_ENTRIES = {
    name: Entry(functools.partial(resnet.build, row), image_size=128)
    for name, row in resnet.TABLE.items()
}
_ENTRIES["mobilenet_v2"] = Entry(applications.mobilenet_v2, image_size=224)


def list_models() -> list[str]:
    """The names that `create_model` knows, sorted."""
    return sorted(_ENTRIES)


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
    if name not in _ENTRIES:
        names = list_models()
        near = difflib.get_close_matches(name, names, cutoff=0.4) or names
        raise InputError(
            f"no such model; the nearest are {', '.join(near)}. "
            f"Received: {name!r}"
        )
    entry = _ENTRIES[name]
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
    return entry.build(
        name=name, num_classes=num_classes, image_size=image_size
    )
