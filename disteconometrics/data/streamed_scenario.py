"""Rows of a source under "what if": a `Scenario` of every batch, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from disteconometrics.data.scenario import Part, Scenario
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.stream import StreamDesign

__all__ = ["StreamedScenario"]


@dataclass(frozen=True, eq=False)
class StreamedScenario:
    """What averages over rows ask of a `Scenario`, over rows that are read anew.

    Variables and their levels are looked at in the first batch, which knows those of all rows.
    """

    design: StreamDesign

    @property
    def spec(self) -> DesignSpec:
        """How rows are coded."""
        return self.design.spec

    @property
    def size(self) -> int:
        """Rows used."""
        return self.design.rows.used

    def pieces(self) -> Iterator[Scenario]:
        """Return the rows, a batch at a time.  Raises: as `StreamDesign.tables`."""
        for table in self.design.tables():
            yield Scenario.of_data(self.spec, table)

    @cached_property
    def _first(self) -> Scenario:
        return next(self.pieces())

    def zero_one(self, name: str) -> bool:
        """Return whether a column of numbers is 0 or 1 in every row.  Raises: nothing."""
        return name in self.design.zero_one

    def check_variable(self, name: Any) -> str:
        """Return a variable of the right side.  Raises: as `Scenario.check_variable`."""
        return self._first.check_variable(name)

    def levels(self, name: str) -> tuple[Any, ...] | None:
        """Return the levels of a categorical variable.  Raises: nothing."""
        return self._first.levels(name)

    def part(self, start: int, stop: int, fixed: Any) -> Part:
        """Return some of the first rows.  Raises: as `Scenario.part`."""
        return self._first.part(start, stop, fixed)

    def values(self, name: str) -> Any:
        """A source keeps no column.  Raises: NeedsRows."""
        raise self.design.needs_rows()
