"""What a study keeps, and whose: stores against edited code and damage, workers that die, estimators without
hope.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    DisteconometricsWarning,
    FailedReplicationsWarning,
    FileFormatError,
    OptionError,
    StudyError,
    WithheldError,
    WorkerError,
)
from disteconometrics.inference import parallel
from disteconometrics.simulate import replications

TESTS = Path(__file__).parents[1]


def draw(rng: np.random.Generator, n: int = 40) -> np.ndarray:
    return rng.normal(1.0, 1.0, n)


def mean(d: np.ndarray) -> dict[str, tuple[float, float]]:
    return {"mu": (float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d))))}


def shifted(by: float, error: float = 0.0) -> Callable[..., Any]:
    return lambda d: {"mu": (mean(d)["mu"][0] * (1 + by), mean(d)["mu"][1] * (1 + error))}


def failing(share: float, error: type[BaseException] = ValueError) -> Callable[..., Any]:
    """Fails in about this share of the draws."""
    cut = float(np.quantile(np.random.default_rng(0).normal(1.0, 1.0, 100_000), share))

    def estimate(d: np.ndarray) -> Any:
        if d[0] < cut:
            raise error(f"{d[0]:.3f} is small")
        return mean(d)

    return estimate


def study(est: Any, dgp: Any = draw, **options: Any) -> Any:
    """Estimators have one name, whatever their code."""
    return de.MonteCarlo(dgp, {"sound": mean, "est": est}, **options)


def kept(est: Any, store: Path, reps: int = 30, **options: Any) -> Any:
    return study(est, **options).run(reps, seed=1, store=store, max_fail=1.0)


# ---- other code under the same name ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (shifted(0.0), shifted(1.0), r"estimator 'est' gave estimate .* of mu in replication 0 of n=40"),
        (shifted(0.0), shifted(2e-16), "gave estimate"),
        (shifted(0.0), shifted(0.0, error=0.5), "gave std_error"),
        (shifted(0.0), lambda d: {"nu": mean(d)["mu"]}, "numbers of mu.*numbers of nu"),
        (shifted(0.0), failing(1.0), r"now gives no numbers \(ValueError"),
        (failing(0.5), mean, r"gave no numbers \(ValueError: .* and now gives numbers of mu"),
        (failing(0.5), failing(0.5, KeyError), r"gave no numbers \(ValueError.* no numbers \(KeyError"),
        (lambda d, rng: {"mu": rng.normal()}, lambda d, rng: {"mu": -rng.normal()}, "gave estimate"),
    ],
)
def test_other_code_does_not_go_on(old: Any, new: Any, words: str, tmp_path: Path) -> None:
    store, grid = tmp_path / "study", {"n": [40, 50]}
    kept(old, store, grid=grid)
    content = store.read_bytes()
    kept(old, store, grid=grid)
    assert store.read_bytes() == content
    with pytest.raises(OptionError, match=f"(?s){words}.*another path.*or go on with the code"):
        kept(new, store, reps=60, grid=grid)
    assert store.read_bytes() == content


def test_what_a_function_looks_up_is_code_too(tmp_path: Path) -> None:
    """As in one session, by `extend`."""
    shift = {"by": 0.0}
    est = lambda d: {"mu": float(d.mean()) + shift["by"]}  # noqa: E731
    found = kept(est, tmp_path / "study")
    shift["by"] = 1.0
    with pytest.raises(OptionError, match="'est' gave estimate"):
        found.extend(10)


def test_a_specification_is_known_by_what_it_does(tmp_path: Path) -> None:
    class Mine(de.Logit):
        shift = 0.0

        def replications(self, **options: Any) -> None:
            return None

        def fit(self, data: Any, **options: Any) -> Any:
            return {k: v + self.shift for k, v in super().fit(data, **options).params.items()}

    def table(rng: np.random.Generator) -> dict[str, Any]:
        x = rng.normal(size=60)
        return {"x": x, "y": (x + rng.logistic(size=60) > 0).astype(float)}

    for model in (de.Logit("y ~ x"), Mine("y ~ x")):
        for reps in (3, 6):
            store = tmp_path / type(model).__name__
            de.MonteCarlo(table, {"m": model}).run(reps, seed=1, store=store)
    Mine.shift = 1.0
    with pytest.raises(OptionError, match="estimator 'm' gave estimate"):
        de.MonteCarlo(table, {"m": Mine("y ~ x")}).run(6, seed=1, store=tmp_path / "Mine")


def test_a_process_that_failed_is_done_again_too(tmp_path: Path) -> None:
    def moody(rng: np.random.Generator, n: int = 40) -> np.ndarray:
        table = draw(rng, n)
        if table[0] > 1.5:
            raise ValueError("no draw")
        return table

    moody.__qualname__ = "draw"
    kept(mean, tmp_path / "study", dgp=moody)
    with pytest.raises(OptionError, match=r"the DGP gave no numbers.*now gives a table"):
        kept(mean, tmp_path / "study", reps=60)


@pytest.mark.parametrize(("kind", "said"), [("another", "another"), (None, "an unknown kind of machine")])
def test_another_machine_may_differ_in_the_last_digits(
    kind: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "study"
    monkeypatch.setattr(replications, "machine", lambda: kind)  # None as in stores of 0.1.0
    kept(shifted(1e-11), store)
    monkeypatch.undo()
    assert f'"machine":{json.dumps(kind)}'.encode() in store.read_bytes()
    assert kept(shifted(0.0), store, reps=60).reps == 60  # goes on
    assert parallel.machine().encode() in store.read_bytes()
    with pytest.raises(OptionError, match=f"gave estimate.*on {said}, so 1e-09 is allowed"):
        kept(shifted(1e-7), store, reps=60)


def test_estimates_by_chance_are_told(tmp_path: Path) -> None:
    def chance(d: np.ndarray) -> dict[str, float]:
        return {"mu": float(np.random.default_rng().normal())}

    kept(chance, tmp_path / "study")
    with pytest.warns(DisteconometricsWarning, match="'est' gives other numbers each time"):
        kept(chance, tmp_path / "study", reps=40)


def test_memory_that_was_short_is_no_other_code(tmp_path: Path) -> None:
    kept(failing(0.5, MemoryError), tmp_path / "study")
    kept(mean, tmp_path / "study", reps=40)


# ---- paths, damage, duplicates -----------------------------------------------------------------------------


def test_only_files_are_stores(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    wrong = [3, True, b"study", ["study"], "", tmp_path, tmp_path / "pipe", "/dev/full", "/dev/zero", "a\0b"]
    for store in [*wrong, "x" * 5_000, tmp_path / "no" / "study", os.open(os.devnull, os.O_RDONLY)]:
        with pytest.raises(OptionError, match="store="):
            study(mean).run(2, seed=1, store=store)
    found = study(mean).run(2, seed=1, store=str(tmp_path / "text"))
    assert found.reps == 2


@pytest.mark.parametrize("byte", [5, 6, 9, 20, 200])
def test_damage_is_no_half_record(byte: int, tmp_path: Path) -> None:
    """A length that a flipped bit makes too large must not cut off all that comes behind."""
    store = tmp_path / "study"
    kept(mean, store)
    content = store.read_bytes()
    second = content.index(b"deMC", 1)
    damaged = bytearray(content)
    damaged[second + byte] ^= 0x40
    store.write_bytes(damaged)
    with pytest.raises(FileFormatError, match=f"damaged at byte {second:,}"):
        kept(mean, store)
    assert store.read_bytes() == damaged


def test_replications_that_two_processes_kept_count_once(tmp_path: Path) -> None:
    """As where the file system has no locks."""
    store = tmp_path / "study"
    whole = kept(failing(0.3), store)
    content = store.read_bytes()
    with store.open("ab") as file:
        file.write(content[content.index(b"deMC", 1) :])
    again = kept(failing(0.3), store)
    pd.testing.assert_frame_equal(again.failures, whole.failures)
    pd.testing.assert_frame_equal(again.table(), whole.table(), check_exact=True)


# ---- workers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", 10**6, -(10**6), True, [2], float("nan"), np.float64(2)])
def test_numbers_of_workers_are_checked_everywhere(n_jobs: Any) -> None:
    data = de.datasets.spector()
    result = de.Logit("GRADE ~ GPA").fit(data)
    found = study(mean).run(3, seed=1)
    for call in (
        lambda: study(mean).run(3, n_jobs=n_jobs),
        lambda: found.extend(3, n_jobs=n_jobs),
        lambda: result.monte_carlo(3, n_jobs=n_jobs),
        lambda: de.bootstrap(de.Logit("GRADE ~ GPA"), data, 19, n_jobs=n_jobs),
        lambda: de.bootstrap(de.Logit("GRADE ~ GPA"), data, 19, kind="score", cluster="PSI", n_jobs=n_jobs),
    ):
        with pytest.raises(OptionError, match="n_jobs="):
            call()


class _Locked:
    """It cannot be sent to another process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, given: Any) -> Any:
        return mean(given) if isinstance(given, np.ndarray) else given.params.iloc[0]


