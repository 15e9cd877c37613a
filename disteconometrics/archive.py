"""Results on disk: one ``.npz`` of arrays with a JSON header; loading never runs code and holds no rows.

A file is a zip archive whose members are stored as they are, so that reading it takes about as much memory as
it has bytes.  Each member is one array of doubles in numpy's format; ``header`` is the text of the JSON
document and ``checksum`` the SHA-256 of all others.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from disteconometrics.arrays import AnyArray, Array, as_floats
from disteconometrics.errors import FileFormatError
from disteconometrics.files import is_path, replacing

__all__ = ["Archive", "name_of", "opened", "read_archive", "write_archive"]

FORMAT = 3  # that is written
READABLE = (1, 2, 3)  # 1 is that of 0.1.0
SUMMED = 3  # the first format with a checksum
_MAGIC = "disteconometrics"
_DOCUMENT = {"magic", "format", "kind", "version", "numpy", "content"}
_OURS = {False: {"header"}, True: {"header", "checksum"}}
_STRAY = "allow_pickle"  # numpy 2.0 wrote this option of a call as an array

MOST_HEADER_BYTES = 1 << 24
MOST_HEADER_VALUES = 1_500_000  # a value takes up to 120 bytes of memory, however short its text
_TOO_LONG = f"its header is longer than {MOST_HEADER_BYTES >> 20} MB or {MOST_HEADER_VALUES:,} values."
ENCRYPTED = 1  # a flag of a member
CHUNK = 1 << 20
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<>]f8|\|u1)', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]*)\), \} *\n",
    re.DOTALL,
)


# ---- writing -----------------------------------------------------------------------------------------------


def write_archive(
    path: str | os.PathLike[str] | IO[bytes], kind: str, header: dict[str, Any], arrays: dict[str, Any]
) -> None:
    """Write arrays and a JSON-able header of a result of the given kind (non-finite floats are allowed).

    An existing file is lost only when the new one is whole.
    """
    document = {
        "magic": _MAGIC,
        "format": FORMAT,
        "kind": kind,
        "version": sys.modules["disteconometrics"].__version__,  # of the code that runs
        "numpy": np.__version__,
        "content": header,
    }
    text = json.dumps(document).encode()
    if len(text) > MOST_HEADER_BYTES - CHUNK or _values(text) > MOST_HEADER_VALUES:
        raise FileFormatError(f"The names and levels of this result are too many for a file: {_TOO_LONG}")
    parts: dict[str, AnyArray] = {"header": np.frombuffer(text, dtype=np.uint8)}
    parts |= {name: as_floats(a) for name, a in arrays.items()}
    total = _Checksum()
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name in sorted(parts):
            member = _to_npy(parts[name])
            total.begin(name, len(member))
            total.add(member)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member)
        archive.writestr(zipfile.ZipInfo("checksum.npy"), _to_npy(total.digest()))


def _to_npy(a: AnyArray) -> memoryview:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, a, version=(1, 0), allow_pickle=False)
    return buffer.getbuffer()


class _Checksum:
    """The SHA-256 of members in the order of their names: of each its name, its length and its bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def begin(self, name: str, size: int) -> None:
        self._hash.update(f"{name}\0{size}\0".encode())

    def add(self, part: bytes | memoryview) -> None:
        self._hash.update(part)

    def digest(self) -> AnyArray:
        return np.frombuffer(self._hash.digest(), dtype=np.uint8)


# ---- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Archive:
    """An open file: the kind of its result, the content of its header, and arrays that are read when asked.

    ``members`` are the arrays by name; none has been read.
    """

    kind: str
    header: dict[str, Any]
    members: dict[str, zipfile.ZipInfo]
    file: zipfile.ZipFile

    def read(self, name: str) -> Array:
        """The array of a name.

        Raises
        ------
        FileFormatError
            If it does not hold numbers, or not as many as its shape says.
        """
        with _damage():
            return _numbers(self.file, self.members[name], "f8").astype(np.float64, copy=False)

    def verify(self) -> None:
        """Compare the checksum with that of the file, of which a piece is in memory at a time.

        Raises
        ------
        FileFormatError
            If they differ; files of formats without a checksum pass.
        """
        members = {info.filename.removesuffix(".npy"): info for info in self.file.infolist()}
        if "checksum" not in members or "checksum" in self.members:
            return
        total = _Checksum()
        with _damage():
            for name in sorted(set(members) - {"checksum"}):
                total.begin(name, members[name].file_size)
                with self.file.open(members[name]) as member:
                    while part := member.read(CHUNK):
                        total.add(part)
            if not np.array_equal(_numbers(self.file, members["checksum"], "u1"), total.digest()):
                raise FileFormatError("its checksum is another: it was changed or damaged")


def read_archive(
    path: str | os.PathLike[str] | IO[bytes],
) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """Read what `write_archive` wrote: kind, header, arrays.

    Raises
    ------
    FileFormatError
        If the file is damaged, truncated, of another kind or of a newer format.
    """
    with opened(path) as archive:
        archive.verify()
        return archive.kind, archive.header, {name: archive.read(name) for name in archive.members}


