import hashlib
import random
import threading

import pytest

from landmark_tf.files import fetch
from tests.files import web

BODY = random.Random(0).randbytes(100_000)


@pytest.fixture
def site():
    with web.served({"/x": BODY}) as site:
        yield site


def get(site, path, **more):
    counts = []
    fetch.fetch(
        f"{site.url}/x",
        path,
        seen=counts.append,
        **{"pause": 0.0, "timeout": 5.0, **more},
    )
    return sum(counts)


def test_a_file_comes_whole(site, tmp_path):
    path = tmp_path / "new" / "x"
    assert get(site, path) == len(BODY)
    assert path.read_bytes() == BODY
    assert [x.name for x in path.parent.iterdir()] == ["x"]


def test_a_cut_connection_goes_on_where_it_stopped(site, tmp_path):
    site.cut_after, site.cuts = 30_000, 3
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY
    ranges = [wanted for _, wanted in site.asked]
    assert ranges == [
        None,
        *("bytes=30000-", "bytes=60000-", "bytes=90000-"),
    ]


def test_more_cuts_than_tries_are_no_reason_to_give_up(site, tmp_path):
    site.cut_after, site.cuts = 10_000, 9
    get(site, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    assert len(site.asked) == 10


def test_a_server_that_ignores_ranges_gives_the_whole(site, tmp_path):
    site.ranges, site.cut_after, site.cuts = False, 30_000, 2
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY
    assert len(site.asked) == 3


def stopped(site, path):
    """Leaves a part of 30,000 bytes, as a killed process does."""
    site.cut_after, site.cuts = 30_000, 1
    site.codes["/x"] = [200, 404]
    with pytest.raises(fetch.FetchError, match="404"):
        get(site, path)
    site.asked.clear()


def test_the_next_call_goes_on(site, tmp_path):
    stopped(site, tmp_path / "x")
    assert (tmp_path / "x.part").stat().st_size == 30_000
    assert not (tmp_path / "x").exists()
    assert get(site, tmp_path / "x") == len(BODY)
    assert site.asked == [("/x", "bytes=30000-")]
    assert (tmp_path / "x").read_bytes() == BODY


def test_another_version_is_fetched_from_its_start(site, tmp_path):
    stopped(site, tmp_path / "x")
    site.files["/x"] = BODY[::-1]
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY[::-1]


def test_another_version_where_the_server_does_not_tell(site, tmp_path):
    stopped(site, tmp_path / "x")
    site.conditions = False  # the rest of the other file comes
    site.files["/x"] = BODY[::-1]
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY[::-1]


def test_less_than_was_asked_for_is_not_the_whole(site, tmp_path):
    stopped(site, tmp_path / "x")
    site.most = 30_000
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_part_of_no_known_version_starts_anew(site, tmp_path):
    (tmp_path / "x.part").write_bytes(b"something")
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_whole_part_needs_no_byte(site, tmp_path):
    """Killed behind the last byte, before the name was given."""
    (tmp_path / "x.part").write_bytes(BODY)
    (tmp_path / "x.version").write_text(site.etag("/x"))
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_part_that_is_too_long_starts_anew(site, tmp_path):
    (tmp_path / "x.part").write_bytes(BODY + b"more")
    (tmp_path / "x.version").write_text(site.etag("/x"))
    assert get(site, tmp_path / "x") == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY


def test_errors_that_pass_are_waited_for(site, tmp_path):
    site.codes["/x"] = [503, 500, 429, 504]
    get(site, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    ("codes", "words", "asked"),
    [([404], "404 Not Found", 1), ([403], "403", 1), ([503] * 9, "503.*5 ", 5)],
)
def test_errors_that_stay_are_told(site, tmp_path, codes, words, asked):
    site.codes["/x"] = codes
    with pytest.raises(fetch.FetchError, match=words):
        get(site, tmp_path / "x")
    assert len(site.asked) == asked
    assert not (tmp_path / "x").exists()


def test_no_server(tmp_path):
    with web.served({}) as site:
        pass
    with pytest.raises(fetch.FetchError, match="refused.*5 times"):
        get(site, tmp_path / "x")


def test_a_server_that_falls_silent(site, tmp_path):
    site.delay = 5.0
    with pytest.raises(fetch.FetchError, match="timed out"):
        get(site, tmp_path / "x", timeout=0.05)


def test_others_can_stop_it(site, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(fetch.Stopped):
        get(site, tmp_path / "x", stop=stop)


def test_md5(tmp_path):
    (tmp_path / "x").write_bytes(BODY * 30)
    expected = hashlib.md5(BODY * 30).hexdigest()
    assert fetch.md5(tmp_path / "x") == expected
