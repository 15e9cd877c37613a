"""Rows kept as features by interval do what their arrays (n, p) do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics.estimators.flow.spline_fit import SplinePlan, _structure
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.likelihoods.monotone import MonotoneRows
from disteconometrics.likelihoods.piece_rows import PieceRows, narrowed_rows


@pytest.mark.parametrize(
    ("name", "K", "narrow"),
    [
        ("linear", 2, 0),
        ("baseline", 0, 0),
        ("shift", 2, 0),
        ("shape", 2, 0),
        ("tensor", 1, 0),
        ("tensor", 1, 200),
    ],
)
def test_pieces_are_the_arrays(name: str, K: int, narrow: int) -> None:
    rng = np.random.default_rng(K)
    X, y = rng.normal(size=(300, K)), rng.standard_t(2, size=300)
    y[300 - narrow :] *= 1e-7  # knots that all but coincide
    y[:3] = [1e8, -1e7, 5e3]  # far beyond the knots, whose cubes single precision does not hold
    s = SplineSample(y, X, tuple((j,) for j in range(K)))
    st = _structure(s, name, SplinePlan(structure=name), True)
    some = replace(st, terms=st.terms[: 1 + len(st.terms) // 2])
    weights, u, v = rng.uniform(0.5, 2, (3, 300))
    for structure, rows in (
        (st, PieceRows.of(st, s.residuals, X, weights)),
        (some, narrowed_rows(PieceRows.of(st, s.residuals, X, weights), st, some)),
    ):
        dense = MonotoneRows(*structure.arrays(s.residuals, X), weights)
        theta, root = rng.normal(size=structure.size), np.triu(rng.normal(size=(structure.size,) * 2))
        pairs = [
            *zip(rows.forms(theta), dense.forms(theta), strict=True),
            (rows.gradient(v, u), dense.gradient(v, u)),
            (rows.products(u, v, exact=True), dense.products(u, v, exact=True)),
            (rows.moments, dense.moments),
            *zip(rows.spreads(root), dense.spreads(root), strict=True),
        ]
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12 * np.abs(theirs).max())
        single = rows.products(None, v, exact=False)
        exact = dense.products(None, v, exact=True)
        assert np.abs(single - exact).max() < 1e-5 * np.abs(exact).max()


def test_a_factor_has_one_penalty_whatever_its_base_level() -> None:
    rng = np.random.default_rng(0)
    g = rng.integers(0, 12, 600)
    y = 0.5 * (g % 3) + np.exp(0.3 * (g % 4)) * rng.normal(size=600)
    flow = de.MonotoneSpline("scale")
    fits = [
        de.FlowDensity("y ~ C(g)", flow=flow).fit({"y": y, "g": order[g]})
        for order in (np.arange(12), np.arange(12)[::-1])
    ]
    assert [len(f.rows.smooth.lam) for f in fits] == [2, 2]
    assert fits[0].llf == pytest.approx(fits[1].llf, abs=1e-4)
