"""The residual block of every network here, and the columns of their table."""

import dataclasses

import keras

from landmark_tf.models import layers, squeeze_excite


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet:
    """A row of the table: what makes one residual network differ.

    Attributes:
        depths: blocks in each of the four stages conv2_x to conv5_x.
        bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions, the output
            `EXPANSION` times as wide as the stage; otherwise of two 3x3.
        widths: of the four stages, in channels.
        inner: output channels of the first and second convolution of a
            bottleneck, as multiples of the stage's width.
        groups: of the 3x3 convolution.
        stem: kernel and channels of the convolutions before the pool; the first
            has stride 2.
        pool_padding: of the stem's max pool, before and after.
        stride_first: whether a stage's stride sits on the bottleneck's first
            1x1 convolution, not on its 3x3.
        shortcut_kernel: of the convolution on a strided shortcut.
        se_ratio: squeeze-and-excitation's; 0: none.
        use_bias: whether convolutions have biases.
        epsilon: of batch norm.
        mean: per channel, of pixels in [0, 1]; subtracted.
        std: per channel, of pixels in [0, 1]; divided by.
        dropout: rate before the classifier.
        attention: number of Se-Att modules after each of the first three
            stages.
        halvings: p of the modules of these stages.
        trunk: t, blocks in the trunk of a module.
        schemes: what published files of weights fit, by the scheme's name.
    """

    depths: tuple[int, int, int, int]
    bottleneck: bool = True
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    inner: tuple[int, int] = (1, 1)
    groups: int = 1
    stem: tuple[tuple[int, int], ...] = ((7, 64),)
    pool_padding: tuple[int, int] = (1, 1)
    stride_first: bool = False
    shortcut_kernel: int = 1
    se_ratio: int = 0
    use_bias: bool = False
    epsilon: float = 1e-5
    mean: tuple[float, float, float] = layers.IMAGENET_MEAN
    std: tuple[float, float, float] = layers.IMAGENET_STD
    dropout: float = 0.0
    attention: tuple[int, int, int] = (0, 0, 0)
    halvings: tuple[int, int, int] = (3, 2, 1)
    trunk: int = 2
    schemes: tuple[str, ...] = ()


EXPANSION = 4  # of a bottleneck


def residual_block(x, row: ResNet, width: int, stride: int = 1, *, name: str):
    """Adds one residual block: ReLU(shortcut + SE(convolutions)).

    Args:
        x: features [N, H, W, C].
        row: the network's.
        width: the stage's, in channels.
        stride: of the block.
        name: of the block.

    Returns:
        Features [N, H / stride, W / stride, width * (4 if bottleneck else 1)],
        sides rounded up.
    """
    if row.bottleneck:
        channels = width * EXPANSION
        kernels = (1, 3, 1)
        outputs = (width * row.inner[0], width * row.inner[1], channels)
        strided = 0 if row.stride_first else 1
    else:
        channels = width
        kernels, outputs, strided = (3, 3), (width, width), 0
    common = {"epsilon": row.epsilon, "use_bias": row.use_bias}
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = layers.conv_bn(
            x,
            channels,
            row.shortcut_kernel if stride != 1 else 1,
            stride=stride,
            name=f"{name}_shortcut",
            **common,
        )
    for index, (kernel, filters) in enumerate(zip(kernels, outputs)):
        if index:
            x = keras.layers.ReLU(name=f"{name}_relu{index}")(x)
        x = layers.conv_bn(
            x,
            filters,
            kernel,
            stride=stride if index == strided else 1,
            groups=row.groups if kernel == 3 else 1,
            name=f"{name}_conv{index + 1}",
            **common,
        )
    if row.se_ratio:
        x = squeeze_excite.SqueezeExcite(row.se_ratio, name=f"{name}_se")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu")(x)
