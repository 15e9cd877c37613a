"""Firth's penalised logit: closed forms, derivatives, invariances, profiles, refusals, words."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de
from disteconometrics.blocks import Block
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim import firth as engine

TIGHT = 1e-9  # relative; the engine stops at steps of 1e-10 standard errors


def firth(formula: str, data: Any, **options: Any) -> Any:
    return de.Logit(formula, penalty="firth", **options).fit(data)


def draw(seed: int, n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z, d = rng.normal(size=n), rng.normal(size=n), (rng.random(n) < 0.3).astype(int)
    y = (rng.random(n) < 1 / (1 + np.exp(-(x - 0.5 * z + d - 1)))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "z": z, "d": d, "o": rng.normal(size=n), "w": rng.integers(1, 5, n)})


def penalised(X: np.ndarray, y: np.ndarray, beta: np.ndarray, w: Any = 1.0, offset: Any = 0.0) -> float:
    eta = X @ beta + offset
    p = 1 / (1 + np.exp(-eta))
    information = X.T @ (X * (w * p * (1 - p))[:, None])
    return float(-np.sum(w * np.logaddexp(0, -(2 * y - 1) * eta)) + np.linalg.slogdet(information)[1] / 2)


# ---- closed forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ones", "n"), [(1, 10), (9, 10), (3, 7), (1, 500)])
def test_intercept_alone_adds_half_a_success_and_half_a_failure(ones: int, n: int) -> None:
    res = firth("y ~ 1", pd.DataFrame({"y": [1] * ones + [0] * (n - ones)}))
    p = (ones + 0.5) / (n + 1)
    np.testing.assert_allclose(res.params.iloc[0], np.log(p / (1 - p)), rtol=TIGHT, atol=1e-12)
    np.testing.assert_allclose(res.bse.iloc[0], 1 / np.sqrt(n * p * (1 - p)), rtol=TIGHT)
    np.testing.assert_allclose(res.predict().to_numpy(), ones / n, rtol=TIGHT)  # FLIC


@pytest.mark.parametrize("cells", [(3, 7, 6, 4), (0, 10, 6, 4), (0, 8, 9, 0), (1, 200, 5, 0)])
def test_saturated_table_adds_half_to_each_cell(cells: tuple[int, ...]) -> None:
    a, b, c, d = cells  # successes and failures at x = 0, then at x = 1
    data = pd.DataFrame({"x": [0] * (a + b) + [1] * (c + d), "y": [1] * a + [0] * b + [1] * c + [0] * d})
    res = firth("y ~ x", data)
    low, high = np.log((a + 0.5) / (b + 0.5)), np.log((c + 0.5) / (d + 0.5))
    np.testing.assert_allclose(res.params, [low, high - low], rtol=TIGHT)


# ---- the penalised likelihood ------------------------------------------------------------------------------


def test_score_and_hessian_are_those_of_autodiff() -> None:
    torch = pytest.importorskip("torch")
    data = draw(1)
    X = np.column_stack([np.ones(len(data)), data[["x", "z", "d"]]])
    y, w, o = data.y.to_numpy(float), data.w.to_numpy(float), data.o.to_numpy()
    points = np.random.default_rng(2).normal(size=(3, 4))
    mine = engine._evaluate([Block(y, X, w, o)], points, True)

    def value(beta: Any) -> Any:
        eta = torch.tensor(X) @ beta + torch.tensor(o)
        p = torch.sigmoid(eta)
        information = torch.tensor(X).T @ (torch.tensor(X) * (torch.tensor(w) * p * (1 - p))[:, None])
        loglik = (torch.tensor(w) * (torch.tensor(y) * eta - torch.nn.functional.softplus(eta))).sum()
        return loglik + torch.logdet(information) / 2

    for i, point in enumerate(points):
        beta = torch.tensor(point)
        np.testing.assert_allclose(mine.penalised[i], float(value(beta)), rtol=1e-13)
        np.testing.assert_allclose(
            mine.score[i], torch.autograd.functional.jacobian(value, beta).numpy(), rtol=1e-10, atol=1e-11
        )
        hessian = torch.autograd.functional.hessian(value, beta).numpy()
        np.testing.assert_allclose(mine.curvature[i], -hessian, rtol=1e-10, atol=1e-10)


def test_estimate_solves_the_modified_score() -> None:
    data = draw(3)
    res = firth("y ~ x + z + d", data, offset="o")
    X = np.column_stack([np.ones(len(data)), data[["x", "z", "d"]]])
    p = 1 / (1 + np.exp(-(X @ res.params + data.o)))
    h = res.leverage
    np.testing.assert_allclose(X.T @ (data.y - p + h * (0.5 - p)), 0, atol=1e-11)
    assert h.sum() == pytest.approx(4)
    assert res.llf == pytest.approx(float(np.log(np.where(data.y == 1, p, 1 - p)).sum()), rel=1e-12)
    assert res.llf_penalised == pytest.approx(
        penalised(X, data.y.to_numpy(), res.params.to_numpy(), offset=data.o.to_numpy()), rel=1e-12
    )
    np.testing.assert_allclose(
        res.cov_params(), np.linalg.inv(X.T @ (X * (p * (1 - p)).to_numpy()[:, None])), rtol=1e-9
    )


def test_chunks_and_scoring_agree_with_the_exact_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw(4, 900)
    whole = firth("y ~ x + z + d", data)
    reference = whole.estimates
    monkeypatch.setattr(engine, "CHUNK", 1)
    pieces = firth("y ~ x + z + d", data)
    np.testing.assert_allclose(pieces.params, whole.params, rtol=1e-10)
    np.testing.assert_allclose(pieces.estimates.interval(), reference.interval(), rtol=1e-8)
    monkeypatch.setattr(engine, "EXACT", 0)
    scoring = firth("y ~ x + z + d", data)
    assert scoring.facts.path == "whitened scoring"
    assert scoring.converged
    np.testing.assert_allclose(scoring.params, whole.params, rtol=1e-10)
    np.testing.assert_allclose(scoring.estimates.interval(), reference.interval(), rtol=1e-8)


def test_maxiter_is_honest() -> None:
    with pytest.warns(de.errors.ConvergenceWarning, match="did not converge"):
        res = de.Logit("y ~ x + z", penalty="firth").fit(draw(5), maxiter=2)
    assert not res.converged


# ---- invariances -------------------------------------------------------------------------------------------


def test_equivariance_to_affine_maps_of_the_columns() -> None:
    data = draw(6)
    a = firth("y ~ x + z", data)
    b = firth("y ~ u + v", data.assign(u=1e6 * data.x + 3e6, v=1e-5 * data.z - data.x))
    slopes = np.array([(a.params["x"] + 1e5 * a.params["z"]) / 1e6, a.params["z"] * 1e5])
    np.testing.assert_allclose(b.params[["u", "v"]], slopes, rtol=1e-8)
    np.testing.assert_allclose(b.predict(), a.predict(), rtol=1e-8)
    np.testing.assert_allclose(b.tvalues["v"], a.tvalues["z"], rtol=1e-7)
    np.testing.assert_allclose(b.conf_int().loc["v"], 1e5 * a.conf_int().loc["z"], rtol=1e-7)
    assert b.llf == pytest.approx(a.llf, rel=1e-10)
    assert b.llr == pytest.approx(a.llr, rel=1e-8)


def test_swapping_the_outcome_changes_signs() -> None:
    data = draw(7)
    a, b = firth("y ~ x + d", data), firth("y ~ x + d", data.assign(y=1 - data.y))
    np.testing.assert_allclose(b.params, -a.params, rtol=TIGHT)
    np.testing.assert_allclose(b.conf_int()[[1, 0]], -a.conf_int(), rtol=1e-8)


def test_frequency_weights_are_repeated_rows() -> None:
    data = draw(8)
    a = firth("y ~ x + z", data, weights="w", weight_type="frequency")
    b = firth("y ~ x + z", data.loc[data.index.repeat(data.w)].reset_index(drop=True))
    assert a.nobs == b.nobs
    for f in ("params", "bse", "tvalues", "pvalues"):
        np.testing.assert_allclose(getattr(a, f), getattr(b, f), rtol=1e-8)
    np.testing.assert_allclose(a.conf_int(), b.conf_int(), rtol=1e-8)
    assert (a.llf, a.llf_penalised, a.llr, a.facts.flic) == pytest.approx(
        (b.llf, b.llf_penalised, b.llr, b.facts.flic), rel=1e-9
    )


# ---- profiles and tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_ends_of_profile_intervals_solve_the_likelihood_ratio_equation(level: float) -> None:
    res = firth("y ~ x + z + d", draw(9), offset="o")
    target = stats.chi2(1).ppf(level)
    for name, ends in res.conf_int(level=level).iterrows():
        assert ends[0] < res.params[name] < ends[1]
        for end in ends:
            assert res.lr_test(f"{name} = {end!r}").statistic == pytest.approx(target, rel=1e-8)


def test_z_is_the_signed_root_and_intervals_decide_as_p_values_do() -> None:
    res = firth("y ~ x + z + d", draw(10))
    for name in res.params.index:
        test = res.lr_test(f"{name} = 0")
        assert res.tvalues[name] ** 2 == pytest.approx(test.statistic, rel=1e-8)
        assert res.pvalues[name] == pytest.approx(test.p_value, rel=1e-7)
        assert np.sign(res.tvalues[name]) == np.sign(res.params[name])
        low, high = res.conf_int().loc[name]
        assert (low <= 0 <= high) == (test.p_value >= 0.05)


def test_restricted_maxima_by_brute_force() -> None:
    from scipy.optimize import minimize

    data = draw(11)
    res = firth("y ~ x + z + d", data)
    X, y = np.column_stack([np.ones(len(data)), data[["x", "z", "d"]]]), data.y.to_numpy()
    found = minimize(lambda t: -penalised(X, y, np.array([t[0], t[1], t[1], 0.3])), np.zeros(2), tol=1e-12)
    statistic = 2 * (res.llf_penalised + found.fun)
    assert res.lr_test("x = z, d = 0.3").statistic == pytest.approx(statistic, rel=1e-6)
    found = minimize(lambda t: -penalised(X, y, np.array([t[0], 0, 0, 0])), np.zeros(1), tol=1e-12)
    assert res.llr == pytest.approx(2 * (res.llf_penalised + found.fun), rel=1e-6)
    assert res.lr_test("x = 0, z = 0, d = 0").statistic == pytest.approx(res.llr, rel=1e-9)
    assert res.llr_pvalue == pytest.approx(stats.chi2(3).sf(res.llr))


def test_nested_results() -> None:
    data = draw(12)
    large, small = firth("y ~ x + z + d", data), firth("y ~ x", data)
    assert large.lr_test(small).statistic == pytest.approx(large.lr_test("z = 0, d = 0").statistic)
    mle = de.Logit("y ~ x").fit(data)
    with pytest.raises(de.errors.OptionError, match="penalised"):
        large.lr_test(mle)
    with pytest.raises(de.errors.OptionError, match="one kind"):
        de.Logit("y ~ x + z").fit(data).lr_test(small)
    with pytest.raises(de.errors.OptionError, match="repeat"):
        large.lr_test(["x = 0", "2*x = 0"])


def test_large_samples_forget_the_penalty() -> None:
    data = draw(13, 20_000)
    a, b = firth("y ~ x + z", data), de.Logit("y ~ x + z").fit(data)
    np.testing.assert_allclose(a.params, b.params, atol=2e-3)
    np.testing.assert_allclose(a.conf_int(), b.conf_int(), atol=4e-3)


# ---- separation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_separated_data_have_finite_estimates(scale: float) -> None:
    x = np.arange(20.0) * scale
    data = pd.DataFrame({"x": x, "y": (np.arange(20) > 9).astype(int)})
    res = firth("y ~ x", data)
    assert res.converged
    assert np.isfinite(res.estimates.table().to_numpy()).all()
    assert res.conf_int().loc["x", 0] > 0
    with pytest.warns(de.errors.SeparationWarning, match="Complete separation.*Firth"):
        other = de.Logit("y ~ x", separation="firth").fit(data)
    assert (other.params == res.params).all()
    assert "inf" not in other.facts.separation


def test_without_separation_the_fallback_is_maximum_likelihood() -> None:
    data = draw(14)
    a, b = de.Logit("y ~ x", separation="firth").fit(data, cov="HC1"), de.Logit("y ~ x").fit(data, cov="HC1")
    assert (a.params == b.params).all()
    assert a.facts.penalty is None
    assert a.aic == b.aic
    assert str(a.summary()) == str(b.summary())


def test_all_levels_of_a_factor_carry_the_constant() -> None:
    data = draw(15)
    a, b = firth("y ~ C(d) + x", data), firth("y ~ C(d) + x - 1", data)
    assert b.llr == pytest.approx(a.llr, rel=1e-8)
    np.testing.assert_allclose(b.predict(), a.predict(), rtol=TIGHT)
    assert np.isnan(firth("y ~ x - 1", data).llr)
    assert firth("y ~ x - 1", data).facts.flic == 0


# ---- predictions, refusals, files, words -------------------------------------------------------------------


def test_predictions_average_to_the_outcome() -> None:
    data = draw(16)
    res = firth("y ~ x + d", data, weights="w", weight_type="frequency")
    assert np.average(res.predict(), weights=data.w) == pytest.approx(
        np.average(data.y, weights=data.w), rel=1e-12
    )
    assert (res.predict(data, linear=True) - res.facts.flic).iloc[0] == pytest.approx(
        res.params @ [1, data.x[0], data.d[0]], rel=1e-10
    )
    frame = res.predict(data, ci=True)
    assert ((frame.conf_low < frame.estimate) & (frame.estimate < frame.conf_high)).all()


def test_refusals() -> None:
    data = draw(17)
    with pytest.raises(de.errors.OptionError, match="sampling"):
        de.Logit("y ~ x", penalty="firth", weights="w", weight_type="sampling")
    with pytest.raises(de.errors.OptionError, match="sampling"):
        de.Logit("y ~ x", separation="firth", weights="w", weight_type="sampling")
    with pytest.raises(de.errors.OptionError, match="penalty='ridge'"):
        de.Logit("y ~ x", penalty="ridge")
    for cov in ("HC1", "opg", de.Cluster("d")):
        with pytest.raises(de.errors.OptionError, match="nonrobust"):
            de.Logit("y ~ x", penalty="firth").fit(data, cov=cov)
    with pytest.raises(de.errors.OptionError, match="use_t"):
        de.Logit("y ~ x", penalty="firth").fit(data, use_t=True)
    res = firth("y ~ x", data)
    with pytest.raises(de.errors.OptionError, match="nonrobust"):
        res.with_cov("HC3")
    with pytest.raises(de.errors.WithheldError, match="score"):
        res.score_test("x = 0")
    assert np.isnan(res.aic)
    assert np.isnan(res.bic)
    with pytest.raises(de.errors.CollinearityError):
        firth("y ~ x + I(2*x)", data)


def test_save_and_load() -> None:
    data = draw(18)
    res, file = firth("y ~ x + d", data), io.BytesIO()
    res.save(file)
    back = de.load(io.BytesIO(file.getvalue()))
    assert back.model == res.model
    pd.testing.assert_frame_equal(back.estimates.table(), res.estimates.table())
    assert str(back.summary()) == str(res.summary())
    pd.testing.assert_series_equal(back.predict(data), res.predict(data))
    with pytest.raises(de.errors.NeedsData, match=r"level 0\.9"):
        back.conf_int(level=0.9)
    with pytest.raises(de.errors.NeedsData):
        back.lr_test("x = 0")
    assert back.with_cov("nonrobust", data=data).bse["x"] == pytest.approx(res.bse["x"])


def test_summary_says_what_it_prints() -> None:
    res = firth("y ~ x + d", draw(19))
    text = re.sub(r"\s+", " ", str(res.summary()))
    for words in (
        "Firth (penalised ML)",
        f"Log-likelihood: {res.llf:.4f}",
        f"Penalised log-likelihood: {res.llf_penalised:.4f}",
        "signed root of the penalised likelihood ratio",
        "intervals are profile-penalised",
        "AIC and BIC are withheld",
        "(FLIC)",
    ):
        assert words in text
    low, high = res.conf_int(level=0.9).loc["x"]
    assert f"{low:.4f}" in str(res.summary(0.9))
    assert f"{high:.4f}" in res.summary(0.9).as_html()
    assert "Firth" in res.summary().as_latex()
    np.testing.assert_allclose(
        res.odds_ratios(0.9).loc["x", ["conf_low", "conf_high"]].astype(float), np.exp([low, high])
    )


def test_every_table_takes_its_level() -> None:
    import matplotlib.pyplot as plt

    res = firth("y ~ x + d", draw(22))
    ends = res.conf_int(level=0.8).loc["x"].tolist()
    ax = res.plot(level=0.8)
    assert ax.data.loc["x", ["conf_low", "conf_high"]].tolist() == ends
    plt.close(ax.figure)
    assert res.tidy(level=0.8).set_index("term").loc["x", ["conf_low", "conf_high"]].tolist() == ends
    margin = res.margins("x").estimates
    assert np.isfinite(margin.table().to_numpy()).all()
    assert f"{res.params['x']:.4f}"[:5] in str(de.compare([res]))


def test_profiles_cost_nothing_until_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("disteconometrics.estimators.binary.penalty.profile", refuse)
    res = firth("y ~ x", draw(20))
    res.params, res.bse, res.predict(), res.test("x = 0"), res.nlcom("exp(x)")


def test_engine_with_an_offset_far_out() -> None:
    data = draw(21)
    X = np.column_stack([np.ones(len(data)), data.x])
    y = data.y.to_numpy(float)
    far = engine.firth(IndexModel(LOGISTIC, [Block(y, X, None, np.full(len(y), 300.0))])).maximum
    near = engine.firth(IndexModel(LOGISTIC, [Block(y, X)])).maximum
    assert far.converged
    np.testing.assert_allclose(far.params + np.array([300, 0]), near.params, rtol=1e-8)


def test_no_warning_on_ordinary_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(30):
            assert np.isfinite(firth("y ~ x + z + d", draw(seed, 25)).estimates.table().to_numpy()).all()
