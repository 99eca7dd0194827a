"""What the options of a training cost: seconds a step beside the plain one.

    python benchmarks/training_costs.py
    python benchmarks/training_costs.py --model=se_resnet18 --turns=3

Trains the network (by default `se_resnet50`) at 128 px in batches of 32 on one
device, with the data already in memory, in float32 and with each option by
itself. The plain step and the option take turns; `ratio` is the median of the
ratios of turns that follow each other. `last_two_stages` trains conv4_x,
conv5_x and the classifier, `vectors` the classifier alone on vectors.

Prints one line of JSON: seconds of the plain step, and the ratios. Takes about
ten minutes.
"""

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from landmark_tf import config
from landmark_tf.files import quiet

BATCH, SIZE, CLASSES = 32, 128, 1000


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the measurement."""

    model: str = config.field("se_resnet50", help="network")
    turns: int = config.field(5, help="of each option")
    steps: int = config.field(3, help="steps of a turn")


OPTIONS = {
    "accumulate_4": {"accumulate": 4},
    "ema": {"ema": 0.999},
    "clip_norm": {"clip_norm": 1.0},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "float16": {"precision": "mixed_float16", "float16": True},
    "jit": {"jit": True},
    "focal": {"gamma": 2.0},
    "last_two_stages": {"layers": ("conv4_x", "conv5_x", "logits")},
    "vectors": {"layers": ("logits",)},
}


def main() -> None:
    """Lets each option take turns with the plain step."""
    settings = config.parse(Config, sys.argv[1:])
    quiet.import_tensorflow()
    plain = _make(settings)
    seconds, ratios = [], {}
    for name, options in OPTIONS.items():
        other = _make(settings, **options)
        turns = []
        for _ in range(settings.turns):
            seconds.append(plain())
            turns.append(other() / seconds[-1])
        ratios[name] = round(statistics.median(turns), 4)
        print(name, ratios[name], file=sys.stderr)
    print(
        json.dumps(
            {
                "benchmark": "training_costs",
                "model": settings.model,
                "seconds": round(statistics.median(seconds), 4),
                "ratios": ratios,
            }
        )
    )


def _make(
    settings: Config,
    precision: str = "float32",
    optimizer: str = "sgd",
    ema: float = 0.0,
    gamma: float = 0.0,
    layers: tuple[str, ...] = ("all",),
    accumulate: int = 1,
    **options,
) -> Callable[[], float]:
    """Returns what runs some steps and says the seconds of one."""
    import keras
    import tensorflow as tf

    from landmark_tf.models import registry
    from landmark_tf.training import (
        averaging,
        batch_norm,
        losses,
        optimizers,
        stages,
        step,
        strategy,
    )

    device = strategy.create("one")
    keras.config.set_dtype_policy(precision)
    with device.scope():
        model = registry.create_model(settings.model, CLASSES, SIZE)
        keras.config.set_dtype_policy("float32")
        batch_norm.prepare(model, replicas=1)
        stages.freeze_all_but(model, layers)
        if layers == ("logits",):
            model = stages.split(model)[1]
        trainer = step.Trainer(
            model,
            optimizers.create(
                optimizer, 0.001, momentum=0.9, weight_decay=1e-4
            ),
            device,
            BATCH,
            lambda labels, logits: losses.focal(labels, logits, gamma),
            average=averaging.WeightAverage(model, ema) if ema else None,
            accumulate=accumulate,
            **options,
        )
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (BATCH, *model.input_shape[1:]), "uint8")
    if len(model.input_shape) == 2:
        image = image.astype("float32") / 255
    label = random.integers(0, CLASSES, BATCH).astype("int32")
    data = tf.data.Dataset.from_tensor_slices({"image": image, "label": label})
    batches = iter(
        strategy.distribute(
            device,
            BATCH,
            lambda batch_size, **_: data.repeat().batch(batch_size, True),
            accumulate,
        )
    )

    def turn() -> float:
        begun = time.perf_counter()
        trainer.run(batches, settings.steps)
        return (time.perf_counter() - begun) / settings.steps

    turn()  # traces
    return turn


if __name__ == "__main__":
    main()
