"""Tasks spread over processes, or over an Apache Beam pipeline.

A function is called as `call(task, tick)`, in no particular order; it calls
`tick()` after each item, which moves the progress bar.
"""

import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import os
import shlex
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm.auto import tqdm

from landmark_tf import InputError

_POLL_SECONDS = 0.5

# Set in a worker by `_start`: shared with the process that gave it the work.
_ticks: Any = None
_stop: Any = None


class _Stopped(Exception):
    """The run is over, so this worker's file is not needed."""


def count(workers: int) -> int:
    """The processes meant by `--workers`; 0 is one for each core."""
    if workers:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    call: Callable[[Any, Callable[[], None]], None],
    tasks: Sequence[Any],
    workers: int,
    bar: tqdm,
) -> None:
    """Calls a function for every task.

    Args:
        call: picklable, as are the tasks.
        tasks: what it is called with.
        workers: processes; 0: one for each core; 1: this process.
        bar: moves on with every tick.

    Raises:
        InputError: a worker process was killed.
        Exception: what a call raised; no further task is begun then.
    """
    workers = min(count(workers), len(tasks))
    if workers == 1:
        for task in tasks:
            call(task, bar.update)
        return
    try:
        _run_processes(call, tasks, workers, bar)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for lack of memory; the same "
            "command goes on, with fewer --workers if need be (a script that "
            'calls this must do so under `if __name__ == "__main__":`). '
            f"Received: {workers} workers"
        ) from error


def _run_processes(
    call: Callable, tasks: Sequence[Any], workers: int, bar: tqdm
) -> None:
    # Not "fork": a copy of a process that runs TensorFlow's threads may hang.
    known = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in known else "spawn"
    )
    ticks, stop = context.Value("q", 0), context.Value("b", 0)
    waiting = iter(tasks)
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=_start, initargs=(ticks, stop)
    ) as pool:
        # Few at a time: a task's items are copied when it is submitted.
        running = {
            pool.submit(_call, call, task)
            for task in itertools.islice(waiting, 2 * workers)
        }
        try:
            while running:
                done, running = concurrent.futures.wait(
                    running, _POLL_SECONDS, concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    future.result()
                for task in itertools.islice(waiting, len(done)):
                    running.add(pool.submit(_call, call, task))
                bar.update(ticks.value - (bar.n - bar.initial))
        except BaseException:
            stop.value = 1
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start(ticks: Any, stop: Any) -> None:
    """Begins a worker process, and ends it when its parent is gone."""
    global _ticks, _stop
    _ticks, _stop = ticks, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us
    parent = multiprocessing.parent_process().sentinel
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _call(call: Callable, task: Any) -> None:
    with contextlib.suppress(_Stopped):
        call(task, _tick)


def _tick() -> None:
    if _stop.value:
        raise _Stopped
    with _ticks.get_lock():
        _ticks.value += 1


def run_beam(
    call: Callable[[Any, Callable[[], None]], None],
    tasks: Sequence[Any],
    options: str,
) -> None:
    """Calls a function for every task in an Apache Beam pipeline.

    Args:
        call: picklable, as are the tasks.
        tasks: what it is called with.
        options: the pipeline's, as on a command line: `--runner=FlinkRunner
            --flink_master=host:8081`.

    Raises:
        InputError: Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            "Apache Beam is not installed; pip install 'landmark_tf[beam]'. "
            f"Received: --beam={options}"
        ) from error
    with beam.Pipeline(options=PipelineOptions(shlex.split(options))) as p:
        _ = (
            p
            | beam.Create(tasks)
            | beam.Reshuffle()
            | beam.Map(functools.partial(_call_for_beam, call))
        )


def _call_for_beam(call: Callable, task: Any) -> None:
    call(task, _nothing)


def _nothing() -> None:
    """Beam counts by its own means."""
