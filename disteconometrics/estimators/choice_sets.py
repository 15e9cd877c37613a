"""Long data of choice sets: reading them set by set, their alternatives, what is identified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Seed
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import list_names
from disteconometrics.errors import CollinearityError, DataError, OptionError, OutcomeError
from disteconometrics.estimators.multinomial import base_of
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.conditional import Sets, centred

__all__ = [
    "Alternatives",
    "ChoiceRows",
    "ChoiceSets",
    "SetChoices",
    "alternatives_of",
    "columns_of",
    "read_sets",
    "with_equation",
]

FLAT = 1e-10  # of the largest value of a column, below which it does not vary inside sets


@dataclass(frozen=True, eq=False, kw_only=True)
class ChoiceRows(FitRows):
    """The rows behind a result and the estimating equation of its coefficients, whose units are sets.

    ``by_set`` (N,) are the rows of the design set by set, those of sets without a choice left out.
    """

    equation: MEstimate
    by_set: Indices
    sets: Sets


class Alternatives(NamedTuple):
    """The column that names the alternatives, its values with the base first, and codes (N,) of rows."""

    column: str
    levels: tuple[Any, ...]
    codes: Indices


class ChoiceSets(NamedTuple):
    """Rows of a design set by set.

    ``by_set`` (N,) are positions in the design, ``weights`` (n,) those of sets as the likelihood has them,
    ``lone`` the sets without a choice to explain.
    """

    read: FitRows
    by_set: Indices
    sets: Sets
    y: Array
    weights: Array | None
    lone: int
    alternatives: Alternatives | None


@dataclass(frozen=True, eq=False)
class SetChoices:
    """The joint law of rows of choice sets (N,) with probabilities (N,): one row of each set is chosen.

    Examples
    --------
    >>> law = SetChoices(np.array([0.2, 0.8, 1.0, 0.0]), np.array([0, 0, 1, 1]))
    >>> law.sample(2, seed=1).sum(axis=0).tolist()
    [2.0, 2.0]
    """

    probabilities: Array
    sets: Indices

    def sample(self, m: int, *, seed: Seed = None) -> Array:
        """m draws (N, m) of 0 and 1: the largest of the utilities of a set, with Gumbel noise."""
        rng = np.random.default_rng(seed)
        out = np.zeros((len(self.sets), m))
        with np.errstate(divide="ignore"):
            utility = np.log(self.probabilities)
        for j in range(m):
            order = np.lexsort((utility + rng.gumbel(size=len(utility)), self.sets))
            out[order[np.flatnonzero(np.diff(self.sets[order], append=-1))], j] = 1.0
        return out


# ---- reading -----------------------------------------------------------------------------------------------


def read_sets(model: Any, data: Any) -> ChoiceSets:
    """Read a long table by the formula and the ``choice`` column of a specification.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError
    """
    read = FitRows.read(model, data, outcome="binary")
    codes, _ = read.design.codes((model.choice,), role="choice set")
    found = alternatives_of(read, codes)
    if model.base is not None:
        found = _with_base(found, model.base)
        if found.levels != _levels(read, found.column):
            again = _reordered(data, read, found)
            read = FitRows.read(model, again, outcome="binary")
            if _levels(read, found.column)[0] != found.levels[0]:
                raise OptionError(
                    f"base={model.base!r}, but the formula names another base of {found.column}: leave one "
                    f"out."
                )
    _check_whole(model, read, codes)
    return _sorted(model, read, codes, found)


def alternatives_of(read: FitRows, codes: Indices) -> Alternatives | None:
    """The categorical variable of the right side whose values differ inside every set, if there is one.

    Examples
    --------
    >>> import disteconometrics as de
    >>> table = {"y": [1, 0, 0, 1], "mode": ["car", "bus", "car", "bus"], "id": [1, 1, 2, 2]}
    >>> read = FitRows.read(de.Logit("y ~ mode"), table, outcome="binary")
    >>> alternatives_of(read, np.array([0, 0, 1, 1])).levels
    ('bus', 'car')
    """
    rows = read.scenario()
    for name in read.spec.variables:
        levels = rows.levels(name) if any(name in f.row_variables for f in read.spec.parsed.factors) else None
        if levels is None:
            continue
        series = read.column(name, "the formula")
        place = pd.Index(list(levels), dtype=object).get_indexer(pd.Index(series.astype(object)))
        pairs = np.sort(codes * (len(levels) + 1) + place)
        if np.all(np.diff(pairs) > 0):
            return Alternatives(name, levels, place.astype(np.intp))
    return None


def _levels(read: FitRows, column: str) -> tuple[Any, ...]:
    return read.scenario().levels(column) or ()


def _with_base(found: Alternatives | None, base: Any) -> Alternatives:
    """Alternatives with another one as the base."""
    if found is None:
        raise OptionError(
            f"base={base!r} needs a column of alternatives in the formula, such as C(mode), whose values "
            f"differ inside every choice set; there is none."
        )
    at = base_of(base, found.levels, found.column)
    levels = (found.levels[at], *(v for i, v in enumerate(found.levels) if i != at))
    place = np.array([levels.index(v) for v in found.levels])
    return Alternatives(found.column, levels, place[found.codes].astype(np.intp))


def _reordered(data: Any, read: FitRows, found: Alternatives) -> Any:
    """The table with the alternatives in another order, which the coding of columns follows."""
    table = read.design.table
    raw = table.raw(found.column, "the formula")
    values = pd.Categorical(pd.Series(raw).astype(object), list(found.levels))
    if table.kind == "pandas":
        return data.assign(**{found.column: values})
    columns = {name: table.raw(name, "the data") for name in table.names if isinstance(name, str)}
    return {**columns, found.column: values}


def _check_whole(model: Any, read: FitRows, codes: Indices) -> None:
    """Refuse sets of which some rows were dropped: the choice would have been from others."""
    kept = read.design.kept
    if kept is None or model.successes == "exact":
        return
    every = pd.factorize(pd.Series(read.design.table.raw(model.choice, "choice set")))[0]
    lost = np.ones(len(every), dtype=bool)
    lost[kept] = False
    torn = np.intersect1d(every[lost], every[kept])
    torn = torn[torn >= 0]
    if len(torn):
        raise DataError(
            f"{len(torn)} choice sets ({model.choice}) lose some of their rows and keep others, because of "
            f"missing values or weights of zero, so that the choice would be from other alternatives than it "
            f"was. Fill the values, or drop these sets, or the alternatives, on purpose before the fit."
        )


def _sorted(model: Any, read: FitRows, codes: Indices, found: Alternatives | None) -> ChoiceSets:
    """Rows set by set, without sets that have nothing to explain."""
    by_set = np.argsort(codes, kind="stable").astype(np.intp)
    sets = Sets.of_sizes(np.bincount(codes))
    successes = sets.sums(read.y[by_set])
    if model.successes == "one":
        _check_one(model, read, by_set, sets, successes)
    useful = (successes > 0) & (successes < sets.sizes)
    if not useful.any():
        raise OutcomeError(
            f"No choice set ({model.choice}) has a chosen and another alternative: nothing to explain."
        )
    by_set = by_set[useful[sets.owner]]
    own = Sets.of_sizes(sets.sizes[useful])
    weights = _weights(model, read, by_set, own)
    return ChoiceSets(read, by_set, own, read.y[by_set], weights, int((~useful).sum()), found)


def _check_one(model: Any, read: FitRows, by_set: Indices, sets: Sets, successes: Array) -> None:
    """Refuse sets with no choice, and with several."""
    none, several = np.flatnonzero(successes == 0), np.flatnonzero(successes > 1)
    if not len(none) and not len(several):
        return
    name = read.spec.outcome.name
    ids = read.column(model.choice, "choice set").to_numpy()[by_set[sets.starts]]
    parts = [
        f"{len(at)} have {words} (first {model.choice} = {list_names(ids[at[:3]].tolist())})"
        for at, words in ((none, "none"), (several, "several"))
        if len(at)
    ]
    raise OutcomeError(
        f"Every choice set ({model.choice}) must have exactly one row with {name} = "
        f"{read.spec.outcome.success}; {' and '.join(parts)}. Matched case-control and panel data, whose "
        f"sets may have any number, take successes='exact'."
    )


def _weights(model: Any, read: FitRows, by_set: Indices, sets: Sets) -> Array | None:
    """Weights of sets (n,), which all of their rows carry; sampling weights have mean one over sets."""
    if read.weights is None:
        return None
    w = read.weights[by_set]
    own = w[sets.starts]
    if np.any(w != own[sets.owner]):
        raise DataError(
            f"The weights {model.weights!r} differ inside choice sets ({model.choice}); a set has one "
            f"weight, which all of its rows carry."
        )
    return np.asarray(own if read.frequency else own / own.mean())


# ---- identification ----------------------------------------------------------------------------------------


def columns_of(spec: DesignSpec, X: Array, sets: Sets, found: Alternatives | None) -> list[int]:
    """Positions of the columns that vary inside sets, without the base of every set of alternatives' columns.

    Parameters
    ----------
    spec : DesignSpec of K columns.
    X : (N, K) float64 array, set by set.
    sets : Sets
    found : Alternatives or None

    Raises
    ------
    CollinearityError
        If columns do not vary inside sets.
    """
    at = [j for j, name in enumerate(spec.names) if name != "Intercept"]
    Z = centred(X, sets)
    size = np.abs(X).max(axis=0, initial=0.0)
    dropped = set() if found is None else _bases(spec, Z, size, found)
    kept = [j for j in at if j not in dropped]
    flat = [spec.names[j] for j in kept if np.abs(Z[:, j]).max(initial=0.0) <= FLAT * size[j]]
    if flat:
        one = len(flat) == 1
        by = f"C({found.column})" if found is not None else "a column of the alternatives"
        raise CollinearityError(
            f"{list_names(flat)} {'does' if one else 'do'} not vary inside choice sets, so that "
            f"{'it has' if one else 'they have'} no coefficient. Leave {'it' if one else 'them'} out, or "
            f"interact {'it' if one else 'them'} with {by}."
        )
    if not kept:
        raise CollinearityError("The formula has no column that varies inside choice sets.")
    return kept


def _bases(spec: DesignSpec, Z: Array, size: Array, found: Alternatives) -> set[int]:
    """Columns of the base in sets of columns, one for each alternative, whose sum is constant inside sets."""
    names = {name: j for j, name in enumerate(spec.names)}
    factors = [f.name for f in spec.parsed.factors if found.column in f.variables]
    out = set()
    for factor in factors:
        pieces = [f"{factor}[{level}]" for level in found.levels]
        for name, j in names.items():
            parts = name.split(":")
            if pieces[0] not in parts:
                continue
            i = parts.index(pieces[0])
            siblings = [names.get(":".join([*parts[:i], piece, *parts[i + 1 :]])) for piece in pieces]
            every = [s for s in siblings if s is not None]
            if np.abs(Z[:, every].sum(axis=1)).max() <= FLAT * max(size[every].max(), 1e-300):
                out.add(j)
    return out


def with_equation(read: ChoiceSets, equation: MEstimate) -> ChoiceRows:
    """The rows of a fit, whose clusters are those of sets."""
    units = np.full(read.read.size, -1, dtype=np.intp)
    units[read.by_set] = read.sets.owner
    first = read.by_set[read.sets.starts]
    rows = ChoiceRows(read.read.design, equation=equation, by_set=read.by_set, sets=read.sets)
    return replace(rows, counted=first, units=units)
