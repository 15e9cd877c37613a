"""The optimal map between two groups: quantile treatment effects with uniform bands, and counterfactuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, as_floats
from disteconometrics.checks import check_index_set
from disteconometrics.errors import DataError, FileFormatError, OptionError, WithheldError
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.estimators.transport.groups import GroupFacts, Groups, read_groups, refit_groups
from disteconometrics.fields import AnyFloat, Count, Numbers, Rule, read_value
from disteconometrics.inference import two_samples as two
from disteconometrics.inference.estimates import Estimates, check_level, critical_value
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.quantile_bands import Ranks, difference_limits
from disteconometrics.report.summary import rows_dropped
from disteconometrics.tables import Section, Summary, number, p_value
from disteconometrics.threads import on_one_thread
from disteconometrics.transport import discrete

__all__ = ["TransportMap", "TransportMapResults"]

LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
NAMES = tuple(f"qte[{level:g}]" for level in LEVELS)
LEVEL = 0.95
SAVED = (0.9, LEVEL, 0.99)  # confidence levels that a file holds
Error = Annotated[AnyFloat, Rule("positive or NaN", lambda v: not v <= 0)]


@dataclass(frozen=True, kw_only=True)
class TransportMap(Specification):
    """The Wasserstein-optimal map from the law of an outcome in one group to that in another, T = F₁⁻¹(F₀).

    On the line T matches quantiles, and T(y) − y along them are the quantile treatment effects F₁⁻¹(τ) −
    F₀⁻¹(τ): effects on the law of the outcome.  They are effects on persons only under rank invariance, that
    a person keeps her rank.  Limits invert those of distribution functions, so that heaped values do no harm.
     The uniform band holds for all levels of ``index_set`` at once: where no value repeats, margins of both
     groups add up as squares (95 % bands covered .974 to .981 in samples of 200 to
    1,000; .965 to .986 with 80 to 15 clusters of ten a group and half of the variance between them, .983 to
    .997 with clusters that hold rows of both); where a repeated value is within
    reach, it joins the ends of both groups' bands and covers more (.994 and above).

    Parameters
    ----------
    formula : str
        ``"re78 ~ treat"``: a numeric outcome and a column of two groups, the first of which (in order) is the
        origin; ``"y1 + y2 ~ group"`` for outcomes taken jointly, whose map has no bands.
    index_set : pair of float in (0, 1)
        Levels between which the band is uniform.
    weights : str or None
        Name of a column of weights.
    weight_type : {"frequency", "sampling"} or None
        Whether a weight counts equal rows, or rows of the population that the row stands for.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), doi:10.1080/01621459.2019.1611581.  Firpo (2007),
    Efficient semiparametric estimation of quantile treatment effects, Econometrica 75,
    doi:10.1111/j.1468-0262.2007.00738.x.

    Examples
    --------
    >>> import disteconometrics as de
    >>> rng = np.random.default_rng(1)
    >>> y = np.concatenate([rng.normal(size=300), 1 + 2 * rng.normal(size=300)])
    >>> d = {"y": y, "g": np.repeat([0, 1], 300)}
    >>> res = de.TransportMap("y ~ g").fit(d)
    >>> res.params.round(1).to_dict()["qte[0.9]"], res.mean_difference.round(2).to_dict()["estimate"]
    (2.5, 1.13)
    """

    index_set: tuple[float, float] = (0.05, 0.95)
    weights: str | None = None
    weight_type: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the choices; the index set is kept as two numbers.

        Raises
        ------
        OptionError
        """
        check_columns(weights=self.weights, weight_type=self.weight_type)
        return {"index_set": check_index_set(self.index_set)}

    @on_one_thread
    def fit(self, data: Any, *, cluster: str | None = None) -> TransportMapResults:
        """Match the two groups of a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length; or a source that is read in parts
            (Parquet path, dataset, lazy or dask frame, `Parts`), of which beyond 1,000,000 rows histograms of
            100,000 bins are kept: how far effects may be from those of the rows is printed.
        cluster : str or None
            Name of a column of clusters: errors sum over them, critical values are those of t. Where some
            hold rows of both groups, margins are added with the correlation of both sums.

        Returns
        -------
        TransportMapResults

        Raises
        ------
        DataError, FormulaError, MissingColumnError, NeedsRows, OptionError, OutcomeError

        Warns
        -----
        MissingValuesWarning, FewClustersWarning
        """
        groups = read_groups(
            self.formula, data, weights=self.weights, weight_type=self.weight_type, cluster=cluster
        )
        if len(groups.samples) != 2:
            raise DataError(
                f"The group column {groups.group!r} has {len(groups.labels)} values; a map goes from one "
                f"group to another."
            )
        ranks = [Ranks(s) for s in groups.samples]
        effects = {}
        if len(groups.outcomes) == 1:
            effects = {level: _effects(ranks, np.array(LEVELS), level, self.index_set) for level in SAVED}
        return TransportMapResults(
            model=self,
            spec=None,
            facts=_facts(groups, any(len(r.heaps[0]) for r in ranks)),
            rows=groups,
            effects=effects,
            cluster=cluster,
        )


