"""A fitted flow without its rows: the transformation, coefficients with covariance, laws, gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.support import Support
from disteconometrics.errors import FileFormatError
from disteconometrics.estimators.flow.spline_fit import Fitted
from disteconometrics.estimators.flow.spline_sample import Centre
from disteconometrics.fields import AnyFloat, Count, Numbers, Positive, Rule
from disteconometrics.flows.monotone_spline import STRUCTURES
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.splines import SlopeBasis
from disteconometrics.likelihoods.structure import KINDS, SMOOTH, Covariate, Structure, Term

__all__ = ["FlowHeader", "Solution", "SplineFlow"]

LEAST_KNOTS = 4
StructureName = Annotated[str, Rule("a structure", lambda v: v in STRUCTURES)]
BaseName = Annotated[str, Rule("a base law", lambda v: v in BASES)]
TermKind = Annotated[str, Rule("a kind of term", lambda v: v in KINDS)]


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients θ (p,) with covariance (p, p), which may be ``known`` or is computed when it is asked for.

    ``root`` (p, p) is R⁻¹ with R'R the penalised information ``penalty`` (p, p) is Σ λS and
    ``effective`` the effective parameters: what another covariance needs.
    """

    theta: Array
    known: Array | Callable[[], Array]
    root: Array
    penalty: Array
    effective: float

    @cached_property
    def covariance(self) -> Array:
        """The covariance (p, p) of θ."""
        return self.known() if callable(self.known) else self.known


@dataclass(frozen=True, eq=False)
class SplineFlow:
    """y → u (support) → r = (u − location(x))/scale → z = h(r | x), a draw of the base law."""

    support: Support
    centre: Centre
    name: str
    structure: Structure
    base: str

    @classmethod
    def of(cls, fitted: Fitted, support: Support) -> SplineFlow:
        """The flow of a fit."""
        return cls(support, fitted.centre, fitted.name, fitted.structure, fitted.base)

    def law(self, theta: Array, X: Array, *, single: bool = False) -> SplineLaw:
        """The laws of rows with covariates X (n, K)."""
        intercept, slopes = self.structure.coefficients(theta, X)
        location = self.centre.location(X)
        knots = self.structure.basis.knots
        return SplineLaw(
            knots, intercept, slopes, location, self.centre.scale, self.base, self.support, single
        )

    def any_law(self, theta: Array) -> SplineLaw:
        """The law of one row, whichever: for what it can do, not for its values."""
        return self.law(theta, np.zeros((1, len(self.centre.means))))

    def forms(self, y: Array | float, X: Array) -> tuple[Array, Array, Array]:
        """A(y, x) and D(y, x) (n, p), and log of dr/dy (n,): z = Aθ, ∂z/∂r = Dθ."""
        y = np.broadcast_to(y, len(X))
        r = (self.support.to_line(y) - self.centre.location(X)) / self.centre.scale
        return *self.structure.arrays(r, X), self.support.log_slope(y) - np.log(self.centre.scale)

    def outside(self, X: Array) -> Mask:
        """Which covariates (n, K) lie outside the box of the fit, beyond rounding."""
        if not self.structure.covariates:
            return np.zeros(X.shape, dtype=bool)
        low, high = np.array([c.seen for c in self.structure.covariates]).T
        slack = 1e-9 * (high - low)
        return np.asarray((low - slack > X) | (high + slack < X))

    def bent(self, X: Array, names: Sequence[str], columns: Sequence[int]) -> Array:
        """What the structure makes of some columns of a design (n, k): themselves, and what bends of them."""
        place: dict[int, int] = {}
        smooth = {t.covariate for t in self.structure.terms if t.kind == "shift"}
        for j, name in enumerate(names):
            if name != "Intercept":
                place[j] = len(place)
        parts = [np.zeros((len(X), 0))]
        for j in columns:
            if j in place:
                parts.append(X[:, [j]])
                if place[j] in smooth:
                    parts.append(self.structure.covariates[place[j]].smooth(X[:, j]))
        return np.concatenate(parts, axis=1)

    def free(self, names: Sequence[str]) -> frozenset[int]:
        """The columns of a design by which the law moves in other ways than a line and a spread."""
        columns = [j for j, name in enumerate(names) if name != "Intercept"]
        terms = self.structure.terms
        return frozenset(columns[t.covariate] for t in terms if t.kind not in ("baseline", "linear", "scale"))

    # ---- files ---------------------------------------------------------------------------------------------

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """JSON and arrays that `from_parts` reads."""
        st = self.structure
        header = {
            "support": [self.support.low, self.support.high],
            "origin": self.centre.origin,
            "scale": self.centre.scale,
            "within": None if self.centre.is_straight else list(self.centre.within),
            "name": self.name,
            "base": self.base,
            "affine": st.affine,
            "coarse": list(st.coarse),
            "terms": [[t.kind, t.covariate] for t in st.terms],
            "groups": [list(g) for g, _ in st.groups],
            "covariates": [[c.mean, c.sd, c.low, c.high, *c.seen] for c in st.covariates],
        }
        arrays = {"knots": st.basis.knots, "means": self.centre.means, "beta": self.centre.beta}
        for j, c in enumerate(st.covariates):
            if c.knots is not None and c.centre is not None:
                arrays |= {f"x{j}_knots": c.knots, f"x{j}_centre": c.centre}
        arrays |= {f"g{i}_patterns": patterns for i, (_, patterns) in enumerate(st.groups)}
        return header, arrays

    @classmethod
    def from_parts(cls, header: FlowHeader, arrays: dict[str, Array]) -> SplineFlow:
        """Rebuild a flow of arrays that were checked by `file_arrays`.

        Raises
        ------
        FileFormatError
            If its parts do not belong together.
        """
        covariates = []
        for j, (mean, sd, low, high, least, most) in enumerate(header.covariates):
            knots, middle = arrays.get(f"flow_x{j}_knots"), arrays.get(f"flow_x{j}_centre")
            covariates.append(Covariate(mean, sd, low, high, (least, most), knots, middle))
        structure = Structure(
            SlopeBasis(arrays["flow_knots"]),
            header.coarse,
            tuple(covariates),
            tuple((g, arrays[f"flow_g{i}_patterns"]) for i, g in enumerate(header.groups)),
            tuple(Term(kind, j) for kind, j in header.terms),
            header.affine,
        )
        support, line = Support(*header.support), (arrays["flow_means"], arrays["flow_beta"])
        own = () if header.within is None else (support, header.within)
        centre = Centre(header.origin, *line, header.scale, *own)
        flow = cls(support, centre, header.name, structure, header.base)
        if not _is_sound(flow):
            raise FileFormatError("the flow's knots, terms or covariates do not belong together")
        return flow


