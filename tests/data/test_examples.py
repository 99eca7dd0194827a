import io

import pytest
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import examples, tfrecords


def test_the_first_pictures_of_a_landmark(dataset):
    data = tfrecords.open_dataset(dataset)
    table = tfrecords.read_table(data, "train")
    landmarks = data.classes["landmark_id"].tolist()[:2]
    found = examples.pictures(data, [*landmarks, 999], each=2)
    assert set(found) == set(landmarks)
    stored = {
        x["id"].decode(): x["image"]
        for x in data.builder.as_dataset(
            "train", decoders={"image": _skip()}
        ).as_numpy_iterator()
    }
    for landmark, some in found.items():
        ids = table[table["landmark_id"] == landmark]["id"].tolist()[:2]
        assert [name for name, _ in some] == ids
        for name, jpeg in some:
            assert jpeg == stored[name]
            assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


def _skip():
    import tensorflow_datasets as tfds

    return tfds.decode.SkipDecoding()


def test_none_wanted(dataset):
    assert examples.pictures(tfrecords.open_dataset(dataset), []) == {}


def test_no_such_split(dataset):
    with pytest.raises(InputError, match="no such split"):
        examples.pictures(tfrecords.open_dataset(dataset), [1], "nothing")
