"""The Monte Carlo studies that back what the package claims, each with its bands,
which were stated before the first run.

A band holds if the figure, give or take three of its Monte Carlo standard errors, can lie inside: about one
correct figure in 370 falls outside, and seeds are fixed.  ``pytest -m slow`` runs every study at its usual
and at full size; ``python tests/statistical/coverage_map.py`` runs the full size and writes `coverage.md`,
which the README quotes and `test_studies.py` holds to the bands.  What runs by default is a short version, of
`SHORT` replications with four standard errors: it checks that everything works and sees gross errors.

The same designs in plain loops, 10,000 replications each (standard error .0022), gave coverage (mean width):
n=200 .9528 (.688), n=500 .9457 (.431); wrong mean, nonrobust .7021 (.367), HC1 .9475 (.683); 50 clusters
.9421 (.488); 12 uneven clusters .9428 (1.166); 3 of 20 clusters treated .9163 (2.890); sampling weights .9475
(.252); margins of the population .9486 and .9515; Firth near separation .9565, .9521, .9473, .9539 (Wald
.9640 to .9741); pairs bootstrap, percentile .9437, basic .9618, normal .9584, BCa .9511 (.69).  Size at 5 %:
Wald .0474 and likelihood ratio .0513 at n=200, .0544 and .0553 at n=500; score bootstrap with ten firms
.0621, the normal law with the sandwich .1348.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

import disteconometrics as de

__all__ = ["STUDIES", "Band", "Declared", "run"]

SLACK = 3.0  # Monte Carlo standard errors
SHORT, SHORT_SLACK = 200, 4.0  # replications by default, of which .95 has an error of .015
# of coverage and size at n = 400 from their nominal values: the next term of the expansion is of order 1/n
DRIFT = 0.004
Table = dict[str, Any]


@dataclass(frozen=True)
class Band:
    """Where a measure of some parameters has to lie; ``low`` and ``high`` are without Monte Carlo error."""

    measure: str
    low: float
    high: float
    estimators: tuple[str, ...]
    parameters: tuple[str, ...]

    def holds(self, value: float, mcse: float, n: float, slack: float = SLACK) -> bool:
        """Whether a figure can lie in the band; a share's error is that of the edge,
        so that a share of one has one too.
        """

        def error(edge: float) -> float:
            share = self.measure in ("coverage", "rejection")
            return math.sqrt(max(edge * (1 - edge), 0.0) / n) if share else mcse

        return self.low - slack * error(self.low) <= value <= self.high + slack * error(self.high)


@dataclass(frozen=True, eq=False)
class Declared:
    """A study with its seed, its usual size and its bands; ``title`` goes into the table."""

    title: str
    study: de.MonteCarlo
    seed: int
    bands: tuple[Band, ...]
    reps: int = 2_000


@cache
def run(name: str, reps: int, n_jobs: int | None = None) -> Any:
    """Results of a declared study."""
    declared = STUDIES[name]
    return declared.study.run(reps, seed=declared.seed, max_fail=1.0, n_jobs=n_jobs)


# ---- the logit in regular samples --------------------------------------------------------------------------

BETA = {"Intercept": -0.5, "x": 0.8, "d": -0.6, "z": 0.0}
N = 400
BIAS = 5.0 / N  # relative: the maximum-likelihood bias of a slope is of order 1/n, here about 2β/n


def regular(rng: np.random.Generator) -> Table:
    """P(y = 1) = Λ(−0.5 + 0.8x − 0.6d + 0·z)."""
    x, d = rng.normal(size=N), (rng.random(N) < 0.4).astype(float)
    y = rng.random(N) < expit(BETA["Intercept"] + BETA["x"] * x + BETA["d"] * d)
    return {"y": y.astype(float), "x": x, "d": d, "z": rng.normal(size=N)}


def ratios(table: Table) -> Any:
    """Ratios of slopes with Fieller's limits."""
    e = de.Logit("y ~ x + d + z").fit(table).nlcom(["d / x", "x / d"], method="fieller")
    return {
        n: (b, s, *limits)
        for n, b, s, limits in zip(e.names, e.values, e.std_error, e.interval(), strict=True)
    }


