"""Pictures of estimates, laws and studies; matplotlib loads with the first of them.

No picture knows an estimator or a study.  It takes a law, or anything that has what it draws: ``estimates``,
``distribution(new)``, ``band(...)``, ``history``, ``table()`` of measures, or the answer it is named after.
Words on its axes come from ``labels()``, and rows, where it shows them, from ``data_rows()``.  A new picture
is a function in a file of this folder, a name in `_NAMES`, and one in ``pictures`` of results that have it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disteconometrics.plots.densities import *  # noqa: F403
    from disteconometrics.plots.diagnostics import *  # noqa: F403
    from disteconometrics.plots.estimates import *  # noqa: F403
    from disteconometrics.plots.flows import *  # noqa: F403
    from disteconometrics.plots.studies import *  # noqa: F403
    from disteconometrics.plots.transport import *  # noqa: F403

_NAMES = {
    "densities": "conditional_densities density pit_histogram quantile_effects quantile_fan",
    "diagnostics": "calibration influence roc",
    "estimates": "coefficient_process coefficients decomposition effect lorenz_curves shares",
    "flows": "contours deformation epochs learned loss marginals samples trained",
    "studies": "lollipop nested_loop standard_errors zipper",
    "transport": "cdf_area group_cdfs group_quantiles kl_integrand qq simulated transport_effects "
    "transport_map",
}
_HOME = {name: f"{__name__}.{room}" for room, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'disteconometrics.plots' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    from disteconometrics.words import tells_words

    globals()[name] = value = tells_words(getattr(import_module(_HOME[name]), name))
    return value


def __dir__() -> list[str]:
    return __all__
