"""Conditional logit on long data: which alternative of a set is chosen, or which members succeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.blocks import Block
from disteconometrics.data.table import Table, list_names
from disteconometrics.errors import DataError, FileFormatError, OptionError, WithheldError
from disteconometrics.estimators.binary.likelihood_tests import check_same_rows
from disteconometrics.estimators.binary.margins import MarginsResults, margins_of
from disteconometrics.estimators.categories import (
    MaximumFacts,
    MultiIndexAnswers,
    MultiIndexEstimator,
    checked_base,
    equation_of,
    probability_limits,
    refuse_separation,
    share_loglik,
    warn_fit,
    whitened_columns,
)
from disteconometrics.estimators.choice_effects import Effects, choice_effects
from disteconometrics.estimators.choice_sets import (
    Alternatives,
    ChoiceRows,
    ChoiceSets,
    SetChoices,
    columns_of,
    read_sets,
    with_equation,
)
from disteconometrics.estimators.refit import refitting_result, success_labels
from disteconometrics.estimators.results import CoefficientsHeader, FittedResult, SavedResult
from disteconometrics.estimators.specification import check_columns
from disteconometrics.fields import AnyFloat, Count, Negative, Numbers
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    HAC,
    CovarianceKind,
)
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.protocols import Refitting
from disteconometrics.likelihoods.conditional import (
    ExactSuccesses,
    OneSuccess,
    Sets,
    SetScores,
    centred,
    set_probabilities,
)
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim.category_separation import conditional_separation
from disteconometrics.optim.concave import maximise_concave
from disteconometrics.report.summary import offset_notes
from disteconometrics.tables import number

__all__ = ["ConditionalLogit", "ConditionalResults"]


@dataclass(frozen=True, kw_only=True)
class ConditionalLogit(MultiIndexEstimator["ConditionalResults"]):
    """Conditional logit by maximum likelihood on long data, P(i) = exp(x_i'β)/Σ exp(x_l'β) over a set.

    A row is an alternative of a choice set, or a member of a stratum; alternatives that are not available
    have no row.  Of each set of columns that there is one of for every alternative, such as ``C(mode)`` and
    ``income:C(mode)``, the base's is left out, as it is not identified beside the others.

    Parameters
    ----------
    formula : str
        ``"chosen ~ price + catch + income:C(mode) + C(mode)"``; the outcome is 0/1, true/false or text of two
        values.  The intercept is the same in all rows of a set and drops out.
    choice : str
        Name of the column that says which set a row belongs to.
    base : value or None
        The alternative whose columns are left out; None takes the first of the column in the formula whose
        values differ inside every set.
    successes : {"one", "exact"}
        Exactly one chosen row a set, else the fit is refused; or any number, as in matched case-control and
        panel data: the likelihood given their number, exactly.  Sets where all or none succeed tell nothing
        and are left out and counted.
    weights : str or None
        Name of the column of weights of sets, the same in all rows of a set.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical sets; sampling
        weights are inverse probabilities of selection and give robust standard errors.
    offset : str or None
        Name of a column added to x'β with coefficient one.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers
    in Econometrics.
    Chamberlain (1980), Analysis of covariance with qualitative data, Review of Economic Studies 47,
    doi:10.2307/2297110.

    Examples
    --------
    >>> trips = {"id": [1, 1, 2, 2, 3, 3, 4, 4], "mode": ["bus", "car"] * 4,
    ...          "chosen": [1, 0, 0, 1, 0, 1, 1, 0], "cost": [2.0, 3.0, 2.0, 1.5, 2.5, 4.0, 1.0, 4.0]}
    >>> res = ConditionalLogit("chosen ~ cost + C(mode)", choice="id").fit(trips)
    >>> res.params.round(3).to_dict(), res.nobs
    ({'cost': -1.369, 'C(mode)[T.car]': 1.711}, 4.0)
    """

    refused: ClassVar[str] = "choice sets, which"

    choice: str | None = None
    base: Any = None
    successes: str = "one"
    weights: str | None = None
    weight_type: str | None = None
    offset: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check names of columns and choices.

        Raises
        ------
        OptionError
        """
        check_columns(
            weights=self.weights, weight_type=self.weight_type, offset=self.offset, choice=self.choice
        )
        if self.choice is None:
            raise OptionError("choice is the name of the column of choice sets or strata, as in choice='id'.")
        if self.successes not in ("one", "exact"):
            raise OptionError(f"successes={self.successes!r} is not known; use 'one' or 'exact'.")
        return checked_base(self.base, "alternative; give one value of their column")

    def checked_kind(self, cov: CovarianceKind | None) -> CovarianceKind:
        """A covariance that there is for sets, which have no order in time.

        Raises
        ------
        OptionError
        """
        if isinstance(cov, HAC):
            raise OptionError(
                "Choice sets have several rows at one time and no order: use 'HC1' or de.Cluster."
            )
        return super().checked_kind(cov)

    def estimated(self, data: Any, maxiter: int) -> tuple[type[ConditionalResults], Any, Any]:
        """The class of the result with solved rows and facts."""
        return ConditionalResults, *_estimate(self, data, maxiter)


