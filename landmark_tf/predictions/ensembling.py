"""Ways to make one submission of several (Section 3.5 of the report).

The first submission is the base. Five ways combine one prediction a query:
`max_confidence`, `correct`, `boost`, `average` and `weighted`; in all but the
first a query keeps the base's landmark, and the base's confidence too where no
other model names the same. Two more, `soft_voting` and `rank_average`, add up
what all models say of every landmark, and so can change the answer; they alone
take lists of several landmarks a query.

Source: Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N 2019, Section
3.5 and Table 1.
"""

import dataclasses

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.predictions.votes import Votes


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an ensemble says of N queries.

    Attributes:
        landmark_id: int64 [N, k], -1: none.
        confidence: float64 [N, k], 0 where there is none.
    """

    landmark_id: np.ndarray
    confidence: np.ndarray


def max_confidence(votes: Votes) -> Answer:
    """The answer of the model that is most confident (strategy 1).

    Of equal confidences that of the earlier model. A model without a prediction
    has no say.
    """
    landmark, confidence = _single(votes, "max_confidence")
    seen = np.where(landmark >= 0, confidence, -1.0)
    best = seen.argmax(axis=0)[None]
    return Answer(
        np.take_along_axis(landmark, best, axis=0).T,
        np.take_along_axis(confidence, best, axis=0).T,
    )


def correct(votes: Votes) -> Answer:
    """The base, with the confidence of a model that agrees (strategy 2).

    Meant for a base of many classes that is corrected by a model of fewer, more
    frequent ones. Of several models that agree, the first one's confidence is
    taken.
    """
    landmark, confidence = _single(votes, "correct")
    agrees = _agrees(landmark)
    agrees[0] = ~agrees[1:].any(axis=0)  # its own, where it stands alone
    first = agrees.argmax(axis=0)[None]
    return Answer(
        landmark[0][:, None],
        np.take_along_axis(confidence, first, axis=0).T,
    )


def boost(votes: Votes, scale: float = 0.5) -> Answer:
    """The base's confidence and those that agree, scaled (strategy 3).

    The sum may exceed 1.

    Args:
        votes: of the models.
        scale: 0 or more, by which the others' confidences are multiplied.
    """
    landmark, confidence = _single(votes, "boost")
    others = (confidence * _agrees(landmark))[1:].sum(axis=0)
    return Answer(
        landmark[0][:, None], (confidence[0] + scale * others)[:, None]
    )


def average(votes: Votes) -> Answer:
    """The mean confidence of the models that agree with the base (4a).

    The base is meant to be the model that scores best.
    """
    _single(votes, "average")
    return weighted(votes, np.ones(len(votes.confidence)))


def weighted(votes: Votes, weights: np.ndarray) -> Answer:
    """The weighted confidence of the models that agree with the base (4b).

    The base is meant to be the model that scores best, and the weights are the
    models' scores: so did the report gain its 1.4% (Table 1).

    The weights of those that agree are divided by their sum, so that a
    confidence stays one. Where that sum is 0 the base's confidence stays.

    Args:
        votes: of the models.
        weights: float [M], 0 or more; the report takes the models' scores.
    """
    landmark, confidence = _single(votes, "weighted")
    weight = _agrees(landmark) * _checked(weights, landmark)[:, None]
    total = weight.sum(axis=0)
    mean = (weight * confidence).sum(axis=0) / np.where(total > 0, total, 1.0)
    mean = np.where(total > 0, mean, confidence[0])
    return Answer(landmark[0][:, None], mean[:, None])


def soft_voting(
    votes: Votes, weights: np.ndarray | None = None, top_k: int = 1
) -> Answer:
    """The landmarks of the largest mean confidence over all models.

    A landmark that a model's list does not have counts as 0 there: of lists
    that are long enough this is the mean of the models' probabilities.

    Args:
        votes: of the models, K landmarks or fewer each.
        weights: float [M], 0 or more, not all 0; None: equal. A model of
            weight 0 has no say.
        top_k: k, landmarks to answer with.

    Returns:
        Of equal means the lower landmark comes first.
    """
    models, count, _ = votes.confidence.shape
    weights = np.ones(models) if weights is None else weights
    weights = _checked(weights, votes.landmark_id)
    share = weights / weights.sum()
    seen = (votes.landmark_id >= 0) & (share > 0)[:, None, None]
    scores = (votes.confidence * share[:, None, None])[seen]
    query = np.broadcast_to(np.arange(count)[:, None], seen.shape)[seen]
    known, code = np.unique(votes.landmark_id[seen], return_inverse=True)
    key, pair = np.unique(
        query * max(len(known), 1) + code, return_inverse=True
    )
    total = np.bincount(pair, scores, minlength=len(key))
    query, code = np.divmod(key, max(len(known), 1))
    order = np.lexsort((code, -total, query))
    query, code, total = query[order], code[order], total[order]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    kept = place < top_k
    landmark_id = np.full((count, top_k), -1, np.int64)
    confidence = np.zeros((count, top_k))
    landmark_id[query[kept], place[kept]] = known[code[kept]]
    confidence[query[kept], place[kept]] = total[kept]
    return Answer(landmark_id, confidence)


def rank_average(
    votes: Votes, weights: np.ndarray | None = None, top_k: int = 1
) -> Answer:
    """Soft voting where a confidence counts by its rank in its submission.

    So models may be combined that are confident to different degrees: only the
    order of a model's predictions counts, as it does for GAP. Arguments and
    result are those of `soft_voting`; the most confident pair of a submission
    has 1, the least of n pairs 1/n, equal ones their mean.
    """
    rank = np.zeros_like(votes.confidence)
    for model, landmark in enumerate(votes.landmark_id):
        seen = landmark >= 0
        values = pd.Series(votes.confidence[model][seen])
        rank[model][seen] = values.rank(pct=True)
    return soft_voting(
        dataclasses.replace(votes, confidence=rank), weights, top_k
    )


STRATEGIES = (
    "max_confidence",
    "correct",
    "boost",
    "average",
    "weighted",
    "soft_voting",
    "rank_average",
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A strategy with its settings.

    Attributes:
        strategy: one of STRATEGIES.
        base: which of the submissions is the base, from 0.
        weights: of the submissions in the order given, 0 or more; empty: equal
            ones. For `weighted`, `soft_voting` and `rank_average`.
        scale: for `boost`.
    """

    strategy: str
    base: int = 0
    weights: tuple[float, ...] = ()
    scale: float = 0.5

    def __call__(self, votes: Votes, top_k: int = 1) -> Answer:
        """Combines; `top_k` is for soft_voting and rank_average."""
        weights = np.array(self.weights or np.ones(len(votes.confidence)))
        weights = _checked(weights, votes.landmark_id)
        weights = np.r_[weights[self.base], np.delete(weights, self.base)]
        votes = votes.from_base(self.base)
        if self.strategy == "weighted":
            return weighted(votes, weights)
        if self.strategy == "boost":
            return boost(votes, self.scale)
        if self.strategy == "soft_voting":
            return soft_voting(votes, weights, top_k)
        if self.strategy == "rank_average":
            return rank_average(votes, weights, top_k)
        simple = {"max_confidence": max_confidence, "correct": correct}
        return simple.get(self.strategy, average)(votes)


def _single(votes: Votes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks and confidences, [M, N]."""
    if (most := votes.landmark_id.shape[2]) > 1:
        raise InputError(
            f"{name} combines one landmark a query; give submissions without "
            "--top_k, or --strategy=soft_voting or rank_average. "
            f"Received: {most} landmarks of one query"
        )
    return votes.landmark_id[:, :, 0], votes.confidence[:, :, 0]


def _agrees(landmark: np.ndarray) -> np.ndarray:
    """Whether a model names the base's landmark, bool [M, N]."""
    return (landmark == landmark[0]) & (landmark[0] >= 0)


def _checked(weights: np.ndarray, landmark: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, np.float64)
    if (
        weights.shape != landmark.shape[:1]
        or not np.isfinite(weights).all()
        or (weights < 0).any()
        or not weights.sum() > 0
    ):
        raise InputError(
            f"weights must be {len(landmark)} numbers, 0 or more, one for each "
            "submission, and not all 0. "
            f"Received: {', '.join(f'{x:g}' for x in weights.ravel())}"
        )
    return weights
