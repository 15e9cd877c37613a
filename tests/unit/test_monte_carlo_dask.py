"""A cluster carries a study through joblib, and gives the same bits."""

from __future__ import annotations

import warnings

import joblib
import pandas as pd
import pytest

import disteconometrics as de


def test_dask_gives_the_same_bits() -> None:
    distributed = pytest.importorskip("distributed")

    def draw(rng, n):
        x = rng.normal(size=n)
        return {"x": x, "y": (0.3 + 0.8 * x + rng.logistic(size=n) > 0).astype(float)}

    study = de.MonteCarlo(
        draw, {"mle": de.Logit("y ~ x"), "mean": lambda d: {"x": d["x"].mean()}}, grid={"n": [50, 100]}
    )
    alone = study.run(reps=60, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask's own
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as cluster,
            distributed.Client(cluster),
            joblib.parallel_config(backend="dask"),
        ):
            carried = study.run(reps=60, seed=5, n_jobs=2)
    pd.testing.assert_frame_equal(carried.replications, alone.replications, check_exact=True)
