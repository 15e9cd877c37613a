"""Functionals of a law by name: ``mean``, ``q[0.9]``, ``gini``, ``prob[0,10]``, or any function of a law.

A name may carry numbers in brackets.  The functional acts on the outcome as the formula writes it; measures
of inequality need a positive outcome that is not a logarithm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.law import Function, Law
from disteconometrics.errors import OptionError

__all__ = [
    "FUNCTIONALS",
    "evaluate",
    "functional_name",
    "listed",
    "matched",
    "mean_between",
    "parse",
    "ranked",
]

LEAST_BETWEEN = 1e-7  # probability from which on a mean between two ends keeps its digits

Functional = Callable[..., Any]


def _probability(law: Law, low: float, high: float) -> Array:
    """P(low ≤ Y ≤ high), from the nearer tail."""
    if not low <= high:
        raise OptionError(f"prob[{low:g},{high:g}] needs its ends in order.")
    atom = law.pdf(low) if law.discrete else 0.0
    below, above = law.cdf(high) - law.cdf(low), law.sf(low) - law.sf(high)
    return np.where(law.cdf(low) < 0.5, below, above) + atom


def _positive(law: Law, name: str) -> None:
    logged = (law.outcome or "").removeprefix("np.").startswith("log")
    if logged or np.any(law.support()[0] < 0):
        of = f"{law.outcome!r}" if law.outcome else "an outcome that may be negative"
        raise OptionError(
            f"{name!r} is for a positive outcome in its own units, and this law is of {of}; change scale "
            f"first, e.g. "
            "law.on('wage') for an outcome log(wage), or law.on(de.Exp())."
        )


def _quantile_ratio(law: Law, above: float, below: float) -> Array:
    q = law.quantile([below, above])
    return q[..., 1] / q[..., 0]


def _gini(law: Law) -> Array:
    """E[Y·(2F(Y) − 1)]/E Y."""
    with np.errstate(all="ignore"):
        return law._half_gap() / law.mean()


def ranked(law: Law) -> Function:
    """The function y·(2F(y) − 1) of outcomes, F at the middle of its jumps.

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> ranked(Uniform(0, 1))(np.array([0.25, 0.5]))
    array([-0.125,  0.   ])
    """
    return matched(law, lambda y: y * ((law._cdf(y) - law._sf(y)) - (law._pdf(y) if law.discrete else 0.0)))


def matched(law: Law, function: Function) -> Function:
    """A function of outcomes batch + (m,), made to take any shape where the law has no rows.

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> law = Uniform(0, 2)
    >>> matched(law, law._cdf)(np.array([[1.0], [2.0]])).tolist()
    [[0.5], [1.0]]
    """
    if law.batch_shape:
        return function
    return lambda y: function(np.ravel(y)).reshape(np.shape(y))


def _smooth(law: Law, function: Function) -> Array:
    with np.errstate(all="ignore"):
        return law._smooth(function)


def _theil(law: Law) -> Array:
    mean = law.mean()
    return _smooth(law, lambda y: y * np.log(np.where(y > 0, y, 1.0))) / mean - np.log(mean)


def _mld(law: Law) -> Array:
    with np.errstate(invalid="ignore"):
        return np.log(law.mean()) - _smooth(law, _log(law))


def _lorenz(law: Law, share: float) -> Array:
    """Part of the total that the poorest share holds."""
    q = law.quantile(share)
    with np.errstate(all="ignore"):
        below = law._partial_mean(q)
    at = q * (share - law.cdf(q) + (law.pdf(q) if law.discrete else 0.0))
    return (below + at) / law.mean()


def mean_between(law: Law, low: Array, high: Array, middle: Array) -> Array:
    """E[Y | low < Y <= high] of every row (n,); the value in the ``middle`` where an end is open.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> mean_between(Normal([0.0, 0.0], 1.0), np.zeros(2), np.array([1.0, np.inf]), np.ones(2)).round(4)
    array([0.4599, 1.    ])
    """
    open_ended = ~np.isfinite(high - low)
    a, b = np.where(open_ended, middle, low), np.where(open_ended, middle, high)
    share = law.cdf(b) - law.cdf(a)
    with np.errstate(all="ignore"):
        mean = (law._partial_mean(b) - law._partial_mean(a)) / share
    return np.where(share > LEAST_BETWEEN, np.clip(mean, a, b), middle)


def _log(law: Law) -> Function:
    """The logarithm; of a continuous law's quantiles that round to zero, of the smallest number instead."""
    return np.log if law.discrete else lambda y: np.log(np.maximum(y, 5e-324))


