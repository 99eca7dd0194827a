import pytest

from landmark_tf import InputError
from landmark_tf.data import google_landmarks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", [7]),
        ("000-003", [0, 1, 2, 3]),
        ("17-19,0,18", [0, 17, 18, 19]),
        ("", list(range(20))),
    ],
)
def test_shards(text, expected):
    assert google_landmarks.parse_shards(text, "test") == expected


@pytest.mark.parametrize("text", ["20", "0-20", "3-1", "a", "-1", "1-", ","])
def test_shards_that_are_not_there(text):
    with pytest.raises(InputError, match="0 to 19.*Received: "):
        google_landmarks.parse_shards(text, "test")


def test_the_clean_list_becomes_a_row_a_picture(tmp_path):
    (tmp_path / "train_clean.csv").write_text(
        "landmark_id,images\n1,aa bb\n7,cc\n9,\n"
    )
    path = google_landmarks.write_by_id(tmp_path)
    assert path.read_text() == "id,landmark_id\naa,1\nbb,1\ncc,7\n"


def test_another_clean_list(tmp_path):
    (tmp_path / "train_clean.csv").write_text("id,url\na,b\n")
    with pytest.raises(InputError, match="landmark_id,images.*Received"):
        google_landmarks.write_by_id(tmp_path)


def test_splits_of_the_datasets():
    names = google_landmarks.tables("gld2019", "test")
    assert "ground_truth/recognition_solution_v2.1.csv" in names
    assert "metadata/train_clean.csv" in google_landmarks.tables(
        "gldv2-clean", "train"
    )
    for dataset, split in (("gldv2-clean", "test"), ("gld2019", "index")):
        with pytest.raises(InputError, match=f"Received: --split={split}"):
            google_landmarks.tables(dataset, split)
