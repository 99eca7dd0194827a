"""One training step, checked by hand and against other ways to compute it."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.models import registry
from landmark_tf.training import imbalance, losses, strategy
from tests.models import cases as networks
from tests.training import cases
from tests.training.cases import BATCH, CLASSES, STEPS, examples, make_trainer


@pytest.fixture(scope="module")
def one():
    return strategy.create("one")


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def train(devices, steps=6, parts=1, batch_size=BATCH, **settings):
    """A trainer after some steps on the tiny network."""
    trainer = make_trainer(
        devices, accumulate=parts, batch_size=batch_size, **settings
    )
    batches = cases.batches(devices, batch_size=batch_size, parts=parts)
    trainer.run(batches, steps)
    return trainer


def weights_after(*args, **settings):
    return cases.weights_of(train(*args, **settings).model)


def test_one_step_by_hand(one):
    """The dense layer's bias after a step: -lr * mean(softmax - onehot)."""
    model = cases.tiny_model()
    batch = examples(BATCH)
    p = softmax(model(batch["image"], training=True).numpy())
    expected = -0.5 * (p - np.eye(CLASSES)[batch["label"]]).mean(axis=0)
    trainer = train(one, 1, learning_rate=0.5)
    bias = trainer.model.get_layer("logits").bias.numpy()
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-6)
    assert trainer.metrics()["loss"] == pytest.approx(
        -np.log(p[np.arange(BATCH), batch["label"]]).mean(), rel=1e-5
    )


def test_two_devices_equal_one(one, mirrored):
    """20 steps with synchronised batch norm: equal weights to 1e-5."""
    assert mirrored.num_replicas_in_sync == 2
    cases.assert_near(
        weights_after(mirrored, 20), weights_after(one, 20), rtol=1e-4
    )


def test_pictures_of_no_landmark_count_for_nothing(one):
    """Two of a class, six of none: only the first two are averaged."""
    batch = examples(BATCH)
    batch["label"] = np.where(np.arange(BATCH) < 2, batch["label"], -1)
    model = cases.tiny_model()
    p = softmax(model(batch["image"], training=True).numpy()[:2])
    trainer = make_trainer(one)
    trainer.run(cases.batches(one, data=batch), 1)
    found = trainer.metrics()
    expected = -np.log(p[np.arange(2), batch["label"][:2]]).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    correct = p.argmax(axis=1) == batch["label"][:2]
    assert found["accuracy"] == pytest.approx(correct.mean())


@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_parts_of_a_batch_equal_the_whole(devices, one):
    """Four parts of 2, on two devices of 1: without batch norm the same."""
    whole = train(one, normalised=False)
    parts = train(strategy.create(devices), parts=4, normalised=False)
    expected = cases.weights_of(whole.model)
    cases.assert_near(cases.weights_of(parts.model), expected)
    assert parts.metrics() == pytest.approx(whole.metrics(), rel=1e-5)
    assert int(parts.optimizer.iterations.numpy()) == 6
    start = cases.weights_of(cases.tiny_model(normalised=False))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(start, expected))


def clipped_by_hand(model, max_norm, steps, rate=0.1):
    """SGD with momentum whose gradient of the whole batch is clipped."""
    speeds = [np.zeros(w.shape) for w in model.weights]
    norms = []
    for step in range(steps):
        rows = np.arange(step * BATCH, (step + 1) * BATCH)
        rows %= BATCH * STEPS
        batch = {key: x[rows] for key, x in examples().items()}
        with tf.GradientTape() as tape:
            logits = model(batch["image"], training=True)
            each = keras.losses.sparse_categorical_crossentropy(
                batch["label"], logits, from_logits=True
            )
            loss = tf.reduce_mean(each)
        variables = [w.value for w in model.weights]
        gradients = [g.numpy() for g in tape.gradient(loss, variables)]
        norms.append(np.sqrt(sum((g**2).sum() for g in gradients)))
        scale = min(1, max_norm / norms[-1])
        for speed, gradient, weight in zip(speeds, gradients, model.weights):
            w = weight.numpy()
            decay = 1e-3 * w if w.ndim > 1 else 0
            speed *= 0.9
            speed -= rate * (scale * gradient + decay)
            weight.assign(w + speed)
    return cases.weights_of(model), norms


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_the_norm_of_the_whole_gradient_is_clipped(devices, parts):
    """That of the sum over devices and parts, in some steps of six."""
    model = cases.tiny_model(normalised=False)
    expected, norms = clipped_by_hand(model, 0.31, 6)
    assert min(norms) < 0.3 and max(norms) > 0.32
    found = weights_after(
        strategy.create(devices), parts=parts, normalised=False, clip_norm=0.31
    )
    cases.assert_near(found, expected)


def untouched(trainer):
    """What an update left out must leave as it is."""
    found = [*trainer.model.weights, *trainer.optimizer.variables]
    return [
        tf.convert_to_tensor(x).numpy()
        for x in [*(x.value for x in found), *trainer.average.variables]
    ]


