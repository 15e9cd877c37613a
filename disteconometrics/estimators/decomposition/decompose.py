"""The specification of a decomposition, and `decompose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Seed
from disteconometrics.data.formula import parse_formula
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.errors import OptionError
from disteconometrics.estimators.crossing import COLUMNS, LEVELS, check_robust
from disteconometrics.estimators.decomposition.groups import (
    DecompositionFacts,
    DecompositionRows,
    fit_groups,
    group_facts,
    read_two_groups,
    reference_of,
    shares_beyond,
    warn_beyond,
)
from disteconometrics.estimators.decomposition.results import DecompositionResults
from disteconometrics.estimators.specification import set_checked
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.crossed_laws import AllRows, CrossedLaws
from disteconometrics.inference.decomposition import (
    PARTS,
    check_levels,
    curves,
    design_of,
    distances,
    no_effect,
)
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.resample import reported_seed, seed_sequence
from disteconometrics.inference.survey import Survey, design_label
from disteconometrics.words import TakesWords, tells_words

__all__ = ["Decomposition", "decompose"]

FUNCTIONALS = ("mean", "q[0.1]", "q[0.5]", "q[0.9]")
FEWEST_DRAWS, DRAWS = 100, 500


@dataclass(frozen=True, kw_only=True)
class Decomposition(TakesWords):
    """The specification that `decompose` makes, which studies take: an estimator, two groups, functionals.

    Parameters
    ----------
    estimator : specification such as ``de.FlowDensity("wage ~ educ + exper")``, without the group.
    by : str, column of two values.
    functionals : functionals that are decomposed.
    reference : value of ``by`` whose coefficients weigh the composition, None (the first), or ``"pooled"``.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> Decomposition(estimator=de.NormalRegression("foodexp ~ income"), by="rich").functionals
    ('mean', 'q[0.1]', 'q[0.5]', 'q[0.9]')
    """

    estimator: Any
    by: str
    functionals: Any = FUNCTIONALS
    reference: Any = None

    def __post_init__(self) -> None:
        if not hasattr(self.estimator, "formula") or not callable(getattr(self.estimator, "fit", None)):
            raise OptionError(
                "decompose takes a specification first, such as de.NormalRegression('wage ~ educ'), then the "
                "table and by='group'."
            )
        if not isinstance(self.by, str):
            raise OptionError(f"by={self.by!r}: give the name of a column of two values.")
        given = listed(self.functionals)
        if not given or len(set(map(functional_name, given))) < len(given):
            raise OptionError("functionals= needs at least one functional, and each once.")
        set_checked(self, {"functionals": tuple(given)})
        right = parse_formula(self.estimator.formula).right_variables if "." not in self.formula else ()
        if self.by in right:
            raise OptionError(
                f"by={self.by!r} is in the formula {self.estimator.formula!r}; leave it out, as each group "
                "has coefficients of its own."
            )

    @property
    def formula(self) -> str:
        """The formula of the estimator."""
        return str(self.estimator.formula)

    @property
    def weight_type(self) -> str | None:
        """What the weights of the estimator are."""
        kind: str | None = self.estimator.weight_type
        return kind

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind = "HC1",
        levels: Any = LEVELS,
        level: float = 0.95,
        draws: int = DRAWS,
        seed: Seed = None,
    ) -> DecompositionResults:
        """Fit both groups and decompose; see `decompose`."""
        kind, sequence = check_robust(cov, self.weight_type), seed_sequence(seed)
        tau, level = check_levels(levels), check_level(level)
        if draws < FEWEST_DRAWS:
            raise OptionError(f"draws={draws!r}: give at least {FEWEST_DRAWS}.")
        groups = read_two_groups(data, self.by)
        own = "HC0" if isinstance(kind, Survey) else kind  # a group has not the units of the whole
        options = {"cov": own, "draws": draws, "seed": reported_seed(sequence)}
        rows = fit_groups(self, data, groups, kind, options)
        rows.check_design()
        return self.of_rows(rows, tau, level, draws, reported_seed(sequence))

    def of_rows(
        self, rows: DecompositionRows, levels: Array, level: float, draws: int, seed: Any
    ) -> DecompositionResults:
        """The decomposition of groups that are fitted already."""
        return _result(self, rows, levels, level, draws, seed)


@tells_words
def decompose(
    estimator: Any,
    data: Any,
    *,
    by: str,
    functionals: Any = FUNCTIONALS,
    reference: Any = None,
    cov: CovarianceKind = "HC1",
    levels: Any = LEVELS,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: Seed = None,
) -> DecompositionResults:
    """Split the difference between two groups' distributions into composition and structure.

    Composition is what the covariates make of it, with the coefficients of the reference group; structure is
    the rest, what the coefficients make of it.  Both add up to the total, exactly and in every draw.  W1, a
    distance, does not add up and stands beside.  What single covariates add to either part, one after the
    other (sequential detail), is not here: see `rif_decompose` for parts by term.

    Parameters
    ----------
    estimator : specification
        Of the law of an outcome given covariates, its formula without the group: `DistributionRegression`,
        `FlowDensity`, `NormalRegression`; `Logit`, `Probit` and `CLogLog` for the mean.
    data : pandas or polars DataFrame, or dict of arrays of one length.
    by : str
        Column of two values, the first of which (in their order) is group 0: differences are 1 less 0.
    functionals : functionals such as ``["mean", "q[0.9]", "gini"]``, or functions of a law
        Those that are no moments, quantiles or ratios of quantiles are differentiated numerically, functions
        of quantiles (``poverty[0.6*median]``) with errors that are right to about 4 %.
    reference : a value of ``by``, None or "pooled"
        Group whose coefficients weigh the covariates; None is group 0, "pooled" a fit of all rows without
        the group.
    cov : {"HC0", "HC1", "HC2", "HC3"}, Cluster or Survey
        Clusters and units may lie in both groups; a survey's design is that of the whole table, whatever rows
        a group uses, and the groups' own ``fits`` have HC0.
    levels : levels of the quantile functions and of the band.
    level : float, confidence level of their limits and bands.
    draws : int, exponential draws of a distribution regression.
    seed : int, Generator or None
        Of draws; None is drawn, kept and printed.

    Returns
    -------
    DecompositionResults

    Raises
    ------
    DataError, FormulaError, LevelError, MissingColumnError, OptionError, WithheldError

    Warns
    -----
    ExtrapolationWarning
        If many rows of a group lie outside the covariates of the reference.

    References
    ----------
    Oaxaca (1973), doi:10.2307/2525981.  Chernozhukov, Fernández-Val, Melly (2013), doi:10.3982/ECTA10582.

    Examples
    --------
    >>> import disteconometrics as de
    >>> d = de.datasets.engel()
    >>> d["size"] = np.where(d.index % 2 == 0, "even", "odd")
    >>> res = decompose(de.NormalRegression("foodexp ~ income"), d, by="size", functionals="mean", seed=1)
    >>> res.params.round(1).to_dict()
    {'mean: total': 11.8, 'mean: composition': 2.2, 'mean: structure': 9.6}
    """
    model = Decomposition(estimator=estimator, by=by, functionals=functionals, reference=reference)
    return model.fit(data, cov=cov, levels=levels, level=level, draws=draws, seed=seed)


def _result(
    model: Decomposition, rows: DecompositionRows, tau: Array, level: float, draws: int, seed: Any
) -> DecompositionResults:
    reference, labels = reference_of(model, rows.groups), rows.groups.labels
    beyond = shares_beyond(rows)
    warn_beyond(beyond, reference, model.by, labels)
    design = design_of(reference)
    crossing = rows.crossing(design.pairs, draws, seed)
    laws: CrossedLaws = crossing.laws()
    values, V = laws.functionals(model.functionals, design.contrasts)
    facts = DecompositionFacts(
        **group_facts(rows, model.by),
        group=model.by,
        labels=labels,
        sizes=rows.sizes,
        reference="pooled" if reference is None else labels[reference],
        laws=tuple(_law_name(j, k, labels) for j, k in design.pairs),
        functionals=tuple(map(functional_name, model.functionals)),
        beyond=beyond,
        w1=_triple(distances(laws, design.contrasts)) if _has_curves(rows) else (np.nan,) * 3,
        tests=tuple(map(tuple, no_effect(laws, design.contrasts, tau))) if _has_curves(rows) else (),
        heaped=not laws.smooth,
        steps=laws.steps,
        clusters=crossing.rows.clusters,
        **_design_facts(crossing.rows),
    )
    shape = (len(PARTS) + len(design.pairs), len(tau), len(COLUMNS))
    table = curves(laws, design.contrasts, tau, level) if _has_curves(rows) else np.full(shape, np.nan)
    return DecompositionResults(
        model=model,
        spec=rows.fits[0].spec,
        facts=facts,
        rows=rows,
        fits=rows.fits,
        values=values,
        covariance=V,
        levels=tau,
        curves=table,
        level=level,
        kind=rows.kind,
        draws=draws,
        seed=seed,
    )


def _design_facts(rows: AllRows) -> dict[str, Any]:
    """The design of a survey, if there is one."""
    if rows.design is None or not isinstance(rows.kind, Survey):
        return {}
    return {"design": design_label(rows.kind, rows.design), "degrees": rows.df}


def _has_curves(rows: DecompositionRows) -> bool:
    """Whether the outcome has more than two values."""
    return str(rows.fits[0].spec.outcome.kind) == "numeric"


def _triple(values: Array) -> tuple[float, float, float]:
    a, b, c = map(float, values)
    return a, b, c


def _law_name(fit: int, over: int, labels: tuple[str, str]) -> str:
    if fit == over:
        return labels[fit]
    model = "pooled" if fit == 2 else labels[fit]
    return f"{model} coefficients, {labels[over]} covariates"
