"""Formula text to checked terms: a formula is data, never code.

Names in backticks become plain identifiers first, so that neither Python nor formulaic has to understand
them.  Then the text is cut at ``~``, every Python expression in it is parsed and its syntax tree checked
against a short list of what may occur, and only then formulaic's parser expands the right side (operators,
order, intercept).  Nothing is evaluated here, and what passes is interpreted by `evaluate`, not by Python's
``eval``.
"""

from __future__ import annotations

import ast
import copy
import keyword
import operator
import re
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokenize import tokenize
from formulaic.parser.parser import DefaultFormulaParser, DefaultOperatorResolver
from formulaic.parser.types import Factor as _FormulaicFactor
from formulaic.parser.types import Token

from disteconometrics.data.transforms import CONSTANTS, CONTRASTS, ELSEWHERE, TRANSFORMS, known_functions
from disteconometrics.errors import FormulaError, OptionError, UnsafeFormulaError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Factor",
    "Formula",
    "function_name",
    "normalise_name",
    "parse_formula",
    "spell",
    "split_sides",
    "split_top_level",
    "variables_of",
]

MAX_LENGTH = 50_000  # characters
MAX_DEPTH = 100  # nested brackets, and levels of a syntax tree: both are recursions in Python's own parser
MAX_TERMS = 10_000  # of a product of terms: (a + b + …)**N grows without bound

