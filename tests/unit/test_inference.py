"""Tests and functions of coefficients: against direct formulas, refits, numerical derivatives;
and every way to spell them.
"""

from __future__ import annotations

import io
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import disteconometrics as de
from disteconometrics.errors import (
    CovarianceWarning,
    FewClustersWarning,
    NeedsData,
    OptionError,
    WithheldError,
)
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.expressions import linear_restrictions

EQUAL = 1e-10  # one formula in another order of operations
REFIT = 1e-9  # a statistic from two maxima, each exact to its last digits
NUMERICAL = 1e-6  # central differences with Richardson extrapolation

RNG = np.random.default_rng(41)
N = 500
DATA = pd.DataFrame(
    {
        "educ": RNG.integers(8, 20, N),
        "exper": RNG.integers(0, 35, N),
        "age": RNG.integers(20, 60, N),
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "region": RNG.choice(["North East", "South, deep", "West (coast)", "O'Hare"], N),
        "g": RNG.integers(1, 4, N),
        "firm": RNG.integers(0, 50, N),
    }
)
_eta = (
    0.15 * (DATA.educ - 14)
    + 0.05 * DATA.exper
    - 0.03 * DATA.age
    + 0.5 * DATA.x * DATA.z
    + 0.4 * (DATA.region == "O'Hare")
)
DATA["y"] = (RNG.random(N) < 1 / (1 + np.exp(-_eta))).astype(int)
FIT = de.Logit("y ~ educ + exper + I(exper**2) + age + x*z + region + C(g)").fit(DATA)
B, V, NAMES = FIT.params.to_numpy(), FIT.cov_params().to_numpy(), list(FIT.params.index)

NAMES_OF_REGIONS = [name for name in NAMES if name.startswith("region")]


def unit(**weights: float) -> np.ndarray:
    row = np.zeros(len(NAMES))
    for name, weight in weights.items():
        row[NAMES.index(name)] = weight
    return row


def row(weights: dict[str, float]) -> np.ndarray:
    return unit(**weights)


# ---- spelling of hypotheses --------------------------------------------------------------------------------

SPELLINGS: dict[str, tuple[Any, list[tuple[dict[str, float], float]]]] = {
    "bare name": ("educ", [({"educ": 1}, 0)]),
    "zero": ("educ = 0", [({"educ": 1}, 0)]),
    "no spaces": ("educ=0", [({"educ": 1}, 0)]),
    "many spaces": ("  educ   =  0 ", [({"educ": 1}, 0)]),
    "number first": ("0.5 = educ", [({"educ": -1}, -0.5)]),
    "equality": ("educ = age", [({"educ": 1, "age": -1}, 0)]),
    "difference": ("educ - age", [({"educ": 1, "age": -1}, 0)]),
    "linear": ("2*educ + age/4 = 1 - x", [({"educ": 2, "age": 0.25, "x": 1}, 1)]),
    "brackets": ("2*(educ - age) = 0", [({"educ": 2, "age": -2}, 0)]),
    "powers of numbers": ("educ = 2**-1", [({"educ": 1}, 0.5)]),
    "exponents": ("educ = 1e-2", [({"educ": 1}, 0.01)]),
    "minus": ("-educ = +age", [({"educ": -1, "age": -1}, 0)]),
    "functions of numbers": ("educ = log(2)", [({"educ": 1}, np.log(2))]),
    "tiny value": (
        "educ = 3e-14",
        [({"educ": 1}, 3e-14)],
    ),  # a coefficient of a column in billions may be as small
    "huge value": ("educ = 1e20 + age", [({"educ": 1, "age": -1}, 1e20)]),
    "several": ("educ = 0, age = 0", [({"educ": 1}, 0), ({"age": 1}, 0)]),
    "several bare": ("educ, age", [({"educ": 1}, 0), ({"age": 1}, 0)]),
    "list": (["educ", "age = 1"], [({"educ": 1}, 0), ({"age": 1}, 1)]),
    "tuple of texts": (("educ", "age"), [({"educ": 1}, 0), ({"age": 1}, 0)]),
    "chain": ("educ = age = 0", [({"educ": 1, "age": -1}, 0), ({"age": 1}, 0)]),
    "chain of three": (
        "educ = age = x = z",
        [({"educ": 1, "age": -1}, 0), ({"age": 1, "x": -1}, 0), ({"x": 1, "z": -1}, 0)],
    ),
    "interaction": ("x:z", [({"x:z": 1}, 0)]),
    "interaction turned": ("z:x = 0", [({"x:z": 1}, 0)]),
    "interaction spaced": ("x : z = x", [({"x:z": 1, "x": -1}, 0)]),
    "transform as written": ("I(exper**2)", [({"I(exper ** 2)": 1}, 0)]),
    "transform spaced": ("I( exper ** 2 ) = 0", [({"I(exper ** 2)": 1}, 0)]),
    "transform and its column": ("exper = -20*I(exper**2)", [({"exper": 1, "I(exper ** 2)": 20}, 0)]),
    "level with a space": ("region[T.O'Hare] = 0", None),
    "number level": ("C(g)[T.2] = C(g)[T.3]", [({"C(g)[T.2]": 1, "C(g)[T.3]": -1}, 0)]),
    "number level spaced": ("C( g )[ T.2 ]", [({"C(g)[T.2]": 1}, 0)]),
    "level with comma": ("region[T.South, deep] = region[T.West (coast)]", None),
    "levels in a list": (["region[T.South, deep]", "region[T.West (coast)]"], None),
    "levels after commas": ("region[T.South, deep], region[T.West (coast)], educ", None),
    "intercept": ("Intercept = 1", [({"Intercept": 1}, 1)]),
}
# the base level is North East, alphabetically first
SPELLINGS["level with a space"] = (SPELLINGS["level with a space"][0], [({"region[T.O'Hare]": 1}, 0)])
_south, _west = {"region[T.South, deep]": 1.0}, {"region[T.West (coast)]": 1.0}
SPELLINGS["level with comma"] = (
    SPELLINGS["level with comma"][0],
    [(_south | {"region[T.West (coast)]": -1.0}, 0)],
)
SPELLINGS["levels in a list"] = (SPELLINGS["levels in a list"][0], [(_south, 0), (_west, 0)])
SPELLINGS["levels after commas"] = (
    SPELLINGS["levels after commas"][0],
    [(_south, 0), (_west, 0), ({"educ": 1}, 0)],
)


