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
) -> Any:
    """A dataclass field that is also a flag.

    Args:
        default: its value when the flag is not given; none: it must be given.
        help: what it is, with its unit and range, for `--help`.
        choices: the only values allowed; empty: any of its type.

    Returns:
        What `dataclasses.field` returns.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "choices": tuple(choices)}
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


def parse(config_class: type[T], arguments: Sequence[str]) -> T:
    """Builds a config from command-line arguments.

    Args:
        config_class: a frozen dataclass of fields made by `field`.
        arguments: such as `["--out=x", "--flagfile=configs/a.flags"]`; a later
            flag wins over an earlier one.

    Returns:
        An instance of `config_class`.

    Raises:
        flags.Error: an unknown flag, a value of the wrong type, a missing
            required flag, or a word that is no flag.
    """
    values = _define(config_class)
    try:
        rest = values(["", *arguments])[1:]
    except flags.CantOpenFlagFileError as error:
        raise flags.Error(f"{error}".removeprefix("ERROR:: ")) from error
    if rest:
        raise flags.Error(f"expected --name=value, received {rest[0]!r}")
    given = {}
    for item in dataclasses.fields(config_class):
        given[item.name] = values[item.name].value
        if given[item.name] is None:
            raise flags.Error(f"--{item.name} must be given")
    return config_class(**given)


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
        lines += [f"  --{item.name}", f"      {item.metadata['help']} ({note})"]
    return "\n".join(lines)
