"""PCA of descriptors, fitted on more of them than fit into memory."""

import dataclasses

import numpy as np

from landmark_tf import InputError


@dataclasses.dataclass(frozen=True)
class Projection:
    """What turns descriptors of C numbers into ones of D.

    Attributes:
        mean: float32 [C], of the descriptors that it was fitted on.
        matrix: float32 [C, D], for descriptors without the mean.
        explained: share of the variance that is kept, in [0, 1].
    """

    mean: np.ndarray
    matrix: np.ndarray
    explained: float


class Pca:
    """Collects what principal component analysis needs.

    Args:
        size: C, the numbers of a descriptor.
    """

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))

    def add(self, descriptors: np.ndarray) -> None:
        """Takes in descriptors, float [N, C], of length 1."""
        self.count += len(descriptors)
        self._sum += descriptors.sum(axis=0, dtype=np.float64)
        self._products += descriptors.T @ descriptors

    def fit(self, dimension: int, whiten: bool = False) -> Projection:
        """The directions of largest variance.

        Args:
            dimension: D, from 1 to C.
            whiten: scale each to a variance of 1.

        Raises:
            InputError: fewer descriptors, or numbers in them, than that.
        """
        if not 1 <= dimension <= min(len(self._sum), self.count - 1):
            raise InputError(
                "--dimension must be at least 1, at most the features' "
                f"{len(self._sum)} numbers, and less than their count "
                f"{self.count:,}. Received: --dimension={dimension}"
            )
        mean = self._sum / self.count
        variance = self._products / self.count - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(variance)
        values = np.maximum(values[::-1], 0)
        matrix = vectors[:, ::-1][:, :dimension]
        largest = np.abs(matrix).argmax(axis=0)  # an axis has no sign: choose
        matrix = matrix * np.sign(matrix[largest, np.arange(dimension)])
        if whiten:
            matrix = matrix / np.sqrt(np.maximum(values[:dimension], 1e-12))
        explained = values[:dimension].sum() / max(values.sum(), 1e-12)
        return Projection(
            mean.astype(np.float32),
            matrix.astype(np.float32),
            float(explained),
        )
