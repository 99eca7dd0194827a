"""Landmarks that rise: each tower is one function, drawn from the front."""

import numpy as np

from landmark_tf.data.toy_world.canvas import Colour, shade
from landmark_tf.data.toy_world.facade import Facade

GOLD = (206, 170, 70)


def clock_tower(c: Facade) -> None:
    """A tall tower, a clock under the belfry, a spire."""
    w = c.rng.uniform(0.125, 0.15)
    left, right = 0.5 - w, 0.5 + w
    c.block(left - 0.05, 0.9, right + 0.05, 1, course=0.04)
    c.block(left, 0.36, right, 0.9)
    for y in (0.6, 0.74, 0.86):
        number = int(c.rng.integers(2, 4))
        c.openings(left, right, y, number, 0.03, 0.06, arched=True)
    c.opening(0.5, 1, 0.06, 0.06, arched=True, colour=(62, 44, 34))
    c.block(left - 0.02, 0.3, right + 0.02, 0.5)
    c.clock(0.5, 0.41, 0.085)
    c.cornice(left - 0.035, right + 0.035, 0.49)
    c.cornice(left - 0.035, right + 0.035, 0.295)
    c.block(left, 0.2, right, 0.295)
    c.openings(left, right, 0.29, 4, 0.034, 0.055, arched=True)
    c.roof([(left - 0.02, 0.2), (0.5, 0.01), (right + 0.02, 0.2)])
    for x in (left, right):
        c.roof([(x - 0.025, 0.2), (x, 0.1), (x + 0.025, 0.2)])


def lighthouse(c: Facade) -> None:
    """A striped, tapering tower with a lantern, and the keeper's house."""
    bands = int(c.rng.integers(5, 8))
    edges = np.linspace(0.24, 0.94, bands + 1)
    halves = 0.085 + 0.09 * (edges - 0.24) / 0.7
    left, right = [*zip(0.42 - halves, edges)], [*zip(0.42 + halves, edges)]
    for i in range(bands):
        colour = c.colours.accent if i % 2 else (232, 226, 216)
        corners = [left[i], right[i], right[i + 1], left[i + 1]]
        c.wall(corners, colour, 0.025, 0.09, rounded=True)
        x, sill = 0.42 + c.rng.uniform(-0.05, 0.05), edges[i + 1] - 0.03
        c.opening(x, sill, 0.024, 0.045)
    c.cornice(0.3, 0.54, 0.22)
    c.block(0.36, 0.12, 0.48, 0.22, (214, 206, 150), course=0.05)
    for x in np.linspace(0.36, 0.48, 5):
        c.line([(x, 0.12), (x, 0.22)], (52, 52, 56), 0.006)
    c.dome(0.42, 0.12, 0.075, 0.06)
    c.block(0.55, 0.78, 0.9, 0.95)
    c.roof([(0.52, 0.78), (0.6, 0.66), (0.86, 0.66), (0.93, 0.78)])
    c.openings(0.56, 0.89, 0.9, 4, 0.036, 0.06)
    c.block(0.12, 0.93, 0.94, 1, (126, 118, 110), course=0.035, rough=0.25)
    c.opening(0.42, 0.94, 0.05, 0.06, arched=True, colour=(64, 42, 32))


