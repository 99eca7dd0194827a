"""Each picture once, in an order and with changes that are functions."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import pipeline, tfrecords
from landmark_tf.files import quiet
from tests.data.numbered import PICTURES, ROWS, jpeg, write, write_two_splits

tf = quiet.import_tensorflow()


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return write_two_splits(tmp_path_factory.mktemp("data"))


def batches(numbered, **changes) -> list[dict[str, np.ndarray]]:
    settings = dict(batch_size=10, image_size=16, seed=3, epochs=2)
    made = pipeline.train_batches(numbered, **(settings | changes))
    return list(made.as_numpy_iterator())


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for key in expected[0]:
            np.testing.assert_array_equal(one[key], other[key])


def labels_of(found) -> list[int]:
    return list(itertools.chain.from_iterable(x["label"] for x in found))


def test_batches_have_static_shapes(numbered):
    made = pipeline.train_batches(
        numbered, batch_size=10, image_size=16, seed=0, epochs=1
    )
    assert made.element_spec == {
        "image": tf.TensorSpec((10, 16, 16, 3), tf.uint8),
        "label": tf.TensorSpec((10,), tf.int32),
    }
    made = pipeline.evaluation_batches(
        numbered, "validation", batch_size=4, image_size=16
    )
    assert made.element_spec == {
        "image": tf.TensorSpec((4, 16, 16, 3), tf.uint8),
        "label": tf.TensorSpec((4,), tf.int32),
        "row": tf.TensorSpec((4,), tf.int32),
        "weight": tf.TensorSpec((4,), tf.float32),
    }


def test_an_epoch_sees_each_picture_at_most_once_in_its_own_order(numbered):
    labels = labels_of(batches(numbered, epochs=3))
    epochs = [labels[i : i + 100] for i in (0, 100, 200)]
    assert len(labels) == 300
    for epoch in epochs:
        assert len(set(epoch)) == 100
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    in_order = np.abs(np.diff(epochs[0])) == 1
    assert in_order.mean() < 0.1


def test_same_seed_same_bytes(numbered):
    expected = batches(numbered)
    assert_same(batches(numbered), expected)
    tf.random.set_seed(1234)
    state = tf.random.uniform([])
    tf.random.set_seed(1234)
    assert_same(batches(numbered), expected)
    assert tf.random.uniform([]) == state  # nor is the program's seed touched
    assert labels_of(batches(numbered, seed=4)) != labels_of(expected)


def test_other_seeds_and_epochs_change_a_picture_otherwise(numbered):
    found = [*batches(numbered, epochs=4), *batches(numbered, seed=4)]
    seen = [
        picture.tobytes()
        for batch in found
        for label, picture in zip(batch["label"], batch["image"], strict=True)
        if label == 7
    ]
    assert len(seen) > 3
    assert len(set(seen)) == len(seen)


def test_augmentation_does_not_depend_on_the_batch(numbered):
    def pictures(**changes):
        found = batches(numbered, epochs=1, **changes)
        return {
            label: picture.tobytes()
            for batch in found
            for label, picture in zip(
                batch["label"], batch["image"], strict=True
            )
        }

    expected = pictures(batch_size=13)
    assert pictures(batch_size=8) == expected
    parts = [
        pictures(batch_size=13, num_pipelines=2, pipeline=i) for i in (0, 1)
    ]
    assert parts[0] | parts[1] == expected


@pytest.mark.parametrize("step", [1, 7, 9, 10, 13, 19])
def test_going_on_sees_what_it_would_have_seen(numbered, step):
    expected = batches(numbered)
    assert_same(batches(numbered, first_step=step), expected[step:])


def test_skipped_pictures_are_not_decoded(numbered, tmp_path):
    order = labels_of(batches(numbered))
    pictures = [(i, jpeg(i)) for i in range(PICTURES)]
    pictures[order[0]] = (order[0], b"no JPEG")
    damaged = write(tmp_path, {"train": pictures})
    with pytest.raises(tf.errors.InvalidArgumentError):
        batches(damaged)
    expected = batches(numbered)
    found = pipeline.train_batches(
        damaged, batch_size=10, image_size=16, seed=3, epochs=2, first_step=1
    )
    assert_same(list(found.take(9).as_numpy_iterator()), expected[1:10])


def test_nothing_is_left_after_the_last_step(numbered):
    assert batches(numbered, first_step=20) == []


@pytest.mark.parametrize("count", [2, 3, 4])
def test_pipelines_share_the_pictures(numbered, count):
    size = 104 // count
    parts = [
        batches(
            numbered, batch_size=size, num_pipelines=count, pipeline=i, epochs=2
        )
        for i in range(count)
    ]
    assert [len(part) for part in parts] == [2] * count
    for epoch in (0, 1):
        labels = labels_of([part[epoch] for part in parts])
        assert len(set(labels)) == size * count


def test_parts_of_a_split(numbered):
    first = labels_of(batches(numbered, split="train[:50%]", epochs=1))
    assert len(set(first)) == 50 and max(first) < 52
    shared = [
        labels_of(
            batches(
                numbered,
                split="train[50%:]",
                batch_size=26,
                num_pipelines=2,
                pipeline=i,
                epochs=1,
            )
        )
        for i in (0, 1)
    ]
    assert sorted(shared[0] + shared[1]) == list(range(52, 104))


@pytest.mark.parametrize("count, size", [(1, 23), (1, 10), (2, 5), (3, 8)])
def test_evaluation_sees_each_picture_once_in_the_order_on_disk(
    numbered, count, size
):
    parts = [
        list(
            pipeline.evaluation_batches(
                numbered,
                "validation",
                batch_size=size,
                image_size=16,
                num_pipelines=count,
                pipeline=i,
            ).as_numpy_iterator()
        )
        for i in range(count)
    ]
    assert len({len(part) for part in parts}) == 1
    found = {
        key: np.concatenate([batch[key] for part in parts for batch in part])
        for key in ("image", "label", "row", "weight")
    }
    real = found["weight"] == 1
    assert (found["weight"][~real] == 0).all()
    assert (found["row"][~real] == -1).all()
    np.testing.assert_array_equal(found["row"][real], np.arange(ROWS))
    stored = numbered.builder.as_dataset("validation", shuffle_files=False)
    for i, example in enumerate(stored):
        assert found["label"][real][i] == example["label"]
        encoded = tf.constant(jpeg(int(example["label"]) + 1))
        np.testing.assert_array_equal(
            found["image"][real][i], pipeline.preprocess(encoded, 16)
        )


def test_more_pipelines_than_pictures(numbered):
    rows = []
    for i in range(4):
        found = pipeline.evaluation_batches(
            numbered,
            "validation[:3]",
            batch_size=2,
            image_size=8,
            num_pipelines=4,
            pipeline=i,
        )
        (batch,) = found.as_numpy_iterator()
        rows += batch["row"].tolist()
    assert rows == [0, -1, 1, -1, 2, -1, -1, -1]


def test_preprocess_shrinks_as_pil_does():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 401, 3), dtype=np.uint8)  # all aliases
    image = Image.fromarray(pixels)
    expected = np.asarray(image.resize((32, 32), Image.BILINEAR), int)
    file = io.BytesIO()
    image.save(file, "PNG")
    encoded = tf.constant(file.getvalue())
    found = pipeline.preprocess(encoded, 32)
    assert found.dtype == tf.uint8
    assert np.abs(found.numpy() - expected).max() <= 1
    mapped = tf.data.Dataset.from_tensors(encoded).map(
        lambda x: pipeline.preprocess(x, 32)
    )
    np.testing.assert_array_equal(next(iter(mapped)), found)


@pytest.mark.parametrize(
    "mode, kind", [("L", "PNG"), ("RGBA", "PNG"), ("L", "JPEG"), ("P", "GIF")]
)
def test_preprocess_reads_what_people_have(mode, kind):
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (90, 90, 90)).convert(mode).save(file, kind)
    found = pipeline.preprocess(tf.constant(file.getvalue()), 8)
    assert found.shape == (8, 8, 3)
    assert np.abs(found.numpy().astype(int) - 90).max() <= 20


def test_steps_per_epoch(numbered):
    assert pipeline.steps_per_epoch(numbered, "train", 10) == 10
    assert pipeline.steps_per_epoch(numbered, "train[:50%]", 26) == 2


def test_too_few_pictures_for_a_batch(numbered):
    message = r"one batch takes 120 pictures and 'train' .* has 104.*: 120$"
    with pytest.raises(InputError, match=message):
        batches(numbered, batch_size=60, num_pipelines=2)


def test_no_such_augmentation(numbered):
    with pytest.raises(InputError, match="report, flip, none.*: 'flips'$"):
        batches(numbered, augment="flips")


@pytest.mark.parametrize("split", ["training", "train[:x%]", "train[:10%"])
def test_no_such_split(numbered, split):
    with pytest.raises(InputError, match="train, validation.*Received: "):
        batches(numbered, split=split)


def test_mirrored_devices_share_a_batch(numbered, mirrored):
    def one_host(context):
        return pipeline.train_batches(
            numbered,
            batch_size=10,
            image_size=16,
            seed=3,
            epochs=1,
            num_pipelines=context.num_input_pipelines,
            pipeline=context.input_pipeline_id,
        ).rebatch(5, drop_remainder=True)

    found = mirrored.distribute_datasets_from_function(one_host)
    expected = batches(numbered, epochs=1)
    steps = 0
    for step, batch in enumerate(found):
        shares = mirrored.experimental_local_results(batch["image"])
        assert [share.shape[0] for share in shares] == [5, 5]
        np.testing.assert_array_equal(
            np.concatenate(shares), expected[step]["image"]
        )
        steps += 1
    assert steps == 10


def test_a_picture_of_the_right_size_is_only_decoded():
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    found = pipeline.preprocess(tf.constant(file.getvalue()), 16)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("stored", "careful"), [(24, False), (25, True)])
def test_pictures_stored_much_larger_shrink_as_in_evaluation(
    tmp_path, stored, careful
):
    """Beyond 1.5 times the image size, 16: with antialiasing."""
    dataset = write(tmp_path, {"train": [(i, jpeg(i)) for i in range(8)]})
    (dataset.path / tfrecords.SETTINGS).write_text(
        f'{{"settings": {{"stored_size": {stored}}}}}'
    )
    batches = pipeline.train_batches(
        dataset, batch_size=8, image_size=16, seed=0, augment="none", epochs=1
    )
    batch = next(iter(batches))
    for label, image in zip(batch["label"].numpy(), batch["image"].numpy()):
        evaluated = pipeline.preprocess(tf.constant(jpeg(int(label))), 16)
        difference = np.abs(image - evaluated.numpy().astype(int)).max()
        assert (difference <= 1) == careful


def pictures_of(found) -> dict[int, list[bytes]]:
    """The pictures of each label, in their order."""
    seen = {}
    for batch in found:
        for label, image in zip(batch["label"], batch["image"], strict=True):
            seen.setdefault(int(label), []).append(image.tobytes())
    return seen


def test_repeats_of_1_change_nothing(numbered):
    ones = np.ones(PICTURES)
    assert_same(batches(numbered, repeats=ones), batches(numbered))


def test_pictures_come_as_often_as_their_class_asks(tmp_path):
    """Over 50 epochs of 240 pictures, of which none is left out.

    Counts of an epoch are floor(r) + Bernoulli(frac(r)), so their sums have the
    variances 192 * 0.25 * 0.75 = 36, 40 * 0.3 * 0.7 = 8.4 and 8 * 0.25 = 2. As
    240 places are filled, the deviations of the others enter by a group's share
    of them: below 46 for each, 4 * sqrt(50 * 46) = 192 in 50 epochs; and
    2 + 46 * (20 / 240)^2 + the draw of what is cut, below 3, for the last.
    """
    tiny = io.BytesIO()
    Image.new("RGB", (16, 16)).save(tiny, "JPEG")
    dataset = write(
        tmp_path, {"train": [(i, tiny.getvalue()) for i in range(240)]}, 240
    )
    repeats = np.repeat([0.25, 4.3, 2.5], [192, 40, 8])
    assert repeats.sum() == pytest.approx(240)
    found = batches(
        dataset, image_size=2, augment="none", epochs=50, repeats=repeats
    )
    assert len(found) == 50 * 24
    epochs = np.reshape(labels_of(found), (50, 240))
    counts = np.stack([np.bincount(x, minlength=240) for x in epochs])
    groups = np.split(counts, [192, 232], axis=1)
    for group, mean, bound in zip(
        groups, (2400, 8600, 1000), (192, 192, 49), strict=True
    ):
        assert abs(group.sum() - mean) < bound
    # A picture's count over the epochs is binomial, with variance 9.4: the
    # choice is not the same in every epoch. 192 of them: 9.4 +- 4 * 0.96.
    assert 5.5 < groups[0].sum(axis=0).var() < 13.3
    # Few epochs take a second round, which is what could give a 6th copy.
    assert np.mean(groups[1] == 4) > 0.6 and np.mean(groups[1] == 5) > 0.2
    assert np.mean(groups[1] > 5) < 0.05


def test_copies_are_changed_otherwise_and_the_first_as_if_alone(numbered):
    alone = pictures_of(batches(numbered, epochs=1))
    several = pictures_of(
        batches(numbered, epochs=1, repeats=np.full(PICTURES, 2.0))
    )
    twice = {x: seen for x, seen in several.items() if len(seen) == 2}
    assert len(twice) > 20
    for label, seen in twice.items():
        assert len(set(seen)) == 2
        if label in alone:  # and not among the 4 that an epoch leaves out
            assert alone[label][0] in seen


def test_copies_are_spread(numbered):
    labels = labels_of(
        batches(numbered, epochs=1, repeats=np.full(PICTURES, 4.0))
    )
    assert np.mean(np.diff(labels) == 0) < 0.1


def test_an_epoch_that_is_too_short_goes_round_again(numbered):
    repeats = np.zeros(PICTURES)
    repeats[[3, 50]] = 1.0
    found = batches(numbered, epochs=2, repeats=repeats)
    seen = pictures_of(found)
    assert len(found) == 20 and seen.keys() == {3, 50}
    assert [len(x) for x in seen.values()] == [100, 100]
    assert min(len(set(x)) for x in seen.values()) == 100


def test_repeats_do_not_depend_on_how_pictures_are_changed(tmp_path):
    """Of those that are drawn, half are mirrored: 100 +- 4 * sqrt(50)."""
    file = io.BytesIO()
    image = Image.new("L", (16, 16))
    image.paste(255, (8, 0, 16, 16))
    image.convert("RGB").save(file, "JPEG")
    dataset = write(
        tmp_path, {"train": [(i, file.getvalue()) for i in range(200)]}, 200
    )
    (batch,) = batches(
        dataset,
        batch_size=200,
        augment="flip",
        epochs=1,
        repeats=np.full(200, 0.3),
    )
    mirrored = batch["image"][:, 8, 2, 0] > 128
    assert abs(mirrored.sum() - 100) < 28


@pytest.mark.parametrize("mean", [0.3, 1.0, 2.0])
def test_going_on_with_repeats_sees_what_it_would_have_seen(numbered, mean):
    repeats = np.random.default_rng(0).exponential(mean, PICTURES)
    expected = batches(numbered, repeats=repeats)
    assert len(expected) == 20
    for step in (1, 9, 10, 17):
        found = batches(numbered, repeats=repeats, first_step=step)
        assert_same(found, expected[step:])


def test_pipelines_share_the_repeats(numbered):
    repeats = np.random.default_rng(1).exponential(1.0, PICTURES)
    repeats[:10] = 0

    def part(i, **changes):
        settings = dict(batch_size=13, num_pipelines=2, pipeline=i)
        return batches(numbered, repeats=repeats, **(settings | changes))

    parts = [part(i) for i in (0, 1)]
    assert [len(x) for x in parts] == [8, 8]
    labels = [set(labels_of(x)) for x in parts]
    assert not labels[0] & labels[1] and min(labels[0] | labels[1]) >= 10
    for i in (0, 1):
        assert_same(part(i, first_step=5), parts[i][5:])


def test_pictures_of_no_landmark_are_not_repeated(numbered):
    found = batches(
        numbered, split="validation", repeats=np.ones(PICTURES), epochs=10
    )
    labels = labels_of(found)
    assert len(labels) == 200 and min(labels) == 1


def test_an_epoch_without_a_picture_fails(numbered):
    repeats = np.zeros(PICTURES)
    repeats[0] = 1.0  # which is not in the split
    with pytest.raises(tf.errors.FailedPreconditionError):
        batches(numbered, split="train[90%:]", repeats=repeats)


@pytest.mark.parametrize(
    "repeats", [np.ones(3), np.zeros(104), np.full(104, -1), [np.nan] * 104]
)
def test_repeats_that_cannot_be(numbered, repeats):
    with pytest.raises(ValueError, match="104 classes.*Received: "):
        batches(numbered, repeats=repeats)
