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
    from landmark_tf.training import history

    trainings = {
        path: history.read(path)
        for path in dict.fromkeys(
            path for group in runs for path in group.paths.values()
        )
    }
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


def _groups(settings: Config) -> "list[Group]":
    from landmark_tf.reports import layout

    groups = layout.read(settings.layout) if settings.layout else []
    runs = layout.of_patterns(settings.runs)
    for title, paths in (
        ("All runs", runs),
        ("Submissions", settings.submissions),
    ):
        if paths:
            groups.append(layout.Group(title, layout.named(paths)))
    if not groups:
        raise InputError(
            "give --runs, --submissions or --layout. Received: none of them"
        )
    return groups


if __name__ == "__main__":
    command.main(run, Config)
