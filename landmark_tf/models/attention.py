"""Se-Att: a residual attention module made of squeeze-and-excitation blocks.

"Landmark Recognition Challenge", Section 3.2 and Figure 2, after Wang et al.,
"Residual Attention Network for Image Classification", 2017. A trunk computes
features B(x), an hourglass beside it a mask P(x) in [0, 1], and the module
gives F(x) = (1 + P(x)) * B(x): the mask chooses features and cannot destroy
any.
"""

from collections.abc import Callable

import keras

from landmark_tf.models import layers


def se_attention(
    x,
    block: Callable[..., keras.KerasTensor],
    *,
    p: int,
    t: int = 2,
    epsilon: float = 1e-5,
    name: str,
):
    """Adds one attention module to a network.

    Args:
        x: features [N, H, W, C], H and W of any size.
        block: called with a tensor and a name; returns the output of a residual
            block of the same shape.
        p: how often the mask branch halves the picture, at least 1.
        t: blocks in the trunk, at least 1.
        epsilon: of the mask's batch norm.
        name: of the module; the mask P(x) is the layer NAME_mask.

    Returns:
        Features [N, H, W, C].

    Raises:
        ValueError: p or t below 1.
    """
    if min(p, t) < 1:
        raise ValueError(f"p and t must be at least 1. Received: {p=}, {t=}")
    x = block(x, f"{name}_first")
    trunk = x
    for index in range(t):
        trunk = block(trunk, f"{name}_trunk{index + 1}")
    mask = _hourglass(x, block, p, name)
    mask = UpsampleLike(name=f"{name}_up0")([mask, trunk])
    mask = keras.layers.Add(name=f"{name}_up0_add")([mask, trunk])
    for index in (1, 2):
        mask = keras.layers.BatchNormalization(
            momentum=layers.BATCH_NORM_MOMENTUM,
            epsilon=epsilon,
            name=f"{name}_mask{index}_bn",
        )(mask)
        mask = keras.layers.ReLU(name=f"{name}_mask{index}_relu")(mask)
        mask = layers.conv(
            mask, mask.shape[-1], 1, name=f"{name}_mask{index}_conv"
        )
    mask = keras.layers.Activation("sigmoid", name=f"{name}_mask")(mask)
    masked = keras.layers.Multiply(name=f"{name}_multiply")([mask, trunk])
    fused = keras.layers.Add(name=f"{name}_fusion")([masked, trunk])
    return block(fused, f"{name}_last")


def _hourglass(x, block: Callable, p: int, name: str):
    """Down p times and up again; the result is half the size of x."""
    levels = []
    for level in range(1, p + 1):
        x = layers.max_pool(x, name=f"{name}_pool{level}")
        x = block(x, f"{name}_down{level}")
        levels.append(x)
    for index in (1, 2):
        x = block(x, f"{name}_bottom{index}")
    for level in range(p - 1, 0, -1):
        above = levels[level - 1]
        skip = block(above, f"{name}_skip{level}")
        x = UpsampleLike(name=f"{name}_up{level}")([x, above])
        x = keras.layers.Add(name=f"{name}_up{level}_add")([x, skip, above])
        x = block(x, f"{name}_up{level}_block")
    return x


@keras.saving.register_keras_serializable("landmark_tf")
class UpsampleLike(keras.layers.Layer):
    """Bilinear interpolation to the height and width of another tensor.

    Pixel centres lie at half integers, as in `keras.ops.image.resize` and in
    PyTorch's `interpolate(align_corners=False)`. Two matrix products, because
    `resize` does not take sizes that are known only at run time.

    Input: [x, like], float [N, H, W, C] and [N, H', W', ...].
    Output: float [N, H', W', C].
    """

    def call(self, inputs):
        x, like = inputs
        _, height, width, channels = keras.ops.shape(x)
        _, new_height, new_width, _ = keras.ops.shape(like)
        rows = _interpolation(height, new_height, x.dtype)
        columns = _interpolation(width, new_width, x.dtype)
        x = keras.ops.reshape(x, (-1, height, width * channels))
        x = keras.ops.matmul(rows, x)
        x = keras.ops.reshape(x, (-1, width, channels))
        x = keras.ops.matmul(columns, x)
        return keras.ops.reshape(x, (-1, new_height, new_width, channels))

    def compute_output_spec(self, inputs):
        x, like = inputs
        return keras.KerasTensor(
            (x.shape[0], *like.shape[1:3], x.shape[3]), dtype=self.compute_dtype
        )


def _interpolation(old, new, dtype: str):
    """The matrix [new, old] that interpolates `old` samples at `new` places."""
    old_f, new_f = (keras.ops.cast(n, "float32") for n in (old, new))
    places = (keras.ops.arange(new, dtype="float32") + 0.5) * old_f / new_f
    places = keras.ops.clip(places - 0.5, 0, old_f - 1)
    distances = keras.ops.abs(
        places[:, None] - keras.ops.arange(old, dtype="float32")[None]
    )
    return keras.ops.cast(keras.ops.relu(1 - distances), dtype)
