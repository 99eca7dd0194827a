import pytest

from landmark_tf import InputError
from landmark_tf.predictions.votes import read_votes


def write(path, text):
    path.write_text("id,landmarks\n" + text)
    return path


def test_reads_in_the_order_of_the_base(tmp_path):
    a = write(tmp_path / "a.csv", "x,7 0.5\ny,\nz,1 0.25 2 0.75\n")
    b = write(tmp_path / "b.csv", "z,4 1\nx,7 0.125\ny,9 3\n")
    read = read_votes([a, b])
    assert read.ids == ("x", "y", "z")
    assert read.landmark_id.tolist() == [
        [[7, -1], [-1, -1], [2, 1]],
        [[7, -1], [9, -1], [4, -1]],
    ]
    assert read.confidence.tolist() == [
        [[0.5, 0], [0, 0], [0.75, 0.25]],
        [[0.125, 0], [3, 0], [1, 0]],
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,7 1\n", r"b.csv must name every id of .*a.csv.*for 'y'$"),
        ("x,\ny,\nw,\n", r"b.csv may name only ids of .*a.csv.*: 'w'$"),
        ("x,\nw,\n", r"b.csv must name.*no row for 'y', but one for 'w'$"),
        ("v,\nw,\n", "different queries.*: 'v' and 1 more and 'x' and 1"),
        ("x,\ny,\nx,\n", "twice.*Received: 'x'"),
        ("x,7 -0.5\ny,\n", "0 or more. Received: -0.5"),
        ("x,7 nan\ny,\n", "finite number. Received: '7 nan'"),
        ("x,7 inf\ny,\n", "finite number. Received"),
    ],
)
def test_bad_files_are_named(tmp_path, text, words):
    a = write(tmp_path / "a.csv", "x,7 1\ny,\n")
    b = write(tmp_path / "b.csv", text)
    with pytest.raises(InputError, match=words):
        read_votes([a, b])


def test_nothing_to_read():
    with pytest.raises(InputError, match="Received: none"):
        read_votes([])


def test_files_of_ids_alone(tmp_path):
    a = write(tmp_path / "a.csv", "x,\ny,\n")
    read = read_votes([a, a])
    assert read.ids == ("x", "y")
    assert (read.landmark_id == -1).all() and (read.confidence == 0).all()