def _dying(how: Callable[[], Any]) -> Callable[..., Any]:
    def estimate(d: np.ndarray) -> Any:
        if d[0] > 2.9:  # first in replication 12
            time.sleep(0.2)  # the other worker goes on a little
            how()
        return mean(d)

    return estimate


class _Sent:
    """It can be sent, but does not arrive."""

    def __reduce__(self) -> Any:
        return int, ("no number",)

    def __call__(self, d: np.ndarray) -> Any:
        return mean(d)


@pytest.mark.parametrize(
    ("est", "words"),
    [
        (_Locked(), r"estimator 'est' cannot be sent.*lock.*at replication 0; leave n_jobs"),
        (_dying(lambda: os.kill(os.getpid(), signal.SIGKILL)), r"died, at replications .*SIGKILL.*memory"),
        pytest.param(
            _dying(lambda: os._exit(3)),
            r"died, at replications \d+ to \d+ .*EXIT\(3\)",
            marks=pytest.mark.slow,
        ),
        pytest.param(_Sent(), "estimator 'est' cannot be sent.*no number", marks=pytest.mark.slow),
    ],
)
def test_trouble_of_workers_is_named_and_loses_nothing(est: Any, words: str, tmp_path: Path) -> None:
    store = tmp_path / "study"
    kept(est, store, reps=10)  # by this process
    with pytest.raises(WorkerError, match=f"(?s){words}") as raised:
        study(est).run(2_000, seed=1, store=store, n_jobs=2)
    done = raised.value.results
    if done is not None:  # none was sent
        assert len(done.done[0]) >= 10
        stored = study(mean).run(len(done.done[0]), seed=1)
        rows = done.numbers(None, "sound").values
        np.testing.assert_array_equal(rows[:10], stored.numbers(None, "sound").values[:10])
    assert kept(est, store, reps=10).reps == 10


