"""Expectations of functions of outcomes under spline laws: panel sums, refined row by row until they settle.

References
----------
Davis, Rabinowitz (1984), Methods of numerical integration, Academic Press, ch. 2.7 (Lobatto's
rule) and 6 (adaptive integration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from disteconometrics.arrays import AnyArray, Array, Indices, Mask
from disteconometrics.distributions.numeric import ROUNDED, SETTLED, TOLERANCE, divergence, warn_unsettled
from disteconometrics.distributions.spline_pieces import chunks, gauss
from disteconometrics.distributions.spline_sums import TAIL_COUNT, Curves, Nodes
from disteconometrics.threads import on_one_thread

__all__ = ["expectation"]

Function = Callable[[Array], Array]

MORE = 2  # points by which the second rule of a panel, Lobatto's, has more
HALF_COUNT = 13  # points in half a panel
DEPTH = 48  # halvings of a panel
PANELS, MOST_PANELS = 60, 800  # of a row at a time, of many rows and of few
MOST_CELLS = 4_000_000  # of rows × panels


@on_one_thread
def expectation(c: Curves, function: Function, *, smooth: bool) -> Array:
    """E f(Y) (n,) for f that maps outcomes (n, m) elementwise, its rows with those of the law.

    Gauss-Legendre and Lobatto sums of each panel are compared, and a row's panels in which they differ are
    halved, each on its own.

    Parameters
    ----------
    c : Curves.
    function : (n, m) → (n, m).
    smooth : bool, whether f is known to be smooth inside the support and to grow by powers at most: then one
        sum is enough.

    Returns
    -------
    (n,) float64; ±inf where one end diverges, NaN where both do with different signs.

    Warns
    -----
    ConvergenceWarning
        If panels do not settle.

    Example
    -------
    >>> from disteconometrics.distributions.support import Support
    >>> from disteconometrics.likelihoods.splines import SlopeBasis
    >>> zero, basis = np.zeros(1), SlopeBasis(np.arange(-2.0, 3.0))
    >>> normal = Curves(basis, zero, np.ones((1, 4)), zero, 1.0, "normal", Support())
    >>> expectation(normal, np.abs, smooth=False).round(6), expectation(normal, np.exp, smooth=True).round(6)
    (array([0.797885]), array([1.648721]))
    """
    with np.errstate(all="ignore"):
        parts = [_first(c, function, *part, smooth) for part in _parts(c, smooth)]
        sums, off, edges = (np.concatenate([part[i] for part in parts], axis=-1) for i in range(3))
        total = sums.sum(axis=1)
        scale = np.abs(total) if smooth else np.asarray(sum(part[3] for part in parts))
        scale = np.maximum(np.nan_to_num(scale), 1e-300)
        infinite = _infinite(c, function, scale)
        again = (off > TOLERANCE * scale[:, None]) & np.isfinite(infinite)[:, None]
        if again.any():
            low, high, whole, live = _first_ones(again, *np.broadcast_arrays(*edges[:, None], sums))
            rest = np.where(again, 0.0, sums).sum(axis=1)
            total = rest + _refined(c, function, low, high, whole, live, scale)
        return np.asarray(total + infinite)


def _parts(c: Curves, smooth: bool) -> Iterator[tuple[int, Array, Indices]]:
    """Side, edges in v and numbers of points of the panels of both tails and between the knots."""
    lower, upper = c.edges(far=not smooth)
    for side, edges in ((-1, lower), (0, c.basis.knots), (1, upper)):
        yield side, edges, c.counts if side == 0 else np.full(len(edges) - 1, TAIL_COUNT)


def _first(
    c: Curves, function: Function, side: int, edges: Array, counts: Indices, smooth: bool
) -> tuple[Array, Array, Array, Array]:
    """Sums (n, P) over panels, their differences to another rule's, the edges (2, P), sums (n,) of |f|."""
    n, ends = len(c.intercept), np.stack([edges[:-1], edges[1:]])
    sums, off, size = np.empty((n, len(counts))), np.zeros((n, 0 if smooth else len(counts))), np.zeros(n)
    for some in chunks(len(counts), 2 * n * (int(counts.max()) + MORE)):
        low, high = ends[:, some]
        nodes = c.nodes(side, low, high, counts[some])
        sums[:, some] = nodes.by_panel(_weighted(c, function, nodes))
        if not smooth:
            nodes = c.nodes(side, low, high, counts[some] + MORE, closed=True)
            values = _weighted(c, function, nodes)
            size += np.abs(values).sum(axis=1)
            fine = nodes.by_panel(values)
            off[:, some] = np.abs(fine - sums[:, some])
            sums[:, some] = fine
    return sums, off, ends, size


