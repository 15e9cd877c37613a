"""From rows to a fitted spline: checks of the rows, the fit, and what it leaves for other questions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.checks import check_far
from disteconometrics.data.recorded import Records
from disteconometrics.data.stream import StreamDesign
from disteconometrics.distributions.spline_pieces import chunks
from disteconometrics.distributions.support import Support
from disteconometrics.errors import ConvergenceWarning, warn_user
from disteconometrics.estimators.flow import row_checks as checks
from disteconometrics.estimators.flow.record_facts import RecordFacts, held_by
from disteconometrics.estimators.flow.source_rows import SourceFacts, rows_of_source
from disteconometrics.estimators.flow.spline_fit import (
    Fitted,
    SplinePlan,
    fit_flow,
    prepared_again,
    problem_of,
    rougher,
)
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.estimators.flow.spline_inference import coefficient_covariance, score_rows
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import FitRows
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.flows.monotone_spline import MonotoneSpline
from disteconometrics.inference.covariance import Covariance, CovarianceKind
from disteconometrics.optim.recorded_normal import check_overlap
from disteconometrics.optim.smoothing import Smooth
from disteconometrics.threads import on_one_thread

__all__ = ["FlowFacts", "FlowRows", "SplineFit", "fit_rows", "fit_source", "plan_of", "spline_fit_of"]

FARTHEST = 1e8  # times as far out as the others that a value may be: forms are summed in single precision
UNDERSMOOTHING = (0.4, 0.25, 0.03)  # factor on λ for inference: with no, one and more covariates


@dataclass(frozen=True, kw_only=True)
class FlowFacts(FitFacts):
    """Numbers of a fit that need no rows.

    ``loglik`` and ``leave_one_out`` are sums over observations, in the outcome's units.
    """

    leave_one_out: AnyFloat
    effective: dict[str, float]
    trials: list[tuple[str, str, AnyFloat, AnyFloat]]  # structure, base, leave-one-out, score
    gain: AnyFloat
    gain_error: AnyFloat
    converged: bool
    steps: Count
    constraints: Count
    outcome: str
    shared: str | None = None
    cov_label: str = "sandwich"
    cov_note: str = ""
    clusters: Count | None = None
    rival: str | None = None
    records: RecordFacts | None = None
    source: SourceFacts | None = None

    unused: ClassVar[tuple[str, ...]] = ("standardised",)

    @property
    def edf(self) -> float:
        """Effective parameters."""
        return float(sum(self.effective.values()))

    def under(self, V: Covariance) -> FlowFacts:
        """The same facts with the words of a covariance."""
        return replace(self, cov_label=V.label, cov_note=V.note, clusters=V.clusters)


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowRows(FitRows):
    """The rows behind a result: as the fit takes them, in the outcome's units, with what it solved on them.

    ``left_out`` (n,) are their leave-one-out log densities, in the outcome's units.  Where a row stands for
    those of a bin, ``ends`` are the ends (n,) of the bin.
    """

    sample: SplineSample
    smooth: Smooth
    left_out: Array
    ends: tuple[Array, Array] | None = None

    def solution(self, flow: SplineFlow, kind: CovarianceKind) -> tuple[Solution, Covariance]:
        """Coefficients, and their covariance with its words.

        Raises
        ------
        OptionError, MissingColumnError, DataError, WithheldError
        """
        V = self._covariance(flow, kind, self.smooth)
        return _solution(self.smooth, V.matrix), V

    def _covariance(self, flow: SplineFlow, kind: CovarianceKind, smooth: Smooth) -> Covariance:
        solution = _solution(smooth, np.zeros((0, 0)))
        return coefficient_covariance(flow, solution, self.sample, kind, self.sampling)

    @on_one_thread
    def _matrix(self, flow: SplineFlow, kind: CovarianceKind, smooth: Smooth) -> Array:
        return self._covariance(flow, kind, smooth).matrix

    @on_one_thread
    def undersmoothed(self, flow: SplineFlow, kind: CovarianceKind) -> Solution:
        """The flow with smaller penalties, from which intervals at rows, effects and bands come."""
        sample = self.on_line(flow.support)
        problem = problem_of(prepared_again(sample, flow.centre, flow.structure), flow.base)
        fitted = Fitted(flow.centre, flow.name, flow.structure, flow.base, self.smooth, problem, sample)
        factor = UNDERSMOOTHING[min(len(flow.structure.covariates), 2)]
        smooth = rougher(fitted, factor, near=True).smooth
        return _solution(smooth, partial(self._matrix, flow, kind, smooth))

    def on_line(self, support: Support) -> SplineSample:
        """The sample with its outcomes brought to the line."""
        return replace(self.sample, support=support).on_line()

    def columns_without(self, variable: Any) -> list[int]:
        """Positions of the covariate columns that do not read a variable.

        Raises
        ------
        MissingColumnError, OptionError
        """
        scenario = self.scenario()
        name = scenario.check_variable(variable)
        value = self.column(name, "the formula").iloc[0]
        moved, _ = scenario.part(0, 1, {}).replaced(
            name, value.item() if isinstance(value, np.generic) else value
        )
        gone = {self.names[j] for j in moved}
        return [j for j, n in enumerate(checks.covariate_names(self.names)) if n not in gone]


def _solution(f: Smooth, covariance: Array | Callable[[], Array]) -> Solution:
    """The coefficients of what was solved, with a covariance."""
    return Solution(f.theta, covariance, f.root, f.penalty, float(f.effective.sum()))


class SplineFit(NamedTuple):
    """A fitted spline: the flow, its coefficients, facts and rows."""

    flow: SplineFlow
    main: Solution
    facts: FlowFacts
    rows: FlowRows


def plan_of(model: Any, enough: bool = True) -> SplinePlan:
    """What a specification asks of a fit; a linear structure where rows are not ``enough`` for more."""
    flow = model.flow if isinstance(model.flow, MonotoneSpline) else MonotoneSpline()
    structure = "auto" if flow.structure == "simple" else flow.structure
    tensor = flow.structure != "simple"
    return SplinePlan(structure if enough else "linear", model.base, flow.knots, flow.roughness, tensor)


@on_one_thread
def fit_source(
    model: Any, stream: StreamDesign, kind: CovarianceKind, like: SplineFlow | None = None
) -> SplineFit:
    """Fit the spline of a specification to the cells of a source, by another reading of it.

    Parameters, errors and warnings: as `fit_rows`; also NeedsRows for sampling weights of many rows.
    """
    found = rows_of_source(stream, model.domain)
    fit = fit_rows(model, FitRows(found.design), kind, like, found.seen)
    fit = fit._replace(rows=replace(fit.rows, ends=found.ends))
    source = replace(found.facts, error=_bins_error(fit))
    return fit._replace(facts=replace(fit.facts, **found.counts, source=source))


def _bins_error(fit: SplineFit) -> float:
    """Σ n·‖R⁻ᵀ(chord − score)‖ of bins, R'R the information: at most how many standard errors they cost."""
    if fit.rows.ends is None:
        return 0.0
    s, theta, root = fit.rows.sample, fit.main.theta, fit.main.root
    (low, high), total = fit.rows.ends, 0.0
    wide = np.flatnonzero(low < high)
    for part in chunks(len(wide), 18 * len(theta)):
        at = wide[part]
        middle = replace(s.take(at), weights=None)
        a, b = low[at], high[at]
        below, own, above = (
            np.concatenate([p.scores for p in score_rows(fit.flow, theta, replace(middle, y=y))]) @ root
            for y in (a, middle.y, b)
        )
        share = ((middle.y - a) / (b - a))[:, None]
        gap = (1 - share) * below + share * above - own
        counts = np.ones(len(at)) if s.weights is None else s.weights[at]
        total += float(counts @ np.linalg.norm(gap, axis=1))
    return total


