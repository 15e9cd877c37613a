"""Bad and hard inputs, in tables: what must be refused and in which words, what must warn,
what must simply be right.

A made-up set of mortgage applications; the reference is a Newton iteration written out below.  Two rules run
through every table: no wrong number comes back in silence, and a message names the column, the rows or the
term, and a remedy.
"""

from __future__ import annotations

import io
import pickle
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    ConditioningWarning,
    ConvergenceWarning,
    DataError,
    DisteconometricsError,
    FewClustersWarning,
    FileFormatError,
    FormulaError,
    LevelError,
    MissingColumnError,
    MissingValuesWarning,
    NeedsData,
    NeedsRows,
    OptionError,
    OutcomeError,
    SeparationError,
    SeparationWarning,
    UnsafeFormulaError,
    WithheldError,
)

Frame = pd.DataFrame
MODEL = "deny ~ income + debt"
ROWS = 240

SAME = 1e-10  # another path to the same numbers
NEWTON = 1e-7  # against the reference below, which stops at a step of 1e-11


def loans(rows: int = ROWS, seed: int = 4711) -> Frame:
    """Applications: income and debt (standardised), age (years), region (three), bank (24), units (1 to 4),
    share (0.3 to 2).
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.normal(size=rows),
            "debt": rng.normal(size=rows),
            "age": rng.integers(20, 70, rows),
            "region": rng.choice(["north", "south", "west"], rows),
            "bank": np.arange(rows) % 24,
            "units": rng.integers(1, 5, rows),
            "share": rng.uniform(0.3, 2.0, rows),
        }
    )
    index = -0.4 - 0.8 * frame["income"] + 0.6 * frame["debt"] + 0.5 * (frame["region"] == "south")
    return frame.assign(deny=(index + rng.logistic(size=rows) > 0).astype(int))


def fit(data: Any, formula: Any = MODEL, cov: Any = None, maxiter: int = 100, **options: Any) -> Any:
    return de.Logit(formula, **options).fit(data, cov=cov, maxiter=maxiter)


def put(frame: Frame, column: str, row: int, value: Any, dtype: Any = object) -> Frame:
    values = frame[column].astype(dtype).copy()
    values.iloc[row] = value
    return frame.assign(**{column: values})


def newton(X: Any, y: Any, weights: Any = None, offset: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors of a logit, by plain Newton steps on well-scaled data."""
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    o = np.zeros(len(y)) if offset is None else np.asarray(offset, dtype=float)
    beta = np.zeros(X.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(-(X @ beta + o)))
        step = np.linalg.solve((X.T * (w * p * (1 - p))) @ X, X.T @ (w * (y - p)))
        beta += step * min(1.0, 4.0 / np.abs(X @ step).max())
        if np.abs(step).max() < 1e-11:
            break
    return beta, np.sqrt(np.diag(np.linalg.inv((X.T * (w * p * (1 - p))) @ X)))


def columns(frame: Frame, *names: str) -> np.ndarray:
    return np.column_stack([np.ones(len(frame)), *(frame[n].to_numpy(dtype=float) for n in names)])


def close(a: Any, b: Any, rtol: float = SAME) -> None:
    np.testing.assert_allclose(
        np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=rtol, atol=rtol * 1e-2
    )


def right(res: Any, frame: Frame, weights: Any = None, offset: Any = None) -> None:
    """Estimates of the two-regressor model equal the reference on the complete rows ``frame``."""
    beta, se = newton(columns(frame, "income", "debt"), frame["deny"], weights, offset)
    close(res.params, beta, NEWTON)
    if weights is None:
        close(res.bse, se, NEWTON)


# ---- what is refused ---------------------------------------------------------------------------------------


class Refused(NamedTuple):
    """A call that must raise ``error`` (and no other class) with words that match every pattern."""

    title: str
    call: Callable[[], Any]
    error: type[Exception]
    says: tuple[str, ...]


D = loans()
SHUFFLED = D["share"].sample(frac=1, random_state=3)
TINY = D.iloc[[0, 1, 2]].assign(deny=[0, 1, 0])
SPLIT = D.assign(deny=(D["income"] > 0.1).astype(int))
LATER = pd.Timestamp("2020-01-01")


def series(**columns: Any) -> dict[str, Any]:
    return {**{name: D[name] for name in D}, **columns}


