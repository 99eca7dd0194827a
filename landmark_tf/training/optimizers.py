"""How the weights are updated."""

from collections.abc import Sequence

import keras

from landmark_tf import InputError

NAMES = ("sgd", "adam", "adamw")


def create(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    momentum: float,
    weight_decay: float,
) -> keras.optimizers.Optimizer:
    """Makes an optimizer from what a user sets.

    Args:
        name: one of `NAMES`.
        learning_rate: step size, above 0, or a schedule.
        momentum: in [0, 1): SGD's momentum, Adam's beta_1.
        weight_decay: at least 0: SGD's and Adam's L2, AdamW's decay.

    Raises:
        InputError: an unknown name.
    """
    if not isinstance(
        learning_rate, keras.optimizers.schedules.LearningRateSchedule
    ):
        learning_rate = float(learning_rate)  # Keras takes no other number
    momentum = float(momentum)
    if name == "sgd":
        return SGD(learning_rate, momentum=momentum, l2=weight_decay)
    if name == "adam":
        return Adam(learning_rate, beta_1=momentum, l2=weight_decay)
    if name == "adamw":
        return AdamW(learning_rate, beta_1=momentum, decay=weight_decay)
    raise InputError(
        f"the optimizer must be one of {', '.join(NAMES)}. Received: {name!r}"
    )


def clip_by_global_norm(gradients: Sequence, max_norm: float) -> list:
    """Shortens gradients to a common length (Pascanu et al. 2013, section 3.2).

    With several replicas it is for their summed gradients: the norm of a sum
    is not the sum of norms. Keras' `global_clipnorm` clips each replica's.

    Args:
        gradients: float tensors of any shapes.
        max_norm: the greatest norm of all of them as one vector, above 0.

    Returns:
        The gradients, each of its own dtype; all NaN where the norm is not
        finite (in float32), so that a divergence shows.

    Raises:
        ValueError: `max_norm` is not above 0.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0. Received: {max_norm}")
    squares = (
        keras.ops.sum(keras.ops.square(keras.ops.cast(g, "float32")))
        for g in gradients
    )
    norm = keras.ops.sqrt(sum(squares, start=0.0))
    scale = keras.ops.minimum(max_norm / norm, 1.0)
    scale = keras.ops.where(keras.ops.isfinite(norm), scale, float("nan"))
    return [g * keras.ops.cast(scale, g.dtype) for g in gradients]


def _decays(variable) -> bool:
    """Vectors (biases, batch norm's scales and offsets) do not decay."""
    return len(variable.shape) > 1


class _L2:
    """Adds l2 * w to the gradient, as the optimizers of PyTorch do.

    The decay then takes part in the momentum and in Adam's normalisation.
    Keras' own `weight_decay` shrinks weights beside them, which for SGD with a
    momentum of 0.9 is ten times weaker.
    """

    def __init__(self, learning_rate, l2: float, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        if self.l2 and _decays(variable):
            gradient = gradient + self.l2 * keras.ops.cast(
                variable, gradient.dtype
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("landmark_tf")
class SGD(_L2, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and L2 weight decay.

    g = gradient + l2 * w;  v = momentum * v - learning_rate * g;  w = w + v.

    At a constant learning rate this is PyTorch's SGD. PyTorch multiplies by
    the learning rate outside of v, so there a drop takes effect at once, here
    over some 1 / (1 - momentum) steps. Vectors do not decay.

    Args:
        learning_rate: step size, or a Keras schedule.
        momentum: in [0, 1).
        l2: weight decay, at least 0.
        **kwargs: further arguments of `keras.optimizers.SGD`.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum: float = 0.9,
        l2: float = 0.0,
        **kwargs,
    ):
        super().__init__(learning_rate, l2, momentum=momentum, **kwargs)


@keras.saving.register_keras_serializable("landmark_tf")
class Adam(_L2, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, algorithm 1) with L2 weight decay.

    PyTorch's Adam, but that epsilon is added before the bias correction, as
    Keras does ("epsilon hat" in section 2 of the paper), not behind it. In the
    first steps epsilon so counts for up to 1 / sqrt(1 - beta_2) = 32 times as
    much. Vectors do not decay.

    Args:
        learning_rate: step size, or a Keras schedule.
        l2: weight decay, at least 0.
        amsgrad: divides by the greatest second moment so far (Reddi et al.
            2018, algorithm 2), as the report's code does.
        epsilon: see above; above 0.
        **kwargs: further arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        l2: float = 0.0,
        amsgrad: bool = True,
        epsilon: float = 1e-8,
        **kwargs,
    ):
        super().__init__(
            learning_rate, l2, amsgrad=amsgrad, epsilon=epsilon, **kwargs
        )


@keras.saving.register_keras_serializable("landmark_tf")
class AdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay: w = w - learning_rate * decay * w.

    Loshchilov & Hutter 2019, algorithm 2, in PyTorch's form, where the decay is
    multiplied by the whole learning rate; epsilon is as in `Adam`. Vectors do
    not decay.

    Args:
        learning_rate: step size, or a Keras schedule.
        decay: weight decay, at least 0.
        epsilon: as in `Adam`.
        **kwargs: further arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        decay: float = 0.01,
        epsilon: float = 1e-8,
        **kwargs,
    ):
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        # Not `weight_decay`, by which Keras would shrink vectors too.
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        if self.decay and _decays(variable):
            rate = keras.ops.cast(learning_rate, variable.dtype)
            weights = keras.ops.convert_to_tensor(variable)
            self.assign_sub(variable, rate * self.decay * weights)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict:
        return {**super().get_config(), "decay": self.decay}