@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_an_update_with_an_overflow_is_left_out(devices):
    """On all devices, though but the first sees it: the other has no label."""
    devices = strategy.create(devices)
    trainer = make_trainer(
        devices, policy="mixed_float16", normalised=False, ema=0.5
    )
    batch = examples(BATCH)
    batch["label"][BATCH // 2 :] = -1
    batches = cases.batches(devices, data=batch)
    trainer.run(batches, 1)
    before = untouched(trainer)
    assert trainer.scale.value.numpy() == 2.0**15
    trainer.scale.value.assign(2.0**24)
    trainer.run(batches, 1)
    cases.assert_same(untouched(trainer), before)
    assert trainer.scale.value.numpy() == 2.0**23
    trainer.run(batches, 12)  # it comes down until updates are possible
    assert 2.0**13 <= trainer.scale.value.numpy() <= 2.0**20
    after = untouched(trainer)
    changed = [(a != b).any() for a, b in zip(after, before)]
    assert changed.count(False) == 1  # the learning rate
    assert all(np.isfinite(x).all() for x in after)


@pytest.mark.parametrize(
    "policy, tolerance", [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)]
)
def test_lower_precision_stays_near_float32(one, policy, tolerance):
    """Their numbers have 11 and 8 binary digits; weights stay float32."""
    expected = train(one, 20)
    found = train(one, 20, policy=policy)
    assert found.model.get_layer("conv1").compute_dtype == policy[6:]
    assert {w.dtype for w in found.model.weights} == {"float32"}
    cases.assert_near(
        cases.weights_of(found.model),
        cases.weights_of(expected.model),
        atol=tolerance,
        rtol=tolerance,
    )
    for key, value in expected.metrics().items():
        assert found.metrics()[key] == pytest.approx(value, abs=tolerance)


def weighted_focal():
    loss = functools.partial(losses.focal, gamma=2.0, label_smoothing=0.1)
    return imbalance.weighted(loss, np.array([0.5, 1.0, 1.5]))


@pytest.mark.parametrize("parts", [1, 2])
def test_compiled_by_xla_it_is_the_same(one, parts):
    """With all that a step can have."""
    compiled, plain = (
        train(
            one,
            parts=parts,
            loss=weighted_focal(),
            clip_norm=0.1,
            ema=0.5,
            jit=jit,
        )
        for jit in (True, False)
    )
    cases.assert_near(cases.variables_of(compiled), cases.variables_of(plain))
    assert compiled.metrics() == pytest.approx(plain.metrics(), rel=1e-5)


def test_compiled_by_xla_float16_is_the_same(one):
    compiled, plain = (
        train(one, policy="mixed_float16", jit=jit) for jit in (True, False)
    )
    cases.assert_near(
        cases.weights_of(compiled.model),
        cases.weights_of(plain.model),
        atol=2e-3,
        rtol=2e-3,
    )


def network(name):
    """A narrow variant, or MobileNetV2, at 32 pixels."""
    if name == "mobilenet_v2":
        return registry.create_model(name, CLASSES, 32)
    return networks.build(name, 32, CLASSES)


def pictures():
    label = np.arange(BATCH, dtype="int32") % CLASSES
    return {"image": networks.pictures(BATCH, 32), "label": label}


def shown_outputs(operation):
    """Without what the fused batch norm keeps for its own gradient."""
    if operation.type == "FusedBatchNormV3":
        return operation.outputs[:5]
    kept = [x for x in operation.inputs if x.op.type == "FusedBatchNormV3"]
    if operation.type == "ZerosLike" and kept:
        return []
    return operation.outputs


@pytest.mark.parametrize(
    "name", ["resnet50", "se_resnext50_32x4d", "mobilenet_v2"]
)
def test_all_shapes_of_a_step_are_known(one, name):
    """As a TPU needs them: in both halves of a step that has them."""
    with one.scope():
        model = network(name)
    trainer = make_trainer(
        one,
        model=model,
        loss=weighted_focal(),
        accumulate=2,
        clip_norm=1.0,
        ema=0.9,
    )
    batches = cases.batches(one, data=pictures(), parts=2)
    shapes = {key: x.shape for key, x in batches.element_spec.items()}
    assert shapes == {"image": (4, 32, 32, 3), "label": (4,)}
    halves = (
        tf.function(trainer._first_half).get_concrete_function(
            batches.element_spec
        ),
        tf.function(trainer._second_half).get_concrete_function(),
    )
    for half in halves:
        operations = half.graph.get_operations()
        assert len(operations) > len(trainer.model.trainable_variables)
        unknown = [
            f"{operation.type} {operation.name}"
            for operation in operations
            for output in shown_outputs(operation)
            if not output.shape.is_fully_defined()
        ]
        assert not unknown, unknown


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("se_resnet18", 1e-3),
        pytest.param("resnet50", 1e-3, marks=pytest.mark.slow),
        pytest.param("se_resnext50_32x4d", 1e-3, marks=pytest.mark.slow),
        # Its 52 batch norms, some over eight values, magnify rounding: either
        # way is as far from the gradients in float64 as from the other.
        pytest.param("mobilenet_v2", 5e-2, marks=pytest.mark.slow),
    ],
)
def test_xla_compiles_networks(one, name, share):
    """One step: what changes is within rounding what changes without."""
    steps = []
    for jit in (True, False):
        with one.scope():
            keras.utils.set_random_seed(0)
            model = network(name)
        before = cases.weights_of(model)
        trainer = make_trainer(one, model=model, jit=jit)
        trainer.run(cases.batches(one, data=pictures()), 1)
        after = cases.weights_of(model)
        steps.append([y - x for x, y in zip(before, after)])
    for ours, plain in zip(*steps):
        length = np.linalg.norm(plain)
        assert np.linalg.norm(ours - plain) <= share * length + 1e-6
