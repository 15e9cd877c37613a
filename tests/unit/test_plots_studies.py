"""Pictures of studies: the numbers behind them, one figure each,
and clear words where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import OptionError, WithheldError

PICTURES = (de.plots.zipper, de.plots.standard_errors, de.plots.lollipop, de.plots.nested_loop)


def draw(rng: np.random.Generator, n: int, sd: float) -> np.ndarray:
    return rng.normal(1.0, sd, n)


def mean(d: np.ndarray) -> dict[str, tuple[float, float]]:
    return {"mu": (d.mean(), d.std(ddof=1) / np.sqrt(len(d)))}


@pytest.fixture(scope="module")
def mc():
    study = de.MonteCarlo(
        draw,
        {"mean": mean, "median": lambda d: {"mu": float(np.median(d))}},
        grid={"n": [20, 80], "sd": [1, 2]},
        truth={"mu": 1.0},
    )
    return study.run(reps=120, seed=1)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_the_numbers_are_those_of_the_study(mc) -> None:
    values, cell = mc.numbers("n=80, sd=2").values[:, 0], "n=80, sd=2"
    zipped = de.plots.zipper(mc, cell=cell).data
    assert len(zipped) == 120
    assert zipped.covers.mean() == mc.table().loc[(cell, "mean", "mu"), "coverage"]
    far = np.sort(np.abs(values[:, 0] - 1) / values[:, 1])
    np.testing.assert_allclose(
        np.abs((zipped.conf_low + zipped.conf_high) / 2 - 1)
        / ((zipped.conf_high - zipped.conf_low) / 2 / 1.959964),
        far,
        rtol=1e-6,
    )
    assert zipped.covers.iloc[: int(zipped.covers.sum())].all()  # those that miss are on top
    np.testing.assert_array_equal(
        de.plots.standard_errors(mc, cell=cell).data[["estimate", "std_error"]], values[:, :2]
    )
    for picture in (de.plots.lollipop, de.plots.nested_loop):
        data = picture(mc, "bias").data
        assert data.value.tolist() == mc.table()["bias"].tolist()
        assert data.estimator.tolist() == ["mean", "median"] * 4


def test_pictures_take_axes_and_open_one_figure(mc) -> None:
    for picture in PICTURES:
        more = {"cell": "n=20, sd=1"} if picture in PICTURES[:2] else {}
        before = len(plt.get_fignums())
        axes = picture(mc, **more)
        assert len(plt.get_fignums()) == before + 1
        axes.figure.canvas.draw()
        given = plt.subplots()[1]
        assert picture(mc, ax=given, **more) is given


def test_a_few_intervals_far_out_do_not_hide_the_others(mc) -> None:
    def wild(rng: np.random.Generator) -> np.ndarray:
        return rng.normal(1, 1, 40) + (rng.random() < 0.02) * np.eye(40)[0] * 1e3

    ax = de.plots.zipper(de.MonteCarlo(wild, mean, truth={"mu": 1.0}).run(reps=200, seed=1))
    out = int((ax.data.conf_high > 10).sum())
    assert out > 0
    assert f"{out} go" in ax.get_xlabel()
    assert ax.get_xlim()[1] < 3
    assert "go" not in de.plots.zipper(mc).get_xlabel()


def test_what_cannot_be_drawn_is_said(mc) -> None:
    unknown = de.MonteCarlo(draw, {"mean": mean}, grid={"n": [5], "sd": [1]}).run(reps=10, seed=1)
    for ask, error, words in (
        (lambda: de.plots.zipper(mc, cell="n=21"), OptionError, "the cells are 'n=20, sd=1'"),
        (lambda: de.plots.zipper(mc, "nu", cell="n=20, sd=1"), OptionError, "'nu' is not among mu"),
        (
            lambda: de.plots.zipper(mc, cell="n=20, sd=1", estimator="mode"),
            OptionError,
            "'mode' is not among the estimators",
        ),
        (lambda: de.plots.zipper(mc, cell="n=20, sd=1", estimator="median"), WithheldError, "no intervals"),
        (
            lambda: de.plots.standard_errors(mc, cell="n=20, sd=1", estimator="median"),
            WithheldError,
            "no standard errors",
        ),
        (lambda: de.plots.zipper(unknown), WithheldError, "true value of 'mu' is not known"),
        (lambda: de.plots.lollipop(unknown, "bias"), WithheldError, "is its truth known"),
        (lambda: de.plots.lollipop(mc, "covrage"), OptionError, "measure='covrage'"),
        (lambda: de.plots.nested_loop(unknown, "width"), OptionError, "use lollipop"),
        (lambda: de.plots.lollipop(3), OptionError, "int: give the results"),
        (lambda: de.plots.lollipop(mc, ax=3), OptionError, "matplotlib Axes"),
    ):
        with pytest.raises(error, match=words):
            ask()