def pagoda(c: Facade) -> None:
    """Storeys that shrink upwards, each under a curved roof."""
    storeys = int(c.rng.integers(4, 6))
    for i in range(storeys):
        half, height = 0.27 - 0.16 * i / storeys, 0.8 / storeys
        _storey(c, half, 0.95 - i * height, height, windows=5 - i // 2)
    c.line([(0.5, 0.16), (0.5, 0.01)], GOLD, 0.012)
    for y in (0.05, 0.08, 0.11):
        c.disc(0.5, y, 0.02, GOLD, 0.4)
    c.stairs(0.3, 0.7, 0.95, 3, 0.017)


def _storey(
    c: Facade, half: float, base: float, height: float, windows: int
) -> None:
    """A storey of the pagoda, standing on `base`, and the roof above it."""
    accent, top = c.colours.accent, base - height * 1.02
    left, right = 0.5 - half, 0.5 + half
    c.block(left, base - height, right, base, course=0.03)
    c.openings(left, right, base - 0.02, windows, half / 5, height * 0.36)
    for x in np.linspace(left, right, 5):
        c.line([(x, base), (x, base - height * 0.6)], accent, 0.012)
    t = np.linspace(-1, 1, 13)
    wide, eaves = half + 0.14, base - height * 0.62
    sweep = [*zip(0.5 + wide * t, eaves - 0.045 * np.abs(t) ** 3)]
    c.roof([*sweep, (0.5 + half * 0.75, top), (0.5 - half * 0.75, top)])
    c.line(sweep, accent, 0.01)
    for x in (0.5 - wide, 0.5 + wide):
        c.disc(x, eaves - 0.035, 0.013, (214, 178, 76))


def windmill(c: Facade) -> None:
    """A tapering mill with a gallery and four sails."""
    c.wall([(0.4, 0.36), (0.6, 0.36), (0.7, 1), (0.3, 1)], rounded=True)
    for y, number in ((0.58, 2), (0.72, 3), (0.92, 3)):
        c.openings(0.36, 0.64, y, number, 0.04, 0.06)
    c.opening(0.5, 1, 0.07, 0.08, arched=True, colour=(70, 46, 34))
    c.cornice(0.24, 0.76, 0.76)
    for x in np.linspace(0.25, 0.75, 15):
        c.line([(x, 0.76), (x, 0.715)], c.colours.trim, 0.006)
    c.line([(0.24, 0.715), (0.76, 0.715)], c.colours.trim, 0.008)
    c.dome(0.5, 0.37, 0.12, 0.13)
    turn = c.rng.uniform(0.3, 1.2)
    for i in range(4):
        _sail(c, turn + i * np.pi / 2)
    c.disc(0.5, 0.36, 0.028, c.colours.accent)


def _sail(c: Facade, angle: float) -> None:
    """A sail of the windmill: a spar, and cells of canvas beside it."""
    hub = np.array([0.5, 0.36])
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    for r in np.arange(0.07, 0.34, 0.035):
        cell = [
            hub + along * (r + a) + across * b
            for a, b in ((0, 0), (0.035, 0), (0.035, 0.085), (0, 0.085))
        ]
        c.polygon(cell, shade((232, 220, 196), c.rng.uniform(0.55, 1.05)))
    c.line([hub, hub + along * 0.355], c.colours.accent, 0.014)


def lattice_tower(c: Facade) -> None:
    """An iron tower on splayed legs, two platforms and a cabin."""
    iron = shade(c.colours.accent, 0.75)
    for side in (-1, 1):
        _leg(c, side, iron)
    angle = np.linspace(np.pi, 0, 15)
    for radius in (0.15, 0.17):
        xs = 0.5 + radius * np.cos(angle)
        ys = 0.93 - 1.1 * radius * np.sin(angle)
        c.line(zip(xs, ys), shade(iron, 1.5), 0.011)
    for y, grow in ((0.7, 0.05), (0.42, 0.04), (0.2, 0.02)):
        wide = _splay(y) + grow
        left, right = 0.5 - wide, 0.5 + wide
        c.block(left, y, right, y + 0.05, iron, course=0.025)
        c.openings(left, right, y + 0.04, round(wide * 50), 0.011, 0.022)
    c.line([(0.5, 0.06), (0.5, 0)], iron, 0.01)
    for x in (0.5 - 0.255, 0.5 + 0.255):
        c.block(x - 0.115, 0.93, x + 0.115, 1, course=0.025)


def _splay(y: float) -> float:
    """Half the width of the lattice tower at y."""
    return 0.016 + 0.34 * ((y - 0.04) / 0.96) ** 2.4


def _leg(c: Facade, side: int, iron: Colour) -> None:
    """A half of the lattice tower, -1: left; below 0.5 it has an inner edge."""

    def edge(y: float, inner: float) -> tuple[float, float]:
        return 0.5 + side * _splay(y) * inner, y

    ys = np.linspace(0.04, 1, 25)
    outer = [edge(y, 1) for y in ys]
    inner = [edge(y, 0.42 if y > 0.5 else 0) for y in ys]
    c.wall(outer + inner[::-1], shade(iron, 0.8), 0.03, 0.15)
    for y0, y1 in zip(ys, ys[1:]):
        k = 0.42 if y1 > 0.5 else 0
        for ends in ((edge(y0, 1), edge(y1, k)), (edge(y0, k), edge(y1, 1))):
            c.line(ends, shade(iron, c.rng.uniform(1.3, 2.1)), 0.006)
