"""Laws of optimal transport, checked on every solver: marginals, duality, symmetry, scale,
and a library as an oracle.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from disteconometrics.errors import ConvergenceWarning, DataError, OptionError
from disteconometrics.transport import discrete, one_dim, sorting
from disteconometrics.transport.gaussian import gaussian_wasserstein
from disteconometrics.transport.sinkhorn import sinkhorn, sinkhorn_divergence
from disteconometrics.transport.sliced import sliced_wasserstein

SIZES = [(1, 1), (5, 5), (7, 3), (40, 40), (137, 200), (1, 9)]


def samples(n: int, m: int, weighted: bool, seed: int = 0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.gamma(2, size=m)
    x[: n // 3] = np.round(x[: n // 3])  # ties
    return x, y, *((rng.random(n), rng.random(m)) if weighted else (None, None))


def cost(x, y, p: float) -> np.ndarray:
    x, y = (np.asarray(a).reshape(len(a), -1) for a in (x, y))
    return np.linalg.norm(x[:, None] - y[None], axis=2) ** p


def check_solution(t, p: float) -> None:
    """The coupling has the marginals given and costs what the potentials allow, which no pair violates."""
    n, m = len(t.x), len(t.y)
    a, b = (np.full(k, 1 / k) if w is None else w for w, k in ((t.wx, n), (t.wy, m)))
    C, (i, j, mass), (f, g) = cost(t.x, t.y, p), t.coupling, t.potentials
    top = max(C.max(), 1e-300)
    assert t.converged
    assert t.marginal_error < 1e-12
    assert mass @ C[i, j] == pytest.approx(t.cost, rel=1e-11, abs=1e-14 * top)
    assert (f[:, None] + g - C).max() <= 1e-11 * top
    assert a @ f + b @ g == pytest.approx(t.cost, rel=1e-10, abs=1e-12 * top)
    assert abs(a @ f) < 1e-10 * top


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_line(n: int, m: int, p: float, weighted: bool) -> None:
    x, y, u, v = samples(n, m, weighted)
    t = one_dim.wasserstein(x, y, p, u, v)
    check_solution(t, p)
    assert one_dim.wasserstein(y, x, p, v, u).distance == pytest.approx(t.distance, rel=1e-12)
    if p == 1:
        assert t.distance == pytest.approx(stats.wasserstein_distance(x, y, u, v), rel=1e-12)
    plane = discrete.wasserstein(x[:, None], y[:, None], p, u, v)
    assert plane.distance == pytest.approx(t.distance, rel=1e-9)
    check_solution(plane, p)
    lifted = sliced_wasserstein(x[:, None], y[:, None], p, u, v, projections=[[1.0]])
    assert lifted.distance == pytest.approx(t.distance, rel=1e-12)


def area_in_long_double(x: np.ndarray, y: np.ndarray, u: np.ndarray | None, v: np.ndarray | None) -> float:
    masses = [np.ones(len(a)) if w is None else w for a, w in ((x, u), (y, v))]
    steps = [w.astype(np.longdouble) / w.astype(np.longdouble).sum() for w in masses]
    at, step = np.concatenate([x, y]), np.concatenate([steps[0], -steps[1]])
    order = np.argsort(at, kind="stable")
    return float(np.abs(np.cumsum(step[order])[:-1]) @ np.diff(at[order].astype(np.longdouble)))


LARGE = {
    "shifted": lambda rng, n: (rng.normal(size=n), rng.normal(0.3, 1.2, n)),
    "one law": lambda rng, n: (rng.normal(size=n), rng.normal(size=n)),
    "unequal": lambda rng, n: (rng.normal(size=n), rng.gamma(2, size=n - 4_001)),
    "apart": lambda rng, n: (rng.normal(size=n), 100 + rng.normal(size=n)),
    "heavy tails": lambda rng, n: (rng.standard_cauchy(n), rng.standard_cauchy(n)),
    "heavier": lambda rng, n: (np.exp(4 * rng.normal(size=n)), np.exp(3 * rng.normal(size=n))),
    "far from zero": lambda rng, n: (1e9 + rng.normal(size=n), 1e9 + rng.normal(size=n) * 1.1),
    "counts": lambda rng, n: (rng.poisson(3, n).astype(float), rng.poisson(4, n).astype(float)),
    "two clusters": lambda rng, n: (1e6 * (rng.random(n) < 0.5) + rng.normal(size=n), rng.normal(size=n)),
    "an outlier": lambda rng, n: (np.append(rng.normal(size=n - 1), 1e12), rng.normal(size=n)),
    "tiny": lambda rng, n: (1e-200 * rng.normal(size=n), 1e-200 * rng.normal(size=n)),
    "huge": lambda rng, n: (1e300 * rng.normal(size=n), 1e300 * rng.normal(size=n)),
}


@pytest.mark.parametrize("vectors", [False, True], ids=["by bins", "by numpy"])
@pytest.mark.parametrize("law", LARGE)
def test_large_samples_on_the_line(law: str, vectors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Binned samples are sorted as numpy sorts them, and areas are those of sorted samples,
    in more digits.
    """
    monkeypatch.setattr(sorting, "_by_vectors", lambda sort: vectors)
    rng = np.random.default_rng(5)
    x, y = LARGE[law](rng, 30_000)
    u, v = (rng.random(len(a)) * (rng.random(len(a)) > 0.1) for a in (x, y))
    np.testing.assert_array_equal(sorting.in_order(x), np.sort(x))
    np.testing.assert_array_equal(sorting.argsorted(x), np.argsort(x, kind="stable"))
    odd = np.append(x, [np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(sorting.in_order(odd), np.sort(odd))
    for weights in ((None, None), (u, v), (None, v)):
        exact = area_in_long_double(x, y, *weights)
        assert one_dim.wasserstein(x, y, 1, *weights).distance == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "weighted"), [(40, 40, False), (30, 45, False), (20, 20, True), (160, 150, False)]
)
def test_plane_against_two_solvers(n: int, m: int, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1
    u, v = (rng.random(n), rng.random(m)) if weighted else (None, None)
    t = discrete.wasserstein(x, y, 2, u, v)
    check_solution(t, 2)
    a, b = (np.full(k, 1 / k) if w is None else w / w.sum() for w, k in ((u, n), (v, m)))
    (i, j, mass), f, g = discrete._linear_program(cost(x, y, 2), a, b)
    assert mass @ cost(x, y, 2)[i, j] == pytest.approx(t.cost, rel=1e-9)
    assert a @ f + b @ g == pytest.approx(t.cost, rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_costs_that_are_not_written_out(p: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give the numbers of the matrix, and are not refused where that has no room."""
    rng = np.random.default_rng(6)
    x, y = 1e3 * rng.normal(size=(170, 2)), 1e3 * rng.gamma(2, size=(150, 2))
    u, v = (rng.random(170), rng.integers(0, 3, 150)) if weighted else (None, None)
    written = discrete.wasserstein(x, y, p, u, v)
    monkeypatch.setattr(discrete, "_free_memory", lambda: 41 * 170 * 150 - 1)
    with pytest.raises(OptionError, match=r"170 × 150 pairs needs .* GB .* a sliced distance"):
        discrete.wasserstein(x, y, p, u, v)
    monkeypatch.setattr(discrete, "MOST_WRITTEN", 100)
    if hasattr(discrete._pot(), "emd2_lazy"):
        t = discrete.wasserstein(x, y, p, u, v)
        check_solution(t, p)
        assert t.distance == pytest.approx(written.distance, rel=1e-13)
    with pytest.raises(OptionError, match="GB"):
        discrete.wasserstein(x, y, 3, u, v)


def test_peers() -> None:
    state = np.random.get_state()  # noqa: NPY002
    ot = pytest.importorskip("ot")
    np.random.set_state(state)  # noqa: NPY002 - its import draws
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=500), rng.gamma(2, size=300)
    assert one_dim.wasserstein(x, y, 2).cost == pytest.approx(float(ot.emd2_1d(x, y)), rel=1e-12)
    X, Y = rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) + 1
    D = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    ours = sliced_wasserstein(X, Y, 2, projections=D).distance
    assert ours == pytest.approx(float(ot.sliced_wasserstein_distance(X, Y, projections=D.T, p=2)), rel=1e-12)
    assert discrete.wasserstein(X, Y).cost == pytest.approx(ot.emd2([], [], ot.dist(X, Y)), rel=1e-10)


def test_exact_cases() -> None:
    x, y, *_ = samples(60, 60, False)
    W = one_dim.wasserstein
    assert W(x, x[::-1], 2).distance == 0
    assert W(x, x + 3).distance == pytest.approx(3, abs=1e-12)
    assert W(np.zeros(10), np.full(7, 3.0)).distance == 3
    assert W(1024 * x, 1024 * y, 3).distance == 1024 * W(x, y, 3).distance
    for scale in (1e-200, 1e200, 1e300):
        assert W(scale * x, scale * y, 2).distance / scale == pytest.approx(W(x, y, 2).distance, rel=1e-13)
    assert W(x, y, np.inf).distance == np.abs(np.sort(x) - np.sort(y)).max()
    assert W(np.array([0, 1, 2], "uint8"), np.array([250, 251, 252], "uint8"), 2).distance == 250
    assert W(np.array([0, 1], "int32"), np.array([100_000, 100_001], "int32"), 2).distance == 1e5
    counts = np.arange(60) % 4
    assert W(x, y, 2, counts).distance == pytest.approx(W(np.repeat(x, counts), y, 2).distance, rel=1e-12)
    grid = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert W(grid, 2 + 3 * grid, 2).distance == pytest.approx(
        gaussian_wasserstein([0], [[1]], [2], [[9]]), rel=1e-4
    )
    before = x.copy()
    W(x, y)
    assert (before == x).all()


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_samples_changed_later(p: float) -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 50))
    t = one_dim.wasserstein(x, y, p)
    assert np.shares_memory(t.x, x)
    assert not t.x.flags.writeable
    x.sort()  # the same sample in another order: its coupling is that of the new positions
    check_solution(t, p) if p < np.inf else t.coupling
    moved = one_dim.wasserstein(x, y, p)
    x[np.argmax(np.abs(np.sort(x) - np.sort(y)))] += 9.0
    with pytest.raises(DataError, match="changed since"):
        _ = moved.coupling


def test_gaussian_against_a_map() -> None:
    """A linear optimal map A (symmetric, positive) takes N(0, I) to N(0, A²): the cost is tr (A − I)²."""
    A = np.array([[2.0, 0.5], [0.5, 1.0]])
    expected = np.sqrt(((A - np.eye(2)) ** 2).sum())
    assert gaussian_wasserstein([0, 0], np.eye(2), [0, 0], A @ A) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: one_dim.wasserstein([1.0, np.nan], [1.0]), DataError, "1 NaN"),
        (lambda: one_dim.wasserstein([1.0, np.inf], [1.0]), DataError, "1 infinite"),
        (lambda: one_dim.wasserstein([1.0, np.nan], [1.0], 1, [1, 0]), DataError, "NaN"),
        (lambda: one_dim.wasserstein([], [1.0]), DataError, "empty"),
        (lambda: one_dim.wasserstein(["a"], [1.0]), DataError, "real numbers"),
        (lambda: one_dim.wasserstein([1j], [1.0]), DataError, "real numbers"),
        (lambda: one_dim.wasserstein(np.zeros((2, 2)), [1.0]), DataError, "shape"),
        (lambda: one_dim.wasserstein([1.0], [1.0], 0.5), OptionError, "at least 1"),
        (lambda: one_dim.wasserstein([1.0], [1.0], np.nan), OptionError, "at least 1"),
        (lambda: one_dim.wasserstein([1.0], [1.0], 1, [0.0]), DataError, "sum to zero"),
        (lambda: one_dim.wasserstein([1.0], [1.0], 1, [-1.0]), DataError, "negative"),
        (lambda: one_dim.wasserstein([1.0], [1.0], 1, [1.0, 2.0]), DataError, "same length"),
        (lambda: discrete.wasserstein(np.zeros((5, 2)), np.zeros((5, 3))), DataError, "2 columns .* 3"),
        (lambda: discrete.wasserstein([[np.nan, 0.0]], [[0.0, 0.0]]), DataError, "NaN"),
        (lambda: discrete.wasserstein([[0.0]], [[0.0]], np.inf), OptionError, "finite order"),
        (lambda: sliced_wasserstein([[0.0]], [[0.0]], projections=0), OptionError, "at least 1"),
        (
            lambda: sliced_wasserstein([[0.0, 1.0]], [[0.0, 1.0]], projections=[[2.0, 0.0]]),
            OptionError,
            "length one",
        ),
    ],
)
def test_refused(call, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()


# ---- entropic transport ------------------------------------------------------------------------------------


def exact_sinkhorn(x: np.ndarray, y: np.ndarray, p: int, blur: float, a: np.ndarray, b: np.ndarray) -> float:
    """The penalised cost by plain iterations in the log domain, until they move the last digits alone."""
    C, epsilon = cost(x, y, p), p * blur**p
    f, g = np.zeros(len(x)), np.zeros(len(y))
    for _ in range(3_000):
        before, f = f, -epsilon * special.logsumexp((g - C) / epsilon + np.log(b), axis=1)
        g = -epsilon * special.logsumexp((f - C.T) / epsilon + np.log(a), axis=1)
        if np.abs(f - before).max() < 1e-15 * np.abs(f).max():
            break
    return float(a @ f + b @ g)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_sinkhorn_against_plain_iterations(p: int, weighted: bool) -> None:
    rng = np.random.default_rng(p)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(45, 2)) + 1.0
    a, b = (rng.uniform(1, 2, k) if weighted else np.ones(k) for k in (60, 45))
    t = sinkhorn(x, y, p, a, b, blur=0.4, tolerance=1e-9)
    a, b = a / a.sum(), b / b.sum()
    assert t.converged
    parts = [
        exact_sinkhorn(*pair, p, 0.4, *w)
        for pair, w in (((x, y), (a, b)), ((x, x), (a, a)), ((y, y), (b, b)))
    ]
    assert t.cost == pytest.approx(parts[0], rel=1e-9)
    f, g = t.potentials
    plan = a[:, None] * b * np.exp((f[:, None] + g - cost(x, y, p)) / t.penalty)
    np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-7)
    assert np.abs(plan.sum(axis=1) - a).sum() == pytest.approx(t.marginal_error, abs=1e-9)
    np.testing.assert_allclose(t.map, plan @ y / plan.sum(axis=1, keepdims=True), rtol=1e-7)
    div = sinkhorn_divergence(x, y, p, a, b, blur=0.4, tolerance=1e-9)
    assert div.value == pytest.approx(parts[0] - parts[1] / 2 - parts[2] / 2, rel=1e-7)
    assert a @ div.potentials[0] + b @ div.potentials[1] == pytest.approx(div.value, rel=1e-6)


def test_sinkhorn_laws() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 1)), rng.gamma(2, size=(80, 1))
    exact = one_dim.wasserstein(x[:, 0], y[:, 0], 2)
    gaps = [
        sinkhorn(x, y, blur=blur).cost / exact.cost - 1 for blur in (0.4, 0.2, 0.1)
    ]  # the penalty vanishes with the blur
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.02
    assert np.sqrt(np.mean((sinkhorn(x, y, blur=0.1).map[:, 0] - exact.map) ** 2)) < 0.15
    div = sinkhorn_divergence(x, y, blur=0.3)
    assert div.value > 0
    assert sinkhorn_divergence(y, x, blur=0.3).value == pytest.approx(div.value, rel=1e-4)
    assert abs(sinkhorn_divergence(x, x[::-1], blur=0.3).value) < 1e-6
    for unit in (1e-150, 1e150):
        assert sinkhorn_divergence(x * unit, y * unit, blur=0.3 * unit).distance == pytest.approx(
            div.distance * unit, rel=1e-4
        )
    far = sinkhorn_divergence(x + 1e6, y + 1e6, blur=0.3)
    assert far.value == pytest.approx(div.value, rel=1e-4)
    for options, text in (
        ({"p": 3}, "orders 1 and 2"),
        ({"blur": 0}, "blur"),
        ({"tolerance": -1}, "tolerance"),
    ):
        with pytest.raises(OptionError, match=text):
            sinkhorn_divergence(x, y, **options)
    with pytest.warns(ConvergenceWarning, match="marginal error"):
        assert not sinkhorn(x, y, blur=0.1, iterations=1).converged


@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_divergence_against_geomloss(p: int) -> None:
    """The library halves squared distances and scales ε by so many small steps that it converges."""
    import geomloss
    import torch

    rng = np.random.default_rng(p)
    x, y = rng.normal(size=(150, 2)), 0.7 * rng.normal(size=(120, 2)) + 0.5
    peer = geomloss.SamplesLoss("sinkhorn", p=p, blur=0.3, scaling=0.995, backend="tensorized")
    theirs = float(peer(torch.from_numpy(x), torch.from_numpy(y)))
    assert sinkhorn_divergence(x, y, p, blur=0.3, tolerance=1e-6).value == pytest.approx(p * theirs, rel=1e-4)
