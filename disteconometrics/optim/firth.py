"""Firth's logit: maximise the log-likelihood with Jeffreys' penalty, ½ log|information|.

With p the fitted probabilities, w = p(1 − p), I = X'WX and leverages h_i = w_i x_i'I⁻¹x_i, the maximum of
l*(β) = l(β) + ½ log|I(β)| solves the modified score Σ x_i {y_i − p_i + h_i(½ − p_i)} = 0 and is finite
whatever the data. A frequency weight multiplies a row's terms of l and of I, so it equals repeated rows.

Everything happens in whitened coordinates (`optim.whiten`), and for a batch of problems at once: problem m is
the maximum over c = c_m + N_m·γ, **with the penalty of all k coefficients** (so that likelihood ratios
compare one function with itself). The fit is a batch of one; a restricted fit has the null space of its
restrictions as N; a profile of k coefficients at both ends is a batch of 2k.  Steps are Newton's with the
exact Hessian of l* where it is affordable and positive definite, else with the information; they are halved
while l* falls.

Ends of a profile interval solve 2{l* − max l*(β_j = b)} = q.  The signed root of the left side is nearly
linear in b, so Newton on it inside a bracket takes a few steps, and each profile point starts on the tangent
of the path before.

References
----------
Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80, doi:10.1093/biomet/80.1.27.
Heinze, Schemper (2002), A solution to the problem of separation in logistic regression, Statistics in
Medicine 21, doi:10.1002/sim.1047.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Mask, as_floats, or_ones
from disteconometrics.blocks import Block
from disteconometrics.likelihoods.index_model import IndexModel, chunks
from disteconometrics.likelihoods.logistic import inverse_logit, logistic
from disteconometrics.likelihoods.twofold import dot
from disteconometrics.optim.newton import Maximum
from disteconometrics.optim.whiten import against_offset, whitened

__all__ = ["FirthMaximum", "Profile", "against_constant", "balance", "firth", "profile", "restricted"]


DECREMENT = 1e-20  # λ² of the fit: the last step, then taken too, is 1e-10 standard errors long
PROFILE_DECREMENT = 1e-12  # of a point of a profile, whose value is then right to 1e-12
EARLY = 1e-3  # of the first two points on the way to an interval's end; what is left is counted as λ²/2
STALLED = 1e-15  # λ² at which rounding may be all that is left
NEAR = 1e-6  # λ² below which a step is taken without asking whether l* rises, which rounding would decide
MAXITER = 100  # passes over the rows at most
CHUNK = 400_000  # entries of the largest array of a chunk
EXACT = 3e7  # multiplications in a pass up to which the Hessian of the penalty is formed
MOST_COLUMNS = 40  # … and columns
# distance of the signed root from its target at which the last Newton step of an interval's end is taken
ROOT = 1e-6
HIGHER = 1e-6  # of l* above the estimate's, beyond rounding: there is another maximum
ENDS = 60  # points of a profile tried per end


class _Point(NamedTuple):
    """m points: l* (m,), l (m,), modified score (m, k), information and curvature of −l* (m, k, k)."""

    penalised: Array
    loglik: Array
    score: Array
    information: Array
    curvature: Array


class _Solved(NamedTuple):
    """A batch of maxima: coordinates (m, k), their last point, λ² (m,), and whether each was reached (m,)."""

    c: Array
    point: _Point
    decrement: Array
    converged: Mask
    passes: int


@dataclass(frozen=True, eq=False)
class FirthMaximum:
    """The maximum of the penalised likelihood.

    ``maximum`` holds the estimate as maximum likelihood would, its ``loglik`` the unpenalised log-likelihood
    there; ``penalised`` is l + ½ log|I| with the information of β; ``blocks`` are the rows in whitened
    coordinates.
    """

    maximum: Maximum
    penalised: float
    blocks: Sequence[Block]
    rows: int
    inner_penalised: float  # the same with the information of c: what restricted fits are compared with

    @property
    def basis(self) -> Array:
        """T (k, k) with β = T·c."""
        assert self.maximum.basis is not None
        return self.maximum.basis


def _terms(blocks: Any, c: Array, exact: bool) -> Iterator[tuple[Array, ...]]:
    """By chunks of rows: X, counts (r,), and of every problem and row (m, r) l, y − p, p − ½ and w.

    Chunks are small enough for (m, rows, k) and, for the exact Hessian, (rows, k²); the terms are those of
    one observation each.
    """
    m, k = c.shape
    for block in chunks(blocks, max(128, CHUNK // (k * max(m, k if exact else 1)))):
        eta = c @ block.X.T
        if block.offset is not None:
            eta += block.offset
        loglik, score, root = logistic(np.broadcast_to(block.y, eta.shape), eta)
        counts = or_ones(block.weights, 1)
        yield block.X, counts, loglik, score, block.y - 0.5 - score, root * root


def _cholesky(information: Array) -> tuple[Array, Mask]:
    """Lower factors (m, k, k) and which are positive definite; the identity for the others."""
    try:
        every = as_floats(np.linalg.cholesky(information))
        if np.all(np.isfinite(every)):
            return every, np.ones(information.shape[:1], dtype=np.bool_)
    except np.linalg.LinAlgError:
        pass
    L = np.broadcast_to(np.eye(information.shape[-1]), information.shape).copy()
    good = np.zeros(len(information), dtype=bool)
    for i, H in enumerate(information):
        if np.all(np.isfinite(H)):
            try:
                L[i] = np.linalg.cholesky(H)
                good[i] = True
            except np.linalg.LinAlgError:
                pass
    return L, good


def _evaluate(blocks: Any, c: Array, exact: bool) -> _Point:
    """l*, its score and curvature at a batch of points c (m, k): two passes over the rows."""
    m, k = c.shape
    loglik, information = np.zeros(m), np.zeros((m, k, k))
    for X, a, ll, _, _, w in _terms(blocks, c, exact):
        loglik += np.sum(ll * a, axis=1)
        information += _gram(X, w * a)
    L, good = _cholesky(information)
    J = np.swapaxes(np.linalg.inv(L), 1, 2)  # J·J' = I⁻¹
    wide = J.transpose(1, 0, 2).reshape(k, m * k)
    score, half, cubic = np.zeros((m, k)), np.zeros((m, k, k)), np.zeros((m, k, k * k))
    for X, a, _, r, p, w in _terms(blocks, c, exact):
        q = np.square(X @ wide).reshape(-1, m, k).sum(axis=2).T  # x'I⁻¹x
        score += ((r - w * q * p) * a) @ X
        if exact:
            half += _gram(X, w * (1 - 6 * w) * q * a)
            pairs = (X[:, :, None] * X[:, None, :]).reshape(-1, k * k)
            cubic += (_weighted(X, -2 * w * p * a) @ pairs).reshape(m, k, k * k)
    curvature = information
    if exact:
        M = np.swapaxes(J, 1, 2)[:, None] @ cubic.reshape(m, k, k, k) @ J[:, None]
        M = M.reshape(m, k, k * k)
        curvature = information - half / 2 + M @ np.swapaxes(M, 1, 2) / 2
    with np.errstate(divide="ignore"):
        penalty = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    penalised = np.where(good & np.isfinite(loglik), loglik + penalty, -np.inf)
    return _Point(penalised, loglik, score, information, curvature)


def _gram(X: Array, w: Array) -> Array:
    """X' diag(w) X (m, k, k) for weights w (m, r)."""
    return (_weighted(X, w) @ X).reshape(len(w), X.shape[1], X.shape[1])