_QUOTED = re.compile(r"""`([^`]*)`|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
_AS = re.compile(r"(as\.\w+)\s*\(")
_STATA = re.compile(r"\w##?\w|\b[ic]\.\w+\s*##?")
_OPEN, _CLOSE = "([{", ")]}"
_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.UAdd, ast.USub, ast.Invert, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)


@dataclass(frozen=True, eq=False)
class Factor:
    """One factor of a term: its spelling in names and its checked syntax tree (a plain column is a Name)."""

    name: str
    node: ast.expr

    @property
    def is_column(self) -> bool:
        """Whether the factor is a column as it stands.  Raises: nothing."""
        return isinstance(self.node, ast.Name)


@dataclass(frozen=True, eq=False)
class Formula:
    """A checked formula: left side, distinct right-side factors, terms as (scale, positions of factors) in formulaic's order."""

    text: str
    left: Factor
    factors: tuple[Factor, ...]
    terms: tuple[tuple[float, tuple[int, ...]], ...]
    has_dot: bool

    @property
    def right_variables(self) -> tuple[str, ...]:
        """Columns that the right side uses, in order of appearance.  Raises: nothing."""
        return tuple(dict.fromkeys(v for f in self.factors for v in variables_of(f.node)))

    @property
    def lags(self) -> tuple[ast.Call, ...]:
        """All ``lag(…)`` calls: they look across rows, so they are computed before rows are dropped.

        Raises: nothing.
        """
        nodes = [self.left.node, *(f.node for f in self.factors)]
        return tuple(
            n
            for node in nodes
            for n in ast.walk(node)
            if isinstance(n, ast.Call) and function_name(n.func) == "lag"
        )


def parse_formula(formula: Any, others: tuple[str, ...] = ()) -> Formula:
    """Check and parse a formula; ``others`` are the columns that a ``.`` on the right side stands for.

    Returns: Formula.  Raises: OptionError if it is not text; FormulaError for syntax and structure;
    UnsafeFormulaError for code.
    """
    if not isinstance(formula, str):
        raise OptionError(f"formula must be a string such as 'y ~ x', not {type(formula).__name__}")
    return _parse(formula, others)


@lru_cache(maxsize=256)
def _parse(formula: str, others: tuple[str, ...]) -> Formula:
    try:
        return _read(formula, others)
    except (RecursionError, MemoryError):
        raise FormulaError("The formula is nested too deeply; build the column in the data first") from None


def _read(formula: str, others: tuple[str, ...]) -> Formula:
    text, aliases = _alias(formula, others)
    left, right = _split(text, formula)
    outcome = _left_side(left, aliases)
    if not right.strip():
        raise FormulaError(f"The formula {formula!r} has no right side; write 'y ~ 1' for a constant only")
    has_dot = _check_tokens(right, aliases)
    used = set(variables_of(outcome.node))
    terms = _formulaic_terms(right, formula, tuple(name for name in others if name not in used))
    factors: dict[tuple[str, bool], int] = {}
    found: list[Factor] = []
    out = []
    for term in terms:
        scale, places = 1.0, []
        for factor in term.factors:
            if factor.eval_method is _FormulaicFactor.EvalMethod.LITERAL:
                scale *= _number(factor.expr)
                continue
            key = (factor.expr, factor.eval_method is _FormulaicFactor.EvalMethod.LOOKUP)
            if key not in factors:
                factors[key] = len(found)
                found.append(_factor(factor.expr, key[1], aliases))
            places.append(factors[key])
        out.append((scale, tuple(places)))
    if not out:
        raise FormulaError(
            f"The formula {formula!r} leaves no columns: it needs at least one term, such as 1 or x"
        )
    return Formula(formula, outcome, tuple(found), tuple(out), has_dot)


def _alias(formula: str, others: tuple[str, ...] = ()) -> tuple[str, dict[str, str]]:
    """Replace names in backticks by identifiers that occur nowhere in the formula."""
    if len(formula) > MAX_LENGTH:
        raise FormulaError(
            f"The formula has {len(formula)} characters; at most {MAX_LENGTH} are read: write 'y ~ .'"
        )
    prefix = "q_"
    while prefix in formula or any(name.startswith(prefix) for name in others):
        prefix = "q" + prefix
    aliases: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group(0)
        if not match.group(1):
            raise FormulaError(f"Syntax error in the formula {formula!r}: empty backticks")
        name = match.group(1)
        if name.isascii() and name.isidentifier() and not keyword.iskeyword(name):
            return f" {name} "
        alias = next((a for a, name in aliases.items() if name == match.group(1)), f"{prefix}{len(aliases)}_")
        aliases[alias] = match.group(1)
        return alias

    text = _QUOTED.sub(replace, formula)
    if "`" in _QUOTED.sub("", text):
        raise FormulaError(f"Syntax error in the formula {formula!r}: a backtick ` is not closed")
    return text, aliases


def _mask(text: str) -> str:
    """Blank out quoted text, so that what is left is structure."""
    return _QUOTED.sub(lambda m: "_" * len(m.group(0)), text)


def _top_level(text: str, symbols: str) -> Iterator[int]:
    """Positions of ``symbols`` outside quotes and brackets."""
    depth = 0
    for i, char in enumerate(_mask(text)):
        if char in _OPEN:
            depth += 1
            if depth > MAX_DEPTH:
                raise FormulaError(
                    f"The formula nests more than {MAX_DEPTH} brackets; build the column in the data first"
                )
        elif char in _CLOSE:
            depth -= 1
        elif depth == 0 and char in symbols:
            yield i


def split_top_level(text: str, symbol: str) -> list[str]:
    """The parts of a text between a symbol that stands outside quotes and brackets.

    Raises: FormulaError.

    Example
    -------
    >>> split_top_level("log(a + 1) + b", "+")
    ['log(a + 1) ', ' b']
    """
    cuts = [-1, *_top_level(text, symbol), len(text)]
    return [text[a + 1 : b] for a, b in pairwise(cuts)]


def split_sides(formula: str) -> tuple[str, str]:
    """The left and the right side of a formula, as written.

    Raises: FormulaError.

    Example
    -------
    >>> split_sides("y ~ x")
    ('y ', ' x')
    """
    return _split(formula, formula)


def _split(text: str, formula: str) -> tuple[str, str]:
    if _STATA.search(_mask(text)):
        raise FormulaError(
            f"Stata's # in the formula {formula!r}: write a:b for a#b, a*b for a##b, C(g) for i.g and "
            f"I(x**2) for c.x#c.x"
        )
    if "#" in _mask(text) or "\0" in text:
        raise FormulaError(
            f"Syntax error in the formula {formula!r}: a comment or control character; put the name in "
            f"backticks"
        )
    cuts = list(_top_level(text, "~"))
    if not cuts or not text[: cuts[0]].strip():
        raise FormulaError(f"The formula {formula!r} has no left side; write the outcome first: 'y ~ x'")
    left, right = text[: cuts[0]], text[cuts[0] + 1 :]
    if re.search(r"\{\s*\}", _mask(right)):
        raise FormulaError(f"Syntax error in the formula {formula!r}: empty braces")
    if len(cuts) > 1:
        raise FormulaError(
            f"The formula {formula!r} has more than one '~'; write one outcome and one right side"
        )
    if any(True for _ in _top_level(text, "|")):
        raise FormulaError(
            f"The formula {formula!r} has several parts ('|'); this estimator takes one right side. "
            f"Inside I(a | b) it means or"
        )
    return left, right


def _left_side(left: str, aliases: dict[str, str]) -> Factor:
    left = left.strip()
    if left.startswith("{") and left.endswith("}"):
        left = left[1:-1]
    if re.fullmatch(r"[^\W\d][\w.]*", left) and not _is_call(left):
        return _factor(left, True, aliases)
    several = any(True for _ in _top_level(left, ","))
    factor = None if several else _factor(left, False, aliases)
    if factor is not None and isinstance(factor.node, (ast.Name, ast.Call, ast.Compare)):
        return factor
    if factor is not None and isinstance(factor.node, ast.Constant):
        raise FormulaError(f"The left side {left!r} is a constant; the outcome must be a column")
    raise FormulaError(
        f"The left side {left!r} asks for several columns or for arithmetic; the outcome is one column. "
        "Wrap a computed outcome in I(…), e.g. 'I(a + b) ~ x'"
    )


def _is_call(text: str) -> bool:
    return "(" in text


def _check_tokens(right: str, aliases: dict[str, str]) -> bool:
    """Check every Python expression before formulaic sees it (its parser evaluates some); return whether there is a dot."""
    try:
        tokens = list(tokenize(right))
    except FormulaicError as error:
        raise _syntax(right, error) from None
    for token in tokens:
        if token.kind is Token.Kind.PYTHON:
            _python(token.token, aliases)
        if token.kind is Token.Kind.CONTEXT and token.token in "[]":
            raise FormulaError(
                f"Square brackets in {right.strip()!r}: a formula selects nothing; make a column in the "
                f"data first"
            )
    return any(token.token == "." for token in tokens)


def _syntax(text: str, error: Exception) -> FormulaError:
    told = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).replace("\n", " ").strip()
    return FormulaError(f"Syntax error in the formula part {text.strip()!r}: {told}")


