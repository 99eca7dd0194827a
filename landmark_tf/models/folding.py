"""Batch norm folded into the convolution before it, for inference.

With the moving statistics batch norm is y = x * scale + offset, and so is part
of a convolution with a bias. What is left are convolution, bias and ReLU, which
TensorFlow computes as one. The sums are the same in another order: in a trained
network outputs stay to six digits, but in one whose activations grow (deep,
untrained, or of attention) the last bit can become a whole logit. So inference
folds only what it has compared.
"""

import keras
import numpy as np

from landmark_tf.models import graphs

_TOLERANCE = 1e-5  # of the largest output
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def for_inference(model: keras.Model) -> keras.Model:
    """The folded network where its outputs are those of the network.

    Args:
        model: uint8 images [N, H, W, 3] -> logits [N, C]; not changed.

    Returns:
        `fold_batch_norm(model)`; `model` itself where, with its present
        weights, an output differs by more than 1e-5 of the largest one.
    """
    folded = fold_batch_norm(model)
    images = _pictures(*model.input_shape[1:3])
    logits, others = (
        keras.ops.convert_to_numpy(x(images, training=False)).astype("float64")
        for x in (model, folded)
    )
    difference = np.abs(others - logits).max()
    return folded if difference <= _TOLERANCE * np.abs(logits).max() else model


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Copies a network without the batch norms that follow a convolution.

    Args:
        model: a functional model, channels last; not changed.

    Returns:
        A model of the same outputs (to rounding) in inference. Its layers bear
        the same names; it must not be trained as if it had batch norm.
    """
    pairs = _pairs(model)
    folded = {norm.name for norm in pairs.values()}

    def clone(layer: keras.Layer) -> keras.Layer:
        settings = layer.get_config()
        if layer.name in folded:
            policy = layer.dtype_policy.name  # an object would not be cloned
            return keras.layers.Identity(name=layer.name, dtype=policy)
        if layer.name in pairs:
            settings["use_bias"] = True
        return type(layer).from_config(settings)

    def call(layer: keras.Layer, *inputs, **settings):
        # What batch norm was called with, a mask, means nothing to Identity.
        return layer(*inputs, **({} if layer.name in folded else settings))

    with graphs.deep_graphs():
        copy = keras.models.clone_model(
            model, clone_function=clone, call_function=call
        )
    for layer, new in zip(model.layers, copy.layers):
        if layer.name in pairs:
            new.set_weights(_fold(layer, pairs[layer.name]))
        elif layer.name not in folded:
            new.set_weights(layer.get_weights())
    return copy


def _pictures(height: int, width: int) -> np.ndarray:
    """Noise, and fields of colour as photographs have: uint8 [4, H, W, 3]."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, height, width, 3), "uint8")
    fields = random.integers(0, 256, (2, 4, 4, 3), "uint8")
    rows, columns = (np.arange(n) * 4 // n for n in (height, width))
    return np.concatenate([noise, fields[:, rows][:, :, columns]])


def _pairs(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """The batch norm behind each convolution that nothing else sees."""
    readers: dict[str, list[keras.Layer | None]] = {}
    for output in model.outputs:
        readers.setdefault(_source(output), []).append(None)
    for layer in model.layers:
        for node in layer._inbound_nodes:
            # What is called twice folds nothing.
            reader = layer if len(layer._inbound_nodes) == 1 else None
            for x in node.input_tensors:
                readers.setdefault(_source(x), []).append(reader)
    pairs = {}
    for layer in model.layers:
        found = readers.get(layer.name, ())
        if (
            isinstance(layer, _CONVOLUTIONS)
            and layer.activation is keras.activations.linear
            and len(layer._inbound_nodes) == len(found) == 1
            and isinstance(found[0], keras.layers.BatchNormalization)
        ):
            pairs[layer.name] = found[0]
    return pairs


def _source(x: keras.KerasTensor) -> str:
    """The layer whose output it is; Keras has no public way to ask."""
    return x._keras_history.operation.name


def _fold(
    conv: keras.Layer, norm: keras.layers.BatchNormalization
) -> list[np.ndarray]:
    """Kernel and bias of the convolution and the batch norm together."""
    scale = 1 / np.sqrt(_numbers(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * _numbers(norm.gamma)
    bias = _numbers(conv.bias) if conv.use_bias else 0.0
    bias = (bias - _numbers(norm.moving_mean)) * scale
    if norm.center:
        bias = bias + _numbers(norm.beta)
    kernel = _numbers(conv.kernel)
    if isinstance(conv, keras.layers.DepthwiseConv2D):
        scale = scale.reshape(kernel.shape[2:])  # channels, then multiples
    return [kernel * scale, bias]


def _numbers(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float64")