def true_hypotheses(table: Table) -> Any:
    """Tests of what is true, one restriction and three."""
    res = de.Logit("y ~ x + d + z").fit(table)
    joint = "x = 0.8, d = -0.6, z = 0"
    return {
        "Wald": res.test("z = 0"),
        "Wald, joint": res.test(joint),
        "LR": res.lr_test("z = 0"),
        "LR, joint": res.lr_test(joint),
        "score": res.score_test("z = 0"),
    }


TESTS = ("Wald", "Wald, joint", "LR", "LR, joint", "score")
REGULAR = de.MonteCarlo(
    regular,
    {
        "mle": de.Logit("y ~ x + d + z"),
        "HC1": (de.Logit("y ~ x + d + z"), {"cov": "HC1"}),
        "fieller": ratios,
        "tests": true_hypotheses,
    },
    truth={**BETA, "d / x": -0.75, "x / d": -0.8 / 0.6},
)
REGULAR_BANDS = (
    *(Band("bias", -BIAS * abs(b), BIAS * abs(b), ("mle",), (name,)) for name, b in BETA.items()),
    Band("relative_error", -100 * DRIFT, 100 * DRIFT, ("mle",), tuple(BETA)),
    Band("coverage", 0.95 - DRIFT, 0.95 + DRIFT, ("mle", "HC1"), tuple(BETA)),
    Band("coverage", 0.95 - DRIFT, 0.95 + DRIFT, ("fieller",), ("d / x",)),
    # where the denominator may be zero Fieller's set is printed as the whole line, which covers more
    Band("coverage", 0.95 - DRIFT, 1.0, ("fieller",), ("x / d",)),
    Band("rejection", 0.05 - DRIFT, 0.05 + DRIFT, ("tests",), TESTS),
)


def small_logit(rng: np.random.Generator, n: int) -> Table:
    """P(y = 1) = Λ(0.3 + 0.8x + 0·z)."""
    x, z = rng.normal(size=n), rng.normal(size=n)
    return {"x": x, "z": z, "y": (0.3 + 0.8 * x + rng.logistic(size=n) > 0).astype(float)}


def wald_and_lr(table: Table) -> Any:
    """Tests of the true hypothesis z = 0."""
    res = de.Logit("y ~ x + z").fit(table)
    return {"Wald": res.test("z"), "LR": res.lr_test("z")}


# ---- the complementary log-log law -------------------------------------------------------------------------


def grouped_hazards(rng: np.random.Generator) -> Table:
    """P(y = 1) = 1 − exp(−exp(−0.5 + 0.8x − 0.6d + 0·z)): spells that end within an interval."""
    x, d = rng.normal(size=N), (rng.random(N) < 0.4).astype(float)
    log_hazard = BETA["Intercept"] + BETA["x"] * x + BETA["d"] * d
    y = rng.exponential(size=N) < np.exp(log_hazard)
    return {"y": y.astype(float), "x": x, "d": d, "z": rng.normal(size=N)}


# ---- what applied work meets -------------------------------------------------------------------------------


def hump(rng: np.random.Generator) -> Table:
    """y = 1 where |x| > 1.5: the best logit has slope zero by symmetry, and is far from right."""
    x = rng.normal(size=1000)
    return {"x": x, "y": (np.abs(x) > 1.5).astype(float)}


