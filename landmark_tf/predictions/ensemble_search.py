"""The ensemble of the highest GAP on labelled queries, and what it is worth.

The best of many ensembles looks better than it is, because it was chosen on
the queries that it is measured on. So the gain is told by cross-validation: the
whole search is done on all folds but one, and its choice is measured on that
one, beside the single model that would have been chosen there.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.predictions import gap
from landmark_tf.predictions.ensembling import Choice
from landmark_tf.predictions.votes import Votes

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0)
_FACTORS = (0.0, 0.5, 0.8, 1.25, 2.0)  # that a weight is tried with
_SWEEPS = 4
_BASES = 3  # the best single models are tried as bases
_LEAST = 10  # queries with a landmark that a search needs


@dataclasses.dataclass(frozen=True)
class Truth:
    """The landmarks of N queries.

    Attributes:
        landmarks: int64 [N, T], filled up with -2.
        query: int64 [N], the place of the id among the sorted ids.
    """

    landmarks: np.ndarray
    query: np.ndarray

    @classmethod
    def of(cls, solution: pd.DataFrame, ids: tuple[str, ...]) -> "Truth":
        """Puts a solution (`submission.read_solution`) in the order of ids."""
        truths = solution.set_index("id")["landmarks"].loc[list(ids)]
        most = max(max(map(len, truths), default=0), 1)
        landmarks = np.full((len(ids), most), -2, np.int64)
        for row, truth in enumerate(truths):
            landmarks[row, : len(truth)] = truth
        return cls(landmarks, np.argsort(np.argsort(np.array(ids))))

    def part(self, queries: np.ndarray) -> "Truth":
        """Some of the queries, int [n]."""
        return Truth(self.landmarks[queries], self.query[queries])

    def with_landmark(self) -> int:
        """How many queries show a landmark."""
        return int((self.landmarks[:, 0] >= 0).sum())

    def gap(self, choice: Choice, votes: Votes) -> float:
        """GAP of an ensemble's first landmarks."""
        answer = choice(votes)
        landmark, confidence = answer.landmark_id[:, 0], answer.confidence[:, 0]
        made = landmark >= 0
        correct = (self.landmarks == landmark[:, None]).any(axis=1)
        return gap.global_average_precision(
            confidence[made],
            correct[made],
            self.query[made],
            self.with_landmark(),
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        choice: the ensemble of the highest GAP.
        gap: its GAP on the queries that it was chosen on.
        single: the best single model, from 0.
        gap_single: its GAP on the same queries.
    """

    choice: Choice
    gap: float
    single: int
    gap_single: float


def search(votes: Votes, truth: Truth) -> Found:
    """Looks for the strategy, base, weights and scale of the highest GAP.

    Weights are improved one by one, from the models' own GAP on. Of equal GAPs
    the simpler choice, a single model first, stays.
    """
    models = len(votes.confidence)
    single_gap = [
        truth.gap(_single(model, votes), votes) for model in range(models)
    ]
    single = int(np.argmax(single_gap))
    best, best_gap = _single(single, votes), single_gap[single]
    bases = np.argsort(-np.array(single_gap), kind="stable")[:_BASES].tolist()
    for choice in _candidates(votes, bases, single_gap):
        value = truth.gap(choice, votes)
        if choice.weights:
            choice, value = _ascend(choice, value, votes, truth)
        if value > best_gap + 1e-9:
            best, best_gap = choice, value
    return Found(best, best_gap, single, single_gap[single])


def scores(votes: Votes, truth: Truth) -> tuple[float, ...]:
    """GAP of each submission by itself."""
    return tuple(
        truth.gap(_single(model, votes), votes)
        for model in range(len(votes.confidence))
    )


def _single(model: int, votes: Votes) -> Choice:
    """An ensemble in which one model alone has a say."""
    weights = tuple(float(m == model) for m in range(len(votes.confidence)))
    lists = votes.confidence.shape[2] > 1
    return Choice("soft_voting" if lists else "weighted", model, weights)


def _candidates(
    votes: Votes, bases: list[int], single_gap: list[float]
) -> Iterator[Choice]:
    weights = tuple(single_gap) if any(single_gap) else (1.0,) * len(single_gap)
    if votes.confidence.shape[2] == 1:
        yield Choice("max_confidence")
        for base in bases:
            yield Choice("correct", base)
            yield Choice("average", base)
            for scale in _SCALES:
                yield Choice("boost", base, scale=scale)
            yield Choice("weighted", base, weights)
    yield Choice("soft_voting", bases[0], weights)
    yield Choice("rank_average", bases[0], weights)


def _ascend(
    choice: Choice, value: float, votes: Votes, truth: Truth
) -> tuple[Choice, float]:
    """Multiplies one weight after the other while that helps."""
    for _ in range(_SWEEPS):
        before = value
        for model in range(len(choice.weights)):
            for factor in _FACTORS:
                weights = list(choice.weights)
                weights[model] *= factor
                if not any(weights):
                    continue
                other = dataclasses.replace(choice, weights=tuple(weights))
                if (new := truth.gap(other, votes)) > value + 1e-9:
                    choice, value = other, new
        if value == before:
            break
    total = sum(choice.weights)
    shares = tuple(round(weight / total, 4) for weight in choice.weights)
    return dataclasses.replace(choice, weights=shares), value


def cross_validate(
    votes: Votes, truth: Truth, folds: int = 5, seed: int = 0
) -> dict[str, float]:
    """What a search is worth on queries that it has not seen.

    Args:
        votes: of the models, on labelled queries.
        truth: of the queries.
        folds: parts of the queries, drawn by `seed` from their sorted ids.
        seed: of the folds.

    Returns:
        `gap_single` and `gap`: the mean over the folds of GAP of the single
        model and of the ensemble that were chosen on the other folds; `gain`,
        their difference, and `gain_error`, its standard error over the folds.

    Raises:
        InputError: fewer than ten queries show a landmark.
    """
    if truth.with_landmark() < _LEAST:
        raise InputError(
            f"a search needs {_LEAST} labelled queries with a landmark or "
            f"more. Received: {truth.with_landmark()}"
        )
    place = np.random.default_rng(seed).permutation(len(truth.query))
    fold = (place % folds)[truth.query]
    singles, ensembles = [], []
    for held_out in range(folds):
        seen, new = (np.flatnonzero(x) for x in _sides(fold == held_out))
        found = search(votes.of(seen), truth.part(seen))
        there, theirs = truth.part(new), votes.of(new)
        singles.append(there.gap(_single(found.single, votes), theirs))
        ensembles.append(there.gap(found.choice, theirs))
    gains = np.array(ensembles) - np.array(singles)
    return {
        "gap_single": float(np.mean(singles)),
        "gap": float(np.mean(ensembles)),
        "gain": float(gains.mean()),
        "gain_error": float(gains.std(ddof=1) / np.sqrt(folds)),
    }


def _sides(held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ~held_out, held_out
