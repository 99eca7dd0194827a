import pandas as pd

from landmark_tf.predictions import confusions


def test_pairs_by_hand():
    predictions = pd.DataFrame(
        [
            ("a", 2, 0.5, 0),
            ("b", 2, 0.9, 0),
            ("c", 3, 0.8, 0),
            ("d", 1, 0.7, 0),  # right
            ("e", 4, 0.9, 0),  # shows none
            ("f", 9, 0.6, 0),  # one of its own two
            ("g", 1, 0.9, 0),
            ("g", 5, 0.1, 1),  # not its first
        ],
        columns=["id", "landmark_id", "confidence", "order"],
    )
    truths = [(1,), (1,), (1,), (1,), (), (8, 9), (5,), (7,)]
    solution = pd.DataFrame({"id": list("abcdefgh"), "landmarks": truths})
    assert confusions.pairs(predictions, solution).to_dict("records") == [
        {"true": 1, "predicted": 2, "count": 2, "example": "b"},
        {"true": 1, "predicted": 3, "count": 1, "example": "c"},
        {"true": 5, "predicted": 1, "count": 1, "example": "g"},
    ]


def test_nothing_wrong():
    columns = ["id", "landmark_id", "confidence", "order"]
    none = pd.DataFrame([], columns=columns)
    solution = pd.DataFrame({"id": ["a"], "landmarks": [(1,)]})
    assert confusions.pairs(none, solution).empty
