"""Laws as users ask for them: a base by name, a law, or one of scipy.stats, pushed through maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from disteconometrics.distributions.families import Logistic, Normal, Uniform
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.maps import Map
from disteconometrics.distributions.scipy_law import Scipy
from disteconometrics.distributions.transformed import Transformed
from disteconometrics.errors import OptionError
from disteconometrics.words import tells_words

__all__ = ["law"]

_BASES: dict[str, type[Normal | Logistic | Uniform]] = {
    "normal": Normal,
    "logistic": Logistic,
    "uniform": Uniform,
}


@tells_words
def law(base: Any, maps: Map | Sequence[Map] = ()) -> Law:
    """A law made from a base and a list of maps.

    Parameters
    ----------
    base : {"normal", "logistic", "uniform"} (standard ones), a law, or a frozen law of ``scipy.stats`` whose
        parameters are numbers or one value per row.
    maps : map, or sequence of maps of which the first is applied first.

    Returns
    -------
    Law

    Raises
    ------
    OptionError
        If the base is none of these, or the maps do not take its values.

    Examples
    --------
    >>> import scipy.stats
    >>> lognormal = law("normal", [de.Affine(3, 0.5), de.Exp()])
    >>> lognormal.quantile([0.1, 0.5]).round(3), law(scipy.stats.t(5)).interval(0.95).round(3)
    (array([10.583, 20.086]), array([-2.571,  2.571]))
    """
    made: Law
    if isinstance(base, Law):
        made = base
    elif isinstance(base, str) and base in _BASES:
        made = _BASES[base]()
    elif hasattr(base, "dist") and hasattr(base, "ppf"):
        made = Scipy(base)
    else:
        raise OptionError(
            f"base={str(base)[:60]!r} is no law: use {', '.join(map(repr, _BASES))}, a law of this "
            f"package or a frozen one of "
            "scipy.stats, such as scipy.stats.t(5)."
        )
    plain = isinstance(maps, Sequence) and not len(maps)
    return made if plain else Transformed(made, maps)  # type: ignore[arg-type]
