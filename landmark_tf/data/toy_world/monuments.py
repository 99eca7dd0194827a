"""Landmarks without rooms: monuments and bridges, drawn from the front."""

import numpy as np

from landmark_tf.data.toy_world.canvas import shade
from landmark_tf.data.toy_world.facade import Facade


def triumphal_arch(c: Facade) -> None:
    """One great arch, an inscribed attic, a group of statues."""
    c.block(0.1, 0.26, 0.9, 1, course=0.035)
    span = c.rng.uniform(0.25, 0.3)
    c.opening(0.5, 1, span, 0.3, arched=True, colour=(86, 92, 104))
    for x in (0.2, 0.8):
        c.block(x - 0.075, 0.52, x + 0.075, 0.74, c.colours.trim, course=0.03)
        for _ in range(5):
            place = x + c.rng.uniform(-0.055, 0.055)
            c.statue(place, 0.735, c.rng.uniform(0.1, 0.17))
        c.columns(x - 0.09, x + 0.09, 0.46, 0.98, 2, 0.036)
        c.disc(x, 0.86, 0.045, c.colours.accent)
    c.cornice(0.08, 0.92, 0.42, 0.025)
    c.block(0.2, 0.29, 0.8, 0.39, c.colours.trim, course=0.05)
    for y in (0.32, 0.355):
        for x in np.arange(0.23, 0.77, 0.03):
            c.box(x, y, x + c.rng.uniform(0.004, 0.022), y + 0.02, (74, 66, 60))
    c.cornice(0.07, 0.93, 0.25, 0.025)
    for x in np.linspace(0.3, 0.7, 6):
        c.statue(x, 0.25, c.rng.uniform(0.09, 0.15))


def step_pyramid(c: Facade) -> None:
    """Terraces, a stair up the middle, a shrine on top."""
    levels = int(c.rng.integers(6, 9))
    height = 0.66 / levels
    for i in range(levels):
        half, base = 0.49 - 0.4 * i / levels, 1 - i * height
        left, right, top = 0.5 - half, 0.5 + half, base - height
        c.block(left, top, right, base, course=height / 3, rough=0.17)
        c.box(left - 0.008, top, right + 0.008, top + 0.012, c.colours.trim)
        upper, lower = base - 0.7 * height, base - 0.2 * height
        for side in (-1, 1):
            mask = 0.5 + side * (half - 0.05 - 0.1 * c.rng.random())
            c.box(mask - 0.02, upper, mask + 0.02, lower, c.colours.accent)
    stair = [(0.38, 1), (0.44, 0.34), (0.56, 0.34), (0.62, 1)]
    c.wall(stair, shade(c.colours.wall, 1.12), course=0.016)
    edge = shade(c.colours.wall, 0.5)
    for y in np.linspace(0.34, 0.99, 34):
        half = 0.06 + 0.06 * (y - 0.34) / 0.66
        c.line([(0.5 - half, y), (0.5 + half, y)], edge, 0.003)
    c.block(0.41, 0.21, 0.59, 0.34)
    c.openings(0.42, 0.58, 0.34, 3, 0.026, 0.07)
    c.cornice(0.395, 0.605, 0.19)
    c.block(0.44, 0.1, 0.56, 0.19, c.colours.accent)


def obelisk(c: Facade) -> None:
    """A tapering shaft of glyphs on a pedestal with reliefs."""
    top, base = 0.055, 0.055 + 0.035
    corners = [(0.5 - top, 0.12), (0.5 + top, 0.12)]
    corners += [(0.5 + base, 0.72), (0.5 - base, 0.72)]
    c.wall(corners, course=0.06, rough=0.06)
    c.roof([(0.445, 0.12), (0.5, 0.01), (0.555, 0.12)], (196, 160, 74))
    for y in np.arange(0.15, 0.69, 0.042):
        half = 0.055 + 0.035 * (y - 0.12) / 0.6
        for x in (0.5 - 0.5 * half, 0.5 + 0.12 * half):
            _glyph(c, x, y, half * c.rng.uniform(0.25, 0.45))
    c.block(0.38, 0.72, 0.62, 0.88, course=0.04)
    c.cornice(0.36, 0.64, 0.71)
    for x in np.linspace(0.43, 0.57, 4):
        c.statue(x, 0.86, c.rng.uniform(0.07, 0.1))
    c.block(0.3, 0.88, 0.7, 0.94, course=0.03)
    c.stairs(0.26, 0.74, 0.94, 3, 0.02)
    for x in (0.25, 0.75):
        c.block(x - 0.04, 0.86, x + 0.04, 0.96)
        c.statue(x, 0.86, 0.13)


