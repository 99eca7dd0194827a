import random

import numpy as np
import pytest

from landmark_tf.predictions.gap import global_average_precision


def slow_gap(predictions, truths):
    """The definition, word by word.

    Args:
        predictions: (id, landmark, confidence) of each.
        truths: id -> set of landmarks, of every query.
    """
    ranked = sorted(predictions, key=lambda p: (-p[2], p[0], p[1]))
    total = 0.0
    for i, (query, landmark, _) in enumerate(ranked):
        if landmark in truths[query]:
            before = ranked[: i + 1]
            total += sum(b in truths[a] for a, b, _ in before) / (i + 1)
    return total / sum(len(x) > 0 for x in truths.values())


def fast_gap(predictions, truths):
    place = {name: i for i, name in enumerate(sorted(truths))}
    return global_average_precision(
        np.array([c for _, _, c in predictions], np.float32),
        np.array([b in truths[a] for a, b, _ in predictions], bool),
        np.array([place[a] for a, _, _ in predictions], np.int64),
        sum(len(x) > 0 for x in truths.values()),
        landmark=np.array([b for _, b, _ in predictions], np.int64),
    )


def gap(confidence, correct, queries_with_landmark, query=None, **more):
    query = np.arange(len(confidence)) if query is None else np.array(query)
    return global_average_precision(
        np.array(confidence, np.float32),
        np.array(correct, bool),
        query,
        queries_with_landmark,
        **more,
    )


def test_by_hand():
    # Ranks 1, 3 and 4 are right: 1/1 + 2/3 + 3/4 = 29/12, over 5 queries.
    value = gap([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0], 5)
    assert value == pytest.approx(29 / 60, abs=1e-15)


def test_by_hand_out_of_order_with_negative_confidences():
    # By confidence 2 (right), 0.5 (wrong), -1 (wrong), -3 (right):
    # (1/1 + 2/4) / 2 = 0.75.
    assert gap([-3, 0.5, 2, -1], [1, 0, 1, 0], 2) == pytest.approx(0.75)


def test_a_distractor_costs_only_those_below_it():
    # Right above wrong: (1/1) / 1; wrong above right: (1/2) / 1.
    assert gap([0.9, 0.1], [1, 0], 1) == 1.0
    assert gap([0.1, 0.9], [1, 0], 1) == 0.5


def test_queries_without_a_prediction_count_below_only():
    assert gap([0.9], [1], 4) == 0.25


def test_several_truths_in_one_query():
    # Query 0 shows landmarks 3 and 7, query 1 shows 5. Ranked: (0, 7) right,
    # (1, 4) wrong, (0, 3) right: (1/1 + 2/3) / 2 = 5/6.
    truths = {"a": {3, 7}, "b": {5}}
    predictions = [("a", 3, 0.2), ("b", 4, 0.5), ("a", 7, 0.9)]
    assert fast_gap(predictions, truths) == pytest.approx(5 / 6)


def test_ties_go_by_id():
    # The order of queries is 0, 1, 2: wrong, right, right:
    # (1/2 + 2/3) / 2 = 7/12.
    assert gap([1.0, 1.0, 1.0], [1, 0, 1], 2, query=[2, 0, 1]) == pytest.approx(
        7 / 12
    )


def test_ties_within_a_query_go_by_landmark():
    # Landmark 3 (wrong) before landmark 8 (right): 1/2; and the other way.
    more = {"query": [5, 5], "landmark": np.array([8, 3])}
    assert gap([0.5, 0.5], [1, 0], 1, **more) == 0.5
    assert gap([0.5, 0.5], [0, 1], 1, **more) == 1.0


def test_zeros_of_either_sign_tie():
    # By id: right, wrong. Were -0.0 below 0.0 it would be wrong, right.
    assert gap([-0.0, 0.0], [1, 0], 1) == 1.0
    assert gap([0.0, -0.0], [0, 1], 1) == 0.5


@pytest.mark.parametrize("tiny", [1e-45, -1e-45, 3.4e38, -3.4e38])
def test_extreme_confidences_stay_in_order(tiny):
    assert gap([tiny, 0.0], [1, 0], 1) == (1.0 if tiny > 0 else 0.5)


