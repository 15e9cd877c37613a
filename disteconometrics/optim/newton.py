"""Maximise a smooth concave log-likelihood, one problem at a time, to the last digit.

The method, in the order of the code:

1. *Start.*  On many rows the maximum over a small random block sample is found first, by the same routine.
2. *Newton steps*, halved while the log-likelihood falls.  On many rows a Hessian is kept as long as it
contracts,
   so most passes need the score alone; the last pass is a full one, so that the information belongs to the
   estimate.
3. *Stop* when the Newton decrement λ² = g'H⁻¹g (twice the gain still to be had) is below 1e-13 **and** no
row's index
   would move: |x'δ| ≤ λ/√min w.  Without the second half an iteration that runs off to infinity would look
   converged.
4. *Digits.*  Small or ill-conditioned problems are solved in whitened coordinates (`optim.whiten`), where
rounding
   does not grow with the condition number.
5. *No maximum.*  Steps that keep moving some index while the gain dies are handed to `optim.separation`.

References
----------
Boyd, Vandenberghe (2004), Convex Optimization, chapter 9 (Newton decrement).
Bach (2010), Self-concordant analysis for logistic regression, Electronic Journal of Statistics 4,
doi:10.1214/09-EJS521.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from disteconometrics.arrays import Array, as_floats
from disteconometrics.blocks import Block, StreamedBlocks, densified, each_row, width
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.twofold import dot, two_sum
from disteconometrics.optim.separation import MANY, Separation, decided_columns, find_separation
from disteconometrics.optim.whiten import (
    OutOfRange,
    RankDeficient,
    Whitening,
    against_offset,
    power_of_two,
    require_rows,
    triangle_inverse,
    white_blocks,
    whitened,
)

__all__ = ["Maximum", "OutOfRange", "RankDeficient", "maximise", "maximum_at"]

DECREMENT = 1e-13  # λ²: the last step is then taken too, which leaves an error of order λ² standard errors
LAG_DECREMENT = 1e-9  # the same on many rows, if besides …
# … no column moves an index by more in the last step, so that the information stays that of the estimate
LAG_MOVE = 1e-7
MEAN_MOVE = 5e-9  # root mean square by which indices of a source still move in the last step, √(λ²/n)
SMALL = 20_000  # entries of X up to which whitened coordinates and extended sums cost a millisecond or two
CONDITION = 300.0  # of the scaled design; above it a Hessian loses more than five digits
PLAIN_PASSES = 40  # in the columns' own coordinates, where rounding may keep λ² from getting small
LAG_ROWS = 3_000  # rows above which a start on a sample and a kept Hessian pay
INDEX_MOVE = 1e-3  # largest change of any row's index that a converged last step may make
FAR = 64.0  # largest change of any row's index that is tried once a longer step has failed
LEAST_MOVE = 1e-9  # … and the smallest one worth a trial
TINY = 1e-151  # root of a diagonal entry of an information that is none
LARGE = 2_000  # coefficients
FLAT = 1e-6  # root of the smallest information of an orthonormal design, below which a maximum is doubted
SUSPECT_AFTER = 8  # full steps before an index that still moves is a reason to look for separation


@dataclass(frozen=True)
class Maximum:
    """What the optimiser found, and how.

    ``params`` (k,) maximise the log-likelihood ``loglik``.  ``basis`` T (k, k) gives the ``coordinates`` c of
    the solution, β = T·c, in which the information R'R is well conditioned (None: T is the identity);
    ``inner`` = R⁻¹ and ``root`` = T·R⁻¹ (k, k), so that root·root' is the inverse information of β.
    ``separation`` is set, and nothing else can be trusted, when no maximum exists.
    """

    params: Array
    coordinates: Array
    loglik: float
    basis: Array | None
    inner: Array
    root: Array
    converged: bool
    passes: int
    decrement: float
    condition: float
    path: str
    column_max: Array | None = None
    separation: Separation | None = None
    sums: Any = None  # what `IndexModel.last` asked for, at the solution

    def whitened_blocks(self, blocks: Sequence[Block]) -> Sequence[Block]:
        """The same rows in the coordinates of the solution, in which sums over rows keep their digits."""
        if self.basis is None or self.column_max is None:
            return densified(blocks)
        return white_blocks(blocks, self.basis, self.column_max)


class _Kept(NamedTuple):
    """Upper factor (k, k) of an approximate information, and about the largest values (k,) of the columns."""

    factor: Array
    column_max: Array


class _Rules(NamedTuple):
    """How an iteration goes.

    ``kept`` is an approximate information that the first steps re-use; ``settle`` demands that no index moves
    at the end; ``suspicious`` stops for a look at separation when one keeps moving; ``lag`` re-uses an
    information while it contracts; ``climb`` goes along the score where the information has underflowed,
    instead of giving up.
    """

    maxiter: int
    tolerance: float = DECREMENT
    kept: _Kept | None = None
    settle: bool = True
    suspicious: bool = True
    lag: bool = False
    climb: bool = False


@dataclass(slots=True)
class _State:
    """Where an iteration stands: ``c`` is a step of ``shrink`` times ``step`` ahead of ``anchor``.

    ``seen`` is the last point at which a log-likelihood was accepted; ``inverse`` is what makes steps out of
    scores, ``full`` says whether the next pass makes it anew, ``previous`` is the decrement before.
    """

    c: Array
    anchor: Array
    inverse: Array | None
    full: bool
    seen: Array = field(default_factory=lambda: np.zeros(0))
    loglik: float = -np.inf
    information: Array | None = None
    factor: Array | None = None
    score: Array | None = None
    step: Array = field(default_factory=lambda: np.zeros(0))
    shrink: float = 1.0
    decrement: float = np.inf
    previous: float = np.inf
    smallest_root: float = 0.0
    passes: int = 0
    full_passes: int = 0
    status: str = "maxiter"
    ends: bool = False  # whether the next pass is expected to be the last
    sums: Any = None

    @classmethod
    def begin(cls, start: Array, kept: _Kept | None = None) -> _State:
        """At a point, with an approximate information or none."""
        c = start.copy()
        return cls(c, c, None if kept is None else _inverse_information(kept.factor), kept is None)


def _factorise(H: Array) -> Array | None:
    """Upper Cholesky factor, or None when H is not positive definite to rounding."""
    d = np.sqrt(np.diagonal(H))
    if not np.all(np.isfinite(H)) or np.any(d < TINY):
        return None
    s = power_of_two(d)  # potrf does not care for scale, but its pivots can under- or overflow
    R, info = lapack.dpotrf(H / np.outer(s, s), lower=0, clean=1)
    if info or np.min(np.diagonal(R) * s / d) < 1e-7:
        return None
    return np.asarray(R * s)


def _condition(H: Array) -> float:
    """Condition number of the columns at unit norm, from their weighted Gram matrix.

    It is 1e8 where that has no digits left.

    Infinite where a column is zero, or so small or large that its squares are not held.
    """
    d = np.sqrt(np.diagonal(H))
    unit = H / d / d[:, None]
    if not np.all(np.isfinite(unit)):
        return np.inf
    try:
        values = np.linalg.eigvalsh(unit)
    except np.linalg.LinAlgError:
        return np.inf
    return float(np.sqrt(values[-1] / max(values[0], 1e-16 * values[-1])))


def _solve(R: Array, g: Array) -> Array:
    x, _ = lapack.dpotrs(R, g, lower=0)
    return np.asarray(x)


def _iterate(model: IndexModel, start: Array, how: _Rules) -> _State:
    """Newton steps from ``start`` until one of the rules ends them."""
    s = _State.begin(start, how.kept if how.lag else None)
    while s.status == "maxiter" and s.passes < how.maxiter:
        s.passes += 1
        if not s.full:
            _take_score(model, s)
        elif not _take_information(model, s, how.climb):
            continue
        _step(s)
        _terminate(model, s, how)
    if s.status == "maxiter" and s.step.size and how.settle:
        _take_last(model, s)
    return s


def _take_information(model: IndexModel, s: _State, climb: bool) -> bool:
    """A full pass at c; False where the step to it was too long, or there is nowhere to go on to."""
    p = model.evaluate(s.c, _besides(model, s) if s.ends else None)
    s.sums = p.sums
    if not p.loglik >= s.loglik - 1e-11 * (1.0 + abs(s.loglik)) and np.isfinite(s.loglik):
        _go_back(model, s)
        return False
    s.loglik, s.information, s.smallest_root, s.seen = p.loglik, p.information, p.smallest_root, s.c
    s.factor = _factorise(p.information)
    s.full_passes += 1
    if s.factor is None and not climb:
        s.status = "singular"
        return False
    s.score = p.score
    if s.factor is None:  # go along the score, as far as is safe to try
        s.inverse = np.eye(len(p.score)) * (FAR / max(model.largest_change(p.score), 1e-300))
    else:
        s.inverse = _inverse_information(s.factor)
    return True


def _besides(model: IndexModel, s: _State) -> Any:
    """What the last pass over a source sums besides; leverages by group need a full pass just before."""
    if model.last is None:
        return None
    if s.factor is not None and s.seen is s.anchor:
        return model.last(triangle_inverse(s.factor))
    asked = model.last(np.eye(len(s.c)))
    return None if asked.columns else asked


def _go_back(model: IndexModel, s: _State) -> None:
    """Shorten the last step, at once to where no index moves far."""
    s.shrink = min(s.shrink, FAR / max(model.largest_change(s.step), FAR)) / 2.0
    if s.shrink * model.largest_change(s.step) < LEAST_MOVE:
        s.c, s.status = s.anchor, "stalled"
    else:
        s.c = s.anchor + s.shrink * s.step


def _take_score(model: IndexModel, s: _State) -> None:
    """A pass for the score alone; how it fell corrects the inverse information."""
    new = model.score(s.c)
    if s.score is not None and s.inverse is not None:
        s.inverse = _secant(s.inverse, s.step, s.score - new)
    s.score = new


def _step(s: _State) -> None:
    assert s.inverse is not None
    assert s.score is not None
    s.step = s.inverse @ s.score
    s.decrement = float(s.score @ s.step)
    s.anchor, s.shrink = s.c, 1.0
    s.c = s.c + s.step


def _terminate(model: IndexModel, s: _State, how: _Rules) -> None:
    """Say how the iteration ends, or what the next pass has to give."""
    if s.full and _converged(model, s, how):
        s.status = "converged"
    elif _suspicious(model, s, how):
        s.status = "suspicious"
    else:
        s.ends = _next_is_last(model, s, how)
        s.full, s.previous = _next_is_full(s, how), s.decrement


def _next_is_last(model: IndexModel, s: _State, how: _Rules) -> bool:
    """Whether the next pass is expected to be the last."""
    if not how.lag:
        return model.kernel.quadratic or _expected(s, model.rows) <= how.tolerance
    if s.full:  # quadratic from here: λ² → about λ⁴
        return s.decrement**2 <= how.tolerance
    ratio = _contraction(s)
    return s.decrement * ratio <= how.tolerance or _near(s, how.kept, 4 * ratio)


def _contraction(s: _State) -> float:
    """By what the last step made λ² smaller."""
    return s.decrement / s.previous if np.isfinite(s.previous) else 1e-2


def _expected(s: _State, n: int) -> float:
    """About the next λ², which falls to c·λ⁴; the constant is that of the last step, or one over n."""
    rate = 3 * s.decrement / s.previous**2 if np.isfinite(s.previous) else 1 / n
    return rate * s.decrement**2


def _converged(model: IndexModel, s: _State, how: _Rules) -> bool:
    small = s.decrement <= how.tolerance or _near(s, how.kept)
    return small and s.factor is not None and (not how.settle or _settled(model, s))


def _suspicious(model: IndexModel, s: _State, how: _Rules) -> bool:
    late = how.suspicious and not model.kernel.quadratic and s.full and s.full_passes >= SUSPECT_AFTER
    return late and model.largest_change(s.step) > 0.3


def _take_last(model: IndexModel, s: _State) -> None:
    """The last point reached, if it is better than the last one seen."""
    p = model.evaluate(s.c)
    if p.loglik >= s.loglik:
        s.loglik, s.information, s.factor = p.loglik, p.information, _factorise(p.information)
    else:
        s.c = s.anchor


def _near(s: _State, kept: _Kept | None, ratio: float = 1.0) -> bool:
    """Whether a step, or one √ratio as long, moves estimate and information by nothing to be seen."""
    if kept is None or not s.decrement * ratio <= LAG_DECREMENT:
        return False
    return bool(np.max(kept.column_max * np.abs(s.step)) * np.sqrt(max(ratio, 0.0)) <= LAG_MOVE)


def _settled(model: IndexModel, s: _State) -> bool:
    """Whether no row's index still moves; the bound needs no pass over the rows and nearly always decides."""
    moved = np.sqrt(max(s.decrement, 0.0)) / max(s.smallest_root, 1e-300)
    return bool(moved <= INDEX_MOVE) or model.largest_change(s.step) <= INDEX_MOVE


