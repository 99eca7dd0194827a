"""What the training loop costs beside a bare training step.

    pip install landmark_tf[bench]
    python benchmarks/loop_overhead.py
    python benchmarks/loop_overhead.py --quick

Three measurements on two cores, each in a process of its own:

- overhead: `loop.fit` with the callbacks of `train`, a moving progress bar
  included, against a `tf.function` step written by hand below: the same network
  with the same fused batch norm, the same optimizer, the same batch in memory.
  The two take turns in one process, as a callback runs the bare steps between
  two calls of the loop's. `tiny` is a network whose step takes a millisecond,
  so that the cost in milliseconds shows. With one and with ten steps a call.
- data_wait: the share of the time that `se_resnet50` at 128 px waits for
  batches of 32 from JPEGs of 160 x 213 pixels, as the loop logs it for an
  epoch; the first one also fills the shuffle buffer.
- memory: of a training of the tiny network on tfrecords/toy, validated and
  saved after each epoch, at every 250 of 2,000 steps that follow 1,000 others,
  in which buffers and the allocator's pools fill: the resident MB, and of them
  the MB that are in use (the rest is kept by the allocator for reuse).

Prints one line of JSON. For each overhead: `ours` and `peer` in images/s,
medians over the turns; `ratio`, `overhead_percent` and `overhead_ms_per_step`,
medians over the pairs of turns that follow each other, so that they hold on a
busy machine; `cpu_overhead_percent`, the same from the processor time of all
threads. Takes about six minutes.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 1000
SIZES = {"tiny": (8, 32)}  # batch, pixels
SIZE_OF_OTHERS = (32, 128)
WARM_UP = 3  # turns
PARTS = (
    "overhead se_resnet18 1",
    "overhead se_resnet18 10",
    "overhead tiny 1",
    "overhead tiny 10",
    "data_wait se_resnet50",
    "memory tiny",
)


def main() -> None:
    """Measures one part after the other and prints one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--only", default="", help="parts that begin so")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        return _work(given.part, given.quick)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    results = {}
    for part in PARTS:
        if part.startswith(given.only):
            command = [sys.executable, __file__, f"--part={part}"]
            command += ["--quick"] * given.quick
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            results[part] = json.loads(done.stdout)
            print(part, results[part], file=sys.stderr, flush=True)
    print(json.dumps({"name": "loop_overhead", "parts": results}))


def _work(part: str, quick: bool) -> None:
    """What the process of one part does: prints its figures."""
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    kind, name, *steps = part.split()
    answers = sys.stdout
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        tempfile.TemporaryDirectory() as folder,
    ):
        sys.stdout = nowhere  # where the progress bar goes
        if kind == "overhead":
            figures = _overhead(Path(folder), name, int(steps[0]), quick)
        elif kind == "data_wait":
            figures = _data_wait(Path(folder), name, quick)
        else:
            figures = _memory(Path(folder), name, quick)
        sys.stdout = answers
    print(json.dumps(figures))


def _overhead(
    folder: Path, name: str, steps_per_call: int, quick: bool
) -> dict[str, Any]:
    """Measures the loop against the bare step."""
    import keras
    import tensorflow as tf

    batch_size, size = _sizes(name)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, size, size, 3), "uint8")
    labels = random.integers(0, CLASSES, batch_size, "int32")
    bare = _bare_step(name)
    batch = tf.constant(images), tf.constant(labels)
    ours, peer = [], []  # [seconds, processor seconds] of a turn

    class Turns(keras.callbacks.Callback):
        """Runs after all other callbacks, between two calls of the loop."""

        def __init__(self):
            super().__init__()
            self.since = _clocks()

        def on_train_batch_end(
            self, batch_end: int, logs: dict | None = None
        ) -> None:
            ours.append(_clocks() - self.since)
            begun = _clocks()
            for _ in range(steps_per_call):
                bare(*batch)
            self.since = _clocks()
            peer.append(self.since - begun)

    turns = (300 if name == "tiny" else 40) // (5 if quick else 1)
    turns = WARM_UP + max(4, turns // (1 if steps_per_call == 1 else 5))
    trainer = _trainer(name)
    same = tf.data.Dataset.from_tensors({"image": images, "label": labels})
    _fit(
        folder,
        trainer,
        lambda **_: same.repeat(),
        steps_per_epoch=turns * steps_per_call,
        epochs=1,
        steps_per_call=steps_per_call,
        more=[Turns()],
    )
    ours, peer = np.array(ours[WARM_UP:]), np.array(peer[WARM_UP:])
    ratio, cpu_ratio = np.median(ours / peer, axis=0)
    examples = steps_per_call * batch_size
    more = np.median(ours - peer, axis=0) / steps_per_call * 1e3
    return {
        "ours": round(examples / float(np.median(ours[:, 0])), 1),
        "peer": round(examples / float(np.median(peer[:, 0])), 1),
        "unit": "images/s",
        "ratio": round(1 / ratio, 4),
        "overhead_percent": round((ratio - 1) * 100, 2),
        "cpu_overhead_percent": round((cpu_ratio - 1) * 100, 2),
        "overhead_ms_per_step": round(more[0], 3),
        "cpu_overhead_ms_per_step": round(more[1], 3),
        "turns": len(ours),
    }


def _bare_step(name: str) -> Callable:
    """A training step without a loop, strategy, metrics or callbacks."""
    import tensorflow as tf

    from landmark_tf.training import batch_norm, optimizers

    model = _model(name)
    batch_norm.prepare(model, replicas=1)
    optimizer = optimizers.SGD(0.01, momentum=0.9, l2=1e-4)
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            )
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return loss

    return step


