r"""Withdraws predictions whose photographs do not match the landmark's.

    python -m landmark_tf.verify --submission=submission.csv \
        --features=features/train --query_features=features/test \
        --train_csv=train.csv --min_inliers=20 --out=verified/test

Each query is compared with up to --images_per_class training pictures of the
landmark that is predicted for it; a prediction whose statistic is below
--min_inliers is withdrawn. OUT holds submission.csv, decisions.csv
(`id,predicted,confidence,statistic,kept,new_confidence,note`) and the inlier
counts themselves, so that the same command with another --statistic,
--min_inliers or --rescore answers at once.

Rather than guess the threshold, learn it on predictions for the validation
split (`evaluate --predictions`), then use it:

    python -m landmark_tf.verify --calibrate --data=tfrecords/mine \
        --no_landmark_csv=none.csv --submission=validation.csv \
        --features=features/train --query_features=features/train \
        --train_csv=train.csv --out=verified/validation
    python -m landmark_tf.verify --rescore --data=tfrecords/mine \
        --calibration=verified/validation/calibration.json ...

--data names the dataset that `prepare` made of --train_csv: pictures of its
training split alone are compared with.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config
from landmark_tf.features import settings as features

if TYPE_CHECKING:
    import pandas as pd

    from landmark_tf.predictions.evidence import Evidence, Query
    from landmark_tf.predictions.verification import Calibration

_SHOWN = 10  # pictures that are named on the screen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(features.Matching):
    """Settings of a verification."""

    submission: str = config.field(help="CSV of id,landmarks to verify")
    features: str = config.field(help="features of the training pictures")
    query_features: str = config.field(help="features of the queries")
    train_csv: str = config.field(help="CSV with the columns id, landmark_id")
    no_landmark_csv: str = config.field(
        "", help="CSV with the column id, of --data, for --calibrate"
    )
    data: str = config.field(
        "", help="dataset of --train_csv; none: all its pictures are training"
    )
    out: str = config.field(help="folder to write")
    images_per_class: int = config.field(
        20, help="training pictures that a query is compared with, at most"
    )
    statistic: str = config.field(
        "max",
        choices=("max", "top3", "mean"),
        help="of the inlier counts: the largest, the mean of the three largest "
        "or the mean",
    )
    min_inliers: float = config.field(
        -1.0,
        help="statistic from which on a prediction is kept; negative: of "
        "--calibration",
    )
    skip_above: float = config.field(
        1.0, help="predictions more confident than this stay as they are"
    )
    rescore: bool = config.field(
        False,
        help="keep all predictions and fold the evidence into the confidence",
    )
    calibration: str = config.field(
        "", help="calibration.json that --calibrate has written"
    )
    calibrate: bool = config.field(
        False, help="choose the threshold and fit --rescore on --submission"
    )
    workers: int = config.field(0, help="processes; 0: one for each core")


def run(settings: Config) -> "pd.DataFrame":
    """Verifies, and writes the decisions and what they leave.

    Returns:
        The decisions, as decisions.csv has them.

    Raises:
        InputError: a file or a setting cannot be used.
    """
    matching = features.part(settings, features.Matching)
    _check(settings)
    from landmark_tf.data import catalog
    from landmark_tf.predictions import decisions, submission, verification

    calibration = None
    if settings.calibration:
        calibration = verification.Calibration.read(Path(settings.calibration))
        _check_statistic(settings, calibration)
    pairs, ids = submission.read_submission(settings.submission)
    table = catalog.of_dataset(
        settings.data, settings.train_csv, settings.no_landmark_csv
    )
    found = _gather(settings, matching, pairs, table)
    judged = decisions.judge(pairs, found, settings.statistic)
    if settings.calibrate:
        calibration = _calibrate(settings, judged, ids, table)
    if settings.rescore:
        judged = decisions.rescored(judged, calibration)
    else:
        least = settings.min_inliers
        if least < 0:
            least = calibration.min_inliers
        judged = decisions.filtered(judged, least)
    decisions.write(Path(settings.out), judged, ids)
    _tell(settings, judged)
    return judged


def _check(settings: Config) -> None:
    if settings.images_per_class < 1:
        raise InputError(
            "--images_per_class must be 1 or more. "
            f"Received: {settings.images_per_class}"
        )
    if settings.workers < 0:
        raise InputError(
            f"--workers must be 0 or more. Received: {settings.workers}"
        )
    if settings.calibrate and (settings.calibration or not settings.data):
        raise InputError(
            "--calibrate makes a calibration and takes none, and needs --data. "
            f"Received: --calibration={settings.calibration} "
            f"--data={settings.data}"
        )
    learnt = settings.calibrate or settings.calibration
    if settings.rescore and not learnt:
        raise InputError(
            "--rescore needs --calibration, or --calibrate. Received: none"
        )
    if settings.min_inliers < 0 and not learnt:
        raise InputError(
            "give --min_inliers, or --calibration from a run with --calibrate. "
            f"Received: --min_inliers={settings.min_inliers:g}"
        )


def _check_statistic(settings: Config, calibration: "Calibration") -> None:
    if calibration.statistic != settings.statistic:
        raise InputError(
            f"the calibration is for --statistic={calibration.statistic}; give "
            f"that. Received: --statistic={settings.statistic}"
        )


def _gather(
    settings: Config,
    matching: features.Matching,
    pairs: "pd.DataFrame",
    table: "pd.DataFrame",
) -> "Mapping[Query, Evidence]":
    """Compares what has to be compared, or reads what was found before."""
    from landmark_tf.features import extractors, store
    from landmark_tf.files import workspace
    from landmark_tf.predictions import evidence

    readers = [
        store.Reader(path)
        for path in (settings.features, settings.query_features)
    ]
    store.check_alike(readers)
    unsure = pairs[~(pairs["confidence"] > settings.skip_above)]
    queries = [
        evidence.Query(*row)
        for row in zip(unsure["id"], unsure["landmark_id"].tolist())
    ]
    train = table[table["split"] == 0]
    training = train.groupby("landmark_id")["id"].agg(list).to_dict()
    tasks = evidence.plan(queries, training)
    given = {
        "submission_sha256": workspace.fingerprint(settings.submission),
        "train_csv_sha256": workspace.fingerprint(settings.train_csv),
        "data": settings.data,
        "features": [str(x.path) for x in readers],
        "features_sha256": [
            workspace.fingerprint(x.path / store.INDEX) for x in readers
        ],
        "images_per_class": settings.images_per_class,
        "skip_above": settings.skip_above,
        "matching": dataclasses.asdict(matching),
    }
    sources = evidence.Sources(
        features=settings.features,
        query_features=settings.query_features,
        matching=matching,
        max_distance=extractors.max_distance(readers[0].settings["extractor"]),
        images_per_class=settings.images_per_class,
    )
    out = Path(settings.out)
    if not workspace.is_finished(out, evidence.MARKER, given):
        evidence.gather(out, tasks, given, sources, settings.workers)
    return evidence.read([out / task.file for task in tasks])


def _calibrate(
    settings: Config,
    decisions: "pd.DataFrame",
    ids: list[str],
    table: "pd.DataFrame",
) -> "Calibration":
    """Learns from predictions for the validation split, and draws it."""
    import pandas as pd

    from landmark_tf.predictions import calibration_plot, verification

    known = table[table["split"] == 1].set_index("id")["landmark_id"]
    if unknown := [name for name in ids if name not in known.index]:
        raise InputError(
            "--calibrate learns from pictures of the validation split of "
            "--data alone (with --no_landmark_csv if it has such pictures); "
            "remove the other rows. "
            f"Received: {unknown[0]!r} and {len(unknown) - 1} others"
        )
    truth = known[ids]
    order = pd.Index(sorted(ids))
    correct = known[decisions["id"]].to_numpy() == decisions["predicted"]
    found = verification.calibrate(
        decisions["confidence"].to_numpy(),
        decisions["statistic"].to_numpy(),
        correct.to_numpy(),
        order.get_indexer(decisions["id"]),
        decisions["predicted"].to_numpy(),
        int((truth >= 0).sum()),
        settings.statistic,
    )
    out = Path(settings.out)
    found.write(out / "calibration.json")
    calibration_plot.draw(
        decisions["statistic"].to_numpy(),
        correct.to_numpy(),
        found.min_inliers,
        settings.statistic,
        out / "calibration.png",
    )
    print(
        f"{len(truth)} pictures, {int((truth >= 0).sum())} of a landmark: GAP "
        f"{found.gap_before:.4f}; {found.gap_filtered:.4f} with --min_inliers="
        f"{found.min_inliers:g}; {found.gap_rescored:.4f} with --rescore"
    )
    return found


def _tell(settings: Config, decisions: "pd.DataFrame") -> None:
    from landmark_tf.predictions import evidence

    out = Path(settings.out)
    withdrawn = int((~decisions["kept"]).sum())
    seen = int(decisions["statistic"].notna().sum())
    print(
        f"{out / 'submission.csv'}: {len(decisions)} predictions, {seen} "
        f"verified, {withdrawn} withdrawn"
    )
    for note, rows in decisions[decisions["note"] != ""].groupby("note"):
        names = ", ".join(rows["id"][:_SHOWN])
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        print(f"  {len(rows)} kept as they were ({note}): {names}{more}")
    content = json.loads((out / evidence.MARKER).read_text(encoding="utf-8"))
    for name, reason in content["damaged"][:_SHOWN]:
        print(f"  features of {name} not used: {reason}")


if __name__ == "__main__":
    command.main(run, Config)
