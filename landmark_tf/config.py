"""A frozen dataclass becomes absl flags, and comes back from them.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        out: str = config.field(help="folder to write")
        workers: int = config.field(0, help="processes; 0: one per core")
        split: tuple[float, ...] = config.field((0.9, 0.1), help="shares")

    parsed = config.parse(Config, ["--out=x", "--split=0.8,0.2"])
    config.to_flags(parsed)    # ["--out=x", "--workers=0", "--split=0.8,0.2"]

A field without a default is a flag that must be given. Types are `str`, `int`,
`float`, `bool` and `tuple[T, ...]` of the first three, written with commas.

A field with `positional=True` can also be given as a word without a flag: words
fill these fields in their order, and a tuple takes all that are left.
"""

import dataclasses
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from absl import flags

T = TypeVar("T")


def field(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: Sequence[str] = (),
    positional: bool = False,
) -> Any:
    """A dataclass field that is also a flag.

    Args:
        default: its value when the flag is not given; none: it must be given.
        help: what it is, with its unit and range, for `--help`.
        choices: the only values allowed; empty: any of its type.
        positional: whether words without a flag fill it too.

    Returns:
        What `dataclasses.field` returns.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "choices": tuple(choices),
            "positional": positional,
        },
    )


class _Parser(flags.ArgumentParser):
    """Text to a value of one type; the type is named when that fails."""

    def __init__(self, convert: Callable[[str], Any], name: str):
        self.convert = convert
        self.syntactic_help = name

    def flag_type(self) -> str:
        return self.syntactic_help

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument
        try:
            return self.convert(argument.strip())
        except ValueError as error:
            raise ValueError(
                f"expected {self.syntactic_help}, received {argument!r}"
            ) from error


def _parser(kind: Any) -> _Parser:
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return _Parser(
            lambda text: tuple(item(x.strip()) for x in text.split(",") if x),
            f"{item.__name__} values with commas between",
        )
    return _Parser(kind, kind.__name__)


def to_text(value: Any) -> str:
    """A value as it stands behind `--flag=`."""
    if isinstance(value, tuple):
        return ",".join(to_text(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _define(config_class: type) -> flags.FlagValues:
    values = flags.FlagValues()
    kinds = typing.get_type_hints(config_class)
    for item in dataclasses.fields(config_class):
        kind, choices = kinds[item.name], item.metadata["choices"]
        default = item.default
        default = None if default is dataclasses.MISSING else default
        text, name = item.metadata["help"], item.name
        if kind is bool:
            flags.DEFINE_boolean(name, default, text, values)
        elif choices:
            flags.DEFINE_enum(name, default, choices, text, values)
        else:
            flags.DEFINE(_parser(kind), name, default, text, values)
    return values


def _positional(config_class: type) -> list[dataclasses.Field]:
    return [
        item
        for item in dataclasses.fields(config_class)
        if item.metadata["positional"]
    ]


def _fill(
    values: flags.FlagValues, config_class: type, words: list[str]
) -> None:
    """Gives words to the positional fields that no flag has set."""
    kinds = typing.get_type_hints(config_class)
    for item in _positional(config_class):
        flag, kind = values[item.name], kinds[item.name]
        if flag.present or not words:
            continue
        if typing.get_origin(kind) is tuple:
            part = _parser(typing.get_args(kind)[0])
            try:
                flag.value = tuple(part.parse(word) for word in words)
            except ValueError as error:
                raise flags.Error(f"{item.name.upper()}: {error}") from error
            words = []
        else:
            flag.parse(words[0])
            words = words[1:]
    if words:
        raise flags.Error(f"expected --name=value, received {words[0]!r}")


def parse(config_class: type[T], arguments: Sequence[str]) -> T:
    """Builds a config from command-line arguments.

    Args:
        config_class: a frozen dataclass of fields made by `field`.
        arguments: such as `["--out=x", "--flagfile=configs/a.flags"]`; a later
            flag wins over an earlier one, and a flag over a word.

    Returns:
        An instance of `config_class`.

    Raises:
        flags.Error: an unknown flag, a value of the wrong type, a missing
            required flag, or a word that is no flag and for which there is no
            positional field.
    """
    values = _define(config_class)
    values.set_gnu_getopt(True)  # flags may follow words
    try:
        rest = values(["", *arguments])[1:]
    except flags.CantOpenFlagFileError as error:
        raise flags.Error(f"{error}".removeprefix("ERROR:: ")) from error
    _fill(values, config_class, rest)
    given = {}
    for item in dataclasses.fields(config_class):
        given[item.name] = values[item.name].value
        if given[item.name] is None:
            raise flags.Error(f"{_shown(item)} must be given")
    return config_class(**given)


def _shown(item: dataclasses.Field) -> str:
    if item.metadata["positional"]:
        return item.name.upper()
    return f"--{item.name}"


def words(config_class: type) -> str:
    """The positional fields as a usage line shows them: `FILE [NAMES ...]`."""
    shown = []
    kinds = typing.get_type_hints(config_class)
    for item in _positional(config_class):
        name = item.name.upper()
        if typing.get_origin(kinds[item.name]) is tuple:
            name += " ..."
        optional = item.default is not dataclasses.MISSING
        shown.append(f"[{name}]" if optional else name)
    return " ".join(shown)


def to_flags(config: Any) -> list[str]:
    """Every setting as a flag; `parse` of it gives an equal config."""
    return [
        f"--{item.name}={to_text(getattr(config, item.name))}"
        for item in dataclasses.fields(config)
    ]


def describe(config_class: type) -> str:
    """The flags with their defaults, for `--help`."""
    lines = []
    for item in dataclasses.fields(config_class):
        if item.default is dataclasses.MISSING:
            note = "required"
        else:
            note = f"default: {to_text(item.default) or 'none'}"
        if item.metadata["choices"]:
            note = f"{'|'.join(item.metadata['choices'])}; {note}"
        lines.append(f"  {_shown(item)}")
        lines.append(f"      {item.metadata['help']} ({note})")
    return "\n".join(lines)
