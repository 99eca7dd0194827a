import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.training import losses

GAMMAS = (0.0, 0.5, 1.0, 2.0, 5.0)
SMOOTHINGS = (0.0, 0.1)
EXTREMES = [
    [1e4, -1e4, 0],
    [-1e4, 1e4, 1e4],
    [1e4, 1e4, 1e4],
    [30, 0, 0],
    [17, 0, 0],
    [8, 0, 0],
    [0, 0, 0],
    [0, 100, 0],
    [-1e-3, 1e-3, 0],
]


def with_gradient(labels, logits, gamma, smoothing=0.0, jit=None):
    """Losses, and the gradient of their sum by the logits."""
    logits = tf.convert_to_tensor(logits)

    def both(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = losses.focal(labels, logits, gamma, smoothing)
        return found, tape.gradient(found, logits)

    if jit is not None:
        both = tf.function(both, jit_compile=jit)
    return [x.numpy() for x in both(tf.constant(labels), logits)]


def random_examples(count=32, classes=7, scale=3.0):
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, classes, count)
    return labels, rng.normal(0, scale, (count, classes))


def test_cross_entropy_by_hand():
    # softmax([0, ln 3]) = [1/4, 3/4]
    logits = np.array([[0, np.log(3)]] * 3, "float32")
    found = losses.cross_entropy(np.array([0, 1, -1]), logits)
    expected = [-np.log(1 / 4), -np.log(3 / 4), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_focal_by_hand():
    logits = np.array([[0, np.log(3)]] * 3, "float32")
    found = losses.focal(np.array([0, 1, -1]), logits, gamma=2)
    expected = [9 / 16 * np.log(4), 1 / 16 * np.log(4 / 3), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_smoothing_by_hand():
    # Two classes and epsilon 0.2: the targets are 0.9 and 0.1.
    labels, logits = np.array([0, -1]), np.array([[0, np.log(3)]] * 2)
    found = losses.cross_entropy(labels, logits, label_smoothing=0.2)
    expected = 0.9 * np.log(4) + 0.1 * np.log(4 / 3)
    np.testing.assert_allclose(found, [expected, 0], rtol=1e-12)
    found = losses.focal(labels, logits, gamma=2, label_smoothing=0.2)
    expected = 0.9 * 9 / 16 * np.log(4) + 0.1 * 1 / 16 * np.log(4 / 3)
    np.testing.assert_allclose(found, [expected, 0], rtol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_it_agrees_with_keras_where_keras_does_not_clip(gamma, smoothing):
    labels, logits = random_examples(scale=1.0)
    labels = np.maximum(labels, 0)
    found = losses.focal(labels, logits, gamma, smoothing)
    peer = keras.losses.CategoricalFocalCrossentropy(
        alpha=1,
        gamma=gamma,
        from_logits=True,
        label_smoothing=smoothing,
        reduction=None,
        dtype="float64",
    )
    expected = peer(np.eye(7)[labels], logits)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_0_is_cross_entropy_to_the_last_digit(dtype):
    labels, logits = random_examples()
    labels, logits = np.abs(labels), tf.constant(logits, dtype)
    found, gradient = with_gradient(labels, logits, 0.0)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        expected = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels, logits
        )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradient, tape.gradient(expected, logits))
    for smoothing in (0.0, 0.1):
        np.testing.assert_array_equal(
            losses.focal(labels, logits, 0, smoothing),
            losses.cross_entropy(labels, logits, smoothing),
        )


def test_it_is_continuous_at_gamma_0():
    labels, logits = random_examples()
    near = with_gradient(labels, logits, 1e-9, 0.1)
    at = with_gradient(labels, logits, 0.0, 0.1)
    np.testing.assert_allclose(near[0], at[0], atol=1e-6)
    np.testing.assert_allclose(near[1], at[1], atol=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_the_gradient_is_that_of_finite_differences(gamma, smoothing):
    labels, logits = random_examples()
    gradient = with_gradient(labels, logits, gamma, smoothing)[1]
    step = 1e-5
    expected = np.zeros_like(logits)
    for c in range(logits.shape[1]):
        ahead, behind = logits.copy(), logits.copy()
        ahead[:, c] += step
        behind[:, c] -= step
        rise = losses.focal(labels, ahead, gamma, smoothing) - losses.focal(
            labels, behind, gamma, smoothing
        )
        expected[:, c] = rise / (2 * step)
    assert gradient.dtype == "float64" and (labels < 0).any()
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)
    assert not gradient[labels < 0].any()
    rounded = with_gradient(labels, logits.astype("float32"), gamma, smoothing)
    np.testing.assert_allclose(rounded[1], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("gamma", [0.0, 1e-6, 0.5, 1.0, 2.0, 100.0])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_extreme_logits_cost_what_they_do_in_exact_numbers(
    dtype, gamma, smoothing
):
    """Against (1 - y)^gamma from the other classes' probabilities."""
    logits = tf.cast(np.repeat(EXTREMES, 4, axis=0), dtype)
    labels = np.tile([0, 1, 2, -1], len(EXTREMES))
    found, gradient = with_gradient(labels, logits, gamma, smoothing)
    x = logits.numpy().astype("float64")
    x -= x.max(axis=1, keepdims=True)
    log_y = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    rest = np.exp(log_y) @ (1 - np.eye(3))
    target = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    expected = -(target * rest**gamma * log_y).sum(axis=1)
    expected[labels < 0] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(gradient.astype("float64")).all()
    assert not gradient[labels < 0].any()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_compiled_it_is_the_same(gamma, jit):
    logits = np.repeat(EXTREMES, 4, axis=0).astype("float32")
    labels = np.tile([0, 1, 2, -1], len(EXTREMES))
    eager = with_gradient(labels, logits, gamma, 0.1)
    compiled = with_gradient(labels, logits, gamma, 0.1, jit)
    for a, b in zip(eager, compiled):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_bfloat16_is_reckoned_in_float32(gamma):
    labels, logits = random_examples()
    short = tf.cast(logits, "bfloat16")
    found, gradient = with_gradient(labels, short, gamma, 0.1)
    whole, expected = with_gradient(
        labels, tf.cast(short, "float32"), gamma, 0.1
    )
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(gradient, tf.cast(expected, "bfloat16"))


def test_large_logits_are_sure_and_right_or_sure_and_wrong():
    logits = np.array([[1e4, -1e4], [1e4, -1e4]], "float32")
    for gamma in GAMMAS:
        found, gradient = with_gradient([0, 1], logits, gamma)
        np.testing.assert_array_equal(found, [0, 2e4])
        np.testing.assert_array_equal(gradient, [[0, 0], [1, -1]])


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_a_gamma_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match=f"gamma must .* Received: {bad}"):
        losses.focal(np.array([0]), np.zeros((1, 2)), gamma=bad)


@pytest.mark.parametrize("bad", [-0.1, 1.0, float("nan")])
def test_a_smoothing_that_is_none_is_refused(bad):
    for loss in (losses.focal, losses.cross_entropy):
        with pytest.raises(ValueError, match=f"smoothing .* Received: {bad}"):
            loss(np.array([0]), np.zeros((1, 2)), label_smoothing=bad)
