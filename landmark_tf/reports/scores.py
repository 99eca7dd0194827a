"""The scores of submissions as rows of a table (Tables 1 and 2)."""

import os
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from landmark_tf.predictions import queries, scoring, submission

HEAD = (
    "submission",
    "GAP",
    "times",
    "GAP (landmarks)",
    "accuracy",
    "predictions",
)


def read(
    path: str | os.PathLike, solution: pd.DataFrame, truth: str
) -> pd.DataFrame:
    """Reads a submission for the queries of a solution.

    Raises:
        InputError: as `submission.read_submission`; other queries.
    """
    pairs, ids = submission.read_submission(path)
    queries.check_same(ids, list(solution["id"]), path, truth)
    return pairs


def judged(
    pairs: pd.DataFrame, solution: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """The first predictions' confidences, float [N], and whether right."""
    truth = solution[solution["usage"] != "Ignored"].set_index("id")[
        "landmarks"
    ]
    first = pairs[(pairs["order"] == 0) & pairs["id"].isin(truth.index)]
    correct = [
        landmark in own
        for landmark, own in zip(first["landmark_id"], truth[first["id"]])
    ]
    return first["confidence"].to_numpy(), np.array(correct, bool)


def table(
    paths: Mapping[str, str],
    read: Mapping[str, pd.DataFrame],
    solution: pd.DataFrame,
) -> Iterator[tuple]:
    """One row of HEAD for each submission.

    Args:
        paths: of the submissions, by name.
        read: the predictions, by path.
        solution: as from `submission.read_solution`.
    """
    shown = solution[solution["landmarks"].map(len) > 0]
    base = None
    for name, path in paths.items():
        figures = scoring.score(read[path], solution)
        alone = scoring.score(read[path], shown)
        _, correct = judged(read[path], shown)
        base = figures["gap"] if base is None else base
        yield (
            name,
            figures["gap"],
            figures["gap"] / base if base else float("nan"),
            alone["gap"],
            float(correct.sum() / max(len(shown), 1)),
            figures["predicted"],
        )
