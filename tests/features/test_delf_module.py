"""Our DELF: where its features are, which are chosen, what is saved."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.features import (
    attention_head,
    delf,
    delf_module,
    extractors,
    projection,
    settings,
)
from landmark_tf.models import entries, graphs, receptive_field
from tests.models import cases

DIMENSION = 12


@functools.cache
def made(name="resnet18"):
    """A module of a random network; its strides and fields are real."""
    keras.utils.set_random_seed(0)
    model = cases.build(name, image_size=64)
    backbone = graphs.backbone(model, "conv4_x", 64)
    network = attention_head.add_head(backbone, 3, "tiny", hidden=8)
    random = np.random.default_rng(0)
    for weight in network.get_layer("attention_score").weights:
        weight.assign(random.normal(size=weight.shape))
    field = receptive_field.of(model, "conv4_x")
    grid = delf_module.Grid(
        attention_head.network_of_features(network),
        field.offset,
        field.stride,
        smallest=32,
    )
    pca = projection.Pca(grid.channels)
    _, attention, found = grid(tf.constant(texture()[None]), tf.constant(1.0))
    pca.add(found.numpy().reshape(-1, grid.channels))
    typical = float(np.median(attention))
    module = delf_module.Delf(
        grid, field.size, pca.fit(DIMENSION, True), typical
    )
    return module, field


def texture(side=448, seed=0):
    """Smooth colours, float32 [side, side, 3] in [0, 1]."""
    cells = (side // 32, side // 32, 3)
    random = np.random.default_rng(seed).uniform(size=cells)
    return tf.image.resize(random, (side, side), "bicubic").numpy().clip(0, 1)


def look(image, scales=(1.0,), threshold=0.0, most=1000):
    module, _ = made()
    found = module.many(
        tf.constant(image[None], tf.float32),
        tf.constant(threshold, tf.float32),
        tf.constant(scales, tf.float32),
        tf.constant(most),
    )
    count = int(found.pop("count")[0])
    return {name: x.numpy()[0, :count] for name, x in found.items()}


def assert_follow(first, second, expected):
    """Most matched features of the second are where `expected` puts them."""
    near = first["descriptors"] @ second["descriptors"].T
    a = np.arange(len(near))
    b = near.argmax(axis=1)
    mutual = (near.argmax(axis=0)[b] == a) & (near[a, b] > 0.9)
    wanted = expected(first["locations"][a[mutual]])
    distance = np.abs(second["locations"][b[mutual]] - wanted).max(axis=1)
    _, field = made()
    assert mutual.sum() >= 50
    assert np.mean(distance <= field.stride[0]) > 0.9
    return distance


def test_features_follow_a_shift():
    image = texture()
    distance = assert_follow(
        look(image[:416, :416]),
        look(image[16:432, 32:448]),
        lambda places: places - [16, 32],
    )
    assert np.median(distance) < 1e-3  # whole strides: the same features


def test_features_follow_a_crop_by_no_whole_stride():
    image = texture()
    assert_follow(
        look(image),
        look(image[18:405, 35:429]),
        lambda places: places - [18, 35],
    )


def test_features_follow_a_scale():
    image = texture()
    large = tf.image.resize(image, (896, 896)).numpy()
    distance = assert_follow(
        look(image, scales=(1.0,)),
        look(large, scales=(0.5,)),
        lambda places: (places + 0.5) * 2 - 0.5,
    )
    assert np.median(distance) <= 1


def test_the_first_feature_stands_at_the_fields_centre():
    _, field = made()
    found = look(texture())
    offset, stride = field.offset[0], field.stride[0]
    cells = (found["locations"] - offset) / stride
    np.testing.assert_allclose(cells, cells.round(), atol=1e-4)
    assert cells.min() == 0 and cells.max() == 27


def test_the_most_attended_stay_and_no_neighbours():
    image = texture()
    found = look(image, scales=(0.5, 1.0))
    assert (np.diff(found["scores"]) <= 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(found["descriptors"], axis=1), 1, atol=1e-5
    )
    _, field = made()
    half = field.size[0] / 2 / found["scales"][:, None]
    low, high = found["locations"] - half, found["locations"] + half
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    area = np.prod(high - low, axis=1)
    overlap = shared / (area[:, None] + area - shared)
    np.fill_diagonal(overlap, 0)
    assert 0.5 < overlap.max() <= delf_module.OVERLAP + 1e-5
    fewer = look(image, scales=(0.5, 1.0), most=5)
    np.testing.assert_array_equal(fewer["scores"], found["scores"][:5])
    certain = look(image, scales=(0.5, 1.0), threshold=found["scores"][7])
    assert len(certain["scores"]) in (7, 8)


def test_a_typical_feature_scores_100():
    module, _ = made()
    pyramid = module._pyramid(texture()[None], tf.constant([1.0]))
    assert np.median(pyramid[2]) == pytest.approx(100, rel=1e-4)


def test_sizes_that_are_too_small_are_left_out():
    assert set(look(texture(64, seed=1), (0.25, 0.5, 1.0))["scales"]) == {
        0.5,
        1.0,
    }
    assert len(look(texture(64, seed=1), (0.25,))["scores"]) == 0


@pytest.mark.parametrize(
    "name", ["seatt_resnet50", "se_resnext50_32x4d", "mobilenet_v2"]
)
def test_every_kind_of_network_looks_at_pictures_of_any_shape(name):
    if name == "mobilenet_v2":
        model = entries.build(name, 3, 64)
    else:
        model = cases.build(name, image_size=64)
    field = receptive_field.of(model, "conv4_x")
    network = attention_head.add_head(
        graphs.backbone(model, "conv4_x", 96), 3, "tiny", hidden=8
    )
    grid = delf_module.Grid(
        attention_head.network_of_features(network),
        field.offset,
        field.stride,
        smallest=32,
    )
    images = tf.constant(texture(160)[None, :, :96])
    locations, attention, found = tf.function(grid)(images, tf.constant(0.5))
    assert locations.shape == (5 * 3, 2)
    assert attention.shape == (1, 5 * 3)
    assert found.shape == (1, 5 * 3, grid.channels)
    first, last = locations.numpy()[[0, -1]]
    # In half the size a stride is two: 32 pixels.
    np.testing.assert_allclose(last - first, [4 * 32, 2 * 32], atol=1e-4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("delf") / "ours"
    made()[0].save(str(path))
    return path


def test_saved_it_has_the_published_signature(saved):
    module = delf.load(str(saved))
    one = module.signatures["default"]
    inputs = one.structured_input_signature[1]
    assert {(n, s.dtype.name, tuple(s.shape)) for n, s in inputs.items()} == {
        ("image", "float32", (None, None, 3)),
        ("score_threshold", "float32", ()),
        ("image_scales", "float32", (None,)),
        ("max_feature_num", "int32", ()),
    }
    assert set(one.structured_outputs) == {"locations", "descriptors"}


def test_the_extractor_gives_what_the_module_gives(saved):
    images = [(texture(224, seed) * 255).astype("uint8") for seed in range(3)]
    kind = settings.Extraction(
        extractor=f"delf:{saved}",
        image_scales=(0.5, 1.0),
        score_threshold=50,
        max_features=30,
    )
    together = extractors.create(kind)(images)
    for image, features in zip(images, together):
        alone = look(image / np.float32(255), (0.5, 1.0), 50.0, 30)
        assert len(features) == len(alone["scores"]) > 10
        np.testing.assert_allclose(
            features.locations, alone["locations"], atol=1e-3
        )
        np.testing.assert_allclose(
            features.descriptors, alone["descriptors"], atol=1e-3
        )
