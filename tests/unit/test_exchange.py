"""Results in the words of other packages, on the packages themselves where they are installed."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.iolib.summary2 import summary_col

import disteconometrics as de
from disteconometrics.errors import MissingValuesWarning, OptionError, SeparationWarning, WithheldError

FORMULA = "GRADE ~ GPA + C(PSI)"


@pytest.fixture(scope="module")
def spector() -> pd.DataFrame:
    return de.datasets.spector()


@pytest.fixture(scope="module")
def res(spector: pd.DataFrame) -> Any:
    return de.Logit(FORMULA).fit(spector, cov="HC1")


@pytest.fixture(scope="module")
def peer(spector: pd.DataFrame) -> Any:
    return sm.GLM.from_formula("GRADE ~ GPA + PSI", spector, family=sm.families.Binomial()).fit(tol=1e-14)


def test_tidy_and_glance_are_brooms(res: Any, peer: Any) -> None:
    tidy = res.tidy(level=0.9)
    assert list(tidy) == ["term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert tidy["term"].tolist() == list(res.params.index)
    np.testing.assert_array_equal(tidy[["conf_low", "conf_high"]], res.conf_int(level=0.9))
    glance = res.glance()
    expected = [
        peer.null_deviance,
        31,
        peer.llf,
        peer.aic,
        peer.llf * -2 + 3 * np.log(32),
        peer.deviance,
        peer.df_resid,
        32,
    ]
    assert list(glance) == [
        "null_deviance",
        "df_null",
        "log_lik",
        "aic",
        "bic",
        "deviance",
        "df_residual",
        "nobs",
    ]
    np.testing.assert_allclose(glance.iloc[0], expected, rtol=1e-9)


def test_augment(res: Any, peer: Any, spector: pd.DataFrame) -> None:
    rows = res.augment()
    assert list(rows) == ["GRADE", "GPA", "PSI", "fitted", "resid", "std_resid", "hat", "cooksd"]
    influence = peer.get_influence()
    np.testing.assert_allclose(rows["fitted"], peer.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose(rows["resid"], peer.resid_deviance, rtol=1e-7)
    np.testing.assert_allclose(rows["hat"], influence.hat_matrix_diag, rtol=1e-7)
    np.testing.assert_allclose(rows["cooksd"], influence.cooks_distance[0], rtol=1e-7)
    np.testing.assert_allclose(
        rows["std_resid"], peer.resid_deviance / np.sqrt(1 - influence.hat_matrix_diag), rtol=1e-7
    )
    new = spector.iloc[:3].assign(PSI=[0, 1, np.nan])
    added = res.augment(new)
    assert list(added) == [*new, "fitted", "se_fit"]
    assert added["fitted"].isna().tolist() == [False, False, True]
    with pytest.raises(OptionError, match="'fitted'"):
        res.augment(new.assign(fitted=1))


def test_summary_col_of_statsmodels(res: Any, peer: Any) -> None:
    probit = de.Probit("GRADE ~ GPA").fit(de.datasets.spector())
    table = summary_col([res, peer, probit], model_names=["ours", "theirs", "probit"], stars=True).tables[0]
    assert f"({res.bse['GPA']:.4f})" in table["ours"].tolist()
    assert table.loc["GPA", "ours"].startswith(f"{res.params['GPA']:.4f}*")
    assert table.loc["GPA", "probit"].startswith(f"{probit.params['GPA']:.4f}")
    assert res.model.endog_names == "GRADE"
    assert res.model == de.Logit(FORMULA)  # the names are no part of the specification
    assert hash(res.model) == hash(de.Logit(FORMULA))
    file = io.BytesIO()
    res.save(file)
    again = de.load(io.BytesIO(file.getvalue()))
    assert again.model.exog_names == list(res.params.index)


def test_etable_of_maketables(res: Any, spector: pd.DataFrame) -> None:
    maketables = pytest.importorskip("maketables", reason="maketables is not installed")
    probit = de.Probit("GRADE ~ GPA + C(PSI)").fit(spector)
    text = maketables.ETable([res, probit], coef_fmt="b:.4f (se:.4f)").df.to_string()
    for value in (res.params["GPA"], res.bse["GPA"], probit.params["GPA"]):
        assert f"{value:.4f}" in text
    for words in ("GRADE", "Observations", "Pseudo R²", "32"):
        assert words in text


@pytest.fixture(scope="module")
def me() -> Any:
    """The package with all it imports: something there draws from numpy's global state once."""
    package = pytest.importorskip("marginaleffects", reason="marginaleffects is not installed")
    package.avg_slopes  # noqa: B018 (imports it)
    return package


