"""One table of processes, one contract: draws follow the law they declare, and their truths are true."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import disteconometrics as de
from disteconometrics.errors import OptionError
from disteconometrics.simulate.dgp import Process, _Truths

PROCESSES: dict[str, Process] = {name: getattr(de.dgps, name)() for name in de.dgps.__all__}
BINARY = {name for name in PROCESSES if "Logit" in name or name == "RandomUtilityChoice"}
CODES = {"id", "alternative"}  # of long data, whole numbers
ROWS = 20_000
LAW_ROWS = 5_000
BAND = 4.5  # standard errors: about 7 in a million; seeds are fixed


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> Process:
    return PROCESSES[request.param]


def test_a_process_is_a_value(process: Process) -> None:
    assert process == type(process)()
    assert hash(process) == hash(type(process)())
    assert repr(process).startswith(type(process).__name__ + "(")
    assert pickle.loads(pickle.dumps(process)) == process
    first, again = (process(np.random.default_rng(3), n=50) for _ in range(2))
    assert next(iter(first)) == process.outcome
    for name, values in first.items():
        assert values.dtype == (np.int64 if name in CODES else np.float64)
        assert values.shape == (50 * getattr(process, "alternatives", 1),)
        assert np.array_equal(values, again[name])
    assert not np.array_equal(
        first[process.outcome], process(np.random.default_rng(4), n=50)[process.outcome]
    )
    each = getattr(process, "alternatives", 1)
    assert len(process(np.random.default_rng(3))[process.outcome]) == 1000 * each
    assert len(process(np.random.default_rng(3), n=7)[process.outcome]) == 7 * each


def test_draws_follow_the_law(process: Process) -> None:
    """Outcomes' distribution transforms are uniform (KS at 1e-5), or 0/1 residuals have mean zero
    beside 1, x and x².
    """
    rows = process.population(np.random.default_rng(5), LAW_ROWS)
    law, y = process.law(rows), rows[process.outcome]
    if law.discrete:
        p, x = law.mean(), rows["price" if "price" in rows else "x"]
        for h in (np.ones(len(x)), x, x**2, np.abs(x)):
            spread = np.sqrt((h**2 * p * (1 - p)).sum())
            groups = rows.get("cluster", rows.get("id"))
            if groups is not None:  # sums of dependent residuals: robust to the clusters
                spread = np.sqrt((np.bincount(groups.astype(int), h * (y - p)) ** 2).sum())
            assert abs((h * (y - p)).sum()) < BAND * spread
        return
    u = law.cdf(y)
    assert scipy.stats.kstest(u, "uniform").statistic < 2.46 / np.sqrt(LAW_ROWS)
    for other in rows.keys() - {process.outcome, "d"}:  # independent of the covariates
        assert abs(np.corrcoef(u, rows[other])[0, 1]) < BAND / np.sqrt(LAW_ROWS)
    assert process.logpdf(rows) == pytest.approx(law.logpdf(y), rel=0)


def test_truths_are_true(process: Process) -> None:
    """Against functionals of a large sample, with the errors of both."""
    parts = [process.population(np.random.default_rng([6, i]), ROWS)[process.outcome] for i in range(20)]
    names = ["mean", "var", "cdf[0.5]", "prob[0.5,2]"] + (
        [] if process in [PROCESSES[b] for b in BINARY] else ["q[0.9]", "iqr"]
    )
    for name, truth in process.truth(names).items():
        sample = np.array([de.Empirical(part).functional(name) for part in parts])
        error = np.hypot(sample.std(ddof=1) / np.sqrt(20), truth.error)
        assert abs(sample.mean() - truth.value) < BAND * error + 1e-4, (
            name
        )  # quantiles of 20,000 rows have a bias of that order
        assert truth.error < 0.01


def test_closed_forms_equal_the_integral(process: Process) -> None:
    if not (process.closed_forms() and process.marginal() is None):
        return
    integral = _Truths(process)
    integral.known = {}
    for name, value in process.closed_forms().items():
        found = integral.one(name)
        assert abs(found.value - value) < BAND * found.error + 1e-10, name


@pytest.mark.parametrize("name", ["RandomUtilityLogit", "ClusteredLogit", "WeightedLogit"])
def test_coefficients_are_those_of_the_right_logit(name: str) -> None:
    process = PROCESSES[name]
    weights = {"weights": "w", "weight_type": "sampling"} if name == "WeightedLogit" else {}
    cov = de.Cluster("cluster") if name == "ClusteredLogit" else "HC0"
    found = de.pseudo_true(de.Logit("y ~ x", **weights), process, fit={"cov": cov})
    for term, truth in process.truth(["Intercept", "x"]).items():
        assert truth.error == 0
        assert abs(found[term].value - truth.value) < BAND * found[term].error


def test_a_wrong_logit_is_seen_to_be_wrong() -> None:
    unweighted = de.pseudo_true(de.Logit("y ~ x"), PROCESSES["WeightedLogit"])
    assert abs(unweighted["x"].value - 1.0) > 50 * unweighted["x"].error
    clustered = de.Logit("y ~ x").fit(de.dgps.ClusteredLogit()(np.random.default_rng(1), n=20_000))
    assert (clustered.with_cov(de.Cluster("cluster")).bse > 1.2 * clustered.bse).all()
    for name in ("HeteroskedasticLogit", "QuadraticLogit"):
        assert PROCESSES[name].parameters() == {}
        with pytest.raises(OptionError, match="not known"):
            PROCESSES[name].truth(["x"])


def test_least_squares_terms_of_location_scale() -> None:
    table = de.dgps.LocationScale()(np.random.default_rng(2), n=200_000)
    X = np.column_stack([np.ones(200_000), table["x"]])
    b = np.linalg.lstsq(X, table["y"], rcond=None)[0]
    assert b == pytest.approx([1.0, 2.0], abs=0.02)


def test_average_effects() -> None:
    process = de.dgps.RandomUtilityLogit()
    x, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    p = 1 / (1 + np.exp(-(1 + 2 * x)))
    step = 1 / (1 + np.exp(-3.0)) - 1 / (1 + np.exp(-1.0))
    truth = process.truth(["ame[x]", "ame[x:0->1]", "ame[x: 0 -> 1 ]"])
    assert abs(truth["ame[x]"].value - (w * 2 * p * (1 - p)).sum()) < BAND * truth["ame[x]"].error
    assert truth["ame[x:0->1]"].value == pytest.approx(step, rel=1e-12)
    assert truth["ame[x: 0 -> 1 ]"].value == pytest.approx(step, rel=1e-12)
    one = _Truths(
        de.DGP(
            lambda t: de.Normal(np.sin(t["x"]), 1),
            lambda rng, n: {"x": np.full(n, 0.3) + 1e-3 * rng.random(n)},
        )
    )
    assert one.one("ame[x]").value == pytest.approx(np.cos(0.3005), rel=1e-6)


def test_entropies_of_the_joint_laws() -> None:
    """Minus the mean log density of draws, against entropies from elsewhere;
    the circles' density also integrates to one.
    """
    for name, entropy in {"UniformNormal": 1.6121, "NoisySine": 0.9081}.items():
        table = PROCESSES[name](np.random.default_rng(7), n=200_000)
        log_density = PROCESSES[name].joint_logpdf(table)
        assert abs(-log_density.mean() - entropy) < BAND * log_density.std() / np.sqrt(200_000) + 5e-5
    bimodal = de.dgps.Bimodal()
    law = bimodal.law({})
    assert -law.expect(law.logpdf) == pytest.approx(1.4823, abs=5e-5)
    circles = de.dgps.TwoCircles()
    grid = np.linspace(-2.4, 2.4, 801)
    x1, x2 = (a.ravel() for a in np.meshgrid(grid, grid))
    assert np.exp(circles.joint_logpdf({"x1": x1, "x2": x2})).sum() * 0.006**2 == pytest.approx(1, abs=1e-10)
    few = circles(np.random.default_rng(8), n=200)
    split = circles.logpdf(few) + circles.marginal().logpdf(
        few["x1"]
    )  # p(x2|x1)·p(x1), and both coordinates have one law
    assert split == pytest.approx(circles.joint_logpdf(few), abs=1e-10)
    assert np.std(circles(np.random.default_rng(9), n=100_000)["x1"]) == pytest.approx(1, abs=0.01)
    assert circles.marginal().std() == pytest.approx(1, abs=1e-12)


def test_roy() -> None:
    """The law of the chosen outcome and the effects of choosing, against both outcomes drawn by hand."""
    process = de.dgps.Roy(correlation=-0.4, cost=0.1, push=0.8)
    rng = np.random.default_rng(10)
    n = 400_000
    w = rng.multivariate_normal([1.0, 1.5], [[0.25, -0.2], [-0.2, 1.0]], size=n)
    z = rng.normal(size=n)
    d = w[:, 1] - w[:, 0] > 0.1 + 0.8 * z
    gain = w[:, 1] - w[:, 0]
    truth = process.truth(["ate", "att", "atu", "share"])
    for name, values in {"ate": gain, "att": gain[d], "atu": gain[~d], "share": d.astype(float)}.items():
        assert abs(values.mean() - truth[name].value) < BAND * values.std() / np.sqrt(len(values)), name
    at = process.law({"z": [0.7]})
    assert at.mean() == pytest.approx(at._integrate(lambda y: y), rel=1e-9)
    low, high = at.interval(0.999999)[0]
    mass = scipy.integrate.quad(lambda y: float(at.pdf(y)[0]), low, high, epsabs=1e-12)[0]
    assert mass == pytest.approx(0.999999, abs=1e-10)


def test_cells_change_fields() -> None:
    process = de.dgps.RandomUtilityLogit()
    flat = process(np.random.default_rng(1), n=4000, slope=0.0)
    assert abs(np.corrcoef(flat["x"], flat["y"])[0, 1]) < BAND / np.sqrt(4000)
    assert process.truth(["x"], n=10, slope=0.5)["x"] == de.Truth(0.5)
    assert process == de.dgps.RandomUtilityLogit()  # unchanged
    study = de.MonteCarlo(process, {"mle": de.Logit("y ~ x")}, grid={"n": [400], "slope": [0.5, 1.0]})
    table = study.run(reps=100, seed=1).table()
    assert table["truth"].tolist() == [1.0, 0.5, 1.0, 1.0]
    assert (np.abs(table["bias"]) < 5 * table["bias_mcse"] + 0.03).all()


def test_a_process_out_of_functions() -> None:
    dgp = de.DGP(
        lambda t: de.law(de.Normal(t["x"], 0.5), [de.Exp()]),
        lambda rng, n: {"x": rng.integers(0, 2, n).astype(float)},
        outcome="wage",
        parameters={"x": 1.0},
    )
    table = dgp(np.random.default_rng(1), n=50)
    assert list(table) == ["wage", "x"]
    truth = dgp.truth(["x", "mean", "gini", "ame[x:0->1]", lambda law: law.quantile(0.5)])
    assert truth["x"] == de.Truth(1.0)
    mean = np.exp(0.125) * (1 + np.e) / 2
    assert abs(truth["mean"].value - mean) < BAND * truth["mean"].error
    assert truth["ame[x:0->1]"].value == pytest.approx(np.exp(0.125) * (np.e - 1), rel=1e-9)
    mixture = de.Mixture([de.law(de.Normal(m, 0.5), [de.Exp()]) for m in (0.0, 1.0)])
    assert abs(truth["gini"].value - mixture.functional("gini")) < BAND * truth["gini"].error
    assert abs(truth["<lambda>"].value - mixture.quantile(0.5)) < BAND * truth["<lambda>"].error


WRONG = {
    "no rows": lambda: PROCESSES["Bimodal"](np.random.default_rng(1), n=0),
    "half a row": lambda: PROCESSES["Bimodal"](np.random.default_rng(1), n=2.5),
    "a seed for a generator": lambda: PROCESSES["Bimodal"](1),
    "no field": lambda: PROCESSES["Bimodal"](np.random.default_rng(1), slope=2),
    "no field of truth": lambda: PROCESSES["Bimodal"].truth(["mean"], slope=2),
    "no name": lambda: PROCESSES["Bimodal"].truth(["nonsense"]),
    "text for a list": lambda: PROCESSES["Bimodal"].truth("mean"),
    "no covariate": lambda: PROCESSES["Bimodal"].truth(["ame[x]"]),
    "no number": lambda: PROCESSES["QuadraticLogit"].truth(["ame[x:a->b]"]),
    "no column": lambda: PROCESSES["QuadraticLogit"].law({"z": [1.0]}),
    "no law": lambda: de.DGP(3),
    "rows": lambda: de.DGP(de.Normal([1.0, 2.0])),
    "a number for a law": lambda: de.DGP(lambda t: 3.0)(np.random.default_rng(1)),
    "a field of functions": lambda: de.DGP(de.Normal())(np.random.default_rng(1), slope=1),
    "one radius": lambda: de.dgps.TwoCircles(radii=(1.0,)),
    "share": lambda: de.dgps.Bimodal(share=1.5),
    "no fit": lambda: de.pseudo_true(3, PROCESSES["Bimodal"]),
    "radius": lambda: de.dgps.TwoCircles(noise=0.0),
    "size": lambda: de.dgps.ClusteredLogit(size=0),
    "chance": lambda: de.dgps.WeightedLogit(agree=0.0),
    "correlation": lambda: de.dgps.Roy(correlation=1.0),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case: str) -> None:
    with pytest.raises(OptionError):
        WRONG[case]()
