"""The optimiser's laws: all paths meet in one maximum, wherever they start, however the data are scaled,
sorted or stored.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.blocks import Block
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC, inverse_logit
from disteconometrics.optim import newton, whiten
from disteconometrics.optim.newton import Maximum, OutOfRange, RankDeficient, maximise

# All distances between estimates are in standard errors.
SAME = 1e-10  # two solutions of one problem along different paths
BIG = 1e-8  # what the fast path promises on many rows
SE_SAME = 1e-6  # standard errors are evaluated one Newton step before the estimate
MEMORY_SHARE = 0.15  # of X (and weights and offset, if any), beyond them


@dataclass(frozen=True)
class Case:
    """A problem: outcome, design, weights, offset."""

    y: np.ndarray
    X: np.ndarray
    w: np.ndarray | None = None
    o: np.ndarray | None = None

    def fit(self, **options: int) -> Maximum:
        return maximise(IndexModel(LOGISTIC, [Block(self.y, self.X, self.w, self.o)]), **options)

    def take(self, i: np.ndarray) -> Case:
        return Case(
            *(None if a is None else np.ascontiguousarray(a[i]) for a in (self.y, self.X, self.w, self.o))
        )


def draw(n: int, k: int, seed: int, *, weighted: bool = False) -> Case:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k))
    X[:, 0] = 1.0
    beta = np.concatenate([[-0.5], rng.normal(size=k - 1) / np.sqrt(k)])
    w, o = (rng.gamma(2.0, size=n), rng.normal(size=n)) if weighted else (None, None)
    eta = X @ beta + (0.0 if o is None else o)
    return Case((rng.random(n) < inverse_logit(eta)).astype(float), X, w, o)


def long_double(case: Case, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton with indices, powers and sums in long double: estimates and standard errors."""
    X, s = case.X.astype(np.longdouble), 2 * case.y - 1
    w = 1.0 if case.w is None else case.w
    o = 0.0 if case.o is None else case.o
    beta = start.astype(np.longdouble)
    for _ in range(50):
        v = np.exp(-s * (X @ beta + o))
        p = v / (1 + v)
        score = (w * s * p) @ X
        H = (case.X * (w * p * (1 - p)).astype(float)[:, None]).T @ case.X
        scale = np.sqrt(np.diagonal(H))
        V = np.linalg.inv(H / np.outer(scale, scale)) / np.outer(scale, scale)
        step = V @ score.astype(float)
        beta += step
        se = np.sqrt(np.diagonal(V))
        if np.abs(step / se).max() < 1e-13:
            return beta.astype(float), se
    raise AssertionError("the oracle did not converge")


def standard_errors(m: Maximum) -> np.ndarray:
    return np.sqrt(np.square(m.root).sum(axis=1))


def assert_same(m: Maximum, params: np.ndarray, se: np.ndarray, tolerance: float) -> None:
    assert m.converged
    distance = np.abs(m.params - params) / se
    assert distance.max() <= tolerance, f"{distance.max():.2e} standard errors apart"
    assert np.abs(standard_errors(m) / se - 1).max() <= SE_SAME