def _data_wait(folder: Path, name: str, quick: bool) -> dict[str, Any]:
    """Measures how long a large network waits for its batches."""
    import input_pipeline  # beside this file
    import keras

    from landmark_tf.data import pipeline

    shares = []

    class Shares(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            shares.append(round(logs["data_wait"], 4))

    batch_size, size = _sizes(name)
    jpegs = [input_pipeline._jpeg(np.random.default_rng(i)) for i in range(128)]
    dataset = input_pipeline._write_dataset(folder / "dataset", jpegs)

    def batches(**context: int) -> Any:
        return pipeline.train_batches(
            dataset, image_size=size, seed=0, epochs=1, **context
        )

    _fit(
        folder,
        _trainer(name),
        batches,
        steps_per_epoch=4 if quick else 20,
        epochs=2,
        more=[Shares()],
    )
    return {"share": shares[-1], "share_of_first_epoch": shares[0]}


def _memory(folder: Path, name: str, quick: bool) -> dict[str, Any]:
    """Measures what a long training holds."""
    import functools

    import keras

    from landmark_tf.data import pipeline, tfrecords
    from landmark_tf.training import evaluation

    measured = []  # [resident, in use] after each step

    class Memory(keras.callbacks.Callback):
        """Reads the memory at each step."""

        def on_train_batch_end(
            self, batch: int, logs: dict | None = None
        ) -> None:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            measured.append(
                (pages * os.sysconf("SC_PAGE_SIZE") / 1e6, _in_use())
            )

    batch_size, size = _sizes(name)
    dataset = tfrecords.open_dataset(ROOT / "tfrecords" / "toy")
    steps = pipeline.steps_per_epoch(dataset, "train", batch_size)
    first, total = (200, 700) if quick else (1000, 3000)
    epochs = -(-total // steps)
    trainer = _trainer(name)
    evaluator = evaluation.Evaluator(
        dataset, "validation", trainer.model, trainer.strategy, batch_size
    )
    _fit(
        folder,
        trainer,
        functools.partial(
            pipeline.train_batches,
            dataset,
            image_size=size,
            seed=0,
            epochs=epochs,
        ),
        steps_per_epoch=steps,
        epochs=epochs,
        more=[Memory()],
        evaluator=evaluator,
    )
    shown = [
        np.median(measured[n - 5 : n], axis=0)
        for n in range(first, total + 1, 250)
    ]
    resident, in_use = np.round(shown, 1).T.tolist()
    return {
        "resident_mb": resident,
        "in_use_mb": in_use,
        "resident_growth_percent": _growth(resident),
        "in_use_growth_percent": _growth(in_use),
    }


def _growth(mb: list[float]) -> float:
    return round((mb[-1] / mb[0] - 1) * 100, 2)


def _in_use() -> float:
    """MB that are allocated and not freed, as glibc counts them."""

    class Counts(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks"
        _fields_ = [
            (name, ctypes.c_size_t)
            for name in f"{names} fordblks keepcost".split()
        ]

    count = ctypes.CDLL(None).mallinfo2
    count.restype = Counts
    counts = count()
    return (counts.uordblks + counts.hblkhd) / 1e6


def _fit(
    folder: Path,
    trainer: Any,
    make: Callable,
    *,
    steps_per_epoch: int,
    epochs: int,
    steps_per_call: int = 1,
    more: list,
    evaluator: Any = None,
) -> None:
    """Trains as `train` does, with a moving progress bar and more callbacks."""
    import keras

    from landmark_tf.training import (
        checkpoints,
        loop,
        settings,
        strategy,
        watching,
    )

    run = folder / "run"
    run.mkdir()
    given = settings.Config(data="memory", run=str(run))
    saver = checkpoints.Checkpoints(
        run, trainer.model, trainer, steps_per_epoch
    )
    shown = watching.callbacks(
        run, given, steps_per_epoch, 0, evaluator=evaluator
    )
    callbacks = keras.callbacks.CallbackList(
        [*shown, saver, *more],
        model=trainer.model,
        epochs=epochs,
        steps=steps_per_epoch,
        verbose=1,
    )
    batches = strategy.distribute(trainer.strategy, trainer.batch_size, make)
    callbacks.on_train_begin()
    loop.fit(
        trainer,
        iter(batches),
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        steps_per_call=steps_per_call,
        validate=evaluator,
        callbacks=callbacks,
    )
    callbacks.on_train_end()


def _trainer(name: str) -> Any:
    from landmark_tf.training import batch_norm, optimizers, step, strategy

    device = strategy.create("one")
    with device.scope():
        model = _model(name)
        batch_norm.prepare(model, replicas=1)
        optimizer = optimizers.SGD(0.01, momentum=0.9, l2=1e-4)
        return step.Trainer(model, optimizer, device, _sizes(name)[0])


def _model(name: str) -> Any:
    import keras

    from landmark_tf.models import registry

    size = _sizes(name)[1]
    if name != "tiny":
        return registry.create_model(name, CLASSES, size)
    inputs = keras.Input((size, size, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def _sizes(name: str) -> tuple[int, int]:
    """Examples of a batch, and pixels of their side."""
    return SIZES.get(name, SIZE_OF_OTHERS)


def _clocks() -> np.ndarray:
    """Seconds by the wall, and of all threads on the processors."""
    return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    main()
