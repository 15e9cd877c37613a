"""Estimates of several results side by side: a row for a term, a column for a result, statistics below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.foreign import as_estimates
from disteconometrics.tables import (
    Latex,
    first_of,
    html_table,
    latex_table,
    latex_text,
    markdown_table,
    markdown_text,
    number,
    printable,
)
from disteconometrics.words import OtherWords, tells_words

__all__ = ["Comparison", "compare"]

LABELS = {
    "nobs": "Observations",
    "llf": "Log-likelihood",
    "prsquared": "Pseudo R²",
    "covariance": "Covariance",
    "aic": "AIC",
    "bic": "BIC",
    "df_model": "Df model",
    "df_resid": "Df residual",
    "llnull": "LL-null",
    "llr": "LR statistic",
    "llr_pvalue": "LLR p-value",
}
DEFAULT = ("nobs", "llf", "prsquared", "covariance")
STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))

Row = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Comparison(OtherWords):
    """A table of several results, which prints itself as text, HTML, LaTeX and markdown.

    ``names`` are the columns; ``body`` has two rows a term, the estimate and its standard error in
    parentheses, ``foot`` a row a statistic, each beginning with its label; ``numbers`` is the same unrounded,
    ``notes`` go under the table.  ``terms`` are the first cells that are terms of a formula and not labels.

    Examples
    --------
    >>> import disteconometrics as de
    >>> spector = de.datasets.spector()
    >>> small = de.Logit("GRADE ~ PSI").fit(spector)
    >>> large = de.Logit("GRADE ~ PSI + GPA").fit(spector, cov="HC1")
    >>> print(de.compare([small, large]))
                          (1)        (2)
    ------------------------------------
    Intercept        -1.6094   -11.6016
                     (0.6325)   (4.4596)
    PSI               1.8971     2.3378
                     (0.8317)   (0.9776)
    GPA                          3.0634
                                (1.3158)
    ------------------------------------
    Model               Logit      Logit
    Observations           32         32
    Log-likelihood   -17.6708   -13.1266
    Pseudo R²          0.1418     0.3625
    Covariance      nonrobust        HC1
    ------------------------------------
    Standard errors in parentheses.
    """

    names: tuple[str, ...]
    body: tuple[Row, ...]
    foot: tuple[Row, ...]
    notes: tuple[str, ...]
    numbers: pd.DataFrame
    terms: frozenset[str] = frozenset()

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers: rows (term, estimate | std_error | p_value) and (statistic, value).

        Each result has a column.  ``attrs["covariance"]`` lists the covariances.
        """
        return self.numbers.copy()

    def as_text(self) -> str:
        """Plain text, as wide as its columns need."""
        body = _aligned(self.body)
        rows = [("", *self.names), *body, *self.foot]
        first = max(len(r[0]) for r in rows)
        widths = [max(len(r[j]) for r in rows) for j in range(1, len(self.names) + 1)]
        rule = "-" * (first + sum(w + 2 for w in widths))

        def line(row: Row) -> str:
            cells = (f"  {cell:>{w}}" for cell, w in zip(row[1:], widths, strict=True))
            return (f"{row[0]:<{first}}" + "".join(cells)).rstrip()

        parts = [line(rows[0]), rule, *map(line, body), rule, *map(line, self.foot), rule, *self.notes]
        return "\n".join(parts)

    def __str__(self) -> str:
        return printable(self.as_text())

    __repr__ = __str__

    def _blocks(self) -> list[list[Row]]:
        return [[("", *self.names)], _aligned(self.body), list(self.foot)]

    def as_html(self) -> str:
        """One HTML table, as a notebook shows it."""
        return html_table(self._blocks()) + "\n" + "".join(f"<p>{escape(note)}</p>" for note in self.notes)

    _repr_html_ = as_html

    def as_latex(self) -> str:
        """A LaTeX tabular that needs no package.

        Special characters are escaped, and terms without a label are written as in a paper: ``x:g[T.b]`` is
        x × g: b and ``I(x ** 2)`` x².
        """
        head, body, foot = self._blocks()
        if not any("*" in cell for row in self.body for cell in row[1:]):
            body = list(self.body)  # no room for stars that there are not
        body = [(latex_term(row[0]) if row[0] in self.terms else row[0], *row[1:]) for row in body]
        notes = (latex_text(note) + "\n" for note in self.notes)
        return "\n".join([latex_table([head, body, foot]), "", *notes])

    _repr_latex_ = as_latex

    def as_markdown(self) -> str:
        """A markdown (pipe) table."""
        table = markdown_table([("", *self.names), *self.body, *self.foot])
        return "\n".join([table, "", *map(markdown_text, self.notes)])


