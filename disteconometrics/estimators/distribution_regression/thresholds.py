"""Numbers of distribution regression as functions of arrays: thresholds, a fit at each, averages, draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.blocks import Block
from disteconometrics.checks import size_error
from disteconometrics.errors import (
    CollinearityError,
    ConvergenceWarning,
    OptionError,
    WithheldError,
    warn_user,
)
from disteconometrics.inference.resample import ResamplingPlan
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel, even_odds
from disteconometrics.optim.batched import CONVERGED, maximise_cuts, share, solve_shared
from disteconometrics.optim.limit import limit_of
from disteconometrics.optim.newton import (
    Maximum,
    OutOfRange,
    RankDeficient,
    maximise,
    maximum_at,
)
from disteconometrics.optim.whiten import Whitening, white_blocks
from disteconometrics.optim.whiten import whitening as whitening_of
from disteconometrics.optim.wording import describe_collinearity
from disteconometrics.threads import on_one_thread

__all__ = [
    "Covariates",
    "Draws",
    "ThresholdFits",
    "average_levels",
    "chosen_thresholds",
    "draw_fits",
    "falling_share",
    "fit_thresholds",
    "levels_of_sample",
    "row_weights",
]

MOST = 100  # thresholds that are fitted where none are asked for
FAR = 40.0  # index of a separated row in the limit: its probability is one to the last digit
CACHED = 32_000  # draws × rows at a time, arrays that stay in the cache
TOGETHER = 3  # thresholds from which they are fitted together
WELL = 1_000.0  # condition of the design up to which they are: rounding costs their coefficients 1e-13
CONSTANT = 1e-13  # by which a sum of columns may miss a constant
LOST = 0.02  # share of draws that may fail before nothing is said of what they give


def chosen_thresholds(y: Array, weights: Array | None, thresholds: Any, outcome: str) -> Array:
    """Thresholds (T,): distinct outcomes without the largest, quantiles of the outcomes, or those given.

    Parameters
    ----------
    y : (n,) float64 array of outcomes.
    weights : (n,) float64 array or None.
    thresholds : None, "all", int or tuple of float, as in `DistributionRegression`.
    outcome : str, what messages call the outcome.

    Raises
    ------
    OptionError
        If two thresholds part the outcomes in the same way, or one does not part them.

    Examples
    --------
    >>> chosen_thresholds(np.array([1.0, 2.0, 2.0, 5.0]), None, None, "y").tolist()
    [1.0, 2.0]
    """
    values = np.unique(y)
    if isinstance(thresholds, tuple):
        return _given(np.sort(np.asarray(thresholds, dtype=np.float64)), values, outcome)
    if thresholds == "all" or (thresholds is None and len(values) <= MOST + 1):
        return values[:-1]
    count = MOST if thresholds is None else int(thresholds)
    if len(values) <= count + 1:
        return values[:-1]
    order = np.argsort(y, kind="stable")
    mass = np.cumsum(np.ones(len(y)) if weights is None else weights[order])
    levels = np.arange(1, count + 1) / (count + 1)
    at = np.unique(y[order][np.searchsorted(mass, levels * mass[-1] * (1 - 1e-12))])
    return np.asarray(at[at < values[-1]]) if at[0] < values[-1] else values[-2:-1]


def _given(at: Array, values: Array, outcome: str) -> Array:
    below = np.searchsorted(values, at, side="right")  # distinct outcomes up to each
    idle = at[(below == 0) | (below == len(values))]
    if len(idle):
        raise OptionError(
            f"The threshold {idle[0]:.10g} does not part the outcomes of {outcome!r}, which lie from "
            f"{values[0]:.10g} to {values[-1]:.10g}: give thresholds of at least the smallest and below "
            f"the largest."
        )
    same = np.flatnonzero(np.diff(below) == 0)
    if len(same):
        raise OptionError(
            f"No outcome of {outcome!r} lies above {at[same[0]]:.10g} and up to {at[same[0] + 1]:.10g}: "
            "the two thresholds are one; leave one out."
        )
    return at


@dataclass(frozen=True, eq=False)
class ThresholdFits:
    """Binary fits of 1{y > c} at every threshold.

    ``params`` (T, k) give the fitted probabilities; where ``separated`` (T,) there is no maximum, and they
    stand so far along the direction of separation that the probabilities are those of the limit.
    Fits that were made together have ``coordinates`` (T, k) on the columns of ``white``, the rows as
    ``whitening`` moves them; the others have NaN there, and ``maxima`` unless they are separated: ``limits``.
    """

    thresholds: Array
    params: Array
    separated: Mask
    maxima: dict[int, Maximum]
    limits: dict[int, Limiting]
    coordinates: Array
    whitening: Whitening | None
    white: Block | None

    @property
    def solved(self) -> bool:
        """Whether all fits were made together, so that their scores are zero."""
        return not bool(np.isnan(self.coordinates).any())

    @property
    def has_constant(self) -> bool:
        """Whether columns of fits that were made together add up to a constant."""
        if self.white is None:
            return False
        Z = np.asarray(self.white.X)
        return bool(np.abs(Z @ Z.mean(axis=0) - 1).max() < CONSTANT)

    def together(self, kernel: Kernel, t: int) -> tuple[Maximum, list[Block]]:
        """The maximum at threshold ``t`` of those fitted together, with its information and white rows."""
        assert self.whitening is not None
        assert self.white is not None
        blocks = blocks_above([self.white], self.thresholds[t])
        at = self.coordinates[t], self.params[t]
        return maximum_at(IndexModel(kernel, blocks), self.whitening, *at), blocks


def blocks_above(blocks: Sequence[Block], threshold: float) -> list[Block]:
    """The rows with 1{y > c} as their outcome."""
    return [b._replace(y=(b.y > threshold).astype(np.float64)) for b in blocks]


@on_one_thread
def fit_thresholds(
    kernel: Kernel, blocks: Sequence[Block], thresholds: Array, names: Sequence[str]
) -> ThresholdFits:
    """Fit 1{y > c} at every threshold c: all together, and by the single engine what that cannot prove.

    Parameters
    ----------
    kernel : Kernel, the law of the binary outcome.
    blocks : rows with the outcome y itself.
    thresholds : (T,) float64 array.
    names : the k columns, for messages.

    Raises
    ------
    CollinearityError, DataError

    Warns
    -----
    ConvergenceWarning
    """
    coordinates = np.full((len(thresholds), len(names)), np.nan)
    whitening, white = None, None
    if len(blocks) == 1 and isinstance(blocks[0].X, np.ndarray) and len(thresholds) >= TOGETHER:
        model = IndexModel(kernel, blocks_above(blocks, thresholds[0]))
        whitening = _explained(whitening_of, model, names)
    params = np.full(coordinates.shape, np.nan)
    if whitening is not None and whitening.condition <= WELL:
        parts = white_blocks(blocks, whitening.basis, whitening.column_max)
        white = blocks[0]._replace(X=np.concatenate([b.X for b in parts]))
        coordinates = _together(kernel, white, thresholds)
        params = coordinates @ whitening.basis.T
    separated, maxima, limits, failed = np.zeros(len(thresholds), dtype=bool), {}, {}, []
    for t in np.flatnonzero(np.isnan(coordinates[:, 0])).tolist():
        model = IndexModel(kernel, blocks_above(blocks, thresholds[t]))
        m = _explained(partial(maximise, maxiter=100), model, names)
        if m.separation is not None:
            limits[t] = _limiting(model, m)
            separated[t], params[t] = True, limits[t].params
            continue
        maxima[t], params[t] = m, m.params
        if not m.converged:
            failed.append(f"{thresholds[t]:.6g}")
    if failed:
        text = f"The maximum was not reached at {len(failed)} thresholds: {', '.join(failed[:5])}."
        warn_user(ConvergenceWarning(text, hint="rescale the columns, or leave these thresholds out"))
    return ThresholdFits(thresholds, params, separated, maxima, limits, coordinates, whitening, white)


def _together(kernel: Kernel, white: Block, thresholds: Array) -> Array:
    """Coordinates (T, k) of the maxima that one iteration over all thresholds proves, NaN for the others."""
    above = np.searchsorted(thresholds, white.y)
    found, proved = maximise_cuts(
        kernel, np.asarray(white.X), above, len(thresholds), white.weights, white.offset
    )
    return np.where(proved[:, None], found, np.nan)


def _explained(find: Callable[[IndexModel], Any], model: IndexModel, names: Sequence[str]) -> Any:
    """What ``find`` gives of a model, its errors in words about the columns."""
    try:
        return find(model)
    except RankDeficient as e:
        raise CollinearityError(describe_collinearity(e.rank, names, model.rows)) from None
    except OutOfRange as e:
        raise size_error([names[j] for j in e.columns]) from None


class Limiting(NamedTuple):
    """The limit of a separated fit: ``finite`` (k,), the maximum over the ``overlapped`` rows in ``columns``.

    Far beyond it by ``reach`` (k,), which moves no overlapped row, the others are fitted perfectly.
    """

    finite: Array
    reach: Array
    overlapped: Indices
    columns: Indices

    @property
    def params(self) -> Array:
        """Coefficients (k,) far out."""
        return self.finite + self.reach


def _limiting(model: IndexModel, m: Maximum) -> Limiting:
    """The limit of a separated fit: far along its direction from what stays finite."""
    assert m.separation is not None
    direction, rows = m.separation.direction, m.separation.rows
    limit = limit_of(model, m.separation, maxiter=100)
    finite, columns = np.zeros(len(direction)), np.zeros(0, dtype=np.intp)
    if limit.maximum is not None:
        columns = limit.columns
        finite[columns] = limit.maximum.params
    X = np.concatenate([np.asarray(b.X) for b in model.blocks])[rows]
    move = np.abs(X @ direction)
    offsets = [np.abs(b.offset).max(initial=0.0) for b in model.blocks if b.offset is not None]
    far = FAR + np.abs(X @ finite).max(initial=0.0) + max(offsets, default=0.0)
    return Limiting(finite, far / max(float(move.min()), 1e-9) * direction, limit.overlapped, columns)


class Covariates(NamedTuple):
    """The design (m, k) of rows, and their offset (m,) or None."""

    X: Array
    offset: Array | None = None

    def part(self, rows: Any) -> Covariates:
        """Some of the rows."""
        return Covariates(self.X[rows], None if self.offset is None else self.offset[rows])

    def indices(self, params: Array) -> Array:
        """The indices (m, T) of rows under params (T, k)."""
        eta = self.X @ params.T
        return eta if self.offset is None else eta + self.offset[:, None]


def raw_levels(kernel: Kernel, rows: Covariates, params: Array) -> Array:
    """P(Y ≤ c | x) (m, T) of rows at the thresholds of ``params`` (T, k), before they are sorted."""
    eta = rows.indices(params)
    with np.errstate(all="ignore"):
        quick = kernel == LOGISTIC
        p = even_odds(np.negative(eta, out=eta)) if quick else np.asarray(kernel.probability(eta))
        return np.asarray(np.subtract(1.0, p, out=p))


def average_levels(kernel: Kernel, rows: Covariates, params: Array, weights: Array | None) -> Array:
    """F averaged over rows (T,), before it is sorted."""
    total, mass = np.zeros(len(params)), 0.0
    for part in _parts_of(rows, len(params)):
        F = raw_levels(kernel, rows.part(part), params)
        w = np.ones(len(F)) if weights is None else weights[part]
        total += w @ F
        mass += float(w.sum())
    return total / mass


def falling_share(kernel: Kernel, rows: Covariates, params: Array) -> float:
    """The share of rows and neighbouring thresholds at which F falls."""
    falls = sum(
        int((np.diff(raw_levels(kernel, rows.part(part), params), axis=1) < -1e-12).sum())
        for part in _parts_of(rows, len(params))
    )
    return falls / max(1, len(rows.X) * (len(params) - 1))


def _parts_of(rows: Covariates, thresholds: int) -> Iterator[slice]:
    """Rows by the part, whose levels at all thresholds stay in the cache."""
    step = max(1, CACHED // thresholds)
    return (slice(i, i + step) for i in range(0, len(rows.X), step))


def levels_of_sample(points: Array, shares: Array, thresholds: Array) -> Array:
    """F of the sample (T,), whose outcomes (m,) have masses (m,), at thresholds of at least the first.

    Examples
    --------
    >>> levels_of_sample(np.array([1.0, 2.0]), np.array([3.0, 1.0]), np.array([1.5]))
    array([0.75])
    """
    below = np.searchsorted(points, thresholds, side="right") - 1
    return np.asarray(np.cumsum(shares)[below] / shares.sum())


@dataclass(frozen=True, eq=False)
class Draws:
    """What exponential weights make of the fits.

    ``params`` (B, T, k), far out where separated, ``levels`` (B, T) averaged F, sorted, ``masses`` (B, m) of
    the distinct outcomes under the weights of each draw, ``elsewhere`` the same F (B, T) averaged over other
    rows, ``good`` (B,) draws in which every fit was reached; ``at`` (B,) says which of those that were made
    they are.
    """

    params: Array
    levels: Array
    masses: Array
    elsewhere: tuple[Array, ...]
    good: Mask
    at: Indices

    def kept(self, good: Mask) -> Draws:
        """Some of the draws."""
        elsewhere = tuple(F[good] for F in self.elsewhere)
        own = self.params[good], self.levels[good], self.masses[good]
        return Draws(*own, elsewhere, self.good[good], self.at[good])


@on_one_thread
def draw_fits(
    kernel: Kernel,
    rows: Covariates,
    y: Array,
    fits: ThresholdFits,
    W: Array,
    others: Sequence[tuple[Covariates, Array]] = (),
) -> Draws:
    """Fit all thresholds again under positive random weights W (B, n), and average over the rows.

    Weights run through every stage: the fits, and the average over the rows.  The draws are positive, so that
    a threshold is separated in all of them or in none; the averaged F of a separated one is the weighted
    share of outcomes up to it, as of every logit with a constant.  Its coefficients are those of its limit,
    the fit over the rows that it leaves overlapped.  ``others`` are rows with weights of their own (B, m)
    that the law is averaged over too.

    Raises
    ------
    WithheldError
        If more than a fiftieth of the draws failed.
    """
    count, (X, offset) = len(W), rows
    Z, back = _whitened(X)
    moved = [(Covariates(o.X @ back, o.offset), _shares(V)) for o, V in others]
    points, at = np.unique(y, return_inverse=True)
    order = np.argsort(at, kind="stable")
    masses = np.add.reduceat(W[:, order], np.flatnonzero(np.diff(at[order], prepend=-1)), axis=1)
    masses /= masses.sum(axis=1, keepdims=True)
    below = np.cumsum(masses, axis=1)
    levels = below[:, np.searchsorted(points, fits.thresholds, side="right") - 1].copy()
    elsewhere = [np.empty(levels.shape) for _ in others]
    params, good = np.empty((count, *fits.params.shape)), np.ones(count, dtype=bool)
    share_of = _shares(W)
    forward = np.linalg.solve(back, fits.params.T).T
    for t, threshold in enumerate(fits.thresholds):
        above = (y > threshold).astype(np.float64)
        if fits.separated[t]:
            params[:, t], reached = _limits_drawn(kernel, rows, above, fits.limits[t], W)
            own = params[:, t] @ np.linalg.inv(back).T
        else:
            batch = solve_shared(share(kernel, Z, above, offset), W, forward[t], False)
            own, reached = batch.params, batch.status == CONVERGED
            params[:, t] = own @ back.T
            levels[:, t] = _averaged(kernel, Covariates(Z, offset), own, share_of)
        good &= reached
        for F, (o, V) in zip(elsewhere, moved, strict=True):
            F[:, t] = _averaged(kernel, o, own, V)
    if good.mean() < 1 - LOST:
        raise WithheldError(
            f"{int((~good).sum())} of {count} draws failed at some threshold: limits and tests are withheld. "
            f"Leave out the outermost thresholds, or columns with few rows."
        )
    sorted_elsewhere = tuple(np.sort(F, axis=1) for F in elsewhere)
    return Draws(params, np.sort(levels, axis=1), masses, sorted_elsewhere, good, np.arange(count))


def _limits_drawn(
    kernel: Kernel, rows: Covariates, above: Array, limit: Limiting, W: Array
) -> tuple[Array, Mask]:
    """Coefficients (B, k) of a separated fit under weights (B, n), and the draws that were reached."""
    params, reached = np.tile(limit.params, (len(W), 1)), np.ones(len(W), dtype=bool)
    if len(limit.columns):
        at, columns = limit.overlapped, limit.columns
        own = rows.part(at)
        Z, back = _whitened(own.X[:, columns])
        start = np.asarray(np.linalg.solve(back, limit.finite[columns]), dtype=np.float64)
        batch = solve_shared(share(kernel, Z, above[at], own.offset), W[:, at], start, False)
        params[:, columns] = batch.params @ back.T + limit.reach[columns]
        reached = batch.status == CONVERGED
    return params, reached


def _shares(W: Array) -> Array:
    return np.asarray(W / W.sum(axis=1, keepdims=True))


def _whitened(X: Array) -> tuple[Array, Array]:
    """Columns Z (n, k) of one size that span X, so that single precision holds them; β = back @ γ."""
    largest = np.abs(X).max(axis=0)
    Q, R = np.linalg.qr(X / largest)
    size = np.sqrt(len(X))
    return np.ascontiguousarray(Q * size), np.linalg.inv(R) * size / largest[:, None]


def _averaged(kernel: Kernel, rows: Covariates, params: Array, shares: Array) -> Array:
    """F averaged over rows with the weights of each draw (B,)."""
    step = max(1, CACHED // len(rows.X))
    parts = [
        np.einsum("bn,bn->b", shares[i : i + step], raw_levels(kernel, rows, params[i : i + step]).T)
        for i in range(0, len(params), step)
    ]
    return np.concatenate(parts)


def row_weights(plan: ResamplingPlan, weights: Array | None, count: int) -> Array:
    """Weights (count, n) of the rows, with those of the rows themselves."""
    parts: list[Array] = []
    have = 0
    while have < count:
        parts.append(plan.by_row(plan.draw(len(parts))))
        have += len(parts[-1])
    W = np.concatenate(parts)[:count]
    return W if weights is None or plan.copies is not None else W * weights
