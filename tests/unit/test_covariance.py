"""Every covariance against its formula, written out row by row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    CovarianceWarning,
    DataError,
    DisteconometricsError,
    FewClustersWarning,
    MissingColumnError,
    OptionError,
    WithheldError,
)

# entries of a covariance, in units of its standard errors: the formula against another order of operations
EQUAL = 1e-10
PEER = 1e-8  # statsmodels stops its iterations earlier
FORMULA = "y ~ x + z + C(f)"
N, FIRMS, YEARS = 600, 60, 45

RNG = np.random.default_rng(31)


def make_data() -> pd.DataFrame:
    firm = np.sort(RNG.integers(0, FIRMS, N))
    year = RNG.integers(1970, 1970 + YEARS, N)
    x = RNG.normal(size=N) + 0.5 * RNG.normal(size=FIRMS)[firm]
    eta = 0.3 + 0.8 * x + RNG.normal(size=FIRMS)[firm] + 0.5 * RNG.normal(size=YEARS)[year - 1970]
    frame = {
        "y": (RNG.random(N) < 1 / (1 + np.exp(-eta))).astype(int),
        "x": x,
        "z": RNG.exponential(size=N),
        "f": RNG.choice(["a", "b", "c"], N),
        "firm": [f"firm {i}" for i in firm],
        "year": year,
        "time": RNG.permutation(N) * 3 - 100,  # unsorted, with gaps
        "id": np.arange(N),
        "count": RNG.integers(1, 5, N),
        "pw": RNG.gamma(2.0, size=N) * 40,
        "off": RNG.normal(scale=0.5, size=N),
    }
    return pd.DataFrame(frame, index=RNG.permutation(N) + 1000)


DATA = make_data()
VARIANTS: dict[str, dict[str, str]] = {
    "plain": {},
    "offset": {"offset": "off"},
    "frequency": {"weights": "count", "weight_type": "frequency"},
    "sampling": {"weights": "pw", "weight_type": "sampling", "offset": "off"},
}


class Direct:
    """The textbook formulas with dense matrices and loops, at the estimates of a fit."""

    def __init__(self, params: np.ndarray, variant: dict[str, str]) -> None:
        d = DATA
        if variant.get("weight_type") == "frequency":  # frequency weights are nothing but repeated rows
            d = DATA.loc[DATA.index.repeat(DATA["count"])]
        X = np.column_stack([np.ones(len(d)), d.x, d.z, d.f == "b", d.f == "c"])
        w = (d.pw / d.pw.mean()).to_numpy() if variant.get("weight_type") == "sampling" else np.ones(len(d))
        offset = d.off.to_numpy() if "offset" in variant else 0.0
        p = 1 / (1 + np.exp(-(X @ params + offset)))
        self.data, self.n, self.k = d, len(d), X.shape[1]
        self.H = (X.T * (w * p * (1 - p))) @ X
        self.bread = np.linalg.inv(self.H)
        self.s = X * (w * (d.y.to_numpy() - p))[:, None]
        self.root = X * np.sqrt(w * p * (1 - p))[:, None]
        self.h = np.array([r @ self.bread @ r for r in self.root])

    def sandwich(self, scores: np.ndarray) -> np.ndarray:
        return self.bread @ (scores.T @ scores) @ self.bread

    def clusters(self, *columns: str) -> list[np.ndarray]:
        return [np.flatnonzero(np.asarray(i)) for i in _members(self.data, columns)]

    def clustered(self, *columns: str, correction: str) -> np.ndarray:
        groups = self.clusters(*columns)
        G = len(groups)
        V = self.sandwich(np.array([self.s[g].sum(axis=0) for g in groups]))
        factor = {"none": 1.0, "groups": G / (G - 1), "cr1": G / (G - 1) * (self.n - 1) / (self.n - self.k)}
        return factor[correction] * V

    def two_way(self, a: str, b: str, correction: str) -> np.ndarray:
        one, two, both = (self.clustered(*c, correction=correction) for c in ((a,), (b,), (a, b)))
        return one + two - both

    def jackknife(self, column: str) -> np.ndarray:
        groups = self.clusters(column)
        total = np.zeros((self.k, self.k))
        for g in groups:
            delta = np.linalg.solve(self.H - self.root[g].T @ self.root[g], self.s[g].sum(axis=0))
            total += np.outer(delta, delta)
        return (len(groups) - 1) / len(groups) * total

    def hac(self, lags: int) -> np.ndarray:
        s = self.s[np.argsort(self.data.time.to_numpy())]
        meat = np.zeros((self.k, self.k))
        for t in range(self.n):
            for u in range(max(0, t - lags), min(self.n, t + lags + 1)):
                meat += (1 - abs(t - u) / (lags + 1)) * np.outer(s[t], s[u])
        return self.bread @ meat @ self.bread


def _members(d: pd.DataFrame, columns: tuple[str, ...]) -> list[Any]:
    keys = list(zip(*(d[c] for c in columns), strict=True))
    return [[key == k for k in keys] for key in dict.fromkeys(keys)]


KINDS: dict[str, tuple[Any, Callable[[Direct], np.ndarray]]] = {
    "nonrobust": ("nonrobust", lambda d: d.bread),
    "opg": ("opg", lambda d: np.linalg.inv(d.s.T @ d.s)),
    "HC0": ("HC0", lambda d: d.sandwich(d.s)),
    "HC1": ("HC1", lambda d: d.sandwich(d.s) * d.n / (d.n - d.k)),
    "HC2": ("HC2", lambda d: d.sandwich(d.s / np.sqrt(1 - d.h)[:, None])),
    "HC3": ("HC3", lambda d: d.sandwich(d.s / (1 - d.h)[:, None])),
    **{
        f"firm, {c}": (de.Cluster("firm", correction=c), lambda d, c=c: d.clustered("firm", correction=c))
        for c in ("groups", "cr1", "none")
    },
    **{
        f"firm and year, {c}": (
            de.Cluster("firm", "year", correction=c),
            lambda d, c=c: d.two_way("firm", "year", c),
        )
        for c in ("groups", "cr1", "none")
    },
    "firm, jackknife": (de.Cluster("firm", correction="jackknife"), lambda d: d.jackknife("firm")),
    "HAC 0": (de.HAC("time", lags=0), lambda d: d.hac(0)),
    "HAC 1": (de.HAC("time", lags=1), lambda d: d.hac(1)),
    "HAC 7": (de.HAC("time", lags=7), lambda d: d.hac(7)),
    "HAC automatic": (de.HAC("time"), lambda d: d.hac(5)),  # floor(4·6^(2/9)) = floor(5.96)
}
UNDEFINED = {"sampling": {"nonrobust", "opg"}, "frequency": {k for k in KINDS if k.startswith("HAC")}}

FITS = {name: de.Logit(FORMULA, **options).fit(DATA) for name, options in VARIANTS.items()}


def distance(V: Any, expected: np.ndarray) -> float:
    se = np.sqrt(np.diagonal(expected))
    return float(np.abs((np.asarray(V) - expected) / np.outer(se, se)).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_its_formula(variant: str, kind: str) -> None:
    ask, formula = KINDS[kind]
    fit = FITS[variant]
    if kind in UNDEFINED.get(variant, ()):
        with pytest.raises(OptionError):
            fit.with_cov(ask)
        with pytest.raises(OptionError):
            fit.model.fit(DATA, cov=ask)
        return
    expected = formula(Direct(fit.params.to_numpy(), VARIANTS[variant]))
    res = fit.with_cov(ask)
    assert distance(res.cov_params(), expected) <= EQUAL
    assert np.array_equal(res.cov_params(), fit.model.fit(DATA, cov=ask).cov_params())
    assert np.array_equal(res.cov_params(), res.cov_params().T)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in UNDEFINED["frequency"]])
def test_frequency_weights_are_repeated_rows(kind: str) -> None:
    ask, _ = KINDS[kind]
    repeated = de.Logit(FORMULA).fit(
        DATA.loc[DATA.index.repeat(DATA["count"])].reset_index(drop=True), cov=ask
    )
    assert distance(FITS["frequency"].with_cov(ask).cov_params(), repeated.cov_params().to_numpy()) <= EQUAL


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in UNDEFINED["sampling"]])
@pytest.mark.parametrize("factor", [1e-6, 0.37, 1e7])
def test_sampling_weights_have_no_unit(kind: str, factor: float) -> None:
    ask, _ = KINDS[kind]
    scaled = FITS["sampling"].model.fit(DATA.assign(pw=DATA.pw * factor), cov=ask)
    before = FITS["sampling"].with_cov(ask)
    assert distance(scaled.cov_params(), before.cov_params().to_numpy()) <= EQUAL
    assert np.allclose(scaled.params, before.params, rtol=EQUAL, atol=0)
    assert scaled.llf == pytest.approx(before.llf, rel=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_default_covariance(variant: str) -> None:
    kind = "HC1" if variant == "sampling" else "nonrobust"
    assert np.array_equal(FITS[variant].cov_params(), FITS[variant].with_cov(kind).cov_params())
    assert kind in str(FITS[variant].summary())


@pytest.mark.parametrize("variant", ["plain", "offset", "sampling"])
def test_singleton_clusters_are_hc(variant: str) -> None:
    """One row a cluster: G/(G−1) is n/(n−1), cr1 is HC1, none is HC0, no lag is HC0."""
    fit = FITS[variant]
    hc0, hc1 = (fit.with_cov(c).cov_params().to_numpy() for c in ("HC0", "HC1"))
    table = {
        de.Cluster("id"): hc0 * N / (N - 1),
        de.Cluster("id", correction="cr1"): hc1,
        de.Cluster("id", correction="none"): hc0,
        de.HAC("time", lags=0): hc0,
    }
    for ask, expected in table.items():
        assert distance(fit.with_cov(ask).cov_params(), expected) <= EQUAL


def test_labels_of_clusters_do_not_matter() -> None:
    """Text, numbers, categories, dates; and the order of the rows."""
    numbers = pd.factorize(DATA.firm)[0]
    forms = {
        "t1": DATA.firm,
        "t2": numbers * 1.5,
        "t3": DATA.firm.astype("category"),
        "t4": pd.Timestamp("2020-01-01") + pd.to_timedelta(numbers, unit="D"),
    }
    data = DATA.assign(**forms).sample(frac=1, random_state=4)
    fit = de.Logit(FORMULA).fit(data)
    for name in forms:
        V = fit.with_cov(de.Cluster(name)).cov_params()
        assert distance(V, FITS["plain"].with_cov(de.Cluster("firm")).cov_params().to_numpy()) <= EQUAL


PEERS: dict[str, tuple[Any, Callable[[], dict[str, Any]]]] = {
    "nonrobust": ("nonrobust", lambda: {"cov_type": "nonrobust"}),
    "HC0": ("HC0", lambda: {"cov_type": "HC0"}),
    "cluster": (
        de.Cluster("firm", correction="cr1"),
        lambda: {"cov_type": "cluster", "cov_kwds": {"groups": pd.factorize(DATA.firm)[0]}},
    ),
    "two-way": (
        de.Cluster("firm", "year", correction="cr1"),
        lambda: {
            "cov_type": "cluster",
            "cov_kwds": {"groups": np.column_stack([pd.factorize(DATA.firm)[0], DATA.year])},
        },
    ),
}


def aligned(res: Any, peer: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Both matrices in our order of terms; statsmodels puts factors first."""
    V = res.cov_params()
    return V, peer.cov_params().loc[V.index, V.index].to_numpy()


