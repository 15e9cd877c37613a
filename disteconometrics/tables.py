"""Printed tables: texts in rows and columns as plain text, HTML and LaTeX, and the frame of every result.

A summary is a title, a two-column header (what, who, how), tables of numbers and notes that say what a
careful reader would ask.
"""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from disteconometrics.words import OtherWords

__all__ = [
    "WIDTH",
    "Latex",
    "Section",
    "Summary",
    "first_of",
    "html_table",
    "latex_table",
    "latex_text",
    "markdown_table",
    "markdown_text",
    "number",
    "p_value",
    "printable",
]

WIDTH = 78
SPREAD = 6  # spaces at most that a column of numbers gets beyond what it needs
Row = Sequence[str]
# what stands for a sign where a terminal does not have it
PLAIN = {
    "−": "-",
    "–": "-",
    "·": "*",
    "×": "x",
    "…": "...",
    "²": "2",
    "¹": "1",
    "⁻": "^-",
    "±": "+-",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "√": "sqrt",
    "→": "->",
    "β": "beta",
    "σ": "sigma",
    "τ": "tau",
    "χ": "chi",
    "Λ": "Lambda",
    "Σ": "sum ",
}


def first_of(items: Sequence[str], separator: str = ", ", most: int = 6) -> str:
    """The first items in one text, and the number of the rest.

    Examples
    --------
    >>> first_of(["a", "b", "c"], most=2)
    'a, b, … (1 more)'
    """
    rest = f"{separator}… ({len(items) - most} more)" if len(items) > most else ""
    return separator.join(items[:most]) + rest


def printable(text: str) -> str:
    """The text as it can be printed: signs that the terminal's encoding lacks are written out.

    All that results print goes through here, so that ``print`` works on any terminal.

    Examples
    --------
    >>> printable("R² = 0.5")  # on a terminal of ASCII characters: R2 = 0.5
    'R² = 0.5'
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_plain(sign, encoding) for sign in text)
    return text


def _plain(sign: str, encoding: str) -> str:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return PLAIN.get(sign, sign.encode("ascii", "backslashreplace").decode())
    return sign


@dataclass(frozen=True)
class Section:
    """A table of texts: optional heading, column names, row names, cells."""

    columns: tuple[str, ...]
    stubs: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    heading: str | None = None

    def _rows(self) -> list[tuple[str, ...]]:
        return [(stub, *row) for stub, row in zip(self.stubs, self.cells, strict=True)]

    def _widths(self) -> tuple[int, list[int]]:
        """Least width of the row names and of each column."""
        return max(map(len, self.stubs), default=0), [
            max(len(c), *(len(row[j]) for row in self.cells)) if self.cells else len(c)
            for j, c in enumerate(self.columns)
        ]

    def natural_width(self) -> int:
        """Characters that it needs at least."""
        stub, cells = self._widths()
        return stub + sum(w + 1 for w in cells)

    def _lines(self, width: int) -> list[str]:
        """Text lines; numbers that belong together stay together, row names take the room that is left."""
        cells = self._widths()[1]
        grow = min((width - self.natural_width()) // max(len(cells), 1), SPREAD)
        first = width - sum(w + grow + 1 for w in cells)

        def line(row: Row) -> str:
            return (
                f"{row[0]:<{first}}"
                + "".join(f" {c:>{w + grow}}" for c, w in zip(row[1:], cells, strict=True))
            ).rstrip()

        heading = [self.heading] if self.heading else []
        return [*heading, line(("", *self.columns)), "-" * width, *map(line, self._rows())]


@dataclass(frozen=True)
class Summary(OtherWords):
    """What a result prints.

    Parameters
    ----------
    title : str.
    header : (label, value) pairs of the left and of the right column.
    sections : tables under it.
    notes : sentences at the foot.

    Examples
    --------
    >>> section = Section(("estimate",), ("x",), (("1.0",),))
    >>> s = Summary("Title", ((("Outcome", "y"),), (("Rows", "3"),)), (section,), ("A note.",))
    >>> print(s)  # doctest: +NORMALIZE_WHITESPACE
                                         Title
    ==============================================================================
    Outcome:                              y Rows:                                3
    ==============================================================================
                                                                          estimate
    ------------------------------------------------------------------------------
    x                                                                          1.0
    ==============================================================================
    A note.
    """

    title: str
    header: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return printable(self.as_text())

    def __repr__(self) -> str:
        return printable(self.as_text())

    def _repr_html_(self) -> str:
        return self.as_html()

    def _repr_latex_(self) -> str:
        return self.as_latex()

    def as_text(self) -> str:
        """Plain text, 78 columns wide or as wide as its widest table."""
        width = max([WIDTH, *(s.natural_width() for s in self.sections)])
        half = (width - 1) // 2
        lines = [self.title.center(width).rstrip(), "=" * width]
        for a, b in self._pairs(width):
            lines.append(f"{_pair(a, half)} {_pair(b, width - half - 1)}".rstrip())
        lines.append("=" * width)
        for section in self.sections:
            lines.extend(section._lines(width))
        lines.append("=" * width)
        for note in (*self._cut(width), *self.notes):
            lines.extend(textwrap.wrap(note, width, subsequent_indent="  "))
        return "\n".join(lines)

    def _pairs(self, width: int) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Rows of the header, values cut to the room they have."""
        half = (width - 1) // 2
        rows = max(map(len, self.header))
        left, right = ([*side, *[("", "")] * (rows - len(side))] for side in self.header)
        return [(_fitted(a, half), _fitted(b, width - half - 1)) for a, b in zip(left, right, strict=True)]

    def _cut(self, width: int) -> list[str]:
        """Header values that did not fit, in full."""
        half = (width - 1) // 2
        return [
            f"{label}: {value}"
            for label, value in self.header[0] + self.header[1]
            if len(label) + len(value) + 2 > half
        ]

    def _header_rows(self) -> list[tuple[str, ...]]:
        return [(f"{a}:" if a else "", b, f"{c}:" if c else "", d) for (a, b), (c, d) in self._pairs(WIDTH)]

    def as_html(self) -> str:
        """HTML tables, as a notebook shows them."""
        parts = [html_table([self._header_rows()], align="lrlr", title=self.title, heads=(0, 2))]
        parts += [html_table([[("", *s.columns)], s._rows()], title=s.heading or "") for s in self.sections]
        parts += [f"<p>{escape(note)}</p>" for note in (*self._cut(WIDTH), *self.notes)]
        return "\n".join(parts)

    def as_latex(self) -> str:
        """LaTeX tabulars that need no package, ready to paste; special characters are escaped."""
        parts = [
            rf"\begin{{center}}{latex_text(self.title)}\\",
            latex_table([self._header_rows()], align="lrlr") + r"\\",
        ]
        for s in self.sections:
            parts += [rf"{latex_text(s.heading)}\\"] if s.heading else []
            parts.append(latex_table([[("", *s.columns)], s._rows()]) + r"\\")
        return "\n".join(
            [*parts, r"\end{center}", *(latex_text(note) + "\n" for note in (*self._cut(WIDTH), *self.notes))]
        )

    def as_markdown(self) -> str:
        """Markdown (pipe) tables under a title, notes as paragraphs."""
        head = [row for row in self.header[0] + self.header[1] if any(row)]
        parts = [f"**{markdown_text(self.title)}**", markdown_table([("", ""), *head])]
        for s in self.sections:
            parts += [markdown_text(s.heading)] if s.heading else []
            parts.append(markdown_table([("", *s.columns), *s._rows()]))
        return "\n\n".join([*parts, *map(markdown_text, self.notes)])


