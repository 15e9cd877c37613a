"""`MinimumWasserstein`: closed forms, coverage on the g-and-k law, fit test, files,
what is refused and told.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import (
    ConditioningWarning,
    ConvergenceWarning,
    DataError,
    DiscreteOutcomeWarning,
    NeedsData,
    OptionError,
)
from disteconometrics.inference.minimum_distance import Bounds
from disteconometrics.transport import one_dim

TRUE = np.array([3.0, 1.0, 2.0, 0.5])


def line(theta, x, z):
    return theta[0] + theta[1] * z


def g_and_k(theta, x, z):
    a, b, g, k = theta
    return a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z


GK = de.MinimumWasserstein(
    "y ~ 1",
    g_and_k,
    start={"a": 2.0, "b": 1.5, "g": 1.0, "k": 0.3},
    bounds={"b": (0, None), "k": (-0.5, None)},
)


def test_a_location_scale_law_is_least_squares_on_order_statistics() -> None:
    y = 2 + 3 * np.random.default_rng(1).gamma(2.0, size=301)
    res = de.MinimumWasserstein("y ~ 1", line, start=[0.0, 1.0], trim=0, starts=1).fit({"y": y}, seed=1)
    problem = res.data_rows().problem
    n = len(y)
    z = np.sort(problem.simulate(np.array([0.0, 1.0])))
    slope = z @ np.sort(y) / (z @ z)
    np.testing.assert_allclose(res.params, [y.mean(), slope], rtol=1e-6)
    assert res.bse.iloc[0] == pytest.approx(y.std() / np.sqrt(n), rel=1e-3)
    distance = one_dim.wasserstein(y, problem.simulate(res.params.to_numpy()), 2).distance
    assert res.distance == pytest.approx(distance, rel=1e-9)


def test_bounds_go_there_and_back() -> None:
    b = Bounds(np.array([-np.inf, 0.0, -np.inf, -1.0]), np.array([np.inf, np.inf, 5.0, 1.0]))
    theta = np.array([3.0, 2.0, -4.0, 0.3])
    np.testing.assert_allclose(b.to_theta(b.to_free(theta)), theta, rtol=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize(("reps", "slack"), [(100, 4), pytest.param(2000, 3, marks=pytest.mark.slow)])
def test_coverage_on_the_g_and_k_law(reps: int, slack: float) -> None:
    """Band, stated first: coverage of each parameter in [.92, .975]; no fit is worse than the truth."""
    hits, widths = np.zeros(4), np.zeros(4)
    for r in range(reps):
        y = g_and_k(TRUE, None, np.random.default_rng([4, r]).normal(size=500))
        res = GK.fit({"y": y}, seed=1)
        assert res.converged
        problem = res.data_rows().problem
        gap = (problem.curves(TRUE) - np.sort(problem.projected(problem.y), axis=1))[:, problem.kept()]
        assert res.distance**2 <= np.mean(gap**2) * problem.spread**2  # g itself may be far: tanh saturates
        low, high = res.conf_int().to_numpy().T
        hits += (low <= TRUE) & (high >= TRUE)
        widths += high - low
    print("g-and-k law, 500 rows: coverage", hits / reps, "mean width", widths / reps)
    error = slack * np.sqrt(0.92 * 0.08 / reps)
    assert ((hits / reps >= 0.92 - error) & (hits / reps <= 0.975 + error)).all()


def test_a_seed_repeats_and_covariates_are_matched_in_slices() -> None:
    def model(theta, x, z):
        return theta[0] + theta[1] * x[:, 0] + np.exp(theta[2]) * z

    rng = np.random.default_rng(3)
    x = rng.normal(size=600)
    d = {"y": 1 + 2 * x + 0.5 * rng.normal(size=600), "x": x}
    spec = de.MinimumWasserstein("y ~ x", model, start={"c": 0.0, "slope": 0.0, "s": 0.0}, starts=1)
    res = spec.fit(d, seed=5)
    assert (res.params == spec.fit(d, seed=5).params).all()
    np.testing.assert_allclose(res.params, [1, 2, np.log(0.5)], atol=0.12)  # standard errors .02, .02, .03
    assert "10 simulated rows for each row" in str(res.summary())
    alone = de.MinimumWasserstein(
        "y ~ x", model, start={"c": 0.0, "slope": 0.0, "s": 0.0}, starts=1, copies=1
    ).fit(d, seed=5)
    assert alone.bse.isna().all()
    assert "bootstrap" in str(alone.summary())


def hetero(theta: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return theta[0] + theta[1] * x[:, 0] + np.exp(theta[2] + theta[3] * x[:, 0]) * z


def many(theta: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return theta[0] + x @ theta[1:4] + np.exp(theta[4]) * z


def two_shocks(theta: np.ndarray, x: None, z: np.ndarray) -> np.ndarray:
    return theta[0] + np.exp(theta[1]) * z[:, 0] + np.exp(theta[2] + z[:, 1])


@pytest.mark.statistical
@pytest.mark.parametrize(  # with the bands' Monte Carlo errors: 4 of .90's, or 3.5 of .94's
    ("reps", "error"), [(8, 4 * 0.3), pytest.param(1000, 3.5 * np.sqrt(0.06), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("simulator", "truth", "q", "n"),
    [
        (hetero, (1.0, 2.0, -0.5, 0.3), 1, 500),
        (many, (1.0, 2.0, 0.5, -1.0, 0.0), 1, 500),
        (two_shocks, (1.0, 0.0, -0.5), 2, 800),
    ],
    ids=["scale moves with x", "three covariates", "two shocks"],
)
def test_coverage_where_random_numbers_are_no_grid(
    simulator, truth: tuple[float, ...], q: int, n: int, reps: int, error: float
) -> None:
    """Band, stated first: each parameter covered with probability in [.90, .985]."""
    K = {hetero: 1, many: 3, two_shocks: 0}[simulator]
    names = [f"x{j}" for j in range(K)]
    model = de.MinimumWasserstein(
        f"y ~ {' + '.join(names) or '1'}",
        simulator,
        start=[0.9 * v + 0.05 for v in truth],
        starts=1,
        noise_dim=q,
    )
    hits = np.zeros(len(truth))
    for r in range(reps):
        rng = np.random.default_rng([8, r])
        x = rng.normal(size=(n, K))
        y = simulator(np.array(truth), x, rng.normal(size=n if q == 1 else (n, q)))
        low, high = model.fit({"y": y} | dict(zip(names, x.T, strict=True)), seed=r).conf_int().to_numpy().T
        hits += (low <= truth) & (high >= truth)
    if reps > 500:
        print(simulator.__name__, hits / reps)
    error /= np.sqrt(reps)
    assert ((hits / reps >= 0.90 - error) & (hits / reps <= 0.985 + error)).all()


def test_the_fit_test_and_files() -> None:
    rng = np.random.default_rng(7)
    right = de.MinimumWasserstein("y ~ 1", line, start=[0.0, 1.0])
    near = right.fit({"y": rng.normal(size=400)}, seed=1).fit_test(99, seed=2)
    res = right.fit({"y": rng.exponential(size=400)}, seed=1)
    far = res.fit_test(99, seed=2)
    assert 100 * near.p_value == pytest.approx(round(100 * near.p_value))
    assert far.p_value == 0.01
    # 12 seeds: .044 ± .007, .262 ± .031; a p-value under the null has no margin, distances have
    assert near.statistic < 0.12 < far.statistic
    plt.close(res.plot().figure)
    file = io.BytesIO()
    res.save(file)
    file.seek(0)
    loaded = de.load(file)
    assert str(loaded.summary()) == str(res.summary())
    for call in (loaded.fit_test, loaded.plot, loaded.distribution, lambda: loaded.attach({"y": [1.0]})):
        with pytest.raises(NeedsData):
            call()


def test_refused() -> None:
    y = {"y": np.random.default_rng(1).normal(size=100)}
    for wrong in (
        {"start": []},
        {"start": [np.nan]},
        {"noise": "t"},
        {"trim": 0.3},
        {"copies": 0},
        {"starts": 0},
    ):
        with pytest.raises(OptionError):
            de.MinimumWasserstein("y ~ 1", line, **{"start": [0.0, 1.0], **wrong})
    for bounds in ({"nope": (0, 1)}, {"theta[0]": (1, 2)}, {"theta[0]": 3}):
        with pytest.raises(OptionError):
            de.MinimumWasserstein("y ~ 1", line, start=[0.0, 1.0], bounds=bounds)
    with pytest.raises(OptionError, match="discrete outcome"):
        de.MinimumWasserstein("y ~ 1", lambda t, x, z: np.round(t[0] + z), start=[0.0]).fit(y)
    own = np.random.default_rng(1)
    with pytest.raises(OptionError, match="other outcomes when it is called again"):
        de.MinimumWasserstein(
            "y ~ 1", lambda t, x, z: t[0] + t[1] * own.normal(size=len(z)), start=[0.0, 1.0]
        ).fit(y)
    with pytest.raises(OptionError, match="one outcome a row"):
        de.MinimumWasserstein("y ~ 1", lambda t, x, z: t[0], start=[0.0]).fit(y)
    with pytest.raises(OptionError, match="not finite"):
        de.MinimumWasserstein("y ~ 1", lambda t, x, z: np.log(t[0] + z), start=[0.0]).fit(y)
    with pytest.raises(DataError, match="too few"):
        de.MinimumWasserstein("y ~ 1", line, start=[0.0, 1.0]).fit({"y": np.arange(8.0)})


def test_told() -> None:
    rng = np.random.default_rng(1)
    with pytest.warns(ConditioningWarning):
        res = de.MinimumWasserstein("y ~ 1", lambda t, x, z: t[0] + t[1] + z, start=[0.0, 1.0], starts=1).fit(
            {"y": rng.normal(size=100)}
        )
    assert res.bse.isna().all()
    with pytest.warns(DiscreteOutcomeWarning, match="2 distinct values in 100 rows"):
        de.MinimumWasserstein("y ~ 1", line, start=[0.0, 1.0], starts=1).fit(
            {"y": rng.integers(0, 2, 100).astype(float)}, seed=1
        )
    bounded = de.MinimumWasserstein(
        "y ~ 1", line, start={"m": 0.5, "s": 1.0}, bounds={"m": (0, None)}, starts=1
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        bounded.fit({"y": rng.normal(size=100) - 2})
    assert any(w.category is ConvergenceWarning and "at its bound 0" in str(w.message) for w in told)


def test_a_fit_checks_itself_by_simulation() -> None:
    y = np.random.default_rng(0).normal(2.0, 3.0, size=200)
    model = de.MinimumWasserstein(
        "y ~ 1", lambda theta, x, z: theta[0] + theta[1] * z, start=[0.0, 1.0], bounds={"theta[1]": (0, None)}
    )
    res = model.fit({"y": y}, seed=1)
    assert replace(model, formula="y ~ 1") == model
    with pytest.raises(OptionError, match="design='fitted'"):
        res.monte_carlo(2, design="pairs")
    check = res.monte_carlo(200, seed=2, progress=False)
    table = check.table()
    np.testing.assert_allclose(table["truth"], res.params)
    assert (np.abs(table["se_ratio"] - 1) < 4 * table["se_ratio_mcse"]).all()
    assert (np.abs(table["coverage"] - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 200)).all()
    given = de.MinimumWasserstein(
        "y ~ x", lambda theta, x, z: theta[0] + x[:, 0] + np.exp(theta[1]) * z, start=[0.0, 0.0]
    )
    x = np.random.default_rng(1).normal(size=200)
    table = given.fit({"y": y + x, "x": x}, seed=1).monte_carlo(60, seed=2, progress=False).table()
    # 10 seeds: 1.06 ± .10, 1.00 ± .11, as their Monte Carlo errors say
    assert (np.abs(table["se_ratio"] - 1) < 5 * table["se_ratio_mcse"]).all()


def test_errors_that_would_be_chance_are_withheld() -> None:
    """A premium so small that nothing in the data shows it."""

    def wage(theta: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (
            theta[0]
            + theta[1] * x[:, 0]
            + np.exp(theta[2]) * z[:, 0]
            + np.exp(theta[3]) * np.maximum(z[:, 1], 0)
        )

    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    data = {"y": 1 + 0.1 * x + 0.4 * rng.normal(size=200), "x": x}
    model = de.MinimumWasserstein("y ~ x", wage, start=[0.9, 0.1, -1.0, -3.0], noise_dim=2, starts=1)
    with pytest.warns(ConditioningWarning, match="do not tell the parameters apart"):
        res = model.fit(data, seed=1)  # so in 40 of 40 seeds; here the premium ends at exp(−19)
    assert res.bse.isna().all()
