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
from landmark_tf.training import optimizers, schedules

STEPS = 20
RATE, DECAY = 0.05, 0.1
# At step s the rate is RATE * min(1, (s + 1) / 4), from step 10 on its half.
SCHEDULE = ("warmup:0.4", "drop:0.5:1")


def make(name, rate=RATE):
    return optimizers.create(name, rate, momentum=0.9, weight_decay=DECAY)


def scheduled():
    return schedules.Schedule(RATE, SCHEDULE, steps_per_epoch=10, epochs=2)


def rates_by_hand():
    return [
        RATE * min(1, (s + 1) / 4) * (0.5 if s >= 10 else 1)
        for s in range(STEPS)
    ]


def start():
    """A kernel and a bias."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, 2)), rng.normal(size=2)]


def gradients():
    """Of every step; soon small, so that AMSGrad has something to keep."""
    rng = np.random.default_rng(1)
    sizes = np.geomspace(3, 0.003, STEPS)
    return [[s * rng.normal(size=w.shape) for w in start()] for s in sizes]


def by_hand(name, rates, epsilon=1e-8):
    """The weights after STEPS steps, in float64, from the papers' formulas."""
    found = []
    for i, w in enumerate(start()):
        decay = DECAY if w.ndim > 1 else 0
        momentum, square, greatest = 0, 0, 0
        for step, (rate, gradient) in enumerate(zip(rates, gradients()), 1):
            g = gradient[i] + (0 if name == "adamw" else decay * w)
            if name == "sgd":
                momentum = 0.9 * momentum - rate * g
                w = w + momentum
                continue
            momentum = 0.9 * momentum + 0.1 * g
            square = 0.999 * square + 0.001 * g**2
            greatest = np.maximum(greatest, square)
            second = greatest if name == "adam" else square
            rescale = math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            shrunk = w - rate * decay * w if name == "adamw" else w
            w = shrunk - rate * rescale * momentum / (np.sqrt(second) + epsilon)
        found.append(w)
    return found


def update(optimizer, steps=STEPS, compiled=True):
    """The weights after some steps."""
    weights = [keras.Variable(w) for w in start()]
    optimizer.build(weights)
    apply = tf.function(optimizer.apply) if compiled else optimizer.apply
    for gradient in gradients()[:steps]:
        apply([tf.constant(g, "float32") for g in gradient])
    return [w.numpy() for w in weights]


def assert_near(found, expected, rtol=1e-5):
    assert len(found) == len(expected) == 2
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def test_sgd_by_hand():
    """Two steps with gradient 1: the decay goes through the momentum."""
    kernel = keras.Variable(np.full((1, 1), 2.0), name="kernel")
    bias = keras.Variable(np.full((1,), 2.0), name="bias")
    optimizer = optimizers.SGD(0.1, momentum=0.5, l2=0.25)
    optimizer.build([kernel, bias])
    one = np.ones((1, 1), "float32"), np.ones((1,), "float32")
    optimizer.apply(one)
    # kernel: g = 1 + 0.25 * 2 = 1.5, v = -0.15, w = 1.85; bias: w = 1.9
    np.testing.assert_allclose([kernel.numpy().item()], [1.85], rtol=1e-6)
    np.testing.assert_allclose([bias.numpy().item()], [1.9], rtol=1e-6)
    optimizer.apply(one)
    # g = 1 + 0.25 * 1.85 = 1.4625, v = -0.075 - 0.14625, w = 1.62875
    # bias: v = -0.05 - 0.1, w = 1.75
    np.testing.assert_allclose([kernel.numpy().item()], [1.62875], rtol=1e-6)
    np.testing.assert_allclose([bias.numpy().item()], [1.75], rtol=1e-6)


