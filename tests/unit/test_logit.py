"""Binary logit as a whole: closed forms, coding of the outcome, rows, separation, files, tables."""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import disteconometrics as de
from disteconometrics.errors import (
    DataError,
    ExtrapolationWarning,
    FileFormatError,
    LevelError,
    MissingColumnError,
    NeedsData,
    OptionError,
    OutcomeError,
    SeparationError,
    SeparationWarning,
    WithheldError,
)

EXACT = 1e-12  # closed forms, reached to the last digits
SAME = 1e-10  # one fit two ways
CAPPED = 30.0  # at odds of exp(30) a separated row costs 1e-13 of log-likelihood
NEAR_SUPREMUM = 1e-9

RNG = np.random.default_rng(51)
N = 400


def make_data() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "x": RNG.normal(size=N),
            "z": RNG.exponential(size=N),
            "g": RNG.choice(["low", "mid", "high"], N),
            "firm": RNG.integers(0, 50, N),
            "time": RNG.permutation(N),
            "w": RNG.integers(1, 6, N),
            "pw": RNG.gamma(2.0, size=N),
            "off": RNG.normal(scale=0.4, size=N),
        },
        index=pd.Index(RNG.permutation(N) + 7, name="person"),
    )
    eta = -0.2 + 0.8 * frame.x - 0.3 * frame.z + 0.5 * (frame.g == "mid")
    return frame.assign(y=(RNG.random(N) < special.expit(eta)).astype(int))


DATA = make_data()
FORMULA = "y ~ x + z + g"
FIT = de.Logit(FORMULA).fit(DATA)
OPTIONS: dict[str, dict[str, str]] = {
    "plain": {},
    "offset": {"offset": "off"},
    "frequency": {"weights": "w", "weight_type": "frequency"},
    "sampling": {"weights": "pw", "weight_type": "sampling"},
    "sampling and offset": {"weights": "pw", "weight_type": "sampling", "offset": "off"},
}


def silently(model: de.Logit, data: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeparationWarning)
        return model.fit(data, **options)


# ---- closed forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["y ~ g", "y ~ 0 + g", "y ~ g * big", "y ~ C(g):C(big)"])
def test_saturated_logit_fits_cell_means(formula: str) -> None:
    data = DATA.assign(big=(DATA.z > 1).astype(int))
    cells = ["g", "big"] if "big" in formula else ["g"]
    means = data.groupby(cells).y.transform("mean")
    assert np.allclose(de.Logit(formula).fit(data).fittedvalues, means, rtol=0, atol=EXACT)


@pytest.mark.parametrize("option", ["plain", "frequency", "sampling"])
def test_constant_alone_is_the_log_odds(option: str) -> None:
    res = de.Logit("y ~ 1", **OPTIONS[option]).fit(DATA)
    w = {
        "plain": np.ones(N),
        "frequency": DATA.w.to_numpy(),
        "sampling": (DATA.pw / DATA.pw.mean()).to_numpy(),
    }[option]
    p = w @ DATA.y / w.sum()
    assert res.params["Intercept"] == pytest.approx(np.log(p / (1 - p)), abs=EXACT)
    assert res.llf == pytest.approx(w.sum() * (p * np.log(p) + (1 - p) * np.log(1 - p)), rel=EXACT)
    assert res.llf == pytest.approx(res.llnull, rel=EXACT)
    assert res.prsquared == pytest.approx(0, abs=EXACT)
    assert res.df_model == 0
    if option != "sampling":
        assert res.bse["Intercept"] == pytest.approx(1 / np.sqrt(w.sum() * p * (1 - p)), rel=EXACT)


def test_log_odds_of_a_table() -> None:
    a, b, c, d = 30, 20, 15, 35
    table = pd.DataFrame({"y": [1, 0, 1, 0], "x": [1, 1, 0, 0], "n": [a, b, c, d]})
    res = de.Logit("y ~ x", weights="n", weight_type="frequency").fit(table)
    assert res.params["x"] == pytest.approx(np.log(a * d / (b * c)), rel=EXACT)
    assert res.bse["x"] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=EXACT)
    assert res.odds_ratios().loc["x", "estimate"] == pytest.approx(a * d / (b * c), rel=EXACT)


