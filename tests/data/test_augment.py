"""Geometry and colour against NumPy and PIL; randomness as a function."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from landmark_tf.data import augment, randomness
from landmark_tf.files import quiet

tf = quiet.import_tensorflow()

LAYERS = (
    augment.RandomResizedCrop,
    augment.ColorJitter,
    augment.RandomAffine,
)
RANGES = {
    augment.ColorJitter: [(0.8, 1.2)] * 3 + [(-0.2, 0.2)],
    augment.RandomAffine: [
        *[(-math.radians(15), math.radians(15))] * 2,
        (0.8, 1.2),
        *[(-0.2, 0.2)] * 2,
    ],
}
IDENTITY = [0.0, 0.0, 1.0, 0.0, 0.0]  # of the affine


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth uint8 picture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    resized = Image.fromarray(small).resize((width, height), Image.BICUBIC)
    return np.asarray(resized)


def to_jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values at pixel coordinates; beyond the edge, the edge."""
    height, width = image.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left = np.minimum(np.floor(x).astype(int), width - 2)
    top = np.minimum(np.floor(y).astype(int), height - 2)
    x, y = (x - left)[..., None], (y - top)[..., None]
    image = image.astype(float)
    above = image[top, left] * (1 - x) + image[top, left + 1] * x
    below = image[top + 1, left] * (1 - x) + image[top + 1, left + 1] * x
    return above * (1 - y) + below * y


def names(count: int) -> "tf.Tensor":
    return tf.strings.as_string(tf.range(count))


def of(kind, *values: float) -> "tf.Tensor":
    """The transformation of given values rather than of draws."""
    low, high = np.array(RANGES[kind]).T
    draws = (np.array(values) - low) / (high - low)
    return kind.transformation(tf.constant(draws, tf.float32))


def box(share, place) -> "tf.Tensor":
    return tf.constant([[*share, 1.0], [*place, 0.0]])


