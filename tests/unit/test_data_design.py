"""Rows, weights, offsets, states, new data and saved specifications."""

from __future__ import annotations

import copy
import json
import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from disteconometrics.data.design import Design, build_design
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    DataError,
    FileFormatError,
    LevelError,
    MissingColumnError,
    MissingValuesWarning,
    OptionError,
    UnsafeFormulaError,
)

N = 120


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    d = pd.DataFrame({"x1": rng.normal(size=N), "x2": rng.normal(size=N), "g": rng.choice(list("abc"), N)})
    d["pos"] = np.exp(d.x1)
    d["k"] = rng.integers(1, 4, N)
    d["flag"] = d.x2 > 0
    d["h"] = pd.Categorical(rng.choice(["lo", "hi", "mid"], N), categories=["lo", "mid", "hi"])
    d["w"] = rng.uniform(0.2, 3, N)
    d["f"] = rng.integers(1, 4, N)
    d["o"] = np.linspace(-1, 1, N)
    d["city"] = rng.choice(["p", "q", "r", "s"], N)
    d["year"] = rng.integers(2000, 2004, N)
    d["y"] = (d.x1 + rng.logistic(size=N) > 0).astype(int)
    return d


def same(a: Design, b: Design) -> None:
    assert a.spec.names == b.spec.names
    for left, right in ((a.X, b.X), (a.y, b.y), (a.weights, b.weights), (a.offset, b.offset)):
        np.testing.assert_array_equal(left, right)


STATES = "y ~ scale(x1) + poly(x2, 2) + bs(x1, df=5) + C(k) + g"


# ---------------------------------------------------------------- rows
def test_rows_of_a_clean_table(table: pd.DataFrame) -> None:
    design = build_design("y ~ x1", table)
    assert design.kept is None
    assert (design.rows.given, design.rows.used, design.rows.missing, design.rows.zero_weight) == (
        N,
        N,
        {},
        0,
    )
    (block,) = design.blocks()
    assert np.shares_memory(block.X, design.X)
    assert block.weights is None
    table["y"] = 1 - table.y  # a fit does not change with the table
    assert design.y[0] == 1 - table.y[0]


def test_missing_rows_drop_jointly_before_states_are_learnt(table: pd.DataFrame) -> None:
    bad = table.copy()
    bad.loc[[1, 2], "x1"] = np.nan
    bad["y"] = bad.y.astype(float)
    bad.loc[[2, 7], "y"] = np.nan
    bad.loc[9, "g"] = None
    bad.loc[11, "w"] = np.nan
    bad.loc[12, "o"] = np.nan
    bad.loc[13, "city"] = None  # not used
    bad.loc[14, "w"] = 0
    bad.loc[15, "x1"] = 1e9
    bad.loc[15, "w"] = 0
    before = bad.copy()
    design = build_design(STATES, bad, weights="w", weight_type="sampling", offset="o")
    gone = [1, 2, 7, 9, 11, 12, 14, 15]
    want = build_design(STATES, table.drop(index=gone), weights="w", weight_type="sampling", offset="o")
    same(design, want)
    assert design.rows.missing == {"y": 2, "x1": 2, "g": 1, "w": 1, "o": 1}
    assert design.rows.zero_weight == 2
    assert (design.rows.given, design.rows.used) == (N, N - len(gone))
    assert list(design.index) == [i for i in range(N) if i not in gone]
    pd.testing.assert_frame_equal(bad, before)


