"""Several hosts, with a process like this one on each, that work as one."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from landmark_tf import InputError

# What TensorFlow raises when another host does not answer any more.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@contextlib.contextmanager
def explained(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns the loss of another host into one line.

    Raises:
        InputError: another host does not answer any more.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not _on_several_hosts(strategy) or not isinstance(error, LOST):
            raise
        raise InputError(
            "another host of the training was lost or has stopped; start the "
            "same command again on all of them. "
            f"Received: no answer from one of {place(strategy)[0]} hosts"
        ) from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files and speaks."""
    return place(strategy)[1] == 0


def place(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """How many processes like this one there are, and which of them it is."""
    if not _on_several_hosts(strategy):
        return 1, 0
    return place_of(strategy.cluster_resolver)


def place_of(
    resolver: tf.distribute.cluster_resolver.ClusterResolver,
) -> tuple[int, int]:
    """The same of a cluster; its chief, if it has one, comes first."""
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


def check_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    """Checks that all hosts go on from the same state.

    Raises:
        InputError: they do not see the same run directory.
    """
    if not _on_several_hosts(strategy):
        return
    total = int(_sum(strategy, tf.constant(step)))
    if total != step * strategy.num_replicas_in_sync:
        raise InputError(
            "the hosts have found different states of the training; --run must "
            "be a folder that all of them see. "
            f"Received: the state of step {step} on this one"
        )


def _sum(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    return strategy.reduce("SUM", strategy.run(lambda: value), axis=None)
