"""What goes into a training: pictures, or the vectors of a frozen backbone."""

import contextlib
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from landmark_tf.data import pipeline, tfrecords, vectors
from landmark_tf.training import evaluation, hosts, imbalance, stages, strategy
from landmark_tf.training.settings import Config


class Inputs:
    """The batches of a training, and what measures it.

    Args:
        settings: of the training.
        dataset: what it trains on.
        devices: what computes.
        model: the whole network.

    Attributes:
        steps_per_epoch: full batches in one pass.
        class_images: int [C], training pictures of each class; None where
            nothing needs them.

    Raises:
        InputError: a split is missing or too small, or a batch that cannot be
            divided.
    """

    def __init__(
        self,
        settings: Config,
        dataset: tfrecords.Dataset,
        devices: tf.distribute.Strategy,
        model: keras.Model,
    ):
        self._settings, self._dataset = settings, dataset
        self._devices, self._model = devices, model
        strategy.share(devices, settings.batch_size, settings.accumulate)
        self.steps_per_epoch = pipeline.steps_per_epoch(
            dataset, settings.train_split, settings.batch_size
        )
        self._evaluator = self._make_evaluator(model)
        self.class_images: np.ndarray | None = None
        if settings.sampling != "natural" or settings.class_weights != "none":
            self.class_images = self._count()
        self._repeats = imbalance.repeats(self.class_images, settings.sampling)

    def batches(
        self, learner: keras.Model, first_step: int, epochs: int
    ) -> Iterator[dict]:
        """The distributed batches from a global step on.

        Args:
            learner: the network, or its classifier alone.
            first_step: the global step.
            epochs: the epoch to stop before.
        """
        make = (
            self._pictures
            if learner is self._model
            else functools.partial(
                vectors.train_batches,
                self._dataset,
                self._vectors(),
                split=self._settings.train_split,
            )
        )
        make = functools.partial(
            make,
            seed=self._settings.seed,
            first_step=first_step,
            epochs=epochs,
            repeats=self._repeats,
        )
        return iter(
            strategy.distribute(
                self._devices,
                self._settings.batch_size,
                make,
                self._settings.accumulate,
            )
        )

    def evaluator(self, learner: keras.Model) -> evaluation.Evaluator | None:
        """What measures a learner; None: there is nothing to measure on."""
        if learner is self._model or self._evaluator is None:
            return self._evaluator
        batches = functools.partial(
            vectors.evaluation_batches,
            self._dataset,
            self._vectors(),
            self._settings.validation_split,
        )
        return self._make_evaluator(learner, batches)

    def reading(
        self, learner: keras.Model
    ) -> contextlib.AbstractContextManager[None]:
        """Names the folder when a file of what a learner gets is damaged."""
        if learner is self._model:
            return tfrecords.reading(self._dataset)
        return vectors.reading(self._vectors())

    def sample(self, learner: keras.Model) -> np.ndarray | None:
        """A few pictures, uint8 [N, S, S, 3], as the learner gets them."""
        if learner is not self._model:
            return None
        size = min(16, self._settings.batch_size)
        batches = self._pictures(
            batch_size=size, seed=self._settings.seed, epochs=1
        )
        return next(iter(batches))["image"].numpy()

    def make_vectors(self) -> None:
        """Makes the vectors that are still missing, every host its part."""
        settings = self._settings
        backbone = stages.split(self._model)[0]
        count, host = hosts.place(self._devices)
        for split in (settings.train_split, settings.validation_split):
            if split:
                vectors.write(
                    self._dataset,
                    split,
                    self._vectors(),
                    functools.partial(backbone, training=False),
                    fingerprint=self._fingerprint(backbone),
                    batch_size=settings.batch_size // settings.accumulate,
                    image_size=self._model.input_shape[1],
                    num_pipelines=count,
                    pipeline=host,
                )
        hosts.wait_for_all(self._devices)

    def _fingerprint(self, backbone: keras.Model) -> str:
        """A hash of what decides the vectors."""
        digest = hashlib.sha256(repr(backbone.input_shape).encode())
        digest.update((self._dataset.path / tfrecords.SETTINGS).read_bytes())
        for weight in backbone.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()

    def _vectors(self) -> pathlib.Path:
        return pathlib.Path(self._settings.run) / "vectors"

    def _pictures(self, **arguments) -> tf.data.Dataset:
        return pipeline.train_batches(
            self._dataset,
            split=self._settings.train_split,
            image_size=self._model.input_shape[1],
            augment=self._settings.augment,
            **arguments,
        )

    def _make_evaluator(
        self, learner: keras.Model, batches: Callable | None = None
    ) -> evaluation.Evaluator | None:
        if not self._settings.validation_split:
            return None
        return evaluation.Evaluator(
            self._dataset,
            self._settings.validation_split,
            learner,
            self._devices,
            self._settings.batch_size // self._settings.accumulate,
            batches,
        )

    def _count(self) -> np.ndarray:
        table = tfrecords.read_table(self._dataset, self._settings.train_split)
        labels = table["label"][table["label"] >= 0]
        return np.bincount(labels, minlength=self._dataset.num_classes)
