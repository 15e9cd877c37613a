"""The two groups of a decomposition: their rows, fits, overlap and how they are crossed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Indices, or_ones
from disteconometrics.data.table import Table
from disteconometrics.errors import DataError, ExtrapolationWarning, LevelError, OptionError, warn_user
from disteconometrics.estimators.crossing import Crossing, codes_of
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import fingerprint
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.crossed_laws import AllRows, AveragedRows
from disteconometrics.inference.decomposition import outside
from disteconometrics.inference.resample import sequence_of, take_rows
from disteconometrics.inference.survey import Survey, SurveyDesign, Units, check_units, design_of

__all__ = [
    "CROSSED",
    "DecompositionFacts",
    "DecompositionRows",
    "TwoGroups",
    "fit_groups",
    "group_facts",
    "read_two_groups",
    "reference_of",
    "shares_beyond",
    "warn_beyond",
]

LITTLE = 0.2  # share of rows outside the other group's covariates from which a warning says so
# Kinds of files of results whose laws can be averaged over other rows.
CROSSED = (
    "CLogLog",
    "DistributionRegression",
    "FlowDensity",
    "HurdleFlowDensity",
    "HurdleNormalRegression",
    "Logit",
    "NormalRegression",
    "Probit",
)


@dataclass(frozen=True, kw_only=True)
class DecompositionFacts(FitFacts):
    """Numbers of a decomposition that need no rows.

    ``group``, ``labels`` and ``sizes`` of the two groups, ``reference`` as it prints; ``beyond``, shares of
    the rows of group 0 outside the covariates of group 1 and of group 1 outside those of group 0; ``w1`` of
    the two laws that each part compares; ``tests`` of no effect: largest |t| with its p-value, mean t² with
    its, p-values of dominance; ``heaped``, whether bands of F are inverted for differences; ``clusters``; of
    a survey its ``design`` and the ``degrees`` of freedom that it leaves.
    """

    group: str
    labels: tuple[str, str]
    sizes: tuple[Count, Count]
    reference: str
    laws: tuple[str, ...]
    functionals: tuple[str, ...]
    beyond: tuple[AnyFloat, AnyFloat]
    w1: tuple[AnyFloat, AnyFloat, AnyFloat]
    tests: tuple[tuple[AnyFloat, AnyFloat, AnyFloat, AnyFloat, AnyFloat, AnyFloat], ...]
    heaped: bool
    steps: bool
    clusters: Count | None
    design: str | None = None
    degrees: AnyFloat | None = None

    @property
    def df(self) -> float:
        """Degrees of freedom of t."""
        if self.degrees is not None:
            return self.degrees
        return np.inf if self.clusters is None else float(self.clusters - 1)


@dataclass(frozen=True, eq=False)
class TwoGroups:
    """Positions of the rows of two groups, what their values print as, rows given and without a group."""

    at: tuple[Indices, Indices]
    values: tuple[Any, Any]
    given: int
    missing: int

    @property
    def labels(self) -> tuple[str, str]:
        """The values as texts."""
        first, second = (f"{v:g}" if isinstance(v, (float, np.floating)) else str(v) for v in self.values)
        return first, second


def read_two_groups(data: Any, by: str) -> TwoGroups:
    """Read the column of groups.

    Raises
    ------
    DataError, MissingColumnError
    """
    raw = Table(data).raw(by, "by=")
    series = pd.Series(raw.array if isinstance(raw, (pd.Series, pd.Index)) else np.asarray(raw))
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.cat.remove_unused_categories()
        codes, values = series.cat.codes.to_numpy(), list(series.cat.categories)
    else:
        codes, found = pd.factorize(series, sort=True)
        values = list(found)
    if len(values) != 2:
        shown = ", ".join(map(repr, values[:5])) + (", …" if len(values) > 5 else "")
        raise DataError(
            f"by={by!r} has {len(values)} values ({shown}), and two groups are compared: keep the rows of "
            "two, or make a column of two values."
        )
    at = np.flatnonzero(codes == 0), np.flatnonzero(codes == 1)
    return TwoGroups(at, (values[0], values[1]), len(series), int((codes < 0).sum()))


@dataclass(frozen=True, eq=False)
class DecompositionRows:
    """The fits of both groups, that of all rows where it is the reference, and how they are crossed."""

    fits: tuple[Any, ...]
    groups: TwoGroups
    tables: tuple[Any, Any]
    kind: CovarianceKind
    whole: Any

    def fingerprint(self) -> str:
        """A digest of outcomes and weights."""
        return fingerprint(*(a for f in self.fits[:2] for a in (f.rows.y, f.rows.weights)))

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows used of both groups."""
        return self.fits[0].rows.size, self.fits[1].rows.size

    def crossing(self, pairs: Any, draws: int, seed: Any) -> Crossing:
        """Both groups' rows side by side."""
        n, m = self.sizes
        at: tuple[Indices, ...] = (np.arange(n), np.arange(n, n + m))
        rows = [f.rows for f in self.fits]
        parts = [(a, lambda c, r=r: r.column(c, "cluster")) for a, r in zip(at, rows, strict=False)]
        frequency = rows[0].frequency
        copies = np.concatenate([r.weights for r in rows[:2]]) if frequency else None
        averages = tuple(
            AveragedRows(a, r.weights, r.spec.weight_type) for a, r in zip(at, rows, strict=False)
        )
        every = AllRows(n + m, self.kind, codes_of(parts, n + m), at, copies, self._surveyed)
        if len(self.fits) > 2:  # all rows in the order of the table
            at = (*at, np.argsort(self._positions_of_all, kind="stable"))
        own = (0, 1)
        return Crossing(self.fits, at, self.tables, averages, own, pairs, every, draws, sequence_of(seed))

    def _surveyed(self, survey: Survey) -> SurveyDesign:
        """The design of the whole table."""
        table, w = Table(self.whole), [f.rows.weights for f in self.fits[:2]]
        weights = None if w[0] is None else np.concatenate(w)
        return design_of(survey, table.series, self._positions_of_all, weights, len(table))

    def check_design(self) -> None:
        """Refuse a survey that shows no spread, and tell of strata with a single unit."""
        design = self._surveyed(self.kind) if isinstance(self.kind, Survey) else None
        if isinstance(self.kind, Survey) and isinstance(design, Units):
            check_units(design, self.kind)

    @property
    def _positions_of_all(self) -> Indices:
        """Places in the table of the rows of both groups, one group after the other."""
        parts = zip(self.groups.at, self.fits, strict=False)
        return np.concatenate(
            [at if f.rows.design.kept is None else at[f.rows.design.kept] for at, f in parts]
        )