@contextmanager
def opened(path: str | os.PathLike[str] | IO[bytes]) -> Iterator[Archive]:
    """Open what `write_archive` wrote: its header is checked, none of its arrays is read.

    Raises
    ------
    FileFormatError
        If the file is damaged, truncated, of another kind or of a newer format.
    """
    with ExitStack() as stack:
        try:
            with _damage():
                file = stack.enter_context(zipfile.ZipFile(_stream(path, stack)))
                archive = _checked(file)
        except FileFormatError as error:
            raise FileFormatError(f"{name_of(path)} is not a valid disteconometrics file: {error}") from error
        yield archive


def name_of(path: Any) -> str:
    """What messages call a file: its name, or "The file" where it is an open one without a name.

    Examples
    --------
    >>> name_of("fit.npz"), name_of(io.BytesIO())
    ('fit.npz', 'The file')
    """
    name: Any = path if is_path(path) else getattr(path, "name", None)
    return os.fsdecode(name) if is_path(name) else "The file"


@contextmanager
def _damage() -> Iterator[None]:
    """Errors of a damaged archive, of which `zipfile` raises a dozen kinds, as one kind with a reason."""
    try:
        yield
    except (FileFormatError, FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:
        raise FileFormatError("it is damaged, truncated or of another kind.") from error


def _stream(path: Any, stack: ExitStack) -> IO[bytes]:
    """The open file, which must be an ordinary one: a pipe would wait without end."""
    if not is_path(path):
        if not hasattr(path, "seek"):
            raise FileFormatError(f"{path!r:.80} is neither a file name nor a binary file.")
        stream: IO[bytes] = path
        return stream
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileFormatError("it is a folder, a pipe or a device.")
    return stack.enter_context(open(path, "rb"))


def _checked(file: zipfile.ZipFile) -> Archive:
    members = _members(file)
    document = _document(file, members)
    magic, form = document["magic"], document["format"]
    if magic != _MAGIC or form not in READABLE:
        raise FileFormatError(
            f"it has format {form!r:.40} of {magic!r:.40}; this version reads formats up to {FORMAT} of "
            f"{_MAGIC!r}."
        )
    kind, content = document["kind"], document["content"]
    texts = all(isinstance(document[name], str) for name in ("kind", "version", "numpy"))
    if not texts or not isinstance(content, dict):
        raise FileFormatError("its header is of another form.")
    if form < SUMMED:
        members.pop(_STRAY, None)
    elif "checksum" not in members:
        raise FileFormatError("its checksum is missing.")
    return Archive(kind, content, {n: m for n, m in members.items() if n not in _OURS[form >= SUMMED]}, file)


def _members(file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, each stored as it is and all of them no longer than the file."""
    members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
    assert file.fp is not None
    length = file.fp.seek(0, os.SEEK_END)
    plain = all(
        m.filename.endswith(".npy")
        and m.compress_type == zipfile.ZIP_STORED
        and m.compress_size == m.file_size
        and not m.flag_bits & ENCRYPTED
        for m in members.values()
    )
    whole = sum(m.file_size for m in members.values()) <= length
    if not plain or not whole or len(members) != len(file.infolist()):
        raise FileFormatError("its members are not arrays stored as they are, each once.")
    return members


def _document(file: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if "header" not in members:
        raise FileFormatError("it has no header, so it is of another kind.")
    if members["header"].file_size > MOST_HEADER_BYTES:
        raise FileFormatError(_TOO_LONG)
    text = _numbers(file, members["header"], "u1").tobytes()
    if _values(text) > MOST_HEADER_VALUES:
        raise FileFormatError(_TOO_LONG)
    document = json.loads(text.decode())
    if rb"\ud" in text.lower():  # half a character would be an error wherever it is printed
        json.dumps(document, ensure_ascii=False).encode()
    if not isinstance(document, dict) or set(document) != _DOCUMENT:
        raise FileFormatError("its header is of another form.")
    return document


def _values(text: bytes) -> int:
    """A bound on the values of a JSON text."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _numbers(file: zipfile.ZipFile, info: zipfile.ZipInfo, kind: str) -> AnyArray:
    """The array of a member, doubles ("f8") or bytes ("u1"), as long as the directory says."""
    with file.open(info) as member:
        content = member.read()
    head = _NPY.match(content)
    if head is None or not head[2].endswith(kind.encode()):
        raise FileFormatError(f"{info.filename.removesuffix('.npy')[:40]!r} does not hold numbers")
    shape = tuple(int(n) for n in head[4].split(b",") if n.strip())
    a = np.frombuffer(content, dtype=head[2].decode(), offset=head.end())
    if a.size != math.prod(shape):
        raise FileFormatError(f"{info.filename.removesuffix('.npy')[:40]!r} is shorter than its shape")
    return a.copy().reshape(shape, order="F" if head[3] == b"True" else "C")
