import io

import numpy as np
import pytest

from landmark_tf.files import records
from landmark_tf.files.quiet import import_tensorflow

RECORDS = [b"", b"a", bytes(range(256)) * 40, b"last"]


@pytest.fixture
def written(tmp_path):
    with records.writing(tmp_path / "a.tfrecord") as writer:
        for record in RECORDS:
            writer.write(record)
    return tmp_path / "a.tfrecord"


def offsets():
    sizes = [len(x) + records.FRAMING for x in RECORDS]
    return np.cumsum([0, *sizes])


def test_tensorflow_reads_what_was_written(written):
    tf = import_tensorflow()
    found = tf.data.TFRecordDataset(str(written)).as_numpy_iterator()
    assert list(found) == RECORDS
    assert written.stat().st_size == offsets()[-1]


def test_any_record_is_read_by_its_place(written):
    with open(written, "rb") as file:
        for row in (2, 0, 3, 1, 2):
            assert records.read(file, offsets()[row]) == RECORDS[row]


def test_every_flipped_byte_is_noticed(written):
    data = written.read_bytes()
    first, end = offsets()[3], len(data)
    for place in range(first, end):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(records.RecordError, match="damaged"):
            records.read(io.BytesIO(damaged), first)


def test_every_missing_byte_is_noticed(written):
    data = written.read_bytes()
    first, end = offsets()[3], len(data)
    for length in range(first, end):
        with pytest.raises(records.RecordError, match="truncated"):
            records.read(io.BytesIO(data[:length]), first)


def test_another_place_holds_no_record(written):
    with open(written, "rb") as file:
        with pytest.raises(records.RecordError):
            records.read(file, 3)
        with pytest.raises(records.RecordError, match="truncated"):
            records.read(file, 10**9)


def test_a_full_disk_is_an_oserror():
    with pytest.raises(OSError, match="/dev/full"):
        with records.writing("/dev/full") as writer:
            for _ in range(100):
                writer.write(b"x" * 100_000)
