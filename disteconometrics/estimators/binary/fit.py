"""Fitting a binary-outcome model: from specification and table to estimates, their estimating equation and the facts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.data.design import Design, build_design
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    CollinearityError,
    ConditioningWarning,
    ConvergenceWarning,
    DataError,
    OptionError,
    SeparationError,
    SeparationWarning,
    warn_user,
)
from disteconometrics.estimators.binary.firth import penalised_facts
from disteconometrics.inference.m_estimate import MEstimate
from disteconometrics.likelihoods.binary import Kernel
from disteconometrics.likelihoods.index_model import IndexModel, Pass, index
from disteconometrics.optim.cone import extreme_directions
from disteconometrics.optim.firth import FirthMaximum, firth
from disteconometrics.optim.limit import Limit, limit_of
from disteconometrics.optim.newton import Maximum, OutOfRange, RankDeficient, maximise
from disteconometrics.optim.rank import describe_collinearity
from disteconometrics.optim.separation import Separation, describe

__all__ = ["BinaryFit", "BinaryModel", "FitFacts", "Infinite", "Rows", "estimate", "success_of"]

Array = NDArray[np.float64]

NEARLY_DEPENDENT = 1e10  # condition number beyond which six digits of the data decide the estimates
DISAGREE = 1e-6  # share beyond which a direction found by a linear program points the other way
ON_FACE = 1e-9  # share of |x_ij d_j| below which a row does not move along a direction


class BinaryModel(Protocol):
    """A specification of a binary-outcome estimator: a frozen value."""

    @property
    def formula(self) -> str: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def weight_type(self) -> str | None: ...
    @property
    def offset(self) -> str | None: ...
    @property
    def separation(self) -> str: ...


@dataclass(frozen=True)
class FitFacts:
    """Numbers of a fit that need no rows.

    ``loglik`` and ``null_loglik`` are sums of natural logs over observations; ``observations`` is n or the
    sum of frequency weights, ``rows`` the rows used out of ``given``; ``nested_null`` says whether the
    constant-only model is a special case. Under a ``penalty``, ``loglik`` is still the unpenalised one at the
    estimate; ``penalised_loglik`` is what was maximised, ``penalised_lr`` its ratio against the constant
    alone, ``flic`` what predictions add to x'β.
    """

    loglik: float
    null_loglik: float
    observations: float
    rows: int
    given: int
    successes: float
    converged: bool
    passes: int
    decrement: float
    condition: float
    path: str
    nested_null: bool
    dropped: dict[str, int]
    zero_weight: int
    separation: str | None = None
    penalty: str | None = None
    penalised_loglik: float = float("nan")
    penalised_lr: float = float("nan")
    flic: float = 0.0
    fingerprint: str = ""


@dataclass(frozen=True, eq=False)
class Infinite:
    """Where coefficients go without a maximum.

    ``direction`` (k,) is one direction of separation, ``null`` (k, m) spans all that the overlapped rows
    cannot see, and ``extremes`` (k, q) are the directions that go furthest: only signs that all of them share
    are determined.
    """

    direction: Array
    null: Array
    extremes: Array

    def masked(self) -> NDArray[np.bool_]:
        """Coefficients that the overlapped rows do not identify (k,)."""
        return np.asarray(np.any(self.null != 0, axis=1))

    def limits(self) -> Array:
        """Limits of these coefficients (k,): ±inf, or NaN where directions of separation disagree."""
        scale = np.abs(self.extremes).max(axis=0, initial=1e-300)
        reach = np.column_stack([self.extremes / scale, np.zeros(len(self.null))])
        torn = (reach.max(axis=1) > DISAGREE) & (reach.min(axis=1) < -DISAGREE)
        with np.errstate(invalid="ignore"):
            return np.where(torn | (self.direction == 0), np.nan, np.sign(self.direction) * np.inf)

    def along(self, X: Array) -> tuple[Array, NDArray[np.bool_]]:
        """x'd for every row, zero where only rounding is left or directions disagree; and whether the row moves at all."""
        parts = [self._along(X[i : i + 4096]) for i in range(0, len(X), 4096)]
        return np.concatenate([np.zeros(0), *(m for m, _ in parts)]), np.concatenate(
            [np.zeros(0, bool), *(v for _, v in parts)]
        )

    def _along(self, X: Array) -> tuple[Array, NDArray[np.bool_]]:
        def product(D: Array, share: float = ON_FACE) -> Array:
            move = X @ D
            return np.where(np.abs(move) <= share * (np.abs(X) @ np.abs(D)), 0.0, move)

        move = product(self.direction[:, None])[:, 0]
        against = np.any(product(self.extremes, DISAGREE) * move[:, None] < 0, axis=1)
        return np.where(against, 0.0, move), np.any(product(self.null) != 0, axis=1)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows behind a result: the design, the solved estimating equation and the rows it is summed over."""

    design: Design
    blocks: Sequence[Block]
    equation: MEstimate
    overlapped: NDArray[np.intp] | None
    penalised: FirthMaximum | None = None
    maximum: Maximum | None = None

    def fingerprint(self) -> str:
        """A digest of the outcomes and weights."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.design.y).tobytes(), digest_size=16)
        if self.design.weights is not None:
            digest.update(np.ascontiguousarray(self.design.weights).tobytes())
        return digest.hexdigest()

    def evaluate(self, kernel: Kernel, beta: Array) -> Pass:
        """Log-likelihood, score and information at any β, the last two in the coordinates of the solution."""
        assert self.maximum is not None
        blocks = [b._replace(offset=index(b, beta)) for b in self.blocks]
        model = IndexModel(kernel, self.maximum.whitened_blocks(blocks), len(self.design.y))
        return model.evaluate(np.zeros(len(beta)))

    def codes(self, columns: Sequence[str]) -> tuple[NDArray[np.intp], int]:
        """Cluster codes (m,) of the rows that count, and the number of clusters."""
        codes, groups = self.design.codes(columns, role="cluster")
        if self.overlapped is None:
            return codes, groups
        inside, codes = np.unique(codes[self.overlapped], return_inverse=True)
        return codes.astype(np.intp), len(inside)

    def order(self, time: str) -> NDArray[np.intp]:
        """Positions of the rows that count, in the order of a time column; −1 for separated rows, which keep their period."""
        times = self.design.times(time)
        if len(np.unique(times)) < len(times):
            raise DataError(
                f"The time column {time!r} repeats values, so the rows have no order in time; for panels "
                f"use de.Cluster."
            )
        order = np.argsort(times, kind="stable")
        if self.overlapped is None:
            return order
        position = np.full(len(times), -1, dtype=np.intp)
        position[self.overlapped] = np.arange(len(self.overlapped))
        return position[order]


