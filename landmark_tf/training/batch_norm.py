"""How batch norm is computed in training: over all replicas, or fast.

The networks are built of plain `keras.layers.BatchNormalization`, so that they
load anywhere. Keras computes it from a dozen operations that each read the
whole tensor; TensorFlow has one kernel for all of it (which on a CPU also takes
in the ReLU behind), but no kernel that sees other replicas.
"""

import types

import keras
import tensorflow as tf


def prepare(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Chooses the computation for a model that is about to be trained.

    With several replicas the statistics are of the whole batch: a replica's
    share can be too small for good ones. With one, the fused kernel is used;
    results are the same to rounding.

    Args:
        model: changed in place; what is saved of it is not.
        strategy: the devices.
    """
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        layer.synchronized = strategy.num_replicas_in_sync > 1
        if not layer.synchronized and _fits(layer):
            layer.call = types.MethodType(_fused_call, layer)


def _fits(layer: keras.layers.BatchNormalization) -> bool:
    return not layer.renorm and layer.axis in (-1, 3) and layer.center


def _fused_call(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """`BatchNormalization.call` by TensorFlow's fused kernel."""
    learns = bool(training) and layer.trainable
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value if layer.scale else tf.ones_like(layer.beta),
        offset=layer.beta.value,
        mean=tf.zeros([0]) if learns else layer.moving_mean.value,
        variance=tf.zeros([0]) if learns else layer.moving_variance.value,
        epsilon=layer.epsilon,
        exponential_avg_factor=1.0,
        is_training=learns,
    )
    if learns:
        # The kernel's variance is the unbiased one, Keras' is not.
        count = tf.size(inputs) // inputs.shape[-1]
        count = tf.cast(count, tf.float32)
        _follow(layer.moving_mean, mean, layer.momentum)
        _follow(
            layer.moving_variance,
            variance * (count - 1) / count,
            layer.momentum,
        )
    return outputs


def _follow(average: keras.Variable, value: tf.Tensor, momentum: float) -> None:
    average.assign(average * momentum + value * (1 - momentum))
