"""Read what users write about coefficients: hypotheses such as ``"a = b"``, functions such as ``"a / b"``.

Coefficient names hold brackets, colons and spaces, so they are found first (longest first, as written before
spaces are ignored, interactions in any order, any name in backticks, plain numbers only there) and replaced
by plain symbols; what is left is arithmetic, read from its syntax tree and never evaluated as code.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise, permutations
from typing import Literal, NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError
from disteconometrics.tables import first_of

__all__ = ["Dual", "evaluate", "independent", "linear_restrictions", "ratio_parts"]


@dataclass(frozen=True)
class Dual:
    """A value and its gradient (k,) with respect to the coefficients.

    Examples
    --------
    >>> evaluate("2 * a", ["a"], np.array([3.0]))
    Dual(value=6.0, gradient=array([2.]))
    """

    value: float
    gradient: Array


MARK = "ʘ"  # of the symbols that stand for coefficients: a letter that Python reads as it is
_COLON = re.compile(r":(?![^\[\(]*[\]\)])")  # of interactions, not those inside brackets
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")


class _Names(NamedTuple):
    """Names as written, spellings without blanks with all coefficients each may mean, and what finds both."""

    exact: dict[str, int]
    squeezed: dict[str, tuple[int, ...]]
    pattern: re.Pattern[str]


def _squeeze(text: str) -> str:
    return "".join(text.replace('"', "'").split())


@lru_cache(maxsize=16)
def _index(names: tuple[str, ...]) -> _Names:
    exact: dict[str, int] = {}
    squeezed: dict[str, tuple[int, ...]] = {}
    turned: dict[str, tuple[int, ...]] = {}
    for i, name in enumerate(names):
        exact.setdefault(name.replace('"', "'"), i)
        whole = _squeeze(name)
        squeezed[whole] = (*squeezed.get(whole, ()), i)
        for order in _orders(whole):
            turned.setdefault(order, (i,))
    squeezed = turned | squeezed
    return _Names(exact, squeezed, _pattern(exact, squeezed))


def _orders(name: str) -> list[str]:
    """An interaction of two or three in every order."""
    parts = _COLON.split(name)
    return [":".join(order) for order in permutations(parts)] if 1 < len(parts) <= 3 else []


def _is_plain(name: str) -> bool:
    """Whether a name may stand without backticks."""
    return bool(name) and not _NUMBER.fullmatch(name)


def _pattern(exact: Iterable[str], squeezed: Iterable[str]) -> re.Pattern[str]:
    """What finds a name, the longest first, as written first; blanks and plain numbers only in backticks."""
    found = [(len(_squeeze(n)), 1, re.escape(n)) for n in exact if n == n.strip() and _is_plain(_squeeze(n))]
    found += [(len(n), 0, r"\s*".join(map(re.escape, n))) for n in squeezed if _is_plain(n)]
    names = "|".join(p for *_, p in sorted(found, reverse=True)) or "(?!)"
    return re.compile(rf"`[^`]*`|(?<![\w.:\]])(?:{names})(?!\w)(?!\s*[:\[\(])")


def _symbols(text: str, names: Sequence[str]) -> tuple[str, dict[str, int]]:
    """Replace coefficient names in the text by symbols, which nobody may write: ``ʘ0ʘ``, ``ʘ1ʘ``, …"""
    index = _index(tuple(names))
    written = text.replace('"', "'")
    found: dict[str, int] = {}
    pieces, end = [], 0
    for match in index.pattern.finditer(written):
        spelled = match.group(0)
        if spelled in index.exact:
            i = index.exact[spelled]
        else:
            bare = spelled.strip("`")
            i = index.exact[bare] if bare in index.exact else _only(bare, index, text, names)
        symbol = f"{MARK}{i}{MARK}"
        found[symbol] = i
        pieces += [written[end : match.start()], f" {symbol} "]
        end = match.end()
    pieces.append(written[end:])
    if any(MARK in unicodedata.normalize("NFKC", between) for between in pieces[::2]):
        raise _unreadable(text, names, MARK)
    return "".join([p if j % 2 else _squeeze(p) for j, p in enumerate(pieces)]), found


def _only(spelled: str, index: _Names, text: str, names: Sequence[str]) -> int:
    """The one coefficient that a spelling means when blanks do not count."""
    meant = index.squeezed.get(_squeeze(spelled), ())
    if not meant:
        raise _unreadable(text, names, spelled)
    if len(meant) > 1:
        which = " or ".join(repr(names[i]) for i in meant)
        raise OptionError(
            f"{spelled!r} in {text.strip()!r} may mean {which}; write the name with its blanks, or in "
            f"backticks."
        )
    return meant[0]


_FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
}


def _binary(op: ast.operator, a: Dual, b: Dual) -> Dual:
    x, y = a.value, b.value
    if isinstance(op, ast.Add):
        return Dual(x + y, a.gradient + b.gradient)
    if isinstance(op, ast.Sub):
        return Dual(x - y, a.gradient - b.gradient)
    if isinstance(op, ast.Mult):
        return Dual(x * y, a.gradient * y + b.gradient * x)
    if isinstance(op, ast.Div):
        return Dual(x / y, a.gradient / y - b.gradient * (x / y / y))
    if isinstance(op, ast.Pow):
        if not np.any(b.gradient):
            return Dual(
                x**y, a.gradient * (y * x ** (y - 1)) if y and np.any(a.gradient) else 0.0 * a.gradient
            )
        value = x**y
        return Dual(value, value * (b.gradient * np.log(x) + a.gradient * (y / x)))
    raise OptionError(f"The operator {type(op).__name__} is not known; use + - * / **.")


def _number(node: ast.expr) -> float | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _walk(node: ast.expr, symbols: dict[str, int], params: Array) -> Dual:
    number = _number(node)
    if number is not None:
        return Dual(np.float64(number), np.zeros(len(params)))
    if isinstance(node, ast.Name) and node.id in symbols:
        i = symbols[node.id]
        return Dual(np.float64(params[i]), np.eye(len(params))[i])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        a = _walk(node.operand, symbols, params)
        return Dual(-a.value, -a.gradient) if isinstance(node.op, ast.USub) else a
    if isinstance(node, ast.BinOp):
        return _binary(node.op, _walk(node.left, symbols, params), _walk(node.right, symbols, params))
    if isinstance(node, ast.Call):
        return _call(node, symbols, params)
    raise _Unknown(ast.unparse(node))


def _call(node: ast.Call, symbols: dict[str, int], params: Array) -> Dual:
    """A known function of one argument."""
    functions = _FUNCTIONS.get(node.func.id) if isinstance(node.func, ast.Name) else None
    if functions is None or len(node.args) != 1:
        raise _Unknown(ast.unparse(node))
    f, derivative = functions
    a = _walk(node.args[0], symbols, params)
    return Dual(f(a.value), a.gradient * derivative(a.value) if np.any(a.gradient) else a.gradient)


class _Unknown(Exception):
    """A piece of the expression that is neither a coefficient nor arithmetic."""


def _check_text(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise OptionError(
            f"{text!r}: write an expression in coefficient names as text, such as 'educ / age'."
        )
    return text


def _tree(replaced: str, text: str, names: Sequence[str]) -> ast.expr:
    try:
        return ast.parse(replaced.strip(), mode="eval").body
    except (SyntaxError, RecursionError, ValueError, MemoryError):
        raise _unreadable(text, names) from None


def _dual(
    node: ast.expr,
    symbols: dict[str, int],
    params: Array,
    text: str,
    names: Sequence[str],
    strict: bool = True,
) -> Dual:
    """Value and gradient in float64; NaN is an error if ``strict``, unless an estimate is infinite."""
    strict = strict and bool(np.all(np.isfinite(params[list(symbols.values())])))
    invalid: Literal["raise", "ignore"] = "raise" if strict else "ignore"
    try:
        with np.errstate(over="ignore", under="ignore", divide=invalid, invalid=invalid):
            dual = _walk(node, symbols, params)
        if strict and not (np.isfinite(dual.value) and np.all(np.isfinite(dual.gradient))):
            raise OverflowError
    except _Unknown as e:
        raise _unreadable(text, names, _named(str(e), names)) from None
    except (ArithmeticError, ValueError, RecursionError):
        raise OptionError(
            f"{text.strip()!r} or its gradient cannot be computed at the estimates "
            "(division by zero, overflow, or the log or a power of a number that is not positive)."
        ) from None
    return Dual(float(dual.value), dual.gradient)


def _named(piece: str, names: Sequence[str]) -> str:
    """Put coefficient names back for their symbols."""
    return re.sub(rf"{MARK}(\d+){MARK}", lambda m: names[int(m.group(1))], piece)


def _unreadable(text: str, names: Sequence[str], piece: str | None = None) -> OptionError:
    quoted = "'" in text or '"' in text
    bare = re.sub("=.*|['\"]", "", piece or text).strip()
    close = get_close_matches(bare, names, 3) or [n for n in names if bare and n.startswith(bare)][:3]
    written = " or ".join(name if name.isidentifier() else f"`{name}`" for name in close)
    hint = f" Did you mean {written}?" if close else ""
    if close and quoted:
        hint = f" Names are not quoted, one with spaces or signs stands in backticks: {written}."
    elif "=" in text:
        hint = " An equation is a hypothesis: give it to test()." + hint
    what = f"{piece!r} in {text.strip()!r}" if piece and piece != text.strip() else f"{text.strip()!r}"
    return OptionError(
        f"{what} is not a coefficient or arithmetic.{hint} Coefficients: {first_of(names, most=20)}."
    )


def evaluate(text: str, names: Sequence[str], params: Array, *, strict: bool = True) -> Dual:
    """Value and gradient of an expression in coefficient names (+ - * / **, exp, log, sqrt).

    Parameters
    ----------
    text : str.
    names : k coefficient names.
    params : (k,) float64 array.
    strict : bool, whether a value or gradient that cannot be computed from finite coefficients is an error,
        not NaN.

    Returns
    -------
    Dual

    Raises
    ------
    OptionError
        If a piece is neither a coefficient nor arithmetic (names close to it are offered), or cannot be
        computed.

    Examples
    --------
    >>> evaluate("a / b", ["a", "b"], np.array([1.0, 2.0]))
    Dual(value=0.5, gradient=array([ 0.5 , -0.25]))
    """
    replaced, symbols = _symbols(_check_text(text), names)
    return _dual(_tree(replaced, text, names), symbols, params, text, names, strict)


def ratio_parts(text: str, names: Sequence[str], params: Array) -> tuple[Dual, Dual] | None:
    """Numerator and denominator when the expression is a quotient, else None.

    Examples
    --------
    >>> above, below = ratio_parts("a / b", ["a", "b"], np.array([1.0, 2.0]))
    >>> above.value, below.value
    (1.0, 2.0)
    """
    replaced, symbols = _symbols(_check_text(text), names)
    node = _tree(replaced, text, names)
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
        return None
    return _dual(node.left, symbols, params, text, names), _dual(node.right, symbols, params, text, names)


def independent(R: Array) -> bool:
    """Whether the rows of R (q, k) are linearly independent, each scaled to a largest entry of one.

    Examples
    --------
    >>> independent(np.eye(2)), independent(np.ones((2, 3)))
    (True, False)
    """
    if R.size == 0 or len(R) > R.shape[1]:
        return False
    scale = np.abs(R).max(axis=1, keepdims=True)
    return bool(np.linalg.matrix_rank(R / np.where(scale == 0, 1.0, scale)) == len(R))


def linear_restrictions(
    hypotheses: str | Sequence[str], names: Sequence[str]
) -> tuple[Array, Array, list[str]]:
    """R (q, k), r (q,) and texts of hypotheses R·β = r, as ``"a = b, c = 0"`` or a list.

    A bare name means ``= 0``; that of a factor, as ``C(region)`` or ``region``, all its levels, and that of a
    variable with a coefficient for every category, as ``age``, all of these.  A name may stand in backticks,
    and must where it is a plain number.

    Raises
    ------
    OptionError
        If one cannot be read, is not linear, or repeats what the others say.

    Examples
    --------
    >>> R, r, _ = linear_restrictions("2*a = b + 1", ["a", "b"])
    >>> R, r
    (array([[ 2., -1.]]), array([1.]))
    >>> linear_restrictions("g", ["x", "g[T.b]", "g[T.c]"])[2]
    ['g[T.b] = 0', 'g[T.c] = 0']
    """
    items = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    rows, values, texts = [], [], []
    for item in items:
        # before cutting, since names hold commas and equals signs
        replaced, symbols = _symbols(_by_level(_check_text(item), names), names)
        for part in filter(str.strip, replaced.split(",")):
            text = _named("".join(part.split()), names)
            for left, right in pairwise(part.split("=") if "=" in part else [part, "0"]):
                row, value = _linear(f"({left}) - ({right})", symbols, text, names)
                rows.append(row)
                values.append(value)
                texts.append(
                    f"{_named(''.join(left.split()), names)} = {_named(''.join(right.split()), names)}"
                )
    R = np.array(rows)
    if not independent(R):
        raise OptionError(
            f"The hypotheses {', '.join(texts)} repeat or contradict one another, or name no coefficient."
        )
    return R, np.array(values), texts


_COMMA = re.compile(r",(?![^\[\(]*[\]\)])")  # not those inside brackets


def _by_level(text: str, names: Sequence[str]) -> str:
    """The text with the names of whole factors, variables and equations written out."""
    known = _index(tuple(names)).squeezed
    pieces = []
    for piece in _COMMA.split(text):
        whole = _squeeze(piece).strip("`")
        members = [] if whole in known else [n for n in names if _belongs(n, whole)]
        pieces.append(",".join(f"`{n}`" for n in members) or piece)
    return ",".join(pieces)


def _belongs(name: str, whole: str) -> bool:
    """Whether a coefficient, no interaction, is a level of a factor, or of a variable in one equation."""
    head, _, inner = _squeeze(name).partition("[")
    own = (whole, f"C({whole})")
    if not inner or " [" in name or len(_COLON.split(_squeeze(name))) > 1:
        return False
    return head in own or inner[:-1] == whole or inner.partition("[")[0] in own


def _linear(difference: str, symbols: dict[str, int], text: str, names: Sequence[str]) -> tuple[Array, float]:
    """Row R and value r of ``difference = 0``, or an error if two points differ in the gradient."""
    node = _tree(difference, text, names)
    bent = OptionError(f"{text!r} is not linear in the coefficients; use nlcom for functions of them.")
    try:
        here = _dual(node, symbols, np.zeros(len(names)), text, names)
        there = _dual(node, symbols, np.linspace(0.3, 1.7, len(names)), text, names)
    except OptionError as e:
        raise e if "not a coefficient" in str(e) else bent from None
    if not (np.isfinite(here.value) and np.allclose(here.gradient, there.gradient, rtol=1e-9, atol=0)):
        raise bent
    return here.gradient, -here.value + 0.0
