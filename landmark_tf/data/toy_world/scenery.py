"""What stands around the landmarks, drawn anew for every picture."""

import numpy as np
from PIL import Image

from landmark_tf.data.toy_world.canvas import Canvas, shade, smooth_noise
from landmark_tf.data.toy_world.facade import Facade

SKIES = (  # colours high up and at the horizon
    ((92, 146, 206), (196, 218, 236)),
    ((150, 166, 182), (206, 210, 214)),
    ((72, 92, 142), (238, 178, 132)),
    ((52, 62, 100), (150, 128, 140)),
    ((118, 176, 214), (232, 232, 216)),
)
GROUNDS = (
    (104, 128, 74),
    (146, 140, 130),
    (190, 168, 124),
    (92, 118, 134),
    (122, 116, 108),
)
LAMP_POST = (56, 58, 62)


def house(c: Facade) -> None:
    """An anonymous building: a cottage, flats, a tower; never the same."""
    rng = c.rng
    half, top = rng.uniform(0.2, 0.46), rng.uniform(0.15, 0.7)
    x0, x1 = 0.5 - half, 0.5 + half
    course, rough = rng.uniform(0.015, 0.045), rng.uniform(0.04, 0.16)
    c.block(x0, top, x1, 1, course=course, rough=rough)
    _house_top(c, half, top)
    if rng.random() < 0.3:
        c.dome(rng.uniform(x0, x1), top, half * 0.4, half * 0.4)
    floors = max(1, round((1 - top) / rng.uniform(0.12, 0.24)))
    number = max(1, round(2 * half / rng.uniform(0.09, 0.2)))
    arched = rng.random() < 0.4
    width, height = half / number, 0.4 * (1 - top) / floors
    for y in top + (np.arange(floors) + 0.75) * (0.94 - top) / floors:
        c.openings(x0, x1, y, number, width, height, arched)
    door = rng.uniform(x0 + 0.06, x1 - 0.06)
    c.opening(door, 1, 0.06, 0.1, arched, c.colours.accent)
    if rng.random() < 0.25:
        c.columns(x0, x1, 0.6 + 0.4 * top, 1, int(rng.integers(3, 7)), 0.04)


def _house_top(c: Facade, half: float, top: float) -> None:
    """A gable, a hipped roof, a cornice or battlements."""
    x0, x1 = 0.5 - half, 0.5 + half
    kind = c.rng.integers(4)
    peak = max(0.01, top - c.rng.uniform(0.08, 0.3))
    left, right = (x0 - 0.03, top), (x1 + 0.03, top)
    if kind == 0:
        c.roof([left, (0.5, peak), right])
    elif kind == 1:
        ridge = half * c.rng.uniform(0.5, 0.9)
        c.roof([left, (0.5 - ridge, peak), (0.5 + ridge, peak), right])
    elif kind == 2:
        c.cornice(x0 - 0.02, x1 + 0.02, top)
    else:
        c.battlements(x0, x1, top, int(c.rng.integers(3, 9)))


def background(c: Canvas, horizon: float) -> None:
    """Fills a sheet with sky, hills, anonymous houses and the ground.

    Args:
        c: the sheet; what is on it is painted over.
        horizon: y of the horizon, in units of length.
    """
    rng = c.rng
    _sky(c)
    for level in range(rng.integers(0, 3)):
        _hill(c, horizon, 0.06 * (2 - level))
    for _ in range(rng.integers(0, 6)):
        _distant_house(c, horizon)
    _ground(c, horizon)
    for _ in range(rng.integers(0, 5)):
        tree(c, horizon + 0.01, rng.uniform(0.05, 0.2))


def _sky(c: Canvas) -> None:
    width, height = c.image.size
    high, low = np.float32(SKIES[c.rng.integers(len(SKIES))])
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    clouds = smooth_noise(c.rng, (height, width), (9, 4))
    clouds = np.clip(1.5 * clouds - c.rng.uniform(0.4, 1.3), 0, 0.8)[..., None]
    sky = high + (low - high) * down
    sky = sky + (1.15 * low - sky) * clouds
    c.image.paste(Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)))


