import numpy as np
import pytest

from landmark_tf.features import local
from tests.features import cases


def test_some_are_selected_by_place_or_mask():
    features = cases.features(4)
    by_place = features.select(np.array([2, 0]))
    by_mask = features.select(np.array([True, False, True, False]))
    assert len(by_place) == len(by_mask) == 2
    assert by_place.size == features.size
    np.testing.assert_array_equal(by_place.scores, features.scores[[2, 0]])
    np.testing.assert_array_equal(by_mask.locations, features.locations[[0, 2]])


@pytest.mark.parametrize("name", ["locations", "scales", "descriptors"])
def test_what_is_no_number_is_left_out(name):
    features = cases.features(4)
    getattr(features, name)[1] = np.nan
    assert len(features.finite()) == 3
    assert features.finite().scores[1] == features.scores[2]


def test_all_numbers_stay_as_they_are():
    features = cases.features(4)
    assert features.finite() is features


def test_lengths_must_fit():
    features = cases.features(4)
    with pytest.raises(ValueError, match=r"Received: .*\(3,\)"):
        local.LocalFeatures(
            features.locations,
            features.scales[:3],
            features.scores,
            features.descriptors,
            features.size,
        )


def test_empty():
    features = local.empty(40, (10, 20))
    assert len(features) == 0
    assert features.descriptors.shape == (0, 40)
    assert len(features.finite()) == 0
