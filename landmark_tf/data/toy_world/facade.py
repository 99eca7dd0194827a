"""The parts that buildings are made of: windows, columns, domes, statues.

Stones, stains and panes differ from each other, because local features need
corners that occur only once.
"""

import numpy as np

from landmark_tf.data.toy_world.canvas import Canvas, Colour, shade


class Facade(Canvas):
    """A sheet for one building seen from the front, standing on y = 1."""

    def cornice(
        self, x0: float, x1: float, y: float, height: float = 0.02
    ) -> None:
        """A ledge with brackets under it; `y` is its top."""
        trim = self.colours.trim
        under = shade(trim, 0.8)
        for x in np.arange(x0 + 0.008, x1 - 0.008, 0.022):
            self.box(x, y + height, x + 0.01, y + 1.7 * height, under)
        self.box(x0, y, x1, y + height, trim)

    def opening(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        arched: bool = False,
        colour: Colour | None = None,
    ) -> None:
        """A window, or a door of one colour; (x, y) is its sill's middle."""
        trim = self.colours.trim
        tone = self.rng.uniform(0.5, 1.5)
        glass = [(44, 52, 66), (70, 84, 100), (56, 42, 34), (104, 92, 70)]
        glass = colour or shade(glass[self.rng.integers(4)], tone)
        for grow, fill in ((0.22 * width, trim), (0, glass)):
            half = width / 2 + grow
            top = y - height - (0 if arched else grow)
            points = [(x + half, top), (x + half, y), (x - half, y)]
            points.append((x - half, top))
            if arched:
                angle = np.linspace(np.pi, 0, 13)[1:-1]
                xs, ys = x + half * np.cos(angle), top - half * np.sin(angle)
                points += zip(xs, ys)
            self.polygon(points, fill)
        left, right = x - width / 2, x + width / 2
        if colour is None and self.rng.random() < 0.7:
            self.line([(x, y), (x, y - height)], trim, 0.003)
            middle = y - height * self.rng.uniform(0.4, 0.75)
            self.line([(left, middle), (right, middle)], trim, 0.003)
        if self.rng.random() < 0.25:
            self.box(left, y - height, x, y, self.colours.accent)

    def openings(
        self,
        x0: float,
        x1: float,
        y: float,
        number: int,
        width: float,
        height: float,
        arched: bool = False,
    ) -> None:
        """A row of windows, evenly spaced between x0 and x1."""
        for i in range(number):
            x = x0 + (i + 0.5) * (x1 - x0) / number
            self.opening(x, y, width, height, arched)

    def battlements(
        self, x0: float, x1: float, y: float, number: int, height: float = 0.025
    ) -> None:
        """Merlons standing on y."""
        step = (x1 - x0) / (2 * number - 1)
        for i in range(number):
            x = x0 + 2 * i * step
            self.block(x, y - height, x + step, y)

    def columns(
        self,
        x0: float,
        x1: float,
        top: float,
        base: float,
        number: int,
        width: float,
    ) -> None:
        """Columns with capitals, the outer ones flush with x0 and x1."""
        trim, half = self.colours.trim, width / 2
        for x in np.linspace(x0 + half, x1 - half, number):
            shaft = width * 0.38
            self.block(x - shaft, top, x + shaft, base, rounded=True)
            for y in (top, base - 0.016):
                self.box(x - half, y, x + half, y + 0.016, trim)

    def stairs(
        self, x0: float, x1: float, y: float, number: int, height: float = 0.014
    ) -> None:
        """Steps that widen downwards from y."""
        for i in range(number):
            grow = 0.016 * (i + 1)
            top, base = y + i * height, y + (i + 1) * height
            self.block(x0 - grow, top, x1 + grow, base, course=0.05)

    def dome(
        self,
        x: float,
        y: float,
        radius: float,
        height: float,
        colour: Colour | None = None,
        onion: bool = False,
    ) -> None:
        """A ribbed dome standing on y, with a knob on a rod."""
        colour = colour or self.colours.roof
        t = np.linspace(0, 1, 21)
        profile = np.sqrt(1 - t**2)
        if onion:
            heights = [0, 0.12, 0.3, 0.5, 0.7, 0.85, 1]
            widths = [0.7, 0.93, 1, 0.82, 0.42, 0.14, 0]
            profile = np.interp(t, heights, widths)
        right = [*zip(x + radius * profile, y - height * t)]
        left = [(2 * x - u, v) for u, v in right[::-1]]
        self.wall(right + left, colour, 0.02, 0.08, rounded=True)
        for rib in (-0.8, -0.45, 0, 0.45, 0.8):
            ribs = [(x + rib * (u - x), v) for u, v in right]
            self.line(ribs, shade(colour, 0.6), 0.004)
        top = y - height
        self.line([(x, top), (x, top - 0.05)], self.colours.accent, 0.007)
        self.disc(x, top - 0.02, 0.011, self.colours.accent)

    def clock(self, x: float, y: float, radius: float) -> None:
        """A clock face at a time of its own."""

        def rim(share: float, angle: float) -> tuple[float, float]:
            length = radius * share
            return x + length * np.sin(angle), y - length * np.cos(angle)

        self.disc(x, y, radius, self.colours.accent)
        self.disc(x, y, radius * 0.84, (238, 234, 218))
        for hour in np.arange(12) * np.pi / 6:
            self.line([rim(0.62, hour), rim(0.8, hour)], (40, 36, 34), 0.006)
        for share, angle in zip((0.45, 0.7), self.rng.uniform(0, 6.28, 2)):
            self.line([(x, y), rim(share, angle)], (30, 28, 28), 0.009)

    def statue(self, x: float, y: float, height: float) -> None:
        """A figure standing on y."""
        colour = shade(self.colours.trim, self.rng.uniform(0.6, 0.9))
        lean = self.rng.uniform(-0.12, 0.12) * height
        foot, shoulder, neck = 0.2 * height, 0.14 * height, y - 0.7 * height
        self.polygon(
            [
                (x - foot, y),
                (x + foot, y),
                (x + lean + shoulder, neck),
                (x + lean - shoulder, neck),
            ],
            colour,
        )
        self.disc(x + lean, y - 0.85 * height, shoulder, colour)

    def flag(self, x: float, y: float, height: float) -> None:
        """A pole standing on y, with a two-coloured flag."""
        self.line([(x, y), (x, y - height)], (70, 66, 62), 0.005)
        for part, colour in ((0, self.colours.accent), (1, (236, 232, 224))):
            top = y - height + part * 0.2 * height
            self.box(x, top, x + 0.5 * height, top + 0.2 * height, colour)
