import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf.predictions import reliability
from landmark_tf.reports import figures

DOLLARS = r"$\foo$ a $5 shop"  # no formula


def history(loss):
    rows = {"epoch": range(len(loss)), "loss": loss, "val_loss": loss}
    for name in ("accuracy", "val_accuracy", "val_gap"):
        rows[name] = np.linspace(0, 1, len(loss))
    return pd.DataFrame(rows)


def width(png):
    return Image.open(io.BytesIO(png)).width


@pytest.mark.parametrize("loss", [[3.0, 2.0], [np.inf, 2.0], [np.nan, np.nan]])
def test_curves_of_any_loss_and_name(loss):
    assert width(figures.curves({DOLLARS: history(loss)})) > 600


def test_one_epoch_is_a_point():
    def orange(png):
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        return (np.abs(pixels.astype(int) - (255, 127, 14)) < 8).all(-1).sum()

    # The second of two runs is orange; its line in the legend alone is little.
    one = {"a": history([3.0, 2.0]), "b": history([2.5])}
    none = {"a": history([3.0, 2.0]), "b": history([2.5]).iloc[:0]}
    assert orange(figures.curves(one)) > orange(figures.curves(none)) + 60


def test_names_with_dollars_in_other_figures():
    assert width(figures.distractors([DOLLARS], [0.5], [0.25])) > 400
    table = reliability.bins(np.array([0.5]), np.array([True]))
    assert width(figures.reliability({DOLLARS: table})) > 400
