"""The verb that makes our own DELF; its parts are tested in tests/features."""

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from landmark_tf import InputError, delf, extract
from landmark_tf.features import store


def config(trained, out, **changes):
    given = {
        "run": str(trained[0]),
        "out": str(out),
        "epochs": 1,
        "batch_size": 8,
        "hidden": 16,
        "strategy": "one",
    }
    return delf.Config(**{**given, **changes})


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("delf") / "toy"
    return out, delf.run(config(trained, out))


def test_what_is_known_of_it_is_written_down(made):
    out, facts = made
    content = json.loads((out / delf.MARKER).read_text())
    assert content["summary"] == facts
    assert facts["stride"] == [16, 16]
    assert 0.3 < facts["explained"] <= 1
    assert facts["pca_features"] > 100
    assert (out / "history.csv").read_text().count("\n") == 2
    assert not (out / ".work").exists()


def test_a_fresh_process_loads_it_without_this_package(made, tmp_path):
    out, _ = made
    script = """
        import sys, warnings
        warnings.simplefilter("ignore")
        import tensorflow as tf
        import tensorflow_hub as hub
        find = hub.load(sys.argv[1]).signatures["default"]
        image = tf.random.stateless_uniform([96, 64, 3], [1, 2])
        found = find(
            image=image,
            score_threshold=tf.constant(0.0),
            image_scales=tf.constant([0.5, 1.0]),
            max_feature_num=tf.constant(7),
        )
        assert found["locations"].shape == (7, 2), found
        assert found["descriptors"].shape == (7, 40), found
        assert "landmark_tf" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(out)],
        check=True,
        cwd=tmp_path,
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_extract_takes_its_features(made, toy, tmp_path):
    out, _ = made
    summary = extract.run(
        extract.Config(
            csv=(str(toy / "train.csv"),),
            image_root=str(toy / "train"),
            out=str(tmp_path / "features"),
            extractor=f"delf:{out}",
            image_scales=(1.0,),
            score_threshold=0.0,
            max_features=10,
            workers=1,
        )
    )
    assert 2 < summary["features"] / summary["pictures"] <= 10
    with store.Reader(tmp_path / "features") as reader:
        assert reader.dimension == 40
        image_id = next(iter(reader._places))
        lengths = np.linalg.norm(reader.read(image_id).descriptors, axis=1)
        np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_again_there_is_nothing_to_do(made, trained, capsys):
    out, facts = made
    assert delf.run(config(trained, out)) == json.loads(json.dumps(facts))
    assert "nothing to do" in capsys.readouterr().out


def test_other_settings_are_refused(made, trained):
    out, _ = made
    with pytest.raises(InputError, match="other dimension"):
        delf.run(config(trained, out, dimension=8))


def test_what_was_interrupted_goes_on(trained, tmp_path, monkeypatch, capsys):
    settings = config(trained, tmp_path / "out", dimension=8)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delf, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            delf.run(settings)
    assert not (tmp_path / "out" / delf.MARKER).exists()
    (tmp_path / "out" / "variables").mkdir()  # half of a SavedModel
    capsys.readouterr()
    delf.run(settings)
    assert "steps are done" in capsys.readouterr().out
    assert (tmp_path / "out" / "saved_model.pb").exists()


def test_a_head_that_learns_without_validation(trained, tmp_path):
    out = tmp_path / "out"
    delf.run(config(trained, out, validation_split="", dimension=4))
    assert (out / "saved_model.pb").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 16}, "at least 32 pixels. Received: --image_size=16"),
        ({"epochs": 0}, "--epochs must be 1 or more"),
        ({"hidden": 0}, "--hidden=0"),
        ({"learning_rate": -1.0}, "learning rate"),
        ({"dimension": 5000}, "--dimension=5000"),
        ({"run": "nowhere"}, "no flags.txt"),
        ({"batch_size": 5000}, "lower --batch_size"),
    ],
)
def test_what_cannot_be(trained, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        delf.run(config(trained, tmp_path / "out", **changes))


def test_another_network_is_not_the_same_work(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    out = tmp_path / "out"
    (out / ".work").mkdir(parents=True)
    (out / ".work" / "plan.json").write_text('{"model_sha256": "other"}')
    with pytest.raises(InputError, match="model_sha256"):
        delf.run(config((run,), out))
