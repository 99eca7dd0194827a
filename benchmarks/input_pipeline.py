"""Loading training pictures: this project against a PyTorch DataLoader.

    pip install landmark_tf[bench]
    python benchmarks/input_pipeline.py

Both read the same pictures, drawn here and stored as JPEG of 160 x 213 pixels,
and deliver batches of 32 at 128 x 128 with the report's augmentation, on two
cores. The DataLoader does what the report's code did, through PIL, with two
workers. The two take turns; the figures are medians of images per second, and
`ratio` is the median of the ratios of turns that follow each other.

Prints one line of JSON: `ours`, `peer`, `ratio`; what the machine can do
at most, `decode` and `decode_and_resize`; and `share_of_limit`, ours divided by
the latter. Takes about two minutes.
"""

import io
import json
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance

BATCH, SIZE = 32, 128
DRAWN, STORED = 512, 4096  # pictures; each is stored again under other names
WARM_UP, TIMED, ROUNDS = 12, 112, 7  # batches, batches, turns


def main() -> None:
    """Lets the sides take turns and prints one JSON line."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as folder:
        jpegs = [_jpeg(np.random.default_rng(i)) for i in range(DRAWN)]
        for i, jpeg in enumerate(jpegs):
            Path(folder, f"{i}.jpg").write_bytes(jpeg)
        loader = torch.utils.data.DataLoader(
            Pictures(folder),
            BATCH,
            shuffle=True,
            num_workers=2,
            persistent_workers=True,
            multiprocessing_context="spawn",  # TensorFlow's threads do not fork
        )
        sides = {"peer": lambda: loader, **_our_sides(Path(folder), jpegs)}
        rates = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, make in sides.items():
                rates[name].append(_rate(make()))
    median = {name: statistics.median(x) for name, x in rates.items()}
    turns = zip(rates["ours"], rates["peer"], strict=True)
    ratios = [round(ours / peer, 2) for ours, peer in turns]
    result = {
        "name": "input_pipeline",
        **{name: round(x) for name, x in median.items()},
        "unit": "images/s",
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "share_of_limit": round(
            median["ours"] / median["decode_and_resize"], 2
        ),
        "jpeg_bytes": round(statistics.mean(map(len, jpegs))),
    }
    print(json.dumps(result))


def _rate(batches: Iterable) -> float:
    """Images per second, after a few batches to warm up."""
    iterator = iter(batches)
    for _ in range(WARM_UP):
        next(iterator)
    start = time.perf_counter()
    for _ in range(TIMED):
        next(iterator)
    return TIMED * BATCH / (time.perf_counter() - start)


def _our_sides(folder: Path, jpegs: list[bytes]) -> dict[str, Callable]:
    """What makes our batches, and those of less work that bound them."""
    from landmark_tf.files import quiet

    tf = quiet.import_tensorflow()
    from landmark_tf.data import pipeline

    dataset = _write_dataset(folder / "dataset", jpegs)

    def batches(augment: str) -> "tf.data.Dataset":
        return pipeline.train_batches(
            dataset,
            batch_size=BATCH,
            image_size=SIZE,
            seed=0,
            augment=augment,
            epochs=2,
        )

    def decode(record: "tf.Tensor") -> "tf.Tensor":
        feature = tf.io.FixedLenFeature([], tf.string)
        example = tf.io.parse_single_example(record, {"image": feature})
        return tf.io.decode_jpeg(example["image"], channels=3)[0, 0]

    files = dataset.builder.info.splits["train"].filepaths
    records = tf.data.TFRecordDataset(files).repeat().shuffle(STORED)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    decoded = records.map(decode, tf.data.AUTOTUNE).batch(BATCH).prefetch(2)
    return {
        "ours": lambda: batches("report"),
        "decode_and_resize": lambda: batches("none"),
        "decode": lambda: decoded.with_options(options),
    }


def _write_dataset(path: Path, jpegs: list[bytes]) -> Any:
    """The pictures as a dataset, again and again under new ids."""
    import pandas as pd
    import tensorflow as tf

    from landmark_tf.data import tfrecords

    path.mkdir()
    reports, shards = [], 8
    for shard in range(shards):
        records = [
            tfrecords.serialize(jpegs[i % len(jpegs)], 0, 0, f"{i}")
            for i in range(shard, STORED, shards)
        ]
        name = tfrecords.shard_name("dataset", "train", shard, shards)
        with tf.io.TFRecordWriter(str(path / name)) as writer:
            for record in records:
                writer.write(record)
        size = sum(map(len, records))
        reports.append({"records": len(records), "bytes": size})
    tfrecords.write_metadata(path, "dataset", {"train": reports})
    classes = pd.DataFrame({"label": [0], "landmark_id": 0, "images": STORED})
    classes.to_csv(path / "classes.csv", index=False)
    (path / tfrecords.SETTINGS).write_text("{}")
    return tfrecords.open_dataset(path)


def _jpeg(rng: np.random.Generator) -> bytes:
    """Draws noise at four scales and shapes, 10 to 15 kB as photographs."""
    width, height = (213, 160) if rng.random() < 0.7 else (160, 213)
    pixels = rng.normal(size=(height, width, 1)) * 3 + rng.uniform(80, 170, 3)
    for cells, contrast in ((4, 60), (10, 45), (30, 25), (90, 12)):
        for channel in range(3):
            noise = rng.normal(size=(cells, cells)).astype(np.float32)
            noise = Image.fromarray(noise).resize(
                (width, height), Image.BICUBIC
            )
            pixels[..., channel] += contrast * np.asarray(noise)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for i in range(12):
        x, y, w, h = rng.integers(0, [width, height, 50, 50])
        shape = draw.rectangle if i % 2 else draw.ellipse
        colour = tuple(rng.integers(0, 256, 3).tolist())
        shape((x, y, x + w, y + h), fill=colour)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


class Pictures(torch.utils.data.Dataset):
    """The report's steps: the same PIL calls as torchvision's transforms."""

    def __init__(self, folder: str):
        self.folder = folder

    def __len__(self) -> int:
        return STORED

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        file = os.path.join(self.folder, f"{index % DRAWN}.jpg")
        with open(file, "rb") as opened:
            image = Image.open(opened).convert("RGB")
        image = image.resize((SIZE, SIZE), Image.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        change = random.choice((_crop, _jitter, _affine))
        pixels = torch.from_numpy(np.array(change(image), np.uint8))
        pixels = pixels.permute(2, 0, 1).contiguous().float().div(255)
        return pixels.sub_(0.5).div_(0.5), 0


def _crop(image: Image.Image) -> Image.Image:
    """RandomResizedCrop(128)."""
    for _ in range(10):
        area = random.uniform(0.08, 1) * SIZE * SIZE
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width = round(math.sqrt(area * aspect))
        height = round(math.sqrt(area / aspect))
        if width <= SIZE and height <= SIZE:
            x = random.randint(0, SIZE - width)
            y = random.randint(0, SIZE - height)
            image = image.crop((x, y, x + width, y + height))
            break
    return image.resize((SIZE, SIZE), Image.BILINEAR)


def _jitter(image: Image.Image) -> Image.Image:
    """ColorJitter(0.2, 0.2, 0.2, 0.2)."""
    enhancers = (
        ImageEnhance.Brightness,
        ImageEnhance.Contrast,
        ImageEnhance.Color,
        None,
    )
    for enhancer in random.sample(enhancers, 4):
        if enhancer:
            image = enhancer(image).enhance(random.uniform(0.8, 1.2))
        else:
            hue, saturation, value = image.convert("HSV").split()
            turn = int(random.uniform(-0.2, 0.2) * 255) % 256
            turned = np.array(hue, np.uint8) + np.uint8(turn)
            hue = Image.fromarray(turned)
            image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return image


def _affine(image: Image.Image) -> Image.Image:
    """RandomAffine(15, translate=(0.2, 0.2), scale=(0.8, 1.2), shear=15)."""
    angle, shear = (math.radians(random.uniform(-15, 15)) for _ in range(2))
    x, y = (round(random.uniform(-0.2, 0.2) * SIZE) for _ in range(2))
    scale = random.uniform(0.8, 1.2)
    cos, sin, tan = math.cos(angle), math.sin(angle), math.tan(shear)
    a, b = (cos - tan * sin) / scale, (sin + tan * cos) / scale
    c, d = -sin / scale, cos / scale
    centre = SIZE / 2
    matrix = (
        *(a, b, centre - a * (centre + x) - b * (centre + y)),
        *(c, d, centre - c * (centre + x) - d * (centre + y)),
    )
    return image.transform(
        image.size, Image.AFFINE, matrix, Image.NEAREST, fillcolor=(0, 0, 0)
    )


if __name__ == "__main__":
    main()
