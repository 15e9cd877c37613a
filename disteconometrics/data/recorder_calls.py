"""The calls on the left side of a formula that say how the outcome was recorded: checked, and read as values.

Recorders stand innermost, in one order (`recorded.RECORDERS`), and increasing functions outside of them:
``log(topcoded(rounded(wage, to=0.5), at=40))``.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from disteconometrics.arrays import as_floats
from disteconometrics.data.recorded import RECORDERS, Recorder
from disteconometrics.data.syntax import SPELLED, function_name, option_of, spell
from disteconometrics.data.transforms import INFINITE, TRANSFORMS
from disteconometrics.errors import FormulaError

__all__ = [
    "ARITHMETIC",
    "DIRECTIONS",
    "INCREASING",
    "check_recorders",
    "is_recorded",
    "layers_of",
    "number_of",
    "outcome_name",
    "recorder_of",
    "recorders_of",
    "recording_of",
]

# increasing functions that may stand outside, and where their arguments begin
INCREASING = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt"), 0.0),
    "log1p": -1.0,
    **dict.fromkeys(("exp", "exp2", "expm1", "cbrt", "arcsinh", "sinh", "arctan", "tanh"), -np.inf),
}
ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide}
DIRECTIONS = {"nearest": (0.5, 0.5), "up": (1.0, 0.0), "down": (0.0, 1.0)}
ORDER = "mass(topcoded(rounded(y, to=…), at=…), 0)"


def is_recorded(node: ast.AST) -> bool:
    """Whether an expression has a recorder in it."""
    return any(_is_recorder(part) for part in ast.walk(node))


def _is_recorder(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and function_name(node.func) in RECORDERS


def layers_of(node: ast.expr) -> tuple[list[ast.expr], list[ast.Call]]:
    """The functions outside, outermost first, and the recorders, outermost first.

    Raises
    ------
    FormulaError
        For functions that are not known to increase.
    """
    outer: list[ast.expr] = []
    while not _is_recorder(node):
        outer.append(node)
        node = _inside(node)
    calls: list[ast.Call] = []
    while isinstance(node, ast.Call) and _is_recorder(node):
        calls.append(node)
        node = node.args[0]
    return outer, calls


def _inside(node: ast.expr) -> ast.expr:
    """What an increasing function takes, as one step outside of recorders."""
    name = function_name(node.func) if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and (name in INCREASING or name == "I"):
        return node.args[0]
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right = number_of(node.left), number_of(node.right)
        scales = isinstance(node.op, (ast.Mult, ast.Div))
        if right is not None and (right > 0 or not scales):
            return node.left
        if left is not None and isinstance(node.op, (ast.Add, ast.Mult)) and (left > 0 or not scales):
            return node.right
    raise FormulaError(
        f"{spell(node)!r} on the left side: outside of {', '.join(RECORDERS)} only increasing functions may "
        f"stand ({', '.join(INCREASING)}, and + − * / with a number), as log(topcoded(y, at=40))"
    )


def _constant(node: ast.expr) -> Any:
    """The value of a checked option: a number, text, inf, or a list of these."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_constant(item) for item in node.elts]
    if ast.unparse(node) in INFINITE:
        return np.inf
    if isinstance(node, ast.UnaryOp):
        return -_constant(node.operand)
    return ast.literal_eval(node)


