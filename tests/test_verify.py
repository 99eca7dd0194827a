"""The verb that verifies; its parts are tested in tests/predictions."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from landmark_tf import InputError, extract, prepare, score, verify
from landmark_tf.data import catalog, toy
from landmark_tf.features import store
from landmark_tf.files import shards
from landmark_tf.predictions import evidence, submission, verification


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Drawn landmarks, their features, and predictions for them.

    Each query is given the right landmark, or, where it shows none, any.
    """
    folder = tmp_path_factory.mktemp("verify")
    toy.run(
        toy.Config(
            out=str(folder / "toy"),
            size=160,
            landmarks=4,
            images=16,
            no_landmark=24,
            test=24,
        )
    )
    root = folder / "toy"
    prepare.run(
        prepare.Config(
            train_csv=str(root / "train.csv"),
            no_landmark_csv=str(root / "no_landmark.csv"),
            image_root=str(root / "train"),
            out=str(folder / "data"),
            min_images=1,
            split=(0.6, 0.4, 0.0),
            stored_size=32,
            workers=1,
        )
    )
    for name, csvs in (
        ("train", ("train", "no_landmark")),
        ("test", ("test",)),
    ):
        extract.run(
            extract.Config(
                csv=tuple(str(root / f"{x}.csv") for x in csvs),
                image_root=str(root / name),
                out=str(folder / "features" / name),
                workers=1,
            )
        )
    guess(
        folder,
        "test",
        submission.read_solution(root / "recognition_solution.csv")
        .set_index("id")["landmarks"]
        .map(lambda x: x[0] if x else -1),
    )
    table = catalog.build(
        str(root / "train.csv"),
        no_landmark_csv=str(root / "no_landmark.csv"),
        min_images=1,
        split=(0.6, 0.4, 0.0),
    ).table
    validation = table[table["split"] == 1].set_index("id")["landmark_id"]
    guess(folder, "validation", validation)
    return folder


def guess(folder, name, truth):
    """Predicts the right landmark, or where there is none, another's."""
    random = np.random.default_rng(0)
    landmarks = np.unique(truth[truth >= 0])
    predicted = np.where(
        truth >= 0, truth, random.choice(landmarks, len(truth))
    )
    confidence = random.uniform(0.3, 0.9, len(truth))
    submission.write_submission(
        folder / f"{name}.csv",
        truth.index,
        predicted[:, None].astype("int64"),
        confidence[:, None],
    )


def config(world, out, name="test", **changes):
    features = "test" if name == "test" else "train"
    given = {
        "submission": str(world / f"{name}.csv"),
        "features": str(world / "features" / "train"),
        "query_features": str(world / "features" / features),
        "train_csv": str(world / "toy" / "train.csv"),
        "no_landmark_csv": str(world / "toy" / "no_landmark.csv"),
        "data": str(world / "data"),
        "out": str(out),
        "workers": 1,
    }
    return verify.Config(**{**given, **changes})


def gap_of(world, path):
    return score.run(
        score.Config(
            submission=str(path),
            solution=str(world / "toy" / "recognition_solution.csv"),
        )
    )["gap"]


@pytest.fixture(scope="module")
def filtered(world):
    out = world / "filtered"
    return out, verify.run(config(world, out, min_inliers=12.0))


def test_predictions_without_agreement_are_withdrawn(world, filtered):
    out, decisions = filtered
    pairs, ids = submission.read_submission(out / "submission.csv")
    before, all_ids = submission.read_submission(world / "test.csv")
    assert ids == all_ids
    kept = decisions["statistic"] >= 12
    assert list(decisions["kept"]) == list(kept)
    assert 0 < kept.sum() < len(kept)
    assert list(pairs["id"]) == list(before["id"][kept])
    assert list(pairs["confidence"]) == list(before["confidence"][kept])
    after = gap_of(world, out / "submission.csv")
    assert after > gap_of(world, world / "test.csv")


def test_decisions_are_written_down(filtered):
    out, decisions = filtered
    found = pd.read_csv(out / "decisions.csv", dtype={"id": str})
    columns = ["id", "predicted", "confidence", "statistic", "kept"]
    assert list(found.columns) == [*columns, "new_confidence", "note"]
    assert list(found["id"]) == list(decisions["id"])
    np.testing.assert_allclose(found["statistic"], decisions["statistic"])
    assert list(found["kept"]) == list(decisions["kept"])


