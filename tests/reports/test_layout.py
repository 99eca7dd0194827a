from landmark_tf.reports import layout


def test_names_are_short_where_they_can_be():
    paths = ["runs/a", "other/b/", "old/b", "x/one.csv", "y/submission.csv"]
    assert layout.named(paths) == {
        "a": "runs/a",
        "other/b/": "other/b/",
        "old/b": "old/b",
        "one": "x/one.csv",
        "y": "y/submission.csv",
    }
    assert layout.named(["runs/a", "runs/a"]) == {"a": "runs/a"}


def test_groups_are_split_into_runs_and_submissions():
    both = layout.Group("both", {"run": "runs/a", "said": "a.csv"})
    runs, submissions = layout.split([both])
    assert runs == [layout.Group("both", {"run": "runs/a"})]
    assert submissions == [layout.Group("both", {"said": "a.csv"})]


def test_runs_are_found_by_patterns_once_each_in_their_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text("epoch\n")
    (tmp_path / "no_run").mkdir()
    found = layout.of_patterns([f"{tmp_path}/b", f"{tmp_path}/*"])
    assert found == [f"{tmp_path}/{x}" for x in ("b", "a", "b")]
    assert list(layout.named(found)) == ["b", "a"]
