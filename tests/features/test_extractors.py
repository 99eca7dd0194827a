import cv2
import numpy as np
import pytest

from landmark_tf.features import extractors, matching, settings


def picture(height=160, width=200, seed=0):
    """Blurred noise: blobs of many sizes, as photographs have."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (height, width, 3)).astype("float32")
    image = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1, 2, 4))
    image -= image.min()
    return (255 * image / image.max()).astype("uint8")


def sift(**changes):
    return extractors.create(settings.Extraction(extractor="sift", **changes))


def test_features_are_as_promised():
    found = sift(max_features=50)([picture()])[0]
    assert len(found) == 50
    assert found.size == (160, 200)
    assert (found.locations >= 0).all()
    assert (found.locations < [160, 200]).all()
    assert (found.scales > 0).all()
    assert (np.diff(found.scores) <= 0).all()
    assert found.descriptors.shape == (50, 128)
    np.testing.assert_allclose(
        np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5
    )


def test_the_strongest_are_kept():
    many, few = (sift(max_features=n)([picture()])[0] for n in (80, 20))
    np.testing.assert_array_equal(few.scores, many.scores[:20])
    np.testing.assert_array_equal(few.descriptors, many.descriptors[:20])


def test_no_place_is_taken_twice_upright():
    found = sift()([picture()])[0]
    places = np.column_stack([found.locations, found.scales])
    assert len(np.unique(places, axis=0)) == len(found)
    turned = sift(rotation=True)([picture()])[0]
    places = np.column_stack([turned.locations, turned.scales])
    assert len(np.unique(places, axis=0)) < len(turned)


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (300, 16)])
def test_nothing_is_found_where_nothing_is(shape):
    found = sift()([np.full((*shape, 3), 128, np.uint8)])[0]
    assert len(found) == 0
    assert found.size == shape
    assert found.descriptors.shape == (0, 128)


def test_each_picture_of_several_is_as_it_is_alone():
    images = [picture(seed=i) for i in range(3)]
    for alone, together in zip(images, sift()(images)):
        expected = sift()([alone])[0]
        np.testing.assert_array_equal(together.locations, expected.locations)
        np.testing.assert_array_equal(
            together.descriptors, expected.descriptors
        )


def test_locations_are_y_and_x_of_pixel_centres():
    """A single blob."""
    image = np.zeros((100, 140, 3), np.float32)
    image[30, 90] = 1
    image = cv2.GaussianBlur(image, (0, 0), 4)
    image = (255 * image / image.max()).astype("uint8")
    found = sift()([image])[0]
    np.testing.assert_allclose(found.locations[0], [30, 90], atol=0.6)


@pytest.mark.parametrize(("rotation", "most"), [(False, 20), (True, 10_000)])
def test_turned_pictures_match_only_if_asked_for(rotation, most):
    extractor = sift(rotation=rotation)
    image = picture()
    a, b = extractor([image])[0], extractor([np.rot90(image).copy()])[0]
    found = matching.match(a, b, settings.Matching(max_turn=180.0))
    assert found.inliers < most
    assert (found.inliers > 100) == rotation


def test_root_sift_by_hand():
    found = extractors.root(np.array([[1, 3, 0], [0, 0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.5, np.sqrt(0.75), 0], [0, 0, 0]])


def test_a_part_that_was_cut_out_matches():
    image = picture(240, 320)
    part = image[40:200, 60:260]
    a, b = (sift()([x])[0] for x in (image, part))
    found = matching.match(a, b, settings.Matching())
    assert found.inliers > 100
    matrix = found.agreement.matrix
    np.testing.assert_allclose(matrix[:2, :2], np.eye(2), atol=0.02)
    np.testing.assert_allclose(matrix[:2, 2], [-60, -40], atol=2)
