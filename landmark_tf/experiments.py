"""Runs a list of commands one after another, each once, and goes on.

    python -m landmark_tf.experiments configs/experiments/toy/programme.txt

A programme has a command of this package a line, without `python -m
landmark_tf.`; empty lines and those that begin with # say nothing:

    train --flagfile=configs/experiments/toy/resnet18.flags
    predict --run=runs/experiments/toy/resnet18 --csv=test.csv ...

What each command prints goes to the screen and to a file in --log_dir. A
command that succeeded is not run again by the same --log_dir, unless its words
or one of its flagfiles have changed, or those of a command before it. Stopped,
even by kill -9, the same command goes on with the command that was running,
which itself goes on where it can.
SIGTERM is passed on to that command; when it has saved what it has to, this one
ends too, with code 75.
"""

import codecs
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator

from landmark_tf import InputError, Preempted, command, config
from landmark_tf.files import workspace
from landmark_tf.training import preemption


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a programme's run."""

    programme: str = config.field(
        help="file of commands, a line each", positional=True
    )
    log_dir: str = config.field(
        "",
        help="folder of logs and of what is done; none: runs/programmes/NAME",
    )
    keep_going: bool = config.field(
        False,
        help="run the commands behind one that fails, now and again once it "
        "is mended",
    )
    dry_run: bool = config.field(
        False, help="show what is done and what is to do, and run nothing"
    )


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        line: its line in the file, from 1.
        words: the verb and its flags.
        key: changes when the words or the flagfiles behind them change, or
            those of a step before it, of which it may read the output.
    """

    line: int
    words: tuple[str, ...]
    key: str

    def __str__(self) -> str:
        return shlex.join(self.words)


def run(settings: Config) -> dict[str, int]:
    """Runs what is not done yet.

    Returns:
        How many commands are `done` by now, and how many have `failed`.

    Raises:
        InputError: no such programme, or a command failed.
        Preempted: SIGTERM came.
    """
    steps = read(settings.programme)
    name = pathlib.Path(settings.programme)
    name = name.parent.name if name.stem == "programme" else name.stem
    logs = pathlib.Path(settings.log_dir or f"runs/programmes/{name}")
    record = logs / "done.txt"
    done = set(record.read_text().split()) if record.exists() else set()
    if settings.dry_run:
        for step in steps:
            print(f"{'done' if step.key in done else 'to do'}  {step}")
        return {"done": sum(x.key in done for x in steps), "failed": 0}
    logs.mkdir(parents=True, exist_ok=True)
    busy = InputError(
        "another programme writes there; wait for it or give another "
        f"--log_dir. Received: {logs}"
    )
    held = workspace.lock(logs / ".lock", busy)
    try:
        failed = _run_all(steps, done, record, settings.keep_going)
    finally:
        os.close(held)
    if failed:
        raise InputError(
            f"{settings.programme}, line {failed[0].line} failed, its log is "
            f"in {logs}; mend it and give the same command. "
            f"Received: {len(failed)} failed"
        )
    print(f"{settings.programme}: {len(steps)} commands done, logs in {logs}")
    return {"done": len(steps), "failed": 0}


def _run_all(
    steps: list[Step], done: set[str], record: pathlib.Path, keep_going: bool
) -> list[Step]:
    """Runs what is not done, and returns what failed."""
    failed = []
    for place, step in enumerate(steps, 1):
        if step.key in done:
            continue
        print(f"[{place}/{len(steps)}] {step}", flush=True)
        start = time.monotonic()
        log = record.with_name(f"{place:03}_{step.words[0]}.log")
        if _execute(step, log) != 0:
            failed.append(step)
            if not keep_going:
                break
            continue
        print(f"  done in {time.monotonic() - start:.0f} s", flush=True)
        if not failed:  # else it may have read what is to be made anew
            with open(record, "a", encoding="utf-8") as file:
                file.write(f"{step.key}\n")
    return failed


def read(path: str) -> list[Step]:
    """Reads a programme.

    Raises:
        InputError: no such file, a line that is no command, or a flagfile that
            is not there.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"no such programme; give a text file of commands. Received: {path}"
        ) from error
    steps: list[Step] = []
    for number, line in enumerate(lines, 1):
        try:
            words = tuple(shlex.split(line, comments=True))
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: {error}. Received: {line!r}"
            ) from error
        if not words:
            continue
        _check_verb(f"{path}, line {number}", words[0])
        before = steps[-1].key if steps else ""
        try:
            steps.append(Step(number, words, _key(before, words)))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if not steps:
        raise InputError(f"no command in the programme. Received: {path}")
    return steps


def _check_verb(where: str, verb: str) -> None:
    folder = pathlib.Path(__file__).parent
    module = folder.joinpath(*verb.split(".")).with_suffix(".py")
    if not re.fullmatch(r"[a-z_.]+", verb) or not module.is_file():
        raise InputError(
            f"{where}: a command begins with a verb (python -m landmark_tf "
            f"lists them). Received: {verb!r}"
        )


def _key(before: str, words: tuple[str, ...]) -> str:
    content = [before, *words, *_flagfiles(list(words))]
    return hashlib.sha256("\0".join(content).encode()).hexdigest()[:16]


def _flagfiles(words: list[str], outer: tuple[str, ...] = ()) -> Iterator[str]:
    """What the flagfiles among some words say, and those that they name."""
    for place, word in enumerate(words):
        name, equals, path = word.lstrip("-").partition("=")
        if name != "flagfile" or not word.startswith("-"):
            continue
        if not equals:  # absl takes both forms
            path = words[place + 1] if place + 1 < len(words) else ""
        if path in outer:
            raise InputError(f"a flagfile names itself. Received: {path}")
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                "no such flagfile, or no text; give the command in the "
                f"project's root. Received: {path}"
            ) from error
        yield text
        lines = [line.strip() for line in text.splitlines()]
        yield from _flagfiles(lines, (*outer, path))


def _execute(step: Step, log: pathlib.Path) -> int:
    """Runs a command, its output on the screen and in a log."""
    words = [sys.executable, "-m", f"landmark_tf.{step.words[0]}"]
    # Text, since a notebook's screen takes no bytes.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [*words, *step.words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with preemption.watched(process.terminate) as asked:
            try:
                for part in iter(lambda: process.stdout.read1(65536), b""):
                    sys.stdout.write(decoder.decode(part))
                    sys.stdout.flush()
                    file.write(part)
            finally:
                if process.poll() is None:  # this process is being stopped
                    process.terminate()
                process.wait()
    if asked():
        raise Preempted(f"stopped during {step}; the same command goes on")
    return process.returncode


if __name__ == "__main__":
    command.main(run, Config)
