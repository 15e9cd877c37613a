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

from disteconometrics.data.source import DaskPart, HeldPart, Source
from disteconometrics.errors import WorkerError
from disteconometrics.inference.parallel import DEAD_NAMES, check_jobs, results
from disteconometrics.threads import one_thread

__all__ = ["PartRunner"]

PATIENCE = 30.0  # seconds that a dask cluster may be without any worker
LOOK = 2.0  # seconds between two looks at it


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    with one_thread():
        return function(*arguments)


def _call_held(function: Callable[..., Any], name: str, rest: tuple[Any, ...], *frames: Any) -> Any:
    """The same on a worker that holds the columns of the part."""
    return _call(function, HeldPart(name, frames), *rest)


@dataclass(eq=False)
class PartRunner:
    """Calls a function for every part of a source, whose results come in the order of the parts.

    Parameters
    ----------
    source : the source.
    n_jobs : int or None, joblib workers; a dask frame is worked on where its partitions are, if dask has a
        client, and its columns stay there.

    Examples
    --------
    >>> from disteconometrics.data.source import open_source, Parts
    >>> source = Parts(lambda: [{"x": [1.0, 2.0]}])
    >>> list(PartRunner(source)(lambda part, power: 2**power, [(source.parts[0], 3)], ["x"]))
    [8]
    """

    source: Source
    n_jobs: int | None = None
    _held: dict[str, list[Any]] = field(default_factory=dict, repr=False)  # futures by column and part
    _by: Any = field(default=None, repr=False)  # the client whose workers hold them

    def __post_init__(self) -> None:
        check_jobs(self.n_jobs)

    def __getstate__(self) -> dict[str, Any]:
        """Columns that workers hold do not travel."""
        return {**self.__dict__, "_held": {}, "_by": None}

    @property
    def is_here(self) -> bool:
        """Whether the work is done in this process."""
        return self.n_jobs in (None, 1) and _client(self.source) is None

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
        futures = []
        held = self._pieces(client, columns)
        for number, (part, *rest) in enumerate(calls):
            if held:
                frames = [piece[number] for piece in held]
                work = (_call_held, function, part.name, tuple(rest), *frames)
            else:
                work = (_call, function, part, *rest)
            futures.append(client.submit(*work, pure=False))
        try:
            for future in futures:
                yield _awaited(client, future)
        finally:
            client.cancel([future for future in futures if not future.done()])

    def _pieces(self, client: Any, columns: Sequence[str]) -> list[list[Any]]:
        """What workers hold of the columns: for each piece the futures of the parts; of dask frames alone."""
        if not all(isinstance(part, DaskPart) for part in self.source.parts):
            return []
        if client is not self._by:
            self._held, self._by = {}, client
        new = [name for name in columns if name not in self._held]
        if new:
            frame = self.source.parts[0].frame  # type: ignore[attr-defined]
            made = client.compute(frame[new].to_delayed())
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
