"""A picture's file becomes an upright RGB picture, and a JPEG to store.

Whatever is wrong with a file is an `ImageError` whose message is the reason, in
words short enough for a column of a CSV.
"""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

MIN_SIDE = 16  # pixels; less shows nothing
MAX_PIXELS = 100_000_000  # beyond any camera: a decompression bomb
MAX_STORED_SIDE = 65_500  # pixels; a JPEG cannot be longer
QUALITY = 90

# Not every format that PIL knows: some start other programs. JPEG is also MPO.
# AVIF last, since older versions of PIL lack it.
_FORMATS = "JPEG PNG WEBP GIF BMP TIFF PPM AVIF".split()
_MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr".split()
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A file holds no picture that can be used; the message says why."""


def is_plain_name(image_id: str) -> bool:
    """Whether an id can be a file's name and nothing else (no path, no dot)."""
    return (
        0 < len(image_id) <= 200
        and len(image_id.encode("utf-8", "replace")) <= 200
        and image_id.isprintable()
        and not image_id.startswith(".")
        and "/" not in image_id
        and "\\" not in image_id
    )


def find_image(root: str | os.PathLike, image_id: str) -> Path:
    """The file of an id: `ROOT/a/b/c/abc….jpg`, else `ROOT/abc….jpg`.

    Args:
        root: the folder of the photographs.
        image_id: the id; one that is no plain name is not looked for.

    Raises:
        ImageError: the id is no plain name, or there is no such file.
    """
    if not is_plain_name(image_id):
        raise ImageError("id is not a plain name")
    name = f"{image_id}.jpg"
    for path in (Path(root, *image_id[:3], name), Path(root, name)):
        if os.path.exists(path):
            return path
    raise ImageError("file missing")


def stored_jpeg(
    path: str | os.PathLike, shorter_side: int, square: bool = False
) -> bytes:
    """Reads any picture and encodes it as a dataset stores it.

    Args:
        path: the picture's file.
        shorter_side: pixels that the shorter side is shrunk to; a smaller
            picture keeps its size.
        square: squash the picture to a square of that side instead of keeping
            its aspect.

    Returns:
        A JPEG: RGB, upright, of quality `QUALITY`, without metadata.

    Raises:
        ImageError: the file is missing or holds no usable picture.
    """
    with _reasons(), _open(path) as image:
        width, height = image.size
        side = min(shorter_side, width, height)
        scale = side / min(width, height)
        size = (round(width * scale), round(height * scale))
        size = (side, side) if square else size
        if max(size) > MAX_STORED_SIDE:
            raise ImageError("too long and narrow")
        # DCT scaling: libjpeg decodes a half, a quarter or an eighth directly.
        drafted = image.draft(None, size)
        box = drafted[1] if drafted else None
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image)
        if rgb.size != size:
            rgb = rgb.resize(size, Image.Resampling.BICUBIC, box)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        rgb.info.clear()  # PIL would copy a comment
        out = io.BytesIO()
        rgb.save(out, "JPEG", quality=QUALITY)
        return out.getvalue()


def open_rgb(path: str | os.PathLike) -> Image.Image:
    """Reads a picture in full size, upright, as RGB (uint8).

    Raises:
        ImageError: the file is missing or holds no usable picture.
    """
    with _reasons(), _open(path) as image:
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        return rgb


def tensorflow_ready(path: str | os.PathLike) -> bytes:
    """Bytes that TensorFlow decodes to the picture that `open_rgb` returns.

    Returns:
        The file as it is where TensorFlow reads it rightly: a complete upright
        JPEG in RGB or grey, or an opaque PNG of 8 bits a channel. Otherwise
        the same picture as a PNG.

    Raises:
        ImageError: the file is missing or holds no usable picture. The pixels
            of a file that is returned as it is have not been looked at.
    """
    with _reasons(), _open(path) as image:
        plain = image.mode in ("RGB", "L") and not image.has_transparency_data
        if plain and _orientation(image) not in _UPRIGHT:
            data = Path(path).read_bytes()
            if _is_complete(data):
                return data
    out = io.BytesIO()
    open_rgb(path).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _is_complete(data: bytes) -> bool:
    """A JPEG or a PNG of 8 bits a channel that ends as it must."""
    if data.startswith(b"\xff\xd8"):
        return data.endswith(b"\xff\xd9")
    if data.startswith(b"\x89PNG"):
        return data[24] == 8 and data[-8:-4] == b"IEND"
    return False


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens a picture and checks its size; decodes nothing yet."""
    with _open_file(path) as file, warnings.catch_warnings():
        # PIL warns of bombs, and of odd metadata that does not matter here.
        warnings.simplefilter("ignore")
        magic = file.read(16)
        file.seek(0)
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise
        except Exception as error:
            known = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM")
            damaged = magic.startswith(known)
            raise ImageError(
                "damaged or truncated" if damaged else "not an image"
            ) from error
        with image:
            width, height = image.size
            if min(width, height) < MIN_SIDE:
                raise ImageError(f"smaller than {MIN_SIDE} pixels")
            if width * height > MAX_PIXELS:
                raise ImageError(f"more than {MAX_PIXELS:,} pixels")
            yield image


def _open_file(path: str | os.PathLike) -> BinaryIO:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise ImageError("not a file")
    if status.st_size == 0:
        raise ImageError("file is empty")
    return open(path, "rb")


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Turns all that PIL and the file system raise into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("file missing") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # PIL's decoders raise nearly every type
        if isinstance(error, OSError) and error.errno:
            reason = f"cannot be read: {os.strerror(error.errno)}"
        elif "truncated" in str(error).lower():
            reason = "truncated"
        else:
            reason = "damaged or truncated"
        raise ImageError(reason) from error


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it is corrupt.

    After `load`, so that a TIFF, which PIL turns while loading, is not turned
    twice.
    """
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # corrupt metadata, the picture is fine
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits
        values = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255)
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode not in _MODES:
        raise ImageError(f"pixel format {image.mode} is not supported")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")
