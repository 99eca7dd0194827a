"""The learning rate as a function of the step."""

import math
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from landmark_tf import InputError
from landmark_tf.training import schedule_factors


@keras.saving.register_keras_serializable("landmark_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate times the product of named factors.

    With S steps an epoch and T steps in all, step s (from 0) is multiplied by

    - `constant`: 1;
    - `step:FACTOR:E`: FACTOR^floor(s / (E S)), a decay after every E epochs;
    - `drop:FACTOR:E`: FACTOR from step E S on, else 1; several of them are
      milestones;
    - `cosine`: (1 + cos(pi s / T)) / 2 (Loshchilov & Hutter 2017, equation 5,
      without restarts), over the whole training, whatever else there is;
    - `warmup:E`: min(1, (s + 1) / (E S)) (Goyal et al. 2017, section 2.2,
      from 0).

    After step T the learning rate is what it would be at step T.

        schedule = Schedule(0.1, ["warmup:1", "cosine"], 100, epochs=20)
        optimizer = keras.optimizers.SGD(schedule)

    Args:
        learning_rate: what is multiplied.
        factors: as `schedule_factors.parse` reads them.
        steps_per_epoch: S, at least 1.
        epochs: of the whole training, at least 1; S times it is T, below 2^31.

    Raises:
        InputError: a factor that is none, or a `step` decay more often than
            at every step.
        ValueError: `steps_per_epoch` or `epochs` is outside its range.
    """

    def __init__(
        self,
        learning_rate: float,
        factors: Sequence[str],
        steps_per_epoch: int,
        epochs: int,
    ):
        self.learning_rate = float(learning_rate)
        self.factors = tuple(factors)
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self._steps = steps_per_epoch * epochs
        if min(steps_per_epoch, epochs) < 1 or self._steps >= 2**31:
            raise ValueError(
                "steps_per_epoch and epochs must be at least 1, and their "
                "product below 2^31. "
                f"Received: {steps_per_epoch} and {epochs}"
            )
        parsed = schedule_factors.parse(self.factors)
        drops = sorted(_drops(parsed, steps_per_epoch, self._steps))
        self._boundaries = np.array([step for step, _ in drops], "int32")
        rates = np.cumprod([self.learning_rate, *(by for _, by in drops)])
        self._rates = rates.astype("float32")
        self._cosines = sum(factor.name == "cosine" for factor in parsed)
        self._warmups = [
            float(factor.epochs * steps_per_epoch)
            for factor in parsed
            if factor.name == "warmup"
        ]

    def __call__(self, step):
        """The learning rate of the update after `step` updates.

        Args:
            step: int, of any shape, at least 0.

        Returns:
            float32, of the shape of `step`.
        """
        # Steps are compared as integers: float32 has only 24 bits of them.
        step = keras.ops.cast(keras.ops.convert_to_tensor(step), "int32")
        step = keras.ops.minimum(step, self._steps)
        passed = keras.ops.expand_dims(step, -1) >= self._boundaries
        count = keras.ops.sum(keras.ops.cast(passed, "int32"), axis=-1)
        rate = keras.ops.take(self._rates, count)
        for warmup in self._warmups:
            share = (keras.ops.cast(step, "float32") + 1.0) / warmup
            rate = rate * keras.ops.minimum(share, 1.0)
        for _ in range(self._cosines):
            # (1 + cos(pi - x)) / 2 = sin(x / 2)^2, and near the end only the
            # right side keeps its digits.
            left = keras.ops.cast(self._steps - step, "float32") / self._steps
            rate = rate * keras.ops.square(keras.ops.sin(math.pi / 2 * left))
        return rate

    def get_config(self) -> dict:
        return {
            "learning_rate": self.learning_rate,
            "factors": list(self.factors),
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
        }


def _drops(
    factors: Iterable[schedule_factors.Factor], steps_per_epoch: int, steps: int
) -> list[tuple[int, float]]:
    """The steps from which on the rate is multiplied, and by what."""
    drops = []
    for factor in factors:
        if factor.name not in ("step", "drop"):
            continue
        every = factor.epochs * steps_per_epoch
        times = steps // every
        if factor.name == "drop":
            times = min(times, 1)
        elif every < 1:
            raise InputError(
                "--schedule: the EPOCHS of a step decay must be at least a "
                f"step, of which an epoch has {steps_per_epoch}. "
                f"Received: {float(factor.epochs)}"
            )
        drops += [
            (math.ceil(k * every), factor.factor) for k in range(1, times + 1)
        ]
    return drops
