"""Fitting a monotone-spline flow to arrays: structure, base and smoothing, all from the rows.

Structures nest: linear ⊂ baseline ⊂ scale ⊂ shift ⊂ shape ⊂ tensor (see
`likelihoods.structure`).  Each term has its own penalty, found by marginal likelihood; structures and base
laws compete by the leave-one-out log score less one per smoothing parameter in use, and the simplest
structure within half a standard error of the best is taken: on a linear-normal law with eight covariates this
costs .001 nats at n = 400 where the best score alone costs .013.  A structure is fitted only if it promises
to gain more than it is charged; the promise is a quadratic form of the scores, as in Rao's test, and close to
the gain where that is small.

Spiky tensors are over-smoothed by the marginal likelihood, since positivity cuts the prior off; theirs is
polished by the leave-one-out score itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize

from disteconometrics.arrays import Array, Indices
from disteconometrics.estimators.flow.record_facts import held_by
from disteconometrics.estimators.flow.spline_sample import (
    Centre,
    SplineSample,
    covariates_of,
    knots_of,
    patterns_of,
)
from disteconometrics.flows.monotone_spline import STRUCTURES
from disteconometrics.inference.held import ALL
from disteconometrics.likelihoods.monotone import BASES, LinearForms, OwnLikelihood, evaluate
from disteconometrics.likelihoods.piece_rows import rows_of
from disteconometrics.likelihoods.recorded_rows import narrowed_rows, recorded_rows
from disteconometrics.likelihoods.splines import SlopeBasis
from disteconometrics.likelihoods.structure import Structure, Term
from disteconometrics.optim.smoothing import DROPPED, LAST, Problem, Smooth, solve

__all__ = [
    "LEAST_BEND",
    "RETRIED_PENALTY",
    "TRIAL",
    "Close",
    "Fitted",
    "Prepared",
    "SplinePlan",
    "Trial",
    "close_fits",
    "fit_flow",
    "prepared_again",
    "problem_of",
    "rougher",
    "simplest",
]

CURVED = ("shift", "scale_smooth", "shape_smooth")  # kinds that need a smooth covariate
PARAMETER_COST = 1.0  # log-likelihood that one smoothing parameter in use costs in the comparison
TOLERATED = 0.5  # standard errors of the leave-one-out difference that a simpler structure may lose
JUDGED_PENALTIES = np.geomspace(1e-2, 1e5, 29)  # λ at which a wider structure is judged before it is fitted
GAIN_OF_TAILS = 1.0  # log-likelihood that heavier tails must gain where a support stretches them
MIN_GAIN = 0.5  # log-likelihood that a structure must promise to be fitted; promises are low for few rows
MIN_GAIN_ERRORS = 2.0  # standard errors that a coarse tensor must gain before a fine one is fitted
OUTSIDE_ALONE = 3.0  # observations beyond an outer knot, which hold the slope of the tail: without covariates
OUTSIDE, WIDE_OUTSIDE = 8.0, 20.0  # with covariates, and of a tensor a second choice
CLOSE = (
    3.0  # standard errors below the best score within which a fit is close: weights drawn anew may turn it
)
IN_USE = 0.1  # effective parameters below which a term counts as dropped
# rows for the comparison of structures, with covariates and without; the one chosen is fitted to all rows
MOST_ROWS, MOST_ALONE = 8_000, 50_000
RETRIED_PENALTY = 1e4  # λ with which a term that a simpler structure has dropped is tried again
TRIAL, TRIAL_STEADY = 1e-6, 1e-2  # decrement per observation and change of log λ that do for a comparison
TENSOR_STEADY, TENSOR_STEPS = 0.1, 15  # of a tensor, with Newton steps: its λ are polished afterwards
LEAST_BEND = 2.5  # effective parameters of a bend that records leave to a baseline
RIDGE = 1e-8  # of the mean information, as it may be singular in classes
POLISH, MOST_POLISH = 0.3, 4  # factor on λ of a tensor, and how often it is tried
LEVEL_ROWS = {"scale": 8.0, "shape": 40.0}  # rows a level from which on "auto" lets a factor move them
LOGISTIC_SLOPE = 1.7  # slope of the logistic transformation of a standard normal


@dataclass(frozen=True)
class SplinePlan:
    """What is asked for: structure and base by name or "auto", knots or None, a factor on every λ.

    ``tensor`` says whether "auto" may take one, ``outside`` are rows beyond its outer knots.
    """

    structure: str = "auto"
    base: str = "auto"
    knots: int | None = None
    roughness: float = 1.0
    tensor: bool = True
    outside: float = OUTSIDE


@dataclass(frozen=True, eq=False)
class Trial:
    """One structure and base fitted.

    ``loo`` (n,) are leave-one-out log densities of rows in units of y, of records log probabilities;
    ``score`` is their sum less the price.
    """

    name: str
    base: str
    loo: Array
    score: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted flow: standardisation, structure, base, the solution, its problem, and what else was tried."""

    centre: Centre
    name: str
    structure: Structure
    base: str
    smooth: Smooth
    problem: Problem
    sample: SplineSample
    trials: tuple[Trial, ...] = ()
    together: Array | None = None  # copies (n,) of a row that are left out at once, None for one

    @cached_property
    def loo(self) -> Array:
        """Leave-one-out log densities of the rows (n,)."""
        found, known = self.smooth.left_out(self.problem, self.together), self.sample.known
        shift = np.log(self.centre.scale)
        return np.asarray(found - (shift if known is None else shift * known))

    @property
    def loglik(self) -> float:
        """Log-likelihood, summed over observations."""
        return self.smooth.loglik - self.sample.densities * float(np.log(self.centre.scale))

    @cached_property
    def total(self) -> float:
        """Leave-one-out log density, summed over observations."""
        w = self.sample.weights
        return float(self.loo.sum() if w is None else w @ self.loo)

    @property
    def places(self) -> dict[Term, slice]:
        """Where the coefficients of each term are."""
        return dict(zip(self.structure.terms, self.structure.slices, strict=True))

    @property
    def penalties(self) -> dict[str, float]:
        """The λ by name of the penalty."""
        return {k.name: v for k, v in zip(self.problem.penalties, self.smooth.lam, strict=True)}

    def effective(self) -> dict[str, float]:
        """Effective parameters by kind of term."""
        out: dict[str, float] = {}
        for term, at in self.places.items():
            out[term.kind] = out.get(term.kind, 0.0) + float(self.smooth.effective[at].sum())
        return out

    def trial(self) -> Trial:
        """What the comparison needs to know."""
        used = sum(float(self.smooth.effective[k.at].sum()) > IN_USE for k in self.problem.penalties)
        return Trial(self.name, self.base, self.loo, self.total - PARAMETER_COST * used)


