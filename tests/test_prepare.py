import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError, prepare
from landmark_tf.data import tfrecords

ROOT = Path(__file__).parents[1]
COUNT = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """120 photographs of 3 classes; every 20th is missing."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    lines = ["id,landmark_id"]
    for i in range(COUNT):
        image_id = f"{i % 16:x}{i // 16:x}f{i:04d}"
        lines.append(f"{image_id},{7 + i % 3}")
        if i % 20:
            path = folder / "root" / Path(*image_id[:3])
            path.mkdir(parents=True, exist_ok=True)
            light = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            image = Image.fromarray(light).resize((320, 240))
            image.save(path / f"{image_id}.jpg")
    (folder / "train.csv").write_text("\n".join(lines))
    return folder


def settings(photos, out, **options):
    given = {
        "train_csv": str(photos / "train.csv"),
        "image_root": str(photos / "root"),
        "out": str(out),
        "stored_size": 32,
        "min_images": 5,
        "workers": 1,
        "shards": 6,
    }
    return prepare.Config(**(given | options))


def flags(given):
    from landmark_tf import config

    return [
        sys.executable,
        "-m",
        "landmark_tf.prepare",
        *config.to_flags(given),
    ]


def start(given, **options):
    return subprocess.Popen(
        flags(given),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def content(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def rejected(out):
    with open(Path(out, "rejected.csv"), encoding="utf-8", newline="") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """An undisturbed run: its folder and its summary."""
    out = tmp_path_factory.mktemp("whole") / "set"
    return out, prepare.run(settings(photos, out))


def test_what_is_written(whole):
    out, summary = whole
    assert summary.rows == COUNT
    assert summary.rejected == {"file missing": 6}
    assert summary.stored == 114 == sum(summary.images.values())
    assert summary.shards["train"] == 6
    shards = [p for p in out.iterdir() if ".tfrecord-" in p.name]
    assert summary.bytes == sum(p.stat().st_size for p in shards)
    assert not (out / ".work").exists()
    assert set(rejected(out).values()) == {"file missing"}
    found = tfrecords.open_dataset(out)
    # i = 0, 20, ... are missing: two pictures of each class of 40
    assert found.classes.values.tolist() == [[0, 7, 38], [1, 8, 38], [2, 9, 38]]
    tables = [tfrecords.read_table(found, split) for split in summary.images]
    assert [len(table) for table in tables] == list(summary.images.values())
    recorded = json.loads((out / "prepare.json").read_text())["settings"]
    assert recorded["stored_size"] == 32
    assert not {"workers", "out", "beam"} & set(recorded)


def test_same_command_again_says_so(whole, photos, capsys):
    out, summary = whole
    before = content(out)
    assert prepare.run(settings(photos, out, workers=2)) == summary
    assert "nothing to do" in capsys.readouterr().out
    assert content(out) == before


def test_other_settings_are_refused(whole, photos):
    out, _ = whole
    before = content(out)
    with pytest.raises(InputError, match="with other seed, square$"):
        prepare.run(settings(photos, out, seed=1, square=True))
    assert content(out) == before


def test_two_workers_write_the_same_bytes(whole, photos, tmp_path):
    out = tmp_path / "set"
    prepare.run(settings(photos, out, workers=2))
    assert content(out) == content(whole[0])


@pytest.mark.parametrize("workers, kills", [(1, 1), (2, 1)])
def test_killed_and_started_again(whole, photos, tmp_path, workers, kills):
    assert_survives(whole, photos, tmp_path / "set", workers, kills)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_many_moments(whole, photos, tmp_path, workers):
    for attempt in range(6):
        out = tmp_path / str(attempt) / "set"
        assert_survives(whole, photos, out, workers, 4)


def assert_survives(whole, photos, out, workers, kills):
    """Kills with SIGKILL soon after more has appeared, then lets it finish."""
    given = settings(photos, out, workers=workers)
    for _ in range(kills):
        process = start(given)
        before = traces(out)
        while traces(out) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start(given)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert content(out) == content(whole[0])


def traces(out):
    # os.walk: folders may vanish meanwhile, at which rglob raises
    return sum(".tfrecord-" in n for _, _, names in os.walk(out) for n in names)


def test_dry_run_writes_nothing(whole, photos, tmp_path, capsys):
    summary = prepare.run(settings(photos, tmp_path / "set", dry_run=True))
    assert not list(tmp_path.iterdir())
    text = capsys.readouterr().out
    assert "would write" in text
    assert "projected from 64 pictures" in text
    done = whole[1]
    assert summary.stored == COUNT  # nobody has looked for the missing ones
    assert summary.shards == done.shards
    assert abs(summary.bytes / done.bytes - 1) < 0.2


def test_class_plot(photos, tmp_path):
    plot = tmp_path / "classes.png"
    given = settings(photos, tmp_path / "x", dry_run=True, class_plot=str(plot))
    prepare.run(given)
    assert [p.name for p in tmp_path.iterdir()] == ["classes.png"]
    assert Image.open(plot).size == (840, 540)


def test_automatic_number_of_shards(photos, tmp_path):
    given = settings(photos, tmp_path / "set", dry_run=True, shards=0)
    train = prepare.run(given).images["train"]
    assert 64 < train <= 128
    assert prepare.run(given).shards["train"] == 2


@pytest.mark.parametrize(
    "option, value",
    [
        ("split", (0.9, 0.1)),
        ("split", (0.9, 0.2, 0.1)),
        ("split", (1.2, -0.1, -0.1)),
        ("split", (float("nan"), 0.5, 0.5)),
        ("split", (0.0, 0.5, 0.5)),
        ("stored_size", 15),
        ("stored_size", 70_000),
        ("min_images", 0),
        ("top_classes", -1),
        ("workers", -1),
        ("shards", -1),
        ("seed", -1),
        ("out", ""),
        ("out", "gs://bucket/set"),
        ("image_root", "/nowhere"),
        ("class_plot", "plot.pdf"),
        ("class_plot", "/nowhere/plot.png"),
    ],
)
def test_nonsense_settings(photos, tmp_path, option, value):
    given = {"out": tmp_path / "set"} | {option: value}
    with pytest.raises(InputError, match=rf"Received: --{option}=") as error:
        prepare.run(settings(photos, **given))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_wrong_image_root(photos, tmp_path):
    given = settings(photos, tmp_path / "set", image_root=str(tmp_path))
    with pytest.raises(InputError, match="no picture is there.*image_root="):
        prepare.run(given)
    assert not list(tmp_path.iterdir())


def test_foreign_folder(photos, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        prepare.run(settings(photos, tmp_path))
    assert content(tmp_path) == {"mine.txt": b"precious"}


def test_class_without_a_readable_training_picture(photos, tmp_path):
    rows = (photos / "train.csv").read_text()
    rows += "".join(f"\nnot-there-{i},55" for i in range(5))
    (tmp_path / "t.csv").write_text(rows)
    (tmp_path / "n.csv").write_text("landmark_id,category\n55,lost tower\n")
    given = settings(
        photos,
        tmp_path / "set",
        train_csv=str(tmp_path / "t.csv"),
        label_to_category=str(tmp_path / "n.csv"),
    )
    with pytest.raises(InputError, match="picture of lost tower can be read"):
        prepare.run(given)
    assert rejected(tmp_path / "set")["not-there-3"] == "file missing"
    with pytest.raises(InputError, match="picture of lost tower can be read"):
        prepare.run(given)


def test_split_of_unreadable_pictures_is_left_out(photos, tmp_path):
    (tmp_path / "n.csv").write_text("id\nnone-1\nnone-2\n")
    given = settings(
        photos,
        tmp_path / "set",
        no_landmark_csv=str(tmp_path / "n.csv"),
        split=(1 - 1e-9, 1e-9, 0.0),
    )
    summary = prepare.run(given)
    assert set(summary.images) == {"train"}
    assert not list((tmp_path / "set").glob("*validation*"))
    found = tfrecords.open_dataset(tmp_path / "set")
    assert tfrecords.split_info(found, "train").num_examples == 114


def test_hostile_ids(photos, tmp_path):
    rows = (photos / "train.csv").read_text().encode()
    rows += b'\n../../etc/passwd,7\n"a\nb",7\nx\0y,7\n.z,7\n' + b"w" * 999
    (tmp_path / "t.csv").write_bytes(rows + b",7\n")
    given = settings(
        photos, tmp_path / "set", train_csv=str(tmp_path / "t.csv")
    )
    assert prepare.run(given).rejected["id is not a plain name"] == 5
    bad = {k: v for k, v in rejected(tmp_path / "set").items() if "plain" in v}
    names = {"../../etc/passwd", "a\\nb", "x\\x00y", ".z", "w" * 200}
    assert set(bad) == names


def test_full_disk_is_one_line_and_goes_on(
    whole, photos, tmp_path, monkeypatch
):
    """The real thing needs a small file system: here the third file fails."""
    write, calls = tfrecords.write_shard, []

    def fail(items, path, tick, **options):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return write(items, path, tick, **options)

    monkeypatch.setattr(tfrecords, "write_shard", fail)
    out = tmp_path / "set"
    with pytest.raises(OSError, match="No space"):
        prepare.run(settings(photos, out))
    assert traces(out) == 4  # two shards and their reports
    prepare.run(settings(photos, out))
    assert content(out) == content(whole[0])


def test_full_device_in_earnest(tmp_path):
    """TensorFlow's writer on a device that is always full."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    import pandas as pd

    Image.new("RGB", (400, 400)).save(tmp_path / "abc.jpg")
    items = pd.DataFrame({"id": ["abc"], "label": [0], "landmark_id": [0]})
    with pytest.raises(OSError) as error:
        tfrecords.write_shard(
            pd.concat([items] * 40),
            "/dev/full",
            lambda: None,
            image_root=str(tmp_path),
            stored_size=400,
            square=False,
        )
    assert error.value.errno == errno.ENOSPC


