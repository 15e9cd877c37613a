"""Samples of an outcome by group, as estimators that compare groups read them from a formula and a table."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.design import Design
from disteconometrics.data.formula import parse_formula
from disteconometrics.data.joint_design import build_joint, read_outcomes
from disteconometrics.errors import (
    DataError,
    FewClustersWarning,
    FormulaError,
    NeedsData,
    OptionError,
    OutcomeError,
    warn_user,
)
from disteconometrics.inference.estimates import Estimated
from disteconometrics.inference.two_samples import Sample
from disteconometrics.simulate.self_check import Refitting, SelfCheck, self_check

__all__ = ["GroupResults", "Groups", "check_squares", "read_groups"]

Array = NDArray[np.float64]

LARGEST = 1e150  # of an outcome
FEW_CLUSTERS = (
    10  # in a group, below which errors by cluster are told to be doubtful; coverage was measured down to 15
)
MOST_ROWS = 5_000_000  # after frequency weights are written out


@dataclass(frozen=True, eq=False)
class Groups:
    """Samples by group, labels, names of outcomes and of the group; rows given, used and of weight zero, missing by column."""

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    outcomes: tuple[str, ...]
    group: str
    given: int
    used: int
    missing: dict[str, int]
    zero_weight: int


def _parts(formula: str) -> tuple[tuple[str, ...], str]:
    """Outcomes on the left side, and the column of groups on the right."""
    if not isinstance(formula, str) or formula.count("~") != 1:
        raise FormulaError(
            f"{formula!r} is no comparison; write 'y ~ group', or 'y1 + y2 ~ group' for outcomes taken "
            f"jointly."
        )
    outcomes, right = read_outcomes(formula)
    parsed = parse_formula(f"{outcomes[0]} ~ {right}")
    group = parsed.factors[0].node if len(parsed.factors) == 1 else None
    if isinstance(group, ast.Call) and getattr(group.func, "id", "") == "C" and len(group.args) == 1:
        group = group.args[0]
    if not isinstance(group, ast.Name) or parsed.has_dot or len(parsed.terms) > 2:
        raise FormulaError(f"{formula!r}: the right side must be one column of groups, as in 'y ~ group'.")
    return tuple(outcomes), group.id


def check_squares(column: Array, name: str) -> None:
    """Refuse an outcome whose squares leave the range of numbers.

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_squares(np.array([1.0, -2.0]), "y")
    """
    largest = float(np.abs(column).max(initial=0.0))
    if largest > LARGEST or 0 < largest < 1 / LARGEST:
        raise DataError(
            f"{name}: values are too large or too small to square (beyond 1e±150); rescale the column."
        )


def read_groups(model: Any, data: Any, cluster: str | None = None) -> Groups:
    """Read the samples that a specification compares: its ``formula``, ``scale``, ``weights`` and ``weight_type``.

    Raises
    ------
    DataError, FormulaError, MissingColumnError, OptionError, OutcomeError

    Examples
    --------
    >>> import disteconometrics as de
    >>> groups = read_groups(de.WassersteinDistance("y ~ g"), {"y": [1.0, 2.0, 3.0, 4.0], "g": ["b", "a", "b", "a"]})
    >>> groups.labels, groups.samples[0].rows.ravel().tolist()
    (('a', 'b'), [2.0, 4.0])
    """
    outcomes, group = _parts(model.formula)
    quoted = f"`{group}`" if not group.isidentifier() else group
    joint = build_joint(
        f"{' + '.join(outcomes)} ~ {quoted}", data, weights=model.weights, weight_type=model.weight_type
    )
    Y = joint.Y
    for name, column in zip(outcomes, Y.T, strict=True):
        check_squares(column, name)
    first, at = joint.first, joint.at
    if model.scale is not None:
        Y = Y / _pooled(Y, outcomes)
    weights = joint.weights
    codes, labels = _levels(first.column(group, "group").iloc[at], group)
    clusters = None if cluster is None else _clusters(first, cluster, at, codes, labels)
    samples = []
    for g in range(len(labels)):
        mine = codes == g
        rows, w = Y[mine], None if weights is None else weights[mine]
        c = None if clusters is None else np.unique(clusters[mine], return_inverse=True)[1].reshape(-1)
        if w is not None and model.weight_type == "frequency":
            if w.sum() > MOST_ROWS:
                raise OptionError(
                    f"Frequency weights stand for {w.sum():.0f} rows; at most {MOST_ROWS:,} are compared."
                )
            copies = np.rint(w).astype(np.intp)
            rows, c, w = np.repeat(rows, copies, axis=0), None if c is None else np.repeat(c, copies), None
        if len(rows) < 2:
            raise DataError(f"Group {group} = {labels[g]} has {len(rows)} row; a law needs at least two.")
        samples.append(Sample(rows, None if w is None else w / w.sum(), c))
    rows = joint.rows
    return Groups(
        tuple(samples),
        labels,
        outcomes,
        group,
        rows.given,
        rows.used,
        {**rows.missing, **rows.transformed},
        rows.zero_weight,
    )


def _pooled(Y: Array, outcomes: tuple[str, ...]) -> Array:
    sd = Y.std(axis=0, ddof=1)
    for name, value in zip(outcomes, sd, strict=True):
        if not value > 0:
            raise OutcomeError(
                f"The outcome {name!r} has no variation, so it has no standard deviation to divide by."
            )
    return np.asarray(sd)


def _levels(column: pd.Series, group: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        codes, levels = column.cat.codes.to_numpy(), list(column.cat.categories)
    else:
        codes, found = pd.factorize(column, sort=True)
        levels = list(found)
    if len(levels) < 2:
        raise DataError(
            f"The group column {group!r} has the single value {levels[0]!r} among the rows used; two are "
            f"compared."
        )
    if len(levels) > 12:
        raise DataError(
            f"The group column {group!r} has {len(levels)} values; name at most 12 groups, or cut a "
            f"number into classes."
        )
    labels = tuple(f"{v:g}" if isinstance(v, (float, np.floating)) else str(v) for v in levels)
    return np.asarray(codes, dtype=np.intp), labels


def _clusters(
    design: Design, cluster: str, at: NDArray[np.intp], groups: NDArray[np.intp], labels: tuple[str, ...]
) -> Any:
    codes = design.codes([cluster], role="cluster")[0][at]
    pairs = np.unique(np.column_stack([codes, groups]), axis=0)
    if len(pairs) > len(np.unique(codes)):
        raise OptionError(f"Clusters of {cluster!r} lie in several groups; each must lie within one.")
    counts = np.bincount(pairs[:, 1])
    least, label = int(counts.min()), labels[int(counts.argmin())]
    if least < 2:
        raise OptionError(
            f"Group {label} has a single cluster of {cluster!r}; each group needs at least two."
        )
    if least < FEW_CLUSTERS:
        text = f"Group {label} has {least} clusters of {cluster!r}: errors rest on few numbers."
        hint = "the permutation test of de.WassersteinDistance, which holds with few clusters"
        warn_user(FewClustersWarning(text, column=cluster, hint=hint))
    return codes


class GroupResults(Estimated):
    """A comparison of groups with its ``model``, ``cluster`` and ``rows``, checked in samples of these rows.

    Examples
    --------
    >>> import disteconometrics as de
    >>> rng = np.random.default_rng(1)
    >>> d = {"y": np.concatenate([rng.normal(size=90), 2 + rng.normal(size=90)]), "g": np.repeat([0, 1], 90)}
    >>> check = de.WassersteinDistance("y ~ g", p=1, permutations=0).fit(d).monte_carlo(100, seed=1)
    >>> bool(check.table().loc["W1", "coverage"] > 0.85)
    True
    """

    model: Any
    cluster: str | None
    rows: Groups | None

    def monte_carlo(
        self, reps: int = 200, *, seed: Any = None, n_jobs: int | None = None, progress: bool | None = None
    ) -> SelfCheck:
        """Check the estimates by simulation with the sample as the population: bias, standard errors, coverage.

        Parameters
        ----------
        reps : int, samples of as many rows (or clusters), drawn with replacement and compared again.
        seed, n_jobs, progress : as in the ``monte_carlo`` of `Logit`'s results.

        Returns
        -------
        SelfCheck

        Raises
        ------
        NeedsData, OptionError, StudyError, WithheldError
        """
        if self.rows is None:
            raise NeedsData(
                "This result was loaded from a file, which holds no rows; fit again to check it by "
                "simulation."
            )
        of = _refitting(self.model, self.rows.samples, self.cluster)
        design = "pairs" if self.cluster is None else "cluster"
        return self_check(of, reps, seed=seed, design=design, law=None, n_jobs=n_jobs, progress=progress)


def _refitting(model: Any, samples: Sequence[Sample], cluster: str | None) -> Refitting:
    """The same comparison of a table made of the samples, whose own estimates are the truth."""
    names = [f"y{j}" for j in range(samples[0].rows.shape[1])]
    table: dict[str, Any] = dict(zip(names, np.concatenate([s.rows for s in samples]).T, strict=True))
    table["group"] = np.repeat(np.arange(len(samples)), [s.size for s in samples])
    given = {f.name: getattr(model, f.name) for f in fields(model)} | {"weights": None, "weight_type": None}
    given |= {name: value for name, value in (("permutations", 0), ("scale", None)) if name in given}
    if samples[0].mass is not None:
        table["weight"] = np.concatenate([s.weights for s in samples])
        given |= {"weights": "weight", "weight_type": "sampling"}
    options = {}
    if cluster is not None:
        first = np.cumsum([0, *(int(np.max(s.clusters)) + 1 for s in samples if s.clusters is not None)])
        table["cluster"] = np.concatenate(
            [s.clusters + k for s, k in zip(samples, first[:-1], strict=True) if s.clusters is not None]
        )
        options = {"cluster": "cluster"}
    estimator = type(model)(**{**given, "formula": f"{' + '.join(names)} ~ group"})
    truth = estimator.fit(table, **options).params.to_dict()
    clusters = ("cluster",) if cluster is not None else ()
    return Refitting(estimator, options, table, names[0], None, None, truth, clusters)
