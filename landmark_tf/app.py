r"""A page to drop photographs on: the landmark, or that there is none.

    pip install -e '.[app]'
    python -m landmark_tf.app --run=runs/quickstart
    python -m landmark_tf.app --run=runs/quickstart --features=features/train \
        --image_root=toy_photos/train

Says the landmark's name with its confidence, shows the five most likely with a
training picture of each and where the network looked. With --features, made by
`extract`, local features have the last word, and the ones that agree are drawn
where --image_root has the training photographs; --calibration, made by `verify
--calibrate`, says how many have to agree.

The page is on http://127.0.0.1:7860, for this machine alone unless --host says
otherwise; nothing leaves the machine.
"""

import dataclasses
import html
import io
import os
import pathlib
from typing import TYPE_CHECKING, Any

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from landmark_tf.reports.guide import Guide

_LARGEST = "20mb"
_MIN_INLIERS = 15.0  # more than pictures of different things share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the page."""

    run: str = config.field(help="run directory of a training")
    data: str = config.field(
        "", help="dataset folder; none: the one it was trained on"
    )
    features: str = config.field(
        "", help="features of the training pictures, to verify with"
    )
    image_root: str = config.field(
        "", help="folder of the training photographs, to show them in full"
    )
    threshold: float = config.field(
        0.5, help="confidence from which on a landmark is named, in [0, 1]"
    )
    min_inliers: float = config.field(
        -1.0,
        help="local features that have to agree; negative: of --calibration, "
        "or 15",
    )
    calibration: str = config.field(
        "", help="calibration.json that `verify --calibrate` has written"
    )
    host: str = config.field("127.0.0.1", help="address to listen on")
    port: int = config.field(7860, help="port to listen on")


def run(settings: Config) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: no Gradio, no such run or features, or the port is taken.
    """
    _check(settings)
    page = build(guide(settings))
    try:
        page.launch(
            server_name=settings.host,
            server_port=settings.port,
            share=False,  # whatever the environment says
            max_file_size=_LARGEST,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise InputError(
            "the page cannot listen there; choose another --port or --host. "
            f"Received: {settings.host}:{settings.port}"
        ) from error
    print(
        f"http://{settings.host}:{settings.port} (Ctrl-C ends it)", flush=True
    )
    page.block_thread()


def _check(settings: Config) -> None:
    if not 0 <= settings.threshold <= 1:
        raise InputError(
            "--threshold must lie between 0 and 1. "
            f"Received: {settings.threshold:g}"
        )
    if settings.calibration and not settings.features:
        raise InputError(
            "--calibration is of local features; give --features too. "
            f"Received: --calibration={settings.calibration}"
        )
    if settings.image_root and not os.path.isdir(settings.image_root):
        raise InputError(
            f"--image_root must be a folder. Received: {settings.image_root}"
        )
    if not 0 < settings.port < 65536:
        raise InputError(
            f"--port must lie between 1 and 65535. Received: {settings.port}"
        )


def guide(settings: Config) -> "Guide":
    """Loads what the page answers with."""
    from landmark_tf.files import quiet

    quiet.import_tensorflow()
    from landmark_tf.reports.guide import Guide
    from landmark_tf.reports.verifier import Verifier
    from landmark_tf.training import run_directory

    trained = run_directory.open_run(settings.run)
    verifier = None
    if settings.features:
        statistic, least = _evidence(settings)
        verifier = Verifier(
            settings.features,
            trained,
            data=settings.data,
            image_root=settings.image_root,
            statistic=statistic,
            min_inliers=least,
        )
    return Guide(
        trained,
        data=settings.data,
        image_root=settings.image_root,
        threshold=settings.threshold,
        verifier=verifier,
    )


def _evidence(settings: Config) -> tuple[str, float]:
    """What is looked at of the inlier counts, and how much is enough."""
    from landmark_tf.predictions import verification

    statistic, least = "max", _MIN_INLIERS
    if settings.calibration:
        path = pathlib.Path(settings.calibration)
        found = verification.Calibration.read(path)
        statistic, least = found.statistic, found.min_inliers
    if settings.min_inliers >= 0:
        least = settings.min_inliers
    return statistic, least


def build(answers: "Guide") -> Any:
    """The page, a `gradio.Blocks`.

    Raises:
        InputError: Gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            "the page needs Gradio: pip install -e '.[app]'. Received: no "
            "module gradio"
        ) from error

    def show(path: str | None) -> tuple:
        if not path:
            return "", None, None, "", gradio.update(visible=False)
        found = answers.answer(path)
        words = f"<h2>{html.escape(found.headline)}</h2><p>"
        words += f"{html.escape(found.sentence)}</p>"
        pictures = found.picture, found.saliency
        drawn = gradio.update(
            value=found.matches, visible=found.matches is not None
        )
        return words, *pictures, _cards(found.likely), drawn

    # What was uploaded is deleted after an hour, and at the end.
    with gradio.Blocks(title="landmark_tf", delete_cache=(600, 3600)) as page:
        gradio.Markdown("# Which landmark is it?")
        with gradio.Row():
            with gradio.Column():
                file = gradio.File(label="Drop a photograph")
                words = gradio.HTML(elem_id="answer")
            picture = gradio.Image(label="the photograph", interactive=False)
            saliency = gradio.Image(
                label="where the network looked", interactive=False
            )
        likely = gradio.HTML(elem_id="likely")
        matches = gradio.Image(
            label="local features that agree with a training picture",
            interactive=False,
            visible=False,
        )
        file.change(show, file, [words, picture, saliency, likely, matches])
    return page


def _cards(likely: "Sequence[tuple[str, float, np.ndarray | None]]") -> str:
    """The likely landmarks side by side: picture, name, confidence as a bar."""
    cards = []
    for name, confidence, picture in likely:
        shown = "" if picture is None else _inline(picture)
        cards.append(
            f'<div style="flex: 1; min-width: 8rem">{shown}'
            f"<div><b>{html.escape(name)}</b> {confidence:.2f}</div>"
            '<div style="background: #8884; height: .4rem">'
            f'<div style="background: #f97316; height: 100%; '
            f'width: {confidence:.0%}"></div></div></div>'
        )
    if not cards:
        return ""
    return (
        "<p>The most likely landmarks, with a training picture of each:</p>"
        '<div style="display: flex; flex-wrap: wrap; gap: 1rem">'
        f"{''.join(cards)}</div>"
    )


def _inline(picture: "np.ndarray") -> str:
    from PIL import Image

    from landmark_tf.reports.page import data_url

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return (
        '<img alt="training picture" style="height: 10rem; width: 100%; '
        f'object-fit: contain" src="{data_url(buffer.getvalue())}">'
    )


if __name__ == "__main__":
    command.main(run, Config)
