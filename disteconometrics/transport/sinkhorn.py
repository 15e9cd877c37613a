"""Entropic transport between samples of rows.

Sinkhorn's iterations on dual potentials, and the debiased divergence.

Costs are Euclidean distances to the power p, the penalty is ε = p·blur^p times the relative entropy of the
plan: `blur` is a length in units of the values.  Rows are worked through in chunks that fit the cache: a
matrix of costs is never kept, and the exponentials are taken around the potentials so far, so that none
overflows.  ε falls geometrically to its final value, where the iterations go on, over-relaxed, until the
marginals of the plan are right.

References
----------
Cuturi (2013), Sinkhorn distances: lightspeed computation of optimal transport, NeurIPS 26, arXiv:1306.0895.
Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019), Interpolating between optimal transport and MMD using
Sinkhorn divergences, AISTATS, arXiv:1810.08278.
Thibault, Chizat, Dossal, Papadakis (2021), Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal
transport, Algorithms 14, doi:10.3390/a14050143.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.checks import positive, whole
from disteconometrics.errors import ConvergenceWarning, DataError, OptionError, warn_user
from disteconometrics.transport.samples import every_mass, masses, pair_of_points, power_above

__all__ = ["Divergence", "Entropic", "sinkhorn", "sinkhorn_divergence"]


CHUNK = 100_000  # entries of the kernel at a time, which the cache holds
SHRINK = 0.8  # of the blur from one stage to the next
RELAXED = 1.8  # over-relaxation at the final blur, left out for a step where the error grew
ROUGH = 1e-2  # error of the kernel that is of no matter before the last stage
ROUNDING = 6e-8  # of single precision
BLUR = 0.05  # default, times the standard deviation of a coordinate


@dataclass(frozen=True, eq=False)
class Entropic:
    """The entropic transport of two samples of rows, with the problem it solves.

    Parameters
    ----------
    x, y : (n, d) and (m, d) float64 arrays, as given.
    p : {1, 2}, order; costs are distances to the power p.
    blur : float, in units of the values.
    wx, wy : (n,) and (m,) float64 arrays of masses that sum to one.
    cost : float, the penalised cost Σ cost·plan + ε·KL(plan | wx⊗wy), from below: the dual value of the
        potentials.
    potentials : (n,) and (m,) float64 arrays f and g; the plan is wx·wy·exp((f + g − |x − y|^p)/ε).
    marginal_error : float, Σ|masses of the plan − wx|; those of y are right by construction.
    iterations : int.
    converged : bool, whether the marginal error is below the tolerance.

    Examples
    --------
    >>> t = sinkhorn([[0.0], [1.0]], [[0.0], [1.0]], blur=0.1)
    >>> t.converged, t.map.round(6).ravel().tolist()
    (True, [0.0, 1.0])
    """

    x: Array
    y: Array
    p: int
    blur: float
    wx: Array
    wy: Array
    cost: float
    potentials: tuple[Array, Array]
    marginal_error: float
    iterations: int
    converged: bool

    @property
    def penalty(self) -> float:
        """ε = p·blur^p."""
        return self.p * self.blur**self.p

    @cached_property
    def map(self) -> Array:
        """Where each row of x goes on average (n, d): the barycentric map."""
        f, g = self.potentials
        out = np.empty_like(self.x)
        for rows, kernel in _Kernel(self.x, self.y, self.p, self.penalty, np.log(self.wy)).chunks(f, g):
            out[rows] = kernel @ self.y / kernel.sum(axis=1, keepdims=True)
        return out


@dataclass(frozen=True, eq=False)
class Divergence:
    """The debiased divergence S = OT(x, y) − ½OT(x, x) − ½OT(y, y).

    Zero for equal samples, W_p^p as the blur vanishes.

    ``value`` is S in units of |x − y|^p, p times the number of the library geomloss; ``parts`` are the three
    problems.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> round(sinkhorn_divergence(x, x + [3.0, 4.0], blur=0.5).distance, 3)  # a shift costs its length
    5.0
    """

    value: float
    parts: tuple[Entropic, Entropic, Entropic]

    @property
    def distance(self) -> float:
        """S^(1/p), in units of the values."""
        return float(self.value ** (1 / self.parts[0].p))

    @property
    def marginal_error(self) -> float:
        """The largest of the three problems'."""
        return max(part.marginal_error for part in self.parts)

    @property
    def converged(self) -> bool:
        """Whether all three problems converged."""
        return all(part.converged for part in self.parts)

    @property
    def potentials(self) -> tuple[Array, Array]:
        """Debiased potentials of x (n,) and y (m,), whose weighted means sum to S."""
        both, own_x, own_y = self.parts
        return both.potentials[0] - own_x.potentials[0], both.potentials[1] - own_y.potentials[0]

    def __float__(self) -> float:
        return self.distance