def number_of(node: ast.expr) -> float | None:
    """The number that an expression is, None for another."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def check_recorders(node: ast.expr) -> None:
    """Refuse recorders of a left side in another order than the one in which outcomes are recorded.

    Raises
    ------
    FormulaError
    """
    _, calls = layers_of(node)
    names = [function_name(call.func) for call in calls]
    places = [RECORDERS[name] for name in names]
    if any(is_recorded(a) for call in calls for a in call.args[1 : TRANSFORMS["interval"].arity]) or (
        is_recorded(calls[-1].args[0])
    ):
        raise FormulaError(
            f"{spell(node)!r}: a recorder stands outside of what it records, and functions outside of all "
            f"recorders, as log({ORDER})"
        )
    if places != sorted(places, reverse=True) or len(set(names)) < len(names) or places.count(0) > 1:
        raise FormulaError(
            f"{spell(node)!r}: recorders stand in the order in which outcomes are recorded, each once: "
            f"interval, brackets or rounded innermost, then bottomcoded and topcoded, mass outermost, as "
            f"{ORDER}"
        )
    if {"interval", "brackets"} & set(names) and 1 in places:
        raise FormulaError(
            f"{spell(node)!r}: {names[-1]}() has caps of its own: end it with inf, and begin it with -inf"
        )
    _check_corner(node, [recorder_of(call) for call in calls])


def _check_corner(node: ast.expr, found: Sequence[Recorder]) -> None:
    """Refuse recorders that stand inside of a mass but not of a corner."""
    if found[0].corner and {"interval", "brackets", "bottomcoded"} & {r.name for r in found}:
        raise FormulaError(
            f"{spell(node)!r}: at a corner ends the law of an outcome that is told exactly, rounded or "
            f"top-coded; write the first bracket to end at it, or bottomcoded() alone"
        )


def recorders_of(node: ast.expr) -> tuple[Recorder, ...]:
    """The recorders of a left side as the formula writes them, innermost first; none where it has none.

    Raises
    ------
    FormulaError

    Examples
    --------
    >>> found = recorders_of(ast.parse("log(topcoded(rounded(wage, to=1), at=40))", mode="eval").body)
    >>> [str(recorder) for recorder in found]
    ['rounded to 1 (nearest)', 'top-coded at 40']
    """
    return tuple(map(recorder_of, reversed(layers_of(node)[1]))) if is_recorded(node) else ()


@lru_cache(SPELLED)
def outcome_name(node: ast.expr) -> str:
    """The outcome without its recorders, as a formula would write it.

    Examples
    --------
    >>> outcome_name(ast.parse("log(topcoded(wage, at=40))", mode="eval").body)
    'log(wage)'
    """
    bare = _Bare().visit(copy.deepcopy(node))
    return bare.id if isinstance(bare, ast.Name) else spell(bare)


def recording_of(node: ast.expr) -> str:
    """What was recorded, and how, in words; nothing of a left side without recorders.

    Examples
    --------
    >>> recording_of(ast.parse("log(topcoded(wage, at=40))", mode="eval").body)
    'wage was top-coded at 40'
    """
    found = recorders_of(node)
    return f"{outcome_name(layers_of(node)[1][0])} was {'; '.join(map(str, found))}" if found else ""


class _Bare(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not _is_recorder(node):
            return node
        if function_name(node.func) == "interval":
            return ast.Call(node.func, node.args, [])
        return node.args[0]


# ---- the numbers of a recorder -----------------------------------------------------------------------------


@lru_cache(SPELLED)
def recorder_of(call: ast.Call) -> Recorder:
    """A recorder with the numbers that the formula gives it."""
    name, text = function_name(call.func), spell(call)
    given = {key: option_of(call, key) for key in _options(name)}
    if name in ("topcoded", "bottomcoded"):
        cap = given["at"]
        if isinstance(cap, ast.Name) and cap.id != "inf":
            return Recorder(name, column=cap.id)
        return Recorder(name, at=_finite(cap, text, "at", "a number, or the bare name of a column of caps"))
    if name == "mass":
        at = _finite(given["at"], text, "at", "the value at which the mass is")
        return Recorder(
            name, at=at, corner=bool(_choice(given["corner"], text, "corner", (True, False), False))
        )
    if name == "rounded":
        return _rounding(given, text)
    if name == "brackets":
        return _bracketing(given, text)
    _choice(given["open"], text, "open", ("missing",), None)
    return Recorder(name)


def _options(name: str) -> tuple[str, ...]:
    return TRANSFORMS[name].options + TRANSFORMS[name].keyword_only


def _finite(node: ast.expr | None, text: str, option: str, what: str) -> float:
    value = None if node is None else number_of(node)
    if value is None or not np.isfinite(value):
        shown = "" if node is None else f", not {spell(node)}"
        raise FormulaError(f"{text!r}: {option} must be {what}{shown}")
    return value


def _choice(
    node: ast.expr | None, text: str, option: str, allowed: tuple[str | bool, ...], default: Any
) -> Any:
    if node is None:
        return default
    value = _constant(node)
    if value not in allowed:
        raise FormulaError(f"{text!r}: {option} must be {' or '.join(map(repr, allowed))}, not {value!r}")
    return value


def _rounding(given: dict[str, ast.expr | None], text: str) -> Recorder:
    to = _finite(given["to"], text, "to", "a positive number, the step of the grid")
    if to <= 0:
        raise FormulaError(f"{text!r}: to must be a positive number, the step of the grid, not {to:g}")
    direction = _choice(given["direction"], text, "direction", tuple(DIRECTIONS), "nearest")
    return Recorder("rounded", to=to, direction=direction)


def _bracketing(given: dict[str, ast.expr | None], text: str) -> Recorder:
    closed = _choice(given["closed"], text, "closed", ("left", "right"), None)
    if given["bounds"] is None:
        if closed is not None:
            raise FormulaError(f"{text!r}: categories of intervals say themselves which side is closed")
        return Recorder("brackets")
    bounds = _constant(given["bounds"])
    numbers = isinstance(bounds, list) and all(
        isinstance(b, (int, float)) and not isinstance(b, bool) for b in bounds
    )
    known = numbers and len(bounds) > 1 and bool(np.isfinite(bounds).any())
    if not known or not (np.diff(as_floats(bounds)) > 0).all():
        raise FormulaError(
            f"{text!r}: bounds must be a list of increasing numbers, such as [0, 10, 15, inf], not {bounds!r}"
        )
    return Recorder("brackets", bounds=tuple(map(float, bounds)), closed=closed or "left")
