r"""Makes one page of trainings and submissions: curves, tables, confusions.

    python -m landmark_tf.report --runs='runs/*' --out=report
    python -m landmark_tf.report --runs='runs/*' \
        --submissions=a.csv,ensemble.csv,verified/submission.csv \
        --solution=solution.csv --image_root=photos/test --out=report

OUT gets index.html, which needs no other file, and its figures as PNGs. Of the
runs: learning curves, a table of the models, the distribution of the classes,
GAP with and without pictures of no landmark. Of the submissions: their scores
beside the first one's, how far confidences can be trusted, and the pairs of
landmarks that are confused most.

--layout=FILE groups both, in the order of the file: a CSV with the columns
`group,title,name,path`, where a path that ends in .csv is a submission and
every other a run directory.
"""

import dataclasses
import glob
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    import pandas as pd

    from landmark_tf.reports.page import Page
    from landmark_tf.training.history import Training

_CONFUSED = 10  # pairs of landmarks that are shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a report."""

    out: str = config.field(help="folder to write")
    runs: tuple[str, ...] = config.field(
        (), help="run directories, or patterns such as 'runs/*'"
    )
    submissions: tuple[str, ...] = config.field(
        (), help="CSV files of id,landmarks; the first is compared with"
    )
    solution: str = config.field(
        "", help="CSV of the true landmarks of the submissions' queries"
    )
    layout: str = config.field(
        "", help="CSV of group,title,name,path: what is drawn together"
    )
    image_root: str = config.field(
        "", help="folder of the queries' photographs, to show confusions"
    )
    title: str = config.field("Landmark recognition", help="of the page")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs or submissions that are shown together, by their names."""

    title: str
    paths: dict[str, str]


def run(settings: Config) -> pathlib.Path:
    """Writes the page and its figures.

    Returns:
        The page's path.

    Raises:
        InputError: nothing to report, or a file that cannot be used.
    """
    groups = _groups(settings)
    runs, submissions = _split(groups)
    if submissions and not settings.solution:
        raise InputError(
            "submissions are scored with --solution; give it. Received: none"
        )
    from landmark_tf.files import atomic, quiet

    quiet.import_tensorflow()
    from landmark_tf.reports.page import Page
    from landmark_tf.training import history

    trainings = {
        path: history.read(path)
        for path in dict.fromkeys(
            path for group in runs for path in group.paths.values()
        )
    }
    page, figures = Page(settings.title), {}
    if trainings:
        _models(page, _named(runs, trainings))
        _curves(page, figures, runs, trainings)
        _distributions(page, figures, _named(runs, trainings))
    if submissions:
        _submissions(page, figures, submissions, settings, trainings)
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in figures.items():
        with atomic.replacing(out / f"{name}.png") as temporary:
            pathlib.Path(temporary).write_bytes(data)
    atomic.write_text(out / "index.html", page.text())
    print(
        f"{out / 'index.html'}: {len(trainings)} runs, "
        f"{sum(len(x.paths) for x in submissions)} submissions"
    )
    return out / "index.html"


def _groups(settings: Config) -> list[Group]:
    groups = []
    if settings.layout:
        groups += _layout(settings.layout)
    paths = []
    for pattern in settings.runs:
        found = sorted(glob.glob(pattern))
        runs = [x for x in found if pathlib.Path(x, "history.csv").exists()]
        if not runs:
            raise InputError(
                "no run directory with a history there; give --runs=runs/NAME "
                f"or a pattern in quotes. Received: {pattern}"
            )
        paths += runs
    if paths:
        named = {pathlib.Path(x).name: x for x in dict.fromkeys(paths)}
        groups.append(Group("All runs", named))
    if settings.submissions:
        named = {_short(x): x for x in settings.submissions}
        groups.append(Group("Submissions", named))
    if not groups:
        raise InputError(
            "give --runs, --submissions or --layout. Received: none of them"
        )
    return groups


def _short(path: str) -> str:
    """verified/test/submission.csv says more by its folder."""
    file = pathlib.Path(path)
    return file.parent.name if file.stem == "submission" else file.stem


def _layout(path: str) -> list[Group]:
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = list(
            zip(*(table[x] for x in ("group", "title", "name", "path")))
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "--layout must be a CSV with the columns group,title,name,path "
            f"({error}). Received: {path}"
        ) from error
    groups: dict[str, Group] = {}
    for name, title, label, file in rows:
        heading = f"{name}: {title}" if title else name
        group = groups.setdefault(name, Group(heading, {}))
        group.paths[label or _short(file)] = file
    return list(groups.values())


def _split(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    kinds: tuple[list[Group], list[Group]] = ([], [])
    for group in groups:
        for kind, wanted in enumerate((False, True)):
            part = {
                name: path
                for name, path in group.paths.items()
                if path.endswith(".csv") == wanted
            }
            if part:
                kinds[kind].append(Group(group.title, part))
    return kinds


def _named(
    runs: Sequence[Group], trainings: "Mapping[str, Training]"
) -> "dict[str, Training]":
    return {pathlib.Path(path).name: x for path, x in trainings.items()}


def _models(page: "Page", trainings: "Mapping[str, Training]") -> None:
    page.section(
        "Models",
        "GAP, GAP of the landmarks alone and accuracy are of the validation "
        "split, at the epoch of the highest GAP; images/s of training.",
    )
    rows = []
    for name, x in trainings.items():
        best = x.best()
        rows.append(
            (
                name,
                x.settings.model,
                x.parameters(),
                x.settings.data,
                len(x.history),
                round(x.images_per_second()),
                float(best["val_gap"]),
                float(best["val_gap_landmarks"]),
                float(best["val_accuracy"]),
            )
        )
    head = ("run", "network", "parameters", "data", "epochs", "images/s")
    page.table((*head, "GAP", "GAP (landmarks)", "accuracy"), rows)


def _curves(
    page: "Page",
    figures: dict[str, bytes],
    runs: Sequence[Group],
    trainings: "Mapping[str, Training]",
) -> None:
    from landmark_tf.reports import figures as drawing

    for number, group in enumerate(runs, 1):
        histories = {k: trainings[v].history for k, v in group.paths.items()}
        key = f"curves_{number:02}"
        figures[key] = drawing.curves(histories)
        page.section(group.title)
        page.picture(figures[key], f"learning curves: {group.title}")


def _distributions(
    page: "Page",
    figures: dict[str, bytes],
    trainings: "Mapping[str, Training]",
) -> None:
    from landmark_tf.data import tfrecords
    from landmark_tf.reports import figures as drawing

    first = next(iter(trainings.values()))
    images = tfrecords.read_classes(first.path)["images"]
    page.section(
        "Classes",
        f"{first.settings.data}: {len(images)} landmarks, from "
        f"{images.min():,} to {images.max():,} pictures each.",
    )
    figures["classes"] = drawing.classes(
        images.sort_values(ascending=False).to_numpy()
    )
    page.picture(figures["classes"], "pictures of each landmark")
    best = {name: x.best() for name, x in trainings.items()}
    figures["distractors"] = drawing.distractors(
        list(best),
        [x["val_gap_landmarks"] for x in best.values()],
        [x["val_gap"] for x in best.values()],
    )
    page.section("GAP with and without pictures of no landmark")
    page.picture(figures["distractors"], "GAP with and without distractors")


def _submissions(
    page: "Page",
    figures: dict[str, bytes],
    groups: Sequence[Group],
    settings: Config,
    trainings: "Mapping[str, Training]",
) -> None:
    from landmark_tf.predictions import reliability, submission
    from landmark_tf.reports import figures as drawing
    from landmark_tf.reports import scores

    solution = submission.read_solution(settings.solution)
    read: dict[str, Any] = {}
    for group in groups:
        for path in group.paths.values():
            if path not in read:
                read[path] = scores.read(path, solution, settings.solution)
        page.section(
            group.title,
            "GAP over all queries, and over those that show a landmark; "
            "accuracy over the latter; times: GAP as a multiple of the first "
            "row's.",
        )
        page.table(scores.HEAD, scores.table(group.paths, read, solution))
    tables = {}
    for name, path in groups[-1].paths.items():
        confidence, correct = scores.judged(read[path], solution)
        table = reliability.bins(confidence, correct)
        error = reliability.expected_calibration_error(table)
        tables[f"{name} (mean distance {error:.2f})"] = table
    figures["reliability"] = drawing.reliability(tables)
    page.section(
        "How far confidences can be trusted",
        "Over all queries; a prediction for a query that shows no landmark is "
        "wrong.",
    )
    page.picture(figures["reliability"], "accuracy by confidence")
    last = list(groups[-1].paths)[0]
    _confusions(
        page, last, read[groups[-1].paths[last]], solution, settings, trainings
    )


def _confusions(
    page: "Page",
    name: str,
    pairs: "pd.DataFrame",
    solution: "pd.DataFrame",
    settings: Config,
    trainings: "Mapping[str, Training]",
) -> None:
    from landmark_tf.predictions import confusions
    from landmark_tf.reports import showing

    found = confusions.pairs(pairs, solution).head(_CONFUSED)
    page.section(
        "Landmarks that are confused most",
        f"By {name}: a query, then training pictures of its landmark and of "
        "the one that was named.",
    )
    training = next(iter(trainings.values()), None)
    page.table(
        ("shown", "named", "times", "query", "of the shown", "of the named"),
        showing.confused(found, training, settings.image_root),
    )


if __name__ == "__main__":
    command.main(run, Config)
