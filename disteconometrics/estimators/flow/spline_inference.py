"""Inference on a fitted flow: covariance of its coefficients, functionals with gradients, limits, bands.

The coefficients solve Σ s_i = Sθ with S the penalty, so V = H⁻¹(J·n/(n − e) + S)H⁻¹, H the penalised
information, J the meat of the scores and e the effective parameters: the sandwich HC1, with the penalty as
the prior that it stands for.  Functionals are differentiated exactly: a distribution function moves by
φ(z)·a, a quantile by −a over the slope, a mean by −∫ φ(h)·a dy. Limits of quantiles invert the band of h.

References
----------
White (1982), Maximum likelihood estimation of misspecified models, Econometrica 50, doi:10.2307/1912526.
Nychka (1988), Bayesian confidence intervals for smoothing splines, JASA 83,
doi:10.1080/01621459.1988.10478711. Wood (2006), On confidence intervals for generalized additive models,
Aust. N. Z. J. Statistics 48, doi:10.1111/j.1467-842X.2006.00450.x.
Montiel Olea, Plagborg-Møller (2019), Simultaneous confidence bands, J. Applied Econometrics 34,
doi:10.1002/jae.2656.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.spline_pieces import chunks
from disteconometrics.distributions.support import LINE
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.estimators.flow.spline_laws import SLOPES
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.inference.covariance import Cluster, Covariance, CovarianceKind, covariance
from disteconometrics.inference.influence import answers_covariance
from disteconometrics.inference.law_bands import half
from disteconometrics.inference.law_effects import needs_population
from disteconometrics.inference.law_functionals import OF_QUANTILES, Functional, is_analytic, parse_functional
from disteconometrics.inference.protocols import ArrayScores, MEstimate, RowScores
from disteconometrics.inference.sampling import Sampling
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.recorded_rows import recorded_rows
from disteconometrics.likelihoods.row_sums import Places, RowTransform

__all__ = [
    "RecordScores",
    "SplineEstimation",
    "check_kind",
    "coefficient_covariance",
    "functional_on",
    "score_rows",
]

MOST_KEPT = 20_000_000  # numbers of scores that are kept
SANDWICH = (
    "sandwich = H⁻¹(J·n/(n-e) + S)H⁻¹, J the scores' products, S the penalty, e the effective parameters."
)


# ---- covariance of the coefficients ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _ScorePart:
    """Scores (m, p) of rows; their roots A·√curvature are made where leverages are asked for."""

    scores: Array
    A: Array
    curvature: Array
    copies: Array | None = None

    @property
    def roots(self) -> Array:
        return self.A * np.sqrt(self.curvature)[:, None]


def score_rows(
    flow: SplineFlow, theta: Array, s: SplineSample, rows: int | None = None
) -> Iterator[RowScores]:
    """The score rows of a flow, part by part."""
    base = BASES[flow.base]
    for part in chunks(len(s.y), 6 * len(theta)):
        w = None if s.weights is None else s.weights[part]
        if s.records is None:
            A, D, _ = flow.forms(s.y[part], s.X[part])
            z, slope = A @ theta, D @ theta
            D /= slope[:, None]
            D -= A * base.first(z)[:, None]
            if w is not None and not s.counts:
                D *= w[:, None]
                w = None
            yield _ScorePart(D, A, base.second(z), w)
        else:
            own = s.take(part)
            own = own.with_records(flow.support.to_line)  # as `forms` takes outcomes to the line
            told = recorded_rows(flow.structure, *own.ends(flow.centre), own.X, None, dense=True)
            scores, roots = told.scores(base, theta)
            if w is not None and not s.counts:
                scores = scores * w[:, None]
                w = None
            yield ArrayScores(scores, roots, w)


@dataclass(frozen=True, eq=False)
class RecordScores:
    """Scores S (n, p) of records on the line, their weights left out, kept where they are not too many.

    They are asked for again and again: by every search for limits and every step of an effect.
    """

    flow: SplineFlow
    theta: Array
    sample: SplineSample

    @property
    def _parts(self) -> Iterator[Array]:
        on_line, rows = replace(self.flow, support=LINE), replace(self.sample, weights=None)
        return (part.scores for part in score_rows(on_line, self.theta, rows))

    @cached_property
    def _kept(self) -> list[Array] | None:
        few = len(self.sample.y) * len(self.theta) <= MOST_KEPT
        return list(self._parts) if few else None

    def __iter__(self) -> Iterator[Array]:
        return self._parts if self._kept is None else iter(self._kept)

    def along(self, directions: Array) -> Array:
        """S·d (n, q) for directions (p, q)."""
        return np.concatenate([part @ directions for part in self])

    def products(self, W: Array) -> Array:
        """W'S (m, p) for W (n, m)."""
        total, at = np.zeros((W.shape[1], len(self.theta))), 0
        for part in self:
            total += W[at : at + len(part)].T @ part
            at += len(part)
        return total