@dataclass(frozen=True)
class Clusters:
    """Rows of a cluster share a normal shock through a copula, so that every row is a logit with
    slope 0.8 on ``x``.

    ``x`` varies half between and half within clusters, or is 1 in the first ``treated`` clusters.
    """

    sizes: tuple[int, ...]
    treated: int | None = None

    def __call__(self, rng: np.random.Generator) -> Table:
        """Draw."""
        g = np.repeat(np.arange(len(self.sizes)), self.sizes)
        ones = np.arange(len(self.sizes)) < (self.treated or 0)
        between = rng.normal(size=len(self.sizes)) if self.treated is None else ones.astype(float)
        x = (between[g] + rng.normal(size=len(g))) / np.sqrt(2) if self.treated is None else between[g]
        u = norm.cdf(
            np.sqrt(0.3) * rng.normal(size=len(self.sizes))[g] + np.sqrt(0.7) * rng.normal(size=len(g))
        )
        return {"x": x, "g": g, "y": (u < expit(-0.2 + 0.8 * x)).astype(float)}


def shared_shock(rng: np.random.Generator) -> Table:
    """80 firms of five rows, one x a firm; 70 % of the rows share their firm's uniform,
    so the margin stays an exact logit.
    """
    firm = np.repeat(np.arange(80), 5)
    x = rng.normal(size=80)[firm]
    u = np.where(rng.random(400) < 0.7, rng.random(80)[firm], rng.random(400))
    return {"x": x, "firm": firm, "y": (u < expit(0.2 + 0.7 * x)).astype(float)}


def selected(rng: np.random.Generator) -> pd.DataFrame:
    """A logit with slope 0.8 of which successes with large x are kept less often; weights undo it."""
    n = 3000
    x = rng.normal(size=n)
    y = (0.8 * x + rng.logistic(size=n) > 0).astype(int)
    keep = np.where((y == 1) & (x > 0), 0.2, 0.6)
    return pd.DataFrame({"x": x, "y": y, "w": 1 / keep})[rng.random(n) < keep]


def design(
    title: str,
    dgp: Callable[..., Any],
    low: float,
    high: float,
    cov: Any = None,
    truth: float = 0.8,
    **more: Any,
) -> Declared:
    """A study of the slope of a logit under one covariance."""
    options = {} if cov is None else {"cov": cov, "use_t": isinstance(cov, de.Cluster)}
    study = de.MonteCarlo(dgp, {"logit": (de.Logit("y ~ x", **more), options)}, ["x"], truth={"x": truth})
    return Declared(title, study, 20, (Band("coverage", low, high, ("logit",), ("x",)),))


UNEVEN = (10, 10, 15, 15, 20, 20, 30, 30, 40, 50, 70, 90)
JACKKNIFE = de.Cluster("g", correction="jackknife")


# ---- margins -----------------------------------------------------------------------------------------------

ROWS = 1_000_000  # of the draw that gives the population's effects


def effect_covariates(rng: np.random.Generator, n: int) -> Table:
    """A skewed x and a rare d."""
    return {"x": rng.exponential(size=n), "d": (rng.random(n) < 0.4).astype(float)}


def effect_index(t: Table) -> np.ndarray:
    """The index of the logit whose effects are estimated."""
    return np.asarray(-1.0 + 1.2 * t["x"] - 0.15 * t["x"] ** 2 - 0.8 * t["d"])


def effects(t: Table) -> np.ndarray:
    """Average derivative in x and average difference in d under the truth."""
    p = expit(effect_index(t))
    difference = expit(effect_index({**t, "d": 1.0})) - expit(effect_index({**t, "d": 0.0}))
    return np.array([(p * (1 - p) * (1.2 - 0.3 * t["x"])).mean(), difference.mean()])


def effect_table(rng: np.random.Generator) -> Table:
    """500 rows."""
    t = effect_covariates(rng, 500)
    return {**t, "y": (rng.random(500) < expit(effect_index(t))).astype(float)}


@cache
def population_effects() -> np.ndarray:
    """Effects in a large draw."""
    return effects(effect_covariates(np.random.default_rng(7), ROWS))


@dataclass(frozen=True)
class EffectErrors:
    """Errors of average effects about the sample's own ones, or the population's."""

    target: str

    def __call__(self, table: Table) -> Any:
        """Estimate less goal, with the standard error."""
        goal = effects(table) if self.target == "sample" else population_effects()
        e = de.Logit("y ~ x + I(x**2) + d").fit(table).margins(target=self.target).estimates
        return {n: (b - g, s) for n, b, g, s in zip(("x", "d"), e.values, goal, e.std_error, strict=True)}


