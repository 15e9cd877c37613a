"""Which answers a sample or its records do not support: they are withheld, with a warning that says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import HeavyTailWarning, InfiniteMomentWarning, LeverageWarning, warn_user
from disteconometrics.inference.beside_mass import levels_of
from disteconometrics.inference.held import ALL, MOST_HIDDEN, Held, warn_by_smoothness, warn_hidden
from disteconometrics.inference.law_effects import Answer, Averaged, RowLaws
from disteconometrics.inference.law_functionals import Functional

__all__ = [
    "check_finite",
    "checked",
    "hidden_rows",
    "inside_rows",
    "is_withheld",
    "settled",
    "warn_unsupported",
]

# Share of squared influences beyond a sample's reach from which on limits are rough.  Of Theil's index in 500
# rows it is .32 to .84 (nine tenths of the samples) in log-normal laws with σ about .6, .43 to .51 with .8,
# .17 with .3, and .11 to .40 in gamma laws
MOST_BEYOND = 0.35
# Share of the squares that five rows carry from which on limits of coefficients are rough.  With a log-normal
# covariate those on outer quantiles covered .80 and .84 in 500 rows, where it is .62 to .89 in half of the
# samples; with a normal one it is at most .61 in 95 % of them; it is .67 in wage1, .66 in bwght
MOST_OF_FEW = 0.7


def checked(
    names: Sequence[str],
    answers: Sequence[Answer],
    functionals: Sequence[Functional],
    unsupported: Mapping[str, str],
    held: Held = ALL,
) -> list[Answer]:
    """Answers, NaN where the sample or the records do not support what they are of, with a warning why."""
    kinds = [kind for kind, _ in functionals]
    warn_unsupported(kinds, unsupported)
    warn_hidden(names, [a.hidden for a in answers], held)
    withheld = [is_withheld(a, kind, unsupported) for kind, a in zip(kinds, answers, strict=True)]
    warn_by_smoothness(names, [0.0 if w else a.inside for a, w in zip(answers, withheld, strict=True)])
    values = [(n, a) for n, a, known in zip(names, answers, withheld, strict=True) if a.varies and not known]
    check_finite([n for n, _ in values], np.array([a.value for _, a in values]))
    _warn_beyond([(n, a.beyond) for n, a in values])
    _warn_few([(n, a.few) for n, a in values])
    return [a._replace(value=np.nan) if w else a for a, w in zip(answers, withheld, strict=True)]


def _warn_beyond(shares: Sequence[tuple[str, float]]) -> None:
    """Warn of answers by name whose variance comes from outcomes farther out than the sample reaches."""
    heavy = {name: share for name, share in shares if share > MOST_BEYOND or np.isnan(share)}
    if heavy:
        hint = "prefer gini, var_log or quantiles, or say so"
        text = (
            f"Limits of {', '.join(heavy)} are rough: more than {MOST_BEYOND:.0%} of the variance under the "
            f"fitted law is of outcomes so far out that a sample of this size is to hold none; {hint}."
        )
        warn_user(HeavyTailWarning(text, hint=hint))


def _warn_few(shares: Sequence[tuple[str, float]]) -> None:
    """Warn of coefficients whose variance is of a handful of rows."""
    rough = [(name, share) for name, share in shares if share > MOST_OF_FEW]
    if rough:
        names, most = ", ".join(dict.fromkeys(n for n, _ in rough)), max(share for _, share in rough)
        hint = "derivative() and effect() are less so; or take the variable's logarithm"
        text = (
            f"Limits of best linear coefficients on {names} are rough: five rows have up to {most:.0%} of "
            f"the variance; {hint}."
        )
        warn_user(LeverageWarning(text, hint=hint))


def is_withheld(answer: Answer, kind: str, unsupported: Mapping[str, str]) -> bool:
    """Whether the sample or the records do not support an answer."""
    return answer.hidden > MOST_HIDDEN or kind in unsupported


def warn_unsupported(kinds: Sequence[str], unsupported: Mapping[str, str]) -> None:
    """Warn of moments that the sample does not support."""
    without = [kind for kind in dict.fromkeys(kinds) if kind in unsupported]
    if without:
        hint = (
            "use quantiles or iqr, which do not depend on how far the tail goes, or the outcome's logarithm"
        )
        text = f"Withheld: {', '.join(without)}, which the fitted tail decides: {unsupported[without[0]]}. "
        warn_user(InfiniteMomentWarning(f"{text}Remedy: {hint}.", hint=hint))


def check_finite(names: Sequence[str], values: Array) -> None:
    """Warn of functionals (q,) that the tail of a law is too heavy to have."""
    without = dict.fromkeys(n for n, value in zip(names, values, strict=True) if not np.isfinite(value))
    if without:
        hint = "use quantiles, which do not depend on how far the tail goes, or the scale of the fit."
        text = f"The fitted tail is too heavy for a finite {' or '.join(without)}: {hint}"
        warn_user(InfiniteMomentWarning(text, hint=hint))


def settled(law: Averaged, functional: Functional, error: Callable[[Answer], float]) -> Answer:
    """A functional of an averaged law, without error if its quantiles may be at a mass or beside it."""
    found = law.functional(functional)
    near = any(law.near_mass(t, error) for t in levels_of(functional))
    return found._replace(at_mass=found.at_mass or near)


def hidden_rows(laws: RowLaws, functional: Functional, values: Array, held: Held) -> Mask:
    """Rows (n,) of which records do not tell a functional with these values."""
    kind, numbers = functional
    if held.all or held.hides(functional) or (kind == "prob" and held.hides_between(numbers)):
        return np.full(len(values), not held.all)
    return _any_quantile(laws, functional, values, held.hidden)


def inside_rows(laws: RowLaws, functional: Functional, values: Array, held: Held) -> Mask:
    """Rows (n,) of which records tell a functional with these values by smoothness alone."""
    if not held.classes or held.smooth_alone(functional):
        return np.full(len(values), bool(held.classes)) & np.isfinite(values)
    return _any_quantile(laws, functional, values, held.inside)


def _any_quantile(
    laws: RowLaws, functional: Functional, values: Array, where: Callable[[Array], Mask]
) -> Mask:
    """Rows (n,) with a quantile of a functional with these values somewhere."""
    kind, levels = functional
    if kind == "q":
        return where(values)
    zero, found = np.zeros((len(values), 1)), np.zeros(len(values), dtype=bool)
    for level in levels if kind in ("difference", "ratio") else ():
        found |= where(laws.by_row(("q", (level,)), zero).values)
    return found
