import hashlib

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.data import catalog, rows, tfrecords


@pytest.fixture
def csv(tmp_path):
    def write(text, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def reasons(path, **options):
    found = catalog.build(path, min_images=1, **options)
    return dict(zip(found.rejected.id, found.rejected.reason))


def many(counts, start=0):
    """A CSV's rows: so many ids for each landmark_id."""
    lines = ["id,landmark_id"]
    for landmark, count in counts.items():
        lines += [f"p{landmark}x{i},{landmark}" for i in range(start, count)]
    return "\n".join(lines) + "\n"


def test_labels_by_falling_frequency_ties_by_landmark_id(csv):
    path = csv(many({5: 2, 30: 4, 7: 4, 100: 3, 2: 1}))
    found = catalog.build(path, min_images=2)
    assert found.classes.values.tolist() == [
        [0, 7, 4],
        [1, 30, 4],
        [2, 100, 3],
        [3, 5, 2],
    ]
    assert list(found.class_sizes) == [4, 4, 3, 2, 1]
    assert (found.rows, found.left_out, len(found.table)) == (14, 1, 13)
    by_id = found.table.set_index("id")
    assert by_id.label["p100x0"] == 2
    assert by_id.landmark_id["p100x0"] == 100


def test_top_classes_after_min_images(csv):
    path = csv(many({5: 2, 30: 4, 7: 4, 100: 3}))
    found = catalog.build(path, min_images=3, top_classes=2)
    assert list(found.classes.landmark_id) == [7, 30]
    assert found.left_out == 5
    few = catalog.build(path, min_images=3, top_classes=9)
    assert list(few.classes.landmark_id) == [7, 30, 100]


def test_rejected_rows_have_reasons_in_the_files_order(csv):
    path = csv(
        "id,url,landmark_id\n"
        "a,u,1\n"
        "b,u,None\n"
        "a,u,1\n"
        "c,u,2\n"
        "c,u,3\n"
        "b,u,1\n"
        "d,u,12.0\n"
        "e,u,-1\n"
        "f,u,\n"
        "g,u,NaN\n"
        ",u,1\n"
        "../h,u,1\n"
        "i,u,9223372036854775808\n"
        "j,u,9223372036854775807\n"
        "k,u, 7 \n"
        "d,u,none\n"
    )
    found = catalog.build(path, min_images=1)
    whole = "label is not a whole number of 0 or more: "
    assert found.rejected.values.tolist() == [
        ["b", "label missing"],
        ["a", "row given twice"],
        ["c", "id used twice, with different labels"],
        ["c", "id used twice, with different labels"],
        ["d", whole + "'12.0'"],
        ["e", whole + "'-1'"],
        ["f", "label missing"],
        ["g", "label missing"],
        ["", "id missing"],
        ["../h", "id is not a plain name"],
        ["i", "label is larger than 2^63 - 1: 9223372036854775808"],
        ["d", "label missing"],
    ]
    kept = dict(zip(found.table.id, found.table.landmark_id))
    assert kept == {"a": 1, "b": 1, "j": 2**63 - 1, "k": 7}
    assert found.table.landmark_id.dtype == np.int64


def test_odd_bytes_in_a_csv(csv):
    text = '\ufeffid,landmark_id\r\na,1\r\n"b\nc",1\r\nd\0,1\r\n"e,1",1\r\n'
    path = csv(text + '"f""",1\r\nNA,1\r\n0012,1\r\n')
    found = catalog.build(path, min_images=1)
    assert set(found.table.id) == {"a", "e,1", 'f"', "NA", "0012"}
    assert set(found.rejected.id) == {"b\nc", "d\0"}


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty: it needs the columns 'id', 'landmark_id'"),
        (b"id,landmark_id\n", "no rows"),
        (b"id,label\na,1\n", "the header lacks 'landmark_id'"),
        (b"id;landmark_id\na;1\n", "the header lacks 'id', 'landmark_id'"),
        (b"id,landmark_id\n\xff,1\n", "not UTF-8"),
        ("id,landmark_id\na,1\n".encode("utf-16"), "not UTF-8"),
        (b'id,landmark_id\n"a,1\n', "not a well-formed CSV"),
        (b"id,landmark_id\na,1\nb,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"id,landmark_id\na,1,3\nb,2\n", "not a well-formed CSV"),
        (b"\0\0\0", "the header lacks"),
        (b"id,landmark_id\na,12.0\n", "no row can be used.*'12.0'"),
        (b"id,landmark_id\na,1\n", "no class has 50 images, the largest has 1"),
    ],
)
def test_unusable_csv_is_one_line(csv, content, message):
    with pytest.raises(InputError, match=message) as error:
        catalog.build(csv(content))
    assert "\n" not in str(error.value)


