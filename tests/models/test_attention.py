import keras
import numpy as np
import pytest

from landmark_tf.models import attention, blocks, resnet
from tests.models import cases

# Basic blocks: an identity when their convolutions are zero.
_BASIC = cases.narrow(resnet.TABLE["se_resnet18"])


def _module(p, t, size, channels=16):
    block = lambda x, name: blocks.residual_block(  # noqa: E731
        x, _BASIC, channels, name=name
    )
    inputs = keras.Input((size, size, channels))
    outputs = attention.se_attention(inputs, block, p=p, t=t, name="a")
    return keras.Model(inputs, outputs)


def _se_blocks(model):
    return {x.name[:-3] for x in model.layers if x.name.endswith("_se")}


@pytest.mark.parametrize(
    ("p", "t", "extra"),
    [
        (1, 2, set()),
        (1, 1, set()),
        (2, 2, {"down2", "skip1", "up1_block"}),
        (
            3,
            2,
            {"down2", "down3", "skip1", "skip2", "up1_block", "up2_block"},
        ),
    ],
)
def test_blocks_of_a_module(p, t, extra):
    trunk = {f"trunk{i + 1}" for i in range(t)}
    always = {"first", "down1", "bottom1", "bottom2", "last"}
    found = _se_blocks(_module(p, t, size=16))
    assert found == {f"a_{x}" for x in always | trunk | extra}


@pytest.mark.parametrize(("p", "size"), [(3, 16), (3, 83), (2, 9), (1, 5)])
def test_the_mask_bottoms_out_after_p_halvings(p, size):
    model = _module(p, 1, size)
    sides = [
        model.get_layer(f"a_pool{i + 1}").output.shape[1] for i in range(p)
    ]
    expected = [size]
    for _ in range(p):
        expected.append((expected[-1] + 1) // 2)
    assert sides == expected[1:]
    assert model.output.shape == (None, size, size, 16)
    mask = model.get_layer("a_mask").output
    assert mask.shape == (None, size, size, 16)


def test_fusion_by_hand():
    """Blocks that do nothing, masks of sigmoid(0): (1 + 1/2) x."""
    model = _module(p=2, t=2, size=8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([0 * w for w in layer.get_weights()])
    x = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 16)).astype("float32")
    np.testing.assert_allclose(model(x), 1.5 * x, rtol=1e-6)


def test_the_mask_sees_trunk_and_hourglass():
    """With identity blocks, the mask's input is known: up(pool) + trunk."""
    model = _module(p=1, t=1, size=4, channels=8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([0 * w for w in layer.get_weights()])
    x = np.full((1, 4, 4, 8), 2.0, "float32")
    inner = keras.Model(model.input, model.get_layer("a_up0_add").output)
    np.testing.assert_allclose(inner(x), np.full_like(x, 4.0))


def test_wiring_by_hand():
    """Every block multiplies by a number of its own, p = 2 and t = 2."""
    factors = {
        **{"first": 2.0, "trunk1": 3.0, "trunk2": 5.0, "last": 7.0},
        **{"down1": 1.1, "down2": 1.3, "bottom1": 1.7, "bottom2": 1.9},
        **{"skip1": 2.3, "up1_block": 2.9},
    }

    def block(x, name):
        factor = factors[name.removeprefix("a_")]
        return keras.layers.Rescaling(factor, name=name)(x)

    inputs = keras.Input((8, 8, 1))
    model = keras.Model(
        inputs, attention.se_attention(inputs, block, p=2, t=2, name="a")
    )
    x = np.full((1, 8, 8, 1), 0.01, "float32")
    one = 2.0 * x[0, 0, 0, 0]  # what the first block gives, everywhere
    trunk = one * 3 * 5
    level1 = one * 1.1
    bottom = level1 * 1.3 * 1.7 * 1.9
    up = (bottom + level1 * 2.3 + level1) * 2.9
    mask = up + trunk
    for conv in ("a_mask1_conv", "a_mask2_conv"):
        model.get_layer(conv).set_weights([np.full((1, 1, 1, 1), 0.5)])
        mask = 0.5 * mask / np.sqrt(1 + 1e-5)
    mask = 1 / (1 + np.exp(-mask))
    # Constant pictures stay constant: pools see zeros beyond them, and no
    # more than their edges.
    expected = np.full_like(x, (1 + mask) * trunk * 7)
    np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("seatt_resnet50", (1, 2, 5)),
        ("seatt_resnext50_base", (1, 1, 1)),
        ("seatt_base56", (1, 1, 1)),
        ("seatt_base92", (1, 2, 3)),
        ("seatt154", (1, 2, 5)),
    ],
)
def test_rows_have_their_modules(name, modules):
    row = resnet.TABLE[name]
    model = resnet.build(
        cases.narrow(row, attention=row.attention, halvings=row.halvings),
        name,
        3,
        64,
    )
    masks = {x.name for x in model.layers if x.name.endswith("_mask")}
    assert masks == {
        f"{stage}_att{i + 1}_mask"
        for stage, n in zip(resnet.STAGES, modules)
        for i in range(n)
    }
    # Sets of weights of their own.
    names = [w.path for w in model.weights]
    assert len(names) == len(set(names))
    # Every mask bottoms out at stride 32: p = 3, 2, 1.
    for stage, p in zip(resnet.STAGES, (3, 2, 1)):
        pool = model.get_layer(f"{stage}_att1_pool{p}")
        assert pool.output.shape[1] == 64 // 32


