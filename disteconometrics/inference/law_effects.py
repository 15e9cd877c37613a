"""Answers of any conditional law: functionals averaged over rows or of rows, effects of variables, bands.

A model offers laws for rows (`RowLaws`): values of functionals and weighted sums of their gradients in θ, and
what its estimation says of θ (`Estimation`).  An answer θ̂ = T(Σ w_i F(· | x_i; θ)), or Σ w_i m(x_i; θ), moves
with row i by

    ψ_i = w_i (m_i − average) + G' H⁻¹ s_i,      G = Σ w_i ∂m_i/∂θ,

m_i the influence of row i's law on T: of a mean its mean, of a quantile −(F(q | x_i) − τ)/f(q).  The variance
of an answer is that of Σ ψ_i as the covariance of the fit sees rows: groups, lags, weights.  With the target
"sample" the rows are all there is, and the second part stays alone.

References
----------
Newey, McFadden (1994), Large sample estimation and hypothesis testing, Handbook of Econometrics 4, section 6,
doi:10.1016/S1573-4412(05)80005-4.
Chernozhukov, Fernández-Val, Melly (2013), Inference on counterfactual distributions, Econometrica 81,
doi:10.3982/ECTA10582.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.distributions.functionals import functional_name
from disteconometrics.distributions.support import Support
from disteconometrics.errors import NeedsData, OptionError
from disteconometrics.inference.covariance import Covariance, CovarianceKind
from disteconometrics.inference.crossings import UNSURE, crossings, crossings_of_mass, just_below
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.held import ALL, Held
from disteconometrics.inference.influence import answers_covariance, estimation_rows, is_model_based
from disteconometrics.inference.law_functionals import SHARES, Functional
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.inference.sampling import Sampling
from disteconometrics.likelihoods.monotone import BaseLaw
from disteconometrics.threads import on_one_thread

__all__ = [
    "Answer",
    "AtLevels",
    "AtOutcome",
    "Averaged",
    "Estimation",
    "LawsOver",
    "MEstimation",
    "RowLaws",
    "RowMoments",
    "RowValues",
    "check_target",
    "error_of",
    "estimates_of",
    "mass_ends",
    "needs_population",
    "outcomes_of",
    "point_of",
    "row_gradients",
    "row_values",
    "spreads",
    "with_quantile_limits",
]

MOST_STEPS = 100  # of a search for a quantile
FEW = 400  # rows whose quantiles say where that of the average is


# ---- what a model offers -----------------------------------------------------------------------------------


class RowValues(NamedTuple):
    """A functional of every row's law (n,), and weighted sums of its gradients in θ (v, p)."""

    values: Array
    sums: Array


class AtOutcome(NamedTuple):
    """Distribution function and density (n,) of every row's law at one outcome."""

    cdf: Array
    pdf: Array


class AtLevels(NamedTuple):
    """Outcomes (n,) at levels of rows' laws, sums (v, p) of their gradients, and densities (n,) there."""

    values: Array
    sums: Array
    density: Array


class RowMoments(NamedTuple):
    """Mean and variance (n,) of rows; sums (v, p) of gradients of the first two moments about an origin."""

    mean: Array
    var: Array
    first: Array
    second: Array


class RowLaws(Protocol):
    """The laws of n rows under coefficients θ (p,).

    ``link`` is a law whose quantiles make distribution functions nearly straight, ``support`` where outcomes
    live, ``origin`` what second moments are taken about.  Laws with a mass have it at their ``point`` (see
    `point_of`), and ``at`` gives the density beside it; ``densities`` gives those at many (n, Q) and
    Σ w ∂f/∂θ (Q, p).  ``each`` and ``each_on_link`` give numbers (n,) with a gradient (n, p) for each row,
    the latter Λ⁻¹(F(y_i | x_i)).
    """

    @property
    def size(self) -> int: ...
    @property
    def link(self) -> BaseLaw: ...
    @property
    def support(self) -> Support: ...
    @property
    def origin(self) -> float: ...
    @property
    def law(self) -> Any: ...
    def take(self, rows: Any) -> RowLaws: ...
    def at(self, y: float) -> AtOutcome: ...
    def cdf_sums(self, y: float, W: Array) -> Array: ...
    def densities(self, y: Array, w: Array) -> tuple[Array, Array]: ...
    def moments(self, W: Array) -> RowMoments: ...
    def by_row(self, functional: Functional, W: Array) -> RowValues: ...
    def each(self, functional: Functional) -> tuple[Array, Array]: ...
    def each_on_link(self, y: Array) -> tuple[Array, Array]: ...
    def quantile_density(self, tau: float) -> Array: ...


