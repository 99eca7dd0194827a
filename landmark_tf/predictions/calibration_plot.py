"""The evidence of right and of wrong predictions, and the threshold."""

import os

import numpy as np


def draw(
    statistic: np.ndarray,
    correct: np.ndarray,
    threshold: float,
    kind: str,
    path: str | os.PathLike,
) -> None:
    """Draws both distributions.

    Args:
        statistic: float [N], of the inlier counts; NaN: none.
        correct: bool [N], whether the prediction is right.
        threshold: from which on predictions are kept, marked in the plot.
        kind: of the statistic, for the axis.
        path: the PNG to write.
    """
    import matplotlib.figure
    from matplotlib import ticker

    seen = ~np.isnan(statistic)
    most = max(float(statistic[seen].max(initial=1.0)), threshold)
    edges = np.geomspace(1, most + 2, 31) - 1  # 0 too has its bin
    figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for which, name, colour in (
        (correct, "right", "tab:blue"),
        (~correct, "wrong, or no landmark", "tab:orange"),
    ):
        values = statistic[seen & which]
        counts, _ = np.histogram(values, edges)
        axes.stairs(
            counts / max(len(values), 1),
            edges + 1,
            fill=True,
            alpha=0.5,
            color=colour,
            label=f"{name} ({len(values):,})",
        )
    kept = (statistic[seen] >= threshold).mean()
    axes.axvline(
        threshold + 1,
        color="black",
        linestyle="--",
        linewidth=1,
        label=f"kept from {threshold:g} on ({kept:.0%})",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel(f"1 + inliers ({kind})")
    axes.set_ylabel("share of predictions")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})
