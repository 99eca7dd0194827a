import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from landmark_tf import InputError, command, config, train
from landmark_tf.data import pipeline, tfrecords
from landmark_tf.files import workspace
from landmark_tf.models import registry
from landmark_tf.training import checkpoints, losses
from tests.training import cases

STAGES = ("logits:1:0.01", "conv5_x+logits:2:0.001", "all:1:0.001")


def settings_of(run):
    return config.parse(train.Config, [f"--flagfile={run / 'flags.txt'}"])


def test_a_run_directory_holds_everything(trained, dataset):
    run, figures = trained
    assert (run / "classes.csv").read_bytes() == (
        dataset / "classes.csv"
    ).read_bytes()
    assert settings_of(run).data == str(dataset)
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert {"loss", "accuracy", "val_gap", "val_accuracy"} <= set(history)
    assert history["val_gap"].max() == pytest.approx(figures["gap"], abs=1e-6)
    assert list((run / "logs" / "train").glob("events*"))
    assert list((run / "logs" / "validation").glob("events*"))
    assert len(list((run / "checkpoints").glob("*.index"))) == 2
    assert (
        json.loads((run / "metrics.json").read_text())["gap"]
        == (figures["gap"])
    )


def test_the_same_command_again_changes_nothing(trained, capsys):
    run, figures = trained
    before = (run / "history.csv").read_bytes()
    again = train.run(settings_of(run))
    assert again == pytest.approx(figures)
    assert "are done" in capsys.readouterr().out
    assert (run / "history.csv").read_bytes() == before


def test_more_epochs_go_on(trained, tmp_path):
    """Also where the flags were written before there was a choice of loss."""
    run, _ = trained
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    lines = (copy / "flags.txt").read_text().splitlines(keepends=True)
    late = ("--focal_gamma=", "--label_smoothing=")
    old = [line for line in lines if not line.startswith(late)]
    assert len(old) == len(lines) - 2
    (copy / "flags.txt").write_text("".join(old))
    settings = dataclasses.replace(settings_of(run), run=str(copy), epochs=3)
    train.run(settings)
    history = pd.read_csv(copy / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2]


def test_other_settings_on_an_old_run_are_refused_by_name(trained):
    run, _ = trained
    settings = settings_of(run)
    changed = dataclasses.replace(settings, learning_rate=0.5, model="resnet50")
    with pytest.raises(InputError, match="--model, --learning_rate;"):
        train.run(changed)
    changed = dataclasses.replace(settings, focal_gamma=2, label_smoothing=0.1)
    with pytest.raises(InputError, match="--focal_gamma, --label_smoothing;"):
        train.run(changed)


def test_the_loss_is_the_one_that_the_flags_name(trained, dataset, tmp_path):
    """One step: the loss of the first batch under the first weights."""
    settings = config.parse(
        train.Config,
        [
            f"--flagfile={trained[0] / 'flags.txt'}",
            f"--run={tmp_path / 'run'}",
            "--focal_gamma=2",
            "--label_smoothing=0.1",
            "--train_split=train[:8]",
            "--validation_split=",
            "--epochs=1",
        ],
    )
    assert train.run(settings) == {}
    found = pd.read_csv(tmp_path / "run" / "history.csv")["loss"].tolist()
    opened = tfrecords.open_dataset(dataset)
    keras.utils.set_random_seed(settings.seed)
    model = registry.create_model(settings.model, opened.num_classes, 32)
    batches = pipeline.train_batches(
        opened,
        split=settings.train_split,
        batch_size=8,
        image_size=32,
        seed=settings.seed,
        epochs=1,
    )
    batch = next(iter(batches))
    logits = model(batch["image"], training=True)
    expected = losses.focal(batch["label"], logits, 2.0, 0.1)
    assert found == pytest.approx([float(np.mean(expected))], rel=1e-3)
    plain = losses.cross_entropy(batch["label"], logits)
    assert found[0] < 0.9 * np.mean(plain)


