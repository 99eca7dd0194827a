"""Stages of fine-tuning: which layers learn, for how long, how fast.

    --stages=logits:3:0.01,conv4_x+conv5_x+logits:5:0.001

is the report's way (Section 3.3, after McNabb et al. 2018): three epochs for
the classifier alone, then five for the last two stages of the network too. A
stage that trains nothing but the classifier does so on the vectors that the
frozen rest makes of every picture once.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from landmark_tf import InputError

if TYPE_CHECKING:
    import keras

ALL, NONE = "all", "none"
_FORM = "LAYERS:EPOCHS:LEARNING_RATE, such as conv5_x+logits:3:0.01"
_ENDPOINTS = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")
_POOLED = "pool"  # behind it there is only the classifier


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        layers: names as `trainable_layers` takes them.
        epochs: how many, at least 1.
        learning_rate: above 0; the schedule's factors multiply it.
    """

    layers: tuple[str, ...]
    epochs: int
    learning_rate: float


def parse(
    words: Sequence[str], epochs: int, learning_rate: float
) -> tuple[Stage, ...]:
    """Reads the stages of a training.

    Args:
        words: LAYERS:EPOCHS:LEARNING_RATE of each stage, LAYERS with + between;
            none, or the word "none": all layers at once.
        epochs: of a training without stages.
        learning_rate: of a training without stages.

    Raises:
        InputError: a word of another form.
    """
    if tuple(words) in ((), (NONE,)):
        return (Stage((ALL,), epochs, learning_rate),)
    return tuple(_parse(word) for word in words)


def _parse(word: str) -> Stage:
    try:
        layers, epochs, learning_rate = word.split(":")
        stage = Stage(
            tuple(layers.split("+")), int(epochs), float(learning_rate)
        )
    except ValueError:
        raise InputError(
            f"--stages takes {_FORM}. Received: {word!r}"
        ) from None
    good = stage.epochs >= 1 and 0 < stage.learning_rate < math.inf
    if not good or not all(stage.layers):
        raise InputError(
            f"--stages takes {_FORM}, epochs from 1 on and a learning rate "
            f"above 0. Received: {word!r}"
        )
    return stage


def trainable_layers(
    model: "keras.Model", names: Sequence[str]
) -> list["keras.Layer"]:
    """The layers with weights that some names stand for.

    Args:
        model: a network of `models.registry`.
        names: `all`; `conv2_x` to `conv5_x`, a stage of the network: what lies
            between the end of the one before and its own (of conv2_x, the stem
            too); any other: the layer of that name and those whose names begin
            with it and an underscore.

    Raises:
        InputError: a name stands for no layer with weights.
    """
    order = [layer.name for layer in model.layers]
    chosen: dict[str, keras.Layer] = {}
    for name in names:
        if name in _ENDPOINTS:
            stage = _ENDPOINTS.index(name)
            start = order.index(_ENDPOINTS[stage - 1]) if stage else 0
            found = model.layers[start : order.index(name)]
        else:
            found = [
                layer
                for layer in model.layers
                if name == ALL or f"{layer.name}_".startswith(f"{name}_")
            ]
        found = [layer for layer in found if layer.weights]
        if not found:
            known = ", ".join((*_ENDPOINTS, "logits", ALL))
            raise InputError(
                f"--stages names no layer with weights of {model.name}; it has "
                f"{known} and the names of layers. Received: {name!r}"
            )
        chosen |= {layer.name: layer for layer in found}
    return list(chosen.values())


def freeze_all_but(model: "keras.Model", names: Sequence[str]) -> None:
    """Makes the named layers trainable and no other.

    A batch norm that is not trainable keeps its moving statistics and
    normalises by them.
    """
    chosen = {layer.name for layer in trainable_layers(model, names)}
    for layer in model.layers:
        layer.trainable = layer.name in chosen


def trains_classifier_alone(model: "keras.Model", stage: Stage) -> bool:
    """Whether all that a stage trains lies behind the pooled vector."""
    chosen = trainable_layers(model, stage.layers)
    return all(layer.name == "logits" for layer in chosen)


def split(model: "keras.Model") -> tuple["keras.Model", "keras.Model"]:
    """Cuts a network at its pooled vector.

    Returns:
        Images -> vectors [N, D], and vectors -> logits; the layers are the
        network's own.
    """
    import keras

    pooled = model.get_layer(_POOLED).output
    vector = keras.Input(pooled.shape[1:], dtype="float32", name="vector")
    x = vector
    order = [layer.name for layer in model.layers]
    for layer in model.layers[order.index(_POOLED) + 1 :]:
        x = layer(x)
    backbone = keras.Model(model.input, pooled)
    return backbone, keras.Model(vector, x, name=f"{model.name}_classifier")
