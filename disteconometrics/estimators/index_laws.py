"""Laws of rows with an index x'β: the normal law x'β + σ·N(0, 1), and probabilities p(x'β)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.distributions.families import Normal
from disteconometrics.distributions.support import LINE, Support
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.inference.law_effects import AtLevels, AtOutcome, RowMoments, RowValues
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.likelihoods.monotone import BASES, BaseLaw

__all__ = ["NormalRowLaws", "ProbabilityRowLaws"]

BEYOND = 1e3  # standard deviations from which a density is zero
STEP = 1e-4  # of σ, for derivatives of functionals that have no closed form here


@dataclass(frozen=True, eq=False)
class NormalRowLaws:
    """The laws N(η_i, σ²) of rows with a design X (n, k) and means η (n,), with coefficients θ = (β, σ).

    See `inference.law_effects.RowLaws`.
    """

    X: Array
    eta: Array
    sigma: float
    beta: Array

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.eta)

    @property
    def link(self) -> BaseLaw:
        """The normal law."""
        return BASES["normal"]

    @property
    def support(self) -> Support:
        """The line."""
        return LINE

    @cached_property
    def origin(self) -> float:
        """A mean among those of the rows."""
        return float(np.median(self.eta)) if len(self.eta) else 0.0

    @property
    def law(self) -> Normal:
        """The law of every row."""
        return Normal(self.eta, self.sigma)

    def take(self, rows: Any) -> NormalRowLaws:
        """The laws of some rows."""
        return replace(self, X=self.X[rows], eta=self.eta[rows])

    def _sums(self, of_mean: Array, of_sigma: Array) -> Array:
        """Σ w (∂T/∂η·x, ∂T/∂σ) (v, k + 1) from weighted derivatives (n, v)."""
        return np.column_stack([of_mean.T @ self.X, of_sigma.sum(axis=0)])

    def at(self, y: float) -> AtOutcome:
        """Distribution function and density (n,) at an outcome."""
        z = (y - self.eta) / self.sigma
        return AtOutcome(self.link.cdf(z), self.link.pdf(z) / self.sigma)

    def cdf_sums(self, y: float, W: Array) -> Array:
        """Σ w ∂F(y | x)/∂θ (v, k + 1)."""
        z = np.clip((y - self.eta) / self.sigma, -BEYOND, BEYOND)  # y may be infinite
        density = W * (self.link.pdf(z) / self.sigma)[:, None]
        return self._sums(-density, -density * z[:, None])

    def densities(self, y: Array, w: Array) -> tuple[Array, Array]:
        """Densities f(y | x) (n, Q), and Σ w ∂f/∂θ (Q, k + 1)."""
        z = (y - self.eta[:, None]) / self.sigma
        pdf = self.link.pdf(z) / self.sigma
        W = w[:, None] * pdf / self.sigma
        return pdf, self._sums(W * z, W * (z * z - 1))

    def moments(self, W: Array) -> RowMoments:
        """Mean and variance (n,), and sums of gradients of moments about `origin`."""
        nothing, m = np.zeros_like(W), (self.eta - self.origin)[:, None]
        second = self._sums(2 * m * W, 2 * self.sigma * W)
        return RowMoments(self.eta, np.full(len(self.eta), self.sigma**2), self._sums(W, nothing), second)

    def below(self, y: float, W: Array, moments: int = 2) -> tuple[Array, Array]:
        """∫ (u − origin)^j F(u | x) du below an outcome, and Σ w of gradients; see `RecordedRowLaws`."""
        s, m, a = self.sigma, (self.eta - self.origin), (y - self.eta) / self.sigma
        P, d = self.link.cdf(a), self.link.pdf(a)
        rest = a * P + d  # ∫ Φ below a
        first, second = s * rest, s * m * rest + s * s * (a * a * P + a * d - P) / 2
        # ∂F/∂η = −φ/s, ∂F/∂σ = −zφ/s
        of_mean, of_sigma = (-P, s * d - m * P), (d, m * d - s * (P - a * d))
        sums = [self._sums(W * e[:, None], W * v[:, None]) for e, v in zip(of_mean, of_sigma, strict=True)]
        return np.array([first, second][:moments]), np.array(sums[:moments])

    def _parts(self, functional: Functional) -> tuple[Array, Array, Array]:
        """Values of a functional (n,), and derivatives in η and in σ (n,)."""
        (kind, numbers), one = functional, np.ones(len(self.eta))
        s = self.sigma
        if kind == "mean":
            return self.eta, one, 0 * one
        if kind == "q":
            z = float(self.link.quantile(np.array(numbers[0])))
            return self.eta + s * z, one, z * one
        if kind in ("std", "var"):
            return (s * one, 0 * one, one) if kind == "std" else (s * s * one, 0 * one, 2 * s * one)
        if kind == "prob":
            a, b = ((y - self.eta) / s for y in numbers)
            low, high = (self.link.pdf(v) / s for v in (a, b))
            return self.link.cdf(b) - self.link.cdf(a), low - high, low * a - high * b
        if kind == "difference":  # ratios of quantiles are not asked of laws on the whole line
            (v, in_eta, in_s), (w, of_eta, of_s) = (self._parts(("q", (level,))) for level in numbers)
            return v - w, in_eta - of_eta, in_s - of_s
        return self._by_steps(numbers[0])

    def _by_steps(self, of: Callable[[Normal], Any]) -> tuple[Array, Array, Array]:
        def at(a: float, b: float) -> Array:
            law = Normal(self.eta + a * self.sigma, self.sigma * (1 + b))
            return as_floats(of(law)).reshape(len(self.eta))

        h, unit = STEP, 2 * STEP * self.sigma
        return at(0, 0), (at(h, 0) - at(-h, 0)) / unit, (at(0, h) - at(0, -h)) / unit

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """A functional of every row's law (n,), and Σ w ∂T/∂θ (v, k + 1)."""
        values, of_mean, of_sigma = self._parts(functional)
        return RowValues(values, self._sums(W * of_mean[:, None], W * of_sigma[:, None]))

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """A functional of every row's law (n,), and its gradient in each row (n, k + 1)."""
        values, of_mean, of_sigma = self._parts(functional)
        return values, np.column_stack([of_mean[:, None] * self.X, of_sigma])

    def at_levels(self, z: Array, W: Array) -> AtLevels:
        """Outcomes at Λ⁻¹(F(y | x)) = z of each row (n,), sums of gradients with weights W, densities."""
        sums = self._sums(W, W * z[:, None])
        return AtLevels(self.eta + self.sigma * z, sums, self.link.pdf(z) / self.sigma)

    def quantile_density(self, tau: float) -> Array:
        """Densities (n,) of rows' laws at their quantiles."""
        z = self.link.quantile(np.array(tau))
        return np.full(len(self.eta), float(self.link.pdf(z)) / self.sigma)

    def each_on_link(self, y: Array) -> tuple[Array, Array]:
        """z = (y − η)/σ at an outcome of each row (n,), and its gradient (n, k + 1)."""
        z = (y - self.eta) / self.sigma
        return z, -np.column_stack([self.X, z]) / self.sigma

    def slopes(self, functional: Functional, columns: Indices, D: Array, W: Array) -> RowValues:
        """∂T/∂η·dη of rows (n,) whose columns move by D (n, c), and sums of gradients (v, k + 1)."""
        _, first, _ = self._parts(functional)
        h, move = STEP * self.sigma, D @ self.beta[columns]
        up, down = (replace(self, eta=self.eta + s * h)._parts(functional)[1] for s in (1.0, -1.0))
        wide, narrow = (replace(self, sigma=self.sigma + s * h)._parts(functional)[1] for s in (1.0, -1.0))
        in_eta, in_sigma = (up - down) / (2 * h), (wide - narrow) / (2 * h)
        sums = self._sums(W * (in_eta * move)[:, None], W * (in_sigma * move)[:, None])
        sums[:, columns] += (W * first[:, None]).T @ D
        return RowValues(first * move, sums)


