"""Formulas are data: what is read, what is refused, and that nothing runs."""

from __future__ import annotations

import json
import re

import formulaic
import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.data.design import build_design
from disteconometrics.data.formula import parse_formula
from disteconometrics.data.joint_design import build_joint
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    DataError,
    ExtrapolationWarning,
    FormulaError,
    MissingColumnError,
    MissingValuesWarning,
    OptionError,
    UnsafeFormulaError,
)
from disteconometrics.estimators.transport.groups import read_groups


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    d = pd.DataFrame({"x1": rng.normal(size=n), "x2": rng.normal(size=n), "g": rng.choice(list("abc"), n)})
    d["age"] = rng.integers(20, 60, n)
    d["firm"] = rng.integers(0, 5, n)
    d["flag"] = d.x1 > 0
    d["h"] = pd.Categorical(rng.choice(["lo", "hi", "mid"], n), categories=["lo", "mid", "hi"])
    d["y"] = (d.x1 + rng.logistic(size=n) > 0).astype(int)
    return d


SAME_AS_FORMULAIC = [
    "y ~ x1 + x2",
    "y ~ 1",
    "y ~ 0 + g",
    "y ~ x1 - 1",
    "y ~ g * x1",
    "y ~ g * h",
    "y ~ g:h - 1",
    "y ~ (g + flag + x1) ** 2",
    "y ~ x1 + x1 + x2:x1 + x1:x2",
    "y ~ C(firm) + x1",
    "y ~ C(age // 10)",
    "y ~ C(flag)",
    "y ~ g + g:flag + x1 / x2",
    "y ~ scale(x1) + center(x2) + standardize(age)",
    "y ~ poly(x1, 3) + bs(x2, df=5)",
    "y ~ poly(x1, 2, raw=True)",
    "y ~ bs(x1, df=6, include_intercept=True) - 1",
    "y ~ 0 + cs(x1, df=4) + cc(x2, df=3) + cr(x1, df=3):x2",
    "y ~ cr(x1, df=4, constraints='center')",
    "y ~ scale(np.log(x1 ** 2 + 1)):g + I(age ** 2) + np.sqrt(age)",
    "y ~ 2:x1 + g",
    "y ~ I(g == 'b') + I((x1 > 0) & ~flag)",
    "y ~ C(g, contr.sum) * x1",
    "y ~ C(g, contr.treatment(base='b')) + C(h, contr.helmert)",
    "y ~ C(g, Treatment('c')) + C(h, contr.poly):x1 + C(h, contr.diff)",
    "y ~ C(g, levels=['c', 'b', 'a'])",
    "y ~ C(g, spans_intercept=False)",
    "y ~ {x1 + x2} + np.maximum(x1, x2) + exp(x1)",
]


@pytest.mark.parametrize("formula", SAME_AS_FORMULAIC)
def test_names_and_columns_are_formulaics(formula: str, table: pd.DataFrame) -> None:
    design = build_design(formula, table)
    reference = formulaic.model_matrix(formula, table).rhs
    assert list(reference.columns) == list(design.spec.names)
    np.testing.assert_array_equal(reference.to_numpy(float), design.X)
    assert design.X.flags.c_contiguous
    assert design.spec.has_intercept == ("Intercept" in reference.columns)


# the traps in which we differ from formulaic on purpose
@pytest.mark.parametrize("spline", ["cr", "cs", "cc"])
def test_natural_splines_are_centred_beside_an_intercept(spline: str, table: pd.DataFrame) -> None:
    design = build_design(f"y ~ {spline}(x1, df=3) + x2", table)
    written = formulaic.model_matrix(f"y ~ {spline}(x1, df=3, constraints='center') + x2", table).rhs
    np.testing.assert_array_equal(written.to_numpy(float), design.X)
    assert design.spec.names[1] == f"{spline}(x1, df=3)[1]"
    again = DesignSpec.from_dict(design.spec.to_dict()).matrix(table.iloc[:7])
    np.testing.assert_array_equal(again.X, design.X[:7])


