import io
import pathlib
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf import InputError, evaluate, report, score


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory):
    """A run, its submission for the validation split, and the truth."""
    folder = tmp_path_factory.mktemp("scored")
    evaluate.run(
        evaluate.Config(
            run=str(trained[0]),
            predictions=str(folder / "one.csv"),
            solution=str(folder / "truth.csv"),
        )
    )
    rows = pd.read_csv(folder / "one.csv", dtype=str, keep_default_na=False)
    rows["landmarks"] = rows["landmarks"].where(rows.index % 2 == 0, "")
    rows.to_csv(folder / "half.csv", index=False)
    return trained[0], folder


def make(scored, tmp_path, **more):
    run, folder = scored
    given = {
        "runs": (str(run),),
        "submissions": (str(folder / "one.csv"), str(folder / "half.csv")),
        "solution": str(folder / "truth.csv"),
        "out": str(tmp_path / "report"),
        **more,
    }
    return report.run(report.Config(**given))


def cells(page):
    text = pathlib.Path(page).read_text(encoding="utf-8")
    return re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", text)


def test_a_page_of_a_run_and_its_submissions(scored, toy, tmp_path):
    run, folder = scored
    page = make(scored, tmp_path, image_root=str(toy / "train"))
    found = cells(page)
    history = pd.read_csv(run / "history.csv")
    assert f"{history['val_gap'].max():.4f}" in found
    first = found.index("one")
    for name, place in (("one", first), ("half", first + 6)):
        figures = score.run(
            score.Config(
                submission=str(folder / f"{name}.csv"),
                solution=str(folder / "truth.csv"),
            )
        )
        assert found[place : place + 2] == [name, f"{figures['gap']:.4f}"]
        assert found[place + 5] == str(figures["predicted"])
    names = {path.name for path in page.parent.glob("*.png")}
    assert names == {
        *("curves_01.png", "classes.png", "distractors.png"),
        "reliability.png",
    }
    for path in page.parent.glob("*.png"):
        picture = np.asarray(Image.open(path).convert("L"))
        assert picture.std() > 5  # something is drawn


def test_photographs_of_what_is_confused(scored, toy, tmp_path):
    page = make(scored, tmp_path, image_root=str(toy / "train"))
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(?:(?!</tr>).)*class=\"small\".*?</tr>", text)
    assert rows  # a network of two epochs is often wrong
    for row in rows:
        assert row.count("<img") == 3
        for data in re.findall(r"base64,([^\"]+)", row):
            import base64

            Image.open(io.BytesIO(base64.b64decode(data))).verify()


def test_runs_alone(scored, tmp_path):
    page = make(scored, tmp_path, submissions=(), solution="")
    assert "All runs" in page.read_text() and "Submissions" not in cells(page)


def test_submissions_alone(scored, tmp_path):
    page = make(scored, tmp_path, runs=())
    assert "half" in cells(page)


def test_runs_of_one_name_in_two_folders_are_both_shown(scored, tmp_path):
    import shutil

    run, _ = scored
    twins = [tmp_path / side / "same" for side in ("left", "right")]
    for twin in twins:
        shutil.copytree(run, twin)
    page = make(
        scored,
        tmp_path,
        runs=tuple(map(str, twins)),
        submissions=(),
        solution="",
    )
    assert {str(twin) for twin in twins} <= set(cells(page))


def test_a_layout_groups_and_names(scored, tmp_path):
    run, folder = scored
    layout = tmp_path / "layout.csv"
    layout.write_text(
        "group,title,name,path\n"
        f"Figure 5,optimizers,SGD,{run}\n"
        f"Figure 6,sizes,large,{run}\n"
        f"Table 2,,,{folder / 'half.csv'}\n"
        f"Table 2,,whole,{folder / 'one.csv'}\n"
    )
    page = make(scored, tmp_path, runs=(), submissions=(), layout=str(layout))
    text = page.read_text(encoding="utf-8")
    for title in ("Figure 5: optimizers", "Figure 6: sizes", "Table 2"):
        assert f">{title}</h2>" in text
    found = cells(page)
    assert found.index("half") < found.index("whole")
    assert (page.parent / "curves_02.png").exists()


def test_a_run_of_a_pattern_that_cannot_be_used_is_left_out(
    scored, tmp_path, capsys
):
    import shutil

    run, _ = scored
    for name in ("good", "unvalidated", "killed"):
        shutil.copytree(run, tmp_path / "runs" / name)
    history = tmp_path / "runs" / "unvalidated" / "history.csv"
    rows = pd.read_csv(history)
    rows[["epoch", "loss"]].to_csv(history, index=False)
    (tmp_path / "runs" / "killed" / "model.keras").unlink()
    page = make(
        scored,
        tmp_path,
        runs=(f"{tmp_path}/runs/*",),
        submissions=(),
        solution="",
    )
    assert "good" in cells(page) and "killed" not in cells(page)
    text = capsys.readouterr().out
    assert "left out: no epoch of the run was validated" in text
    assert "left out: no model.keras there" in text
    with pytest.raises(InputError, match="no epoch.*unvalidated"):
        make(scored, tmp_path, runs=(str(history.parent),))


def test_two_of_a_group_have_two_names(scored, tmp_path):
    _, folder = scored
    layout = tmp_path / "layout.csv"
    layout.write_text(
        "group,title,name,path\n"
        f"Table 2,,one,{folder / 'half.csv'}\n"
        f"Table 2,,,{folder / 'one.csv'}\n"
    )
    with pytest.raises(InputError, match="have one name.*Received: 'one'"):
        make(scored, tmp_path, runs=(), layout=str(layout))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": ("nowhere/*",)}, r"Received: nowhere/\*"),
        ({"runs": (), "submissions": ()}, "give --runs"),
        ({"solution": ""}, "give it"),
        ({"submissions": ("nowhere.csv",)}, "no such CSV.*nowhere.csv"),
        ({"layout": "nowhere.csv"}, "--layout must be"),
        ({"image_root": "nowhere"}, "a folder. Received: nowhere"),
    ],
)
def test_bad_settings_are_named(scored, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        make(scored, tmp_path, **change)
    assert not (tmp_path / "report").exists()


def test_a_dataset_that_has_gone_costs_the_pictures_alone(
    scored, tmp_path, monkeypatch
):
    import shutil

    run, _ = scored
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    flags = (moved / "flags.txt").read_text()
    (moved / "flags.txt").write_text(
        re.sub("--data=.*", "--data=/nowhere", flags)
    )
    page = make(scored, tmp_path, runs=(str(moved),))
    assert "Landmarks that are confused most" in page.read_text()
