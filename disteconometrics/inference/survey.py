"""Survey designs: strata, primary sampling units and finite populations, by linearisation.

An estimate moves with every row by its influence; summed in units, centred in strata,

    V = Σ_h (1 − f_h) · n_h/(n_h − 1) · Σ_{u in h} (z_u − z̄_h)(z_u − z̄_h)'

with n_h units in stratum h, of which f_h is the share of the population's.  Rows that the fit leaves out, for
a missing value or a weight of zero, are rows of influence zero: their units count, so that a part of the
population is studied with the design of the whole.

Replicate weights w_r of a survey move the estimate by Σ_i (w_ri/w_i − 1) ψ_i, with the influence ψ of rows,

    V = Σ_r c_r · (Σ_i (w_ri/w_i − 1) ψ_i)(…)'

which is what the estimates of every replicate say to first order, exactly of totals and of the jackknife of
a mean; so every answer that has influence rows has it, without fits.

References
----------
Binder (1983), On the variances of asymptotically normal estimators from complex surveys, International
Statistical Review 51, doi:10.2307/1402588.
Lumley (2004), Analysis of complex survey samples, J. Statistical Software 9(8), doi:10.18637/jss.v009.i08.
Yung, Rao (1996), Jackknife linearization variance estimators under stratified multi-stage sampling, Survey
Methodology 22.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Mask, as_floats, or_ones
from disteconometrics.errors import DataError, LonelyUnitWarning, OptionError, warn_user
from disteconometrics.tables import first_of, printable
from disteconometrics.words import TakesWords

__all__ = [
    "SHIFT",
    "SURVEYED",
    "Replicates",
    "Survey",
    "SurveyDesign",
    "Units",
    "beside",
    "check_units",
    "design_label",
    "design_meat",
    "design_of",
    "design_weights",
    "effective_degrees",
    "replicates_of",
    "units_of",
]

SURVEYED = "survey, "  # with which the label of a covariance from a design begins
SHIFT = 0.5  # of a multiplier that moves a weight, so that all weights stay positive (Fay's factor)
_LONELY = ("centre", "certainty", "raise")
_KINDS = ("BRR", "Fay", "JK1", "JKn", "bootstrap")


@dataclass(frozen=True)
class Survey(TakesWords):
    """Ask for the standard errors of a survey's design, beside the sampling weights of the specification.

    Units are nested in strata: equal labels in two strata are two units.  p-values and limits take t with
    as many degrees of freedom as there are units less strata; those of `Inequality` with fewer, see there.

    Parameters
    ----------
    strata : str, sequence of str or None
        Column of strata; of several columns, their combinations.
    psu : str or None
        Column of primary sampling units; None: every row is one.
    fpc : str or None
        Column with the number of units in the population of the row's stratum, or the share of them that was
        sampled (at most one); None: the population is large, or units were drawn with replacement.
    lonely : {"centre", "certainty", "raise"}
        What a stratum with a single unit adds: its distance from the mean of all units, which is more than
        it would be (with a warning); nothing, as a unit that was certain to be drawn; or an error.
    replicates : sequence of str or None
        Columns of replicate weights, each the whole weight of a row in a replicate, in place of strata and
        units; the weights of the specification are those of the whole sample.  Errors are about the estimate,
        linearised: they differ from those of fits to every replicate in second order.  Degrees of freedom are
        the rank of the replicate weights less one.
    kind : {"BRR", "Fay", "JK1", "JKn", "bootstrap"} or None, how replicates were made; needed with them.
    scale : float, sequence of float or None
        What squares of R replicates are multiplied by; None is 1/R (BRR, bootstrap), 1/(R(1 − rho)²) (Fay),
        (R − 1)/R (JK1); JKn needs one for every replicate, (n − 1)/n with the n units of its stratum.
    rho : float or None, Fay's factor.

    Raises
    ------
    OptionError
        If a column is not a name, or an option is not one of the above.

    Examples
    --------
    >>> Survey(strata="region", psu="county")
    Survey(strata=('region',), psu='county', fpc=None, lonely='centre')
    """

    strata: Any = None
    psu: str | None = None
    fpc: str | None = None
    lonely: str = "centre"
    replicates: Any = None
    kind: str | None = None
    scale: Any = None
    rho: float | None = None

    def __post_init__(self) -> None:
        strata = (self.strata,) if isinstance(self.strata, str) else tuple(self.strata or ())
        names = (*strata, *(c for c in (self.psu, self.fpc) if c is not None))
        listed = () if self.replicates is None else tuple(self.replicates)
        if not all(isinstance(c, str) for c in (*names, *listed)):
            raise OptionError(
                "Survey takes names of columns, as in Survey(strata='region', psu='county'); arrays go into "
                "the data first."
            )
        if self.lonely not in _LONELY:
            raise OptionError(f"lonely={self.lonely!r} is not known; use {', '.join(map(repr, _LONELY))}.")
        object.__setattr__(self, "strata", strata)
        if self.replicates is not None:
            if names:
                raise OptionError("Survey: give replicates=, or strata=, psu= and fpc=, not both.")
            object.__setattr__(self, "replicates", listed)
            object.__setattr__(self, "scale", _scales(self))
        elif not (self.kind is self.scale is self.rho is None):
            raise OptionError(
                "Survey: kind=, scale= and rho= are of replicate weights; name these by replicates=."
            )

    def __repr__(self) -> str:
        if self.replicates is not None:
            return printable(f"Survey(replicates={self.replicates}, kind={self.kind!r}, scale={self.scale})")
        return printable(
            f"Survey(strata={self.strata}, psu={self.psu!r}, fpc={self.fpc!r}, lonely={self.lonely!r})"
        )


def _scales(survey: Survey) -> tuple[float, ...]:
    """What the square of every replicate is multiplied by."""
    R, rho, kind = len(survey.replicates), survey.rho, survey.kind
    if kind not in _KINDS:
        raise OptionError(f"Survey: kind={kind!r} of replicate weights; use {', '.join(map(repr, _KINDS))}.")
    if R < 2 or len(set(survey.replicates)) < R:
        raise OptionError("Survey: replicates= needs at least two columns, each once.")
    if (kind == "Fay") != (rho is not None) or not 0 <= (rho or 0) < 1:
        raise OptionError(
            f"Survey: rho={rho!r}: kind='Fay' needs its factor, at least 0 and below 1; others none."
        )
    if survey.scale is None and kind == "JKn":
        raise OptionError("Survey: kind='JKn' needs scale=, (n - 1)/n of the stratum of every replicate.")
    plain = {"JK1": (R - 1) / R, "Fay": 1 / (R * (1 - (rho or 0)) ** 2)}
    given = plain.get(str(kind), 1 / R) if survey.scale is None else survey.scale
    try:
        scales = np.broadcast_to(as_floats(given), R)
    except (TypeError, ValueError):
        scales = np.full(R, np.nan)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise OptionError(f"scale={given!r:.60}: give a positive number, or one for each of {R} replicates.")
    return tuple(map(float, scales))


class Replicates(NamedTuple):
    """Replicate weights over those of the sample, less one (m, R), scales (R,), degrees of freedom of t."""

    moves: Array
    scales: Array
    degrees: float


def replicates_of(
    survey: Survey, column: Callable[[str, str], pd.Series], used: Indices, weights: Array | None
) -> Replicates:
    """Read the replicate weights of the rows that count.

    Parameters
    ----------
    survey : Survey with replicates.
    column : name and role of a column → all its values (N,).
    used : (m,) positions of the rows that count.
    weights : (m,) float64 array of weights of the sample, None for ones.

    Raises
    ------
    MissingColumnError, DataError

    Examples
    --------
    >>> table = pd.DataFrame({"a": [0.0, 1.5, 1.5], "b": [1.5, 0.0, 1.5], "c": [1.5, 1.5, 0.0]})
    >>> found = replicates_of(Survey(replicates=["a", "b", "c"], kind="JK1"), lambda n, r: table[n],
    ...                       np.arange(3), None)
    >>> found.moves[0].tolist(), found.degrees
    ([-1.0, 0.5, 0.5], 2.0)
    """
    every = [pd.to_numeric(column(c, "replicate weights"), errors="coerce") for c in survey.replicates]
    W = np.column_stack([as_floats(c) for c in every])
    bad = ~(np.isfinite(W[used]) & (W[used] >= 0)).all(axis=0)
    if bad.any():
        raise DataError(
            f"Replicate weights {first_of(np.array(survey.replicates)[bad].tolist())} are missing, negative "
            "or no numbers among the rows used."
        )
    w = or_ones(weights, len(used))
    sizes = W[used].sum(axis=0) / w.sum()
    if not 0.5 < np.median(sizes) < 2:
        raise DataError(
            f"Replicate weights add up to {np.median(sizes):.3g} times those of the sample: they are whole "
            "weights of rows here, so multiply factors by the weights first, and name weights= in the model."
        )
    known = W[np.isfinite(W).all(axis=1)]
    rank = int(np.linalg.matrix_rank(known.T @ known, hermitian=True))
    if rank < 2:
        raise DataError("Survey: replicate weights do not differ, so that there is no spread to see.")
    return Replicates(W[used] / w[:, None] - 1, np.asarray(survey.scale), float(rank - 1))


class Units(NamedTuple):
    """The units of a design: of every row that counts (m,), their strata (U,), 1 − f by stratum (H,).

    ``present`` (U,) are the units with rows in the fit, ``strata`` the names of the strata.
    """

    codes: Indices
    stratum: Indices
    left: Array
    present: Mask
    strata: tuple[str, ...]

    @property
    def degrees(self) -> float:
        """Units less strata, of those with rows in the fit."""
        return float(self.present.sum() - len(np.unique(self.stratum[self.present])))


SurveyDesign = Units | Replicates


def design_of(
    survey: Survey,
    column: Callable[[str, str], pd.Series],
    used: Indices,
    weights: Array | None,
    rows: int,
) -> SurveyDesign:
    """Read a survey's units, or its replicate weights; see `units_of` and `replicates_of`."""
    if survey.replicates is not None:
        return replicates_of(survey, column, used, weights)
    return units_of(survey, column, used, rows)


