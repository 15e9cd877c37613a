"""Sums over rows of scores, part by part: products for robust errors, sums by group for clustered ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from disteconometrics.arrays import Array, Indices, or_ones
from disteconometrics.blocks import PartResult
from disteconometrics.likelihoods.index_model import scale_rows

__all__ = ["GroupSums", "ScoreSums", "SumsAsked", "leverages"]

FULL = 1 - 1e-10  # leverage of a row that is fitted perfectly
_WIDE = np.intp(2**31)  # codes of two groupings as one


def leverages(roots: Array, inner: Array) -> Array:
    """Leverages (m,) of rows with a root (m, k) or several (m, q, k).

    Examples
    --------
    >>> leverages(np.array([[1.0, 0.0], [1.0, 1.0]]), np.eye(2)).tolist()
    [1.0, 2.0]
    """
    return np.asarray(np.square(roots @ inner).reshape(len(roots), -1).sum(axis=1))


@dataclass
class GroupSums:
    """Sums by group: scores (G, k), leverages (G,) and, where asked, products of roots (G, k, k)."""

    keys: dict[Any, int] = field(default_factory=dict)
    scores: Array = field(default_factory=lambda: np.zeros(0))
    leverage: Array = field(default_factory=lambda: np.zeros(0))
    grams: Array | None = None

    def add(self, keys: Sequence[Any], scores: Array, leverage: Array, grams: Array | None) -> None:
        """Add sums of the groups ``keys``, each there once."""
        at = np.array([self.keys.setdefault(key, len(self.keys)) for key in keys], dtype=np.intp)
        self.add_at(at, len(self.keys), scores, leverage, grams)

    def add_at(self, at: Indices, groups: int, scores: Array, leverage: Array, grams: Array | None) -> None:
        """Add sums of the groups at places among so many."""
        self.scores = _added(self.scores, at, scores, groups)
        self.leverage = _added(self.leverage, at, leverage, groups)
        if grams is not None:
            self.grams = _added(np.zeros(0) if self.grams is None else self.grams, at, grams, groups)


def _added(total: Array, at: Indices, values: Array, groups: int) -> Array:
    """The total with values added at places, with room for so many groups."""
    if not len(at):  # a part without rows
        return total
    if len(total) < groups:
        grown = np.zeros((max(groups, 2 * len(total)), *values.shape[1:]))
        if len(total):
            grown[: len(total)] = total
        total = grown
    total[at] += values
    return total


@dataclass(frozen=True)
class SumsAsked:
    """What is summed: products of scores, over (1 − leverage)^(2·power), and sums by columns of groups.

    Two columns give three groupings: by each, and by both.  ``inner`` (k, k) is R⁻¹, for leverages;
    ``frequency`` says that weights count identical rows; ``grams`` asks for products of roots by group.

    Examples
    --------
    >>> asked = SumsAsked((), np.eye(1))
    >>> sums = asked.begin()
    >>> sums.add(np.ones((2, 1)), np.array([1.0, 3.0]), np.ones(2), None, None)
    >>> asked.merged([PartResult(sums, ())]).meat.tolist()
    [[10.0]]
    """

    columns: tuple[str, ...]
    inner: Array
    power: float = 0.0
    frequency: bool = False
    grams: bool = False

    def begin(self) -> ScoreSums:
        """Sums of no rows."""
        k = len(self.inner)
        return ScoreSums(self, np.zeros((k, k)), [GroupSums() for _ in self.groupings])

    @property
    def groupings(self) -> tuple[tuple[int, ...], ...]:
        """Columns of each grouping, by position."""
        single = tuple((i,) for i in range(len(self.columns)))
        return (*single, (0, 1)) if len(single) == 2 else single

    def answered_by(self, sums: ScoreSums | None) -> bool:
        """Whether sums that are there already hold all that is asked."""
        if sums is None or self.power or self.grams:
            return False
        return self.columns in ((), sums.asked.columns)

    def merged(self, parts: Sequence[PartResult]) -> ScoreSums:
        """The sums over parts, in their order, groups by value."""
        total = self.begin()
        for part in parts:
            total.meat += part.value.meat
            total.perfect |= part.value.perfect
            for which, ours, theirs in zip(self.groupings, total.groups, part.value.groups, strict=True):
                keys = _values(theirs, which, part.groups)
                n = len(keys)
                grams = None if theirs.grams is None else theirs.grams[:n]
                ours.add(keys, theirs.scores[:n], theirs.leverage[:n], grams)
        for ours in total.groups:
            ours.scores, ours.leverage = ours.scores[: len(ours.keys)], ours.leverage[: len(ours.keys)]
            ours.grams = None if ours.grams is None else ours.grams[: len(ours.keys)]
        return total


def _values(sums: GroupSums, which: tuple[int, ...], values: tuple[Sequence[Any], ...]) -> Sequence[Any]:
    """The values, or pairs of them, that the groups of a part stand for, in their order."""
    if len(which) == 1:
        return values[which[0]] if len(sums.scores) else ()
    pairs = (divmod(code, int(_WIDE)) for code in sums.keys)
    return [(values[0][first], values[1][second]) for first, second in pairs]


def _distinct(codes: Indices) -> tuple[Indices, Indices]:
    """Distinct small codes in order, and for each row (m,) which of them it has."""
    there = np.bincount(codes) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[codes]


@dataclass
class ScoreSums:
    """Sums over the rows of a part, or of all, in the coordinates of the scores.

    ``meat`` (k, k) of products; ``groups`` by grouping; ``perfect`` says whether a leverage is one.
    """

    asked: SumsAsked
    meat: Array
    groups: list[GroupSums]
    perfect: bool = False

    def add(self, X: Array, score: Array, root: Array, weights: Array | None, groups: Indices | None) -> None:
        """Add rows X (m, k) with derivatives and roots of the information (m,), weights multiplied in."""
        copies = weights if self.asked.frequency else None
        if copies is not None:  # of one observation each
            score, root = score / copies, root / np.sqrt(copies)
        S = scale_rows(X, score)
        h = self._leverages(X, root)
        factor = None if copies is None else np.sqrt(copies)
        if self.asked.power:
            self.perfect |= bool(h.max(initial=0.0) > FULL)
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = (1.0 if factor is None else factor) / (1 - h) ** self.asked.power
        scaled = S if factor is None else scale_rows(S, factor)
        self.meat += scaled.T @ scaled
        for which, sums in zip(self.asked.groupings, self.groups, strict=True):
            assert groups is not None
            single = len(which) == 1
            codes = groups[:, which[0]] if single else groups[:, 0] * _WIDE + groups[:, 1]
            own, at = _distinct(codes) if single else np.unique(codes, return_inverse=True)
            times = or_ones(copies, len(h))
            by_group = sparse.csc_matrix((times, at, np.arange(len(at) + 1)), shape=(len(own), len(at)))
            grams = self._grams(X, root * np.sqrt(times), at, len(own)) if self.asked.grams else None
            if single:  # codes of a part are places already
                sums.add_at(own, int(own[-1]) + 1, by_group @ S, by_group @ h, grams)
            else:
                sums.add(own.tolist(), by_group @ S, by_group @ h, grams)

    def scaled(self, factor: float) -> ScoreSums:
        """The sums of scores that are multiplied by a factor, in a copy."""
        groups = [replace(g, scores=g.scores * factor) for g in self.groups]
        return replace(self, meat=self.meat * factor**2, groups=groups)

    def _leverages(self, X: Array, root: Array) -> Array:
        """Leverages (m,) where they are needed."""
        if not self.asked.columns and not self.asked.power:
            return np.zeros(0)
        return leverages(X, self.asked.inner) * (root * root)

    def _grams(self, X: Array, root: Array, at: Indices, groups: int) -> Array:
        """Products of the roots (G, k, k) of the rows of each group."""
        order = np.argsort(at, kind="stable")
        U = scale_rows(X, root)[order]
        edges = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=groups))]).tolist()
        return np.array([U[a:b].T @ U[a:b] for a, b in pairwise(edges)])
