"""Global Average Precision (GAP, micro-AP), the competition's metric.

The predictions of all queries stand in one list, by falling confidence; equal
confidences by rising id, then by rising landmark. With M queries that show a
landmark, and the precision P(i) among the first i predictions,

    GAP = 1/M * sum over i of P(i) * correct(i)

A query without a prediction is not in the list. A query with several true
landmarks counts once in M, so that several correct predictions for one query
can lift GAP above 1; the competition asked for one prediction.

Sources: Perronnin, Liu & Renders, "A family of contextual measures of
similarity between distributions with application to image retrieval", CVPR
2009; https://www.kaggle.com/c/landmark-recognition-2019 (Evaluation); the
order of ties is that of the dataset's own scoring code (tensorflow/models,
delf, google_landmarks_dataset/metrics.py).
"""

import numpy as np

_MOST = 2**31  # a place in the order of ties has 31 bits of the sort key


def global_average_precision(
    confidence: np.ndarray,
    correct: np.ndarray,
    query: np.ndarray,
    queries_with_landmark: int,
    landmark: np.ndarray | None = None,
) -> float:
    """Scores all predictions of a split together, in any order.

    Args:
        confidence: float [N], finite, any sign, compared as float32.
        correct: bool [N], whether the landmark is one of the query's own.
        query: int [N], the place of the query's id among the sorted ids of
            the split, from 0, below 2**31.
        queries_with_landmark: M, 0 or more, the queries with a prediction and
            those without.
        landmark: int [N], the predicted landmark; needed where a query makes
            several predictions, else without effect, and slower.

    Returns:
        GAP, 0.0 or more. Where no query shows a landmark GAP has no meaning,
        and 0.0 is returned so that a history stays free of NaN.

    Raises:
        ValueError: a NaN or infinite confidence; lengths that differ; more
            than 2**31 predictions; a prediction given twice; a `query` out of
            its range; more correct queries than `queries_with_landmark`.
    """
    confidence, correct, query = map(np.asarray, (confidence, correct, query))
    if landmark is not None:
        landmark = np.asarray(landmark)
    _check(confidence, correct, query, queries_with_landmark, landmark)
    key = _falling(confidence)
    key <<= np.uint64(32)
    key |= _place_by_id(query, landmark) << np.uint64(1)
    key |= correct.astype(bool)
    key.sort()  # nothing travels along: all that counts is in the key
    rank = np.flatnonzero((key & np.uint64(1)).astype(bool)) + 1
    hits = np.arange(1, len(rank) + 1)
    return float(np.sum(hits / rank)) / max(queries_with_landmark, 1)


def _check(
    confidence: np.ndarray,
    correct: np.ndarray,
    query: np.ndarray,
    queries_with_landmark: int,
    landmark: np.ndarray | None,
) -> None:
    columns = (confidence, correct, query, landmark)
    shapes = [column.shape for column in columns if column is not None]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1:
        raise ValueError(
            "confidence, correct, query and landmark must have one dimension "
            f"and one length. Received: shapes {shapes}"
        )
    if len(query) > _MOST:
        raise ValueError(
            f"at most 2**31 predictions can be ranked. Received: {len(query)}"
        )
    if query.size and (
        query.dtype.kind not in "iu" or query.min() < 0 or query.max() >= _MOST
    ):
        raise ValueError(
            "query must be integers from 0 to 2**31 - 1. "
            f"Received: {query.dtype}, from {query.min()} to {query.max()}"
        )
    least = int(np.count_nonzero(correct))
    if landmark is not None:  # they may all be of one query
        least = min(least, 1)
    if queries_with_landmark < least:
        raise ValueError(
            f"at least {least} queries must have a landmark: so many are "
            f"correct. Received: queries_with_landmark={queries_with_landmark}"
        )


def _falling(confidence: np.ndarray) -> np.ndarray:
    """Integers, uint64 below 2**32, that rise where the confidence falls."""
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        confidence = confidence.astype(np.float32)
    finite = np.isfinite(confidence)
    if not finite.all():
        place = int(np.argmin(finite))
        raise ValueError(
            "confidences must be finite as float32. "
            f"Received: {confidence[place]} in place {place}"
        )
    confidence += np.float32(0)  # -0.0 becomes 0.0
    # As integers the bits of negative floats rise where these fall, and stand
    # above all others; the others rise with the float and are turned round.
    bits = confidence.view(np.uint32)
    turned = bits ^ np.uint32(2**31 - 1)
    return np.where(bits < 2**31, turned, bits).astype(np.uint64)


def _place_by_id(query: np.ndarray, landmark: np.ndarray | None) -> np.ndarray:
    """Integers, uint64 [N] below 2**31, all different, that order ties."""
    if landmark is None:
        # Ranks of ids are already such places, which saves sorting them.
        place = query.astype(np.uint64)
        seen = np.zeros(int(query.max(initial=-1)) + 1, bool)
        seen[place] = True
        twice = len(query) - np.count_nonzero(seen)
    else:
        order = np.lexsort((landmark, query))
        place = np.empty(len(query), np.uint64)
        place[order] = np.arange(len(query), dtype=np.uint64)
        query, landmark = query[order], landmark[order]
        same = (query[1:] == query[:-1]) & (landmark[1:] == landmark[:-1])
        twice = np.count_nonzero(same)
    if twice:
        raise ValueError(
            "give each prediction once, and landmark where a query makes "
            f"several. Received: {twice} predictions too many"
        )
    return place
