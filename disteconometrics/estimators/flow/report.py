"""The printed result of a spline: sample, flow, base, why it was chosen, functionals, effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disteconometrics.estimators.effects_results import WHOSE, EffectsResults
from disteconometrics.estimators.flow.spline_flow import SplineFlow
from disteconometrics.estimators.flow.spline_rows import FlowFacts
from disteconometrics.inference.estimates import Estimates
from disteconometrics.report.summary import estimates_section, rows_notes
from disteconometrics.tables import Summary

__all__ = ["summary_of"]

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
    effects: EffectsResults | None,
    names: Sequence[str],
    target: str,
    level: float,
    recording: str = "",
) -> Summary:
    """Everything about the fit in one frame.

    Parameters
    ----------
    model : FlowDensity; flow : Flow; f : its facts.
    estimates : functionals of the averaged law.
    effects : of every variable; None where there are none.
    names : of the covariates.
    target : whose errors the estimates have, "population" or "sample".
    level : float, confidence level.
    recording : how the outcome was recorded, in words.
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
    notes = [*_on_fit(model, flow, f), *_on_numbers(model, flow, f, estimates, target, recording)]
    if not flow.structure.covariates:
        sections = [estimates_section(estimates, level, f"Law of {f.outcome}")]
        return Summary("Flow Density Results", (left, right), tuple(sections), tuple(notes))
    sections = [estimates_section(estimates, level, f"Law of {f.outcome}, {WHOSE[target]}")]
    notes[1:1] = [moving(flow, names)]
    if effects is None:
        notes.append("Effects: call effects() with the rows attached; this file holds none.")
    else:
        sections += effects.sections()
        notes += effects.notes()
    return Summary("Flow Density Results", (left, right), tuple(sections), tuple(notes))


def _on_fit(model: Any, flow: SplineFlow, f: FlowFacts) -> Sequence[str]:
    """Notes on what was fitted and why."""
    straight = flow.centre.is_straight or flow.name != "linear"
    words = WORDS[flow.name] if straight else "a {base} law around its centre: nothing but the location moves"
    notes = [f"Flow: {words.format(base=flow.base)}. Effective parameters: {_effective(f.effective)}."]
    if not flow.centre.is_straight:
        notes.append(
            "Centre: a line in the outcome's own units, brought to the scale of the fit, where it leaves "
            "less spread than a line does."
        )
    if np.isfinite(f.gain) and flow.name != "linear":
        over = "the normal linear model" if flow.centre.is_straight else "a normal law around it"
        notes.append(
            f"Chosen because: leave-one-out {f.gain:+.4f} per row over {over} (se "
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


def moving(flow: SplineFlow, names: Sequence[str]) -> str:
    """Which variables move location, scale and shape."""
    kinds = {"Location": ("linear", "shift"), "Scale": ("scale",), "Shape": ("shape",)}
    words = []
    for word, starts in kinds.items():
        moved = [t for t in flow.structure.terms if t.kind.startswith(starts)]
        bent = {t.covariate for t in moved if t.kind == "shift" or t.kind.endswith("smooth")}
        shown = [names[j] + (" (bends)" if j in bent else "") for j in sorted({t.covariate for t in moved})]
        words.append(f"{word} moves with {', '.join(shown) or 'none'}.")
    return " ".join(words)


def _on_numbers(
    model: Any,
    flow: SplineFlow,
    f: FlowFacts,
    estimates: Estimates,
    target: str,
    recording: str,
) -> Sequence[str]:
    """Notes on how far the numbers carry."""
    notes = []
    if not np.isfinite(estimates.values).all() and (f.records is None or f.records.held.all):
        notes.append(
            "Where there is no value, the fitted tail decides the moment, beyond what the rows support, or "
            "is too heavy for a finite mean or variance; quantiles stand."
        )
    if f.cov_note:
        notes.append(f.cov_note)
    if flow.structure.covariates:
        whose = {
            "population": "of the population that the rows are from; target='sample' takes the rows as given",
            "sample": "given the rows",
        }
        step = "; those on quantiles, and of numbers, go one step of their influence function beyond it"
        notes.append(
            f"Standard errors are {whose[target]}. Effects come from a flow with smaller penalties, so that "
            f"bias is small{step if f.records is None else ''}."
        )
    notes += rows_notes(model, f)
    notes += [] if f.source is None else f.source.notes()
    if f.shared:
        notes.append(f.shared)
    if f.records is not None:
        notes += f.records.notes(recording, f.outcome, estimates, corner="corner" in recording)
    if not f.converged:
        notes.append("The iterations did not reach the optimum: the law is a valid one, but not the best.")
    return notes
