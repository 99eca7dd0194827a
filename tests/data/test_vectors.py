"""Vectors of pictures on disk come in the pictures' order."""

import json
import os

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.data import pipeline, tfrecords, vector_files, vectors
from landmark_tf.files import quiet
from tests.data.numbered import (
    PICTURES,
    ROWS,
    SHARDS,
    jpeg,
    write,
    write_two_splits,
)

tf = quiet.import_tensorflow()

DIMENSION, SIZE = 12, 8


def embed(images, scale=0.37):
    """Some of the pixels: 12 numbers that float16 rounds."""
    pixels = tf.cast(images[:, ::4, ::4], tf.float32)
    return scale * tf.reshape(pixels, [-1, DIMENSION])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return write_two_splits(tmp_path_factory.mktemp("data"))


def make(numbered, folder, split="train", of=embed, **changes):
    settings = dict(fingerprint="a", batch_size=7, image_size=SIZE)
    vectors.write(numbered, split, folder, of, **(settings | changes))


@pytest.fixture(scope="module")
def folder(numbered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "vectors"
    make(numbered, folder)
    make(numbered, folder, "validation", batch_size=64)
    return folder


def expected_vectors(images) -> np.ndarray:
    return embed(images).numpy().astype(np.float16).astype(np.float32)


def stored(folder) -> dict[str, tuple]:
    """Of each file its inode and bytes."""
    return {
        file.name: (file.stat().st_ino, file.read_bytes())
        for file in folder.iterdir()
    }


@pytest.mark.parametrize(
    "split, count, size",
    [
        ("train", 1, 10),
        ("validation", 1, 23),
        ("validation", 2, 5),
        ("validation", 3, 8),
        ("train[10%:33%]", 2, 4),
        ("validation[:2]", 4, 2),
    ],
)
def test_evaluation_gives_the_vectors_of_the_pictures(
    numbered, folder, split, count, size
):
    for i in range(count):
        share = dict(batch_size=size, num_pipelines=count, pipeline=i)
        pictures = pipeline.evaluation_batches(
            numbered, split, image_size=SIZE, **share
        )
        found = vectors.evaluation_batches(numbered, folder, split, **share)
        assert found.element_spec["image"] == tf.TensorSpec(
            (size, DIMENSION), tf.float32
        )
        for one, other in zip(found, pictures, strict=True):
            real = other["weight"].numpy() == 1
            np.testing.assert_array_equal(
                one["image"][real], expected_vectors(other["image"])[real]
            )
            assert not one["image"][~real].numpy().any()
            for key in ("label", "row", "weight"):
                assert one[key].dtype == other[key].dtype
                np.testing.assert_array_equal(one[key], other[key])


REPEATS = np.random.default_rng(0).exponential(1.0, PICTURES)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"first_step": 13},
        {"split": "train[20%:70%]", "first_step": 4},
        {"num_pipelines": 2, "pipeline": 1, "first_step": 3},
        {"repeats": REPEATS},
        {"repeats": REPEATS, "first_step": 7},
        {"repeats": REPEATS, "num_pipelines": 3, "pipeline": 1},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_training_sees_the_vectors_in_the_order_of_the_pictures(
    numbered, folder, changes
):
    settings = dict(batch_size=10, seed=3, epochs=2) | changes
    pictures = pipeline.train_batches(
        numbered, image_size=SIZE, augment="none", **settings
    )
    found = vectors.train_batches(numbered, folder, **settings)
    assert found.element_spec == {
        "image": tf.TensorSpec((10, DIMENSION), tf.float32),
        "label": tf.TensorSpec((10,), tf.int32),
    }
    (every,) = vectors.evaluation_batches(
        numbered, folder, "train", batch_size=PICTURES
    )
    of_label = dict(zip(every["label"].numpy(), every["image"].numpy()))
    batches = 0
    for one, other in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])
        expected = [of_label[label] for label in one["label"].numpy()]
        np.testing.assert_array_equal(one["image"], expected)
        batches += 1
    assert batches > 0


