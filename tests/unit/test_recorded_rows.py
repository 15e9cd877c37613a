"""Outcomes known to lie between two ends: derivatives, leave-one-out, collapses, and what is withheld."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import disteconometrics as de
from disteconometrics import errors
from disteconometrics.data.recorded import Records
from disteconometrics.estimators.flow.spline_fit import (
    LEAST_BEND,
    Fitted,
    Prepared,
    SplinePlan,
    fit_flow,
    problem_of,
)
from disteconometrics.estimators.flow.spline_inference import RecordScores
from disteconometrics.estimators.flow.spline_sample import SplineSample, knots_of
from disteconometrics.inference.held import Held
from disteconometrics.inference.variable_effects import Seen
from disteconometrics.likelihoods.monotone import BASES, evaluate, loglik
from disteconometrics.likelihoods.recorded_rows import RecordedRows, recorded_rows
from disteconometrics.optim.smoothing import solve

Array = np.ndarray
AUTODIFF = 1e-9  # relative, float64 against float64
ONE_STEP = (
    0.02  # of a record's influence on its own log probability, which a step in place of a refit may lose
)


def mixed(seed: int = 0, n: int = 200) -> tuple[SplineSample, Records, Array]:
    """A sample, records of every kind of its standardised outcomes, and weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    s = SplineSample(x[:, 0] + np.exp(0.3 * x[:, 0]) * rng.gumbel(size=n), x, ((0,),))
    low, high, kind = s.residuals.copy(), s.residuals.copy(), rng.integers(0, 4, n)
    low[kind == 1] -= 0.3
    high[kind == 1] += 0.4
    low[kind == 2], high[kind == 3] = -np.inf, np.inf
    return s, Records(low, high), rng.uniform(0.5, 2.0, n)


def of_records(s: SplineSample, records: Records, f: Fitted, weights: Array | None = None) -> RecordedRows:
    return recorded_rows(f.structure, records.lower, records.upper, s.X, weights, dense=True)


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_score_and_information_are_the_derivatives(base: str) -> None:
    s, records, w = mixed()
    f = fit_flow(s, SplinePlan("shape", base))
    rows = of_records(s, records, f, w)
    known: Any = rows.known
    k = len(rows.places.between)
    upper = rows.wide + np.concatenate([rows.lower[:k], np.zeros((len(rows.wide) - k, rows.wide.shape[1]))])
    A, D, U, L = (torch.tensor(M) for M in (known.A, known.D, upper, rows.lower))
    weights = [torch.tensor(w[at]) for at in rows.places]

    def value(theta: torch.Tensor) -> torch.Tensor:
        z, u, low = A @ theta, U @ theta, L @ theta
        cdf = torch.special.ndtr if base == "normal" else torch.sigmoid
        log_base = (
            -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
            if base == "normal"
            else -z - 2 * torch.nn.functional.softplus(-z)
        )
        parts = (
            log_base + torch.log(D @ theta),
            torch.log(cdf(u[:k]) - cdf(low[:k])),
            torch.log(cdf(u[k:])),
            torch.log(cdf(-low[k:])),
        )
        return sum((a * b).sum() for a, b in zip(weights, parts, strict=True))  # type: ignore[return-value]

    theta = torch.tensor(f.smooth.theta * 1.01)
    forms = rows.forms(theta.numpy())
    ours = evaluate(rows, BASES[base], *forms)
    score = torch.autograd.functional.jacobian(value, theta).numpy()
    information = -torch.autograd.functional.hessian(value, theta).numpy()
    assert ours.loglik == pytest.approx(float(value(theta)), rel=1e-12)
    assert loglik(rows, BASES[base], *forms) == ours.loglik
    np.testing.assert_allclose(ours.score, score, rtol=AUTODIFF, atol=AUTODIFF * np.abs(score).max())
    np.testing.assert_allclose(
        ours.information, information, rtol=AUTODIFF, atol=AUTODIFF * np.abs(information).max()
    )
    scores, roots = rows.scores(BASES[base], theta.numpy())
    np.testing.assert_allclose(w @ scores, score, rtol=AUTODIFF, atol=AUTODIFF * np.abs(score).max())
    np.testing.assert_allclose(
        np.einsum("nqi,nqj,n->ij", roots, roots, w),
        information,
        rtol=AUTODIFF,
        atol=AUTODIFF * np.abs(information).max(),
    )


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_one_optimum_and_one_record_left_out(base: str) -> None:
    s, records, _ = mixed(1)
    f = fit_flow(s, SplinePlan("scale", base))
    rows = of_records(s, records, f)
    problem = problem_of(Prepared(f.centre, f.structure, rows), base)
    best = solve(problem, f.smooth.lam)
    rng = np.random.default_rng(2)
    for _ in range(5):
        start = problem.start * rng.uniform(0.3, 3.0)
        other = solve(replace(problem, start=start), best.lam, G=best.G, select=False)
        np.testing.assert_allclose(other.theta, best.theta, atol=1e-6)
    ours = best.left_out(problem)
    inside = best.left_out(problem, np.full(len(s.y), 1e-12))  # nothing left out
    assert (ours < inside).all()
    for places in rows.places:
        i = places[np.argmin(inside[places])]  # the least likely one moves most
        kept = np.ones(len(s.y))
        kept[i] = 0
        again = solve(replace(problem, rows=rows.reweighted(kept)), best.lam, theta=best.theta, G=best.G,
                      select=False)  # fmt: skip
        z, slope = rows.forms(again.theta)
        refit = replace(best, z=z, slope=slope).left_out(problem, np.full(len(s.y), 1e-12))[i]
        assert ours[i] == pytest.approx(refit, abs=ONE_STEP + 0.15 * (inside[i] - refit))


