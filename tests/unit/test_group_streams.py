"""Groups from sources: few rows give the fit of the table, many give it to within what is said."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import DataError, MissingColumnError, NeedsRows, OptionError, OutcomeError
from disteconometrics.estimators.transport import group_source, groups
from disteconometrics.inference import two_samples as two
from disteconometrics.transport import one_dim
from disteconometrics.transport.histogram import Filling, distance_error
from disteconometrics.transport.sorting import Bins

N = 900
RNG = np.random.default_rng(8)
TABLE = pd.DataFrame({"y": np.exp(RNG.uniform(-1, 1, N)), "g": RNG.choice(["b", "a"], N)})
TABLE["y"] *= np.where(TABLE.g == "a", 1.3, 1.0)
TABLE["k"], TABLE["w"] = RNG.integers(0, 3, N), RNG.integers(0, 4, N)
TABLE["firm"] = np.arange(N) // 10 * 2 + (TABLE.g == "a")
TABLE = TABLE.sample(frac=1, random_state=1, ignore_index=True)


def cut(**columns: Callable[[pd.DataFrame, int], Any]) -> list[pd.DataFrame]:
    """Four parts, one of them empty; columns are made of a part and its number."""
    parts = [TABLE[a:b].reset_index(drop=True) for a, b in ((0, 250), (250, 250), (250, 600), (600, N))]
    return [p.assign(**{n: f(p, i) for n, f in columns.items()}) for i, p in enumerate(parts)]


def holes(p: pd.DataFrame, i: int) -> Any:
    return p.y.where(p.index % 7 > 0) if i == 2 else p.y


AWKWARD: dict[str, tuple[str, list[pd.DataFrame], dict[str, Any]]] = {
    "plain": ("y ~ g", cut(), {}),
    "a transform": ("log(y) ~ g", cut(), {}),
    "missing outcomes": ("y ~ g", cut(y=holes), {}),
    "missing groups": ("y ~ g", cut(g=lambda p, i: p.g.where(p.index % 9 > 0)), {}),
    "a group in one part alone": ("y ~ g", cut(g=lambda p, i: np.where(p.index % 5 == i, "c", p.g)), {}),
    "categories in their order": (
        "y ~ g",
        cut(g=lambda p, i: pd.Categorical(p.g, categories=["b", "no", "a"])),
        {},
    ),
    "other categories by part": (
        "y ~ g",
        cut(g=lambda p, i: pd.Categorical(p.g, list(["ab", "ba"][i % 2]))),
        {},
    ),
    "a group all missing in one part": ("y ~ g", cut(g=lambda p, i: None if i == 0 else p.g), {}),
    "whole and decimal groups": ("y ~ k", cut(k=lambda p, i: p.k.astype(float) if i == 2 else p.k), {}),
    "true and false": ("y ~ g", cut(g=lambda p, i: p.g == "a"), {}),
    "frequency weights": ("y ~ g", cut(), {"weights": "w", "weight_type": "frequency"}),
    "standardised by frequency": (
        "y ~ g",
        cut(),
        {"weights": "w", "weight_type": "frequency", "scale": "std"},
    ),
}
OF_ROWS: dict[str, tuple[str, list[pd.DataFrame], dict[str, Any]]] = {
    "clusters": ("y ~ g", cut(), {"cluster": "firm"}),
    "sampling weights": ("y ~ g", cut(), {"weights": "w", "weight_type": "sampling"}),
    "joint outcomes": ("y + k ~ g", cut(), {}),
    "a transform that learns": ("scale(y) ~ g", cut(), {}),
}


def fitted(formula: str, data: Any, options: dict[str, Any], p: float = 2) -> Any:
    given = {k: v for k, v in options.items() if k != "cluster"}
    model = de.WassersteinDistance(formula, p=p, permutations=0, **given)
    return model.fit(data, cluster=options.get("cluster"), seed=1)


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_source, "MOST_KEPT", 300)
    monkeypatch.setattr(group_source, "BINS", 2_000)  # several rows each


@pytest.mark.parametrize("name", [*AWKWARD, *(name for name in OF_ROWS if name != "joint outcomes")])
def test_few_rows_give_the_fit_of_the_table(name: str) -> None:
    formula, parts, options = (AWKWARD | OF_ROWS)[name]
    table = pd.concat([p for p in parts if len(p)], ignore_index=True)
    if name.startswith("categories"):
        table["g"] = pd.Categorical(table.g, parts[0].g.cat.categories)
    ours, theirs = fitted(formula, de.Parts(lambda: parts), options), fitted(formula, table, options)
    pd.testing.assert_frame_equal(ours.table(), theirs.table(), check_exact=True)
    assert ours.fingerprint() == theirs.fingerprint()
    assert str(ours.summary()).replace("\nThe source was read once.", "") == str(theirs.summary())


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.usefixtures("few_kept")
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.HeavyTailWarning")
def test_many_rows_give_it_to_within_what_is_said(name: str) -> None:
    formula, parts, options = AWKWARD[name]
    table = pd.concat([p for p in parts if len(p)], ignore_index=True)
    if name.startswith("categories"):
        table["g"] = pd.Categorical(table.g, parts[0].g.cat.categories)
    for p in (1, 2, 3, np.inf):
        ours, theirs = (
            fitted(formula, de.Parts(lambda: parts), options, p),
            fitted(formula, table, options, p),
        )
        assert ours.nobs == theirs.nobs
        assert (ours.facts.given, ours.facts.dropped) == (theirs.facts.given, theirs.facts.dropped)
        assert [q.groups for q in ours.pairs] == [q.groups for q in theirs.pairs]
        assert [q.sizes for q in ours.pairs] == [q.sizes for q in theirs.pairs]
        for q, r in zip(ours.pairs, theirs.pairs, strict=True):
            assert abs(q.values[0] - r.values[0]) <= q.width + 1e-12
            if p == 1:
                assert q.width < 1e-3
            np.testing.assert_allclose(
                np.diagonal(q.covariance), np.diagonal(r.covariance), rtol=0.05, equal_nan=True
            )
            np.testing.assert_allclose(q.mean_difference, r.mean_difference, rtol=1e-4)
            np.testing.assert_allclose([q.degrees, q.five], [r.degrees, r.five], rtol=0.01)
    assert "The source was read 2 times" in str(ours.summary())


@pytest.mark.usefixtures("few_kept")
def test_quantile_effects_of_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_source, "BINS", 6_000)  # of more rows in one the mass would count as a heap
    for i, part in enumerate(cut()):
        part.to_parquet(tmp_path / f"{i}.parquet")
    ours, theirs = de.TransportMap("y ~ g").fit(tmp_path), de.TransportMap("y ~ g").fit(TABLE)
    assert ours.facts.width < 0.01
    np.testing.assert_allclose(ours.qte().estimate, theirs.qte().estimate, atol=ours.facts.width + 1e-12)
    np.testing.assert_allclose(ours.qte(), theirs.qte(), atol=0.004)
    np.testing.assert_allclose(ours.map([1.0, 2.0]), theirs.map([1.0, 2.0]), atol=0.01)
    out = io.BytesIO()
    ours.save(out)
    loaded = de.load(io.BytesIO(out.getvalue()))
    assert str(loaded.summary()) == str(ours.summary())
    assert str(loaded.attach(tmp_path).qte()) == str(ours.qte())
    for call in (ours.counterfactual, lambda: ours.monte_carlo(5)):
        with pytest.raises(NeedsRows, match="a table"):
            call()


@pytest.mark.parametrize(
    ("formula", "options", "error", "says"),
    [
        *((f, o, NeedsRows, "table|make the column") for f, _, o in OF_ROWS.values()),
        ("y ~ nope", {}, MissingColumnError, "nope"),
        ("g ~ k", {}, OutcomeError, "In the frames of de.Parts: .*text"),
        ("y ~ firm", {}, DataError, "at most 12 groups"),
        ("log(y - 1000) ~ g", {}, DataError, "No complete rows|missing"),
    ],
)
@pytest.mark.usefixtures("few_kept")
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.MissingValuesWarning")
def test_what_many_rows_refuse(formula: str, options: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        fitted(formula, de.Parts(lambda: cut()), options)


@pytest.mark.parametrize("column", ["y", "g"])
@pytest.mark.usefixtures("few_kept")
def test_a_part_that_changes_between_the_readings_is_an_error(column: str) -> None:
    calls: list[int] = []

    def frames() -> list[pd.DataFrame]:
        calls.append(1)
        parts = cut()
        if len(calls) > 4:  # each reading asks for names of columns and for rows; the second is the third
            parts[2].loc[4, column] = parts[2][column].iloc[parts[2].g.ne(parts[2].g[4]).argmax()]
        return parts

    with pytest.raises(DataError, match="has changed since the first reading"):
        fitted("y ~ g", de.Parts(frames), {})


# ---- bounds and tests of bins ------------------------------------------------------------------------------

LAWS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "equal laws": lambda rng, n: rng.normal(size=n),
    "shift": lambda rng, n: rng.normal(size=n) + 0.4 * (n > 3000),
    "tails": lambda rng, n: rng.standard_t(2, size=n),
    "no moments": lambda rng, n: rng.standard_cauchy(size=n),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "a heap": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(size=n)),
    "a constant": lambda rng, n: np.full(n, 2.0 + (n > 3000)),
    "far from zero": lambda rng, n: 1e9 + rng.normal(size=n),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_distance_is_within_its_bound(law: str) -> None:
    rng = np.random.default_rng(3)
    for count in (3, 20, 400):
        x, y = LAWS[law](rng, 3000), LAWS[law](rng, 3500)
        filling = Filling(Bins.around(x[::7]), 2, count)
        for half in (slice(0, 1500), slice(1500, None)):
            filling.add(x[half], np.zeros(len(x[half]), np.intp))
            filling.add(y[half], np.ones(len(y[half]), np.intp))
        f, g = filling.histograms()
        both = f.joined(g)
        assert both.size == 6500
        assert both.counts @ both.means == pytest.approx(x.sum() + y.sum(), abs=1e-9 * np.abs([*x, *y]).sum())
        for p in (1, 1.5, 2, 3, np.inf):
            a, b = (two.GroupSample.counted(h.means, h.counts) for h in (f, g))
            found, exact = two.transport(a, b, p).distance, one_dim.wasserstein(x, y, p).distance
            slack = 1e-12 * max(np.abs(x).max(), np.abs(y).max())
            assert abs(found - exact) <= distance_error(f, g, p, found) * (1 + 1e-9) + slack


def test_a_bound_holds_for_values_at_the_ends_of_their_bins() -> None:
    """Where it is nearest: few rows, some in the middle, with the same counts and means as others."""
    rng = np.random.default_rng(1)
    ends = np.concatenate([[-4.0], Bins(0.0, 1.0).edges(5), [4.0]])
    places = np.sort(np.concatenate([ends[:-1] + 1e-9, ends[1:] - 1e-9, (ends[1:] + ends[:-1]) / 2]))
    for _ in range(300):
        x, y = rng.choice(places, rng.integers(2, 7)), rng.choice(places, rng.integers(2, 7))
        filling = Filling(Bins(0.0, 1.0), 2, 5)
        filling.add(np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)]))
        f, g = filling.histograms()
        for p in (1, 1.5, 2, 3, np.inf):
            a, b = (two.GroupSample.counted(h.means, h.counts) for h in (f, g))
            found, exact = two.transport(a, b, p).distance, one_dim.wasserstein(x, y, p).distance
            assert abs(found - exact) <= distance_error(f, g, p, found) * (1 + 1e-9) + 1e-9


def test_a_bound_is_no_less_than_what_bins_hide() -> None:
    """In one bin: half of x and half of y at its ends or in its middle, with the same means."""
    filling = Filling(Bins(0.0, 1.0), 2, 2)
    x, y = np.array([0.5, 0.5, 9.0]), np.array([0.0, 1.0, 9.0])
    filling.add(np.concatenate([x, y]), np.repeat([0, 1], 3))
    f, g = filling.histograms()
    assert f.means[1] == g.means[1]
    assert distance_error(f, g, 1, 0.0) >= one_dim.wasserstein(x, y, 1).distance > 0
    assert distance_error(f, g, 2, 0.0) >= one_dim.wasserstein(x, y, 2).distance


def test_statistics_of_counts_are_those_of_rows() -> None:
    rng = np.random.default_rng(0)
    z = np.round(rng.normal(size=80), 1)
    labels = two._labels(np.arange(80) < 30, None, 5, rng)
    values, at = np.unique(z, return_inverse=True)
    first = np.array([np.bincount(at[row], minlength=len(values)) for row in labels], dtype=float)
    for p in (1, 2, 1.5, np.inf):
        counted = two._Counted(values, np.bincount(at).astype(float), p)(first)
        for name, expected in two._Line(z, p)(labels).items():
            np.testing.assert_allclose(counted[name], expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_test_of_bins_has_the_p_values_of_the_test_of_rows(
    clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 1)), 0.08 + rng.normal(size=(450, 1))
    codes = (np.arange(300) // 3, np.arange(450) // 3) if clustered else (None, None)
    a, b = two.GroupSample(x, None, codes[0]), two.GroupSample(y, None, codes[1])
    for p in (1, 2):
        rows = two.permute(a, b, p, 999, np.random.default_rng(1))
        with monkeypatch.context() as few:
            few.setattr(two, "MOST_PERMUTED", 100)
            bins = two.permute(a, b, p, 999, np.random.default_rng(2))
        assert (rows.bins, bins.bins > 300) == (0, True)
        for name, q in rows.p_values.items():
            assert bins.statistics[name] == pytest.approx(rows.statistics[name], rel=1e-10)
            assert 0.02 < q < 0.98  # where an error would show
            # four standard errors of a difference of shares
            assert abs(bins.p_values[name] - q) < 4 * np.sqrt(2 * q * (1 - q) / 999)


@pytest.mark.usefixtures("few_kept")
def test_a_source_of_equal_laws_has_the_p_values_of_its_rows() -> None:
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"y": rng.gamma(3, size=2_000), "g": rng.integers(0, 2, 2_000)})
    model = de.WassersteinDistance("y ~ g", p=1)
    rows, bins = model.fit(table, seed=1).pairs[0], model.fit(de.Parts(lambda: [table]), seed=2).pairs[0]
    for name, q in rows.p_values.items():
        assert 0.02 < q < 0.98
        assert abs(bins.p_values[name] - q) < 4 * np.sqrt(2 * q * (1 - q) / rows.draws)


def test_many_rows_are_permuted_in_bins_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two, "MOST_PERMUTED", 100)
    res = de.WassersteinDistance("y ~ g", p=1, permutations=99).fit(TABLE, seed=1)
    q = res.pairs[0]
    assert 0 < q.moved < 1e-3
    assert f"99 permutations of means in {q.bins:,} bins, exact for i.i.d." in " ".join(
        str(res.summary()).split()
    )
    monkeypatch.setattr(two, "MOST_DRAWN", 800)
    with pytest.raises(OptionError, match="permutations=0"):
        de.WassersteinDistance("y ~ g", p=1).fit(TABLE, seed=1)


def test_frequency_weights_of_many_rows_are_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are they refused; one group may be below the limit."""
    counted = TABLE.assign(n=TABLE.w + 3 * (TABLE.g == "a"), y=TABLE.y.round(2))
    model = de.WassersteinDistance("y ~ g", weights="n", weight_type="frequency", permutations=99)
    rows = model.fit(counted, seed=1)
    monkeypatch.setattr(groups, "MOST_ROWS", 1_500)
    monkeypatch.setattr(two, "MOST_PERMUTED", 100)
    res = model.fit(counted, seed=1)
    assert [s.counts is None for s in res.data_rows().samples] == [False, True]
    np.testing.assert_allclose(res.params, rows.params, rtol=1e-9)
    np.testing.assert_allclose(res.bse, rows.bse, rtol=1e-9)
    np.testing.assert_allclose(res.pairs[0].mean_difference, rows.pairs[0].mean_difference, rtol=1e-9)
    assert res.pairs[0].five == pytest.approx(rows.pairs[0].five)
    effects = de.TransportMap("y ~ g", weights="n", weight_type="frequency").fit(counted).qte()
    monkeypatch.undo()
    full = de.TransportMap("y ~ g", weights="n", weight_type="frequency").fit(counted).qte()
    np.testing.assert_allclose(effects, full, rtol=1e-9)
    with pytest.raises(NeedsRows, match="counts by value"):
        res.monte_carlo(5)
