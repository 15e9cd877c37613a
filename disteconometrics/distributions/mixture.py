"""Mixtures: of several laws row by row, and of a law's own rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.numeric import floats, invert
from disteconometrics.errors import OptionError

__all__ = ["Average", "Mixture", "average"]


CELLS = 2_000_000  # of rows × outcomes at a time
FEW_ROWS = 400  # whose average quantile is near that of all


class _Blend(Law):
    """A law whose distribution function is a weighted mean of others'."""

    @abstractmethod
    def _blend(self, hook: str, y: Array) -> Array:
        """Weighted mean of a hook over the components."""

    @abstractmethod
    def _mixed(self, of: Callable[[Law], Array]) -> Array:
        """Weighted mean over the components of a number of each row, batch shape."""

    def _pdf(self, y: Array) -> Array:
        return self._blend("_pdf", y)

    def _cdf(self, y: Array) -> Array:
        return self._blend("_cdf", y)

    def _sf(self, y: Array) -> Array:
        return self._blend("_sf", y)

    def _expect(self, function: Function) -> Array:
        return self._mixed(lambda law: law._expect(function))

    def _smooth(self, function: Function) -> Array:
        return self._mixed(lambda law: law._smooth(function))

    def _partial_mean(self, q: Array) -> Array:
        return self._mixed(lambda law: law._partial_mean(np.broadcast_to(q, law.batch_shape)))

    def _partial(self, q: Array, function: Function) -> Array:
        return self._mixed(lambda law: law._partial(np.broadcast_to(q, law.batch_shape), function))

    def _mean(self) -> Array:
        return self._mixed(lambda law: law._mean())

    def _var(self) -> Array:
        mean = self._mean()
        return self._mixed(lambda law: law._var() + (law._mean() - mean) ** 2)


def row_shares(weights: Any, shape: tuple[int, ...], what: str) -> Array:
    """Weights that sum to one, checked: of the shape given, or one for each of its last axis."""
    w = floats(weights, what)
    if w.shape != shape and w.shape != shape[-1:]:
        raise OptionError(f"{what} have shape {w.shape}; {shape} is needed.")
    if np.any(~(w >= 0)) or np.any(np.isinf(w)) or np.any(w.sum(axis=-1) <= 0):
        raise OptionError(f"{what} must be finite and not negative, with a positive sum.")
    return np.asarray(w / w.sum(axis=-1, keepdims=True))


def _components(given: Any) -> tuple[tuple[Law, ...], tuple[int, ...]]:
    """The laws of a mixture, checked, and their batch shape."""
    laws: tuple[Law, ...] = tuple(given) if isinstance(given, Sequence) else ()
    if not laws or not all(isinstance(law, Law) for law in laws):
        raise OptionError("A mixture needs at least one law; wrap scipy's with de.law(...).")
    if len({law.discrete for law in laws}) > 1:
        raise OptionError(
            "A mixture is of continuous laws or of discrete ones: masses and densities have no common unit."
        )
    sizes = {law.batch_shape for law in laws} - {()}
    if len(sizes) > 1:
        raise OptionError(f"The laws of a mixture have different numbers of rows: {sorted(sizes)}.")
    return laws, next(iter(sizes), ())


@final
@dataclass(frozen=True, eq=False)
class Mixture(_Blend):
    """A mixture of laws, row by row: F(y) = Σ_k w_k F_k(y).

    Parameters
    ----------
    laws : sequence of K laws of batch shape (n,) or (), all continuous or all discrete.
    weights : (K,) or (n, K) float64 array or None (equal), not negative; scaled to sum to one.

    Raises
    ------
    OptionError
        If the laws do not fit together or weights are not as described.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> bimodal = Mixture([Normal(-1, 0.5), Normal(1, 0.75)])
    >>> float(bimodal.mean()), float(bimodal.std().round(4)), float(bimodal.quantile(0.5).round(4))
    (0.0, 1.1859, -0.2)
    """

    laws: tuple[Law, ...]
    weights: Array | None = None

    def __post_init__(self) -> None:
        laws, batch = _components(self.laws)
        w = np.ones(len(laws)) if self.weights is None else floats(self.weights, "Weights of a mixture")
        if w.ndim == 2 and not batch:
            batch = w.shape[:1]
        weights = row_shares(w, (*batch, len(laws)), "Weights of a mixture")
        self.__dict__.update(laws=laws, weights=weights, _batch=batch, discrete=laws[0].discrete)

    _batch: tuple[int, ...] = ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self._batch

    def support(self) -> tuple[Array, Array]:
        """From the lowest to the highest end of the laws."""
        ends = [law.support() for law in self.laws]
        low, high = ends[0]
        for a, b in ends[1:]:
            low, high = np.minimum(low, a), np.maximum(high, b)
        return np.broadcast_to(low, self._batch), np.broadcast_to(high, self._batch)

    def _weight(self, k: int) -> Array:
        return np.asarray(self.weights)[..., k, None]

    def _blend(self, hook: str, y: Array) -> Array:
        return np.asarray(sum(self._weight(k) * law._extended(hook, y) for k, law in enumerate(self.laws)))

    def _logpdf(self, y: Array) -> Array:
        parts = [np.log(self._weight(k)) + law._extended("_logpdf", y) for k, law in enumerate(self.laws)]
        return np.asarray(np.logaddexp.reduce(np.stack(np.broadcast_arrays(*parts)), axis=0))

    def _mixed(self, of: Callable[[Law], Array]) -> Array:
        return np.asarray(sum(self._weight(k)[..., 0] * of(law) for k, law in enumerate(self.laws)))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        which = (
            rng.random((*self._batch, m))[..., None]
            >= np.cumsum(np.asarray(self.weights), axis=-1)[..., None, :-1]
        ).sum(axis=-1)
        draws = np.zeros((*self._batch, m))
        for k, law in enumerate(self.laws):
            drawn = (
                law._draw(rng, m)
                if law.batch_shape == self._batch
                else law._draw(rng, draws.size).reshape(draws.shape)
            )
            draws = np.where(which == k, drawn, draws)
        return draws


