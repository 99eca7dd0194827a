import numpy as np
from PIL import Image

from landmark_tf.reports import explanation
from landmark_tf.reports.explanation import Panel


def test_brightness_cuts_off_the_brightest():
    saliency = np.arange(1000.0).reshape(10, 100)
    saliency[0, 0] = 1e9
    found = explanation.brightness(saliency)
    assert found.min() >= 0 and found.max() == 1
    assert found[5, 0] == np.float64(500) / np.percentile(saliency, 99)
    assert (explanation.brightness(np.zeros((2, 2))) == 0).all()


def test_the_picture_the_heat_and_the_empty_cell_are_drawn(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    heat = np.ones((2, 2))
    rows = [
        ("one", [Panel(red, "a"), Panel(red, "b", heat)]),
        ("two", [Panel(None), Panel(red, "c", heat * 0, alone=True)]),
    ]
    path = tmp_path / "new" / "x.png"
    explanation.draw(rows, path, "$_$ a $5 shop")  # no formula
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    half, middle = pixels.shape[1] // 2, pixels.shape[0] // 2

    def share(part, colour):
        return (np.abs(part - colour).max(axis=-1) < 12).mean()

    # The picture itself, dark red over it, nothing, black.
    assert share(pixels[:middle, :half], (255, 0, 0)) > 0.4
    assert share(pixels[:middle, half:], (198, 0, 0)) > 0.4
    assert share(pixels[middle:, :half], (255, 255, 255)) > 0.9
    assert share(pixels[middle:, half:], (0, 0, 4)) > 0.4
