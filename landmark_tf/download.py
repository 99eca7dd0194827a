r"""Fetches Google Landmarks v2: photographs, labels and the test's truth.

    python -m landmark_tf.download --dataset=gldv2 --split=train \
        --shards=000-009 --out=landmarks

Fetches the CSV files and the tar files of a split, checks each tar's MD5 sum
and unpacks it into OUT/SPLIT/a/b/c/abc....jpg, as `prepare --image_root` takes
it. gldv2-clean is the cleaned list of the training pictures; of it
OUT/train_clean_by_id.csv is what `prepare --train_csv` takes. gld2019 is what
the recognition challenge of 2019 used of it: train and test.

A download that was stopped, even by kill -9, goes on with the same command. A
tar whose sum is wrong is fetched once again; if it is still wrong, it is named
at the end, and all others are there.
"""

import concurrent.futures
import dataclasses
import pathlib
import re
import shutil
import tarfile
import threading
import urllib.parse

from landmark_tf import InputError, command, config
from landmark_tf.data import google_landmarks

_GIGA = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a download."""

    dataset: str = config.field(
        choices=google_landmarks.DATASETS, help="which list of pictures"
    )
    split: str = config.field(
        "train", choices=tuple(google_landmarks.SPLITS), help="which pictures"
    )
    out: str = config.field(help="folder to write")
    shards: str = config.field(
        "", help="tar files, such as 000-499 or 0-4,7; none: all of the split"
    )
    workers: int = config.field(6, help="files that are fetched at a time")
    keep_tars: bool = config.field(
        False, help="keep tar files once they are unpacked"
    )
    dry_run: bool = config.field(
        False, help="show what would be fetched, and fetch nothing"
    )
    base_url: str = config.field(
        google_landmarks.BASE, help="where the files are, a mirror for example"
    )
    timeout: float = config.field(
        60.0, help="seconds without a byte until a connection is given up"
    )


def run(settings: Config) -> dict[str, int]:
    """Fetches what is missing.

    Returns:
        `shards` that are there now, `fetched` of them by this call.

    Raises:
        InputError: a setting cannot be used, the disk is too small, or files
            are missing at the end.
    """
    if settings.workers < 1 or not settings.timeout > 0:
        raise InputError(
            "--workers must be at least 1 and --timeout above 0. "
            f"Received: {settings.workers}, {settings.timeout:g}"
        )
    _check_address(settings.base_url)
    base = settings.base_url.rstrip("/")
    settings = dataclasses.replace(settings, base_url=base)
    names = google_landmarks.tables(settings.dataset, settings.split)
    chosen = google_landmarks.parse_shards(settings.shards, settings.split)
    work = _Work(settings)
    missing = [x for x in chosen if not work.is_done(x)]
    _tell(settings, chosen, missing)
    if settings.dry_run:
        return {"shards": len(chosen) - len(missing), "fetched": 0}
    work.fetch_tables(names)
    problems = work.fetch_shards(missing)
    if problems:
        for number, reason in sorted(problems.items()):
            print(f"  {google_landmarks.shard_name(number)}.tar: {reason}")
        raise InputError(
            f"{len(problems)} of {len(chosen)} tar files are missing; give the "
            "same command again. Received: "
            f"{', '.join(f'{x:03}' for x in sorted(problems)[:10])}"
        )
    print(f"{work.images}: {len(chosen)} tar files unpacked")
    return {"shards": len(chosen), "fetched": len(missing)}


def _check_address(address: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise InputError(
            "--base_url must be an address such as https://HOST/FOLDER. "
            f"Received: {address!r}"
        )


def _tell(settings: Config, chosen: list[int], missing: list[int]) -> None:
    """Says what is to come, and stops where the disk is too small for it."""
    split = google_landmarks.SPLITS[settings.split]
    here = pathlib.Path(settings.out).absolute()
    while not here.exists():
        here = here.parent
    free = shutil.disk_usage(here).free
    # The pictures, and the tar files on their way.
    tars = len(missing) if settings.keep_tars else settings.workers
    coming = len(missing) * split.shard_bytes
    needed = coming + min(tars, len(missing)) * split.shard_bytes
    print(
        f"{settings.dataset} {settings.split}: {len(missing)} of {len(chosen)} "
        f"tar files to fetch, about {coming / _GIGA:,.0f} GB and "
        f"{split.images * len(missing) // split.shards:,} pictures; "
        f"{needed / _GIGA:,.0f} GB of disk needed, {free / _GIGA:,.0f} GB free"
    )
    if needed > free and not settings.dry_run and _is_public(settings):
        raise InputError(
            "the disk is too small; choose another --out or fewer --shards. "
            f"Received: {settings.out}, {free / _GIGA:,.0f} GB free"
        )


def _is_public(settings: Config) -> bool:
    """Whether the sizes are those of the catalogue."""
    return settings.base_url == google_landmarks.BASE


class _Work:
    """The folder of a download."""

    def __init__(self, settings: Config):
        self._settings = settings
        self._out = pathlib.Path(settings.out)
        if self._out.exists() and not self._out.is_dir():
            raise InputError(f"--out must be a folder. Received: {self._out}")
        self.images = self._out / settings.split
        self._tars = self._out / ".download" / settings.split
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def is_done(self, number: int) -> bool:
        """Whether a shard is unpacked."""
        return self._path(number, ".done").exists()

    def _path(self, number: int, ending: str) -> pathlib.Path:
        return self._tars / f"{google_landmarks.shard_name(number)}{ending}"

    def fetch_tables(self, names: tuple[str, ...]) -> None:
        """Fetches the CSV files that are not there yet."""
        from landmark_tf.files import fetch

        for name in names:
            path = self._out / pathlib.PurePosixPath(name).name
            if path.exists():
                continue
            print(f"fetching {path.name}", flush=True)
            url = f"{self._settings.base_url}/{name}"
            try:
                fetch.fetch(url, path, timeout=self._settings.timeout)
            except fetch.FetchError as error:
                raise InputError(
                    f"{path.name} cannot be fetched ({error}); check the "
                    f"network and give the same command again. Received: {url}"
                ) from error
        if (self._out / google_landmarks.CLEAN).exists():
            if not (self._out / google_landmarks.BY_ID).exists():
                google_landmarks.write_by_id(self._out)

    def fetch_shards(self, numbers: list[int]) -> dict[int, str]:
        """Fetches and unpacks shards; returns what went wrong, by shard."""
        from landmark_tf.files import progress

        size = google_landmarks.SPLITS[self._settings.split].shard_bytes
        problems: dict[int, str] = {}
        total = len(numbers) * size // 1_000_000
        with (
            progress.bar(total, "MB") as bar,
            concurrent.futures.ThreadPoolExecutor(
                self._settings.workers
            ) as pool,
        ):

            def seen(count: int) -> None:
                with self._lock:
                    bar.update(count / 1e6)

            tasks = {pool.submit(self._shard, x, seen): x for x in numbers}
            try:
                for task in concurrent.futures.as_completed(tasks):
                    if reason := task.result():
                        problems[tasks[task]] = reason
            finally:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        return problems

    def _shard(self, number: int, seen) -> str:
        """Fetches, checks and unpacks one; what went wrong, empty: nothing."""
        from landmark_tf.files import atomic, fetch, unpack

        tar = self._path(number, ".tar")
        base, split = self._settings.base_url, self._settings.split
        name = google_landmarks.shard_name(number)
        sums = self._path(number, ".md5")
        try:
            self._fetch(f"{base}/md5sum/{split}/md5.{name}.txt", sums)
            expected = sums.read_text("utf-8", "replace").split()[:1]
            if not re.fullmatch(r"[0-9a-f]{32}", "".join(expected)):
                sums.unlink()
                return "its file of the MD5 sum has none"
            for _ in range(2):
                if not tar.exists():
                    self._fetch(f"{base}/{split}/{name}.tar", tar, seen)
                if [found := fetch.md5(tar)] == expected:
                    break
                seen(-tar.stat().st_size)
                tar.unlink()
            else:
                sums.unlink()
                return f"MD5 {found} in place of {' '.join(expected)}, twice"
            unpack.unpack(tar, self.images)
        except fetch.FetchError as error:
            return str(error)
        except unpack.UnsafeError as error:
            tar.unlink()
            return f"not unpacked: {error}"
        except tarfile.TarError as error:
            tar.unlink()
            return f"no tar file: {error}"
        atomic.write_text(self._path(number, ".done"), "")
        sums.unlink()
        if not self._settings.keep_tars:
            tar.unlink()
        return ""

    def _fetch(self, url: str, path: pathlib.Path, seen=lambda n: None) -> None:
        from landmark_tf.files import fetch

        fetch.fetch(
            url,
            path,
            seen=seen,
            stop=self._stop,
            timeout=self._settings.timeout,
        )


if __name__ == "__main__":
    command.main(run, Config)
