import numpy as np
import pytest

from landmark_tf.predictions import reliability


def test_bins_by_hand():
    confidence = [0.0, 0.1, 0.11, 0.2, 0.95, 1.0, 1.5]
    correct = np.array([0, 1, 0, 1, 1, 1, 0], bool)
    table = reliability.bins(confidence, correct)
    assert table["predictions"].tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    seen = table[table["predictions"] > 0]
    assert seen["confidence"].tolist() == pytest.approx([0.05, 0.155, 2.95 / 3])
    assert seen["accuracy"].tolist() == pytest.approx([0.5, 0.5, 2 / 3])
    expected = (2 * 0.45 + 2 * 0.345 + 3 * 0.95 / 3) / 7
    error = reliability.expected_calibration_error(table)
    assert error == pytest.approx(expected)


def test_true_probabilities_are_on_the_diagonal():
    rng = np.random.default_rng(0)
    confidence = rng.random(100_000)
    correct = rng.random(100_000) < confidence
    table = reliability.bins(confidence, correct)
    assert np.abs(table["accuracy"] - table["confidence"]).max() < 0.02
    assert reliability.expected_calibration_error(table) < 0.01


def test_no_prediction():
    table = reliability.bins(np.array([]), np.array([], bool))
    assert table["predictions"].sum() == 0
    assert reliability.expected_calibration_error(table) == 0.0
