"""Explanations against networks whose gradients are known by hand."""

import keras
import numpy as np
import pytest

from landmark_tf.models import registry
from landmark_tf.predictions.saliency import Explainer
from tests.models import cases

SIZE = 4


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def linear(weights):
    """logits = sum of weights [S, S, 3, C] * (pixel / 51 - 1)."""
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 51, -1.0, name="normalize")(inputs)
    x = keras.layers.Identity(name="conv5_x")(x)
    x = keras.layers.Flatten()(x)
    dense = keras.layers.Dense(weights.shape[-1], name="logits")
    model = keras.Model(inputs, dense(x))
    flat = weights.reshape(-1, weights.shape[-1])
    dense.set_weights([flat, np.ones(weights.shape[-1])])
    return model


@pytest.fixture
def weights():
    return np.random.default_rng(1).normal(size=(SIZE, SIZE, 3, 5))


def test_saliency_of_a_linear_network_is_its_weights(pictures, weights):
    classes = np.array([2, 0, 4])
    found = Explainer(linear(weights)).saliency(pictures, classes)
    assert found.shape == (3, SIZE, SIZE) and found.dtype == np.float32
    for saliency, label in zip(found, classes):
        expected = np.abs(weights[..., label]).max(axis=-1) / 51
        np.testing.assert_allclose(saliency, expected, rtol=1e-5)


def test_smooth_grad_of_a_linear_network_is_its_saliency(pictures, weights):
    explainer, classes = Explainer(linear(weights)), np.array([2, 0, 4])
    np.testing.assert_allclose(
        explainer.smooth_grad(pictures, classes, samples=3),
        explainer.saliency(pictures, classes),
        rtol=1e-4,
    )


def test_smooth_grad_of_a_square():
    """The gradient of x**2 is 2 x: its mean over noise tells the noise."""
    inputs = keras.Input((1, 1, 3), dtype="uint8")
    x = keras.layers.Rescaling(1.0, name="normalize")(inputs)
    x = keras.layers.Multiply(name="conv5_x")([x, x])
    model = keras.Model(inputs, keras.layers.Flatten(name="logits")(x))
    explainer = Explainer(model)
    picture = np.array([[[[0, 100, 200]]]], np.uint8)
    one = explainer.smooth_grad(picture, np.array([0]), 1, 0.1, seed=3)
    again = explainer.smooth_grad(picture, np.array([0]), 1, 0.1, seed=3)
    other = explainer.smooth_grad(picture, np.array([0]), 1, 0.1, seed=4)
    assert one == again and one != other
    draws = [
        explainer.smooth_grad(picture, np.array([0]), 1, 0.1, seed=i)[0, 0, 0]
        for i in range(200)
    ]
    # |2 n| with n of standard deviation 0.1 * 200: a mean of 2 * 20 * 0.798.
    assert np.mean(draws) == pytest.approx(2 * 20 * 0.798, rel=0.15)
    many = explainer.smooth_grad(picture, np.array([1]), 400, 0.1)
    assert many[0, 0, 0] == pytest.approx(200, rel=0.03)


def test_grad_cam_by_hand():
    """Two channels, one that speaks for class 0 and one against it."""
    inputs = keras.Input((2, 2, 3), dtype="uint8")
    x = keras.layers.Rescaling(1.0, name="normalize")(inputs)
    conv = keras.layers.Conv2D(2, 1, use_bias=False, name="conv5_x")
    pooled = keras.layers.GlobalAveragePooling2D()(conv(x))
    dense = keras.layers.Dense(2, name="logits")
    model = keras.Model(inputs, dense(pooled))
    conv.set_weights([np.array([[[[1.0, 0], [0, 1], [0, 0]]]])])
    dense.set_weights([np.array([[3.0, -1], [-1, 2]]), np.zeros(2)])
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[0, ..., 0] = [[10, 4], [0, 2]]  # red is channel 0
    picture[0, ..., 1] = [[0, 6], [5, 2]]
    # alpha = (3, -1) / 4; sums 30, 6, -5, 4; the negative one is cut off.
    found = Explainer(model).grad_cam(picture, np.array([0]))
    np.testing.assert_allclose(
        found[0], np.array([[30, 6], [0, 4]]) / 30, rtol=1e-5
    )
    # alpha = (-1, 2) / 4: -10, 8, 10, 2.
    found = Explainer(model).grad_cam(picture, np.array([1]))
    np.testing.assert_allclose(found[0], [[0, 0.8], [1, 0.2]], rtol=1e-5)


