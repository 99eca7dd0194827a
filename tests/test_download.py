import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from landmark_tf import InputError, command, download
from tests.files import web

IDS = [f"{i:x}{i:x}{i:x}{i:013x}" for i in range(6)]


def picture(name):
    return hashlib.sha256(name.encode()).digest() * 2_000


def tar_of(ids):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ids:
            info = tarfile.TarInfo(f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg")
            info.size = len(picture(name))
            tar.addfile(info, io.BytesIO(picture(name)))
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch):
    """Three tar files of the test split with two pictures each."""
    monkeypatch.setattr("landmark_tf.files.fetch._TRIES", 3)
    files = {
        "/metadata/test.csv": b"id\n" + "\n".join(IDS).encode(),
        "/ground_truth/recognition_solution_v2.1.csv": b"id,landmarks,Usage\n",
        "/metadata/train_clean.csv": b"landmark_id,images\n1,aa bb\n",
        "/metadata/train_label_to_category.csv": b"landmark_id,category\n",
    }
    for number in range(3):
        data = tar_of(IDS[2 * number : 2 * number + 2])
        name = f"images_{number:03}"
        line = f"{hashlib.md5(data).hexdigest()}  {name}.tar\n"
        files[f"/test/{name}.tar"] = data
        files[f"/md5sum/test/md5.{name}.txt"] = line.encode()
    with web.served(files) as site:
        yield site


def settings(site, tmp_path, **more):
    given = {
        "dataset": "gldv2",
        "split": "test",
        "shards": "0-2",
        "out": str(tmp_path / "landmarks"),
        "base_url": site.url,
        "timeout": 5.0,
        **more,
    }
    return download.Config(**given)


def check(tmp_path, ids=IDS):
    out = tmp_path / "landmarks"
    found = {x.stem: x for x in (out / "test").rglob("*.jpg")}
    assert sorted(found) == sorted(ids)
    for name, path in found.items():
        assert path.read_bytes() == picture(name)
        assert path.parts[-4:-1] == tuple(name[:3])


def tars(site):
    return [path for path, _ in site.asked if path.endswith(".tar")]


def test_everything_comes_once(site, tmp_path, capsys):
    found = download.run(settings(site, tmp_path))
    assert found == {"shards": 3, "fetched": 3}
    check(tmp_path)
    out = tmp_path / "landmarks"
    assert (out / "recognition_solution_v2.1.csv").exists()
    assert list((out / ".download").rglob("*.tar")) == []
    assert "3 of 3 tar files to fetch, about 2 GB" in capsys.readouterr().out
    site.asked.clear()
    assert download.run(settings(site, tmp_path))["fetched"] == 0
    assert site.asked == []


def test_a_part_and_then_the_rest(site, tmp_path):
    download.run(settings(site, tmp_path, shards="1", keep_tars=True))
    check(tmp_path, IDS[2:4])
    work = tmp_path / "landmarks" / ".download" / "test"
    assert (work / "images_001.tar").exists()
    site.asked.clear()
    download.run(settings(site, tmp_path, workers=1))
    assert tars(site) == ["/test/images_000.tar", "/test/images_002.tar"]
    check(tmp_path)


def test_what_prepare_reads_of_the_clean_list(site, tmp_path):
    data = site.files["/test/images_000.tar"]
    site.files["/train/images_000.tar"] = data
    site.files["/md5sum/train/md5.images_000.txt"] = (
        hashlib.md5(data).hexdigest().encode()
    )
    download.run(
        settings(
            site, tmp_path, dataset="gldv2-clean", split="train", shards="0"
        )
    )
    text = (tmp_path / "landmarks" / "train_clean_by_id.csv").read_text()
    assert text == "id,landmark_id\naa,1\nbb,1\n"
    assert len(list((tmp_path / "landmarks" / "train").rglob("*.jpg"))) == 2


def test_a_wrong_sum_is_fetched_once_again(site, tmp_path):
    site.wrong["/test/images_001.tar"] = 1
    download.run(settings(site, tmp_path))
    check(tmp_path)
    assert tars(site).count("/test/images_001.tar") == 2


def test_a_sum_that_stays_wrong_is_named_and_the_others_come(
    site, tmp_path, capsys
):
    site.wrong["/test/images_001.tar"] = 99
    with pytest.raises(InputError, match="1 of 3 tar files.*Received: 001"):
        download.run(settings(site, tmp_path))
    assert "images_001.tar: MD5" in capsys.readouterr().out
    assert tars(site).count("/test/images_001.tar") == 2
    check(tmp_path, IDS[:2] + IDS[4:])
    site.wrong.clear()
    download.run(settings(site, tmp_path))
    check(tmp_path)


