"""The loop on a tiny network."""

import math
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.training import checkpoints, loop, strategy
from tests.training import cases
from tests.training.cases import BATCH, STEPS, fit, make_trainer


@pytest.fixture(scope="module")
def one():
    return strategy.create("one")


def test_it_learns(one):
    trainer = make_trainer(one)
    fit(trainer, one, epochs=1)
    early = trainer.metrics()
    fit(trainer, one, epochs=10, first_step=STEPS)
    late = trainer.metrics()
    assert late["loss"] < early["loss"] / 2
    assert late["accuracy"] > 0.9


def test_steps_in_one_call_change_nothing(one):
    single = fit(make_trainer(one), one)
    several = fit(make_trainer(one), one, steps_per_call=3)  # 3 + 2 an epoch
    cases.assert_same(several, single)


def test_callbacks_are_told_as_by_keras(one):
    """From the midst of the second epoch on, three steps in a call."""
    recorder = cases.Recorder()
    trainer = make_trainer(one)
    fit(
        trainer,
        one,
        epochs=3,
        first_step=STEPS + 1,
        steps_per_call=3,
        callbacks=[recorder],
        validate=lambda: {"gap": 0.5},
    )
    assert [event[:2] for event in recorder.events] == [
        ("epoch begins", 1),
        ("batch begins", 1),
        ("batch ends", 3),
        ("batch begins", 4),
        ("batch ends", 4),
        ("epoch ends", 1),
        ("epoch begins", 2),
        ("batch begins", 0),
        ("batch ends", 2),
        ("batch begins", 3),
        ("batch ends", 4),
        ("epoch ends", 2),
    ]
    logs = recorder.events[-1][2]
    assert logs["val_gap"] == 0.5
    assert logs["learning_rate"] == pytest.approx(0.1)
    assert logs["images_per_second"] > 0
    assert {key: logs[key] for key in ("loss", "accuracy")} == trainer.metrics()


@pytest.mark.parametrize("parts", [1, 2])
def test_waiting_for_data_is_measured(one, parts):
    """A dataset that takes 0.1 s for each part of a batch."""
    pause = 0.1

    def slow(example):
        def wait(x):
            time.sleep(pause)
            return x

        label = example["label"]
        (waited,) = tf.numpy_function(wait, [label], [label.dtype])
        return {**example, "label": tf.ensure_shape(waited, label.shape)}

    size = BATCH // parts
    data = tf.data.Dataset.from_tensor_slices(cases.examples()).repeat()
    data = data.batch(size, drop_remainder=True).map(slow)
    trainer = make_trainer(one, accumulate=parts)
    quick = cases.batches(one, parts=parts)
    trainer.run(quick, 1)  # traces the step
    slowly = iter(one.experimental_distribute_dataset(data))
    trainer.run(slowly, 1)  # fills what is fetched ahead
    begun = time.perf_counter()
    waited = float(trainer.run(slowly, 4))
    seconds = time.perf_counter() - begun
    # What was fetched ahead need not be waited for.
    assert 4 * parts * pause * 0.4 < waited <= seconds
    assert float(trainer.run(quick, 4)) < waited / 4


def test_the_share_of_waiting_is_in_the_logs(one, monkeypatch):
    """What `Trainer.run` says, of all the time that went by."""
    trainer = make_trainer(one)
    run = trainer.run

    def half(batches, steps):
        begun = clock[0]
        run(batches, steps)
        clock[0] = begun + 2.0
        return 1.0

    clock = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(trainer, "run", half)
    recorder = cases.Recorder()
    fit(trainer, one, epochs=2, callbacks=[recorder])
    share = recorder.events[-1][2]["data_wait"]
    assert share == 0.5
    monkeypatch.undo()
    untimed = make_trainer(one, timed=False)
    fit(untimed, one, epochs=1, callbacks=[recorder])
    assert math.isnan(recorder.events[-1][2]["data_wait"])


def test_a_loss_that_is_not_finite_stops_the_run(one):
    trainer = make_trainer(one, learning_rate=1e30)
    with pytest.raises(loop.DivergedError, match="became (nan|inf) .* step 2"):
        fit(trainer, one, epochs=3)
    assert not math.isfinite(trainer.metrics()["loss"])


def test_weights_that_are_not_finite_are_never_saved(one, tmp_path):
    """The last update of an epoch is not in any loss of it."""
    trainer = make_trainer(one, learning_rate=math.inf)
    saver = checkpoints.Checkpoints(tmp_path, trainer.model, trainer, 1)
    with pytest.raises(loop.DivergedError, match="weight .* after step 1"):
        loop.fit(
            trainer,
            cases.batches(one),
            steps_per_epoch=1,
            epochs=1,
            callbacks=keras.callbacks.CallbackList([saver], trainer.model),
        )
    assert not checkpoints.steps_saved(tmp_path)
    assert not (tmp_path / "model.keras").exists()


def test_weights_that_are_not_finite_are_not_saved_in_mid_epoch(one, tmp_path):
    trainer = make_trainer(one, learning_rate=math.inf)
    saver = checkpoints.Checkpoints(
        tmp_path, trainer.model, trainer, 5, every=1, keep=1
    )
    with pytest.raises(loop.DivergedError, match="weight .* after step 1"):
        fit(trainer, one, epochs=1, callbacks=[saver])
    assert not checkpoints.steps_saved(tmp_path)


def test_an_answer_that_is_not_a_number_stops_the_run(one):
    def validate():
        raise FloatingPointError("an answer is not a number")

    expected = f"not a number after step {STEPS}$"
    with pytest.raises(loop.DivergedError, match=expected):
        fit(make_trainer(one), one, epochs=2, validate=validate)


def test_validation_sees_the_averaged_weights(one):
    """And training goes on with its own."""
    trainer = make_trainer(one, ema=0.9)
    seen = []

    def validate():
        seen.append(cases.weights_of(trainer.model))
        return {}

    found = fit(trainer, one, validate=validate)
    averages = [x.numpy() for x in trainer.average.averages]
    cases.assert_same(seen[-1], averages)
    cases.assert_same(found, fit(make_trainer(one), one))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(found, averages))