def test_rows_that_a_transform_loses_are_dropped_with_a_warning_naming_the_term(table: pd.DataFrame) -> None:
    with pytest.warns(MissingValuesWarning, match=r"np.log\(x1\)'.*in \d+ rows") as caught:
        design = build_design("y ~ np.log(x1) + scale(x2)", table)
    assert caught[0].message.column == "np.log(x1)"  # type: ignore[union-attr]
    assert caught[0].filename == __file__
    good = table.x1 > 0
    same(design, build_design("y ~ np.log(x1) + scale(x2)", table[good]))
    assert design.rows.transformed == {"np.log(x1)": int((~good).sum())}
    with pytest.warns(MissingValuesWarning, match="scale"):
        nested = build_design("y ~ scale(log(x1)) + C(k)", table)
    same(nested, build_design("y ~ scale(log(x1)) + C(k)", table[good]))
    with pytest.warns(MissingValuesWarning, match="log"):
        left = build_design("log(x1) ~ x2", table, outcome="numeric")
    np.testing.assert_array_equal(left.y, np.log(table.x1[good]))


def test_missing_stays_missing_through_comparisons(table: pd.DataFrame) -> None:
    good = table[table.x1 > 0]
    terms = (
        "I(log(x1) > 0)",
        "I(~(0 > log(x1)))",
        "I((log(x1) > 0) & flag)",
        "np.where(log(x1) > 0, x2, pos)",
        "C(log(x1) > 0)",
    )
    for term in terms:
        with pytest.warns(MissingValuesWarning, match="log"):
            same(build_design(f"y ~ {term}", table), build_design(f"y ~ {term}", good))
    assert build_design("y ~ np.where(x1 > 0, log(x1), 0)", table).kept is None


def test_levels_come_from_the_rows_used(table: pd.DataFrame) -> None:
    table.loc[table.g == "c", "x1"] = np.nan
    table.loc[table.h == "hi", "w"] = 0
    table["k"] = table.k.where(table.g != "c", 9)
    design = build_design("y ~ x1 + g + h + C(k)", table, weights="w", weight_type="sampling")
    assert design.spec.names == ("Intercept", "x1", "g[T.b]", "h[T.mid]", "C(k)[T.2]", "C(k)[T.3]")


def test_lag_looks_at_the_table_not_at_the_rows_left(table: pd.DataFrame) -> None:
    table.loc[5, "x2"] = np.nan
    with pytest.warns(MissingValuesWarning, match="lag"):
        design = build_design("y ~ lag(x1) + x2", table)
    want = table.x1.shift(1).drop(index=[0, 5])
    np.testing.assert_array_equal(design.X[:, 1], want)
    with pytest.warns(MissingValuesWarning, match="lag"):
        lead = build_design("y ~ lag(x1, -2) + I(lag(flag) == 1)", table)
    np.testing.assert_array_equal(lead.X[:, 1], table.x1.shift(-2)[1 : N - 2])
    new = design.spec.matrix(table.iloc[3:8])
    assert np.isnan(new.X[0, 1])
    np.testing.assert_array_equal(new.X[1, 1], table.x1[3])


NOTHING_LEFT = [
    ("y ~ x1", {"x1": np.nan}, "missing.*'x1': 120"),
    ("y ~ x1 + x2", {"x1": [np.nan, 1.0] * 60, "x2": [1.0, np.nan] * 60}, "missing.*'x1': 60.*'x2': 60"),
    ("y ~ log(x1)", {"x1": -1.0}, "log.x1.*missing"),
    ("y ~ scale(x1)", {"x1": 2.0}, "scale.x1.*missing"),
    ("y ~ x1", {"y": np.nan}, "missing.*'y'"),
]


@pytest.mark.parametrize(("formula", "change", "says"), NOTHING_LEFT)
def test_no_rows_left(formula: str, change: dict[str, object], says: str, table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=f"(?s)No complete rows left.*{says}"):
        build_design(formula, table.assign(**change))  # type: ignore[arg-type]


def test_inf_made_by_a_term(table: pd.DataFrame) -> None:
    table.loc[7, "pos"] = 0.0
    for term in ("np.log(pos)", "scale(log(pos))", "I(1 / pos)", "I(x1 / (pos * 0))"):
        with pytest.raises(DataError, match=r"(?s)(?=.*inf)(?=.*pos)"):
            build_design(f"y ~ {term} + x2", table)
    table["big"] = 1e200
    with pytest.raises(DataError, match=r"big.*inf"):
        build_design("y ~ big:I(big * 2)", table)


