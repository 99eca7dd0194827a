"""Image pairs/s of nearest neighbours and geometric verification.

    python -m benchmarks.matching

The peer is the method of 2019 (the matching example of tensorflow/models'
delf): SciPy's cKDTree with the ten nearest neighbours, of which the nearest
counts if it is nearer than 0.8, and scikit-image's RANSAC with an affine
transform, residual 20 pixels, 1,000 trials. Features have 40 dimensions; in
half of the pairs a part of the second picture's features are those of the first
under an affine map, with noise. Both sides run in turns.
"""

import json
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import threadpoolctl

from landmark_tf.features import matching
from landmark_tf.features.local import LocalFeatures
from landmark_tf.features.settings import Matching

SIDE, DIMENSION, PAIRS, TURNS = 800, 40, 40, 5
SHARES = (0.0, 0.1, 0.0, 0.2, 0.0, 0.4)  # of features that are planted
ENOUGH = 1 / 12  # of the features: inliers that make a pair the same thing
RESIDUAL = 20  # pixels
WORDS = 300

Pair = tuple[LocalFeatures, LocalFeatures, int]


def plant(count: int, share: float, random: np.random.Generator) -> Pair:
    """Two pictures' features, and how many of them are planted.

    Descriptors gather around words, as those of photographs do, so that wrong
    ones too are nearer than 0.8.
    """

    def unit(x: np.ndarray) -> np.ndarray:
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")

    def picture(points: np.ndarray, descriptors: np.ndarray) -> LocalFeatures:
        ones = np.ones(count, np.float32)
        points = points.astype("float32")
        return LocalFeatures(points, ones, ones, descriptors, (SIDE, SIDE))

    words = unit(random.normal(size=(WORDS, DIMENSION)))
    points, others = random.uniform(0, SIDE, (2, count, 2))
    descriptors, found = (
        unit(
            words[random.integers(WORDS, size=count)]
            + random.normal(0, 0.5 / DIMENSION**0.5, (count, DIMENSION))
        )
        for _ in range(2)
    )
    planted = round(share * count)
    angle, scale = random.uniform(-0.3, 0.3), random.uniform(0.7, 1.3)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = scale * np.array(turn) @ [[1, random.uniform(-0.2, 0.2)], [0, 1]]
    others[:planted] = (points[:planted] - SIDE / 2) @ matrix.T + SIDE / 2
    others[:planted] += random.normal(0, 3, (planted, 2))
    noise = random.normal(0, 0.02, (planted, DIMENSION))
    found[:planted] = unit(descriptors[:planted] + noise)
    order = random.permutation(count)
    return (
        picture(points, descriptors),
        picture(others[order], found[order]),
        planted,
    )


def ours(a: LocalFeatures, b: LocalFeatures) -> int:
    settings = Matching(max_distance=0.8, residual=RESIDUAL / SIDE)
    return matching.match(a, b, settings).inliers


def peer(a: LocalFeatures, b: LocalFeatures) -> int:
    from scipy.spatial import cKDTree
    from skimage.measure import ransac
    from skimage.transform import AffineTransform

    tree = cKDTree(a.descriptors)
    _, nearest = tree.query(b.descriptors, k=10, distance_upper_bound=0.8)
    found = nearest[:, 0] < len(a)
    if found.sum() < 3:
        return 0
    _, inliers = ransac(
        (a.locations[nearest[found, 0]], b.locations[found]),
        AffineTransform,
        min_samples=3,
        residual_threshold=RESIDUAL,
        max_trials=1000,
        rng=0,
    )
    return 0 if inliers is None else int(inliers.sum())


def measure(method: Callable, pairs: list[Pair]) -> tuple[float, list[int]]:
    """Seconds for all pairs, and the inliers of each."""
    start = time.perf_counter()
    counts = [method(a, b) for a, b, _ in pairs]
    return time.perf_counter() - start, counts


def compare(count: int) -> dict[str, float | int]:
    random = np.random.default_rng(0)
    pairs = [
        plant(count, SHARES[i % len(SHARES)], random) for i in range(PAIRS)
    ]
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    counts = {}
    for _ in range(TURNS):
        for name, method in (("ours", ours), ("peer", peer)):
            taken, counts[name] = measure(method, pairs)
            seconds[name].append(taken)
    rates = {
        name: PAIRS / statistics.median(taken)
        for name, taken in seconds.items()
    }
    planted = [x for *_, x in pairs]
    right = {
        name: sum(
            (x >= ENOUGH * count) == (n > 0) for x, n in zip(found, planted)
        )
        for name, found in counts.items()
    }
    shares = {
        name: statistics.median(x / n for x, n in zip(found, planted) if n)
        for name, found in counts.items()
    }
    ratios = [p / o for o, p in zip(seconds["ours"], seconds["peer"])]
    return {
        "ours": round(rates["ours"], 1),
        "peer": round(rates["peer"], 2),
        "ratio": round(statistics.median(ratios), 1),
        "ratio_min": round(min(ratios), 1),
        "ratio_max": round(max(ratios), 1),
        "right_verdicts": right["ours"],
        "right_verdicts_peer": right["peer"],
        "pairs": PAIRS,
        "inliers_of_planted": round(shares["ours"], 3),
        "inliers_of_planted_peer": round(shares["peer"], 3),
    }


def main() -> None:
    cv2.setNumThreads(1)
    result = {"name": "matching", "unit": "image pairs/s"}
    with threadpoolctl.threadpool_limits(1):  # as verify has it
        result |= {str(count): compare(count) for count in (500, 1000)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
