"""Batch norm in training: Keras' own, but for the variance it follows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.training import batch_norm

PIXELS = 6 * 5 * 5  # of a batch


def _model(**settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5, 5, 4))
    layer = keras.layers.BatchNormalization(
        momentum=0.9,
        beta_initializer="random_normal",
        moving_mean_initializer="random_normal",
        name="bn",
        **settings,
    )
    return keras.Model(inputs, layer(inputs))


def _fused(**settings):
    model = _model(**settings)
    batch_norm.prepare(model, replicas=1)
    return model


def _pictures():
    x = np.random.default_rng(0).normal(3, 2, (6, 5, 5, 4))
    return tf.constant(x, tf.float32)


def _step(model, training):
    x = _pictures()

    @tf.function
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=training)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return y, tape.gradient(loss, [x, *model.trainable_variables])

    y, gradients = compute(x)
    return [y, *gradients, *model.weights]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "settings", [{}, {"scale": False, "epsilon": 0.1}, {"trainable": False}]
)
def test_it_equals_keras(settings, training):
    theirs = _model(**settings)
    kept = 0.9 * np.array(theirs.get_layer("bn").moving_variance)
    ours = _step(_fused(**settings), training)
    theirs = _step(theirs, training)
    assert len(ours) == len(theirs)
    if training and settings.get("trainable", True):
        # Theirs follows the biased variance, ours the unbiased one.
        theirs[-1] = kept + (theirs[-1] - kept) * PIXELS / (PIXELS - 1)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_fused_kernel_is_used():
    def operations(model):
        call = tf.function(lambda x: model(x, training=True))
        graph = call.get_concrete_function(_pictures()).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" in operations(_fused())
    assert "FusedBatchNormV3" not in operations(_model())


def test_bfloat16_stays_near():
    ours, theirs = (
        make(dtype="mixed_bfloat16")(_pictures(), training=True)
        for make in (_fused, _model)
    )
    assert ours.dtype == theirs.dtype == "bfloat16"
    np.testing.assert_allclose(
        tf.cast(ours, "float32"), tf.cast(theirs, "float32"), atol=0.05
    )


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_is_saved_is_plain_keras(replicas, tmp_path):
    model = _model()
    batch_norm.prepare(model, replicas)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.get_layer("bn")
    assert type(layer) is keras.layers.BatchNormalization
    assert not layer.synchronized
    np.testing.assert_allclose(
        loaded(_pictures()), model(_pictures()), rtol=1e-5, atol=1e-5
    )


def test_several_replicas_share_their_statistics(mirrored):
    """Two halves on two devices give what the whole gives on one."""
    whole = _fused()
    expected = whole(_pictures(), training=True)
    with mirrored.scope():
        model = _model()
        batch_norm.prepare(model, replicas=2)

    @tf.function
    def step(batches):
        return mirrored.run(
            lambda x: model(x, training=True), args=(next(batches),)
        )

    data = tf.data.Dataset.from_tensor_slices(_pictures()).batch(6)
    batches = iter(mirrored.experimental_distribute_dataset(data))
    found = tf.concat(mirrored.experimental_local_results(step(batches)), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for ours, theirs in zip(model.weights, whole.weights):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
