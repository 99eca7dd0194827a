"""Fine-tuning in stages: what they are called, and what they leave alone."""

import dataclasses
import functools
import pathlib
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from landmark_tf import InputError, train
from landmark_tf.data import order, pipeline, tfrecords
from landmark_tf.models import entries, registry, resnet
from landmark_tf.training import checkpoints, session, stages, strategy
from tests.models import cases as networks
from tests.training import cases

STAGES = ("logits:1:0.05", "conv5_x+logits:2:0.01", "all:1:0.002")


@pytest.fixture
def narrow(monkeypatch):
    """The name of a thin resnet18 for the time of a test."""
    row = networks.narrow(resnet.TABLE["resnet18"])
    build = functools.partial(resnet.build, row)
    monkeypatch.setitem(entries.ENTRIES, "narrow", entries.Entry(build, 32))
    return "narrow"


def settings_of(run, dataset, **changes):
    """Three steps an epoch."""
    return train.Config(
        **{
            "data": str(dataset),
            "run": str(run),
            "model": "narrow",
            "image_size": 32,
            "batch_size": 8,
            "train_split": "train[:24]",
            "strategy": "one",
            **changes,
        }
    )


def session_of(settings):
    made = session.Session(
        settings,
        tfrecords.open_dataset(settings.data),
        strategy.create("one"),
    )
    made.run.mkdir()
    return made


def test_stages_are_read():
    words = ("logits:3:0.01", "conv4_x+conv5_x+logits:5:1e-3")
    assert stages.parse(words, 9, 0.5) == (
        stages.Stage(("logits",), 3, 0.01),
        stages.Stage(("conv4_x", "conv5_x", "logits"), 5, 0.001),
    )
    for nothing in ((), ("none",)):
        whole = (stages.Stage(("all",), 9, 0.5),)
        assert stages.parse(nothing, 9, 0.5) == whole


@pytest.mark.parametrize(
    "word",
    [
        "",
        "logits",
        "logits:3",
        "logits:3:0.1:4",
        "logits:three:0.1",
        "logits:1.5:0.1",
        "logits:3:fast",
        "logits:0:0.1",
        "logits:-1:0.1",
        "logits:3:0",
        "logits:3:-0.1",
        "logits:3:nan",
        "logits:3:inf",
        ":3:0.1",
        "conv5_x++logits:3:0.1",
        "none",
    ],
)
def test_other_forms_are_refused_in_one_line(word):
    with pytest.raises(InputError) as caught:
        stages.parse(("logits:1:0.1", word), 1, 0.1)
    message = str(caught.value)
    assert message.startswith("--stages takes LAYERS:EPOCHS:LEARNING_RATE")
    assert message.endswith(f"Received: {word!r}")
    assert "\n" not in message


@pytest.fixture(scope="module")
def mobilenet():
    return registry.create_model("mobilenet_v2", 3, 32)


@pytest.fixture(scope="module")
def inception():
    return registry.create_model("inception_v3", 3, 75)


def names_of(model, *words):
    chosen = [layer.name for layer in stages.trainable_layers(model, words)]
    assert len(set(chosen)) == len(chosen)
    return set(chosen)


def learning(model):
    return {layer.name for layer in model.layers if layer.weights}


def check_partition(model):
    """The stages and the classifier are all layers, and each once."""
    parts = [
        names_of(model, word)
        for word in ("conv2_x", "conv3_x", "conv4_x", "conv5_x", "logits")
    ]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set().union(*parts) == names_of(model, "all") == learning(model)


def test_layers_of_a_residual_network():
    model = networks.build("se_resnext50_32x4d")
    check_partition(model)
    assert {"conv1", "conv1_bn", "conv2_x_block1_conv1"} <= names_of(
        model, "conv2_x"
    )
    for stage in ("conv3_x", "conv4_x", "conv5_x"):
        expected = {x for x in learning(model) if x.startswith(stage)}
        assert names_of(model, stage) == expected != set()
    assert names_of(model, "logits", "conv5_x", "logits") == {
        "logits",
        *names_of(model, "conv5_x"),
    }
    assert names_of(model, "conv1") == {"conv1", "conv1_bn"}


def test_layers_of_mobilenet_v2(mobilenet):
    check_partition(mobilenet)
    block = {x for x in learning(mobilenet) if x.startswith("block_1_")}
    assert len(block) == 6  # not those of block_10 to block_16
    assert names_of(mobilenet, "block_1") == block
    assert block <= names_of(mobilenet, "conv2_x")
    last = names_of(mobilenet, "block_16")
    assert last and last <= names_of(mobilenet, "conv5_x")
    assert {"Conv_1", "Conv_1_bn"} <= names_of(mobilenet, "conv5_x")


