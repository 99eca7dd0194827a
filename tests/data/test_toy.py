import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import toy


def test_class_sizes_have_a_long_tail():
    assert toy.class_sizes(16, 90)[0] == 90
    assert toy.class_sizes(16, 90)[-1] == 30
    sizes = toy.class_sizes(16, 60)
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 30
    assert toy.class_sizes(2, 4) == [4, 4]
    assert toy.class_sizes(1, 50) == [50]


SMALL = {"size": 32, "landmarks": 2, "images": 4, "no_landmark": 2, "test": 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "new"
    toy.run(toy.Config(out=str(out), **SMALL))
    return out


def _read(written, name):
    return pd.read_csv(written / name, keep_default_na=False, dtype=str)


def test_photographs_lie_where_the_tables_say(written):
    train, negatives, test = (
        _read(written, f"{name}.csv")
        for name in ("train", "no_landmark", "test")
    )
    assert (len(train), len(negatives), len(test)) == (8, 2, 6)
    for folder, table in (
        ("train", train),
        ("train", negatives),
        ("test", test),
    ):
        for name, url in zip(table.id, table.url):
            assert len(name) == 16 and int(name, 16) >= 0
            assert url == f"https://photos.invalid/{name}.jpg"
            path = written.joinpath(folder, *name[:3], f"{name}.jpg")
            with Image.open(path) as picture:
                assert picture.format == "JPEG" and max(picture.size) == 32
    assert len(list(written.rglob("*.jpg"))) == 16
    ids = pd.concat([train.id, negatives.id, test.id])
    assert ids.is_unique


def test_tables_have_the_columns_of_google_landmarks(written):
    train = _read(written, "train.csv")
    truth = _read(written, "recognition_solution.csv")
    names = _read(written, "train_label_to_category.csv")
    empty = _read(written, "recognition_sample_submission.csv")
    assert list(train) == ["id", "url", "landmark_id"]
    assert list(_read(written, "no_landmark.csv")) == ["id", "url"]
    assert list(truth) == ["id", "landmarks", "Usage"]
    assert list(names) == ["landmark_id", "category"]
    assert list(empty) == ["id", "landmarks"]
    assert set(train.landmark_id) == set(names.landmark_id)
    assert (truth.landmarks != "").sum() == 3
    assert set(truth.landmarks) <= {"", *names.landmark_id}
    assert set(truth.Usage) <= {"Public", "Private"}
    test = _read(written, "test.csv")
    assert list(truth.id) == list(empty.id) == list(test.id)
    assert (empty.landmarks == "").all()
    # Shuffled: the labels do not come one after the other.
    changes = (train.landmark_id != train.landmark_id.shift()).sum()
    assert changes > 2


def test_homographies_cover_the_pictures_of_landmarks(written):
    views = json.loads((written / "homographies.json").read_text())
    train = _read(written, "train.csv").set_index("id").landmark_id
    truth = _read(written, "recognition_solution.csv").set_index("id")
    labels = {**train, **truth.landmarks[truth.landmarks != ""]}
    assert {name: str(v["landmark_id"]) for name, v in views.items()} == labels
    assert all(np.shape(v["homography"]) == (3, 3) for v in views.values())


def test_the_same_flags_write_the_same_bytes(written, tmp_path):
    toy.run(toy.Config(out=str(tmp_path), **SMALL))
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) == 16 + 8
    for path in files:
        again = tmp_path / path.relative_to(written)
        assert path.read_bytes() == again.read_bytes()


def test_a_killed_drawing_goes_on(written, tmp_path, monkeypatch, capsys):
    settings = toy.Config(out=str(tmp_path), **SMALL)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toy, "tables", killed)
        with pytest.raises(KeyboardInterrupt):
            toy.run(settings)
    assert not (tmp_path / "train.csv").exists()
    toy.run(settings)
    names = {x.relative_to(written) for x in written.rglob("*")}
    assert {x.relative_to(tmp_path) for x in tmp_path.rglob("*")} == names
    before = (tmp_path / "train.csv").stat().st_mtime_ns
    toy.run(settings)
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "train.csv").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other settings.*with other seed"):
        toy.run(dataclasses.replace(settings, seed=7))


def test_more_pictures_leave_those_there_are_unchanged():
    few = toy.Config(out="x", landmarks=2, images=3, no_landmark=2, test=2)
    many = toy.Config(out="x", landmarks=4, images=9, no_landmark=5, test=8)
    few_ids, many_ids = ([p.id for p in toy.plan(c)] for c in (few, many))
    assert [name for name in many_ids if name in few_ids] == few_ids


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty and holds other files"):
        toy.run(toy.Config(out=str(tmp_path)))
    with pytest.raises(InputError, match="choose another folder"):
        toy.run(toy.Config(out=str(tmp_path / "mine.txt")))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "setting",
    [{"size": 3}, {"images": 0}, {"test": -1}, {"quality": 96}, {"seed": -1}],
)
def test_numbers_out_of_range_are_refused(tmp_path, setting):
    with pytest.raises(InputError, match="Received"):
        toy.run(toy.Config(out=str(tmp_path / "new"), **setting))
    assert not (tmp_path / "new").exists()
