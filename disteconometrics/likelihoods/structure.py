"""The terms of a conditional monotone transformation, as arrays.

With a standardised residual r of y and covariates x,

    h(r | x) = h0(r) + Σ_k b_k x_k + Σ_k s_k(x_k) + Σ_k x_k·(c_k r + g_k(r)) + Σ_k S_k(x_k)·(q_k r + t_k(r)),

where h0 is increasing (baseline), s_k bends the shift, c_k and q_k move the scale and g_k and t_k the shape.
All are linear in their coefficients θ.  The slope ∂h/∂r = Σ_j B_j(r)·[C0_j + Σ_f u_f(x) W_fj] has one
coefficient per B-spline and features u_f(x), so it is positive for every x of the box of the covariates if
every bracket is.  The smallest bracket over the box separates by group of columns: a smooth function of a
column is bounded by its own B-spline coefficients, a factor by its levels.  Outside the box the features keep
the value of its edge; the linear shift goes on.

References
----------
Spady, Stouli (2020), Gaussian transforms modeling and the estimation of distributional regression functions,
arXiv:2011.06416. Hothorn, Kneib, Bühlmann (2014), Conditional transformation models, JRSS B 76,
doi:10.1111/rssb.12017.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.splines import SlopeBasis, b_splines, difference

__all__ = ["KINDS", "SMOOTH", "Covariate", "Penalty", "Structure", "Term", "smooth_covariate"]


KINDS = ("baseline", "linear", "shift", "scale", "shape", "scale_smooth", "shape_smooth")
SHIFTS, SLOPES = KINDS[1:3], KINDS[3:]  # the latter reach ∂h/∂r
SMOOTH = ("shift", "scale_smooth", "shape_smooth")  # those that bend in x
FACTORED = ("scale", "shape")  # those whose levels are exchangeable: one block of a factor
POOLED = 6  # levels from which on they are; the spread of fewer effects is hardly told from them
MOST_PATTERNS = 50  # of the columns of one formula term, beyond which they are bounded column by column


class Penalty(NamedTuple):
    """½ λ θ'Sθ on the coefficients ``at``.

    ``S`` (m, m) and its eigenvalues (m,) in a basis common to the penalties there.
    """

    name: str
    at: slice
    S: Array
    spectrum: Array


def _penalty(name: str, at: slice, S: Array, null: int = 0) -> Penalty:
    """A penalty alone on its coefficients; ``null`` of its eigenvalues are zero."""
    values = np.linalg.eigvalsh(S)
    return Penalty(name, at, S, np.concatenate([np.zeros(null), values[null:]]))


@dataclass(frozen=True)
class Term:
    """A term: one of `KINDS`, and the position of its covariate's design column, −1 for the baseline."""

    kind: str
    covariate: int = -1


Part: TypeAlias = "list[tuple[str, slice, Array]]"


@dataclass(frozen=True, eq=False)
class Covariate:
    """A design column: its moments, and knots if it may bend.

    Scale and shape move with it between ``low`` and ``high``.  ``seen`` are its smallest and largest value;
    ``centre`` are the means of the smooth features over the rows of the fit, by which each is centred.
    """

    mean: float
    sd: float
    low: float
    high: float
    seen: tuple[float, float]
    knots: Array | None = None
    centre: Array | None = None

    @cached_property
    def bending(self) -> Array:
        """Coefficients (M, M − 2) of quadratic B-splines orthogonal to constant and line, of unit length."""
        assert self.knots is not None
        lines = np.column_stack([np.ones(len(self.at_coefficients)), self.at_coefficients])
        return complement(lines)

    @cached_property
    def at_coefficients(self) -> Array:
        """The linear feature at the B-spline coefficients (M,).

        Greville's points, whose combination is the line.
        """
        if self.knots is None:
            return (np.array([self.low, self.high]) - self.mean) / self.sd
        k = self.knots
        full = np.concatenate([k[:1], k, k[-1:]])
        return np.asarray((full[:-1] + full[1:]) / 2 - self.mean) / self.sd

    def linear(self, x: Array, *, clamp: bool = True) -> Array:
        """The standardised column (n,)."""
        return ((np.clip(x, self.low, self.high) if clamp else x) - self.mean) / self.sd

    def smooth(self, x: Array) -> Array:
        """The centred smooth features (n, M − 2)."""
        assert self.knots is not None
        assert self.centre is not None
        return b_splines(x, self.knots, 2) @ self.bending - self.centre

    @cached_property
    def roughness(self) -> Array:
        """Second differences of the B-spline coefficients as a quadratic form of mean eigenvalue one."""
        assert self.knots is not None
        d = difference(len(self.at_coefficients), 2) @ self.bending
        S = d.T @ d
        return np.asarray(S * (len(S) / np.trace(S)))


