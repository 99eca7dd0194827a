"""What a learning-rate schedule is made of, read from the flag `--schedule`.

    --schedule=warmup:1,cosine          --schedule=drop:0.1:20

Apart from `schedules`, so that the settings are checked before Keras, and with
it TensorFlow, is imported.
"""

import dataclasses
import fractions
from collections.abc import Sequence

from landmark_tf import InputError

FORMS = {
    "constant": "constant",
    "step": "step:FACTOR:EPOCHS",
    "drop": "drop:FACTOR:EPOCHS",
    "cosine": "cosine",
    "warmup": "warmup:EPOCHS",
}
_MOST = 1e9


@dataclasses.dataclass(frozen=True)
class Factor:
    """One factor of the learning rate.

    Attributes:
        name: a key of `FORMS`.
        factor: what `step` and `drop` multiply by, above 0.
        epochs: the EPOCHS of the text, above 0; a fraction, because in floats
            0.7 epochs of 10 steps are more than 7 steps.
    """

    name: str
    factor: float = 1.0
    epochs: fractions.Fraction = fractions.Fraction(0)


def parse(factors: Sequence[str]) -> tuple[Factor, ...]:
    """Reads factors as they stand in `--schedule`.

    Args:
        factors: each of one of the `FORMS`; their product is the schedule, so
            none at all is a constant.

    Raises:
        InputError: a text of no such form.
    """
    return tuple(_parse(text) for text in factors)


def _parse(text: str) -> Factor:
    name, *numbers = text.split(":")
    if name not in FORMS:
        raise InputError(
            f"--schedule: expected {', '.join(FORMS.values())}, or several "
            f"with commas between. Received: {text!r}"
        )
    fields = FORMS[name].lower().split(":")[1:]
    try:
        if len(numbers) != len(fields):
            raise ValueError
        # As a float first: the fraction of 1e999999999 would take for ever.
        if not all(0 < float(number) <= _MOST for number in numbers):
            raise ValueError
        values = dict(zip(fields, map(fractions.Fraction, numbers)))
    except ValueError:
        what = "above 0, at most 1e9" if fields else "without a number"
        raise InputError(
            f"--schedule: expected {FORMS[name]}, {what}. Received: {text!r}"
        ) from None
    if "factor" in values:
        values["factor"] = float(values["factor"])
    return Factor(name, **values)