# ---- Firth -------------------------------------------------------------------------------------------------

FIRTH = {"Intercept": -1.5, "x": 1.0, "d": 2.0, "z": 0.0}


def near_separation(rng: np.random.Generator) -> Table:
    """50 rows with rare covariates, of which maximum likelihood has no estimate in many."""
    n = 50
    x, d, z = rng.normal(size=n), (rng.random(n) < 0.15).astype(float), (rng.random(n) < 0.2).astype(float)
    y = rng.random(n) < expit(FIRTH["Intercept"] + FIRTH["x"] * x + FIRTH["d"] * d)
    z[:2], d[:2] = (0, 1), (1, 0)  # every column varies
    return {"y": y.astype(float), "x": x, "d": d, "z": z}


# ---- bootstrap ---------------------------------------------------------------------------------------------


def simple(rng: np.random.Generator) -> Table:
    """200 rows of a logit with slope 0.7."""
    x = rng.normal(size=200)
    return {"x": x, "y": (0.3 + 0.7 * x + rng.logistic(size=200) > 0).astype(float)}


def pairs_intervals(table: Table, rng: np.random.Generator) -> Any:
    """Limits of the slope by four methods from the same 399 draws."""
    boot = de.bootstrap(de.Logit("y ~ x"), table, reps=399, seed=rng)
    limits = {m: boot.conf_int(method=m).loc["x"] for m in ("percentile", "basic", "normal", "bca")}
    return {m: (boot.params["x"], boot.bse["x"], low, high) for m, (low, high) in limits.items()}


def ten_firms(rng: np.random.Generator) -> Table:
    """Ten firms of 30 rows with a shock each; x has no effect."""
    firm = np.repeat(np.arange(10), 30)
    x = rng.normal(size=10)[firm] + rng.normal(size=300)
    return {
        "x": x,
        "firm": firm,
        "y": (0.8 * rng.normal(size=10)[firm] + rng.logistic(size=300) > 0).astype(float),
    }


def score_bootstrap(table: Table, rng: np.random.Generator) -> Any:
    """The p-value of a zero slope by the score bootstrap, and the normal law's with the sandwich."""
    boot = de.bootstrap(de.Logit("y ~ x"), table, reps=399, kind="score", cluster="firm", seed=rng)

    class P:
        def __init__(self, value: float) -> None:
            self.p_value = value

    wald = 2 * norm.sf(abs(boot.params["x"] / boot.bse["x"]))
    return {"score bootstrap": P(boot.pvalue("x", 0.0)), "sandwich, normal": P(wald)}


# ---- all of them -------------------------------------------------------------------------------------------

# ---- ordered outcomes --------------------------------------------------------------------------------------

ORDERED = {"x": 0.8, "d": -0.6, "0|1": -1.0, "1|2": 0.0, "2|3": 1.2}
EFFECT, POINT = "d: 1 - 0 [3]", "P(y = 3) at x = 0.5, d = 1"


@dataclass(frozen=True)
class Grades:
    """y in 0 … 3, P(y ≤ j) = F(c_j − 0.8x + 0.6d)."""

    law: str

    def __call__(self, rng: np.random.Generator) -> Table:
        x, d = rng.normal(size=N), (rng.random(N) < 0.4).astype(float)
        noise = rng.logistic(size=N) if self.law == "OrderedLogit" else rng.normal(size=N)
        latent = ORDERED["x"] * x + ORDERED["d"] * d + noise
        return {"y": np.searchsorted([ORDERED[c] for c in ("0|1", "1|2", "2|3")], latent), "x": x, "d": d}


