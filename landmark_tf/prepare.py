"""Photographs and a CSV of labels become a dataset to train on.

    python -m landmark_tf.prepare --train_csv=train.csv --image_root=train \
        --out=tfrecords/mine

The CSV has the columns `id` and `landmark_id`; the photograph of an id is
ROOT/a/b/c/abc….jpg or ROOT/abc….jpg. Whatever cannot be used is listed in
OUT/rejected.csv with the reason. A run that was stopped goes on when the same
command is given again.
"""

import csv
import dataclasses
import functools
import io
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.data.catalog import Catalog
    from landmark_tf.files.shards import Task

_IMAGES_PER_SHARD = 8192  # about 200 MB at 256 pixels
_SAMPLE = 64  # pictures that are encoded for a dry run
_LOOKED_FOR = 1000  # pictures that may be missing before it looks like an error
_RECORD = 90  # bytes of a record besides its picture and its id
_SOURCES = ("train_csv", "no_landmark_csv", "label_to_category")
# What the output does not depend on.
_HOW = ("out", "workers", "beam", "dry_run", "class_plot")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    train_csv: str = config.field(help="CSV with the columns id, landmark_id")
    image_root: str = config.field(help="folder of the photographs")
    out: str = config.field(help="folder to write; its name names the dataset")
    stored_size: int = config.field(
        256, help="pixels, at least 16: the shorter side that is stored"
    )
    square: bool = config.field(
        False, help="squash pictures to squares instead of keeping the aspect"
    )
    min_images: int = config.field(
        50, help="classes with fewer images are left out"
    )
    top_classes: int = config.field(
        0, help="most frequent classes that stay; 0: all"
    )
    split: tuple[float, ...] = config.field(
        (0.90, 0.06, 0.04), help="shares of train, validation, test; sum 1"
    )
    shards: int = config.field(
        0, help="files of the training split; 0: of about 8192 images"
    )
    workers: int = config.field(0, help="processes; 0: one for each core")
    label_to_category: str = config.field(
        "", help="CSV with the columns landmark_id, category: names of classes"
    )
    no_landmark_csv: str = config.field(
        "", help="CSV with the column id: pictures that show no landmark"
    )
    seed: int = config.field(0, help="of splits and order, 0 or more")
    dry_run: bool = config.field(
        False, help="print the plan and the projected size, write nothing"
    )
    class_plot: str = config.field(
        "", help="PNG to draw: classes left against the minimum of images"
    )
    beam: str = config.field(
        "", help="options of an Apache Beam pipeline that does the work"
    )


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was done, or would be.

    Attributes:
        rows: read from the CSV files: stored, rejected or left out.
        stored: pictures in the dataset (planned ones in a dry run).
        rejected: rows that cannot be used, by reason.
        left_out: good rows of classes that were left out.
        classes: landmarks in the dataset.
        images: pictures in each split.
        shards: files of each split.
        bytes: size of the shards (projected in a dry run).
    """

    rows: int
    stored: int
    rejected: dict[str, int]
    left_out: int
    classes: int
    images: dict[str, int]
    shards: dict[str, int]
    bytes: int

    def __str__(self) -> str:
        """A table for people."""
        lines = [
            f"rows read     {self.rows:>12,}",
            f"  rejected    {sum(self.rejected.values()):>12,}",
            *(f"    {n:>10,}  {why}" for why, n in self.rejected.items()),
            f"  left out    {self.left_out:>12,}  (their class was left out)",
            f"  stored      {self.stored:>12,}",
            f"classes       {self.classes:>12,}",
        ]
        for split, count in self.images.items():
            files = f"in {self.shards[split]} files"
            lines.append(f"{split:<14}{count:>12,}  {files}")
        return "\n".join([*lines, f"megabytes     {self.bytes / 1e6:>12,.1f}"])


def run(settings: Config) -> Summary:
    """Writes the dataset.

    Args:
        settings: see `Config`.

    Returns:
        What was done; in a dry run, what would be.

    Raises:
        InputError: a setting or a file cannot be used, or the output folder
            holds something else.
        OSError: the disk is full.
    """
    _check(settings)
    # These import pandas, which --help need not wait for.
    from landmark_tf.data import catalog as catalogs
    from landmark_tf.data import class_plot, tfrecords
    from landmark_tf.files import shards

    given = _settings(settings)
    finished = shards.is_finished(settings.out, tfrecords.SETTINGS, given)
    if finished and not (settings.dry_run or settings.class_plot):
        return _finished(Path(settings.out, tfrecords.SETTINGS))
    catalog = catalogs.build(
        settings.train_csv,
        no_landmark_csv=settings.no_landmark_csv,
        label_to_category=settings.label_to_category,
        min_images=settings.min_images,
        top_classes=settings.top_classes,
        split=settings.split,
        seed=settings.seed,
    )
    if settings.class_plot:
        class_plot.draw(
            catalog.class_sizes, settings.min_images, settings.class_plot
        )
        print(f"drew {settings.class_plot}")
    plan = plan_shards(catalog, settings.out, settings.shards)
    if settings.dry_run:
        return _dry_run(settings, catalog, plan)
    if finished:
        return _finished(Path(settings.out, tfrecords.SETTINGS))
    _look_for_images(settings, catalog)
    return _write(settings, given, catalog, plan)


def _check(settings: Config) -> None:
    """Refuses what can be refused without reading anything."""

    def refuse(name: str, what: str) -> None:
        value = config.to_text(getattr(settings, name))
        raise InputError(f"--{name} must be {what}. Received: --{name}={value}")

    split = settings.split
    if (
        len(split) != 3
        or not all(0 <= share <= 1 for share in split)
        or not math.isclose(sum(split), 1, abs_tol=1e-6)
    ):
        refuse("split", "three shares from 0 to 1 that sum to 1")
    if split[0] == 0:
        refuse("split", "three shares, the first (train) above 0")
    if not 16 <= settings.stored_size <= 65_500:
        refuse("stored_size", "from 16 to 65500 pixels")
    if settings.min_images < 1:
        refuse("min_images", "1 or more")
    if not 0 <= settings.shards <= 99_999:
        refuse("shards", "from 1 to 99999, or 0 for automatic")
    for name in ("top_classes", "workers", "seed"):
        if getattr(settings, name) < 0:
            refuse(name, "0 or more")
    if not settings.out or "://" in settings.out:
        refuse("out", "a folder of this machine (mount a bucket first)")
    if not os.path.isdir(settings.image_root):
        refuse("image_root", "a folder that exists")
    plot = settings.class_plot
    if plot and not (
        plot.endswith(".png") and os.path.isdir(os.path.dirname(plot) or ".")
    ):
        refuse("class_plot", "a name ending in .png in a folder that exists")