def point_of(laws: Any) -> float | None:
    """Where the laws of rows have a mass; None of continuous ones."""
    point: float | None = getattr(laws, "point", None)
    return point


class LawsOver:
    """What laws of rows that are made of others' have of these: `RowLaws` whose ``own`` are the others."""

    own: RowLaws

    @property
    def size(self) -> int:
        """Rows."""
        return self.own.size

    @property
    def link(self) -> BaseLaw:
        """That of the laws below."""
        return self.own.link

    @property
    def point(self) -> float | None:
        """Where the laws below have a mass."""
        return point_of(self.own)

    @property
    def support(self) -> Support:
        """Where outcomes of the laws below live."""
        return self.own.support

    @property
    def origin(self) -> float:
        """That of the laws below."""
        return self.own.origin


def outcomes_of(laws: Any) -> Any:
    """The laws of outcomes behind those of what is recorded of them; None of laws of outcomes."""
    return laws.own if hasattr(laws, "told") else None


def mass_ends(laws: Any) -> list[float]:
    """Outcomes at which masses of laws begin and end: those just below them, and they themselves."""
    ends = [] if point_of(laws) is None else [just_below(laws.point), laws.point]
    if outcomes_of(laws) is not None:
        how = laws.how
        ends += [how.low] * bool(np.isfinite(how.low)) + [just_below(how.high)] * bool(np.isfinite(how.high))
    return ends


def row_values(laws: RowLaws, functional: Functional, W: Array) -> RowValues:
    """A functional of every row's law (n,), and weighted sums of gradients; also those of two quantiles."""
    kind, levels = functional
    if kind not in ("difference", "ratio"):
        return laws.by_row(functional, W)
    zero = np.zeros((len(W), 1))
    a, b = (laws.by_row(("q", (t,)), zero).values for t in levels)
    one = np.ones_like(a)
    value, of_a, of_b = (a - b, one, -one) if kind == "difference" else (a / b, 1 / b, -a / b**2)
    parts = [laws.by_row(("q", (t,)), W * d[:, None]).sums for t, d in zip(levels, (of_a, of_b), strict=True)]
    return RowValues(value, parts[0] + parts[1])


def spreads(laws: RowLaws, kind: str, W: Array) -> RowValues:
    """The variance or standard deviation of every row's law (n,), by `RowLaws.moments`."""
    moments = laws.moments(np.zeros((len(W), 1)))
    w = W / (2 * np.sqrt(moments.var))[:, None] if kind == "std" else W
    of_mean = -2 * (moments.mean - laws.origin)[:, None] * w
    v, sums = W.shape[1], laws.moments(np.concatenate([w, of_mean], axis=1))
    values = np.sqrt(moments.var) if kind == "std" else moments.var
    return RowValues(values, sums.second[:v] + sums.first[v:])


def row_gradients(laws: RowLaws, functional: Functional) -> tuple[Array, Array]:
    """A functional of every row's law (n,), and its gradients (n, p); also those of two quantiles."""
    kind, levels = functional
    if kind not in ("difference", "ratio"):
        return laws.each(functional)
    (a, A), (b, B) = (laws.each(("q", (t,))) for t in levels)
    if kind == "difference":
        return a - b, A - B
    return a / b, A / b[:, None] - B * (a / b**2)[:, None]


