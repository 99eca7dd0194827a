"""Which devices compute, as a tf.distribute strategy."""

import functools
import json
import os
import socket
import sys
from collections.abc import Callable

import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.training import hosts

NAMES = ("auto", "one", "mirrored", "multiworker", "tpu")

_PATIENCE = 10  # seconds to wait for an answer of a TPU


def name_of(strategy: tf.distribute.Strategy) -> str:
    """Its word in `NAMES`."""
    for kind, name in (
        (tf.distribute.MultiWorkerMirroredStrategy, "multiworker"),
        (tf.distribute.MirroredStrategy, "mirrored"),
        (tf.distribute.TPUStrategy, "tpu"),
    ):
        if isinstance(strategy, kind):
            return name
    return "one"


def create(name: str = "auto", tpu: str = "") -> tf.distribute.Strategy:
    """Chooses the devices; the same object each time.

    Two MirroredStrategies in one process would mix up their collectives.
    "multiworker" must come before everything else that TensorFlow does.

    Args:
        name: "one": the first GPU, or the CPU. "mirrored": every GPU, or every
            logical CPU where there is no GPU. "multiworker": those of every
            host that TF_CONFIG names. "tpu": every core of a TPU. "auto":
            "multiworker" where TF_CONFIG names several hosts, "mirrored" where
            there are several GPUs, otherwise "one".
        tpu: name or grpc:// address of the TPU; empty: TPU_NAME, or the one of
            this machine.

    Raises:
        InputError: an unknown name, a TF_CONFIG that cannot be used, or no TPU.
    """
    if name not in NAMES:
        raise InputError(
            f"the strategy must be one of {', '.join(NAMES)}. "
            f"Received: {name!r}"
        )
    if name == "tpu":
        return _tpu(tpu)
    if name == "multiworker" or (name == "auto" and len(_addresses()) > 1):
        return _multiworker()
    gpus = tf.config.list_logical_devices("GPU")
    devices = [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return _mirrored(tuple(devices))
    return _one(devices[0])


@functools.cache
def _one(device: str) -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy(device)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices)


def _addresses() -> list[str]:
    """The hosts that TF_CONFIG names; none: it is not set.

    Raises:
        InputError: it is of another form.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        content = json.loads(text or "{}")
        if not content:
            return []
        # A chief is a worker that comes first.
        jobs = {k: content["cluster"].get(k, []) for k in ("chief", "worker")}
        kind, index = content["task"]["type"], int(content["task"]["index"])
        addresses = [*jobs["chief"], *jobs["worker"]]
        if not 0 <= index < len(jobs[kind]):
            raise ValueError("no such task")
        for address in addresses:
            int(address.rpartition(":")[2])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            'TF_CONFIG must be {"cluster": {"worker": ["HOST:PORT", ...]}, '
            '"task": {"type": "worker", "index": N}}, N from 0 on. '
            f"Received: {' '.join(text.split())[:200]}"
        ) from error
    return addresses


@functools.cache
def _multiworker() -> tf.distribute.Strategy:
    addresses = _addresses()
    if not addresses:
        raise InputError(
            "--strategy=multiworker needs the environment variable TF_CONFIG; "
            "docs/distributed.md shows it. Received: none"
        )
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if hosts.place_of(resolver) == (len(addresses), 0) and len(addresses) > 1:
        print(f"waiting for {', '.join(addresses[1:])}", file=sys.stderr)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            "the hosts of TF_CONFIG could not be joined; start the same "
            f"command on all of them ({_short(error)}). "
            f"Received: {', '.join(addresses)}"
        ) from error


@functools.cache
def _tpu(tpu: str) -> tf.distribute.Strategy:
    name = tpu or os.environ.get("TPU_NAME") or "local"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # the resolver would wait for minutes
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        address = resolver.master().removeprefix("grpc://")
        if address:  # TensorFlow would not stop asking
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port))).close()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
        where = "a TPU on this machine" if name == "local" else f"TPU {name!r}"
        raise InputError(
            f"{where} could not be reached; say which with --tpu=NAME, or "
            f"leave out --strategy=tpu ({_short(error)}). "
            f"Received: --tpu={tpu}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def share(
    strategy: tf.distribute.Strategy, batch_size: int, parts: int = 1
) -> int:
    """What a replica gets at a time; for the arguments see `distribute`.

    Raises:
        InputError: the batch cannot be divided.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size < 1 or batch_size % (replicas * parts):
        what = f"the {replicas} devices"
        if parts > 1:
            what += f" times --accumulate={parts}"
        raise InputError(
            f"--batch_size must be a multiple of {what}. Received: {batch_size}"
        )
    return batch_size // (replicas * parts)


def distribute(
    strategy: tf.distribute.Strategy,
    batch_size: int,
    make: Callable[..., tf.data.Dataset],
    parts: int = 1,
) -> tf.distribute.DistributedDataset:
    """Gives every replica its share of every batch.

    Args:
        strategy: the devices.
        batch_size: examples of one step over all replicas; divisible by their
            number and by that of the parts.
        make: called once on each host with `batch_size` (that host's share),
            `num_pipelines` and `pipeline`; returns batches of that size.
        parts: in how many parts, one after the other, a share comes.

    Raises:
        InputError: the batch cannot be divided.
    """
    size = share(strategy, batch_size, parts)

    def one_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = make(
            batch_size=batch_size // context.num_input_pipelines,
            num_pipelines=context.num_input_pipelines,
            pipeline=context.input_pipeline_id,
        )
        # Whole batches of a host are cut, so that no replica ever gets none.
        return batches.rebatch(size, drop_remainder=True)

    return strategy.distribute_datasets_from_function(one_host)
