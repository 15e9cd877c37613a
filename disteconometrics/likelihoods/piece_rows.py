"""Rows of a monotone transformation, kept as features and places instead of two arrays (n, p).

Between two knots of r every row of A is a cubic in t, the distance from the knot below over their width,

    A(r, x) = Σ_k t^k Σ_f u_f(x) E_v[k, f],    D(r, x) = Σ_k k·t^(k − 1)/width Σ_f u_f(x) E_v[k, f],

with few features u_f of x.  So products over rows need those of (t^k u_f), of an interval at a time, and the
table E_v brings them to the coefficients afterwards: for 636 coefficients of a smooth shape this is some
thirty times less work, and what is kept of a row are its features, not its 2·636 entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.monotone import LinearForms, MonotoneRows
from disteconometrics.likelihoods.structure import SHIFTS, SMOOTH, Structure, Term

__all__ = ["PieceRows", "arrays_of", "columns_kept", "narrowed_rows", "rows_of"]

CHUNK = 1024  # rows whose products stay in cache
# distance of knots, in spreads of the outcome, below which values there do not tell functions well: their
# slopes are differences of these over the distance
NARROW = 0.03
NARROWEST = 1e-6  # unit of t within an interval, in the distance of the outer knots, at least
MANY = 4_000  # rows from which on pieces take less time than arrays (n, p)


def rows_of(structure: Structure, r: Array, X: Array, weights: Array | None) -> LinearForms:
    """The linear forms of rows with standardised outcomes r (n,) and covariates X (n, K): kept as is best."""
    if len(r) < MANY:
        return arrays_of(structure, r, X, weights)
    return PieceRows.of(structure, r, X, weights)


def arrays_of(structure: Structure, r: Array, X: Array, weights: Array | None) -> MonotoneRows:
    """The linear forms of rows as two arrays (n, p)."""
    A, D = structure.arrays(r, X)
    return MonotoneRows(A, D, weights)


def narrowed_rows(rows: LinearForms, old: Structure, new: Structure) -> LinearForms:
    """The same rows with some of the terms."""
    if isinstance(rows, PieceRows):
        return rows.narrowed(new)
    assert isinstance(rows, MonotoneRows)
    keep = columns_kept(old, new)
    return replace(rows, A=rows.A[:, keep], D=rows.D[:, keep])


def columns_kept(old: Structure, new: Structure) -> Indices:
    """Places among the coefficients of a structure of those of one with some of its terms."""
    at = dict(zip(old.terms, old.slices, strict=True))
    return np.concatenate([np.arange(at[t].start, at[t].stop) for t in new.terms])


class _Group(NamedTuple):
    """Terms that are one polynomial in t times several features.

    ``name`` says which, ``table`` (V, P, m) are the polynomials of m functions by interval and power,
    ``columns`` (f,) the features, ``at`` (f, m) the places of the coefficients.
    """

    name: str
    table: Array
    columns: Indices | slice
    at: Indices


@dataclass(frozen=True, eq=False)
class _Products:
    """Functions that move with features, by few numbers, of which c tell one in a segment of intervals.

    ``L`` (V, P, c) brings these to the powers of t of an interval, ``first`` (W,) are the first intervals of
    the segments, whose numbers begin ``step`` further each; ``table`` (K, m) are those of every function, and
    ``places`` (m, F) the coefficients of functions times features, p where there is none.
    """

    L: Array
    first: Indices
    step: int
    table: Array
    places: Indices

    @property
    def _windows(self) -> Array:
        """The numbers of the functions by segment, (W, c, m)."""
        at = np.arange(len(self.first))[:, None] * self.step + np.arange(self.L.shape[2])
        return np.asarray(self.table[at])

    def _added(self, parts: Array) -> Array:
        """Sums (K, x) of what is known by segment, (W, c, x)."""
        W, c, x = parts.shape
        if c == self.step:
            return parts.reshape(W * c, x)
        out = np.zeros((W + 1, self.step, x), parts.dtype)
        out[:-1] = parts[:, : self.step]
        out[1:] += parts[:, self.step :]
        return out.reshape(-1, x)

    def gathered(self, M: Array, p: int) -> Array:
        """Σ_v E_v' M_v E_v (p, p) of symmetric M (V, P, F, P, F), zero where there are other coefficients."""
        V, P, F, c, m = *M.shape[:3], self.L.shape[2], self.places.shape[0]
        L = self.L.transpose(0, 2, 1).astype(M.dtype)[:, None]
        one = (L @ M.transpose(0, 1, 3, 2, 4).reshape(V, P, P, F * F)).transpose(0, 2, 1, 3)
        two = np.add.reduceat(L @ one, self.first, axis=0)  # (W, c, c, F·F), the first c that of columns
        three = self._windows.astype(M.dtype).transpose(0, 2, 1)[:, None] @ two.transpose(0, 2, 1, 3)
        four = self.table.T.astype(M.dtype) @ self._added(three.reshape(len(two), c, m * F * F))
        H = np.zeros((p + 1, p + 1))
        H[self.places[:, :, None, None], self.places] = four.reshape(m, m, F, F).transpose(0, 2, 1, 3)
        return np.asarray((H + H.T) / 2)[:p, :p]

    def scattered(self, C: Array) -> Array:
        """E_v C E_v' (V, P, F, P, F) of symmetric C (p, p)."""
        W, (V, P, c), (m, F) = len(self.first), self.L.shape, self.places.shape
        padded = np.zeros((len(C) + 1,) * 2)
        padded[:-1, :-1] = C
        one = padded[self.places[:, None, :, None], self.places[:, None]].reshape(m, m * F * F)
        two = (self._windows @ one).reshape(W, c, m, F * F)
        three = (self._windows[:, None] @ two)[np.repeat(np.arange(W), np.diff(self.first, append=V))]
        four = (self.L[:, None] @ three).transpose(0, 2, 1, 3)  # (V, P, c, F·F), the first that of columns
        return (self.L[:, None] @ four).reshape(V, P, P, F, F).transpose(0, 2, 3, 1, 4)


