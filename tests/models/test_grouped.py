import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.models import grouped
from tests.models import cases

SETTINGS = [
    # channels, outputs, groups, stride, padding
    (16, 16, 4, 1, "same"),
    (16, 32, 8, 2, "valid"),
    (96, 96, 3, 1, "same"),  # a group is wider than what groups are merged to
    (12, 24, 3, 2, "valid"),  # no number of groups makes up 16
    (8, 8, 8, 1, "same"),
]


def _by_hand(x, kernel, groups, stride, padding):
    """Each group's ordinary convolution, side by side."""
    parts = zip(np.split(x, groups, -1), np.split(kernel, groups, -1))
    return np.concatenate(
        [tf.nn.conv2d(a, k, stride, padding.upper()) for a, k in parts], -1
    )


@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "stride", "padding"), SETTINGS
)
def test_groups_do_not_mix(
    channels, outputs, groups, stride, padding, tmp_path
):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 9, 7, channels)).astype("float32")

    def make():
        return grouped.GroupedConv2D(
            outputs, 3, strides=stride, padding=padding, groups=groups
        )

    cases.check_layer(make, x, tmp_path)
    layer = make()
    found = layer(x)
    assert layer.kernel.shape == (3, 3, channels // groups, outputs)
    expected = _by_hand(x, np.array(layer.kernel), groups, stride, padding)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_are_those_of_the_groups():
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(2, 5, 5, 16)).astype("float32"))
    layer = grouped.GroupedConv2D(16, 3, padding="same", groups=4)
    layer.build(x.shape)
    kernel = layer.kernel.value

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            loss = tf.reduce_sum(function(x, kernel) ** 2)
        return tape.gradient(loss, [x, kernel])

    def plain(x, kernel):
        parts = zip(tf.split(x, 4, -1), tf.split(kernel, 4, -1))
        return tf.concat([tf.nn.conv2d(a, k, 1, "SAME") for a, k in parts], -1)

    for ours, theirs in zip(gradients(layer.convolution_op), gradients(plain)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_accelerator_gets_one_grouped_convolution(monkeypatch):
    """The whole weight goes to one operation."""
    calls = []

    def conv(inputs, kernel, *args, **kwargs):
        calls.append((inputs.shape, kernel.shape))
        return inputs

    layer = grouped.GroupedConv2D(16, 3, padding="same", groups=4)
    layer.build((None, 5, 5, 16))
    monkeypatch.setattr(
        keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"]
    )
    monkeypatch.setattr("keras.src.ops.conv", conv)
    layer(np.zeros((1, 5, 5, 16), "float32"))
    assert calls == [((1, 5, 5, 16), (3, 3, 4, 16))]


def test_bfloat16_computes_in_bfloat16():
    layer = grouped.GroupedConv2D(
        16, 3, padding="same", groups=4, dtype="mixed_bfloat16"
    )
    assert layer(np.ones((1, 5, 5, 16), "float32")).dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"
