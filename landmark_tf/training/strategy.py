"""Which devices compute, as a tf.distribute strategy."""

import contextlib
import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from landmark_tf import InputError

NAMES = ("auto", "one", "mirrored", "multiworker", "tpu")

_PATIENCE = 10  # seconds to wait for an answer of a TPU


@functools.cache
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
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


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


def _multiworker() -> tf.distribute.Strategy:
    addresses = _addresses()
    if not addresses:
        raise InputError(
            "--strategy=multiworker needs the environment variable TF_CONFIG; "
            "docs/distributed.md shows it. Received: none"
        )
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if _place(resolver) == (len(addresses), 0) and len(addresses) > 1:
        print(f"waiting for {', '.join(addresses[1:])}", file=sys.stderr)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            "the hosts of TF_CONFIG could not be joined; start the same "
            f"command on all of them ({_short(error)}). "
            f"Received: {', '.join(addresses)}"
        ) from error


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


@contextlib.contextmanager
def explained(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns the loss of another host into one line.

    Raises:
        InputError: another host does not answer any more.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not _on_several_hosts(strategy) or not isinstance(error, _LOST):
            raise
        raise InputError(
            "another host of the training was lost or has stopped; start the "
            "same command again on all of them. "
            f"Received: no answer from one of {', '.join(_addresses())}"
        ) from error


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files and speaks."""
    return hosts(strategy)[1] == 0


def hosts(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """How many processes like this one there are, and which of them it is."""
    if not _on_several_hosts(strategy):
        return 1, 0
    return _place(strategy.cluster_resolver)


def _place(
    resolver: tf.distribute.cluster_resolver.ClusterResolver,
) -> tuple[int, int]:
    spec = resolver.cluster_spec()
    chiefs = spec.num_tasks("chief") if "chief" in spec.jobs else 0
    workers = spec.num_tasks("worker") if "worker" in spec.jobs else 0
    before = chiefs if resolver.task_type == "worker" else 0
    return chiefs + workers, before + resolver.task_id


def _on_several_hosts(strategy: tf.distribute.Strategy) -> bool:
    """Whether there is a process like this one on every host."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def gather(
    strategy: tf.distribute.Strategy, value: tf.distribute.DistributedValues
) -> np.ndarray:
    """What all replicas of all hosts have computed, one behind the other.

    Args:
        strategy: the devices.
        value: a tensor of each replica, [n, ...], of equal shapes.
    """
    if _on_several_hosts(strategy):
        kind = strategy.experimental_local_results(value)[0].dtype
        return _gatherer(strategy)(value).numpy().astype(kind.as_numpy_dtype)
    parts = strategy.experimental_local_results(value)
    return np.concatenate([part.numpy() for part in parts])


@functools.cache
def _gatherer(strategy: tf.distribute.Strategy) -> Callable:
    """Compiled once: `gather` alone makes a new graph at each call."""

    @tf.function
    def gathered(value: tf.distribute.DistributedValues) -> tf.Tensor:
        if value.dtype == tf.bool:  # which hosts cannot send
            value = strategy.run(tf.cast, args=(value, tf.int32))
        return strategy.gather(value, axis=0)

    return gathered


def any_host(strategy: tf.distribute.Strategy, here: bool) -> bool:
    """Whether something is so on at least one host; all must ask at a time."""
    if not _on_several_hosts(strategy):
        return here
    said = _sum(strategy, tf.constant(int(here)))
    return int(said) > 0


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every host has come here."""
    any_host(strategy, False)


def _sum(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    return strategy.reduce("SUM", strategy.run(lambda: value), axis=None)


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
