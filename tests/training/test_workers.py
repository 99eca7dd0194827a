"""The verb on two real processes, as on two hosts that share a folder."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from landmark_tf import evaluate, train
from landmark_tf.data import vector_files
from landmark_tf.training import inputs, strategy

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 500  # seconds; a free machine takes 30


@dataclasses.dataclass
class Ended:
    """What a process has left."""

    code: int
    out: str
    err: str


class Workers:
    """Two processes of one training.

    Args:
        folder: for their output and temporary files.
        settings: of the training, but for the strategy.
    """

    def __init__(self, folder, settings):
        folder.mkdir()
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.socket()) for _ in range(2)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            hosts = [f"127.0.0.1:{x.getsockname()[1]}" for x in sockets]
        settings = {**settings, "strategy": "multiworker"}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        self._outputs, self.processes, self.temporary = [], [], []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": hosts}, "task": task}
            temporary = folder / f"tmp{index}"
            temporary.mkdir()
            self.temporary.append(temporary)
            output = [folder / f"{kind}{index}" for kind in ("out", "err")]
            self._outputs.append(output)
            with open(output[0], "w") as out, open(output[1], "w") as err:
                process = subprocess.Popen(
                    [sys.executable, "-m", "landmark_tf.train", *flags],
                    env={
                        **os.environ,
                        "TF_CONFIG": json.dumps(config),
                        "CUDA_VISIBLE_DEVICES": "-1",
                        "TF_NUM_INTRAOP_THREADS": "1",
                        "PYTHONPATH": str(ROOT),
                        "TMPDIR": str(temporary),
                    },
                    stdout=out,
                    stderr=err,
                )
            self.processes.append(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def end(self, patience=PATIENCE):
        """Waits for both; fails when they do not end."""
        end = time.monotonic() + patience
        for process in self.processes:
            process.wait(max(0.1, end - time.monotonic()))
        return [
            Ended(process.returncode, *(path.read_text() for path in paths))
            for process, paths in zip(self.processes, self._outputs)
        ]

    def wait_until(self, is_so):
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end
            assert all(x.poll() is None for x in self.processes), self.end()
            time.sleep(0.02)


def run_two(folder, settings):
    with Workers(folder, settings) as workers:
        ended = workers.end()
        assert [x.code for x in ended] == [0, 0], ended
        left = [{y.name for y in x.iterdir()} for x in workers.temporary]
        # AutoGraph's compiled functions are Python's, which keeps them.
        assert [x - {"__pycache__"} for x in left] == [set(), set()]
        return ended


def saved(run):
    """All numbers of the newest state, by name."""
    path = tf.train.latest_checkpoint(str(run / "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    return {
        name: reader.get_tensor(name)
        for name, kind in reader.get_variable_to_dtype_map().items()
        if (kind.is_floating or kind.is_integer)
        and not name.startswith("save_counter")  # more often when stopped
    }


def assert_same_state(run, other, tolerance):
    """Each variable's difference, as a share of its own norm."""
    found, expected = saved(run), saved(other)
    assert found.keys() == expected.keys()
    assert sum(x.size for x in found.values()) > 11_000_000  # the network
    for name, value in found.items():
        difference = np.linalg.norm(np.ravel(value - expected[name]))
        norm = np.linalg.norm(np.ravel(expected[name]))
        assert difference <= tolerance * norm, (name, difference, norm)


def figures_of(run):
    return json.loads((run / "metrics.json").read_text())


def settings_of(dataset, run, **more):
    return {
        "data": dataset,
        "run": run,
        "model": "resnet18",
        "image_size": 32,
        "batch_size": 8,
        "learning_rate": 0.001,
        **more,
    }


