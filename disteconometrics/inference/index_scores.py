"""Scores of a law of the index, row by row, or summed where the rows are if these are read in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disteconometrics.arrays import Array
from disteconometrics.blocks import StreamedBlocks
from disteconometrics.inference.protocols import ScoreSource
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.score_sums import ScoreSums, SumsAsked

__all__ = ["index_scores", "last_sums"]


def last_sums(columns: tuple[str, ...], frequency: bool, inner: Array) -> SumsAsked:
    """What the last pass over a source sums besides: what robust errors need, and clustered ones.

    Examples
    --------
    >>> import numpy as np
    >>> last_sums(("firm",), False, np.eye(2)).columns
    ('firm',)
    """
    return SumsAsked(columns, inner, frequency=frequency)


def index_scores(
    model: IndexModel | None, coordinates: Array, frequency: bool, known: ScoreSums | None = None
) -> ScoreSource:
    """The scores of a model's rows at a point; ``known`` are sums that the fit of a source took already.

    Examples
    --------
    >>> import numpy as np
    >>> list(index_scores(None, np.zeros(0), False)())
    []
    """
    if model is not None and isinstance(model.blocks, StreamedBlocks):
        return _StreamedScores(model, coordinates, frequency, known)
    return _Scores(model, coordinates, frequency)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Gives the score rows of a fit again and again; a class, so that results can be pickled."""

    model: IndexModel | None
    coordinates: Array
    frequency: bool

    def __call__(self, rows: int | None = None) -> Any:
        if self.model is None:  # nothing overlaps
            return iter(())
        return self.model.score_rows(self.coordinates, frequency=self.frequency, rows=rows)


@dataclass(frozen=True, eq=False)
class _StreamedScores(_Scores):
    """The scores of a source."""

    known: ScoreSums | None = None

    def sums(self, asked: SumsAsked) -> ScoreSums:
        """Sums over all rows: those known, or of one more reading."""
        assert self.model is not None
        if self.known is not None and asked.answered_by(self.known):
            assert isinstance(self.model.blocks, StreamedBlocks)
            self.model.blocks.rows.check_keys()
            return self.known
        found: ScoreSums = self.model.sums(self.coordinates, asked)
        return found
