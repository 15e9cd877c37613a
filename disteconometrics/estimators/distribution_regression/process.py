"""A coefficient along the thresholds: limits at each, a band for all, tests of no effect from equal draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics import plots
from disteconometrics.arrays import Array, or_ones
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import TestResult, critical_value
from disteconometrics.inference.resample import take_rows
from disteconometrics.inference.simultaneous import as_normal, p_of_draws, spread, sup_critical
from disteconometrics.tables import printable
from disteconometrics.words import OtherWords

__all__ = ["CoefficientProcess", "coefficient_process"]

STEP = 0.01  # of a slope, in standard deviations of the term


@dataclass(frozen=True, eq=False)
class CoefficientProcess(OtherWords):
    """A coefficient at every threshold of an index set.

    ``table`` has, by threshold, estimate, std_error, conf_low and conf_high (of one threshold), band_low and
    band_high (of all at once, with ``critical`` standard errors).  ``ks`` and ``cvm`` test that it is zero
    at all of them: by the largest |t|, and by the mean of t² under the law of the outcome.  ``constant``
    tests that it is the same at all of them, by the largest |t| of its distance from its mean under that law;
    None where outcomes are heaped or a single threshold is left.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.DistributionRegression("foodexp ~ income", thresholds=9).fit(de.datasets.engel(), seed=1)
    >>> found = res.process("income")
    >>> found.table.shape, found.ks.p_value < 0.01, found.constant.p_value < 0.01
    ((8, 6), True, True)
    """

    term: str
    outcome: str
    table: pd.DataFrame
    level: float
    index_set: tuple[float, float]
    critical: float
    ks: TestResult
    cvm: TestResult
    constant: TestResult | None
    link: str = "logit"

    def plot(self, *, beside: Any = None, **options: Any) -> Any:
        """Draw the coefficient along the thresholds with its limits and its band.

        Parameters
        ----------
        beside : a fit of the same outcome with a law for every row, such as a `FlowDensity`, or None
            Its number is drawn too, see `slopes`.
        options : of `plots.coefficient_process`, such as ``ax=``.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        NeedsData, OptionError

        Examples
        --------
        >>> import disteconometrics as de
        >>> d = de.datasets.engel()
        >>> res = de.DistributionRegression("foodexp ~ income", thresholds=9).fit(d, seed=1)
        >>> flow = de.FlowDensity("foodexp ~ income", base="logistic").fit(d)
        >>> ax = res.process("income").plot(beside=flow)
        >>> ax.data[["estimate", "beside"]].round(3).iloc[3].tolist()
        [0.019, 0.013]
        >>> ax.figure.clear()
        """
        other = None if beside is None else self.slopes(beside)
        return plots.coefficient_process(self, beside=other, **options)

    def slopes(self, other: Any) -> pd.Series:
        """What another fit's law says of the coefficient: the mean slope of its index of 1{y > c}.

        The index is the link's quantile of 1 − F(c | x): of a logit and a flow with logistic base it is
        −h(c | x), so that the slope is −∂h/∂x and, where h is linear in x, the coefficient itself.  A column
        of zeros and ones is moved from 0 to 1.

        Parameters
        ----------
        other : a fit with its rows and a law for each of them.

        Returns
        -------
        pandas Series by threshold

        Raises
        ------
        NeedsData, OptionError
        """
        rows = other.data_rows()
        if rows.spec.outcome.name != self.outcome or self.term not in rows.spec.variables:
            raise OptionError(
                f"{rows.spec.formula!r}: take a fit of {self.outcome!r} with {self.term!r} as a column on "
                "the right side."
            )
        x = np.asarray(rows.column(self.term, "term"), dtype=np.float64)
        low, high = (np.zeros(len(x)), np.ones(len(x)))
        if not np.isin(x, (0.0, 1.0)).all():
            low, high = x - STEP * x.std(), x + STEP * x.std()
            low, high = np.maximum(low, x.min()), np.minimum(high, x.max())
        kept = np.arange(len(rows.design.table)) if rows.design.kept is None else rows.design.kept
        c, table = self.table.index.to_numpy(), rows.design.table.data
        moved = [take_rows(table, kept, **{self.term: v}) for v in (low, high)]
        before, after = (_index(other.distribution(new), c, self.link) for new in moved)
        w = or_ones(rows.weights, len(x))
        with np.errstate(invalid="ignore"):
            each = (after - before) / (high - low)[:, None]
        return pd.Series((w / w.sum()) @ each, index=self.table.index, name=f"{type(other.model).__name__}")

    def __repr__(self) -> str:
        low, high = self.index_set
        head = (
            f"{self.term} on {self.outcome}: {len(self.table)} thresholds with F from {low:g} to {high:g}; "
            f"the {100 * self.level:g}% band takes {self.critical:.3f} standard errors"
        )
        tests = [str(t) for t in (self.ks, self.cvm, self.constant) if t is not None]
        return printable("\n".join([head, self.table.to_string(), *tests]))

    def _repr_html_(self) -> str:
        return str(self.table._repr_html_())


def _index(law: Any, c: Array, link: str) -> Array:
    """The link's quantile (n, S) of P(Y > c | x), from the nearer tail."""
    with np.errstate(divide="ignore"):
        F, S = law.cdf(c[None, :]), law.sf(c[None, :])
        if link == "cloglog":
            return np.asarray(np.log(-np.where(F < 0.5, np.log(F), np.log1p(-S))))
        if link == "probit":
            return np.asarray(np.where(F < 0.5, -special.ndtri(F), special.ndtri(S)))
        return np.asarray(np.log(S) - np.log(F))