class Estimation(Protocol):
    """What the estimation of θ says of answers with gradients G (q, p).

    ``errors`` (q,) are those given the rows; ``covariance`` (q, q) takes averaging rows (n, q) too, None
    where the rows are given; ``rows`` (n, q) are those of the estimation under a robust covariance, and
    ``modelled`` (q, q) what comes on top of them; ``df`` are degrees of freedom of t, ``clusters`` their
    number, None of rows that stand for themselves.
    """

    @property
    def df(self) -> float: ...
    @property
    def clusters(self) -> int | None: ...
    def errors(self, G: Array) -> Array: ...
    def rows(self, G: Array, size: int) -> Array: ...
    def modelled(self, G: Array) -> Array: ...
    def covariance(self, values: Array, G: Array, averaging: Array | None) -> Array: ...


def needs_population() -> NeedsData:
    """The error for answers of the population by a result that was read from a file."""
    return NeedsData(
        "target='population' needs what a file does not hold: attach(data) gives the rows of the fit, "
        "with_cov() names the columns of its covariance; or use target='sample'."
    )


@dataclass(frozen=True, eq=False)
class MEstimation:
    """The `Estimation` of an M-estimate: its equations, the covariance of their coefficients, and its rows.

    ``equations`` are those of the coefficients, or of parts of them that do not meet in the information;
    ``counted`` (m,) are the rows in them, None for all.  A result without rows has no equations, and knows
    errors given the rows alone.
    """

    joint: Covariance
    df: float
    kind: CovarianceKind | None = None
    equations: tuple[MEstimate, ...] = ()
    sampling: Sampling | None = None
    counted: Indices | None = None

    @property
    def clusters(self) -> int | None:
        """The number of clusters of the covariance, None where there are none."""
        return self.joint.clusters

    def errors(self, G: Array) -> Array:
        """Standard errors (q,) of numbers with gradients G (q, p), given the rows."""
        Z, V = self.joint.coordinates(G)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.sum((Z @ V) * Z, axis=1)))

    def covariance(self, values: Array, G: Array, averaging: Array | None) -> Array:
        """Covariance (q, q) of answers; see `Estimation`."""
        Z, V = self.joint.coordinates(G)
        given = Z @ V @ Z.T
        if averaging is None:
            return np.asarray((given + given.T) / 2)
        kind = self.kind
        if kind is None or not self.equations or self.sampling is None:
            raise needs_population()
        estimation = None if is_model_based(kind) else self.rows(G, len(averaging))
        return answers_covariance(
            values, averaging, estimation, given if estimation is None else None, kind, self.sampling
        )

    def rows(self, G: Array, size: int) -> Array:
        """Estimation rows (n, q) of answers with gradients G (q, p), of the n = ``size`` rows of the fit."""
        assert self.kind is not None
        assert self.sampling is not None
        out, where = np.zeros((size, len(G))), slice(None) if self.counted is None else self.counted
        own = self.sampling if self.counted is None else self.sampling.at(self.counted)
        out[where] = estimation_rows(self.equations, G, self.kind, own)
        return out

    def modelled(self, G: Array) -> Array:
        """Nothing comes on top of the rows."""
        return np.zeros((len(G), len(G)))


class Answer(NamedTuple):
    """A number, its gradient in θ (p,), and its averaging rows (n,), which sum to zero.

    ``noise`` (n,) are rows that belong to its estimation whomever it speaks of, None where there are none;
    ``hidden`` is the share of rows in it of which records do not tell what is averaged; ``at_mass`` says that
    it is a quantile at a mass or near its ends, which has no standard error; ``beside`` are parts of it that
    are, `beside_mass.RowsBesideMass` with their limits, () where these are not known; ``beyond`` is the share
    of its variance that comes from outcomes farther out than the sample reaches, ``few`` that of five rows;
    ``inside`` is the share of rows in it that lie inside of coarse classes, where it holds by smoothness.
    """

    value: float
    gradient: Array
    rows: Array
    noise: Array | None = None
    hidden: float = 0.0
    at_mass: bool = False
    beside: tuple[Any, ...] | None = None
    beyond: float = 0.0
    few: float = 0.0
    inside: float = 0.0

    @property
    def has_error(self) -> bool:
        """Whether it has a standard error."""
        known = np.isfinite(self.value + self.gradient.sum() + self.rows.sum())
        return bool(known) and not self.at_mass and self.beside is None

    @property
    def varies(self) -> bool:
        """Whether rows differ in what it is about; else there is no number."""
        return not np.isnan(self.value) or bool(self.gradient.any())

    def of(self, target: str) -> Array:
        """The rows (n,) that count for a target beside those of the gradient."""
        noise = 0.0 if self.noise is None else self.noise
        return np.asarray(self.rows + noise if target == "population" else np.zeros_like(self.rows) + noise)


