"""A fitted flow without its rows: the transformation, coefficients with covariance, laws, gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.support import Support
from disteconometrics.errors import FileFormatError
from disteconometrics.estimators.flow.spline_fit import Fitted
from disteconometrics.estimators.flow.spline_sample import Centre
from disteconometrics.flows.monotone_spline import STRUCTURES
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.splines import SlopeBasis
from disteconometrics.likelihoods.structure import KINDS, Covariate, Structure, Term

__all__ = ["Solution", "SplineFlow"]


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients θ (p,) with covariance (p, p).

    ``root`` (p, p) is R⁻¹ with R'R the penalised information ``penalty`` (p, p) is Σ λS and
    ``effective`` the effective parameters: what another covariance needs.
    """

    theta: Array
    covariance: Array
    root: Array
    penalty: Array
    effective: float


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

    # ---- files ---------------------------------------------------------------------------------------------

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """JSON and arrays that `from_parts` reads."""
        st = self.structure
        header = {
            "support": [self.support.low, self.support.high],
            "origin": self.centre.origin,
            "scale": self.centre.scale,
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
    def from_parts(cls, d: dict[str, Any], arrays: dict[str, Array]) -> SplineFlow:
        """Rebuild a flow.

        Raises
        ------
        FileFormatError
            If a part is missing or of another kind.
        """
        try:
            flow = _rebuilt(d, arrays)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FileFormatError(
                f"the flow has a field that is missing or of another type ({error})"
            ) from None
        if not _is_sound(flow):
            raise FileFormatError("the flow's knots, terms or base are not valid")
        return flow


def _rebuilt(d: dict[str, Any], arrays: dict[str, Array]) -> SplineFlow:
    low, high = d["support"]
    covariates = []
    for j, numbers in enumerate(d["covariates"]):
        mean, sd, low_edge, high_edge, least, most = map(float, numbers)
        knots, middle = arrays.get(f"x{j}_knots"), arrays.get(f"x{j}_centre")
        covariates.append(Covariate(mean, sd, low_edge, high_edge, (least, most), knots, middle))
    structure = Structure(
        SlopeBasis(arrays["knots"]),
        tuple(map(int, d["coarse"])),
        tuple(covariates),
        tuple((tuple(map(int, g)), arrays[f"g{i}_patterns"]) for i, g in enumerate(d["groups"])),
        tuple(Term(str(kind), int(j)) for kind, j in d["terms"]),
        bool(d["affine"]),
    )
    centre = Centre(float(d["origin"]), arrays["means"], arrays["beta"], float(d["scale"]))
    return SplineFlow(Support(float(low), float(high)), centre, str(d["name"]), structure, str(d["base"]))


def _is_sound(flow: SplineFlow) -> bool:
    """Whether the parts of a file belong together."""
    structure, centre = flow.structure, flow.centre
    terms, knots, count = structure.terms, structure.basis.knots, len(structure.covariates)
    known = all(t.kind in KINDS and t.covariate in range(-1, count) for t in terms)
    increasing = knots.ndim == 1 and bool((np.diff(knots) > 0).all())
    return (
        flow.base in BASES
        and flow.name in STRUCTURES
        and known
        and [t.kind for t in terms[:1]] == ["baseline"]
        and increasing
        and centre.means.shape == centre.beta.shape == (count,)
    )
