"""Random weights for resampling, reproducible whatever the number of workers.

Replications come in chunks whose size depends on the number of rows alone; chunk i has the random stream
number i of the seed.  So a replication is the same whoever computes it, and a longer run begins with the
shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices, Seed
from disteconometrics.errors import OptionError

__all__ = ["ResamplingPlan", "reported_seed", "seed_sequence", "sequence_of", "take_rows"]

CHUNK_ENTRIES = 262_144  # rows times replications
MOST_DRAWS = 256
COUNTED = 16_000  # places at once: the most that malloc does not fetch from the system each time
_SIGNS = np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
WEBB = _SIGNS * np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5])


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """Random streams of a seed: a whole number, a Generator (spawned from, not advanced) or None (drawn).

    Raises
    ------
    OptionError
        If the seed is something else.

    Examples
    --------
    >>> seed_sequence(7).entropy
    7
    """
    if isinstance(seed, np.random.Generator):
        sequence: Any = seed.bit_generator.seed_seq
        return np.random.SeedSequence(sequence.entropy, spawn_key=sequence.spawn(1)[0].spawn_key)
    if seed is None:
        return np.random.SeedSequence()
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(
            f"seed={seed!r}: give a whole number ≥ 0, a numpy Generator, or None for a drawn seed."
        )
    return np.random.SeedSequence(int(seed))


def reported_seed(sequence: np.random.SeedSequence) -> Any:
    """What a result keeps of its random streams: the seed, and of a Generator's the key it was spawned with.

    They are plain whole numbers, or tuples of them, whatever the Generator was made of.

    Examples
    --------
    >>> reported_seed(seed_sequence(7))
    7
    """
    entropy: Any = sequence.entropy
    if not isinstance(entropy, (int, type(None))):
        entropy = int(entropy) if np.ndim(entropy) == 0 else tuple(map(int, np.ravel(entropy)))
    return (entropy, sequence.spawn_key) if sequence.spawn_key else entropy


def sequence_of(kept: Any) -> np.random.SeedSequence:
    """The random streams of a seed as `reported_seed` keeps it.

    Examples
    --------
    >>> sequence_of(reported_seed(seed_sequence(7))).entropy
    7
    """
    if isinstance(kept, (tuple, list)) and len(kept) == 2 and isinstance(kept[1], (tuple, list)):
        return np.random.SeedSequence(kept[0], spawn_key=tuple(kept[1]))
    return np.random.SeedSequence(kept)


@dataclass(frozen=True, eq=False)
class ResamplingPlan:
    """How units are drawn: ``codes`` (n,) give every row its unit of ``units`` (None: rows are units).

    ``copies`` (n,) are frequency weights of rows that are units; ``scheme`` is counts, exponential,
    multinomial, webb, rademacher or design, whose weights ``weigh`` makes of signs (R, units).

    Examples
    --------
    >>> counts = ResamplingPlan(np.random.SeedSequence(1), "counts", units=3, rows=3).draw(0)
    >>> counts.shape, np.unique(counts.sum(axis=1)).tolist()
    ((256, 3), [3.0])
    """

    seed: np.random.SeedSequence
    scheme: str
    units: int
    rows: int
    codes: Indices | None = None
    copies: Array | None = None
    weigh: Callable[[Array], Array] | None = None

    @property
    def chunk(self) -> int:
        """Replications in a chunk."""
        return max(1, min(MOST_DRAWS, CHUNK_ENTRIES // max(self.rows, 1)))

    def draw(self, i: int, count: int | None = None) -> Array:
        """The first weights (count, units) of chunk i.

        They are counts, positive weights of mean one, or multipliers of mean zero.
        """
        rng = np.random.default_rng(
            np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, i))
        )
        shape = (self.chunk if count is None else count, self.units)
        if self.scheme in ("webb", "rademacher"):
            return rng.choice(WEBB if self.scheme == "webb" else np.array([-1.0, 1.0]), size=shape)
        if self.weigh is not None:
            return self.weigh(rng.choice(np.array([-1.0, 1.0]), size=shape))
        if self.scheme == "exponential":
            return self._exponential(rng, shape)
        if self.copies is not None:
            total = round(float(self.copies.sum()))
            return rng.multinomial(total, self.copies / self.copies.sum(), size=shape[0]).astype(np.float64)
        return self._counts(rng, shape)

    def _exponential(self, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        if self.copies is None:
            w, total = rng.standard_exponential(shape), float(self.units)
        else:
            w, total = rng.standard_gamma(self.copies, shape), self.copies.sum()
        return np.asarray(w * (total / w.sum(axis=1, keepdims=True)))

    def _counts(self, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        """How often each unit is drawn, counted some draws at a time."""
        narrow = np.uint16 if self.units <= 2**16 else np.int64  # twice as quick to draw
        picked = rng.integers(self.units, size=shape, dtype=narrow)
        counts = np.empty(shape)
        step = max(1, COUNTED // self.units)
        for j in range(0, shape[0], step):
            part = picked[j : j + step]
            places = part + self.units * np.arange(len(part))[:, None]
            counts[j : j + step] = np.bincount(places.ravel(), minlength=part.size).reshape(part.shape)
        return counts

    def by_row(self, weights: Array) -> Array:
        """Weights (R, n) of the rows from those of the units (R, units)."""
        return weights if self.codes is None else weights[:, self.codes]

    def together(self, weights: Array) -> Array:
        """How many copies (R, n) of an observation a row has, from weights (R, units).

        A row that counts f observations shares its copies among these; an observation that was drawn, taken
        at random, has so many on average.
        """
        if self.copies is None:
            return self.by_row(weights)
        if self.scheme == "exponential":
            return 2 * weights / (self.copies + 1)
        return np.where(weights > 0, 1 + (weights - 1) / self.copies, 0.0)

    def rows_of(self, counts: Array) -> tuple[Indices, Indices]:
        """Rows (m,) of one draw with repetition, and which copy (m,) of which unit each belongs to."""
        picked = np.repeat(np.arange(self.units), counts.astype(np.intp))
        if self.codes is None:
            return picked, np.arange(len(picked))
        order = np.argsort(self.codes, kind="stable")
        edges = np.concatenate([[0], np.cumsum(np.bincount(self.codes, minlength=self.units))])
        parts = [order[edges[g] : edges[g + 1]] for g in picked]
        return np.concatenate(parts), np.repeat(np.arange(len(picked)), [len(p) for p in parts])


def take_rows(data: Any, positions: Indices, **columns: Any) -> Any:
    """Rows of a table (pandas, polars or a dict of arrays) by position, with columns replaced.

    Examples
    --------
    >>> take_rows({"y": np.array([1, 2, 3])}, np.array([2, 2]), g=np.array([0, 1]))
    {'y': array([3, 3]), 'g': array([0, 1])}
    """
    if isinstance(data, Mapping):
        taken = {name: _take(values, positions) for name, values in data.items()}
        return {**taken, **columns}
    if hasattr(data, "iloc"):
        taken = data.iloc[positions].reset_index(drop=True)
        return taken.assign(**columns) if columns else taken  # a Series too
    taken = data[positions]
    if not columns:
        return taken
    series = type(taken[taken.columns[0]])
    return taken.with_columns(**{name: series(name, values) for name, values in columns.items()})


def _take(values: Any, positions: Indices) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[positions].reset_index(drop=True)
    return np.asarray(values)[positions] if not hasattr(values, "dtype") else values[positions]
