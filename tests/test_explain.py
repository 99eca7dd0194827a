import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf import InputError, explain
from landmark_tf.reports import explanation


def settings(trained, tmp_path, **more):
    given = {"run": (str(trained[0]),), "out": str(tmp_path / "out"), **more}
    return explain.Config(samples=2, **given)


@pytest.fixture
def photographs(toy):
    ids = pd.read_csv(toy / "test.csv")["id"][:2]
    return tuple(str(next((toy / "test").rglob(f"{x}.jpg"))) for x in ids)


def test_a_line_for_each_run(trained, photographs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained[0], other)
    (one,) = explain.run(settings(trained, tmp_path, images=photographs[:1]))
    assert one.name == pathlib.Path(photographs[0]).stem + ".png"
    (two,) = explain.run(
        settings(
            trained,
            tmp_path,
            images=photographs[:1],
            run=(str(trained[0]), str(other)),
        )
    )
    # A picture that is there, perhaps the photograph itself, is not replaced.
    assert two != one and one.exists()
    single, double = Image.open(one), Image.open(two)
    assert double.height > 1.5 * single.height
    assert np.asarray(single).std() > 20


def test_a_photograph_that_cannot_be_read(
    trained, photographs, tmp_path, capsys
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    written = explain.run(
        settings(trained, tmp_path, images=(str(bad), photographs[0]))
    )
    assert len(written) == 1
    assert f"{bad} cannot be read" in capsys.readouterr().out
    with pytest.raises(InputError, match="none of.*Received: .*bad.jpg"):
        explain.run(settings(trained, tmp_path, images=(str(bad),)))


def test_a_folder_of_photographs(trained, photographs, tmp_path):
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(photographs[0], folder / "one.JPG")
    (folder / "notes.txt").write_text("no picture")
    images = (str(tmp_path / "mine"),)
    (written,) = explain.run(settings(trained, tmp_path, images=images))
    assert written.name == "one.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs.*Received: .*empty"):
        images = (str(tmp_path / "empty"),)
        explain.run(settings(trained, tmp_path, images=images))


def test_a_gallery_of_a_split(trained, dataset, tmp_path):
    written = explain.run(settings(trained, tmp_path, gallery=True, count=3))
    out = tmp_path / "out"
    listing = pd.read_csv(out / "gallery.csv", dtype={"landmark": str})
    assert {x.stem for x in written} == set(listing["kind"])
    mistakes = listing[listing["kind"] == "mistakes"]
    assert (mistakes["landmark_id"] != mistakes["predicted_id"]).all()
    assert mistakes["confidence"].is_monotonic_decreasing
    none = listing[listing["landmark_id"] < 0]
    assert (none["landmark"] == "no landmark").all()
    successes = listing[listing["kind"] == "successes"]
    assert (successes["landmark_id"] == successes["predicted_id"]).all()
    for path in written:
        assert np.asarray(Image.open(path)).std() > 20


def test_a_training_picture_is_not_its_own_neighbour(
    trained, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        explanation, "draw", lambda rows, *_: drawn.extend(rows)
    )
    explain.run(settings(trained, tmp_path, gallery=True, split="train"))
    assert drawn
    for _, (query, *others) in drawn:
        for other in others:
            assert not np.array_equal(query.image, other.image)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "either --images or --gallery"),
        ({"images": ("a.jpg",), "gallery": True}, "either"),
        ({"gallery": True, "run": ("a", "b")}, "takes one run"),
        ({"images": ("a.jpg",), "noise": 2.0}, "--noise.*Received: 2"),
        ({"images": ("a.jpg",), "count": 0}, "at least 1"),
        ({"images": ("a.jpg",), "run": ("nowhere",)}, "nowhere"),
        ({"images": ("a.jpg",), "landmark_id": 5}, "not know.*Received: 5"),
        ({"gallery": True, "split": "nothing"}, "no such split"),
    ],
)
def test_bad_settings_are_named(trained, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        explain.run(settings(trained, tmp_path, **change))
