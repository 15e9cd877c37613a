"""What a Monte Carlo study is judged by, each with its Monte Carlo standard error: functions of arrays.

With estimates θ̂ᵢ and standard errors sᵢ of n replications, θ the truth, s̄² = mean sᵢ², S² the variance of
θ̂ (divisor n − 1):

==================  ===================================  ====================================================
measure             value                                Monte Carlo standard error
==================  ===================================  ====================================================
bias                mean θ̂ − θ                           S/√n
relative_bias       bias/θ                               S/(|θ|√n)
empirical_se        S                                    S/√(2(n − 1))
mse                 mean (θ̂ − θ)²                        √(Σ((θ̂ − θ)² − mse)²/(n(n − 1)))
rmse                √mse                                 its mcse / (2·rmse)
model_se            √s̄²                                  √(var(s²)/(4n·s̄²))
relative_error      100(√s̄²/S − 1), percent              100(√s̄²/S)·√(var(s²)/(4n·s̄⁴) + 1/(2(n − 1)))
coverage            share of intervals that hold θ       √(p(1 − p)/n)
be_coverage         share that hold mean θ̂               √(p(1 − p)/n)
width               mean width of the intervals          sd/√n
rejection           share that reject θ = null           √(p(1 − p)/n)
relative_precision  100((S_ref/S)² − 1), percent         200(S_ref/S)²·√((1 − ρ²)/(n − 1))
==================  ===================================  ====================================================

These are the conventions of Morris, White and Crowther and of R's rsimsum; a replication counts if its
estimate is a number and, where there are standard errors, its standard error too.  ``variants`` adds those of
R's simhelpers (moments, jackknife).

References
----------
Morris, White, Crowther (2019), Using simulation studies to evaluate statistical methods, Statistics in
Medicine 38, doi:10.1002/sim.8086 (Table 6, section 5.3).
Gasparini (2018), rsimsum: Summarise results from Monte Carlo simulation studies, Journal of Open Source
Software 3(26), doi:10.21105/joss.00739.
Joshi, Pustejovsky, simhelpers: Helper functions for simulation studies (R package), vignette "Simulation
performance criteria and MCSE".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask, as_floats
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import check_level, critical_value
from disteconometrics.words import tells_words

__all__ = [
    "MEASURES",
    "OF_REPLICATIONS",
    "VARIANTS",
    "MeasureSums",
    "Pairs",
    "Replications",
    "measured",
    "n_sim",
    "performance",
]

Pairs = dict[str, tuple[float, float]]

MEASURES = (
    "n_sim",
    "n_se_nan",
    "truth",
    "mean",
    "median",
    "bias",
    "relative_bias",
    "empirical_se",
    "mse",
    "rmse",
    "model_se",
    "se2_mean",
    "se2_median",
    "relative_error",
    "coverage",
    "be_coverage",
    "width",
    "rejection",
    "relative_precision",
)
VARIANTS = ("variance", "mse_moments", "rmse_jackknife", "empirical_se_jackknife", "variance_ratio_jackknife")
NAN = float("nan")


def _share(hits: Mask) -> tuple[float, float]:
    """A share and its standard error."""
    p = float(hits.mean())
    return p, math.sqrt(p * (1 - p) / len(hits))


def _floats(given: Any, what: str, n: int | None = None) -> Array:
    try:
        values = as_floats(given)
    except (TypeError, ValueError):
        raise OptionError(f"{what} must be numbers; got {type(given).__name__}.") from None
    if values.ndim != 1 or (n is not None and len(values) != n):
        raise OptionError(
            f"{what} must be one number for each of the {'' if n is None else f'{n} '}replications."
        )
    return values


def _of_estimates(b: Array, truth: float) -> Pairs:
    n, mean = len(b), float(b.mean())
    found: Pairs = {"mean": (mean, NAN), "median": (float(np.median(b)), NAN), "truth": (truth, NAN)}
    spread = float(b.std(ddof=1)) if n > 1 else NAN
    found["empirical_se"] = (spread, spread / math.sqrt(2 * (n - 1)) if n > 1 else NAN)
    found["mean"] = (mean, spread / math.sqrt(n))
    if math.isnan(truth):
        return found
    bias, square = float(np.mean(b - truth)), (b - truth) ** 2
    found["bias"] = (bias, spread / math.sqrt(n))
    if truth != 0:
        found["relative_bias"] = (bias / truth, spread / math.sqrt(n) / abs(truth))
    mse = float(square.mean())
    mcse = float(square.std(ddof=1)) / math.sqrt(n) if n > 1 else NAN
    found["mse"] = (mse, mcse)
    found["rmse"] = (math.sqrt(mse), mcse / (2 * math.sqrt(mse)) if mse > 0 else NAN)
    return found


def _of_errors(se: Array, spread: float) -> Pairs:
    n, square = len(se), se**2
    mean = float(square.mean())
    found: Pairs = {"se2_mean": (mean, NAN), "se2_median": (float(np.median(square)), NAN)}
    if n < 2 or mean == 0:
        return found
    var, model = float(square.var(ddof=1)), math.sqrt(mean)
    found["model_se"] = (model, math.sqrt(var / (4 * n * mean)))
    if spread > 0:
        wobble = math.sqrt(var / (4 * n * mean**2) + 1 / (2 * (n - 1)))
        found["relative_error"] = (100 * (model / spread - 1), 100 * model / spread * wobble)
    return found


def _of_intervals(low: Array, high: Array, mean: float, truth: float) -> Pairs:
    n, width = len(low), high - low
    spread = float(width.std(ddof=1)) if n > 1 and np.isfinite(width).all() else NAN
    found: Pairs = {
        "width": (float(width.mean()), spread / math.sqrt(n)),
        "be_coverage": _share((low <= mean) & (mean <= high)),
    }
    if not math.isnan(truth):
        found["coverage"] = _share((low <= truth) & (truth <= high))
    return found


def _of_variants(b: Array, se: Array | None, truth: float) -> Pairs:
    """simhelpers' Monte Carlo standard errors.

    Its RMSE without a replication uses the unbiased variance, its RMSE does not.
    """
    n, mean = len(b), float(b.mean())
    if n < 3:
        return {}
    e = b - mean
    var = float(e @ e) / (n - 1)
    if var == 0:
        return {}
    spread = math.sqrt(var)
    kurtosis, skewness = float(np.mean(e**4)) / var**2, float(np.mean(e**3)) / spread**3
    left_out = ((n - 1) * var - e**2 * n / (n - 1)) / (n - 2)  # variance without a replication

    def jackknife(values: Array, value: float) -> tuple[float, float]:
        return value, math.sqrt((n - 1) / n * float(np.sum((values - value) ** 2)))

    found: Pairs = {"variance": (var, var * math.sqrt((kurtosis - 1) / n))}
    found["empirical_se_jackknife"] = jackknife(np.sqrt(left_out), spread)
    if se is not None:
        without = (n * float(np.mean(se**2)) - se**2) / (n - 1)
        found["variance_ratio_jackknife"] = jackknife(without / left_out, float(np.mean(se**2)) / var)
    if not math.isnan(truth):
        bias, mse = mean - truth, float(np.mean((b - truth) ** 2))
        moments = var**2 * (kurtosis - 1) + 4 * spread**3 * skewness * bias + 4 * var * bias**2
        found["mse_moments"] = (mse, math.sqrt(moments / n))
        found["rmse_jackknife"] = jackknife(
            np.sqrt(((n * mean - b) / (n - 1) - truth) ** 2 + left_out), math.sqrt(mse)
        )
    return found


def _relative_precision(b: Array, reference: Array) -> Pairs:
    both = np.isfinite(b) & np.isfinite(reference)
    n = int(both.sum())
    if n < 3 or b[both].std() == 0 or reference[both].std() == 0:
        return {}
    ratio = float(reference[both].var(ddof=1) / b[both].var(ddof=1))
    rho = float(np.corrcoef(b[both], reference[both])[0, 1])
    return {
        "relative_precision": (100 * (ratio - 1), 200 * ratio * math.sqrt(max(1 - rho**2, 0.0) / (n - 1)))
    }


@dataclass(frozen=True, eq=False)
class Replications:
    """Numbers (n,) of one estimator of one parameter, and what they are judged against; see `performance`.

    Examples
    --------
    >>> measured(Replications([1.0, 3.0], truth=1.5))["bias"]
    (0.5, 1.0)
    """

    estimate: Any
    std_error: Any = None
    truth: float = NAN
    conf_low: Any = None
    conf_high: Any = None
    p_value: Any = None
    reference: Any = None
    level: float = 0.95
    null: float = 0.0

    def complete(self) -> Replications:
        """The same with checked arrays (n,), NaN where nothing was given; ``reference`` is left as it is."""
        level, b = check_level(self.level), _floats(self.estimate, "estimate")

        def floats(what: str, missing: Array) -> Array:
            given = getattr(self, what)
            return missing if given is None else _floats(given, what, len(b))

        se = floats("std_error", np.full(len(b), NAN))
        p = floats("p_value", np.full(len(b), NAN))
        half = critical_value(level) * se
        low, high = floats("conf_low", b - half), floats("conf_high", b + half)
        truth = float(self.truth)
        return replace(
            self,
            estimate=b,
            std_error=se,
            truth=truth,
            conf_low=low,
            conf_high=high,
            p_value=p,
            level=level,
        )


def measured(replications: Replications, *, variants: bool = False) -> Pairs:
    """`performance` as a dict from measures to (value, mcse).

    Raises
    ------
    OptionError

    Examples
    --------
    >>> measured(Replications([1.0, 3.0], truth=1.5))["n_sim"][0]
    2.0
    """
    r = replications.complete()
    got = np.isfinite(r.estimate)
    with_errors = bool(np.isfinite(r.std_error[got]).any())
    valid = got & np.isfinite(r.std_error) if with_errors else got
    found: Pairs = {
        "n_sim": (float(valid.sum()), NAN),
        "n_se_nan": (float((got & ~valid).sum()), NAN),
        "truth": (r.truth, NAN),
    }
    if valid.any():
        se = r.std_error[valid] if with_errors else None
        found |= _of_valid(r, valid, se)
        if variants:
            found |= _of_variants(r.estimate[valid], se, r.truth)
    tested = ~np.isnan(r.p_value) & (valid | ~got)  # a test alone has no estimate
    if tested.any():
        found["rejection"] = _share(r.p_value[tested] <= 1 - r.level)
        if not valid.any():
            found["n_sim"] = (float(tested.sum()), NAN)
    return {name: found.get(name, (NAN, NAN)) for name in (*MEASURES, *(VARIANTS if variants else ()))}


def _of_valid(r: Replications, valid: Mask, se: Array | None) -> Pairs:
    """Measures of replications that count; ``se`` are their standard errors, if there are any."""
    found = _of_estimates(r.estimate[valid], r.truth)
    if se is not None:
        found |= _of_errors(se, found["empirical_se"][0])
    bounded = valid & ~np.isnan(r.conf_low) & ~np.isnan(r.conf_high)
    if bounded.any():
        low, high = r.conf_low[bounded], r.conf_high[bounded]
        found |= _of_intervals(low, high, found["mean"][0], r.truth)
        if np.isnan(r.p_value).all():
            found["rejection"] = _share((r.null <= low) | (r.null >= high))
    if r.reference is not None:
        reference = _floats(r.reference, "reference", len(valid))
        found |= _relative_precision(np.where(valid, r.estimate, NAN), reference)
    return found


# ---- sums in place of replications -------------------------------------------------------------------------

OF_REPLICATIONS = ("median", "se2_median", "be_coverage", "relative_precision")  # which sums do not have


@dataclass
class _Spread:
    """Count, mean and sum of squares around it of numbers that come in pieces."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Array) -> None:
        if len(values):
            mean = float(values.mean())
            with np.errstate(invalid="ignore"):  # of infinite widths
                self.merge(_Spread(len(values), mean, float(((values - mean) ** 2).sum())))

    def merge(self, other: _Spread) -> None:
        """Add those of another piece (Chan, Golub, LeVeque 1983)."""
        n = self.n + other.n
        apart = other.mean - self.mean
        if not math.isfinite(apart):
            self.mean, self.squares = self.mean + other.mean, NAN
        elif other.n:
            self.squares += other.squares + apart * apart * (self.n / n) * other.n
            self.mean += apart * (other.n / n)
        self.n = n

    @property
    def variance(self) -> float:
        return self.squares / (self.n - 1) if self.n > 1 else NAN


