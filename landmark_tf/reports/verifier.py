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
from landmark_tf.training import run_directory

_COMPARED = 20  # training pictures of the landmark that is named


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What local features say of a photograph and a landmark.

    Attributes:
        inliers: features that agree with the best training picture.
        matches: uint8 [H, W, 3], drawn; None: the photograph is not there.
        compared: training pictures that were looked at.
    """

    inliers: int
    matches: np.ndarray | None
    compared: int


class Verifier:
    """Compares photographs with training pictures of a landmark.

    Args:
        path: features of the training pictures, made by `extract`.
        trained: the training, whose dataset tells which pictures are its own.
        data: dataset folder; empty: the one it was trained on.
        image_root: the training photographs, to draw matches; empty: none.
        min_inliers: features that have to agree.

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
        min_inliers: float = 15.0,
    ):
        self.min_inliers = min_inliers
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
        best, compared = None, 0
        for name in self._ids.get(landmark, [])[:_COMPARED]:
            try:
                theirs = self._reader.read(name)
            except store.FeatureError:
                continue
            found = matching.match(
                mine, theirs, features.Matching(), self._extractor.max_distance
            )
            compared += 1
            if best is None or found.inliers > best[0].inliers:
                best = found, theirs, name
        if best is None:
            return Verdict(0, None, 0)
        found, theirs, name = best
        drawn = self._draw(query, mine, name, theirs, found)
        return Verdict(found.inliers, drawn, compared)

    def _draw(self, query, mine, name, theirs, found) -> np.ndarray | None:
        if not self._root:
            return None
        size = self._how.max_side, self._how.square
        try:
            other = extraction.load(self._root, name, *size)
        except images.ImageError:
            return None
        return drawing.draw(query, other, mine, theirs, found)
