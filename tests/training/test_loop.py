"""The loop on a tiny network, on one device and on two."""

import csv
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.models import layers
from landmark_tf.training import (
    batch_norm,
    checkpoints,
    loop,
    optimizers,
    strategy,
    watching,
)

SIZE, CLASSES, BATCH, EXAMPLES = 8, 3, 8, 40


def tiny_model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.normalize(inputs, (0.5,) * 3, (0.5,) * 3)
    x = keras.layers.ReLU()(layers.conv_bn(x, 8, 3, stride=2, name="conv1"))
    return keras.Model(inputs, layers.classifier(x, CLASSES))


def make_trainer(devices, learning_rate=0.1):
    with devices.scope():
        model = tiny_model()
        batch_norm.prepare(model, devices.num_replicas_in_sync)
        optimizer = optimizers.SGD(learning_rate, momentum=0.9, l2=1e-3)
    return loop.Trainer(model, optimizer, devices, BATCH)


def examples():
    """Pictures whose brightest channel is their class."""
    rng = np.random.default_rng(0)
    label = np.arange(EXAMPLES) % CLASSES
    image = rng.integers(0, 120, (EXAMPLES, SIZE, SIZE, 3))
    image[np.arange(EXAMPLES), :, :, label] += 60
    return {"image": image.astype("uint8"), "label": label.astype("int32")}


def batches(devices, first_step=0):
    def make(batch_size, num_pipelines, pipeline):
        data = tf.data.Dataset.from_tensor_slices(examples()).repeat()
        return data.skip(first_step * batch_size).batch(batch_size, True)

    return iter(strategy.distribute(devices, BATCH, make))


def fit(trainer, devices, run=None, epochs=3, first_step=0, **settings):
    model = trainer.model
    extra = []
    if run is not None:
        run.mkdir(exist_ok=True)
        saver = checkpoints.Checkpoints(run, trainer, 5)
        first_step = saver.restore()
        pictures = examples()["image"][:4]
        extra = [*watching.callbacks(run, pictures, first_step // 5), saver]
    loop.fit(
        trainer,
        batches(devices, first_step),
        steps_per_epoch=5,
        epochs=epochs,
        first_step=first_step,
        callbacks=keras.callbacks.CallbackList(
            extra, model=model, epochs=epochs, steps=5, verbose=2
        ),
        **settings,
    )
    return [np.array(w) for w in model.get_weights()]


@pytest.fixture(scope="module")
def one():
    return strategy.create("one")


def test_it_learns(one):
    trainer = make_trainer(one)
    fit(trainer, one, epochs=1)
    early = trainer.metrics()
    fit(trainer, one, epochs=10, first_step=5)
    late = trainer.metrics()
    assert late["loss"] < early["loss"] / 2
    assert late["accuracy"] > 0.9


def test_one_step_by_hand(one):
    """The dense layer's bias after a step: -lr * mean(softmax - onehot)."""
    trainer = make_trainer(one, learning_rate=0.5)
    batch = {key: x[:BATCH] for key, x in examples().items()}
    logits = trainer.model(batch["image"], training=True).numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -0.5 * (p - np.eye(CLASSES)[batch["label"]]).mean(axis=0)
    trainer = make_trainer(one, learning_rate=0.5)
    trainer.run(batches(one), 1)
    bias = trainer.model.get_layer("logits").bias.numpy()
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-6)
    assert trainer.metrics()["loss"] == pytest.approx(
        -np.log(p[np.arange(BATCH), batch["label"]]).mean(), rel=1e-5
    )


def test_two_devices_equal_one(one, mirrored):
    """20 steps with synchronised batch norm: equal weights to 1e-5."""
    assert mirrored.num_replicas_in_sync == 2
    single = fit(make_trainer(one), one, epochs=4)
    double = fit(make_trainer(mirrored), mirrored, epochs=4)
    for a, b in zip(single, double):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)


