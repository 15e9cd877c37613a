"""`NormalRegression` against statsmodels' least squares, its own law, and what it refuses."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import disteconometrics as de
from disteconometrics import datasets
from disteconometrics.archive import read_archive, write_archive
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DisteconometricsError,
    FileFormatError,
    NeedsData,
    OptionError,
    OutcomeError,
)
from disteconometrics.inference.influence import estimation_rows

RNG = np.random.default_rng(3)
N = 240
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.uniform(1, 5, N), "g": RNG.choice(list("abc"), N)})
TABLE["firm"] = RNG.integers(0, 45, N)
TABLE["w"] = RNG.integers(1, 4, N)
TABLE["s"] = RNG.uniform(0.5, 4, N)
TABLE["o"] = RNG.normal(size=N)
TABLE["y"] = (
    1 + TABLE.x - 0.5 * np.log(TABLE.z) + (TABLE.g == "b") + np.exp(0.3 * TABLE.x) * RNG.normal(size=N)
)
FORMULAS = ("y ~ x + np.log(z) + C(g)", "y ~ x*z + I(x**2) - 1", "np.exp(y / 4) ~ x", "y ~ 1")
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


@pytest.mark.parametrize("formula", FORMULAS)
def test_least_squares_as_statsmodels_has_it(formula: str) -> None:
    ours, theirs = de.NormalRegression(formula).fit(TABLE), smf.ols(formula, TABLE).fit()
    for name in ("params", "bse", "tvalues", "pvalues"):
        np.testing.assert_allclose(
            getattr(ours, name).sort_index(), getattr(theirs, name).sort_index(), rtol=1e-9, atol=1e-13
        )
    np.testing.assert_allclose(ours.conf_int().sort_index(), theirs.conf_int().sort_index(), **CLOSE)
    for name in ("llf", "aic", "bic", "rsquared", "rsquared_adj", "scale", "nobs", "df_resid", "df_model"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-11, abs=1e-12), name
    np.testing.assert_allclose(ours.fittedvalues, theirs.fittedvalues, **CLOSE)
    np.testing.assert_allclose(ours.resid, theirs.resid, rtol=1e-9, atol=1e-12)
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        np.testing.assert_allclose(
            ours.with_cov(kind).bse.sort_index(),
            smf.ols(formula, TABLE).fit(cov_type=kind).bse.sort_index(),
            **CLOSE,
        )
    groups = {"groups": TABLE.firm, "use_correction": True}
    clustered = smf.ols(formula, TABLE).fit(cov_type="cluster", cov_kwds=groups)
    cr1 = ours.with_cov(de.Cluster("firm", correction="cr1"))
    np.testing.assert_allclose(cr1.bse.sort_index(), clustered.bse.sort_index(), **CLOSE)
    assert cr1.covariance.degrees_of_freedom == TABLE.firm.nunique() - 1


def test_robust_tests_take_t_unless_told() -> None:
    theirs = smf.ols("y ~ x", TABLE).fit(cov_type="HC1")  # the normal
    ours = de.NormalRegression("y ~ x").fit(TABLE, cov="HC1", use_t=False)
    np.testing.assert_allclose(ours.pvalues, theirs.pvalues, rtol=1e-8)
    assert (ours.with_cov("HC1", use_t=True).pvalues > ours.pvalues).all()
    with_kwds = de.NormalRegression("y ~ x").fit(TABLE, cov_type="HC1", use_t=False)
    assert with_kwds.bse.equals(ours.bse)


def test_hac_as_statsmodels_has_it() -> None:
    table = TABLE.assign(t=np.arange(N))
    ours = de.NormalRegression("y ~ x").fit(table, cov=de.HAC("t", lags=3))
    theirs = smf.ols("y ~ x", table).fit(cov_type="HAC", cov_kwds={"maxlags": 3})
    np.testing.assert_allclose(ours.bse, theirs.bse, **CLOSE)
    with pytest.raises(DataError, match="repeats"):
        ours.with_cov(de.HAC("firm"))


def test_sampling_weights_are_wls_with_robust_errors() -> None:
    ours = de.NormalRegression("y ~ x + z", weights="s", weight_type="sampling").fit(TABLE)
    theirs = smf.wls("y ~ x + z", TABLE, weights=TABLE.s).fit(cov_type="HC1")
    np.testing.assert_allclose(ours.params, theirs.params, **CLOSE)
    np.testing.assert_allclose(ours.bse, theirs.bse, **CLOSE)
    rescaled = de.NormalRegression("y ~ x + z", weights="s", weight_type="sampling").fit(
        TABLE.assign(s=TABLE.s * 1000)
    )
    np.testing.assert_allclose(rescaled.bse, ours.bse, rtol=1e-12)
    assert rescaled.sigma == pytest.approx(ours.sigma, rel=1e-12)
    assert np.isnan(ours.aic)
    assert "inverse selection" in str(ours.summary())
    with pytest.raises(OptionError, match="sampling"):
        ours.with_cov("nonrobust")


@pytest.mark.parametrize(
    "cov",
    [
        "nonrobust",
        "HC0",
        "HC1",
        "HC2",
        "HC3",
        "opg",
        de.Cluster("firm"),
        de.Cluster("firm", correction="jackknife"),
    ],
)
def test_frequency_weights_are_replication(cov: Any) -> None:
    ours = de.NormalRegression("y ~ x + C(g)", weights="w", weight_type="frequency").fit(TABLE, cov=cov)
    long = de.NormalRegression("y ~ x + C(g)").fit(
        TABLE.loc[TABLE.index.repeat(TABLE.w)].reset_index(drop=True), cov=cov
    )
    np.testing.assert_allclose(ours.params, long.params, rtol=1e-12)
    np.testing.assert_allclose(ours.bse, long.bse, rtol=1e-10)
    np.testing.assert_allclose(ours.sigma_estimates.table(), long.sigma_estimates.table(), rtol=1e-9)
    assert (ours.llf, ours.nobs, ours.rsquared) == pytest.approx(
        (long.llf, long.nobs, long.rsquared), rel=1e-12
    )


def test_offset() -> None:
    ours = de.NormalRegression("y ~ x", offset="o").fit(TABLE)
    moved = de.NormalRegression("d ~ x").fit(TABLE.assign(d=TABLE.y - TABLE.o))
    np.testing.assert_allclose(ours.params, moved.params, rtol=1e-13)
    np.testing.assert_allclose(ours.fittedvalues - TABLE.o, moved.fittedvalues, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        ours.predict({"x": [1.0], "o": [7.0]}) - 7, moved.predict({"x": [1.0]}), rtol=1e-12
    )


def test_sigma_has_the_errors_of_maximum_likelihood() -> None:
    """Against numerical second derivatives of the log-likelihood in σ, and a sandwich by hand."""
    res = de.NormalRegression("y ~ x").fit(TABLE)
    e, s, n = res.resid.to_numpy(), res.sigma, N
    assert res.llf == pytest.approx(float(res.distribution().logpdf(TABLE.y.to_numpy()).sum()), rel=1e-13)

    def loglik(sigma: float) -> float:
        return float(de.Normal(0.0, sigma).logpdf(e).sum())

    h = 1e-4 * s
    curvature = -(loglik(s + h) - 2 * loglik(s) + loglik(s - h)) / h**2
    assert res.sigma_estimates.std_error[0] == pytest.approx(curvature**-0.5, rel=1e-5)
    score = (e**2 / s**2 - 1) / s
    robust = np.sqrt((score**2).sum()) * s**2 / (2 * n)
    assert res.with_cov("HC0").sigma_estimates.std_error[0] == pytest.approx(robust, rel=1e-12)
    assert res.sigma_estimates.values[1] == pytest.approx(np.log(s))
    assert res.sigma_estimates.std_error[1] == pytest.approx(res.sigma_estimates.std_error[0] / s)


def test_predictions_and_laws() -> None:
    res, theirs = de.NormalRegression("y ~ x + C(g)").fit(TABLE), smf.ols("y ~ x + C(g)", TABLE).fit()
    new = pd.DataFrame({"x": [0.0, 2.0, np.nan], "g": ["a", "c", "a"]}, index=["p", "q", "r"])
    frame = res.predict(new, ci=True, level=0.9)
    expected = theirs.get_prediction(new.iloc[:2]).summary_frame(alpha=0.1)
    np.testing.assert_allclose(
        frame.iloc[:2], expected[["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]], rtol=1e-9
    )
    assert frame.loc["r"].isna().all()
    law = res.distribution(new)
    assert law.outcome == "y"
    assert np.isnan(law.mean()[2])
    assert law.std()[:2] == pytest.approx(res.sigma)
    wage = de.NormalRegression("log(z) ~ x").fit(TABLE).distribution().on("z")
    assert wage.functional("gini") == pytest.approx(
        2 * de.Normal().cdf(np.sqrt(wage.functional("var_log") / 2)) - 1, rel=1e-9
    )


def test_longley_to_the_last_digits() -> None:
    """Certified values of the NIST (Statistical Reference Datasets, Longley)."""
    longley = sm.datasets.longley.load_pandas()
    table = longley.exog.assign(TOTEMP=longley.endog)
    res = de.NormalRegression("TOTEMP ~ GNPDEFL + GNP + UNEMP + ARMED + POP + YEAR").fit(table)
    certified = {
        "Intercept": (-3482258.63459582, 890420.383607373),
        "GNPDEFL": (15.0618722713733, 84.9149257747669),
        "GNP": (-0.358191792925910e-01, 0.334910077722432e-01),
        "UNEMP": (-2.02022980381683, 0.488399681651699),
        "ARMED": (-1.03322686717359, 0.214274163161675),
        "POP": (-0.511041056535807e-01, 0.226073200069370),
        "YEAR": (1829.15146461355, 455.478499142212),
    }
    for term, (b, se) in certified.items():
        assert res.params[term] == pytest.approx(b, rel=1e-11)
        assert res.bse[term] == pytest.approx(se, rel=1e-11)
    assert np.sqrt(res.scale) == pytest.approx(304.854073561965, rel=1e-12)


def test_tests_and_functions_of_coefficients() -> None:
    res, theirs = de.NormalRegression("y ~ x + z").fit(TABLE), smf.ols("y ~ x + z", TABLE).fit()
    assert res.test("x = 2*z, Intercept = 1").p_value == pytest.approx(
        float(theirs.f_test("x = 2*z, Intercept = 1").pvalue), rel=1e-9
    )
    assert res.nlcom("x / z").std_error[0] > 0
    assert res.tidy()["term"].tolist() == ["Intercept", "x", "z"]


def test_summary_says_what_a_reader_would_ask() -> None:
    text = str(
        de.NormalRegression("y ~ x + z")
        .fit(TABLE.assign(x=TABLE.x.where(TABLE.index > 4)), cov="HC3")
        .summary()
    )
    for words in (
        "Normal Regression Results",
        "HC3",
        "R² (adjusted)",
        "Sigma (error)",
        "5 dropped",
        "NaN in x (5)",
        "t with 232",
        "Location moves with x, z; scale and shape with none.",
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) <= 78


def test_save_load_attach(tmp_path: Any) -> None:
    res = de.NormalRegression("y ~ x + C(g)", weights="w", weight_type="frequency").fit(TABLE, cov="HC1")
    path = tmp_path / "fit.npz"
    res.save(path)
    back = de.load(path)
    assert back.params.equals(res.params)
    assert back.bse.equals(res.bse)
    assert str(back.summary()) == str(res.summary())
    assert back.model == res.model
    new = {"x": [0.5], "g": ["b"]}
    assert np.array_equal(back.distribution(new).mean(), res.distribution(new).mean())
    np.testing.assert_array_equal(back.predict(new, ci=True), res.predict(new, ci=True))
    assert back.sigma_estimates.table().equals(res.sigma_estimates.table())
    for ask in (back.predict, lambda: back.with_cov("HC0"), lambda: back.resid):
        with pytest.raises(NeedsData):
            ask()
    assert back.attach(TABLE).with_cov("HC0").bse.equals(res.with_cov("HC0").bse)
    with pytest.raises(DataError, match="others"):
        back.attach(TABLE.assign(y=TABLE.y + TABLE.x))


@pytest.mark.parametrize("change", [{"params": np.ones(1)}, {"inner": np.eye(2)}, {"scale": np.ones(2)}])
def test_damaged_files_are_refused(change: dict[str, Any]) -> None:
    file = io.BytesIO()
    de.NormalRegression("y ~ x + z").fit(TABLE).save(file)
    kind, header, arrays = read_archive(io.BytesIO(file.getvalue()))
    out = io.BytesIO()
    write_archive(out, kind, header, {**arrays, **change})
    with pytest.raises(FileFormatError):
        de.load(io.BytesIO(out.getvalue()))


def _case(
    formula: str = "y ~ x", error: type[DisteconometricsError] = DataError, words: str = "", **columns: Any
) -> Any:
    return pytest.param(formula, columns, error, words, id=f"{formula} {','.join(columns)}")


@pytest.mark.parametrize(
    ("formula", "columns", "error", "words"),
    [
        _case("y ~ x + c", CollinearityError, "c", c=2 * TABLE.x),
        _case("y ~ x", OutcomeError, "no variation", y=1.0),
        _case("y ~ x", OutcomeError, "perfectly", y=3 * TABLE.x + 1),
        _case("g ~ x", OutcomeError, "numbers"),
        _case("y ~ x", DataError, "x", x=TABLE.x.where(TABLE.index > 0, np.inf)),
        _case("y ~ x", DataError, "x", x=TABLE.x * 1e200),
        _case("y ~ x", DataError, "y", y=TABLE.y * 1e200),
    ],
)
def test_bad_data(
    formula: str, columns: dict[str, Any], error: type[DisteconometricsError], words: str
) -> None:
    with pytest.raises(error, match=words):
        de.NormalRegression(formula).fit(TABLE.assign(**columns))


def test_too_few_rows_and_bad_arguments() -> None:
    with pytest.raises((CollinearityError, OutcomeError)):
        de.NormalRegression("y ~ x + z").fit(TABLE.head(3))
    with pytest.raises(OptionError, match="fit"):
        de.NormalRegression("y ~ x", TABLE)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="weight_type"):
        de.NormalRegression("y ~ x", weights="w")
    with pytest.raises(OptionError, match="name of a column"):
        de.NormalRegression("y ~ x", weights=TABLE.w, weight_type="frequency")  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        de.NormalRegression("y ~ x").fit(TABLE, cov="HC9")


def test_units_do_not_matter() -> None:
    """Outcomes in other units, columns 1e12 apart in size: the same t values."""
    res = de.NormalRegression("y ~ x + z").fit(TABLE)
    other = de.NormalRegression("y ~ x + z").fit(
        TABLE.assign(y=1e8 * TABLE.y, x=1e-6 * TABLE.x, z=1e6 * TABLE.z)
    )
    np.testing.assert_allclose(other.tvalues, res.tvalues, rtol=1e-10)
    shifted = de.NormalRegression("y ~ x").fit(TABLE.assign(y=TABLE.y + 1e9))
    assert shifted.params["x"] == pytest.approx(de.NormalRegression("y ~ x").fit(TABLE).params["x"], rel=1e-5)


def test_a_value_and_the_shared_tools() -> None:
    spec = de.NormalRegression("foodexp ~ income")
    assert spec == de.NormalRegression("foodexp ~ income")
    assert hash(spec) == hash(de.NormalRegression("foodexp ~ income"))
    engel = datasets.engel()
    boot = de.bootstrap(spec, engel, reps=60, seed=1)
    assert boot.bse["income"] > 0
    study = de.MonteCarlo(
        de.dgps.LocationScale(), {"ols": (de.NormalRegression("y ~ x"), {"cov": "HC2"})}, grid={"n": [200]}
    )
    table = study.run(reps=200, seed=2).table()
    assert (table["bias"].abs() < 4 * table["bias_mcse"]).all()
    assert table["coverage"].between(0.88, 0.99).all()


def test_a_fit_checks_itself_by_simulation() -> None:
    check = (
        de.NormalRegression("log(foodexp) ~ log(income)").fit(de.datasets.engel()).monte_carlo(200, seed=1)
    )
    table = check.table()
    assert (abs(table["coverage"] - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 200)).all()
    assert "If the fitted model is right" in str(check)


# ---- location and scale together ---------------------------------------------------------------------------

CORRECTIONS = ("groups", "cr1", "none", "jackknife")
JOINT_KINDS: list[Any] = [
    *("HC0", "HC1", "HC2", "HC3"),
    *(de.Cluster("firm", correction=c) for c in CORRECTIONS),
    *(de.Cluster("firm", "year"), de.HAC("t", lags=2)),
]
JOINT_TABLE = TABLE.assign(t=RNG.permutation(N), year=RNG.integers(0, 42, N))


def own_factors(kind: Any, X: np.ndarray) -> tuple[Any, Any]:
    """What rows of β and of σ are multiplied by, as functions of the design."""
    n, k = X.shape
    h = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)[:, None]
    power = {"HC2": 0.5, "HC3": 1.0}.get(str(kind), 0.0)
    if kind == "HC1":
        return np.sqrt(n / (n - k)), np.sqrt(n / (n - 1))
    if getattr(kind, "correction", "") == "cr1":
        return np.sqrt((n - 1) / (n - k)), 1.0
    return (1 - h) ** -power, (1 - 1 / n) ** -power


def own_sandwich(kind: Any, X: np.ndarray, e: np.ndarray, s: float, table: pd.DataFrame) -> np.ndarray:
    """The stacked sandwich of (β, σ) by formulas of matrices."""
    n = len(X)
    bread, factors = np.linalg.inv(X.T @ X), own_factors(kind, X)
    P = np.hstack([(X * e[:, None] @ bread) * factors[0], (e**2 - s**2)[:, None] / (2 * n * s) * factors[1]])
    if isinstance(kind, de.HAC):
        P = P[np.argsort(table.t)]
        lags = [(1 - j / 3) * P[j:].T @ P[:-j] for j in (1, 2)]
        return np.asarray(P.T @ P + sum(L + L.T for L in lags))
    if not isinstance(kind, de.Cluster):
        return np.asarray(P.T @ P)
    V = np.zeros((P.shape[1],) * 2)
    for columns, sign in ((["firm"], 1), (["year"], 1), (["firm", "year"], -1)):
        if set(columns) <= set(kind.columns):
            code = table.groupby(columns).ngroup().to_numpy()
            G = code.max() + 1
            one = (np.arange(G)[:, None] == code).astype(float)
            S, factor = one @ P, {"none": 1.0, "jackknife": (G - 1) / G}.get(kind.correction, G / (G - 1))
            if kind.correction == "jackknife":
                left = [np.linalg.solve(X.T @ X - X[g].T @ X[g], X[g].T @ e[g]) for g in one.astype(bool)]
                S = np.column_stack([left, S[:, -1] / (1 - one.sum(axis=1) / n)])
            V += sign * factor * S.T @ S
    return V


@pytest.mark.parametrize("kind", JOINT_KINDS, ids=str)
def test_coefficients_and_sigma_are_one_stacked_estimate(kind: Any) -> None:
    res = de.NormalRegression("y ~ x + z").fit(JOINT_TABLE, cov=kind)
    X = np.column_stack([np.ones(N), JOINT_TABLE.x, JOINT_TABLE.z])
    own = own_sandwich(kind, X, res.resid.to_numpy(), res.sigma, JOINT_TABLE)
    joint, size = res.joint_covariance.matrix, np.sqrt(np.diag(own))
    np.testing.assert_allclose(joint / np.outer(size, size), own / np.outer(size, size), atol=1e-12)
    np.testing.assert_array_equal(joint[:-1, :-1], res.cov_params())
    assert res.sigma_estimates.covariance[0, 0] == joint[-1, -1]
    g = np.array([[1.0, 0.5, 2.0, 1.2816]])
    Z, inner = res.joint_covariance.coordinates(g)
    np.testing.assert_allclose(Z @ inner @ Z.T, g @ own @ g.T, rtol=1e-11)


def test_sigma_shares_nothing_with_the_coefficients_where_the_law_is_believed() -> None:
    for kind in ("nonrobust", "opg"):
        assert not de.NormalRegression("y ~ x").fit(TABLE, cov=kind).joint_covariance.matrix[:-1, -1].any()


def test_the_joint_covariance_keeps_its_digits_where_columns_are_nearly_collinear() -> None:
    """A quantile at x, in columns x and x + 1e-6 z, whose rounding leaves ten digits, and in x and z."""
    table = TABLE.assign(u=TABLE.x + 1e-6 * TABLE.z)
    near, plain = (de.NormalRegression(f"y ~ x + {v}").fit(table, cov="HC1") for v in ("u", "z"))
    errors = []
    for res, last in ((near, 0.5 + 2e-6), (plain, 2.0)):
        Z, V = res.joint_covariance.coordinates(np.array([[1.0, 0.5, last, 1.2816]]))
        errors.append(float(np.sqrt(Z @ V @ Z.T)[0, 0]))
    assert errors[0] == pytest.approx(errors[1], rel=1e-8)


def test_the_stacked_equation_gives_the_rows_of_both() -> None:
    res = de.NormalRegression("y ~ x", weights="w", weight_type="frequency").fit(TABLE, cov="HC0")
    rows, G = res.rows, RNG.normal(size=(2, 3))
    assert rows is not None
    assert rows.stacked.names == ("Intercept", "x", "sigma")
    np.testing.assert_array_equal(rows.stacked.params, [*res.params, res.sigma])
    stacked, both = (estimation_rows(e, G, "HC0", rows.sampling) for e in (rows.stacked, rows.equations))
    np.testing.assert_allclose(stacked, both, rtol=1e-10, atol=1e-14)
    V = (both.T * TABLE.w.to_numpy()) @ both
    np.testing.assert_allclose(V, G @ res.joint_covariance.matrix @ G.T, rtol=1e-10)


def test_a_quantile_has_the_error_of_repeated_samples_where_errors_are_skewed() -> None:
    """Exponential errors, n = 400, the .9 quantile of the fitted law at x = 0.

    The mean error over the spread of 400 estimates is .980 ± .034 over ten seeds, hence the bar of
    four; without what β and σ share it is .770 ± .026.
    """
    rng = np.random.default_rng(8)
    g, found = np.array([[1.0, 0.0, 1.2815515655446004]]), []
    for _ in range(400):
        x = rng.normal(size=400)
        table = {"x": x, "y": 1 + x + rng.exponential(size=400)}
        res = de.NormalRegression("y ~ x").fit(table, cov="HC1")
        value = g[0] @ [*res.coefficients, res.sigma]
        found.append((value, np.sqrt(g @ res.joint_covariance.matrix @ g.T)[0, 0]))
    values, errors = np.array(found).T
    assert 0.844 < errors.mean() / values.std(ddof=1) < 1.116


def test_files_without_what_sigma_shares_get_it_with_their_rows(tmp_path: Any) -> None:
    for kind in ("HC1", "nonrobust", de.Cluster("firm")):
        res = de.NormalRegression("y ~ x").fit(TABLE, cov=kind)
        res.save(tmp_path / "new.npz")
        loaded = de.load(tmp_path / "new.npz")
        np.testing.assert_allclose(loaded.joint_covariance.matrix, res.joint_covariance.matrix, rtol=1e-13)
        name, header, arrays = read_archive(tmp_path / "new.npz")
        del arrays["shared"]
        write_archive(tmp_path / "old.npz", name, header, arrays)
        old = de.load(tmp_path / "old.npz")
        shared = old.joint_covariance.matrix[:-1, -1]
        assert not shared.any() if kind == "nonrobust" else np.isnan(shared).all()
        assert old.sigma_estimates.table().equals(res.sigma_estimates.table())
        again = old.attach(TABLE)
        if isinstance(kind, de.Cluster):  # a file does not know the column
            assert np.isnan(again.joint_covariance.matrix).any()
            again = again.with_cov(kind)
        np.testing.assert_allclose(again.joint_covariance.matrix, res.joint_covariance.matrix, rtol=1e-12)


@pytest.mark.parametrize(
    ("model", "data", "mean"),
    [
        (de.NormalRegression("foodexp ~ 1"), de.datasets.engel(), "foodexp"),
        (
            de.NormalRegression("foodexp ~ 1", offset="o"),
            de.datasets.engel().assign(o=lambda d: np.arange(len(d)) % 2 * 5.0),
            "foodexp",
        ),
        (de.NormalRegression("bottomcoded(foodexp, at=1) ~ 1"), de.datasets.engel(), "foodexp"),
        (de.Logit("GRADE ~ 1"), de.datasets.spector(), "GRADE"),
    ],
    ids=["normal", "offset", "recorded", "logit"],
)
def test_functionals_without_covariates(model: Any, data: pd.DataFrame, mean: str) -> None:
    """The mean is that of the rows, with the error of a mean."""
    found, y = model.fit(data).functionals("mean"), data[mean]
    assert found.values[0] == pytest.approx(y.mean(), rel=1e-9)
    assert found.std_error[0] == pytest.approx(y.std() / np.sqrt(len(y)), rel=0.03)


def test_nothing_moves_the_interquartile_range_of_one_spread() -> None:
    res = de.NormalRegression("foodexp ~ income").fit(datasets.engel())
    found = res.effects(names=["iqr", "q[0.9]"]).estimates
    np.testing.assert_allclose(found.values, [0.0, res.params["income"]], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.std_error, [0.0, res.bse["income"]], rtol=1e-6, atol=1e-12)