# ---------------------------------------------------------------- weights and offset
BAD_OPTIONS = [
    (
        {"weights": np.ones(N), "weight_type": "sampling"},
        OptionError,
        "weights must be the name of a column.*assign.*w=",
    ),
    (
        {"weights": pd.Series(np.ones(N)), "weight_type": "sampling"},
        OptionError,
        "weights.*name of a column.*index",
    ),
    ({"weights": [1.0] * N, "weight_type": "sampling"}, OptionError, "weights.*name of a column"),
    ({"weights": 3, "weight_type": "sampling"}, OptionError, "weights.*name of a column"),
    ({"offset": np.ones(N)}, OptionError, "offset must be the name of a column"),
    ({"weights": "w"}, OptionError, "weight_type.*frequency.*sampling"),
    ({"weights": "w", "weight_type": "aweight"}, OptionError, "frequency.*sampling.*aweight"),
    ({"weights": "w", "weight_type": ["sampling"]}, OptionError, "frequency.*sampling"),
    ({"weight_type": "sampling"}, OptionError, "without weights"),
    ({"weights": "nosuch", "weight_type": "sampling"}, MissingColumnError, "nosuch.*weights"),
    ({"offset": "nosuch"}, MissingColumnError, "nosuch.*offset"),
    ({"weights": "g", "weight_type": "sampling"}, DataError, "weights.*'g'.*numbers"),
    ({"offset": "g"}, DataError, "offset.*'g'.*numbers"),
    ({"weights": "neg", "weight_type": "sampling"}, DataError, "weights.*'neg'.*negative"),
    ({"weights": "zero", "weight_type": "sampling"}, DataError, "weights.*'zero'.*zero"),
    ({"weights": "inf", "weight_type": "sampling"}, DataError, "'inf'.*weights.*inf"),
    ({"weights": "w", "weight_type": "frequency"}, DataError, "weights.*'w'.*whole.*sampling"),
    ({"offset": "inf"}, DataError, "'inf'.*offset.*inf in 1 row"),
    ({"offset": "date"}, DataError, "offset.*date"),
    ({"weights": "nan", "weight_type": "sampling"}, DataError, "No complete rows.*'nan'"),
]


@pytest.mark.parametrize(("options", "error", "says"), BAD_OPTIONS)
def test_bad_weights_and_offsets(
    options: dict[str, object], error: type[Exception], says: str, table: pd.DataFrame
) -> None:
    table = table.assign(
        neg=np.r_[-1.0, np.ones(N - 1)], zero=0.0, inf=np.r_[np.inf, np.ones(N - 1)], nan=np.nan
    )
    table["date"] = pd.date_range("2000", periods=N)
    with pytest.raises(error, match=f"(?s){says}"):
        build_design("y ~ x1", table, **options)  # type: ignore[arg-type]


def test_weights_and_offset_follow_the_rows(table: pd.DataFrame) -> None:
    table.loc[3, "x1"] = np.nan
    table["f"] = table.f.astype("Int64")
    design = build_design("y ~ x1", table, weights="f", weight_type="frequency", offset="o")
    np.testing.assert_array_equal(design.weights, table.f.drop(index=3).astype(float))
    np.testing.assert_array_equal(design.offset, table.o.drop(index=3))
    block = design.blocks()[0]
    assert block.weights is design.weights
    assert block.offset is design.offset


def test_frequency_weights_are_row_replication_for_transforms_too(table: pd.DataFrame) -> None:
    table.loc[3, "f"] = 0
    formula = STATES + " + scale(lag(x2))"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingValuesWarning)
        design = build_design(formula, table, weights="f", weight_type="frequency")
        lagged = table.assign(l2=table.x2.shift(1)).dropna()
        many = lagged.loc[lagged.index.repeat(lagged.f)]
        want = build_design(STATES + " + scale(l2)", many)
    np.testing.assert_allclose(
        np.repeat(design.X, design.weights.astype(int), axis=0), want.X, rtol=1e-12, atol=1e-13
    )
    np.testing.assert_array_equal(design.spec.matrix(table).X[design.kept], design.X)