def _most_bends(s: SplineSample, tensor: bool, fine: bool) -> int:
    """Knots that a smooth covariate has at most."""
    if s.X.shape[1] > 1 or (tensor and not fine):
        return 8
    return min(24, 4 + int(s.observations**0.4)) if tensor else 12


def _most_coarse(s: SplineSample, tensor: bool, fine: bool) -> int:
    """Knots of the shapes that move with a covariate at most."""
    if not tensor:
        return 12
    return 26 if fine and s.X.shape[1] == 1 and len(s.y) <= 20_000 else 9


def _structure(s: SplineSample, name: str, plan: SplinePlan, fine: bool) -> Structure:
    tensor = name == "tensor"
    count = plan.knots or round(4 * s.observations**0.265)
    covariates = covariates_of(s, _most_bends(s, tensor, fine))
    usual = OUTSIDE if covariates else OUTSIDE_ALONE
    knots = knots_of(s, count, plan.outside if tensor else usual)
    few = min(len(knots), _most_coarse(s, tensor, fine))
    coarse = np.unique(np.round(np.linspace(0, len(knots) - 1, few)).astype(int))
    groups = tuple((g, patterns_of(s.X, g)) for g in s.groups)
    basis, few_knots = SlopeBasis(knots), tuple(int(i) for i in coarse)
    known = Structure(basis, few_knots, covariates, groups, (Term("baseline"),), name == "linear")
    terms = [Term("baseline")]
    for kind in STRUCTURES[name]:
        terms += [
            Term(kind, j)
            for j, c in enumerate(covariates)
            if (kind not in CURVED or c.knots is not None)
            and (plan.structure != "auto" or _has_rows(s, kind, known.factors.get(j, ())))
        ]
    return replace(known, terms=tuple(terms))


