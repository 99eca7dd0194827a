"""Losses of one example each, from integer labels and logits."""

import keras


def cross_entropy(labels, logits):
    """-log softmax(logits)[label], in float32.

    Args:
        labels: int [N], in [0, C); a negative one (no landmark) costs 0.
        logits: float [N, C].

    Returns:
        float32 [N].
    """
    known = keras.ops.cast(labels >= 0, "float32")
    losses = keras.ops.sparse_categorical_crossentropy(
        keras.ops.maximum(labels, 0),
        keras.ops.cast(logits, "float32"),
        from_logits=True,
    )
    return known * losses
