"""The printed result of a spline: sample, flow, base, why it was chosen, functionals, effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disteconometrics.estimators.flow.spline_flow import SplineFlow
from disteconometrics.estimators.flow.spline_rows import FlowFacts
from disteconometrics.inference.estimates import Estimates
from disteconometrics.report.summary import estimates_section, rows_dropped, weights_notes
from disteconometrics.tables import Section, Summary, number

__all__ = ["MOST_ROWS", "effects_section", "summary_of"]

KINDS = {
    "baseline": "baseline",
    "linear": "shift",
    "shift": "shift",
    "scale": "scale",
    "scale_smooth": "scale",
    "shape": "shape",
    "shape_smooth": "shape",
}
WORDS = {
    "linear": "linear model with a {base} error: nothing but the location moves",
    "baseline": "free baseline, linear shift",
    "scale": "free baseline, linear shift, scale moves",
    "shift": "free baseline, smooth shift, scale moves",
    "shape": "free baseline, smooth shift, scale and shape move",
    "tensor": "everything moves smoothly with the covariates (tensor product)",
}
MOST_ROWS = 20_000  # for average effects in a summary


def effects_section(effects: dict[str, Estimates]) -> Section:
    """Average effects with standard errors in brackets, a row per covariate."""
    names = next(iter(effects.values())).names
    cells = tuple(
        tuple(f"{number(v)} ({number(se)})" for v, se in zip(e.values, e.std_error, strict=True))
        for e in effects.values()
    )
    return Section(names, tuple(effects), cells, "Average effect of each covariate on")


def _effective(effective: dict[str, float]) -> str:
    total: dict[str, float] = {}
    for kind, value in effective.items():
        total[KINDS[kind]] = total.get(KINDS[kind], 0.0) + value
    return f"{sum(total.values()):.1f} ({', '.join(f'{k} {v:.1f}' for k, v in total.items())})"


def summary_of(
    model: Any,
    flow: SplineFlow,
    f: FlowFacts,
    estimates: Estimates,
    effects: dict[str, Estimates] | None,
    level: float,
) -> Summary:
    """Everything about the fit in one frame.

    Parameters
    ----------
    model : FlowDensity; flow : Flow; f : its facts.
    estimates : functionals of the averaged law.
    effects : average effects by covariate; None where they are left out.
    level : float, confidence level.
    """
    sampling = model.weight_type == "sampling"
    rows = f.observations if not sampling else f.rows
    left_out = (
        f"{f.rows} weighted rows" if model.weight_type == "frequency" else f"{f.given - f.rows} dropped"
    )
    left = (
        ("Outcome", f.outcome),
        ("Flow", "monotone spline (1 convex layer)"),
        ("Base", f"{flow.base} ({'chosen' if model.base == 'auto' else 'given'})"),
        ("Effective parameters", f"{f.edf:.1f}"),
        ("Covariance", f.cov_label),
    )
    right = (
        ("Observations", f"{f.observations:.0f} ({left_out})"),
        (f"Log-{'pseudo' if sampling else ''}likelihood per row", f"{f.loglik / rows:.4f}"),
        ("Leave-one-out per row", f"{f.leave_one_out / rows:.4f}"),
        ("AIC", "withheld" if sampling else f"{2 * (f.edf - f.loglik):.2f}"),
        ("Converged", f"{f.steps} steps" if f.converged else f"no, {f.steps} steps"),
    )
    notes = [*_on_fit(model, flow, f), *_on_numbers(model, flow, f, estimates)]
    if not flow.structure.covariates:
        sections = [estimates_section(estimates, level, f"Law of {f.outcome}")]
        return Summary("Flow Density Results", (left, right), tuple(sections), tuple(notes))
    sections = [estimates_section(estimates, level, f"Law of {f.outcome}, averaged over the sample")]
    if effects:
        sections.append(effects_section(effects))
    if effects is None:
        notes.append(
            "Average effects: call effects() with the rows attached; they are left out of a summary here."
        )
    return Summary("Flow Density Results", (left, right), tuple(sections), tuple(notes))


def _on_fit(model: Any, flow: SplineFlow, f: FlowFacts) -> Sequence[str]:
    """Notes on what was fitted and why."""
    notes = [
        f"Flow: {WORDS[flow.name].format(base=flow.base)}. Effective parameters: {_effective(f.effective)}."
    ]
    if np.isfinite(f.gain) and flow.name != "linear":
        notes.append(
            f"Chosen because: leave-one-out {f.gain:+.4f} per row over the normal linear model (se "
            f"{f.gain_error:.4f}); "
            f"{len(f.trials)} structures and bases were compared (see .trials)."
        )
    elif len(f.trials) > 1:
        notes.append(
            f"Chosen because: nothing beyond it gains enough in leave-one-out; {len(f.trials)} were "
            f"compared (see .trials)."
        )
    if f.rival:
        notes.append(f.rival)
    if model.support is not None:
        notes.append(f"Declared support: {flow.support}.")
    return notes


def _on_numbers(model: Any, flow: SplineFlow, f: FlowFacts, estimates: Estimates) -> Sequence[str]:
    """Notes on how far the numbers carry."""
    notes = []
    if not np.isfinite(estimates.values).all():
        notes.append(
            "Where there is no value, the fitted tail is too heavy for a finite mean or variance; "
            "quantiles stand."
        )
    if f.cov_note:
        notes.append(f.cov_note)
    if flow.structure.covariates:
        notes.append(
            "Standard errors are given the covariates; effects come from a flow with smaller penalties, "
            "so that bias is small."
        )
    notes += weights_notes(model.weights, model.weight_type)
    notes += rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)
    if f.shared:
        notes.append(f.shared)
    if not f.converged:
        notes.append("The iterations did not reach the optimum: the law is a valid one, but not the best.")
    return notes
