"""The figures of a report, each a PNG."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

_PANELS = (
    ("loss", "val_loss", "loss"),
    ("accuracy", "val_accuracy", "accuracy"),
    (None, "val_gap", "GAP"),
)


# A name may have dollars in it, which are no formula.
_plain = matplotlib.rc_context({"text.parse_math": False})


@_plain
def curves(histories: Mapping[str, pd.DataFrame]) -> bytes:
    """Loss, accuracy and GAP by epoch, training dashed, validation solid.

    Args:
        histories: by the name in the legend, as of `history.Training`.
    """
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (train, validation, name) in zip(panels, _PANELS):
        highest = 0.0
        for number, (label, history) in enumerate(histories.items()):
            epoch = history["epoch"] + 1
            colour = f"C{number % 10}"
            style = "-" if number < 10 else "-."
            point = "o" if len(epoch) == 1 else ""  # which makes no line
            look = {"c": colour, "marker": point}
            axes.plot(epoch, history[validation], style, label=label, **look)
            if train:
                axes.plot(epoch, history[train], "--", alpha=0.5, **look)
                known = history[train][np.isfinite(history[train])]
                highest = max(highest, known.max() if len(known) else 0.0)
        if name == "loss" and highest > 0:
            # One bad first epoch of validation would hide all others.
            axes.set_ylim(0, highest * 1.5)
        axes.set_xlabel("epoch")
        axes.set_title(f"{name}{', training dashed' if train else ''}")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    panels[2].legend(fontsize=8)
    return _png(figure)


@_plain
def classes(images: np.ndarray) -> bytes:
    """Pictures of each landmark, the most frequent first.

    Args:
        images: int [C], falling.
    """
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.step(np.arange(1, len(images) + 1), images, where="mid")
    if len(images) > 100:
        axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("landmarks, the most frequent first")
    axes.set_ylabel("pictures")
    axes.grid(alpha=0.3)
    return _png(figure)


@_plain
def distractors(
    names: Sequence[str], alone: Sequence[float], among: Sequence[float]
) -> bytes:
    """GAP of landmarks alone and among pictures of none, as bars.

    Args:
        names: of the models.
        alone: GAP over the queries that show a landmark.
        among: GAP over all.
    """
    height = 1.2 + 0.32 * len(names)
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(names))
    axes.barh(place - 0.2, alone, 0.4, label="landmarks alone")
    axes.barh(place + 0.2, among, 0.4, label="with pictures of none")
    axes.set_yticks(place, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("GAP")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3, axis="x")
    return _png(figure)


@_plain
def reliability(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """Accuracy by confidence; on the diagonal confidences are probabilities.

    Args:
        tables: as from `reliability.bins`, by the name in the legend.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for name, table in tables.items():
        seen = table[table["predictions"] > 0]
        axes.plot(seen["confidence"], seen["accuracy"], "o-", label=name)
        edges = [*table["low"], 1.0]
        counts.stairs(table["predictions"], edges)
    axes.set_ylabel("share of right predictions")
    axes.set_ylim(0, 1.02)
    figure.legend(fontsize=8, loc="outside right upper")
    counts.set_xlabel("confidence")
    counts.set_ylabel("predictions")
    for x in (axes, counts):
        x.grid(alpha=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    return buffer.getvalue()
