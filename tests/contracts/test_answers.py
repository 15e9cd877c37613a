"""Every result with a law gives every answer: with clusters, weights, offsets, by groups, for both targets.

One table of results, and the laws that answers of all of them obey.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import disteconometrics as de
from disteconometrics import errors

N = 240
LINEAR = de.MonotoneSpline("linear")
BINARY = ("Logit", "Probit", "CLogLog")
TARGETS = ("population", "sample")


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"x": rng.normal(size=N), "d": rng.integers(0, 2, N), "g": rng.choice(list("abc"), N)})
    d["y"] = 1 + 0.5 * d.x + 0.4 * d.d + 0.3 * (d.g == "b") + np.exp(0.2 * d.x) * rng.gumbel(size=N)
    d["b"] = (rng.random(N) < 1 / (1 + np.exp(-0.5 * d.x - 0.4 * d.d))).astype(int)
    d["firm"], d["id"] = rng.integers(0, 60, N), np.arange(N)
    return d.assign(w=rng.integers(1, 4, N), s=rng.uniform(0.5, 2, N), off=0.1 * rng.normal(size=N))


FREQUENCY, SAMPLING = (
    {"weights": "w", "weight_type": "frequency"},
    {"weights": "s", "weight_type": "sampling"},
)
OPTIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "plain": ({}, None),
    "clusters": ({}, de.Cluster("firm")),
    "frequency weights": (FREQUENCY, "HC0"),
    "sampling weights": (SAMPLING, de.Cluster("firm")),
    "offset": ({"offset": "off"}, "HC1"),
}
MAKERS: dict[str, Callable[..., Any]] = {
    "spline": lambda **o: de.FlowDensity("y ~ x + d + g", flow=de.MonotoneSpline("scale", knots=8), **o),
    "linear spline": lambda **o: de.FlowDensity("y ~ x + d + g", flow=LINEAR, base="normal", **o),
    "NormalRegression": lambda **o: de.NormalRegression("y ~ x + d + g", **o),
    "Logit": lambda **o: de.Logit("b ~ x + d + g", **o),
    "Probit": lambda **o: de.Probit("b ~ x + d + g", **o),
    "CLogLog": lambda **o: de.CLogLog("b ~ x + d + g", **o),
}
CASES = [(m, o) for m in MAKERS for o in OPTIONS if not (o == "offset" and "spline" in m)]


@cache
def fitted(maker: str, options: str) -> Any:
    given, cov = OPTIONS[options]
    return MAKERS[maker](**given).fit(table(), cov=cov)


def functional_of(maker: str) -> list[str]:
    return ["mean"] if maker in BINARY else ["mean", "q[0.9]"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("maker", "options"), CASES)
def test_every_result_answers(maker: str, options: str, target: str) -> None:
    res, names = fitted(maker, options), functional_of(maker)
    for by in (None, "d", ["d", "g"]):
        given = {"by": by, "target": target}
        for e in (
            res.functionals(names, **given),
            res.effect("x", -0.5, 0.5, names, **given),
            res.effect("g", "a", "b", names, **given),
            res.derivative("x", names, **given),
            res.effects(names, **given).estimates,
        ):
            groups = 1 if by is None else 2 if by == "d" else 6
            assert len(e.names) % (len(names) * groups) == 0
            assert np.isfinite(e.values).all()
            assert (e.std_error > 0).all() or "d: 1 - 0" in str(e.names)
            assert np.isfinite(e.interval()).all()
    rows = res.predict(table().head(3), names if maker not in BINARY else "mean", ci=True)
    assert (rows.conf_low < rows.estimate).all()
    assert (rows.estimate < rows.conf_high).all()


@pytest.mark.parametrize(("maker", "options"), CASES)
def test_targets_share_values_and_groups_average_to_the_whole(maker: str, options: str) -> None:
    res, d = fitted(maker, options), table()
    for ask in (
        lambda t: res.functionals("mean", target=t),
        lambda t: res.effects("mean", target=t).estimates,
    ):
        here, there = (ask(t) for t in TARGETS)
        assert_allclose(here.values, there.values, rtol=1e-12)
    w = {"frequency weights": d.w, "sampling weights": d.s}.get(options, pd.Series(np.ones(N)))
    groups = res.functionals("mean", by="d")
    shares = w.groupby(d.d).sum().to_numpy() / w.sum()
    assert shares @ groups.values == pytest.approx(res.functionals("mean").values[0], rel=1e-10)
    slopes = res.derivative("x", "mean", by="d").values
    assert shares @ slopes == pytest.approx(res.derivative("x", "mean").values[0], rel=1e-6)


@pytest.mark.parametrize("maker", MAKERS)
def test_contrasts_of_groups_and_cells(maker: str) -> None:
    res = fitted(maker, "clusters")
    e = res.functionals("mean", by=["d", "g"])
    name = "mean | d = {}, g = {}".format
    text = f"{name(1, 'b')} - {name(0, 'b')} - {name(1, 'a')} + {name(0, 'a')}"
    found, at = e.linear(text), dict(zip(e.names, range(6), strict=True))
    r = np.zeros(6)
    for d, g, sign in ((1, "b", 1), (0, "b", -1), (1, "a", -1), (0, "a", 1)):
        r[at[name(d, g)]] = sign
    assert found.values[0] == pytest.approx(r @ e.values, abs=1e-12)
    assert found.std_error[0] == pytest.approx(np.sqrt(r @ e.covariance @ r), rel=1e-10)


@pytest.mark.parametrize("maker", MAKERS)
def test_frequency_weights_are_rows_repeated(maker: str) -> None:
    d, names = table(), functional_of(maker)
    repeated = MAKERS[maker]().fit(d.loc[d.index.repeat(d.w)].reset_index(drop=True), cov="HC0")
    weighted = fitted(maker, "frequency weights")
    for target in TARGETS:
        for a, b in (
            (r.functionals(names, target=target), r.effect("d", 0, 1, names, target=target))
            for r in (weighted, repeated)
        ):
            assert np.isfinite(a.values).all()
            assert np.isfinite(b.values).all()
        for ask in ("functionals", "effects"):
            one, other = (getattr(r, ask)(names, target=target) for r in (weighted, repeated))
            one, other = (getattr(e, "estimates", e) for e in (one, other))
            tolerance = {"rtol": 2e-4, "atol": 1e-6} if maker == "spline" else {"rtol": 1e-8, "atol": 1e-10}
            assert_allclose(one.values, other.values, **tolerance)
            assert_allclose(one.std_error, other.std_error, **tolerance)


@pytest.mark.parametrize("maker", MAKERS)
def test_clusters_of_one_row_are_no_clusters(maker: str) -> None:
    """But for finite samples: averaging rows have √(n/(n − 1)) where rows are apart."""
    d, names = table(), functional_of(maker)
    single = MAKERS[maker]().fit(d, cov=de.Cluster("id", correction="none"))
    apart = single.with_cov("HC0")
    for target, rel in (("sample", 1e-9), ("population", 1.1 / N)):
        one, other = (r.functionals(names, target=target).std_error for r in (single, apart))
        assert_allclose(one, other, rtol=rel)


@pytest.mark.parametrize("maker", MAKERS)
def test_rows_in_another_order(maker: str) -> None:
    shuffled = MAKERS[maker]().fit(table().sample(frac=1, random_state=1), cov=de.Cluster("firm"))
    for ask in (lambda r: r.functionals("mean"), lambda r: r.effects("mean").estimates):
        one, other = ask(fitted(maker, "clusters")), ask(shuffled)
        assert_allclose(one.values, other.values, rtol=1e-6)
        assert_allclose(one.std_error, other.std_error, rtol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("maker", BINARY)
def test_binary_answers_are_margins(maker: str, options: str) -> None:
    res = fitted(maker, options)
    for target in TARGETS:
        m, e = res.margins(target=target), res.effects(target=target)
        assert_allclose(e.params, m.params, rtol=1e-12)
        assert_allclose(e.bse, m.bse, rtol=1e-12)
        assert e.estimates.df == m.estimates.df
        m, c = res.margins({"x": (-1, 1)}, target=target), res.effect("x", -1, 1, target=target)
        assert_allclose([c.values, c.std_error], [m.params, m.bse], rtol=1e-12)
    with pytest.raises(errors.OptionError, match="'mean'"):
        res.functionals("q[0.5]")


@pytest.mark.parametrize("maker", ["linear spline", "NormalRegression"])
def test_coefficients_of_a_linear_law_are_those_of_least_squares(maker: str) -> None:
    d, res = table(), MAKERS[maker]().fit(table(), cov="HC0")
    X = np.column_stack([np.ones(N), d.x, d.d, d.g == "b", d.g == "c"]).astype(float)
    inverse = np.linalg.inv(X.T @ X)
    beta = inverse @ X.T @ d.y.to_numpy()
    meat = X * (d.y - X @ beta).to_numpy()[:, None]
    se = np.sqrt(np.diagonal(inverse @ meat.T @ meat @ inverse))
    found = res.effects("mean")
    assert list(found) == ["x", "d: 1 - 0", "g: b - a", "g: c - a"]
    assert_allclose(found.params, beta[1:], rtol=1e-6)
    assert_allclose(found.bse, se[1:], rtol=1e-5)
    assert_allclose(found.slopes.values[0], beta[1], rtol=1e-6)
    assert not any(found.apart)


def test_the_coefficient_is_the_projection_on_what_the_structure_has() -> None:
    """By hand: m on x and the columns of the others, bent where the structure bends them."""
    d = table().assign(y=lambda d: d.y + d.x**2, z=lambda d: d.x + 0.5 * d.off * 10)
    res = de.FlowDensity("y ~ x + z", flow=de.MonotoneSpline("shift")).fit(d)
    m = res.predict(d, "mean")["estimate"].to_numpy()
    c = res.flow.structure.covariates[0]
    Z = np.column_stack([np.ones(N), d.x, c.smooth(d.x.to_numpy())])
    left = d.z - Z @ np.linalg.lstsq(Z, d.z, rcond=None)[0]
    assert any(t.kind == "shift" and t.covariate == 0 for t in res.flow.structure.terms)
    assert res.effects("mean")["z"].values[0] == pytest.approx(left @ m / (left @ left), rel=1e-8)


def test_the_population_mean_has_the_error_of_a_mean() -> None:
    d = table()
    for maker in ("spline", "NormalRegression"):
        mean = fitted(maker, "plain").functionals("mean")
        assert mean.std_error[0] == pytest.approx(d.y.std() / np.sqrt(N), rel=0.03)
        sums = (d.y - d.y.mean()).groupby(d.firm).sum()
        clustered = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / N
        mean = fitted(maker, "clusters").functionals("mean")
        assert mean.std_error[0] == pytest.approx(clustered, rel=0.05)
        given = fitted(maker, "plain").functionals("mean", target="sample")
        assert given.std_error[0] < 0.95 * d.y.std() / np.sqrt(N)


@pytest.mark.parametrize("maker", MAKERS)
def test_what_nobody_knows_is_refused_or_said(maker: str) -> None:
    res, d = fitted(maker, "plain"), table()
    before = d.copy()
    with pytest.warns(errors.ExtrapolationWarning, match="100% of the rows"):
        res.effect("x", 0.0, float(d.x.max()) + 0.5, "mean")
    for wrong, message in (
        (lambda: res.effect("x", 0, 99, "mean"), "more than their width"),
        (lambda: res.derivative("g", "mean"), "has levels"),
        (lambda: res.functionals("mean", by="id"), "makes 240 groups"),
        (lambda: res.functionals("mean", by=3), "by=3"),
        (lambda: res.functionals("mean", target="us"), "target='us'"),
        (lambda: res.functionals([]), "at least one"),
    ):
        with pytest.raises(errors.OptionError, match=message):
            wrong()
    with pytest.raises(errors.MissingColumnError):
        res.effects("mean", by="nobody")
    pd.testing.assert_frame_equal(d, before)
    file = io.BytesIO()
    res.save(file)
    file.seek(0)
    with pytest.raises(errors.NeedsData):
        de.load(file).effect("d", 0, 1, "mean")
