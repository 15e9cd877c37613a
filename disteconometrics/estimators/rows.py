"""The rows of a fit: the one object through which estimators read their data, whatever holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.data.cells import Moments
from disteconometrics.data.design import Design, RowCount, build_design
from disteconometrics.data.disk import is_on_disk
from disteconometrics.data.joint_design import JointDesign, JointSpec, build_joint
from disteconometrics.data.learn import learn
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.settle import refuse_recorders
from disteconometrics.data.source import READ_IN_PARTS, check_cache, is_source, open_source
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.stream import StreamDesign
from disteconometrics.data.streamed_scenario import StreamedScenario
from disteconometrics.data.terms import FEW_LEVELS
from disteconometrics.errors import (
    ConditioningWarning,
    DataError,
    IncidentalParametersWarning,
    NeedsRows,
    OutcomeError,
    warn_user,
)
from disteconometrics.inference.parallel import check_jobs
from disteconometrics.inference.parts import PartRunner
from disteconometrics.inference.sampling import Sampling
from disteconometrics.inference.survey import Survey, SurveyDesign, design_of

__all__ = [
    "NEARLY_DEPENDENT",
    "CountedRows",
    "FitRows",
    "JointFitRows",
    "fingerprint",
    "incidental_bias",
    "row_facts",
    "warn_condition",
]

NEARLY_DEPENDENT = 1e10  # condition number beyond which six digits of the data decide the estimates
# Simulated slopes of one beside G levels of T rows, 400 samples each (logit):
#   T         2     3     5     8    12    20    30
#   bias   1.07   .65   .31   .17   .11   .06   .04     G = 200, mean of estimates over the truth, less one
#   cover   .11   .18   .29   .47   .63   .74   .82     … of its 95 % intervals
#   cover   .99   .98   .94   .92   .94   .93   .95     G = 10
# Small levels among large ones count by their number: 25 % of 2,000 rows in levels of five: bias .06.
# Under Firth's penalty slopes of two are biased by −.29, −.13 and −.03 beside levels of 2, 3 and 5 rows.
SMALL_LEVEL = 20  # rows
SMALL_PENALISED = 3  # … under Firth's penalty
# That bias times T − 1; of effects that are absorbed .62, .40, .17, .11 and .06 at T = 3, 4, 8, 12, 20, with
# a probit .73, .53, .21, .13 and .07, with a cloglog .70, .21 and .13 at T = 4, 8, 12; 1.00 at T = 2.  Groups
# of 2 to 14 or of 2 and 20 rows have it by their mean.
INCIDENTAL, INCIDENTAL_OTHER = 1.2, 1.5
BIASED = 1 / 20  # small levels over rows, from which they are told
REMEDY = (
    "condition the levels out (de.ConditionalLogit with successes='exact'), merge levels, or correct the "
    "bias (a logit with penalty='firth', from four rows a level on)"
)


def incidental_bias(rows: float, *, logit: bool = True) -> float:
    """The share by which slopes beside estimated effects are too large, of levels with so many rows each.

    References
    ----------
    Neyman, Scott (1948), Consistent estimates based on partially consistent observations, Econometrica 16,
    doi:10.2307/1914288.

    Examples
    --------
    >>> incidental_bias(2.0), round(incidental_bias(8.0), 3)  # twice as large from two rows each
    (1.0, 0.171)
    """
    return min((INCIDENTAL if logit else INCIDENTAL_OTHER) / max(rows - 1, 1), 1.0)


def fingerprint(*arrays: Array | None) -> str:
    """A digest of arrays of outcomes and weights, by which results on the same rows know one another.

    Examples
    --------
    >>> fingerprint(np.array([0.0, 1.0]), None) == fingerprint(np.array([0.0, 1.0]))
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for a in arrays:
        if a is not None:
            digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


def row_facts(count: RowCount) -> dict[str, Any]:
    """What a fit's facts say of its rows: used, given, dropped by column or term, and of weight zero.

    Examples
    --------
    >>> row_facts(RowCount(5, 3, missing={"x": 2}))
    {'rows': 3, 'given': 5, 'dropped': {'x': 2}, 'zero_weight': 0}
    """
    return {
        "rows": count.used,
        "given": count.given,
        "dropped": count.dropped,
        "zero_weight": count.zero_weight,
    }


