"""Penalised maximum likelihood of a monotone transformation, smoothing included.

The problem is min f(θ) = Σ w·(ρ(a'θ) − log d'θ) + ½ Σ_k λ_k θ'S_kθ over Gθ > 0, convex for given λ.  Three
loops run at once:

1. Newton's method with a logarithmic barrier for Gθ > 0 whose weight falls to that of a small part of one
   observation; far from the optimum its steps are primal-dual with Mehrotra's corrector, for the barrier and
   for the logarithms of the slopes alike;
2. Fellner and Schall's update of the λ, whose fixed point maximises the Laplace approximation of the marginal
   likelihood (the penalty read as a normal prior), sped up by a secant step per λ; a λ at its ceiling has
   dropped its term;
3. cutting planes: an oracle names rows g with g'θ ≤ 0, which join G.  The iterate is first drawn towards a
   point that satisfies every row the oracle can name.

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
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.linalg import lapack

from disteconometrics.arrays import Array
from disteconometrics.errors import DataError
from disteconometrics.likelihoods.monotone import (
    BaseLaw,
    LinearForms,
    MonotonePass,
    OwnLikelihood,
    evaluate,
    left_out,
    loglik,
)
from disteconometrics.likelihoods.structure import Penalty

__all__ = ["DROPPED", "LAST", "Problem", "Smooth", "solve"]


SMALLEST, DROPPED = 1e-7, 1e8  # range of the λ
BARRIER = 0.1  # weight of the barrier per slope function at the end, in observations
PENALTY_TOLERANCE = 1e-5  # largest weighted change of a log λ at convergence
DECREMENT = 1e-10  # squared Newton decrement per observation from which on the λ stay …
LAST = 1e-17  # … and at convergence, which is a step or two later
SEEN = 1e-5  # decrement before a last step, after which rows that a near optimum needs are told
INNER = 1e-5  # share of a row's value at the start from which on a point is inside the domain
NEAR = 1e-4  # the same, from which on steps are Newton's own, in double precision
MOST_ACCELERATION = 4.0  # secant step over plain step at most, at first
# updates of λ after which they wait for θ and information: a λ that chases them may cycle for ever
CYCLING, SETTLED = 15, 1e-4
SAFE_DECREMENT = 1e-6  # decrement from which on Newton's steps converge whatever the objective seems to be
MOST = 0.95  # share of the way to the border of the domain
RIDGE = 1e-11  # of the mean information, so that the factor exists


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, base law, penalties, a start with Gθ > 0 for every row that ``cuts`` can name, and that oracle.

    ``cuts(θ)`` returns rows (q, p) with g'θ ≤ 0 (q = 0: none is left).  The barrier ends with the weight of a
    tenth of an observation for each of the slope ``functions``, whatever the number of rows.
    """

    rows: LinearForms | OwnLikelihood
    base: BaseLaw
    penalties: Sequence[Penalty]
    start: Array
    cuts: Callable[[Array], Array]
    functions: int

    @property
    def observations(self) -> float:
        """Rows, or the sum of their weights."""
        return float(self.rows.count if self.rows.weights is None else self.rows.weights.sum())

    def penalty(self, lam: Array) -> Array:
        """Σ λ_k S_k (p, p)."""
        S = np.zeros((len(self.start),) * 2)
        for value, k in zip(lam, self.penalties, strict=True):
            S[k.at, k.at] += value * k.S
        return S


@dataclass(frozen=True, eq=False)
class Smooth:
    """The solution: θ (p,), λ, log-likelihood, information (p, p) without penalty, Σ λS.

    ``root`` is R⁻¹ with R'R = information + penalty (+ barrier), ``G`` are the rows that were needed, ``z``
    and ``slope`` h and ∂h of the rows, ``effective`` (p,) the effective parameters by coefficient.
    """

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

    def left_out(self, problem: Problem, together: Array | None = None) -> Array:
        """Log density of each row without it, or without so many copies ``together`` (n,) of it (n,)."""
        return left_out(problem.rows, problem.base, self.z, self.slope, self.root, together)


Forms: TypeAlias = "tuple[Array, Array, Array]"


def _forms(rows: LinearForms | OwnLikelihood, G: Array, theta: Array) -> Forms:
    """The linear forms of coefficients or of a step: z, slopes and constraints."""
    return *rows.forms(theta), G @ theta


