"""Which picture goes into which shard, and the counts that people read."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landmark_tf.data import tfrecords
from landmark_tf.data.catalog import SPLITS, Catalog
from landmark_tf.files import records, shards

_IMAGES_PER_SHARD = 8192  # about 200 MB at 256 pixels


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


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which picture goes into which file.

    Attributes:
        name: the dataset's name.
        tasks: for each split that has pictures, its shards in order.
    """

    name: str
    tasks: dict[str, list[shards.Task]]

    def all_tasks(self) -> list[shards.Task]:
        """The shards of all splits."""
        return [task for tasks in self.tasks.values() for task in tasks]


def plan_shards(catalog: Catalog, name: str, train_shards: int = 0) -> Plan:
    """Cuts the splits into shards by the hash of the ids.

    Args:
        catalog: the pictures.
        name: the dataset's name, as from `tfrecords.dataset_name`.
        train_shards: files of the training split, the other splits having as
            many images to a file; 0: of about 8,192 images, but up to 8 of at
            least 64, so that they can be read in parallel.
    """
    sizes = np.bincount(catalog.table.split, minlength=len(SPLITS))
    train = int(sizes[0])
    automatic = max(-(-train // _IMAGES_PER_SHARD), min(8, -(-train // 64)))
    count = train_shards or automatic
    tasks = {}
    for index, split in enumerate(SPLITS):
        rows = catalog.table[catalog.table.split == index]
        if rows.empty:
            continue
        files = max(1, -(-len(rows) * count // train)) if index else count
        # The upper 32 bits of the hash, scaled to the number of files.
        shard = (rows.place.to_numpy() >> np.uint64(32)) * np.uint64(files)
        edges = np.searchsorted(shard >> np.uint64(32), np.arange(files + 1))
        items = rows[["id", "label", "landmark_id"]]
        tasks[split] = [
            shards.Task(
                tfrecords.shard_name(name, split, i, files),
                items[edges[i] : edges[i + 1]],
            )
            for i in range(files)
        ]
    return Plan(name, tasks)


def summarize(
    catalog: Catalog,
    plan: Plan,
    reports: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Summary:
    """Counts what a plan will store, or what was stored.

    Args:
        catalog: the pictures.
        plan: how they are cut into files.
        reports: for each split those of its shards; None: nothing is made yet
            (`bytes` is 0 then).
    """
    why = Counter(r.split(": ")[0] for r in catalog.rejected.reason)
    images = {s: sum(len(t.items) for t in ts) for s, ts in plan.tasks.items()}
    files = {split: len(tasks) for split, tasks in plan.tasks.items()}
    size = 0
    if reports is not None:
        images = {s: sum(r["records"] for r in rs) for s, rs in reports.items()}
        files = {split: len(reports[split]) for split in reports}
        for report in (r for rs in reports.values() for r in rs):
            size += report["bytes"] + records.FRAMING * report["records"]
            why.update(reason for _, _, reason in report["rejected"])
    return Summary(
        rows=catalog.rows,
        stored=sum(images.values()),
        rejected=dict(sorted(why.items(), key=lambda x: (-x[1], x[0]))),
        left_out=catalog.left_out,
        classes=len(catalog.classes),
        images=images,
        shards=files,
        bytes=size,
    )


def projected_bytes(
    catalog: Catalog, sizes: Sequence[int], overhead: int = 90
) -> int:
    """The shards' size from the JPEG sizes of a sample (0: unreadable)."""
    records = [size + overhead for size in sizes if size]
    return round(sum(records) / len(sizes) * len(catalog.table))
