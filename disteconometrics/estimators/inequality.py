"""Inequality and poverty of an outcome, whole or by group, with errors from influence functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, as_floats, or_ones
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import Line, evaluate, listed, parse
from disteconometrics.errors import (
    DataError,
    DiscreteOutcomeWarning,
    FewClustersWarning,
    FormulaError,
    HeavyTailWarning,
    OptionError,
    OutcomeError,
    SmallSampleWarning,
    warn_user,
)
from disteconometrics.estimators.refit import refitting_rows
from disteconometrics.estimators.results import (
    CovarianceHeader,
    FitFacts,
    FittedResult,
    SavedResult,
    TakesCovariance,
)
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.fields import Count, Numbers
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Cluster,
    Covariance,
    CovarianceKind,
    known_kind,
    resolve_kind,
)
from disteconometrics.inference.estimates import Estimates, check_level, critical_value
from disteconometrics.inference.influence import rows_covariance
from disteconometrics.inference.influence_functions import check_outcomes, equal_rows, influence_function
from disteconometrics.inference.law_bands import critical_of_band
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.survey import Survey, Units, effective_degrees
from disteconometrics.inference.two_samples import tail_index
from disteconometrics.report.exchange import OtherPackagesNames
from disteconometrics.report.summary import estimates_section, observations_text, rows_dropped, weights_notes
from disteconometrics.tables import Summary, number

__all__ = ["Inequality", "InequalityResults"]

DEFAULT = ("mean", "gini", "theil", "p90p10", "lorenz[0.5]", "top_share[0.1]")
# Scales that one axis does not hold beside shares and indices: units of the outcome, and ratios of quantiles.
SCALES = (("mean", "var", "std", "median", "iqr", "q"), ("p90p10", "p90p50", "p50p10", "ratio"))
MOST_GROUPS = 24
FEW = 30  # rows of a group below which errors are rough: of 30 lognormal incomes a Gini's limits cover .88
# Of the largest rows: a share of the variance that is too much for five, and functionals that a right tail
# decides, whose influence grows with the outcome
FIVE, ENOUGH = 2 / 3, 500  # … and rows from which that is told, of which five are one in a hundred
OF_TAIL = ("mean", "var", "std", "gini", "theil", "ge", "atkinson", "lorenz", "top_share")
ROUNDING = 1e-20  # of the squares of rows: a variance below is what is left of sums that are zero
LEVELS = np.round(np.linspace(0.01, 0.99, 99), 2)  # of a Lorenz curve


@dataclass(frozen=True, kw_only=True)
class Inequality(Specification):
    """Measures of inequality and poverty of an outcome, whole or by group, with standard errors.

    Errors are those of influence functions: independent rows, clusters, lags or a survey's design, with
    sampling weights; those of a poverty line that is estimated, as in ``poverty[0.6*median]``, are included,
    of one that is a number there are none.  A line that is estimated is of each group's own law, which the
    summary prints; a line for all groups is a number.  Quantiles and lines rest on a density that is
    estimated from neighbouring quantiles; at heaps errors are withheld.  Under a survey's strata limits take
    t with the degrees of freedom that are effective in them, V²/Σ V_h²/(n_h − 1), of every measure its own.

    Parameters
    ----------
    formula : str
        ``"wage ~ 1"``, or ``"wage ~ union"`` with one or several columns of groups.
    functionals : sequence of str
        Names such as ``"gini"``, ``"theil"``, ``"mld"``, ``"ge[2]"``, ``"atkinson[1]"``,
        ``"top_share[0.1]"``, ``"lorenz[0.5]"``, ``"q[0.9]"``, ``"p90p10"``, ``"ratio[0.8,0.2]"``,
        ``"poverty[5]"``, ``"poverty_gap[0.6*median]"``, ``"fgt[2, 0.5*mean]"``.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Cowell, Flachaire (2015), Statistical methods for distributional analysis, Handbook of Income Distribution
    2A, doi:10.1016/B978-0-444-59428-0.00007-2.  Satterthwaite (1946), An approximate distribution of
    estimates of variance components, Biometrics Bulletin 2, doi:10.2307/3002019.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Inequality("foodexp ~ 1", functionals=["gini", "theil"]).fit(de.datasets.engel())
    >>> res.tidy()[["term", "estimate", "std_error"]].round(4)
        term  estimate  std_error
    0   gini    0.2279     0.0120
    1  theil    0.0861     0.0097
    """

    functionals: Sequence[str] = DEFAULT
    weights: str | None = None
    weight_type: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the names; they are kept as a tuple.

        Raises
        ------
        OptionError
        """
        check_columns(weights=self.weights, weight_type=self.weight_type)
        names = listed(self.functionals)
        if not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            raise OptionError(
                f"functionals={self.functionals!r:.80}: give names, each once, such as ['gini', 'p90p10']; a "
                "function of a law has no influence function."
            )
        for name in names:
            parse(name)
            influence_function(Empirical(np.array([1.0, 2.0])), np.ones(1), name, 2.0)
        return {"functionals": tuple(names)}

    def fit(self, data: Any, *, cov: CovarianceKind | None = None) -> InequalityResults:
        """Compute the measures of a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"HC0", "HC1"}, Cluster, HAC, Survey or None
            Covariance of the estimates: independent rows as they are (what `sample_functionals` gives), times
            n/(n − 1) in each group (None is this), clusters, lags, or a survey's design.

        Returns
        -------
        InequalityResults

        Raises
        ------
        DataError, FormulaError, MissingColumnError, OptionError, OutcomeError

        Warns
        -----
        HeavyTailWarning, DiscreteOutcomeWarning, SmallSampleWarning, FewClustersWarning, LonelyUnitWarning,
        MissingValuesWarning
        """
        kind = _kind(cov, self.weight_type)
        read = FitRows.read(self, data, outcome="numeric")
        groups = _groups(read)
        measured = _measured(read, groups, self.functionals)
        rows = InequalityRows(read.design, groups=groups, measured=measured)
        V = rows.covariance(kind)
        facts = InequalityFacts(
            **read.facts(),
            observations=read.observations,
            groups=groups.words,
            sizes=tuple(int(n) for n in np.bincount(groups.codes, minlength=len(groups.words))),
            notes=(*_told(read, groups, measured, self.functionals), *_lines(read, groups, self.functionals)),
        )
        return InequalityResults(
            model=self,
            spec=read.spec,
            facts=facts,
            rows=rows,
            values=measured.values,
            covariance=V,
            degrees=rows.degrees(kind),
        )


