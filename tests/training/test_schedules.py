import fractions
import math
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.training import schedule_factors, schedules


def rates(factors, steps_per_epoch, epochs, learning_rate=1.0):
    """The rate at each step, and at the one after the last."""
    schedule = schedules.Schedule(
        learning_rate, factors, steps_per_epoch, epochs
    )
    return np.array(schedule(np.arange(steps_per_epoch * epochs + 1)))


@pytest.mark.parametrize(
    "factors, expected",
    [
        ((), [2] * 9),
        (("constant",), [2] * 9),
        (("step:0.5:1",), [2, 2, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        # After 1.5 steps, 3, 4.5, 6 and 7.5.
        (
            ("step:0.5:0.75",),
            [2, 2, 1, 0.5, 0.5, 0.25, 0.125, 0.125, 0.0625],
        ),
        (("drop:0.1:2",), [2] * 4 + [0.2] * 5),
        (("drop:0.5:3", "drop:0.1:1"), [2] * 2 + [0.2] * 4 + [0.1] * 3),
        (("drop:0.1:2", "drop:0.1:2"), [2] * 4 + [0.02] * 5),
        (("drop:0.1:5",), [2] * 9),
        (("warmup:2",), [0.5, 1, 1.5] + [2] * 6),
        (("warmup:1.25",), [0.8, 1.6] + [2] * 7),
        (("warmup:2", "drop:0.5:1"), [0.5, 1, 0.75] + [1] * 6),
    ],
)
def test_factors_by_hand(factors, expected):
    found = rates(factors, steps_per_epoch=2, epochs=4, learning_rate=2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cosine_by_hand():
    """At 0, 1/4, 1/2, 3/4 and all of the training."""
    low = (1 - math.sqrt(0.5)) / 2
    found = rates(("cosine",), steps_per_epoch=1, epochs=4)
    np.testing.assert_allclose(found, [1, 1 - low, 0.5, low, 0], rtol=1e-6)
    found = rates(("warmup:3", "cosine"), steps_per_epoch=1, epochs=4)
    expected = [1 / 3, (1 - low) * 2 / 3, 0.5, low, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cosine_agrees_with_keras():
    peer = keras.optimizers.schedules.CosineDecay(0.3, decay_steps=60)
    expected = [float(peer(step)) for step in range(61)]
    found = rates(("cosine",), 12, 5, learning_rate=0.3)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_report_s_drop():
    """From 1e-2 to 1e-3 after 20 epochs, and not a step before."""
    found = rates(("drop:0.1:20",), 457, 30, learning_rate=0.01)
    assert set(found[: 20 * 457]) == {np.float32(0.01)}
    assert set(found[20 * 457 :]) == {np.float32(0.001)}


@pytest.mark.parametrize("epochs", ["0.7", "0.1", "1.1", "2.3333", "0.30"])
@pytest.mark.parametrize("steps_per_epoch", [10, 30, 1001])
def test_decay_comes_on_the_step_it_should(epochs, steps_per_epoch):
    """Against exact fractions; 0.7 * 10 and others are no whole floats."""
    every = fractions.Fraction(epochs) * steps_per_epoch
    found = rates((f"step:0.5:{epochs}",), steps_per_epoch, epochs=3)
    times = [step // every for step in range(3 * steps_per_epoch + 1)]
    np.testing.assert_array_equal(found, np.float32(0.5) ** times)
    found = rates((f"drop:0.5:{epochs}",), steps_per_epoch, epochs=3)
    np.testing.assert_array_equal(found, np.where(np.array(times), 0.5, 1))


def test_ten_million_steps():
    """Boundaries on their step, slopes to seven digits, the end at 0."""
    total = 10_000_000
    last = np.array([0, 1, 9_999_900, total - 1, total, total + 5])
    found = np.array(schedules.Schedule(1, ["cosine"], 10_000, 1000)(last))
    expected = np.sin(np.pi / 2 * (total - np.minimum(last, total)) / total)
    np.testing.assert_allclose(found, expected**2, rtol=1e-6)
    assert found[-1] == 0 < found[-3]
    drop = schedules.Schedule(1, ["drop:0.5:999.9999"], 10_000, 1000)
    found = drop(np.array([total - 2, total - 1]))
    np.testing.assert_array_equal(found, [1, 0.5])
    warmup = schedules.Schedule(1, ["warmup:999"], 10_000, 1000)
    found = np.array(warmup(np.array([0, 9_989_998, 9_989_999])))
    np.testing.assert_allclose(found, [1 / 9.99e6, 1, 1], rtol=2e-7)
    assert found[1] < 1 == found[2]


FACTORS = ("warmup:0.5", "step:0.5:1", "drop:0.1:2.5", "cosine")


def test_any_kind_of_step_gives_the_same():
    schedule = schedules.Schedule(0.1, FACTORS, 4, 5)
    expected = 0.1 * 0.25 * 0.1 * (1 + math.cos(math.pi * 11 / 20)) / 2
    graph = tf.function(schedule)
    compiled = tf.function(schedule, jit_compile=True)
    for found in (
        schedule(11),
        schedule(np.int64(11)),
        schedule(tf.Variable(11, dtype="int64")),
        schedule(keras.Variable(11, dtype="int64")),
        graph(tf.Variable(11, dtype="int64")),
        compiled(tf.constant(11, "int64")),
    ):
        assert found.dtype == "float32" and found.shape == ()
        # From step 10 on: two halvings and a drop.
        assert float(found) == pytest.approx(expected, rel=1e-6)


def test_it_survives_serialisation():
    optimizer = keras.optimizers.SGD(schedules.Schedule(0.1, FACTORS, 4, 5))
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )._learning_rate
    assert type(again) is schedules.Schedule
    assert again.get_config() == {
        "learning_rate": 0.1,
        "factors": list(FACTORS),
        "steps_per_epoch": 4,
        "epochs": 5,
    }
    steps = np.arange(21)
    original = optimizer._learning_rate(steps)
    np.testing.assert_array_equal(again(steps), original)


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "",
            "constant, step:FACTOR:EPOCHS, drop:.*, cosine, warmup:EPOCHS, or",
        ),
        ("linear", "constant, step"),
        ("step", "step:FACTOR:EPOCHS, above 0"),
        ("step:0.1", "step:FACTOR:EPOCHS, above 0"),
        ("step:0.1:2:3", "step:FACTOR:EPOCHS, above 0"),
        ("step:x:2", "step:FACTOR:EPOCHS, above 0"),
        ("drop:0.1:0", "drop:FACTOR:EPOCHS, above 0"),
        ("drop:-1:2", "drop:FACTOR:EPOCHS, above 0"),
        ("drop:nan:2", "drop:FACTOR:EPOCHS, above 0"),
        ("drop:0.1:1e999999999", "drop:FACTOR:EPOCHS, above 0"),
        ("warmup:", "warmup:EPOCHS, above 0"),
        ("warmup:inf", "warmup:EPOCHS, above 0"),
        ("warmup:1/3", "warmup:EPOCHS, above 0"),
        ("cosine:3", "cosine, without a number"),
    ],
)
def test_what_is_no_factor_is_refused(text, expected):
    with pytest.raises(InputError) as caught:
        schedule_factors.parse(("cosine", text))
    message = str(caught.value)
    assert message.endswith(f"Received: {text!r}") and "\n" not in message
    caught.match("^--schedule: expected " + expected)


def test_a_decay_more_often_than_each_step_is_refused():
    with pytest.raises(InputError, match="at least a step.* Received: 0.01"):
        schedules.Schedule(0.1, ["step:0.5:0.01"], 99, 5)
    found = rates(("step:0.5:0.01",), steps_per_epoch=100, epochs=1)
    np.testing.assert_allclose(found[:3], [1, 0.5, 0.25])


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (2**16, 2**15)])
def test_a_training_of_no_size_is_refused(size):
    with pytest.raises(ValueError, match=f"Received: {size[0]} and {size[1]}"):
        schedules.Schedule(0.1, ["cosine"], *size)


def test_settings_are_checked_without_tensorflow():
    script = """
        import sys
        from landmark_tf.training import schedule_factors
        schedule_factors.parse(["warmup:1", "cosine"])
        assert not {"keras", "tensorflow", "numpy"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_jax_gives_the_same():
    pytest.importorskip("jax")
    script = f"""
        import jax, keras
        from landmark_tf.training import schedules
        assert keras.backend.backend() == "jax"
        schedule = schedules.Schedule(0.1, {FACTORS!r}, 4, 5)
        rate = jax.jit(schedule)
        print(*(float(rate(step)) for step in range(21)))
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    np.testing.assert_allclose(
        np.array(found.stdout.split(), float),
        rates(FACTORS, 4, 5, learning_rate=0.1),
        rtol=1e-5,
        atol=1e-9,
    )
