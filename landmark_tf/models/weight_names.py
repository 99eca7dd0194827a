"""What each weight of a network is called in files of others, by rule.

in_file("cadene", "conv2_x_block1_conv1_bn", 0, "gamma")
# "layer1.0.bn1.weight"
"""

import re
from collections.abc import Collection, Iterable

import keras
import numpy as np

from landmark_tf.models import squeeze_excite

OURS = "landmark_tf"

# The classifier, and squeeze-and-excitation's first and second layer.
_LAYERS = {
    "torchvision": {"logits": "fc"},
    "timm": {"logits": "fc", "se/reduce": "se.fc1", "se/expand": "se.fc2"},
    "cadene": {
        "logits": "last_linear",
        "se/reduce": "se_module.fc1",
        "se/expand": "se_module.fc2",
    },
    "keras": {"logits": "predictions"},
}
_TORCH = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_STEM = re.compile(r"conv1(?:_(?P<number>\d))?(?P<bn>_bn)?")
_BLOCK = re.compile(
    r"conv(?P<stage>\d)_x_block(?P<block>\d+)_"
    r"(?:conv(?P<number>\d)|shortcut|(?P<se>se/\w+))(?P<bn>_bn)?"
)


def parts(model: keras.Model) -> dict[str, list]:
    """Every layer that has weights, with its variables, by our name for it.

    A layer within squeeze-and-excitation is called `NAME_se/reduce` or
    `NAME_se/expand`.
    """
    found = {}
    for layer in model.layers:
        if isinstance(layer, squeeze_excite.SqueezeExcite):
            found[f"{layer.name}/reduce"] = layer.reduce.weights
            found[f"{layer.name}/expand"] = layer.expand.weights
        elif layer.weights:
            found[layer.name] = layer.weights
    return found


def recognise(names: Iterable[str]) -> str:
    """The scheme of a PyTorch file; empty: none that we know.

    "torchvision" are the plain names, which timm shares.
    """
    names = list(names)
    if any(re.match(r"layer0\.|.*\.se_module\.", name) for name in names):
        return "cadene"
    if any(".se." in name for name in names):
        return "timm"
    return "torchvision" if "layer1.0.conv1.weight" in names else ""


def in_file(scheme: str, part: str, index: int, weight: str) -> str:
    """The name of one weight in a file.

    Args:
        scheme: "torchvision", "timm", "cadene", "keras" or `OURS`.
        part: our name of the layer, as in `parts`.
        index: of the weight in its layer.
        weight: its name in its layer, such as "kernel".
    """
    if scheme == OURS:
        return f"{part}/{index}"
    if scheme == "keras":
        return f"{_in_keras(part)}/{weight}"
    return f"{_in_torch(scheme, part)}.{_TORCH.get(weight, weight)}"


def _in_torch(scheme: str, part: str) -> str:
    if stem := _STEM.fullmatch(part):
        place, found = "layer0." if scheme == "cadene" else "", stem
    elif found := _BLOCK.fullmatch(part):
        place = f"layer{int(found['stage']) - 1}.{int(found['block']) - 1}."
        if found["se"]:
            return place + _LAYERS[scheme].get(found["se"], found["se"])
        if not found["number"]:
            return f"{place}downsample.{1 if found['bn'] else 0}"
    else:
        return _LAYERS[scheme].get(part, part)
    return f"{place}{'bn' if found['bn'] else 'conv'}{found['number'] or 1}"


def _in_keras(part: str) -> str:
    if stem := _STEM.fullmatch(part):
        return f"conv1_{'bn' if stem['bn'] else 'conv'}"
    if found := _BLOCK.fullmatch(part):
        return (
            f"conv{found['stage']}_block{found['block']}_"
            f"{found['number'] or 0}_{'bn' if found['bn'] else 'conv'}"
        )
    return _LAYERS["keras"].get(part, part)


def arrange(scheme: str, array: np.ndarray, like: Collection[int]):
    """Turns an array of a file to our axes.

    Args:
        scheme: as in `in_file`.
        array: PyTorch's kernels are [out, in, k, k] and [out, in].
        like: the shape of our variable, for its number of axes.
    """
    if scheme in (OURS, "keras"):
        return array
    if len(like) == 2 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    if len(like) == array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if len(like) == array.ndim == 2 else array


def shape_in_file(scheme: str, shape: Collection[int]) -> tuple[int, ...]:
    """The shape of an array in a file, for ours: the inverse of `arrange`."""
    shape = tuple(shape)
    if scheme in (OURS, "keras"):
        return shape
    return (*reversed(shape[-2:]), *shape[:-2])


def depths(names: Iterable[str]) -> tuple[int, ...]:
    """Blocks in each stage of a residual network, by a PyTorch file's names."""
    blocks = [re.match(r"layer([1-9])\.(\d+)\.", name) for name in names]
    found = {(int(b[1]), int(b[2])) for b in blocks if b}
    stages = [stage for stage, _ in found]
    return tuple(stages.count(stage) for stage in sorted(set(stages)))
