"""The law of what is recorded of an outcome: caps, grids and classes, from the law of the outcome itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.data.recorded import Recorder, Records
from disteconometrics.data.recorder_calls import DIRECTIONS
from disteconometrics.distributions.categorical import Categorical
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.maps import Map
from disteconometrics.distributions.recorded_scores import between_caps, on_grid
from disteconometrics.errors import OptionError, WithheldError

__all__ = ["RecordedLaw", "Recording", "corner_of", "law_as_recorded", "recording_of", "with_recording"]

FAR = 1e-13  # levels beyond which a grid is not summed: rounding moves a mean by no more than FAR steps there
FAR_SQUARED = 1e-6  # where it is a square that is summed
MOST_CELLS = 2_000_000  # of rows × points of the grid
ON_GRID = 1e-9  # of a step
FINITE = 1e300  # −inf stays on its side
PROBES = (1.0, 2.0, 7.0)
BEFORE = 1e-6  # of a step, from a point of the grid to where it is not yet in


@dataclass(frozen=True)
class Recording:
    """What is recorded of an outcome in its units: on a grid, then between a floor and a cap.

    Parameters
    ----------
    low, high : float, the floor and the cap, −inf and inf where there is none.
    to : float or None, the step of the grid.
    above : float, how far the cell of a point reaches above it, in steps: .5, 0 or 1.

    Examples
    --------
    >>> Recording(high=2.0, to=0.5, above=0.5).told(np.array([0.3, 0.9, 2.4])).tolist()
    [0.5, 1.0, 2.0]
    """

    low: float = -np.inf
    high: float = np.inf
    to: float | None = None
    above: float = 0.0

    def law(self, law: Law) -> RecordedLaw:
        """The law of what is recorded."""
        return RecordedLaw(law, self.low, self.high, self.to, self.above)

    @property
    def step(self) -> float:
        """The step of the grid, one where there is none."""
        return 1.0 if self.to is None else self.to

    def slack(self, y: Array) -> Array:
        """How far from a point of the grid, in steps, an outcome may be through rounding errors."""
        return np.asarray(ON_GRID + 1e-15 * np.minimum(np.abs(y), FINITE) / self.step)

    def told(self, y: Array) -> Array:
        """What is recorded of outcomes."""
        grid = y if self.to is None else self.step * np.ceil(y / self.step - self.above) + 0.0
        return np.asarray(np.clip(grid, self.low, self.high))

    def before(self, y: float) -> float:
        """Before the mass at a record; itself where there is none."""
        if self.to is not None:
            return y - BEFORE * self.to
        return float(np.nextafter(y, -np.inf)) if y in (self.low, self.high) else y

    def last(self, y: Array) -> Array:
        """The largest outcome that is recorded as y or less, below the cap."""
        return y if self.to is None else self.step * (np.floor(y / self.step + self.slack(y)) + self.above)


@dataclass(frozen=True)
class _Recorders:
    """The recorders of an outcome, caps in its units, and what functions outside make of `PROBES`."""

    recorders: tuple[Recorder, ...]
    at: tuple[float | None, ...]
    probes: tuple[float, ...] = PROBES

    @classmethod
    def of(cls, spec: Any) -> _Recorders:
        """Those of a design."""
        recorders = spec.outcome.recorders
        at = tuple(None if r.at is None else float(spec.outcome_units([r.at])[0]) for r in recorders)
        return cls(recorders, at, tuple(spec.outcome_units(PROBES).tolist()))

    @property
    def moved(self) -> bool:
        """Whether functions stand outside."""
        return self.probes != PROBES

    def under(self, maps: Sequence[Map]) -> _Recorders | None:
        """The same where maps undo the functions outside, None where they do not."""
        found = np.array(self.probes)
        for m in maps:
            found = m.forward(found)[0]
        undone = np.allclose(found, PROBES, rtol=1e-12, atol=0.0)
        return _Recorders(self.recorders, tuple(r.at for r in self.recorders)) if undone else None

    def values(self, records: Records) -> Array:
        """What was recorded of each row (n,).

        Raises
        ------
        WithheldError
            If it is no number, or there is no rule for new rows.
        """
        self.refuse()
        if "brackets" in self.names:
            raise WithheldError("Of brackets a class is recorded and no number.")
        how = self.recording()
        inside = np.where(records.open_above, how.high, how.told(records.middle))
        return np.where(records.open_below, how.low, inside)

    @property
    def names(self) -> list[str]:
        """What they are."""
        return [r.name for r in self.recorders]

    @property
    def point(self) -> float | None:
        """Where a mass is that is no corner."""
        beside = self.names[-1] == "mass" and not self.recorders[-1].corner
        return self.at[-1] if beside else None

    def as_told(self, y: Array) -> Array:
        """Recorded values (n,) as the law of what is recorded has them: of brackets the class's number."""
        told = self.recorders[0]
        if told.name != "brackets" or not told.bounds:
            return y
        code = told.bracket(y)
        if ((code < 0) | (code > len(told.bounds) - 2))[~np.isnan(y)].any():
            raise OptionError("An outcome lies outside the brackets, in which it could be recorded.")
        classes = np.where(np.isnan(y), np.nan, code)
        return classes if self.point is None else np.where(y == self.point, 0.0, classes + 1)

    def refuse(self) -> None:
        """Refuse recorders that have no rule for new rows."""
        names, why = self.names, None
        if "interval" in names:
            why = "interval(lo, hi) tells what is known of each row, and has no rule for new rows"
        elif any(r.column is not None for r in self.recorders):
            why = "the caps stand in a column, and the law of a row does not hold them"
        elif self.moved and {"rounded", "brackets"} & set(names):
            why = "grids and brackets are told inside of a function; fit the outcome without it"
        elif "brackets" in names and not self.recorders[0].bounds:
            why = "the categories do not give the law their bounds; write brackets(y, [0, 10, inf])"
        if why:
            raise WithheldError(f"The law of what is recorded is not given: {why}.")

    def recording(self) -> Recording:
        """The floor, the cap and the grid."""
        ends: dict[str, Any] = {}
        for recorder, at in zip(self.recorders, self.at, strict=True):
            if recorder.name == "rounded":
                ends.update(to=recorder.to, above=DIRECTIONS[str(recorder.direction)][1])
            elif recorder.name == "topcoded":
                ends["high"] = at
            elif recorder.name == "bottomcoded" or recorder.corner:
                ends["low"] = at
        found, point = Recording(**ends), self.point
        if point is not None and not found.low < point < found.high:
            raise WithheldError("The mass is at a cap or beyond: the law of what is recorded is not given.")
        if point is not None and found.to is not None:
            self._check_grid(found, point)
        return found

    @staticmethod
    def _check_grid(found: Recording, point: float) -> None:
        """Refuse a grid on which the point of a mass is told as another."""
        if found.above == 1.0 or abs(point / found.step - np.rint(point / found.step)) > ON_GRID:
            raise WithheldError(
                "The law of what is recorded is not given: beside a mass, a grid is to be of nearest values "
                "or rounded up, and to have the point on it."
            )