def test_frequency_weights_are_repeated_rows() -> None:
    weighted = de.Logit(FORMULA, **OPTIONS["frequency"]).fit(DATA)
    rows = de.Logit(FORMULA).fit(DATA.loc[DATA.index.repeat(DATA.w)].reset_index(drop=True))
    for name in (
        "llf",
        "llnull",
        "llr",
        "llr_pvalue",
        "aic",
        "bic",
        "prsquared",
        "nobs",
        "df_resid",
        "df_model",
    ):
        assert getattr(weighted, name) == pytest.approx(getattr(rows, name), rel=SAME), name
    assert weighted.nobs == DATA.w.sum()
    for name in ("params", "bse", "tvalues", "pvalues"):
        assert np.allclose(getattr(weighted, name), getattr(rows, name), rtol=SAME, atol=0), name
    for cov in ("HC1", "HC3"):
        assert np.allclose(
            weighted.with_cov(cov, use_t=True).pvalues, rows.with_cov(cov, use_t=True).pvalues, rtol=1e-9
        )
    assert np.array_equal(weighted.pred_table(), rows.pred_table())


def test_zero_weights_drop_rows() -> None:
    data = DATA.assign(w=np.where(np.arange(N) < 50, 0, DATA.w), pw=np.where(np.arange(N) < 50, 0.0, DATA.pw))
    for option in ("frequency", "sampling"):
        res = de.Logit(FORMULA, **OPTIONS[option]).fit(data)
        without = de.Logit(FORMULA, **OPTIONS[option]).fit(data.iloc[50:])
        assert np.allclose(res.params, without.params, rtol=SAME)
        assert np.allclose(res.bse, without.bse, rtol=SAME)
        assert "weight zero (50)" in str(res.summary())


def test_a_constant_offset_moves_the_intercept_alone() -> None:
    shifted = de.Logit(FORMULA, offset="c").fit(DATA.assign(c=1.5))
    assert np.allclose(shifted.params - FIT.params, [-1.5, 0, 0, 0, 0], atol=EXACT * 10)
    assert shifted.llf == pytest.approx(FIT.llf, rel=EXACT)
    assert shifted.llnull == pytest.approx(FIT.llnull, rel=EXACT)
    assert np.allclose(shifted.predict(), FIT.predict(), rtol=0, atol=EXACT)
    moved = de.Logit(FORMULA, offset="c").fit(DATA.assign(c=0.7 * DATA.x))
    assert np.allclose(moved.params - FIT.params, [0, -0.7, 0, 0, 0], atol=EXACT * 10)


def test_likelihood_figures() -> None:
    p, k = FIT.fittedvalues, len(FIT.params)
    llf = np.where(DATA.y == 1, np.log(p), np.log1p(-p)).sum()
    m = DATA.y.mean()
    assert FIT.llf == pytest.approx(llf, rel=EXACT)
    assert FIT.llnull == pytest.approx(N * (m * np.log(m) + (1 - m) * np.log(1 - m)), rel=EXACT)
    assert FIT.aic == pytest.approx(2 * k - 2 * llf, rel=EXACT)
    assert FIT.bic == pytest.approx(k * np.log(N) - 2 * llf, rel=EXACT)
    assert FIT.prsquared == pytest.approx(1 - llf / FIT.llnull, rel=1e-10)
    assert FIT.llr_pvalue == pytest.approx(stats.chi2.sf(FIT.llr, k - 1), rel=1e-9)
    assert (FIT.nobs, FIT.df_model, FIT.df_resid, FIT.converged) == (N, k - 1, N - k, True)


def test_all_levels_of_a_factor_span_the_constant() -> None:
    cells, constant = de.Logit("y ~ 0 + g + x").fit(DATA), de.Logit("y ~ g + x").fit(DATA)
    for name in ("llf", "llnull", "llr_pvalue", "df_model"):
        assert getattr(cells, name) == pytest.approx(getattr(constant, name), rel=SAME)
    without = de.Logit("y ~ 0 + x").fit(DATA)
    assert np.isnan(without.llr_pvalue)
    assert "holds no constant" in str(without.summary())


@pytest.mark.parametrize("exponent", [-150, -100, 100, 150])
@pytest.mark.parametrize("repeats", [1, 50])
def test_units_do_not_matter(exponent: int, repeats: int) -> None:
    """A column in units of 1e±150 gives the same odds, on few rows and on many."""
    data = pd.concat([DATA] * repeats, ignore_index=True)
    unit = float(f"1e{exponent}")
    expected, res = de.Logit("y ~ x").fit(data), de.Logit("y ~ x").fit(data.assign(x=data.x * unit))
    assert res.params["x"] * unit == pytest.approx(expected.params["x"], rel=1e-8)
    assert res.bse["x"] * unit == pytest.approx(expected.bse["x"], rel=1e-8)


@pytest.mark.parametrize("exponent", [-300, -200, -160, 160, 300])
@pytest.mark.parametrize("repeats", [1, 50])
def test_units_beyond_squaring_are_refused(exponent: int, repeats: int) -> None:
    data = pd.concat([DATA] * repeats, ignore_index=True)
    with pytest.raises(DataError, match=r"x.*rescale"):
        de.Logit("y ~ x").fit(data.assign(x=data.x * float(f"1e{exponent}")))


