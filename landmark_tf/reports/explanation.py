"""Pictures beside what networks see in them (Figures 14 to 16)."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from landmark_tf.files import atomic

_SHARE = 99.0  # percentile of a saliency map that is drawn brightest
_INCH = 2.2


@dataclasses.dataclass(frozen=True)
class Panel:
    """One cell of a figure.

    Attributes:
        image: uint8 [S, S, 3]; None: the cell stays empty.
        caption: above it.
        heat: float [H, W] over the picture, in [0, 1]; None: the picture alone.
        alone: whether the heat is drawn without the picture.
    """

    image: np.ndarray | None
    caption: str = ""
    heat: np.ndarray | None = None
    alone: bool = False


def brightness(saliency: np.ndarray) -> np.ndarray:
    """A saliency map, [H, W], as brightness in [0, 1].

    A few pixels with very large gradients would leave all others black, so
    that the brightest hundredth is cut off.
    """
    return np.clip(saliency / max(np.percentile(saliency, _SHARE), 1e-12), 0, 1)


@matplotlib.rc_context({"text.parse_math": False})  # dollars in names
def draw(
    rows: Sequence[tuple[str, Sequence[Panel]]],
    path: str | os.PathLike,
    title: str = "",
) -> None:
    """Draws rows of panels.

    Args:
        rows: a name for the left side, and its panels.
        path: the PNG to write; its folder is made.
        title: above all.
    """
    width = max(len(panels) for _, panels in rows)
    figure = Figure(
        figsize=(_INCH * width + 0.5, (_INCH + 0.35) * len(rows) + 0.4),
        layout="constrained",
    )
    cells = figure.subplots(len(rows), width, squeeze=False)
    for (name, panels), line in zip(rows, cells):
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_visible(False)
        line[0].set_ylabel(name, fontsize=8)
        for panel, axes in zip(panels, line):
            _panel(axes, panel)
    if title:
        figure.suptitle(title, fontsize=10)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            figure.savefig(file, dpi=110, metadata={"Software": None})


def _panel(axes, panel: Panel) -> None:
    axes.set_title(panel.caption, fontsize=7)
    if panel.image is None:
        return
    height, width = panel.image.shape[:2]
    extent = (0, width, height, 0)
    if not panel.alone:
        axes.imshow(panel.image, extent=extent)
    if panel.heat is not None:
        axes.imshow(
            panel.heat,
            cmap="inferno" if panel.alone else "jet",
            vmin=0,
            vmax=1,
            alpha=1.0 if panel.alone else 0.45,
            extent=extent,
            interpolation="bilinear",
        )