REFUSED = [
    # values
    Refused(
        "inf in a regressor", lambda: fit(put(D, "debt", 7, np.inf, float)), DataError, ("'debt'", "inf", "7")
    ),
    Refused(
        "-inf in float32", lambda: fit(put(D, "debt", 7, -np.inf, "float32")), DataError, ("'debt'", "inf")
    ),
    Refused("inf among objects", lambda: fit(put(D, "debt", 7, float("inf"))), DataError, ("'debt'", "inf")),
    Refused(
        "inf in the outcome", lambda: fit(put(D, "deny", 7, np.inf, float)), DataError, ("'deny'", "inf")
    ),
    Refused(
        "every row misses one of two columns",
        lambda: fit(D.assign(income=D.income.where(D.bank % 2 == 0), debt=D.debt.where(D.bank % 2 == 1))),
        DataError,
        ("(?i)no complete rows", "240", "'income': 120", "'debt': 120"),
    ),
    Refused("no rows", lambda: fit(D.iloc[:0]), DataError, ("no rows",)),
    Refused(
        "fewer rows than coefficients",
        lambda: fit(TINY, MODEL + " + age"),
        CollinearityError,
        ("3 observations", "4 coef"),
    ),
    Refused(
        "log of zero",
        lambda: fit(D.assign(debt=D.debt.abs().where(D.bank > 0, 0.0)), "deny ~ log(debt)"),
        DataError,
        (r"log\(debt\)", "inf"),
    ),
    Refused(
        "overflow in exp",
        lambda: fit(D.assign(debt=D.debt * 1e4), "deny ~ exp(debt)"),
        DataError,
        (r"exp\(debt\)", "inf"),
    ),
    # types
    Refused(
        "dates",
        lambda: fit(D.assign(debt=pd.date_range(LATER, periods=ROWS))),
        DataError,
        ("'debt'", "dates"),
    ),
    Refused(
        "durations",
        lambda: fit(D.assign(debt=pd.to_timedelta(D.age, unit="D"))),
        DataError,
        ("'debt'", "times"),
    ),
    Refused("complex numbers", lambda: fit(D.assign(debt=D.debt + 2j)), DataError, ("'debt'", "complex")),
    Refused(
        "lists in cells", lambda: fit(D.assign(debt=[[v] for v in D.debt])), DataError, ("'debt'", "nested")
    ),
    Refused("text and numbers mixed", lambda: fit(put(D, "debt", 7, "many")), DataError, ("'debt'", "mix")),
    Refused(
        "numbers as text",
        lambda: fit(D.assign(debt=D.debt.map("{:.5f}".format))),
        DataError,
        ("'debt'", "text"),
    ),
    Refused(
        "a numpy array for a table",
        lambda: fit(D[["income", "debt"]].to_numpy()),
        OptionError,
        ("ndarray", "DataFrame"),
    ),
    Refused("a Series for a table", lambda: fit(D["deny"]), OptionError, ("Series", "to_frame")),
    Refused("no table", lambda: fit(None), OptionError, ("None", "first argument")),
    Refused(
        "a lazy polars frame where rows are needed",
        lambda: de.DistributionRegression("income ~ debt").fit(pl.from_pandas(D).lazy()),
        NeedsRows,
        ("collect",),
    ),
    Refused(
        "two levels of column labels", lambda: fit(pd.concat({"a": D}, axis=1)), OptionError, ("(?i)level",)
    ),
    # columns, labels, lengths
    Refused(
        "a column twice", lambda: fit(pd.concat([D, D[["debt"]]], axis=1)), DataError, ("'debt'", "duplicate")
    ),
    Refused(
        "a misspelt column",
        lambda: fit(D, "deny ~ incone"),
        MissingColumnError,
        ("'incone'", "Did you mean 'income'"),
    ),
    Refused(
        "a name of this module", lambda: fit(D, "deny ~ income + LATER"), MissingColumnError, ("'LATER'",)
    ),
    Refused(
        "columns of unequal length",
        lambda: fit(series(debt=D.debt.to_numpy()[:-3])),
        DataError,
        ("length", "'debt': 237"),
    ),
    Refused(
        "Series in another order",
        lambda: fit(series(debt=D.debt.sample(frac=1, random_state=2))),
        DataError,
        ("index", "'debt'"),
    ),
    Refused(
        "Series with other labels",
        lambda: fit(series(debt=D.debt.set_axis(D.index + 1))),
        DataError,
        ("index", "'debt'"),
    ),
    # weights, offset, clusters
    Refused(
        "weights as an array",
        lambda: de.Logit(MODEL, weights=D.share.to_numpy(), weight_type="sampling"),
        OptionError,
        ("weights", "name of a column", "assign"),
    ),
    Refused(
        "offset as a Series",
        lambda: de.Logit(MODEL, offset=D.share),
        OptionError,
        ("offset", "name of a column"),
    ),
    Refused(
        "clusters as an array",
        lambda: fit(D, cov=de.Cluster(D.bank.to_numpy())),
        OptionError,
        ("column name", "assign"),
    ),
    Refused(
        "weights in another order",
        lambda: fit(series(share=SHUFFLED), weights="share", weight_type="sampling"),
        DataError,
        ("index", "'share'"),
    ),
    Refused(
        "clusters of another length",
        lambda: fit(series(bank=D.bank.to_numpy()[1:]), cov=de.Cluster("bank")),
        DataError,
        ("length", "'bank': 239"),
    ),
    Refused(
        "weights of no type",
        lambda: de.Logit(MODEL, weights="share"),
        OptionError,
        ("weight_type", "frequency", "sampling"),
    ),
    Refused(
        "a type without weights", lambda: de.Logit(MODEL, weight_type="sampling"), OptionError, ("weights",)
    ),
    Refused(
        "a negative weight",
        lambda: fit(put(D, "share", 9, -1.0, float), weights="share", weight_type="sampling"),
        DataError,
        ("'share'", "negative", "9"),
    ),
    Refused(
        "an infinite weight",
        lambda: fit(put(D, "share", 9, np.inf, float), weights="share", weight_type="sampling"),
        DataError,
        ("'share'", "inf"),
    ),
    Refused(
        "fractions as counts",
        lambda: fit(D, weights="share", weight_type="frequency"),
        DataError,
        ("'share'", "whole"),
    ),
    Refused(
        "weights all zero",
        lambda: fit(D.assign(units=0), weights="units", weight_type="frequency"),
        DataError,
        ("'units'", "zero"),
    ),
    Refused(
        "weights as text", lambda: fit(D, weights="region", weight_type="sampling"), DataError, ("'region'",)
    ),
    Refused(
        "an absent weights column",
        lambda: fit(D, weights="w", weight_type="sampling"),
        MissingColumnError,
        ("'w'", "weights"),
    ),
    Refused(
        "an infinite offset",
        lambda: fit(put(D, "share", 9, np.inf, float), offset="share"),
        DataError,
        ("'share'", "inf", "offset"),
    ),
    Refused("an absent offset column", lambda: fit(D, offset="o"), MissingColumnError, ("'o'", "offset")),
    Refused(
        "missing cluster labels",
        lambda: fit(put(D, "bank", 3, None), cov=de.Cluster("bank")),
        DataError,
        ("'bank'", "1 missing"),
    ),
    Refused(
        "an absent cluster column",
        lambda: fit(D, cov=de.Cluster("firm")),
        MissingColumnError,
        ("'firm'", "cluster"),
    ),
    Refused(
        "one cluster",
        lambda: fit(D.assign(bank=1), cov=de.Cluster("bank")),
        DisteconometricsError,
        ("cluster",),
    ),
    Refused(
        "inverse information of weighted rows",
        lambda: fit(D, cov="nonrobust", weights="share", weight_type="sampling"),
        OptionError,
        ("nonrobust", "sampling", "HC1"),
    ),
    Refused("an unknown covariance", lambda: fit(D, cov="HC7"), OptionError, ("HC7", "HC3")),
    Refused("a repeated time value", lambda: fit(D, cov=de.HAC("age")), DataError, ("'age'", "repeat")),
    # outcome
    Refused(
        "outcome 1 and 2", lambda: fit(D.assign(deny=D.deny + 1)), OutcomeError, ("'deny'", "0/1", "1 and 2")
    ),
    Refused(
        "outcome 0, 1 and 9",
        lambda: fit(put(D, "deny", 5, 9, int)),
        OutcomeError,
        ("'deny'", "3 distinct", "9"),
    ),
    Refused("outcome a share", lambda: fit(D, "share ~ income"), OutcomeError, ("'share'", "binary")),
    Refused(
        "outcome with three texts", lambda: fit(D, "region ~ income"), OutcomeError, ("'region'", "'west'")
    ),
    Refused("outcome never 1", lambda: fit(D.assign(deny=0)), OutcomeError, ("'deny'", "variation", "0")),
    Refused(
        "outcome always yes", lambda: fit(D.assign(deny="yes")), OutcomeError, ("'deny'", "variation", "yes")
    ),
    Refused(
        "outcome constant where debt is known",
        lambda: fit(D.assign(debt=D.debt.where(D.deny == 1))),
        OutcomeError,
        ("variation",),
    ),
    Refused(
        "outcome on both sides",
        lambda: fit(D, "deny ~ income + deny"),
        FormulaError,
        ("'deny'", "right side"),
    ),
    # formula
    Refused("no formula", lambda: fit(D, None), OptionError, ("formula", "str")),
    Refused("an array for a formula", lambda: fit(D, ["deny", "income"]), OptionError, ("formula", "str")),
    Refused("no left side", lambda: fit(D, "income + debt"), FormulaError, ("left side",)),
    Refused("operators in a row", lambda: fit(D, "deny ~ income * / debt"), FormulaError, ("(?i)syntax",)),
    Refused(
        "an open bracket",
        lambda: fit(D, "deny ~ log(income"),
        FormulaError,
        ("(?i)syntax|bracket|parenthes|closed|read",),
    ),
    Refused("two tildes", lambda: fit(D, "deny ~ income ~ debt"), FormulaError, ("~",)),
    Refused("no term", lambda: fit(D, "deny ~ 0"), FormulaError, ("no columns|at least one",)),
    Refused("an unknown function", lambda: fit(D, "deny ~ cosine(income)"), FormulaError, ("cosine", "log")),
    Refused("a huge power", lambda: fit(D, "deny ~ I(age ** 9**9**9)"), DataError, ("inf",)),
    Refused(
        "a huge expansion",
        lambda: fit(D, "deny ~ (income + debt + age + units)**40"),
        DisteconometricsError,
        ("",),
    ),
    # rank
    Refused(
        "a sum of columns",
        lambda: fit(D.assign(net=D.income - 2 * D.debt), MODEL + " + net"),
        CollinearityError,
        ("net", "income", "debt", "(?i)drop"),
    ),
    Refused(
        "a second constant",
        lambda: fit(D.assign(one=3.0), MODEL + " + one"),
        CollinearityError,
        ("one", "Intercept"),
    ),
    Refused(
        "all dummies and a constant",
        lambda: fit(
            D.assign(n=D.region == "north", s=D.region == "south", w=D.region == "west"), "deny ~ n + s + w"
        ),
        CollinearityError,
        ("Intercept",),
    ),
    Refused(
        "a column of zeros", lambda: fit(D.assign(none=0.0), MODEL + " + none"), CollinearityError, ("none",)
    ),
    # options
    Refused("no passes", lambda: fit(D, maxiter=0), OptionError, ("maxiter", "at least 1")),
    Refused("half a pass", lambda: fit(D, maxiter=2.5), OptionError, ("maxiter", "2.5")),
    Refused("data in the specification", lambda: de.Logit(MODEL, D), OptionError, (r"\.fit\(data\)",)),
    Refused(
        "separation on request",
        lambda: fit(SPLIT, separation="raise"),
        SeparationError,
        ("income", "(?i)separat"),
    ),
    Refused(
        "an unknown choice", lambda: de.Logit(MODEL, separation="ignore"), OptionError, ("ignore", "warn")
    ),
    # later calls
    Refused(
        "an unseen level",
        lambda: fit(D, "deny ~ region").predict(D.iloc[:2].assign(region=["north", "east"])),
        LevelError,
        ("'region'", "'east'", "west"),
    ),
    Refused(
        "a column absent from new data",
        lambda: fit(D).predict(D[["income"]]),
        MissingColumnError,
        ("'debt'",),
    ),
    Refused(
        "text where numbers were",
        lambda: fit(D).predict(D.iloc[:2].assign(debt=["low", "high"])),
        DataError,
        ("'debt'",),
    ),
    Refused(
        "inf in new data",
        lambda: fit(D).predict(D.iloc[:2].assign(debt=[0, np.inf])),
        DataError,
        ("'debt'", "inf"),
    ),
    Refused(
        "beyond the knots",
        lambda: fit(D, "deny ~ bs(age, df=5)").predict(D.iloc[:2].assign(age=[30, 300])),
        DataError,
        (r"bs\(age, df=5\)", "range"),
    ),
    Refused("a level of 95", lambda: fit(D).predict(D, ci=True, level=95), OptionError, ("95", "0.95")),
    Refused(
        "likelihood ratio of weighted rows",
        lambda: fit(D, weights="share", weight_type="sampling").lr_test("debt"),
        WithheldError,
        ("sampling", "Wald"),
    ),
    Refused("an unknown coefficient", lambda: fit(D).test("income = dept"), OptionError, ("dept",)),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: c.title)
