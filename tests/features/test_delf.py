"""DELF read from SavedModels of the published form, made here."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from landmark_tf import InputError, extract
from landmark_tf.features import delf, extractors, settings, store
from tests.features import cases
from tests.features.test_extractors import picture

CELL = 8  # pixels of a feature
SPECS = {
    "score_threshold": tf.TensorSpec([], tf.float32, "score_threshold"),
    "image_scales": tf.TensorSpec([None], tf.float32, "image_scales"),
    "max_feature_num": tf.TensorSpec([], tf.int32, "max_feature_num"),
}


class Module(tf.Module):
    """Features are cells of 8 x 8 pixels at the first scale, by contrast."""

    def __init__(self, extras, missing):
        super().__init__()
        self.extras, self.missing = extras, missing
        random = np.random.default_rng(0)
        projection = random.normal(size=(CELL * CELL * 3, 40))
        self.projection = tf.constant(projection, tf.float32)

    def features(self, image, score_threshold, image_scales, max_feature_num):
        scale = image_scales[0]
        shape = tf.cast(
            tf.cast(tf.shape(image)[:2], "float32") * scale, "int32"
        )
        small = tf.image.resize(image, shape // CELL * CELL)
        cells = tf.nn.space_to_depth(small[None], CELL)[0]
        width = tf.shape(cells)[1]
        cells = tf.reshape(cells, [-1, CELL * CELL * 3])
        scores = 1000 * tf.math.reduce_std(cells, axis=1)
        most = tf.minimum(max_feature_num, tf.shape(scores)[0])
        scores, order = tf.math.top_k(scores, most)
        order = order[scores >= score_threshold]
        centres = tf.stack([order // width, order % width], axis=1)
        vectors = tf.gather(cells, order) @ self.projection
        found = {
            "locations": (tf.cast(centres, "float32") * CELL + 3.5) / scale,
            "descriptors": tf.math.l2_normalize(vectors, axis=1),
        }
        if self.extras:
            found["scales"] = tf.fill(tf.shape(order), scale)
            found["scores"] = scores[: tf.shape(order)[0]]
        found.pop(self.missing, None)
        return found


def save(
    path,
    *,
    extras=True,
    missing="",
    signature="default",
    image="image",
    batch=False,
):
    """Saves a module; returns the name of its extractor."""
    module = Module(extras, missing)
    one = tf.function(
        lambda **given: module.features(given.pop(image), **given)
    )
    picture = tf.TensorSpec([None, None, 3], tf.float32, image)
    signatures = {
        signature: one.get_concrete_function(**{image: picture}, **SPECS)
    }
    if batch:
        signatures["batch"] = many(module)
    tf.saved_model.save(module, str(path), signatures)
    return f"delf:{path}"


def many(module):
    """The same for pictures of one size, padded with zeros."""

    def features(images, **given):
        def pad(image):
            found = module.features(image, **given)
            count = tf.shape(found["scores"])[0]
            left = given["max_feature_num"] - count
            return {
                name: tf.pad(x, [[0, left]] + [[0, 0]] * (x.shape.rank - 1))
                for name, x in found.items()
            } | {"count": count}

        kinds = {
            "locations": tf.TensorSpec([None, 2], tf.float32),
            "descriptors": tf.TensorSpec([None, 40], tf.float32),
            "scales": tf.TensorSpec([None], tf.float32),
            "scores": tf.TensorSpec([None], tf.float32),
            "count": tf.TensorSpec([], tf.int32),
        }
        return tf.map_fn(pad, images, fn_output_signature=kinds)

    images = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
    return tf.function(features).get_concrete_function(images=images, **SPECS)


def extraction(name, **changes):
    given = {
        "max_features": 30,
        "score_threshold": 10.0,
        "image_scales": (1.0,),
    }
    return settings.Extraction(extractor=name, **{**given, **changes})


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return save(tmp_path_factory.mktemp("delf") / "module")


def test_features_are_what_the_module_finds(module):
    image = picture()
    found = extractors.create(extraction(module))([image])[0]
    expected = Module(True, "").features(
        image.astype("float32") / 255,
        tf.constant(10.0),
        tf.constant([1.0]),
        tf.constant(30),
    )
    assert len(found) == 30
    assert found.size == (160, 200)
    for name in ("locations", "descriptors", "scales", "scores"):
        np.testing.assert_allclose(
            getattr(found, name), expected[name], atol=1e-5
        )


def test_settings_reach_the_module(module):
    image = picture()

    def run(**changes):
        return extractors.create(extraction(module, **changes))([image])[0]

    plain = run()
    assert len(run(max_features=7)) == 7
    least = float(plain.scores[9:11].mean())
    assert len(run(score_threshold=least)) == 10
    half = run(image_scales=(0.5, 1.0))
    assert set(half.scales) == {0.5}
    assert half.locations.max() > 100  # of the picture, not of its half


def test_nothing_found_is_no_error(module):
    grey = np.full((64, 80, 3), 128, np.uint8)
    extractor = extractors.create(extraction(module))
    found = extractor([grey])[0]
    assert found.descriptors.shape == (0, 40)
    assert extractor.dimension == 40
    assert extractor.max_distance == extractors.max_distance(module) == 0.8


def test_without_scales_and_scores_they_are_one(tmp_path):
    name = save(tmp_path / "m", extras=False)
    found = extractors.create(extraction(name))([picture()])[0]
    assert len(found) == 30
    assert set(found.scales) == set(found.scores) == {1.0}


def test_a_batch_gives_what_each_gives(module, tmp_path):
    name = save(tmp_path / "m", batch=True)
    flat = np.full((160, 200, 3), 9, np.uint8)
    images = [picture(), flat, picture(seed=1)]
    one, batched = (
        extractors.create(extraction(x))(images) for x in (module, name)
    )
    assert [len(x) for x in batched] == [30, 0, 30]
    for ours, expected in zip(batched, one):
        cases.assert_same(ours, expected, atol=1e-5)


def test_a_folder_is_extracted_in_a_fresh_process(module, toy, tmp_path):
    code = f"""
        from landmark_tf import extract
        extract.run(extract.Config(
            csv=({str(toy / "train.csv")!r},),
            image_root={str(toy / "train")!r},
            out={str(tmp_path / "f")!r}, extractor={module!r},
            score_threshold=1.0, workers=1,
        ))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        capture_output=True,
    )
    with store.Reader(tmp_path / "f") as reader:
        assert reader.dimension == 40
        assert reader.settings["extractor"] == module
        assert len(reader) == 72