@dataclass
class _Counted:
    """Sums over the replications that count, with errors or whatever they have."""

    estimate: _Spread = field(default_factory=_Spread)
    error: _Spread = field(default_factory=_Spread)  # estimate − truth …
    square: _Spread = field(default_factory=_Spread)  # … squared
    variance: _Spread = field(default_factory=_Spread)  # std_error squared
    width: _Spread = field(default_factory=_Spread)
    covered: int = 0
    beyond: int = 0  # intervals without zero
    tested: int = 0
    rejected: int = 0

    def add(self, r: Replications, valid: Mask) -> None:
        """Add replications with checked arrays."""
        b = r.estimate[valid]
        self.estimate.add(b)
        self.error.add(b - r.truth)
        self.square.add((b - r.truth) ** 2)
        self.variance.add(r.std_error[valid] ** 2)
        bounded = valid & ~np.isnan(r.conf_low) & ~np.isnan(r.conf_high)
        low, high = r.conf_low[bounded], r.conf_high[bounded]
        self.width.add(high - low)
        self.covered += int(((low <= r.truth) & (r.truth <= high)).sum())
        self.beyond += int(((low >= 0) | (high <= 0)).sum())
        tested = ~np.isnan(r.p_value) & (valid | ~np.isfinite(r.estimate))
        self.tested += int(tested.sum())
        self.rejected += int((r.p_value[tested] <= 1 - r.level).sum())

    def merge(self, other: _Counted) -> None:
        """Add those of other replications."""
        for f in fields(self):
            ours, theirs = getattr(self, f.name), getattr(other, f.name)
            if isinstance(ours, _Spread):
                ours.merge(theirs)
            else:
                setattr(self, f.name, ours + theirs)

    def pairs(self, truth: float, with_errors: bool, any_p: bool) -> Pairs:
        """The measures of `measured`, by the same formulas."""
        found: Pairs = {}
        n, spread = self.estimate.n, math.sqrt(self.estimate.variance)
        if n:
            found["mean"] = (self.estimate.mean, spread / math.sqrt(n))
            found["empirical_se"] = (spread, spread / math.sqrt(2 * (n - 1)) if n > 1 else NAN)
            found |= {} if math.isnan(truth) else self._against(truth, spread)
            found |= self._errors(spread) if with_errors else {}
        if self.width.n:
            m, wide = self.width.n, math.sqrt(self.width.variance)
            found["width"] = (self.width.mean, wide / math.sqrt(m))
            found |= {} if math.isnan(truth) else {"coverage": _proportion(self.covered, m)}
            found |= {} if any_p else {"rejection": _proportion(self.beyond, m)}
        if self.tested:
            found["rejection"] = _proportion(self.rejected, self.tested)
        return found

    def _against(self, truth: float, spread: float) -> Pairs:
        n, bias, mse = self.error.n, self.error.mean, self.square.mean
        mcse = math.sqrt(self.square.variance) / math.sqrt(n)
        found: Pairs = {"bias": (bias, spread / math.sqrt(n)), "mse": (mse, mcse)}
        found["rmse"] = (math.sqrt(mse), mcse / (2 * math.sqrt(mse)) if mse > 0 else NAN)
        if truth != 0:
            found["relative_bias"] = (bias / truth, spread / math.sqrt(n) / abs(truth))
        return found

    def _errors(self, spread: float) -> Pairs:
        n, mean, var = self.variance.n, self.variance.mean, self.variance.variance
        found: Pairs = {"se2_mean": (mean, NAN)}
        if n < 2 or mean == 0:
            return found
        model = math.sqrt(mean)
        found["model_se"] = (model, math.sqrt(var / (4 * n * mean)))
        if spread > 0:
            wobble = math.sqrt(var / (4 * n * mean**2) + 1 / (2 * (n - 1)))
            found["relative_error"] = (100 * (model / spread - 1), 100 * model / spread * wobble)
        return found


