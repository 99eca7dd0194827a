"""Two pictures side by side with the features that agree."""

import cv2
import numpy as np

from landmark_tf.features.local import LocalFeatures
from landmark_tf.features.matching import Match

_GAP = 8  # pixels of white between the pictures
_HUES = 160  # of OpenCV's 180, so that the last is not the first


def draw(
    image_a: np.ndarray,
    image_b: np.ndarray,
    features_a: LocalFeatures,
    features_b: LocalFeatures,
    match: Match,
) -> np.ndarray:
    """Draws a line for every inlier, coloured by its place in the first.

    Args:
        image_a: uint8 [H, W, 3] RGB, the picture of `features_a`.
        image_b: uint8 [H', W', 3], the picture of `features_b`.
        features_a: of the first picture.
        features_b: of the second.
        match: what they have in common.

    Returns:
        uint8 [max(H, H'), W + 8 + W', 3].
    """
    (height_a, width_a), (height_b, width_b) = (
        x.shape[:2] for x in (image_a, image_b)
    )
    right = width_a + _GAP
    shape = (max(height_a, height_b), right + width_b, 3)
    canvas = np.full(shape, 255, np.uint8)
    canvas[:height_a, :width_a] = image_a
    canvas[:height_b, right:] = image_b
    pairs = match.pairs[match.agreement.inliers]
    a = features_a.locations[pairs[:, 0]]
    b = features_b.locations[pairs[:, 1]] + [0, right]
    for (y, x), (v, u) in zip(a, b):
        colour = _colour(x / width_a)
        ends = [(round(float(x)), round(float(y)))]
        ends.append((round(float(u)), round(float(v))))
        cv2.line(canvas, *ends, colour, 1, cv2.LINE_AA)
        for end in ends:
            cv2.circle(canvas, end, 3, colour, 1, cv2.LINE_AA)
    return canvas


def _colour(share: float) -> tuple[int, ...]:
    """From red to magenta for a share from 0 to 1."""
    hue = np.array([[[round(share * _HUES), 255, 255]]], np.uint8)
    return tuple(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist())
