"""The normal law of recorded outcomes: terms, the maximum, its errors, what it collapses to and refuses."""

from __future__ import annotations

import io
import warnings
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from statsmodels.iolib.summary2 import summary_col

import disteconometrics as de
from disteconometrics.errors import OutcomeError, SeparationError, WithheldError
from disteconometrics.likelihoods.recorded_normal import NormalRecords, evaluate, record_terms

ROWS = 400
LEFT = {
    "Tobit": "bottomcoded(corner, at=0)",
    "brackets": "brackets(y, [-inf, -1, 0, .5, 1, 2, inf])",
    "all kinds": "interval(low, high)",
}


def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=ROWS), rng.gamma(2.0, 1.0, ROWS)
    y = 0.5 + x - 0.3 * z + rng.normal(size=ROWS) * 0.8
    kind = rng.integers(0, 4, ROWS)
    step = np.floor(y / 0.4) * 0.4
    low = np.select([kind == 0, kind == 1, kind == 2], [y, step, np.minimum(y, 0.7)], -np.inf)
    high = np.select([kind == 0, kind == 1, kind == 2], [y, step + 0.4, np.inf], np.maximum(y, -0.2))
    high[(kind == 2) & (y < 0.7)] = y[(kind == 2) & (y < 0.7)]
    low[(kind == 3) & (y > -0.2)] = y[(kind == 3) & (y > -0.2)]
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "y": y,
            "corner": np.maximum(y, 0),
            "low": low,
            "high": high,
            "copies": rng.integers(1, 4, ROWS),
            "inverse": rng.uniform(0.5, 2.0, ROWS),
            "o": rng.normal(size=ROWS),
            "firm": np.arange(ROWS) // 5,
        }
    )


def fit(left: str, data: Any = None, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.RecordingWarning)
        more = {k: options.pop(k) for k in ("cov", "use_t") if k in options}
        return de.NormalRegression(f"{left} ~ x + z", **options).fit(
            table() if data is None else data, **more
        )


def row_logliks(res: Any, theta: Any) -> Any:
    """Log-likelihoods (n,) at (β, σ), by the normal law of scipy."""
    rows, sigma = res.rows, theta[-1]
    eta = rows.X @ theta[:-1] + (0 if rows.offset is None else rows.offset)
    r = rows.design.records
    high, low = (r.upper - eta) / sigma, (r.lower - eta) / sigma
    exact = norm.logpdf(low) - np.log(sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.where(low > 0, np.log(norm.sf(low) - norm.sf(high)), np.log(norm.cdf(high) - norm.cdf(low)))
    return np.where(r.exact, exact, told)


def derivatives(f: Any, theta: Any, h: float = 1e-5) -> Any:
    steps = np.eye(len(theta)) * h
    return np.array([(f(theta + s) - f(theta - s)) / (2 * h) for s in steps])


def test_terms_of_intervals_have_all_digits() -> None:
    """Narrow and wide, in the middle and far out, against 50 digits."""
    rng = np.random.default_rng(0)
    m, d = (
        np.append(rng.normal(0, 4, 25), [0.0, 30.0]),
        np.append(10 ** rng.uniform(-7, 1.2, 25), [1e-9, 2.0]),
    )
    no = np.zeros(len(m), dtype=bool)
    terms = record_terms(NormalRecords(m, d, no, no, no), m, 1.0)

    def exact(m: Any, d: Any) -> Any:
        a, b = (abs(m) - d / 2) / mpmath.sqrt(2), (abs(m) + d / 2) / mpmath.sqrt(2)
        return mpmath.log((mpmath.erfc(a) - mpmath.erfc(b)) / 2)

    with mpmath.workdps(50):
        for i in range(len(m)):
            at = (mpmath.mpf(float(m[i])), mpmath.mpf(float(d[i])))
            want = [exact(*at), *(mpmath.diff(exact, at, n) for n in ((1, 0), (0, 1)))]
            want += [-mpmath.diff(exact, at, n) for n in ((2, 0), (1, 1), (0, 2))] if m[i] != 0 else []
            for found, value in zip(terms, map(float, want), strict=False):
                assert found[i] == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize("options", [{}, {"offset": "o"}], ids=["plain", "offset"])
def test_scores_and_information_are_derivatives(left: str, options: Any) -> None:
    res = fit(left, cov="opg", **options)
    theta = np.append(res.params, res.sigma)
    logliks = row_logliks(res, theta)
    assert res.llf == pytest.approx(logliks.sum(), rel=1e-12)
    scores = derivatives(lambda t: row_logliks(res, t), theta).T
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=2e-5)
    np.testing.assert_allclose(res.joint_covariance.matrix, np.linalg.inv(scores.T @ scores), rtol=2e-5)
    hessian = derivatives(lambda t: derivatives(lambda s: row_logliks(res, s).sum(), t, 1e-4), theta, 1e-4)
    V = np.linalg.inv(-hessian)
    np.testing.assert_allclose(res.with_cov("nonrobust").joint_covariance.matrix, V, rtol=1e-4, atol=1e-8)
    sandwich = V @ scores.T @ scores @ V
    np.testing.assert_allclose(res.with_cov("HC0").joint_covariance.matrix, sandwich, rtol=1e-4, atol=1e-8)
    sums = pd.DataFrame(scores).groupby(table()["firm"].to_numpy()).sum().to_numpy()
    clustered = res.with_cov(de.Cluster("firm", correction="none")).joint_covariance.matrix
    np.testing.assert_allclose(clustered, V @ sums.T @ sums @ V, rtol=1e-4, atol=1e-8)


