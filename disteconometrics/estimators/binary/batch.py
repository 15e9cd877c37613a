"""Many fits of a binary-outcome model at once.

Under other weights (`resampling`), and to other tables (`replications`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from disteconometrics.arrays import AnyArray, Array, Indices
from disteconometrics.blocks import Block, dense_block
from disteconometrics.checks import flag
from disteconometrics.data.design import build_design
from disteconometrics.data.formula import parse_formula
from disteconometrics.errors import DisteconometricsError
from disteconometrics.inference.covariance import CovarianceKind, resolve_kind
from disteconometrics.inference.protocols import MEstimate, Replicated
from disteconometrics.likelihoods.index_model import IndexModel, row_terms, scale_rows
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.optim.batched import CONVERGED, REASONS, Shared, maximise_many, share, solve_shared
from disteconometrics.optim.newton import maximise

__all__ = ["BinaryCollector", "BinaryReplications", "BinaryResampling", "replications", "resampling"]

MOST_ROWS = 20_000  # of a table; larger ones are as quick one by one
MOST_SIZES = 16  # of tables that room is kept for
BATCHED = ("nonrobust", "HC0", "HC1")  # covariances of many fits at once
NO_VARIATION = "the outcome does not vary"


@dataclass(frozen=True, eq=False)
class BinaryResampling:
    """The rows of a fit under other weights; fills `inference.bootstrap.Resampling`.

    ``block`` holds the rows (n), ``positions`` (n,) where they are in the user's table; ``direct`` says
    whether new weights on these rows are all that a new fit needs, which transforms learned from the data
    (``scale``, ``bs``) or a penalty deny.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.Logit("GRADE ~ GPA")
    >>> rows = model.resampling(model.fit(de.datasets.spector()))
    >>> rows.direct, rows.solve(np.ones((1, 32)))[0].round(3).tolist()
    (True, [[-9.703, 2.84]])
    """

    kernel: Kernel
    block: Block
    equation: MEstimate
    design: Any
    direct: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.equation.names

    @property
    def positions(self) -> Indices:
        """Positions (n,) of the rows in the user's table."""
        return np.arange(len(self.block.y)) if self.design.kept is None else np.asarray(self.design.kept)

    @property
    def weights(self) -> tuple[str | None, Array | None]:
        """Type and values (n,) of the weights."""
        return self.design.spec.weight_type, self.block.weights

    def codes(self, columns: Sequence[str]) -> tuple[Indices, int]:
        """Cluster codes (n,) and their number."""
        codes: tuple[Indices, int] = self.design.codes(columns, role="cluster")
        return codes

    @cached_property
    def _shared(self) -> Shared:
        return share(self.kernel, self.block.X, self.block.y, self.block.offset)

    def solve(self, weights: Array) -> tuple[Array, list[str]]:
        """Estimates (R, k) under weights (R, n), NaN with a reason where there are none."""
        block = self.block
        batch = solve_shared(self._shared, weights, self.equation.params, information=False)
        reasons = [REASONS[s] for s in batch.status]
        for i in np.flatnonzero(batch.status):
            seen = block.y[weights[i] > 0]
            if len(seen) == 0 or seen.min() == seen.max():
                reasons[i] = NO_VARIATION
        return batch.params, reasons

    def restricted(self, j: int, value: float) -> tuple[Array, Array] | None:
        """Scores (n, k) and information (k, k) where coefficient j is held at a value.

        None without a maximum.
        """
        block, k = self.block, self.block.X.shape[1]
        others = np.arange(k) != j
        offset = value * block.X[:, j] + (0.0 if block.offset is None else block.offset)
        beta = np.full(k, value)
        if k > 1:
            part = block._replace(X=np.ascontiguousarray(block.X[:, others]), offset=offset)
            try:
                m = maximise(IndexModel(self.kernel, [part]))
            except DisteconometricsError:
                return None
            if not m.converged:
                return None
            beta[others] = m.params
        terms = row_terms(self.kernel, block, beta)
        return scale_rows(block.X, terms.score), scale_rows(block.X, terms.root_weight**2).T @ block.X


