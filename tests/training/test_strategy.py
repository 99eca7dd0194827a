"""Which devices are chosen, and what they are given and give back."""

import json
import os
import pathlib
import re
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.training import hosts, strategy

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "distributed.md"


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="one of auto, one.*Received: 'gpu'$"):
        strategy.create("gpu")


def test_auto_is_one_device_without_gpus_and_hosts(monkeypatch):
    for text in ("", "{}", task(["a:1"])):
        monkeypatch.setenv("TF_CONFIG", text)
        assert isinstance(strategy.create(), tf.distribute.OneDeviceStrategy)


def task(workers, index=0, kind="worker", **more):
    return json.dumps(
        {
            "cluster": {"worker": workers, **more},
            "task": {"type": kind, "index": index},
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[1]",
        "3",
        '{"cluster": {}}',
        '{"cluster": ["a:1", "b:2"], "task": {"type": "worker", "index": 0}}',
        task(["a:1", "b:2"], index=2),
        task(["a:1", "b:2"], index=-1),
        task(["a:1", "b:2"], index="x"),
        task(["a:1", "b:2"], kind="evaluator", evaluator=["c:3"]),
        task(["a", "b"]),
        task([1, 2]),
        task(3),
    ],
)
@pytest.mark.parametrize("name", ["auto", "multiworker"])
def test_nonsense_in_tf_config_is_one_line(monkeypatch, name, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        InputError, match="^TF_CONFIG must be .*Received: "
    ) as e:
        strategy.create(name)
    assert "\n" not in str(e.value)


def test_several_hosts_need_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="needs the environment .*TF_CONFIG"):
        strategy.create("multiworker")


def test_a_chief_is_the_first_host(monkeypatch):
    """As Kubeflow and Vertex AI write it."""
    places = []
    for kind, index in (("chief", 0), ("worker", 0), ("worker", 1)):
        text = task(["b:2", "c:3"], index, kind, chief=["a:1"])
        monkeypatch.setenv("TF_CONFIG", text)
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        places.append(hosts.place_of(resolver))
        assert strategy._addresses() == ["a:1", "b:2", "c:3"]
    assert places == [(3, 0), (3, 1), (3, 2)]


def test_the_documented_tf_config_is_good(monkeypatch):
    found = re.findall(r"TF_CONFIG='(.+?)'", DOCS.read_text("utf-8"))
    assert len(found) >= 2
    for index, text in enumerate(found[:2]):
        monkeypatch.setenv("TF_CONFIG", text)
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        assert hosts.place_of(resolver) == (len(strategy._addresses()), index)


def test_a_tpu_that_is_not_there_is_one_line_soon(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    # Instead of Google's server, which may be slow to be unknown.
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # does not listen
        nobody = f"grpc://127.0.0.1:{free.getsockname()[1]}"
        for tpu in ("", "nothere", nobody, "grpc://127.0.0.1:x"):
            begun = time.monotonic()
            with pytest.raises(InputError, match="could not be reached") as e:
                strategy.create("tpu", tpu)
            assert str(e.value).endswith(f"Received: --tpu={tpu}")
            assert "\n" not in str(e.value)
            assert time.monotonic() - begun < 10
    assert socket.getdefaulttimeout() is None


def test_a_server_that_never_answers_is_left(monkeypatch):
    """A socket that takes the connection and is silent."""
    monkeypatch.setattr(strategy, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        with pytest.raises(InputError, match="timed out"):
            strategy.create("tpu", "nothere")


def test_share():
    class Devices:
        num_replicas_in_sync = 4

    assert strategy.share(Devices, 64) == 16
    assert strategy.share(Devices, 64, parts=2) == 8
    with pytest.raises(InputError, match="of the 4 devices. Received: 66"):
        strategy.share(Devices, 66)
    with pytest.raises(InputError, match="4 devices times --accumulate=3"):
        strategy.share(Devices, 64, parts=3)
    with pytest.raises(InputError, match="multiple"):
        strategy.share(Devices, 0)


@pytest.mark.parametrize("parts", [1, 2])
def test_every_device_gets_its_share(mirrored, parts):
    """Batches 0..7 and 8..15; the rest fills no batch."""
    asked = []

    def make(batch_size, num_pipelines, pipeline):
        asked.append((batch_size, num_pipelines, pipeline))
        return tf.data.Dataset.range(19).batch(batch_size, drop_remainder=True)

    batches = strategy.distribute(mirrored, 8, make, parts)
    local = mirrored.experimental_local_results
    found = [[part.numpy().tolist() for part in local(x)] for x in batches]
    assert asked == [(8, 1, 0)]
    size = 4 // parts
    numbers = np.arange(16).reshape(-1, 2, size).tolist()
    assert found == numbers


def test_gather_puts_the_devices_in_a_row(mirrored):
    def numbers():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.stack([replica, 10 + replica])

    value = mirrored.run(numbers)
    assert hosts.gather(mirrored, value).tolist() == [0, 10, 1, 11]
    one = strategy.create("one")
    assert hosts.gather(one, one.run(numbers)).tolist() == [0, 10]


def test_a_single_process_is_the_chief(mirrored):
    for devices in (mirrored, strategy.create("one")):
        assert hosts.is_chief(devices)
        assert hosts.place(devices) == (1, 0)
        assert hosts.any_host(devices, True)
        assert not hosts.any_host(devices, False)
        hosts.wait_for_all(devices)


def test_errors_of_one_host_are_not_blamed_on_another(mirrored):
    error = tf.errors.UnavailableError(None, None, "no file server")
    with pytest.raises(tf.errors.UnavailableError):
        with hosts.explained(mirrored):
            raise error


def test_create_gives_the_same_object(mirrored):
    """Two MirroredStrategies would mix up their collectives."""
    assert strategy.create("mirrored", "") is mirrored
    assert strategy.create(name="mirrored", tpu="") is mirrored
    assert strategy.create("one") is strategy.create("one")
    assert "TF_CONFIG" not in os.environ
