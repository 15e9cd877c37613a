"""Most of the way in single precision: a chunk of logits is brought within one exact Newton step of its maxima.

Single precision halves what moves through the cache and exponentials cost a third, while the maximum it finds is right to
about 1e-7 in every index.  One step in double precision from there is exact to ten digits, because its error is the product
of that distance and of what the information misses: `Near.contraction` bounds the latter, so the caller can tell whether the
step was good enough, and settles otherwise in double precision throughout.

What happens to one problem does not depend on the others of its chunk: a problem that has arrived is not touched again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEW_COLUMNS", "Near", "OwnDesigns", "WeightedDesign", "batched_gram", "batched_inverses", "batched_solve"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Evaluate = Callable[[Single, NDArray[np.intp] | None], tuple[Any, Any]]  # of points (r, k) of some or all problems

PASSES = 6
FEW_COLUMNS = 5  # up to which products of pairs of columns beat a product of small matrices
ROUNDING = 2e-7  # of an information in single precision, relative
ATTENUATION = 0.35  # E 4p(1 − p) is about 1/√(1 + 0.35 s²) for a normal index of variance s²
CONDITION = 300.0  # of the scaled design, the most that single precision is asked to bear


class Near(NamedTuple):
    """Where each problem is after its last step in single precision.

    ``beta`` (R, k); ``inverse`` (R, k, k), the inverse information one step before; ``contraction`` (R,), a bound on the
    relative error of that information at the maximum; ``good`` (R,), False where the steps led nowhere.
    """

    beta: Array
    inverse: Array
    contraction: Array
    good: NDArray[np.bool_]


def batched_inverses(H: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """Inverses (r, k, k), which (r,) could be computed, and bounds (r,) on the condition of the scaled matrices.

    Examples
    --------
    >>> inverse, good, condition = batched_inverses(np.array([[[4.0, 0.0], [0.0, 100.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    >>> inverse[0].tolist(), good.tolist(), float(condition[0])
    ([[0.25, 0.0], [0.0, 0.01]], [True, False], 4.0)
    """
    k = H.shape[1]
    d = np.sqrt(np.diagonal(H, axis1=1, axis2=2))
    good: NDArray[np.bool_] = np.asarray(np.isfinite(H).all(axis=(1, 2)) & (d > 1e-150).all(axis=1))
    if not good.all():
        H, d = np.where(good[:, None, None], H, np.eye(k)), np.where(good[:, None], d, 1.0)
    scale = d[:, :, None] * d[:, None, :]
    C = H / scale
    try:
        inverse = np.linalg.inv(C)
    except np.linalg.LinAlgError:  # one of them is singular to the last bit
        C, fine = _nonsingular(C)
        good &= fine
        inverse = np.linalg.inv(C)
    trace = np.trace(inverse, axis1=1, axis2=2)
    good &= trace >= k * 0.999
    inverse /= scale
    return inverse, good, np.asarray(k * trace)


def _nonsingular(C: Array) -> tuple[Array, NDArray[np.bool_]]:
    fine = np.linalg.eigvalsh(C)[:, 0] > 1e-14
    return np.where(fine[:, None, None], C, np.eye(C.shape[1])), fine


def batched_solve(H: Array, score: Array) -> Array:
    """Steps H⁻¹·score (r, k); NaN or anything where H is singular, which the caller sees by its decrement."""
    try:
        return np.asarray(np.linalg.solve(H, score[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        good = np.asarray(np.isfinite(H).all(axis=(1, 2)))
        with np.errstate(all="ignore"):
            good = good & np.asarray(np.linalg.det(np.where(good[:, None, None], H, 0.0)) != 0)
        steps = np.full(score.shape, np.nan)
        steps[good] = np.linalg.solve(H[good], score[good][:, :, None])[:, :, 0]
        return steps


def batched_gram(columns: Any, weights: Any, scaled: Any) -> Any:
    """Σ w·x·x' of every problem (R, k, k), from columns (R, k, n) and weights (R, n); ``scaled`` (R, k, n) is overwritten."""
    np.multiply(columns, weights[:, None, :], out=scaled)
    k = columns.shape[1]
    if k > FEW_COLUMNS:
        return np.matmul(scaled, columns.transpose(0, 2, 1))
    H = np.empty((len(columns), k, k), dtype=columns.dtype)
    for j in range(k):
        H[:, j, j:] = H[:, j:, j] = np.vecdot(scaled[:, j : j + 1], columns[:, j:])
    return H


def _probabilities(eta: Single) -> Single:
    """1/(1 + exp(−η)) in the place of η."""
    np.negative(eta, out=eta)
    np.exp(eta, out=eta)
    eta += np.float32(1)
    return np.reciprocal(eta, out=eta)


def _arrive(first: tuple[Any, Any], start: Array, evaluate: Evaluate, largest: Array, enough: float) -> Near:
    """Newton steps from ``start`` (R, k), where score and information are ``first``, until decrements are ``enough``."""
    R, k = start.shape
    beta, kept, moved = start.copy(), np.zeros((R, k, k)), np.full(R, np.inf)
    previous, open_, arrived = np.full(R, np.inf), np.ones(R, dtype=bool), np.zeros(R, dtype=bool)
    score, H = first
    for i in range(PASSES):
        score, H = np.asarray(score, dtype=np.float64), np.asarray(H, dtype=np.float64)
        step = batched_solve(H, score)
        decrement = (score * step).sum(axis=1)
        open_ &= (decrement >= 0) & (decrement <= 0.9 * previous) & np.isfinite(step).all(axis=1)
        previous = decrement
        step[~open_] = 0.0
        beta += step
        here = open_ & (decrement <= enough)
        if here.any():
            kept[here] = H[here]
            moved[here] = (np.abs(step[here]) * (largest if len(largest) == 1 else largest[here])).sum(axis=1)
            arrived |= here
            open_ &= ~here
        if i == PASSES - 1 or not open_.any():
            break
        take = np.flatnonzero(open_)
        if 2 * len(take) > R:  # copying rows costs more than evaluating some in vain
            score, H = evaluate(beta.astype(np.float32), None)
            continue
        score, H = np.zeros((R, k)), np.tile(np.eye(k), (R, 1, 1))
        score[take], H[take] = evaluate(beta[take].astype(np.float32), take)
    inverse, fine, condition = batched_inverses(kept)
    arrived &= fine & (condition <= CONDITION**2)
    return Near(beta, inverse, moved + ROUNDING * condition, arrived)


@dataclass(frozen=True, eq=False)
class OwnDesigns:
    """A chunk of logits with data of their own, in single precision.

    ``columns`` (R, k, n), ``y`` (R, n), ``weights`` and ``offset`` (R, n) or None, ``largest`` (R, k) of every column;
    ``room`` holds arrays that are used again from chunk to chunk.
    """

    columns: Single
    y: Single
    weights: Single | None
    offset: Single | None
    largest: Array
    scaled: Single
    eta: Single
    info: Single

    def evaluate(self, beta: Single, take: NDArray[np.intp] | None) -> tuple[Any, Any]:
        """Scores (r, k) and informations (r, k, k) at ``beta`` (r, k)."""
        columns, y, weights, offset = (
            a if take is None or a is None else a[take] for a in (self.columns, self.y, self.weights, self.offset)
        )
        r = len(beta)
        assert columns is not None
        assert y is not None
        eta = np.matmul(beta[:, None, :], columns, out=self.eta[:r, None, :])[:, 0]
        if offset is not None:
            eta += offset
        p, info = _probabilities(eta), self.info[:r]
        np.multiply(p, p, out=info)
        np.subtract(p, info, out=info)
        np.subtract(y, p, out=p)
        if weights is not None:
            p *= weights
            info *= weights
        return np.vecdot(columns, p[:, None, :]), batched_gram(columns, info, self.scaled[:r])

    def approach(self, enough: float) -> Near:
        """Go towards the maxima from zero, or from the linear fit unless there are weights or offsets."""
        R, k, n = self.columns.shape
        zero = np.zeros((R, k))
        if self.offset is not None or self.weights is not None:
            return _arrive(self.evaluate(zero.astype(np.float32), None), zero, self.evaluate, self.largest, enough)
        self.info.fill(0.25)
        np.subtract(self.y, np.float32(0.5), out=self.eta)
        score = np.vecdot(self.columns, self.eta[:, None, :]).astype(np.float64)
        H = batched_gram(self.columns, self.info, self.scaled).astype(np.float64)
        start = batched_solve(H, score)  # covariates near normal: the slopes of p are those of η times E p(1 − p)
        start /= np.sqrt(np.maximum(1 - ATTENUATION * (start * score).sum(axis=1) / (n / 4), 0.25))[:, None]
        start[~np.isfinite(start).all(axis=1)] = 0.0
        return _arrive(self.evaluate(start.astype(np.float32), None), start, self.evaluate, self.largest, enough)


@dataclass(frozen=True, eq=False)
class WeightedDesign:
    """A logit whose rows carry weights that differ from problem to problem, in single precision.

    ``X`` (n, k), ``products`` (n, k(k+1)/2) of its columns, ``y`` (n,), ``offset`` (n,) or None, ``largest`` (1, k);
    ``spread`` (k*k,) says where a product goes; ``weights``, ``eta`` and ``info`` (R, n) are room.
    """

    X: Single
    products: Single
    y: Single
    offset: Single | None
    largest: Array
    spread: NDArray[np.intp]
    weights: Single
    eta: Single
    info: Single

    def approach(self, weights: Array, start: Array, enough: float) -> Near:
        """Go from ``start`` (k,) towards the maxima under ``weights`` (R, n)."""
        R, k = len(weights), len(start)
        w = self.weights[:R]
        np.copyto(w, weights, casting="same_kind")

        def unpacked(packed: Any) -> Any:
            return packed[:, self.spread].reshape(len(packed), k, k)

        def rows(beta: Single, out: Single) -> Single:
            np.matmul(beta, self.X.T, out=out)
            if self.offset is not None:
                out += self.offset
            return _probabilities(out)

        def evaluate(beta: Single, take: NDArray[np.intp] | None) -> tuple[Any, Any]:
            own, info = w if take is None else w[take], self.info[: len(beta)]
            p = rows(beta, self.eta[: len(beta)])
            np.multiply(p, p, out=info)
            np.subtract(p, info, out=info)
            np.subtract(self.y, p, out=p)
            p *= own
            info *= own
            return p @ self.X, unpacked(info @ self.products)

        p = rows(start.astype(np.float32)[None], np.empty((1, len(self.y)), dtype=np.float32))[0]
        first = np.concatenate([self.X * (self.y - p)[:, None], self.products * (p - p * p)[:, None]], axis=1)
        sums = w @ first
        return _arrive((sums[:, :k], unpacked(sums[:, k:])), np.tile(start, (R, 1)), evaluate, self.largest, enough)