def _blocks(design: Design) -> tuple[Block, ...]:
    """The design's blocks, sampling weights scaled to mean one so that their unit does not matter."""
    if design.spec.weight_type != "sampling" or design.weights is None:
        return design.blocks()
    mean = design.weights.mean()
    return tuple(b if b.weights is None else b._replace(weights=b.weights / mean) for b in design.blocks())


def _null_loglik(model: IndexModel) -> float:
    """Log-likelihood with a constant (and the offset) alone."""
    blocks = [b._replace(X=np.ones((len(b.y), 1))) for b in model.blocks]
    if all(b.offset is None for b in blocks):
        total = sum(len(b.y) if b.weights is None else float(b.weights.sum()) for b in blocks)
        ones = sum(float(b.y.sum()) if b.weights is None else float(b.weights @ b.y) for b in blocks)
        return float(special.xlogy(ones, ones / total) + special.xlogy(total - ones, 1 - ones / total))
    return maximise(IndexModel(model.kernel, blocks)).loglik


def _spans_constant(design: Design) -> bool:
    """Whether some combination of the columns is one in every row (as with all levels of a factor)."""
    if design.spec.has_intercept:
        return True
    X = design.matrix
    if isinstance(X, FactorMatrix):
        if _solves_one(X.coding):
            return True
        X = X.dense()
    return _solves_one(X)


def _solves_one(X: Array) -> bool:
    """Whether X·b = 1 has a solution; through X'X where X is large."""
    scale = np.maximum(np.abs(X).max(axis=0), 1e-300)
    A, b = (
        (X / scale, np.ones(len(X)))
        if X.size <= 1_000_000
        else (X.T @ X / np.outer(scale, scale), X.sum(axis=0) / scale)
    )
    beta = np.linalg.lstsq(A, b, rcond=None)[0] / scale
    return bool(np.abs(X @ beta - 1).max() < 1e-8)


