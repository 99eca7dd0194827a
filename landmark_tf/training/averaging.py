"""An average of the weights over the steps, which is often better than any."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


class WeightAverage(tf.Module):
    """Exponential moving average of weights: a = decay * a + (1 - decay) * w.

    In the first steps the decay is smaller, (1 + s) / (10 + s) after s updates,
    so that the random beginning is soon forgotten (as in
    `tf.train.ExponentialMovingAverage`). Batch norm's statistics are averaged
    as well: they belong to the weights of their step. Made in a strategy's
    scope, of weights as they are then.

    Args:
        model: the network.
        decay: in (0, 1).
    """

    def __init__(self, model: keras.Model, decay: float):
        super().__init__()
        self._decay = decay
        self._weights = [w for w in model.weights if w.dtype == "float32"]
        settings = {
            "trainable": False,
            # The replicas' weights are equal, and so are the averages.
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self.averages = [
            tf.Variable(keras.ops.convert_to_numpy(w), **settings)
            for w in self._weights
        ]
        self.updates = tf.Variable(0, dtype=tf.int64, **settings)

    def update(self) -> None:
        """Takes in the weights after an update; runs on every replica."""
        done = tf.cast(self.updates, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + done) / (10.0 + done))
        for average, weight in zip(self.averages, self._weights):
            average.assign_add((weight.value - average) * (1.0 - decay))
        self.updates.assign_add(1)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averages for weights; afterwards its own again."""
        own = [keras.ops.convert_to_numpy(w) for w in self._weights]
        for weight, average in zip(self._weights, self.averages):
            weight.assign(average.numpy())
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own):
                weight.assign(value)