def _has_rows(s: SplineSample, kind: str, factor: tuple[int, ...]) -> bool:
    """Whether a factor of these columns (none: no factor) has rows a level for a kind of term."""
    return not factor or s.size >= LEVEL_ROWS.get(kind, 0.0) * (len(factor) + 1)


class Prepared(NamedTuple):
    """What both bases share: standardisation, structure and linear forms."""

    centre: Centre
    structure: Structure
    rows: LinearForms | OwnLikelihood


def _prepare(
    s: SplineSample, name: str, plan: SplinePlan, fine: bool = True, terms: tuple[Term, ...] | None = None
) -> Prepared:
    structure = _structure(s, name, plan, fine)
    if terms is not None:
        structure = replace(structure, terms=terms)
    return prepared_again(s, s.centre, structure)


def _narrowed(p: Prepared, terms: tuple[Term, ...]) -> Prepared:
    """The same rows with some of the terms."""
    structure = replace(p.structure, terms=terms)
    return p._replace(structure=structure, rows=narrowed_rows(p.rows, p.structure, structure))


def problem_of(p: Prepared, base: str) -> Problem:
    """The optimisation problem for one base law."""
    structure = p.structure
    start = np.zeros(structure.size)
    slope = 1.0 if base == "normal" else LOGISTIC_SLOPE
    start[0], start[1 : structure.slices[0].stop] = slope * structure.origin, slope

    def cuts(theta: Array) -> Array:
        low, where = structure.lowest(theta)
        return structure.constraint_rows(where, np.flatnonzero(low <= 0))

    return Problem(
        p.rows,
        BASES[base],
        structure.penalties(),
        start,
        cuts,
        0 if structure.affine else structure.basis.size,
    )


def _first_rows(structure: Structure, theta: Array) -> Array:
    """Constraints to begin with: those at the mean corner, or every one where a single covariate has few."""
    J = np.arange(structure.basis.size)
    if structure.affine:
        return np.zeros((0, structure.size))
    if len(structure.corners) == 1:
        count = len(structure.corners[0][0][2])
        return np.concatenate([structure.constraint_rows([np.full(len(J), i)], J) for i in range(count)])
    return structure.constraint_rows(structure.lowest(theta)[1], J)


def _fit(
    s: SplineSample,
    name: str,
    base: str,
    plan: SplinePlan,
    prepared: Prepared,
    near: Fitted | None = None,
    fine: bool = True,
) -> Fitted:
    """Fit one structure with one base, from scratch or from what another fit has in common with it."""
    centre, structure, _ = prepared
    problem = problem_of(prepared, base)
    if near is None:
        lam, theta = np.ones(len(problem.penalties)), None
    else:
        lam, theta = _carried_penalties(near, problem, name), _carried(near, structure, problem.start)
    G = _first_rows(structure, problem.start)
    steady, steps = (TENSOR_STEADY, TENSOR_STEPS) if name == "tensor" else (TRIAL_STEADY, 200)
    smooth = solve(problem, lam, theta=theta, G=G, steady=steady, last=TRIAL, maxiter=steps)
    if name == "tensor" and len(problem.cuts(smooth.theta)):
        # stopped before it was monotone everywhere: too good to compare
        smooth = solve(problem, smooth.lam, theta=smooth.theta, G=smooth.G, select=False, last=TRIAL)
    fitted = Fitted(centre, name, structure, base, smooth, problem, s)
    return _as_rough(_polished(fitted) if name == "tensor" and fine else fitted, plan)