@pytest.mark.parametrize("case", SPELLINGS)
def test_spelling(case: str) -> None:
    text, expected = SPELLINGS[case]
    R, r, texts = linear_restrictions(text, NAMES)
    assert np.allclose(R, [row(weights) for weights, _ in expected], rtol=0, atol=1e-15)
    assert np.allclose(r, [value for _, value in expected], rtol=1e-15, atol=0)
    assert len(texts) == len(expected)
    assert np.isfinite(FIT.test(text).statistic)


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (["a", "aa", "a:b", "b"], "aa = a", [-1, 1, 0, 0]),
        (["a", "a.b", "b"], "a.b - b", [0, 1, -1]),
        (["log(x)", "x"], "log(x) = x", [1, -1]),
        (["C(f, Treatment('u'))[T.v]", "f"], "C(f, Treatment('u'))[T.v] = f", [1, -1]),
        (["C(f, Treatment('u'))[T.v]", "f"], 'C(f,Treatment("u"))[T.v]', [1, 0]),
        (["g[T.b]:x", "x"], "x:g[T.b] = x", [1, -1]),
        (["a:b:c", "a"], "c:a:b", [1, 0]),
        (["g[T.a:b]:x", "x"], "x:g[T.a:b]", [1, 0]),
        (["g[T.a = b]", "x"], "g[T.a = b] = x", [1, -1]),
        (["g[T.1, 2]", "x"], "g[T.1, 2] = 2*x", [1, -2]),
        (["g[T.a[1]]", "x"], "g[T.a[1]]", [1, 0]),
        (["poly(x, 2)[1]", "poly(x, 2)[2]"], "poly(x, 2)[1] = poly(x, 2)[2]", [1, -1]),
        (["bs(x, df=4)[1]", "bs(x, df=4)[2]"], "bs(x, df=4)[1] = bs(x,df=4)[2]", [1, -1]),
        (["_1_", "x"], "x", [0, 1]),
        (["größe", "x"], "größe = x", [1, -1]),
    ],
)
def test_spelling_of_awkward_names(names: list[str], text: str, expected: list[float]) -> None:
    R, r, _ = linear_restrictions(text, names)
    assert np.array_equal(R, [expected])
    assert np.array_equal(r, [0.0])


SPACED = ["age 2", "age2", "1990", "e", "age 2:e", "a b c", "1e5", " e"]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("age 2 = 0", "age 2", 0),
        ("age2 = 0", "age2", 0),
        ("`age 2`", "age 2", 0),
        ("(age2)", "age2", 0),
        ("age  2:e", "age 2:e", 0),
        ("e:age 2", "age 2:e", 0),
        ("`e : age2`", "age 2:e", 0),
        ("abc", "a b c", 0),
        ("a  b c = 3", "a b c", 3),
        ("` abc`", "a b c", 0),
        ("e = 1990", "e", 1990),
        ("`1990`", "1990", 0),
        ("`1990` = 1990", "1990", 1990),
        ("e = 1e5", "e", 1e5),
        ("`1e5` = 1e5", "1e5", 1e5),
        ("`e` = 2", "e", 2),
        ("2 - e", "e", 2),
        ("` e`", " e", 0),
    ],
)
def test_spelling_with_blanks_backticks_and_numbers(text: str, name: str, value: float) -> None:
    R, r, _ = linear_restrictions(text, SPACED)
    assert list(np.flatnonzero(R[0])) == [SPACED.index(name)]
    assert r[0] / R[0].sum() == value
    assert FIT.nlcom("`educ` / age").values[0] == FIT.nlcom("educ / age").values[0]


@pytest.mark.parametrize("text", ["age  2", "`age  2` = 0", "e = age\t2"])
def test_an_ambiguous_name_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="may mean 'age 2' or 'age2'"):
        linear_restrictions(text, SPACED)


@pytest.mark.parametrize("text", ["_1_", "_9_", "educ + _1_", "educ = ʘ1ʘ", "educ + \U000107b51\U000107b5"])
def test_the_symbols_of_coefficients_cannot_be_written(text: str) -> None:
    for call in (FIT.nlcom, FIT.test):
        with pytest.raises(OptionError, match="not a coefficient"):
            call(text)
    R, _, texts = linear_restrictions("educ + _1_ = 0", ("educ", "_1_"))
    assert R.tolist() == [[1, 1]]
    assert texts == ["educ+_1_ = 0"]