@pytest.mark.parametrize("base", ["normal", "logistic"])
@pytest.mark.parametrize("width", [1e-3, 1e-6])
def test_narrow_records_are_outcomes(base: str, width: float) -> None:
    s, _, _ = mixed()
    f = fit_flow(s, SplinePlan("shape", base))
    narrow = replace(s, records=Records(s.y - width / 2, s.y + width / 2))
    g = fit_flow(narrow, SplinePlan("shape", base))
    shift = len(s.y) * np.log(width)
    assert g.loglik - shift == pytest.approx(f.loglik, abs=1e-5 * len(s.y))
    np.testing.assert_allclose(g.smooth.theta, f.smooth.theta, atol=2e-5 * np.abs(f.smooth.theta).max())
    np.testing.assert_allclose(g.loo - np.log(width), f.loo, atol=1e-5 * 10)


def wages(n: int = 300) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    d, x = rng.integers(0, 2, n), rng.normal(size=n)
    w = np.exp(2 + 0.3 * d + 0.1 * x + 0.5 * rng.normal(size=n))
    return {"w": w, "capped": np.minimum(w, 16.0), "whole": np.round(w), "d": d, "x": x}


def test_a_cap_that_no_row_reaches_changes_no_bit() -> None:
    data = wages()
    exact = de.FlowDensity("w ~ d").fit(data)
    capped = de.FlowDensity("topcoded(w, at=1e6) ~ d").fit(data)
    assert np.array_equal(capped.main.theta, exact.main.theta)
    assert capped.facts.records is None


def test_what_the_records_do_not_tell_is_withheld(tmp_path: Any) -> None:
    data = wages()
    capped, exact = (de.FlowDensity(f"{y} ~ d").fit(data) for y in ("topcoded(capped, at=16)", "w"))
    names = ["q[0.25]", "q[0.5]", "q[0.95]", "mean", "std", "prob[3,10]", "prob[3,20]", "iqr"]
    with pytest.warns(errors.UnidentifiedWarning, match=r"q\[0.95\], mean, std, prob\[3,20\].*above 16"):
        e = capped.functionals(names)
    known = np.array([True, True, False, False, False, True, False, True])
    assert np.array_equal(np.isfinite(e.values), known)
    assert np.array_equal(np.isfinite(e.std_error), known)
    whole = exact.functionals(names)
    assert (np.abs(e.values - whole.values) < whole.std_error)[known].all()
    with pytest.warns(errors.UnidentifiedWarning):
        effects = capped.effect("d", 0, 1, ["q[0.25]", "q[0.9]", "mean"])
    with pytest.warns(errors.UnidentifiedWarning):
        low = capped.predict({"d": [0, 1]}, names)
    assert np.isfinite(effects.values).tolist() == [True, False, False]
    assert not np.isfinite(low.xs("q[0.95]", level="functional").estimate).any()
    curve = capped.band("quantile")
    assert curve.estimate.max() <= 16
    assert np.isnan(curve.estimate).any()
    with pytest.warns(errors.UnidentifiedWarning):
        text = str(capped.summary())
    assert "(capped was top-coded at 16)" in text
    assert f"levels 0.000 to {capped.facts.records.levels[1]:.3f}" in " ".join(text.split())
    capped.save(tmp_path / "capped.zip")
    again = de.load(tmp_path / "capped.zip")
    with pytest.warns(errors.UnidentifiedWarning):
        kept = again.predict({"d": [0, 1]}, ["q[0.25]", "q[0.99]"])
    assert np.isfinite(kept.estimate).tolist() == [True, False, True, False]
    assert again.held == Held(high=16.0)