@pytest.mark.parametrize("size", [64, 65, 97, 331])
def test_weights_of_one_size_load_at_another(size):
    first = cases.build("seatt_resnext50_base", image_size=96)
    other = cases.build("seatt_resnext50_base", image_size=size)
    other.set_weights(first.get_weights())
    logits = other(cases.pictures(1, size), training=False)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("old", "new"), [((2, 2), (4, 4)), ((3, 5), (5, 9)), ((4, 1), (7, 2))]
)
def test_upsampling_is_bilinear(old, new, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *old, 3)).astype("float32")
    like = np.zeros((2, *new, 1), "float32")
    found = cases.check_layer(
        lambda: attention.UpsampleLike(), [x, like], tmp_path
    )
    rows, columns = (_interpolation(*n) for n in zip(old, new))
    expected = np.einsum("ih,jw,nhwc->nijc", rows, columns, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _interpolation(old, new):
    """The matrix [new, old] between pixel centres at half integers."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def test_upsampling_by_hand():
    x = np.array([0.0, 4.0], "float32").reshape(1, 1, 2, 1)
    like = np.zeros((1, 1, 4, 1), "float32")
    found = attention.UpsampleLike()([x, like])
    np.testing.assert_allclose(np.ravel(found), [0, 1, 3, 4])


def test_upsampling_to_a_size_known_at_run_time():
    import tensorflow as tf

    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 1))]
    model = keras.Model(inputs, attention.UpsampleLike()(inputs))
    assert model.output_shape == (None, None, None, 2)
    call = tf.function(
        model,
        input_signature=[
            [tf.TensorSpec((None, None, None, n)) for n in (2, 1)]
        ],
    )
    for size in (4, 7):
        assert call(
            [tf.ones((1, 3, 2, 2)), tf.ones((1, size, 5, 1))]
        ).shape == ((1, size, 5, 2))


@pytest.mark.parametrize("settings", [{"p": 0}, {"p": 1, "t": 0}])
def test_a_module_of_nothing_is_refused(settings):
    with pytest.raises(ValueError, match="at least 1. Received: p="):
        attention.se_attention(
            keras.Input((8, 8, 16)), None, **settings, name="a"
        )


def test_upsampling_keeps_its_precision():
    layer = attention.UpsampleLike(dtype="mixed_bfloat16")
    x, like = np.ones((1, 2, 2, 3)), np.ones((1, 5, 5, 3))
    assert layer([x, like]).dtype == "bfloat16"
