"""Monte Carlo studies: the same numbers whoever computes them, failures kept with their cause,
nothing lost or run twice.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    DisteconometricsWarning,
    FailedReplicationsWarning,
    FileFormatError,
    NeedsData,
    NeedsRows,
    OptionError,
    StudyError,
)
from disteconometrics.simulate.session import Session
from disteconometrics.threads import one_thread


def draw(rng: np.random.Generator, n: int = 40) -> np.ndarray:
    return rng.normal(1.0, 1.0, n)


def mean(d: np.ndarray) -> dict[str, tuple[float, float]]:
    return {"mu": (float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d))))}


def logit_table(rng: np.random.Generator, n: int = 200) -> dict[str, np.ndarray]:
    x = rng.normal(size=n)
    return {"x": x, "y": (0.3 + 0.8 * x + rng.logistic(size=n) > 0).astype(float)}


def frame(mc) -> pd.DataFrame:
    return mc.replications.drop(columns=[c for c in mc.replications if c == "cell"])


def same(a, b) -> None:
    pd.testing.assert_frame_equal(frame(a), frame(b), check_exact=True)


STUDY = de.MonteCarlo(
    logit_table,
    {
        "mle": de.Logit("y ~ x"),
        "HC1": (de.Logit("y ~ x"), {"cov": "HC1"}),
        "difference": lambda d: {"x": d["x"][d["y"] == 1].mean()},
    },
    truth={"x": 0.8},
    grid={"n": [100, 200]},
)


# ---- the same numbers --------------------------------------------------------------------------------------


def test_numbers_do_not_depend_on_workers_or_order() -> None:
    alone = STUDY.run(reps=60, seed=5)
    for jobs in (2, 4):
        same(STUDY.run(reps=60, seed=5, n_jobs=jobs), alone)
    with joblib.parallel_config(backend="threading"):
        same(
            de.MonteCarlo(draw, mean).run(reps=30, seed=5, n_jobs=2),
            de.MonteCarlo(draw, mean).run(reps=30, seed=5),
        )


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    whole, half = STUDY.run(reps=100, seed=1), STUDY.run(reps=50, seed=1)
    first = whole.replications[whole.replications.replication < 50].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, half.replications, check_exact=True)
    same(half.extend(50), whole)


def test_draws_depend_on_the_content_of_a_cell_alone() -> None:
    a = de.MonteCarlo(draw, mean, grid={"n": [10, 20]}).run(reps=5, seed=3)
    b = de.MonteCarlo(
        draw, {"other": mean, "mean": mean}, grid=[{"n": np.array([20.0]).astype(int)}, {"n": 30}]
    ).run(reps=5, seed=3)
    np.testing.assert_array_equal(a.numbers("n=20").values, b.numbers({"n": 20}, "mean").values)
    assert not np.array_equal(a.numbers("n=10").values, a.numbers("n=20").values)
    spawned = de.MonteCarlo(draw, mean).run(reps=5, seed=np.random.default_rng(3))
    assert not np.array_equal(
        spawned.numbers().values, de.MonteCarlo(draw, mean).run(reps=5, seed=3).numbers().values
    )
    drawn = de.MonteCarlo(draw, mean).run(reps=5)
    same(de.MonteCarlo(draw, mean).run(reps=5, seed=drawn.seed), drawn)


def test_every_estimator_sees_the_same_draw_even_if_one_changes_it() -> None:
    def spoils(d: np.ndarray) -> dict[str, float]:
        d[:] = 0.0
        return {"mu": float(d.mean())}

    mc = de.MonteCarlo(draw, {"spoils": spoils, "mean": mean}).run(reps=3, seed=1)
    np.testing.assert_array_equal(
        mc.numbers(None, "mean").values,
        de.MonteCarlo(draw, {"mean": mean}).run(reps=3, seed=1).numbers().values,
    )


def test_estimators_get_random_numbers_of_their_own() -> None:
    def boot(d: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        return {"mu": float(rng.choice(d, len(d)).mean())}

    one = de.MonteCarlo(draw, {"boot": boot}).run(reps=20, seed=1)
    two = de.MonteCarlo(draw, {"mean": mean, "boot": boot}).run(reps=20, seed=1, n_jobs=2)
    np.testing.assert_array_equal(one.numbers(None, "boot").values, two.numbers(None, "boot").values)
    assert len(np.unique(one.numbers().values[:, 0, 0])) == 20


# ---- what fails --------------------------------------------------------------------------------------------


def sometimes(what):
    """An estimator that does something else on about 7 % of the draws."""
    return lambda d: what(d) if d[0] > 2.5 else mean(d)


def boom(d: np.ndarray):
    raise ValueError(f"bad draw {d[0]:.3f}")


def test_failures_are_kept_with_their_cause() -> None:
    with pytest.warns(
        FailedReplicationsWarning, match=r"of 100 replications of 'est' failed \(ValueError: \d+\).*bad draw"
    ):
        mc = de.MonteCarlo(draw, {"est": sometimes(boom), "mean": mean}).run(reps=100, seed=1, max_fail=0)
    failures = mc.failures
    assert len(failures) == mc.failed(None, "est") > 0 == mc.failed(None, "mean")
    one = failures.iloc[0]
    assert (one.estimator, one.reason, one.seed) == ("est", "ValueError", 1)
    assert "in boom" in one.traceback
    again = mc.replay(int(one.replication))
    assert one.message == f"bad draw {again.table[0]:.3f}" == str(again.errors["est"])
    assert again.results["mean"]["mu"][0] == mc.numbers(None, "mean").values[one.replication, 0, 0]
    values = mc.numbers(None, "est").values
    assert len(values) == 100
    assert np.isnan(values[failures.replication, 0, 0]).all()
    assert mc.table().loc[("", "est", "mu"), "n_sim"] == 100 - len(failures)
    assert f"mc.replay({one.replication})" in str(mc.summary())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        de.MonteCarlo(draw, sometimes(boom)).run(reps=100, seed=1, max_fail=0.3)


def test_missing_estimates_fail_and_missing_errors_are_counted() -> None:
    nan = float("nan")
    study = de.MonteCarlo(
        draw,
        {"b": sometimes(lambda d: {"mu": (nan, 1.0)}), "se": sometimes(lambda d: {"mu": (1.0, nan)})},
        truth={"mu": 1},
    )
    mc = study.run(reps=100, seed=1, max_fail=0.2)
    n = mc.failed(None, "b")
    assert n > 0
    assert mc.failures.message.str.contains("mu").all()
    table = mc.table().droplevel(["cell", "parameter"])
    assert table.loc["se", ["n_failed", "n_se_nan", "n_sim"]].tolist() == [0, n, 100 - n]
    assert "without a standard error" in str(mc.summary())


def test_other_parameters_in_some_replications_are_named() -> None:
    study = de.MonteCarlo(draw, sometimes(lambda d: {"mu": 1.0, "extra": 1.0}))
    with pytest.warns(FailedReplicationsWarning, match="other parameters.*with extra"):
        mc = study.run(reps=100, seed=1, max_fail=1.0)
    assert mc.numbers().names == ("mu",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        de.MonteCarlo(draw, sometimes(lambda d: {"extra": 1.0, **mean(d)}), targets=["mu"]).run(
            reps=100, seed=1, max_fail=0
        )


def test_infinite_coefficients_are_failures_and_warnings_are_counted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mc = de.MonteCarlo(lambda rng: logit_table(rng, 12), de.Logit("y ~ x")).run(
            reps=100, seed=1, max_fail=0.5
        )
    assert set(mc.failures.reason) <= {"separation", "the outcome does not vary"}
    told = mc.warnings.set_index("warning")["count"]
    assert told["SeparationWarning"] == (mc.failures.reason == "separation").sum() > 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"truth": {"mu": 1.0, "sigma": 1.0}}, OptionError, "truth names 'sigma'"),
        ({"targets": ["nu"]}, OptionError, "targets names 'nu'"),
        ({"estimators": lambda d: None}, StudyError, "returned NoneType"),
        (
            {"estimators": {"a": mean, "b": boom}, "dgp": lambda rng: 1 / 0},
            StudyError,
            "the DGP in replication 0: ZeroDivisionError",
        ),
        ({"dgp": lambda rng: np.random.normal(size=5)}, OptionError, "global random state"),  # noqa: NPY002
        ({"estimators": de.Logit}, OptionError, "an estimator is a specification"),
        ({"estimators": {}}, OptionError, "estimators is empty"),
        ({"estimators": {"mean": (mean, {"cov": "HC1"})}}, OptionError, "takes the table alone"),
        ({"grid": {"law": [np.random]}}, OptionError, "label them"),
        ({"grid": {"n": [5, 5]}}, OptionError, "a cell twice: n=5"),
        ({"grid": {"n": []}}, OptionError, "no cells"),
        ({"dgp": 3}, OptionError, "dgp is a callable"),
        ({"truth": 3}, OptionError, "truth is a dict"),
        ({"truth": {"mu": "one"}}, OptionError, "truth of 'mu'"),
        ({"level": 95}, OptionError, "level=95"),
    ],
)
def test_what_cannot_be_run_is_said(change, error, words) -> None:
    state = np.random.get_state()  # noqa: NPY002
    try:
        with pytest.raises(error, match=words):
            de.MonteCarlo(**{"dgp": draw, "estimators": mean, **change}).run(reps=10, seed=1)
    finally:
        np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize(
    "options",
    [{"reps": -5}, {"reps": 0}, {"reps": 2.5}, {}, {"mcse": {"covrage": 0.1}}, {"reps": 5, "max_fail": 7}],
)
def test_sizes_of_studies_are_checked(options) -> None:
    with pytest.raises(OptionError, match=r"reps=|mcse=|max_fail="):
        de.MonteCarlo(draw, mean).run(**options)


def test_a_hopeless_study_stops_early() -> None:
    calls = []

    def typo(d):
        calls.append(1)
        raise KeyError("educ")

    with pytest.raises(StudyError, match="KeyError: 'educ'"):
        de.MonteCarlo(draw, typo).run(reps=100_000, seed=1)
    assert len(calls) < 200


# ---- interrupted, resumed, stored --------------------------------------------------------------------------


def counting(calls: list[int], stop: int | None = None):
    def estimate(d):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return mean(d)

    return estimate


def test_an_interruption_loses_nothing(tmp_path: Path) -> None:
    whole, calls = de.MonteCarlo(draw, {"mean": mean}).run(reps=60, seed=1), []
    with pytest.warns(DisteconometricsWarning, match="29 of 60 replications are done"):
        part = de.MonteCarlo(draw, {"mean": counting(calls, 30)}).run(reps=60, seed=1)
    np.testing.assert_array_equal(part.numbers().values, whole.numbers().values[:29])
    path, calls = tmp_path / "study", []
    with pytest.warns(DisteconometricsWarning, match="29 of 60"):
        de.MonteCarlo(draw, {"mean": counting(calls, 30)}).run(reps=60, seed=1, store=path)
    calls.clear()
    same(de.MonteCarlo(draw, {"mean": counting(calls)}).run(reps=60, store=path), whole)
    assert len(calls) == 32  # the first stored one again, to see that they are those of this estimator
    with pytest.raises(KeyboardInterrupt):
        de.MonteCarlo(draw, {"mean": counting([], 1)}).run(reps=60, seed=1)


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            import numpy as np
            import disteconometrics as de

            store, log, kill = sys.argv[1], sys.argv[2], int(sys.argv[3])
            calls = 0

            def draw(rng):
                return rng.normal(1.0, 1.0, 40)

            def mean(d):
                global calls
                calls += 1
                if calls == kill:
                    os.kill(os.getpid(), signal.SIGKILL)
                with open(log, "ab") as file:
                    file.write(np.float64(d[0]).tobytes())
                return {"mu": (d.mean(), d.std(ddof=1) / 40**0.5)}

            mc = de.MonteCarlo(draw, {"mean": mean}, truth={"mu": 1.0}).run(reps=1_000, seed=1, store=store)
            np.save(log + ".npy", mc.numbers().values)
            """
        )
    )

    def run(kill: int, store: str, log: str) -> int:
        paths = os.pathsep.join(
            [str(Path(de.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        command = [sys.executable, str(script), str(tmp_path / store), str(tmp_path / log), str(kill)]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": paths}, check=False, timeout=120
        ).returncode

    assert run(300, "store", "log") == -signal.SIGKILL
    assert (tmp_path / "log").stat().st_size == 299 * 8
    with (tmp_path / "store").open("ab") as file:  # and half a record, as if it had died while writing
        file.write(b"deMC\x10")
    assert run(0, "store", "log") == 0
    assert run(0, "other", "once") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "log.npy"), np.load(tmp_path / "once.npy"))
    seen = np.fromfile(tmp_path / "log")
    assert len(seen) == 1_001  # the first again when it goes on
    assert len(np.unique(seen)) == 1_000


def test_stores_know_their_study(tmp_path: Path) -> None:
    path = tmp_path / "study"
    study = de.MonteCarlo(draw, {"mean": mean}, grid={"n": [10, 20]})
    first = study.run(reps=20, seed=1, store=path)
    wider = de.MonteCarlo(draw, {"mean": mean}, grid={"n": [20, 30]}).run(
        reps=20, seed=1, store=path
    )  # cells may come and go
    np.testing.assert_array_equal(wider.numbers("n=20").values, first.numbers("n=20").values)
    same(study.run(reps=30, store=path, n_jobs=2), study.run(reps=30, seed=1))
    same(study.run(reps=20, store=path).extend(20), study.run(reps=40, seed=1))
    refused = {
        "seed 1, not 2": (study, {"seed": 2}),
        "resume=False": (study, {"resume": False}),
        "its estimators is": (de.MonteCarlo(draw, {"other": mean}, grid={"n": [10, 20]}), {}),
        "its level is": (de.MonteCarlo(draw, {"mean": mean}, grid={"n": [10, 20]}, level=0.9), {}),
    }
    for words, (other, options) in refused.items():
        with pytest.raises(OptionError, match=words):
            other.run(reps=20, store=path, **options)

    def changed(rng, n):
        return rng.normal(1.1, 1.0, n)

    changed.__qualname__ = draw.__qualname__
    with pytest.raises(OptionError, match="draws other data in n=10"):
        de.MonteCarlo(changed, {"mean": mean}, grid={"n": [10, 20]}).run(reps=20, store=path)
    with pytest.raises(OptionError, match="folder that exists"):
        study.run(reps=20, store=tmp_path / "nowhere" / "study")
    content = path.read_bytes()
    for damaged in (b"a,b\n1,2\n", content[:400] + b"x" + content[401:], b"PK\x03\x04" + content):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match="no store of a Monte Carlo study"):
            study.run(reps=20, store=path)
        assert path.read_bytes() == damaged


