"""Whether two pictures show the same thing: neighbours, then geometry.

    found = matching.match(features_a, features_b, settings.Matching())
    found.inliers                      # agreeing features: the evidence

Descriptors are compared by one matrix product; the pairs that it finds must
agree on one transformation (`geometry`).
"""

import dataclasses

import numpy as np

from landmark_tf.features import geometry
from landmark_tf.features.local import LocalFeatures
from landmark_tf.features.settings import Matching


@dataclasses.dataclass(frozen=True)
class Match:
    """What two pictures have in common.

    Attributes:
        pairs: int64 [K, 2], features of the first and the second picture whose
            descriptors are neighbours.
        agreement: which of the pairs one transformation explains.
    """

    pairs: np.ndarray
    agreement: geometry.Agreement

    @property
    def inliers(self) -> int:
        """The evidence: pairs that agree, at different places."""
        return self.agreement.count


def neighbours(
    a: np.ndarray,
    b: np.ndarray,
    *,
    mutual: bool = True,
    ratio: float = 0.0,
    max_distance: float = np.inf,
) -> np.ndarray:
    """Pairs each descriptor of `a` with its nearest in `b`.

    Args:
        a: float32 [N, D], of length 1.
        b: float32 [M, D], of length 1.
        mutual: keep a pair only where each is the other's nearest.
        ratio: keep a pair only where the nearest is closer than this share of
            the distance to the second nearest (Lowe 2004, Section 7.1), in
            (0, 1]; 0: not asked. With fewer than two in `b` nothing is kept.
        max_distance: Euclidean, in [0, 2], up to which a pair is kept.

    Returns:
        int64 [K, 2], places in `a` and `b`, rising in `a`.
    """
    if not len(a) or not len(b) or (ratio and len(b) < 2):
        return np.zeros((0, 2), np.int64)
    similarity = a @ b.T
    rows = np.arange(len(a))
    nearest = similarity.argmax(axis=1)
    best = _squared_distance(similarity[rows, nearest])
    keep = best <= max_distance**2
    if mutual:
        keep &= similarity.argmax(axis=0)[nearest] == rows
    if ratio:
        rows = rows[keep]  # the second is looked for where it still matters
        rest = similarity[rows]
        rest[np.arange(len(rows)), nearest[rows]] = -np.inf
        second = _squared_distance(rest.max(axis=1))
        keep[rows] = best[rows] < ratio**2 * second
    return np.column_stack([np.flatnonzero(keep), nearest[keep]])


def _squared_distance(cosine: np.ndarray) -> np.ndarray:
    return np.maximum(2 - 2 * cosine, 0)


def match(
    a: LocalFeatures,
    b: LocalFeatures,
    settings: Matching,
    max_distance: float = 0.0,
) -> Match:
    """Compares two pictures.

    Args:
        a: features of the first.
        b: features of the second, with descriptors of the same dimension.
        settings: how.
        max_distance: what suits the extractor, for settings that leave it to
            that; 0: any distance.

    Raises:
        ValueError: the descriptors have different dimensions.
    """
    if a.descriptors.shape[1] != b.descriptors.shape[1]:
        raise ValueError(
            "descriptors must have one dimension. Received: "
            f"{a.descriptors.shape[1]} and {b.descriptors.shape[1]}"
        )
    if settings.max_distance >= 0:
        max_distance = settings.max_distance
    pairs = neighbours(
        a.descriptors,
        b.descriptors,
        mutual=settings.mutual,
        ratio=settings.ratio,
        max_distance=max_distance or np.inf,
    )
    agreement = geometry.agree(
        a.locations[pairs[:, 0]],
        b.locations[pairs[:, 1]],
        max(a.size),
        max(b.size),
        model=settings.model,
        method=settings.method,
        residual=settings.residual,
        max_turn=settings.max_turn,
        trials=settings.trials,
        seed=settings.seed,
    )
    return Match(pairs, agreement)