def design_label(survey: Survey, design: SurveyDesign) -> str:
    """How tables name the covariance from a design.

    Examples
    --------
    >>> units = Units(np.arange(4), np.array([0, 0, 1, 1]), np.ones(2), np.ones(4, bool), ("a", "b"))
    >>> design_label(Survey(strata="s"), units)
    'survey, 2 strata, 4 units'
    """
    if isinstance(design, Replicates):
        return f"{SURVEYED}{len(design.scales)} replicates, {survey.kind}"
    H = len(design.left)
    return f"{SURVEYED}{H} {'stratum' if H == 1 else 'strata'}, {len(design.stratum)} units"


def beside(one: Units, other: Units) -> Units:
    """The units of two samples that were drawn apart: no stratum is that of the other.

    Examples
    --------
    >>> units = Units(np.arange(2), np.zeros(2, int), np.ones(1), np.ones(2, bool), ("a",))
    >>> beside(units, units).codes, beside(units, units).degrees
    (array([0, 1, 2, 3]), 2.0)
    """
    return Units(
        np.append(one.codes, other.codes + len(one.stratum)),
        np.append(one.stratum, other.stratum + len(one.left)),
        np.append(one.left, other.left),
        np.append(one.present, other.present),
        (*one.strata, *other.strata),
    )


