"""Marginal effects of a binary-outcome result: reading what was asked, and the table that comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import SimpleNamespace
from typing import IO, Annotated, Any, ClassVar, Literal

import numpy as np
from scipy import linalg

from disteconometrics.archive import write_archive
from disteconometrics.arrays import Array, Mask, or_ones
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.streamed_scenario import StreamedScenario
from disteconometrics.data.table import list_names
from disteconometrics.errors import MissingColumnError, NeedsData, OptionError, WithheldError
from disteconometrics.estimators.binary.extrapolation import (
    Ranges,
)
from disteconometrics.estimators.binary.fit import BinaryRows, success_of
from disteconometrics.estimators.binary.fitted_index import FittedIndex, Infinite
from disteconometrics.estimators.margin_questions import (
    AnyRows,
    Asked,
    asked_of,
    averaged_with,
    check_choice,
    check_place,
    check_ranges,
    questions_of,
    row_groups,
)
from disteconometrics.estimators.results import SavedResult
from disteconometrics.fields import AnyFloat, Count, NonNegative, Numbers, Rule
from disteconometrics.inference.estimates import ClusterCount, Estimated, Estimates, check_level
from disteconometrics.inference.influence import averaging_rows, estimation_rows, influence_covariance
from disteconometrics.inference.marginal_effects import (
    KINDS,
    Averages,
    average_margins,
    margins_at_means,
)
from disteconometrics.pictures import Pictured
from disteconometrics.report.summary import estimates_section
from disteconometrics.tables import Summary, first_of
from disteconometrics.threads import on_one_thread

__all__ = [
    "INCLUDED",
    "INDEPENDENT",
    "SHARED",
    "MarginsResults",
    "margins",
    "margins_as_statsmodels",
    "margins_of",
]

INCLUDED = "The sampling variance of the average over rows is included"
INDEPENDENT = "; it supposes independent rows"
SHARED = ", with what it shares with that of the estimates"
_MEANING = {
    "dydx": "dP/dv (differences for levels)",
    "eydx": "d log P/dv (log ratios for levels)",
    "dyex": "dP/d log v",
    "eyex": "d log P/d log v (elasticity)",
}


@dataclass(frozen=True, eq=False)
class MarginsResults(Estimated, Pictured):
    """Marginal effects with standard errors: a table, tests of contrasts, a summary, a picture.

    ``effects`` are the `estimates`; ``kind``, ``at`` and ``target`` repeat what was asked; ``notes`` are the
    foot of the table.

    Examples
    --------
    >>> import disteconometrics as de
    >>> m = de.Logit("GRADE ~ GPA + TUCE + PSI").fit(de.datasets.spector()).margins()
    >>> m.estimates.table()[["estimate", "std_error"]].round(4)
                estimate  std_error
    GPA           0.3626     0.1094
    TUCE          0.0122     0.0178
    PSI: 1 - 0    0.3575     0.1420
    >>> print(m.test("GPA = PSI: 1 - 0"))
    Wald test of GPA = PSI: 1 - 0
      chi2(1) = 0.0006, p = 0.9810
    """

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    effects: Estimates
    kind: str
    at: str
    target: str
    outcome: str
    formula: str
    covariance: str
    rows: int
    notes: tuple[str, ...]

    @property
    def estimates(self) -> Estimates:
        """The effects with standard errors, tests and intervals."""
        return self.effects

    @property
    def model(self) -> Any:
        """Names that statsmodels' tables read."""
        return SimpleNamespace(endog_names=self.outcome, exog_names=list(self.effects.names))

    @property
    def nobs(self) -> int:
        """Rows that the effects are averaged over."""
        return self.rows

    @property
    def model_label(self) -> str:
        """What a comparison calls them."""
        return f"Margins ({self.kind})"

    def summary(self, level: float | None = None) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        left = (("Outcome", self.outcome), ("Formula", self.formula), ("Effect", _MEANING[self.kind]))
        target = "these rows" if self.target == "sample" else "the population"
        right = (
            ("Observations", f"{self.rows}"),
            ("Evaluated at", self.at),
            ("Target", target),
            ("Covariance", self.covariance),
        )
        section = estimates_section(
            self.estimates, self.estimates.level if level is None else check_level(level)
        )
        return Summary("Marginal Effects", (left, right), (section,), self.notes)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the effects to one ``.npz`` file; `disteconometrics.load` reads it.

        Parameters
        ----------
        path : file name or binary file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        e, words = self.effects, {f.name: getattr(self, f.name) for f in fields(self) if f.name != "effects"}
        own = {"clusters": e.clusters, **(vars(e.clusters) if isinstance(e.clusters, ClusterCount) else {})}
        header = {**words, "names": e.names, "df": e.df, "level": e.level, **own}
        write_archive(path, "Margins", header, {"values": e.values, "covariance": e.covariance})

    @classmethod
    def from_file(cls, saved: SavedResult) -> MarginsResults:
        """Rebuild saved effects.

        Raises
        ------
        FileFormatError
        """
        words = asdict(saved.fields(_Header))
        names = words.pop("names")
        arrays = saved.numbers(_ARRAYS, k=len(names))
        own = {name: words.pop(name) for name in ("df", "level", "clusters")}
        knows = {name: words.pop(name) for name in ("equal", "jackknifed")}
        if own["clusters"] is not None:
            own["clusters"] = ClusterCount.telling(own["clusters"], **knows)
        return cls(Estimates(names, arrays["values"], arrays["covariance"], **own), **words)

    __repr__ = Estimated.__str__


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    names: tuple[str, ...]
    df: Annotated[AnyFloat, Rule("positive", lambda v: v > 0)]  # infinite for the normal law
    level: Annotated[float, Rule("between 0 and 1", lambda v: 0 < v < 1)]
    clusters: Count | None
    kind: Literal["dydx", "eydx", "dyex", "eyex"]
    at: str
    target: str
    outcome: str
    formula: str
    covariance: str
    rows: Count
    notes: tuple[str, ...]
    equal: NonNegative | None = None  # of clusters, as `ClusterCount` has it
    jackknifed: bool = False


