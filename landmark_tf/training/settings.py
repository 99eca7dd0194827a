"""What a person says about a training: the flags, and what they may be."""

import dataclasses
import math

from landmark_tf import InputError, config
from landmark_tf.training import schedule_factors, stages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a training."""

    data: str = config.field(help="dataset folder, made by prepare")
    run: str = config.field(help="run directory to make or to go on with")
    model: str = config.field(
        "resnet50", help="network; python -m landmark_tf.models lists them"
    )
    weights: str = config.field(
        "",
        help="what to start from: imagenet, a run directory, or a file of "
        "landmark_tf, torchvision, timm, Cadene or keras.applications",
    )
    image_size: int = config.field(
        0, help="side of the square input in pixels; 0: the network's default"
    )
    batch_size: int = config.field(
        256, help="pictures of one step over all devices"
    )
    accumulate: int = config.field(
        1,
        help="parts in which a device takes its share of a batch, one after "
        "the other; more need less memory",
    )
    epochs: int = config.field(20, help="passes over the training pictures")
    stages: tuple[str, ...] = config.field(
        (stages.NONE,),
        help="fine-tuning in stages, LAYERS:EPOCHS:LEARNING_RATE of each, such "
        "as logits:3:0.01,conv4_x+conv5_x+logits:5:0.001 (--epochs and "
        "--learning_rate then do not count); none: all layers at once",
    )
    optimizer: str = config.field(
        "sgd",
        choices=("sgd", "adam", "adamw"),
        help="sgd: with momentum; adam: with amsgrad; adamw: decay apart from "
        "the gradient",
    )
    learning_rate: float = config.field(0.01, help="step size, above 0")
    schedule: tuple[str, ...] = config.field(
        ("constant",),
        help="factors of the learning rate: constant, cosine, warmup:EPOCHS, "
        "step:FACTOR:EPOCHS (again and again), drop:FACTOR:EPOCHS (once); they "
        "begin anew with each stage",
    )
    momentum: float = config.field(
        0.9, help="momentum of sgd, beta_1 of adam and adamw; in [0, 1)"
    )
    weight_decay: float = config.field(
        1e-4, help="L2 decay of kernels; batch norm and biases have none"
    )
    clip_norm: float = config.field(
        0.0, help="largest norm of the gradient of all weights; 0: any"
    )
    ema: float = config.field(
        0.0,
        help="decay of the moving average of the weights that is measured and "
        "kept, such as 0.999; 0: the weights themselves",
    )
    focal_gamma: float = config.field(
        0.0,
        help="focus of the focal loss on hard pictures; 0: cross-entropy; the "
        "report tried 0.5 and 2",
    )
    label_smoothing: float = config.field(
        0.0, help="share of the target spread over all classes, in [0, 1)"
    )
    class_weights: str = config.field(
        "none",
        choices=("none", "inverse", "log", "effective"),
        help="weight of a class in the loss by its number of pictures n: 1/n, "
        "1/log(1+n), or one over the effective number (1-b^n)/(1-b)",
    )
    effective_beta: float = config.field(
        0.999,
        help="b of --class_weights=effective, in [0, 1): from 0, where all "
        "classes weigh the same, towards 1/n",
    )
    sampling: str = config.field(
        "natural",
        choices=("natural", "sqrt", "balanced"),
        help="how often a class with n pictures is seen: as n, as the root of "
        "n, or all equally often",
    )
    augment: str = config.field(
        "report",
        choices=("report", "flip", "none"),
        help="random changes of training pictures; report: flip, then crop, "
        "colour jitter or affine",
    )
    train_split: str = config.field(
        "train", help="what to train on, as TFDS writes it: train[:10%]"
    )
    validation_split: str = config.field(
        "validation",
        help="what to choose the best model by; empty: the newest is the best",
    )
    strategy: str = config.field(
        "auto",
        choices=("auto", "one", "mirrored", "multiworker", "tpu"),
        help="devices; auto: all hosts of TF_CONFIG, or all GPUs when there "
        "are several, else one device",
    )
    tpu: str = config.field(
        "", help="name of the TPU for --strategy=tpu; empty: this machine's"
    )
    precision: str = config.field(
        "float32",
        choices=("float32", "bfloat16", "float16"),
        help="of the computation; weights stay float32; float16 scales the "
        "loss as needed",
    )
    jit: bool = config.field(
        False, help="compile the step by XLA; on one device"
    )
    steps_per_call: int = config.field(
        1, help="steps between two looks at the loss; more is faster on a GPU"
    )
    deterministic: bool = config.field(
        False, help="the same bits every time; slower on a GPU"
    )
    checkpoint_every: int = config.field(
        0, help="steps between two saved states; 0: an epoch"
    )
    keep: int = config.field(2, help="saved states to keep, at least 1")
    log_every: int = config.field(
        0, help="steps between two points in TensorBoard; 0: an epoch"
    )
    profile: tuple[int, ...] = config.field(
        (), help="FROM,TO: profile these steps, counted from 1, for TensorBoard"
    )
    seed: int = config.field(0, help="of weights, order and augmentation")


# What may change when a run goes on.
FREE = {
    "run",
    "data",
    "epochs",
    "strategy",
    "tpu",
    "jit",
    "steps_per_call",
    "deterministic",
    "checkpoint_every",
    "keep",
    "log_every",
    "profile",
}


def check(settings: Config) -> None:
    """Refuses nonsense before TensorFlow is imported.

    Raises:
        InputError: a value outside its range or of another form.
    """
    for name, good, what in _ranges(settings):
        if not good:
            value = config.to_text(getattr(settings, name))
            raise InputError(f"--{name} must be {what}. Received: {value}")
    stages.parse(settings.stages, settings.epochs, settings.learning_rate)
    schedule_factors.parse(settings.schedule)
    if settings.jit and settings.deterministic:
        raise InputError(
            "XLA has no deterministic max pooling: leave out --jit or "
            "--deterministic. Received: both"
        )


def _ranges(settings: Config) -> tuple[tuple[str, bool, str], ...]:
    x = settings
    return (
        ("batch_size", x.batch_size >= 1, "at least 1"),
        ("accumulate", x.accumulate >= 1, "at least 1"),
        ("epochs", x.epochs >= 1, "at least 1"),
        ("image_size", x.image_size >= 0, "a size in pixels, or 0"),
        ("steps_per_call", x.steps_per_call >= 1, "at least 1"),
        ("learning_rate", 0 < x.learning_rate < math.inf, "above 0"),
        ("momentum", 0 <= x.momentum < 1, "at least 0 and below 1"),
        ("weight_decay", 0 <= x.weight_decay < math.inf, "at least 0"),
        ("clip_norm", 0 <= x.clip_norm < math.inf, "at least 0"),
        ("ema", 0 <= x.ema < 1, "at least 0 and below 1"),
        ("focal_gamma", 0 <= x.focal_gamma < math.inf, "at least 0"),
        (
            "label_smoothing",
            0 <= x.label_smoothing < 1,
            "at least 0 and below 1",
        ),
        (
            "effective_beta",
            0 <= x.effective_beta < 1,
            "at least 0 and below 1",
        ),
        ("checkpoint_every", x.checkpoint_every >= 0, "at least 0"),
        ("keep", x.keep >= 1, "at least 1"),
        ("log_every", x.log_every >= 0, "at least 0"),
        (
            "profile",
            not x.profile
            or (len(x.profile) == 2 and 1 <= x.profile[0] <= x.profile[1]),
            "FROM,TO with 1 <= FROM <= TO",
        ),
        ("seed", 0 <= x.seed < 2**32, "at least 0 and below 2^32"),
    )
