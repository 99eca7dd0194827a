"""Our own DELF as a SavedModel with the signature of google/delf/1.

Noh et al. 2017, Section 3: a picture is looked at in several sizes, a network
gives features and their attention, the most attended that are no neighbours
stay, and PCA makes their descriptors short. See `delf` for what such a module
takes and gives.
"""

from typing import Any

import keras
import tensorflow as tf

from landmark_tf.features.projection import Projection

OVERLAP = 0.8  # of two receptive fields, of which one is left out
TYPICAL = 100.0  # the score of a typical feature, where thresholds begin

_SETTINGS = (
    tf.TensorSpec([], tf.float32, "score_threshold"),
    tf.TensorSpec([None], tf.float32, "image_scales"),
    tf.TensorSpec([], tf.int32, "max_feature_num"),
)


class Grid(tf.Module):
    """All features of a picture, before the best are chosen.

    Args:
        network: float32 images [B, H, W, 3], 0 to 255, -> features [B, h, w, C]
            and attention [B, h, w, 1].
        offset: (y, x) of the first feature's centre, in pixels.
        stride: pixels between two features.
        smallest: side in pixels from which on the network has features.
    """

    def __init__(
        self,
        network: keras.Model,
        offset: tuple[float, float],
        stride: tuple[int, int],
        smallest: int,
    ):
        super().__init__(name="grid")
        self.channels = network.output_shape[0][-1]
        self.smallest = smallest
        # Following all its layers would take long; these are enough to save.
        self._variables = [weight.value for weight in network.weights]
        self._network = _Untracked(network)
        self._offset = tf.constant(offset, tf.float32)
        self._stride = tf.constant(stride, tf.float32)

    def __call__(
        self, images: tf.Tensor, scale: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Looks at pictures of one size, shrunk or enlarged.

        Args:
            images: float32 [B, H, W, 3] in [0, 1].
            scale: float32 [], such that both sides are at least `smallest`.

        Returns:
            Locations float32 [h * w, 2], (y, x) in pixels of the images;
            attention float32 [B, h * w]; descriptors float32 [B, h * w, C] of
            length 1.
        """
        old = tf.cast(tf.shape(images)[1:3], tf.float32)
        size = tf.cast(tf.round(old * scale), tf.int32)
        images = tf.image.resize(images, size, antialias=True)
        features, attention = self._network.model(images * 255, training=False)
        rows, columns = tf.shape(features)[1], tf.shape(features)[2]
        places = tf.stack(
            tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij"), -1
        )
        places = tf.cast(tf.reshape(places, [-1, 2]), tf.float32)
        centres = self._offset + self._stride * places + 0.5
        locations = centres * old / tf.cast(size, tf.float32) - 0.5
        count = tf.shape(images)[0]
        attention = tf.reshape(attention, [count, -1])
        features = tf.reshape(features, [count, -1, self.channels])
        return locations, attention, tf.math.l2_normalize(features, -1)


class _Untracked:
    """Hides a model from what is saved."""

    def __init__(self, model: keras.Model):
        self.model = model


class Delf(tf.Module):
    """Pictures to local features.

    Args:
        grid: what finds them.
        field: pixels that a feature sees, (y, x).
        projection: what shortens their descriptors.
        typical: attention of a typical feature; its score is 100.
    """

    def __init__(
        self,
        grid: Grid,
        field: tuple[int, int],
        projection: Projection,
        typical: float,
    ):
        super().__init__(name="delf")
        self._grid = grid
        self._half = tf.constant(field, tf.float32) / 2
        self._mean = tf.constant(projection.mean)
        self._matrix = tf.constant(projection.matrix)
        self._gain = TYPICAL / typical
        images = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
        self.many = tf.function(
            self._many, input_signature=[images, *_SETTINGS]
        )
        image = tf.TensorSpec([None, None, 3], tf.float32, "image")
        self.one = tf.function(self._one, input_signature=[image, *_SETTINGS])

    def save(self, path: str) -> None:
        """Writes the SavedModel; loading it needs TensorFlow alone."""
        tf.saved_model.save(
            self, path, signatures={"default": self.one, "batch": self.many}
        )

    def _one(self, image, score_threshold, image_scales, max_feature_num):
        found = self._many(
            image[None], score_threshold, image_scales, max_feature_num
        )
        count = found["count"][0]
        return {
            name: found[name][0, :count]
            for name in ("locations", "descriptors")
        }

    def _many(
        self, images, score_threshold, image_scales, max_feature_num
    ) -> dict[str, tf.Tensor]:
        locations, scales, scores, descriptors = self._pyramid(
            images, image_scales
        )
        # A feature at a smaller size sees more of the picture.
        half = self._half / scales[:, None]
        boxes = tf.concat([locations - half, locations + half], axis=1)

        def best(given: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            scores, descriptors = given
            chosen = tf.image.non_max_suppression(
                boxes, scores, max_feature_num, OVERLAP, score_threshold
            )
            count = tf.size(chosen)
            columns = {
                "locations": tf.gather(locations, chosen),
                "scales": tf.gather(scales, chosen),
                "scores": tf.gather(scores, chosen),
                "descriptors": tf.gather(descriptors, chosen),
            }
            lacking = max_feature_num - count
            return {
                name: tf.pad(x, [[0, lacking]] + [[0, 0]] * (x.shape.rank - 1))
                for name, x in columns.items()
            } | {"count": count}

        dimension = self._matrix.shape[1]
        kinds = {
            "locations": tf.TensorSpec([None, 2], tf.float32),
            "scales": tf.TensorSpec([None], tf.float32),
            "scores": tf.TensorSpec([None], tf.float32),
            "descriptors": tf.TensorSpec([None, dimension], tf.float32),
            "count": tf.TensorSpec([], tf.int32),
        }
        return tf.map_fn(best, (scores, descriptors), fn_output_signature=kinds)

    def _pyramid(self, images: tf.Tensor, image_scales: tf.Tensor) -> Any:
        """The features of all sizes that are large enough.

        Returns:
            Locations [K, 2], scales [K], scores [B, K], descriptors [B, K, D].
        """
        count, dimension = tf.shape(images)[0], self._matrix.shape[1]
        side = tf.reduce_min(tf.shape(images)[1:3])
        places = tf.zeros([0, 2])
        scales = tf.zeros([0])
        scores = tf.zeros([count, 0])
        descriptors = tf.zeros([count, 0, dimension])
        for scale in image_scales:
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[
                    (places, tf.TensorShape([None, 2])),
                    (scales, tf.TensorShape([None])),
                    (scores, tf.TensorShape([None, None])),
                    (descriptors, tf.TensorShape([None, None, dimension])),
                ]
            )
            smaller = tf.round(tf.cast(side, tf.float32) * scale)
            if smaller >= self._grid.smallest:
                found, attention, features = self._grid(images, scale)
                features = (features - self._mean) @ self._matrix
                features = tf.math.l2_normalize(features, -1)
                places = tf.concat([places, found], 0)
                more = tf.fill([tf.shape(found)[0]], scale)
                scales = tf.concat([scales, more], 0)
                scores = tf.concat([scores, attention * self._gain], 1)
                descriptors = tf.concat([descriptors, features], 1)
        return places, scales, scores, descriptors