@pytest.mark.parametrize("marginal", [False, True])
def test_broken_lines_are_those_of_lspline(marginal: bool, table: pd.DataFrame) -> None:
    design = build_design(f"y ~ lspline(x1, [0, 1], marginal={marginal})", table)
    x = table["x1"].to_numpy()
    if marginal:
        expected = [x, np.maximum(x, 0), np.maximum(x - 1, 0)]
    else:
        expected = [np.minimum(x, 0), np.clip(x, 0, 1), np.maximum(x - 1, 0)]
    np.testing.assert_allclose(design.X[:, 1:], np.column_stack(expected), atol=1e-15)
    res = de.Logit(f"y ~ lspline(x1, [0, 1], marginal={marginal})").fit(table)
    step = 1e-6
    with pytest.warns(ExtrapolationWarning):
        up, down = (res.predict(table.assign(x1=x + s)) for s in (step, -step))
    assert np.abs(x[:, None] - [0, 1]).min() > 2 * step
    assert res.margins().params["x1"] == pytest.approx(float((up - down).mean()) / (2 * step), rel=1e-5)
    with pytest.raises(FormulaError, match="give the knots"):
        build_design("y ~ lspline(x1)", table)


def test_numbers_are_float64_in_expressions() -> None:
    d = pd.DataFrame(
        {"y": [0, 1, 0, 1], "i": np.array([100, 50, 2, 3], dtype=np.int8), "a": [True, True, False, False]}
    )
    X = build_design("y ~ 0 + I(i ** 2) + I(a + a) + I(i * i) + I(i ** -1)", d).X
    np.testing.assert_array_equal(X[:, 0], [10000, 2500, 4, 9])
    np.testing.assert_array_equal(X[:, 1], [2, 2, 0, 0])
    np.testing.assert_array_equal(X[:, 2], X[:, 0])
    np.testing.assert_allclose(X[:, 3], [0.01, 0.02, 0.5, 1 / 3])


AWKWARD_NAMES = [
    *(
        "my x",
        'a"b',
        "it's",
        "a.b",
        "class",
        "lambda",
        "in",
        "1990",
        "x-1",
        "x + y",
        "log",
        "C",
        "np",
        "scale",
        "contr",
        "I",
    ),
    *(
        "__builtins__",
        "__FORMULAIC_STATE__",
        "größe",
        "gro\u0308ße",
        "年齢",
        "a~b",
        "a|b",
        "a:b",
        "a,b",
        "log(x)",
        "{x}",
        "#n",
        "q_0_",
        "True",
        "1",
        "0",
        "-1",
        ".",
        "y ~ x",
    ),
    *("x[0]", "", " "),
]


@pytest.mark.parametrize("name", [n for n in AWKWARD_NAMES if n.strip()])
def test_awkward_column_names_in_backticks(name: str, table: pd.DataFrame) -> None:
    d = table.rename(columns={"x1": name})
    design = build_design(f"y ~ `{name}` + I(`{name}` ** 2) + log(`{name}` ** 2 + 1) + x2", d)
    np.testing.assert_array_equal(design.X[:, 1], table.x1)
    np.testing.assert_array_equal(design.X[:, 2], table.x1**2)
    assert design.spec.names[1] == name
    assert set(design.spec.variables) == {name, "x2"}
    np.testing.assert_array_equal(build_design("y ~ .", d[["y", name]]).X[:, 1], table.x1)
    assert build_design("y ~ .", d[["y", name, "x2"]]).spec.names == ("Intercept", name, "x2")
    assert build_design(f"y ~ . - `{name}`", d[["y", name, "x2"]]).spec.names == ("Intercept", "x2")
    assert build_joint(f"`{name}` + x2 ~ flag", d).spec.formula == f"`{name}` + x2 ~ flag"
    assert read_groups(f"`{name}` + x2 ~ `flag`", d).outcomes == (f"`{name}`", "x2")
    np.testing.assert_array_equal(build_design(f"I(`{name}` > 0) ~ x2", d).y, table.x1 > 0)


@pytest.mark.parametrize(
    "name", ["log", "C", "np", "scale", "class", "lambda", "a.b", "größe", "__builtins__"]
)
def test_bare_names_that_look_like_functions(name: str, table: pd.DataFrame) -> None:
    d = table.rename(columns={"x1": name})
    np.testing.assert_array_equal(
        build_design(f"y ~ {name} + scale(x2) + np.exp(x2) + C(g)", d).X[:, 1], table.x1
    )


