"""The table of networks, as it is printed and as the README shows it."""

import pathlib

import pytest

from landmark_tf import InputError
from landmark_tf.models import __main__ as table
from landmark_tf.models import costs, registry
from tests.models import test_registry

README = pathlib.Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        # Published by torchvision with its weights, in billions.
        ("resnet18", 224, 1.814),
        ("resnet50", 224, 4.089),
        ("resnext50_32x4d", 224, 4.23),
        ("mobilenet_v2", 224, 0.301),
        ("inception_v3", 299, 5.713),
    ],
)
def test_multiply_adds_are_the_published_ones(name, image_size, expected):
    model = registry.create_model(name, 1000, image_size)
    found = costs.multiply_adds(model) / 1e9
    assert found == pytest.approx(expected, abs=6e-4)


def test_a_pattern_chooses_rows(capsys):
    table.run(table.Config(names=("resnet18", "mobile*")))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| `mobilenet_v2` | 3,504,872 | 0.30 | 224 | imagenet |",
        "| `resnet18` | 11,689,512 | 0.59 | 128 | torchvision, timm |",
    ]


def test_a_pattern_without_a_match_names_the_nearest():
    with pytest.raises(InputError, match="mobilenet_v2.*'mobilenet_v3'"):
        table.run(table.Config(names=("mobilenet_v3",)))


def _rows_of_readme():
    lines = README.read_text(encoding="utf-8").splitlines()
    first = lines.index("| name | parameters | GFLOPs | px | weights |") + 2
    names = registry.list_models()
    return lines[first : first + len(names)]


def test_the_readme_shows_every_network():
    for name, line in zip(registry.list_models(), _rows_of_readme()):
        count = test_registry.PARAMETERS[name]
        assert line.startswith(f"| `{name}` | {count:,} | ")


@pytest.mark.slow
def test_the_readme_shows_the_whole_table(capsys):
    table.run(table.Config())
    assert capsys.readouterr().out.splitlines()[2:] == _rows_of_readme()
