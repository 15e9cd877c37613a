"""Exact optimal transport on the line.

Sorted values are matched by quantile, for every convex cost |x − y|^p at once.

The quantile functions of two samples are steps; merging their levels gives at most n + m − 1 pieces on which
both are constant. Levels of equal masses are whole numbers, so unequal sizes cost no rounding; weights cost
one cumulated sum.

References
----------
Villani (2009), Optimal Transport: Old and New, Springer, chapter 2.
Santambrogio (2015), Optimal Transport for Applied Mathematicians, Birkhäuser, chapter 2.
Panaretos, Zemel (2019), Statistical aspects of Wasserstein distances, Annual Review of Statistics 6,
doi:10.1146/annurev-statistics-030718-104938.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.errors import DataError
from disteconometrics.transport.samples import check_order, masses, power_above, require_finite, values
from disteconometrics.transport.sorting import area, argsorted, in_order

__all__ = ["Coupling", "Exact", "OneDim", "more_than_rounding", "pieces", "wasserstein"]

Places = Indices

SAFE = 2.0**500  # largest and, inverted, smallest value whose square is still a number
SAME = 1e-9  # of the largest value: more than what rounding changes a distance by


class Coupling(NamedTuple):
    """Pieces of a coupling: ``mass`` (k,) moves from x[source] to y[target], positions as given (k,)."""

    source: Places
    target: Places
    mass: Array

    def misplaced(self, wx: Array | None, wy: Array | None, n: int, m: int) -> float:
        """Σ|masses moved − masses given|, the larger of both sides."""
        errors = []
        for at, w, size in ((self.source, wx, n), (self.target, wy, m)):
            moved = np.bincount(at, weights=self.mass, minlength=size)
            errors.append(float(np.abs(moved - (1 / size if w is None else w)).sum()))
        return max(errors)

    def averages(self, y: Array, n: int) -> Array:
        """Where each of n sources goes on average (n,), for target values y (m,)."""
        moved = np.bincount(self.source, weights=self.mass * y[self.target], minlength=n)
        with np.errstate(invalid="ignore", divide="ignore"):
            return moved / np.bincount(self.source, weights=self.mass, minlength=n)


class _Sorted(NamedTuple):
    """A sample in order: values (n,), masses (n,) or None."""

    values: Array
    mass: Array | None


@dataclass(frozen=True, eq=False)
class Exact:
    """Two samples, an order, masses and a distance: what exact transports of any dimension have in common."""

    x: Array
    y: Array
    p: float
    wx: Array | None
    wy: Array | None
    distance: float

    @property
    def cost(self) -> float:
        """W_p^p; for p = ∞ the distance itself."""
        return self.distance if np.isinf(self.p) else float(np.float64(self.distance) ** self.p)

    def __float__(self) -> float:
        return self.distance


@dataclass(frozen=True, eq=False)
class OneDim(Exact):
    """The optimal transport of two samples on the line, with the problem it solves.

    Parameters
    ----------
    x, y : (n,) and (m,) float64 arrays, as given: read-only, no copies of float64 arrays.  Change them and
        the distance stays, but what is computed later is refused.
    p : float, order.
    wx, wy : (n,) and (m,) float64 arrays of masses that sum to one, or None for equal ones.
    distance : float, W_p in units of the values.

    Examples
    --------
    >>> t = wasserstein([0.0, 1.0, 3.0], [5.0, 6.0], p=1)
    >>> round(t.distance, 12), t.converged, t.marginal_error < 1e-15
    (4.166666666667, True, True)
    >>> t.coupling.mass.round(3), t.map.round(3)
    (array([0.333, 0.167, 0.167, 0.333]), array([5. , 5.5, 6. ]))
    """

    @property
    def converged(self) -> bool:
        """True: sorting is exact."""
        return True

    @cached_property
    def _order(self) -> tuple[Places, Places, Places, Places, Array]:
        """Positions of both samples in order of their values, and the pieces of the coupling."""
        i, j = argsorted(self.x), argsorted(self.y)
        self._require_same(i, j)
        a, b = None if self.wx is None else self.wx[i], None if self.wy is None else self.wy[j]
        return i, j, *pieces(a, b, len(i), len(j))

    def _require_same(self, i: Places, j: Places) -> None:
        """Refuse samples that no longer have this distance."""
        a, b = (
            _Sorted(v[at], None if w is None else w[at])
            for v, at, w in ((self.x, i, self.wx), (self.y, j, self.wy))
        )
        size = max(abs(v) for s in (a, b) for v in (s.values[0], s.values[-1]))
        if not abs(_distance(a, b, self.p) - self.distance) <= SAME * max(size, self.distance):
            raise DataError(
                "x or y has changed since its distance was computed: give copies of arrays that will change."
            )

    @cached_property
    def coupling(self) -> Coupling:
        """The pieces of the coupling in the order of the values."""
        i, j, source, target, mass = self._order
        kept = mass > 0
        return Coupling(i[source[kept]], j[target[kept]], mass[kept])

    @cached_property
    def marginal_error(self) -> float:
        """Σ|masses moved by the coupling − masses given|, the larger of both sides."""
        return self.coupling.misplaced(self.wx, self.wy, len(self.x), len(self.y))

    @cached_property
    def map(self) -> Array:
        """Where each x goes on average (n,); the optimal map itself where n = m without weights."""
        return self.coupling.averages(self.y, len(self.x))

    @cached_property
    def potentials(self) -> tuple[Array, Array]:
        """Kantorovich potentials f (n,) and g (m,): f(x) + g(y) ≤ |x − y|^p, equal on the coupling.

        Σ wx·f = 0.

        They are summed along the steps of the coupling, each of which changes one of both points.  Not
        defined for p = ∞.
        """
        if np.isinf(self.p):
            raise DataError("p = ∞ has no Kantorovich potentials: its cost is a largest distance, not a sum.")
        i, j, source, target, _ = self._order
        x, y = self.x[i], self.y[j]
        # first move in y, then in x: along (i, j) → (i, j') → (i', j') every corner belongs to the staircase
        before = np.abs(x[source[:-1]] - y[target[:-1]]) ** self.p
        corner = np.abs(x[source[:-1]] - y[target[1:]]) ** self.p
        after = np.abs(x[source[1:]] - y[target[1:]]) ** self.p
        f, g = np.empty(len(x)), np.empty(len(y))
        f[source] = np.concatenate([[0.0], np.cumsum(after - corner)])
        g[target] = np.abs(x[0] - y[0]) ** self.p + np.concatenate([[0.0], np.cumsum(corner - before)])
        own, other = np.empty(len(x)), np.empty(len(y))
        own[i], other[j] = f, g
        centre = f.mean() if self.wx is None else self.wx @ own
        return own - centre, other + centre


def _sample(sample: Any, weights: Any, names: tuple[str, str]) -> tuple[Array, Array | None]:
    """The sample as given, read-only, and its masses."""
    v = values(sample, names[0]).view()
    v.flags.writeable = False
    return v, masses(weights, len(v), names[1])


def _sorted(v: Array, w: Array | None, which: int) -> _Sorted:
    """Both in order, finite, without values of mass zero; ``which`` of the samples it is."""
    if w is None:
        ordered = in_order(v, which)
        if not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
            require_finite(v, "xy"[which])
        return _Sorted(ordered, None)
    require_finite(v, "xy"[which])
    order = argsorted(v)
    if w.min() == 0:
        order = order[w[order] > 0]
    return _Sorted(v[order], w[order])


def pieces(a: Array | None, b: Array | None, n: int, m: int) -> tuple[Places, Places, Array]:
    """Positions in both sorted samples and mass of every piece of their coupling; some pieces may be empty.

    Parameters: ``a`` (n,) and ``b`` (m,), masses in the order of the values, or None for equal ones.

    Examples
    --------
    >>> [part.tolist() for part in pieces(None, None, 1, 2)]
    [[0, 0, 0], [0, 1, 1], [0.5, 0.5, 0.0]]
    """
    if a is None and b is None and n == m:
        at = np.arange(n)
        return at, at, np.full(n, 1 / n)
    ends: Any
    if a is None and b is None:
        ends, scale = (np.arange(1, n + 1) * m, np.arange(1, m + 1) * n), 1 / (float(n) * m)
    else:
        ends, scale = (
            tuple(
                np.arange(1, size + 1) / size if w is None else np.cumsum(w) for w, size in ((a, n), (b, m))
            ),
            1.0,
        )
        for e in ends:
            e /= e[-1]
    both = np.concatenate(ends)
    order = np.argsort(both, kind="stable")  # a merge, since both parts are sorted
    # a piece ends at a level of x or of y; of the other sample as many levels have passed as the place leaves
    # over
    source, target = order.copy(), np.arange(n + m)
    np.subtract(np.arange(n, 2 * n + m), order, out=source, where=order >= n)
    target -= source
    np.minimum(source, n - 1, out=source)
    np.minimum(target, m - 1, out=target)
    level = both[order]
    mass = np.empty(n + m)
    mass[0] = level[0]
    np.subtract(level[1:], level[:-1], out=mass[1:])
    if scale != 1.0:
        mass *= scale
    return source, target, mass


def more_than_rounding(mass: Array) -> Mask:
    """Which pieces (k,) of a coupling of weights are more than what rounding leaves between equal levels.

    Examples
    --------
    >>> int(more_than_rounding(pieces(np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.7]), 3, 2)[2]).sum())
    3
    """
    return np.asarray(mass > len(mass) * np.finfo(np.float64).eps)


def wasserstein(x: Any, y: Any, p: float = 1, wx: Any = None, wy: Any = None) -> OneDim:
    """Wasserstein distance of order p between two samples on the line, exact.

    Parameters
    ----------
    x, y : (n,) and (m,) arrays of any real dtype, computed in float64.
    p : float of at least 1, or infinity
        Order; the distance is the p-th root, in units of the values.
    wx, wy : (n,) and (m,) arrays of any real dtype or None
        Weights, not negative; each is divided by its sum.  None: equal weights.

    Returns
    -------
    OneDim
        ``float(result)`` is the distance; coupling, map and potentials are computed when asked for.

    Raises
    ------
    DataError
        If a sample is empty, not one-dimensional or not finite, or weights do not fit it.
    OptionError
        If p is below 1.

    References
    ----------
    Villani (2009), Optimal Transport: Old and New, Springer.  Panaretos, Zemel (2019),
    doi:10.1146/annurev-statistics-030718-104938.

    Examples
    --------
    >>> wasserstein([0.0, 2.0], [3.0, 4.0, 5.0], p=2).cost.__round__(9)
    9.333333333
    """
    p = check_order(p)
    x, wx = _sample(x, wx, ("x", "wx"))
    y, wy = _sample(y, wy, ("y", "wy"))
    distance = area(x, y, wx, wy) if p == 1 else None
    return OneDim(
        x, y, p, wx, wy, _distance(_sorted(x, wx, 0), _sorted(y, wy, 1), p) if distance is None else distance
    )


def _distance(a: _Sorted, b: _Sorted, p: float) -> float:
    """W_p of two sorted samples; the values of the first are overwritten."""
    x, y = a.values, b.values
    largest = max(abs(x[0]), abs(x[-1]), abs(y[0]), abs(y[-1]))
    unit = 1.0
    if largest > SAFE or 0 < largest < 1 / SAFE:  # powers of two: nothing is rounded
        unit = 2.0 ** float(np.frexp(largest)[1] - 1)
        x, y = x / unit, y / unit
    mass: Array | None = None
    if a.mass is None and b.mass is None and len(x) == len(y):
        gap = np.subtract(x, y, out=x)
    else:
        source, target, mass = pieces(a.mass, b.mass, len(x), len(y))
        gap = x[source]
        gap -= y[target]
        if np.isinf(p) and not (a.mass is None and b.mass is None):
            mass = np.where(more_than_rounding(mass), mass, 0.0)
    np.abs(gap, out=gap)
    return _mean_of_order(gap, mass, p) * unit


def _mean_of_order(gap: Array, mass: Array | None, p: float) -> float:
    """(mean of gap^p)^(1/p) under the masses, None for equal ones; the gaps are overwritten."""
    if np.isinf(p):
        return float(gap.max() if mass is None else gap[mass > 0].max())
    scale = 1.0
    if p != 1:
        top = gap.max()
        if top == 0:
            return 0.0
        scale = power_above(top)
        gap /= scale
        gap = np.multiply(gap, gap, out=gap) if p == 2 else gap**p
    cost = float(gap.mean() if mass is None else mass @ gap)
    return float(cost ** (1 / p) * scale)