_ARRAYS = {"values": Numbers("k", "any"), "covariance": Numbers("k k", "a covariance")}


def margins_of(
    result: Any,
    names: tuple[str, ...],
    values: Array,
    covariance: Array,
    *,
    where: str,
    rows: int,
    notes: Sequence[str],
    kind: str = "dydx",
    target: str = "sample",
    level: float = 0.95,
) -> MarginsResults:
    """Effects of a result with a covariance of their own.

    Parameters
    ----------
    result : with ``covariance``, ``estimates`` and ``spec``.
    names, values, covariance : of the effects, (q,) and (q, q) float64 arrays.
    where : str, the rows that were averaged, ``rows`` their number.
    notes : foot of the table, after the covariance's.
    kind, target, level : as in `margins`.
    """
    return MarginsResults(
        result.estimates.others(names, values, covariance, level=level),
        kind,
        where,
        target,
        result.spec.outcome.name,
        result.spec.formula,
        result.covariance.label,
        rows,
        (result.covariance.note, *notes),
    )


@on_one_thread
def margins(
    fitted: FittedIndex,
    rows: AnyRows,
    variables: Any = None,
    *,
    at: Any = "overall",
    kind: str = "dydx",
    target: str = "sample",
    by: Any = None,
    level: float = 0.95,
    own: BinaryRows | None = None,
    ranges: Ranges | None = None,
) -> MarginsResults:
    """Marginal effects of raw variables on P(y = 1), through the formula, with delta-method standard errors.

    Parameters
    ----------
    fitted : FittedIndex.
    rows : Scenario, rows to average over; or StreamedScenario, which is read once more.
    variables : str, list of str, dict or None
        None takes every variable of the right side.  Numbers get the derivative, exact and through
        ``I(x**2)``, ``x:z``, ``bs(x)``, ``log(x)``; text, categories, true/false, ``C(x)`` and 0–1 columns
        the difference of each level from the first.  A dict chooses: ``{"kids": (0, 1)}`` contrasts the
        values, base first; ``{"d": "derivative"}`` takes the derivative of a 0–1 column; None is as above.
    at : "overall", "mean" or dict
        Average over the rows, with the model's weights; or the effect at the average row (the mean of each
        number goes through the formula, factors enter with their shares); or the average over the rows with
        some variables fixed: a value, or a list of values for one row of the table each, named ``educ | age =
        30``.
    kind : {"dydx", "eyex", "dyex", "eydx"}
        "ey" is the change of log P, "ex" that of log v; levels have "dydx" and "eydx" only, and 0–1 columns
        their derivative.
    target : {"sample", "population"}
        "sample", the default as in statsmodels and in Stata's ``margins``: the average over these very rows,
        whose error is that of β̂ alone, G·V·G' with G = ∂θ/∂β.  "population": the average over all rows that
        these were drawn from, as Stata's ``vce(unconditional)``.  A row then moves θ in two ways,

            ψ_i = w_i (m_i − θ)/Σ w + G·H⁻¹·s_i

        and the variance is that of Σ ψ_i as the fit's covariance has it: squares under HC0 … HC3, sums in
        clusters, lags under `HAC` (factors of finite samples: `inference.influence`).  Under ``"nonrobust"``
        and ``"opg"``, which believe the model, the two parts share nothing, and
        Σ w²(m − θ)²/(Σ w)² · n/(n − 1) is added to G·V·G'.  Rows that are not those of the fit count as drawn
        apart from these.
    by : a column of the table of the fit, or a list of columns, whose groups are averaged apart with one
        covariance: rows ``age | union = 1``, so that ``nlcom`` and ``test`` take contrasts of groups.
    level : float, confidence level of the table.
    own : BinaryRows or None, the rows of the fit with its scores, where they are at hand.
    ranges : Ranges or None, the least and the largest value of each number in the fit, where they are known.

    Returns
    -------
    MarginsResults

    Raises
    ------
    OptionError, MissingColumnError, LevelError, DataError
        OptionError also for contrasts of values further from the range of the fit than this is wide.
    NeedsData
        If the population's variance needs scores or clusters that a file does not hold.
    WithheldError
        If separation involves the variable or leaves probabilities open; if clusters or lags are asked for
        and the rows are not those of the fit.

    Warns
    -----
    ExtrapolationWarning
        If ``at`` or a contrast sets a variable outside the range of the fit, or rows lie outside.

    References
    ----------
    Bartus (2005), Estimation of marginal effects using margeff, Stata Journal 5(3).
    Dowd, Greene and Norton (2014), Computation of standard errors, Health Services Research 49,
    doi:10.1111/1475-6773.12122.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("affair ~ age + yrs_married + I(yrs_married**2)").fit(de.datasets.fair(), cov="HC1")
    >>> found = margins(res.fitted_index, res.rows.scenario(), "yrs_married", at={"age": [25, 40]})
    >>> found.params.round(4).to_dict()
    {'yrs_married | age = 25': 0.0262, 'yrs_married | age = 40': 0.0165}
    """
    level = check_level(level)
    _check_choices(fitted, at, kind, target)
    groups = [] if by is None else _groups(rows, own, by, at)
    asked, skipped = asked_of(rows, variables, kind)
    asked, separated = _identified(fitted.infinite, rows, asked, explicit=variables is not None)
    questions, where = questions_of(rows, asked, at)
    check_ranges(ranges, rows, asked, at)
    beta, kernel, drawn = fitted.coefficients, fitted.kernel, target == "population"
    if at == "mean":
        assert isinstance(rows, Scenario)  # whose means are among the questions
        found = margins_at_means(kernel, rows, fitted.value, beta, questions, kind)
    else:
        robust = fitted.covariance.robust
        if drawn and robust and isinstance(rows, StreamedScenario):
            raise rows.design.needs_rows()

        def averages(of: AnyRows) -> Averages:
            spread, keep = drawn and not robust, drawn and robust
            return average_margins(kernel, of, fitted.value, beta, questions, kind, spread=spread, keep=keep)

        found = _in_groups(averages, rows, groups) if groups else averages(rows)
    covariance, drawn_note = _covariance(fitted, rows, found, own)
    notes = [drawn_note] if drawn else []
    names = tuple(f"{q.name}{words}" for q in questions for words in [w for w, _ in groups] or [""])
    estimates = Estimates(
        names,
        found.values,
        (covariance + covariance.T) / 2,
        fitted.df,
        level=level,
        clusters=fitted.covariance.clusters,
    )
    return MarginsResults(
        estimates,
        kind,
        where,
        target,
        success_of(rows.spec),
        rows.spec.formula,
        fitted.covariance.label,
        rows.size,
        _notes(fitted, rows, notes, skipped + separated, at),
    )


