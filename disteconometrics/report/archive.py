"""Results on disk: one ``.npz`` of arrays with a JSON header; loading never runs code and holds no rows."""

from __future__ import annotations

import json
import os
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.errors import FileFormatError

__all__ = ["read_archive", "write_archive"]

FORMAT = 2  # that is written; 1 is that of 0.1.0
READABLE = (1, 2)
_MAGIC = "disteconometrics"


def write_archive(
    path: str | os.PathLike[str] | IO[bytes], kind: str, header: dict[str, Any], arrays: dict[str, Any]
) -> None:
    """Write arrays and a JSON-able header of a result of the given kind (non-finite floats are allowed)."""
    try:
        ours = version("disteconometrics")
    except PackageNotFoundError:  # run from a source tree
        ours = "unknown"
    document = {
        "magic": _MAGIC,
        "format": FORMAT,
        "kind": kind,
        "version": ours,
        "numpy": np.__version__,
        "content": header,
    }
    text = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    parts: dict[str, Any] = {
        "header": text,
        **{name: as_floats(a) for name, a in arrays.items()},
    }
    if isinstance(path, (str, os.PathLike)):
        with Path(path).open("wb") as file:  # numpy would add an ending to the name
            np.savez(file, **parts)
    else:
        np.savez(path, **parts)


def read_archive(
    path: str | os.PathLike[str] | IO[bytes],
) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """Read what `write_archive` wrote: kind, header, arrays.

    Raises
    ------
    FileFormatError
        If the file is damaged, truncated, of another kind or of a newer format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(bytes(arrays.pop("header")).decode())
        magic, form = document["magic"], document["format"]
        kind, content = document["kind"], document["content"]
    except FileNotFoundError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
        RecursionError,
    ) as e:
        raise FileFormatError(
            f"{path} is not a valid disteconometrics file: it is damaged, truncated or of another kind."
        ) from e
    if magic != _MAGIC or form not in READABLE or not isinstance(content, dict):
        raise FileFormatError(
            f"{path} has format {form!r} of {magic!r}; this version reads formats up to {FORMAT} of "
            f"{_MAGIC!r}."
        )
    return kind, content, arrays
