import fcntl
import io
import pathlib
import re
import subprocess
import sys

import pytest

from landmark_tf import InputError, experiments

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def programme(tmp_path):
    """Two quick commands, and how they are run."""
    path = tmp_path / "quick.txt"
    (tmp_path / "x.csv").write_text("id,landmarks\na,1 0.5\n")
    (tmp_path / "y.csv").write_text("id,landmarks\na,1 0.25\n")
    write(path, tmp_path, "average", "max_confidence")
    return path


def write(path, folder, *strategies):
    lines = ["# two ensembles", ""]
    for strategy in strategies:
        (folder / f"{strategy}.flags").write_text(f"--strategy={strategy}\n")
        lines.append(
            f"ensemble --submissions={folder}/x.csv,{folder}/y.csv "
            f"--flagfile={folder}/{strategy}.flags "
            f"--out={folder}/{strategy}.csv  # why"
        )
    path.write_text("\n".join(lines) + "\n")


def run(path, **more):
    logs = str(path.parent / "logs")
    return experiments.run(
        experiments.Config(programme=str(path), log_dir=logs, **more)
    )


def test_commands_run_in_order_and_once(programme, capfd):
    assert run(programme) == {"done": 2, "failed": 0}
    assert "a,1 0.375" in (programme.parent / "average.csv").read_text()
    assert "a,1 0.5" in (programme.parent / "max_confidence.csv").read_text()
    log = programme.parent / "logs" / "001_ensemble.log"
    assert "average of 2 submissions" in log.read_text()
    assert "average of 2 submissions" in capfd.readouterr().out
    (programme.parent / "average.csv").unlink()
    run(programme)
    assert not (programme.parent / "average.csv").exists()


def test_a_changed_flagfile_runs_again(programme):
    run(programme)
    base = programme.parent / "base.flags"
    base.write_text("--strategy=correct\n")
    flags = programme.parent / "average.flags"
    flags.write_text(f"--flagfile={base}\n")
    run(programme)
    assert "a,1 0.25" in (programme.parent / "average.csv").read_text()
    base.write_text("--strategy=boost\n--scale=1\n")  # behind the flagfile
    run(programme)
    assert "a,1 0.75" in (programme.parent / "average.csv").read_text()


def test_what_follows_a_changed_command_runs_again(programme):
    run(programme)
    folder = programme.parent
    # The second command reads what the first one writes.
    second = programme.read_text().splitlines()[-1].replace("/x.csv", "/o.csv")
    first = (
        programme.read_text().splitlines()[-2].replace("/average.csv", "/o.csv")
    )
    programme.write_text(f"{first}\n{second}\n")
    run(programme)
    assert "a,1 0.375" in (folder / "max_confidence.csv").read_text()
    (folder / "average.flags").write_text("--strategy=boost\n--scale=2\n")
    run(programme)
    assert "a,1 1\n" in (folder / "max_confidence.csv").read_text()


def test_what_ran_behind_a_failure_runs_again(programme):
    x = programme.parent / "x.csv"
    text = programme.read_text()
    programme.write_text(text.replace("/x.csv", "/later.csv", 1))
    with pytest.raises(InputError, match="1 failed"):
        run(programme, keep_going=True)
    (programme.parent / "later.csv").write_text(x.read_text())
    (programme.parent / "max_confidence.csv").unlink()
    assert run(programme)["done"] == 2
    assert (programme.parent / "max_confidence.csv").exists()


