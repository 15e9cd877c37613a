"""Laws of several outcomes at once: density and draws.

Distribution functions and quantiles belong to the marginals.
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Seed, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import draws_count, floats, generator
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords

__all__ = ["JointLaw", "PooledLaw", "ProductLaw", "joint_functionals"]


DRAWS = 100_000  # behind marginals and moments
SEED = 20250101  # of these draws
MOST_CELLS = 20_000_000
DRAWN = 20_000  # rows whose later outcomes are drawn at once
_NAMED = re.compile(r"(mean|std|var|corr)\[([^,\]]+)(?:,\s*([^,\]]+))?\]")


def joint_functionals(outcomes: Sequence[str]) -> list[str]:
    """Names of the means, standard deviations and correlations of joint outcomes, of these at most 15.

    Examples
    --------
    >>> joint_functionals(("a", "b"))
    ['mean[a]', 'mean[b]', 'std[a]', 'std[b]', 'corr[a,b]']
    """
    pairs = [f"corr[{a},{b}]" for a, b in itertools.combinations(outcomes, 2)]
    return [*(f"mean[{y}]" for y in outcomes), *(f"std[{y}]" for y in outcomes), *pairs[:15]]


class JointLaw(TakesWords, ABC):
    """The law of outcomes y (d,), one per row or a single one: log densities and draws.

    The rest follows by simulation.

    Shapes: outcomes (n, d) are matched row by row → (n,); a law of batch shape () takes any (…, d).

    Examples
    --------
    >>> class Square(JointLaw):  # uniform on the unit square
    ...     batch_shape, outcomes = (), ("a", "b")
    ...     def _logpdf(self, y):
    ...         return np.where(np.all((y >= 0) & (y <= 1), axis=-1), 0.0, -np.inf)
    ...     def _draw(self, rng, m):
    ...         return rng.random((m, 2))
    >>> law = Square()
    >>> law.pdf([[0.5, 0.5], [2.0, 0.5]]).tolist(), law.mean().round(2).tolist()
    ([1.0, 0.0], [0.5, 0.5])
    >>> round(float(law.marginal("a").quantile(0.9)), 2)
    0.9
    """

    @property
    @abstractmethod
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""

    @property
    @abstractmethod
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""

    @abstractmethod
    def _logpdf(self, y: Array) -> Array:
        """Log densities: batch of outcomes batch + (d,), or (…, d) → (…) for a single law."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        """Draws, batch + (m, d)."""

    def _match(self, y: Any) -> Array:
        d = len(self.outcomes)
        columns = getattr(y, "columns", ())
        if all(name in columns for name in self.outcomes):
            y = np.column_stack([y[name] for name in self.outcomes])
        y = floats(y, "Outcomes")
        shape = (*self.batch_shape, d)
        if y.ndim == 0 or y.shape[-1] != d or (self.batch_shape and y.shape not in (shape, (d,))):
            wanted = f"({self.batch_shape[0]}, {d})" if self.batch_shape else f"(m, {d})"
            raise OptionError(
                f"Outcomes {' and '.join(self.outcomes)} need shape {wanted}, a column each; got {y.shape}."
            )
        return np.broadcast_to(y, shape) if self.batch_shape else y

    def logpdf(self, y: Any) -> Array:
        """Log of the joint density, per unit of every outcome.

        −inf outside the support, NaN where a value is missing.
        """
        y = self._match(y)
        with np.errstate(all="ignore"):
            out = np.where(np.isnan(y).any(axis=-1), np.nan, self._logpdf(y))
        return out[()]

    def pdf(self, y: Any) -> Array:
        """Joint density."""
        return np.exp(self.logpdf(y))[()]

    def sample(self, m: int, *, seed: Seed = None, return_logpdf: bool = False) -> Any:
        """m draws for every row, batch + (m, d), and their log densities batch + (m,) on request.

        Raises
        ------
        OptionError
            If m or the seed is not a whole number of at least 0.
        """
        m, rng = draws_count(m), generator(seed)
        with np.errstate(all="ignore"):
            draws = self._draw(rng, m)
        if not return_logpdf:
            return draws
        if not self.batch_shape:
            return draws, self.logpdf(draws)
        return draws, np.stack([self.logpdf(draws[:, j]) for j in range(m)], axis=1) if m else np.empty(
            (len(draws), 0)
        )

    def cdf(self, y: Any) -> Array:
        """Not for joint outcomes.

        Raises
        ------
        OptionError
            Always: see `marginal`.
        """
        raise self._no("cdf")

    def quantile(self, tau: Any) -> Array:
        """Not for joint outcomes.

        Raises
        ------
        OptionError
            Always: see `marginal`.
        """
        raise self._no("quantile")

    def _no(self, what: str) -> OptionError:
        return OptionError(
            f"A joint law has no {what} of one number; take a marginal: "
            f"law.marginal({self.outcomes[0]!r}).{what}(…)."
        )

    def marginal(self, outcome: str, *, draws: int = DRAWS, seed: Seed = SEED) -> Law:
        """The law of one outcome, as that of draws; of rows, the averaged one.

        Parameters
        ----------
        outcome : str, one of ``outcomes``.
        draws : int.
        seed : of the draws.

        Returns
        -------
        Law

        Raises
        ------
        OptionError
            If there is no such outcome.
        """
        return Empirical(self._draws(draws, seed)[:, self.place(outcome)]).named(outcome)

    def place(self, outcome: str) -> int:
        """Position of an outcome.

        Raises
        ------
        OptionError
            If there is no such outcome.
        """
        if outcome not in self.outcomes:
            raise OptionError(f"{outcome!r} is not among the outcomes {', '.join(map(repr, self.outcomes))}.")
        return self.outcomes.index(outcome)

    def _draws(self, draws: int = DRAWS, seed: Any = SEED) -> Array:
        """Draws (m, d) of a row taken at random."""
        d = len(self.outcomes)
        if not self.batch_shape:
            return as_floats(self.sample(draws, seed=seed))
        each = max(1, int(np.ceil(draws / max(self.batch_shape[0], 1))))
        found = self.sample(each, seed=seed).reshape(-1, d)
        return np.asarray(found[~np.isnan(found).any(axis=1)])

    def mean(self) -> Array:
        """Means, batch + (d,), from simulated outcomes."""
        return np.asarray(self._moments().mean(axis=-2))

    def cov(self) -> Array:
        """Covariances, batch + (d, d), from simulated outcomes."""
        draws = self._moments()
        centred = draws - draws.mean(axis=-2, keepdims=True)
        return np.asarray(np.swapaxes(centred, -1, -2) @ centred / draws.shape[-2])

    def _moments(self) -> Array:
        rows = self.batch_shape[0] if self.batch_shape else 1
        return np.asarray(
            self.sample(int(min(DRAWS, max(200, MOST_CELLS // (rows * len(self.outcomes))))), seed=SEED)
        )

    def functionals(self, names: Sequence[str], draws: int = DRAWS) -> dict[str, float]:
        """Several functionals from the same draws; see `functional`."""
        found = self._draws(draws)
        return {name: self._of(name, found) for name in names}

    def functional(self, name: str) -> float:
        """A functional by name, of a single law or of rows' averaged one, by simulation.

        The names are ``mean[a]``, ``std[a]``, ``var[a]`` and ``corr[a,b]``.

        Raises
        ------
        OptionError
            If the name is not one of these.
        """
        return self.functionals([name])[name]

    def _of(self, name: str, draws: Array) -> float:
        found = _NAMED.fullmatch(name) if isinstance(name, str) else None
        if found is None or (found[1] == "corr") != (found[3] is not None):
            raise OptionError(
                f"{name!r}: joint laws know mean[a], std[a], var[a] and corr[a,b], a and b names of outcomes."
            )
        first = draws[:, self.place(found[2])]
        if found[1] == "corr":
            return float(np.corrcoef(first, draws[:, self.place(found[3])])[0, 1])
        return float(
            first.mean() if found[1] == "mean" else first.std() if found[1] == "std" else first.var()
        )


@final
class PooledLaw(JointLaw):
    """A mixture of joint laws of the same outcomes, which may name them in another order.

    Parameters
    ----------
    laws : tuple of JointLaw, of one batch shape.
    weights : (k,) float64 array that sums to one.
    outcomes : tuple of str, the order of the coordinates; None for that of the first law.

    Examples
    --------
    >>> import disteconometrics as de
    >>> one = ProductLaw(("a", "b"), lambda j, before: de.Normal(j, 1))
    >>> two = ProductLaw(("b", "a"), lambda j, before: de.Normal(1 - j, 1))
    >>> law = PooledLaw((one, two), np.array([0.5, 0.5]))
    >>> bool(np.isclose(law.logpdf([[0.0, 1.0]])[0], one.logpdf([[0.0, 1.0]])[0]))
    True
    """

    def __init__(
        self, laws: tuple[JointLaw, ...], weights: Array, outcomes: tuple[str, ...] | None = None
    ) -> None:
        self._laws, self._weights, self._outcomes = laws, weights, outcomes or laws[0].outcomes
        self._order = [[law.outcomes.index(name) for name in self._outcomes] for law in laws]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self._laws[0].batch_shape

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self._outcomes

    def _logpdf(self, y: Array) -> Array:
        each = [
            law._logpdf(y[..., np.argsort(order)]) for law, order in zip(self._laws, self._order, strict=True)
        ]
        return np.asarray(
            special.logsumexp(np.stack(each), axis=0, b=self._weights.reshape(-1, *[1] * (y.ndim - 1)))
        )

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        which = rng.choice(len(self._laws), size=(*self.batch_shape, m), p=self._weights)
        out = np.empty((*self.batch_shape, m, len(self.outcomes)))
        for k, (law, order) in enumerate(zip(self._laws, self._order, strict=True)):
            out = np.where((which == k)[..., None], law._draw(rng, m)[..., order], out)
        return out


@final
class ProductLaw(JointLaw):
    """p(y1)·p(y2 | y1)·…: laws of one outcome each, of which later ones are given the earlier.

    Parameters
    ----------
    outcomes : tuple of str.
    given : function of the place and the earlier outcomes (r, j) → the Law of that outcome, one per row of
        them; with a batch they are those of its n rows, several times one after the other where r > n.
    batch : () or (n,).

    Examples
    --------
    >>> import disteconometrics as de
    >>> def given(j, before):
    ...     return de.Normal(0, 1) if j == 0 else de.Normal(before[:, 0], 1.0)
    >>> law = ProductLaw(("a", "b"), given)
    >>> law.logpdf([[0.0, 0.0]]).round(4), round(law.functional("corr[a,b]"), 1)
    (array([-1.8379]), 0.7)
    """

    def __init__(self, outcomes: tuple[str, ...], given: Any, batch: tuple[int, ...] = ()) -> None:
        self._outcomes, self._given, self._batch = outcomes, given, batch

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self._batch

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates, in the order in which they are given one another."""
        return self._outcomes

    def _law(self, j: int, before: Array) -> Law:
        law: Law = self._given(j, before)
        return law

    def _logpdf(self, y: Array) -> Array:
        flat = y.reshape(-1, y.shape[-1])
        total = np.zeros(len(flat))
        for j in range(flat.shape[1]):
            total += self._law(j, flat[:, :j]).logpdf(flat[:, j])
        return total.reshape(y.shape[:-1])

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        d, n = len(self.outcomes), self._batch[0] if self._batch else 1
        if not self._batch:
            found = np.empty((m, d))
            for j in range(d):
                law = self._law(j, found[:, :j])
                found[:, j] = law._draw(rng, 1)[:, 0] if law.batch_shape else law._draw(rng, m)
            return found
        out = np.empty((m * n, d))  # one draw of all rows after the other
        out[:, 0] = self._law(0, out[:n, :0])._draw(rng, m).T.ravel()
        step = max(1, DRAWN // max(n, 1)) * n
        for j in range(1, d):
            for part in (slice(i, min(i + step, m * n)) for i in range(0, m * n, max(step, 1))):
                out[part, j] = self._law(j, out[part, :j])._draw(rng, 1)[:, 0]
        return out.reshape(m, n, d).swapaxes(0, 1)