class Answers(NamedTuple):
    """Numbers (q,), their gradients in θ (q, p), and averaging rows (n, q), None where the rows are given."""

    values: Array
    gradients: Array
    rows: Array | None

    def estimates(self, names: Iterable[Any], estimation: Estimation) -> Estimates:
        """As estimates, without an error where a number or its gradient is none."""
        values, G, rows = self
        V = np.full((len(values),) * 2, np.nan)
        known = np.isfinite(values + G.sum(axis=1))
        if known.all():
            V = estimation.covariance(values, G, rows)
        elif known.any():
            own = None if rows is None else rows[:, known]
            V[np.ix_(known, known)] = estimation.covariance(values[known], G[known], own)
        named = tuple(map(functional_name, names))
        return Estimates(named, values, V, estimation.df, clusters=estimation.clusters)


def check_target(target: Any) -> str:
    """Whom an average over rows speaks of: the "population" that they are from, or the "sample" itself.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_target("population")
    'population'
    """
    if target not in ("population", "sample"):
        raise OptionError(f"target={target!r} is not known; use 'population' or 'sample'.")
    return str(target)


def estimates_of(
    names: Iterable[Any], answers: Sequence[Answer], estimation: Estimation, target: str, title: str = ""
) -> Estimates:
    """Answers as estimates with one covariance.

    Parameters
    ----------
    names : of the q answers.
    answers : q of them, over the same n rows.
    estimation : Estimation.
    target : "population" or "sample".
    title : what is estimated, in words.
    """
    values = np.array([a.value for a in answers])
    known = np.array([a.has_error for a in answers], dtype=bool)
    V = np.full((len(answers),) * 2, np.nan)
    if known.any():
        of = [a for a, k in zip(answers, known, strict=True) if k]
        any_rows = target == "population" or any(a.noise is not None for a in of)
        rows, G = np.array([a.of(target) for a in of]).T, np.array([a.gradient for a in of])
        V[np.ix_(known, known)] = estimation.covariance(values[known], G, rows if any_rows else None)
    named = tuple(map(functional_name, names))
    return Estimates(named, values, V, estimation.df, clusters=estimation.clusters, title=title)


