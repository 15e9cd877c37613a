"""Fitting a binary-outcome model.

From specification and table to estimates, their estimating equation and the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Mask
from disteconometrics.blocks import Block, FactorMatrix, StreamedBlocks, chosen_rows, densified, each_row
from disteconometrics.checks import size_error, whole
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    CollinearityError,
    ConditioningWarning,
    ConvergenceWarning,
    SeparationError,
    SeparationWarning,
    warn_user,
)
from disteconometrics.estimators.binary.fitted_index import Infinite
from disteconometrics.estimators.binary.penalty import penalised_facts
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import NEARLY_DEPENDENT, FitRows
from disteconometrics.fields import AnyFloat, Count, Negative, Positive, Rule
from disteconometrics.inference.index_scores import index_scores, last_sums
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.index_model import IndexModel, Pass, index
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel
from disteconometrics.optim.cone import extreme_directions, generators
from disteconometrics.optim.firth import FirthMaximum, firth
from disteconometrics.optim.limit import Limit, limit_of
from disteconometrics.optim.newton import Maximum, OutOfRange, RankDeficient, maximise
from disteconometrics.optim.separation import Separation
from disteconometrics.optim.wording import describe_collinearity, describe_separation
from disteconometrics.tables import first_of

__all__ = ["BinaryFacts", "BinaryRows", "equation_of", "estimate", "success_of"]

# rows times squared columns, up to which separation by the levels of a factor is settled
SETTLED = 2 * 10**11

PenaltyName = Annotated[str, Rule("a penalty", lambda v: v == "firth")]


@dataclass(frozen=True, kw_only=True)
class BinaryFacts(FitFacts):
    """Numbers of a fit that need no rows.

    ``loglik`` and ``null_loglik`` are sums of natural logs over observations; ``nested_null`` says whether
    the constant-only model is a special case. Under a ``penalty``, ``loglik`` is still the unpenalised one at
    the estimate; ``penalised_loglik`` is what was maximised, ``penalised_lr`` its ratio against the constant
    alone, ``flic`` what predictions add to x'β.
    """

    null_loglik: Negative
    successes: Positive
    converged: bool
    passes: Count
    decrement: AnyFloat
    condition: AnyFloat
    path: str
    nested_null: bool
    separation: str | None = None
    readings: Count = 0  # of a source by the fit and its covariance
    kept: bool = False  # whether its coded rows were, between these
    penalty: PenaltyName | None = None
    penalised_loglik: AnyFloat = float("nan")
    penalised_lr: AnyFloat = float("nan")
    flic: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class BinaryRows(FitRows):
    """The rows behind a result with the solved estimating equation.

    ``counted`` are those that overlap under separation.
    """

    equation: MEstimate
    penalised: FirthMaximum | None = None
    maximum: Maximum | None = None

    def evaluate(self, kernel: Kernel, beta: Array) -> Pass:
        """Log-likelihood, score and information at any β, the last two in the coordinates of the solution."""
        return self._model_at(kernel, beta).evaluate(np.zeros(len(beta)))

    def equation_at(self, kernel: Kernel, beta: Array) -> tuple[MEstimate, Array]:
        """The estimating equation as if β (k,) solved it, and Newton's step (k,) from there, H⁻¹ · score."""
        assert self.maximum is not None
        model, zero, basis = self._model_at(kernel, beta), np.zeros(len(beta)), self.maximum.basis
        p = model.evaluate(zero)
        scale = np.sqrt(np.diagonal(p.information))
        factor = np.linalg.cholesky(p.information / np.outer(scale, scale)).T
        inner = np.linalg.inv(factor) / scale[:, None]
        root = inner if basis is None else basis @ inner
        kind = self.spec.weight_type
        source = index_scores(model, zero, self.weights_count)
        equation = MEstimate(self.names, beta, inner, root, self.observations, self.size, source, kind, basis)
        return equation, root @ (inner.T @ p.score)

    def _model_at(self, kernel: Kernel, beta: Array) -> IndexModel:
        """The model in the coordinates of the solution, with β as the origin."""
        assert self.maximum is not None
        blocks = self.blocks()
        if isinstance(blocks, StreamedBlocks):
            blocks = blocks.mapped(partial(_moved, beta))
        else:
            blocks = [_moved(beta, b) for b in blocks]
        return IndexModel(kernel, self.maximum.whitened_blocks(blocks), self.size)


def _successes(read: FitRows) -> float:
    """Outcomes that are 1, weighted."""
    design: Any = read.design
    if read.streamed:
        scale = read.size / design.total if read.spec.weight_type == "sampling" else 1.0
        return float(design.successes * scale)
    return sum(float(b.y.sum()) if b.weights is None else float(b.weights @ b.y) for b in read.blocks())