def _kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    kind = resolve_kind("HC1" if cov is None else cov, weight_type, surveys=True)
    if isinstance(kind, str) and kind not in ("HC0", "HC1"):
        raise OptionError(
            f"cov={cov!r}: errors rest on influence functions; use 'HC0', 'HC1', de.Cluster('column'), "
            "de.HAC('column') or de.Survey(…)."
        )
    return kind


# ---- groups ------------------------------------------------------------------------------------------------


class Groups(NamedTuple):
    """Groups of rows: what goes into names ("" for all), and codes (n,)."""

    words: tuple[str, ...]
    codes: Indices


def _groups(rows: FitRows) -> Groups:
    """The groups on the right side, in the order of their values.

    Raises
    ------
    DataError, FormulaError
    """
    names = _group_columns(rows.spec)
    if not names:
        return Groups(("",), np.zeros(rows.size, dtype=np.intp))
    codes, words = np.zeros(rows.size, dtype=np.intp), [""]
    for name in names:
        levels = pd.Categorical(rows.column(name, "group"))
        codes = codes * len(levels.categories) + levels.codes
        words = [f"{w}{', ' if w else ''}{name} = {_label(v)}" for w in words for v in levels.categories]
    there, codes = np.unique(codes, return_inverse=True)
    counts = np.bincount(codes)
    if len(there) > MOST_GROUPS:
        raise DataError(
            f"{', '.join(names)}: {len(there)} groups; name columns of at most {MOST_GROUPS}, or "
            "cut a number."
        )
    if counts.min() < 2:
        raise DataError(f"Group {words[there[counts.argmin()]]} has 1 row; its law needs at least two.")
    return Groups(tuple(words[i] for i in there), codes.reshape(-1).astype(np.intp))


def _group_columns(spec: DesignSpec) -> list[str]:
    """The columns on the right side, each by itself or in C()."""
    names = []
    for factor in spec.parsed.factors:
        node = factor.node
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "C" and len(node.args) == 1:
            node = node.args[0]
        if isinstance(node, ast.Name):
            names.append(node.id)
    plain = all(len(places) <= 1 for _, places in spec.parsed.terms)
    if not plain or len(names) < len(spec.parsed.factors):
        raise FormulaError(
            f"{spec.formula!r}: the right side holds columns of groups, as in 'wage ~ union + region', or 1."
        )
    return list(spec.parsed.right_variables)


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