@tells_words
def compare(
    results: Sequence[Any] | Mapping[str, Any],
    names: Sequence[str] | None = None,
    *,
    stars: bool = False,
    statistics: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
) -> Comparison:
    """Put the estimates of several results into one table, standard errors in parentheses below.

    Parameters
    ----------
    results : sequence of results with ``.estimates`` (fits, margins, bootstraps, or Estimates such as
        ``res.nlcom(...)``) or of another package with ``.params`` and ``.cov_params()`` (statsmodels'), or a
        dict from names to them.
    names : names of the columns, (1), (2), … if None.
    stars : bool, mark p < 0.1, 0.05, 0.01 with one to three stars.
    statistics : attributes of the results to print below: ``"nobs"``, ``"llf"``, ``"prsquared"``, ``"aic"``,
        …, and ``"covariance"`` for its label; None: those of nobs, llf, prsquared and covariance that there
        are.
    labels : dict or None, what is printed for a term or a statistic, as ``{"educ": "Schooling (years)"}``;
        labels of what the table does not have are left unused, so that one dict serves a whole paper.
    keep : list of str or None, the only terms to print, in this order; a factor's name keeps all its levels.
    drop : list of str or None, terms or factors to leave out; a note says so.

    Returns
    -------
    Comparison
        With ``as_text()``, ``as_html()``, ``as_latex()``, ``as_markdown()`` and ``to_frame()``.

    Raises
    ------
    OptionError
        If there is no result, one has no estimates, names are too few or repeat, labels are no dict, no
        result has one of the statistics, or no result has a term to keep or to drop.

    Examples
    --------
    >>> import disteconometrics as de
    >>> spector = de.datasets.spector()
    >>> fits = {m.__name__: m("GRADE ~ PSI").fit(spector) for m in (de.Logit, de.Probit)}
    >>> de.compare(fits, statistics=["nobs"]).to_frame().round(3)  # doctest: +NORMALIZE_WHITESPACE
                             Logit  Probit
    term         kind
    Intercept    estimate   -1.609  -0.967
                 std_error   0.632   0.352
                 p_value     0.011   0.006
    PSI          estimate    1.897   1.147
                 std_error   0.832   0.487
                 p_value     0.023   0.018
    Observations value      32.000  32.000
    """
    results, names = _listed(results, names)
    estimates = _estimates(results)
    _check_names(names, len(results))
    statistics = _chosen(statistics, results)
    columns = [_read(*column) for column in zip(names, results, estimates, strict=True)]
    every = tuple(dict.fromkeys(t for c in columns for t in c.estimates.names))
    terms, notes = _shown(every, keep, drop), _notes(columns, stars, statistics)
    if len(terms) < len(every):
        notes = (*notes, f"{len(every) - len(terms)} of {len(every)} terms are not shown.")
    own = _labels(labels, every)
    body = tuple(row for term in terms for row in _rows(columns, term, own.get(term, term), stars))
    foot = [("Model", *(c.label for c in columns))]
    foot += [(own.get(s, LABELS.get(s, s)), *(_statistic(c, s) for c in columns)) for s in statistics]
    numbers = _numbers(columns, terms, statistics)
    return Comparison(names, body, tuple(foot), notes, numbers, frozenset(terms) - set(own.values()))


@dataclass(frozen=True, eq=False)
class _Column:
    """What the table takes from a result; estimates by themselves have no model, penalty or weights."""

    name: str
    result: Any
    estimates: Estimates
    table: pd.DataFrame
    label: str
    penalty: Any
    weight_type: str | None

    def statistic(self, name: str) -> Any:
        """A statistic, None for one that the result does not have."""
        return getattr(self.result, name, None)


def _read(name: str, result: Any, estimates: Estimates) -> _Column:
    model, facts = getattr(result, "model", None), getattr(result, "facts", None)
    penalty = getattr(facts, "penalty", None)
    label = "" if model is None else type(model).__name__
    label = getattr(result, "model_label", label) + (f" ({str(penalty).capitalize()})" if penalty else "")
    weight_type = getattr(model, "weight_type", None)
    return _Column(name, result, estimates, estimates.table(estimates.level), label, penalty, weight_type)


