"""Log-likelihood of a monotone transformation that is linear in its coefficients.

With z = h(y | x) = a'θ and ∂z/∂y = d'θ > 0, a row contributes log f = log φ(a'θ) + log d'θ, φ the density of
the base law. −log φ is convex for the normal and the logistic law and −log is convex, so there is one
optimum; scores are s = −ρ'(z)·a + d/(d'θ), and the information is ρ''(z)·aa' + dd'/(d'θ)², with ρ = −log φ.

References
----------
Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
doi:10.1111/sjos.12291. Spady, Stouli (2020), Gaussian transforms modeling and the estimation of
distributional regression functions, arXiv:2011.06416.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.linalg import blas

from disteconometrics.arrays import Array

__all__ = ["BASES", "BaseLaw", "LinearForms", "MonotoneRows", "OwnLikelihood", "evaluate", "left_out"]


ROOT_2PI = np.sqrt(2 * np.pi)
LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)
CHUNK = 1024  # rows whose products stay in cache


@dataclass(frozen=True)
class BaseLaw:
    """A symmetric law on the line, by functions of arrays.

    Density and its logarithm, the latter's first and second derivatives with sign −, cdf, quantile, log cdf,
    and the log probability between l and u > l, given u, l and u − l.
    """

    name: str
    pdf: Callable[[Array], Array]
    logpdf: Callable[[Array], Array]
    first: Callable[[Array], Array]
    second: Callable[[Array], Array]
    cdf: Callable[[Array], Array]
    quantile: Callable[[Array], Array]
    logcdf: Callable[[Array], Array]
    log_between: Callable[[Array, Array, Array], Array]
    quadratic: bool = False  # whether the second derivative is one everywhere


def _normal_density(z: Array) -> Array:
    f = np.asarray(np.square(z))
    f *= -0.5
    np.exp(f, out=f)
    f /= ROOT_2PI
    return f


def _logistic_density(z: Array) -> Array:
    """By steps in place: for a hundred points of many rows the time is that of memory."""
    e = np.asarray(np.abs(z))
    np.exp(np.negative(e, out=e), out=e)
    whole = np.asarray(1 + e)
    e /= np.square(whole, out=whole)
    return e


def _log_logistic(z: Array) -> Array:
    size = np.abs(z)
    return np.asarray(-size - 2 * np.log1p(np.exp(-size)))


def _logistic_second(z: Array) -> Array:
    t = np.tanh(z / 2)
    return (1 - t * t) / 2


def _logistic_between(high: Array, low: Array, gap: Array) -> Array:
    return np.asarray(special.log_expit(high) + special.log_expit(-low) + np.log(-np.expm1(-gap)))


def _normal_between(high: Array, low: Array, gap: Array) -> Array:
    turned = high + low > 0  # the tail that both are in has the digits
    high, low = np.where(turned, -low, high), np.where(turned, -high, low)
    above = special.log_ndtr(high)
    with np.errstate(invalid="ignore", divide="ignore"):  # of steps that go too far
        return np.asarray(above + np.log(-np.expm1(special.log_ndtr(low) - above)))


BASES = {
    "normal": BaseLaw(
        "normal",
        _normal_density,
        lambda z: -0.5 * z * z - LOG_ROOT_2PI,
        lambda z: z,
        np.ones_like,
        special.ndtr,
        special.ndtri,
        special.log_ndtr,
        _normal_between,
        quadratic=True,
    ),
    "logistic": BaseLaw(
        "logistic",
        _logistic_density,
        _log_logistic,
        lambda z: np.tanh(z / 2),
        _logistic_second,
        special.expit,
        special.logit,
        special.log_expit,
        _logistic_between,
    ),
}


class LinearForms(Protocol):
    """Rows of the two linear forms a'θ and d'θ with weights (n,) or None, however they are kept."""

    @property
    def weights(self) -> Array | None:
        """Weights (n,), or None."""

    @property
    def count(self) -> int:
        """Rows n."""

    @property
    def moments(self) -> Array:
        """Σ w·aa' (p, p), what z adds to the information under a normal base whatever the coefficients."""

    def reweighted(self, weights: Array) -> LinearForms:
        """The rows that have weight, under other weights (n,)."""

    def forms(self, theta: Array) -> tuple[Array, Array]:
        """z = Aθ and slopes Dθ (n,)."""

    def gradient(self, v: Array, g: Array) -> Array:
        """D'v − A'g (p,) for v and g (n,)."""

    def products(self, u: Array | None, s: Array, *, exact: bool) -> Array:
        """Σ u²·aa' + s²·dd' (p, p) for u and s (n,), without the first where u is None.

        Sums of single precision where it need not be ``exact``.
        """

    def spreads(self, root: Array) -> tuple[Array, Array, Array]:
        """a'Va, a'Vd and d'Vd (n,) of every row, V = root·root' (p, p) with ``root`` upper triangular."""


