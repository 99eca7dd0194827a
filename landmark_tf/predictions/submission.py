"""Kaggle's CSV files, in and out: submissions, and the solution.

    id,landmarks
    a6ab29522ab65bfb,
    22e60b73a3b8ef6b,151548 0.75 37881 0.125

A submission names every id once; `landmarks` is empty or pairs of a landmark
and its confidence. A solution names the true landmarks only, and in a third
column `Usage` the part of the competition that counts the row.
"""

import csv
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.files import atomic

_USAGES = ("Public", "Private", "Ignored")
_DIGITS = 18  # so many are sure to fit in int64
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_ids(path: str | os.PathLike) -> list[str]:
    """Reads the column `id` of a CSV file; raises as `read_submission`."""
    return _read_columns(path, ("id",))["id"]


def read_submission(path: str | os.PathLike) -> tuple[pd.DataFrame, list[str]]:
    """Reads a submission.

    Args:
        path: the CSV file, with or without further columns.

    Returns:
        The predictions, one a row, in the order of the file: `id` text,
        `landmark_id` int64, `confidence` float32, `order` int64, the place of
        the pair in its row, from 0; and all ids, those without a prediction
        too, in the order of the file.

    Raises:
        InputError: the file is missing, empty, not UTF-8 or not a CSV; a
            column is missing; an id is empty or stands twice; a row is not
            pairs of a whole number and a number finite as float32, or names a
            landmark twice.
    """
    ids, row, landmark_id, confidence = read_pairs(path)
    table = {
        "id": np.array(ids, dtype=object)[row],
        "landmark_id": landmark_id,
        "confidence": confidence,
        "order": np.arange(len(row)) - np.searchsorted(row, row),
    }
    return pd.DataFrame(table).astype({"id": str}), ids


def read_pairs(
    path: str | os.PathLike,
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Reads a submission as arrays, in half the time of `read_submission`.

    Returns:
        All N ids; and of each pair in the file's order: its row, int64 [P],
        rising, its landmark, int64 [P], and its confidence, float32 [P].

    Raises:
        InputError: as `read_submission`.
    """
    columns = _read_columns(path)
    texts = columns["landmarks"]
    try:
        pairs, landmark_id, confidence = _parse(texts)
    except ValueError:
        _name_wrong_row(path, columns["id"], texts)
        raise
    row = np.repeat(np.arange(len(texts)), pairs)
    return columns["id"], row, landmark_id, confidence


def _parse(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows together, which takes a fraction of the time of one by one.

    Returns:
        How many pairs each row has, and all landmarks and confidences.

    Raises:
        ValueError: a row that is not pairs of a landmark and a confidence.
    """
    words = " ; ".join([*texts, ""]).split()
    ends = np.array([i for i, x in enumerate(words) if x == ";"], np.int64)
    count = np.diff(ends, prepend=-1) - 1
    if len(ends) != len(texts) or (count % 2).any():
        raise ValueError("write a confidence behind each landmark")
    words = [x for x in words if x != ";"]
    landmarks, confidences = words[::2], words[1::2]
    digits = "".join(landmarks)
    if digits and not (digits.isascii() and digits.isdigit()):
        raise ValueError("write landmarks as whole numbers")
    if max(map(len, landmarks), default=0) > _DIGITS:
        raise ValueError(f"write landmarks with {_DIGITS} digits at most")
    landmark_id = np.array(list(map(int, landmarks)), np.int64)
    if (count > 2).any() and _named_twice(count // 2, landmark_id):
        raise ValueError("name a landmark once in a row")
    confidence = np.array(list(map(float, confidences)), np.float64)
    if not (np.abs(confidence) <= _FLOAT32_MAX).all():
        raise ValueError("write confidences as finite numbers")
    return count // 2, landmark_id, confidence.astype(np.float32)


def _named_twice(pairs: np.ndarray, landmark_id: np.ndarray) -> bool:
    row = np.repeat(np.arange(len(pairs)), pairs)
    order = np.lexsort((landmark_id, row))
    steps = np.diff(np.stack([row, landmark_id])[:, order], axis=1)
    return bool((steps == 0).all(axis=0).any())


def _name_wrong_row(
    path: str | os.PathLike, ids: list[str], texts: list[str]
) -> None:
    for name, text in zip(ids, texts):
        words = text.split()
        try:
            for word in words[::2]:
                _landmark(word)
            for word in words[1::2]:
                _confidence(word)
            _parse([text])
        except ValueError as error:
            _refuse(path, name, error, text)


def write_submission(
    path: str | os.PathLike,
    ids: Sequence[str],
    landmark_id: np.ndarray,
    confidence: np.ndarray,
) -> None:
    """Writes a submission, whole or not at all; its folder is made.

    The pairs of a row are written by falling confidence, equal ones by rising
    landmark. Confidences read back as the same float32.

    Args:
        path: the CSV file to make or replace.
        ids: N different ids, in the order of the test file.
        landmark_id: int [N, k], from 0; -1 makes no prediction, and a row of
            nothing else is left empty.
        confidence: float [N, k], finite as float32 where a landmark stands.

    Raises:
        InputError: an id is empty or stands twice.
        ValueError: shapes that do not fit, a confidence that is not finite, a
            landmark twice in one row.
    """
    ids, landmark_id = list(ids), np.asarray(landmark_id)
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        confidence = np.asarray(confidence).astype(np.float32)
    _check_ids(path, ids)
    _check_pairs(ids, landmark_id, confidence)
    order = np.lexsort((landmark_id, -confidence), axis=1)
    landmarks = np.take_along_axis(landmark_id, order, axis=1).tolist()
    confidences = np.take_along_axis(confidence, order, axis=1).tolist()
    # 9 digits give back every float32, even when they are read as float64
    # first and rounded again; the fewest that tell two float32 apart may not.
    texts = (
        " ".join(f"{a} {b:.9g}" for a, b in zip(*pairs) if a >= 0)
        for pairs in zip(landmarks, confidences)
    )
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "landmarks"))
            writer.writerows(zip(ids, texts))