def test_names_that_share_a_sanitised_form_do_not_touch_the_global_rng(table: pd.DataFrame) -> None:
    d = table.rename(columns={"x1": "a b", "x2": "a.b"})
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is tested
    X = build_design("y ~ 0 + I(`a b` + `a.b` + `a b`)", d).X
    np.testing.assert_allclose(X[:, 0], 2 * table.x1 + table.x2)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_dot_is_every_other_column(table: pd.DataFrame) -> None:
    d = table[["x1", "x2", "age", "y"]].assign(w=1.0, o=0.0)
    design = build_design("y ~ . - age", d, weights="w", weight_type="sampling", offset="o")
    assert design.spec.names == ("Intercept", "x1", "x2")
    assert build_design("I(age > 40) ~ .", d[["age", "x1"]]).spec.names == ("Intercept", "x1")


REFUSED = [
    (None, OptionError, "formula.*string"),
    (3, OptionError, "formula.*string"),
    (["y ~ x1"], OptionError, "formula.*string"),
    ("", FormulaError, "left side"),
    ("x1 + x2", FormulaError, "left side"),
    ("~ x1", FormulaError, "left side|outcome"),
    ("y ~", FormulaError, "right side"),
    ("y ~ 0", FormulaError, "no columns"),
    ("y ~ x1 - x1 - 1", FormulaError, "no columns"),
    ("y ~ x1 +* x2", FormulaError, "[Ss]yntax"),
    ("y ~ x1 + (x2", FormulaError, "[Ss]yntax"),
    ("y ~ I(x1", FormulaError, "[Ss]yntax"),
    ("y ~ I(x1 +)", FormulaError, "[Ss]yntax.*character"),
    ("y ~ `x1", FormulaError, "backtick"),
    ("y ~ x1 + 'x2", FormulaError, "quote is not closed"),
    ("y ~ " + "'\\" * 20_000, FormulaError, "quote is not closed"),
    ("y ~ " + '"\\' * 20_000 + "`", FormulaError, "not closed"),
    ("y ~ ``", FormulaError, "backtick"),
    ("y ~ 'x1'", FormulaError, "[Ss]yntax"),
    ("y ~ x1 + 5", FormulaError, "[Ss]yntax"),
    ("y ~ I(class)", FormulaError, "[Ss]yntax.*backtick"),
    ("y ~ x1 # a comment", FormulaError, "comment"),
    ("y ~ x1 | x2", FormulaError, r"parts.*\|"),
    ("y | z ~ x1", FormulaError, "parts"),
    ("y ~ x1 ~ x2", FormulaError, "more than one"),
    ("y ~ [x1 ~ x2]", FormulaError, "[Ss]quare brackets"),
    ("y ~ (x1 ~ x2)", FormulaError, "[Ss]yntax"),
    ("y + x1 ~ x2", FormulaError, "several columns"),
    ("(y + x1) ~ x2", FormulaError, "several columns"),
    ("y, x1 ~ x2", FormulaError, "several columns"),
    ("3 ~ x2", FormulaError, "constant"),
    ("y ~ y + x1", FormulaError, "'y'.*right side"),
    ("y ~ I(y ** 2)", FormulaError, "'y'.*right side"),
    ("y ~ x1 + nosuch", MissingColumnError, "nosuch.*Columns are"),
    ("y ~ x1 + X2", MissingColumnError, "X2.*mean 'x2'"),
    ("nosuch ~ x1", MissingColumnError, "nosuch.*outcome"),
    ("y ~ log", MissingColumnError, "log"),
    ("y ~ I(log)", MissingColumnError, "log"),
    ("y ~ x1 + foo(x2)", UnsafeFormulaError, "foo.*known transform.*log"),
    ("y ~ np.mean(x1)", UnsafeFormulaError, "np.mean.*known"),
    ("y ~ I(x1 and x2)", UnsafeFormulaError, "&"),
    ("y ~ I(2)", FormulaError, "constant"),
    ("y ~ poly(x1, 0)", FormulaError, "degree"),
    ("y ~ poly(x1, 10000000)", FormulaError, "at most"),
    ("y ~ bs(x1, df=1)", FormulaError, "bs.*df"),
    ("y ~ bs(x1, df=1e9)", FormulaError, "bs"),
    ("y ~ bs(x1, degree=0)", FormulaError, "no columns"),
    ("y ~ lag(1)", FormulaError, "constant"),
    ("y ~ C(g, levels=3)", FormulaError, "levels must be a list"),
    ("y ~ C(g, levels=['a', ['b']])", FormulaError, "levels must be a list"),
    ("y ~ C(g, levels=-['a'])", UnsafeFormulaError, "constants"),
    ("y ~ bs(x1, df=-'a')", UnsafeFormulaError, "constants"),
    ("y ~ C(g, -contr.sum)", UnsafeFormulaError, "constants"),
    ("y ~ poly(x1, 2, raw='no')", FormulaError, "raw must be True or False, not 'no'"),
    ("y ~ bs(x1, df=4, include_intercept='no')", FormulaError, "include_intercept must be"),
    ("y ~ C(g, spans_intercept='no')", FormulaError, "spans_intercept must be"),
    ("y ~ C(g, contr.helmert(reverse='q'))", FormulaError, "reverse must be"),
    ("y ~ C(g, Helmert(scale=None))", FormulaError, "scale must be True or False"),
    ("y ~ C(g, contr.diff(backward=2))", FormulaError, "backward must be"),
    ("y ~ scale(x1, center='no')", FormulaError, "center must be a number"),
    ("y ~ bs(x1, df='5')", FormulaError, "df must be a number"),
    ("y ~ C(g, 'contr.sum')", FormulaError, "contrasts must be one of contr.treatment"),
    ("y ~ C(g, levels=['a', 'b', 'c', 'a'])", FormulaError, "repeats"),
    ("y ~ C(g, levels=[['a'], ['b']])", FormulaError, "levels must be a list"),
    ("y ~ C(g, contr.poly(scores=[1, 1, 1]))", FormulaError, "scores must be distinct"),
    ("y ~ C(firm ** 99999999)", DataError, "makes inf"),
    ("y ~ C(x1 * 9 ** 9 ** 9)", DataError, "makes inf"),
    (
        "y ~ " + ":".join(f"C(firm + {i})" for i in range(8)),
        DataError,
        "at least 65,537 columns, 65,536 of them",
    ),
    ("y ~ " + "*".join(f"C(age > {20 + 3 * i})" for i in range(11)), FormulaError, "crosses 11 factors"),
    ("y ~ {}", FormulaError, "empty braces"),
    ("y ~ lag(x1, 0.5)", FormulaError, "whole number"),
    ("y ~ lag(scale(x1))", FormulaError, "scale\\(lag"),
    ("y ~ scale(C(g))", FormulaError, "outermost"),
    ("y ~ scale(poly(x1, 2))", FormulaError, "several columns"),
    ("y ~ log(x1, x2)", FormulaError, "arguments.*1 column"),  # numpy would write the result into x2
    ("y ~ log(x1, out=x2)", FormulaError, "arguments"),
    ("y ~ scale(x1, ddof=x2)", UnsafeFormulaError, "constants"),
    ("y ~ C(g, contr.treatment(base='nosuch'))", FormulaError, "nosuch"),
    ("y ~ (x1 + x2 + age) ** 40", FormulaError, "power"),
    ("y ~ x1 ** 9999999999", FormulaError, "power"),
    ("y ~ " + "*".join(f"(x1 + {c})" for c in "abcdefghijklmnopqrs"), FormulaError, "product"),
    ("y ~ " + "(" * 500 + "x1" + ")" * 500, FormulaError, "nest"),
    ("y ~ I(" + "-" * 5000 + "x1)", FormulaError, "nested|[Ss]yntax"),
    ("y ~ I(" + "x1 + " * 5000 + "x1)", FormulaError, "nested"),
    ("y ~ " + "x1 + " * 100_000 + "x2", FormulaError, "characters"),
    ("y ~ I(x1 ** 10 ** 10 ** 10)", Exception, "inf"),
    ("y ~ I(10 ** 10 ** 10 * x1)", Exception, "inf"),
]