def test_only_training_pictures_of_the_class_are_compared_with(world, filtered):
    out, decisions = filtered
    table = pd.read_csv(world / "data" / "classes.csv")
    inliers = pd.concat(pd.read_csv(x) for x in out.glob("evidence-*.csv"))
    counts = inliers["inliers"].str.split().str.len()
    content = json.loads((world / "data" / "prepare.json").read_text())
    training = content["summary"]["images"]["train"]
    known = counts.groupby(inliers["landmark_id"]).first()
    assert set(known.index) <= set(table["landmark_id"])
    assert known.sum() <= training < table["images"].sum()


def test_the_same_with_two_workers(world, filtered, tmp_path):
    decisions = verify.run(
        config(world, tmp_path / "v", min_inliers=12.0, workers=2)
    )
    pd.testing.assert_frame_equal(decisions, filtered[1])


def test_another_threshold_compares_nothing(world, filtered, monkeypatch):
    out = shutil.copytree(filtered[0], world / "again")
    monkeypatch.setattr(evidence, "write", None)
    decisions = verify.run(config(world, out, min_inliers=1e6))
    assert not decisions["kept"].any()
    pairs, ids = submission.read_submission(out / "submission.csv")
    assert len(pairs) == 0 and len(ids) == len(decisions)
    mean = verify.run(config(world, out, min_inliers=5.0, statistic="mean"))
    assert (mean["statistic"] <= decisions["statistic"]).all()


def test_it_goes_on_where_it_stopped(world, filtered, tmp_path, monkeypatch):
    original, done = shards._make_one, []
    monkeypatch.setattr(evidence, "_PER_TASK", 4)

    def stop(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments[2].file)
        original(*arguments)

    settings = config(world, tmp_path / "v", min_inliers=12.0)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_make_one", stop)
        with pytest.raises(KeyboardInterrupt):
            verify.run(settings)
    before = (tmp_path / "v" / done[0]).stat().st_mtime_ns
    decisions = verify.run(settings)
    assert (tmp_path / "v" / done[0]).stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(decisions, filtered[1])


def test_what_is_confident_is_skipped(world, filtered, tmp_path):
    decisions = verify.run(
        config(world, tmp_path / "v", min_inliers=1e6, skip_above=0.6)
    )
    sure = decisions["confidence"] > 0.6
    assert 0 < sure.sum() < len(sure)
    assert list(decisions["kept"]) == list(sure)
    assert list(decisions["statistic"].isna()) == list(sure)
    # They were not looked at.
    looked = pd.concat(
        pd.read_csv(x) for x in (tmp_path / "v").glob("evidence-*.csv")
    )
    assert set(looked["id"]) == set(decisions["id"][~sure])


def test_calibration_and_rescoring(world, filtered, tmp_path, capsys):
    calibrated = tmp_path / "validation"
    verify.run(config(world, calibrated, "validation", calibrate=True))
    learnt = verification.Calibration.read(calibrated / "calibration.json")
    assert learnt.gap_before < learnt.gap_filtered
    assert learnt.gap_before < learnt.gap_rescored
    assert (calibrated / "calibration.png").stat().st_size > 5000
    assert f"--min_inliers={learnt.min_inliers:g}" in capsys.readouterr().out

    path = str(calibrated / "calibration.json")
    out = shutil.copytree(filtered[0], tmp_path / "test")
    cut = verify.run(config(world, out, calibration=path))
    assert list(cut["kept"]) == list(cut["statistic"] >= learnt.min_inliers)
    ranked = verify.run(config(world, out, calibration=path, rescore=True))
    assert ranked["kept"].all()
    np.testing.assert_allclose(
        ranked["new_confidence"],
        verification.rescore(ranked["confidence"], ranked["statistic"], learnt),
    )
    after = gap_of(world, out / "submission.csv")
    assert after > gap_of(world, world / "test.csv")


