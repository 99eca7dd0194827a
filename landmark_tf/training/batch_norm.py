"""How batch norm is computed in training: fast, or over all replicas.

The networks are built of plain `keras.layers.BatchNormalization`. Keras
computes it from a dozen operations that each read the whole tensor; TensorFlow
has one kernel for all of it (which on a CPU also takes in the ReLU behind), but
no kernel that sees other replicas. The moving variance follows the unbiased
variance, as in PyTorch; in Keras it is the biased one.
"""

import types
from collections.abc import Callable

import keras
import tensorflow as tf


def prepare(model: keras.Model, replicas: int) -> None:
    """Chooses the computation for a model that is about to be trained.

    With several replicas the statistics are of the whole batch: a replica's
    share can be too small for good ones. With one, the fused kernel is used.

    Args:
        model: a functional model, changed in place; what is saved of it, or
            cloned, is not.
        replicas: over how many a batch is spread, in equal shares.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            compute = _over_replicas if replicas > 1 else _fused
            layer.call = types.MethodType(_call_with(compute), layer)


def _call_with(compute: Callable) -> Callable:
    """`BatchNormalization.call` for features [N, H, W, C].

    Args:
        compute: (layer, inputs) -> outputs, mean and unbiased variance.
    """

    def call(
        layer: keras.layers.BatchNormalization,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        if not training or not layer.trainable:
            return _fused(layer, inputs, learns=False)[0]
        outputs, mean, variance = compute(layer, inputs)
        _follow(layer.moving_mean, mean, layer.momentum)
        _follow(layer.moving_variance, variance, layer.momentum)
        return outputs

    return call


def _fused(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    learns: bool = True,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Outputs, mean and unbiased variance."""
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value if layer.scale else tf.ones_like(layer.beta),
        offset=layer.beta.value,
        mean=tf.zeros([0]) if learns else layer.moving_mean.value,
        variance=tf.zeros([0]) if learns else layer.moving_variance.value,
        epsilon=layer.epsilon,
        is_training=learns,
    )
    return outputs, mean, variance


def _over_replicas(
    layer: keras.layers.BatchNormalization, inputs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same over the batch of all replicas, which have equal shares."""
    x = tf.cast(inputs, tf.float32)
    mean, variance = keras.ops.moments(x, axes=(0, 1, 2), synchronized=True)
    outputs = keras.ops.batch_normalization(
        x,
        mean,
        variance,
        axis=-1,
        offset=layer.beta,
        scale=layer.gamma if layer.scale else None,
        epsilon=layer.epsilon,
    )
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    count = tf.size(x) // x.shape[-1] * replicas
    count = tf.cast(count, tf.float32)
    unbiased = variance * count / tf.maximum(count - 1, 1)
    return tf.cast(outputs, inputs.dtype), mean, unbiased


def _follow(average: keras.Variable, value: tf.Tensor, momentum: float) -> None:
    average.assign(average * momentum + value * (1 - momentum))
