"""A folder that work is done in, until it is complete.

    if not workspace.is_finished(out, "settings.json", settings):
        with workspace.hold(out, "settings.json", settings) as folder:
            ...
            workspace.write_text(folder, folder / "settings.json", text)

The marker (`settings.json` here) is written last: a folder that has it is
complete. All that is not output is in `OUT/.work`, which goes when the work is
done; with the settings that are noted there, the same work goes on after a kill
and no other work does.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from landmark_tf import InputError

try:
    import fcntl
except ImportError:  # Windows: two runs on one folder are not noticed
    fcntl = None

WORK = ".work"


def fingerprint(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(
            f"{error.strerror}: give the path of a file. Received: {path}"
        ) from error


def is_finished(
    out: str | os.PathLike, marker: str, settings: Mapping[str, Any]
) -> bool:
    """Whether the same work was done before. Makes nothing.

    Args:
        out: the output folder.
        marker: the JSON file that is written last; its `settings` are what the
            work was done with.
        settings: what decides the output's bytes.

    Raises:
        InputError: the folder holds something else, or work (done or begun)
            with other settings.
    """
    out = Path(out)
    finished, begun = out / marker, out / WORK / "plan.json"
    try:
        names = {entry.name for entry in out.iterdir()}
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(
            f"{error.strerror}: choose another folder. Received: --out={out}"
        ) from error
    if marker in names:
        _compare(_read_json(finished).get("settings"), settings, out)
        shutil.rmtree(out / WORK, ignore_errors=True)  # killed while leaving
        return True
    if begun.exists():
        _compare(_read_json(begun), settings, out)
    elif names - {WORK}:
        raise InputError(
            "the folder is not empty and holds other files; choose another or "
            f"empty it. Received: --out={out}"
        )
    return False


def _compare(old: Any, new: Mapping[str, Any], out: Path) -> None:
    old = old if isinstance(old, dict) else {}
    new = json.loads(json.dumps(new))
    names = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    if names:
        raise InputError(
            "the folder was begun with other settings; give those again, choose"
            " another folder or delete this one. "
            f"Received: --out={out} with other {', '.join(sorted(names))}"
        )


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def hold(
    out: str | os.PathLike, marker: str, settings: Mapping[str, Any]
) -> Iterator[Path]:
    """Holds an output folder while work is done in it.

    Args:
        out: the output folder; made where it is missing. `is_finished` must
            have said False.
        marker: the file that the body writes last.
        settings: what decides the output's bytes.

    Yields:
        The output folder. `OUT/.work` is deleted after a body without errors.

    Raises:
        InputError: another run is at work there, or it cannot be written.
    """
    out = Path(out)
    work = out / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        held = lock(work / "lock", _busy(out))
    except OSError as error:
        raise InputError(
            f"{error.strerror}: choose a folder that can be written. "
            f"Received: --out={out}"
        ) from error
    try:
        if (out / marker).exists():  # since `is_finished` looked
            raise _busy(out)
        shutil.rmtree(work / "partial", ignore_errors=True)  # dead workers'
        (work / "partial").mkdir()
        (work / "reports").mkdir(exist_ok=True)
        write_text(out, work / "plan.json", json.dumps(settings, indent=1))
        yield out
        shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(held)


def lock(path: Path, busy: InputError) -> int:
    """Locks a file for this process, until its descriptor is closed.

    Args:
        path: the file; made where it is missing.
        busy: raised when another process has locked it.

    Returns:
        The file descriptor.
    """
    held = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise busy from error
    except OSError:  # a file system without locks
        print("note: no file locks here; start no second run", file=sys.stderr)
    if not (path.exists() and os.path.samestat(os.fstat(held), path.stat())):
        os.close(held)  # the other run deleted it after we had opened it
        raise busy
    return held


def _busy(out: Path) -> InputError:
    return InputError(
        "another run is writing to this folder; wait for it or choose another. "
        f"Received: --out={out}"
    )


def write_text(out: str | os.PathLike, path: Path, text: str) -> None:
    """Writes a file of a held folder so that it is there whole or not at all.

    The temporary file is in `.work`, so that a kill leaves nothing beside the
    output.
    """
    partial = partial_path(out)
    with open(partial, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def partial_path(out: str | os.PathLike) -> Path:
    """A new name for a file that is being written; the next run removes it."""
    return Path(out, WORK, "partial", uuid.uuid4().hex)
