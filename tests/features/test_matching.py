import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.features import matching, settings
from landmark_tf.features.local import empty
from tests.features import cases

MATRIX = [[0.9, -0.2, 8], [0.2, 0.9, 2], [0, 0, 1]]


def brute_force(a, b, mutual, ratio, max_distance):
    """The definition, one pair at a time."""
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    pairs = []
    for i, row in enumerate(distance):
        order = np.argsort(row)
        j = order[0]
        good = row[j] <= max_distance
        if mutual:
            good &= distance[:, j].argmin() == i
        if ratio:
            good &= row[j] < ratio * row[order[1]]
        if good:
            pairs.append((i, j))
    return np.array(pairs).reshape(-1, 2)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.9])
@pytest.mark.parametrize("max_distance", [1.0, 3.0])
def test_neighbours_are_those_of_the_definition(mutual, ratio, max_distance):
    random = np.random.default_rng(0)
    a, b = cases.unit(random, 60, 6), cases.unit(random, 50, 6)
    b[:20] = a[:20] + random.normal(0, 0.05, (20, 6))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    kind = dict(mutual=mutual, ratio=ratio, max_distance=max_distance)
    found = matching.neighbours(a, b.astype("float32"), **kind)
    expected = brute_force(a, b, **kind)
    assert 15 < len(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 5), (5, 0), (1, 1), (3, 1)])
@pytest.mark.parametrize("ratio", [0.0, 0.8])
def test_few_descriptors(n, m, ratio):
    random = np.random.default_rng(0)
    a, b = cases.unit(random, n, 4), cases.unit(random, m, 4)
    found = matching.neighbours(a, b, ratio=ratio)
    assert found.shape == (int(n > 0 and m > 0 and not ratio), 2)
    assert found.dtype == np.int64


def test_one_view_matches_another():
    a = cases.features(200, 32, (200, 300))
    b = cases.mapped(a, MATRIX)
    b = b.select(np.random.default_rng(0).permutation(len(b)))
    found = matching.match(a, b, settings.Matching())
    assert found.inliers >= 195  # a few share a pixel
    pairs = found.pairs[found.agreement.inliers]
    np.testing.assert_array_equal(
        a.descriptors[pairs[:, 0]], b.descriptors[pairs[:, 1]]
    )


def test_another_thing_does_not_match():
    a = cases.features(200, 32, (200, 300))
    b = cases.features(200, 32, (200, 300), seed=1)
    assert matching.match(a, b, settings.Matching()).inliers <= 8


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_features_match_nothing(count):
    a = cases.features(20, 32)
    b = empty(32, a.size) if count == 0 else a.select(np.arange(count))
    for x, y in ((a, b), (b, a), (b, b)):
        assert matching.match(x, y, settings.Matching()).inliers == 0


def test_the_extractors_distance_holds_unless_another_is_given():
    a = cases.features(100, 4, (200, 300))
    b = cases.mapped(cases.features(100, 4, (200, 300), seed=1), MATRIX)
    how = settings.Matching()
    everything = len(matching.match(a, b, how).pairs)
    near = len(matching.match(a, b, how, max_distance=0.3).pairs)
    assert near < everything
    given = settings.Matching(max_distance=0.3)
    assert len(matching.match(a, b, given).pairs) == near
    given = settings.Matching(max_distance=0.0)
    assert len(matching.match(a, b, given, 0.3).pairs) == everything


def test_descriptors_of_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="Received: 8 and 9"):
        matching.match(
            cases.features(5, 8), cases.features(5, 9), settings.Matching()
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": 1.5},
        {"max_distance": 3.0},
        {"model": "similarity"},
        {"method": "lmeds"},
        {"residual": 0.0},
        {"residual": float("nan")},
        {"trials": 0},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(
        InputError, match=f"--{name} must be.*Received: {value}"
    ):
        settings.Matching(**wrong).check()


@pytest.mark.parametrize(
    "wrong",
    [
        {"extractor": "surf"},
        {"max_features": 0},
        {"max_side": 9},
        {"square": 3},
    ],
)
def test_extraction_out_of_range_is_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(
        InputError, match=f"--{name} must be.*Received: {value}"
    ):
        settings.Extraction(**wrong).check()