# ---- measures ----------------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """Values (q·G,), functionals outermost, and their influence functions (n, q), each row in its group."""

    values: Array
    influence: Array


def _measured(rows: FitRows, groups: Groups, names: Sequence[str]) -> Measured:
    """Values and influence functions of every group.

    Raises
    ------
    OptionError, OutcomeError
    """
    values = np.empty((len(names), len(groups.words)))
    influence = np.empty((rows.size, len(names)))
    for g, words in enumerate(groups.words):
        mine = groups.codes == g
        y, w = rows.y[mine], None if rows.weights is None else rows.weights[mine]
        check_outcomes(y, rows.index[mine], rows.spec.outcome.name, names, _in(words))
        law = Empirical(y, w).named(rows.spec.outcome.name)
        n = float(len(y)) if w is None else equal_rows(w, rows.frequency)
        for j, name in enumerate(names):
            with np.errstate(all="ignore"):
                values[j, g] = evaluate(law, name)
            if not np.isfinite(values[j, g]):
                raise OutcomeError(
                    f"{name!r} has no finite value for {rows.spec.outcome.name!r}{_in(words)}: what it "
                    "divides by, a mean, a quantile or a line, is not positive. Leave it out."
                )
            influence[mine, j] = influence_function(law, y, name, n)
    return Measured(values.ravel(), influence)


def _in(words: str) -> str:
    return f" in {words}" if words else ""


def _told(rows: FitRows, groups: Groups, measured: Measured, names: Sequence[str]) -> tuple[str, ...]:
    """What is warned of, and stands below the table too: heavy tails, heaps, few rows."""
    outcome, notes = rows.spec.outcome.name, []
    for g, words in enumerate(groups.words):
        mine = groups.codes == g
        w = None if rows.weights is None else rows.weights[mine]
        psi, y = measured.influence[mine], rows.y[mine]
        lost = [n for n, bad in zip(names, np.isnan(psi).any(axis=0), strict=True) if bad]
        if lost:
            text = (
                f"{outcome}{_in(words)}: values are so heaped, or so few, about {', '.join(lost)} that there "
                "is no density to take an error from; it is withheld."
            )
            warn_user(DiscreteOutcomeWarning(text, column=outcome, hint="use de.bootstrap"))
            notes.append(text)
        n = len(y) if w is None else equal_rows(w, rows.frequency)
        if n < FEW:
            text = (
                f"{outcome}{_in(words)}: {n:.0f} rows of equal weight are few for errors of these measures."
            )
            warn_user(SmallSampleWarning(text, column=outcome, hint="use de.bootstrap, or larger groups"))
            notes.append(text)
        if text := _heavy(y, w, psi, names, rows.frequency):
            text = f"{outcome}{_in(words)}: {text}"
            warn_user(HeavyTailWarning(text, column=outcome, hint="prefer quantiles, mld or poverty"))
            notes.append(text)
    return tuple(notes)


def _lines(rows: FitRows, groups: Groups, names: Sequence[str]) -> list[str]:
    """The poverty lines that are estimated, in every group."""
    lines = dict.fromkeys(a for n in names for a in parse(n)[1] if isinstance(a, Line) and a.of)
    laws = [
        Empirical(rows.y[mine], None if rows.weights is None else rows.weights[mine])
        for mine in (groups.codes == g for g in range(len(groups.words)))
    ]
    notes = []
    for line in lines:
        at = [f"{number(float(line.at(law)))}{_in(w)}" for law, w in zip(laws, groups.words, strict=True)]
        own = ", each group's own" if len(at) > 1 else ""
        notes.append(
            f"Poverty line {line.share:g}*{line.of}{own}: {'; '.join(at)}. Errors of poverty include its own."
        )
    return notes