def _inverse_information(R: Array) -> Array:
    if len(R) > LARGE:  # a third of the work
        upper = np.triu(lapack.dpotri(R, lower=0)[0])
        return as_floats(upper + np.triu(upper, 1).T)
    root = triangle_inverse(R)
    return root @ root.T


def _secant(inverse: Array, step: Array, fall: Array) -> Array:
    """Make a kept inverse information map the last fall of the score to the step that caused it (BFGS)."""
    curvature = float(step @ fall)
    if curvature <= 0:
        return inverse
    back = inverse @ fall
    return (
        inverse
        + np.outer(step, step) * ((1 + fall @ back / curvature) / curvature)
        - (np.outer(back, step) + np.outer(step, back)) / curvature
    )


def _next_is_full(s: _State, how: _Rules) -> bool:
    """Whether the next pass needs the information: to finish, or because the kept one no longer contracts."""
    if not how.lag or s.ends:
        return True
    return s.decrement > 1e-2 if s.full else not 0 <= _contraction(s) <= 0.1


def _start(model: IndexModel, k: int) -> tuple[Array, _Kept | None]:
    """A point near the maximum and the information there, from a sample of the rows."""
    n, zero = model.rows, np.zeros(k)
    rows = int(min(max(n // 10, 50 * k, 1_000), 50_000))
    if _is_read(model):  # rows in memory are cheap beside a reading
        rows = max(rows, n // 4)
    if n <= LAG_ROWS or rows * 2 > n:
        return zero, None
    sample = model.subsample(rows)
    if sample.rows < k:  # all blocks are small
        return zero, None
    inner, kept = _start(sample, k)
    rough = _Rules(12, max(1.0, k / 4), kept, settle=False, suspicious=False, lag=True)
    s = _iterate(sample, inner, rough)
    if s.status != "converged" or s.factor is None:
        return zero, None
    return s.c, _Kept(s.factor * np.sqrt(n / sample.rows), sample.column_maxima())


def _is_read(model: IndexModel) -> bool:
    """Whether passes for the score alone save nothing: each reads a large source, or one step ends it."""
    if not isinstance(model.blocks, StreamedBlocks):
        return False
    return model.kernel.quadratic or not model.blocks.is_small


def _decided(
    model: IndexModel, s: _State, maxiter: int, blocks: Sequence[Block], T: Array | None
) -> tuple[_State, Separation | None]:
    """Settle a suspicious or singular iteration: separation of the rows of X, or go on without suspicion."""
    candidates = [c if T is None else T @ c for c in (s.c, s.step) if c.size]
    separation = find_separation(densified(each_row(blocks)), candidates)
    if separation is not None:
        return s, separation
    lag = T is None and not isinstance(blocks, StreamedBlocks)
    how = _Rules(maxiter - s.passes, suspicious=False, lag=lag, climb=T is not None)
    again = _iterate(model, s.seen, how)
    again.passes += s.passes
    return again, None


def maximise(model: IndexModel, *, maxiter: int = 100) -> Maximum:
    """Find the maximum of an index model's log-likelihood, or prove that there is none.

    Parameters
    ----------
    model : IndexModel over blocks with k columns.
    maxiter : int, passes over all rows at most.

    Returns
    -------
    Maximum
        Converged or not (``converged``), with ``separation`` set where no maximum exists.

    Raises
    ------
    RankDeficient
        If columns are linearly dependent.

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> y, X = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.ones((5, 1))
    >>> maximise(IndexModel(LOGISTIC, [Block(y, X)])).params.round(6)  # log(3/2)
    array([0.405465])
    """
    with np.errstate(all="ignore"):  # a trial step may overflow: its log-likelihood says so
        return _maximise(model, maxiter)


def _maximise(model: IndexModel, maxiter: int) -> Maximum:
    k = width(model.blocks)
    require_rows(model.rows, k)
    if model.rows * k <= SMALL or _by_columns(model, k):
        return _maximise_whitened(model, maxiter)
    s, separation = _iterate_plain(model, k, maxiter)
    if separation is None and s.information is not None:
        condition = _condition(s.information)
        if _trusted(s, condition, maxiter):
            return _maximum(s, None, condition, "Newton", None, None)
    warm = s.c if s.status in ("converged", "maxiter") else None
    return _maximise_whitened(model, maxiter, warm, separation, s.passes)


def maximum_at(model: IndexModel, whitening: Whitening, coordinates: Array, params: Array) -> Maximum:
    """A maximum that is known, with its information.

    Parameters
    ----------
    model : IndexModel over blocks of k columns in the coordinates of ``whitening``.
    whitening : Whitening.
    coordinates, params : (k,) float64 arrays, the maximum in the coordinates of ``whitening`` and in those of
        the columns.

    Returns
    -------
    Maximum

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> from disteconometrics.optim.whiten import whitening
    >>> model = IndexModel(LOGISTIC, [Block(np.array([0.0, 1.0]), np.ones((2, 1)))])
    >>> maximum_at(model, whitening(model), np.zeros(1), np.zeros(1)).root.round(6).tolist()  # 1/sqrt(2/4)
    [[1.414214]]
    """
    with np.errstate(all="ignore"):
        p = model.evaluate(coordinates)
    s = _State(coordinates, coordinates, None, True, coordinates, p.loglik, p.information)
    s.factor, s.status, s.passes, s.decrement = _factorise(p.information), "converged", 1, 0.0
    found = _maximum(s, whitening.basis, whitening.condition, "together", whitening.column_max, None)
    return replace(found, params=params)


def _by_columns(model: IndexModel, k: int) -> bool:
    """Whether one of many columns separates by itself; a quadratic log-likelihood has a maximum anyway."""
    return k >= MANY and not model.kernel.quadratic and decided_columns(model.blocks)


def _trusted(s: _State, condition: float, maxiter: int) -> bool:
    """Whether what an iteration in the columns' own coordinates found is the last word."""
    if s.passes >= maxiter and s.factor is not None:
        return True
    return s.status == "converged" and condition <= CONDITION


def _iterate_plain(model: IndexModel, k: int, maxiter: int) -> tuple[_State, Separation | None]:
    """Newton in the columns' own coordinates, and the separation that it ran into."""
    start, kept = _start(model, k)
    how = _Rules(min(maxiter, PLAIN_PASSES), kept=kept, lag=True)
    if _is_read(model):
        tolerance = max(DECREMENT, model.rows * MEAN_MOVE**2)
        how = _Rules(min(maxiter, PLAIN_PASSES), tolerance)
    s = _iterate(model, start, how)
    if s.status == "stalled" and kept is not None:
        s = _iterate(model, np.zeros(k), how._replace(kept=None))
    if s.status == "suspicious":
        return _decided(model, s, maxiter, model.blocks, None)
    return s, None


def _maximise_whitened(
    model: IndexModel,
    maxiter: int,
    start: Array | None = None,
    separation: Separation | None = None,
    used: int = 0,
) -> Maximum:
    """The same in coordinates with an orthonormal design, after ``used`` passes in the columns' own."""
    white, T, column_max, condition = whitened(model)
    k = len(T)
    if separation is None and _by_columns(model, k):
        separation = find_separation(densified(each_row(model.blocks)))
        if separation is not None:  # with many columns that runs away in vain for a long time
            return _maximum(
                _State.begin(np.zeros(k)), None, condition, "columns decided", column_max, separation
            )
    c = against_offset(white) if start is None else as_floats(np.linalg.solve(T, start))
    s = _iterate(white, c, _Rules(max(1, maxiter - used)))
    flat = s.status == "converged" and s.smallest_root < FLAT  # gains of probits die early
    if separation is None and not white.kernel.quadratic and (flat or s.status in ("suspicious", "singular")):
        s, separation = _decided(white, s, maxiter, model.blocks, T)
    rest = np.zeros(k)
    if s.status == "converged":
        rest = _polish(white, s)
    s.passes += used
    return _maximum(s, T, condition, "whitened Newton", column_max, separation, rest)


def _polish(white: IndexModel, s: _State) -> Array:
    """Information at the solution and, on few rows, a last step from a score summed to twice the digits.

    A coefficient far below its standard error is the small difference of large coordinates, so of c what is
    left of it after rounding is returned.
    """
    asked = None if white.last is None or s.factor is None else white.last(triangle_inverse(s.factor))
    p = white.evaluate(s.c, asked)
    s.passes += 1
    factor = _factorise(p.information)
    assert factor is not None
    s.loglik, s.information, s.factor, s.sums = p.loglik, p.information, factor, p.sums
    s.c, rest = two_sum(s.c, _solve(factor, p.score))
    if white.rows * len(s.c) <= SMALL:
        s.c, rest = two_sum(s.c, rest + _solve(factor, white.exact_score(s.c, rest)))
        s.passes += 1
    return rest


def _maximum(
    s: _State,
    T: Array | None,
    condition: float,
    path: str,
    column_max: Array | None,
    separation: Separation | None,
    rest: Array | float = 0.0,
) -> Maximum:
    k = len(s.c)
    root = np.full((k, k), np.nan) if s.factor is None else triangle_inverse(s.factor)
    inner, params = root, s.c
    if T is not None:
        root = T @ root
        params = dot(T, s.c, rest)[0]
    return Maximum(
        params,
        s.c,
        s.loglik,
        T,
        inner,
        root,
        s.status == "converged" and separation is None,
        s.passes,
        s.decrement,
        condition,
        path,
        column_max,
        separation,
        s.sums if s.status == "converged" else None,
    )
