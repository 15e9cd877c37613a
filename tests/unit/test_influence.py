"""Covariances from influence functions: without averaging, the delta method; with it, formulas by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import FewClustersWarning, OptionError
from disteconometrics.inference.influence import averaging_rows, estimation_rows, influence_covariance
from disteconometrics.inference.sampling import Sampling

RNG = np.random.default_rng(20)
N = 300
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "t": RNG.permutation(N)})
TABLE["firm"], TABLE["year"] = RNG.integers(0, 45, N), RNG.integers(0, 41, N)
TABLE["w"] = RNG.integers(1, 4, N).astype(float)
TABLE["y"] = (RNG.random(N) < 1 / (1 + np.exp(-TABLE.x))).astype(int)
GRADIENTS = RNG.normal(size=(4, 3))
CORRECTIONS = ("groups", "cr1", "none", "jackknife")
CLUSTERS = [de.Cluster("firm", correction=c) for c in CORRECTIONS]
TWO_WAY = [de.Cluster("firm", "year"), de.Cluster("firm", "year", correction="cr1")]
KINDS: list[Any] = ["HC0", "HC1", "HC2", "HC3", *CLUSTERS, *TWO_WAY, de.HAC("t", lags=3)]


CASES = [(kind, weight_type) for kind in KINDS for weight_type in (None, "frequency", "sampling")]


@pytest.mark.parametrize(("kind", "weight_type"), CASES[:-2] + CASES[-1:], ids=str)  # HAC counts no copies
def test_without_averaging_it_is_the_delta_method(kind: Any, weight_type: str | None) -> None:
    weights = None if weight_type is None else "w"
    res = de.Logit("y ~ x + z", weights=weights, weight_type=weight_type).fit(TABLE, cov=kind)
    rows = estimation_rows(res.rows.equation, GRADIENTS, kind, res.rows.sampling)
    V = influence_covariance(np.zeros(4), None, rows, kind, res.rows.sampling)
    np.testing.assert_allclose(V, GRADIENTS @ res.covariance.matrix @ GRADIENTS.T, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC3", *CLUSTERS, de.HAC("t", lags=0)], ids=str)
def test_a_mean_estimated_as_a_coefficient_has_the_covariance_of_an_average(kind: Any) -> None:
    """In regression on a constant the coefficient is the mean of the outcome: both parts are of one form."""
    res = de.NormalRegression("x ~ 1").fit(TABLE, cov=kind)
    y, mean = TABLE[["x"]].to_numpy(), res.params.to_numpy()
    rows = averaging_rows(y, mean, kind, res.rows.sampling)
    V = influence_covariance(mean, rows, None, kind, res.rows.sampling)
    factor = {"HC0": N / (N - 1), "HC3": (N - 1) / N}.get(str(kind), 1.0)
    factor = N / (N - 1) if isinstance(kind, de.HAC) else factor
    np.testing.assert_allclose(V, factor * res.covariance.matrix, rtol=1e-10)


def test_what_believes_the_model_needs_its_covariance() -> None:
    def ask(modelled: Any) -> Any:
        rows = np.array([[1.0], [-1.0]])
        return influence_covariance(np.zeros(1), rows, rows, "nonrobust", Sampling(), modelled=modelled)

    assert ask(np.array([[3.0]])) == 5.0
    with pytest.raises(OptionError, match="rests on the model"):
        ask(None)


def test_an_average_over_one_cluster_has_no_error() -> None:
    """Its rows sum to zero in the cluster, so that estimation alone would be left."""
    table = TABLE[TABLE.firm.map(TABLE.firm.value_counts()) > 1].assign(region=TABLE.firm % 3)
    for model in (de.NormalRegression("x ~ z"), de.Logit("y ~ x + z")):
        res = model.fit(table, cov=de.Cluster("firm"))
        with pytest.warns(FewClustersWarning, match="single cluster of firm"):
            assert np.isnan(res.functionals("mean", by="firm").std_error).all()
        assert np.isfinite(res.functionals("mean", by="firm", target="sample").std_error).all()
        assert np.isfinite(res.functionals("mean", by="region").std_error).all()