class _Kernel:
    """w_j·exp((f_i + g_j − |x_i − y_j|^p)/ε) of two samples of rows, by chunks of rows."""

    def __init__(
        self, x: Array, y: Array, p: int, epsilon: float, log_weight: Array, tolerance: float = 1e-12
    ) -> None:
        self.p, self.epsilon, self.log_weight = p, epsilon, log_weight
        reach = float(np.square(x).sum(axis=1).max() + np.square(y).sum(axis=1).max()) ** (p / 2)
        self.kind: Any = np.float32 if ROUNDING * reach / epsilon <= tolerance else np.float64
        unit = 2.0 / epsilon if p == 2 else 2.0
        half_x, half_y = (np.square(a).sum(axis=1) * (unit / 2) for a in (x, y))
        # −|x − y|² (over ε if p = 2) is one product of matrices: [2x, −|x|², 1]·[y, 1, −|y|²]'
        self.left = np.column_stack([unit * x, -half_x, np.ones(len(x))]).astype(self.kind)
        self.right = np.ascontiguousarray(np.column_stack([y, np.ones(len(y)), -half_y]).T.astype(self.kind))
        self.step = max(1, CHUNK // len(y))

    def chunks(self, f: Array, g: Array) -> Any:
        """Slices of rows with their part of the kernel."""
        column: Any = (g / self.epsilon + self.log_weight).astype(self.kind)
        row = (f / self.epsilon).astype(self.kind)
        right: Any = self.right.copy()
        if self.p == 2:
            right[-1] += column
        for i in range(0, len(f), self.step):
            rows = slice(i, i + self.step)
            left: Any = self.left[rows]
            if self.p == 2:
                left = left.copy()
                left[:, -2] += row[rows]
            part: Any = left @ right
            if self.p == 1:
                np.maximum(-part, 0, out=part)
                np.sqrt(part, out=part)
                part *= -1 / self.epsilon
                part += column
                part += row[rows, None]
            yield rows, np.exp(part, out=part)

    def softmin(self, f: Array, g: Array) -> Array:
        """−ε·log Σ_j w_j·exp((g_j − cost)/ε), taken around f."""
        total = np.empty(len(f))
        with np.errstate(over="ignore"):
            for rows, part in self.chunks(f, g):
                total[rows] = part.sum(axis=1, dtype=np.float64)
        lost = np.flatnonzero(~((total > 0) & np.isfinite(total)))
        out = f - self.epsilon * np.log(np.where(total > 0, total, 1.0))
        if len(lost):  # f was far from right: take the exponentials around the largest
            out[lost] = self._exact(lost, g)
        return out

    def _exact(self, rows: Indices, g: Array) -> Array:
        out = np.empty(len(rows))
        column = g / self.epsilon + self.log_weight
        for k, i in enumerate(rows):
            value = (self.left[i].astype(np.float64)) @ self.right
            value = column + (value if self.p == 2 else -np.sqrt(np.maximum(-value, 0)) / self.epsilon)
            top = value.max()
            out[k] = -self.epsilon * (top + np.log(np.exp(value - top).sum()))
        return out


def _stages(diameter: float, blur: float) -> list[float]:
    """Blurs from the diameter down to the last but one."""
    count = int(np.ceil(np.log(max(diameter / blur, 1.0)) / -np.log(SHRINK)))
    return [blur * SHRINK**-k for k in range(count, 0, -1)]


def _solve(q: _Problem) -> Entropic:
    (x, y), (a, b), p = q.moved, q.masses, q.p
    log_a, log_b = np.log(a), np.log(b)

    def kernels(epsilon: float, tolerance: float) -> tuple[_Kernel, _Kernel]:
        return _Kernel(x, y, p, epsilon, log_b, tolerance), _Kernel(y, x, p, epsilon, log_a, tolerance)

    f, g = np.zeros(len(x)), np.zeros(len(y))
    count = 0
    for stage in _stages(_diameter(x, y), q.blur):
        to_x, to_y = kernels(p * stage**p, ROUGH)
        f = to_x.softmin(f, g)
        g = to_y.softmin(g, f)
        count += 1
    epsilon = p * q.blur**p
    to_x, to_y = kernels(epsilon, q.tolerance)
    last = np.inf
    for _ in range(q.most):
        new = to_x.softmin(f, g)
        error = _misplaced(a, f - new, epsilon)
        if error <= q.tolerance:
            break
        relaxed = RELAXED if error < last else 1.0
        last = error
        f = f + relaxed * (new - f)
        g = g + relaxed * (to_y.softmin(g, f) - g)
        count += 1
    g = to_y.softmin(g, f)  # so that the masses of y are right
    error = _misplaced(a, f - to_x.softmin(f, g), epsilon)
    return q.solution(0, 1, float(a @ f + b @ g), (f, g), error, count, error <= 2 * q.tolerance)


def _misplaced(a: Array, gap: Array, epsilon: float) -> float:
    """Σ|masses of the plan − a|, from how far potentials are from what the other side asks for."""
    return float(a @ np.abs(np.expm1(np.clip(gap / epsilon, -50, 50))))


def _own(q: _Problem, side: int) -> Entropic:
    """A sample against itself: one potential, whose iterations are averaged and settle quickly."""
    x, a, p = q.moved[side], q.masses[side], q.p
    log_a, f, count = np.log(a), np.zeros(len(x)), 0
    for stage in [*_stages(_diameter(x, x), q.blur), q.blur]:
        epsilon = p * stage**p
        kernel = _Kernel(x, x, p, epsilon, log_a, q.tolerance)
        for _ in range(1 if stage > q.blur else q.most):
            new = kernel.softmin(f, f)
            error = _misplaced(a, f - new, epsilon)
            if error <= q.tolerance:
                break
            f = 0.5 * (f + new)
            count += 1
    # the plan's mass is not exactly one
    dual = 2 * float(a @ f) - epsilon * float(a @ np.expm1((f - new) / epsilon))
    return q.solution(side, side, dual, (f, f), error, count, error <= q.tolerance)


def _diameter(x: Array, y: Array) -> float:
    low, high = np.minimum(x.min(axis=0), y.min(axis=0)), np.maximum(x.max(axis=0), y.max(axis=0))
    return float(np.linalg.norm(high - low))


@dataclass(frozen=True, eq=False)
class _Problem:
    """Samples that were checked, as given and moved to their centre and divided by a power of two."""

    given: tuple[Array, Array]
    moved: tuple[Array, Array]
    masses: tuple[Array, Array]
    p: int
    blur: float
    scale: float
    tolerance: float
    most: int

    def solution(
        self,
        first: int,
        second: int,
        dual: float,
        potentials: tuple[Array, Array],
        error: float,
        count: int,
        converged: bool,
    ) -> Entropic:
        """A solution in units of the values, of the samples at these places of those given."""
        (x, y), (a, b) = ((pair[first], pair[second]) for pair in (self.given, self.masses))
        unit, blur = self.scale**self.p, self.blur * self.scale
        f, g = (v * unit for v in potentials)
        return Entropic(x, y, self.p, blur, a, b, dual * unit, (f, g), error, count, converged)


def _read(x: Any, y: Any, p: Any, wx: Any, wy: Any, blur: Any, tolerance: Any, iterations: Any) -> _Problem:
    if isinstance(p, (bool, np.bool_)) or p not in (1, 2):
        raise OptionError(
            f"p={p!r}: entropic transport knows the orders 1 and 2; other orders are exact, "
            f"transport.discrete."
        )
    given = x, y = pair_of_points(x, y)
    if blur is not None:
        blur = positive(blur, "blur", ", a length in units of the values")
    tolerance, most = positive(tolerance, "tolerance"), whole(iterations, "iterations", 1)
    a, b = _positive_masses(wx, len(x), "wx"), _positive_masses(wy, len(y), "wy")
    centre = x.mean(axis=0)
    scale = power_above(max(np.abs(x - centre).max(), np.abs(y - centre).max()))
    x, y = (x - centre) / scale, (y - centre) / scale
    if blur is None:
        spread = np.sqrt(np.mean(np.concatenate([np.var(x, axis=0), np.var(y, axis=0)])))
        blur = BLUR * (float(spread) or 1.0) * scale
    return _Problem(given, (x, y), (a, b), int(p), blur / scale, scale, tolerance, most)


def _positive_masses(weights: Any, n: int, name: str) -> Array:
    w = masses(weights, n, name)
    if w is not None and (w <= 0).any():
        raise DataError(f"{name} has {int((w <= 0).sum())} weights of zero; drop these rows first.")
    return every_mass(w, n)


def _warn(q: _Problem, *parts: Entropic) -> None:
    """Say so if a problem was not solved to the tolerance."""
    if not all(part.converged for part in parts):
        error = max(part.marginal_error for part in parts)
        text = (
            f"Sinkhorn's iterations stopped after {q.most} with a marginal error of {error:.1e}, "
            f"above {q.tolerance:g}."
        )
        warn_user(ConvergenceWarning(text, hint="a larger blur, or more iterations"))


def sinkhorn(
    x: Any,
    y: Any,
    p: int = 2,
    wx: Any = None,
    wy: Any = None,
    *,
    blur: float | None = None,
    tolerance: float = 1e-3,
    iterations: int = 1000,
) -> Entropic:
    """Entropic transport of two samples of rows.

    Parameters
    ----------
    x, y : (n, d) and (m, d) arrays of any real dtype, computed in float64 but for exponentials, in float32
        where that is enough.
    p : {1, 2}, order.
    wx, wy : (n,) and (m,) arrays of any real dtype or None
        Weights, positive; each is divided by its sum.  None: equal weights.
    blur : float or None
        Length in units of the values, below which the plan is spread; ε = p·blur^p.  None: 5 % of a standard
        deviation.
    tolerance : float, largest Σ|masses of the plan − wx|.
    iterations : int, most iterations at the final blur.

    Returns
    -------
    Entropic

    Raises
    ------
    DataError, OptionError

    Warns
    -----
    ConvergenceWarning

    References
    ----------
    Cuturi (2013), arXiv:1306.0895.

    Examples
    --------
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> t = sinkhorn(x, x + 2.0, blur=0.01)
    >>> bool(np.abs(t.map - x - 2.0).max() < 0.02), t.marginal_error < 2e-4
    (True, True)
    """
    q = _read(x, y, p, wx, wy, blur, tolerance, iterations)
    t = _solve(q)
    _warn(q, t)
    return t


def sinkhorn_divergence(
    x: Any,
    y: Any,
    p: int = 2,
    wx: Any = None,
    wy: Any = None,
    *,
    blur: float | None = None,
    tolerance: float = 1e-3,
    iterations: int = 1000,
) -> Divergence:
    """Debiased entropic divergence of two samples of rows.

    Parameters
    ----------
    x, y, p, wx, wy, blur, tolerance, iterations : as in `sinkhorn`.

    Returns
    -------
    Divergence
        ``float(result)`` is its p-th root.

    Raises
    ------
    DataError, OptionError

    Warns
    -----
    ConvergenceWarning

    References
    ----------
    Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019), arXiv:1810.08278.

    Examples
    --------
    >>> round(sinkhorn_divergence([[0.0]], [[2.0]], blur=0.1).value, 5)
    4.0
    """
    q = _read(x, y, p, wx, wy, blur, tolerance, iterations)
    both, own_x, own_y = _solve(q), _own(q, 0), _own(q, 1)
    _warn(q, both, own_x, own_y)
    # below zero by rounding alone
    value = max(0.0, both.cost - own_x.cost / 2 - own_y.cost / 2)
    return Divergence(value, (both, own_x, own_y))
