import numpy as np

from landmark_tf.training import losses


def test_cross_entropy_by_hand():
    # softmax([0, ln 3]) = [1/4, 3/4]
    logits = np.array([[0, np.log(3)]] * 3, "float32")
    found = losses.cross_entropy(np.array([0, 1, -1]), logits)
    expected = [-np.log(1 / 4), -np.log(3 / 4), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_large_logits_stay_finite():
    logits = np.array([[1e4, -1e4], [1e4, -1e4]], "float32")
    found = losses.cross_entropy(np.array([0, 1]), logits)
    np.testing.assert_allclose(found, [0, 2e4])