def test_neighbouring_float32_do_not_tie():
    below = np.nextafter(np.float32(1), np.float32(0))
    assert gap([below, 1.0], [0, 1], 1) == 1.0
    assert gap([-below, -1.0], [1, 0], 1) == 1.0


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_definition(seed):
    """Many ties, several truths, no truth, no prediction."""
    draw = random.Random(seed)
    queries, landmarks = draw.randint(1, 12), draw.randint(1, 5)
    confidences = draw.choice(
        [
            [0.5],
            [0.0, -0.0, 1.0],
            [1.0, 0.99999994, -2.0],
            [0.1 * i for i in range(9)],
        ]
    )
    truths, predictions = {"q": {0}}, []
    for i in range(queries):
        name = f"{draw.randrange(10**6):06d}{i}"
        truths[name] = set(
            draw.sample(range(landmarks), draw.randint(0, min(2, landmarks)))
        )
        for landmark in draw.sample(
            range(landmarks), draw.randint(0, landmarks)
        ):
            predictions.append((name, landmark, draw.choice(confidences)))
    expected = slow_gap(predictions, truths)
    for _ in range(3):
        draw.shuffle(predictions)
        assert fast_gap(predictions, truths) == pytest.approx(
            expected, abs=1e-12
        )


@pytest.mark.parametrize("seed", range(20))
def test_one_prediction_a_query_needs_no_landmark(seed):
    rng = np.random.default_rng(seed)
    n = 200
    query = rng.permutation(3 * n)[:n]  # not all queries predict
    # A softmax in float32 reaches 1.0 exactly, and often.
    confidence = np.minimum(rng.random(n).astype(np.float32) * 2, 1)
    landmark = rng.integers(3, size=n)
    value = global_average_precision(confidence, landmark == 1, query, 3 * n)
    predictions = list(
        zip(query.tolist(), landmark.tolist(), confidence.tolist())
    )
    truths = {name: {1} for name in range(3 * n)}
    assert value == pytest.approx(slow_gap(predictions, truths), abs=1e-12)
    assert value == fast_gap(predictions, truths)


def test_the_order_of_the_input_does_not_matter():
    rng = np.random.default_rng(0)
    n = 5000
    confidence = rng.integers(-20, 20, n).astype(np.float32) / 8
    correct, query = rng.random(n) < 0.3, rng.permutation(n)
    expected = global_average_precision(confidence, correct, query, n)
    for _ in range(5):
        p = rng.permutation(n)
        assert expected == global_average_precision(
            confidence[p], correct[p], query[p], n
        )


def test_the_input_is_left_as_it_was():
    confidence = np.array([-0.0, 0.5], np.float32)
    query = np.array([1, 0])
    global_average_precision(confidence, np.array([True, False]), query, 1)
    assert np.signbit(confidence[0]) and query.tolist() == [1, 0]


def test_nothing_to_score():
    assert gap([], [], 0) == 0.0
    assert gap([], [], 3) == 0.0
    assert gap([], [], 3, query=[], landmark=np.array([])) == 0.0
    assert gap([0.5], [0], 0) == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_any_integers_and_floats(dtype):
    value = global_average_precision(
        np.array([0.5, 0.25], np.float64),
        np.array([0, 1]),
        np.array([0, 1], dtype),
        1,
        landmark=np.array([7, 7], dtype),
    )
    assert value == 0.5


@pytest.mark.parametrize(
    "arguments, match",
    [
        (([0.5, np.nan], [0, 0], 1), "finite.*Received: nan in place 1"),
        (([np.inf, 0.5], [0, 0], 1), "finite.*Received: inf in place 0"),
        (([-np.inf, 0.5], [0, 0], 1), "finite.*Received: -inf"),
        (([0.5, 0.5], [0], 1), r"one length.*Received: shapes .*\(1,\)"),
        (([[0.5]], [[0]], 1), "one dimension.*Received"),
        (([0.5], [0], 1, [-1]), "2.*31 - 1.*Received: int64, from -1"),
        (([0.5], [0], 1, [2**31]), "2.*31 - 1.*Received.*2147483648"),
        (([0.5], [0], 1, [0.5]), "integers.*Received: float64"),
        (([0.5, 0.4], [0, 0], 1, [3, 3]), "once.*Received: 1 pred"),
        (([0.5, 0.4], [1, 1], 1), "at least 2.*Received: .*landmark=1"),
        (([0.5], [0], -1), "Received: .*landmark=-1"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        gap(*arguments)


def test_refuses_a_pair_given_twice():
    landmark = np.array([1, 2, 1])
    with pytest.raises(ValueError, match="once.*Received: 1 predictions"):
        gap([0.1, 0.2, 0.3], [0, 0, 0], 1, query=[4, 4, 4], landmark=landmark)


def test_refuses_more_than_the_key_holds():
    n = 2**31 + 1  # a view of one element: no memory
    with pytest.raises(ValueError, match="Received: 2147483649"):
        global_average_precision(
            np.broadcast_to(np.float32(0), n),
            np.broadcast_to(False, n),
            np.broadcast_to(0, n),
            1,
        )


def test_float64_beyond_float32_is_refused_without_a_warning():
    with pytest.raises(ValueError, match="finite as float32"):
        global_average_precision(
            np.array([1e300]), np.array([True]), np.array([0]), 1
        )
