"""`res.monte_carlo()`: finds planted bugs, finds nothing where there is nothing,
and refits exactly what was fitted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import OptionError, WithheldError

FORMULA = "affair ~ rate_marriage + age + yrs_married"
RIGHT = "If the fitted model is right"


@cache
def fair(rows: int = 1_500) -> pd.DataFrame:
    return de.datasets.fair().sample(rows, random_state=np.random.default_rng(1)).reset_index(drop=True)


class Halved(de.Logit):
    """A logit whose standard errors are half of what they should be."""

    def fit(self, data: Any, **options: Any) -> Any:
        res = super().fit(data, **options)
        V = res.covariance
        return replace(res, covariance=replace(V, matrix=V.matrix / 4, inner=V.inner / 4))

    def replications(self, **options: Any) -> None:
        return None


class Shifted(de.Logit):
    """A logit whose coefficient of age is too large by half a standard error."""

    def fit(self, data: Any, **options: Any) -> Any:
        res = super().fit(data, **options)
        at = res.spec.names.index("age")
        return replace(
            res, coefficients=res.coefficients + np.eye(len(res.spec.names))[at] * 0.5 * res.bse["age"]
        )

    def replications(self, **options: Any) -> None:
        return None


def test_a_sound_estimator_passes_on_real_data() -> None:
    for cov in ("nonrobust", "HC1"):
        check = de.Logit(FORMULA).fit(fair(), cov=cov).monte_carlo(800, seed=1)
        assert check.verdict.startswith(f"{RIGHT}, nothing is wrong that 800 replications can see")
        table = check.table()
        assert (abs(table.se_ratio - 1) <= 4 * table.se_ratio_mcse).all()
        np.testing.assert_allclose(table["size"], 1 - table.coverage)
    assert check.study.failed() == 0
    assert "Outcomes are drawn independently" in str(check.summary())


def test_halved_standard_errors_are_found() -> None:
    check = Halved(FORMULA).fit(fair()).monte_carlo(200, seed=1)
    assert check.verdict.startswith(f"{RIGHT}, this estimator has trouble")
    for name, ratio in check.table().se_ratio.items():
        assert 0.4 < ratio < 0.6
        assert f"standard errors of {name} are too small: {ratio:.2f}" in check.verdict
        assert f"95% intervals of {name} cover 0." in check.verdict
    assert "is off by" not in check.verdict


def test_a_biased_coefficient_is_found() -> None:
    check = Shifted(FORMULA).fit(fair()).monte_carlo(300, seed=1)
    assert [t.split(" is off by")[0] for t in check.troubles if "off by" in t] == ["age"]


def test_designs_draw_what_they_say() -> None:
    data = fair().assign(town=lambda d: d.index // 15)  # 100 towns
    res = de.Logit(FORMULA).fit(data)
    fitted = res.monte_carlo(5, seed=1).study.replay(0).table
    np.testing.assert_array_equal(fitted["age"], data.age)
    assert 0.05 < np.mean(fitted["affair"] != data.affair) < 0.6
    pairs = pd.DataFrame(res.monte_carlo(5, seed=1, design="pairs").study.replay(0).table)
    columns = ["rate_marriage", "age", "yrs_married", "affair"]
    assert 0.55 < pairs[columns].merge(data[columns].drop_duplicates()).shape[0] / len(pairs) <= 1
    clustered = res.with_cov(de.Cluster("town"))
    check = clustered.monte_carlo(5, seed=1)
    assert check.premise == "If the sample's 100 clusters stand for all"
    drawn = pd.DataFrame(check.study.replay(0).table)
    assert drawn.town.nunique() == 100
    towns = {tuple(g.age) for _, g in data.groupby("town")}
    assert all(tuple(g.age) in towns for _, g in drawn.groupby("town"))
    assert clustered.monte_carlo(5, seed=1, design="fitted").premise == RIGHT


def test_clusters_keep_their_dependence() -> None:
    """Rows of a town share shocks: clustered errors pass, plain ones are found to be too small."""
    rng = np.random.default_rng(7)
    town = np.repeat(np.arange(80), 10)
    x = rng.normal(size=80)[town]
    u = np.where(rng.random(800) < 0.7, rng.random(80)[town], rng.random(800))
    data = {"x": x, "town": town, "y": (u < 1 / (1 + np.exp(-0.3 - 0.5 * x))).astype(int)}
    res = de.Logit("y ~ x").fit(data, cov=de.Cluster("town"))
    check = res.monte_carlo(400, seed=1)
    assert not check.troubles
    of = replace(res._refitting(), options={"cov": "nonrobust", "use_t": False})
    from disteconometrics.simulate.self_check import self_check

    plain = self_check(of, 400, seed=1, design="cluster", law=None, n_jobs=None)
    assert any("standard errors of x are too small" in t for t in plain.troubles)


def test_another_law_has_pseudo_true_values() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    law = de.Bernoulli(np.where(np.abs(x) > 1.0, 0.9, 0.2))
    res = de.Logit("y ~ x").fit({"x": x, "y": rng.random(400) < 0.5}, cov="HC1")
    check = res.monte_carlo(400, seed=1, law=law)
    # the pseudo-true value solves the expected score at the sample's covariates
    X, p, beta = np.column_stack([np.ones(400), x]), law.mean(), np.zeros(2)
    for _ in range(50):
        q = 1 / (1 + np.exp(-X @ beta))
        beta = beta + np.linalg.solve((X.T * (q * (1 - q))) @ X, X.T @ (p - q))
    table = check.table()
    assert (np.abs(table.truth - beta) <= 4 * table.truth_error).all()
    assert (table.truth_error < 0.1 * table.empirical_se).all()
    assert check.verdict.startswith("If the law given is right")
    assert "pseudo-true" in str(check.summary())
    probit = de.Probit("y ~ x").fit({"x": x, "y": rng.random(400) < p})
    assert res.monte_carlo(5, seed=1, law=probit).other_law


@pytest.mark.parametrize(
    ("formula", "specification", "options"),
    [
        ("label ~ age + C(religious)", {}, {}),
        ("I(rate_marriage > 4) ~ age + yrs_married", {}, {"cov": "HC3", "use_t": True}),
        ("affair ~ scale(age) + bs(yrs_married, df=4)", {}, {}),
        ("affair ~ age + occupation_name", {"offset": "yrs_married"}, {}),
        ("affair ~ age", {"weights": "yrs_married", "weight_type": "sampling"}, {}),
        ("affair ~ age + religious", {"penalty": "firth"}, {}),
        ("affair ~ .", {}, {}),
    ],
)
def test_what_is_refitted_is_what_was_fitted(
    formula: str, specification: dict[str, Any], options: dict[str, Any]
) -> None:
    data = fair(400).assign(
        label=lambda d: np.where(d.affair == 1, "yes", "no"),
        occupation_name=np.where(fair(400).occupation > 3, "high", "low"),
    )
    if "." in formula:
        data = data[["affair", "age", "religious"]]
    data.loc[3, "age"] = np.nan
    res = de.Logit(formula, **specification).fit(data, **options)
    of = res._refitting()
    again = of.estimator.fit(of.table, **of.options)
    np.testing.assert_allclose(again.params, res.params, rtol=1e-9)
    np.testing.assert_allclose(again.bse, res.bse, rtol=1e-9)
    assert list(again.params.index) == list(res.params.index)
    check = res.monte_carlo(20, seed=1)
    assert check.table().index.tolist() == list(res.params.index)
    assert (abs(check.table().bias) < 6 * res.bse / np.sqrt(20) + 0.5 * res.bse).all()


def test_what_cannot_be_simulated_is_said() -> None:
    data = fair(300).assign(w=2, t=range(300))
    model = de.Logit("affair ~ age")
    res = model.fit(data)
    with pytest.warns(de.errors.MissingValuesWarning):
        lagged = de.Logit("affair ~ lag(age)").fit(data)
    for ask, error, words in (
        (lambda: res.monte_carlo(5, design="rows"), OptionError, "design='rows' is not known"),
        (lambda: res.monte_carlo(5, design="cluster"), OptionError, "one-way covariance"),
        (lambda: res.monte_carlo(5, design="pairs", law=res), OptionError, "law= has no use"),
        (lambda: res.monte_carlo(5, law=3), OptionError, "law is a law with sample"),
        (lambda: res.monte_carlo(5, law=de.Bernoulli([0.5])), OptionError, "for each of the 300 rows"),
        (lambda: res.monte_carlo(0), OptionError, "reps=0"),
        (
            lambda: model.fit(data, cov=de.HAC("t")).monte_carlo(5, design="pairs"),
            OptionError,
            "in their order",
        ),
        (
            lambda: de.Logit("affair ~ age", penalty="firth").fit(data).monte_carlo(5, design="pairs"),
            OptionError,
            "no population",
        ),
        (
            lambda: de.Logit("affair ~ age", weights="w", weight_type="frequency").fit(data).monte_carlo(5),
            OptionError,
            "repeat the rows",
        ),
        (lambda: lagged.monte_carlo(5), OptionError, "lag"),
    ):
        with pytest.raises(error, match=words):
            ask()
    with pytest.warns(de.errors.SeparationWarning):
        separated = model.fit({"age": [1, 2, 3, 4], "affair": [0, 0, 1, 1]})
    with pytest.raises(WithheldError, match="infinite"):
        separated.monte_carlo(5)


def test_a_loaded_result_needs_its_rows(tmp_path) -> None:
    data = fair(300)
    res = de.Logit("affair ~ age").fit(data, cov="HC1")
    res.save(tmp_path / "fit")
    back = de.load(tmp_path / "fit")
    with pytest.raises(de.errors.NeedsData):
        back.monte_carlo(5)
    pd.testing.assert_frame_equal(
        back.attach(data).monte_carlo(5, seed=1).table(), res.monte_carlo(5, seed=1).table()
    )