# ---------------------------------------------------------------- clusters and times
def test_columns_and_codes_of_the_rows_used(table: pd.DataFrame) -> None:
    table.index = table.index[::-1]
    table.iloc[3, 0] = np.nan
    design = build_design("y ~ x1", table)
    city = design.column("city", "cluster")
    pd.testing.assert_series_equal(city, table.city.drop(index=table.index[3]))
    codes, count = design.codes("city")
    assert count == 4
    assert codes.dtype == np.intp
    np.testing.assert_array_equal(pd.Series(codes).groupby(city.to_numpy()).nunique(), 1)
    both, many = design.codes(["city", "year"])
    assert many == len({*zip(city, design.column("year", "time"), strict=True)}) == both.max() + 1
    polars = build_design("y ~ x1", pl.from_pandas(table))
    np.testing.assert_array_equal(polars.codes(["city", "year"])[0], both)
    np.testing.assert_array_equal(
        build_design("y ~ x1", {c: table[c].to_numpy() for c in table}).codes("city")[0], codes
    )


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        ("nosuch", MissingColumnError, "nosuch.*cluster"),
        ("hole", DataError, "'hole' \\(cluster\\) has 2 missing values among the 119"),
        (["city", "hole"], DataError, "Column 'hole' \\(cluster\\)"),
        (np.zeros(N), OptionError, "cluster must be the name.*length.*index"),
        (pd.Series(np.zeros(N)), OptionError, "cluster must be the name.*index"),
        ([], OptionError, "at least one"),
        ([1, 2], OptionError, "cluster must be the name"),
        ("nested", DataError, "nested"),
    ],
)
def test_bad_clusters(names: object, error: type[Exception], says: str, table: pd.DataFrame) -> None:
    table["hole"] = table.year.astype(float)
    table.loc[[3, 5, 7], "hole"] = np.nan
    table.loc[3, "x1"] = np.nan  # the row is not used, so its missing cluster does not matter
    table["nested"] = pd.Series([[1]] * N)
    with pytest.raises(error, match=says):
        build_design("y ~ x1", table).codes(names)  # type: ignore[arg-type]


@pytest.mark.parametrize("column", ["date", "mixed", "h", "flag", "arrow", "tuple"])
def test_clusters_of_any_type(column: str, table: pd.DataFrame) -> None:
    table["date"] = pd.to_datetime(table.year.astype(str))
    table["mixed"] = [v if i % 2 else str(v) for i, v in enumerate(table.year)]
    table["arrow"] = table.city.astype("string[pyarrow]")
    table["tuple"] = pd.Series([(v, 1) for v in table.year])
    codes, count = build_design("y ~ x1", table).codes(column)
    assert count == table[column].nunique() == len(np.unique(codes))


# ---------------------------------------------------------------- new data
ALL_KINDS = [
    "y ~ x1 + x2",
    "y ~ 1",
    "y ~ 0 + g",
    "y ~ g * x1 + h",
    "y ~ C(k) + flag",
    "y ~ C(flag):x1",
    "y ~ C(pos > 1)",
    "y ~ scale(x1) + center(x2) + standardize(pos)",
    "y ~ scale(x1, center=False, ddof=0) + scale(x2, scale=2.5)",
    "y ~ poly(x1, 3) + poly(x2, 2, raw=True)",
    "y ~ bs(x1, df=6) + bs(x2, knots=[-1, 0, 1], degree=2)",
    "y ~ bs(x1, df=6, include_intercept=True) - 1",
    "y ~ cs(x1, df=4) + cr(x2, df=3, constraints='center') + cc(pos, df=4)",
    "y ~ C(g, contr.treatment(base='b')) + C(h, contr.sum) + C(k, contr.poly)",
    "y ~ scale(log(x1 ** 2 + 1)):x2 + bs(scale(x2), df=4)",
    "y ~ g:h:x1 + C(k, levels=[3, 2, 1])",
    "y ~ I(g == 'a') + np.where(flag, x1, x2)",
    "y ~ `my x` + I(`my x` ** 2):g",
    "y ~ .",
]


