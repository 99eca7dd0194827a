"""The verb that takes features; its parts are tested in tests/features."""

import filecmp
import json

import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError, extract
from landmark_tf.features import extraction, extractors, settings, store
from landmark_tf.files import shards


def config(toy, folder, **changes):
    given = {
        "csv": (str(toy / "train.csv"), str(toy / "no_landmark.csv")),
        "image_root": str(toy / "train"),
        "out": str(folder),
        "workers": 1,
        "max_features": 50,
    }
    return extract.Config(**{**given, **changes})


@pytest.fixture(scope="module")
def extracted(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("extract") / "features"
    return out, extract.run(config(toy, out))


def ids_of(toy):
    return [x.stem for x in toy.glob("train/**/*.jpg")]


def test_every_picture_has_the_features_that_it_has_alone(toy, extracted):
    out, summary = extracted
    kind = settings.Extraction(max_features=50)
    extractor = extractors.create(kind)
    with store.Reader(out) as reader:
        assert summary["pictures"] == len(reader) == 72 + 16
        for image_id in ids_of(toy)[::9]:
            if image_id not in reader:
                continue
            image = extraction.load(toy / "train", image_id, 640)
            expected = extractor([image])[0]
            found = reader.read(image_id)
            np.testing.assert_array_equal(found.locations, expected.locations)
            assert found.size == expected.size == image.shape[:2]


def test_what_was_done_is_written_down(extracted):
    out, summary = extracted
    content = json.loads((out / store.SETTINGS).read_text())
    assert content["settings"]["extractor"] == "sift"
    assert content["dimension"] == 128
    assert content["summary"] == summary
    assert not (out / ".work").exists()
    size = sum(x.stat().st_size for x in out.glob("features.tfrecord-*"))
    assert summary["bytes"] == size


def test_two_workers_write_the_same_bytes(toy, extracted, tmp_path):
    extract.run(config(toy, tmp_path / "f", workers=2))
    names = sorted(x.name for x in extracted[0].iterdir())
    assert sorted(x.name for x in (tmp_path / "f").iterdir()) == names
    same = filecmp.cmpfiles(extracted[0], tmp_path / "f", names, shallow=False)
    assert same == (names, [], [])


def test_it_goes_on_where_it_stopped(toy, extracted, tmp_path, monkeypatch):
    out = tmp_path / "features"
    original, done = shards._make_one, []

    def stop(*arguments):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(arguments[2].file)
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_make_one", stop)
        with pytest.raises(KeyboardInterrupt):
            extract.run(config(toy, out))
    before = (out / done[0]).stat().st_mtime_ns
    assert not (out / store.SETTINGS).exists()
    extract.run(config(toy, out))
    assert (out / done[0]).stat().st_mtime_ns == before
    names = [x.name for x in extracted[0].iterdir()]
    same = filecmp.cmpfiles(extracted[0], out, names, shallow=False)
    assert sorted(same[0]) == sorted(names)


def test_done_is_done(toy, extracted, capsys):
    out, summary = extracted
    assert extract.run(config(toy, out)) == summary
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(InputError, match="other max_features"):
        extract.run(config(toy, out, max_features=51))


def test_unreadable_pictures_are_listed(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("id\ngood\nbad\nmissing\n../evil\ngood\n")
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, 50, 3), "uint8")
    Image.fromarray(noise).save(tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    out = tmp_path / "features"
    extract.run(
        extract.Config(
            csv=(str(tmp_path / "a.csv"),),
            image_root=str(tmp_path),
            out=str(out),
        )
    )
    lines = (out / "rejected.csv").read_text().splitlines()
    assert sorted(lines[1:]) == ["bad,not an image", "missing,file missing"]
    with store.Reader(out) as reader:
        assert len(reader) == 1
    shown = capsys.readouterr().out
    assert "3 pictures, up to" in shown
    assert "2 pictures cannot be used" in shown


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (30, 60)),
        ({"max_side": 40}, (20, 40)),
        ({"max_side": 0}, (30, 60)),
        ({"square": 20}, (20, 20)),
    ],
)
def test_sizes(tmp_path, changes, size):
    Image.new("RGB", (60, 30), "red").save(tmp_path / "a.jpg")
    kind = settings.Extraction(**changes)
    found = extraction.load(tmp_path, "a", kind.max_side, kind.square)
    assert found.shape == (*size, 3)
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_side": 3}, "--max_side must be"),
        ({"extractor": "surf"}, "--extractor must be sift, delf or"),
        ({"workers": -1}, "--workers must be 0 or more"),
        ({"image_root": "nowhere"}, "--image_root must be a folder"),
        ({"csv": ("nowhere.csv",)}, "nowhere.csv"),
        ({"csv": ()}, "--csv must be one CSV file or more"),
        ({"out": "gs://bucket/x"}, "--out must be a folder of this machine"),
    ],
)
def test_wrong_settings_are_named(toy, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        extract.run(config(toy, tmp_path / "f", **wrong))
    assert not (tmp_path / "f").exists()


def test_the_first_pictures_of_each_landmark(toy, tmp_path):
    import pandas as pd

    from landmark_tf.data import catalog

    train = str(toy / "train.csv")
    extract.run(config(toy, tmp_path / "out", csv=(train,), images_per_class=2))
    table = catalog.build(train, min_images=1, split=(1.0, 0.0, 0.0)).table
    expected = table.groupby("landmark_id").head(2)["id"]
    found = pd.read_csv(tmp_path / "out" / store.INDEX)["id"]
    assert len(found) == 2 * table["landmark_id"].nunique()
    assert set(found) == set(expected)


def test_the_first_of_each_need_the_landmarks(toy, tmp_path):
    with pytest.raises(InputError, match="landmark_id"):
        extract.run(config(toy, tmp_path / "out", images_per_class=2))


def test_a_module_that_was_made_anew_is_not_the_same(tmp_path):
    from landmark_tf.features import delf

    module = tmp_path / "delf"
    (module / "variables").mkdir(parents=True)
    (module / "saved_model.pb").write_bytes(b"1")
    first = delf.fingerprint(f"delf:{module}")
    (module / "delf.json").write_text("{}")
    assert delf.fingerprint(f"delf:{module}") == first
    (module / "variables" / "variables.index").write_bytes(b"2")
    assert delf.fingerprint(f"delf:{module}") != first
    assert delf.fingerprint("sift") == delf.fingerprint("delf") == ""
    assert delf.fingerprint("delf:https://tfhub.dev/google/delf/1") == ""


def test_beam_writes_the_same_bytes(toy, extracted, tmp_path):
    pytest.importorskip("apache_beam")
    out = tmp_path / "out"
    extract.run(config(toy, out, beam="--runner=DirectRunner"))
    names = sorted(path.name for path in extracted[0].iterdir())
    assert names == sorted(path.name for path in out.iterdir())
    same = filecmp.cmpfiles(extracted[0], out, names, shallow=False)
    assert same == (names, [], [])