def test_refused(case: Refused) -> None:
    with pytest.raises(case.error) as caught:
        case.call()
    assert isinstance(caught.value, DisteconometricsError)
    for pattern in case.says:
        assert re.search(pattern, str(caught.value), re.S), f"{pattern!r} is not in: {caught.value}"


def test_exceptions_are_the_builtins_that_callers_expect() -> None:
    with pytest.raises(KeyError):
        fit(D, "deny ~ nothing")
    with pytest.raises(ValueError, match="inf"):
        fit(put(D, "debt", 7, np.inf, float))
    with pytest.raises(TypeError, match="formula"):
        fit(D, 3)


HOSTILE = [
    "deny ~ open('{file}', 'w')",
    "deny ~ I(open('{file}', 'w'))",
    "deny ~ {{open('{file}', 'w')}}",
    "open('{file}', 'w') ~ income",
    "deny ~ income + `debt` + I(`debt`.__class__)",
    "deny ~ debt.to_csv('{file}')",
    "deny ~ np.savetxt('{file}', debt)",
    "deny ~ np.asarray(debt).tofile('{file}')",
    "deny ~ log(debt.values.tofile('{file}'))",
    "deny ~ log(debt if open('{file}', 'w') else income)",
    "deny ~ I([open('{file}', 'w') for _ in [1]][0])",
    "deny ~ I((lambda: open('{file}', 'w'))())",
    "deny ~ C(region, levels=open('{file}', 'w'))",
    "deny ~ bs(debt, df=open('{file}', 'w'))",
    "deny ~ I(eval(\"open('{file}', 'w')\"))",
    'deny ~ I(f\'{{open("{file}", "w")}}\')',
    "deny ~ I(debt, out=open('{file}', 'w'))",
    "deny ~ I(debt := open('{file}', 'w'))",
    "deny ~ income[open('{file}', 'w')]",
]