def _maximum(
    model: IndexModel, names: Sequence[str], maxiter: int, penalty: str | None
) -> tuple[Maximum, FirthMaximum | None]:
    try:
        if penalty is None:
            return maximise(model, maxiter=maxiter), None
        penalised = firth(model, maxiter=maxiter)
        return penalised.maximum, penalised
    except RankDeficient as e:
        raise CollinearityError(describe_collinearity(e.rank, names, model.rows)) from None
    except OutOfRange as e:
        which = ", ".join(names[j] for j in e.columns)
        raise DataError(
            f"{which}: values are too large or too small to compute with (beyond 1e±151); rescale the column."
        ) from None


def _equation(
    kernel: Kernel, design: Design, m: Maximum, blocks: Sequence[Block], observations: float, columns: Any
) -> MEstimate:
    """The estimating equation in the coordinates of its solution, embedded among all k coefficients."""
    names = design.spec.names
    model = IndexModel(kernel, m.whitened_blocks(blocks), len(design.y))
    params, root = np.zeros(len(names)), np.zeros((len(names), len(m.params)))
    params[columns], root[columns] = m.params, m.root

    basis = None
    if m.basis is not None or not isinstance(columns, slice):
        basis = np.zeros(root.shape)
        basis[columns] = np.eye(len(m.params)) if m.basis is None else m.basis
    source = _Source(model, m.coordinates, design.spec.weight_type == "frequency")
    return MEstimate(
        names, params, m.inner, root, observations, len(design.y), source, design.spec.weight_type, basis
    )


@dataclass(frozen=True, eq=False)
class _Source:
    """Gives the score rows of a fit again and again; a class, so that results can be pickled."""

    model: IndexModel | None
    coordinates: Array
    frequency: bool

    def __call__(self, rows: int | None = None) -> Any:
        if self.model is None:  # nothing overlaps
            return iter(())
        return self.model.score_rows(self.coordinates, frequency=self.frequency, rows=rows)


@dataclass(frozen=True, eq=False)
class BinaryFit:
    """A fit before any covariance: the design's recipe, the facts, where coefficients run off to, and the rows."""

    spec: DesignSpec
    facts: FitFacts
    infinite: Infinite | None
    rows: Rows


def estimate(model: BinaryModel, kernel: Kernel, data: Any, *, maxiter: int) -> BinaryFit:
    """Fit a specification to a table.

    Parameters
    ----------
    model : the specification.
    kernel : Kernel, its law.
    data : pandas or polars DataFrame, or dict of arrays.
    maxiter : int, passes over the rows at most.

    Returns
    -------
    BinaryFit

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError
    """
    if isinstance(maxiter, bool) or not isinstance(maxiter, Integral) or maxiter < 1:
        raise OptionError(f"maxiter={maxiter!r}: give a whole number of at least 1.")
    design = build_design(
        model.formula, data, weights=model.weights, weight_type=model.weight_type, offset=model.offset
    )
    names = design.spec.names
    blocks = _blocks(design)
    objective = IndexModel(kernel, blocks)
    m, penalised = _maximum(objective, names, maxiter, getattr(model, "penalty", None))
    frequency = design.weights is not None and model.weight_type == "frequency"
    observations = (
        float(design.weights.sum()) if frequency and design.weights is not None else float(len(design.y))
    )
    successes = sum(float(b.y.sum()) if b.weights is None else float(b.weights @ b.y) for b in blocks)
    infinite, limit, words = None, None, None
    separation = m.separation
    if separation is not None:
        infinite = Infinite(separation.direction, separation.null, extreme_directions(blocks, separation))
        words = _separated(model, separation, infinite, design, objective.column_maxima())
        if model.separation == "firth":
            (m, penalised), infinite = _maximum(objective, names, maxiter, "firth"), None
        else:
            limit = limit_of(objective, separation, maxiter=maxiter)
    rows = replace(_rows(kernel, design, blocks, m, limit, observations), penalised=penalised)
    loglik = m.loglik if limit is None else (0.0 if limit.maximum is None else limit.maximum.loglik)
    facts = FitFacts(
        loglik=loglik,
        null_loglik=_null_loglik(objective),
        observations=observations,
        rows=len(design.y),
        given=design.rows.given,
        successes=successes,
        converged=m.converged,
        passes=m.passes,
        decrement=m.decrement,
        condition=m.condition,
        path=m.path,
        nested_null=_spans_constant(design),
        dropped={**design.rows.missing, **design.rows.transformed},
        zero_weight=design.rows.zero_weight,
        separation=words,
    )
    if penalised is not None:
        facts = replace(facts, **penalised_facts(penalised, blocks, facts.nested_null))
    _warn(facts)
    return BinaryFit(design.spec, facts, infinite, rows)


