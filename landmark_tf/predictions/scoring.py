"""A submission against the solution, as the competition scores it."""

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.predictions import gap


def score(
    pairs: pd.DataFrame, solution: pd.DataFrame, usage: str = "all"
) -> dict[str, float | int]:
    """Scores predictions against the truth.

    Args:
        pairs: as from `submission.read_submission`.
        solution: as from `submission.read_solution`.
        usage: all, Public or Private; predictions for other rows are left out.

    Returns:
        `gap`, `queries`, `with_landmark`, `predicted`, as the help says.

    Raises:
        InputError: no row of the solution has this usage.
    """
    counts = solution["usage"] == usage
    if usage == "all":
        counts = solution["usage"] != "Ignored"
    if not counts.any():
        raise InputError(
            "no row of the solution has this Usage; give another or all. "
            f"Received: --usage={usage}"
        )
    queries = solution[counts].sort_values("id", ignore_index=True)
    query = pd.Index(queries["id"]).get_indexer(pairs["id"])
    pairs, query = pairs[query >= 0], query[query >= 0]
    named = zip(query.tolist(), pairs["landmark_id"].tolist())
    truths = [frozenset(landmarks) for landmarks in queries["landmarks"]]
    with_landmark = sum(map(bool, truths))
    return {
        "gap": gap.global_average_precision(
            pairs["confidence"].to_numpy(),
            np.array([landmark in truths[i] for i, landmark in named], bool),
            query,
            with_landmark,
            landmark=pairs["landmark_id"].to_numpy(),
        ),
        "queries": len(truths),
        "with_landmark": with_landmark,
        "predicted": len(np.unique(query)),
    }
