"""Writes a submission: the landmark and its confidence for each query.

    python -m landmark_tf.predict --run=runs/photos --csv=test.csv
        --image_root=test --out=submission.csv

The CSV's column `id` names the photographs ROOT/a/b/c/abc....jpg (or
ROOT/abc....jpg). Every id gets one row, in the CSV's order. A query whose
picture cannot be read gets an empty row, and is listed with the reason on the
screen and in a file beside the submission, OUT with the ending .unreadable.csv.
"""

import csv
import dataclasses
import pathlib
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    import numpy as np

    from landmark_tf.predictions import serving


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a prediction."""

    run: str = config.field(help="run directory of a training")
    csv: str = config.field(help="CSV file whose column id names the queries")
    image_root: str = config.field(help="folder of the queries' photographs")
    out: str = config.field(help="submission file to write (replaced if there)")
    top_k: int = config.field(1, help="landmarks for each query, at least 1")
    min_confidence: float = config.field(
        0.0, help="leave out what is less confident than this, in [0, 1]"
    )
    batch_size: int = config.field(64, help="pictures of one step")


def run(settings: Config) -> "pathlib.Path":
    """Predicts, writes the submission, and returns its path.

    Raises:
        InputError: no such run, CSV or folder, or a value out of range.
    """
    out = pathlib.Path(settings.out)
    _check(settings, out)
    from landmark_tf.predictions import submission

    ids = submission.read_ids(settings.csv)
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.predictions import serving
    from landmark_tf.training import run_directory

    trained = run_directory.open_run(settings.run)
    recogniser = serving.Recogniser(
        trained.model,
        trained.classes["landmark_id"].to_numpy(),
        top_k=settings.top_k,
    )
    landmark_id, confidence, unreadable = recognise_files(
        recogniser, settings.image_root, ids, settings.batch_size
    )
    landmark_id[confidence < settings.min_confidence] = -1
    submission.write_submission(out, ids, landmark_id, confidence)
    predicted = int((landmark_id[:, 0] >= 0).sum())
    print(f"{out}: {len(ids)} queries, {predicted} with a prediction")
    _list_unreadable(out, ids, unreadable)
    return out


def _check(settings: Config, out: pathlib.Path) -> None:
    if settings.top_k < 1 or settings.batch_size < 1:
        raise InputError(
            "--top_k and --batch_size must be at least 1. "
            f"Received: {settings.top_k}, {settings.batch_size}"
        )
    if not 0 <= settings.min_confidence <= 1:
        raise InputError(
            "--min_confidence must lie between 0 and 1. "
            f"Received: {settings.min_confidence}"
        )
    if not pathlib.Path(settings.image_root).is_dir():
        raise InputError(
            "--image_root must be the folder of the photographs. "
            f"Received: {settings.image_root}"
        )
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(
            f"--out must be a file in an existing folder. Received: {out}"
        )


def _list_unreadable(
    out: pathlib.Path, ids: list[str], reasons: dict[int, str]
) -> None:
    """Names the queries without a picture, on the screen and in a file."""
    from landmark_tf.files import atomic

    listing = out.with_suffix(".unreadable.csv")
    if not reasons:
        listing.unlink(missing_ok=True)  # of an earlier prediction
        return
    with atomic.replacing(listing) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "reason"))
            for row, reason in sorted(reasons.items()):
                writer.writerow((ids[row], reason))
    print(f"{len(reasons)} pictures cannot be read, listed in {listing}:")
    for row in sorted(reasons)[:10]:
        print(f"  {ids[row]!r}: {reasons[row]}")
    if len(reasons) > 10:
        print(f"  and {len(reasons) - 10} more")


def recognise_files(
    recogniser: "serving.Recogniser",
    root: str,
    ids: list[str],
    batch_size: int,
) -> tuple["np.ndarray", "np.ndarray", dict[int, str]]:
    """Recognises photographs on disk.

    Args:
        recogniser: the network.
        root: folder of the photographs.
        ids: N names of photographs.
        batch_size: pictures of one step.

    Returns:
        landmark_id int64 [N, k] and confidence float32 [N, k], falling along
        k, -1 and 0 where the picture cannot be read; and, for those, the reason
        by row.
    """
    import numpy as np
    import tensorflow as tf

    from landmark_tf.files import images, progress

    reasons: dict[int, str] = {}

    def load(row: np.int64) -> bytes:
        try:
            return images.tensorflow_ready(images.find_image(root, ids[row]))
        except images.ImageError as error:
            reasons[int(row)] = str(error)
            return b""

    def read(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image_bytes = tf.numpy_function(load, [row], tf.string)
        return row, tf.ensure_shape(image_bytes, [])

    batches = (
        tf.data.Dataset.range(len(ids))
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(lambda row, image_bytes: tf.strings.length(image_bytes) > 0)
        .map(
            lambda row, image_bytes: (row, recogniser.preprocess(image_bytes)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        # A picture that TensorFlow cannot decode is missed below, by its row.
        .ignore_errors()
        .batch(batch_size)
        .prefetch(2)
    )
    top_k = recogniser.top_k
    landmark_id = np.full((len(ids), top_k), -1, np.int64)
    confidence = np.zeros((len(ids), top_k), np.float32)
    with progress.bar(len(ids)) as bar:
        for rows, pictures in batches:
            answer = recogniser.recognise(pictures)
            landmark_id[rows.numpy()] = answer["landmark_id"].numpy()
            confidence[rows.numpy()] = answer["confidence"].numpy()
            bar.update(len(rows))
        bar.update(len(ids) - bar.n)
    for row in np.flatnonzero(landmark_id[:, 0] < 0):
        reasons.setdefault(int(row), "cannot be decoded")
    return landmark_id, confidence, reasons


if __name__ == "__main__":
    command.main(run, Config)