@pytest.mark.parametrize("template", HOSTILE)
def test_code_in_a_formula_is_refused_and_not_run(template: str, tmp_path: Path) -> None:
    file = tmp_path / "touched"
    with pytest.raises(FormulaError):
        fit(D, template.format(file=file))
    assert not file.exists()


def test_code_is_called_unsafe() -> None:
    with pytest.raises(UnsafeFormulaError):
        fit(D, "deny ~ I(debt.__class__)")


# ---- what warns --------------------------------------------------------------------------------------------


def noise() -> Frame:
    """Ninety outcomes and sixty regressors that have nothing to do with them."""
    values = np.random.default_rng(5).normal(size=(90, 60))
    return pd.DataFrame(values, columns=[f"v{i}" for i in range(60)]).assign(deny=np.arange(90) % 2)


class Warned(NamedTuple):
    """A call that must return, warn with ``warning`` in words that match, and pass the check."""

    title: str
    call: Callable[[], Any]
    warning: type[Warning]
    says: tuple[str, ...]
    check: Callable[[Any], bool]


def separated(*names: str) -> Callable[[Any], bool]:
    """The named coefficients are infinite without a standard error; nothing claims convergence."""
    return lambda r: (
        not r.converged
        and all(np.isinf(r.params[n]) and np.isnan(r.bse[n]) for n in names)
        and bool(re.search("(?i)separation", str(r.summary())))
        and bool(np.all((r.predict() >= 0) & (r.predict() <= 1)))
    )


ONLY_YES = D.assign(deny=D.deny.where(D.region != "west", 1))
RARE = D.assign(region=D.region.where(D.index != D.index[D.deny == 0][0], "island"))
NOISE = np.random.default_rng(99).normal(size=ROWS)

