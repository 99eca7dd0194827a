"""How the weights are updated."""

import keras


@keras.saving.register_keras_serializable("landmark_tf")
class SGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and L2 weight decay.

    g = gradient + l2 * w;  v = momentum * v - learning_rate * g;  w = w + v.

    The decay is part of the gradient, and so of the momentum, as in PyTorch's
    SGD; Keras' own `weight_decay` shrinks weights beside the momentum, which
    with a momentum of 0.9 is ten times weaker. Vectors (biases, batch norm's
    scales and offsets) do not decay.

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
        super().__init__(learning_rate, momentum=momentum, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        if self.l2 and len(variable.shape) > 1:
            gradient = gradient + self.l2 * keras.ops.cast(
                variable, gradient.dtype
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict:
        return {**super().get_config(), "l2": self.l2}