def test_limits_beyond_the_cap_are_open() -> None:
    capped = de.FlowDensity("topcoded(capped, at=16) ~ 1").fit(wages())
    level = capped.facts.records.levels[1] - 0.002
    low, high = capped.functionals([f"q[{level}]"]).interval()[0]
    assert low < 16
    assert high == np.inf


@pytest.mark.filterwarnings("ignore:By smoothness")
@pytest.mark.parametrize(
    ("left", "options"),
    [
        ("rounded(whole, to=1)", {}),
        ("rounded(whole, to=1)", {"support": "positive"}),
        ("brackets(w, [0, 4, 6, 8, 10, 15, 20, 400])", {"support": "positive"}),
        ("log(topcoded(capped, at=16))", {}),
    ],
)
def test_effects_and_quantiles_are_near_those_of_exact_outcomes(left: str, options: dict[str, Any]) -> None:
    data, names = wages(), ["q[0.25]", "q[0.5]"]
    exact = de.FlowDensity("log(w) ~ d" if left.startswith("log") else "w ~ d", **options).fit(data)
    told = de.FlowDensity(f"{left} ~ d", **options).fit(data)
    for ours, theirs in (
        (told.functionals(names), exact.functionals(names)),
        (told.effect("d", 0, 1, names), exact.effect("d", 0, 1, names)),
    ):
        assert (np.abs(ours.values - theirs.values) < theirs.std_error).all()
        assert (ours.std_error < 1.4 * theirs.std_error).all()


def test_what_lies_inside_a_coarse_class_is_by_smoothness(tmp_path: Any) -> None:
    """Told by a warning and at the foot of tables; F at the ends of classes is told by the records."""
    data = wages()
    res = de.FlowDensity("brackets(w, [0, 4, 6, 8, 10, 15, 20, 400]) ~ d", support="positive").fit(data)
    names = ["q[0.5]", "iqr", "prob[5,10]"]
    for ask in (res.functionals, partial(res.effect, "d", 0, 1), partial(res.predict, {"d": [0.0]})):
        with pytest.warns(errors.UnidentifiedWarning, match=r"By smoothness: q\[0.5\], iqr, prob\[5,10\]\. "):
            ask(names)
        ask(["prob[4,10]"])
    with pytest.warns(errors.UnidentifiedWarning, match="By smoothness"):
        told = res.effects(["q[0.5]", "prob[4,10]"])
    assert told.smooth == (True, False)
    assert "By smoothness: q[0.5]. " in " ".join(str(told.summary()).split())
    with pytest.warns(errors.UnidentifiedWarning, match="By smoothness"):
        text = " ".join(str(res.summary()).split())
    assert "By smoothness: mean, std, q[0.1], q[0.25], q[0.5], q[0.75], q[0.9]. " in text
    res.save(tmp_path / "res.zip")
    again = de.load(tmp_path / "res.zip")
    assert again.held == res.held
    assert any(again.effects().smooth)
    fine = de.FlowDensity(f"rounded(fine, to={0.25!r}) ~ d").fit(
        {**data, "fine": np.round(data["w"] * 4) / 4}
    )
    fine.effects(["mean", "q[0.5]"])  # no class of these holds many


@pytest.mark.parametrize("seed", [5, 8, 10])  # in which the marginal likelihood has no bend at all
def test_the_bend_before_a_cap_is_not_dropped(seed: int) -> None:
    """Limits of a quantile near the cap held it in .69 of such samples without one."""
    rng = np.random.default_rng([24, 500, seed])
    wide = rng.random(500) < 0.3
    y = np.where(wide, rng.normal(1.5, 1.5, 500), rng.normal(0, 0.6, 500))
    capped = de.FlowDensity("topcoded(y, at=2.5) ~ 1").fit({"y": np.minimum(y, 2.5)})
    assert capped.edf > 3 + 0.9 * LEAST_BEND  # level, slope and its change apart