@pytest.mark.parametrize("name, expected", [("adam", 1.9), ("adamw", 1.88)])
def test_adam_by_hand(name, expected):
    """A first step is the rate long; decoupled decay comes on top of it.

    Coupled, the gradient 1 + 0.1 * 2 is divided by itself.
    """
    kernel, bias = keras.Variable([[2.0]]), keras.Variable([2.0])
    optimizer = make(name, rate=0.1)
    optimizer.build([kernel, bias])
    optimizer.apply([np.ones((1, 1), "float32"), np.ones((1,), "float32")])
    assert kernel.numpy().item() == pytest.approx(expected, rel=1e-5)
    assert bias.numpy().item() == pytest.approx(1.9, rel=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", optimizers.NAMES)
def test_formulas(name, compiled):
    found = update(make(name), compiled=compiled)
    assert_near(found, by_hand(name, [RATE] * STEPS))
    found = update(make(name, scheduled()), compiled=compiled)
    assert_near(found, by_hand(name, rates_by_hand()))


def test_epsilon_stands_before_the_bias_correction():
    found = update(optimizers.Adam(RATE, l2=DECAY, epsilon=0.01))
    assert_near(found, by_hand("adam", [RATE] * STEPS, epsilon=0.01))
    found = update(optimizers.AdamW(RATE, decay=DECAY, epsilon=0.01))
    assert_near(found, by_hand("adamw", [RATE] * STEPS, epsilon=0.01))


def test_amsgrad_is_on_for_adam_and_can_be_chosen():
    plain, kept = (
        update(optimizers.Adam(RATE, amsgrad=amsgrad))[0]
        for amsgrad in (False, True)
    )
    assert np.abs(plain - kept).max() > 1e-4  # much, to `assert_near`
    np.testing.assert_array_equal(kept, update(optimizers.Adam(RATE))[0])


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_it_equals_torch(name):
    torch = pytest.importorskip("torch")
    weights = [torch.tensor(w, requires_grad=True) for w in start()]
    groups = [
        {"params": weights[:1], "weight_decay": DECAY},
        {"params": weights[1:], "weight_decay": 0.0},
    ]
    peer = {
        "sgd": lambda: torch.optim.SGD(groups, RATE, momentum=0.9),
        "adam": lambda: torch.optim.Adam(groups, RATE, amsgrad=True),
        "adamw": lambda: torch.optim.AdamW(groups, RATE),
    }[name]()
    for gradient in gradients():
        for weight, g in zip(weights, gradient):
            weight.grad = torch.tensor(g)
        peer.step()
    assert_near(update(make(name)), [w.detach().numpy() for w in weights])


@pytest.mark.parametrize("rate", [RATE, scheduled()], ids=["float", "schedule"])
@pytest.mark.parametrize("name", optimizers.NAMES)
def test_two_replicas_share_one_update(name, rate, mirrored):
    """Each has a part of every gradient: a fourth, and three fourths."""
    with mirrored.scope():
        weights = [keras.Variable(w) for w in start()]
        optimizer = make(name, rate)
        optimizer.build(weights)

    @tf.function
    def step(gradient):
        def one_replica():
            replica = tf.distribute.get_replica_context()
            half = tf.cast(replica.replica_id_in_sync_group, "float32") / 2
            optimizer.apply([(0.25 + half) * g for g in gradient])

        mirrored.run(one_replica)

    for gradient in gradients():
        step([tf.constant(g, "float32") for g in gradient])
    rates = [RATE] * STEPS if rate == RATE else rates_by_hand()
    expected = by_hand(name, rates)
    assert int(optimizer.iterations.numpy()) == STEPS
    for weight, wanted in zip(weights, expected):
        copies = mirrored.experimental_local_results(weight.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_allclose(copy, wanted, rtol=1e-5, atol=1e-6)


def test_jax_gives_the_same():
    pytest.importorskip("jax")
    script = """
        import jax, keras, numpy as np
        from landmark_tf.training import optimizers
        from tests.training import test_optimizers as cases
        assert keras.backend.backend() == "jax"
        for name in optimizers.NAMES:
            weights = [keras.Variable(w) for w in cases.start()]
            optimizer = cases.make(name, cases.scheduled())
            optimizer.build(weights)
            states = [v.value for v in optimizer.variables]
            values = [w.value for w in weights]
            step = jax.jit(optimizer.stateless_apply)
            for gradient in cases.gradients():
                gradient = [g.astype("float32") for g in gradient]
                values, states = step(states, gradient, values)
            cases.assert_near(
                values, cases.by_hand(name, cases.rates_by_hand())
            )
        large, small = optimizers.clip_by_global_norm(
            [np.full((2, 2), 3.0, "float32"), np.array([8.0], "float32")], 5
        )
        np.testing.assert_allclose(large, np.full((2, 2), 1.5))
        np.testing.assert_allclose(small, [4])
        print("done")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert found.stdout == "done\n", found.stderr[-2000:]


def test_its_settings_survive_serialisation():
    optimizer = optimizers.SGD(0.1, momentum=0.5, l2=0.25)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert isinstance(again, optimizers.SGD)
    assert (again.momentum, again.l2) == (0.5, 0.25)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_it_goes_on_alike_after_serialisation(name):
    optimizer = make(name, scheduled())
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    for a, b in zip(update(optimizer), update(again)):
        np.testing.assert_array_equal(a, b)


def test_momentum_is_beta_1_of_adam():
    for name in ("adam", "adamw"):
        optimizer = optimizers.create(name, 1, momentum=0, weight_decay=0)
        assert optimizer.beta_1 == 0 and float(optimizer.learning_rate) == 1
    optimizer = optimizers.create("sgd", 1, momentum=0, weight_decay=0)
    assert optimizer.momentum == 0


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="sgd, adam, adamw. Received: 'lamb'"):
        make("lamb")


@pytest.mark.parametrize("max_norm, factor", [(5.0, 0.5), (10.0, 1), (99.0, 1)])
def test_clipping_by_hand(max_norm, factor):
    """Four times 3 and one 8: the norm of all is 10."""
    gradients = [tf.fill((2, 2), 3.0), tf.constant([8.0], "bfloat16")]
    found = optimizers.clip_by_global_norm(gradients, max_norm)
    np.testing.assert_allclose(found[0], np.full((2, 2), 3 * factor))
    np.testing.assert_allclose(tf.cast(found[1], "float32"), [8 * factor])
    assert [x.dtype for x in found] == ["float32", "bfloat16"]


@pytest.mark.parametrize("jit", [False, True])
def test_clipping_agrees_with_tensorflow(jit):
    values = [tf.constant(g, "float32") for g in gradients()[0]]
    clip = tf.function(optimizers.clip_by_global_norm, jit_compile=jit)
    found, expected = clip(values, 0.7), tf.clip_by_global_norm(values, 0.7)[0]
    assert_near(found, expected, rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_a_norm_that_is_not_finite_is_not_hidden(bad, jit):
    values = [tf.constant([1.0, 2.0]), tf.constant([bad])]
    clip = tf.function(optimizers.clip_by_global_norm, jit_compile=jit)
    for found in clip(values, 1.0):
        assert np.isnan(found).all()


def test_gradients_of_zero_stay_zero():
    found = optimizers.clip_by_global_norm([tf.zeros((2, 2))], 1.0)
    np.testing.assert_array_equal(found[0], np.zeros((2, 2)))


@pytest.mark.parametrize("bad", [0, -1.0, math.nan])
def test_a_norm_to_clip_to_must_be_one(bad):
    with pytest.raises(ValueError, match=f"max_norm .* Received: {bad}"):
        optimizers.clip_by_global_norm([tf.ones(2)], bad)
