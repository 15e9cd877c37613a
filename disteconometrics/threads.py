"""Holding numerical libraries to one thread: two threads of BLAS wait for each other over small products."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["on_one_thread", "one_thread", "thread_pools", "threads_for"]

P = ParamSpec("P")
T = TypeVar("T")

NARROW = 50  # columns of a design: measured at 3 and 20 columns, 20,000 and 300,000 rows
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@cache
def thread_pools() -> Any:
    """What holds the libraries that are loaded to a number of threads; made once."""
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
        with thread_pools().limit(limits=1):
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


def threads_for(columns: int) -> AbstractContextManager[None]:
    """`one_thread` for designs of so few columns that threads cost more than they gain.

    Examples
    --------
    >>> with threads_for(3):
    ...     os.environ["OMP_NUM_THREADS"]
    '1'
    """
    return one_thread() if columns <= NARROW else nullcontext()


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