def _weighted(X: Array, w: Array) -> Array:
    """The transposed rows times the weights of every problem (m·k, r): one product serves them all."""
    return (w[:, None, :] * X.T).reshape(-1, len(X))


def _steps(point: _Point, N: Array) -> tuple[Array, Array]:
    """Newton steps (m, k) along N, and λ² (m,).

    The information replaces a curvature that is not positive definite.
    """
    Nt = np.swapaxes(N, 1, 2)
    g = (Nt @ point.score[:, :, None])[:, :, 0]
    H = Nt @ point.curvature @ N
    if point.curvature is not point.information:
        values = np.linalg.eigvalsh(np.where(np.isfinite(H), H, 0.0))
        bent = values[:, 0] <= 1e-6 * np.abs(values[:, -1])
        if bent.any():
            H[bent] = (Nt @ point.information @ N)[bent]
    s = np.sqrt(np.maximum(np.diagonal(H, axis1=1, axis2=2), 1e-300))
    H = H / (s[:, :, None] * s[:, None, :])
    lost = ~np.all(np.isfinite(H), axis=(1, 2))
    H[lost] = np.eye(H.shape[1])
    lost |= np.linalg.eigvalsh(H)[:, 0] < 1e-14
    H[lost] = np.eye(H.shape[1])
    gamma = np.linalg.solve(H, (g / s)[:, :, None])[:, :, 0] / s
    gamma[lost] = np.nan  # nowhere to go: the problem stops unconverged
    return (N @ gamma[:, :, None])[:, :, 0], np.maximum(np.sum(gamma * g, axis=1), 0.0)