def complement(columns: Array) -> Array:
    """An orthonormal basis (M, M − c) of what is orthogonal to columns (M, c).

    The same on every machine up to rounding.
    """
    M, c = columns.shape
    q, r = np.linalg.qr(np.column_stack([columns, np.eye(M)[:, : M - c]]))
    return np.asarray(q[:, c:] * np.sign(np.diagonal(r)[c:]))


def _pairs(u: Array, S: Array) -> Array:
    """Products of every column of u (n, a) with every column of S (n, b), (n, a·b)."""
    return (u[:, :, None] * S[:, None, :]).reshape(len(u), u.shape[1] * S.shape[1])


def smooth_covariate(
    x: Array,
    knots: Array | None,
    weights: Array | None = None,
    edges: tuple[float, float] = (-np.inf, np.inf),
) -> Covariate:
    """Measure a column (n,), with knots the centre of its smooth features.

    Scale and shape move with it between the edges.
    """
    seen = float(x.min()), float(x.max())
    x = np.clip(x, *edges)
    mean = float(np.average(x, weights=weights))
    sd = float(np.sqrt(np.average(np.square(x - mean), weights=weights)))
    c = Covariate(mean, sd if sd > 0 else 1.0, float(x.min()), float(x.max()), seen, knots)
    if knots is None:
        return c
    zero = replace(c, centre=np.zeros(len(knots) - 1))
    return replace(zero, centre=np.average(zero.smooth(x), axis=0, weights=weights))


