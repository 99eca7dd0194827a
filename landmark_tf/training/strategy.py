"""Which devices compute, as a tf.distribute strategy."""

import functools
from collections.abc import Callable

import tensorflow as tf

from landmark_tf import InputError

NAMES = ("auto", "one", "mirrored")


@functools.cache
def create(name: str = "auto") -> tf.distribute.Strategy:
    """Chooses the devices; the same object each time.

    Two MirroredStrategies in one process would mix up their collectives.

    Args:
        name: "one": the first GPU, or the CPU. "mirrored": every GPU, or every
            logical CPU where there is no GPU. "auto": "mirrored" when there are
            several GPUs, otherwise "one".

    Raises:
        InputError: an unknown name.
    """
    if name not in NAMES:
        raise InputError(
            f"the strategy must be one of {', '.join(NAMES)}. "
            f"Received: {name!r}"
        )
    gpus = tf.config.list_logical_devices("GPU")
    devices = [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


def distribute(
    strategy: tf.distribute.Strategy,
    batch_size: int,
    make: Callable[..., tf.data.Dataset],
) -> tf.distribute.DistributedDataset:
    """Gives every replica its share of every batch.

    Args:
        strategy: the devices.
        batch_size: examples of one step over all replicas; divisible by their
            number.
        make: called once on each host with `batch_size` (that host's share),
            `num_pipelines` and `pipeline`; returns batches of that size.

    Raises:
        InputError: the batch cannot be divided.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size < 1 or batch_size % replicas:
        raise InputError(
            f"--batch_size must be a multiple of the {replicas} devices. "
            f"Received: {batch_size}"
        )

    def one_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = make(
            batch_size=batch_size // context.num_input_pipelines,
            num_pipelines=context.num_input_pipelines,
            pipeline=context.input_pipeline_id,
        )
        share = batch_size // replicas
        # Whole batches of a host are cut, so that no replica ever gets none.
        return batches.rebatch(share, drop_remainder=True)

    return strategy.distribute_datasets_from_function(one_host)