def test_two_of_one_log_dir(programme):
    logs = programme.parent / "logs"
    logs.mkdir()
    with open(logs / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another programme.*logs"):
            run(programme)


def test_a_notebook_has_no_bytes_behind_its_output(programme, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    run(programme)
    assert "average of 2 submissions" in screen.getvalue()


def test_a_flagfile_as_a_word_of_its_own(programme):
    text = programme.read_text().replace("--flagfile=", "--flagfile ")
    programme.write_text(text)
    run(programme)
    (programme.parent / "average.flags").write_text("--strategy=correct\n")
    run(programme)
    assert "a,1 0.25" in (programme.parent / "average.csv").read_text()


def test_a_flagfile_that_names_itself_or_is_no_text(programme):
    flags = programme.parent / "average.flags"
    flags.write_text(f"--flagfile={flags}\n")
    with pytest.raises(InputError, match="line 3: a flagfile names itself"):
        run(programme)
    flags.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no text.*average.flags"):
        run(programme)


def test_a_failure_stops_and_the_rest_goes_on_later(programme, capfd):
    (programme.parent / "x.csv").rename(programme.parent / "hidden.csv")
    with pytest.raises(InputError, match="line 3 failed.*logs.*1 failed"):
        run(programme)
    assert "no such CSV file" in capfd.readouterr().out
    (programme.parent / "hidden.csv").rename(programme.parent / "x.csv")
    assert run(programme)["done"] == 2


def test_keep_going_counts_the_failures(programme):
    text = programme.read_text().replace("--out=", "--unknown --out=", 1)
    programme.write_text(text)
    with pytest.raises(InputError, match="Received: 1 failed"):
        run(programme, keep_going=True)
    assert (programme.parent / "max_confidence.csv").exists()


def test_a_dry_run_runs_nothing(programme, capsys):
    assert run(programme, dry_run=True) == {"done": 0, "failed": 0}
    assert capsys.readouterr().out.count("to do  ensemble") == 2
    assert not (programme.parent / "logs").exists()


def test_sigterm_ends_the_command_too(tmp_path):
    """A training saves and ends, and the programme ends behind it."""
    path = tmp_path / "long.txt"
    path.write_text(
        f"train --data={ROOT}/tfrecords/toy --run={tmp_path}/run "
        "--model=resnet18 --image_size=32 --batch_size=16 --epochs=1000 "
        "--validation_split=\n"
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "landmark_tf.experiments", str(path)),
            f"--log_dir={tmp_path}/logs",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = next(line for line in process.stdout if "Epoch 1/" in line)
    process.terminate()
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 75, seen + rest
    assert rest.splitlines()[-1].startswith("stopped during train --data=")
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    # Nobody holds the run any more.
    with open(tmp_path / "run" / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no command"),
        ("# nothing\n", "no command"),
        ("rm -rf x\n", "begins with a verb.*Received: 'rm'"),
        ("../train --x\n", "begins with a verb"),
        ("train 'x\n", "line 1: No closing quotation"),
        ("train --flagfile=nowhere.flags\n", "no such flagfile.*nowhere"),
    ],
)
def test_bad_programmes_are_named(tmp_path, text, words):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        run(path)


def test_no_such_programme(tmp_path):
    with pytest.raises(InputError, match="no such programme.*nowhere.txt"):
        run(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    "path", sorted(map(str, (ROOT / "configs").rglob("programme.txt")))
)
def test_programmes_parse(path, monkeypatch):
    """Every command has flags that its verb knows; every input is made."""
    import importlib

    from landmark_tf import config

    monkeypatch.chdir(ROOT)
    for step in experiments.read(path):
        module = importlib.import_module(f"landmark_tf.{step.words[0]}")
        config.parse(module.Config, step.words[1:])


@pytest.mark.parametrize(
    "path", sorted(map(str, (ROOT / "configs").rglob("layout.csv")))
)
def test_layouts_show_what_programmes_make(path, monkeypatch):
    import pandas as pd

    from landmark_tf import config
    from landmark_tf.training import settings

    monkeypatch.chdir(ROOT)
    made = set()
    for step in experiments.read(
        str(pathlib.Path(path).parent / "programme.txt")
    ):
        if step.words[0] == "train":
            made.add(config.parse(settings.Config, step.words[1:]).run)
        for word in step.words:
            if match := re.match("--out=(.*)", word):
                made |= {match[1], f"{match[1]}/submission.csv"}
    shown = pd.read_csv(path, dtype=str, keep_default_na=False)["path"]
    assert set(shown) <= made
