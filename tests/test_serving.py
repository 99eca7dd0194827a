"""docs/serving.md, followed to the letter against a stand-in server."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from landmark_tf import InputError, export, predict
from landmark_tf.files import images
from landmark_tf.predictions import warmup
from tests import tf_serving

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "serving.md"


def blocks(language):
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory):
    """A folder with exported/photos/1, as the document has it."""
    place = tmp_path_factory.mktemp("serving")
    version = place / "exported" / "photos" / "1"
    export.run(export.Config(run=str(trained[0]), out=str(version), top_k=2))
    # What lies beside the versions is no version.
    assert [x.name for x in version.parent.iterdir()] == ["1"]
    return place


@pytest.fixture(scope="module")
def model(place):
    return tf_serving.Model(place / "exported" / "photos" / "1")


@pytest.fixture(scope="module")
def photographs(toy):
    ids = pd.read_csv(toy / "test.csv", dtype=str)["id"].tolist()[:5]
    return ids, [images.find_image(toy / "test", i) for i in ids]


@pytest.fixture(scope="module")
def predicted(trained, toy, photographs, tmp_path_factory):
    """(landmark_id [2], confidence [2]) of each photograph, by `predict`."""
    folder = tmp_path_factory.mktemp("predicted")
    pd.DataFrame({"id": photographs[0]}).to_csv(folder / "q.csv", index=False)
    submission = predict.run(
        predict.Config(
            run=str(trained[0]),
            csv=str(folder / "q.csv"),
            image_root=str(toy / "test"),
            out=str(folder / "submission.csv"),
            top_k=2,
        )
    )
    words = [x.split() for x in pd.read_csv(submission)["landmarks"]]
    return [([int(x) for x in w[::2]], np.float32(w[1::2])) for w in words]


def encoded(files):
    return [
        {"b64": base64.b64encode(file.read_bytes()).decode()} for file in files
    ]


def check(predictions, predicted):
    assert len(predictions) == len(predicted)
    for found, (landmark_id, confidence) in zip(predictions, predicted):
        assert found["landmark_id"] == landmark_id
        np.testing.assert_allclose(found["confidence"], confidence, atol=1e-5)


def test_the_signature_is_what_the_request_needs(place):
    info = tf_serving.signature_def(place / "exported/photos/1")
    assert info.method_name == "tensorflow/serving/predict"
    (name,) = info.inputs
    assert name == "image_bytes"
    assert name.endswith("_bytes")  # what Google Cloud knows bytes by

    def spec(tensor):
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        return tf.as_dtype(tensor.dtype).name, shape

    assert spec(info.inputs[name]) == ("string", [-1])
    assert {key: spec(x) for key, x in info.outputs.items()} == {
        "landmark_id": ("int64", [-1, 2]),
        "confidence": ("float32", [-1, 2]),
        "is_landmark": ("bool", [-1]),
    }


def test_the_graph_needs_no_python(place):
    data = (place / "exported/photos/1/saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].graph_def
    functions = graph.library.function
    used = {node.op for node in graph.node}
    used |= {node.op for function in functions for node in function.node_def}
    assert "DecodeImage" in used
    assert not {op for op in used if "PyFunc" in op}


def test_the_body_in_the_document(model, photographs, predicted):
    body, answer = blocks("json")
    sent = encoded(photographs[1][:2])
    # Its pictures are cut short: in their places stand two real ones.
    shown = re.findall(r'"b64": "([^"]*…)"', body)
    assert len(shown) == 2
    for cut, whole in zip(shown, sent):
        body = body.replace(cut, whole["b64"])
    found = model.predict(body)
    check(found["predictions"], predicted[:2])
    # The answer has the form that is shown: same keys, types and lengths.
    shown = json.loads(answer)

    def form(value):
        if isinstance(value, dict):
            return {key: form(x) for key, x in value.items()}
        if isinstance(value, list):
            return [form(x) for x in value]
        return type(value)

    assert form(found) == form(shown)


def test_every_form_of_the_request_gets_the_same_answer(
    model, photographs, predicted
):
    sent = encoded(photographs[1])
    named = [{"image_bytes": picture} for picture in sent]
    for request in (
        {"instances": sent},
        {"instances": named, "signature_name": "serving_default"},
    ):
        found = model.predict(json.dumps(request))
        check(found["predictions"], predicted)
    for inputs in (sent, {"image_bytes": sent}):
        found = model.predict(json.dumps({"inputs": inputs}))["outputs"]
        rows = [dict(zip(found, row)) for row in zip(*found.values())]
        check(rows, predicted)


def client(place, where, files, classes="exported/photos/1/assets.extra/"):
    (script,) = (x for x in blocks("python") if "urllib" in x)
    assert "http://localhost:8501/" in script
    script = script.replace("localhost:8501", where)
    script = script.replace("exported/photos/1/assets.extra/", f"{classes}/")
    return subprocess.run(
        [sys.executable, "-I", "-c", script, *map(str, files)],
        cwd=place,
        env={**os.environ, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_python_client(place, photographs, predicted, tmp_path):
    extra = place / "exported/photos/1/assets.extra"
    facts = json.loads((extra / "export.json").read_text())
    with tf_serving.serving(place / "exported/photos", "photos") as where:
        done = client(place, where, photographs[1])
        (tmp_path / "note.jpg").write_text("not a picture")
        files = [photographs[1][0], tmp_path / "note.jpg"]
        failed = client(place, where, files)
        named = pd.read_csv(
            place / "exported/photos/1/assets.extra/classes.csv"
        )
        named["category"] = [f"Tower, {i}" for i in named["landmark_id"]]
        named.to_csv(tmp_path / "classes.csv", index=False)
        with_names = client(place, where, photographs[1][:1], tmp_path)
    assert f"Tower, {predicted[0][0][0]}" in with_names.stdout
    assert done.returncode == 0, done.stderr
    for file, line, (landmark_id, confidence) in zip(
        photographs[1], done.stdout.splitlines(), predicted, strict=True
    ):
        name = str(landmark_id[0])  # the drawn ones have no other names
        if confidence[0] < facts["threshold"]:
            name = f"no landmark (the likeliest: {name})"
        assert line.startswith(f"{file}: {name}, ")
        assert abs(float(line.rpartition(", ")[2]) - confidence[0]) < 1e-3
    assert failed.returncode == 1
    assert "Unknown image file format" in failed.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
def test_the_curl_command(place, photographs, predicted):
    (command,) = blocks("bash")
    shutil.copyfile(photographs[1][0], place / "photo.jpg")
    with tf_serving.serving(place / "exported/photos", "photos") as where:
        done = subprocess.run(
            ["bash", "-c", command.replace("localhost:8501", where)],
            cwd=place,
            env={**os.environ, "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    check(json.loads(done.stdout)["predictions"], predicted[:1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Input is empty"),
        (b"not a picture", "Unknown image file format"),
        (b"\xff\xd8\xff\xe0 and no more", "Invalid JPEG"),
    ],
)
def test_one_corrupt_picture_fails_its_request_and_no_other(
    model, photographs, predicted, data, words
):
    sent = encoded(photographs[1])
    bad = {"b64": base64.b64encode(data).decode()}
    request = {"instances": [*sent, bad]}
    with pytest.raises(ValueError, match=words):
        model.predict(json.dumps(request))
    found = model.predict(json.dumps({"instances": sent}))
    check(found["predictions"], predicted)


def test_the_warm_up_requests_are_answered(place):
    folder = place / "exported/photos/1"
    requests = folder / "assets.extra" / "tf_serving_warmup_requests"
    parse = tf_serving.prediction_log_class().FromString
    model = tf.saved_model.load(str(folder))
    sizes = []
    for record in tf.data.TFRecordDataset(str(requests)).as_numpy_iterator():
        sent = tf_serving.pictures(parse(record))
        found = model.signatures["serving_default"](image_bytes=sent)
        assert found["landmark_id"].shape == (len(sent), 2)
        assert np.isfinite(found["confidence"]).all()
        sizes.append(len(sent))
    assert sizes == [1, 8]


def test_warm_up_sizes_can_be_chosen(trained, tmp_path):
    settings = {"run": str(trained[0]), "threshold": 0.5}
    export.run(
        export.Config(out=str(tmp_path / "1"), warmup_batches=(), **settings)
    )
    left = sorted(x.name for x in (tmp_path / "1/assets.extra").iterdir())
    assert left == ["classes.csv", "export.json"]
    for wrong in ((0,), (1, -8), (1001,), (1,) * 1001):
        with pytest.raises(InputError, match="--warmup_batches .*Received"):
            export.run(
                export.Config(
                    out=str(tmp_path / "2"), warmup_batches=wrong, **settings
                )
            )
    assert [x.name for x in tmp_path.iterdir()] == ["1"]


def test_a_full_disk_leaves_no_version(trained, tmp_path, monkeypatch):
    def full(path, batches):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(warmup, "write", full)
    with pytest.raises(OSError, match="No space left"):
        export.run(
            export.Config(
                run=str(trained[0]),
                threshold=0.5,
                out=str(tmp_path / "m" / "1"),
            )
        )
    assert not list((tmp_path / "m").iterdir())
