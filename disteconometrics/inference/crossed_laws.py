"""Laws of one fit averaged over the rows of another: what they are and how all of them move together.

F⟨j|k⟩(y) = Σ w_i F_j(y | x_i) over the rows k moves with the rows of fit j through its coefficients, and with
the rows k through the average:

    ψ_i = (∂T/∂θ_j)' H_j⁻¹ s_i  of the rows of fit j,      ψ_i = w_i (m_i − average)  of the rows k.

Rows of all fits and averages are laid side by side, so that a row that is in several of them, or in a cluster
with others, counts in what they share.  The functionals of `inference.law_functionals` have these rows
exactly; others are differentiated numerically in the masses of a fine grid of outcomes.

References
----------
Chernozhukov, Fernández-Val, Melly (2013), Inference on counterfactual distributions, Econometrica 81,
doi:10.3982/ECTA10582.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import expit

from disteconometrics.arrays import Array, Indices, as_floats, or_ones
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import evaluate, functional_name
from disteconometrics.errors import DataError, InfiniteMomentWarning, OptionError, warn_user
from disteconometrics.inference.beside_mass import MassEnds, warn_no_error
from disteconometrics.inference.covariance import Cluster, Codes, CovarianceKind
from disteconometrics.inference.held import Held, warn_not_held
from disteconometrics.inference.influence import influence_covariance, scaled_averaging
from disteconometrics.inference.law_bands import half
from disteconometrics.inference.law_effects import Answer, Averaged, Estimation, mass_ends
from disteconometrics.inference.law_functionals import is_analytic, parse_functional
from disteconometrics.inference.sampling import Sampling
from disteconometrics.inference.survey import Survey, SurveyDesign

__all__ = [
    "APART",
    "AllRows",
    "AveragedRows",
    "Cell",
    "CrossedLaws",
    "Drawn",
    "InfluenceLaws",
    "grid_influence",
]

EDGE = 16.0  # log-odds of the levels that a grid of outcomes ends at
COARSE, FINE, PARTS = 17, 12, 16  # quantiles that a grid rests on, cells between two, parts of a cell
MULTIPLIERS = 4_000
SMALL = 1e-10  # mass of a cell of which F says no mean
STEP, WIDE = 1e-5, 0.02  # mass that moves in a numerical derivative; where a functional moves in steps
APART = "ask for levels farther away or for the mean; functionals(by=) has limits of each quantile"
FINER = 6  # parts of a cell in place of one, of what moves in steps
CHECKED, ROUGH = 20, 0.5  # points at which both are compared; how far apart they are of what moves in steps


class Drawn(NamedTuple):
    """Numbers (c, m) of c laws at m points, and what draws add to them (B, c, m)."""

    values: Array
    deviations: Array


class CrossedLaws(Protocol):
    """Several averaged laws that are estimated together.

    ``functionals`` gives values (c, q) of q functionals and the covariance (r q, r q) of r contrasts of the
    laws, functional by functional; `cdf` and `quantiles` are curves with draws of their deviations.
    ``steps`` says that laws are of steps, whose quantiles come with limits of F inverted; ``smooth`` that
    they have no heaps, so that draws of differences of quantiles have a spread: ``errors``.
    """

    @property
    def df(self) -> float: ...
    @property
    def steps(self) -> bool: ...
    @property
    def smooth(self) -> bool: ...
    def errors(self, deviations: Array) -> Array: ...
    def functionals(self, names: Sequence[Any], contrasts: Array) -> tuple[Array, Array]: ...
    def cdf(self, y: Array) -> Drawn: ...
    def quantiles(self, levels: Array) -> Drawn: ...
    def inverted(self, levels: Array, laws: Sequence[int], level: float, *, uniform: bool) -> Array: ...
    def values(self, y: Array) -> Array: ...
    def grid(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class AllRows:
    """All rows that fits and averages rest on, side by side: how many, what they depend on, copies of each.

    ``codes`` gives clusters of all of them, ``surveyed`` a survey's design, ``samples`` the places of each
    sample that is fitted or averaged over; ``copies`` (n,) are frequency weights, or None.
    """

    size: int
    kind: CovarianceKind
    codes: Callable[[Sequence[str]], Codes]
    samples: tuple[Indices, ...]
    copies: Array | None = None
    surveyed: Callable[[Survey], SurveyDesign] | None = None

    @cached_property
    def design(self) -> SurveyDesign | None:
        """The design of a survey, None of other rows."""
        if not isinstance(self.kind, Survey) or self.surveyed is None:
            return None
        return self.surveyed(self.kind)

    def grouped(self, by: Any) -> Any:
        """Clusters of columns, or the design of a survey, as covariances ask for them."""
        return self.design if isinstance(by, Survey) else self.codes(by)

    @property
    def sampling(self) -> Sampling:
        """The same with copies of rows."""
        return Sampling(self.grouped, weights=self.copies, weight_type="frequency")

    @cached_property
    def clusters(self) -> int | None:
        """Clusters of the sample that has the fewest, in the fewer of two ways; None without."""
        return self.fewest(self.samples)

    def fewest(self, samples: Sequence[Indices]) -> int | None:
        """The same of some samples."""
        if not isinstance(self.kind, Cluster):
            return None
        return min(self.clusters_in(at, [c]) for at in samples for c in self.kind.columns)

    def clusters_in(self, at: Indices, columns: Sequence[str]) -> int:
        """Clusters that the rows of a sample lie in.

        Raises
        ------
        DataError
            If it is a single one.
        """
        count = len(np.unique(self.codes(columns)[0][at]))
        if count < 2:
            raise DataError(
                f"A sample lies in one cluster of {', '.join(columns)}, which shows no spread: take other "
                "clusters, or target='sample' where these rows are all there is."
            )
        return count

    def factor(self, at: Indices) -> float:
        """What rows of a sample count more than all rows do, as their own clusters are fewer."""
        kind = self.kind
        if not isinstance(kind, Cluster) or len(kind.columns) > 1 or kind.correction == "none":
            return 1.0
        own, every = self.clusters_in(at, kind.columns), self.codes(kind.columns)[1]
        ratio = np.sqrt((1 - 1 / every) / (1 - 1 / own))
        return float(1 / ratio if kind.correction == "jackknife" else ratio)

    def of_one(self, rows: Array, over: AveragedRows) -> Array:
        """Averaging rows (m, q) of one copy each, where copies of a row share its weight."""
        if self.copies is None or over.weight_type == "frequency":
            return rows
        return np.asarray(rows / self.copies[over.at, None])

    @property
    def df(self) -> float:
        """Degrees of freedom of t: the fewest clusters less one, those of a design, else the normal law."""
        if self.design is not None:
            return self.design.degrees
        return np.inf if self.clusters is None else float(self.clusters - 1)


@dataclass(frozen=True, eq=False)
class AveragedRows:
    """Rows that laws are averaged over: their places among all, weights, whether they are all there is."""

    at: Indices
    weights: Array | None = None
    weight_type: str | None = None
    given: bool = False

    @property
    def shares(self) -> Array:
        """Shares (n,) of the rows."""
        w = or_ones(self.weights, len(self.at))
        return np.asarray(w / w.sum())

    def among(self, all_rows: Sampling) -> Sampling:
        """Their clusters among those of all rows, and their own weights."""
        return replace(all_rows.at(self.at), weights=self.weights, weight_type=self.weight_type)


class Cell(NamedTuple):
    """A law: of which fit, averaged over which rows."""

    fit: int
    over: int
    law: Averaged


@dataclass(frozen=True, eq=False)
class InfluenceLaws:
    """Averaged laws of fits that know the influence of every row; see `CrossedLaws`.

    Parameters
    ----------
    cells : the laws.
    estimations : of the fits, whose rows lie at ``fitted`` among all.
    averages : the rows that laws are averaged over.
    rows : AllRows.
    outcome : str, as the formula writes it.
    seed : of the multipliers.
    unsupported : reasons by kind of moment, of those that the samples do not support.
    """

    cells: tuple[Cell, ...]
    estimations: tuple[Estimation, ...]
    fitted: tuple[Indices, ...]
    averages: tuple[AveragedRows, ...]
    rows: AllRows
    outcome: str
    seed: np.random.SeedSequence
    unsupported: Mapping[str, str] = field(default_factory=dict)

    steps = False
    smooth = True

    def errors(self, deviations: Array) -> Array:
        """Standard errors of numbers from their draws (B, …)."""
        return np.asarray(deviations.std(axis=0))

    @property
    def df(self) -> float:
        """Degrees of freedom of t."""
        return self.rows.df

    def functionals(self, names: Sequence[Any], contrasts: Array) -> tuple[Array, Array]:
        """Values (c, q) and the covariance (r q, r q) of contrasts (r, c), functional by functional."""
        answers = self._answers(names)
        values = np.array([[a.value for a in row] for row in answers]).T
        near = np.array([self._near_mass(name) for name in names], dtype=bool)
        warn_no_error([functional_name(n) for n, one in zip(names, near, strict=True) if one], APART)
        known = np.isfinite(values).all(axis=0) & ~near
        V = np.full((len(names) * len(contrasts),) * 2, np.nan)
        kept = [row for row, k in zip(answers, known, strict=True) if k]
        if kept:
            C = np.kron(np.eye(len(kept)), contrasts)
            found = C @ self._covariance([a for row in kept for a in row]) @ C.T
            V[np.ix_(*[np.repeat(known, len(contrasts))] * 2)] = found
        return values, V

    @cached_property
    def _ends(self) -> MassEnds:
        """F of the averaged laws at the ends of their masses."""
        laws = self.cells[0].law.laws
        found = [[cell.law.on_link(y) for cell in self.cells] for y in mass_ends(laws)]
        values = np.array([[a.value for a in row] for row in found]).reshape(-1, len(self.cells))
        errors = [np.sqrt(np.diagonal(self._covariance(row))) for row in found]
        return MassEnds(laws.link if found else None, values, np.array(errors).reshape(values.shape))

    def _near_mass(self, name: Any) -> bool:
        """Whether a functional is made of quantiles that may be at a mass or beside it in one of the laws."""
        if not is_analytic(name) or not len(self._ends.values):
            return False
        return bool(self._ends.near(parse_functional(name)).any())

    def _answers(self, names: Sequence[Any]) -> list[list[Answer]]:
        """Functionals of every law, those that the samples or records do not tell NaN, with a warning."""
        withheld = self._withheld([_kind(name) for name in names])
        others = [
            n
            for n, w in zip(names, withheld, strict=True)
            if not (w or is_analytic(n)) and self.held.tells(n)
        ]
        found = iter(self._on_grids(others))
        answers = [self._answer(n, w, found) for n, w in zip(names, withheld, strict=True)]
        gone = [
            any(np.isnan(a.value) for a in row) and not w for row, w in zip(answers, withheld, strict=True)
        ]
        if not self.held.all:
            warn_not_held([functional_name(n) for n, g in zip(names, gone, strict=True) if g], self.held)
        return answers

    def _answer(self, name: Any, withheld: bool, found: Iterator[list[Answer]]) -> list[Answer]:
        """A functional of every law; ``found`` are those that are differentiated on grids, in turn."""
        if withheld or not (is_analytic(name) or self.held.tells(name)):
            return [self._nothing(cell) for cell in self.cells]
        if is_analytic(name):
            return [cell.law.functional(parse_functional(name)) for cell in self.cells]
        return next(found)

    def _withheld(self, kinds: Sequence[Any]) -> list[bool]:
        """Which functionals the samples do not support, with a warning.

        Raises
        ------
        OptionError
            If one is not of an outcome of two values.
        """
        if not hasattr(self.cells[0].law.laws, "at"):
            for kind in kinds:
                if kind != "mean":
                    raise OptionError(f"{kind}: an outcome of two values has one functional here, 'mean'.")
        for kind in dict.fromkeys(k for k in kinds if k in self.unsupported):
            hint = "use quantiles or iqr, which do not depend on how far the tail goes"
            text = f"Withheld: {kind}, which the fitted tail decides: {self.unsupported[kind]}. "
            warn_user(InfiniteMomentWarning(f"{text}Remedy: {hint}.", hint=hint))
        return [kind in self.unsupported for kind in kinds]

    def _on_grids(self, names: Sequence[Any]) -> list[list[Answer]]:
        """Functionals that are differentiated on grids, of every law."""
        if not names:
            return []
        of = [grid_influence(cell.law, grid, names, self.outcome) for cell, grid in self._grids]
        return [list(row) for row in zip(*of, strict=True)]

    def _nothing(self, cell: Cell) -> Answer:
        return Answer(np.nan, np.zeros(1), np.zeros(len(self.averages[cell.over].at)))

    @cached_property
    def _grids(self) -> list[tuple[Cell, _Grid]]:
        return [(cell, _grid_of(cell.law)) for cell in self.cells]

    def _covariance(self, answers: Sequence[Answer]) -> Array:
        """Covariance (q, q) of answers of all laws in turn."""
        of = [self.cells[i % len(self.cells)] for i in range(len(answers))]
        q = len(answers)
        psi, modelled = np.zeros((self.rows.size, q)), np.zeros((q, q))
        for j, estimation in enumerate(self.estimations):
            mine = np.flatnonzero([cell.fit == j for cell in of])
            if len(mine):
                G = np.array([a.gradient for a, cell in zip(answers, of, strict=True) if cell.fit == j])
                factor = self.rows.factor(self.fitted[j])
                psi[np.ix_(self.fitted[j], mine)] += factor * estimation.rows(G, len(self.fitted[j]))
                modelled[np.ix_(mine, mine)] += estimation.modelled(G)
        for k, over in enumerate(self.averages):
            mine = np.flatnonzero([cell.over == k and not over.given for cell in of])
            if len(mine):
                own = np.column_stack([a.rows for a, c in zip(answers, of, strict=True) if c.over == k])
                factor = self.rows.factor(over.at)
                own = scaled_averaging(own, self.rows.kind, over.among(self.rows.sampling))
                np.add.at(psi, np.ix_(over.at, mine), factor * self.rows.of_one(own, over))
        values = np.array([a.value for a in answers])
        V = influence_covariance(values, None, psi, self.rows.kind, self.rows.sampling, modelled=modelled)
        return np.asarray((V + V.T) / 2)

    def _drawn(self, answers: list[list[Answer]]) -> Drawn:
        """Numbers (c, m) from answers by point, and multiplier draws of their deviations."""
        values = np.array([[a.value for a in row] for row in answers]).reshape(-1, len(self.cells))
        known = np.isfinite(values).all(axis=1)
        moved = np.full((MULTIPLIERS, *values.shape), np.nan)
        if known.any():
            kept = [row for row, k in zip(answers, known, strict=True) if k]
            root = half(self._covariance([a for row in kept for a in row]))
            multipliers = np.random.default_rng(self.seed).standard_normal((MULTIPLIERS, root.shape[1]))
            moved[:, known] = (multipliers @ root.T).reshape(MULTIPLIERS, len(kept), len(self.cells))
        return Drawn(values.T, moved.transpose(0, 2, 1))

    @property
    def held(self) -> Held:
        """The outcomes that the records of all fits tell."""
        return self.cells[0].law.held

    def cdf(self, y: Array) -> Drawn:
        """Distribution functions at outcomes (m,)."""
        return self._drawn([[_at(cell.law, float(v)) for cell in self.cells] for v in y])

    def quantiles(self, levels: Array) -> Drawn:
        """Quantiles at levels (m,)."""
        found = self._drawn(
            [[cell.law.functional(("q", (float(t),))) for cell in self.cells] for t in levels]
        )
        found.deviations[..., [self._near_mass(f"q[{float(t)!r}]") for t in levels]] = np.nan
        return found

    def inverted(self, levels: Array, laws: Sequence[int], level: float, *, uniform: bool) -> Array:
        """No band of F is inverted where quantiles are smooth."""
        raise NotImplementedError

    def values(self, y: Array) -> Array:
        """Distribution functions (c, m) at outcomes (m,), straight between points of grids; NaN if hidden."""
        F = np.array([np.interp(y, g.edges, g.F, left=0.0, right=1.0) for _, g in self._grids])
        return np.where(self.held.hidden(y), np.nan, F)

    def grid(self) -> Array:
        """Outcomes (m,) that the laws lie on, finely."""
        return np.unique(np.concatenate([grid.edges for _, grid in self._grids]))


def _kind(name: Any) -> Any:
    """What a functional is, whatever numbers it takes."""
    return parse_functional(name)[0] if is_analytic(name) else name


def _at(law: Averaged, y: float) -> Answer:
    """F̄(y) with its gradient and averaging rows."""
    F, _, cdf = law.at(y)
    return Answer(F, law.gradient(y), law.averaging(cdf))


class _Grid(NamedTuple):
    """Edges (m,) of cells of outcomes with F and density at them."""

    edges: Array
    F: Array
    density: Array

    @property
    def masses(self) -> Array:
        """Masses (m + 1,) of the cells, the tails first and last."""
        return np.maximum(np.diff(self.F, prepend=0.0, append=1.0), 0.0)

    @property
    def outcomes(self) -> Array:
        """The mean outcome (m + 1,) of every cell, from F and its slope at both ends."""
        e, F, f = self.edges, self.F, self.density
        h, mass = np.diff(e), np.diff(F)
        area = h * (F[1:] + F[:-1]) / 2 - h * h * np.diff(f) / 12
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (e[1:] * F[1:] - e[:-1] * F[:-1] - area) / mass
        mean = np.where(mass > SMALL, np.clip(mean, e[:-1], e[1:]), (e[1:] + e[:-1]) / 2)
        return np.concatenate([e[:1], mean, e[-1:]])

    def law(self) -> Empirical:
        """The law of `fine` masses."""
        return Empirical(*self.fine(PARTS))

    def fine(self, parts: int) -> tuple[Array, Array]:
        """Outcomes and masses of finer cells, F cubic between the edges."""
        u = np.arange(parts) / parts
        h, f = np.diff(self.edges)[:, None], self.density[:, None]
        F = (
            self.F[:-1, None] * (1 + 2 * u) * (1 - u) ** 2
            + self.F[1:, None] * u * u * (3 - 2 * u)
            + h * (f[:-1] * u * (1 - u) ** 2 - f[1:] * u * u * (1 - u))
        )
        y = self.edges[:-1, None] + h * u
        fine = _Grid(np.append(y, self.edges[-1]), np.append(np.maximum.accumulate(F.ravel()), self.F[-1]), f)
        middle = (fine.edges[1:] + fine.edges[:-1]) / 2
        return np.concatenate([self.edges[:1], middle, self.edges[-1:]]), fine.masses


def _grid_of(law: Averaged) -> _Grid:
    """Cells between quantiles whose log-odds are even, each parted evenly."""
    levels = expit(np.linspace(-EDGE, EDGE, COARSE))
    ends = np.unique([law.quantile(float(t)) for t in levels])
    if law.point is not None:  # an edge at the mass, and one just before it where something is
        before = law.point - SMALL * (ends[-1] - ends[0])
        ends = np.union1d(ends, [law.point, before] if law.at(before)[0] > 0 else [law.point])
    inner = np.linspace(ends[:-1], ends[1:], FINE, endpoint=False).T.ravel()
    edges = np.unique(np.append(inner, ends[-1]))
    F, density = np.array([law.at(float(y))[:2] for y in edges]).T
    return _Grid(edges, np.maximum.accumulate(F), density)


def grid_influence(law: Averaged, grid: _Grid, functionals: Sequence[Any], outcome: str) -> list[Answer]:
    """Any smooth functionals of an averaged law with gradients and rows, by masses on a fine grid.

    Moving a little mass to one cell gives the influence of its outcomes.

    Parameters
    ----------
    law : Averaged.
    grid : edges of cells and F at them.
    functionals : names, or functions of a law.
    outcome : str, as the formula writes it.
    """
    points, where = np.unique(grid.outcomes, return_inverse=True)
    mass = as_floats(np.bincount(where, np.maximum(grid.masses, 0.0)))
    slopes = np.array([_slopes(grid, points, mass, f, outcome)[where] for f in functionals])
    falls = slopes[:, :-1] - slopes[:, 1:]  # ∫ slope dF = last slope + Σ F(edge)·fall
    rows, gradients = 0.0, np.zeros((len(functionals), 1))
    for y, fall in zip(grid.edges, falls.T, strict=True):
        rows = rows + np.multiply.outer(fall, law.at(float(y))[2])
        gradients = gradients + np.outer(fall, law.gradient(float(y)))
    values = [float(evaluate(grid.law().named(outcome), f)) for f in functionals]
    return [
        Answer(v, g, law.averaging(r)) for v, g, r in zip(values, gradients, np.asarray(rows), strict=True)
    ]


def _slopes(grid: _Grid, points: Array, mass: Array, functional: Any, outcome: str) -> Array:
    """The derivative (m,) of a functional as mass moves to points (m,) that have masses (m,).

    A functional of quantiles moves in steps between points, which a wide step tells from a narrow one; it is
    taken from the law of finer cells by wide steps.
    """
    slope = _derivative(points, mass, points, functional, outcome, STEP)
    few = points[:: max(1, len(points) // CHECKED)]
    wide = _derivative(points, mass, few, functional, outcome, WIDE)
    narrow = slope[np.searchsorted(points, few)]
    if np.abs(wide - narrow).sum() <= ROUGH * np.abs(wide).sum():
        return slope
    return _derivative(*grid.fine(FINER * PARTS), points, functional, outcome, WIDE)


def _derivative(points: Array, mass: Array, to: Array, functional: Any, outcome: str, step: float) -> Array:
    """How fast a functional of masses on points (m,) grows as a share ``step`` moves to outcomes (q,)."""
    value = float(evaluate(Empirical(points, mass).named(outcome), functional))
    slope, every = np.empty(len(to)), np.union1d(points, to)
    left, total = np.zeros(len(every)), mass.sum()
    left[np.searchsorted(every, points)] = mass * (1 - step)
    for j, at in enumerate(np.searchsorted(every, to)):
        there = left.copy()
        there[at] += step * total
        slope[j] = (float(evaluate(Empirical(every, there).named(outcome), functional)) - value) / step
    return slope