# ---- more --------------------------------------------------------------------------------------------------


def test_studies_run_until_they_are_precise() -> None:
    study = de.MonteCarlo(draw, mean, truth={"mu": 1.0})
    mc = study.run(mcse={"coverage": 0.02, "bias": 0.005}, seed=1)
    table = mc.table().iloc[0]
    assert table["coverage_mcse"] <= 0.02
    assert table["bias_mcse"] <= 0.005
    assert 800 < mc.reps < 1_600  # sd of the mean is 0.158: 1,000 replications
    assert study.run(reps=100, mcse={"bias": 1e-6}, seed=1).reps == 100


def test_truth_may_come_from_the_process_with_its_error() -> None:
    class Process:
        def __call__(self, rng, n):
            return draw(rng, n)

        def truth(self, names, n):
            return {name: type("Truth", (), {"value": 1.0, "error": 10.0}) for name in names}

    mc = de.MonteCarlo(Process(), {"mean": mean, "shifted": lambda d: mean(d + 1)}, grid={"n": [10, 20]}).run(
        reps=50, seed=1
    )
    assert (mc.table()["truth"] == 1).all()
    assert "* |bias|" not in str(mc.summary())  # the truth itself is not known better
    by_cell = de.MonteCarlo(draw, mean, truth=lambda n: {"mu": n / 10}, grid={"n": [10, 20]}).run(
        reps=5, seed=1
    )
    assert by_cell.table()["truth"].tolist() == [1.0, 2.0]


