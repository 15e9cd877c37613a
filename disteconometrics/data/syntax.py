"""One expression of a formula: its syntax tree, checked against a short list of what may occur.

Nothing is evaluated here: what passes is interpreted by `evaluate`, not by Python's ``eval``.
"""

from __future__ import annotations

import ast
import copy
import keyword
import re
from functools import lru_cache
from types import NoneType

from disteconometrics.data.transforms import (
    CONSTANTS,
    CONTRASTS,
    INFINITE,
    OTHER_SPELLINGS,
    TRANSFORMS,
    Transform,
    known_functions,
)
from disteconometrics.errors import FormulaError, UnsafeFormulaError

__all__ = [
    "MAX_DEPTH",
    "SPELLED",
    "function_name",
    "infinite_variables",
    "option_of",
    "parse_expression",
    "spell",
    "variables_of",
]

SPELLED = 1024  # expressions whose spelling is kept: formulas are parsed once, and their trees stay
MAX_DEPTH = 100  # nested brackets, and levels of a syntax tree: both are recursions in Python's own parser

_AS = re.compile(r"(as\.\w+)\s*\(")
_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.UAdd, ast.USub, ast.Invert, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)


def parse_expression(text: str, aliases: dict[str, str]) -> ast.expr:
    """Parse and check one expression; names in backticks get their real spelling back.

    Returns: the tree.  Raises: FormulaError for syntax; UnsafeFormulaError for code.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        called = _AS.match(text.strip())
        if called is not None and called.group(1) in OTHER_SPELLINGS:
            raise _elsewhere(called.group(1)) from None
        where = getattr(error, "offset", None)
        message = getattr(error, "msg", str(error))
        at = f" at character {where}" if where else ""
        raise FormulaError(
            f"Syntax error in {text.strip()!r}{at}: {message}. Column names that Python cannot read go "
            f"in backticks: `my x`"
        ) from None
    _check_depth(node)
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            part.id = aliases.get(part.id, part.id)
    _check(node)
    return node


def _check_depth(node: ast.AST) -> None:
    level, depth = [node], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH * 2:
            raise FormulaError(
                "An expression in the formula is nested too deeply; build the column in the data first"
            )
        level = [child for n in level for child in ast.iter_child_nodes(n)]


def function_name(node: ast.expr) -> str:
    """Return ``log`` for both ``log`` and ``np.log``, ``contr.sum`` for contrasts, "" for anything else.

    Raises: nothing.
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        known = TRANSFORMS.get(node.attr)
        if node.value.id == "np" and known is not None and known.kind == "row":
            return node.attr
        if node.value.id == "contr":
            return f"contr.{node.attr}"
    return ""


OPTION = "options of a transform are constants"


def _unsafe(node: ast.AST, why: str) -> UnsafeFormulaError:
    try:
        shown = ast.unparse(node)
    except Exception:
        shown = type(node).__name__
    if why == OPTION:
        return UnsafeFormulaError(
            f"{shown[:80]!r} may not stand in a formula: {why}. Write the number, as f'…(x, {{a}})' does, "
            "and what is capped or rounded inside of its function: log(topcoded(y, at=12))"
        )
    return UnsafeFormulaError(
        f"{shown[:80]!r} may not stand in a formula: {why}. Allowed are columns, numbers, operators and "
        + (
            known_functions()
            if isinstance(node, ast.Call)
            else "known transforms such as log(x), scale(x), C(x)"
        )
    )


def _check(node: ast.expr) -> None:
    """Let through columns, constants, operators and known calls; refuse everything else."""
    if isinstance(node, ast.Name):
        return
    if isinstance(node, ast.Constant):
        if not _is_plain(node):
            raise _unsafe(node, "it is not a number or text")
    elif isinstance(node, ast.Call):
        _check_call(node)
    elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
        _check_operation(node)
    elif isinstance(node, ast.BoolOp):
        raise _unsafe(node, "and/or do not work on columns; write & and | with brackets")
    elif not isinstance(node, ast.Attribute):
        raise _unsafe(node, f"{type(node).__name__} is code")
    elif ast.unparse(node) not in CONSTANTS:
        raise _unsafe(node, "attributes are code; a column whose name has a dot goes in backticks")


