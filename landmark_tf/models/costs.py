"""What a network costs: its parameters and its arithmetic."""

import math

import keras

from landmark_tf.models import squeeze_excite


def parameters(model: keras.Model) -> int:
    """The number of trainable parameters, as papers give it."""
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one picture in convolutions and dense layers.

    What papers and torchvision call FLOPs: a multiplication and the addition
    after it are one. Work on single elements is not counted.

    Args:
        model: a functional model of a fixed input size.
    """
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer: keras.Layer) -> int:
    if isinstance(layer, squeeze_excite.SqueezeExcite):
        return _of_layer(layer.reduce) + _of_layer(layer.expand)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        height, width = layer.output.shape[1:3]
        return math.prod(layer.kernel.shape) * height * width
    return 0
