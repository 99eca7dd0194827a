"""The warm-up file, read back by protobuf itself from the published fields."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from landmark_tf.files import records
from landmark_tf.predictions import warmup
from tests import tf_serving


@pytest.fixture(scope="module")
def prediction_log():
    return tf_serving.prediction_log_class()


@pytest.mark.parametrize(
    # Lengths around those where the length itself takes one more byte.
    "sizes",
    [[3], [0, 1], [127, 128], [16_383], [16_384, 5], [2_100_000], [20] * 300],
)
def test_protobuf_reads_what_was_written(prediction_log, sizes):
    sent = [os.urandom(size) for size in sizes]
    written = warmup.prediction_log(sent)
    log = prediction_log.FromString(written)
    assert tf_serving.pictures(log).tolist() == sent
    # No field but the known ones, each once.
    assert len(log.SerializeToString()) == len(written)


def test_the_file_has_a_request_for_each_size(prediction_log, tmp_path):
    warmup.write(tmp_path / warmup.FILE, (1, 3))
    with open(tmp_path / warmup.FILE, "rb") as file:
        first = records.read(file, 0)
        second = records.read(file, len(first) + records.FRAMING)
        assert not file.read()
    logs = [prediction_log.FromString(x) for x in (first, second)]
    found = [tf_serving.pictures(log) for log in logs]
    assert [x.shape for x in found] == [(1,), (3,)]
    assert len({*found[0], *found[1]}) == 1
    image = Image.open(io.BytesIO(found[0][0]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (640, 480))
    # Red grows downwards, green to the right, blue upwards.
    corners = np.asarray(image)[[0, 0, -1], [0, -1, 0]]
    np.testing.assert_allclose(
        corners, [[0, 0, 255], [0, 255, 255], [255, 0, 0]], atol=8
    )


def test_the_same_file_every_time(tmp_path):
    for name in "ab":
        warmup.write(tmp_path / name, (2,))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_is_an_oserror():
    with pytest.raises(OSError, match="No space left"):
        warmup.write("/dev/full", (8,))