def _promise(near: Fitted, wide: Prepared) -> float:
    """Log-likelihood that a Newton step into a wider structure adds, less the effective parameters it adds.

    The most over λ, for the new terms one by one and together; what the fit has already moves along.
    """
    problem, f = problem_of(wide, near.base), near.smooth
    p = evaluate(wide.rows, problem.base, f.z, f.slope, exact=False, value=f.loglik)
    places = dict(zip(wide.structure.terms, wide.structure.slices, strict=True))
    every = np.arange(wide.structure.size)
    old = np.concatenate([every[places[t]] for t in near.structure.terms])
    new = [every[at] for term, at in wide.structure.blocks() if term not in near.structure.terms]
    if not new:
        return 0.0
    half = f.root.T @ p.information[old]
    information = p.information - half.T @ half
    S = problem.penalty(np.ones(len(problem.penalties)))
    best = 0.0
    for i in (*new, np.concatenate(new)) if len(new) > 1 else new:
        w, V = linalg.eigh(information[np.ix_(i, i)], S[np.ix_(i, i)])
        share = 1 / (np.maximum(w, 0.0) + JUDGED_PENALTIES[:, None])
        used = w * share
        best = max(best, float(((V.T @ p.score[i]) ** 2 * share * (1 - used / 2) - used).sum(axis=1).max()))
    return best


def _settled(fitted: Fitted, plan: SplinePlan) -> Fitted:
    """The flow with its λ at their fixed point; those of a tensor, found by leave-one-out, stay."""
    if fitted.name == "tensor":
        return fitted
    f = fitted.smooth
    found = replace(fitted, smooth=solve(fitted.problem, f.lam, theta=f.theta, G=f.G))
    return _as_rough(_still_bending(found), plan)


def _still_bending(fitted: Fitted) -> Fitted:
    """The flow with `LEAST_BEND` effective parameters of a bend of its baseline, where records hide much.

    Nothing beyond a cap holds up the bend before it, and in a fifth of the samples the marginal likelihood
    then drops it, as it takes a variance that is small for zero: limits held a quantile near the cap in .69
    of these.  Where a line was chosen there is no bend to keep, and few classes have half of what they tell.
    """
    f, problem, s = fitted.smooth, fitted.problem, fitted.sample
    held = ALL if s.records is None else held_by(s.records, s.support, s.weights)
    if fitted.structure.affine or (held.all and not held.classes):
        return fitted
    at, (size, axes) = problem.penalties[0].at, np.linalg.eigh(problem.penalties[0].S)
    bends = axes[:, 2:] * np.sqrt(size[2:])  # all but level and slope of ∂h
    H = f.information + problem.penalty(np.append(0.0, f.lam[1:]))
    H.flat[:: len(H) + 1] += RIDGE * np.diagonal(H).mean()
    values = np.maximum(np.linalg.eigvalsh(bends.T @ np.linalg.inv(H)[at, at] @ bends), 0.0)

    def bend(log_lam: float) -> float:
        return float((1 / (1 + np.exp(log_lam) * values)).sum())

    least, now = min(LEAST_BEND, bend(0.0) / 2), float(np.log(f.lam[0]))
    if now <= 0 or bend(now) >= least:
        return fitted
    log_lam = optimize.brentq(lambda t: bend(t) - least, 0.0, now)
    lam = np.append(np.exp(log_lam), f.lam[1:])
    return replace(fitted, smooth=solve(problem, lam, theta=f.theta, G=f.G, select=False))


def _carried_penalties(near: Fitted, problem: Problem, name: str) -> Array:
    """The λ of another fit for the penalties that both have, and what others begin with."""
    known = near.penalties
    straight = (
        RETRIED_PENALTY if name == "tensor" else 1.0
    )  # terms of a tensor that promised nothing before it
    begin = [known.get(k.name, 1.0 if "smooth" in k.name else straight) for k in problem.penalties]
    return np.array([min(value, RETRIED_PENALTY) for value in begin])


def _carried(near: Fitted, structure: Structure, start: Array) -> Array | None:
    """Coefficients of another fit for the terms that both have, in one width; None where baselines differ."""
    if len(near.structure.baseline.T) != len(structure.baseline.T):
        return None
    theta, have = start.copy(), near.places
    for term, at in zip(structure.terms, structure.slices, strict=True):
        if term in have and have[term].stop - have[term].start == at.stop - at.start:
            theta[at] = near.smooth.theta[have[term]]
    return theta


def prepared_again(s: SplineSample, centre: Centre, structure: Structure) -> Prepared:
    """The linear forms of rows under a known structure."""
    if s.records is not None:
        return Prepared(centre, structure, recorded_rows(structure, *s.ends(centre), s.X, s.weights))
    r = (s.y - centre.location(s.X)) / centre.scale
    return Prepared(centre, structure, rows_of(structure, r, s.X, s.weights))