def _fitted(pair: tuple[str, str], width: int) -> tuple[str, str]:
    room = width - len(pair[0]) - 2
    return pair[0], pair[1] if len(pair[1]) <= room else pair[1][: room - 1] + "…"


def _pair(pair: tuple[str, str], width: int) -> str:
    label = f"{pair[0]}:" if pair[0] else ""
    return f"{label} {pair[1]:>{width - len(label) - 1}}"


# ---- HTML --------------------------------------------------------------------------------------------------


def html_table(
    blocks: Sequence[Sequence[Row]], *, align: str = "", title: str = "", heads: tuple[int, ...] = (0,)
) -> str:
    """One HTML table of blocks of rows, a rule above each; a first block of one row holds the column names.

    Spaces at the end of a cell keep its digits above those of cells with stars.

    Parameters
    ----------
    blocks : blocks of rows of texts.
    align : a letter a column, l or r; one l and then r where it is empty.
    title : str, caption.
    heads : columns that hold names.

    Returns
    -------
    str

    Examples
    --------
    >>> html_table([[("a", "1 < 2")]]).count("&lt;")
    1
    """
    columns = max((len(row) for block in blocks for row in block), default=1)
    sides = [{"l": "left", "r": "right"}[c] for c in align or "l" + "r" * (columns - 1)]

    def line(row: Row, top: bool, names: bool) -> str:
        cells = []
        for j, cell in enumerate(row):
            tag = "th" if names or j in heads else "td"
            kept = cell.rstrip(" ")
            left, right = (
                2.0 if j in heads and j else 0.6,
                0.6 + 0.4 * (len(cell) - len(kept)),
            )  # a star is about 0.4 em wide
            style = f"text-align: {sides[j]}; padding: 0.1em {right:g}em 0.1em {left:g}em"
            cells.append(f'<{tag} style="{style}">{escape(kept)}</{tag}>')
        rule = ' style="border-top: 1px solid"' if top else ""
        return f"<tr{rule}>{''.join(cells)}</tr>"

    lines = []
    for i, block in enumerate(blocks):
        lines += [line(row, not j, len(blocks) > 1 and i == 0) for j, row in enumerate(block)]
    caption = (
        f'<caption style="caption-side: top; text-align: center">{escape(title)}</caption>\n' if title else ""
    )
    style = "border-collapse: collapse; border-bottom: 1px solid; margin-bottom: 0.5em"
    return f'<table class="simpletable" style="{style}">\n{caption}' + "\n".join(lines) + "\n</table>"


