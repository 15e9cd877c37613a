"""Many fits at once equal single fits, and what has no maximum is flagged where it is."""

from __future__ import annotations

import numpy as np
import pytest

from disteconometrics.blocks import Block
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim.batched import (
    CONVERGED,
    RANK_DEFICIENT,
    SEPARATED,
    maximise_many,
    share,
    solve_shared,
)
from disteconometrics.optim.newton import maximise

SAME = 1e-10  # relative, of coefficients (or their standard errors, when larger) and of standard errors


def single(y, X, weights=None, offset=None):
    m = maximise(IndexModel(LOGISTIC, [Block(y, X, weights, offset)]))
    return m, np.sqrt(np.square(m.root).sum(axis=1))


def check(batch, i, m, se):
    assert batch.status[i] == CONVERGED
    assert np.all(np.abs(batch.params[i] - m.params) <= SAME * np.maximum(np.abs(m.params), se))
    if batch.inverse is not None:
        np.testing.assert_allclose(batch.std_error[i], se, rtol=SAME)
        np.testing.assert_allclose(batch.loglik[i], m.loglik, rtol=SAME)


DESIGNS = {  # n, k, scale of the columns, intercept, offset, weights
    "plain": (400, 3, 1.0, 0.0, False, False),
    "wide": (300, 9, 1.0, 0.5, False, False),
    "offset": (400, 3, 1.0, 0.0, True, False),
    "weights": (400, 4, 1.0, 0.0, True, True),
    "rare outcome": (1500, 3, 1.0, -4.5, False, False),
    "units": (400, 3, 1e6, 0.0, False, False),
    "steep": (400, 3, 4.0, 0.0, False, False),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_different_data(name: str) -> None:
    n, k, scale, intercept, has_offset, has_weights = DESIGNS[name]
    rng = np.random.default_rng(len(name))
    R = 140  # more than a chunk
    X = rng.normal(size=(R, n, k)) * scale
    X[:, :, 0] = 1
    offset = rng.normal(size=(R, n)) if has_offset else None
    weights = rng.integers(1, 5, size=(R, n)).astype(float) if has_weights else None
    eta = intercept + X[:, :, 1:].sum(axis=2) / max(scale / 4, 1) / k
    y = (eta + (0 if offset is None else offset) + rng.logistic(size=(R, n)) > 0).astype(float)
    batch = maximise_many(LOGISTIC, X, y, weights=weights, offset=offset)
    for i in range(0, R, 7):
        w, o = (None if a is None else a[i] for a in (weights, offset))
        check(batch, i, *single(y[i], X[i], w, o))


@pytest.mark.parametrize("information", [True, False])
@pytest.mark.parametrize("own_outcomes", [True, False])
def test_shared_design(information: bool, own_outcomes: bool) -> None:
    rng = np.random.default_rng(5)
    n, k, R = 300, 6, 144
    X = rng.normal(size=(n, k))
    X[:, 0] = 1
    offset = 0.3 * rng.normal(size=n)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=R).astype(float)
    y = (X[:, 1] + offset + rng.logistic(size=(R, n) if own_outcomes else n) > 0).astype(float)
    batch = solve_shared(share(LOGISTIC, X, y, offset), weights, np.full(k, 0.1), information)
    for i in range(0, R, 8):
        kept = weights[i] > 0
        m, se = single((y[i] if own_outcomes else y)[kept], X[kept], weights[i][kept], offset[kept])
        check(batch, i, m, se)


def test_members_without_a_maximum_are_flagged_and_leave_the_others_alone() -> None:
    rng = np.random.default_rng(1)
    R, n = 20, 200
    X = np.stack([np.ones((R, n)), rng.normal(size=(R, n)), (rng.random((R, n)) < 0.03)], axis=2)
    y = (X[:, :, 1] + rng.logistic(size=(R, n)) > 0).astype(float)
    y[3] = X[3, :, 1] > 0  # complete separation
    y[7, X[7, :, 2] == 1] = 1  # a rare level with one outcome
    X[11, :, 2] = 0  # a level that does not occur
    X[13, :, 2] = 2 * X[13, :, 1] - 1  # a linear combination
    y[17] = 1
    batch = maximise_many(LOGISTIC, X, y)
    assert batch.status[[3, 7, 17]].tolist() == [SEPARATED] * 3
    assert batch.status[[11, 13]].tolist() == [RANK_DEFICIENT] * 2
    assert np.isnan(batch.params[batch.status != CONVERGED]).all()
    fine = [i for i in range(R) if i not in (3, 7, 11, 13, 17)]
    for i in fine:
        if batch.status[i] == RANK_DEFICIENT:
            assert not X[i, :, 2].any()
            continue
        m, se = single(y[i], X[i])
        assert m.converged == (batch.status[i] == CONVERGED)
        if m.converged:
            check(batch, i, m, se)


def test_ill_conditioned_members_are_settled_alone() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(4, 300, 3))
    X[:, :, 0] = 1
    X[2, :, 2] = X[2, :, 1] + 1e-6 * X[2, :, 2]
    y = (rng.normal(size=(4, 300)) > 0).astype(float)
    batch = maximise_many(LOGISTIC, X, y)
    assert batch.single.tolist() == [False, False, True, False]
    for i in range(4):
        check(batch, i, *single(y[i], X[i]))
