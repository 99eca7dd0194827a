import json

import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError, match
from tests.features.test_extractors import picture


@pytest.fixture
def pictures(tmp_path):
    image = picture(200, 260)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image[20:180, 30:230]).save(tmp_path / "b.jpg")
    Image.fromarray(picture(200, 260, seed=1)).save(tmp_path / "c.png")
    return tmp_path


def config(folder, *names, **changes):
    return match.Config(
        pictures=tuple(str(folder / x) for x in names), **changes
    )


def test_counts_are_printed(pictures, capsys):
    found = match.run(config(pictures, "a.png", "b.jpg"))
    assert json.loads(capsys.readouterr().out) == found
    assert found["features_a"] >= found["pairs"] >= found["inliers"] > 60
    other = match.run(config(pictures, "a.png", "c.png"))
    assert other["inliers"] < 12


def test_agreement_is_drawn(pictures):
    out = pictures / "matches.png"
    found = match.run(config(pictures, "a.png", "b.jpg", out=str(out)))
    drawn = np.asarray(Image.open(out))
    assert drawn.shape == (200, 260 + 8 + 200, 3)
    a = np.asarray(Image.open(pictures / "a.png"))
    assert (drawn[:, :260] == a).all(axis=2).mean() > 0.2
    assert (drawn[160:, 268:] == 255).all(
        axis=2
    ).mean() > 0.9  # below the other
    # Lines cross the gap, in the colours of the rainbow.
    crossing = drawn[:, 260:268]
    coloured = np.ptp(crossing.astype(int), axis=2) > 100
    assert coloured.any(axis=1).sum() > min(found["inliers"], 100) / 3


def test_a_smaller_side_gives_fewer_features(pictures):
    small = match.run(config(pictures, "a.png", "a.png", max_side=64))
    large = match.run(config(pictures, "a.png", "a.png"))
    assert 0 < small["features_a"] < large["features_a"]


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        (("a.png",), {}, "two photographs"),
        (("a.png", "b.jpg", "c.png"), {}, "two photographs"),
        (("a.png", "none.jpg"), {}, "file missing.*none.jpg"),
        (("a.png", "text.jpg"), {}, "not an image.*text.jpg"),
        (("a.png", "b.jpg"), {"out": "x.gif"}, "--out must be"),
        (("a.png", "b.jpg"), {"out": "nowhere/x.png"}, "--out must be"),
        (("a.png", "b.jpg"), {"ratio": 2.0}, "--ratio must be"),
        (("a.png", "b.jpg"), {"max_features": 0}, "--max_features must be"),
    ],
)
def test_what_cannot_be_used_is_named(pictures, names, changes, message):
    (pictures / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match=message):
        match.run(config(pictures, *names, **changes))
