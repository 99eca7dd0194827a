"""Global Average Precision of 10 million predictions, against pandas.

    python -m benchmarks.gap

The peer is the way of 2019: a table, sorted by confidence, with columns of
precision. Confidences are all different, so both must find the same value.
"""

import json
import statistics
import time

import numpy as np
import pandas as pd

from landmark_tf.predictions import gap

PREDICTIONS, CLASSES, ROUNDS = 10_000_000, 2_000, 3


def make_predictions(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns [count]: `query`, `confidence`, `predicted`, `true` (30 %)."""
    random = np.random.default_rng(seed)
    true = random.integers(CLASSES, size=count)
    wrong = (true + random.integers(1, CLASSES, size=count)) % CLASSES
    # Neighbouring bit patterns: as many different float32 from 0.125 up.
    bits = np.float32(0.125).view(np.uint32) + np.arange(count, dtype=np.uint32)
    return {
        "query": random.permutation(count),
        "confidence": random.permutation(bits).view(np.float32),
        "predicted": np.where(random.random(count) < 0.3, true, wrong),
        "true": true,
    }


def ours(data: dict[str, np.ndarray]) -> float:
    """Every query shows a landmark here."""
    correct = data["predicted"] == data["true"]
    return gap.global_average_precision(
        data["confidence"], correct, data["query"], len(correct)
    )


def peer(data: dict[str, np.ndarray]) -> float:
    """The same with pandas, which leaves ties in any order."""
    x = pd.DataFrame(
        {
            "pred": data["predicted"],
            "conf": data["confidence"],
            "true": data["true"],
        }
    )
    x = x.sort_values("conf", ascending=False, na_position="last")
    x["correct"] = (x.true == x.pred).astype(int)
    x["prec_k"] = x.correct.cumsum() / (np.arange(len(x)) + 1)
    x["term"] = x.prec_k * x.correct
    return x.term.sum() / x.true.count()


def main() -> None:
    """Runs both in turn and prints one JSON line."""
    data = make_predictions(PREDICTIONS)
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    value = {}
    for _ in range(ROUNDS):
        for name, method in (("ours", ours), ("peer", peer)):
            start = time.perf_counter()
            value[name] = float(method(data))
            seconds[name].append(time.perf_counter() - start)
    if abs(value["ours"] - value["peer"]) > 1e-9:
        raise AssertionError(f"expected equal values. Received: {value}")
    speed = {k: PREDICTIONS / statistics.median(s) for k, s in seconds.items()}
    result = {
        "name": "gap",
        "ours": round(speed["ours"]),
        "peer": round(speed["peer"]),
        "unit": "predictions/s",
        "ratio": round(speed["ours"] / speed["peer"], 2),
        "gap_ours": value["ours"],
        "gap_peer": value["peer"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