def _check_pairs(
    ids: Sequence[str], landmark_id: np.ndarray, confidence: np.ndarray
) -> None:
    shape = landmark_id.shape
    if len(shape) != 2 or len(ids) != shape[0] or confidence.shape != shape:
        raise ValueError(
            "expected N ids and two arrays [N, k]. "
            f"Received: {len(ids)} ids, {shape}, {confidence.shape}"
        )
    if landmark_id.dtype.kind not in "iu":
        raise ValueError(f"expected int. Received: {landmark_id.dtype}")
    wrong = (landmark_id >= 0) & ~np.isfinite(confidence)
    if wrong.any():
        value = confidence[wrong][0]
        raise ValueError(f"expected finite float32. Received: {value}")
    rising = np.sort(landmark_id, axis=1)
    twice = (rising[:, 1:] == rising[:, :-1]) & (rising[:, 1:] >= 0)
    if twice.any():
        raise ValueError(
            "a row may name a landmark once. Received: one twice for "
            f"{ids[int(np.argmax(twice.any(axis=1)))]!r}"
        )


def read_solution(path: str | os.PathLike) -> pd.DataFrame:
    """Reads the true landmarks of the queries.

    Args:
        path: a CSV file of `id,landmarks`, with or without `Usage`.

    Returns:
        One query a row, in the order of the file: `id` text; `landmarks`, a
        tuple of int, empty where there is none; `usage`, Public, Private or
        Ignored, or "" where the file has no such column. What the file says
        of an ignored query is not read: its landmarks are empty.

    Raises:
        InputError: as `read_submission`; a landmark is not a whole number; a
            Usage is none of the three.
    """
    columns = _read_columns(path)
    usage = columns.get("Usage", [""] * len(columns["id"]))
    truths = []
    for name, text, use in zip(columns["id"], columns["landmarks"], usage):
        try:
            if "Usage" in columns and use not in _USAGES:
                raise ValueError(f"write {', '.join(_USAGES)} as Usage")
            words = text.split() if use != "Ignored" else ()
            truths.append(tuple(_landmark(word) for word in words))
        except ValueError as error:
            _refuse(path, name, error, f"{text},{use}")
    truths = pd.Series(truths, dtype=object)  # tuples stay whole
    table = {"id": columns["id"], "landmarks": truths, "usage": usage}
    return pd.DataFrame(table).astype({"id": str, "usage": str})


def _landmark(word: str) -> int:
    # int() alone takes "1_0" and "+1".
    if not (word.isascii() and word.isdigit() and len(word) <= _DIGITS):
        raise ValueError(f"write landmark {word!r} as a whole number")
    return int(word)


def _confidence(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) <= _FLOAT32_MAX:
        raise ValueError(f"write confidence {word!r} as a finite number")
    return value


def _refuse(
    path: str | os.PathLike, name: str, error: ValueError, text: str
) -> NoReturn:
    raise InputError(
        f"{path}, id {name!r}: {error}. Received: {text[:80]!r}"
    ) from error


def _read_columns(
    path: str | os.PathLike, required: tuple[str, ...] = ("id", "landmarks")
) -> dict[str, list[str]]:
    """The columns of a CSV file as text, nothing guessed; ids are checked."""
    # pandas.read_csv would shift columns where rows are longer than the header
    # and fill up those that are shorter.
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            # One list of texts, which are nothing to the garbage collector.
            fields = _fields(reader, len(header))
    except FileNotFoundError as error:
        raise InputError(
            f"no such CSV file; give the path of one. Received: {path}"
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"a folder is no CSV file; give the path of one. Received: {path}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text; save it as UTF-8. "
            f"Received: byte 0x{error.object[error.start]:02x}"
        ) from error
    except csv.Error as error:
        raise InputError(
            f"{path} is no CSV file with as many fields in each line as in the "
            f"first; mend line {reader.line_num}. Received: {error}"
        ) from error
    if absent := [name for name in required if name not in header]:
        raise InputError(
            f"{path} needs the columns {','.join(required)} in its first line; "
            f"add {','.join(absent)}. Received: {','.join(header)[:80]!r}"
        )
    columns = {x: fields[i :: len(header)] for i, x in enumerate(header)}
    _check_ids(path, columns["id"])
    return columns


def _fields(reader: Any, count: int) -> list[str]:
    fields: list[str] = []
    for row in reader:
        if len(row) == count:
            fields += row
        elif row:
            raise csv.Error(f"{len(row)} of {count} fields")
    return fields


def _check_ids(path: str | os.PathLike, ids: Sequence[str]) -> None:
    seen = set(ids)
    if len(seen) == len(ids) and "" not in seen:
        return
    seen.clear()
    for name in ids:
        if not name or name in seen:
            what = "twice; keep one of its rows" if name else "without letters"
            raise InputError(f"{path} has an id {what}. Received: {name!r}")
        seen.add(name)