def _shown(terms: tuple[str, ...], keep: Any, drop: Any) -> tuple[str, ...]:
    """The terms to print, in order."""
    if keep is not None and drop is not None:
        raise OptionError("Give keep= or drop=, not both.")
    if keep is not None:
        return _named(terms, keep, "keep")
    left_out = () if drop is None else _named(terms, drop, "drop")
    return tuple(t for t in terms if t not in left_out)


def _named(terms: tuple[str, ...], names: Any, option: str) -> tuple[str, ...]:
    """The terms of these names, or of these factors, in the order of the names."""
    if isinstance(names, str):
        raise OptionError(f"{option}={names!r}: give a list, as in {option}=[{names!r}].")
    found = {
        name: [t for t in terms if _bare(t) == _bare(name) or _bare(t).startswith(f"{_bare(name)}[")]
        for name in names
    }
    unknown = [name for name, those in found.items() if not those]
    if unknown:
        raise OptionError(f"{option}= names {', '.join(map(repr, unknown))}; terms are {first_of(terms)}.")
    return tuple(dict.fromkeys(t for those in found.values() for t in those))


_LEVEL = re.compile(r"^(?:C\(([^()]+)\)|([^\[\]()]+))\[(?:T\.)?(.*)\]$")
_INTERACTION = re.compile(r":(?! )(?![^\[(]*[\])])")  # no colon inside a level, nor of "PSI: 1 - 0"
_POWER = re.compile(r"^I\((\w+) \*\* (\d+)\)$")


def latex_term(term: str) -> Latex:
    """A term of a formula as a paper has it, in LaTeX.

    Examples
    --------
    >>> print(latex_term("I(x ** 2)"), latex_term("x_1:g[T.b]"), latex_term("log(wage)"))
    x$^{2}$ x\\_1 $\\times$ g: b log(wage)
    """
    parts = []
    for part in _INTERACTION.split(term):
        power, level = _POWER.match(part), _LEVEL.match(part)
        if power:
            parts.append(f"{latex_text(power[1])}$^{{{power[2]}}}$")
        elif level:
            parts.append(latex_text(f"{level[1] or level[2]}: {level[3]}"))
        else:
            parts.append(latex_text(part))
    return Latex(r" $\times$ ".join(parts))


def _listed(results: Any, names: Sequence[str] | None) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Results and the names of their columns, from a list or a dict."""
    if isinstance(results, Mapping):
        names, results = tuple(results) if names is None else names, tuple(results.values())
    elif isinstance(results, (str, Estimates)) or hasattr(results, "estimates"):
        raise OptionError("compare takes a list of results, as in de.compare([first, second]).")
    results = tuple(results)
    return results, tuple(f"({i})" for i in range(1, len(results) + 1)) if names is None else tuple(names)


def _estimates(results: tuple[Any, ...]) -> list[Estimates]:
    """The table of every result, ours or another package's."""
    if not results:
        raise OptionError("compare needs at least one result.")
    found = []
    for i, result in enumerate(results):
        own = result if isinstance(result, Estimates) else getattr(result, "estimates", None)
        estimates = own if isinstance(own, Estimates) else as_estimates(result)
        if estimates is None:
            raise OptionError(
                f"Result {i + 1} is a {type(result).__name__}, which has no .estimates, nor .params and "
                ".cov_params() with one name each as statsmodels' results; give results of fit."
            )
        found.append(estimates)
    return found


def _bare(name: Any) -> str:
    """A term however it is spaced: ``I(x/10)`` in a script is ``I(x / 10)`` in a result."""
    return re.sub(r"\s+", "", str(name))


def _labels(labels: Any, terms: tuple[str, ...]) -> dict[str, str]:
    if labels is not None and not isinstance(labels, Mapping):
        raise OptionError(
            f"labels={labels!r:.60}: give a dict of what is printed for terms, as {{'educ': 'Schooling'}}; "
            "the heads of the columns are names=[…]."
        )
    own = dict(labels or {})
    spaced = {_bare(name): label for name, label in own.items()}
    return {t: spaced[_bare(t)] for t in terms if _bare(t) in spaced} | own


def _check_names(names: tuple[str, ...], count: int) -> None:
    if len(names) != count or len(set(names)) < count or not all(isinstance(n, str) for n in names):
        raise OptionError(f"names={list(names)!r}: give {count} different names, one for each result.")


