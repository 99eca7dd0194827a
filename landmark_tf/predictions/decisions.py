"""What becomes of each prediction, in one table.

`id`, `predicted` and `confidence` as the submission has them; `statistic` of
the inlier counts, NaN where there are none, and why in `note`; then `kept` and
`new_confidence`. A prediction without evidence stays as it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from landmark_tf.files import atomic
from landmark_tf.predictions import submission, verification
from landmark_tf.predictions.evidence import Evidence, Query

_COLUMNS = ["id", "predicted", "confidence", "statistic"]


def judge(
    pairs: pd.DataFrame, found: Mapping[Query, Evidence], kind: str
) -> pd.DataFrame:
    """Condenses the evidence.

    Args:
        pairs: the predictions, as from `submission.read_submission`.
        found: evidence; a prediction that was not looked at has none.
        kind: of the statistic; see `verification.statistic`.

    Returns:
        `id`, `predicted`, `confidence`, `statistic`, `note`, in the order of
        `pairs`.
    """
    unseen = Evidence((), "more confident than --skip_above")
    queries = map(Query, pairs["id"], pairs["landmark_id"].tolist())
    known = [found.get(query, unseen) for query in queries]
    values = [
        verification.statistic(x.inliers, kind) if x.inliers else np.nan
        for x in known
    ]
    return pd.DataFrame(
        {
            "id": pairs["id"],
            "predicted": pairs["landmark_id"],
            "confidence": pairs["confidence"],
            "statistic": np.array(values, np.float64),
            "note": [x.note for x in known],
        }
    )


def filtered(judged: pd.DataFrame, least: float) -> pd.DataFrame:
    """Adds `kept`: what has no evidence, or a statistic from `least` on."""
    kept = judged["statistic"].isna() | (judged["statistic"] >= least)
    return _complete(judged, kept, judged["confidence"])


def rescored(
    judged: pd.DataFrame, calibration: verification.Calibration
) -> pd.DataFrame:
    """Keeps all, with `new_confidence` where there is evidence."""
    seen = judged["statistic"].notna()
    confidence = judged["confidence"].astype("float64")
    confidence[seen] = verification.rescore(
        confidence[seen], judged["statistic"][seen], calibration
    )
    return _complete(judged, np.ones(len(judged), bool), confidence)


def _complete(
    judged: pd.DataFrame, kept: Sequence[bool], confidence: Sequence[float]
) -> pd.DataFrame:
    table = judged.assign(kept=kept, new_confidence=confidence)
    return table[[*_COLUMNS, "kept", "new_confidence", "note"]]


def write(out: Path, decided: pd.DataFrame, ids: Sequence[str]) -> None:
    """Writes decisions.csv and submission.csv.

    Args:
        out: an existing folder.
        decided: of `filtered` or `rescored`.
        ids: all ids of the submission, in its order.
    """
    text = decided.to_csv(index=False, lineterminator="\n")
    atomic.write_text(out / "decisions.csv", text)
    kept = decided[decided["kept"]]
    row = pd.Index(ids).get_indexer(kept["id"])
    place = kept.groupby("id").cumcount().to_numpy()
    shape = (len(ids), int(place.max(initial=0)) + 1)
    landmark = np.full(shape, -1, np.int64)
    confidence = np.zeros(shape)
    landmark[row, place] = kept["predicted"]
    confidence[row, place] = kept["new_confidence"]
    submission.write_submission(
        out / "submission.csv", ids, landmark, confidence
    )
