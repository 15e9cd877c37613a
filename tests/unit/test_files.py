"""Files that are written: whole or not at all, and of a form that every version of numpy reads."""

from __future__ import annotations

import io
import os
import resource
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics import __main__ as demonstration
from disteconometrics.archive import write_archive
from disteconometrics.errors import FileFormatError, OptionError
from disteconometrics.files import replacing

FIT = de.Logit("GRADE ~ PSI + GPA").fit(de.datasets.spector())
OTHER = de.Logit("GRADE ~ PSI").fit(de.datasets.spector())


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may be longer than this, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def picture(path: Path) -> None:
    demonstration.write(de.plots.coefficients(FIT), str(path))


def closed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def once(path: Path) -> None:
        from matplotlib import pyplot

        try:
            write(path)
        finally:
            pyplot.close("all")

    return once


WRITERS: dict[str, Callable[[Path], None]] = {
    "a result": lambda path: FIT.save(path),
    "an archive": lambda path: write_archive(path, "Logit", {}, {"a": np.zeros(999)}),
    "a picture": closed(picture),
}


@pytest.mark.parametrize("size", [0, 100, 1000])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file(writer: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    OTHER.save(path)
    before = path.read_bytes()
    with full_disk(size), pytest.raises(OSError, match="too large"):
        WRITERS[writer](path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["file"]
    WRITERS[writer](path)
    assert path.read_bytes() != before
    assert os.listdir(tmp_path) == ["file"]


KILLED = """
import os, signal
from disteconometrics.files import replacing
with replacing("file") as file:
    file.write(b"n" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=tmp_path,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(de.__file__).parents[1])},
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"


def stopped(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(error: type[BaseException], tmp_path: Path) -> None:
    for there in (True, False):
        path = tmp_path / f"file {there}"
        if there:
            path.write_bytes(b"old")
        with pytest.raises(error):
            stopped(path, error)
        assert (path.read_bytes() if path.exists() else b"") == (b"old" if there else b"")
    assert os.listdir(tmp_path) == ["file True"]


def test_links_and_modes_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, link = tmp_path / "folder" / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    FIT.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert de.load(path).params.equals(FIT.params)
    before = os.umask(0o027)
    try:
        FIT.save(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "folder" / "later")
    FIT.save(dangling)
    assert (tmp_path / "folder" / "later").is_file()


def test_what_holds_nothing_is_written_as_it_is(tmp_path: Path) -> None:
    FIT.save(os.devnull)
    assert not Path(os.devnull).is_file()
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="space"):
            FIT.save("/dev/full")
    long = tmp_path / ("é" * 120)  # 240 bytes: a name beside it must not be longer
    FIT.save(os.fsencode(long))
    assert os.listdir(tmp_path) == [long.name]


@pytest.mark.parametrize("target", [3, None, io.StringIO()])
def test_what_is_no_file_is_refused(target: Any) -> None:
    with pytest.raises(OptionError, match="file name"):
        FIT.save(target)


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as info:
        FIT.save(tmp_path / "nowhere" / "file")
    assert info.value.filename == str(tmp_path / "nowhere" / "file")
    with pytest.raises(IsADirectoryError):
        FIT.save(tmp_path)
    assert os.listdir(tmp_path) == []


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def saved(result: Any) -> bytes:
    file = io.BytesIO()
    result.save(file)
    return file.getvalue()


def test_a_file_holds_arrays_and_their_checksum_alone() -> None:
    names = {name.removesuffix(".npy") for name in members(saved(FIT))}
    assert names == {"header", "checksum", "params", "covariance", "basis", "inner"}
    assert saved(FIT) == saved(FIT)
    with np.load(io.BytesIO(saved(FIT)), allow_pickle=False) as archive:  # numpy reads it without us
        np.testing.assert_array_equal(archive["params"], FIT.coefficients)


def old_form(version: int, **more: Any) -> io.BytesIO:
    """A file as formats before the checksum were written, by `numpy.savez`."""
    with np.load(io.BytesIO(saved(FIT)), allow_pickle=False) as archive:
        parts = {name: archive[name] for name in archive.files if name != "checksum"}
    text = bytes(parts["header"]).replace(b'"format": 3', f'"format": {version}'.encode())
    out = io.BytesIO()
    np.savez(out, **{**parts, "header": np.frombuffer(text, np.uint8), **more})
    return io.BytesIO(out.getvalue())


@pytest.mark.parametrize("version", [1, 2])
def test_files_without_a_checksum_are_read(version: int) -> None:
    stray = {"allow_pickle": np.array(False)}  # that numpy 2.0 wrote
    for file in (old_form(version), old_form(version, **stray)):
        assert de.load(file).params.equals(FIT.params)
    with pytest.raises(FileFormatError, match="checksum is missing"):
        de.load(old_form(3))
    with pytest.raises(FileFormatError, match="format 4"):
        de.load(old_form(4))
    with pytest.raises(FileFormatError, match="not known: other"):
        de.load(old_form(version, other=np.zeros(2)))


def test_what_was_changed_is_told(tmp_path: Path) -> None:
    parts = members(saved(FIT))
    parts["params.npy"] = parts["params.npy"][:-8] + np.float64(3.0).tobytes()
    path = tmp_path / "changed.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in parts.items():
            archive.writestr(name, member)
    with pytest.raises(FileFormatError, match=r"changed\.npz is not a valid Logit file: its checksum"):
        de.load(path)
    with pytest.raises(FileFormatError, match=r"^The file is not a valid Logit file: its checksum"):
        de.load(io.BytesIO(path.read_bytes()))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FileFormatError, match="a folder, a pipe or a device"):
            de.load(path)
    with pytest.raises(FileNotFoundError):
        de.load(tmp_path / "nothing")
    for other in (3, None, io.StringIO("text")):
        with pytest.raises(FileFormatError):
            de.load(other)  # type: ignore[arg-type]


SEEDS: dict[str, Callable[[], Any]] = {
    "a number of numpy's": lambda: np.int64(3),
    "a long number": lambda: 2**200,
    "a generator": lambda: np.random.default_rng(5),
    "a generator of several numbers": lambda: np.random.default_rng([1, 2]),
    "a generator of an array": lambda: np.random.default_rng(np.array([1, 2], dtype=np.uint32)),
    "a spawned generator": lambda: np.random.default_rng(7).spawn(1)[0],
    "none": lambda: None,
}


@pytest.mark.parametrize("kind", SEEDS)
def test_seeds_of_every_form_come_back(kind: str) -> None:
    model = de.WassersteinDistance("GPA ~ GRADE", permutations=9)
    result = model.fit(de.datasets.spector(), seed=SEEDS[kind]())
    assert de.load(io.BytesIO(saved(result))).seed == result.seed
