"""How well probabilities fit 0/1 outcomes: calibration, discrimination, and rows that decide the estimates.

Pure functions of outcomes y (n,), probabilities p (n,) and, where they have a meaning, counts or weights w
(n,).

References
----------
Hosmer, Lemeshow (1980), Goodness of fit tests for the multiple logistic regression model, Communications in
Statistics A9.
Pregibon (1980), Goodness of link tests for generalized linear models, Applied Statistics 29,
doi:10.2307/2346405.
Pregibon (1981), Logistic regression diagnostics, Annals of Statistics 9, doi:10.1214/aos/1176345513.
DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves,
Biometrics 44, doi:10.2307/2531595.
Cox (1958), Two further applications of a model for binary regression, Biometrika 45,
doi:10.1093/biomet/45.3-4.562.
Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, Indices, or_ones
from disteconometrics.blocks import Block
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.inference.estimates import Estimates, TestResult, check_level, chi2_test
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel
from disteconometrics.optim.newton import RankDeficient, maximise
from disteconometrics.pictures import Pictured
from disteconometrics.tables import printable
from disteconometrics.words import OtherWords

__all__ = [
    "Calibration",
    "Classification",
    "HosmerLemeshow",
    "Influence",
    "RocCurve",
    "calibration",
    "classification",
    "hosmer_lemeshow",
    "influence",
    "link_test",
    "roc",
]

# ---- goodness of fit ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HosmerLemeshow(Pictured):
    """The Hosmer-Lemeshow test, and the ``table`` of observed and expected counts (G, 6) it rests on.

    Examples
    --------
    >>> p = np.linspace(0.2, 0.8, 40)
    >>> print(hosmer_lemeshow((np.arange(40) % 2 == 0).astype(float), p, groups=4))
    Hosmer-Lemeshow test of probabilities as fitted, 4 groups
      chi2(2) = 5.8984, p = 0.0524
    """

    pictures: ClassVar[tuple[str, ...]] = ("calibration",)

    test: TestResult
    table: pd.DataFrame

    def shares(self) -> pd.DataFrame:
        """By group, rows, predicted and observed shares, and 95 % Wilson limits of the latter (G, 5)."""
        rows = self.table["rows"]
        return _shares(rows, self.table["expected_ones"] / rows, self.table["ones"] / rows)

    def __str__(self) -> str:
        return str(self.test)

    __repr__ = __str__


def _groups(p: Array, groups: int) -> Indices:
    """Group (n,) of every row, between quantiles of p (type 7), closed on the right; ties may merge some."""
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 3:
        raise OptionError(f"groups={groups!r}: give a whole number of at least 3.")
    edges = np.unique(np.quantile(p, np.linspace(0, 1, int(groups) + 1)))
    codes = np.searchsorted(edges[1:-1], p, side="left")
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)


def hosmer_lemeshow(y: Array, p: Array, groups: int = 10) -> HosmerLemeshow:
    """Compare observed with expected counts in groups of fitted probability.

    The statistic is Σ (O − E)²/E over both outcomes, χ²(G − 2).  Groups lie between quantiles of p, closed on
    the right, as in R's ResourceSelection; where ties merge groups, G counts those that are left.  The test
    depends on the number of groups and has little power against a wrong link.

    Parameters
    ----------
    y : (n,) float64 array of 0 and 1.
    p : (n,) float64 array, fitted probabilities of the same rows.
    groups : int, at least 3.

    Returns
    -------
    HosmerLemeshow

    Raises
    ------
    OptionError
        If ``groups`` is no whole number of at least 3.
    WithheldError
        If the probabilities take too few values for three groups.

    Examples
    --------
    >>> p = np.repeat([0.2, 0.5, 0.8], 10)
    >>> hosmer_lemeshow((np.arange(30) % 10 < 10 * p).astype(float), p, groups=3).test.statistic < 1e-20
    True
    """
    codes = _groups(p, groups)
    count = np.bincount(codes).astype(np.float64)
    G = len(count)
    if G < 3:
        raise WithheldError(
            "The fitted probabilities fall into fewer than three groups, and the test needs three."
        )
    ones, expected = np.bincount(codes, y), np.bincount(codes, p)
    zeros = np.bincount(codes, 1 - y)
    missing = np.bincount(codes, 1 - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (ones - expected) ** 2 / expected + (zeros - missing) ** 2 / missing
    table = pd.DataFrame(
        {
            "rows": count,
            "highest_p": np.maximum.reduceat(
                np.sort(p), np.concatenate([[0], np.cumsum(count)[:-1].astype(np.intp)])
            ),
            "ones": ones,
            "expected_ones": expected,
            "zeros": zeros,
            "expected_zeros": missing,
        },
        index=pd.RangeIndex(1, G + 1, name="group"),
    )
    test = chi2_test("Hosmer-Lemeshow", [f"probabilities as fitted, {G} groups"], float(parts.sum()), G - 2)
    return HosmerLemeshow(test, table)


def link_test(kernel: Kernel, y: Array, eta: Array, weights: Array | None = None) -> Estimates:
    """Fit the outcome on the index η and its square, which adds nothing if link and index are right.

    Parameters
    ----------
    kernel : Kernel, the law that gave the index.
    y : (n,) float64 array of 0 and 1.
    eta : (n,) float64 array, the fitted index x'β with its offset.
    weights : (n,) float64 array of counts, or None.

    Returns
    -------
    Estimates
        ``Intercept``, ``index``, ``index_squared``, with standard errors from the observed information.

    Raises
    ------
    WithheldError
        If the index takes too few values, or its square separates the outcomes.

    Examples
    --------
    >>> eta = np.array([-2.0, -1.0, 0.0, 1.0, 2.0] * 4)
    >>> y = np.array([0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0.0])
    >>> link_test(LOGISTIC, y, eta).names
    ('Intercept', 'index', 'index_squared')
    """
    X = np.column_stack([np.ones(len(eta)), eta, eta * eta])
    try:
        m = maximise(IndexModel(kernel, [Block(y, X, weights, None)]))
    except RankDeficient:
        raise WithheldError(
            "The fitted index takes fewer than three values, so its square cannot be told from it."
        ) from None
    if m.separation is not None or not m.converged:
        raise WithheldError(
            "The index and its square have no finite estimates (separation), so there is no link test."
        )
    return Estimates(("Intercept", "index", "index_squared"), m.params, m.root @ m.root.T)


# ---- classification ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Classification(OtherWords):
    """Predictions p > threshold against outcomes: ``table`` (2, 2), outcomes down, and ``measures``.

    Examples
    --------
    >>> c = classification(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.6, 0.7, 0.9]))
    >>> c.measures[["accuracy", "sensitivity", "specificity"]].tolist()
    [0.75, 1.0, 0.5]
    """

    threshold: float
    table: pd.DataFrame
    measures: pd.Series

    def __repr__(self) -> str:
        return printable(
            f"Predicted 1 if p > {self.threshold:g}\n{self.table.to_string()}\n{self.measures.to_string()}"
        )


def classification(
    y: Array, p: Array, threshold: float = 0.5, weights: Array | None = None
) -> Classification:
    """Count right and wrong predictions at a threshold.

    Parameters
    ----------
    y : (n,) float64 array of 0 and 1.
    p : (n,) float64 array, probabilities.
    threshold : float in [0, 1]; p > threshold predicts 1.
    weights : (n,) float64 array or None, counts or shares of the rows.

    Returns
    -------
    Classification
        Measures: accuracy, sensitivity P(ŷ=1|y=1), specificity P(ŷ=0|y=0), precision P(y=1|ŷ=1),
        negative_predictive_value P(y=0|ŷ=0), balanced_accuracy, f1, and prevalence; NaN where a denominator
        is zero.

    Raises
    ------
    OptionError
        If the threshold is outside [0, 1].

    Examples
    --------
    >>> classification(np.array([0, 1, 1.0]), np.array([0.1, 0.4, 0.9])).table.to_numpy().tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise OptionError(f"threshold={threshold!r}: give a probability between 0 and 1.")
    cell = (2 * y + (p > threshold)).astype(np.intp)
    counts = np.bincount(cell, weights, minlength=4).astype(np.float64)
    tn, fp, fn, tp = (float(c) for c in counts)
    table = pd.DataFrame(
        counts.reshape(2, 2),
        index=pd.Index([0, 1], name="outcome"),
        columns=pd.Index([0, 1], name="predicted"),
    )

    def share(a: float, b: float) -> float:
        return a / b if b else float("nan")

    sensitivity, specificity = share(tp, tp + fn), share(tn, tn + fp)
    measures = {
        "accuracy": share(tn + tp, counts.sum()),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": share(tp, tp + fp),
        "negative_predictive_value": share(tn, tn + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "prevalence": share(tp + fn, counts.sum()),
    }
    return Classification(float(threshold), table, pd.Series(measures))


@dataclass(frozen=True, eq=False)
class RocCurve(Pictured):
    """The ROC curve, the area ``auc`` under it and its standard error.

    ``table`` has threshold, false_positive_rate and true_positive_rate; ``withheld`` says why there is no
    standard error, None where there is one (DeLong's; it takes the probabilities as given).

    Examples
    --------
    >>> roc(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.5, 0.5, 0.9])).auc
    0.875
    """

    pictures: ClassVar[tuple[str, ...]] = ("roc",)

    table: pd.DataFrame
    auc: float
    std_error: float
    withheld: str | None = None

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Limits of the area, symmetric for its log-odds, so that they lie in [0, 1].

        Raises: WithheldError where the rows are not independent observations, or the area is 0 or 1.
        """
        if self.withheld is not None:
            raise WithheldError(self.withheld)
        if not (0 < self.auc < 1 and self.std_error > 0):
            raise WithheldError(
                f"The area is {self.auc:g} with DeLong's variance zero, from which no interval follows."
            )
        half = special.ndtri(0.5 + check_level(level) / 2) * self.std_error / (self.auc * (1 - self.auc))
        low, high = special.expit(special.logit(self.auc) + np.array([-half, half]))
        return float(low), float(high)

    def __repr__(self) -> str:
        error = f" (standard error {self.std_error:.4f})" if self.withheld is None else ""
        return printable(f"ROC curve: area {self.auc:.4f}{error}, {len(self.table) - 1} thresholds")


def roc(y: Array, p: Array, weights: Array | None = None, withheld: str | None = None) -> RocCurve:
    """Trace true against false positive rates over all thresholds; a tie counts one half in the area.

    Parameters
    ----------
    y : (n,) float64 array of 0 and 1; both must occur.
    p : (n,) float64 array, probabilities or any score.
    weights : (n,) float64 array or None; counts of identical rows, unless ``withheld``.
    withheld : str or None, why a standard error would be wrong.

    Returns
    -------
    RocCurve

    Raises
    ------
    WithheldError
        If all outcomes are equal.

    Examples
    --------
    >>> r = roc(np.array([0, 1, 0, 1, 1.0]), np.array([0.2, 0.4, 0.6, 0.7, 0.9]))
    >>> round(r.auc, 4), round(r.std_error, 4)
    (0.8333, 0.2357)
    """
    w = or_ones(weights, len(y))
    values, codes = np.unique(-p, return_inverse=True)  # highest score first
    ones, zeros = np.bincount(codes, w * y), np.bincount(codes, w * (1 - y))
    n1, n0 = float(ones.sum()), float(zeros.sum())
    if not (n1 > 0 and n0 > 0):
        raise WithheldError("A ROC curve needs rows of both outcomes.")
    above1, above0 = np.cumsum(ones) - ones, np.cumsum(zeros) - zeros
    beaten = (n0 - above0 - zeros / 2) / n0  # share of zeros below a one with this score
    losing = (above1 + ones / 2) / n1  # share of ones above a zero with this score
    auc = float(ones @ beaten / n1)
    error = float("nan")
    if withheld is None and min(n1, n0) > 1:
        error = float(
            np.sqrt(ones @ (beaten - auc) ** 2 / (n1 - 1) / n1 + zeros @ (losing - auc) ** 2 / (n0 - 1) / n0)
        )
    elif withheld is None:
        withheld = "DeLong's variance needs two rows of each outcome."
    table = pd.DataFrame(
        {
            "threshold": np.concatenate([[np.inf], -values]),
            "false_positive_rate": np.concatenate([[0.0], np.cumsum(zeros) / n0]),
            "true_positive_rate": np.concatenate([[0.0], np.cumsum(ones) / n1]),
        }
    )
    return RocCurve(table, auc, error, withheld)


# ---- calibration -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Calibration(Pictured):
    """Agreement of probabilities with frequencies.

    ``intercept`` is that of a logit with offset logit(p) (0: right on average), ``slope`` that of a logit on
    logit(p) (below 1: too extreme), each with its standard error, NaN where ``withheld`` says why or some p
    is 0 or 1; ``brier`` is the mean of (y − p)².  ``table`` (G, 5) has mean probability, frequency and its 95
    % Wilson limits by group.

    On the rows of its own fit a logit has intercept 0 and slope 1 by construction: use new data.

    Examples
    --------
    >>> p = np.repeat([0.2, 0.5, 0.8], 10)
    >>> calibration((np.arange(30) % 10 < 10 * p).astype(float), p, groups=3)
    Calibration: intercept 0.0000 (0.4189), slope 1.0000 (0.4032), Brier score 0.1900
    """

    pictures: ClassVar[tuple[str, ...]] = ("calibration",)

    intercept: float
    intercept_std_error: float
    slope: float
    slope_std_error: float
    brier: float
    table: pd.DataFrame
    withheld: str | None = None

    def __repr__(self) -> str:
        a, b = (f"({e:.4f})" for e in (self.intercept_std_error, self.slope_std_error))
        intercept, slope = self.intercept + 0.0, self.slope
        if abs(intercept) < 5e-5:
            intercept = 0.0
        slopes = f"intercept {intercept:.4f} {a}, slope {slope:.4f} {b}"
        return printable(f"Calibration: {slopes}, Brier score {self.brier:.4f}")


def calibration(
    y: Array, p: Array, groups: int = 10, weights: Array | None = None, withheld: str | None = None
) -> Calibration:
    """Measure whether outcomes come as often as the probabilities say.

    Parameters
    ----------
    y : (n,) float64 array of 0 and 1.
    p : (n,) float64 array, probabilities.
    groups : int, at least 3: groups between quantiles of p, as in `hosmer_lemeshow`.
    weights : (n,) float64 array or None; counts of identical rows, unless ``withheld``.
    withheld : str or None, why standard errors and limits would be wrong; they are NaN then.

    Returns
    -------
    Calibration

    Raises
    ------
    OptionError
        If ``groups`` is no whole number of at least 3.

    Examples
    --------
    >>> c = calibration(np.array([0, 1, 0, 1, 1, 0.0]), np.array([0.2, 0.4, 0.6, 0.7, 0.9, 0.3]), groups=3)
    >>> round(c.brier, 4), c.table["rows"].tolist()
    (0.1583, [2.0, 2.0, 2.0])
    """
    w = or_ones(weights, len(y))
    codes = _groups(p, groups)
    count = np.bincount(codes, w)
    mean, share = np.bincount(codes, w * p) / count, np.bincount(codes, w * y) / count
    table = _shares(count, mean, share)
    if withheld is not None:
        table[["conf_low", "conf_high"]] = np.nan
    intercept = intercept_se = slope = slope_se = float("nan")
    both = 0 < float(w @ y) < float(w.sum())
    if both and (p > 0).all() and (p < 1).all():
        eta, one = special.logit(p), np.ones((len(y), 1))
        intercept, intercept_se = _last_of(y, one, weights, eta)
        slope, slope_se = _last_of(y, np.column_stack([one, eta]), weights, None)
    if withheld is not None:
        intercept_se = slope_se = float("nan")
    brier = float(w @ (y - p) ** 2 / w.sum())
    return Calibration(intercept, intercept_se, slope, slope_se, brier, table, withheld)


def _shares(count: Any, mean: Any, share: Any) -> pd.DataFrame:
    """Predicted and observed shares (G,) of groups with so many rows, and Wilson's limits."""
    z2 = float(special.ndtri(0.975)) ** 2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    columns = {"rows": count, "predicted": mean, "observed": share}
    columns |= {"conf_low": centre - half, "conf_high": centre + half}
    return pd.DataFrame(
        {name: np.asarray(column) for name, column in columns.items()},
        index=pd.RangeIndex(1, len(count) + 1, name="group"),
    )


def _last_of(y: Array, X: Array, weights: Array | None, offset: Array | None) -> tuple[float, float]:
    """Last coefficient of a logit and its standard error; NaN where it has no finite one."""
    try:
        m = maximise(IndexModel(LOGISTIC, [Block(y, X, weights, offset)]))
    except RankDeficient:
        return float("nan"), float("nan")
    if m.separation is not None:
        return float("nan"), float("nan")
    return float(m.params[-1]), float(np.linalg.norm(m.root[-1]))


# ---- influence ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Influence(Pictured):
    """What leaving out one observation would do, by one Newton step, H⁻¹s_i/(1 − h_i) with leverage h_i.

    ``leverage`` (n,); ``cooks_distance`` (n,) = δ_i'Hδ_i/k; ``dfbetas`` (n, k) = δ_i over the (nonrobust)
    standard errors: estimate with all rows less estimate without row i.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> res.influence().table().nlargest(2, "cooks_distance").round(3)
        leverage  cooks_distance  dfbetas[Intercept]  dfbetas[GPA]  dfbetas[PSI]
    31     0.135           0.418               0.886        -0.900         0.132
    23     0.100           0.182               0.428        -0.435        -0.519
    """

    pictures: ClassVar[tuple[str, ...]] = ("influence",)

    names: tuple[str, ...]
    index: Any
    leverage: Array
    cooks_distance: Array
    dfbetas: Array

    def __repr__(self) -> str:
        far = int(np.argmax(self.cooks_distance))
        largest = f"{self.cooks_distance[far]:.4f} (row {self.index[far]})"
        return printable(
            f"Influence of {len(self.leverage)} rows: largest Cook's distance {largest}, leverage "
            f"{self.leverage.max():.4f}"
        )

    def table(self) -> pd.DataFrame:
        """One row an observation: leverage, cooks_distance, dfbetas[term] for every term."""
        columns = {f"dfbetas[{n}]": d for n, d in zip(self.names, self.dfbetas.T, strict=True)}
        return pd.DataFrame(
            {"leverage": self.leverage, "cooks_distance": self.cooks_distance, **columns}, index=self.index
        )


def influence(equation: MEstimate, index: Sequence[Any] | pd.Index) -> Influence:
    """Compute leverage, Cook's distance and dfbetas of every row, or of one observation under counts.

    Parameters
    ----------
    equation : MEstimate with n rows and k coefficients.
    index : labels (n,) of the rows.

    Returns
    -------
    Influence

    Raises
    ------
    WithheldError
        If a row has leverage one: without it the coefficients are not identified.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> round(float(influence(res.rows.equation, res.fittedvalues.index).leverage.sum()), 6)
    3.0
    """
    k = len(equation.params)
    leverage, steps = [np.zeros(0)], [np.zeros((0, k))]
    for part in equation.source():
        h = np.square(part.roots @ equation.inner).sum(axis=1)
        if h.max(initial=0.0) > 1 - 1e-10:
            raise WithheldError(
                "A row has leverage one: without it the coefficients are not identified, so it has no "
                "influence."
            )
        leverage.append(h)
        steps.append((part.scores @ equation.inner) / (1 - h)[:, None])
    U = np.concatenate(steps)  # steps in coordinates whose information is the identity
    errors = np.sqrt(np.square(equation.root).sum(axis=1))
    return Influence(
        equation.names,
        index,
        np.concatenate(leverage),
        np.square(U).sum(axis=1) / k,
        (U @ equation.root.T) / errors,
    )
