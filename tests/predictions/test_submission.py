import csv
import os

import numpy as np
import pytest

from landmark_tf import InputError
from landmark_tf.predictions import submission


@pytest.fixture
def path(tmp_path):
    return tmp_path / "submission.csv"


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_writes_the_competitions_form(path):
    submission.write_submission(
        path,
        ["b", "a", "c"],
        np.array([[5, 7], [-1, -1], [9, -1]]),
        np.array([[0.25, 0.75], [0.5, np.nan], [1.0, 0.0]]),
    )
    assert path.read_bytes() == b"id,landmarks\nb,7 0.75 5 0.25\na,\nc,9 1\n"


def test_reads_pairs_and_all_ids(path):
    path.write_text("id,landmarks\nb,7 0.75 5 0.25\na,\nc,9 1\n")
    table, ids = submission.read_submission(path)
    assert ids == ["b", "a", "c"]
    assert table["id"].tolist() == ["b", "b", "c"]
    assert table["landmark_id"].tolist() == [7, 5, 9]
    assert table["confidence"].tolist() == [0.75, 0.25, 1.0]
    assert table["order"].tolist() == [0, 1, 0]
    assert table["landmark_id"].dtype == np.int64
    assert table["confidence"].dtype == np.float32
    assert table["order"].dtype == np.int64


def test_only_empty_rows(path):
    path.write_text("id,landmarks\na,\nb,\n")
    table, ids = submission.read_submission(path)
    assert ids == ["a", "b"] and len(table) == 0
    assert table["landmark_id"].dtype == np.int64
    assert table["confidence"].dtype == np.float32


def test_no_rows_at_all(path):
    submission.write_submission(
        path, [], np.zeros((0, 1), np.int64), np.zeros((0, 1))
    )
    table, ids = submission.read_submission(path)
    assert ids == [] and len(table) == 0


def test_no_pairs_at_all(path):
    submission.write_submission(
        path, ["a"], np.zeros((1, 0), np.int64), np.zeros((1, 0))
    )
    assert path.read_bytes() == b"id,landmarks\na,\n"