# ---- the outcome -------------------------------------------------------------------------------------------

OUTCOMES: dict[str, tuple[Any, str, bool]] = {  # values for 0 and 1, success, whether 1 is the success
    "integers": (DATA.y, "1", True),
    "floats": (DATA.y.astype(float), "1", True),
    "bool": (DATA.y == 1, "True", True),
    "nullable bool": ((DATA.y == 1).astype("boolean"), "True", True),
    "nullable integers": (DATA.y.astype("Int64"), "1", True),
    "text": (DATA.y.map({0: "no", 1: "yes"}), "yes", True),
    "text, other order": (DATA.y.map({0: "works", 1: "idle"}), "works", False),
    "categorical": (pd.Categorical(DATA.y.map({0: "hi", 1: "lo"}), ["hi", "lo"]), "lo", True),
    "categorical, other order": (pd.Categorical(DATA.y.map({0: "hi", 1: "lo"}), ["lo", "hi"]), "hi", False),
    "categorical, unused level": (pd.Categorical(DATA.y.map({0: "a", 1: "c"}), ["a", "b", "c"]), "c", True),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_coding_of_the_outcome(case: str) -> None:
    values, success, same = OUTCOMES[case]
    res = de.Logit("out ~ x + z + g").fit(DATA.assign(out=values))
    assert np.allclose(res.params, FIT.params if same else -FIT.params, rtol=SAME)
    assert f"out = {success}" in str(res.summary())
    assert res.distribution().success == success
    assert res.pred_table().sum() == N


@pytest.mark.parametrize(
    ("formula", "sign"),
    [("I(y == 1) ~ x", 1), ("I(y < 1) ~ x", -1), ("I(y == 0) ~ x", -1), ("I(1 - y) ~ x", -1)],
)
def test_outcome_made_in_the_formula(formula: str, sign: int) -> None:
    assert np.allclose(
        de.Logit(formula).fit(DATA).params, sign * de.Logit("y ~ x").fit(DATA).params, rtol=SAME
    )


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (DATA.y + 1, "binary"),
        (DATA.y * 0, "variation"),
        (DATA.y * 0 == 1, "variation"),
        (DATA.y.map({0: "a", 1: "a"}), "variation"),
        (DATA.x, "binary"),
        (DATA.g, "binary"),
        (DATA.y / 2, "binary"),
    ],
    ids=["1 and 2", "constant", "constant bool", "constant text", "continuous", "three levels", "0 and 0.5"],
)
def test_outcomes_that_are_not_binary(values: Any, match: str) -> None:
    with pytest.raises(OutcomeError, match=match) as caught:
        de.Logit("out ~ x").fit(DATA.assign(out=values))
    assert "out" in str(caught.value)


# ---- rows, residuals, predictions --------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS)
def test_residuals(option: str) -> None:
    res = de.Logit(FORMULA, **OPTIONS[option]).fit(DATA)
    w = {"frequency": DATA.w, "sampling": DATA.pw / DATA.pw.mean()}.get(
        option.split(" and ")[0], pd.Series(1.0, DATA.index)
    )
    p, y = res.fittedvalues, DATA.y
    assert np.allclose(res.resid_response, y - p, rtol=0, atol=EXACT)
    assert np.allclose(res.resid_pearson, (y - p) / np.sqrt(p * (1 - p)), rtol=1e-10)
    assert float((w * res.resid_deviance**2).sum()) == pytest.approx(-2 * res.llf, rel=EXACT)
    assert (np.sign(res.resid_deviance) == np.sign(y - p)).all()
    assert float((w * res.resid_response).sum()) == pytest.approx(
        0, abs=1e-9
    )  # the constant's first-order condition
    assert res.leverage.sum() == pytest.approx(len(res.params), rel=1e-10)
    assert ((res.leverage > 0) & (res.leverage < 1)).all()
    for series in (res.fittedvalues, res.resid_response, res.resid_pearson, res.resid_deviance, res.leverage):
        assert series.index.equals(DATA.index)


def test_pearson_statistic_of_a_table() -> None:
    """Against a constant, Σ w·r² is the number of observations."""
    res = de.Logit("y ~ 1").fit(DATA)
    assert float((res.resid_pearson**2).sum()) == pytest.approx(N, rel=1e-10)