def warn_condition(condition: float) -> None:
    """Say where columns are so nearly dependent that digits are in doubt.

    Warns
    -----
    ConditioningWarning
    """
    if condition > NEARLY_DEPENDENT:
        hint = "drop or rescale one of the nearly collinear columns"
        message = (
            f"Columns are nearly collinear (condition number {condition:.1e}): estimates rest on "
            f"few digits of the data."
        )
        warn_user(ConditioningWarning(message, hint=hint))


@dataclass(frozen=True, eq=False)
class CountedRows:
    """What rows of one outcome and of several say alike: weights, how many they are, what was left out."""

    design: Any

    @property
    def weights(self) -> Array | None:
        """Weights (n,) as given, or None."""
        weights: Array | None = self.design.weights
        return weights

    @property
    def frequency(self) -> bool:
        """Whether weights count identical rows."""
        kind = self.design.spec.weight_type
        return bool(kind == "frequency" or (kind is None and getattr(self.design, "of_source", False)))

    @property
    def weights_count(self) -> bool:
        """Whether weights of blocks, where there are any, count rows."""
        return bool(self.design.spec.weight_type != "sampling")

    @cached_property
    def scaled_weights(self) -> Array | None:
        """Weights (n,) of a likelihood.

        Sampling weights have mean one, so that their unit does not matter.
        """
        w = self.weights
        return w if w is None or self.frequency else w / w.mean()

    @property
    def size(self) -> int:
        """Rows used."""
        used: int = self.design.rows.used
        return used

    @property
    def observations(self) -> float:
        """Rows, or the sum of frequency weights."""
        return float(self.weights.sum()) if self.frequency and self.weights is not None else float(self.size)

    def facts(self) -> dict[str, Any]:
        """What a fit's facts say of the rows, see `row_facts`."""
        return row_facts(self.design.rows)


