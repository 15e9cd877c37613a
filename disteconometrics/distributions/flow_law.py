"""The laws that trained flows are: of one outcome all that laws have, of several density and draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.support import LINE, Support
from disteconometrics.flows.fitted import FittedFlow
from disteconometrics.likelihoods.monotone import BASES

__all__ = ["FlowJointLaw", "FlowLaw"]


@final
@dataclass(frozen=True, eq=False)
class FlowLaw(Law):
    """F(y) = Λ(z(y)) for an increasing flow z of one outcome, one law per row of covariates or a single one.

    Parameters
    ----------
    flow : FittedFlow of one outcome.
    covariates : (n, c) float64 array; one row where the law is single.
    domain : Support, whose map onto the line comes first.
    single : bool, whether this is one law (batch shape ()).

    Examples
    --------
    >>> from disteconometrics import AffineMap
    >>> from disteconometrics.flows.recipes import chain_of
    >>> one, none = np.ones(1), np.zeros(0)
    >>> flow = FittedFlow.begin(chain_of(AffineMap()), "normal", 5 * one, 2 * one, none, none, seed=0)
    >>> law = FlowLaw(flow, np.zeros((1, 0)), single=True)
    >>> law.quantile([0.5, 0.975]).round(2), law.mean().round(6)
    (array([5.  , 8.92]), np.float64(5.0))
    """

    flow: FittedFlow
    covariates: Array
    domain: Support = LINE
    single: bool = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for a single law, (n,) for one per row."""
        return () if self.single else (len(self.covariates),)

    def support(self) -> tuple[Array, Array]:
        """The declared support, NaN where a covariate is missing."""
        gap = np.where(np.isnan(self.covariates).any(axis=1), np.nan, 0.0).reshape(self.batch_shape)
        return gap + self.domain.low, gap + self.domain.high

    def _rows(self, y: Array) -> tuple[Array, Array]:
        """Outcomes (n, m, 1) and covariates (n, 1, c)."""
        return y.reshape(len(self.covariates), -1, 1), np.nan_to_num(self.covariates)[:, None]

    def _noise(self, y: Array) -> Array:
        z = self.flow.to_noise(*self._rows(self.domain.to_line(y)))[0]
        return z[..., 0].reshape(y.shape)

    def _logpdf(self, y: Array) -> Array:
        return self.flow.logpdf(*self._rows(self.domain.to_line(y))).reshape(y.shape) + self.domain.log_slope(
            y
        )

    def _cdf(self, y: Array) -> Array:
        return BASES[self.flow.base].cdf(self._noise(y))

    def _sf(self, y: Array) -> Array:
        return BASES[self.flow.base].cdf(-self._noise(y))

    def _outcome(self, z: Array) -> Array:
        values, x = self._rows(z)
        return self.domain.from_line(self.flow.to_data(values, x)[..., 0]).reshape(z.shape)

    def _quantile(self, tau: Array) -> Array:
        return self._outcome(BASES[self.flow.base].quantile(tau))

    def _isf(self, tau: Array) -> Array:
        return self._outcome(-BASES[self.flow.base].quantile(tau))


@final
@dataclass(frozen=True, eq=False)
class FlowJointLaw(JointLaw):
    """The joint law of a flow of d outcomes, one per row of covariates or a single one.

    Parameters
    ----------
    flow : FittedFlow.
    names : tuple of str, the outcomes.
    covariates : (n, c) float64 array; one row where the law is single.
    single : bool, whether this is one law (batch shape ()).

    Examples
    --------
    >>> from disteconometrics import AffineMap
    >>> from disteconometrics.flows.recipes import chain_of
    >>> one, none = np.ones(2), np.zeros(0)
    >>> flow = FittedFlow.begin(chain_of(AffineMap()), "normal", 0 * one, one, none, none, seed=0)
    >>> law = FlowJointLaw(flow, ("a", "b"), np.zeros((1, 0)), single=True)
    >>> law.logpdf([[0.0, 0.0]]).round(4), law.sample(3, seed=1).shape
    (array([-1.8379]), (3, 2))
    """

    flow: FittedFlow
    names: tuple[str, ...]
    covariates: Array
    single: bool = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for a single law, (n,) for one per row."""
        return () if self.single else (len(self.covariates),)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.names

    def _logpdf(self, y: Array) -> Array:
        flat = y.reshape(-1, y.shape[-1])
        return self.flow.logpdf(flat, self.covariates).reshape(y.shape[:-1])

    def noise(self, y: Array) -> Array:
        """The noise z (…, d) behind outcomes y (…, d)."""
        y = self._match(y)
        return self.flow.to_noise(y.reshape(-1, y.shape[-1]), self.covariates)[0].reshape(y.shape)

    def from_noise(self, z: Array) -> Array:
        """The outcomes y (…, d) with noise z (…, d)."""
        z = self._match(z)
        return self.flow.to_data(z.reshape(-1, z.shape[-1]), self.covariates).reshape(z.shape)

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        shape = (len(self.covariates), m, len(self.names))
        z = rng.standard_normal(shape) if self.flow.base == "normal" else rng.logistic(size=shape)
        y = self.flow.to_data(z, self.covariates[:, None])
        return y[0] if self.single else y
