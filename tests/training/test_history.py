import shutil

import pandas as pd
import pytest

from landmark_tf import InputError
from landmark_tf.training import history


def test_a_run_tells_its_figures(trained):
    run, figures = trained
    found = history.read(run)
    rows = pd.read_csv(run / "history.csv")
    assert len(found.history) == len(rows)
    assert found.best()["val_gap"] == rows["val_gap"].max()
    assert found.best()["val_gap"] == pytest.approx(figures["gap"], rel=1e-4)
    assert found.settings.run == str(run)
    assert found.images_per_second() > 0


def test_parameters_are_the_trainable_ones(trained):
    import keras
    import numpy as np

    run, _ = trained
    model = keras.models.load_model(run / "model.keras")
    expected = sum(np.prod(x.shape) for x in model.trainable_variables)
    assert history.read(run).parameters() == expected


def test_layers_that_the_last_stage_froze_count(trained, tmp_path):
    import keras

    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    model = keras.models.load_model(run / "model.keras")
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.save(run / "model.keras")
    expected = history.read(trained[0]).parameters()
    assert history.read(run).parameters() == expected


def test_the_first_epoch_is_no_measure_of_speed(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    rows = pd.read_csv(run / "history.csv").iloc[[0, 0, 0, 0]]
    rows["images_per_second"] = [1.0, 10.0, 30.0, 20.0]
    rows.to_csv(run / "history.csv", index=False)
    assert history.read(run).images_per_second() == 20.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: (run / "history.csv").unlink(), "no history.csv"),
        (lambda run: (run / "flags.txt").unlink(), "no flags.txt"),
        (lambda run: (run / "history.csv").write_text(""), "cannot be read"),
        (lambda run: (run / "history.csv").write_text("x\n1\n"), "cannot be"),
        (lambda run: (run / "history.csv").write_text("epoch,loss\n"), "no ep"),
    ],
)
def test_what_cannot_be_read_is_named(trained, tmp_path, change, words):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    change(run)
    with pytest.raises(InputError, match=f"{words}.*Received: .*run"):
        history.read(run)
