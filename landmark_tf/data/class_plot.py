"""The plot that helps to choose `--min_images` (Figure 4 of the report).

Source: Zeng, Ye & Liu, "Landmark Recognition Challenge", CS231N 2019.
"""

import os

import numpy as np


def draw(class_sizes: np.ndarray, chosen: int, path: str | os.PathLike) -> None:
    """Draws the classes that are left against the minimum number of images.

    Args:
        class_sizes: images of each class, int64 [classes].
        chosen: the minimum in use, marked in the plot.
        path: the PNG to write.
    """
    import matplotlib.figure
    from matplotlib import ticker

    sizes = np.sort(class_sizes)
    minimum = np.unique(np.append(sizes, 1))
    left = len(sizes) - np.searchsorted(sizes, minimum)
    figure = matplotlib.figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    # A minimum between two sizes leaves what the larger one leaves.
    axes.step(minimum, left, where="pre", color="tab:blue")
    here = int((sizes >= chosen).sum())
    axes.axvline(chosen, color="tab:orange", linestyle="--", linewidth=1)
    axes.plot([chosen], [here], "o", color="tab:orange", clip_on=False)
    images = int(sizes[sizes >= chosen].sum())
    axes.set_title(
        f"At least {chosen:,} images: {here:,} of {len(sizes):,} classes, "
        f"{images:,} of {sizes.sum():,} images",
        fontsize=10,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("minimum number of images of a class")
    axes.set_ylabel("classes left")
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})
