"""Functionals of a law by name: ``mean``, ``q[0.9]``, ``gini``, ``prob[0,10]``, or any function of a law.

A name may carry numbers in brackets, and measures of poverty a line: a number, or a multiple of the mean or
the median, as in ``poverty[0.6*median]``.  The functional acts on the outcome as the formula writes it;
measures of inequality need a positive outcome that is not a logarithm.

===========================  ============================================================================
``ge[a]``                    generalised entropy, (E(y/μ)^a − 1)/(a(a − 1)); ``ge[1]`` is ``theil``, ``ge[0]``
                             is ``mld``
``atkinson[e]``              1 − (E(y/μ)^(1 − e))^(1/(1 − e)), for e = 1 one less the geometric mean over μ
``lorenz[p]``                share of the total that the poorest p hold; ``top_share[p]`` that of the richest
``ratio[a,b]``               q[a]/q[b], as ``p90p10``
``poverty[z]``               P(y < z); ``poverty_gap[z]`` is E[(1 − y/z); y < z], ``fgt[a,z]`` E[(1 − y/z)^a;
                             y < z] (Foster, Greer, Thorbecke 1984)
===========================  ============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.law import Function, Law
from disteconometrics.errors import OptionError

__all__ = [
    "FUNCTIONALS",
    "Line",
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


class Line(NamedTuple):
    """A poverty line: a number, or a multiple of the ``mean`` or the ``median`` of the same law.

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> float(Line(0.6, "median").at(Uniform(0, 2)))
    0.6
    """

    share: float
    of: str = ""

    def at(self, law: Law) -> Array:
        """The line, batch shape."""
        if not self.of:
            return np.full(law.batch_shape, self.share)
        return np.asarray(self.share * (law.mean() if self.of == "mean" else law.quantile(0.5)))


def _probability(law: Law, low: float, high: float) -> Array:
    """P(low ≤ Y ≤ high), from the nearer tail."""
    if not low <= high:
        raise OptionError(f"prob[{low:g},{high:g}] needs its ends in order.")
    atom = law.mass(low)
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
    return matched(law, lambda y: y * ((law._cdf(y) - law._sf(y)) - law._mass(y)))


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
    at = q * (share - law.cdf(q) + law.mass(q))
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
    return np.log if _may_be_zero(law) else lambda y: np.log(np.maximum(y, 5e-324))


def _may_be_zero(law: Law) -> bool:
    """Whether an outcome of zero is one, and not a quantile that was rounded to it."""
    return law.discrete or bool(np.any(law.mass(0.0) > 0))


def _entropy(law: Law, power: float) -> Array:
    """Generalised entropy; its limits at 0 and 1 are the mean log deviation and Theil's index."""
    if power in (0.0, 1.0):
        return _theil(law) if power else _mld(law)
    return (_relative_moment(law, power) - 1) / (power * (power - 1))


def _atkinson(law: Law, aversion: float) -> Array:
    with np.errstate(all="ignore"):
        if aversion == 1:
            return 1 - np.exp(-_mld(law))
        return 1 - _relative_moment(law, 1 - aversion) ** (1 / (1 - aversion))


def _relative_moment(law: Law, power: float) -> Array:
    """E (Y/μ)^power."""
    mean = np.asarray(law.mean())[..., None]
    least = 0.0 if _may_be_zero(law) else 5e-324
    return _smooth(law, lambda y: (np.maximum(y, least) / mean) ** power)


