r"""Takes the local features of photographs, to verify predictions with.

    python -m landmark_tf.extract --csv=train.csv,no_landmark.csv \
        --image_root=train --out=features/train

The CSVs' column `id` names the photographs ROOT/a/b/c/abc....jpg (or
ROOT/abc....jpg). Pictures that cannot be used are listed in OUT/rejected.csv
with the reason. A run that was stopped goes on when the same command is given
again. --square=96 is the fast setting of the report: pictures squashed to 96 by
96 pixels.
"""

import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config
from landmark_tf.features import settings as features

if TYPE_CHECKING:
    import pandas as pd

    from landmark_tf.files import shards

_PER_SHARD = 1024  # pictures, about 100 MB at 1,000 features
# What the output does not depend on.
_HOW = ("out", "workers", "beam", "image_root")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(features.Extraction):
    """Settings of an extraction."""

    csv: tuple[str, ...] = config.field(
        help="CSV files whose column id names photographs"
    )
    image_root: str = config.field(help="folder of the photographs")
    out: str = config.field(help="folder to write")
    images_per_class: int = config.field(
        0,
        help="pictures of each landmark_id of the CSVs, the first that verify "
        "would take; 0: all, and the CSVs need no such column",
    )
    workers: int = config.field(
        0, help="processes; 0: for sift one for each core, for delf one"
    )
    beam: str = config.field(
        "", help="options of an Apache Beam pipeline that does the work"
    )


def run(settings: Config) -> dict[str, int]:
    """Writes the features.

    Returns:
        The numbers of `pictures`, `features`, `rejected` and `bytes`.

    Raises:
        InputError: a setting or a file cannot be used, or the output folder
            holds something else.
        OSError: the disk is full.
    """
    _check(settings)
    from landmark_tf.features import delf, extraction, extractors, store
    from landmark_tf.files import workspace

    kind = features.part(settings, features.Extraction)
    given = dataclasses.asdict(settings)
    given = {key: value for key, value in given.items() if key not in _HOW}
    given["csv_sha256"] = [workspace.fingerprint(x) for x in settings.csv]
    given["module_sha256"] = delf.fingerprint(settings.extractor)
    if workspace.is_finished(settings.out, store.SETTINGS, given):
        content = Path(settings.out, store.SETTINGS).read_text("utf-8")
        print(f"{settings.out} was written before; nothing to do")
        return json.loads(content)["summary"]
    ids = _ids(settings)
    extractor = extractors.create(kind)
    dimension = extractor.dimension
    size = len(ids) * store.bytes_of(kind.max_features, dimension)
    print(
        f"{len(ids):,} pictures, up to {size / 1e6:,.1f} MB of features "
        f"(at most {kind.max_features:,} x {dimension} a picture)"
    )
    maker = functools.partial(
        extraction.write_shard,
        settings=kind,
        image_root=settings.image_root,
    )
    summary = extraction.write(
        settings.out,
        _plan(ids),
        given,
        maker,
        dimension,
        workers=settings.workers or extractor.processes,
        beam=settings.beam,
    )
    _tell(settings, summary)
    return summary


def _ids(settings: Config) -> "pd.Series":
    """The different ids of CSVs that can be names of files."""
    import pandas as pd

    from landmark_tf.data import catalog, rows
    from landmark_tf.files import images

    most = settings.images_per_class
    columns = ["id", "landmark_id"] if most else ["id"]
    table = pd.concat([rows.read_csv(path, columns) for path in settings.csv])
    table = table.drop_duplicates("id")
    table = table[table["id"].map(images.is_plain_name)]
    if table.empty:
        raise InputError(
            "no id can be the name of a photograph; give a CSV with the column "
            f"id. Received: --csv={','.join(settings.csv)}"
        )
    if most:
        _, table["place"] = catalog.hashes(table["id"], seed=0)
        table = table.sort_values("place", kind="stable")
        table = table[table.groupby("landmark_id").cumcount() < most]
    return table["id"]


def _plan(ids: "pd.Series") -> "list[shards.Task]":
    """Shards by the hash of the ids, which is also the order in them."""
    import numpy as np

    from landmark_tf.data import catalog
    from landmark_tf.files import shards

    _, place = catalog.hashes(ids, seed=0)
    order = np.argsort(place, kind="stable")
    ids, place = ids.to_numpy()[order], place[order]
    # Few pictures too are cut into files, so that several workers have some.
    files = max(-(-len(ids) // _PER_SHARD), min(8, -(-len(ids) // 64)))
    shard = (place >> np.uint64(32)) * np.uint64(files) >> np.uint64(32)
    edges = np.searchsorted(shard, np.arange(files + 1))
    return [
        shards.Task(
            f"features.tfrecord-{i:05d}-of-{files:05d}",
            ids[edges[i] : edges[i + 1]].tolist(),
        )
        for i in range(files)
    ]


def _tell(settings: Config, summary: dict[str, int]) -> None:
    print(
        f"wrote {settings.out}: {summary['features']:,} features of "
        f"{summary['pictures']:,} pictures, {summary['bytes'] / 1e6:,.1f} MB"
    )
    if summary["rejected"]:
        listing = Path(settings.out, "rejected.csv")
        print(f"{summary['rejected']} pictures cannot be used: see {listing}")


def _check(settings: Config) -> None:
    """Refuses what can be refused without reading anything."""

    def refuse(name: str, what: str) -> None:
        value = config.to_text(getattr(settings, name))
        raise InputError(f"--{name} must be {what}. Received: --{name}={value}")

    if not settings.csv:
        refuse("csv", "one CSV file or more, with commas between")
    for name in ("workers", "images_per_class"):
        if getattr(settings, name) < 0:
            refuse(name, "0 or more")
    if not settings.out or "://" in settings.out:
        refuse("out", "a folder of this machine (mount a bucket first)")
    if not os.path.isdir(settings.image_root):
        refuse("image_root", "a folder that exists")


if __name__ == "__main__":
    command.main(run, Config)
