"""What an estimator may offer beyond ``fit``, and what it gets for it; nobody has to offer any of it.

===========================================  =================================================================
offer                                        what follows
===========================================  =================================================================
`MEstimate` with a `ScoreSource`             `covariance`: robust, clustered, HAC, jackknife; outer products
``model.resampling(result)`` → `Resampling`  `bootstrap` solves many draws at once, knows clusters and weights
``model.resampling(result)`` → `Redrawing`   `bootstrap` weighs the rows anew: what was chosen from rows is
                                             chosen again, and a row drawn twice is no news to itself
``model.replications(**options)`` →          `MonteCarlo` gives many tables at once to a `Collector`, which
`Replicating`                                returns `Replicated`
``result._refitting()`` → `Refitting`, in a  ``result.monte_carlo()``: the result checked by simulation, with
result that inherits `SelfChecking`          its own fitted law or its own rows as the truth
===========================================  =================================================================

Without them bootstrap and Monte Carlo call ``fit`` on every table, which gives the same numbers but for
`Redrawing`, whose draws differ where rows are left out one by one to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from disteconometrics.arrays import AnyArray, Array, Indices, Mask
from disteconometrics.likelihoods.score_sums import ScoreSums, SumsAsked

__all__ = [
    "REPLICATIONS",
    "ArrayScores",
    "Collector",
    "MEstimate",
    "Redrawing",
    "Redrawn",
    "Refitting",
    "Replicated",
    "Replicating",
    "Resampling",
    "RowScores",
    "ScaledRows",
    "ScoreSource",
    "SideBySide",
    "SummedScores",
]

CHUNK = 8192  # rows of scores at once
REPLICATIONS = 500  # of a check by simulation, where none are asked for


# ---- scores ------------------------------------------------------------------------------------------------


class RowScores(Protocol):
    """Scores (m, k) and information roots (m, k) of rows, and how many observations each row stands for.

    Rows whose information has a rank above one have several roots, (m, q, k).
    """

    @property
    def scores(self) -> Array: ...
    @property
    def roots(self) -> Array: ...
    @property
    def copies(self) -> Array | None: ...


class ScoreSource(Protocol):
    """Gives the rows of scores again and again, about ``rows`` at a time."""

    def __call__(self, rows: int | None = None) -> Iterator[RowScores]: ...


@runtime_checkable
class SummedScores(Protocol):
    """A `ScoreSource` over rows that are read in parts: what is to be summed is summed where they are."""

    def __call__(self, rows: int | None = None) -> Iterator[RowScores]: ...
    def sums(self, asked: SumsAsked) -> ScoreSums: ...


@dataclass(frozen=True, eq=False)
class ArrayScores:
    """Scores (n, k) and roots (n, k) in memory: a `ScoreSource`, and the `RowScores` of its parts.

    Examples
    --------
    >>> source = ArrayScores(np.ones((5, 2)), np.ones((5, 2)))
    >>> [part.scores.shape for part in source(3)]
    [(3, 2), (2, 2)]
    """

    scores: Array
    roots: Array
    copies: Array | None = None

    def __call__(self, rows: int | None = None) -> Iterator[ArrayScores]:
        """Parts of ``rows`` rows, in order."""
        step = rows or CHUNK
        for i in range(0, len(self.scores), step):
            part = slice(i, i + step)
            copies = None if self.copies is None else self.copies[part]
            yield ArrayScores(self.scores[part], self.roots[part], copies)


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Scores Z·s and roots Z·r of rows Z (n, k) that are made when asked for, s and r (n,)."""

    rows: Any
    of_scores: Array
    of_roots: Array
    copies: Array | None = None

    def __call__(self, rows: int | None = None) -> Iterator[ArrayScores]:
        """Parts of ``rows`` rows, in order."""
        step = rows or CHUNK
        for i in range(0, len(self.of_scores), step):
            part = slice(i, i + step)
            Z, copies = self.rows[part], None if self.copies is None else self.copies[part]
            yield ArrayScores(Z * self.of_scores[part, None], Z * self.of_roots[part, None], copies)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Scores of several equations on the same rows, next to one another: a `ScoreSource`."""

    sources: tuple[ScoreSource, ...]

    def __call__(self, rows: int | None = None) -> Iterator[ArrayScores]:
        """Parts of ``rows`` rows, in order."""
        step = rows or CHUNK
        for parts in zip(*(source(step) for source in self.sources), strict=True):
            scores, roots = (np.hstack([getattr(p, name) for p in parts]) for name in ("scores", "roots"))
            yield ArrayScores(scores, roots, parts[0].copies)


@dataclass(frozen=True, eq=False)
class MEstimate:
    """An estimating equation Σ scores = 0, solved, in well-conditioned coordinates.

    Scores come in coordinates c with β = T·c.  ``inner`` (k, k) is R⁻¹ for the information R'R of c, and
    ``root`` (k, k) = T·R⁻¹, so that root·root' is the inverse information of β and inner'·score is a score
    whose information is the identity.  ``basis`` is T (k, r), None for the identity.
    ``observations`` is n, or the sum of frequency weights; ``absorbed`` parameters were concentrated out of
    the scores and count among those that factors of finite samples divide by.
    """

    names: tuple[str, ...]
    params: Array
    inner: Array
    root: Array
    observations: float
    rows: int
    source: ScoreSource
    weight_type: str | None = None
    basis: Array | None = None
    absorbed: int = 0

    @property
    def parameters(self) -> int:
        """Coordinates and absorbed parameters, which take degrees of freedom."""
        return len(self.inner) + self.absorbed


# ---- the bootstrap -----------------------------------------------------------------------------------------


class Resampling(Protocol):
    """What an estimator may return from ``resampling(result)``, to be resampled quickly and on its own rows.

    ``positions`` (n,) are the rows used, ``weights`` their type and values; ``solve`` gives estimates (R, k)
    under weights (R, n) with a reason for each that failed, and may be used if ``direct``; ``restricted``
    gives scores (n, k) and information (k, k) with a coefficient held at a value.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def positions(self) -> Indices: ...
    @property
    def weights(self) -> tuple[str | None, Array | None]: ...
    @property
    def equation(self) -> MEstimate: ...
    @property
    def direct(self) -> bool: ...
    def codes(self, columns: Sequence[str]) -> tuple[Indices, int]: ...
    def solve(self, weights: Array) -> tuple[Array, list[str]]: ...
    def restricted(self, j: int, value: float) -> tuple[Array, Array] | None: ...