def _solve(
    blocks: Any, start: Array, N: Array, exact: bool, tolerance: float = DECREMENT, maxiter: int = MAXITER
) -> _Solved:
    """Maximise l* over c = start + N·γ for a batch: start (m, k), N (m, k, q)."""
    c, point, passes = start.copy(), _evaluate(blocks, start, exact), 1
    m = len(c)
    decrement, converged = np.full(m, np.inf), np.zeros(m, dtype=bool)
    if N.shape[2] == 0:
        return _Solved(c, point, np.zeros(m), np.isfinite(point.penalised), passes)
    active, scale, step = np.isfinite(point.penalised), np.ones(m), np.zeros_like(c)
    fresh = active.copy()  # problems whose step is to be computed
    while active.any():
        if fresh.any():
            step[fresh], decrement[fresh] = _steps(_Point(*(part[fresh] for part in point)), N[fresh])
            scale[fresh] = 1.0
            done = fresh & (decrement <= tolerance)
            c[done] += step[done]
            converged |= done
            active &= ~done & np.isfinite(decrement)
        if passes >= maxiter or not active.any():
            break
        on = np.flatnonzero(active)
        trial = c[on] + scale[on, None] * step[on]
        new = _evaluate(blocks, trial, exact)
        passes += 1
        slack = np.where(decrement[on] < NEAR, 1e-9 * (1 + np.abs(point.penalised[on])), 0.0)
        better = np.isfinite(new.penalised) & (new.penalised >= point.penalised[on] - slack)
        taken = on[better]
        c[taken] = trial[better]
        for old, part in zip(point, new, strict=True):
            old[taken] = part[better]
        fresh = np.zeros(m, dtype=bool)
        fresh[taken] = True
        scale[on[~better]] /= 2
        lost = active & ~fresh & (scale < 1e-12)
        converged |= lost & (decrement <= STALLED)
        active &= ~lost
    converged |= decrement <= STALLED
    return _Solved(c, point, decrement, converged, passes)


def _affordable(rows: int, k: int, problems: int) -> bool:
    """Whether the Hessian of the penalty is worth its price."""
    return k <= MOST_COLUMNS and rows * k**3 * float(problems) <= EXACT


