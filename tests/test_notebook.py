"""The notebook: clean as committed, and whole when it runs."""

import base64
import dataclasses
import importlib.metadata
import io
import json
import os
import pathlib
import re
import subprocess
import types

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from landmark_tf import evaluate, train

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def sources(notebook):
    """The code by the cells' names."""
    return {x.id: x.source for x in notebook.cells if x.cell_type == "code"}


def test_is_clean_as_committed(notebook, sources):
    nbformat.validate(notebook)
    assert len(sources) > 5
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compile(cell.source, cell.id, "exec")
            assert cell.outputs == [] and cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {
        "accelerator",
        "colab",
        "kernelspec",
        "language_info",
    }


@pytest.fixture
def install(sources, monkeypatch):
    """Runs the cell `install` without the package; returns its commands."""

    def not_there(name):
        raise importlib.metadata.PackageNotFoundError(name)

    def run(folder, repository=""):
        commands = []

        def note(command, check):
            commands.append(command)
            if command[0] == "git":
                pathlib.Path(command[-1]).mkdir()

        monkeypatch.setattr(subprocess, "run", note)
        monkeypatch.setattr(importlib.metadata, "version", not_there)
        monkeypatch.setattr(
            importlib.metadata,
            "requires",
            lambda name: [
                "keras>=3.10",
                "tensorflow<2.22,>=2.20",
                "tensorflow-datasets>=4.9.8",
                'torch>=2.10; extra == "torch"',
            ],
        )
        monkeypatch.syspath_prepend("")  # so that sys.path is put back
        monkeypatch.chdir(folder)
        exec(sources["install"], {"REPOSITORY": repository})
        return commands, pathlib.Path.cwd()

    for name in ("TPU_ACCELERATOR_TYPE", "TPU_NAME", "COLAB_TPU_ADDR"):
        monkeypatch.delenv(name, raising=False)
    # TensorFlow sets this on any machine.
    monkeypatch.setenv("TPU_ML_PLATFORM", "Tensorflow")
    return run


def test_uses_the_checkout_that_it_is_in(install):
    commands, folder = install(ROOT / "notebooks")
    assert folder == ROOT
    assert [command[1:] for command in commands] == [
        ["-m", "pip", "install", "--quiet", "--editable", str(ROOT)]
    ]


def test_clones_where_there_is_no_checkout(install, tmp_path):
    with pytest.raises(ValueError, match="set REPOSITORY"):
        install(tmp_path)
    commands, folder = install(tmp_path, "https://example.org/landmarks.git")
    assert folder == tmp_path / "checkout"
    assert commands[0] == [
        "git",
        "clone",
        "--depth=1",
        "https://example.org/landmarks.git",
        str(folder),
    ]


def test_a_tpu_gets_its_own_tensorflow(install, monkeypatch):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5e-1")
    commands, _ = install(ROOT)
    assert commands[0][-2:] == [str(ROOT), "--no-deps"]
    assert commands[1][-3:] == [
        "tensorflow-tpu>=2.20",
        "keras>=3.10",
        "tensorflow-datasets>=4.9.8",
    ]


@pytest.mark.parametrize(
    ("tpu", "capability", "strategy", "precision", "steps_per_call"),
    [
        (False, None, "auto", "float32", 1),
        (False, (7, 5), "auto", "float32", 10),
        (False, (9, 0), "auto", "bfloat16", 10),
        (True, None, "tpu", "bfloat16", 10),
    ],
)
def test_chooses_devices(
    sources, tpu, capability, strategy, precision, steps_per_call
):
    cell = {"HAS_TPU": tpu}
    exec(sources["devices"], cell)
    found = {"GPU": ["gpu"] if capability else [], "TPU": []}
    cell["tf"] = types.SimpleNamespace(
        config=types.SimpleNamespace(
            list_physical_devices=found.get,
            experimental=types.SimpleNamespace(
                get_device_details=lambda gpu: {
                    "compute_capability": capability
                }
            ),
        )
    )
    devices = cell["choose_devices"]()
    assert devices == {
        "strategy": strategy,
        "precision": precision,
        "steps_per_call": steps_per_call,
    }
    assert set(devices) < {
        field.name for field in dataclasses.fields(train.Config)
    }


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The outputs by the cells' names, and the folder of what was made."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    work = tmp_path_factory.mktemp("notebook")
    settings = f"WORK, EPOCHS, IMAGE_SIZE = {str(work)!r}, 1, 32"
    tagged = [
        i
        for i, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    ]
    notebook.cells.insert(tagged[0] + 1, nbformat.v4.new_code_cell(settings))
    environment = {k: x for k, x in os.environ.items() if k != "MPLBACKEND"}
    environment |= {
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        ),
        "CUDA_VISIBLE_DEVICES": "",
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute(env=environment)
    outputs = {x.id: x.outputs for x in notebook.cells if x.cell_type == "code"}
    return outputs, work


def _text(outputs):
    return "".join(
        one.text
        for one in outputs
        if one.output_type == "stream" and one.name == "stdout"
    )


def test_makes_a_dataset_and_a_model(executed):
    outputs, work = executed
    assert re.search(r"train +96 ", _text(outputs["prepare"]))
    assert (work / "drawn" / "dataset_info.json").exists()
    assert (work / "exported" / "saved_model.pb").exists()


def test_says_how_accurate_the_model_is(executed):
    outputs, work = executed
    figures = json.loads((work / "resnet18" / "metrics.json").read_text())
    assert f"accuracy       {figures['accuracy']:.4f}\n" in _text(
        outputs["train"]
    )
    tested = evaluate.run(
        evaluate.Config(
            run=str(work / "resnet18"), split="test", strategy="one"
        )
    )
    said = re.fullmatch(
        r"test accuracy (.*) of 79 pictures of landmarks\n"
        r"(\d+) of 33 pictures of none recognised as such\n",
        _text(outputs["ask"]),
    )
    assert said[1] == f"{tested['accuracy']:.4f}"
    assert 0 <= int(said[2]) <= 33


def test_draws_three_figures(executed):
    outputs, _ = executed
    for name in ("photographs", "curves", "predictions"):
        (png,) = (
            one.data["image/png"]
            for one in outputs[name]
            if "image/png" in one.get("data", {})
        )
        picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
        assert picture.width > 800 and picture.height > 200
        assert np.asarray(picture).std() > 10  # something is drawn on it