def _groups(rows: AnyRows, own: BinaryRows | None, by: Any, at: Any) -> list[tuple[str, Array]]:
    """Groups of the rows of the fit: what goes into names, and shares (n,) of sum one."""
    if isinstance(rows, StreamedScenario):
        raise rows.design.needs_rows()
    if own is None or not _are_same(rows, own.scenario()):
        raise OptionError("by= is for the rows of the fit: of other rows give those of one group as data=.")
    return row_groups(own, by, at, or_ones(rows.weights, rows.size))


def _in_groups(
    averages: Callable[[AnyRows], Averages], rows: AnyRows, groups: list[tuple[str, Array]]
) -> Averages:
    """Margins of groups, those of a question one after the other; effects as if all rows were averaged."""
    assert isinstance(rows, Scenario)
    w = or_ones(rows.weights, rows.size)
    found, g = [averages(replace(rows, weights=w * (shares > 0))) for _, shares in groups], len(groups)
    q = len(found[0].values)
    whole = [1.0] * g  # variances of averages have n/(n − 1) of all rows, as those of other answers by group
    if rows.spec.weight_type == "frequency":
        n, own = w.sum(), np.array([w[shares > 0].sum() for _, shares in groups])
        whole = (n / (n - 1) / (own / np.maximum(own - 1, 1.0))).tolist()
    order = np.arange(g * q).reshape(g, q).T.ravel()
    effects = [
        f.values + (f.effects - f.values) * (shares * w.sum() / w)[:, None]
        for f, (_, shares) in zip(found, groups, strict=True)
        if f.effects is not None
    ]
    return Averages(
        np.concatenate([f.values for f in found])[order],
        np.concatenate([f.gradients for f in found])[order],
        linalg.block_diag(*(c * f.sampling for c, f in zip(whole, found, strict=True)))[np.ix_(order, order)],
        np.concatenate(effects, axis=1)[:, order] if effects else None,
    )