def test_float32_comes_back_to_the_bit(path):
    """Every exponent, denormals, neighbours of powers of two, both signs."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 60_000, dtype=np.uint32)
    powers = np.arange(0, 255, dtype=np.uint32) << 23
    bits = np.concatenate([bits, powers, powers + 1, powers[1:] - 1])
    confidence = bits.view(np.float32)
    confidence = confidence[np.isfinite(confidence)]
    ids = [f"{i:x}" for i in range(len(confidence))]
    landmark = rng.integers(0, 10**18, len(ids))
    submission.write_submission(
        path, ids, landmark[:, None], confidence[:, None]
    )
    table, again = submission.read_submission(path)
    assert again == ids
    assert np.array_equal(table["landmark_id"], landmark)
    assert np.array_equal(
        table["confidence"].to_numpy().view(np.uint32),
        confidence.view(np.uint32),
    )


def test_pairs_fall_and_ties_rise_by_landmark(path):
    rng = np.random.default_rng(0)
    landmark = np.stack([rng.permutation(50)[:6] for _ in range(40)])
    confidence = rng.integers(-3, 3, (40, 6)) / 8
    ids = [str(i) for i in range(40)]
    submission.write_submission(path, ids, landmark, confidence)
    table, _ = submission.read_submission(path)
    assert table["order"].tolist() == list(range(6)) * 40
    for i, group in table.groupby(table["id"].astype(int)):
        pairs = list(zip(-group["confidence"], group["landmark_id"]))
        assert pairs == sorted(zip(-confidence[i], landmark[i]))


def test_odd_ids_come_back(path):
    ids = ["None", "NA", "007", "1e5", "a,b", 'say "x"', "Ünï", " b ", "nan"]
    n = len(ids)
    submission.write_submission(
        path, ids, np.arange(n)[:, None], np.ones((n, 1))
    )
    table, again = submission.read_submission(path)
    assert again == ids and table["id"].tolist() == ids


def test_reads_what_others_write(path):
    """A byte-order mark, Windows lines, blanks, another column, quotes."""
    path.write_bytes(
        '\ufeffnote,id,landmarks\r\nx,a,"7  0.5 "\r\n\r\n,b,\r\n'.encode()
    )
    table, ids = submission.read_submission(path)
    assert ids == ["a", "b"]
    assert table["landmark_id"].tolist() == [7]
    assert table["confidence"].tolist() == [0.5]


def test_reads_the_ids_of_a_test_file(path):
    path.write_text("id,url\nb,http://b\na,\n")
    assert submission.read_ids(path) == ["b", "a"]
    path.write_text("name\nb\n")
    with pytest.raises(InputError, match="column.*add id. Received: 'name'"):
        submission.read_ids(path)
    path.write_text("id\nb\nb\n")
    with pytest.raises(InputError, match="twice.*Received: 'b'"):
        submission.read_ids(path)


def test_writing_makes_the_folder_and_replaces(tmp_path):
    path = tmp_path / "runs" / "a" / "submission.csv"
    for landmark in (1, 2):
        submission.write_submission(
            path, ["x"], np.array([[landmark]]), np.ones((1, 1))
        )
    assert rows_of(path) == [["id", "landmarks"], ["x", "2 1"]]
    assert os.listdir(path.parent) == ["submission.csv"]


def test_a_failed_write_leaves_the_old_file(path):
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        submission.write_submission(
            path, ["\udcff"], np.array([[1]]), np.ones((1, 1))
        )
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["submission.csv"]


BAD = [
    (b"", "needs the columns id,landmarks.*Received: ''"),
    (b"id,landmark\na,1 1\n", "add landmarks. Received: 'id,landmark'"),
    (b"a,1 1\n", "add id,landmarks. Received: 'a,1 1'"),
    (b"id,landmarks\n\xff,\n", "UTF-8.*Received: byte 0xff"),
    (b"id,landmarks\na,7\n", "confidence behind each.*Received: '7'"),
    (b"id,landmarks\na,7 1 8\n", "id 'a': .*behind.*Received: '7 1 8'"),
    (b"id,landmarks\na,7 nan\n", "finite number. Received: '7 nan'"),
    (b"id,landmarks\na,7 inf\n", "finite number. Received: '7 inf'"),
    (b"id,landmarks\na,7 1e39\n", "finite number. Received: '7 1e39'"),
    (b"id,landmarks\na,7 x\n", "'x' as a finite.*Received: '7 x'"),
    (b"id,landmarks\na,7.0 1\n", "'7.0' as a whole.*Received: '7.0 1'"),
    (b"id,landmarks\na,-1 1\n", "'-1' as a whole.*Received"),
    (b"id,landmarks\na,1_0 1\n", "'1_0' as a whole.*Received"),
    (b"id,landmarks\na,None 1\n", "'None' as a whole.*Received"),
    (b"id,landmarks\na,9999999999999999999 1\n", "as a whole.*Received"),
    (b"id,landmarks\na,7 1 7 0.5\n", "once in a row. Received"),
    (b"id,landmarks\na,\nb,\na,7 1\n", "twice.*Received: 'a'"),
    (b"id,landmarks\n,7 1\n", "an id without letters.*Received: ''"),
    (b"id,landmarks\na,7 1\nb\n", "mend line 3. Received: 1 of 2"),
    (b"id,landmarks\na,7 1,\n", "mend line 2. Received: 3 of 2"),
    (b'id,landmarks\na,"7 1\n', "mend line.*Received: unexpected end"),
]


@pytest.mark.parametrize("text, match", BAD)
def test_refuses(path, text, match):
    path.write_bytes(text)
    with pytest.raises(InputError, match=match) as caught:
        submission.read_submission(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_row_is_cut_in_the_message(path):
    path.write_text("id,landmarks\na," + "7 x " * 10_000)
    with pytest.raises(InputError) as caught:
        submission.read_submission(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("read", ["read_submission", "read_solution"])
def test_refuses_what_is_no_file(tmp_path, read):
    for path in (tmp_path / "none.csv", tmp_path):
        words = f"(no such|a folder is no) CSV file.*Received: {path}"
        with pytest.raises(InputError, match=words):
            getattr(submission, read)(path)


@pytest.mark.parametrize(
    "ids, landmark, confidence, match",
    [
        (["a", "a"], [[1], [2]], [[1], [1]], "twice.*Received: 'a'"),
        ([""], [[1]], [[1]], "without letters.*Received: ''"),
        (["a"], [[1], [2]], [[1], [1]], "N ids.*Received: 1 ids"),
        (["a"], [1], [1], r"\[N, k\].*Received"),
        (["a"], [[1, 2]], [[1]], r"Received: .*\(1, 2\), \(1, 1\)"),
        (["a"], [[1.0]], [[1]], "expected int. Received: float64"),
        (["a"], [[1]], [[np.nan]], "finite.*Received: nan"),
        (["a"], [[1]], [[1e39]], "finite.*Received: inf"),
        (["a", "b"], [[1, 2], [3, 3]], np.ones((2, 2)), "Received: .*'b'"),
    ],
)
def test_refuses_to_write(path, ids, landmark, confidence, match):
    with pytest.raises(ValueError, match=match):
        submission.write_submission(
            path, ids, np.array(landmark), np.array(confidence)
        )
    assert not path.exists()


def test_reads_a_solution(path):
    path.write_text(
        "id,landmarks,Usage\na,,Private\nb,5 7,Public\nc,None,Ignored\n"
    )
    table = submission.read_solution(path)
    assert table["id"].tolist() == ["a", "b", "c"]
    assert table["landmarks"].tolist() == [(), (5, 7), ()]
    assert table["usage"].tolist() == ["Private", "Public", "Ignored"]


def test_reads_a_solution_without_usage(path):
    path.write_text("id,landmarks\na,\nb,5\n")
    table = submission.read_solution(path)
    assert table["landmarks"].tolist() == [(), (5,)]
    assert table["usage"].tolist() == ["", ""]


@pytest.mark.parametrize(
    "text, match",
    [
        ("id,Usage\na,Public\n", "add landmarks. Received: 'id,Usage'"),
        ("id,landmarks,Usage\na,5,public\n", "as Usage. Received: '5,public'"),
        ("id,landmarks,Usage\na,None,Public\n", "'None' as a whole.*Received"),
        ("id,landmarks,Usage\na,5 0.5,Public\n", "'0.5' as a whole.*Received"),
        ("id,landmarks\na,5\na,6\n", "twice.*Received: 'a'"),
    ],
)
def test_refuses_a_solution(path, text, match):
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        submission.read_solution(path)