def fit_groups(
    model: Any, data: Any, groups: TwoGroups, kind: CovarianceKind, options: Mapping[str, Any]
) -> DecompositionRows:
    """Fit the groups, and all rows together where that is the reference."""
    estimator = model.estimator
    taken = set(signature(estimator.fit).parameters)
    own = {name: value for name, value in options.items() if name in taken}
    parts = [take_rows(data, at) for at in groups.at]
    fits = [
        _fit_of(estimator, part, model.by, label, own)
        for part, label in zip(parts, groups.labels, strict=True)
    ]
    if model.reference == "pooled" and "pooled" not in groups.labels:
        fits.append(estimator.fit(take_rows(data, np.sort(np.concatenate(groups.at))), **own))
    kept = [f.rows.design.kept for f in fits[:2]]
    first, second = (p if k is None else take_rows(p, k) for p, k in zip(parts, kept, strict=True))
    return DecompositionRows(tuple(fits), groups, (first, second), kind, data)


def _fit_of(estimator: Any, part: Any, by: str, label: str, options: Mapping[str, Any]) -> Any:
    """The fit of one group, with the group in the words of what goes wrong."""
    if not len(Table(part)):
        raise DataError(f"Group {by} = {label} has no rows.")
    try:
        fit = estimator.fit(part, **options)
    except DataError as error:
        raise type(error)(f"Group {by} = {label}: {error}") from error
    if not hasattr(fit, "crossed") or fit.spec is None:
        raise OptionError(
            f"{type(estimator).__name__} has no law here that is averaged over other rows; use "
            f"{', '.join(CROSSED)}."
        )
    if not fit.spec.variables:
        raise OptionError(f"{estimator.formula!r} has no covariates, so there is no composition.")
    return fit


def reference_of(model: Any, groups: TwoGroups) -> int | None:
    """Which group is the reference, None for the pooled fit.

    Raises
    ------
    OptionError
    """
    if model.reference is None:
        return 0
    for i, (value, label) in enumerate(zip(groups.values, groups.labels, strict=True)):
        if model.reference == value or str(model.reference) == label:
            return i
    if model.reference == "pooled":
        return None
    raise OptionError(
        f"reference={model.reference!r} is no value of {model.by!r}; use {groups.values[0]!r}, "
        f"{groups.values[1]!r} or 'pooled'."
    )


def shares_beyond(rows: DecompositionRows) -> tuple[float, float]:
    """Shares of the rows of each group outside the other's covariates.

    Raises
    ------
    LevelError
    """
    found = []
    for k in (0, 1):
        other, own = rows.fits[1 - k], rows.fits[k].rows
        w = or_ones(own.weights, own.size)
        try:
            X = other.spec.matrix(rows.tables[k]).X
        except LevelError as error:
            where = f"{rows.groups.labels[k]} lacks common support with {rows.groups.labels[1 - k]}"
            raise LevelError(f"Group {where}: {error}. Merge levels, or leave those rows out") from error
        found.append(outside(X, other.rows.X, w / w.sum()))
    return found[0], found[1]


def warn_beyond(beyond: tuple[float, float], reference: int | None, by: str, labels: tuple[str, str]) -> None:
    """Say where the coefficients of the reference are carried to rows that it has nothing like.

    Warns
    -----
    ExtrapolationWarning
    """
    if reference is None or beyond[1 - reference] < LITTLE:
        return
    hint = "compare rows of common support, or use a linear law if you believe it"
    warn_user(
        ExtrapolationWarning(
            f"{100 * beyond[1 - reference]:.0f} % of the rows with {by} = {labels[1 - reference]} have a "
            f"covariate outside its range in the reference group {labels[reference]}: their counterfactual "
            "law is an extrapolation.",
            hint=hint,
        )
    )


def group_facts(rows: DecompositionRows, by: str) -> dict[str, Any]:
    """What became of the rows of both groups."""
    facts = [f.facts for f in rows.fits[:2]]
    dropped: dict[str, int] = {by: rows.groups.missing} if rows.groups.missing else {}
    for f in facts:
        for name, count in f.dropped.items():
            dropped[name] = dropped.get(name, 0) + count
    return {
        "rows": sum(f.rows for f in facts),
        "given": rows.groups.given,
        "dropped": dropped,
        "zero_weight": sum(f.zero_weight for f in facts),
        "observations": sum(f.observations for f in facts),
    }
