"""Conditional density of a scalar outcome by a monotone-spline flow, a conditional transformation model."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.design import Design, build_design
from disteconometrics.data.joint_design import read_outcomes
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.support import Support, support_of
from disteconometrics.errors import (
    DataError,
    ExtrapolationWarning,
    FileFormatError,
    NeedsData,
    OptionError,
    warn_user,
)
from disteconometrics.estimators.flow import held_out as checking
from disteconometrics.estimators.flow import row_checks as checks
from disteconometrics.estimators.flow import spline_inference as inference
from disteconometrics.estimators.flow.auto import rival_of
from disteconometrics.estimators.flow.held_out import FlowDiagnosis
from disteconometrics.estimators.flow.monotone_spline import MonotoneSpline
from disteconometrics.estimators.flow.refit import refitting_flow
from disteconometrics.estimators.flow.report import summary_of
from disteconometrics.estimators.flow.spline_fit import (
    Fitted,
    Plan,
    Sample,
    fit_flow,
    prepared_again,
    problem_of,
    rougher,
)
from disteconometrics.estimators.flow.spline_flow import Flow, Solution
from disteconometrics.flows.recipes import Chain, Recipe
from disteconometrics.inference.covariance import CovarianceKind, resolve_kind
from disteconometrics.inference.estimates import Estimated, Estimates, TestResult, check_level
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.optim.minibatch import Trainer
from disteconometrics.optim.smoothing import Smooth
from disteconometrics.report.archive import write_archive
from disteconometrics.report.summary import Summary
from disteconometrics.simulate.self_check import Refitting, SelfChecking

__all__ = ["FlowDensity", "FlowFacts", "FlowResults", "restore_flow"]

Array = NDArray[np.float64]

FUNCTIONALS = ("mean", "std", "q[0.1]", "q[0.25]", "q[0.5]", "q[0.75]", "q[0.9]")
LEVEL = 0.95
FACTORS = (0.4, 0.25, 0.03)  # of the λ for inference: no, one and more covariates


@dataclass(frozen=True, init=False)
class FlowDensity:
    """Density of a scalar outcome, alone or given covariates, by a normalizing flow fitted by penalised maximum likelihood.

    F(y | x) = Λ(h(y | x)) with h increasing in y for every x of the box of the covariates: a one-layer
    monotone-spline flow, in statistics a conditional transformation model.  The fit is a convex problem with
    one optimum; smoothing, base law and what moves with the covariates are chosen from the rows and reported.

    Parameters
    ----------
    formula : str
        ``"log(wage) ~ educ + C(region)"``, ``"y ~ 1"`` for one density, ``"y1 + y2 ~ x"`` for a joint one.
    flow : "auto", MonotoneSpline, or a flow by name
        "auto" is ``MonotoneSpline()``, of joint outcomes a pool of products of splines; from 2,000 rows on,
        with six covariate columns or joint outcomes and no ``cov``, a normal mixture behind a net if that is
        clearly better on rows held out. ``Planar``, ``RQS``, ``MixtureCDF``, ``AffineMap``,
        ``Autoregressive``, ``Coupling``, or a tuple of them from data to noise, is trained.
    base : {"auto", "logistic", "normal"}
        Law Λ of the transformed outcome, which decides the tails; "auto" compares both by leave-one-out, and
        of a trained flow is the normal law, behind a mixture the logistic.
    support : None, "positive" or (a, b)
        An open interval that holds the outcome (the left side of the formula), None or ±inf for an open side:
        the flow is then that of log(y − a) or logit((y − a)/(b − a)).
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

    formula: str
    flow: str | MonotoneSpline | Recipe
    base: str
    support: tuple[float, float] | None
    weights: str | None
    weight_type: str | None
    train: str | Trainer

    def __init__(
        self,
        formula: str,
        data: None = None,
        *,
        flow: str | MonotoneSpline | Recipe | Sequence[Recipe] = "auto",
        base: str = "auto",
        support: Any = None,
        weights: str | None = None,
        weight_type: str | None = None,
        train: str | Trainer = "auto",
    ) -> None:
        if data is not None:
            raise OptionError(
                "The formula is the model, the data come with fit: write de.FlowDensity(formula).fit(data)."
            )
        flow = Chain(tuple(flow)) if isinstance(flow, (tuple, list)) else flow
        if flow != "auto" and not isinstance(flow, (MonotoneSpline, Recipe)):
            raise OptionError(
                f"flow={flow!r} is not known; use 'auto', de.MonotoneSpline(…), or a flow by name such "
                f"as de.Planar(layers=8)."
            )
        if train != "auto" and not isinstance(train, Trainer):
            raise OptionError(
                f"train={train!r} is not known; use 'auto', de.Adam(…), de.AdamW(…) or de.LBFGS(…)."
            )
        if train != "auto" and not isinstance(flow, Recipe):
            raise OptionError(
                "train= is for flows by name; the monotone spline is fitted exactly, by Newton's method."
            )
        if base not in ("auto", *BASES):
            raise OptionError(f"base={base!r} is not known; use 'auto', 'logistic' or 'normal'.")
        if weights is not None and not isinstance(weights, str):
            raise OptionError(
                f"weights is the name of a column, not {type(weights).__name__}: add it to the data first, "
                "data.assign(w=...), and pass weights='w'."
            )
        if (weights is None) != (weight_type is None) or weight_type not in (None, "frequency", "sampling"):
            raise OptionError(
                f"weights={weights!r} with weight_type={weight_type!r}: give both, weight_type "
                f"'frequency' (counts of identical "
                "rows) or 'sampling' (inverse selection probabilities)."
            )
        bounds = support_of(support)
        pair = None if support is None else (bounds.low, bounds.high)
        fields = {
            "formula": formula,
            "flow": flow,
            "base": base,
            "support": pair,
            "weights": weights,
            "weight_type": weight_type,
        }
        for key, value in (fields | {"train": train}).items():
            object.__setattr__(self, key, value)

    @property
    def domain(self) -> Support:
        """The open interval that holds the outcome."""
        return Support(*(self.support or (-np.inf, np.inf)))

    def fit(
        self, data: Any, *, cov: CovarianceKind | None = None, seed: int | np.random.Generator | None = None
    ) -> Any:
        """Estimate the density on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length; for a flow by name also a sampler
            or data-generating process, called as ``data(rng, n=512)``, which gives fresh rows at every step.
        cov : {"sandwich", "HC0", "nonrobust"}, Cluster, HAC or None
            Covariance of the coefficients, from which all standard errors come; None is the sandwich.
        seed : int, Generator or None
            Of the first parameters and batches of a flow by name, None draws one and keeps it; the spline
            draws nothing, and where "auto" trains a flow beside it, None is a fixed one.

        Returns
        -------
        FlowResults, TrainedFlowResults of a flow by name, or JointResults of splines for joint outcomes

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError

        Warns
        -----
        DiscreteOutcomeWarning, SmallSampleWarning, LeverageWarning, MissingValuesWarning, FewClustersWarning
        """
        if isinstance(self.flow, Recipe):
            if cov is not None:
                raise OptionError(
                    "A flow by name has no covariance; its bootstrap() shows the resampling spread."
                )
            from disteconometrics.estimators.flow.trained import fit_trained

            return fit_trained(self, data, seed)
        if len(read_outcomes(self.formula)[0]) > 1:
            from disteconometrics.estimators.joint import fit_product

            return fit_product(self, data, cov, seed)
        seed_sequence(seed if seed is not None else 0)
        kind = _kind(cov, self.weight_type)
        design = build_design(
            self.formula, data, weights=self.weights, weight_type=self.weight_type, outcome="numeric"
        )
        result = _estimate(self, design, kind)
        if cov is not None or result.rows is None or not result.rows.sample.X.shape[1]:
            return result
        kept = np.arange(design.rows.given) if design.kept is None else design.kept
        rows, columns = result.rows, result.rows.sample.X.shape[1]
        rival = rival_of(self, data, kept, rows.left_out, rows.sample.weights, seed, columns=columns)
        if rival is None:
            return result
        return (
            rival.fitted(data, seed)
            if rival.wins
            else replace(result, facts=replace(result.facts, rival=rival.words))
        )


