"""Formula text to checked terms: a formula is data, never code.

Names in backticks become plain identifiers first, so that neither Python nor formulaic has to understand
them.  Then the text is cut at ``~``, every Python expression in it is checked (`syntax`), and only then
formulaic's parser expands the right side (operators, order, intercept).
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokenize import tokenize
from formulaic.parser.types import Factor as _FormulaicFactor
from formulaic.parser.types import Token

from disteconometrics.data.expansion import expanded, syntax_error
from disteconometrics.data.recorder_calls import check_recorders, is_recorded
from disteconometrics.data.syntax import (
    MAX_DEPTH,
    function_name,
    parse_expression,
    spell,
    variables_of,
)
from disteconometrics.data.transforms import CENTRED
from disteconometrics.errors import FormulaError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Factor",
    "Formula",
    "parse_formula",
    "split_sides",
    "split_top_level",
]

MAX_LENGTH = 50_000  # characters

# what a quote opens reaches to the end where it is not closed, so that a scan passes over a text once
_QUOTED = re.compile(r"""`([^`]*)`|"(?:\\.|[^"\\])*+(?:"|\\?$)|'(?:\\.|[^'\\])*+(?:'|\\?$)""", re.DOTALL)
_WORD = re.compile(r"[^\W\d][\w.]*")  # what formulaic reads as a name
_STATA = re.compile(r"\w##?\w|\b[ic]\.\w+\s*##?")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True, eq=False)
class Factor:
    """One factor of a term: its spelling in names and its checked syntax tree (a plain column is a Name)."""

    name: str
    node: ast.expr

    @property
    def is_column(self) -> bool:
        """Whether the factor is a column as it stands.  Raises: nothing."""
        return isinstance(self.node, ast.Name)

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that the factor reads, in order of appearance.  Raises: nothing."""
        return variables_of(self.node)

    @property
    def row_variables(self) -> tuple[str, ...]:
        """Columns that it needs in the same row, see `variables_of`.  Raises: nothing."""
        return variables_of(self.node, same_row=True)

    @cached_property
    def is_recorded(self) -> bool:
        """Whether it says how the outcome was recorded.  Raises: nothing."""
        return is_recorded(self.node)


@dataclass(frozen=True, eq=False)
class Formula:
    """A checked formula: left side, distinct factors of the right side, and its terms in formulaic's order.

    A term is (scale, positions of its factors).
    """

    text: str
    left: Factor
    factors: tuple[Factor, ...]
    terms: tuple[tuple[float, tuple[int, ...]], ...]
    has_dot: bool

    @property
    def centred(self) -> frozenset[str]:
        """Splines, as spelled, that stand beside an intercept and by themselves: columns that add up to one
        are centred there, so that they and the constant are not dependent.  Raises: nothing.
        """
        if not any(not places for _, places in self.terms):
            return frozenset()
        alone = (self.factors[places[0]].node for _, places in self.terms if len(places) == 1)
        return frozenset(
            spell(n) for n in alone if isinstance(n, ast.Call) and function_name(n.func) in CENTRED
        )

    @property
    def right_variables(self) -> tuple[str, ...]:
        """Columns that the right side uses, in order of appearance.  Raises: nothing."""
        return tuple(dict.fromkeys(v for f in self.factors for v in f.variables))

    def without(self, terms: Sequence[str]) -> str:
        """The text without some terms, each as it stands there, or a column, in all terms that read it.

        Raises: OptionError for one that is not there.
        """
        names = [":".join(self.factors[i].name for i in places) for _, places in self.terms]
        reads = [{v for i in places for v in self.factors[i].variables} for _, places in self.terms]
        gone = []
        for term in (text.strip() for text in terms):
            plain = term.strip("`")
            found = [n for n, r in zip(names, reads, strict=True) if n and (n == term or plain in r)]
            if not found:
                known = ", ".join(name for name in names if name)
                raise OptionError(f"{term!r} is no term of {self.text!r}; it has {known}.")
            gone += found
        return " - ".join([self.text, *dict.fromkeys(gone)])

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
    left, right = split_sides(text, formula)
    outcome = _left_side(left, aliases)
    if not right.strip():
        raise FormulaError(f"The formula {formula!r} has no right side; write 'y ~ 1' for a constant only")
    has_dot = _check_tokens(right, aliases)
    spelled = {name: alias for alias, name in aliases.items()}
    dot = tuple(spelled.get(name, name) for name in others if name not in set(outcome.variables))
    terms = expanded(right, dot)
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
                _refuse_recorder(found[-1])
            places.append(factors[key])
        out.append((scale, tuple(places)))
    if not out:
        raise FormulaError(
            f"The formula {formula!r} leaves no columns: it needs at least one term, such as 1 or x"
        )
    return Formula(formula, outcome, tuple(found), tuple(out), has_dot)


