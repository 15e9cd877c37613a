"""Fitted transform states as plain JSON values and back, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from disteconometrics.errors import FileFormatError

__all__ = ["pack", "unpack"]


def pack(value: Any) -> Any:
    """Return numbers, text, None, arrays, lists and dictionaries of them as JSON types, floats to the bit.

    Returns: JSON value.  Raises: FileFormatError for anything else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise FileFormatError(f"A state of dtype {value.dtype} cannot be saved")
        return {"array": value.ravel().tolist(), "shape": list(value.shape), "dtype": value.dtype.name}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[pack(k), pack(v)] for k, v in value.items()]}
    raise FileFormatError(f"A state of type {type(value).__name__} cannot be saved")


def unpack(value: Any) -> Any:
    """Return what `pack` packed; lists come back as lists.

    Returns: the value.  Raises: FileFormatError for keys or types that `pack` does not write.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [unpack(item) for item in value]
    keys = set(value) if isinstance(value, dict) else set()
    if keys == {"map"} and isinstance(value["map"], list):
        return dict(map(_pair, value["map"]))
    if keys == {"array", "shape", "dtype"}:
        return _array(value)
    raise FileFormatError(f"A saved state holds an unknown value: {str(value)[:60]}")


def _pair(saved: Any) -> tuple[Any, Any]:
    if isinstance(saved, list) and len(saved) == 2 and isinstance(saved[0], (str, int, float, bool)):
        return saved[0], unpack(saved[1])
    raise FileFormatError("A saved state holds a damaged map")


def _array(value: dict[str, Any]) -> Any:
    if value["dtype"] not in ("float64", "int64", "bool", "float32", "int32", "uint64"):
        raise FileFormatError(f"A saved state holds an array of unknown dtype {value['dtype']!r}")
    try:
        return np.array(value["array"], dtype=value["dtype"]).reshape([int(n) for n in value["shape"]])
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"A saved state holds a damaged array: {error}") from None