def test_keras_cv_announces_nothing():
    code = (
        "from landmark_tf.files import quiet; quiet.import_tensorflow();"
        "import landmark_tf.data.augment"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_work_alone_on_pictures_and_on_batches(kind):
    layer = kind(16, seed=1)
    images = tf.constant(np.stack([noise(20, 30, i) for i in range(3)]))
    shape = (20, 30, 3) if kind is augment.ColorJitter else (16, 16, 3)
    assert layer(images[0]).shape == shape
    batch = layer({"images": images, "labels": tf.eye(3)})
    assert batch["images"].shape == (3, *shape)
    np.testing.assert_array_equal(batch["labels"], np.eye(3))
    mapped = tf.data.Dataset.from_tensors(images).map(kind(16))
    assert next(iter(mapped)).shape == (3, *shape)
    assert not np.array_equal(layer(images), layer(images))
    again = [kind(16, seed=1)(images).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_agree_eagerly_and_in_tf_data(kind):
    layer, image = kind(32), tf.constant(noise(40, 50))
    draws = tf.constant(np.random.default_rng(0).random((20, 5)), tf.float32)

    def change(draw):
        transformation = layer.transformation(draw)
        return layer.augment_image(image, transformation)

    mapped = tf.data.Dataset.from_tensor_slices(draws).map(
        change, num_parallel_calls=4
    )
    for draw, found in zip(draws, mapped, strict=True):
        np.testing.assert_allclose(found, change(draw), atol=0.01)


@pytest.mark.parametrize("kind", LAYERS)
def test_transformations_of_many_are_those_of_each(kind):
    draws = np.random.default_rng(0).random((4, 3, 5)).astype(np.float32)
    found = kind.transformation(tf.constant(draws)).numpy()
    for i, j in np.ndindex(4, 3):
        one = kind.transformation(tf.constant(draws[i, j]))
        np.testing.assert_allclose(found[i, j], one, atol=1e-6)


@pytest.mark.parametrize("mode", augment.AUGMENTS)
def test_pictures_are_functions_of_their_key_and_id(mode):
    jpeg = tf.constant(to_jpeg(noise(40, 50)))
    keys = tf.constant([i // 8 for i in range(64)], tf.int64)
    ids = tf.constant([f"{i % 8}" for i in range(64)])

    def change(drawn):
        return augment.decode_and_augment(jpeg, drawn, 32)

    drawn = tf.data.Dataset.from_tensor_slices((keys, ids)).batch(10)
    drawn = drawn.map(lambda k, i: (i, augment.draw(k, i, mode))).unbatch()
    mapped = drawn.map(lambda _, x: change(x), num_parallel_calls=4)
    assert mapped.element_spec.shape == (32, 32, 3)
    found = np.stack(list(mapped.as_numpy_iterator()))
    assert found.dtype == np.uint8
    for key, name, picture in zip(keys, ids, found, strict=True):
        row = augment.draw(key[None], name[None], mode)
        alone = change(tf.nest.map_structure(lambda x: x[0], row)).numpy()
        # Grappler reorders sums: a value may fall on the other side of a half.
        difference = np.abs(alone.astype(int) - picture)
        assert difference.max() <= 1 and difference.mean() < 0.001
    distinct = len({picture.tobytes() for picture in found})
    least, most = {"report": (60, 64), "flip": (2, 2), "none": (1, 1)}[mode]
    assert least <= distinct <= most  # two crops may be of one box


def test_flips_and_changes_have_equal_shares(monkeypatch):
    class Fake:
        def __init__(self, value):
            self.value = value

        def augment_image(self, image, transformation):
            rows = [[[self.value] * 3, [9.0] * 3]] * 2
            whole = self.value == 2  # the affine's are of the picture's dtype
            return tf.cast(tf.constant(rows), "uint8" if whole else "float32")

    fakes = Fake(0.0), Fake(1.0), Fake(2.0)
    monkeypatch.setattr(augment, "_layers", lambda image_size, antialias: fakes)
    jpeg, count = tf.constant(to_jpeg(noise(8, 8))), 6000
    keys, ids = tf.fill([count], tf.constant(7, tf.int64)), names(count)
    drawn = augment.draw(keys, ids, "report")
    pictures = tf.data.Dataset.from_tensor_slices(drawn).map(
        lambda x: augment.decode_and_augment(jpeg, x, 2)
    )
    corners = np.concatenate(list(pictures.batch(500)))[:, 0, :, 0]
    flipped = corners[:, 0] == 9
    change = np.where(flipped, corners[:, 1], corners[:, 0])
    seen = np.bincount(change + 3 * flipped, minlength=6)
    expected = count / 6
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert chi_square < 15.09  # five degrees of freedom, p = 0.01


def test_draws_are_uniform_over_ids_and_over_keys():
    numbers = tf.range(2000, dtype=tf.int64)
    same = tf.fill([2000], tf.constant(5, tf.int64))
    by_id = randomness.hashed(same, names(2000), 7).numpy()
    by_key = randomness.hashed(numbers, tf.fill([2000], "5"), 7).numpy()
    other = randomness.hashed(same + 1, names(2000), 7).numpy()
    assert by_id.min() >= 0 and max(by_id.max(), by_key.max()) < 1
    for column in np.hstack([by_id, by_key]).T:
        seen, _ = np.histogram(column, 10, (0, 1))
        assert ((seen - 200) ** 2 / 200).sum() < 27.9  # p = 0.001
    columns = np.hstack([by_id, by_key, other])
    correlation = np.corrcoef(columns.T) - np.eye(21)
    assert np.abs(correlation).max() < 0.1


def test_crop_boxes_have_the_areas_and_aspects_of_the_report():
    crop = augment.RandomResizedCrop(8)
    draws = np.random.default_rng(0).random((500, 4)).astype(np.float32)
    boxes = crop.transformation(tf.constant(draws)).numpy()
    np.testing.assert_array_equal(boxes[:, :, 2], [[1, 0]] * 500)
    np.testing.assert_array_equal(boxes[:, 1, :2], draws[:, 2:])
    height, width = boxes[:, 0, :2].T
    area, aspect = height * width, width / height
    assert 0.0799 < area.min() < 0.1 and 0.98 < area.max() <= 1
    assert 0.749 < aspect.min() < 0.77 and 1.3 < aspect.max() < 1.334
    assert max(height.max(), width.max()) < 1 + 1e-5
    assert abs(area.mean() - 0.54) < 0.03
    assert abs(np.log(aspect).mean()) < 0.02


def test_crop_takes_the_box_and_enlarges_as_pil_does():
    image = noise(40, 60)
    crop = augment.RandomResizedCrop(32)
    found = crop.augment_image(image, box([0.5, 0.25], [0.999, 0.5]))
    part = Image.fromarray(image[20:40, 23:38])  # 20 x 15; x: 0.5 of 46 places
    expected = part.resize((32, 32), Image.BILINEAR)
    assert np.abs(found - np.asarray(expected, float)).max() <= 1


def test_crops_reach_every_border_and_never_leave():
    image = np.full((9, 7, 3), 100, np.uint8)
    image[0], image[-1], image[:, 0], image[:, -1] = 1, 2, 3, 4
    crop = augment.RandomResizedCrop(4)
    starts = {0.0: (1, 3), 0.99999: (2, 4)}
    for place, (row, column) in starts.items():
        half = box([0.5, 0.5], [place, place])
        found = crop.augment_image(image, half).numpy()
        assert (found < 100).any(), (row, column)
    whole = box([1.0, 1.0], [0.9, 0.9])
    np.testing.assert_array_equal(
        crop.augment_image(image, whole), augment.squash(image, 4)
    )
    tiny = box([0.01, 0.01], [0.5, 0.5])
    assert (crop.augment_image(image, tiny).numpy() == 100).all()


def test_squash_has_half_pixel_centres():
    ramp = np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (4, 1, 3))
    found = augment.squash(ramp, 4).numpy()[0, :, 0]
    np.testing.assert_allclose(found, [0.5, 2.5, 4.5, 6.5])
    enlarged = augment.squash(ramp[:, :2], 4).numpy()[0, :, 0]
    np.testing.assert_allclose(enlarged, [0, 0.25, 0.75, 1])


def sources(size, side, angle, shear, scale, x, y):
    """Pixel coordinates in the picture, from torchvision's forward matrix."""
    rotation = np.array(
        [
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ]
    )
    forward = rotation @ (scale * np.array([[1, -math.tan(shear)], [0, 1]]))
    centres = (np.arange(side) + 0.5) / side - 0.5
    target = np.stack(np.meshgrid(centres - x, centres - y), -1)
    source = target @ np.linalg.inv(forward).T + 0.5
    return source[..., 0] * size[1] - 0.5, source[..., 1] * size[0] - 0.5


@pytest.mark.parametrize("size", [(128, 128), (50, 70), (33, 20)])
def test_affine_agrees_with_numpy(size):
    image, values = noise(*size), (0.2, -0.15, 1.1, 0.1, -0.05)
    x, y = sources(size, 40, *values)
    framed = np.pad(image, [(2, 2), (2, 2), (0, 0)])
    layer = augment.RandomAffine(40)
    transformation = of(augment.RandomAffine, *values)
    found = layer.augment_image(tf.constant(image), transformation)
    # Rounded to uint8, from coordinates that OpenCV may round to 1/32 pixel.
    np.testing.assert_allclose(found, sample(framed, x + 2, y + 2), atol=2)


def test_affine_turns_and_moves_as_torchvision_does():
    layer = augment.RandomAffine(9)
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 7] = 200  # right of the centre
    for values, place in (
        (IDENTITY, (4, 7)),
        ([math.pi / 2, 0.0, 1.0, 0.0, 0.0], (7, 4)),  # clockwise: below
        ([0.0, 0.0, 1.0, -2 / 9, 1 / 9], (5, 5)),
        ([0.0, 0.0, 1 / 3, 0.0, 0.0], (4, 5)),
    ):
        found = layer.augment_image(dot, of(augment.RandomAffine, *values))
        found = found.numpy()[..., 0]
        assert np.unravel_index(found.argmax(), found.shape) == place
        assert found.max() > 190
    # Sheared along x by 45 degrees: what is below the centre moves left.
    below = np.zeros((9, 9, 3), np.uint8)
    below[6, 4] = 200
    values = of(augment.RandomAffine, 0.0, math.pi / 4, 1.0, 0.0, 0.0)
    found = layer.augment_image(below, values).numpy()[..., 0]
    assert np.unravel_index(found.argmax(), found.shape) == (6, 2)


def test_affine_of_pil_is_the_same():
    image, side = noise(64, 64), 64
    angle, shear, scale, x, y = -0.25, 0.2, 0.9, 0.1, 0.15
    cos, sin, tan = math.cos(angle), math.sin(angle), math.tan(shear)
    a, b = (cos - tan * sin) / scale, (sin + tan * cos) / scale
    c, d = -sin / scale, cos / scale
    to_x, to_y = side * (0.5 + x), side * (0.5 + y)
    matrix = (
        *(a, b, side / 2 - a * to_x - b * to_y),
        *(c, d, side / 2 - c * to_x - d * to_y),
    )
    expected = Image.fromarray(image).transform(
        (side, side), Image.AFFINE, matrix, Image.BILINEAR
    )
    values = of(augment.RandomAffine, angle, shear, scale, x, y)
    found = augment.RandomAffine(side).augment_image(image, values).numpy()
    difference = np.abs(found - np.asarray(expected, float)).max(-1)
    # All but the outermost half pixel, which PIL does not blend with black.
    assert (difference > 1.01).mean() < 0.03


def test_affine_identity_is_the_squash():
    image = noise(40, 60)
    values = of(augment.RandomAffine, *IDENTITY)
    found = augment.RandomAffine(32).augment_image(image, values)
    np.testing.assert_allclose(found, augment.squash(image, 32), atol=1.5)


@pytest.mark.parametrize("size", [(160, 213), (20, 30)])
def test_geometry_keeps_a_constant_picture_constant(size):
    image = np.full((*size, 3), 200, np.uint8)
    crop, affine = augment.RandomResizedCrop(32), augment.RandomAffine(32)
    for draw in np.random.default_rng(1).random((20, 5)).astype(np.float32):
        found = crop.augment_image(image, crop.transformation(draw))
        assert (augment.to_uint8(found).numpy() == 200).all()
        low, high = np.array(RANGES[augment.RandomAffine]).T
        x, y = sources(size, 32, *(low + draw * (high - low)))
        values = affine.transformation(draw)
        x, y = np.abs(x / (size[1] - 1) - 0.5), np.abs(y / (size[0] - 1) - 0.5)
        found = affine.augment_image(image, values).numpy()
        assert (found[np.maximum(x, y) < 0.4999] == 200).all()
        assert (found[np.maximum(x, y) > 0.57] == 0).all()


def test_affine_draws_the_ranges_of_the_report():
    for draw in (0.0, 0.25, 0.5, 1.0, [0.9, 0.2, 0.3, 0.6, 0.1]):
        draws = np.broadcast_to(np.float32(draw), 5)
        low, high = np.array(RANGES[augment.RandomAffine]).T
        # Where the centres of a result of 2 x 2 pixels come from.
        x, y = sources((1, 1), 2, *(low + draws * (high - low)))
        found = augment.RandomAffine.transformation(tf.constant(draws)).numpy()
        for i, j in np.ndindex(2, 2):
            place = found @ [j / 2 + 0.25, i / 2 + 0.25, 1]
            expected = [x[i, j] + 0.5, y[i, j] + 0.5]
            np.testing.assert_allclose(place, expected, atol=1e-6)


def jitter(image, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    values = of(augment.ColorJitter, brightness, contrast, saturation, hue)
    return augment.ColorJitter().augment_image(tf.constant(image), values)


def test_neutral_jitter_changes_nothing():
    image = noise(20, 30)
    np.testing.assert_allclose(jitter(image), image, atol=1e-3)


@pytest.mark.parametrize(
    "name, enhancer",
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_factors_are_those_of_pil(name, enhancer, factor):
    image = noise(40, 30)
    expected = enhancer(Image.fromarray(image)).enhance(factor)
    found = augment.to_uint8(jitter(image, **{name: factor}))
    difference = np.asarray(expected, int) - found.numpy().astype(int)
    assert np.abs(difference).max() <= 1


def test_hue_turns_in_the_plane_of_i_and_q():
    image = noise(10, 10) // 2 + 60
    to_yiq = np.array(
        [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
    )
    y, i, q = np.moveaxis(image @ to_yiq.T, -1, 0)
    # Red lies near +I, green near -Q: red to green is from I to -Q.
    angle = 2 * math.pi * 0.1
    turned = [
        y,
        i * math.cos(angle) + q * math.sin(angle),
        q * math.cos(angle) - i * math.sin(angle),
    ]
    expected = np.stack(turned, -1) @ np.linalg.inv(to_yiq).T
    expected = np.clip(expected, 0, 255)
    np.testing.assert_allclose(jitter(image, hue=0.1), expected, atol=0.01)


def test_hue_goes_the_way_of_hsv_and_keeps_luma():
    luma = np.array([0.299, 0.587, 0.114])
    for colour in ([150, 100, 100], [100, 150, 100], [100, 100, 150]):
        image = np.array([[colour]], np.uint8)
        for hue in (-0.2, -0.1, 0.1, 0.2):
            found = jitter(image, hue=hue).numpy()
            assert abs((found - image) @ luma).max() < 0.2
            hsv = [
                Image.fromarray(x.astype(np.uint8)).convert("HSV")
                for x in (image, found)
            ]
            before, after = (int(np.asarray(x)[0, 0, 0]) for x in hsv)
            shift = ((after - before) / 255 + 0.5) % 1 - 0.5
            assert abs(shift - hue) < 0.06


def test_grey_stays_grey():
    image = np.tile(np.arange(50, 90, dtype=np.uint8)[:, None, None], (1, 2, 3))
    found = jitter(image, saturation=1.2, hue=0.2)
    np.testing.assert_allclose(found, image, atol=0.1)


def test_jitter_draws_the_ranges_of_the_report():
    luma, red = np.array([0.299, 0.587, 0.114]), np.array([1, 0, 0])
    for draw, factor in ((0.0, 0.8), (0.5, 1.0), (1.0, 1.2)):
        draws = np.full((4, 4), 0.5, np.float32)
        draws[np.arange(4), np.arange(4)] = draw  # one of them at a time
        found = augment.ColorJitter.transformation(tf.constant(draws)).numpy()
        colours, mean = found[:, :3], found[:, 3]
        np.testing.assert_allclose(colours[0], np.eye(3) * factor, atol=1e-3)
        np.testing.assert_allclose(colours[1], np.eye(3) * factor, atol=1e-3)
        np.testing.assert_allclose(mean[1], luma * (1 - factor), atol=1e-6)
        np.testing.assert_allclose(mean[[0, 2, 3]], 0, atol=1e-6)
        expected = luma @ red + factor * (red - luma @ red)
        np.testing.assert_allclose(red @ colours[2], expected, atol=1e-3)
        turn = 2 * math.pi * 0.2 * (2 * draw - 1)
        cosine = (np.trace(colours[3]) - 1) / 2
        np.testing.assert_allclose(cosine, math.cos(turn), atol=1e-3)
        green = (red @ colours[3])[1] - (red @ colours[3])[2]
        assert np.sign(round(green, 3)) == 2 * draw - 1


def stripes():
    """Columns of 0 and 255: what shrinks to grey with care, else to stripes."""
    return np.tile(np.uint8([[[0]], [[255]]]).reshape(1, 2, 1), (96, 48, 3))


def test_antialiasing_shrinks_stripes_to_grey():
    careful = augment.squash(stripes(), 32, antialias=True).numpy()
    careless = augment.squash(stripes(), 32).numpy()
    assert np.abs(careful[:, 2:-2] - 127.5).max() < 30
    assert np.abs(careless[:, 2:-2] - 127.5).max() > 100


@pytest.mark.parametrize("change", range(3))
def test_every_change_antialiases_when_asked(change):
    """A crop of nearly everything, neutral colours, a warp by nothing."""
    file = io.BytesIO()
    Image.fromarray(stripes()).save(file, "JPEG", quality=100, subsampling=0)
    draws = augment.draw(
        tf.range(400, dtype=tf.int64), tf.fill([400], "a"), "report"
    )
    rows = np.flatnonzero(draws["change"].numpy() == change)[:12]
    assert len(rows)
    spread = {}
    for antialias in (False, True):
        found = []
        for row in rows:
            drawn = tf.nest.map_structure(lambda x, row=row: x[row], draws)
            picture = augment.decode_and_augment(
                tf.constant(file.getvalue()), drawn, 16, antialias
            )
            found.append(float(np.std(picture[5:11, 5:11].numpy())))
        spread[antialias] = np.mean(found)
    assert spread[True] < spread[False] / 2
