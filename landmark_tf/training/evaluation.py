"""Every example of a split through a model exactly once, on any devices."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from landmark_tf import InputError
from landmark_tf.data import pipeline, tfrecords
from landmark_tf.predictions import gap
from landmark_tf.training import losses
from landmark_tf.training.hosts import gather
from landmark_tf.training.strategy import distribute


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a model says of each example of a split, in the split's order.

    Attributes:
        predicted: int32 [N], the most probable class.
        confidence: float32 [N], its probability.
        loss: float32 [N], the cross-entropy; 0 where there is no landmark.
        in_top5: bool [N], whether the label is among the five most probable.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    in_top5: np.ndarray


class Evaluator:
    """Measures a model on a split, as often as it is called.

    Args:
        dataset: the dataset.
        split: which of its pictures, such as "validation".
        model: uint8 images [N, S, S, 3] -> logits.
        strategy: the devices; the model was made in its scope.
        batch_size: pictures of one step over all devices; rounded up to a
            multiple of their number.
        batches: called once on each host as `pipeline.evaluation_batches` is,
            for what the model takes instead of pictures; None: pictures.

    Attributes:
        table: `id`, `label`, `landmark_id` of the split, in order on disk.
        latest: the outcome of the last measurement; None before it.

    Raises:
        InputError: no picture of the split shows a landmark.
    """

    def __init__(
        self,
        dataset: tfrecords.Dataset,
        split: str,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        batches: Callable[..., tf.data.Dataset] | None = None,
    ):
        self.latest: Outcome | None = None
        self.table = tfrecords.read_table(dataset, split)
        self._label = self.table["label"].to_numpy()
        if not (self._label >= 0).any():
            raise InputError(
                "the split shows no landmark, so there is nothing to measure; "
                f"choose another. Received: {split!r}"
            )
        self._id_rank = np.argsort(np.argsort(self.table["id"].to_numpy()))
        self._model = model
        self._strategy = strategy
        replicas = strategy.num_replicas_in_sync
        self._batches = distribute(
            strategy,
            -(-batch_size // replicas) * replicas,
            batches
            or functools.partial(
                pipeline.evaluation_batches,
                dataset,
                split,
                image_size=model.input_shape[1],
            ),
        )
        self._step = tf.function(self._run_step)

    def outcome(self) -> Outcome:
        """Runs every picture of the split through the model once."""
        parts: dict[str, list[np.ndarray]] = {}
        for batch in self._batches:
            for key, value in self._step(batch).items():
                parts.setdefault(key, []).append(gather(self._strategy, value))
        columns = {key: np.concatenate(part) for key, part in parts.items()}
        real = columns.pop("weight") > 0
        order = np.argsort(columns["row"][real])
        columns = {key: x[real][order] for key, x in columns.items()}
        rows = columns.pop("row")
        if not np.array_equal(rows, np.arange(len(self.table))):
            raise ValueError(
                f"expected each of {len(self.table)} rows once. "
                f"Received: {len(rows)} rows"
            )
        return Outcome(**columns)

    def __call__(self) -> dict[str, float | int]:
        """The split's figures; see `metrics`.

        Raises:
            FloatingPointError: an answer is not a number.
        """
        self.latest = self.outcome()
        if not np.isfinite(self.latest.confidence).all():
            raise FloatingPointError("an answer of the model is not a number")
        return metrics(self.latest, self._label, self._id_rank)

    def _run_step(self, batch: dict) -> dict:
        return self._strategy.run(self._replica_step, args=(batch,))

    def _replica_step(self, batch: dict) -> dict:
        label = batch["label"]
        logits = tf.cast(self._model(batch["image"], training=False), "float32")
        score = tf.gather(logits, tf.maximum(label, 0), axis=1, batch_dims=1)
        better = tf.cast(logits > score[:, None], tf.int32)
        return {
            "row": batch["row"],
            "weight": batch["weight"],
            "predicted": tf.argmax(logits, axis=-1, output_type=tf.int32),
            "confidence": tf.reduce_max(tf.nn.softmax(logits), axis=-1),
            "loss": losses.cross_entropy(label, logits),
            "in_top5": tf.reduce_sum(better, axis=-1) < 5,
        }


def metrics(
    outcome: Outcome, label: np.ndarray, id_rank: np.ndarray
) -> dict[str, float | int]:
    """The figures of a split, as they stand in metrics.json.

    Args:
        outcome: of N examples.
        label: int [N]; -1: the picture shows no landmark.
        id_rank: int [N], the place of each id among the sorted ids, which
            breaks ties of GAP.

    Returns:
        `loss`, `accuracy` and `top5_accuracy` over the pictures that show a
        landmark; `gap` over all pictures, `gap_landmarks` over those that show
        one; `examples`, `landmark_examples`.
    """
    shows = label >= 0
    correct = outcome.predicted == label

    def gap_of(rows: np.ndarray) -> float:
        return gap.global_average_precision(
            outcome.confidence[rows],
            correct[rows],
            id_rank[rows],
            int(shows.sum()),
        )

    return {
        "loss": float(outcome.loss[shows].mean()),
        "accuracy": float(correct[shows].mean()),
        "top5_accuracy": float(outcome.in_top5[shows].mean()),
        "gap": gap_of(np.ones_like(shows)),
        "gap_landmarks": gap_of(shows),
        "examples": len(label),
        "landmark_examples": int(shows.sum()),
    }
