"""Average marginal effects on the probabilities of categories of several indices, with their gradients.

With η_j = x'β_j and D = ∂x/∂v, a row's effect of v on P_j is P_j·(δ_j − Σ_l P_l δ_l), δ_j = D'β_j, and that
of two values the difference of P_j.  Effects sum to zero over the categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.scenario import Scenario
from disteconometrics.inference.marginal_effects import Question, mean_row, row_cuts
from disteconometrics.likelihoods.multinomial import softmax

__all__ = ["CategoryAverages", "category_margins", "category_margins_at_means"]


class CategoryAverages(NamedTuple):
    """Effects (q, J), the base first, and gradients (q, J, J − 1, k) in the coefficients by category."""

    values: Array
    gradients: Array


def _jacobian(p: Array) -> Array:
    """∂P_j/∂η_l (m, J, J − 1)."""
    out = -p[:, :, None] * p[:, None, 1:]
    out[:, np.arange(1, p.shape[1]), np.arange(p.shape[1] - 1)] += p[:, 1:]
    return out


def _level(X: Array, w: Array, B: Array) -> tuple[Array, Array]:
    """Sums over rows of P (J,), and gradients (J, J − 1, k)."""
    p = softmax(X @ B)[0]
    J = _jacobian(p) * w[:, None, None]
    return w @ p, (J.reshape(len(X), -1).T @ X).reshape(*J.shape[1:], -1)


def _slope(X: Array, columns: Indices, D: Array, w: Array, B: Array) -> tuple[Array, Array]:
    """Sums over rows of the effects of moves D (m, c) of some columns, and gradients."""
    p = softmax(X @ B)[0]
    move = np.column_stack([np.zeros(len(X)), D @ B[columns]])
    apart = move - np.sum(p * move, axis=1, keepdims=True)
    J = _jacobian(p)
    # ∂/∂η_l of P_j·apart_j, and ∂/∂δ_l
    bent = J * apart[:, :, None] - p[:, :, None] * (p * apart)[:, None, 1:]
    shape = J.shape[1:]
    gradient = ((bent * w[:, None, None]).reshape(len(X), -1).T @ X).reshape(*shape, -1)
    gradient[:, :, columns] += ((J * w[:, None, None]).reshape(len(X), -1).T @ D).reshape(*shape, -1)
    return w @ (p * apart), gradient


def category_margins(rows: Scenario, B: Array, questions: Sequence[Question]) -> CategoryAverages:
    """Average effects over rows with their gradients.

    Parameters
    ----------
    rows : Scenario of n rows.
    B : (k, J − 1) float64 array, coefficients of all categories but the base.
    questions : q of them.

    Returns
    -------
    CategoryAverages

    Raises
    ------
    DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> gpa = [Question("GPA", "GPA", None, {})]
    >>> found = category_margins(res.rows.scenario(), res.params.to_numpy()[:, None], gpa)
    >>> found.values.round(4), np.allclose(found.values[:, 1], res.margins().params)
    (array([[-0.4743,  0.4743]]), True)
    """
    k, q = B.shape
    values, gradients = np.zeros((len(questions), q + 1)), np.zeros((len(questions), q + 1, q, k))
    total = 0.0
    for _, cut, w in row_cuts(rows, k * (q + 1)):
        total += float(w.sum())
        for i, question in enumerate(questions):
            for sign, value, gradient in _answers(rows, cut, w, B, question):
                values[i] += sign * value
                gradients[i] += sign * gradient
    return CategoryAverages(values / total, gradients / total)


def _answers(rows: Scenario, cut: slice, w: Array, B: Array, q: Question) -> list[tuple[float, Array, Array]]:
    """Signed sums over a part of the rows: one of a derivative, two of a contrast."""
    if q.pair is None:
        part = rows.part(cut.start, cut.stop, q.fixed)
        return [(1.0, *_slope(part.X, *part.derivative(q.variable), w, B))]
    settings = ({**q.fixed, q.variable: value} for value in q.pair)
    X = [rows.part(cut.start, cut.stop, fixed).X for fixed in settings]
    return [(sign, *_level(x, w, B)) for sign, x in zip((-1.0, 1.0), X, strict=True)]


def category_margins_at_means(rows: Scenario, B: Array, questions: Sequence[Question]) -> CategoryAverages:
    """Effects at the average row: numbers at their means go through the formula, factors have their shares.

    Parameters
    ----------
    rows, B, questions : as in `category_margins`; ``fixed`` holds the means of the numbers.

    Returns
    -------
    CategoryAverages

    Raises
    ------
    DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> df = de.datasets.spector()
    >>> res = de.Logit("GRADE ~ GPA").fit(df)
    >>> gpa = [Question("GPA", "GPA", None, {"GPA": df.GPA.mean()})]
    >>> category_margins_at_means(res.rows.scenario(), res.params.to_numpy()[:, None], gpa).values.round(4)
    array([[-0.5957,  0.5957]])
    """
    k, q = B.shape
    values, gradients = np.zeros((len(questions), q + 1)), np.zeros((len(questions), q + 1, q, k))
    one, every = np.ones(1), np.arange(k)
    for i, question in enumerate(questions):
        if question.pair is None:
            x, D, _ = mean_row(rows, question.fixed, question.variable, k)
            values[i], gradients[i] = _slope(x[None], every, D[None], one, B)
            continue
        for sign, value in zip((-1.0, 1.0), question.pair, strict=True):
            x, _, _ = mean_row(rows, {**question.fixed, question.variable: value}, None, k)
            level, gradient = _level(x[None], one, B)
            values[i] += sign * level
            gradients[i] += sign * gradient
    return CategoryAverages(values, gradients)
