"""Joint densities as products: files hold every factor, and rows come back to each."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics.archive import write_archive
from disteconometrics.errors import ConvergenceWarning, DataError, FileFormatError, OptionError

ENGEL = de.datasets.engel().assign(age=lambda d: np.arange(len(d)) % 40)
FEW = ENGEL.iloc[::3]
POINTS = np.array([[900.0, 600.0], [500.0, 400.0]])
NEW = {"age": [10.0, 30.0]}


def again(result: Any, change: Any = None) -> Any:
    header, arrays = result.whole_file()
    if change is not None:
        change(header, arrays)
    file = io.BytesIO()
    write_archive(file, result.file_kind, header, arrays)
    return de.load(io.BytesIO(file.getvalue()))


@pytest.fixture(scope="module")
def factors() -> Any:
    net = de.FlowDensity("foodexp ~ income", flow=de.RQS(4, hidden=(4,)), train=de.Adam(steps=5))
    with pytest.warns(ConvergenceWarning, match="still fell"):
        return de.joint(de.NormalRegression("income ~ age"), net).fit(ENGEL, seed=1)


@pytest.fixture(scope="module")
def pool() -> Any:
    missing = FEW.assign(foodexp=FEW.foodexp.where(FEW.index > 3))
    return de.FlowDensity("income + foodexp ~ age", base="normal").fit(missing), missing


def test_a_file_holds_every_factor(factors: Any) -> None:
    back = again(factors)
    assert back.model == factors.model
    assert back.spec.outcomes == factors.spec.outcomes == ("income", "foodexp")
    ours, theirs = (r.distribution(NEW).logpdf(POINTS) for r in (factors, back))
    np.testing.assert_array_equal(ours, theirs)
    assert [type(p) for p in back.parts] == [type(p) for p in factors.parts]
    assert back.parts[0].rows is None


def test_a_pool_is_loaded_with_its_orders_and_weights(pool: Any) -> None:
    res, rows = pool
    back = again(res)
    assert back.model == res.model == de.FlowDensity("income + foodexp ~ age", base="normal")
    assert back.trials.equals(res.trials)
    assert back.facts == res.facts or back.facts.dropped == res.facts.dropped == {"foodexp": 2}
    assert [p.weight for p in back.products] == [p.weight for p in res.products]
    assert str(back.summary()) == str(res.summary())
    np.testing.assert_array_equal(back.distribution(NEW).logpdf(POINTS), res.distribution(NEW).logpdf(POINTS))
    whole = back.attach(rows)
    assert whole.pooled_loglik == res.llf
    for part, own in zip(whole.parts, res.parts, strict=True):
        np.testing.assert_array_equal(part.effects()["age"].values, own.effects()["age"].values)


def test_rows_of_another_table_are_refused(factors: Any) -> None:
    back = again(factors)
    assert back.attach(ENGEL).parts[1].rows.size == len(ENGEL)
    with pytest.raises(DataError, match="rows of the fit"):
        back.attach(ENGEL.iloc[:-1])


@pytest.mark.parametrize(
    "change",
    [
        lambda h, a: h["products"][0].update(parts=[0, 2]),
        lambda h, a: h["products"][0].update(parts=[-1, 0]),
        lambda h, a: h["products"][0].update(parts=[]),
        lambda h, a: h.update(products=[]),
        lambda h, a: h["parts"][0].update(kind="Nothing"),
        lambda h, a: h["parts"].pop(),
        lambda h, a: h.pop("trials"),
        lambda h, a: a.update(part0_params=np.ones(1)),
    ],
)
def test_parts_that_do_not_fit_are_refused(factors: Any, change: Any) -> None:
    with pytest.raises(FileFormatError, match="not a valid JointDensity file"):
        again(factors, change)


def test_several_outcomes_are_not_checked_by_simulation(factors: Any) -> None:
    with pytest.raises(OptionError, match="for one outcome"):
        factors.monte_carlo(2)