def test_layers_of_inception_v3(inception):
    check_partition(inception)
    counts = {
        stage: sum(
            isinstance(inception.get_layer(name), keras.layers.Conv2D)
            for name in names_of(inception, stage)
        )
        for stage in ("conv2_x", "conv3_x", "conv4_x", "conv5_x")
    }
    # Szegedy et al. 2016, table 1: 5 convolutions of the stem; 3 blocks of 7;
    # one of 4 and 4 of 10; one of 6 and 2 of 9.
    assert counts == {"conv2_x": 5, "conv3_x": 21, "conv4_x": 44, "conv5_x": 24}
    with pytest.raises(InputError, match="no layer with weights.*'mixed10'"):
        stages.trainable_layers(inception, ["mixed10"])


def test_unknown_layers_are_refused_in_one_line(mobilenet):
    for word in ("conv6_x", "bloc", "pool", "Logits", "logit", "block_17"):
        with pytest.raises(InputError) as caught:
            stages.trainable_layers(mobilenet, ["logits", word])
        message = str(caught.value)
        assert message.endswith(f"Received: {word!r}") and "\n" not in message
        assert "mobilenet_v2" in message and "conv5_x" in message


def test_an_unknown_layer_of_the_last_stage_is_found_at_once(
    dataset, tmp_path, narrow
):
    run = tmp_path / "run"
    settings = settings_of(run, dataset, stages=(*STAGES, "fc:1:0.1"))
    with pytest.raises(InputError, match="Received: 'fc'"):
        train.run(settings)
    assert not run.exists()


@pytest.mark.parametrize("name", ["mobilenet", "residual"])
def test_a_network_is_cut_at_its_vector(name, mobilenet):
    model = mobilenet if name == "mobilenet" else networks.build("senet154", 32)
    size = model.input_shape[1]
    backbone, head = stages.split(model)
    pictures = networks.pictures(2, size)
    vectors = backbone(pictures)
    assert vectors.shape == (2, model.get_layer("logits").kernel.shape[0])
    np.testing.assert_array_equal(head(vectors), model(pictures))
    kernel = model.get_layer("logits").kernel
    assert any(w is kernel for w in head.trainable_variables)
    assert len(head.weights) == 2


def test_frozen_layers_do_not_change_at_all(dataset, tmp_path, narrow):
    """Nor their batch norms' statistics; those of the others do."""
    layers = ("conv4_x", "conv5_x", "logits")
    made = session_of(
        settings_of(
            tmp_path / "run",
            dataset,
            stages=("+".join(layers) + ":1:0.05",),
            validation_split="",
            ema=0.5,
        )
    )
    model = made.model
    networks.scramble(model)
    before = {w.path: w.numpy() for w in model.weights}
    made.fit()
    changed = {
        w.path for w in model.weights if (w.numpy() != before[w.path]).any()
    }
    expected = {
        w.path
        for layer in stages.trainable_layers(model, layers)
        for w in layer.weights
    }
    assert changed == expected
    assert any("conv4_x_block1_conv1_bn/moving_mean" in x for x in changed)
    assert not any("conv1_bn" in x and "conv3_x" in x for x in changed)


def rows_in_order(dataset, settings, epochs):
    """The place on disk of each training picture, as they come."""
    table = tfrecords.read_table(dataset, settings.train_split)
    place = {id: row for row, id in enumerate(table["id"])}
    records = order.shuffled(
        dataset,
        settings.train_split,
        steps=3,
        batch_size=8,
        seed=settings.seed,
        first_step=0,
        epochs=epochs,
        num_pipelines=1,
        pipeline=0,
        repeats=None,
    )
    ids = [
        tf.io.parse_single_example(record, order.FEATURES)["id"].numpy()
        for record, _ in records
    ]
    return np.array([place[id.decode()] for id in ids])


def test_the_classifier_alone_by_hand(dataset, tmp_path, narrow):
    """Softmax regression with momentum, in numpy, on float16 vectors."""
    settings = settings_of(
        tmp_path / "run", dataset, stages=("logits:2:0.5",), weight_decay=0.01
    )
    made = session_of(settings)
    networks.scramble(made.model)
    opened = made.dataset
    vectors, labels = [], []
    for batch in pipeline.evaluation_batches(
        opened, settings.train_split, batch_size=8, image_size=32
    ):
        pooled = stages.split(made.model)[0](batch["image"], training=False)
        vectors.append(pooled.numpy().astype("float16"))
        labels.append(batch["label"].numpy())
    vectors, labels = np.concatenate(vectors), np.concatenate(labels)
    w, b = (x.numpy().astype("float64") for x in made.model.weights[-2:])
    assert w.ndim == 2 and b.ndim == 1
    w_speed, b_speed = 0, 0
    for rows in rows_in_order(opened, settings, 2).reshape(-1, 8):
        x = vectors[rows].astype("float64")
        logits = x @ w + b
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = (p - np.eye(len(b))[labels[rows]]) / 8
        w_speed = 0.9 * w_speed - 0.5 * (x.T @ error + 0.01 * w)
        b_speed = 0.9 * b_speed - 0.5 * error.sum(axis=0)
        w, b = w + w_speed, b + b_speed
    start = made.model.weights[-2].numpy()
    made.fit()
    found = [x.numpy() for x in made.model.weights[-2:]]
    cases.assert_near(found, [w, b], atol=1e-4, rtol=1e-4)
    assert np.abs(found[0] - start).max() > 0.01


