"""Score (wild cluster) bootstrap of single coefficients, with the tested value imposed; for few clusters.

With β_j held at b and everything else estimated, z_g is coefficient j's row of the inverse information times
cluster g's score.  Under the hypothesis Σ z_g has mean zero, and multipliers ω_g of mean zero and variance
one give its law: t = Σ z_g / √Σ(z_g − z̄)², compared with the same of ω_g·z_g.  Nothing is fitted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.inference.protocols import MEstimate

__all__ = ["ScoreTests"]

TIE_TOLERANCE = 1e-9  # relative: a draw that repeats the sample up to sign is as large as it
EXPANSIONS = 12  # doublings of the search for a limit
BISECTIONS = 14


@dataclass(frozen=True, eq=False)
class ScoreTests:
    """Tests of coefficients by multipliers (B, G) on scores of clusters; ``codes`` (n,) say whose a row is.

    Examples
    --------
    >>> z = np.array([1.0, 2.0, -1.0, 2.0])
    >>> signs = np.array([[1.0, 1, 1, 1], [1, -1, 1, 1], [1, 1, -1, 1]])
    >>> ScoreTests.p_of(z, signs)  # the first draw is the sample, the third is more extreme
    0.75
    """

    restricted: Callable[[int, float], tuple[Array, Array] | None]
    codes: Indices
    multipliers: Array
    equation: MEstimate
    estimate: Array

    @staticmethod
    def p_of(z: Array, multipliers: Array) -> float:
        """(1 + number of draws at least as large) / (1 + draws), for contributions z (G,)."""
        G = len(z)

        def t(total: Array, squares: Array) -> Array:
            return np.asarray(np.abs(total) / np.sqrt(np.maximum(squares - total**2 / G, 1e-300)))

        with np.errstate(over="ignore"):
            drawn = t(multipliers @ z, np.square(multipliers) @ z**2)
            seen = t(np.asarray(z.sum()), np.asarray(z @ z))
        return float((1 + np.sum(drawn >= seen * (1 - TIE_TOLERANCE))) / (1 + len(drawn)))

    def p_value(self, j: int, value: float) -> float:
        """p-value of the hypothesis that coefficient j is ``value``; zero if the rest then has no maximum."""
        found = self.restricted(j, value)
        if found is None:
            return 0.0
        scores, information = found
        d = np.sqrt(np.diagonal(information))
        row = np.linalg.solve(information / np.outer(d, d), np.eye(len(d))[j]) / d / d[j]
        z = as_floats(np.bincount(self.codes, scores @ row, self.multipliers.shape[1]))
        return self.p_of(z, self.multipliers)

    def _sums(self) -> Array:
        """Influence of every cluster on the estimate (G, k)."""
        G = self.multipliers.shape[1]
        sums, start = np.zeros((G, self.equation.root.shape[1])), 0
        for part in self.equation.source():
            S = part.scores if part.copies is None else part.scores * part.copies[:, None]
            np.add.at(sums, self.codes[start : start + len(S)], S)
            start += len(S)
        return np.asarray(sums @ self.equation.inner @ self.equation.root.T)

    def perturbed(self) -> Array:
        """One-step estimates (B, k) under perturbed scores, whose covariance is the cluster sandwich."""
        return np.asarray(self.estimate + self.multipliers @ self._sums())

    def interval(self, j: int, alpha: float) -> tuple[float, float]:
        """Ends of the values that a test at level alpha does not reject, by bisection, or ±inf."""
        se = float(np.sqrt(np.square(self._sums()[:, j]).sum()))

        def limit(sign: float) -> float:
            inside, width = 0.0, 2.0 * se
            for _ in range(EXPANSIONS):
                if self.p_value(j, float(self.estimate[j] + sign * width)) <= alpha:
                    break
                inside, width = width, 2 * width
            else:
                return sign * np.inf
            for _ in range(BISECTIONS):
                middle = (inside + width) / 2
                if self.p_value(j, float(self.estimate[j] + sign * middle)) <= alpha:
                    width = middle
                else:
                    inside = middle
            return float(self.estimate[j] + sign * inside)

        return limit(-1.0), limit(1.0)
