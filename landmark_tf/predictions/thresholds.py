"""Which confidence is enough to say that there is a landmark."""

import numpy as np


def highest_keeping_gap(
    confidence: np.ndarray, correct: np.ndarray, share: float
) -> float:
    """The highest threshold whose kept predictions hold a share of the GAP.

    GAP adds up precisions at the ranks of correct predictions, so it can only
    fall when the least confident are withdrawn: without a price it would choose
    0. Giving up the share 1 - `share` lets the tail go, where few predictions
    are right.

    Args:
        confidence: float [N], one prediction a picture, landmark or not.
        correct: bool [N], whether the prediction is the picture's landmark.
        share: in (0, 1].

    Returns:
        The confidence of the last kept prediction; 0.0 when none is correct.
    """
    order = np.argsort(-confidence, kind="stable")
    right = correct[order].astype(np.float64)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    gained = np.cumsum(precision * right)
    if not len(gained) or gained[-1] == 0:
        return 0.0
    # Rounding must not push the last correct prediction out at share 1.
    last = np.searchsorted(gained, share * gained[-1] * (1 - 1e-12))
    return float(confidence[order[last]])