def rougher(
    fitted: Fitted,
    factor: float,
    which: Sequence[int] | None = None,
    last: float = LAST,
    *,
    near: bool = False,
) -> Fitted:
    """The same flow with every λ, or some of them, times a factor; ``near`` as in `solve`."""
    f = fitted.smooth
    lam = f.lam.copy()
    chosen = np.arange(len(lam)) if which is None else np.asarray(which)
    lam[chosen] = np.where(lam[chosen] < DROPPED, lam[chosen] * factor, lam[chosen])
    found = solve(fitted.problem, lam, theta=f.theta, G=f.G, select=False, last=last, near=near)
    return replace(fitted, smooth=found)


def _as_rough(fitted: Fitted, plan: SplinePlan) -> Fitted:
    """The flow with the factor on its λ that was asked for."""
    return rougher(fitted, plan.roughness) if plan.roughness != 1.0 else fitted


def _polished(fitted: Fitted) -> Fitted:
    """Lower all λ, then those of the tensor one by one, as long as that raises the leave-one-out score."""
    best = fitted
    of_tensor = [[i] for i, k in enumerate(fitted.problem.penalties) if k.name.startswith("shape_smooth")]
    for which in (None, *of_tensor):
        for _ in range(MOST_POLISH):
            other = rougher(best, POLISH, which, TRIAL)
            if other.total <= best.total:
                break
            best = other
    return rougher(best, 1.0)


def _kept_terms(fitted: Fitted) -> tuple[Term, ...]:
    """The terms that their penalties have not dropped; all where nothing else is left."""
    e, structure = fitted.smooth.effective, fitted.structure
    gone = [
        at
        for t, at in structure.blocks()
        if t.kind not in ("baseline", "linear") and e[at].sum() < IN_USE / 2
    ]
    return tuple(t for t, at in fitted.places.items() if not any(b.start <= at.start < b.stop for b in gone))


def _name_of(structure: Structure) -> str:
    """The smallest structure that has the terms."""
    kinds = {t.kind for t in structure.terms} - {"baseline"}
    names = [n for n in STRUCTURES if structure.affine or n != "linear"]
    return next(n for n in names if kinds <= {*STRUCTURES[n]})


def _pruned(fitted: Fitted) -> Fitted:
    """The flow without the terms that their penalties have dropped."""
    old, terms = fitted.structure, _kept_terms(fitted)
    if len(terms) == len(old.terms):
        return fitted
    narrow = _narrowed(Prepared(fitted.centre, old, fitted.problem.rows), terms)
    structure, problem = narrow.structure, problem_of(narrow, fitted.base)
    known, start = fitted.penalties, problem.start
    lam = np.array([known[k.name] for k in problem.penalties])
    theta = _carried(fitted, structure, start)
    smooth = solve(problem, lam, theta=theta, G=_first_rows(structure, start), select=False)
    return replace(fitted, name=_name_of(structure), structure=structure, smooth=smooth, problem=problem)


def _bends(s: SplineSample) -> bool:
    """Whether some covariate may bend."""
    return any(c.knots is not None for c in covariates_of(s, 8))


def _names(s: SplineSample, plan: SplinePlan) -> list[str]:
    """Structures to compare, simplest first: those that differ for these columns."""
    if plan.structure != "auto":
        return [plan.structure]
    if not s.X.shape[1]:
        return ["linear", "baseline"]
    return ["linear", "baseline", "scale", *(["shift"] if _bends(s) else []), "shape"]


def simplest(trials: Sequence[Trial], s: SplineSample) -> Trial:
    """The simplest structure within half a standard error of the best."""
    best = max(trials, key=lambda t: t.score)
    for name in STRUCTURES:
        mine = [t for t in trials if t.name == name]
        t = max(mine, key=lambda t: t.score, default=None)
        if t is not None and best.score - t.score <= TOLERATED * _error(best, t, s):
            return _light_tailed(t, mine, s)
    return best


