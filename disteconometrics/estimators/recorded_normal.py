"""The normal linear law of recorded outcomes: the Tobit and the interval regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.data.recorded import Records
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.recorded import corner_of
from disteconometrics.errors import (
    ConvergenceWarning,
    OutcomeError,
    warn_user,
)
from disteconometrics.estimators.normal_answers import NormalAnswers, moving, named_squares
from disteconometrics.estimators.refit import refitting_result
from disteconometrics.estimators.results import CoefficientsHeader, FitFacts, FittedResult, SavedResult
from disteconometrics.estimators.rows import FitRows, warn_condition
from disteconometrics.fields import AnyFloat, Count, Numbers, Positive
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Cluster,
    Covariance,
    CovarianceKind,
    covariance,
    refuse_leverages,
    resolve_kind,
)
from disteconometrics.inference.protocols import ArrayScores, MEstimate, Refitting
from disteconometrics.likelihoods.recorded_normal import NormalRecords
from disteconometrics.optim.least_squares import Squares
from disteconometrics.optim.recorded_normal import RecordedMaximum, check_overlap, maximise_recorded
from disteconometrics.optim.whiten import triangle_inverse
from disteconometrics.report.summary import estimates_section, observations_text, rows_notes
from disteconometrics.tables import Summary, number, printable

__all__ = ["RecordedNormalResults", "fit_recorded"]

LACKS = {
    **dict.fromkeys(
        ("rsquared", "rsquared_adj"),
        "sums of squares need outcomes that were told exactly; compare models by llf, aic or test",
    ),
    **dict.fromkeys(
        ("resid", "resid_pearson"),
        "a residual needs an outcome that was told exactly; scores of rows are in rows.equation.source",
    ),
    **dict.fromkeys(
        ("leverage", "leverages"), "a row whose outcome was recorded has no single leverage; take cov='HC1'"
    ),
}
ALIKE = 1e-10  # share of a point that is no spread


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordedRows(FitRows):
    """The rows behind a result, and the equation of (β, σ)."""

    equation: MEstimate

    @property
    def equations(self) -> tuple[MEstimate]:
        """That of (β, σ), as `influence.estimation_rows` takes it."""
        return (self.equation,)

    def covariances(self, kind: CovarianceKind) -> Covariance:
        """Covariance of (β, σ).

        Raises
        ------
        OptionError
            For HC2 and HC3: rows have no single leverage.
        """
        refuse_leverages(kind, "recorded outcomes, whose rows")
        return covariance(self.equation, kind, self.sampling)


@dataclass(frozen=True, kw_only=True)
class RecordedFacts(FitFacts):
    """Numbers of a fit that need no rows; ``kinds`` counts rows by kind of record."""

    sigma: Positive
    condition: AnyFloat
    nested_null: bool
    kinds: dict[str, Count]
    converged: bool
    passes: Count
    decrement: AnyFloat


# ---- the fit -----------------------------------------------------------------------------------------------


def fit_recorded(model: Any, read: FitRows, kind: CovarianceKind, use_t: bool) -> RecordedNormalResults:
    """Fit a specification to rows whose outcomes are records.

    Raises
    ------
    OutcomeError, SeparationError, CollinearityError
    """
    records = read.design.records
    assert records is not None
    _check_records(records, read.spec)
    shift = np.zeros(read.size) if read.offset is None else read.offset
    fit = named_squares(read.matrix, records.middle - shift, read.scaled_weights, read.names)
    warn_condition(fit.condition)
    unit = _unit(records, fit, read)
    Z = fit.rows[: read.size]
    found = maximise_recorded(_of_residuals(records, fit.residuals, unit), Z, read.scaled_weights)
    if found.far or not found.converged:
        _check_overlap(records, shift, unit, read)
    if not found.converged:
        text = (
            f"The maximum was not reached in {found.passes} passes (Newton decrement {found.decrement:.1e}): "
            f"did not converge."
        )
        warn_user(ConvergenceWarning(text, hint="look for records that decide a coefficient alone"))
    sigma = unit / found.theta
    exact = _mass(read)[records.exact].sum()
    facts = RecordedFacts(
        **read.facts(),
        observations=read.observations,
        loglik=found.found.loglik - exact * float(np.log(unit)),
        sigma=sigma,
        condition=fit.condition,
        nested_null=read.spec.has_intercept,
        kinds=records.counts(),
        converged=found.converged,
        passes=found.passes,
        decrement=found.decrement,
    )
    rows = RecordedRows(read.design, equation=_equation(fit, Z, sigma, found, records, read))
    joint = rows.covariances(kind)
    return RecordedNormalResults(
        model=model,
        spec=read.spec,
        facts=facts,
        rows=rows,
        coefficients=rows.equation.params[:-1],
        covariance=_of_coefficients(joint),
        joint=joint,
        use_t=use_t,
    )


def _of_coefficients(V: Covariance) -> Covariance:
    """The covariance (k, k) of the coefficients, from that of (β, σ)."""
    inner = None if V.inner is None else V.inner[:-1, :-1]
    basis = None if V.basis is None else V.basis[:-1, :-1]
    return replace(V, matrix=V.matrix[:-1, :-1], inner=inner, basis=basis)


def _mass(read: FitRows) -> Array:
    w = read.scaled_weights
    return or_ones(w, read.size)


def _check_records(records: Records, spec: DesignSpec) -> None:
    """Refuse records of which no normal law can be told."""
    name = spec.outcome.name
    for rows, side in ((records.open_above, "at its cap or above it"), (records.open_below, "below")):
        if rows.all():
            raise OutcomeError(
                f"Every row used has {name!r} censored on one side ({side}): nothing tells where its law is."
            )
    same = np.ptp(records.lower) == 0 and np.ptp(records.upper) == 0
    if same and records.interval.all():
        raise OutcomeError(
            f"Every row used has {name!r} in one interval, ({records.lower[0]:g}, {records.upper[0]:g}]: "
            f"nothing tells its spread."
        )


def _unit(records: Records, fit: Squares, read: FitRows) -> float:
    """The spread of residuals of middles, by which the search is scaled."""
    w, points = _mass(read), np.abs(records.middle).max()
    spread = float(np.sqrt(w @ fit.residuals**2 / w.sum()))
    if spread > ALIKE * points:
        return spread
    name = read.spec.outcome.name
    if records.interval.any():
        return float(np.median((records.upper - records.lower)[records.interval]))
    if records.exact.any():
        raise OutcomeError(
            f"The outcome {name!r} is fitted perfectly by {len(read.names)} columns on {read.size} rows; no "
            f"law is left."
        )
    raise OutcomeError(
        f"No row tells {name!r} exactly or in an interval, and the columns tell the points above and below "
        f"which it is: nothing tells its spread. Fit Probit to being above."
    )


def _of_residuals(records: Records, residuals: Array, unit: float) -> NormalRecords:
    """Records around the least-squares fit of their middles, in units of its spread."""
    gap = np.zeros(len(residuals))
    gap[records.interval] = (records.upper - records.lower)[records.interval] / unit
    return NormalRecords(residuals / unit, gap, records.exact, records.open_below, records.open_above)


def _check_overlap(records: Records, shift: Array, unit: float, read: FitRows) -> None:
    """Refuse rows whose likelihood has no maximum."""
    ends = (records.lower - shift) / unit, (records.upper - shift) / unit
    check_overlap(*ends, read.X, read.names, read.spec.outcome.name)


def _equation(
    fit: Squares, Z: Array, sigma: float, found: RecordedMaximum, records: Records, read: FitRows
) -> MEstimate:
    """The estimating equation of (c, σ), β = T·c.

    The index m and the width d of a row have the gradients (−z, −m)/σ and (0, −d)/σ.
    """
    k, n = Z.shape[1], read.size
    t, m, d = found.found.terms, found.index, found.width  # terms are weighted
    one = np.ones(n) if not read.frequency else 1 / _mass(read)
    exact = records.exact * _mass(read)
    scores = np.column_stack([-t.slope[:, None] * Z, -(t.slope * m + t.slope_width * d + exact)])
    a = np.sqrt(np.maximum(t.weight, 0.0))
    across = np.divide(t.shared, a, out=np.zeros(n), where=a > 0)
    rest = np.maximum(t.weight_width - across**2, 0.0) * d**2 + exact
    roots = np.zeros((n, 2, k + 1))
    roots[:, 0, :k], roots[:, 0, k] = -a[:, None] * Z, -(a * m + across * d)
    roots[:, 1, k] = np.sqrt(rest)
    scores, roots = one[:, None] * scores / sigma, np.sqrt(one)[:, None, None] * roots / sigma
    weighted = roots if not read.frequency else roots * np.sqrt(_mass(read))[:, None, None]
    flat = weighted.reshape(-1, k + 1)
    H = flat.T @ flat
    scale = np.sqrt(np.diagonal(H))
    inner = triangle_inverse(np.linalg.cholesky(H / np.outer(scale, scale)).T) / scale[:, None]
    basis = np.eye(k + 1)
    basis[:k, :k] = fit.basis
    params = np.append(fit.basis @ (fit.coordinates + sigma * found.delta), sigma)
    copies = read.scaled_weights if read.frequency else None
    source = ArrayScores(scores, roots, copies)
    names = (*read.names, "sigma")
    kind = read.spec.weight_type
    return MEstimate(names, params, inner, basis @ inner, read.observations, n, source, kind, basis)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RecordedNormalResults(NormalAnswers, FittedResult):
    """A Tobit or an interval regression: coefficients, σ, tests, and the law of every row's true outcome.

    Answers are of the outcome before it was recorded, and beyond a cap they rest on the normal form.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["foodexp"] = engel.foodexp.clip(upper=900)
    >>> res = de.NormalRegression("topcoded(foodexp, at=900) ~ income").fit(engel)
    >>> res.facts.kinds, round(res.sigma, 1)
    ({'exact': 207, 'open above': 28}, 85.8)
    """

    facts: RecordedFacts
    rows: RecordedRows | None = field(default=None, repr=False)
    joint: Covariance = field(repr=False)

    @property
    def file_kind(self) -> str:
        """That of a normal law of records."""
        return "RecordedNormal"

    @property
    def parameters(self) -> float:
        """Coefficients and σ."""
        return float(len(self.spec.names) + 1)

    @property
    def df_model(self) -> float:
        """Coefficients beyond the constant."""
        return float(len(self.spec.names) - self.facts.nested_null)

    @property
    def sigma(self) -> float:
        """Maximum-likelihood standard deviation of the errors of the true outcome."""
        return self.facts.sigma

    @property
    def sigma_variance(self) -> float:
        """Variance of the estimate of σ."""
        return float(self.joint.matrix[-1, -1])

    @property
    def joint_covariance(self) -> Covariance:
        """Covariance (k + 1, k + 1) of the coefficients and σ."""
        return self.joint

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        V = rows.covariances(resolve_kind(cov, self.model.weight_type))
        chosen = {"use_t": self.use_t or isinstance(cov, Cluster)} if use_t is None else {}
        return {"covariance": _of_coefficients(V), "joint": V, **chosen}

    # ---- what has no meaning -------------------------------------------------------------------------------

    lacks: ClassVar[Mapping[str, str]] = LACKS

    def _refitting(self) -> Refitting:
        return refitting_result(self, law=self.distribution(), robust="HC1")

    # ---- tables and files ----------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """What the literature calls the model: Tobit, or interval regression."""
        intervals = {"interval", "brackets", "rounded"} & {r.name for r in self.spec.outcome.recorders}
        return "interval regression" if intervals else "Tobit"

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        f, outcome = self.facts, self.spec.outcome
        left = (
            ("Outcome", outcome.name),
            ("Formula", self.spec.formula),
            ("Estimator", f"{self.method}, normal ML"),
            ("Covariance", self.covariance.label),
        )
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, self.model.weight_type)),
            (f"Log-{'' if self.has_likelihood else 'pseudo'}likelihood", number(self.llf, 4)),
            ("Records", ", ".join(f"{n} {kind}" for kind, n in f.kinds.items())),
            ("Sigma (error)", f"{number(self.sigma)} ({number(self.sigma_estimates.std_error[0])})"),
        )
        t = f" t with {self.covariance.degrees_of_freedom:g} degrees of freedom." if self.use_t else ""
        notes = [self.covariance.note + t, *self._recorded_notes()]
        notes += [moving(self.spec), *rows_notes(self.model, f)]
        sections = (estimates_section(self.estimates, level),)
        return Summary("Normal Regression Results", (left, right), sections, tuple(notes))

    def _recorded_notes(self) -> list[str]:
        """How the outcome was recorded, and what is taken for granted."""
        what = (
            "Coefficients, predictions and the law are those of the outcome before it was recorded, by the "
            "normal form where no row tells it."
        )
        corner = corner_of(self.spec)
        if corner is not None:
            what = (
                f"A corner solution, max(y*, {corner.low:g}): coefficients and sigma are those of y*, as in "
                "the Tobit; predictions and the law are those of the outcome, which has a mass there."
            )
        return [
            f"{self.spec.recording}.",
            what,
            "Taken for granted: recording does not depend on the outcome, given the covariates, beyond what "
            "the formula says.",
        ]

    def __repr__(self) -> str:
        return printable(
            f"<NormalRegression results ({self.method}): {self.spec.formula}, n = {self.nobs:g}, "
            f"llf = {self.llf:.3f}>"
        )

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients, and the covariance of (β, σ)."""
        own, arrays = super().to_file()
        own["covariance"], joint = self.joint.to_file()
        return own, {**arrays, **joint}

    @classmethod
    def from_file(cls, saved: SavedResult) -> RecordedNormalResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        k = len(header.spec.names)
        arrays = saved.numbers(_ARRAYS, p=k, k=k + 1)
        found = header.fields_of(saved, arrays)
        joint = found.pop("covariance")
        return cls(**found, covariance=_of_coefficients(joint), joint=joint)


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: RecordedFacts


_ARRAYS = {
    "params": Numbers("p"),
    **{name: replace(what, optional=False) for name, what in COVARIANCE_ARRAYS.items()},
}