@pytest.mark.parametrize(("formula", "error", "says"), REFUSED, ids=[str(f)[:40] for f, *_ in REFUSED])
def test_refused_with_the_reason(
    formula: object, error: type[Exception], says: str, table: pd.DataFrame
) -> None:
    with pytest.raises(error, match=says):
        build_design(formula, table)  # type: ignore[arg-type]


ATTACKS = [
    "y ~ x1 + __import__('os').system('touch {f}')",
    "y ~ x1 + I(__import__('os').system('touch {f}'))",
    "y ~ {{x1 * __import__('os').system('touch {f}')}}",
    "y ~ I(open('{f}', 'w'))",
    "y ~ open('{f}', 'w')",
    "Q(__import__('os').system('touch {f}')) ~ x1",
    "scale(__import__('os').system('touch {f}')) ~ x1",
    "I(open('{f}', 'w')) ~ x1",
    "y ~ Q(open('{f}', 'w'))",
    "y ~ Q(Q(__import__('os').system('touch {f}')))",
    "y ~ C(g, __import__('os').system('touch {f}'))",
    "y ~ C(g, contr.treatment(base=open('{f}', 'w')))",
    "y ~ C(g, contr.treatment.__init__.__globals__['__builtins__']['open']('{f}', 'w'))",
    "y ~ contr.__class__('{f}', (), {{}})",
    "y ~ scale(x1, center=open('{f}', 'w'))",
    "y ~ x1.__class__.__init__.__globals__['__builtins__']['open']('{f}', 'w')",
    "y ~ I(x1.to_csv('{f}'))",
    "y ~ x1.to_csv('{f}')",
    "y ~ I(x1.tofile('{f}'))",
    "y ~ np.save('{f}', x1)",
    "y ~ np.savetxt('{f}', x1)",
    "y ~ np.lib.npyio.save('{f}', x1)",
    "y ~ np.log.__self__.save('{f}', x1)",
    "y ~ I(().__class__.__base__.__subclasses__())",
    "y ~ I([open('{f}', 'w') for c in (1, 2)])",
    "y ~ I((lambda: open('{f}', 'w'))())",
    "y ~ I((z := open('{f}', 'w')))",
    'y ~ I(f\'{{open("{f}", "w")}}\')',
    "y ~ log(*[open('{f}', 'w')])",
    "y ~ log(**{{'x': open('{f}', 'w')}})",
    "y ~ I(x1 if open('{f}', 'w') else x1)",
    "y ~ I(x1[open('{f}', 'w')])",
    "y ~ I({{open('{f}', 'w'): 1}})",
    'y ~ I(exec(\'open("{f}", "w")\'))',
    'y ~ I(eval(\'open("{f}", "w")\'))',
    "y ~ log(eval)(x1)",
    "y ~ `I(open('{f}', 'w'))`",
    "y ~ x1 + `{{open('{f}', 'w')}}`",
    "y ~ (x1 + open('{f}', 'w')) ** 2",
    "y ~ x1 ** open('{f}', 'w')",
    "y ~ lag(open('{f}', 'w'))",
    "y ~ hashed(open('{f}', 'w'))",
    "y ~ get_required_variables(open('{f}', 'w'))",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_formula_runs_code(attack: str, table: pd.DataFrame, tmp_path: object) -> None:
    target = tmp_path / "touched"  # type: ignore[operator]
    before = table.copy()
    with pytest.raises(FormulaError if "`" not in attack else MissingColumnError):
        build_design(attack.format(f=target), table)
    assert not target.exists()
    pd.testing.assert_frame_equal(table, before)


def test_the_callers_scope_is_never_seen(table: pd.DataFrame) -> None:
    zz = np.arange(7.0)
    with pytest.raises(MissingColumnError, match="zz"):
        build_design("y ~ x1 + zz", table)
    assert len(zz) == 7


def test_long_formulas_are_fast_enough_and_cached() -> None:
    names = [f"v{i}" for i in range(800)]
    formula = "y ~ " + " + ".join(names)
    assert parse_formula(formula) is parse_formula(formula)
    assert len(parse_formula(formula).factors) == 800


SMALL = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "Int8", "UInt8", "UInt64"]


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize(
    ("term", "levels"),
    [
        ("C(a - 5)", [-4, -3, -2, -1]),
        ("C(-a)", [-3, -2, -1, 0]),
        ("C(1 - a)", [-2, -1, 0, 1]),
        ("C(a * 1000)", [1000, 2000, 3000, 4000]),
        ("C(a * 40 + a)", [41, 82, 123, 164]),
        ("C(a * 100 // 3)", [33, 66, 100, 133]),
        ("C(a % 3)", [1, 2]),
        ("C(where(a > 2, a, -1))", [0, 3, 4]),
        ("C(a > -300)", None),
    ],
)
def test_whole_numbers_inside_a_factor_do_not_overflow(
    dtype: str, term: str, levels: list[int] | None
) -> None:
    d = pd.DataFrame({"a": pd.array(np.arange(60) % 5, dtype=dtype), "y": np.tile([0, 1], 30)})  # type: ignore[call-overload]
    if levels is None:
        with pytest.raises(DataError, match="only one level"):
            build_design(f"y ~ {term}", d)
        return
    if term.startswith("C(where"):
        d["a"] = d["a"].where(d["a"] != 1, 0)
        levels = [3, 4]
    assert build_design(f"y ~ {term}", d).spec.names[1:] == tuple(f"{term}[T.{level}]" for level in levels)