def _glyph(c: Facade, x: float, y: float, width: float) -> None:
    """A disc or a triangle carved into the obelisk; x is its left."""
    ink = shade(c.colours.wall, c.rng.uniform(0.3, 0.5))
    if c.rng.random() < 0.4:
        c.disc(x + width / 2, y + 0.014, width / 2, ink)
    else:
        tip, foot = x + c.rng.random() * width, y + 0.026
        c.polygon([(x, foot), (tip, y), (x + width, foot)], ink)


def stone_bridge(c: Facade) -> None:
    """Arches over water, a humped parapet, little towers on the piers."""
    number = int(c.rng.integers(3, 5))
    x = np.linspace(0, 1, 17)
    top = 0.56 + 0.3 * (x - 0.5) ** 2
    c.wall([*zip(x, top), (1, 0.98), (0, 0.98)], course=0.028)
    parapet = [*zip(x, top - 0.02), *zip(x[::-1], top[::-1] + 0.02)]
    c.wall(parapet, c.colours.trim, course=0.02)
    span, water = 1 / number, (70, 96, 112)
    for i in range(number):
        middle = (i + 0.5) * span
        c.opening(middle, 0.99, span * 0.66, 0.15, arched=True, colour=water)
    for i in range(number + 1):
        pier = np.clip(i * span, 0.05, 0.95)
        c.block(pier - 0.035, 0.68, pier + 0.035, 1, course=0.028)
        c.wall([(pier - 0.05, 1), (pier, 0.86), (pier + 0.05, 1)])
        c.block(pier - 0.04, 0.44, pier + 0.04, 0.6)
        c.opening(pier, 0.56, 0.026, 0.05, arched=True)
        c.roof([(pier - 0.05, 0.44), (pier, 0.35), (pier + 0.05, 0.44)])
    for lamp in np.linspace(0.1, 0.9, 9):
        c.statue(lamp, 0.545 + 0.3 * (lamp - 0.5) ** 2, 0.05)


def suspension_bridge(c: Facade) -> None:
    """Cables between two gate towers, a trussed deck."""
    paint, deck = c.colours.accent, 0.72
    t = np.linspace(0, 1, 15)
    for (x0, y0), (x1, y1), sag in (
        ((-0.02, 0.62), (0.24, 0.28), 0.1),
        ((0.24, 0.28), (0.76, 0.28), 0.22),
        ((0.76, 0.28), (1.02, 0.62), 0.1),
    ):
        y = y0 + (y1 - y0) * t + sag * 4 * t * (t - 1) * -0.75
        cable = [*zip(x0 + (x1 - x0) * t, y)]
        for x, top in cable:
            c.line([(x, top), (x, deck)], shade(paint, 0.8), 0.004)
        c.line(cable, paint, 0.013)
    c.block(0, deck, 1, deck + 0.075, paint, course=0.025)
    upper, lower = deck + 0.01, deck + 0.07
    for x in np.arange(0, 1, 0.05):
        truss = [(x, lower), (x + 0.025, upper), (x + 0.05, lower)]
        c.line(truss, (226, 216, 200), 0.006)
    for x in (0.24, 0.76):
        c.block(x - 0.075, 0.3, x + 0.075, 1)
        c.opening(x, deck, 0.055, 0.12, arched=True, colour=(96, 116, 132))
        c.openings(x - 0.07, x + 0.07, 0.46, 3, 0.02, 0.06, arched=True)
        c.cornice(x - 0.09, x + 0.09, 0.5)
        c.cornice(x - 0.09, x + 0.09, 0.28)
        c.roof([(x - 0.08, 0.28), (x, 0.17), (x + 0.08, 0.28)])
        c.block(x - 0.1, 0.9, x + 0.1, 1, course=0.03)
