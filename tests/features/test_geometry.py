import numpy as np
import pytest

from landmark_tf.features import geometry

SIDE = 320
AFFINE = np.array([[0.9, -0.2, 30], [0.25, 1.1, -12], [0, 0, 1]])
HOMOGRAPHY = np.array([[0.9, -0.1, 30], [0.1, 1.1, -12], [4e-4, -2e-4, 1]])
KINDS = [
    (model, method)
    for model in ("affine", "homography")
    for method in ("ransac", "magsac")
]


def points(count, seed=0):
    return np.random.default_rng(seed).uniform(0, SIDE, (count, 2))


def move(matrix, yx):
    """(y, x) points through a matrix of (x, y, 1)."""
    x, y, depth = matrix @ np.vstack([yx[:, 1], yx[:, 0], np.ones(len(yx))])
    return np.column_stack([y / depth, x / depth])


def agree(a, b, **settings):
    return geometry.agree(a, b, SIDE, SIDE, **settings)


@pytest.mark.parametrize(("model", "method"), KINDS)
def test_planted_pairs_are_found_among_wrong_ones(model, method):
    matrix = AFFINE if model == "affine" else HOMOGRAPHY
    a = points(200)
    b = move(matrix, a)
    b += np.random.default_rng(1).normal(0, 0.3, b.shape)
    b[120:] = points(80, seed=2)
    found = agree(a, b, model=model, method=method, residual=0.01)
    assert found.inliers[:120].all()
    assert found.inliers[120:].sum() <= 4
    assert found.count == found.inliers.sum()
    error = np.abs(move(found.matrix, a[:120]) - b[:120]).max()
    assert error < 3


@pytest.mark.parametrize(("model", "method"), KINDS)
def test_what_is_random_agrees_little(model, method):
    counts = [
        agree(
            points(100, seed),
            points(100, seed + 50),
            model=model,
            method=method,
            residual=0.01,
        ).count
        for seed in range(10)
    ]
    assert max(counts) <= 12


@pytest.mark.parametrize(("model", "method"), KINDS)
def test_the_same_seed_gives_the_same(model, method):
    a, b = points(60), points(60, seed=1)
    b[:20] = move(AFFINE, a[:20])
    one, same = (agree(a, b, model=model, method=method) for _ in range(2))
    np.testing.assert_array_equal(one.inliers, same.inliers)
    np.testing.assert_array_equal(one.matrix, same.matrix)


def test_seeds_draw_other_samples():
    """Where few pairs agree, chance decides which are found."""
    a, b = points(60), points(60, seed=1)
    found = {
        tuple(agree(a, b, trials=5, seed=seed).inliers) for seed in range(8)
    }
    assert len(found) > 1


@pytest.mark.parametrize(
    ("model", "needed"), [("affine", 3), ("homography", 4)]
)
@pytest.mark.parametrize("method", ["ransac", "magsac"])
def test_too_few_pairs_are_no_agreement(model, needed, method):
    for count in range(needed):
        a = points(count)
        found = agree(a, a.copy(), model=model, method=method)
        assert found.count == 0
        assert found.inliers.shape == (count,)
        assert found.matrix is None


def test_three_pairs_are_enough_for_an_affine_map():
    a = np.array([[0.0, 0], [0, 200], [200, 0]])
    assert agree(a, move(AFFINE, a)).count == 3


@pytest.mark.parametrize(("model", "method"), KINDS)
@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([-1.0, 1, 1]),  # a reflection
        np.diag([0.1, 0.1, 1]),  # absurdly small
        np.diag([8.0, 8.0, 1]),  # absurdly large
        np.diag([2.0, 0.2, 1]),  # stretched
        np.array([[1.0, 0, 0], [0.5, 0, 0], [0, 0, 1]]),  # onto a line
        np.diag([0.0, 0.0, 1]),  # onto a point
    ],
)
def test_what_no_camera_sees_is_no_agreement(matrix, model, method):
    a = points(80)
    found = agree(a, move(matrix, a), model=model, method=method)
    assert found.count == 0


@pytest.mark.parametrize(("model", "method"), KINDS)
def test_points_on_a_line_decide_nothing(model, method):
    a = np.column_stack([np.linspace(0, 300, 50), np.linspace(0, 200, 50)])
    assert agree(a, a + 3, model=model, method=method).count == 0


def test_a_place_counts_once():
    """Fifty features on one pixel, as on a repeated pattern, and four more."""
    a = np.concatenate([np.full((50, 2), 100.0), points(4)])
    assert agree(a, move(AFFINE, a)).count == 5


def test_scale_is_relative_to_the_pictures():
    """One and the same view, stored eight times as large."""
    a = points(50)
    found = geometry.agree(a, a * 8, SIDE, 8 * SIDE)
    assert found.count == 50


def test_nothing_is_seen_from_behind():
    """A plane whose horizon passes between the points."""
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [-1 / 160, 0, 1]])
    a = points(50)
    a = a[np.abs(a[:, 1] - 160) > 20]
    b = move(matrix, a)
    args = a[:, ::-1], b[:, ::-1], SIDE, SIDE
    assert not geometry.is_plausible(matrix, *args)


@pytest.mark.parametrize("degrees", [-170, -60, 20, 60, 170])
def test_turned_pictures_agree_only_if_they_may(degrees):
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    a = points(50)
    b = move(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]), a)
    assert agree(a, b).count >= 49
    assert agree(a, b, max_turn=abs(degrees) + 1.0).count >= 49
    assert agree(a, b, max_turn=abs(degrees) - 1.0).count == 0


def test_residual_is_a_share_of_the_side():
    a = points(100)
    b = a.copy()
    b[50:] += 10  # pixels: 1/32 of the side
    assert agree(a, b, residual=0.01).count == 50
    assert agree(a, b, residual=0.06).count == 100
