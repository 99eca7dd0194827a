"""Unpacks a tar file that comes from elsewhere."""

import lzma
import pathlib
import shutil
import tarfile
import zlib

_LONGEST = 255  # bytes of a name, of common file systems


class UnsafeError(Exception):
    """The tar holds something else than files below its folder."""


def unpack(tar: pathlib.Path, out: pathlib.Path) -> int:
    """Writes the regular files of a tar below a folder, and nothing else.

    The whole tar is looked at first, so that a bad one leaves nothing behind.

    Args:
        tar: the tar file, compressed or not.
        out: folder to write into; it is made. Files there are replaced.

    Returns:
        The number of files.

    Raises:
        UnsafeError: an entry is a link or a device, or its path leaves the
            folder; the message names it.
        tarfile.TarError: no tar file, or one that can be seen to be damaged.
    """
    try:
        return _unpack(tar, out.resolve())
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise tarfile.ReadError(str(error)) from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise UnsafeError(f"{error.filename} is a file and a folder") from error


def _unpack(tar: pathlib.Path, out: pathlib.Path) -> int:
    count = 0
    with tarfile.open(tar) as archive:
        members = archive.getmembers()
        for member in members:
            _check(member, out)
        for member in members:
            if member.isdir():
                continue
            path = out / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.extractfile(member) as source:
                with open(path, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            count += 1
    return count


def _check(member: tarfile.TarInfo, out: pathlib.Path) -> None:
    if not (member.isfile() or member.isdir()):
        raise UnsafeError(f"{member.name!r} is neither a file nor a folder")
    name = pathlib.PurePosixPath(member.name)
    longest = max(
        (len(part.encode("utf-8", "replace")) for part in name.parts), default=0
    )
    if "\0" in member.name or longest > _LONGEST:
        raise UnsafeError(f"{member.name[:80]!r} is no file's name")
    # resolve() follows links that are in the folder already.
    inside = (out / member.name).resolve().is_relative_to(out)
    if name.is_absolute() or ".." in name.parts or not inside:
        raise UnsafeError(f"{member.name!r} would leave the folder")
    if member.isfile() and not name.parts:
        raise UnsafeError(f"{member.name!r} is the folder itself")
