"""Running many tasks by joblib without naming a backend, so that a cluster can do it."""

from __future__ import annotations

import pickle
import platform
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import numpy as np

from disteconometrics.checks import is_whole
from disteconometrics.errors import DisteconometricsError, OptionError, WorkerError
from disteconometrics.threads import thread_pools

__all__ = ["check_jobs", "machine", "progress", "results"]

S = TypeVar("S")
T = TypeVar("T")

MOST_JOBS = 1_024
DEAD = (BrokenExecutor,)
DEAD_NAMES = ("KilledWorker",)  # dask's, which may not be installed
SENDABLE = "leave n_jobs out, or let it make inside what cannot be pickled, such as locks and open files."


def progress(items: Sequence[S], title: str) -> Iterator[S]:
    """The items one by one, with a bar where there is a terminal.

    Examples
    --------
    >>> list(progress([1, 2], "folds"))
    [1, 2]
    """
    from tqdm.auto import tqdm

    yield from tqdm(items, desc=title, disable=None, leave=False)


@cache
def machine() -> str:
    """What the last bits of numbers depend on: processor, its BLAS kernel, and the versions of what computes.

    Examples
    --------
    >>> machine().split(", ")[-1].split()[0]
    'disteconometrics'
    """
    found: Any = np.show_config(mode="dicts")
    features = found.get("SIMD Extensions", {}).get("found", [])
    blas = {
        f"{i['internal_api']} {i.get('architecture')} {i.get('version')}"
        for i in thread_pools().info()
        if i["user_api"] == "blas"
    }
    library = " ".join(platform.libc_ver()).strip() or platform.platform()
    versions = [f"{name} {_version(name)}" for name in ("numpy", "scipy", "torch", "disteconometrics")]
    processor = " ".join([platform.machine(), *features])
    return ", ".join([processor, *sorted(blas), library, f"python {platform.python_version()}", *versions])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def check_jobs(n_jobs: Any) -> None:
    """Refuse what is no number of workers.

    Raises
    ------
    OptionError
        If it is not None, a whole number of workers, or one below zero, which counts from all processors.

    Examples
    --------
    >>> check_jobs(2), check_jobs(-1), check_jobs(None)
    (None, None, None)
    """
    if n_jobs is not None and (not is_whole(n_jobs, -MOST_JOBS, MOST_JOBS) or n_jobs == 0):
        raise OptionError(
            f"n_jobs={n_jobs!r}: give None or 1 for no workers, a number of workers up to {MOST_JOBS:,}, or "
            "-1 for as many as there are processors (-2: one fewer)."
        )


def _call(number: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[int, Any]:
    """A result with the number of its call."""
    return number, function(*arguments)


def results(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    n_jobs: int | None,
    *,
    ordered: bool = True,
    parts: Mapping[str, Any],
    named: Callable[[Sequence[Any]], str],
) -> Generator[Any, None, None]:
    """Yield results of calls, computed here or by joblib's workers, which take arguments when they are free.

    ``parts`` are what users gave, by name, and ``named`` puts arguments in words: for the error of workers.

    Raises
    ------
    OptionError
        If ``n_jobs`` is no number of workers.
    WorkerError
        If a worker dies, or the work cannot be sent to it.

    Examples
    --------
    >>> list(results(pow, [(2, 3), (3, 2)], None, parts={}, named=str))
    [8, 9]
    """
    import joblib

    check_jobs(n_jobs)
    if joblib.effective_n_jobs(n_jobs) == 1:
        yield from (function(*a) for a in arguments)
        return
    out: dict[int, tuple[Any, ...]] = {}  # with the workers now

    def calls() -> Iterator[Any]:
        for i, a in enumerate(arguments):
            out[i] = a
            yield joblib.delayed(_call)(i, function, a)

    kind = "generator" if ordered else "generator_unordered"
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as=kind)
    except (ValueError, NotImplementedError):  # a backend that gives all at once
        parallel = joblib.Parallel(n_jobs=n_jobs)
    backend = type(joblib.parallel.get_active_backend()[0])
    if "dask" in backend.__module__:  # it would wait for ever for what cannot be sent
        _raise_unsendable(parts)
    found = parallel(calls())
    try:
        for i, result in found:
            del out[i]
            yield result
    except DisteconometricsError:
        raise
    except Exception as error:
        where = f", at {named([out[i] for i in sorted(out)])}" if out else ""
        _raise_trouble(error, parts, where)
        raise
    finally:
        _close(found)


def _close(found: Any) -> None:
    """Cancel what nobody waits for, without joblib's word on it.

    Worker threads may put filters of warnings back meanwhile, so that the word is an error in spite of ours.
    """
    if hasattr(found, "close"):
        with warnings.catch_warnings(), suppress(UserWarning):
            warnings.simplefilter("ignore")
            found.close()


def _raise_trouble(error: Exception, parts: Mapping[str, Any], where: str) -> None:
    """Raise in words what befell workers; return if it is the error of a function."""
    dead = isinstance(error, DEAD) or type(error).__name__ in DEAD_NAMES
    if not dead and "pickle" not in f"{type(error).__name__} {error}".lower():
        return
    _raise_unsendable(parts, where)
    if not dead:
        raise WorkerError(f"The work cannot be sent to workers ({error}){where}; {SENDABLE}") from error
    text = str(error)
    codes = text[text.find("{") + 1 : text.find("}")] if "{" in text else type(error).__name__
    raise WorkerError(
        f"A worker died{where} (exit codes: {codes}). Where the system killed it, memory was too little: ask "
        "for fewer n_jobs. Else run it with n_jobs=1: the process ends where the trouble is."
    ) from error


def _raise_unsendable(parts: Mapping[str, Any], where: str = "") -> None:
    """Raise if a part cannot travel to another process and back."""
    from joblib.externals.loky.backend import reduction

    for name, part in parts.items():
        try:
            pickle.loads(reduction.dumps(part))
        except Exception as error:
            raise WorkerError(
                f"{name} cannot be sent to workers ({type(error).__name__}: {error}){where}; {SENDABLE}"
            ) from error
