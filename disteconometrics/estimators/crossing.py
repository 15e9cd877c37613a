"""Fits and tables crossed: laws of one averaged over the rows of another.

A result that can be crossed has ``crossed(crossing)``, which gives the laws of a `Crossing` as
`inference.crossed_laws.CrossedLaws`: by influence rows where it is a `LawAnswers`, by draws where it is a
distribution regression.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import Table
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.errors import DataError, OptionError
from disteconometrics.estimators.effects_results import WHOSE
from disteconometrics.inference.beside_mass import warn_no_error
from disteconometrics.inference.covariance import Cluster, Codes, CovarianceKind, known_kind, resolve_kind
from disteconometrics.inference.crossed_laws import APART, AllRows, AveragedRows, CrossedLaws
from disteconometrics.inference.decomposition import check_levels, curves
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.resample import take_rows
from disteconometrics.inference.survey import Survey, SurveyDesign, beside, check_units, units_of
from disteconometrics.report.summary import estimates_section
from disteconometrics.tables import Summary, printable
from disteconometrics.words import OtherWords, TakesWords

__all__ = [
    "LEVELS",
    "ROBUST",
    "Counterfactual",
    "Crossable",
    "Crossing",
    "check_robust",
    "codes_of",
    "warn_at_mass",
]

LEVELS = tuple(round(0.05 * i, 2) for i in range(2, 19))
ROBUST = ("HC0", "HC1", "HC2", "HC3")
COLUMNS = ("estimate", "conf_low", "conf_high", "band_low", "band_high")
WORDS = {
    "same": "Rows: those of the fit with other covariates; each moves coefficients and average together.",
    "independent": "Rows: drawn apart from those of the fit, but for shared clusters.",
    "sample": "Rows: all there is; errors are those of the coefficients alone.",
}


@dataclass(frozen=True, eq=False)
class Crossing:
    """Fits, tables to average over, and which pairs of them are meant.

    Parameters
    ----------
    fits : results of one specification; their rows lie at ``fitted`` among all rows.
    tables : complete rows, at the places that ``averages`` names; ``own`` says of which fit they are the
        rows, None of none.
    pairs : (fit, table) of each law.
    rows : AllRows.
    draws, seed : of laws that are drawn.
    """

    fits: tuple[Any, ...]
    fitted: tuple[Any, ...]
    tables: tuple[Any, ...]
    averages: tuple[AveragedRows, ...]
    own: tuple[int | None, ...]
    pairs: tuple[tuple[int, int], ...]
    rows: AllRows
    draws: int
    seed: np.random.SeedSequence

    def laws(self) -> CrossedLaws:
        """The laws of the pairs.

        Raises
        ------
        DisteconometricsError
        """
        found: CrossedLaws = self.fits[0].crossed(self)
        return found


def check_robust(kind: Any, weight_type: str | None) -> CovarianceKind:
    """A covariance that holds where the laws of the fits are wrong: averages over other rows need it.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_robust("HC1", None)
    'HC1'
    """
    if kind not in ROBUST and not isinstance(kind, (Cluster, Survey)):
        raise OptionError(
            f"cov={kind!r}: averages over other rows take 'HC0' to 'HC3', de.Cluster('column') or "
            "de.Survey(…), by whose rows fits and averages are brought together."
        )
    return resolve_kind(kind, weight_type, surveys=True)


def codes_of(
    parts: Sequence[tuple[Any, Callable[[str], Any]]], size: int
) -> Callable[[Sequence[str]], Codes]:
    """Clusters of rows side by side, equal where the values of the columns are.

    Parameters
    ----------
    parts : positions of rows, and what gives a column of them.
    size : of all rows.
    """

    def codes(columns: Sequence[str]) -> Codes:
        joint, count = np.zeros(size, dtype=np.intp), 1
        for name in columns:
            values = np.empty(size, dtype=object)
            for at, column in parts:
                values[at] = np.asarray(column(name), dtype=object)
            found, distinct = pd.factorize(values)
            if (found < 0).any():
                raise DataError(
                    f"The cluster column {name!r} has {int((found < 0).sum())} missing values among the rows "
                    "that are averaged over; fill them, or drop these rows."
                )
            pairs, levels = pd.factorize(joint * len(distinct) + found)
            joint, count = pairs.astype(np.intp), len(levels)
        return joint, count

    return codes


def warn_at_mass(spec: DesignSpec, levels: Array, found: Array) -> None:
    """Name the levels (m,) of `curves` (…, m, 5) that have no limits beside a mass of the outcome.

    Warns
    -----
    AtMassWarning
    """
    if any(recorder.name == "mass" for recorder in spec.outcome.recorders):
        gone = (np.isnan(found[..., 1]) & np.isfinite(found[..., 0])).any(axis=0)
        warn_no_error([f"q[{t:g}]" for t in levels[gone]], APART)


@dataclass(frozen=True, eq=False)
class Counterfactual(OtherWords):
    """The law of an outcome averaged over other rows: coefficients of the fit, covariates of these rows.

    ``law`` is it without errors; ``rows`` says what the rows are to those of the fit: "same", "independent",
    or the "sample" that is all there is.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> res = de.NormalRegression("foodexp ~ income").fit(engel, cov="HC1")
    >>> richer = res.counterfactual(engel.assign(income=1.1 * engel["income"]))
    >>> richer.functionals(["mean", "q[0.5]"]).table()[["estimate", "std_error"]].round(1)
            estimate  std_error
    mean       671.8       19.7
    q[0.5]     621.2       16.8
    """

    law: Any
    crossing: Crossing
    rows: str

    @cached_property
    def crossed(self) -> CrossedLaws:
        """The law with what draws or influence rows say of it."""
        return self.crossing.laws()

    def functionals(self, names: Any = ("mean", "std"), *, level: float = 0.95) -> Estimates:
        """Functionals of the law with errors.

        Parameters
        ----------
        names : functionals such as ``["mean", "q[0.9]", "gini"]``, or functions of a law.
        level : float, confidence level of the printed table.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError
        """
        asked, level = listed(names), check_level(level)
        values, V = self.crossed.functionals(asked, np.eye(1))
        named = tuple(map(functional_name, asked))
        whose = WHOSE["sample" if self.rows == "sample" else "population"]
        title = f"Counterfactual law of {self.crossing.fits[0].spec.outcome.name} ({whose})"
        df, clusters = self.crossed.df, self.crossing.rows.clusters
        return Estimates(named, values[0], V, df, level=level, clusters=clusters, title=title)

    def quantiles(self, levels: Any = LEVELS, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the law with limits and a band that holds for all levels at once.

        Parameters
        ----------
        levels : float or sequence of float in (0, 1).
        level : float, confidence level.

        Returns
        -------
        pandas DataFrame
            estimate, conf_low, conf_high, band_low, band_high by level.

        Raises
        ------
        OptionError, WithheldError

        Warns
        -----
        AtMassWarning
            If levels are at a mass or near its ends: they have no limits.
        """
        tau = check_levels(levels)
        found = curves(self.crossed, np.zeros((0, 1)), tau, check_level(level))
        warn_at_mass(self.crossing.fits[0].spec, tau, found)
        return pd.DataFrame(found[0], columns=list(COLUMNS), index=pd.Index(tau, name="level"))

    def quantile(self, levels: Any) -> Any:
        """Quantiles of the law, without errors."""
        return self.law.quantile(levels)

    def cdf(self, y: Any) -> Any:
        """Distribution function of the law, without errors."""
        return self.law.cdf(y)

    def summary(self, names: Any = "mean", *, level: float = 0.95) -> Summary:
        """Functionals of the law with errors, and what the rows are to those of the fit.

        Parameters
        ----------
        names, level : as in `functionals`.

        Returns
        -------
        Summary

        Raises
        ------
        OptionError
        """
        found = self.functionals(names, level=level)
        rows, fit = self.crossing.averages[0], self.crossing.fits[0]
        left = (("Outcome", fit.spec.outcome.name), ("Formula", fit.spec.formula))
        right = (("Rows averaged over", str(len(rows.at))), ("Rows of the fit", str(fit.data_rows().size)))
        section = estimates_section(found, check_level(level))
        notes = [WORDS[self.rows]]
        if rows.weights is None and fit.model.weights is not None:
            notes.append(
                f"Rows averaged over count alike; those of the fit have weights {fit.model.weights!r}."
            )
        return Summary("Counterfactual Law", (left, right), (section,), tuple(notes))

    def __repr__(self) -> str:
        n = len(self.crossing.averages[0].at)
        whose = "rows of the fit with other covariates" if self.rows == "same" else "other rows"
        return printable(f"<law of {self.crossing.fits[0].spec.outcome.name} averaged over {n} {whose}>")