def units_of(survey: Survey, column: Callable[[str, str], pd.Series], used: Indices, rows: int) -> Units:
    """Read a design from all rows of a table.

    Parameters
    ----------
    survey : Survey.
    column : name and role of a column → all its values (N,).
    used : (m,) positions of the rows that count.
    rows : int, N, all rows of the table.

    Raises
    ------
    MissingColumnError, DataError
        If a column is not there, or is missing in rows that count; if finite populations make no sense.

    Examples
    --------
    >>> table = pd.DataFrame({"s": ["a", "a", "b", "b"], "u": [1, 2, 1, 1]})
    >>> units_of(Survey(strata="s", psu="u"), lambda name, role: table[name], np.arange(4), 4).codes
    array([0, 1, 2, 2])
    """
    roles = dict.fromkeys(survey.strata, "strata") | ({} if survey.psu is None else {survey.psu: "psu"})
    values = {name: pd.Series(np.asarray(column(name, role))) for name, role in roles.items()}
    fpc = None if survey.fpc is None else pd.Series(np.asarray(column(survey.fpc, "fpc")))
    for name, series in {**values, **({} if fpc is None else {str(survey.fpc): fpc})}.items():
        missing = int(series.iloc[used].isna().sum())
        if missing:
            raise DataError(
                f"The survey column {name!r} has {missing} missing values among the {len(used)} rows used; "
                "fill them, or give these rows weight zero."
            )
    unknown = np.logical_or.reduce([np.zeros(rows, dtype=bool), *(s.isna() for s in values.values())])
    known = np.flatnonzero(~unknown)
    stratum, names = _joint([values[name].iloc[known] for name in survey.strata], len(known))
    inside = known if survey.psu is None else pd.factorize(values[survey.psu].iloc[known])[0]
    unit, keys = pd.factorize(stratum * np.int64(rows + 1) + inside)
    first = np.unique(unit, return_index=True)[1]
    of_row = np.full(rows, -1, dtype=np.intp)
    of_row[known] = unit
    present = np.bincount(of_row[used], minlength=len(keys)) > 0
    counts = np.bincount(stratum[first], minlength=len(names))
    left = np.ones(len(names))
    if fpc is not None:
        left = _left(as_floats(fpc.iloc[known]), stratum, counts, names, str(survey.fpc))
    return Units(of_row[used], stratum[first].astype(np.intp), left, present, names)