def test_steps_in_one_call_change_nothing(one):
    single = fit(make_trainer(one), one)
    several = fit(make_trainer(one), one, steps_per_call=3)  # 3 + 2 an epoch
    for a, b in zip(single, several):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_training_equals_an_undisturbed_one(one, tmp_path):
    whole = fit(make_trainer(one), one, tmp_path / "whole", epochs=4)
    fit(make_trainer(one), one, tmp_path / "cut", epochs=2)
    resumed = fit(make_trainer(one), one, tmp_path / "cut", epochs=4)
    for a, b in zip(whole, resumed):
        np.testing.assert_array_equal(a, b)
    with open(tmp_path / "cut" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert {"loss", "accuracy", "learning_rate", "images_per_second"} <= set(
        rows[0]
    )


def test_a_damaged_checkpoint_is_named_and_passed_over(one, tmp_path, capsys):
    fit(make_trainer(one), one, tmp_path, epochs=2)
    newest = sorted(tmp_path.glob("checkpoints/step-10.data*"))[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 255
    newest.write_bytes(data)
    saver = checkpoints.Checkpoints(tmp_path, make_trainer(one), 5)
    assert saver.restore() == 5
    assert "step-10 cannot be read" in capsys.readouterr().out
    for file in tmp_path.glob("checkpoints/step-5.data*"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="no state .* can be read"):
        checkpoints.Checkpoints(tmp_path, make_trainer(one), 5).restore()


def test_the_best_by_validation_gap_is_kept(one, tmp_path):
    scores = iter([0.2, 0.5, 0.4])
    trainer = make_trainer(one)
    kept = []
    saver = checkpoints.Checkpoints(tmp_path, trainer, 5)

    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(trainer.model.get_weights())

    loop.fit(
        trainer,
        batches(one),
        steps_per_epoch=5,
        epochs=3,
        validate=lambda: {"gap": next(scores)},
        callbacks=keras.callbacks.CallbackList(
            [saver, Weights()], model=trainer.model
        ),
    )
    best = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(best.get_weights(), kept[1]):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_not_finite_stops_the_run(one, tmp_path):
    trainer = make_trainer(one, learning_rate=1e30)
    with pytest.raises(loop.DivergedError, match="became (nan|inf) .* step 2"):
        fit(trainer, one, epochs=3)
    assert not math.isfinite(trainer.metrics()["loss"])


def test_weights_that_are_not_finite_are_never_saved(one, tmp_path):
    """The last update of an epoch is not in any loss of it."""
    trainer = make_trainer(one, learning_rate=math.inf)
    saver = checkpoints.Checkpoints(tmp_path, trainer, 1)
    with pytest.raises(loop.DivergedError, match="weight .* after step 1"):
        loop.fit(
            trainer,
            batches(one),
            steps_per_epoch=1,
            epochs=1,
            callbacks=keras.callbacks.CallbackList([saver], trainer.model),
        )
    assert not saver.newest()
    assert not (tmp_path / "model.keras").exists()


def test_pictures_of_no_landmark_count_for_nothing(one):
    """Two of a class, six of none: only the first two are averaged."""
    trainer = make_trainer(one)
    batch = {key: x[:BATCH] for key, x in examples().items()}
    batch["label"] = np.where(np.arange(BATCH) < 2, batch["label"], -1)
    logits = trainer.model(batch["image"], training=True).numpy()[:2]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(2), batch["label"][:2]]).mean()
    trainer = make_trainer(one)
    data = tf.data.Dataset.from_tensors(batch)
    trainer.run(iter(one.experimental_distribute_dataset(data)), 1)
    found = trainer.metrics()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    correct = p.argmax(axis=1) == batch["label"][:2]
    assert found["accuracy"] == pytest.approx(correct.mean())


def test_a_batch_that_devices_cannot_share_is_refused(mirrored):
    with pytest.raises(InputError, match="multiple of the 2 devices.*: 7"):
        strategy.distribute(mirrored, 7, lambda **shard: None)


def test_tensorboard_shows_scalars_and_pictures(one, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    fit(make_trainer(one), one, tmp_path, epochs=1)
    events = event_accumulator.EventAccumulator(str(tmp_path / "logs/train"))
    events.Reload()
    tags = events.Tags()
    assert "augmented" in str(tags["tensors"] + tags["images"])
    for name in ("loss", "accuracy", "learning_rate", "images_per_second"):
        assert f"epoch_{name}" in tags["tensors"]