def test_documented_processes_know_their_truth() -> None:
    study = de.MonteCarlo(
        de.dgps.RandomUtilityLogit(),
        {"logit": de.Logit("y ~ x"), "own": lambda d: {"share": d["y"].mean()}},
        grid={"n": [300]},
    )
    mc = study.run(reps=200, seed=1)
    table = mc.table().droplevel(["cell"])
    assert table.loc["logit", "truth"].tolist() == [1.0, 2.0]
    assert table.loc["logit", "coverage"].between(0.90, 0.99).all()
    assert np.isnan(table.loc[("own", "share"), "truth"])  # no functional of that name
    assert study.run(reps=5, seed=1, n_jobs=2).reps == 5


def test_tests_and_limits_of_ones_own_are_measured() -> None:
    def est(d):
        p = type("P", (), {"p_value": float(d[0] > 1.0)})
        return {"own": (d.mean(), 1.0, d.mean() - 9, d.mean() + 9), "t": p}

    mc = de.MonteCarlo(draw, est, truth={"own": 1.0}).run(reps=100, seed=1)
    table = mc.table().droplevel(["cell", "estimator"])
    assert table.loc["own", ["coverage", "width", "rejection"]].tolist() == [1, 18, 0]
    assert table.loc["t", "rejection"] == np.mean([mc.replay(i).table[0] <= 1 for i in range(100)])
    assert mc.measures(null=20.0).query("parameter == 'own' and measure == 'rejection'").value.tolist() == [1]


