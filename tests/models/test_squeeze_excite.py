import keras
import numpy as np
import pytest

from landmark_tf.models import squeeze_excite
from tests.models import cases


def test_squeeze_excite_by_hand(tmp_path):
    x = np.zeros((1, 2, 2, 2), "float32")
    x[..., 0] = [[1, 3], [5, 7]]  # mean 4
    x[..., 1] = -1
    layer = squeeze_excite.SqueezeExcite(ratio=1)
    layer.build(x.shape)
    reduce = np.zeros((2, 8), "float32")
    reduce[0, 0], reduce[1, 1] = 0.5, 1.0  # 4 -> 2, and -1 -> relu -> 0
    expand = np.zeros((8, 2), "float32")
    expand[0, 0], expand[1, 1] = 0.5, 9.0  # 2 -> 1, and 0 -> 0
    bias = np.array([0.0, np.log(3)], "float32")
    layer.set_weights([reduce, np.zeros(8), expand, bias])
    weights = 1 / (1 + np.exp([-1.0, -np.log(3)]))  # 0.731 and 3/4
    np.testing.assert_allclose(layer(x), x * weights, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "ratio", "reduced"), [(256, 16, 16), (64, 16, 8), (64, 2, 32)]
)
def test_squeezed_vector_is_narrow(channels, ratio, reduced):
    layer = squeeze_excite.SqueezeExcite(ratio)
    layer.build((None, None, None, channels))
    assert [w.shape for w in layer.weights] == [
        (channels, reduced),
        (reduced,),
        (reduced, channels),
        (channels,),
    ]


def test_layer_case(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 16)).astype("float32")
    cases.check_layer(
        lambda: squeeze_excite.SqueezeExcite(ratio=4), x, tmp_path
    )


def test_it_computes_in_its_own_precision():
    layer = squeeze_excite.SqueezeExcite(dtype="mixed_bfloat16")
    outputs = layer(keras.ops.ones((2, 4, 4, 32)))
    assert outputs.dtype == "bfloat16"
    assert {w.dtype for w in layer.weights} == {"float32"}


def test_a_ratio_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1. Received: 0"):
        squeeze_excite.SqueezeExcite(ratio=0)
