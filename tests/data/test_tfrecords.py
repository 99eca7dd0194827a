import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data import tfrecords

IDS = ["a", "é", "c", "d", "bad"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four photographs of 40x30 pixels and one file that is none."""
    root = tmp_path_factory.mktemp("photos")
    for i, image_id in enumerate(IDS[:4]):
        Image.new("RGB", (40, 30), (60 * i, 0, 0)).save(
            root / f"{image_id}.jpg"
        )
    (root / "bad.jpg").write_text("no picture")
    return root


def items(*places):
    table = pd.DataFrame(
        {
            "id": IDS,
            "label": [0, 1, 0, -1, 0],
            "landmark_id": [70, 2**63 - 1, 70, -1, 70],
        }
    )
    return table.iloc[list(places)]


def write(out, photos, plan, name="toy"):
    """Writes shards of these items and all that belongs beside them."""
    out.mkdir(exist_ok=True)
    reports = {}
    for split, parts in plan.items():
        reports[split] = [
            tfrecords.write_shard(
                items(*places),
                str(out / tfrecords.shard_name(name, split, i, len(parts))),
                lambda: None,
                image_root=str(photos),
                stored_size=20,
                square=False,
            )
            for i, places in enumerate(parts)
        ]
    tfrecords.write_metadata(out, name, reports)
    classes = "label,landmark_id,images,category\n0,70,2,NA\n1,5,1,\n"
    (out / "classes.csv").write_text(classes)
    (out / "prepare.json").write_text("{}")
    return reports


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos):
    out = tmp_path_factory.mktemp("made") / "toy"
    # A shard in the middle has no record: its only picture is bad.
    write(out, photos, {"train": [[0], [4], [1, 2]], "validation": [[3]]})
    return out


@pytest.fixture
def dataset(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "toy")


def test_write_shard_reports(tmp_path, photos):
    ticks = []
    report = tfrecords.write_shard(
        items(0, 4, 1),
        str(tmp_path / "x"),
        lambda: ticks.append(1),
        image_root=str(photos),
        stored_size=20,
        square=True,
    )
    size = (tmp_path / "x").stat().st_size
    assert report["rejected"] == [["bad", 0, "not an image"]]
    assert (report["records"], report["bytes"]) == (2, size - 2 * 16)
    assert len(ticks) == 3


def test_tfds_reads_it(whole):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(str(whole))
    config = tfds.ReadConfig(interleave_cycle_length=1)
    found = list(builder.as_dataset("train", read_config=config))
    assert [x["id"].numpy().decode() for x in found] == ["a", "é", "c"]
    assert [int(x["label"]) for x in found] == [0, 1, 0]
    assert int(found[1]["landmark_id"]) == 2**63 - 1
    assert found[0]["image"].shape == (20, 27, 3)
    assert len(list(builder.as_dataset("train[50%:]"))) == 1
    assert builder.info.splits["train"].num_examples == 3


def test_open_dataset(whole):
    found = tfrecords.open_dataset(whole)
    assert (found.name, found.num_classes) == ("toy", 2)
    assert tfrecords.split_info(found, "train").num_examples == 3
    with pytest.raises(InputError, match="train, validation.*: 'test'"):
        tfrecords.split_info(found, "test")
    assert list(found.classes.category) == ["NA", ""]
    assert found.classes.landmark_id.dtype == np.int64


def test_read_table_in_the_order_on_disk(whole):
    found = tfrecords.open_dataset(whole)
    table = tfrecords.read_table(found, "train")
    assert table.values.tolist() == [
        ["a", 0, 70],
        ["é", 1, 2**63 - 1],
        ["c", 0, 70],
    ]
    assert table.landmark_id.dtype == np.int64
    none = tfrecords.read_table(found, "validation")
    assert none.values.tolist() == [["d", -1, -1]]
    part = tfrecords.read_table(found, "train[50%:]")
    assert part.values.tolist() == table.values[-1:].tolist()
    with pytest.raises(InputError, match="no such split.*'test'"):
        tfrecords.read_table(found, "test")


def test_two_writes_are_equal_to_the_byte(whole, photos, tmp_path):
    again = tmp_path / "toy"
    write(again, photos, {"train": [[0], [4], [1, 2]], "validation": [[3]]})
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in again.iterdir()}
    for name in names:
        assert (whole / name).read_bytes() == (again / name).read_bytes()


def test_serialize_is_an_example():
    import tensorflow as tf

    record = tfrecords.serialize(b"jpeg", 3, -1, "é")
    example = tf.train.Example.FromString(record).features.feature
    assert example["image"].bytes_list.value[0] == b"jpeg"
    assert example["label"].int64_list.value[0] == 3
    assert example["landmark_id"].int64_list.value[0] == -1
    assert example["id"].bytes_list.value[0] == "é".encode()


def refused(path):
    with pytest.raises(InputError) as error:
        tfrecords.open_dataset(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_missing_and_unfinished_folders(tmp_path):
    assert "no such dataset" in refused(tmp_path / "none")
    assert "no dataset" in refused(tmp_path)
    (tmp_path / ".work").mkdir()
    assert "unfinished" in refused(tmp_path)


def test_missing_or_cut_shard(dataset):
    shard = dataset / "toy-train.tfrecord-00002-of-00003"
    data = shard.read_bytes()
    shard.write_bytes(data[:-7])
    assert "train have another size" in refused(dataset)
    shard.unlink()
    assert f"{shard.name} is missing" in refused(dataset)


@pytest.mark.parametrize(
    "name, text",
    [
        ("dataset_info.json", "{"),
        ("features.json", "[]"),
        ("classes.csv", "label,landmark_id,images\n1,70,2\n"),
        ("classes.csv", "label\n0\n"),
        ("classes.csv", ""),
    ],
)
def test_damaged_metadata(dataset, name, text):
    (dataset / name).write_text(text)
    assert "damaged" in refused(dataset)
    (dataset / name).unlink()
    assert "damaged" in refused(dataset)


def test_records_of_another_form(dataset):
    info = json.loads((dataset / "features.json").read_text())
    del info["featuresDict"]["features"]["landmark_id"]
    (dataset / "features.json").write_text(json.dumps(info))
    assert "another form" in refused(dataset)


@pytest.mark.parametrize(
    "folder, name",
    [
        ("toy", "toy"),
        ("GLD-v2.1", "gld_v2_1"),
        ("2019", "landmarks_2019"),
        ("Étoile", "landmarks__toile"),
    ],
)
def test_odd_folder_names(tmp_path, photos, folder, name):
    assert tfrecords.dataset_name(tmp_path / folder) == name
    write(tmp_path / folder, photos, {"train": [[0, 1]]}, name)
    found = tfrecords.open_dataset(tmp_path / folder)
    assert found.name == name
    assert len(tfrecords.read_table(found, "train")) == 2


def test_pixels_survive(whole):
    found = tfrecords.open_dataset(whole)
    import tensorflow as tf

    record = next(
        iter(
            tf.data.TFRecordDataset(
                str(whole / "toy-train.tfrecord-00002-of-00003")
            )
        )
    ).numpy()
    example = tf.train.Example.FromString(record).features.feature
    image = Image.open(io.BytesIO(example["image"].bytes_list.value[0]))
    assert image.size == (27, 20)
    assert abs(image.getpixel((5, 5))[0] - 60) < 4
    assert found.num_classes == 2
