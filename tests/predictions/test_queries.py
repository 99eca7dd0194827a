import pytest

from landmark_tf import InputError
from landmark_tf.predictions import queries


@pytest.mark.parametrize("ids", [["x", "y", "z"], ["z", "x", "y"]])
def test_the_order_does_not_count(ids):
    queries.check_same(ids, ["x", "y", "z"], "a.csv", "b.csv")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["x"], "a.csv must name every id of b.csv.*row for 'y' and 1 more$"),
        (["x", "y", "v"], "a.csv must name.*row for 'z', but one for 'v'$"),
        (["x", "y", "z", "v"], "a.csv may name only ids of b.csv.*: 'v'$"),
        (["v"], "about different queries.*: 'v' and 'x' and 2 more$"),
        ([], "about different queries.*: no id and 'x' and 2 more$"),
    ],
)
def test_other_ids_are_named(ids, words):
    with pytest.raises(InputError, match=words):
        queries.check_same(ids, ["x", "y", "z"], "a.csv", "b.csv")
