"""Penalised maximum likelihood of a monotone transformation, smoothing included.

The problem is min f(θ) = Σ w·(ρ(a'θ) − log d'θ) + ½ Σ_k λ_k θ'S_kθ over Gθ > 0, convex for given λ.  Three
loops run at once:

1. Newton's method with a logarithmic barrier for Gθ > 0 whose weight falls to that of a small part of one
observation; far from
   the optimum its steps are primal-dual with Mehrotra's corrector, for the barrier and for the logarithms of
   the slopes alike;
2. Fellner and Schall's update of the λ, whose fixed point maximises the Laplace approximation of the marginal
likelihood (the
   penalty read as a normal prior), sped up by a secant step per λ; a λ at its ceiling has dropped its term;
3. cutting planes: an oracle names rows g with g'θ ≤ 0, which join G.  The iterate is first drawn towards a
point that satisfies
   every row the oracle can name.

References
----------
Wood, Fasiolo (2017), A generalized Fellner-Schall method for smoothing parameter optimization, Biometrics 73,
doi:10.1111/biom.12666.
Boyd, Vandenberghe (2004), Convex optimization, Cambridge University Press.
Mehrotra (1992), On the implementation of a primal-dual interior point method, SIAM J. Optimization 2,
doi:10.1137/0802028.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.linalg import lapack

from disteconometrics.arrays import Array
from disteconometrics.errors import DataError
from disteconometrics.likelihoods.monotone import BaseLaw, Pass, Rows, evaluate, left_out, loglik
from disteconometrics.likelihoods.structure import Penalty

__all__ = ["DROPPED", "LAST", "Problem", "Smooth", "solve"]


SMALLEST, DROPPED = 1e-7, 1e8  # range of the λ
BARRIER = 0.1  # weight of the barrier per slope function at the end, in observations
STEADY = 1e-5  # largest weighted change of a log λ at convergence
DECREMENT = 1e-10  # squared Newton decrement per observation from which on the λ stay …
LAST = 1e-17  # … and at convergence, which is a step or two later
NEAR = 1e-4  # the same, from which on steps are Newton's own, in double precision
FASTEST = 4.0  # secant step over plain step at most, at first
CYCLING, SETTLED = (
    15,
    1e-4,
)  # updates of λ after which they wait for θ and information: a λ that chases them may cycle for ever
SURE = 1e-6  # decrement from which on Newton's steps converge whatever the objective seems to be
MOST = 0.95  # share of the way to the border of the domain
RIDGE = 1e-11  # of the mean information, so that the factor exists


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, base law, penalties, a start with Gθ > 0 for every row that ``cuts`` can name, and that oracle.

    ``cuts(θ)`` returns rows (q, p) with g'θ ≤ 0 (q = 0: none is left).  The barrier ends with the weight of a
    tenth of an observation for each of the slope ``functions``, whatever the number of rows.
    """

    rows: Rows
    base: BaseLaw
    penalties: Sequence[Penalty]
    start: Array
    cuts: Callable[[Array], Array]
    functions: int

    @property
    def observations(self) -> float:
        """Rows, or the sum of their weights."""
        return float(len(self.rows.A) if self.rows.weights is None else self.rows.weights.sum())

    def penalty(self, lam: Array) -> Array:
        """Σ λ_k S_k (p, p)."""
        S = np.zeros((len(self.start),) * 2)
        for value, k in zip(lam, self.penalties, strict=True):
            S[k.at, k.at] += value * k.S
        return S


@dataclass(frozen=True, eq=False)
class Smooth:
    """The solution: θ (p,), λ, log-likelihood, information (p, p) without penalty, Σ λS, R⁻¹ with R'R = information + penalty
    (+ barrier), rows of G that were needed, h and slope of the rows, effective parameters by coefficient
    (p,), steps."""

    theta: Array
    lam: Array
    loglik: float
    information: Array
    penalty: Array
    root: Array
    G: Array
    z: Array
    slope: Array
    effective: Array
    steps: int
    converged: bool

    def left_out(self, problem: Problem) -> Array:
        """Log density of each row without it (n,)."""
        return left_out(problem.rows, problem.base, self.z, self.slope, self.root)


Forms: TypeAlias = "tuple[Array, Array, Array]"


