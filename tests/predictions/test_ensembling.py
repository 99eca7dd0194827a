"""Every strategy by hand, on one table of three models and six queries."""

import itertools

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.predictions import ensembling
from landmark_tf.predictions.ensembling import Choice
from landmark_tf.predictions.votes import Votes

#          all agree  two  one  none  base empty  nobody
LANDMARK = [
    [7, 7, 7, 7, -1, -1],
    [7, 7, 8, 8, 8, -1],
    [7, 9, 7, 9, 9, -1],
]
CONFIDENCE = [
    [0.5, 0.4, 0.2, 0.6, 0.0, 0.0],
    [0.25, 0.6, 0.9, 0.6, 0.3, 0.0],
    [1.0, 0.7, 0.4, 0.1, 0.4, 0.0],
]


def votes(landmark=LANDMARK, confidence=CONFIDENCE):
    landmark, confidence = np.array(landmark), np.array(confidence, float)
    if landmark.ndim == 2:
        landmark, confidence = landmark[..., None], confidence[..., None]
    ids = tuple("abcdef"[: landmark.shape[1]])
    return Votes(ids, landmark, confidence)


def check(answer, landmark, confidence):
    assert answer.landmark_id[:, 0].tolist() == landmark
    assert answer.confidence[:, 0] == pytest.approx(confidence)


BASE = LANDMARK[0]


def test_max_confidence():
    # The last has no say of anybody; of 0.6 and 0.6 the base's.
    check(
        ensembling.max_confidence(votes()),
        [7, 9, 8, 7, 9, -1],
        [1.0, 0.7, 0.9, 0.6, 0.4, 0.0],
    )


def test_max_confidence_takes_a_prediction_of_confidence_zero():
    check(ensembling.max_confidence(votes([[-1], [5]], [[0], [0]])), [5], [0.0])


def test_correct():
    check(ensembling.correct(votes()), BASE, [0.25, 0.6, 0.4, 0.6, 0, 0])


def test_boost():
    check(
        ensembling.boost(votes(), scale=0.5),
        BASE,
        [0.5 + 0.625, 0.4 + 0.3, 0.2 + 0.2, 0.6, 0, 0],
    )


def test_average():
    check(
        ensembling.average(votes()),
        BASE,
        [1.75 / 3, 0.5, 0.3, 0.6, 0, 0],
    )


def test_weighted():
    # Weights over those that agree: 1:1:2 of 4, 1:1 of 2, 1:2 of 3.
    check(
        ensembling.weighted(votes(), np.array([1, 1, 2])),
        BASE,
        [2.75 / 4, 0.5, 1 / 3, 0.6, 0, 0],
    )


def test_a_base_of_weight_zero_stays_where_nobody_agrees():
    check(
        ensembling.weighted(votes(), np.array([0, 1, 1])),
        BASE,
        [0.625, 0.6, 0.4, 0.6, 0, 0],
    )


def test_soft_voting():
    check(
        ensembling.soft_voting(votes()),
        # 7 with 1.75; 7 1.0 before 9 0.7; 8 0.9 before 7 0.6; 7 and 8 have 0.6.
        [7, 7, 8, 7, 9, -1],
        [1.75 / 3, 1 / 3, 0.3, 0.2, 0.4 / 3, 0],
    )


def test_soft_voting_of_lists():
    landmark = [[[1, 2, 3]], [[2, 3, -1]]]
    confidence = [[[0.5, 0.3, 0.1]], [[0.6, 0.2, 0]]]
    answer = ensembling.soft_voting(
        votes(landmark, confidence), np.array([3, 1]), top_k=4
    )
    assert answer.landmark_id.tolist() == [[1, 2, 3, -1]]
    expected = [0.75 * 0.5, 0.75 * 0.3 + 0.15, 0.075 + 0.05, 0]
    assert answer.confidence[0] == pytest.approx(expected)


def test_rank_average():
    # Of five pairs each. First: 0.5 is 4th from below of 0.2, 0.4, 0.5, 0.6.
    landmark, confidence = [[1, 1], [2, 1]], [[0.9, 0.1], [0.01, 0.02]]
    answer = ensembling.rank_average(votes(landmark, confidence))
    # a: 1 has rank 2 of 2, 2 has 1 of 2; b: 1 has 1/2 and 2/2.
    check(answer, [1, 1], [0.5, 0.75])


def test_rank_average_takes_the_order_alone():
    some = votes()
    other = Votes(some.ids, some.landmark_id, some.confidence**3)
    one, two = map(ensembling.rank_average, (some, other))
    assert np.array_equal(one.landmark_id, two.landmark_id)
    assert np.array_equal(one.confidence, two.confidence)


