r"""Shows what trained networks look at, and where they are right and wrong.

    python -m landmark_tf.explain --run=runs/a,runs/b \
        --images=one.jpg,two.jpg --out=explained

A PNG for each picture, a line for each run: the picture with the answer; the
saliency map of the report's Section 5.4.1 (the gradient of the class score by
the pixels); SmoothGrad, its mean over noisy copies; Grad-CAM on --layer; and
the attention masks of networks that have them.

    python -m landmark_tf.explain --run=runs/a --gallery --out=gallery

draws, of a split of the run's dataset, the hardest pictures, the most confident
mistakes and the most confident successes, each with the training picture of its
own and of the named landmark that is nearest in the network's features (of the
first hundred of each), and lists them in gallery.csv.
"""

import dataclasses
import os
import pathlib

from landmark_tf import InputError, command, config

_PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of an explanation."""

    run: tuple[str, ...] = config.field(help="run directories of trainings")
    out: str = config.field(help="folder to write")
    images: tuple[str, ...] = config.field(
        (), help="photographs to explain, or folders of them"
    )
    landmark_id: int = config.field(
        -1, help="landmark to explain; -1: the one that each run names"
    )
    layer: str = config.field(
        "conv5_x",
        choices=("conv2_x", "conv3_x", "conv4_x", "conv5_x"),
        help="features of Grad-CAM",
    )
    samples: int = config.field(16, help="noisy copies of SmoothGrad")
    noise: float = config.field(
        0.15, help="SmoothGrad's noise, as a share of the range of the pixels"
    )
    seed: int = config.field(0, help="of the noise")
    gallery: bool = config.field(
        False, help="show telling pictures of a split instead"
    )
    data: str = config.field(
        "", help="dataset of --gallery; none: the one it was trained on"
    )
    split: str = config.field("validation", help="split of --gallery")
    count: int = config.field(6, help="pictures of each kind of --gallery")
    batch_size: int = config.field(64, help="pictures of one step")


def run(settings: Config) -> list[pathlib.Path]:
    """Explains, and returns the pictures that were written.

    Raises:
        InputError: no such run or picture, or a setting that does not fit.
    """
    _check(settings)
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.training import run_directory

    runs = {path: run_directory.open_run(path) for path in settings.run}
    out = pathlib.Path(settings.out)
    if settings.gallery:
        from landmark_tf.reports import gallery

        return gallery.write(
            runs[settings.run[0]],
            out,
            data=settings.data,
            split=settings.split,
            count=settings.count,
            batch_size=settings.batch_size,
        )
    from landmark_tf.reports import explained, explanation

    how = explained.Settings(
        settings.landmark_id,
        settings.layer,
        settings.samples,
        settings.noise,
        settings.seed,
    )
    explainers = [explained.Explained(x, how) for x in runs.values()]
    written, unread = [], []
    for path in _photographs(settings.images):
        try:
            rows = [x.panels(path) for x in explainers]
        except explained.UnreadableError as error:
            unread.append(path)
            print(f"{path} cannot be read: {error}")
            continue
        written.append(_free(out, pathlib.Path(path).stem))
        explanation.draw(rows, written[-1], pathlib.Path(path).name)
        print(written[-1])
    if unread and not written:
        raise InputError(
            f"none of the pictures can be read. Received: {', '.join(unread)}"
        )
    return written


def _photographs(paths: tuple[str, ...]) -> list[str]:
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = sorted(
            str(file)
            for file in pathlib.Path(path).rglob("*")
            if file.suffix.lower() in _PICTURES and file.is_file()
        )
        if not inside:
            raise InputError(
                "the folder has no photographs (files in "
                f"{', '.join(_PICTURES)}). Received: {path}"
            )
        found += inside
    return found


def _check(settings: Config) -> None:
    if bool(settings.images) == settings.gallery:
        raise InputError(
            "give either --images or --gallery. Received: "
            f"{len(settings.images)} images, --gallery={settings.gallery}"
        )
    if settings.gallery and len(settings.run) != 1:
        raise InputError(
            f"--gallery takes one run. Received: {len(settings.run)}"
        )
    if min(settings.samples, settings.count, settings.batch_size) < 1:
        raise InputError(
            "--samples, --count and --batch_size must be at least 1. Received: "
            f"{settings.samples}, {settings.count}, {settings.batch_size}"
        )
    if not 0 <= settings.noise <= 1:
        raise InputError(
            f"--noise must lie between 0 and 1. Received: {settings.noise}"
        )
    out = pathlib.Path(settings.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out must be a folder. Received: {out}")


def _free(out: pathlib.Path, stem: str) -> pathlib.Path:
    """A name for a picture; two photographs may bear the same one."""
    path, number = out / f"{stem}.png", 2
    while path.exists():
        path, number = out / f"{stem}_{number}.png", number + 1
    return path


if __name__ == "__main__":
    command.main(run, Config)