def coefficient_process(
    term: str,
    outcome: str,
    thresholds: Array,
    estimates: tuple[Array, Array],
    draws: Array,
    mass: Array,
    *,
    level: float,
    df: float,
    index_set: tuple[float, float],
    heaped: bool = False,
    factor: float = 1.0,
    link: str = "logit",
) -> CoefficientProcess:
    """Limits, band and tests of a coefficient from its draws.

    The band takes standard errors of the fit; draws, in units of their own spread, say how thresholds move
    together.

    Parameters
    ----------
    term, outcome : str.
    thresholds : (S,) float64 array.
    estimates : pair of (S,) float64 arrays, coefficient and standard error.
    draws : (B, S) float64 array of the coefficient.
    mass : (S,) float64 array, mass of the outcome that each threshold stands for.
    level : float in (0, 1).
    df : float, degrees of freedom of t.
    index_set : pair of float, levels of F that the thresholds lie between.
    heaped : bool, whether the test of a constant coefficient is withheld.
    factor : float by which spreads of draws of few clusters fall short.
    link : str, of the binary fits.

    Returns
    -------
    CoefficientProcess
    """
    b, se = estimates
    own = spread(draws)
    deviations = (draws - np.median(draws, axis=0)) / np.where(own > 0, own, 1.0)
    critical, one = sup_critical(deviations, level, df), critical_value(level, df)
    table = pd.DataFrame(
        {
            "estimate": b,
            "std_error": se,
            "conf_low": b - one * se,
            "conf_high": b + one * se,
            "band_low": b - critical * se,
            "band_high": b + critical * se,
        },
        index=pd.Index(thresholds, name=outcome),
    )
    t, share = as_normal(b / se, df), mass / mass.sum()
    hypothesis = (f"{term} = 0 at all thresholds",)
    largest, mean = float(t.max()), float(np.square(t) @ share)
    tests = (
        TestResult(
            "KS", hypothesis, largest, (), p_of_draws(np.abs(deviations).max(axis=1), largest), "max |t|"
        ),
        TestResult("CvM", hypothesis, mean, (), p_of_draws(np.square(deviations) @ share, mean), "mean t²"),
    )
    same = None if heaped or len(b) < 2 else _constant(term, b, draws * factor, share, df)
    return CoefficientProcess(term, outcome, table, level, index_set, critical, *tests, same, link)


def _constant(term: str, b: Array, draws: Array, share: Array, df: float) -> TestResult:
    """The test that a coefficient (S,) is the same at all thresholds, from its draws (B, S)."""
    away = (draws - np.median(draws, axis=0)) @ (np.eye(len(b)) - share[:, None])
    se = spread(away)
    use = se > 0
    t = as_normal((b - share @ b)[use] / se[use], df)
    largest = float(t.max())
    p = p_of_draws(np.abs(away[:, use] / se[use]).max(axis=1), largest)
    return TestResult("KS", (f"{term} is the same at all thresholds",), largest, (), p, "max |t|")