SIZES = {"small": (300, 3), "medium": (2_900, 6), "many rows": (40_000, 5)}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_plain_and_whitened_paths_meet(size: str, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw(*SIZES[size], seed=1, weighted=weighted)
    monkeypatch.setattr(newton, "SMALL", 0)
    plain = case.fit()
    monkeypatch.setattr(newton, "SMALL", 10**9)
    whitened = case.fit()
    assert (plain.path, whitened.path) == ("Newton", "whitened Newton")
    assert_same(plain, whitened.params, standard_errors(whitened), SAME)
    assert plain.loglik == pytest.approx(whitened.loglik, rel=1e-13)


def test_many_rows_agree_with_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    case = draw(200_000, 4, seed=2)
    peer = sm.Logit(case.y, case.X).fit(disp=0, method="newton", tol=1e-14)
    assert_same(case.fit(), peer.params, peer.bse, BIG)


def _rare() -> Case:
    """A level of 30 rows at the end of 2e5: samples of rows may miss it."""
    case = draw(200_000, 4, seed=3)
    case.X[:, 3] = 0.0
    case.X[-30:, 3] = 1.0
    case.y[-30:] = np.arange(30) % 3 == 0
    return case


def _sorted_by_outcome() -> Case:
    case = draw(200_000, 4, seed=4)
    return case.take(np.argsort(case.y, kind="stable"))


def _sorted_by_column() -> Case:
    case = draw(200_000, 4, seed=5)
    return case.take(np.argsort(case.X[:, 1], kind="stable"))


def _factor_in_order() -> Case:
    """Rows sorted by a factor of 20 levels: a run of rows sees one level."""
    case = draw(100_000, 3, seed=6)
    dummies = np.repeat(np.eye(20), 5_000, axis=0)[:, 1:]
    return Case(case.y, np.column_stack([case.X, dummies]))


def _outliers() -> Case:
    """Cauchy covariates: a few rows hold most of the sum of squares."""
    rng = np.random.default_rng(7)
    X = np.column_stack([np.ones(100_000), rng.standard_cauchy(size=(100_000, 2))])
    return Case((rng.random(len(X)) < inverse_logit(X @ [0.2, 0.05, -0.03])).astype(float), X)


def _thousandfold() -> Case:
    case = draw(100_000, 4, seed=8)
    case.X[:, 1:] *= 1e3
    return case


def _steep() -> Case:
    """Indices of ±50: most probabilities are 0 or 1, and Newton's first steps overshoot."""
    rng = np.random.default_rng(9)
    X = np.column_stack([np.ones(60_000), rng.normal(size=(60_000, 2))])
    return Case((rng.random(len(X)) < inverse_logit(X @ [1.0, 30.0, -20.0])).astype(float), X)


def _rare_outcome() -> Case:
    rng = np.random.default_rng(10)
    X = np.column_stack([np.ones(200_000), rng.normal(size=(200_000, 2))])
    return Case((rng.random(len(X)) < inverse_logit(X @ [-8.0, 0.5, 0.3])).astype(float), X)


def _uneven_weights() -> Case:
    case = draw(60_000, 3, seed=14)
    return Case(case.y, case.X, np.random.default_rng(14).pareto(1.5, size=60_000) + 0.01)


def _large_offset() -> Case:
    case = draw(50_000, 3, seed=11)
    return Case(case.y, case.X, None, np.random.default_rng(11).normal(scale=0.5, size=50_000) + 12.0)


BIG_CASES = {
    "random": lambda: draw(200_000, 4, seed=12),
    "weights and offset": lambda: draw(100_000, 5, seed=13, weighted=True),
    "uneven weights": _uneven_weights,
    "rare level": _rare,
    "sorted by outcome": _sorted_by_outcome,
    "sorted by a column": _sorted_by_column,
    "sorted by a factor": _factor_in_order,
    "outliers": _outliers,
    "columns times 1e3": _thousandfold,
    "steep": _steep,
    "rare outcome": _rare_outcome,
    "large offset": _large_offset,
}


@pytest.mark.parametrize("name", BIG_CASES)
def test_many_rows_against_long_double(name: str) -> None:
    case = BIG_CASES[name]()
    m = case.fit()
    assert_same(m, *long_double(case, m.params), BIG)


@pytest.mark.parametrize("size", SIZES)
def test_scaling_columns_scales_estimates(size: str) -> None:
    case = draw(*SIZES[size], seed=15)
    factor = np.resize([1e12, 1e-12, 1.0, 3.7], case.X.shape[1])
    m, scaled = case.fit(), Case(case.y, case.X * factor).fit()
    assert scaled.converged
    distance = np.abs(scaled.params * factor - m.params) / standard_errors(m)
    assert distance.max() <= SAME
    assert scaled.loglik == pytest.approx(m.loglik, rel=1e-13)
    assert np.abs(standard_errors(scaled) * factor / standard_errors(m) - 1).max() <= SE_SAME


@pytest.mark.parametrize("offset", [-25.0, -12.0, 3.0, 12.0, 25.0])
@pytest.mark.parametrize("size", SIZES)
def test_far_starts_come_back(size: str, offset: float) -> None:
    """A constant offset moves the intercept alone, though at the start every probability is 0 or 1."""
    case = draw(*SIZES[size], seed=23)
    m, shifted = case.fit(), Case(case.y, case.X, None, np.full(len(case.y), offset)).fit()
    expected = m.params.copy()
    expected[0] -= offset
    assert_same(shifted, expected, standard_errors(m), SAME)


@pytest.mark.parametrize("size", SIZES)
def test_order_of_rows_does_not_matter(size: str) -> None:
    case = draw(*SIZES[size], seed=16, weighted=True)
    m = case.fit()
    shuffled = case.take(np.random.default_rng(17).permutation(len(case.y))).fit()
    assert_same(shuffled, m.params, standard_errors(m), SAME)
    assert shuffled.loglik == pytest.approx(m.loglik, rel=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_memory_order_does_not_matter(size: str) -> None:
    case = draw(*SIZES[size], seed=18)
    m, fortran = case.fit(), Case(case.y, np.asfortranarray(case.X)).fit()
    assert_same(fortran, m.params, standard_errors(m), SAME)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_bits_twice(size: str) -> None:
    case = draw(*SIZES[size], seed=19)
    a, b = case.fit(), case.fit()
    assert np.array_equal(a.params, b.params)
    assert np.array_equal(a.root, b.root)
    assert a.loglik == b.loglik


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("maxiter", [1, 2])
def test_too_few_passes_are_admitted(size: str, maxiter: int) -> None:
    m = draw(*SIZES[size], seed=20).fit(maxiter=maxiter)
    assert not m.converged
    assert m.passes <= maxiter + 1
    assert m.separation is None


@pytest.mark.parametrize("n", [200, 40_000])
def test_too_few_passes_warn(n: int) -> None:
    case = draw(n, 3, seed=21)
    frame = pd.DataFrame({"y": case.y, "a": case.X[:, 1], "b": case.X[:, 2]})
    with pytest.warns(de.errors.ConvergenceWarning, match="maxiter"):
        res = de.Logit("y ~ a + b").fit(frame, maxiter=1)
    assert not res.converged
    assert "did not converge" in str(res.summary())


@pytest.mark.parametrize("weighted", [False, True])
def test_memory_beyond_the_design(weighted: bool) -> None:
    case = draw(300_000, 20, seed=22, weighted=weighted)
    model = IndexModel(LOGISTIC, [Block(case.y, case.X, case.w, case.o)])
    maximise(IndexModel(LOGISTIC, [Block(case.y[:500], case.X[:500])]))  # imports are not the fit's
    tracemalloc.start()
    try:
        m = maximise(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert m.converged
    given = sum(a.nbytes for a in (case.X, case.w, case.o) if a is not None)
    assert peak <= MEMORY_SHARE * given, f"{peak / given:.1%} of what was given"


@pytest.mark.parametrize("n", [500, 9_000])
@pytest.mark.parametrize("maxiter", [1, 100])
def test_a_column_of_zeros_is_named_whatever_the_size(n: int, maxiter: int) -> None:
    case = draw(n, 5, seed=23)
    case.X[:, 3] = 0.0
    with pytest.raises(RankDeficient) as raised:
        case.fit(maxiter=maxiter)
    assert raised.value.rank.dropped == (3,)
    case.X[::2, 3] = 1e-200
    with pytest.raises(OutOfRange) as out:
        case.fit(maxiter=maxiter)
    assert out.value.columns == [3]


def test_an_empty_cell_of_an_interaction_is_named() -> None:
    rng = np.random.default_rng(24)
    n = 9_000
    a, b = rng.integers(0, 3, n), rng.integers(0, 3, n)
    frame = pd.DataFrame({"y": rng.integers(0, 2, n), "a": a, "b": b})[(a != 2) | (b != 2)]
    with pytest.raises(de.errors.CollinearityError, match="zero in every row"):
        de.Logit("y ~ C(a) * C(b)").fit(frame)


def test_fewer_rows_than_columns_need_no_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("rows were read")

    case = draw(30, 45, seed=25)
    monkeypatch.setattr(whiten, "check_rank", never)
    monkeypatch.setattr(IndexModel, "evaluate", never)
    with pytest.raises(RankDeficient) as raised:
        case.fit()
    assert raised.value.rank.rank == 30
    frame = pd.DataFrame(case.X, columns=[f"x{j}" for j in range(45)]).assign(y=case.y)
    right = " + ".join(f"x{j}" for j in range(1, 45))
    with pytest.raises(de.errors.CollinearityError, match="30 observations for 45 coefficients: fewer rows"):
        de.Logit(f"y ~ {right}").fit(frame)


@pytest.mark.parametrize("offset", [3.0, 30.0, 100.0, 300.0, 900.0, -900.0])
@pytest.mark.parametrize("n", [60, 20_000])
def test_a_far_offset_is_come_back_from(offset: float, n: int) -> None:
    """At the start all probabilities are one to rounding, so a Newton step is no guide to how far to go."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 1)) + 0.5, (rng.random(n) < 0.4).astype(float)
    m = maximise(IndexModel(LOGISTIC, [Block(y, X, None, np.full(n, offset))]))
    assert m.converged
    score = lambda b: float((y - inverse_logit(offset + X[:, 0] * b)) @ X[:, 0])  # noqa: E731
    b, se = m.params[0], abs(m.root[0, 0])
    assert abs(score(b)) * se < 1e-6
    assert score(b - 3 * se) > 0 > score(b + 3 * se)
