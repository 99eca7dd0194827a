"""How every verb runs from a shell.

A verb is a module with a frozen dataclass `Config` and a function `run`, and
ends with

    if __name__ == "__main__":
        command.main(run, Config)

Help is the module's docstring and its flags. What the user can mend is one line
and no traceback: exit code 2 for wrong flags, 1 for anything else.
"""

import errno
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from landmark_tf import InputError, Preempted, config


def main(
    run: Callable[[Any], Any],
    config_class: type,
    arguments: Sequence[str] | None = None,
) -> None:
    """Parses flags, runs the verb, and turns expected failures into one line.

    Args:
        run: the verb's work, called with one `config_class`.
        config_class: the verb's settings.
        arguments: the words behind the module's name; None: `sys.argv[1:]`.

    Raises:
        SystemExit: on `--help` and on every failure that the user can mend.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    module = sys.modules[run.__module__]
    name = module.__spec__.name if module.__spec__ else module.__name__
    name = name.removesuffix(".__main__")
    if any(word in ("--help", "-help", "-h") for word in arguments):
        try:
            print(usage(name, module, config_class), flush=True)
        except BrokenPipeError:
            _leave_quietly()
        sys.exit(0)
    try:
        settings = config.parse(config_class, arguments)
    except flags.Error as error:
        line = " ".join(str(error).split()).removeprefix("flag ")
        _stop(f"{line} (see python -m {name} --help)", code=2)
    try:
        run(settings)
    except InputError as error:
        _stop(str(error))
    except Preempted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(75)
    except BrokenPipeError:
        _leave_quietly()
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        _stop(f"{_MENDABLE[error.errno]}: {error.filename or error}")
    except Exception as error:
        # By name: not every verb needs TensorFlow, which takes long to import.
        if type(error).__name__ != "ResourceExhaustedError":
            raise
        _stop(_exhausted(str(error)))
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on where it can", code=130)


_MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space and run it again",
    errno.EDQUOT: "the disk quota is used up; free some and run it again",
    errno.EACCES: "permission denied; choose another path or allow it",
    errno.EPERM: "not permitted; choose another path or allow it",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.ENOENT: "no such file or folder; check the path",
    errno.EEXIST: "a file is where a folder is to be; choose another path",
    errno.EISDIR: "a folder is where a file is to be; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EROFS: "the file system is read-only; choose another path",
}


def _exhausted(message: str) -> str:
    if "space" in message or "quota" in message:
        return _MENDABLE[errno.ENOSPC]
    return (
        "the device's memory is exhausted; lower --batch_size or --image_size. "
        f"Received: {' '.join(message.split())[:200]}"
    )


def _leave_quietly() -> None:
    """The reader of our output has left: `| head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def usage(name: str, module: Any, config_class: type) -> str:
    """The text of `--help`: what the verb does, and its flags."""
    about = inspect.cleandoc(module.__doc__ or "")
    words = [name, config.words(config_class), "[--flag=value ...]"]
    return textwrap.dedent(
        f"python -m {' '.join(filter(None, words))} [--flagfile=FILE]\n\n{{}}"
        "\n\nflags:\n{}"
    ).format(about, config.describe(config_class))


def _stop(line: str, code: int = 1) -> None:
    print(f"error: {line}", file=sys.stderr)
    sys.exit(code)
