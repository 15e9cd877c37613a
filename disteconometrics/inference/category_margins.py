"""Average marginal effects on the probabilities of categories, in groups of rows, with their gradients.

Effects sum to zero over the categories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.data.scenario import Scenario
from disteconometrics.inference.marginal_effects import Question, mean_row, row_cuts

__all__ = ["CategoryAverages", "category_margins", "category_margins_at_means"]

Laws = Callable[[Array, Array | None], Any]  # of rows (n, k) with an offset (n,): `CategoryRowLaws`


class CategoryAverages(NamedTuple):
    """Effects (q, g, J), gradients (q, g, J, p) in the coefficients, and those of the rows (n, q, J)."""

    values: Array
    gradients: Array
    effects: Array | None = None


@dataclass(frozen=True, eq=False)
class _Change:
    """Probabilities, or moves of them, each with a sign, of which the sum is meant."""

    parts: list[tuple[float, Any]]

    @cached_property
    def values(self) -> Array:
        """By row and category (r, J)."""
        return np.asarray(sum(sign * moves.values for sign, moves in self.parts))

    def gradients(self, w: Array) -> Array:
        """Σ w ∂/∂θ (J, p) of every category."""
        each = (w[:, None] * one for one in np.eye(self.values.shape[1]))
        return np.array([sum(sign * moves.pull(C) for sign, moves in self.parts) for C in each])


def category_margins(
    laws: Laws, rows: Scenario, questions: Sequence[Question], shares: Sequence[Array], keep: bool = False
) -> CategoryAverages:
    """Average effects over groups of rows with their gradients.

    Parameters
    ----------
    laws : function of rows (n, k) of the design and an offset (n,) or None.
    rows : Scenario of n rows.
    questions : q of them.
    shares : g float64 arrays (n,) of sum one.
    keep : bool, whether the effects of the rows are wanted.

    Returns
    -------
    CategoryAverages

    Raises
    ------
    DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> gpa, every = [Question("GPA", "GPA", None, {})], [np.full(32, 1 / 32)]
    >>> category_margins(res.row_laws, res.rows.scenario(), gpa, every).values.round(4).tolist()
    [[[-0.4743, 0.4743]]]
    """
    found = [[_Sums() for _ in shares] for _ in questions]
    kept: list[list[Array]] = [[] for _ in questions]
    for _, cut, _ in row_cuts(rows, len(rows.spec.names)):
        for i, question in enumerate(questions):
            change = _change(laws, rows, cut, question)
            for sums, w in zip(found[i], shares, strict=True):
                if w[cut].any():
                    sums.add(w[cut] @ change.values, change.gradients(w[cut]))
            if keep:
                kept[i].append(change.values)
    effects = np.stack([np.concatenate(parts) for parts in kept], axis=1) if keep else None
    values, gradients = (
        np.array([[getattr(sums, name) for sums in row] for row in found]) for name in ("values", "gradients")
    )
    return CategoryAverages(values, gradients, effects)


class _Sums:
    """Sums over parts of the rows."""

    values: Any = 0.0
    gradients: Any = 0.0

    def add(self, values: Array, gradients: Array) -> None:
        """Take those of a part."""
        self.values, self.gradients = self.values + values, self.gradients + gradients


def _change(laws: Laws, rows: Scenario, cut: slice, q: Question) -> _Change:
    """What a part of the rows answers: a derivative, or a difference of two settings."""
    offset = None if rows.offset is None else rows.offset[cut]
    if q.pair is None:
        part = rows.part(cut.start, cut.stop, q.fixed)
        return _Change([(1.0, laws(part.X, offset).moved(*part.derivative(q.variable)))])
    settings = ({**q.fixed, q.variable: value} for value in q.pair)
    X = [rows.part(cut.start, cut.stop, fixed).X for fixed in settings]
    return _Change([(sign, laws(x, offset).probabilities) for sign, x in zip((-1.0, 1.0), X, strict=True)])


def category_margins_at_means(laws: Laws, rows: Scenario, questions: Sequence[Question]) -> CategoryAverages:
    """Effects at the average row: numbers at their means go through the formula, factors have their shares.

    Parameters
    ----------
    laws, rows, questions : as in `category_margins`; ``fixed`` holds the means of the numbers.

    Returns
    -------
    CategoryAverages
        Of one group.

    Raises
    ------
    DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> df = de.datasets.spector()
    >>> res = de.MultinomialLogit("GRADE ~ GPA").fit(df)
    >>> gpa = [Question("GPA", "GPA", None, {"GPA": df.GPA.mean()})]
    >>> category_margins_at_means(res.row_laws, res.rows.scenario(), gpa).values.round(4).tolist()
    [[[-0.5957, 0.5957]]]
    """
    k = len(rows.spec.names)
    found = [_change_at_means(laws, rows, q, k) for q in questions]
    values = np.array([change.values for change in found])
    return CategoryAverages(values, np.array([change.gradients(np.ones(1)) for change in found])[:, None])


def _change_at_means(laws: Laws, rows: Scenario, q: Question, k: int) -> _Change:
    if q.pair is None:
        x, D, offset = mean_row(rows, q.fixed, q.variable, k)
        return _Change([(1.0, laws(x[None], offset).moved(np.arange(k), D[None]))])
    parts = []
    for sign, value in zip((-1.0, 1.0), q.pair, strict=True):
        x, _, offset = mean_row(rows, {**q.fixed, q.variable: value}, None, k)
        parts.append((sign, laws(x[None], offset).probabilities))
    return _Change(parts)
