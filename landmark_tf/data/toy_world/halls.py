"""Landmarks to gather in: each hall is one function, drawn from the front."""

import numpy as np

from landmark_tf.data.toy_world.canvas import ACCENTS, shade
from landmark_tf.data.toy_world.facade import Facade


def temple(c: Facade) -> None:
    """Columns under a sculpted pediment, on steps."""
    wall, trim = c.colours.wall, c.colours.trim
    c.block(0.1, 0.48, 0.9, 0.9, shade(wall, 0.55))
    c.opening(0.5, 0.9, 0.11, 0.24, colour=(38, 32, 30))
    c.columns(0.08, 0.92, 0.47, 0.9, int(c.rng.integers(6, 9)), 0.066)
    c.block(0.06, 0.39, 0.94, 0.47, course=0.04)
    for x in np.arange(0.08, 0.91, 0.06):
        metope = shade(trim, c.rng.uniform(0.6, 1))
        c.box(x, 0.405, x + 0.026, 0.455, metope)
    c.wall([(0.03, 0.39), (0.5, 0.17), (0.97, 0.39)], trim)
    c.wall([(0.14, 0.375), (0.5, 0.21), (0.86, 0.375)], shade(wall, 0.8))
    for x in np.linspace(0.24, 0.76, 9):
        c.statue(x, 0.375, 0.13 - 0.26 * abs(x - 0.5))
    for x in (0.04, 0.5, 0.96):
        c.statue(x, 0.39 - 0.44 * (0.5 - abs(x - 0.5)), 0.07)
    c.stairs(0.05, 0.95, 0.9, 5, 0.02)


def cathedral(c: Facade) -> None:
    """Two towers, a rose window between them, three portals."""
    c.block(0.14, 0.36, 0.86, 1)
    for x in (0.14, 0.62):
        c.block(x, 0.2, x + 0.24, 1)
        c.cornice(x - 0.01, x + 0.25, 0.5)
        c.openings(x, x + 0.24, 0.46, 2, 0.05, 0.17, arched=True)
        c.openings(x, x + 0.24, 0.7, 3, 0.03, 0.1, arched=True)
        c.cornice(x - 0.012, x + 0.252, 0.2)
        c.roof([(x - 0.01, 0.2), (x + 0.12, 0.0), (x + 0.25, 0.2)])
    c.roof([(0.38, 0.36), (0.5, 0.22), (0.62, 0.36)])
    c.disc(0.5, 0.52, 0.105, c.colours.trim)
    petals = int(c.rng.integers(8, 13))
    for angle in np.arange(petals) * 2 * np.pi / petals:
        x, y = 0.5 + 0.07 * np.cos(angle), 0.52 + 0.07 * np.sin(angle)
        c.disc(x, y, 0.021, ACCENTS[c.rng.integers(4)])
    c.disc(0.5, 0.52, 0.032, c.colours.accent)
    c.cornice(0.38, 0.62, 0.66)
    for x in np.linspace(0.17, 0.83, 12):
        c.statue(x, 0.79, 0.05)
    for x, size in ((0.26, 0.1), (0.5, 0.125), (0.74, 0.1)):
        c.opening(x, 1, size, size, arched=True, colour=(58, 40, 32))


def basilica(c: Facade) -> None:
    """A great dome on a drum, behind a portico."""
    c.block(0.24, 0.4, 0.76, 0.6, rounded=True)
    number = int(c.rng.integers(7, 10))
    c.openings(0.26, 0.74, 0.56, number, 0.03, 0.08, arched=True)
    c.cornice(0.22, 0.78, 0.39)
    c.dome(0.5, 0.39, 0.25, 0.28)
    c.block(0.46, 0.07, 0.54, 0.13)
    c.block(0.04, 0.62, 0.96, 1)
    for x0, x1 in ((0.04, 0.26), (0.74, 0.96)):
        c.openings(x0, x1, 0.78, 3, 0.036, 0.07)
        c.openings(x0, x1, 0.94, 3, 0.036, 0.08, arched=True)
    c.cornice(0.02, 0.98, 0.6)
    c.block(0.28, 0.72, 0.72, 0.97, shade(c.colours.wall, 0.62))
    c.opening(0.5, 0.96, 0.07, 0.12, arched=True, colour=(44, 34, 30))
    c.columns(0.27, 0.73, 0.72, 0.96, 6, 0.042)
    c.wall([(0.24, 0.71), (0.5, 0.59), (0.76, 0.71)])
    c.disc(0.5, 0.67, 0.026, c.colours.accent)
    c.stairs(0.27, 0.73, 0.96, 3)


