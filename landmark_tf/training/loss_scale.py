"""Dynamic loss scaling, without which float16 loses small gradients."""

import tensorflow as tf

_FIRST, _LARGEST = 2.0**15, 2.0**24
_PATIENCE = 2000  # updates without an overflow, then the scale doubles


class LossScale(tf.Module):
    """What the loss is multiplied by before its gradient is taken.

    It halves when a gradient overflows (that update is left out) and doubles
    after 2,000 updates in a row that did not (Micikevicius et al. 2018, "Mixed
    precision training", section 3.2). Made in a strategy's scope.
    """

    def __init__(self) -> None:
        super().__init__()
        settings = {
            "trainable": False,
            # The replicas agree: what the first one says holds for all.
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self.value = tf.Variable(_FIRST, dtype=tf.float32, **settings)
        self.finite = tf.Variable(0, dtype=tf.int32, **settings)

    def adjust(self, finite: tf.Tensor) -> None:
        """Takes note of one update, on every replica.

        Args:
            finite: bool [], whether all gradients were numbers.
        """
        in_a_row = tf.where(finite, self.finite + 1, 0)
        grown = in_a_row >= _PATIENCE
        factor = tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5)
        self.value.assign(tf.clip_by_value(self.value * factor, 1.0, _LARGEST))
        self.finite.assign(tf.where(grown, 0, in_a_row))