def _heavy(y: Array, w: Array | None, psi: Array, names: Sequence[str], frequency: bool) -> str:
    """What is said of a tail, or of few rows, that make normal limits doubtful; nothing where none do."""
    scale = np.ones(len(y)) if w is None else (np.sqrt(w) if frequency else w)
    squares = np.nan_to_num(np.square(psi * scale[:, None]))
    five = np.sort(squares, axis=0)[-5:].sum(axis=0) / np.maximum(squares.sum(axis=0), 1e-300)
    shares, tail = dict(zip(names, five.tolist(), strict=True)), tail_index(y)
    of_tail = [n for n in names if parse(n)[0] in OF_TAIL]
    if tail is not None and tail.heavy and of_tail:
        return (
            f"the upper tail is so heavy (index {tail.hill:.1f} from the largest {tail.rows} rows; five rows "
            f"carry {shares[of_tail[0]]:.0%} of the variance of {of_tail[0]}) that errors of "
            f"{', '.join(of_tail)} tend to be too small; prefer quantiles, mld or poverty, or say so."
        )
    few = {n: share for n, share in shares.items() if share > FIVE}
    if len(y) < ENOUGH or not few:
        return ""
    told = ", ".join(f"{share:.0%} of that of {n}" for n, share in few.items())
    return f"five rows carry most of the variance ({told}), so that errors rest on them; look at these rows."


@dataclass(frozen=True, eq=False, kw_only=True)
class InequalityRows(FitRows):
    """The rows behind a result with their groups, and what was measured on them."""

    groups: Groups
    measured: Measured

    @property
    def ones(self) -> Array:
        """Weights (n,), ones where there are none."""
        return or_ones(self.weights, self.size)

    def mass(self, group: Indices) -> Array:
        """Shares (n,) of the rows in their groups (n,)."""
        return np.asarray(self.ones / np.bincount(group, self.ones)[group])

    def covariance(self, kind: CovarianceKind) -> Covariance:
        """The covariance of all measures of all groups; of a group in a single cluster there is none."""
        psi, words = self._influence, self.groups.words
        found = self.covariance_of(self.measured.values, psi, kind, self.groups.codes)
        known = np.isfinite(psi).all(axis=0)  # those of heaps are not, and are told of elsewhere
        lost = np.flatnonzero(np.isnan(np.diagonal(found.matrix)) & known) % len(words)
        if not len(lost):
            return found
        alone = ", ".join(words[g] for g in np.unique(lost))
        text = f"{alone or 'The table'} lies in a single cluster or unit: it has no standard errors."
        warn_user(FewClustersWarning(text))
        return replace(found, note=f"{found.note} {text}")

    def degrees(self, kind: CovarianceKind) -> Array | None:
        """Degrees of freedom of every measure under a survey's strata and units, else None."""
        return self.degrees_of(self._influence, kind, self.groups.codes)

    @property
    def _influence(self) -> Array:
        """Influence functions (n, q·G) of all measures, zero outside their groups."""
        inside = self.groups.codes[:, None] == np.arange(len(self.groups.words))
        own = self.measured.influence[:, :, None]
        return np.asarray(np.where(inside[:, None], own, 0.0).reshape(self.size, -1))

    def degrees_of(self, psi: Array, kind: CovarianceKind, group: Indices) -> Array | None:
        """Effective degrees of freedom (q,) of answers as `covariance_of` takes them."""
        units = self.codes(kind) if isinstance(kind, Survey) else None
        if not isinstance(kind, Survey) or not isinstance(units, Units):
            return None
        return effective_degrees(psi * self.mass(group)[:, None], units, kind)

    def covariance_of(self, values: Array, psi: Array, kind: CovarianceKind, group: Indices) -> Covariance:
        """The covariance of answers (q,) from influence functions (n, q), of means over groups (n,)."""
        copies = self.sampling.copies
        mass = self.mass(group)
        rows = psi * mass[:, None] if copies is None else psi * (mass / copies)[:, None]
        if kind == "HC1":
            n = np.bincount(group, copies)[group]
            rows = rows * np.sqrt(n / np.maximum(n - 1, 1))[:, None]
        if isinstance(kind, Cluster) and kind.correction == "jackknife":
            rows = rows / self._left_out(kind, group)[:, None]
        shares = (self.ones if copies is None else 1.0) / self.ones.sum() * np.ones(self.size)
        found = rows_covariance(values, rows, kind, self.sampling, shares=shares)
        named = _named(found, kind, self.observations - len(np.unique(group)))
        census = isinstance(kind, Survey) and kind.fpc is not None  # whose errors may be zero
        V, least = np.diagonal(named.matrix), ROUNDING * np.square(rows).sum(axis=0)
        lost = (least > V) & ((V > 0) | (not census))
        return replace(named, matrix=np.where(lost[:, None] | lost, np.nan, named.matrix))

    def _left_out(self, kind: Cluster, group: Indices) -> Array:
        """One less the share (n,) of its group that the row's cluster has."""
        codes, _ = self.codes(kind.columns)
        pair = codes * (int(group.max()) + 1) + group
        left = 1 - np.bincount(pair, self.mass(group))[pair]
        if left.min() < 1e-10:
            raise DataError(
                f"Cluster column {kind.columns[0]!r}: a group lies in one cluster, so the jackknife cannot "
                "leave that out; use correction='groups'."
            )
        return np.asarray(left)