@pytest.mark.parametrize("kind", PEERS)
def test_agrees_with_statsmodels(kind: str) -> None:
    smf = pytest.importorskip("statsmodels.formula.api")
    ask, options = PEERS[kind]
    peer = smf.logit(FORMULA, DATA).fit(disp=0, tol=1e-14, **options())
    assert distance(*aligned(FITS["plain"].with_cov(ask), peer)) <= PEER


@pytest.mark.parametrize("lags", [0, 3, 12])
def test_hac_agrees_with_statsmodels(lags: int) -> None:
    smf = pytest.importorskip("statsmodels.formula.api")
    peer = smf.logit(FORMULA, DATA.sort_values("time")).fit(
        disp=0, tol=1e-14, cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    assert distance(*aligned(FITS["plain"].with_cov(de.HAC("time", lags=lags)), peer)) <= PEER


def test_degrees_of_freedom() -> None:
    fit = FITS["plain"]
    k = len(fit.params)
    for ask, df in {
        "HC1": N - k,
        de.Cluster("firm"): FIRMS - 1,
        de.Cluster("firm", "year"): YEARS - 1,
        de.HAC("time"): N - k,
    }.items():
        assert fit.with_cov(ask, use_t=True).estimates.df == df
        assert np.isinf(fit.with_cov(ask).estimates.df)


# ---- warnings and refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.arange(N) % 39, "only 39"),
        (np.where(np.arange(N) < N // 2, -1, np.arange(N) % 50), r"51 clusters so uneven .* as much as \d "),
        (
            np.where(np.arange(N) < N // 2, np.arange(N) % 5, 5 + np.arange(N) % 50),
            r"55 clusters so uneven that they tell as much as [12]\d ",
        ),
    ],
    ids=["few", "one large", "uneven"],
)
def test_few_or_uneven_clusters_warn(labels: np.ndarray, match: str) -> None:
    data = DATA.assign(g=labels)
    with pytest.warns(FewClustersWarning, match=match) as caught:
        res = de.Logit(FORMULA).fit(data, cov=de.Cluster("g"))
    assert caught[0].message.column == "g"
    assert "jackknife" in caught[0].message.hint
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the remedy itself is silent
        res.with_cov(de.Cluster("g", correction="jackknife"), use_t=True)
        de.Logit(FORMULA).fit(data, cov=de.Cluster("firm"))


def test_joint_tests_of_few_clusters_warn(tmp_path: Path) -> None:
    """By the number of hypotheses, also of a result from a file; the foot of a summary says so."""
    rng = np.random.default_rng(8)
    firm = np.repeat(np.arange(50), 8)
    X = rng.normal(size=(50, 6))[firm] + rng.normal(size=(400, 6))
    data = pd.DataFrame(X, columns=list("abcdef")).assign(y=rng.integers(0, 2, 400), firm=firm)
    res = de.Logit("y ~ a + b + c + d + e + f").fit(data, cov=de.Cluster("firm"))
    res.save(tmp_path / "file.de")
    for found in (res, de.load(tmp_path / "file.de")):
        found.test("a, b")
        with pytest.warns(
            FewClustersWarning, match=r"of 6 hypotheses .* 50 clusters .* as 4\d of one .*jackknife"
        ):
            found.test("a, b, c, d, e, f")
        with pytest.warns(FewClustersWarning, match="of 5 hypotheses"):
            found.nlcom(["a", "b", "c", "d", "e + f"]).wald(np.eye(5))
        assert "Wald tests of 6 hypotheses at once reject too often" in " ".join(str(found.summary()).split())
    jackknifed = res.with_cov(de.Cluster("firm", correction="jackknife"))
    jackknifed.test("a, b, c, d, e, f")
    assert "too often" not in str(jackknifed.summary())
    uneven = data.assign(firm=np.where(firm < 25, 0, firm))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.Logit("y ~ a + b + c + d + e + f").fit(
            uneven, cov=de.Cluster("firm", correction="jackknife")
        )
    with pytest.warns(FewClustersWarning, match=r"Consider score_test"):
        res.test("a, b, c")


@pytest.mark.filterwarnings("ignore:The two-way matrix")
@pytest.mark.parametrize(
    ("right", "clusters", "match"),
    [
        ("x", ("g",), ""),
        ("few", ("g",), r"rejects too rarely.* 20 clusters .* as 2\.5 of one size"),
        ("x + u + v + w + r + s", ("g", "t"), "6 hypotheses rejects too often with 18"),
        ("x", ("g", "t"), ""),
    ],
)
def test_score_tests_say_which_way_they_err(right: str, clusters: tuple[str, ...], match: str) -> None:
    """They are what the Wald test's warning names, so they are silent unless they err themselves."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 18)
    X = rng.normal(size=(360, 6)) + rng.normal(size=(20, 6))[g]
    data = pd.DataFrame(X, columns=list("xuvwrs")).assign(
        y=rng.integers(0, 2, 360), g=g, t=np.arange(360) % 18, few=(g < 2).astype(int)
    )
    for correction in ("groups", "jackknife")[: 3 - len(clusters)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = de.Logit(f"y ~ {right}").fit(data, cov=de.Cluster(*clusters, correction=correction))
        with pytest.warns(FewClustersWarning, match=match) if match else warnings.catch_warnings():
            res.score_test(right.replace(" +", ","))


def test_two_way_matrix_is_repaired_and_says_so() -> None:
    """Rows that are their own intersections leave V_a + V_b − V_ab without a reason to be positive."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        data = pd.DataFrame(
            {"y": rng.permutation([0, 1] * 8), "x": rng.normal(size=16), "z": rng.normal(size=16)}
        )
        data = data.assign(a=np.arange(16) // 4, b=np.arange(16) % 4)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            res = de.Logit("y ~ x + z").fit(data, cov=de.Cluster("a", "b"))
        assert np.linalg.eigvalsh(res.cov_params())[0] >= -1e-10 * np.trace(res.cov_params())
        if any(issubclass(w.category, CovarianceWarning) for w in caught):
            assert "negative eigenvalues set to zero" in " ".join(str(res.summary()).split())
            return
        assert "eigenvalue" not in str(res.summary())
    raise AssertionError("no indefinite matrix met")


SINGLE = DATA.assign(
    g=1, m=DATA.firm.where(DATA.firm != "firm 7"), t=DATA.time.where(DATA.id != 5), twice=DATA.time // 6
)
ALONE = DATA.assign(d=(DATA.firm == "firm 3").astype(int))  # one cluster alone identifies d's coefficient


REFUSALS: dict[str, tuple[Any, type[DisteconometricsError], str]] = {
    "single cluster": (de.Cluster("g"), DataError, "single"),
    "missing cluster": (de.Cluster("m"), DataError, str(int(SINGLE.m.isna().sum()))),
    "missing in second": (de.Cluster("firm", "m"), DataError, "'m'"),
    "missing time": (de.HAC("t"), DataError, "1 missing"),
    "duplicate time": (de.HAC("twice"), DataError, "repeats"),
    "too many lags": (de.HAC("time", lags=N), DataError, "rows"),
    "no such cluster": (de.Cluster("frim"), MissingColumnError, "firm"),
    "no such time": (de.HAC("tiem"), MissingColumnError, "time"),
    "unknown name": ("HC4", OptionError, "HC3"),
    "not a kind": (3, OptionError, "HC3"),
    "array": (np.arange(N), OptionError, "cov"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("when", ["fit", "with_cov"])
def test_refusals(case: str, when: str) -> None:
    ask, error, match = REFUSALS[case]
    fit = de.Logit(FORMULA).fit(SINGLE)
    with pytest.raises(error, match=match):
        fit.with_cov(ask) if when == "with_cov" else de.Logit(FORMULA).fit(SINGLE, cov=ask)


@pytest.mark.parametrize("model", [de.Logit(FORMULA), de.NormalRegression(FORMULA)], ids=["logit", "normal"])
@pytest.mark.parametrize("given", ["no", 0, None])
def test_use_t_is_yes_or_no(model: Any, given: Any) -> None:
    with pytest.raises(OptionError, match="True or False"):
        model.fit(DATA, use_t=given)
    with pytest.raises(OptionError, match="True or False"):
        model.fit(DATA, use_t=np.bool_(True)).with_cov("HC1", use_t=given or "no")


@pytest.mark.parametrize(
    "make",
    [
        lambda: de.Cluster(),
        lambda: de.Cluster("a", "b", "c"),
        lambda: de.Cluster(np.arange(3)),
        lambda: de.Cluster("a", correction="CR2"),
        lambda: de.Cluster("a", "b", correction="jackknife"),
        lambda: de.HAC(np.arange(3)),
        lambda: de.HAC("t", lags=-1),
        lambda: de.HAC("t", lags=1.5),
        lambda: de.HAC("t", lags=True),
        lambda: de.HAC("t", kernel="parzen"),
    ],
)
def test_specifications_check_themselves(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError):
        make()


def test_jackknife_needs_every_coefficient_without_every_cluster() -> None:
    fit = de.Logit("y ~ x + d").fit(ALONE)
    with pytest.raises(WithheldError, match="jackknife"):
        fit.with_cov(de.Cluster("firm", correction="jackknife"))


MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
STEPS = [f"{m} {y}" for y in range(2000, 2000 + N // 12) for m in MONTHS]  # in time, not in the alphabet
TIME_LABELS = [STEPS[i] for i in DATA.time.rank().astype(int) - 1]
DAYS = pd.Timestamp("2000-01-01") + pd.to_timedelta(DATA.time, unit="D")
TIMES: dict[str, Any] = {
    "ordered categories": pd.Categorical(TIME_LABELS, categories=STEPS, ordered=True),
    "categories of numbers": pd.Categorical(DATA.time),
    "dates": DAYS,
    "dates with a zone": DAYS.dt.tz_localize("UTC"),
    "dates as objects": DAYS.dt.date,
    "periods": DAYS.dt.to_period("D"),
    "durations": pd.to_timedelta(DATA.time, unit="D"),
    "nullable": DATA.time.astype("Int64"),
    "objects": DATA.time.astype(object),
}


@pytest.mark.parametrize("kind", TIMES)
def test_hac_follows_time(kind: str) -> None:
    cov = de.HAC("t", lags=4)
    want = de.Logit(FORMULA).fit(DATA.assign(t=DATA.time), cov=cov).cov_params()
    got = de.Logit(FORMULA).fit(DATA.assign(t=TIMES[kind]), cov=cov).cov_params()
    assert np.array_equal(got, want)


def test_hac_follows_a_polars_enum() -> None:
    cov = de.HAC("t", lags=4)
    want = de.Logit(FORMULA).fit(DATA.assign(t=DATA.time), cov=cov).cov_params()
    table = pl.DataFrame({name: DATA[name].tolist() for name in DATA.columns})
    enum = table.with_columns(t=pl.Series(TIME_LABELS, dtype=pl.Enum(STEPS)))
    assert np.array_equal(de.Logit(FORMULA).fit(enum, cov=cov).cov_params(), want)


NO_ORDER: dict[str, tuple[Any, str]] = {
    "text": (TIME_LABELS, "text"),
    "categories": (pd.Categorical(TIME_LABELS), "text"),
    "nested": (pd.Series([(i, 1) for i in range(N)], index=DATA.index), "mixed"),
    "lists": (pd.Series([[i] for i in range(N)], index=DATA.index), "mixed"),
    "complex": (np.arange(N) * 1j, "complex"),
    "mixed": (pd.Series([*range(N - 1), "x"], index=DATA.index, dtype=object), "mixed"),
    "zones": (
        pd.Series([pd.Timestamp(2000, 1, 1, tz="UTC"), *DAYS[1:]], index=DATA.index, dtype=object),
        "mixed",
    ),
}


@pytest.mark.parametrize("kind", NO_ORDER)
def test_hac_refuses_times_without_an_order(kind: str) -> None:
    values, told = NO_ORDER[kind]
    with pytest.raises(DataError, match=f"'t' holds {told}.*numbers or dates"):
        de.Logit(FORMULA).fit(DATA.assign(t=values), cov=de.HAC("t"))
