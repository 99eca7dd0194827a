import numpy as np
import pandas as pd
import pytest

from landmark_tf.predictions import decisions, submission, verification
from landmark_tf.predictions.evidence import Evidence, Query

CALIBRATION = verification.Calibration(
    "max",
    5.0,
    bias=0.0,
    confidence=1.0,
    evidence=1.0,
    gap_before=0,
    gap_filtered=0,
    gap_rescored=0,
    predictions=1,
)


@pytest.fixture
def judged():
    """Seen twice for q1; q2 has no features; q3 was not looked at."""
    pairs = pd.DataFrame(
        {
            "id": ["q1", "q1", "q2", "q3"],
            "landmark_id": [7, 8, 7, 9],
            "confidence": np.array([0.6, 0.3, 0.5, 0.9], "float32"),
            "order": [0, 1, 0, 0],
        }
    )
    found = {
        Query("q1", 7): Evidence((3, 9, 6, 0), ""),
        Query("q1", 8): Evidence((4,), ""),
        Query("q2", 7): Evidence((), "the query has no features"),
    }
    return decisions.judge(pairs, found, "max")


def test_evidence_is_condensed(judged):
    np.testing.assert_array_equal(judged["statistic"], [9, 4, np.nan, np.nan])
    notes = ["", "", "the query has no features"]
    assert list(judged["note"]) == [*notes, "more confident than --skip_above"]


def test_what_is_below_the_threshold_goes(judged, tmp_path):
    found = decisions.filtered(judged, 5.0)
    assert list(found["kept"]) == [True, False, True, True]
    decisions.write(tmp_path, found, ["q0", "q1", "q2", "q3"])
    text = (tmp_path / "submission.csv").read_text().splitlines()
    assert text == [
        "id,landmarks",
        "q0,",
        "q1,7 0.600000024",
        "q2,7 0.5",
        "q3,9 0.899999976",
    ]
    table = pd.read_csv(tmp_path / "decisions.csv", keep_default_na=False)
    assert list(table["kept"]) == [True, False, True, True]
    assert list(table["statistic"]) == ["9.0", "4.0", "", ""]


def test_the_threshold_itself_is_enough(judged):
    assert decisions.filtered(judged, 9.0)["kept"][0]
    assert not decisions.filtered(judged, 9.01)["kept"][0]


def test_rescoring_keeps_all_and_reorders(judged, tmp_path):
    found = decisions.rescored(judged, CALIBRATION)
    assert found["kept"].all()
    expected = [1 / (1 + 0.4 / 0.6 / 10), 1 / (1 + 0.7 / 0.3 / 5), 0.5, 0.9]
    np.testing.assert_allclose(found["new_confidence"], expected, rtol=1e-6)
    decisions.write(tmp_path, found, ["q1", "q2", "q3"])
    pairs, _ = submission.read_submission(tmp_path / "submission.csv")
    assert list(pairs["landmark_id"]) == [7, 8, 7, 9]


def test_nothing_may_be_left(judged, tmp_path):
    found = decisions.filtered(judged[:2], np.inf)
    decisions.write(tmp_path, found, ["q1"])
    assert (tmp_path / "submission.csv").read_text() == "id,landmarks\nq1,\n"
