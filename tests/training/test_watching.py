"""What TensorBoard and the history hold of a training."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from landmark_tf import InputError
from landmark_tf.training import (
    evaluation,
    strategy,
    tensorboard,
    watching,
)
from tests.training import cases
from tests.training.cases import STEPS


class Outcomes:
    """In place of an evaluator: five pictures, two answers are right."""

    table = pd.DataFrame({"label": [0, 1, 2, 0, -1]})
    latest = None

    def __call__(self):
        self.latest = evaluation.Outcome(
            predicted=np.array([0, 1, 0, 1, 1]),
            confidence=np.array([0.9, 0.8, 0.1, 0.2, 0.3], "float32"),
            loss=np.zeros(5, "float32"),
            in_top5=np.ones(5, bool),
        )
        return {"gap": 0.5}


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Of two epochs of 5 steps with everything that can be asked for."""
    run = tmp_path_factory.mktemp("runs") / "run"
    run.mkdir()
    one = strategy.create("one")
    trainer = cases.make_trainer(one)
    asked = cases.settings_of(run, log_every=2, profile=(3, 4))
    evaluator = Outcomes()
    pictures = cases.examples(4)["image"]
    recorder = cases.Recorder()
    shown = watching.callbacks(run, asked, STEPS, 0, pictures, evaluator)
    cases.fit(
        trainer, one, epochs=2, callbacks=[*shown, recorder], validate=evaluator
    )
    return run / "logs", recorder.events


def read(folder):
    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={event_accumulator.TENSORS: 0}
    )
    return events.Reload()


def points(events, tag):
    """The steps and the values of a scalar."""
    found = events.Tensors(tag)
    values = [float(tf.make_ndarray(x.tensor_proto)) for x in found]
    return [x.step for x in found], values


def test_the_curves_of_the_epochs(logs):
    folder, told = logs
    ends = [event[2] for event in told if event[0] == "epoch ends"]
    train = read(folder / "train")
    for name in (
        "loss",
        "accuracy",
        "learning_rate",
        "images_per_second",
        "data_wait",
    ):
        steps, values = points(train, f"epoch_{name}")
        assert steps == [0, 1]
        assert values == pytest.approx([x[name] for x in ends], rel=1e-5)
    steps, values = points(read(folder / "validation"), "epoch_gap")
    assert steps == [0, 1] and values == [0.5, 0.5]


def test_the_points_between(logs):
    """Every second of 5 steps: the first, third and fifth of each epoch.

    The mean of what lies between two points, from the means so far.
    """
    folder, told = logs
    steps, values = points(read(folder / "train"), "step_loss")
    assert steps == [1, 3, 5, 6, 8, 10]
    means = [x[2]["loss"] for x in told if x[0] == "batch ends"]
    assert len(means) == 2 * STEPS
    expected = []
    for start in (0, STEPS):
        totals = [means[start + i] * (i + 1) for i in range(STEPS)]
        expected += [totals[0], *(np.diff(totals[::2]) / 2)]
    assert values == pytest.approx(expected, rel=1e-5)
    tags = read(folder / "train").Tags()["tensors"]
    for name in ("accuracy", "learning_rate", "images_per_second", "data_wait"):
        assert f"step_{name}" in tags


def test_how_confident_right_and_wrong_answers_are(logs):
    events = read(logs[0] / "validation")
    for name, count, range_ in (
        ("right", 2, (0.8, 0.9)),
        ("wrong", 3, (0.1, 0.3)),
    ):
        found = events.Tensors(f"confidence_{name}")
        assert [x.step for x in found] == [0, 1]
        buckets = tf.make_ndarray(found[-1].tensor_proto)  # left, right, count
        assert buckets[:, 2].sum() == count
        filled = buckets[buckets[:, 2] > 0]
        assert filled[0, 0] <= range_[0] + 1e-6
        assert filled[-1, 1] >= range_[1] - 1e-6