def _rows(
    kernel: Kernel,
    design: Design,
    blocks: Sequence[Block],
    m: Maximum,
    limit: Limit | None,
    observations: float,
) -> Rows:
    if limit is None:
        return Rows(
            design, blocks, _equation(kernel, design, m, blocks, observations, slice(None)), None, maximum=m
        )
    if limit.maximum is None:  # nothing overlaps: no coefficient is identified
        k = len(design.spec.names)
        empty = np.zeros((k, 0))
        nothing = _Source(None, np.zeros(0), False)
        equation = MEstimate(
            design.spec.names, np.zeros(k), np.zeros((0, 0)), empty, observations, 0, nothing
        )
        return Rows(design, blocks, equation, limit.overlapped)
    weights = design.weights if design.spec.weight_type == "frequency" else None
    inside = float(len(limit.overlapped)) if weights is None else float(weights[limit.overlapped].sum())
    equation = _equation(kernel, design, limit.maximum, limit.blocks, inside, limit.columns)
    return Rows(design, blocks, equation, limit.overlapped)


def _separated(
    model: BinaryModel, separation: Separation, infinite: Infinite, design: Design, column_max: Array
) -> str:
    torn = np.isnan(infinite.limits()) & infinite.masked()
    if not torn.all() and (separation.direction[~torn] != 0).any():
        separation = replace(separation, direction=np.where(torn, 0.0, separation.direction))
    outcome, found = design.spec.outcome, np.unique(design.y[separation.rows])
    predicted = outcome.name if len(found) > 1 else f"{outcome.name} = {outcome.levels[int(found[0])]}"
    words = describe(separation, design.spec.names, len(design.y), predicted)
    if torn.any():
        names = ", ".join(name for name, t in zip(design.spec.names, torn, strict=True) if t)
        words += f" The data do not determine the sign of {names}: NaN."
    others = len(design.y) - len(separation.rows)
    if others and model.separation == "warn":
        words += (
            f" Standard errors of finite coefficients rest on the other {others} rows and count the "
            f"clusters among these."
        )
    if model.separation == "raise":
        raise SeparationError(words)
    if model.separation == "firth":
        words = (
            words.split("; coefficients reported")[0]
            + "; estimated with Firth's penalty instead, which keeps the estimates finite."
        )
    hint = "leave the column out, merge levels, or report the bound"
    column = design.spec.names[int(np.argmax(np.abs(separation.direction) * column_max))]
    warn_user(SeparationWarning(words, column=column, hint=hint))
    return words


def _warn(facts: FitFacts) -> None:
    if not facts.converged and (facts.separation is None or facts.penalty is not None):
        text = (
            f"The maximum was not reached in {facts.passes} passes (Newton decrement "
            f"{facts.decrement:.1e}): did not converge."
        )
        warn_user(ConvergenceWarning(text + " Raise maxiter.", hint="raise maxiter"))
    if facts.condition > NEARLY_DEPENDENT:
        text = (
            f"The columns are nearly collinear (condition number {facts.condition:.1e} after scaling): "
            f"changes in the "
            f"{16 - int(np.log10(facts.condition))}th digit of the data change the estimates. Centre the "
            f"columns or drop one."
        )
        warn_user(ConditioningWarning(text, hint="centre the columns or drop one"))


def success_of(spec: DesignSpec) -> str:
    """Words for the outcome that counts as 1, such as ``inlf = 1``."""
    return f"{spec.outcome.name} = {spec.outcome.success}"
