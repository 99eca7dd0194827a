"""A file is either there and complete, or not there."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a path to write to, and renames it to `path` when all went well.

    The temporary file stands beside `path` and keeps its suffix, on which some
    writers depend. After an error it is removed and `path` is as it was.

    Args:
        path: the file to make or to replace; its folder must exist.
    """
    path = pathlib.Path(path)
    # One name, so that what a kill leaves behind is overwritten the next time.
    temporary = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes UTF-8 text to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