def test_residuals_far_out_keep_their_digits() -> None:
    far = np.arange(N) < 8
    data = DATA.assign(off=np.where(far, np.where(np.arange(N) % 2, 60.0, -60.0), DATA.x))
    res = de.Logit("y ~ 1", offset="off").fit(data)
    assert np.isfinite(res.resid_deviance).all()
    assert np.isfinite(res.resid_pearson).all()
    assert float((res.resid_deviance**2).sum()) == pytest.approx(-2 * res.llf, rel=EXACT)
    assert (res.resid_deviance != 0).all()


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("use_t", [False, True])
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.ExtrapolationWarning")  # x goes far out
def test_prediction_intervals(option: str, use_t: bool) -> None:
    res = de.Logit(FORMULA, **OPTIONS[option]).fit(DATA, cov="HC1", use_t=use_t)
    new = DATA.iloc[:50].assign(x=np.linspace(-40, 40, 50))
    X = np.column_stack([np.ones(50), new.x, new.z, new.g == "low", new.g == "mid"])
    assert list(res.params.index) == ["Intercept", "x", "z", "g[T.low]", "g[T.mid]"]
    eta = X @ res.params + (new.off if "offset" in OPTIONS[option] else 0)
    se = np.sqrt(np.einsum("ij,jk,ik->i", X, res.cov_params().to_numpy(), X))
    half = (stats.t(res.nobs - 5) if use_t else stats.norm).ppf(0.95) * se
    out, index = res.predict(new, ci=True, level=0.9), res.predict(new, ci=True, level=0.9, linear=True)
    assert list(out.columns) == ["estimate", "std_error", "conf_low", "conf_high"]
    assert ((out >= 0) & (out <= 1)).all(axis=None)
    assert np.allclose(out["estimate"], special.expit(eta), rtol=1e-12)
    assert np.allclose(out["conf_low"], special.expit(eta - half), rtol=1e-9)
    assert np.allclose(out["conf_high"], special.expit(eta + half), rtol=1e-9)
    assert np.allclose(out["std_error"], special.expit(eta) * special.expit(-eta) * se, rtol=1e-9)
    assert np.allclose(index, np.column_stack([eta, se, eta - half, eta + half]), rtol=1e-9)
    assert np.array_equal(res.predict(new), out["estimate"])
    assert out.index.equals(new.index)
    assert np.array_equal(res.distribution(new).mean(), out["estimate"])


def test_missing_values() -> None:
    data = DATA.copy()
    data.iloc[[0, 3], data.columns.get_loc("x")] = np.nan
    data.iloc[[3, 5], data.columns.get_loc("g")] = None
    data.iloc[9, data.columns.get_loc("firm")] = np.nan if data.firm.dtype.kind == "f" else 0
    res, kept = de.Logit(FORMULA).fit(data), data.drop(data.index[[0, 3, 5]])
    assert np.array_equal(res.params, de.Logit(FORMULA).fit(kept).params)
    assert res.nobs == N - 3
    assert res.fittedvalues.index.equals(kept.index)
    text = str(res.summary())
    assert "3 dropped" in text
    assert "x (2)" in text
    assert "g (2)" in text
    p = res.predict(data)
    assert np.array_equal(p.isna(), data.x.isna() | data.g.isna())
    assert res.predict(data, ci=True).iloc[0].isna().all()
    with pytest.raises(DataError, match="missing"):
        res.with_cov(de.Cluster("c"), data=data.assign(c=data.firm.where(data.firm != 3)))


def test_new_rows_must_be_understood() -> None:
    with pytest.raises(LevelError, match="huge"):
        FIT.predict(DATA.iloc[:2].assign(g=["low", "huge"]))
    with pytest.raises(MissingColumnError, match="z"):
        FIT.predict(DATA.drop(columns="z"))
    with pytest.raises(DataError, match="inf"):
        FIT.predict(DATA.iloc[:2].assign(x=[0.0, np.inf]))


# ---- covariance at fit and after ---------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "cov",
    ["HC0", "HC2", de.Cluster("firm"), de.Cluster("firm", correction="jackknife"), de.HAC("time", lags=3)],
)
def test_with_cov_is_fit_with_cov(option: str, cov: Any) -> None:
    if option == "frequency" and isinstance(cov, de.HAC):
        pytest.skip("refused: frequency weights have no order in time")
    model = de.Logit(FORMULA, **OPTIONS[option])
    first = model.fit(DATA)
    before = first.bse.copy()
    later, at_once = first.with_cov(cov, use_t=True), model.fit(DATA, cov=cov, use_t=True)
    assert later.estimates.table().equals(at_once.estimates.table())
    assert str(later.summary()) == str(at_once.summary())
    assert first.bse.equals(before)
    assert not later.bse.equals(before)


# ---- separation --------------------------------------------------------------------------------------------


def quasi() -> pd.DataFrame:
    """d = 1 implies y = 1; everything else overlaps."""
    d = ((RNG_SEPARATED.random(N) < 0.1) & (DATA.y == 1)).astype(int)
    return DATA.assign(d=d.to_numpy())


RNG_SEPARATED = np.random.default_rng(52)
QUASI = quasi()


