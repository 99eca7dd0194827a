"""Residual networks: one builder and a table; a new variant is a row.

He et al., "Deep Residual Learning for Image Recognition", 2015. The rows follow
torchvision and timm, so that published weights fit: the stride sits on the 3x3
convolution, stride-2 layers are padded on both sides, batch norm has epsilon
1e-5, and pixels are normalised by ImageNet's mean and standard deviation.

    model = build(TABLE["resnet50"], "resnet50", num_classes=1000,
                  image_size=224)
"""

import dataclasses

import keras

from landmark_tf.models import layers

_STAGES = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")


@dataclasses.dataclass(frozen=True)
class ResNet:
    """A row of the table: what makes one residual network differ.

    Attributes:
        block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1, four times as
            wide at the end).
        depths: blocks in each of the four stages conv2_x to conv5_x.
    """

    block: str
    depths: tuple[int, int, int, int]


TABLE = {
    "resnet18": ResNet(block="basic", depths=(2, 2, 2, 2)),
    "resnet50": ResNet(block="bottleneck", depths=(3, 4, 6, 3)),
    "resnet101": ResNet(block="bottleneck", depths=(3, 4, 23, 3)),
}


def build(
    row: ResNet, name: str, num_classes: int, image_size: int
) -> keras.Model:
    """Builds a residual network with fresh weights.

    Args:
        row: the variant.
        name: the model's name.
        num_classes: width of the output.
        image_size: side of the square input in pixels, at least 32.

    Returns:
        uint8 images [N, image_size, image_size, 3] -> float32 logits
        [N, num_classes]. The stages' outputs are the layers conv2_x to conv5_x,
        at strides 4, 8, 16 and 32.
    """
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8")
    x = layers.normalize(inputs, layers.IMAGENET_MEAN, layers.IMAGENET_STD)
    x = layers.conv_bn(x, 64, 7, stride=2, name="conv1")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = layers.max_pool(x, name="conv2_pool")
    for stage, (label, depth) in enumerate(zip(_STAGES, row.depths)):
        for index in range(depth):
            last = index == depth - 1
            x = _block(
                x,
                row,
                width=64 * 2**stage,
                stride=2 if stage > 0 and index == 0 else 1,
                name=f"{label}_block{index + 1}",
                output_name=label if last else f"{label}_block{index + 1}",
            )
    outputs = layers.classifier(x, num_classes)
    return keras.Model(inputs, outputs, name=name)


def _block(
    x, row: ResNet, width: int, stride: int, name: str, output_name: str
):
    """One residual block; `output_name` names its last ReLU."""
    kernels = {"basic": (3, 3), "bottleneck": (1, 3, 1)}[row.block]
    channels = width * (4 if row.block == "bottleneck" else 1)
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = layers.conv_bn(
            x, channels, 1, stride=stride, name=f"{name}_shortcut"
        )
    strided = kernels.index(3)
    for index, kernel in enumerate(kernels):
        last = index == len(kernels) - 1
        x = layers.conv_bn(
            x,
            channels if last else width,
            kernel,
            stride=stride if index == strided else 1,
            name=f"{name}_conv{index + 1}",
        )
        if not last:
            x = keras.layers.ReLU(name=f"{name}_relu{index + 1}")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=output_name)(x)
