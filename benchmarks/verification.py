"""How well local features tell landmarks from everything else.

    python -m benchmarks.verification --photos=PHOTOS --pairs=PAIRS \
        --run=runs/photos [--delf=delf/photos]

On real photographs: PHOTOS laid out as `prepare` reads them (train.csv,
no_landmark.csv, test.csv, recognition_solution.csv, train/, test/), PAIRS with
scenes and their homographies (ground_truth.json). RUN is a classifier trained
on PHOTOS, with validation pictures; its predictions for the test are verified
with a threshold and a rescoring that its validation split has taught. DELF is
what `delf` made of RUN; its features are of pictures of 224 pixels, SIFT's of
640. On drawn landmarks: pairs of the same and of others. Prints one JSON line.
"""

import argparse
import contextlib
import csv
import itertools
import json
import pathlib
import sys
import tempfile

import numpy as np

from landmark_tf import evaluate, extract, predict, score, verify
from landmark_tf.data import toy
from landmark_tf.features import (
    extraction,
    extractors,
    local,
    matching,
    settings,
)
from landmark_tf.files import images
from landmark_tf.predictions import verification

KIND = settings.Extraction()
HOW = settings.Matching()
ENOUGH = 15  # inliers that verify a pair of drawn pictures
CORNERS = 5.0  # pixels: mean error of the corners up to which a pair is solved


def roc_auc(positive: list[float], negative: list[float]) -> float:
    """The share of pairs ordered rightly, ties counting half."""
    a, b = np.array(positive)[:, None], np.array(negative)[None]
    return float((a > b).mean() + (a == b).mean() / 2)


def scenes(folder: pathlib.Path) -> dict[str, float]:
    """Homographies solved, and same scenes against others, by inliers."""
    extractor = extractors.create(KIND)
    features = {}
    for path in sorted(folder.glob("*/*.jpg")) + sorted(folder.glob("*/*.png")):
        picture = extraction.resized(images.open_rgb(path), KIND.max_side, 0)
        features[f"{path.parent.name}/{path.name}"] = extractor([picture])[0]
    counts = {
        (a, b): matching.match(features[a], features[b], HOW).inliers
        for a, b in itertools.combinations(sorted(features), 2)
    }
    same = [n for (a, b), n in counts.items() if _scene(a) == _scene(b)]
    other = [n for (a, b), n in counts.items() if _scene(a) != _scene(b)]
    truth = json.loads((folder / "ground_truth.json").read_text())
    solved = {}
    for scene, pairs in truth.items():
        for pair in pairs:
            if "H_a_to_b" in pair:
                names = [pathlib.Path(pair[x]).name for x in "ab"]
                a, b = (features[f"{scene}/{name}"] for name in names)
                error = corner_error(a, b, np.array(pair["H_a_to_b"]))
                solved[f"{names[0]}-{names[1]}"] = error < CORNERS
    return {
        "auc_pairs_sift": round(roc_auc(same, other), 4),
        "homographies_solved": round(float(np.mean(list(solved.values()))), 3),
        "solved": [name for name, good in solved.items() if good],
        "facade_dsc": _only(counts, "facade_dsc"),
        "leuven_street": _only(counts, "leuven_street"),
        "other_scenes_95th": float(np.quantile(other, 0.95)),
    }


def _scene(name: str) -> str:
    return name.partition("/")[0]


def _only(counts: dict[tuple[str, str], int], scene: str) -> int:
    """The inliers of a scene of two pictures."""
    found = [
        n for (a, b), n in counts.items() if {_scene(a), _scene(b)} == {scene}
    ]
    return found[0]


def corner_error(a, b, truth: np.ndarray) -> float:
    """Mean distance of the corners under both homographies, in pixels."""
    how = settings.Matching(
        model="homography", method="magsac", residual=0.005, trials=10_000
    )
    found = matching.match(a, b, how).agreement.matrix
    if found is None:
        return np.inf
    (height, width), ends = a.size, []
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    corners = np.column_stack([corners, np.ones(4)])
    for matrix in (found, truth):
        x, y, depth = matrix @ corners.T
        ends.append(np.column_stack([x / depth, y / depth]))
    return float(np.linalg.norm(ends[0] - ends[1], axis=1).mean())


def drawn(folder: pathlib.Path) -> dict[str, float]:
    """Drawn landmarks at 320 px: the shares of pairs that are verified."""
    toy.run(
        toy.Config(
            out=str(folder), size=320, landmarks=12, images=30, no_landmark=40
        )
    )
    with open(folder / "train.csv") as file:
        table = [(r["landmark_id"], r["id"]) for r in csv.DictReader(file)]
    with open(folder / "no_landmark.csv") as file:
        none = [row["id"] for row in csv.DictReader(file)]
    extractor = extractors.create(KIND)

    def look(image_id: str) -> local.LocalFeatures:
        return extractor([extraction.load(folder / "train", image_id)])[0]

    landmarks = [
        [look(image_id) for _, image_id in itertools.islice(rows, 8)]
        for _, rows in itertools.groupby(sorted(table), key=lambda row: row[0])
    ]
    same = [p for x in landmarks for p in itertools.combinations(x, 2)]
    other = [
        (a[i], b[i + 1])
        for a, b in itertools.combinations(landmarks, 2)
        for i in (0, 2, 4)
    ]
    other += [(look(i), x[0]) for i in none for x in landmarks[:6]]

    def verified(pairs: list[tuple]) -> float:
        counts = [matching.match(a, b, HOW).inliers for a, b in pairs]
        return round(float(np.mean(np.array(counts) >= ENOUGH)), 4)

    return {
        "drawn_same_verified": verified(same),
        "drawn_other_verified": verified(other),
    }