def test_noise_inside_of_records_is_that_of_outcomes_told_exactly() -> None:
    """The influence's variance inside of records, by a thousand levels in each, is what is added."""
    res = de.FlowDensity("rounded(whole, to=1) ~ d").fit(wages())
    names = ["q[0.5]", "iqr", "prob[5.5,9.5]"]
    a = res.answering(names, None, near=True)
    effects = a.variables(np.full(len(a.X), 1 / len(a.X)))
    below, width = a.seen.below, a.seen.pit - a.seen.below
    levels = below + width * ((np.arange(1000) + 0.5) / 1000)[:, None]
    exact = [replace(effects, seen=a.seen._replace(pit=u, below=None)) for u in levels]
    for functional in a.functionals:
        if functional[0] == "prob":
            low, high = (effects._own.at(end).cdf for end in functional[1])
            draws = (low < levels) & (levels <= high)
        else:
            value = effects._values(functional)
            draws = np.array([one._influence(functional, value) for one in exact])
        np.testing.assert_allclose(effects._inside(functional), draws.var(axis=0), rtol=0.01, atol=1e-3)


@pytest.mark.filterwarnings("ignore:By smoothness")
def test_weights_that_count_are_rows() -> None:
    data, w = wages(120), np.random.default_rng(5).integers(1, 4, 120)
    model = "brackets(w, [0, 4, 6, 8, 10, 15, 20, 400]) ~ d"
    few = de.FlowDensity(model, support="positive", weights="n", weight_type="frequency").fit(
        {**data, "n": w}
    )
    many = de.FlowDensity(model, support="positive").fit({k: np.repeat(v, w) for k, v in data.items()})
    assert few.llf == pytest.approx(many.llf, abs=1e-6)
    np.testing.assert_allclose(few.estimates.values, many.estimates.values, rtol=1e-5)
    np.testing.assert_allclose(few.estimates.std_error, many.estimates.std_error, rtol=1e-4)


def test_held_out_records_are_scored_by_their_probability() -> None:
    data = wages()
    names = {"flow": "shape", "line": "linear"}
    models = {
        k: de.FlowDensity("rounded(whole, to=1) ~ d", flow=de.MonotoneSpline(structure=v))
        for k, v in names.items()
    }
    cv = de.cross_validate(models, data, folds=3, seed=0)
    assert cv.outcome == "rounded(whole, to=1)"
    assert (cv.log_scores <= 0).all(axis=None)
    assert cv.uniformity("flow").p_value > 1e-4
    found = de.FlowDensity("rounded(whole, to=1) ~ d").fit(data).diagnose(3, seed=0)
    assert found.log_score.mean() == pytest.approx(cv.log_scores["flow"].mean(), abs=0.1)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (
            lambda r: de.FlowDensity("rounded(whole, to=1) ~ d", flow=de.Planar(layers=2)).fit(wages()),
            errors.OutcomeError,
            "flow by name",
        ),
        (
            lambda r: de.FlowDensity("rounded(whole, to=1) + w ~ d").fit(wages()),
            errors.OutcomeError,
            "several outcomes",
        ),
    ],
)
def test_what_takes_outcomes_as_they_are_refuses_records(call: Any, error: Any, word: str) -> None:
    res = de.FlowDensity("rounded(whole, to=1) ~ d").fit(wages())
    with pytest.raises(error, match=word):
        call(res)


@pytest.mark.parametrize(
    ("formula", "error", "words"),
    [
        ("interval(w, top) ~ 1", errors.OutcomeError, "censored on one side"),
        ("interval(low, high) ~ d", errors.SeparationError, "Separation"),
        ("brackets(w, [-inf, 8, inf]) ~ d", errors.OutcomeError, "tell 1 point of it.*Logit"),
    ],
)
def test_records_without_a_maximum_are_refused(formula: str, error: Any, words: str) -> None:
    data = wages()
    top = np.full(len(data["w"]), np.inf)
    low, high = np.where(data["d"] == 1, 2.0, data["w"]), np.where(data["d"] == 1, np.inf, data["w"])
    with pytest.raises(error, match=words):
        de.FlowDensity(formula).fit({**data, "top": top, "low": low, "high": high})