def _proportion(hits: int, n: int) -> tuple[float, float]:
    """A share of counts and its standard error."""
    p = hits / n
    return p, math.sqrt(p * (1 - p) / n)


@dataclass
class MeasureSums:
    """Sums over replications of one parameter that have its measures, but for `OF_REPLICATIONS`.

    Examples
    --------
    >>> halves = [MeasureSums(1.5), MeasureSums(1.5)]
    >>> halves[0].add(Replications([1.0], truth=1.5)), halves[1].add(Replications([3.0], truth=1.5))
    (None, None)
    >>> halves[0].merge(halves[1])
    >>> halves[0].measured()["bias"]
    (0.5, 1.0)
    """

    truth: float
    got: int = 0
    with_p: int = 0
    every: _Counted = field(default_factory=_Counted)  # replications with an estimate
    errors: _Counted = field(default_factory=_Counted)  # those that have a standard error too

    def add(self, replications: Replications) -> None:
        """Add replications; their reference and null are not looked at."""
        r = replications.complete()
        got = np.isfinite(r.estimate)
        self.got += int(got.sum())
        self.with_p += int((~np.isnan(r.p_value)).sum())
        self.every.add(r, got)
        self.errors.add(r, got & np.isfinite(r.std_error))

    def merge(self, other: MeasureSums) -> None:
        """Add the sums of other replications."""
        self.got, self.with_p = self.got + other.got, self.with_p + other.with_p
        self.every.merge(other.every)
        self.errors.merge(other.errors)

    def measured(self) -> Pairs:
        """What `measured` gives of the replications, to rounding."""
        with_errors = self.errors.estimate.n > 0
        sums = self.errors if with_errors else self.every
        n = sums.estimate.n
        found = sums.pairs(self.truth, with_errors, self.with_p > 0)
        found |= {"n_sim": (float(n or sums.tested), NAN), "n_se_nan": (float(self.got - n), NAN)}
        found["truth"] = (self.truth, NAN)
        return {m: found.get(m, (NAN, NAN)) for m in MEASURES if m not in OF_REPLICATIONS}


