"""The adapter through which a catalogue of bad and hard inputs drives this package.

It lives outside the repository; with its folder and this one on the path it is run as
``catalogue.py --adapter adapter:Adapter --areas data,logit,mc,flow,transport``.

Weights, clusters and offsets are names of columns here, so an array that does not belong to the table is
attached first, as a user would: the columns of the table and the loose one become a dict, and it is the
package that refuses another length, order or set of labels.  Without a loose array the table goes in as it
came.  A case that has no meaning for this package would raise ``NA`` with the reason; there is none in the
areas above.
"""

from __future__ import annotations

import io
import warnings
from types import SimpleNamespace
from typing import Any

import catalogue
import numpy as np
import pandas as pd

import disteconometrics as de
from disteconometrics.transport import discrete, one_dim

__all__ = ["Adapter"]


def attach(data: Any, loose: dict[str, Any]) -> Any:
    """Return the table with the arrays that are not None under the given names;
    the same object when there are none.
    """
    loose = {name: values for name, values in loose.items() if values is not None}
    if not loose:
        return data
    return {**{name: data[name] for name in data}, **loose}


def whole(values: Any) -> bool:
    """Whether all values that are there are whole numbers, so that weights can only be counts of rows."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    return bool((values == np.rint(values)).all())


class Adapter(catalogue.Adapter):
    """The calls of the catalogue in the words of this package; what it lacks is inherited and says so."""

    name = "disteconometrics"

    def q(self, name: str) -> str:
        """A column name as the formula quotes it."""
        return f"`{name}`"

    def logit(
        self,
        formula: Any,
        data: Any,
        weights: Any = None,
        cluster: Any = None,
        offset: Any = None,
        cov: str | None = None,
        maxiter: int | None = None,
    ) -> SimpleNamespace:
        """Fit a logit; whole weights count rows, others are sampling weights (the catalogue compares their
        estimates alone).
        """
        table = attach(data, {"weights": weights, "cluster": cluster, "offset": offset})
        model = de.Logit(
            formula,
            weights=None if weights is None else "weights",
            weight_type=None if weights is None else "frequency" if whole(weights) else "sampling",
            offset=None if offset is None else "offset",
        )
        limits = {} if maxiter is None else {"maxiter": maxiter}
        res = model.fit(table, cov=cov if cluster is None else de.Cluster("cluster"), **limits)
        return self.view(res)

    def view(self, res: Any) -> SimpleNamespace:
        """The names under which the catalogue looks at a result."""

        def dumps() -> bytes:
            file = io.BytesIO()
            res.save(file)
            return file.getvalue()

        return SimpleNamespace(
            params=res.params,
            bse=res.bse,
            llf=res.llf,
            nobs=res.nobs,
            converged=res.converged,
            n_dropped=res.facts.given - res.facts.rows,
            predict=lambda new: np.asarray(res.predict(new)),
            summary=lambda: str(res.summary()),
            dumps=dumps,
            loads=lambda content: self.view(de.load(io.BytesIO(content))),
        )

    def flow(
        self,
        y: Any,
        x: Any = None,
        seed: int = 0,
        hook: Any = None,
        weights: Any = None,
        threads: int = 1,
        steps: Any = None,
    ) -> SimpleNamespace:
        """Fit a density; columns get names, since a table is matched by name.  Whole weights count rows."""
        names = [] if x is None else [f"x{j}" for j in range(np.asarray(x).shape[1])]
        table: dict[str, Any] = {"y": np.asarray(y), **self.columns(x, len(names))}
        if weights is not None:
            table["weights"] = weights
        kind = None if weights is None else "frequency" if whole(weights) else "sampling"
        options: dict[str, Any] = {"weights": None if weights is None else "weights", "weight_type": kind}
        if (
            hook is not None
        ):  # the spline is fitted exactly, so what looks into a training looks into that of a flow by name
            options |= {"flow": de.RQS(bins=8), "train": de.Adam(lr=0.02, steps=steps or 300, callback=hook)}
        model = de.FlowDensity(f"y ~ {' + '.join(names) or 1}", **options)
        res = model.fit(table, seed=seed)
        if res.facts.given > res.facts.rows:  # the catalogue's flow has no field for what the summary says
            lost = ", ".join(f"NaN in {c} ({n})" for c, n in res.facts.dropped.items() if n)
            warnings.warn(f"{res.facts.given - res.facts.rows} rows dropped: {lost}", stacklevel=2)
        return self.density(res, len(names))

    def columns(self, x: Any, count: int) -> dict[str, Any]:
        """The columns of an array of covariates by name."""
        if x is None:
            return {}
        x = np.asarray(x)
        if x.shape[1] != count:
            raise catalogue.NA("new rows are matched by column name, and a column more is never read")
        return {f"x{j}": x[:, j] for j in range(count)}

    def density(self, res: Any, count: int) -> SimpleNamespace:
        """The names under which the catalogue looks at a density; outcomes and levels go with rows of x."""

        def matched(method: str, values: Any, x: Any) -> np.ndarray:
            if x is None:
                return np.asarray(getattr(res.distribution(), method)(values))
            if method != "quantile":
                return np.asarray(getattr(res.distribution(self.columns(x, count)), method)(values))
            rows, which = np.unique(np.asarray(x), axis=0, return_inverse=True)
            law, out = res.distribution(self.columns(rows, count)), np.empty(len(values))
            for i in range(len(rows)):
                out[which == i] = law.rows(slice(i, i + 1)).quantile(np.asarray(values)[which == i])[0]
            return out

        return SimpleNamespace(
            log_prob=lambda y, x=None: matched("logpdf", y, x),
            cdf=lambda y, x=None: matched("cdf", y, x),
            quantile=lambda tau, x=None: matched("quantile", tau, x),
            sample=lambda n, x=None, seed=0: res.distribution(
                None if x is None else self.columns(x, count)
            ).sample(n, seed=seed),
            save=res.save,
            load=lambda path: self.density(de.load(path), count),
            converged=res.converged,
        )

    def wass(self, x: Any, y: Any, p: float = 1, wx: Any = None, wy: Any = None) -> float:
        """The distance of two samples on the line."""
        return one_dim.wasserstein(x, y, p, wx, wy).distance

    def wass_nd(self, X: Any, Y: Any, p: float = 2, wx: Any = None, wy: Any = None) -> float:
        """The exact distance of two samples of rows."""
        return discrete.wasserstein(X, Y, p, wx, wy).distance

    def mc(
        self,
        dgp: Any,
        estimator: Any,
        reps: int,
        seed: int = 0,
        n_jobs: int = 1,
        truth: dict[str, float] | None = None,
        checkpoint: str | None = None,
    ) -> SimpleNamespace:
        """Run a study of one estimator; summary has a dict of measures for every parameter."""
        study = de.MonteCarlo(dgp, {"estimator": estimator}, truth=truth)
        found = study.run(reps, seed=seed, n_jobs=n_jobs, store=checkpoint)
        names, values = found.numbers()
        table = found.table()
        return SimpleNamespace(
            estimates=pd.DataFrame(values[:, :, 0], columns=list(names)),
            n_failed=found.failed(),
            failures=found.failures,
            summary={name: table.loc[("", "estimator", name)].to_dict() for name in names},
        )
