"""Features made up for tests."""

import numpy as np

from landmark_tf.features.local import LocalFeatures


def unit(random, count, dimension):
    x = random.normal(size=(count, dimension)).astype("float32")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def features(count=5, dimension=8, size=(48, 64), seed=0):
    random = np.random.default_rng(seed)
    locations = random.uniform(0, np.array(size) - 1, (count, 2))
    return LocalFeatures(
        locations.astype("float32"),
        random.uniform(1, 9, count).astype("float32"),
        np.sort(random.uniform(0, 1, count).astype("float32"))[::-1].copy(),
        unit(random, count, dimension),
        size,
    )


def mapped(features, matrix, size=None):
    """The features as they are in a picture that `matrix` (x, y, 1) maps to."""
    points = np.column_stack(
        [features.locations[:, ::-1], np.ones(len(features))]
    )
    x, y, depth = (points @ np.asarray(matrix).T).T
    return LocalFeatures(
        np.column_stack([y / depth, x / depth]).astype("float32"),
        features.scales,
        features.scores,
        features.descriptors,
        size or features.size,
    )


def assert_same(found, expected, atol=0.0):
    assert found.size == expected.size
    for name in ("locations", "scales", "scores", "descriptors"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=0, atol=atol
        )
