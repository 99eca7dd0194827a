"""Measures a trained model on a split of its dataset.

    python -m landmark_tf.evaluate --run=runs/photos

Prints, and writes to metrics.json in the run directory: loss, accuracy and
top-5 accuracy over the pictures that show a landmark; gap, the Global Average
Precision over all pictures; gap_landmarks, over those that show one.
"""

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING

from landmark_tf import command, config

if TYPE_CHECKING:
    from landmark_tf.training import evaluation, run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of an evaluation."""

    run: str = config.field(help="run directory of a training")
    data: str = config.field(
        "", help="dataset folder; none: the one it was trained on"
    )
    split: str = config.field(
        "validation", help="which pictures, as TFDS writes it: test[:50%]"
    )
    batch_size: int = config.field(
        64, help="pictures of one step over all devices"
    )
    strategy: str = config.field(
        "auto",
        choices=("auto", "one", "mirrored", "multiworker", "tpu"),
        help="devices, as of train",
    )
    tpu: str = config.field(
        "", help="name of the TPU for --strategy=tpu; empty: this machine's"
    )
    predictions: str = config.field(
        "", help="submission file of the split to write, as predict does"
    )
    solution: str = config.field(
        "", help="file of the split's true landmarks to write, for score"
    )


def run(settings: Config) -> dict[str, float | int]:
    """Evaluates; prints the figures and writes them to metrics.json.

    Returns:
        `loss`, `accuracy`, `top5_accuracy`, `gap`, `gap_landmarks`, `examples`,
        `landmark_examples`.

    Raises:
        InputError: no such run, dataset or split.
    """
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.files import atomic
    from landmark_tf.training import evaluation, hosts, run_directory, strategy

    devices = strategy.create(settings.strategy, settings.tpu)
    with hosts.explained(devices):
        with devices.scope():
            trained = run_directory.open_run(settings.run)
        dataset = run_directory.open_data(trained, settings.data)
        evaluator = evaluation.Evaluator(
            dataset, settings.split, trained.model, devices, settings.batch_size
        )
        figures = evaluator()
    if hosts.is_chief(devices):
        print(describe(figures, settings.split))
        content = {"split": settings.split, "data": str(dataset.path)}
        atomic.write_text(
            pathlib.Path(settings.run) / "metrics.json",
            json.dumps({**content, **figures}, indent=2) + "\n",
        )
        if settings.predictions:
            _write_predictions(settings.predictions, trained, evaluator)
        if settings.solution:
            _write_solution(settings.solution, evaluator)
    return figures


def _write_predictions(
    path: str,
    trained: "run_directory.Run",
    evaluator: "evaluation.Evaluator",
) -> None:
    from landmark_tf.predictions import submission

    landmarks = trained.classes["landmark_id"].to_numpy()
    outcome = evaluator.latest
    submission.write_submission(
        path,
        evaluator.table["id"],
        landmarks[outcome.predicted][:, None],
        outcome.confidence[:, None],
    )
    print(f"{path}: {len(evaluator.table)} predictions")


def _write_solution(path: str, evaluator: "evaluation.Evaluator") -> None:
    from landmark_tf.files import atomic

    truth = evaluator.table["landmark_id"].astype("string")
    truth = truth.mask(evaluator.table["landmark_id"] < 0, "")
    table = evaluator.table[["id"]].assign(landmarks=truth)
    text = table.to_csv(index=False, lineterminator="\n")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(pathlib.Path(path), text)
    print(f"{path}: {len(table)} true landmarks")


def describe(figures: dict[str, float | int], split: str) -> str:
    """The figures as a person reads them, one a line."""
    others = figures["examples"] - figures["landmark_examples"]
    return "\n".join(
        (
            f"{split}: {figures['landmark_examples']} pictures of landmarks, "
            f"{others} of none",
            f"  GAP            {figures['gap']:.4f}  (on the landmarks alone "
            f"{figures['gap_landmarks']:.4f})",
            f"  accuracy       {figures['accuracy']:.4f}",
            f"  top-5 accuracy {figures['top5_accuracy']:.4f}",
            f"  loss           {figures['loss']:.4f}",
        )
    )


if __name__ == "__main__":
    command.main(run, Config)