def test_nothing_speaks_for_a_class():
    model = linear(np.zeros((SIZE, SIZE, 3, 2)))
    pictures = np.ones((2, SIZE, SIZE, 3), np.uint8)
    found = Explainer(model).grad_cam(pictures, np.array([0, 1]))
    assert (found == 0).all()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "seatt_base56"])
def test_networks_of_the_table(name):
    keras.utils.set_random_seed(0)  # some random networks say nothing at all
    if name == "mobilenet_v2":
        model = registry.create_model(name, num_classes=5, image_size=64)
        cases.scramble(model)
    else:
        model = cases.build(name)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    explainer, classes = Explainer(model), np.array([1, 3])
    expected = keras.ops.convert_to_numpy(model(pictures, training=False))
    np.testing.assert_allclose(
        explainer.logits(pictures), expected, rtol=1e-3, atol=1e-3
    )
    saliency = explainer.saliency(pictures, classes)
    assert saliency.shape == (2, 64, 64) and np.isfinite(saliency).all()
    assert saliency.min() >= 0 and saliency.max() > 0
    # Of five classes some have features that speak for them.
    heat = explainer.grad_cam(pictures[[0] * 5], np.arange(5))
    assert heat.shape == (5, 64, 64) and heat.min() == 0
    most = heat.max(axis=(1, 2))
    assert ((most == 0) | (most > 0.999)).all() and most.any()
    masks = explainer.masks(pictures)
    assert bool(masks) == name.startswith("seatt")


def test_a_pixel_moves_the_score_as_its_saliency_says():
    keras.utils.set_random_seed(0)
    model = cases.build("resnet18")
    pictures = cases.pictures(1, 64)
    explainer = Explainer(model)
    saliency = explainer.saliency(pictures, np.array([2]))[0]
    y, x = np.unravel_index(saliency.argmax(), saliency.shape)
    slopes = []
    for channel in range(3):
        ends = []
        for step in (-0.25, 0.25):
            moved = pictures.astype(np.float32)
            moved[0, y, x, channel] += step
            ends.append(explainer.logits(moved)[0, 2])
        slopes.append(abs(ends[1] - ends[0]) / 0.5)
    assert max(slopes) == pytest.approx(saliency[y, x], rel=0.1)


def test_one_picture_is_explained_as_among_others():
    keras.utils.set_random_seed(0)
    model = cases.build("resnet18")
    pictures, classes = cases.pictures(3, 64), np.array([1, 3, 0])
    explainer = Explainer(model)
    for what in (explainer.saliency, explainer.grad_cam):
        together = what(pictures, classes)
        for i in range(3):
            alone = what(pictures[i : i + 1], classes[i : i + 1])
            np.testing.assert_allclose(
                alone[0], together[i], rtol=1e-3, atol=1e-4
            )


def test_masks_are_what_the_layers_give():
    keras.utils.set_random_seed(0)
    model = cases.build("seatt_base56")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3))
    found = Explainer(model).masks(pictures.astype(np.uint8))
    names = [x.name for x in model.layers if x.name.endswith("_mask")]
    assert list(found) == names and names
    for name, mask in found.items():
        part = keras.Model(model.input, model.get_layer(name).output)
        expected = part.predict(pictures.astype(np.uint8), verbose=0)
        np.testing.assert_allclose(mask, expected.mean(-1), atol=1e-4)
        assert 0 <= mask.min() and mask.max() <= 1
