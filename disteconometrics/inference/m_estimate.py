"""The former address of `MEstimate`; see `inference.protocols`."""

from __future__ import annotations

from disteconometrics.inference.protocols import ArrayScores, MEstimate, RowScores, ScoreSource

__all__ = ["ArrayScores", "MEstimate", "RowScores", "ScoreSource"]
