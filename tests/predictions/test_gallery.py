import numpy as np

from landmark_tf.predictions import gallery


def test_choice_by_hand():
    #                 0    1    2    3    4    5
    label = np.array([0, 0, 1, 1, -1, 2])
    predicted = np.array([0, 1, 1, 0, 2, 2])
    confidence = np.array([0.9, 0.8, 0.6, 0.7, 0.95, 0.99])
    true = np.array([0.9, 0.1, 0.6, 0.2, 1.0, 0.99])
    found = gallery.choose(label, predicted, confidence, true, 2)
    assert found.to_dict("list") == {
        "kind": ["hard"] * 2 + ["mistakes"] * 2 + ["successes"] * 2,
        "row": [1, 3, 4, 1, 5, 0],
    }


def test_a_kind_that_does_not_occur():
    label = np.array([0, -1])
    found = gallery.choose(
        label, label, np.array([0.5, 0.6]), np.array([0.5, 1]), 5
    )
    assert set(found["kind"]) == {"hard", "successes"}
    assert found["row"].tolist() == [0, 0]


def test_nearest_by_angle():
    features = np.array([[10.0, 10], [0, 1], [0, 0]])
    every = np.array([True, True, True])
    assert gallery.nearest(np.array([3.0, 2.9]), features, every) == 0
    assert gallery.nearest(np.array([1.0, 50]), features, every) == 1


def test_a_picture_is_not_its_own_neighbour():
    features = np.array([[10.0, 10], [0, 1], [0, 0]])
    query = np.array([3.0, 2.9])
    assert gallery.nearest(query, features, np.array([False, True, True])) == 1
    assert gallery.nearest(query, features, np.zeros(3, bool)) is None
