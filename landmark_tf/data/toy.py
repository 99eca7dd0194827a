r"""A small world of drawn landmarks, to try everything without a download.

    python -m landmark_tf.data.toy --out=toy_photos
    python -m landmark_tf.prepare --train_csv=toy_photos/train.csv \
        --image_root=toy_photos/train --min_images=30 --out=tfrecords/toy \
        --no_landmark_csv=toy_photos/no_landmark.csv

Writes photographs and CSVs as Google Landmarks has them. The frequency of the
landmarks is long-tailed, and some pictures show no landmark at all. Beside the
CSVs stands what real photographs lack: `homographies.json`, `{id:
{"landmark_id": int, "homography": 3x3}}`. A homography takes pixels of the
landmark's frontal drawing (480 x 480) to pixels of the picture; x right, y
down, pixel centres at integers. From picture A to picture B of one landmark:
H_B @ inv(H_A).
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from landmark_tf import InputError, command, config
from landmark_tf.data.toy_world.landmarks import Landmark, landmarks
from landmark_tf.data.toy_world.scene import draw, picture_rng
from landmark_tf.files import progress, workspace

TEST_START = 1_000_000  # number of a landmark's first picture for the test
_MARKER = "toy.json"  # written last


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    out: str = config.field(help="folder to write")
    size: int = config.field(320, help="longest side of a picture in pixels")
    landmarks: int = config.field(16, help="number of landmarks")
    images: int = config.field(
        60,
        help="training pictures of the most frequent landmark; the others "
        "fall geometrically to a third, but not below 30",
    )
    no_landmark: int = config.field(
        120, help="pictures of no landmark beside the training pictures"
    )
    test: int = config.field(
        0, help="test queries of landmarks; as many more show none"
    )
    seed: int = config.field(0, help="decides everything; 0 or more")
    quality: int = config.field(90, help="of the JPEGs, 1 to 95")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture to write; `split` is "train" or "test"."""

    split: str
    landmark: Landmark | None
    n: int
    seed: int

    @property
    def id(self) -> str:
        """16 hexadecimal digits, the same whatever else is drawn."""
        key = f"{self.seed}/{self.landmark_id}/{self.n}"
        return hashlib.sha256(key.encode()).hexdigest()[:16]

    @property
    def landmark_id(self) -> int | str:
        """The label; empty where there is no landmark."""
        return self.landmark.landmark_id if self.landmark else ""


def class_sizes(count: int, images: int) -> list[int]:
    """Training pictures of each landmark, falling geometrically.

    Args:
        count: number of landmarks.
        images: of the first; the last has a third, but not below 30.
    """
    fewest = max(images / 3, min(images, 30))
    return [round(x) for x in np.geomspace(images, fewest, count)]


def plan(settings: Config) -> list[Picture]:
    """Lists the pictures to write, in the shuffled order of the CSVs."""
    built = landmarks(settings.landmarks, settings.seed)
    queries = np.arange(settings.test) % len(built)
    sizes = class_sizes(len(built), settings.images)
    parts = [("train", one, 0, k) for one, k in zip(built, sizes)]
    parts.append(("train", None, 0, settings.no_landmark))
    parts += [
        ("test", one, TEST_START, int(np.sum(queries == i)))
        for i, one in enumerate(built)
    ]
    parts.append(("test", None, TEST_START, settings.test))
    pictures = [
        Picture(split, landmark, start + k, settings.seed)
        for split, landmark, start, number in parts
        for k in range(number)
    ]
    # An id is a hash: its order is as good as a shuffle, and stays the same
    # for the pictures there are when others are added.
    return sorted(pictures, key=lambda picture: picture.id)


def run(settings: Config) -> None:
    """Writes photographs, CSVs and homographies, if they are not there yet.

    Raises:
        InputError: the folder holds something else, or a number is out of its
            range.
    """
    _check(settings)
    given = dataclasses.asdict(settings)
    del given["out"]
    if workspace.is_finished(settings.out, _MARKER, given):
        print(f"{settings.out} was drawn before; nothing to do")
        return
    pictures = plan(settings)
    with workspace.hold(settings.out, _MARKER, given) as out:
        _draw(settings, pictures, out)
        text = json.dumps({"settings": given}, indent=1) + "\n"
        workspace.write_text(out, out / _MARKER, text)
    print(f"wrote {settings.out}: {len(pictures):,} pictures")


def _draw(settings: Config, pictures: list[Picture], out: Path) -> None:
    homographies = {}
    for picture in progress.track(pictures):
        rng = picture_rng(settings.seed, picture.landmark, picture.n)
        pixels, homography = draw(picture.landmark, settings.size, rng)
        path = out.joinpath(picture.split, *picture.id[:3])
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(
            path / f"{picture.id}.jpg", quality=settings.quality
        )
        if homography is not None:
            homographies[picture.id] = {
                "landmark_id": picture.landmark_id,
                "homography": homography.tolist(),
            }
    (out / "homographies.json").write_text(json.dumps(homographies))
    for name, table in tables(pictures).items():
        table.to_csv(out / name, index=False)


def _check(settings: Config) -> None:
    for name, low, high in (
        ("size", 16, np.inf),
        ("images", 1, np.inf),
        ("no_landmark", 0, np.inf),
        ("test", 0, np.inf),
        ("quality", 1, 95),
    ):
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError(
                f"--{name} must lie between {low} and {high}. Received: {value}"
            )


def tables(pictures: list[Picture]) -> dict[str, pd.DataFrame]:
    """Builds the CSVs, file name to table, rows in the order of `pictures`."""
    rows = pd.DataFrame(
        {
            "id": [p.id for p in pictures],
            "url": [f"https://photos.invalid/{p.id}.jpg" for p in pictures],
            "landmark_id": [p.landmark_id for p in pictures],
            "category": [
                p.landmark.name if p.landmark else "" for p in pictures
            ],
            "test": [p.split == "test" for p in pictures],
        }
    )
    shows, test = rows.landmark_id != "", rows[rows.test]
    truth = test.rename(columns={"landmark_id": "landmarks"})
    # A third is public, as on Kaggle; the last digit of a hash is random.
    public = truth.id.str[-1].isin(list("01234"))
    truth["Usage"] = np.where(public, "Public", "Private")
    names = rows[shows].drop_duplicates("landmark_id")
    return {
        "train.csv": rows[shows & ~rows.test][["id", "url", "landmark_id"]],
        "no_landmark.csv": rows[~shows & ~rows.test][["id", "url"]],
        "test.csv": test[["id", "url"]],
        "recognition_solution.csv": truth[["id", "landmarks", "Usage"]],
        "recognition_sample_submission.csv": truth[["id", "landmarks"]].assign(
            landmarks=""
        ),
        "train_label_to_category.csv": names[
            ["landmark_id", "category"]
        ].sort_values("landmark_id"),
    }


if __name__ == "__main__":
    command.main(run, Config)
