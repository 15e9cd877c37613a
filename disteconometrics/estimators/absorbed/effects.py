"""Average effects on probabilities beside absorbed effects, with the errors and the bias that these bring.

A row's effect m(β, a) moves with the slopes and with the effect a of its group.  With the group's sums M of
∂m/∂a and Ω of ω, an average over n rows has, in the coordinates of the slopes, the gradient Σ ∂m/∂β − M·z̄
over n, and a row moves it by this gradient times its influence on the slopes, and by M/Ω·u/n through its own
effect.  Estimating a from T rows biases the average beyond what the slopes bring, by

    1/n·Σ_g 1/Ω [ ½ Σ_t ∂²m/∂a² + M/Ω·Σ_t(−½ H F'') + Σ_j T/(T − j) Σ_{t>j} u_{t−j} (∂m/∂a − M/Ω·ω) ].

Reference: Fernandez-Val (2009), doi:10.1016/j.jeconom.2009.02.007.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.data.scenario import Part
from disteconometrics.errors import OptionError
from disteconometrics.estimators.absorbed.corrections import influence_equation
from disteconometrics.estimators.absorbed.fit import AbsorbedRows
from disteconometrics.estimators.margin_questions import asked_of, questions_of
from disteconometrics.inference.covariance import CovarianceKind, covariance, known_kind
from disteconometrics.inference.marginal_effects import Question
from disteconometrics.inference.protocols import ArrayScores
from disteconometrics.likelihoods.absorbed import ConcentratedScores, expected_terms, past_scores
from disteconometrics.optim.concave import inverse_root

__all__ = ["AverageEffects", "absorbed_effects"]

NAMES = ("scores", "roots")


class AverageEffects(NamedTuple):
    """Average effects (q,) with names, their covariance (q, q), and what is said of them."""

    names: tuple[str, ...]
    values: Array
    covariance: Array
    notes: tuple[str, ...]


class _Moves(NamedTuple):
    """Of rows (n,): effects m, ∂m/∂a and ∂²m/∂a²; and Σ ∂m/∂β (K,) in the panel's columns."""

    effect: Array
    first: Array
    second: Array
    gradient: Array


def absorbed_effects(
    rows: AbsorbedRows, model: Any, variables: Any, target: str, kind: CovarianceKind | None
) -> AverageEffects:
    """Average effects of variables over all rows of a design, with their covariance.

    Parameters
    ----------
    rows : AbsorbedRows
    model : specification, whose ``bias`` says whether averages are corrected.
    variables : as `margins` of a logit takes them.
    target : "sample" or "population".
    kind : the covariance of the fit.

    Raises
    ------
    OptionError, MissingColumnError, DataError

    Examples
    --------
    >>> import disteconometrics as de
    >>> panel = {"id": [1, 1, 1, 1, 2, 2, 2, 2], "x": [0, 1, 3, 2, 2, 5, 4, 1], "y": [0, 1, 0, 1, 0, 1, 1, 0]}
    >>> res = de.Logit("y ~ x | id", bias="analytical").fit(panel)
    >>> absorbed_effects(res.rows, res.model, None, "sample", "nonrobust").values.round(3)
    array([0.16])
    """
    if target not in ("sample", "population"):
        raise OptionError(f"target={target!r} is not known; use one of 'sample', 'population'.")
    kind = known_kind(kind)
    scenario = rows.scenario()
    asked, skipped = asked_of(scenario, variables, "dydx")
    questions, _ = questions_of(scenario, asked, "overall")
    part = scenario.part(0, scenario.size, {})
    found = [_averaged(rows, model, part, question) for question in questions]
    values = np.array([f.value for f in found])
    source = ArrayScores(*(np.column_stack([getattr(f, n) for f in found]) for n in NAMES))
    names = tuple(q.name for q in questions)
    e = influence_equation(
        names, values, source, rows.equation.observations, rows.equation.parameters - len(names)
    )
    V = covariance(e, kind, rows.sampling).matrix
    notes = [f"Rows of groups in which {rows.spec.outcome.name} does not vary count with zero.", *skipped]
    if target == "population":
        V = V + _spread(rows, np.column_stack([f.rows for f in found]))
        notes.append(f"The sampling variance of the average is included, by {rows.panel.absorbed[0]}.")
    return AverageEffects(names, values, (V + V.T) / 2, tuple(notes))


