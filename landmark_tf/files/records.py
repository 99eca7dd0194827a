"""TFRecord files: records of bytes, one after the other, with checksums."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from landmark_tf.files import quiet

FRAMING = 16  # bytes that a file adds to each record


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[Any]:
    """Gives a `tf.io.TFRecordWriter` of a new file.

    Raises:
        OSError: the disk is full or fails, in place of TensorFlow's errors.
    """
    tf = quiet.import_tensorflow(devices=False)
    path = os.fspath(path)
    try:
        with tf.io.TFRecordWriter(path) as writer:
            yield writer
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message, path) from error
