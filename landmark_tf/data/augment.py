"""The random changes of training pictures, drawn statelessly.

    --augment=report   half of the pictures are mirrored; then each is cropped,
                       or its colours are changed, or it is warped
    --augment=flip     half of the pictures are mirrored
    --augment=none     nothing

These are the steps and ranges of torchvision that the report trained with
(Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N, 2019), but a picture
is interpolated once, straight from its stored size; colours are clipped once;
and mirroring comes last, which is the same, as the changes are symmetric.

The three changes are keras_cv layers. Called on float pictures they draw from
their own generator, as every keras_cv layer does; the input pipeline calls
their halves, `transformation` and `augment_image`, which have no state.
"""

import contextlib
import functools
import io
import math
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

with contextlib.redirect_stdout(io.StringIO()):  # it announces its backend
    import keras_cv

AUGMENTS = ("report", "flip", "none")

# RGB to luma, which PIL and torchvision call grey (ITU-R BT.601), and to the
# two axes of NTSC in whose plane hue is an angle.
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)
# Matrices for rows, rgb @ M: the grey of a pixel, what is left without it, and
# that turned by 90 degrees, red towards green.
_GREY = np.outer(_YIQ[0], [1, 1, 1])
_CHROMA = np.eye(3) - _GREY
_TURNED = (np.linalg.inv(_YIQ) @ [[0] * 3, [0, 0, 1], [0, -1, 0]] @ _YIQ).T


