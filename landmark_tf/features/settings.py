"""What decides local features and their comparison: flags of several verbs.

Imports nothing heavy, so that --help answers at once.
"""

import dataclasses

from landmark_tf import InputError, config

MODELS = ("affine", "homography")
METHODS = ("ransac", "magsac")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
    """Which features are taken of a picture."""

    extractor: str = config.field(
        "sift",
        help="what takes the features: sift; delf (google/delf/1 of TF-Hub); "
        "delf:HANDLE, an address or a folder of such a SavedModel",
    )
    max_features: int = config.field(
        1000, help="most certain features that are kept of a picture"
    )
    rotation: bool = config.field(
        False, help="sift: match turned pictures too, upright ones less well"
    )
    image_scales: tuple[float, ...] = config.field(
        (0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0),
        help="delf: sizes in which a picture is looked at",
    )
    score_threshold: float = config.field(
        100.0, help="delf: least attention of a feature"
    )
    max_side: int = config.field(
        640, help="pixels that the longer side is shrunk to; 0: not shrunk"
    )
    square: int = config.field(
        0, help="pixels of the square that pictures are squashed to; 0: not"
    )

    def check(self) -> None:
        """Raises InputError where a value is out of its range."""
        side = "16 pixels or more, or 0"
        kind, _, handle = self.extractor.partition(":")
        known = self.extractor in ("sift", "delf")
        scales = self.image_scales
        _check(
            self,
            extractor=(
                known or (kind == "delf" and bool(handle)),
                "sift, delf or delf:HANDLE",
            ),
            image_scales=(
                bool(scales) and all(0.01 <= x <= 8 for x in scales),
                "one number or more from 0.01 to 8",
            ),
            score_threshold=(self.score_threshold >= 0, "0 or more"),
            max_features=(1 <= self.max_features <= 100_000, "1 to 100000"),
            max_side=(self.max_side == 0 or self.max_side >= 16, side),
            square=(self.square == 0 or self.square >= 16, side),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matching:
    """How two pictures' features are compared."""

    mutual: bool = config.field(
        True, help="keep pairs that are each other's nearest neighbours"
    )
    ratio: float = config.field(
        0.0,
        help="keep pairs nearer than this share of the distance to the second "
        "nearest, in (0, 1]; 0: all",
    )
    max_distance: float = config.field(
        -1.0,
        help="keep pairs up to this Euclidean distance, in (0, 2]; 0: all; "
        "negative: what suits the extractor",
    )
    model: str = config.field(
        "affine", choices=MODELS, help="the map that pairs have to agree on"
    )
    method: str = config.field(
        "ransac", choices=METHODS, help="how the map is estimated"
    )
    residual: float = config.field(
        0.025,
        help="how far from the map a pair may lie, as a share of the longer "
        "side, in (0, 1]",
    )
    max_turn: float = config.field(
        45.0,
        help="degrees that one picture may be turned against the other, in "
        "[0, 180]; 180: any",
    )
    trials: int = config.field(1000, help="samples of the estimate at most")
    seed: int = config.field(0, help="of the samples, 0 or more")

    def check(self) -> None:
        """Raises InputError where a value is out of its range."""
        _check(
            self,
            ratio=(0 <= self.ratio <= 1, "from 0 to 1"),
            max_distance=(self.max_distance <= 2, "up to 2"),
            model=(self.model in MODELS, " or ".join(MODELS)),
            method=(self.method in METHODS, " or ".join(METHODS)),
            residual=(0 < self.residual <= 1, "above 0 and up to 1"),
            max_turn=(0 <= self.max_turn <= 180, "from 0 to 180"),
            trials=(1 <= self.trials < 2**31, "1 or more"),
            seed=(0 <= self.seed < 2**63, "0 or more"),
        )


def part(settings: object, kind: type) -> object:
    """The fields of `kind` among a verb's settings, checked.

    Raises:
        InputError: a value is out of its range.
    """
    names = [item.name for item in dataclasses.fields(kind)]
    found = kind(**{name: getattr(settings, name) for name in names})
    found.check()
    return found


def _check(settings: object, **ranges: tuple[bool, str]) -> None:
    for name, (good, what) in ranges.items():
        if not good:
            raise InputError(
                f"--{name} must be {what}. Received: {getattr(settings, name)}"
            )
