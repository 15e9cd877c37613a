"""Distribution regression: a binary fit of 1{y > c} at every threshold c."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from disteconometrics.arrays import Seed, or_ones
from disteconometrics.checks import is_whole, whole
from disteconometrics.errors import OptionError, OutcomeError
from disteconometrics.estimators.distribution_regression.fit import (
    KERNELS,
    DistributionFacts,
    DistributionRows,
    as_computed,
    kind_of,
    shown_thresholds,
    warn_separated,
)
from disteconometrics.estimators.distribution_regression.results import DistributionRegressionResults
from disteconometrics.estimators.distribution_regression.thresholds import (
    chosen_thresholds,
    fit_thresholds,
    levels_of_sample,
)
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.resample import reported_seed, seed_sequence

__all__ = ["DistributionRegression"]

FEWEST_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class DistributionRegression(Specification):
    """The law of an outcome given covariates by a binary regression at every threshold.

    At a threshold c it is the logit (probit, complementary log-log) of 1{y > c}, so that a coefficient has
    the sign of its effect on y.  The literature writes F(c | x) = Λ(x'β(c)), the regression of 1{y ≤ c}: a
    logit's or probit's coefficients are then minus these.  F is rearranged (sorted) so that it does not fall;
    between thresholds its mass lies on the outcomes observed there.

    Coverage of 95 % limits, bands and the size of tests: `coverage_of_distribution_regression.md` beside the
    tests.

    Parameters
    ----------
    formula : str
        ``"wage ~ educ + exper"``; the outcome is numeric.
    thresholds : None, "all", int or sequence of float
        None takes all distinct outcomes but the largest, or quantiles of the outcomes where these are more
        than 100; "all" takes all, a number so many quantiles, a sequence those values.
    link : {"logit", "probit", "cloglog"}
        Law of the binary fits.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling
        weights are inverse probabilities of selection.
    offset : str or None
        Name of a column added to the index of 1{y > c} at every threshold with coefficient one.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Foresi, Peracchi (1995), The conditional distribution of excess returns, J. American Statistical
    Association 90, doi:10.1080/01621459.1995.10476537.
    Chernozhukov, Fernández-Val, Melly (2013), Inference on counterfactual distributions, Econometrica 81,
    doi:10.3982/ECTA10582.
    Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), Generic inference on quantile and quantile effect
    functions for discrete outcomes, J. American Statistical Association 115,
    doi:10.1080/01621459.2019.1611581.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = DistributionRegression("foodexp ~ income", thresholds=40).fit(datasets.engel(), seed=1)
    >>> res.distribution({"income": [500.0, 1500.0]}).quantile(0.5).round()
    array([348., 865.])
    """

    thresholds: tuple[float, ...] | int | str | None = None
    link: str = "logit"
    weights: str | None = None
    weight_type: str | None = None
    offset: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the options; thresholds are kept as a tuple.

        Raises
        ------
        OptionError
        """
        if self.link not in KERNELS:
            raise OptionError(f"link={self.link!r} is not known; use {', '.join(map(repr, KERNELS))}.")
        check_columns(weights=self.weights, weight_type=self.weight_type, offset=self.offset)
        given: Any = self.thresholds
        if given is None or (isinstance(given, str) and given == "all"):
            return {}
        if is_whole(given, 1):
            return {"thresholds": int(given)}
        return {"thresholds": _values(given)}

    def fit(
        self, data: Any, *, cov: CovarianceKind | None = None, draws: int = 500, seed: Seed = None
    ) -> DistributionRegressionResults:
        """Fit every threshold on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"HC0", "HC1", "HC2", "HC3"}, Cluster, Survey or None
            Covariance of the coefficients; None is HC1.  Thresholds share the rows, so that none rests on the
            model alone.  Clusters are drawn as blocks; weights of a survey's units move within strata.
        draws : int
            Draws of weights (exponential, but for a survey) behind bands, tests and the averaged law, which
            are made when asked for.
        seed : int, Generator or None
            Of the draws; None is drawn, kept and printed.

        Returns
        -------
        DistributionRegressionResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError

        Warns
        -----
        SeparationWarning, ConvergenceWarning, MissingValuesWarning, FewClustersWarning
        """
        kind = kind_of(cov, self.weight_type)
        count = whole(draws, "draws", FEWEST_DRAWS)
        kept = reported_seed(seed_sequence(seed))
        return _fitted(self, data, kind, count, kept)

    def resampling(self, result: DistributionRegressionResults) -> None:
        """Refuse rows drawn with repetition: a draw often lacks one side of an outer threshold.

        Raises
        ------
        OptionError
        """
        raise OptionError(
            f"{self.formula}: rows drawn with repetition separate outer thresholds in many draws, so that "
            "bootstrap() is not for distribution regression; process(), quantiles() and functionals() draw "
            "exponential weights, clusters as blocks."
        )

    def at(self, thresholds: Any) -> DistributionRegression:
        """The same regression at other thresholds."""
        return replace(self, thresholds=thresholds)


def _fitted(
    model: Any, data: Any, kind: CovarianceKind, draws: int, seed: Any
) -> DistributionRegressionResults:
    """Fit a specification to a table; see `DistributionRegression.fit`."""
    read = FitRows.read(model, data, outcome="numeric")
    y, kernel, outcome = read.y, KERNELS[model.link], read.spec.outcome.name
    points, at = np.unique(y, return_inverse=True)
    if len(points) < 2:
        raise OutcomeError(f"The outcome {outcome!r} has no variation: every row used is {y[0]:g}.")
    thresholds = chosen_thresholds(y, read.weights, model.thresholds, outcome)
    fits = fit_thresholds(kernel, read.blocks(), thresholds, read.names)
    if fits.separated.all():
        raise OutcomeError(
            f"Every threshold of {outcome!r} is separated: the columns predict perfectly on which side an "
            "outcome lies. Use fewer columns."
        )
    rows = DistributionRows(read.design, kernel=kernel, fits=fits)
    mass = or_ones(read.scaled_weights, len(y))
    shares = np.bincount(at, mass).astype(np.float64)
    own = levels_of_sample(points, shares, thresholds)
    warn_separated(fits, outcome)
    shown = shown_thresholds(fits, own)
    return DistributionRegressionResults(
        model=model,
        spec=rows.spec,
        facts=DistributionFacts(**read.facts(), observations=read.observations, distinct=len(points)),
        rows=rows,
        thresholds=thresholds,
        limiting=fits.params,
        separated=fits.separated,
        averaged=np.sort(rows.averaged_levels(own)),
        points=points,
        shares=shares,
        shown=shown,
        kind=kind,
        computed=as_computed(rows, kind, shown),
        draws=draws,
        seed=seed,
    )


def _values(given: Any) -> tuple[float, ...]:
    """Thresholds as a tuple of different finite numbers, in order."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if isinstance(given, (str, bool)) or values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise OptionError(
            f"thresholds={given!r:.80}: give None, 'all', how many quantiles, or a sequence of finite values."
        )
    if len(np.unique(values)) < len(values):
        raise OptionError("thresholds= repeats a value; give each once.")
    return tuple(map(float, np.sort(values)))
