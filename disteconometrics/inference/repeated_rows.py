"""Laws of rows that repeat: each distinct row is evaluated once, whatever is asked of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.inference.law_effects import (
    AtLevels,
    AtOutcome,
    LawsOver,
    RowLaws,
    RowMoments,
    RowValues,
)
from disteconometrics.inference.law_functionals import Functional

__all__ = ["RepeatedRowLaws", "distinct", "distinct_laws"]

MOST = 0.5  # share of distinct rows up to which it pays to look for them


def distinct_laws(
    X: Array, of: Callable[[Array], RowLaws], along: Callable[[Array], Array] | None = None
) -> RowLaws:
    """The laws of rows with covariates X (n, k), which ``of`` makes, distinct rows once where many repeat.

    ``along`` gives numbers (n,) of rows, in whose order laws are evaluated; None for any order.
    """
    if len(X) < 2 or not np.isfinite(X).all():
        return of(X)
    key = X @ np.random.default_rng(0).standard_normal(X.shape[1])
    repeat = bool(np.count_nonzero(np.diff(np.sort(key))) < MOST * len(X))  # their places take longer
    if repeat:
        _, first, where = np.unique(key, return_index=True, return_inverse=True)
        repeat = np.array_equal(X[first][where], X)
    if not repeat:
        if along is None:
            return of(X)
        first = where = np.arange(len(X))
    if along is not None:
        order = np.argsort(along(X[first]), kind="stable")
        first, where = first[order], _inverse(order)[where]
    return RepeatedRowLaws(of(X[first]), where.astype(np.intp))


def distinct(laws: RowLaws) -> tuple[RowLaws, Indices | slice]:
    """The distinct laws of rows, and which of them each row has."""
    return (laws.own, laws.where) if isinstance(laws, RepeatedRowLaws) else (laws, slice(None))


def _inverse(order: Indices) -> Indices:
    """Where each went."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


@dataclass(frozen=True, eq=False)
class RepeatedRowLaws(LawsOver):
    """Laws (m,) of distinct rows, and which of them each row (n,) has; see `law_effects.RowLaws`.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("GRADE ~ PSI").fit(de.datasets.spector())
    >>> laws = res.answering("mean", None, near=True).laws(res.data_rows().X)
    >>> both = RepeatedRowLaws(laws.take([0, 31]), np.array([0, 1, 1]))
    >>> both.by_row(("mean", ()), np.ones((3, 1))).values.round(2)
    array([0.17, 0.57, 0.57])
    """

    own: RowLaws
    where: Indices

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.where)

    @property
    def law(self) -> Any:
        """The law of every row."""
        return self.own.take(self.where).law

    def take(self, rows: Any) -> RowLaws:
        """The laws of some rows."""
        return self.own.take(self.where[rows])

    def _sums(self, W: Array) -> Array:
        """Weights (n, v) summed over the rows that are one (m, v)."""
        m = self.own.size
        return np.column_stack([np.zeros((m, 0)), *(np.bincount(self.where, w, m) for w in W.T)])

    def at(self, y: float) -> AtOutcome:
        """See `RowLaws`."""
        return AtOutcome(*(v[self.where] for v in self.own.at(y)))

    def cdf_sums(self, y: float, W: Array) -> Array:
        """See `RowLaws`."""
        return self.own.cdf_sums(y, self._sums(W))

    def densities(self, y: Array, w: Array) -> tuple[Array, Array]:
        """See `RowLaws`."""
        pdf, sums = self.own.densities(y, self._sums(w[:, None])[:, 0])
        return pdf[self.where], sums

    def moments(self, W: Array) -> RowMoments:
        """See `RowLaws`."""
        found = self.own.moments(self._sums(W))
        return found._replace(mean=found.mean[self.where], var=found.var[self.where])

    def below(self, y: float, W: Array, moments: int = 2) -> tuple[Array, Array]:
        """See `recorded_laws.RecordedRowLaws`."""
        own: Any = self.own
        values, sums = own.below(y, self._sums(W), moments)
        return values[:, self.where], sums

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """See `RowLaws`."""
        found = self.own.by_row(functional, self._sums(W))
        return RowValues(found.values[self.where], found.sums)

    def at_levels(self, z: Array, W: Array) -> AtLevels:
        """See `index_laws.NormalRowLaws`."""
        if self.own.size < self.size:  # rows of one law may have levels of their own
            found: AtLevels = self._each.at_levels(z, W)
            return found
        own: Any = self.own
        found = own.at_levels(z[self._first], W[self._first])
        return AtLevels(found.values[self.where], found.sums, found.density[self.where])

    @cached_property
    def _first(self) -> Indices:
        """Where each distinct row stands, if none repeats."""
        return _inverse(self.where)

    @cached_property
    def _each(self) -> Any:
        """The laws of the rows, one by one."""
        return self.own.take(self.where)

    def quantile_density(self, tau: float) -> Array:
        """See `RowLaws`."""
        return np.asarray(self.own.quantile_density(tau)[self.where])

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """See `RowLaws`."""
        values, G = self.own.each(functional)
        return values[self.where], G[self.where]

    def each_on_link(self, y: Array) -> tuple[Array, Array]:
        """See `RowLaws`."""
        return self.own.take(self.where).each_on_link(y)
