"""Two logical CPUs for every test, set before TensorFlow starts."""

import pathlib

import pytest

from landmark_tf.files import quiet

tf = quiet.import_tensorflow()
tf.config.set_visible_devices([], "GPU")
# Replicas wait for each other: there must be threads enough for both.
tf.config.threading.set_inter_op_parallelism_threads(8)
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session")
def mirrored():
    """The one MirroredStrategy of the test process, on two CPUs."""
    from landmark_tf.training import strategy

    return strategy.create("mirrored")


@pytest.fixture(scope="session")
def photos():
    """The folder of real photographs, which is not part of the project."""
    folder = pathlib.Path(__file__).parents[2] / "shared" / "photos"
    if not folder.is_dir():
        pytest.skip("the real photographs are not here")
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Drawn photographs with their CSVs: a folder as `data.toy` writes it."""
    from landmark_tf.data import toy

    out = tmp_path_factory.mktemp("toy") / "photographs"
    toy.run(
        toy.Config(
            out=str(out),
            size=64,
            landmarks=3,
            images=24,
            no_landmark=16,
            test=12,
        )
    )
    return out


@pytest.fixture(scope="session")
def dataset(toy, tmp_path_factory):
    """The dataset folder that `prepare` makes of the drawn photographs."""
    from landmark_tf import prepare

    out = tmp_path_factory.mktemp("data") / "toy"
    prepare.run(
        prepare.Config(
            train_csv=str(toy / "train.csv"),
            image_root=str(toy / "train"),
            no_landmark_csv=str(toy / "no_landmark.csv"),
            out=str(out),
            stored_size=48,
            min_images=2,
            split=(0.7, 0.3, 0.0),
            workers=1,
        )
    )
    return out


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    """A run directory: a small network after two epochs; and its figures."""
    from landmark_tf import train

    run = tmp_path_factory.mktemp("runs") / "toy"
    figures = train.run(
        train.Config(
            data=str(dataset),
            run=str(run),
            model="resnet18",
            image_size=32,
            batch_size=8,
            learning_rate=0.001,
            epochs=2,
            strategy="one",
        )
    )
    return run, figures
