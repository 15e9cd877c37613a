"""What a file may hold: values as the annotations of a class say, arrays as a table of shapes says.

A class that is written to files as a dictionary is read back by `read_fields`: every value is checked against
the annotation of its field, so that a wrong one is refused when the file is read and not where it is used.
A plain ``float`` is finite; `AnyFloat` may be NaN or infinite; a whole number that counts is a `Count`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.checks import MOST_COUNTED, is_real, is_whole
from disteconometrics.errors import FileFormatError

__all__ = [
    "AnyFloat",
    "Count",
    "Entropy",
    "Negative",
    "NonNegative",
    "Numbers",
    "Positive",
    "Rule",
    "SavedSeed",
    "check_numbers",
    "read_dict",
    "read_fields",
    "read_value",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """What values of an annotation must be, beyond their type: ``words`` end "it is not …"."""

    words: str
    holds: Callable[[Any], bool]


ANY_NUMBER = Rule("a number", is_real)

AnyFloat = Annotated[float, ANY_NUMBER]
NonNegative = Annotated[float, Rule("at least zero", lambda v: v >= 0)]
Positive = Annotated[float, Rule("positive", lambda v: v > 0)]
Negative = Annotated[float, Rule("negative", lambda v: v < 0)]
Count = Annotated[int, Rule("a count", lambda v: 0 <= v <= MOST_COUNTED)]
Entropy = Annotated[int, Rule("at least zero", lambda v: v >= 0)]  # of a seed, of any length
SavedSeed = Entropy | tuple[Entropy | tuple[Entropy, ...], tuple[Entropy, ...]] | tuple[Entropy, ...] | None

_PLAIN: dict[Any, Callable[[Any], bool]] = {
    bool: lambda v: isinstance(v, bool),
    int: is_whole,
    str: lambda v: isinstance(v, str),
    type(None): lambda v: v is None,
}


def read_fields(kind: type[T], values: Any, name: str = "the header") -> T:
    """A dataclass from a dictionary of its fields, each checked against its annotation.

    Parameters
    ----------
    kind : dataclass, whose annotations are plain types, tuples, lists and dictionaries of them, or classes
        that are dataclasses or have ``from_dict``.
    values : dict; fields with a default may be missing.
    name : str, what messages call it.

    Raises
    ------
    FileFormatError
        If a field is of another type, missing or unknown.

    Examples
    --------
    >>> read_fields(Numbers, {"shape": "k r", "optional": True})
    Numbers(shape='k r', values='finite', optional=True)
    """
    return kind(**read_dict(kind, values, name))


def read_dict(
    kind: type, values: Any, name: str = "the header", given: Collection[str] = (), *, bounded: bool = True
) -> dict[str, Any]:
    """The fields of a dataclass from a dictionary, as `read_fields` checks them.

    Parameters
    ----------
    kind, values, name : as for `read_fields`.
    given : names of fields that come from elsewhere.
    bounded : bool, whether a plain float must be finite; off where the class checks its numbers itself.

    Raises
    ------
    FileFormatError
        If a field is of another type, missing or unknown.

    Examples
    --------
    >>> read_dict(Rule, {"words": "whole"}, given=["holds"])
    {'words': 'whole'}
    """
    if not isinstance(values, dict):
        raise _wrong(name, values, "a dictionary")
    own = {f.name: f for f in fields(kind) if f.init and f.name not in given}
    needed = {n for n, f in own.items() if f.default is MISSING and f.default_factory is MISSING}
    if not needed <= set(values) <= set(own):
        odd = sorted((needed - set(values)) | (set(values) - set(own)))
        raise FileFormatError(f"{name} has missing or unknown entries: {', '.join(odd[:5]):.80}")
    hints = _hints(kind)
    return {n: read_value(hints[n], v, n, bounded=bounded) for n, v in values.items()}


def read_value(kind: Any, value: Any, name: str, *, bounded: bool = True) -> Any:
    """A value of a file as an annotation says, tuples for lists where it says so.

    Raises
    ------
    FileFormatError
        If it is of another type.

    Examples
    --------
    >>> read_value(tuple[float, ...] | None, [1.0, 2.0], "numbers")
    (1.0, 2.0)
    """
    if kind is Any:
        return value
    if kind is float:
        return _number(value, name, bounded)
    if kind in _PLAIN:
        if not _PLAIN[kind](value):
            raise _wrong(name, value, "null" if kind is type(None) else kind.__name__)
        return value
    reader = _READERS.get(get_origin(kind))
    if reader is not None:
        return reader(get_args(kind), value, name, bounded)
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value)
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**read_dict(kind, value, name, bounded=bounded))
    raise _wrong(name, value, f"{kind}, which no file holds")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _wrong(name: str, value: Any, words: str) -> FileFormatError:
    return FileFormatError(f"{name:.40} is {value!r:.40}, not {words}")


def _number(value: Any, name: str, bounded: bool) -> Any:
    """A number, as a double where it is a whole one that numpy would not take."""
    inside = is_real(value) and abs(value) <= sys.float_info.max
    if not (inside or (isinstance(value, float) and not bounded)):
        raise _wrong(name, value, "a finite number" if bounded else "a number")
    return float(value) if abs(value) > MOST_COUNTED else value


def _annotated(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> Any:
    base, *rules = args
    found = read_value(base, value, name, bounded=bounded and ANY_NUMBER not in rules)
    for rule in rules:
        if not rule.holds(found):
            raise _wrong(name, value, rule.words)
    return found


def _one_of(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> Any:
    if value is None and type(None) in args:
        return None
    problems = []
    for kind in args:
        if kind is not type(None):
            try:
                return read_value(kind, value, name, bounded=bounded)
            except FileFormatError as error:
                problems.append(error)
    raise problems[0]


def _literal(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> Any:
    if not isinstance(value, str) or value not in args:
        raise _wrong(name, value, f"one of {', '.join(map(repr, args))}")
    return value


def _items(kind: Any, value: Any, name: str, bounded: bool) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, value, "a list")
    return [read_value(kind, v, name, bounded=bounded) for v in value]


def _tuple(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> tuple[Any, ...]:
    if args[-1] is ...:
        return tuple(_items(args[0], value, name, bounded))
    if not isinstance(value, (list, tuple)) or len(value) != len(args):
        raise _wrong(name, value, f"a list of {len(args)}")
    return tuple(read_value(k, v, name, bounded=bounded) for k, v in zip(args, value, strict=True))


def _list(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> list[Any]:
    return _items(args[0], value, name, bounded)


def _dict(args: tuple[Any, ...], value: Any, name: str, bounded: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, value, "a dictionary")
    return {k: read_value(args[1], v, f"{name}[{k!r}]", bounded=bounded) for k, v in value.items()}


_READERS: dict[Any, Callable[[tuple[Any, ...], Any, str, bool], Any]] = {
    Annotated: _annotated,
    Union: _one_of,
    types.UnionType: _one_of,
    Literal: _literal,
    tuple: _tuple,
    list: _list,
    Sequence: _list,
    dict: _dict,
    Mapping: _dict,
}


# ---- arrays ------------------------------------------------------------------------------------------------


def _finite(a: Array) -> bool:
    return bool(np.isfinite(a).all())


def _covariance(a: Array) -> bool:
    return a.shape[0] == a.shape[1] and not bool((np.diagonal(a) < 0).any())


_VALUES: dict[str, Callable[[Array], bool]] = {
    "finite": _finite,
    "any": lambda a: True,
    "positive": lambda a: _finite(a) and bool((a > 0).all()),
    "not negative": lambda a: _finite(a) and bool((a >= 0).all()),
    "increasing": lambda a: _finite(a) and bool((np.diff(a, axis=0) > 0).all()),
    "a covariance": _covariance,
}


@dataclass(frozen=True)
class Numbers:
    """What an array of a file is.

    Parameters
    ----------
    shape : str
        Sizes by name or number, as "k r"; a name that is not known yet takes the size that it meets first.
        "" is a single number, "..." any shape.
    values : {"finite", "any", "positive", "not negative", "increasing", "a covariance"}
        "any" may be NaN or infinite; so may a covariance, whose diagonal is not negative.
    optional : bool, whether it may be missing.

    Examples
    --------
    >>> Numbers("k r", "any")
    Numbers(shape='k r', values='any', optional=False)
    """

    shape: str
    values: str = "finite"
    optional: bool = False


def check_numbers(
    table: Mapping[str, Numbers], read: Callable[[str], Array], names: Sequence[str], **sizes: int
) -> dict[str, Array]:
    """The arrays of a table, each read and checked; those that may be missing are left out where they are.

    Parameters
    ----------
    table : what each array is, by name.
    read : gives the array of a name.
    names : the names that are there.
    sizes : those that are known.

    Raises
    ------
    FileFormatError
        If one is missing, of another shape, or has values that it must not have.

    Examples
    --------
    >>> arrays = {"a": np.ones(2), "b": np.eye(2)}
    >>> table = {"a": Numbers("k"), "b": Numbers("k k"), "c": Numbers("k", optional=True)}
    >>> list(check_numbers(table, arrays.__getitem__, ["a", "b"], k=2))
    ['a', 'b']
    """
    found = {}
    for name, what in table.items():
        if name not in names:
            if what.optional:
                continue
            raise FileFormatError(f"{name} is missing")
        found[name] = read(name)
        _check_shape(name, what, found[name].shape, sizes)
        if not _VALUES[what.values](found[name]):
            raise FileFormatError(f"{name} has values that are not {what.values}")
    return found


def _check_shape(name: str, what: Numbers, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Compare a shape with the sizes that are known, and learn those that are not."""
    if what.shape == "...":
        return
    wanted = what.shape.split()
    if len(wanted) == len(shape):
        met = [
            size == (int(w) if w.isdigit() else sizes.setdefault(w, size))
            for w, size in zip(wanted, shape, strict=True)
        ]
        if all(met):
            return
    expected = ", ".join(str(sizes.get(w, w)) for w in wanted)
    raise FileFormatError(f"{name} has shape {shape}, not ({expected})")
