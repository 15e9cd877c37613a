"""Values, inverses and weighted sums of the linear forms of a spline equal those of the forms written out."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import disteconometrics as de
from disteconometrics.likelihoods.row_sums import RowTransform

STRUCTURES = ("linear", "baseline", "scale", "shift", "shape", "tensor")
N = 400


@cache
def fitted(structure: str) -> Any:
    rng = np.random.default_rng(0)
    d = pd.DataFrame({"x": rng.normal(size=N), "g": rng.integers(0, 2, N)})
    d["y"] = np.sin(2 * d.x) + 0.3 * d.g + np.exp(0.3 * d.x) * rng.gumbel(size=N)
    formula = "y ~ x" if structure == "tensor" else "y ~ x + g"
    return de.FlowDensity(formula, flow=de.MonotoneSpline(structure)).fit(d)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_sums_are_those_of_the_forms(structure: str) -> None:
    res, rng = fitted(structure), np.random.default_rng(1)
    s, theta, st = res.rows.sample, res.main.theta, res.flow.structure
    r = (s.y - res.flow.centre.location(s.X)) / res.flow.centre.scale
    r[:4] = -9.0, 9.0, st.basis.knots[0], st.basis.knots[-1]  # beyond the knots, and on them
    (A, D), rows = st.arrays(r, s.X), RowTransform(st, s.X)
    W = rng.normal(size=(N, 3))
    z, slope = rows.values(theta, r)
    assert_allclose([z, slope], [A @ theta, D @ theta], rtol=1e-11, atol=1e-11)
    assert_allclose(rows.sums(W, r), W.T @ A, rtol=1e-10, atol=1e-10)
    assert_allclose(rows.sums(W, r, slopes=True), W.T @ D, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_points_common_to_the_rows(structure: str) -> None:
    res, rng = fitted(structure), np.random.default_rng(1)
    X, theta, st = res.rows.sample.X, res.main.theta, res.flow.structure
    points, rows = np.linspace(-4, 4, 9), RowTransform(st, X)
    forms = [st.arrays(np.full(N, p), X) for p in points]
    z, slope = rows.at_points(theta, points)
    assert_allclose(z, np.column_stack([A @ theta for A, _ in forms]), rtol=1e-11, atol=1e-11)
    assert_allclose(slope, np.column_stack([D @ theta for _, D in forms]), rtol=1e-11, atol=1e-11)
    W, P = rng.normal(size=(N, 2)), rng.normal(size=(N, 9))
    summed = sum(W.T @ (P[:, [q]] * A) for q, (A, _) in enumerate(forms))
    assert_allclose(rows.point_sums(W, P, points), summed, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_inverse(structure: str) -> None:
    res = fitted(structure)
    rows = RowTransform(res.flow.structure, res.rows.sample.X)
    for z in (-9.0, -1.0, 0.3, 9.0):
        r = rows.inverse(res.main.theta, z)
        assert_allclose(rows.values(res.main.theta, r)[0], z, rtol=1e-11, atol=1e-11)


def test_rows_that_repeat_are_evaluated_once() -> None:
    """And give the same: values to the bit, sums to rounding."""
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"x": rng.integers(0, 4, N).astype(float), "g": rng.integers(0, 2, N)})
    d["y"] = 0.3 * d.x + d.g + rng.gumbel(size=N)
    apart = d.assign(x=d.x + 1e-13 * np.arange(N))  # a hair, so that no two rows are one
    one, other = (
        de.FlowDensity("y ~ x + g", flow=de.MonotoneSpline("scale", knots=8)).fit(t) for t in (d, apart)
    )
    for ask in (lambda r: r.functionals(["mean", "std", "q[0.9]"]), lambda r: r.effect("g", 0, 1)):
        a, b = ask(one), ask(other)
        assert_allclose([a.values, a.std_error], [b.values, b.std_error], rtol=1e-6)
