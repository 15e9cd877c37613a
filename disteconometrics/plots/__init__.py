"""Pictures of estimates and laws; matplotlib loads with the first of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disteconometrics.plots.densities import (
        conditional_densities,
        density,
        pit_histogram,
        quantile_effects,
        quantile_fan,
    )
    from disteconometrics.plots.diagnostics import calibration, influence, roc
    from disteconometrics.plots.estimates import coefficients, effect
    from disteconometrics.plots.flows import contours, deformation, epochs, loss, marginals, samples, trained
    from disteconometrics.plots.studies import lollipop, nested_loop, standard_errors, zipper
    from disteconometrics.plots.transport import cdf_area, kl_integrand, qq

__all__ = [
    "calibration",
    "cdf_area",
    "coefficients",
    "conditional_densities",
    "contours",
    "deformation",
    "density",
    "effect",
    "epochs",
    "influence",
    "kl_integrand",
    "lollipop",
    "loss",
    "marginals",
    "nested_loop",
    "pit_histogram",
    "qq",
    "quantile_effects",
    "quantile_fan",
    "roc",
    "samples",
    "standard_errors",
    "trained",
    "zipper",
]

_HOME = {
    "calibration": "disteconometrics.plots.diagnostics",
    "influence": "disteconometrics.plots.diagnostics",
    "roc": "disteconometrics.plots.diagnostics",
    "coefficients": "disteconometrics.plots.estimates",
    "effect": "disteconometrics.plots.estimates",
    **dict.fromkeys(
        ("conditional_densities", "density", "pit_histogram", "quantile_effects", "quantile_fan"),
        "disteconometrics.plots.densities",
    ),
    **dict.fromkeys(
        ("contours", "deformation", "epochs", "loss", "marginals", "samples", "trained"),
        "disteconometrics.plots.flows",
    ),
    **dict.fromkeys(
        ("lollipop", "nested_loop", "standard_errors", "zipper"), "disteconometrics.plots.studies"
    ),
    **dict.fromkeys(("cdf_area", "kl_integrand", "qq"), "disteconometrics.plots.transport"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'disteconometrics.plots' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