def test_settings_and_a_batch_of_pictures(logs):
    events = read(logs[0])
    summary = events.SummaryMetadata("_hparams_/session_start_info")
    content = plugin_data_pb2.HParamsPluginData.FromString(
        summary.plugin_data.content
    )
    found = content.session_start_info.hparams
    assert found["learning_rate"].string_value == "0.01"
    assert found["log_every"].string_value == "2"
    found = events.Tensors("augmented")
    width, height, *pictures = tf.make_ndarray(found[0].tensor_proto)
    assert (width, height) == (b"8", b"8")
    decoded = [tf.io.decode_png(x).numpy() for x in pictures]
    np.testing.assert_array_equal(decoded, cases.examples(4)["image"])


def test_a_profile_of_some_steps(logs):
    files = list((logs[0] / "plugins" / "profile").rglob("*.xplane.pb"))
    assert len(files) == 1 and files[0].stat().st_size > 1000


@pytest.mark.parametrize(
    "call, first, last, expected",
    [
        (1, 3, 4, [(2, "start"), (3, "stop")]),
        (5, 3, 4, [(0, "start"), (4, "stop")]),
        (5, 6, 12, [(5, "start"), (14, "stop")]),
    ],
)
def test_a_profile_takes_whole_calls(
    call, first, last, expected, tmp_path, monkeypatch
):
    told, now = [], []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(
        profiler, "start", lambda _: told.append((now[-1], "start"))
    )
    monkeypatch.setattr(
        profiler, "stop", lambda: told.append((now[-1], "stop"))
    )
    profile = tensorboard.Profile(tmp_path, 20, call, first, last)
    profile.on_epoch_begin(0)
    for batch in range(0, 20, call):
        now.append(batch)
        profile.on_train_batch_begin(batch)
        now.append(batch + call - 1)
        profile.on_train_batch_end(batch + call - 1)
    profile.on_train_end()
    assert told == expected


@pytest.mark.parametrize(
    "first_step, kept", [(15, "012"), (12, "01"), (10, "01"), (3, "")]
)
def test_epochs_that_are_done_again_leave_the_history(
    tmp_path, first_step, kept
):
    history = tmp_path / "history.csv"
    text = "epoch,loss\n0,1.0\n1,0.5\n2,0.25\n"
    history.write_text(text, newline="")
    watching.callbacks(tmp_path, cases.settings_of(tmp_path), 5, first_step)
    if not kept:
        assert not history.exists()
        return
    rows = history.read_text().splitlines()
    assert rows == text.splitlines()[: 1 + len(kept)]


def test_a_history_has_what_was_measured(tmp_path):
    path = tmp_path / "history.csv"
    history = watching.History(path)
    history.on_epoch_end(0, {"loss": 0.1, "accuracy": 1 / 3})
    assert path.read_text() == f"epoch,accuracy,loss\n0,{1 / 3},0.1\n"
    history.on_epoch_end(1, {"loss": 0.5, "accuracy": 1, "val_gap": 0.25})
    assert path.read_text().splitlines() == [
        "epoch,accuracy,loss,val_gap",
        f"0,{1 / 3},0.1,",
        "1,1,0.5,0.25",
    ]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damaged", [b"loss\n1\n", b"epoch\nx\n", b"epoch,a\n\xff,1\n", b"\0\n1\n"]
)
def test_a_damaged_history_is_named(tmp_path, damaged):
    path = tmp_path / "history.csv"
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=f"move the file away.*{path}"):
        watching.drop_epochs(path, 3)
    assert path.read_bytes() == damaged


def test_nothing_is_asked_for(tmp_path):
    """Neither steps nor profile, no pictures, no validation."""
    one = strategy.create("one")
    shown = watching.callbacks(tmp_path, cases.settings_of(tmp_path), STEPS, 0)
    trainer = cases.make_trainer(one)
    cases.fit(trainer, one, epochs=1, callbacks=shown)
    train = read(tmp_path / "logs" / "train").Tags()["tensors"]
    assert "epoch_loss" in train
    assert not [tag for tag in train if tag.startswith("step_")]
    assert not (tmp_path / "logs" / "validation").exists()
    assert not (tmp_path / "logs" / "plugins").exists()