WARNED = [
    Warned(
        "log of negative numbers",
        lambda: fit(D, "deny ~ log(debt)"),
        MissingValuesWarning,
        (r"log\(debt\)",),
        lambda r: r.nobs == (D.debt > 0).sum(),
    ),
    Warned(
        "root of negative numbers",
        lambda: fit(D, "deny ~ income + np.sqrt(debt)"),
        MissingValuesWarning,
        ("sqrt",),
        lambda r: r.facts.given - r.facts.rows == (D.debt < 0).sum(),
    ),
    Warned(
        "complete separation",
        lambda: fit(SPLIT, "deny ~ income"),
        SeparationWarning,
        ("income",),
        lambda r: separated("income")(r) and r.llf == 0,
    ),
    Warned(
        "complete separation by several columns",
        lambda: fit(D.assign(deny=(D.income + D.debt > 0.3).astype(int))),
        SeparationWarning,
        ("income", "debt"),
        separated("income", "debt"),
    ),
    Warned(
        "a level without refusals",
        lambda: fit(ONLY_YES, "deny ~ income + region"),
        SeparationWarning,
        ("west",),
        lambda r: (
            separated("region[T.west]")(r) and np.isfinite(r.bse["income"]) and r.params["region[T.west]"] > 0
        ),
    ),
    Warned(
        "a level of one row",
        lambda: fit(RARE, "deny ~ income + C(region, levels=['north', 'south', 'west', 'island'])"),
        SeparationWarning,
        ("island",),
        lambda r: np.isinf(r.params).sum() == 1 and np.isfinite(r.llf),
    ),
    Warned(
        "more noise columns than information",
        lambda: fit(
            pd.DataFrame(
                np.random.default_rng(5).normal(size=(90, 60)), columns=[f"v{i}" for i in range(60)]
            ).assign(deny=np.arange(90) % 2),
            "deny ~ .",
        ),
        SeparationWarning,
        ("(?i)separat",),
        lambda r: not r.converged,
    ),
    Warned(
        "one pass",
        lambda: fit(D, maxiter=1),
        ConvergenceWarning,
        ("(?i)converge", "maxiter"),
        lambda r: not r.converged and bool(re.search("(?i)converged: +no", str(r.summary()))),
    ),
    Warned(
        "few clusters",
        lambda: fit(D.assign(bank=D.bank % 5), cov=de.Cluster("bank")),
        FewClustersWarning,
        ("5", "jackknife"),
        lambda r: bool(np.isfinite(r.bse).all()),
    ),
    Warned(
        "nearly collinear",
        lambda: fit(D.assign(near=D.income + 1e-11 * NOISE), MODEL + " + near"),
        ConditioningWarning,
        ("(?i)collinear",),
        lambda r: True,
    ),
]


@pytest.mark.parametrize("case", WARNED, ids=lambda c: c.title)
def test_warned(case: Warned) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = case.call()
    words = [str(w.message) for w in caught if issubclass(w.category, case.warning)]
    assert words, f"no {case.warning.__name__} among {[w.category.__name__ for w in caught]}"
    for pattern in case.says:
        assert re.search(pattern, "\n".join(words), re.S), f"{pattern!r} is not in: {words}"
    assert case.check(result)


# ---- what is simply right: missing values and types --------------------------------------------------------

