"""A tiny network, pictures that it can learn, and short trainings of it."""

import contextlib
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from landmark_tf.models import layers
from landmark_tf.training import (
    averaging,
    batch_norm,
    checkpoints,
    loop,
    optimizers,
    settings,
    step,
    strategy,
    watching,
)

SIZE, CLASSES, BATCH = 8, 3, 8
STEPS = 5  # of an epoch
ROOT = pathlib.Path(__file__).parents[2]


def tiny_model(normalised=True, dropout=0.0):
    """One convolution, with batch norm or without, and the classifier."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.normalize(inputs, (0.5,) * 3, (0.5,) * 3)
    convolution = layers.conv_bn if normalised else layers.conv
    x = convolution(x, 8, 3, stride=2, name="conv1")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    return keras.Model(
        inputs, layers.classifier(x, CLASSES, dropout), name="tiny"
    )


@contextlib.contextmanager
def precision(policy):
    """Layers made within it compute in another precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def make_trainer(
    devices,
    learning_rate=0.1,
    *,
    model=None,
    optimizer="sgd",
    normalised=True,
    ema=0.0,
    policy="float32",
    batch_size=BATCH,
    **changes,
):
    """A `Trainer` of a model, the tiny one if None, with its optimizer."""
    with devices.scope(), precision(policy):
        model = model or tiny_model(normalised)
        batch_norm.prepare(model, devices.num_replicas_in_sync)
        made = optimizers.create(
            optimizer, learning_rate, momentum=0.9, weight_decay=1e-3
        )
        if ema:
            changes["average"] = averaging.WeightAverage(model, ema)
    return step.Trainer(
        model,
        made,
        devices,
        batch_size,
        float16=policy == "mixed_float16",
        **changes,
    )


def examples(count=BATCH * STEPS):
    """Pictures whose brightest channel is their class."""
    rng = np.random.default_rng(0)
    label = np.arange(count) % CLASSES
    image = rng.integers(0, 120, (count, SIZE, SIZE, 3))
    image[np.arange(count), :, :, label] += 60
    return {"image": image.astype("uint8"), "label": label.astype("int32")}


def batches(devices, first_step=0, batch_size=BATCH, parts=1, data=None):
    """The distributed batches from a step on, without end."""

    def make(batch_size, num_pipelines, pipeline):
        source = tf.data.Dataset.from_tensor_slices(data or examples())
        source = source.repeat().skip(first_step * batch_size)
        return source.batch(batch_size, drop_remainder=True)

    return iter(strategy.distribute(devices, batch_size, make, parts))


def weights_of(model):
    return [np.array(w) for w in model.get_weights()]


def variables_of(trainer):
    """All that a state must hold: weights, slots, scale, averages, figures."""
    found = [*trainer.model.weights, *trainer.optimizer.variables]
    found += [*trainer.loss.variables, *trainer.accuracy.variables]
    found = [x.value for x in found]
    for part in (trainer.scale, trainer.average):
        found += part.variables if part is not None else []
    return [tf.convert_to_tensor(x).numpy() for x in found]


def assert_same(found, expected):
    """To the bit."""
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


def assert_near(found, expected, atol=1e-5, rtol=1e-5):
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, atol=atol, rtol=rtol)


def settings_of(run, **changes):
    return settings.Config(data="data", run=str(run), **changes)


def fit(
    trainer,
    devices,
    run=None,
    epochs=3,
    first_step=0,
    *,
    parts=1,
    saving=None,
    callbacks=(),
    **changes,
):
    """Trains, with a run directory from its newest state on.

    Args:
        trainer: what to train.
        devices: what computes.
        run: run directory; None: nothing is written.
        epochs: the epoch to stop before.
        first_step: of a training without a run directory.
        parts: of gradient accumulation.
        saving: further arguments of `Checkpoints`.
        callbacks: further callbacks.
        **changes: further arguments of `loop.fit`.

    Returns:
        The weights.
    """
    model, extra = trainer.model, list(callbacks)
    if run is not None:
        run.mkdir(exist_ok=True)
        saver = checkpoints.Checkpoints(
            run, model, trainer, STEPS, **(saving or {})
        )
        checkpoints.restore_newest(run, lambda _: saver)
        first_step = saver.step
        shown = watching.callbacks(run, settings_of(run), STEPS, first_step)
        extra = [*shown, *extra, saver]
    told = keras.callbacks.CallbackList(
        extra, model=model, epochs=epochs, steps=STEPS, verbose=2
    )
    told.on_train_begin()
    try:
        loop.fit(
            trainer,
            batches(devices, first_step, trainer.batch_size, parts),
            steps_per_epoch=STEPS,
            epochs=epochs,
            first_step=first_step,
            callbacks=told,
            **changes,
        )
    finally:
        told.on_train_end()
    return weights_of(model)


class Recorder(keras.callbacks.Callback):
    """Notes what it is told: the name, the number and the logs."""

    def __init__(self):
        super().__init__()
        self.events = []

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(("epoch begins", epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(("epoch ends", epoch, dict(logs)))

    def on_train_batch_begin(self, batch, logs=None):
        self.events.append(("batch begins", batch, logs))

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(("batch ends", batch, dict(logs)))


class AfterStep(keras.callbacks.Callback):
    """Calls a function once, behind a step of the whole training."""

    def __init__(self, step, act):
        super().__init__()
        self._step, self._act, self._epoch = step, act, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch * STEPS + batch + 1 == self._step:
            self._act()


def interrupt():
    raise KeyboardInterrupt


def start(flags):
    """`python -m landmark_tf.train`, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "landmark_tf.train", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process):
    process.send_signal(signal.SIGKILL)
    return process.communicate()
