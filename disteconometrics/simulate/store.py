"""Finished replications on disk: an append-only file of records, JSON and float64.

It outlives the process that writes it.  A record is written with one call as soon as its replications are
done, so an interruption or a killed process loses what was being computed and nothing else; half a record at
the end of the file is cut off.  Reading never runs code.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from disteconometrics.errors import FileFormatError, OptionError
from disteconometrics.simulate.replications import FIELDS, Cell, Failure, ReplicationBlock

__all__ = ["Store"]

FORMAT = 1
_HEAD = struct.Struct("<4sIQ")  # mark, bytes of JSON, bytes of numbers
_MARK = b"deMC"
_SUM = 8


def _record(document: dict[str, Any], numbers: bytes = b"") -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    return _HEAD.pack(_MARK, len(text), len(numbers)) + text + numbers + _sum(text + numbers)


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SUM).digest()


def _body(content: bytes, at: int) -> tuple[bytes, int, int] | None:
    """Body, bytes of JSON in it and end of the record that begins at a byte, None if none is whole."""
    if len(content) < at + _HEAD.size:
        return None
    mark, texts, numbers = _HEAD.unpack_from(content, at)
    start, end = at + _HEAD.size, at + _HEAD.size + texts + numbers + _SUM
    body = content[start : end - _SUM]
    if mark != _MARK or end > len(content) or _sum(body) != content[end - _SUM : end]:
        return None
    return body, texts, end


def _records(content: bytes, path: Path) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """JSON, numbers and end of every whole record."""
    at = 0
    while at < len(content):
        found = _body(content, at)
        if found is None:
            if _is_half(content, at):  # the process was killed while it wrote
                return
            raise FileFormatError(
                f"{path} is no store of a Monte Carlo study, or is damaged at byte {at:,}; use another path."
            )
        body, texts, at = found
        yield json.loads(body[:texts].decode()), body[texts:], at


def _is_half(content: bytes, at: int) -> bool:
    """Whether the bytes from ``at`` on are the beginning of a record and nothing else: none follows them."""
    if not _MARK.startswith(content[at : at + len(_MARK)]):
        return False
    if len(content) >= at + _HEAD.size:
        _, texts, numbers = _HEAD.unpack_from(content, at)
        if at + _HEAD.size + texts + numbers + _SUM <= len(content):
            return False
    later = content.find(_MARK, at + 1)
    while later >= 0:
        if _body(content, later):
            return False
        later = content.find(_MARK, later + 1)
    return True


def _key(cell: Cell) -> str:
    return "-".join(f"{word:08x}" for word in cell.words)


def _pack(block: ReplicationBlock, cell: Cell) -> bytes:
    parts = [[estimator, names, reps] for (estimator, names), (reps, _) in block.parts.items()]
    document = {
        "cell": _key(cell),
        "label": cell.label,
        "done": block.done,
        "parts": parts,
        "failures": block.failures,
        "warned": [[*key, *value] for key, value in block.warned.items()],
        "random": block.random,
        "digest": block.digest,
        "machine": block.machine,
    }
    return _record(
        document,
        b"".join(np.asarray(v, dtype="<f8").tobytes() for _, values in block.parts.values() for v in values),
    )


def _unpack(document: dict[str, Any], numbers: bytes, c: int) -> ReplicationBlock:
    block = ReplicationBlock(
        c,
        list(map(index, document["done"])),
        random=list(document["random"]),
        digest=document["digest"],
        machine=document.get("machine"),  # not in stores of 0.1.0
    )
    block.failures = [Failure(*f) for f in document["failures"]]
    block.warned = {(e, w): (n, text) for e, w, n, text in document["warned"]}
    values, at = np.frombuffer(numbers, dtype="<f8").astype(np.float64), 0
    for estimator, names, reps in document["parts"]:
        size = len(reps) * len(names) * len(FIELDS)
        array = values[at : at + size].reshape(len(reps), len(names), len(FIELDS))
        block.parts[estimator, tuple(names)] = (list(map(index, reps)), list(array))
        at += size
    if at != len(values):
        raise ValueError("numbers left over")
    return block


def _path(given: Any) -> Path:
    """The path of a store: of a regular file, or of none yet in a folder that exists."""
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str):
        raise OptionError(
            f"store={given!r}: give the path of a file as text or a pathlib.Path, not {type(given).__name__}."
        )
    path = Path(given)
    try:
        known = path.stat().st_mode if path.exists() else None
        fits = path.absolute().parent.is_dir() if known is None else stat.S_ISREG(known)
    except (OSError, ValueError):  # a name too long, or one with a zero byte
        fits = False
    if not fits:
        raise OptionError(
            f"store={str(path)!r}: give the path of a file, there or new, in a folder that exists; no "
            "folder, device or pipe."
        )
    return path


class Store:
    """An open store of one study, locked against other processes where the system can.

    Parameters
    ----------
    path : where the file is, or will be.
    study : JSON-able description of the study, without cells and seed; another one is refused.
    resume : bool, whether an existing file is continued; it is never overwritten.

    Raises
    ------
    OptionError
        If the path is that of no file, or the file belongs to another study, is in use or cannot be written,
        or exists and ``resume`` is off.
    FileFormatError
        If it is something else.
    """

    def __init__(self, path: Any, study: dict[str, Any], *, resume: bool) -> None:
        self.path, self.study = _path(path), study
        self.found: list[tuple[dict[str, Any], bytes]] = []
        self.header: dict[str, Any] | None = None
        try:
            self.file = self.path.open("ab", buffering=0)
        except (OSError, ValueError) as error:
            raise OptionError(f"store={str(path)!r} cannot be opened: {error}.") from error
        try:
            self._lock()
            self._read(resume)
        except BaseException:
            self.close()
            raise

    def _read(self, resume: bool) -> None:
        """Read the file, which nobody else writes to now, and cut off half a record."""
        content = self.path.read_bytes()
        if content and not resume:
            raise OptionError(
                f"{self.path} exists and resume=False: delete the file, or choose another path."
            )
        self.end = 0
        for document, numbers, end in _records(content, self.path):
            if self.header is None:
                self.header = self._checked(document)
            else:
                self.found.append((document, numbers))
            self.end = end
        if self.end < len(content):
            self.file.truncate(self.end)

    def _checked(self, header: dict[str, Any]) -> dict[str, Any]:
        if header.get("magic") != "disteconometrics Monte Carlo" or header.get("format") != FORMAT:
            raise FileFormatError(
                f"{self.path} is no store of a Monte Carlo study that this version reads; use another path."
            )
        stored = header.get("study")
        if not isinstance(stored, dict) or "seed" not in header:
            raise FileFormatError(f"{self.path} is damaged: it does not say whose study it holds.")
        for name, ours in json.loads(json.dumps(self.study)).items():
            if stored.get(name) != ours:
                raise OptionError(
                    f"{self.path} belongs to another study: its {name} is {stored.get(name)}, "
                    f"here it is {ours}. "
                    "Use another path for this study."
                )
        return header

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not there on Windows
            return
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(
                f"{self.path} is in use by another process; wait for it, or use another path."
            ) from None
        except OSError:  # a file system without locks
            return

    def seed(self, entropy: Any, spawn_key: tuple[int, ...], *, drawn: bool) -> tuple[Any, tuple[int, ...]]:
        """The stored seed, which must be the given one unless that was drawn; a new file keeps that."""
        if self.header is None:
            self.header = {"magic": "disteconometrics Monte Carlo", "format": FORMAT, "study": self.study}
            self.header["seed"] = [str(entropy), list(spawn_key)]
            self._write(_record(self.header))
        stored = int(self.header["seed"][0]), tuple(self.header["seed"][1])
        if stored != (entropy, spawn_key) and not drawn:
            raise OptionError(
                f"{self.path} belongs to a study with seed {stored[0]}, not {entropy}; use another path."
            )
        return stored

    def blocks(self, cells: tuple[Cell, ...]) -> list[ReplicationBlock]:
        """Stored replications of the given cells, each once."""
        places = {_key(cell): c for c, cell in enumerate(cells)}
        seen: set[tuple[int, int]] = set()  # where there are no locks, two processes may have done the same
        blocks = []
        try:
            for document, numbers in self.found:
                if document["cell"] not in places:
                    continue
                block = _unpack(document, numbers, places[document["cell"]])
                new = [rep for rep in block.done if (block.cell, rep) not in seen]
                if new:
                    block.done = new
                    block.keep(set(new))
                    blocks.append(block)
                seen.update((block.cell, rep) for rep in new)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{self.path} is damaged: {error}.") from None
        return blocks

    def append(self, block: ReplicationBlock, cell: Cell) -> None:
        """Keep the replications of a block."""
        self._write(_pack(block, cell))

    def _write(self, record: bytes) -> None:
        """Give a record to the system, so that it outlives this process, whole or not at all."""
        left = memoryview(record)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            self.file.truncate(self.end)
            error.add_note(
                f"{self.path} holds all replications before this; make room and run again to go on."
            )
            raise
        self.end += len(record)

    def close(self) -> None:
        """Let others use the file."""
        self.file.close()