@dataclass(frozen=True, eq=False)
class FitRows(CountedRows):
    """Outcomes, design, weights and offset of the rows that a fit uses.

    A family's own rows add what it solved on them.

    Examples
    --------
    >>> import disteconometrics as de
    >>> rows = FitRows.read(de.NormalRegression("foodexp ~ income"), de.datasets.engel(), outcome="numeric")
    >>> rows.size, rows.observations, rows.names
    (235, 235.0, ('Intercept', 'income'))
    """

    design: Design | StreamDesign
    counted: Indices | None = None  # positions (m,) of rows that scores are summed over, None: all
    units: Indices | None = None  # unit (n,) of every row, −1: none, in which all rows share a cluster

    @classmethod
    def read(
        cls,
        model: Any,
        data: Any,
        *,
        streams: bool = False,
        n_jobs: int | None = None,
        cache: Any = "auto",
        formula: str | None = None,
        few: tuple[int, int] | None = None,
        **options: Any,
    ) -> FitRows:
        """Read a table by the formula and the columns of a specification: weights, and offset if it has one.

        ``streams`` says that the estimator needs nothing but passes over `blocks`; ``n_jobs`` workers read
        the parts of a source, which ``cache`` says to keep coded or not;
        ``few`` are the most cells of its right side that may be, see `learn`;
        ``formula`` is that of the specification without what is absorbed.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, NeedsRows
        """
        if hasattr(model, "offset"):
            options["offset"] = model.offset
        options |= {"weights": model.weights, "weight_type": model.weight_type}
        check_jobs(n_jobs)
        check_cache(cache)
        source = open_source(data)
        if source is None:
            return FitRows(build_design(formula or model.formula, data, **options))
        if not streams:
            raise NeedsRows(f"{type(model).__name__}, as asked, {READ_IN_PARTS}")
        if options.get("outcome") == "recorded":
            try:
                refuse_recorders(model.formula, type(model).__name__)
            except OutcomeError:
                raise NeedsRows(f"A left side that says how it was recorded {READ_IN_PARTS}") from None
            options["outcome"] = "numeric"
        run = PartRunner(source, n_jobs, holds=cache is not None, on_disk=is_on_disk(cache))
        return FitRows(learn(model.formula, source, run=run, cache=cache, few=few, **options))

    @property
    def streamed(self) -> bool:
        """Whether the rows are read in every pass and none is kept."""
        return isinstance(self.design, StreamDesign)

    @property
    def readings(self) -> int:
        """How often a source was read so far, 0 for a table."""
        return self.design.readings[0] if isinstance(self.design, StreamDesign) else 0

    @property
    def kept_source(self) -> bool:
        """Whether coded rows of a source are kept for further passes."""
        return isinstance(self.design, StreamDesign) and bool(self.design.coded.parts)

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Let go of what is kept of a source where a fit ends in an error or an interrupt."""
        try:
            yield
        except BaseException:
            self.end()
            raise

    def end(self) -> int:
        """Let go of what is kept of a source for the passes of a fit; the number of its readings."""
        return self.design.end() if isinstance(self.design, StreamDesign) else 0

    @property
    def moments(self) -> Moments:
        """Of the numeric outcome of a source."""
        assert isinstance(self.design, StreamDesign)
        return self.design.moments

    @property
    def observations(self) -> float:
        """Rows, or the sum of frequency weights."""
        if isinstance(self.design, StreamDesign) and self.frequency:
            return self.design.total
        return super().observations

    @property
    def spec(self) -> DesignSpec:
        """How new rows are coded."""
        return self.design.spec

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the design (k)."""
        return self.design.spec.names

    @property
    def y(self) -> Array:
        """Outcomes (n,)."""
        return self.design.y

    @property
    def X(self) -> Array:  # noqa: N802 - the field's name
        """The design (n, k) with all its columns."""
        return self.design.X

    @property
    def matrix(self) -> Array | FactorMatrix:
        """The design as it is kept, a factor as codes."""
        return self.design.matrix

    @property
    def offset(self) -> Array | None:
        """Offset (n,), or None."""
        return self.design.offset

    @property
    def index(self) -> Any:
        """The pandas Index (n,) of the rows."""
        return self.design.index

    def blocks(self) -> Sequence[Block]:
        """The rows as engines consume them, with weights of a likelihood."""
        if isinstance(self.design, StreamDesign):
            return self.design.blocks()
        return tuple(
            b if b.weights is None else b._replace(weights=self.scaled_weights) for b in self.design.blocks()
        )

    def warn_small_levels(self, *, penalised: bool = False, logit: bool = True) -> None:
        """Say where a factor has so few rows a level that other slopes of a non-linear model are biased.

        Levels of 2 to 20 rows are small (2 or 3 under Firth's penalty); all rows over their number is what
        `incidental_bias` takes.  A level of one row is fitted perfectly and counts for nothing.

        Warns
        -----
        IncidentalParametersWarning
        """
        most = SMALL_PENALISED if penalised else SMALL_LEVEL
        for name, counts in self.design.cells:
            small = (counts > 1) & (counts <= most)
            levels, n = int(small.sum()), float(counts[counts > 1].sum())
            if levels <= FEW_LEVELS or levels < BIASED * n:
                continue
            share = incidental_bias(n / levels, logit=logit)
            size = "towards zero" if penalised else f"away from zero, by about {share:.0%}"
            text = (
                f"{name} has {len(counts)} levels on {n:g} rows, {levels} of them with {most} rows or fewer "
                f"({counts[small].mean():.1f} on average): the other slopes of a model that is not linear "
                f"are then biased {size} (incidental parameters). Remedy: {REMEDY}."
            )
            warn_user(IncidentalParametersWarning(text, column=name, hint=REMEDY))

    def fingerprint(self) -> str:
        """A digest of the outcomes and weights."""
        if isinstance(self.design, StreamDesign):
            return self.design.fingerprint()
        records = self.design.records
        ends = () if records is None else (records.lower, records.upper)
        return fingerprint(self.y, self.weights, *ends)

    def scenario(self) -> Scenario:
        """The rows with the right to change their variables, as effects do."""
        if isinstance(self.design, StreamDesign):
            raise self.design.needs_rows()
        return Scenario.of_design(self.design)

    def averaged(self) -> Scenario | StreamedScenario:
        """The rows as averages over them take them; those of a source are read anew."""
        return StreamedScenario(self.design) if isinstance(self.design, StreamDesign) else self.scenario()

    def column(self, name: str, role: str, *, whole: bool = True) -> Any:
        """A column of the table among the rows used (n,), as a Series; ``role`` goes into messages.

        A column that is not to be ``whole`` may have missing values.
        """
        return self.design.column(name, role, whole=whole)

    @property
    def sampling(self) -> Sampling:
        """How the rows that count were drawn, with the weights (n,) of all; those of a source stay there."""
        weights = None if self.streamed else self.weights
        return Sampling(self.codes, self.order, weights, self.design.spec.weight_type)

    def codes(self, columns: Sequence[str] | Survey) -> Any:
        """Cluster codes (m,) of the rows that count, and the number of clusters; of a `Survey` its design.

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsRows
        """
        if isinstance(columns, Survey):
            return self._units(columns)
        codes, groups = self.design.codes(columns, role="cluster")
        if self.units is not None:
            _check_nested(codes, self.units, columns)
        if self.counted is None:
            return codes, groups
        codes = codes[self.counted]
        inside = np.bincount(codes, minlength=groups) > 0
        return (np.cumsum(inside) - 1)[codes], int(inside.sum())

    def _units(self, survey: Survey) -> SurveyDesign:
        """The units of a design; those of rows that the fit leaves out count, with influence zero."""
        if isinstance(self.design, StreamDesign):
            raise NeedsRows(
                "cov=de.Survey(…) needs all rows in memory, and data is read in parts: "
                "make a table first, or take de.Cluster('psu')."
            )
        used = np.arange(self.size) if self.design.kept is None else self.design.kept
        counted = used if self.counted is None else used[self.counted]
        w = self.weights if self.weights is None or self.counted is None else self.weights[self.counted]
        return design_of(survey, self.design.table.series, counted, w, len(self.design.table))

    def order(self, time: str) -> Indices:
        """Positions (n,) of the rows that count in the order of a time column.

        −1 for others, which keep their period.

        Raises
        ------
        MissingColumnError, DataError
            DataError also if the column repeats values.
        """
        times = self.design.times(time)
        if len(np.unique(times)) < len(times):
            raise DataError(
                f"The time column {time!r} repeats values, so the rows have no order in time; for panels "
                "use de.Cluster."
            )
        order = np.argsort(times, kind="stable")
        if self.counted is None:
            return order
        position = np.full(len(times), -1, dtype=np.intp)
        position[self.counted] = np.arange(len(self.counted))
        return position[order]