class _Average(NamedTuple):
    """An average, influence and roots (n,) of the panel's rows on it, and the effects of all rows."""

    value: float
    scores: Array
    roots: Array
    rows: Array


def _averaged(rows: AbsorbedRows, model: Any, part: Part, q: Question) -> _Average:
    p, of, n = rows.panel, rows.objective, rows.panel.read.size
    eta, owner = of.index(rows.theta, slice(None), slice(None)), p.sets.owner
    m = _moves(rows, model.kernel, eta, part, q)
    M, centred = p.sets.sums(m.first), rows.means[owner]
    gradient = m.gradient - m.first @ centred  # in slopes of columns less their group means
    G = (gradient @ rows.basis - M @ rows.found.means) / n
    inner = inverse_root(rows.found.information)
    direction, own = inner @ (inner.T @ G), (M / rows.found.weight / n)[owner]
    parts = list(ConcentratedScores(of, rows.theta, rows.found.means)())
    scores, roots = (np.concatenate([getattr(s, name) @ direction for s in parts]) for name in NAMES)
    t = of.kernel.terms(of.y, eta)
    every = np.zeros(n)
    every[p.by_group] = m.effect
    bias = _bias(rows, model, m, eta) if model.bias == "analytical" else 0.0
    value = float(every.mean()) - bias / n
    return _Average(value, scores + own * t.score, roots + own * t.root_weight, every)


def _moves(rows: AbsorbedRows, kernel: Any, eta: Array, part: Part, q: Question) -> _Moves:
    """The effects of the panel's rows and their derivatives; Σ ∂m/∂β (K,) of columns as given."""
    p, slopes = rows.panel, rows.basis @ rows.theta[: len(rows.basis)]
    place = {name: p.others + j for j, name in enumerate(p.regressors)}
    of_design = [place.get(name, -1) for name in p.read.names]
    if q.pair is None:
        columns, D = part.derivative(q.variable)
        D, at = D[p.by_group], [of_design[j] for j in columns]
        move, density, (second, third) = D @ slopes[at], kernel.density(eta), kernel.curvature(eta)
        gradient = (second * move) @ p.columns()
        gradient[at] += density @ D
        return _Moves(density * move, second * move, third * move, gradient)
    ends = []
    for value in q.pair:
        columns, block = part.replaced(q.variable, value)
        at, C = [of_design[j] for j in columns], p.columns()
        block = np.broadcast_to(block, (p.read.size, len(at)))[p.by_group]
        moved = eta + (block - C[:, at]) @ slopes[at]
        C[:, at] = block
        density = kernel.density(moved)
        ends.append(_Moves(kernel.probability(moved), density, kernel.curvature(moved)[0], density @ C))
    return _Moves(*(b - a for a, b in zip(*ends, strict=True)))


def _bias(rows: AbsorbedRows, model: Any, m: _Moves, eta: Array) -> float:
    """The bias of a sum of effects that estimated effects of groups bring, to order 1/T."""
    p, of = rows.panel, rows.objective
    e, owner = expected_terms(of.kernel, eta), p.sets.owner
    total = p.sets.sums(e.omega)
    ratio = p.sets.sums(m.first) / total
    u = of.kernel.score(of.y, eta)
    past = past_scores(u, p.places_in_time(), p.sets.sizes[owner], model.bandwidth)
    sums = m.second / 2 + ratio[owner] * e.half + past * (m.first - ratio[owner] * e.omega)
    return float((sums / total[owner]).sum())


def _spread(rows: AbsorbedRows, effects: Array) -> Array:
    """The covariance (q, q) of averages of effects (n, q) over groups that are drawn."""
    codes, groups = rows.design.codes((rows.panel.absorbed[0],), role="absorbed effect")
    apart = effects - effects.mean(axis=0)
    sums = np.column_stack([np.bincount(codes, column, groups) for column in apart.T])
    return np.asarray(sums.T @ sums / len(effects) ** 2 * groups / (groups - 1))