def _moved(beta: Array, block: Block) -> Block:
    """The block with β as the origin."""
    return block._replace(offset=index(block, beta))


def _constant_alone(block: Block) -> Block:
    return block._replace(X=np.ones((len(block.y), 1)))


def _loglik(m: Maximum, limit: Limit | None) -> float:
    """Log-likelihood at the maximum, or its supremum under separation."""
    if limit is None:
        return m.loglik
    return 0.0 if limit.maximum is None else limit.maximum.loglik


def _null_loglik(model: IndexModel, read: FitRows) -> float:
    """Log-likelihood with a constant (and the offset) alone."""
    if isinstance(model.blocks, StreamedBlocks):
        blocks: Sequence[Block] = model.blocks.mapped(_constant_alone)
        total = read.observations
    else:
        blocks = [_constant_alone(b) for b in model.blocks]
        total = sum(len(b.y) if b.weights is None else float(b.weights.sum()) for b in blocks)
    if read.spec.offset is None:
        ones = _successes(read)
        return float(special.xlogy(ones, ones / total) + special.xlogy(total - ones, 1 - ones / total))
    return maximise(IndexModel(model.kernel, blocks, model.rows)).loglik


def _spans_constant(rows: FitRows) -> bool:
    """Whether some combination of the columns is one in every row (as with all levels of a factor)."""
    if rows.spec.has_intercept:
        return True
    if rows.streamed:
        return _blocks_solve_one(rows.blocks())
    X = rows.matrix
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


def _blocks_solve_one(blocks: Sequence[Block]) -> bool:
    """The same over blocks that are read."""
    gram: Any = 0.0
    sums: Any = 0.0
    for block in densified(blocks):
        gram, sums = gram + block.X.T @ block.X, sums + block.X.sum(axis=0)
    scale = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    beta = np.linalg.lstsq(gram / np.outer(scale, scale), sums / scale, rcond=None)[0] / scale
    return all(bool(np.abs(block.X @ beta - 1).max() < 1e-8) for block in blocks)


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
        raise size_error([names[j] for j in e.columns]) from None


def _check_levels(read: FitRows) -> None:
    """Refuse levels with one outcome alone where separation would take minutes to settle.

    Raises
    ------
    SeparationError
    """
    X: Any = read.matrix
    if not isinstance(X, FactorMatrix) or X.size * X.shape[1] <= SETTLED:
        return
    rows, ones = (np.bincount(X.codes, w, len(X.coding)) for w in (None, read.y))
    alone = np.flatnonzero((rows > 0) & ((ones == 0) | (ones == rows)))
    if len(alone):
        own = read.names[X.at : X.at + X.coding.shape[1]]
        places = [np.flatnonzero(X.coding[level]) for level in alone]
        which = first_of(
            [own[at[0]] if len(at) == 1 else "a level without a column" for at in places], most=10
        )
        raise SeparationError(
            f"In {len(alone)} of {len(X.coding):,} levels the outcome {read.spec.outcome.name!r} takes one "
            f"value alone, so that their coefficients are infinite: {which}. Beside {X.shape[1]:,} columns "
            f"on {X.shape[0]:,} rows this is not followed up. Leave the rows of these levels out, which "
            f"changes no other slope, or merge the levels."
        )


def equation_of(
    kernel: Kernel,
    rows: FitRows,
    m: Maximum,
    blocks: Sequence[Block],
    observations: float,
    columns: Any,
    white: Sequence[Block] | None = None,
) -> MEstimate:
    """The estimating equation in the coordinates of its solution, embedded among all k coefficients.

    ``white`` are the blocks in these coordinates, where they are at hand.
    """
    names = rows.names
    model = IndexModel(kernel, m.whitened_blocks(blocks) if white is None else white, rows.size)
    params, root = np.zeros(len(names)), np.zeros((len(names), len(m.params)))
    params[columns], root[columns] = m.params, m.root

    basis = None
    if m.basis is not None or not isinstance(columns, slice):
        basis = np.zeros(root.shape)
        basis[columns] = np.eye(len(m.params)) if m.basis is None else m.basis
    kind = rows.spec.weight_type
    source = index_scores(model, m.coordinates, rows.weights_count, m.sums)
    return MEstimate(names, params, m.inner, root, observations, rows.size, source, kind, basis)


