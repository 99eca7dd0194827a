"""A training that is asked to stop, as clouds do before they take a machine."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def watched(
    act: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], bool]]:
    """While it lasts, SIGTERM does not end the process, but is taken note of.

    Args:
        act: called at once when the signal comes.

    Yields:
        Says whether the signal has come. (Outside the main thread, as in some
        notebooks, signals cannot be caught: it says False.)
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def note(*_) -> None:
        asked.set()
        act()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