def _light_tailed(t: Trial, mine: Sequence[Trial], s: SplineSample) -> Trial:
    """The same structure with a normal base where a logistic one gains next to nothing under a support.

    There the outer slope is raised to a power: a logistic base makes a Pareto tail, a normal one a log-normal
    tail, with all moments, which has the better score in the upper rows even of Pareto samples.
    """
    normal = next((o for o in mine if o.base == "normal"), t)
    return normal if s.support.kind != "line" and t.score - normal.score <= GAIN_OF_TAILS else t


def _error(a: Trial, b: Trial, s: SplineSample) -> float:
    """Standard error of the difference of two leave-one-out scores (sums over observations)."""
    d = a.loo - b.loo
    d = d - np.average(d, weights=s.weights)
    return float(np.sqrt(s.observations * np.average(np.square(d), weights=s.weights)))


class _Search:
    """What has been fitted to a sample so far, and the forms that the structures share."""

    def __init__(self, s: SplineSample, plan: SplinePlan) -> None:
        self.sample, self.plan = s, plan
        self.names = _names(s, plan)
        self.fits: dict[tuple[str, str], Fitted] = {}
        self.trials: dict[tuple[str, str], Trial] = {}
        self.latest: dict[str, Fitted] = {}  # by base
        self.prepared = {"shape": _prepare(s, "shape", plan)} if "shape" in self.names else {}

    def prepare(self, name: str) -> Prepared:
        """The forms of a structure, those of the widest if that is among the names."""
        if name not in self.prepared:
            wide = self.prepared.get("shape")
            if wide is None or name in ("linear", "tensor"):
                self.prepared[name] = _prepare(self.sample, name, self.plan)
            else:
                kinds = ("baseline", *STRUCTURES[name])
                terms = tuple(t for t in wide.structure.terms if t.kind in kinds)
                self.prepared[name] = _narrowed(wide, terms)
        return self.prepared[name]

    def add(self, name: str, base: str, fitted: Fitted) -> None:
        """Compare a fit with the others."""
        self.fits[name, base] = self.latest[base] = fitted
        self.trials[name, base] = fitted.trial()

    def run(self, name: str, base: str) -> None:
        """Fit a structure with a base, unless it has been."""
        if (name, base) not in self.fits:
            near = self.latest.get(base)
            self.add(name, base, _fit(self.sample, name, base, self.plan, self.prepare(name), near))

    def best(self) -> Trial:
        """What would be taken now."""
        return simplest(list(self.trials.values()), self.sample)

    def run_all(self, bases: Sequence[str]) -> None:
        """Fit cheap structures with both bases, then those that promise enough with the better one."""
        for name in self.names:
            if name in ("linear", "baseline") or self.plan.structure != "auto":
                for base in bases:
                    self.run(name, base)
                continue
            base = max(self.trials.values(), key=lambda t: t.score).base
            if _promise(self.latest[base], self.prepare(name)) > MIN_GAIN:
                self.run(name, base)
        chosen = self.best().name
        for base in bases:
            self.run(chosen, base)

    def tensor(self) -> SplinePlan:
        """Try a tensor where it promises enough; the plan with which it was fitted.

        A fine one is fitted where a coarse one is clearly better, with two places of its outer knots: sharp
        ends of a law need them far out, and a tail whose slope moves with the covariate needs more rows that
        hold it.
        """
        s, plan, best = self.sample, self.plan, self.best()
        near, key = self.fits[best.name, best.base], ("tensor", best.base)
        straight = next(self.fits[n, best.base] for n in ("scale", "baseline") if (n, best.base) in self.fits)
        few = _prepare(s, "tensor", plan, fine=False)
        if _promise(straight, few) <= MIN_GAIN:
            return plan
        coarse = _fit(s, *key, plan, few, near, fine=False).trial()
        if coarse.score - best.score <= MIN_GAIN_ERRORS * _error(coarse, best, s):
            return plan
        tried = []
        for outside in (OUTSIDE, WIDE_OUTSIDE):
            other = replace(plan, outside=outside, roughness=1.0)
            tried.append((_fit(s, *key, other, _prepare(s, "tensor", other), near, fine=False), outside))
        found, outside = max(tried, key=lambda t: t[0].trial().score)
        self.add(*key, _as_rough(_polished(found), plan))
        return replace(plan, outside=outside)


