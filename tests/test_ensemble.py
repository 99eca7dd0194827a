import re

import pytest

from landmark_tf import InputError, ensemble, evaluate, score

TRUTH = [(i, i % 5 if i % 2 else -1) for i in range(60)]


@pytest.fixture
def files(tmp_path):
    """Two models of 60 queries, right in turn, and the truth."""
    rows = {"truth": [], "a": [], "b": []}
    for i, truth in TRUTH:
        name = f"q{i:02}"
        rows["truth"].append(f"{name},{truth if truth >= 0 else ''}")
        for model, kind in (("a", 3), ("b", 4)):
            right = truth >= 0 and i % kind
            landmark = truth if right else (i + kind) % 5
            rows[model].append(
                f"{name},{landmark} {0.9 - i / 100 if right else 0.3 + i / 200}"
            )
    for name, lines in rows.items():
        text = "id,landmarks\n" + "\n".join(lines) + "\n"
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def settings(files, **more):
    both = tuple(str(files / f"{name}.csv") for name in "ab")
    given = {"submissions": both, "out": str(files / "out.csv"), **more}
    return ensemble.Config(**given)


def gap(files, name):
    given = {"submission": f"{files / name}", "solution": f"{files}/truth.csv"}
    return score.run(score.Config(**given))["gap"]


def test_average_of_two_files(files):
    (files / "a.csv").write_text("id,landmarks\nx,1 0.5\ny,2 0.5\nz,\n")
    (files / "b.csv").write_text("id,landmarks\nz,3 1\nx,1 0.25\ny,9 0.75\n")
    facts = ensemble.run(settings(files))
    assert (files / "out.csv").read_text() == (
        "id,landmarks\nx,1 0.375\ny,2 0.5\nz,\n"
    )
    assert (facts["queries"], facts["predicted"]) == (3, 2)


def test_automatic_weights_are_the_scores(files):
    labelled = settings(files).submissions
    for more in ({}, {"labelled": labelled}):
        facts = ensemble.run(
            settings(
                files,
                strategy="weighted",
                weights="auto",
                solution=str(files / "truth.csv"),
                **more,
            )
        )
        expected = [gap(files, "a.csv"), gap(files, "b.csv")]
        assert facts["weights"] == pytest.approx(expected)
    text = (files / "out.csv").read_text()
    # q01: both right, 0.89 each; q03: b alone.
    assert re.search(r"q01,1 0.889999\d*\n", text)


def test_search_says_what_it_chose(files, capsys):
    facts = ensemble.run(
        settings(files, search=True, solution=str(files / "truth.csv"))
    )
    text = capsys.readouterr().out
    assert "best single submission" in text and "had not seen" in text
    assert gap(files, "out.csv") == pytest.approx(
        facts["labelled_gap"], abs=0.01
    )
    assert facts["labelled_gap"] >= gap(files, "a.csv")
    # The flags that it prints make the same file.
    flags = re.search(r"best ensemble .*?(--strategy.*)", text)[1].split()
    given = dict(x.lstrip("-").split("=", 1) for x in flags)
    given["submissions"] = tuple(given["submissions"].split(","))
    given["scale"] = float(given.get("scale", 0.5))
    before = (files / "out.csv").read_text()
    ensemble.run(settings(files, **given))
    assert sorted((files / "out.csv").read_text().split()) == sorted(
        before.split()
    )


def test_a_search_of_twins_is_no_gain(files, capsys):
    (files / "b.csv").write_text((files / "a.csv").read_text())
    ensemble.run(
        settings(files, search=True, solution=str(files / "truth.csv"))
    )
    assert "which is no gain to rely on" in capsys.readouterr().out


def test_a_search_that_gains_says_so(files, capsys):
    """What one of two does not know, the other does, on many queries."""
    lines = {"a": [], "b": [], "truth": []}
    for i in range(400):
        name, right = f"q{i:03}", i % 5
        lines["truth"].append(f"{name},{right}")
        for model, knows in (("a", i % 2), ("b", not i % 2)):
            pair = f"{right} 0.9" if knows else f"{(right + 1) % 5} 0.1"
            lines[model].append(f"{name},{pair}")
    for name, rows in lines.items():
        text = "id,landmarks\n" + "\n".join(rows) + "\n"
        (files / f"{name}.csv").write_text(text)
    ensemble.run(
        settings(files, search=True, solution=str(files / "truth.csv"))
    )
    text = capsys.readouterr().out
    assert "a gain of +0." in text and "no gain to rely on" not in text


