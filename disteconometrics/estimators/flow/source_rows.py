"""Rows of a density from a source whose covariates take few values: themselves where few, else bins by cell.

A second reading fills bins of the outcome in every cell of the covariates; the mean of a bin stands for its
rows, as often as they are many.  Where the score of a row bends one way within a bin, Σ s(y_i) lies between
n·s(mean) and n times the chord over the bin at the mean (Jensen; Edmundson, Madansky).  With d the sum of
these gaps and H the information of the fit, no number with gradient g moves by more than √(d'H⁻¹d) times
√(g'H⁻¹g), its standard error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import columns
from disteconometrics.data.batches import Batch
from disteconometrics.data.design import Design, RowCount
from disteconometrics.data.stream import StreamDesign
from disteconometrics.data.table import Column, Table
from disteconometrics.distributions.support import Support
from disteconometrics.errors import NeedsRows
from disteconometrics.estimators.flow.row_checks import check_support
from disteconometrics.estimators.rows import row_facts
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.transport.histogram import Filling, Histogram
from disteconometrics.transport.sorting import Bins

__all__ = ["MOST_CELLS", "MOST_NUMBERS", "SourceFacts", "SourceRows", "rows_of_source"]

MOST_CELLS, MOST_NUMBERS = 1_000, 100  # of the covariates, and of numbers of one of them
KEPT = 100_000  # rows of a source that are kept as they are
BINS, LEAST_BINS = 10_000, 1_000  # of the outcome in a cell
MOST_BINS = 1_000_000  # over all cells
SEEN = 500_000  # rows of the first reading in which shared values are looked for
MOST_IN_BIN = 0.02  # of the rows that one bin may hold, its most frequent value aside
FEW = 8_192  # by which bins are laid


@dataclass(frozen=True)
class SourceFacts:
    """How a source was read: ``bins`` of the outcome are 0 where its rows were kept.

    ``error`` bounds what bins change, in standard errors, and ``largest`` is the share of the rows in one.
    """

    readings: Count
    cells: Count
    bins: Count = 0
    error: AnyFloat = 0.0
    largest: AnyFloat = 0.0

    def notes(self) -> tuple[str, ...]:
        """The line of a summary."""
        if not self.bins:
            return (f"The source was read {self.readings} times; its rows are few and were kept.",)
        of = f"in each of {self.cells} cells of the covariates " if self.cells > 1 else ""
        return (
            f"The source was read {self.readings} times; {of}{self.bins:,} bins of the outcome stand for the "
            f"rows. With the same knots, base and penalties this moves numbers of the flow by at most "
            f"{self.error:.1g} standard errors (nonrobust); these are chosen anew, and where tails are long "
            f"another choice has moved numbers by up to .7 standard errors. The largest bin holds "
            f"{self.largest:.2g} of the rows, within which effects on quantiles go by the flow.",
        )


class SourceRows(NamedTuple):
    """A design of rows, and what is known of the source.

    ``counts`` are facts of its rows.  ``seen`` are outcomes, and weights or None, in which shared values
    show; ``ends`` (m,) are those of the bins that rows stand for, None where they are themselves.
    """

    design: Design
    facts: SourceFacts
    counts: dict[str, Any]  # of rows, for the facts of the fit
    seen: tuple[Array, Array | None]
    ends: tuple[Array, Array] | None


def rows_of_source(stream: StreamDesign, support: Support) -> SourceRows:
    """Read a source again for the rows that a density is fitted to.

    Parameters
    ----------
    stream : StreamDesign of few cells.
    support : Support, where outcomes may be; bins are even on the line that it is mapped to.

    Raises
    ------
    DataError
        If the source has changed since the first reading, or outcomes are outside their support.
    NeedsRows
        For sampling weights of many rows.
    """
    cells = len(stream.tally.places)
    counts = row_facts(stream.rows)
    if stream.rows.used <= KEPT:
        y, at, w = (_stacked(parts) for parts in zip(*stream.by_batches(_kept), strict=True))
        design = _design(stream, at, y, w, stream.rows)
        seen = y, w if stream.spec.weight_type == "frequency" else None
        return SourceRows(design, SourceFacts(stream.readings[0], cells), counts, seen, None)
    if stream.spec.weight_type == "sampling":
        raise NeedsRows(
            f"Sampling weights ({stream.spec.weights!r}) need rows, and of a source beyond {KEPT:,} rows "
            "only counts by bin are kept: make a table, of all rows or of a sample, by pd.read_parquet(path, "
            "columns=[…])."
        )
    count = int(np.clip(MOST_BINS // cells, LEAST_BINS, BINS))
    few = _first(stream, SEEN)
    bins = Bins.around(support.to_line(few[0][:: max(1, len(few[0]) // FEW)]))
    read = _read_bins(stream, support, Filling(bins, cells, count))
    histograms, edges = read.histograms(), read.histograms()[0].edges
    _check_spread(histograms, support.to_line(few[0]), few[1], stream.spec.outcome.name)
    used = [np.flatnonzero(h.counts) for h in histograms]
    at = np.repeat(np.arange(cells), [len(u) for u in used])
    mean, w, spread = (
        np.concatenate([getattr(h, name)[u] for h, u in zip(histograms, used, strict=True)])
        for name in ("means", "counts", "spreads")
    )
    low, high = edges[np.concatenate(used)], edges[np.concatenate(used) + 1]
    wide = (spread > 0) & (low < mean) & (mean < high)
    y, low, high = (support.from_line(u) for u in (mean, low, high))
    ends = np.where(wide, low, y), np.where(wide, high, y)
    design = _design(stream, at, y, w, RowCount(len(y), len(y)))
    largest = float(np.max(w[wide], initial=0.0) / w.sum())
    facts = SourceFacts(stream.readings[0], cells, count, largest=largest)
    return SourceRows(design, facts, counts, few if wide.any() else (y, w), ends)


def _check_spread(histograms: list[Histogram], seen: Array, weights: Array | None, name: str) -> None:
    """Refuse outcomes many of which share a bin without being equal: bins do not tell their law.

    ``seen`` (m,) are outcomes on the line with ``weights``, which tell a value that is shared from others.
    """
    edges, total = histograms[0].edges, sum(h.size for h in histograms)
    counts = np.sum([np.where(h.spreads > 0, h.counts, 0.0) for h in histograms], axis=0)
    for bin_ in np.flatnonzero(counts > MOST_IN_BIN * total):
        own = (edges[bin_] <= seen) & (seen <= edges[bin_ + 1])
        _, at = np.unique(seen[own], return_inverse=True)
        times = np.bincount(at.reshape(-1), None if weights is None else weights[own])
        apart = counts[bin_] / total * (1 - times.max(initial=0.0) / max(times.sum(), 1))
        if apart > MOST_IN_BIN:
            raise NeedsRows(
                f"{apart:.0%} of the rows have values of {name!r} that differ and share one of "
                f"{len(counts):,} bins, as where outcomes lie in a few narrow places far apart: make a "
                f"table, of all rows or of a sample, by pd.read_parquet(path, columns=[…]), and fit that."
            )


def _read_bins(stream: StreamDesign, support: Support, total: Filling) -> Filling:
    """The second reading, in the bins of an empty filling."""
    outside = [np.zeros(0)]
    for filling, beyond in stream.by_batches(partial(_filled, total.bins, *total.shape, support)):
        total.merge(filling)
        outside.append(beyond)
    check_support(np.concatenate(outside), support, stream.spec.outcome.name)
    return total


def _kept(batches: Iterator[tuple[Batch, Indices]]) -> tuple[Any, ...]:
    """Outcomes, cells and weights of the rows."""
    found = []
    for batch, at in batches:  # copied, as the next one may come in the same arrays
        w = None if batch.weights is None else batch.weights.copy()
        found.append((np.array(batch.values[0], dtype=np.float64), at, w))
    if not found:
        return np.zeros(0), np.zeros(0, dtype=np.intp), None
    return tuple(_stacked(parts) for parts in zip(*found, strict=True))


def _stacked(parts: tuple[Any, ...]) -> Any:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def _filled(
    bins: Bins, cells: int, count: int, support: Support, batches: Iterator[tuple[Batch, Indices]]
) -> tuple[Filling, Array]:
    """Bins of the outcome in every cell, and outcomes outside their support."""
    filling, outside = Filling(bins, cells, count), [np.zeros(0)]
    for batch, at in batches:
        y, w = np.asarray(batch.values[0], dtype=np.float64), batch.weights
        beyond = support.outside(y)
        if beyond.any():
            outside.append(y[beyond])
            y, at, w = y[~beyond], at[~beyond], None if w is None else w[~beyond]
        filling.add(support.to_line(y), at, w)
    return filling, np.concatenate(outside)


def _first(stream: StreamDesign, rows: int) -> tuple[Array, Array | None]:
    """Outcomes of rows of the first reading, and their weights if these count rows."""
    batches = stream.first.rows(rows)
    if not batches:  # parts of less than a run
        return np.repeat(stream.tally.sums[:, 1], 2), None
    y = np.concatenate([np.asarray(batch.values[0], dtype=np.float64) for batch in batches])
    return y, _stacked(tuple(batch.weights for batch in batches))


def _design(stream: StreamDesign, at: Indices, y: Array, w: Array | None, rows: RowCount) -> Design:
    """A design of rows in cells ``at`` (m,)."""
    block = stream.rows_of_cells(at, y, None)
    frame = pd.DataFrame(
        {name: _values(column, at) for name, column in stream.cell_columns.items()},
        index=pd.RangeIndex(len(y)),
    )
    X = columns(block.X)
    return Design(stream.spec, block.y, X, w, None, None, rows, Table(frame), stream.cells, None, True)


def _values(column: Column, at: Indices) -> Any:
    """A column of cells as a table has it."""
    if column.numbers is None:
        return pd.Categorical.from_codes(column.values, pd.Index(list(column.levels)))[at]
    if column.kind == "bool":
        return column.numbers.astype(bool)[at]
    return (column.numbers if column.native is None else column.native)[at]
