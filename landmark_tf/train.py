"""Trains a network on a dataset that `prepare` made.

    python -m landmark_tf.train --flagfile=configs/quickstart.flags
    python -m landmark_tf.train --data=tfrecords/photos --run=runs/photos

Writes the run directory: the best model by validation GAP (model.keras), the
newest states (checkpoints/), history.csv, TensorBoard's logs/, flags.txt. The
same command on a killed training goes on where it was; one that is asked to end
(SIGTERM) saves its state and exits with code 75.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config
from landmark_tf.training import settings as training_settings

if TYPE_CHECKING:
    import keras

    from landmark_tf.data import tfrecords
    from landmark_tf.training import session

Config = training_settings.Config


def run(settings: Config) -> dict[str, float]:
    """Trains, and measures the best model on the validation split.

    Returns:
        The figures of `evaluate`; empty without a validation split.

    Raises:
        InputError: settings or data that cannot be used.
        Preempted: SIGTERM has come; the state is saved.
    """
    chief = fit(settings)
    return _finish(settings, chief)


def fit(
    settings: Config, make_model: "Callable[[], keras.Model] | None" = None
) -> bool:
    """Trains to the end, and leaves the run directory.

    Args:
        settings: of the training.
        make_model: called in the strategy's scope; returns images -> logits.
            None: the network that the settings name.

    Returns:
        Whether this is the host that writes.

    Raises:
        InputError: settings or data that cannot be used.
        Preempted: SIGTERM has come; the state is saved.
    """
    training_settings.check(settings)
    from landmark_tf.files import quiet

    tf = quiet.import_tensorflow()
    import keras

    from landmark_tf.data import tfrecords
    from landmark_tf.training import hosts, preemption, session, strategy

    # Before all else: several hosts must be joined while nothing has run yet.
    devices = strategy.create(settings.strategy, settings.tpu)
    dataset = tfrecords.open_dataset(settings.data)
    settings = _with_whole_paths(settings, dataset)
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        # keras_cv's layers want a generator, though they draw from none here.
        generator = tf.random.Generator.from_seed(settings.seed)
        tf.random.set_global_generator(generator)
        tf.config.experimental.enable_op_determinism()
    with preemption.watched() as asked, hosts.explained(devices):
        training = session.Session(
            settings, dataset, devices, asked, make_model
        )
        training.load_weights()
        chief = hosts.is_chief(devices)
        with _begun(training) if chief else contextlib.nullcontext():
            first_step = training.restore()
            if chief:
                _announce(training, first_step)
            with _explained(training):
                training.fit()
        hosts.wait_for_all(devices)
    return chief


def _with_whole_paths(settings: Config, dataset: "tfrecords.Dataset") -> Config:
    """The run must find what it needs from any other folder."""
    weights = settings.weights
    if weights not in ("", "imagenet"):
        weights = str(pathlib.Path(weights).expanduser().resolve())
    return dataclasses.replace(
        settings, data=str(dataset.path.resolve()), weights=weights
    )


@contextlib.contextmanager
def _begun(training: "session.Session") -> Iterator[None]:
    """Makes or checks the run directory, and holds it."""
    from landmark_tf.files import workspace
    from landmark_tf.training import run_directory

    run_directory.create(
        training.run,
        training.settings,
        training.dataset,
        training_settings.FREE,
    )
    busy = InputError(
        "another training writes to this run directory; wait for it or give "
        f"another --run. Received: {training.run}"
    )
    held = workspace.lock(training.run / ".lock", busy)
    try:
        run_directory.record(training.run, training.settings)
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def _explained(training: "session.Session") -> Iterator[None]:
    """Turns what ends a training too early into one line."""
    from landmark_tf.training import checkpoints, loop

    try:
        yield
    except loop.DivergedError as error:
        steps = checkpoints.steps_saved(training.run)
        flag = "stages" if training.in_stages else "learning_rate"
        good = f"of step {steps[-1]}" if steps else "none"
        raise InputError(
            f"{error}; the last good state is {good}. Train with a lower "
            f"learning rate into another --run. Received: --{flag}="
            f"{config.to_text(getattr(training.settings, flag))}"
        ) from error


def _announce(training: "session.Session", first_step: int) -> None:
    from landmark_tf.training import strategy

    settings, devices = training.settings, training.devices
    print(
        f"{settings.model}, {training.parameters:,} parameters, "
        f"{training.model.input_shape[1]} px, {settings.precision}, "
        f"{strategy.name_of(devices)} on {devices.num_replicas_in_sync} "
        f"device(s), batch {settings.batch_size}, {training.epochs} epochs of "
        f"{training.steps_per_epoch} steps, logs in {settings.run}/logs"
    )
    if first_step >= training.steps:
        more = "" if training.in_stages else "; more --epochs would go on"
        print(f"all {training.steps} steps are done{more}")
    elif first_step:
        print(f"goes on after step {first_step} of {training.steps}")


def _finish(settings: Config, chief: bool) -> dict[str, float]:
    """Measures the model that was kept, and says what to do next."""
    from landmark_tf import evaluate

    figures = {}
    if settings.validation_split:
        figures = evaluate.run(
            evaluate.Config(
                run=settings.run,
                data=settings.data,
                split=settings.validation_split,
                batch_size=settings.batch_size,
                strategy=settings.strategy,
                tpu=settings.tpu,
            )
        )
    name = pathlib.Path(settings.run).name
    if chief:
        print(
            f"next: python -m landmark_tf.export --run={settings.run} "
            f"--out=exported/{name}\n  or: python -m landmark_tf.predict "
            f"--run={settings.run} --csv=TEST.csv --image_root=PHOTOGRAPHS "
            "--out=submission.csv"
        )
    return figures


if __name__ == "__main__":
    command.main(run, Config)
