r"""Scores a submission against the true landmarks, as the competition does.

    python -m landmark_tf.score --submission=submission.csv \
        --solution=recognition_solution.csv

Prints one JSON object: `gap` (Global Average Precision, 0 to 1 with one
prediction a query), `queries` that count, `with_landmark` of them that show
one, and `predicted` of them for which the submission names one. Rows whose
Usage is Ignored never count. The submission must name every id of the solution
once, whatever --usage.
"""

import dataclasses
import json
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    submission: str = config.field(help="CSV of id,landmarks to score")
    solution: str = config.field(help="CSV of id,landmarks and Usage, if any")
    usage: str = config.field(
        "all",
        choices=("all", "Public", "Private"),
        help="the rows of the solution that count",
    )


def run(settings: Config) -> dict[str, float | int]:
    """Scores a submission, prints the result as JSON and returns it.

    Raises:
        InputError: a file that cannot be read, an id of the one that is not
            in the other, a usage that no row of the solution has.
    """
    from landmark_tf.predictions import submission

    solution = submission.read_solution(settings.solution)
    pairs, ids = submission.read_submission(settings.submission)
    _check_same_ids(ids, list(solution["id"]), settings)
    result = score(pairs, solution, settings.usage)
    print(json.dumps(result))
    return result


def _check_same_ids(ids: list[str], wanted: list[str], settings: Config):
    known, named = set(wanted), set(ids)
    if missing := [name for name in wanted if name not in named]:
        raise InputError(
            f"{settings.submission} must name every id of {settings.solution}; "
            "add a row, empty where nothing is predicted. "
            f"Received: no row for {missing[0]!r} and {len(missing) - 1} others"
        )
    if unknown := [name for name in ids if name not in known]:
        raise InputError(
            f"{settings.submission} may name only ids of {settings.solution}; "
            "remove the row. "
            f"Received: {unknown[0]!r} and {len(unknown) - 1} others"
        )


def score(
    pairs: "pd.DataFrame", solution: "pd.DataFrame", usage: str = "all"
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
    import numpy as np
    import pandas as pd

    from landmark_tf.predictions import gap

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


if __name__ == "__main__":
    command.main(run, Config)
