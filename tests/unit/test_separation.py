"""Existence of the maximum: agreement with a linear program, scales and shifts, near separation,
large samples, words.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.optim import separation
from disteconometrics.optim.separation import Separation, decided_columns, find_separation
from disteconometrics.optim.wording import describe_separation

RNG = np.random.default_rng(11)
N = 200
ONE, X1, Z = np.ones(N), np.sort(RNG.normal(size=N)), RNG.normal(size=N)
HALF = (RNG.random(N) < 0.5).astype(float)
RARE = (RNG.random(N) < 0.1).astype(float)


def find(
    X: np.ndarray, y: np.ndarray, candidates: list[np.ndarray] | tuple[()] = (), parts: int = 1
) -> Separation | None:
    X = np.ascontiguousarray(X, dtype=float)
    pairs = zip(np.array_split(y, parts), np.array_split(X, parts), strict=True)
    return find_separation([Block(a, b) for a, b in pairs], candidates)


def oracle(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All separated rows by one linear program: max Σ t, A d ≥ t, 0 ≤ t ≤ 1, d free."""
    A = X * (2 * y - 1)[:, None]
    n, k = A.shape
    bounds = [(None, None)] * k + [(0, 1)] * n
    solved = linprog(
        np.r_[np.zeros(k), -np.ones(n)], np.c_[-A, np.eye(n)], np.zeros(n), bounds=bounds, method="highs"
    )
    assert solved.status == 0
    return np.flatnonzero(solved.x[k:] > 0.5)


def newton(X: np.ndarray, y: np.ndarray, steps: int) -> list[np.ndarray]:
    """Coefficients and last step of plain Newton iterations, stopped before the Hessian is singular."""
    b = step = np.zeros(X.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-X @ b))
        hessian = (X.T * (p * (1 - p))) @ X
        if np.linalg.cond(hessian) > 1e12:
            break
        step = np.linalg.solve(hessian, X.T @ (y - p))
        if np.max(np.abs(X @ (b + step))) > 300:
            break
        b = b + step
    return [b, step]


def check(X: np.ndarray, y: np.ndarray, found: Separation) -> None:
    """The fields keep what the docstring promises."""
    value = X * (2 * y - 1)[:, None] @ found.direction
    size = np.abs(X) @ np.abs(found.direction)
    inside = np.zeros(len(y), bool)
    inside[found.rows] = True
    assert np.all(value[inside] > 0)
    assert np.all(np.abs(value[~inside]) <= 1e-13 * size[~inside])
    assert np.max(np.abs(X[~inside] @ found.null), initial=0.0) <= 1e-12 * np.max(
        np.abs(X) @ np.abs(found.null)
    )
    k, m = found.null.shape
    scaled = X / np.max(np.abs(X), axis=0)
    assert m == k - (np.linalg.matrix_rank(scaled[~inside]) if np.any(~inside) else 0)
    assert (found.kind == "complete") == bool(inside.all())
    assert np.all(found.direction[~np.any(found.null, axis=1)] == 0)
    fitted = found.null @ np.linalg.lstsq(found.null, found.direction, rcond=None)[0]
    np.testing.assert_allclose(
        fitted, found.direction, rtol=1e-10, atol=1e-12 * np.max(np.abs(found.direction))
    )