@pytest.fixture(scope="module")
def staged(dataset, tmp_path_factory):
    """A training in three stages of 3, 6 and 3 steps, with all its states."""
    run = tmp_path_factory.mktemp("runs") / "staged"
    with pytest.MonkeyPatch.context() as patch:
        row = networks.narrow(resnet.TABLE["resnet18"])
        build = functools.partial(resnet.build, row)
        patch.setitem(entries.ENTRIES, "narrow", entries.Entry(build, 32))
        settings = settings_of(
            run,
            dataset,
            stages=STAGES,
            optimizer="adam",
            schedule=("cosine",),
            ema=0.9,
            checkpoint_every=1,
            keep=20,
        )
        figures = train.run(settings)
    return settings, figures


def test_stages_follow_each_other(staged):
    """The learning rate begins anew with each, and sinks by its cosine."""
    settings, figures = staged
    run = pathlib.Path(settings.run)
    assert checkpoints.steps_saved(run) == list(range(1, 13))
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["learning_rate"].tolist() == pytest.approx(
        [0, 0.005, 0, 0], abs=1e-7
    )
    assert history["val_gap"].max() == pytest.approx(figures["gap"], abs=2e-3)
    assert len(list((run / "vectors").glob("*.tfrecord*"))) > 0


def list_states(folder, steps):
    """Writes the file that says which states there are."""
    paths = [f'"step-{step}"' for step in steps]
    lines = [f"model_checkpoint_path: {paths[-1]}"]
    lines += [f"all_model_checkpoint_paths: {path}" for path in paths]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(2, marks=pytest.mark.slow),
        3,  # between the first and the second stage
        5,
        pytest.param(6, marks=pytest.mark.slow),  # between epochs
        pytest.param(9, marks=pytest.mark.slow),  # before the third stage
        pytest.param(11, marks=pytest.mark.slow),
    ],
)
def test_it_goes_on_within_and_between_stages(staged, tmp_path, narrow, step):
    """With the states up to a step alone, as if it had been killed there."""
    settings, figures = staged
    whole, run = pathlib.Path(settings.run), tmp_path / "run"
    shutil.copytree(whole, run)
    folder = run / "checkpoints"
    for later in range(step + 1, 13):
        for file in folder.glob(f"step-{later}.*"):
            file.unlink()
    list_states(folder, range(1, step + 1))
    again = train.run(dataclasses.replace(settings, run=str(run)))
    assert again == pytest.approx(figures, rel=1e-4)
    first, second = (
        tf.train.load_checkpoint(str(x / "checkpoints" / "step-12"))
        for x in (whole, run)
    )
    shapes = first.get_variable_to_shape_map()
    assert shapes == second.get_variable_to_shape_map()
    kinds = first.get_variable_to_dtype_map()
    names = [name for name in shapes if kinds[name] == tf.float32]
    assert len(names) > 100
    for name in names:
        np.testing.assert_allclose(
            first.get_tensor(name),
            second.get_tensor(name),
            rtol=1e-3,
            atol=1e-5,
            err_msg=name,
        )
    expected, found = (pd.read_csv(x / "history.csv") for x in (whole, run))
    assert found["epoch"].tolist() == [0, 1, 2, 3]
    for name in ("loss", "accuracy", "val_loss", "val_gap", "learning_rate"):
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-4, atol=1e-7
        )


def test_a_damaged_state_leads_back_into_the_stage_before(
    staged, tmp_path, narrow, capsys
):
    """The first of the second stage, step 4, is passed over."""
    settings, _ = staged
    run = tmp_path / "run"
    shutil.copytree(settings.run, run)
    folder = run / "checkpoints"
    for file in folder.glob("step-4.data*"):
        file.write_bytes(file.read_bytes()[:1000])
    list_states(folder, (3, 4))
    made = session.Session(
        dataclasses.replace(settings, run=str(run)),
        tfrecords.open_dataset(settings.data),
        strategy.create("one"),
    )
    assert made.restore() == 3
    assert "step-4 cannot be read" in capsys.readouterr().out
    trainable = {w.path for w in made.model.trainable_variables}
    assert trainable == {w.path for w in made.model.get_layer("logits").weights}
