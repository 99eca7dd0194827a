import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError
from landmark_tf.data.toy_world import camera, scene
from landmark_tf.data.toy_world.landmarks import landmarks


@pytest.fixture(scope="module")
def built():
    return landmarks(17, seed=3)


def _draw(landmark, n, size=96, seed=3):
    return scene.draw(landmark, size, scene.picture_rng(seed, landmark, n))


def test_landmarks_are_distinct_and_do_not_depend_on_the_count(built):
    assert len({one.name for one in built}) == 17
    assert built[16].name == f"{built[0].name}_2"
    ids = sorted(one.landmark_id for one in built)
    assert len(set(ids)) == 17 and min(ids) > 0
    assert ids != list(range(ids[0], ids[0] + 17))
    for few, many in zip(landmarks(1, seed=3), built):
        assert (few.name, few.landmark_id) == (many.name, many.landmark_id)
        np.testing.assert_array_equal(few.drawing, many.drawing)


@pytest.mark.parametrize("count, seed", [(0, 0), (1, -1)])
def test_landmarks_refuse_impossible_numbers(count, seed):
    with pytest.raises(InputError, match="Received"):
        landmarks(count, seed)


def test_a_picture_depends_on_seed_landmark_and_number_alone(built):
    first, view = _draw(built[4], 5)
    _draw(built[4], 4)
    again, same_view = _draw(landmarks(5, seed=3)[4], 5)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(view, same_view)
    for other in (_draw(built[4], 6), _draw(built[5], 5)):
        assert not np.array_equal(view, other[1])


@pytest.mark.parametrize("size", [64, 97])
def test_size_is_the_longest_side(built, size):
    shapes = {_draw(built[0], n, size)[0].shape for n in range(12)}
    assert {max(shape[:2]) for shape in shapes} == {size}
    assert len(shapes) == 3


def test_another_size_shows_the_same_scene(built):
    for landmark in (built[2], None):
        large, view = _draw(landmark, 1, 192)
        small, small_view = _draw(landmark, 1, 96)
        shrunk = np.asarray(Image.fromarray(large).reduce(2), np.float32)
        assert np.mean(np.abs(shrunk - small)) < 12
        if landmark:
            # Pixel centres: x of the small picture is (x - 0.5) / 2.
            halve = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
            expected = halve @ view
            expected /= expected[2, 2]
            np.testing.assert_allclose(small_view, expected, rtol=1e-6)


def test_homography_takes_the_drawing_to_the_picture(built, monkeypatch):
    monkeypatch.setattr(scene, "add_weather", lambda canvas: None)
    monkeypatch.setattr(scene, "relight", lambda rng, picture: picture)
    monkeypatch.setattr(scene, "_occlude", lambda *arguments: None)
    for landmark in (built[2], built[11]):
        picture, view = _draw(landmark, 2, 320)
        height, width = picture.shape[:2]
        y, x = np.mgrid[:height, :width]
        centres = np.stack([x.ravel(), y.ravel()], 1)
        x, y = np.round(camera.project(np.linalg.inv(view), centres)).T
        known = (x > 2) & (y > 2) & (x < 477) & (y < 477)
        drawing = landmark.drawing[
            np.clip(y, 0, 479).astype(int), np.clip(x, 0, 479).astype(int)
        ]
        known &= drawing[:, 3] == 255
        seen = picture.reshape(-1, 3)[known].mean(1)
        meant = drawing[known, :3].mean(1)
        assert known.mean() > 0.05
        assert np.corrcoef(seen, meant)[0, 1] > 0.9


def test_local_features_of_two_pictures_agree_with_their_homographies(built):
    cv2 = pytest.importorskip("cv2")
    sift = cv2.SIFT_create(1000)
    (a, view_a), (b, view_b) = (_draw(built[2], n, 320) for n in (0, 2))
    points, words = [], []
    for picture in (a, b):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        found, descriptors = sift.detectAndCompute(grey, None)
        points.append(np.array([k.pt for k in found]))
        words.append(descriptors)
    pairs = cv2.BFMatcher().knnMatch(*words, k=2)
    good = [m for m, n in pairs if m.distance < 0.75 * n.distance]
    from_a = points[0][[m.queryIdx for m in good]]
    in_b = points[1][[m.trainIdx for m in good]]
    expected = camera.project(view_b @ np.linalg.inv(view_a), from_a)
    errors = np.linalg.norm(expected - in_b, axis=1)
    assert len(good) >= 20
    assert np.median(errors) < 2


def test_most_of_the_landmark_is_in_the_picture(built):
    for landmark in built:
        points = camera.outline(landmark.drawing)
        for n in range(20):
            rng = np.random.default_rng([landmark.landmark_id, n])
            extent = scene.ASPECTS[n % 3]
            seen = camera.project(camera.viewpoint(rng, points, extent), points)
            assert camera.share_inside(seen, extent) > 0.8
            assert max(np.ptp(seen, axis=0) / extent) > 0.35


def test_a_picture_of_no_landmark_has_no_homography():
    pictures = [_draw(None, n, 48) for n in range(6)]
    assert all(homography is None for _, homography in pictures)
    assert len({picture.tobytes() for picture, _ in pictures}) == 6