def resampling(model: Any, rows: Any) -> BinaryResampling:
    """What the rows behind a result offer to resampling; ``model`` is its specification.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.Logit("GRADE ~ scale(GPA)")  # the scale would be learned again
    >>> model.resampling(model.fit(de.datasets.spector())).direct
    False
    """
    (block,) = map(dense_block, rows.blocks())
    design = rows.design
    plain = model.likelihood_penalty is None and model.separation != "firth"
    return BinaryResampling(model.kernel, block, rows.equation, design, plain and not design.spec.states)


@dataclass(frozen=True, eq=False)
class BinaryReplications:
    """Fits to many tables at once: their columns are put under one another, so the formula is read once.

    That needs columns of numbers and transforms that work row by row; a table that does not fit, loses rows
    or has no maximum is left to a fit of its own.  Fills `simulate.replications.Replicating`.

    Examples
    --------
    >>> import disteconometrics as de
    >>> rng = np.random.default_rng(1)
    >>> tables = [{"y": rng.random(50) < 0.4, "x": rng.normal(size=50)} for _ in range(3)]
    >>> many = de.Logit("y ~ x").replications().collect(3)
    >>> [many.take(table) for table in tables]
    [True, True, True]
    >>> found = many.solve(0.95)
    >>> alone = de.Logit("y ~ x").fit(tables[2]).params["x"]
    >>> found.settled.all(), bool(np.allclose(found.values[2, 1, 0], alone))
    (np.True_, True)
    """

    kernel: Kernel
    formula: str
    offset: str | None
    columns: tuple[str, ...]
    cov: str
    use_t: bool

    def collect(self, tables: int) -> BinaryCollector:
        """Room for so many tables."""
        return BinaryCollector(self, tables)

    def solve(self, columns: Sequence[Array], level: float) -> Replicated | None:
        """Estimates, standard errors, limits and p-values (R, k, 5) from columns (R, n).

        None where tables go one by one.
        """
        R, n = columns[0].shape
        stacked = {name: column.reshape(R * n) for name, column in zip(self.columns, columns, strict=True)}
        try:
            design = build_design(self.formula, stacked, offset=self.offset)
        except DisteconometricsError:
            return None
        spec = design.spec
        k = len(spec.names)
        if design.kept is not None or spec.states or spec.levels or n <= k:
            return None
        X, y = design.X.reshape(R, n, k), design.y.reshape(R, n)
        offset = None if design.offset is None else design.offset.reshape(R, n)
        batch = maximise_many(self.kernel, X, y, offset=offset)
        settled = (batch.status == CONVERGED) & ~batch.single  # others warn or fail, and a fit alone says how
        assert batch.inverse is not None
        with np.errstate(all="ignore"):
            V = batch.inverse
            if self.cov != "nonrobust":
                V = self._sandwich(V, X, y, offset, batch.params)
            table = self._table(batch.params, np.sqrt(np.diagonal(V, axis1=1, axis2=2)), n - k, level)
        return Replicated(spec.names, table, settled)

    def _sandwich(self, V: Array, X: Array, y: Array, offset: Array | None, params: Array) -> Array:
        """V·(S'S)·V (R, k, k) from the scores of X (R, n, k), times n/(n − k) under HC1."""
        n, k = X.shape[1:]
        eta = (X @ params[:, :, None])[:, :, 0] + (0.0 if offset is None else offset)
        scores = X * self.kernel.score(y, eta)[:, :, None]
        factor = n / (n - k) if self.cov == "HC1" else 1.0
        return V @ (scores.transpose(0, 2, 1) @ scores) @ V * factor

    def _table(self, b: Array, se: Array, df: int, level: float) -> Array:
        """Estimates, standard errors, limits and p-values (R, k, 5)."""
        tail = 0.5 + level / 2
        t = -np.abs(b / se)
        if self.use_t:
            critical, p = special.stdtrit(df, tail), 2 * special.stdtr(df, t)
        else:
            critical, p = special.ndtri(tail), 2 * special.ndtr(t)
        return np.stack([b, se, b - critical * se, b + critical * se, p], axis=2)


