"""Writes a SavedModel that takes photographs' bytes and names landmarks.

    python -m landmark_tf.export --run=runs/photos --out=exported/photos

Its signature `serving_default` takes `image_bytes`, string [N] (any JPEG or
PNG), and returns `landmark_id` int64 [N, k], `confidence` float32 [N, k]
(falling) and `is_landmark` bool [N]: whether the first confidence reaches the
threshold. Loading it needs TensorFlow and no code of this package;
docs/serving.md shows how TensorFlow Serving serves it, for which --out ends in
a version: exported/photos/1. The folder appears when all of it is there.

Withdrawing the least confident predictions never raises GAP, so GAP chooses
the threshold as the highest one that keeps the share --keep_gap of it, on a
split that holds pictures of no landmark. How the split's pictures fall on both
sides is printed, and written to export.json beside the model.
"""

import dataclasses
import json
import pathlib
import shutil
from typing import TYPE_CHECKING, Any

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.predictions import serving
    from landmark_tf.training import run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of an export."""

    run: str = config.field(help="run directory of a training")
    out: str = config.field(help="folder to make")
    top_k: int = config.field(5, help="landmarks for each picture, at least 1")
    threshold: float = config.field(
        -1.0,
        help="confidence in [0, 1] from which on a landmark counts as seen; "
        "negative: chosen by GAP",
    )
    keep_gap: float = config.field(
        0.95, help="share of the split's GAP that the threshold keeps, above 0"
    )
    data: str = config.field(
        "", help="dataset folder; none: the one it was trained on"
    )
    split: str = config.field(
        "validation", help="split to choose the threshold on"
    )
    batch_size: int = config.field(64, help="pictures of one step")
    warmup_batches: tuple[int, ...] = config.field(
        (1, 8),
        help="pictures, 1 to 1000, in each of the requests with which "
        "TensorFlow Serving warms up; empty: no such requests",
    )


def run(settings: Config) -> pathlib.Path:
    """Exports, and returns the SavedModel's folder.

    Raises:
        InputError: no such run or split, or `--out` is there already.
    """
    out = pathlib.Path(settings.out)
    _check(settings, out)
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.predictions import serving
    from landmark_tf.training import run_directory

    trained = run_directory.open_run(settings.run)
    facts: dict[str, Any] = {"threshold": settings.threshold}
    if settings.threshold < 0:
        facts = choose_threshold(settings, trained)
        print(
            f"threshold {facts['threshold']:.4f}: of {settings.split}, "
            f"{facts['landmarks_kept']} of {facts['landmarks']} pictures of a "
            f"landmark and {facts['others_kept']} of {facts['others']} of none "
            "count as a landmark"
        )
    recogniser = serving.Recogniser(
        trained.model,
        trained.classes["landmark_id"].to_numpy(),
        top_k=settings.top_k,
        threshold=facts["threshold"],
    )
    facts |= {"image_size": trained.image_size, "top_k": recogniser.top_k}
    _save(recogniser, out, facts, trained.path, settings.warmup_batches)
    print(f"{out}: serving_default takes image_bytes")
    return out


def _save(
    recogniser: "serving.Recogniser",
    out: pathlib.Path,
    facts: dict[str, Any],
    run: pathlib.Path,
    warmup_batches: tuple[int, ...],
) -> None:
    """Writes the folder beside its place, and moves it there when complete."""
    import tensorflow as tf

    from landmark_tf.predictions import warmup

    temporary = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        tf.saved_model.save(
            recogniser,
            str(temporary),
            signatures={"serving_default": recogniser.serve},
        )
        extra = temporary / "assets.extra"
        extra.mkdir()
        (extra / "export.json").write_text(json.dumps(facts, indent=2) + "\n")
        shutil.copyfile(run / "classes.csv", extra / "classes.csv")
        if warmup_batches:
            warmup.write(extra / warmup.FILE, warmup_batches)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def choose_threshold(
    settings: Config, trained: "run_directory.Run"
) -> dict[str, Any]:
    """Chooses the threshold by GAP on a split with no-landmark pictures.

    Returns:
        `threshold`, and how many pictures of a landmark (`landmarks`,
        `landmarks_kept`) and of none (`others`, `others_kept`) reach it.

    Raises:
        InputError: the split has no picture of no landmark.
    """
    from landmark_tf.predictions import thresholds
    from landmark_tf.training import evaluation, run_directory, strategy

    dataset = run_directory.open_data(trained, settings.data)
    measure = evaluation.Evaluator(
        dataset,
        settings.split,
        trained.model,
        strategy.create("one"),
        settings.batch_size,
    )
    label = measure.table["label"].to_numpy()
    shows = label >= 0
    if shows.all():
        raise InputError(
            "the split has no picture without a landmark to choose the "
            "threshold on; give --threshold, or prepare the data with "
            f"--no_landmark_csv. Received: {settings.split!r}"
        )
    outcome = measure.outcome()
    threshold = thresholds.highest_keeping_gap(
        outcome.confidence, outcome.predicted == label, settings.keep_gap
    )
    kept = outcome.confidence >= threshold
    return {
        "threshold": threshold,
        "split": settings.split,
        "keep_gap": settings.keep_gap,
        "landmarks": int(shows.sum()),
        "landmarks_kept": int((shows & kept).sum()),
        "others": int((~shows).sum()),
        "others_kept": int((~shows & kept).sum()),
    }


def _check(settings: Config, out: pathlib.Path) -> None:
    if settings.top_k < 1:
        raise InputError(
            f"--top_k must be at least 1. Received: {settings.top_k}"
        )
    if not settings.threshold <= 1:
        raise InputError(
            f"--threshold must be at most 1. Received: {settings.threshold}"
        )
    if not 0 < settings.keep_gap <= 1:
        raise InputError(
            "--keep_gap must lie above 0 and up to 1. "
            f"Received: {settings.keep_gap}"
        )
    sizes = settings.warmup_batches
    if len(sizes) > 1000 or not all(1 <= size <= 1000 for size in sizes):
        raise InputError(
            "--warmup_batches must be at most 1000 numbers from 1 to 1000. "
            f"Received: {config.to_text(sizes)[:80]}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"--out must be a new or empty folder. Received: {out}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    command.main(run, Config)
