"""The attention head: what it computes, and that it learns."""

import keras
import numpy as np
import pytest

from landmark_tf.features import attention_head


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    x = images = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(8, 3, strides=4, padding="same", name="conv")(x)
    backbone = keras.Model(images, keras.layers.ReLU()(x))
    return attention_head.add_head(backbone, 2, "tiny", hidden=16)


def pictures(count):
    """A bright spot in the left or the right half of grey noise."""
    random = np.random.default_rng(0)
    images = random.integers(100, 120, (count, 32, 32, 3), "uint8")
    labels = np.arange(count) % 2
    for image, label in zip(images, labels):
        y, x = random.integers(0, 24, 2)
        image[y : y + 8, x : x + 8] = (250, 20, 20) if label else (20, 20, 250)
    return images, labels


def test_pooling_is_weighted_by_attention(network):
    images, _ = pictures(3)
    random = np.random.default_rng(1)
    for weight in network.get_layer("attention_score").weights:
        weight.assign(random.normal(size=weight.shape))
    find = attention_head.network_of_features(network)
    features, attention = (
        keras.ops.convert_to_numpy(x) for x in find(images.astype("float32"))
    )
    assert features.shape == (3, 8, 8, 8) and attention.shape == (3, 8, 8, 1)
    assert (attention > 0).all() and attention.std() > 0.01
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    # Fresh batch norm: mean 0, variance 1, epsilon 1e-3.
    pooled = (unit / np.sqrt(1.001) * attention).mean(axis=(1, 2))
    kernel, bias = network.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(network(images)),
        pooled @ kernel + bias,
        atol=1e-4,
    )


def test_only_the_head_learns_and_it_attends_to_what_tells_apart(network):
    images, labels = pictures(64)
    frozen = network.get_layer("conv").get_weights()
    network.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(images, labels, epochs=20, verbose=0)
    assert network.evaluate(images, labels, verbose=0)[1] > 0.95
    for old, new in zip(frozen, network.get_layer("conv").get_weights()):
        np.testing.assert_array_equal(old, new)
    find = attention_head.network_of_features(network)
    _, attention = find(images.astype("float32"))
    attention = keras.ops.convert_to_numpy(attention)[..., 0]
    spots = np.ptp(images.astype(int), axis=-1)[:, 1::4, 1::4] > 150
    assert attention[spots].mean() > 1.5 * attention[~spots].mean()


def test_pictures_of_any_size(network):
    find = attention_head.network_of_features(network)
    features, attention = find(np.zeros((2, 48, 80, 3), "float32"))
    assert features.shape == (2, 12, 20, 8)
    assert attention.shape == (2, 12, 20, 1)


def test_bfloat16_is_the_same_but_for_rounding(network):
    images = pictures(3)[0].astype("float32")
    for weight in network.get_layer("attention_score").weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    exact, coarse = (
        [
            keras.ops.convert_to_numpy(x)
            for x in attention_head.network_of_features(network, kind)(images)
        ]
        for kind in ("float32", "bfloat16")
    )
    for a, b in zip(exact, coarse):
        assert b.dtype == np.float32
        assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()