@dataclass(eq=False)
class _Iterate:
    """Where the iterations are: coefficients and the three linear forms that must stay positive or be known."""

    theta: Array
    z: Array
    slope: Array
    c: Array

    def moved(self, t: float, delta: Array, forms: Forms) -> _Iterate:
        return _Iterate(
            self.theta + t * delta, self.z + t * forms[0], self.slope + t * forms[1], self.c + t * forms[2]
        )

    def room(self, forms: Forms) -> float:
        """How often the step fits between the iterate and the border of the domain, at most once."""
        worst = min(np.min(forms[1] / self.slope, initial=0.0), np.min(forms[2] / self.c, initial=0.0))
        return 1.0 if worst > -MOST else -MOST / worst


def solve(
    problem: Problem,
    lam: Array,
    *,
    theta: Array | None = None,
    G: Array | None = None,
    select: bool = True,
    steady: float = STEADY,
    last: float = LAST,
    maxiter: int = 300,
) -> Smooth:
    """Minimise, updating the λ unless ``select`` is false.

    Parameters
    ----------
    problem : Problem of p coefficients.
    lam : (K,) float64 array, the λ to start from.
    theta : (p,) float64 array or None, where to start.
    G : (q, p) float64 array or None, rows known to be needed.
    select : bool.
    steady : float, largest change of a log λ, weighted with its effective parameters, at convergence.
    last : float, squared Newton decrement per observation at convergence.
    maxiter : int, Newton steps at most.

    Returns
    -------
    Smooth
    """
    theta = problem.start if theta is None else theta
    G = np.zeros((0, len(theta))) if G is None else G
    lam = np.array(lam, dtype=np.float64)
    steps, state = 0, None
    while True:
        theta = _inside(theta, problem.start, G)
        found, state = _newton(
            problem, lam, theta, G, steady if select else None, last, maxiter - steps, state
        )
        steps += found.steps
        rows = problem.cuts(found.theta)
        if not len(rows) or steps >= maxiter:
            break
        G = np.concatenate([G, rows])
        theta, lam = found.theta, found.lam
    return Smooth(**{**found.__dict__, "steps": steps, "converged": found.converged and not len(rows)})


def _inside(theta: Array, start: Array, G: Array) -> Array:
    """Draw a point that violates a row of G towards the start until all rows are well above zero."""
    a, b = G @ theta, G @ start
    share = 1.0
    short = a < 0.05 * b
    if (a <= 0).any():
        share = 0.95 * float(np.min(0.95 * b[short] / (b[short] - a[short])))
    return theta if share == 1.0 else start + share * (theta - start)


def _newton(
    problem: Problem,
    lam: Array,
    theta: Array,
    G: Array,
    tolerance: float | None,
    last: float,
    maxiter: int,
    state: _Secant | None,
) -> tuple[Smooth, _Secant]:
    rows, base, n = problem.rows, problem.base, problem.observations
    at = _Iterate(theta, rows.A @ theta, rows.D @ theta, G @ theta)
    state = _Secant(len(lam)) if state is None else state
    S, steady, converged = problem.penalty(lam), tolerance is None, False
    least = BARRIER * problem.functions / max(len(G), 1)
    mu = (
        max(least, 0.01 * n / len(G))
        if tolerance is not None and theta is problem.start and len(G)
        else least
    )
    steps, extra, waited, near, exact, duals = 0, 0, 0, False, False, _duals(at, mu)
    value: float | None = None
    for _ in range(max(maxiter, 1)):
        steps += 1
        exact = exact or near
        p = evaluate(rows, base, at.z, at.slope, duals[0], exact=exact, value=value)
        try:
            L, gradient = _system(p, S, at, G, mu, duals[1], exact)
        except np.linalg.LinAlgError:  # single precision does not do here
            exact = True
            p = evaluate(rows, base, at.z, at.slope, duals[0], value=value)
            L, gradient = _system(p, S, at, G, mu, duals[1], exact)
        half = _solved(L, gradient)
        decrement = float(half @ half)
        converged = converged or (near and mu == least and steady and decrement < max(DECREMENT, last) * n)
        if converged and (decrement < last * n or extra == 3):
            break
        extra += converged
        delta = -_solved(L, half, transposed=True)
        forms = (rows.A @ delta, rows.D @ delta, G @ delta)
        delta, forms, second = _corrected(problem, at, G, mu, duals, L, gradient, delta, forms)
        new, t, value = _search(problem, S, at, delta, forms, mu, float(-gradient @ delta), p.loglik)
        near = decrement < NEAR * n
        duals = _duals(new, mu) if near else _moved(duals, at, mu, forms, second)
        at = new
        mu = max(0.1 * mu, least) if t > 0.5 else mu
        waited += 1
        early = state.updates < CYCLING and decrement < 1 + 0.1 * np.sqrt(n)
        if tolerance is not None and not steady and (early or (decrement < SETTLED and waited > 1)):
            waited = 0
            lam, change = state.update(problem.penalties, lam, at.theta, L)
            steady = change < tolerance and decrement < 0.01 * tolerance
            S = problem.penalty(lam)
    else:  # not converged: what is returned belongs to the last iterate all the same
        p = evaluate(rows, base, at.z, at.slope)
        L, _ = _system(p, S, at, G, mu, mu / at.c, True)
    root = _solved(L, np.eye(len(theta)), transposed=True)
    effective = np.einsum("ij,ij->i", root @ root.T, p.information)
    out = Smooth(
        at.theta, lam, p.loglik, p.information, S, root, G, at.z, at.slope, effective, steps, converged
    )
    return out, state