@pytest.mark.parametrize("formula", ALL_KINDS)
def test_saved_specifications_rebuild_bit_identical_matrices(formula: str, table: pd.DataFrame) -> None:
    table["my x"] = table.x1 * 2
    if formula.endswith("."):
        table = table.drop(columns=["city"])
    design = build_design(formula, table, offset="o")
    saved = json.loads(json.dumps(design.spec.to_dict(), allow_nan=False))
    spec = DesignSpec.from_dict(saved)
    assert (spec.names, spec.outcome, spec.variables) == (
        design.spec.names,
        design.spec.outcome,
        design.spec.variables,
    )
    assert spec.to_dict() == design.spec.to_dict()
    np.testing.assert_array_equal(spec.matrix(table).X, design.X)
    np.testing.assert_array_equal(spec.matrix(table).offset, table.o)
    np.testing.assert_array_equal(spec.outcome_values(table), design.y)
    few = spec.matrix(table.iloc[[5, 70, 5]])
    np.testing.assert_allclose(
        few.X, design.X[[5, 70, 5]], rtol=1e-12, atol=1e-14
    )  # states are never learnt again
    assert list(few.index) == [5, 70, 5]
    assert spec.to_dict() == design.spec.to_dict()
    assert spec.matrix(table.iloc[:0]).X.shape == (0, design.X.shape[1])
    one = spec.matrix({c: table[c].iloc[[4]].to_numpy() for c in table})
    np.testing.assert_allclose(one.X, design.X[[4]], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(spec.matrix(pl.from_pandas(table)).X, design.X)


def test_outcome_is_saved_with_its_labels(table: pd.DataFrame) -> None:
    table["deny"] = np.where(table.y == 1, "yes", "no")
    for left in ("deny", "y", "flag", "C(deny)", "I(x1 > 0)"):
        spec = build_design(f"{left} ~ x2", table).spec
        again = DesignSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        assert again.outcome == spec.outcome
        np.testing.assert_array_equal(again.outcome_values(table), spec.outcome_values(table))
    with pytest.raises(LevelError, match="maybe"):
        build_design("deny ~ x2", table).spec.outcome_values(table.assign(deny="maybe"))
    with pytest.raises(LevelError, match="2"):
        build_design("y ~ x2", table).spec.outcome_values(table.assign(y=2))


DAMAGE = [
    lambda d: d.pop("names"),
    lambda d: d.update(extra=1),
    lambda d: d.update(names="x"),
    lambda d: d.update(names=[1, 2]),
    lambda d: d.update(formula=None),
    lambda d: d.update(weights=3),
    lambda d: d.update(columns={}),
    lambda d: d.update(columns={"x1": ["code", []]}),
    lambda d: d.update(columns=[1]),
    lambda d: d.update(structure=[[1.0, [[99, False]]]]),
    lambda d: d.update(structure="abc"),
    lambda d: d.update(levels={"a": ["x"]}),
    lambda d: d.update(levels={"1": {"map": []}}),
    lambda d: d.update(outcome={"name": "y"}),
    lambda d: d["outcome"].update(kind="code"),
    lambda d: d["outcome"].update(levels=[1]),
    lambda d: d["states"].update(a={"object": "os.system"}),
    lambda d: d["states"].update(a={"array": ["x"], "shape": [1], "dtype": "float64"}),
    lambda d: d["states"].update(a={"array": [1.0], "shape": [7], "dtype": "float64"}),
    lambda d: d["states"].update(a={"array": [1.0], "shape": [1], "dtype": "object"}),
    lambda d: d["states"].update(a=[1]),
]


@pytest.mark.parametrize("damage", range(len(DAMAGE)))
def test_damaged_files_are_refused(damage: int, table: pd.DataFrame) -> None:
    saved = json.loads(json.dumps(build_design("y ~ scale(x1) + g", table).spec.to_dict()))
    DAMAGE[damage](saved)
    with pytest.raises(FileFormatError):
        DesignSpec.from_dict(saved)


def test_a_loaded_formula_is_checked_again_and_states_must_be_there(table: pd.DataFrame) -> None:
    saved = json.loads(json.dumps(build_design("y ~ scale(x1) + g", table).spec.to_dict()))
    bad = copy.deepcopy(saved)
    bad["formula"] = "y ~ scale(x1) + __import__('os').system('true')"
    with pytest.raises(UnsafeFormulaError):
        DesignSpec.from_dict(bad)
    for key in ("states", "levels"):
        bad = copy.deepcopy(saved)
        bad[key] = {}
        with pytest.raises(FileFormatError, match=r"no levels|not there"):
            DesignSpec.from_dict(bad).matrix(table)
    bad = copy.deepcopy(saved)
    bad["names"] = bad["names"][:-1]
    with pytest.raises(FileFormatError, match="names"):
        DesignSpec.from_dict(bad).matrix(table)
    for wrong in (None, [], "x"):
        with pytest.raises(FileFormatError):
            DesignSpec.from_dict(wrong)  # type: ignore[arg-type]


DRIFT = {  # what else the column may come as, with the same meaning
    "g": ["object", "category", "string", "string[pyarrow]"],
    "k": ["float64", "Int64", "Float64", "object", "category", "int8", "uint64"],
    "flag": ["int64", "float64", "boolean", "object", "bool[pyarrow]", "category"],
    "h": ["object", "str", "string"],
    "x1": ["object", "Float64", "double[pyarrow]", "float64"],
}


@pytest.mark.parametrize(("column", "dtype"), [(c, t) for c, types in DRIFT.items() for t in types])
def test_columns_may_come_as_another_dtype(column: str, dtype: str, table: pd.DataFrame) -> None:
    spec = build_design("y ~ g + h + C(k) + flag + C(flag) + x1 + C(k):x1", table).spec
    want = spec.matrix(table).X
    new = table.assign(**{column: table[column].astype(dtype)})
    np.testing.assert_array_equal(spec.matrix(new).X, want)
    np.testing.assert_array_equal(spec.matrix(new.iloc[[7]]).X, want[[7]])
    new = new.astype({column: object})
    new.loc[4, column] = None
    got = spec.matrix(new)
    assert np.isnan(got.X[4]).all()  # never the base level
    np.testing.assert_array_equal(np.delete(got.X, 4, 0), np.delete(want, 4, 0))
    assert len(got.index) == N


def test_integer_levels_arrive_as_floats_when_one_is_missing(table: pd.DataFrame) -> None:
    spec = build_design("y ~ C(k)", table).spec
    new = pd.DataFrame({"k": [1, 2, np.nan, 3]})
    np.testing.assert_array_equal(spec.matrix(new).X, [[1, 0, 0], [1, 1, 0], [np.nan] * 3, [1, 0, 1]])
    floats = build_design("y ~ C(k)", table.assign(k=table.k.astype(float))).spec
    np.testing.assert_array_equal(floats.matrix({"k": [1, 2]}).X, [[1, 0, 0], [1, 1, 0]])


NEW_DATA = [
    ("y ~ x1 + x2", {"x1": [1.0]}, MissingColumnError, "x2"),
    (
        "y ~ g",
        {"g": ["a", "zz", "b"]},
        LevelError,
        "'g'.*'zz' in 1 row.*first: 1.*known levels are 'a', 'b', 'c'",
    ),
    ("y ~ g", {"g": pd.Categorical(["a", "zz"])}, LevelError, "'g'.*'zz'"),
    ("y ~ g", {"g": [1, 2]}, LevelError, "'g'.*1"),
    ("y ~ g", {"g": [True]}, LevelError, "'g'.*1"),
    ("y ~ C(g)", {"g": ["zz"]}, LevelError, "'g'.*'zz'"),
    ("y ~ C(g, levels=['c', 'b', 'a'])", {"g": ["zz"]}, LevelError, "'zz'"),
    ("y ~ g:x1", {"g": ["zz"], "x1": [1.0]}, LevelError, "'zz'"),
    ("y ~ I(g == 'a')", {"g": ["zz"]}, LevelError, "'zz'"),
    ("y ~ h", {"h": ["huge"]}, LevelError, "'h'.*'huge'"),
    ("y ~ C(k)", {"k": [1, 7]}, LevelError, "'k'.*7.*known levels are 1, 2, 3"),
    ("y ~ C(k)", {"k": [1.5]}, LevelError, "'k'.*1.5"),
    ("y ~ C(k)", {"k": pd.Categorical([1, 7])}, LevelError, "'k'.*7"),
    ("y ~ C(k)", {"k": ["1"]}, DataError, "'k'.*text.*to_numeric"),
    ("y ~ C(k // 2)", {"k": [40]}, LevelError, "'k'.*20"),
    ("y ~ flag", {"flag": [2]}, LevelError, "'flag'.*known levels are False, True"),
    ("y ~ flag", {"flag": ["yes"]}, DataError, "'flag'.*text"),
    ("y ~ C(flag)", {"flag": [2]}, LevelError, "'flag'"),
    ("y ~ x1", {"x1": ["1.5"]}, DataError, "'x1'.*text.*to_numeric"),
    ("y ~ x1", {"x1": pd.Categorical(["a"])}, DataError, "'x1'.*text"),
    ("y ~ x1", {"x1": [np.inf]}, DataError, "'x1'.*inf"),
    ("y ~ x1", {"x1": [1j]}, DataError, "'x1'.*complex"),
    ("y ~ x1", {"x1": pd.date_range("2000", periods=1)}, DataError, "'x1'.*date"),
    ("y ~ log(pos)", {"pos": [0.0]}, DataError, r"log\(pos\).*inf"),
    ("y ~ bs(x1, df=5)", {"x1": [0.0, 50.0]}, DataError, r"bs\(x1, df=5\).*outside the range"),
    ("y ~ x1", None, OptionError, "DataFrame"),
    ("y ~ x1", np.zeros((3, 2)), OptionError, "DataFrame"),
    ("y ~ x1", pd.DataFrame([[1.0, 2.0]], columns=["x1", "x1"]), DataError, "x1.*duplicate"),
]


@pytest.mark.parametrize(("formula", "new", "error", "says"), NEW_DATA)
def test_new_data_that_cannot_be_coded(
    formula: str, new: object, error: type[Exception], says: str, table: pd.DataFrame
) -> None:
    spec = build_design(formula, table).spec
    with pytest.raises(error, match=f"(?s){says}"):
        spec.matrix(new)


def test_new_data_keep_their_rows(table: pd.DataFrame) -> None:
    spec = build_design(STATES, table, offset="o").spec
    new = table.drop(columns=["y", "city", "w"]).iloc[:6].copy()
    new.index = list("aabbcc")
    new.loc[:, "unused"] = pd.date_range("2000", periods=6)
    new.iloc[1, new.columns.get_loc("x1")] = np.nan
    new.iloc[2, new.columns.get_loc("g")] = None
    new.iloc[3, new.columns.get_loc("o")] = np.nan
    before = new.copy()
    got = spec.matrix(new)
    want = spec.matrix(table.iloc[:6]).X
    assert np.isnan(got.X[1:3]).all()
    np.testing.assert_array_equal(got.X[[0, 3, 4, 5]], want[[0, 3, 4, 5]])
    assert np.isnan(got.offset[3])
    assert list(got.index) == list("aabbcc")
    pd.testing.assert_frame_equal(new, before)
    with pytest.raises(MissingColumnError, match=r"'o'.*offset"):
        spec.matrix(new.drop(columns="o"))
    every = spec.matrix(new.assign(x1=np.nan))
    assert every.X.shape == (6, len(spec.names))
    assert np.isnan(every.X).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingValuesWarning)
        logs = build_design("y ~ log(pos) + scale(sqrt(pos))", table).spec
    got = logs.matrix({"pos": [1.0, -1.0, 2.0]})
    assert np.isnan(got.X[1, 1:]).all()
    assert np.isfinite(got.X[[0, 2]]).all()


