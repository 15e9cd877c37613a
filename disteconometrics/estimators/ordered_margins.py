"""Marginal effects on the probabilities of ordered categories, from those on P(y > j) at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block
from disteconometrics.data.scenario import Scenario
from disteconometrics.inference.marginal_effects import Question, average_margins, margins_at_means
from disteconometrics.likelihoods.index_model import index

__all__ = ["ordered_effects"]


def ordered_effects(
    result: Any, rows: Scenario, questions: Sequence[Question], means: bool
) -> tuple[Array, Array]:
    """Effects (q, J) of an ordered result, and gradients (q, J, p); see `CategoryAnswers.margins`.

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
    take = margins_at_means if means else average_margins
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
    return effects.T, moves.transpose(1, 0, 2)