@pytest.mark.parametrize("option", OPTIONS)
def test_quasi_separation(option: str) -> None:
    model = de.Logit("y ~ x + z + d", **OPTIONS[option])
    with pytest.warns(SeparationWarning, match="d") as caught:
        res = model.fit(QUASI)
    assert caught[0].message.column == "d"
    assert caught[0].message.hint
    assert res.params["d"] == np.inf
    assert np.isnan([res.bse["d"], res.tvalues["d"], res.pvalues["d"]]).all()
    assert np.isnan(res.conf_int().loc["d"]).all() or (res.conf_int().loc["d", 1] == np.inf)
    assert not res.converged
    # the limit is the fit of the rows that d does not decide
    rest = de.Logit("y ~ x + z", **OPTIONS[option]).fit(QUASI[QUASI.d == 0])
    assert np.allclose(res.params.drop("d"), rest.params, rtol=SAME)
    # the supremum: d's coefficient held at a huge value, the others free
    offset = CAPPED * QUASI.d + (QUASI.off if "offset" in OPTIONS[option] else 0)
    capped = de.Logit("y ~ x + z", **{**OPTIONS[option], "offset": "cap"}).fit(QUASI.assign(cap=offset))
    assert res.llf == pytest.approx(capped.llf, rel=NEAR_SUPREMUM)
    assert res.llf >= capped.llf - 1e-9
    p = res.predict()
    assert (p[QUASI.d == 1] == 1).all()
    assert np.allclose(p[QUASI.d == 0], rest.predict(), rtol=SAME)
    interval = res.predict(ci=True)
    assert (interval.loc[QUASI.d == 1, "estimate"] == 1).all()
    assert (
        interval.loc[QUASI.d == 1, ["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    )  # the limit has no error
    assert interval[QUASI.d == 0].notna().all(axis=None)
    assert (res.leverage[QUASI.d == 1] == 0).all()
    text = str(res.summary())
    for piece in ("inf", "separat", "no: separation"):
        assert piece in text
    assert res.predict(pd.DataFrame({"x": [0.0], "z": [1.0], "d": [1], "off": [0.0]})).iloc[0] == 1
    with pytest.raises(WithheldError, match="d"):
        res.test("d = 0")
    assert 0 <= res.test("x = 0").p_value <= 1


@pytest.mark.parametrize("cov", ["HC1", "HC3", de.Cluster("firm")])
def test_quasi_separation_with_robust_errors(cov: Any) -> None:
    """Standard errors come from the overlapped rows; only `HAC` keeps the others,
    for their place in time (`test_infinite`).
    """
    res = silently(de.Logit("y ~ x + z + d"), QUASI, cov=cov)
    rest = de.Logit("y ~ x + z").fit(QUASI[QUASI.d == 0], cov=cov)
    assert np.allclose(res.bse.drop("d"), rest.bse, rtol=1e-8)
    assert np.isnan(res.bse["d"])


def test_functions_of_infinite_coefficients_have_no_error() -> None:
    """±inf, or the limit, and NaN around it: never a finite number that stands for an infinite one."""
    res = silently(de.Logit("y ~ x + z + d"), QUASI)
    out = res.t_test("d, x, z - d")
    assert out["estimate"].iloc[0] == np.inf
    assert out["estimate"].iloc[2] == -np.inf
    assert np.array_equal(out["std_error"].isna(), [True, False, True])
    assert out["std_error"].iloc[1] == pytest.approx(res.bse["x"], rel=EXACT)
    f = res.nlcom(["d", "x / d", "exp(-d)", "exp(x)", "d / x"]).table()
    assert list(f["estimate"].iloc[:3]) == [np.inf, 0.0, 0.0]
    assert np.array_equal(f["std_error"].isna(), [True, True, True, False, True])
    assert np.array_equal(f["conf_low"].isna(), [True, True, True, False, True])
    ratios = res.odds_ratios()
    assert ratios.loc["d", "estimate"] == np.inf
    assert ratios.loc["d"].drop("estimate").isna().all()


@pytest.mark.parametrize("sign", [1, -1])
def test_complete_separation(sign: int) -> None:
    data = DATA.assign(y=(sign * (DATA.x - 0.1) > 0).astype(int))
    res = silently(de.Logit("y ~ x"), data)
    assert res.params["x"] == sign * np.inf
    assert res.llf == 0
    assert np.array_equal(res.predict(), data.y)
    assert np.isnan(res.bse).all()
    assert not res.converged
    with pytest.warns(ExtrapolationWarning, match="2 of 2 rows"):
        new = res.predict(pd.DataFrame({"x": [-100.0, 100.0]}))
    assert list(new) == ([0, 1] if sign > 0 else [1, 0])
    assert "perfectly" in str(res.summary()) or "separat" in str(res.summary())


@pytest.mark.parametrize("data", [QUASI, QUASI.assign(y=QUASI.d)], ids=["quasi", "complete"])
def test_separation_can_raise(data: pd.DataFrame) -> None:
    with pytest.raises(SeparationError, match="d"):
        de.Logit("y ~ x + d", separation="raise").fit(data)


def test_weights_do_not_hide_separation() -> None:
    """The only row against it has weight zero."""
    data = QUASI.assign(pw=QUASI.pw)
    row = data.index[(data.d == 1)][0]
    data.loc[row, "y"] = 0
    assert np.isfinite(de.Logit("y ~ x + d").fit(data).params["d"])
    data.loc[row, "pw"] = 0.0
    assert silently(de.Logit("y ~ x + d", weights="pw", weight_type="sampling"), data).params["d"] == np.inf


def test_nearly_separated_is_not_separated() -> None:
    """One row out of 400 on the wrong side: finite, however steep."""
    x = np.sort(DATA.x.to_numpy())
    y = (np.arange(N) >= N // 2).astype(int)
    y[[N // 2 - 1, N // 2]] = [1, 0]
    res = de.Logit("y ~ x").fit(pd.DataFrame({"x": x, "y": y}))
    assert res.converged
    p = res.predict()
    assert float(((y - p) * x).sum()) == pytest.approx(0, abs=1e-8)


# ---- files -------------------------------------------------------------------------------------------------


def round_trip(res: Any) -> Any:
    file = io.BytesIO()
    res.save(file)
    return de.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("separated", [False, True])
def test_round_trip(option: str, separated: bool) -> None:
    model = de.Logit("y ~ x + I(x**2) + log(z + 1) + g" + (" + d" if separated else ""), **OPTIONS[option])
    res = silently(model, QUASI, cov=de.Cluster("firm"), use_t=True)
    loaded = round_trip(res)
    assert loaded.model == model
    assert loaded.estimates.table().equals(res.estimates.table())
    assert loaded.cov_params().equals(res.cov_params())
    assert str(loaded.summary()) == str(res.summary())
    for name in ("llf", "llnull", "aic", "bic", "nobs", "df_resid", "converged", "llr_pvalue"):
        assert getattr(loaded, name) == getattr(res, name) or np.isnan(getattr(res, name)), name
    new = QUASI.iloc[:20]
    assert loaded.predict(new, ci=True).equals(res.predict(new, ci=True))
    assert loaded.test("x = 0").statistic == res.test("x = 0").statistic
    for call in (
        loaded.predict,
        lambda: loaded.fittedvalues,
        lambda: loaded.leverage,
        lambda: loaded.with_cov("HC0"),
    ):
        with pytest.raises(NeedsData, match="attach"):
            call()
    again = loaded.with_cov("HC0", data=QUASI)
    assert np.allclose(again.bse, res.with_cov("HC0").bse, rtol=SAME, equal_nan=True)
    assert again.params.equals(res.params)


@pytest.mark.parametrize("change", ["fewer rows", "other outcome", "other values", "other rows"])
def test_loaded_result_refuses_other_rows(change: str) -> None:
    data = {
        "fewer rows": DATA.iloc[:-1],
        "other outcome": DATA.assign(y=1 - DATA.y),
        "other values": DATA.assign(
            x=DATA.x + 1e-3 * DATA.z
        ),  # spans the same space: the same log-likelihood
        "other rows": DATA.sample(N, replace=True, random_state=1),
    }[change]
    with pytest.raises(DataError, match="data="):
        round_trip(FIT).with_cov("HC0", data=data)


@pytest.mark.parametrize("content", [b"", b"not a file", b"PK\x03\x04 cut short"])
def test_damaged_files(content: bytes) -> None:
    with pytest.raises(FileFormatError):
        de.load(io.BytesIO(content))


@pytest.mark.parametrize("part", ["formula", "half", "foreign"])
def test_files_that_were_tampered_with(part: str) -> None:
    file = io.BytesIO()
    FIT.save(file)
    whole = file.getvalue()
    if part == "half":
        changed = whole[: len(whole) // 2]
    elif part == "foreign":
        other = io.BytesIO()
        np.savez(other, a=np.zeros(3))
        changed = other.getvalue()
    else:
        with np.load(io.BytesIO(whole)) as archive:
            arrays = dict(archive)
        text = bytes(arrays["header"]).decode().replace(FORMULA, "y ~ x + __import__('os').getpid()")
        arrays["header"] = np.frombuffer(text.encode(), np.uint8)
        other = io.BytesIO()
        np.savez(other, **arrays)
        changed = other.getvalue()
    with pytest.raises(FileFormatError):
        de.load(io.BytesIO(changed))


# ---- statsmodels' habits -----------------------------------------------------------------------------------


def test_aliases() -> None:
    assert FIT.wald_test("x = z").statistic == FIT.test("x = z").statistic
    assert FIT.get_prediction(DATA.iloc[:3]).equals(FIT.predict(DATA.iloc[:3], ci=True))
    assert FIT.t_test("x").loc["x = 0", "estimate"] == FIT.params["x"]
    assert FIT.resid_dev.equals(FIT.resid_deviance)
    table = FIT.pred_table()
    assert table.tolist() == pd.crosstab(DATA.y, FIT.predict() > 0.5).to_numpy().tolist()
    assert FIT.pred_table(0.3)[:, 1].sum() == (FIT.predict() > 0.3).sum()
    assert FIT.model.fit(DATA, cov_type="HC1").bse.equals(FIT.with_cov("HC1").bse)
    assert FIT.model.fit(DATA, cov_type="nonrobust").bse.equals(FIT.bse)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: de.Logit("y ~ x", DATA), ".fit("),
        (lambda: FIT.model.fit(DATA, cov_type="cluster", cov_kwds={"groups": DATA.firm}), "de.Cluster("),
        (lambda: FIT.model.fit(DATA, cov_kwds={"groups": DATA.firm}), "de.Cluster("),
        (lambda: FIT.model.fit(DATA, cov_type="HAC", cov_kwds={"maxlags": 2}), "de.HAC("),
        (lambda: FIT.model.fit(DATA, cov="HC1", cov_type="HC1"), "not both"),
        (lambda: FIT.model.fit(DATA, cov_type="HC9"), "HC3"),
        (lambda: de.Logit("y ~ x", weights=DATA.w, weight_type="frequency"), "assign"),
        (lambda: de.Logit("y ~ x", offset=DATA.off.to_numpy()), "assign"),
        (lambda: de.Logit("y ~ x", weights="w"), "frequency"),
        (lambda: de.Logit("y ~ x", weight_type="sampling"), "weights"),
        (lambda: de.Logit("y ~ x", weights="w", weight_type="analytic"), "frequency"),
        (lambda: de.Logit("y ~ x", separation="ignore"), "warn"),
        (lambda: FIT.model.fit(DATA, maxiter=0), "maxiter"),
        (lambda: FIT.model.fit(DATA, maxiter=True), "maxiter"),
    ],
)
def test_errors_show_the_line_to_write(call: Any, line: str) -> None:
    with pytest.raises(OptionError, match=re.escape(line)):
        call()


def test_agrees_with_statsmodels() -> None:
    smf = pytest.importorskip("statsmodels.formula.api")
    peer = smf.logit("y ~ x + z + g", DATA).fit(disp=0, tol=1e-14)
    names = list(FIT.params.index)
    for ours, theirs in {
        "params": peer.params[names],
        "bse": peer.bse[names],
        "pvalues": peer.pvalues[names],
        "conf_int": peer.conf_int().loc[names],
        "resid_response": peer.resid_response,
        "resid_pearson": peer.resid_pearson,
        "resid_dev": peer.resid_dev,
        "pred_table": peer.pred_table(),
    }.items():
        value = getattr(FIT, ours)
        assert np.allclose(value() if callable(value) else value, theirs, rtol=1e-7, atol=1e-9), ours
    for name in (
        "llf",
        "llnull",
        "llr",
        "llr_pvalue",
        "prsquared",
        "aic",
        "bic",
        "df_model",
        "df_resid",
        "nobs",
    ):
        assert getattr(FIT, name) == pytest.approx(float(getattr(peer, name)), rel=1e-9), name


# ---- printing ----------------------------------------------------------------------------------------------

ODD = DATA.assign(level=DATA.g.map({"low": "10% & less", "mid": "a_b", "high": "x < {y} #1 $"})).rename(
    columns={"x": "wage_rate"}
)
SUMMARIES: dict[str, Any] = {
    "plain": lambda: FIT,
    "odd levels": lambda: de.Logit("y ~ wage_rate + level").fit(ODD, cov="HC1"),
    "clustered, t": lambda: de.Logit(FORMULA).fit(DATA, cov=de.Cluster("firm"), use_t=True),
    "sampling": lambda: de.Logit(FORMULA, **OPTIONS["sampling and offset"]).fit(DATA),
    "frequency": lambda: de.Logit(FORMULA, **OPTIONS["frequency"]).fit(DATA),
    "separated": lambda: silently(de.Logit("y ~ x + z + d"), QUASI),
    "extreme scales": lambda: de.Logit("y ~ a + b").fit(DATA.assign(a=1e9 * DATA.x, b=1e-9 * DATA.z)),
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_summary(case: str) -> None:
    res = SUMMARIES[case]()
    text, html, latex = str(res.summary()), res.summary().as_html(), res.summary().as_latex()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].strip() == "Logit Regression Results"
    assert "Success is y = 1" in text
    assert res.covariance.label in text
    for name in res.params.index:
        assert any(line.startswith(name) for line in lines), name
    assert res._repr_html_() == html
    assert html.count("<table") == html.count("</table") >= 2
    assert "10% & less" not in html
    # LaTeX: braces and environments balance, and no special character is bare
    bare = re.sub(r"\\[\\&%$#_{}^]", "", latex)
    depth = np.cumsum([(c == "{") - (c == "}") for c in bare])
    assert depth[-1] == 0
    assert depth.min() >= 0
    opened, closed = (sorted(re.findall(rf"\\{word}{{(\w+)}}", latex)) for word in ("begin", "end"))
    assert opened == closed
    assert "tabular" in opened
    body = re.sub(r"\\begin\{tabular\}\{[^}]*\}|\\(begin|end)\{\w+\}", "", latex)
    assert not re.search(r"(?<!\\)[_#%^]", re.sub(r"\$[^$]*\$|\\\^\{\}", "", body))
    assert (re.sub(r"\\.", "", body).count("$")) % 2 == 0


def test_summary_says_what_a_reader_would_ask() -> None:
    expected = {
        "plain": ["400 (0 dropped)", "nonrobust = inverse observed information", "maximum likelihood"],
        "clustered, t": ["G/(G-1)", "clustered by firm (50)", " t "],
        "sampling": ["pseudo", "withheld", "Offset: off", "Weights: pw"],
        "frequency": ["counts of identical rows", f"{DATA.w.sum()} (400 weighted rows"],
        "separated": ["inf", "none", "no: separation"],
    }
    for case, pieces in expected.items():
        text = " ".join(str(SUMMARIES[case]().summary()).split())
        for piece in pieces:
            assert " ".join(piece.split()) in text, (case, piece)


def test_repr_is_short() -> None:
    assert repr(FIT).startswith("<Logit results: y ~ x + z + g")
    assert "\n" not in repr(FIT)


# ---- values ------------------------------------------------------------------------------------------------


def test_specification_is_a_value() -> None:
    a, b = de.Logit("y ~ x", offset="off"), de.Logit("y ~ x", offset="off")
    assert a == b
    assert hash(a) == hash(b)
    assert a != de.Logit("y ~ x")
    assert len({a, b, de.Logit("y ~ x")}) == 2
    assert eval(repr(a), {"Logit": de.Logit}) == a
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.formula = "y ~ z"  # type: ignore[misc]


def test_results_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIT.use_t = True
    before = FIT.params.copy()
    for mine in (FIT.params, FIT.bse, FIT.predict(), FIT.fittedvalues):
        mine.iloc[0] = 99.0
    for mine in (FIT.cov_params(), FIT.conf_int(), FIT.estimates.table()):
        mine.iloc[0, 0] = 99.0
    assert FIT.params.equals(before)
    assert FIT.bse.iloc[0] != 99.0
    assert FIT.cov_params().iloc[0, 0] != 99.0
    assert FIT.fittedvalues.iloc[0] != 99.0


def test_nothing_is_mutated() -> None:
    data = DATA.copy()
    options = OPTIONS["sampling and offset"].copy()
    res = de.Logit(FORMULA, **options).fit(data, cov=de.Cluster("firm"))
    res.predict(data, ci=True)
    res.with_cov("HC3")
    res.test("x = 0")
    pd.testing.assert_frame_equal(data, DATA)
    columns = {name: DATA[name].to_numpy().copy() for name in ("y", "x", "z", "g")}
    for array in columns.values():
        array.flags.writeable = False
    assert np.allclose(de.Logit(FORMULA).fit(columns).params, FIT.params, rtol=SAME)


def test_same_bits_again_and_from_threads() -> None:
    def fit(_: int) -> bytes:
        res = de.Logit(FORMULA, **OPTIONS["sampling and offset"]).fit(DATA, cov=de.Cluster("firm"))
        return (
            res.params.to_numpy().tobytes()
            + res.cov_params().to_numpy().tobytes()
            + np.float64(res.llf).tobytes()
        )

    with ThreadPoolExecutor(8) as pool:
        bits = set(pool.map(fit, range(24)))
    assert bits == {fit(0)}


def test_same_bits_from_threads_on_many_rows() -> None:
    rng = np.random.default_rng(53)
    data = {"x": rng.normal(size=50_000), "z": rng.normal(size=50_000)}
    data["y"] = (rng.random(50_000) < special.expit(data["x"])).astype(int)

    def fit(_: int) -> bytes:
        return de.Logit("y ~ x + z").fit(data).params.to_numpy().tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fit, range(8))) == {fit(0)}
