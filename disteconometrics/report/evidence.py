"""What stands behind an answer: stored references and measured coverage, from the pages of studies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from disteconometrics.errors import OptionError
from disteconometrics.tables import Section, Summary
from disteconometrics.words import OtherWords, tells_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evidence", "evidence"]

BOUNDS = (0.92, 0.98)  # of coverages at 95 %, beyond which a row is marked
COLUMNS = ("page", "design", "answer", "coverage", "width", "outside")
LONGEST = 44  # characters of a cell of the printed table; `to_frame` has them whole


@dataclass(frozen=True)
class Evidence(OtherWords):
    """References that an answer reproduces and what its 95 % limits cover; it prints as a table.

    Parameters
    ----------
    answer : str, "Estimator.answer".
    references : dicts of source, values (how many), tolerance (largest, relative for values above 1).
    coverage : dicts of page, design, answer, coverage, width (texts of the page) and outside (bool).

    Examples
    --------
    >>> evidence("Logit.margins").to_frame().columns.tolist()
    ['page', 'design', 'answer', 'coverage', 'width', 'outside']
    """

    answer: str
    references: tuple[dict[str, Any], ...]
    coverage: tuple[dict[str, Any], ...]

    def to_frame(self) -> pd.DataFrame:
        """The measured coverages as a table.

        Returns
        -------
        DataFrame : page, design, answer, coverage, width, outside.

        Examples
        --------
        >>> bool(evidence("FlowDensity.effect").to_frame()["outside"].any())
        True
        """
        import pandas as pd

        return pd.DataFrame(list(self.coverage), columns=list(COLUMNS))

    def tidy(self) -> pd.DataFrame:
        """The same as `to_frame`, by the name that results have for it.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> len(evidence("Logit.margins").tidy())
        19
        """
        return self.to_frame()

    def summary(self) -> Summary:
        """References, then coverages with widths, those outside of .92 to .98 marked.

        Returns
        -------
        Summary

        Examples
        --------
        >>> print(evidence("Logit.margins").summary().sections[1].heading)
        tests/statistical/coverage.md
        """
        outside = sum(row["outside"] for row in self.coverage)
        head = (
            (("Answer", self.answer), ("Stored references", f"{sum(r['values'] for r in self.references)}")),
            (("Rows of coverage", f"{len(self.coverage)}"), ("Of them outside", f"{outside}")),
        )
        pages = dict.fromkeys(row["page"] for row in self.coverage)
        sections = [self._page(page) for page in pages]
        if self.references:
            cells = tuple((str(r["values"]), f"{r['tolerance']:g}") for r in self.references)
            names = tuple(_short(r["source"]) for r in self.references)
            sections.insert(0, Section(("values", "tolerance"), names, cells, "References reproduced"))
        return Summary("What stands behind an answer", head, tuple(sections), self._notes())

    def _page(self, page: str) -> Section:
        rows = [row for row in self.coverage if row["page"] == page]
        return Section(
            ("of", "coverage", "width", ""),
            tuple(_short(row["design"]) for row in rows),
            tuple(
                (_short(r["answer"]), r["coverage"], r["width"], "outside" if r["outside"] else "")
                for r in rows
            ),
            f"tests/statistical/{page}",
        )

    def _notes(self) -> tuple[str, ...]:
        none = () if self.references else ("No numbers of other programs are stored for this answer.",)
        if not self.coverage:
            nothing = f"No study of ours stands behind the errors, limits or size of {self.answer}: "
            return (*none, f"{nothing}check them in a design like yours by de.MonteCarlo.")
        return (
            *none,
            "Coverage of limits and bands at 95 %, widths as the page defines them (in some relative ones); "
            f"outside: a coverage below {BOUNDS[0]:g} or above {BOUNDS[1]:g}, Monte Carlo error included. "
            "A size is the share of true hypotheses that a test rejects at 5 %, outside beyond .02 to .08. "
            "Several figures in a cell stand in the page's order, mostly mean; q.1, q.5, q.9. Designs, "
            "sample sizes, replications and dates stand on the page.",
        )

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()


@tells_words
def evidence(answer: str) -> Evidence:
    """What stands behind an answer: references reproduced with their tolerances, coverage, where it fails.

    Parameters
    ----------
    answer : str, "Estimator.answer", as ``"FlowDensity.effect"``; of capped, rounded or bracketed outcomes
        ``"RecordedNormal.params"``, of a mass ``"HurdleNormalRegression.effect"``.

    Returns
    -------
    Evidence : prints as a table; ``to_frame()`` has the coverages, none where no study was made.

    Raises
    ------
    OptionError
        If there is no such answer; the message lists those that something is stored on.

    Examples
    --------
    >>> found = evidence("Logit.margins")
    >>> found.references[0]["source"], found.coverage[0]["outside"]
    ('R 4.2.2 glm', False)
    >>> evidence("CLogLog.nlcom").summary().notes[-1]
    'No study of ours stands behind the errors, limits or size of CLogLog.nlcom: check them in a design \
like yours by de.MonteCarlo.'
    """
    known = _stored()
    if answer not in known:
        some = [name for name, found in known.items() if found["references"] or found["coverage"]]
        raise OptionError(f"No evidence is stored on {answer!r}; there is some on {', '.join(some)}.")
    found = known[answer]
    rows = (
        dict(zip(COLUMNS, (p, *row), strict=True)) for p, part in found["coverage"].items() for row in part
    )
    return Evidence(answer, tuple(found["references"]), tuple(rows))


@cache
def _stored() -> dict[str, Any]:
    text = files("disteconometrics.report").joinpath("evidence.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
