"""A training that is cut short goes on to the same end."""

import csv
import signal
import threading

import keras
import numpy as np
import pytest

from landmark_tf import InputError, Preempted
from landmark_tf.training import checkpoints, loop, preemption, strategy
from tests.training import cases
from tests.training.cases import STEPS, fit, make_trainer

# All that a state may have to hold: Adam's slots, averages, a loss scale.
FULL = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "ema": 0.9,
    "policy": "mixed_float16",
    "accumulate": 2,
}


@pytest.fixture(scope="module")
def one():
    return strategy.create("one")


def history(run):
    """The rows of the history, without what depends on the clock."""
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_second"], row["data_wait"]
    return rows


def saver_of(run, trainer, **changes):
    return checkpoints.Checkpoints(
        run, trainer.model, trainer, STEPS, **changes
    )


@pytest.fixture(scope="module")
def whole(one, tmp_path_factory):
    """An undisturbed training of 3 epochs: run directory, final variables."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    trainer = make_trainer(one, **FULL)
    fit(trainer, one, run, parts=2)
    return run, cases.variables_of(trainer)


@pytest.mark.parametrize("after_step", [7, 10])
def test_a_resumed_training_equals_an_undisturbed_one(
    one, tmp_path, whole, after_step
):
    """States of every second step; cut in an epoch, and at the end of one."""
    run, saving = tmp_path / "cut", {"every": 2}
    with pytest.raises(KeyboardInterrupt):
        cut = cases.AfterStep(after_step, cases.interrupt)
        trainer = make_trainer(one, **FULL)
        fit(trainer, one, run, parts=2, saving=saving, callbacks=[cut])
    newest = {7: 6, 10: 8}[after_step]  # the 10th step's comes with its epoch
    assert checkpoints.steps_saved(run)[-1] == newest
    trainer = make_trainer(one, **FULL)
    fit(trainer, one, run, parts=2, saving=saving)
    expected, variables = whole
    cases.assert_same(cases.variables_of(trainer), variables)
    assert history(run) == history(expected)
    assert [row["epoch"] for row in history(run)] == ["0", "1", "2"]
    first, second = (
        keras.saving.load_model(folder / "model.keras")
        for folder in (run, expected)
    )
    cases.assert_same(first.get_weights(), second.get_weights())


@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_a_state_holds_everything_to_the_bit(devices, tmp_path):
    devices = strategy.create(devices)
    trainer = make_trainer(devices, **FULL)
    trainer.run(cases.batches(devices, parts=2), 3)
    trainer.scale.value.assign(2.0**7)
    saver_of(tmp_path, trainer)._save(3)
    expected = cases.variables_of(trainer)
    other = make_trainer(devices, **FULL)
    fresh = cases.variables_of(other)
    assert sum((a != b).any() for a, b in zip(fresh, expected)) > 20
    saver = saver_of(tmp_path, other)
    assert saver.restore(3) and saver.step == 3
    cases.assert_same(cases.variables_of(other), expected)
    assert other.scale.value.numpy() == 2.0**7
    assert other.metrics() == trainer.metrics()


def test_as_many_states_are_kept_as_asked_for(one, tmp_path):
    """Of 10 steps, with one every third: 3, 5 (an epoch), 6, 9 and 10."""
    fit(
        make_trainer(one),
        one,
        tmp_path,
        epochs=2,
        saving={"every": 3, "keep": 3},
    )
    assert checkpoints.steps_saved(tmp_path) == [6, 9, 10]
    assert len(list(tmp_path.glob("checkpoints/*.index"))) == 3


def test_a_damaged_checkpoint_is_named_and_passed_over(one, tmp_path, capsys):
    fit(make_trainer(one), one, tmp_path, epochs=2)
    newest = sorted(tmp_path.glob("checkpoints/step-10.data*"))[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 255
    newest.write_bytes(data)
    saver = saver_of(tmp_path, make_trainer(one))
    assert checkpoints.restore_newest(tmp_path, lambda step: saver) is saver
    assert saver.step == 5
    assert "step-10 cannot be read" in capsys.readouterr().out
    for file in tmp_path.glob("checkpoints/step-5.data*"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="no state .* can be read"):
        checkpoints.restore_newest(tmp_path, lambda step: saver)


def test_each_state_is_read_by_the_saver_of_its_stage(one, tmp_path, capsys):
    """The newest is damaged and of another stage, with other variables."""
    first, second = make_trainer(one), make_trainer(one, optimizer="adam")
    saver_of(tmp_path, first)._save(5)
    later = saver_of(tmp_path, second)
    later._save(10)
    for file in tmp_path.glob("checkpoints/step-10.data*"):
        file.write_bytes(b"")
    asked = []

    def choose(step):
        asked.append(step)
        return saver_of(tmp_path, second if step > 5 else first)

    found = checkpoints.restore_newest(tmp_path, choose)
    assert asked == [10, 5] and found.step == 5
    assert capsys.readouterr().out.count("cannot be read") == 1


def test_there_may_be_no_state(tmp_path):
    assert checkpoints.steps_saved(tmp_path) == []
    assert checkpoints.restore_newest(tmp_path, saver_of) is None


def test_the_best_by_validation_gap_is_kept(one, tmp_path):
    """Its weights are the averaged ones; and of equals the first is kept."""
    trainer = make_trainer(one, ema=0.9)
    scores = iter([0.2, 0.5, 0.5, 0.4])
    averages = []

    def validate():
        averages.append(cases.weights_of(trainer.model))
        return {"gap": next(scores)}

    fit(trainer, one, tmp_path, epochs=4, validate=validate)
    best = keras.saving.load_model(tmp_path / "model.keras")
    cases.assert_same(best.get_weights(), averages[1])
    assert not np.array_equal(averages[1][0], averages[2][0])
    assert not np.array_equal(averages[1][0], trainer.model.get_weights()[0])


@pytest.mark.parametrize("step", [7, 10])
def test_a_training_that_is_asked_to_stop_saves_and_ends(
    one, tmp_path, whole, step
):
    """At once; at the end of an epoch, after what belongs to it."""
    asked = threading.Event()
    trainer = make_trainer(one, **FULL)
    with pytest.raises(Preempted, match=f"stopped .* after step {step};"):
        fit(
            trainer,
            one,
            tmp_path,
            parts=2,
            saving={"stop": asked.is_set},
            callbacks=[cases.AfterStep(step, asked.set)],
        )
    assert checkpoints.steps_saved(tmp_path)[-1] == step
    assert len(history(tmp_path)) == step // STEPS
    trainer = make_trainer(one, **FULL)
    fit(trainer, one, tmp_path, parts=2)
    cases.assert_same(cases.variables_of(trainer), whole[1])
    assert history(tmp_path) == history(whole[0])


def test_the_last_good_state_outlives_a_divergence(one, tmp_path):
    """The learning rate becomes absurd after step 7."""
    trainer = make_trainer(one)

    def spoil():
        trainer.optimizer.learning_rate = 1e30

    with pytest.raises(loop.DivergedError, match="at or before step 9"):
        fit(
            trainer,
            one,
            tmp_path,
            saving={"every": 1},
            callbacks=[cases.AfterStep(7, spoil)],
        )
    saved = checkpoints.steps_saved(tmp_path)
    assert saved[-1] in (7, 8)
    again = make_trainer(one)
    saver = checkpoints.restore_newest(
        tmp_path, lambda step: saver_of(tmp_path, again)
    )
    assert saver.step == saved[-1]
    assert again.is_finite()


def test_sigterm_is_taken_note_of_only_while_watched():
    before = signal.getsignal(signal.SIGTERM)
    with preemption.watched() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_random_state_of_dropout_goes_on(one, tmp_path):
    def make():
        with one.scope():
            model = cases.tiny_model(dropout=0.5)
        return make_trainer(one, model=model)

    first, second = make(), make()
    fit(first, one, epochs=1, callbacks=[saver_of(tmp_path, first)])
    model = second.model
    assert len(model.variables) > len(model.weights)
    with pytest.raises(AssertionError):
        cases.assert_same(first.model.variables, model.variables)
    assert saver_of(tmp_path, second).restore(STEPS)
    cases.assert_same(first.model.variables, model.variables)