def _is_plain(node: ast.expr) -> bool:
    """Whether an expression is a constant that a formula may hold: a number, text, true, false or None."""
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, NoneType))


def _check_operation(node: ast.BinOp | ast.UnaryOp | ast.Compare) -> None:
    operators = node.ops if isinstance(node, ast.Compare) else [node.op]
    if not all(isinstance(op, _OPERATORS) for op in operators):
        raise _unsafe(node, "the operator is unknown (for and/or/not write & | ~ with brackets)")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child)


def _elsewhere(name: str) -> FormulaError:
    return FormulaError(f"There is no {name}() in a formula; {OTHER_SPELLINGS[name]}")


def _check_call(node: ast.Call) -> None:
    name = function_name(node.func)
    transform = TRANSFORMS.get(name)
    if transform is None:
        if name in OTHER_SPELLINGS:
            raise _elsewhere(name)
        raise _unsafe(node, f"the function {ast.unparse(node.func)[:60]!r} is not a known transform")
    _check_arguments(node, name, transform)
    for column in node.args[: transform.arity]:
        _check_column_of(name, transform.kind, column)
    options = [*node.args[transform.arity :], *(k.value for k in node.keywords)]
    if transform.kind == "record":
        cap = _cap(node)
        options = [item for option in options if option is not cap for item in _items(option)]
    for option in options:
        _check_option(option)


def option_of(node: ast.Call, name: str) -> ast.expr | None:
    """Return an option of a checked call by name, None where it is not given.

    Raises: FormulaError for an option given twice.
    """
    transform = TRANSFORMS[function_name(node.func)]
    found = [k.value for k in node.keywords if k.arg == name]
    if name in transform.options:
        found += node.args[transform.arity :][transform.options.index(name) :][:1]
    if len(found) > 1:
        raise FormulaError(f"{spell(node)!r} gives {name} twice")
    return found[0] if found else None


def _cap(node: ast.Call) -> ast.Name | None:
    """The column of caps that a recorder names, None where there is none."""
    cap = option_of(node, "at") if function_name(node.func) in ("topcoded", "bottomcoded") else None
    return cap if isinstance(cap, ast.Name) and cap.id not in INFINITE else None


def _items(option: ast.expr) -> list[ast.expr]:
    """What is left to check of an option of a recorder: its parts that are not inf."""
    parts = option.elts if isinstance(option, (ast.List, ast.Tuple)) else [option]
    bare = [p.operand if isinstance(p, ast.UnaryOp) and isinstance(p.op, ast.USub) else p for p in parts]
    return [part for part, of in zip(parts, bare, strict=True) if ast.unparse(of) not in INFINITE]


def _check_arguments(node: ast.Call, name: str, transform: Transform) -> None:
    """Refuse a call with too few columns, too many options or options of other names."""
    named = [k.arg for k in node.keywords]
    if None in named or any(isinstance(a, ast.Starred) for a in node.args):
        raise _unsafe(node, "starred arguments are code")
    options = len(node.args) - transform.arity
    allowed = transform.options + transform.keyword_only
    if not 0 <= options <= len(transform.options) or not set(named) <= set(allowed):
        raise FormulaError(
            f"{ast.unparse(node)[:80]!r} has arguments that {name}() does not take: it takes "
            f"{transform.arity} column(s)"
            + (f", then {', '.join(allowed)}" if allowed else " and nothing else")
        )