def _alias(formula: str, others: tuple[str, ...] = ()) -> tuple[str, dict[str, str]]:
    """Replace names in backticks by identifiers that occur nowhere in the formula.

    Returns the text and the names by identifier, also of those of ``others`` that a dot could not spell.
    """
    if len(formula) > MAX_LENGTH:
        raise FormulaError(
            f"The formula has {len(formula)} characters; at most {MAX_LENGTH} are read: write 'y ~ .'"
        )
    prefix = "q_"
    while prefix in formula or any(name.startswith(prefix) for name in others):
        prefix = "q" + prefix
    aliases: dict[str, str] = {}  # by name

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            if len(match.group(0)) < 2 or match.group(0)[-1] != match.group(0)[0]:
                raise FormulaError(f"Syntax error in the formula {formula[:200]!r}: a quote is not closed")
            return match.group(0)
        if not name:
            raise FormulaError(f"Syntax error in the formula {formula!r}: empty backticks")
        if _is_plain(name):
            return f" {name} "
        return aliases.setdefault(name, f"{prefix}{len(aliases)}_")

    text = _QUOTED.sub(replace, formula)
    if "`" in _QUOTED.sub("", text):
        raise FormulaError(f"Syntax error in the formula {formula!r}: a backtick ` is not closed")
    for name in others:
        if not _WORD.fullmatch(name):
            aliases.setdefault(name, f"{prefix}{len(aliases)}_")
    return text, {alias: name for name, alias in aliases.items()}


def _brackets(right: str) -> str:
    """What square brackets in a right side may be meant for, and what to do."""
    if "~" in right:
        return (
            "instruments, as linearmodels writes them, are not estimated here: take linearmodels' IV2SLS for "
            "a mean, or add the residuals of the first stage as a column and bootstrap both stages"
        )
    return "a formula selects nothing; make a column in the data first"