# ---- estimation --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ConditionalFacts(MaximumFacts):
    """Numbers of a fit that need no rows.

    ``names`` are the columns with a coefficient, ``alternative`` the column of alternatives and ``levels``
    its values, the base first; ``sets`` were used, ``lone`` had nothing to explain.  ``constants_loglik`` is
    that of the alternatives' constants alone, NaN without alternatives.
    """

    names: tuple[str, ...]
    alternative: str | None
    levels: tuple[str, ...]
    sets: Count
    lone: Count
    null_loglik: Negative
    constants_loglik: AnyFloat


def _estimate(model: ConditionalLogit, data: Any, maxiter: int) -> tuple[ChoiceRows, ConditionalFacts]:
    found = read_sets(model, data)
    read, sets, w = found.read, found.sets, found.weights
    X = np.ascontiguousarray(read.X[found.by_set])
    kept = columns_of(read.spec, X, sets, found.alternatives)
    names = tuple(read.spec.names[j] for j in kept)
    own = centred(X[:, kept], sets)
    white = whitened_columns(IndexModel(LOGISTIC, [Block(found.y, own)]), names)
    Z = np.ascontiguousarray(np.concatenate([block.X for block in white.model.blocks]))
    shift = np.zeros(len(Z)) if read.offset is None else read.offset[found.by_set]
    objective = _objective(model, found, Z, shift)
    top = maximise_concave(objective, np.zeros(len(names)), maxiter=maxiter)
    if top.far or not top.converged:
        tried = [white.basis @ top.theta, white.basis @ top.step]
        separation = conditional_separation(own, found.y, sets.starts, tried)
        refuse_separation(separation, names, read.spec.outcome.name, len(sets.sizes), "Leave the column out.")
    observations = float(w.sum()) if read.frequency and w is not None else float(len(sets.sizes))
    facts = ConditionalFacts(
        **ConditionalFacts.known(read, top, white.condition),
        observations=observations,
        names=names,
        alternative=None if found.alternatives is None else found.alternatives.column,
        levels=() if found.alternatives is None else tuple(map(str, found.alternatives.levels)),
        sets=len(sets.sizes),
        lone=found.lone,
        null_loglik=top.started,
        constants_loglik=_constants_loglik(model, found, shift),
    )
    warn_fit(facts)
    source = SetScores(objective, top.theta, w if read.frequency else None)
    equation = equation_of(names, white.basis, top, source, read, observations)
    return with_equation(found, replace(equation, rows=len(sets.sizes))), facts


def _objective(
    model: ConditionalLogit, found: ChoiceSets, X: Array, shift: Array
) -> OneSuccess | ExactSuccesses:
    if model.successes == "exact":
        return ExactSuccesses(X, found.y, found.sets, found.weights, shift)
    return OneSuccess(X, np.flatnonzero(found.y == 1), found.sets, found.weights, shift)


