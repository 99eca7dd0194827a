import json
import shutil

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.features import store
from landmark_tf.features.local import empty
from landmark_tf.files import records
from tests.features import cases


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three pictures in two shards; the second has no features."""
    folder = tmp_path_factory.mktemp("features")
    features = {
        "one": cases.features(5),
        "two": empty(8, (10, 20)),
        "three": cases.features(3, seed=1),
    }
    shards = {"a.tfrecord": ("one", "two"), "b.tfrecord": ("three",)}
    lines = [",".join(store.COLUMNS)]
    for shard, names in shards.items():
        offset = 0
        with records.writing(folder / shard) as writer:
            for name in names:
                record = store.serialize(name, features[name])
                writer.write(record)
                lines.append(f"{name},{shard},{offset},{len(features[name])}")
                offset += len(record) + records.FRAMING
    (folder / store.INDEX).write_text("\n".join(lines) + "\n")
    content = {"settings": {"extractor": "sift"}, "dimension": 8}
    (folder / store.SETTINGS).write_text(json.dumps(content))
    return folder, features


@pytest.fixture
def copied(written, tmp_path):
    return shutil.copytree(written[0], tmp_path / "features")


def test_any_picture_is_read_in_any_order(written):
    folder, features = written
    with store.Reader(folder) as reader:
        assert len(reader) == 3
        for name in ("three", "one", "two", "one"):
            assert name in reader
            found = reader.read(name)
            cases.assert_same(found, features[name], atol=1e-3)  # float16
            np.testing.assert_array_equal(
                found.locations, features[name].locations
            )
        assert "four" not in reader
        with pytest.raises(store.FeatureError, match="no features"):
            reader.read("four")


def test_descriptors_are_stored_in_float16():
    features = cases.features(100, 40)
    size = len(store.serialize("0123456789abcdef", features))
    assert size == pytest.approx(store.bytes_of(100, 40), rel=0.05)
    assert size < 100 * (40 * 2 + 4 * 4) + 200


def test_a_record_is_the_same_every_time():
    assert store.serialize("a", cases.features()) == store.serialize(
        "a", cases.features()
    )


def test_features_that_are_no_numbers_are_left_out():
    features = cases.features(5)
    features.descriptors[2, 3] = np.nan
    features.locations[4, 0] = np.inf
    name, found = store.parse(store.serialize("a", features))
    assert name == "a"
    assert len(found) == 3


@pytest.mark.parametrize("record", [b"", b"no record", b"\xff" * 50])
def test_a_damaged_record_is_named(record):
    with pytest.raises(store.FeatureError, match="damaged"):
        store.parse(record)


def test_a_truncated_shard_loses_its_last_pictures_alone(copied):
    shard = copied / "a.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-20])
    with store.Reader(copied) as reader:
        assert len(reader.read("one")) == 5
        with pytest.raises(store.FeatureError, match="a.tfrecord: truncated"):
            reader.read("two")
        assert len(reader.read("three")) == 3


def test_flipped_bits_are_noticed(copied):
    shard = copied / "b.tfrecord"
    data = bytearray(shard.read_bytes())
    data[60] ^= 1
    shard.write_bytes(data)
    with store.Reader(copied) as reader:
        with pytest.raises(store.FeatureError, match="b.tfrecord"):
            reader.read("three")


def test_a_shard_that_is_gone_is_named(copied):
    (copied / "b.tfrecord").unlink()
    with store.Reader(copied) as reader:
        with pytest.raises(store.FeatureError, match="b.tfrecord"):
            reader.read("three")


def test_another_shard_in_its_place_is_noticed(copied):
    shutil.copy(copied / "a.tfrecord", copied / "b.tfrecord")
    with store.Reader(copied) as reader:
        with pytest.raises(store.FeatureError, match="not what the index says"):
            reader.read("three")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"settings": 3}'])
def test_a_folder_without_settings_is_refused(copied, content):
    (copied / store.SETTINGS).unlink()
    if content is not None:
        (copied / store.SETTINGS).write_text(content)
    with pytest.raises(InputError, match="landmark_tf.extract"):
        store.Reader(copied)


@pytest.mark.parametrize("content", [None, "id,shard\na,b\n", "\xff,\n,\n"])
def test_a_damaged_index_is_refused(copied, content):
    (copied / store.INDEX).unlink()
    if content is not None:
        (copied / store.INDEX).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match="index.csv cannot be read"):
        store.Reader(copied)


@pytest.mark.parametrize(
    "other",
    [
        {"settings": {"extractor": "delf"}, "dimension": 8},
        {"settings": {"extractor": "sift"}, "dimension": 40},
    ],
)
def test_features_of_two_extractors_are_told_apart(written, copied, other):
    readers = [store.Reader(written[0]), store.Reader(copied)]
    store.check_alike(readers)
    (copied / store.SETTINGS).write_text(json.dumps(other))
    readers[1] = store.Reader(copied)
    with pytest.raises(
        InputError, match="different extractors.*Received: sift"
    ):
        store.check_alike(readers)


@pytest.mark.parametrize(
    ("name", "module", "alike"),
    [("delf:b", "1", True), ("delf:a", "2", False)],
)
def test_a_module_is_known_by_its_content(written, copied, name, module, alike):
    def rewrite(folder, **changes):
        content = json.loads((folder / store.SETTINGS).read_text())
        content["settings"] |= changes
        (copied / store.SETTINGS).write_text(json.dumps(content))
        return store.Reader(copied)

    first = rewrite(written[0], extractor="delf:a", module_sha256="1")
    second = rewrite(written[0], extractor=name, module_sha256=module)
    if alike:
        store.check_alike([first, second])
    else:
        with pytest.raises(InputError, match="two versions"):
            store.check_alike([first, second])