@on_one_thread
def fit_rows(
    model: Any,
    read: FitRows,
    kind: CovarianceKind,
    like: SplineFlow | None = None,
    seen: tuple[Array, Array | None] | None = None,
) -> SplineFit:
    """Fit the spline of a specification to rows, with base and kind of centre ``like`` another's if given.

    ``seen`` are outcomes, and their counts or None, in which shared values are looked for, None for the rows.

    Raises
    ------
    DataError, FormulaError, OutcomeError, CollinearityError, OptionError, WithheldError

    Warns
    -----
    DiscreteOutcomeWarning, HardEdgeWarning, SmallSampleWarning, LeverageWarning
    """
    spec, y, support = read.spec, read.y, model.domain
    outcome, X = spec.outcome.name, spec.without_constant(read.X)
    records, groups = checks.inexact(read.design.records, support), _groups(spec.names)
    counts = read.weights if read.frequency else None
    enough = checks.check_rows(y, counts, X.shape[1], outcome, records is not None)
    checks.check_support(y, support, outcome, records)
    own = SplineSample(y, X, groups, read.scaled_weights, read.frequency, support, records=records)
    sample = own.on_line()
    check_far(np.column_stack([sample.y, read.X]), [outcome, *spec.names], FARTHEST)
    checks.check_columns(read.X, y, spec.names, spec.has_intercept)
    if records is not None:
        check_overlap(*sample.ends(sample.centre), read.X, spec.names, outcome)
    shared = checks.ties(*(_told(y, counts, records) if seen is None else seen))
    if shared is not None:
        checks.warn_ties(shared, outcome, sample.observations)
    if X.shape[1]:
        checks.check_residual(sample.centre.scale, sample.y, outcome)
        if support.kind == "line" and shared is None and records is None:
            checks.check_edges(sample.y, sample.copies, outcome)
    plan = plan_of(model, enough)
    if like is not None:
        sample, plan = replace(sample, straight=like.centre.is_straight), replace(plan, base=like.base)
    fitted = fit_flow(sample, plan)
    if not fitted.smooth.converged:
        text = f"The penalties of the density of {outcome!r} did not settle; the last state is reported."
        warn_user(ConvergenceWarning(text, column=outcome, hint="look at the outcome for values far out"))
    words = None if shared is None else shared.words(outcome, sample.observations)
    flow = SplineFlow.of(fitted, support)
    checks.check_widths(flow.structure.mean_slopes(fitted.smooth.theta, X), X, spec.names)
    return spline_fit_of(fitted, flow, read.design, kind, words)


