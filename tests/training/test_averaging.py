"""The moving average of the weights."""

import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.training import averaging, strategy
from tests.training import cases

DECAY = 0.3  # reached in the fourth update: (1 + s) / (10 + s) > 0.3 at s = 3


def walk(model, count=6):
    """Weights after each of some updates."""
    rng = np.random.default_rng(0)
    return [
        [rng.normal(size=w.shape).astype("float32") for w in model.weights]
        for _ in range(count)
    ]


def by_hand(start, steps, decay=DECAY):
    found = [np.array(w, "float64") for w in start]
    for done, weights in enumerate(steps):
        d = min(decay, (1 + done) / (10 + done))
        found = [d * a + (1 - d) * w for a, w in zip(found, weights)]
    return found


def update(average, devices):
    return tf.function(lambda: devices.run(average.update))


@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_it_follows_the_recurrence(devices):
    """Batch norm's statistics too, and alike on every device."""
    devices = strategy.create(devices)
    with devices.scope():
        model = cases.tiny_model()
        average = averaging.WeightAverage(model, DECAY)
    start, steps = cases.weights_of(model), walk(model)
    assert len(start) == 7  # kernel, gamma, beta, mean, variance, dense
    run = update(average, devices)
    for weights in steps:
        model.set_weights(weights)
        run()
    expected = by_hand(start, steps)
    for variable, wanted in zip(average.averages, expected):
        for copy in devices.experimental_local_results(variable):
            np.testing.assert_allclose(copy, wanted, rtol=1e-5, atol=1e-6)
    assert average.updates.numpy() == len(steps)


def test_it_is_in_place_for_a_while():
    model = cases.tiny_model()
    average = averaging.WeightAverage(model, DECAY)
    own = walk(model, 1)[0]
    model.set_weights(own)
    average.update()
    averaged = [x.numpy() for x in average.averages]
    with average.in_place():
        cases.assert_same(cases.weights_of(model), averaged)
    cases.assert_same(cases.weights_of(model), own)
    with pytest.raises(KeyError), average.in_place():
        raise KeyError
    cases.assert_same(cases.weights_of(model), own)


def test_a_training_updates_it_once_a_step():
    """Against the weights that each step has left; also when accumulating."""
    one = strategy.create("one")
    for parts in (1, 2):
        trainer = cases.make_trainer(one, ema=DECAY, accumulate=parts)
        start, steps = cases.weights_of(trainer.model), []
        batches = cases.batches(one, parts=parts)
        for _ in range(5):
            trainer.run(batches, 1)
            steps.append(cases.weights_of(trainer.model))
        found = [x.numpy() for x in trainer.average.averages]
        cases.assert_near(found, by_hand(start, steps))