# ---- LaTeX -------------------------------------------------------------------------------------------------

_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"$\sim$",
    "^": r"\^{}",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "√": r"$\surd$",
    "χ": r"$\chi$",
    "β": r"$\beta$",
    "Λ": r"$\Lambda$",
    "Σ": r"$\Sigma$",
    "…": r"\ldots{}",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
    "]": "{]}",
    "|": "$|$",
    "−": "$-$",
    "∞": r"$\infty$",
    '"': "''",
}


class Latex(str):
    """Text that is LaTeX already."""


def latex_text(text: str) -> str:
    """Text with the characters that LaTeX reads as commands escaped, `Latex` as it is."""
    if isinstance(text, Latex):
        return text
    return "".join(_LATEX.get(c, c) for c in text)


def latex_table(blocks: Sequence[Sequence[Row]], *, align: str = "") -> str:
    """One LaTeX tabular that needs no package, blocks of rows between rules.

    Hyphens before numbers become minus signs.  Spaces at the end of a cell keep its digits above those of
    cells with stars.

    Parameters
    ----------
    blocks : blocks of rows of texts.
    align : a letter a column, l or r; one l and then r where it is empty.

    Returns
    -------
    str

    Examples
    --------
    >>> print(latex_table([[("", "b")], [("x_1", "-1.5")]]))
    \\begin{tabular}{lr}
    \\hline
     & b \\\\
    \\hline
    x\\_1 & $-$1.5 \\\\
    \\hline
    \\end{tabular}
    """
    columns = max((len(row) for block in blocks for row in block), default=1)

    def line(row: Row) -> str:
        return " & ".join((latex_text(row[0]), *map(cell, row[1:]))) + r" \\"

    def cell(text: str) -> str:
        kept = text.rstrip(" ")
        return latex_text(kept.replace("-", "−") if _signed(kept) else kept) + r"\phantom{*}" * (
            len(text) - len(kept)
        )

    lines = [part for block in blocks for part in (r"\hline", *map(line, block))]
    return "\n".join(
        [rf"\begin{{tabular}}{{{align or 'l' + 'r' * (columns - 1)}}}", *lines, r"\hline", r"\end{tabular}"]
    )


def _signed(cell: str) -> bool:
    """Whether a hyphen in a cell is a minus sign."""
    return cell.lstrip("-(")[:1].isdigit() or cell.lstrip("-").startswith("inf")


# ---- markdown ----------------------------------------------------------------------------------------------


def markdown_text(text: str) -> str:
    """Text with the characters that markdown reads as marks escaped."""
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", text)


def markdown_table(rows: Sequence[Row]) -> str:
    """One markdown (pipe) table; the first row holds the column names.

    Examples
    --------
    >>> print(markdown_table([("", "b"), ("x_1", "1.5")]))
    |  | b |
    |:--|--:|
    | x\\_1 | 1.5 |
    """
    head, *body = ("| " + " | ".join(map(markdown_text, row)) + " |" for row in rows)
    return "\n".join([head, "|:--|" + "--:|" * (len(rows[0]) - 1), *body])


# ---- numbers -----------------------------------------------------------------------------------------------


def number(x: float, digits: int = 4, *, missing: str = "nan") -> str:
    """A number with four decimals, or four significant digits where decimals would hide or drown them."""
    if math.isnan(x):
        return missing
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x != 0 and not 10.0 ** (1 - digits) <= abs(x) < 1e6:
        return f"{x:.{digits - 1}e}"
    return f"{x:.{digits}f}"


def p_value(p: float, *, missing: str = "nan") -> str:
    """A p-value with three decimals, never printed as zero."""
    if math.isnan(p):
        return missing
    return "<.001" if p < 0.0005 else f"{p:.3f}"
