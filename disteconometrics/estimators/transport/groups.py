"""Samples of an outcome by group, as estimators that compare groups read them from a formula and a table."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.data.design import Design, RowCount
from disteconometrics.data.formula import parse_formula
from disteconometrics.data.joint_design import build_joint, read_outcomes
from disteconometrics.data.source import open_source
from disteconometrics.errors import (
    DataError,
    FewClustersWarning,
    FormulaError,
    NeedsRows,
    OptionError,
    OutcomeError,
    warn_user,
)
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import fingerprint, row_facts
from disteconometrics.estimators.transport.group_source import (
    Binned,
    GroupQuestion,
    group_levels,
    read_bins,
    read_small,
)
from disteconometrics.fields import Count
from disteconometrics.inference import two_samples as two
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.two_samples import GroupSample
from disteconometrics.transport.histogram import Histogram

__all__ = ["GroupFacts", "Groups", "read_groups", "refit_groups"]

FEW_CLUSTERS = 10  # in a group, below which a warning says so; coverage was measured down to 15
MOST_ROWS = 5_000_000  # after frequency weights are written out
REPS = 200  # samples in which a comparison is checked, where none are asked for


@dataclass(frozen=True, kw_only=True)
class GroupFacts(FitFacts):
    """Numbers of a comparison that need no rows: besides those of every fit, the names of columns.

    ``readings`` says how often a source was read, 0 for a table; ``crossed`` whether clusters hold rows of
    several groups.
    """

    group: str
    outcomes: tuple[str, ...]
    readings: Count = 0
    crossed: bool = False


@dataclass(frozen=True, eq=False)
class Groups:
    """Samples and labels by group, names of the outcomes and of the column of groups, count of rows.

    Of a source of many rows samples are the means of bins, whose ``histograms`` are by group; ``readings``
    says how often it was read, 0 for a table.
    """

    samples: tuple[GroupSample, ...]
    labels: tuple[str, ...]
    outcomes: tuple[str, ...]
    group: str
    count: RowCount
    histograms: tuple[Histogram, ...] = ()
    readings: int = 0

    def check_rows(self, what: str) -> None:
        """Refuse what needs single rows where counts of values are known.

        Raises
        ------
        NeedsRows
        """
        if any(s.counts is not None for s in self.samples):
            raise NeedsRows(
                f"Of {sum(s.size for s in self.samples):,} rows counts by value or bin are kept, and {what} "
                "needs the rows; fit a sample of them as a table."
            )

    def facts(self) -> dict[str, Any]:
        """What the facts of a comparison say of its rows; frequency weights are counted as observations."""
        observations = sum(s.size for s in self.samples)
        names = {"group": self.group, "outcomes": self.outcomes, "readings": self.readings}
        names["crossed"] = self.samples[0].crossing is not None
        return {**row_facts(self.count), "observations": observations, **names}

    def fingerprint(self) -> str:
        """A digest of the samples and their masses."""
        return fingerprint(*(a for s in self.samples for a in (s.rows, s.mass)))


def _parts(formula: str) -> tuple[tuple[str, ...], str]:
    """Outcomes on the left side, and the column of groups on the right."""
    try:
        outcomes, right = read_outcomes(formula)
    except FormulaError as error:
        raise FormulaError(f"{error}. A comparison is 'y ~ group', or 'y1 + y2 ~ group'") from None
    parsed = parse_formula(f"{outcomes[0]} ~ {right}")
    group = parsed.factors[0].node if len(parsed.factors) == 1 else None
    if isinstance(group, ast.Call) and getattr(group.func, "id", "") == "C" and len(group.args) == 1:
        group = group.args[0]
    if not isinstance(group, ast.Name) or parsed.has_dot or len(parsed.terms) > 2:
        raise FormulaError(f"{formula!r}: the right side must be one column of groups, as in 'y ~ group'.")
    return tuple(outcomes), group.id


def read_groups(
    formula: str,
    data: Any,
    *,
    weights: str | None = None,
    weight_type: str | None = None,
    cluster: str | None = None,
    standardise: bool = False,
) -> Groups:
    """Read the samples of an outcome, or of several, by group.

    Parameters
    ----------
    formula : str, outcomes on the left side, one column of groups on the right.
    data : pandas or polars DataFrame, or dict of arrays of one length; or a source that is read in parts, of
        which up to 1,000,000 rows are kept, and histograms of more.
    weights, weight_type : column of weights, and what they are; frequency weights are written out.
    cluster : column of clusters, or None.
    standardise : bool, divide each outcome by its standard deviation in all rows.

    Raises
    ------
    DataError, FormulaError, MissingColumnError, NeedsRows, OptionError, OutcomeError

    Examples
    --------
    >>> groups = read_groups("y ~ g", {"y": [1.0, 2.0, 3.0, 4.0], "g": ["b", "a", "b", "a"]})
    >>> groups.labels, groups.samples[0].rows.ravel().tolist()
    (('a', 'b'), [2.0, 4.0])
    """
    outcomes, group = _parts(formula)
    source = open_source(data)
    readings = 0
    if source is not None:
        asked = GroupQuestion(outcomes, group, weights, weight_type, cluster)
        data, readings = read_small(source, asked.names), 1
        if data is None:
            return _binned_groups(read_bins(source, asked), asked, standardise)
    quoted = f"`{group}`" if not group.isidentifier() else group
    joint = build_joint(f"{' + '.join(outcomes)} ~ {quoted}", data, weights=weights, weight_type=weight_type)
    counts = joint.weights if weight_type == "frequency" else None
    Y = joint.Y / _pooled(joint.Y, counts, outcomes) if standardise else joint.Y
    codes, labels = group_levels(joint.first.column(group, "group").iloc[joint.at], group)
    clusters: Indices | None = None
    crossed = False
    if cluster is not None:
        clusters, crossed = _clusters(joint.first, cluster, joint.at, codes, labels)
    samples = []
    for g, label in enumerate(labels):
        mine = codes == g
        w, c = (None if v is None else v[mine] for v in (joint.weights, clusters))
        sample = _sample(Y[mine], w, c, weight_type == "frequency", f"{group} = {label}")
        samples.append(replace(sample, crossing=np.unique(c)) if crossed and c is not None else sample)
    return Groups(tuple(samples), labels, outcomes, group, joint.rows, (), readings)


def _binned_groups(found: Binned, asked: GroupQuestion, standardise: bool) -> Groups:
    """The groups of a source of many rows: the means of bins, and how many rows are in each."""
    histograms = found.histograms
    for label, h in zip(found.labels, histograms, strict=True):
        _check_size(h.size, f"{asked.group} = {label}")
    if standardise:
        both = reduce(Histogram.joined, histograms)
        mean = both.counts @ both.means / both.size
        square = float(both.spreads.sum() + both.counts @ np.square(both.means - mean))
        unit = float(_positive(np.sqrt([square / (both.size - 1)]), asked.outcomes)[0])
        histograms = tuple(h.scaled(unit) for h in histograms)
    samples = tuple(GroupSample.counted(h.means, h.counts) for h in histograms)
    return Groups(samples, found.labels, asked.outcomes, asked.group, found.count, histograms, found.readings)


def _sample(rows: Array, weights: Array | None, clusters: Any, frequency: bool, group: str) -> GroupSample:
    """The rows of a group with masses and clusters; rows that frequency weights count are written out."""
    if clusters is not None:
        clusters = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    if weights is not None and frequency:
        if weights.sum() > MOST_ROWS:
            return _counted(rows, weights, clusters)
        copies = np.rint(weights).astype(np.intp)
        rows, weights = np.repeat(rows, copies, axis=0), None
        clusters = None if clusters is None else np.repeat(clusters, copies)
    _check_size(len(rows), group)
    return GroupSample(rows, None if weights is None else weights / weights.sum(), clusters)


def _counted(rows: Array, counts: Array, clusters: Any) -> GroupSample:
    """A group of more rows than are written out, which outcomes on the line need not be."""
    if clusters is not None or rows.shape[1] > 1:
        raise OptionError(
            f"Frequency weights stand for {counts.sum():.0f} rows; with clusters or joint outcomes at most "
            f"{MOST_ROWS:,} are compared."
        )
    values, at = np.unique(rows[:, 0], return_inverse=True)
    return GroupSample.counted(values, as_floats(np.bincount(at, counts, len(values))))


def _check_size(rows: float, group: str) -> None:
    if rows < 2:
        raise DataError(f"Group {group} has {rows:g} row; a law needs at least two.")


def _pooled(Y: Array, counts: Array | None, outcomes: tuple[str, ...]) -> Array:
    """Standard deviations of all rows, each as often as it counts."""
    if counts is None:
        return _positive(Y.std(axis=0, ddof=1), outcomes)
    squares = np.square(Y - np.average(Y, axis=0, weights=counts))
    return _positive(np.sqrt(counts @ squares / max(counts.sum() - 1, 1)), outcomes)


def _positive(sd: Array, outcomes: tuple[str, ...]) -> Array:
    """Standard deviations, none of them zero."""
    for name, value in zip(outcomes, sd, strict=True):
        if not value > 0:
            raise OutcomeError(
                f"The outcome {name!r} has no variation, so it has no standard deviation to divide by."
            )
    return np.asarray(sd)


def _clusters(
    design: Design, cluster: str, at: Indices, groups: Indices, labels: tuple[str, ...]
) -> tuple[Indices, bool]:
    """Clusters (n,), and whether some hold rows of several groups."""
    codes = design.codes([cluster], role="cluster")[0][at]
    pairs = np.unique(np.column_stack([codes, groups]), axis=0)
    crossed = len(pairs) > len(np.unique(codes))
    counts = np.bincount(pairs[:, 1])
    least, label = int(counts.min()), labels[int(counts.argmin())]
    if least < 2:
        raise OptionError(
            f"Group {label} has a single cluster of {cluster!r}; each group needs at least two."
        )
    if least < FEW_CLUSTERS:
        text = f"Group {label} has {least} clusters of {cluster!r}: errors rest on few numbers."
        hint = "the permutation test of de.WassersteinDistance, which holds with few clusters"
        if crossed:
            hint = "more clusters: where they hold rows of several groups no test holds with few"
        warn_user(FewClustersWarning(text, column=cluster, hint=hint))
    return codes, crossed


def refit_groups(model: Any, samples: Sequence[GroupSample]) -> Refitting:
    """How a comparison is made again from a table of its samples, whose own estimates are the truth.

    Parameters
    ----------
    model : specification with ``formula``, ``weights`` and ``weight_type``.
    samples : by group.
    clustered : bool, whether errors sum over clusters, which are then drawn whole.

    Examples
    --------
    >>> import disteconometrics as de
    >>> samples = [GroupSample(np.array([[1.0], [2.0]])), GroupSample(np.array([[4.0], [5.0]]))]
    >>> of = refit_groups(de.WassersteinDistance("wage ~ union", p=1, permutations=0), samples)
    >>> of.estimator.formula, of.truth, of.only_design
    ('y0 ~ group', {'W1': 3.0}, 'pairs')
    """
    table = _table_of(samples)
    names = [name for name in table if name.startswith("y")]
    weighted, clustered = "weight" in table, "cluster" in table
    estimator = replace(
        model,
        formula=f"{' + '.join(names)} ~ group",
        weights="weight" if weighted else None,
        weight_type="sampling" if weighted else None,
    )
    options = {"cluster": "cluster"} if clustered else {}
    return Refitting(
        estimator,
        options,
        table,
        names[0],
        law=None,
        labels=None,
        truth=estimator.fit(table, **options).params.to_dict(),
        clusters=("cluster",) if clustered else (),
        only_design="cluster" if clustered else "pairs",
        reps=REPS,
    )


def _table_of(samples: Sequence[GroupSample]) -> dict[str, Any]:
    """Samples as columns: outcomes y0, y1, …, group, weight if there are masses, and cluster if asked for."""
    outcomes = np.concatenate([s.rows for s in samples]).T
    table: dict[str, Any] = {f"y{j}": column for j, column in enumerate(outcomes)}
    table["group"] = np.repeat(np.arange(len(samples)), [s.size for s in samples])
    if samples[0].mass is not None:
        table["weight"] = np.concatenate([s.weights for s in samples])
    codes = [s.clusters for s in samples if s.clusters is not None]
    if codes and samples[0].crossing is not None:
        numbers = zip((two.as_codes(s) for s in samples), codes, strict=True)
        table["cluster"] = np.concatenate([number[c] for number, c in numbers])
    elif codes:  # codes of one sample begin where those of the one before end
        first = np.cumsum([0, *(c.max() + 1 for c in codes)])
        table["cluster"] = np.concatenate([c + k for c, k in zip(codes, first[:-1], strict=True)])
    return table