def check_kind(kind: CovarianceKind) -> CovarianceKind:
    """Refuse covariances that have no meaning under a penalty.

    Raises
    ------
    OptionError
    """
    if isinstance(kind, Cluster) and kind.correction in ("jackknife", "cr1"):
        raise OptionError(
            f"correction={kind.correction!r} is not available for flows; use 'groups' or 'none'."
        )
    if isinstance(kind, str) and kind not in ("nonrobust", "HC0", "HC1"):
        raise OptionError(
            f"cov={kind!r} is not available for flows; use 'sandwich' (HC1), 'HC0', 'nonrobust', "
            "de.Cluster('column') or de.HAC('time')."
        )
    return kind


def coefficient_covariance(
    flow: SplineFlow,
    solution: Solution,
    sample: SplineSample,
    kind: CovarianceKind,
    sampling: Sampling,
) -> Covariance:
    """The covariance (p, p) of the coefficients, with its label and the note under the table.

    Raises
    ------
    DataError, WithheldError
    """
    p = len(solution.theta)
    names = tuple(f"theta{i}" for i in range(p))
    source = partial(score_rows, flow, solution.theta, sample)
    n = sample.size
    equation = MEstimate(
        names, solution.theta, solution.root, solution.root, n, len(sample.y), source, _weight_type(sample)
    )
    V = covariance(equation, "HC0" if kind == "HC1" else kind, sampling)
    if kind == "nonrobust":  # H⁻¹ of the penalised information: the Bayesian covariance
        return _plain(V, V.matrix, V.label, "nonrobust = inverse penalised information.")
    bread = solution.root @ solution.root.T
    matrix = V.matrix * _few_rows(kind, solution.effective, n) + bread @ solution.penalty @ bread
    matrix = (matrix + matrix.T) / 2
    if kind == "HC1":
        return _plain(V, matrix, "sandwich", SANDWICH)
    note = f"{V.note} The penalty is added as a prior."
    if V.clusters:
        note += f" t with {V.clusters - 1} degrees of freedom."
    return _plain(V, matrix, V.label, note)


def _plain(V: Covariance, matrix: Array, label: str, note: str) -> Covariance:
    """A covariance with another matrix, which is taken as it is, and other words."""
    return replace(V, matrix=matrix, label=label, note=note, basis=None, inner=None)


def _weight_type(sample: SplineSample) -> str | None:
    """What the weights of rows are."""
    return None if sample.weights is None else "frequency" if sample.counts else "sampling"


def _prior(solution: Solution) -> Array:
    """W (p, p) with WW' = H⁻¹SH⁻¹, S the penalty."""
    return np.asarray(solution.root @ (solution.root.T @ half(solution.penalty)))


