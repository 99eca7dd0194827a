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
import pathlib
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.reports.layout import Group
    from landmark_tf.training.history import Training


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


def run(settings: Config) -> pathlib.Path:
    """Writes the page and its figures.

    Returns:
        The page's path.

    Raises:
        InputError: nothing to report, or a file that cannot be used.
    """
    from landmark_tf.reports import layout

    if settings.image_root and not pathlib.Path(settings.image_root).is_dir():
        raise InputError(
            f"--image_root must be a folder. Received: {settings.image_root}"
        )
    groups = _groups(settings)
    runs, submissions = layout.split(groups)
    if submissions and not settings.solution:
        raise InputError(
            "submissions are scored with --solution; give it. Received: none"
        )
    from landmark_tf.files import atomic, quiet

    quiet.import_tensorflow()
    from landmark_tf.reports import sections
    from landmark_tf.reports.page import Page

    trainings = _read(runs)
    runs = [group for group in runs if group.paths]
    if not runs and not submissions:
        raise InputError(
            "none of the runs can be shown. Received: "
            f"--runs={','.join(settings.runs)}"
        )
    page, figures = Page(settings.title), {}
    if trainings:
        by_name = {k: trainings[v] for k, v in layout.named(trainings).items()}
        sections.models(page, by_name)
        sections.curves(page, figures, runs, trainings)
        sections.distributions(page, figures, by_name)
    if submissions:
        sections.submissions(
            page,
            figures,
            submissions,
            trainings,
            settings.solution,
            settings.image_root,
        )
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in figures.items():
        with atomic.replacing(out / f"{name}.png") as temporary:
            pathlib.Path(temporary).write_bytes(data)
    atomic.write_text(out / "index.html", page.text())
    print(
        f"{out / 'index.html'}: runs: {len(trainings)}, "
        f"submissions: {sum(len(x.paths) for x in submissions)}"
    )
    return out / "index.html"


def _read(runs: "list[Group]") -> "dict[str, Training]":
    """Reads the runs; one of a pattern that cannot be used is left out."""
    from landmark_tf.training import history

    trainings: dict[str, Training] = {}
    for group in runs:
        for name, path in list(group.paths.items()):
            try:
                trainings[path] = trainings.get(path) or history.read(path)
            except InputError as error:
                if not group.of_pattern:
                    raise
                del group.paths[name]
                print(f"left out: {error}")
    return trainings


def _groups(settings: Config) -> "list[Group]":
    from landmark_tf.reports import layout

    groups = layout.read(settings.layout) if settings.layout else []
    runs = layout.of_patterns(settings.runs)
    if runs:
        patterns = any(map(layout.is_pattern, settings.runs))
        groups.append(layout.Group("All runs", layout.named(runs), patterns))
    if settings.submissions:
        named = layout.named(settings.submissions)
        groups.append(layout.Group("Submissions", named))
    if not groups:
        raise InputError(
            "give --runs, --submissions or --layout. Received: none of them"
        )
    return groups


if __name__ == "__main__":
    command.main(run, Config)