def test_summaries_flag_what_is_off() -> None:
    biased = {"fine": mean, "biased": lambda d: mean(d + 0.1), "narrow": lambda d: {"mu": (d.mean(), 0.05)}}
    mc = de.MonteCarlo(draw, biased, truth={"mu": 1.0}).run(reps=400, seed=2)
    lines = {line.split()[0]: line.split()[-1] for line in str(mc.summary()).splitlines() if " mu " in line}
    assert (lines["biased"], lines["narrow"]) == ("*c", "c")
    assert lines["fine"] not in ("*", "c", "*c")
    for text in (mc.summary().as_html(), mc.summary().as_latex()):
        assert "biased" in text
        assert "MC SE" in text


def test_a_study_is_saved_and_loaded_without_what_ran() -> None:
    study = de.MonteCarlo(
        de.dgps.RandomUtilityLogit(),
        {"mle": de.Logit("y ~ x"), "third": lambda d, rng: {"m": (1 / (rng.random() > 0.1), 1.0)}},
        grid={"n": [15, 40]},
    )
    with pytest.warns(FailedReplicationsWarning):
        mc = study.run(reps=60, seed=np.random.default_rng(3))
    mc.save(file := io.BytesIO())
    again = de.load(io.BytesIO(file.getvalue()))
    assert str(again.summary()) == str(mc.summary())
    assert (again.seed, repr(again), again.as_latex()) == (mc.seed, repr(mc), mc.as_latex())
    for name in ("replications", "warnings"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(mc, name))
    pd.testing.assert_frame_equal(again.tidy(), mc.tidy())
    told = mc.failures.duplicated(["cell", "estimator", "reason"])  # the first of a kind keeps its traceback
    kept = mc.failures.assign(traceback=mc.failures["traceback"].mask(told, ""))
    pd.testing.assert_frame_equal(again.failures, kept)
    again.save(twice := io.BytesIO())
    assert twice.getvalue() == file.getvalue()
    for ask in (lambda: again.extend(5), lambda: again.replay("n=15", 3)):
        with pytest.raises(NeedsData, match="same seed"):
            ask()


