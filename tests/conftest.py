"""Two logical CPUs for every test, set before TensorFlow starts."""

import pathlib

import pytest

from landmark_tf.files import quiet

tf = quiet.import_tensorflow()
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
