r"""Compares two photographs by local features, and draws what agrees.

    python -m landmark_tf.match A.jpg B.jpg --out=matches.png

Prints one JSON object: the features of either picture, `pairs` of neighbours
among them, and `inliers`, the pairs that agree on one affine map (or
homography).
"""

import dataclasses
import json
import pathlib

from landmark_tf import InputError, command, config
from landmark_tf.features import settings as features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(features.Matching, features.Extraction):
    """Settings of a comparison."""

    pictures: tuple[str, ...] = config.field(
        help="files of the two photographs", positional=True
    )
    out: str = config.field("", help="PNG or JPEG to draw; empty: none")


def run(settings: Config) -> dict[str, int]:
    """Compares, draws and prints.

    Returns:
        `features_a`, `features_b`, `pairs`, `inliers`.

    Raises:
        InputError: a picture cannot be read, or a value is out of range.
    """
    out = pathlib.Path(settings.out)
    _check(settings, out)
    how = features.part(settings, features.Matching)
    kind = features.part(settings, features.Extraction)
    from landmark_tf.features import extraction, extractors, matching
    from landmark_tf.files import images

    pictures = []
    for path in settings.pictures:
        try:
            picture = images.open_rgb(path)
        except images.ImageError as error:
            raise InputError(
                f"{error}; give the file of a photograph. Received: {path}"
            ) from error
        size = settings.max_side, settings.square
        pictures.append(extraction.resized(picture, *size))
    extractor = extractors.create(kind)
    found = [extractor([picture])[0] for picture in pictures]
    match = matching.match(*found, how, extractor.max_distance)
    if settings.out:
        _draw(out, pictures, found, match)
    result = {
        "features_a": len(found[0]),
        "features_b": len(found[1]),
        "pairs": len(match.pairs),
        "inliers": match.inliers,
    }
    print(json.dumps(result))
    return result


def _draw(out: pathlib.Path, pictures, found, match) -> None:
    from PIL import Image

    from landmark_tf.features import drawing
    from landmark_tf.files import atomic

    drawn = drawing.draw(*pictures, *found, match)
    with atomic.replacing(out) as temporary:
        Image.fromarray(drawn).save(temporary)


def _check(settings: Config, out: pathlib.Path) -> None:
    if len(settings.pictures) != 2:
        raise InputError(
            "give the files of two photographs. "
            f"Received: {' '.join(settings.pictures)}"
        )
    if settings.out and (
        out.suffix.lower() not in (".png", ".jpg", ".jpeg")
        or not out.parent.is_dir()
    ):
        raise InputError(
            "--out must be a .png or .jpg in a folder that exists. "
            f"Received: {out}"
        )


if __name__ == "__main__":
    command.main(run, Config)
