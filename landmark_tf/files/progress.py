"""A progress bar with items per second and the time left."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def bar(total: int, unit: str = "images", done: int = 0) -> tqdm:
    """A bar on standard error, to be used in a `with`; `update(n)` moves it.

    On a terminal it moves several times a second; in a log file it adds a line
    now and then.

    Args:
        total: number of items.
        unit: what an item is.
        done: items that an earlier run has done.
    """
    seconds = 0.2 if sys.stderr.isatty() else 10
    return tqdm(
        initial=done,
        total=total,
        unit=f" {unit}",
        mininterval=seconds,
        maxinterval=seconds,
        smoothing=0.05,
    )


def track(items: Sequence[T]) -> Iterator[T]:
    """Gives the items one after another, and moves a bar with each."""
    with bar(len(items)) as moving:
        for item in items:
            yield item
            moving.update()
