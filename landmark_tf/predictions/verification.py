"""Predictions are withdrawn, or ranked anew, by geometric evidence.

The statistic of a prediction condenses its inlier counts. The filter (the
report, Section 3.4) withdraws predictions whose statistic is below a threshold.
Rescoring keeps all and replaces the confidence c by

    sigmoid(b + w1 logit(c) + w2 log(1 + statistic)),    w1, w2 >= 0,

the probability, fitted on labelled predictions, that the prediction is right.
GAP is an average over a ranking, so that a graded answer serves it better than
a cut.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmark_tf import InputError
from landmark_tf.files import atomic
from landmark_tf.predictions import gap

STATISTICS = ("max", "top3", "mean")

_EDGE = 1e-6  # confidences are kept this far from 0 and 1
_RIDGE = 1e-2  # of the fit: keeps weights finite where the data are separable
_MOST_THRESHOLDS = 1000


def statistic(inliers: Sequence[int], kind: str) -> float:
    """Condenses inlier counts, of which there is at least one.

    Args:
        inliers: for each training picture.
        kind: max; top3, the mean of the three largest; or mean, the report's.
    """
    if kind == "max":
        return float(max(inliers))
    best = sorted(inliers)[-3:] if kind == "top3" else inliers
    return float(np.mean(best))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was learnt from predictions whose truth is known.

    Attributes:
        statistic: the kind that it holds for.
        min_inliers: the threshold of the filter.
        bias: b of the rescoring.
        confidence: w1, the weight of the logit of the confidence.
        evidence: w2, the weight of log(1 + statistic).
        gap_before: GAP of the predictions as they were.
        gap_filtered: GAP after the filter.
        gap_rescored: GAP after rescoring.
        predictions: that were learnt from.
    """

    statistic: str
    min_inliers: float
    bias: float
    confidence: float
    evidence: float
    gap_before: float
    gap_filtered: float
    gap_rescored: float
    predictions: int

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        text = json.dumps(dataclasses.asdict(self), indent=1) + "\n"
        atomic.write_text(path, text)

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Reads what `write` wrote.

        Raises:
            InputError: the file is missing or no calibration.
        """
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            numbers = dataclasses.astuple(found)[1:]
            good = np.isfinite(np.array(numbers, np.float64)).all()
            if not good or found.statistic not in STATISTICS:
                raise ValueError("values out of range")
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                "no calibration; make one with python -m landmark_tf.verify "
                f"--calibrate ({error!r:.100}). Received: {path}"
            ) from error
        return found


def rescore(
    confidence: np.ndarray, values: np.ndarray, calibration: Calibration
) -> np.ndarray:
    """New confidences, rising with the old ones and with the evidence.

    Args:
        confidence: float [N].
        values: float [N], statistics, from 0.
        calibration: the weights.

    Returns:
        float64 [N] in (0, 1).
    """
    weights = [
        calibration.bias,
        calibration.confidence,
        calibration.evidence,
    ]
    return _sigmoid(_columns(confidence, values) @ weights)


def _columns(confidence: np.ndarray, values: np.ndarray) -> np.ndarray:
    c = np.clip(np.asarray(confidence, np.float64), _EDGE, 1 - _EDGE)
    return np.column_stack(
        [np.ones(len(c)), np.log(c / (1 - c)), np.log1p(values)]
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def calibrate(
    confidence: np.ndarray,
    values: np.ndarray,
    correct: np.ndarray,
    query: np.ndarray,
    landmark: np.ndarray,
    queries_with_landmark: int,
    kind: str,
) -> Calibration:
    """Chooses the threshold by GAP and fits the rescoring.

    Args:
        confidence: float [N], of predictions whose truth is known.
        values: float [N], statistics; NaN where there is no evidence, and the
            prediction stays as it is.
        correct: bool [N], whether the prediction is right.
        query: int [N], the place of its id among the sorted ids.
        landmark: int [N], the predicted landmark.
        queries_with_landmark: M of GAP.
        kind: of the statistic.

    Raises:
        InputError: predictions with evidence that are right and such that are
            wrong are both needed.
    """
    seen = ~np.isnan(values)
    right, wrong = int(correct[seen].sum()), int((~correct)[seen].sum())
    if not right or not wrong:
        raise InputError(
            "calibration needs verified predictions that are right and such "
            f"that are wrong. Received: {right} right, {wrong} wrong"
        )

    def score(keep: np.ndarray, ranked: np.ndarray) -> float:
        return gap.global_average_precision(
            ranked[keep],
            correct[keep],
            query[keep],
            queries_with_landmark,
            landmark[keep],
        )

    everything = np.ones(len(values), bool)
    thresholds = _candidates(values[seen])
    scores = [score(~(values < t), confidence) for t in thresholds]
    best = int(np.argmax(scores))  # the lowest of equal ones
    weights = _fit(_columns(confidence[seen], values[seen]), correct[seen])
    result = Calibration(
        statistic=kind,
        min_inliers=float(thresholds[best]),
        bias=float(weights[0]),
        confidence=float(weights[1]),
        evidence=float(weights[2]),
        gap_before=score(everything, confidence),
        gap_filtered=scores[best],
        gap_rescored=0.0,
        predictions=len(values),
    )
    ranked = np.array(confidence, np.float64)
    ranked[seen] = rescore(confidence[seen], values[seen], result)
    return dataclasses.replace(result, gap_rescored=score(everything, ranked))


def _candidates(values: np.ndarray) -> np.ndarray:
    """Thresholds that differ in what they keep, not too many of them."""
    values = np.unique(values)
    if len(values) <= _MOST_THRESHOLDS:
        return values
    shares = np.linspace(0, 1, _MOST_THRESHOLDS)
    return np.quantile(values, shares, method="nearest")


def _fit(columns: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Logistic regression whose slopes are not negative.

    Args:
        columns: float64 [N, 3], the first of them ones.
        correct: bool [N].

    Returns:
        float64 [3].
    """
    weights = np.zeros(columns.shape[1])
    used = list(range(columns.shape[1]))
    while True:
        weights[:] = 0
        weights[used] = _newton(columns[:, used], correct)
        negative = [i for i in used[1:] if weights[i] < 0]
        if not negative:
            return weights
        used.remove(min(negative, key=lambda i: weights[i]))


def _newton(columns: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Minimises the cross-entropy and a ridge on the slopes."""
    weights = np.zeros(columns.shape[1])
    ridge = np.full(len(weights), _RIDGE)
    ridge[0] = 1e-6

    def loss(w: np.ndarray) -> float:
        z = columns @ w
        return float(
            (np.logaddexp(0, z) - correct * z).sum() + ridge @ w**2 / 2
        )

    for _ in range(100):
        p = _sigmoid(columns @ weights)
        gradient = columns.T @ (p - correct) + ridge * weights
        curvature = (columns.T * (p * (1 - p))) @ columns + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-6:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return weights
