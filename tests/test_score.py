import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from landmark_tf import InputError, command, score
from landmark_tf.predictions import submission

ROOT = pathlib.Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared" / "photos"

SOLUTION = """id,landmarks,Usage
a,1,Public
b,2 3,Private
c,,Public
d,4,Ignored
e,5,Private
"""
SUBMISSION = "id,landmarks\nb,3 0.5\na,1 0.25\nc,7 0.75\ne,\nd,4 1\n"


@pytest.fixture
def files(tmp_path):
    """Writes the two files and gives the config that names them."""

    def write(submission=SUBMISSION, solution=SOLUTION, usage="all"):
        (tmp_path / "submission.csv").write_text(submission)
        (tmp_path / "solution.csv").write_text(solution)
        return score.Config(
            submission=str(tmp_path / "submission.csv"),
            solution=str(tmp_path / "solution.csv"),
            usage=usage,
        )

    return write


@pytest.mark.parametrize(
    "usage, expected",
    [
        # d is ignored. c wrong, b right, a right: (1/2 + 2/3) / 3 = 7/18.
        ("all", (7 / 18, 4, 3, 3)),
        # c wrong, a right: (1/2) / 1.
        ("Public", (1 / 2, 2, 1, 2)),
        # b right, e not predicted: (1/1) / 2.
        ("Private", (1 / 2, 2, 2, 1)),
    ],
)
def test_by_hand(files, capsys, usage, expected):
    result = score.run(files(usage=usage))
    assert tuple(result.values()) == pytest.approx(expected)
    assert list(result) == ["gap", "queries", "with_landmark", "predicted"]
    assert json.loads(capsys.readouterr().out) == result


def test_several_pairs_in_a_row_and_ties(files):
    # Ties by id, then landmark: (a, 1) right, (a, 9) wrong, (b, 2) right,
    # (b, 3) right: (1/1 + 2/3 + 3/4) / 3 = 29/36.
    rows = "id,landmarks\ne,\nd,\nc,\nb,3 1 2 1\na,9 1 1 1\n"
    result = score.run(files(submission=rows))
    assert result["gap"] == pytest.approx(29 / 36)
    assert result["predicted"] == 2


def test_without_a_usage_column(files):
    solution = "id,landmarks\na,1\nb,\n"
    rows = "id,landmarks\na,1 0.5\nb,\n"
    assert score.run(files(rows, solution))["gap"] == 1.0
    with pytest.raises(InputError, match="Received: --usage=Public"):
        score.run(files(rows, solution, "Public"))


def test_no_landmark_anywhere(files):
    result = score.run(files("id,landmarks\na,1 1\n", "id,landmarks\na,\n"))
    assert result == {
        "gap": 0.0,
        "queries": 1,
        "with_landmark": 0,
        "predicted": 1,
    }


@pytest.mark.parametrize("usage", ["all", "Public", "Private"])
@pytest.mark.parametrize(
    "change, match",
    [
        (("d,4 1\n", ""), "must name every.*Received: no row for 'd'$"),
        (("b,", "z,"), "must name every.*no row for 'b', but one for 'z'$"),
        (("e,\n", "e,\nz,\n"), "only ids.*Received: 'z'$"),
        (("e,\n", "e,\nb,\n"), "twice.*Received: 'b'"),
    ],
)
def test_refuses_other_ids_whatever_the_usage(files, usage, change, match):
    config = files(submission=SUBMISSION.replace(*change), usage=usage)
    with pytest.raises(InputError, match=match):
        score.run(config)


def test_the_shell_gets_one_line_and_code_1(files, capsys):
    config = files(submission=SUBMISSION.replace("a,", "z,"))
    flags = [f"--submission={config.submission}"]
    with pytest.raises(SystemExit) as stopped:
        command.main(
            score.run, score.Config, [*flags, f"--solution={config.solution}"]
        )
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_help_needs_no_pandas():
    code = (
        "import sys; from landmark_tf import command, score\n"
        "try: command.main(score.run, score.Config, ['--help'])\n"
        "except SystemExit: assert 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--submission" in done.stdout and "--usage" in done.stdout


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs ../shared/photos")
class TestRealFiles:
    solution = str(PHOTOS / "recognition_solution.csv")

    def test_the_sample_submission(self):
        sample = str(PHOTOS / "recognition_sample_submission.csv")
        result = score.run(
            score.Config(submission=sample, solution=self.solution)
        )
        assert result == {
            "gap": 0.0,
            "queries": 279,
            "with_landmark": 129,
            "predicted": 0,
        }

    def test_the_perfect_submission(self, tmp_path):
        truth = submission.read_solution(self.solution)
        landmark = np.array([[*x, -1][:1] for x in truth["landmarks"]])
        path = tmp_path / "perfect.csv"
        submission.write_submission(
            path, list(truth["id"]), landmark, np.ones(landmark.shape)
        )
        results = [
            score.run(
                score.Config(
                    submission=str(path), solution=self.solution, usage=usage
                )
            )
            for usage in ("all", "Public", "Private")
        ]
        assert [result["gap"] for result in results] == [1.0, 1.0, 1.0]
        assert [result["predicted"] for result in results][0] == 129
        assert sum(result["queries"] for result in results[1:]) == 279