class _Layer(keras_cv.layers.BaseImageAugmentationLayer):
    """A change of one picture.

    `transformation` makes what `augment_image` takes of `draws` numbers that
    are uniform in [0, 1); neither has a state.

    Args:
        image_size: S, the side of the result in pixels, where it is resized.
        **kwargs: of keras_cv's base layer, such as `seed`.
    """

    draws: int

    def __init__(self, image_size: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.auto_vectorize = False  # crops of a batch differ in size

    def get_random_transformation(self, **unused) -> list[tf.Tensor]:
        seed = self._random_generator.make_seeds(1)[:, 0]
        return self.transformation(uniform(seed, self.draws))

    def augment_label(self, label, transformation, **unused):
        return label


class RandomResizedCrop(_Layer):
    """A random part of the picture, squashed to the square.

    The area is uniform. The logarithm of the aspect ratio is uniform over what
    of its range fits into the picture; torchvision draws both again until they
    fit, which makes areas above 3/4 a little rarer. Both are relative to the
    squashed picture, as in the report.
    """

    draws = 4
    area = (0.08, 1.0)
    aspect = 4 / 3  # width / height and height / width at most

    def transformation(self, draws: tf.Tensor) -> list[tf.Tensor]:
        """[height, width] as shares of the picture's, [y, x] of the rest."""
        area = _between(draws[0], *self.area)
        log_area = tf.math.log(area)
        fits = tf.minimum(math.log(self.aspect), -log_area)
        half = _between(draws[1], -0.5, 0.5) * fits  # of the aspect's logarithm
        share = tf.exp(0.5 * log_area + tf.stack([-half, half]))
        return [share, draws[2:4]]

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> float32 [S, S, 3]."""
        share, place = transformation
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        size = tf.maximum(tf.round(shape * share), 1.0)
        start = tf.floor((shape - size + 1.0) * place)
        start, size = tf.cast(start, tf.int32), tf.cast(size, tf.int32)
        part = tf.slice(image, [start[0], start[1], 0], [size[0], size[1], 3])
        return squash(part, self.image_size)


class ColorJitter(_Layer):
    """Random brightness, contrast, saturation and hue, as one 3x3 matrix.

    Brightness scales, contrast blends with the picture's mean grey, saturation
    with each pixel's grey, as in PIL and torchvision. Hue turns the colours
    about the grey axis and keeps luma (Haeberli, "Matrix Operations for Image
    Processing", 1993); torchvision turns the H of HSV, which keeps the largest
    channel. As all four are linear here, their order does not matter.
    """

    draws = 4
    factor = (0.8, 1.2)  # of brightness, contrast and saturation
    hue = 0.2  # at most, either way; in full turns

    def transformation(self, draws: tf.Tensor) -> list[tf.Tensor]:
        """Factors of brightness, contrast and saturation; hue in radians."""
        turn = 2 * math.pi * self.hue
        low, high = ([x] * 3 for x in self.factor)
        return tf.unstack(_between(draws[:4], [*low, -turn], [*high, turn]))

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> float32 [H, W, 3], both in [0, 255]."""
        brightness, contrast, saturation, angle = transformation
        shape = tf.shape(image)
        grey, chroma, turned = (
            tf.constant(matrix, tf.float32)
            for matrix in (_GREY, _CHROMA, _TURNED)
        )
        matrix = grey + saturation * (
            tf.cos(angle) * chroma + tf.sin(angle) * turned
        )
        pixels = tf.reshape(tf.cast(image, tf.float32), [-1, 3])
        mean = tf.reduce_mean(pixels @ grey[:, :1])
        pixels = pixels @ (brightness * contrast * matrix)
        pixels += brightness * (1.0 - contrast) * mean
        return tf.reshape(tf.clip_by_value(pixels, 0.0, 255.0), shape)


class RandomAffine(_Layer):
    """Shear, scale, rotation and translation in one interpolation.

    The picture, squashed to a square, is sheared along x, scaled and rotated
    about its centre, then moved: torchvision's M = T C R S Sh C^-1. All around
    it is black.
    """

    draws = 5
    degrees = 15.0  # of rotation and of shear, at most, either way
    translate = 0.2  # at most, either way; in sides
    scale = (0.8, 1.2)

    def transformation(self, draws: tf.Tensor) -> list[tf.Tensor]:
        """Angle (clockwise) and shear in radians, scale, x and y in sides."""
        angle, shift = math.radians(self.degrees), self.translate
        low = [-angle, -angle, self.scale[0], -shift, -shift]
        high = [angle, angle, self.scale[1], shift, shift]
        return tf.unstack(_between(draws[:5], low, high))

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> [S, S, 3] of the same dtype, uint8 or float32."""
        angle, shear, scale, x, y = transformation
        cos, sin, tan = tf.cos(angle), tf.sin(angle), tf.tan(shear)
        inverse = tf.stack(  # (R S Sh)^-1
            [[cos - tan * sin, sin + tan * cos], [-sin, cos]]
        )
        inverse /= scale
        side = self.image_size
        size = tf.cast(tf.shape(image)[1::-1], tf.float32)  # width, height
        first = 0.5 / side - 0.5 - tf.stack([x, y])  # pixel 0's centre, moved
        start = tf.linalg.matvec(inverse, first) + 0.5
        matrix = tf.concat([inverse / side, start[:, None]], axis=1)
        matrix = matrix * size[:, None] - [[0.0, 0.0, 0.5]]
        warped = tf.numpy_function(
            _warp, [image, matrix, side], image.dtype, stateful=False
        )
        return tf.ensure_shape(warped, [side, side, 3])


def _warp(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    # TensorFlow's own kernel takes twice as long, this call's way out of the
    # graph included.
    return cv2.warpAffine(
        image,
        matrix,
        (int(side), int(side)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )


def decode_and_augment(
    jpeg: tf.Tensor, seed: tf.Tensor, image_size: int, augment: str = "report"
) -> tf.Tensor:
    """One stored picture, decoded, changed at random, and squashed.

    Args:
        jpeg: the bytes of a JPEG, string [].
        seed: int64 [2]; the same seed gives the same bytes.
        image_size: S, in pixels.
        augment: one of `AUGMENTS`.

    Returns:
        uint8 [S, S, 3].
    """
    image = tf.io.decode_jpeg(jpeg, channels=3)
    if augment == "none":
        return to_uint8(squash(image, image_size))
    draws = uniform(seed, 7)
    flip, choice = draws[0], draws[1]
    if augment == "flip":
        image = to_uint8(squash(image, image_size))
    else:
        image = _change(image, choice, draws[2:], image_size)
    # What is behind tf.reverse, which needs its axis while the graph is made.
    return tf.raw_ops.Reverse(
        tensor=image, dims=tf.stack([False, flip < 0.5, False])
    )


def _change(
    image: tf.Tensor, choice: tf.Tensor, draws: tf.Tensor, image_size: int
) -> tf.Tensor:
    crop, jitter, affine = _layers(image_size)

    def cropped() -> tf.Tensor:
        return to_uint8(crop.augment_image(image, crop.transformation(draws)))

    def jittered() -> tf.Tensor:
        colours = jitter.transformation(draws)
        small = squash(image, image_size)
        return to_uint8(jitter.augment_image(small, colours))

    def warped() -> tf.Tensor:
        return affine.augment_image(image, affine.transformation(draws))

    index = tf.cast(choice * 3, tf.int32)
    changed = tf.switch_case(index, [cropped, jittered, warped])
    return tf.ensure_shape(changed, [image_size, image_size, 3])


@functools.cache
def _layers(image_size: int) -> tuple[_Layer, ...]:
    with tf.init_scope():  # their generators must outlive the graph
        kinds = RandomResizedCrop, ColorJitter, RandomAffine
        return tuple(kind(image_size) for kind in kinds)


def squash(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Image [H, W, 3] -> float32 [S, S, 3], bilinear, aspect not kept.

    Without antialiasing, which takes five times as long: pictures to train on
    should be stored at less than twice the size they are trained at.
    """
    resized = tf.image.resize(image, [image_size, image_size])
    return tf.cast(resized, tf.float32)  # uint8 of that size comes back as is


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds floats in [0, 255] to uint8."""
    return tf.cast(image + 0.5, tf.uint8)


def uniform(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Draws numbers that are a function of the seed alone, on any machine.

    Args:
        seed: int64 [2].
        count: how many.

    Returns:
        float32 [count], uniform in [0, 1). (Philox: Salmon et al., "Parallel
        random numbers: as easy as 1, 2, 3", SC 2011.)
    """
    return tf.raw_ops.StatelessRandomUniform(shape=[count], seed=seed)


def _between(draw: tf.Tensor, low: Any, high: Any) -> tf.Tensor:
    return draw * np.subtract(high, low, dtype=np.float32) + np.float32(low)
