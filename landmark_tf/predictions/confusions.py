"""Which landmarks are taken for which."""

import pandas as pd


def pairs(predictions: pd.DataFrame, solution: pd.DataFrame) -> pd.DataFrame:
    """Counts the wrong answers to queries that show a landmark.

    Args:
        predictions: as from `submission.read_submission`; of a query with
            several the first counts.
        solution: as from `submission.read_solution`; of a query with several
            landmarks the first counts as its own, if none is predicted.

    Returns:
        `true`, `predicted`, `count` and `example`, the id of the most confident
        of them; the most frequent first, then by rising landmarks.
    """
    first = predictions[predictions["order"] == 0]
    truth = solution.set_index("id")["landmarks"]
    rows = []
    for name, landmark, confidence in zip(
        first["id"], first["landmark_id"], first["confidence"]
    ):
        own = truth.get(name, ())
        if own and landmark not in own:
            rows.append((own[0], landmark, confidence, name))
    table = pd.DataFrame(
        rows, columns=["true", "predicted", "confidence", "id"]
    ).sort_values("confidence", ascending=False, kind="stable")
    found = table.groupby(["true", "predicted"], as_index=False).agg(
        count=("id", "size"), example=("id", "first")
    )
    return found.sort_values(
        ["count", "true", "predicted"],
        ascending=[False, True, True],
        ignore_index=True,
    )
