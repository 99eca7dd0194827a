"""Warm-up requests for TensorFlow Serving, kept inside an exported model.

The first request that reaches a model that was just loaded waits until
everything has been set up that is set up when first used. TensorFlow Serving
therefore answers the requests of `assets.extra/tf_serving_warmup_requests`
before it takes any other: a TFRecord file whose records are `PredictionLog`
messages. If one of them fails, the model is not served at all.

The package tensorflow-serving-api, which has these messages, exists for each
release of TensorFlow anew; the few fields needed here are written without it.
"""

import os
from collections.abc import Sequence

import tensorflow as tf

from landmark_tf.files import records

FILE = "tf_serving_warmup_requests"  # in the folder assets.extra

_HEIGHT, _WIDTH = 480, 640  # pixels


def write(path: str | os.PathLike, batches: Sequence[int]) -> None:
    """Writes requests for the signature of `serving.Recogniser.serve`.

    Args:
        path: the file to write; TensorFlow Serving looks for the name `FILE`.
        batches: the number of pictures, at least 1, of each request.

    Raises:
        OSError: the disk is full or fails.
    """
    jpeg = picture()
    with records.writing(path) as writer:
        for size in batches:
            writer.write(prediction_log([jpeg] * size))


def picture() -> bytes:
    """A JPEG of the shape of a photograph: colours that change evenly."""
    down, across = tf.meshgrid(
        tf.linspace(0.0, 255.0, _HEIGHT),
        tf.linspace(0.0, 255.0, _WIDTH),
        indexing="ij",
    )
    colours = tf.stack([down, across, 255.0 - down], axis=-1)
    return tf.io.encode_jpeg(tf.cast(colours, tf.uint8)).numpy()


def prediction_log(image_bytes: Sequence[bytes]) -> bytes:
    """A request as the message `tensorflow.serving.PredictionLog`.

    Its fields and their numbers, from prediction_log.proto, predict.proto and
    model.proto in tensorflow_serving/apis:

        PredictionLog: PredictLog predict_log = 6
        PredictLog: PredictRequest request = 1
        PredictRequest: ModelSpec model_spec = 1
                        map<string, TensorProto> inputs = 2
        ModelSpec: string signature_name = 3

    The model's name is left out: the server gives it, and the request is
    answered by the model in whose folder it lies.

    Args:
        image_bytes: N encoded pictures.
    """
    signature = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY.encode()
    tensor = tf.make_tensor_proto(list(image_bytes), tf.string)
    # On the wire a map is a list of entries with the fields key = 1, value = 2.
    entry = _field(1, b"image_bytes") + _field(2, tensor.SerializeToString())
    request = _field(1, _field(3, signature)) + _field(2, entry)
    return _field(6, _field(1, request))


def _field(number: int, value: bytes) -> bytes:
    """A string, bytes or a message on protobuf's wire: tag, length, value."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """Groups of 7 bits, the lowest first; bit 8 says that more follow."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