def spline_fit_of(
    fitted: Fitted, flow: SplineFlow, design: Any, kind: CovarianceKind, shared: str | None = None
) -> SplineFit:
    """A fit with what results need of it: covariance, facts, and the rows of a design in the outcome's units.

    ``shared`` is what the summary says of values that many rows share.

    Raises
    ------
    OptionError, MissingColumnError, DataError, WithheldError
    """
    rows = FlowRows(
        design,
        sample=replace(fitted.sample, y=design.y, records=checks.inexact(design.records, flow.support)),
        smooth=fitted.smooth,
        left_out=fitted.loo + _log_slopes(fitted.sample, flow.support, design.y),
    )
    main, V = rows.solution(flow, kind)
    facts = replace(
        _facts(fitted, rows, flow.support), shared=shared, records=_record_facts(flow, main, rows)
    )
    return SplineFit(flow, main, facts.under(V), rows)


def _record_facts(flow: SplineFlow, main: Solution, rows: FlowRows) -> RecordFacts | None:
    """What the records of the rows tell of the law, None of outcomes that are known."""
    s = rows.sample
    if s.records is None:
        return None
    held = held_by(s.records, flow.support)
    cdf = np.array(
        [np.average(_cdf(flow, main.theta, s.X, y), weights=s.weights) for y in (held.low, held.high)]
    )
    return RecordFacts.of(s.records, held, cdf)


def _cdf(flow: SplineFlow, theta: Array, X: Array, y: float) -> Array:
    """F(y | x) (n,) of rows."""
    return np.asarray(flow.law(theta, X).cdf(np.full(len(X), y)))


def _told(y: Array, counts: Array | None, records: Records | None) -> tuple[Array, Array | None]:
    """Outcomes that are known, with their counts."""
    known = slice(None) if records is None else records.exact
    return y[known], None if counts is None else counts[known]


def _log_slopes(s: SplineSample, support: Support, y: Array) -> Array:
    """log du/dy (n,) of rows that have a density; what is told of others has no units."""
    slopes = support.log_slope(y)
    return slopes if s.known is None else np.where(s.known, slopes, 0.0)


def _groups(names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Positions of the columns of each formula term, the constant left out."""
    found: dict[str, list[int]] = {}
    for j, name in enumerate(checks.covariate_names(names)):
        found.setdefault(re.sub(r"\[[^\[\]]*\]", "", name), []).append(j)
    return tuple(tuple(g) for g in found.values())


def _facts(fitted: Fitted, rows: FlowRows, support: Support) -> FlowFacts:
    s, f = fitted.sample, fitted.smooth
    slope = _log_slopes(
        s, support, rows.y
    )  # so that criteria are in units of the outcome, whatever its support
    w = or_ones(s.weights, len(s.y))
    shift = float(w @ slope)
    gain, error = _gain(fitted, w)
    return FlowFacts(
        **rows.facts(),
        observations=rows.observations,
        loglik=fitted.loglik + shift,
        leave_one_out=float(w @ fitted.loo) + shift,
        effective=fitted.effective(),
        trials=[(t.name, t.base, _mean(t.loo, s.copies), float(t.score)) for t in fitted.trials],
        gain=gain,
        gain_error=error,
        converged=f.converged,
        steps=f.steps,
        constraints=len(f.G),
        outcome=rows.spec.outcome.name,
    )


def _mean(loo: Array, copies: Array | None) -> float:
    """Leave-one-out per observation of the rows that were compared, all or some that count once."""
    return float(np.average(loo, weights=copies if copies is not None and len(copies) == len(loo) else None))


def _gain(fitted: Fitted, w: Array) -> tuple[float, float]:
    """Leave-one-out log density per row over the normal linear model, with its error; NaN without one."""
    linear = [t for t in fitted.trials if t.name == "linear" and t.base == "normal"]
    if not linear or len(linear[0].loo) != len(fitted.loo):
        return float("nan"), float("nan")
    d = fitted.loo - linear[0].loo
    gain = float(np.average(d, weights=w))
    error = float(np.sqrt(np.average(np.square(d - gain), weights=w) / fitted.sample.observations))
    return gain, error
