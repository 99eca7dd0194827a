"""Classes with few pictures: how much they count, or how often they are seen.

`images` is everywhere the number of training pictures of each class, int [C].
A class without a picture has weight 0, and nothing else depends on it.
"""

from collections.abc import Callable

import keras
import numpy as np

from landmark_tf import InputError

KINDS = ("none", "inverse", "log", "effective")
SAMPLINGS = {"natural": 0.0, "sqrt": 0.5, "balanced": 1.0}  # powers of 1 / n


def class_weights(
    images: np.ndarray, kind: str, beta: float = 0.999
) -> np.ndarray:
    """What a picture of each class counts in the loss.

    With n pictures of a class the weights are in proportion to

    - `none`: 1;
    - `inverse`: 1 / n;
    - `log`: 1 / log(1 + n);
    - `effective`: (1 - beta) / (1 - beta^n), one over the effective number of
      pictures (Cui et al. 2019, equation 2); from `none` at beta 0 to
      `inverse` as beta goes to 1.

    Args:
        images: int [C], at least 0.
        kind: one of `KINDS`.
        beta: in [0, 1), of `effective`.

    Returns:
        float32 [C], at least 0; the mean over the training pictures is 1, so
        that the learning rate keeps its meaning.

    Raises:
        InputError: an unknown kind.
        ValueError: counts below 0 or all 0, or `beta` outside its range.
    """
    if kind not in KINDS:
        raise InputError(
            f"the class weights must be one of {', '.join(KINDS)}. "
            f"Received: {kind!r}"
        )
    if not 0 <= beta < 1:
        raise ValueError(
            f"beta must be at least 0 and below 1. Received: {beta}"
        )
    weigh = {
        "none": np.ones_like,
        "inverse": np.reciprocal,
        "log": lambda n: 1 / np.log1p(n),
        "effective": lambda n: (1 - beta) / (1 - beta**n),
    }
    return _mean_one(images, weigh[kind])


def repeats(images: np.ndarray, sampling: str) -> np.ndarray | None:
    """How often a picture of each class should appear in an epoch.

    With n pictures of a class, of N in all, it is

    - `natural`: 1;
    - `sqrt`: in proportion to n^-1/2, so that a class is seen in proportion to
      n^1/2 (Mahajan et al. 2018);
    - `balanced`: N / (C' n), so that all C' classes that have pictures are seen
      equally often.

    Args:
        images: int [C], at least 0; not needed for `natural`.
        sampling: one of `SAMPLINGS`.

    Returns:
        float32 [C], at least 0, in expectation; an epoch has as many pictures
        as without repeats. None: each comes once.

    Raises:
        InputError: an unknown sampling.
        ValueError: counts below 0 or all 0.
    """
    if sampling not in SAMPLINGS:
        raise InputError(
            f"the sampling must be one of {', '.join(SAMPLINGS)}. "
            f"Received: {sampling!r}"
        )
    power = SAMPLINGS[sampling]
    return _mean_one(images, lambda n: n**-power) if power else None


def weighted(
    loss: Callable, weights: np.ndarray
) -> Callable[[object, object], object]:
    """Multiplies what each example costs by the weight of its label.

    Args:
        loss: (labels int [N], logits float [N, C]) -> float [N]; 0 where a
            label is negative (no landmark).
        weights: float [C].

    Returns:
        A loss of the same form, of the same dtype.
    """
    weights = np.asarray(weights, "float32")

    def weighted_loss(labels, logits):
        each = loss(labels, logits)
        weight = keras.ops.take(weights, keras.ops.maximum(labels, 0))
        return each * keras.ops.cast(weight, each.dtype)

    return weighted_loss


def _mean_one(
    images: np.ndarray, weigh: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Weights of counts, with a mean of 1 over all pictures."""
    images = np.asarray(images, "float64")
    if not (images >= 0).all() or not images.any():
        raise ValueError(
            "the pictures of each class must be at least 0, and not all 0. "
            f"Received: {images}"
        )
    weights = np.zeros_like(images)
    some = images > 0
    weights[some] = weigh(images[some])
    weights *= images.sum() / (images * weights).sum()
    return weights.astype("float32")
