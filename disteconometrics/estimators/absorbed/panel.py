"""Reading a panel: which columns are absorbed, which groups tell something, columns of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.blocks import Block
from disteconometrics.checks import whole
from disteconometrics.data.formula import split_absorbed
from disteconometrics.data.table import list_names
from disteconometrics.errors import CollinearityError, DataError, FormulaError, OptionError, OutcomeError
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import check_columns
from disteconometrics.likelihoods.conditional import Sets
from disteconometrics.optim.rank import check_rank

__all__ = [
    "Panel",
    "absorbs",
    "centre",
    "check_absorbed",
    "check_varying",
    "keys_of",
    "lag_bias",
    "own_lags",
    "read_panel",
    "varying",
]

FLAT = 1e-10  # of the largest value of a column, below which it does not vary inside groups
MOST_LEVELS = 1_000  # of an effect that is a set of columns
NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean")
LOOKED_AT = 300  # groups, to see which columns are lags
LAGGED = 0.9  # of the rows that must be as a lag is
HIGHEST_LAG, LAG_STEPS = 0.99, 50  # of a slope, and halvings that find it
BIASES = ("none", "analytical", "jackknife", "split")


def absorbs(formula: Any) -> bool:
    """Whether a formula has a part of absorbed effects.

    Examples
    --------
    >>> absorbs("y ~ x | id"), absorbs("y ~ I(a | b)")
    (True, False)
    """
    return isinstance(formula, str) and "|" in formula and bool(split_absorbed(formula)[1])


def check_absorbed(model: Any) -> None:
    """Refuse choices about absorbed effects that a specification cannot have.

    Raises
    ------
    OptionError, FormulaError

    Examples
    --------
    >>> import disteconometrics as de
    >>> check_absorbed(de.Logit("y ~ x | id"))
    """
    if model.bias not in BIASES:
        raise OptionError(f"bias={model.bias!r} is not known; use one of {', '.join(map(repr, BIASES))}.")
    lags = whole(model.bandwidth, "bandwidth", 0)
    check_columns(time=model.time)
    if not absorbs(model.formula):
        asked = {"bias": model.bias != "none", "bandwidth": lags, "time": model.time}
        for name in (name for name, given in asked.items() if given):
            raise OptionError(f"{name}= is about absorbed effects, as in 'y ~ x | id'; there are none.")
        return
    corrected, name = model.bias != "none", type(model).__name__
    firth = model.likelihood_penalty is not None or model.separation == "firth"
    for wrong, words in (
        (
            model.kernel.curvature is None,
            f"{name} does not absorb effects; de.Logit and de.Probit do, or write C(id).",
        ),
        (lags and model.bias != "analytical", "bandwidth= is of bias='analytical'."),
        (
            lags and model.time is None,
            "bandwidth= needs time=, the column that orders the rows of a group.",
        ),
        (
            corrected and model.weights is not None,
            "Corrections of the bias are of unweighted rows; use bias='none'.",
        ),
        (firth, "Firth's penalty is not for absorbed effects: use bias='analytical', or C(id) for columns."),
    ):
        if wrong:
            raise OptionError(words)


# ---- rows --------------------------------------------------------------------------------------------------


class Panel(NamedTuple):
    """The rows of groups that tell something, group by group.

    ``by_group`` (n,) are positions in the design; ``levels`` belong to the ``absorbed`` columns, the
    eliminated first, ``groups`` (N,) are its levels that have rows, ``kept`` says which levels have,
    ``shares`` are their mean outcomes; ``codes`` (n,) are levels of the others, ``places`` which of these are
    columns, ``names`` all columns (K), those first.
    """

    read: FitRows
    absorbed: tuple[str, ...]
    by_group: Indices
    sets: Sets
    groups: Indices
    names: tuple[str, ...]
    regressors: tuple[str, ...]
    levels: tuple[pd.Index, ...]
    kept: tuple[Mask, ...]
    shares: tuple[Array, ...]
    codes: tuple[Indices, ...]
    places: tuple[tuple[int, int], ...]

    @property
    def others(self) -> int:
        """Columns of effects that are not eliminated."""
        return len(self.places)

    def places_in_time(self) -> Indices:
        """Which row of its group every row is (n,), from 0."""
        return np.arange(len(self.by_group)) - self.sets.starts[self.sets.owner]

    def columns(self, count: int | None = None) -> Array:
        """The columns (n, K) of other effects, then of regressors, made anew; the first ``count`` of them."""
        places = [j for j, name in enumerate(self.read.names) if name != "Intercept"]
        X, count = self.read.X, len(self.names) if count is None else count
        out = np.empty((len(self.by_group), count))
        for column, (i, level) in enumerate(self.places[:count]):
            out[:, column] = self.codes[i - 1] == level
        for column in range(self.others, count):
            out[:, column] = X[self.by_group, places[column - self.others]]
        return out


def own_lags(p: Panel, y: Array, *, ordered: bool) -> list[str]:
    """Regressors that are the outcome (n,) of the period before, as the first groups have it.

    Where the rows of a group have no order, an outcome that hardly repeats itself is looked for in all of
    them, another one in the rows before and after; a gap in the periods leaves a lag that is not there.

    Examples
    --------
    >>> import disteconometrics as de
    >>> y = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 7.0])
    >>> table = {"y": y, "before": np.roll(y, 1), "id": np.zeros(6)}
    >>> panel = read_panel(de.NormalRegression("y ~ before | id"), table, "numeric")
    >>> own_lags(panel, panel.read.y[panel.by_group], ordered=True)
    ['before']
    """
    sizes = p.sets.sizes[:LOOKED_AT]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    n = len(owner)
    y = y[:n]
    moved = np.flatnonzero((np.diff(y) != 0) & (np.diff(owner) == 0)) + 1
    places = [p.read.names.index(name) for name in p.regressors]
    found = []
    for name, x in zip(p.regressors, p.read.X[p.by_group[:n]][:, places].T, strict=True):
        before, after = (np.count_nonzero(x[a] == y[b]) for a, b in ((moved, moved - 1), (moved - 1, moved)))
        equal = before if ordered else max(before, after)
        if equal >= LAGGED * max(len(moved), 1) or (not ordered and _are_outcomes(x, y, owner)):
            found.append(name)
    return found


def _are_outcomes(x: Array, y: Array, owner: Indices) -> bool:
    """Whether most values x are outcomes of other rows of their group, where outcomes do not repeat."""
    _, values = np.unique(np.concatenate([y, x]), return_inverse=True)
    keys, n = values + (values.max() + 1) * np.tile(owner, 2), len(y)
    outcomes = np.unique(keys[:n])
    others = np.isin(keys[n:], outcomes) & (x != y)
    return len(outcomes) >= LAGGED * n and others.sum() >= (n - owner[-1] - 1) / 2


def lag_bias(slope: float, periods: float) -> float:
    """By how much the slope of a lagged outcome is too small beside effects of groups of so many rows.

    Of the least squares that have no other regressor, by Nickell's formula, about (1 + ρ)/(T − 1), at the ρ
    that would give the slope.

    References
    ----------
    Nickell (1981), Biases in dynamic models with fixed effects, Econometrica 49, doi:10.2307/1911408, eq. 18.

    Examples
    --------
    >>> round(lag_bias(-0.25, 2.0), 3)  # exactly (1 + ρ)/2 at T = 2
    0.75
    """
    T, low, high = max(round(periods), 2), -HIGHEST_LAG, HIGHEST_LAG
    for _ in range(LAG_STEPS):  # what the least squares converge to grows with ρ
        rho = (low + high) / 2
        low, high = (low, rho) if rho - _nickell(rho, T) > slope else (rho, high)
    return _nickell(rho, T)


def _nickell(rho: float, T: int) -> float:
    head = 1 - (1 - rho**T) / (T * (1 - rho))
    return (1 + rho) / (T - 1) * head / (1 - 2 * rho * head / ((1 - rho) * (T - 1)))


def centre(columns: Array, sets: Sets) -> Array:
    """Take their group means off columns (n, K), in place; the means (N, K).

    Examples
    --------
    >>> columns = np.array([[1.0], [3.0], [7.0]])
    >>> centre(columns, Sets.of_sizes(np.array([2, 1]))).ravel().tolist(), columns.ravel().tolist()
    ([2.0, 7.0], [-1.0, 1.0, 0.0])
    """
    means = np.empty((len(sets.sizes), columns.shape[1]))
    for column, own in zip(means.T, columns.T, strict=True):
        column[:] = sets.sums(own) / sets.sizes
        own -= column[sets.owner]
    return means


def keys_of(values: pd.Series) -> pd.Series:
    """Values of an absorbed column by which levels are known: numbers, however stored, all else as text.

    ``values`` (n,) has none missing.  Raises: DataError for text among numbers.

    Examples
    --------
    >>> keys_of(pd.Series(["a", "b"], dtype="category")).tolist()
    ['a', 'b']
    >>> keys_of(pd.Series([7, 8], dtype="category")).tolist()
    [7, 8]
    """
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return pd.Series(array)
    what = pd.api.types.infer_dtype(array)
    if what in NUMBERS:
        return pd.Series(array.tolist())
    if what.startswith("mixed"):
        raise DataError(
            f"The absorbed effect column {values.name!r} mixes text, numbers or nested values; give it one "
            f"type, such as text by data[{values.name!r}].astype(str)"
        )
    return values.astype(object).astype(str)


def read_panel(model: Any, data: Any, outcome: str) -> Panel:
    """Read a table by the formula of a specification and the columns that it absorbs.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, NeedsRows
    """
    read, absorbed = _read(model, data, outcome)
    found = [(name, *pd.factorize(keys_of(read.column(name, "absorbed effect")))) for name in absorbed]
    found.sort(key=lambda f: -len(f[2]))
    names, codes = tuple(f[0] for f in found), [f[1].astype(np.intp) for f in found]
    levels = tuple(pd.Index(f[2]) for f in found)
    inside = varying(read.y, codes) if outcome == "binary" else np.ones(read.size, dtype=bool)
    if not inside.any():
        raise OutcomeError(
            f"{read.spec.outcome.name!r} varies inside no {names[0]}: there is nothing to explain."
        )
    kept = tuple(np.bincount(c[inside], minlength=len(f)) > 0 for c, f in zip(codes, levels, strict=True))
    by_group, sets, groups = _by_group(read, model, codes[0], inside)
    shares = tuple(np.bincount(c, read.y) / np.bincount(c) for c in codes)
    others = tuple(c[by_group] for c in codes[1:])
    regressors = tuple(n for n in read.names if n != "Intercept")
    panel = Panel(
        read, names, by_group, sets, groups, regressors, regressors, levels, kept, shares, others, ()
    )
    places = _places(panel)
    own = tuple(f"{names[i]}[{levels[i][j]}]" for i, j in places)
    return panel._replace(names=(*own, *regressors), places=places)


def _read(model: Any, data: Any, outcome: str) -> tuple[FitRows, tuple[str, ...]]:
    """The design without what is absorbed, and the columns that are."""
    formula, absorbed = split_absorbed(model.formula)
    if "lag(" in formula:
        raise FormulaError(
            f"lag() in {model.formula!r} takes the row before, which may be of another {absorbed[0]}: make "
            f"the lag a column, data.groupby({absorbed[0]!r})[column].shift()."
        )
    read = FitRows.read(model, data, formula=formula, outcome=outcome, beside=absorbed)
    if not read.spec.has_intercept:  # effects hold the constant, and factors lose a level beside it
        read = FitRows.read(model, data, formula=f"{formula} + 1", outcome=outcome, beside=absorbed)
    if read.spec.dot:
        raise FormulaError(f"'.' in {model.formula!r} would hold the absorbed columns too: name the columns.")
    return read, absorbed


def varying(y: Array, codes: Sequence[Indices]) -> Mask:
    """Rows of groups, by every absorbed column, in which the outcome varies.

    Examples
    --------
    >>> varying(np.array([0.0, 1.0, 1.0, 1.0]), [np.array([0, 0, 1, 1])]).tolist()
    [True, True, False, False]
    """
    inside, before = np.ones(len(y), dtype=bool), -1
    while before != (before := int(inside.sum())):
        for c in codes:
            n, s = np.bincount(c[inside], minlength=c.max() + 1), np.bincount(c, y * inside, c.max() + 1)
            inside &= ((s > 0) & (s < n))[c]
    return inside


def _by_group(read: FitRows, model: Any, codes: Indices, inside: Mask) -> tuple[Indices, Sets, Indices]:
    """Positions of rows group by group, in the order of time; the groups, and their codes."""
    rows = np.flatnonzero(inside)
    time = getattr(model, "time", None)
    if time is None:
        by_group = rows[np.argsort(codes[rows], kind="stable")]
    else:
        times = read.design.times(time)[rows]
        by_group = rows[np.lexsort((times, codes[rows]))]
        pairs = codes[rows] * (times.max() + 1) + times
        if len(np.unique(pairs)) < len(rows):
            raise DataError(f"The time column {time!r} repeats values inside a group: rows have no order.")
    sizes = np.bincount(codes[rows])
    groups = np.flatnonzero(sizes)
    return by_group, Sets.of_sizes(sizes[groups]), groups


def _places(p: Panel) -> tuple[tuple[int, int], ...]:
    """Levels of effects that are not eliminated, whose columns are independent inside groups."""
    places = tuple((i, j) for i in range(1, len(p.kept)) for j in _beside_first(p.levels[i], p.kept[i]))
    if len(places) > MOST_LEVELS:
        raise OptionError(
            f"{p.absorbed[1]!r} has {int(p.kept[1].sum()):,} levels and would be as many columns: only one "
            f"absorbed column may have more than {MOST_LEVELS:,} levels."
        )
    if not places:
        return ()
    own = p._replace(places=places, names=("",) * len(places)).columns(len(places))
    centre(own, p.sets)
    dropped = set(check_rank([Block(np.zeros(len(own)), own)], own.T @ own).dropped)
    return tuple(place for c, place in enumerate(places) if c not in dropped)


def _beside_first(levels: pd.Index, kept: Mask) -> list[int]:
    """Levels that are kept but the least, which the others are measured from whatever the order of rows."""
    there = np.flatnonzero(kept)
    return [int(j) for j in there if j != there[levels[there].argmin()]]


def check_varying(p: Panel, own: Array, means: Array) -> None:
    """Refuse regressors that do not vary inside groups, and none at all.

    ``own`` (n, K) are the columns less their group ``means`` (N, K).

    Raises
    ------
    CollinearityError
    """
    most = np.maximum(own.max(axis=0, initial=0.0), -own.min(axis=0, initial=0.0))
    size = np.abs(means).max(axis=0, initial=0.0)
    flat = [n for j, n in enumerate(p.names) if most[j] <= FLAT * size[j]]
    if flat:
        one = len(flat) == 1
        raise CollinearityError(
            f"{list_names(flat)} {'does' if one else 'do'} not vary inside {p.absorbed[0]}, whose effects "
            f"hold {'it' if one else 'them'}: leave {'it' if one else 'them'} out."
        )
    if not p.regressors:
        raise CollinearityError(f"The formula has no column that varies inside {p.absorbed[0]}.")
