import shutil

import pandas as pd
import pytest

from landmark_tf import InputError, predict, score


@pytest.fixture
def settings(trained, toy, tmp_path):
    def make(**changes):
        return predict.Config(
            **{
                "run": str(trained[0]),
                "csv": str(toy / "test.csv"),
                "image_root": str(toy / "test"),
                "out": str(tmp_path / "submission.csv"),
                **changes,
            }
        )

    return make


def rows(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_every_query_once_in_its_order(settings, toy, trained):
    found = rows(predict.run(settings()))
    queries = rows(toy / "test.csv")
    assert found["id"].tolist() == queries["id"].tolist()
    known = pd.read_csv(trained[0] / "classes.csv")["landmark_id"]
    for text in found["landmarks"]:
        landmark, confidence = text.split()
        assert int(landmark) in set(known)
        assert 1 / 3 <= float(confidence) <= 1


def test_its_submission_can_be_scored(settings, toy):
    out = predict.run(settings())
    solution = str(toy / "recognition_solution.csv")
    found = score.run(score.Config(submission=str(out), solution=solution))
    assert found["predicted"] == found["queries"] == len(rows(out))


def test_top_k_falls_and_adds_up(settings):
    found = rows(predict.run(settings(top_k=5)))  # of three classes
    for text in found["landmarks"]:
        words = text.split()
        confidences = [float(word) for word in words[1::2]]
        assert len(set(words[::2])) == 3
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1, abs=1e-5)


def test_below_the_least_confidence_there_is_no_prediction(settings):
    first = rows(predict.run(settings()))
    confidence = first["landmarks"].str.split().str[1].astype(float)
    cut = confidence.median() + 1e-6
    second = rows(predict.run(settings(min_confidence=cut)))
    assert ((second["landmarks"] == "") == (confidence < cut)).all()


def test_unreadable_pictures_get_an_empty_row_and_are_listed(
    settings, toy, tmp_path, capsys
):
    root = tmp_path / "test"
    shutil.copytree(toy / "test", root)
    ids = rows(toy / "test.csv")["id"].tolist()
    files = [root / i[0] / i[1] / i[2] / f"{i}.jpg" for i in ids[:5]]
    files[0].unlink()
    files[1].write_bytes(b"")
    files[2].write_bytes(b"<html>not found</html>")
    files[3].write_bytes(files[3].read_bytes()[:400])
    # The header and the end are right, what lies between is not a picture.
    data = files[4].read_bytes()
    start = data.index(b"\xff\xc4")
    files[4].write_bytes(data[:start] + b"\0" * 400 + b"\xff\xd9")
    table = rows(toy / "test.csv")
    table.loc[5, "id"] = "../../etc/passwd"
    table.to_csv(tmp_path / "test.csv", index=False)
    out = predict.run(
        settings(image_root=str(root), csv=str(tmp_path / "test.csv"))
    )
    found = rows(out)
    assert (found["landmarks"] == "").tolist() == [True] * 6 + [False] * (
        len(ids) - 6
    )
    listed = rows(tmp_path / "submission.unreadable.csv")
    assert listed["id"].tolist() == [*ids[:5], "../../etc/passwd"]
    reasons = listed["reason"].tolist()
    for reason, word in zip(
        reasons, ("missing", "empty", "not an image", "truncated")
    ):
        assert word in reason
    assert all(reasons)
    assert "6 pictures cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "nowhere"}, "no flags.txt .*nowhere"),
        ({"csv": "nowhere.csv"}, "nowhere.csv"),
        ({"image_root": "nowhere"}, "--image_root .*nowhere"),
        ({"out": "nowhere/submission.csv"}, "--out .*nowhere"),
        ({"top_k": 0}, "--top_k .*: 0"),
        ({"min_confidence": 2.0}, "--min_confidence .*: 2.0"),
    ],
)
def test_bad_settings_are_named(settings, change, words):
    with pytest.raises(InputError, match=words):
        predict.run(settings(**change))
