"""What a network looks at: gradients, Grad-CAM and attention masks.

Sources: Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N 2019, Section
5.4.1 (saliency); Smilkov et al., "SmoothGrad", 2017, equation 2; Selvaraju et
al., "Grad-CAM", ICCV 2017, equations 1 and 2; Wang et al., "Residual Attention
Network", CVPR 2017 (masks).
"""

import keras
import numpy as np
import tensorflow as tf

from landmark_tf.models import graphs

_MASK = "_mask"  # ends the names of the layers that hold attention masks


class Explainer:
    """Explains the answers of a network.

    Args:
        model: uint8 images [N, S, S, 3] -> logits [N, C], of `models.registry`.
        endpoint: the layer of Grad-CAM, with features [N, H, W, D].
    """

    def __init__(self, model: keras.Model, endpoint: str = "conv5_x"):
        self.image_size: int = model.input_shape[1]
        self._normalize = model.get_layer("normalize")
        self.mask_names = [
            layer.name for layer in model.layers if layer.name.endswith(_MASK)
        ]
        masks = [model.get_layer(name).output for name in self.mask_names]
        features = model.get_layer(endpoint).output
        pixels = self._normalize.output
        with graphs.deep_graphs():
            self._network = keras.Model(pixels, model.output)
            self._body = keras.Model(pixels, [features, *masks])
            self._head = keras.Model(features, model.output)
        self._pixel_slope = tf.function(self._slope_by_pixels)
        self._feature_slope = tf.function(self._slope_by_features)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """The class scores, float32 [N, C], of pixels 0 to 255 [N, S, S, 3]."""
        pixels = self._normalize(tf.cast(images, tf.float32))
        return tf.cast(
            self._network(pixels, training=False), tf.float32
        ).numpy()

    def saliency(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """How much each pixel moves the unnormalised score of a class.

        Args:
            images: pixels from 0 to 255, uint8 or float [N, S, S, 3].
            classes: int [N], the class to explain of each picture.

        Returns:
            The absolute gradient of the class score by the pixels, the largest
            of the three channels, float32 [N, S, S], in 1 / grey level.
        """
        return _largest(self._gradient(images, classes))

    def smooth_grad(
        self,
        images: np.ndarray,
        classes: np.ndarray,
        samples: int = 16,
        noise: float = 0.15,
        seed: int = 0,
    ) -> np.ndarray:
        """Saliency of the mean gradient over noisy copies of the pictures.

        Args:
            images: pixels from 0 to 255, uint8 or float [N, S, S, 3].
            classes: int [N], the class to explain of each picture.
            samples: copies, at least 1.
            noise: standard deviation of the noise as a share of the picture's
                largest less its smallest value.
            seed: of the noise.

        Returns:
            float32 [N, S, S], as of `saliency`.
        """
        images = np.asarray(images, np.float32)
        span = np.ptp(images, axis=(1, 2, 3), keepdims=True)
        total = np.zeros_like(images)
        for sample in range(samples):
            drawn = tf.random.stateless_normal(images.shape, (seed, sample))
            noisy = images + noise * span * drawn.numpy()
            total += self._gradient(noisy, classes)
        return _largest(total / samples)

    def grad_cam(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Where the features are that speak for a class.

        Args:
            images: pixels from 0 to 255, uint8 or float [N, S, S, 3].
            classes: int [N], the class to explain of each picture.

        Returns:
            float32 [N, S, S] in [0, 1], the largest of each picture 1; all 0
            where nothing speaks for the class.
        """
        images, labels = _several(images, classes)
        features, slope = self._feature_slope(images, labels)
        features, slope = features[: len(classes)], slope[: len(classes)]
        slope = tf.reduce_mean(slope, (1, 2))
        maps = tf.einsum("nhwd,nd->nhw", features, slope)
        return self._heat(tf.nn.relu(tf.cast(maps, tf.float32)))

    def masks(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The attention masks, each the mean over its channels.

        Args:
            images: pixels from 0 to 255, uint8 or float [N, S, S, 3].

        Returns:
            By the name of the layer, in the network's order, float32
            [N, H, W] in [0, 1]; empty for networks without attention.
        """
        _, *masks = self._features(images)
        return {
            name: tf.reduce_mean(tf.cast(mask, tf.float32), -1).numpy()
            for name, mask in zip(self.mask_names, masks)
        }

    def _gradient(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        slope = self._pixel_slope(*_several(images, classes))
        return slope[: len(classes)].numpy()

    def _slope_by_pixels(self, pixels: tf.Tensor, labels: tf.Tensor):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            logits = self._network(self._normalize(pixels), training=False)
            score = _scores(logits, labels)
        return tape.gradient(score, pixels)

    def _slope_by_features(self, pixels: tf.Tensor, labels: tf.Tensor):
        features, *_ = self._features(pixels)
        with tf.GradientTape() as tape:
            tape.watch(features)
            score = _scores(self._head(features, training=False), labels)
        return features, tape.gradient(score, features)

    def _features(self, images: np.ndarray) -> list[tf.Tensor]:
        pixels = self._normalize(tf.cast(images, tf.float32))
        found = self._body(pixels, training=False)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def _heat(self, maps: tf.Tensor) -> np.ndarray:
        side = (self.image_size, self.image_size)
        maps = tf.image.resize(maps[..., None], side)[..., 0]
        most = tf.reduce_max(maps, (1, 2), keepdims=True)
        return tf.math.divide_no_nan(maps, most).numpy()


def _several(
    images: np.ndarray, classes: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels and classes, a single picture twice.

    With oneDNN the gradient of TensorFlow 2.21's 1x1 convolution of stride 2
    writes beyond its memory, in a batch of one outside a tf.function.
    """
    times = 2 if len(images) == 1 else 1
    pixels = tf.repeat(tf.cast(images, tf.float32), times, axis=0)
    return pixels, tf.repeat(tf.cast(classes, tf.int32), times, axis=0)


def _scores(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """The sum of the pictures' scores: a picture moves its own alone."""
    chosen = tf.gather(tf.cast(logits, tf.float32), classes, batch_dims=1)
    return tf.reduce_sum(chosen)


def _largest(gradient: np.ndarray) -> np.ndarray:
    return np.abs(gradient).max(axis=-1)