# ---- the law averaged over rows ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Averaged:
    """The average of rows' laws with shares (n,) that sum to one; rows of no share are left out.

    Answers that lie beyond the outcomes that are ``held`` are NaN.
    """

    laws: RowLaws
    shares: Array
    held: Held = ALL

    @cached_property
    def kept(self) -> Mask:
        """The rows that count (n,)."""
        return self.shares > 0

    @cached_property
    def _own(self) -> tuple[RowLaws, Array]:
        """The rows that count, with their shares."""
        if self.kept.all():
            return self.laws, self.shares
        return self.laws.take(np.flatnonzero(self.kept)), self.shares[self.kept]

    def averaging(self, influence: Array) -> Array:
        """Averaging rows (n,) of an influence (of the rows that count), or (n, Q) of several."""
        own = self._own[1]
        with np.errstate(invalid="ignore"):
            rows = influence - own @ influence
            rows *= own if rows.ndim == 1 else own[:, None]
        if len(rows) == len(self.shares):
            return np.asarray(rows)
        out = np.zeros((len(self.shares), *rows.shape[1:]))
        out[self.kept] = rows
        return out

    def at(self, y: float) -> tuple[float, float, Array]:
        """Distribution function and density of the average at an outcome, and the former by row."""
        laws, w = self._own
        found = laws.at(y)
        return float(w @ found.cdf), float(w @ found.pdf), found.cdf

    def gradient(self, y: float) -> Array:
        """∂F̄(y)/∂θ (p,)."""
        laws, w = self._own
        return np.asarray(laws.cdf_sums(y, w[:, None])[0])

    @property
    def point(self) -> float | None:
        """Where the rows' laws have a mass, None of continuous ones."""
        return point_of(self.laws)

    def _side(self, tau: float) -> tuple[float, float]:
        """Where a quantile lies by a mass: below it, at it, or above; the line of continuous laws."""
        point = self.point
        if point is None:
            return -np.inf, np.inf
        if tau > self.at(point)[0]:
            return point, np.inf
        return (-np.inf if tau <= self.at(just_below(point))[0] else point), point

    def _quantile_of_rows(self, tau: float) -> tuple[float, float]:
        """The average quantile of some rows, and how far these are apart."""
        laws, w = self._own
        few = np.unique(np.linspace(0, laws.size - 1, min(FEW, laws.size)).round().astype(np.intp))
        own = np.atleast_1d(laws.take(few).law.quantile(tau))
        return float(np.average(own, weights=w[few])), float(np.ptp(own)) or 1.0

    def quantile(self, tau: float, near: tuple[float, float] | None = None) -> float:
        """The quantile of the average: Newton's method inside a bracket.

        It starts at the quantiles of the rows, or at a value that is ``near`` and moves by a step at most.
        """
        if self._outcome is not None:
            return float(self._records.told(self._outcome.quantile(tau)))
        laws = self._own[0]
        if laws.size == 1:
            return float(np.atleast_1d(laws.law.quantile(tau)).ravel()[0])
        y, step = self._quantile_of_rows(tau) if near is None else near
        low, high = self._side(tau)
        if low == high:
            return low
        if not low < y < high:
            y = low + step if np.isfinite(low) else high - step
        return self._search(tau, y, step, (low, high))

    def _search(self, tau: float, y: float, step: float, inside: tuple[float, float]) -> float:
        """The quantile from a start y between two ends, by steps of Newton or halves of the bracket."""
        low, high = inside
        for _ in range(MOST_STEPS):
            F, f, _ = self.at(y)
            low, high = (y, high) if tau > F else (low, y)
            new = y - (F - tau) / f if f > 0 else np.nan
            if not (low < new < high and abs(new - y) <= 4 * step):
                both = np.isfinite(low) and np.isfinite(high)
                new = (low + high) / 2 if both else y + np.sign(tau - F) * step
            if abs(new - y) <= 1e-13 * (abs(y) + step) or high <= low:
                return float(new)
            y = float(new)
        return y

    @cached_property
    def _outcome(self) -> Averaged | None:
        """The average law of outcomes, where the laws are of what is recorded of them."""
        own = outcomes_of(self.laws)
        return None if own is None else Averaged(own, self.shares)

    @property
    def _records(self) -> Any:
        """The laws of what is recorded, `inference.recorded_laws.RecordedRowLaws`."""
        return self.laws

    def _recorded(self, own: Averaged, functional: Functional) -> Answer:
        """A quantile or a mean of what is recorded: the former is that of the outcome, recorded."""
        if functional[0] == "mean":
            return self._of_rows(functional)
        a = own.functional(functional)
        if self.held.hidden(np.array(a.value)):
            return self._withheld
        if not self._records.stands(np.array(a.value)):
            return a
        told = float(self._records.told(a.value))
        return Answer(told, 0 * a.gradient, np.zeros(len(self.shares)), at_mass=True)

    def _of_rows(self, functional: Functional) -> Answer:
        """A functional that is the average of those of rows."""
        laws, w = self._own
        found = laws.by_row(functional, w[:, None])
        return Answer(float(w @ found.values), found.sums[0], self.averaging(found.values))

    def functional(self, functional: Functional) -> Answer:
        """A functional of the average with its gradient and averaging rows."""
        found = self._functional(functional)
        return found._replace(inside=1.0) if self.held.by_smoothness(functional, found.value) else found

    def _functional(self, functional: Functional) -> Answer:
        """See `functional`, without what holds by smoothness alone."""
        kind, numbers = functional
        if self.held.hides(functional) or (kind == "prob" and self.held.hides_between(numbers)):
            return self._withheld
        if self._outcome is not None and kind in ("q", "mean"):
            return self._recorded(self._outcome, functional)
        if kind == "q":
            y = self.quantile(numbers[0])
            if self.held.hidden(np.array(y)):
                return self._withheld
            if y == self.point:
                return Answer(y, 0 * self.gradient(y), np.zeros(len(self.shares)), at_mass=True)
            _, f, cdf = self.at(y)
            return Answer(y, -self.gradient(y) / f, self.averaging(-cdf / f))
        if kind == "prob":
            low, high = (self.at(y) for y in numbers)
            G = self.gradient(numbers[1]) - self.gradient(numbers[0])
            return Answer(high[0] - low[0], G, self.averaging(high[2] - low[2]))
        if kind in ("mean", "var", "std"):
            return self._moments[kind]
        if kind in ("difference", "ratio"):
            return self._of_quantiles(kind, numbers)
        if len(self.shares) > 1 and kind != SHARES:
            raise OptionError("Of an average over rows such a functional has no error here.")
        return self._of_rows(functional)

    @property
    def _withheld(self) -> Answer:
        """An answer that is none."""
        return Answer(np.nan, np.zeros(0), np.zeros(len(self.shares)), hidden=1.0)

    def _of_quantiles(self, kind: str, levels: tuple[float, ...]) -> Answer:
        a, b = (self.functional(("q", (t,))) for t in levels)
        if np.isnan(a.value + b.value):
            return self._withheld
        if kind == "ratio" and b.value == 0:
            raise OptionError(
                f"q[{levels[1]:g}] is zero, and no ratio to it is a number: use iqr or quantiles."
            )
        times, unit = (1.0, 1.0) if kind == "difference" else (a.value / b.value, b.value)
        value = a.value - b.value if kind == "difference" else times
        gradient, rows = (a.gradient - times * b.gradient) / unit, (a.rows - times * b.rows) / unit
        at_mass, inside = a.at_mass and b.at_mass, max(a.inside, b.inside)
        return Answer(value, gradient, rows, at_mass=at_mass, inside=inside)

    @cached_property
    def _moments(self) -> dict[str, Answer]:
        """Mean, variance and standard deviation of the average."""
        laws, w = self._own
        found, origin = laws.moments(w[:, None]), laws.origin
        m = found.mean - origin  # so that a variance far from zero keeps its digits
        with np.errstate(invalid="ignore"):
            mean, squares = float(w @ m), found.var + m * m
        with np.errstate(invalid="ignore", divide="ignore"):  # where there is no mean or no variance
            var, d_var = float(w @ squares) - mean**2, found.second[0] - 2 * mean * found.first[0]
            rows, root = self.averaging(squares - 2 * mean * m), np.sqrt(var)
            return {
                "mean": Answer(mean + origin, found.first[0], self.averaging(m)),
                "var": Answer(var, d_var, rows),
                "std": Answer(float(root), d_var / (2 * root), rows / (2 * root)),
            }

    # ---- limits and curves ---------------------------------------------------------------------------------

    def on_link(self, y: float) -> Answer:
        """z̄(y) = Λ⁻¹(F̄(y)) with its gradient and averaging rows, Λ the law of the link."""
        link = self._own[0].link
        F, _, cdf = self.at(y)
        z = float(link.quantile(np.clip(np.array(F), 1e-300, 1 - 1e-16)))
        d = float(link.pdf(np.array(z)))
        return Answer(z, self.gradient(y) / d, self.averaging(cdf / d))

    def log_densities(self, y: Array, target: str) -> Answers:
        """log f̄(y) at outcomes (Q,) with their gradients and, of the population, averaging rows."""
        laws, w = self._own
        pdf, G = laws.densities(y, w)
        f = w @ pdf
        with np.errstate(divide="ignore", invalid="ignore"):  # where there is no density
            rows = self.averaging(pdf / f) if target == "population" else None
            return Answers(np.log(f), G / f[:, None], rows)

    @cached_property
    def _width(self) -> Array:
        """A first step (1,) away from a mass."""
        return np.array([abs(self.quantile(0.9) - self.quantile(0.1)) / 8 or 1.0])

    def near_mass(self, tau: float, error: Callable[[Answer], float]) -> bool:
        """Whether a level is so near to F at the ends of a mass that its quantile may be on either side."""
        ends = [self.on_link(y) for y in mass_ends(self.laws)]
        target = float(self._own[0].link.quantile(np.array(tau))) if ends else 0.0
        return any(abs(a.value - target) < UNSURE * error(a) for a in ends)

    def quantile_limits(
        self, tau: float, error: Callable[[Answer], float], critical: float, y: float, se: float
    ) -> tuple[float, float]:
        """Limits of a quantile y with error se: where the band z̄ ± c·se of z̄ meets Λ⁻¹(τ), on the line."""
        if self._outcome is not None:
            a = self._outcome.functional(("q", (tau,)))
            limits = self._outcome.quantile_limits(tau, error, critical, a.value, error(a))
            low, high = self.held.limits(*self._records.told(limits))
            return float(low), float(high)
        laws = self._own[0]
        target, support = float(laws.link.quantile(np.array(tau))), laws.support

        def over(y: Array, sign: float) -> Array:
            a = self.on_link(float(y[0]))
            return np.array([a.value + sign * critical * error(a) - target])

        def band(u: Array, sign: float) -> Array:
            return over(support.from_line(u), sign)

        at, lift = (of(np.array([y])) for of in (support.to_line, support.log_slope))
        half = critical * se * np.exp(lift)
        slope = self.at(y)[1] / laws.link.pdf(laws.link.quantile(np.array([tau])))  # of z̄ in the outcome
        ends = []
        for sign in (1.0, -1.0):
            if self._clear_of_mass(y, se, partial(over, sign=sign), sign):
                start, step = sign * critical * se * slope, -sign * half
                found = support.from_line(crossings(partial(band, sign=sign), at, step, start))
            else:
                found = crossings_of_mass(partial(over, sign=sign), self.point or 0.0, self._width)
            ends.append(found)
        low, high = self.held.limits(*np.concatenate(ends))
        return float(low), float(high)

    def _clear_of_mass(self, y: float, se: float, over: Callable[[Array], Array], sign: float) -> bool:
        """Whether a limit of a quantile y, below or above it by sign ±1, is on its side of the mass."""
        if self.point is None:
            return True
        towards = sign * (y - self.point)  # positive where the limit lies towards the mass
        if np.isnan(se) or towards <= 0:
            return towards < 0 and not np.isnan(se)
        end = self.point if sign > 0 else just_below(self.point)
        return bool(sign * over(np.array([end]))[0] < 0)


