"""Wide tables of choices, a row for each choice, made long: a row for each alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Mask
from disteconometrics.data.table import Table, list_names
from disteconometrics.errors import DataError, OptionError
from disteconometrics.words import tells_words

__all__ = ["long_choices"]


@tells_words
def long_choices(
    data: Any,
    chosen: str,
    columns: Mapping[str, str | Mapping[Any, str]],
    *,
    alternatives: Sequence[Any] | None = None,
    choice: str = "choice_set",
    alternative: str = "alternative",
    outcome: str = "chosen",
) -> pd.DataFrame:
    """A table with a row for each choice as one with a row for each alternative of it.

    An alternative whose own columns are all missing in a row was not available there, and gets no row.

    Parameters
    ----------
    data : pandas or polars DataFrame, or dict of arrays of one length n.
    chosen : str
        Column of the alternative that was chosen.
    columns : dict
        What becomes one column: ``{"price": "p{}", "catch": "c{}"}``, where braces stand for the alternative,
        or ``{"price": {"pier": "ppier", "boat": "pboat"}}``.
    alternatives : sequence or None
        The alternatives, the base first; None takes those that were chosen, sorted.
    choice, alternative, outcome : str
        Names of the new columns: the number of the choice, the alternative, and 1 where it was chosen, or 0.

    Returns
    -------
    pandas DataFrame
        Rows by choice and then alternative; the columns that are not reshaped are repeated.

    Raises
    ------
    OptionError, MissingColumnError
    DataError
        If a choice is missing, none of the alternatives, or of one that was not available.

    Examples
    --------
    >>> wide = {"mode": ["bus", "car"], "tbus": [3.0, 4.0], "tcar": [1.0, 9.0], "income": [5, 6]}
    >>> long_choices(wide, "mode", {"time": "t{}"}).values.tolist()
    [[0, 'bus', 1, 3.0, 5], [0, 'car', 0, 1.0, 5], [1, 'bus', 0, 4.0, 6], [1, 'car', 1, 9.0, 6]]
    """
    if not isinstance(columns, Mapping):
        raise OptionError(
            f"columns={columns!r:.60}: give a dict of new columns and where they are, with braces for the "
            "alternative, as in {'price': 'price.{}', 'time': 'time.{}'}."
        )
    table = Table(data)
    n, picked = len(table), pd.Series(table.raw(chosen, "chosen")).reset_index(drop=True)
    levels = _levels(picked, chosen, alternatives)
    sources = {name: _sources(name, given, levels) for name, given in columns.items()}
    used = {source for own in sources.values() for source in own} | {chosen}
    rest = [str(name) for name in table.names if name not in used]
    _check_new([choice, alternative, outcome, *sources], rest)
    own = {name: _stacked(table, name, of) for name, of in sources.items()}
    long = pd.DataFrame(
        {
            choice: np.repeat(np.arange(n), len(levels)),
            alternative: pd.Categorical(levels * n, levels),
            outcome: (picked.to_numpy()[:, None] == np.array(levels, dtype=object)).astype(int).ravel(),
            **own,
            **{name: np.repeat(np.asarray(table.raw(name, "data")), len(levels)) for name in rest},
        }
    )
    available = _available(long, list(own), outcome, chosen)
    return long if available.all() else long[available].reset_index(drop=True)


def _levels(picked: pd.Series, chosen: str, alternatives: Sequence[Any] | None) -> list[Any]:
    """The alternatives, of which every choice is one."""
    if picked.isna().any():
        raise DataError(f"The column {chosen!r} has {int(picked.isna().sum())} missing values.")
    levels = sorted(picked.unique().tolist()) if alternatives is None else list(alternatives)
    unknown = sorted({str(v) for v in picked} - {str(v) for v in levels})
    if len(set(map(str, levels))) < max(len(levels), 2) or unknown:
        raise OptionError(
            f"alternatives are {list_names(levels)}; give two or more different ones, with every value of "
            f"{chosen!r}" + (f": {list_names(unknown)} is missing." if unknown else ".")
        )
    return levels


def _sources(name: str, given: str | Mapping[Any, str], levels: Sequence[Any]) -> list[str]:
    """Columns of a wide table, one for each alternative."""
    if isinstance(given, str) and "{}" in given:
        return [given.replace("{}", str(level)) for level in levels]
    if isinstance(given, Mapping) and all(level in given for level in levels):
        return [given[level] for level in levels]
    raise OptionError(
        f"columns[{name!r}]={given!r}: give text with {{}} for the alternative, or a dict with a column for "
        f"each of {list_names(levels)}."
    )


def _check_new(new: Sequence[str], rest: Sequence[str]) -> None:
    taken = sorted({name for name in new if name in rest or list(new).count(name) > 1})
    if taken:
        raise OptionError(f"The long table would have two columns {list_names(taken)}; choose other names.")


def _stacked(table: Table, name: str, sources: Sequence[str]) -> Any:
    """Values of one column, by choice and then alternative (n·J,)."""
    return np.column_stack([np.asarray(table.raw(source, name)) for source in sources]).ravel()


def _available(long: pd.DataFrame, own: list[str], outcome: str, chosen: str) -> Mask:
    """Rows of alternatives of which something is known."""
    available = ~long[own].isna().all(axis=1).to_numpy() if own else np.ones(len(long), dtype=bool)
    lost = int((~available & (long[outcome] == 1).to_numpy()).sum())
    if lost:
        raise DataError(f"{lost} rows chose ({chosen}) an alternative of which all columns are missing.")
    return np.asarray(available)
