"""One training step on every replica, and N of them in one call.

A step is: the batch's gradients, their sum over replicas, the update. Two
things split it in two halves that run one after the other on every replica:
gradient accumulation (the first half runs several times, on parts of the batch)
and float16 (the second half runs only when no gradient has overflowed). Between
the halves the gradients lie in variables of each replica, so that the replicas
talk to each other once a step. Keras' own accumulation and loss scaling do not
run inside a replica.
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from landmark_tf.training import averaging, loss_scale, losses, optimizers


class Trainer:
    """A model, its optimizer and the compiled training step.

    Args:
        model: images or vectors -> logits, made in the strategy's scope. Only
            its trainable variables are updated.
        optimizer: made in the strategy's scope.
        strategy: the devices.
        batch_size: examples of one step over all replicas.
        loss: (labels [N], logits [N, C]) -> what each example costs, float [N].
        accumulate: parts that a replica's share of a batch comes in; the
            iterator gives one part at a time.
        clip_norm: largest norm of the gradient of all weights; 0: any.
        average: is told of every update; None: no weight averaging.
        float16: scales the loss, so that small gradients do not vanish.
        jit: compiles the step by XLA, on one device.
        timed: measures how long data was waited for.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = (
            losses.cross_entropy
        ),
        *,
        accumulate: int = 1,
        clip_norm: float = 0.0,
        average: averaging.WeightAverage | None = None,
        float16: bool = False,
        jit: bool = False,
        timed: bool = True,
    ):
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.batch_size = batch_size
        self.average = average
        self.timed = timed
        self._variables = model.trainable_variables
        self._loss_of_each = loss
        self._parts, self._clip_norm = accumulate, clip_norm
        with strategy.scope():
            optimizer.build(self._variables)
            self.loss = keras.metrics.Mean("loss")
            self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
            for metric in (self.loss, self.accuracy):
                metric.reset_state()  # builds its variables in the scope
            self.scale = loss_scale.LossScale() if float16 else None
            self._sums = (
                [_local_zeros(v) for v in self._variables]
                if float16 or accumulate > 1
                else []
            )
        compiled = tf.function(jit_compile=True) if jit else lambda x: x
        self._whole_step = compiled(self._learn)
        self._first_half = compiled(self._add_gradients)
        self._second_half = compiled(self._update_by_sums)
        self._steps = tf.function(self._run_steps)

    def run(self, batches: Iterator[dict], steps: int) -> tf.Tensor:
        """Updates the weights `steps` times from a distributed iterator.

        Returns:
            Seconds of that time without data, float64 []; 0 if not `timed`.
        """
        return self._steps(batches, tf.constant(steps))

    def reset_metrics(self) -> None:
        """Starts the averages of the next epoch."""
        self.loss.reset_state()
        self.accuracy.reset_state()

    def metrics(self) -> dict[str, float]:
        """Mean loss and accuracy since the last reset."""
        return {
            "loss": float(self.loss.result()),
            "accuracy": float(self.accuracy.result()),
        }

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        sums = [tf.reduce_sum(tf.abs(w)) for w in self.model.weights]
        return bool(tf.math.is_finite(tf.add_n(sums)))

    def learning_rate(self) -> float:
        """The step size of the next update."""
        rate = self.optimizer.learning_rate
        return float(keras.ops.convert_to_numpy(rate))

    def best_weights(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the model has its averaged weights, if any."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place()

    def _run_steps(
        self, batches: Iterator[dict], steps: tf.Tensor
    ) -> tf.Tensor:
        waited = tf.constant(0.0, tf.float64)
        for _ in tf.range(steps):
            if self._sums:
                for _ in tf.range(self._parts):
                    batch, more = self._next(batches)
                    waited += more
                    self.strategy.run(self._first_half, args=(batch,))
                self._apply_sums()
            else:
                batch, more = self._next(batches)
                waited += more
                self.strategy.run(self._whole_step, args=(batch,))
        return waited

    def _next(self, batches: Iterator[dict]) -> tuple[dict, tf.Tensor]:
        """The next batch, and the seconds that it took to come."""
        if not self.timed:
            return next(batches), tf.constant(0.0, tf.float64)
        begun = tf.timestamp()
        with tf.control_dependencies([begun]):
            batch = next(batches)
        parts = tf.nest.flatten(batch, expand_composites=True)
        with tf.control_dependencies(parts):
            return batch, tf.timestamp() - begun

    def _learn(self, batch: dict) -> None:
        self._update(self._gradients(batch))

    def _gradients(self, batch: dict) -> list[tf.Tensor]:
        """Of this replica's part of the loss; counts it in the metrics."""
        image, label = batch["image"], batch["label"]
        with tf.GradientTape() as tape:
            logits = self.model(image, training=True)
            each = self._loss_of_each(label, logits)
            # Divided by the global batch: the optimizer sums over replicas.
            loss = tf.reduce_sum(each) / self.batch_size
            if self.scale is not None:
                loss *= self.scale.value
        gradients = tape.gradient(loss, [v.value for v in self._variables])
        shows = tf.cast(label >= 0, tf.float32)
        self.loss.update_state(each, sample_weight=shows)
        self.accuracy.update_state(label, logits, sample_weight=shows)
        return gradients

    def _update(self, gradients: list[tf.Tensor]) -> None:
        if self._clip_norm:
            replicas = tf.distribute.get_replica_context()
            gradients = replicas.all_reduce("SUM", gradients)
            gradients = optimizers.clip_by_global_norm(
                gradients, self._clip_norm
            )
            # The optimizer is going to sum these equal ones.
            count = replicas.num_replicas_in_sync
            gradients = [g / count for g in gradients]
        self.optimizer.apply(gradients, self._variables)
        if self.average is not None:
            self.average.update()

    def _add_gradients(self, batch: dict) -> None:
        for total, gradient in zip(self._sums, self._gradients(batch)):
            total.assign_add(gradient)

    def _apply_sums(self) -> None:
        if self.scale is None:
            self.strategy.run(self._second_half)
        else:
            finite = self.strategy.reduce(
                "SUM", self.strategy.run(self._sums_are_finite), axis=None
            )
            finite = finite >= self.strategy.num_replicas_in_sync
            if finite:
                self.strategy.run(self._second_half)
            self.strategy.run(self.scale.adjust, args=(finite,))
        self.strategy.run(self._forget_sums)

    def _sums_are_finite(self) -> tf.Tensor:
        finite = [tf.reduce_all(tf.math.is_finite(s)) for s in self._sums]
        return tf.cast(tf.reduce_all(finite), tf.int32)

    def _update_by_sums(self) -> None:
        scale = 1.0 if self.scale is None else self.scale.value
        self._update([total / scale for total in self._sums])

    def _forget_sums(self) -> None:
        for total in self._sums:
            total.assign(tf.zeros_like(total))


def _local_zeros(variable: keras.Variable) -> tf.Variable:
    """A variable of that shape which every replica has for itself."""
    return tf.Variable(
        tf.zeros(variable.shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def clocks_are_allowed() -> bool:
    """Whether graphs may ask the time: not where operations are deterministic.

    That holds for the rest of a process once it was chosen.
    """
    try:
        tf.timestamp()
        return True
    except tf.errors.FailedPreconditionError:
        return False