def test_what_has_no_features_is_kept_and_named(world, tmp_path, capsys):
    lines = (world / "test.csv").read_text().splitlines()
    name, landmarks = lines[1].split(",")
    lines[1] = f"stranger,{landmarks}"
    lines[2] = lines[2].split(",")[0] + ",987654 0.5"
    lines[3] = lines[3].split(",")[0] + ","
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    decisions = verify.run(
        config(
            world,
            tmp_path / "v",
            submission=str(tmp_path / "s.csv"),
            min_inliers=1e6,
        )
    ).set_index("id")
    kept = decisions[decisions["kept"]]
    assert len(kept) == 2
    assert kept["note"]["stranger"] == "the query has no features"
    unknown = lines[2].split(",")[0]
    assert kept["note"][unknown] == "the class has no features"
    shown = capsys.readouterr().out
    assert "1 kept as they were (the query has no features): stranger" in shown
    assert f"(the class has no features): {unknown}" in shown
    pairs, ids = submission.read_submission(tmp_path / "v" / "submission.csv")
    assert len(ids) == len(lines) - 1
    assert sorted(pairs["id"]) == sorted(["stranger", unknown])


def test_several_landmarks_of_a_query_are_judged_each(world, tmp_path):
    before, ids = submission.read_submission(world / "test.csv")
    landmarks = np.unique(before["landmark_id"])
    first = before["landmark_id"].to_numpy()
    second = landmarks[(np.searchsorted(landmarks, first) + 1) % len(landmarks)]
    submission.write_submission(
        tmp_path / "s.csv",
        ids,
        np.column_stack([first, second]),
        np.column_stack([before["confidence"], before["confidence"] / 2]),
    )
    decisions = verify.run(
        config(
            world,
            tmp_path / "v",
            submission=str(tmp_path / "s.csv"),
            min_inliers=12.0,
        )
    )
    assert len(decisions) == 2 * len(ids)
    pairs, _ = submission.read_submission(tmp_path / "v" / "submission.csv")
    kept = decisions[decisions["kept"]]
    assert set(zip(pairs["id"], pairs["landmark_id"])) == set(
        zip(kept["id"], kept["predicted"])
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "give --min_inliers, or --calibration"),
        ({"rescore": True}, "--rescore needs --calibration"),
        ({"calibrate": True, "data": ""}, "--calibrate makes a calibration"),
        ({"calibration": "none.json"}, "no calibration"),
        ({"min_inliers": 1.0, "images_per_class": 0}, "--images_per_class"),
        ({"min_inliers": 1.0, "workers": -1}, "--workers must be"),
        ({"min_inliers": 1.0, "residual": 0.0}, "--residual must be"),
        ({"min_inliers": 1.0, "features": "none"}, "no complete features"),
        ({"min_inliers": 1.0, "submission": "none.csv"}, "none.csv"),
        ({"min_inliers": 1.0, "data": "none"}, "no dataset is there"),
    ],
)
def test_wrong_settings_are_named(world, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        verify.run(config(world, tmp_path / "v", **wrong))
    assert not (tmp_path / "v").exists()


def test_another_csv_than_the_datasets_is_refused(world, tmp_path):
    csv = tmp_path / "train.csv"
    csv.write_text((world / "toy" / "train.csv").read_text() + "x,,1\n")
    with pytest.raises(InputError, match="made of another --train_csv"):
        verify.run(
            config(world, tmp_path / "v", train_csv=str(csv), min_inliers=1.0)
        )


def test_the_test_is_never_calibrated_on(world, tmp_path):
    with pytest.raises(InputError, match="validation split of --data alone"):
        verify.run(config(world, tmp_path / "v", "test", calibrate=True))
    assert not (tmp_path / "v" / "calibration.json").exists()


def test_features_of_another_extractor_are_refused(world, tmp_path):
    other = shutil.copytree(world / "features" / "test", tmp_path / "f")
    content = json.loads((other / store.SETTINGS).read_text())
    content["settings"]["extractor"] = "delf:x"
    (other / store.SETTINGS).write_text(json.dumps(content))
    with pytest.raises(InputError, match="different extractors"):
        verify.run(
            config(
                world,
                tmp_path / "v",
                query_features=str(other),
                min_inliers=1.0,
            )
        )
