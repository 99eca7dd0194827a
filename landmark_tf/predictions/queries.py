"""Whether two files are about the same queries."""

import os
from collections.abc import Sequence

from landmark_tf import InputError


def check_same(
    ids: Sequence[str],
    wanted: Sequence[str],
    path: str | os.PathLike,
    other: str | os.PathLike,
) -> None:
    """Refuses a file that does not name what another one names.

    Args:
        ids: all ids of the file.
        wanted: all ids of the other one.
        path: the file, for the message.
        other: the other one, for the message.

    Raises:
        InputError: an id of the one is not in the other.
    """
    if ids == wanted:
        return
    known, named = set(wanted), set(ids)
    missing = [name for name in wanted if name not in named]
    unknown = [name for name in ids if name not in known]
    if missing and len(missing) == len(wanted):
        raise InputError(
            f"{path} and {other} are about different queries; give files of "
            f"the same. Received: {_first(ids)} and {_first(wanted)}"
        )
    if missing:
        instead = f", but one for {_first(unknown)}" if unknown else ""
        raise InputError(
            f"{path} must name every id of {other}; add a row, empty where "
            "nothing is predicted. "
            f"Received: no row for {_first(missing)}{instead}"
        )
    if unknown:
        raise InputError(
            f"{path} may name only ids of {other}; remove the row. "
            f"Received: {_first(unknown)}"
        )


def _first(ids: Sequence[str]) -> str:
    if not ids:
        return "no id"
    more = len(ids) - 1
    return f"{ids[0]!r}" + (f" and {more} more" if more else "")
