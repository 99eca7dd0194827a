"""Networks from keras.applications behind the same interface as our own."""

import keras

from landmark_tf.models import layers


def mobilenet_v2(name: str, num_classes: int, image_size: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with fresh weights.

    Args:
        name: the model's name.
        num_classes: width of the output.
        image_size: side of the square input in pixels, at least 32.

    Returns:
        uint8 images [N, image_size, image_size, 3] -> float32 logits
        [N, num_classes].
    """
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8")
    x = layers.normalize(inputs, mean=(0.5,) * 3, std=(0.5,) * 3)
    base = keras.applications.MobileNetV2(
        input_tensor=x, include_top=False, weights=None
    )
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Its 0.999 needs thousands of steps before evaluation makes sense.
            layer.momentum = layers.BATCH_NORM_MOMENTUM
    return keras.Model(
        inputs, layers.classifier(base.output, num_classes), name=name
    )