def _python(text: str, aliases: dict[str, str]) -> ast.expr:
    """Parse and check one expression; names in backticks get their real spelling back."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        called = _AS.match(text.strip())
        if called is not None and called.group(1) in ELSEWHERE:
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


def _unsafe(node: ast.AST, why: str) -> UnsafeFormulaError:
    try:
        shown = ast.unparse(node)
    except Exception:
        shown = type(node).__name__
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
        if node.value is not None and not isinstance(node.value, (int, float, str, bool)):
            raise _unsafe(node, "it is not a number or text")
    elif isinstance(node, ast.Call):
        _check_call(node)
    elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
        operators = node.ops if isinstance(node, ast.Compare) else [node.op]
        if not all(isinstance(op, _OPERATORS) for op in operators):
            raise _unsafe(node, "the operator is unknown (for and/or/not write & | ~ with brackets)")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                _check(child)
    elif isinstance(node, ast.Attribute) and ast.unparse(node) in CONSTANTS:
        return
    elif isinstance(node, ast.BoolOp):
        raise _unsafe(node, "and/or do not work on columns; write & and | with brackets")
    elif isinstance(node, ast.Attribute):
        raise _unsafe(node, "attributes are code; a column whose name has a dot goes in backticks")
    else:
        raise _unsafe(node, f"{type(node).__name__} is code")


def _elsewhere(name: str) -> FormulaError:
    return FormulaError(f"There is no {name}() in a formula; {ELSEWHERE[name]}")


def _check_call(node: ast.Call) -> None:
    name = function_name(node.func)
    transform = TRANSFORMS.get(name)
    if transform is None:
        if name in ELSEWHERE:
            raise _elsewhere(name)
        raise _unsafe(node, f"the function {ast.unparse(node.func)[:60]!r} is not a known transform")
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        raise _unsafe(node, "starred arguments are code")
    columns, options = node.args[: transform.arity], node.args[transform.arity :]
    allowed = transform.options + transform.keyword_only
    named = [k.arg for k in node.keywords]
    if (
        len(columns) < transform.arity
        or len(options) > len(transform.options)
        or not set(named) <= set(allowed)
    ):
        raise FormulaError(
            f"{ast.unparse(node)[:80]!r} has arguments that {name}() does not take: it takes "
            f"{transform.arity} column(s)"
            + (f", then {', '.join(allowed)}" if allowed else " and nothing else")
        )
    for column in columns:
        _check_column_of(name, transform.kind, column)
    for option in [*options, *(k.value for k in node.keywords)]:
        _check_option(option)


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
        node = node.operand
    if isinstance(node, ast.Constant) and (
        node.value is None or isinstance(node.value, (bool, int, float, str))
    ):
        return
    if isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            _check_option(item)
        return
    call = node.func if isinstance(node, ast.Call) else node
    name = function_name(call) if isinstance(call, (ast.Name, ast.Attribute)) else ""
    if name not in CONTRASTS:
        raise _unsafe(node, "options of a transform are constants")
    if isinstance(node, ast.Call):
        allowed = CONTRASTS[name][1]
        if len(node.args) > len(allowed) or not {k.arg for k in node.keywords} <= set(allowed):
            raise FormulaError(
                f"{ast.unparse(node)!r} has arguments that {name} does not take "
                f"({', '.join(allowed) or 'none'})"
            )
        for item in [*node.args, *(k.value for k in node.keywords)]:
            _check_option(item)


class _Spelling(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.Name:
        plain = node.id.isidentifier() and not keyword.iskeyword(node.id)
        return node if plain else ast.Name(f"`{node.id}`", node.ctx)


def spell(node: ast.expr) -> str:
    """Return formulaic's spelling of a checked expression: one blank around operators, backticks where needed.

    Returns: str.  Raises: nothing.
    """
    return ast.unparse(_Spelling().visit(copy.deepcopy(node))).replace("\n", " ")


def _factor(text: str, lookup: bool, aliases: dict[str, str]) -> Factor:
    if lookup:
        name = aliases.get(text, text)
        return Factor(name, ast.Name(name, ast.Load()))
    node = _python(text, aliases)
    return Factor(node.id if isinstance(node, ast.Name) else spell(node), node)


def variables_of(node: ast.expr, inside_lag: bool = True) -> tuple[str, ...]:
    """Return the columns that a checked expression reads, those inside ``lag()`` only on request.

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
            elif inside_lag or name != "lag":
                todo.extend(reversed(part.args[: TRANSFORMS[name].arity]))
        elif not (isinstance(part, ast.Attribute)):
            todo.extend(reversed(list(ast.iter_child_nodes(part))))
    return tuple(out)


