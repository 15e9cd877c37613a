"""Many tables at once give the numbers of fits one by one, whatever they are put together with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.simulate.replications import Cell, Task

SAME = 1e-10  # relative, of estimates (or their standard errors, when larger) and of everything else


def plain(rng: np.random.Generator, n: int = 120) -> dict[str, Any]:
    x, d = rng.normal(size=n), rng.random(n) < 0.4
    off = 0.3 * rng.normal(size=n)
    return {
        "x": x,
        "d": d,
        "z": np.exp(rng.normal(size=n)),
        "off": off,
        "y": 0.3 + x - d + off + rng.logistic(size=n) > 0,
    }


def frame(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(plain(rng)).astype({"y": int})


def random_size(rng: np.random.Generator) -> dict[str, Any]:
    return plain(rng, int(rng.integers(60, 90)))


def small(rng: np.random.Generator) -> dict[str, Any]:
    """Separated, or without variation, now and then."""
    return plain(rng, 9)


def holes(rng: np.random.Generator) -> dict[str, Any]:
    """A missing value in every other table, and a negative one where the formula takes a log
    in every tenth.
    """
    table = plain(rng)
    x, z = table["x"].copy(), table["z"].copy()
    u = rng.random()
    x[0] = np.nan if u < 0.5 else x[0]
    z[1] = -1.0 if u < 0.1 else z[1]
    return {**table, "x": x, "z": z}


def categories(rng: np.random.Generator) -> dict[str, Any]:
    return {**plain(rng), "g": rng.choice(["a", "b"], 120)}


CASES: dict[str, tuple[Any, str, dict[str, Any], dict[str, Any], bool]] = {
    # draw, formula, specification, fit, whether an engine takes part
    "plain": (plain, "y ~ x + d", {}, {}, True),
    "frames": (frame, "y ~ x + d", {}, {}, True),
    "HC0": (plain, "y ~ x * d", {}, {"cov": "HC0"}, True),
    "HC1, t": (plain, "y ~ x + I(x**2)", {}, {"cov": "HC1", "use_t": True}, True),
    "offset": (plain, "y ~ x + log(z)", {"offset": "off"}, {}, True),
    "no intercept": (plain, "y ~ 0 + x + d", {}, {}, True),
    "random size": (random_size, "y ~ x + d", {}, {}, True),
    "small": (small, "y ~ x", {}, {}, True),
    "raise": (small, "y ~ x", {"separation": "raise"}, {}, True),
    "holes": (holes, "y ~ x + log(z)", {}, {}, True),
    "learned": (plain, "y ~ scale(x) + d", {}, {}, True),  # is asked, and leaves it
    "categories": (categories, "y ~ x + g", {}, {}, True),
    "weights": (plain, "y ~ x", {"weights": "z", "weight_type": "sampling"}, {}, False),
    "HC3": (plain, "y ~ x", {}, {"cov": "HC3"}, False),
    "lag": (plain, "y ~ x + lag(x)", {}, {}, False),
}


def studies(case: str, kind: Any = de.Logit) -> tuple[Any, Any]:
    draw, formula, specification, options, engine = CASES[case]
    model = kind(formula, **specification)
    assert (model.replications(**options) is not None) == engine
    together = de.MonteCarlo(draw, {"m": (model, options)})
    alone = de.MonteCarlo(draw, {"m": lambda d: model.fit(d, **options)})
    return together, alone


def close(a: Any, b: Any) -> None:
    assert a.names == b.names
    np.testing.assert_array_equal(np.isnan(a.values), np.isnan(b.values))
    for j in range(5):
        x, y = a.values[:, :, j], b.values[:, :, j]
        size = (
            np.maximum(np.abs(y), b.values[:, :, 1])
            if j < 4
            else np.abs(y) * (1 + np.abs(b.values[:, :, 0] / b.values[:, :, 1]) ** 2)
        )
        assert np.nanmax(np.abs(x - y) / size) <= SAME


@pytest.mark.parametrize("case", CASES)
def test_together_as_alone(case: str) -> None:
    together, alone = (study.run(reps=150, seed=7, max_fail=1.0) for study in studies(case))
    close(together.numbers(), alone.numbers())
    columns = ["replication", "reason", "message"]
    pd.testing.assert_frame_equal(together.failures[columns], alone.failures[columns])
    pd.testing.assert_frame_equal(together.warnings, alone.warnings)
    if case in ("small", "holes"):
        assert len(together.warnings)


def test_probits_too() -> None:
    close(*(study.run(reps=80, seed=2).numbers() for study in studies("HC1, t", de.Probit)))


def test_the_engine_is_used() -> None:
    class Never(Exception):
        pass

    class Silent(de.Logit):
        def fit(self, *args: Any, **options: Any) -> Any:
            raise Never

    mc = de.MonteCarlo(plain, {"m": Silent("y ~ x + d")}).run(reps=300, seed=1)
    assert mc.failed() == 0


@pytest.mark.parametrize("case", ["plain", "HC1, t", "offset", "random size", "small", "holes"])
def test_numbers_do_not_depend_on_the_company(case: str) -> None:
    """To the last bit, and whatever a table is solved together with: chunks of 1, of 7 and of 150."""
    study, _ = studies(case)
    task: Task = study._task((7, ()))
    found = []
    for size in (1, 7, 150):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            blocks = [task.chunk(0, i, min(i + size, 150)) for i in range(0, 150, size)]
        rows = {
            rep: v
            for b in blocks
            for reps, values in b.parts.values()
            for rep, v in zip(reps, values, strict=True)
        }
        found.append(
            np.array([rows.get(rep, np.full_like(next(iter(rows.values())), np.nan)) for rep in range(150)])
        )
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_streams_are_those_of_numpy_s_seed_sequence() -> None:
    for entropy in (0, 5, 2**70 + 3, 2**130 + 1):
        for spawn_key in ((), (3,), (2**40, 1)):
            cell = Cell({"n": 5}, {"n": 5})
            task = Task(plain, (), (cell,), None, 0.95, entropy, spawn_key)
            sequence = np.random.SeedSequence(entropy, spawn_key=(*spawn_key, *cell.words, 17))
            assert task.generator(0, 17).random() == np.random.default_rng(sequence).random()
