"""Running many tasks: one thread each, and joblib without naming a backend, so that a cluster can do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["on_one_thread", "one_thread", "progress", "results"]

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread.

    So numbers do not depend on the machine and workers do not compete.  A library that is loaded meanwhile
    finds one thread in its environment; what was set before comes back at the end.

    Examples
    --------
    >>> with one_thread():
    ...     os.environ["OMP_NUM_THREADS"]
    '1'
    """
    torch: Any = sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    kept = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    try:
        if threads is not None:
            torch.set_num_threads(1)
        with _controller().limit(limits=1):
            yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if threads is not None:
            torch.set_num_threads(threads)
        elif "torch" in sys.modules:  # loaded inside, with one thread
            import joblib

            loaded: Any = sys.modules["torch"]
            loaded.set_num_threads(int(kept["OMP_NUM_THREADS"] or joblib.cpu_count(only_physical_cores=True)))


def on_one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """A function that runs inside `one_thread`: two threads of BLAS wait for each other over small products.

    Examples
    --------
    >>> on_one_thread(lambda: os.environ["OMP_NUM_THREADS"])()
    '1'
    """

    @wraps(function)
    def held(*args: P.args, **options: P.kwargs) -> T:
        with one_thread():
            return function(*args, **options)

    return held


def progress(items: Sequence[S], title: str) -> Iterator[S]:
    """The items one by one, with a bar where there is a terminal.

    Examples
    --------
    >>> list(progress([1, 2], "folds"))
    [1, 2]
    """
    from tqdm.auto import tqdm

    yield from tqdm(items, desc=title, disable=None, leave=False)


def results(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    n_jobs: int | None,
    *,
    ordered: bool = True,
) -> Iterator[Any]:
    """Yield results of calls, computed here or by joblib's workers, which take arguments when they are free.

    Examples
    --------
    >>> list(results(pow, [(2, 3), (3, 2)], None))
    [8, 9]
    """
    import joblib

    if joblib.effective_n_jobs(n_jobs) == 1:
        yield from (function(*a) for a in arguments)
        return
    calls = (joblib.delayed(function)(*a) for a in arguments)
    kind = "generator" if ordered else "generator_unordered"
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as=kind)
    except (ValueError, NotImplementedError):  # a backend that gives all at once
        parallel = joblib.Parallel(n_jobs=n_jobs)
    yield from parallel(calls)