def _chosen(statistics: Sequence[str] | None, results: tuple[Any, ...]) -> Sequence[str]:
    """The statistics to print: of the usual ones those that there are."""
    if statistics is None:
        return [s for s in DEFAULT if any(hasattr(r, s) for r in results)]
    if isinstance(statistics, str):
        raise OptionError(f"statistics={statistics!r}: give a list, as in statistics=[{statistics!r}].")
    for s in statistics:
        if not any(hasattr(r, s) for r in results):
            raise OptionError(f"No result has the statistic {s!r}; known are {', '.join(LABELS)}.")
    return statistics


def _aligned(body: Sequence[Row]) -> list[Row]:
    """Rows padded on the right so that the last digits of a column stand below each other, before marks."""
    if not body:
        return []
    columns = list(zip(*body, strict=True))
    for j, column in enumerate(columns[1:], 1):
        marks = [len(cell) - len(cell.rstrip("*)")) for cell in column]
        most = max(marks)
        columns[j] = tuple(c + " " * (most - own) if c else "" for c, own in zip(column, marks, strict=True))
    return list(zip(*columns, strict=True))


def _rows(columns: list[_Column], term: str, label: str, stars: bool) -> tuple[Row, Row]:
    """The two rows of a term: estimates, and their standard errors."""
    cells = [_cells(c.table, term, stars) for c in columns]
    return (label, *(estimate for estimate, _ in cells)), ("", *(error for _, error in cells))


def _cells(table: pd.DataFrame, term: str, stars: bool) -> tuple[str, str]:
    if term not in table.index:
        return "", ""
    row = table.loc[term]
    mark = next((s for bound, s in STARS if row["p_value"] < bound), "") if stars else ""
    if np.isnan(row["estimate"]):
        return "withheld", ""
    return number(row["estimate"]) + mark, f"({number(row['std_error'], missing='none')})"


def _statistic(column: _Column, name: str) -> str:
    value = column.statistic(name)
    if name == "covariance":
        value = column.statistic("cov_type") if value is None else value
        return value if isinstance(value, str) else str(getattr(value, "label", ""))
    if value is None:
        return ""
    if name.startswith(("nobs", "df_")):
        return f"{value:.12g}"
    return "withheld" if np.isnan(value) else number(float(value))


def _numbers(columns: list[_Column], terms: tuple[str, ...], statistics: Sequence[str]) -> pd.DataFrame:
    kinds = ["estimate", "std_error", "p_value"]
    chosen = [s for s in statistics if s != "covariance"]
    rows = [(t, k) for t in terms for k in kinds] + [(LABELS.get(s, s), "value") for s in chosen]
    values = {}
    for c in columns:
        below = [np.nan if c.statistic(s) is None else float(c.statistic(s)) for s in chosen]
        values[c.name] = np.concatenate([c.table[kinds].reindex(list(terms)).to_numpy().ravel(), below])
    frame = pd.DataFrame(values, index=pd.MultiIndex.from_tuples(rows, names=["term", "kind"]))
    frame.attrs["covariance"] = [_statistic(c, "covariance") for c in columns]
    return frame


def _left_side(column: _Column) -> str | None:
    """What the formula says of the outcome and of how it was recorded; None without a formula."""
    formula = getattr(column.statistic("spec"), "formula", None)
    return "".join(formula.partition("~")[0].split()) if isinstance(formula, str) else None


def _notes(columns: list[_Column], stars: bool, statistics: Sequence[str]) -> tuple[str, ...]:
    notes = ["Standard errors in parentheses."]
    if stars:
        notes.append("* p < 0.1, ** p < 0.05, *** p < 0.01.")
    if len({c.statistic("nobs") for c in columns} - {None}) > 1:
        notes.append("The columns rest on different numbers of observations.")
    sides = {_left_side(c) for c in columns if c.statistic("llf") is not None} - {None}
    if "llf" in statistics and len(sides) > 1:
        notes.append(
            "The log-likelihoods are of different outcomes; de.cross_validate(on=) compares on one scale."
        )
    infinite = [c.name for c in columns if np.isinf(c.estimates.values).any()]
    notes += _note(infinite, "some coefficients are infinite (separation).")
    penalised = [c.name for c in columns if c.penalty]
    notes += _note(penalised, "penalised estimates; the log-likelihood is without the penalty.")
    pseudo = [c.name for c in columns if c.weight_type == "sampling"]
    notes += _note(pseudo, "sampling weights, so the log-likelihood is a pseudo-log-likelihood.")
    return tuple(notes)


def _note(names: list[str], text: str) -> list[str]:
    return [f"{', '.join(names)}: {text}"] if names else []
