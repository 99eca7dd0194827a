"""What every network here is made of: the same few layers with the same names.

Functions from a Keras tensor to a Keras tensor. A convolution called NAME is
followed by a batch norm called NAME_bn.
"""

from collections.abc import Sequence

import keras

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's 0.1; Keras' 0.99 needs long trainings


def normalize(x, mean: Sequence[float], std: Sequence[float]):
    """(pixel / 255 - mean) / std, for uint8 images [N, H, W, 3]."""
    return keras.layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std)],
        name="normalize",
    )(x)


def conv_bn(x, channels: int, kernel: int, *, stride: int = 1, name: str):
    """A convolution without bias, then batch norm.

    Padded by kernel // 2 on both sides as PyTorch does; Keras' "same" would pad
    a stride-2 layer on the right only, and published weights would not fit.
    """
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, name=f"{name}_bn"
    )(x)


def max_pool(x, *, name: str):
    """3x3, stride 2, padded by 1 on both sides, after a ReLU.

    The padding is zeros, which a ReLU's output never falls below.
    """
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)


def classifier(x, num_classes: int):
    """Global average pooling, then one dense layer of float32 logits."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dense(
        num_classes,
        # PyTorch's default, so that trainings from scratch start alike.
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_in", distribution="uniform"
        ),
        dtype="float32",
        name="logits",
    )(x)
