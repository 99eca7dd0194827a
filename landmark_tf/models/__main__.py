"""Prints the table of networks.

    python -m landmark_tf.models
    python -m landmark_tf.models "se_*" mobilenet_v2

Parameters are the trainable ones for 1,000 classes. GFLOPs are the billions of
multiply-adds of one picture at the default size, `px`. The last column says
whose published files `--weights` reads into the network; for those of
keras.applications `--weights=imagenet` is enough. In the attention networks
they fill the residual stages, and the attention modules start fresh.
"""

import dataclasses
import fnmatch

from landmark_tf import command, config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Which networks to show."""

    names: tuple[str, ...] = config.field(
        (), positional=True, help="names or patterns such as se_*; none: all"
    )


_SOURCES = {"keras": "imagenet", "cadene": "Cadene, timm (legacy)"}


def run(settings: Config) -> None:
    """Prints a Markdown table, a row for each network.

    Raises:
        InputError: a pattern that no network's name matches.
    """
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.models import costs, entries, registry

    names = registry.list_models()
    for pattern in settings.names:
        if not fnmatch.filter(names, pattern):
            entries.find(pattern)  # names the nearest
    print("| name | parameters | GFLOPs | px | weights |")
    print("|---|---:|---:|---:|---|")
    for name in names:
        if settings.names and not any(
            fnmatch.fnmatch(name, pattern) for pattern in settings.names
        ):
            continue
        model = registry.create_model(name, num_classes=1000)
        sources = entries.find(name).schemes
        print(
            f"| `{name}` | {costs.parameters(model):,} | "
            f"{costs.multiply_adds(model) / 1e9:.2f} | "
            f"{model.input_shape[1]} | "
            f"{', '.join(_SOURCES.get(x, x) for x in sources) or '-'} |",
            flush=True,
        )


if __name__ == "__main__":
    command.main(run, Config)