def _duals(at: _Iterate, mu: float) -> tuple[Array, Array]:
    """Dual variables of the slopes and of the constraints where each product with its own is exactly 1 and μ."""
    return 1 / at.slope, mu / at.c


def _changes(
    duals: tuple[Array, Array], at: _Iterate, mu: float, forms: Forms, second: tuple[Array, Array]
) -> list[Array]:
    """Changes of the duals that, with the step, bring the products to 1 and μ, less what the step itself adds in second order."""
    pairs = zip(duals, (at.slope, at.c), (1.0, mu), forms[1:], second, strict=True)
    return [(target - more) / s - v - v * ds / s for v, s, target, ds, more in pairs]


def _moved(
    duals: tuple[Array, Array], at: _Iterate, mu: float, forms: Forms, second: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The duals after a step, as far as they stay positive."""
    out = []
    for v, dv in zip(duals, _changes(duals, at, mu, forms, second), strict=True):
        worst = np.min(dv / v, initial=0.0)
        out.append(v + (1.0 if worst > -MOST else -MOST / worst) * dv)
    return out[0], out[1]


def _corrected(
    problem: Problem,
    at: _Iterate,
    G: Array,
    mu: float,
    duals: tuple[Array, Array],
    L: Array,
    gradient: Array,
    delta: Array,
    forms: Forms,
) -> tuple[Array, Forms, tuple[Array, Array]]:
    """A step cut short by the border, corrected for the products of its own changes if it then reaches further downhill."""
    rows, room, none = problem.rows, at.room(forms), (np.zeros_like(at.slope), np.zeros_like(at.c))
    if room == 1.0:
        return delta, forms, none
    slope, c = (
        room * ds * dv for ds, dv in zip(forms[1:], _changes(duals, at, mu, forms, none), strict=True)
    )
    w = slope if rows.weights is None else rows.weights * slope
    other = -_solved(L, _solved(L, gradient + (w / at.slope) @ rows.D + (c / at.c) @ G), transposed=True)
    reached = (rows.A @ other, rows.D @ other, G @ other)
    if at.room(reached) > room and other @ gradient < 0.1 * (delta @ gradient):
        return other, reached, (slope, c)
    return delta, forms, none


def _solved(L: Array, b: Array, transposed: bool = False) -> Array:
    """L⁻¹b or L'⁻¹b for lower triangular L; scipy's wrapper takes longer than the solution where L is small."""
    return np.asarray(lapack.dtrtrs(L, b, lower=1, trans=int(transposed))[0]).reshape(b.shape)


def _system(
    p: Pass, S: Array, at: _Iterate, G: Array, mu: float, dual: Array, exact: bool
) -> tuple[Array, Array]:
    """Cholesky factor of the Hessian and the gradient."""
    barrier = np.empty(G.shape, np.float64 if exact else np.float32)
    np.multiply(G, np.sqrt(dual / at.c)[:, None], out=barrier, casting="same_kind")
    H = p.information + S + barrier.T @ barrier
    size, gradient = np.diagonal(H).copy(), S @ at.theta - p.score - G.T @ (mu / at.c)
    for ridge in (RIDGE, 1e-8, 1e-5, 1e-2):
        H[np.diag_indices_from(H)] = size + ridge * (size.mean() + (size if ridge > RIDGE else 0.0))
        L, failed = lapack.dpotrf(
            H.T, lower=1
        )  # Fortran's order, as H is symmetric: copied once, and not at all by what uses L
        if not failed:
            return L, gradient
        if not exact:
            raise np.linalg.LinAlgError
    raise DataError(
        "The information matrix of the flow is singular beyond repair; use fewer terms or rescale the "
        "covariates."
    )


def _search(
    problem: Problem,
    S: Array,
    at: _Iterate,
    delta: Array,
    forms: Forms,
    mu: float,
    decrement: float,
    value: float,
) -> tuple[_Iterate, float, float | None]:
    """The longest of 1, ½, … steps inside the domain that decreases enough, and the log-likelihood there if it was needed.

    A Newton step of a small decrement is taken whole: the rounding of a large λ may hide what it gains.
    """

    def objective(a: _Iterate, likelihood: float) -> float:
        return float(-likelihood + 0.5 * a.theta @ S @ a.theta - mu * np.log(a.c).sum())

    now = objective(at, value)
    t = at.room(forms)
    for _ in range(40):
        new, reached = at.moved(t, delta, forms), None
        if decrement < SURE:
            break
        reached = loglik(problem.rows, problem.base, new.z, new.slope)
        if objective(new, reached) <= now - 1e-4 * t * decrement + 1e-11 * abs(now):
            break
        t *= 0.5
    return new, t, reached


class _Secant:
    """Fellner and Schall's update of log λ with a secant step for each λ."""

    def __init__(self, count: int) -> None:
        self.step, self.plain, self.pace, self.updates = (
            np.zeros(count),
            np.zeros(count),
            np.full(count, FASTEST),
            0,
        )

    def update(self, penalties: Sequence[Penalty], lam: Array, theta: Array, L: Array) -> tuple[Array, float]:
        """New λ, and the largest change of a log λ, weighted with its effective parameters."""
        lower = lapack.dpotri(L, lower=1)[0]  # of the covariance; above its diagonal are the zeros of L
        traces = _prior_traces(penalties, lam)
        plain, effective = np.zeros(len(lam)), np.zeros(len(lam))
        for i, k in enumerate(penalties):
            b = theta[k.at]
            part = lower[k.at, k.at]
            used = 2 * np.einsum("ij,ij->", part, k.S) - np.einsum("ii,ii->", part, k.S)
            gain = max(traces[i] - float(used), 1e-14)
            plain[i] = np.log(gain) - np.log(max(float(b @ k.S @ b), 1e-280))
            effective[i] = gain * lam[i]
        moved = plain - self.plain
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = -plain * self.step / moved
        self.updates += 1
        usable = (self.step != 0) & np.isfinite(secant) & (secant * plain > 0)
        size, most = np.abs(plain), self.pace * np.abs(plain)
        step = np.where(usable, np.sign(plain) * np.clip(np.abs(secant), 0.01 * size, most), plain)
        # one that creeps to its ceiling, where the slope of the marginal likelihood vanishes, would need
        # hundreds of updates
        on = usable & (np.abs(secant) >= most) & (plain * self.plain > 0) & (self.updates > CYCLING)
        self.pace = np.where(on, 2 * self.pace, FASTEST)
        step = np.clip(step, -4, 4)
        new = np.clip(lam * np.exp(step), SMALLEST, DROPPED)
        self.step, self.plain = np.log(new / lam), plain
        return new, float(np.max(np.abs(self.step) * np.minimum(effective, 1.0), initial=0.0))


def _prior_traces(penalties: Sequence[Penalty], lam: Array) -> Array:
    """tr(S_λ⁺ S_k) of every penalty, S_λ = Σ λS over those that share its coefficients."""
    out = np.zeros(len(lam))
    for i, k in enumerate(penalties):
        total = np.sum([lam[j] * m.spectrum for j, m in enumerate(penalties) if m.at == k.at], axis=0)
        out[i] = (k.spectrum[total > 0] / total[total > 0]).sum()
    return out
