import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from landmark_tf.files import images

RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)


def corners(width=60, height=40):
    """Red at the left, but green at the top left: which way up is visible."""
    pixels = np.full((height, width, 3), BLUE, np.uint8)
    pixels[:, : width // 2] = RED
    pixels[: height // 2, : width // 2] = GREEN
    return Image.fromarray(pixels)


def save(folder, image, form, **options):
    path = folder / "picture.jpg"
    image.save(path, form, **options)
    return path


def decode(data):
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.asarray(image).astype(int)


def assert_colour(pixel, colour, tolerance=12):
    assert np.abs(np.subtract(pixel, colour)).max() <= tolerance


def assert_upright(pixels):
    """The picture of `corners`, whatever its size."""
    height, width = pixels.shape[:2]
    assert width > height
    assert_colour(pixels[height // 5, width // 5], GREEN)
    assert_colour(pixels[-height // 5, width // 5], RED)
    assert_colour(pixels[height // 5, -width // 5], BLUE)


@pytest.mark.parametrize(
    "size, side, square, expected",
    [
        ((800, 600), 96, False, (128, 96)),
        ((600, 800), 96, False, (96, 128)),
        ((1001, 77), 50, False, (650, 50)),
        ((800, 600), 96, True, (96, 96)),
        ((60, 40), 256, False, (60, 40)),  # never enlarged
        ((60, 40), 256, True, (40, 40)),
        ((60, 40), 40, False, (60, 40)),
    ],
)
def test_stored_size(tmp_path, size, side, square, expected):
    path = save(tmp_path, corners(*size), "JPEG")
    pixels = decode(images.stored_jpeg(path, side, square))
    assert pixels.shape == (expected[1], expected[0], 3)


def test_draft_changes_little(tmp_path):
    """DCT scaling gives what a full decode and a resize would."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    soft = soft.resize((1203, 901), Image.Resampling.BICUBIC)
    path = save(tmp_path, soft, "JPEG", quality=95)
    stored = decode(images.stored_jpeg(path, 100))
    whole = Image.open(path).resize((134, 100), Image.Resampling.BICUBIC)
    expected = io.BytesIO()
    whole.save(expected, "JPEG", quality=images.QUALITY)
    assert np.abs(stored - decode(expected.getvalue())).mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation(tmp_path, orientation, form):
    # The transposition that a viewer must undo, from the EXIF standard.
    turned = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: x.transpose(1, 0, 2)[::-1],
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: x.transpose(1, 0, 2)[:, ::-1],
    }[orientation](np.asarray(corners(240, 160)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, Image.fromarray(turned), form, exif=exif)
    assert_upright(decode(images.stored_jpeg(path, 40)))
    assert_upright(np.asarray(images.open_rgb(path)).astype(int))
    ready = Image.open(io.BytesIO(images.tensorflow_ready(path)))
    assert_upright(np.asarray(ready).astype(int))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff", b"x"])
def test_corrupt_exif_does_not_matter(tmp_path, exif):
    path = save(tmp_path, corners(), "JPEG", exif=exif, quality=95)
    assert_upright(decode(images.stored_jpeg(path, 40)))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "TIFF"])
def test_other_formats(tmp_path, form):
    path = save(tmp_path, corners(), form)
    assert_upright(decode(images.stored_jpeg(path, 40)))


def test_palette_and_cmyk(tmp_path):
    path = save(tmp_path, corners().quantize(8), "PNG")
    assert_upright(decode(images.stored_jpeg(path, 40)))
    path = save(tmp_path, corners().convert("CMYK"), "JPEG", quality=95)
    pixels = decode(images.stored_jpeg(path, 40))
    assert_colour(pixels[8, 10], GREEN, 25)


def test_grey_of_8_and_16_bits(tmp_path):
    path = save(tmp_path, Image.new("L", (40, 40), 200), "JPEG")
    assert_colour(decode(images.stored_jpeg(path, 40))[5, 5], (200,) * 3, 2)
    deep = Image.fromarray(np.full((40, 40), 200 * 256 + 7, np.uint16))
    path = save(tmp_path, deep, "PNG")
    assert_colour(decode(images.stored_jpeg(path, 40))[5, 5], (200,) * 3, 2)


def test_transparency_is_over_white(tmp_path):
    glass = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    glass.paste((255, 0, 0, 255), (0, 0, 20, 40))
    rows = [(glass, {}), (glass.quantize(4), {})]
    key = Image.new("RGB", (40, 40), (0, 0, 0))
    key.paste((255, 0, 0), (0, 0, 20, 40))
    rows.append((key, {"transparency": (0, 0, 0)}))
    for image, options in rows:
        path = save(tmp_path, image, "PNG", **options)
        pixels = decode(images.stored_jpeg(path, 40))
        assert_colour(pixels[20, 35], (255, 255, 255))
        assert_colour(pixels[20, 5], (255, 0, 0))


def test_stored_jpeg_has_no_metadata(tmp_path):
    path = save(tmp_path, corners(), "JPEG", comment=b"me", icc_profile=b"x")
    stored = Image.open(io.BytesIO(images.stored_jpeg(path, 40)))
    assert not {"comment", "icc_profile", "exif"} & set(stored.info)


def reason(path, function=images.tensorflow_ready):
    """What both ways of reading say is wrong; they must agree."""
    with pytest.raises(images.ImageError) as other:
        images.stored_jpeg(path, 40)
    with pytest.raises(images.ImageError) as error:
        function(path)
    assert str(error.value) == str(other.value)
    return str(error.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_truncation_has_a_reason(tmp_path, form):
    whole = save(tmp_path, corners(200, 100), form).read_bytes()
    path = tmp_path / "cut.jpg"
    for keep in (1, 3, 12, 40, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:keep])
        assert reason(path) in (
            "truncated",
            "damaged or truncated",
            "not an image",
        )


def test_noise_in_a_file_never_escapes_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.jpg"
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = save(tmp_path, corners(), form).read_bytes()
        refused = 0
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, min(len(data), 300), 5):
                data[place] = rng.integers(256)
            path.write_bytes(bytes(data))
            try:
                images.stored_jpeg(path, 40)
            except images.ImageError as error:
                assert str(error)
                refused += 1
        assert refused


def test_reasons(tmp_path):
    path = tmp_path / "a.jpg"
    assert reason(path) == "file missing"
    path.write_bytes(b"")
    assert reason(path) == "file is empty"
    path.write_bytes(b"<html>404</html>")
    assert reason(path) == "not an image"
    Image.new("RGB", (400, 15)).save(path, "JPEG")
    assert reason(path) == "smaller than 16 pixels"
    Image.new("F", (40, 40)).save(path, "TIFF")
    assert reason(path) == "pixel format F is not supported"
    path.unlink()
    path.mkdir()
    assert reason(path) == "not a file"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "not a file"


@pytest.mark.parametrize("side", [10_001, 14_000, 60_000])
def test_decompression_bomb(tmp_path, side):
    """A PNG whose header alone promises side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        check = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + check
    path = tmp_path / "bomb.jpg"
    path.write_bytes(data)
    assert reason(path) == "more than 100,000,000 pixels"


def test_too_long_for_a_jpeg(tmp_path):
    path = save(tmp_path, Image.new("L", (70_000, 16)), "PNG")
    with pytest.raises(images.ImageError, match="too long and narrow"):
        images.stored_jpeg(path, 256)
    assert decode(images.stored_jpeg(path, 256, square=True)).shape[0] == 16


def test_tensorflow_ready_passes_what_tensorflow_reads(tmp_path):
    for image, form in [
        (corners(), "JPEG"),
        (corners().convert("L"), "JPEG"),
        (corners(), "PNG"),
    ]:
        path = save(tmp_path, image, form)
        assert images.tensorflow_ready(path) == path.read_bytes()


def test_tensorflow_ready_rewrites_the_rest_without_loss(tmp_path):
    deep = Image.fromarray(np.full((40, 40), 51_207, np.uint16))
    for image, form in [
        (corners().convert("CMYK"), "JPEG"),
        (corners(), "WEBP"),
        (corners().quantize(8), "PNG"),
        (corners().convert("RGBA"), "PNG"),
        (deep, "PNG"),
    ]:
        path = save(tmp_path, image, form)
        ready = Image.open(io.BytesIO(images.tensorflow_ready(path)))
        assert (ready.format, ready.mode) == ("PNG", "RGB")
        assert np.array_equal(ready, images.open_rgb(path))


@pytest.mark.parametrize("folder", ["a/b/c", ""])
def test_find_image(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = tmp_path / folder / "abcd.jpg"
    path.touch()
    assert images.find_image(tmp_path, "abcd") == path
    with pytest.raises(images.ImageError, match="file missing"):
        images.find_image(tmp_path, "abce")


def test_ids_that_are_no_plain_names_touch_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: 1 / 0)
    for image_id in (
        *("", "../a", "/etc/passwd", "a/b", "a\\b", ".a", "..", "a\0"),
        *("a\nb", "x" * 201, "é" * 101),
    ):
        with pytest.raises(images.ImageError, match="not a plain name"):
            images.find_image(tmp_path, image_id)
    for image_id in ("a", "x" * 200, "a b-c_d.e", "é"):
        assert images.is_plain_name(image_id)
