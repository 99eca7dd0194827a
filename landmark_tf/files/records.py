"""TFRecord files: records of bytes, one after the other, with checksums."""

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from landmark_tf.files import quiet

# A record: its length, the length's checksum, its bytes, their checksum.
_HEAD, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
FRAMING = _HEAD.size + _CHECKSUM.size  # bytes that a file adds to each record


class RecordError(ValueError):
    """There is no whole record where one should be."""


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


def read(file: BinaryIO, offset: int) -> bytes:
    """Reads one record; TensorFlow reads files from their beginning only.

    Args:
        file: a TFRecord file without compression.
        offset: the byte at which the record's frame begins.

    Raises:
        RecordError: the file ends before the record does, or a checksum does
            not fit.
    """
    file.seek(offset)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise RecordError("truncated")
    length, checksum = _HEAD.unpack(head)
    if checksum != _masked_crc(head[:8]):
        raise RecordError("damaged")
    record, end = file.read(length), file.read(_CHECKSUM.size)
    if len(record) < length or len(end) < _CHECKSUM.size:
        raise RecordError("truncated")
    if _CHECKSUM.unpack(end)[0] != _masked_crc(record):
        raise RecordError("damaged")
    return record


def _masked_crc(data: bytes) -> int:
    """CRC-32C, turned and moved as tensorflow/core/lib/hash/crc32c.h says."""
    import google_crc32c

    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
