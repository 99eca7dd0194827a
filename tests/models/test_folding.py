import keras
import numpy as np
import pytest

from landmark_tf.models import folding, registry, resnet
from tests.models import cases


def _norms(model):
    return sum(
        isinstance(x, keras.layers.BatchNormalization) for x in model.layers
    )


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnext50_32x4d", "senet154", "resnet50_keras"]
    + ["seatt_resnet50", "mobilenet_v2"],
)
def test_outputs_stay(name):
    if name in resnet.TABLE:
        model = cases.build(name)
    else:
        model = registry.create_model(name, 5, 75)
        cases.scramble(model)
    folded = folding.fold_batch_norm(model)
    # Before the masks of attention there is no convolution.
    masks = sum(x.name.endswith("_mask") for x in model.layers)
    assert _norms(folded) == masks
    assert _norms(model) > 10
    images = cases.pictures(3, model.input_shape[1])
    logits = np.array(model(images, training=False))
    difference = np.abs(folded(images, training=False) - logits).max()
    assert difference < 1e-5 * np.abs(logits).max()
    names = [[x.name for x in m.layers[1:]] for m in (folded, model)]
    assert names[0] == names[1]


def test_a_fold_by_hand():
    inputs = keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(1, 1, name="c")(inputs)
    model = keras.Model(
        inputs, keras.layers.BatchNormalization(epsilon=1, name="bn")(x)
    )
    model.get_layer("c").set_weights([np.full((1, 1, 1, 1), 2), np.array([3])])
    # gamma, beta, mean, variance: 5 (x - 7) / sqrt(8 + 1) + 6
    model.get_layer("bn").set_weights([np.array([x]) for x in (5, 6, 7, 8)])
    kernel, bias = folding.fold_batch_norm(model).get_weights()
    np.testing.assert_allclose(np.ravel(kernel), 2 * 5 / 3)
    np.testing.assert_allclose(bias, (3 - 7) * 5 / 3 + 6, rtol=1e-6)


def test_what_others_see_is_not_folded():
    """A convolution whose own output, or activation, is used."""
    inputs = keras.Input((4, 4, 2))
    shared = keras.layers.Conv2D(2, 1, name="shared")(inputs)
    normed = keras.layers.BatchNormalization()(shared)
    active = keras.layers.Conv2D(2, 1, activation="relu", name="active")(normed)
    outputs = keras.layers.Add()(
        [shared, keras.layers.BatchNormalization()(active)]
    )
    model = keras.Model(inputs, outputs)
    cases.scramble(model)
    folded = folding.fold_batch_norm(model)
    assert _norms(folded) == 2
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-5, atol=1e-6)


def test_outputs_and_shared_layers_are_not_folded():
    inputs = keras.Input((4, 4, 2))
    seen = keras.layers.Conv2D(2, 1)
    shared = keras.layers.Conv2D(2, 1)
    last = keras.layers.Conv2D(2, 1)
    norm = keras.layers.BatchNormalization()
    features = seen(inputs)
    x = keras.layers.BatchNormalization()(features)
    x = norm(shared(norm(shared(x))))
    model = keras.Model(inputs, [features, last(x)])
    cases.scramble(model)
    folded = folding.fold_batch_norm(model)
    assert _norms(folded) == 2
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype("float32")
    for ours, theirs in zip(folded(x), model(x)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_precision_stays():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(2, 1, dtype="mixed_bfloat16")(inputs)
    norm = keras.layers.BatchNormalization(dtype="mixed_bfloat16", name="n")
    folded = folding.fold_batch_norm(keras.Model(inputs, norm(x)))
    assert folded.get_layer("n").output.dtype == "bfloat16"


def test_inference_uses_what_gives_the_same():
    model = cases.build("se_resnet18")
    assert _norms(folding.for_inference(model)) == 0


@pytest.mark.parametrize("moving_variance", [1.0, np.nan])
def test_inference_does_not_use_what_differs(moving_variance):
    """Rounded to eight bits, or not a number."""
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16")(x)
    norm = keras.layers.BatchNormalization(dtype="mixed_bfloat16")
    x = keras.layers.GlobalAveragePooling2D()(norm(x))
    model = keras.Model(inputs, keras.layers.Dense(5, dtype="float32")(x))
    cases.scramble(model)
    norm.moving_variance.assign(np.full(4, moving_variance))
    assert _norms(folding.fold_batch_norm(model)) == 0
    assert folding.for_inference(model) is model
