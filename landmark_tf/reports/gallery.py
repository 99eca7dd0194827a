"""Telling pictures of a split, beside the training pictures nearest to them."""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from landmark_tf.data import examples, pipeline, tfrecords
from landmark_tf.files import atomic
from landmark_tf.models import graphs
from landmark_tf.predictions import gallery
from landmark_tf.reports import explanation
from landmark_tf.reports.explanation import Panel
from landmark_tf.training import evaluation, run_directory, strategy

_EACH = 100  # training pictures of a landmark that are looked at


def write(
    trained: run_directory.Run,
    out: pathlib.Path,
    *,
    data: str,
    split: str,
    count: int,
    batch_size: int,
) -> list[pathlib.Path]:
    """Writes gallery.csv and a PNG for each kind of `gallery.KINDS`.

    Args:
        trained: the training.
        out: folder to write; it is made.
        data: dataset folder; empty: the one it was trained on.
        split: of the dataset.
        count: pictures of each kind, at most.
        batch_size: pictures of one step.

    Returns:
        The PNGs; none of a kind of which the split has no picture.

    Raises:
        InputError: no such dataset or split.
    """
    dataset = run_directory.open_data(trained, data)
    chosen = _choose(trained, dataset, split, count, batch_size)
    names = [*tfrecords.landmark_names(trained.classes), "no landmark"]  # -1
    landmarks = [*trained.classes["landmark_id"], -1]
    listing = chosen[["kind", "id", "confidence"]].assign(
        landmark_id=[landmarks[x] for x in chosen["label"]],
        landmark=[names[x] for x in chosen["label"]],
        predicted_id=[landmarks[x] for x in chosen["predicted"]],
        predicted=[names[x] for x in chosen["predicted"]],
    )
    out.mkdir(parents=True, exist_ok=True)
    text = listing.to_csv(index=False, lineterminator="\n")
    atomic.write_text(out / "gallery.csv", text)
    neighbours = _Neighbours(trained, dataset, split, chosen, names)
    written = []
    for kind, rows in chosen.groupby("kind", sort=False):
        lines = [neighbours.line(row) for row in rows.itertuples()]
        written.append(out / f"{kind}.png")
        explanation.draw(lines, written[-1], gallery.KINDS[kind])
        print(written[-1])
    return written


def _choose(
    trained: run_directory.Run,
    dataset: tfrecords.Dataset,
    split: str,
    count: int,
    batch_size: int,
) -> pd.DataFrame:
    """`kind`, `row`, `id`, `label`, `predicted`, `confidence`."""
    measure = evaluation.Evaluator(
        dataset, split, trained.model, strategy.create("one"), batch_size
    )
    outcome, label = measure.outcome(), measure.table["label"].to_numpy()
    chosen = gallery.choose(
        label,
        outcome.predicted,
        outcome.confidence,
        np.exp(-outcome.loss),  # of the cross-entropy
        count,
    )
    row = chosen["row"].to_numpy()
    return chosen.assign(
        id=measure.table["id"].to_numpy()[row],
        label=label[row],
        predicted=outcome.predicted[row],
        confidence=outcome.confidence[row],
    )


class _Neighbours:
    """The training pictures that are nearest in the classifier's features."""

    def __init__(
        self,
        trained: run_directory.Run,
        dataset: tfrecords.Dataset,
        split: str,
        chosen: pd.DataFrame,
        names: Sequence[str],
    ):
        self._names, self._size = names, trained.image_size
        with graphs.deep_graphs():
            self._features = keras.Model(
                trained.model.input, trained.model.get_layer("logits").input
            )
        self._jpegs = examples.read_rows(dataset, split, set(chosen["row"]))
        landmarks = dataset.classes["landmark_id"].tolist()
        labels = {*chosen["label"], *chosen["predicted"]} - {-1}
        found = examples.pictures(
            dataset, [landmarks[x] for x in labels], each=_EACH
        )
        self._known: dict[int, tuple[np.ndarray, ...]] = {}
        for label in labels:
            if some := found.get(landmarks[label]):
                ids = np.array([name for name, _ in some])
                pixels = self._pixels([jpeg for _, jpeg in some])
                features = self._features.predict(pixels, verbose=0)
                self._known[label] = (ids, pixels, features)

    def line(self, row: Any) -> tuple[str, list[Panel]]:
        """A picture, and its neighbours of its own and the named landmark."""
        picture = self._pixels([self._jpegs[row.row]])
        query = self._features.predict(picture, verbose=0)[0]
        answer = f"named {self._names[row.predicted]}, {row.confidence:.2f}"
        panels = [Panel(picture[0], f"{self._names[row.label]}\n{answer}")]
        if row.label >= 0:  # it shows a landmark
            panels.append(self._nearest(row.id, query, row.label, "its own"))
        if row.label != row.predicted:
            panels.append(self._nearest(row.id, query, row.predicted, "named"))
        return row.id, panels

    def _nearest(
        self, name: str, query: np.ndarray, label: int, what: str
    ) -> Panel:
        if label not in self._known:
            return Panel(None)
        ids, pixels, features = self._known[label]
        place = gallery.nearest(query, features, ids != name)
        if place is None:
            return Panel(None)
        return Panel(pixels[place], f"{what}, nearest:\n{self._names[label]}")

    def _pixels(self, jpegs: Sequence[bytes]) -> np.ndarray:
        return np.stack(
            [pipeline.preprocess(x, self._size).numpy() for x in jpegs]
        )