def test_a_training_starts_from_weights(trained, tmp_path, capsys):
    """And goes on without them."""
    run, _ = trained
    source = tmp_path / "source.keras"
    shutil.copyfile(run / "model.keras", source)
    settings = dataclasses.replace(
        settings_of(run),
        run=str(tmp_path / "run"),
        weights=str(source),
        learning_rate=1e-9,
        epochs=1,
    )
    train.run(settings)
    assert "tensors from" in capsys.readouterr().out
    old, new = (
        registry.load_model(folder / "model.keras").trainable_variables
        for folder in (run, tmp_path / "run")
    )
    for a, b in zip(old, new):  # almost nothing has been learnt
        np.testing.assert_allclose(a, b, atol=1e-5)
    source.unlink()
    train.run(dataclasses.replace(settings, epochs=2))
    assert "goes on after step" in capsys.readouterr().out


def test_weights_that_do_not_fit_leave_no_run_behind(trained, tmp_path):
    run, _ = trained
    settings = dataclasses.replace(
        settings_of(run),
        run=str(tmp_path / "run"),
        weights=str(run),
        model="resnet50",
    )
    with pytest.raises(InputError, match="the file is of resnet18"):
        train.run(settings)
    assert not (tmp_path / "run").exists()


def test_other_data_behind_an_old_run_is_refused(trained, dataset, tmp_path):
    data = tmp_path / "toy"
    shutil.copytree(dataset, data)
    classes = (data / "classes.csv").read_text().replace("\n2,", "\n2,9")
    (data / "classes.csv").write_text(classes)
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    before = (run / "classes.csv").read_bytes()
    settings = dataclasses.replace(
        settings_of(run), run=str(run), data=str(data), epochs=3
    )
    with pytest.raises(InputError, match="other data: classes.csv"):
        train.run(settings)
    assert (run / "classes.csv").read_bytes() == before


def test_a_run_trains_on_two_devices(trained, tmp_path, mirrored):
    settings = dataclasses.replace(
        settings_of(trained[0]),
        run=str(tmp_path / "m"),
        strategy="mirrored",
        epochs=1,
    )
    figures = train.run(settings)
    history = pd.read_csv(tmp_path / "m" / "history.csv")
    expected = pd.read_csv(trained[0] / "history.csv")
    # Sums in another order, and some ReLU's sign hangs on the last digit: the
    # trainings drift apart. That a step is the same, test_loop shows.
    assert history["loss"][0] == pytest.approx(expected["loss"][0], rel=0.05)
    assert figures["examples"] == trained[1]["examples"]


def test_a_foreign_folder_is_left_alone(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    settings = dataclasses.replace(settings_of(trained[0]), run=str(tmp_path))
    with pytest.raises(InputError, match="--run must be a new folder"):
        train.run(settings)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "nowhere"}, "no such dataset.*nowhere"),
        ({"batch_size": 0}, "--batch_size .*Received: 0"),
        ({"learning_rate": float("nan")}, "--learning_rate .*Received: nan"),
        ({"momentum": 1.5}, "--momentum .*Received: 1.5"),
        ({"focal_gamma": -0.5}, "--focal_gamma .*Received: -0.5"),
        ({"focal_gamma": float("inf")}, "--focal_gamma .*Received: inf"),
        ({"label_smoothing": 1.0}, "--label_smoothing .*Received: 1.0"),
        ({"accumulate": 0}, "--accumulate .*Received: 0"),
        ({"accumulate": 3}, "multiple of .*--accumulate=3. Received: 8"),
        ({"clip_norm": -1.0}, "--clip_norm .*Received: -1.0"),
        ({"ema": 1.0}, "--ema .*Received: 1.0"),
        ({"keep": 0}, "--keep .*Received: 0"),
        ({"steps_per_call": 0}, "--steps_per_call .*Received: 0"),
        ({"checkpoint_every": -1}, "--checkpoint_every .*Received: -1"),
        ({"log_every": -1}, "--log_every .*Received: -1"),
        ({"profile": (3, 2)}, "--profile .*Received: 3,2"),
        ({"profile": (0, 2)}, "--profile .*Received: 0,2"),
        ({"stages": ("logits",)}, "--stages .*Received: 'logits'"),
        ({"stages": ("fc:1:0.1",)}, "--stages .*Received: 'fc'"),
        ({"schedule": ("linear",)}, "linear"),
        ({"jit": True, "deterministic": True}, "leave out .*Received: both"),
        ({"seed": -1}, "--seed .*Received: -1"),
        ({"validation_split": "validation[:0%]"}, "empty.*validation\\[:0%\\]"),
        ({"model": "resnet5"}, "nearest .*Received: 'resnet5'"),
        ({"batch_size": 10_000}, "10000"),
        (
            {"schedule": ("step:0.5:0.01",)},
            "EPOCHS of a step decay must be at least a step",
        ),
        ({"jit": True, "strategy": "mirrored"}, "one device.*: 2 devices"),
        ({"train_split": "training"}, "training"),
        ({"validation_split": "valid"}, "valid"),
    ],
)
def test_bad_settings_are_named_before_anything_is_written(
    trained, tmp_path, change, words
):
    run = tmp_path / "run"
    settings = dataclasses.replace(
        settings_of(trained[0]), **{"run": str(run), **change}
    )
    with pytest.raises(InputError, match=words):
        train.run(settings)
    assert not run.exists()