@dataclass(frozen=True, eq=False)
class ProbabilityRowLaws:
    """P(y = 1 | x) = p(η) of rows with a design X (n, k) and index η (n,): the mean of a 0–1 outcome.

    ±inf (separation) counts with its limit, which does not move.  See `inference.law_effects.RowLaws`; an
    outcome of two values has no density, and of its functionals the mean alone.
    """

    kernel: Kernel
    coefficients: Array
    X: Array
    eta: Array

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.eta)

    def take(self, rows: Any) -> ProbabilityRowLaws:
        """The laws of some rows."""
        return replace(self, X=self.X[rows], eta=self.eta[rows])

    @cached_property
    def _inside(self) -> Array:
        """1.0 where the index is finite."""
        if np.isnan(self.eta).any():
            raise WithheldError(
                f"No average: after separation the probability of {int(np.isnan(self.eta).sum())} rows is "
                "not identified."
            )
        return as_floats(np.isfinite(self.eta))

    def _finite(self, values: Callable[[Array], Array]) -> Array:
        """A function of finite indices (n,), zero elsewhere."""
        return values(np.where(self._inside > 0, self.eta, 0.0)) * self._inside

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """P of every row (n,), and Σ w p'(η)·x (v, k)."""
        check_mean(functional)
        slopes = self._finite(self.kernel.density)
        return RowValues(self.kernel.probability(self.eta), (W * slopes[:, None]).T @ self.X)

    def moments(self, W: Array) -> RowMoments:
        """Of P."""
        p, sums = self.by_row(("mean", ()), W)
        return RowMoments(p, p * (1 - p), sums, sums)

    @property
    def origin(self) -> float:
        """Zero: a probability needs no other."""
        return 0.0

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """P of every row (n,), and its gradient (n, k)."""
        check_mean(functional)
        return self.kernel.probability(self.eta), self._finite(self.kernel.density)[:, None] * self.X

    def slopes(self, functional: Functional, columns: Indices, D: Array, W: Array) -> RowValues:
        """p'(η)·dη of rows (n,) whose columns move by D (n, c), and sums of gradients (v, k)."""
        check_mean(functional)
        move, first = D @ self.coefficients[columns], self._finite(self.kernel.density)
        second = self._finite(self._curvature)
        sums = (W * (second * move)[:, None]).T @ self.X
        sums[:, columns] += (W * first[:, None]).T @ D
        return RowValues(first * move, sums)

    def _curvature(self, eta: Array) -> Array:
        """p'' from (log p)'' = p''/p − (p'/p)²."""
        t = self.kernel.terms(np.ones(len(eta)), eta)
        return np.asarray(self.kernel.probability(eta) * (np.square(t.score) - np.square(t.root_weight)))


def check_mean(functional: Functional) -> None:
    """Refuse functionals of a 0–1 outcome other than its mean.

    Raises
    ------
    OptionError
    """
    if functional[0] != "mean":
        raise OptionError(
            "An outcome of two values has one functional here, 'mean', which is P(y = 1); its quantiles are "
            "0 or 1."
        )