def _check_nested(codes: Indices, units: Indices, columns: Sequence[str]) -> None:
    """Refuse clusters that cut units, whose scores are whole."""
    inside = units >= 0
    first = np.zeros(units.max() + 1, dtype=np.intp)
    first[units[inside]] = codes[inside]
    torn = len(np.unique(units[inside][codes[inside] != first[units[inside]]]))
    if torn:
        raise DataError(
            f"{torn} choice sets lie in several clusters of {', '.join(columns)}: a set has one score, so "
            f"that sets must lie inside clusters; cluster by a column that is constant inside sets."
        )


@dataclass(frozen=True, eq=False)
class JointFitRows(CountedRows):
    """Outcomes, right side and weights of the rows that a fit of one outcome or several uses.

    Examples
    --------
    >>> import disteconometrics as de
    >>> rows = JointFitRows.read(de.TransportDensity("income + foodexp ~ 1"), de.datasets.engel())
    >>> rows.Y.shape, rows.size, rows.observations
    ((235, 2), 235, 235.0)
    """

    design: JointDesign

    @classmethod
    def read(cls, model: Any, data: Any) -> JointFitRows:
        """Read a table by a specification's ``formula``, ``weights`` and ``weight_type``.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, NeedsRows
        """
        if is_source(data):
            raise NeedsRows(f"{type(model).__name__}, as asked, {READ_IN_PARTS}")
        return JointFitRows(
            build_joint(model.formula, data, weights=model.weights, weight_type=model.weight_type)
        )

    @property
    def spec(self) -> JointSpec:
        """How new rows are coded."""
        return self.design.spec

    @property
    def Y(self) -> Array:  # noqa: N802 - the field's name
        """Outcomes (n, d)."""
        return self.design.Y

    @property
    def X(self) -> Array:  # noqa: N802 - the field's name
        """The right side (n, k) with its constant."""
        return self.design.X

    @property
    def covariates(self) -> Array:
        """The right side (n, c) without the constant."""
        return self.design.covariates

    @property
    def kept(self) -> Indices:
        """Positions (n,) of the rows in the table."""
        return self.design.kept

    def fingerprint(self) -> str:
        """A digest of the outcomes and weights."""
        return fingerprint(self.Y, self.weights)
