"""Losses of one example each, from integer labels and logits."""

import math

import keras


def cross_entropy(labels, logits, label_smoothing: float = 0.0):
    """Cross-entropy, -log softmax(logits)[label]: `focal` with gamma 0.

    Args:
        labels: int [N], below C; a negative one (no landmark) costs 0.
        logits: float [N, C], finite.
        label_smoothing: epsilon, in [0, 1); see `focal`.

    Returns:
        [N], at least 0; float64 where the logits are, else float32.

    Raises:
        ValueError: `label_smoothing` is outside its range.
    """
    return focal(labels, logits, 0.0, label_smoothing)


def focal(labels, logits, gamma: float = 2.0, label_smoothing: float = 0.0):
    """Focal loss: examples that are already easy count for less.

    With y = softmax(logits) it is the sum over the classes c of
    -t_c (1 - y_c)^gamma log y_c (Lin et al. 2017, equation 4, on a softmax),
    where t_c is 1 - epsilon on the label plus epsilon / C on every class
    (Szegedy et al. 2016, section 7). Without smoothing only the label's term
    is left; with gamma 0 it is cross-entropy.

    Args:
        labels: int [N], below C; a negative one (no landmark) costs 0.
        logits: float [N, C], finite.
        gamma: the focus, finite and at least 0.
        label_smoothing: epsilon, in [0, 1).

    Returns:
        [N], at least 0; float64 where the logits are, else float32.

    Raises:
        ValueError: `gamma` or `label_smoothing` is outside its range.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(
            f"gamma must be finite and at least 0. Received: {gamma}"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            "label_smoothing must be at least 0 and below 1. "
            f"Received: {label_smoothing}"
        )
    if keras.backend.standardize_dtype(logits.dtype) != "float64":
        logits = keras.ops.cast(logits, "float32")
    surprise = keras.ops.sparse_categorical_crossentropy(
        keras.ops.maximum(labels, 0), logits, from_logits=True
    )
    losses = _focus(surprise, gamma)
    if label_smoothing:
        each_class = _focus(-keras.ops.log_softmax(logits), gamma)
        uniform = keras.ops.mean(each_class, axis=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return keras.ops.where(labels >= 0, losses, 0.0)


def _focus(surprise, gamma):
    """(1 - y)^gamma * -log y of surprise = -log y >= 0, of any shape."""
    if gamma == 0:
        return surprise
    # At y = 1 the derivative is 0, but that of the power alone is infinite
    # for gamma < 1, and 0 * infinity is NaN: the power never sees a 0.
    unsure = surprise > 0
    surprise = keras.ops.where(unsure, surprise, 1.0)
    # 1 - y = -expm1(log y) keeps the digits that 1 - exp(log y) cancels.
    factor = keras.ops.power(-keras.ops.expm1(-surprise), gamma)
    return keras.ops.where(unsure, factor * surprise, 0.0)
