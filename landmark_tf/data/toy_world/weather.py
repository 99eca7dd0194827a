"""Weather and light: what makes two pictures of one place differ."""

import numpy as np

from landmark_tf.data.toy_world.canvas import Canvas, smooth_noise


def add_weather(canvas: Canvas) -> None:
    """Clear in half of the pictures, else haze, rain or snow."""
    rng = canvas.rng
    kinds = ("clear", "haze", "rain", "snow")
    kind = rng.choice(kinds, p=(0.5, 0.2, 0.15, 0.15))
    if kind == "clear":
        return
    veil = round(rng.uniform(40, 115) * (1 if kind == "haze" else 0.4))
    layer = Canvas(rng, canvas.side // 2, canvas.extent)
    layer.image.paste((196, 202, 208, veil), (0, 0, *layer.image.size))
    slant = rng.normal(0, 0.012)
    spots = rng.random((70, 3)) * (*canvas.extent, 1)
    if kind == "rain":
        for x, y, near in spots:
            streak = [(x, y), (x + slant, y + 0.02 + 0.05 * near)]
            layer.line(streak, (206, 212, 220, 120), 0.002)
    elif kind == "snow":
        for x, y, near in spots:
            radius = 0.002 + 0.005 * near
            box = [x - radius, y - radius, x + radius, y + radius]
            box = tuple(np.multiply(box, layer.side))
            layer.pen.ellipse(box, fill=(244, 246, 250, 235))
    canvas.image.alpha_composite(layer.image)


def relight(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Changes brightness, contrast and colour; lets a shadow fall.

    Args:
        rng: decides.
        picture: uint8 RGB [H, W, 3].

    Returns:
        A new picture of the same shape and type.
    """
    light = np.float32(picture) / 255
    light = 0.5 + (light - 0.5) * rng.uniform(0.75, 1.15)
    warmth = rng.uniform(-0.14, 0.14)
    tint = np.float32([1 + warmth, 1 + rng.normal(0, 0.03), 1 - warmth])
    gain = rng.uniform(0.8, 1.25) * tint
    if rng.random() < 0.1:  # dusk
        gain *= np.float32([0.7, 0.7, 0.86])
    slope = _slope(rng, picture.shape[:2])
    light = np.clip(light, 0, 1) * gain * slope[..., None]
    return (255 * np.clip(light, 0, 1)).astype(np.uint8)


def _slope(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Light that falls off to one side, and at times a shadow, [H, W]."""
    height, width = shape
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    grid = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    y, x = grid.astype(np.float32)
    slope = 1 + depth * (np.cos(angle) * x + np.sin(angle) * y)
    shadow = np.clip(8 * (smooth_noise(rng, shape, (3, 3)) - 0.5), 0, 1)
    return slope * (1 - rng.uniform(0, 0.45) * shadow * (rng.random() < 0.4))
