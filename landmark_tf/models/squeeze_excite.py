"""Squeeze-and-excitation: channels weighted by what the whole picture holds.

Hu et al., "Squeeze-and-Excitation Networks", 2018, equations 2 to 4.
"""

import keras


@keras.saving.register_keras_serializable("landmark_tf")
class SqueezeExcite(keras.layers.Layer):
    """x * sigmoid(expand(relu(reduce(mean of x over the picture)))).

    Args:
        ratio: how much narrower the reduced vector is than the input, at least
            1. It keeps at least 8 channels, as timm's does at the widths of our
            table: only two-convolution blocks are narrow enough to notice.
        **kwargs: further arguments of `keras.layers.Layer`.

    Input and output: float [N, H, W, C], H and W of any size.

    Raises:
        ValueError: a ratio below 1.
    """

    SMALLEST = 8  # channels of the reduced vector

    def __init__(self, ratio: int = 16, **kwargs):
        super().__init__(**kwargs)
        if ratio < 1:
            raise ValueError(f"ratio must be at least 1. Received: {ratio}")
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        self.reduce = keras.layers.Dense(
            max(self.SMALLEST, channels // self.ratio),
            activation="relu",
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="reduce",
        )
        self.expand = keras.layers.Dense(
            channels,
            activation="sigmoid",
            dtype=self.dtype_policy,
            name="expand",
        )
        self.reduce.build((None, channels))
        self.expand.build((None, self.reduce.units))

    def call(self, inputs):
        squeezed = keras.ops.mean(inputs, axis=(1, 2))
        weights = self.expand(self.reduce(squeezed))
        return inputs * weights[:, None, None, :]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "ratio": self.ratio}