def test_threads_do_not_disturb_each_other(table: pd.DataFrame) -> None:
    tables = [table.sample(frac=0.8, random_state=i) for i in range(8)]
    want = [build_design(STATES, t).X for t in tables]
    got: list[np.ndarray | None] = [None] * 8

    def work(i: int) -> None:
        got[i] = build_design(STATES, tables[i]).X

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_specification_prints_short_and_holds_no_rows(table: pd.DataFrame) -> None:
    design = build_design(STATES, table)
    assert len(repr(design)) < 1000
    assert len(json.dumps(design.spec.to_dict())) < 5000


def test_too_many_levels_for_the_memory() -> None:
    n = 20_000
    d = pd.DataFrame(
        {"id": [f"id{i}" for i in range(n)], "y": np.tile([0, 1], n // 2), "g": np.tile(list("ab"), n // 2)}
    )
    with pytest.raises(DataError, match="id"):
        build_design("y ~ id*g", d)


def _sort(d: pd.DataFrame) -> None:
    d.sort_values("x2", inplace=True)


def _drop(d: pd.DataFrame) -> None:
    d.drop(d.index[:40], inplace=True)


def _replace(d: pd.DataFrame) -> None:
    d["city"] = "p"


def _drop_column(d: pd.DataFrame) -> None:
    d.drop(columns="city", inplace=True)


def _relabel(d: pd.DataFrame) -> None:
    d.index = d.index[::-1]


def _overwrite(d: pd.DataFrame) -> None:
    d.loc[:, "w"] = d["w"] * 5
    d.loc[:, "o"] = 0.0
    d.loc[:, "x1"] = 1.0


@pytest.mark.filterwarnings("ignore:(?s).*inplace")
@pytest.mark.parametrize("change", [_sort, _drop, _replace, _drop_column, _relabel, _overwrite])
def test_later_changes_of_the_table_are_not_seen(table: pd.DataFrame, change: object) -> None:
    table.index = table.index + 7
    before = table.copy()
    design = build_design("y ~ x1", table, weights="w", weight_type="sampling", offset="o")
    change(table)  # type: ignore[operator]
    assert np.array_equal(design.weights, before.w)  # type: ignore[arg-type]
    assert np.array_equal(design.offset, before.o)  # type: ignore[arg-type]
    assert np.array_equal(design.X[:, 1], before.x1)
    pd.testing.assert_series_equal(design.column("city", "cluster"), before.city)


def test_later_changes_of_a_dict_are_not_seen(table: pd.DataFrame) -> None:
    data = {name: table[name].to_numpy().copy() for name in ("y", "x1", "w", "o", "city")}
    design = build_design("y ~ x1", data, weights="w", weight_type="sampling", offset="o")
    for name in ("y", "x1", "w", "o"):
        data[name] *= 0
    data["city"] = data["city"][::-1]
    assert np.array_equal(design.y, table.y)
    assert np.array_equal(design.X[:, 1], table.x1)
    assert np.array_equal(design.weights, table.w)  # type: ignore[arg-type]
    assert np.array_equal(design.offset, table.o)  # type: ignore[arg-type]
    assert np.array_equal(design.column("city", "cluster"), table.city)


def test_a_single_float_column_is_no_view(table: pd.DataFrame) -> None:
    x = table.x1.to_numpy().copy()
    design = build_design("y ~ 0 + x1", {"y": table.y, "x1": x})
    assert not np.shares_memory(design.X, x)