@final
@dataclass(frozen=True, eq=False)
class Average(_Blend):
    """The law of a row drawn at random from a batch of laws; rows whose law is missing make it missing.

    Parameters
    ----------
    law : law of batch shape (n,).
    weights : (n,) float64 array or None (equal), not negative; scaled to sum to one.

    Raises
    ------
    OptionError
        If weights are not as described.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> law = Normal([-1.0, 1.0], 1.0).average()
    >>> float(law.mean()), float(law.var()), law.cdf([0.0])
    (0.0, 2.0, array([0.5]))
    """

    law: Law
    weights: Array | None = None

    def __post_init__(self) -> None:
        n = self.law.batch_shape
        if not n or not n[0]:
            raise OptionError("Average needs a law of at least one row.")
        w = or_ones(self.weights, n)
        weights = row_shares(w, n, "Weights of the rows")
        self.__dict__.update(weights=weights, discrete=self.law.discrete, outcome=self.law.outcome)

    batch_shape = ()

    def support(self) -> tuple[Array, Array]:
        """From the lowest to the highest end of the rows."""
        low, high = self.law.support()
        return np.asarray(np.min(low)), np.asarray(np.max(high))

    def _chunks(self, hook: str, y: Array) -> Iterator[Array]:
        """A hook of all rows' laws (n, part of m) at outcomes (m,), by parts of these."""
        n = self.law.batch_shape
        for part in np.array_split(y, max(1, n[0] * y.size // CELLS)):
            yield self.law._extended(hook, np.broadcast_to(part, (*n, len(part))))

    def _quantile(self, tau: Array) -> Array:
        return self._inverted(tau, upper=False)

    def _isf(self, tau: Array) -> Array:
        return self._inverted(tau, upper=True)

    def _inverted(self, tau: Array, upper: bool) -> Array:
        """Quantiles of levels (m,): from those of some of many rows, else between the outermost rows'."""
        low, high = self._ends()
        start, some = None, self._some()
        if some is not None:
            start = some._inverted(tau, upper)
        elif type(self.law)._quantile is not Law._quantile:
            low, start, high = self._of_rows(tau, "_isf" if upper else "_quantile")
        return invert(self._cdf, self._sf, self._slope, tau, low, high, upper=upper, start=start)

    def _some(self) -> Average | None:
        """The average of a few of many rows, if the law can be cut."""
        n, w = self.law.batch_shape[0], np.asarray(self.weights)
        at = np.linspace(0, n - 1, FEW_ROWS).round().astype(np.intp)
        rows = getattr(self.law, "rows", None)
        return None if rows is None or n <= 4 * FEW_ROWS or not w[at].any() else Average(rows(at), w[at])

    def _of_rows(self, tau: Array, hook: str) -> tuple[Array, Array, Array]:
        """Lowest, mean and highest of the rows' quantiles of levels (m,), each (m,)."""
        (n,), w = self.law.batch_shape, np.asarray(self.weights)
        found = []
        for part in np.array_split(tau, max(1, n * tau.size // CELLS)):
            own = getattr(self.law, hook)(np.broadcast_to(part, (n, len(part))))
            found.append((own.min(axis=0), w @ own, own.max(axis=0)))
        low, mean, high = (np.concatenate(v) for v in zip(*found, strict=True))
        return low, mean, high

    def _blend(self, hook: str, y: Array) -> Array:
        w = np.asarray(self.weights)
        return np.concatenate([w @ part for part in self._chunks(hook, y)])

    def _logpdf(self, y: Array) -> Array:
        w = np.log(np.asarray(self.weights))[:, None]
        return np.concatenate([np.logaddexp.reduce(w + part, axis=0) for part in self._chunks("_logpdf", y)])

    def _mixed(self, of: Callable[[Law], Array]) -> Array:
        return np.asarray(np.asarray(self.weights) @ of(self.law))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        counts = rng.multinomial(m, np.asarray(self.weights))
        most = int(counts.max(initial=0))
        if not most:
            return np.zeros(m)
        draws = self.law._draw(rng, most)[np.arange(most) < counts[:, None]]
        return rng.permutation(draws)


def average(law: Law, weights: Any = None) -> Law:
    """The law of a row drawn at random; a law of batch shape () is its own average.

    Examples
    --------
    >>> from disteconometrics import Bernoulli
    >>> average(Bernoulli([0.2, 0.4]), [3, 1]).pdf(1)
    np.float64(0.25)
    """
    if not law.batch_shape:
        if weights is not None:
            raise OptionError("This law has no rows to average over, so it takes no weights.")
        return law
    return Average(law, weights)
