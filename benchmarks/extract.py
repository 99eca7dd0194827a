"""Pictures/s of local features: SIFT, and our DELF at 96 and 320 px.

    python -m benchmarks.extract

Speed does not depend on what a network has learnt: DELF is a fresh
`se_resnet50` with an attention head, saved and loaded as `delf` and `extract`
do. Its peer is the signature of google/delf/1, called once for each picture,
with the settings that are the defaults. Both run in turns. Prints one JSON
line.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from landmark_tf.features import (
    attention_head,
    delf_module,
    extractors,
    projection,
    settings,
)
from landmark_tf.files import quiet

NETWORK, TURNS = "se_resnet50", 5


def pictures(count: int, side: int) -> list[np.ndarray]:
    """Fields of colour with edges, uint8 [side, side, 3]."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 256, (count, side // 8, side // 8, 3), "uint8")
    return list(cells.repeat(8, axis=1).repeat(8, axis=2))


def save_delf(path: str, precision: str) -> None:
    """Saves a DELF with fresh weights."""
    from landmark_tf.models import entries, folding, graphs, receptive_field

    model = folding.fold_batch_norm(entries.build(NETWORK, 23, 128))
    backbone = graphs.backbone(model, "conv4_x", 128)
    network = attention_head.add_head(backbone, 23, "delf")
    field = receptive_field.of(model, "conv4_x")
    grid = delf_module.Grid(
        attention_head.network_of_features(network, precision),
        field.offset,
        field.stride,
        smallest=32,
    )
    random = np.random.default_rng(0).normal(size=(grid.channels, 40))
    found = projection.Projection(
        np.zeros(grid.channels, np.float32), random.astype(np.float32), 1.0
    )
    # At first attention is the same everywhere, log 2: all features score 100.
    delf_module.Delf(grid, field.size, found, np.log(2) * 0.99).save(path)


def one_by_one(
    extractor: extractors.Extractor,
) -> Callable[[list[np.ndarray]], None]:
    """Calls of the signature `default`, a picture each."""
    tf = quiet.import_tensorflow()
    find, given = extractor._one, extractor._given

    def run(images: list[np.ndarray]) -> None:
        for image in images:
            find(image=tf.constant(image / np.float32(255)), **given)

    return run


def rates(
    sides: dict[str, Callable], images: list[np.ndarray]
) -> dict[str, float]:
    """Pictures/s of each side: medians of turns."""
    seconds = {name: [] for name in sides}
    for turn in range(TURNS + 1):  # the first one warms up
        for name, run in sides.items():
            begun = time.perf_counter()
            run(images)
            if turn:
                seconds[name].append(time.perf_counter() - begun)
    return {
        name: len(images) / statistics.median(x) for name, x in seconds.items()
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    quiet.import_tensorflow()
    result = {"name": "extract", "unit": "images/s"}
    sift = extractors.create(settings.Extraction())
    for side in (96, 320, 640):
        found = rates({"sift": sift}, pictures(16, side))
        result[f"sift_{side}"] = round(found["sift"], 1)
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            save_delf(folder, precision)
            delf = extractors.create(
                settings.Extraction(extractor=f"delf:{folder}")
            )
            for side, count in ((96, 32), (320, 4)):
                found = rates(
                    {"batched": delf, "single": one_by_one(delf)},
                    pictures(count, side),
                )
                ratio = found["batched"] / found["single"]
                result |= {
                    f"delf_{side}_{precision}": round(found["batched"], 2),
                    f"single_{side}_{precision}": round(found["single"], 2),
                    f"ratio_{side}_{precision}": round(ratio, 2),
                }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