def test_a_remainder_by_zero_inside_a_factor_is_missing() -> None:
    d = pd.DataFrame(
        {"a": np.arange(60) % 5, "b": np.where(np.arange(60) < 30, 0, 3), "y": np.tile([0, 1], 30)}
    )
    with pytest.warns(MissingValuesWarning, match="30 rows"):
        design = build_design("y ~ C(a % b)", d)
    assert design.spec.names[1:] == ("C(a % b)[T.1]", "C(a % b)[T.2]")


@pytest.mark.parametrize("start", [2**53, 10**18, 2**63, 10**25])
def test_large_whole_numbers_stay_distinct_levels(start: int) -> None:
    values = [start + i % 3 for i in range(60)]
    d = pd.DataFrame({"a": pd.Series(values, dtype=object), "y": np.tile([0, 1], 30)})
    design = build_design("y ~ C(a)", d)
    assert design.spec.names[1:] == (f"C(a)[T.{start + 1}]", f"C(a)[T.{start + 2}]")
    assert np.array_equal(design.spec.matrix(d).X, design.X)
    assert np.array_equal(design.X[:, 1], np.arange(60) % 3 == 1)
    again = type(design.spec).from_dict(json.loads(json.dumps(design.spec.to_dict())))
    assert np.array_equal(again.matrix(d).X, design.X)
    missing = d.assign(a=pd.Series([None, *values[1:]], dtype=object))
    assert build_design("y ~ C(a)", missing).spec.names == design.spec.names


