"""Exact derivatives of formula terms in one raw column, by the rules of calculus on the checked syntax tree.

Powers, products and functions follow the chain rule, `scale` and `poly` their stored states.  A spline is a
polynomial between its knots, so it is read off at as many points inside each interval as the polynomial has
coefficients.  No step size enters: the error is rounding.  Comparisons, rounding and levels have derivative
zero; ``lag()`` looks at other rows, and is held.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.arrays import as_floats
from disteconometrics.data.evaluate import Basis, Evaluator, Levels, options_of
from disteconometrics.data.syntax import function_name, spell, variables_of
from disteconometrics.data.table import Column
from disteconometrics.data.transforms import TRANSFORMS
from disteconometrics.errors import FormulaError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["slope"]

_FLAT = ("sign", "floor", "ceil", "trunc", "rint")
_ONE: dict[str, Callable[[Any], Any]] = {
    "log": lambda u: 1 / u,
    "log1p": lambda u: 1 / (1 + u),
    "log10": lambda u: 1 / (u * np.log(10)),
    "log2": lambda u: 1 / (u * np.log(2)),
    "exp": np.exp,
    "expm1": np.exp,
    "exp2": lambda u: np.exp2(u) * np.log(2),
    "sqrt": lambda u: 0.5 / np.sqrt(u),
    "cbrt": lambda u: 1 / (3 * np.cbrt(u) ** 2),
    "abs": np.sign,
    "absolute": np.sign,
    "fabs": np.sign,
    "square": lambda u: 2 * u,
    "reciprocal": lambda u: -1 / u**2,
    "sin": np.cos,
    "cos": lambda u: -np.sin(u),
    "tan": lambda u: 1 / np.cos(u) ** 2,
    "sinh": np.cosh,
    "cosh": np.sinh,
    "tanh": lambda u: 1 / np.cosh(u) ** 2,
    "arcsin": lambda u: 1 / np.sqrt(1 - u**2),
    "arccos": lambda u: -1 / np.sqrt(1 - u**2),
    "arctan": lambda u: 1 / (1 + u**2),
    "arcsinh": lambda u: 1 / np.sqrt(1 + u**2),
    "arccosh": lambda u: 1 / np.sqrt(u**2 - 1),
    "arctanh": lambda u: 1 / (1 - u**2),
}
_LINEAR = ("scale", "standardize", "center")


def slope(evaluator: Evaluator, node: ast.expr, name: str) -> Any:
    """Return the derivative of an expression in column ``name``, at the rows of the evaluator.

    Returns: None where it is zero by construction, else float64 (n,) or, for a factor of several columns,
    Basis. Raises: FormulaError for a function without a derivative; DataError as `Evaluator.factor`.
    """
    if name not in variables_of(node, same_row=True):
        return None
    with np.errstate(all="ignore"):
        return _slope(evaluator, node, name)


def _slope(e: Evaluator, node: ast.expr, name: str) -> Any:
    if isinstance(node, ast.Name):
        return np.ones(e.size) if node.id == name else None
    if isinstance(node, ast.UnaryOp):
        inner = None if isinstance(node.op, ast.Invert) else _slope(e, node.operand, name)
        return -inner if inner is not None and isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        return _binary(e, node, name)
    if isinstance(node, ast.Call):
        return _call(e, node, name)
    return None  # constants and comparisons


def _sum(*parts: Any) -> Any:
    """The sum of the parts that are not zero by construction."""
    there = [p for p in parts if p is not None]
    return sum(there[1:], there[0]) if there else None


def _times(a: Any, factor: Any) -> Any:
    return None if a is None else a * factor


def _binary(e: Evaluator, node: ast.BinOp, name: str) -> Any:
    da, db = _slope(e, node.left, name), _slope(e, node.right, name)
    if (da is None and db is None) or isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor, ast.FloorDiv)):
        return None
    a, b = _value(e, node.left), _value(e, node.right)
    if isinstance(node.op, (ast.Add, ast.Sub)):
        return _sum(da, _times(db, -1.0 if isinstance(node.op, ast.Sub) else 1.0))
    if isinstance(node.op, ast.Mult):
        return _sum(_times(da, b), _times(db, a))
    if isinstance(node.op, ast.Div):
        return _sum(_times(da, 1 / b), _times(db, -a / b**2))
    if isinstance(node.op, ast.Mod):
        return _sum(da, _times(db, -np.floor(a / b)))
    return _power(a, b, da, db)


def _power(a: Any, b: Any, da: Any, db: Any) -> Any:
    base = None if da is None else da * np.where(b == 0, 0.0, b * np.power(a, np.where(b == 0, 1.0, b - 1)))
    return _sum(base, _times(db, np.power(a, b) * np.log(a)))


def _value(e: Evaluator, node: ast.expr) -> Any:
    return as_floats(e.number(e.value(node), node))[()]


def _call(e: Evaluator, node: ast.Call, name: str) -> Any:
    function = function_name(node.func)
    kind = TRANSFORMS[function].kind
    if kind == "same":
        return _slope(e, node.args[0], name)
    if kind == "quote":
        return np.ones(e.size)
    if kind in ("lag", "level") or function in _FLAT:
        return None
    if kind == "state":
        inner = _slope(e, node.args[0], name)
        return None if inner is None else _chain(_stateful(e, node, function), inner)
    return _row_by_row(e, node, name, function)


def _row_by_row(e: Evaluator, node: ast.Call, name: str, function: str) -> Any:
    parts = [_slope(e, a, name) for a in node.args]
    if all(p is None for p in parts):
        return None
    v = [_value(e, a) for a in node.args]
    if function in _ONE:
        return parts[0] * _ONE[function](v[0])
    if function == "power":
        return _power(v[0], v[1], parts[0], parts[1])
    return _several(function, v, [np.zeros(e.size) if p is None else p for p in parts])


def _several(function: str, v: list[Any], d: list[Any]) -> Any:
    """The chain rule of functions of two or three columns with values ``v`` and slopes ``d``."""
    rules: dict[str, Callable[[], Any]] = {
        "maximum": lambda: np.where(v[0] >= v[1], d[0], d[1]),
        "minimum": lambda: np.where(v[0] <= v[1], d[0], d[1]),
        "hypot": lambda: (v[0] * d[0] + v[1] * d[1]) / np.hypot(v[0], v[1]),
        "arctan2": lambda: (v[1] * d[0] - v[0] * d[1]) / (v[0] ** 2 + v[1] ** 2),
        "mod": lambda: d[0] - np.floor(v[0] / v[1]) * d[1],
        "where": lambda: np.where(v[0] != 0, d[1], d[2]),
        "clip": lambda: np.where(v[0] < v[1], d[1], np.where(v[0] > v[2], d[2], d[0])),
    }
    if function not in rules:
        raise FormulaError(f"{function}() has no derivative here; ask for a contrast of two values instead")
    return rules[function]()


def _chain(outer: Any, inner: Any) -> Any:
    if isinstance(outer, Basis):
        return replace(outer, columns={f: c * inner for f, c in outer.columns.items()})
    return outer * inner


def _stateful(e: Evaluator, node: ast.Call, function: str) -> Any:
    """The derivative of a learnt transform in its argument u."""
    value = e.value(node)
    state, u = e.states[spell(node)], _value(e, node.args[0])
    if function in _LINEAR:
        spread = state.get("scale")
        return np.full(e.size, 1.0 if spread is None else 1.0 / float(spread))
    fields = value.columns if isinstance(value, Basis) else {0: value}
    made = _poly(u, state, len(fields)) if function == "poly" else _spline(e, node, state, u, function)
    if isinstance(value, Basis):
        return replace(value, columns=dict(zip(fields, made.T, strict=True)))
    return made[:, 0]


def _poly(u: Any, state: dict[str, Any], degree: int) -> Any:
    """Derivatives (n, degree) of orthonormal polynomials by their three-term recurrence, or of raw powers."""
    if "alpha" not in state:
        return np.stack([k * np.power(u, k - 1) for k in range(1, degree + 1)], axis=1)
    alpha, norms = state["alpha"], state["norms2"]
    P, D = [np.ones_like(u)], [np.zeros_like(u)]
    for i in range(1, degree + 1):
        p, d = (u - alpha[i - 1]) * P[-1], P[-1] + (u - alpha[i - 1]) * D[-1]
        if i >= 2:
            beta = norms[i - 1] / norms[i - 2]
            p, d = p - beta * P[-2], d - beta * D[-2]
        P.append(p)
        D.append(d)
    return np.stack([D[i] / np.sqrt(norms[i]) for i in range(1, degree + 1)], axis=1)


def _spline(e: Evaluator, node: ast.Call, state: dict[str, Any], u: Any, function: str) -> Any:
    """Derivatives (n, c) of a piecewise polynomial, read off at Chebyshev points between its knots."""
    low, high = float(state["lower_bound"]), float(state["upper_bound"])
    if function == "cc":
        u = low + np.mod(u - low, high - low)
    inside = np.unique([low, *(float(k) for k in state["knots"] if low < k < high), high])
    top, bottom = np.nanmax(u, initial=high), np.nanmin(u, initial=low)
    edges = [*inside]
    if bottom < low:
        edges.insert(0, low - max(high - low, low - bottom))
    if top > high:
        edges.append(high + max(high - low, top - high))
    cuts = np.asarray(edges)
    degree = int(options_of(node, TRANSFORMS["bs"]).get("degree", 3)) if function == "bs" else 3
    t = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    points = (middle[:, None] + half[:, None] * t).ravel()
    made = _at(e, node, points)  # (pieces · points, c)
    solve = np.linalg.inv(np.polynomial.chebyshev.chebvander(t, degree))
    coefficients = np.einsum("ij,pjc->pic", solve, made.reshape(len(half), degree + 1, -1))
    derivative = (
        np.polynomial.chebyshev.chebder(coefficients, axis=1)
        if degree
        else np.zeros((len(half), 1, made.shape[1]))
    )
    last = int(np.searchsorted(cuts, high)) - 1
    piece = np.clip(np.searchsorted(cuts, u, side="right") - 1, 0, len(half) - 1)
    piece = np.where(u == high, last, piece)  # the upper bound belongs to the last interval inside
    powers = np.polynomial.chebyshev.chebvander((u - middle[piece]) / half[piece], derivative.shape[1] - 1)
    return np.einsum("nd,ndc->nc", powers, derivative[piece]) / half[piece][:, None]


def _at(e: Evaluator, node: ast.Call, points: Any) -> Any:
    """The transform's columns (m, c) at other values of its argument."""
    call = ast.Call(node.func, [ast.Name("_u_"), *node.args[1:]], node.keywords)
    column = Column("_u_", "number", points)
    value = Evaluator(
        {"_u_": column}, len(points), {spell(call): dict(e.states[spell(node)])}, True, term=e.term
    ).value(call)
    assert not isinstance(value, Levels)
    return np.stack(list(value.columns.values()), axis=1) if isinstance(value, Basis) else value[:, None]
