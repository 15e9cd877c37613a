"""What can be wrong with the rows of a density: too few, no variation, outside the support, shared values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.blocks import Block
from disteconometrics.data.recorded import Records
from disteconometrics.distributions.support import Support
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DiscreteOutcomeWarning,
    ExtrapolationWarning,
    FormulaError,
    HardEdgeWarning,
    LeverageWarning,
    NeedsRows,
    OutcomeError,
    SmallSampleWarning,
    warn_user,
)
from disteconometrics.estimators.flow.spline_sample import order_statistics
from disteconometrics.optim.rank import check_rank
from disteconometrics.optim.wording import describe_collinearity

__all__ = [
    "Ties",
    "check_columns",
    "check_edges",
    "check_residual",
    "check_rows",
    "check_support",
    "check_widths",
    "covariate_names",
    "inexact",
    "not_of_source",
    "ties",
    "warn_outside",
    "warn_ties",
]

ATOM = 0.05  # share of one value that no density has
HEAPED = 0.25  # share of all heaps together
HEAP_RATIO = 5.0  # times the median count of the values around, from which on a value is a heap
PILED_RATIO = 2.0  # the same for the lowest and the highest value, beside four Poisson deviations
NARROW = 1e-6  # standard deviation on the line of a support below which moments lose half their digits
FEW_VALUES = 0.1  # distinct values per row below which an outcome is discrete
# times the median width from which on the law of a row is told; 1 to 4 is common, 16 the most seen
WIDE = 20.0
SCALE = 10  # distinct values from which on the largest may be a cap
LEAST_COUNT = 6.0  # rows on a value before it is looked at
# rows at an end, √(5N), whose spread is compared with that of as many next to them, and N from which on
EDGE_ROWS, EDGE_FROM = 5.0, 200.0
# ratio of the two from which on an end is hard: 1 for a uniform law, .25 for a normal one
EDGE = 0.85


@dataclass(frozen=True)
class Ties:
    """Values that many rows share: discrete, heaped or piled at an end; their share of the rows, the most
    frequent ones, and ``sides``, what may say why on the left side, with {0} for the outcome."""

    kind: str
    share: float
    values: tuple[float, ...]
    distinct: int
    sides: tuple[str, ...] = ()

    def words(self, name: str, rows: float) -> str:
        """The sentence of the warning and of the summary."""
        shown = ", ".join(f"{v:g}" for v in self.values[:5]) + (", …" if len(self.values) > 5 else "")
        if self.kind == "discrete":
            return (
                f"{name!r} is discrete: {self.distinct} distinct values in {rows:g} rows, "
                f"{self.share:.0%} of which share the "
                f"values {shown}. A density depends on how finely these are told apart."
            )
        if self.kind == "piled":
            return (
                f"{self.share:.1%} of the rows of {name!r} are piled at its lowest or highest value "
                f"({shown}: zeros, a top-code or another limit of records). The density smooths over them."
            )
        return (
            f"{self.share:.0%} of the rows of {name!r} share the tied values {shown} (duplicates far "
            f"more frequent than the "
            "values around them: atoms or rounding). The density smooths over them."
        )


def ties(y: Array, weights: Array | None) -> Ties | None:
    """Find values that too many rows share for a density."""
    if not len(y):
        return None
    values, code = np.unique(y, return_inverse=True)
    counts = np.bincount(code, weights).astype(np.float64)
    total = counts.sum()
    order = np.argsort(-counts, kind="stable")
    if len(values) <= max(FEW_VALUES * total, 2) and total >= 20:
        top = tuple(float(values[i]) for i in order[:8])
        ends = np.zeros(len(values), dtype=bool)
        pairs = (counts[:2], counts[:-3:-1])
        ends[[0, -1]] = [a >= PILED_RATIO * b + 4 * np.sqrt(b) for a, b in pairs]
        if len(values) < SCALE:  # a few grades have no cap
            ends[-1], ends[0] = False, ends[0] and values[0] == 0
        sides = _left_sides(values, values[ends])
        return Ties("discrete", float(counts[order[:8]].sum() / total), top, len(values), sides)
    heap, piled = _heaps(counts)
    kind = "heaped"
    if counts[heap].max(initial=0.0) < ATOM * total and counts[heap].sum() < HEAPED * total:
        kind, heap = "piled", piled
    found = [i for i in order if heap[i]]
    share = float(counts[heap].sum() / total)
    if not found:
        return None
    top = tuple(float(values[i]) for i in found[:8])
    return Ties(kind, share, top, len(values), _left_sides(values, values[found]))


def _left_sides(values: Array, heaps: Array) -> tuple[str, ...]:
    """What may stand for the outcome {0} on the left side: a grid that holds all values, caps, a mass."""
    low, high = float(values[0]), float(values[-1])
    inside, point = _on_grid(values), None
    within = heaps[(heaps != low) & (heaps != high)]
    if 0.0 in heaps and high != 0:
        point = 0.0
    elif len(within) == 1 and inside == "{0}":
        point = float(within[0])
    floored = f"bottomcoded({inside}, at={low!r})" if low in heaps else inside
    cap = f"topcoded({{}}, at={high!r})" if high in heaps else "{}"
    sides = []
    if point is not None:
        sides = [f"mass({cap.replace('{}', inside if point == low else floored)}, {point!r})"]
    if point in (None, low) and (told := cap.replace("{}", floored)) != "{0}":
        sides += [told]
    return tuple(re.sub(r"\.0(?=[,)])", "", side) for side in sides)


def _on_grid(values: Array) -> str:
    """The outcome {0}, rounded where all of its values lie on a grid."""
    step = float(f"{np.diff(values).min():.6g}") if len(values) > 2 else 0.0
    whole = step > 0 and np.allclose(values / step, np.rint(values / step), rtol=0, atol=1e-6)
    return f"rounded({{0}}, to={step!r})" if whole else "{0}"


def _heaps(counts: Array) -> tuple[Mask, Mask]:
    """Which values are far more frequent than those around them, and which of the ends are more frequent."""
    window = np.lib.stride_tricks.sliding_window_view(
        np.pad(counts, 10, mode="reflect" if len(counts) > 10 else "edge"), 21
    )
    around = np.median(window, axis=1)
    piled = (counts >= LEAST_COUNT) & (counts >= PILED_RATIO * around + 4 * np.sqrt(around))
    piled[1:-1] = False
    return np.asarray((counts >= LEAST_COUNT) & (counts >= HEAP_RATIO * around)), np.asarray(piled)


def warn_ties(found: Ties, name: str, rows: float) -> None:
    """Warn of shared values."""
    hint = "a binary or ordered model, or the finer values before rounding"
    if found.sides:
        sides = " or ".join(f"'{side.format(name)}'" for side in found.sides)
        why = " (what is below was told so)" if len(found.sides) > 1 else ""
        hint = f"saying on the left side how it was recorded, {sides}{why} for {name!r}, {hint}"
    warn_user(DiscreteOutcomeWarning(f"{found.words(name, rows)} Consider {hint}.", column=name, hint=hint))


def inexact(records: Records | None, support: Support) -> Records | None:
    """Records of which some are no outcomes, with no end beyond a support; None where all are known."""
    if records is None or records.exact.all():
        return None
    low, high = np.maximum(records.lower, support.low), np.minimum(records.upper, support.high)
    return Records(low, high, records.at_mass)


def not_of_source(design: Any, what: str) -> None:
    """Refuse what goes back to rows where these are from a source.

    Raises
    ------
    NeedsRows
    """
    if design.of_source:
        raise NeedsRows(
            f"{what} needs rows, and this fit kept cells of a source: make a table, of all rows or of a "
            f"sample, by pd.read_parquet(path, columns=[…]), and fit that."
        )


def check_rows(y: Array, copies: Array | None, columns: int, name: str, recorded: bool = False) -> bool:
    """Whether the rows carry a flexible shape; a linear one is fitted, with a warning, where they do not.

    ``copies`` (n,) say how often rows count, None for once; y of ``recorded`` ones are middles.

    Raises
    ------
    DataError, OutcomeError
    """
    n, distinct = len(y) if copies is None else int(copies.sum()), len(np.unique(y))
    if n < columns + 3:
        raise DataError(
            f"{n} row{'s' * (n != 1)} for a density with {columns} covariate "
            f"column{'s' * (columns != 1)}: at least "
            f"{columns + 3} observations are needed; use more rows or fewer terms."
        )
    if distinct < 3 and recorded:
        raise OutcomeError(
            f"The {n} records of {name!r} tell {distinct} point{'s' * (distinct != 1)} of it, and a density "
            f"needs three. Where all that is told is whether it is above a point, fit "
            f"de.Logit('I({name} >= point) ~ …')."
        )
    if distinct < 3:
        raise OutcomeError(
            f"The outcome {name!r} has {distinct} distinct value{'s' * (distinct != 1)} in {n} rows: it "
            f"has no density."
        )
    enough = 15 + 5 * columns
    if n < enough:
        text = (
            f"{n} observations are too few for a flexible shape (from {enough} on): the linear model "
            f"with its base law is fitted."
        )
        warn_user(SmallSampleWarning(text, hint="use more rows"))
    return n >= enough


def check_support(y: Array, support: Support, name: str, records: Records | None = None) -> None:
    """Refuse rows on or beyond the bounds, and bounds so far away that the map to the line loses digits.

    A record may reach beyond the bounds, but not lie there.

    Raises
    ------
    DataError
    """
    bad = (y <= support.low) | (y >= support.high)
    if records is not None:
        known = records.exact
        bad = np.where(known, bad, (records.upper <= support.low) | (records.lower >= support.high))
        y = np.where(bad | known, y, np.nan)
    if bad.any():
        shown = ", ".join(f"{v:g}" for v in np.unique(y[bad])[:5])
        raise DataError(
            f"The outcome {name!r} has {int(bad.sum())} rows outside the declared support {support}, "
            f"with values {shown}; "
            "declare a wider support, or model the values on the bound apart."
        )
    spread = float(np.nanstd(support.to_line(y))) if np.isfinite(y).any() else np.inf
    if support.kind != "line" and spread < NARROW:
        raise DataError(
            f"The outcome {name!r} varies by {spread:.0e} of its distance to the bounds of the declared "
            f"support {support}, which then says nothing and costs its digits; leave support= out."
        )


def check_edges(y: Array, copies: Array | None, name: str) -> None:
    """Warn of an end of the outcome at which rows are as dense as next to it, so that none taper off.

    A law on the line goes on beyond a hard edge, and effects near it then lean on what is not there.
    Rates: `tests/statistical/steps_and_edges.md`.
    """
    N = float(len(y) if copies is None else copies.sum())
    if N < EDGE_FROM:
        return
    ranks = np.round(np.sqrt(EDGE_ROWS * N)) * np.arange(3.0)
    low = order_statistics(y, copies, ranks)
    high = -order_statistics(y, copies, N - 1 - ranks)
    hard = [(b - a) * EDGE <= c - b and b > a for a, b, c in (low, high)]
    if any(hard):
        words = " and ".join(
            f"{end} value {v:g}"
            for end, v, h in (("smallest", y.min(), hard[0]), ("largest", y.max(), hard[1]))
            if h
        )
        hint = "declare where the outcome ends, support='positive' or support=(a, b)"
        text = (
            f"The outcome {name!r} ends abruptly at its {words}: its rows are as dense there as next to it, "
            f"and a density on the line smooths over such an edge, so that effects on means and quantiles "
            f"may be off. If the outcome cannot lie beyond, {hint}."
        )
        warn_user(HardEdgeWarning(text, column=name, hint=hint))


def check_residual(scale: float, y: Array, name: str) -> None:
    """Refuse an outcome that the covariates determine.

    Raises
    ------
    OutcomeError
    """
    if scale <= 1e-10 * float(np.std(y - y[0])):
        raise OutcomeError(
            f"The covariates determine the outcome {name!r} (residuals are {scale:.1e} of its units): it "
            f"has no density given "
            "them. Is a covariate made from the outcome?"
        )


def covariate_names(names: Sequence[str]) -> list[str]:
    """The columns of a design that are no constant."""
    return [n for n in names if n != "Intercept"]


def check_widths(slopes: Array, X: Array, names: tuple[str, ...]) -> None:
    """Warn of a row whose law is many times as wide as that of most.

    Mean ``slopes`` (n,) of z in y are the widths inverted; ``names`` are those of the columns, and of a
    constant that X lacks.
    """
    times, i = float(np.median(slopes) / slopes.min()), int(slopes.argmin())
    if times > WIDE:
        given = ", ".join(
            f"{name} = {value:.4g}" for name, value in zip(covariate_names(names), X[i], strict=True)
        )
        text = (
            f"The law given {given} is {times:.0f} times as wide as that of the median row: so far out "
            f"few rows tell the "
            "spread, and means and standard deviations averaged over the rows follow it."
        )
        hint = "quantiles, the logarithm of the outcome or of the covariate, or a fit without such rows"
        warn_user(LeverageWarning(text, hint=hint))


def check_columns(X: Array, y: Array, names: tuple[str, ...], has_intercept: bool) -> None:
    """Refuse collinear columns and formulas without a constant.

    Raises
    ------
    CollinearityError, FormulaError
    """
    if not has_intercept:
        raise FormulaError("A flow always has a free location: leave out '0 +' or '- 1'.")
    with np.errstate(over="ignore", invalid="ignore"):
        gram = X.T @ X
    rank = check_rank((Block(y, X),), gram)
    if rank.dropped:
        raise CollinearityError(describe_collinearity(rank, names, len(y)))


def warn_outside(outside: Mask, names: Sequence[str]) -> None:
    """Warn of new rows whose covariates (m, K) lie ``outside`` those of the fit."""
    if not outside.any():
        return
    columns = covariate_names(names)
    counts = outside.sum(axis=0)
    told = ", ".join(f"{columns[j]} ({int(counts[j])})" for j in np.flatnonzero(counts))
    text = (
        f"{int(outside.any(axis=1).sum())} of {len(outside)} rows lie outside the covariates of the fit: "
        f"{told}. Their location "
        "follows the regression line; scale and shape are those at the edge."
    )
    column = columns[int(np.argmax(counts > 0))]
    warn_user(ExtrapolationWarning(text, column=column, hint="predict inside the fitted range"))
