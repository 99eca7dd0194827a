"""What every network here is made of: the same few layers with the same names.

Functions from a Keras tensor to a Keras tensor. A convolution called NAME is
followed by a batch norm called NAME_bn.
"""

from collections.abc import Sequence

import keras

from landmark_tf.models import grouped

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's 0.1; Keras' 0.99 needs long trainings


def normalize(x, mean: Sequence[float], std: Sequence[float]):
    """(pixel / 255 - mean) / std, for uint8 images [N, H, W, 3]."""
    return keras.layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std)],
        dtype="float32",  # bfloat16 would round to whole grey levels
        name="normalize",
    )(x)


def conv(
    x,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    use_bias: bool = False,
    name: str,
):
    """A convolution, padded by kernel // 2 on both sides as PyTorch does.

    Keras' "same" would pad a stride-2 layer on the right only, and published
    weights would not fit.
    """
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    layer = keras.layers.Conv2D if groups == 1 else grouped.GroupedConv2D
    return layer(
        channels,
        kernel,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)


def conv_bn(x, *args, epsilon: float = 1e-5, name: str, **kwargs):
    """A convolution as `conv` makes it, then batch norm."""
    x = conv(x, *args, name=name, **kwargs)
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=f"{name}_bn"
    )(x)


def max_pool(x, *, padding: tuple[int, int] = (1, 1), name: str):
    """3x3, stride 2, after a ReLU.

    Args:
        x: features [N, H, W, C], none negative: the padding is zeros.
        padding: pixels before and after: (1, 1) as torchvision, (0, 1) for what
            PyTorch's ceil_mode gives without padding.
        name: of the layer.
    """
    x = keras.layers.ZeroPadding2D((padding, padding), name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)


def classifier(x, num_classes: int, dropout: float = 0.0):
    """Global average pooling, then one dense layer of float32 logits."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(
        num_classes,
        # PyTorch's default, so that trainings from scratch start alike.
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_in", distribution="uniform"
        ),
        dtype="float32",
        name="logits",
    )(x)
