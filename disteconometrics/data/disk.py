"""Coded rows of a part in a file of a temporary folder: written once, read block by block in every pass."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.errors import DataError, OptionError

__all__ = ["BlockFile", "TemporaryFolder", "is_on_disk"]


def is_on_disk(cache: Any) -> bool:
    """Whether coded rows are to be written to a disk.

    Examples
    --------
    >>> is_on_disk("disk"), is_on_disk("memory")
    (True, False)
    """
    return isinstance(cache, os.PathLike) or (isinstance(cache, str) and cache == "disk")


class TemporaryFolder:
    """A new folder, inside another one or where the system has such; it goes with this object.

    Examples
    --------
    >>> folder = TemporaryFolder("disk")
    >>> folder.delete()
    >>> os.path.exists(folder.path)
    False
    """

    def __init__(self, cache: Any) -> None:
        within = os.fspath(cache) if isinstance(cache, os.PathLike) else None
        try:
            self.path = tempfile.mkdtemp(prefix="disteconometrics-", dir=within)
        except OSError as error:
            raise _not_written(within or tempfile.gettempdir(), error) from None
        self.delete = weakref.finalize(self, _delete, self.path, os.getpid())

    def file(self, number: int) -> BlockFile:
        """The file of a part."""
        return BlockFile(os.path.join(self.path, f"part{number}"))


def _delete(path: str, process: int) -> None:
    if os.getpid() == process:  # a fork ends without taking the files of its parent along
        shutil.rmtree(path, ignore_errors=True)


@dataclass(eq=False)
class BlockFile:
    """Blocks that are appended to a file, and read from it when iterated, to the bit and in their layout.

    Examples
    --------
    >>> folder = TemporaryFolder("disk")
    >>> blocks = folder.file(0)
    >>> blocks.append(Block(np.ones(2), np.zeros((2, 3))))
    >>> [(block.y.tolist(), block.X.shape) for block in blocks]
    [([1.0, 1.0], (2, 3))]
    >>> folder.delete()
    """

    path: str
    forms: list[tuple[tuple[str, ...], tuple[int, bool] | None]] = field(default_factory=list)

    def append(self, block: Block) -> None:
        """Write a block.

        Raises
        ------
        OptionError
            If the disk is full or lets nothing be written.
        """
        X: Any = block.X
        arrays = {"y": block.y, "X": X, "weights": block.weights, "offset": block.offset}
        factor = None
        if isinstance(X, FactorMatrix):
            factor = X.at, X.apart
            arrays |= {"X": None, "other": X.other, "codes": X.codes, "coding": X.coding}
        there = {name: a for name, a in arrays.items() if a is not None}
        try:
            with open(self.path, "ab" if self.forms else "wb") as file:
                for a in there.values():
                    np.lib.format.write_array(file, a, allow_pickle=False)
        except OSError as error:
            raise _not_written(os.path.dirname(self.path), error) from None
        self.forms.append((tuple(there), factor))

    def __iter__(self) -> Iterator[Block]:
        """Read the blocks.  Raises: DataError if the file is not what was written."""
        if not self.forms:
            return
        try:
            with open(self.path, "rb") as file:
                for names, factor in self.forms:
                    found: dict[str, Any] = {
                        n: np.lib.format.read_array(file, allow_pickle=False) for n in names
                    }
                    if factor is not None:
                        other, codes, coding = (found.pop(n) for n in ("other", "codes", "coding"))
                        found["X"] = FactorMatrix(other, codes, coding, *factor)
                    yield Block(**found)
        except (OSError, ValueError) as error:
            raise DataError(
                f"Coded rows in {self.path!r} can no longer be read ({error}): were temporary files deleted? "
                "Fit again, or with cache=None."
            ) from None


def _not_written(where: str, error: OSError) -> OptionError:
    reason = error.strerror or f"{error}: is the disk full?"
    return OptionError(
        f"Coded rows could not be written into {where!r} ({reason}); nothing else was "
        "touched, and what was written is deleted. Name a folder with room by cache=pathlib.Path('…') "
        "(a row takes 8 bytes a column of the design), or take cache=None, which reads the source again."
    )
