"""Random numbers that are functions: the same wherever and whenever drawn."""

import tensorflow as tf


def uniform(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Draws numbers that are a function of the seed alone, on any machine.

    Args:
        seed: int64 [2].
        count: how many.

    Returns:
        float32 [count], uniform in [0, 1). (Philox: Salmon et al., "Parallel
        random numbers: as easy as 1, 2, 3", SC 2011.)
    """
    return tf.raw_ops.StatelessRandomUniform(shape=[count], seed=seed)


def hashed(keys: tf.Tensor, ids: tf.Tensor, count: int) -> tf.Tensor:
    """Like `uniform`, of an int64 and a string for each of n pictures.

    Returns:
        float32 [n, count].
    """
    texts = tf.strings.as_string(keys) + "/" + ids
    texts = texts[:, None] + [f"/{i}" for i in range(count)]
    bits = tf.strings.to_hash_bucket_fast(texts, 2**63 - 1)
    bits = tf.bitwise.right_shift(bits, tf.constant(39, tf.int64))
    return tf.cast(bits, tf.float32) * 2**-24
