"""Makes the golden files: weights of narrow networks, a picture, its logits.

    python -m tests.models.golden.make

PyTorch computes the logits for the first four and keras.applications for the
last. Weights are rounded to float16, as published files sometimes are.
"""

import pathlib

import h5py
import keras
import numpy as np

from landmark_tf.models import resnet
from tests.models import cases

FOLDER = pathlib.Path(__file__).parent
NAMES = ("resnet18", "se_resnet50", "legacy_se_resnet50", "senet154")
KERAS = "resnet50_keras"
CLASSES, SIZE = 5, 65


def row(name):
    """The narrow variant of a row that its golden files are of."""
    whole = resnet.TABLE[name]
    return cases.narrow(
        whole,
        depths=(1, 2, 1, 1),
        widths=(4, 8, 12, 16),
        groups=min(whole.groups, 2),
        stem=whole.stem if name == KERAS else cases.narrow(whole).stem,
        dropout=0.0,
    )


def keras_network(row, **options):
    """A network of keras.applications with the depths and widths of a row."""
    from keras.src.applications import resnet as theirs

    def stages(x):
        for i, (depth, width) in enumerate(zip(row.depths, row.widths)):
            x = theirs.stack_residual_blocks_v1(
                x, width, depth, 2 if i else 1, name=f"conv{i + 2}"
            )
        return x

    return theirs.ResNet(stages, preact=False, use_bias=True, **options)


def randomise(network, seed=0):
    """Draws every weight and statistic of a network of Keras.

    As in `torch_networks.randomise`, a block adds a little to its shortcut.
    """
    random = np.random.default_rng(seed)
    for layer in network.layers:
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if weight.name in ("gamma", "moving_variance"):
                value = random.uniform(0.5, 1.5, shape)
            elif len(shape) == 1:
                value = random.normal(0, 0.1, shape)
            else:
                depthwise = len(shape) == 4 and shape[-1] == 1
                fan = np.prod(shape[:2] if depthwise else shape[:-1])
                value = random.normal(0, (2 / fan) ** 0.5, shape)
                small = layer.name.endswith(("_2_conv", "_3_conv"))
                value *= 0.05 if len(shape) == 2 else 0.25 if small else 1
            weight.assign(value.astype("float16").astype("float32"))


def bgr(pictures):
    """What the residual networks of keras.applications take."""
    return keras.applications.resnet.preprocess_input(
        pictures.astype("float32")
    )


def write_h5(path, network):
    """Saves weights in the form in which keras.applications publishes them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [x.name.encode() for x in network.layers]
        for layer in network.layers:
            names = [f"{layer.name}/{w.name}:0" for w in layer.weights]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights):
                group[name] = keras.ops.convert_to_numpy(weight)


def main():
    """Writes all golden files beside this one."""
    from safetensors.torch import save_file

    from tests.models import torch_networks

    picture = cases.pictures(1, SIZE)
    for name in NAMES:
        network = torch_networks.Network(
            row(name), CLASSES, "cadene" in row(name).weights
        )
        torch_networks.randomise(network)
        network = network.half().float()
        logits = torch_networks.logits(network, picture, row(name))
        np.savez(FOLDER / name, picture=picture, logits=logits)
        save_file(network.half().state_dict(), FOLDER / f"{name}.safetensors")
    network = keras_network(
        row(KERAS),
        weights=None,
        classes=CLASSES,
        classifier_activation=None,
        input_shape=(SIZE, SIZE, 3),
    )
    randomise(network)
    logits = np.asarray(network(bgr(picture), training=False))
    np.savez(FOLDER / KERAS, picture=picture, logits=logits)
    write_h5(FOLDER / f"{KERAS}.h5", network)


if __name__ == "__main__":
    main()