def test_the_pass_has_the_derivatives_of_its_sum() -> None:
    """Concave in (δ, θ): score and information at a point that is no maximum."""
    d = table()
    res = fit(LEFT["all kinds"])
    r, X = res.rows.design.records, res.rows.X
    gap = np.where(r.interval, r.upper - r.lower, 0.0)
    told = NormalRecords(r.middle, gap, r.exact, r.open_below, r.open_above)
    w, point = d["inverse"].to_numpy(), np.array([0.3, 0.7, -0.2, 1.4])
    total = float(w[r.exact].sum())

    def at(p: Any) -> Any:
        return evaluate(told, X, w, p[:-1], float(p[-1]), total)

    np.testing.assert_allclose(at(point).score, derivatives(lambda p: at(p).loglik, point), rtol=1e-7)
    np.testing.assert_allclose(at(point).information, -derivatives(lambda p: at(p).score, point), rtol=1e-7)
    assert np.linalg.eigvalsh(at(point).information).min() > 0


def test_weights_count_rows_and_units_do_not_matter() -> None:
    d = table()
    counted = fit(LEFT["all kinds"], weights="copies", weight_type="frequency", cov="HC1")
    repeated = fit(LEFT["all kinds"], d.loc[d.index.repeat(d["copies"])], cov="HC1")
    np.testing.assert_allclose(counted.params, repeated.params, rtol=1e-10)
    np.testing.assert_allclose(counted.joint_covariance.matrix, repeated.joint_covariance.matrix, rtol=1e-9)
    assert counted.llf == pytest.approx(repeated.llf, rel=1e-12)
    sampled = [
        fit(LEFT["brackets"], d.assign(inverse=d["inverse"] * c), weights="inverse", weight_type="sampling")
        for c in (1.0, 1e3)
    ]
    np.testing.assert_allclose(*(r.joint_covariance.matrix for r in sampled), rtol=1e-9)
    unit = fit("interval(low, high)", d.assign(low=d["low"] * 1e9, high=d["high"] * 1e9, x=d["x"] * 1e-6))
    plain = fit("interval(low, high)")
    assert unit.params["x"] == pytest.approx(1e15 * plain.params["x"], rel=1e-9)
    assert unit.sigma_estimates.std_error[0] == pytest.approx(
        1e9 * plain.sigma_estimates.std_error[0], rel=1e-8
    )


def test_it_collapses_to_least_squares() -> None:
    """Exact records are the exact fit, intervals of a thousandth nearly."""
    ols = fit("y")
    exact = fit("interval(y, y)")
    np.testing.assert_allclose(exact.params, ols.params, rtol=1e-11)
    assert exact.sigma == pytest.approx(ols.sigma, rel=1e-11)
    assert exact.llf == pytest.approx(ols.llf, rel=1e-12)
    V = ols.covariance.matrix * ols.df_resid / ols.nobs
    np.testing.assert_allclose(exact.covariance.matrix, V, rtol=1e-10)
    d = table()
    narrow = fit("interval(a, b)", d.assign(a=d["y"] - 5e-4, b=d["y"] + 5e-4))
    np.testing.assert_allclose(narrow.params, ols.params, rtol=1e-5)
    assert narrow.sigma == pytest.approx(ols.sigma, rel=1e-5)
    assert narrow.llf - ROWS * np.log(1e-3) == pytest.approx(ols.llf, rel=1e-5)


