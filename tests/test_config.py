import dataclasses

import pytest
from absl import flags

from landmark_tf import config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    out: str = config.field(help="folder")
    workers: int = config.field(0, help="processes")
    rate: float = config.field(0.1, help="step size")
    split: tuple[float, ...] = config.field((0.9, 0.1), help="shares")
    names: tuple[str, ...] = config.field((), help="names")
    square: bool = config.field(False, help="squash")
    mode: str = config.field("a", choices=("a", "b"), help="mode")


def test_flags_become_typed_values():
    parsed = config.parse(
        Config,
        ["--out=x", "--workers=3", "--rate=1e-3", "--split=0.5, 0.25,.25"]
        + ["--names=p,q", "--square", "--mode=b"],
    )
    assert parsed == Config(
        out="x",
        workers=3,
        rate=0.001,
        split=(0.5, 0.25, 0.25),
        names=("p", "q"),
        square=True,
        mode="b",
    )


def test_defaults_are_the_dataclass_defaults():
    assert config.parse(Config, ["--out=x"]) == Config(out="x")


@pytest.mark.parametrize(
    "settings",
    [
        Config(out="a b=c"),
        Config(out="x", rate=1 / 3, split=(1e-9,), square=True, names=("é",)),
        Config(out="", names=()),
    ],
)
def test_to_flags_comes_back(settings, tmp_path):
    written = config.to_flags(settings)
    assert config.parse(Config, written) == settings
    file = tmp_path / "flags.txt"
    file.write_text("\n".join(written) + "\n")
    assert config.parse(Config, [f"--flagfile={file}"]) == settings


def test_a_later_flag_wins_over_the_flagfile(tmp_path):
    base = tmp_path / "base.flags"
    base.write_text("--out=x\n# a comment\n--workers=2\n")
    file = tmp_path / "one.flags"
    file.write_text(f"--flagfile={base}\n--rate=0.5\n")
    parsed = config.parse(Config, [f"--flagfile={file}", "--workers=7"])
    assert parsed == Config(out="x", workers=7, rate=0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--out must be given"),
        (["--out=x", "--workers=many"], "expected int, received 'many'"),
        (["--out=x", "--split=1,b"], "float values"),
        (["--out=x", "--mode=c"], "<a|b>"),
        (["--out=x", "--worker=1"], "Did you mean: workers"),
        (["--out=x", "stray"], "received 'stray'"),
        (["--flagfile=nowhere.flags"], "nowhere.flags"),
    ],
)
def test_what_cannot_be_parsed_is_named(arguments, words):
    with pytest.raises(flags.Error, match="(?s)" + words.replace("|", r"\|")):
        config.parse(Config, arguments)


def test_describe_names_every_flag_with_its_default():
    text = config.describe(Config)
    assert "--out\n      folder (required)" in text
    assert "--split\n      shares (default: 0.9,0.1)" in text
    assert "mode (a|b; default: a)" in text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    source: str = config.field(positional=True, help="file")
    out: str = config.field(help="folder")
    count: int = config.field(1, positional=True, help="how many")
    rest: tuple[str, ...] = config.field((), positional=True, help="patterns")


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "2", "p*", "q,r", "--out=x"],
        ["--out", "x", "a", "--count=2", "p*", "q,r"],
        ["a", "--out=x", "--", "2", "p*", "q,r"],
    ],
)
def test_words_fill_positional_fields_in_order(arguments):
    assert config.parse(Words, arguments) == Words(
        source="a", out="x", count=2, rest=("p*", "q,r")
    )


def test_positional_fields_are_flags_too():
    settings = Words(source="a", out="x", count=3, rest=("p", "q"))
    assert config.parse(Words, config.to_flags(settings)) == settings
    assert config.parse(Words, ["a", "--out=x"]) == Words(source="a", out="x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out=x"], "^SOURCE must be given"),
        (["a", "b", "--out=x"], "expected int, received 'b'"),
        (["--rest=p", "--out=x", "a", "1", "b"], "received 'b'"),
    ],
)
def test_too_few_and_too_many_words(arguments, words):
    with pytest.raises(flags.Error, match=words):
        config.parse(Words, arguments)


def test_words_are_shown():
    assert config.words(Words) == "SOURCE [COUNT] [REST ...]"
    assert config.words(Config) == ""
    assert "  SOURCE\n      file (required)" in config.describe(Words)
