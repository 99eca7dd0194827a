import keras
import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.models import registry

# Trainable, for 1,000 classes. Published by torchvision, timm (the SE networks,
# senet154), keras.applications (..._keras, inception_v3).
PUBLISHED = {
    "inception_v3": 23_817_352,
    "legacy_se_resnet50": 28_088_024,
    "legacy_se_resnext50_32x4d": 27_559_896,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
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


@pytest.mark.parametrize("name", PARAMETERS)
def test_trainable_parameters_are_the_published_ones(name):
    model = registry.create_model(name, num_classes=1000)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("resnet18", 32), ("resnet50", 65), ("resnet101", 32)]
    + [("mobilenet_v2", 32), ("mobilenet_v2", 65)],
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


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_stages_are_found_by_name_at_their_strides(name):
    model = registry.create_model(name, num_classes=3, image_size=128)
    sides = [model.get_layer(f"conv{i}_x").output.shape[1] for i in range(2, 6)]
    assert sides == [32, 16, 8, 4]


def test_normalisation_is_inside():
    model = registry.create_model("resnet18", num_classes=3, image_size=32)
    layer = model.get_layer("normalize")
    pixels = np.array([[[[0, 124, 255]]]], "uint8")
    # (0/255 - .485)/.229, (124/255 - .456)/.224, (255/255 - .406)/.225
    expected = [[[[-2.11790, 0.13515, 2.64000]]]]
    np.testing.assert_allclose(layer(pixels), expected, atol=1e-4)


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(InputError, match=r"resnet50.*Received: 'resnet5O'"):
        registry.create_model("resnet5O", num_classes=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_classes": 3, "image_size": 31}, "at least 32 .*Received: 31"),
        ({"num_classes": 0}, "one class. Received: 0"),
    ],
)
def test_impossible_models_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        registry.create_model("resnet18", **arguments)