def test_cut_connections_and_no_ranges(site, tmp_path):
    site.cut_after, site.cuts = 50_000, 5
    download.run(settings(site, tmp_path))
    check(tmp_path)


def test_a_tar_that_is_not_there(site, tmp_path, capsys):
    del site.files["/test/images_002.tar"]
    with pytest.raises(InputError, match="1 of 3.*Received: 002"):
        download.run(settings(site, tmp_path))
    assert "404 Not Found" in capsys.readouterr().out
    check(tmp_path, IDS[:4])


def test_a_tar_that_would_leave_its_folder(site, tmp_path, capsys):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../out.jpg"), io.BytesIO())
    data = buffer.getvalue()
    site.files["/test/images_000.tar"] = data
    site.files["/md5sum/test/md5.images_000.txt"] = (
        hashlib.md5(data).hexdigest().encode()
    )
    with pytest.raises(InputError, match="Received: 000"):
        download.run(settings(site, tmp_path))
    assert "would leave the folder" in capsys.readouterr().out
    assert not (tmp_path / "out.jpg").exists()
    check(tmp_path, IDS[2:])


def test_a_table_that_is_not_there(site, tmp_path):
    del site.files["/metadata/test.csv"]
    with pytest.raises(InputError, match="test.csv cannot be fetched .404"):
        download.run(settings(site, tmp_path))


def begun(work):
    """Parts of tar files that have bytes; they come and go."""
    found = []
    for part in work.glob("*.tar.part"):
        with contextlib.suppress(FileNotFoundError):
            found += [part] if part.stat().st_size else []
    return found


def test_killed_and_gone_on(site, tmp_path):
    site.delay = 0.05
    given = settings(site, tmp_path)
    words = [
        *(sys.executable, "-m", "landmark_tf.download", "--dataset=gldv2"),
        *("--split=test", "--shards=0-2", f"--out={given.out}"),
        f"--base_url={site.url}",
    ]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    work = tmp_path / "landmarks" / ".download" / "test"
    deadline = time.monotonic() + 30
    while not begun(work):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert begun(work)
    site.delay = 0.0
    site.asked.clear()
    download.run(given)
    check(tmp_path)
    ranges = [wanted for path, wanted in site.asked if wanted]
    assert ranges  # no part was fetched again


def test_a_full_disk_is_one_line(site, tmp_path, monkeypatch, capsys):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "x.jpg")

    monkeypatch.setattr("landmark_tf.files.unpack.shutil.copyfileobj", full)
    given = settings(site, tmp_path)
    words = [
        *("--dataset=gldv2", "--split=test", "--shards=0-2"),
        *(f"--out={given.out}", f"--base_url={site.url}"),
    ]
    with pytest.raises(SystemExit) as stopped:
        command.main(download.run, download.Config, words)
    assert stopped.value.code == 1
    assert "the disk is full" in capsys.readouterr().err
    monkeypatch.undo()
    download.run(given)
    check(tmp_path)


def test_a_dry_run_fetches_nothing(site, tmp_path):
    found = download.run(settings(site, tmp_path, dry_run=True))
    assert found == {"shards": 0, "fetched": 0}
    assert site.asked == [] and not (tmp_path / "landmarks").exists()


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    import collections

    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9))
    with pytest.raises(InputError, match="disk is too small.*1 GB free"):
        download.run(
            download.Config(dataset="gldv2", out=str(tmp_path), shards="0")
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers": 0}, "Received: 0, 5"),
        ({"timeout": 0.0}, "Received: 6, 0"),
        ({"shards": "0-20"}, "Received: '0-20'"),
        ({"dataset": "gldv2-clean"}, "Received: --split=test"),
        ({"base_url": "foo"}, "--base_url must be.*Received: 'foo'"),
        ({"base_url": ""}, "Received: ''"),
        ({"base_url": "http://[bad"}, "Received: 'http://.bad'"),
        ({"base_url": "file:///etc"}, "Received: 'file:///etc'"),
    ],
)
def test_bad_settings_are_named(site, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        download.run(settings(site, tmp_path, **change))
    assert site.asked == []


def test_out_that_is_a_file(site, tmp_path):
    (tmp_path / "landmarks").write_text("x")
    with pytest.raises(InputError, match="--out must be a folder"):
        download.run(settings(site, tmp_path))