def _ends(result: Any) -> float:
    """Ends the process of every bootstrap sample."""
    return 1.0 if abs(result.params["GPA"] - 2.8401) < 1e-3 else os._exit(3)


@pytest.mark.parametrize(
    ("statistic", "words"),
    [
        (_Locked(), "statistic cannot be sent"),
        pytest.param(_ends, r"died, at replications 0 to \d+", marks=pytest.mark.slow),
    ],
)
def test_workers_of_a_bootstrap_too(statistic: Any, words: str) -> None:
    with pytest.raises(WorkerError, match=words):
        de.bootstrap(
            de.Logit("GRADE ~ GPA"), de.datasets.spector(), 99, statistic=statistic, seed=1, n_jobs=2
        )


def test_an_estimator_that_exits_costs_its_replication_alone() -> None:
    mc = study(failing(0.3, SystemExit)).run(40, seed=1, max_fail=1.0)
    assert set(mc.failures.reason) == {"SystemExit"}
    assert 0 < mc.failed(None, "est") < 40


# ---- without hope ------------------------------------------------------------------------------------------


def typo(d: np.ndarray) -> Any:
    raise KeyError(f"educ {d[0]:.3f}")


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"store": True}, {"grid": {"n": [30, 40, 50]}}])
def test_an_estimator_that_only_fails_ends_the_study(options: dict[str, Any], tmp_path: Path) -> None:
    options = {**options, **({"store": tmp_path / "study"} if options.get("store") else {})}
    grid = options.pop("grid", None)
    mc = study(typo, grid=grid)
    where = "replication 0" + (" of n=30" if grid else "")
    first = mc.run(1, seed=1, max_fail=1.0).failures.message.iloc[0]
    words = f"of estimator 'est' failed.*{where}: KeyError: {first}"
    with joblib.parallel_config(backend="threading"), pytest.raises(StudyError, match=words) as raised:
        mc.run(100_000, seed=1, **options)
    done = raised.value.results
    most = 20_000 if "n_jobs" in options else 600  # workers go on while the first failures are read
    assert 100 <= sum(map(len, done.done)) < most
    assert np.isfinite(done.table().xs("sound", level="estimator")["mean"]).all()
    assert "est" in str(done)
    if "store" in options:
        reps = len(done.done[0])
        again = mc.run(reps, seed=1, max_fail=1.0, store=options["store"])  # what is done can be had
        assert again.failed(None, "est") == reps
        with pytest.raises(StudyError, match="'est'"):
            mc.run(reps + 1, seed=1, store=options["store"])