def with_recording(law: Law, spec: Any) -> Any:
    """The law of new rows of a design, which knows how the outcome was recorded, and ends at a corner."""
    if spec.outcome.recorders:
        corner = corner_of(spec)
        law = law.named(law.outcome) if corner is None else corner.law(law)  # a copy
        law.__dict__["recording"] = _Recorders.of(spec)
    return law


def corner_of(spec: Any) -> Recording | None:
    """The corner at which the outcome of a design ends, None where it has none.

    Examples
    --------
    >>> import disteconometrics as de
    >>> data = {"y": [0.0, 1.0, 0.0, 2.0, 4.0], "x": [0.0, 1.0, 2.0, 3.0, 5.0]}
    >>> corner_of(de.NormalRegression("mass(y, 0, corner=True) ~ x").fit(data).spec).low
    0.0
    """
    recorders = spec.outcome.recorders
    if not recorders or not recorders[-1].corner:
        return None
    return Recording(low=float(spec.outcome_units([recorders[-1].at])[0]))


def recording_of(spec: Any) -> Recording | None:
    """How the outcome of a design was recorded, None of one that was told as it is.

    Raises
    ------
    WithheldError
        If it was recorded by a rule that new rows do not have, or as a class.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["foodexp"] = engel.foodexp.clip(upper=900)
    >>> recording_of(de.NormalRegression("topcoded(foodexp, at=900) ~ income").fit(engel).spec).high
    900.0
    """
    if not spec.outcome.recorders:
        return None
    told = _Recorders.of(spec)
    told.refuse()
    if "brackets" in told.names:
        raise WithheldError(
            "Of brackets a class is recorded and no number: distribution(new).recorded() is its law."
        )
    found = told.recording()
    return None if found == Recording() else found


