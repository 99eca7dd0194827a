"""Grouped convolutions that are fast on a CPU too."""

import keras


@keras.saving.register_keras_serializable("landmark_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with `groups`, computed as the device likes best.

    The weight is the same everywhere, [k, k, C_in / groups, C_out].
    Accelerators have a grouped convolution. On a CPU TensorFlow's is a hundred
    times slower than ordinary convolutions of the groups, and these are slow
    while a group has fewer channels than a vector register: so as many groups
    as make up `CHANNELS` become one ordinary convolution, whose kernel is zero
    between groups. A graph keeps the choice of the machine that traced it: it
    runs everywhere, but export a model where it will serve.
    """

    CHANNELS = 16  # floats of a 512-bit register

    def convolution_op(self, inputs, kernel):
        if not _on_cpu():
            return super().convolution_op(inputs, kernel)
        merged = _largest_divisor(
            self.groups, self.CHANNELS // kernel.shape[-2]
        )
        parts = self.groups // merged
        kernel = _block_diagonal(kernel, parts, merged)
        outputs = [
            keras.ops.conv(
                x,
                k,
                strides=self.strides,
                padding=self.padding,
                dilation_rate=self.dilation_rate,
            )
            for x, k in zip(
                keras.ops.split(inputs, parts, axis=-1),
                keras.ops.split(kernel, parts, axis=-1),
            )
        ]
        return keras.ops.concatenate(outputs, axis=-1)


def _on_cpu() -> bool:
    """Whether there is no accelerator, as far as the backend tells."""
    try:
        return keras.distribution.list_devices()[0].startswith("cpu")
    except AttributeError:
        return False


def _largest_divisor(number: int, at_most: int) -> int:
    return next(d for d in range(max(1, at_most), 0, -1) if number % d == 0)


def _block_diagonal(kernel, parts: int, merged: int):
    """Kernels of `parts` convolutions of `merged` groups each, side by side.

    [k, k, C_in / groups, C_out] -> [k, k, merged * C_in / groups, C_out].
    """
    *sides, inputs, outputs = kernel.shape
    per_group = outputs // (parts * merged)
    kernel = keras.ops.reshape(
        kernel, (*sides, 1, inputs, parts, merged, per_group)
    )
    same = keras.ops.eye(merged, dtype=kernel.dtype)
    same = keras.ops.reshape(same, (1, 1, merged, 1, 1, merged, 1))
    return keras.ops.reshape(kernel * same, (*sides, merged * inputs, outputs))
