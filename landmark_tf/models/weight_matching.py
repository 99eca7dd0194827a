"""Each weight of a file to the variable that it is for, all or none."""

import dataclasses

import keras

from landmark_tf import InputError
from landmark_tf.models import entries, resnet, weight_names
from landmark_tf.models.weight_files import Weights


@dataclasses.dataclass(frozen=True)
class Report:
    """What was loaded.

    Attributes:
        source: as it was given.
        scheme: whose names the file has.
        loaded: tensors from the file.
        fresh_attention: tensors of attention modules that kept their values.
        fresh_logits: tensors of the classifier that kept theirs.
        left_out: what else stands in the file.
    """

    source: str
    scheme: str
    loaded: int
    fresh_attention: int = 0
    fresh_logits: int = 0
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        line = f"weights: {self.loaded} tensors from {self.source}"
        line += f" ({self.scheme})"
        if not self.fresh_logits:
            line += ", the classifier's too"
        if self.fresh_attention:
            line += f", {self.fresh_attention} fresh (attention)"
        if self.fresh_logits:
            line += f", {self.fresh_logits} fresh (logits)"
        if self.left_out:
            line += f"; left out: {', '.join(self.left_out)}"
        return line


def fill(model: keras.Model, held: Weights) -> Report:
    """Assigns every weight once all have been checked, and prints the report.

    Args:
        model: the network; its name is that of its row.
        held: what the file holds.

    Raises:
        InputError: a tensor is missing, unexpected or of another shape.
    """
    pairs, wrong, report = _pair(model, held)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        other = "" if held.network or held.scheme == "keras" else fits(held)
        raise InputError(
            f"{wrong[0]}{more}; the file does not fit {model.name}{other}. "
            f"Received: {held.source}"
        )
    for variable, array in pairs:
        variable.assign(array)
    print(report)
    return report


def _pair(
    model: keras.Model, held: Weights
) -> tuple[list[tuple], list[str], Report]:
    """Finds the array of every variable.

    Returns:
        Pairs of variable and array; what is wrong with the file; the report if
        nothing is.
    """
    wanted, fresh_attention = {}, 0
    for part, variables in weight_names.parts(model).items():
        if "_att" in part and held.network != model.name:
            fresh_attention += len(variables)
            continue
        for index, variable in enumerate(variables):
            key = weight_names.in_file(held.scheme, part, index, variable.name)
            wanted[key] = variable
    arrays = {
        key: weight_names.arrange(held.scheme, array, wanted[key].shape)
        if key in wanted
        else array
        for key, array in held.arrays.items()
    }
    fresh_logits = _drop_other_classifier(wanted, arrays, held.scheme)
    wrong = [f"{key} is missing" for key in wanted if key not in arrays]
    wrong += [f"{key} is unexpected" for key in arrays if key not in wanted]
    wrong += [
        f"{key} is of shape {held.arrays[key].shape}, not "
        f"{weight_names.shape_in_file(held.scheme, wanted[key].shape)}"
        for key, array in arrays.items()
        if key in wanted and array.shape != tuple(wanted[key].shape)
    ]
    report = Report(
        source=held.source,
        scheme=held.scheme,
        loaded=len(wanted),
        fresh_attention=fresh_attention,
        fresh_logits=fresh_logits,
        left_out=held.left_out,
    )
    pairs = [(wanted[key], arrays[key]) for key in wanted if key in arrays]
    return pairs, wrong, report


def _drop_other_classifier(wanted: dict, arrays: dict, scheme: str) -> int:
    """Takes out a classifier that is for other classes, or is not there.

    Returns:
        How many of its tensors stay fresh.
    """
    kernel, bias = (
        weight_names.in_file(scheme, "logits", index, weight)
        for index, weight in enumerate(("kernel", "bias"))
    )
    if kernel in arrays or bias in arrays:
        features, classes = wanted[kernel].shape
        if kernel not in arrays or bias not in arrays:
            return 0  # one alone is an error
        count = arrays[bias].shape[0] if arrays[bias].ndim else 0
        if count == classes or arrays[kernel].shape != (features, count):
            return 0
        del arrays[kernel], arrays[bias]
    del wanted[kernel], wanted[bias]
    return 2


def fits(held: Weights) -> str:
    """Says which rows a PyTorch file fits, by building the likely ones."""
    depths = weight_names.depths(held.arrays)
    fitting = []
    for name, row in resnet.TABLE.items():
        if (
            held.scheme in row.schemes
            and row.depths == depths
            and not any(row.attention)
            and not _pair(entries.build(name, 1), held)[1]
        ):
            fitting.append(name)
    return f" and fits {' or '.join(fitting)}" if fitting else ""
