"""Words for what keeps coefficients from being estimated.

Linear dependences among columns, and separation.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from fractions import Fraction

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.optim.rank import Rank
from disteconometrics.optim.separation import Separation
from disteconometrics.tables import first_of

__all__ = ["describe_collinearity", "describe_separation"]

MOST_NAMED = 10  # columns, in what is said of a separation or a dependence
SIMPLE = 1e-8  # coefficients this close to a small fraction are printed as it


def describe_collinearity(rank: Rank, names: Sequence[str], n: int | None = None) -> str:
    """Words for a rank deficiency: each dependence as an equation, and what to do.

    Parameters
    ----------
    rank : Rank
        With at least one dropped column.
    names : sequence of str, length k
        Column names.
    n : int, optional
        Rows; fewer rows than columns is then said first.

    Returns
    -------
    str
        One to four sentences; at most six dependences are written out.

    Examples
    --------
    >>> import numpy as np
    >>> found = Rank(2, (0, 1), (2,), (np.array([1.0, 1.0, 0.0]),), 3.0)
    >>> describe_collinearity(found, ["x1", "x2", "x3"])
    'The columns are linearly dependent: x3 = x1 + x2. Drop one of the columns x1, x2, x3.'
    """
    k = len(names)
    if n is not None and n < k:
        return (
            f"{n} observation{'s' * (n != 1)} for {k} coefficients: fewer rows than coefficients, so the "
            f"columns are collinear whatever they hold. Use at most {n} coefficient{'s' * (n != 1)} or more "
            f"rows."
        )
    zeros, constants, equations, involved = _dependences(rank, names)
    parts = [first_of(found, "; ") + "." for found in (zeros, constants) if found]
    if parts:
        parts.append("Drop it." if len(zeros) + len(constants) == 1 else "Drop them.")
    if equations:
        parts.append(f"The columns are linearly dependent: {first_of(equations, '; ')}.")
        one = "one of the columns" if len(equations) == 1 else f"{len(equations)} of the columns"
        parts.append(f"Drop {one} {first_of([names[j] for j in sorted(involved)], ', ', 12)}.")
    return " ".join(parts)


def _dependences(rank: Rank, names: Sequence[str]) -> tuple[list[str], list[str], list[str], set[int]]:
    """Columns of zeros, constants, other dependences as equations, and the columns in these."""
    zeros, constants, equations = [], [], []
    involved: set[int] = set()
    for j, c in zip(rank.dropped, rank.combinations, strict=True):
        support = np.flatnonzero(c).tolist()
        equation = f"{names[j]} = {_sum_of(c, names)}"
        if not support:
            zeros.append(f"{names[j]} is zero in every row")
        elif [names[i] for i in support] == ["Intercept"]:
            constants.append(f"{names[j]} is constant: {equation}")
        else:
            equations.append(equation)
            involved |= {j, *support}
    return zeros, constants, equations, involved


def describe_separation(
    separation: Separation, names: Sequence[str], n: int, predicted: str, torn: Sequence[int] = ()
) -> str:
    """Words for a separation: which columns predict what for which rows, and what coefficients become.

    Parameters
    ----------
    separation : Separation
        What ``find_separation`` returned.
    names : sequence of str, length k
        Column names.
    n : int
        Rows in all.
    predicted : str
        What the separated rows have in words, ``"card = 1"``; the outcome's name where they have both values.
    torn : sequence of int
        Positions of columns whose sign directions of separation disagree about.

    Returns
    -------
    str
        Three sentences, four with ``torn``; at most ten columns are named, the others counted.

    Examples
    --------
    >>> import numpy as np
    >>> found = Separation("quasi", np.array([0.0, 1.0]), np.array([0, 2, 5, 7]), np.array([[0.0], [1.0]]))
    >>> print(describe_separation(found, ["Intercept", "expenditure"], 9, "card = 1"))
    Quasi-complete separation: expenditure predicts card = 1 perfectly for 4 of 9 rows (first rows 0, 2, 5). \
The likelihood keeps growing along +expenditure; coefficients reported as +inf: expenditure.
    """
    d = separation.direction
    involved = np.flatnonzero(d).tolist()
    left = [j for j in torn if j not in involved]
    room = MOST_NAMED - min(len(left), MOST_NAMED // 3)
    named = {*involved[:room], *left[: MOST_NAMED - len(involved[:room])]}

    def those(columns: Sequence[int]) -> str:
        return _listed(columns, {j: names[j] for j in named}, ", ")

    predictor = names[involved[0]] if len(involved) == 1 else f"a combination of {those(involved)}"
    if separation.kind == "complete":
        kind, where = "Complete", f"all {n} rows"
    else:
        rows = separation.rows
        first = ", ".join(map(str, rows[:3].tolist()))
        kind = "Quasi-complete"
        where = f"{len(rows)} of {n} rows (first row{'s' * (len(rows) > 1)} {first})"
    infinite = [
        f"{sign}inf: {those([j for j in involved if side * d[j] > 0])}"
        for sign, side in (("+", 1), ("−", -1))
        if np.any(side * d[involved] > 0)
    ]
    return (
        f"{kind} separation: {predictor} predicts {predicted} perfectly for {where}. The likelihood keeps "
        f"growing along {_along(d, names, named)}; coefficients reported as {'; '.join(infinite)}."
        + (f" The data do not determine the sign of {those(torn)}: NaN." if len(torn) else "")
    )


def _along(d: Array, names: Sequence[str], named: Container[int]) -> str:
    """A direction per unit of its leading column, without those that are not to be named.

    The last one that is not the intercept, by largest component.
    """
    involved = np.flatnonzero(d).tolist()
    leading = max(involved, key=lambda j: (names[j] != "Intercept", abs(d[j]) >= 1e-3 * np.max(np.abs(d)), j))
    unit = d / abs(d[leading])
    terms = {
        j: f"{'+' if unit[j] > 0 else '−'}{_times(abs(unit[j]), names[j])}" for j in involved if j in named
    }
    return _listed(involved, terms, " ")


def _times(value: float, name: str) -> str:
    return name if abs(value - 1.0) < 5e-4 else f"{value:.3g} · {name}"


def _number(value: float) -> str:
    """A coefficient as people write it: 3, 0.5, 1/3, else six digits."""
    simple = Fraction(value).limit_denominator(12)
    if simple and abs(value - simple) <= SIMPLE * abs(value):
        terminating = simple.denominator in (1, 2, 4, 5, 8, 10)
        return f"{float(simple):.12g}" if terminating else str(simple)
    return f"{value:.6g}"


def _sum_of(c: Array, names: Sequence[str]) -> str:
    """``2 · x1 − x2``, at most ten terms of it."""
    text, support = "", np.flatnonzero(c).tolist()
    for j in support[:MOST_NAMED]:
        number = _number(abs(float(c[j])))
        term = names[j] if number == "1" else f"{number} · {names[j]}"
        sign = "−" if c[j] < 0 else "+"
        text += f" {sign} {term}" if text else (f"−{term}" if c[j] < 0 else term)
    rest = len(support) - MOST_NAMED
    return text + (f" + … ({rest} more)" if rest > 0 else "")


def _listed(columns: Sequence[int], texts: Mapping[int, str], separator: str) -> str:
    """The texts of columns, and the number of those that have none."""
    shown = [texts[j] for j in columns if j in texts]
    rest = len(columns) - len(shown)
    if not shown:
        return f"{rest} column{'s' * (rest > 1)}"
    return separator.join(shown) + (f" and {rest} more" if rest else "")
