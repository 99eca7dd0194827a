"""Training and inference on a CPU: this project against PyTorch with timm.

    pip install -e '.[bench]' timm
    python benchmarks/train_step.py
    python benchmarks/train_step.py se_resnet50 --rounds=9

The same architectures with the same settings: 128 px, batch 32, float32, SGD
with momentum and weight decay, two threads. Ours are the compiled steps that
`train` and `predict` run; the peer's are eager PyTorch, in its default layout
and with channels last. Each side has a process of its own, because the threads
of one framework slow the other down, and they take turns; figures are medians
of images per second, and ratios are medians of the ratios of turns that follow
each other. In inference ours has its batch norm folded into the convolutions,
as every verb has; both sides get a batch that is decoded already.

Prints one line of JSON for each network and task: `ours`, `peer` (channels
last), `ratio`, and `peer_default` with `ratio_default`. Takes about four
minutes a network; on a machine that does anything else beside it the figures
mean little.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

BATCH, SIZE, CLASSES = 32, 128, 1000
STEPS = {"train": 3, "infer": 8}  # of one turn
WARM_UP = 3
NAMES = {  # ours: timm's
    "resnet50": "resnet50",
    "se_resnet50": "seresnet50",
    "se_resnext50_32x4d": "seresnext50_32x4d",
}
SIDES = ("ours", "peer", "peer_default")


def main() -> None:
    """Lets the sides take turns and prints a line for each figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name in given.names:
        if name not in NAMES:
            parser.error(f"{name} is none of {', '.join(NAMES)}")
    if given.side:
        return _work(given.side, given.names[0])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    for name in given.names:
        for result in _compare(name, given.rounds):
            print(json.dumps(result), flush=True)


def _compare(name: str, rounds: int) -> list[dict]:
    """Measures one network; a result for each task."""
    workers = {side: _Worker(side, name) for side in SIDES}
    results = []
    for task in STEPS:
        rates = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, worker in workers.items():
                rates[side].append(worker.rate(task))
        ratios = {
            side: [a / b for a, b in zip(rates["ours"], rates[side])]
            for side in SIDES[1:]
        }
        results.append(
            {
                "name": f"train_step {name} {task}",
                **{k: round(statistics.median(x), 1) for k, x in rates.items()},
                "unit": "images/s",
                "ratio": round(statistics.median(ratios["peer"]), 2),
                "ratio_default": round(
                    statistics.median(ratios["peer_default"]), 2
                ),
                "ratios": [round(x, 2) for x in ratios["peer"]],
            }
        )
    for worker in workers.values():
        worker.close()
    return results


class _Worker:
    """A process that holds one side's network."""

    def __init__(self, side: str, name: str):
        self._process = subprocess.Popen(
            [sys.executable, __file__, name, f"--side={side}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def rate(self, task: str) -> float:
        """Images per second of one turn."""
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        return STEPS[task] * BATCH / float(self._answer())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side has failed; its error is above")
        return line


def _work(side: str, name: str) -> None:
    """What a worker does: seconds of a turn for every task it reads."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print too
    tasks = _ours(name) if side == "ours" else _peer(name, side == "peer")
    for step in tasks.values():
        for _ in range(WARM_UP):
            step()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        step = tasks[line.strip()]
        start = time.perf_counter()
        for _ in range(STEPS[line.strip()]):
            step()
        print(time.perf_counter() - start, file=answers, flush=True)


def _batch() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, SIZE, SIZE, 3), "uint8")
    return images, random.integers(0, CLASSES, BATCH)


def _ours(name: str) -> dict[str, Callable[[], object]]:
    from landmark_tf.files import quiet

    tf = quiet.import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    from landmark_tf.models import folding, registry
    from landmark_tf.predictions import serving
    from landmark_tf.training import batch_norm, optimizers, step, strategy

    device = strategy.create("one")
    with device.scope():
        model = registry.create_model(name, CLASSES, SIZE)
        folded = folding.for_inference(model)
        batch_norm.prepare(model, replicas=1)
        optimizer = optimizers.SGD(0.01, momentum=0.9, l2=1e-4)
    trainer = step.Trainer(model, optimizer, device, BATCH)
    recogniser = serving.Recogniser(folded, np.arange(CLASSES))
    images, labels = _batch()
    batch = tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": labels}
    )
    batches = batch.batch(BATCH).cache().repeat()
    batches = iter(strategy.distribute(device, BATCH, lambda **_: batches))
    images = tf.constant(images)

    def train() -> float:
        trainer.run(batches, 1)
        return trainer.metrics()["loss"]  # waits for the step

    return {
        "train": train,
        "infer": lambda: recogniser.recognise(images)["confidence"].numpy(),
    }


def _peer(name: str, channels_last: bool) -> dict[str, Callable[[], object]]:
    import timm
    import torch

    torch.set_num_threads(2)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = timm.create_model(NAMES[name], num_classes=CLASSES)
    model = model.to(memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4
    )
    images, labels = _batch()
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    images = images.contiguous(memory_format=layout)
    labels = torch.from_numpy(labels)

    def train() -> float:
        model.train()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    def infer() -> torch.Tensor:
        model.eval()
        with torch.inference_mode():
            return model(images)

    return {"train": train, "infer": infer}


if __name__ == "__main__":
    main()
