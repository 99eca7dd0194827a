"""`prepare` against the way of 2019, on photographs of 1600 pixels.

    python benchmarks/prepare.py

The peer reads with scikit-image's `imread`, shrinks with
`resize(anti_aliasing=True)` and writes with `imsave`, in two joblib processes
that are already warm. Ours is the whole command; its rate is that between the
first shards and the last ones, so neither side pays for starting. The sides
take turns, and the best of the rounds counts. Prints one line of JSON; rates
are in images/s.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from PIL import Image, ImageDraw

PHOTOS = 24  # drawn; the other pictures are links to these
IMAGES = 500  # n
SHARDS = 40
PEER_IMAGES = 32
ROUNDS = 2


def draw_photo(path: Path, seed: int) -> None:
    """Draws 1600x1200 pixels with soft light, edges and a camera's grain."""
    rng = np.random.default_rng(seed)
    light = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(light).resize((1600, 1200), Image.BICUBIC)
    pen = ImageDraw.Draw(photo)
    for x, y, width, height, *colour in rng.integers(0, 256, (60, 7)):
        corner = int(x) * 6, int(y) * 4
        other = corner[0] + int(width), corner[1] + int(height)
        pen.rectangle([corner, other], tuple(map(int, colour)))
    grain = rng.normal(0, 4, (1200, 1600, 1))
    pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=85)


def make_photographs(folder: Path, count: int) -> tuple[Path, Path]:
    """Makes a CSV and its photographs: two classes, files in one folder."""
    root = folder / f"photos{count}"
    root.mkdir()
    lines = ["id,landmark_id"]
    for i in range(count):
        os.symlink(folder / f"{i % PHOTOS}.jpg", root / f"picture{i:06d}.jpg")
        lines.append(f"picture{i:06d},{i % 2}")
    table = folder / f"{count}.csv"
    table.write_text("\n".join(lines))
    return table, root


def run_prepare(folder: Path, count: int, *flags: str) -> tuple[float, float]:
    """Runs the command; returns images/s and the peak memory in MB."""
    out = Path(tempfile.mkdtemp(dir=folder), "set")
    command = [
        *(sys.executable, "-m", "landmark_tf.prepare"),
        f"--train_csv={folder / f'{count}.csv'}",
        f"--image_root={folder / f'photos{count}'}",
        f"--out={out}",
        f"--shards={SHARDS}",
        "--split=1,0,0",
        *flags,
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return steady_rate(out), usage.ru_maxrss / 1024


def steady_rate(out: Path) -> float:
    """Images/s from the times at which shards 4 to SHARDS - 4 were ready."""
    info = json.loads((out / "dataset_info.json").read_text())
    counts = map(int, info["splits"][0]["shardLengths"])
    times = [f.stat().st_mtime for f in sorted(out.glob("*.tfrecord-*"))]
    ready = sorted(zip(times, counts))[4:-4]
    images = sum(count for _, count in ready[1:])
    return images / (ready[-1][0] - ready[0][0])


def shrink_as_in_2019(source: str, target: str) -> None:
    """One picture the old way."""
    from skimage import io, transform, util

    small = transform.resize(io.imread(source), (96, 96), anti_aliasing=True)
    io.imsave(target, util.img_as_ubyte(small), check_contrast=False)


def run_peer(folder: Path, parallel: joblib.Parallel) -> float:
    """Images/s of the way of 2019 with two processes."""
    call = joblib.delayed(shrink_as_in_2019)
    pairs = [
        (str(folder / f"{i % PHOTOS}.jpg"), str(folder / f"small{i}.jpg"))
        for i in range(PEER_IMAGES)
    ]
    parallel(call(*pair) for pair in pairs[:4])  # the processes get warm
    start = time.perf_counter()
    parallel(call(*pair) for pair in pairs)
    return len(pairs) / (time.perf_counter() - start)


def main() -> None:
    """Measures both sides and prints the line."""
    square = ("--stored_size=96", "--square")
    one, two, large, peer = [], [], [], []
    with (
        tempfile.TemporaryDirectory() as name,
        joblib.Parallel(n_jobs=2) as parallel,
    ):
        folder = Path(name)
        for seed in range(PHOTOS):
            draw_photo(folder / f"{seed}.jpg", seed)
        for count in (IMAGES, 4 * IMAGES):
            make_photographs(folder, count)
        _, memory_n = run_prepare(folder, IMAGES, *square, "--workers=1")
        many = 4 * IMAGES
        for _ in range(ROUNDS):
            one.append(run_prepare(folder, many, *square, "--workers=1"))
            two.append(run_prepare(folder, many, *square, "--workers=2"))
            large.append(run_prepare(folder, many, "--workers=2"))
            peer.append(run_peer(folder, parallel))
        photo_kb = (folder / "0.jpg").stat().st_size / 1000
    ours = max(two)[0]
    result = {
        "name": "prepare",
        "ours": round(ours, 1),
        "peer": round(max(peer), 1),
        "unit": "images/s",
        "ratio": round(ours / max(peer), 1),
        "rate_256": round(max(large)[0], 1),
        "workers_2_over_1": round(ours / max(one)[0], 2),
        "memory_mb_n": round(memory_n),
        "memory_mb_4n": round(max(memory for _, memory in one)),
        "n": IMAGES,
        "photo_kb": round(photo_kb),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
