"""The summary of a fitted binary outcome: head, table, and the notes that a careful reader asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from disteconometrics.data.spec import DesignSpec
from disteconometrics.estimators.binary.fit import BinaryFacts, success_of
from disteconometrics.estimators.binary.penalty import note
from disteconometrics.estimators.rows import NEARLY_DEPENDENT
from disteconometrics.inference.covariance import Covariance
from disteconometrics.inference.estimates import Estimates
from disteconometrics.report.summary import (
    clusters_notes,
    estimates_section,
    observations_text,
    offset_notes,
    rows_dropped,
    source_notes,
    weights_notes,
)
from disteconometrics.tables import Summary, number, p_value

__all__ = ["summary_of"]


def summary_of(
    model: Any,
    spec: DesignSpec,
    facts: BinaryFacts,
    covariance: Covariance,
    estimates: Estimates,
    overall: tuple[str, float],
    level: float,
) -> Summary:
    """The summary at a confidence level.

    ``overall`` is the test of all regressors: "LLR" or "Wald", and the p-value, NaN where withheld.

    Examples
    --------
    >>> import disteconometrics as de
    >>> print(str(de.Logit("GRADE ~ PSI").fit(de.datasets.spector()).summary()).splitlines()[0].strip())
    Logit Regression Results
    """
    likelihood = model.weight_type != "sampling"
    beyond_constant = len(spec.names) - facts.nested_null
    left = (
        ("Outcome", success_of(spec)),
        ("Formula", spec.formula),
        ("Estimator", _estimator(facts, likelihood)),
        ("Covariance", covariance.label),
        ("Converged", _state(facts)),
    )
    penalised = (("Penalised log-likelihood", number(facts.penalised_loglik, 4)),) if facts.penalty else ()
    right = (
        ("Observations", observations_text(facts.given, facts.rows, facts.observations, model.weight_type)),
        (f"Log-{'' if likelihood else 'pseudo'}likelihood", number(facts.loglik, 4)),
        *penalised,
        ("LL-null", number(facts.null_loglik, 4)),
        (f"{overall[0]} p-value", _overall_text(overall[1], bool(beyond_constant))),
        ("Pseudo R² (McFadden)", f"{1 - facts.loglik / facts.null_loglik:.4f}"),
    )
    notes = [
        _success(spec, facts, likelihood, covariance.note),
        *weights_notes(model.weights, model.weight_type),
    ]
    if not likelihood:
        notes.append(
            "AIC, BIC and likelihood-ratio tests are withheld: weighted rows have no likelihood of their own."
        )
    notes += offset_notes(model)
    if not facts.nested_null:
        notes.append(
            f"{overall[0]} p-value withheld: the model holds no constant, so the constant-only model is not "
            "nested in it."
        )
    elif np.isnan(overall[1]) and beyond_constant and not facts.separation:
        few = "as many regressors as clusters, or they repeat each other"
        reason = (
            few if spec.has_intercept else "the constant is no column of its own; write the formula with it"
        )
        notes.append(f"{overall[0]} p-value withheld: {reason}.")
    else:
        notes += clusters_notes(covariance.clusters, beyond_constant)
    notes += rows_dropped(facts)
    if facts.penalty:
        notes.append(note(facts.flic, facts.nested_null, bool(beyond_constant)))
    notes += source_notes(facts.readings, facts.kept)
    notes += _numerical_notes(facts)
    title = f"{type(model).__name__} Regression Results"
    return Summary(title, (left, right), (estimates_section(estimates, level),), tuple(notes))


def _estimator(facts: BinaryFacts, likelihood: bool) -> str:
    if facts.penalty is not None:
        return "Firth (penalised ML)"
    return "maximum likelihood" if likelihood else "pseudo-maximum likelihood"


def _state(facts: BinaryFacts) -> str:
    if facts.converged:
        return f"{facts.passes} passes, {facts.path}"
    return "no: separation" if facts.separation else f"no, {facts.passes} passes"


def _overall_text(p: float, regressors: bool) -> str:
    """The p-value of all regressors, in full where three decimals hide it."""
    if not regressors:
        return "no regressors"
    if np.isnan(p):
        return "withheld"
    return f"{p:.3e}" if p < 0.0005 else p_value(p)


def _success(spec: DesignSpec, facts: BinaryFacts, likelihood: bool, covariance: str) -> str:
    total = facts.observations if likelihood else facts.rows
    return f"Success is {success_of(spec)} ({100 * facts.successes / total:.1f} %). {covariance}"


def _numerical_notes(facts: BinaryFacts) -> list[str]:
    notes = []
    if facts.separation:
        notes.append(facts.separation)
    elif not facts.converged:
        notes.append(
            f"The iterations did not converge: Newton decrement {facts.decrement:.1e} after {facts.passes} "
            "passes. Raise maxiter."
        )
    if facts.condition > NEARLY_DEPENDENT:
        notes.append(f"Columns are nearly collinear: condition number {facts.condition:.1e}.")
    return notes
