"""Learning from scratch: this project against PyTorch with timm.

    pip install -e '.[bench]' timm
    python benchmarks/learning_curve.py --photos=PHOTOS --out=OUT
    python benchmarks/learning_curve.py --quick

Both sides learn the same networks from the same stored JPEGs with the same
recipe: batch 32, SGD with a constant rate of 0.01, momentum 0.9 and L2 decay of
1e-4 on all but vectors, the report's augmentation, cross-entropy; convolutions
start from Kaiming's normal distribution (fan-out), no batch norm from zero, and
the last weights count. `se_resnet18` learns three times, to tell a difference
from chance. Ours are the verbs `prepare`, `train` and `predict`; the peer's are
timm's network (squeeze-and-excitation and biases start as timm has them),
torchvision's transforms and a DataLoader. Both are asked about the same pixels
of the same queries, and scored by `score`.

PHOTOS holds train.csv, train/, test.csv, test/ and recognition_solution.csv, as
Google Landmarks lays them out; about 800 photographs need two hours on two
cores, --quick (one epoch) a few minutes. Each training has a process, a log in
OUT and a folder beside it with history.csv and submission.csv; its figures
become a line of OUT/runs.jsonl. The same command goes on after the trainings
that stand there. What else the machine does changes images/s alone.

Prints one line of JSON, for each network: `ours`, `peer` (mean GAP over the
queries that show a landmark), `ratio`; for several trainings also the standard
error of the difference; and of each side the accuracy on these queries, the GAP
over all queries, and images/s in training.
"""

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH, RATE, MOMENTUM, DECAY = 32, 0.01, 0.9, 1e-4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETWORKS = {
    "se_resnet18": {"peer": "seresnet18", "size": 96, "epochs": 20, "seeds": 3},
    "se_resnet50": {
        "peer": "seresnet50",
        "size": 128,
        "epochs": 30,
        "seeds": 1,
    },
}
SIDES = ("ours", "peer")
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"


def main() -> None:
    """Lets the sides take turns and prints one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--out", type=Path, help="else a temporary folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--side", choices=SIDES[1:], help=argparse.SUPPRESS)
    parser.add_argument("--training", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        return _learn_with_torch(given.out, **given.training)
    if not (given.photos / "train.csv").is_file():
        raise SystemExit(
            "--photos must be a folder with train.csv, train, test.csv, test "
            f"and recognition_solution.csv. Received: {given.photos}"
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        _prepare(given.photos, out)
        runs = _run_all(given.photos, out, given.quick)
    figures = {name: _compare(runs, name) for name in NETWORKS}
    print(json.dumps({"name": "learning_curve", "unit": "GAP", **figures}))


def _run_all(photos: Path, out: Path, quick: bool) -> list[dict]:
    """Trains what is not done yet; the figures of every training."""
    plan = [
        {
            "side": side,
            "name": name,
            "seed": seed,
            "epochs": 1 if quick else network["epochs"],
        }
        for name, network in NETWORKS.items()
        for seed in range(network["seeds"])
        for side in SIDES
    ]
    done, file = [], out / "runs.jsonl"
    if file.exists():
        done = [json.loads(line) for line in file.read_text().splitlines()]
    runs = []
    for training in plan:
        known = [run for run in done if training.items() <= run.items()]
        if not known:
            known = [training | _run(photos, out, training)]
            with open(file, "a", encoding="utf-8") as lines:
                lines.write(json.dumps(known[0]) + "\n")
        runs.append(known[0])
    return runs


def _run(photos: Path, out: Path, training: dict) -> dict[str, Any]:
    """One training in a process of its own, and its figures."""
    run = _folder(out, **training)
    if training["side"] == "peer":
        given = {key: x for key, x in training.items() if key != "side"}
        _call(
            *(run, __file__, "--side=peer", f"--out={out}"),
            f"--training={json.dumps(given)}",
        )
        return _figures(photos, run)
    _call(
        *(run, "-m", "landmark_tf.train", f"--data={out / 'photos'}"),
        *(f"--run={run}", f"--model={training['name']}"),
        f"--image_size={NETWORKS[training['name']]['size']}",
        *(f"--batch_size={BATCH}", f"--epochs={training['epochs']}"),
        *(f"--learning_rate={RATE}", f"--momentum={MOMENTUM}"),
        *(f"--weight_decay={DECAY}", f"--seed={training['seed']}"),
        *("--augment=report", "--validation_split=", "--strategy=one"),
    )
    _call(
        *(run, "-m", "landmark_tf.predict", f"--run={run}"),
        *(f"--csv={photos / 'test.csv'}", f"--image_root={photos / 'test'}"),
        f"--out={run / 'submission.csv'}",
    )
    return _figures(photos, run)


def _folder(out: Path, side: str, name: str, seed: int, epochs: int) -> Path:
    return out / f"{side}_{name}_epochs{epochs}_seed{seed}"


def _call(folder: Path, *arguments: Any) -> None:
    """Runs Python; what it prints is added to FOLDER.log."""
    log = folder.with_suffix(".log")
    with open(log, "a", encoding="utf-8") as file:
        command = [sys.executable, *map(str, arguments)]
        code = subprocess.run(command, stdout=file, stderr=file).returncode
    if code:
        raise SystemExit(f"{command[1:4]} has failed; its error is in {log}")


def _figures(photos: Path, run: Path) -> dict[str, Any]:
    """What a run folder's submission is worth, and how it was learnt."""
    from landmark_tf import score
    from landmark_tf.predictions import submission

    solution = submission.read_solution(photos / "recognition_solution.csv")
    pairs, _ = submission.read_submission(run / "submission.csv")
    shown = solution[solution["landmarks"].map(len) > 0]
    truth = dict(zip(shown["id"], shown["landmarks"]))
    right = [
        landmark in truth.get(query, ())
        for query, landmark in zip(pairs["id"], pairs["landmark_id"])
    ]
    with open(run / "history.csv", encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    rates = [float(epoch["images_per_second"]) for epoch in epochs]
    return {
        "gap": score.score(pairs, shown)["gap"],
        "gap_with_distractors": score.score(pairs, solution)["gap"],
        "accuracy": sum(right) / len(shown),
        "images_per_second": statistics.median(rates),
        "loss": [round(float(epoch["loss"]), 4) for epoch in epochs],
    }


def _compare(runs: list[dict], name: str) -> dict[str, Any]:
    """One network's figures, each the mean of a side's trainings."""
    sides = [
        [run for run in runs if run["side"] == side and run["name"] == name]
        for side in SIDES
    ]

    def means(key: str) -> dict[str, float]:
        return {
            side: round(statistics.mean(run[key] for run in runs), 4)
            for side, runs in zip(SIDES, sides)
        }

    gaps = means("gap")
    result = {
        **gaps,
        "ratio": round(gaps["ours"] / gaps["peer"], 2),
        "trainings": len(sides[0]),
        "epochs": sides[0][0]["epochs"],
    }
    if len(sides[0]) > 1:
        each = [[run["gap"] for run in runs] for runs in sides]
        error = math.sqrt(sum(statistics.variance(x) / len(x) for x in each))
        result["standard_error"] = round(error, 4)
        result["within_two_standard_errors_or_better"] = (
            gaps["ours"] >= gaps["peer"] - 2 * error
        )
    for key in ("accuracy", "gap_with_distractors", "images_per_second"):
        result[key] = means(key)
    return result


def _prepare(photos: Path, out: Path) -> None:
    """The dataset; its pictures as files, and the queries as both see them."""
    _call(
        *(out / "photos", "-m", "landmark_tf.prepare"),
        *(f"--train_csv={photos / 'train.csv'}", f"--out={out / 'photos'}"),
        *(f"--image_root={photos / 'train'}", "--min_images=10"),
        *("--split=1,0,0", "--stored_size=160"),
    )
    from landmark_tf.files import images, quiet

    tf = quiet.import_tensorflow()
    from landmark_tf.data import pipeline, tfrecords
    from landmark_tf.predictions import submission

    dataset = tfrecords.open_dataset(out / "photos")
    keys = {key: tf.io.FixedLenFeature([], "string") for key in ("image", "id")}
    keys["landmark_id"] = tf.io.FixedLenFeature([], "int64")
    files = dataset.builder.info.splits["train"].filepaths
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, keys)
        folder = out / "pictures" / str(int(example["landmark_id"]))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{example['id'].numpy().decode()}.jpg"
        file.write_bytes(example["image"].numpy())
    ids = submission.read_ids(photos / "test.csv")
    found = [
        images.tensorflow_ready(images.find_image(photos / "test", name))
        for name in ids
    ]
    for size in {network["size"] for network in NETWORKS.values()}:
        pixels = [pipeline.preprocess(x, size).numpy() for x in found]
        np.savez(out / f"queries{size}.npz", ids=ids, pixels=pixels)