def with_quantile_limits(
    plain: Estimates,
    parts: Sequence[tuple[Averaged, Functional]],
    error: Callable[[Answer], float],
) -> Estimates:
    """Estimates of functionals of averaged laws whose limits of quantiles invert the band of z̄.

    Parameters
    ----------
    plain : Estimates.
    parts : for each, the law and the functional.
    error : of an answer, its standard error.
    """
    quantiles = any(kind == "q" for _, (kind, _) in parts)
    return replace(plain, limits=partial(_quantile_limits, plain, parts, error)) if quantiles else plain


@on_one_thread
def _quantile_limits(plain: Estimates, parts: Any, error: Callable[[Answer], float], level: float) -> Array:
    out, critical = plain.interval(level), plain.critical(level)
    for i, (law, (kind, numbers)) in enumerate(parts):
        if kind == "q" and not np.isnan(plain.values[i]):
            args = (critical, float(plain.values[i]), float(plain.std_error[i]))
            out[i] = law.quantile_limits(numbers[0], error, *args)
    return out


def error_of(estimation: Estimation, target: str) -> Callable[[Answer], float]:
    """What gives the standard error of one answer."""
    return partial(_error, estimation, target)


def _error(estimation: Estimation, target: str, answer: Answer) -> float:
    rows = answer.of(target)[:, None] if target == "population" or answer.noise is not None else None
    V = estimation.covariance(np.array([answer.value]), answer.gradient[None], rows)
    return float(np.sqrt(V[0, 0]))
