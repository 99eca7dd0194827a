"""Runs a list of commands one after another, each once, and goes on.

    python -m landmark_tf.experiments configs/experiments/toy/programme.txt

A programme has a command of this package a line, without `python -m
landmark_tf.`; empty lines and those that begin with # say nothing:

    train --flagfile=configs/experiments/toy/resnet18.flags
    predict --run=runs/experiments/toy/resnet18 --csv=test.csv ...

What each command prints goes to the screen and to a file in --log_dir. A
command that succeeded is not run again by the same --log_dir, unless its words
or one of its flagfiles have changed. Stopped, even by kill -9, the same command
goes on with the command that was running, which itself goes on where it can.
SIGTERM is passed on to that command; when it has saved what it has to, this one
ends too, with code 75.
"""

import dataclasses
import hashlib
import pathlib
import re
import shlex
import subprocess
import sys
import time

from landmark_tf import InputError, Preempted, command, config
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
        False, help="run the commands behind one that fails"
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
        key: changes when the words or the flagfiles behind them change.
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
    failed = []
    for place, step in enumerate(steps, 1):
        if step.key in done:
            continue
        print(f"[{place}/{len(steps)}] {step}", flush=True)
        start = time.monotonic()
        code = _execute(step, logs / f"{place:03}_{step.words[0]}.log")
        if code == 0:
            with open(record, "a", encoding="utf-8") as file:
                file.write(f"{step.key}\n")
            done.add(step.key)
            print(f"  done in {time.monotonic() - start:.0f} s", flush=True)
            continue
        failed.append(step)
        if not settings.keep_going:
            break
    if failed:
        raise InputError(
            f"{settings.programme}, line {failed[0].line} failed, its log is "
            f"in {logs}; mend it and give the same command. "
            f"Received: {len(failed)} failed"
        )
    print(f"{settings.programme}: {len(steps)} commands done, logs in {logs}")
    return {"done": len(steps), "failed": 0}


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
    steps = []
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
        steps.append(Step(number, words, _key(words)))
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


def _key(words: tuple[str, ...]) -> str:
    content = [*words, *(_flags(x) for x in words)]
    return hashlib.sha256("\0".join(content).encode()).hexdigest()[:16]


def _flags(word: str) -> str:
    """What a --flagfile says, and those that it names."""
    if not word.startswith("--flagfile="):
        return ""
    path = word.partition("=")[2]
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            "no such flagfile; give the command in the project's root. "
            f"Received: {path}"
        ) from error
    return text + "".join(_flags(line.strip()) for line in text.splitlines())


def _execute(step: Step, log: pathlib.Path) -> int:
    """Runs a command, its output on the screen and in a log."""
    words = [sys.executable, "-m", f"landmark_tf.{step.words[0]}"]
    process = subprocess.Popen(
        [*words, *step.words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with (
        preemption.watched(process.terminate) as asked,
        open(log, "wb") as file,
    ):
        try:
            for part in iter(lambda: process.stdout.read1(65536), b""):
                sys.stdout.buffer.write(part)
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