@pytest.mark.parametrize("text", ["1990", "`1991`", "`e", "``", "e `e`", "e e", "age 2 e"])
def test_backticks_hold_names_only(text: str) -> None:
    with pytest.raises(OptionError):
        linear_restrictions(text, SPACED)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("educ * age = 1", "linear"),
        ("educ / age = 1", "linear"),
        ("exp(educ) = 1", "linear"),
        ("educ**2 = 0", "linear"),
        ("educc = 0", "educ"),
        ("exprr", "exper"),
        ("region[T.Ohare] = 0", "region\\[T.O'Hare\\]"),
        ("educ = ", "educ"),
        ("= 0", None),
        ("educ == 0 =", None),
        ("educ = 0, educ = 1", "repeat|contradict"),
        ("educ = age, age = educ", "repeat|contradict"),
        ("1 = 1", "repeat|no coefficient"),
        ("", None),
        ([], None),
        ([3], None),
        ("__import__('os')", "not a coefficient"),
        ("educ.real = 0", "not a coefficient"),
        ("educ if age else x", "not a coefficient"),
        (np.zeros((1, 3)), "columns"),
        ((np.eye(2, len(NAMES)), [0.0]), "columns|values"),
        (None, None),
        (3.5, None),
    ],
)
def test_what_is_no_hypothesis(text: Any, match: str | None) -> None:
    with pytest.raises(OptionError, match=match):
        FIT.test(text)


FIRST, ZERO = np.eye(1, len(NAMES), 1)[0], np.zeros(len(NAMES))
DEPENDENT = {
    "twice": np.array([FIRST, FIRST]),
    "twice, scaled": np.array([FIRST, 1e-12 * FIRST]),
    "zero row": np.array([FIRST, ZERO]),
    "only zeros": ZERO,
    "contradiction": (np.array([FIRST, FIRST]), [0.0, 1.0]),
    "more than coefficients": np.vstack([np.eye(len(NAMES)), np.ones(len(NAMES))]),
}


@pytest.mark.parametrize("call", ["test", "lr_test", "score_test"])
@pytest.mark.parametrize("case", DEPENDENT)
def test_dependent_rows_of_a_matrix_are_no_hypothesis(case: str, call: str) -> None:
    with pytest.raises(OptionError, match="repeat or contradict one another"):
        getattr(FIT, call)(DEPENDENT[case])


@pytest.mark.parametrize(
    "hypothesis",
    [
        {"age": 0},
        ["age", 3],
        [[1.0], [1.0, 2.0]],
        np.full((1, len(NAMES)), np.nan),
        np.full((1, len(NAMES)), np.inf),
        (np.eye(1, len(NAMES)), [np.nan]),
        (np.eye(1, len(NAMES)), "a"),
        (np.eye(1, len(NAMES)), None),
        np.full((1, len(NAMES)), "1"),
        np.eye(1, len(NAMES), dtype=complex),
        3 + 1j,
        object(),
    ],
    ids=repr,
)
def test_what_is_no_matrix_of_hypotheses(hypothesis: Any) -> None:
    for call in (FIT.test, FIT.lr_test, FIT.score_test, FIT.estimates.linear):
        with pytest.raises(OptionError):
            call(hypothesis)


def test_matrices_of_whole_numbers_and_objects() -> None:
    R = np.eye(1, len(NAMES), 1)
    for same in (
        R.astype(int),
        R.astype(object),
        R.tolist(),
        R[0],
        pd.DataFrame(R),
        1e-200 * R,
        R.astype(np.float32),
    ):
        assert FIT.test(same).statistic == pytest.approx(FIT.test(R).statistic, rel=1e-12)


# ---- Wald, likelihood ratio, score -------------------------------------------------------------------------

HYPOTHESES: dict[str, tuple[Any, np.ndarray, np.ndarray]] = {
    "one": ("age = 0", np.array([row({"age": 1})]), np.zeros(1)),
    "value": ("educ = 0.2", np.array([row({"educ": 1})]), np.array([0.2])),
    "equal": ("educ = -age", np.array([row({"educ": 1, "age": 1})]), np.zeros(1)),
    "joint": ("x, z, x:z", np.array([row({n: 1}) for n in ("x", "z", "x:z")]), np.zeros(3)),
    "mixed": (
        "2*educ + age = 0.1, x = 0.3",
        np.array([row({"educ": 2, "age": 1}), row({"x": 1})]),
        np.array([0.1, 0.3]),
    ),
    "matrix": (np.eye(2, len(NAMES), 3), np.eye(2, len(NAMES), 3), np.zeros(2)),
    "pair": ((np.eye(1, len(NAMES), 2), [0.01]), np.eye(1, len(NAMES), 2), np.array([0.01])),
}