def test_who_fails_now_and_then_goes_on() -> None:
    for seed in range(5):
        mc = study(failing(0.8)).run(150, seed=seed, max_fail=1.0)
        assert mc.reps == len(mc.done[0]) == 150
    small = de.MonteCarlo(  # it fails in the first cells, and works in the last one
        draw, {"sound": mean, "est": lambda d: mean(d) if len(d) > 20 else typo(d)}, grid={"n": [5, 10, 30]}
    ).run(150, seed=1, max_fail=1.0)
    assert [small.failed(c.label, "est") for c in small.cells] == [150, 150, 0]
    with pytest.warns(FailedReplicationsWarning, match="60 of 60 replications of 'est'"):
        study(typo).run(60, seed=1)  # too few to stop early


def test_a_bootstrap_without_hope_ends() -> None:
    calls = []

    def statistic(result: Any) -> float:
        calls.append(1)
        if len(calls) > 1:
            raise WithheldError("no")
        return 1.0

    with pytest.raises(WithheldError, match="replications failed"):
        de.bootstrap(de.Logit("GRADE ~ GPA"), de.datasets.spector(), 9_999, statistic=statistic, seed=1)
    assert len(calls) < 200


# ---- killed, full, and two at once -------------------------------------------------------------------------


def _kills(kills: int, tmp_path: Path) -> dict[str, int]:
    paths = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (tmp_path / "said").open("w+") as said:  # no pipe: workers of killed processes would hold it open
        command = [sys.executable, str(TESTS / "reliability" / "kill_studies.py"), str(kills)]
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
        subprocess.run(command, stdout=said, stderr=subprocess.DEVNULL, env=env, check=True, timeout=900)
        said.seek(0)
        return dict(next(json.loads(line) for line in said if line.startswith("{")))


def test_nothing_is_lost_or_mixed(tmp_path: Path) -> None:
    assert _kills(2, tmp_path)["kills"] == 2


@pytest.mark.slow
def test_nothing_is_lost_or_mixed_in_thirty_kills(tmp_path: Path) -> None:
    done = _kills(30, tmp_path)
    assert done["kills"] == 30
    assert done["full disks"] >= 8
    assert done["edited"] == 3
