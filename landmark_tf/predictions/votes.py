"""What several models say of the same queries, read from their submissions."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from landmark_tf import InputError
from landmark_tf.predictions import queries, submission


@dataclasses.dataclass(frozen=True)
class Votes:
    """What M models say of the same N queries.

    Attributes:
        ids: N ids, in the order of the base's file.
        landmark_id: int64 [M, N, K], the models' landmarks by falling
            confidence; -1: none.
        confidence: float64 [M, N, K], 0 or more, finite; 0 where none.
    """

    ids: tuple[str, ...]
    landmark_id: np.ndarray
    confidence: np.ndarray

    def is_of_lists(self) -> bool:
        """Whether a model names several landmarks for a query."""
        return self.confidence.shape[2] > 1

    def of(self, queries: np.ndarray) -> "Votes":
        """Some of the queries, int [n]."""
        return Votes(
            tuple(self.ids[i] for i in queries),
            self.landmark_id[:, queries],
            self.confidence[:, queries],
        )

    def from_base(self, base: int) -> "Votes":
        """The same with another model in front, the others in their order."""
        order = [base, *(m for m in range(len(self.confidence)) if m != base)]
        return Votes(self.ids, self.landmark_id[order], self.confidence[order])


def read_votes(paths: Sequence[str | os.PathLike]) -> Votes:
    """Reads submissions for the same queries.

    Raises:
        InputError: none is given; a file that cannot be read; an id of the base
            that another lacks, or one that the base lacks; a confidence below
            zero.
    """
    if not paths:
        raise InputError("give the submissions to combine. Received: none")
    files = [submission.read_pairs(path) for path in paths]
    ids = files[0][0]
    for path, (names, _, _, value) in zip(paths, files):
        queries.check_same(names, ids, path, paths[0])
        if (value < 0).any():
            raise InputError(
                f"{path}: confidences to combine must be 0 or more. "
                f"Received: {value[value < 0][0]}"
            )
    most = max(int(np.bincount(x[1]).max(initial=1)) for x in files)
    shape = (len(files), len(ids), most)
    landmark_id = np.full(shape, -1, np.int64)
    confidence = np.zeros(shape)
    places = {name: place for place, name in enumerate(ids)}
    for model, (names, row, landmark, value) in enumerate(files):
        if names != ids:
            row = np.array([places[name] for name in names], np.int64)[row]
        # The pairs of a row need not fall in the file.
        order = np.lexsort((-value, row))
        row = row[order]
        column = np.arange(len(row)) - np.searchsorted(row, row)
        landmark_id[model, row, column] = landmark[order]
        confidence[model, row, column] = value[order]
    return Votes(tuple(ids), landmark_id, confidence)