def _kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    """The covariance asked for; the sandwich by default and under its own name."""
    if cov is None or (isinstance(cov, str) and cov.lower() in ("sandwich", "robust")):
        return "HC1"
    return inference.check_kind(resolve_kind(cov, weight_type))


@dataclass(frozen=True)
class FlowFacts:
    """Numbers of a fit that need no rows; ``loglik`` and ``leave_one_out`` are sums over observations, in the outcome's units."""

    observations: float
    rows: int
    given: int
    dropped: dict[str, int]
    zero_weight: int
    loglik: float
    leave_one_out: float
    effective: dict[str, float]
    trials: list[list[Any]]  # structure, base, leave-one-out, score
    gain: float
    gain_error: float
    converged: bool
    steps: int
    constraints: int
    outcome: str
    shared: str | None = None
    cov_label: str = "sandwich"
    cov_note: str = ""
    standardised: tuple[float, ...] = field(default=())
    rival: str | None = None


@dataclass(frozen=True, eq=False)
class FlowRows:
    """The rows behind a result; ``left_out`` (n,) are their leave-one-out log densities, in the outcome's units."""

    design: Design
    sample: Sample
    smooth: Smooth
    left_out: Array

    def codes(self, columns: Sequence[str]) -> tuple[NDArray[np.intp], int]:
        """Cluster codes (n,) and the number of clusters."""
        return self.design.codes(columns, role="cluster")

    def order(self, time: str) -> NDArray[np.intp]:
        """Positions (n,) in time order."""
        return np.argsort(self.design.times(time), kind="stable")