def law_as_recorded(law: Law) -> Law:
    """See `Law.recorded`."""
    told = law.recording
    if told is None:
        raise WithheldError(
            "This law does not say how its outcome was recorded: ask recorded() of the distribution() of a "
            "fit with a recorder on its left side, before on() and average()."
        )
    told.refuse()
    if "brackets" in told.names:
        bounds = told.recorders[0].bounds
        return _classes(law, bounds) if told.point is None else _beside_mass(law, bounds, told.point)
    found = told.recording()
    own = law.law if isinstance(law, RecordedLaw) else law  # what ends at a corner
    return law if found == Recording() else found.law(own)


def _beside_mass(law: Any, bounds: tuple[float, ...], point: float) -> Law:
    """The law of the class where a mass is the lowest, 0, and the classes of the rest follow."""
    if point > bounds[0]:
        raise WithheldError(
            f"The mass at {point:g} lies among the brackets, which begin at {bounds[0]:g}: begin them at "
            "the mass or above it."
        )
    of_rest = _classes(law.rest, bounds).probabilities
    share = np.atleast_1d(law.share)[:, None]
    return Categorical(np.hstack([share, (1 - share) * of_rest])).named(law.outcome)


def _classes(law: Law, bounds: tuple[float, ...]) -> Categorical:
    """The law of the class, 0 for the lowest."""
    ends = np.array(bounds)
    low, high = law.support()
    if np.any(low < ends[0]) or np.any(high > ends[-1]):
        raise WithheldError(
            f"The law reaches beyond the brackets {ends[0]:g} to {ends[-1]:g}, where there is no class: "
            "begin bounds with -inf and end them with inf, or say support= of the outcome."
        )
    inner = np.broadcast_to(ends[1:-1], (*law.batch_shape, len(ends) - 2))
    below, above = law._extended("_cdf", inner), law._extended("_sf", inner)
    edge = np.zeros((*law.batch_shape, 1))
    F, S = np.concatenate([edge, below, edge + 1], -1), np.concatenate([edge + 1, above, edge], -1)
    mass = np.where(F[..., :-1] > 0.5, S[..., :-1] - S[..., 1:], F[..., 1:] - F[..., :-1])
    return Categorical(np.atleast_2d(np.maximum(mass, 0.0))).named(law.outcome)


