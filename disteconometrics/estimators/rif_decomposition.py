"""Differences of a functional between two groups, split by RIF regressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask, or_ones
from disteconometrics.blocks import Block, columns
from disteconometrics.errors import DataError, OptionError, SmallSampleWarning, warn_user
from disteconometrics.estimators.rif import RIFRegression, regress_recentred, told_heap
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.covariance import CovarianceKind, resolve_kind
from disteconometrics.inference.estimates import Estimated, Estimates, check_level
from disteconometrics.inference.influence import rows_covariance
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim.newton import maximise
from disteconometrics.pictures import Pictured
from disteconometrics.report.summary import estimates_section
from disteconometrics.tables import Summary, number, printable
from disteconometrics.words import tells_words

__all__ = ["RIFDecomposition", "rif_decompose"]

WITHHELD = (
    "Parts of the structure by term are withheld for factors, what they interact with, and the constant: "
    "they depend on which category is left out; normalised=True takes them from the mean of all categories. "
    "Those of numbers depend on where their zero is."
)
NORMALISED = (
    "Structure by term: coefficients of categories are taken from their plain mean over the categories of a "
    "factor, which goes to the constant (Yun 2005); parts of numbers depend on where their zero is."
)
OF_NUMBERS = (
    "Parts of the structure by term, and of the constant, depend on where the zeros of the columns are."
)

REWEIGHTED = (
    "Reweighted: the specification error is of a regression that is not linear, the reweighting error of a "
    "logit that misses the means. The reference's rows have the odds of that logit as weights."
)
# Rows of equal weight that reweighted ones tell as much as, below which errors are withheld, and below which
# they are told to be small: limits of the composition covered .59 to .83 with 7 to 30, .80 to .93 with 30 to
# 120 (.83 to .87 where weights are heavy, .93 with milder shifts; .865 in a design with 120), .91 to .95
# above; those of the specification and reweighting errors .88 in a bent design with 198; those of the
# structure .91 to .95 in all (300 samples of 400 to 1,600).
FEW, SOME, UNLIKE = 30, 150, 0.7  # told of groups that lose three in ten rows
EXACT = 1e-9  # what leverage leaves a row that is fitted exactly
STEP = 1e-4  # of a coefficient of the logit, in which parts are differentiated


@dataclass(frozen=True, eq=False, kw_only=True)
class RIFDecomposition(Pictured, Estimated):
    """A difference between two groups, what covariates make of it, and what coefficients make of it.

    ``estimates`` holds ``total`` = ``composition`` + ``structure``, then both by term; the functional by
    group is in ``values``, the means of RIF less it in ``residuals``.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["rich"] = engel["income"] > 900
    >>> model = de.RIFRegression("foodexp ~ income", functional="gini")
    >>> found = de.rif_decompose(model, engel, by="rich", reference=True)
    >>> found.groups, found.sizes, found.params.index[:3].tolist()
    (('False', 'True'), (125, 110), ['total', 'composition', 'structure'])
    """

    found: Estimates
    model: RIFRegression
    by: str
    groups: tuple[str, str]
    sizes: tuple[int, int]
    values: tuple[float, float]
    residuals: tuple[float, float]
    label: str
    notes: tuple[str, ...]

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    @property
    def estimates(self) -> Estimates:
        """Total, composition and structure, then both by term."""
        return self.found

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, (other, reference) = check_level(level), self.groups
        left = (
            ("Functional", self.model.functional),
            ("Formula", self.model.formula),
            ("Covariance", self.label),
        )
        right = tuple(
            (f"{self.by} = {g} ({n} rows)", number(v))
            for g, n, v in zip(self.groups, self.sizes, self.values, strict=True)
        )
        gaps = ", ".join(f"{number(r)} ({g})" for g, r in zip(self.groups, self.residuals, strict=True))
        notes = (
            f"{other} less {reference}; composition is valued at the coefficients of {reference}.",
            f"Mean of RIF less the functional: {gaps}; the total is of these means.",
            *self.notes,
        )
        return Summary("RIF Decomposition", (left, right), (estimates_section(self.estimates, level),), notes)

    def __repr__(self) -> str:
        return printable(f"<RIF decomposition: {self.model.functional}, {' less '.join(self.groups)}>")


class _Part(NamedTuple):
    """A group: means of the columns (k,), coefficients (k,), influence rows of both (n, k), zero outside."""

    means: Array
    coefficients: Array
    of_means: Array
    of_coefficients: Array
    value: float
    residual: float
    bandwidth: float


@tells_words
def rif_decompose(
    model: RIFRegression,
    data: Any,
    *,
    by: str,
    reference: Any = None,
    cov: CovarianceKind | None = None,
    normalised: bool = False,
    reweighted: bool = False,
) -> RIFDecomposition:
    """Split the difference of a functional between two groups (Oaxaca, Blinder; Firpo, Fortin, Lemieux).

    Composition is the difference of the covariates' means at the coefficients of the reference group,
    structure the difference of coefficients at the means of the other; for the mean it is the decomposition
    of Oaxaca and Blinder.  Errors are those of means and of coefficients, with the estimation of the
    influence function.  Parts by term do not depend on an order of the terms; sequential detail is not here.

    Parameters
    ----------
    model : RIFRegression, whose functional is taken in each group.
    data : pandas or polars DataFrame, or dict of arrays of one length.
    by : str, a column of two values.
    reference : the value of ``by`` whose coefficients value the composition, or None for the first.
    cov : {"HC0", "HC1"}, Cluster, Survey or None
        None is HC1, by group.
    normalised : bool
        Whether parts of the structure by factor are taken from the mean of its categories' coefficients, so
        that they do not depend on which category is left out; else they are withheld.  It is for factors by
        themselves beside a constant: what interacts stays withheld.
    reweighted : bool
        Whether the reference's rows are weighted to the covariates of the other group, by the odds of a logit
        of the group on the same columns (DiNardo, Fortin, Lemieux), so that composition and structure do not
        rest on the regressions being right far from where they were fitted: what that leaves is told as
        ``specification error`` and ``reweighting error``.  Errors include those of the logit; under HC1 rows
        that are weighted are over one less their leverage.  Where they tell as much as fewer than 30 rows of
        equal weight, errors of all parts but the total are withheld; with 30 to 120, 95 % limits of the
        composition covered .80 to .93, the lower the heavier the weights, which is told up to 150.  In a
        bent design those of the specification and reweighting errors covered .88 with 198.

    Returns
    -------
    RIFDecomposition

    Raises
    ------
    DataError, FormulaError, MissingColumnError, OptionError, OutcomeError, CollinearityError

    Warns
    -----
    FewClustersWarning, LonelyUnitWarning, MissingValuesWarning
    SmallSampleWarning
        If few of the reweighted rows are like those of the other group.

    References
    ----------
    DiNardo, Fortin, Lemieux (1996), Labor market institutions and the distribution of wages, 1973-1992,
    Econometrica 64, doi:10.2307/2171954.
    Firpo, Fortin, Lemieux (2018), Decomposing wage distributions using recentered influence function
    regressions, Econometrics 6(2), doi:10.3390/econometrics6020028.
    Gardeazabal, Ugidos (2004), More on identification in detailed wage decompositions, Review of Economics
    and Statistics 86, doi:10.1162/0034653043125239.
    Yun (2005), A simple solution to the identification problem in detailed wage decompositions, Economic
    Inquiry 43, doi:10.1093/ei/cbi053.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["rich"] = engel["income"] > 900
    >>> found = de.rif_decompose(de.RIFRegression("foodexp ~ income", functional="mean"), engel, by="rich")
    >>> found.params.round(1).head(3).to_dict()
    {'total': 372.9, 'composition': 449.5, 'structure': -76.5}
    """
    if not isinstance(model, RIFRegression):
        raise OptionError(f"model is a RIFRegression, not {type(model).__name__}.")
    kind = _kind(cov, model)
    read = FitRows.read(model, data, outcome="numeric")
    inside, labels = _two(read, by, reference)
    parts = [_part(model, read, mine, kind, f"{by} = {g}") for mine, g in zip(inside, labels, strict=True)]
    names, terms, factor = _terms(read, normalised)
    shift = _normalising(read, names, terms) if normalised else np.zeros(terms.shape)
    sums, alike = ["total", "composition", "structure"], None
    if reweighted:
        between, alike = _reweighted(model, read, inside, kind, parts[1], f"{by} = {labels[1]}, reweighted")
        sums += ["specification error", "reweighting error"]
        values, rows = _in_four(parts[0], between, parts[1], terms, shift)
    else:
        values, rows = _split(parts[0], parts[1], terms, shift)
    lost = np.concatenate([np.zeros(len(sums) + len(names), dtype=bool), factor])
    every = [*sums, *(f"composition: {n}" for n in names), *(f"structure: {n}" for n in names)]
    kept = np.array([name != "composition: Intercept" for name in every])  # which is zero
    values, rows, lost = values[kept], rows[:, kept], lost[kept]
    few = alike is not None and alike < FEW
    rows = np.where(lost | (few & (np.arange(len(lost)) > 0)), np.nan, rows)  # of the total they are known
    w = or_ones(read.weights, read.size)
    V = rows_covariance(values, rows, kind, read.sampling, shares=w / w.sum())
    by_kind = kind if isinstance(kind, str) else V.label
    df = read.observations - 2 * len(read.names) if isinstance(kind, str) else V.degrees_of_freedom
    estimates = Estimates(
        tuple(np.array(every)[kept].tolist()),
        np.where(lost, np.nan, values),
        V.matrix,
        df,
        clusters=V.clusters,
    )
    return RIFDecomposition(
        found=estimates,
        model=model,
        by=by,
        groups=labels,
        sizes=(int(inside[0].sum()), int(inside[1].sum())),
        values=(parts[0].value, parts[1].value),
        residuals=(parts[0].residual, parts[1].residual),
        label=by_kind,
        notes=_notes(bool(shift.any()), bool(factor.any()), alike),
    )


def _notes(shifted: bool, withheld: bool, alike: float | None) -> tuple[str, ...]:
    """What is said of parts by term, and of reweighting to rows that tell as much as ``alike`` equal ones."""
    notes = [*([NORMALISED] if shifted else []), *([WITHHELD] if withheld else [])] or [OF_NUMBERS]
    if alike is None:
        return tuple(notes)
    lost = "; errors are withheld below 30" if alike < FEW else ""
    return (*notes, f"{REWEIGHTED} They tell as much as {alike:.0f} rows{lost}.")


def _kind(cov: CovarianceKind | None, model: RIFRegression) -> CovarianceKind:
    if model.weight_type == "frequency":
        raise OptionError("rif_decompose is of rows: write out what frequency weights count.")
    kind = resolve_kind("HC1" if cov is None else cov, model.weight_type, surveys=True)
    if kind not in ("HC0", "HC1") and (
        isinstance(kind, str) or getattr(kind, "correction", "") == "jackknife"
    ):
        raise OptionError(f"cov={cov!r}: use 'HC0', 'HC1', de.Cluster('column') or de.Survey(…).")
    return kind


def _two(read: FitRows, by: str, reference: Any) -> tuple[tuple[Mask, Mask], tuple[str, str]]:
    """Rows of the other group and of the reference, and their labels."""
    column = pd.Categorical(read.column(by, "group")).remove_unused_categories()
    found = list(column.categories)
    if len(found) != 2:
        raise DataError(f"by={by!r} has {len(found)} values among the rows used; a difference is of two.")
    first = found[0] if reference is None else reference
    if first not in found:
        raise OptionError(f"reference={reference!r} is none of {found[0]!r} and {found[1]!r}.")
    at = found.index(first)
    masks = tuple(np.asarray(column.codes == c) for c in (1 - at, at))
    return (masks[0], masks[1]), (str(found[1 - at]), str(found[at]))


def _owners(read: FitRows) -> list[str]:
    """The term of every column."""
    return [re.sub(r"\[[^\]]*\]", "", name) for name in read.names]


def _terms(read: FitRows, normalised: bool) -> tuple[list[str], Array, Mask]:
    """Names of terms, the columns in each (terms, k), and which parts of the structure are withheld."""
    owner = _owners(read)
    names = list(dict.fromkeys(owner))
    member = np.array([[o == n for o in owner] for n in names], dtype=np.float64)
    # brackets hold a level, or the number of a column, as of a spline
    levels = {o for o, n in zip(owner, read.names, strict=True) if re.search(r"\[[^\]\d]", n)}
    if normalised:
        levels -= _alone(read)
    beside = {part for o in levels for part in o.split(":")}  # slopes at the level that is left out
    lost = np.array([n in levels | beside or (n == "Intercept" and bool(levels)) for n in names])
    return names, member, lost


def _alone(read: FitRows) -> set[str]:
    """Factors beside a constant, a category left out, that interact with nothing."""
    owner = _owners(read)
    crossed = {part for o in owner if ":" in o for part in o.split(":")}
    factors = {o for o, n in zip(owner, read.names, strict=True) if ":" not in o and "[T." in n}
    return factors - crossed if "Intercept" in owner else set()


def _normalising(read: FitRows, names: list[str], terms: Array) -> Array:
    """What slopes (k,) add to the parts by term (terms, k): the mean over categories goes to the constant."""
    shift = np.zeros(terms.shape)
    for name in _alone(read):
        i = names.index(name)
        mean = terms[i] / (terms[i].sum() + 1)  # the coefficient of the category left out is zero
        shift[i] -= mean
        shift[names.index("Intercept")] += mean
    return shift


def _part(
    model: RIFRegression, read: FitRows, mine: Mask, kind: CovarianceKind, where: str, *, told: bool = True
) -> _Part:
    """The regression of one group, and influence rows of its means and coefficients."""
    X, k = columns(read.matrix)[mine], len(read.names)
    if len(X) <= k:
        raise DataError(f"{where} has {len(X)} rows for {k} columns; take fewer columns or larger groups.")
    w = None if read.weights is None else read.weights[mine]
    found, fit, bandwidth = regress_recentred(model, read, mine, f" in {where}")
    p = np.full(len(X), 1 / len(X)) if w is None else w / w.sum()
    if told:
        told_heap(model.functional, f"{read.spec.outcome.name} in {where}", found, read.y[mine], p)
    means = p @ X
    M = p[:, None] * np.linalg.solve((X * p[:, None]).T @ X, X.T).T
    of_coefficients = M * fit.residuals[:, None] + found.added(M) * p[:, None]
    of_means = p[:, None] * (X - means)
    n = len(X)
    if kind == "HC1" and told:
        of_coefficients, of_means = of_coefficients * np.sqrt(n / (n - k)), of_means * np.sqrt(n / (n - 1))
    elif kind == "HC1":
        of_coefficients, of_means = of_coefficients * _alone_in(M, X), of_means * _alone_in(M, X)
    rows = np.zeros((2, read.size, k))
    rows[0, mine], rows[1, mine] = of_means, of_coefficients
    return _Part(means, fit.params, rows[0], rows[1], found.value, found.residual, bandwidth)


def _alone_in(M: Array, X: Array) -> Array:
    """1/(1 − leverage) (n, 1) of rows, 1 where a row is fitted exactly."""
    left = 1 - (M * X).sum(axis=1, keepdims=True)
    return np.asarray(1 / np.where(left > EXACT, left, 1.0))


def _split(one: _Part, zero: _Part, terms: Array, shift: Array) -> tuple[Array, Array]:
    """Total, composition, structure, then both by term: values (q,) and influence rows (n, q).

    ``shift`` (terms, k) of the differences of coefficients is added to the structure by term.
    """
    gap, slopes = one.means - zero.means, one.coefficients - zero.coefficients
    composition = (one.of_means - zero.of_means) * zero.coefficients + zero.of_coefficients * gap
    structure = one.of_means * slopes + (one.of_coefficients - zero.of_coefficients) * one.means
    values, rows = [], []
    for by_column, influence in (
        (gap * zero.coefficients, composition),
        (one.means * slopes, structure),
    ):
        values.append(terms @ by_column)
        rows.append(influence @ terms.T)
    sums = [v.sum() for v in values]
    of_sums = np.stack([r.sum(axis=1) for r in rows], axis=1)
    values[1] = values[1] + shift @ slopes
    rows[1] = rows[1] + (one.of_coefficients - zero.of_coefficients) @ shift.T
    return (
        np.concatenate([[sum(sums), *sums], *values]),
        np.column_stack([of_sums.sum(axis=1), of_sums, *rows]),
    )


def _in_four(one: _Part, between: _Part, zero: _Part, terms: Array, shift: Array) -> tuple[Array, Array]:
    """Total, composition, structure, both errors, then composition and structure by term; see `_split`."""
    t = len(terms)
    (a, of_a), (b, of_b) = _split(between, zero, terms, shift), _split(one, between, terms, shift)
    values = np.concatenate([[a[0] + b[0], a[1], b[2], a[2], b[1]], a[3 : 3 + t], b[3 + t :]])
    sums = [of_a[:, 0] + of_b[:, 0], of_a[:, 1], of_b[:, 2], of_a[:, 2], of_b[:, 1]]
    return values, np.column_stack([*sums, of_a[:, 3 : 3 + t], of_b[:, 3 + t :]])


def _reweighted(
    model: RIFRegression,
    read: FitRows,
    inside: tuple[Mask, Mask],
    kind: CovarianceKind,
    zero: _Part,
    where: str,
) -> tuple[_Part, float]:
    """The reference weighted to the covariates of the other group, with influence of the logit's rows.

    Besides, how many rows of equal weight tell as much as these.
    """
    X, other = columns(read.matrix), inside[0].astype(np.float64)
    w = np.ones(read.size) if read.weights is None else read.weights / read.weights.mean()
    logit = maximise(IndexModel(LOGISTIC, [Block(other, X, w)]), maxiter=100)
    if logit.separation is not None:
        raise DataError(
            f"{where}: a covariate tells the groups apart in some rows, which have no rows like them in the "
            "reference: compare rows of common support, or take reweighted=False."
        )
    model = replace(model, bandwidth=zero.bandwidth)

    def at(gamma: Array) -> _Part:
        eta = X @ gamma
        design = replace(read.design, weights=w * np.exp(eta - eta[inside[1]].max()))
        return _part(model, FitRows(design), inside[1], kind, where, told=False)

    p = LOGISTIC.probability(X @ logit.params)
    H = (X * (w * p * (1 - p))[:, None]).T @ X
    of_logit = np.linalg.solve(H, (X * (w * (other - p))[:, None]).T).T
    found, moves = at(logit.params), np.diag(STEP / np.abs(X).max(axis=0))
    ends = [(at(logit.params + m), at(logit.params - m), 2 * m.max()) for m in moves]
    of_means = found.of_means + of_logit @ np.array([(a.means - b.means) / d for a, b, d in ends])
    slopes = np.array([(a.coefficients - b.coefficients) / d for a, b, d in ends])
    eta = (X @ logit.params)[inside[1]]
    odds = w[inside[1]] * np.exp(eta - eta.max())
    alike = float(odds.sum() ** 2 / (odds @ odds))
    if alike < FEW or (alike < SOME and alike < UNLIKE * len(odds)):
        what = "errors of all parts are withheld"
        if alike >= FEW:
            what = "limits of the composition and of the reweighting error cover .80 to .93 in place of .95"
        text = (
            f"{where}: its rows tell as much as {alike:.0f} of equal weight, so few are like the other group"
        )
        warn_user(SmallSampleWarning(f"{text}; {what}. Compare rows of common support."))
    moved = found._replace(of_means=of_means, of_coefficients=found.of_coefficients + of_logit @ slopes)
    return moved, alike
