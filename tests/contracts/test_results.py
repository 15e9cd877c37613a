"""What every fitted result obeys, whatever estimator it came from: one table of results, one list of laws."""

from __future__ import annotations

import inspect
import io
import re
import warnings
from contextlib import suppress
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from results_table import RESULTS, fitted, table

import disteconometrics as de
from disteconometrics.errors import DataError, DisteconometricsError, NeedsData, NeedsRows, OptionError
from disteconometrics.estimators.loading import KINDS
from disteconometrics.estimators.results import FitFacts, FittedResult

SAME = 1e-9  # of the largest estimate: sums over rows in another order


@pytest.fixture(params=RESULTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def loaded(result: Any) -> Any:
    file = io.BytesIO()
    result.save(file)
    return de.load(io.BytesIO(file.getvalue()))


def quietly(call: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def numbers(result: Any) -> Any:
    e = result.estimates
    return np.column_stack([e.values, e.std_error, e.interval(0.95)])


# ---- the class ---------------------------------------------------------------------------------------------


def test_the_table_has_every_kind_of_file_and_class() -> None:
    answers = {"Bootstrap", "Margins", "MonteCarlo"}  # saved, but no results of an estimator
    assert {fitted(n).file_kind for n in RESULTS} == set(KINDS) - answers


def test_it_is_a_final_frozen_class_on_the_one_base(name: str) -> None:
    result = fitted(name)
    assert isinstance(result, FittedResult)
    assert isinstance(result.facts, FitFacts)
    assert FittedResult in type(result).__bases__
    assert type(result).__subclasses__() == []
    with pytest.raises(AttributeError):
        result.facts = None


def test_its_specification_is_a_value(name: str) -> None:
    model = RESULTS[name].model()
    assert fitted(name).model == model
    assert hash(fitted(name).model) == hash(model)
    assert set(vars(model)) == {f.name for f in fields(model)}
    assert "formula" not in vars(model) or repr(model.formula) in repr(model)


# ---- tables ------------------------------------------------------------------------------------------------


def test_it_prints_in_three_forms(name: str) -> None:
    result = fitted(name)
    summary = result.summary()
    text = str(summary)
    assert str(result) == text
    assert re.fullmatch(r"<.*>", repr(result))
    assert max(map(len, text.splitlines())) <= 100
    assert summary.as_html().startswith("<")
    assert "\\begin{" in summary.as_latex()
    assert result._repr_html_() == summary.as_html()
    assert repr(result).startswith("<")
    assert repr(result).endswith(">")


WORDS = (
    *("summary", "tidy", "glance", "as_latex", "as_markdown", "plot", "save", "test", "nlcom", "predict"),
    *("distribution", "lr_test", "margins", "plot_effect", "plot_fan"),
)


def without(words: dict[str, str] | Any) -> str:
    """What is neither there nor explained of an object."""
    said = []
    for word in WORDS:
        try:
            getattr(words, word)
        except AttributeError as error:
            if not re.search(r"has no \w+: \w.{8}|it is called '\w", str(error)):
                said.append(f"{word}: {error}")
    return "; ".join(said)


def test_what_others_have_it_has_or_says_why_not(name: str) -> None:
    result = fitted(name)
    assert without(result) == ""
    for word in ("summary", "tidy", "glance", "plot", "save", "test"):
        assert hasattr(result, word)


def others() -> dict[str, Any]:
    logit, flow = fitted("Logit"), fitted("FlowDensity")
    check = logit.monte_carlo(20, seed=1)
    drawn = de.bootstrap(de.Logit("GRADE ~ GPA"), table("spector"), reps=50, seed=1)
    found = {type(x).__name__: x for x in (logit.margins(), drawn, check, check.study, flow.effects())}
    for x in (
        logit.roc(),
        logit.calibration(),
        logit.hosmer_lemeshow(),
        logit.influence(),
        logit.test("GPA"),
    ):
        found[type(x).__name__] = x
    for x in (logit.classification(), flow.functionals(["mean"]), logit.summary(), de.compare([logit])):
        found[type(x).__name__] = x
    crossed = fitted("NormalRegression").with_cov("HC1").counterfactual(table("engel").head(50))
    process = fitted("DistributionRegression").process("income")
    cv = de.cross_validate(de.NormalRegression("foodexp ~ income"), table("engel"), folds=3, seed=1)
    return found | {"Counterfactual": crossed, "CoefficientProcess": process, "CrossValidation": cv}


def test_what_results_give_has_the_same_words_or_says_why_not() -> None:
    found = others()
    assert {name: lost for name, x in found.items() if (lost := without(x))} == {}
    for name in ("MarginsResults", "BootstrapResults", "SelfCheck", "MonteCarloResults"):
        assert all(hasattr(found[name], word) for word in ("summary", "tidy", "plot", "save")), name


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_it_prints_on_any_terminal(name: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fitted(name)
    shown = (result, result.summary(), repr(result), result.model, result.estimates, result.tidy())
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    for what in shown:
        print(what)


def test_its_table_is_read_in_all_words(name: str) -> None:
    result, e = fitted(name), fitted(name).estimates
    assert result.tidy()["term"].tolist() == list(e.names) == result.params.index.tolist()
    np.testing.assert_array_equal(result.params, e.values)
    np.testing.assert_array_equal(result.bse, e.std_error)
    np.testing.assert_array_equal(result.conf_int(), e.interval(0.95))
    assert result.model.exog_names == list(result.labels()[1])
    assert result.model.endog_names == result.labels()[0]
    assert result.nobs > 0


# ---- rows --------------------------------------------------------------------------------------------------


def test_a_saved_one_has_the_same_numbers_and_no_rows(name: str) -> None:
    result = fitted(name)
    back = loaded(result)
    assert type(back) is type(result)
    assert back.rows is None
    np.testing.assert_array_equal(numbers(back), numbers(result))
    if not RESULTS[name].shown:
        assert str(back.summary()) == str(result.summary())
    assert back.facts.given == result.facts.given
    with pytest.raises(NeedsData):
        back.data_rows()


def test_its_rows_can_be_given_back(name: str) -> None:
    result, case = fitted(name), RESULTS[name]
    back = loaded(result)
    if case.attached:
        with pytest.raises(NeedsData):
            back.attach(table(case.data))
        return
    again = quietly(lambda: back.attach(table(case.data)))
    assert again.rows is not None
    np.testing.assert_allclose(numbers(again), numbers(result), rtol=1e-6, atol=1e-8)
    others = table(case.data).iloc[: len(table(case.data)) * 3 // 4]
    with pytest.raises(DataError, match="does not hold the rows"):
        quietly(lambda: back.attach(others))


def test_rows_in_another_order_give_the_same_numbers(name: str) -> None:
    case = RESULTS[name]
    if case.drawn:
        pytest.skip(case.drawn)
    shuffled = table(case.data).sample(frac=1.0, random_state=7)
    again = quietly(lambda: case.model().fit(shuffled, **case.options))
    ours, theirs = fitted(name).estimates, again.estimates
    scale = np.abs(ours.values[np.isfinite(ours.values)]).max(initial=1.0)
    np.testing.assert_allclose(theirs.values, ours.values, rtol=1e-6, atol=SAME * scale)


# ---- answers -----------------------------------------------------------------------------------------------


def test_another_covariance_changes_errors_only(name: str) -> None:
    result, cov = fitted(name), RESULTS[name].cov
    if cov is None:
        assert not hasattr(result, "with_cov") or name == "Logit, Firth"
        return
    other = quietly(lambda: result.with_cov(cov))
    np.testing.assert_array_equal(other.estimates.values, result.estimates.values)
    assert other.rows is result.rows
    assert other is not result


def test_it_is_checked_by_simulation_or_says_why_not(name: str) -> None:
    result, case = fitted(name), RESULTS[name]
    if case.checked:
        with pytest.raises(DisteconometricsError):
            result.monte_carlo(2, seed=1)
        return
    check = quietly(lambda: result.monte_carlo(case.reps, seed=1, progress=False))
    assert {"truth", "bias", "coverage"} <= set(check.table().columns)
    once = quietly(lambda: result.monte_carlo(1, seed=1, progress=False))  # no spread, so no errors
    for shown in (check, once):
        assert "nothing is wrong" in repr(shown) or "trouble" in repr(shown)
        for text in (str(shown), shown._repr_html_(), str(shown.study), shown.study._repr_html_()):
            assert "nan" not in text


def test_a_picture_that_it_does_not_have_is_refused_with_those_it_has(name: str) -> None:
    result = fitted(name)
    with pytest.raises(OptionError, match="no picture"):
        result.plot("portrait")
    assert isinstance(result.pictures, tuple)


# ---- refusals ----------------------------------------------------------------------------------------------


def test_data_in_the_specification_are_refused_with_the_line_to_write(name: str) -> None:
    model = RESULTS[name].model()
    if "data" not in inspect.signature(type(model)).parameters:
        return
    with pytest.raises(OptionError, match="fit"):
        type(model)(model.formula, table("engel"))


def test_a_source_gives_the_fit_of_its_table_or_names_the_door(name: str) -> None:
    case, d = RESULTS[name], table(RESULTS[name].data)
    halves = de.Parts(lambda: [d[: len(d) // 2], d[len(d) // 2 :]])
    found: Any = None
    with suppress(NeedsRows):
        found = quietly(lambda: case.model().fit(halves, **case.options))
    if found is None:
        with pytest.raises(NeedsRows, match="read_parquet"):
            case.model().fit(halves, **case.options)
        return
    ours, theirs = numbers(found), numbers(fitted(name))
    assert found.estimates.names == fitted(name).estimates.names
    if found.rows is not None and getattr(found.rows, "streamed", False):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_missing_columns_and_empty_tables_are_refused(name: str) -> None:
    case = RESULTS[name]
    with pytest.raises(DisteconometricsError):
        case.model().fit(pd.DataFrame({"another": [1.0, 2.0]}), **case.options)
    with pytest.raises(DisteconometricsError):
        case.model().fit(table(case.data).iloc[:0], **case.options)
