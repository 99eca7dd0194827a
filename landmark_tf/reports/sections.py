"""The sections of a report's page.

Each is a function that adds itself to the page, and its figures, PNG by name,
to a dictionary.
"""

import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd

from landmark_tf.data import tfrecords
from landmark_tf.predictions import confusions, reliability, submission
from landmark_tf.reports import figures as drawing
from landmark_tf.reports import scores, showing
from landmark_tf.reports.layout import Group
from landmark_tf.reports.page import Page
from landmark_tf.training.history import Training

_CONFUSED = 10  # pairs of landmarks that are shown


def models(page: Page, trainings: Mapping[str, Training]) -> None:
    """A table of the networks and their best epochs."""
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
                pathlib.Path(x.settings.data).name,  # no path of a machine
                len(x.history),
                round(x.images_per_second()),
                float(best["val_gap"]),
                float(best["val_gap_landmarks"]),
                float(best["val_accuracy"]),
            )
        )
    head = ("run", "network", "parameters", "data", "epochs", "images/s")
    page.table((*head, "GAP", "GAP (landmarks)", "accuracy"), rows)


def curves(
    page: Page,
    figures: dict[str, bytes],
    runs: Sequence[Group],
    trainings: Mapping[str, Training],
) -> None:
    """Learning curves of each group of runs; `trainings` by path."""
    for number, group in enumerate(runs, 1):
        histories = {k: trainings[v].history for k, v in group.paths.items()}
        key = f"curves_{number:02}"
        figures[key] = drawing.curves(histories)
        page.section(group.title)
        page.picture(figures[key], f"learning curves: {group.title}")


def distributions(
    page: Page, figures: dict[str, bytes], trainings: Mapping[str, Training]
) -> None:
    """Classes of the first run, and every run's GAP without distractors."""
    first = next(iter(trainings.values()))
    images = tfrecords.read_classes(first.path)["images"]
    name = pathlib.Path(first.settings.data).name
    page.section(
        "Classes",
        f"{name}: {len(images)} landmarks, from {images.min():,} to "
        f"{images.max():,} pictures each.",
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


def submissions(
    page: Page,
    figures: dict[str, bytes],
    groups: Sequence[Group],
    trainings: Mapping[str, Training],
    truth: str,
    image_root: str,
) -> None:
    """Scores of each group; calibration and confusions of the last group.

    Args:
        page: to add to.
        figures: to add to.
        groups: of submissions.
        trainings: the first has pictures and names of the landmarks.
        truth: path of the solution.
        image_root: folder of the queries' photographs; empty: none is shown.

    Raises:
        InputError: a submission or the solution cannot be used.
    """
    solution = submission.read_solution(truth)
    read: dict[str, pd.DataFrame] = {}
    for group in groups:
        for path in group.paths.values():
            if path not in read:
                read[path] = scores.read(path, solution, truth)
        page.section(
            group.title,
            "GAP over all queries, and over those that show a landmark; "
            "accuracy over the latter; times: GAP as a multiple of the first "
            "row's.",
        )
        page.table(scores.HEAD, scores.table(group.paths, read, solution))
    _reliability(page, figures, groups[-1], read, solution)
    name, path = next(iter(groups[-1].paths.items()))
    found = confusions.pairs(read[path], solution).head(_CONFUSED)
    page.section(
        "Landmarks that are confused most",
        f"By {name}: of each pair the query that was named with most "
        "confidence, then training pictures of its landmark and of the one "
        "that was named.",
    )
    training = next(iter(trainings.values()), None)
    page.table(
        (
            "shown",
            "named",
            "queries",
            "the surest",
            "of the shown",
            "of the named",
        ),
        showing.confused(found, training, image_root),
    )


def _reliability(
    page: Page,
    figures: dict[str, bytes],
    group: Group,
    read: Mapping[str, pd.DataFrame],
    solution: pd.DataFrame,
) -> None:
    tables = {}
    for name, path in group.paths.items():
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
