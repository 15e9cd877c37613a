"""Rank and collinear combinations: a table of designs, the graded series, agreement of paths."""

from __future__ import annotations

import numpy as np
import pytest

from disteconometrics.blocks import Block
from disteconometrics.optim.rank import (
    Rank,
    check_rank,
    column_scale,
    rank_of_triangle,
    tsqr,
)
from disteconometrics.optim.wording import describe_collinearity

RNG = np.random.default_rng(20240)
N = 300
ONE = np.ones(N)
X1, X2, X3, Z = RNG.normal(size=(4, N))
LEVEL = RNG.integers(0, 3, N)
DUMMIES = [np.equal(LEVEL, level).astype(float) for level in range(3)]
YEAR = RNG.integers(1990, 2020, N).astype(float)


def blocks_of(X: np.ndarray, parts: int = 3) -> list[Block]:
    return [Block(np.zeros(len(part)), np.ascontiguousarray(part)) for part in np.array_split(X, parts)]


def verdict(*columns: np.ndarray) -> Rank:
    X = np.column_stack(columns)
    return check_rank(blocks_of(X), X.T @ X)


DESIGNS = {
    "independent": ([ONE, X1, X2], {}),
    "sum": ([ONE, X1, X2, X1 + X2], {3: [0, 1, 1, 0]}),
    "sum first": ([X1 + X2, ONE, X1, X2], {3: [1, 0, -1, 0]}),
    "copy": ([ONE, X1, X2, X1], {3: [0, 1, 0, 0]}),
    "copy 1e12": ([ONE, X1, 1e12 * X1], {2: [0, 1e12, 0]}),
    "copy 1e-12": ([ONE, X1, 1e-12 * X1, X2], {2: [0, 1e-12, 0, 0]}),
    "dummy trap": ([ONE, *DUMMIES, X1], {3: [1, -1, -1, 0, 0]}),
    "constant": ([ONE, X1, 3 * ONE], {2: [3, 0, 0]}),
    "constant in front": ([2.5 * ONE, X1, ONE], {2: [0.4, 0, 0]}),
    "zero": ([ONE, 0 * X1, X2], {1: [0, 0, 0]}),
    "all zero": ([0 * ONE, 0 * ONE], {0: [0, 0], 1: [0, 0]}),
    "two dependences": (
        [ONE, X1, 2 * X1 - 3, X2, X3, X2 - 0.5 * X3],
        {2: [-3, 2, 0, 0, 0, 0], 5: [0, 0, 0, 1, -0.5, 0]},
    ),
    "shifted difference": ([ONE, YEAR, YEAR - 1990], {2: [-1990, 1, 0]}),
    # the last column by the others would need digits that their cancellation has lost: the one before goes
    "cancelling sum": ([X1, -X1 + 1e-6 * X2, 1e-6 * X2], {1: [-1, 0, 1]}),
    "hair 1e-14": ([ONE, X1, X1 + 1e-14 * Z], {2: [0, 1, 0]}),
    "copy beside a near copy": ([ONE, X1, X1 + 1e-9 * Z, X1], {3: [0, 1, 0, 0]}),
    "year 1e8": ([ONE, 1e8 + YEAR, X1], {}),
    "extreme scales": ([ONE, 1e-150 * X1, 1e150 * X2], {}),
    "squares of a year": ([ONE, YEAR, YEAR**2], {}),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_table_of_designs(name):
    columns, expected = DESIGNS[name]
    found = verdict(*columns)
    assert found.dropped == tuple(expected)
    assert found.rank == len(columns) - len(expected)
    assert sorted(found.kept + found.dropped) == list(range(len(columns)))
    for c, (j, right) in zip(found.combinations, expected.items(), strict=True):
        right = np.asarray(right, float)
        assert np.array_equal(c != 0, right != 0), (name, j, c)
        np.testing.assert_allclose(c, right, rtol=1e-8)
    assert found.condition < 1e11


@pytest.mark.parametrize("p", range(2, 11))
def test_graded_series_is_full_rank(p):
    found = verdict(ONE, X1, X1 + 10.0**-p * Z)
    assert found.rank == 3
    exact = np.linalg.cond(np.column_stack([c / np.linalg.norm(c) for c in (ONE, X1, X1 + 10.0**-p * Z)]))
    assert exact / 3 < found.condition < 3 * exact


@pytest.mark.parametrize("shift", [1e2, 1e5, 1e8])
def test_shifted_columns_are_full_rank_and_their_sum_is_found(shift):
    A, B = X1 + shift, X2 + shift
    assert verdict(ONE, A, B).rank == 3
    assert verdict(ONE, A, B, A + B).dropped == (3,)


def test_random_exact_dependences_at_many_scales():
    rng = np.random.default_rng(7)
    for _ in range(150):
        k, n = int(rng.integers(2, 9)), int(rng.integers(12, 200))
        X = rng.normal(size=(n, k)) + rng.choice([0, 5], k)
        weights = rng.integers(-3, 4, k - 1)
        weights[rng.integers(k - 1)] = 1
        X[:, -1] = X[:, :-1] @ weights
        scale = 10.0 ** rng.integers(-10, 11, k)
        X *= scale
        found = check_rank(blocks_of(X, 2), X.T @ X)
        assert found.dropped == (k - 1,)
        np.testing.assert_allclose(found.combinations[0][:-1] * scale[:-1] / scale[-1], weights, atol=1e-9)
        assert check_rank(blocks_of(X[:, :-1], 2), X[:, :-1].T @ X[:, :-1]).rank == k - 1


def test_large_sample_keeps_the_decision():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200_000, 6)) + 10
    X[:, 5] = X[:, 1] - X[:, 3]
    found = check_rank(blocks_of(X, 1), X.T @ X)
    assert found.dropped == (5,)
    np.testing.assert_allclose(found.combinations[0], [0, 1, 0, -1, 0, 0], atol=1e-12)
    X[:, 5] += 1e-10 * rng.normal(size=len(X))
    assert check_rank(blocks_of(X, 1), X.T @ X).rank == 6


