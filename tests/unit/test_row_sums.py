"""Values, sums and inverses of rows' transformations, against the arrays that they never write out."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.estimators.flow.spline_laws import SplineRowLaws
from disteconometrics.flows.monotone_spline import STRUCTURES
from disteconometrics.inference.repeated_rows import distinct_laws
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.row_curves import density_curves
from disteconometrics.likelihoods.row_sums import Places, RowTransform

SAME = 1e-10
ROWS, POINTS = 400, 30


@cache
def fitted(structure: str) -> Any:
    rng = np.random.default_rng(0)
    d = pd.DataFrame({"x": rng.normal(size=ROWS), "g": rng.integers(0, 2, ROWS)})
    d["y"] = np.sin(2 * d["x"]) + 0.3 * d["g"] + np.exp(0.3 * d["x"]) * rng.gumbel(size=ROWS)
    return de.FlowDensity("y ~ x + g", flow=de.MonotoneSpline(structure)).fit(d)


def transform(structure: str) -> tuple[RowTransform, np.ndarray, Any, np.ndarray]:
    """Transformations of the rows of a fit, their coefficients, the dense structure and the covariates."""
    res = fitted(structure)
    X = res.rows.sample.X
    return RowTransform(res.flow.structure, X), res.main.theta, res.flow.structure, X


def outcomes(knots: np.ndarray) -> np.ndarray:
    """Standardised outcomes inside, far beyond on either side, and on the knots themselves."""
    r = np.random.default_rng(1).uniform(knots[0] - 3, knots[-1] + 3, ROWS)
    r[: len(knots)] = knots
    r[len(knots) : len(knots) + 4] = [knots[0] - 50, knots[-1] + 50, 0.0, -0.0]
    return r


def close(found: np.ndarray, want: np.ndarray) -> None:
    """Equal to 1e-10 of the largest number, and of the same shape."""
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=SAME, atol=SAME * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_outcome_of_each_row(structure: str) -> None:
    rows, theta, dense, X = transform(structure)
    r = outcomes(dense.basis.knots)
    A, D = dense.arrays(r, X)
    W = np.random.default_rng(2).normal(size=(ROWS, 3))
    for places in (None, Places.of(r, dense.basis.knots)):
        for found, want in zip(rows.values(theta, r, places), (A @ theta, D @ theta), strict=True):
            close(found, want)
        close(rows.sums(W, r, places=places), W.T @ A)
        V, w, d = np.random.default_rng(5).normal(size=(dense.size, 4)), W[:, 0], W[:, 1]
        want = (w[:, None] * A + d[:, None] * D) @ V
        close(rows.changes(V, w, d, r, Places.of(r, dense.basis.knots)), want)
    many = np.concatenate([W] * 3, axis=1)  # more than are summed interval by interval
    close(rows.sums(many, r), many.T @ A)
    order = np.argsort(r)
    close(RowTransform(dense, X[order]).sums(W[order], r[order]), W.T @ A)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_points_common_to_the_rows(structure: str) -> None:
    rows, theta, dense, X = transform(structure)
    knots = dense.basis.knots
    points = np.concatenate([np.linspace(knots[0] - 2, knots[-1] + 2, POINTS), knots[[0, 1, -1]]])
    forms = [dense.arrays(np.full(ROWS, p), X) for p in points]
    z, slope = rows.at_points(theta, points)
    close(z, np.column_stack([A @ theta for A, _ in forms]))
    close(slope, np.column_stack([D @ theta for _, D in forms]))
    rng = np.random.default_rng(3)
    W, P = rng.normal(size=(ROWS, 3)), rng.normal(size=(ROWS, len(points)))
    close(rows.point_sums(W, P, points), sum(W.T @ (P[:, [q]] * A) for q, (A, _) in enumerate(forms)))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_densities_at_outcomes_that_rows_share(structure: str, base: str) -> None:
    """Whatever the locations of a block: close to each other, in several intervals, beyond all knots."""
    rows, theta, dense, X = transform(structure)
    rng, knots, law = np.random.default_rng(6), dense.basis.knots, BASES[base]
    points = np.concatenate([rng.normal(size=POINTS), knots[[3, -1]], [knots[0] - 20, knots[-1] + 20]])
    w = rng.uniform(size=ROWS)
    for location in (rng.normal(size=ROWS), np.zeros(ROWS), np.repeat([-1.0, 8.0], ROWS // 2)):
        f, sums = density_curves(rows, theta, law, location, points, w)
        for q, point in enumerate(points):
            A, D = dense.arrays(point - location, X)
            z, slope = A @ theta, D @ theta
            close(f[:, q], law.pdf(z) * slope)
            close(sums[q], (w * law.pdf(z)) @ (D - (law.first(z) * slope)[:, None] * A))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_points_of_each_row(structure: str) -> None:
    """Several points in the interval of a row, or in its tail, and the cubic that h is there."""
    rows, theta, dense, X = transform(structure)
    knots, rng = dense.basis.knots, np.random.default_rng(6)
    places = Places.of(outcomes(knots), knots)
    start = places.starts(knots)
    end = np.where(places.beyond == 0, start + places.inside, start + places.inside + places.beyond)
    from_ = np.where(places.beyond == 0, start, start + places.inside)
    r = from_[:, None] + (end - from_)[:, None] * rng.random((ROWS, 4))
    W, P = rng.normal(size=(ROWS, 3)), rng.normal(size=(ROWS, 4))
    forms = [dense.arrays(r[:, q], X)[0] for q in range(4)]
    close(rows.own_point_sums(W, P, r, places), sum(W.T @ (P[:, [q]] * A) for q, A in enumerate(forms)))
    within = places.beyond == 0
    t = (r[:, 0] - start)[within]
    z = sum(c * t**j for j, c in enumerate(rows.cubics(theta, places)[:, within]))
    close(np.asarray(z), (forms[0] @ theta)[within])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_inverse_at_levels_of_the_rows(structure: str) -> None:
    rows, theta, _, _ = transform(structure)
    z = np.linspace(-9, 9, ROWS)
    close(rows.values(theta, rows.inverse(theta, z).r)[0], z)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("z", [-9.0, -4.0, -1.0, 0.0, 0.3, 2.0, 5.0, 9.0])
def test_inverse(structure: str, z: float) -> None:
    rows, theta, dense, X = transform(structure)
    r, places, slope = rows.inverse(theta, z)
    close(rows.values(theta, r)[0], np.full(ROWS, z))
    close(rows.values(theta, r, places)[0], np.full(ROWS, z))
    close(rows.values(theta, r)[1], slope)
    close(dense.arrays(r, X)[0] @ theta, np.full(ROWS, z))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_coefficients_take_their_places(structure: str) -> None:
    """`joined` is the transpose of `split`, whose sums over rows a form is."""
    rows, theta, dense, _ = transform(structure)
    ones, lines, splines = rows.split(theta)
    F = rows.features
    assert [len(ones), len(lines), len(splines)] == [part.shape[1] for part in F]
    other = np.random.default_rng(4)
    parts = [other.normal(size=(2, *part.shape)) for part in (ones, lines, splines)]
    back = rows.joined(*parts)
    assert back.shape == (2, dense.size)
    want = sum(
        (p * part).reshape(2, -1).sum(axis=1) for p, part in zip(parts, (ones, lines, splines), strict=True)
    )
    close(back @ theta, np.asarray(want))


def test_no_rows_and_one_row() -> None:
    _, theta, dense, X = transform("tensor")
    r = np.array([0.2])
    one = RowTransform(dense, X[:1])
    close(one.values(theta, r)[0], dense.arrays(r, X[:1])[0] @ theta)
    none = RowTransform(dense, X[:0])
    assert none.values(theta, r[:0])[0].shape == (0,)
    assert none.sums(np.zeros((0, 2)), r[:0]).tolist() == np.zeros((2, dense.size)).tolist()


def test_rows_that_repeat_are_evaluated_once() -> None:
    """And give the same: values to the bit, sums to rounding."""
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"x": rng.integers(0, 4, ROWS).astype(float), "g": rng.integers(0, 2, ROWS)})
    d["y"] = 0.3 * d.x + d.g + rng.gumbel(size=ROWS)
    res = de.FlowDensity("y ~ x + g", flow=de.MonotoneSpline("scale", knots=8)).fit(d)
    X, of = res.rows.sample.X, partial(SplineRowLaws, res.flow, res.main)
    every, once = of(X), distinct_laws(X, of)
    assert once.own.size == 8
    W = rng.normal(size=(ROWS, 2))
    for functional in (("mean", ()), ("std", ()), ("q", (0.9,)), ("prob", (0.0, 1.0))):
        one, other = once.by_row(functional, W), every.by_row(functional, W)
        np.testing.assert_array_equal(one.values, other.values)
        close(one.sums, other.sums)
    np.testing.assert_array_equal(once.at(1.0).cdf, every.at(1.0).cdf)
    close(once.cdf_sums(1.0, W), every.cdf_sums(1.0, W))
    close(once.quantile_density(0.3), every.quantile_density(0.3))
    some = np.arange(0, ROWS, 3)
    close(once.take(some).moments(W[some]).first, every.take(some).moments(W[some]).first)
