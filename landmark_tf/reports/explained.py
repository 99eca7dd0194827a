"""A photograph as one network sees it, as a line of panels (Figure 14)."""

import dataclasses

import numpy as np
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import pipeline, tfrecords
from landmark_tf.files import images
from landmark_tf.predictions import saliency
from landmark_tf.reports.explanation import Panel, brightness
from landmark_tf.training.run_directory import Run


class UnreadableError(ValueError):
    """A photograph that cannot be read; the message says why."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a photograph is explained.

    Attributes:
        landmark_id: the landmark to explain; negative: the most probable.
        layer: the features of Grad-CAM.
        samples: noisy copies of SmoothGrad, at least 1.
        noise: of SmoothGrad, a share of the range of the pixels.
        seed: of the noise.
    """

    landmark_id: int = -1
    layer: str = "conv5_x"
    samples: int = 16
    noise: float = 0.15
    seed: int = 0


class Explained:
    """Explains photographs by one training.

    Args:
        trained: the training.
        settings: how.

    Raises:
        InputError: the training does not know the landmark.
    """

    def __init__(self, trained: Run, settings: Settings):
        self._trained, self._settings = trained, settings
        self._explainer = saliency.Explainer(trained.model, settings.layer)
        self._names = tfrecords.landmark_names(trained.classes)
        self._label = -1
        if settings.landmark_id >= 0:
            known = trained.classes["landmark_id"].tolist()
            if settings.landmark_id not in known:
                raise InputError(
                    f"{trained.path} does not know the landmark; choose one of "
                    f"its classes.csv. Received: {settings.landmark_id}"
                )
            self._label = known.index(settings.landmark_id)

    def panels(self, path: str) -> tuple[str, list[Panel]]:
        """The run's name, and what is to be drawn beside it.

        Raises:
            UnreadableError: the photograph cannot be read.
        """
        how, picture = self._settings, self._pixels(path)
        logits = self._explainer.logits(picture)[0]
        label = int(np.argmax(logits)) if self._label < 0 else self._label
        share = float(tf.nn.softmax(logits)[label])
        kind, shown = np.array([label]), picture[0]
        plain = self._explainer.saliency(picture, kind)[0]
        smooth = self._explainer.smooth_grad(
            picture, kind, how.samples, how.noise, how.seed
        )[0]
        heat = self._explainer.grad_cam(picture, kind)[0]
        panels = [
            Panel(shown, f"{self._names[label]}, {share:.2f}"),
            Panel(shown, "saliency", brightness(plain), alone=True),
            Panel(shown, "SmoothGrad", brightness(smooth), alone=True),
            Panel(shown, f"Grad-CAM, {how.layer}", heat),
        ]
        for name, mask in self._explainer.masks(picture).items():
            module = name.removesuffix("_mask")
            panels.append(Panel(shown, f"mask {module}", mask[0]))
        return self._trained.path.name, panels

    def _pixels(self, path: str) -> np.ndarray:
        """The photograph as the network gets it, uint8 [1, S, S, 3]."""
        try:
            data = images.tensorflow_ready(path)
            picture = pipeline.preprocess(data, self._trained.image_size)
        except (images.ImageError, tf.errors.InvalidArgumentError) as error:
            reason = str(error).splitlines()[0][:100]
            raise UnreadableError(reason) from error
        return picture.numpy()[None]
