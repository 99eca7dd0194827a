"""Reads files of weights whole: arrays by the names that the file gives them.

Nothing in a file is ever executed: pickles are read by PyTorch's restricted
reader (`weights_only=True`), and of a `.keras` only the numbers and names.
"""

import contextlib
import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import safetensors

from landmark_tf import InputError
from landmark_tf.models import weight_names


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        source: the file, as messages name it.
        scheme: whose names: "torchvision", "timm", "cadene", "keras", or
            `weight_names.OURS`.
        arrays: the weights by these names.
        network: the row it was saved from; known of our own files only.
        left_out: what else stands in the file and is no weight.
    """

    source: str
    scheme: str
    arrays: Mapping[str, np.ndarray]
    network: str = ""
    left_out: tuple[str, ...] = ()


TORCH_SUFFIXES = (".pth", ".pt", ".bin")
SUFFIXES = (".keras", ".h5", ".safetensors", *TORCH_SUFFIXES)


def locate(source: str) -> pathlib.Path:
    """The file that is meant: of a run directory its model.keras.

    Raises:
        InputError: it is not there, or its suffix is none of `SUFFIXES`.
    """
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        path /= "model.keras"
        if not path.is_file():
            raise InputError(
                "the folder is no run directory with a model.keras; give a "
                f"file or train first. Received: {source}"
            )
    if not path.is_file():
        raise InputError(
            "no such file of weights; give imagenet, a run directory, or a "
            f"file that ends in {', '.join(SUFFIXES)}. Received: {source}"
        )
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"weights are read from files that end in {', '.join(SUFFIXES)}; "
            f"convert it. Received: {source}"
        )
    return path


def is_keras_application(path: pathlib.Path) -> bool:
    """Whether an HDF5 file is of the form that keras.applications publishes."""
    if path.suffix != ".h5":
        return False
    with _readable(path), h5py.File(path) as file:
        return "layer_names" in file.attrs or "model_weights" in file


def read(path: pathlib.Path) -> Weights:
    """Reads a file of ours or of PyTorch.

    Raises:
        InputError: damaged, of an unknown form, not finite, or a pickle and
            PyTorch is not installed.
    """
    if path.suffix in (".keras", ".h5"):
        weights = _read_ours(path)
    else:
        weights = _read_torch(path)
    check_finite(weights)
    return weights


def check_finite(weights: Weights) -> None:
    """Raises InputError when a weight is infinite or no number."""
    for name, array in weights.arrays.items():
        if not np.isfinite(array).all():
            raise InputError(
                f"{name} holds values that are not finite; fetch the file "
                f"again or take another. Received: {weights.source}"
            )


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a reader raises on a damaged file into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = " ".join(f"{error}".split())[:160] or type(error).__name__
        raise InputError(
            f"the file cannot be read ({text}); fetch or save it again. "
            f"Received: {path}"
        ) from error


def _read_ours(path: pathlib.Path) -> Weights:
    arrays = {}
    with _readable(path), contextlib.ExitStack() as opened:
        data: Any = path
        if path.suffix == ".keras":
            archive = opened.enter_context(zipfile.ZipFile(path))
            data = io.BytesIO(archive.read("model.weights.h5"))
        file = opened.enter_context(h5py.File(data))
        network = _name(file)
        if "layers" in file:
            _collect(file["layers"], "", arrays)
    if not network or not arrays:
        raise InputError(
            "the file holds no model of landmark_tf; give one that train or "
            f"landmark_tf.models.weights wrote. Received: {path}"
        )
    return Weights(str(path), weight_names.OURS, arrays, network)


def _name(group: h5py.Group) -> str:
    return str(group["vars"].attrs.get("name", "")) if "vars" in group else ""


def _collect(group: h5py.Group, above: str, arrays: dict) -> None:
    """Adds the arrays of the layers within a group, as LAYER/INDEX."""
    for key, child in group.items():
        if key in ("vars", "seed_generator"):  # a dropout's state is no weight
            continue
        name = f"{above}{_name(child) or key}/"
        for index, array in child.get("vars", {}).items():
            arrays[name + index] = np.asarray(array)
        _collect(child, name, arrays)


def _read_torch(path: pathlib.Path) -> Weights:
    left_out = ()
    if path.suffix == ".safetensors":
        with _readable(path), safetensors.safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    else:
        arrays, left_out = _unpack(_unpickle(path), path)
    if arrays and all(name.startswith("module.") for name in arrays):
        arrays = {name[len("module.") :]: a for name, a in arrays.items()}
    arrays = {
        name: array
        for name, array in arrays.items()
        if not name.endswith(".num_batches_tracked")
    }
    for name, array in arrays.items():
        if array.dtype.kind in "biuc":
            raise InputError(
                f"{name} holds {array.dtype} and not real numbers; save the "
                f"weights as floats. Received: {path}"
            )
    scheme = weight_names.recognise(arrays)
    if not scheme:
        raise InputError(
            "the names are not those of residual networks of torchvision, "
            f"timm or Cadene: {', '.join([*arrays][:3]) or 'there are none'}. "
            f"Received: {path}"
        )
    arrays = {name: a.astype("float32") for name, a in arrays.items()}
    return Weights(str(path), scheme, arrays, left_out=left_out)


def _unpickle(path: pathlib.Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path.suffix} files need PyTorch: pip install "
            "'landmark_tf[torch]', or convert it to .safetensors. "
            f"Received: {path}"
        ) from error
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10):
        raise InputError(
            "PyTorch before 2.10 can be made to run code by such a file; pip "
            f"install 'torch>=2.10'. Received: {torch.__version__} for {path}"
        )
    import pickle

    with _readable(path):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                "the file is damaged or holds more than tensors, which could "
                "run code and is never unpickled; save its state_dict() alone "
                f"or convert it to .safetensors. Received: {path}"
            ) from error


def _unpack(data: Any, path: pathlib.Path) -> tuple[dict, tuple[str, ...]]:
    """The tensors of a checkpoint, and the names of what else it holds."""
    left_out: tuple[str, ...] = ()
    for key in ("state_dict", "model"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            left_out += tuple(str(other) for other in data if other != key)
            data = data[key]
    if not isinstance(data, Mapping):
        raise InputError(
            f"the file holds a {type(data).__name__}, not tensors by name; "
            f"save a state_dict(). Received: {path}"
        )
    arrays = {}
    for name, tensor in data.items():
        if not hasattr(tensor, "detach"):
            raise InputError(
                f"{name} is a {type(tensor).__name__}, not a tensor; save the "
                f"state_dict() alone. Received: {path}"
            )
        with _readable(path):
            tensor = tensor.detach()
            if tensor.is_floating_point():
                tensor = tensor.float()
            arrays[str(name)] = tensor.numpy()
    return arrays, left_out