def _weighted(c: Curves, function: Function, nodes: Nodes) -> Array:
    """f·density·weight (n, Q) at points that all rows share."""
    every = slice(None)
    return _integrand(c, function, c.line(every, nodes)[0], c.masses(every, nodes)) * nodes.weights


def _integrand(c: Curves, function: Function, u: Array, mass: Array) -> Array:
    value = function(c.domain.from_line(u)) * mass
    bad = ~np.isfinite(value)
    return np.where(bad & (mass < ROUNDED), 0.0, value) if bad.any() else value


def _infinite(c: Curves, function: Function, scale: Array) -> Array:
    """±inf (n,) where an end diverges, else zero."""

    def at(tau: Array, upper: bool) -> Array:
        return function(c.domain.from_line(c.tail(tau, upper)))

    return divergence(at, scale.shape, scale)


def _first_ones(mask: Mask, *arrays: Array) -> tuple[AnyArray, ...]:
    """Entries (n, q) of arrays (n, P) where a row's mask is true, filled up with others, and the mask."""
    order = np.argsort(~mask, axis=1, kind="stable")[:, : int(mask.sum(axis=1).max())]
    given: tuple[AnyArray, ...] = (*arrays, mask)
    return tuple(np.take_along_axis(a, order, axis=1) for a in given)


def _refined(
    c: Curves, function: Function, low: Array, high: Array, whole: Array, live: Mask, scale: Array
) -> Array:
    """Sums (n,) over the rows' own panels (n, q), halved until halves add up to the whole."""
    total, middle = np.zeros(len(low)), c.basis.knots[len(c.basis.knots) // 2]
    most = min(MOST_PANELS, max(PANELS, MOST_CELLS // len(low)))
    for depth in range(DEPTH):
        mid = (low + high) / 2
        a, b = np.concatenate([low, mid], axis=1), np.concatenate([mid, high], axis=1)
        both = _own(c, function, *(np.where(np.tile(live, 2), e, middle) for e in (a, b)))
        sums = both[:, : low.shape[1]] + both[:, low.shape[1] :]
        gap = np.where(live, np.abs(sums - whole), 0.0)
        off = gap > TOLERANCE * scale[:, None]
        again = np.tile(off, 2)
        if depth == DEPTH - 1 or again.sum(axis=1).max() > most:
            if np.nanmax(gap.sum(axis=1) / scale, initial=0.0) > SETTLED:
                warn_unsettled()
            off[:] = False
        total += np.where(live & ~off, sums, 0.0).sum(axis=1)
        if not off.any():
            break
        low, high, whole, live = _first_ones(again, a, b, both)
    return total


def _own(c: Curves, function: Function, low: Array, high: Array) -> Array:
    """Integrals (n, q) over the rows' own panels in v."""
    x, w = gauss(np.zeros(1), np.ones(1), np.array([HALF_COUNT]), closed=True)
    out = np.empty(low.shape)
    for some in chunks(low.shape[1], 2 * len(low) * len(x)):
        width = high[:, some] - low[:, some]
        v = (low[:, some, None] + width[..., None] * x).reshape(len(low), -1)
        parts = []
        for rows in chunks(len(v), 16 * v.shape[1] + 4 * len(c.basis.knots)):
            s = c.where(rows, v[rows])
            parts.append((s.u, c.density(s.z) * s.slope))
        u, mass = (np.concatenate(each) for each in zip(*parts, strict=True))
        value = _integrand(c, function, u, mass)
        out[:, some] = width * (value.reshape(*width.shape, len(x)) @ w)
    return out