def _ground(c: Canvas, horizon: float) -> None:
    width, height = c.image.size
    colour = GROUNDS[c.rng.integers(len(GROUNDS))]
    colour = np.float32(shade(colour, c.rng.uniform(0.75, 1.15)))
    light = 0.9 + 0.2 * smooth_noise(c.rng, (height, width), (30, 8))
    pixels = np.clip(colour * light[..., None], 0, 255).astype(np.uint8)
    top = min(height, max(0, round(horizon * c.side)))
    c.image.paste(Image.fromarray(pixels[top:]), (0, top))


def _hill(c: Canvas, horizon: float, height: float) -> None:
    x = np.linspace(0, c.extent[0], 33)
    waves = c.rng.uniform(0, 2 * np.pi, 3)
    y = sum(np.sin(x * 4 * (k + 1) + w) / (k + 1) for k, w in enumerate(waves))
    colour = np.add((96, 116, 120), c.rng.integers(-26, 27, 3))
    ridge = zip(x, horizon - height * (1.2 + 0.5 * y))
    c.polygon([*ridge, (c.extent[0], 2), (0, 2)], shade(colour, 1))


def _distant_house(c: Canvas, horizon: float) -> None:
    sheet = Facade(c.rng, 80)
    house(sheet)
    width, height = c.rng.uniform(0.08, 0.25, 2)
    size = tuple(max(1, round(c.side * x)) for x in (width, height))
    small = sheet.image.resize(size, Image.Resampling.BOX)
    x = round((c.rng.uniform(0, c.extent[0]) - width / 2) * c.side)
    c.image.paste(small, (x, round((horizon - height) * c.side)), small)


def tree(c: Canvas, y: float, height: float) -> None:
    """A tree or a bush standing on y, anywhere along the sheet."""
    rng = c.rng
    x, half = rng.uniform(0, c.extent[0]), 0.03 * height
    c.box(x - half, y - 0.5 * height, x + half, y, (84, 64, 48))
    green = np.add((66, 98, 50), rng.integers(-24, 40, 3))
    conical = rng.random() < 0.3
    for up in np.linspace(0.3, 0.95, 14):
        spread = height * (0.34 * (1 - up) if conical else 0.2)
        dx = rng.normal(0, 0.5) * spread
        leaf = shade(green, rng.uniform(0.7, 1.2))
        c.disc(x + dx, y - up * height, 0.11 * height, leaf)


def person(c: Canvas, y: float, height: float) -> None:
    """Somebody standing on y."""
    x = c.rng.uniform(0, c.extent[0])
    coat = shade(c.rng.integers(30, 220, 3), 1)
    for half, top, base, colour in (
        (0.1 * height, y - 0.45 * height, y, shade(coat, 0.6)),
        (0.14 * height, y - 0.84 * height, y - 0.4 * height, coat),
    ):
        c.box(x - half, top, x + half, base, colour)
    c.disc(x, y - 0.92 * height, 0.08 * height, (196, 156, 130))


def pole(c: Canvas, y: float, height: float) -> None:
    """A street lamp of twice the height, standing on y."""
    x, top = c.rng.uniform(0, c.extent[0]), y - 2 * height
    c.line([(x, y), (x, top)], LAMP_POST, 0.012)
    c.line([(x, top), (x + 0.06, top)], LAMP_POST, 0.01)
    c.disc(x + 0.06, top + 0.012, 0.02, (232, 226, 190), 0.6)


def car(c: Canvas, y: float, height: float) -> None:
    """A parked car."""
    x, s = c.rng.uniform(0, c.extent[0]), height * 0.7
    paint = shade(c.rng.integers(30, 200) + c.rng.integers(0, 50, 3), 1)
    body = [(-1, 0), (-1, -0.4), (-0.6, -0.45), (-0.4, -0.8)]
    body += [(0.4, -0.8), (0.65, -0.45), (1, -0.4), (1, 0)]
    glass = [(-0.5, -0.48), (-0.34, -0.73), (0.34, -0.73), (0.52, -0.48)]
    for part, colour in ((body, paint), (glass, (92, 110, 124))):
        c.polygon([(x + s * u, y + s * (v - 0.1)) for u, v in part], colour)
    for wheel in (-0.6, 0.6):
        c.disc(x + s * wheel, y - 0.12 * s, 0.19 * s, (34, 34, 36))


OCCLUDERS = (tree, person, pole, car)
