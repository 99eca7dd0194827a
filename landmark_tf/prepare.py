r"""Photographs and a CSV of labels become a dataset to train on.

    python -m landmark_tf.prepare --train_csv=train.csv --image_root=train \
        --out=tfrecords/mine

The CSV has the columns `id` and `landmark_id`; the photograph of an id is
ROOT/a/b/c/abc….jpg or ROOT/abc….jpg. Whatever cannot be used is listed in
OUT/rejected.csv with the reason. A run that was stopped goes on when the same
command is given again.
"""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.data.catalog import Catalog
    from landmark_tf.data.plan import Plan, Summary

_SAMPLE = 64  # pictures that are encoded for a dry run
_LOOKED_FOR = 1000  # pictures that may be missing before it looks like an error
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


def run(settings: Config) -> "Summary":
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
    from landmark_tf.data import class_plot, tfrecords, writing
    from landmark_tf.data.plan import plan_shards
    from landmark_tf.files import workspace

    name = tfrecords.dataset_name(settings.out)
    given = _recorded(settings, name)
    finished = workspace.is_finished(settings.out, tfrecords.SETTINGS, given)
    if finished and not (settings.dry_run or settings.class_plot):
        return _finished(settings)
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
    if finished and not settings.dry_run:
        return _finished(settings)
    _look_for_images(settings, catalog)
    plan = plan_shards(catalog, name, settings.shards)
    if settings.dry_run:
        return _dry_run(settings, catalog, plan)
    summary = writing.write(
        settings.out,
        catalog,
        plan,
        given,
        image_root=settings.image_root,
        stored_size=settings.stored_size,
        square=settings.square,
        workers=settings.workers,
        beam=settings.beam,
    )
    print(f"wrote {settings.out}\n{summary}")
    return summary


def _recorded(settings: Config, name: str) -> dict[str, object]:
    """The settings that decide the output's bytes, for prepare.json."""
    from landmark_tf.files import workspace

    given = {"name": name, **dataclasses.asdict(settings)}
    given = {key: value for key, value in given.items() if key not in _HOW}
    for source in _SOURCES:
        if path := given[source]:
            given[f"{source}_sha256"] = workspace.fingerprint(path)
    return given


def _finished(settings: Config) -> "Summary":
    """Says that nothing is left to do."""
    from landmark_tf.data import plan, tfrecords

    content = Path(settings.out, tfrecords.SETTINGS).read_text("utf-8")
    summary = plan.Summary(**json.loads(content)["summary"])
    print(f"{settings.out} was written before; nothing to do\n{summary}")
    return summary


def _look_for_images(settings: Config, catalog: "Catalog") -> None:
    """Notices a wrong --image_root before every picture is rejected."""
    from landmark_tf.files import images

    for image_id in catalog.table.id[:_LOOKED_FOR]:
        try:
            images.find_image(settings.image_root, image_id)
            return
        except images.ImageError:
            last = image_id
    raise InputError(
        f"no picture is there: looked for a/b/c/abc….jpg and abc….jpg of "
        f"{min(_LOOKED_FOR, len(catalog.table))} ids, such as {last}. "
        f"Received: --image_root={settings.image_root}"
    )


def _dry_run(settings: Config, catalog: "Catalog", plan: "Plan") -> "Summary":
    """Prints the plan and the size that it would have."""
    from landmark_tf.data.plan import projected_bytes, summarize
    from landmark_tf.files import images

    sizes = []
    for image_id in catalog.table.nsmallest(_SAMPLE, "place").id:
        try:
            path = images.find_image(settings.image_root, image_id)
            jpeg = images.stored_jpeg(
                path, settings.stored_size, settings.square
            )
            sizes.append(len(jpeg))
        except images.ImageError:
            sizes.append(0)
    summary = dataclasses.replace(
        summarize(catalog, plan),
        bytes=projected_bytes(catalog, sizes),
    )
    print(f"would write {settings.out}\n{summary}")
    print(
        f"the size is projected from {len(sizes)} pictures, "
        f"{sizes.count(0)} of them unreadable"
    )
    return summary


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
        if not 0 <= getattr(settings, name) < 2**63:
            refuse(name, "0 or more, below 2^63")
    if not settings.out or "://" in settings.out:
        refuse("out", "a folder of this machine (mount a bucket first)")
    if not os.path.isdir(settings.image_root):
        refuse("image_root", "a folder that exists")
    plot = settings.class_plot
    if plot and not (
        plot.endswith(".png") and os.path.isdir(os.path.dirname(plot) or ".")
    ):
        refuse("class_plot", "a name ending in .png in a folder that exists")


if __name__ == "__main__":
    command.main(run, Config)
