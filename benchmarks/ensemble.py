"""The weighted ensemble of ten submissions of the challenge, against pandas.

    python -m benchmarks.ensemble

Both are processes of their own, from the start of Python to the file written.
The peer is the way of notebooks: `read_csv`, `str.split`, `to_numeric`. Both
must write the same.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd

MODELS, QUERIES, CLASSES, ROUNDS = 10, 117_578, 2_000, 3
WEIGHTS = np.arange(1, MODELS + 1)


def write_submissions(folder: pathlib.Path) -> list[pathlib.Path]:
    """Ten models that name the same landmark for half of the queries."""
    random = np.random.default_rng(0)
    ids = [f"{i:016x}" for i in random.permutation(QUERIES)]
    usual = random.integers(CLASSES, size=QUERIES)
    paths = []
    for model in range(MODELS):
        other = random.integers(CLASSES, size=QUERIES)
        landmark = np.where(random.random(QUERIES) < 0.5, usual, other)
        confidence = random.random(QUERIES).astype(np.float32)
        empty = random.random(QUERIES) < 0.1
        pairs = [
            "" if none else f"{x} {y}"
            for none, x, y in zip(empty, landmark, confidence)
        ]
        paths.append(folder / f"{model}.csv")
        table = pd.DataFrame({"id": ids, "landmarks": pairs})
        table.sample(frac=1, random_state=model).to_csv(paths[-1], index=False)
    return paths


def peer(paths: list[str], out: str) -> None:
    """The same with pandas."""
    tables = []
    for path in paths:
        table = pd.read_csv(path, index_col="id", keep_default_na=False)
        pair = table["landmarks"].str.split(" ", expand=True)
        tables.append(
            pd.DataFrame(
                {
                    "landmark": pd.to_numeric(pair[0], errors="coerce"),
                    "confidence": pd.to_numeric(pair[1]),
                }
            )
        )
    base = tables[0]
    total = pd.Series(0.0, base.index)
    weights = pd.Series(0.0, base.index)
    for weight, table in zip(WEIGHTS, tables):
        table = table.reindex(base.index)
        agrees = table["landmark"] == base["landmark"]
        total += (weight * table["confidence"]).where(agrees, 0.0)
        weights += weight * agrees
    mean = total / weights
    landmark = base["landmark"].fillna(-1).astype(int).astype(str)
    pairs = (landmark + " " + mean.astype(str)).where(
        base["landmark"].notna(), ""
    )
    pd.DataFrame({"id": base.index, "landmarks": pairs.to_numpy()}).to_csv(
        out, index=False
    )


def read(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Ids, and landmarks with confidences, NaN where there is none."""
    table = pd.read_csv(path, keep_default_na=False)
    pairs = table["landmarks"].str.split(" ", expand=True)
    return table["id"].tolist(), pairs.apply(pd.to_numeric).to_numpy()


def main() -> None:
    """Runs both in turn and prints one JSON line."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = [str(path) for path in write_submissions(folder)]
        out = {side: folder / f"{side}.csv" for side in ("ours", "peer")}
        commands = {
            "ours": [
                *("-m", "landmark_tf.ensemble", "--strategy=weighted"),
                f"--weights={','.join(map(str, WEIGHTS))}",
                f"--submissions={','.join(paths)}",
                f"--out={out['ours']}",
            ],
            "peer": [__file__, *paths, str(out["peer"])],
        }
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(ROUNDS):
            for side, words in commands.items():
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, *words],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                seconds[side].append(time.perf_counter() - start)
        (ids, found), (theirs, expected) = map(read, out.values())
        if ids != theirs or not np.allclose(found, expected, equal_nan=True):
            raise AssertionError("the two wrote different submissions")
    time_of = {side: statistics.median(x) for side, x in seconds.items()}
    result = {
        "name": "ensemble",
        "ours": round(time_of["ours"], 2),
        "peer": round(time_of["peer"], 2),
        "unit": "s",
        "ratio": round(time_of["peer"] / time_of["ours"], 2),
        "submissions": MODELS,
        "queries": QUERIES,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        peer(sys.argv[1:-1], sys.argv[-1])
    else:
        main()
