"""Results of models with absorbed effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.table import Table, list_names
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.distributions.families import Normal
from disteconometrics.errors import (
    FileFormatError,
    IncidentalParametersWarning,
    LevelError,
    OptionError,
    WithheldError,
    warn_user,
)
from disteconometrics.estimators.absorbed.effects import absorbed_effects
from disteconometrics.estimators.absorbed.fit import (
    AbsorbedFacts,
    AbsorbedRows,
    Effects,
    estimate_absorbed,
    incidental_words,
)
from disteconometrics.estimators.absorbed.panel import keys_of
from disteconometrics.estimators.binary.fit import success_of
from disteconometrics.estimators.binary.likelihood_tests import check_same_rows
from disteconometrics.estimators.binary.margins import MarginsResults
from disteconometrics.estimators.categories import MultiIndexAnswers
from disteconometrics.estimators.refit import refitting_result, success_labels
from disteconometrics.estimators.results import CoefficientsHeader, FittedResult, SavedResult
from disteconometrics.fields import Numbers
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    HAC,
    Cluster,
    CovarianceKind,
    resolve_kind,
)
from disteconometrics.inference.estimates import TestResult, check_level
from disteconometrics.inference.protocols import Refitting
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.report.summary import offset_notes
from disteconometrics.words import OTHER_WORDS

__all__ = ["AbsorbedNormalResults", "AbsorbedResults", "fit_absorbed"]

LEAST_AVERAGED = 8  # rows of a group, below which average effects of a logit are missed, and …
LEAST_AVERAGED_PROBIT = 16  # … of a probit (`coverage_of_absorbed.md`)


_EFFECTS = "effects on laws have no errors beside absorbed effects; take "
_RESIDUALS = "take the outcome less predict()"
_RECORDED = "outcomes as they were recorded are not fitted beside absorbed effects; write C(id)"
# what fits without absorbed effects have
LACKS = {
    **dict.fromkeys(
        ("effect", "plot_effect", "plot_fan", "functionals", "counterfactual"), f"{_EFFECTS}predict(new)"
    ),
    **dict.fromkeys(("resid", "resid_response", "resid_pearson", "resid_deviance", "resid_dev"), _RESIDUALS),
    **dict.fromkeys(("fittedvalues", "augment", "get_prediction"), "take predict(), which has no intervals"),
    **dict.fromkeys(("influence", "leverage"), "they are not made beside absorbed effects; write C(id)"),
    "mean_bounds": _RECORDED,
}
_PREDICTED = "estimated effects have seen the outcomes that they would be judged by; take predict()"
LACKS_BINARY = LACKS | {
    **dict.fromkeys(("roc", "calibration", "classification", "pred_table", "hosmer_lemeshow"), _PREDICTED),
    **dict.fromkeys(("score_test", "link_test"), "add the columns and take test('…') or lr_test(…)"),
    **dict.fromkeys(
        ("effect", "plot_effect", "plot_fan", "functionals", "counterfactual"), f"{_EFFECTS}margins()"
    ),
    "profile": "take conf_int()",
    "probability_curve": "take predict(new)",
    **dict.fromkeys(("get_margeff", "to_marginaleffects"), "take margins()"),
}
LACKS_NORMAL = LACKS | {
    **dict.fromkeys(("margins",), "the derivative of the mean is the coefficient; take params"),
    "rsquared_adj": "take rsquared, the share within groups",
    "scale": "take sigma ** 2",
    "recorded_mean": _RECORDED,
}


def fit_absorbed(
    model: Any,
    data: Any,
    *,
    cov: CovarianceKind | None,
    use_t: Any,
    kernel: Any = None,
    maxiter: int = 100,
) -> Any:
    """Fit a specification whose formula absorbs effects; without a kernel, by least squares.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError, NeedsRows

    Examples
    --------
    >>> import disteconometrics as de
    >>> panel = {"id": [1, 1, 1, 2, 2, 2], "x": [0, 1, 3, 2, 5, 4], "y": [0, 1, 3, 0, 2, 3]}
    >>> res = fit_absorbed(de.NormalRegression("y ~ x | id"), panel, cov=None, use_t=True)
    >>> type(res).__name__
    'AbsorbedNormalResults'
    """
    kind = checked_kind(cov, model.weight_type)
    rows, facts, effects = estimate_absorbed(model, kernel, data, maxiter=maxiter)
    result = AbsorbedNormalResults if kernel is None else AbsorbedResults
    found = result.of_rows(model, rows, facts, kind, use_t)
    return replace(found, effect_values=effects)


def correction_words(model: Any) -> str:
    """What was done about the bias of slopes.

    Examples
    --------
    >>> import disteconometrics as de
    >>> correction_words(de.Logit("y ~ x | id", bias="split", time="t"))[:55]
    'Bias of order 1/T removed by halves of the periods of t'
    """
    lags = f", bandwidth {model.bandwidth}" if model.bandwidth else ", for strictly exogenous regressors"
    how = {
        "analytical": f"its formula{lags}",
        "jackknife": f"leaving out one period of {model.time} at a time",
        "split": f"halves of the periods of {model.time}",
    }[model.bias]
    errors = "Errors are those of the halves, the" if model.bias == "split" else "Errors and"
    where = "is" if model.bias == "split" else "are"
    return (
        f"Bias of order 1/T removed by {how}. {errors} log-likelihood {where} at the corrected slopes; at a "
        f"small T some of the bias is left."
    )


def _warn_small_average(model: Any, facts: AbsorbedFacts) -> None:
    """Say where groups are too small for average effects."""
    column, mean = facts.absorbed[0], facts.periods[1]
    if mean >= (LEAST_AVERAGED if model.kernel is LOGISTIC else LEAST_AVERAGED_PROBIT):
        return
    hint = "average effects need more rows of each group"
    text = (
        f"T = {mean:.3g} rows of each {column} are too few for average effects: what the estimated effects "
        f"do to them is more than their errors say, with a correction or without."
    )
    warn_user(IncidentalParametersWarning(text, column=column, hint=hint))


def checked_kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    """A covariance that there is where effects are absorbed.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> checked_kind(None, None)
    'nonrobust'
    """
    kind = resolve_kind(cov, weight_type)
    jackknife = isinstance(kind, Cluster) and kind.correction == "jackknife"
    if isinstance(kind, HAC) or kind in ("opg", "HC2", "HC3") or jackknife:
        raise OptionError(
            f"cov={kind!r} is not made where effects are absorbed; use 'HC1', or de.Cluster(column), as of "
            f"the groups."
        )
    return kind


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AbsorbedAnswers(MultiIndexAnswers):
    """What results with absorbed effects share: covariances, effects, indices of new rows, tables, files."""

    facts: AbsorbedFacts
    rows: AbsorbedRows | None = field(default=None, repr=False)
    effect_values: tuple[Effects, ...] = field(repr=False, default=())

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)
    other_words: ClassVar[Mapping[str, str]] = OTHER_WORDS | dict.fromkeys(
        ("absorbed_effects", "fixed_effects", "fixef"), "effects"
    )

    @property
    def tested(self) -> Indices:
        """All coefficients: the null model has the effects alone."""
        return np.arange(len(self.coefficients))

    @property
    def pseudo(self) -> str:
        """What goes before likelihood under sampling weights."""
        return "pseudo-" if self.model.weight_type == "sampling" else ""

    @property
    def parameters(self) -> float:
        """Coefficients and absorbed effects."""
        return float(len(self.coefficients) + self.facts.others + self.facts.groups)

    @property
    def effects(self) -> dict[str, pd.Series]:
        """Estimated effects by absorbed column and level.

        Those of the column with the most levels hold the constant; others are less that of a first level. An
        effect is −inf or inf where the outcome never or always occurs, NaN where its level has no row left.
        """
        return {
            e.column: pd.Series(e.values, index=pd.Index(e.levels, name=e.column), name="effect")
            for e in self.effect_values
        }

    @property
    def model_label(self) -> str:
        """What a comparison calls it."""
        bias = getattr(self.model, "bias", "none")
        name = f"{type(self.model).__name__} | {' + '.join(self.facts.absorbed)}"
        return name if bias == "none" else f"{name}, {bias}"

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the regressors."""
        return self.spec.outcome.name, self.facts.names

    def checked_kind(self, cov: CovarianceKind | None) -> CovarianceKind:
        """A covariance that there is for this result.

        Raises
        ------
        OptionError
        """
        return checked_kind(cov, self.model.weight_type)

    def check_nested(self, restricted: Any) -> None:
        """Refuse a model that is not a smaller one of the same rows and effects.

        Raises
        ------
        OptionError, NeedsData
        """
        if getattr(restricted.facts, "absorbed", ()) != self.facts.absorbed:
            raise OptionError("lr_test takes a model that absorbs the same columns.")
        check_same_rows(self.data_rows(), restricted.data_rows())

    def index(self, new: Any = None) -> tuple[Array, Any]:
        """x'β and effects (m,) of new rows, None those of the fit, and their pandas index.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        eta = self.spec.without_constant(rows.X) @ self.coefficients
        if rows.offset is not None:
            eta = eta + rows.offset
        for effects in self.effect_values:
            eta = eta + self._of_rows(effects, new, rows)
        return eta, rows.index

    def _of_rows(self, effects: Effects, new: Any, rows: Any) -> Array:
        name = effects.column
        if new is None:
            values, there = rows.column(name, "absorbed effect"), np.arange(len(rows.index))
        else:
            table = Table(new)
            there = np.flatnonzero(~table.missing(name, "absorbed effect"))
            values = pd.Series(table.raw(name, "absorbed effect"), name=name).iloc[there]
        keys = keys_of(values)
        places = effects.levels.get_indexer(pd.Index(keys))
        if (places < 0).any():
            unknown = pd.unique(keys[places < 0]).tolist()
            raise LevelError(
                f"Column {name!r} has levels without an estimated effect: {list_names(unknown)}."
            )
        out = np.full(len(rows.index), np.nan)
        out[there] = effects.values[places]
        return out

    @property
    def rows_together(self) -> str:
        """The column of the effects that are eliminated, whose rows resampling keeps together."""
        return self.facts.absorbed[0]

    def refitted(self, **how: Any) -> Refitting:
        """What `FittedResult.monte_carlo` makes again: clusters are drawn if they are the groups."""
        column, found = self.facts.absorbed[0], refitting_result(self, **how)
        if found.clusters == (column,):
            return found
        return replace(found, fitted_only=f"the rows of a {column} belong together")

    # ---- tables and files ----------------------------------------------------------------------------------

    def head(self) -> tuple[str, str]:
        """Observations in words, and the name of the null log-likelihood."""
        f = self.facts
        return f"{f.observations:g} ({f.given - f.rows + f.lost_rows} dropped)", "LL-null (effects alone)"

    def notes(self) -> list[str]:
        """The foot of the summary, but for weights and rows that were dropped."""
        f = self.facts
        low, mean, high = f.periods
        column = f.absorbed[0]
        spans = f"T = {low:g}" if low == high else f"T from {low:g} to {high:g}, {mean:.3g} on average"
        notes = [f"Absorbed: {', '.join(f.absorbed)}; {f.groups} groups of {column}, {spans}."]
        if f.lost_groups or f.lost_rows:
            notes.append(
                f"Groups in which {self.spec.outcome.name} does not vary, left out: {f.lost_groups} of "
                f"{f.groups + f.lost_groups}, {f.lost_rows} rows."
            )
        notes.append(self.covariance.note)
        return [*notes, *offset_notes(self.model)]

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, parameters, their covariance, and the effects with their levels."""
        words, arrays = super().to_file()
        for i, e in enumerate(self.effect_values):
            arrays[f"effects_{i}"] = e.values
        return {**words, "levels": [list(e.levels.tolist()) for e in self.effect_values]}, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> Any:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        facts = header.facts
        k = len(facts.names)
        if set(facts.names) != set(header.spec.names) - {"Intercept"} or not k:
            raise FileFormatError("its coefficients do not belong to its formula")
        if len(header.levels) != len(facts.absorbed):
            raise FileFormatError("its effects do not belong to its formula")
        arrays = saved.numbers({"params": Numbers("k"), **COVARIANCE_ARRAYS}, k=k)
        effects = []
        for i, (column, levels) in enumerate(zip(facts.absorbed, header.levels, strict=True)):
            name = f"effects_{i}"
            values = saved.numbers({name: Numbers("g", "any")}, g=len(levels))[name]
            effects.append(Effects(column, pd.Index(levels), values))
        result: Callable[..., Any] = cls
        return result(**header.fields_of(saved, arrays), effect_values=tuple(effects))


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: AbsorbedFacts
    levels: tuple[tuple[str | int | bool | float, ...], ...]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AbsorbedResults(AbsorbedAnswers, FittedResult):
    """A fitted binary model with absorbed effects: slopes, tests, effects, predictions, average effects.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> panel = {"id": [1, 1, 1, 1, 2, 2, 2, 2], "x": [0, 1, 3, 2, 2, 5, 4, 1], "y": [0, 1, 0, 1, 0, 1, 1, 0]}
    >>> res = de.Logit("y ~ x | id", bias="analytical").fit(panel)
    >>> res.effects["id"].round(2).to_dict(), res.predict().round(2).tolist()
    ({1: -1.0, 2: -2.0}, [0.27, 0.42, 0.73, 0.58, 0.34, 0.79, 0.66, 0.21])
    """

    lacks: ClassVar[Mapping[str, str]] = LACKS_BINARY

    @property
    def file_kind(self) -> str:
        """The kind that the file of this result is of."""
        return f"Absorbed{type(self.model).__name__}"

    @property
    def has_likelihood(self) -> bool:
        """Whether the log-likelihood was maximised, and is one of observations."""
        return super().has_likelihood and self.model.bias == "none"

    @property
    def method(self) -> str:
        """What the estimates are."""
        if self.model.bias == "none":
            return f"{self.pseudo}maximum likelihood"
        return f"ML, {self.model.bias} correction"

    def predict(self, new: Any = None) -> pd.Series:
        """P(y = 1) of rows, given the estimated effects of their groups.

        Parameters
        ----------
        new : table with the columns of the right side and the absorbed ones, or None for the rows of the fit.

        Returns
        -------
        pandas Series (m,)
            0 or 1 in groups whose outcome never varies; NaN where a value is missing.  They come without
            intervals: an effect rests on the few rows of its group.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        eta, index = self.index(new)
        return pd.Series(self.model.kernel.probability(eta), index=index, name="probability")

    def distribution(self, new: Any = None) -> Bernoulli:
        """The Bernoulli law of the outcome for every row of ``new`` (None: the rows of the fit)."""
        return Bernoulli(self.predict(new).to_numpy(), success_of(self.spec))

    def margins(
        self, variables: Any = None, *, target: str = "sample", level: float = 0.95
    ) -> MarginsResults:
        """Average effects of variables on P(y = 1) over all rows, given the estimated effects.

        Rows of groups in which the outcome does not vary count with an effect of zero.  Errors include the
        estimation of the effects; under ``bias="analytical"`` the averages are corrected as the slopes are.
        Intervals of a logit covered .90 to .96 from T = 8 on and .49 to .84 at T = 4, corrected or not, those
        of a probit .70 at T = 8: a warning says where T is too small.

        Parameters
        ----------
        variables : str, list of str, dict or None
            As in `Logit`: numbers get the derivative, levels and 0-1 columns differences; None takes all.
        target : {"sample", "population"}
            Averages over these very rows, or over the groups that these were drawn from, whose spread is
            added to the errors by groups.
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        WithheldError
            Under ``bias="jackknife"`` and ``"split"``, and with weights.

        Warns
        -----
        IncidentalParametersWarning
        """
        level, rows = check_level(level), self.data_rows()
        if self.model.bias in ("jackknife", "split") or self.model.weights is not None:
            raise WithheldError(
                "Average effects are of unweighted rows with bias='none' or 'analytical': take the latter, "
                "or the average of predict() by hand."
            )
        found = absorbed_effects(rows, self.model, variables, target, self.covariance.kind)
        _warn_small_average(self.model, self.facts)
        e = self.estimates.others(found.names, found.values, found.covariance, level=level)
        notes = [self.covariance.note, *found.notes]
        return MarginsResults(
            e,
            "dydx",
            "the rows (average)",
            target,
            success_of(self.spec),
            self.model.formula,
            self.covariance.label,
            self.facts.rows,
            tuple(notes),
        )

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) with delta-method errors, z and p of β = 0, and limits exp(limits of β).

        Raises
        ------
        WithheldError
            If the model is no logit.
        """
        if self.model.kernel is not LOGISTIC:
            raise WithheldError("Odds ratios are of a logit.")
        return self.estimates.exponentiated(level)

    def lr_test(self, restricted: Any) -> Any:
        """Likelihood-ratio test of a smaller model that absorbs the same effects; see `MultiIndexAnswers`."""
        if {self.model.bias, getattr(getattr(restricted, "model", None), "bias", "none")} != {"none"}:
            raise WithheldError("Corrected estimates do not maximise the likelihood: use test('…').")
        return super().lr_test(restricted)

    def notes(self) -> list[str]:
        """The foot of the summary, but for weights and rows that were dropped."""
        f, model = self.facts, self.model
        notes = super().notes()
        if model.bias == "none":
            notes[2:2] = [" ".join(incidental_words(model, f))]
        else:
            notes.append(correction_words(model))
        return notes

    def _refitting(self) -> Refitting:
        labels = success_labels(self.spec.outcome)
        return self.refitted(law=self.distribution(), labels=labels, robust="HC0")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AbsorbedNormalResults(AbsorbedAnswers, FittedResult):
    """Least squares with absorbed effects, the within estimator: slopes, tests, effects, predictions.

    Its σ² is RSS/(n − ids − k).  It refers to the rows it was fitted on (no copy); a result loaded from a
    file holds none, `attach` gives them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> panel = {"id": [1, 1, 1, 2, 2, 2], "x": [0, 1, 3, 2, 5, 4], "y": [0, 1, 3, 0, 2, 3]}
    >>> res = de.NormalRegression("y ~ x | id").fit(panel)
    >>> res.params.round(3).to_dict(), round(res.sigma, 3)
    ({'x': 0.893}, 0.794)
    """

    lacks: ClassVar[Mapping[str, str]] = LACKS_NORMAL

    @property
    def file_kind(self) -> str:
        """The kind that the file of this result is of."""
        return "AbsorbedNormal"

    @property
    def has_likelihood(self) -> bool:
        """Whether criteria and ratios of likelihoods have a meaning: not beside so many effects."""
        return False

    @property
    def sigma(self) -> float:
        """The standard deviation of errors, from RSS/(n − ids − k)."""
        sigma: Any = self.facts.sigma
        return float(sigma)

    @property
    def rsquared(self) -> float:
        """The share of the variance inside groups that the regressors explain."""
        return float(self.facts.within)

    @property
    def prsquared(self) -> float:
        """No number: McFadden's share is of binary outcomes, see `rsquared`."""
        return float("nan")

    @property
    def method(self) -> str:
        """What the estimates are."""
        return "least squares within groups"

    @property
    def share(self) -> tuple[str, str]:
        """What the summary says of the share that is explained."""
        return "R² within groups", f"{self.rsquared:.4f}"

    def predict(self, new: Any = None) -> pd.Series:
        """Means of the outcome of rows, given the estimated effects of their groups.

        Parameters
        ----------
        new : table with the columns of the right side and the absorbed ones, or None for the rows of the fit.

        Returns
        -------
        pandas Series (m,)

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        mean, index = self.index(new)
        return pd.Series(mean, index=index, name="mean")

    def distribution(self, new: Any = None) -> Normal:
        """The normal law of the outcome for every row of ``new`` (None: the rows of the fit)."""
        return Normal(self.predict(new).to_numpy(), self.sigma).named(self.spec.outcome.name)

    def lr_test(self, restricted: Any) -> TestResult:
        """Withheld: the variance has no consistent maximum-likelihood estimate beside so many effects."""
        raise WithheldError("Beside so many effects the likelihood ratio is not χ²: use test('…').")

    def _refitting(self) -> Refitting:
        return self.refitted(law=self.distribution(), robust="HC1")