@dataclass(frozen=True)
class FlowHeader:
    """What a file says of a flow beside its arrays."""

    support: tuple[AnyFloat, AnyFloat]
    origin: float
    scale: Positive
    name: StructureName
    base: BaseName
    affine: bool
    coarse: tuple[Count, ...]
    terms: tuple[tuple[TermKind, int], ...]
    groups: tuple[tuple[Count, ...], ...]
    covariates: tuple[tuple[float, Positive, float, float, float, float], ...]
    within: tuple[AnyFloat, AnyFloat] | None = None

    def arrays(self) -> dict[str, Numbers]:
        """What the arrays of the flow are, for ``K`` covariates."""
        table = {"flow_knots": Numbers("J", "increasing"), "flow_means": Numbers("K")}
        table["flow_beta"] = Numbers("K")
        bent = {j for kind, j in self.terms if kind in SMOOTH}
        for j in range(len(self.covariates)):
            optional = j not in bent
            table[f"flow_x{j}_knots"] = Numbers(f"x{j}", "increasing", optional)
            table[f"flow_x{j}_centre"] = Numbers(f"c{j}", optional=optional)
        for i, group in enumerate(self.groups):
            table[f"flow_g{i}_patterns"] = Numbers(f"v{i} {len(group)}")
        return table


def _is_sound(flow: SplineFlow) -> bool:
    """Whether the parts of a file belong together."""
    structure = flow.structure
    count, knots, coarse = len(structure.covariates), len(structure.basis.knots), structure.coarse
    first, *others = structure.terms or (None,)
    return all(
        (
            flow.support.low < flow.support.high,
            flow.support.low <= flow.centre.within[0] < flow.centre.within[1] <= flow.support.high
            or flow.centre.is_straight,
            knots >= LEAST_KNOTS,
            first == Term("baseline"),
            all(t.kind != "baseline" and t.covariate in range(count) for t in others),
            (coarse[:1], coarse[-1:]) == ((0,), (knots - 1,)),
            all(a < b for a, b in pairwise(coarse)),
            all(j < count for columns, _ in structure.groups for j in columns),
            all(map(_is_sound_covariate, structure.covariates)),
        )
    )


def _is_sound_covariate(c: Covariate) -> bool:
    bends = c.knots is not None and c.centre is not None
    fits = not bends or (len(c.knots) > 1 and len(c.centre) == len(c.knots) - 1)  # type: ignore[arg-type]
    return c.low <= c.high and c.seen[0] <= c.seen[1] and fits
