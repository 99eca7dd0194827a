import json

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.predictions import gap, verification


@pytest.mark.parametrize(
    ("kind", "expected"), [("max", 9), ("top3", 7), ("mean", 5)]
)
def test_statistics_by_hand(kind, expected):
    assert verification.statistic([9, 1, 5, 7, 3], kind) == expected


@pytest.mark.parametrize("kind", verification.STATISTICS)
def test_statistics_of_few(kind):
    assert verification.statistic([4], kind) == 4
    assert verification.statistic([4, 4], kind) == 4


def example(count=400, seed=0):
    """Right predictions have many inliers; wrong ones may be confident."""
    random = np.random.default_rng(seed)
    correct = random.random(count) < 0.4
    confidence = np.clip(random.normal(0.5 + 0.1 * correct, 0.2), 0.01, 0.99)
    values = random.poisson(np.where(correct, 14, 7)).astype("float64")
    return confidence.astype("float32"), values, correct


def calibrate(confidence, values, correct, kind="max"):
    count = len(values)
    return verification.calibrate(
        confidence,
        values,
        correct,
        np.arange(count),
        np.zeros(count, np.int64),
        int(correct.sum()),
        kind,
    )


def score(confidence, correct, total):
    return gap.global_average_precision(
        confidence, correct, np.arange(len(correct)), total
    )


def test_the_threshold_is_the_best_by_gap():
    confidence, values, correct = example()
    found = calibrate(confidence, values, correct)
    scores = {}
    for threshold in np.unique(values):
        keep = values >= threshold
        scores[threshold] = score(
            confidence[keep], correct[keep], correct.sum()
        )
    best = max(scores.values())
    assert found.gap_filtered == pytest.approx(best)
    assert scores[found.min_inliers] == best
    assert found.gap_before == pytest.approx(
        score(confidence, correct, correct.sum())
    )
    assert found.gap_filtered > found.gap_before * 1.1
    assert found.predictions == 400


def test_rescoring_ranks_by_what_is_learnt():
    confidence, values, correct = example()
    found = calibrate(confidence, values, correct)
    assert found.gap_rescored > found.gap_filtered > 0.5
    new = verification.rescore(confidence, values, found)
    assert found.gap_rescored == pytest.approx(
        score(new, correct, correct.sum())
    )
    # Probabilities: of those near p, a share p is right.
    assert new.mean() == pytest.approx(correct.mean(), abs=0.02)


def test_the_fit_is_that_of_an_independent_optimiser():
    scipy = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(1)
    columns = np.column_stack([np.ones(300), random.normal(size=(300, 2))])
    p = 1 / (1 + np.exp(-columns @ [-0.5, 1.0, 2.0]))
    correct = random.random(300) < p

    def loss(w):
        z = columns @ w
        ridge = np.array([1e-6, 1e-2, 1e-2])
        return (np.logaddexp(0, z) - correct * z).sum() + ridge @ w**2 / 2

    expected = scipy.minimize(loss, np.zeros(3), tol=1e-10).x
    found = verification._fit(columns, correct)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_rescoring_never_falls_with_confidence_or_evidence():
    """Also where the data say the opposite."""
    confidence, values, correct = example()
    for c, v in ((1 - confidence, values), (confidence, 60 - values)):
        found = calibrate(c, v, correct)
        assert found.confidence >= 0 and found.evidence >= 0
        grid = np.linspace(0, 1, 11)
        new = verification.rescore(grid, np.full(11, 5.0), found)
        assert (np.diff(new) >= 0).all()
        new = verification.rescore(np.full(11, 0.5), 9 * grid, found)
        assert (np.diff(new) >= 0).all()
    assert found.evidence == 0


def test_separable_data_leave_weights_finite():
    values = np.array([0.0, 1, 2, 20, 30, 40])
    correct = values > 10
    found = calibrate(np.full(6, 0.5, np.float32), values, correct)
    new = verification.rescore(np.full(6, 0.5), values, found)
    assert np.isfinite(new).all()
    assert found.gap_filtered == found.gap_rescored == 1
    assert found.min_inliers == 20


def test_rescoring_by_hand():
    found = verification.Calibration(
        "max",
        1.0,
        bias=-1.0,
        confidence=0.5,
        evidence=2.0,
        gap_before=0,
        gap_filtered=0,
        gap_rescored=0,
        predictions=1,
    )
    new = verification.rescore(np.array([0.8]), np.array([3.0]), found)
    z = -1 + 0.5 * np.log(4) + 2 * np.log(4)
    np.testing.assert_allclose(new, 1 / (1 + np.exp(-z)))


def test_without_evidence_predictions_stay_in_the_ranking():
    confidence, values, correct = example()
    values[:100] = np.nan
    found = calibrate(confidence, values, correct)
    keep = ~(values < found.min_inliers)
    assert keep[:100].all()
    expected = score(confidence[keep], correct[keep], correct.sum())
    assert found.gap_filtered == pytest.approx(expected)


@pytest.mark.parametrize("answer", [True, False])
def test_both_kinds_are_needed(answer):
    confidence, values, correct = example()
    with pytest.raises(InputError, match="Received: (400 right, 0|0 right)"):
        calibrate(confidence, values, np.full_like(correct, answer))


def test_a_calibration_survives_being_written(tmp_path):
    found = calibrate(*example())
    found.write(tmp_path / "c.json")
    assert verification.Calibration.read(tmp_path / "c.json") == found


@pytest.mark.parametrize(
    "change",
    [None, "", "{}", {"bias": "x"}, {"bias": None}, {"statistic": "x"}],
)
def test_a_damaged_calibration_is_refused(tmp_path, change):
    path = tmp_path / "c.json"
    calibrate(*example()).write(path)
    if change is None:
        path.unlink()
    elif isinstance(change, str):
        path.write_text(change)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match="no calibration.*Received: .*c.json"):
        verification.Calibration.read(path)