def _named(found: Covariance, kind: CovarianceKind, degrees: float) -> Covariance:
    """The covariance with the words of what was asked for."""
    if not isinstance(kind, str):
        return found
    factor = ", n/(n - 1) in each group" if kind == "HC1" else ""
    note = f"{kind}: independent rows, by influence functions{factor}."
    return replace(found, label=kind, note=note, degrees_of_freedom=degrees)


# ---- results -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class InequalityFacts(FitFacts):
    """Numbers of a fit that need no rows: besides those of every fit, groups, their rows, and notes."""

    groups: tuple[str, ...]
    sizes: tuple[Count, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class InequalityResults(FittedResult, TakesCovariance, OtherPackagesNames):
    """Measures of inequality and poverty by group, with differences, Lorenz curves, parts within and between.

    It refers to the rows it was computed on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> cps = {"wage": [5.0, 6.0, 7.0, 9.0] * 20 + [8.0, 10.0, 12.0, 13.0] * 20}
    >>> cps["union"] = ["no"] * 80 + ["yes"] * 80
    >>> res = de.Inequality("wage ~ union", functionals=["gini"]).fit(cps)
    >>> res.params.round(4).to_dict(), res.differences.values.round(4).tolist()
    ({'gini | union = no': 0.1204, 'gini | union = yes': 0.0988}, [-0.0215])
    """

    facts: InequalityFacts
    rows: InequalityRows | None = field(default=None, repr=False)
    values: Array
    covariance: Covariance
    degrees: Array | None = None  # of freedom, of every measure under a survey

    pictures: ClassVar[tuple[str, ...]] = ("lorenz_curves", "coefficients")
    kinds: ClassVar[dict[str, str]] = {"lorenz": "lorenz_curves"}

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome and the names of the estimates."""
        groups = [f" | {words}" if words else "" for words in self.facts.groups]
        return self.spec.outcome.name, tuple(n + words for n in self.model.functionals for words in groups)

    @property
    def other_scales(self) -> tuple[str, ...]:
        """Measures that a picture leaves out: those in units, and ratios of quantiles beside a share."""
        kinds = [re.split(r"\[| \|", name)[0] for name in self.labels()[1]]
        scales = [next((i for i, s in enumerate(SCALES) if k in s), len(SCALES)) for k in kinds]
        return tuple(n for n, s in zip(self.labels()[1], scales, strict=True) if s < max(scales))

    @cached_property
    def estimates(self) -> Estimates:
        """The measures of all groups with standard errors; p-values are of a measure of zero."""
        V = self.covariance
        names, df = tuple(self.labels()[1]), V.degrees_of_freedom
        return Estimates(names, self.values, V.matrix, df, clusters=V.clusters, own_df=self.degrees)

    @cached_property
    def differences(self) -> Estimates:
        """The measures of every group less those of the first, with errors.

        Raises
        ------
        OptionError
            If there is one group alone.
        """
        groups, q = self.facts.groups, len(self.model.functionals)
        if len(groups) < 2:
            raise OptionError(f"{self.spec.formula}: one group has no differences; name a column of groups.")
        one = np.hstack([-np.ones((len(groups) - 1, 1)), np.eye(len(groups) - 1)])
        names = [f"{n} | {g} less {groups[0]}" for n in self.model.functionals for g in groups[1:]]
        return replace(self.estimates.linear(np.kron(np.eye(q), one)), names=tuple(names))

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        kind = _kind(cov, self.model.weight_type)
        return {"covariance": rows.covariance(kind), "degrees": rows.degrees(kind)}

    def within_between(self, functional: str = "theil") -> Estimates:
        """Split a measure of generalised entropy into what is within groups and between their means.

        The part between is the measure of group means, that within the rest, a weighted sum of the groups'
        own; their shares of the whole stand below.

        Parameters
        ----------
        functional : {"theil", "mld", "ge[a]"}

        Returns
        -------
        Estimates
            Named ``theil``, ``within``, ``between``, ``between share``; a part between that is near zero is
            not normal, and its limits and p-value say little.

        Raises
        ------
        OptionError, OutcomeError, NeedsData
            OptionError also for measures, such as Gini's, that are no sum of such parts.

        References
        ----------
        Shorrocks (1984), Inequality decomposition by population subgroups, Econometrica 52,
        doi:10.2307/1913511.

        Examples
        --------
        >>> import disteconometrics as de
        >>> cps = {"wage": [5.0, 6.0, 7.0, 9.0] * 20 + [8.0, 10.0, 12.0, 13.0] * 20}
        >>> cps["union"] = ["no"] * 80 + ["yes"] * 80
        >>> res = de.Inequality("wage ~ union", functionals=["theil"]).fit(cps)
        >>> res.within_between().table()["estimate"].round(4).tolist()
        [0.0455, 0.0191, 0.0264, 0.5792]
        """
        power = _power(functional)
        rows: InequalityRows = self.data_rows()
        if len(rows.groups.words) < 2:
            raise OptionError(f"{self.spec.formula}: nothing lies between groups; name a column of groups.")
        check_outcomes(rows.y, rows.index, rows.spec.outcome.name, [functional])
        codes, law = rows.groups.codes, Empirical(rows.y, rows.ones)
        total, whole = float(evaluate(law, functional)), influence_function(law, rows.y, functional, 1.0)
        means = as_floats(np.bincount(codes, rows.mass(codes) * rows.y))
        share = as_floats(np.bincount(codes, rows.ones))
        if not (means > 0).all():
            raise OutcomeError(f"{functional!r} needs groups whose means are above zero.")
        of_means = Empirical(means, share)
        at = means[codes]
        apart = influence_function(of_means, at, functional, 1.0)
        apart = apart + _influence_slope(of_means, means, power)[codes] * (rows.y - at)
        between = float(evaluate(of_means, functional))
        values = np.array([total, total - between, between, between / total])
        psi = np.stack([whole, whole - apart, apart, (apart - between / total * whole) / total], axis=1)
        kind = known_kind(self.covariance.kind)
        every = np.zeros(rows.size, dtype=np.intp)
        V, own = rows.covariance_of(values, psi, kind, every), rows.degrees_of(psi, kind, every)
        names = (functional, "within", "between", "between share")
        return Estimates(names, values, V.matrix, V.degrees_of_freedom, clusters=V.clusters, own_df=own)

    def lorenz(self, levels: Any = None, *, level: float = 0.95) -> pd.DataFrame:
        """Lorenz curves of the groups with pointwise limits, and a band for all levels of a group at once.

        Parameters
        ----------
        levels : (m,) levels between 0 and 1, or None for .01 to .99.
        level : float, confidence level.

        Returns
        -------
        DataFrame
            Columns group, p, estimate, std_error, conf_low, conf_high, band_low and band_high; the band is
            sup-t, by 10,000 draws of a normal law with a fixed seed, for these levels.

        Raises
        ------
        NeedsData, OptionError, OutcomeError

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.Inequality("foodexp ~ 1").fit(de.datasets.engel())
        >>> res.lorenz([0.25, 0.5])[["p", "estimate", "conf_low", "conf_high"]].round(3)
              p  estimate  conf_low  conf_high
        0  0.25     0.142     0.133      0.150
        1  0.50     0.342     0.327      0.358
        """
        level = check_level(level)
        p = LEVELS if levels is None else as_floats(levels)
        if p.ndim != 1 or not p.size or not ((p > 0) & (p < 1)).all() or (np.diff(p) <= 0).any():
            raise OptionError(f"levels={levels!r:.60}: give levels between 0 and 1 that increase.")
        rows: InequalityRows = self.data_rows()
        names = [f"lorenz[{v!r}]" for v in p.tolist()]
        kind, measured = known_kind(self.covariance.kind), _measured(rows, rows.groups, names)
        parts = []
        for g, words in enumerate(rows.groups.words):
            at = np.arange(len(p)) * len(rows.groups.words) + g
            inside = (rows.groups.codes == g)[:, None]
            psi = np.where(inside, measured.influence, 0.0)
            V = rows.covariance_of(measured.values[at], psi, kind, rows.groups.codes)
            se, values = np.sqrt(np.diagonal(V.matrix)), measured.values[at]
            own = rows.degrees_of(psi, kind, rows.groups.codes)
            point = critical_value(level, V.degrees_of_freedom if own is None else float(np.median(own)))
            # the band is of a normal process; few clusters widen it as they widen limits
            band = (
                critical_of_band(V.matrix, level, np.random.SeedSequence(0)) * point / critical_value(level)
            )
            ends = {"conf": point, "band": band}
            limits = {
                f"{k}_{side}": values + s * c * se
                for k, c in ends.items()
                for side, s in (("low", -1), ("high", 1))
            }
            parts.append(
                pd.DataFrame({"group": words, "p": p, "estimate": values, "std_error": se, **limits})
            )
        return pd.concat(parts, ignore_index=True)

    # ---- tables and files ----------------------------------------------------------------------------------

    def _refitting(self) -> Refitting:
        return refitting_rows(self)

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f, model = check_level(level), self.facts, self.model
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.spec.formula),
            ("Covariance", self.covariance.label),
        )
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, model.weight_type)),
            ("Groups", str(len(f.groups))),
            ("t, degrees of freedom", self._degrees_words),
        )
        sections = [estimates_section(self.estimates, level)]
        if len(f.groups) > 1:
            heading = f"Differences, less {f.groups[0]}"
            short = [f"{n} | {g}" for n in model.functionals for g in f.groups[1:]]
            sections.append(estimates_section(replace(self.differences, names=tuple(short)), level, heading))
        own = "p-values and limits take t with each estimate's own, effective in its strata (Satterthwaite)."
        notes = [
            self.covariance.note,
            *([] if self.degrees is None else [own]),
            *f.notes,
            *weights_notes(model.weights, model.weight_type),
        ]
        if len(f.groups) > 1:
            sizes = ", ".join(f"{g} ({n})" for g, n in zip(f.groups, f.sizes, strict=True))
            notes.append(f"Rows: {sizes}.")
        notes += rows_dropped(f)
        return Summary("Inequality Results", (left, right), tuple(sections), tuple(notes))

    @property
    def _degrees_words(self) -> str:
        if self.degrees is None:
            return f"{self.covariance.degrees_of_freedom:g}"
        return f"{self.degrees.min():.1f} to {self.degrees.max():.1f}"

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, measures and their covariance."""
        words, arrays = self.covariance.to_file()
        arrays = {"covariance": arrays["covariance"], "values": self.values}
        if self.degrees is not None:
            arrays["degrees"] = self.degrees
        return {"estimator": asdict(self.model), "covariance": words}, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> InequalityResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        functionals = saved.model(header.estimator).functionals
        arrays = saved.numbers(_ARRAYS, k=len(functionals) * len(header.facts.groups))
        found = header.fields_of(saved, arrays)
        return cls(**found, values=arrays["values"], degrees=arrays.get("degrees"))


def _power(functional: Any) -> float:
    """The power of a measure of generalised entropy."""
    head, numbers = parse(functional) if isinstance(functional, str) else ("", [])
    if head not in ("theil", "mld", "ge"):
        raise OptionError(
            f"{functional!r} is no sum of parts within and between groups; use 'theil', 'mld' or 'ge[a]' "
            "(parts of a Gini overlap)."
        )
    return float(numbers[0]) if head == "ge" else float(head == "theil")


def _influence_slope(law: Empirical, y: Array, power: float) -> Array:
    """Slope in y of the influence function of generalised entropy at outcomes (m,)."""
    mean = float(law.mean())
    if power == 0:
        return 1 / mean - 1 / y
    if power == 1:
        nu = float(law.expect(lambda t: t * np.log(t)))
        return np.asarray((np.log(y) + 1) / mean - (nu + mean) / mean**2)
    M = float(law.expect(lambda t: (t / mean) ** power))
    return np.asarray(((y / mean) ** (power - 1) - M) / (mean * (power - 1)))


@dataclass(frozen=True, kw_only=True)
class _Header(CovarianceHeader):
    """The header of a file."""

    facts: InequalityFacts


_ARRAYS = {
    "values": Numbers("k"),
    "covariance": replace(COVARIANCE_ARRAYS["covariance"], optional=False),
    "degrees": Numbers("k", "any", optional=True),
}