def _groups(names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Positions of the columns of each formula term, the constant left out."""
    found: dict[str, list[int]] = {}
    for j, name in enumerate(n for n in names if n != "Intercept"):
        found.setdefault(re.sub(r"\[[^\[\]]*\]", "", name), []).append(j)
    return tuple(tuple(g) for g in found.values())


def _estimate(model: FlowDensity, design: Design, kind: CovarianceKind) -> FlowResults:
    spec, y = design.spec, design.y
    outcome, support = spec.outcome.name, model.domain
    X = spec.without_constant(design.X)
    enough = checks.check_rows(y, X.shape[1], outcome)
    checks.check_support(y, support, outcome)
    checks.check_columns(design.X, y, spec.names, spec.has_intercept)
    counts = model.weight_type == "frequency"
    shared = checks.ties(y, design.weights if counts else None)
    weights = design.weights if counts or design.weights is None else design.weights / design.weights.mean()
    sample = Sample(support.to_line(y), X, _groups(spec.names), weights, counts)
    if shared is not None:
        checks.warn_ties(shared, outcome, sample.observations)
    if X.shape[1]:
        checks.check_residual(sample.centre.scale, sample.y, outcome)
    flow = model.flow if isinstance(model.flow, MonotoneSpline) else MonotoneSpline()
    fitted = fit_flow(
        sample, Plan(flow.structure if enough else "linear", model.base, flow.knots, flow.roughness)
    )
    shape = Flow.of(fitted, support)
    checks.check_widths(shape.structure.mean_slopes(fitted.smooth.theta, X), X, spec.names)
    rows = FlowRows(design, replace(sample, y=y), fitted.smooth, fitted.loo + support.log_slope(y))
    main, label, note = _solution(shape, fitted.smooth, rows, kind)
    words = None if shared is None else shared.words(outcome, sample.observations)
    facts = replace(_facts(fitted, design, support, words), cov_label=label, cov_note=note)
    return FlowResults(model, spec, shape, main, facts, rows, kind)


def _solution(flow: Flow, f: Smooth, rows: FlowRows, kind: CovarianceKind) -> tuple[Solution, str, str]:
    solution = Solution(f.theta, np.zeros((0, 0)), f.root, f.penalty, float(f.effective.sum()))
    V, label, note = inference.coefficient_covariance(
        flow, solution, rows.sample, kind, rows.codes, rows.order
    )
    return replace(solution, covariance=V), label, note


def _facts(fitted: Fitted, design: Design, support: Support, shared: str | None) -> FlowFacts:
    s, f = fitted.sample, fitted.smooth
    slope = support.log_slope(design.y)  # so that criteria are in units of the outcome, whatever its support
    w = np.ones(len(s.y)) if s.weights is None else s.weights
    shift = float(w @ slope)
    linear = [t for t in fitted.trials if t.name == "linear" and t.base == "normal"]
    gain = error = float("nan")
    if linear and len(linear[0].loo) == len(fitted.loo):
        d = fitted.loo - linear[0].loo
        gain = float(np.average(d, weights=w))
        error = float(np.sqrt(np.average(np.square(d - gain), weights=w) / s.observations))
    return FlowFacts(
        observations=s.observations if s.counts or s.weights is None else float(len(s.y)),
        rows=len(s.y),
        given=design.rows.given,
        dropped={**design.rows.missing, **design.rows.transformed},
        zero_weight=design.rows.zero_weight,
        loglik=fitted.loglik + shift,
        leave_one_out=float(w @ fitted.loo) + shift,
        effective={k: float(v) for k, v in fitted.effective().items()},
        trials=[[t.name, t.base, float(t.loo.mean()), float(t.score)] for t in fitted.trials],
        gain=gain,
        gain_error=error,
        converged=f.converged,
        steps=f.steps,
        constraints=len(f.G),
        outcome=design.spec.outcome.name,
        shared=shared,
    )


@dataclass(frozen=True, eq=False)
class FlowResults(Estimated, SelfChecking):
    """A fitted density: laws, functionals with standard errors, effects, bands, summary.

    It refers to the rows it was fitted on (no copy).  A result loaded from a file holds none: `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> res.estimates.table()[["estimate", "std_error"]].round(3).loc[["mean", "q[0.5]"]]
            estimate  std_error
    mean       6.354      0.009
    q[0.5]     6.336      0.010
    """

    model: FlowDensity
    spec: DesignSpec
    flow: Flow
    main: Solution
    facts: FlowFacts
    rows: FlowRows | None
    kind: CovarianceKind | None = None
    saved: tuple[Solution, Estimates] | None = None

    @cached_property
    def under(self) -> Solution:
        """The flow with smaller penalties, from which intervals at rows, effects and bands come."""
        if self.rows is None or self.kind is None:
            assert self.saved is not None
            return self.saved[0]
        if self.flow.structure.affine:
            return self.main
        s = self.rows.sample
        sample = replace(s, y=self.flow.support.to_line(s.y))
        problem = problem_of(prepared_again(sample, self.flow.centre, self.flow.structure), self.flow.base)
        fitted = Fitted(
            self.flow.centre,
            self.flow.name,
            self.flow.structure,
            self.flow.base,
            self.rows.smooth,
            problem,
            sample,
        )
        factor = FACTORS[min(len(self.flow.structure.covariates), 2)]
        return _solution(self.flow, rougher(fitted, factor).smooth, self.rows, self.kind)[0]

    # ---- laws ----------------------------------------------------------------------------------------------

    def _need_rows(self) -> FlowRows:
        if self.rows is None:
            raise NeedsData(
                "This result was loaded from a file, which holds no rows: use attach(data) with the "
                "fit's table."
            )
        return self.rows

    def _covariates(self, new: Any, *, warn: bool = True) -> tuple[Array, Any]:
        """Covariates (n, K) of new rows, or of the fit, and their index."""
        if new is None:
            rows = self._need_rows()
            return rows.sample.X, rows.design.index
        coded = self.spec.matrix(new)
        X = self.spec.without_constant(coded.X)
        if warn:
            self._warn_outside(X)
        return X, coded.index

    def _warn_outside(self, X: Array) -> None:
        out = self.flow.outside(X)
        if not out.any():
            return
        names = [n for n in self.spec.names if n != "Intercept"]
        told = ", ".join(f"{names[j]} ({int(out[:, j].sum())})" for j in np.flatnonzero(out.any(axis=0)))
        text = (
            f"{int(out.any(axis=1).sum())} of {len(X)} rows lie outside the covariates of the fit: "
            f"{told}. Their location "
            "follows the regression line; scale and shape are those at the edge."
        )
        warn_user(
            ExtrapolationWarning(
                text, column=names[int(np.argmax(out.any(axis=0)))], hint="predict inside the fitted range"
            )
        )

    def distribution(self, new: Any = None) -> SplineLaw:
        """The law of the outcome for every row of ``new`` (None: the rows of the fit); a single law for ``~ 1``.

        Parameters
        ----------
        new : table with the columns of the right side, or None.

        Returns
        -------
        SplineLaw
            NaN where a covariate is missing.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData

        Warns
        -----
        ExtrapolationWarning
        """
        if not self.flow.structure.covariates:
            law = self.flow.law(self.main.theta, np.zeros((1, 0)), single=True)
        else:
            law = self.flow.law(self.main.theta, self._covariates(new)[0])
        return law.named(self.facts.outcome)

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def converged(self) -> bool:
        """Whether the optimum was reached, with no constraint violated."""
        return self.facts.converged

    @property
    def nobs(self) -> float:
        """Observations: rows used, or the sum of frequency weights."""
        return self.facts.observations

    @property
    def llf(self) -> float:
        """Log-likelihood, summed over observations, without the penalty."""
        return self.facts.loglik

    @property
    def edf(self) -> float:
        """Effective parameters: the trace of (information + penalty)⁻¹·information."""
        return float(sum(self.facts.effective.values()))

    @property
    def aic(self) -> float:
        """2·edf − 2·llf; NaN under sampling weights."""
        return float("nan") if self.model.weight_type == "sampling" else 2 * (self.edf - self.llf)

    @property
    def leave_one_out(self) -> float:
        """Leave-one-out log score per observation, by one exact Newton step for each row."""
        return self.facts.leave_one_out / (
            self.facts.observations if self.model.weight_type != "sampling" else self.facts.rows
        )

    @property
    def trials(self) -> pd.DataFrame:
        """What "auto" compared: structure, base, leave-one-out per row, and the sum less one per smoothing parameter in use.

        Structures whose scores at a smaller one promised no gain were not fitted and are not in it.
        """
        return pd.DataFrame(self.facts.trials, columns=["structure", "base", "leave_one_out", "score"])

    # ---- functionals ---------------------------------------------------------------------------------------

    def _average_rows(self) -> tuple[Array, Array | None]:
        """Covariates and weights to average over; one row is enough without covariates."""
        if not self.flow.structure.covariates:
            return np.zeros((1, 0)), None
        s = self._need_rows().sample
        return s.X, s.weights

    def _table_names(self) -> tuple[str, Sequence[str]]:
        return self.facts.outcome, FUNCTIONALS

    @cached_property
    def estimates(self) -> Estimates:
        """Mean, standard deviation and quantiles of the law averaged over the rows; limits of quantiles invert the band of h."""
        if self.saved is not None and self.rows is None:
            return self.saved[1]
        return self.functionals(FUNCTIONALS)

    def functionals(self, names: Any = FUNCTIONALS, *, on: Any = None) -> Estimates:
        """Functionals of the law averaged over the rows of the fit, with standard errors given these rows.

        Parameters
        ----------
        names : one or several of ``mean``, ``std``, ``var``, ``median``, ``q[0.9]``, ``prob[a,b]``, which are
            differentiated exactly, also on the scale of a logged outcome; without covariates any other that
            laws know (``gini``, ``p90p10``, …) or a function of a law, numerically.
        on : another scale, as in a law's ``on``: ``"wage"`` for an outcome ``log(wage)``; None for the
            outcome as written.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError, NeedsData

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
        >>> res.functionals(["gini", "mean"], on="foodexp").values.round(2).tolist()
        [0.22, 622.22]
        """
        given = listed(names)
        X, w = self._average_rows()
        flow, scale = self._on(on)
        if (on is not None and flow is self.flow) or not all(map(inference.is_analytic, given)):
            if flow.structure.covariates:
                raise OptionError(
                    "Given covariates, only mean, std, var, median, q[...] and prob[a,b] of the averaged "
                    "law, also of a logged "
                    "outcome undone, have standard errors here; for others use de.bootstrap(estimator, "
                    "data, statistic=...)."
                )
            values, V = inference.by_difference(flow, self.main, X, scale, given)
            return Estimates(tuple(functional_name(n) for n in given), values, V)
        parsed = [inference.parse_functional(t) for t in given]
        moved = inference.averages(flow, self.main.theta, X, w, parsed)
        plain = Estimates(
            tuple(given), moved.values, moved.gradients @ self.main.covariance @ moved.gradients.T
        )
        return replace(plain, profile=partial(_limits, flow, self.main, X, w, parsed, plain))

    def at(self, new: Any, names: Any = FUNCTIONALS, *, on: Any = None, level: float = LEVEL) -> pd.DataFrame:
        """Functionals of the law of each row of ``new``, with standard errors and limits.

        Estimates and errors come from the flow with smaller penalties (× 0.25 with one covariate, × 0.03 with
        more, × 0.4 with none), whose bias is small beside its standard error.

        Parameters
        ----------
        new : table with the columns of the right side.
        names : one or several functionals that laws know, or functions of a law; ``mean``, ``std``, ``var``,
            ``median``, ``q[0.9]``, ``prob[a,b]``, ``gini``, ``theil``, ``mld``, ``var_log`` are
            differentiated exactly, others numerically.
        on : another scale, as in `functionals`.
        level : float, confidence level.

        Returns
        -------
        DataFrame
            Index (row, functional); columns estimate, std_error, conf_low, conf_high.

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        """
        texts, parsed, flow = self._named(names, on)
        critical = Estimates((), np.zeros(0), np.zeros((0, 0))).critical(check_level(level))
        X, index = self._covariates(new)
        sol, parts = self.under, []
        for text, f in zip(texts, parsed, strict=True):
            m = inference.by_row(flow, sol, X, f)
            se = np.sqrt(np.einsum("ij,jk,ik->i", m.gradients, sol.covariance, m.gradients))
            low, high = m.values - critical * se, m.values + critical * se
            if f[0] == "q":
                limits = [inference.quantile_limits(flow, sol, x[None], None, f[1][0], critical) for x in X]
                low, high = np.array(limits).T if len(limits) else (low, high)
            frame = pd.DataFrame({"estimate": m.values, "std_error": se, "conf_low": low, "conf_high": high})
            parts.append(
                frame.set_axis(
                    pd.MultiIndex.from_arrays([index, [text] * len(X)], names=["row", "functional"])
                )
            )
            checks.check_moments([text], m.values[np.isfinite(X).all(axis=1)].sum(keepdims=True))
        order = [i + j * len(X) for i in range(len(X)) for j in range(len(texts))]
        return pd.concat(parts).iloc[order]

    def effect(
        self,
        variable: str,
        low: Any,
        high: Any,
        names: Any = ("mean", "q[0.1]", "q[0.5]", "q[0.9]"),
        *,
        on: Any = None,
    ) -> Estimates:
        """Average over the rows of each functional with a variable at ``high`` less that with it at ``low``.

        Parameters
        ----------
        variable : a column of the right side.
        low, high : values or levels of it.
        names, on : as in `at`.

        Returns
        -------
        Estimates
            From the flow with smaller penalties (see `at`).

        Raises
        ------
        OptionError, MissingColumnError, LevelError, NeedsData

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
        >>> res.effect("income", 500.0, 1000.0, "mean").values.round(2)
        array([0.6])
        """
        scenario = Scenario.of_design(self._need_rows().design)
        scenario.check_variable(variable)
        n = scenario.size
        ends = [self.spec.without_constant(scenario.part(0, n, {variable: v}).X) for v in (low, high)]
        return self._contrast(names, on, ends, 1.0)

    def derivative(
        self, variable: str, names: Any = ("mean", "q[0.1]", "q[0.5]", "q[0.9]"), *, on: Any = None
    ) -> Estimates:
        """Average over the rows of the derivative of each functional in a numeric variable, through the formula.

        Parameters
        ----------
        variable : a numeric column of the right side.
        names, on : as in `at`.

        Returns
        -------
        Estimates
            From the flow with smaller penalties (see `at`).

        Raises
        ------
        OptionError, MissingColumnError, FormulaError, NeedsData

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        """
        scenario = Scenario.of_design(self._need_rows().design)
        scenario.check_variable(variable)
        part = scenario.part(0, scenario.size, {})
        columns, D = part.derivative(variable)
        move = np.zeros_like(part.X)
        move[:, columns] = D
        spread = float(np.std(part.numbers(variable)))
        step = 1e-4 * (spread if spread > 0 else 1.0)
        ends = [self.spec.without_constant(part.X + sign * step * move) for sign in (-1.0, 1.0)]
        return self._contrast(names, on, ends, 2 * step)

    def _on(self, on: Any) -> tuple[Flow, Callable[[SplineLaw], Law]]:
        """The flow of the outcome on another scale, if it is one there, and what brings its laws to that scale."""
        scale = partial(_single_law, self.facts.outcome, on)
        law = scale(self.flow.any_law(self.main.theta))
        if on is None or not isinstance(law, SplineLaw):
            return self.flow, scale
        return replace(self.flow, support=law.domain), lambda law, name=law.outcome: law.named(name)

    def _named(self, names: Any, on: Any) -> tuple[list[str], list[inference.Functional], Flow]:
        flow, scale = self._on(on)
        given, one = listed(names), flow.any_law(self.main.theta)
        exact = on is None or flow is not self.flow
        return (
            [functional_name(n) for n in given],
            [inference.functional_on(n, scale, one, exact) for n in given],
            flow,
        )

    def _contrast(self, names: Any, on: Any, ends: Sequence[Array], unit: float) -> Estimates:
        texts, parsed, flow = self._named(names, on)
        w, sol = self._need_rows().sample.weights, self.under
        a, b = (inference.average_by_row(flow, sol, X, w, parsed) for X in ends)
        checks.check_moments(texts, a.values + b.values)
        G = (b.gradients - a.gradients) / unit
        with np.errstate(invalid="ignore"):
            values = (b.values - a.values) / unit
        return Estimates(tuple(texts), values, G @ sol.covariance @ G.T)

    def effects(
        self, names: str | Sequence[str] = ("mean", "q[0.1]", "q[0.5]", "q[0.9]")
    ) -> dict[str, Estimates]:
        """Average effects of every variable: derivatives of numeric ones, contrasts with the first level of others and of 0/1."""
        scenario = Scenario.of_design(self._need_rows().design)
        out = {}
        for v in self.spec.variables:
            levels = scenario.levels(v)
            values = scenario.values(v)
            if levels is None and set(np.unique(values)) <= {0.0, 1.0}:
                levels = (0, 1)
            if levels is None:
                out[v] = self.derivative(v, names)
            else:
                out |= {
                    f"{v}: {level} - {levels[0]}": self.effect(v, levels[0], level, names)
                    for level in levels[1:]
                }
        return out

    def band(
        self,
        kind: str = "cdf",
        new: Any = None,
        *,
        grid: Any = None,
        level: float = LEVEL,
        seed: int | np.random.Generator | None = 0,
    ) -> pd.DataFrame:
        """A curve of the law with pointwise limits and a uniform band over the grid (sup-t, by simulation).

        Estimates and bands come from the flow with smaller penalties (see `at`), so a density looks rougher
        than that of `distribution`.  In 600 samples of 500 rows of a bimodal law, 95 % bands held the whole
        curve in 95 % (cdf), 96 % (density) and 96 % (quantiles) of them.

        Parameters
        ----------
        kind : {"cdf", "pdf", "quantile"}
        new : table of one or more rows whose averaged law is meant, or None for the rows of the fit.
        grid : outcomes (g,), or quantile levels; None for 60 between the .01 and .99 quantiles.
        level : float, confidence level.
        seed : of the simulation of the critical value.

        Returns
        -------
        DataFrame
            Columns y (or tau), estimate, conf_low, conf_high (pointwise), band_low, band_high (all of the
            grid at once).

        Raises
        ------
        OptionError, NeedsData
        """
        over = self._average_rows() if new is None else (self._covariates(new)[0], None)
        return inference.band_table(
            self.flow, self.under, *over, kind, grid, check_level(level), seed_sequence(seed)
        )

    # ---- checks and pictures -------------------------------------------------------------------------------

    def diagnose(self, folds: int = 5, *, seed: int | np.random.Generator | None = None) -> FlowDiagnosis:
        """Probability transforms and scores of rows that the fit has not seen, fold by fold.

        Parameters
        ----------
        folds : int.
        seed : of the division into folds.

        Returns
        -------
        FlowDiagnosis

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        sample = self._need_rows().sample
        return checking.diagnose(len(sample.y), sample.counts, folds, seed, partial(checking.held_out, self))

    def test_linear_normal(
        self, reps: int = 199, *, seed: int | np.random.Generator | None = None
    ) -> TestResult:
        """Test that a normal linear model suffices, by parametric bootstrap of the likelihood ratio.

        Parameters
        ----------
        reps : int, draws from the normal linear model; each is fitted as the sample was.
        seed : of the draws.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        return checking.bootstrap_test(self, "linear normal", None, reps, seed)

    def test_no_effect(
        self, variable: str, reps: int = 199, *, seed: int | np.random.Generator | None = None
    ) -> TestResult:
        """Test that a variable does not enter at all, neither location nor shape, by parametric bootstrap.

        Parameters
        ----------
        variable : a column of the right side.
        reps : int, draws from the flow without it; each is fitted as the sample was.
        seed : of the draws.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError, MissingColumnError, WithheldError, NeedsData
        """
        return checking.bootstrap_test(self, "no effect", variable, reps, seed)

    def _refitting(self) -> Refitting:
        return refitting_flow(self)

    def plot(self, **options: Any) -> Any:
        """Draw the density over the histogram with its band; see `plots.density`."""
        from disteconometrics.plots.densities import density

        return density(self, **options)

    def plot_fan(self, variable: str, **options: Any) -> Any:
        """Draw conditional quantiles along a variable; see `plots.quantile_fan`."""
        from disteconometrics.plots.densities import quantile_fan

        return quantile_fan(self, variable, **options)

    def plot_effect(self, variable: str, low: Any = None, high: Any = None, **options: Any) -> Any:
        """Draw the effect of a variable along quantiles; see `plots.quantile_effects`."""
        from disteconometrics.plots.densities import quantile_effects

        return quantile_effects(self, variable, low, high, **options)

    # ---- covariance ----------------------------------------------------------------------------------------

    def with_cov(self, cov: CovarianceKind) -> FlowResults:
        """Return the same flow with another covariance; nothing is estimated again."""
        rows, kind = self._need_rows(), _kind(cov, self.model.weight_type)
        main, label, note = _solution(self.flow, rows.smooth, rows, kind)
        return replace(self, main=main, kind=kind, facts=replace(self.facts, cov_label=label, cov_note=note))

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = LEVEL) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        return summary_of(self, check_level(level))

    def __repr__(self) -> str:
        return f"<FlowDensity results: {self.spec.formula}, n = {self.nobs:g}, llf = {self.llf:.3f}>"

    def attach(self, data: Any) -> FlowResults:
        """Return a loaded result together with the rows of its fit, checked to give the same log-likelihood.

        Raises
        ------
        DataError
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = self.model.fit(data)
        same = again.main.theta.shape == self.main.theta.shape and abs(again.llf - self.llf) <= 1e-8 * (
            1 + abs(self.llf)
        )
        if not same or not np.allclose(again.main.theta, self.main.theta, rtol=1e-5, atol=1e-8):
            raise DataError("data= does not hold the rows of the fit: the estimates there are others.")
        return replace(self, rows=again.rows, kind=self.kind if self.kind is not None else again.kind)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result without its rows to one ``.npz`` file; `disteconometrics.load` reads it."""
        flow, arrays = self.flow.to_parts()
        header: dict[str, Any] = {
            "estimator": {k: v for k, v in asdict(self.model).items() if k != "train"},
            "spec": self.spec.to_dict(),
            "facts": asdict(self.facts),
            "flow": flow,
        }
        e = self.estimates
        header["functionals"] = list(e.names)
        arrays = {f"flow_{k}": v for k, v in arrays.items()}
        arrays |= {"values": e.values, "covariance": e.covariance, "limits": e.interval(LEVEL)}
        for name, sol in (("main", self.main), ("under", self.under)):
            arrays |= {
                f"{name}_{k}": getattr(sol, k)
                for k in ("theta", "covariance", "root", "penalty", "effective")
            }
        write_archive(path, "FlowDensity", header, arrays)


def _single_law(outcome: str, scale: Any, law: SplineLaw) -> Law:
    """The law of an outcome, on another scale if one is given."""
    named = law.named(outcome)
    return named if scale is None else named.on(scale)


def _limits(
    flow: Flow,
    sol: Solution,
    X: Array,
    w: Array | None,
    parsed: Sequence[inference.Functional],
    plain: Estimates,
    level: float,
) -> tuple[Array, None]:
    """Limits (k, 2): the inverted band for quantiles, estimate ± errors for others."""
    out = plain.interval(level)
    for i, (kind, numbers) in enumerate(parsed):
        if kind == "q":
            out[i] = inference.quantile_limits(flow, sol, X, w, numbers[0], plain.critical(level))
    return out, None


def _saved_limits(plain: Estimates, limits: Array, level: float) -> tuple[Array, None]:
    if level != LEVEL:
        raise NeedsData(
            f"The file holds limits at level {LEVEL} only: use attach(data) with the fit's table for others."
        )
    return limits, None


def restore_flow(header: dict[str, Any], arrays: dict[str, Array]) -> FlowResults:
    """Rebuild a saved result, without rows.

    Raises
    ------
    FileFormatError, KeyError, TypeError, ValueError
    """
    given = dict(header["estimator"])
    if isinstance(given["flow"], dict):
        given["flow"] = MonotoneSpline(**given["flow"])
    model = FlowDensity(**given)
    flow = Flow.from_parts(
        header["flow"], {k.removeprefix("flow_"): v for k, v in arrays.items() if k.startswith("flow_")}
    )
    p = flow.structure.size
    solutions = []
    for name in ("main", "under"):
        parts = {k: arrays[f"{name}_{k}"] for k in ("theta", "covariance", "root", "penalty")}
        if any(v.shape != ((p,) if k == "theta" else (p, p)) for k, v in parts.items()):
            raise FileFormatError(f"the coefficients are not the {p} that the flow has")
        solutions.append(Solution(**parts, effective=float(arrays[f"{name}_effective"])))
    names = tuple(map(str, header["functionals"]))
    if arrays["values"].shape != (len(names),) or arrays["covariance"].shape != (len(names),) * 2:
        raise FileFormatError("the functionals and their covariance do not belong together")
    plain = Estimates(names, arrays["values"], arrays["covariance"])
    saved = replace(plain, profile=partial(_saved_limits, plain, arrays["limits"]))
    facts = FlowFacts(**header["facts"])
    spec = DesignSpec.from_dict(header["spec"])
    return FlowResults(model, spec, flow, solutions[0], facts, None, saved=(solutions[1], saved))
