"""The demo page: its answers, and the page itself in a browser."""

import csv
import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from landmark_tf import InputError, app, extract
from landmark_tf.files import images
from landmark_tf.predictions import verification
from landmark_tf.reports.guide import Guide
from landmark_tf.reports.verifier import Verifier
from landmark_tf.training import run_directory
from tests import browser


@pytest.fixture(scope="module")
def features(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "train"
    extract.run(
        extract.Config(
            csv=(str(toy / "train.csv"),),
            image_root=str(toy / "train"),
            out=str(out),
            workers=1,
        )
    )
    return out


@pytest.fixture(scope="module")
def photograph(toy):
    """A test photograph that shows a landmark."""
    with open(toy / "recognition_solution.csv", newline="") as file:
        name = next(x["id"] for x in csv.DictReader(file) if x["landmarks"])
    return str(next((toy / "test").rglob(f"{name}.jpg")))


@pytest.fixture(scope="module")
def run(trained):
    return run_directory.open_run(trained[0])


def test_the_five_most_likely_with_a_picture_of_each(run, photograph):
    answer = Guide(run, threshold=0.0).answer(photograph)
    confidences = [confidence for _, confidence, _ in answer.likely]
    assert len(answer.likely) == min(5, len(run.classes))
    assert confidences == sorted(confidences, reverse=True)
    name, confidence, _ = answer.likely[0]
    assert answer.headline == name
    assert answer.sentence == f"Confidence {confidence:.2f}."
    for _, _, picture in answer.likely:
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
    assert answer.saliency.std() > 5
    with Image.open(photograph) as picture:
        width, height = picture.size
    assert answer.picture.shape == answer.saliency.shape
    assert max(answer.picture.shape) == 640
    ratio = answer.picture.shape[1] / answer.picture.shape[0]
    assert ratio == pytest.approx(width / height, rel=0.01)
    assert answer.matches is None


def test_photographs_are_shown_in_full(run, photograph, toy):
    files = list((toy / "train").rglob("*.jpg"))
    pixels = {np.asarray(images.open_rgb(x)).tobytes() for x in files}
    answer = Guide(run, image_root=str(toy / "train")).answer(photograph)
    assert all(picture.tobytes() in pixels for _, _, picture in answer.likely)
    for _, _, picture in Guide(run, image_root="x").answer(photograph).likely:
        assert picture is None


def test_a_calibration_says_how_much_is_enough(run, features, tmp_path):
    found = verification.Calibration(
        *("top3", 21.5, 0.0, 1.0, 1.0), *(0.5, 0.5, 0.5), 10
    )
    found.write(tmp_path / "calibration.json")
    for more, least in (({}, "21.5"), ({"min_inliers": 30.0}, "30")):
        answers = app.guide(
            app.Config(
                run=str(run.path),
                features=str(features),
                calibration=str(tmp_path / "calibration.json"),
                **more,
            )
        )
        assert answers._verifier._statistic == "top3"
        assert f"{answers._verifier._least:g}" == least


def test_below_the_threshold_there_is_no_landmark(run, photograph):
    answer = Guide(run, threshold=1.0).answer(photograph)
    assert answer.headline == "No landmark"
    name, confidence, _ = answer.likely[0]
    assert answer.sentence == (
        f"The most likely is {name}, with confidence {confidence:.2f}, below "
        "1.00."
    )


def test_the_confidence_is_that_of_predict(run, photograph, tmp_path):
    from landmark_tf import predict
    from landmark_tf.predictions import submission

    path = pathlib.Path(photograph)
    (tmp_path / "one.csv").write_text(f"id\n{path.stem}\n")
    predict.run(
        predict.Config(
            run=str(run.path),
            csv=str(tmp_path / "one.csv"),
            image_root=str(path.parents[3]),
            out=str(tmp_path / "out.csv"),
        )
    )
    pairs, _ = submission.read_submission(tmp_path / "out.csv")
    _, confidence, _ = Guide(run).answer(photograph).likely[0]
    assert confidence == pytest.approx(pairs["confidence"][0], rel=1e-4)


def test_a_training_photograph_confirms_itself(run, features, toy):
    """Of its own landmark it has all features, of another hardly any."""
    verifier = Verifier(features, run, image_root=str(toy / "train"))
    landmark, other = run.classes["landmark_id"].tolist()[:2]
    name = verifier._ids[landmark][0]
    with Image.open(next((toy / "train").rglob(f"{name}.jpg"))) as picture:
        verdict = verifier(picture.convert("RGB"), landmark)
        wrong = verifier(picture.convert("RGB"), other)
    assert max(verdict.inliers) > 3 * max(wrong.inliers)
    assert verdict.confirmed and verdict.matches.ndim == 3
    assert verifier(picture.convert("RGB"), 999).evidence == ""


def test_verification_has_the_last_word(run, features, photograph):
    for least, words in ((0.0, "confirms it"), (1e6, "does not confirm it")):
        verifier = Verifier(features, run, min_inliers=least)
        answer = Guide(run, threshold=1.0, verifier=verifier).answer(photograph)
        assert words in answer.sentence
        expected = answer.likely[0][0] if least == 0 else "No landmark"
        assert answer.headline == expected
        assert answer.matches is None  # without the photographs


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0 no more"])
def test_a_bad_file_gets_a_sentence(run, tmp_path, data):
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    answer = Guide(run).answer(str(path))
    assert answer.headline == "No photograph"
    assert answer.sentence.startswith("This file cannot be read (")
    assert answer.picture is None and answer.likely == ()


def test_names_are_text_on_the_page():
    black = np.zeros((4, 6, 3), np.uint8)
    text = app._cards((("<b>A & B</b>", 0.5, black), ("plain", 0.25, None)))
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in text and "<b>A" not in text
    assert text.count("<img") == 1 and "width: 25%" in text
    assert app._cards(()) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 2.0}, "Received: 2$"),
        ({"image_root": "nowhere"}, "a folder. Received: nowhere"),
        ({"calibration": "x.json"}, "give --features.*Received: .*x.json"),
        ({"port": 0}, "Received: 0"),
        ({"run": "nowhere"}, "nowhere"),
        ({"features": "nowhere"}, "nowhere"),
    ],
)
def test_bad_settings_are_named(trained, change, words):
    with pytest.raises(InputError, match=words):
        app.run(app.Config(**{"run": str(trained[0]), **change}))


