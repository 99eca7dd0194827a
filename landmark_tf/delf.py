r"""Makes our own DELF, learnt local features, from a trained network.

    python -m landmark_tf.delf --run=runs/photos --data=tfrecords/photos \
        --out=delf/photos
    python -m landmark_tf.extract --extractor=delf:delf/photos ...

The network's layers up to --layer stay as they are; an attention head on them
learns which of their features tell the landmarks apart (Noh et al. 2017). PCA
then makes descriptors of --dimension numbers. OUT is a SavedModel with the
signature of google/delf/1. A run that was stopped goes on when the same command
is given again.
"""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import TYPE_CHECKING, Any

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    import keras

    from landmark_tf.data import tfrecords
    from landmark_tf.features import delf_module, projection
    from landmark_tf.training import run_directory

MARKER = "delf.json"
# In these sizes descriptors are collected for PCA.
_SCALES = (0.7071, 1.0, 1.4142)
# What the output does not depend on.
_HOW = ("out", "strategy", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a DELF."""

    run: str = config.field(help="run directory of a training")
    out: str = config.field(help="folder to make")
    data: str = config.field(
        "", help="dataset folder; none: the one it was trained on"
    )
    layer: str = config.field(
        "conv4_x",
        choices=("conv3_x", "conv4_x", "conv5_x"),
        help="whose output the features are",
    )
    image_size: int = config.field(
        0, help="side of training pictures in pixels; 0: as in the run"
    )
    hidden: int = config.field(512, help="channels inside the attention head")
    epochs: int = config.field(10, help="passes over the training pictures")
    learning_rate: float = config.field(0.001, help="of Adam, above 0")
    batch_size: int = config.field(
        32, help="pictures of one step over all devices"
    )
    augment: str = config.field(
        "report",
        choices=("report", "flip", "none"),
        help="random changes of training pictures",
    )
    train_split: str = config.field("train", help="what to train on")
    validation_split: str = config.field(
        "validation",
        help="what to choose the best head by; empty: the newest is the best",
    )
    dimension: int = config.field(40, help="numbers of a descriptor")
    whiten: bool = config.field(
        False, help="scale each of them to a variance of 1"
    )
    pca_pictures: int = config.field(
        10_000, help="training pictures that PCA is fitted on, at most"
    )
    precision: str = config.field(
        "float32",
        choices=("float32", "bfloat16"),
        help="in which features are taken; bfloat16 is twice as fast where the "
        "processor has it, and much slower where not",
    )
    strategy: str = config.field(
        "auto",
        choices=("auto", "one", "mirrored"),
        help="devices; auto: all GPUs when there are several, else one device",
    )
    seed: int = config.field(0, help="of weights, order and augmentation")


def run(settings: Config) -> dict[str, Any]:
    """Writes the SavedModel.

    Returns:
        What is known of it: `stride`, `receptive_field`, `explained` (share of
        the variance that PCA keeps) and `pca_features`.

    Raises:
        InputError: a setting, the run or the data cannot be used.
        Preempted: SIGTERM has come; the state is saved.
    """
    _check(settings)
    from landmark_tf.files import quiet, workspace

    quiet.import_tensorflow()
    from landmark_tf.models import entries
    from landmark_tf.training import run_directory

    trained = run_directory.open_run(settings.run)
    dataset = run_directory.open_data(trained, settings.data)
    given = dataclasses.asdict(settings)
    given = {key: value for key, value in given.items() if key not in _HOW}
    given["model_sha256"] = workspace.fingerprint(trained.path / "model.keras")
    out = pathlib.Path(settings.out)
    if workspace.is_finished(out, MARKER, given):
        print(f"{out} was written before; nothing to do")
        return json.loads((out / MARKER).read_text("utf-8"))["summary"]
    size = settings.image_size or trained.image_size
    smallest = entries.find(trained.model.name).smallest
    if size < smallest:
        raise InputError(
            f"{trained.model.name} needs pictures of at least {smallest} "
            f"pixels. Received: --image_size={size}"
        )
    with workspace.hold(out, MARKER, given) as work:
        training = _train_head(settings, size, trained, dataset)
        grid, facts = _grid(settings, trained, training)
        pca, typical = _collect(settings, size, dataset, grid)
        found = pca.fit(settings.dimension, settings.whiten)
        facts |= {"explained": found.explained, "pca_features": pca.count}
        _save(grid, facts, found, typical, out)
        shutil.copyfile(training / "history.csv", out / "history.csv")
        text = json.dumps({"settings": given, "summary": facts}, indent=1)
        workspace.write_text(work, out / MARKER, text + "\n")
    print(
        f"wrote {out}: features of {facts['receptive_field'][0]} pixels every "
        f"{facts['stride'][0]}, {settings.dimension} numbers keep "
        f"{found.explained:.0%} of their variance\nnext: python -m "
        f"landmark_tf.extract --extractor=delf:{out} --csv=TRAIN.csv "
        "--image_root=PHOTOGRAPHS --out=features/train"
    )
    return facts


def _train_head(
    settings: Config,
    size: int,
    trained: "run_directory.Run",
    dataset: "tfrecords.Dataset",
) -> pathlib.Path:
    """Trains the head; returns the run directory of its training."""
    from landmark_tf import train
    from landmark_tf.features import attention_head
    from landmark_tf.files import workspace
    from landmark_tf.models import graphs

    name = f"{trained.model.name}_delf"

    def make_model() -> "keras.Model":
        backbone = graphs.backbone(trained.model, settings.layer, size)
        return attention_head.add_head(
            backbone, dataset.num_classes, name, settings.hidden
        )

    folder = pathlib.Path(settings.out, workspace.WORK, "training")
    stage = f"{attention_head.PREFIX}+logits"
    train.fit(
        train.Config(
            data=str(dataset.path),
            run=str(folder),
            model=name,
            image_size=size,
            batch_size=settings.batch_size,
            stages=(f"{stage}:{settings.epochs}:{settings.learning_rate}",),
            optimizer="adam",
            augment=settings.augment,
            train_split=settings.train_split,
            validation_split=settings.validation_split,
            strategy=settings.strategy,
            seed=settings.seed,
        ),
        make_model,
    )
    return folder


def _grid(
    settings: Config, trained: "run_directory.Run", training: pathlib.Path
) -> "tuple[delf_module.Grid, dict[str, Any]]":
    """The trained network for pictures of any size, and what it sees."""
    from landmark_tf.features import attention_head, delf_module
    from landmark_tf.models import entries, graphs, receptive_field, registry

    network = registry.load_model(training / "model.keras")
    field = receptive_field.of(trained.model, settings.layer)
    with graphs.deep_graphs():
        finder = attention_head.network_of_features(network, settings.precision)
    grid = delf_module.Grid(
        finder,
        field.offset,
        field.stride,
        entries.find(trained.model.name).smallest,
    )
    return grid, {
        "stride": list(field.stride),
        "receptive_field": list(field.size),
    }


def _collect(
    settings: Config,
    size: int,
    dataset: "tfrecords.Dataset",
    grid: "delf_module.Grid",
) -> "tuple[projection.Pca, float]":
    """Looks at training pictures; PCA, and the attention of a typical feature.

    PCA is of what such a feature or a better one looks like.
    """
    import numpy as np
    import tensorflow as tf

    from landmark_tf.data import pipeline, tfrecords
    from landmark_tf.features import projection

    batch = settings.batch_size
    look = tf.function(grid)
    batches = pipeline.evaluation_batches(
        dataset,
        settings.train_split,
        batch_size=batch,
        image_size=size,
    ).take(-(-settings.pca_pictures // batch))
    pca, attentions = projection.Pca(grid.channels), []
    scales = [x for x in _SCALES if round(x * size) >= grid.smallest]
    with tfrecords.reading(dataset):
        for pictures in batches:
            shown = pictures["weight"].numpy() > 0
            images = tf.cast(pictures["image"][shown], tf.float32) / 255
            for scale in scales:
                _, attention, found = look(images, tf.constant(scale))
                attention = attention.numpy()
                least = np.median(attention, axis=1, keepdims=True)
                pca.add(found.numpy()[attention >= least])
                attentions.append(attention.ravel())
    return pca, max(float(np.median(np.concatenate(attentions))), 1e-6)


def _save(
    grid: "delf_module.Grid",
    facts: dict[str, Any],
    found: "projection.Projection",
    typical: float,
    out: pathlib.Path,
) -> None:
    """Writes the SavedModel aside, then puts its parts into place."""
    from landmark_tf.features import delf_module
    from landmark_tf.files import workspace

    module = delf_module.Delf(grid, facts["receptive_field"], found, typical)
    partial = workspace.partial_path(out)
    module.save(str(partial))
    for part in partial.iterdir():
        place = out / part.name
        if place.is_dir():  # of a run that was killed here
            shutil.rmtree(place)
        os.replace(part, place)


def _check(settings: Config) -> None:
    """Refuses what can be refused without reading anything."""
    least = {"hidden": 1, "epochs": 1, "batch_size": 1, "dimension": 1}
    least |= {"pca_pictures": 1, "image_size": 0}
    for name, smallest in least.items():
        value = getattr(settings, name)
        if value < smallest:
            raise InputError(
                f"--{name} must be {smallest} or more. "
                f"Received: --{name}={value}"
            )


if __name__ == "__main__":
    command.main(run, Config)
