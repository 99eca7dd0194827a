"""Networks from keras.applications behind the same interface as our own."""

import collections
import re
from collections.abc import Callable, Mapping

import keras

from landmark_tf.models import layers

# The layers that end a stage, at strides 4, 8, 16 and 32.
_MOBILENET_V2 = {
    "conv2_x": "block_2_add",
    "conv3_x": "block_5_add",
    "conv4_x": "block_12_add",
    "conv5_x": "out_relu",
}
_INCEPTION_V3 = {
    "conv2_x": "activation_4",
    "conv3_x": "mixed2",
    "conv4_x": "mixed7",
    "conv5_x": "mixed10",
}


def mobilenet_v2(name: str, num_classes: int, image_size: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with fresh weights.

    Args:
        name: the model's name.
        num_classes: width of the output.
        image_size: side of the square input in pixels, at least 32.

    Returns:
        uint8 images [N, image_size, image_size, 3] -> float32 logits
        [N, num_classes]. The layers conv2_x to conv5_x hold the features at
        strides 4, 8, 16 and 32.
    """
    return _build(
        keras.applications.MobileNetV2,
        _MOBILENET_V2,
        name,
        num_classes,
        image_size,
    )


def inception_v3(name: str, num_classes: int, image_size: int) -> keras.Model:
    """InceptionV3 (Szegedy et al. 2016) with fresh weights, at least 75 px.

    Arguments and result are those of `mobilenet_v2`. Some of its convolutions
    are not padded: the sides of conv2_x to conv5_x are a little below 1/4, 1/8,
    1/16 and 1/32 of the picture's.
    """
    return _build(
        keras.applications.InceptionV3,
        _INCEPTION_V3,
        name,
        num_classes,
        image_size,
    )


def _build(
    application: Callable[..., keras.Model],
    endpoints: Mapping[str, str],
    name: str,
    num_classes: int,
    image_size: int,
) -> keras.Model:
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8")
    # What their weights expect: pixels from -1 to 1.
    x = layers.normalize(inputs, mean=(0.5,) * 3, std=(0.5,) * 3)
    base = application(input_tensor=x, include_top=False, weights=None)
    base = _rebuild(keras.Model(inputs, base.output), endpoints)
    return keras.Model(
        base.input, layers.classifier(base.output, num_classes), name=name
    )


def _rebuild(model: keras.Model, endpoints: Mapping[str, str]) -> keras.Model:
    """The same graph with lasting names, endpoints and our batch norm momentum.

    keras.applications leaves some names to a counter of the whole process, and
    its batch norms need thousands of steps (momentum 0.99 and 0.999) before
    evaluation makes sense.
    """
    names = lasting_names([layer.name for layer in model.layers])
    ends = {layer: stage for stage, layer in endpoints.items()}

    def clone(layer: keras.Layer) -> keras.Layer:
        settings = {**layer.get_config(), "name": names[layer.name]}
        if isinstance(layer, keras.layers.BatchNormalization):
            settings["momentum"] = layers.BATCH_NORM_MOMENTUM
        return type(layer).from_config(settings)

    def call(layer: keras.Layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if layer.name in ends:
            stage = ends[layer.name]
            outputs = keras.layers.Identity(name=stage)(outputs)
        return outputs

    return keras.models.clone_model(
        model, clone_function=clone, call_function=call
    )


def lasting_names(names: list[str]) -> dict[str, str]:
    """Numbers names like conv2d_94 from 0 on, as in a fresh process."""
    counted = re.compile(
        "(conv2d|batch_normalization|activation|concatenate|"
        r"(?:max|average)_pooling2d)(?:_(\d+))?"
    )
    groups = collections.defaultdict(list)
    for name in names:
        if found := counted.fullmatch(name):
            groups[found[1]].append((int(found[2] or 0), name))
    lasting = {name: name for name in names}
    for kind, members in groups.items():
        for index, (_, name) in enumerate(sorted(members)):
            lasting[name] = f"{kind}_{index}" if index else kind
    return lasting