def test_help_is_quick_and_errors_are_one_line(photos, tmp_path):
    began = time.time()
    python = [sys.executable, "-m", "landmark_tf.prepare"]
    told = subprocess.run([*python, "--help"], cwd=ROOT, capture_output=True)
    assert b"--stored_size" in told.stdout
    assert time.time() - began < 5  # under a second on an idle machine
    lazy = "import sys, landmark_tf.prepare; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", lazy], cwd=ROOT, capture_output=True, text=True
    )
    assert not {"pandas", "tensorflow", "PIL"} & set(told.stdout.split())
    process = start(settings(photos, tmp_path / "set", split=(0.5, 0.5, 0.5)))
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("error: --split must be three shares")
    assert errors.count("\n") == 1


def test_beam_writes_the_same_bytes(whole, photos, tmp_path):
    pytest.importorskip("apache_beam")
    out = tmp_path / "set"
    prepare.run(settings(photos, out, beam="--runner=DirectRunner"))
    assert content(out) == content(whole[0])


@pytest.fixture(scope="module")
def shared_photos():
    folder = ROOT.parent / "shared" / "photos"
    if not folder.is_dir():
        pytest.skip("the real photographs are not here")
    return folder


def test_real_photographs_with_their_dirt(shared_photos, tmp_path):
    out = tmp_path / "photos"
    summary = prepare.run(
        prepare.Config(
            train_csv=str(shared_photos / "train.csv"),
            image_root=str(shared_photos / "train"),
            label_to_category=str(
                shared_photos / "train_label_to_category.csv"
            ),
            no_landmark_csv=str(shared_photos / "no_landmark.csv"),
            min_images=10,
            split=(0.85, 0.15, 0.0),
            stored_size=160,
            out=str(out),
            workers=1,
        )
    )
    assert summary.classes == 23
    assert rejected(out) == {
        "d793300bde35dedd": "label missing",
        "92ac42464bf82f4d": "row given twice",
        "837b6468b69e4f5f": "file missing",
        "8cd7e2cbcdf3f065": "file missing",
        "0f51deabce7ff832": "file is empty",
        "12b5a12064853152": "truncated",
        "8b453b7ab7726f52": "not an image",
        "f8a62413b9ee3542": "smaller than 16 pixels",
    }
    assert summary.left_out == 8
    assert summary.stored == 866 - 8 - 8
    dataset = tfrecords.open_dataset(out)
    assert "iron_pillar" not in set(dataset.classes.category)
    pictures = {}
    for split in summary.images:
        for row in dataset.builder.as_dataset(split):
            pictures[row["id"].numpy().decode()] = row["image"].numpy()
    # The file lies on its side, 213 wide and 320 high; upright it is wide.
    assert pictures["26bcc82fc727009a"].shape == (160, 240, 3)
    assert pictures["3484a91f1f6f05a7"].shape == (120, 160, 3)  # PNG
    grey = pictures["3320d87b04b2d7a4"].astype(int)
    assert np.abs(grey - grey.mean(2, keepdims=True)).max() < 2
    # A CMYK picture read wrongly is a negative: compare with PIL's RGB.
    cmyk = shared_photos / "train/1/f/3/1f3d03faf1a70cde.jpg"
    expected = np.asarray(Image.open(cmyk).convert("RGB").resize((240, 160)))
    difference = pictures["1f3d03faf1a70cde"].astype(int) - expected
    assert np.abs(difference).mean() < 8
