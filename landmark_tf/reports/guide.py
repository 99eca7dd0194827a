"""All that can be said of one photograph: the answers of the demo page."""

import dataclasses
import pathlib

import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import examples, pipeline, tfrecords
from landmark_tf.features import (
    drawing,
    extraction,
    extractors,
    matching,
    store,
)
from landmark_tf.features import settings as features
from landmark_tf.files import images
from landmark_tf.predictions import saliency
from landmark_tf.reports.explanation import brightness
from landmark_tf.training import run_directory

_SHOWN = 5  # landmarks
_COMPARED = 20  # training pictures of the landmark that is named
_SIDE = 640  # pixels of the photograph that is shown, at most
_LEAST = 320  # pixels of a saliency map that is shown


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is said of a photograph.

    Attributes:
        sentence: the answer in words.
        picture: uint8 [H, W, 3], the photograph; None: it cannot be read, and
            there is nothing but the sentence.
        likely: names, confidences and training pictures, uint8 [h, w, 3] or
            None, of the most likely landmarks.
        saliency: uint8 [S, S, 3], bright where the network looks.
        matches: uint8 [H, W, 3], the features that agree; None: not compared.
    """

    sentence: str
    picture: np.ndarray | None = None
    likely: tuple[tuple[str, float, np.ndarray | None], ...] = ()
    saliency: np.ndarray | None = None
    matches: np.ndarray | None = None


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


class Guide:
    """Names the landmark in photographs.

    Args:
        trained: the training.
        data: dataset folder; empty: the one it was trained on.
        threshold: confidence from which on a landmark is named.
        verifier: local features that have the last word; None: none.

    Raises:
        InputError: no such dataset.
    """

    def __init__(
        self,
        trained: run_directory.Run,
        *,
        data: str = "",
        threshold: float = 0.5,
        verifier: "Verifier | None" = None,
    ):
        dataset = run_directory.open_data(trained, data)
        self._size, self._threshold = trained.image_size, threshold
        self._explainer = saliency.Explainer(trained.model)
        self._names = tfrecords.landmark_names(trained.classes)
        self._landmarks = trained.classes["landmark_id"].tolist()
        found = examples.pictures(dataset, self._landmarks)
        self._shown = {
            landmark: tf.io.decode_jpeg(some[0][1], 3).numpy()
            for landmark, some in found.items()
        }
        self._verifier = verifier

    def answer(self, path: str) -> Answer:
        """Recognises, explains and verifies; a bad file gets a sentence."""
        try:
            picture = images.open_rgb(path)
            data = images.tensorflow_ready(path)
            pixels = pipeline.preprocess(data, self._size).numpy()[None]
        except (images.ImageError, tf.errors.InvalidArgumentError) as error:
            reason = str(error).splitlines()[0][:100]
            return Answer(
                f"This file is no photograph that can be read ({reason}). "
                "Try a JPEG or PNG."
            )
        share = tf.nn.softmax(self._explainer.logits(pixels)[0]).numpy()
        order = np.argsort(-share, kind="stable")[:_SHOWN]
        likely = tuple(
            (
                self._names[label],
                float(share[label]),
                self._shown.get(self._landmarks[label]),
            )
            for label in order
        )
        verdict = None
        if self._verifier:
            verdict = self._verifier(picture, self._landmarks[order[0]])
        heat = self._explainer.saliency(pixels, order[:1])[0]
        return Answer(
            self._sentence(likely[0][0], likely[0][1], verdict),
            np.asarray(_small(picture)),
            likely,
            _bright(brightness(heat)),
            verdict.matches if verdict else None,
        )

    def _sentence(
        self, name: str, confidence: float, verdict: Verdict | None
    ) -> str:
        likely = f"{name}, with confidence {confidence:.2f}"
        if verdict is None or not verdict.compared:
            note = "" if verdict is None else " It could not be verified."
            if confidence >= self._threshold:
                return f"This is {likely}.{note}"
            return f"No landmark. The most likely would be {likely}.{note}"
        evidence = (
            f"{verdict.inliers} local features agree with the best of "
            f"{verdict.compared} training pictures"
        )
        least = self._verifier.min_inliers
        if verdict.inliers >= least:
            return (
                f"This is {likely}, and verification confirms it: {evidence}."
            )
        return (
            f"No landmark. The most likely would be {likely}, but verification "
            f"does not confirm it: {evidence}, {least:g} are needed."
        )


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


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    return small


def _bright(heat: np.ndarray) -> np.ndarray:
    """A map in [0, 1] as an RGB picture, large enough to be seen."""
    times = -(-_LEAST // len(heat))
    heat = heat.repeat(times, axis=0).repeat(times, axis=1)
    colours = matplotlib.colormaps["inferno"](heat)[..., :3]
    return (colours * 255).astype(np.uint8)