def _var_log(law: Law) -> Array:
    log = _log(law)
    mean = _smooth(law, log)
    return _smooth(law, lambda y: (log(y) - mean[..., None]) ** 2)


# name: (how many numbers in brackets, whether the outcome must be positive, function of the law and those
# numbers)
FUNCTIONALS: dict[str, tuple[int, bool, Functional]] = {
    "mean": (0, False, lambda law: law.mean()),
    "var": (0, False, lambda law: law.var()),
    "std": (0, False, lambda law: law.std()),
    "median": (0, False, lambda law: law.quantile(0.5)),
    "iqr": (0, False, lambda law: law.quantile(0.75) - law.quantile(0.25)),
    "q": (1, False, lambda law, tau: law.quantile(tau)),
    "pdf": (1, False, lambda law, y: law.pdf(y)),
    "cdf": (1, False, lambda law, y: law.cdf(y)),
    "sf": (1, False, lambda law, y: law.sf(y)),
    "prob": (2, False, _probability),
    "p90p10": (0, True, lambda law: _quantile_ratio(law, 0.9, 0.1)),
    "p90p50": (0, True, lambda law: _quantile_ratio(law, 0.9, 0.5)),
    "p50p10": (0, True, lambda law: _quantile_ratio(law, 0.5, 0.1)),
    "gini": (0, True, _gini),
    "theil": (0, True, _theil),
    "mld": (0, True, _mld),
    "var_log": (0, True, _var_log),
    "lorenz": (1, True, _lorenz),
}
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\[([^\[\]]*)\])?")


def functional_name(functional: str | Callable[..., Any]) -> str:
    """The name that a functional has in a table: its own, or that of the function.

    Examples
    --------
    >>> functional_name("q[0.9]"), functional_name(np.median)
    ('q[0.9]', 'median')
    """
    return functional if isinstance(functional, str) else str(getattr(functional, "__name__", functional))


def listed(names: Any) -> list[Any]:
    """Functionals as a list, a single name or function as a list of one.

    Raises
    ------
    OptionError
        If they are none of these.

    Examples
    --------
    >>> listed("mean"), listed(("mean", "std"))
    (['mean'], ['mean', 'std'])
    """
    if isinstance(names, str) or callable(names):
        return [names]
    if not isinstance(names, Iterable):
        raise OptionError(
            f"{names!r} is no functional: give a name such as 'mean' or 'q[0.9]', a function, or a list "
            f"of these."
        )
    return list(names)


def parse(name: str) -> tuple[str, list[float]]:
    """A name and the numbers in its brackets.

    Raises
    ------
    OptionError
        If the name is not known or the numbers are not as many as it takes.

    Examples
    --------
    >>> parse("prob[0, 10]")
    ('prob', [0.0, 10.0])
    """
    found = _NAME.fullmatch(name.replace(" ", ""))
    try:
        numbers = [float(part) for part in found[2].split(",")] if found and found[2] is not None else []
    except ValueError:
        found, numbers = None, []
    if (
        found is None
        or found[1] not in FUNCTIONALS
        or len(numbers) != FUNCTIONALS[found[1]][0]
        or np.isnan(numbers).any()
    ):
        known = ", ".join(f + ["", "[a]", "[a,b]"][count] for f, (count, _, _) in FUNCTIONALS.items())
        raise OptionError(f"functional {name!r} is not known; use one of {known}, or a function of a law.")
    return found[1], numbers


def evaluate(law: Law, functional: str | Callable[[Law], Any]) -> Array:
    """A functional of a law, batch shape.

    Raises
    ------
    OptionError
        If the name is not known, or it needs a positive outcome and the law's is not.

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> evaluate(Uniform(0, 1), "gini").round(10)
    np.float64(0.3333333333)
    >>> evaluate(Uniform(0, 2), lambda law: law.quantile(0.75) ** 2)
    np.float64(2.25)
    """
    if isinstance(functional, str):
        head, numbers = parse(functional)
        _, positive, function = FUNCTIONALS[head]
        if positive:
            _positive(law, functional)
        return np.asarray(function(law, *numbers))[()]
    if not callable(functional):
        raise OptionError(f"A functional is a name or a function of a law; got {functional!r}.")
    value = as_floats(functional(law))
    if value.shape not in ((), law.batch_shape):
        raise OptionError(
            f"{functional_name(functional)} gives shape {value.shape}; one number per row is needed."
        )
    return value[()]
