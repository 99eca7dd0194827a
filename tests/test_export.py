import json
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmark_tf import InputError, export, predict
from landmark_tf.files import images

# What a stranger runs: TensorFlow, the folder, and nothing of ours.
_STRANGER = """
import json, pathlib, sys
import tensorflow as tf
folder, files = sys.argv[1], sys.argv[2:]
model = tf.saved_model.load(folder)
assert "landmark_tf" not in sys.modules
answer = model.signatures["serving_default"](
    image_bytes=tf.constant(
        [pathlib.Path(f).read_bytes() for f in files], tf.string))
print(json.dumps({key: x.numpy().tolist() for key, x in answer.items()}))
"""


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "toy"
    return export.run(export.Config(run=str(trained[0]), out=str(out), top_k=2))


def ask(folder, files, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _STRANGER, str(folder), *map(str, files)],
        cwd=tmp_path,  # the package is not on the path there
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fresh_process_answers_as_predict_does(
    exported, trained, toy, tmp_path
):
    csv, root = toy / "test.csv", toy / "test"
    ids = pd.read_csv(csv, dtype=str)["id"].tolist()
    files = [images.find_image(root, i) for i in ids]
    found = ask(exported, files, tmp_path)
    submission = predict.run(
        predict.Config(
            run=str(trained[0]),
            csv=str(csv),
            image_root=str(root),
            out=str(tmp_path / "submission.csv"),
            top_k=2,
        )
    )
    for row, text in enumerate(pd.read_csv(submission)["landmarks"]):
        words = text.split()
        assert found["landmark_id"][row] == [int(w) for w in words[::2]]
        np.testing.assert_allclose(
            found["confidence"][row],
            [float(w) for w in words[1::2]],
            atol=1e-5,
        )
    facts = json.loads((exported / "assets.extra" / "export.json").read_text())
    first = np.array(found["confidence"])[:, 0]
    assert found["is_landmark"] == (first >= facts["threshold"]).tolist()


def test_any_jpeg_or_png(exported, toy, tmp_path):
    picture = Image.open(sorted((toy / "test").rglob("*.jpg"))[0])
    variants = {
        "same.png": picture,
        "grey.jpg": picture.convert("L"),
        "grey.png": picture.convert("L"),
        "palette.png": picture.quantize(64),
        "alpha.png": picture.convert("RGBA"),
        "large.jpg": picture.resize((1500, 1100)),
    }
    for name, variant in variants.items():
        variant.save(tmp_path / name, quality=95)
    found = ask(exported, [tmp_path / name for name in variants], tmp_path)
    assert np.shape(found["landmark_id"]) == (len(variants), 2)
    assert np.isfinite(found["confidence"]).all()


def test_no_picture_gets_no_answer(exported, tmp_path):
    found = ask(exported, [], tmp_path)
    assert found == {"landmark_id": [], "confidence": [], "is_landmark": []}


def test_a_given_threshold_needs_no_dataset(trained, tmp_path):
    settings = export.Config(
        run=str(trained[0]),
        out=str(tmp_path / "out"),
        threshold=0.75,
        data="nowhere",
    )
    folder = pathlib.Path(export.run(settings))
    facts = json.loads((folder / "assets.extra/export.json").read_text())
    assert facts["threshold"] == 0.75


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "nowhere"}, "no flags.txt .*nowhere"),
        ({"top_k": 0}, "--top_k .*: 0"),
        ({"threshold": 1.5}, "--threshold .*: 1.5"),
        ({"keep_gap": 0.0}, "--keep_gap .*: 0.0"),
    ],
)
def test_bad_settings_are_named(trained, tmp_path, change, words):
    settings = {"run": str(trained[0]), "out": str(tmp_path / "out"), **change}
    with pytest.raises(InputError, match=words):
        export.run(export.Config(**settings))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="--out .*"):
        export.run(export.Config(run=str(trained[0]), out=str(tmp_path)))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