def _covariance(
    fitted: FittedIndex, rows: AnyRows, found: Averages, own: BinaryRows | None
) -> tuple[Array, str]:
    """The covariance of margins: that of the estimates, and of averaging where the rows are drawn.

    And what is told of the latter.
    """
    G, V = fitted.covariance.coordinates(found.gradients)
    estimated, kind = G @ V @ G.T, fitted.covariance.kind
    if found.effects is None:
        return estimated + found.sampling, f"{INCLUDED}{INDEPENDENT}."
    assert isinstance(rows, Scenario)
    if own is None or kind is None:
        remedy = "attach(data) gives the rows of the fit" + ("" if kind else ", with_cov() names the columns")
        raise NeedsData(
            f"target='population' under {fitted.covariance.label} needs what a file does not hold: {remedy}; "
            f"or use target='sample'."
        )
    every = replace(own, counted=None).sampling
    every = replace(every, weights=rows.weights, weight_type=rows.spec.weight_type)
    same = _are_same(rows, own.scenario())
    if not (same or isinstance(kind, str)):
        raise WithheldError(
            "target='population' under clusters or HAC is for the rows of the fit, as other rows may share "
            "clusters or periods with these; leave data= out, or use target='sample'."
        )
    averaging = averaging_rows(found.effects, found.values, kind, every)
    estimation = None
    if same:
        estimation = np.zeros(averaging.shape)
        counted = slice(None) if own.counted is None else own.counted
        estimation[counted] = estimation_rows(own.equation, found.gradients, kind, own.sampling)
    V = influence_covariance(
        found.values, averaging, estimation, kind, every, modelled=None if same else estimated
    )
    shared = SHARED if same else ", of rows drawn apart from the fit's"
    return V, f"{INCLUDED}{shared}."


def _are_same(rows: Scenario, own: Scenario) -> bool:
    """Whether rows hold the variables, weights and offset of the rows of the fit, in their order."""

    def arrays(s: Scenario) -> list[Any]:
        return [*(s.values(name) for name in s.spec.variables), s.weights, s.offset]

    pairs = zip(arrays(rows), arrays(own), strict=True)
    return rows.size == own.size and all(a is b or np.array_equal(a, b) for a, b in pairs)


