"""Unpacks a tar file that comes from elsewhere."""

import pathlib
import shutil
import tarfile


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
        tarfile.TarError: no tar file, or a damaged one.
    """
    out = out.resolve()
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
    # resolve() follows links that are in the folder already.
    inside = (out / member.name).resolve().is_relative_to(out)
    if name.is_absolute() or ".." in name.parts or not inside:
        raise UnsafeError(f"{member.name!r} would leave the folder")
