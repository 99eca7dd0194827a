"""Fetches a file over HTTP, goes on where it stopped, and checks it."""

import hashlib
import http.client
import os
import pathlib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

_BLOCK = 1 << 20
_TRIES = 5  # in a row that bring no byte
_LATER = {408, 425, 429, 500, 502, 503, 504}  # codes that may pass by


class FetchError(Exception):
    """A file cannot be fetched; the message says why."""


class Stopped(Exception):
    """Fetching was given up because of something else."""


def fetch(
    url: str,
    path: pathlib.Path,
    *,
    seen: Callable[[int], None] = lambda count: None,
    stop: threading.Event | None = None,
    timeout: float = 60.0,
    pause: float = 1.0,
) -> None:
    """Fetches a file, whole or not at all; its folder is made.

    What has come is kept in PATH.part. The next call asks for the rest, and
    takes the whole where the server does not give parts or has another version
    by now. A connection that ends early is opened again.

    Args:
        url: address, http or https.
        path: the file to make.
        seen: called with the number of bytes that came, or are there already;
            with a negative one where they have to be fetched again.
        stop: set by others to end this soon.
        timeout: seconds without a byte after which a connection is given up.
        pause: seconds before the second try; twice as long before each other.

    Raises:
        FetchError: the server refuses, or five tries bring nothing.
        Stopped: `stop` was set.
        OSError: the file cannot be written, as on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, version = _beside(path, ".part"), _beside(path, ".version")
    seen(_size(part))
    failures = 0
    while True:
        before = _size(part)
        try:
            if _get(url, part, version, seen, stop, timeout):
                break
            error: object = "the connection ended too early"
        except urllib.error.HTTPError as refusal:
            if refusal.code not in _LATER:
                raise FetchError(f"{refusal.code} {refusal.reason}") from None
            error = f"{refusal.code} {refusal.reason}"
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
            ssl.SSLError,
        ) as lost:
            error = getattr(lost, "reason", lost) or type(lost).__name__
        failures = 1 if _size(part) > before else failures + 1
        if failures >= _TRIES:
            raise FetchError(f"{error}, {failures} times")
        if (stop or threading.Event()).wait(pause * 2 ** (failures - 1)):
            raise Stopped
    version.unlink(missing_ok=True)
    os.replace(part, path)


def _get(
    url: str,
    part: pathlib.Path,
    version: pathlib.Path,
    seen: Callable[[int], None],
    stop: threading.Event | None,
    timeout: float,
) -> bool:
    """Fetches what is missing; whether the file is whole now."""
    have, headers = _size(part), {}
    if have and version.exists():
        headers["Range"] = f"bytes={have}-"
        headers["If-Range"] = version.read_text()
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as refusal:
        if refusal.code != 416:
            raise
        # There is no such part: the file is whole or another one.
        if refusal.headers.get("Content-Range") == f"bytes */{have}":
            return True
        _forget(part, seen)
        return False
    with response:
        given = response.headers.get("Content-Range", "")
        goes_on = response.status == 206 and given.startswith(f"bytes {have}-")
        if goes_on and (told := _version(response)):
            goes_on = told == headers.get("If-Range")
        if response.status == 206 and not goes_on:
            _forget(part, seen)
            version.unlink(missing_ok=True)
            return False
        if not goes_on:
            _forget(part, seen)
            version.write_text(_version(response))
            if not version.read_text():
                version.unlink()  # nothing to go on by
        expected = response.length  # of what comes; None: not told
        with open(part, "ab") as file:
            while block := response.read1(_BLOCK):
                if stop is not None and stop.is_set():
                    raise Stopped
                file.write(block)
                seen(len(block))
                if expected is not None:
                    expected -= len(block)
    total = given.rpartition("/")[2]  # of the whole file, * if not told
    if goes_on and total.isdigit() and _size(part) < int(total):
        return False  # less than was asked for, which a server may send
    return not expected


def _version(response: http.client.HTTPResponse) -> str:
    """What tells this version of the file from others; empty: nothing does."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")


def _forget(part: pathlib.Path, seen: Callable[[int], None]) -> None:
    seen(-_size(part))
    part.unlink(missing_ok=True)


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _beside(path: pathlib.Path, ending: str) -> pathlib.Path:
    return path.with_name(path.name + ending)


def md5(path: pathlib.Path) -> str:
    """The MD5 sum of a file, in hexadecimal digits."""
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