def _number(text: str) -> float:
    try:
        return float(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        raise FormulaError(f"Syntax error in the formula: {text!r} is not a number") from None


class _Resolver(DefaultOperatorResolver):  # type: ignore[misc]
    """formulaic's operators, with products of terms bounded before they are expanded."""

    @property
    def operators(self) -> list[Any]:
        out = super().operators
        for op in out:
            if op.symbol in ("*", "/", "in", ":", "**", "^"):
                op._to_terms = _bounded(op._to_terms, op.symbol)
        return list(out)


def _bounded(expand: Any, symbol: str) -> Any:
    def to_terms(*sets: Any) -> Any:
        if symbol in ("**", "^"):
            exponent = str(next(iter(sets[1])))
            if not exponent.isdigit() or len(exponent) > 2 or len(sets[0]) ** int(exponent) > MAX_TERMS:
                raise FormulaError(
                    f"The power ({symbol} {exponent[:20]}) of a sum of terms is too large or no whole "
                    f"number; I(x**2) squares x"
                )
        elif reduce(operator.mul, (len(s) for s in sets), 1) > MAX_TERMS:
            raise FormulaError(f"A product of terms ({symbol}) expands to more than {MAX_TERMS} terms")
        return expand(*sets)

    return to_terms


def _formulaic_terms(right: str, formula: str, others: tuple[str, ...]) -> list[Any]:
    """Expand the right side; terms come in formulaic's order: by degree, then as written."""
    parser = DefaultFormulaParser(
        operator_resolver=_Resolver(), feature_flags=DefaultFormulaParser.FeatureFlags.NONE
    )
    try:
        terms = parser.get_terms(right, context={"__formulaic_variables_available__": others})._simplify()
        return sorted(terms, key=lambda term: term.degree)
    except (FormulaError, RecursionError):
        raise
    except Exception as error:  # formulaic raises many kinds for text it cannot read
        raise _syntax(right, error) from None


def normalise_name(text: str) -> str:
    """Return formulaic's spelling of a term name: ``I(exper**2)`` gives ``I(exper ** 2)``; levels in [ ] stay as written.

    Returns: str.  Raises: nothing (text that is no term comes back stripped).
    """
    text = text.strip()
    try:
        aliased, aliases = _alias(text)
        cuts = [-1, *_top_level(aliased, ":"), len(aliased)]
        parts = [aliased[a + 1 : b].strip() for a, b in pairwise(cuts)]
        return ":".join(_normalise_part(part, aliases) for part in parts)
    except (FormulaError, RecursionError, MemoryError):
        return text


def _normalise_part(part: str, aliases: dict[str, str]) -> str:
    base, bracket, level = part.partition("[") if not part.startswith("[") else (part, "", "")
    if (
        bracket and "(" in base and base.count("(") != base.count(")")
    ):  # the bracket is an argument: poly(x, knots=[1])
        at = part.rfind("[") if part.endswith("]") else len(part)
        base, level = part[:at], part[at + 1 :]
        bracket = "[" if level else ""
        if base.count("(") != base.count(")"):
            base, bracket, level = part, "", ""
    base = base.strip()
    name = aliases.get(base, base) if re.fullmatch(r"[\w.]+", base) else _factor(base, False, aliases).name
    return name + (f"[{level[:-1].strip()}]" if bracket and level.endswith("]") else bracket + level)