def _searched(s: SplineSample, plan: SplinePlan) -> tuple[_Search, SplinePlan]:
    """Fit the structures and bases that are asked for; the plan of the tensor, if there is one."""
    search = _Search(s, plan)
    search.run_all(["normal", "logistic"] if plan.base == "auto" else [plan.base])
    if plan.structure == "auto" and plan.tensor and s.X.shape[1] <= 2 and _bends(s):
        plan = search.tensor()
    return search, plan


def _search(s: SplineSample, plan: SplinePlan) -> tuple[Fitted, tuple[Trial, ...], SplinePlan]:
    """Fit the structures and bases that are asked for, and take one, its λ as near as the choice needs."""
    search, plan = _searched(s, plan)
    best = search.best()
    return search.fits[best.name, best.base], tuple(search.trials.values()), plan


def _compared(s: SplineSample) -> Indices | None:
    """The rows on which structures are compared, None for all; those that count for many come repeatedly."""
    most = MOST_ROWS if s.X.shape[1] else MOST_ALONE
    if len(s.y) <= most * 1.25:
        return None
    rng = np.random.default_rng(0)
    if s.copies is None:
        return np.sort(rng.permutation(len(s.y))[:most])
    ends = np.cumsum(s.copies)
    return np.searchsorted(ends, np.sort(rng.choice(int(ends[-1]), most, replace=False)), side="right")


def _few(s: SplineSample, rows: Indices) -> SplineSample:
    """Rows of a sample, each of which counts once where weights say how often."""
    few = s.take(rows)
    return few if s.copies is None else replace(few, weights=None)


class Close(NamedTuple):
    """Fits that may be taken where rows are weighted anew.

    ``few`` are those that are compared, on ``rows`` (None: all), which stand for ``copies`` (m,); ``whole``
    the same on all rows; ``taken`` is the position of the one that was taken.
    """

    taken: int
    rows: Indices | None
    copies: Array | None
    few: tuple[Fitted, ...]
    whole: tuple[Fitted, ...]


def close_fits(s: SplineSample, plan: SplinePlan) -> Close:
    """The fit that `fit_flow` takes and those whose leave-one-out scores are close to the best one.

    None of their terms are left out, since other weights may ask for them.
    """
    rows = _compared(s)
    few = s if rows is None else _few(s, rows)
    search, plan = _searched(few, plan)
    taken, best = search.best(), max(search.trials.values(), key=lambda t: t.score)
    keys = [
        key
        for key, t in search.trials.items()
        if t is taken or best.score - t.score <= CLOSE * _error(best, t, few)
    ]
    close = tuple(_settled(search.fits[key], plan) for key in keys)
    place = keys.index((taken.name, taken.base))
    if rows is None:
        return Close(place, None, None, close, close)
    whole = []
    for found in close:
        prepared = _prepare(s, found.name, plan, terms=found.structure.terms)
        whole.append(_settled(_fit(s, found.name, found.base, plan, prepared, near=found), plan))
    return Close(place, rows, None if s.copies is None else s.copies[rows], close, tuple(whole))


def _centred(s: SplineSample, plan: SplinePlan) -> tuple[Fitted, tuple[Trial, ...], SplinePlan]:
    """The search, with both centres where one in the outcome's own units promises more."""
    found = _search(s, plan)
    if s.centre.is_straight:
        return found
    return max(found, _search(replace(s, straight=True), plan), key=lambda one: one[0].trial().score)


def fit_flow(s: SplineSample, plan: SplinePlan) -> Fitted:
    """Choose and fit a flow.

    Parameters
    ----------
    s : Sample of at least three distinct outcomes.
    plan : Plan.

    Returns
    -------
    Fitted
    """
    if plan.structure == "linear":
        s = replace(s, straight=True)  # as is asked for
    rows = _compared(s)
    if rows is None:
        fitted, trials, plan = _centred(s, plan)
        return replace(_pruned(_settled(fitted, plan)), trials=trials)
    found, trials, plan = _centred(_few(s, rows), plan)
    found, s = _pruned(found), replace(s, straight=found.centre.is_straight)
    prepared = _prepare(s, found.name, plan, terms=found.structure.terms)
    fitted = _settled(_fit(s, found.name, found.base, plan, prepared, near=found), plan)
    return replace(fitted, trials=trials)