class BinaryCollector:
    """Columns of tables one under the other, by number of rows; fills `simulate.replications.Collector`."""

    def __init__(self, engine: BinaryReplications, tables: int) -> None:
        self.engine, self.tables = engine, tables
        self.columns: dict[int, list[Array]] = {}  # rows: columns (capacity, rows)
        self.places: list[tuple[int, int]] = []  # rows, and which of the tables with so many
        self.count: dict[int, int] = {}

    def take(self, table: Any) -> bool:
        """Copy the columns of a table if they are plain arrays of numbers of one length."""
        if not isinstance(table, Mapping) and not hasattr(table, "columns"):
            return False
        try:
            given = [table[name] for name in self.engine.columns]
            columns = [np.asarray(column) for column in given]
        except (KeyError, TypeError, ValueError):
            return False
        if any(isinstance(raw, np.ma.MaskedArray) for raw in given) or not _plain(columns):
            return False
        n = len(columns[0])
        at = self.count.get(n, 0)
        room = self.columns.get(n)
        if room is None or at >= len(room[0]):
            room = self.columns[n] = self._more(room, n)
        for into, column in zip(room, columns, strict=True):
            into[at] = column
        self.count[n] = at + 1
        self.places.append((n, at))
        return True

    def _more(self, room: list[Array] | None, n: int) -> list[Array]:
        if room is None:
            return [np.empty((1 if self.columns else self.tables, n)) for _ in self.engine.columns]
        return [np.concatenate([into, np.empty_like(into)]) for into in room]

    def solve(self, level: float) -> Replicated | None:
        """Numbers of the tables taken since the last call."""
        found: Replicated | None = None
        for n, count in self.count.items():
            columns = [into[:count] for into in self.columns[n]]
            for at, part in self._parts(columns, count, level):
                if found is None:
                    values = np.full((len(self.places), *part.values.shape[1:]), np.nan)
                    found = Replicated(part.names, values, np.zeros(len(self.places), dtype=bool))
                if part.names == found.names:
                    places = [i for i, (m, j) in enumerate(self.places) if m == n and at.start <= j < at.stop]
                    found.values[places], found.settled[places] = part.values, part.settled
        self.places, self.count = [], {}
        if len(self.columns) > MOST_SIZES:  # tables of random size: keep no room that may not be used again
            self.columns = {}
        return found

    def _parts(self, columns: list[Array], count: int, level: float) -> list[tuple[slice, Replicated]]:
        """All tables of one size together, or each alone where one of them spoils it for the others."""
        whole = self.engine.solve(columns, level)
        if whole is not None:
            return [(slice(0, count), whole)]
        alone = [
            (slice(i, i + 1), self.engine.solve([a[i : i + 1] for a in columns], level))
            for i in range(count)
            if count > 1
        ]
        return [(at, part) for at, part in alone if part is not None]


def _plain(columns: Sequence[AnyArray]) -> bool:
    """Whether columns are numbers of one length, which is not too large for a batch."""
    shape = columns[0].shape
    if len(shape) != 1 or not 0 < shape[0] <= MOST_ROWS:
        return False
    return all(column.shape == shape and column.dtype.kind in "fiub" for column in columns)


def replications(
    model: Any, *, cov: CovarianceKind | None = None, use_t: bool = False, **more: Any
) -> BinaryReplications | None:
    """What a specification offers to Monte Carlo studies.

    None where these choices are fitted one table at a time.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Logit("y ~ x", penalty="firth").replications() is None
    True
    """
    if more or model.weights is not None or model.likelihood_penalty is not None:
        return None
    try:
        kind = resolve_kind(cov, None)
        parsed = parse_formula(model.formula, ())
    except DisteconometricsError:  # a fit says what is wrong
        return None
    if kind not in BATCHED or parsed.has_dot or "lag(" in model.formula:
        return None
    columns = [
        *parsed.left.variables,
        *parsed.right_variables,
        *([] if model.offset is None else [model.offset]),
    ]
    names, t = tuple(dict.fromkeys(columns)), flag(use_t, "use_t")
    return BinaryReplications(model.kernel, model.formula, model.offset, names, str(kind), t)
