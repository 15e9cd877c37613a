"""Finished replications on disk: an append-only file of records, JSON and float64.

It outlives the process that writes it.  A record is written with one call as soon as its replications are
done, so an interruption or a killed process loses what was being computed and nothing else; half a record at
the end of the file is cut off.  Reading never runs code.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
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
    check = hashlib.blake2b(text + numbers, digest_size=_SUM).digest()
    return _HEAD.pack(_MARK, len(text), len(numbers)) + text + numbers + check


def _records(content: bytes, path: Path) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """JSON, numbers and end of every whole record."""
    at = 0
    while at < len(content):
        whole = at + _HEAD.size <= len(content)
        mark, texts, numbers = _HEAD.unpack_from(content, at) if whole else (content[at : at + 4], 0, 0)
        start, end = at + _HEAD.size, at + _HEAD.size + texts + numbers + _SUM
        damaged = mark != _MARK[: len(mark)]
        if not damaged and end > len(content):  # half a record: the process was killed while it wrote
            return
        body = content[start : end - _SUM]
        if damaged or hashlib.blake2b(body, digest_size=_SUM).digest() != content[end - _SUM : end]:
            raise FileFormatError(
                f"{path} is no store of a Monte Carlo study, or is damaged at byte {at:,}; use another path."
            )
        yield json.loads(body[:texts].decode()), body[texts:], end
        at = end


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
    }
    return _record(
        document,
        b"".join(np.asarray(v, dtype="<f8").tobytes() for _, values in block.parts.values() for v in values),
    )


def _unpack(document: dict[str, Any], numbers: bytes, c: int) -> ReplicationBlock:
    block = ReplicationBlock(
        c, list(document["done"]), random=list(document["random"]), digest=document["digest"]
    )
    block.failures = [Failure(*f) for f in document["failures"]]
    block.warned = {(e, w): (n, text) for e, w, n, text in document["warned"]}
    values, at = np.frombuffer(numbers, dtype="<f8").astype(np.float64), 0
    for estimator, names, reps in document["parts"]:
        size = len(reps) * len(names) * len(FIELDS)
        array = values[at : at + size].reshape(len(reps), len(names), len(FIELDS))
        block.parts[estimator, tuple(names)] = (list(reps), list(array))
        at += size
    if at != len(values):
        raise ValueError("numbers left over")
    return block


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
        If the file belongs to another study, or exists and ``resume`` is off.
    FileFormatError
        If it is something else.
    """

    def __init__(self, path: Any, study: dict[str, Any], *, resume: bool) -> None:
        self.path, self.study = Path(path), study
        if self.path.is_dir() or not self.path.absolute().parent.is_dir():
            raise OptionError(f"store={str(path)!r}: give the path of a file in a folder that exists.")
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not resume:
            raise OptionError(
                f"{self.path} exists and resume=False: delete the file, or choose another path."
            )
        self.found: list[tuple[dict[str, Any], bytes]] = []
        end, self.header = 0, None
        for document, numbers, end in _records(content, self.path):  # noqa: B007
            if self.header is None:
                self.header = self._checked(document)
            else:
                self.found.append((document, numbers))
        self.file = self.path.open("ab")
        self._lock()
        if end < len(content):
            os.truncate(self.path, end)

    def _checked(self, header: dict[str, Any]) -> dict[str, Any]:
        if header.get("magic") != "disteconometrics Monte Carlo" or header.get("format") != FORMAT:
            raise FileFormatError(
                f"{self.path} is no store of a Monte Carlo study that this version reads; use another path."
            )
        for name, ours in json.loads(json.dumps(self.study)).items():
            if header["study"].get(name) != ours:
                raise OptionError(
                    f"{self.path} belongs to another study: its {name} is {header['study'].get(name)}, "
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
        except OSError:
            raise OptionError(f"{self.path} is in use by another process.") from None

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
        """Stored replications of the given cells."""
        places = {_key(cell): c for c, cell in enumerate(cells)}
        try:
            return [
                _unpack(d, numbers, places[d["cell"]]) for d, numbers in self.found if d["cell"] in places
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{self.path} is damaged: {error}.") from None

    def append(self, block: ReplicationBlock, cell: Cell) -> None:
        """Keep the replications of a block."""
        self._write(_pack(block, cell))

    def _write(self, record: bytes) -> None:
        self.file.write(record)
        self.file.flush()  # with the system now, so it outlives this process

    def close(self) -> None:
        """Let others use the file."""
        self.file.close()