@pytest.mark.parametrize("case", HYPOTHESES)
@pytest.mark.parametrize("cov", ["nonrobust", "HC1"])
def test_wald(case: str, cov: str) -> None:
    hypothesis, R, r = HYPOTHESES[case]
    res = FIT.with_cov(cov)
    d = R @ B - r
    expected = d @ np.linalg.solve(R @ res.cov_params().to_numpy() @ R.T, d)
    chi2, q = res.test(hypothesis), len(r)
    assert chi2.law == "chi2"
    assert chi2.df == (q,)
    assert chi2.statistic == pytest.approx(expected, rel=EQUAL)
    assert chi2.p_value == pytest.approx(stats.chi2.sf(expected, q), rel=1e-9)
    F = res.with_cov(cov, use_t=True).test(hypothesis)
    assert F.law == "F"
    assert F.df == (q, N - len(B))
    assert F.statistic == pytest.approx(expected / q, rel=EQUAL)
    assert F.p_value == pytest.approx(stats.f.sf(expected / q, q, N - len(B)), rel=1e-9)
    assert res.wald_test(hypothesis).statistic == chi2.statistic
    assert f"chi2({q})" in str(chi2)


def restricted_fit(R: np.ndarray, r: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood and full coefficients under R·β = r: Newton on the Lagrangian with halved steps."""
    X, s = FIT.spec.matrix(DATA).X, 2 * DATA.y.to_numpy() - 1

    def loglik(beta: np.ndarray) -> float:
        return float(-np.logaddexp(0, -s * (X @ beta)).sum())

    beta = B - np.linalg.pinv(R) @ (R @ B - r)
    for _ in range(100):
        p = special.expit(-s * (X @ beta))
        H, score = (X.T * (p * (1 - p))) @ X, X.T @ (s * p)
        step = np.linalg.solve(
            np.block([[H, R.T], [R, np.zeros((len(r),) * 2)]]), np.concatenate([score, r - R @ beta])
        )[: len(beta)]
        t = 1.0
        while loglik(beta + t * step) < loglik(beta) - 1e-9 and t > 1e-6:
            t /= 2
        beta = beta + t * step
        if np.abs(step).max() < 1e-13:
            break
    return loglik(beta), beta


@pytest.mark.parametrize("case", HYPOTHESES)
def test_likelihood_ratio_and_score(case: str) -> None:
    hypothesis, R, r = HYPOTHESES[case]
    llf, beta = restricted_fit(R, r)
    lr = FIT.lr_test(hypothesis)
    assert lr.statistic == pytest.approx(2 * (FIT.llf - llf), rel=REFIT, abs=REFIT)
    assert lr.df == (len(r),)
    assert lr.p_value == pytest.approx(stats.chi2.sf(lr.statistic, len(r)), rel=1e-9)
    X, y = FIT.spec.matrix(DATA).X, DATA.y.to_numpy()
    p = 1 / (1 + np.exp(-X @ beta))
    s = X.T @ (y - p)
    score = FIT.score_test(hypothesis)
    assert score.statistic == pytest.approx(
        s @ np.linalg.solve((X.T * (p * (1 - p))) @ X, s), rel=1e-7, abs=1e-9
    )
    assert score.df == (len(r),)


def test_likelihood_ratio_of_nested_results() -> None:
    small = de.Logit("y ~ educ + exper + I(exper**2) + age + region + C(g)").fit(DATA)
    by_result, by_text = FIT.lr_test(small), FIT.lr_test("x, z, x:z")
    assert by_result.statistic == pytest.approx(2 * (FIT.llf - small.llf), rel=EQUAL)
    assert by_result.statistic == pytest.approx(by_text.statistic, rel=REFIT)
    assert by_result.df == by_text.df == (3,)
    nothing = FIT.lr_test(np.eye(len(NAMES)))  # every coefficient zero: p = 1/2 for everyone
    assert nothing.statistic == pytest.approx(2 * (FIT.llf + N * np.log(2)), rel=EQUAL)
    constant = FIT.lr_test(NAMES[1:])
    assert constant.statistic == pytest.approx(FIT.llr, rel=REFIT)
    assert constant.p_value == pytest.approx(FIT.llr_pvalue, rel=1e-7)


def test_likelihood_ratio_refuses_what_is_not_nested() -> None:
    small = de.Logit("y ~ educ").fit(DATA)
    with pytest.raises(OptionError):
        small.lr_test(FIT)
    with pytest.raises(OptionError):
        FIT.lr_test(FIT)
    with pytest.raises(OptionError, match="rows"):
        FIT.lr_test(de.Logit("y ~ educ").fit(DATA[:-1]))
    with pytest.raises(OptionError, match="outcome"):
        FIT.lr_test(de.Logit("I(x > 0) ~ educ").fit(DATA))


@pytest.mark.parametrize(
    "small",
    [
        lambda: de.Logit("y ~ firm").fit(DATA),
        lambda: de.Logit("y ~ educ").fit(DATA.assign(y=DATA.y.to_numpy()[::-1])),
        lambda: de.Logit("y ~ educ").fit(DATA.assign(educ=DATA.educ.to_numpy()[::-1])),
        lambda: de.Logit("y ~ educ", offset="z2").fit(DATA.assign(z2=DATA.z**2)),
        lambda: de.Logit("y ~ educ", weights="w", weight_type="frequency").fit(
            DATA.assign(w=np.resize([0.0, 2.0], N))
        ),
    ],
    ids=["other column", "other outcomes", "other values", "offset", "weights"],
)
def test_likelihood_ratio_checks_the_rows(small: Any) -> None:
    """As many rows and fewer columns are not enough."""
    with pytest.raises(OptionError):
        FIT.lr_test(small())


def test_likelihood_ratio_sees_nesting_in_another_spelling() -> None:
    spelled = de.Logit("y ~ I(educ + age)").fit(DATA)
    by_text = FIT.lr_test(
        "educ = age, exper, I(exper**2), x, z, x:z, C(g)[T.2], C(g)[T.3], " + ", ".join(NAMES_OF_REGIONS)
    )
    assert FIT.lr_test(spelled).statistic == pytest.approx(by_text.statistic, rel=REFIT)
    shifted = de.Logit("y ~ educ", offset="s").fit(
        DATA.assign(s=0.5 * DATA.age)
    )  # age with coefficient one half
    rest = "exper, I(exper**2), x, z, x:z, C(g)[T.2], C(g)[T.3], " + ", ".join(NAMES_OF_REGIONS)
    assert FIT.lr_test(shifted).statistic == pytest.approx(
        FIT.lr_test("age = 0.5, " + rest).statistic, rel=REFIT
    )


def test_sampling_weights_have_no_likelihood_tests() -> None:
    res = de.Logit("y ~ educ + age", weights="w", weight_type="sampling").fit(DATA.assign(w=DATA.age / 30))
    with pytest.raises(WithheldError, match="test"):
        res.lr_test("age = 0")
    for test in (res.test("age = 0"), res.score_test("age = 0")):
        assert 0 <= test.p_value <= 1
    assert np.isnan([res.aic, res.bic, res.llr, res.llr_pvalue]).all()


@pytest.mark.parametrize("counts", [(30, 20, 15, 35), (5, 9, 7, 3), (400, 350, 380, 430)])
def test_score_test_of_a_table_is_pearsons(counts: tuple[int, int, int, int]) -> None:
    """In a 2×2 table the score test of no effect is Pearson's χ²; with weights as with rows."""
    table = pd.DataFrame({"y": [1, 0, 1, 0], "x": [1, 1, 0, 0], "n": counts})
    expected = stats.chi2_contingency(np.array(counts).reshape(2, 2), correction=False)
    weighted = de.Logit("y ~ x", weights="n", weight_type="frequency").fit(table)
    rows = de.Logit("y ~ x").fit(table.loc[table.index.repeat(table.n)].reset_index(drop=True))
    for res in (weighted, rows):
        score = res.score_test("x = 0")
        assert score.statistic == pytest.approx(expected.statistic, rel=EQUAL)
        assert score.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        g = stats.chi2_contingency(np.array(counts).reshape(2, 2), correction=False, lambda_="log-likelihood")
        assert res.lr_test("x = 0").statistic == pytest.approx(g.statistic, rel=1e-9)


def test_score_and_ratio_need_rows_and_a_maximum(tmp_path: Any) -> None:
    FIT.save(tmp_path / "fit.npz")
    loaded = de.load(tmp_path / "fit.npz")
    for call in (loaded.score_test, loaded.lr_test):
        with pytest.raises(NeedsData):
            call("age = 0")
    assert loaded.test("age = 0").statistic == FIT.test("age = 0").statistic


def test_wald_needs_a_variance() -> None:
    e = Estimates(("a", "b"), np.array([1.0, 2.0]), np.array([[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(WithheldError):
        e.wald("a = b")
    with pytest.raises(WithheldError, match="singular"):
        e.wald("a, b")
    with pytest.raises(WithheldError, match="not known"):
        Estimates(("a", "b"), np.array([1.0, 2.0]), np.array([[1.0, np.nan], [np.nan, 1.0]])).wald("a, b")
    without = np.array([[1.0, np.nan], [np.nan, np.nan]])
    for value, why in ((np.inf, "separation"), (np.nan, "b is withheld"), (2.0, "b has no standard error; ")):
        with pytest.raises(WithheldError, match=why):
            Estimates(("a", "b"), np.array([1.0, value]), without).wald("b = 0")


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
def test_wald_does_not_depend_on_units(scale: float) -> None:
    """One coefficient in far-away units, alone and with another."""
    C = np.array([[1.0, 0.5], [0.5, 2.0]])
    plain = Estimates(("a", "b"), np.array([1.0, 3.0]), C)
    far = Estimates(("a", "b"), np.array([scale, 3.0]), C * np.outer([scale, 1.0], [scale, 1.0]))
    for hypothesis in ("a", "a, b", (np.eye(2), [0.0, 1.0])):
        assert far.wald(hypothesis).statistic == pytest.approx(plain.wald(hypothesis).statistic, rel=1e-12)


def test_wald_without_a_variance_says_why() -> None:
    e = Estimates(
        ("a", "b"), np.array([1e-170, 2.0]), np.array([[0.0, 0.0], [0.0, 1.0]])
    )  # the variance has underflowed
    with pytest.raises(WithheldError, match=r"that of a is zero or too small.*rescale"):
        e.wald("a")
    assert e.wald("b").statistic == pytest.approx(4.0)


# ---- functions of coefficients -----------------------------------------------------------------------------

FUNCTIONS = {
    "educ / age": lambda b: b["educ"] / b["age"],
    "-exper / (2 * I(exper**2))": lambda b: -b["exper"] / (2 * b["I(exper ** 2)"]),
    "exp(educ)": lambda b: np.exp(b["educ"]),
    "exp(educ) - 1": lambda b: np.exp(b["educ"]) - 1,
    "log(educ**2) + sqrt(exp(age))": lambda b: np.log(b["educ"] ** 2) + np.sqrt(np.exp(b["age"])),
    "exp(educ) ** age": lambda b: np.exp(b["educ"]) ** b["age"],
    "exp(Intercept + educ*12) / (1 + exp(Intercept + educ*12))": lambda b: (
        1 / (1 + np.exp(-b["Intercept"] - 12 * b["educ"]))
    ),
    "(x + z) ** 2 / x:z": lambda b: (b["x"] + b["z"]) ** 2 / b["x:z"],
    "region[T.O'Hare] * C(g)[T.2]": lambda b: b["region[T.O'Hare]"] * b["C(g)[T.2]"],
    "educ": lambda b: b["educ"],
    "2 * educ + 1": lambda b: 2 * b["educ"] + 1,
}


def gradient(f: Any) -> np.ndarray:
    """Central differences at two steps, extrapolated."""

    def at(h: float) -> np.ndarray:
        def shifted(j: int, s: float) -> float:
            return float(f(pd.Series(B + s * h * max(abs(B[j]), 1e-3) * np.eye(len(B))[j], NAMES)))

        return np.array(
            [(shifted(j, 1) - shifted(j, -1)) / (2 * h * max(abs(B[j]), 1e-3)) for j in range(len(B))]
        )

    return (4 * at(5e-4) - at(1e-3)) / 3


@pytest.mark.parametrize("text", FUNCTIONS)
def test_delta_method(text: str) -> None:
    f = FUNCTIONS[text]
    g = gradient(f)
    out = FIT.nlcom(text).table().loc[text]
    assert out["estimate"] == pytest.approx(float(f(FIT.params)), rel=1e-12)
    assert out["std_error"] == pytest.approx(np.sqrt(g @ V @ g), rel=NUMERICAL)
    half = stats.norm.ppf(0.975) * out["std_error"]
    assert out["conf_high"] - out["conf_low"] == pytest.approx(2 * half, rel=1e-12)


def test_several_functions_have_a_joint_covariance() -> None:
    texts = list(FUNCTIONS)[:3]
    G = np.array([gradient(FUNCTIONS[t]) for t in texts])
    joint = FIT.nlcom(texts)
    se = np.sqrt(np.diagonal(G @ V @ G.T))
    assert np.abs((joint.covariance - G @ V @ G.T) / np.outer(se, se)).max() <= NUMERICAL
    wide = FIT.nlcom(texts, level=0.99).table(0.99)
    assert (wide.conf_low < joint.table().conf_low).all()


@pytest.mark.parametrize(
    "text", ["foo / age", "educ / ", "educ // age", "open('x')", "educ.real", "", 3, [], ()]
)
def test_what_is_no_function(text: Any) -> None:
    with pytest.raises(OptionError):
        FIT.nlcom(text)


BELOW = Estimates(("a", "b", "c", "d"), np.array([-2.0, 0.3, 0.0, np.inf]), np.diag([0.25, 1.0, 1.0, np.nan]))


@pytest.mark.parametrize(
    "text",
    ["a**0.5", "a**b", "log(a)", "sqrt(a)", "(-b)**b", "sqrt(c)", "log(c)", "1/c", "c**-1", "c**0.5", "c**b",
     "c / c", "b / log(1 + c)", "exp(1e4 * b)", "1 / (1 + exp(1e4 * b))", "b + 1e400", "b + (-2)**0.5",
     "b / 0"],
)  # fmt: skip
def test_what_cannot_be_computed_at_the_estimates(text: str) -> None:
    with pytest.raises(OptionError, match="cannot be computed at the estimates"):
        BELOW.function(text)


@pytest.mark.parametrize(
    ("text", "value", "gradient"),
    [
        ("a**3", -8.0, 12.0),
        ("a**-1", -0.5, -0.25),
        ("a**2 * b**0", 4.0, -4.0),
        ("sqrt(0) + a", -2.0, 1.0),
        ("2**3 + a", 6.0, 1.0),
    ],
)
def test_powers_that_can_be_computed(text: str, value: float, gradient: float) -> None:
    out = BELOW.function(text)
    assert out.values[0] == pytest.approx(value, rel=1e-15)
    assert out.std_error[0] == pytest.approx(abs(gradient) * 0.5, rel=1e-15)
    assert BELOW.function("c**2").std_error[0] == BELOW.function("c**1").std_error[0] - 1.0 == 0.0


def test_functions_of_an_infinite_estimate() -> None:
    """No error, and no standard error."""
    out = BELOW.function(["d", "1 / d", "log(-d)", "b - d"])
    assert np.array_equal(out.values, [np.inf, 0.0, np.nan, -np.inf], equal_nan=True)
    assert np.isnan(out.std_error).all()


@pytest.mark.parametrize("use_t", [False, True])
@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(
    "text", ["exper / educ", "-exper / (2*I(exper**2))", "(educ + exper) / (educ - age)"]
)
def test_fieller_inverts_the_test_of_a_ratio(text: str, level: float, use_t: bool) -> None:
    """ρ lies inside exactly where the t test of a − ρb = 0 does not reject."""
    numerator, denominator = {
        "exper / educ": ({"exper": 1}, {"educ": 1}),
        "-exper / (2*I(exper**2))": ({"exper": -1}, {"I(exper ** 2)": 2}),
        "(educ + exper) / (educ - age)": ({"educ": 1, "exper": 1}, {"educ": 1, "age": -1}),
    }[text]
    a, b = row(numerator), row(denominator)
    df = N - len(B)
    critical = stats.t.ppf(0.5 + level / 2, df) if use_t else stats.norm.ppf(0.5 + level / 2)

    def accepted(rho: np.ndarray) -> np.ndarray:
        c = a - rho[:, None] * b
        return np.abs(c @ B) <= critical * np.sqrt(np.einsum("ij,jk,ik->i", c, V, c))

    out = FIT.with_cov("nonrobust", use_t=use_t).nlcom(text, method="fieller", level=level)
    low, high = out.interval(level)[0]
    if np.abs(b @ B) <= critical * np.sqrt(b @ V @ b):  # the denominator may be zero: no bounded interval
        assert (low, high) == (-np.inf, np.inf)
        return
    width = high - low
    grid = np.linspace(low - width, high + width, 20_001)
    inside = (grid >= low) & (grid <= high)
    edge = np.minimum(np.abs(grid - low), np.abs(grid - high)) < 1e-9 * width
    assert np.array_equal(accepted(grid)[~edge], inside[~edge])
    assert np.isfinite([low, high]).all()


def test_fieller_refusals() -> None:
    for text in ("educ", "exp(educ) / age", "(educ + 1) / age", "educ * age"):
        with pytest.raises(OptionError):
            FIT.nlcom(text, method="fieller")
    with pytest.raises(OptionError, match="fieller"):
        FIT.nlcom("educ / age", method="bootstrap")


def test_fieller_limits_at_another_level() -> None:
    ratio = FIT.nlcom("exper / educ", method="fieller", level=0.9)
    again = FIT.nlcom("exper / educ", method="fieller")
    np.testing.assert_array_equal(ratio.interval(0.95), again.interval())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ratio)).interval(0.9), ratio.interval(0.9))


# ---- levels, lags, where warnings point --------------------------------------------------------------------


@pytest.mark.parametrize(
    "level", ["0.9", None, True, np.array([0.9]), 0.9 + 0j, [0.9], 95, np.int64(1), np.nan, np.float32(0)]
)
def test_levels_that_are_none(level: Any) -> None:
    fieller = FIT.nlcom("exper / educ", method="fieller")
    for call in (
        lambda: FIT.estimates.interval(level),
        lambda: FIT.estimates.table(level),
        lambda: fieller.interval(level),
        lambda: FIT.nlcom("educ / age", level=level),
    ):
        with pytest.raises(OptionError, match="level="):
            call()
    if level is not None:
        with pytest.raises(OptionError, match="alpha="):
            check_level(0.95, level)


def test_levels_of_other_number_types() -> None:
    for level in (np.float32(0.5), np.float64(0.5), Fraction(1, 2)):
        assert check_level(level) == check_level(0.95, level) == 0.5
        assert type(check_level(level)) is float
    assert check_level(0.95, 0.1) == 0.9


def test_lags_of_other_number_types() -> None:
    assert de.HAC("t", lags=np.int64(3)) == de.HAC("t", lags=3)
    assert repr(de.HAC("t", lags=np.int8(3))) == repr(de.HAC("t", lags=3))  # type: ignore[arg-type]
    for lags in (3.0, True, np.True_, "3", -1, np.int64(-1), np.array([3])):
        with pytest.raises(OptionError, match="lags"):
            de.HAC("t", lags=lags)  # type: ignore[arg-type]


def test_warnings_of_a_covariance_point_at_the_caller() -> None:
    for call in (
        lambda: de.Logit("y ~ educ").fit(DATA, cov=de.Cluster("g")),
        lambda: FIT.with_cov(de.Cluster("g")),
        lambda: FIT.with_cov(de.Cluster("g", "region")),
    ):
        with pytest.warns((FewClustersWarning, CovarianceWarning)) as caught:
            call()
        assert {w.filename for w in caught} == {__file__}


# ---- p-values and intervals --------------------------------------------------------------------------------


@pytest.mark.parametrize("use_t", [False, True])
def test_statistics_p_values_intervals(use_t: bool) -> None:
    res = FIT.with_cov("HC1", use_t=use_t)
    law = stats.t(N - len(B)) if use_t else stats.norm
    assert np.allclose(res.tvalues, B / res.bse, rtol=1e-14)
    assert np.allclose(res.pvalues, 2 * law.sf(np.abs(res.tvalues)), rtol=1e-9)
    for level in (0.5, 0.95, 0.999):
        half = law.ppf(0.5 + level / 2) * res.bse
        assert np.allclose(res.conf_int(level=level), np.column_stack([B - half, B + half]), rtol=1e-10)
        assert np.array_equal(res.conf_int(alpha=1 - level), res.conf_int(level=1 - (1 - level)))
    table = res.estimates.table()
    assert list(table.columns) == ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert list(table.index) == NAMES
    assert np.array_equal(table[["conf_low", "conf_high"]], res.conf_int())


def test_use_t_counts_clusters() -> None:
    res = FIT.with_cov(de.Cluster("firm"), use_t=True)
    assert np.allclose(res.pvalues, 2 * stats.t(DATA.firm.nunique() - 1).sf(np.abs(res.tvalues)), rtol=1e-9)
    with pytest.warns(FewClustersWarning):
        few = FIT.with_cov(de.Cluster("g"), use_t=True)
    assert few.estimates.df == 2
    with pytest.raises(WithheldError, match="clusters"):  # three clusters cannot test three hypotheses
        few.test("x, z, x:z")


def test_linear_combinations_with_intervals() -> None:
    out = FIT.t_test("educ + age = 0.1, 2*x")
    R = np.array([row({"educ": 1, "age": 1}), row({"x": 2})])
    assert np.allclose(out["estimate"], R @ B - [0.1, 0], rtol=1e-12)
    assert np.allclose(out["std_error"], np.sqrt(np.diagonal(R @ V @ R.T)), rtol=1e-12)


def test_a_title_stays_with_functions_alone() -> None:
    """It is printed above the table, also after a pickle; other numbers by the same law have none."""
    e = Estimates(("a", "b"), np.array([1.0, 2.0]), np.eye(2), title="Effect of x < 1 (population)")
    for one in (e, e.linear("a - b"), e.function("a / b"), e.function("a / b", method="fieller")):
        for kept in (one, pickle.loads(pickle.dumps(one))):
            head, table = str(kept).split("\n", 1)
            assert head == e.title
            assert table == kept.table().to_string()
            assert kept._repr_html_().startswith("<p>Effect of x &lt; 1 (population)</p>\n<div>")
    other = e.others(["c"], e.values[:1], e.covariance[:1, :1])
    assert str(other) == other.table().to_string()
    assert other._repr_html_() == other.table()._repr_html_()


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, "0.95", np.nan])
def test_levels_are_between_zero_and_one(level: Any) -> None:
    for call in (FIT.conf_int, FIT.odds_ratios, FIT.summary, lambda level: FIT.predict(ci=True, level=level)):
        with pytest.raises(OptionError, match="level"):
            call(level=level)


