"""Every picture that a result or a study lists is a public name that draws on given Axes with its numbers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from results_table import RESULTS, fitted, table

import disteconometrics as de
from disteconometrics import plots
from disteconometrics.errors import OptionError
from disteconometrics.simulate.results import MonteCarloResults

ALONG_A_VARIABLE = {"effect", "quantile_fan", "quantile_effects"}
REFUSED = {
    ("TransportDensity", "loss"): "Nothing was trained",
    ("TransportDensity, given", "learned"): "The law has",
}


@pytest.fixture(autouse=True)
def _no_figure() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def words_of(result: Any) -> list[str]:
    return [*result.pictures, *result.kinds]


def arguments(result: Any, picture: str) -> tuple[Any, ...] | None:
    """What a picture is told besides the result, None where the result has nothing to tell."""
    if picture not in ALONG_A_VARIABLE:
        return ()
    return tuple(result.spec.variables[:1]) or None


def draws(call: Any) -> None:
    """A picture draws on the Axes given, opens no figure, and keeps the numbers behind it."""
    figure, given = plt.subplots()
    drawn = call(given)
    assert drawn is given
    assert given.has_data()
    assert given.get_xlabel()
    assert isinstance(given.data, pd.DataFrame)
    assert len(given.data)
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.AtMassWarning")  # some levels are near a mass
@pytest.mark.parametrize("name", RESULTS)
def test_pictures_of_a_result(name: str) -> None:
    result = fitted(name)
    assert result.pictures
    for word in words_of(result):
        picture = result.kinds.get(word, word)
        assert picture in plots.__all__
        told = arguments(result, picture)
        if (name, picture) in REFUSED:
            with pytest.raises(OptionError, match=REFUSED[name, picture]):
                result.plot(word)
            assert plt.get_fignums() == []
        elif told is not None:
            draws(lambda ax, word=word, told=told: result.plot(word, *told, ax=ax))
            plt.close("all")


@pytest.mark.parametrize("name", RESULTS)
def test_shorter_words_are_those_of_pictures(name: str) -> None:
    kind = type(fitted(name))
    assert set(kind.kinds.values()) <= set(kind.pictures)
    assert not set(kind.kinds) & set(kind.pictures)


@pytest.fixture(scope="module")
def study() -> MonteCarloResults:
    def draw(rng: np.random.Generator, n: int) -> Any:
        return rng.normal(1.0, 1.0, n)

    def mean(sample: Any) -> dict[str, tuple[float, float]]:
        return {"mu": (sample.mean(), sample.std(ddof=1) / np.sqrt(len(sample)))}

    return de.MonteCarlo(draw, mean, grid={"n": [20, 40]}, truth={"mu": 1.0}).run(reps=20, seed=1)


@pytest.mark.parametrize("kind", MonteCarloResults.pictures)
def test_pictures_of_a_study(study: MonteCarloResults, kind: str) -> None:
    assert kind in plots.__all__
    cell = {"cell": "n=20"} if kind in ("zip", "standard_errors") else {}
    draws(lambda ax: study.plot(kind, ax=ax, **cell))


def test_names_are_listed_once_and_are_those_of_the_files() -> None:
    files = {m.name for m in pkgutil.iter_modules(plots.__path__)} - {"style"}
    modules = [importlib.import_module(f"disteconometrics.plots.{name}") for name in files]
    names = [name for module in modules for name in module.__all__]
    assert sorted(names) == plots.__all__
    for name in names:
        parameters = inspect.signature(getattr(plots, name)).parameters
        assert {"ax", "axes"} & set(parameters), name


def test_a_picture_takes_whatever_has_what_it_draws() -> None:
    normal = fitted("NormalRegression")
    draws(lambda ax: plots.quantile_fan(normal, "income", ax=ax))
    plt.close("all")
    draws(lambda ax: plots.conditional_densities(normal, {"income": [500.0, 900.0]}, ax=ax))
    plt.close("all")
    draws(lambda ax: plots.coefficients(normal.estimates, ax=ax))
    plt.close("all")
    trained = fitted("TransportDensity, net")
    draws(lambda ax: plots.samples(trained, table("engel"), m=50, ax=ax))