def test_answers_are_of_the_outcome_before_it_was_recorded() -> None:
    """Means, quantiles and effects beyond the cap, the summary, and a file that keeps all."""
    res = fit(
        "log(topcoded(rounded(wage, to=1), at=4))", table().assign(wage=lambda d: np.ceil(np.exp(d["y"])))
    )
    new = pd.DataFrame({"x": [2.0], "z": [0.0]})
    law = res.distribution(new)
    assert res.spec.outcome.name == law.outcome == "log(wage)"
    assert law.on("wage").quantile(0.9)[0] == pytest.approx(
        np.exp(res.predict(new).iloc[0] + norm.ppf(0.9) * res.sigma)
    )
    assert res.effect("x", 0, 1, "mean").values[0] == pytest.approx(res.params["x"])
    text = str(res.summary())
    for words in (
        "interval regression",
        "\nwage was rounded to 1 (nearest); top-coded at 4",  # and not its logarithm
        "open above",
        "beyond what",
    ):
        assert words in text.replace("\n  ", " ")
    file = io.BytesIO()
    res.save(file)
    again = de.load(io.BytesIO(file.getvalue()))
    assert again.spec.outcome == res.spec.outcome
    np.testing.assert_array_equal(again.joint_covariance.matrix, res.joint_covariance.matrix)
    with pytest.raises(de.errors.OptionError, match=r"HC3.*recorded outcomes, whose rows have no single"):
        res.with_cov("HC3")
    assert "Log-likelihood" in str(de.compare([res, fit("y")]))
    assert not hasattr(res, "rsquared")  # so that statsmodels' tables leave it out
    assert "R-squared" in str(summary_col([fit("y"), res]))
    for name in ("rsquared", "rsquared_adj", "resid"):
        with pytest.raises(WithheldError, match="told exactly"):
            getattr(res, name)


def test_the_same_maximum_of_many_kinds_and_far_out() -> None:
    """An outlying covariate and a law of a millionth of the caps: the score is zero to rounding."""
    d = table().assign(x=lambda d: np.where(np.arange(ROWS) == 7, 300.0, d["x"]))
    for left in LEFT.values():
        res = fit(left, d)
        theta = np.append(res.params, res.sigma)
        assert res.converged
        assert np.abs(derivatives(lambda t, r=res: row_logliks(r, t).sum(), theta)).max() < 1e-3
    shifted = fit("bottomcoded(far, at=1e7)", d.assign(far=1e7 + d["corner"]))
    np.testing.assert_allclose(shifted.params[1:], fit(LEFT["Tobit"], d).params[1:], rtol=1e-6)


def test_effects_on_what_is_recorded() -> None:
    """McDonald and Moffitt: dE[max(y, 0) | x]/dx is Φ(x'β/σ)·β; between two limits as of draws."""
    res = fit(LEFT["Tobit"])
    told = res.recorded_mean
    eta = res.predict().to_numpy()
    want = (norm.cdf(eta / res.sigma) * res.params["x"]).mean()
    assert res.derivative("x", told).values[0] == pytest.approx(want, rel=1e-7)
    assert res.derivative("x", "mean", of="recorded").values[0] == pytest.approx(want, rel=1e-7)
    mean = eta * norm.cdf(eta / res.sigma) + res.sigma * norm.pdf(eta / res.sigma)
    rows = res.predict(None, ["mean"], ci=True, of="recorded")
    np.testing.assert_allclose(rows["estimate"], mean, rtol=1e-10, atol=1e-14)
    gradient = np.column_stack([res.rows.X * norm.cdf(eta / res.sigma)[:, None], norm.pdf(eta / res.sigma)])
    se = np.sqrt(np.einsum("ij,jk,ik->i", gradient, res.joint_covariance.matrix, gradient))
    np.testing.assert_allclose(rows["std_error"], se, rtol=1e-6)
    both = fit("log(topcoded(bottomcoded(wage, at=1), at=4))", table().assign(wage=lambda d: np.exp(d["y"])))
    law, told = both.distribution().average(), both.recorded_mean
    assert (told.low, told.high) == (0.0, pytest.approx(np.log(4)))
    draws = np.random.default_rng(0).normal(both.predict().to_numpy(), both.sigma, (20_000, ROWS))
    assert told(law) == pytest.approx(np.clip(draws, 0, np.log(4)).mean(), abs=1e-3)
    assert told(both.distribution()).mean() == pytest.approx(float(told(law)), rel=1e-5)
    with pytest.raises(WithheldError, match="Of brackets a class"):
        _ = fit(LEFT["brackets"]).recorded_mean


REFUSED: dict[str, tuple[str, type[Exception], str]] = {
    "all censored": ("topcoded(y, at=-9)", OutcomeError, "on one side"),
    "one bracket": ("brackets(y, [-99, 99])", OutcomeError, "nothing tells its spread"),
    "two sides of one point": ("brackets(y, [-inf, 0, inf])", OutcomeError, "Probit"),
    "a perfect line": ("rounded(near, to=1)", OutcomeError, "no law is left"),
    "a perfect fit": ("topcoded(line, at=9)", OutcomeError, "perfectly"),
    "a level that is all censored": ("topcoded(lifted, at=5)", SeparationError, "d moves"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_there_is_no_maximum(case: str) -> None:
    left, kind, words = REFUSED[case]
    d = table().assign(
        line=lambda d: 1 + 2 * d["x"],
        near=lambda d: np.rint(10 * d["x"]),
        d=lambda d: (d["x"] > 1).astype(int),
        lifted=lambda d: np.where(d["x"] > 1, 5.0, np.minimum(d["y"], 5)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.RecordingWarning)
        with pytest.raises(kind, match=words):
            de.NormalRegression(f"{left} ~ x + z{' + d' * (case[:7] == 'a level')}").fit(d)
