r"""Converts published weights into a file of ours, once.

    python -m landmark_tf.models.weights se_resnet50-ce0d4300.pth \
        --model=legacy_se_resnet50 --out=legacy_se_resnet50.weights.h5

SOURCE is `imagenet` (what keras.applications publishes, for the networks it
has), a run directory, or a file: `.keras` and `.weights.h5` of ours, `.h5` of
keras.applications, `.safetensors`, or `.pth`, `.pt` and `.bin` of PyTorch with
the names of torchvision, timm or Cadene's pretrained-models. Everything but the
classifier must match the network; a Se-Att network takes the file of the
network without attention, and its attention modules start fresh.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    import keras

    from landmark_tf.models import weight_files, weight_matching


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a conversion."""

    source: str = config.field(
        positional=True, help="imagenet, a run directory or a file of weights"
    )
    model: str = config.field(help="the network they are for")
    out: str = config.field(help="file to write; ends in .weights.h5")


def load(model: "keras.Model", source: str) -> "weight_matching.Report":
    """Fills a network with weights, all or none, and prints what was loaded.

    The classifier stays as it is when the file has another number of classes
    or none; so do the attention modules when the file is of the network without
    them.

    Args:
        model: made by `entries.build`.
        source: imagenet, a run directory, or a file.

    Returns:
        What was loaded, and how many tensors stayed fresh.

    Raises:
        InputError: the file cannot be read or is of another network, or a
            tensor is missing, unexpected or of another shape.
    """
    from landmark_tf.models import weight_matching

    held = _open(source, model.name, model.input_shape[1])
    return weight_matching.fill(model, held)


def run(settings: Config) -> pathlib.Path:
    """Converts, and returns the file's path.

    Raises:
        InputError: as `load`, or a file without a classifier.
    """
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.files import atomic
    from landmark_tf.models import entries, weight_matching, weight_names

    out = pathlib.Path(settings.out)
    if not out.name.endswith(".weights.h5") or not out.parent.is_dir():
        raise InputError(
            "--out must be a file in an existing folder and end in .weights.h5."
            f" Received: {settings.out}"
        )
    entry = entries.find(settings.model)
    held = _open(settings.source, settings.model, entry.image_size)
    bias = held.arrays.get(
        weight_names.in_file(held.scheme, "logits", 1, "bias")
    )
    if bias is None:
        raise InputError(
            "the file has no classifier; give it to train --weights as it is. "
            f"Received: {settings.source}"
        )
    model = entries.build(settings.model, bias.size, entry.image_size)
    report = weight_matching.fill(model, held)
    if report.fresh_attention:
        raise InputError(
            "the file has no attention modules to convert; give it to train "
            f"--weights as it is. Received: {settings.source}"
        )
    with atomic.replacing(out) as temporary:
        # The ending that Keras insists on.
        complete = temporary.with_suffix(".weights.h5")
        try:
            model.save_weights(complete)
            complete.replace(temporary)
        finally:
            complete.unlink(missing_ok=True)
    print(f"wrote {out}: {settings.model}, {bias.size} classes")
    return out


def _open(source: str, name: str, image_size: int) -> "weight_files.Weights":
    """Reads the weights for a row, and checks that their scheme is the row's.

    Raises:
        InputError: see `load`.
    """
    from landmark_tf.models import (
        entries,
        published,
        weight_files,
        weight_matching,
    )

    entries.find(name)
    if source == "imagenet":
        return published.imagenet(name, image_size)
    path = weight_files.locate(source)
    if weight_files.is_keras_application(path):
        return published.read(path, name)
    held = weight_files.read(path)
    if held.network:
        if held.network not in (name, _without_attention(name)):
            raise InputError(
                f"the file is of {held.network}; give one of {name}. "
                f"Received: {source} for {name}"
            )
    elif held.scheme not in entries.find(name).schemes:
        fits = weight_matching.fits(held)
        raise InputError(
            f"the file has the names of {held.scheme}{fits}, not {name}. "
            f"Received: {source} for {name}"
        )
    return held


def _without_attention(name: str) -> str:
    """The row that a Se-Att row adds attention to; empty: none."""
    from landmark_tf.models import resnet

    row = resnet.TABLE.get(name)
    if row is None or not any(row.attention):
        return ""
    plain = dataclasses.replace(row, attention=(0, 0, 0))
    return next((x for x, other in resnet.TABLE.items() if other == plain), "")


if __name__ == "__main__":
    command.main(run, Config)