def test_the_page_is_for_this_machine_alone(run, monkeypatch, capsys):
    given = {}

    class Page:
        def launch(self, **arguments):
            given.update(arguments)

        def block_thread(self):
            pass

    monkeypatch.setattr(app, "build", lambda answers: Page())
    app.run(app.Config(run=str(run.path), port=7999))
    assert given["server_name"] == "127.0.0.1" and given["share"] is False
    assert given["server_port"] == 7999
    assert "http://127.0.0.1:7999" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("gradio") is not None, reason="Gradio is here"
)
def test_without_gradio_it_says_what_to_install():
    with pytest.raises(InputError, match=r"pip install -e '.\[app\]'"):
        app.build(None)


@pytest.fixture(scope="module")
def page(trained, features, toy):
    """The address of the page, served by another process."""
    pytest.importorskip("gradio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        *(sys.executable, "-m", "landmark_tf.app", f"--run={trained[0]}"),
        *(f"--features={features}", f"--image_root={toy / 'train'}"),
        f"--port={port}",
    ]
    process = subprocess.Popen(words, env={**os.environ})
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < deadline
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_the_page_in_a_browser(page, photograph, tmp_path):
    huge, text, cut = (tmp_path / x for x in ("huge.jpg", "a.txt", "cut.jpg"))
    huge.write_bytes(bytes(21_000_000))
    text.write_text("no picture")
    cut.write_bytes(pathlib.Path(photograph).read_bytes()[:1500])
    expected = {
        photograph: "local features agree",
        str(text): "This file cannot be read",
        str(cut): "This file cannot be read",
        str(huge): "exceed the maximum allowed size",
    }
    with browser.chromium(tmp_path / "profile") as driver:
        for file, words in expected.items():
            upload(driver, page, file, words)
        upload(driver, page, photograph, expected[photograph])
        wait(lambda: len(driver.find_elements("tag name", "img")) >= 5)
        driver.save_screenshot(str(tmp_path / "page.png"))
    shot = np.asarray(Image.open(tmp_path / "page.png"))
    assert shot.std() > 10


def upload(driver, page, file, words):
    """Gives the page a file, and waits for what it has to say."""
    driver.get(page)
    wait(lambda: driver.find_elements("css selector", "input[type=file]"))
    driver.find_element("css selector", "input[type=file]").send_keys(file)
    wait(lambda: words in driver.find_element("tag name", "body").text)
    assert "Traceback" not in driver.find_element("tag name", "body").text


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found