@final
@dataclass(frozen=True, eq=False)
class RecordedLaw(Law):
    """The law of an outcome that is rounded to a grid, and then moved to a floor or a cap if beyond it.

    `pdf` is the mass at points that have one, and the outcome's density elsewhere.

    Parameters
    ----------
    law : law of the outcome, of batch shape (n,) or ().
    low, high : float, the floor and the cap, −inf and inf where there is none.
    to : float or None, the step of the grid.
    above : float, how far the cell of a point reaches above it, in steps: .5, 0 or 1.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> law = RecordedLaw(Normal(0.0, 1.0), high=1.0)
    >>> law.quantile([0.5, 0.9]), float(law.mass(1.0).round(4)), float(law.mean().round(4))
    (array([0., 1.]), 0.1587, -0.0833)
    """

    law: Law
    low: float = -np.inf
    high: float = np.inf
    to: float | None = None
    above: float = 0.0

    def __post_init__(self) -> None:
        self.__dict__.update(discrete=self.to is not None, outcome=self.law.outcome)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """That of the outcome's law."""
        return self.law.batch_shape

    def support(self) -> tuple[Array, Array]:
        """What is recorded of the ends of the outcome's support."""
        low, high = self.law.support()
        return self._how.told(low), self._how.told(high)

    @property
    def _how(self) -> Recording:
        return Recording(self.low, self.high, self.to, self.above)

    @property
    def _step(self) -> float:
        return self._how.step

    def _cdf(self, y: Array) -> Array:
        inside = self.law._extended("_cdf", self._how.last(y))
        return np.where(y >= self.high, 1.0, np.where(y < self.low, 0.0, inside))

    def _sf(self, y: Array) -> Array:
        inside = self.law._extended("_sf", self._how.last(y))
        return np.where(y >= self.high, 0.0, np.where(y < self.low, 1.0, inside))

    def _mass(self, y: Array) -> Array:
        end = self._how.last(y)
        F, S = (self.law._extended(hook, end) for hook in ("_cdf", "_sf"))
        if self.to is None:
            inside = self.law._extended("_mass", y)
            top = S + inside
        else:
            start = end - self._step
            below, top = (self.law._extended(hook, start) for hook in ("_cdf", "_sf"))
            on = np.abs(y / self._step - np.rint(y / self._step)) <= self._how.slack(y)
            inside = np.where(on, np.maximum(np.where(below > 0.5, top - S, F - below), 0.0), 0.0)
        inside = np.where((y < self.low) | (y > self.high), 0.0, inside)
        return np.where(y == self.low, F, np.where(y == self.high, top, inside))

    def _ends_at(self, y: Array) -> Array:
        return np.asarray((y == self.low) | (y == self.high) | self.discrete)

    def _pdf(self, y: Array) -> Array:
        return np.where(self._ends_at(y), self._mass(y), self.law._extended("_pdf", y))

    def _logpdf(self, y: Array) -> Array:
        return np.where(self._ends_at(y), np.log(self._mass(y)), self.law._extended("_logpdf", y))

    def _quantile(self, tau: Array) -> Array:
        return self._how.told(self.law._quantile(tau))

    def _isf(self, tau: Array) -> Array:
        return self._how.told(self.law._isf(tau))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self._how.told(self.law._draw(rng, m))

    def _row(self, value: float) -> Array:
        return np.full(self.batch_shape, value)

    def _grid(self, far: float = FAR) -> tuple[int, int]:
        """The first and the last point of the grid, in steps, that means are summed over."""
        ends = self.law._quantile(self._row(far)[..., None]), self.law._isf(self._row(far)[..., None])
        first, last = (np.rint(self._how.told(end) / self._step) for end in ends)
        low = np.rint(self.low / self._step) if np.isfinite(self.low) else np.nanmin(first)
        high = np.rint(self.high / self._step) if np.isfinite(self.high) else np.nanmax(last)
        if not (high - low + 1) * max(1, first.size) <= MOST_CELLS:
            raise WithheldError("The grid is too fine to be summed over; take what is asked of the outcome.")
        return int(low), int(high)

    def _mean(self) -> Array:
        if self.to is None:
            return CodedMean(self.low, self.high)(self.law)
        first, last = self._grid()
        points = np.arange(first, last + 1)
        ends = self._step * (np.arange(first - 1, last + 1) + self.above)
        edges = as_floats(np.broadcast_to(ends, (*self.batch_shape, len(ends))))
        F = self.law._extended("_cdf", edges)
        p = np.diff(F, axis=-1)
        floor, cap = np.isfinite(self.low), np.isfinite(self.high)
        between = slice(int(floor), len(points) - int(cap))  # the caps apart
        inner = p[..., between] @ (self._step * points[between])
        below = self.low * F[..., 1] if floor else self.law._partial_mean(edges[..., 0])
        if cap:
            return np.asarray(inner + below + self.high * (1 - F[..., -2]))
        return np.asarray(inner + below + self.law._mean() - self.law._partial_mean(edges[..., -1]))

    def _expect(self, function: Function) -> Array:
        if self.to is not None:
            raise WithheldError("Of a rounded outcome means, quantiles and probabilities are given.")
        capped = np.isfinite(self.high)
        out = self.law._partial(self._row(self.high), function) if capped else self.law._expect(function)
        for end, beyond in ((self.low, "_cdf"), (self.high, "_sf")):
            if np.isfinite(end):
                at = self._row(end)[..., None]
                out = out + (function(at) * self.law._extended(beyond, at))[..., 0]
        if self.low > -np.inf:
            out = out - self.law._partial(self._row(self.low), function)
        return np.asarray(out)

    def _var(self) -> Array:
        return np.maximum(super()._var(), 0.0)  # one that rounding has left negative, far beyond an end

    def _half_gap(self) -> Array:
        raise WithheldError("Of what is recorded gini is not given; take the outcome's.")

    def _crps(self, y: Array) -> Array:
        if self.to is None:
            return between_caps(self.law, self.low, self.high, y)
        first, last = self._grid(FAR_SQUARED)
        points = as_floats(self._step * np.arange(first, last + 1))
        edges = np.ascontiguousarray(np.broadcast_to(points, (*self.batch_shape, len(points))))
        return on_grid(y, points, self._cdf(edges))

    def _pushed(self, maps: Sequence[Map]) -> Law:
        raise WithheldError("What is recorded stands on the scale of the formula; take on() of the outcome.")

    def average(self, weights: Any = None) -> Law:
        """What is recorded of a row drawn at random; see `Law.average`."""
        return RecordedLaw(self.law.average(weights), self.low, self.high, self.to, self.above)