class Crossable(TakesWords):
    """A result whose law is averaged over other rows; it offers `crossed` and `law_over`."""

    @abstractmethod
    def crossed(self, crossing: Crossing) -> CrossedLaws:
        """The laws of a crossing."""

    @abstractmethod
    def law_over(self, new: Any, shares: Array) -> Any:
        """The law averaged over complete rows with shares (m,)."""

    @property
    def drawn(self) -> tuple[int, np.random.SeedSequence]:
        """How many draws there are, and their seed, of laws that are drawn."""
        return 0, np.random.SeedSequence(0)

    def counterfactual(
        self, new: Any, *, weights: str | None = None, target: str = "population", rows: str | None = None
    ) -> Counterfactual:
        """The law of the outcome averaged over other rows: these coefficients, those covariates.

        Parameters
        ----------
        new : table with the columns of the right side; rows with a missing value are left out.
        weights : str or None, a column of ``new``; None: its rows count alike, also where those of the fit
            have weights.
        target : {"population", "sample"}
            Whether the rows of ``new`` are a sample of a population, or all there is.
        rows : {"same", "independent"} or None
            Whether the rows of ``new`` are those of the fit with other covariates, so that each of them moves
            coefficients and average together, or a sample drawn apart from them but for shared clusters.
            None is "same" where ``new`` has the index of the fit's table or labels of it, with the same
            outcomes if it holds these (without, the whole index is needed); the summary says which.

        Returns
        -------
        Counterfactual
            Its errors take influence rows; of a distribution regression its draws again, with weights for the
            rows of ``new``.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData, OptionError

        Examples
        --------
        >>> import disteconometrics as de
        >>> engel = de.datasets.engel()
        >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(engel)
        >>> moved = res.counterfactual(engel.assign(income=engel["income"].clip(500)))
        >>> moved
        <law of log(foodexp) averaged over 235 rows of the fit with other covariates>
        >>> moved.quantiles([0.1, 0.9])["estimate"].round(1).tolist()
        [5.9, 6.9]
        """
        crossing, whose = _crossing(self, new, weights, target, rows)
        law = self.law_over(crossing.tables[0], crossing.averages[0].shares)
        return Counterfactual(law, crossing, whose)


