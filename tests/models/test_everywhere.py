"""Every network trains, saves and is exported, in every precision.

By default on a narrow variant of each row and on MobileNetV2; `-m slow` repeats
it on the rows themselves, and on InceptionV3, which nothing can make small.
"""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.models import entries, folding, registry, resnet
from landmark_tf.training import batch_norm, optimizers, step, strategy
from tests.models import cases

SIZE, CLASSES, BATCH = 64, 5, 4
NAMES = registry.list_models()
SMALL = [name for name in NAMES if name != "inception_v3"]


def _make(name, full):
    """A network at a small size; the narrow variant unless `full`."""
    keras.utils.set_random_seed(0)
    if full or name not in resnet.TABLE:
        smallest = max(SIZE, entries.find(name).smallest)
        return registry.create_model(name, CLASSES, smallest)
    return cases.build(name, SIZE, CLASSES)


def _alike(names):
    """One name for each design: narrow variants of two rows can be the same."""
    designs = {}
    for name in names:
        row = resnet.TABLE.get(name)
        narrow = row and cases.narrow(dataclasses.replace(row, schemes=()))
        designs.setdefault(narrow or name, name)
    return list(designs.values())


def _train_one_step(model_name, full, devices, precision, synchronize):
    """Returns the model, and its weights before and after one step."""
    keras.config.set_dtype_policy(precision)
    try:
        with devices.scope():
            model = _make(model_name, full)
            if synchronize:
                batch_norm.prepare(model, devices.num_replicas_in_sync)
            optimizer = optimizers.SGD(0.01, momentum=0.9, l2=1e-4)
    finally:
        keras.config.set_dtype_policy("float32")
    trainer = step.Trainer(model, optimizer, devices, BATCH)
    batch = {
        "image": cases.pictures(BATCH, model.input_shape[1]),
        "label": np.arange(BATCH, dtype="int32") % CLASSES,
    }

    def make(batch_size, num_pipelines, pipeline):
        data = tf.data.Dataset.from_tensor_slices(batch)
        return data.repeat().batch(batch_size, drop_remainder=True)

    before = [np.array(w) for w in model.trainable_variables]
    trainer.run(iter(strategy.distribute(devices, BATCH, make)), 1)
    assert trainer.is_finite() and np.isfinite(trainer.metrics()["loss"])
    after = [np.array(w) for w in model.trainable_variables]
    return model, before, after


def _before_batch_norm(model, weight):
    """Whether it is a bias that the next layer takes away again."""
    name, kind = weight.path.split("/")[-2:]
    return kind == "bias" and any(x.name == f"{name}_bn" for x in model.layers)


def _check_training(name, full, devices, precision, synchronize=True):
    model, before, after = _train_one_step(
        name, full, devices, precision, synchronize
    )
    still = [
        w.path
        for w, old, new in zip(model.trainable_variables, before, after)
        if (old == new).all() and not _before_batch_norm(model, w)
    ]
    assert not still, "not trained: " + ", ".join(still)
    assert {w.dtype for w in model.weights} <= {"float32", "uint32"}
    assert model.output.dtype == "float32"


@pytest.fixture
def eager():
    """Functions run as they are: tracing each would take most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", _alike(SMALL))
def test_one_step_on_two_devices(name, mirrored, eager):
    # Statistics of all replicas take long without a graph.
    _check_training(name, False, mirrored, "float32", synchronize=False)


@pytest.mark.parametrize("name", _alike(SMALL))
def test_one_step_in_bfloat16(name, eager):
    _check_training(name, False, strategy.create("one"), "mixed_bfloat16")


def test_one_step_in_a_graph_with_statistics_of_all_devices(mirrored):
    _check_training("se_resnext50_32x4d", False, mirrored, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_full_size_trains_one_step_on_two_devices(name, precision, mirrored):
    _check_training(name, True, mirrored, precision)


def _serving(model):
    images = tf.TensorSpec((None, *model.input_shape[1:]), "uint8")
    return tf.function(
        lambda x: model(x, training=False), input_signature=[images]
    )


def _save(name, full, folder):
    """Saves and exports, with the logits of either kind of call.

    A graph adds in another order than calls one by one, which an untrained
    network of attention turns into another answer: each is compared with its
    like.
    """
    model = _make(name, full)
    images = cases.pictures(2, model.input_shape[1])
    logits = {
        "keras": model(images, training=False),
        "export": _serving(model)(images),
    }
    model.save(folder / f"{name}.keras")
    exported = folding.for_inference(model)
    served = tf.Module()
    served.variables_ = [w.value for w in exported.weights]
    served.serve = _serving(exported)
    tf.saved_model.save(served, str(folder / name))
    np.savez(folder / f"{name}.npz", images=images, **logits)


_FRESH = """
    import json, pathlib, sys
    import numpy as np, tensorflow as tf
    from landmark_tf.models import registry
    folder = pathlib.Path(sys.argv[1])
    worst = {}
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as data:
            data = dict(data)
        served = tf.saved_model.load(str(file.with_suffix("")))
        model = registry.load_model(file.with_suffix(".keras"))
        found = {
            "export": served.serve(data["images"]),
            "keras": model(data["images"], training=False),
        }
        for kind, x in found.items():
            difference = np.abs(np.array(x) - data[kind]).max()
            worst[f"{file.stem} {kind}"] = float(
                difference / np.abs(data[kind]).max()
            )
    print(json.dumps(worst))
"""


def _check_fresh_process(folder):
    """Loads all that was saved in a folder in one new process."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FRESH), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    worst = json.loads(found.stdout.splitlines()[-1])
    assert worst and max(worst.values()) < 1e-5, worst
    return worst


def test_saved_and_exported_give_the_same_in_a_fresh_process(tmp_path):
    names = _alike(SMALL)
    for name in names:
        _save(name, False, tmp_path)
    worst = _check_fresh_process(tmp_path)
    assert set(worst) == {
        f"{n} {k}" for n in names for k in ("keras", "export")
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_size_gives_the_same_in_a_fresh_process(name, tmp_path):
    _save(name, True, tmp_path)
    _check_fresh_process(tmp_path)


_JAX = """
    import sys
    import jax, keras, numpy as np
    from landmark_tf.models import resnet
    from landmark_tf.training import losses
    from tests.models import cases
    assert keras.backend.backend() == "jax"
    for name in sys.argv[1:]:
        model = cases.build(name, 64, 5)
        images, labels = cases.pictures(2, 64), np.array([1, 3])
        def loss(trainable, fixed):
            logits, fixed = model.stateless_call(
                trainable, fixed, images, training=True
            )
            return losses.cross_entropy(labels, logits).mean(), fixed
        values = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]
        (value, _), gradients = jax.jit(
            jax.value_and_grad(loss, has_aux=True)
        )(values, fixed)
        assert np.isfinite(value), name
        for variable, g in zip(model.trainable_variables, gradients):
            assert np.isfinite(g).all(), (name, variable.path)
            assert np.abs(g).max() > 0, (name, variable.path)
        print("done", name)
"""


_ON_JAX = _alike([n for n in NAMES if n in resnet.TABLE])


@pytest.mark.parametrize(
    "names",
    [
        ["se_resnext50_32x4d"],
        pytest.param(_ON_JAX, marks=pytest.mark.slow, id="all"),
    ],
)
def test_jax_runs_forward_and_backward(names):
    pytest.importorskip("jax")
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_JAX), *names],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.count("done") == len(names)