def test_one_thread_holds_and_lets_go() -> None:
    code = """
    import disteconometrics, os
    from disteconometrics.threads import one_thread
    os.environ["OMP_NUM_THREADS"] = "2"
    with one_thread():
        import torch
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2 and os.environ["OMP_NUM_THREADS"] == "2"
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    """
    paths = os.pathsep.join(
        [str(Path(de.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        timeout=120,
    )
    before = os.environ.get("OMP_NUM_THREADS")
    with pytest.raises(ValueError, match="x"), one_thread():
        raise ValueError("x")
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize(("jobs", "seconds"), [(2, 0.2), (10, 0.2), (500, 10.0)])
def test_chunks_grow_with_workers_so_that_one_scheduler_feeds_them(jobs: int, seconds: float) -> None:
    study = de.MonteCarlo(draw, mean, truth={"mu": 1.0})
    session = Session(study, study._task((7, ())), [], None, None, False)
    session.pace[0], session.worked = 0.001, {e.name for e in session.task.estimators}
    assert session._size(0, jobs) == pytest.approx(seconds / 0.001)


# ---- measures in place of replications ---------------------------------------------------------------------


def _awkward(d: dict[str, np.ndarray]) -> dict[str, object]:
    """Missing errors, infinite limits, tests, failures, and now and then other parameters."""
    b = float(d["x"].mean())
    if b > 0.12:
        raise ValueError("too large")
    if b < -0.15:
        return {"mu": (b, 0.1)}
    se = np.nan if abs(b) < 0.01 else 0.07 + abs(b)
    limits = (b - 2 * se, b + 2 * se) if b < 0.1 else (b - 2 * se, 9.0)
    return {"mu": (b, se, *limits), "plain": 9.0 + b, "test": SimpleNamespace(p_value=abs(b))}


AWKWARD = de.MonteCarlo(
    logit_table,
    {"mle": de.Logit("y ~ x"), "odd": _awkward},
    truth=lambda n: {"x": 0.8, "mu": 0.0, "plain": 9.0},
    grid={"n": [60, 150]},
)


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.FailedReplicationsWarning")
def test_measures_without_replications_are_those_of_all() -> None:
    full = AWKWARD.run(300, seed=4)
    few = AWKWARD.run(200, seed=4, keep="measures")
    ours = few.extend(100)
    theirs, found = (mc.measures().drop(columns="n") for mc in (full, ours))
    kept = ~theirs["measure"].isin(["median", "se2_median", "be_coverage", "relative_precision"])
    theirs = theirs[kept].reset_index(drop=True)
    keys = ["estimator", "parameter", "measure"]
    pd.testing.assert_frame_equal(found[keys], theirs[keys])
    np.testing.assert_allclose(found[["value", "mcse"]], theirs[["value", "mcse"]], rtol=1e-12, atol=1e-15)
    assert str(ours.summary()) == str(full.summary())
    for cell in ("n=60", "n=150"):
        assert [ours.failed(cell, e) for e in ours.estimators] == [
            full.failed(cell, e) for e in full.estimators
        ]
    assert few.counts == (200, 200)
    assert set(ours.failures["replication"]) <= set(full.failures["replication"])
    assert len(ours.failures) < len(full.failures)
    pd.testing.assert_frame_equal(ours.warnings, full.warnings)


def test_what_needs_replications_says_so_where_measures_are_kept(tmp_path: Path) -> None:
    study = de.MonteCarlo(draw, {"mean": mean}, truth={"mu": 1.0})
    mc = study.run(50, seed=1, keep="measures")
    needing = (
        lambda: mc.replications,
        lambda: mc.numbers(),
        lambda: mc.plot("zip"),
        lambda: mc.measures(null=1.0),
        lambda: mc.measures(variants=True),
        lambda: mc.table(reference="mean"),
    )
    for call in needing:
        with pytest.raises(NeedsRows, match=r"keep='replications'.*replay"):
            call()
    assert mc.replay(3).results["mean"]["mu"][0] == study.run(50, seed=1).replications.estimate[3]
    assert len(str(mc.as_latex())) > 0
    goals = study.run(mcse={"coverage": 0.02}, seed=1, keep="measures").measures().set_index("measure")
    assert goals.loc["coverage", "mcse"] <= 0.02
    bad = ({"keep": "sums"}, {"keep": "measures", "store": tmp_path / "s"})
    for options in bad:
        with pytest.raises(OptionError, match="keep="):
            study.run(9, seed=1, **options)
    with pytest.raises(OptionError, match="be_coverage"):
        study.run(mcse={"be_coverage": 0.1}, keep="measures")
    with pytest.raises(StudyError, match="All 100 replications"):
        de.MonteCarlo(draw, {"fails": lambda d: 1 / 0}).run(100, keep="measures")