@pytest.mark.parametrize("kind", ["q[0.9]", "prob"])
def test_the_step_of_an_effect_moves_as_it_is_said_to(kind: str) -> None:
    """Over all records under the law, E ψ moves with θ by −E ψs', which is not what exact outcomes give."""
    bounds = np.array([4.0, 6.0, 8.0, 10.0, 15.0])
    res = de.FlowDensity("brackets(w, [0, 4, 6, 8, 10, 15, 400]) ~ d").fit(wages())
    flow, theta = res.flow, res.undersmoothed.theta
    X, at = np.repeat([[0.0], [1.0]], 6, axis=0), np.tile(np.arange(6), 2)
    ends = np.concatenate([[-np.inf], bounds, [np.inf]])
    s = SplineSample(np.zeros(12), X, ((0,),), records=Records(ends[at], ends[at + 1]))

    def psi(theta: Array) -> tuple[Array, Array]:
        law = flow.law(theta, X)
        below, above = law.cdf(s.records.lower), law.cdf(s.records.upper)  # type: ignore[union-attr]
        seen = Seen(s.y, above, 12, frozenset(), below)
        if kind == "q[0.9]":
            return 0.9 - seen.at_most(0.9), above - below
        low, high = (law.cdf(np.full(12, y)) for y in (7.0, 12.0))
        return seen.at_most(high) - seen.at_most(low) - (high - low), above - below

    own, p = psi(theta)
    W = np.kron(np.eye(2), np.ones((6, 1))) * p[:, None]
    np.testing.assert_allclose(W.T @ own, 0, atol=1e-12)
    said = -RecordScores(flow, theta, s).products(W * own[:, None])
    h = 1e-5
    steps = h * np.eye(len(theta))
    moved = np.array([W.T @ (psi(theta + v)[0] - psi(theta - v)[0]) / (2 * h) for v in steps])
    np.testing.assert_allclose(moved.T, said, atol=1e-8)


def test_knots_do_not_depend_on_the_order_of_records_or_on_how_they_are_counted() -> None:
    rng = np.random.default_rng(4)
    bounds = np.array([-4.0, -1.0, 0.0, 0.3, 1.0, 5.0])
    at, x, counts = rng.integers(0, 5, 60), rng.integers(0, 2, (60, 1)).astype(float), rng.integers(1, 40, 60)
    told, order = Records(bounds[at], bounds[at + 1]), rng.permutation(60)

    def knots(rows: Array, weights: Array | None = None) -> Array:
        s = SplineSample(np.zeros(len(rows)), x[rows], ((0,),), weights, weights is not None)
        return knots_of(replace(s, records=told.rows(rows)).on_line(), 12, 3.0)

    each = knots(np.repeat(np.arange(60), counts))
    assert len(each) >= 10  # not at the three midpoints
    np.testing.assert_allclose(knots(order, counts[order].astype(float)), each, rtol=1e-8, atol=1e-9)


def test_draws_of_rows_keep_their_records() -> None:
    model = de.FlowDensity("rounded(whole, to=1) ~ d")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boot = de.bootstrap(model, wages(), reps=8, seed=0)
    assert np.isfinite(boot.bse).all()


def test_pictures_end_where_nothing_is_told() -> None:
    from matplotlib import pyplot as plt

    res = de.FlowDensity("topcoded(capped, at=16) ~ x").fit(wages())
    fan, density = res.plot("quantile_fan", "x"), res.plot("density")
    assert np.nanmax(fan.data.to_numpy()) <= 16
    assert density.data.estimate[density.data.y > 16].isna().all()
    told = de.FlowDensity("brackets(w, [0, 4, 6, 8, 10, 15, 20, 400]) ~ x").fit(wages()).plot("density")
    assert told.lines[0].get_linestyle() == "--"
    plt.close("all")


def test_laws_over_other_rows_and_decompositions_end_where_nothing_is_told() -> None:
    data = wages()
    capped = de.FlowDensity("topcoded(capped, at=16) ~ x").fit(data)
    moved, names = capped.counterfactual({"x": data["x"] * 0.9}), ["q[0.5]", "prob[3,10]", "mean", "gini"]
    with pytest.warns(errors.UnidentifiedWarning, match="Withheld: mean, gini, prob.3,20., q.0.95.*above 16"):
        found = moved.functionals([*names, "prob[3,20]", "q[0.95]", capped.recorded_mean])
    known = [True, True, False, False, False, False, True]
    assert np.isfinite(found.values).tolist() == np.isfinite(found.std_error).tolist() == known
    curve = moved.quantiles([0.5, 0.95])
    assert curve.isna().all(axis=1).tolist() == [False, True]
    with pytest.warns(errors.UnidentifiedWarning, match="mean"):
        parts = de.decompose(capped.model, data, by="d", functionals=["mean", "q[0.25]"], seed=0)
    assert np.isfinite(parts.estimates.std_error).tolist() == [False] * 3 + [True] * 3
    assert parts.tests().isna().any().tolist() == [False] * 6 + [True]  # W1 is of whole laws
    assert parts.quantiles().loc["total"].conf_low.isna().tolist() == (parts.levels > 0.8).tolist()
    assert "where outcomes above 16 lie" in " ".join(str(parts.summary()).split())


