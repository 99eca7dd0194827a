import numpy as np
import pytest

from landmark_tf.predictions import thresholds

CONFIDENCE = np.array([0.5, 0.9, 0.7, 0.6], np.float32)
CORRECT = np.array([True, True, True, False])
# Ranked: 0.9 right (precision 1), 0.7 right (1), 0.6 wrong, 0.5 right (3/4).
# Together 2.75; after two 2/2.75 = 0.727.


@pytest.mark.parametrize(
    ("share", "threshold"), [(1, 0.5), (0.73, 0.5), (0.72, 0.7), (0.3, 0.9)]
)
def test_threshold_by_hand(share, threshold):
    found = thresholds.highest_keeping_gap(CONFIDENCE, CORRECT, share)
    assert found == pytest.approx(threshold)


def test_nothing_correct_keeps_everything():
    none = np.zeros(4, bool)
    assert thresholds.highest_keeping_gap(CONFIDENCE, none, 0.5) == 0.0
    assert thresholds.highest_keeping_gap(np.array([]), np.array([]), 1) == 0.0
