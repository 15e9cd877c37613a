"""An outcome with a mass: a logit for being off its point, and the law of the rest, as one estimate.

The log-likelihood is the sum of both parts', so that each is fitted as it is by itself; the covariance is
that of both estimating equations stacked, with scores of zero where a row at the mass tells nothing of the
rest.

References
----------
Cragg (1971), Some statistical models for limited dependent variables with application to the demand for
durable goods, Econometrica 39, doi:10.2307/1909582.
Mullahy (1986), Specification and testing of some modified count data models, J. Econometrics 33,
doi:10.1016/0304-4076(86)90002-3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Seed
from disteconometrics.data.mass import halves
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.recorded import with_recording
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    FileFormatError,
    OptionError,
    OutcomeError,
    WithheldError,
)
from disteconometrics.estimators.binary.logit import Logit
from disteconometrics.estimators.binary.results import BinaryResults, fit_binary_rows
from disteconometrics.estimators.effects_results import EffectsHeader, EffectsResults, saved_effects
from disteconometrics.estimators.flow.report import moving as moving_flow
from disteconometrics.estimators.flow.row_checks import covariate_names
from disteconometrics.estimators.hurdle_laws import HurdleEstimation, HurdleRowLaws
from disteconometrics.estimators.law_answers import (
    FUNCTIONALS,
    OF_EFFECTS,
    Answering,
    LawAnswers,
    LawPictures,
    NewRows,
    no_error_of_average,
)
from disteconometrics.estimators.law_results import LEVEL, by_differences, law_title, saved_estimates
from disteconometrics.estimators.normal_answers import moving
from disteconometrics.estimators.refit import AVERAGED, refitting
from disteconometrics.estimators.results import (
    FilePart,
    FitFacts,
    FittedResult,
    LikelihoodCriteria,
    SavedResult,
)
from disteconometrics.estimators.rows import FitRows
from disteconometrics.fields import AnyFloat, Count, Numbers
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.crossings import just_below
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.held import ALL, Held
from disteconometrics.inference.law_bands import band
from disteconometrics.inference.law_effects import Averaged, RowLaws, check_target
from disteconometrics.inference.law_functionals import Functional, is_analytic, parse_functional
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.repeated_rows import distinct_laws
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.inference.variable_effects import Seen
from disteconometrics.report.exchange import OtherPackagesNames
from disteconometrics.report.summary import estimates_section, observations_text, rows_notes
from disteconometrics.tables import Summary, first_of, number, printable

__all__ = ["HurdleResults", "fit_hurdle"]

NOT_CAUSAL = (
    "The law of the rest is that of rows off the mass. Compared by treatment it is not causal even in an "
    "experiment, since treatment also moves who is off the mass: effects on the whole law come first."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class HurdleRows(FitRows):
    """The rows behind a result, and which of them are off the mass (m,)."""

    kept: Indices


@dataclass(frozen=True, kw_only=True)
class HurdleFacts(FitFacts):
    """Numbers of a fit that need no rows: the ``point`` of the mass in units of the outcome, rows at it."""

    point: AnyFloat
    at_mass: Count
    nested_null: bool
    outside: Count = 0  # rows at the mass outside the columns of the others
    clusters: Count | None = None


def fit_hurdle(
    model: Any, read: FitRows, kind: CovarianceKind, of_rest: Callable[[Any, FitRows], Any]
) -> HurdleResults:
    """Fit both parts of an outcome with a mass.

    Parameters
    ----------
    model : specification whose left side has a mass.
    read : its rows.
    kind : covariance, as `resolve_kind` has checked it.
    of_rest : function of a specification and rows that fits the rest.

    Raises
    ------
    OutcomeError, CollinearityError, OptionError, DataError
    """
    if getattr(model, "offset", None) is not None:
        raise OptionError(
            "offset= is in units of the outcome, and a mass has none: write the column on the right side."
        )
    parts = halves(read.design)  # type: ignore[arg-type]
    try:
        rest = of_rest(replace(model, formula=parts.rest.spec.formula), FitRows(parts.rest))
    except (CollinearityError, DataError, OutcomeError) as error:
        error.add_note(f"This is said of the {len(parts.kept)} rows that are not at the mass.")
        raise
    weights = {"weights": model.weights, "weight_type": model.weight_type}
    logit = Logit(parts.occurs.spec.formula, **weights)
    occurs = fit_binary_rows(logit, FitRows(parts.occurs), kind=kind, use_t=False)
    rows = HurdleRows(read.design, kept=parts.kept)
    facts = HurdleFacts(
        **rows.facts(),
        observations=rows.observations,
        loglik=occurs.llf + rest.llf,
        point=parts.point,
        at_mass=rows.size - len(parts.kept),
        nested_null=read.spec.has_intercept,
        outside=parts.outside,
        clusters=occurs.covariance.clusters,
    )
    return HurdleResults(
        model=model, spec=rows.spec, facts=facts, rows=rows, occurs=occurs, rest=rest, kind=kind
    )


@dataclass(frozen=True)
class SavedHurdle:
    """What a file holds in place of rows: covariances of the coefficients, functionals and effects."""

    joint: Array
    near: Array
    functionals: Estimates
    effects: EffectsResults | None


@dataclass(frozen=True, eq=False, kw_only=True)
class HurdleResults(LawPictures, LawAnswers, FittedResult, LikelihoodCriteria, OtherPackagesNames):
    """A fit with a mass: the logit ``occurs`` of being off it, the ``rest``, and answers of the whole law.

    ``rest`` is what the estimator gives on the rows off the mass; answers here are of all rows.  ``params``
    are the coefficients of both parts where the rest has coefficients, else functionals of the whole law.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["foodexp"] = engel.foodexp.where(engel.index % 4 > 0, 0.0)
    >>> res = de.NormalRegression("mass(foodexp, 0) ~ income").fit(engel, cov="HC1")
    >>> res.facts.at_mass, res.functionals("q[0.1]").values.tolist()
    (59, [0.0])
    """

    facts: HurdleFacts
    rows: HurdleRows | None = field(default=None, repr=False)
    occurs: BinaryResults
    rest: Any
    kind: CovarianceKind | None = None
    saved: SavedHurdle | None = None

    @property
    def file_kind(self) -> str:
        """That of a mass beside the law of the specification."""
        return f"Hurdle{type(self.model).__name__}"

    pictures: ClassVar[tuple[str, ...]] = ("coefficients", "density", "quantile_effects", "quantile_fan")
    kinds: ClassVar[Mapping[str, str]] = {"effect": "quantile_effects"}
    lacks: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("rsquared", "rsquared_adj", "resid", "leverage", "leverages"),
        "it is of one regression, and this is two models; each part, .occurs and .rest, has its own",
    )

    @property
    def _linear(self) -> bool:
        """Whether the rest has coefficients."""
        return hasattr(self.rest, "coefficients")

    @property
    def point(self) -> float:
        """Where the mass is, in units of the outcome."""
        return self.facts.point

    @property
    def converged(self) -> bool:
        """Whether both parts converged."""
        return bool(self.occurs.converged) and bool(self.rest.converged)

    @property
    def parameters(self) -> float:
        """Those of both parts, as each counts its own."""
        own = self.rest.parameters if self._linear else self.rest.edf
        return float(self.occurs.parameters + own)

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the names of the estimates."""
        names = self.spec.names
        return self.spec.outcome.name, [
            *(f"logit: {n}" for n in names),
            *names,
        ] if self._linear else FUNCTIONALS

    def solution(self) -> Array:
        """The coefficients of both parts."""
        return np.concatenate([self.occurs.solution(), self.rest.solution()])

    def fit_again(self, data: Any) -> HurdleResults:
        """The same specification on ``data``, by which `attach` knows the rows again."""
        again: HurdleResults = self.model.fit(data)
        return again

    def with_rows(self, again: HurdleResults) -> HurdleResults:
        """This result with the rows of an equal one."""
        parts = {"occurs": self.occurs.with_rows(again.occurs), "rest": self.rest.with_rows(again.rest)}
        return replace(self, rows=again.rows, **parts)

    def with_cov(self, cov: CovarianceKind, *, data: Any = None) -> HurdleResults:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        data : the table of the fit, for a result loaded from a file.

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        own = self if data is None else self.attach(data)
        own.data_rows()
        occurs, rest = own.occurs.with_cov(cov), own.rest.with_cov(cov)
        facts = replace(own.facts, clusters=occurs.covariance.clusters)
        return replace(own, occurs=occurs, rest=rest, kind=occurs.covariance.kind, facts=facts, saved=None)

    # ---- estimates -----------------------------------------------------------------------------------------

    @property
    def _df(self) -> float:
        return np.inf if self.facts.clusters is None else self.facts.clusters - 1.0

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients of both parts with the covariance of the stacked equations; else `functionals`."""
        if not self._linear:
            return self._functionals
        e, k = self.occurs.estimates, len(self.spec.names)
        values = np.concatenate([e.values, self.rest.coefficients])
        V = self.joint_covariance[: 2 * k, : 2 * k]
        open_ = np.append(np.isnan(np.diagonal(e.covariance)), np.zeros(k, dtype=bool))
        V = np.where(open_[:, None] | open_, np.nan, V)
        return Estimates(tuple(self.labels()[1]), values, V, self._df, clusters=self.facts.clusters)

    @cached_property
    def joint_covariance(self) -> Array:
        """Covariance of the coefficients of the logit, then all of the rest."""
        if self.saved is not None and self.rows is None:
            return self.saved.joint
        return self._estimation(False).joint

    @property
    def rest_estimates(self) -> Estimates:
        """Coefficients of the rest with errors from the stacked equations."""
        k = len(self.spec.names)
        e = self.estimates
        return e.others(self.spec.names, e.values[k:], e.covariance[k:, k:])

    @cached_property
    def _functionals(self) -> Estimates:
        if self.saved is not None and self.rows is None:
            return self.saved.functionals
        return self.functionals(FUNCTIONALS)

    # ---- laws ----------------------------------------------------------------------------------------------

    def distribution(self, new: Any = None) -> Law:
        """The law of the outcome for every row of ``new`` (None: rows of the fit); a single law for ``~ 1``.

        Parameters
        ----------
        new : table with the columns of the right side, or None.

        Returns
        -------
        WithMass

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        name = self.spec.outcome.name
        if not self.spec.variables:
            p = self.occurs.kernel.probability(self.occurs.coefficients[:1])
            rest = self.rest.distribution() if not self._linear else self.rest.distribution({"row": [0]})
            law: Law = WithMass(rest, self.point, 1 - (p if rest.batch_shape else p[0]))
        elif new is None:
            a = self.answering("mean", None, near=False)
            law = a.laws(a.X).law
        else:
            occurs = self.occurs.row_laws(new)
            share = 1 - occurs.kernel.probability(occurs.eta)
            law = WithMass(self.rest.distribution(new), self.point, share)
        return with_recording(law.named(name), self.spec)  # type: ignore[no-any-return]

    def row_laws(self, new: Any) -> RowLaws:
        """The laws of new rows; see `LawAnswers`."""
        return HurdleRowLaws(self.point, self.occurs.row_laws(new), self.rest.row_laws(new))

    def _laws(self, occurs: Callable[[Array], Any], rest: Callable[[Array], RowLaws], X: Array) -> RowLaws:
        """The laws of rows with a design (n, k), distinct rows once; a single one without covariates."""

        def of(X: Array) -> RowLaws:
            return HurdleRowLaws(self.point, occurs(X), rest(X))

        return distinct_laws(X, of) if self.spec.variables else of(X[:1])

    # ---- answers -------------------------------------------------------------------------------------------

    @property
    def held(self) -> Held:
        """The outcomes between which records tell the law of the rest."""
        held: Held = getattr(self.rest, "held", ALL)
        return held

    def _read(self, names: Any, on: Any, near: bool) -> tuple[list[str], list[Functional]]:
        """Functionals by name, read."""
        given, outcome = listed(names), self.spec.outcome.name
        exact = on is None
        if not near and self.spec.variables and not (exact and all(map(is_analytic, given))):
            raise no_error_of_average()

        functionals = [
            self._exact(n, near) if exact and is_analytic(n) else by_differences(n, outcome, on)
            for n in given
        ]
        return [functional_name(n) for n in given], functionals

    def _exact(self, name: str, near: bool) -> Functional:
        """A functional that is differentiated exactly; a probability has the mass at its lower end in it."""
        kind, numbers = parse_functional(name)
        if kind == "ratio" and near and self.point == 0:
            raise OptionError(
                f"{name}: a row whose quantile is the mass at zero has no ratio to it; use iqr."
            )
        if kind == "prob" and numbers[0] == self.point:
            numbers = (just_below(self.point), numbers[1])
        return kind, numbers

    def _estimation(self, near: bool) -> HurdleEstimation:
        return self.answering("mean", None, near=near).estimation  # type: ignore[return-value]

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """The laws of all rows and the estimation of both parts; see `LawAnswers`."""
        rows: HurdleRows = self.data_rows()
        read, functionals = self._read(names, on, near)
        if near and self.occurs.infinite is not None:
            raise WithheldError(
                f"The logit of {self.spec.outcome.name} != {self.point:g} is separated, so that some rows "
                "have no probability with an error: functionals() of all rows and of groups (by=) are given, "
                "and .occurs.margins() and .rest.effect() of either part."
            )
        first = self.occurs.answering("mean", None, near=near)
        rest = self.rest.answering("mean", None, near=near)
        estimation = HurdleEstimation(
            first.estimation,
            rest.estimation,
            len(self.spec.names),
            self._df,
            self.facts.clusters,
            rows.kept,
            rows.size,
            self.kind,
            rows.sampling,
        )
        laws = partial(self._laws, first.laws, rest.laws)
        X = rows.X
        check = rest.check_moments
        return Answering(
            read,
            functionals,
            laws,
            estimation,
            rows.scenario(),
            X,
            rows.weights,
            partial(rows.column, role="by="),
            partial(_bent, self.rest, X, self.spec.names),
            seen=None if rest.seen is None or on is not None else self._seen(rest.seen, laws(X)),
            check_moments=None if check is None else lambda _, asked: check(rest.whole, asked),
            held=rest.held,
        )

    def _seen(self, rest: Seen, laws: Any) -> Seen:
        """Outcomes of all rows with F(y | x), from those of the rows off the mass."""
        rows: HurdleRows = self.data_rows()
        p = 1 - laws.law.share
        y, at = np.full(rows.size, self.point), rows.kept
        y[at] = rest.outcome
        own = np.asarray(laws.law.rest.cdf(np.full(rows.size, self.point)))
        mass = (1 - p) * (y >= self.point)

        def pit(of_rest: Array) -> Array:
            out = own.copy()
            out[at] = of_rest
            return np.asarray(p * out + mass)

        below = None if rest.below is None else pit(rest.below)
        if below is not None:  # an outcome at the mass is known
            known = np.ones(rows.size, dtype=bool)
            known[at] = False
            below[known] = pit(rest.pit)[known]
        free = frozenset(j for j, n in enumerate(self.spec.names) if n != "Intercept")
        return Seen(y, pit(rest.pit), rows.observations, free, below, self._score_products(rest, p))

    def _score_products(self, rest: Seen, p: Array) -> Callable[[Array], Array] | None:
        """W'S of both parts' scores S where the rest was recorded, else None; ``p`` (n,) of being off it."""
        of_rest, rows = rest.products, self.data_rows()
        if of_rest is None:
            return None
        off = np.zeros(rows.size)
        off[rows.kept] = 1.0
        first = (off - p)[:, None] * rows.X
        return lambda W: np.column_stack([W.T @ first, of_rest(W[rows.kept])])

    def new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need; see `LawAnswers`."""
        read, functionals = self._read(names, on, True)
        if new is None:
            a = self.answering("mean", None, near=True)
            every = np.ones(len(a.X), dtype=bool)
            own = NewRows(read, functionals, a.laws(a.X), a.estimation, a.unsupported, every, a.held)
            return own, self.data_rows().index
        found, index = self.rest.new_answering("mean", None, new)
        laws = HurdleRowLaws(self.point, self.occurs.row_laws(new), found.laws)
        if self.rows is not None:
            estimation = self._estimation(True)
        else:
            assert self.saved is not None
            k = len(self.spec.names)
            parts = found.estimation, found.estimation
            estimation = HurdleEstimation(*parts, k, self._df, self.facts.clusters, given=self.saved.near)
        return found._replace(names=read, functionals=functionals, laws=laws, estimation=estimation), index

    def _known_effects(self, names: Any, on: Any, by: Any, target: str) -> EffectsResults | None:
        """The effects of the summary, which a file holds."""
        plain = on is None and by is None and tuple(listed(names)) == OF_EFFECTS and target == "population"
        return self.saved.effects if plain and self.saved is not None and self.rows is None else None

    def band(
        self,
        kind: str = "cdf",
        *,
        grid: Any = None,
        level: float = LEVEL,
        seed: Seed = 0,
        target: str = "population",
    ) -> pd.DataFrame:
        """A curve of the law averaged over the rows with pointwise limits and a uniform band over the grid.

        Parameters
        ----------
        kind : {"cdf", "pdf", "quantile"}
            "pdf" is the density beside the mass, times the probability of being off it.
        grid : outcomes (g,), or quantile levels; None for 60 between the .01 and .99 quantiles.
        level : float, confidence level.
        seed : of the simulation of the critical value.
        target : {"population", "sample"}, as in `functionals`.

        Returns
        -------
        DataFrame
            Columns y (or tau), estimate, conf_low, conf_high (pointwise), band_low, band_high.

        Raises
        ------
        OptionError, NeedsData
        """
        whose, a = check_target(target), self.answering("mean", None, near=True)
        estimation, averaged = a.estimation, Averaged(a.laws(a.X), a.whole.shares, a.held)
        if not a.conditional:
            whose = "sample"
        return band(averaged, kind, grid, check_level(level), seed_sequence(seed), estimation, whose)

    def _refitting(self) -> Refitting:
        rows, e, law = self.data_rows(), self.estimates, self.distribution()
        return refitting(
            self.model,
            rows,
            self.kind,
            outcome=rows.y,
            law=law if self.spec.variables else law.average(),
            truth={n: float(v) for n, v in zip(e.names, e.values, strict=True) if np.isfinite(v)},
            options={"cov": self.kind},
            fitted_only="" if self._linear or not self.spec.variables else AVERAGED,
        )

    # ---- tables and files ----------------------------------------------------------------------------------

    @cached_property
    def _summary_effects(self) -> EffectsResults | None:
        """Effects as a summary shows them; None without covariates and after separation."""
        if self.saved is not None and self.rows is None:
            return self.saved.effects
        return self.effects() if self.spec.variables and self.occurs.infinite is None else None

    def summary(self, level: float = LEVEL) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f, outcome, rest = check_level(level), self.facts, self.spec.outcome, self.rest
        what = "normal law" if self._linear else f"flow with {rest.flow.base} base"
        left = (
            ("Outcome", outcome.name),
            ("Formula", self.spec.formula),
            ("Estimator", f"hurdle: logit and {what}"),
            ("Covariance", self.occurs.covariance.label),
        )
        pseudo = "" if self.has_likelihood else "pseudo"
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, self.model.weight_type)),
            (f"Rows at {f.point:g}", f"{f.at_mass} ({f.at_mass / f.rows:.1%})"),
            (f"Log-{pseudo}likelihood", number(self.llf, 4)),
            ("AIC", number(self.aic, 2) if self.has_criteria else "withheld"),
        )
        effects = self._summary_effects
        off = f"{outcome.name} != {f.point:g}"
        sections = [estimates_section(self._functionals, level, f"Whole law of {outcome.name}")]
        sections += [] if effects is None else list(effects.sections())
        sections.append(estimates_section(self.occurs.estimates, level, f"Logit of {off}"))
        if self._linear:
            sections.append(estimates_section(self.rest_estimates, level, f"{outcome.name} where {off}"))
        return Summary("Hurdle Results", (left, right), tuple(sections), tuple(self._notes(effects)))

    def _notes(self, effects: EffectsResults | None) -> list[str]:
        """What the foot of a summary says."""
        f, outcome = self.facts, self.spec.outcome
        *others, mass = map(str, outcome.recorders)
        told = f"was {'; '.join(others)}, and " if others else ""
        notes = [
            f"{outcome.name} {told}has {mass}: the log-likelihood is the sum of both parts'.",
            NOT_CAUSAL,
            "A quantile at the mass has no standard error; limits of quantiles invert those of the "
            "distribution function.",
        ]
        if self.spec.variables:
            notes.append(f"The logit moves with {first_of(self.spec.variables)}. The rest: {self._moving()}")
        if self._linear:
            notes.append(f"Sigma of the rest: {number(self.rest.sigma)}.")
        if f.outside:
            notes.append(
                f"{f.outside} rows at the mass lie outside the covariates of the others, where the law of "
                "the rest follows its shape alone."
            )
        if len(outcome.recorders) > 1:
            notes.append(
                "Taken for granted: recording does not depend on the outcome, given the covariates, beyond "
                "what the formula says."
            )
        notes += [] if effects is None else effects.notes()
        if self.occurs.facts.separation is not None:
            notes.append(self.occurs.facts.separation)
        notes += [self.occurs.covariance.note]
        notes += rows_notes(self.model, f)
        return notes

    def _moving(self) -> str:
        """Which variables move location, scale and shape of the rest."""
        spec = self.rest.spec
        return moving(spec) if self._linear else moving_flow(self.rest.flow, covariate_names(spec.names))

    def __repr__(self) -> str:
        return printable(
            f"<Hurdle results ({type(self.model).__name__}): {self.spec.formula}, n = {self.nobs:g}, "
            f"{self.facts.at_mass} at {self.point:g}, llf = {self.llf:.3f}>"
        )

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Both parts, each as in a file of its own, the covariances of both, functionals and effects."""
        near = self.saved.near if self.saved is not None and self.rows is None else self._near_covariance
        e, effects = self._functionals, self._summary_effects
        arrays: dict[str, Array] = {"joint": self.joint_covariance, "near": near}
        arrays |= {"values": e.values, "covariance": e.covariance, "limits": e.interval(LEVEL)}
        estimator = {k: v for k, v in asdict(self.model).items() if k != "train"}
        words: dict[str, Any] = {"estimator": estimator}
        for name, part in (("occurs", self.occurs), ("rest", self.rest)):
            words[name], own = part.as_part(f"{name}_")
            arrays |= own
        if effects is not None:
            more, numbers = effects.to_file()
            words, arrays = words | {"effects": more}, arrays | numbers
        return words, arrays

    @property
    def _near_covariance(self) -> Array:
        """That of the coefficients from which predictions come; those of the fit after separation."""
        return self.joint_covariance if self.occurs.infinite is not None else self._estimation(True).joint

    @classmethod
    def from_file(cls, saved: SavedResult) -> HurdleResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        occurs = saved.part(header.occurs, "occurs_", ("Logit",), "is no logit")
        rest = saved.part(header.rest, "rest_", RESTS, "is no law of the rest")
        if {occurs.spec.names, rest.spec.names} != {header.spec.names}:
            raise FileFormatError("its parts do not have the columns of the whole")
        size = len(header.spec.names) + _coefficients(rest)
        a = saved.numbers(_ARRAYS, q=len(FUNCTIONALS), p=size)
        df = np.inf if header.facts.clusters is None else header.facts.clusters - 1.0
        title = law_title(header.spec.outcome.name, "population" if header.spec.variables else None)
        found = saved_estimates(FUNCTIONALS, a, df, header.facts.clusters, title)
        effects = saved_effects(saved, header.effects, found)
        return cls(
            model=saved.model(header.estimator),
            spec=header.spec,
            facts=header.facts,
            occurs=occurs,
            rest=rest,
            kind=occurs.covariance.kind,
            saved=SavedHurdle(a["joint"], a["near"], found, effects),
        )


RESTS = ("FlowDensity", "NormalRegression", "RecordedNormal")


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    spec: DesignSpec
    facts: HurdleFacts
    estimator: dict[str, Any]
    occurs: FilePart
    rest: FilePart
    effects: EffectsHeader | None = None


_ARRAYS = {
    "joint": Numbers("p p", "any"),
    "near": Numbers("p p", "any"),
    "values": Numbers("q", "any"),
    "covariance": Numbers("q q", "a covariance"),
    "limits": Numbers("q 2", "any"),
}


def _coefficients(rest: Any) -> int:
    """How many coefficients the rest has, σ among them."""
    return len(rest.coefficients) + 1 if hasattr(rest, "coefficients") else len(rest.main.theta)


def _bent(rest: Any, X: Array, names: Sequence[str], columns: Sequence[int]) -> Array:
    """What the rest makes of columns of the design of all rows."""
    flow = getattr(rest, "flow", None)
    found: Array = X[:, list(columns)] if flow is None else flow.bent(X, names, columns)
    return found