class Redrawn(Protocol):
    """An estimator's fit under drawn weights: its coefficients ``params`` alone, or the whole ``result``."""

    @property
    def params(self) -> Any: ...
    @property
    def result(self) -> Any: ...


@runtime_checkable
class Redrawing(Protocol):
    """What an estimator may return from ``resampling(result)`` that weighs its rows anew, draw by draw.

    ``positions`` (n,) are the rows used, ``weights`` their type and values; ``redraw`` fits under weights
    (n,), where ``together`` (n,) says how many copies of a row are the same observation; the choices that
    the fit made are made again unless the weights are not ``drawn``, as where a row is left out.
    """

    @property
    def positions(self) -> Indices: ...
    @property
    def weights(self) -> tuple[str | None, Array | None]: ...
    def codes(self, columns: Sequence[str]) -> tuple[Indices, int]: ...
    def redraw(self, weights: Array, together: Array, *, drawn: bool = True) -> Redrawn: ...


# ---- Monte Carlo studies -----------------------------------------------------------------------------------


class Replicated(NamedTuple):
    """Numbers of several tables: names (q,), values (R, q, 5), and which tables (R,) they are final for.

    The five are estimate, std_error, conf_low, conf_high and p_value.
    """

    names: tuple[str, ...]
    values: Array
    settled: Mask


class Collector(Protocol):
    """Takes tables one by one and estimates them together."""

    def take(self, table: Any) -> bool:
        """Copy what is needed of a table; False if it has to be fitted on its own."""
        ...

    def solve(self, level: float) -> Replicated | None:
        """Numbers of the tables taken since the last call, in their order; None if there are none.

        They equal those of single fits (relative 1e-10) and do not depend on what else was taken, to the last
        bit.
        """
        ...


class Replicating(Protocol):
    """What a specification may return from ``replications(**options)`` to have many tables estimated at once.

    ``options`` are the arguments of its ``fit``; it may return None where these are fitted one by one.
    """

    def collect(self, tables: int) -> Collector:
        """Room for so many tables."""
        ...


@dataclass(frozen=True, eq=False)
class Refitting:
    """What a result says of itself so that it can be made again from other data.

    ``estimator`` with ``options`` of its fit; ``table`` holds the columns of the rows used (n,), ``outcome``
    among them; ``law`` is the fitted law of the outcome, row by row, ``labels`` what its 0 and 1 stand for
    and ``told`` what is recorded of draws (None: these are the outcome); ``truth`` the parameters of the law,
    ``clusters`` the columns that the covariance clusters by, ``fitted_only`` why rows cannot be drawn, if so;
    ``robust`` are options whose standard errors hold where the model is wrong; ``only_design`` is how data
    are drawn if there is one way, and no other law, and ``reps`` how many replications are run where none are
    asked for.
    """

    estimator: Any
    options: Mapping[str, Any]
    table: Mapping[str, Any]
    outcome: str
    law: Any
    labels: AnyArray | None
    truth: Mapping[str, float]
    clusters: tuple[str, ...] = ()
    fitted_only: str = ""
    robust: Mapping[str, Any] | None = None
    only_design: str | None = None
    reps: int = REPLICATIONS
    told: Callable[[Array], Any] | None = None

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return len(self.table[self.outcome])

    def with_outcome(self, y: Array) -> dict[str, Any]:
        """The table with other outcomes (n,)."""
        if self.labels is not None:
            return {**self.table, self.outcome: self.labels[y.astype(np.intp)]}
        return {**self.table, self.outcome: y if self.told is None else self.told(y)}