@dataclass(frozen=True, kw_only=True)
class MapFacts(GroupFacts):
    """Numbers of a fit that need no rows: of both groups sizes, labels and clusters (0 for none).

    ``differences`` has the difference of means of each outcome with its error, degrees of freedom and
    p-value, ``tied`` whether values repeat; ``width`` is how far effects may be from those of the rows, of
    which bins are kept.
    """

    sizes: tuple[Count, Count]
    labels: tuple[str, str]
    differences: tuple[tuple[float, Error, AnyFloat, AnyFloat], ...]
    tied: bool
    clusters: tuple[Count, Count]
    width: AnyFloat = 0.0


def _facts(groups: Groups, tied: bool) -> MapFacts:
    zero, one = groups.samples
    return MapFacts(
        **groups.facts(),
        sizes=(zero.size, one.size),
        labels=(groups.labels[0], groups.labels[1]),
        differences=tuple(
            two.mean_difference(*(replace(s, rows=s.rows[:, [j]]) for s in (one, zero)))
            for j in range(len(groups.outcomes))
        ),
        tied=tied,
        clusters=(_clusters(zero), _clusters(one)),
        width=float(
            np.sum([h.quantile_error(np.array(LEVELS)) for h in groups.histograms], axis=0).max(initial=0)
        ),
    )


def _clusters(sample: two.GroupSample) -> int:
    return 0 if sample.clusters is None else int(sample.clusters.max()) + 1


def _limits(
    sides: Sequence[tuple[Ranks, Array, Array]], levels: Array, level: float, over: tuple[float, float] | None
) -> tuple[Array, Array]:
    """Limits of the effects at ``levels``, for each or for all levels of a range ``over`` at once.

    Both ``sides`` have quantiles and errors of Fₙ (k,).  Margins add up as squares, or all ends are joined
    where a repeated value is near.  Its mass counts beside the limits themselves; those of single levels take
    95 % whatever is asked for, so that those of 99 % hold those of 95.
    """
    found, heaped = {}, np.zeros(len(levels), dtype=bool)
    both = np.sqrt(level) if sides[0][0].crossing is None else (1 + level) / 2  # of bands that may depend
    correlation = sides[1][0].correlation(sides[0][0], levels)
    for joint, share in ((False, level), (True, float(both))):
        limits = []
        for r, estimate, error in sides:
            half = (r.critical(share) if over is None else r.uniform_critical(*over, share)) * error
            low, high = r.limits(levels, half)
            heaped |= r.heaped(low, high, r.critical(LEVEL) * error if over is None else half)
            limits.append((estimate, low, high))
        found[joint] = difference_limits(limits[1], limits[0], joint=joint, correlation=correlation)
    low, high = (np.where(heaped, *ends) for ends in zip(found[True], found[False], strict=True))
    return low, high


