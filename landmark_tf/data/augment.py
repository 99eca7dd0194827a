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
their halves, `transformation` and `augment_image`, which have no state: the
first for many pictures at once, as each operation on one costs as much.
"""

import contextlib
import functools
import io
import math
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from landmark_tf.data import randomness

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
    are uniform in [0, 1), for any number of pictures; neither has a state.

    Args:
        image_size: S, the side of the result in pixels, where it is resized.
        antialias: see `squash`.
        **kwargs: of keras_cv's base layer, such as `seed`.
    """

    draws: int

    def __init__(
        self, image_size: int = 128, antialias: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.antialias = antialias
        self.auto_vectorize = False  # crops of a batch differ in size

    def get_random_transformation(self, **unused) -> tf.Tensor:
        seed = self._random_generator.make_seeds(1)[:, 0]
        return self.transformation(randomness.uniform(seed, self.draws))

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

    @classmethod
    def transformation(cls, draws: tf.Tensor) -> tf.Tensor:
        """[..., 4] -> [..., 2, 3]: shares of the picture, of what is left."""
        log_area = tf.math.log(_between(draws[..., 0], *cls.area))
        fits = tf.minimum(math.log(cls.aspect), -log_area)
        half = _between(draws[..., 1], -0.5, 0.5) * fits  # of log(aspect)
        half = tf.stack([-half, half], axis=-1)
        share = tf.exp(0.5 * log_area[..., None] + half)
        box = tf.stack([share, draws[..., 2:4]], axis=-2)  # height, width; y, x
        channels = tf.ones_like(box[..., :1]) * [[1.0], [0.0]]
        return tf.concat([box, channels], axis=-1)

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> float32 [S, S, 3]."""
        share, place = tf.unstack(transformation)
        shape = tf.cast(tf.shape(image), tf.float32)
        size = tf.maximum(tf.round(shape * share), 1.0)
        start = (shape - size + 1.0) * place
        part = tf.slice(
            image, tf.cast(start, tf.int32), tf.cast(size, tf.int32)
        )
        return squash(part, self.image_size, self.antialias)


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

    @classmethod
    def transformation(cls, draws: tf.Tensor) -> tf.Tensor:
        """[..., 4] -> [..., 4, 3]: of a pixel, and of the picture's mean."""
        turn = 2 * math.pi * cls.hue
        low, high = ([x] * 3 for x in cls.factor)
        values = _between(draws[..., :4], [*low, -turn], [*high, turn])
        values = tf.unstack(values[..., None, None], axis=-3)
        brightness, contrast, saturation, angle = values
        turned = tf.cos(angle) * _CHROMA + tf.sin(angle) * _TURNED
        colours = contrast * (_GREY + saturation * turned)
        mean = (1.0 - contrast) * _YIQ[:1]
        return brightness * tf.concat([colours, mean], axis=-2)

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> float32 [H, W, 3], both in [0, 255]."""
        of_pixel, of_mean = tf.split(transformation, [3, 1])
        image = tf.cast(image, tf.float32)
        # Column by column first, which is many times as fast.
        columns = tf.reduce_mean(image, axis=0)
        mean = tf.reduce_mean(tf.matmul(columns, of_mean, transpose_b=True))
        pixels = tf.reshape(image, [-1, 3]) @ of_pixel + mean
        pixels = tf.clip_by_value(pixels, 0.0, 255.0)
        return tf.reshape(pixels, tf.shape(image))


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

    @classmethod
    def transformation(cls, draws: tf.Tensor) -> tf.Tensor:
        """[..., 5] -> [..., 2, 3]: where each point of a unit square was."""
        angle, shift = math.radians(cls.degrees), cls.translate
        low = [-angle, -angle, cls.scale[0], -shift, -shift]
        high = [angle, angle, cls.scale[1], shift, shift]
        values = tf.unstack(_between(draws[..., :5], low, high), axis=-1)
        angle, shear, scale, x, y = values
        cos, sin, tan = tf.cos(angle), tf.sin(angle), tf.tan(shear)
        rows = [  # of (R S Sh)^-1
            (
                a / scale,
                b / scale,
                0.5 - (a * (x + 0.5) + b * (y + 0.5)) / scale,
            )
            for a, b in ((cos - tan * sin, sin + tan * cos), (-sin, cos))
        ]
        return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)

    def augment_image(self, image, transformation, **unused):
        """Image [H, W, 3] -> [S, S, 3] of the same dtype, uint8 or float32."""
        side = self.image_size
        size = tf.cast(tf.shape(image)[1::-1, None], tf.float32)
        centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, side]]) / side
        matrix = size * (transformation @ centres) - [[0.0, 0.0, 0.5]]
        warp = functools.partial(_warp, side=side)
        warped = tf.numpy_function(warp, [image, matrix], image.dtype, False)
        return tf.ensure_shape(warped, [side, side, 3])


def _warp(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    # TensorFlow's own kernel takes several times as long, this call's way out
    # of the graph included; OpenCV's takes twice as long for three channels.
    warped = cv2.warpAffine(
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


def draw(keys: tf.Tensor, ids: tf.Tensor, augment: str) -> dict[str, tf.Tensor]:
    """What is to happen to each of n pictures: a function of key and id alone.

    Args:
        keys: int64 [n].
        ids: string [n].
        augment: one of `AUGMENTS`.

    Returns:
        What `decode_and_augment` takes, a row for each picture.
    """
    if augment == "none":
        return {}
    draws = randomness.hashed(keys, ids, 7)
    # Of height, width and channels: mirrored?
    drawn = {"flip": tf.pad(draws[:, :1] < 0.5, [[0, 0], [1, 1]])}
    if augment == "report":
        drawn["change"] = tf.cast(draws[:, 1] * 3, tf.int32)
        drawn["transformations"] = tuple(
            kind.transformation(draws[:, 2:]) for kind in _KINDS
        )
    return drawn


def decode_and_augment(
    jpeg: tf.Tensor,
    drawn: dict[str, tf.Tensor],
    image_size: int,
    antialias: bool = False,
) -> tf.Tensor:
    """One stored picture, decoded, changed as drawn, and squashed.

    Args:
        jpeg: the bytes of a JPEG, string [].
        drawn: a row of what `draw` returned.
        image_size: S, in pixels.
        antialias: see `squash`.

    Returns:
        uint8 [S, S, 3].
    """
    image = tf.io.decode_jpeg(jpeg, channels=3)
    if "change" in drawn:
        image = _change(image, drawn, image_size, antialias)
    else:
        image = to_uint8(squash(image, image_size, antialias))
    if "flip" not in drawn:
        return image
    # What is behind tf.reverse, which needs its axis while the graph is made.
    return tf.raw_ops.Reverse(tensor=image, dims=drawn["flip"])


def _change(
    image: tf.Tensor,
    drawn: dict[str, tf.Tensor],
    image_size: int,
    antialias: bool,
) -> tf.Tensor:
    crop, jitter, affine = _layers(image_size, antialias)
    box, colours, matrix = drawn["transformations"]

    def jittered() -> tf.Tensor:
        small = squash(image, image_size, antialias)
        return to_uint8(jitter.augment_image(small, colours))

    def warped() -> tf.Tensor:
        small = image
        if antialias:  # OpenCV's warp does not
            small = to_uint8(squash(image, image_size, antialias))
        return affine.augment_image(small, matrix)

    branches = [
        lambda: to_uint8(crop.augment_image(image, box)),
        jittered,
        warped,
    ]
    result = tf.switch_case(drawn["change"], branches)
    return tf.ensure_shape(result, [image_size, image_size, 3])


_KINDS = RandomResizedCrop, ColorJitter, RandomAffine


@functools.cache
def _layers(image_size: int, antialias: bool) -> tuple[_Layer, ...]:
    cv2.setNumThreads(0)  # pictures are spread over the cores, not their parts
    with tf.init_scope():  # their generators must outlive the graph
        return tuple(kind(image_size, antialias) for kind in _KINDS)


def squash(
    image: tf.Tensor, image_size: int, antialias: bool = False
) -> tf.Tensor:
    """Image [H, W, 3] -> float32 [S, S, 3], bilinear, aspect not kept.

    Antialiasing takes five times as long, and is needed where pictures shrink
    to much less than their size.
    """
    size = [image_size, image_size]
    resized = tf.image.resize(image, size, antialias=antialias)
    return tf.cast(resized, tf.float32)  # uint8 of that size comes back as is


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds floats in [0, 255] to uint8."""
    return tf.cast(image + 0.5, tf.uint8)


def _between(draw: tf.Tensor, low: Any, high: Any) -> tf.Tensor:
    return draw * np.subtract(high, low, dtype=np.float32) + np.float32(low)