@tells_words
def performance(
    estimate: Any,
    std_error: Any = None,
    truth: float = NAN,
    *,
    conf_low: Any = None,
    conf_high: Any = None,
    p_value: Any = None,
    reference: Any = None,
    level: float = 0.95,
    null: float = 0.0,
    variants: bool = False,
) -> pd.DataFrame:
    """Performance measures of one estimator of one parameter, each with its Monte Carlo standard error.

    Parameters
    ----------
    estimate : (n,) array of floats, NaN where a replication failed.
    std_error : (n,) array of floats or None.  A replication whose standard error is missing is left out of
        every measure and counted in ``n_se_nan``, unless all are missing.
    truth : float, NaN if it is not known.
    conf_low, conf_high : (n,) arrays or None; None is estimate ∓ z·std_error.
    p_value : (n,) array of p-values of estimate = null, or None: the null is rejected where the interval
        leaves it out.
    reference : (n,) array of another estimator's estimates in the same replications, for
        ``relative_precision``, or None.
    level : float, nominal level of the intervals; tests are at 1 − level.
    null : float, the value that ``rejection`` is about: its share is a size where the null is true, else a
        power.
    variants : bool, whether to add the Monte Carlo standard errors of simhelpers, in rows named after how
        they are computed.

    Returns
    -------
    pandas DataFrame
        Columns value and mcse, a row for each of `MEASURES` (and `VARIANTS`); NaN where a measure is not
        defined.

    Raises
    ------
    OptionError
        If lengths differ or something is not a number.

    References
    ----------
    Morris, White, Crowther (2019), doi:10.1002/sim.8086; see the formulas at the top of the module.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> b = rng.normal(2.0, 0.5, 1000)
    >>> performance(b, np.full(1000, 0.5), 2.0).loc[["bias", "coverage"]].round(4)
               value    mcse
    bias     -0.0271  0.0156
    coverage  0.9500  0.0069
    """
    given = Replications(
        estimate, std_error, truth, conf_low, conf_high, p_value, reference, level=level, null=null
    )
    found = measured(given, variants=variants)
    return pd.DataFrame(
        list(found.values()), index=pd.Index(list(found)), columns=pd.Index(["value", "mcse"])
    )