def test_odds_ratios() -> None:
    out = FIT.odds_ratios(0.9)
    assert np.allclose(out["estimate"], np.exp(B), rtol=1e-14)
    assert np.allclose(out["std_error"], np.exp(B) * FIT.bse, rtol=1e-14)
    assert np.allclose(out[["conf_low", "conf_high"]], np.exp(FIT.conf_int(level=0.9)), rtol=1e-12)
    assert np.array_equal(out["p_value"], FIT.pvalues)


def test_likelihood_ratios_take_no_robust_covariance() -> None:
    d = DATA.assign(firm=np.arange(len(DATA)) % 40, t=np.arange(len(DATA)))
    model = de.Logit("y ~ educ + age")
    with pytest.warns(de.errors.LikelihoodRatioWarning, match="HC1"):
        model.fit(d, cov="HC1").lr_test("age")
    for cov in (de.Cluster("firm"), de.HAC("t")):
        res = model.fit(d, cov=cov)
        with pytest.raises(WithheldError, match="score_test"):
            res.lr_test("age")
        assert np.isnan(res.llr_pvalue)
        buffer = io.BytesIO()
        res.save(buffer)
        buffer.seek(0)
        loaded = de.load(buffer)
        with pytest.raises(WithheldError, match="score_test"):
            loaded.lr_test("age")
        assert loaded.test("educ, age").p_value == res.test("educ, age").p_value == res.wald_pvalue
        assert "Wald p-value" in str(res.summary())


