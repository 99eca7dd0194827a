"""Which pictures tell most about a network (Section 5.4.2, Figures 15, 16).

Source: Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N 2019.
"""

import numpy as np
import pandas as pd

KINDS = {
    "hard": "Hard cases: the least confidence in the true landmark",
    "mistakes": "Confident mistakes",
    "successes": "Confident successes",
}


def choose(
    label: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
    true_confidence: np.ndarray,
    count: int,
) -> pd.DataFrame:
    """Picks pictures of three kinds.

    Hard cases show a landmark that the network hardly thinks of; mistakes are
    its most confident wrong answers, pictures of no landmark included;
    successes its most confident right ones.

    Args:
        label: int [N], -1 where there is no landmark.
        predicted: int [N], the most probable class.
        confidence: float [N], its probability.
        true_confidence: float [N], the true class's probability.
        count: pictures of each kind, at most.

    Returns:
        `kind`, one of KINDS, and `row`, from 0; the most telling first.
    """
    shows, right = label >= 0, label == predicted
    chosen = {
        "hard": _lowest(true_confidence, shows, count),
        "mistakes": _lowest(-confidence, ~right, count),
        "successes": _lowest(-confidence, right & shows, count),
    }
    return pd.DataFrame(
        [(kind, row) for kind, rows in chosen.items() for row in rows],
        columns=["kind", "row"],
    )


def _lowest(values: np.ndarray, allowed: np.ndarray, count: int) -> list[int]:
    rows = np.flatnonzero(allowed)
    order = np.argsort(values[rows], kind="stable")
    return rows[order][:count].tolist()


def nearest(
    query: np.ndarray, features: np.ndarray, other: np.ndarray
) -> int | None:
    """The row of the features of least distance once all have length 1.

    Args:
        query: float [D].
        features: float [N, D].
        other: bool [N], which rows are looked at: not the query's own.

    Returns:
        None where there is no row to look at.
    """
    if not other.any():
        return None
    length = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
    likeness = features @ query / np.maximum(length, 1e-12)
    return int(np.argmax(np.where(other, likeness, -np.inf)))
