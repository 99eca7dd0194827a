"""A catalog of pictures becomes a dataset on disk.

What it writes does not depend on the number of workers, on interruptions or on
the day.
"""

import csv
import dataclasses
import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmark_tf import InputError
from landmark_tf.data import tfrecords
from landmark_tf.data.catalog import SPLITS, Catalog
from landmark_tf.data.plan import Plan, Summary, summarize
from landmark_tf.files import shards, workspace


def write(
    out: str,
    catalog: Catalog,
    plan: Plan,
    settings: Mapping[str, Any],
    *,
    image_root: str,
    stored_size: int,
    square: bool,
    workers: int = 0,
    beam: str = "",
) -> Summary:
    """Makes the shards that are missing, then everything beside them.

    Args:
        out: the folder; `workspace.is_finished` must have said False.
        catalog: the pictures.
        plan: how they are cut into files.
        settings: what `prepare.json` records.
        image_root: the folder of the photographs.
        stored_size: pixels, see `images.stored_jpeg`.
        square: see `images.stored_jpeg`.
        workers: see `shards.make`.
        beam: see `shards.make`.

    Raises:
        InputError: a class has no readable training picture, or see
            `workspace.hold` and `shards.make`.
        OSError: the disk is full or fails.
    """
    maker = functools.partial(
        tfrecords.write_shard,
        image_root=image_root,
        stored_size=stored_size,
        square=square,
    )
    with workspace.hold(out, tfrecords.SETTINGS, settings) as work:
        shards.make(work, plan.all_tasks(), maker, workers=workers, beam=beam)
        reports = {
            split: list(shards.reports(work, tasks))
            for split, tasks in plan.tasks.items()
        }
        _write_rejected(work, catalog, reports)
        _write_classes(work, catalog, reports)
        _drop_empty_splits(work, plan, reports)
        tfrecords.write_metadata(work, plan.name, reports)
        summary = summarize(catalog, plan, reports)
        content = {
            "settings": settings,
            "summary": dataclasses.asdict(summary),
        }
        text = json.dumps(content, indent=1) + "\n"
        workspace.write_text(work, work / tfrecords.SETTINGS, text)
    return summary


def _write_rejected(out: Path, catalog: Catalog, reports: Mapping) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["id", "reason"])
    for row in catalog.rejected.itertuples():
        lines.writerow([_visible(row.id), row.reason])
    for report in (r for rs in reports.values() for r in rs):
        for image_id, _, reason in report["rejected"]:
            lines.writerow([image_id, reason])
    workspace.write_text(out, out / "rejected.csv", text.getvalue())


def _visible(image_id: str) -> str:
    """An id that can stand in a CSV: escaped where odd, and not endless."""
    if not image_id.isprintable():
        image_id = image_id.encode("unicode_escape").decode()
    return image_id[:200]


def _write_classes(out: Path, catalog: Catalog, reports: Mapping) -> None:
    """Writes classes.csv, with the pictures that were stored.

    Raises:
        InputError: a class has no training picture.
    """
    classes, table = catalog.classes.copy(), catalog.table
    labels = range(len(classes))
    trained = table.label[table.split == 0].value_counts()
    trained = trained.reindex(labels, fill_value=0).to_numpy(copy=True)
    stored = classes.images.to_numpy(copy=True)
    for split, parts in reports.items():
        for _, label, _ in (bad for r in parts for bad in r["rejected"]):
            if label >= 0:
                stored[label] -= 1
                trained[label] -= split == SPLITS[0]
    empty = classes[trained == 0]
    if len(empty):
        first = empty.iloc[0]
        name = first.get("category") or f"landmark {first.landmark_id}"
        more = f" and {len(empty) - 1} more classes" if len(empty) > 1 else ""
        raise InputError(
            f"no training picture of {name}{more} can be read (see "
            f"{out / 'rejected.csv'}); mend its pictures or raise --min_images,"
            f" delete {out} and start again. "
            f"Received: {first.images} images of landmark {first.landmark_id}"
        )
    classes["images"] = stored
    text = classes.to_csv(index=False, lineterminator="\n")
    workspace.write_text(out, out / "classes.csv", text)


def _drop_empty_splits(out: Path, plan: Plan, reports: dict) -> None:
    """Forgets splits of which no picture can be read; TFDS refuses them."""
    for split in list(reports):
        if not any(report["records"] for report in reports[split]):
            del reports[split]
            for task in plan.tasks[split]:
                (out / task.file).unlink()