MISSING = {
    "nan": lambda v: pd.Series(v),
    "float32": lambda v: pd.Series(v.astype("float32")),
    "None among objects": lambda v: pd.Series([None if np.isnan(x) else x for x in v], dtype=object),
    "pd.NA in Float64": lambda v: pd.Series(v).astype("Float64"),
    "pd.NA among objects": lambda v: pd.Series([pd.NA if np.isnan(x) else x for x in v], dtype=object),
    "arrow double": lambda v: pd.Series(v).astype("double[pyarrow]"),
    "sparse": lambda v: pd.Series(pd.arrays.SparseArray(v, fill_value=np.nan)),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_values_of_any_kind_drop_their_rows(kind: str) -> None:
    values = np.round(D["debt"].to_numpy() * 32) / 32  # exact in float32
    values[[4, 77, 238]] = np.nan
    frame = D.assign(debt=values)
    res = fit(frame.assign(debt=MISSING[kind](values)))
    right(res, frame.dropna())
    assert (res.nobs, res.facts.dropped["debt"]) == (ROWS - 3, 3)


def test_missing_polars_and_masked_values_drop_their_rows() -> None:
    frame = D.assign(debt=D.debt.where(D.bank != 3))
    wanted = fit(frame.dropna())
    null = pl.from_pandas(frame).with_columns(pl.col("debt").fill_nan(None))
    masked = {n: frame[n].to_numpy() for n in ("deny", "income")} | {
        "debt": np.ma.masked_invalid(frame["debt"].to_numpy())
    }
    for table in (null, masked):
        close(fit(table).params, wanted.params)
        assert fit(table).nobs == ROWS - 10


def test_missing_values_in_unused_columns_drop_nothing() -> None:
    assert fit(D.assign(age=np.nan, note=None)).nobs == ROWS


def test_missing_outcome_and_text_drop_their_rows() -> None:
    frame = put(put(D, "deny", 11, None), "region", 12, None)
    res = fit(frame, "deny ~ income + region")
    assert (res.nobs, res.facts.dropped["deny"], res.facts.dropped["region"]) == (ROWS - 2, 1, 1)


def test_missing_weight_and_offset_drop_their_rows_jointly() -> None:
    frame = put(put(D, "share", 3, np.nan, float), "units", 4, np.nan, float)
    res = fit(frame, weights="units", weight_type="frequency", offset="share")
    kept = frame.dropna()
    right(res, kept, kept["units"], kept["share"])


OUTCOMES = {
    "bool": (lambda y: y.astype(bool), "True"),
    "nullable boolean": (lambda y: y.astype(bool).astype("boolean"), "True"),
    "Int8": (lambda y: y.astype("Int8"), "1"),
    "float": (lambda y: y.astype(float), "1"),
    "category of numbers": (lambda y: y.astype("category"), "1"),
    "text": (lambda y: y.map({0: "granted", 1: "refused"}), "refused"),
    "ordered category": (
        lambda y: pd.Categorical(y.map({0: "z", 1: "a"}), categories=["z", "a"], ordered=True),
        "a",
    ),
    "unused third level": (
        lambda y: pd.Categorical(y.map({0: "n", 1: "y"}), categories=["n", "perhaps", "y"]),
        "y",
    ),
}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_outcomes_of_any_type_say_what_counts_as_one(kind: str) -> None:
    make, success = OUTCOMES[kind]
    res = fit(D.assign(deny=make(D["deny"])))
    right(res, D)
    assert f"deny = {success}" in str(res.summary())


REGRESSORS = {
    "int64 near its limit": lambda d: (d * 1e18).astype("int64"),
    "whole numbers beyond int64": lambda d: pd.Series([int(v * 10**4) * 10**22 for v in d], dtype=object),
    "float32": lambda d: d.astype("float32"),
    "arrow": lambda d: d.astype("double[pyarrow]"),
    "sparse": lambda d: pd.Series(pd.arrays.SparseArray(d.to_numpy())),
    "objects": lambda d: d.astype(object),
}


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors_of_any_type(kind: str) -> None:
    values = REGRESSORS[kind](D["debt"])
    as_float = np.array([float(v) for v in values])
    res = fit(D.assign(debt=values))
    wanted = fit(D.assign(debt=as_float / np.abs(as_float).max()))
    close(res.tvalues, wanted.tvalues, 1e-9)
    close(res.llf, wanted.llf)


def test_small_integers_do_not_wrap() -> None:
    frame = D.assign(age=D.age.astype("uint8"), units=(D.units * 40).astype("int8"))
    close(
        fit(frame, "deny ~ age:units + I(age + age)").params,
        fit(frame.astype({"age": float, "units": float}), "deny ~ age:units + I(age + age)").params,
    )


LEVELS = {
    "string": lambda g: g.astype("string"),
    "arrow": lambda g: g.astype("string[pyarrow]"),
    "category": lambda g: g.astype("category"),
    "unused levels": lambda g: pd.Categorical(g, categories=["north", "east", "south", "west", "up"]),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_of_any_type(kind: str) -> None:
    wanted = fit(D, "deny ~ income + region")
    res = fit(D.assign(region=LEVELS[kind](D["region"])), "deny ~ income + region")
    assert list(res.params.index) == ["Intercept", "income", "region[T.south]", "region[T.west]"]
    close(res.params, wanted.params)


# ---- rows and names ----------------------------------------------------------------------------------------

INDEXES = {
    "text": lambda n: [f"row {i}" for i in range(n)],
    "all the same": lambda n: np.zeros(n, dtype=int),
    "backwards": lambda n: np.arange(n)[::-1],
    "two levels": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 7, np.arange(n)]),
    "dates": lambda n: pd.date_range(LATER, periods=n),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_the_index_changes_nothing_but_labels(kind: str) -> None:
    frame = put(D, "debt", 30, np.nan, float)
    labelled = frame.set_axis(INDEXES[kind](ROWS))
    options = {"weights": "units", "weight_type": "frequency", "offset": "share", "cov": de.Cluster("bank")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)
        a, b = fit(frame, **options), fit(labelled, **options)
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a.bse, b.bse)
    assert b.predict(labelled).index.equals(labelled.index)


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = D.sample(frac=1, random_state=8)
    for cov in (None, "HC3"):
        close(fit(shuffled, cov=cov).bse, fit(D, cov=cov).bse)
    close(fit(shuffled).params, fit(D).params)


def test_polars_and_dicts_are_tables() -> None:
    wanted = fit(D, "deny ~ income + region")
    for table in (pl.from_pandas(D), {n: D[n].to_numpy() for n in D}, {n: D[n].tolist() for n in D}):
        np.testing.assert_array_equal(fit(table, "deny ~ income + region").params, wanted.params)


@pytest.mark.parametrize(
    "name", ["net debt", "debt/income (%)", "été", "class", "1st", 'in "quotes"', "a.b", "C", "log", "-"]
)
def test_names_in_backticks(name: str) -> None:
    frame = D.rename(columns={"debt": name})
    res = fit(frame, f"deny ~ income + `{name}`")
    right(res, D)
    close(res.predict(frame.iloc[:5]), fit(D).predict(D.iloc[:5]))


def test_a_column_called_intercept_stands_alone() -> None:
    frame = D.rename(columns={"debt": "Intercept"})
    with pytest.raises(FormulaError, match="Intercept"):
        fit(frame, "deny ~ income + Intercept")
    close(fit(frame, "deny ~ 0 + income + Intercept").params, fit(D, "deny ~ 0 + income + debt").params)


