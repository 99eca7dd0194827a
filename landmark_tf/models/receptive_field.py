"""Which pixels a feature of a network sees, and where it stands.

    field = receptive_field.of(model, "conv4_x")
    y = field.offset[0] + field.stride[0] * row      # of its centre, in pixels

Computed from the network's layers, with the recurrences of Araujo, Norris &
Sim, "Computing Receptive Fields of Convolutional Neural Networks", 2019.
"""

import dataclasses

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Field:
    """The receptive fields of a grid of features, (y, x).

    Attributes:
        stride: pixels between the centres of two neighbours.
        first: first pixel that the feature (0, 0) sees; negative: padding.
        last: last pixel that it sees.
    """

    stride: tuple[int, int] = (1, 1)
    first: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Pixels that a feature sees."""
        return tuple(b - a + 1 for a, b in zip(self.first, self.last))

    @property
    def offset(self) -> tuple[float, float]:
        """The centre of the feature (0, 0), in pixels; a pixel's is whole."""
        return tuple((a + b) / 2 for a, b in zip(self.first, self.last))


def of(model: keras.Model, endpoint: str) -> Field:
    """Computes the receptive field of a layer's output.

    What weighs features by what lies around them is not counted: squeeze and
    excitation, and the masks of attention.

    Args:
        model: a functional model of images [N, H, W, C].
        endpoint: the layer's name.

    Raises:
        ValueError: no such layer, or there are layers before it that mix all
            pixels or take features of different strides.
    """
    model.get_layer(endpoint)
    fields: dict[int, Field] = {}
    for x in model.inputs:
        fields[id(x)] = Field()
    for layer in model.layers:
        for node in layer._inbound_nodes:  # Keras has no public way to ask
            known = [fields.get(id(x)) for x in node.input_tensors]
            if not known or None in known:  # the input, or another graph
                continue
            for x in node.output_tensors:
                fields[id(x)] = _after(layer, known)
        if layer.name == endpoint:
            break
    return fields[id(layer.output)]


def _after(layer: keras.Layer, fields: list[Field]) -> Field:
    """The field behind a layer."""
    if type(layer).__name__ == "UpsampleLike":
        like = fields[1]
        return dataclasses.replace(fields[0], stride=like.stride)
    if isinstance(layer, keras.layers.Multiply):
        return min(fields, key=lambda field: field.size)  # the other weighs
    if len(fields) > 1:
        return _union(layer, fields)
    (field,) = fields
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return _windowed(field, before=[rows[0] for rows in layer.padding])
    if hasattr(layer, "kernel_size"):
        dilation = getattr(layer, "dilation_rate", (1, 1))
        sizes = [1 + (k - 1) * d for k, d in zip(layer.kernel_size, dilation)]
        return _strided(field, sizes, layer.strides, layer.padding)
    if hasattr(layer, "pool_size"):
        return _strided(field, layer.pool_size, layer.strides, layer.padding)
    if len(layer.output.shape) != 4:
        raise ValueError(
            f"the layer mixes all pixels. Received: {layer.name!r}"
        )
    return field


def _strided(field: Field, sizes, strides, padding: str) -> Field:
    """Behind a window of some size that moves by some stride."""
    before = [0, 0]
    if padding == "same":  # of a picture whose side the stride divides
        before = [max(k - s, 0) // 2 for k, s in zip(sizes, strides)]
    return _windowed(field, before, sizes, strides)


def _windowed(field: Field, before, sizes=(1, 1), strides=(1, 1)) -> Field:
    first, last, stride = (
        np.array(x) for x in (field.first, field.last, field.stride)
    )
    before, sizes, strides = (np.array(x) for x in (before, sizes, strides))
    return Field(
        tuple((stride * strides).tolist()),
        tuple((first - before * stride).tolist()),
        tuple((last + (sizes - 1 - before) * stride).tolist()),
    )


def _union(layer: keras.Layer, fields: list[Field]) -> Field:
    strides = {field.stride for field in fields}
    if len(strides) > 1:
        raise ValueError(
            f"features of different strides meet in {layer.name!r}. "
            f"Received: {sorted(strides)}"
        )
    return Field(
        fields[0].stride,
        tuple(np.min([x.first for x in fields], axis=0).tolist()),
        tuple(np.max([x.last for x in fields], axis=0).tolist()),
    )