@dataclass(eq=False)
class _Iterate:
    """Where the iterations are: coefficients, and the linear forms that must be known or stay positive."""

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
    steady: float = PENALTY_TOLERANCE,
    last: float = LAST,
    verified: bool = True,
    near: bool = False,
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
    verified : bool; if not, that of the last step, whose end has the factor and the information before it.
    near : bool, whether ``theta`` is inside the domain and the optimum near it, for λ that stay: rows that it
        needs are then told before it is reached, and what violates them is drawn towards ``theta``.
    maxiter : int, Newton steps at most.

    Returns
    -------
    Smooth
    """
    inner = theta = problem.start if theta is None else theta
    G = np.zeros((0, len(theta))) if G is None else G
    rules, first = _Rules(steady if select else None, last, verified, maxiter), near
    s, secant = _begin(problem, np.array(lam, dtype=np.float64), theta, G, select), _Secant(len(lam))
    while True:
        system = _newton(problem, s, rules.first if first else rules, secant)
        rows = problem.cuts(s.at.theta)
        if s.steps >= maxiter or not (len(rows) or first):
            break
        if len(rows):
            G = np.concatenate([G, rows])
            known = near and bool((INNER * (G @ problem.start) < G @ inner).all())
            old, s = s, _begin(problem, s.lam, s.at.theta, G, select, inner if known else None)
            s.steps = old.steps
        else:
            first = s.converged = False
    return replace(_solution(s, system), converged=s.converged and not len(rows))


def _inside(theta: Array, start: Array, G: Array) -> Array:
    """Draw a point that violates a row of G towards the start until all rows are well above zero."""
    a, b = G @ theta, G @ start
    share = 1.0
    short = a < 0.05 * b
    if (a <= 0).any():
        share = 0.95 * float(np.min(0.95 * b[short] / (b[short] - a[short])))
    return theta if share == 1.0 else start + share * (theta - start)


def _told(problem: Problem, theta: Array) -> Array:
    """Draw a point where ends of a record are in the wrong order towards the start, where none are."""
    if not isinstance(problem.rows, OwnLikelihood):
        return theta
    a, b = problem.rows.forms(theta)[1], problem.rows.forms(problem.start)[1]
    short = a < 0.05 * b
    if not (a <= 0).any():
        return theta
    return problem.start + 0.95 * float(np.min(0.95 * b[short] / (b[short] - a[short]))) * (
        theta - problem.start
    )


class _Rules(NamedTuple):
    """When to end: change of the log λ (None: they stay), decrement per observation, where, steps at most."""

    tolerance: float | None
    last: float
    verified: bool
    maxiter: int

    @property
    def first(self) -> _Rules:
        """Those of the way to where rows that are needed are seen."""
        return self._replace(last=max(self.last, SEEN), verified=False)

    @property
    def settled(self) -> float:
        """Decrement, over the tolerance, from which on a small change of the λ is their last."""
        return 0.01 if self.verified else 0.1


@dataclass(eq=False)
class _State:
    """Where Newton's method stands.

    ``least`` is the last weight ``mu`` of the barrier; ``value`` the log-likelihood at the iterate where it
    is known; ``near`` says that steps are Newton's own, ``exact`` that products are summed in double
    precision, ``steady`` that the λ have settled; ``extra`` counts steps after convergence, ``waited`` those
    since the last update of the λ.
    """

    at: _Iterate
    G: Array
    lam: Array
    S: Array
    least: float
    mu: float
    duals: tuple[Array, Array]
    steady: bool
    value: float | None = None
    near: bool = False
    exact: bool = False
    converged: bool = False
    steps: int = 0
    extra: int = 0
    waited: int = 0


class _System(NamedTuple):
    """The pass over the rows, the Cholesky factor L of the Hessian and the gradient, at an iterate."""

    p: MonotonePass
    L: Array
    gradient: Array


class _Step(NamedTuple):
    """A change of the coefficients, of the linear forms, and what it adds to the products in second order."""

    delta: Array
    forms: Forms
    second: tuple[Array, Array]


def _begin(
    problem: Problem, lam: Array, theta: Array, G: Array, select: bool, inner: Array | None = None
) -> _State:
    """The state at a point, drawn inside the domain towards another one or the start."""
    theta = _told(problem, _inside(theta, problem.start if inner is None else inner, G))
    at = _Iterate(theta, *_forms(problem.rows, G, theta))
    least = mu = BARRIER * problem.functions / max(len(G), 1)
    if select and theta is problem.start and len(G):
        mu = max(least, 0.01 * problem.observations / len(G))
    return _State(at, G, lam, problem.penalty(lam), least, mu, _duals(at, mu), not select)


def _newton(problem: Problem, s: _State, how: _Rules, secant: _Secant) -> _System:
    """Move the state on to its end; the last system."""
    n = problem.observations
    for _ in range(max(how.maxiter - s.steps, 1)):
        s.steps += 1
        system = _system(problem, s, s.duals[0])
        half = _solved(system.L, system.gradient)
        decrement = float(half @ half)
        if _terminate(s, decrement, n, how.last):
            break
        whole = _take_step(problem, s, system, half, decrement < NEAR * n)
        if how.tolerance is not None and not s.steady and _ready(s, decrement, n, secant.updates):
            s.waited = 0
            s.lam, change = secant.update(problem.penalties, s.lam, s.at.theta, system.L)
            s.steady = change < how.tolerance and decrement < how.settled * how.tolerance
            s.S = problem.penalty(s.lam)
        if not how.verified and whole and s.steady and s.mu == s.least and decrement < how.last * n:
            s.converged = True
            break
    else:  # not converged: what is returned belongs to the last iterate all the same
        s.exact, s.value, s.duals = True, None, _duals(s.at, s.mu)
        system = _system(problem, s, None)
    return system


def _system(problem: Problem, s: _State, dual: Array | None) -> _System:
    """The system of Newton's or, with the slopes' dual variables, a primal-dual step."""
    at, G = s.at, s.G
    p = evaluate(problem.rows, problem.base, at.z, at.slope, dual, exact=s.exact, value=s.value)
    barrier = np.empty(G.shape, np.float64 if s.exact else np.float32)
    np.multiply(G, np.sqrt(s.duals[1] / at.c)[:, None], out=barrier, casting="same_kind")
    H = p.information + s.S + barrier.T @ barrier
    size, gradient = np.diagonal(H).copy(), s.S @ at.theta - p.score - G.T @ (s.mu / at.c)
    for ridge in (RIDGE, 1e-8, 1e-5, 1e-2):
        H.flat[:: len(H) + 1] = size + ridge * (size.mean() + (size if ridge > RIDGE else 0.0))
        # Fortran's order, as H is symmetric: copied once, and not at all by what uses L
        L, failed = lapack.dpotrf(H.T, lower=1)
        if not failed:
            return _System(p, L, gradient)
        if not s.exact:  # single precision does not do here
            s.exact = True
            return _system(problem, s, dual)
    raise DataError(
        "The information matrix of the flow is singular beyond repair; use fewer terms or rescale the "
        "covariates."
    )


def _terminate(s: _State, decrement: float, n: float, last: float) -> bool:
    """Whether the iterate is the last one: converged, and a step or two after that."""
    if s.near and s.mu == s.least and s.steady and decrement < max(DECREMENT, last) * n:
        s.converged = True
    if s.converged and (decrement < last * n or s.extra == 3):
        return True
    s.extra += s.converged
    return False


def _take_step(problem: Problem, s: _State, system: _System, half: Array, near: bool) -> bool:
    """Move on, and say whether the step was a whole one."""
    delta = -_solved(system.L, half, transposed=True)
    step = _corrected(problem, s, system, delta)
    new, t, s.value = _search(problem, s, step, float(-system.gradient @ step.delta), system.p.loglik)
    s.duals = _duals(new, s.mu) if near else _moved(s, step)
    s.at, s.near, s.exact = new, near, s.exact or near
    s.mu = max(0.1 * s.mu, s.least) if t > 0.5 else s.mu
    s.waited += 1
    return t == 1.0


def _ready(s: _State, decrement: float, n: float, updates: int) -> bool:
    """Whether θ is near enough to its optimum for an update of the λ."""
    if updates < CYCLING and decrement < 1 + 0.1 * np.sqrt(n):
        return True
    return decrement < SETTLED and s.waited > 1


def _solution(s: _State, system: _System) -> Smooth:
    at, p = s.at, system.p
    root = _solved(system.L, np.eye(len(at.theta)), transposed=True)
    effective = np.einsum("ij,ij->i", root @ root.T, p.information)
    return Smooth(
        at.theta,
        s.lam,
        p.loglik if s.value is None else s.value,
        p.information,
        s.S,
        root,
        s.G,
        at.z,
        at.slope,
        effective,
        s.steps,
        s.converged,
    )


def _duals(at: _Iterate, mu: float) -> tuple[Array, Array]:
    """Dual variables of slopes and constraints where the product of each with its own is exactly 1 and μ."""
    return 1 / at.slope, mu / at.c


def _changes(s: _State, forms: Forms, second: tuple[Array, Array]) -> list[Array]:
    """Changes of the duals that bring the products to 1 and μ, less what the step adds in second order."""
    pairs = zip(s.duals, (s.at.slope, s.at.c), (1.0, s.mu), forms[1:], second, strict=True)
    return [(target - more) / c - v - v * dc / c for v, c, target, dc, more in pairs]


def _moved(s: _State, step: _Step) -> tuple[Array, Array]:
    """The duals after a step, as far as they stay positive."""
    out = []
    for v, dv in zip(s.duals, _changes(s, step.forms, step.second), strict=True):
        worst = np.min(dv / v, initial=0.0)
        out.append(v + (1.0 if worst > -MOST else -MOST / worst) * dv)
    return out[0], out[1]


def _corrected(problem: Problem, s: _State, system: _System, delta: Array) -> _Step:
    """A step, corrected for its second order if the border cuts it short and it then reaches further down."""
    rows, at, gradient, forms = problem.rows, s.at, system.gradient, _forms(problem.rows, s.G, delta)
    room, none = at.room(forms), (np.zeros_like(at.slope), np.zeros_like(at.c))
    if room == 1.0 or isinstance(rows, OwnLikelihood):
        return _Step(delta, forms, none)
    slope, c = (room * ds * dv for ds, dv in zip(forms[1:], _changes(s, forms, none), strict=True))
    w = slope if rows.weights is None else rows.weights * slope
    target = gradient + rows.gradient(w / at.slope, np.zeros_like(w)) + (c / at.c) @ s.G
    other = -_solved(system.L, _solved(system.L, target), transposed=True)
    reached = _forms(rows, s.G, other)
    if at.room(reached) > room and other @ gradient < 0.1 * (delta @ gradient):
        return _Step(other, reached, (slope, c))
    return _Step(delta, forms, none)


def _solved(L: Array, b: Array, transposed: bool = False) -> Array:
    """L⁻¹b or L'⁻¹b for lower triangular L.

    Scipy's wrapper takes longer than the solution where L is small.
    """
    return np.asarray(lapack.dtrtrs(L, b, lower=1, trans=int(transposed))[0]).reshape(b.shape)


def _search(
    problem: Problem, s: _State, step: _Step, decrement: float, value: float
) -> tuple[_Iterate, float, float | None]:
    """The longest of 1, ½, … steps that decreases enough, and the log-likelihood there if it was needed.

    A Newton step of a small decrement is taken whole: the rounding of a large λ may hide what it gains.
    """

    def objective(a: _Iterate, likelihood: float) -> float:
        return float(-likelihood + 0.5 * a.theta @ s.S @ a.theta - s.mu * np.log(a.c).sum())

    now = objective(s.at, value)
    t = s.at.room(step.forms)
    for _ in range(40):
        new, reached = s.at.moved(t, step.delta, step.forms), None
        if decrement < SAFE_DECREMENT:
            break
        reached = loglik(problem.rows, problem.base, new.z, new.slope)
        if objective(new, reached) <= now - 1e-4 * t * decrement + 1e-11 * abs(now):
            break
        t *= 0.5
    return new, t, reached


class _Secant:
    """Fellner and Schall's update of log λ with a secant step for each λ."""

    def __init__(self, count: int) -> None:
        self.step, self.plain = np.zeros(count), np.zeros(count)
        self.pace, self.updates = np.full(count, MOST_ACCELERATION), 0

    def update(self, penalties: Sequence[Penalty], lam: Array, theta: Array, L: Array) -> tuple[Array, float]:
        """New λ, and the largest change of a log λ, weighted with its effective parameters."""
        lower = lapack.dpotri(L, lower=1)[0]  # of the covariance; above its diagonal are the zeros of L
        traces = _prior_traces(penalties, lam)
        plain, effective = np.zeros(len(lam)), np.zeros(len(lam))
        for i, k in enumerate(penalties):
            b = theta[k.at]
            part = lower[k.at, k.at]
            used = 2 * np.einsum("ij,ij->", part, k.S) - np.einsum("ii,ii->", part, k.S)
            gain = max(traces[i] - used, 1e-14)
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
        self.pace = np.where(on, 2 * self.pace, MOST_ACCELERATION)
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
