"""Grouped convolutions that are fast on a CPU too."""

import keras


@keras.saving.register_keras_serializable("landmark_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with `groups`, computed as the device likes best.

    The weight is the same everywhere, [k, k, C_in / groups, C_out]. TensorFlow
    has no grouped convolution worth the name on a CPU (a hundred times slower
    than its groups one by one), so there the groups are computed apart;
    accelerators have one.
    """

    def convolution_op(self, inputs, kernel):
        if self.groups == 1 or keras.distribution.list_devices()[0][:3] != (
            "cpu"
        ):
            return super().convolution_op(inputs, kernel)
        parts = zip(
            keras.ops.split(inputs, self.groups, axis=-1),
            keras.ops.split(kernel, self.groups, axis=-1),
        )
        return keras.ops.concatenate(
            [
                keras.ops.conv(x, k, self.strides, self.padding)
                for x, k in parts
            ],
            axis=-1,
        )