def test_without_intercept_and_without_regressors() -> None:
    close(fit(D, "deny ~ 0 + income").params, newton(D[["income"]], D["deny"])[0], NEWTON)
    share = D["deny"].mean()
    res = fit(D, "deny ~ 1")
    close(res.params, [np.log(share / (1 - share))], 1e-13)
    close(res.bse, [1 / np.sqrt(ROWS * share * (1 - share))], 1e-12)
    close(fit(D[["deny", "income", "debt"]], "deny ~ .").params, fit(D).params)


STATES = [
    "scale(income) + debt",
    "center(income):debt",
    "standardize(debt)",
    "poly(debt, 3)",
    "bs(age, df=5)",
    "0 + cr(income, df=4)",
    "bs(scale(income), df=4)",
    "scale(np.exp(debt / 2)) + np.log(age)",
    "C(region):scale(income)",
    "C(region, contr.sum) + income",
    "scale(income) * poly(debt, 2)",
]


@pytest.mark.parametrize("right_side", STATES)
def test_transforms_keep_what_they_learnt(right_side: str) -> None:
    res = fit(D, f"deny ~ {right_side}")
    full = res.predict(D)
    close(full, res.fittedvalues)
    for rows in (slice(0, 9), slice(3, 4), slice(100, 102)):
        close(res.predict(D.iloc[rows]), full.iloc[rows])
    assert res.predict(D.iloc[:0]).shape == (0,)


def test_new_rows_with_missing_values_predict_missing() -> None:
    p = fit(D, "deny ~ income + region").predict(
        put(put(D.iloc[:4], "income", 1, np.nan, float), "region", 2, None)
    )
    assert p.isna().tolist() == [False, True, True, False]


def test_the_table_is_left_as_it_was() -> None:
    frame = put(D, "debt", 4, np.nan, float)
    before = frame.copy(deep=True)
    fit(frame, "deny ~ scale(income) + debt + region", weights="units", weight_type="frequency", cov="HC3")
    pd.testing.assert_frame_equal(frame, before)


# ---- weights, offset, clusters -----------------------------------------------------------------------------


def test_counts_equal_repeated_rows() -> None:
    repeated = D.loc[D.index.repeat(D["units"])]
    a, b = fit(D, weights="units", weight_type="frequency"), fit(repeated)
    for what in ("params", "bse", "llf", "llnull", "aic", "bic", "nobs", "df_resid"):
        close(getattr(a, what), getattr(b, what))
    for cov in ("HC0", "HC1", "HC3"):
        close(a.with_cov(cov).bse, b.with_cov(cov).bse)


def test_zero_weights_equal_absent_rows() -> None:
    zero = D.assign(units=D["units"].where(D["bank"] > 2, 0), share=D["share"].where(D["bank"] > 2, 0.0))
    for name, kind in (("units", "frequency"), ("share", "sampling")):
        a = fit(zero, weights=name, weight_type=kind)
        b = fit(zero[zero["bank"] > 2], weights=name, weight_type=kind)
        close(a.params, b.params)
        close(a.bse, b.bse)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e9])
def test_the_unit_of_sampling_weights_does_not_matter(unit: float) -> None:
    a, b = (fit(f, weights="share", weight_type="sampling") for f in (D, D.assign(share=D["share"] * unit)))
    right(a, D, D["share"])
    close(b.params, a.params)
    close(b.bse, a.bse)


def test_offset_enters_with_coefficient_one() -> None:
    right(fit(D, offset="share"), D, offset=D["share"])
    moved = fit(D.assign(share=2.5), offset="share")
    close(moved.params + np.array([2.5, 0, 0]), fit(D).params)
    close(fit(D, offset="share").predict(D.iloc[:6]), fit(D, offset="share").fittedvalues.iloc[:6])


def test_clusters_are_labels_not_numbers() -> None:
    named = D.assign(bank=D["bank"].map("bank {}".format), other=D["bank"] * -1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)
        wanted = fit(D, cov=de.Cluster("bank")).bse
        for name in ("bank", "other"):
            close(fit(named, cov=de.Cluster(name)).bse, wanted)
    own = fit(D.assign(row=np.arange(ROWS)), cov=de.Cluster("row")).bse
    close(own, fit(D, cov="HC0").bse * np.sqrt(ROWS / (ROWS - 1)))


# ---- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [(1e-12, 1.0), (1e12, 1.0), (1e-9, 1e9), (1e-150, 1e120), (3e-5, 7e5)])
def test_units_of_columns_do_not_matter(scales: tuple[float, float]) -> None:
    wanted, res = fit(D), fit(D.assign(income=D.income * scales[0], debt=D.debt * scales[1]))
    close(res.params * [1, *scales], wanted.params)
    close(res.bse * [1, *scales], wanted.bse)
    close(res.tvalues, wanted.tvalues)


@pytest.mark.parametrize("shift", [1e3, -1e6, 1e9])
def test_shifts_of_columns_do_not_matter(shift: float) -> None:
    moved = D["income"] + shift
    wanted = fit(D.assign(income=moved - shift))  # what rounding of the sum leaves of income
    res = fit(D.assign(income=moved))
    close(res.params.iloc[1:], wanted.params.iloc[1:], 1e-6)
    close(res.bse.iloc[1:], wanted.bse.iloc[1:], 1e-6)
    close(res.llf, wanted.llf)