def test_a_damaged_shard_is_one_line(trained, dataset, tmp_path):
    data = tmp_path / "toy"
    shutil.copytree(dataset, data)
    shard = next(data.glob("*-train.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    settings = dataclasses.replace(
        settings_of(trained[0]), run=str(tmp_path / "run"), data=str(data)
    )
    with pytest.raises(InputError, match="dataset is damaged.*Received"):
        train.run(settings)


def test_what_was_killed_before_its_first_state_begins_again(trained, tmp_path):
    """In the first epoch, and while the first model was written."""
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    for name in ("checkpoints", "model.keras", "metrics.json"):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "checkpoints").mkdir()
    (run / ".model.unfinished.keras").write_bytes(b"half")
    (run / ".flags.unfinished.txt").write_bytes(b"half")
    settings = dataclasses.replace(settings_of(trained[0]), run=str(run))
    train.run(settings)
    found, expected = (
        pd.read_csv(x / "history.csv") for x in (run, trained[0])
    )
    assert found["epoch"].tolist() == [0, 1]
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-3)
    assert not list(run.glob(".*unfinished*"))


# As a process that can be killed: two epochs of five steps.
RESUMABLE = {
    "batch_size": 8,
    "train_split": "train[:40]",
    "epochs": 2,
    "ema": 0.9,
    "checkpoint_every": 2,
    "deterministic": True,
}


def flags_of(trained, run, **changes):
    settings = settings_of(trained[0])
    return config.to_flags(
        dataclasses.replace(
            settings, **{**RESUMABLE, **changes, "run": str(run)}
        )
    )


