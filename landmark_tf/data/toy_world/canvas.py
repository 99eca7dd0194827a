"""A sheet to draw on, with flat shapes and masonry.

All coordinates are relative: x and y in [0, 1] of the canvas, y down. All
random draws are independent of the size in pixels, so that the same random
state gives the same drawing at every size.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = Sequence[int]
Point = tuple[float, float]

OVERSAMPLE = 2
WALLS = (
    (206, 174, 126),  # sandstone
    (166, 92, 70),  # brick
    (212, 203, 182),  # limestone
    (142, 144, 148),  # granite
    (212, 160, 84),  # ochre
    (226, 214, 204),  # plaster
)
ROOFS = ((112, 60, 48), (74, 82, 94), (96, 128, 112), (120, 84, 62))
ACCENTS = ((168, 44, 44), (40, 74, 130), (196, 158, 60), (46, 104, 72))


def shade(colour: Colour, factor: float) -> tuple[int, ...]:
    """Returns the colour made darker (factor < 1) or lighter (> 1)."""
    return tuple(int(np.clip(c * factor, 0, 255)) for c in colour[:3])


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
    """Returns smooth noise, float32 [H, W] in about [0, 1].

    Args:
        rng: decides.
        shape: (H, W) in pixels.
        cells: random values down and across, with smooth blobs between.
    """
    grid = Image.fromarray(rng.random(cells, dtype=np.float32))
    return np.asarray(grid.resize(shape[::-1], Image.Resampling.BICUBIC))


@dataclasses.dataclass(frozen=True)
class Palette:
    """The colours of one building, each RGB in [0, 255]."""

    wall: Colour
    trim: Colour
    roof: Colour
    accent: Colour

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Palette":
        """Draws a palette: near colours for all, so that shape must tell."""
        wall = WALLS[rng.integers(len(WALLS))]
        wall = shade(np.add(wall, rng.integers(-14, 15, 3)), 1)
        return cls(
            wall=wall,
            trim=shade(wall, rng.choice([0.7, 1.22])),
            roof=ROOFS[rng.integers(len(ROOFS))],
            accent=ACCENTS[rng.integers(len(ACCENTS))],
        )


class Canvas:
    """A transparent sheet to draw on.

    Args:
        rng: decides the palette, the stones and the numbers of everything.
        size: pixels of the finished drawing to the unit of length.
        extent: (width, height) of the sheet in units of length.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: int,
        extent: tuple[float, float] = (1, 1),
    ):
        self.rng = rng
        self.colours = Palette.random(rng)
        self.side = size * OVERSAMPLE
        self.extent = extent
        self._finished = tuple(round(size * x) for x in extent)
        pixels = tuple(x * OVERSAMPLE for x in self._finished)
        self.image = Image.new("RGBA", pixels)
        self.pen = ImageDraw.Draw(self.image)

    def finish(self) -> np.ndarray:
        """Returns the drawing, uint8 RGBA [H, W, 4], anti-aliased."""
        # PIL weighs colours by alpha here: no dark rim around the building.
        small = self.image.resize(self._finished, Image.Resampling.BOX)
        return np.asarray(small)

    def _pixels(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self.side - 0.5, y * self.side - 0.5) for x, y in points]

    def polygon(self, points: Iterable[Point], colour: Colour) -> None:
        """Fills a polygon with one colour and a darker outline."""
        points = self._pixels(points)
        self.pen.polygon(points, fill=tuple(colour))
        edge = shade(colour, 0.55)
        width = max(1, self.side // 500)
        self.pen.line([*points, points[0]], fill=edge, width=width)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour
    ) -> None:
        """Fills an upright rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def line(
        self, points: Iterable[Point], colour: Colour, width: float
    ) -> None:
        """Draws a line through the points."""
        width = max(1, round(width * self.side))
        self.pen.line(self._pixels(points), fill=tuple(colour), width=width)

    def disc(
        self,
        x: float,
        y: float,
        radius: float,
        colour: Colour,
        squeeze: float = 1.0,
    ) -> None:
        """Fills an ellipse; `squeeze` is its height over its width."""
        angle = np.linspace(0, 2 * np.pi, 41)[:-1]
        xs = x + radius * np.cos(angle)
        ys = y + squeeze * radius * np.sin(angle)
        self.polygon(zip(xs, ys), colour)

    def wall(
        self,
        points: Sequence[Point],
        colour: Colour | None = None,
        course: float = 0.022,
        rough: float = 0.12,
        rounded: bool = False,
    ) -> None:
        """Fills a polygon with courses of stones, no two quite alike.

        Args:
            points: corners (x, y).
            colour: mean colour; the palette's wall if not given.
            course: height of a course.
            rough: standard deviation of the stones' brightness.
            rounded: shade the sides, as on a round tower.
        """
        colour = self.colours.wall if colour is None else colour
        x0, y0 = np.floor(np.min(points, 0) * self.side).astype(int)
        x1, y1 = np.ceil(np.max(points, 0) * self.side).astype(int) + 1
        light = self._masonry(y1 - y0, x1 - x0, course * self.side, rough)
        if rounded:
            across = np.linspace(-1, 1, x1 - x0, dtype=np.float32)
            light = light * (1.1 - 0.45 * (across + 0.3) ** 2)
        rgb = np.clip(light[..., None] * np.float32(colour), 0, 255)
        mask = Image.new("L", (x1 - x0, y1 - y0))
        corners = [(x - x0, y - y0) for x, y in self._pixels(points)]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        patch = Image.fromarray(rgb.astype(np.uint8))
        self.image.paste(patch, (int(x0), int(y0)), mask)
        self.line([*points, points[0]], shade(colour, 0.6), 0.002)

    def _masonry(
        self, height: int, width: int, course: float, rough: float
    ) -> np.ndarray:
        """Brightness of a wall, float32 [height, width], mean about 1."""
        table = self.rng.normal(1, rough, (64, 61)).astype(np.float32)
        table[self.rng.random((64, 61)) < 0.06] *= 0.7
        offset = self.rng.random(64) * 3
        stretch = self.rng.uniform(1.5, 2.6, 64)
        y, x = np.mgrid[:height, :width].astype(np.float32) / course
        row = y.astype(int) % 64
        along = x / stretch[row] + offset[row]
        light = table[row, along.astype(int) % 61]
        mortar = (y % 1 < 0.14) | (along % 1 < 0.06)
        light = np.where(mortar, light * 0.78, light)
        stains = smooth_noise(self.rng, (height, width), (6, 6))
        return (light * (0.84 + 0.32 * stains)).astype(np.float32)

    def block(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: Colour | None = None,
        **masonry: float,
    ) -> None:
        """An upright rectangle of masonry; arguments as for `wall`."""
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        self.wall(corners, colour, **masonry)

    def roof(
        self, points: Sequence[Point], colour: Colour | None = None
    ) -> None:
        """A polygon of tiles."""
        self.wall(points, colour or self.colours.roof, 0.014, 0.16)
