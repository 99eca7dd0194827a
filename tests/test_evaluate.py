import json

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds

from landmark_tf import InputError, evaluate
from landmark_tf.data import pipeline, tfrecords
from landmark_tf.predictions import gap, submission
from landmark_tf.training import run_directory


def test_figures_equal_a_plain_computation(trained, dataset):
    """One picture after another through the model, and NumPy."""
    run, _ = trained
    figures = evaluate.run(evaluate.Config(run=str(run), batch_size=7))
    model = run_directory.open_run(run).model
    builder = tfds.builder_from_directory(str(dataset))
    records = builder.as_dataset(
        "validation", decoders={"image": tfds.decode.SkipDecoding()}
    )
    label, logits, ids = [], [], []
    for record in sorted(
        records.as_numpy_iterator(), key=lambda record: record["id"]
    ):
        image = pipeline.preprocess(record["image"], 32)
        label.append(record["label"])
        logits.append(model(image[None], training=False).numpy()[0])
        ids.append(record["id"])
    label, logits = np.array(label), np.array(logits, np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shows, best = label >= 0, p.argmax(axis=1)
    assert 0 < shows.sum() < len(shows)
    correct = best == label
    assert figures["examples"] == len(label)
    assert figures["landmark_examples"] == shows.sum()
    assert figures["accuracy"] == pytest.approx(correct[shows].mean())
    assert figures["top5_accuracy"] == 1.0  # three classes only
    loss = -np.log(p[np.arange(len(p)), label])[shows].mean()
    assert figures["loss"] == pytest.approx(loss, rel=1e-4)
    query = np.arange(len(label))
    for key, rows in (("gap", query), ("gap_landmarks", query[shows])):
        expected = gap.global_average_precision(
            p.max(axis=1)[rows], correct[rows], rows, int(shows.sum())
        )
        assert figures[key] == pytest.approx(expected, abs=1e-6)
    assert figures["gap"] < figures["gap_landmarks"]
    written = json.loads((run / "metrics.json").read_text())
    assert {key: written[key] for key in figures} == figures


def test_predictions_are_those_that_were_measured(trained, dataset, tmp_path):
    run, _ = trained
    path = tmp_path / "validation.csv"
    figures = evaluate.run(evaluate.Config(run=str(run), predictions=str(path)))
    pairs, ids = submission.read_submission(path)
    table = tfrecords.read_table(
        tfrecords.open_dataset(str(dataset)), "validation"
    )
    assert ids == list(table["id"])
    order = np.argsort(np.argsort(ids))
    correct = pairs["landmark_id"].to_numpy() == table["landmark_id"].to_numpy()
    shows = int((table["label"] >= 0).sum())
    found = gap.global_average_precision(
        pairs["confidence"].to_numpy(), correct, order, shows
    )
    assert found == pytest.approx(figures["gap"])


def test_two_devices_count_every_picture_once(trained, mirrored):
    run, figures = trained
    settings = evaluate.Config(run=str(run), batch_size=6, strategy="mirrored")
    assert evaluate.run(settings) == pytest.approx(figures, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "nowhere"}, "no flags.txt .*nowhere"),
        ({"split": "test"}, "test"),
        ({"data": "nowhere"}, "no such dataset.*nowhere"),
    ],
)
def test_bad_settings_are_named(trained, change, words):
    with pytest.raises(InputError, match=words):
        evaluate.run(evaluate.Config(**{"run": str(trained[0]), **change}))


def test_a_dataset_of_other_landmarks_is_refused(trained, dataset, tmp_path):
    import shutil

    other = tmp_path / "toy"
    shutil.copytree(dataset, other)
    classes = pd.read_csv(other / "classes.csv")
    classes["landmark_id"] += 1
    classes.to_csv(other / "classes.csv", index=False)
    with pytest.raises(InputError, match="other landmarks"):
        evaluate.run(evaluate.Config(run=str(trained[0]), data=str(other)))
