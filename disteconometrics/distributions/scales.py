"""Change of scale: read the transform off the outcome as the formula writes it, and undo it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import numpy as np

from disteconometrics.distributions.law import Law
from disteconometrics.distributions.maps import Affine, Exp, Map
from disteconometrics.errors import OptionError

__all__ = ["maps_to", "rescale", "undo"]

_SIGN = {ast.Add: 1.0, ast.Sub: -1.0}


def undo(outcome: str) -> tuple[str, list[Map]]:
    """The column under a transform, and the maps that lead from the transform back to it.

    Raises
    ------
    OptionError
        If the transform is not a chain of log, exp, their base-2, base-10 and 1p forms, and + − * / with
        numbers.

    Examples
    --------
    >>> undo("log(wage / 100)")
    ('wage', [Exp(), Affine(loc=0.0, scale=100.0)])
    """
    maps: list[Map] = []
    try:
        node: ast.expr = ast.parse(outcome.strip(), mode="eval").body
        while not isinstance(node, ast.Name):
            node, steps = _peel(node)
            maps += steps
    except (SyntaxError, ValueError, OptionError):
        raise OptionError(
            f"No change of scale is known for the outcome {outcome!r}; give maps, e.g. law.on(de.Exp())."
        ) from None
    return node.id, maps


def _number(node: ast.expr) -> float:
    value = ast.literal_eval(node)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return float(value)


def _peel(node: ast.expr) -> tuple[ast.expr, list[Map]]:
    """Take off the outermost step: what is inside, and the maps that undo the step."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        return node.args[0], _undo_call(ast.unparse(node.func).split(".")[-1])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand, [Affine(0, -1)]
    if isinstance(node, ast.BinOp):
        return _undo_arithmetic(node)
    raise ValueError


def _undo_call(name: str) -> list[Map]:
    calls: dict[str, list[Map]] = {
        "I": [],
        "log": [Exp()],
        "log2": [Affine(0, float(np.log(2))), Exp()],
        "log10": [Affine(0, float(np.log(10))), Exp()],
        "log1p": [Exp(), Affine(-1, 1)],
        "exp": [Exp().inverted],
        "expm1": [Affine(1, 1), Exp().inverted],
    }
    if name not in calls:
        raise ValueError
    return calls[name]


def _undo_arithmetic(node: ast.BinOp) -> tuple[ast.expr, list[Map]]:
    left_is_number = isinstance(node.left, (ast.Constant, ast.UnaryOp)) and not isinstance(
        node.right, ast.Constant
    )
    inner, number = (node.right, _number(node.left)) if left_is_number else (node.left, _number(node.right))
    kind = type(node.op)
    if kind in _SIGN:
        sign = _SIGN[kind]
        return inner, [Affine(number, -1.0)] if left_is_number and sign < 0 else [Affine(-sign * number, 1.0)]
    if kind is ast.Mult:
        return inner, [Affine(0, 1 / number)]
    if kind is ast.Div and not left_is_number:
        return inner, [Affine(0, number)]
    raise ValueError


def maps_to(outcome: str | None, scale: str) -> list[Map]:
    """The maps from an outcome as the formula writes it to the scale of a name.

    Raises
    ------
    OptionError
        If they are not known.

    Examples
    --------
    >>> maps_to("log(wage)", "wage"), maps_to("wage", "wage")
    ([Exp()], [])
    """
    if scale == outcome:
        return []
    if outcome is None:
        raise OptionError(
            f"on({scale!r}): the law does not know how its outcome was made; give maps, e.g. "
            f"law.on(de.Exp())."
        )
    column, maps = undo(outcome)
    if column != scale:
        raise OptionError(f"on({scale!r}): the outcome is {outcome!r}, so the scale is {column!r}.")
    return maps


def rescale(law: Law, scale: str | Map | Sequence[Map]) -> Law:
    """The law on another scale; see `Law.on`.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> float(rescale(Normal(0, 1).named("log(wage)"), "wage").quantile(0.5))
    1.0
    """
    if not isinstance(scale, str):
        return law._pushed((scale,) if isinstance(scale, Map) else scale)
    if scale == law.outcome:
        return law
    maps = maps_to(law.outcome, scale)
    found, told = law._pushed(tuple(maps)).named(scale), law.recording
    if told is not None:
        found.__dict__["recording"] = told.under(maps)
    return found