@dataclass(frozen=True, eq=False)
class MonotoneRows:
    """Rows of the two linear forms: ``A`` and ``D`` (n, p), and weights (n,) or None, all float64."""

    A: Array
    D: Array
    weights: Array | None = None

    @property
    def count(self) -> int:
        """Rows n."""
        return len(self.A)

    def reweighted(self, weights: Array) -> MonotoneRows:
        """The rows that have weight, under other weights (n,)."""
        kept = weights > 0
        if kept.all():
            return MonotoneRows(self.A, self.D, weights)
        return MonotoneRows(self.A[kept], self.D[kept], weights[kept])

    @cached_property
    def single(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both forms in single precision."""
        return self.A.astype(np.float32), self.D.astype(np.float32)

    @cached_property
    def moments(self) -> Array:
        """Σ w·aa' (p, p), what z adds to the information under a normal base whatever the coefficients."""
        return _products([(self.A, np.ones(len(self.A)) if self.weights is None else np.sqrt(self.weights))])

    def forms(self, theta: Array) -> tuple[Array, Array]:
        """z = Aθ and slopes Dθ (n,)."""
        return self.A @ theta, self.D @ theta

    def gradient(self, v: Array, g: Array) -> Array:
        """D'v − A'g (p,) for v and g (n,)."""
        return np.asarray(v @ self.D - g @ self.A)

    def products(self, u: Array | None, s: Array, *, exact: bool) -> Array:
        """Σ u²·aa' + s²·dd' (p, p); see `LinearForms`."""
        A, D = (self.A, self.D) if exact else self.single
        return _products([(D, s)] if u is None else [(A, u), (D, s)])

    def spreads(self, root: Array) -> tuple[Array, Array, Array]:
        """a'Va, a'Vd and d'Vd (n,); see `LinearForms`."""
        P, Q = (blas.dtrmm(1.0, root, M.T, trans_a=1).T for M in (self.A, self.D))
        aa, ad, dd = (np.einsum("ij,ij->i", *pair) for pair in ((P, P), (P, Q), (Q, Q)))
        return aa, ad, dd


class MonotonePass(NamedTuple):
    """What one pass over the rows gives: log-likelihood (sum), score (p,) and information (p, p)."""

    loglik: float
    score: Array
    information: Array


class OwnLikelihood(ABC):
    """Rows that are more than an outcome each, and know their log-likelihood and its derivatives.

    Their forms are what it is a function of and, second, what has to stay positive.
    """

    weights: Array | None

    @property
    @abstractmethod
    def count(self) -> int:
        """Rows n."""

    @abstractmethod
    def reweighted(self, weights: Array) -> OwnLikelihood:
        """The rows that have weight, under other weights (n,)."""

    @abstractmethod
    def forms(self, theta: Array) -> tuple[Array, Array]:
        """The linear forms of coefficients θ (p,) or of a step."""

    @abstractmethod
    def loglik(self, base: BaseLaw, z: Array, slope: Array) -> float:
        """See `loglik`."""

    @abstractmethod
    def evaluate(
        self, base: BaseLaw, z: Array, slope: Array, dual: Array | None, *, exact: bool, value: float | None
    ) -> MonotonePass:
        """See `evaluate`."""

    @abstractmethod
    def left_out(self, base: BaseLaw, z: Array, slope: Array, root: Array, together: Array | None) -> Array:
        """See `left_out`."""


def loglik(rows: LinearForms | OwnLikelihood, base: BaseLaw, z: Array, slope: Array) -> float:
    """Sum of log densities at given z (n,) and slopes (n,); −inf where a slope is not positive."""
    if isinstance(rows, OwnLikelihood):
        return rows.loglik(base, z, slope)
    if slope.min(initial=1.0) <= 0:
        return -np.inf
    terms = base.logpdf(z) + np.log(slope)
    return float(terms.sum() if rows.weights is None else rows.weights @ terms)


def _products(parts: Sequence[tuple[NDArray[np.floating], Array]]) -> Array:
    """Sum of M'M over matrices M (n, p) with rows scaled by (n,), by chunks, in the matrices' precision."""
    n, p = parts[0][0].shape
    dtype = parts[0][0].dtype
    H, M = np.zeros((p, p)), np.empty((len(parts) * min(n, CHUNK), p), dtype)
    scales = [scale.astype(dtype)[:, None] for _, scale in parts]
    for i in range(0, n, CHUNK):
        c = slice(i, i + CHUNK)
        m = len(parts[0][0][c])
        for j, ((rows, _), scale) in enumerate(zip(parts, scales, strict=True)):
            np.multiply(rows[c], scale[c], out=M[j * m : (j + 1) * m])
        H += M[: len(parts) * m].T @ M[: len(parts) * m]
    return H


def evaluate(
    rows: LinearForms | OwnLikelihood,
    base: BaseLaw,
    z: Array,
    slope: Array,
    dual: Array | None = None,
    *,
    exact: bool = True,
    value: float | None = None,
) -> MonotonePass:
    """Log-likelihood, if its ``value`` is not known, score and information at z = Aθ and slope = Dθ.

    With ``dual`` (n,), near 1/slope, the information has dual/slope in place of 1/slope², for primal-dual
    steps; where it need not be exact its products are summed in single precision, in half the time.
    """
    if isinstance(rows, OwnLikelihood):
        return rows.evaluate(base, z, slope, dual, exact=exact, value=value)
    w = rows.weights
    g, v = base.first(z), 1 / slope
    u, s = np.sqrt(base.second(z)), v if dual is None else np.sqrt(v * dual)
    if w is not None:
        g, root = w * g, np.sqrt(w)
        u, s, v = u * root, v * root, v * w
    score = rows.gradient(v, g)
    H = rows.products(None if base.quadratic else u, s, exact=exact)
    if base.quadratic:
        H += rows.moments
    return MonotonePass(loglik(rows, base, z, slope) if value is None else value, score, H)


def left_out(
    rows: LinearForms | OwnLikelihood,
    base: BaseLaw,
    z: Array,
    slope: Array,
    root: Array,
    together: Array | None = None,
) -> Array:
    """Log density of every row (n,) under the coefficients without it, by one exact step from the optimum.

    ``root`` (p, p) is R⁻¹, upper triangular, with R'R the penalised information.  The step solves with the
    information less the row's own share, of rank two.  Where the step would make the slope negative it is
    shortened, as the barrier of the logarithm would.  ``together`` (n,) says how many copies of a row are
    left out at once, None for one.
    """
    if isinstance(rows, OwnLikelihood):
        return rows.left_out(base, z, slope, root, together)
    aa, ad, dd = rows.spreads(root)
    r2, g, v = base.second(z), base.first(z), 1 / slope
    v2 = v * v
    if together is not None:
        r2, g, v, v2 = (together * share for share in (r2, g, v, v2))
    # leaving out changes the gradient by −(g·a − v·d) and the information by −(r2·aa' + v²·dd')
    # (H − U C U')⁻¹ = H⁻¹ + H⁻¹U(C⁻¹ − U'H⁻¹U)⁻¹U'H⁻¹ restricted to span{a, d}: 2 × 2 algebra with K = U'H⁻¹U
    # new forms: (a, d)' Δ = K (I − C K)⁻¹ (g, −v)
    m11, m12, m21, m22 = 1 - r2 * aa, -r2 * ad, -v2 * ad, 1 - v2 * dd
    det = np.maximum(m11 * m22 - m12 * m21, 1e-8)
    q1, q2 = (m22 * g + m12 * v) / det, (-m21 * g - m11 * v) / det
    dz, ds = aa * q1 + ad * q2, ad * q1 + dd * q2
    ds = np.where(ds < 0, ds * (slope / (slope + np.abs(ds))), ds)
    return np.asarray(base.logpdf(z + dz) + np.log(slope + ds))