def _poverty(law: Law, power: float, line: Line) -> Array:
    """E[(1 − Y/z)^power; Y < z]."""
    z = line.at(law)
    if power == 0:
        return law.cdf(z) - law.mass(z)
    with np.errstate(all="ignore"):
        at = z[..., None]
        found = law._partial(z, lambda y: np.where(y < at, np.abs(1 - y / at) ** power, 0.0))
    return np.where(z > 0, found, np.nan)


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
    "top_share": (1, True, lambda law, share: 1 - _lorenz(law, 1 - share)),
    "ratio": (2, True, _quantile_ratio),
    "ge": (1, True, _entropy),
    "atkinson": (1, True, _atkinson),
    "poverty": (1, False, lambda law, line: _poverty(law, 0.0, line)),
    "poverty_gap": (1, False, lambda law, line: _poverty(law, 1.0, line)),
    "fgt": (2, False, _poverty),
}
WITH_LINE = ("poverty", "poverty_gap", "fgt")  # whose last argument is a poverty line
# What numbers must be, of those that are refused where they are read: words, and whether they are so.
_RULES: dict[str, tuple[str, Callable[..., bool]]] = {
    "atkinson": ("an aversion above zero", lambda aversion: aversion > 0),
    "top_share": ("a share between 0 and 1", lambda share: 0 < share < 1),
    "ratio": ("two levels between 0 and 1", lambda a, b: 0 < a < 1 and 0 < b < 1),
    "poverty": ("a line above zero", lambda line: line.share > 0),
    "poverty_gap": ("a line above zero", lambda line: line.share > 0),
    "fgt": ("a power of at least zero and a line above zero", lambda a, line: a >= 0 and line.share > 0),
}
OF_DATA = ("numpy", "scipy", "pandas", "statistics", "builtins")  # modules whose functions take data
_LINE = re.compile(r"(?:(?P<share>[^*]+)\*)?(?P<of>mean|median)|(?P<fixed>[^*]+)")
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
        If they are none of these, or a function of data such as ``np.mean``.

    Examples
    --------
    >>> listed("mean"), listed(("mean", "std"))
    (['mean'], ['mean', 'std'])
    """
    if isinstance(names, str) or callable(names):
        names = [names]
    if not isinstance(names, Iterable):
        raise OptionError(
            f"{names!r} is no functional: give a name such as 'mean' or 'q[0.9]', a function, or a list "
            f"of these."
        )
    found = list(names)
    for one in found:
        _check_of_law(one)
    return found


def _check_of_law(functional: Any) -> None:
    """Refuse functions of data: what is asked for are functionals of a law."""
    module = getattr(functional, "__module__", None) or type(functional).__module__
    if not callable(functional) or str(module).partition(".")[0] not in OF_DATA:
        return
    name = functional_name(functional)
    known = FUNCTIONALS.get(name, (1,))[0] == 0
    use = f"its name, {name!r}" if known else "a name such as 'mean' or 'q[0.9]', or a function of a law"
    raise OptionError(f"{module}.{name} is a function of data, and a functional is one of a law: give {use}.")


def parse(name: str) -> tuple[str, list[Any]]:
    """A name and the numbers in its brackets, the last of them a `Line` where it is one of poverty.

    Raises
    ------
    OptionError
        If the name is not known or the numbers are not as many as it takes.

    Examples
    --------
    >>> parse("prob[0, 10]"), parse("poverty[0.6 * median]")
    (('prob', [0.0, 10.0]), ('poverty', [Line(share=0.6, of='median')]))
    """
    found = _NAME.fullmatch(name.replace(" ", ""))
    head = found[1] if found else ""
    try:
        numbers = _arguments(head, found[2]) if found and found[2] is not None else []
    except ValueError:
        head, numbers = "", []
    if head not in FUNCTIONALS or len(numbers) != FUNCTIONALS[head][0]:
        known = ", ".join(f + ["", "[a]", "[a,b]"][count] for f, (count, _, _) in FUNCTIONALS.items())
        raise OptionError(
            f"functional {name!r} is not known; use one of {known}, or a function of a law; a poverty line "
            "is a number or as '0.6*median'."
        )
    words, holds = _RULES.get(head, ("", None))
    if holds is not None and not holds(*numbers):
        raise OptionError(f"functional {name!r} needs {words}.")
    return head, numbers


def _arguments(head: str, inside: str) -> list[Any]:
    """What stands in brackets: finite or infinite numbers, and a poverty line; ValueError for others."""
    parts = inside.split(",")
    line = [_line(parts.pop())] if head in WITH_LINE else []
    return [*map(_number, parts), *line]


def _line(text: str) -> Line:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    if found["fixed"] is not None:
        return Line(_number(found["fixed"]))
    return Line(1.0 if found["share"] is None else _number(found["share"]), found["of"])


def _number(text: str) -> float:
    value = float(text)
    if np.isnan(value):
        raise ValueError(text)
    return value


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