def slow(votes, strategy):
    """The strategies once more, one query after the other, as they are told."""
    for q in range(len(votes.ids)):
        said = [
            (int(votes.landmark_id[m, q, 0]), float(votes.confidence[m, q, 0]))
            for m in range(len(votes.confidence))
        ]
        base, confidence = said[0]
        if strategy == "max_confidence":
            made = [x for x in said if x[0] >= 0]
            yield max(made, key=lambda x: x[1]) if made else (-1, 0.0)
            continue
        others = [c for landmark, c in said[1:] if landmark == base >= 0]
        if others and strategy == "correct":
            confidence = others[0]
        elif others and strategy == "boost":
            confidence += 0.5 * sum(others)
        elif others:
            confidence = (confidence + sum(others)) / (1 + len(others))
        yield base, confidence


@pytest.mark.parametrize(
    "strategy", ["max_confidence", "correct", "boost", "average"]
)
def test_strategies_equal_their_wording(strategy):
    rng = np.random.default_rng(0)
    landmark = rng.integers(-1, 3, (4, 300))
    confidence = np.where(landmark >= 0, rng.random((4, 300)), 0)
    some = Votes(
        tuple(map(str, range(300))), landmark[..., None], confidence[..., None]
    )
    expected = list(slow(some, strategy))
    check(Choice(strategy)(some), *map(list, zip(*expected)))


def test_another_base():
    for base in range(3):
        answer = Choice("weighted", base, (1.0, 2.0, 4.0))(votes())
        order = [base, *(m for m in range(3) if m != base)]
        expected = ensembling.weighted(
            votes([LANDMARK[m] for m in order], [CONFIDENCE[m] for m in order]),
            np.array([1.0, 2.0, 4.0])[order],
        )
        assert np.array_equal(answer.landmark_id, expected.landmark_id)
        assert np.array_equal(answer.confidence, expected.confidence)


@pytest.mark.parametrize("strategy", ensembling.STRATEGIES)
def test_one_model_asked_twice_is_that_model(strategy):
    twice = votes([LANDMARK[0]] * 2, [CONFIDENCE[0]] * 2)
    answer = Choice(strategy, scale=0.0)(twice)
    assert answer.landmark_id[:, 0].tolist() == BASE
    if strategy != "rank_average":
        assert answer.confidence[:, 0] == pytest.approx(CONFIDENCE[0])


@pytest.mark.parametrize("strategy", ensembling.STRATEGIES)
def test_no_queries(strategy):
    none = votes().of(np.array([], int))
    answer = Choice(strategy)(none)
    assert answer.landmark_id.shape == answer.confidence.shape == (0, 1)


@pytest.mark.parametrize("strategy", ensembling.STRATEGIES)
def test_lists_are_for_averaging_alone(strategy):
    lists = votes([[[1, 2]], [[1, 3]]], [[[0.5, 0.1]], [[0.4, 0.2]]])
    if strategy in ("soft_voting", "rank_average"):
        assert Choice(strategy)(lists).landmark_id.tolist() == [[1]]
    else:
        with pytest.raises(InputError, match="one landmark.*Received: 2"):
            Choice(strategy)(lists)


@pytest.mark.parametrize(
    "weights", [(1, 2), (1, 2, -1), (0, 0, 0), (1, 2, np.nan), (1, 1, np.inf)]
)
def test_weights_that_cannot_be(weights):
    with pytest.raises(InputError, match="3 numbers.*Received: "):
        Choice("weighted", weights=weights)(votes())


@pytest.mark.parametrize("strategy", ["soft_voting", "rank_average"])
def test_a_model_of_weight_zero_has_no_say(strategy):
    answer = Choice(strategy, weights=(1, 0))(
        votes([[-1, 3], [7, 7]], [[0, 0.5], [0.9, 0.9]])
    )
    assert answer.landmark_id[:, 0].tolist() == [-1, 3]


def test_nobody_says_anything():
    nothing = votes([[-1, -1], [-1, -1]], [[0, 0], [0, 0]])
    for strategy in ensembling.STRATEGIES:
        answer = Choice(strategy)(nothing)
        assert answer.landmark_id.tolist() == [[-1], [-1]]
        assert answer.confidence.tolist() == [[0], [0]]


def test_soft_voting_equals_a_dictionary():
    rng = np.random.default_rng(1)
    landmark = np.stack(
        [[rng.permutation(9)[:4] - 2 for _ in range(200)] for _ in range(3)]
    )
    landmark = np.maximum(landmark, -1)
    confidence = np.where(landmark >= 0, rng.random(landmark.shape), 0)
    some = Votes(tuple(map(str, range(200))), landmark, confidence)
    weights = np.array([0.2, 0.5, 0.3])
    answer = ensembling.soft_voting(some, weights, top_k=3)
    for q, m in itertools.product(range(200), [0]):
        total = {}
        for m, share in enumerate(weights):
            for name, value in zip(landmark[m, q], confidence[m, q]):
                if name >= 0:
                    total[name] = total.get(name, 0) + share * value
        best = sorted(total.items(), key=lambda x: -x[1])[:3]
        best += [(-1, 0.0)] * (3 - len(best))
        assert answer.landmark_id[q].tolist() == [name for name, _ in best]
        assert answer.confidence[q] == pytest.approx([v for _, v in best])