def two_pipelines(devices, batch_size, make, parts=1):
    """`strategy.distribute` of one host, with a pipeline for each replica."""
    assert devices.num_replicas_in_sync == 2 and parts == 1

    def one_host(context):
        pipelines = [
            make(batch_size=batch_size // 2, num_pipelines=2, pipeline=index)
            for index in range(2)
        ]
        turns = tf.data.Dataset.range(2).repeat()
        return tf.data.Dataset.choose_from_datasets(pipelines, turns)

    return devices.distribute_datasets_from_function(one_host)


def run_devices(settings, run, monkeypatch):
    """The same training on two devices of this process."""
    settings = {
        key: str(x) if isinstance(x, pathlib.Path) else x
        for key, x in {**settings, "run": run}.items()
    }
    settings["stages"] = tuple(settings.get("stages", "none").split(","))
    with monkeypatch.context() as patch:
        shared = {**vars(strategy), "distribute": two_pipelines}
        patch.setattr(inputs, "strategy", types.SimpleNamespace(**shared))
        train.run(train.Config(**settings, strategy="mirrored"))


def test_two_processes_equal_two_devices(
    dataset, mirrored, tmp_path, monkeypatch
):
    """Weights, momentum, figures; and only the chief writes and speaks.

    The rate is so small that the weights hardly move: a batch norm over the
    four pictures of a device magnifies what was rounded differently in a step
    a thousand times in the next, on some processors and not on others.
    """
    settings = settings_of(
        dataset,
        tmp_path / "processes",
        train_split="train[:32]",
        epochs=2,
        learning_rate=1e-9,
    )
    chief, other = run_two(tmp_path / "workers", settings)
    assert other.out == other.err == ""
    assert re.fullmatch(r"waiting for 127.0.0.1:\d+\n", chief.err)
    assert "2 device(s), batch 8, 2 epochs of 4 steps" in chief.out
    assert chief.out.count("Epoch ") == chief.out.count("GAP") * 2 == 2
    names = {path.name for path in (tmp_path / "processes").iterdir()}

    run = tmp_path / "devices"
    run_devices(settings, run, monkeypatch)
    assert_same_state(tmp_path / "processes", run, tolerance=1e-4)
    assert names == {path.name for path in run.iterdir()}
    for folder in ("checkpoints", "logs"):
        assert len(list((tmp_path / "processes" / folder).iterdir())) == len(
            list((run / folder).iterdir())
        )
    histories = [
        pd.read_csv(path / "history.csv")[["loss", "val_loss", "val_gap"]]
        for path in (tmp_path / "processes", run)
    ]
    np.testing.assert_allclose(*histories, rtol=1e-4)

    found = figures_of(tmp_path / "processes")
    expected = evaluate.run(
        evaluate.Config(run=str(tmp_path / "processes"), strategy="one")
    )
    assert expected == pytest.approx(
        {key: found[key] for key in expected}, rel=1e-5
    )


@pytest.mark.slow
def test_asked_to_stop_and_killed_it_goes_on(dataset, tmp_path):
    """SIGTERM to one, then SIGKILL to one; the end is the undisturbed one."""
    more = {"epochs": 8, "checkpoint_every": 2, "validation_split": ""}
    whole = settings_of(dataset, tmp_path / "whole", **more)
    run_two(tmp_path / "undisturbed", whole)
    cut = settings_of(dataset, tmp_path / "cut", **more)
    checkpoint = tmp_path / "cut" / "checkpoints" / "checkpoint"

    with Workers(tmp_path / "first", cut) as workers:
        workers.wait_until(checkpoint.exists)
        workers.processes[1].send_signal(signal.SIGTERM)
        ended = workers.end()
    assert [x.code for x in ended] == [75, 75], ended
    lines = [x.err.splitlines()[-1] for x in ended]
    assert lines[0] == lines[1]
    assert "stopped as asked after step " in lines[0]
    step = int(lines[0].partition("after step ")[2].partition(";")[0])
    newest = tf.train.latest_checkpoint(str(checkpoint.parent))
    assert newest.endswith(f"step-{step}")
    assert 0 < step < 48

    for victim in (1, 0):
        before = checkpoint.stat().st_mtime_ns
        with Workers(tmp_path / f"victim{victim}", cut) as workers:
            workers.wait_until(
                lambda then=before: checkpoint.stat().st_mtime_ns > then
            )
            workers.processes[victim].kill()
            ended = workers.end(patience=90)
        assert ended[victim].code == -signal.SIGKILL
        survivor = ended[1 - victim]
        assert survivor.code == 1
        last = survivor.err.splitlines()[-1]
        assert last.startswith("error: another host of the training was lost")
        assert "Traceback" not in survivor.err

    chief, _ = run_two(tmp_path / "last", cut)
    assert "goes on after step " in chief.out
    assert_same_state(tmp_path / "cut", tmp_path / "whole", tolerance=0)


@pytest.mark.slow
def test_vectors_and_few_validation_pictures(
    dataset, mirrored, tmp_path, monkeypatch
):
    """The third stage needs other vectors than the first: those are stale."""
    few = "validation[:3]"  # for 8 places
    settings = settings_of(
        dataset,
        tmp_path / "processes",
        stages="logits:1:0.01,conv5_x+logits:1:1e-9,logits:1:0.01",
        validation_split=few,
    )
    _, other = run_two(tmp_path / "workers", settings)
    assert other.out == other.err == ""
    run_devices(settings, tmp_path / "devices", monkeypatch)
    assert_same_state(tmp_path / "processes", tmp_path / "devices", 1e-4)
    found = read_vectors(tmp_path / "processes" / "vectors")
    expected = read_vectors(tmp_path / "devices" / "vectors")
    assert sum(map(len, found.values())) == 88  # whole files
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name].shape[1] == 512
        np.testing.assert_allclose(  # two float16 numbers side by side
            found[name], expected[name], rtol=1e-3, atol=1e-6
        )

    found = figures_of(tmp_path / "processes")
    expected = evaluate.run(
        evaluate.Config(
            run=str(tmp_path / "processes"), split=few, strategy="one"
        )
    )
    assert found["examples"] == 3
    assert expected == pytest.approx(
        {key: found[key] for key in expected}, rel=1e-5
    )


def read_vectors(folder):
    found = {}
    for path in folder.glob("*.tfrecord-*"):
        records = list(tf.data.TFRecordDataset(str(path)))
        found[path.name] = vector_files.parse(tf.stack(records), 512)["image"]
    return found