def _learn_with_torch(out: Path, name: str, seed: int, epochs: int) -> None:
    """The peer's training, in its own process: history.csv, submission.csv."""
    import timm
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(2)
    torch.manual_seed(seed)
    size, run = NETWORKS[name]["size"], _folder(out, "peer", name, seed, epochs)
    run.mkdir(exist_ok=True)
    normalize = transforms.Normalize(MEAN, STD)
    changes = [
        transforms.RandomResizedCrop(size),
        transforms.ColorJitter(0.2, 0.2, 0.2, 0.2),
        transforms.RandomAffine(15, (0.2, 0.2), (0.8, 1.2), 15),
    ]
    steps = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomChoice(changes),
        transforms.ToTensor(),
        normalize,
    ]
    pictures = datasets.ImageFolder(
        str(out / "pictures"), transforms.Compose(steps)
    )
    loader = torch.utils.data.DataLoader(
        pictures,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    model = timm.create_model(
        NETWORKS[name]["peer"],
        pretrained=False,
        num_classes=len(pictures.classes),
        zero_init_last=False,
    ).to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    groups = [
        {"params": [x for x in weights if x.ndim > 1], "weight_decay": DECAY},
        {"params": [x for x in weights if x.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, RATE, MOMENTUM)
    with open(run / "history.csv", "w", encoding="utf-8", newline="") as file:
        history = csv.writer(file)
        history.writerow(("epoch", "loss", "images_per_second"))
        for epoch in range(epochs):
            history.writerow((epoch, *_torch_epoch(model, optimizer, loader)))
            file.flush()
    queries = np.load(out / f"queries{size}.npz")
    pixels = torch.from_numpy(queries["pixels"]).permute(0, 3, 1, 2)
    model.eval()
    with torch.inference_mode():
        logits = [model(normalize(x / 255)) for x in pixels.split(BATCH)]
    answers = torch.cat(logits).softmax(1).max(1)
    with open(run / "submission.csv", "w", encoding="utf-8") as file:
        file.write("id,landmarks\n")
        for query, label, confidence in zip(
            queries["ids"], answers.indices, answers.values
        ):
            landmark = pictures.classes[label]
            file.write(f"{query},{landmark} {float(confidence):.9g}\n")


def _torch_epoch(model: Any, optimizer: Any, loader: Any) -> tuple:
    """One pass; its mean loss and images per second."""
    import torch

    model.train()
    losses, begun = [], time.perf_counter()
    for images, labels in loader:
        images = images.contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.perf_counter() - begun
    return statistics.mean(losses), len(losses) * BATCH / seconds


if __name__ == "__main__":
    main()