def _is_plain(name: str) -> bool:
    """Whether a name may stand in a formula as it is, and is then read as itself."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and unicodedata.normalize("NFKC", name) == name  # the form in which Python reads names
    )


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


def split_sides(text: str, formula: str | None = None) -> tuple[str, str]:
    """The left and the right side of a text, as written; messages show the formula that it stands for.

    Raises: FormulaError.

    Example
    -------
    >>> split_sides("`a ~ b` ~ x")
    ('`a ~ b` ', ' x')
    """
    formula = text if formula is None else formula
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
            f"de.Logit, de.Probit and de.NormalRegression absorb fixed effects; here write C(id) for "
            f"dummies, or, of a logit, condition them out by de.ConditionalLogit(formula, choice='id', "
            f"successes='exact'). Inside I(a | b) it means or"
        )
    return left, right


def split_absorbed(formula: str) -> tuple[str, tuple[str, ...]]:
    """A formula without its part after ``|``, and the columns of absorbed effects that this part names.

    Raises: FormulaError if the part is anything but names of columns joined by ``+``.

    Example
    -------
    >>> split_absorbed("y ~ x | id + `the year`")
    ('y ~ x', ('id', 'the year'))
    >>> split_absorbed("y ~ x")
    ('y ~ x', ())
    """
    text = formula if isinstance(formula, str) else ""
    parts = split_top_level(text, "|") if "|" in text else [text]
    if len(parts) == 1 or "~" not in _mask(parts[0]):
        return formula, ()
    if len(parts) > 2:
        raise FormulaError(
            f"The formula {formula!r} has {len(parts)} parts ('|'): effects are absorbed as in "
            f"'y ~ x | id + year'; instruments have no part of a formula here"
        )
    names = [name.strip() for name in split_top_level(parts[1], "+")]
    quoted = [n[1:-1] if len(n) > 2 and n[0] == n[-1] == "`" and "`" not in n[1:-1] else n for n in names]
    for written, name in zip(names, quoted, strict=True):
        if written == name and not _WORD.fullmatch(name):
            raise FormulaError(
                f"{written!r} after '|' in the formula {formula!r} is no column: absorbed effects are names "
                f"of columns, as in 'y ~ x | id + year'; make the column in the data first (of pairs, "
                f"data.groupby(['a', 'b']).ngroup()), and write slopes as terms, as in C(id):x"
            )
    if len(set(quoted)) < len(quoted):
        raise FormulaError(f"The formula {formula!r} absorbs a column twice")
    return parts[0].rstrip(), tuple(quoted)


def _left_side(left: str, aliases: dict[str, str]) -> Factor:
    left = left.strip()
    if left.startswith("{") and left.endswith("}"):
        left = left[1:-1]
    if _WORD.fullmatch(left):
        return _factor(left, True, aliases)
    if not any(True for _ in _top_level(left, ",")):
        factor = _factor(left, False, aliases)
        if factor.is_recorded and isinstance(factor.node, ast.Call):
            check_recorders(factor.node)
            return factor
        if isinstance(factor.node, (ast.Name, ast.Call, ast.Compare)):
            return factor
        if isinstance(factor.node, ast.Constant):
            raise FormulaError(f"The left side {left!r} is a constant; the outcome must be a column")
    raise FormulaError(
        f"The left side {left!r} asks for several columns or for arithmetic; the outcome is one column. "
        "Wrap a computed outcome in I(…), e.g. 'I(a + b) ~ x'"
    )


def _refuse_recorder(factor: Factor) -> None:
    if factor.is_recorded:
        raise FormulaError(
            f"{factor.name!r} on the right side: how a variable was recorded can be said of the outcome only"
        )


def _check_tokens(right: str, aliases: dict[str, str]) -> bool:
    """Check every expression before formulaic, whose parser evaluates some; return whether there is a dot."""
    try:
        tokens = list(tokenize(right))
    except FormulaicError as error:
        raise syntax_error(right, error) from None
    for token in tokens:
        if token.kind is Token.Kind.PYTHON:
            parse_expression(token.token, aliases)
        if token.kind is Token.Kind.CONTEXT and token.token in "[]":
            raise FormulaError(f"Square brackets in {right.strip()!r}: {_brackets(right)}")
    return any(token.token == "." for token in tokens)


def _factor(text: str, lookup: bool, aliases: dict[str, str]) -> Factor:
    if lookup:
        name = aliases.get(text, text)
        return Factor(name, ast.Name(name, ast.Load()))
    node = parse_expression(text, aliases)
    return Factor(node.id if isinstance(node, ast.Name) else spell(node), node)


def _number(text: str) -> float:
    try:
        return float(ast.literal_eval(text))
    except OverflowError:
        raise FormulaError(f"The number {text[:20]}… in the formula is beyond 1e308") from None
    except (ValueError, SyntaxError, TypeError):
        raise FormulaError(f"Syntax error in the formula: {text!r} is not a number") from None
