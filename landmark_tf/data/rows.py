"""CSV files become rows of ids and labels, each good or with a reason.

Everything is read as text: pandas would turn a column with one missing label
into floats, and the id `0012` into 12.
"""

import re
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from landmark_tf import InputError
from landmark_tf.files import images

NO_LANDMARK = -1  # label and landmark_id of a picture that shows none

_NO_LABEL = ("", "none", "nan")
_WHOLE = re.compile("[0-9]+")
_MAX_LANDMARK_ID = 2**63 - 1


def clean(train_csv: str, no_landmark_csv: str = "") -> pd.DataFrame:
    """Reads the rows of both files and judges each.

    Args:
        train_csv: a CSV with the columns `id` and `landmark_id`.
        no_landmark_csv: a CSV with the column `id`; empty: none.

    Returns:
        `id` (text), `landmark_id` (int64, `NO_LANDMARK` for the second file),
        `reason` (text, empty where the row is good), in the files' order.

    Raises:
        InputError: a file cannot be read or used.
    """
    rows = read_csv(train_csv, ["id", "landmark_id"])
    rows["landmark_id"], label_reason = _parse_labels(rows.landmark_id)
    if no_landmark_csv:
        others = read_csv(no_landmark_csv, ["id"])
        others["landmark_id"] = NO_LANDMARK
        label_reason = np.append(label_reason, [""] * len(others))
        rows = pd.concat([rows, others], ignore_index=True)
    plain = np.fromiter(map(images.is_plain_name, rows.id), bool, len(rows))
    reason = np.where(plain, label_reason, "id is not a plain name")
    reason[(rows.id == "").to_numpy()] = "id missing"
    good = rows[reason == ""]
    codes = pd.factorize(good.id)[0]
    labels = good.landmark_id.groupby(codes)
    differ = labels.transform("min") != labels.transform("max")
    twice = good.index[good.id.duplicated()]
    reason[twice] = "row given twice"
    reason[good.index[differ]] = "id used twice, with different labels"
    return rows.assign(reason=reason)


def categories(path: str) -> dict[int, str]:
    """Names by landmark_id; rows whose landmark_id is no number name nothing.

    Raises:
        InputError: a landmark has two names.
    """
    rows = read_csv(path, ["landmark_id", "category"])
    rows["landmark_id"], reason = _parse_labels(rows.landmark_id)
    rows = rows[reason == ""].drop_duplicates()
    twice = rows.landmark_id[rows.landmark_id.duplicated()]
    if len(twice):
        raise InputError(
            f"landmark {twice.iloc[0]} has two categories; keep one. "
            f"Received: {path}"
        )
    return dict(zip(rows.landmark_id, rows.category))


def read_csv(path: str, columns: Sequence[str]) -> pd.DataFrame:
    """Reads columns of a CSV as text, changing nothing.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: names that must be in the header.

    Returns:
        Those columns, dtype object; a field that is missing is empty.

    Raises:
        InputError: the file is missing, empty, not UTF-8, not a CSV, or lacks
            a column.
    """
    try:
        with warnings.catch_warnings():
            # pandas only warns where a row has more fields than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            found = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                index_col=False,
                encoding="utf-8-sig",
            )
    except OSError as error:
        problem = f"{error.strerror}: give the path of a CSV file"
    except UnicodeDecodeError:
        problem = "not UTF-8: save the CSV as UTF-8"
    except pd.errors.EmptyDataError:
        problem = f"the file is empty: it needs the columns {_list(columns)}"
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        text = " ".join(str(error).split())
        problem = f"not a well-formed CSV ({text.split('error: ')[-1]})"
    else:
        missing = [name for name in columns if name not in found.columns]
        if not missing and len(found):
            return found[list(columns)].astype(object).fillna("")
        problem = (
            f"the header lacks {_list(missing)}" if missing else "no rows"
        ) + f": a CSV with the columns {_list(columns)} is needed"
    raise InputError(f"{problem}. Received: {path}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _parse_labels(texts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and, for each, why it is none (empty: it is one)."""
    codes, unique = pd.factorize(texts)
    parsed = [_parse_label(text) for text in unique]
    values = np.array([value for value, _ in parsed], np.int64)
    reasons = np.array([reason for _, reason in parsed], object)
    return values[codes], reasons[codes]


def _parse_label(text: str) -> tuple[int, str]:
    text = text.strip()
    if text.lower() in _NO_LABEL:
        return 0, "label missing"
    if _WHOLE.fullmatch(text) and len(text) < 100:
        value = int(text)
        if value <= _MAX_LANDMARK_ID:
            return value, ""
        return 0, f"label is larger than 2^63 - 1: {text}"
    return 0, f"label is not a whole number of 0 or more: {text[:40]!r}"