@dataclass(frozen=True)
class GradeAnswers:
    """A margin and a probability with its limits, and the test of what is true of all thresholds."""

    law: str

    def __call__(self, table: Table) -> Any:
        res = getattr(de, self.law)("y ~ x + d").fit(table)
        margin = res.margins({"d": (0, 1)}, at={"x": 0.5}).estimates.table().loc[EFFECT]
        point = res.predict({"x": [0.5], "d": [1.0]}, ci=True).iloc[3]
        columns = ["estimate", "std_error", "conf_low", "conf_high"]
        return {
            EFFECT: tuple(margin[columns]),
            POINT: tuple(point[columns]),
            "proportional odds": res.proportional_odds(),
        }


def grades(law: str, F: Callable[[float], float], seed: int) -> Declared:
    """The study of one law of ordered outcomes."""
    high = [F(ORDERED["x"] * 0.5 + ORDERED["d"] * d - ORDERED["2|3"]) for d in (0, 1)]
    names = tuple(ORDERED)
    return Declared(
        f"n = 400, {law}",
        de.MonteCarlo(
            Grades(law),
            {
                "mle": getattr(de, law)("y ~ x + d"),
                "HC1": (getattr(de, law)("y ~ x + d"), {"cov": "HC1"}),
                "answers": GradeAnswers(law),
            },
            truth={**ORDERED, EFFECT: high[1] - high[0], POINT: high[1]},
        ),
        seed,
        (
            *(Band("bias", -BIAS * abs(ORDERED[c]), BIAS * abs(ORDERED[c]), ("mle",), (c,)) for c in "xd"),
            Band("coverage", 0.94, 0.96, ("mle", "HC1"), names),
            Band("coverage", 0.935, 0.965, ("answers",), (EFFECT, POINT)),
            Band("rejection", 0.03, 0.07, ("answers",), ("proportional odds",)),
        ),
    )


# ---- recorded outcomes -------------------------------------------------------------------------------------

TOBIT = {"Intercept": 0.5, "x": 0.8, "d": -0.6, "sigma": 1.2}


def corner(rng: np.random.Generator) -> Table:
    """500 rows of y = 0.5 + 0.8x − 0.6d + 1.2·N(0, 1), and what is told of it: zero below zero, 43 %."""
    x, d = rng.normal(size=500), (rng.random(500) < 0.4).astype(float)
    y = TOBIT["Intercept"] + TOBIT["x"] * x + TOBIT["d"] * d + TOBIT["sigma"] * rng.normal(size=500)
    return {"told": np.maximum(y, 0), "x": x, "d": d}


def tobit(table: Table) -> Any:
    """Coefficients and σ with standard errors."""
    res = de.NormalRegression("bottomcoded(told, at=0) ~ x + d").fit(table)
    sigma = res.sigma_estimates
    found = {n: (b, res.bse[n]) for n, b in res.params.items()}
    return {**found, "sigma": (float(sigma.values[0]), float(sigma.std_error[0]))}