def _crossing(
    result: Any, new: Any, weights: str | None, target: str, same: str | None
) -> tuple[Crossing, str]:
    """A fit crossed with the complete rows of a table, and what these are to its own."""
    _check_asked(result, target, same)
    rows, kind = result.data_rows(), _kind_of(result)
    places = None if target == "sample" or same == "independent" else _places(rows, new, same)
    complete, w = _complete(result, new, weights)
    table, n = take_rows(new, complete), rows.size
    at, over, column = np.arange(n), n + np.arange(len(complete)), Table(table).raw
    surveyed: Any = rows.codes if target == "sample" else partial(_drawn_apart, rows, new, complete)
    if places is not None:
        over, left_out = _among_used(rows, places[complete])
        column = Table(take_rows(rows.design.table.data, left_out)).raw
        surveyed = partial(_drawn_together, rows, left_out)
    given = target == "sample"
    size = n if given else max(n, int(over.max()) + 1)
    parts = [(at, lambda c: rows.column(c, "cluster"))]
    if not given:
        parts.append((np.arange(n, size), lambda c: column(c, "cluster")))
    copies = np.append(rows.weights, np.ones(size - n)) if rows.frequency else None
    averages = AveragedRows(over, w, _weights_of(w, None if given else copies, over), given)
    samples = (at,) if given else (at, over)
    whole = AllRows(size, kind, codes_of(parts, size), samples, copies, surveyed)
    whose = "sample" if target == "sample" else "independent" if places is None else "same"
    return Crossing((result,), (at,), (table,), (averages,), (None,), ((0, 0),), whole, *result.drawn), whose


def _drawn_together(rows: Any, left_out: Indices, survey: Survey) -> SurveyDesign:
    """The design of the rows of a fit and of others of its table."""
    if not len(left_out):
        design: SurveyDesign = rows.codes(survey)
        return design
    if survey.replicates is not None:
        raise OptionError(
            f"{len(left_out)} rows averaged over are none that were fitted, and have no weight of their own "
            "that replicate weights are compared with: leave these rows out."
        )
    table = rows.design.table
    kept = np.arange(len(table)) if rows.design.kept is None else rows.design.kept
    return units_of(survey, table.series, np.append(kept, left_out), len(table))


def _drawn_apart(rows: Any, new: Any, complete: Indices, survey: Survey) -> SurveyDesign:
    """The designs of the rows of a fit and of a table beside: two samples.

    Raises
    ------
    OptionError
        If they are not two.
    """
    if survey.replicates is not None:
        raise OptionError(
            "Replicate weights are of one sample, and these rows are another one: take target='sample', or "
            "rows='same' where they are rows of the fit with other covariates."
        )
    table = Table(new)
    one, other = rows.codes(survey), units_of(survey, table.series, complete, len(table))
    if survey.psu is not None:
        names = [*survey.strata, survey.psu]
        units = [
            zip(*(t.series(c, "survey") for c in names), strict=True) for t in (rows.design.table, table)
        ]
        if shared := len(set(units[0]) & set(units[1])):
            raise OptionError(
                f"{shared} units of {survey.psu!r} are in both tables. If they are the same units, put both "
                "tables into one and use de.decompose(…, by=); if they are others, give them other labels."
            )
    check_units(other, survey)
    return beside(one, other)