@pytest.mark.parametrize("term", ["C(a - 1)", "C(-a)", "C(a + b)", "C(a // 2)", "C(b * 1000000000000000000)"])
def test_whole_numbers_that_would_lose_digits_are_refused(term: str) -> None:
    for dtype in ("uint64", object):
        d = pd.DataFrame(
            {"a": [2**63 + i % 3 for i in range(60)], "b": np.arange(60) % 7, "y": np.tile([0, 1], 30)}
        )
        d["a"] = d["a"].astype(dtype)
        with pytest.raises(DataError, match="digits would be lost"):
            build_design(f"y ~ {term}", d)


def test_hashes_can_be_grouped_by_remainder_and_compared() -> None:
    values = np.uint64(2**63) + np.arange(60, dtype=np.uint64)
    d = pd.DataFrame({"a": values, "y": np.tile([0, 1], 30)})
    assert build_design("y ~ C(a % 3)", d).spec.names[1:] == ("C(a % 3)[T.1]", "C(a % 3)[T.2]")
    assert build_design(f"y ~ C(a > {2**63 + 9})", d).X[:, 1].sum() == 50


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("x1 + offset(x2)", "offset='x'"),
        ("factor(g)", "C(x)"),
        ("as.factor(g)", "C(x)"),
        ("ns(x1, df=3)", "cr(x, df=4)"),
        ("ns(x1, 3)", "bs(x, df=4)"),
        ("ifelse(x1 > 0, 1, 0)", "where("),
        ("c.x1#c.x1", "I(x**2)"),
        ("i.g##c.x1", "a*b"),
        ("i.g", "is C(g) here"),
        ("ib2.g + x1", "is C(g) here"),
        ("c.x1", "is x1 here"),
        ("x1**2", "I(x1**2) for its square, poly(x1, 2)"),
        ("x2 + x1^3", "I(x1**2)"),
        ("x1*x1", "I(x1**2)"),
        ("log(x2):log(x2)", "I(log(x2)**2)"),
    ],
)
def test_spellings_of_r_and_stata_get_the_right_one(table: pd.DataFrame, term: str, told: str) -> None:
    with pytest.raises((FormulaError, MissingColumnError), match=re.escape(told)) as caught:
        build_design(f"y ~ {term}", table)
    assert not isinstance(caught.value, UnsafeFormulaError)
    assert len(str(caught.value)) < 250


def test_names_that_look_like_statas_still_work(table: pd.DataFrame) -> None:
    assert build_design("y ~ i.g + `a#b`", table.assign(**{"i.g": table.x1, "a#b": table.x2})).spec.names[
        1:
    ] == ("i.g", "a#b")


def test_a_comment_is_no_stata(table: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match="a comment"):
        build_design("y ~ x1 # the first", table)
