"""Work that is cut into shards: in parallel, restartable, reproducible.

The plan comes first: a list of `Task`s, each the items of one output file. One
worker makes one file under a temporary name and renames it when it is complete,
so a file that has its name is whole, and whatever was killed goes on with the
files that are missing. What a maker reports (a small dict) is written beside it
just before.

    with workspace.hold(out, "settings.json", settings) as folder:
        shards.make(folder, tasks, maker, workers=2)
        for report in shards.reports(folder, tasks):
            ...
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any

from landmark_tf.files import progress, workspace
from landmark_tf.files import workers as processes

# items, the file to write, a function to call after each item -> the report,
# which JSON must be able to hold.
Maker = Callable[[Any, str, Callable[[], None]], dict]


@dataclasses.dataclass(frozen=True)
class Task:
    """One output file: its name within the folder, and what goes into it."""

    file: str
    items: Sized


def make(
    out: Path,
    tasks: Sequence[Task],
    maker: Maker,
    *,
    workers: int = 0,
    beam: str = "",
    unit: str = "images",
) -> None:
    """Makes the files that are still missing.

    Args:
        out: a folder that `workspace.hold` holds.
        tasks: the plan.
        maker: writes one file; importable by name. What it writes may depend on
            the items alone.
        workers: processes; 0: one for each core; 1: this process.
        beam: options of an Apache Beam pipeline, which then does the work;
            every one of its workers must see `out`. Empty: no Beam.
        unit: what an item is, for the progress bar.

    Raises:
        InputError: a worker was killed, or Beam is missing.
    """
    todo = [
        task
        for task in tasks
        if not ((out / task.file).exists() and _report(out, task).exists())
    ]
    call = functools.partial(_make_one, str(out), maker)
    if not todo:
        return
    total = sum(len(task.items) for task in tasks)
    done = total - sum(len(task.items) for task in todo)
    if beam:
        processes.run_beam(call, todo, beam)
    else:
        with progress.bar(total, unit, done) as bar:
            processes.run(call, todo, workers, bar)


def _make_one(
    out: str, maker: Maker, task: Task, tick: Callable[[], None]
) -> None:
    partial = workspace.partial_path(out)
    try:
        report = maker(task.items, str(partial), tick)
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        # First the report: a file that has its name then has its report too.
        workspace.write_text(out, _report(out, task), json.dumps(report))
        os.replace(partial, Path(out, task.file))
    finally:
        partial.unlink(missing_ok=True)


def _report(out: str | os.PathLike, task: Task) -> Path:
    return Path(out, workspace.WORK, "reports", f"{task.file}.json")


def reports(out: Path, tasks: Sequence[Task]) -> Iterator[dict]:
    """What the maker returned for each task, in the tasks' order."""
    for task in tasks:
        yield json.loads(_report(out, task).read_text(encoding="utf-8"))
