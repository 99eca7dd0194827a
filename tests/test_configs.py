"""The flagfiles: what they say, and that each of them trains."""

import dataclasses
import pathlib
import re

import pytest

from landmark_tf import config, train
from landmark_tf.models import entries
from landmark_tf.training import schedule_factors, settings, stages

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FILES = sorted(
    str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.flags")
)

# What the report's text says of all trainings, and of each where it differs
# (Sections 5.2 and 5.3); epochs: where it gives their number.
RECIPE = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": ("constant",),
    "stages": (stages.NONE,),
    "focal_gamma": 0.0,
    "label_smoothing": 0.0,
    "image_size": 128,
    "batch_size": 256,
    "augment": "report",
    "sampling": "natural",
    "class_weights": "none",
}
EXPERIMENTS = {
    "top2k/resnet50": {"model": "resnet50"},
    "top2k/resnet50_adam_1e-2": {"model": "resnet50", "optimizer": "adam"},
    "top2k/resnet50_adam_1e-3": {
        "model": "resnet50",
        "optimizer": "adam",
        "learning_rate": 0.001,
    },
    "top2k/resnet50_96px": {"model": "resnet50", "image_size": 96},
    "top2k/resnet50_decay": {
        "model": "resnet50",
        "schedule": ("drop:0.1:20",),
    },
    "top2k/resnet101": {"model": "resnet101"},
    "top2k/se_resnet50": {"model": "legacy_se_resnet50"},
    "top2k/se_resnet50_focal_0.5": {
        "model": "legacy_se_resnet50",
        "focal_gamma": 0.5,
    },
    "top2k/se_resnet50_focal_2": {
        "model": "legacy_se_resnet50",
        "focal_gamma": 2.0,
    },
    "top2k/mobilenet_v2": {
        "model": "mobilenet_v2",
        "image_size": 224,
        "epochs": 30,
    },
    "top2k/mobilenet_v2_decay": {
        "model": "mobilenet_v2",
        "image_size": 224,
        "epochs": 30,
        "schedule": ("drop:0.1:20",),
    },
    "top2k/inception_v3": {
        "model": "inception_v3",
        "image_size": 299,
        "batch_size": 32,
        "epochs": 8,
    },
    "top18k/resnet50": {"model": "resnet50", "epochs": 8},
    "top18k/resnet50_stages": {
        "model": "resnet50",
        "stages": ("logits:3:0.01", "conv4_x+conv5_x+logits:5:0.01"),
    },
    "top18k/resnet101": {"model": "resnet101", "epochs": 8},
    "top18k/resnet101_20_epochs": {"model": "resnet101", "epochs": 20},
    "top18k/se_resnet50": {"model": "legacy_se_resnet50", "epochs": 8},
    "top18k/se_resnet50_20_epochs": {
        "model": "legacy_se_resnet50",
        "epochs": 20,
    },
    "top18k/se_resnext50": {"model": "legacy_se_resnext50_32x4d"},
    "top18k/seatt_resnext50": {"model": "seatt_resnext50_base"},
}
NETWORKS = sorted(
    {
        (changes["model"], changes.get("image_size", 128), name.split("/")[0])
        for name, changes in EXPERIMENTS.items()
    }
)
CLASSES = {"top2k": 2_000, "top18k": 18_000}
# One for each way to train; the others differ in numbers or in the network.
KINDS = (
    "top2k/resnet50",
    "top2k/resnet50_adam_1e-3",
    "top2k/resnet50_decay",
    "top2k/se_resnet50_focal_2",
    "top18k/resnet50_stages",
)


@pytest.fixture(autouse=True)
def project_root(monkeypatch):
    """Where the flagfiles' paths are relative to."""
    monkeypatch.chdir(ROOT)


def parse(name, *arguments):
    return config.parse(
        train.Config, [f"--flagfile=configs/{name}", *arguments]
    )


@pytest.mark.parametrize("name", FILES)
def test_every_file_parses(name):
    """Files for other data, and those that others include, have no run."""
    content = (CONFIGS / name).read_text("utf-8")
    given = name.startswith("top")
    missing = () if given else ("--data=tfrecords/toy", "--run=runs/x")
    settings.check(parse(name, *missing))
    assert content.startswith("# ")
    assert content.endswith("\n")