def _check_choices(fitted: FittedIndex, at: Any, kind: str, target: str) -> None:
    """Refuse unknown choices, and those that have no meaning for this fit."""
    check_choice(kind, "kind", KINDS)
    check_place(at, target)
    if fitted.infinite is not None and at == "mean":
        raise WithheldError("This fit is separated: the average row has no probability; use at='overall'.")


def _identified(
    infinite: Infinite | None, rows: AnyRows, asked: list[Asked], *, explicit: bool
) -> tuple[list[Asked], list[str]]:
    """Variables that separation does not touch: none of their columns runs to infinity."""
    if infinite is None:
        return asked, []
    masked = infinite.masked()
    touched = [a.variable for a in asked if masked[_columns(rows, a)].any()]
    left = [a for a in asked if a.variable not in touched]
    if not touched:
        return left, []
    if explicit or not left:
        terms = [n for n, m in zip(rows.spec.names, masked, strict=True) if m]
        raise WithheldError(
            f"No marginal effect of {first_of(touched)}: this fit is separated, and {first_of(terms)} "
            f"has no finite value."
        )
    return left, [f"Left out for separation: {', '.join(touched)}."]


def _columns(rows: AnyRows, a: Asked) -> Any:
    """Columns of the design that a margin moves."""
    return rows.part(0, 1, {}).derivative(a.variable)[0] if a.values is None else _moved(rows, a)


def _moved(rows: AnyRows, a: Asked) -> Mask:
    """Columns that differ between the values of a contrast in any of the rows."""
    moved = np.zeros(len(rows.spec.names), dtype=bool)
    for start in range(0, rows.size, 65536):
        stop = min(start + 65536, rows.size)
        base = rows.part(start, stop, {a.variable: (a.values or ())[0]}).X
        for value in (a.values or ())[1:]:
            moved |= np.any(base != rows.part(start, stop, {a.variable: value}).X, axis=0)
    return moved


def _notes(
    fitted: FittedIndex, rows: AnyRows, drawn: list[str], skipped: list[str], at: Any
) -> tuple[str, ...]:
    spec = rows.spec
    notes = [f"Effects on P({success_of(spec)}), delta-method standard errors. {fitted.covariance.note}"]
    if isinstance(at, str) and at == "mean":
        notes.append("Numbers at their means go through the formula; factors enter with their shares.")
    notes += [*averaged_with(rows), *drawn]
    if fitted.infinite is not None:
        notes.append("Rows whose probability is 0 or 1 after separation count with effect zero.")
    return (*notes, *skipped)


def margins_as_statsmodels(
    fitted: FittedIndex,
    rows: AnyRows,
    at: Any,
    method: str,
    dummy: bool,
    level: float,
    unknown: Mapping[str, Any],
) -> MarginsResults:
    """statsmodels' ``get_margeff``.

    0–1 columns get derivatives unless ``dummy``, everything else as `margins`.

    Parameters
    ----------
    fitted : FittedIndex.
    rows : Scenario, rows to average over.
    at : "overall" or "mean".
    method : "dydx", "eyex", "dyex" or "eydx".
    dummy : bool, contrasts for 0–1 columns.
    level : float.
    unknown : options of statsmodels that have no meaning here; any of them is an error.

    Returns
    -------
    MarginsResults

    Raises
    ------
    OptionError
        With the line to write instead.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> rows = res.rows.scenario()
    >>> found = margins_as_statsmodels(res.fitted_index, rows, "overall", "dydx", False, 0.95, {})
    >>> found.params.round(3).to_dict()
    {'GPA': 0.399, 'PSI': 0.304}
    """
    if unknown:
        line = "res.margins(at={'age': 40})" if "atexog" in unknown else "res.margins({'kids': (0, 1)})"
        raise OptionError(f"get_margeff does not take {list_names(unknown)}; write {line}.")
    if at not in ("overall", "mean"):
        raise OptionError(
            f"get_margeff(at={at!r}): fix values by name instead, as in res.margins(at={{'age': 40}})."
        )
    if dummy:
        return margins(fitted, rows, None, at=at, kind=method, level=level)
    chosen: dict[str, Any] = {}
    for name in rows.spec.variables:
        try:
            chosen[name] = "derivative" if rows.levels(rows.check_variable(name)) is None else None
        except (OptionError, MissingColumnError):
            continue
    return margins(fitted, rows, chosen, at=at, kind=method, level=level)
