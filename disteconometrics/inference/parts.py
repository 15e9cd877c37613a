"""Where the parts of a source are worked on: here, by joblib's workers, or by those of a dask cluster.

Whatever works on them, a part is worked on by one thread and results are taken in the order of the parts, so
numbers depend on how the source is cut alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from disteconometrics.data.source import DaskPart, HeldPart, Source
from disteconometrics.errors import OptionError, WorkerError
from disteconometrics.inference.parallel import DEAD_NAMES, check_jobs, results
from disteconometrics.threads import one_thread

__all__ = ["PartRunner"]

PATIENCE = 30.0  # seconds that a dask cluster may be without any worker
LOOK = 2.0  # seconds between two looks at it


@dataclass(frozen=True)
class _InWorker:
    """The result of a call for a part, which each worker of joblib keeps that had to find it.

    A worker keeps those of one fit, the last that it worked for, until it ends.
    """

    fit: str
    number: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def found(self) -> Any:
        """The result, as this process has it."""
        if self.fit not in _KEPT:
            _KEPT.clear()
        mine = _KEPT.setdefault(self.fit, {})
        if self.number not in mine:
            mine[self.number] = self.function(*self.arguments)
        return mine[self.number]


_KEPT: dict[str, dict[int, Any]] = {}  # in a worker: results by fit and part


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    with one_thread():
        return function(*(a.found() if isinstance(a, _InWorker) else a for a in arguments))


def _call_held(function: Callable[..., Any], name: str, columns: int, *arguments: Any) -> Any:
    """The same on a worker that holds pieces of the columns of the part, the first of the arguments."""
    return _call(function, HeldPart(name, arguments[:columns]), *arguments[columns:])


@dataclass(eq=False)
class PartRunner:
    """Calls a function for every part of a source, whose results come in the order of the parts.

    Parameters
    ----------
    source : the source.
    n_jobs : int or None, joblib workers; a dask frame is worked on where its partitions are, if dask has a
        client.
    holds : bool, whether the columns of a dask frame stay there.
    on_disk : bool, whether results are to go into files of this machine, which workers of dask may not have.

    Raises
    ------
    OptionError
        If workers of dask would write files.

    Examples
    --------
    >>> from disteconometrics.data.source import open_source, Parts
    >>> source = Parts(lambda: [{"x": [1.0, 2.0]}])
    >>> list(PartRunner(source)(lambda part, power: 2**power, [(source.parts[0], 3)], ["x"]))
    [8]
    """

    source: Source
    n_jobs: int | None = None
    holds: bool = True
    on_disk: bool = False
    _held: dict[str, list[Any]] = field(default_factory=dict, repr=False)  # futures by column and part
    _by: Any = field(default=None, repr=False)  # the client whose workers hold them

    def __post_init__(self) -> None:
        check_jobs(self.n_jobs)
        if self.on_disk and _client(self.source) is not None:
            raise OptionError(
                "cache='disk' writes files of this machine, and workers of dask do the work: take "
                "cache='memory', which they keep among them and spill to their own disks."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Columns that workers hold do not travel."""
        return {**self.__dict__, "_held": {}, "_by": None}

    @property
    def place(self) -> Any:
        """The client of dask, or the number of joblib's workers."""
        import joblib

        client = _client(self.source)
        return joblib.effective_n_jobs(self.n_jobs) if client is None else client

    @property
    def is_here(self) -> bool:
        """Whether the work is done in this process."""
        return bool(self.place == 1)

    @property
    def keepers(self) -> int:
        """Processes that keep what they are asked to until it is let go: joblib's workers cannot be told."""
        client = _client(self.source)
        return int(self.is_here) if client is None else len(client.nthreads())

    def keep(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> list[Any]:
        """Results of calls for later ones: here themselves, on dask as futures, else in joblib's workers."""
        client = _client(self.source)
        if client is not None:
            futures = self._submitted(client, function, calls, columns)
            self._held = {}  # columns, in the place of which what is made of them is kept
            return futures
        if self.is_here:
            return list(self(function, calls, columns))
        fit = uuid4().hex
        return [_InWorker(fit, i, function, call) for i, call in enumerate(calls)]

    def __call__(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> Iterable[Any]:
        """Results of calls, whose first argument is the part; they read ``columns``.

        Raises
        ------
        WorkerError
            If a worker dies and no other does its work.
        """
        client = _client(self.source)
        if client is not None:
            return self._on_dask(client, function, calls, columns)
        given = {"The source": self.source, "the work": function}
        return results(_call, [(function, *call) for call in calls], self.n_jobs, parts=given, named=_named)

    def _on_dask(
        self,
        client: Any,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        columns: Sequence[str],
    ) -> Iterator[Any]:
        futures = self._submitted(client, function, calls, columns)
        try:
            for future in futures:
                yield _awaited(client, future)
        finally:
            client.cancel([future for future in futures if not future.done()])

    def _submitted(
        self,
        client: Any,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        columns: Sequence[str],
    ) -> list[Any]:
        """Futures of calls; a part of a dask frame travels as its columns alone, which workers hold."""
        if not all(isinstance(part, DaskPart) for part in self.source.parts):
            return [client.submit(_call, function, *call, pure=False) for call in calls]
        held = self._pieces(client, columns)
        return [
            client.submit(
                _call_held, function, part.name, len(held), *(p[i] for p in held), *rest, pure=False
            )
            for i, (part, *rest) in enumerate(calls)
        ]

    def _pieces(self, client: Any, columns: Sequence[str]) -> list[list[Any]]:
        """What workers hold of the columns: for each piece the futures of the parts."""
        if client is not self._by or not self.holds:
            self._held, self._by = {}, client
        new = [name for name in columns if name not in self._held]
        if new:
            made = client.compute(self.source.parts[0].delayed(new))  # type: ignore[attr-defined]
            self._held |= dict.fromkeys(new, made)
        distinct = {id(piece): piece for piece in (self._held[name] for name in columns)}
        return list(distinct.values())


def _named(out: Sequence[tuple[Any, ...]]) -> str:
    return str(out[0][1].name)


def _client(source: Source) -> Any:
    """The client of a dask cluster that is to do the work, or None."""
    if "distributed" not in sys.modules:
        return None
    import joblib

    backend = joblib.parallel.get_active_backend()[0]
    if "dask" in type(backend).__module__:
        return backend.client
    if not all(isinstance(part, DaskPart) for part in source.parts):
        return None
    import distributed

    try:
        return distributed.default_client()  # type: ignore[no-untyped-call]
    except ValueError:
        return None


def _awaited(client: Any, future: Any) -> Any:
    """The result of a future, however long it takes, while there are workers."""
    without, end = 0.0, threading.Event()
    future.add_done_callback(lambda _: end.set())  # result(timeout=) of a busy cluster loses its result
    while not (end.wait(LOOK) or future.done()):
        without = 0.0 if client.nthreads() else without + LOOK
        if without >= PATIENCE:
            raise WorkerError(
                f"The dask cluster has had no workers for {PATIENCE:.0f} s. Start it again with more "
                "memory for each worker, and fit again; or fit without its client, by n_jobs=."
            )
    try:
        return future.result()
    except Exception as error:
        if type(error).__name__ in DEAD_NAMES:
            raise WorkerError(
                "Workers of the dask cluster died again and again at one partition, most often of too little "
                f"memory: give them more, or cut the frame smaller (repartition). {error}"
            ) from error
        raise
