import keras
import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.models import registry, resnet

# Trainable, for 1,000 classes. Published by torchvision, timm (the SE networks,
# senet154), keras.applications (..._keras, inception_v3).
PUBLISHED = {
    "inception_v3": 23_817_352,
    "legacy_se_resnet50": 28_088_024,
    "legacy_se_resnext50_32x4d": 27_559_896,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnext50_32x4d": 25_028_904,
    "se_resnet18": 11_779_624,
    "se_resnet50": 28_088_024,
    "se_resnet101": 49_326_872,
    "se_resnext50_32x4d": 27_559_896,
    "senet154": 115_088_984,
    "resnet50_keras": 25_583_592,
    "resnet101_keras": 44_601_832,
}
# Nobody has published the attention networks' counts: these only keep them.
ATTENTION = {
    "seatt_base56": 36_407_528,
    "seatt_base92": 61_760_936,
    "seatt_resnet50": 90_798_824,
    "seatt_resnext50_32x4d": 68_832_104,
    "seatt_resnext50_base": 43_324_072,
    "seatt154": 199_630_440,
}
PARAMETERS = PUBLISHED | ATTENTION


def test_every_model_has_a_published_count():
    assert registry.list_models() == sorted(PARAMETERS)


@pytest.mark.parametrize(
    "name",
    [*PUBLISHED, *(pytest.param(x, marks=pytest.mark.slow) for x in ATTENTION)],
)
def test_trainable_parameters_are_the_published_ones(name):
    model = registry.create_model(name, num_classes=1000)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("resnet18", 32), ("resnet50", 65), ("mobilenet_v2", 65)],
)
def test_images_become_logits_and_survive_saving(name, image_size, tmp_path):
    keras.utils.set_random_seed(0)
    model = registry.create_model(name, num_classes=7, image_size=image_size)
    images = np.random.default_rng(0).integers(
        0, 256, (2, image_size, image_size, 3), "uint8"
    )
    logits = model(images, training=False)
    assert logits.shape == (2, 7) and logits.dtype == "float32"
    assert np.isfinite(logits).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert model.input_shape == loaded.input_shape
    np.testing.assert_allclose(loaded(images), logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "image_size", "sides"),
    [
        ("resnet18", 128, [32, 16, 8, 4]),
        ("se_resnet50", 65, [17, 9, 5, 3]),
        ("legacy_se_resnet50", 128, [32, 16, 8, 4]),
        # ceil((33 - 3) / 2) + 1 = 16 where padding would give 17.
        ("legacy_se_resnet50", 65, [16, 8, 4, 2]),
        ("seatt_base56", 128, [32, 16, 8, 4]),
        ("mobilenet_v2", 128, [32, 16, 8, 4]),
        ("inception_v3", 299, [71, 35, 17, 8]),
    ],
)
def test_stages_are_found_by_name_at_their_strides(name, image_size, sides):
    model = registry.create_model(name, num_classes=3, image_size=image_size)
    outputs = [model.get_layer(stage).output for stage in resnet.STAGES]
    assert [x.shape[1] for x in outputs] == sides
    # The last stage is what the classifier sees.
    assert outputs[-1].shape[-1] == model.get_layer("logits").kernel.shape[0]


def test_names_of_layers_are_the_same_each_time():
    keras.layers.Conv2D(1, 1)  # counts on
    first = registry.create_model("inception_v3", 3)
    assert first.get_layer("conv2d").kernel.shape == (3, 3, 3, 32)
    assert first.get_layer("conv2d_93").kernel.shape == (1, 1, 2048, 192)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # (0/255 - .485)/.229, (124/255 - .456)/.224, (255/255 - .406)/.225
        ("resnet18", [-2.11790, 0.13515, 2.64000]),
        ("resnet50_keras", [-123.68, 124 - 116.779, 255 - 103.939]),
        ("mobilenet_v2", [-1, 124 / 127.5 - 1, 1]),
        ("inception_v3", [-1, 124 / 127.5 - 1, 1]),
    ],
)
def test_normalisation_is_inside(name, expected):
    model = registry.create_model(name, num_classes=3)
    layer = model.get_layer("normalize")
    pixels = np.array([[[[0, 124, 255]]]], "uint8")
    np.testing.assert_allclose(
        np.ravel(layer(pixels)), expected, rtol=1e-4, atol=1e-4
    )


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(InputError, match=r"resnet50.*Received: 'resnet5O'"):
        registry.create_model("resnet5O", num_classes=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resnet18", 3, 31), "resnet18 .*at least 32 pixels. Received: 31"),
        (("inception_v3", 3, 74), "at least 75 pixels. Received: 74"),
        (("resnet18", 0), "one class. Received: 0"),
    ],
)
def test_impossible_models_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        registry.create_model(*arguments)
