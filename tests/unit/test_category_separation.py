"""Separation of outcomes in several categories beside a linear program, in small designs of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import disteconometrics as de
from disteconometrics.errors import SeparationError
from disteconometrics.optim.category_separation import (
    conditional_separation,
    multinomial_separation,
    ordered_separation,
)
from disteconometrics.optim.separation import Separation

Found = tuple[Separation | None, np.ndarray]  # and the rows that no direction may make fall


def ordered(rng: np.random.Generator, X: np.ndarray, y: np.ndarray) -> Found:
    """Ends of rows: D·d ≥ 0 for d in (β, c)."""
    levels = y.max()
    ends = [(-x, j, 1.0) for x, j in zip(X, y, strict=True) if j < levels]
    ends += [(x, j - 1, -1.0) for x, j in zip(X, y, strict=True) if j > 0]
    D = np.array([[*x, *(s * (np.arange(levels) == j))] for x, j, s in ends])
    return ordered_separation(X, y, levels), D


def multinomial(rng: np.random.Generator, X: np.ndarray, y: np.ndarray) -> Found:
    """Differences of the index of what occurred and every other."""
    Z, J = np.column_stack([np.ones(len(X)), X]), y.max() + 1
    e = np.eye(J)[:, 1:]
    D = np.array([np.kron(e[j] - e[m], z) for z, j in zip(Z, y, strict=True) for m in range(J) if m != j])
    return multinomial_separation(Z, y, J), D


def drawn_sets(rng: np.random.Generator, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sets of five rows with one to four successes, and differences of successes and failures."""
    one = np.array([rng.permutation(5) < rng.integers(1, 5) for _ in range(len(X) // 5)]).ravel() * 1.0
    if rng.random() < 0.5:  # chosen by an index, so that about half are separated
        index = (X @ rng.integers(-2, 3, X.shape[1]) + 0.2 * rng.normal(size=len(X))).reshape(-1, 5)
        one = (np.argsort(np.argsort(index, axis=1), axis=1) > 3).ravel() * 1.0
    sets = [(X[i : i + 5], one[i : i + 5] == 1) for i in range(0, len(one), 5)]
    D = np.concatenate([(x[s][:, None] - x[~s][None]).reshape(-1, X.shape[1]) for x, s in sets])
    return one, D


def conditional(rng: np.random.Generator, X: np.ndarray, y: np.ndarray) -> Found:
    """Sets of which one is chosen, or several succeed."""
    one, D = drawn_sets(rng, X)
    return conditional_separation(X, one, np.arange(0, len(one), 5)), D


def is_separated(D: np.ndarray) -> bool:
    """Whether some d has D·d ≥ 0 and not all zero."""
    found = linprog(-D.sum(axis=0), A_ub=-D, b_ub=np.zeros(len(D)), bounds=(-1, 1), method="highs")
    assert found.status == 0
    return -found.fun > 1e-6


@pytest.mark.parametrize("kind", [ordered, multinomial, conditional])
@pytest.mark.parametrize("designs", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_verdicts_are_those_of_a_linear_program(kind: Callable[..., Found], designs: int) -> None:
    rng, separated, tried = np.random.default_rng(5), 0, 0
    while tried < designs:
        n, k = 5 * int(rng.integers(3, 8)), int(rng.integers(1, 4))
        X = rng.integers(-2, 3, (n, k)).astype(float)
        index = X @ rng.integers(-2, 3, k) + rng.choice([0.0, 3.0]) * rng.normal(size=n)
        y = np.searchsorted(np.quantile(index, [0.35, 0.7]), index)
        y = rng.permutation(3)[y] if kind is multinomial else y
        y = np.unique(y, return_inverse=True)[1]
        if y.max() < 1 or np.linalg.matrix_rank(np.column_stack([np.ones(n), X])) <= k:
            continue
        found, D = kind(rng, X, y)
        if np.linalg.matrix_rank(D) < D.shape[1]:
            continue
        tried += 1
        assert (found is not None) == is_separated(D)
        if found is not None:
            separated += 1
            assert (D @ found.direction >= -1e-12).all()
            assert (D @ found.direction > 1e-9).any()
    assert 0.15 * designs < separated < 0.85 * designs


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.IncidentalParametersWarning")
@pytest.mark.parametrize("designs", [40, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", [de.Logit, de.Probit])
def test_fits_beside_absorbed_effects_are_refused_as_the_program_says(model: Any, designs: int) -> None:
    rng, separated, tried = np.random.default_rng(6), 0, 0
    while tried < designs:
        n, k = 5 * int(rng.integers(3, 8)), int(rng.integers(1, 4))
        X = rng.integers(-2, 3, (n, k)).astype(float)
        one, D = drawn_sets(rng, X)
        if np.linalg.matrix_rank(D) < k:
            continue
        tried += 1
        table = {f"x{j}": X[:, j] for j in range(k)} | {"y": one, "id": np.arange(n) // 5}
        try:
            model(f"y ~ {' + '.join(f'x{j}' for j in range(k))} | id").fit(table)
            refused = False
        except SeparationError:
            refused = True
        assert refused == is_separated(D)
        separated += refused
    assert 0.15 * designs < separated < 0.85 * designs
