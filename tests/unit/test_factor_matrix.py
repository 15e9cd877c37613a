"""A factor kept as codes against the same columns written out: the algebra, and whole fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
import disteconometrics.data.terms as terms
from disteconometrics.blocks import Block, FactorMatrix, densified
from disteconometrics.errors import CollinearityError, SeparationError, SeparationWarning

SAME = 1e-11  # two orders of summation of a few hundred rows
N, LEVELS = 600, 12


def table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = rng.integers(0, LEVELS, N)
    d = pd.DataFrame(
        {
            "a": rng.normal(size=N),
            "b": rng.normal(size=N),
            "o": rng.normal(size=N),
            "w": rng.integers(1, 4, N),
        }
    )
    d["g"] = np.array([f"level {i:02d}" for i in range(LEVELS)])[g]
    d["city"] = rng.integers(0, 60, N)
    d["y"] = (0.7 * d.a + 0.3 * (g % 3) - 0.4 + rng.logistic(size=N) > 0).astype(int)
    return d


@pytest.mark.parametrize("at", [0, 2, 3])
@pytest.mark.parametrize("coding", ["full", "reduced", "general"])
def test_algebra_is_that_of_the_columns(at: int, coding: str) -> None:
    rng = np.random.default_rng(1)
    matrix = {"full": np.eye(5), "reduced": np.eye(5)[:, 1:], "general": rng.normal(size=(5, 3))}[coding]
    X = FactorMatrix(np.asfortranarray(rng.normal(size=(40, 3))), rng.integers(0, 5, 40), matrix, at)
    D = X.dense()
    assert D.shape == X.shape
    assert np.array_equal(np.delete(D, slice(at, at + matrix.shape[1]), axis=1), X.other)
    beta, r, w = rng.normal(size=X.shape[1]), rng.normal(size=40), rng.uniform(0.1, 1, 40)
    many = rng.normal(size=(X.shape[1], 2))
    for got, want in (
        (X @ beta, D @ beta),
        (X @ many, D @ many),
        (r @ X, r @ D),
        (X.gram(w), (D.T * w) @ D),
        (X[5:20].dense(), D[5:20]),
    ):
        assert np.allclose(got, want, rtol=0, atol=1e-13)
    parts = densified([Block(r, X)])  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate([p.X for p in parts]), D)


FITS = {
    "with intercept": ("y ~ a + b + C(g)", {}),
    "all levels": ("y ~ 0 + C(g) + a", {}),
    "factor first": ("y ~ g + a:b", {}),
    "sum contrasts": ("y ~ a + C(g, contr.sum)", {}),
    "frequency, offset": ("y ~ a + g", {"weights": "w", "weight_type": "frequency", "offset": "o"}),
    "sampling": ("y ~ a + g", {"weights": "w", "weight_type": "sampling"}),
}


@pytest.mark.parametrize("case", FITS)
@pytest.mark.parametrize("path", ["whitened", "plain"])
def test_fits_are_those_of_the_columns(case: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, options = FITS[case]
    data = table()
    if path == "plain":
        monkeypatch.setattr("disteconometrics.optim.newton.SMALL", 0)
        monkeypatch.setattr("disteconometrics.optim.newton.LARGE", 0)
    dense = de.Logit(formula, **options).fit(data, cov="HC1")
    monkeypatch.setattr(terms, "FACTOR_ROWS", 0)
    coded = de.Logit(formula, **options).fit(data, cov="HC1")
    assert coded.rows is not None
    assert isinstance(coded.rows.design.matrix, FactorMatrix)
    assert coded.spec.names == dense.spec.names
    assert np.allclose(coded.params, dense.params, rtol=SAME, atol=SAME)
    for kind in ("HC0", "HC3", de.Cluster("city")):
        assert np.allclose(coded.with_cov(kind).bse, dense.with_cov(kind).bse, rtol=SAME)
    for name in ("llf", "llnull", "llr_pvalue", "df_model"):
        assert getattr(coded, name) == pytest.approx(getattr(dense, name), rel=SAME, nan_ok=True)
    for name in ("fittedvalues", "resid_pearson", "resid_deviance", "leverage"):
        assert np.allclose(getattr(coded, name), getattr(dense, name), rtol=1e-9, atol=1e-10)
    assert np.allclose(coded.predict(ci=True), dense.predict(ci=True), rtol=1e-9, atol=1e-10)
    assert np.allclose(coded.predict(data.head()), dense.predict(data.head()), rtol=SAME)
    if options.get("weight_type") != "sampling":
        a, b = (res.with_cov("nonrobust").lr_test(coded.spec.names[-1]) for res in (coded, dense))
        assert a.statistic == pytest.approx(b.statistic, rel=1e-8)
    a, b = (res.score_test(coded.spec.names[-1]) for res in (coded, dense))
    assert a.statistic == pytest.approx(b.statistic, rel=1e-7)


LINEAR = {
    "treatment": ("y ~ a + year + I(year**2) + C(g)", {}),
    "all levels": ("y ~ 0 + C(g) + a", {}),
    "sum, slopes by level": ("y ~ C(g, contr.sum) + C(g):a + b", {}),
    "alone": ("y ~ g", {}),
    "frequency": ("y ~ a + g", {"weights": "w", "weight_type": "frequency", "offset": "o"}),
    "sampling": ("y ~ a + g", {"weights": "w", "weight_type": "sampling"}),
    "constant in another factor": ("y ~ 0 + C(a > 0) + C(g)", {}),
}


@pytest.mark.parametrize("case", LINEAR)
def test_linear_fits_are_those_of_the_columns(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, options = LINEAR[case]
    data = table().assign(year=lambda d: 2000 + d.city)
    data["y"] = data.a + np.sin(data.index) + 0.1 * data.city
    dense = de.NormalRegression(formula, **options).fit(data)
    monkeypatch.setattr(terms, "FACTOR_ROWS", 0)
    coded = de.NormalRegression(formula, **options).fit(data)
    assert isinstance(coded.rows.design.matrix, FactorMatrix)
    assert coded.facts.condition == pytest.approx(dense.facts.condition, rel=1e-6)  # from squares
    for read in (
        lambda r: r.params,
        lambda r: r.bse,
        lambda r: (r.sigma, r.llf, r.rsquared),
        lambda r: r.predict(ci=True),
        lambda r: r.predict(data.head(), ["std", "q[0.9]"], ci=True),
        lambda r: r.with_cov("HC3").bse,
        lambda r: r.with_cov(de.Cluster("city")).joint_covariance.matrix,
        lambda r: r.functionals(["mean", "q[0.9]"]).table(),
    ):
        got, want = (np.asarray(read(r), dtype=np.float64) for r in (coded, dense))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10 * np.abs(want).max())


def test_a_column_of_level_means_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table()
    data["of_level"] = data.groupby("g").city.transform("mean")
    said = []
    for rows in (10**9, 0):
        monkeypatch.setattr(terms, "FACTOR_ROWS", rows)
        with pytest.raises(CollinearityError, match="linearly dependent") as error:
            de.NormalRegression("y ~ a + of_level + g").fit(data)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_a_level_without_variation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table()
    data.loc[data.g == "level 04", "y"] = 1
    monkeypatch.setattr(terms, "FACTOR_ROWS", 0)
    with pytest.warns(SeparationWarning, match="level 04"):
        res = de.Logit("y ~ a + g").fit(data)
    assert res.params["g[T.level 04]"] == np.inf
    assert np.isfinite(res.bse.drop("g[T.level 04]")).all()
    assert (res.fittedvalues[data.g == "level 04"] == 1).all()


def test_levels_of_one_outcome_are_told_where_they_would_take_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = table()
    data.loc[data.g.isin(["level 00", "level 04", "level 07"]), "y"] = 1
    monkeypatch.setattr(terms, "FACTOR_ROWS", 0)
    monkeypatch.setattr("disteconometrics.estimators.binary.fit.SETTLED", 0)
    with pytest.raises(
        SeparationError, match=r"3 of 12 levels .*: a level.*, g\[T.level 04\], g\[T.level 07\]"
    ):
        de.Logit("y ~ a + g").fit(data)


def test_only_large_factors_stay_codes() -> None:
    data = table()
    assert not isinstance(de.Logit("y ~ a + g").fit(data).rows.design.matrix, FactorMatrix)
    many = pd.concat([data] * (terms.FACTOR_ROWS // N + 1), ignore_index=True)
    assert isinstance(de.Logit("y ~ a + g").fit(many).rows.design.matrix, FactorMatrix)
    assert not isinstance(de.Logit("y ~ a + C(a > 0)").fit(many).rows.design.matrix, FactorMatrix)