class _Piece(NamedTuple):
    """Rows of one interval (or a part of them, in the order of `PieceRows`) and t of each."""

    interval: int
    rows: slice
    t: Array
    powers: int  # that have coefficients: beyond the knots there are lines


def _layout(structure: Structure) -> tuple[dict[tuple[int, str], Indices], int, int]:
    """Columns of the features, which of them move with r (the first), and how many there are; a constant."""
    places: dict[tuple[int, str], Indices] = {}
    moving = width = 1
    for term in sorted(structure.terms[1:], key=lambda t: t.kind in SHIFTS):
        if _key(term) not in places:
            count = structure.covariates[term.covariate].bending.shape[1] if term.kind in SMOOTH else 1
            places[_key(term)] = np.arange(width, width + count)
            width += count
            moving = moving if term.kind in SHIFTS else width
    return places, moving, width


def _key(term: Term) -> tuple[int, str]:
    """What feature of which covariate a term has."""
    return term.covariate, "smooth" if term.kind in SMOOTH else "free" if term.kind == "linear" else "line"


@dataclass(frozen=True, eq=False)
class PieceRows:
    """Rows of the two linear forms of a structure, as `MonotoneRows`, by interval.

    Parameters
    ----------
    structure : Structure of p coefficients.
    order : (n,) the rows by interval.
    counts : (V,) rows of each interval; the first and the last lie beyond the knots.
    t : (n,) float64 array, in that order.
    U : (n, F) float64 array of features, in that order; the first ``moving`` of them meet all powers of t.
    places : by what `_key` says of a term, its columns of U.
    weights : (n,) or None, in the order of the rows as given.

    Examples
    --------
    >>> from disteconometrics.likelihoods.splines import SlopeBasis
    >>> line = Structure(SlopeBasis(np.arange(5.0)), (0, 4), (), (), (Term("baseline"),))
    >>> rows = PieceRows.of(line, np.array([0.5, 9.0]), np.zeros((2, 0)), None)
    >>> rows.forms(np.array([1.0, 2.0, 2.0, 2.0, 2.0]))
    (array([-2., 15.]), array([2., 2.]))
    """

    structure: Structure
    order: Indices
    counts: Indices
    t: Array
    U: Array
    moving: int
    places: dict[tuple[int, str], Indices]
    weights: Array | None

    @classmethod
    def of(cls, structure: Structure, r: Array, X: Array, weights: Array | None) -> PieceRows:
        """The rows with standardised outcomes r (n,) and covariates X (n, K)."""
        edges, widths = _intervals(structure)
        at = np.searchsorted(edges[1:], r, side="right")
        order = np.argsort(at.astype(np.int16), kind="stable")  # few values sort fast
        counts = np.bincount(at, minlength=len(widths))
        places, moving, width = _layout(structure)
        U = np.ones((len(r), width))
        for (covariate, kind), columns in places.items():
            c, x = structure.covariates[covariate], X[order, covariate]
            U[:, columns] = c.smooth(x) if kind == "smooth" else c.linear(x, clamp=kind != "free")[:, None]
        t = (r - edges[at]) / widths[at]
        return cls(structure, order, counts, t[order], U, moving, places, weights)

    @property
    def count(self) -> int:
        """Rows n."""
        return len(self.t)

    def narrowed(self, structure: Structure) -> PieceRows:
        """The same rows with some of the terms."""
        places, moving, width = _layout(structure)
        old = np.zeros(width, np.intp)
        for key, columns in places.items():
            old[columns] = self.places[key]
        U = self.U if np.array_equal(old, np.arange(self.U.shape[1])) else self.U[:, old]
        return replace(self, structure=structure, U=U, moving=moving, places=places)

    def reweighted(self, weights: Array) -> PieceRows:
        """The rows that have weight, under other weights (n,)."""
        kept = weights > 0
        if kept.all():
            return replace(self, weights=weights)
        mine = kept[self.order]
        place = np.cumsum(kept) - 1
        interval = np.repeat(np.arange(len(self.counts)), self.counts)[mine]
        return replace(
            self,
            order=place[self.order[mine]],
            counts=np.bincount(interval, minlength=len(self.counts)),
            t=self.t[mine],
            U=self.U[mine],
            weights=weights[kept],
        )

    # ---- the table E ---------------------------------------------------------------------------------------

    @cached_property
    def _widths(self) -> Array:
        return _intervals(self.structure)[1]

    @property
    def _powers(self) -> int:
        return 2 if self.structure.affine else 4

    @cached_property
    def _groups(self) -> tuple[list[_Group], list[tuple[Indices, Indices]]]:
        """Groups of terms that move with r, and (columns of U, places) of features that only shift."""
        st = self.structure
        V, P = len(self._widths), self._powers
        edges, widths = _intervals(st)
        one = np.zeros((V, P, 1))
        one[:, 0] = 1.0
        line = np.zeros((V, P, 1))
        line[:, 0, 0], line[:, 1, 0] = edges - st.origin, widths
        tables = {"one": one, "line": line}
        if not st.affine:
            tables["fine"] = _cubics(st)
            if st.bends:
                tables["bend"] = tables["fine"] @ st.bend
        first = np.arange(1, st.slices[0].stop)[None]
        zero = np.zeros(1, np.intp)
        found = [("one", zero, zero[None]), ("line" if st.affine else "fine", zero, first)]
        still = []
        for term, at in zip(st.terms[1:], st.slices[1:], strict=True):
            columns = self.places[_key(term)]
            index = np.arange(at.start, at.stop).reshape(len(columns), -1)
            if term.kind in SHIFTS and columns[0] >= self.moving:
                still.append((columns, index[:, 0]))
            else:
                name = "one" if term.kind in SHIFTS else "line" if term.kind.startswith("scale") else "bend"
                found.append((name, columns, index))
        groups = []
        for name, table in tables.items():
            mine = [(c, i) for n, c, i in found if n == name]
            if mine:
                columns, index = (np.concatenate(part) for part in zip(*mine, strict=True))
                groups.append(_Group(name, table, _as_slice(columns), index))
        return groups, still

    @cached_property
    def _still(self) -> Indices:
        """Places of the coefficients of the features that only shift, in the order of their columns."""
        still = sorted(self._groups[1], key=lambda pair: int(pair[0][0]))
        return np.concatenate([np.zeros(0, np.intp), *(index for _, index in still)])

    def _local(self, B: Array) -> Array:
        """E_v B (V, q, c) of coefficients B (p, c)."""
        V, P, F, c = len(self._widths), self._powers, self.moving, B.shape[1]
        out = np.zeros((V, P * F + len(self._still), c))
        moving = out[:, : P * F].reshape(V, P, F, c)
        for _, table, columns, at in self._groups[0]:
            part = table.reshape(V * P, -1) @ B[at.T].reshape(at.shape[1], -1)
            moving[:, :, columns] += part.reshape(V, P, len(at), c)
        out[:, P * F :] = B[self._still]
        return out

    def _gathered(self, M: Array) -> Array:
        """Σ_v E_v' M_v (p, c) of M (V, q, c)."""
        V, P, F, c = len(self._widths), self._powers, self.moving, M.shape[2]
        moving = M[:, : P * F].reshape(V, P, F, c)
        out = np.zeros((self.structure.size, c))
        for _, table, columns, at in self._groups[0]:
            part = table.astype(M.dtype).reshape(V * P, -1).T @ moving[:, :, columns].reshape(V * P, -1)
            out[at.T] = part.reshape(at.shape[1], len(at), c)
        out[self._still] = M[:, P * F :].sum(axis=0)
        return out

    @cached_property
    def _products(self) -> _Products:
        """The functions that move with features, by their values and slopes at few knots."""
        st, V, P = self.structure, len(self._widths), self._powers
        groups = [g for g in self._groups[0] if g.name != "fine"]
        slots = [np.full((self.moving, g.at.shape[1]), st.size) for g in groups]
        for g, found in zip(groups, slots, strict=True):
            found[g.columns] = g.at
        places = np.concatenate(slots, axis=1).T
        nodes = st.basis.knots[list(st.coarse) if st.bends else [0, -1]]
        if st.affine or np.diff(nodes).min() < NARROW:
            table = np.concatenate([g.table for g in groups], axis=2).reshape(V * P, -1)
            return _Products(np.tile(np.eye(P), (V, 1, 1)), np.arange(V), P, table, places)
        ones, (area, slope) = np.ones((len(nodes), 1)), st.basis.evaluate(nodes)
        known = {"one": (ones, 0 * ones), "line": (nodes[:, None] - st.origin, ones)}
        if st.bends:
            known["bend"] = area @ st.bend, slope @ st.bend
        values, slopes = (np.hstack(part) for part in zip(*(known[g.name] for g in groups), strict=True))
        edges, widths = _intervals(st)
        at = np.clip(np.searchsorted(nodes, edges, side="right") - 1, 0, len(nodes) - 2)
        at[0] = 0
        first = np.searchsorted(at, np.arange(len(nodes) - 1))
        table = np.stack([values, slopes], axis=1).reshape(2 * len(nodes), -1)
        return _Products(_cubics_of_ends(edges, widths, nodes, at), first, 2, table, places)

    @cached_property
    def _alone(self) -> tuple[Array, Indices]:
        """The baseline by interval and power (V, P, J), and the places of its coefficients."""
        none = np.zeros((len(self._widths), self._powers, 0)), np.zeros(0, np.intp)
        return next(((g.table, g.at[0]) for g in self._groups[0] if g.name == "fine"), none)

    def _both(self, M: Array) -> Array:
        """Σ_v E_v' M_v E_v (p, p) of symmetric M (V, q, q)."""
        V, P, F = len(self._widths), self._powers, self.moving
        table, alone = self._alone
        H = self._products.gathered(M[:, : P * F, : P * F].reshape(V, P, F, P, F), self.structure.size)
        rest = np.concatenate([alone, self._still])
        own = np.concatenate([M[:, :, : P * F : F] @ table.astype(M.dtype), M[:, :, P * F :]], axis=2)
        H[:, rest] = self._gathered(own)
        H[rest] = H[:, rest].T
        return H

    def _between(self, root: Array) -> Array:
        """E_v C E_v' (V, q, q) with C = root·root' (p, p)."""
        V, P, F = len(self._widths), self._powers, self.moving
        table, alone = self._alone
        C = root @ root.T
        rest = np.concatenate([alone, self._still])
        side = C[:, rest]
        side[rest] /= 2  # as it is added from both sides
        side = self._local(side)
        half = np.zeros((V, *side.shape[1:2] * 2))
        half[:, :, : P * F : F] = side[:, :, : len(alone)] @ table.transpose(0, 2, 1)
        half[:, :, P * F :] = side[:, :, len(alone) :]
        half[:, : P * F, : P * F] += self._products.scattered(C).reshape(V, P * F, P * F) / 2
        return half + half.transpose(0, 2, 1)

    # ---- passes over the rows ------------------------------------------------------------------------------

    def _pieces(self) -> Iterator[_Piece]:
        ends, last = np.cumsum(self.counts), len(self.counts) - 1
        for v in np.flatnonzero(self.counts):
            for i in range(int(ends[v] - self.counts[v]), int(ends[v]), CHUNK):
                rows = slice(i, min(i + CHUNK, int(ends[v])))
                yield _Piece(int(v), rows, self.t[rows], self._powers if 0 < v < last else 2)

    def _sorted(self, values: Array) -> Array:
        return values[self.order]

    def _as_given(self, values: Array) -> Array:
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def forms(self, theta: Array) -> tuple[Array, Array]:
        """z = Aθ and slopes Dθ (n,)."""
        P, F = self._powers, self.moving
        table = self._local(theta[:, None])[:, :, 0]
        z, slope = np.empty(self.count), np.empty(self.count)
        for v, rows, t, _ in self._pieces():
            C = self.U[rows, :F] @ table[v, : P * F].reshape(P, F).T
            height, steep = C[:, P - 1], (P - 1) * C[:, P - 1]
            for k in range(P - 2, -1, -1):
                height = height * t + C[:, k]
                steep = steep * t + k * C[:, k] if k else steep
            z[rows], slope[rows] = height, steep / self._widths[v]
        if len(self._still):
            z += self.U[:, F:] @ table[0, P * F :]
        return self._as_given(z), self._as_given(slope)

    def gradient(self, v: Array, g: Array) -> Array:
        """D'v − A'g (p,) for v and g (n,)."""
        P, F = self._powers, self.moving
        v, g = self._sorted(v), self._sorted(g)
        sums = np.zeros((len(self._widths), P * F + len(self._still), 1))
        for j, rows, t, _ in self._pieces():
            powers = t[None] ** np.arange(P)[:, None]
            own = -powers * g[rows]
            own[1:] += np.arange(1, P)[:, None] * powers[:-1] * (v[rows] / self._widths[j])
            sums[j, : P * F, 0] += (own @ self.U[rows, :F]).ravel()
        sums[0, P * F :, 0] = -(g @ self.U[:, F:])
        return self._gathered(sums)[:, 0]

    def _heights(self, piece: _Piece, U: NDArray[np.floating], scale: Array) -> NDArray[np.floating]:
        """Scaled t^k u_f of rows, (m, q)."""
        P, F = self._powers, self.moving
        t, Z = piece.t.astype(U.dtype)[:, None], np.zeros((len(U), P * F + U.shape[1] - F), U.dtype)
        np.multiply(U[:, :F], scale[:, None], out=Z[:, :F])
        for k in range(1, piece.powers):
            np.multiply(Z[:, (k - 1) * F : k * F], t, out=Z[:, k * F : (k + 1) * F])
        np.multiply(U[:, F:], scale[:, None], out=Z[:, P * F :])
        return Z

    def _slopes(self, piece: _Piece, U: NDArray[np.floating], scale: Array) -> NDArray[np.floating]:
        """Scaled k·t^(k − 1)/width u_f of rows, (m, (P − 1)·F): of powers one and more."""
        P, F = self._powers, self.moving
        Z = np.zeros((len(U), (P - 1) * F), U.dtype)
        np.multiply(U[:, :F], (scale / self._widths[piece.interval])[:, None], out=Z[:, :F])
        for k in range(1, piece.powers - 1):
            t = (piece.t * ((k + 1) / k)).astype(U.dtype)[:, None]
            np.multiply(Z[:, (k - 1) * F : k * F], t, out=Z[:, k * F : (k + 1) * F])
        return Z

    def products(self, u: Array | None, s: Array, *, exact: bool) -> Array:
        """Σ u²·aa' + s²·dd' (p, p) for u and s (n,), without the first where u is None.

        Sums of single precision where it need not be ``exact``.
        """
        P, F = self._powers, self.moving
        dtype: Any = np.float64 if exact else np.float32
        s = self._sorted(s).astype(dtype)
        a = None if u is None else self._sorted(u).astype(dtype)
        q = P * F + len(self._still)
        M = np.zeros((len(self._widths), q, q), dtype)
        for piece in self._pieces():
            v, rows = piece.interval, piece.rows
            U: Any = self.U[rows].astype(dtype, copy=False)
            D = self._slopes(piece, U, s[rows])
            M[v, F : P * F, F : P * F] += D.T @ D
            if a is not None:
                A = self._heights(piece, U, a[rows])
                M[v] += A.T @ A
        return self._both(M)

    @cached_property
    def moments(self) -> Array:
        """Σ w·aa' (p, p)."""
        root = np.ones(self.count) if self.weights is None else np.sqrt(self.weights)
        return self.products(root, np.zeros(self.count), exact=True)

    def spreads(self, root: Array) -> tuple[Array, Array, Array]:
        """a'Va, a'Vd and d'Vd (n,) of every row, V = root·root' (p, p)."""
        P, F = self._powers, self.moving
        between, out = self._between(root), np.empty((3, self.count))
        for piece in self._pieces():
            rows, C = piece.rows, between[piece.interval]
            one = np.ones(len(piece.t))
            A, D = (make(piece, self.U[rows], one) for make in (self._heights, self._slopes))
            AC, inner = A @ C, slice(F, P * F)
            out[0, rows] = np.einsum("ij,ij->i", AC, A)
            out[1, rows] = np.einsum("ij,ij->i", AC[:, inner], D)
            out[2, rows] = np.einsum("ij,ij->i", D @ C[inner, inner], D)
        aa, ad, dd = (self._as_given(part) for part in out)
        return aa, ad, dd