def _effects(ranks: Sequence[Ranks], levels: Array, level: float, index_set: tuple[float, float]) -> Array:
    """Estimate, standard error, limits and uniform band (k, 6) of the quantile effects at ``levels``."""
    sides = [(r, r.quantile(levels), r.error(levels)) for r in ranks]
    low, high = _limits(sides, levels, level, None)
    bands = _limits(sides, levels, level, index_set)
    bands = np.minimum(bands[0], low), np.maximum(bands[1], high)  # a band for all levels holds for each
    outside = (levels < index_set[0]) | (levels > index_set[1])
    error = (high - low) / (2 * critical_value(level))
    return np.column_stack(
        [sides[1][1] - sides[0][1], error, low, high, *(np.where(outside, np.nan, end) for end in bands)]
    )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TransportMapResults(FittedResult):
    """Two groups matched: quantile effects with limits and uniform band, the map, counterfactual outcomes.

    ``effects`` has by confidence level estimate, error, limits and band (9, 6) of the effects in the table.

    Examples
    --------
    >>> import disteconometrics as de
    >>> d = {"y": [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0], "g": np.repeat([0, 1], 4)}
    >>> res = de.TransportMap("y ~ g").fit(d)
    >>> res.counterfactual().tolist(), res.map([2.5]).estimate.tolist()
    ([10.0, 20.0, 30.0, 40.0], [20.0])
    """

    model: TransportMap
    facts: MapFacts
    rows: Groups | None = field(default=None, repr=False)
    effects: dict[float, Array]
    cluster: str | None

    pictures: ClassVar[tuple[str, ...]] = ("transport_effects", "transport_map")
    kinds: ClassVar[dict[str, str]] = {"qte": "transport_effects", "map": "transport_map"}
    lost_rows: ClassVar[str] = (
        "This result was loaded from a file, which holds no rows; use attach(data) with the fit's table, "
        "also for levels that were not saved."
    )

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcomes, and the names of the effects."""
        return " + ".join(self.facts.outcomes), list(NAMES)

    def fit_again(self, data: Any) -> TransportMapResults:
        """The map on ``data``, with the same clusters."""
        return self.model.fit(data, cluster=self.cluster)

    def solution(self) -> Array:
        """The effects, and the differences of means, which joint outcomes have alone."""
        effects = self.effects[LEVEL][:, 0] if self.effects else np.empty(0)
        return np.concatenate([effects, *self.facts.differences])

    def _refitting(self) -> Refitting:
        self.data_rows().check_rows("a simulation of the map")
        return refit_groups(self.model, self.data_rows().samples)

    @cached_property
    def _ranks(self) -> list[Ranks]:
        return [Ranks(s) for s in self.data_rows().samples]

    def _effects(self, levels: Array, level: float) -> Array:
        return _effects(self._ranks, levels, level, self.model.index_set)

    def _table(self, level: float) -> Array:
        """The effects of the table at a confidence level, (9, 6)."""
        found = self.effects.get(level)
        return self._effects(np.array(LEVELS), level) if found is None else found

    def _check_single(self) -> None:
        if len(self.facts.outcomes) > 1:
            raise WithheldError(
                "Joint outcomes have no quantiles; use counterfactual(), or a map of each outcome."
            )

    @property
    def estimates(self) -> Estimates:
        """Quantile effects at levels .1 to .9; errors are half the width of their limits over z."""
        self._check_single()
        effects = self.effects[LEVEL]
        V = np.full((len(NAMES),) * 2, np.nan)
        V[np.diag_indices_from(V)] = np.square(effects[:, 1])
        return Estimates(NAMES, effects[:, 0], V, limits=lambda level: self._table(level)[:, 2:4])

    @property
    def mean_difference(self) -> pd.Series:
        """Difference of means (origin subtracted) with its error, Welch's degrees of freedom and p-value."""
        columns = ["estimate", "std_error", "df", "p_value"]
        return pd.Series(self.facts.differences[0], columns, dtype=np.float64, name=self.facts.outcomes[0])

    def qte(self, levels: Sequence[float] | float | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Quantile treatment effects.

        Parameters
        ----------
        levels : float or list of float in (0, 1), or None for .05, .10, …, .95 of the index set.
        level : float, of the limits and of the band.

        Returns
        -------
        pandas DataFrame
            By level: estimate, std_error, conf_low, conf_high (pointwise), band_low, band_high (uniform over
            the index set, NaN outside); infinite where the samples do not bound the quantile.

        Raises
        ------
        OptionError, NeedsData, WithheldError
        """
        self._check_single()
        level = check_level(level)
        chosen = _default_levels(self.model.index_set) if levels is None else np.atleast_1d(levels)
        numeric = chosen.dtype.kind in "fiu" and chosen.ndim == 1 and len(chosen) > 0
        if not numeric or not ((chosen > 0) & (chosen < 1)).all():
            raise OptionError(
                f"levels={levels!r}: give levels of quantiles between 0 and 1, such as [0.1, 0.5, 0.9]."
            )
        values = self._effects(chosen.astype(np.float64), level)
        columns = ["estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high"]
        return pd.DataFrame(values, index=pd.Index(chosen, name="level"), columns=columns)

    def map(self, y: Any = None, *, level: float = 0.95) -> pd.DataFrame:
        """The map T at outcomes of the origin, with a band that is uniform over quantiles in the index set.

        Parameters
        ----------
        y : float, list or array (k,), or None for the distinct outcomes of the origin within the index set.
        level : float, of the band.

        Returns
        -------
        pandas DataFrame
            y, estimate, band_low, band_high; NaN bands where F₀(y) is outside the index set.

        Raises
        ------
        OptionError, NeedsData, WithheldError
        """
        self._check_single()
        level = check_level(level)
        zero, one = self._ranks
        low, high = self.model.index_set
        if y is None:
            at = np.unique(zero.ordered)
            share = zero.share(at)
            at = at[(share >= low) & (share <= high)]
        else:
            at = np.atleast_1d(as_floats(y))
            if at.ndim != 1 or isinstance(y, bool) or not np.isfinite(at).all():
                raise OptionError(f"y={y!r}: give finite outcomes (k,).")
        F = zero.share(at)
        estimate = one.quantile(F)
        c0, c1 = (r.uniform_critical(low, high, float(np.sqrt(level))) for r in (zero, one))
        n = zero.rows_worth(F)  # score limits of F: the roots of (Fₙ − F)² = c²·F(1 − F)/n
        middle, half = (F + c0**2 / (2 * n)), c0 * np.sqrt(F * (1 - F) / n + c0**2 / (4 * n**2))
        F_low, F_high = (middle - half) / (1 + c0**2 / n), (middle + half) / (1 + c0**2 / n)
        (band_low, _), (_, band_high) = (
            one.limits(f, c1 * one.error(f)) for f in np.clip([F_low, F_high], 0, 1)
        )
        outside = np.clip(F, low, high) != F
        bands = {
            "band_low": np.where(outside, np.nan, band_low),
            "band_high": np.where(outside, np.nan, band_high),
        }
        return pd.DataFrame({"y": at, "estimate": np.where(F > 0, estimate, one.ordered[0]), **bands})

    def counterfactual(self) -> pd.DataFrame | pd.Series:
        """Outcomes of the origin's rows moved to the other group's law, in the order of the rows.

        They are what these rows would have had if everyone kept her rank (rank invariance), which the data
        cannot show.  Joint outcomes are moved by the exact plan, averaged where it splits a row.

        Returns
        -------
        pandas Series (n,) of one outcome, DataFrame (n, d) of joint ones.

        Raises
        ------
        NeedsData, NeedsRows, OptionError
        """
        groups = self.data_rows()
        groups.check_rows("a counterfactual of every row")
        zero, one = groups.samples
        if zero.rows.shape[1] > 1:
            return pd.DataFrame(
                discrete.wasserstein(zero.rows, one.rows, 2).map, columns=list(groups.outcomes)
            )
        moved = two.transport(zero, one, 2).map
        return pd.Series(moved, name=groups.outcomes[0])

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level = check_level(level)
        f = self.facts
        (zero, one), (n, m), alone = f.labels, f.sizes, len(f.outcomes) == 1
        left = (
            ("Outcome", ", ".join(f.outcomes)),
            ("Formula", self.model.formula),
            ("Map", "quantiles matched" if alone else "exact plan"),
        )
        right = (
            ("Observations", f"{f.observations:.0f} ({f.given - f.rows} dropped)"),
            ("From", f"{f.group} = {zero} ({n})"),
            ("To", f"{f.group} = {one} ({m})"),
        )
        sections: tuple[Section, ...] = (_means_section(f),)
        notes = rows_dropped(f)
        if alone:
            sections = (_effects_section(self._table(level), level), *sections)
            notes = (*_effects_notes(f, self.model.index_set, self.cluster), *notes)
        return Summary("Transport Map, two groups", (left, right), sections, notes)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification and clusters; effects by confidence level as arrays."""
        effects = {f"effects{level:g}": a for level, a in self.effects.items()}
        return {"estimator": asdict(self.model), "cluster": self.cluster}, effects

    @classmethod
    def from_file(cls, saved: SavedResult) -> TransportMapResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        table = {f"effects{level:g}": Numbers(f"{len(LEVELS)} 6", "any", optional=True) for level in SAVED}
        arrays = saved.numbers(table)
        effects = {level: arrays[name] for level, name in zip(SAVED, table, strict=True) if name in arrays}
        facts = MapFacts.from_dict({"observations": sum(_sizes(header.facts))} | header.facts)
        if len(facts.outcomes) != len(facts.differences) or (len(facts.outcomes) == 1) != (LEVEL in effects):
            raise FileFormatError("the differences and effects are not those of its outcomes")
        return cls(
            model=saved.model(header.estimator),
            spec=None,
            facts=facts,
            effects=effects,
            cluster=header.cluster,
        )


@dataclass(frozen=True)
class _Header:
    """The header of a file; 0.1.0 did not write the observations."""

    facts: dict[str, Any]
    estimator: dict[str, Any]
    cluster: str | None


def _sizes(facts: dict[str, Any]) -> tuple[int, int]:
    sizes: tuple[int, int] = read_value(tuple[Count, Count], facts.get("sizes"), "sizes")
    return sizes


def _default_levels(index_set: tuple[float, float]) -> Array:
    """.05, .10, …, .95 as far as they lie in the index set."""
    low, high = index_set
    grid = np.round(np.arange(0.05, 0.951, 0.05), 2)
    return grid[(grid >= low - 1e-12) & (grid <= high + 1e-12)]


# ---- summary -----------------------------------------------------------------------------------------------


def _effects_section(effects: Array, level: float) -> Section:
    columns = ("estimate", "std_error", f"[{100 * level:g}% conf.", "interval]", "[uniform", "band]")
    cells = tuple(tuple(map(number, row)) for row in effects)
    return Section(columns, NAMES, cells, "Quantile treatment effects")


def _effects_notes(f: MapFacts, index_set: tuple[float, float], cluster: str | None) -> list[str]:
    low, high = index_set
    heaped = "; where values repeat it joins the ends of both groups' bands" if f.tied else ""
    notes = [f"The band holds for all levels from {low:g} to {high:g} at once{heaped}."]
    if cluster:
        hold = ", some of which hold rows of both" if f.crossed else ""
        notes.append(f"Errors sum over clusters of {cluster} ({f.clusters[0]} and {f.clusters[1]}{hold}).")
    if f.readings:
        within = f"; effects of its bins are within {f.width:.1g} of those of its rows" if f.width else ""
        notes.append(f"The source was read {'once' if f.readings == 1 else f'{f.readings} times'}{within}.")
    return [*notes, "Effects are on the law of the outcome; on persons only if everyone keeps her rank."]


def _means_section(f: MapFacts) -> Section:
    cells = tuple(
        (number(mean), number(error), f"{mean / error:.3f}", f"{df:.1f}", p_value(p))
        for mean, error, df, p in f.differences
    )
    columns, title = ("estimate", "std_error", "t", "df", "p"), "Difference of means (unequal variances)"
    return Section(columns, f.outcomes, cells, title)
