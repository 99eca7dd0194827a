"""PCA, against a singular value decomposition."""

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.features import projection


@pytest.fixture
def descriptors():
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 12)) * np.linspace(3, 0.1, 12) + 1
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def fitted(descriptors, *arguments):
    pca = projection.Pca(12)
    for part in np.array_split(descriptors, 7):
        pca.add(part)
    assert pca.count == 500
    return pca.fit(*arguments)


def test_it_is_the_decomposition_of_all_at_once(descriptors):
    found = fitted(descriptors, 5)
    centred = descriptors - descriptors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(found.mean, descriptors.mean(axis=0), rtol=1e-5)
    cosines = np.sum(found.matrix * axes[:5].T, axis=0)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-4)
    explained = (values[:5] ** 2).sum() / (values**2).sum()
    assert found.explained == pytest.approx(explained, rel=1e-4)


def test_whitened_numbers_have_a_variance_of_one(descriptors):
    found = fitted(descriptors, 5, True)
    numbers = (descriptors - found.mean) @ found.matrix
    np.testing.assert_allclose(np.cov(numbers.T), np.eye(5), atol=0.01)


@pytest.mark.parametrize("dimension", [0, 13])
def test_dimensions_that_cannot_be(descriptors, dimension):
    with pytest.raises(InputError, match=f"--dimension={dimension}"):
        fitted(descriptors, dimension)


def test_fewer_descriptors_than_dimensions():
    pca = projection.Pca(12)
    pca.add(np.eye(12, dtype="float32")[:4])
    with pytest.raises(InputError, match="count 4"):
        pca.fit(4)
