"""What every law of a scalar outcome can do, and the little that a new law has to say.

A law has batch shape (n,), one law per row, or () for a single one.  A subclass gives its batch shape, its
support and four hooks that numbers go through (`_logpdf`, `_cdf`, and where they are better than the defaults
`_sf`, `_quantile`, `_isf`, …); shapes, missing values, tails outside the support and errors are settled here,
once.

A hook gets outcomes or levels of shape batch + (m,) inside the support, so parameters of batch shape enter as
``p[..., None]``. Where a hook is missing, quantiles are found by a safeguarded root search in the nearer tail
and expectations by quadrature over the quantile function, both to about eleven digits.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from disteconometrics.arrays import Array, Seed
from disteconometrics.distributions.maps import Map
from disteconometrics.distributions.numeric import (
    draws_count,
    floats,
    generator,
    invert,
    level_array,
    level_integral,
)
from disteconometrics.errors import OptionError
from disteconometrics.words import OtherWords

__all__ = ["Law"]

Function = Callable[[Array], Array]

# what torch, scipy and others call it
OTHER_WORDS = {
    "density": "pdf",
    "icdf": "quantile",
    "log_prob": "logpdf",
    "ppf": "quantile",
    "plot": "de.plots.density(law)",
    "prob": "pdf",
    "quantiles": "quantile",
    "rsample": "sample",
    "rvs": "sample",
    "survival": "sf",
}
# below, above the support
_OUTSIDE = {
    "_pdf": (0.0, 0.0),
    "_mass": (0.0, 0.0),
    "_logpdf": (-np.inf, -np.inf),
    "_cdf": (0.0, 1.0),
    "_sf": (1.0, 0.0),
}


class Law(OtherWords, ABC):
    """The law of a scalar outcome, one per row.

    Density, distribution function, quantiles, moments, draws, functionals.

    Shapes: y scalar or (n,) is matched row by row → (n,); y of shape (1 or n, m) is a grid → (n, m); a law of
    batch shape () takes any y.  Quantile levels are outer: (n,) + τ.shape.  A missing outcome or a row whose
    parameters are missing gives NaN.

    Examples
    --------
    A new law needs its batch shape, its support and two functions of arrays:

    >>> class Triangle(Law):  # density 2y on [0, 1]
    ...     batch_shape = ()
    ...     def support(self):
    ...         return np.array(0.0), np.array(1.0)
    ...     def _logpdf(self, y):
    ...         return np.log(2 * y)
    ...     def _cdf(self, y):
    ...         return y**2
    >>> law = Triangle()
    >>> float(law.mean().round(12)), law.quantile([0.25, 1]).round(12), float(law.functional("prob[0.5,2]"))
    (0.666666666667, array([0.5, 1. ]), 0.75)
    """

    other_words: ClassVar[Mapping[str, str]] = OTHER_WORDS
    outcome: str | None = None  # the outcome as the formula writes it, "log(wage)", where known
    recording: Any = None  # how the outcome was recorded, where the law is that of a fit that says so
    discrete: bool = False  # whether pdf is mass: then quantiles are left inverses and draws repeat

    # ---- what a law says -----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""

    @abstractmethod
    def support(self) -> tuple[Array, Array]:
        """Lower and upper end of the support, each of batch shape.

        NaN for a row whose parameters are missing.
        """

    @abstractmethod
    def _logpdf(self, y: Array) -> Array:
        """Log density (log mass if discrete)."""

    @abstractmethod
    def _cdf(self, y: Array) -> Array:
        """P(Y ≤ y)."""

    def _pdf(self, y: Array) -> Array:
        return np.exp(self._logpdf(y))

    def _sf(self, y: Array) -> Array:
        return 1 - self._cdf(y)

    def _mass(self, y: Array) -> Array:
        """P(Y = y)."""
        return self._pdf(y) if self.discrete else np.zeros(y.shape)

    def _quantile(self, tau: Array) -> Array:
        return invert(self._cdf, self._sf, self._slope, tau, *self._ends(), upper=False)

    def _isf(self, tau: Array) -> Array:
        return invert(self._cdf, self._sf, self._slope, tau, *self._ends(), upper=True)

    def _expect(self, function: Function) -> Array:
        """E f(Y), batch shape; f maps outcomes batch + (m,) elementwise."""
        return self._integrate(function)

    def _smooth(self, function: Function) -> Array:
        """E f(Y) for f that is smooth inside the support and of at most polynomial growth, batch shape."""
        return self._expect(function)

    def _half_gap(self) -> Array:
        """½E|Y − Y'| of two draws, batch shape."""
        from disteconometrics.distributions.functionals import ranked

        return (self._expect if self.discrete else self._integrate)(ranked(self))

    def _partial_mean(self, q: Array) -> Array:
        """E[Y; Y < q] with one q a row, batch shape."""
        return self._partial(q, lambda y: y)

    def _partial(self, q: Array, function: Function) -> Array:
        """E[f(Y); Y < q] with one q a row, batch shape."""
        if self.discrete or type(self)._integrate is not Law._integrate:
            return self._expect(lambda y: np.where(y < q[..., None], function(y), 0.0))
        share, beyond = (self._extended(hook, q[..., None]) for hook in ("_cdf", "_sf"))

        def below(tau: Array, upper: bool) -> Array:  # no jump inside, as there is in all levels
            level = share * ((1 - tau) if upper else tau)
            y = self._quantile(level)
            if upper:  # levels near one are told from above
                y = np.where(level > 0.5, self._isf(np.minimum(beyond + share * tau, 0.5)), y)
            return function(y)

        return np.where(share[..., 0] > 0, share[..., 0] * level_integral(below, self.batch_shape), 0.0)

    def _crps(self, y: Array) -> Array | None:
        """Continuous ranked probability scores of outcomes (n,); None leaves the integral over levels."""
        return None

    def _mean(self) -> Array:
        return self._expect(lambda y: y)

    def _var(self) -> Array:
        mean = np.asarray(self._mean())[..., None]
        return self._expect(lambda y: (y - mean) ** 2)

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self._quantile(np.maximum(rng.random((*self.batch_shape, m)), 2.0**-54))

    # ---- shapes, written once ------------------------------------------------------------------------------

    def _slope(self, y: Array) -> Array | None:
        return None if self.discrete else self._logpdf(y)

    def _extended(self, hook: str, y: Array) -> Array:
        """A hook at outcomes of batch + (m,) that may lie outside the support."""
        below, above = _OUTSIDE[hook]
        low, high = self._ends()
        out = getattr(self, hook)(np.clip(y, low, high)) if y.size else np.empty(y.shape)
        return np.where((y < low) | (y == -np.inf), below, np.where((y > high) | (y == np.inf), above, out))

    def _ends(self) -> tuple[Array, Array]:
        low, high = self.support()
        return np.asarray(low)[..., None], np.asarray(high)[..., None]

    def _integrate(self, function: Function) -> Array:
        """E f(Y) as ∫ f(q(τ)) dτ."""

        def at(tau: Array, upper: bool) -> Array:
            tau = np.broadcast_to(tau, self.batch_shape + tau.shape)
            return function((self._isf if upper else self._quantile)(tau))

        with np.errstate(all="ignore"):
            return level_integral(at, self.batch_shape)

    def _match(self, y: Any) -> tuple[Array, tuple[int, ...]]:
        """Outcomes as batch + (m,), and the shape to give back."""
        y = floats(y, "Outcomes")
        if not self.batch_shape:
            return y.reshape(-1), y.shape
        n = self.batch_shape[0]
        if y.ndim == 2:
            if y.shape[0] not in (1, n):
                raise OptionError(f"A grid of outcomes needs 1 or {n} rows; got {y.shape}.")
            return np.broadcast_to(y, (n, y.shape[1])), (n, y.shape[1])
        if y.shape not in ((), (n,)):
            raise OptionError(
                f"Outcomes of shape {y.shape} do not match {n} rows; give a scalar, ({n},) or (1, m) for "
                f"a grid."
            )
        return np.broadcast_to(y, (n,))[:, None], (n,)

    def _at(self, y: Any, hook: str) -> Array:
        y, shape = self._match(y)
        with np.errstate(all="ignore"):
            out = np.where(np.isnan(y) | np.isnan(self._ends()[0]), np.nan, self._extended(hook, y))
        return out.reshape(shape)[()]

    def _by_row(self, value: Any) -> Array:
        return np.where(np.isnan(self.support()[0]), np.nan, np.broadcast_to(value, self.batch_shape))[()]

    # ---- what users call -----------------------------------------------------------------------------------

    def pdf(self, y: Any) -> Array:
        """Density at y (mass of a discrete law), per unit of the outcome."""
        return self._at(y, "_pdf")

    def logpdf(self, y: Any) -> Array:
        """Natural logarithm of `pdf`, accurate far out in the tails; −inf outside the support."""
        return self._at(y, "_logpdf")

    def mass(self, y: Any) -> Array:
        """P(Y = y): zero of a continuous law, `pdf` of a discrete one."""
        return self._at(y, "_mass")

    def cdf(self, y: Any) -> Array:
        """P(Y ≤ y)."""
        return self._at(y, "_cdf")

    def sf(self, y: Any) -> Array:
        """P(Y > y), accurate where 1 − `cdf` is rounded away."""
        return self._at(y, "_sf")

    def quantile(self, tau: Any) -> Array:
        """Quantiles inf{y : F(y) ≥ τ}, shape batch + τ.shape; τ = 0 and 1 give the ends of the support.

        Raises
        ------
        OptionError
            If a level is outside [0, 1] or missing.
        """
        return self._from_levels(tau, upper=False)

    def isf(self, tau: Any) -> Array:
        """Quantiles of level 1 − τ, for upper tails that 1 − τ rounds away.

        They are inf{y : P(Y > y) ≤ τ}, batch + τ.shape.
        """
        return self._from_levels(tau, upper=True)

    def _from_levels(self, tau: Any, upper: bool) -> Array:
        tau = level_array(tau)
        flat = np.broadcast_to(tau.reshape(-1), (*self.batch_shape, tau.size))
        low, high = self._ends()
        hook = self._isf if upper else self._quantile
        smallest = np.maximum(flat, 5e-324) if self.discrete else flat  # of no point's mass: the first point
        with np.errstate(all="ignore"):
            out = hook(smallest) if flat.size else np.empty(flat.shape)
        first, last = (high, low) if upper else (low, high)
        if not self.discrete:
            out = np.where(flat == 0, first, np.where(flat == 1, last, out))
        out = np.where((flat == 0) & np.isinf(first), first, out)
        return np.where(np.isnan(low), np.nan, out).reshape(self.batch_shape + tau.shape)[()]

    def mean(self) -> Array:
        """E Y, batch shape; NaN where it does not exist (Cauchy), ±inf where it is infinite."""
        with np.errstate(all="ignore"):
            return self._by_row(self._mean())

    def var(self) -> Array:
        """Variance, batch shape; NaN or inf where it does not exist or is infinite."""
        with np.errstate(all="ignore"):
            return self._by_row(self._var())

    def std(self) -> Array:
        """Standard deviation, batch shape."""
        with np.errstate(invalid="ignore"):  # a variance that rounding has left negative
            return np.sqrt(self.var())

    def interval(self, level: float = 0.95) -> Array:
        """Central interval, batch + (2,): it leaves (1 − level)/2 out on either side.

        Raises
        ------
        OptionError
            If the level is not between 0 and 1.
        """
        if np.ndim(level):
            raise OptionError("level of an interval is one number; ask again for others.")
        half = (1 - level_array(level, "Levels of an interval")) / 2
        return np.stack([self.quantile(half), self.isf(half)], axis=-1)

    def sample(self, m: int, *, seed: Seed = None, return_logpdf: bool = False, of: str = "outcome") -> Any:
        """m draws for every row, batch + (m,); the same seed gives the same draws.

        Parameters
        ----------
        m : int, draws per row.
        seed : int, Generator (spawned from, not advanced) or None (drawn anew).
        return_logpdf : bool, whether to return the draws with their log densities.
        of : {"outcome", "recorded"}, whether to draw outcomes or what is `recorded` of them.

        Returns
        -------
        draws, or (draws, log densities)

        Raises
        ------
        OptionError
            If m or the seed is not a whole number of at least 0.
        WithheldError
            As in `recorded`.
        """
        if of not in ("outcome", "recorded"):
            raise OptionError(f"of={of!r} is not known; use 'outcome' or 'recorded'.")
        if of == "recorded":
            return self.recorded().sample(m, seed=seed, return_logpdf=return_logpdf)
        m, rng = draws_count(m), generator(seed)
        missing = np.isnan(self._ends()[0])
        with np.errstate(all="ignore"):
            draws = np.where(missing, np.nan, self._draw(rng, m))
        return (draws, self.logpdf(draws)) if return_logpdf else draws

    def draw_with(self, rng: np.random.Generator, m: int) -> Array:
        """m draws for every row, batch + (m,), with a generator, which is advanced; `sample` takes a seed."""
        return self._draw(rng, m)

    @property
    def integrates_mean(self) -> bool:
        """Whether means have no closed form in this class and are integrals."""
        return type(self)._mean is Law._mean

    def expect(self, function: Function) -> Array:
        """E f(Y), batch shape, for f that maps arrays elementwise."""
        with np.errstate(all="ignore"):
            return self._by_row(self._expect(function))

    def functional(self, name: str | Callable[[Law], Any]) -> Array:
        """A functional of every row's law, batch shape.

        It is named as in ``"q[0.9]"`` or ``"gini"``, or is a function of a law.

        Raises
        ------
        OptionError
            If the name is not known, or the functional needs a positive outcome and the law's is not.
        """
        from disteconometrics.distributions.functionals import evaluate

        return self._by_row(evaluate(self, name))

    def on(self, scale: str | Map | Sequence[Map]) -> Law:
        """The law on another scale.

        It is given as the name under the formula's transform (``on("wage")``), or as monotone maps to apply.

        Raises
        ------
        OptionError
            If the law does not know how its outcome was made from that name.
        """
        from disteconometrics.distributions.scales import rescale

        return rescale(self, scale)

    def recorded(self) -> Law:
        """The law of what is recorded of the outcome, for a law from `distribution` of a recorded outcome.

        Caps, floors and points of a grid have a mass there; elsewhere it is the outcome's law.  Of brackets
        the class is what is recorded, as its number from 0.

        Raises
        ------
        WithheldError
            If recording has no rule for new rows, as `interval(lo, hi)`, or the law does not know it.

        Examples
        --------
        >>> import disteconometrics as de
        >>> engel = de.datasets.engel()
        >>> engel["food"] = engel.foodexp.clip(upper=900)
        >>> res = de.NormalRegression("topcoded(food, at=900) ~ income").fit(engel)
        >>> law = res.distribution({"income": [500.0, 1500.0]}).recorded()
        >>> law.mass(900.0).round(3), law.mean().round(1), law.quantile(0.9)[1]
        (array([0.   , 0.379]), array([380.3, 851. ]), np.float64(900.0))
        """
        from disteconometrics.distributions.recorded import law_as_recorded

        return law_as_recorded(self)

    def _pushed(self, maps: Sequence[Map]) -> Law:
        """The law of the outcome pushed through maps; a hook for laws that know their own image."""
        from disteconometrics.distributions.transformed import Transformed

        return Transformed(self, maps)  # type: ignore[arg-type]

    def average(self, weights: Any = None) -> Law:
        """The law of a row drawn at random (with these weights), batch shape ().

        The covariates are integrated out of it.

        Parameters
        ----------
        weights : (n,) float64 array or None (equal), not negative.

        Raises
        ------
        OptionError
            If weights are not one number ≥ 0 per row.
        """
        from disteconometrics.distributions.mixture import average

        return average(self, weights)

    def named(self, outcome: str | None) -> Self:
        """The same law of an outcome with a name, as a formula would write it (``"log(wage)"``)."""
        law = copy.copy(self)
        object.__setattr__(law, "outcome", outcome)
        return law