def test_a_side_that_the_support_closes_is_an_end() -> None:
    """Below a floor of a positive outcome is between zero and it, for effects on means as elsewhere."""
    data = wages()
    open_, closed = (np.where(data["w"] > 6, data["w"], end) for end in (-np.inf, 0.0))
    data |= {"open": open_, "closed": closed, "high": np.maximum(data["w"], 6.0)}
    told = [
        de.FlowDensity(f"interval({low}, high) ~ d + x", support="positive").fit(data)
        for low in ("open", "closed")
    ]
    for answer in (
        lambda r: r.effect("d", 0, 1, ["mean", "q[0.5]"]),
        lambda r: r.derivative("x", "mean"),
        lambda r: r.functionals(["mean", "q[0.2]"]),
    ):
        a, b = map(answer, told)
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.covariance, b.covariance)
    assert told[0].facts.records == told[1].facts.records


def test_moments_that_the_tail_decides_are_withheld_of_rounded_outcomes_too() -> None:
    """Of Cauchy wages, told exactly or to a thousandth, the same moments go."""
    rng = np.random.default_rng(0)
    data = {"y": np.maximum(np.exp(rng.standard_t(1.5, 300)).round(3), 0.001)}
    for left in ("y", "rounded(y, to=0.001)"):
        with pytest.warns(errors.InfiniteMomentWarning, match="Withheld: mean"):
            found = (
                de.FlowDensity(f"{left} ~ 1", support="positive").fit(data).functionals(["mean", "q[0.5]"])
            )
        assert np.isfinite(found.values).tolist() == [False, True]


def test_effects_are_withheld_by_the_share_of_rows_beyond_the_cap() -> None:
    """Of few rows a warning says the share; of many nothing is given, and the summary says why."""
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=400), rng.integers(0, 2, 400)
    y = 1 + x + d + rng.normal(size=400)
    data = {"y": y, "capped": np.minimum(y, 2.5), "x": x, "d": d}
    capped, exact = (
        de.FlowDensity(f"{left} ~ x + d").fit(data) for left in ("topcoded(capped, at=2.5)", "y")
    )
    whole = exact.effect("d", 0, 1, "q[0.1]")
    with pytest.warns(errors.UnidentifiedWarning) as told:
        found = capped.effect("d", 0, 1, ["q[0.1]", "q[0.5]", "iqr", "mean", "prob[0,1]"])
    assert np.isfinite(found.std_error).tolist() == [True, False, False, False, True]
    assert abs(found.values[0] - whole.values[0]) < 0.5 * whole.std_error[0]
    law = capped.distribution({"x": x, "d": np.ones(400, int)})
    share = (law.quantile(0.1) > 2.5).mean()
    words = " ".join(str(w.message) for w in told)
    assert 0 < share < 0.05
    assert f"q[0.1] ({share:.1%})" in words
    assert "q[0.5] (26% of it above 2.5)" in words
    with pytest.warns(errors.UnidentifiedWarning):  # rows weigh by their distance in a coefficient
        effects = capped.effects("q[0.1]")
    assert np.isfinite(effects.estimates.values).tolist() == [False, True]
    assert np.isfinite(effects.slopes.values[0])
    assert "Withheld: the records tell nothing of where outcomes above 2.5 lie" in str(effects.summary())


def test_a_row_that_lacks_a_covariate_takes_nothing_from_the_others() -> None:
    """No errors of theirs, of any outcome, and no word of a cap that none of them has."""
    data, names = wages(), ["q[0.25]", "prob[3,10]"]
    new = {"d": [0, 0], "x": [0.1, np.nan]}
    for left in ("topcoded(capped, at=16)", "w"):
        res = de.FlowDensity(f"{left} ~ d + x").fit(data)
        both, alone = res.predict(new, names, ci=True), res.predict({"d": [0], "x": [0.1]}, names, ci=True)
        np.testing.assert_allclose(both.loc[0], alone.loc[0], rtol=1e-7)
        assert both.loc[1].isna().all(axis=None)
