"""From pictures to local features, by one interface.

extractor = extractors.create(settings.Extraction(extractor="sift"))
features = extractor([image])[0]       # uint8 [H, W, 3] -> LocalFeatures
"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from landmark_tf.features.delf import Delf
from landmark_tf.features.local import LocalFeatures, empty
from landmark_tf.features.settings import Extraction


class Extractor(Protocol):
    """Takes features of pictures.

    Attributes:
        dimension: D, the numbers of a descriptor.
        max_distance: the Euclidean distance up to which two descriptors are
            compared at all; 0: any. See `settings.Matching`.
        processes: how many suit it; 0: one for each core.
    """

    dimension: int
    max_distance: float
    processes: int

    def __call__(self, images: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """Takes the features of pictures of one size, uint8 [H, W, 3] RGB.

        Returns:
            For each picture at most `max_features`, by falling score.
        """


def create(settings: Extraction) -> Extractor:
    """Makes an extractor."""
    return _kind(settings.extractor)(settings)


class Sift:
    """OpenCV's SIFT (Lowe 2004) with RootSIFT descriptors.

    Photographs of buildings stand upright, so by default descriptors are taken
    upright rather than along the main gradient: what differs only by a turn is
    then told apart. With `rotation` turned pictures match too, and more of
    those of other things.

    The scores are contrasts of the extrema, the scales diameters in pixels.
    RootSIFT: L1-normalised, then square-rooted, so that the Euclidean distance
    is Hellinger's (Arandjelovic & Zisserman 2012, Section 2).
    """

    dimension = 128
    max_distance = 0.0
    processes = 0

    def __init__(self, settings: Extraction):
        self._count = settings.max_features
        self._rotation = settings.rotation
        self._sift = cv2.SIFT_create()

    def __call__(self, images: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """See `Extractor`."""
        return [self._extract(image) for image in images]

    def _extract(self, image: np.ndarray) -> LocalFeatures:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        keypoints = self._choose(self._sift.detect(grey, None))
        if not keypoints:
            return empty(self.dimension, grey.shape)
        # It leaves none out and changes no order.
        keypoints, descriptors = self._sift.compute(grey, keypoints)
        x, y, scales, scores = np.array(
            [(*k.pt, k.size, k.response) for k in keypoints], np.float32
        ).T
        return LocalFeatures(
            np.column_stack([y, x]),
            scales,
            scores,
            root(descriptors),
            grey.shape,
        )

    def _choose(self, found: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
        """The strongest, in an order that ties do not change."""
        if not self._rotation:
            # An extremum with several main gradients is there several times.
            found = list({(k.pt, k.octave): k for k in found}.values())
            for keypoint in found:
                keypoint.angle = 0.0
        found = sorted(found, key=lambda k: (-k.response, k.pt, k.angle))
        return found[: self._count]


def root(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of descriptors [N, D], from 0, that sum to 1 each."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.sqrt(descriptors / total, dtype=np.float32)


def max_distance(extractor: str) -> float:
    """The distance up to which its descriptors are compared; 0: any."""
    return _kind(extractor).max_distance


def _kind(extractor: str) -> type[Extractor]:
    return Delf if extractor.partition(":")[0] == "delf" else Sift