def _joint(columns: list[pd.Series], rows: int) -> tuple[Any, tuple[str, ...]]:
    """Codes (n,) of the combinations of columns, and their names."""
    if not columns:
        return np.zeros(rows, dtype=np.int64), ("all",)
    text = columns[0].astype(str)
    for other in columns[1:]:
        text = text + " × " + other.astype(str)
    codes, names = pd.factorize(text)
    return codes.astype(np.int64), tuple(map(str, names))


def _left(fpc: Array, stratum: Any, counts: Any, names: tuple[str, ...], column: str) -> Array:
    """1 − f by stratum (H,), from populations or shares by row (n,)."""
    given = ~np.isnan(fpc)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(low, stratum[given], fpc[given])
    np.maximum.at(high, stratum[given], fpc[given])
    uneven = np.flatnonzero(low != high)
    if len(uneven):
        where = first_of([names[h] for h in uneven])
        raise DataError(f"The fpc column {column!r} must have one value in a stratum; it has not in {where}.")
    share = low if (low <= 1).all() else counts / np.maximum(low, 1e-300)
    wrong = np.flatnonzero(~((low > 0) & (share <= 1)))
    if len(wrong):
        raise DataError(
            f"The fpc column {column!r} gives fewer units in the population than there are in the sample, in "
            f"{first_of([names[h] for h in wrong])}; it holds numbers of units, or shares of at most one in "
            "every stratum."
        )
    return np.asarray(1 - share)


def design_meat(sums: Array, units: Units, survey: Survey) -> tuple[Array, float]:
    """Σ_h (1 − f_h) n_h/(n_h − 1) Σ_u (z_u − z̄_h)(z_u − z̄_h)' of sums by unit (U, k), and degrees of freedom.

    Raises
    ------
    DataError
        If no stratum has two units, or one has a single unit and that is to be an error.

    Warns
    -----
    LonelyUnitWarning

    Examples
    --------
    >>> units = Units(np.arange(4), np.array([0, 0, 1, 1]), np.ones(2), np.ones(4, bool), ("a", "b"))
    >>> design_meat(np.array([[1.0], [-1.0], [2.0], [-2.0]]), units, Survey(strata="s"))
    (array([[20.]]), 2.0)
    """
    check_units(units, survey)
    centred = _centred(sums, units, np.bincount(units.stratum, minlength=len(units.left)), survey)
    return centred.T @ centred, units.degrees


def check_units(units: Units, survey: Survey) -> None:
    """Refuse units that show no spread, and tell of strata with a single one.

    Raises
    ------
    DataError
        If no stratum has two units, or one has a single unit and that is to be an error.

    Warns
    -----
    LonelyUnitWarning
    """
    n = np.bincount(units.stratum, minlength=len(units.left))
    if not (n > 1).any() or units.degrees <= 0:
        raise DataError(
            f"Survey: {len(units.stratum)} units in {len(n)} strata leave nothing to see a spread by; strata "
            "need two units. Merge strata, or name the units by psu=."
        )
    lonely = np.flatnonzero((n == 1) & (units.left > 0))
    if len(lonely):
        _tell_lonely([units.strata[h] for h in lonely], survey.lonely)