def random_design(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    k = int(rng.integers(1, 7))
    n = int(rng.integers(max(4, k + 1), 61))
    shape = rng.integers(6)
    X = rng.normal(size=(n, k)) if shape < 2 else rng.integers(-2, 3, (n, k)).astype(float)  # ties
    X[:, 0] = 1
    if shape == 3:
        X[:, 1:] = rng.random((n, k - 1)) < 0.12  # rare levels
    if shape == 5 and k > 2:
        X[:, 2] = X[:, 1] * (rng.random(n) < 0.3)  # an interaction
    eta = X @ rng.normal(size=k) * rng.choice([0.3, 1, 3])
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    story = rng.integers(4)
    if story == 0:
        y = (eta > 0).astype(float)
    if story in (1, 2):  # separated along a plane with rows on it; then once more inside the plane
        value = X @ rng.integers(-1, 2, k)
        inner = X @ rng.integers(-1, 2, k)
        if story == 2:
            y = np.where(inner > 0, 1.0, np.where(inner < 0, 0.0, y))
        y = np.where(value > 0, 1.0, np.where(value < 0, 0.0, y))
    return X, y


@pytest.mark.parametrize("many", [0, 30])  # columns from which Newton's iteration may prove overlap first
def test_agrees_with_a_linear_program(many, monkeypatch):
    monkeypatch.setattr(separation, "MANY", many)
    rng = np.random.default_rng(2019)
    kinds = {"none": 0, "quasi": 0, "complete": 0}
    directions = set()
    while sum(kinds.values()) < 500:
        X, y = random_design(rng)
        if np.linalg.matrix_rank(X) < X.shape[1]:
            continue
        expected = oracle(X, y)
        kinds["none" if not len(expected) else "complete" if len(expected) == len(y) else "quasi"] += 1
        for candidates in ((), newton(X, y, int(rng.integers(3, 25))), [rng.normal(size=X.shape[1])]):
            found = find(X, y, candidates, parts=int(rng.integers(1, 4)))
            assert (found is None) == (not len(expected))
            if found is not None:
                assert np.array_equal(found.rows, expected)
                check(X, y, found)
                directions.add(found.null.shape[1])
    assert min(kinds.values()) > 40
    assert directions >= {1, 2, 3, 4, 5}


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("shift", [0.0, 1e4, 1e6])
def test_scales_and_shifts_change_nothing(factor, shift):
    rounded = np.round(8 * X1) / 8  # exact in binary, so that ties stay ties when shifted
    cut = 0.25
    designs = {
        "complete": (np.c_[ONE, X1, Z], (X1 > 0.1).astype(float), N),
        "quasi": (
            np.c_[ONE, rounded],
            np.where(rounded == cut, HALF, rounded > cut),
            int(np.sum(rounded != cut)),
        ),
        "rare level": (np.c_[ONE, X1, RARE], np.maximum(HALF, RARE), int(np.sum(RARE))),
        "none": (np.c_[ONE, X1, RARE], HALF, 0),
    }
    for name, (X, y, rows) in designs.items():
        moved = X.copy()
        moved[:, 1] = (X[:, 1] + shift) * factor
        found = find(moved, y)
        assert (0 if found is None else len(found.rows)) == rows, name
        if found is not None:
            check(moved, y, found)


@pytest.mark.parametrize(
    ("hair", "shift"),
    [(1e-3, 0.0), (1e-6, 0.0), (1e-9, 0.0), (1e-11, 0.0), (1e-3, 1e4), (1e-6, 1e4), (1e-9, 1e4)],
)
def test_a_hair_decides(hair, shift):
    """One row over the line by a hair: the maximum exists, however far; the same hair as a gap: it
    does not.
    """
    above = int(np.flatnonzero(X1 > 0)[0])
    x = X1.copy()
    x[above - 1 : above + 1] = 0, hair
    X = np.c_[ONE, x + shift]
    y = (np.arange(N) >= above).astype(float)
    gap = find(X, y)
    assert gap is not None
    assert gap.kind == "complete"
    y[above - 1 : above + 1] = 1, 0
    assert find(X, y) is None
    assert find(X, y, newton(X, y, 30)) is None


def exact_rows(signed: np.ndarray) -> list[int]:
    """All separated rows of an integer design with two or three columns,
    by its extreme rays in integer arithmetic.
    """
    rows = [[int(v) for v in row] for row in signed]
    if len(rows[0]) == 2:
        rays = [[-b, a] for a, b in rows]
    else:
        pairs = itertools.combinations(rows, 2)
        rays = [
            [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
            for p, q in pairs
        ]
    found: set[int] = set()
    for ray in rays:
        values = [sum(a * b for a, b in zip(row, ray, strict=True)) for row in rows]
        for sign in (1, -1):
            if min(sign * v for v in values) >= 0:
                found |= {i for i, v in enumerate(values) if v}
    return sorted(found)


@pytest.mark.parametrize("many", [0, 30])
def test_agrees_with_integer_arithmetic_near_degeneracy(many, monkeypatch):
    """Rows within 1 of a plane at distances up to 1e6 from the origin:
    a linear program in floating point cannot decide.
    """
    monkeypatch.setattr(separation, "MANY", many)
    rng = np.random.default_rng(6)
    kinds = {"none": 0, "quasi": 0, "complete": 0}
    while sum(kinds.values()) < 600:
        k, n = int(rng.integers(2, 4)), int(rng.integers(4, 16))
        normal = rng.integers(-3, 4, k)
        X = rng.integers(-3, 4, (n, k))
        basis = np.array([[-normal[1], normal[0]]]) if k == 2 else np.cross(normal, np.eye(3, dtype=int))
        plane = rng.integers(-3, 4, (n, len(basis))) @ basis * int(10 ** rng.integers(0, 7))
        hair = rng.integers(-1, 2, (n, k)) * (rng.random((n, 1)) < 0.6)
        X = np.where(rng.random((n, 1)) < 0.7, plane + hair, X)
        value = X @ normal
        y = np.where(value > 0, 1, np.where(value < 0, 0, rng.integers(0, 2, n)))
        y = np.where(rng.random(n) < rng.choice([0, 0, 0.05]), 1 - y, y)
        if np.linalg.svd(X / np.maximum(np.max(np.abs(X), axis=0), 1))[1][-1] < 1e-9:
            continue
        expected = exact_rows(X * (2 * y - 1)[:, None])
        kinds["none" if not expected else "complete" if len(expected) == n else "quasi"] += 1
        found = find(X, y.astype(float))
        assert ([] if found is None else found.rows.tolist()) == expected
    assert min(kinds.values()) > 30


NEARLY_DEGENERATE = [  # signed rows; rounding that is alike on one machine made each of them wrong on another
    # two active rows that are opposite to eleven digits, and a third: no certificate of overlap
    [
        [100000, 100000, 400000],
        [-299999, -300001, -500000],
        [0, -1, 3],
        [100000, 100000, 300000],
        [1, -3, 2],
        [-300000, -300000, 100000],
        [-300000, -300000, -600001],
        [-200000, -200000, -200000],
        [200000, 200000, 400000],
    ],
    [
        [300000, 299999, 199999],
        [-2, -3, 3],
        [3, 2, 2],
        [2, 1, 2],
        [-200001, -200001, -199999],
        [0, 0, -500000],
        [-199999, -200001, 100000],
        [-2, -3, -2],
        [0, -3, -2],
        [200001, 200000, 0],
        [300000, 300000, 300001],
    ],
    # two rows whose null vector is a million times less certain in one component
    [
        [0, 1, 3],
        [0, -800000, 800000],
        [800000, 1, -800001],
        [800001, -799999, 0],
        [1, 2, -2],
        [-400000, 0, 400000],
        [-200000, -400001, 600001],
    ],
    [
        [-499999, 100001, 700000],
        [0, -199999, 600001],
        [1, 1, 2],
        [1, -500001, 1500001],
        [-900001, 400001, 600001],
        [2, 1, -1],
        [-1099999, 800001, -200000],
        [-1199999, 500000, 900001],
        [300001, -400000, 599999],
        [0, 100000, -300000],
        [-600000, 400000, 0],
    ],
]


@pytest.mark.parametrize("signed", NEARLY_DEGENERATE)
def test_the_order_of_sums_decides_nothing(signed):
    """Every order of the columns, and both of the rows, rounds otherwise."""
    signed = np.array(signed)
    expected = exact_rows(signed)
    assert expected
    y = (np.arange(len(signed)) % 2).astype(float)
    X = signed * (2 * y - 1)[:, None]
    for columns in itertools.permutations(range(3)):
        found = find(X[:, columns], y)
        assert found is not None
        assert found.rows.tolist() == expected
        found = find(X[::-1, columns], y[::-1])
        assert found is not None
        assert sorted(len(y) - 1 - found.rows) == expected


def test_large_sample_by_candidates_and_by_generation():
    rng = np.random.default_rng(4)
    n, k = 60_000, 6
    X = rng.normal(size=(n, k))
    X[:, 0] = 1
    X[:, 3] = 0
    X[rng.choice(n, 9, replace=False), 3] = 1
    y = (rng.random(n) < 1 / (1 + np.exp(-X @ rng.normal(size=k)))).astype(float)
    y[X[:, 3] == 1] = 0
    y[np.flatnonzero(X[:, 3])[:2]] = 1, 0
    assert find(X, y, newton(X, y, 12), parts=3) is None
    assert find(X, y) is None
    y[X[:, 3] == 1] = 0
    for candidates in ((), newton(X, y, 12)):
        found = find(X, y, candidates, parts=3)
        assert found is not None
        assert np.array_equal(found.rows, np.flatnonzero(X[:, 3]))
        assert np.array_equal(found.direction, [0, 0, 0, -1, 0, 0] / np.array(2.0))
    y = (X @ np.ones(k) > 0).astype(float)
    assert find(X, y).kind == "complete"
    margin = np.argsort(np.abs(X @ np.ones(k)))[:20]
    y[margin] = 1 - y[margin]
    assert find(X, y) is None


def test_many_factor_levels():
    rng = np.random.default_rng(8)
    level = rng.integers(0, 40, 6000)
    X = np.c_[(level[:, None] == np.arange(40)), rng.normal(size=(6000, 2))].astype(float)
    y = (rng.random(6000) < 0.5).astype(float)
    pure = np.isin(level, [3, 17, 29])
    y[pure] = level[pure] != 17
    found = find(X, y)
    assert found is not None
    assert np.array_equal(found.rows, np.flatnonzero(pure))
    assert np.array_equal(np.flatnonzero(found.direction), [3, 17, 29])
    assert np.array_equal(np.sign(found.direction[[3, 17, 29]]), [1, -1, 1])
    assert found.null.shape == (42, 3)


def test_one_class_zero_rows_and_useless_candidates():
    assert find(np.c_[ONE, X1], ONE).kind == "complete"
    found = find(np.c_[RARE, RARE * Z], ONE)  # rows of zeros say nothing
    assert (found.kind, len(found.rows)) == ("quasi", int(RARE.sum()))
    useless = [np.full(2, np.nan), np.zeros(2), np.array([np.inf, 0])]
    assert find(np.c_[ONE, X1], HALF, useless) is None
    assert find(np.c_[ONE, X1], (X1 > 0).astype(float), useless).kind == "complete"


def test_levels_decided_one_by_one_and_together():
    """Many levels, the base among them: the rows, the directions and the quick look at columns."""
    rng = np.random.default_rng(3)
    levels = 60
    g = np.repeat(np.arange(levels), 8)
    x = rng.normal(size=len(g))
    y = (x + rng.logistic(size=len(g)) > 0).astype(float)
    decided = np.isin(g, [0, 3, 4, 17, 59]) | (g % 7 == 1)
    y[decided] = (g % 2)[decided]
    pure = np.isin(g, [level for level in range(levels) if len(set(y[g == level])) == 1])
    X = np.c_[np.ones(len(g)), x, (g[:, None] == np.arange(1, levels)).astype(float)]
    found = find(X, y)
    assert np.array_equal(found.rows, np.flatnonzero(pure))
    check(X, y, found)
    assert decided_columns([Block(y, X)])
    assert not decided_columns([Block(np.tile([0.0, 1.0], len(g) // 2), X)])
    cells = FactorMatrix(np.asfortranarray(X[:, :2]), g, np.eye(levels)[:, 1:], 2)
    assert decided_columns([Block(y, cells)])


def test_words():
    X = np.c_[ONE, X1, RARE]
    y = np.maximum(HALF, RARE)
    rows = np.flatnonzero(RARE)
    names = ["Intercept", "x", "rare"]
    assert describe_separation(find(X, y), names, N, "card = 1") == (
        f"Quasi-complete separation: rare predicts card = 1 perfectly for {len(rows)} of {N} rows "
        f"(first rows {rows[0]}, {rows[1]}, {rows[2]}). "
        "The likelihood keeps growing along +rare; coefficients reported as +inf: rare."
    )
    tied = np.round(2 * X1) / 2
    text = describe_separation(
        find(np.c_[ONE, tied], np.where(tied == -0.5, HALF, tied < -0.5)), names[:2], N, "y = 1"
    )
    assert "a combination of Intercept, x predicts y = 1 perfectly" in text
    assert "along −0.5 · Intercept −x; coefficients reported as −inf: Intercept, x." in text
    many = Separation("complete", np.r_[np.linspace(-1, 1, 300), np.zeros(100)], np.arange(N), np.eye(400))
    columns = [f"c{j:03}" for j in range(400)]
    text = describe_separation(many, columns, N, "y = 1", range(290, 400))
    assert text.startswith(
        "Complete separation: a combination of c000, c001, c002, c003, c004, c005, c006 and 293 more pred"
    )
    assert "+inf: 150 columns; −inf: c000, c001" in text
    assert text.endswith("The data do not determine the sign of c300, c301, c302 and 107 more: NaN.")
    assert len({name for name in columns if name in text}) == 10
    assert len(text) < 500