def firth(model: IndexModel, *, maxiter: int = MAXITER) -> FirthMaximum:
    """Maximise a logit's likelihood with Jeffreys' penalty.

    Parameters
    ----------
    model : IndexModel with the logistic kernel, over blocks with k columns; weights are counts.
    maxiter : int, passes over the rows at most.

    Returns
    -------
    FirthMaximum

    Raises
    ------
    RankDeficient, OutOfRange

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> model = IndexModel(LOGISTIC, [Block(np.array([1.0, 1.0, 1.0]), np.ones((3, 1)))])
    >>> firth(model).maximum.params.round(6)  # log(3.5/0.5): half a success more, half a failure
    array([1.94591])
    """
    with np.errstate(all="ignore"):
        white, T, column_max, condition = whitened(model)
        blocks, start, k = white.blocks, against_offset(white), len(T)
        exact = _affordable(model.rows, k, 1)
        s = _solve(blocks, start[None, :], np.eye(k)[None], exact, DECREMENT, maxiter)
        if not np.isfinite(s.point.penalised[0]):  # an offset far out: the information vanishes at the start
            s = _solve(blocks, np.zeros((1, k)), np.eye(k)[None], exact, DECREMENT, maxiter)
    L, good = _cholesky(s.point.information)
    inner = np.linalg.inv(L[0]).T if good[0] else np.full((k, k), np.nan)
    params = dot(T, s.c[0])[0]
    m = Maximum(
        params,
        s.c[0],
        float(s.point.loglik[0]),
        T,
        inner,
        T @ inner,
        bool(s.converged[0]),
        s.passes,
        float(s.decrement[0]),
        condition,
        "whitened Newton" if exact else "whitened scoring",
        column_max,
    )
    inside = float(s.point.penalised[0])
    return FirthMaximum(m, inside - float(np.linalg.slogdet(T)[1]), blocks, model.rows, inside)


def restricted(fit: FirthMaximum, R: Array, r: Array) -> tuple[float, bool]:
    """Likelihood-ratio statistic 2(l* − l* under R·β = r) with the full penalty, and whether it converged.

    Parameters
    ----------
    fit : FirthMaximum of k coefficients.
    R, r : (q, k) and (q,) float64 arrays, rows independent.
    """
    A = R @ fit.basis
    size = np.linalg.norm(A, axis=1, keepdims=True)
    return _ratio(fit, A / size, r / size[:, 0])


def against_constant(fit: FirthMaximum) -> tuple[float, bool]:
    """The same for a constant x'β, where some combination of the columns is one in every row."""
    gram, total = np.zeros_like(fit.basis), np.zeros(len(fit.basis))
    for block in fit.blocks:
        gram += block.X.T @ block.X
        total += block.X.sum(axis=0)
    constant = np.linalg.solve(gram, total)  # Z·c = 1
    A = np.linalg.qr(constant[:, None], mode="complete")[0][:, 1:].T
    return _ratio(fit, A, np.zeros(len(A)))


def _ratio(fit: FirthMaximum, A: Array, b: Array) -> tuple[float, bool]:
    """Likelihood ratio of A·c = b, rows of A independent and of unit length."""
    q = len(A)
    if not q:
        return 0.0, True
    N = np.linalg.qr(A.T, mode="complete")[0][None, :, q:]
    c = fit.maximum.coordinates
    inverse = fit.maximum.inner @ fit.maximum.inner.T
    # to the quadratic model's restricted maximum
    toward = -inverse @ A.T @ np.linalg.solve(A @ inverse @ A.T, A @ c - b)
    starts = np.stack([c + toward, np.linalg.lstsq(A, b, rcond=None)[0]])
    with np.errstate(all="ignore"):
        exact = _affordable(fit.rows, len(fit.basis), 1)
        values = np.nan_to_num(_evaluate(fit.blocks, starts, False).penalised, nan=-np.inf)
        for i in np.argsort(-values):
            s = _solve(fit.blocks, starts[i : i + 1], N, exact)
            if s.converged[0]:
                break
        else:
            s = _continued(fit, toward, N, exact)
    return 2 * (fit.inner_penalised - float(s.point.penalised[0])), bool(s.converged[0])


def _continued(fit: FirthMaximum, toward: Array, N: Array, exact: bool) -> _Solved:
    """The restricted maximum, by restrictions ever farther from the estimate, one after the other."""
    share, stride, c = 0.0, 0.25, fit.maximum.coordinates[None, :]
    last = _solve(fit.blocks, c, N[:, :, :0], exact)
    while share < 1 and stride > 1e-4:
        stride = min(stride, 1 - share)
        tolerance = DECREMENT if share + stride == 1 else PROFILE_DECREMENT
        s = _solve(fit.blocks, c + stride * toward, N, exact, tolerance)
        if s.converged[0]:
            share, c, last = share + stride, s.c, s
            stride *= 2
        else:
            stride /= 4
    return last if share >= 1 else last._replace(converged=np.zeros(1, dtype=bool))