def estimate(
    model: Any,
    read: FitRows,
    *,
    maxiter: int,
    clusters: tuple[str, ...] = (),
) -> tuple[BinaryRows, BinaryFacts, Infinite | None]:
    """Fit a specification to rows.

    Parameters
    ----------
    model : the specification.
    read : FitRows, with outcomes 0 and 1.
    maxiter : int, passes over the rows at most.
    clusters : columns whose sums of scores will be asked for.

    Returns
    -------
    BinaryRows, BinaryFacts, Infinite or None
        The rows with their equation, the facts, and where coefficients run off to.

    Raises
    ------
    DataError, OptionError, CollinearityError, SeparationError
    """
    maxiter, kernel = whole(maxiter, "maxiter", 1), model.kernel
    names, blocks = read.names, read.blocks()
    last = partial(last_sums, clusters, read.weights_count) if read.streamed else None
    objective = IndexModel(kernel, blocks, read.size, last)
    if model.likelihood_penalty is None and not read.streamed:
        _check_levels(read)
    m, penalised = _maximum(objective, names, maxiter, model.likelihood_penalty)
    infinite, limit, words = None, None, None
    separation = m.separation
    if separation is not None:
        blocks = each_row(blocks)
        rows, null = generators(blocks, separation), separation.null
        infinite = Infinite(separation.direction, null, extreme_directions(rows, null), rows)
        words = _report_separation(model, separation, infinite, read, objective.column_maxima())
        if model.separation == "firth":
            (m, penalised), infinite = _maximum(objective, names, maxiter, "firth"), None
        else:
            limit = limit_of(objective, separation, maxiter=maxiter)
    solved = replace(_solved_rows(kernel, read, blocks, m, limit), penalised=penalised)
    facts = BinaryFacts(
        **read.facts(),
        observations=read.observations,
        loglik=_loglik(m, limit),
        null_loglik=_null_loglik(objective, read),
        successes=_successes(read),
        converged=m.converged,
        passes=m.passes,
        decrement=m.decrement,
        condition=m.condition,
        path=m.path,
        nested_null=_spans_constant(read),
        separation=words,
    )
    if penalised is not None:
        facts = replace(facts, **penalised_facts(penalised, blocks, facts.nested_null))
    _warn(facts)
    read.warn_small_levels(penalised=penalised is not None, logit=kernel is LOGISTIC)
    return solved, facts, infinite


def _solved_rows(
    kernel: Kernel, read: FitRows, blocks: Sequence[Block], m: Maximum, limit: Limit | None
) -> BinaryRows:
    if limit is None:
        equation = equation_of(kernel, read, m, blocks, read.observations, slice(None))
        return BinaryRows(read.design, equation=equation, maximum=m)
    if limit.maximum is None:  # nothing overlaps: no coefficient is identified
        k = len(read.names)
        empty = np.zeros((k, 0))
        nothing = index_scores(None, np.zeros(0), False)
        equation = MEstimate(read.names, np.zeros(k), np.zeros((0, 0)), empty, read.observations, 0, nothing)
        return BinaryRows(read.design, limit.overlapped, equation=equation)
    weights = [b.weights for b in limit.blocks if b.weights is not None] if read.frequency else []
    inside = float(sum(w.sum() for w in weights)) if weights else float(len(limit.overlapped))
    equation = equation_of(kernel, read, limit.maximum, limit.blocks, inside, limit.columns)
    return BinaryRows(read.design, limit.overlapped, equation=equation)


def _report_separation(
    model: Any, separation: Separation, infinite: Infinite, read: FitRows, column_max: Array
) -> str:
    """Raise, or warn of a separation as the specification asks; what is said goes under the table too."""
    torn = np.isnan(infinite.limits()) & infinite.masked()
    if not torn.all() and (separation.direction[~torn] != 0).any():
        separation = replace(separation, direction=np.where(torn, 0.0, separation.direction))
    words = _separation_words(separation, torn, read)
    if model.separation == "raise":
        raise SeparationError(words)
    others = read.size - len(separation.rows)
    if others and model.separation == "warn":
        words += (
            f" Standard errors of finite coefficients rest on the other {others} rows and count the "
            f"clusters among these."
        )
    if model.separation == "firth":
        words = (
            words.split("; coefficients reported")[0]
            + "; estimated with Firth's penalty instead, which keeps the estimates finite."
        )
    hint = "leave the column out, merge levels, or report the bound"
    column = read.names[int(np.argmax(np.abs(separation.direction) * column_max))]
    warn_user(SeparationWarning(words, column=column, hint=hint))
    return words


def _separation_words(separation: Separation, torn: Mask, read: FitRows) -> str:
    """Which outcomes are predicted perfectly by what, and which signs the data leave open."""
    separated = np.zeros(read.size, dtype=bool)
    separated[separation.rows] = True
    y = np.concatenate([part.y for part in chosen_rows(read.blocks(), separated)])
    outcome, found = read.spec.outcome, np.unique(y)
    predicted = outcome.name if len(found) > 1 else f"{outcome.name} = {outcome.levels[int(found[0])]}"
    return describe_separation(separation, read.names, read.size, predicted, np.flatnonzero(torn).tolist())


def _warn(facts: BinaryFacts) -> None:
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
