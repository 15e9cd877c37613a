"""Tables in, columns out: every dtype that means the same gives the same X;
everything else is refused by name.
"""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from disteconometrics.data.design import build_design
from disteconometrics.errors import (
    DataError,
    DisteconometricsError,
    MissingColumnError,
    OptionError,
    OutcomeError,
)

RNG = np.random.default_rng(1)
N = 60
X1 = np.round(RNG.normal(size=N) * 64) / 64  # exact in float16
WHOLE = RNG.integers(0, 5, N)
G = RNG.choice(["a", "b", "c"], N)
Y = np.tile([0, 1], N // 2)


def base() -> pd.DataFrame:
    return pd.DataFrame({"x1": X1, "g": G, "k": WHOLE, "y": Y})


def hole(values: object, missing: object) -> list[object]:
    out = list(values)  # type: ignore[call-overload]
    out[3] = missing
    return out


NUMBERS = {
    "float64": X1,
    "float32": X1.astype("float32"),
    "float16": X1.astype("float16"),
    "longdouble": X1.astype(np.longdouble),
    "big-endian": X1.astype(">f8"),
    "strided": np.column_stack([X1, X1])[:, 0],
    "Float64": pd.array(X1, dtype="Float64"),
    "Float32": pd.array(X1.astype("float32"), dtype="Float32"),
    "double[pyarrow]": pd.array(X1, dtype="double[pyarrow]"),
    "Sparse": pd.arrays.SparseArray(X1),
    "object": X1.astype(object),
    "list": X1.tolist(),
    "tuple": tuple(X1),
    "Decimal": [Decimal(str(v)) for v in X1],
    "decimal[pyarrow]": pd.Series([Decimal(str(v)) for v in X1]).astype("object"),
    "polars Series": pl.Series(X1),
    "masked": np.ma.masked_array(X1, mask=np.zeros(N, bool)),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_dtype(kind: str) -> None:
    want = build_design("y ~ x1 + g", base()).X
    table = {"x1": NUMBERS[kind], "g": G, "y": Y}
    np.testing.assert_array_equal(build_design("y ~ x1 + g", table).X, want)
    if not isinstance(NUMBERS[kind], (pl.Series, np.ma.MaskedArray)):
        np.testing.assert_array_equal(build_design("y ~ x1 + g", pd.DataFrame(table)).X, want)


def test_tensors_are_read_without_their_gradient() -> None:
    torch = pytest.importorskip("torch")
    x1 = torch.tensor(X1, requires_grad=True)
    y = torch.tensor(Y, dtype=torch.float64, requires_grad=True)
    design = build_design("y ~ x1 + g", {"x1": x1, "g": G, "y": y})
    np.testing.assert_array_equal(design.X, build_design("y ~ x1 + g", base()).X)
    np.testing.assert_array_equal(design.spec.matrix({"x1": x1, "g": G}).X, design.X)
    assert x1.requires_grad
    for other in (torch.empty(N, device="meta"), x1.detach().to_sparse()):
        with pytest.raises(DataError, match=r"'x1'.*torch Tensor.*detach"):
            build_design("y ~ x1", {"x1": other, "y": Y})


INTEGERS = [
    *(
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "Int8",
        "Int64",
        "UInt64",
        "int64[pyarrow]",
    ),
    *("uint8[pyarrow]", "float64", "object", "Float64"),
]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_any_dtype(dtype: str) -> None:
    d = base()
    want = build_design("y ~ k + I(k ** 9) + C(k)", d)
    got = build_design("y ~ k + I(k ** 9) + C(k)", d.assign(k=d.k.astype(dtype)))
    np.testing.assert_array_equal(got.X, want.X)
    if "loat" not in dtype:
        assert got.spec.names == want.spec.names
        assert got.spec.names[-1] == "C(k)[T.4]"


LEVELS = {
    "str": pd.array(G, dtype="str"),
    "object": G.astype(object),
    "numpy str": G,
    "list": G.tolist(),
    "string": pd.array(G, dtype="string"),
    "string[pyarrow]": pd.array(G, dtype="string[pyarrow]"),
    "category": pd.Categorical(G),
    "category, unused level": pd.Categorical(G, categories=["a", "b", "c", "z"]),
    "category of string[pyarrow]": pd.Series(G, dtype="string[pyarrow]").astype("category"),
    "dictionary[pyarrow]": pd.Series(pd.Categorical(G)).astype(object),
    "polars String": pl.Series(G.tolist()),
    "polars Categorical": pl.Series(G.tolist()).cast(pl.Categorical),
    "polars Enum": pl.Series(G.tolist()).cast(pl.Enum(["a", "b", "c"])),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_text_and_categories(kind: str) -> None:
    design = build_design("y ~ g * x1", {"g": LEVELS[kind], "x1": X1, "y": Y})
    want = build_design("y ~ g * x1", base())
    assert design.spec.names == want.spec.names
    np.testing.assert_array_equal(design.X, want.X)


def test_arrow_tables() -> None:
    pa = pytest.importorskip("pyarrow")
    types = {"g": pa.large_string(), "x1": pa.decimal128(20, 10), "y": pa.bool_(), "k": pa.int16()}
    d = base().assign(y=Y == 1, x1=[Decimal(str(v)) for v in X1])
    arrow = pd.DataFrame({c: pd.array(d[c], dtype=pd.ArrowDtype(t)) for c, t in types.items()})
    want = build_design("y ~ x1 + g + C(k)", base())
    got = build_design("y ~ x1 + g + C(k)", arrow)
    assert got.spec.names == want.spec.names
    np.testing.assert_array_equal(got.X, want.X)
    np.testing.assert_array_equal(got.y, want.y)
    words = pd.array(d.g, dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    np.testing.assert_array_equal(build_design("y ~ x1 + g + C(k)", base().assign(g=words)).X, want.X)


@pytest.mark.parametrize(
    "flag",
    [
        WHOLE > 1,
        (WHOLE > 1).tolist(),
        (WHOLE > 1).astype(object),
        pd.array(WHOLE > 1, dtype="boolean"),
        pd.array(WHOLE > 1, dtype="bool[pyarrow]"),
        pl.Series(WHOLE > 1),
    ],
)
def test_bools_are_zero_one(flag: object) -> None:
    d = {"flag": flag, "x1": X1, "y": Y}
    design = build_design("y ~ flag + I(flag & (x1 > 0)) + C(flag)", d)
    assert design.spec.names == ("Intercept", "flag", "I(flag & (x1 > 0))", "C(flag)[T.True]")
    np.testing.assert_array_equal(design.X[:, 1], WHOLE > 1)
    np.testing.assert_array_equal(design.X[:, 2], (WHOLE > 1) & (X1 > 0))


def test_category_order_is_kept_and_intervals_are_levels() -> None:
    d = base().assign(g=pd.Categorical(G, categories=["c", "a", "b"]), cut=pd.cut(X1, [-9, 0, 9]))
    assert build_design("y ~ g", d).spec.names == ("Intercept", "g[T.a]", "g[T.b]")
    assert build_design("y ~ cut", d).spec.names == ("Intercept", "cut[T.(0, 9]]")
    e = pl.DataFrame({"g": G, "y": Y}).with_columns(pl.col("g").cast(pl.Enum(["c", "a", "b"])))
    assert build_design("y ~ g", e).spec.names == ("Intercept", "g[T.a]", "g[T.b]")


MISSING = {
    "float NaN": hole(X1, np.nan),
    "object None": pd.array(hole(X1, None), dtype=object),
    "object NA": pd.array(hole(X1, pd.NA), dtype=object),
    "object NaT": pd.array(hole(X1, pd.NaT), dtype=object),
    "Float64 NA": pd.array(hole(X1, pd.NA), dtype="Float64"),
    "arrow null": pd.array(hole(X1, None), dtype="double[pyarrow]"),
    "Decimal None": hole([Decimal(str(v)) for v in X1], None),
    "Sparse": pd.arrays.SparseArray(np.array(hole(X1, np.nan), dtype=float)),
    "masked": np.ma.masked_array(X1, mask=np.arange(N) == 3),
    "polars null": pl.Series(hole(X1, None), dtype=pl.Float64),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_numbers_drop_the_row_and_are_counted(kind: str) -> None:
    d = base()
    want = build_design("y ~ x1 + g", d.drop(index=3))
    design = build_design("y ~ x1 + g", {"x1": MISSING[kind], "g": G, "y": Y})
    np.testing.assert_array_equal(design.X, want.X)
    assert design.rows.given == N
    assert design.rows.used == N - 1
    assert design.rows.missing == {"x1": 1}
    assert 3 not in design.kept


MISSING_LEVELS = {
    "None": pd.array(hole(G, None), dtype=object),
    "NaN": pd.array(hole(G, np.nan), dtype=object),
    "inferred": pd.Series(hole(G, None)),
    "string": pd.array(hole(G, pd.NA), dtype="string"),
    "category": pd.Categorical(hole(G, None)),
    "list": hole(G, None),
    "masked": np.ma.masked_array(G, mask=np.arange(N) == 3),
    "polars": pl.Series(hole([str(v) for v in G], None)),
    "polars Categorical": pl.Series(hole([str(v) for v in G], None)).cast(pl.Categorical),
    "polars int": None,
}


@pytest.mark.parametrize("kind", MISSING_LEVELS)
def test_missing_levels_drop_the_row(kind: str) -> None:
    if kind == "polars int":
        table = pl.DataFrame({"k": pl.Series(hole([int(v) for v in WHOLE], None)), "y": Y})
        design = build_design("y ~ C(k)", table)
        assert design.spec.names[-1] == "C(k)[T.4]"
    else:
        design = build_design("y ~ x1 + g", {"x1": X1, "g": MISSING_LEVELS[kind], "y": Y})
        np.testing.assert_array_equal(design.X, build_design("y ~ x1 + g", base().drop(index=3)).X)
    assert design.rows.used == N - 1


def test_integers_beyond_int64_are_numbers() -> None:
    big = [int(v * 64) * 10**22 for v in X1]
    X = build_design("y ~ x1", {"x1": big, "y": Y}).X
    np.testing.assert_array_equal(X[:, 1], np.array([float(b) for b in big]))
    huge = (X1 * 1e18).astype("int64")
    np.testing.assert_array_equal(build_design("y ~ x1", {"x1": huge, "y": Y}).X[:, 1], huge.astype(float))


DATES = pd.date_range("2000", periods=N)
BAD_COLUMNS = {
    "datetime": (DATES, "date.*datetime64"),
    "datetime tz": (DATES.tz_localize("UTC"), "date"),
    "timedelta": (DATES - DATES[0], "date|time"),
    "period": (DATES.to_period("M"), "date"),
    "python dates": ([datetime.date(2000, 1, 1)] * N, "date"),
    "timestamps": (np.array(DATES.to_pydatetime(), dtype=object), "date"),
    "arrow timestamp": (pd.array(DATES, dtype="timestamp[ns][pyarrow]"), "date"),
    "polars date": (pl.Series([datetime.date(2000, 1, 1)] * N), "date"),
    "polars datetime": (pl.Series([datetime.datetime(2000, 1, 1)] * N), "date"),
    "complex": (X1 + 1j, "complex"),
    "complex objects": ((X1 + 1j).astype(object), "complex"),
    "lists": ([[1, 2]] * N, "nested"),
    "arrays": ([np.zeros(2)] * N, "nested"),
    "dicts": ([{"a": 1}] * N, "nested"),
    "polars list": (pl.Series([[1, 2]] * N), "nested"),
    "polars struct": (pl.Series([{"a": 1}] * N), "nested"),
    "mixed": (hole(X1, "text"), "mixes"),
    "mixed ints": (hole([1] * N, "text"), "mixes"),
    "bytes": ([b"a", b"b"] * (N // 2), "bytes"),
    "numbers as text": ([f"{v:.6f}" for v in RNG.normal(size=N)], "numbers as text.*to_numeric"),
    "numbers as text with NA": ([*(f"{v:.3f}" for v in RNG.normal(size=N - 1)), "n/a"], "numbers as text"),
    "numbers as category": (pd.Categorical([f"{v:.6f}" for v in RNG.normal(size=N)]), "numbers as text"),
    "one level": (["only"] * N, "one level.*only"),
    "inf": (hole(X1, np.inf), "inf in 1 row .first: 3"),
    "-inf": (hole(X1, -np.inf), "inf"),
    "inf object": (pd.array(hole(X1, np.inf), dtype=object), "inf"),
    "inf beyond float64": (hole(X1, 10**400), "float64"),
}


@pytest.mark.parametrize("kind", BAD_COLUMNS)
def test_bad_columns_are_named(kind: str) -> None:
    values, says = BAD_COLUMNS[kind]
    with pytest.raises(DataError, match=rf"(?s)(?=.*bad_one)(?=.*({says}))"):
        build_design("y ~ x1 + bad_one", {"x1": X1, "bad_one": values, "y": Y})


@pytest.mark.parametrize("kind", BAD_COLUMNS)
def test_bad_columns_do_not_matter_when_unused(kind: str) -> None:
    design = build_design("y ~ x1", {"x1": X1, "bad_one": BAD_COLUMNS[kind][0], "y": Y})
    np.testing.assert_array_equal(design.X[:, 1], X1)


BAD_TABLES = [
    (None, OptionError, "DataFrame.*dict.*NoneType"),
    (np.zeros((5, 2)), OptionError, "pd.DataFrame"),
    ([{"y": 1}], OptionError, "DataFrame"),
    ("y", OptionError, "DataFrame"),
    (pd.Series(X1, name="y"), OptionError, "to_frame"),
    (pl.DataFrame({"y": Y, "x1": X1}).lazy(), OptionError, "collect"),
    (pl.Series(X1), OptionError, "polars"),
    (pl.DataFrame({"y": Y, "x1": X1}).to_arrow(), OptionError, "to_pandas"),
    ({"y": Y, "x1": X1[:-1]}, DataError, "length.*'y': 60.*'x1': 59"),
    ({"y": Y, "x1": 1.0}, DataError, "x1.*equal length"),
    ({"y": Y, "x1": "abc"}, DataError, "x1"),
    ({"y": Y, "x1": np.zeros((N, 2))}, DataError, "x1.*one-dimensional"),
    ({"y": Y, "x1": np.float64(3)}, DataError, "x1"),
    ({"y": pd.Series(Y), "x1": pd.Series(X1, index=range(1, N + 1))}, DataError, "index"),
    ({"y": pd.Series(Y), "x1": pd.Series(X1).iloc[::-1]}, DataError, "index"),
    ({}, MissingColumnError, "'y'"),
    ({"y": [], "x1": []}, DataError, "no rows"),
    (pd.DataFrame({"y": [], "x1": []}), DataError, "no rows"),
    (pl.DataFrame({"y": [], "x1": []}), DataError, "no rows"),
    (pd.DataFrame(np.zeros((5, 2))), MissingColumnError, "'y'"),
    (pd.DataFrame(np.c_[X1, X1, Y], columns=["x1", "x1", "y"]), DataError, "x1.*duplicate"),
    (pd.DataFrame(np.c_[X1, Y, Y], columns=["x1", "y", "y"]), DataError, "y.*duplicate"),
    (
        pd.DataFrame(np.c_[X1, Y], columns=pd.MultiIndex.from_tuples([("x1", "a"), ("y", "b")])),
        OptionError,
        "flatten",
    ),
]


@pytest.mark.parametrize(("table", "error", "says"), BAD_TABLES)
def test_bad_tables(table: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=f"(?s){says}"):
        build_design("y ~ x1", table)


@pytest.mark.parametrize(
    "index",
    [
        np.zeros(N, int),
        pd.MultiIndex.from_arrays([np.arange(N) % 3, np.arange(N)]),
        pd.date_range("2000", periods=N),
        list("ab") * (N // 2),
        pd.Index([None] * N),
    ],
)
def test_any_index_works_by_position(index: object) -> None:
    d = base()
    d.loc[[4, 9], "x1"] = np.nan
    want = build_design("y ~ x1 + g", d)
    d.index = index  # type: ignore[assignment]
    design = build_design("y ~ x1 + g", d)
    np.testing.assert_array_equal(design.X, want.X)
    assert design.index.equals(d.index[design.kept])
    assert len(design.spec.matrix(d).index) == N


def test_duplicate_and_foreign_labels_do_not_matter_when_unused() -> None:
    d = pd.concat([base(), pd.DataFrame(np.zeros((N, 3)), columns=["dup", "dup", 7])], axis=1)
    assert build_design("y ~ x1", d).X.shape == (N, 2)
    with pytest.raises(MissingColumnError, match="not text"):
        build_design("y ~ `7`", d)
    with pytest.raises(DataError, match="labels are not text"):
        build_design("y ~ .", d)


def test_intercept_beside_the_intercept() -> None:
    d = base().rename(columns={"x1": "Intercept"})
    with pytest.raises(DisteconometricsError, match="'Intercept'"):
        build_design("y ~ Intercept + g", d)
    assert build_design("y ~ 0 + Intercept", d).spec.names == ("Intercept",)


def test_polars_needs_no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    want = build_design("flag ~ x1 + g + C(k)", base().assign(flag=Y == 1))
    d = pl.DataFrame({"x1": X1, "g": G.tolist(), "k": WHOLE, "flag": Y == 1})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    got = build_design("flag ~ x1 + g + C(k)", d)
    np.testing.assert_array_equal(got.X, want.X)
    assert got.spec.names == want.spec.names
    assert got.codes(["g", "k"])[1] == len({*zip(G, WHOLE, strict=True)})


OUTCOMES = {  # values, what is coded 1, label
    "int": (Y, Y == 1, "1"),
    "float": (Y.astype(float), Y == 1, "1"),
    "bool": (Y == 1, Y == 1, "True"),
    "boolean": (pd.array(Y == 1, dtype="boolean"), Y == 1, "True"),
    "object bool": ((Y == 1).astype(object), Y == 1, "True"),
    "object 0/1": (Y.astype(object), Y == 1, "1"),
    "Int8": (pd.array(Y, dtype="Int8"), Y == 1, "1"),
    "category 0/1": (pd.Categorical(Y), Y == 1, "1"),
    "category 1/0": (pd.Categorical(Y, categories=[1, 0]), Y == 1, "1"),
    "category with a third level": (pd.Categorical(Y, categories=[0, 1, 2]), Y == 1, "1"),
    "category of bool": (pd.Categorical(Y == 1), Y == 1, "True"),
    "text": (np.where(Y == 1, "yes", "no"), Y == 1, "yes"),
    "text 0/1": (Y.astype(str), Y == 1, "1"),
    "category by order": (pd.Categorical(np.where(Y == 1, "a", "b"), categories=["b", "a"]), Y == 1, "a"),
    "polars bool": (pl.Series(Y == 1), Y == 1, "True"),
    "polars text": (pl.Series(np.where(Y == 1, "yes", "no").tolist()), Y == 1, "yes"),
}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_binary_outcomes(kind: str) -> None:
    values, one, label = OUTCOMES[kind]
    design = build_design("y ~ x1", {"x1": X1, "y": values})
    np.testing.assert_array_equal(design.y, one)
    assert design.y.dtype == np.float64
    assert design.spec.outcome.success == label
    np.testing.assert_array_equal(design.spec.outcome_values({"y": values}), one)
    ahead = {"y": values[:5] if isinstance(values, (pl.Series, pd.Categorical)) else hole(values, None)[:5]}
    np.testing.assert_array_equal(design.spec.outcome_values(ahead)[[0, 1, 2, 4]], one[[0, 1, 2, 4]])


def test_outcome_expressions() -> None:
    d = base().assign(v=hole(X1, np.nan))
    for left in ("I(v > 0)", "(v > 0)", "v > 0", "{v > 0}", "I(g == 'a')", "C(g == 'a')"):
        design = build_design(f"{left} ~ k", d)
        want = (G == "a") if "g" in left else (X1 > 0)[np.arange(N) != 3]
        np.testing.assert_array_equal(design.y, want)
    again = build_design("I(v > 0) ~ k", d).spec
    assert again.outcome.name == "I(v > 0)"
    got = again.outcome_values(d)
    assert np.isnan(got[3])  # a comparison with a missing value stays missing
    np.testing.assert_array_equal(np.delete(got, 3), np.delete(X1 > 0, 3))


BAD_OUTCOMES = {
    "1/2": (Y + 1, "0/1.*two values.*1 and 2.*I\\(y == 2\\)"),
    "0/1/2": (np.arange(N) % 3, "0/1.*found 3"),
    "-1/1": (2 * Y - 1, "0/1"),
    "fractions": (np.linspace(0.1, 0.9, N), "0/1"),
    "0/0.5/1": (np.tile([0, 0.5, 1], N // 3), "0/1"),
    "three texts": (G, "two values.*'a', 'b', 'c'"),
    "three levels": (pd.Categorical(G), "two values"),
    "all 0": (np.zeros(N), "only one value.*0"),
    "all 1": (np.ones(N), "only one value.*1"),
    "all True": (np.ones(N, bool), "only one value.*True"),
    "one text": (["yes"] * N, "only one value.*yes"),
    "datetime": (DATES, "date"),
    "inf": (hole(Y.astype(float), np.inf), "inf"),
    "complex": (Y + 0j, "complex"),
}


@pytest.mark.parametrize("kind", BAD_OUTCOMES)
def test_bad_outcomes(kind: str) -> None:
    values, says = BAD_OUTCOMES[kind]
    with pytest.raises(DataError, match=rf"(?s)'y'.*({says})") as caught:
        build_design("y ~ x1", {"x1": X1, "y": values})
    assert isinstance(caught.value, OutcomeError) == (kind not in ("datetime", "inf", "complex"))


def test_numeric_outcomes() -> None:
    d = base().assign(wage=np.exp(X1))
    design = build_design("log(wage) ~ g", d, outcome="numeric")
    np.testing.assert_array_equal(design.y, np.log(d.wage))
    assert design.spec.outcome.success is None
    np.testing.assert_array_equal(design.spec.outcome_values(d), design.y)
    with pytest.raises(OutcomeError, match="text"):
        build_design("g ~ x1", d, outcome="numeric")
    with pytest.raises(OptionError, match="binary"):
        build_design("y ~ x1", d, outcome="count")