def refused(name, message):
    with pytest.raises(InputError, match=message):
        extractors.create(extraction(name))


def test_another_signature_is_named(tmp_path):
    name = save(tmp_path / "a", signature="serving_default")
    refused(name, "no signature 'default'.*serving_default")
    name = save(tmp_path / "b", missing="descriptors")
    refused(name, "gives descriptors, locations. Received: .*gives locations,")
    name = save(tmp_path / "c", image="picture")
    refused(name, "takes image, .*Received: .*takes image_scales, .*picture")


def test_what_is_no_module_is_named(tmp_path):
    refused(f"delf:{tmp_path}", f"no SavedModel.*Received: {tmp_path}")
    refused("delf:nowhere", "no DELF there.*sift.*Received: nowhere")
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    refused(f"delf:{tmp_path}", "no SavedModel that can be loaded")


def test_no_network_is_one_line(monkeypatch, tmp_path):
    import tensorflow_hub as hub

    def load(handle):
        assert handle == delf.DEFAULT
        raise OSError("no network")

    monkeypatch.setattr(hub, "load", load)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(InputError) as raised:
        extractors.create(extraction("delf"))
    message = str(raised.value)
    assert "\n" not in message
    for part in ("no network", "cache", "TFHUB_CACHE_DIR", "sift", "FOLDER"):
        assert part in message


@pytest.mark.parametrize("name", ["delf:", "surf", "delf2", ""])
def test_names_of_no_extractor_are_refused(name, toy, tmp_path):
    with pytest.raises(InputError, match="--extractor must be sift, delf or"):
        extract.run(
            extract.Config(
                csv=(str(toy / "train.csv"),),
                image_root=str(toy / "train"),
                out=str(tmp_path / "f"),
                extractor=name,
            )
        )
