"""Files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from disteconometrics.errors import OptionError

__all__ = ["is_path", "replacing"]


def is_path(target: Any) -> bool:
    """Whether a file name is given, not an open file.

    Examples
    --------
    >>> is_path("fit.npz"), is_path(3)
    (True, False)
    """
    return isinstance(target, (str, bytes, os.PathLike))


@contextmanager
def replacing(target: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the place of ``target`` once it is whole and on the disk.

    It is written beside the target.  A full disk, an error or the end of the process leaves the old file as
    it was.  A link stays a link, and a file keeps its mode.  A device, a pipe or an open file, which hold
    nothing that could be lost, are written as they are.

    Parameters
    ----------
    target : file name, or binary file open for writing.

    Raises
    ------
    OSError
        If the file cannot be written; a half-written one is removed.
    OptionError
        If the target is neither a name nor a file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/numbers") as file:
    ...         _ = file.write(b"1 2 3")
    ...     Path(f"{folder}/numbers").read_bytes(), os.listdir(folder)
    (b'1 2 3', ['numbers'])
    """
    if not is_path(target):
        if not hasattr(target, "write") or isinstance(target, io.TextIOBase):
            raise OptionError(f"{target!r} is no binary file: give a file name, or a file opened with 'wb'.")
        yield target  # type: ignore[misc]
        return
    final = Path(os.path.realpath(os.fsdecode(target)))  # type: ignore[arg-type]
    old = _mode(final)
    if old is not None and not stat.S_ISREG(old):
        with final.open("wb") as file:
            yield file
        return
    if old is not None and not os.access(final, os.W_OK):
        raise PermissionError(13, "The file is not to be written", str(final))
    beside = final.with_name(f".{final.name[:40]}.{uuid.uuid4().hex[:12]}.part")
    try:
        with beside.open("xb") as file:  # with the mode of new files
            yield file
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            beside.chmod(stat.S_IMODE(old))
        beside.replace(final)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.filename == str(beside):
            error.filename = str(final)  # the name that the user knows
        raise
    _keep_name(final.parent)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _keep_name(folder: Path) -> None:
    """Bring the new name to the disk, where folders can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
