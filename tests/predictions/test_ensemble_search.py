import numpy as np
import pandas as pd
import pytest

from landmark_tf import InputError
from landmark_tf.predictions import ensemble_search, scoring
from landmark_tf.predictions.ensemble_search import Truth
from landmark_tf.predictions.ensembling import Choice
from landmark_tf.predictions.votes import Votes


def solution(truths):
    ids = [f"{i:03}" for i in range(len(truths))]
    return pd.DataFrame(
        {"id": ids, "landmarks": truths, "usage": [""] * len(ids)}
    )


def simulated(skill, queries=400, seed=0):
    """Models that are right with a chance `skill`, and then more confident."""
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(queries) < 0.5, rng.integers(0, 9, queries), -1)
    right = rng.random((len(skill), queries)) < np.array(skill)[:, None]
    other = rng.integers(0, 9, right.shape)
    landmark = np.where(right & (truth >= 0), truth, other)
    correct = landmark == truth
    confidence = rng.random(right.shape) * 0.7 + 0.3 * correct
    order = rng.permutation(queries)  # not the order of the solution
    table = solution([(int(x),) if x >= 0 else () for x in truth])
    ids = tuple(table["id"][order])
    votes = Votes(ids, landmark[:, order, None], confidence[:, order, None])
    return votes, table


def test_truth_scores_as_the_competition_does():
    votes, table = simulated([0.6, 0.5])
    truth = Truth.of(table, votes.ids)
    for choice in (Choice("average"), Choice("boost", 1), Choice("correct")):
        answer = choice(votes)
        pairs = pd.DataFrame(
            {
                "id": votes.ids,
                "landmark_id": answer.landmark_id[:, 0],
                "confidence": answer.confidence[:, 0].astype(np.float32),
            }
        )
        expected = scoring.score(pairs, table)["gap"]
        assert truth.gap(choice, votes) == pytest.approx(expected, abs=1e-12)


def test_several_landmarks_of_one_query():
    votes = Votes(("000", "001"), np.array([[[3], [5]]]), np.ones((1, 2, 1)))
    truth = Truth.of(solution([(1, 3), ()]), votes.ids)
    assert truth.with_landmark() == 1
    assert truth.gap(Choice("average"), votes) == 1.0


def test_search_finds_more_than_any_model_has():
    votes, table = simulated([0.6, 0.55, 0.5])
    truth = Truth.of(table, votes.ids)
    found = ensemble_search.search(votes, truth)
    singles = ensemble_search.scores(votes, truth)
    assert found.single == int(np.argmax(singles))
    assert found.gap_single == max(singles)
    assert found.gap > max(singles) + 0.05
    # The rounding of the weights it names costs nothing to speak of.
    assert truth.gap(found.choice, votes) == pytest.approx(found.gap, abs=1e-3)
    for choice in ensemble_search._candidates(votes, [0, 1, 2], list(singles)):
        assert truth.gap(choice, votes) <= found.gap + 1e-9


def test_a_useless_model_is_no_base_and_no_gain():
    votes, table = simulated([0.7, 0.0])
    found = ensemble_search.search(votes, Truth.of(table, votes.ids))
    worth = ensemble_search.cross_validate(votes, Truth.of(table, votes.ids))
    assert found.choice.base == found.single == 0
    assert worth["gain"] < 0.03


def test_gain_on_seen_queries_is_not_believed():
    """Twins that differ by chance: the search gains, held-out folds do not."""
    votes, table = simulated([0.5], queries=60)
    rng = np.random.default_rng(1)
    noise = rng.random((6, *votes.confidence.shape[1:])) * 1e-3
    landmark = np.repeat(votes.landmark_id, 6, axis=0)
    votes = Votes(votes.ids, landmark, 0.5 + noise)  # order by chance alone
    truth = Truth.of(table, votes.ids)
    found = ensemble_search.search(votes, truth)
    worth = ensemble_search.cross_validate(votes, truth)
    seen = found.gap - found.gap_single
    assert seen > 0.02
    assert worth["gain"] < seen - 0.01


def test_cross_validation_holds_every_query_out_once(monkeypatch):
    votes, table = simulated([0.6, 0.5], queries=53)
    seen = []
    inner = ensemble_search.search

    def spy(part, truth):
        seen.append(set(part.ids))
        return inner(part, truth)

    monkeypatch.setattr(ensemble_search, "search", spy)
    ensemble_search.cross_validate(votes, Truth.of(table, votes.ids), folds=4)
    held_out = [set(votes.ids) - part for part in seen]
    assert sorted(map(len, held_out)) == [13, 13, 13, 14]
    assert set.union(*held_out) == set(votes.ids)


def test_too_few_labelled_queries():
    votes, table = simulated([0.5, 0.5], queries=12)
    with pytest.raises(InputError, match="10 labelled.*Received: "):
        ensemble_search.cross_validate(votes, Truth.of(table, votes.ids))


def test_lists():
    votes, table = simulated([0.6, 0.5])
    lists = Votes(
        votes.ids,
        np.concatenate([votes.landmark_id, votes.landmark_id + 10], axis=2),
        np.concatenate([votes.confidence, votes.confidence / 2], axis=2),
    )
    found = ensemble_search.search(lists, Truth.of(table, votes.ids))
    assert found.choice.strategy in ("soft_voting", "rank_average")
    assert found.gap >= found.gap_single