@dataclass(frozen=True, eq=False)
class SplineEstimation:
    """What the fit says of the coefficients; see `inference.law_effects.Estimation`.

    ``clusters`` is their number in the covariance, None where there are none: limits are then those of t, and
    of the normal law else.  ``sample`` are the rows on the line, ``sampling`` their clusters and order
    in time; None of a result without rows, which knows errors given the rows alone.
    """

    flow: SplineFlow
    solution: Solution
    clusters: int | None = None
    kind: CovarianceKind | None = None
    sample: SplineSample | None = None
    sampling: Sampling | None = None

    @property
    def df(self) -> float:
        """Degrees of freedom of t: clusters less one, infinite of the normal law."""
        return np.inf if self.clusters is None else self.clusters - 1.0

    def errors(self, G: Array) -> Array:
        """Standard errors (q,) of numbers with gradients G (q, p), given the rows."""
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", G @ self.solution.covariance, G)))

    def covariance(self, values: Array, G: Array, averaging: Array | None) -> Array:
        """Covariance (q, q) of answers: gradients G (q, p), averaging rows (n, q), None for given rows.

        Estimation rows G H⁻¹s_i carry √(n/(n − e)), averaging rows √(n/(n − 1)), and the penalty is the prior
        that it is in V.
        """
        if averaging is None:
            given = G @ self.solution.covariance @ G.T
            return np.asarray((given + given.T) / 2)
        s, kind = self.sample, self.kind
        if s is None or kind is None:
            raise needs_population()
        if kind == "nonrobust":
            estimation, modelled = None, G @ self.solution.covariance @ G.T
        else:
            estimation, modelled = self.rows(G, len(averaging)), self.modelled(G)
        return answers_covariance(values, averaging, estimation, modelled, kind, self._on_the_line)

    def rows(self, G: Array, size: int) -> Array:
        """Estimation rows (n, q) of answers with gradients G (q, p)."""
        s, kind = self.sample, self.kind
        assert s is not None
        assert kind is not None
        return self._rows(G * np.sqrt(_few_rows(kind, self.solution.effective, s.size)))

    def modelled(self, G: Array) -> Array:
        """The penalty as the prior that it is in V (q, q)."""
        penalty = G @ self._prior
        return np.asarray(penalty @ penalty.T)

    @cached_property
    def _prior(self) -> Array:
        """W (p, p) with WW' = H⁻¹SH⁻¹, the penalty's part of V."""
        return _prior(self.solution)

    @cached_property
    def _on_the_line(self) -> Sampling:
        """With the weights that the rows have there."""
        assert self.sample is not None
        assert self.sampling is not None
        return replace(self.sampling, weights=self.sample.weights, weight_type=_weight_type(self.sample))

    def _rows(self, G: Array) -> Array:
        """G H⁻¹ s_i (n, q): the linear forms at H⁻¹G' in place of θ."""
        s, base, theta = self.sample, BASES[self.flow.base], self.solution.theta
        assert s is not None
        directions = self.solution.root @ (self.solution.root.T @ G.T)
        if s.records is not None:
            found = self._record_scores.along(directions)
            return found if s.weights is None or s.counts else found * s.weights[:, None]
        transform, r, places = self._own_rows
        z, slope = transform.values(theta, r, places)
        w = 1.0 if s.weights is None or s.counts else s.weights
        return transform.changes(directions, -w * base.first(z), w / slope, r, places)

    @cached_property
    def _record_scores(self) -> RecordScores:
        assert self.sample is not None
        return RecordScores(self.flow, self.solution.theta, self.sample)

    @cached_property
    def _own_rows(self) -> tuple[RowTransform, Array, Places]:
        """The transformations of the rows, their outcomes, and where these lie."""
        s = self.sample
        assert s is not None
        r = (s.y - self.flow.centre.location(s.X)) / self.flow.centre.scale
        return RowTransform(self.flow.structure, s.X), r, Places.of(r, self.flow.structure.basis.knots)


def _few_rows(kind: CovarianceKind, effective: float, n: float) -> float:
    """The factor n/(n − e) of meats, where the kind asks for it."""
    if kind == "HC0" or (isinstance(kind, Cluster) and kind.correction == "none"):
        return 1.0
    if effective >= n:
        raise WithheldError(f"{effective:.0f} effective parameters for {n:g} observations; use cov='HC0'.")
    return n / (n - effective)


# ---- functionals -------------------------------------------------------------------------------------------


def functional_on(name: Any, scale: Callable[[SplineLaw], Law], one: SplineLaw, exact: bool) -> Functional:
    """A functional of laws brought to a scale.

    ``one`` shows whether laws have it, ``exact`` that the flow itself is on the scale.
    """
    if exact and isinstance(name, CodedMean):
        return "other", (name,)
    if exact and is_analytic(name):
        if name in OF_QUANTILES:
            scale(one).functional(name)  # ratios are of positive outcomes
        return parse_functional(name)
    if exact and name in SLOPES:
        scale(one).functional(name)  # refuses a law that is not of positive outcomes
        return name, ()
    return "other", (lambda law: scale(law).functional(name),)
