"""Laws of rows with a mass: a probability of being off its point, a law of the rest, both estimations as one.

With p = P(y ≠ c | x) and G the law of the rest, F(y | x) = p·G(y | x) + (1 − p)·1{y ≥ c}.  Coefficients are
θ = (those of p, those of G), whose informations do not meet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from disteconometrics.arrays import Array, Indices, Mask, as_floats
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.support import Support
from disteconometrics.errors import FewClustersWarning
from disteconometrics.estimators.index_laws import ProbabilityRowLaws
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.crossings import just_below
from disteconometrics.inference.influence import answers_covariance, influence_covariance, is_model_based
from disteconometrics.inference.law_effects import (
    AtLevels,
    AtOutcome,
    Estimation,
    RowLaws,
    RowMoments,
    RowValues,
    needs_population,
    spreads,
)
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.inference.sampling import Sampling
from disteconometrics.likelihoods.monotone import BaseLaw

__all__ = ["HurdleEstimation", "HurdleRowLaws"]

STEP = 1e-5  # of a probability, for derivatives of functionals that have no closed form here
EACH = 256  # rows whose own gradients are taken at once
MOST_KEPT = 20_000_000  # numbers of rows of coefficients that are kept
LEAST = 1e-300  # probability that a link is asked for


@dataclass(frozen=True, eq=False)
class HurdleRowLaws:
    """The laws of n rows with a mass at a point; see `inference.law_effects.RowLaws`.

    Parameters
    ----------
    point : float, where the mass is.
    occurs : ProbabilityRowLaws of being off it.
    rest : RowLaws of outcomes that are.
    """

    point: float
    occurs: ProbabilityRowLaws
    rest: RowLaws

    @property
    def size(self) -> int:
        """Rows."""
        return self.rest.size

    @property
    def link(self) -> BaseLaw:
        """That of the rest."""
        return self.rest.link

    @property
    def support(self) -> Support:
        """Where the rest lives."""
        return self.rest.support

    @property
    def origin(self) -> float:
        """That of the rest."""
        return self.rest.origin

    @cached_property
    def p(self) -> Array:
        """Probabilities (n,) of being off the point."""
        return self.occurs.kernel.probability(self.occurs.eta)

    @cached_property
    def law(self) -> WithMass:
        """The law of every row."""
        return self._with(self.rest.law, self.p)

    def _with(self, rest: Law, p: Array) -> WithMass:
        return WithMass(rest, self.point, 1 - (p if rest.batch_shape else p[0]))

    def take(self, rows: Any) -> HurdleRowLaws:
        """The laws of some rows."""
        return replace(self, occurs=self.occurs.take(rows), rest=self.rest.take(rows))

    def _sums(self, of_p: Array, of_rest: Array) -> Array:
        """Sums (v, k + q) from weighted derivatives in p (n, v), and sums of the rest (v, q)."""
        return np.column_stack([self.occurs.by_row(("mean", ()), of_p).sums, of_rest])

    # ---- at an outcome -------------------------------------------------------------------------------------

    def _inside(self, y: float) -> bool:
        return bool(self.support.low < y < self.support.high)

    def _rest_at(self, y: float) -> AtOutcome:
        if self._inside(y):
            return self.rest.at(y)
        none = np.zeros(self.size)
        return AtOutcome(none + (y >= self.support.high), none)

    def at(self, y: float) -> AtOutcome:
        """Distribution function (n,) at an outcome, and the density of the rest there times p."""
        rest = self._rest_at(y)
        return AtOutcome(self.p * rest.cdf + (1 - self.p) * (y >= self.point), self.p * rest.pdf)

    def cdf_sums(self, y: float, W: Array) -> Array:
        """Σ w ∂F(y | x)/∂θ (v, k + q)."""
        of_p = W * (self._rest_at(y).cdf - float(y >= self.point))[:, None]
        return self._sums(of_p, self.rest.cdf_sums(self._near(y), W * self.p[:, None] * self._inside(y)))

    def _near(self, y: float) -> float:
        """An outcome inside the support, of which the sums beyond it are zero."""
        return y if self._inside(y) else float(self.support.from_line(np.array(0.0)))

    def densities(self, y: Array, w: Array) -> tuple[Array, Array]:
        """Densities f(y | x) (n, Q) and Σ w ∂f/∂θ (Q, k + q), beside the point."""
        inside = np.array([self._inside(u) for u in y], dtype=bool)
        pdf, sums = self.rest.densities(np.array([self._near(u) for u in y]), w * self.p)
        pdf = pdf * inside
        return self.p[:, None] * pdf, self._sums(w[:, None] * pdf, sums * inside[:, None])

    def moments(self, W: Array) -> RowMoments:
        """Mean and variance (n,), and sums of gradients of moments about `origin`."""
        p = self.p
        rest = self.rest.moments(W * p[:, None])
        away, c, m = rest.mean - self.point, self.point - self.origin, rest.mean - self.origin
        second = rest.var + m * m - c * c
        with np.errstate(invalid="ignore"):  # where a row has no mean or no variance
            return RowMoments(
                self.point + p * away,
                p * rest.var + p * (1 - p) * away**2,
                self._sums(W * away[:, None], rest.first),
                self._sums(W * second[:, None], rest.second),
            )

    def below(self, y: float, W: Array, moments: int = 2) -> tuple[Array, Array]:
        """∫ (u − origin)^j F(u | x) du below an outcome, and Σ w of gradients; see `RecordedRowLaws`."""
        own: Any = self.rest
        rest, of_rest = own.below(y, W * self.p[:, None], moments)
        ends = np.array([self.point, max(y, self.point)]) - self.origin
        mass = np.array([np.diff(ends), np.diff(ends**2) / 2])[:moments]
        sums = [self._sums(W * d[:, None], s) for d, s in zip(rest - mass, of_rest, strict=True)]
        return self.p * rest + (1 - self.p) * mass, np.array(sums)

    # ---- functionals of each row ---------------------------------------------------------------------------

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """A functional of every row's law (n,), and Σ w ∂T/∂θ (v, k + q) for weights W (n, v)."""
        kind, numbers = functional
        if kind == "mean":
            rest = self.rest.by_row(functional, W * self.p[:, None])
            away = rest.values - self.point
            return RowValues(self.point + self.p * away, self._sums(W * away[:, None], rest.sums))
        if kind in ("var", "std"):
            return spreads(self, kind, W)
        if kind == "prob":
            low, high = numbers
            sums = self.cdf_sums(high, W) - self.cdf_sums(low, W)
            return RowValues(self.at(high).cdf - self.at(low).cdf, sums)
        if kind == "q":
            return self._quantiles(numbers[0], W)
        return self._by_steps(numbers[0], W)

    def _by_steps(self, of: Callable[[Law], Any], W: Array) -> RowValues:
        """Any function of laws: by differences in p, and those that the rest takes in its own."""
        rest, p, n = self.rest.take(np.arange(self.size)), self.p, self.size

        def at(law: Law, p: Array) -> Array:
            return as_floats(of(self._with(law, p))).reshape(n)

        low, high = np.maximum(p - STEP, 0.0), np.minimum(p + STEP, 1.0)
        of_p = (at(rest.law, high) - at(rest.law, low)) / (high - low)
        found = rest.by_row(("other", (lambda law: at(law, p),)), W)
        return RowValues(found.values, self._sums(W * of_p[:, None], found.sums))

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """A functional of every row's law (n,), and its gradient in each row (n, k + q)."""
        if functional[0] == "q":
            return self._quantiles_each(functional[1][0])
        k, q = len(self.occurs.coefficients), self._size_of_rest
        known = np.flatnonzero(~np.isnan(self.p))
        values, G = np.full(self.size, np.nan), np.full((self.size, k + q), np.nan)
        for i in range(0, len(known), EACH):
            at = known[i : i + EACH]
            values[at], G[at] = self.take(at).by_row(functional, np.eye(len(at)))
        return values, G

    @cached_property
    def _size_of_rest(self) -> int:
        """Coefficients of the rest."""
        return int(self.rest.take([0]).by_row(("mean", ()), np.zeros((1, 1))).sums.shape[1])

    def _level(self, tau: float) -> tuple[Array, Array]:
        """Levels z (n,) of the rest at which F(y | x) is τ, by the tail that has the digits, and side (n,).

        The side of the point is −1 or 1, 0 of rows whose quantile is the mass, NaN of those without a law.
        """
        F, p = self._rest_at(self.point).cdf, self.p
        low = tau <= p * F
        side = np.where(low, -1.0, np.where(1 - tau < p * (1 - F), 1.0, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(low, tau, 1 - tau) / p
            z = np.where(side == 0, 0.0, -side * self.link.quantile(np.clip(share, LEAST, 1.0)))
        return z, np.where(np.isnan(F + p), np.nan, side)

    def _placed(self, tau: float, W: Array) -> tuple[AtLevels, Array, Array]:
        """The rest where F(y | x) is τ, for weights W (n, v) where it moves, and what `_level` gives."""
        rest: Any = self.rest
        z, side = self._level(tau)
        return rest.at_levels(z, np.where(side[:, None] == 0, 0.0, W)), z, side

    def _quantiles(self, tau: float, W: Array) -> RowValues:
        """Quantiles (n,) and sums of gradients −(∂F/∂θ)/f, zero at the mass, which does not move."""
        found, z, side = self._placed(tau, W)
        with np.errstate(divide="ignore", invalid="ignore"):  # of rows that are surely at the mass
            of_p = np.where(side == 0, 0.0, ((side > 0) - self.link.cdf(z)) / (self.p * found.density))
        values = np.where(side == 0, self.point, found.values)
        return RowValues(values, self._sums(W * of_p[:, None], found.sums))

    def _quantiles_each(self, tau: float) -> tuple[Array, Array]:
        """Quantiles (n,) and their gradients in each row."""
        found, _, side = self._placed(tau, np.zeros((self.size, 1)))
        y = np.where(side == 0, self.point, found.values)
        moves = np.isfinite(y) & (y != self.point)
        G = np.full((self.size, len(self.occurs.coefficients) + self._size_of_rest), np.nan)
        G[y == self.point] = 0.0
        if moves.any():
            own = self.take(np.flatnonzero(moves))
            f = self.p[moves] * found.density[moves]
            G[moves] = -own._cdf_each(y[moves])[1] / f[:, None]
        return y, G

    def _cdf_each(self, y: Array) -> tuple[Array, Array]:
        """F(y_i | x_i) (n,) at outcomes (n,), and ∂F/∂θ (n, k + q)."""
        inside: Mask = np.asarray((self.support.low < y) & (y < self.support.high))
        beyond, off = as_floats(y >= self.support.high), as_floats(y >= self.point)
        z, G = self._rest_each(np.where(inside, y, self._near(self.support.high)))
        rest = np.where(inside, self.link.cdf(z), beyond)
        density = np.where(inside, np.exp(self.link.logpdf(z)), 0.0)
        _, of_p = self.occurs.each(("mean", ()))
        F = self.p * rest + (1 - self.p) * off
        return F, np.column_stack([(rest - off)[:, None] * of_p, (self.p * density)[:, None] * G])

    def _rest_each(self, y: Array) -> tuple[Array, Array]:
        """Those of the rest on its link, which just below the point are those at it, remembered."""
        y = np.where(y == just_below(self.point), self.point, y)
        key = y.tobytes()
        if key not in self._last:
            self._last.clear()
            self._last[key] = self.rest.each_on_link(y)
        return self._last[key]

    @cached_property
    def _last(self) -> dict[bytes, tuple[Array, Array]]:
        """The outcomes that were asked for last."""
        return {}

    def each_on_link(self, y: Array) -> tuple[Array, Array]:
        """Λ⁻¹(F(y_i | x_i)) (n,), and its gradient (n, k + q)."""
        F, G = self._cdf_each(y)
        z = self.link.quantile(np.clip(F, LEAST, 1 - 1e-16))
        return z, G / np.exp(self.link.logpdf(z))[:, None]

    def quantile_density(self, tau: float) -> Array:
        """Densities (n,) of rows' laws at their quantiles; infinite at the mass."""
        found, _, side = self._placed(tau, np.zeros((self.size, 1)))
        return np.where(side == 0, np.inf, self.p * found.density)


@dataclass(frozen=True, eq=False)
class HurdleEstimation:
    """What both parts say of answers with gradients (q, k + m); see `inference.law_effects.Estimation`.

    The scores of the rest are zero in rows at the mass, so that clusters and lags go through both parts.

    Parameters
    ----------
    occurs, rest : Estimation of either part; the rows of the rest are ``kept`` among the ``size`` rows.
    split : int, coefficients k of the first part.
    given : (k + m, k + m) float64 array or None, the covariance of θ of a saved fit, whose rows are lost.
    """

    occurs: Estimation
    rest: Estimation
    split: int
    df: float
    clusters: int | None = None
    kept: Indices | None = None
    size: int = 0
    kind: CovarianceKind | None = None
    sampling: Sampling | None = None
    given: Array | None = None

    def _halves(self, G: Array) -> tuple[Array, Array]:
        return G[:, : self.split], G[:, self.split :]

    @cached_property
    def joint(self) -> Array:
        """Covariance (k + m, k + m) of θ."""
        if self.given is not None:
            return self.given
        if self.kind is None or self.kept is None or self.sampling is None:
            raise needs_population()
        k, m = self.split, self._size_of_rest
        if is_model_based(self.kind):
            nothing: Any = None
            parts = (
                e.covariance(np.zeros(j), np.eye(j), nothing) for e, j in ((self.occurs, k), (self.rest, m))
            )
            return np.asarray(block_diag(*parts))
        eye = np.eye(k + m)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewClustersWarning)  # said of the fit of the first part
            V = influence_covariance(
                np.zeros(k + m),
                None,
                self.rows(eye, self.size),
                self.kind,
                self.sampling,
                modelled=self.modelled(eye),
            )
        return np.asarray((V + V.T) / 2)

    @property
    def _size_of_rest(self) -> int:
        rest: Any = self.rest
        return len(rest.solution.theta) if hasattr(rest, "solution") else len(rest.joint.matrix)

    def errors(self, G: Array) -> Array:
        """Standard errors (q,) of numbers with gradients G, given the rows."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.einsum("ij,ij->i", G @ self.joint, G)))

    def rows(self, G: Array, size: int) -> Array:
        """Estimation rows (n, q), those of the rest in its own rows."""
        if size * G.shape[1] > MOST_KEPT:
            return self._rows(G, size)
        return np.asarray(self._of_each @ G.T)

    @cached_property
    def _of_each(self) -> Array:
        """Rows (n, k + m) of the coefficients themselves: limits of quantiles ask for many combinations."""
        return self._rows(np.eye(self.split + self._size_of_rest), self.size)

    def _rows(self, G: Array, size: int) -> Array:
        assert self.kept is not None
        first, second = self._halves(G)
        out = self.occurs.rows(first, size)
        out[self.kept] += self.rest.rows(second, len(self.kept))
        return out

    def modelled(self, G: Array) -> Array:
        """What comes on top of the rows, part by part."""
        first, second = self._halves(G)
        return self.occurs.modelled(first) + self.rest.modelled(second)

    def covariance(self, values: Array, G: Array, averaging: Array | None) -> Array:
        """Covariance (q, q) of answers; see `Estimation`."""
        if averaging is None:
            return np.asarray(G @ self.joint @ G.T)
        if self.kind is None or self.kept is None or self.sampling is None:
            raise needs_population()
        believed = is_model_based(self.kind)
        return answers_covariance(
            values,
            averaging,
            None if believed else self.rows(G, len(averaging)),
            G @ self.joint @ G.T if believed else self.modelled(G),
            self.kind,
            self.sampling,
        )
