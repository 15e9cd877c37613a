"""Marginal effects on the probabilities of ordered categories, from those on P(y > j) at every threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block
from disteconometrics.data.scenario import Scenario
from disteconometrics.errors import OptionError
from disteconometrics.estimators.binary.margins import MarginsResults, asked_of, check_ranges, questions_of
from disteconometrics.inference.marginal_effects import average_margins, margins_at_means
from disteconometrics.likelihoods.index_model import index

__all__ = ["ordered_margins"]


def ordered_margins(result: Any, rows: Scenario, variables: Any, *, at: Any, level: float) -> MarginsResults:
    """The margins of an ordered result; see its `margins`.

    P(y > j) is a binary probability with intercept −c_j, and P(y = j) the difference of two of them, so that
    effects of a variable sum to zero over the categories.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> binary = de.Logit("GRADE ~ GPA").fit(de.datasets.spector()).margins()
    >>> np.allclose(res.margins().params["GPA [1]"], binary.params["GPA"])
    True
    """
    if not isinstance(at, Mapping) and at not in ("overall", "mean"):
        raise OptionError(f"at={at!r} is not known; use 'overall', 'mean' or a dict such as {{'age': 40}}.")
    asked, skipped = asked_of(rows, variables, "dydx")
    questions, where = questions_of(rows, asked, at)
    check_ranges(result.seen, rows, asked, at)
    take = margins_at_means if at == "mean" else average_margins
    k = result.slopes
    constant = result.spec.names.index("Intercept")
    cuts = result.coefficients[k:]
    above, gradients = (
        np.zeros((len(cuts), len(questions))),
        np.zeros((len(cuts), len(questions), k + len(cuts))),
    )
    for j, cut in enumerate(cuts):
        beta = np.insert(result.coefficients[:k], constant, -cut)

        def value(X: Array, offset: Array | None, beta: Array = beta) -> Array:
            return index(Block(np.empty(0), X, None, offset), beta)

        found = take(result.kernel.binary, rows, value, beta, questions, "dydx")
        above[j] = found.values
        gradients[j, :, :k] = np.delete(found.gradients, constant, axis=1)
        gradients[j, :, k + j] = -found.gradients[:, constant]
    effects, moves = (-np.diff(a, axis=0, prepend=0.0, append=0.0) for a in (above, gradients))
    levels = result.spec.outcome.levels
    names = tuple(f"{q.name} [{level}]" for q in questions for level in levels)
    G, V = result.covariance.coordinates(moves.transpose(1, 0, 2).reshape(len(names), -1))
    spread = G @ V @ G.T
    estimates = result.estimates.others(names, effects.T.ravel(), (spread + spread.T) / 2, level=level)
    notes = (result.covariance.note, "Effects on the probability of each category, in brackets.", *skipped)
    return MarginsResults(
        estimates,
        "dydx",
        where,
        "sample",
        result.spec.outcome.name,
        result.spec.formula,
        result.covariance.label,
        rows.size,
        notes,
    )
