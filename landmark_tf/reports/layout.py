"""Which trainings and submissions a report shows together, and their names."""

import collections
import dataclasses
import glob
import pathlib
from collections.abc import Iterable, Sequence

import pandas as pd

from landmark_tf import InputError

_COLUMNS = ("group", "title", "name", "path")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs or submissions that are shown together.

    Attributes:
        title: above them.
        paths: by name.
        of_pattern: whether a pattern found them, not all of them by intent.
    """

    title: str
    paths: dict[str, str]
    of_pattern: bool = False


def named(paths: Iterable[str]) -> dict[str, str]:
    """Names paths by their last part, or by the whole where two share it.

    verified/test/submission.csv is called test, which says more.
    """
    paths = list(dict.fromkeys(paths))
    short = [_short(x) for x in paths]
    count = collections.Counter(short)
    return {
        (name if count[name] == 1 else path): path
        for name, path in zip(short, paths)
    }


def is_pattern(path: str) -> bool:
    """Whether a path has letters that stand for others, as runs/* has."""
    return glob.has_magic(path)


def of_patterns(patterns: Sequence[str]) -> list[str]:
    """The run directories that patterns such as runs/* find, sorted in each.

    Raises:
        InputError: a pattern that finds none.
    """
    paths = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern))
        runs = [x for x in found if pathlib.Path(x, "history.csv").exists()]
        if not runs:
            raise InputError(
                "no run directory with a history there; give --runs=runs/NAME "
                f"or a pattern in quotes. Received: {pattern}"
            )
        paths += runs
    return paths


def read(path: str) -> list[Group]:
    """Reads a CSV of `group,title,name,path`, in the order of its rows.

    Raises:
        InputError: no such table, or two of a group share a name.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = list(zip(*(table[x] for x in _COLUMNS)))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"--layout must be a CSV with the columns {','.join(_COLUMNS)} "
            f"({error}). Received: {path}"
        ) from error
    groups: dict[str, Group] = {}
    for name, title, label, file in rows:
        heading = f"{name}: {title}" if title else name
        group = groups.setdefault(name, Group(heading, {}))
        label = label or _short(file)
        if label in group.paths:
            raise InputError(
                f"{path}: two of {heading!r} have one name; give each its own. "
                f"Received: {label!r}"
            )
        group.paths[label] = file
    return list(groups.values())


def split(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """The groups of runs, and those of submissions, whose paths end in .csv."""
    kinds: tuple[list[Group], list[Group]] = ([], [])
    for group in groups:
        for kind, wanted in enumerate((False, True)):
            part = {
                name: path
                for name, path in group.paths.items()
                if path.endswith(".csv") == wanted
            }
            if part:
                kinds[kind].append(dataclasses.replace(group, paths=part))
    return kinds


def _short(path: str) -> str:
    file = pathlib.Path(path)
    if file.suffix != ".csv":
        return file.name
    return file.parent.name if file.stem == "submission" else file.stem
