"""What a decomposition answers: parts of functionals, quantile functions, tests, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import FileFormatError, NeedsData, OptionError
from disteconometrics.estimators.crossing import COLUMNS, warn_at_mass
from disteconometrics.estimators.decomposition.groups import (
    CROSSED,
    DecompositionFacts,
    DecompositionRows,
    reference_of,
)
from disteconometrics.estimators.results import FilePart, FittedResult, SavedResult
from disteconometrics.fields import Count, Numbers, SavedSeed
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.inference.decomposition import PARTS, check_levels, curves, design_of, names_of
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.held import ALL, all_held
from disteconometrics.inference.protocols import Refitting
from disteconometrics.report.summary import estimates_section, rows_dropped
from disteconometrics.tables import Section, Summary, number, p_value, printable

__all__ = ["DecompositionResults"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DecompositionResults(FittedResult):
    """A difference between two groups split into composition and structure.

    ``estimates`` has total, composition and structure of every functional, with one covariance; `quantiles`
    the same along the quantiles, with bands; ``values`` (laws, functionals) what they are differences of.

    Examples
    --------
    >>> import disteconometrics as de
    >>> d = de.datasets.engel()
    >>> d["half"] = d.index % 2
    >>> res = de.decompose(de.NormalRegression("foodexp ~ income"), d, by="half", functionals="mean")
    >>> res.facts.reference, res.swap().facts.reference
    ('0', '1')
    >>> gap = res.params["mean: composition"] + res.params["mean: structure"] - res.params["mean: total"]
    >>> bool(abs(gap) < 1e-10)
    True
    """

    facts: DecompositionFacts
    rows: DecompositionRows | None = field(default=None, repr=False)
    fits: tuple[Any, ...]
    values: Array
    covariance: Array
    levels: Array
    curves: Array  # (parts and laws, levels, five columns)
    level: float
    kind: CovarianceKind | None
    draws: int
    seed: Any

    pictures: ClassVar[tuple[str, ...]] = ("decomposition",)
    kinds: ClassVar[dict[str, str]] = {"quantiles": "decomposition"}

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the names of the parts."""
        return self.spec.outcome.name, names_of(self.facts.functionals)

    @property
    def estimates(self) -> Estimates:
        """Total, composition and structure of every functional."""
        contrasts = design_of(self._reference).contrasts
        f = self.facts
        found = (contrasts @ self.values).T.ravel()
        return Estimates(names_of(f.functionals), found, self.covariance, f.df, clusters=f.clusters)

    @property
    def _reference(self) -> int | None:
        f = self.facts
        return f.labels.index(f.reference) if f.reference in f.labels else None

    def solution(self) -> Array:
        """The functionals of all laws."""
        return self.values.ravel()

    def fit_again(self, data: Any) -> DecompositionResults:
        """The decomposition on ``data``, by which `attach` knows the rows again."""
        kind: CovarianceKind = "HC1" if self.kind is None else self.kind
        options: dict[str, Any] = {"levels": self.levels, "level": self.level, "draws": self.draws}
        seed = self.seed if isinstance(self.seed, int) else None
        return self.model.fit(data, cov=kind, seed=seed, **options)  # type: ignore[no-any-return]

    def with_rows(self, again: DecompositionResults) -> DecompositionResults:
        """This result with the rows of an equal one."""
        return replace(self, rows=again.rows, fits=again.fits)

    def swap(self, reference: Any = None) -> DecompositionResults:
        """The same difference with the other group as the reference; no group is fitted again.

        Parameters
        ----------
        reference : a value of the groups, None for the one that is not the reference now.

        Raises
        ------
        NeedsData, OptionError
        """
        rows: DecompositionRows = self.data_rows()
        if self.kind is None:
            raise NeedsData("A saved result does not name its clusters; call de.decompose again.")
        if reference is None:
            reference = rows.groups.values[0 if self._reference == 1 else 1]
        model = replace(_plain(self.model), reference=reference)
        if reference_of(model, rows.groups) is None and len(rows.fits) < 3:
            raise OptionError(
                "A pooled reference needs a fit of its own: de.decompose(…, reference='pooled')."
            )
        found: DecompositionResults = model.of_rows(rows, self.levels, self.level, self.draws, self.seed)
        return found

    def quantiles(self, levels: Any = None, *, level: float | None = None) -> pd.DataFrame:
        """Total, composition, structure and the laws along the quantiles, with limits and bands.

        Quantile functions of laws of steps (distribution regression) have limits of F inverted; their
        differences take the spread of draws where the outcome is continuous, and lie between the extremes of
        inverted bands that hold together where its values are heaped.  A band holds for all levels.

        Parameters
        ----------
        levels : float or sequence of float in (0, 1), or None
            None are those of the fit, others need the rows.
        level : float or None, confidence level; None is that of the fit, others need the rows.

        Returns
        -------
        pandas DataFrame
            estimate, conf_low, conf_high, band_low, band_high by (what, level).

        Raises
        ------
        NeedsData, OptionError

        Warns
        -----
        AtMassWarning
            If levels are at a mass or near its ends: they have no limits.
        """
        if not np.isfinite(self.curves[..., 0]).any():
            raise OptionError("An outcome of two values has no quantiles to decompose.")
        table, tau = self.curves, self.levels if levels is None else check_levels(levels)
        asked = self.level if level is None else check_level(level)
        if asked != self.level or not np.array_equal(tau, self.levels):
            rows: DecompositionRows = self.data_rows()
            design = design_of(self._reference)
            laws = rows.crossing(design.pairs, self.draws, self.seed).laws()
            table = curves(laws, design.contrasts, tau, asked)
        warn_at_mass(self.spec, tau, table)
        what = [*PARTS, *self.facts.laws]
        index = pd.MultiIndex.from_product([what, tau], names=["what", "level"])
        return pd.DataFrame(table.reshape(-1, len(COLUMNS)), columns=list(COLUMNS), index=index)

    def tests(self) -> pd.DataFrame:
        """Tests that a part has no effect on F at any outcome between the outermost levels, or of one sign.

        Returns
        -------
        pandas DataFrame
            KS (largest |t|) and CvM (mean t²) with p-values from draws, and W1, by part; first-order
            stochastic dominance: p-values that the part lowers no quantile (``p_never_lowers``), and that it
            raises none (``p_never_raises``), by the largest t of that sign (Barrett, Donald 2003).
        """
        names = ["KS", "p_KS", "CvM", "p_CvM", "p_never_lowers", "p_never_raises"]
        found = np.array(self.facts.tests).reshape(-1, len(names))
        found = found if len(found) else np.full((len(PARTS), len(names)), np.nan)
        frame = pd.DataFrame(found, columns=names, index=list(PARTS))
        return frame.assign(W1=list(self.facts.w1))

    def laws(self) -> pd.DataFrame:
        """The functionals of every law, (laws, functionals)."""
        return pd.DataFrame(self.values, index=list(self.facts.laws), columns=list(self.facts.functionals))

    def _refitting(self) -> Refitting:
        raise OptionError(
            "A decomposition rests on two fits and two sets of rows: study it by "
            "de.MonteCarlo(dgp, {'name': res.model}), or either group by res.fits[0].monte_carlo()."
        )

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f = check_level(level), self.facts
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.model.formula),
            ("Estimator", type(self.model.estimator).__name__),
            ("Covariance", self._covariance_name),
        )
        right = (
            ("Difference", f"{f.group}: {f.labels[1]} - {f.labels[0]}"),
            ("Reference", f.reference),
            (f"Rows, {f.labels[0]}", str(f.sizes[0])),
            (f"Rows, {f.labels[1]}", str(f.sizes[1])),
        )
        sections = [estimates_section(self.estimates, level, "Parts of the difference")]
        if f.tests:
            sections.append(self._tests_section())
        sections.append(self._laws_section())
        return Summary("Decomposition Results", (left, right), tuple(sections), tuple(self._notes()))

    @property
    def _covariance_name(self) -> str:
        if self.facts.clusters is not None:
            return f"clusters ({self.facts.clusters})"
        return self.facts.design or str(self.kind)

    def _tests_section(self) -> Section:
        cells = [
            (number(r["KS"]), p_value(r["p_KS"]), number(r["CvM"]), p_value(r["p_CvM"]), number(r["W1"]))
            for r in self.tests().to_dict("records")
        ]
        heading = f"No effect on F, levels {self.levels.min():g} to {self.levels.max():g}; W1"
        return Section(("max |t|", "p", "mean t²", "p", "W1"), PARTS, tuple(cells), heading)

    def _laws_section(self) -> Section:
        cells = tuple(tuple(map(number, row)) for row in self.values.T)
        names = tuple(f"F{i + 1}" for i in range(len(self.facts.laws)))
        return Section(names, self.facts.functionals, cells, "Functionals of the laws")

    def _notes(self) -> list[str]:
        f = self.facts
        reference = "all rows" if f.reference not in f.labels else f"{f.group} = {f.reference}"
        told = "; ".join(f"F{i + 1}: {name}" for i, name in enumerate(f.laws))
        notes = [
            f"{told}.",
            f"Composition: other covariates under the coefficients of {reference}; structure: the rest.",
            "W1 is a distance, so that its parts do not add up.",
            f"Overlap: {100 * f.beyond[0]:.1f} % of the rows of {f.labels[0]} have a covariate outside its "
            f"range in {f.labels[1]}, {100 * f.beyond[1]:.1f} % the other way.",
        ]
        if f.steps:
            weights = "exponential" if f.design is None else "the design's"
            notes.append(
                f"Errors, bands and tests: {self.draws} draws of {weights} weights, seed {self.seed}."
            )
        held = all_held([getattr(fit, "held", ALL) for fit in self.fits])
        if not held.all:
            notes.append(
                f"Nothing is told of where outcomes {held.beyond} lie: F is compared between what is told, "
                "the rest (nan) is withheld."
            )
        elif np.isnan(self.values).any():
            notes.append("nan: withheld, as the fitted tail decides it and not the sample.")
        if f.steps and f.heaped:
            notes.append("The outcome is heaped: errors of quantiles are withheld, see quantiles().")
        return notes + list(rows_dropped(f))

    def __repr__(self) -> str:
        f = self.facts
        return printable(
            f"<Decomposition of {self.spec.outcome.name} by {f.group}: {f.labels[1]} - {f.labels[0]}, "
            f"reference {f.reference}, n = {self.nobs:g}>"
        )

    @property
    def file_kind(self) -> str:
        """The kind of its files."""
        return "Decomposition"

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Both fits as in files of their own, and the decomposition."""
        parts, arrays = [], dict[str, Array]()
        for i, fit in enumerate(self.fits):
            words, own = fit.as_part(f"part{i}_")
            parts.append(words)
            arrays |= own
        arrays |= {"values": self.values, "covariance": self.covariance, "levels": self.levels}
        arrays["table"] = self.curves.reshape(-1, len(COLUMNS))
        named = all(isinstance(f, str) for f in self.model.functionals)
        if not named:
            raise OptionError("Functions of a law cannot be written to a file; name the functionals.")
        own_words = {
            "by": self.model.by,
            "chosen": None if self.model.reference is None else self.facts.reference,
            "parts": parts,
            "kind": self.kind if isinstance(self.kind, str) else None,
            "level": self.level,
            "draws": self.draws,
            "seed": self.seed,
        }
        return own_words, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> DecompositionResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        f = header.facts
        lacks = "has no law that is averaged over other rows"
        fits = tuple(saved.part(p, f"part{i}_", CROSSED, lacks) for i, p in enumerate(header.parts))
        c, q = len(f.laws), len(f.functionals)
        arrays = saved.numbers(_ARRAYS, c=c, q=q, r=len(PARTS) * q)
        m = len(arrays["levels"])
        pooled = f.reference not in f.labels
        if len(fits) != (3 if pooled else 2) or c != (4 if pooled else 3):
            raise FileFormatError("the fits are not those of the groups")
        if len(f.tests) not in (0, len(PARTS)) or len(arrays["table"]) != (len(PARTS) + c) * m:
            raise FileFormatError("the curves are not those of the parts")
        words: dict[str, Any] = {"functionals": f.functionals, "reference": header.chosen}
        model = saved.specification(estimator=_plain(fits[0].model), by=header.by, **words)
        return cls(
            model=model,
            spec=fits[0].spec,
            facts=f,
            fits=fits,
            values=arrays["values"],
            covariance=arrays["covariance"],
            levels=arrays["levels"],
            curves=arrays["table"].reshape(len(PARTS) + c, m, len(COLUMNS)),
            level=header.level,
            kind=header.kind,
            draws=header.draws,
            seed=header.seed,
        )


def _plain(model: Any) -> Any:
    """A specification without the names that statsmodels' tables read off it."""
    return replace(model)


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    spec: DesignSpec
    facts: DecompositionFacts
    by: str
    chosen: str | None
    parts: tuple[FilePart, ...]
    kind: Literal["HC0", "HC1", "HC2", "HC3"] | None
    level: float
    draws: Count
    seed: SavedSeed


_ARRAYS = {
    "values": Numbers("c q", "any"),
    "covariance": Numbers("r r", "a covariance"),
    "levels": Numbers("m"),
    "table": Numbers("t 5", "any"),
}