def shows_the_class(
    photos: pathlib.Path, work: pathlib.Path, kind: str
) -> dict:
    """Queries with their own class against distractors with a random one."""
    with open(photos / "recognition_solution.csv") as file:
        truth = {r["id"]: r["landmarks"] for r in csv.DictReader(file)}
    with open(work / "photos" / "classes.csv") as file:
        classes = [r["landmark_id"] for r in csv.DictReader(file)]
    random = np.random.default_rng(0)
    lines = ["id,landmarks"]
    for image_id, landmark in truth.items():
        lines.append(f"{image_id},{landmark or random.choice(classes)} 0.5")
    (work / "guesses.csv").write_text("\n".join(lines) + "\n")
    found = {}
    for statistic in verification.STATISTICS:
        decisions = run_verify(
            photos,
            work,
            "guesses",
            kind,
            statistic=statistic,
            min_inliers=0.0,
        )
        shows = decisions["id"].map(lambda x: bool(truth[x]))
        values = decisions["statistic"].fillna(0)
        found[statistic] = round(
            roc_auc(values[shows].tolist(), values[~shows].tolist()), 4
        )
    return {
        f"auc_photos_{kind}": max(found.values()),
        f"auc_photos_{kind}_by_statistic": found,
    }


def run_verify(
    photos: pathlib.Path,
    work: pathlib.Path,
    name: str,
    kind: str = "sift",
    **changes,
):
    """Verifies one of the submissions in the working folder."""
    queries = "train" if name == "validation" else "test"
    return verify.run(
        verify.Config(
            submission=str(work / f"{name}.csv"),
            features=str(work / kind / "train"),
            query_features=str(work / kind / queries),
            train_csv=str(photos / "train.csv"),
            no_landmark_csv=str(photos / "no_landmark.csv"),
            data=str(work / "photos"),
            out=str(work / "verified" / kind / name),
            **changes,
        )
    )


def gaps(photos: pathlib.Path, work: pathlib.Path, run: str) -> dict:
    """GAP of the test before, filtered and rescored, for each statistic."""
    data = str(work / "photos")
    evaluate.run(
        evaluate.Config(
            run=run, data=data, predictions=str(work / "validation.csv")
        )
    )
    predict.run(
        predict.Config(
            run=run,
            csv=str(photos / "test.csv"),
            image_root=str(photos / "test"),
            out=str(work / "test.csv"),
        )
    )
    solution = str(photos / "recognition_solution.csv")

    def gap_of(path: pathlib.Path) -> float:
        return score.run(score.Config(submission=str(path), solution=solution))[
            "gap"
        ]

    result = {"gap_before": round(gap_of(work / "test.csv"), 4)}
    out = work / "verified" / "sift"
    table = {}
    for statistic in verification.STATISTICS:
        run_verify(
            photos, work, "validation", statistic=statistic, calibrate=True
        )
        learnt = out / "validation" / "calibration.json"
        found = verification.Calibration.read(learnt)
        row = {"validation": [found.gap_before, found.gap_filtered]}
        row["validation"].append(found.gap_rescored)
        for kind, rescore in (("filtered", False), ("rescored", True)):
            run_verify(
                photos,
                work,
                "test",
                statistic=statistic,
                calibration=str(learnt),
                rescore=rescore,
            )
            row[kind] = round(gap_of(out / "test" / "submission.csv"), 4)
        table[statistic] = row
    # The statistic too is chosen on the validation split.
    best = max(table, key=lambda name: table[name]["validation"][2])
    result |= {
        "statistic": best,
        "gap_filtered": table[best]["filtered"],
        "gap_rescored": table[best]["rescored"],
    }
    lift = max(result["gap_filtered"], result["gap_rescored"])
    result["gap_lift"] = round(lift / result["gap_before"], 3)
    return {**result, "gaps": table}


def extract_all(
    photos: pathlib.Path, work: pathlib.Path, kind: str, **changes
) -> None:
    """Takes the features of all photographs into WORK/KIND."""
    for name, csvs in (
        ("train", ("train", "no_landmark")),
        ("test", ("test",)),
    ):
        extract.run(
            extract.Config(
                csv=tuple(str(photos / f"{x}.csv") for x in csvs),
                image_root=str(photos / name),
                out=str(work / kind / name),
                **changes,
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--pairs", required=True, type=pathlib.Path)
    parser.add_argument("--run", required=True)
    parser.add_argument("--delf", help="folder of a DELF made of RUN")
    given = parser.parse_args()
    result = {"name": "verification", "unit": "GAP"}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(sys.stderr),
    ):
        work = pathlib.Path(folder)
        data = pathlib.Path(given.run, "flags.txt").read_text().splitlines()
        data = next(x for x in data if x.startswith("--data="))
        (work / "photos").symlink_to(
            pathlib.Path(data.partition("=")[2]).resolve()
        )
        extract_all(given.photos, work, "sift")
        result |= scenes(given.pairs)
        result |= drawn(work / "drawn")
        result |= shows_the_class(given.photos, work, "sift")
        if given.delf:
            extract_all(
                given.photos,
                work,
                "delf",
                extractor=f"delf:{given.delf}",
                max_side=224,
            )
            result |= shows_the_class(given.photos, work, "delf")
        result |= gaps(given.photos, work, given.run)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
