"""All that can be said of one photograph: the answers of the demo page."""

import dataclasses
from collections.abc import Callable, Collection

import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image

from landmark_tf.data import examples, pipeline, tfrecords
from landmark_tf.files import images
from landmark_tf.predictions import saliency
from landmark_tf.reports.explanation import brightness
from landmark_tf.reports.verifier import Verdict, Verifier
from landmark_tf.training import run_directory

_SHOWN = 5  # landmarks
_SIDE = 640  # pixels of the longer side of the photograph that is shown


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is said of a photograph.

    Attributes:
        headline: the landmark's name, or that there is none.
        sentence: why.
        picture: uint8 [H, W, 3], the photograph; None: it cannot be read, and
            there are nothing but words.
        likely: names, confidences and training pictures, uint8 [h, w, 3] or
            None, of the most likely landmarks.
        saliency: uint8 [H, W, 3], bright where the network looks.
        matches: uint8 [H, W, 3], the features that agree; None: not compared.
    """

    headline: str
    sentence: str
    picture: np.ndarray | None = None
    likely: tuple[tuple[str, float, np.ndarray | None], ...] = ()
    saliency: np.ndarray | None = None
    matches: np.ndarray | None = None


class Guide:
    """Names the landmark in photographs.

    Args:
        trained: the training.
        data: dataset folder; empty: the one it was trained on.
        image_root: the training photographs; empty: pictures of the landmarks
            are shown as the dataset stores them.
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
        image_root: str = "",
        threshold: float = 0.5,
        verifier: Verifier | None = None,
    ):
        dataset = run_directory.open_data(trained, data)
        self._size, self._threshold = trained.image_size, threshold
        self._explainer = saliency.Explainer(trained.model)
        self._names = tfrecords.landmark_names(trained.classes)
        self._landmarks = trained.classes["landmark_id"].tolist()
        self._example = (
            _photographs(dataset, image_root)
            if image_root
            else _stored(dataset, self._landmarks)
        )
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
                "No photograph",
                f"This file cannot be read ({reason}). Try a JPEG or PNG.",
            )
        share = tf.nn.softmax(self._explainer.logits(pixels)[0]).numpy()
        order = np.argsort(-share, kind="stable")[:_SHOWN]
        likely = tuple(
            (
                self._names[label],
                float(share[label]),
                self._example(self._landmarks[label]),
            )
            for label in order
        )
        verdict = None
        if self._verifier:
            verdict = self._verifier(picture, self._landmarks[order[0]])
        heat = self._explainer.saliency(pixels, order[:1])[0]
        shown = _shown(picture)
        return Answer(
            *self._words(likely[0][0], likely[0][1], verdict),
            np.asarray(shown),
            likely,
            _bright(brightness(heat), shown.size),
            verdict.matches if verdict else None,
        )

    def _words(
        self, name: str, confidence: float, verdict: Verdict | None
    ) -> tuple[str, str]:
        """The headline and the sentence."""
        likely = f"The most likely is {name}, with confidence {confidence:.2f}"
        if verdict is None or not verdict.evidence:
            note = (
                ""
                if verdict is None
                else " There are no local features of it to verify with."
            )
            if confidence >= self._threshold:
                return name, f"Confidence {confidence:.2f}.{note}"
            least = f"below {self._threshold:.2f}"
            return "No landmark", f"{likely}, {least}.{note}"
        if verdict.confirmed:
            return name, (
                f"Confidence {confidence:.2f}, and verification confirms it: "
                f"{verdict.evidence}."
            )
        return "No landmark", (
            f"{likely}, but verification does not confirm it: "
            f"{verdict.evidence}."
        )


def _stored(
    dataset: tfrecords.Dataset, landmarks: Collection[int]
) -> Callable[[int], np.ndarray | None]:
    """Gives the first stored training picture of a landmark."""
    found = examples.pictures(dataset, landmarks)
    return {
        landmark: tf.io.decode_jpeg(some[0][1], 3).numpy()
        for landmark, some in found.items()
    }.get


def _photographs(
    dataset: tfrecords.Dataset, root: str
) -> Callable[[int], np.ndarray | None]:
    """Gives the photograph of the first training picture of a landmark.

    It is opened when it is asked for: there may be many landmarks.
    """
    table = tfrecords.read_table(dataset, "train")
    first = table.drop_duplicates("landmark_id").set_index("landmark_id")["id"]

    def photograph(landmark: int) -> np.ndarray | None:
        try:
            picture = images.open_rgb(images.find_image(root, first[landmark]))
        except (KeyError, images.ImageError):
            return None
        picture.thumbnail((_SIDE, _SIDE))
        return np.asarray(picture)

    return photograph


def _shown(picture: Image.Image) -> Image.Image:
    """The photograph, enlarged or reduced to the size that is shown."""
    scale = _SIDE / max(picture.size)
    width, height = (max(1, round(x * scale)) for x in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _bright(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map in [0, 1] as colours, stretched to (width, height).

    The network got the photograph squashed to a square.
    """
    colours = matplotlib.colormaps["inferno"](heat)[..., :3] * 255
    picture = Image.fromarray(colours.astype(np.uint8))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST))
