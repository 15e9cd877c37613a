"""Rows of a source for training by batches: looked at once, then dealt out in windows that memory holds.

Each window is a random share of all rows, whichever parts they are in, so that sorted files train as mixed
ones do; the windows of an epoch have every row once.  Whether a row is held out, and its window, are drawn
by its place in its part, with the seed: they depend on how the source is cut alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, or_ones
from disteconometrics.blocks import Block, StreamedBlocks, columns
from disteconometrics.data.batches import tables_of
from disteconometrics.data.formula import parse_formula
from disteconometrics.data.joint_design import JointSpec, read_outcomes
from disteconometrics.data.learn import learn
from disteconometrics.data.outcome import Outcome
from disteconometrics.data.settle import other_columns
from disteconometrics.data.source import Source, open_source
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.stream import StreamDesign
from disteconometrics.data.table import Table
from disteconometrics.distributions.support import Support
from disteconometrics.errors import DataError, FormulaError
from disteconometrics.estimators.rows import CountedRows, JointFitRows
from disteconometrics.inference.parts import PartRunner

__all__ = ["AVERAGED", "Look", "RowArrays", "StreamedRows", "open_rows"]

KEPT = 100_000  # rows of a source that are kept as a table
SEEN = 100_000  # rows, drawn at random, by which more are checked
AVERAGED = 2_000  # of these that a result keeps
LEAST_APART, APART = 1_000, 50_000  # rows held out
HELD, DRAWN, DEALT = range(3)  # what rows are drawn for; from the last on the epochs in which they are dealt
WINDOW_BYTES = 32_000_000  # of a window in single precision


class RowArrays(NamedTuple):
    """Outcomes (n, d), the right side without its constant (n, c), and weights (n,) or None."""

    Y: Array
    X: Array
    weights: Array | None

    def take(self, rows: Any) -> RowArrays:
        """Some of the rows."""
        return RowArrays(self.Y[rows], self.X[rows], None if self.weights is None else self.weights[rows])


def _joined(pieces: Sequence[RowArrays]) -> RowArrays:
    Y, X, w = zip(*pieces, strict=True)
    return RowArrays(np.concatenate(Y), np.concatenate(X), None if w[0] is None else np.concatenate(w))


@dataclass
class _Sums:
    """Sums of weights, means (k,) and products around them (k, k), ends (k,), without a loss of digits."""

    mass: float = 0.0
    mean: Any = 0.0
    products: Any = 0.0
    low: Any = np.inf
    high: Any = -np.inf

    def add(self, Z: Array, weights: Array | None) -> None:
        """Add rows Z (m, k)."""
        if not len(Z):
            return
        w = or_ones(weights, len(Z))
        own = float(w.sum())
        mean = w @ Z / own
        around = Z - mean
        apart, mass = mean - self.mean, self.mass + own
        self.products = self.products + around.T @ (around * w[:, None])
        self.products += np.outer(apart, apart) * (self.mass * own / mass)
        self.mean = self.mean + apart * (own / mass)
        self.mass = mass
        self.low, self.high = np.minimum(self.low, Z.min(axis=0)), np.maximum(self.high, Z.max(axis=0))


@dataclass(frozen=True, eq=False)
class Look:
    """What one reading says of outcomes on the line and covariates, together (k,).

    ``slope`` is the mean log slope of the map to the line, ``gram`` (1 + c, 1 + c) that of a constant and the
    covariates; ``outside`` are outcomes (m, d) beyond their support, ``seen`` rows drawn at random, ``apart``
    rows held out, None where there are none.
    """

    mean: Array
    spread: Array
    low: Array
    high: Array
    slope: float
    gram: Array
    outside: Array
    seen: RowArrays
    apart: RowArrays | None


@dataclass(frozen=True, eq=False)
class StreamedRows(CountedRows):
    """Rows of a source that are read anew, part by part; ``seen`` are some of them, drawn at random.

    Examples
    --------
    >>> import disteconometrics as de
    >>> source = de.Parts(lambda: [{"a": [1.0, 2.0], "b": [0.0, 3.0], "x": [1, 2]}])
    >>> rows = StreamedRows.read(de.FlowDensity("a + b ~ x", flow=de.RQS()), source)
    >>> [(piece.Y.tolist(), piece.X.tolist()) for piece in rows.pieces()]
    [([[1.0, 0.0], [2.0, 3.0]], [[1.0], [2.0]])]
    """

    design: StreamDesign
    spec: JointSpec
    seen: RowArrays | None = field(default=None, repr=False)

    @classmethod
    def read(cls, model: Any, source: Source, n_jobs: int | None = None) -> StreamedRows:
        """Read a source once by a specification's ``formula``, ``weights`` and ``weight_type``.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, NeedsRows
        """
        outcomes, right = read_outcomes(model.formula)
        design = learn(
            f"{outcomes[0]} ~ {right}",
            source,
            weights=model.weights,
            weight_type=model.weight_type,
            outcome="numeric",
            run=PartRunner(source, n_jobs),
            more=outcomes[1:],
        )
        return cls(design, JointSpec(tuple(_spec_of(design.spec, y, right) for y in outcomes)))

    def __getattr__(self, name: str) -> Any:
        """What rows in memory have, and these have not."""
        if name in ("Y", "X", "covariates", "kept"):
            raise self.design.needs_rows()
        raise AttributeError(name)

    @property
    def observations(self) -> float:
        """Rows, or the sum of frequency weights."""
        return self.design.total if self.frequency else float(self.size)

    @property
    def readings(self) -> int:
        """How often the source was read so far."""
        return self.design.readings[0]

    def fingerprint(self) -> str:
        """A digest of the outcomes and weights."""
        return self.design.fingerprint()

    def some_covariates(self, most: int) -> tuple[Array, Array | None]:
        """Covariates (m, c) and weights (m,) or None of so many rows at most, drawn at random.

        Raises
        ------
        NeedsRows
            If none are kept.
        """
        if self.seen is None:
            raise self.design.needs_rows()
        return self.seen.take(slice(0, most))[1:]

    def pieces(self) -> Iterator[RowArrays]:
        """All rows, piece by piece.

        Raises
        ------
        DataError
            If the source has changed.
        """
        for block in self.design.read():
            yield arrays_of(self.spec, block)

    def by_part(self, function: Callable[[Iterator[RowArrays]], Any]) -> list[Any]:
        """What a function makes of the pieces of every part, here or where the parts are worked on.

        Raises
        ------
        DataError
            If the source has changed.
        """
        blocks = StreamedBlocks(self.design, each_row=True)
        return [part.value for part in blocks.by_part(_OfPart(self.spec, function))]

    # ---- training ------------------------------------------------------------------------------------------

    def look(self, domain: Support, share: float, seed: int) -> Look:
        """Read the rows once: moments, ends, some rows, and a share of them that is held out.

        Raises
        ------
        DataError
            If the source has changed.
        """
        sums, seen, apart, outside = _Sums(), list[RowArrays](), list[RowArrays](), list[Array]()
        few = SEEN / self.size
        for number, blocks in enumerate(self.design.each_part()):
            held, drawn = _drawing(seed, number, HELD), _drawing(seed, number, DRAWN)
            for block in blocks:
                rows = arrays_of(self.spec, block)
                m = len(rows.Y)
                seen.append(rows.take(drawn.random(m) < few))
                apart.append(rows.take(held.random(m) < share))
                beyond = domain.outside(rows.Y).any(axis=1)
                if beyond.any():
                    outside.append(rows.Y[beyond])
                    rows = rows.take(~beyond)
                slope = domain.log_slope(rows.Y).sum(axis=1)
                sums.add(np.column_stack([domain.to_line(rows.Y), rows.X, slope]), rows.weights)
        d = len(self.spec.outcomes)
        mean, squares = sums.mean[d:-1], sums.products[d:-1, d:-1]
        gram = np.block([[np.ones((1, 1)), mean[None]], [mean[:, None], np.outer(mean, mean)]]) * sums.mass
        gram[1:, 1:] += squares
        spread = np.sqrt(np.diag(sums.products) / sums.mass)
        return Look(
            sums.mean[:-1],
            np.where(spread > 0, spread, 1.0)[:-1],
            sums.low[:-1],
            sums.high[:-1],
            float(sums.mean[-1]),
            gram,
            np.concatenate([np.zeros((0, d)), *outside]),
            _joined(seen),
            _joined(apart) if share else None,
        )

    def share_apart(self, share: float) -> float:
        """A share of the rows to hold out, of no more than memory holds with ease, and no fewer than tell."""
        return float(np.clip(share, LEAST_APART / self.size, APART / self.size)) if share else 0.0

    def windows(self, size: int) -> int:
        """Windows in an epoch, each of two batches of so many rows at least."""
        width = len(self.spec.outcomes) + len(self.spec.names) + (self.design.asked.weights is not None)
        return -(-self.size // max(WINDOW_BYTES // (4 * width), 2 * size))

    def window(self, windows: int, share: float, seed: int, epoch: int, number: int) -> Iterator[RowArrays]:
        """The rows of a window in pieces, without the share of the rows that is held out: one reading.

        Raises
        ------
        DataError
            If the source has changed.
        """
        for part, blocks in enumerate(self.design.each_part()):
            held, dealt = _drawing(seed, part, HELD), _drawing(seed, part, DEALT + epoch)
            for block in blocks:
                m = len(block.y)
                mine = (dealt.random(m) * windows).astype(np.intp) == number
                mine &= held.random(m) >= share
                yield arrays_of(self.spec, block.rows(mine))

    def end(self, seen: RowArrays) -> StreamedRows:
        """Let go of what is kept for passes, and keep some rows."""
        self.design.end()
        return replace(self, seen=seen.take(slice(0, AVERAGED)))


@dataclass(frozen=True)
class _OfPart:
    """A function of the pieces of a part as one of its blocks."""

    spec: JointSpec
    function: Callable[[Iterator[RowArrays]], Any]

    def __call__(self, blocks: Iterator[Block]) -> Any:
        return self.function(arrays_of(self.spec, block) for block in blocks)


def _drawing(seed: int, part: int, what: int) -> np.random.Generator:
    """By which rows of a part are drawn, in every reading alike."""
    return np.random.default_rng([seed, part, what])


def arrays_of(spec: JointSpec, block: Block) -> RowArrays:
    """Outcomes, covariates and weights of a block."""
    return RowArrays(
        block.y.reshape(len(block.y), -1), spec.without_constant(columns(block.X)), block.weights
    )


def _spec_of(spec: DesignSpec, outcome: str, right: str) -> DesignSpec:
    """The specification of one of several outcomes."""
    formula = f"{outcome} ~ {right}"
    parsed = parse_formula(formula, spec.dot)
    names = dict.fromkeys([*parsed.left.variables, *parsed.right_variables])
    own = {name: spec.columns[name] for name in names}
    return replace(spec, formula=formula, outcome=Outcome(parsed.left.name, "numeric"), columns=own)


# ---- opening -----------------------------------------------------------------------------------------------


def open_rows(model: Any, data: Any, n_jobs: int | None = None) -> JointFitRows | StreamedRows:
    """The rows of a table, or of a source: as a table where they are few, else read anew.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, NeedsRows

    Examples
    --------
    >>> import disteconometrics as de
    >>> source = de.Parts(lambda: [{"y": [1.0, 2.0]}, {"y": [4.0]}])
    >>> open_rows(de.FlowDensity("y ~ 1", flow=de.RQS()), source).Y.tolist()
    [[1.0], [2.0], [4.0]]
    """
    source = open_source(data)
    if source is None:
        return JointFitRows.read(model, data)
    few = _few(source, _names(model, source))
    return StreamedRows.read(model, source, n_jobs) if few is None else JointFitRows.read(model, few)


def _names(model: Any, source: Source) -> list[str]:
    """The columns that a specification reads."""
    outcomes, right = read_outcomes(model.formula)
    others: tuple[str, ...] = ()
    if "." in right:
        others = other_columns(Table({name: np.zeros(0) for name in source.columns()}), model.weights)
    parsed = [parse_formula(f"{y} ~ {right}", others) for y in outcomes]
    if len(parsed) > 1 and parsed[0].has_dot:
        raise FormulaError(
            f"'.' in {model.formula!r} would stand for outcomes too, and data is read in parts: write the "
            "columns of the right side."
        )
    names = [name for one in parsed for name in (*one.left.variables, *one.right_variables)]
    return list(dict.fromkeys([*names, *([] if model.weights is None else [model.weights])]))


def _few(source: Source, names: Sequence[str]) -> pd.DataFrame | None:
    """The rows as a table, as pandas joins tables; None where they are many."""
    found, rows = list[dict[str, Any]](), 0
    for part in source.parts:
        for table in tables_of(part, names):
            rows += len(table)
            if rows > KEPT:
                return None
            found.append({name: table.data[name] for name in names})
    if not rows:
        raise DataError("The source has no rows")
    return pd.DataFrame({name: _column([table[name] for table in found]) for name in names})


def _column(pieces: Sequence[Any]) -> pd.Series:
    """One column of several; pieces without any value have no say in what it holds."""
    series = [pd.Series(piece).reset_index(drop=True) for piece in pieces]
    told = [one for one in series if one.notna().any()]
    if not told:
        return pd.concat(series, ignore_index=True)
    joined = pd.concat(told, ignore_index=True)
    if len(told) < len(series):
        there = np.concatenate([np.full(len(one), one.notna().any()) for one in series])
        joined.index = pd.Index(np.flatnonzero(there))
        joined = joined.reindex(range(len(there)))
    return joined