TOLERANCE = {
    "estimate": 1e-8,
    "std_error": 1e-4,
}  # the package's differences: central of step 1e-4 in x, one-sided of 1e-6 in β


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (de.Logit, {}),
        (de.Logit, {"weights": "w", "weight_type": "sampling", "offset": "o"}),
        (de.Probit, {}),
        (de.Logit, {"penalty": "firth"}),
    ],
)
@pytest.mark.parametrize("text", [True, False])
def test_marginaleffects(me: Any, model: Any, options: dict[str, Any], text: bool) -> None:
    polars = pytest.importorskip("polars")
    if text and int(polars.__version__.split(".")[0]) >= 2:
        pytest.skip("marginaleffects 0.6 calls get_categories for text levels, which polars 2 removed")
    data = de.datasets.fair().iloc[::7]
    data = data.assign(
        kids=data.children > 0, faith=data.religious.astype(int), late=(data.age > 30).astype(int)
    )
    data = data.assign(w=1 + data.educ % 2)
    data = data.assign(o=data.age / 50, school=np.where(data.educ > 14, "long", "a short one"))
    formula = (
        "affair ~ age + yrs_married + I(yrs_married**2) + kids + C(faith, Treatment(reference=1)) + "
        "late + age:kids"
    )
    if text:
        formula += " + C(school, Treatment(reference='long'))"
    res = model(formula, **options).fit(data)
    fit = res.to_marginaleffects()
    own = res.margins().estimates.table()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*get_categories.*", DeprecationWarning)
        slopes = me.avg_slopes(fit, wts=options.get("weights"), eps_vcov=1e-6)
        predicted = me.predictions(fit)
        kind = "nonrobust" if "penalty" in options else "HC1"
        other = me.predictions(fit, newdata=data.iloc[:9].assign(rate_marriage=np.nan), vcov=kind)
    names = [
        t if f"{t}" in own.index else f"{t}: {c}"
        for t, c in zip(slopes["term"], slopes["contrast"], strict=True)
    ]
    assert sorted(names) == sorted(own.index)
    for column, tolerance in TOLERANCE.items():
        np.testing.assert_allclose(slopes[column].to_numpy(), own.loc[names, column], rtol=tolerance)
    expected = res.predict(ci=True)
    np.testing.assert_allclose(predicted["estimate"].to_numpy(), expected["estimate"], rtol=1e-13)
    np.testing.assert_allclose(predicted["std_error"].to_numpy(), expected["std_error"], rtol=1e-5)
    expected = res.with_cov(kind).predict(data.iloc[:9], ci=True)
    np.testing.assert_allclose(other["std_error"].to_numpy(), expected["std_error"], rtol=1e-5)


def test_marginaleffects_refuses_what_it_cannot_do(me: Any, spector: pd.DataFrame) -> None:
    with pytest.warns(MissingValuesWarning):
        lagged = de.Logit("GRADE ~ GPA + lag(PSI)").fit(spector)
    with pytest.raises(WithheldError, match="lag"):
        lagged.to_marginaleffects()
    x = np.arange(8.0)
    with pytest.warns(SeparationWarning):
        separated = de.Logit("y ~ x").fit({"x": x, "y": x > 3})
    with pytest.raises(WithheldError, match="separated"):
        separated.to_marginaleffects()


@pytest.mark.parametrize(
    "fit",
    [
        lambda d: de.NormalRegression("foodexp ~ income").fit(d),
        lambda d: de.FlowDensity("foodexp ~ income").fit(d),
        lambda d: de.FlowDensity("foodexp ~ 1", flow=de.RQS(4), train=de.Adam(steps=5)).fit(d, seed=0),
        lambda d: de.FlowDensity("income + foodexp ~ 1").fit(d),
        lambda d: de.TransportDensity("foodexp ~ 1").fit(d),
        lambda d: de.WassersteinDistance("foodexp ~ rich", p=1, permutations=0).fit(d),
        lambda d: de.TransportMap("foodexp ~ rich").fit(d),
        lambda d: de.MinimumWasserstein(
            "foodexp ~ 1", lambda t, x, z: t[0] + t[1] * z, start=[600.0, 200.0]
        ).fit(d, seed=1),
        lambda d: de.Logit("rich ~ foodexp").fit(d).margins(),
    ],
)
def test_every_kind_of_result_goes_into_the_tables_of_others(fit: Any, tmp_path: Any) -> None:
    """statsmodels' summary_col, maketables' ETable, compare and tidy, before and after a file."""
    maketables = pytest.importorskip("maketables", reason="maketables is not installed")
    engel = de.datasets.engel().assign(rich=lambda d: (d["income"] > 900).astype(int))
    res = fit(engel)
    name = res.params.index[0]
    shown = summary_col([res], model_names=["ours"], float_format="%.6g").tables[0]
    assert shown.loc[name, "ours"].startswith(f"{res.params.iloc[0]:.6g}")
    assert res.model.exog_names == list(res.params.index)
    assert maketables.ETable([res]).make(type="tex")
    assert str(de.compare([res]))
    assert res.tidy()["term"].tolist() == list(res.params.index)
    if (
        hasattr(res, "save") and not hasattr(res, "products") and not hasattr(res.model, "simulator")
    ):  # which have no file
        res.save(tmp_path / "res.npz")
        assert de.load(tmp_path / "res.npz").model.exog_names == list(res.params.index)
