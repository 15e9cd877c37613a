"""The specification of a density: by a monotone spline, a product of splines, or a flow by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from disteconometrics.arrays import Seed
from disteconometrics.data.joint_design import read_outcomes
from disteconometrics.data.settle import refuse_recorders
from disteconometrics.distributions.support import Support, support_of
from disteconometrics.errors import OptionError
from disteconometrics.estimators.flow.alternative import trained_alternative
from disteconometrics.estimators.flow.product import fit_product
from disteconometrics.estimators.flow.spline_results import FlowResults, fit_density
from disteconometrics.estimators.hurdle import HurdleResults
from disteconometrics.estimators.joint import JointResults
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.flows.monotone_spline import MonotoneSpline
from disteconometrics.flows.recipes import Chain, Recipe
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.parallel import check_jobs
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.optim.minibatch import Trainer

if TYPE_CHECKING:
    from disteconometrics.estimators.flow.spline_draws import SplineResampling
    from disteconometrics.estimators.flow.trained import TrainedFlowResults

__all__ = ["FlowDensity"]


@dataclass(frozen=True, kw_only=True)
class FlowDensity(Specification):
    """Density of an outcome, alone or given covariates, by a flow fitted by penalised maximum likelihood.

    F(y | x) = Λ(h(y | x)) with h increasing in y for every x of the box of the covariates: a one-layer
    monotone-spline normalizing flow, in statistics a conditional transformation model.  The fit is a convex
    problem with one optimum; smoothing, base law and what moves with the covariates are chosen from the rows
    and reported.

    Parameters
    ----------
    formula : str
        ``"log(wage) ~ educ + C(region)"``, ``"y ~ 1"`` for one density, ``"y1 + y2 ~ x"`` for a joint one;
        ``"topcoded(wage, at=40) ~ educ"`` and other left sides that say how outcomes were recorded, by
        ``interval``, ``brackets``, ``rounded``, ``topcoded`` and ``bottomcoded``.  The law is then that of
        the outcome before; what records do not tell of it is withheld: beyond a cap its quantiles, and means
        and spreads.  ``"mass(earnings, 0) ~ educ"`` is a hurdle: a logit for being off the point, and the
        density of the rest; ``"mass(hours, 0, corner=True) ~ educ"`` is a corner solution, max(y*, 0) with
        one density for y*, and answers are of it with its mass.
    flow : "auto", MonotoneSpline, or a flow by name
        "auto" is ``MonotoneSpline()``, of joint outcomes a pool of products of splines; from 2,000 rows on,
        with six covariate columns or joint outcomes and no ``cov``, a normal mixture behind a net if that is
        clearly better on rows held out; joint outcomes without covariates whose transforms by splines are as
        even as chance leaves them are not asked. ``Planar``, ``RQS``, ``MixtureCDF``, ``AffineMap``,
        ``Autoregressive``, ``Coupling``, or a tuple of them from data to noise, is trained.
    base : {"auto", "logistic", "normal"}
        Law Λ of the transformed outcome, which decides the tails; "auto" compares both by leave-one-out, and
        of a trained flow is the normal law, behind a mixture the logistic.
    support : None, "positive" or (a, b)
        An open interval that holds the outcome (the left side of the formula), None or ±inf for an open side:
        the flow is then that of log(y − a) or logit((y − a)/(b − a)), around a line there or, where the rows
        say so, around the image of a line in the outcome's own units.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.
    train : "auto", Adam, AdamW or LBFGS
        How a flow by name is trained; "auto" is AdamW with a one-cycle rate and a fifth of the rows to stop
        by, without nets on all rows, and L-BFGS for affine maps and planar layers.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
    doi:10.1111/sjos.12291. Spady, Stouli (2020), Gaussian transforms modeling and the estimation of
    distributional regression functions, arXiv:2011.06416.
    Papamakarios, Nalisnick, Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for probabilistic
    modeling and inference, JMLR 22, arXiv:1912.02762.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = FlowDensity("log(foodexp) ~ log(income)").fit(datasets.engel())
    >>> res.distribution({"income": [500.0, 2000.0]}).quantile([0.1, 0.5, 0.9]).round(2)
    array([[5.7 , 5.87, 6.  ],
           [6.82, 7.08, 7.26]])
    """

    takes_records: ClassVar[bool] = True

    flow: str | MonotoneSpline | Recipe | Sequence[Recipe] = "auto"
    base: str = "auto"
    support: Any = None
    weights: str | None = None
    weight_type: str | None = None
    train: str | Trainer = "auto"

    def checked(self) -> dict[str, Any]:
        """Check the choices; a tuple of flows becomes a chain, and a support its bounds.

        Raises
        ------
        OptionError
        """
        flow = Chain(tuple(self.flow)) if isinstance(self.flow, (tuple, list)) else self.flow
        if flow != "auto" and not isinstance(flow, (MonotoneSpline, Recipe)):
            raise OptionError(
                f"flow={flow!r} is not known; use 'auto', de.MonotoneSpline(…), or a flow by name such "
                f"as de.Planar(layers=8)."
            )
        self._check_train(flow)
        if self.base not in ("auto", *BASES):
            raise OptionError(f"base={self.base!r} is not known; use 'auto', 'logistic' or 'normal'.")
        check_columns(weights=self.weights, weight_type=self.weight_type)
        bounds = support_of(self.support)
        return {"flow": flow, "support": None if self.support is None else (bounds.low, bounds.high)}

    def _check_train(self, flow: Any) -> None:
        if self.train == "auto":
            return
        if not isinstance(self.train, Trainer):
            raise OptionError(
                f"train={self.train!r} is not known; use 'auto', de.Adam(…), de.AdamW(…) or de.LBFGS(…)."
            )
        if not isinstance(flow, Recipe):
            raise OptionError(
                "train= is for flows by name; the monotone spline is fitted exactly, by Newton's method."
            )

    @property
    def domain(self) -> Support:
        """The open interval that holds the outcome."""
        return Support(*(self.support or (-np.inf, np.inf)))

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        seed: Seed = None,
        n_jobs: int | None = None,
    ) -> FlowResults | TrainedFlowResults | JointResults | HurdleResults:
        """Estimate the density on a table, or on a source larger than memory.

        Of a source (a path, a dataset, a lazy or dask frame, `Parts`) up to 100,000 rows are kept.  For a
        spline of more rows covariates must take few values: 0/1, factors, small whole numbers, at most 1,000
        combinations.  It is read twice, for the means and counts of up to 10,000 bins of the outcome in each
        combination, and the summary says what that may change.

        A flow by name trains on more rows by batches, whatever the covariates.  Rows are dealt at random,
        with the seed, into windows of 32 MB that share all rows of an epoch, whichever parts they are in: a
        window is read in one pass over the source, shuffled, and cut into batches, so that sorted files train
        as mixed ones do, and the order depends on the seed and on how the source is cut alone.  Rows held
        out, at most 50,000, are drawn by their place and the same in every epoch.  "auto" trains by AdamW
        there, nets or not; trainers without a batch are refused.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length; a source, for a spline of one
            outcome or a flow by name; for the latter also a sampler or data-generating process, called as
            ``data(rng, n=512)``, which gives fresh rows at every step.
        cov : {"sandwich", "HC0", "nonrobust"}, Cluster, HAC or None
            Covariance of the coefficients, from which all standard errors come; None is the sandwich.
        seed : int, Generator or None
            Of the first parameters and batches of a flow by name, None draws one and keeps it; the spline
            draws nothing, and where "auto" trains a flow beside it, None is a fixed one.
        n_jobs : int or None
            joblib workers that read the parts of a source, batches aside; numbers are the same whatever their
            number and backend.  A dask frame is worked on by the workers of its client, if there is one.

        Returns
        -------
        FlowResults, TrainedFlowResults of a flow by name, JointResults of splines for joint outcomes, or
        HurdleResults where the outcome has a mass.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, NeedsRows
            OutcomeError also for recorded outcomes of flows by name and of several outcomes.

        Warns
        -----
        ConvergenceWarning, DiscreteOutcomeWarning, HardEdgeWarning, SmallSampleWarning, LeverageWarning,
        MissingValuesWarning, FewClustersWarning
        """
        check_jobs(n_jobs)
        if isinstance(self.flow, Recipe):
            refuse_recorders(self.formula, "A flow by name")
            if cov is not None:
                raise OptionError(
                    "A flow by name has no covariance; its bootstrap() shows the resampling spread."
                )
            from disteconometrics.estimators.flow.trained import fit_trained

            return fit_trained(self, data, seed, n_jobs)
        if len(read_outcomes(self.formula)[0]) > 1:
            refuse_recorders(self.formula, "A density of several outcomes")
            joint: JointResults | TrainedFlowResults = fit_product(self, data, cov, seed)
            return joint
        seed_sequence(seed if seed is not None else 0)  # refused before the fit where it is none
        result = fit_density(self, data, cov, n_jobs)
        if cov is not None or isinstance(result, HurdleResults):
            return result
        return self._or_rival(result, data, seed)

    def resampling(self, result: Any) -> SplineResampling | None:
        """What `bootstrap` uses to weigh the rows of a spline anew; None of other flows."""
        from disteconometrics.estimators.flow.spline_draws import spline_resampling

        return spline_resampling(result) if isinstance(result, FlowResults) else None

    def _or_rival(self, result: FlowResults, data: Any, seed: Seed) -> FlowResults | TrainedFlowResults:
        """The spline, or the flow by name that "auto" tries beside it if that is clearly better."""
        rows = result.data_rows()
        columns = len(rows.sample.groups)  # a factor is one covariate, whatever its levels
        if not columns or rows.sample.records is not None or rows.design.of_source:
            return result
        rival = trained_alternative(
            self, data, rows.design.kept, rows.left_out, rows.sample.weights, seed, columns=columns
        )
        if rival is None:
            return result
        if rival.wins:
            trained: TrainedFlowResults = rival.fitted(data, seed)
            return trained
        return replace(result, facts=replace(result.facts, rival=rival.words))
