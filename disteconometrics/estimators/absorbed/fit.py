"""Estimating models with absorbed effects: from specification and table to slopes, effects and facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, or_ones
from disteconometrics.blocks import Block
from disteconometrics.checks import whole
from disteconometrics.errors import (
    CollinearityError,
    IncidentalParametersWarning,
    OutcomeError,
    warn_user,
)
from disteconometrics.estimators.absorbed.corrections import corrected, influence_equation, maximum
from disteconometrics.estimators.absorbed.panel import (
    Panel,
    centre,
    check_varying,
    lag_bias,
    own_lags,
    read_panel,
)
from disteconometrics.estimators.categories import MaximumFacts, named_columns, refuse_separation, warn_fit
from disteconometrics.estimators.rows import FitRows, incidental_bias
from disteconometrics.fields import AnyFloat, Count, Positive
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.absorbed import (
    AbsorbedObjective,
    AbsorbedPass,
    ConcentratedScores,
)
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.linear import LinearLaw
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim.category_separation import conditional_separation
from disteconometrics.optim.concave import ConcaveMaximum, inverse_root
from disteconometrics.optim.separation import Separation
from disteconometrics.optim.whiten import Whitening, accurate_product, power_of_two, whitening

__all__ = [
    "AbsorbedFacts",
    "AbsorbedRows",
    "Effects",
    "estimate_absorbed",
    "incidental_words",
]

MOST_PAIRS = 5_000_000  # of a success and a failure, compared to prove a separation
ROWS = 1 << 15  # made orthonormal at once
# Rows of a group, below which corrections miss: coverage .94 at T = 4 by the formula, whose slope of one is 0
# at T = 2; .34 at T = 4 and .92 at T = 8 by leaving out periods (`coverage_of_absorbed.md`).
LEAST_PERIODS = {"analytical": 4, "jackknife": 8, "split": 8}
FLAT = 1e-8  # of differences along a direction, below which they are none
PERFECT = 1e-13  # residuals over outcomes below which nothing but rounding is left
Top = ConcaveMaximum[AbsorbedPass]


@dataclass(frozen=True, kw_only=True)
class AbsorbedFacts(MaximumFacts):
    """Numbers of a fit that need no rows.

    ``names`` are the regressors, ``absorbed`` the columns whose effects are absorbed, the eliminated first;
    ``groups`` are used, ``lost_groups`` have an outcome that does not vary and hold ``lost_rows``; ``others``
    are columns of effects that are not eliminated; ``periods`` are least, mean and most rows of a group, of
    frequency weights as often as these say.
    Least squares have σ and the share ``within`` groups of the variance that the regressors explain.
    """

    names: tuple[str, ...]
    absorbed: tuple[str, ...]
    groups: Count
    lost_groups: Count
    lost_rows: Count
    others: Count
    periods: tuple[Positive, Positive, Positive]
    sigma: Positive | None = None
    within: AnyFloat = float("nan")


class Effects(NamedTuple):
    """Estimated effects (G,) of the levels of an absorbed column, ±inf where the outcome does not vary."""

    column: str
    levels: pd.Index
    values: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class AbsorbedRows(FitRows):
    """The rows behind a result, with what was solved on them.

    ``theta`` (K + N,) are slopes and effects of ``objective``, whose columns are ``basis`` (K, K) of those of
    the ``panel`` less group ``means`` (N, K); ``found`` is the pass there.
    """

    equation: MEstimate
    panel: Panel
    objective: AbsorbedObjective
    theta: Array
    found: AbsorbedPass
    basis: Array
    means: Array


# ---- estimation --------------------------------------------------------------------------------------------


def estimate_absorbed(
    model: Any, kernel: Any, data: Any, *, maxiter: int = 100
) -> tuple[AbsorbedRows, AbsorbedFacts, tuple[Effects, ...]]:
    """Estimate a specification whose formula absorbs effects; without a kernel, by least squares.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError, NeedsRows

    Examples
    --------
    >>> import disteconometrics as de
    >>> panel = {"id": [1, 1, 1, 2, 2, 2], "x": [0, 1, 3, 2, 5, 4], "y": [0, 1, 3, 0, 2, 3]}
    >>> rows, facts, effects = estimate_absorbed(de.NormalRegression("y ~ x | id"), None, panel)
    >>> rows.equation.params.round(3).tolist(), facts.groups
    ([0.893], 2)
    """
    maxiter = whole(maxiter, "maxiter", 1)
    panel = read_panel(model, data, "numeric" if kernel is None else "binary")
    Z, y = panel.columns(), panel.read.y[panel.by_group]
    means = centre(Z, panel.sets)
    check_varying(panel, Z, means)
    white = _whitened(panel, Z, y)
    objective = _objective(panel, LinearLaw() if kernel is None else kernel, Z, y)
    top, influence = maximum(objective, maxiter), None
    if kernel is None:
        facts, objective = _least_squares(panel, objective, top, white.condition)
        theta = top.theta
        _warn_lagged(panel, y, (white.basis @ theta[: Z.shape[1]])[panel.others :], facts.periods[1])
    else:
        _check_separation(panel, y, top, white.basis)
        facts = _facts(panel, top, white.condition, _null_loglik(panel, objective, maxiter))
        theta, influence = corrected(model, panel, objective, top, white.basis, maxiter)
    found = top.found if kernel is not None and theta is top.theta else objective.value(theta)
    if kernel is not None:
        facts = replace(facts, loglik=found.loglik)
        _warn_incidental(model, facts)
    warn_fit(facts)
    rows = _solved(panel, objective, theta, found, white.basis, means)
    if influence is not None:
        e = rows.equation
        own = influence_equation(e.names, e.params, influence, e.observations, e.absorbed + panel.others)
        rows = replace(rows, equation=own)
    return rows, facts, _effects(rows)


def _whitened(p: Panel, own: Array, y: Array) -> Whitening:
    """Columns (n, K) less their group means are made nearly orthonormal, in place."""
    model = IndexModel(LOGISTIC, [Block(y, own)])
    try:
        with named_columns(model, p.names):
            white = whitening(model)
    except CollinearityError as error:
        raise CollinearityError(f"Inside {p.absorbed[0]}: {error}") from None
    scale = power_of_two(white.column_max)
    for start in range(0, len(own), ROWS):
        rows = slice(start, start + ROWS)
        own[rows] = accurate_product(own[rows], white.basis, scale)
    return white


def _objective(p: Panel, kernel: Any, Z: Array, y: Array) -> AbsorbedObjective:
    w, shift = p.read.scaled_weights, p.read.offset
    own = (None if a is None else a[p.by_group] for a in (w, shift))
    return AbsorbedObjective(kernel, Z, y, p.sets, *own)


def _facts(p: Panel, top: Top, condition: float, null: float) -> AbsorbedFacts:
    w = p.read.weights if p.read.frequency else None
    sizes = p.sets.sizes if w is None else p.sets.sums(w[p.by_group])
    return AbsorbedFacts(
        **AbsorbedFacts.known(p.read, top, condition),
        observations=float(sizes.sum()),
        names=p.regressors,
        absorbed=p.absorbed,
        groups=len(sizes),
        lost_groups=int((~p.kept[0]).sum()),
        lost_rows=p.read.size - len(p.by_group),
        others=p.others,
        periods=(float(sizes.min()), float(sizes.mean()), float(sizes.max())),
        null_loglik=null,
    )


def _null_loglik(p: Panel, objective: AbsorbedObjective, maxiter: int) -> float:
    """Log-likelihood of the effects alone."""
    if objective.shift is None and not p.others:
        w = or_ones(objective.weights, len(objective.y))
        ones, total = p.sets.sums(w * objective.y), p.sets.sums(w)
        share = ones / total
        return float(special.xlogy(ones, share).sum() + special.xlog1py(total - ones, -share).sum())
    return maximum(_effects_alone(p, objective), maxiter).found.loglik


def _effects_alone(p: Panel, objective: AbsorbedObjective) -> AbsorbedObjective:
    """The objective without the regressors."""
    Z = p.columns(p.others)
    centre(Z, p.sets)
    return replace(objective, Z=Z)


def _check_separation(p: Panel, y: Array, top: Top, basis: Array) -> None:
    """Refuse rows whose likelihood has no maximum."""
    if top.converged and not top.far:
        return
    K, own = len(basis), p.columns()
    centre(own, p.sets)
    ones, tried = p.sets.sums(y), [basis @ top.theta[:K], basis @ top.step[:K]]
    if (ones * (p.sets.sizes - ones)).sum() > MOST_PAIRS:
        found = next((s for s in (_separating(p, own, y, d) for d in tried) if s is not None), None)
    else:
        found = conditional_separation(own, y, p.sets.starts, tried)
    refuse_separation(found, p.names, p.read.spec.outcome.name, len(p.sets.sizes), "Leave the column out.")


def _separating(p: Panel, own: Array, y: Array, direction: Array) -> Separation | None:
    """Whether no success lies below a failure of its group along a direction, and some above."""
    v = own @ direction
    low = np.minimum.reduceat(np.where(y == 1, v, np.inf), p.sets.starts)
    high = np.maximum.reduceat(np.where(y == 0, v, -np.inf), p.sets.starts)
    apart = low > high
    if (low < high - FLAT * np.abs(v).max()).any() or not apart.any():
        return None
    return Separation("quasi", direction, np.flatnonzero(apart), np.zeros((len(direction), 0)))


def _least_squares(
    p: Panel, objective: AbsorbedObjective, top: Top, condition: float
) -> tuple[AbsorbedFacts, AbsorbedObjective]:
    """Facts of least squares, and the objective with σ² = RSS/(n − ids − k)."""
    facts = _facts(p, top, condition, float("nan"))
    n, rss = facts.observations, -2 * top.found.loglik
    total = -2 * maximum(_effects_alone(p, objective), 10).found.loglik
    left = n - facts.groups - len(p.names)
    if left <= 0 or rss <= n * (PERFECT * float(np.abs(objective.y).max())) ** 2:
        raise OutcomeError(
            f"The outcome {p.read.spec.outcome.name!r} is fitted perfectly by {facts.groups} groups and "
            f"{len(p.names)} columns on {n:g} rows; no law is left."
        )
    sigma = float(np.sqrt(rss / left))
    loglik, null = (-n / 2 * (np.log(2 * np.pi * squares / n) + 1) for squares in (rss, total))
    facts = replace(facts, sigma=sigma, loglik=loglik, null_loglik=null, within=1 - rss / total)
    return facts, replace(objective, kernel=LinearLaw(1 / sigma))


def _solved(
    p: Panel, objective: AbsorbedObjective, theta: Array, found: AbsorbedPass, basis: Array, means: Array
) -> AbsorbedRows:
    K = len(basis)
    shown, kind = basis[p.others :], p.read.spec.weight_type
    inner = inverse_root(found.information)
    source = ConcentratedScores(objective, theta, found.means, kind == "frequency")
    w = p.read.weights if p.read.frequency else None
    n = float(len(p.by_group)) if w is None else float(w[p.by_group].sum())
    equation = MEstimate(
        p.regressors,
        shown @ theta[:K],
        inner,
        shown @ inner,
        n,
        len(p.by_group),
        source,
        kind,
        shown,
        len(p.sets.sizes),
    )
    return AbsorbedRows(
        p.read.design,
        p.by_group,
        equation=equation,
        panel=p,
        objective=objective,
        theta=theta,
        found=found,
        basis=basis,
        means=means,
    )


def _effects(rows: AbsorbedRows) -> tuple[Effects, ...]:
    """Effects of all levels, of columns beside the eliminated one less that of their first level."""
    p, K = rows.panel, len(rows.basis)
    slopes = rows.basis @ rows.theta[:K]
    out = []
    for i, (column, levels) in enumerate(zip(p.absorbed, p.levels, strict=True)):
        values = np.where(p.kept[i], 0.0, np.nan)
        if i == 0:
            values[p.groups] = rows.theta[K:] - rows.means @ slopes
        for j, (owner, level) in enumerate(p.places):
            if owner == i:
                values[level] = slopes[j]
        never, always = (~p.kept[i] & (p.shares[i] == share) for share in (0, 1))
        values[never], values[always] = -np.inf, np.inf
        order = np.argsort(levels, kind="stable")
        out.append(Effects(column, levels[order], values[order]))
    return tuple(out)


def _warn_incidental(model: Any, facts: AbsorbedFacts) -> None:
    """Say that slopes beside estimated effects are biased, unless that is corrected and T allows it."""
    column, mean = facts.absorbed[0], facts.periods[1]
    if model.bias == "none":
        text, hint = incidental_words(model, facts)
    elif mean < LEAST_PERIODS[model.bias]:
        text = f"T = {mean:.3g} rows of each {column} are too few for bias={model.bias!r}."
        hint = f"Take de.ConditionalLogit(…, choice={column!r}, successes='exact')."
    else:
        return
    warn_user(IncidentalParametersWarning(f"{text} {hint}", column=column, hint=hint))


def _warn_lagged(p: Panel, y: Array, slopes: Array, mean: float) -> None:
    """Say that the slope of a lagged outcome is biased beside effects estimated from few rows each."""
    for name in own_lags(p, y, ordered=False):
        size = lag_bias(float(slopes[p.regressors.index(name)]), mean)
        text = (
            f"{name!r} is the outcome of the period before: beside effects of {p.absorbed[0]}, which are "
            f"estimated from {mean:.3g} rows each, its slope is too small by about {size:.2f}, and other "
            f"slopes move with it (Nickell 1981)."
        )
        hint = "Take first differences and instrument them by earlier outcomes (pydynpd, linearmodels)."
        warn_user(IncidentalParametersWarning(f"{text} {hint}", column=name, hint=hint))


def incidental_words(model: Any, facts: AbsorbedFacts) -> tuple[str, str]:
    """The sentences about the bias of slopes, and the remedies."""
    column, (low, mean, high) = facts.absorbed[0], facts.periods
    logit = model.kernel is LOGISTIC
    size = incidental_bias(mean, logit=logit)
    words = (
        f"The effects of {column} are estimated from T = {mean:.3g} rows each{' on average' * (low < high)}, "
        f"so that slopes are biased away from zero, by about {size:.0%} (incidental parameters)."
    )
    exact = f"de.ConditionalLogit(…, choice={column!r}, successes='exact') is free of it at any T"
    kind = "" if logit else "of a logit, "
    return words, f"bias='analytical' corrects it to order 1/T; {kind}{exact}."