def test_weighted_gram():
    X = np.column_stack([ONE, X1, X2])
    # weights that all but vanish make a singular Gram of an independent design: the rows decide
    weights = np.where(np.arange(N) < 2, 1.0, 1e-30)
    assert check_rank(blocks_of(X), (X.T * weights) @ X).rank == 3


def test_tsqr_is_the_r_factor_whatever_the_blocks():
    X = np.column_stack([ONE, X1, 1e6 * X2])
    scale = column_scale(np.max(np.abs(X), axis=0))
    whole, parts = tsqr(blocks_of(X, 1), scale), tsqr(blocks_of(X, 150), scale)
    np.testing.assert_allclose(np.abs(whole), np.abs(parts), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(whole.T @ whole, (X / scale).T @ (X / scale), rtol=1e-12)
    half = tsqr(blocks_of(0.5 * X, 4), scale)
    np.testing.assert_allclose(np.abs(half), 0.5 * np.abs(whole), rtol=1e-12, atol=1e-13)
    assert np.array_equal(scale, 2.0 ** np.round(np.log2(scale)))


def test_fewer_rows_than_columns():
    X = np.random.default_rng(1).normal(size=(3, 4))
    found = check_rank(blocks_of(X, 1), X.T @ X)
    assert (found.rank, found.dropped) == (3, (3,))
    np.testing.assert_allclose(X @ found.combinations[0], X[:, 3], rtol=1e-10)
    assert describe_collinearity(found, list("abcd"), 3).startswith(
        "3 observations for 4 coefficients: fewer rows than coefficients, so the columns are collinear"
    )


def test_words():
    def words(names, *columns):
        return describe_collinearity(verdict(*columns), names.split(), N)

    assert words("Intercept x1 x2 x3", ONE, X1, X2, X1 + X2) == (
        "The columns are linearly dependent: x3 = x1 + x2. Drop one of the columns x1, x2, x3."
    )
    assert words("Intercept a b c", ONE, *DUMMIES) == (
        "The columns are linearly dependent: c = Intercept − a − b. Drop one of the columns Intercept, "
        "a, b, c."
    )
    assert words("Intercept x", ONE, 3 * ONE) == "x is constant: x = 3 · Intercept. Drop it."
    assert words("Intercept x", ONE, 0 * ONE) == "x is zero in every row. Drop it."
    text = words("Intercept x c z t", ONE, X1, 7.25 * ONE, -0.5 * X1 - ONE / 3, np.pi * X1)
    assert "c is constant: c = 7.25 · Intercept. Drop it." in text
    assert (
        "z = −1/3 · Intercept − 0.5 · x; t = 3.14159 · x. Drop 2 of the columns Intercept, x, z, t." in text
    )


def test_rank_of_triangle_on_an_empty_column_set():
    assert rank_of_triangle(np.zeros((0, 0)), 5).rank == 0