class _Lines(NamedTuple):
    """Problems of a profile: unit directions t (m, k), null spaces N (m, k, k−1), path tangents (m, k)."""

    t: Array
    N: Array
    tangent: Array


def _tangent(point: _Point, t: Array, N: Array) -> Array:
    """How the profile's coordinates move as t'c grows by one (m, k).

    −l*'s curvature metric, else the information's.
    """
    if not N.shape[2]:
        return t
    Nt = np.swapaxes(N, 1, 2)
    A, plain = Nt @ point.curvature @ N, Nt @ point.information @ N
    bad = ~np.all(np.isfinite(A), axis=(1, 2))
    A[bad] = plain[bad]
    bad |= np.linalg.eigvalsh(A)[:, 0] <= 0
    A[bad] = plain[bad]
    H = np.where(bad[:, None, None], point.information, point.curvature)
    try:
        return t - (N @ np.linalg.solve(A, Nt @ (H @ t[:, :, None])))[:, :, 0]
    except np.linalg.LinAlgError:  # no path to be seen: any start will do
        return t


class Profile(NamedTuple):
    """Intervals, signed roots, and whether a profile rose above the estimate.

    If it did, the penalised likelihood has several maxima.

    ``bounds`` (k, 2) are ends b with 2{l* − max l*(β_j = b)} = quantile, NaN where none was found; ``roots``
    (k,) are sign(β_j)·√(2{l* − max l*(β_j = 0)}), NaN where the restricted maximum was not reached;
    ``higher`` (k,) bool.
    """

    bounds: Array
    roots: Array
    higher: Mask


def profile(fit: FirthMaximum, quantile: float) -> Profile:
    """Profile-penalised-likelihood intervals, and signed roots of the likelihood ratios of zero coefficients.

    Parameters
    ----------
    fit : FirthMaximum of k coefficients.
    quantile : float, of the χ² law with one degree of freedom at the level of the intervals.

    Returns
    -------
    Profile
    """
    with np.errstate(all="ignore"):
        return _profile(fit, quantile)


def _profile(fit: FirthMaximum, quantile: float) -> Profile:
    T, c0 = fit.basis, fit.maximum.coordinates
    k = len(c0)
    size = np.linalg.norm(T, axis=1)
    t = T / size[:, None]
    N = np.stack([np.linalg.qr(row[:, None], mode="complete")[0][:, 1:] for row in t])
    exact = _affordable(fit.rows, k, 2 * k)
    top = _evaluate(fit.blocks, c0[None, :], exact)
    tops = _Point(*(np.repeat(part, k, axis=0) for part in top))
    v = _tangent(tops, t, N)
    spread = 1 / np.sqrt(np.maximum(np.sum((v[:, None, :] @ tops.information)[:, 0] * v, axis=1), 1e-300))
    here = t @ c0
    roots = _zero_roots(fit, N, v, here, exact)
    twice = np.tile(np.arange(k), 2)
    sign = np.repeat([-1.0, 1.0], k)
    lines = _Lines(t[twice], N[twice], v[twice])
    ends, higher = _ends(fit, lines, here[twice], sign, spread[twice], quantile, exact)
    bounds = ends.reshape(2, k).T * size[:, None]
    return Profile(bounds, roots, higher[:k] | higher[k:])


def _zero_roots(fit: FirthMaximum, N: Array, tangent: Array, here: Array, exact: bool) -> Array:
    near = fit.maximum.coordinates - here[:, None] * tangent
    values, at_zero = (_evaluate(fit.blocks, c, False).penalised for c in (near, np.zeros_like(near)))
    start = np.where((values >= at_zero)[:, None], near, 0.0)
    s = _solve(fit.blocks, start, N, exact, PROFILE_DECREMENT)
    gap = np.sqrt(np.maximum(2 * (fit.inner_penalised - s.point.penalised), 0.0))
    return np.where(s.converged, np.sign(here) * gap, np.nan)