STUDIES: dict[str, Declared] = {
    "regular": Declared("n = 400, right model", REGULAR, 2024, REGULAR_BANDS),
    "small": Declared(
        "small samples",
        de.MonteCarlo(
            small_logit,
            {"logit": de.Logit("y ~ x + z"), "tests": wald_and_lr},
            truth={"x": 0.8, "z": 0.0},
            grid={"n": [200, 500]},
        ),
        21,
        (
            Band("coverage", 0.94, 0.96, ("logit",), ("x", "z")),
            Band("rejection", 0.04, 0.06, ("tests",), ("Wald", "LR")),
        ),
    ),
    "cloglog": Declared(
        "n = 400, complementary log-log",
        de.MonteCarlo(
            grouped_hazards,
            {
                "mle": de.CLogLog("y ~ x + d + z"),
                "HC1": (de.CLogLog("y ~ x + d + z"), {"cov": "HC1"}),
            },
            truth=BETA,
        ),
        22,
        (
            *(Band("bias", -BIAS * abs(b), BIAS * abs(b), ("mle",), (name,)) for name, b in BETA.items()),
            Band("coverage", 0.93, 0.97, ("mle", "HC1"), tuple(BETA)),
            Band("rejection", 0.03, 0.07, ("mle", "HC1"), ("z",)),
        ),
    ),
    "ordered logit": grades("OrderedLogit", expit, 24),
    "ordered probit": grades("OrderedProbit", norm.cdf, 25),
    "tobit": Declared(
        "n = 500, bottom-coded",
        de.MonteCarlo(
            corner,
            {"tobit": tobit},
            truth=TOBIT,
        ),
        26,
        (
            *(Band("bias", -BIAS * abs(b), BIAS * abs(b), ("tobit",), (n,)) for n, b in TOBIT.items()),
            Band("coverage", 0.94, 0.956, ("tobit",), tuple(TOBIT)),
        ),
    ),
    "wrong, nonrobust": design("n = 1,000, wrong model, nonrobust", hump, 0.0, 0.80, truth=0.0),
    "wrong, HC1": design("n = 1,000, wrong model, HC1", hump, 0.94, 0.955, "HC1", truth=0.0),
    "80 firms": Declared(
        "80 firms with shocks",
        de.MonteCarlo(
            shared_shock,
            {
                "clustered, t": (de.Logit("y ~ x"), {"cov": de.Cluster("firm"), "use_t": True}),
                "nonrobust": de.Logit("y ~ x"),
            },
            ["x"],
            truth={"x": 0.7},
        ),
        2025,
        (
            Band("coverage", 0.93, 0.97, ("clustered, t",), ("x",)),
            Band("coverage", 0.0, 0.90, ("nonrobust",), ("x",)),
        ),
    ),
    "50 clusters": design(
        "50 clusters, cr1, t", Clusters((20,) * 50), 0.935, 0.96, de.Cluster("g", correction="cr1")
    ),
    "12 clusters": design("12 uneven clusters, jackknife, t", Clusters(UNEVEN), 0.93, 0.975, JACKKNIFE),
    "3 treated": design(
        "3 of 20 clusters treated, jackknife, t", Clusters((30,) * 20, 3), 0.92, 0.975, JACKKNIFE
    ),
    "sampling weights": design(
        "sampling weights", selected, 0.94, 0.955, "HC1", weights="w", weight_type="sampling"
    ),
    "margins": Declared(
        "n = 500, average marginal effects",
        de.MonteCarlo(
            effect_table, {t: EffectErrors(t) for t in ("sample", "population")}, truth={"x": 0.0, "d": 0.0}
        ),
        31,
        (Band("coverage", 0.944, 0.956, ("sample", "population"), ("x", "d")),),
    ),
    "firth": Declared(
        "n = 50, near separation",
        de.MonteCarlo(
            near_separation,
            {"firth, profile": de.Logit("y ~ x + d + z", penalty="firth")},
            truth=FIRTH,
        ),
        11,
        (
            Band("coverage", 0.93, 0.97, ("firth, profile",), tuple(FIRTH)),
            Band("rejection", 0.03, 0.07, ("firth, profile",), ("z",)),
            Band("bias", -0.1, 0.1, ("firth, profile",), ("x",)),
            Band("bias", -0.2, 0.2, ("firth, profile",), ("d",)),
        ),
    ),
    "pairs bootstrap": Declared(
        "n = 200, 399 draws",
        de.MonteCarlo(
            simple,
            {"pairs bootstrap": pairs_intervals},
            truth=dict.fromkeys(("percentile", "basic", "normal", "bca"), 0.7),
        ),
        20240701,
        (Band("coverage", 0.93, 0.97, ("pairs bootstrap",), ("percentile", "basic", "normal", "bca")),),
    ),
    "score bootstrap": Declared(
        "10 firms of 30 rows",
        de.MonteCarlo(ten_firms, {"tests": score_bootstrap}),
        20240702,
        (
            Band("rejection", 0.03, 0.07, ("tests",), ("score bootstrap",)),
            Band("rejection", 0.08, 1.0, ("tests",), ("sandwich, normal",)),
        ),
    ),
}