@tells_words
def n_sim(
    mcse: float,
    *,
    probability: float | None = None,
    variance: float | None = None,
    empirical_se: float | None = None,
) -> int:
    """How many replications a Monte Carlo standard error takes.

    Parameters
    ----------
    mcse : float, the Monte Carlo standard error to reach.
    probability : float, expected coverage or rejection, n = p(1 − p)/mcse²; 0.5 is the worst case.
    variance : float, expected variance of the estimator, for its bias: n = variance/mcse².
    empirical_se : float, expected standard error of the estimator, for its own precision: n = 1 +
        se²/(2·mcse²).

    Returns
    -------
    int

    Raises
    ------
    OptionError
        Unless exactly one expectation is given, with values that make sense.

    References
    ----------
    Morris, White, Crowther (2019), section 5.3, doi:10.1002/sim.8086.

    Examples
    --------
    >>> n_sim(0.005, probability=0.95), n_sim(0.005, variance=0.04)
    (1900, 1600)
    """
    given = {"probability": probability, "variance": variance, "empirical_se": empirical_se}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise OptionError(
            "n_sim needs one of probability= (coverage, power), variance= (bias) and empirical_se=."
        )
    ((name, value),) = chosen.items()
    _check_positive("mcse", mcse, math.inf)
    _check_positive(name, value, 1.0 if name == "probability" else math.inf)
    if name == "probability":
        n = value * (1 - value) / mcse**2
    elif name == "variance":
        n = value / mcse**2
    else:
        n = 1 + value**2 / (2 * mcse**2)
    return max(2, math.ceil(n * (1 - 1e-12)))  # rounding must not cost a replication


def _check_positive(what: str, number: Any, top: float) -> None:
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 < float(number) < top:
        below = " and below 1" if top == 1 else ""
        raise OptionError(f"{what}={number!r}: give a number above 0{below}.")