def test_missing_csv(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        catalog.build(str(tmp_path / "none.csv"))


def test_hashes_are_those_of_blake2b():
    digest = hashlib.blake2b(b"photo", digest_size=16, key=b"7").digest()
    fraction, place = catalog.hashes(["photo", "other"], 7)
    first = int.from_bytes(digest[:8], "big")
    assert fraction[0] == (first >> 11) / 2**53
    assert int(place[0]) == int.from_bytes(digest[8:], "big")
    assert place.dtype == np.uint64
    assert catalog.hashes(["photo"], 8)[1][0] != place[0]


def test_splits_have_their_shares(csv):
    path = csv(many({1: 6000, 2: 4000}))
    table = catalog.build(path, split=(0.8, 0.15, 0.05)).table
    for label in (0, 1):
        split = table.split[table.label == label]
        shares = np.bincount(split, minlength=3) / len(split)
        # four standard deviations of the smaller class
        assert np.abs(shares - [0.8, 0.15, 0.05]).max() < 0.026


def test_a_share_of_zero_gets_nothing(csv):
    path = csv(many({1: 3000}))
    for split in [(0.9, 0.1, 0), (0.9, 0, 0.1), (1, 0, 0)]:
        table = catalog.build(path, split=split).table
        assert set(table.split) == {i for i in range(3) if split[i]}


def test_more_photographs_move_no_old_one(csv):
    old = catalog.build(csv(many({1: 300, 2: 200})))
    new = catalog.build(csv(many({2: 900, 1: 310, 3: 60}), "new.csv"))
    old, new = (x.table.set_index("id") for x in (old, new))
    assert new.split[old.index].equals(old.split)
    assert new.place[old.index].equals(old.place)


def test_a_class_without_training_picture_lends_its_lowest_hash(csv):
    path = csv(many({i: 2 for i in range(60)}))
    split = (0.1, 0.5, 0.4)
    table = catalog.build(path, min_images=2, split=split).table
    table["fraction"] = catalog.hashes(table.id, 0)[0]
    lent = 0
    for _, rows_of_class in table.groupby("label"):
        train = rows_of_class[rows_of_class.split == 0]
        if (rows_of_class.fraction >= 0.1).all():
            assert list(train.fraction) == [rows_of_class.fraction.min()]
            lent += 1
        else:
            assert (train.fraction < 0.1).all()
    assert lent > 30  # of 60, with a chance of 0.81 each


def test_pictures_of_no_landmark(csv):
    path = csv(many({1: 100}))
    ids = [f"n{i}" for i in range(2000)]
    none = csv("id\n" + "\n".join([*ids, "p1x3", "n0", "/x"]), "none.csv")
    found = catalog.build(path, no_landmark_csv=none, split=(0.7, 0.2, 0.1))
    assert set(found.rejected.reason[found.rejected.id == "p1x3"]) == {
        "id used twice, with different labels"
    }
    assert list(found.rejected.id) == ["p1x3", "p1x3", "n0", "/x"]
    assert found.classes.images[0] == 99
    others = found.table[found.table.label == -1]
    assert set(others.landmark_id) == {-1}
    assert len(others) == 2000
    counts = np.bincount(others.split, minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] / 2000 - 2 / 3) < 0.05
    only = catalog.build(path, no_landmark_csv=none, split=(0.9, 0, 0.1)).table
    assert set(only.split[only.label == -1]) == {2}
    with pytest.raises(InputError, match="pictures of no landmark"):
        catalog.build(path, no_landmark_csv=none, split=(1, 0, 0))


def test_row_without_label_leaves_the_one_without_landmark(csv):
    path = csv(many({1: 3}) + "x,None\n")
    none = csv("id\nx\n", "none.csv")
    found = catalog.build(path, min_images=1, no_landmark_csv=none)
    assert "x" in set(found.table.id)
    assert found.rejected.values.tolist() == [["x", "label missing"]]


def test_categories(csv):
    path = csv(many({1: 3, 2: 2}))
    names = csv("landmark_id,category\n2,a tower\n9,x\nNone,y\n", "n.csv")
    found = catalog.build(path, min_images=1, label_to_category=names)
    assert list(found.classes.category) == ["", "a tower"]
    assert list(found.classes.columns)[-1] == "category"
    twice = csv("landmark_id,category\n2,a\n2,b\n", "n.csv")
    with pytest.raises(InputError, match="landmark 2 has two categories"):
        rows.categories(twice)


def test_table_is_in_the_order_on_disk_and_does_not_depend_on_the_csv(csv):
    text = many({1: 40, 2: 30})
    head, *lines = text.split()
    a = catalog.build(csv(text), min_images=1)
    b = catalog.build(
        csv("\n".join([head, *lines[::-1]]), "b.csv"), min_images=1
    )
    assert a.table.equals(b.table)
    order = list(zip(a.table.split, a.table.place))
    assert order == sorted(order)


def test_a_datasets_splits_without_its_pictures(dataset, toy):
    files = str(toy / "train.csv"), str(toy / "no_landmark.csv")
    found = catalog.of_dataset(str(dataset), *files)
    whole = tfrecords.open_dataset(dataset)
    for number, split in enumerate(("train", "validation")):
        ids = tfrecords.read_table(whole, split)["id"]
        rows = found[found["split"] == number]
        assert set(ids) <= set(rows["id"])  # dirty rows are in the CSV alone
    alone = catalog.of_dataset("", *files)
    assert (alone["split"] == 0).all() and (alone["landmark_id"] >= 0).all()
    with pytest.raises(InputError, match="another --train_csv"):
        catalog.of_dataset(str(dataset), files[1])
