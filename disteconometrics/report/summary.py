"""The printed result: one frame for every estimator, as text, HTML and LaTeX, drawn by statsmodels' tables.

A summary is a title, a two-column header (what, who, how), tables of numbers and notes that say what a careful reader would ask.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from statsmodels.iolib.table import SimpleTable

from disteconometrics.inference.estimates import Estimates

__all__ = ["Section", "Summary", "estimates_section", "latex_text", "number", "p_value"]

WIDTH = 78
_PLAIN = {
    "colsep": " ",
    "row_pre": "",
    "row_post": "",
    "empty_cell": "",
    "header_align": "r",
    "data_aligns": "r",
    "stubs_align": "l",
}


@dataclass(frozen=True)
class Section:
    """A table of texts: optional heading, column names, row names, cells."""

    columns: tuple[str, ...]
    stubs: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    heading: str | None = None


@dataclass(frozen=True)
class Summary:
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
        return self.as_text()

    def __repr__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        return self.as_html()

    def _repr_latex_(self) -> str:
        return self.as_latex()

    def as_text(self) -> str:
        """Plain text, 78 columns wide or as wide as its widest table."""
        width = max([WIDTH, *(_natural_width(s) for s in self.sections)])
        lines = [self.title.center(width).rstrip(), "=" * width, *self._header_lines(width), "=" * width]
        for section in self.sections:
            if section.heading:
                lines.append(section.heading)
            lines.append(_text_table(section, width))
        lines.append("=" * width)
        for note in (*self._cut(width), *self.notes):
            lines.extend(textwrap.wrap(note, width, subsequent_indent="  "))
        return "\n".join(lines)

    def _header_lines(self, width: int) -> list[str]:
        left, right = self.header
        wide = (width - 1) // 2
        lines = []
        for i in range(max(len(left), len(right))):
            a = _pair(left[i], wide) if i < len(left) else " " * wide
            b = _pair(right[i], width - wide - 1) if i < len(right) else ""
            lines.append(f"{a} {b}".rstrip())
        return lines

    def _cut(self, width: int) -> list[str]:
        """Header values that did not fit, in full."""
        half = (width - 1) // 2
        return [f"{label}: {value}" for label, value in self.header[0] + self.header[1] if len(label) + len(value) + 2 > half]

    def _header_rows(self) -> list[list[str]]:
        left, right = self.header
        pad = [("", "")] * (max(len(left), len(right)))
        rows = zip([*left, *pad], [*right, *pad], strict=False)
        return [[f"{a}:" if a else "", b, f"{c}:" if c else "", d] for (a, b), (c, d) in list(rows)[: len(pad)]]

    def as_html(self) -> str:
        """HTML tables, as a notebook shows them."""
        parts = [SimpleTable([[escape(c) for c in row] for row in self._header_rows()], title=escape(self.title)).as_html()]
        for s in self.sections:
            cells = [[escape(c) for c in row] for row in s.cells]
            table = SimpleTable(
                cells, [escape(c) for c in s.columns], [escape(c) for c in s.stubs], title=escape(s.heading or "")
            )
            parts.append(table.as_html())
        parts.extend(f"<p>{escape(note)}</p>" for note in self.notes)
        return "\n".join(parts)

    def as_latex(self) -> str:
        """LaTeX tabulars, ready to paste; special characters are escaped."""
        parts = [rf"\begin{{center}} {latex_text(self.title)} \end{{center}}"]
        parts.append(
            SimpleTable([[latex_text(c) for c in row] for row in self._header_rows()]).as_latex_tabular(
                center=True, replacements={}
            )
        )
        for s in self.sections:
            cells = [[latex_text(c) for c in row] for row in s.cells]
            table = SimpleTable(cells, [latex_text(c) for c in s.columns], [latex_text(c) for c in s.stubs])
            parts.append(
                (latex_text(s.heading) + "\n\n" if s.heading else "") + table.as_latex_tabular(center=True, replacements={})
            )
        parts.extend(latex_text(note) + "\n" for note in self.notes)
        return "\n".join(parts)


def _pair(pair: tuple[str, str], width: int) -> str:
    label, value = pair
    label = f"{label}:" if label else ""
    room = width - len(label) - 1
    if len(value) > room:
        value = value[: room - 1] + "…"
    return f"{label} {value:>{room}}"


def _columns(section: Section) -> tuple[int, list[int]]:
    """Least width of the row names and of each column."""
    stub = max([0, *(len(s) for s in section.stubs)])
    cells = [max([len(c), *(len(row[j]) for row in section.cells)]) for j, c in enumerate(section.columns)]
    return stub, cells


def _natural_width(section: Section) -> int:
    stub, cells = _columns(section)
    return stub + sum(w + 1 for w in cells)


def _text_table(section: Section, width: int) -> str:
    stub, cells = _columns(section)
    spare = width - stub - sum(w + 1 for w in cells)
    grow, first = divmod(spare, len(cells))
    grow = min(grow, 6)  # numbers that belong together stay together; the row names take the rest
    first = spare - grow * len(cells)
    table = SimpleTable(
        [list(row) for row in section.cells],
        list(section.columns),
        [s.ljust(stub + first) for s in section.stubs],
        txt_fmt={**_PLAIN, "colwidths": [stub + first, *(w + grow for w in cells)], "header_dec_below": "-"},
    )
    text = table.as_text(table_dec_above=None, table_dec_below=None)
    return str(text).rstrip("\n")


_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"$\sim$",
    "^": r"\^{}",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "√": r"$\surd$",
    "χ": r"$\chi$",
    "β": r"$\beta$",
    "…": r"\ldots{}",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
    "]": "{]}",
    "|": "$|$",
    "−": "$-$",
    "∞": r"$\infty$",
}


def latex_text(text: str) -> str:
    """Text with the characters that LaTeX reads as commands escaped."""
    return "".join(_LATEX.get(c, c) for c in text)


def number(x: float, digits: int = 4) -> str:
    """A number with four decimals, or four significant digits where decimals would hide or drown them."""
    if np.isnan(x):
        return "nan"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x != 0 and not 10.0 ** (1 - digits) <= abs(x) < 1e6:
        return f"{x:.{digits - 1}e}"
    return f"{x:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value with three decimals, never printed as zero."""
    if np.isnan(p):
        return "nan"
    return "<.001" if p < 0.0005 else f"{p:.3f}"


def estimates_section(estimates: Estimates, level: float = 0.95, heading: str | None = None) -> Section:
    """The table of six columns that every result prints."""
    low, high = estimates.interval(level).T
    percent = f"{100 * level:g}%"
    columns = ("estimate", "std_error", "z" if np.isinf(estimates.df) else "t", "p", f"[{percent} conf.", "interval]")
    rows: list[tuple[str, ...]] = []
    numbers: Sequence[Any] = (estimates.values, estimates.std_error, estimates.statistic, estimates.p_value, low, high)
    for b, se, z, p, lo, hi in zip(*numbers, strict=True):
        rows.append((number(b), number(se), f"{z:.3f}" if np.isfinite(z) else "nan", p_value(p), number(lo), number(hi)))
    return Section(columns, estimates.names, tuple(rows), heading)
