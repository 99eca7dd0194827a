"""From pictures to local features, by one interface.

extractor = extractors.create(settings.Extraction(extractor="sift"))
features = extractor([image])[0]       # uint8 [H, W, 3] -> LocalFeatures
"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from landmark_tf.features.local import LocalFeatures, empty
from landmark_tf.features.settings import Extraction


class Extractor(Protocol):
    """Takes features of pictures.

    Attributes:
        dimension: D, the numbers of a descriptor.
        max_distance: the Euclidean distance up to which two descriptors are
            compared at all; 0: any. See `settings.Matching`.
    """

    dimension: int
    max_distance: float

    def __call__(self, images: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """Takes the features of pictures of one size, uint8 [H, W, 3] RGB.

        Returns:
            For each picture at most `max_features`, by falling score.
        """


def create(settings: Extraction) -> Extractor:
    """Makes an extractor."""
    return _EXTRACTORS[settings.extractor](settings)


class Sift:
    """OpenCV's SIFT (Lowe 2004) with RootSIFT descriptors.

    The scores are contrasts of the extrema, the scales diameters in pixels.
    RootSIFT: L1-normalised, then square-rooted, so that the Euclidean distance
    is Hellinger's (Arandjelovic & Zisserman 2012, Section 2).
    """

    dimension = 128
    max_distance = 0.0

    def __init__(self, settings: Extraction):
        self._count = settings.max_features
        self._sift = cv2.SIFT_create(settings.max_features)

    def __call__(self, images: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """See `Extractor`."""
        return [self._extract(image) for image in images]

    def _extract(self, image: np.ndarray) -> LocalFeatures:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        keypoints, descriptors = self._sift.detectAndCompute(grey, None)
        if not keypoints:
            return empty(self.dimension, grey.shape)
        x, y, scales, scores, angles = np.array(
            [(*k.pt, k.size, k.response, k.angle) for k in keypoints],
            np.float32,
        ).T
        # OpenCV keeps all that tie with the last one.
        order = np.lexsort((angles, scales, x, y, -scores))[: self._count]
        features = LocalFeatures(
            np.column_stack([y, x]),
            scales,
            scores,
            root(descriptors),
            grey.shape,
        )
        return features.select(order)


def root(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of descriptors [N, D], from 0, that sum to 1 each."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.sqrt(descriptors / total, dtype=np.float32)


_EXTRACTORS = {"sift": Sift}


def max_distance(extractor: str) -> float:
    """The distance up to which its descriptors are compared; 0: any."""
    return _EXTRACTORS[extractor].max_distance