def test_joint_tests_of_clusters_have_hotellings_law() -> None:
    d = DATA.assign(firm=np.arange(len(DATA)) % 40)
    res = de.Logit("y ~ educ + age").fit(d, cov=de.Cluster("firm"))
    R = np.eye(3)[1:]
    b, V = R @ res.params.to_numpy(), R @ res.cov_params().to_numpy() @ R.T
    found, W = res.test("educ, age"), float(b @ np.linalg.solve(V, b))
    assert found.df == (2, 38)
    assert found.statistic == pytest.approx(W * 38 / (39 * 2), rel=1e-9)
    with pytest.warns(FewClustersWarning):
        few = de.Logit("y ~ educ + age").fit(d.assign(firm=d.firm % 2), cov=de.Cluster("firm"))
    with pytest.raises(WithheldError, match="more hypotheses than clusters"):
        few.test("educ, age")
    assert np.isnan(few.wald_pvalue)


def test_the_generalised_score_test_is_that_of_the_scores() -> None:
    """Of a slope alone: the sum of what is left of its scores, squared, over their squares."""
    d = DATA.assign(firm=np.arange(len(DATA)) % 40)
    p = d.y.mean()
    own = (d.y - p) * (d.educ - d.educ.mean())
    for cov, sums in (("HC0", own), (de.Cluster("firm"), own.groupby(d.firm).sum())):
        test = de.Logit("y ~ educ").fit(d, cov=cov).score_test("educ")
        S = sums.sum() ** 2 / np.square(sums).sum()
        if cov == "HC0":
            assert test.statistic == pytest.approx(S, rel=1e-8)
        else:
            assert test.statistic == pytest.approx(S * 39 / (40 - S), rel=1e-8)
            assert test.df == (1, 39)
