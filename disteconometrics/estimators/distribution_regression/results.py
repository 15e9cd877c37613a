"""What a fitted distribution regression answers: processes, laws, quantile bands, functionals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask, or_ones
from disteconometrics.checks import check_index_set, flag
from disteconometrics.data.table import as_given
from disteconometrics.distributions.functionals import evaluate, functional_name
from disteconometrics.distributions.step import SLACK, StepLaw
from disteconometrics.errors import (
    FileFormatError,
    OptionError,
    WithheldError,
)
from disteconometrics.estimators.crossing import LEVELS, Crossable, Crossing
from disteconometrics.estimators.distribution_regression.answers import (
    DrawnFits,
    Weighing,
    effects_of,
    functionals_of_groups,
    predictions,
)
from disteconometrics.estimators.distribution_regression.averages import (
    DrawnLaw,
    DrawnLaws,
    spread_of,
)
from disteconometrics.estimators.distribution_regression.crossed import crossed_laws
from disteconometrics.estimators.distribution_regression.fit import (
    KERNELS,
    DistributionFacts,
    DistributionRows,
    FitGaps,
    kind_of,
    separated_words,
)
from disteconometrics.estimators.distribution_regression.process import (
    CoefficientProcess,
    coefficient_process,
)
from disteconometrics.estimators.distribution_regression.thresholds import (
    Covariates,
    Draws,
    average_levels,
    raw_levels,
)
from disteconometrics.estimators.extrapolation import ranges_of, warn_new
from disteconometrics.estimators.law_answers import groups_of, some
from disteconometrics.estimators.law_results import effect_title, law_title
from disteconometrics.estimators.refit import refitting
from disteconometrics.estimators.results import CovarianceHeader, FittedResult, SavedResult, TakesCovariance
from disteconometrics.fields import Count, Numbers, SavedSeed
from disteconometrics.inference.covariance import Covariance, CovarianceKind, known_kind
from disteconometrics.inference.decomposition import check_levels
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.law_effects import check_target
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.resample import sequence_of
from disteconometrics.inference.survey import SHIFT
from disteconometrics.inference.variable_effects import check_values, warn_outside
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.report.exchange import OtherPackagesNames
from disteconometrics.report.summary import estimates_section, observations_text, rows_notes
from disteconometrics.tables import Summary, number, printable
from disteconometrics.threads import on_one_thread

__all__ = ["DistributionRegressionResults"]

INDEX_SET = (0.1, 0.9)  # levels of F between which bands and tests hold


@dataclass(frozen=True, eq=False, kw_only=True)
class DistributionRegressionResults(Crossable, FittedResult, TakesCovariance, OtherPackagesNames):
    """A fitted distribution regression: coefficients along the thresholds and the law that they make.

    The table shows the coefficients at a few ``thresholds``, named ``educ[8.5]``; `process` has all of one
    column.  ``limiting`` (T, k) give the fitted probabilities, those of the limit where a threshold is
    separated.  It refers to the rows it was fitted on (no copy).

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.DistributionRegression("foodexp ~ income", thresholds=[400, 800]).fit(
    ...     de.datasets.engel(), seed=1
    ... )
    >>> res.params.round(4).to_dict()["income[400]"]
    0.0174
    """

    facts: DistributionFacts
    rows: DistributionRows | None = field(default=None, repr=False)
    thresholds: Array
    limiting: Array
    separated: Mask
    averaged: Array  # (T,) F of the rows of the fit, averaged and sorted
    points: Array
    shares: Array
    shown: tuple[int, ...]
    kind: CovarianceKind | None
    computed: Covariance | None
    draws: int
    seed: Any
    told: FitGaps | None = None

    pictures: ClassVar[tuple[str, ...]] = ("coefficient_process", "coefficients", "quantile_fan")
    kinds: ClassVar[dict[str, str]] = {"process": "coefficient_process"}

    @cached_property
    def coefficients(self) -> Array:
        """Coefficients (T, k) of 1{y > c} at every threshold, NaN where it is separated."""
        return np.where(self.separated[:, None], np.nan, self.limiting)

    @cached_property
    def covariance(self) -> Covariance:
        """Covariance of the coefficients at the thresholds shown, robust ones once they are asked for."""
        if self.computed is not None:
            return self.computed
        rows: DistributionRows = self.data_rows()
        return rows.covariance(known_kind(self.kind), self.shown)

    @cached_property
    def gaps(self) -> FitGaps:
        """Crossings, and how far averages of the fit are from the sample."""
        return self.told or self.data_rows().gaps(self.points, self.shares)

    @property
    def kernel(self) -> Kernel:
        """The law of the binary fits."""
        return KERNELS[self.model.link]

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and terms with thresholds."""
        return self.spec.outcome.name, self._names

    @property
    def _names(self) -> tuple[str, ...]:
        at = self.thresholds[list(self.shown)]
        texts = [f"{c:.6g}" for c in at]
        texts = texts if len(set(texts)) == len(texts) else [repr(float(c)) for c in at]
        return tuple(f"{term}[{c}]" for c in texts for term in self.spec.names)

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients at the thresholds shown, with the covariance of all of them."""
        V = self.covariance
        values = self.coefficients[list(self.shown)].ravel()
        return Estimates(self._names, values, V.matrix, self._df, clusters=V.clusters)

    @property
    def _df(self) -> float:
        """Degrees of freedom of t: clusters less one, else the normal law."""
        return float(self.covariance.degrees_of_freedom) if self.covariance.clusters else np.inf

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        kind = kind_of(cov, self.model.weight_type)
        return {"kind": kind, "computed": rows.covariance(kind, self.shown), "rows": rows}

    def solution(self) -> Array:
        """Coefficients of all thresholds, one after the other."""
        return self.coefficients.ravel()

    # ---- draws ---------------------------------------------------------------------------------------------

    @cached_property
    def _draws(self) -> Draws:
        rows: DistributionRows = self.data_rows()
        return rows.draw(known_kind(self.kind), self.draws, self.seed)

    @cached_property
    def _errors(self) -> dict[int, Array]:
        return {}

    def _errors_at(self, t: int) -> Array:
        """Standard errors (k,) at threshold ``t``, kept for the processes of other columns."""
        if t not in self._errors:
            rows: DistributionRows = self.data_rows()
            self._errors[t] = rows.errors(t, known_kind(self.kind))
        return self._errors[t]

    def process(
        self,
        term: str,
        *,
        level: float = 0.95,
        index_set: tuple[float, float] = INDEX_SET,
        data: Any = None,
    ) -> CoefficientProcess:
        """A coefficient along the thresholds with limits, a uniform band, and tests of no effect.

        Parameters
        ----------
        term : str, a column of the design, such as ``"educ"``.
        level : float, confidence level.
        index_set : pair of float, levels of F between which thresholds enter.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        CoefficientProcess

        Raises
        ------
        OptionError, NeedsData, WithheldError
            If there is no such column, or no threshold between the levels.
        """
        level, within = check_level(level), check_index_set(index_set)
        names = list(self.spec.names)
        if term not in names:
            raise OptionError(f"{term!r} is no column of the design; it has {', '.join(map(repr, names))}.")
        if data is not None:
            return self.attach(data).process(term, level=level, index_set=index_set)
        free, j = np.flatnonzero(~self.separated), names.index(term)
        F = self.averaged[free]
        inside = np.flatnonzero((within[0] - SLACK <= F) & (within[1] + SLACK >= F))
        if not len(inside):
            raise WithheldError(
                f"No fitted threshold has F between {within[0]:g} and {within[1]:g}; give another index_set."
            )
        draws = self._draws.params[:, free[inside], j]
        se = np.array([self._errors_at(int(t))[j] for t in free[inside]])
        b = self.coefficients[free[inside], j]
        mass = np.diff(F, prepend=0.0)[inside]
        return coefficient_process(
            term,
            self.spec.outcome.name,
            self.thresholds[free[inside]],
            (b, se),
            draws,
            np.maximum(mass, 1e-12),
            level=level,
            df=self._df,
            index_set=within,
            heaped=self.drawn_average.heaped(within, level),
            factor=self.drawn_average.factor,
            link=self.model.link,
        )

    # ---- laws ----------------------------------------------------------------------------------------------

    def distribution(self, new: Any = None) -> StepLaw:
        """The law of the outcome, as the formula writes it, for every row of ``new`` (None: of the fit)."""
        return self.law(raw_levels(self.kernel, self.covariates(new), self.limiting))

    def covariates(self, new: Any) -> Covariates:
        """Design and offset of new rows, or of those of the fit."""
        coded = self._rows_of(new)
        return Covariates(coded.X, coded.offset)

    def law(self, levels: Array) -> StepLaw:
        """The law with these levels of F at the thresholds."""
        law = StepLaw(levels, self.thresholds, self.points, self.shares)
        return law.named(self.spec.outcome.name)

    def average(self) -> StepLaw:
        """The law averaged over the rows of the fit."""
        return self.law(self.averaged)

    def law_over(self, new: Any, shares: Array) -> StepLaw:
        """The law averaged over complete rows with shares (m,)."""
        return self.law(average_levels(self.kernel, self.covariates(new), self.limiting, shares))

    @property
    def drawn(self) -> tuple[int, np.random.SeedSequence]:
        """How many draws there are, and their seed."""
        return self.draws, sequence_of(self.seed)

    def crossed(self, crossing: Crossing) -> DrawnLaws:
        """Laws of fits averaged over rows of others, by common draws; see `estimators.crossing`."""
        return crossed_laws(crossing)

    def quantiles(
        self,
        levels: Any = LEVELS,
        *,
        level: float = 0.95,
        index_set: tuple[float, float] = INDEX_SET,
        data: Any = None,
    ) -> pd.DataFrame:
        """Quantiles of the averaged law with limits and a uniform band, both by inverting those of F.

        Between two thresholds nothing is known of F: a lower limit is the threshold below, unless no outcome
        lies between.

        Parameters
        ----------
        levels : float or sequence of float in (0, 1).
        level : float, confidence level.
        index_set : pair of float, levels for all of which the band holds.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        pandas DataFrame
            estimate, conf_low, conf_high, band_low, band_high by level; infinite where the thresholds do not
            reach, the band NaN outside the index set.

        Raises
        ------
        OptionError, NeedsData, WithheldError
        """
        level, within = check_level(level), check_index_set(index_set)
        if data is not None:
            return self.attach(data).quantiles(levels, level=level, index_set=index_set)
        tau = check_levels(levels)
        return self.drawn_average.quantile_table(tau, level, within)

    @cached_property
    def drawn_average(self) -> DrawnLaw:
        """The law averaged over the rows of the fit with its draws."""
        drawn = self._draws
        return self.drawn_law(self.average(), drawn.levels, drawn.masses, *self._spread)

    @property
    def _spread(self) -> tuple[float, float]:
        """The factor of spreads of draws, and degrees of freedom of t."""
        return (1 / SHIFT, self._df) if self.covariance.surveyed else spread_of(self.covariance.clusters)

    @cached_property
    def _drawn_fits(self) -> DrawnFits:
        fits = self.kernel, self.average(), self.limiting, self.separated
        heaped = self.drawn_average.heaped(INDEX_SET, 0.95)
        return DrawnFits(*fits, self._draws, *self._spread, self.covariance.clusters, heaped)

    def _weighing(self, by: Any, target: str) -> Weighing:
        """How rows of the fit are averaged, all or in groups."""
        check_target(target)
        rows: DistributionRows = self.data_rows()
        w = or_ones(rows.weights, rows.size)
        groups = [("", w / w.sum())] if by is None else groups_of(partial(rows.column, role="by="), by, w)
        if target == "sample":
            return Weighing(groups, None)
        drawn = rows.draw_weights(known_kind(self.kind), self.draws, self.seed)
        return Weighing(groups, drawn[self._draws.at])

    def drawn_law(self, law: StepLaw, levels: Array, masses: Array, factor: float, df: float) -> DrawnLaw:
        """A law of steps with draws."""
        return DrawnLaw(law, self.separated, levels, masses, factor, df)

    def functionals(
        self, names: Any = ("mean", "std"), *, by: Any = None, level: float = 0.95, data: Any = None
    ) -> Estimates:
        """Functionals of the averaged law with errors from draws: of the population that the rows come from.

        Parameters
        ----------
        names : functionals such as ``["mean", "std", "gini"]``, or functions of a law; quantiles have limits
            of their own, see `quantiles`.
        by : a column of the table or a list of them, whose groups (cells) are averaged apart, with one
            covariance; None for all rows.  Contrasts are ``.linear("mean | d = 1 - mean | d = 0")``.
        level : float, confidence level of the printed table.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError, NeedsData, WithheldError
        """
        level = check_level(level)
        if data is not None:
            return self.attach(data).functionals(names, by=by, level=level)
        title = law_title(self.spec.outcome.name, "population" if self.spec.variables else None)
        if by is None:
            return replace(self.drawn_average.functionals(names, level), title=title)
        rows, weighing = self.data_rows().covariates, self._weighing(by, "population")
        found = functionals_of_groups(self._drawn_fits, rows, some(names), weighing, level)
        return replace(found, title=title)

    @on_one_thread
    def effect(
        self,
        variable: str,
        low: Any,
        high: Any,
        names: Any = ("mean",),
        *,
        by: Any = None,
        target: str = "population",
    ) -> Estimates:
        """Average contrast Σ w_i [m(x_i with the variable at ``high``) − m(x_i with it at ``low``)].

        Parameters
        ----------
        variable : a column of the right side.
        low, high : values or levels of it.
        names : one or several functionals m of the law of a row: ``mean``, ``median``, ``q[0.9]``.  Of the
            laws averaged at both ends take `counterfactual`.
        by : a column of the table or a list of them, whose groups are averaged apart; None for all rows.
        target : {"population", "sample"}
            Whether errors are those of the population that the rows are from, or take the rows as given.

        Returns
        -------
        Estimates
            With errors from draws; quantiles of heaped outcomes, which move in steps, have none.

        Raises
        ------
        OptionError, MissingColumnError, LevelError, NeedsData, WithheldError
            OptionError also for values further outside those of the fit than these are wide.

        Warns
        -----
        ExtrapolationWarning
            If rows leave the covariates of the fit; it says their share.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.DistributionRegression("foodexp ~ income", thresholds=40).fit(
        ...     de.datasets.engel(), draws=100, seed=1
        ... )
        >>> res.effect("income", 500.0, 1000.0).values.round()
        array([301.])
        """
        asked, rows = some(names), self.data_rows()
        scenario = rows.scenario()
        name = scenario.check_variable(variable)
        check_values(scenario, name, (low, high))
        ends = [scenario.part(0, rows.size, {name: value}).X for value in (low, high)]
        warn_outside(name, rows.X, ends)
        first, second = (Covariates(X, rows.offset) for X in ends)
        found = effects_of(self._drawn_fits, (first, second), asked, self._weighing(by, target))
        return replace(found, title=effect_title(name, low, high, self.spec.outcome.name, target))

    @on_one_thread
    @as_given
    def predict(
        self, new: Any = None, names: Any = ("mean",), *, ci: bool = False, level: float = 0.95
    ) -> Any:
        """Functionals of the law of each row of ``new``, with errors and limits from draws.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.
        names : functionals such as ``["mean", "q[0.9]"]``, or functions of a law.
        ci : bool, whether to give errors and limits, of ``mean``, ``median`` and ``q[0.9]``; those of
            quantiles invert limits of F.
        level : float, confidence level.

        Returns
        -------
        DataFrame
            Index (row, functional); columns estimate, and with ``ci`` std_error (NaN of quantiles, which move
            in steps), conf_low, conf_high.

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError, NeedsData, WithheldError

        Warns
        -----
        ExtrapolationWarning
            If new rows lie outside the range of the rows of the fit, where these are at hand.

        Examples
        --------
        >>> import disteconometrics as de
        >>> model = de.DistributionRegression("foodexp ~ income", thresholds=40)
        >>> res = model.fit(de.datasets.engel(), seed=1)
        >>> res.predict({"income": [500.0, 1500.0]}, "q[0.5]")["estimate"].round().tolist()
        [348.0, 865.0]
        """
        asked, level, coded = some(names), check_level(level), self._rows_of(new)
        warn_new(ranges_of(getattr(self, "rows", None)), self.spec, new)
        numbers: tuple[Array, ...]
        if flag(ci, "ci"):
            numbers = predictions(self._drawn_fits, Covariates(coded.X, coded.offset), asked, level)
        else:
            law = self.distribution(new)
            numbers = (np.stack([evaluate(law, f) for f in asked], axis=-1),)
        named = list(map(functional_name, asked))
        index = pd.MultiIndex.from_product([coded.index, named], names=["row", "functional"])
        columns = ("estimate", "std_error", "conf_low", "conf_high")
        return pd.DataFrame({c: a.ravel() for c, a in zip(columns, numbers, strict=False)}, index=index)

    def _rows_of(self, new: Any) -> Any:
        """Rows of a table, or those of the fit: design, offset and index."""
        return self.data_rows() if new is None else self.spec.matrix(new)

    def _refitting(self) -> Refitting:
        rows, shown = self.data_rows(), list(self.shown)
        at = self.thresholds[shown]
        levels = raw_levels(self.kernel, rows.covariates, self.coefficients[shown])
        law = StepLaw(levels, at, self.points, self.shares)
        return refitting(
            self.model.at(tuple(map(float, at))),
            rows,
            self.kind,
            outcome=rows.y,
            law=law,
            truth=self.params.to_dict(),
            options={"cov": self.kind, "seed": 0},
        )

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f, gaps, outcome = check_level(level), self.facts, self.gaps, self.spec.outcome.name
        left = (
            ("Outcome", outcome),
            ("Formula", self.spec.formula),
            ("Estimator", f"{self.model.link} of 1{{y > c}}"),
            ("Covariance", self.covariance.label),
        )
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, self.model.weight_type)),
            ("Thresholds", f"{len(self.thresholds)} of {f.distinct} values"),
            ("Crossings sorted", f"{100 * gaps.crossings:.2f} %"),
            ("Fit gap of F", f"{gaps.fit_gap:.1e}"),
        )
        weights = "the design's" if self.covariance.surveyed else "exponential"
        notes = [
            f"Coefficients have the sign of the effect on {printable(outcome)}; those of 1{{y <= c}} have "
            "the opposite one"
            + ("." if self.model.link != "cloglog" else ", and are others with a cloglog."),
            self._threshold_note(),
            f"Fit gap: the averaged law less the sample's, {gaps.fit_gap:.1e} in F, {number(gaps.mean_gap)} "
            "in the mean.",
            self.covariance.note,
            f"Bands and tests: {self.draws} draws of {weights} weights, seed {self.seed}.",
        ]
        if self.separated.any():
            notes.append(separated_words(self.thresholds[self.separated], outcome))
        notes += rows_notes(self.model, f)
        section = estimates_section(self.estimates, level, "Coefficients at some thresholds [c]")
        return Summary("Distribution Regression Results", (left, right), (section,), tuple(notes))

    def _threshold_note(self) -> str:
        """How thresholds were chosen."""
        given, count = self.model.thresholds, len(self.thresholds)
        if isinstance(given, tuple):
            how = "as given"
        elif count == self.facts.distinct - 1:
            how = "all distinct outcomes but the largest"
        else:
            how = "quantiles of the outcome"
        return f"Thresholds: {how}; from {self.thresholds[0]:.6g} to {self.thresholds[-1]:.6g}."

    def __repr__(self) -> str:
        return printable(
            f"<DistributionRegression results: {self.spec.formula}, n = {self.nobs:g}, "
            f"{len(self.thresholds)} thresholds>"
        )

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients of all thresholds, the averaged law, covariance of those shown."""
        words, arrays = self.covariance.to_file()
        arrays |= {
            "thresholds": self.thresholds,
            "params": self.limiting,
            "separated": self.separated.astype(np.float64),
            "averaged": self.averaged,
            "points": self.points,
            "shares": self.shares,
        }
        own = {"estimator": asdict(self.model), "covariance": words, "shown": list(self.shown)}
        own["gaps"] = asdict(self.gaps)
        return {**own, "draws": self.draws, "seed": self.seed}, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> DistributionRegressionResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        k, r = len(header.spec.names), len(header.shown)
        arrays = saved.numbers(_ARRAYS, k=k, q=k * r)
        T, separated = len(arrays["thresholds"]), arrays["separated"] == 1.0
        inside = all(0 <= t < T for t in header.shown)
        if not inside or not r or list(header.shown) != sorted(set(header.shown)):
            raise FileFormatError("the thresholds shown are not those of the fit")
        if separated[list(header.shown)].any():
            raise FileFormatError("a threshold shown is separated")
        StepLaw(arrays["averaged"], arrays["thresholds"], arrays["points"], arrays["shares"])
        fields = header.fields_of(saved, arrays)
        covariance: Covariance = fields.pop("covariance")
        return cls(
            **fields,
            kind=covariance.kind,
            computed=covariance,
            told=header.gaps,
            thresholds=arrays["thresholds"],
            limiting=arrays["params"],
            separated=separated,
            averaged=arrays["averaged"],
            points=arrays["points"],
            shares=arrays["shares"],
            shown=tuple(header.shown),
            draws=header.draws,
            seed=header.seed,
        )


@dataclass(frozen=True, kw_only=True)
class _Header(CovarianceHeader):
    """The header of a file."""

    facts: DistributionFacts
    gaps: FitGaps
    shown: list[Count]
    draws: Count
    seed: SavedSeed


_ARRAYS = {
    "thresholds": Numbers("t", "increasing"),
    "params": Numbers("t k"),
    "separated": Numbers("t", "not negative"),
    "averaged": Numbers("t", "not negative"),
    "points": Numbers("m", "increasing"),
    "shares": Numbers("m", "positive"),
    "covariance": Numbers("q q", "a covariance"),
}