def castle(c: Facade) -> None:
    """A gate between round towers, curtain walls, battlements."""
    c.block(0.02, 0.62, 0.98, 1, course=0.03)
    c.battlements(0.02, 0.98, 0.62, 17, 0.035)
    c.block(0.36, 0.3, 0.64, 0.9, course=0.03)
    c.battlements(0.36, 0.64, 0.3, 6, 0.035)
    c.openings(0.38, 0.62, 0.46, 3, 0.03, 0.07, arched=True)
    c.flag(0.5, 0.28, 0.2)
    for x in (0.26, 0.74):
        c.block(x - 0.1, 0.4, x + 0.1, 1, course=0.03, rounded=True)
        c.cornice(x - 0.115, x + 0.115, 0.43)
        c.battlements(x - 0.115, x + 0.115, 0.42, 5, 0.04)
        for _ in range(3):
            loop = x + c.rng.uniform(-0.05, 0.05)
            c.opening(loop, c.rng.uniform(0.55, 0.9), 0.016, 0.06)
    c.roof([(0.14, 0.38), (0.26, 0.14), (0.38, 0.38)])
    c.opening(0.5, 1, 0.15, 0.16, arched=True, colour=(50, 40, 34))
    for x in np.linspace(0.44, 0.56, 5):
        c.line([(x, 1), (x, 0.8)], (112, 96, 76), 0.005)
    c.box(0.44, 0.56, 0.56, 0.68, c.colours.accent)
    c.disc(0.5, 0.62, 0.035, (226, 204, 120))


def onion_church(c: Facade) -> None:
    """A crowd of onion domes, each in its own colours."""
    shift = int(c.rng.integers(4))
    towers = (
        (0.5, 0.34, 0.11),
        (0.24, 0.5, 0.085),
        (0.76, 0.48, 0.085),
        (0.12, 0.64, 0.07),
        (0.88, 0.62, 0.07),
        (0.37, 0.6, 0.065),
        (0.63, 0.62, 0.065),
    )
    for i, (x, y, radius) in enumerate(towers):
        half = radius * 0.75
        left, right = x - half, x + half
        c.block(left, y, right, 0.9, rounded=True)
        c.cornice(left - 0.01, right + 0.01, y)
        c.openings(left, right, y + 0.13, 2, half * 0.45, 0.06, arched=True)
        colour = (*ACCENTS, (212, 200, 176))[(i + shift) % 5]
        c.dome(x, y, radius, radius * 2.2, colour, onion=True)
        for k in range(5):
            dx = radius * 0.5 * np.sin(3 * k + i)
            up = radius * 2 * (0.15 + 0.13 * k)
            c.disc(x + dx, y - up, radius * 0.12, (236, 214, 150))
    c.block(0.05, 0.78, 0.95, 1)
    c.openings(0.06, 0.94, 0.95, 8, 0.045, 0.09, arched=True)
    c.cornice(0.04, 0.96, 0.77)
    c.opening(0.5, 1, 0.09, 0.1, arched=True, colour=(70, 40, 36))


def town_hall(c: Facade) -> None:
    """A stepped gable, rows of windows, an arcade, flags."""
    for i in range(5):
        half, up = 0.42 - 0.075 * i, 0.055 * i
        c.block(0.5 - half, 0.36 - up, 0.5 + half, 0.42 - up)
        for x in (0.5 - half, 0.5 + half - 0.03):
            c.box(x, 0.35 - up, x + 0.03, 0.372 - up, c.colours.trim)
    c.block(0.08, 0.4, 0.92, 1)
    number = int(c.rng.integers(6, 8))
    for y in (0.54, 0.7):
        c.openings(0.1, 0.9, y, number, 0.05, 0.085)
        c.cornice(0.07, 0.93, y + 0.015, 0.013)
    c.openings(0.3, 0.7, 0.37, 4, 0.04, 0.06, arched=True)
    c.clock(0.5, 0.245, 0.05)
    c.openings(0.1, 0.9, 1, 5, 0.1, 0.14, arched=True)
    for x in (0.18, 0.82):
        c.flag(x, 0.38, 0.17)
    c.box(0.44, 0.58, 0.56, 0.72, c.colours.accent)
    c.disc(0.5, 0.65, 0.04, (226, 200, 110))
