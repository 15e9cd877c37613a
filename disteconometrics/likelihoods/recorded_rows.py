"""Log-likelihood of a monotone transformation where outcomes are known to lie between two ends.

With u = a_u'θ and l = a_l'θ the transformation at the ends, D = u − l > 0, a record contributes

    f = log[Λ(u) − Λ(l)],    ∂f/∂u = λ(u)/(Λ(u) − Λ(l)),    ∂f/∂l = −λ(l)/(Λ(u) − Λ(l)),

an open end drops out, and an outcome that is known is the limit u → l.  For a log-concave density λ this is
concave in (u, l): with s = −λ'/λ and g the gradient its information is gg' + diag(s(u)·g_u, s(l)·g_l).  That
is kept as a factor in the coordinates (D, l), in which nothing cancels where records are narrow, so that a
pass scales two rows a record and takes one product.  The part in D is its own barrier for D > 0.

References
----------
Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
doi:10.1111/sjos.12291.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from disteconometrics.arrays import Array, Indices, or_ones
from disteconometrics.likelihoods.monotone import (
    BaseLaw,
    LinearForms,
    MonotonePass,
    MonotoneRows,
    OwnLikelihood,
    evaluate,
    left_out,
    loglik,
)
from disteconometrics.likelihoods.piece_rows import arrays_of, columns_kept, rows_of
from disteconometrics.likelihoods.piece_rows import narrowed_rows as narrowed_forms
from disteconometrics.likelihoods.structure import Structure

__all__ = ["RecordedRows", "narrowed_rows", "recorded_rows"]

# width in standardised outcomes up to which a record counts as its midpoint, times its width: the error is of
# the order of its square
NARROW = 1e-4
ENTRIES, LEAST = 30_000, 128  # of rows whose products stay in cache, and rows at least


class Places(NamedTuple):
    """Positions of records: known, between two ends, below an upper end, above a lower end."""

    known: Indices
    between: Indices
    below: Indices
    above: Indices


class _Curves(NamedTuple):
    """Log-likelihood of records with ends, its gradient, and the factor of its information.

    ``value`` (k + a + b,) are those between, below and above; ``high`` (k + a,) and ``low`` (k + b,) are the
    gradients by end.  The information is the square of the rows ``of_high``·(a_u − a_l + ``turn``·a_l), of
    those below ``of_high``·a_u, and ``of_low``·a_l.
    """

    value: Array
    high: Array
    low: Array
    of_high: Array
    of_low: Array
    turn: Array


@final
@dataclass(frozen=True, eq=False)
class RecordedRows(OwnLikelihood):
    """Records of outcomes as linear forms of coefficients θ (p,).

    Parameters
    ----------
    known : LinearForms of the e records whose outcome is known, with their weights.
    log_widths : (e,) float64 array, logarithms of the widths of those all but known, zero of others.
    wide : (k + a, p) float64 array, A from lower to upper ends of records between two, then at the ends of
        those below.
    lower : (k + b, p) float64 array, A at the lower ends of records between two ends, then of those above.
    places : where the records are among the n rows.
    weights : (n,) float64 array or None.
    """

    known: LinearForms
    log_widths: Array
    wide: Array
    lower: Array
    places: Places
    weights: Array | None = None

    @property
    def count(self) -> int:
        """Records n."""
        return sum(map(len, self.places))

    def reweighted(self, weights: Array) -> RecordedRows:
        """The records that have weight, under other weights (n,)."""
        kept = weights > 0
        known, between, below, above = (kept[at] for at in self.places)
        new = np.cumsum(kept) - 1
        return RecordedRows(
            self.known.reweighted(weights[self.places.known]),
            self.log_widths[known],
            self.wide[np.concatenate([between, below])],
            self.lower[np.concatenate([between, above])],
            Places(*(new[at[kept[at]]] for at in self.places)),
            weights[kept],
        )

    def forms(self, theta: Array) -> tuple[Array, Array]:
        """z of what is known, of upper and of lower ends; slopes of what is known, and u − l between ends."""
        z, slope = self.known.forms(theta)
        high, low, k = self.wide @ theta, self.lower @ theta, len(self.places.between)
        slope = np.concatenate([slope, high[:k]])
        high[:k] += low[:k]
        return np.concatenate([z, high, low]), slope

    # ---- the log-likelihood --------------------------------------------------------------------------------

    def _ends(self, z: Array) -> tuple[Array, Array]:
        """z of upper and of lower ends."""
        e = len(self.places.known)
        return z[e : e + len(self.wide)], z[e + len(self.wide) :]

    def _values(self, base: BaseLaw, z: Array, slope: Array) -> Array:
        """Log probabilities of the records with ends (k + a + b,): between, below, above.

        A pass wants those of a search before it: what was asked for last is kept.
        """
        if self._last.get("z") is not z:
            (high, low), k = self._ends(z), len(self.places.between)
            between = base.log_between(high[:k], low[:k], slope[len(self.places.known) :])
            values = np.concatenate([between, base.logcdf(high[k:]), base.logcdf(-low[k:])])
            self._last.update(z=z, values=values)
        return self._last["values"]

    @cached_property
    def _last(self) -> dict[str, Array]:
        return {}

    def _of_known(self, base: BaseLaw, z: Array, slope: Array) -> float:
        """Log-likelihood of what is known, with the widths of what is all but known."""
        e, w = len(self.places.known), self.known.weights
        widths = float(self.log_widths.sum() if w is None else w @ self.log_widths)
        return loglik(self.known, base, z[:e], slope[:e]) + widths

    def loglik(self, base: BaseLaw, z: Array, slope: Array) -> float:
        """Log-likelihood; −∞ where a slope or a distance of ends is not positive."""
        if slope.min(initial=1.0) <= 0:
            return -np.inf
        return self._of_known(base, z, slope) + float(self._masses[0] @ self._values(base, z, slope))

    @cached_property
    def _masses(self) -> tuple[Array, Array, Array]:
        """Weights of the records with ends, of upper and of lower ends."""
        w = or_ones(self.weights, self.count)
        between, below, above = (w[at] for at in self.places[1:])
        return (
            np.concatenate([between, below, above]),
            np.concatenate([between, below]),
            np.concatenate([between, above]),
        )

    def _curves(self, base: BaseLaw, z: Array, slope: Array) -> _Curves:
        """What records with ends say, each on its own."""
        (high, low), k = self._ends(z), len(self.places.between)
        value = self._values(base, z, slope)
        g, h = (
            np.exp(base.logpdf(high) - value[: len(high)]),
            -np.exp(base.logpdf(low) - np.concatenate([value[:k], value[len(high) :]])),
        )
        s, t = base.first(high) * g, base.first(low) * h
        # information in the coordinates (D, l): of D, of both, of l
        both = g[:k] + h[:k]
        of_gap, of_low = np.maximum(g * g + s, 0.0), h * h + t
        mixed, of_low[:k] = g[:k] * both + s[:k], both * both + s[:k] + t[:k]
        ratio = np.divide(mixed, of_gap[:k], out=np.zeros(k), where=of_gap[:k] > 0)
        of_low[:k] -= ratio * mixed
        return _Curves(value, g, h, np.sqrt(of_gap), np.sqrt(np.maximum(of_low, 0.0)), ratio)

    def evaluate(
        self, base: BaseLaw, z: Array, slope: Array, dual: Array | None, *, exact: bool, value: float | None
    ) -> MonotonePass:
        """Log-likelihood, score and information; ``dual`` is used of what is known alone."""
        e = len(self.places.known)
        own = None if dual is None else dual[:e]
        known = evaluate(self.known, base, z[:e], slope[:e], own, exact=exact, value=0.0)
        c, (w, w_high, w_low) = self._curves(base, z, slope), self._masses
        high, low = self._by_form(w_high * c.high, w_low * c.low)
        score = known.score + high @ self.wide + low @ self.lower
        H = known.information + self._products(c, np.sqrt(w_high), np.sqrt(w_low), exact=exact)
        if value is None:
            value = self._of_known(base, z, slope) + float(w @ c.value)
        return MonotonePass(value, score, H)

    def _by_form(self, high: Array, low: Array) -> tuple[Array, Array]:
        """Numbers of upper and of lower ends by the rows of ``wide`` and of ``lower``."""
        k = len(self.places.between)
        return high, np.concatenate([low[:k] + high[:k], low[k:]])

    @cached_property
    def _single(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both forms in single precision."""
        return self.wide.astype(np.float32), self.lower.astype(np.float32)

    def _products(self, c: _Curves, root_high: Array, root_low: Array, *, exact: bool) -> Array:
        """Information of records with ends, by chunks."""
        p, k = self.wide.shape[1], len(self.places.between)
        wide, lower = (self.wide, self.lower) if exact else self._single
        u = c.of_high * root_high
        scales = (wide, u), (lower[:k], u[:k] * c.turn), (lower, c.of_low * root_low)
        H = np.zeros((p, p))
        step = max(LEAST, ENTRIES // p)
        for i in range(0, max(len(wide), len(lower)), step):
            at = slice(i, i + step)
            M, turned, N = (rows[at] * scale[at, None].astype(rows.dtype) for rows, scale in scales)
            M[: len(turned)] += turned
            H += M.T @ M + N.T @ N
        return H

    # ---- record by record ----------------------------------------------------------------------------------

    def left_out(
        self, base: BaseLaw, z: Array, slope: Array, root: Array, together: Array | None = None
    ) -> Array:
        """Log-likelihood of every record (n,) under the coefficients without it; see `monotone.left_out`."""
        known, between, below, above = self.places
        copies = or_ones(together, self.count)
        e, k, (high, low) = len(known), len(between), self._ends(z)
        own = None if together is None else together[known]
        c, out = self._curves(base, z, slope), np.empty(self.count)
        out[known] = left_out(self.known, base, z[:e], slope[:e], root, own) + self.log_widths
        gap, at_low = _times(self.wide[:k], root), _times(self.lower, root)
        # (D, l) moves by K(I − HK)⁻¹g, K = U'VU of its forms U, H its information, g the gradient of −f
        aa, ad, dd = (np.einsum("ij,ij->i", *p) for p in ((at_low[:k],) * 2, (at_low[:k], gap), (gap, gap)))
        of_gap, turn = copies[between] * c.of_high[:k] ** 2, c.turn
        mixed, of_low = of_gap * turn, copies[between] * c.of_low[:k] ** 2 + of_gap * turn**2
        g, v = -copies[between] * c.high[:k], -copies[between] * (c.high[:k] + c.low[:k])
        m11, m12 = 1 - of_gap * dd - mixed * ad, -of_gap * ad - mixed * aa
        m21, m22 = -mixed * dd - of_low * ad, 1 - mixed * ad - of_low * aa
        det = np.maximum(m11 * m22 - m12 * m21, 1e-8)
        p, q = (m22 * g - m12 * v) / det, (m11 * v - m21 * g) / det
        wide, step = slope[e:], dd * p + ad * q
        new = wide + np.where(step < 0, step * (wide / (wide + np.abs(step))), step)
        moved = low[:k] + ad * p + aa * q
        out[between] = base.log_between(moved + new, moved, new)
        of_below = _moved(c.high[k:], c.of_high[k:], _times(self.wide[k:], root), copies[below])
        of_above = _moved(c.low[k:], c.of_low[k:], at_low[k:], copies[above])
        out[below], out[above] = base.logcdf(high[k:] + of_below), base.logcdf(-low[k:] - of_above)
        return out

    def scores(self, base: BaseLaw, theta: Array) -> tuple[Array, Array]:
        """Scores (n, p) and roots of information (n, 2, p) of the records, their weights left out.

        What is known has to be kept as `MonotoneRows`.
        """
        known, between, below, above = self.places
        assert isinstance(self.known, MonotoneRows)
        (z, slope), e = self.forms(theta), len(known)
        A, D, c = self.known.A, self.known.D / slope[:e, None], self._curves(base, z, slope)
        scores, roots = np.zeros((self.count, len(theta))), np.zeros((self.count, 2, len(theta)))
        scores[known] = D - A * base.first(z[:e])[:, None]
        roots[known, 0], roots[known, 1] = A * np.sqrt(base.second(z[:e]))[:, None], D
        of_high, of_low = np.concatenate([between, below]), np.concatenate([between, above])
        high, low = self._by_form(c.high, c.low)
        scores[of_high] += self.wide * high[:, None]
        scores[of_low] += self.lower * low[:, None]
        roots[of_high, 0], roots[of_low, 1] = self.wide * c.of_high[:, None], self.lower * c.of_low[:, None]
        roots[between, 0] += self.lower[: len(between)] * (c.turn * c.of_high[: len(between)])[:, None]
        return scores, roots


def _times(M: Array, root: Array) -> Array:
    """M·root for an upper triangular root."""
    return np.asarray(blas.dtrmm(1.0, root, M.T, trans_a=1).T) if len(M) else M


def _moved(gradient: Array, root: Array, form: Array, copies: Array) -> Array:
    """How far z of one end moves without the record."""
    size = np.einsum("ij,ij->i", form, form)
    return np.asarray(-size * copies * gradient / np.maximum(1 - copies * root**2 * size, 1e-8))


# ---- from outcomes to forms --------------------------------------------------------------------------------


def recorded_rows(
    structure: Structure, low: Array, high: Array, X: Array, weights: Array | None, *, dense: bool = False
) -> RecordedRows:
    """The linear forms of records low < r <= high (n,) with covariates X (n, K); equal ends are outcomes.

    With ``dense``, what is known is kept as arrays whatever its size.

    Examples
    --------
    >>> from disteconometrics.likelihoods.splines import SlopeBasis
    >>> from disteconometrics.likelihoods.structure import Term
    >>> line = Structure(SlopeBasis(np.arange(5.0)), (0, 4), (), (), (Term("baseline"),))
    >>> low, high = np.array([0.5, -np.inf, 2.0]), np.array([0.5, 1.0, 3.0])
    >>> rows = recorded_rows(line, low, high, np.zeros((3, 0)), None)
    >>> rows.forms(np.array([1.0, 2.0, 2.0, 2.0, 2.0]))
    (array([-2.,  3., -1.,  1.]), array([2., 2.]))
    """
    width = high - low
    known, finite = width <= NARROW, np.isfinite(low)
    groups = (known, ~known & np.isfinite(width), ~finite, finite & np.isposinf(high))
    places = Places(*map(np.flatnonzero, groups))
    log_widths = np.log(width[known], out=np.zeros(len(places.known)), where=width[known] > 0)
    own = None if weights is None else weights[known]
    middle = low[known] + width[known] / 2
    of_high, of_low = (np.concatenate([places.between, at]) for at in (places.below, places.above))
    make = arrays_of if dense else rows_of
    wide, lower = (
        structure.arrays(end[at], X[at], slopes=False)[0] for end, at in ((high, of_high), (low, of_low))
    )
    wide[: len(places.between)] -= lower[: len(places.between)]
    return RecordedRows(make(structure, middle, X[known], own), log_widths, wide, lower, places, weights)


def narrowed_rows(
    rows: LinearForms | OwnLikelihood, old: Structure, new: Structure
) -> LinearForms | OwnLikelihood:
    """The same rows with some of the terms."""
    if not isinstance(rows, OwnLikelihood):
        return narrowed_forms(rows, old, new)
    assert isinstance(rows, RecordedRows)
    keep = columns_kept(old, new)
    known = narrowed_forms(rows.known, old, new)
    return replace(rows, known=known, wide=rows.wide[:, keep], lower=rows.lower[:, keep])