def test_labelled_rows_that_are_ignored_do_not_count(files):
    lines = (files / "truth.csv").read_text().splitlines()
    usage = ["Public" if i < 40 else "Ignored" for i in range(60)]
    marked = [f"{line},{use}" for line, use in zip(lines[1:], usage)]
    (files / "truth.csv").write_text(
        "\n".join(["id,landmarks,Usage", *marked]) + "\n"
    )
    facts = ensemble.run(
        settings(
            files,
            strategy="soft_voting",
            weights="auto",
            solution=str(files / "truth.csv"),
        )
    )
    expected = [gap(files, "a.csv"), gap(files, "b.csv")]
    assert facts["weights"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"submissions": ("a.csv",)}, "two files.*Received: a.csv"),
        ({"submissions": ("a.csv", "a.csv")}, "each once.*: a.csv,a.csv"),
        ({"solution": "truth.csv"}, "are for.*Received: --weights=, --search"),
        ({"top_k": 3}, "soft_voting and rank_average. Received.*=average"),
        ({"labelled": ("a.csv",)}, "--labelled.*Received: 1 for 2"),
        ({"search": True}, "need --solution"),
        ({"weights": "auto"}, "need --solution"),
        ({"strategy": "weighted"}, "needs --weights"),
        ({"strategy": "weighted", "weights": "1,x"}, "Received: '1,x'"),
        ({"strategy": "weighted", "weights": "1"}, "2 numbers.*Received: 1"),
        ({"weights": "2,1"}, "weighted, soft.*Received: --strategy=average"),
        ({"strategy": "weighted", "weights": ","}, "Received: ','"),
        ({"strategy": "weighted", "weights": "1,,2"}, "Received: '1,,2'"),
        ({"scale": -1.0}, "between 0 and.*Received: -1"),
        ({"scale": 1e39}, "between 0 and.*Received: 1e.39"),
        ({"scale": float("nan")}, "between 0 and.*Received: nan"),
        ({"top_k": 0}, "Received: 0.5, 0"),
        ({"out": "."}, "must be a file"),
    ],
)
def test_bad_settings_are_named(files, change, words):
    with pytest.raises(InputError, match=words):
        ensemble.run(settings(files, **change))
    assert not (files / "out.csv").exists()


@pytest.mark.parametrize("name", ["a.csv", "b.csv", "truth.csv"])
def test_a_file_that_is_read_is_not_replaced(files, name):
    before = (files / name).read_text()
    more = {"weights": "auto", "solution": str(files / "truth.csv")}
    with pytest.raises(InputError, match=f"would replace.*{name}"):
        ensemble.run(
            settings(
                files, strategy="weighted", out=f"{files}/./{name}", **more
            )
        )
    assert (files / name).read_text() == before


def test_lists_are_named_by_the_strategy_that_was_asked_for(files):
    (files / "a.csv").write_text("id,landmarks\nx,1 0.5 2 0.25\n")
    (files / "b.csv").write_text("id,landmarks\nx,1 0.5\n")
    with pytest.raises(InputError, match="^average combines one landmark"):
        ensemble.run(settings(files))


def test_a_search_of_lists_needs_labelled_lists(files):
    labelled = settings(files).submissions
    (files / "c.csv").write_text("id,landmarks\nx,1 0.5 2 0.25\n")
    (files / "d.csv").write_text("id,landmarks\nx,1 0.5\n")
    with pytest.raises(InputError, match="both.*Received: 1 and 2 landmarks"):
        ensemble.run(
            settings(
                files,
                submissions=(str(files / "c.csv"), str(files / "d.csv")),
                labelled=labelled,
                search=True,
                solution=str(files / "truth.csv"),
            )
        )


def test_truth_of_other_queries(files):
    (files / "truth.csv").write_text("id,landmarks\nq00,1\n")
    with pytest.raises(InputError, match="only ids of.*'q01' and 58 more"):
        ensemble.run(
            settings(files, search=True, solution=str(files / "truth.csv"))
        )


def test_evaluate_writes_both_files_that_a_search_needs(trained, tmp_path):
    run, figures = trained
    evaluate.run(
        evaluate.Config(
            run=str(run),
            predictions=str(tmp_path / "a.csv"),
            solution=str(tmp_path / "truth.csv"),
        )
    )
    assert gap(tmp_path, "a.csv") == pytest.approx(figures["gap"], rel=1e-4)


def test_the_flag_offers_what_there_is():
    import dataclasses

    from landmark_tf.predictions import ensembling

    (flag,) = (
        x for x in dataclasses.fields(ensemble.Config) if x.name == "strategy"
    )
    assert flag.metadata["choices"] == ensembling.STRATEGIES
