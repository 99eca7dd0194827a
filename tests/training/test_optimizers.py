import keras
import numpy as np

from landmark_tf.training import optimizers


def test_sgd_by_hand():
    """Two steps with gradient 1: the decay goes through the momentum."""
    kernel = keras.Variable(np.full((1, 1), 2.0), name="kernel")
    bias = keras.Variable(np.full((1,), 2.0), name="bias")
    optimizer = optimizers.SGD(0.1, momentum=0.5, l2=0.25)
    optimizer.build([kernel, bias])
    one = np.ones((1, 1), "float32"), np.ones((1,), "float32")
    optimizer.apply(one)
    # kernel: g = 1 + 0.25 * 2 = 1.5, v = -0.15, w = 1.85; bias: w = 1.9
    np.testing.assert_allclose([kernel.numpy().item()], [1.85], rtol=1e-6)
    np.testing.assert_allclose([bias.numpy().item()], [1.9], rtol=1e-6)
    optimizer.apply(one)
    # g = 1 + 0.25 * 1.85 = 1.4625, v = -0.075 - 0.14625, w = 1.62875
    # bias: v = -0.05 - 0.1, w = 1.75
    np.testing.assert_allclose([kernel.numpy().item()], [1.62875], rtol=1e-6)
    np.testing.assert_allclose([bias.numpy().item()], [1.75], rtol=1e-6)


def test_its_settings_survive_serialisation():
    optimizer = optimizers.SGD(0.1, momentum=0.5, l2=0.25)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert isinstance(again, optimizers.SGD)
    assert (again.momentum, again.l2) == (0.5, 0.25)