def finish(flags):
    done = subprocess.run(
        [sys.executable, "-m", "landmark_tf.train", *flags],
        cwd=cases.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stderr.lower() and "E0000" not in done.stderr
    return done.stdout


def wait_for_step(process, run, step):
    """Returns when a state of that step or a later one is listed."""
    while process.poll() is None:
        if max(checkpoints.steps_saved(run), default=0) >= step:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate()[0])


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """The run directory of a training that nothing has disturbed."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(flags_of(trained, run))
    return run


def assert_equal_to_the_bit(run, expected):
    found, wanted = (
        pd.read_csv(x / "history.csv").drop(columns="images_per_second")
        for x in (run, expected)
    )
    assert found["epoch"].tolist() == wanted["epoch"].tolist()
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    cases.assert_same(
        *(
            registry.load_model(x / "model.keras").get_weights()
            for x in (run, expected)
        )
    )
    assert (run / "metrics.json").read_bytes() == (
        expected / "metrics.json"
    ).read_bytes()
    last = [checkpoints.steps_saved(x)[-1] for x in (run, expected)]
    assert last[0] == last[1]
    states = [
        tf.train.load_checkpoint(str(x / "checkpoints" / f"step-{last[0]}"))
        for x in (run, expected)
    ]
    shapes = states[0].get_variable_to_shape_map()
    assert shapes == states[1].get_variable_to_shape_map()
    for name in set(shapes) - {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"}:
        if not name.startswith("save_counter"):
            a, b = (state.get_tensor(name) for state in states)
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_asked_to_stop_and_killed_it_equals_an_undisturbed_run(
    trained, undisturbed, tmp_path
):
    """SIGTERM and SIGKILL after a state, then the same command, to the bit."""
    run = tmp_path / "run"
    flags = flags_of(trained, run)
    process = cases.start(flags)
    wait_for_step(process, run, 2)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate()
    assert process.returncode == 75, out + errors
    last = checkpoints.steps_saved(run)[-1]
    assert errors.splitlines()[-1] == (
        f"stopped as asked after step {last}; the same command goes on"
    )
    assert last < 10 and "Traceback" not in errors
    process = cases.start(flags)
    wait_for_step(process, run, last + 2)
    out, _ = cases.kill(process)
    assert f"goes on after step {last} of 10" in out
    assert checkpoints.steps_saved(run)[-1] < 10
    finish(flags)
    assert_equal_to_the_bit(run, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stages": STAGES},
        {"deterministic": False},
        {"accumulate": 2, "precision": "bfloat16", "optimizer": "adam"},
    ],
    ids=["plain", "stages", "not deterministic", "parts"],
)
def test_killed_again_and_again(trained, tmp_path, changes):
    """At random moments, of which some come before there is any state."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    begun = time.perf_counter()
    finish(flags_of(trained, whole, **changes))
    longest = time.perf_counter() - begun
    flags = flags_of(trained, run, **changes)
    random = np.random.default_rng(0)
    for _ in range(6):
        process = cases.start(flags)
        time.sleep(random.uniform(0.3, 0.8) * longest)
        cases.kill(process)
    finish(flags)
    if changes.get("deterministic", True):
        assert_equal_to_the_bit(run, whole)
    history, expected = (pd.read_csv(x / "history.csv") for x in (run, whole))
    assert history["epoch"].tolist() == expected["epoch"].tolist()
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=0.01)


def test_without_determinism_the_history_is_whole(
    trained, tmp_path, monkeypatch
):
    """Cut in the second epoch, in this process, where clocks are read."""
    run = tmp_path / "run"
    settings = config.parse(
        train.Config, flags_of(trained, run, deterministic=False)
    )
    save = checkpoints.Checkpoints._save

    def save_and_fail(self, step):
        save(self, step)
        if step == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "_save", save_and_fail)
        with pytest.raises(KeyboardInterrupt):
            train.run(settings)
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0]
    train.run(settings)
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert history["data_wait"].between(0, 1).all()


def test_two_trainings_of_one_run_are_refused(trained, capsys):
    run, _ = trained
    held = workspace.lock(run / ".lock", InputError("nobody"))
    before = (run / "history.csv").read_bytes()
    try:
        with pytest.raises(SystemExit) as stopped:
            command.main(
                train.run,
                train.Config,
                config.to_flags(
                    dataclasses.replace(settings_of(run), epochs=5)
                ),
            )
    finally:
        os.close(held)
    assert stopped.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: another training writes to this run")
    assert lines[-1].endswith(f"Received: {run}")
    assert (run / "history.csv").read_bytes() == before


def test_a_loss_that_is_not_finite_is_one_line(trained, tmp_path):
    """With the step, and the state before it."""
    run = tmp_path / "run"
    settings = dataclasses.replace(
        settings_of(trained[0]),
        run=str(run),
        learning_rate=1e30,
        checkpoint_every=1,
        train_split="train[:24]",
    )
    with pytest.raises(InputError) as caught:
        train.run(settings)
    message = str(caught.value)
    assert "\n" not in message
    assert "step 2; the last good state is of step 1." in message
    assert message.endswith("Received: --learning_rate=1e+30")


@pytest.mark.slow
def test_a_second_process_of_one_run_is_refused(trained, tmp_path):
    run = tmp_path / "run"
    flags = flags_of(trained, run, epochs=50)
    process = cases.start(flags)
    wait_for_step(process, run, 2)
    second = cases.start(flags)
    _, errors = second.communicate()
    assert process.poll() is None
    cases.kill(process)
    assert second.returncode == 1
    assert "another training writes to this run directory" in errors
    assert "Traceback" not in errors
