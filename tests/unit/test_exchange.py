"""Results in the words of other packages, on the packages themselves where they are installed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.iolib.summary2 import summary_col

import disteconometrics as de
from disteconometrics.errors import OptionError

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
    expected = [peer.null_deviance, 31, peer.llf, peer.aic, peer.llf * -2 + 3 * np.log(32), peer.deviance, peer.df_resid, 32]
    assert list(glance) == ["null_deviance", "df_null", "log_lik", "aic", "bic", "deviance", "df_residual", "nobs"]
    np.testing.assert_allclose(glance.iloc[0], expected, rtol=1e-9)


def test_augment(res: Any, peer: Any, spector: pd.DataFrame) -> None:
    rows = res.augment()
    assert list(rows) == ["GRADE", "GPA", "PSI", "fitted", "resid", "std_resid", "hat", "cooksd"]
    influence = peer.get_influence()
    np.testing.assert_allclose(rows["fitted"], peer.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose(rows["resid"], peer.resid_deviance, rtol=1e-7)
    np.testing.assert_allclose(rows["hat"], influence.hat_matrix_diag, rtol=1e-7)
    np.testing.assert_allclose(rows["cooksd"], influence.cooks_distance[0], rtol=1e-7)
    np.testing.assert_allclose(rows["std_resid"], peer.resid_deviance / np.sqrt(1 - influence.hat_matrix_diag), rtol=1e-7)
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
