"""Residual networks: one builder and a table; a new variant is a row.

He et al., "Deep Residual Learning for Image Recognition", 2015; Xie et al.,
"Aggregated Residual Transformations", 2017; Hu et al., "Squeeze-and-Excitation
Networks", 2018; and the report's attention on top of these. Some rows differ
only in what published weights depend on (where the stride sits, padding,
epsilon, biases, normalisation): plain names follow torchvision and timm,
`legacy_...` and `senet154` Cadene's pretrained-models, `..._keras`
keras.applications.

    model = build(TABLE["resnet50"], "resnet50", num_classes=1000,
                  image_size=224)
"""

import dataclasses
import functools

import keras

from landmark_tf.models import attention, layers
from landmark_tf.models.blocks import ResNet, residual_block

STAGES = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")

_D50, _D101 = (3, 4, 6, 3), (3, 4, 23, 3)
_CADENE = {"pool_padding": (0, 1), "se_ratio": 16, "schemes": ("cadene",)}
_KERAS = {
    "stride_first": True,
    "use_bias": True,
    "epsilon": 1.001e-5,
    "mean": (123.68 / 255, 116.779 / 255, 103.939 / 255),
    "std": (1 / 255, 1 / 255, 1 / 255),
    "schemes": ("keras",),
}
_TORCHVISION = ("torchvision", "timm")

TABLE = {
    "resnet18": ResNet(
        depths=(2, 2, 2, 2), bottleneck=False, schemes=_TORCHVISION
    ),
    "resnet34": ResNet(depths=_D50, bottleneck=False, schemes=_TORCHVISION),
    "resnet50": ResNet(depths=_D50, schemes=_TORCHVISION),
    "resnet101": ResNet(depths=_D101, schemes=_TORCHVISION),
    "resnext50_32x4d": ResNet(
        depths=_D50, inner=(2, 2), groups=32, schemes=_TORCHVISION
    ),
    "se_resnet18": ResNet(
        depths=(2, 2, 2, 2), bottleneck=False, se_ratio=16, schemes=("timm",)
    ),
    "se_resnet50": ResNet(depths=_D50, se_ratio=16, schemes=("timm",)),
    "se_resnet101": ResNet(depths=_D101, se_ratio=16, schemes=("timm",)),
    "se_resnext50_32x4d": ResNet(
        depths=_D50, inner=(2, 2), groups=32, se_ratio=16, schemes=("timm",)
    ),
    "legacy_se_resnet50": ResNet(depths=_D50, stride_first=True, **_CADENE),
    "legacy_se_resnext50_32x4d": ResNet(
        depths=_D50, inner=(2, 2), groups=32, **_CADENE
    ),
    "senet154": ResNet(
        depths=(3, 8, 36, 3),
        inner=(2, 4),
        groups=64,
        stem=((3, 64), (3, 64), (3, 128)),
        shortcut_kernel=3,
        dropout=0.2,
        **_CADENE,
    ),
    "resnet50_keras": ResNet(depths=_D50, **_KERAS),
    "resnet101_keras": ResNet(depths=_D101, **_KERAS),
}


def _with_attention(name: str, *modules: int, **changes) -> ResNet:
    return dataclasses.replace(TABLE[name], attention=modules, **changes)


_SHALLOW = {"depths": (1, 1, 1, 3), "schemes": ()}
TABLE |= {
    "seatt_resnet50": _with_attention("legacy_se_resnet50", 1, 2, 5),
    "seatt_resnext50_32x4d": _with_attention(
        "legacy_se_resnext50_32x4d", 1, 2, 3
    ),
    "seatt_resnext50_base": _with_attention(
        "legacy_se_resnext50_32x4d", 1, 1, 1
    ),
    "seatt_base56": _with_attention("legacy_se_resnet50", 1, 1, 1, **_SHALLOW),
    "seatt_base92": _with_attention("legacy_se_resnet50", 1, 2, 3, **_SHALLOW),
    "seatt154": _with_attention("senet154", 1, 2, 5),
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
    x = layers.normalize(inputs, row.mean, row.std)
    for index, (kernel, channels) in enumerate(row.stem):
        label = f"conv1_{index + 1}" if len(row.stem) > 1 else "conv1"
        x = layers.conv_bn(
            x,
            channels,
            kernel,
            stride=1 if index else 2,
            use_bias=row.use_bias,
            epsilon=row.epsilon,
            name=label,
        )
        x = keras.layers.ReLU(name=f"{label}_relu")(x)
    x = layers.max_pool(x, padding=row.pool_padding, name="conv2_pool")
    for stage in range(4):
        x = _stage(x, row, stage)
    outputs = layers.classifier(x, num_classes, row.dropout)
    return keras.Model(inputs, outputs, name=name)


def _stage(x, row: ResNet, stage: int):
    """Blocks, then attention modules; the last layer bears the stage's name."""
    label, width = STAGES[stage], row.widths[stage]
    for index in range(row.depths[stage]):
        stride = 2 if stage > 0 and index == 0 else 1
        x = residual_block(
            x, row, width, stride, name=f"{label}_block{index + 1}"
        )
    for index in range(row.attention[stage] if stage < 3 else 0):
        x = attention.se_attention(
            x,
            functools.partial(_same_size_block, row=row, width=width),
            p=row.halvings[stage],
            t=row.trunk,
            epsilon=row.epsilon,
            name=f"{label}_att{index + 1}",
        )
    return keras.layers.Identity(name=label)(x)


def _same_size_block(x, name: str, *, row: ResNet, width: int):
    return residual_block(x, row, width, name=name)
