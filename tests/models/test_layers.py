import keras
import numpy as np

from landmark_tf.models import layers


def test_a_strided_convolution_is_padded_on_both_sides():
    """As PyTorch: output (i) sees inputs 2i - 1, 2i, 2i + 1."""
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(
        inputs, layers.conv_bn(inputs, 1, 3, stride=2, name="c")
    )
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[0, 0] = 1  # picks the input at (2i - 1, 2j - 1)
    model.get_layer("c").set_weights([kernel])
    picture = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)
    found = model(picture, training=False).numpy()[0, :, :, 0]
    expected = np.zeros((3, 3))
    expected[1:, 1:] = [[7, 9], [19, 21]]  # rows and columns 1 and 3
    np.testing.assert_allclose(found, expected / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_max_pool_sees_a_neighbour_on_each_side():
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, layers.max_pool(inputs, name="p"))
    picture = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    # Windows at rows (-1, 0, 1) and (1, 2, 3): the last of each is largest.
    np.testing.assert_array_equal(
        model(picture).numpy()[0, :, :, 0], [[5, 7], [13, 15]]
    )