@dataclass(frozen=True, eq=False)
class Structure:
    """Bases and terms of h.

    Parameters
    ----------
    basis : SlopeBasis of J slope functions.
    coarse : positions of the knots that the shape terms use, a subset with both ends.
    covariates : K of them, one per design column without the constant.
    groups : for each formula term its columns and the patterns (v, columns) they take together; patterns of
        no rows: a box.
    terms : in the order of the coefficients; the first is the baseline, ``affine`` says whether it is a line.
    """

    basis: SlopeBasis
    coarse: tuple[int, ...]
    covariates: tuple[Covariate, ...]
    groups: tuple[tuple[tuple[int, ...], Array], ...]
    terms: tuple[Term, ...]
    affine: bool = False

    @cached_property
    def bend(self) -> Array:
        """Shape functions as slope coefficients (J, m), orthogonal to a constant slope."""
        coarse = SlopeBasis(self.basis.knots[list(self.coarse)])
        points = np.concatenate([self.basis.knots, self.basis.knots[:-1] + np.diff(self.basis.knots) / 2])
        _, fine = self.basis.evaluate(points)
        _, few = coarse.evaluate(points)
        T = np.linalg.lstsq(fine, few, rcond=None)[0]  # exact: the knots are nested
        return T @ complement(np.ones((coarse.size, 1)))

    @property
    def roughness(self) -> Array:
        """Squared differences of the coarse slope coefficients as a quadratic form of shape coefficients."""
        size = len(self.coarse) - 1
        d = difference(size, 1) @ complement(np.ones((size, 1)))
        return d.T @ d

    @cached_property
    def bends(self) -> bool:
        """Whether some term moves the shape."""
        return any(t.kind.startswith("shape") for t in self.terms)

    @property
    def baseline(self) -> Array:
        """Baseline functions as slope coefficients (J, J), or (J, 1) for a line."""
        return np.ones((self.basis.size, 1)) if self.affine else np.eye(self.basis.size)

    def _width(self, term: Term) -> int:
        m = self.bend.shape[1] if term.kind.startswith("shape") else 1
        if term.kind in SMOOTH:
            return int(m * self.covariates[term.covariate].bending.shape[1])
        return 1 + self.baseline.shape[1] if term.kind == "baseline" else m

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each term's coefficients are."""
        ends = np.cumsum([self._width(t) for t in self.terms])
        return tuple(slice(int(e) - self._width(t), int(e)) for t, e in zip(self.terms, ends, strict=True))

    @property
    def size(self) -> int:
        """Number of coefficients p."""
        return int(self.slices[-1].stop)

    @property
    def origin(self) -> float:
        """Where all slope integrals are zero."""
        return float(self.basis.knots[len(self.basis.knots) // 2])

    def arrays(self, r: Array, X: Array, *, slopes: bool = True) -> tuple[Array, ...]:
        """The linear forms of h and ∂h/∂r, A and D (n, p), or A alone."""
        line = r[:, None] - self.origin
        forms = tuple(np.zeros((len(r), self.size)) for _ in range(1 + slopes))

        def fill(at: slice, parts: Iterable[Array | float]) -> None:
            for form, part in zip(forms, parts, strict=False):
                form[:, at] = part

        forms[0][:, 0] = 1.0
        own = (line, 1.0) if self.affine else self.basis.evaluate(r)
        fill(slice(1, self.slices[0].stop), own)
        shapes = tuple(part @ self.bend for part in own) if self.bends else ()
        for kind, at, u in self.features(X):
            if kind in SHIFTS:
                forms[0][:, at] = u
            elif kind.startswith("scale"):
                fill(at, (u * line, u))
            else:
                fill(at, (_pairs(u, shape) for shape in shapes))
        return forms

    def coefficients(self, theta: Array, X: Array) -> tuple[Array, Array]:
        """Intercepts (n,) and slope coefficients (n, J) of the rows' transformations."""
        n = len(X)
        intercept = np.full(n, theta[0])
        slopes = np.tile(self.baseline @ theta[1 : self.slices[0].stop], (n, 1))
        for kind, at, u in self.features(X):
            if kind == "linear":
                intercept += u[:, 0] * theta[at.start]
            elif kind == "shift":
                intercept += u @ theta[at]
            else:
                slopes += u @ self._moves(kind, theta[at])
        return intercept, slopes

    def mean_slopes(self, theta: Array, X: Array) -> Array:
        """Means (n,) of the slope coefficients of the rows' transformations, without writing these out."""
        means = np.full(len(X), (self.baseline @ theta[1 : self.slices[0].stop]).mean())
        for kind, at, u in self.features(X, SLOPES):
            means += u @ self._moves(kind, theta[at]).mean(axis=1)
        return means

    def features(self, X: Array, kinds: Sequence[str] = KINDS[1:]) -> Iterator[tuple[str, slice, Array]]:
        """The terms of some kinds: each one's kind, where its coefficients are, and its features (n, f)."""
        for term, at in zip(self.terms, self.slices, strict=True):
            if term.kind in kinds:
                c, x = self.covariates[term.covariate], X[:, term.covariate]
                smooth = term.kind in SMOOTH
                yield (
                    term.kind,
                    at,
                    c.smooth(x) if smooth else c.linear(x, clamp=term.kind != "linear")[:, None],
                )

    def _moves(self, kind: str, theta: Array) -> Array:
        """What the features of a term add to the slope coefficients, (features, J)."""
        if kind.startswith("scale"):
            return np.outer(theta, np.ones(self.basis.size))
        return theta.reshape(-1, self.bend.shape[1]) @ self.bend.T

    @cached_property
    def factors(self) -> dict[int, tuple[int, ...]]:
        """By column, the columns of its factor of `POOLED` levels or more: one pattern more than columns."""
        return {
            j: columns
            for columns, patterns in self.groups
            if len(patterns) == len(columns) + 1 >= POOLED and columns[-1] - columns[0] == len(columns) - 1
            for j in columns
        }

    def blocks(self) -> list[tuple[Term, slice]]:
        """Terms that are penalised and dropped together, by the first of each, with their coefficients.

        The scale and the shape of a factor are one block: its levels are exchangeable.
        """
        out: list[tuple[Term, slice]] = []
        for term, at in zip(self.terms, self.slices, strict=True):
            first, before = out[-1] if out else (term, at)
            together = term.kind in FACTORED and first.kind == term.kind
            if together and term.covariate in self.factors.get(first.covariate, ()):
                out[-1] = first, slice(before.start, at.stop)
            else:
                out.append((term, at))
        return out

    def _exchangeable(self, first: int) -> Array:
        """Squared deviations of a factor's effects from their mean, as a form of its coefficients.

        Whatever the coding of the levels; of mean eigenvalue one.
        """
        columns = self.factors[first]
        patterns = next(found for group, found in self.groups if group == columns)
        u = np.column_stack([self.covariates[j].linear(x) for j, x in zip(columns, patterns.T, strict=True)])
        u = u - u.mean(axis=0)
        return np.asarray(u.T @ u * (len(columns) / np.square(u).sum()))

    def penalties(self) -> tuple[Penalty, ...]:
        """One penalty per block that bends, two for smooth shapes.

        Differences of coefficients in y and in x; of a factor's effects from their mean.
        """
        out = []
        for term, at in self.blocks():
            name = f"{term.kind}{'' if term.covariate < 0 else term.covariate}"
            if term.kind == "baseline":
                if not self.affine:
                    d = difference(self.basis.size, 2)
                    out.append(_penalty(name, slice(1, at.stop), d.T @ d, null=2))
            elif term.kind in FACTORED:
                factor = term.covariate in self.factors
                S = self._exchangeable(term.covariate) if factor else np.eye(1)
                rough = self.roughness if term.kind == "shape" else np.eye(1)
                out.append(_penalty(name, at, np.asarray(np.kron(S, rough), np.float64)))
            elif term.kind == "shape_smooth":
                S, rough = self.covariates[term.covariate].roughness, self.roughness
                k, m = len(S), len(rough)
                values = np.repeat(np.linalg.eigvalsh(S), m), np.tile(np.linalg.eigvalsh(rough), k)
                out.append(Penalty(name, at, np.asarray(np.kron(S, np.eye(m))), values[0]))
                out.append(Penalty(name + "_y", at, np.asarray(np.kron(np.eye(k), rough)), values[1]))
            elif term.kind != "linear":
                out.append(_penalty(name, at, self.covariates[term.covariate].roughness))
        return tuple(out)

    # ---- monotonicity over the box -------------------------------------------------------------------------

    def _part(self, columns: tuple[int, ...], patterns: Array) -> Part:
        """The slope terms of columns that move together, with the features of each at the corners."""
        part = []
        for term, at in zip(self.terms, self.slices, strict=True):
            if term.covariate not in columns or term.kind not in SLOPES:
                continue
            c = self.covariates[term.covariate]
            if len(patterns):
                u = c.linear(patterns[:, columns.index(term.covariate)])[:, None]
            elif term.kind.endswith("smooth"):
                assert c.centre is not None
                u = c.bending - c.centre
            else:
                u = c.at_coefficients[:, None]
            part.append((term.kind, at, u))
        return part

    @cached_property
    def corners(self) -> list[Part]:
        """Parts of the box that vary on their own: their slope terms with features (corners, features)."""
        parts: list[Part] = []
        for columns, patterns in self.groups:
            together = [columns] if len(patterns) else [(c,) for c in columns]
            parts.extend(self._part(c, patterns) for c in together)
        return [p for p in parts if p]

    def lowest(self, theta: Array) -> tuple[Array, list[Indices]]:
        """The smallest slope coefficients (J,) over the box, and the corner (J,) of each part where it is."""
        low = self.baseline @ theta[1 : self.slices[0].stop]
        where: list[Indices] = []
        for part in self.corners:
            values = np.sum([u @ self._moves(kind, theta[at]) for kind, at, u in part], axis=0)
            where.append(np.argmin(values, axis=0))
            low = low + values.min(axis=0)
        return low, where

    def constraint_rows(self, where: list[Indices], which: Indices) -> Array:
        """Rows g (len(which), p), g'θ the slope coefficient j at the corners given, for j in ``which``."""
        G = np.zeros((len(which), self.size))
        G[:, 1 : self.slices[0].stop] = self.baseline[which]
        for part, corner in zip(self.corners, where, strict=True):
            for kind, at, u in part:
                chosen = u[corner[which]]
                G[:, at] = chosen if kind.startswith("scale") else _pairs(chosen, self.bend[which])
        return G
