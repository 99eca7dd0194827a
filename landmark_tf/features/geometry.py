"""Which pairs of points one transformation of the plane explains.

An affine map (6 numbers, from 3 pairs) or a homography (8, from 4) is estimated
from pairs of which many are wrong, by RANSAC (Fischler & Bolles 1981) or MAGSAC
(Barath et al. 2019, 2020), as OpenCV has them. What no camera can see twice is
no agreement: see `is_plausible`.
"""

import dataclasses

import cv2
import numpy as np

_NEEDED = {"affine": 3, "homography": 4}  # pairs that decide a transformation

_CONFIDENCE = 0.999  # with which OpenCV ends its trials early
_LARGEST_SCALE = 5.0  # of one picture's side to the other's, and its inverse
_LARGEST_STRETCH = 5.0  # along one direction against the other
_LEAST_SPREAD = 0.01  # of the side: standard deviation across a line


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What K pairs of points have in common.

    Attributes:
        count: inliers, points at one place counted once; 0: no agreement.
        inliers: bool [K].
        matrix: float64 [3, 3], (x, y, 1) of the first picture to the second;
            None where nothing agrees.
    """

    count: int
    inliers: np.ndarray
    matrix: np.ndarray | None


def agree(
    points_a: np.ndarray,
    points_b: np.ndarray,
    side_a: float,
    side_b: float,
    *,
    model: str = "affine",
    method: str = "ransac",
    residual: float = 0.025,
    max_turn: float = 180.0,
    trials: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Estimates a transformation and counts the pairs that follow it.

    Args:
        points_a: float [K, 2], (y, x) pixels in the first picture.
        points_b: float [K, 2], the same points in the second.
        side_a: pixels of the first picture's longer side.
        side_b: pixels of the second's.
        model: affine or homography.
        method: ransac or magsac.
        residual: distance up to which a pair is an inlier, as a share of
            `side_b`.
        max_turn: degrees that the pictures may be turned against each other.
        trials: samples at most.
        seed: of the order of the pairs, from which samples are drawn.

    Returns:
        The same for the same arguments.
    """
    count = len(points_a)
    none = Agreement(0, np.zeros(count, bool), None)
    if count < _NEEDED[model]:
        return none
    order = np.random.default_rng(seed).permutation(count)
    a, b = (
        np.ascontiguousarray(x[order, ::-1], np.float32)
        for x in (points_a, points_b)
    )
    matrix, mask = _estimate(a, b, model, method, residual * side_b, trials)
    if matrix is None or mask is None or not np.isfinite(matrix).all():
        return none
    matrix = np.vstack([matrix, [0, 0, 1]])[:3]
    inliers = np.zeros(count, bool)
    inliers[order] = mask.ravel() > 0
    a, b = points_a[inliers][:, ::-1], points_b[inliers][:, ::-1]
    found = min(_places(a), _places(b))
    if found < _NEEDED[model]:
        return none
    if not is_plausible(matrix, a, b, side_a, side_b, max_turn):
        return none
    return Agreement(found, inliers, matrix)


def _estimate(
    a: np.ndarray,
    b: np.ndarray,
    model: str,
    method: str,
    residual: float,
    trials: int,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """OpenCV's matrix [2 or 3, 3] and mask of inliers [K, 1]."""
    flag = {"ransac": cv2.RANSAC, "magsac": cv2.USAC_MAGSAC}[method]
    try:
        if model == "affine":
            return cv2.estimateAffine2D(
                a,
                b,
                method=flag,
                ransacReprojThreshold=residual,
                maxIters=trials,
                confidence=_CONFIDENCE,
            )
        return cv2.findHomography(
            a, b, flag, residual, maxIters=trials, confidence=_CONFIDENCE
        )
    except cv2.error:  # MAGSAC raises where no sample can be solved
        return None, None


def _places(points: np.ndarray) -> int:
    """How many different pixels there are among points."""
    return len(np.unique(np.rint(points).astype(np.int64), axis=0))


def is_plausible(
    matrix: np.ndarray,
    points_a: np.ndarray,
    points_b: np.ndarray,
    side_a: float,
    side_b: float,
    max_turn: float = 180.0,
) -> bool:
    """Whether two photographs of one thing can differ so.

    Args:
        matrix: float [3, 3], from the first picture to the second.
        points_a: float [K, 2], (x, y) of the inliers in the first picture.
        points_b: float [K, 2], the same in the second.
        side_a: pixels of the first picture's longer side.
        side_b: pixels of the second's.
        max_turn: degrees that they may be turned against each other.

    Returns:
        False for a reflection, for a thing that is more than 5 times as large
        in one picture (relative to its side), stretched more than 5 times or
        turned by more than `max_turn`, and for points on a line, whose
        transformation is not determined.
    """
    if not _spreads(points_a, side_a) or not _spreads(points_b, side_b):
        return False
    points = np.column_stack([points_a, np.ones(len(points_a))])
    depth = points @ matrix[2]
    # In front of and behind the camera at once is no view.
    if not (depth > 0).all() and not (depth < 0).all():
        return False
    # det J = det H / depth^3 (an affine map has depth 1)
    if not (np.linalg.det(matrix) / depth**3 > 0).all():
        return False
    jacobian = _jacobian(matrix, points.mean(axis=0)) * (side_a / side_b)
    largest, least = np.linalg.svd(jacobian, compute_uv=False)
    # The angle of the rotation nearest to the matrix.
    (a, b), (c, d) = jacobian
    turn = np.degrees(np.abs(np.arctan2(c - b, a + d)))
    return (
        turn <= max_turn
        and largest <= _LARGEST_SCALE
        and least >= 1 / _LARGEST_SCALE
        and largest <= _LARGEST_STRETCH * least
    )


def _spreads(points: np.ndarray, side: float) -> bool:
    """Whether points cover an area rather than a line or a spot."""
    variance = np.linalg.eigvalsh(np.cov(points, rowvar=False))[0]
    return variance >= (_LEAST_SPREAD * side) ** 2


def _jacobian(matrix: np.ndarray, point: np.ndarray) -> np.ndarray:
    """d(x', y') / d(x, y) [2, 2] of a homography at (x, y, 1)."""
    x, y, depth = matrix @ point
    image = np.array([[x], [y]]) / depth
    return (matrix[:2, :2] - image * matrix[2, :2]) / depth