def _check_asked(result: Any, target: str, same: str | None) -> None:
    if target not in ("population", "sample"):
        raise OptionError(f"target={target!r} is not known; use 'population' or 'sample'.")
    if same not in (None, "same", "independent"):
        raise OptionError(f"rows={same!r} is not known; use 'same', 'independent' or None.")
    if not result.spec.variables:
        raise OptionError(f"{result.spec.formula!r} has no covariates: its law is the same over all rows.")


def _weights_of(w: Array | None, copies: Array | None, over: Indices) -> str | None:
    """What weights (m,) of an average are: those of the fit, if they are its copies of rows."""
    if w is None:
        return None
    return "frequency" if copies is not None and (w == copies[over]).all() else "sampling"


def _places(rows: Any, new: Any, same: str | None) -> Indices | None:
    """Which row (m,) of the fit's table each row of another is, None if it is none of them.

    Raises
    ------
    OptionError
        If they are said to be the same and are not.
    """
    if rows.streamed:
        if same:
            raise OptionError("rows='same' needs the rows of the fit in memory, and data is read in parts.")
        return None
    table, other = rows.design.table, Table(new)
    at = _labelled(table.index, other.index)
    own = at is not None and _are_own(rows, other, at)
    if same is None or own:
        return at if own else None
    if len(other) != len(table) and (at is None or _is_counted(other.index)):
        raise OptionError(
            f"rows='same': the fit's table has {len(table)} rows and the new one {len(other)}, whose "
            "labels are not all among its index; keep the index, or take rows='independent'."
        )
    return np.arange(len(table)) if at is None else at


def _labelled(index: Any, labels: Any) -> Indices | None:
    """Positions (m,) of labels in an index, None if they are not all there, or not told apart."""
    if labels.equals(index):
        return np.arange(len(index))
    at = index.get_indexer(labels) if index.is_unique else np.full(1, -1)
    return at if (at >= 0).all() else None


def _is_counted(labels: Any) -> bool:
    """Whether labels only number the rows, and name none."""
    return bool(labels.equals(pd.RangeIndex(len(labels))))


def _are_own(rows: Any, other: Table, at: Indices) -> bool:
    """Whether rows with the labels of the fit's own have its outcomes, or all of its index, without these."""
    table, names = rows.design.table, [c for c in rows.spec.parsed.left.variables if c in other.names]
    if not names:
        return len(np.unique(at)) == len(at) == len(table)  # in any order
    return all(_equal(other.raw(c, "outcome"), table.raw(c, "outcome"), at) for c in names)


def _equal(new: Any, own: Any, at: Indices) -> bool:
    """Whether values (m,) are those at places of others, missing ones among them."""
    a, b = (pd.Series(np.asarray(v, dtype=object)) for v in (new, own))
    b = b.iloc[at].reset_index(drop=True)
    return bool(((a == b) | (a.isna() & b.isna())).all())


def _among_used(rows: Any, places: Indices) -> tuple[Indices, Indices]:
    """Positions (m,) of rows among those of the fit and, after these, the ones that it left out (e,)."""
    n, used = rows.size, np.full(len(rows.design.table), -1)
    used[slice(None) if rows.design.kept is None else rows.design.kept] = np.arange(n)
    over = used[places]
    out, inverse = np.unique(places[over < 0], return_inverse=True)
    over[over < 0] = n + inverse.reshape(-1)
    return over, out


def _kind_of(result: Any) -> CovarianceKind:
    kind = known_kind(getattr(result, "kind", None) or result.covariance.kind)
    if kind in ("nonrobust", "opg"):
        raise OptionError(
            f"cov={kind!r} believes the law of the fit, which an average over other rows should not: "
            "use res.with_cov('HC1').counterfactual(new)."
        )
    return check_robust(kind, result.model.weight_type)


def _complete(result: Any, new: Any, weights: str | None) -> tuple[Indices, Array | None]:
    """Positions of the rows of a table with all that the right side needs, and their weights."""
    coded = result.spec.matrix(new)
    complete = ~np.isnan(coded.X).any(axis=1)
    if coded.offset is not None:
        complete &= ~np.isnan(coded.offset)
    w = None
    if weights is not None:
        numbers = Table(new).column(weights, "weights").numbers
        if numbers is None:
            raise DataError(f"The weights column {weights!r} holds no numbers.")
        w = np.asarray(numbers, dtype=np.float64)
        if (w < 0).any() or np.isinf(w).any():
            raise DataError(f"The weights column {weights!r} has values that are negative or infinite.")
        complete &= w > 0  # a missing weight is not
    if not complete.any():
        raise DataError("No row of the table is complete, so there is nothing to average over.")
    at = np.flatnonzero(complete)
    return at, None if w is None else w[at]
