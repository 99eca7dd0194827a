import errno
import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from landmark_tf import InputError
from landmark_tf.files import shards, workers, workspace

TASKS = [
    shards.Task(f"shard{i}", [f"{i}.{k}" for k in range(i + 1)])
    for i in range(5)
]
SETTINGS = {"size": 3, "split": (0.5, 0.5)}


def write(items, path, tick, suffix=""):
    with open(path, "w") as file:
        for item in items:
            file.write(item + suffix + "\n")
            tick()
    return {"count": len(items)}


def slowly(items, path, tick):
    for _ in range(100):
        time.sleep(0.2)  # far longer than the test waits
        tick()
    return write(items, path, tick)


def die(items, path, tick):
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk(items, path, tick):
    if len(items) == 3:
        raise OSError(errno.ENOSPC, "No space left on device", path)
    return write(items, path, tick)


def work(out, maker=write, **options):
    assert not workspace.is_finished(out, "done.json", SETTINGS)
    with workspace.hold(out, "done.json", SETTINGS) as folder:
        shards.make(folder, TASKS, maker, **options)
        counts = [r["count"] for r in shards.reports(folder, TASKS)]
        text = json.dumps({"settings": SETTINGS, "counts": counts})
        workspace.write_text(folder, folder / "done.json", text)
    return counts


def content(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("count", [1, 2, 0])
def test_every_number_of_workers_makes_the_same(tmp_path, count):
    assert work(tmp_path / "a", workers=count) == [1, 2, 3, 4, 5]
    found = content(tmp_path / "a")
    assert set(found) == {*(f"shard{i}" for i in range(5)), "done.json"}
    assert found["shard1"] == b"1.0\n1.1\n"


def test_finished_work_is_known_and_other_settings_are_refused(tmp_path):
    out = tmp_path / "a"
    work(out, workers=1)
    assert workspace.is_finished(out, "done.json", SETTINGS)
    with pytest.raises(InputError, match="with other size, zoom$"):
        workspace.is_finished(
            out, "done.json", SETTINGS | {"size": 4, "zoom": 1}
        )


def test_goes_on_after_a_failure_with_what_is_missing(tmp_path, capsys):
    out = tmp_path / "a"
    with pytest.raises(OSError, match="No space"):
        work(out, fill_the_disk, workers=1)
    assert not list((out / ".work" / "partial").iterdir())
    assert {"shard0", "shard1"} < {p.name for p in out.iterdir()}
    with pytest.raises(InputError, match="with other size$"):
        workspace.is_finished(out, "done.json", SETTINGS | {"size": 4})
    # Only what is missing is made, so only that has the suffix.
    work(out, functools.partial(write, suffix="!"), workers=1)
    assert (out / "shard1").read_text() == "1.0\n1.1\n"
    assert (out / "shard2").read_text() == "2.0!\n2.1!\n2.2!\n"
    assert not (out / ".work").exists()


def test_an_error_in_a_worker_reaches_the_caller_and_stops_the_others(
    tmp_path,
):
    with pytest.raises(OSError, match="No space") as error:
        work(tmp_path / "a", fill_the_disk, workers=2)
    assert error.value.errno == errno.ENOSPC


def test_a_killed_worker_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="was killed"):
        work(tmp_path / "a", die, workers=2)
    assert work(tmp_path / "a", workers=1) == [1, 2, 3, 4, 5]


def test_a_file_without_its_report_is_made_again(tmp_path):
    out = tmp_path / "a"
    with pytest.raises(OSError, match="No space"):
        work(out, fill_the_disk, workers=1)
    (out / ".work" / "reports" / "shard1.json").unlink()
    assert work(out, workers=1) == [1, 2, 3, 4, 5]


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        workspace.is_finished(tmp_path, "done.json", SETTINGS)
    assert content(tmp_path) == {"mine.txt": b"precious"}
    with pytest.raises(InputError, match="Not a directory"):
        workspace.is_finished(tmp_path / "mine.txt", "done.json", SETTINGS)
    out = tmp_path / "mine.txt" / "deeper"
    with pytest.raises(InputError, match="Not a directory"):
        workspace.is_finished(out, "done.json", SETTINGS)
    with pytest.raises(InputError, match="choose a folder"):
        with workspace.hold(out, "done.json", SETTINGS):
            pass


def test_two_runs_do_not_share_a_folder(tmp_path):
    out = tmp_path / "a"
    with workspace.hold(out, "done.json", SETTINGS):
        with pytest.raises(InputError, match="another run"):
            work(out, workers=1)
    work(out, workers=1)
    with pytest.raises(InputError, match="another run"):
        with workspace.hold(out, "done.json", SETTINGS):
            pytest.fail("the other run had finished")


def test_killed_while_leaving(tmp_path):
    """The marker is there and .work too: finished, and tidied up."""
    out = tmp_path / "a"
    work(out, workers=1)
    (out / ".work").mkdir()
    assert workspace.is_finished(out, "done.json", SETTINGS)
    assert not (out / ".work").exists()


def test_killed_before_the_plan_was_written(tmp_path):
    (tmp_path / "a" / ".work" / "partial").mkdir(parents=True)
    assert work(tmp_path / "a", workers=1) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path, name):
    out = tmp_path / "a"
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import pathlib, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import test_shards
        # A shell's background jobs, and all that they start, ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if __name__ == "__main__":
            out = pathlib.Path({str(out)!r})
            test_shards.work(out, test_shards.slowly, workers=2)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.time() + 30
    while len(members(process.pid)) < 4 and time.time() < deadline:
        time.sleep(0.05)  # parent, fork server, two workers
    assert len(members(process.pid)) >= 4
    time.sleep(0.3)
    process.send_signal(name)
    process.wait(timeout=20)
    deadline = time.time() + 10
    while members(process.pid) and time.time() < deadline:
        time.sleep(0.05)
    assert not members(process.pid)
    assert work(out, workers=2) == [1, 2, 3, 4, 5]


def members(session):
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    state, _, _, sid = file.read().split(") ")[1].split()[:4]
            except OSError:
                continue
            if int(sid) == session and state != "Z":
                found.append(int(entry))
    return found


def test_fingerprint(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    expected = (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert workspace.fingerprint(tmp_path / "a") == expected
    with pytest.raises(InputError, match="No such file"):
        workspace.fingerprint(tmp_path / "b")


def test_beam_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install 'landmark_tf\[beam\]'"):
        work(tmp_path / "a", beam="--runner=DirectRunner")


def test_beam_makes_the_same(tmp_path):
    pytest.importorskip("apache_beam")
    counts = work(tmp_path / "a", beam="--runner=DirectRunner")
    assert counts == work(tmp_path / "b", workers=1)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_bar_counts_what_was_done_before(tmp_path, capsys):
    out = tmp_path / "a"
    with pytest.raises(OSError, match="No space"):
        work(out, fill_the_disk, workers=1)
    capsys.readouterr()
    work(out, workers=1)
    assert "15/15" in capsys.readouterr().err


def test_number_of_workers():
    assert workers.count(3) == 3
    assert 1 <= workers.count(0) <= os.cpu_count()
