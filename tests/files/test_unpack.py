import gzip
import io
import random
import tarfile

import pytest

from landmark_tf.files import unpack


def make(path, *entries):
    """A tar of (name, bytes), or of TarInfo."""
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            name, data = entry
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_are_written_below_the_folder(tmp_path):
    folder = special("0", tarfile.DIRTYPE)
    tar = make(
        tmp_path / "a.tar",
        folder,
        ("0/1/2/012.jpg", b"one"),
        ("./a/b/c/abc.jpg", b"two"),
    )
    out = tmp_path / "out"
    (out / "a/b/c").mkdir(parents=True)
    (out / "a/b/c/abc.jpg").write_bytes(b"half of an earlier one")
    assert unpack.unpack(tar, out) == 2
    assert (out / "0/1/2/012.jpg").read_bytes() == b"one"
    assert (out / "a/b/c/abc.jpg").read_bytes() == b"two"


@pytest.mark.parametrize(
    "entry",
    [
        ("../out.jpg", b"x"),
        ("0/../../out.jpg", b"x"),
        ("/tmp/landmark_tf_out.jpg", b"x"),
        special("link", tarfile.SYMTYPE, "/etc"),
        special("hard", tarfile.LNKTYPE, "0/1/2/012.jpg"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
        ("old/link/x.jpg", b"x"),
        (".", b"x"),
        ("a" * 300, b"x"),
    ],
)
def test_what_is_unsafe_leaves_nothing(tmp_path, entry):
    tar = make(tmp_path / "a.tar", ("0/1/2/012.jpg", b"one"), entry)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "old").mkdir(parents=True)
    (out / "old" / "link").symlink_to(elsewhere)
    with pytest.raises(unpack.UnsafeError):
        unpack.unpack(tar, out)
    assert not (out / "0").exists()
    assert list(elsewhere.iterdir()) == []
    assert not (tmp_path / "out.jpg").exists()


def test_a_name_with_a_zero_byte(tmp_path):
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "a\0b"}
    with tarfile.open(
        tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT
    ) as tar:
        tar.addfile(info)
    with pytest.raises(unpack.UnsafeError, match="no file's name"):
        unpack.unpack(tmp_path / "a.tar", tmp_path / "out")


def test_one_name_for_a_file_and_a_folder(tmp_path):
    tar = make(tmp_path / "a.tar", ("a", b"x"), ("a/b", b"x"))
    with pytest.raises(unpack.UnsafeError, match="a is a file and a folder"):
        unpack.unpack(tar, tmp_path / "out")


def test_a_compressed_tar_that_was_cut(tmp_path):
    tar = make(tmp_path / "a.tar", ("a", random.Random(0).randbytes(50_000)))
    data = gzip.compress(tar.read_bytes())
    tar.write_bytes(data[: len(data) // 2])
    with pytest.raises(tarfile.TarError):
        unpack.unpack(tar, tmp_path / "out")


@pytest.mark.parametrize("data", [b"", b"no tar" * 500])
def test_no_tar(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(tarfile.TarError):
        unpack.unpack(tmp_path / "a.tar", tmp_path / "out")
