"""A checked right side to its terms: formulaic's operators and order, within bounds of time and memory.

formulaic keeps every sub-sum of a sum, which takes memory by the square of its length; here a sum grows in
place, with the same terms in the same order, and products are bounded before they are expanded.
"""

from __future__ import annotations

import operator
import re
from functools import partial, reduce
from typing import Any

from formulaic.parser.parser import DefaultFormulaParser, DefaultOperatorResolver
from formulaic.parser.types import ASTNode, OrderedSet
from formulaic.utils.structured import Structured

from disteconometrics.errors import FormulaError

__all__ = ["expanded", "syntax_error"]

MAX_TERMS = 10_000  # of a product of terms: (a + b + …)**N grows without bound
MAX_FACTORS = 30  # of one term


def expanded(right: str, others: tuple[str, ...]) -> list[Any]:
    """The terms of a right side in formulaic's order: by degree, then as written; ``others`` are a dot's.

    Raises: FormulaError.
    """
    parser = _Parser(operator_resolver=_Resolver(), feature_flags=DefaultFormulaParser.FeatureFlags.NONE)
    try:
        terms = parser.get_terms(right, context={"__formulaic_variables_available__": others})._simplify()
        return sorted(terms, key=lambda term: term.degree)
    except (FormulaError, RecursionError):
        raise
    except Exception as error:  # formulaic raises many kinds for text it cannot read
        raise syntax_error(right, error) from None


def syntax_error(text: str, error: Exception) -> FormulaError:
    """What is said of a text that formulaic cannot read.  Raises: nothing."""
    told = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).replace("\n", " ").strip()
    return FormulaError(f"Syntax error in the formula part {text.strip()!r}: {told}")


class _Parser(DefaultFormulaParser):  # type: ignore[misc]
    """formulaic's parser, whose trees are evaluated here."""

    def get_terms_from_ast(self, ast: Any, *, context: Any) -> Any:
        return super().get_terms_from_ast(_Tree(ast) if isinstance(ast, ASTNode) else ast, context=context)


class _Tree:
    """A tree of operators, as formulaic asks for its terms."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def to_terms(self, *, context: Any) -> Any:
        return _evaluated(self.root, context)


def _evaluated(node: Any, context: Any) -> Any:
    """The terms of a node: down its left side first, so that long sums need no recursion."""
    chain = []
    while isinstance(node, ASTNode) and len(node.args) == 2:
        chain.append(node)
        node = node.args[0]
    if isinstance(node, ASTNode):
        terms = _applied(node, context, *(_evaluated(arg, context) for arg in node.args))
    else:
        terms = node.to_terms()
    for binary in reversed(chain):
        terms = _applied(binary, context, terms, _evaluated(binary.args[1], context))
    return terms


def _applied(node: Any, context: Any, *sets: Any) -> Any:
    symbol = node.operator.symbol
    if len(sets) == 2 and symbol in "+-" and all(type(s) is OrderedSet for s in sets):
        mine, more = sets[0].values, sets[1].values  # nobody else holds the set on the left
        if symbol == "+":
            for term in more:
                mine.setdefault(term)
        else:
            for term in more:
                mine.pop(term, None)
        return sets[0]
    apply = partial(node.operator.to_terms, context=context)
    return apply(*sets) if node.operator.structural or not sets else Structured._merge(*sets, merger=apply)


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
            _refuse_square(sets[0], sets[0] if int(exponent) > 1 else None, f"{symbol}{exponent}")
        elif reduce(operator.mul, (len(s) for s in sets), 1) > MAX_TERMS:
            raise FormulaError(f"A product of terms ({symbol}) expands to more than {MAX_TERMS} terms")
        elif len(sets) == 2:
            _refuse_square(*sets, symbol)
        made = expand(*sets)
        if any(len(term.factors) > MAX_FACTORS for term in made):
            raise FormulaError(f"A product of terms ({symbol}) has more than {MAX_FACTORS} factors")
        return made

    return to_terms


def _refuse_square(first: Any, second: Any, symbol: str) -> None:
    """A single term crossed with itself is that term, as in R and patsy; who writes it means its square."""
    if second is None or len(first) != 1 or len(second) != 1:
        return
    term, other = next(iter(first)), next(iter(second))
    if term != other or str(term) in "01":
        return
    written = f"{term}{symbol}" if symbol[-1].isdigit() else f"{term}{symbol}{term}"
    raise FormulaError(
        f"{written} crosses {term} with itself, which is {term} alone: write I({term}**2) for its square, "
        f"poly({term}, 2) for a polynomial, or {term}"
    )
