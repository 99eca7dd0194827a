"""Local features of a picture: where, how large, how certain, and what."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class LocalFeatures:
    """N features of one picture.

    Attributes:
        locations: float32 [N, 2], (y, x) in pixels of the picture; the centre
            of its first pixel is (0, 0).
        scales: float32 [N], above 0: how large, in units of the extractor.
        scores: float32 [N], the larger the more certain.
        descriptors: float32 [N, D], each of length 1.
        size: height and width of the picture in pixels.
    """

    locations: np.ndarray
    scales: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    def __post_init__(self):
        count = len(self.locations)
        shapes = [
            x.shape
            for x in (
                self.locations,
                self.scales,
                self.scores,
                self.descriptors,
            )
        ]
        if (
            shapes[:3] != [(count, 2), (count,), (count,)]
            or len(shapes[3]) != 2
            or len(self.descriptors) != count
        ):
            raise ValueError(
                "expected locations [N, 2], scales [N], scores [N] and "
                f"descriptors [N, D]. Received: {shapes}"
            )

    def __len__(self) -> int:
        return len(self.locations)

    def select(self, rows: np.ndarray) -> "LocalFeatures":
        """Some of the features: int [K] places or bool [N]."""
        return LocalFeatures(
            self.locations[rows],
            self.scales[rows],
            self.scores[rows],
            self.descriptors[rows],
            self.size,
        )

    def finite(self) -> "LocalFeatures":
        """The features without those that have a NaN or infinite number."""
        numbers = np.column_stack(
            [self.locations, self.scales, self.scores, self.descriptors]
        )
        good = np.isfinite(numbers).all(axis=1)
        return self if good.all() else self.select(good)


def empty(dimension: int, size: tuple[int, int]) -> LocalFeatures:
    """No features of a picture, with descriptors of `dimension` numbers."""
    return LocalFeatures(
        np.zeros((0, 2), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, dimension), np.float32),
        size,
    )