def _check_column_of(name: str, kind: str, column: ast.expr) -> None:
    _check(column)
    if kind == "quote" and not (isinstance(column, ast.Constant) and isinstance(column.value, str)):
        raise FormulaError("Q() takes the name of a column in quotes: Q('my x')")
    inner = {TRANSFORMS[function_name(n.func)].kind for n in ast.walk(column) if isinstance(n, ast.Call)}
    if kind == "lag" and inner & {"state", "lag"}:
        raise FormulaError(
            f"lag() takes a column or a row-by-row transform, not {ast.unparse(column)!r}; write "
            f"scale(lag(x))"
        )
    if "level" in inner:
        raise FormulaError(f"C() must be the outermost call of a term, but it is inside {name}()")


def _check_option(node: ast.expr) -> None:
    """An option is a constant, a list of constants or a contrast."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = node.operand
        if not (isinstance(number, ast.Constant) and isinstance(number.value, (int, float))):
            raise _unsafe(number, OPTION)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            _check_option(item)
    elif not _is_plain(node):
        _check_contrast(node)


def _check_contrast(node: ast.expr) -> None:
    """Let through a known contrast, by name or called with constants."""
    call = node.func if isinstance(node, ast.Call) else node
    name = function_name(call)
    if name not in CONTRASTS:
        raise _unsafe(node, OPTION)
    if not isinstance(node, ast.Call):
        return
    allowed = CONTRASTS[name][1]
    if len(node.args) > len(allowed) or not {k.arg for k in node.keywords} <= set(allowed):
        raise FormulaError(
            f"{ast.unparse(node)!r} has arguments that {name} does not take ({', '.join(allowed) or 'none'})"
        )
    for item in [*node.args, *(k.value for k in node.keywords)]:
        _check_option(item)


class _Spelling(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.Name:
        plain = node.id.isidentifier() and not keyword.iskeyword(node.id)
        return node if plain else ast.Name(f"`{node.id}`", node.ctx)


@lru_cache(SPELLED)
def spell(node: ast.expr) -> str:
    """Return formulaic's spelling of a checked expression, as ``I(x ** 2)``, with backticks where needed.

    Returns: str.  Raises: nothing.
    """
    return ast.unparse(_Spelling().visit(copy.deepcopy(node))).replace("\n", " ")


def variables_of(node: ast.expr, same_row: bool = False) -> tuple[str, ...]:
    """Return the columns that a checked expression reads, or only those that it needs in the same row.

    The latter leave out what stands inside ``lag()``, caps, and ends of intervals that may be missing.

    Returns: tuple of str, in order.  Raises: nothing.
    """
    out: dict[str, None] = {}
    todo: list[ast.AST] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Name):
            out[part.id] = None
        elif isinstance(part, ast.Call):
            name = function_name(part.func)
            if name == "Q" and isinstance(part.args[0], ast.Constant):
                out[str(part.args[0].value)] = None
            else:
                todo.extend(reversed(_columns_of(part, name, same_row)))
        elif not isinstance(part, ast.Attribute):
            todo.extend(reversed(list(ast.iter_child_nodes(part))))
    return tuple(out)


def _columns_of(call: ast.Call, name: str, same_row: bool) -> list[ast.expr]:
    """The arguments of a call that hold columns."""
    if same_row and (name == "lag" or (name == "interval" and option_of(call, "open") is not None)):
        return []
    cap = None if same_row or TRANSFORMS[name].kind != "record" else _cap(call)
    return [*call.args[: TRANSFORMS[name].arity], *([] if cap is None else [cap])]


def infinite_variables(node: ast.expr) -> tuple[str, ...]:
    """Return the columns of a left side in which inf has a meaning: open ends of intervals, and no cap.

    Returns: tuple of str.  Raises: nothing.
    """
    out: list[str] = []
    for part in ast.walk(node):
        name = function_name(part.func) if isinstance(part, ast.Call) else ""
        if isinstance(part, ast.Call) and name == "interval":
            out += [a.id for a in part.args if isinstance(a, ast.Name)]
        elif isinstance(part, ast.Call) and name in TRANSFORMS:
            cap = _cap(part)
            out += [] if cap is None else [cap.id]
    return tuple(out)
