"""Where the camera stands, and how a flat drawing looks from there.

Units of length, x right and y down: a drawing measures 1 x 1, and the longer
side of a picture is 1.
"""

import numpy as np
from PIL import Image

from landmark_tf.data.toy_world.canvas import Canvas

DISTANCE = 1.8  # of the camera, in units of the building


def to_pixels(size: float) -> np.ndarray:
    """The homography [3, 3] from units of length to pixels, `size` to one."""
    # The corner of pixel 0 is at -0.5.
    return np.array([[size, 0, -0.5], [0, size, -0.5], [0, 0, 1]])


def outline(drawing: np.ndarray) -> np.ndarray:
    """Points all over the opaque part of a drawing, float64 [N, 2] in [0, 1].

    Args:
        drawing: uint8 RGBA [S, S, 4].
    """
    step = len(drawing) // 40
    y, x = np.nonzero(drawing[::step, ::step, 3] > 127)
    return np.stack([x, y], 1) * step / len(drawing)


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points [N, 2] by a homography [3, 3]."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return mapped[:, :2] / mapped[:, 2:]


def share_inside(points: np.ndarray, extent: tuple[float, float]) -> float:
    """The share of points [N, 2] that lie in a picture (width, height)."""
    return float(np.mean(np.all((points > 0) & (points < extent), axis=1)))


def rotation(angle: float, i: int, j: int) -> np.ndarray:
    """Turns axis i towards axis j by an angle in radians, [3, 3]."""
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    return turn


def viewpoint(
    rng: np.random.Generator,
    points: np.ndarray,
    extent: tuple[float, float],
    tries: int = 30,
) -> np.ndarray:
    """Draws where the camera stands.

    Args:
        rng: decides.
        points: of the building, [N, 2], as from `outline`.
        extent: (width, height) of the picture; the longer is 1.
        tries: placements to reject before the building is centred.

    Returns:
        A homography [3, 3] from units of the drawing to units of the picture,
        with at least 0.8 of the points in the picture.
    """
    view = _turned(rng, (points.min(0) + points.max(0)) / 2)
    seen = project(view, points)
    low, high = seen.min(0), seen.max(0)
    scale = rng.uniform(0.6, 0.95) / max((high - low) / extent)
    centre = scale * (low + high) / 2
    places = rng.uniform(0.25, 0.75, (tries, 2)) * extent
    for place in [*places, np.divide(extent, 2)]:
        dx, dy = place - centre
        frame = np.array([[scale, 0, dx], [0, scale, dy], [0, 0, 1]])
        if share_inside(project(frame @ view, points), extent) > 0.8:
            break
    return frame @ view


def _turned(rng: np.random.Generator, middle: np.ndarray) -> np.ndarray:
    """The homography of a drawing turned about a point [2], seen at (0, 0)."""
    yaw, pitch = np.radians(rng.uniform((-24, -10), (24, 10)))
    roll = np.radians(rng.normal(0, 2.5))
    turn = rotation(yaw, 0, 2) @ rotation(pitch, 1, 2)
    turn = rotation(roll, 0, 1) @ turn
    camera = np.diag([DISTANCE, DISTANCE, 1])
    plane = np.column_stack([turn[:, 0], turn[:, 1], (0, 0, DISTANCE)])
    shift = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    return camera @ plane @ shift


def paste(
    canvas: Canvas, drawing: Image.Image, view: np.ndarray
) -> Image.Image:
    """Pastes a drawing seen from a viewpoint; returns what it covers, "L"."""
    here = view @ (0.5, 0.5, 1)
    ratio = drawing.width / canvas.side * here[2] / view[0, 0]
    drawing = drawing.reduce(max(1, int(abs(ratio))))
    scale = np.diag([drawing.width, drawing.height, 1])
    back = scale @ np.linalg.inv(view) @ np.diag([1 / canvas.side] * 2 + [1])
    warped = drawing.transform(
        canvas.image.size,
        Image.Transform.PERSPECTIVE,
        tuple((back / back[2, 2]).ravel()[:8]),
        Image.Resampling.BICUBIC,
    )
    canvas.image.paste(warped, mask=warped)
    return warped.getchannel("A")
