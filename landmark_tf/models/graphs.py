"""Keras' graphs of layers, where they are deep."""

import contextlib
import sys
from collections.abc import Iterator

_DEEPEST = 20_000  # calls; SENet-154 with attention needs 1,500


@contextlib.contextmanager
def deep_graphs() -> Iterator[None]:
    """Lets Keras walk graphs of thousands of layers, one call deep each."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