def test_going_on_sees_what_it_would_have_seen(numbered, folder):
    def batches(**changes):
        settings = dict(batch_size=10, seed=1, epochs=3, repeats=REPEATS)
        made = vectors.train_batches(numbered, folder, **settings, **changes)
        return list(made.as_numpy_iterator())

    expected = batches()
    assert len(expected) == 30
    for step in (4, 10, 25):
        found = batches(first_step=step)
        for one, other in zip(found, expected[step:], strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
            np.testing.assert_array_equal(one["label"], other["label"])


def test_files_are_those_of_the_dataset(numbered, folder):
    names = {path.name for path in numbered.path.glob("*.tfrecord-*")}
    assert {path.name for path in folder.iterdir()} == {*names, "vectors.json"}
    note = json.loads((folder / "vectors.json").read_text())
    assert note == {"fingerprint": "a", "dimension": DIMENSION}
    for name in names:
        pair = [
            sum(1 for _ in tf.data.TFRecordDataset(str(path / name)))
            for path in (folder, numbered.path)
        ]
        assert pair[0] == pair[1] > 0


def test_only_the_last_batch_is_filled_up(numbered, tmp_path):
    sizes = []

    def counted(images):
        def count(x):
            sizes.append(len(x))
            return x

        images = tf.ensure_shape(
            tf.numpy_function(count, [images], tf.uint8), images.shape
        )
        return embed(images)

    make(numbered, tmp_path, of=counted, batch_size=10)
    assert sizes == [10] * 11  # 104 pictures in 5 files


def test_a_part_of_a_split_makes_whole_files(numbered, folder, tmp_path):
    make(numbered, tmp_path, "train[:25%]")  # 26 pictures; a file has 21
    shards = sorted(tmp_path.glob("*.tfrecord-*"))
    assert [path.name[-14:-9] for path in shards] == ["00000", "00001"]
    whole = stored(folder)
    for path in shards:
        assert path.read_bytes() == whole[path.name][1]
    before = stored(tmp_path)
    make(numbered, tmp_path, "train")
    after = stored(tmp_path)
    assert len(after) == SHARDS + 1
    assert {name: after[name] for name in before} == before


def test_a_killed_extraction_goes_on(numbered, folder, tmp_path):
    left = [30]

    def dying(images):
        def count(x):
            left[0] -= len(x)
            if left[0] < 0:
                raise KeyError("killed")
            return x

        images = tf.ensure_shape(
            tf.numpy_function(count, [images], tf.uint8), images.shape
        )
        return embed(images)

    with pytest.raises(tf.errors.OpError, match="killed"):
        make(numbered, tmp_path, of=dying)
    before = stored(tmp_path)
    assert len(before) == 2  # the note, and the one file that was complete
    name = tfrecords.shard_name("numbered", "train", 3, SHARDS)
    unfinished = tmp_path / f".numbered-train.unfinished{name[14:]}"
    unfinished.write_bytes(b"half a record")  # as after kill -9
    make(numbered, tmp_path)
    after, whole = stored(tmp_path), stored(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == SHARDS + 1
    for name, (_, content) in after.items():
        assert content == whole[name][1]


def test_a_file_that_is_missing_is_made_again(numbered, tmp_path):
    make(numbered, tmp_path)
    before = stored(tmp_path)
    name = tfrecords.shard_name("numbered", "train", 2, SHARDS)
    os.remove(tmp_path / name)
    make(numbered, tmp_path)
    after = stored(tmp_path)
    assert after.pop(name)[1] == before.pop(name)[1]
    assert after == before


def test_vectors_of_another_origin_are_made_again(numbered, tmp_path):
    def other(images):
        return embed(images, scale=2.0)[:, :5]

    make(numbered, tmp_path)
    make(numbered, tmp_path, "validation")
    before = stored(tmp_path)
    make(numbered, tmp_path, of=other)  # the same fingerprint
    assert stored(tmp_path) == before
    make(numbered, tmp_path, of=other, fingerprint="b")
    assert len(stored(tmp_path)) == SHARDS + 1  # and none of validation
    (batch,) = vectors.evaluation_batches(
        numbered, tmp_path, "train", batch_size=PICTURES
    )
    (pictures,) = pipeline.evaluation_batches(
        numbered, "train", batch_size=PICTURES, image_size=SIZE
    )
    np.testing.assert_array_equal(batch["image"], other(pictures["image"]))


def test_hosts_share_the_files(numbered, folder, tmp_path):
    make(numbered, tmp_path, num_pipelines=2, pipeline=0)
    assert len(list(tmp_path.glob("*.tfrecord-*"))) == 3
    make(numbered, tmp_path, num_pipelines=2, pipeline=1)
    whole = stored(folder)
    found = stored(tmp_path)
    assert len(found) == SHARDS + 1
    for name, (_, content) in found.items():
        assert content == whole[name][1]


def test_a_host_waits_for_the_first(numbered, tmp_path, monkeypatch):
    make(numbered, tmp_path)
    before = stored(tmp_path)
    monkeypatch.setattr(vector_files, "_PATIENCE", 0)
    with pytest.raises(InputError, match="all hosts see.*Received: "):
        make(numbered, tmp_path, fingerprint="b", num_pipelines=2, pipeline=1)
    assert stored(tmp_path) == before


def test_numbers_too_large_for_float16_become_its_largest(numbered, tmp_path):
    def large(images):
        return embed(images)[:, :4] * 0 + [1e6, -1e6, 65519.0, 1.0]

    make(numbered, tmp_path, "validation", of=large)
    batches = vectors.evaluation_batches(
        numbered, tmp_path, "validation", batch_size=ROWS
    )
    (batch,) = batches
    expected = [[65504, -65504, 65504, 1]] * ROWS
    np.testing.assert_array_equal(batch["image"], expected)


@pytest.mark.parametrize(
    "wrong", [lambda x: tf.cast(x, tf.float32), lambda x: embed(x)[:3]]
)
def test_what_is_not_a_vector_for_each_picture(numbered, tmp_path, wrong):
    with pytest.raises(ValueError, match=r"embed must give \[7, D\].*: \("):
        make(numbered, tmp_path, of=wrong)
    assert not list(tmp_path.iterdir())


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("harm", [damage, cut, os.remove])
def test_damaged_vectors(numbered, tmp_path, harm):
    make(numbered, tmp_path)
    harm(tmp_path / tfrecords.shard_name("numbered", "train", 1, SHARDS))
    for batches in (
        vectors.train_batches(
            numbered, tmp_path, batch_size=10, seed=0, epochs=1
        ),
        vectors.evaluation_batches(numbered, tmp_path, "train", batch_size=8),
    ):
        with pytest.raises(InputError, match="delete the folder.*: /"):
            with vectors.reading(tmp_path):
                for _ in batches:
                    pass


def test_a_damaged_dataset_is_named(tmp_path):
    pictures = {"train": [(i, jpeg(i)) for i in range(PICTURES)]}
    dataset = write(tmp_path, pictures)
    damage(dataset.path / tfrecords.shard_name("numbered", "train", 1, SHARDS))
    with pytest.raises(InputError, match="landmark_tf.prepare.*/numbered$"):
        make(dataset, tmp_path / "vectors")
    assert len(list((tmp_path / "vectors").iterdir())) == 2


def test_a_folder_without_vectors(numbered, tmp_path):
    with pytest.raises(InputError, match="no vectors in this folder"):
        vectors.train_batches(
            numbered, tmp_path, batch_size=10, seed=0, epochs=1
        )
    with pytest.raises(InputError, match="no vectors in this folder"):
        vectors.evaluation_batches(numbered, tmp_path, "train", batch_size=8)


def test_no_such_split(numbered, tmp_path):
    with pytest.raises(InputError, match="train, validation.*: 'training'$"):
        make(numbered, tmp_path, "training")
