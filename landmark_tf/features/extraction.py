"""Pictures' files become shards of local features: the work of `extract`.

What a shard holds depends on its pictures alone, so any number of workers,
interrupted or not, writes the same bytes.
"""

import csv
import functools
import io
import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from landmark_tf.features import extractors, store
from landmark_tf.features.local import LocalFeatures
from landmark_tf.features.settings import Extraction
from landmark_tf.files import images, records, shards, workspace

_BATCH = 16  # pictures of one size that an extractor gets at once
_WINDOW = 64  # pictures in memory, among which those of one size are found

Loaded = tuple[str, np.ndarray | None, str]  # id, picture or None, and why not


def load(
    root: str, image_id: str, max_side: int = 0, square: int = 0
) -> np.ndarray:
    """Reads a picture in the size that features are taken at.

    Args:
        root: the folder of the photographs.
        image_id: the picture.
        max_side: pixels that the longer side is shrunk to; 0: as it is.
        square: pixels of the square that it is squashed to; 0: it is not.

    Returns:
        uint8 [H, W, 3], upright RGB.

    Raises:
        images.ImageError: there is no usable picture.
    """
    picture = images.open_rgb(images.find_image(root, image_id))
    return resized(picture, max_side, square)


def resized(picture: Image.Image, max_side: int, square: int) -> np.ndarray:
    """See `load`."""
    if square:
        size = (square, square)
    else:
        scale = min(1, (max_side or np.inf) / max(picture.size))
        size = tuple(max(1, round(side * scale)) for side in picture.size)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(picture)


def write_shard(
    ids: Sequence[str],
    path: str,
    tick: Callable[[], None],
    *,
    settings: Extraction,
    image_root: str,
) -> dict:
    """Takes the features of pictures; the `Maker` of `files.shards`.

    Args:
        ids: the pictures, in the order on disk.
        path: the file to write.
        tick: called for each picture.
        settings: what decides the features.
        image_root: the folder of the photographs.

    Returns:
        `records`: [id, offset, count] of each picture; `bytes` of the file;
        `rejected`: [id, reason].

    Raises:
        OSError: the disk is full or fails.
    """
    extractor = _extractor(settings)
    places, rejected, offset = [], [], 0
    loaded = (_try_load(i, image_root, settings) for i in ids)
    with records.writing(path) as writer:
        while window := list(itertools.islice(loaded, _WINDOW)):
            found = _extract(window, extractor)
            for row, (image_id, _, reason) in enumerate(window):
                tick()
                if reason:
                    rejected.append([image_id, reason])
                    continue
                record = store.serialize(image_id, found[row])
                writer.write(record)
                places.append([image_id, offset, len(found[row])])
                offset += len(record) + records.FRAMING
    return {"records": places, "bytes": offset, "rejected": rejected}


@functools.lru_cache(maxsize=1)
def _extractor(settings: Extraction) -> extractors.Extractor:
    """One for a process: making it can take seconds."""
    if multiprocessing.parent_process() is not None:
        cv2.setNumThreads(1)  # the processes are the parallelism
    return extractors.create(settings)


def _try_load(image_id: str, root: str, settings: Extraction) -> Loaded:
    try:
        picture = load(root, image_id, settings.max_side, settings.square)
    except images.ImageError as error:
        return image_id, None, str(error)
    return image_id, picture, ""


def _extract(
    window: Sequence[Loaded], extractor: extractors.Extractor
) -> dict[int, LocalFeatures]:
    """Features by place in the window; pictures of one size go together."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for place, (_, picture, _) in enumerate(window):
        if picture is not None:
            sizes.setdefault(picture.shape, []).append(place)
    found = {}
    for places in sizes.values():
        for batch in _batches(places):
            features = extractor([window[place][1] for place in batch])
            found.update(zip(batch, features))
    return found


def _batches(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(places), _BATCH):
        yield places[first : first + _BATCH]


def write(
    out: str,
    tasks: Sequence[shards.Task],
    settings: Mapping[str, Any],
    maker: shards.Maker,
    dimension: int,
    *,
    workers: int = 0,
    beam: str = "",
) -> dict[str, int]:
    """Makes the shards that are missing, then the index beside them.

    Args:
        out: the folder; `workspace.is_finished` must have said False.
        tasks: the plan.
        settings: what extract.json records.
        maker: `write_shard` with its settings.
        dimension: D, the numbers of a descriptor.
        workers: see `shards.make`.
        beam: see `shards.make`.

    Returns:
        The numbers of `pictures`, `features`, `rejected` and `bytes`.

    Raises:
        InputError: see `workspace.hold` and `shards.make`.
        OSError: the disk is full or fails.
    """
    with workspace.hold(out, store.SETTINGS, settings) as work:
        shards.make(work, tasks, maker, workers=workers, beam=beam)
        index, rejected, size = [], [], 0
        for task, report in zip(tasks, shards.reports(work, tasks)):
            index += [[i, task.file, *rest] for i, *rest in report["records"]]
            rejected += report["rejected"]
            size += report["bytes"]
        _write_csv(work, store.INDEX, store.COLUMNS, index)
        _write_csv(work, "rejected.csv", ("id", "reason"), rejected)
        summary = {
            "pictures": len(index),
            "features": sum(row[-1] for row in index),
            "rejected": len(rejected),
            "bytes": size,
        }
        content = {
            "settings": settings,
            "dimension": dimension,
            "summary": summary,
        }
        text = json.dumps(content, indent=1) + "\n"
        workspace.write_text(work, work / store.SETTINGS, text)
    return summary


def _write_csv(
    work: Path, name: str, header: Sequence[str], rows: Sequence[Sequence]
) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(header)
    lines.writerows(rows)
    workspace.write_text(work, work / name, text.getvalue())
