"""Every verb, as a person meets it in a shell."""

import pathlib
import subprocess
import sys

import pytest

from landmark_tf import InputError, __main__, command
from tests.test_config import Config

ROOT = pathlib.Path(__file__).parents[1]


def shell(*words):
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True
    )


# What a person runs: the verbs, and what stands beside them.
COMMANDS = (*__main__.VERBS, "models", "models.weights")


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_answers_at_once_and_imports_no_tensorflow(verb):
    done = shell(f"landmark_tf.{verb}", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"python -m landmark_tf.{verb} ")
    assert "--" in done.stdout
    assert "default: " in done.stdout or "(required)" in done.stdout
    assert done.stderr == ""
    modules = subprocess.run(
        [sys.executable, "-c", _MODULES.format(verb)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert modules.stdout.strip() == "[]"


_MODULES = (
    "import sys, landmark_tf.{0}; print([m for m in "
    "('tensorflow', 'pandas', 'keras', 'matplotlib') if m in sys.modules])"
)


def test_the_package_lists_its_verbs():
    done = shell("landmark_tf")
    assert done.returncode == 0
    for verb in __main__.VERBS:
        assert f"  {verb} " in done.stdout


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_wrong_flag_is_one_line(verb):
    done = shell(f"landmark_tf.{verb}", "--no_such_flag=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Unknown command line flag")
    assert done.stderr.count("\n") == 1


def stop_line(run, capsys, arguments=("--out=x",)):
    with pytest.raises(SystemExit) as stopped:
        command.main(run, Config, list(arguments))
    return stopped.value.code, capsys.readouterr().err


def test_an_input_error_is_one_line_and_code_1(capsys):
    def run(settings):
        raise InputError(f"no. Received: {settings.out}")

    assert stop_line(run, capsys) == (1, "error: no. Received: x\n")


def test_a_full_disk_is_one_line(capsys):
    def run(settings):
        raise OSError(28, "No space left on device", "big.bin")

    code, line = stop_line(run, capsys)
    assert code == 1 and "disk is full" in line and "big.bin" in line


def test_a_file_where_a_folder_is_to_be_is_one_line(tmp_path, capsys):
    (tmp_path / "out").write_text("")

    def run(settings):
        (tmp_path / "out").mkdir(exist_ok=True)

    code, line = stop_line(run, capsys)
    assert code == 1 and line.startswith("error: a file is where a folder")
    assert line.endswith(f"{tmp_path / 'out'}\n")


def test_a_mistake_of_ours_keeps_its_traceback():
    def run(settings):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        command.main(run, Config, ["--out=x"])


def test_tensorflow_starts_without_lines_on_the_screen():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from landmark_tf.files import quiet\n"
            "import os, sys\n"
            "with quiet._without_start_up_lines():\n"
            "    os.write(2, b'a real error\\n')\n"
            "tf = quiet.import_tensorflow()\n"
            "assert tf.constant(1) + 1 == 2\n",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr == "a real error\n"
