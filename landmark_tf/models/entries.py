"""What each network is built from, by its name."""

import dataclasses
import difflib
import functools
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


ENTRIES = {
    name: Entry(
        functools.partial(resnet.build, row),
        image_size=128,
        schemes=row.schemes,
    )
    for name, row in resnet.TABLE.items()
}
ENTRIES["mobilenet_v2"] = Entry(
    applications.mobilenet_v2, image_size=224, schemes=("keras",)
)
ENTRIES["inception_v3"] = Entry(
    applications.inception_v3, image_size=299, smallest=75, schemes=("keras",)
)


def find(name: str) -> Entry:
    """The entry of a network.

    Raises:
        InputError: no such network; the nearest names are listed.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    names = sorted(ENTRIES)
    near = difflib.get_close_matches(name, names, cutoff=0.4) or names
    raise InputError(
        f"no such model; the nearest are {', '.join(near)}. Received: {name!r}"
    )


def build(
    name: str, num_classes: int, image_size: int | None = None
) -> keras.Model:
    """Builds a network with fresh weights; see `registry.create_model`.

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