def _ends(
    fit: FirthMaximum,
    lines: _Lines,
    here: Array,
    sign: Array,
    spread: Array,
    quantile: float,
    exact: bool,
) -> tuple[Array, Mask]:
    """Ends (m,) of profile intervals in units of t'c, and whether l* rose above the estimate on the way.

    Newton on the signed root of the likelihood ratio, inside a bracket.
    """
    target, m = np.sqrt(quantile), len(here)
    c = np.tile(fit.maximum.coordinates, (m, 1))
    tangent, answer = lines.tangent.copy(), np.full(m, np.nan)
    at = np.zeros(m)  # distance from the estimate
    low, high, x = np.zeros(m), np.full(m, np.inf), target * spread
    active, higher = np.isfinite(x), np.zeros(m, dtype=bool)
    for i in range(ENDS):
        on = np.flatnonzero(active)
        if not len(on):
            break
        move = (sign * (x - at))[on, None] * tangent[on]
        tolerance = EARLY if i < 2 else PROFILE_DECREMENT
        s = _solve(fit.blocks, c[on] + move, lines.N[on], exact, tolerance)
        ok = s.converged & np.isfinite(s.point.penalised)
        x[on[~ok]] = (at + (x - at) / 4)[on[~ok]]  # too far for the tangent: come closer
        good = on[ok]
        if not len(good):
            continue
        point = _Point(*(part[ok] for part in s.point))
        v = _tangent(point, lines.t[good], lines.N[good])
        z = np.sqrt(np.maximum(2 * (fit.inner_penalised - point.penalised - s.decrement[ok] / 2), 0.0))
        slope = -sign[good] * np.sum(point.score * v, axis=1) / z  # dz/dx
        higher[good] |= point.penalised > fit.inner_penalised + HIGHER
        c[good], at[good], tangent[good] = s.c[ok], x[good], v
        step = (target - z) / slope
        sure = (np.abs(target - z) < ROOT) & (slope > 0) & (s.decrement[ok] <= PROFILE_DECREMENT)
        answer[good[sure]] = (here[good] + sign[good] * (x[good] + step))[sure]
        low[good] = np.where(z < target, np.maximum(low[good], x[good]), low[good])
        high[good] = np.where(z >= target, np.minimum(high[good], x[good]), high[good])
        new = x[good] + step
        limit = np.where(np.isfinite(high[good]), (low[good] + high[good]) / 2, 2 * x[good] + spread[good])
        wild = ~(slope > 0) | (new <= low[good]) | (new >= high[good]) | (new > 3 * x[good] + spread[good])
        x[good] = np.where(wild, limit, new)
        active[good[sure]] = False
    return answer, higher


def balance(index: Array, y: Array, counts: Array | None) -> float:
    """The constant δ with which the fitted probabilities average to the outcome.

    It solves Σ a_i {y_i − 1/(1 + exp(−η_i − δ))} = 0.

    Parameters
    ----------
    index : (n,) float64 array, η in log-odds.
    y : (n,) float64 array of 0 and 1, both present.
    counts : (n,) float64 array or None.

    References
    ----------
    Puhr, Heinze, Nold, Lusa, Geroldinger (2017), Firth's logistic regression with rare events, Statistics in
    Medicine 36, doi:10.1002/sim.7273.
    """
    a = np.ones_like(y) if counts is None else counts
    delta, low, high = 0.0, -np.inf, np.inf
    for _ in range(200):
        p = inverse_logit(index + delta)
        gap, slope = float(a @ (y - p)), float(a @ (p * (1 - p)))
        low, high = (delta, high) if gap > 0 else (low, delta)
        step = float(np.clip(gap / max(slope, 1e-300), -5.0, 5.0))
        new = delta + step
        if not low < new < high:
            new = (low + high) / 2 if np.isfinite(low) and np.isfinite(high) else new
        if abs(new - delta) <= 1e-14 * max(1.0, abs(delta)):
            return new
        delta = new
    return delta
