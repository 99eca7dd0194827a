"""Whether confidences are probabilities of being right.

Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural
Networks", ICML 2017, equations 1 to 3.
"""

import numpy as np
import pandas as pd


def bins(
    confidence: np.ndarray, correct: np.ndarray, count: int = 10
) -> pd.DataFrame:
    """Sorts predictions by confidence into bins of equal width.

    Args:
        confidence: float [N]; above 1, as boosted ones are, counts as 1.
        correct: bool [N], whether the prediction is right.
        count: bins between 0 and 1.

    Returns:
        One bin a row: `low`, `high`, `predictions`, and of those that it has,
        else NaN: `confidence`, their mean, `accuracy`, the share that is right.
    """
    confidence = np.clip(np.asarray(confidence, np.float64), 0, 1)
    edges = np.linspace(0, 1, count + 1)
    # (low, high], and the first bin has 0 too.
    place = np.clip(np.ceil(confidence * count).astype(int) - 1, 0, count - 1)
    number = np.bincount(place, minlength=count)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, minlength=count) / number
        share = np.bincount(place, correct, minlength=count) / number
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "predictions": number,
            "confidence": mean,
            "accuracy": share,
        }
    )


def expected_calibration_error(table: pd.DataFrame) -> float:
    """The mean distance of accuracy and confidence (equation 3), in [0, 1].

    Args:
        table: as from `bins`; 0.0 where it has no prediction.
    """
    weight = table["predictions"] / max(table["predictions"].sum(), 1)
    gap = (table["accuracy"] - table["confidence"]).abs()
    return float((weight * gap.fillna(0)).sum())