def _as_slice(columns: Indices) -> Indices | slice:
    """Columns that follow one another as a slice, which costs no copy of what it is taken of."""
    follow = bool((np.diff(columns) == 1).all())
    return slice(int(columns[0]), int(columns[-1]) + 1) if follow else columns


def _intervals(structure: Structure) -> tuple[Array, Array]:
    """Where t is zero and the width of its unit, (V,), by interval: below the knots, between, above."""
    if structure.affine:
        return np.array([structure.origin]), np.ones(1)
    k = structure.basis.knots
    reach = k[-1:] - k[:1]
    inside = np.maximum(np.diff(k), NARROWEST * reach)  # knots may all but coincide
    return np.concatenate([k[:1], k]), np.concatenate([reach, inside, reach])


def _cubics(structure: Structure) -> Array:
    """The integrals of the slope functions as polynomials (V, 4, J) in t."""
    poly, total = structure.basis.table
    width = _intervals(structure)[1][1:-1, None]
    inside = np.stack(
        [total[:-1], poly[:, 0] * width, poly[:, 1] * width**2 / 2, poly[:, 2] * width**3 / 3], axis=1
    )
    ends = np.zeros((2, 4, inside.shape[2]))
    ends[:, 0] = total[[0, -1]]
    ends[0, 1, 0] = ends[1, 1, -1] = np.ptp(structure.basis.knots)
    return np.concatenate([ends[:1], inside, ends[1:]])


def _cubics_of_ends(edges: Array, widths: Array, nodes: Array, at: Indices) -> Array:
    """Polynomials (V, 4, 4) in t of the cubics that have value and slope 1 at an end of segments ``at`` (V,).

    Beyond the outer nodes lines, which the end there tells.
    """
    H = nodes[at + 1] - nodes[at]
    s, share = (edges - nodes[at]) / H, widths / H
    hermite = np.array([[1.0, 0, -3, 2], [0, 1, -2, 1], [0, 0, 3, -2], [0, 0, -1, 1]])  # by power of s
    out = np.zeros((len(at), 4, 4))
    for k in range(4):
        for j in range(k, 4):
            out[:, k] += (special.binom(j, k) * s ** (j - k) * share**k)[:, None] * hermite[:, j]
    out[:, :, 1::2] *= H[:, None, None]
    out[[0, -1]] = 0.0
    out[0, 0, 0] = out[-1, 0, 2] = 1.0
    out[0, 1, 1], out[-1, 1, 3] = widths[0], widths[-1]
    return out