def _constants_loglik(model: ConditionalLogit, found: ChoiceSets, shift: Array) -> float:
    """Log-likelihood of a constant for every alternative but the base; NaN without alternatives."""
    if found.alternatives is None or model.successes == "exact":
        return float("nan")
    codes, J = found.alternatives.codes[found.by_set], len(found.alternatives.levels)
    counts = np.bincount(codes[found.y == 1], found.weights, J)
    if np.all(found.sets.sizes == J) and not shift.any():
        return share_loglik(as_floats(counts[counts > 0]))
    # an alternative that nobody chose runs away, to the model without it
    chosen = np.flatnonzero(counts > 0)
    inside = np.isin(codes, chosen)
    sizes = found.sets.sums(as_floats(inside)).round().astype(np.intp)
    X = (codes[inside][:, None] == chosen[1:]).astype(np.float64)
    at = np.flatnonzero(found.y[inside] == 1)
    alone = OneSuccess(X, at, Sets.of_sizes(sizes), found.weights, shift[inside])
    return float(maximise_concave(alone, np.zeros(X.shape[1])).found.loglik)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ConditionalResults(MultiIndexAnswers, FittedResult):
    """A fitted conditional logit: coefficients, fit, tests, elasticities, willingness to pay, probabilities.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.  Observations are choice sets.

    Examples
    --------
    >>> import disteconometrics as de
    >>> trips = {"id": [1, 1, 2, 2, 3, 3, 4, 4], "mode": ["bus", "car"] * 4,
    ...          "chosen": [1, 0, 0, 1, 0, 1, 1, 0], "cost": [2.0, 3.0, 2.0, 1.5, 2.5, 4.0, 1.0, 4.0]}
    >>> res = de.ConditionalLogit("chosen ~ cost + mode", choice="id").fit(trips)
    >>> res.predict().round(2).tolist()
    [0.42, 0.58, 0.08, 0.92, 0.58, 0.42, 0.92, 0.08]
    """

    facts: ConditionalFacts
    rows: ChoiceRows | None = field(default=None, repr=False)

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the columns with a coefficient."""
        return self.spec.outcome.name, self.facts.names

    @property
    def tested(self) -> Indices:
        """All coefficients: the null model has equal shares."""
        return np.arange(len(self.coefficients))

    @property
    def llconstants(self) -> float:
        """Log-likelihood of a constant for every alternative alone; NaN without a column of alternatives."""
        return float(self.facts.constants_loglik)

    @property
    def base(self) -> str | None:
        """The alternative whose columns are left out; None without a column of alternatives."""
        return self.facts.levels[0] if self.facts.levels else None

    def check_nested(self, restricted: Any) -> None:
        """Refuse a model that is not a smaller one of the same sets.

        Raises
        ------
        OptionError, NeedsData
        """
        same = (self.model.choice, self.model.successes)
        if same != (restricted.model.choice, restricted.model.successes):
            raise OptionError("lr_test takes a model of the same choice sets and successes.")
        check_same_rows(self.data_rows(), restricted.data_rows())

    # ---- answers -------------------------------------------------------------------------------------------

    def _check_one(self, what: str) -> None:
        """Withhold what supposes one choice a set."""
        if self.model.successes == "exact":
            raise WithheldError(
                f"{what} of single rows are not identified given the number of successes: the constant of a "
                f"stratum is conditioned out. Odds ratios, exp(coefficient), are."
            )

    def _kept(self, X: Array) -> Array:
        at = {name: j for j, name in enumerate(self.spec.names)}
        return X[:, [at[name] for name in self.facts.names]]

    def predict(self, new: Any = None, *, ci: bool = False, level: float = 0.95) -> Any:
        """Probabilities of the alternatives of their sets, with intervals inside [0, 1] on request.

        Parameters
        ----------
        new : long table with the columns of the right side and the ``choice`` column, or None for the rows of
            the fit.
        ci : bool, whether to give estimate, std_error, conf_low and conf_high; limits are symmetric for the
            log-odds of the alternative.
        level : float, confidence level.

        Returns
        -------
        pandas Series (m,), or DataFrame (m, 4) with ``ci``; a set with a missing value gives NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        WithheldError
            With ``successes="exact"``.
        """
        self._check_one("Probabilities")
        level = check_level(level)
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        codes = rows.design.codes((self.model.choice,), "choice set")[0] if new is None else self._codes(new)
        by_set = np.argsort(codes, kind="stable")
        sets, X = Sets.of_sizes(np.bincount(codes)), self._kept(rows.X)[by_set]
        eta = X @ self.coefficients + (0.0 if rows.offset is None else rows.offset[by_set])
        p = set_probabilities(eta, sets)[0]
        back = np.argsort(by_set)
        if not ci:
            return pd.Series(p[back], index=rows.index, name="probability")
        errors = p * self.covariance.errors(X - sets.sums(p[:, None] * X)[sets.owner])
        parts = probability_limits(p[back], errors[back], self.estimates.critical(level))
        return pd.DataFrame(parts, index=rows.index)

    def _codes(self, new: Any) -> Indices:
        """Sets of new rows."""
        raw = pd.Series(Table(new).raw(self.model.choice, "choice set"))
        codes: Indices = pd.factorize(raw)[0].astype(np.intp)
        if (codes < 0).any():
            raise DataError(f"The choice set column {self.model.choice!r} has missing values.")
        return codes

    def _alternatives(self) -> Alternatives:
        """The alternatives of the rows of the fit."""
        rows, column = self.data_rows(), self.facts.alternative
        if column is None:
            raise OptionError(
                "This needs a column of alternatives in the formula, such as C(mode), whose values differ "
                "inside every choice set; there is none."
            )
        values = pd.Index(rows.column(column, "the formula").astype(str))
        levels = self.facts.levels
        return Alternatives(column, levels, pd.Index(levels).get_indexer(values).astype(np.intp))

    def margins(self, variable: str, *, kind: str = "dydx", level: float = 0.95) -> MarginsResults:
        """Average marginal effects of a number on the probabilities of the alternatives.

        Of a variable that differs inside sets these are own and cross effects, ``"price of boat [pier]"``
        that of the price of boats on the probability of piers; of one that is the same in a set, as income,
        its effect on each alternative, ``"income [pier]"``.  An average is over the sets that have the
        alternatives, with the weights of sets.

        Parameters
        ----------
        variable : str, a number of the right side, differentiated through the formula.
        kind : {"dydx", "eyex", "eydx", "dyex"}
            "ey" is the change of log P, "ex" that of log v; `elasticities` are "eyex".
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults
            With errors of the estimates for these very rows (delta method).

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        WithheldError
            With ``successes="exact"``.
        """
        self._check_one("Effects on probabilities")
        level, rows = check_level(level), self.data_rows()
        found = choice_effects(
            Effects(rows, self.facts.names, self.coefficients, self._alternatives()), variable, kind
        )
        return margins_of(
            self,
            found.names,
            found.values,
            self.covariance.of_moves(found.gradients),
            where="the choice sets (average)",
            rows=len(rows.sets.sizes),
            notes=["Effects on the probability of the alternative in brackets."],
            kind=kind,
            level=level,
        )

    def elasticities(self, variable: str, *, level: float = 0.95) -> MarginsResults:
        """Average own and cross elasticities of the probabilities; `margins` of kind "eyex"."""
        return self.margins(variable, kind="eyex", level=level)

    def willingness_to_pay(
        self, price: str, terms: Sequence[str] | None = None, *, method: str = "delta", level: float = 0.95
    ) -> Estimates:
        """What a unit of each column is worth in units of the price, −β/β_price, with delta-method errors.

        Parameters
        ----------
        price : str, name of the coefficient of the price.
        terms : names of other coefficients, None for all of them.
        method : {"delta", "fieller"}, how intervals are made.
        level : float, confidence level of the printed table.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError
        WithheldError
            With ``successes="exact"``.
        """
        self._check_one("Willingness to pay")
        names = self.facts.names
        chosen = [n for n in names if n != price] if terms is None else list(terms)
        unknown = [n for n in (price, *chosen) if n not in names]
        if unknown or not chosen:
            raise OptionError(
                f"{unknown[0] if unknown else price!r}: give names of coefficients, {list_names(names)}."
            )
        ratios = [f"-`{name}` / `{price}`" for name in chosen]
        return replace(self.estimates.function(ratios, method=method, level=level), names=tuple(chosen))

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) with delta-method errors, z and p of β = 0, and limits exp(limits of β)."""
        return self.estimates.exponentiated(level)

    @property
    def rows_together(self) -> str:
        """The column of sets, whose rows resampling keeps together."""
        return str(self.model.choice)

    def _refitting(self) -> Refitting:
        self._check_one("monte_carlo()")
        sets = self.data_rows().design.codes((self.model.choice,), "choice set")[0]
        law, labels = SetChoices(self.predict().to_numpy(), sets), success_labels(self.spec.outcome)
        return replace(refitting_result(self, law=law, labels=labels), only_design="fitted")

    # ---- tables and files ----------------------------------------------------------------------------------

    def head(self) -> tuple[str, str]:
        """Observations in words, and the name of the null log-likelihood."""
        f = self.facts
        sets = f"{f.observations:g} sets" if f.observations == f.sets else f"{f.observations:g} weighted sets"
        return f"{sets} of {f.rows} rows ({f.given - f.rows} dropped)", "LL-null (equal shares)"

    def notes(self) -> list[str]:
        """The foot of the summary, but for weights and rows that were dropped."""
        f = self.facts
        notes = [f"Observations are the sets of {self.model.choice}. {self.covariance.note}"]
        if self.model.successes == "exact":
            notes[0] = (
                f"Exact likelihood given the number of successes in each {self.model.choice}. {notes[0]}"
            )
        if f.alternative is not None:
            notes.append(f"Alternatives: {f.alternative}, base {f.levels[0]} ({', '.join(f.levels[1:])}).")
        if np.isfinite(f.constants_loglik):
            notes.append(f"Log-likelihood of constants alone: {number(f.constants_loglik, 4)}.")
        if f.lone:
            notes.append(f"Sets with nothing to explain, left out: {f.lone}.")
        return [*notes, *offset_notes(self.model)]

    @classmethod
    def from_file(cls, saved: SavedResult) -> ConditionalResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        names = header.facts.names
        if header.spec.outcome.kind != "binary" or not names or not set(names) <= set(header.spec.names):
            raise FileFormatError("its coefficients do not belong to its formula")
        arrays = saved.numbers({"params": Numbers("k"), **COVARIANCE_ARRAYS}, k=len(names))
        return cls(**header.fields_of(saved, arrays))


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: ConditionalFacts
