"""How well queries match training pictures of the landmarks named for them.

The costly part of verification: for each prediction the inlier counts of the
query against up to `images_per_class` training pictures. What is decided from
them (`verification`) can be decided again in no time.
"""

import csv
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import threadpoolctl

from landmark_tf import InputError
from landmark_tf.features import matching, store
from landmark_tf.features.local import LocalFeatures
from landmark_tf.features.settings import Matching
from landmark_tf.files import shards, workspace

MARKER = "verify.json"  # written last: a folder with it is complete
COLUMNS = ("id", "landmark_id", "inliers", "note")
_PER_TASK = 64  # predictions; classes are not cut


class Query(NamedTuple):
    """A prediction to look at: the query and the landmark named for it."""

    id: str
    landmark_id: int


class Evidence(NamedTuple):
    """What was found for a prediction.

    Attributes:
        inliers: for each training picture, in the order of its hash; empty
            where nothing could be compared.
        note: why it could not; else empty.
    """

    inliers: tuple[int, ...]
    note: str


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the features are and how they are compared.

    Attributes:
        features: folder with the features of the training pictures.
        query_features: folder with those of the queries.
        matching: how they are compared.
        max_distance: what suits the extractor; see `matching.match`.
        images_per_class: training pictures that a query is compared with.
    """

    features: str
    query_features: str
    matching: Matching
    max_distance: float
    images_per_class: int


def plan(
    queries: Sequence[Query], training: Mapping[int, Sequence[str]]
) -> list[shards.Task]:
    """Cuts the work into tasks of whole landmarks.

    Args:
        queries: the predictions.
        training: ids of the training pictures by landmark, in their order.

    Returns:
        Tasks whose items are (query, training pictures of its landmark); each
        landmark's items stand together, so that its features are read once.
    """
    by_landmark = sorted(queries, key=lambda q: (q.landmark_id, q.id))
    chunks, chunk = [], []
    for landmark, group in itertools.groupby(
        by_landmark, key=lambda q: q.landmark_id
    ):
        ids = tuple(training.get(landmark, ()))
        chunk += [(query, ids) for query in group]
        if len(chunk) >= _PER_TASK:
            chunks.append(chunk)
            chunk = []
    chunks += [chunk] if chunk else []
    return [
        shards.Task(f"evidence-{i:05d}-of-{len(chunks):05d}.csv", items)
        for i, items in enumerate(chunks)
    ]


def gather(
    out: Path,
    tasks: Sequence[shards.Task],
    settings: Mapping[str, Any],
    sources: Sources,
    workers: int = 0,
) -> None:
    """Makes the files of evidence that are missing.

    Args:
        out: the folder; `workspace.is_finished` must have said False.
        tasks: of `plan`.
        settings: what verify.json records.
        sources: the features.
        workers: see `shards.make`.
    """
    maker = functools.partial(write, sources=sources)
    with workspace.hold(out, MARKER, settings) as work:
        shards.make(work, tasks, maker, workers=workers, unit="queries")
        damaged = sorted(
            line
            for report in shards.reports(work, tasks)
            for line in report["damaged"]
        )
        content = {"settings": settings, "damaged": damaged}
        text = json.dumps(content, indent=1) + "\n"
        workspace.write_text(work, work / MARKER, text)


def write(
    items: Sequence[tuple[Query, Sequence[str]]],
    path: str,
    tick: Callable[[], None],
    *,
    sources: Sources,
) -> dict:
    """Compares the queries of some landmarks; the `Maker` of `files.shards`.

    Args:
        items: of one of the tasks of `plan`.
        path: the CSV to write, of `COLUMNS`.
        tick: called after each query.
        sources: the features.

    Returns:
        `damaged`: [id, reason] of pictures whose features cannot be read.
    """
    damaged: dict[str, str] = {}
    cv2.setNumThreads(1)
    with (
        # The processes are the parallelism; products are too small for threads.
        threadpoolctl.threadpool_limits(1),
        store.Reader(sources.features) as training,
        store.Reader(sources.query_features) as asked,
        open(path, "w", encoding="utf-8", newline="") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for landmark, group in itertools.groupby(
            items, key=lambda item: item[0].landmark_id
        ):
            group = list(group)
            # One more than asked for: a query may be among them.
            most = sources.images_per_class + 1
            known = _read_some(training, group[0][1], most, damaged)
            for query, _ in group:
                found = _compare(query.id, known, asked, sources, damaged)
                counts = " ".join(map(str, found.inliers))
                lines.writerow((query.id, landmark, counts, found.note))
                tick()
    return {"damaged": sorted(damaged.items())}


def _read_some(
    reader: store.Reader,
    ids: Sequence[str],
    most: int,
    damaged: dict[str, str],
) -> dict[str, LocalFeatures]:
    """The features of the first pictures that have some."""
    found: dict[str, LocalFeatures] = {}
    for image_id in ids:
        if len(found) == most:
            break
        features = _read(reader, image_id, damaged)
        if features is not None:
            found[image_id] = features
    return found


def _read(
    reader: store.Reader, image_id: str, damaged: dict[str, str]
) -> LocalFeatures | None:
    if image_id not in reader:
        return None
    try:
        features = reader.read(image_id)
    except store.FeatureError as error:
        damaged[image_id] = str(error)
        return None
    return features if len(features) else None


def _compare(
    query_id: str,
    known: Mapping[str, LocalFeatures],
    asked: store.Reader,
    sources: Sources,
    damaged: dict[str, str],
) -> Evidence:
    query = _read(asked, query_id, damaged)
    if query is None:
        return Evidence((), "the query has no features")
    others = [x for image_id, x in known.items() if image_id != query_id]
    if not others:
        return Evidence((), "the class has no features")
    inliers = tuple(
        matching.match(
            query, other, sources.matching, sources.max_distance
        ).inliers
        for other in others[: sources.images_per_class]
    )
    return Evidence(inliers, "")


def read(paths: Sequence[Path]) -> dict[Query, Evidence]:
    """Reads what `write` wrote.

    Raises:
        InputError: a file is missing or damaged.
    """
    found = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, strict=True):
                    query = Query(row["id"], int(row["landmark_id"]))
                    inliers = tuple(map(int, row["inliers"].split()))
                    found[query] = Evidence(inliers, row["note"])
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"{path} cannot be read ({error!r:.200}); delete its folder "
                f"and verify again. Received: {path}"
            ) from error
    return found
