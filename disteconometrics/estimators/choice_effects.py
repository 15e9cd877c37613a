"""Average effects on the probabilities of alternatives, with their gradients.

With m_b = D_b'β the move of the index of alternative b, P_a changes by P_a·(1{a = b} − P_b)·m_b where v
differs inside sets, and by P_a·(m_a − Σ_l P_l m_l) where all rows of a set share it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import OptionError
from disteconometrics.estimators.choice_sets import Alternatives, ChoiceRows
from disteconometrics.inference.marginal_effects import KINDS
from disteconometrics.likelihoods.conditional import Sets, set_probabilities

__all__ = ["AverageEffects", "Effects", "choice_effects"]


class Effects(NamedTuple):
    """What effects need of a fit: rows, the columns with a coefficient, these, and the alternatives."""

    rows: ChoiceRows
    names: tuple[str, ...]
    coefficients: Array
    alternatives: Alternatives


class AverageEffects(NamedTuple):
    """Effects (q,) with names and gradients (q, k)."""

    names: tuple[str, ...]
    values: Array
    gradients: Array


class _Moves(NamedTuple):
    """By row, set by set: P, its index move m, values v, X less the set's mean, and D (N, k)."""

    p: Array
    move: Array
    v: Array
    apart: Array
    D: Array


def choice_effects(of: Effects, variable: str, kind: str) -> AverageEffects:
    """Average effects of a number on the probabilities of all alternatives.

    Parameters
    ----------
    of : Effects
    variable : str
    kind : one of `KINDS`.

    Raises
    ------
    OptionError, MissingColumnError, DataError
    """
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not known; use one of {', '.join(map(repr, KINDS))}.")
    rows, sets = of.rows, of.rows.sets
    moves = _moves(of, variable)
    codes = of.alternatives.codes[rows.by_set]
    w = np.ones(len(sets.sizes)) if rows.weights is None else rows.weights[rows.by_set[sets.starts]]
    shared = np.all(moves.v == moves.v[sets.starts][sets.owner])
    levels = of.alternatives.levels
    out = []
    if shared:
        effect, gradient = _shared(moves, sets, kind)
        for a, level in enumerate(levels):
            out.append((f"{variable} [{level}]", *_average(effect, gradient, w[sets.owner], codes == a)))
    else:
        for b, moved in enumerate(levels):
            found = _of_one(moves, sets, codes == b, kind)
            for a, level in enumerate(levels):
                inside = (codes == a) & found[2]
                if inside.any():
                    name = f"{variable} of {moved} [{level}]"
                    out.append((name, *_average(*found[:2], w[sets.owner], inside)))
    names, values, gradients = zip(*out, strict=True)
    return AverageEffects(names, np.array(values), np.array(gradients))


def _moves(of: Effects, variable: str) -> _Moves:
    rows, spec = of.rows, of.rows.spec
    scenario = rows.scenario()
    name = scenario.check_variable(variable)
    if scenario.levels(name) is not None:
        raise OptionError(f"{name!r} has levels, so no derivative; take differences of predict().")
    part = scenario.part(0, rows.size, {})
    columns, moved = part.derivative(name)
    D = np.zeros(part.X.shape)
    D[:, columns] = moved
    place = {column: j for j, column in enumerate(spec.names)}
    kept = [place[column] for column in of.names]
    X, D = part.X[rows.by_set][:, kept], D[rows.by_set][:, kept]
    eta = X @ of.coefficients + (0.0 if rows.offset is None else rows.offset[rows.by_set])
    p, _ = set_probabilities(eta, rows.sets)
    apart = X - rows.sets.sums(p[:, None] * X)[rows.sets.owner]
    return _Moves(p, D @ of.coefficients, part.numbers(name)[rows.by_set], apart, D)


def _shared(m: _Moves, sets: Sets, kind: str) -> tuple[Array, Array]:
    """Effects (N,) of a variable that all rows of a set share, and gradients (N, k)."""
    owner = sets.owner
    log_effect = m.move - sets.sums(m.p * m.move)[owner]
    # Σ_l P_l [(x_l − x̄) m_l + D_l], the derivative of Σ P m
    mean = sets.sums(m.p[:, None] * (m.apart * m.move[:, None] + m.D))[owner]
    gradient = m.D - mean
    return _scaled(m, log_effect, gradient, m.v, kind)


def _of_one(m: _Moves, sets: Sets, moved: Mask, kind: str) -> tuple[Array, Array, Mask]:
    """Effects (N,) on every row of v of one alternative, gradients (N, k), and where it is available."""
    at = np.full(len(sets.sizes), -1, dtype=np.intp)
    at[sets.owner[moved]] = np.flatnonzero(moved)
    row = at[sets.owner]  # of the moved alternative in the set of every row
    inside = row >= 0
    own = moved.astype(np.float64)
    p, move = m.p[row], m.move[row]
    log_effect = (own - p) * move
    gradient = (own - p)[:, None] * m.D[row] - (p * move)[:, None] * m.apart[row]
    return (*_scaled(m, log_effect, gradient, m.v[row], kind), inside)


def _scaled(m: _Moves, effect: Array, gradient: Array, v: Array, kind: str) -> tuple[Array, Array]:
    """Changes of log P as those of P or log P, per unit of v or of log v."""
    if kind.startswith("dy"):
        gradient = m.p[:, None] * (gradient + effect[:, None] * m.apart)
        effect = m.p * effect
    if kind.endswith("ex"):
        effect, gradient = v * effect, v[:, None] * gradient
    return effect, gradient


def _average(effect: Array, gradient: Array, w: Array, at: Mask) -> tuple[float, Array]:
    total = w[at].sum()
    return float(w[at] @ effect[at] / total), (w[at] @ gradient[at]) / total
