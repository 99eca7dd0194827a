"""From the bytes of a photograph to landmarks: one graph for every use.

`predict` and the exported SavedModel run the same functions, so that a
submission made with either is the same.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from landmark_tf.data import pipeline


class Recogniser(tf.Module):
    """A network with its landmarks and its threshold.

    Args:
        model: uint8 images [N, S, S, 3] -> logits [N, C].
        landmark_ids: int64 [C], the landmark of each class.
        top_k: k, the number of landmarks to answer with, in [1, C].
        threshold: the least confidence, in [0, 1], at which the most confident
            landmark counts as seen.
    """

    def __init__(
        self,
        model: keras.Model,
        landmark_ids: np.ndarray,
        top_k: int = 1,
        threshold: float = 0.0,
    ):
        super().__init__(name="recogniser")
        self._model = functools.partial(model, training=False)
        # Of the model an export needs only these: following all its layers
        # would take longer than everything else.
        self._variables = [weight.value for weight in model.weights]
        self.image_size = model.input_shape[1]
        self._landmark_ids = tf.constant(landmark_ids, tf.int64)
        self.top_k = min(top_k, len(landmark_ids))
        self._threshold = tf.constant(threshold, tf.float32)
        self._image = tf.TensorSpec(
            (self.image_size, self.image_size, 3), tf.uint8
        )
        images = tf.TensorSpec([None, *self._image.shape], tf.uint8)
        self.recognise = tf.function(self._recognise, input_signature=[images])
        self.serve = tf.function(
            self._serve,
            input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")],
        )

    def preprocess(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """One JPEG or PNG, string [], to uint8 [S, S, 3]."""
        return pipeline.preprocess(image_bytes, self.image_size)

    def _recognise(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(images)[0]
        # A batch of none would crash convolutions, so it gets a black picture.
        lacking = tf.cast(tf.equal(count, 0), tf.int32)
        images = tf.pad(images, [[0, lacking], [0, 0], [0, 0], [0, 0]])
        logits = tf.cast(self._model(images), tf.float32)
        logits = logits[:count]
        confidence, label = tf.math.top_k(tf.nn.softmax(logits), self.top_k)
        return {
            "landmark_id": tf.gather(self._landmark_ids, label),
            "confidence": confidence,
            "is_landmark": confidence[:, 0] >= self._threshold,
        }

    def _serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            self.preprocess, image_bytes, fn_output_signature=self._image
        )
        return self._recognise(images)