def test_experiments_are_what_the_report_says():
    found = [name for name in FILES if name.startswith("top")]
    assert found == sorted(f"{name}.flags" for name in EXPERIMENTS)
    for name, changes in EXPERIMENTS.items():
        said = dataclasses.asdict(parse(f"{name}.flags"))
        expected = {**RECIPE, **changes}
        assert {key: said[key] for key in expected} == expected, name
        assert said["data"] == f"tfrecords/{name.split('/')[0]}"
        assert said["run"] == f"runs/{name.replace('/', '_')}"


def test_a_drop_comes_before_the_end():
    for name in EXPERIMENTS:
        said = parse(f"{name}.flags")
        for factor in schedule_factors.parse(said.schedule):
            assert factor.epochs < said.epochs, name


def test_weights_are_of_a_kind_that_fits_the_network():
    plain = {"seatt_resnext50_base": "legacy_se_resnext50_32x4d"}
    for name in EXPERIMENTS:
        said = parse(f"{name}.flags")
        schemes = entries.find(said.model).schemes
        if said.weights == "imagenet":
            assert schemes == ("keras",), name
        else:
            network = plain.get(said.model, said.model)
            assert said.weights == f"weights/{network}.safetensors"
            assert {"torchvision", "cadene"} & set(schemes), name


def test_the_readme_names_every_file_and_no_other():
    readme = (CONFIGS / "README.md").read_text("utf-8")
    named = re.findall(r"[\w/.-]+\.flags", readme)
    named = {name.removeprefix("configs/") for name in named}
    assert named == {x for x in FILES if not x.startswith("experiments/")}


def test_programmes_train_with_every_file_of_theirs():
    for programme in CONFIGS.glob("experiments/*/programme.txt"):
        used = set(re.findall(r"configs/(\S+\.flags)", programme.read_text()))
        for name in sorted(used):
            text = (CONFIGS / name).read_text()
            used |= set(re.findall(r"configs/(\S+\.flags)", text))
        own = f"experiments/{programme.parent.name}/"
        assert {x for x in FILES if x.startswith(own)} <= used


def test_the_readme_says_the_same_of_epochs_and_size():
    """A row of the table: file, figure, network, what differs, epochs, ..."""
    readme = (CONFIGS / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(top.*)\.flags` \|(.*)\|$", readme, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(EXPERIMENTS)
    for name, row in rows:
        cells = [cell.strip() for cell in row.split("|")]
        said = parse(f"{name}.flags")
        parts = stages.parse(said.stages, said.epochs, said.learning_rate)
        assert cells[1] == f"`{said.model}`"
        assert int(cells[2]) == said.image_size
        assert int(cells[3].rstrip("*")) == sum(x.epochs for x in parts)


def train_briefly(name, run, *arguments):
    """Two steps of every stage, on the embedded sample."""
    words = parse(f"{name}.flags").stages
    if words != (stages.NONE,):
        parts = [word.split(":") for word in words]
        words = [f"{layers}:1:{rate}" for layers, _, rate in parts]
        arguments = (*arguments, f"--stages={','.join(words)}")
    said = parse(
        f"{name}.flags",
        "--data=tfrecords/toy",
        f"--run={run}",
        "--weights=",
        "--image_size=64",
        "--batch_size=4",
        "--epochs=1",
        "--train_split=train[:8]",
        "--validation_split=",
        *arguments,
    )
    assert train.run(said) == {}
    history = (run / "history.csv").read_text("utf-8").splitlines()
    assert len(history) == 1 + len(stages.parse(said.stages, 1, 0.01))
    assert (run / "model.keras").is_file()


@pytest.mark.parametrize("name", KINDS)
def test_a_small_network_trains_by_it(name, tmp_path):
    train_briefly(name, tmp_path / "run", "--model=resnet18")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_own_network_trains_by_it(name, tmp_path):
    smallest = entries.find(parse(f"{name}.flags").model).smallest
    size = max(64, smallest)
    train_briefly(name, tmp_path / "run", f"--image_size={size}")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "image_size", "data"), NETWORKS)
def test_its_network_can_be_built(model, image_size, data):
    built = entries.build(model, CLASSES[data], image_size)
    assert built.input_shape == (None, image_size, image_size, 3)
    assert built.output_shape == (None, CLASSES[data])