def _centred(sums: Array, units: Units, n: Indices, survey: Survey) -> Array:
    """Sums by unit (U, k) centred in strata of n (H,) units, with the root of their factor."""
    means = np.stack([np.bincount(units.stratum, z, len(n)) for z in sums.T], axis=1) / n[:, None]
    means[n == 1] = 0.0  # the mean of all units, as influence sums to zero
    return np.asarray((sums - means[units.stratum]) * _roots(units, n, survey)[:, None])


def effective_degrees(rows: Array, units: Units, survey: Survey) -> Array:
    """Degrees of freedom (q,) of each of several answers: V²/Σ_h V_h²/(n_h − 1), at most units less strata.

    V_h is what stratum h adds to the variance V (Satterthwaite).  Where few strata or units carry most of
    it, as of skewed incomes, that is far fewer than units less strata.

    Parameters
    ----------
    rows : (m, q) float64 array of influence, as it sums to zero.
    units : Units.
    survey : Survey.

    Returns
    -------
    (q,) float64 array, units less strata where there is no variance.

    References
    ----------
    Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics
    Bulletin 2, doi:10.2307/3002019.

    Examples
    --------
    >>> units = Units(np.arange(4), np.array([0, 0, 1, 1]), np.ones(2), np.ones(4, bool), ("a", "b"))
    >>> effective_degrees(np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 0.1], [-1.0, -0.1]]), units,
    ...                   Survey()).round(3)
    array([2.  , 1.02])
    """
    n = np.bincount(units.stratum, minlength=len(units.left))
    sums = as_floats(np.stack([np.bincount(units.codes, z, len(units.stratum)) for z in rows.T], axis=1))
    squares = np.square(_centred(sums, units, n, survey))
    parts = np.stack([np.bincount(units.stratum, z, len(n)) for z in squares.T], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = parts.sum(axis=0) ** 2 / (parts**2 / np.maximum(n - 1, 1)[:, None]).sum(axis=0)
    return np.asarray(np.fmin(found, units.degrees))


def _roots(units: Units, n: Indices, survey: Survey) -> Array:
    """Roots (U,) of (1 − f_h) n_h/(n_h − 1), of a lonely unit what it adds."""
    factor = np.where(n > 1, n / np.maximum(n - 1, 1), float(survey.lonely == "centre")) * units.left
    return np.asarray(np.sqrt(factor)[units.stratum])


def design_weights(signs: Array, units: Units, survey: Survey) -> Array:
    """Positive weights (B, U) of units under which answers vary `SHIFT` times as much as the design says.

    Independent signs centred in strata, times the root of (1 − f_h) n_h/(n_h − 1), are multipliers of the
    sums in units with the covariance of `design_meat`; they are less than two, so that half of them keeps
    weights positive.

    Parameters
    ----------
    signs : (B, U) float64 array of 1 and −1.
    units : Units.
    survey : Survey.

    Returns
    -------
    (B, U) float64 array

    References
    ----------
    Judkins (1990), Fay's method for variance estimation, J. Official Statistics 6.

    Examples
    --------
    >>> units = Units(np.arange(2), np.array([0, 0]), np.ones(1), np.ones(2, bool), ("a",))
    >>> design_weights(np.array([[1.0, -1.0], [1.0, 1.0]]), units, Survey()).round(3)
    array([[1.707, 0.293],
           [1.   , 1.   ]])
    """
    order = np.argsort(units.stratum, kind="stable")
    n = np.bincount(units.stratum, minlength=len(units.left))
    starts = np.flatnonzero(np.diff(units.stratum[order], prepend=-1))
    means = np.zeros((len(signs), len(n)))
    means[:, n > 0] = np.add.reduceat(signs[:, order], starts, axis=1) / n[n > 0]
    means[:, n == 1] = 0.0
    return np.asarray(1 + SHIFT * (signs - means[:, units.stratum]) * _roots(units, n, survey))


def _tell_lonely(names: list[str], lonely: str) -> None:
    have = "stratum has" if len(names) == 1 else "strata have"
    what = f"{len(names)} {have} a single unit: {first_of(names)}"
    if lonely == "raise":
        raise DataError(f"Survey: {what}. Merge them with others, or take lonely='centre' or 'certainty'.")
    if lonely == "centre":
        hint = "merge strata, or Survey(lonely='certainty') where the unit was certain to be drawn"
        text = (
            f"Survey: {what}; each adds its distance from the mean of all units, which is too much; {hint}."
        )
        warn_user(LonelyUnitWarning(text, hint=hint))
