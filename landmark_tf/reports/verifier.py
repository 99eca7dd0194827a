"""Whether local features confirm that a photograph shows a landmark."""

import dataclasses
import pathlib

import numpy as np
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import tfrecords
from landmark_tf.features import (
    drawing,
    extraction,
    extractors,
    matching,
    store,
)
from landmark_tf.features import settings as features
from landmark_tf.files import images
from landmark_tf.predictions import verification
from landmark_tf.training import run_directory

_COMPARED = 20  # training pictures of the landmark that is named
_EVIDENCE = {
    "max": "{:g} local features agree with the best of {} training pictures",
    "top3": "{:.1f} local features on average agree with the best three of {} "
    "training pictures",
    "mean": "{:.1f} local features on average agree with {} training pictures",
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What local features say of a photograph and a landmark.

    Attributes:
        confirmed: whether there is enough of it.
        evidence: in words; empty: there was nothing to compare with.
        inliers: features that agree with each training picture.
        matches: uint8 [H, W, 3], those that agree with the best one, drawn;
            None: its photograph is not there.
    """

    confirmed: bool
    evidence: str
    inliers: tuple[int, ...]
    matches: np.ndarray | None = None


class Verifier:
    """Compares photographs with training pictures of a landmark.

    Args:
        path: features of the training pictures, made by `extract`.
        trained: the training, whose dataset tells which pictures are its own.
        data: dataset folder; empty: the one it was trained on.
        image_root: the training photographs, to draw matches; empty: none.
        statistic: of the inlier counts, as `verification.statistic` takes it.
        min_inliers: the least statistic that confirms.

    Raises:
        InputError: no such features or dataset.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        trained: run_directory.Run,
        *,
        data: str = "",
        image_root: str = "",
        statistic: str = "max",
        min_inliers: float = 15.0,
    ):
        self._statistic, self._least = statistic, min_inliers
        self._reader = store.Reader(path)
        known = {x.name for x in dataclasses.fields(features.Extraction)}
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self._reader.settings.items()
            if name in known
        }
        self._how = features.Extraction(**given)
        self._extractor = extractors.create(self._how)
        self._root = image_root
        dataset = run_directory.open_data(trained, data)
        table = tfrecords.read_table(dataset, "train")
        table = table[[name in self._reader for name in table["id"]]]
        if table.empty:
            raise InputError(
                "the features are of none of the training pictures; extract "
                f"those of the same CSV. Received: {path}"
            )
        self._ids = table.groupby("landmark_id")["id"].agg(list).to_dict()

    def __call__(self, picture: Image.Image, landmark: int) -> Verdict:
        """Compares a photograph with up to 20 pictures of a landmark."""
        size = self._how.max_side, self._how.square
        query = extraction.resized(picture, *size)
        (mine,) = self._extractor([query])
        best, inliers = None, []
        for name in self._ids.get(landmark, [])[:_COMPARED]:
            try:
                theirs = self._reader.read(name)
            except store.FeatureError:
                continue
            found = matching.match(
                mine, theirs, features.Matching(), self._extractor.max_distance
            )
            inliers.append(found.inliers)
            if best is None or found.inliers > best[0].inliers:
                best = found, theirs, name
        if best is None:
            return Verdict(False, "", ())
        found, theirs, name = best
        value = verification.statistic(inliers, self._statistic)
        return Verdict(
            value >= self._least,
            _EVIDENCE[self._statistic].format(value, len(inliers))
            + ("" if value >= self._least else f", {self._least:g} are needed"),
            tuple(inliers),
            self._draw(query, mine, name, theirs, found),
        )

    def _draw(self, query, mine, name, theirs, found) -> np.ndarray | None:
        if not self._root:
            return None
        size = self._how.max_side, self._how.square
        try:
            other = extraction.load(self._root, name, *size)
        except images.ImageError:
            return None
        return drawing.draw(query, other, mine, theirs, found)
