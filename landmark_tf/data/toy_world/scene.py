"""Draws one picture: a landmark or none, its surroundings, the weather."""

import numpy as np
from PIL import Image

from landmark_tf.data.toy_world import camera, scenery
from landmark_tf.data.toy_world.canvas import Canvas
from landmark_tf.data.toy_world.facade import Facade
from landmark_tf.data.toy_world.landmarks import REFERENCE, Landmark
from landmark_tf.data.toy_world.weather import add_weather, relight

ASPECTS = ((1.0, 0.75), (0.75, 1.0), (1.0, 1.0))


def picture_rng(
    seed: int, landmark: Landmark | None, n: int
) -> np.random.Generator:
    """The randomness of a landmark's n-th picture, whatever else is drawn."""
    landmark_id = landmark.landmark_id if landmark else 0
    return np.random.default_rng([seed, landmark_id, n])


def draw(
    landmark: Landmark | None, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws one picture; equal `rng` states give one scene at every size.

    Args:
        landmark: what to show; None: anything but a landmark.
        size: longest side in pixels.
        rng: decides viewpoint, surroundings, light and weather.

    Returns:
        The picture, uint8 RGB [H, W, 3], and the homography, float64 [3, 3],
        from pixels of `landmark.drawing` to pixels of the picture; None
        without a landmark.
    """
    canvas = Canvas(rng, size, ASPECTS[rng.integers(len(ASPECTS))])
    homography = None
    if landmark is None:
        _no_landmark(canvas)
    else:
        view = _landmark(canvas, landmark.drawing)
        from_pixels = np.linalg.inv(camera.to_pixels(REFERENCE))
        homography = camera.to_pixels(size) @ view @ from_pixels
        homography /= homography[2, 2]
    add_weather(canvas)
    return relight(rng, canvas.finish()[..., :3]), homography


def _landmark(canvas: Canvas, drawing: np.ndarray) -> np.ndarray:
    """A landmark in its surroundings; returns the viewpoint, [3, 3]."""
    points = camera.outline(drawing)
    view = camera.viewpoint(canvas.rng, points, canvas.extent)
    horizon = _foot(view) - canvas.rng.uniform(0.01, 0.08)
    scenery.background(canvas, horizon)
    mask = camera.paste(canvas, Image.fromarray(drawing), view)
    inside = camera.share_inside(camera.project(view, points), canvas.extent)
    _occlude(canvas, mask, horizon, inside)
    return view


def _foot(view: np.ndarray) -> float:
    """Where a building stands in the picture, y."""
    return camera.project(view, np.array([[0.5, 1]]))[0, 1]


def _occlude(
    canvas: Canvas, mask: Image.Image, horizon: float, visible: float
) -> None:
    """Puts trees, people, lamps and cars in front, 0.72 stays visible.

    Args:
        canvas: what to draw on.
        mask: what the landmark covers, "L".
        horizon: y of the horizon, in units of length.
        visible: share of the landmark that lies in the picture.
    """
    rng = canvas.rng
    thumbnail = (64, 64)
    covered = np.asarray(mask.resize(thumbnail)) / 255
    hidden = np.zeros_like(covered)
    for _ in range(rng.integers(0, 4)):
        front = Canvas(rng, canvas.side // 2, canvas.extent)
        stand = min(horizon + rng.uniform(0.04, 0.16), canvas.extent[1] + 0.1)
        occluder = scenery.OCCLUDERS[rng.integers(4)]
        occluder(front, stand, rng.uniform(0.12, 0.4))
        alpha = front.image.getchannel("A")
        more = np.maximum(hidden, np.asarray(alpha.resize(thumbnail)) / 255)
        share = (covered * more).sum() / max(covered.sum(), 1)
        if visible * (1 - share) >= 0.72:
            canvas.image.paste(front.image, mask=front.image)
            hidden = more


def _no_landmark(canvas: Canvas) -> None:
    """A street, a landscape, or a close look at some surface."""
    rng = canvas.rng
    horizon = rng.uniform(0.55, 0.95) * canvas.extent[1]
    kinds = ("street", "house", "landscape", "surface")
    kind = rng.choice(kinds, p=(0.3, 0.35, 0.2, 0.15))
    scenery.background(canvas, horizon)
    number = {"street": int(rng.integers(2, 5)), "house": 1}.get(kind, 0)
    for _ in range(number):
        _house(canvas, horizon)
    if kind == "surface":
        _surface(canvas)
    # A mask of nothing: every occluder is welcome.
    nothing = Image.new("L", canvas.image.size)
    for _ in range(1 + 2 * (kind == "landscape")):
        _occlude(canvas, nothing, horizon, 1)


def _house(canvas: Canvas, horizon: float) -> None:
    """Puts an anonymous house on the horizon, seen as a landmark would be."""
    sheet = Facade(canvas.rng, REFERENCE // 2)
    scenery.house(sheet)
    points = camera.outline(sheet.finish())
    view = camera.viewpoint(canvas.rng, points, canvas.extent)
    drop = np.eye(3)
    drop[1, 2] = horizon + canvas.rng.uniform(0.01, 0.08) - _foot(view)
    camera.paste(canvas, sheet.image, drop @ view)


def _surface(canvas: Canvas) -> None:
    """Fills the picture with some wall, seen from near."""
    rng = canvas.rng
    sheet = Canvas(rng, 160)
    colour = rng.integers(60, 190) + rng.integers(0, 50, 3)
    course, rough = rng.uniform(0.03, 0.2), rng.uniform(0.03, 0.2)
    sheet.block(0, 0, 1, 1, colour, course=course, rough=rough)
    turn = camera.rotation(rng.normal(0, 0.2), 0, 1)
    near = np.diag([1.5, 1.5, 1]) @ turn
    near[:2, 2] -= 0.25
    camera.paste(canvas, sheet.image, near)
