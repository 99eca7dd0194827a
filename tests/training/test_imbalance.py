import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.training import imbalance, losses

IMAGES = np.array([12, 3, 0, 1])  # 16 in all


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "kind, beta, before",
    [
        ("none", 0.999, [1, 1, 0, 1]),
        ("inverse", 0.999, [1 / 12, 1 / 3, 0, 1]),
        ("log", 0.999, [1 / math.log(13), 1 / math.log(4), 0, 1 / math.log(2)]),
        # 1 + 1/2 + 1/4 = 7/4 effective pictures of 3.
        ("effective", 0.5, [2048 / 4095, 4 / 7, 0, 1]),
        ("effective", 0.0, [1, 1, 0, 1]),
    ],
)
def test_weights_by_hand(kind, beta, before):
    found = imbalance.class_weights(IMAGES, kind, beta)
    mean = np.dot(IMAGES, before) / 16
    np.testing.assert_allclose(found, np.array(before) / mean, rtol=1e-6)
    assert found.dtype == "float32" and found.shape == (4,)
    assert np.dot(IMAGES, found) == pytest.approx(16, rel=1e-6)


def test_inverse_gives_each_class_the_same_total():
    found = imbalance.class_weights(IMAGES, "inverse")
    np.testing.assert_allclose(IMAGES * found, [16 / 3, 16 / 3, 0, 16 / 3])


def test_effective_goes_from_none_to_inverse():
    """For counts below 1 / (1 - beta), nearly inverse; far above it, equal."""
    found = imbalance.class_weights([1, 10], "effective", beta=1 - 1e-9)
    inverse = imbalance.class_weights([1, 10], "inverse")
    np.testing.assert_allclose(found, inverse, rtol=1e-5)
    found = imbalance.class_weights([10**5, 10**6], "effective", beta=0.999)
    np.testing.assert_allclose(found, [1, 1], rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "sampling, expected",
    [
        ("balanced", [16 / 36, 16 / 9, 0, 16 / 3]),
        # The sum of 12^0.5, 3^0.5 and 1 is 1 + 3 * 3^0.5.
        ("sqrt", np.array([12**-0.5, 3**-0.5, 0, 1]) * 16 / (1 + 3 * 3**0.5)),
    ],
)
def test_repeats_by_hand(sampling, expected):
    found = imbalance.repeats(IMAGES, sampling)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == "float32"


def test_balanced_classes_are_equally_frequent():
    assert imbalance.repeats(IMAGES, "natural") is None
    seen = IMAGES * imbalance.repeats(IMAGES, "balanced")
    np.testing.assert_allclose(seen, [16 / 3, 16 / 3, 0, 16 / 3], rtol=1e-6)


@pytest.mark.parametrize("images", [[3, -1], [0, 0], [], [math.nan, 1]])
def test_counts_that_are_none_are_refused(images):
    for call in (
        functools.partial(imbalance.class_weights, kind="log"),
        functools.partial(imbalance.repeats, sampling="sqrt"),
    ):
        with pytest.raises(ValueError, match=r"at least 0.* Received: \["):
            call(np.array(images))


def test_settings_that_are_none_are_refused():
    with pytest.raises(InputError, match="none, inverse.* Received: 'x'"):
        imbalance.class_weights(IMAGES, "x")
    for beta in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=f"beta .* Received: {beta}"):
            imbalance.class_weights(IMAGES, "effective", beta)
    with pytest.raises(InputError, match="natural, sqrt.* Received: 'x'"):
        imbalance.repeats(IMAGES, "x")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("graph", [False, True])
def test_the_weighted_loss(dtype, graph):
    # softmax([0, ln 3]) = [1/4, 3/4]
    logits = tf.constant([[0, math.log(3)]] * 4, dtype)
    labels = tf.constant([0, 1, -1, 0], "int32")
    loss = imbalance.weighted(losses.cross_entropy, np.array([0.5, 2.0]))
    found = (tf.function(loss) if graph else loss)(labels, logits)
    expected = [0.5 * math.log(4), 2 * math.log(4 / 3), 0, 0.5 * math.log(4)]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_its_gradient_is_weighted_too():
    logits = tf.constant([[0, math.log(3)]] * 3)
    loss = imbalance.weighted(losses.cross_entropy, np.array([0.5, 2.0]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = loss(tf.constant([0, 1, -1]), logits)
    expected = [[-0.375, 0.375], [0.5, -0.5], [0, 0]]
    found = tape.gradient(cost, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