def test_one_row_far_away() -> None:
    far = put(D, "income", 0, -1e7, float)
    far.loc[0, "deny"] = 0
    res = fit(far)
    assert res.converged
    p = res.predict()
    score = columns(far, "income", "debt") * (far["deny"] - p).to_numpy()[:, None]
    assert np.all(np.abs(score.sum(axis=0)) <= 1e-8 * np.abs(score).sum(axis=0) + 1e-12)


def test_nearly_separated_rows_have_a_maximum() -> None:
    frame = loans(300, 21)
    frame["deny"] = (frame["income"] > 0).astype(int)
    frame.loc[frame["income"][frame["income"] > 0].nsmallest(4).index[3], "deny"] = 0
    res = fit(frame, "deny ~ income")
    beta, se = newton(columns(frame, "income"), frame["deny"])
    assert res.converged
    assert abs(beta[1]) > 30
    close(res.params, beta, 1e-6)
    close(res.bse, se, 1e-5)


def test_tails_have_digits() -> None:
    big = loans(40_000, 6)
    res = fit(big)
    assert abs(res.tvalues["income"]) > 40
    assert 0 < res.pvalues["income"] < 1e-300 or res.pvalues["income"] == 0
    assert np.isfinite(res.pvalues).all()
    with pytest.warns(de.errors.ExtrapolationWarning, match="3 of 3 rows"):
        p = res.predict(pd.DataFrame({"income": [1e3, -1e3, 1e6], "debt": 0.0}), ci=True)
    assert p.to_numpy()[:, [0, 2, 3]].min() >= 0
    assert p.to_numpy()[:, [0, 2, 3]].max() <= 1


# ---- the same again ----------------------------------------------------------------------------------------


def test_two_fits_are_identical() -> None:
    big = loans(9_000, 12)
    a, b = fit(big, cov="HC2"), fit(big.copy(), cov="HC2")
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a.bse, b.bse)


def test_threads_do_not_disturb_each_other() -> None:
    frames = [loans(1_500, seed) for seed in range(6)]
    alone = [fit(f, "deny ~ scale(income) + region").params for f in frames]
    found: dict[int, Any] = {}

    def run(i: int) -> None:
        found[i] = fit(frames[i], "deny ~ scale(income) + region").params

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for i, wanted in enumerate(alone):
        close(found[i], wanted, 1e-12)


# ---- files -------------------------------------------------------------------------------------------------


def saved(res: Any) -> bytes:
    file = io.BytesIO()
    res.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "right_side", ["scale(income) + region", "bs(age, df=4) + C(units)", "poly(debt, 2):region", "`income`"]
)
def test_saved_results_come_back(right_side: str) -> None:
    res = fit(D, f"deny ~ {right_side}", cov="HC1", offset="share")
    back = de.load(io.BytesIO(saved(res)))
    np.testing.assert_array_equal(back.params, res.params)
    np.testing.assert_array_equal(back.bse, res.bse)
    np.testing.assert_array_equal(back.predict(D.iloc[:7]), res.predict(D.iloc[:7]))
    assert str(back.summary()) == str(res.summary())
    close(back.with_cov("HC3", data=D).bse, res.with_cov("HC3").bse)


def test_saved_results_hold_no_rows(tmp_path: Path) -> None:
    res = fit(D)
    assert len(saved(res)) == pytest.approx(len(saved(fit(pd.concat([D] * 20)))), rel=0.05)
    res.save(tmp_path / "model")
    back = de.load(tmp_path / "model")
    asks: list[Callable[[], Any]] = [
        back.predict,
        lambda: back.fittedvalues,
        lambda: back.leverage,
        lambda: back.with_cov("HC1"),
        lambda: back.lr_test("debt"),
    ]
    for ask in asks:
        with pytest.raises(NeedsData, match="attach"):
            ask()
    with pytest.raises(DataError, match="rows of the fit"):
        back.with_cov("HC1", data=D.iloc[:-1])


def test_separated_results_come_back() -> None:
    with pytest.warns(SeparationWarning):
        res = fit(ONLY_YES, "deny ~ income + region")
    back = de.load(io.BytesIO(saved(res)))
    np.testing.assert_array_equal(back.params, res.params)
    np.testing.assert_array_equal(back.predict(D), res.predict(D))
    assert not back.converged


def _other_archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, params=np.zeros(3))
    return file.getvalue()


class _Opens:
    """Unpickled, it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("touched", "w")


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


DAMAGED = {
    "empty": lambda c: b"",
    "half": lambda c: c[: len(c) // 2],
    "a byte changed": _flipped,
    "text": lambda c: b"params: 1, 2, 3",
    "another archive": lambda c: _other_archive(),
    "a pickle": lambda c: pickle.dumps(_Opens()),
    "a formula with code": lambda c: _with_formula(c, b"deny ~ open('x','w')"),
}


def _with_formula(content: bytes, formula: bytes) -> bytes:
    """The archive with another formula in its header."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        parts = {name: archive[name] for name in archive.files}
    header = bytes(parts["header"]).replace(MODEL.encode(), formula)
    file = io.BytesIO()
    np.savez(file, **{**parts, "header": np.frombuffer(header, dtype=np.uint8)})
    return file.getvalue()


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError):
        de.load(io.BytesIO(DAMAGED[kind](saved(fit(D)))))
    assert list(tmp_path.iterdir()) == []


def test_an_absent_file_is_python_s_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        de.load(tmp_path / "nothing.npz")
