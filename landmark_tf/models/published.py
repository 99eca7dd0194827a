"""The weights that keras.applications publishes for some of our rows."""

import os
import pathlib

import h5py
import keras

from landmark_tf import InputError
from landmark_tf.models import applications, entries, resnet, weight_files

APPLICATIONS = {
    "inception_v3": keras.applications.InceptionV3,
    "mobilenet_v2": keras.applications.MobileNetV2,
    "resnet50_keras": keras.applications.ResNet50,
    "resnet101_keras": keras.applications.ResNet101,
}
_MOBILENET_SIZES = (96, 128, 160, 192, 224)  # each has weights of its own
_ELSEWHERE = {
    "torchvision": "https://download.pytorch.org/models",
    "timm": "https://huggingface.co/timm",
    "cadene": "https://huggingface.co/timm/models?search=legacy_se",
}


def imagenet(row_name: str, image_size: int) -> weight_files.Weights:
    """Fetches the weights published for a row, or finds them in Keras' cache.

    Args:
        row_name: one of `APPLICATIONS`.
        image_size: in pixels; MobileNetV2 has weights for several.

    Raises:
        InputError: none are published for this row, or they cannot be fetched.
    """
    if row_name not in APPLICATIONS:
        schemes = entries.find(row_name).schemes
        places = [f"{_ELSEWHERE[x]} ({x})" for x in schemes]
        raise InputError(
            f"imagenet is for {', '.join(APPLICATIONS)}; files that fit "
            f"{row_name} are "
            + (f"at {' and '.join(places)}: fetch one and give its path. ")
            * bool(places)
            + "not published. " * (not places)
            + f"Received: imagenet for {row_name}"
        )
    options = {}
    if row_name == "mobilenet_v2" and image_size in _MOBILENET_SIZES:
        options["input_shape"] = (image_size, image_size, 3)
    try:
        network = APPLICATIONS[row_name](weights="imagenet", **options)
    except Exception as error:  # Keras raises a bare Exception among others
        home = os.environ.get("KERAS_HOME", "~/.keras")
        raise InputError(
            f"the weights of {row_name} cannot be fetched "
            f"({' '.join(str(error).split())[:250]}); fetch the file "
            f"elsewhere and put it into {home}/models or give its path. "
            "Received: imagenet"
        ) from error
    return _weights(network, row_name, "imagenet")


def read(path: pathlib.Path, row_name: str) -> weight_files.Weights:
    """Reads a file of keras.applications, with or without its classifier.

    Such a file gives layers in order and not by names that last, so that only
    the network itself can say what fits.

    Raises:
        InputError: it does not fit this row; the one that it fits is named.
    """
    try:
        if row_name in APPLICATIONS:
            return _weights(_fill(row_name, path), row_name, str(path))
        reason = "is of keras.applications"
    except InputError:
        raise
    except Exception as error:
        reason = f"does not fit {row_name} ({' '.join(str(error).split())})"
    for other in APPLICATIONS:
        try:
            if other != row_name and _fill(other, path):
                reason = f"{reason} and fits {other}"
                break
        except Exception:  # whatever Keras raises, it does not fit
            continue
    raise InputError(f"the file {reason}. Received: {path} for {row_name}")


def _fill(row_name: str, path: pathlib.Path) -> keras.Model:
    """The network of keras.applications, with the weights of a file."""
    shapes = []
    with h5py.File(path) as file:
        file.get("model_weights", file).visititems(
            lambda _, item: shapes.append(getattr(item, "shape", ()))
        )
    heads = [shape for shape in shapes if len(shape) == 2]
    network = APPLICATIONS[row_name](
        weights=None,
        include_top=bool(heads),
        classes=heads[0][1] if heads else 1000,
    )
    network.load_weights(path)
    return network


def _weights(
    network: keras.Model, row_name: str, source: str
) -> weight_files.Weights:
    names = applications.lasting_names([x.name for x in network.layers])
    arrays = {
        f"{names[layer.name]}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in network.layers
        for weight in layer.weights
    }
    if row_name in resnet.TABLE:  # theirs takes blue first, ours red
        arrays["conv1_conv/kernel"] = arrays["conv1_conv/kernel"][:, :, ::-1]
    weights = weight_files.Weights(source, "keras", arrays)
    weight_files.check_finite(weights)
    return weights
