"""What a Monte Carlo study found: replications, measures with errors, failures, and the printed table."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.errors import FailedReplicationsWarning, NeedsRows, OptionError, StudyError, warn_user
from disteconometrics.pictures import Pictured
from disteconometrics.simulate.latex import MEASURES, latex_study
from disteconometrics.simulate.measures import Replications, measured
from disteconometrics.simulate.replications import DGP, FIELDS, Cell, Failure, ReplicationBlock, Task
from disteconometrics.simulate.saved import read_study, write_study
from disteconometrics.simulate.totals import StudyTotals
from disteconometrics.tables import Section, Summary, printable

__all__ = ["MonteCarloResults", "Replay", "all_failed", "check_names"]

FLAGGED_ERRORS = 2.0  # Monte Carlo standard errors beyond which a figure is flagged
OTHER = "other parameters"


class Replay(NamedTuple):
    """A replication done again: its table, the results by estimator, and the errors of those that failed."""

    table: Any
    results: dict[str, Any]
    errors: dict[str, BaseException]


class Numbers(NamedTuple):
    """Of one estimator in one cell: names (q,) and values (R, q, 5), NaN where a replication failed."""

    names: tuple[str, ...]
    values: Array


def check_names(study: Any, c: int, names: Sequence[str]) -> None:
    """Refuse targets and true values of parameters that no estimator gives."""
    truths = study.truths(study.cells[c], names) if study.truth is not None else {}
    kept = truths if study.targets is None else [name for name in truths if name in study.targets]
    for what, wanted in (("targets", study.targets or ()), ("truth", kept)):
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise OptionError(
                f"{what} names {', '.join(map(repr, unknown))}, which no estimator gives; it gives "
                f"{', '.join(names)}."
            )


def all_failed(
    task: Task, blocks: Sequence[ReplicationBlock], done: int, name: str | None = None
) -> StudyError:
    """The error of a study in which nothing succeeded, or nothing of an estimator."""
    found = [(b.cell, f) for b in blocks for f in b.failures]
    found = [(c, f) for c, f in found if name is None or f.estimator in (name, DGP)]
    c, first = min(found, key=lambda pair: (pair[0], pair[1].replication))
    who = "the DGP" if first.estimator == DGP else f"estimator {first.estimator!r}"
    label = task.cells[c].label
    where = f"replication {first.replication}" + (f" of {label}" if label else "")
    cause = f"The first cause, {who} in {where}: {first.reason}: {first.message}"
    if name is None:
        return StudyError(f"All {done:,} replications failed. {cause}")
    return StudyError(
        f"All {done:,} replications of estimator {name!r} failed, so the study stops; correct it or leave it "
        f"out. {cause}"
    )


def _assemble(
    blocks: Sequence[ReplicationBlock], c: int, name: str, done: Indices
) -> tuple[Numbers, list[Failure]]:
    """Numbers of an estimator by replication; those under other names than the first ones are failures."""
    parts = [(names, reps, rows) for b in blocks if b.cell == c for names, reps, rows in b.of(name)]
    if not parts:
        return Numbers((), np.zeros((len(done), 0, len(FIELDS)))), []
    names = min(parts, key=lambda part: min(part[1]))[0]
    values = np.full((len(done), len(names), len(FIELDS)), np.nan)
    failures = []
    for these, reps, rows in parts:
        if these == names:
            at = np.searchsorted(done, reps)
            inside = (at < len(done)) & (done[np.minimum(at, len(done) - 1)] == reps)
            values[at[inside]] = np.asarray(rows)[inside]
        else:
            text = _difference(names, these)
            failures += [Failure(rep, name, OTHER, text, "") for rep in reps if rep in done]
    return Numbers(names, values), failures


def _difference(names: Sequence[str], other: Sequence[str]) -> str:
    missing, extra = [n for n in names if n not in other], [n for n in other if n not in names]
    said = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(extra)}"] * bool(extra)
    return f"other parameters than in the first replication: {' and '.join(said) or 'in another order'}"


@dataclass(frozen=True, eq=False)
class MonteCarloResults(Pictured):
    """Replications of a study and what follows from them.

    ``study`` is what was run, ``task`` how (with the seed), ``reps`` the replications asked for in every
    cell, ``store`` the file that has them, if any.  ``plot("lollipop")`` draws a measure by cell and
    estimator, ``"zip"`` the intervals of a cell, ``"nested_loop"`` a measure along a grid,
    ``"standard_errors"`` estimates against their errors.

    Examples
    --------
    >>> import disteconometrics as de
    >>> mean = lambda d: {"mu": (d.mean(), d.std(ddof=1) / len(d) ** 0.5)}
    >>> study = de.MonteCarlo(lambda rng: rng.normal(1.0, 1.0, 40), {"mean": mean}, truth={"mu": 1.0})
    >>> mc = study.run(reps=500, seed=1)
    >>> print(mc.summary())  # doctest: +NORMALIZE_WHITESPACE
                                  Monte Carlo study
    ==============================================================================
    Replications:                      500 Seed:                                 1
    Cells:                               1 Level:                             0.95
    ==============================================================================
            bias (MC SE) emp. SE model SE  RMSE coverage (MC SE) width reject
    ------------------------------------------------------------------------------
    mean mu -0.000 (0.007)   0.160    0.159 0.160    0.936 (0.011) 0.619  1.000
    ==============================================================================
    reject: share that reject zero at 0.05.
    Failures: mean 0.
    """

    study: Any
    task: Task
    blocks: tuple[ReplicationBlock, ...]
    reps: int
    store: Any = None
    totals: StudyTotals | None = None  # in place of replications, under keep="measures"

    pictures: ClassVar[tuple[str, ...]] = ("lollipop", "zipper", "nested_loop", "standard_errors")
    kinds: ClassVar[Mapping[str, str]] = {"zip": "zipper"}

    # ---- replications --------------------------------------------------------------------------------------

    @property
    def seed(self) -> Any:
        """The seed: a whole number, with its spawn key if it was a generator."""
        return (self.task.entropy, self.task.spawn_key) if self.task.spawn_key else self.task.entropy

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the grid."""
        return self.task.cells

    @property
    def estimators(self) -> tuple[str, ...]:
        """Names of the estimators."""
        return tuple(e.name for e in self.task.estimators)

    @cached_property
    def done(self) -> tuple[Indices, ...]:
        """Numbers of the replications that are there, by cell: 0 … reps − 1 unless interrupted."""
        if self.totals is not None:
            return tuple(self.totals.done(c) for c in range(len(self.cells)))
        by_cell = [
            sorted({r for b in self.blocks if b.cell == c for r in b.done if r < self.reps})
            for c in range(len(self.cells))
        ]
        return tuple(np.array(found, dtype=np.intp) for found in by_cell)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many replications are there, by cell."""
        if self.totals is not None:
            return tuple(self.totals.count(c) for c in range(len(self.cells)))
        return tuple(map(len, self.done))

    @cached_property
    def _assembled(self) -> tuple[dict[tuple[int, str], Numbers], list[tuple[int, Failure]]]:
        if self.totals is not None:
            raise NeedsRows(
                "This study was run with keep='measures', and the call needs its replications: run it with "
                "keep='replications' (fewer of them), or look at single ones by replay(…)."
            )
        numbers: dict[tuple[int, str], Numbers] = {}
        failures = [(b.cell, f) for b in self.blocks for f in b.failures if f.replication < self.reps]
        for c, done in enumerate(self.done):
            for name in self.estimators:
                numbers[c, name], other = _assemble(self.blocks, c, name, done)
                failures += [(c, f) for f in other]
        return numbers, sorted(failures, key=lambda pair: (pair[0], pair[1].replication, pair[1].estimator))

    def numbers(self, cell: Any = None, estimator: str | None = None) -> Numbers:
        """Parameter names (q,) and values (R, q, 5), as in `FIELDS`, of an estimator in a cell."""
        name = self.estimators[0] if estimator is None else estimator
        if name not in self.estimators:
            raise OptionError(f"{estimator!r} is not among the estimators {', '.join(self.estimators)}.")
        return self._assembled[0][self.place(cell), name]

    @cached_property
    def replications(self) -> pd.DataFrame:
        """A row for each cell, replication, estimator and parameter, with the numbers in `FIELDS`."""
        parts = []
        for (c, name), (names, values) in self._assembled[0].items():
            R, q = values.shape[:2]
            part = pd.DataFrame(values.reshape(R * q, len(FIELDS)), columns=list(FIELDS))
            part.insert(0, "parameter", list(names) * R)
            part.insert(0, "estimator", name)
            part.insert(0, "replication", np.repeat(self.done[c], q))
            parts.append(self._with_cell(part, c))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """A row for each failure: cell, replication, estimator or "dgp", reason, message, traceback, seed.

        Under ``keep="measures"`` it has the first one of each reason.
        """
        columns = ["cell", *Failure._fields, "seed"]
        rows = [(self.cells[c].label, *f, self.seed) for c, f in self._failures]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def warnings(self) -> pd.DataFrame:
        """Replications that warned, by cell, estimator or "dgp" and class, with the first message."""
        counts: Counter[tuple[int, str, str]] = Counter()
        first: dict[tuple[int, str, str], str] = {}
        for b in self.blocks:
            for (estimator, category), (count, message) in b.warned.items():
                counts[b.cell, estimator, category] += count
                first.setdefault((b.cell, estimator, category), message)
        rows = [(self.cells[k[0]].label, *k[1:], n, first[k]) for k, n in sorted(counts.items())]
        return pd.DataFrame(rows, columns=["cell", "estimator", "warning", "count", "message"])

    def failed(self, cell: Any = None, estimator: str | None = None) -> int:
        """How many replications of an estimator (None: the first) in a cell have no numbers."""
        c, name = self.place(cell), self.estimators[0] if estimator is None else estimator
        return self._reasons(name, c).total()

    @cached_property
    def _failures(self) -> list[tuple[int, Failure]]:
        """Failures in their order, with their cells; without replications the first one of each reason."""
        if self.totals is None:
            return self._assembled[1]
        found = [(b.cell, f) for b in self.blocks for f in b.failures]
        for (c, name), known in self.totals.named.items():
            mine = self.totals.names(c, name)
            found += [
                (c, Failure(rep, name, OTHER, _difference(mine, names), ""))
                for names, _, rep in self.totals.others(c, name)[:1] * (len(known) > 1)
            ]
        return sorted(found, key=lambda pair: (pair[0], pair[1].replication, pair[1].estimator))

    def _failures_of(self, estimator: str, cell: int | None = None) -> list[Failure]:
        """Failures that cost an estimator its numbers, in a cell or in all."""
        return [f for c, f in self._failures if cell in (None, c) and f.estimator in (estimator, DGP)]

    def _reasons(self, estimator: str, cell: int | None = None) -> Counter[str]:
        """How many there are, by reason."""
        if self.totals is None:
            return Counter(f.reason for f in self._failures_of(estimator, cell))
        found: Counter[str] = Counter()
        for (c, name, reason), count in self.totals.failed.items():
            if cell in (None, c) and name in (estimator, DGP):
                found[reason] += count
        for c in range(len(self.cells)) if cell is None else [cell]:
            found[OTHER] += sum(count for _, count, _ in self.totals.others(c, estimator))
        return +found

    def place(self, cell: Any = None) -> int:
        """Which cell is meant: a label, a dict of values, or None where there is only one."""
        if cell is None and len(self.cells) == 1:
            return 0
        for c, known in enumerate(self.cells):
            if cell == known.label or (
                isinstance(cell, Mapping) and dict(cell) in (dict(known.shown), dict(known.values))
            ):
                return c
        if len(self.cells) == 1 and not self.cells[0].label:
            raise OptionError(f"cell={cell!r}: this study has a single cell without a name; leave it out.")
        raise OptionError(
            f"cell={cell!r} is not there; the cells are {'; '.join(repr(k.label) for k in self.cells)}."
        )

    def _with_cell(self, table: pd.DataFrame, c: int) -> pd.DataFrame:
        for name, value in reversed(list(self.cells[c].shown.items())):
            table.insert(0, name, [value] * len(table))
        return table

    def _names(self, c: int, estimator: str) -> tuple[str, ...]:
        """Names of the parameters of an estimator in a cell."""
        return (
            self._assembled[0][c, estimator].names if self.totals is None else self.totals.names(c, estimator)
        )

    # ---- measures ------------------------------------------------------------------------------------------

    @cached_property
    def truths(self) -> tuple[dict[str, tuple[float, float]], ...]:
        """True values with the errors of their computation, by cell."""
        names = [
            list(dict.fromkeys(n for e in self.estimators for n in self._names(c, e)))
            for c in range(len(self.cells))
        ]
        return tuple(self.study.truths(cell, names[c]) for c, cell in enumerate(self.cells))

    def measures(
        self, *, reference: str | None = None, null: float = 0.0, variants: bool = False
    ) -> pd.DataFrame:
        """All performance measures in long form; see `simulate.measures` for their formulas.

        Parameters
        ----------
        reference : str or None, the estimator that precision is relative to; None is the first.
        null : float, the value that ``rejection`` tests.
        variants : bool, whether to add the Monte Carlo standard errors of simhelpers.

        Returns
        -------
        pandas DataFrame
            Columns of the grid, estimator, parameter, measure, value, mcse; ``n_failed`` counts replications
            without numbers, ``truth`` has the error of its computation beside it.

        Raises
        ------
        OptionError
            If the reference is no estimator of the study.
        """
        rows = self._measured(reference, null, variants)
        flat = [(c, e, p, m, *pair) for c, e, p, found in rows for m, pair in found.items()]
        table = pd.DataFrame(flat, columns=["cell", "estimator", "parameter", "measure", "value", "mcse"])
        places = table.pop("cell").to_numpy()
        for name in reversed(list(self.cells[0].shown)):
            table.insert(0, name, [self.cells[c].shown.get(name) for c in places])
        return table

    def _measured(
        self, reference: str | None = None, null: float = 0.0, variants: bool = False
    ) -> list[tuple[int, str, str, dict[str, tuple[float, float]]]]:
        """Measures of every parameter of every estimator in every cell."""
        if self.totals is not None and reference is None and null == 0 and not variants:
            return self._summed(self.totals)
        reference = self.estimators[0] if reference is None else reference
        if reference not in self.estimators:
            raise OptionError(
                f"reference={reference!r} is not among the estimators {', '.join(self.estimators)}."
            )
        failed = Counter((c, f.estimator) for c, f in self._assembled[1])
        found = []
        for (c, name), (names, values) in self._assembled[0].items():
            base = self._assembled[0][c, reference]
            n_failed = (float(failed[c, name] + failed[c, DGP]), np.nan)
            for j, parameter in enumerate(names):
                shared = name != reference and parameter in base.names
                other = base.values[:, base.names.index(parameter), 0] if shared else None
                one = self._one(c, parameter, values[:, j], other, null, variants)
                found.append((c, name, parameter, {"n_failed": n_failed, **one}))
        return found

    def _summed(self, totals: StudyTotals) -> list[tuple[int, str, str, dict[str, tuple[float, float]]]]:
        """The same of sums."""
        return [
            (
                c,
                name,
                parameter,
                {
                    "n_failed": (float(self._reasons(name, c).total()), np.nan),
                    **found,
                    "truth": self.truths[c].get(parameter, (np.nan, np.nan)),
                },
            )
            for c in range(len(self.cells))
            for name in self.estimators
            for parameter, found in totals.measures(c, name).items()
        ]

    def _one(
        self, c: int, parameter: str, values: Array, reference: Array | None, null: float, variants: bool
    ) -> dict[str, tuple[float, float]]:
        truth, error = self.truths[c].get(parameter, (np.nan, np.nan))
        b, se, low, high, p = values.T
        tested = p if null == 0 else None  # they are p-values of zero
        one = Replications(b, se, truth, low, high, tested, reference, self.task.level, null)
        return {**measured(one, variants=variants), "truth": (truth, error)}

    def table(
        self, *, reference: str | None = None, null: float = 0.0, variants: bool = False
    ) -> pd.DataFrame:
        """The measures in wide form, rows (cell, estimator, parameter), with errors in columns ``…_mcse``.

        Options are those of `measures`.
        """
        rows = self._measured(reference, null, variants)
        keys = [(self.cells[c].label, e, p) for c, e, p, _ in rows]
        wide = [
            {n: v for m, (value, mcse) in found.items() for n, v in ((m, value), (f"{m}_mcse", mcse))}
            for *_, found in rows
        ]
        table = pd.DataFrame(
            wide, index=pd.MultiIndex.from_tuples(keys, names=["cell", "estimator", "parameter"])
        )
        return table.drop(columns=[c for c in table if c.endswith("_mcse") and table[c].isna().all()])

    # ---- again, and more -----------------------------------------------------------------------------------

    def replay(self, cell: Any, replication: int | None = None) -> Replay:
        """Draw the table of a replication again and fit it again, for a look at what happened.

        Parameters
        ----------
        cell : label such as ``"n=250"`` or dict; with a single cell, the replication may come first.
        replication : int.

        Returns
        -------
        Replay

        Raises
        ------
        OptionError
            If there is no such cell.

        Examples
        --------
        >>> import disteconometrics as de
        >>> study = de.MonteCarlo(lambda rng: rng.normal(size=5), lambda d: {"mu": d.mean()})
        >>> mc = study.run(reps=10, seed=1)
        >>> again = mc.replay(3)
        >>> bool(again.results["lambda"]["mu"] == mc.replications.estimate[3])
        True
        """
        if replication is None:
            cell, replication = None, cell
        c = self.place(cell)
        if isinstance(replication, bool) or not isinstance(replication, (int, np.integer)) or replication < 0:
            raise OptionError(f"replication={replication!r}: give its number, 0 or more.")
        table, results, errors = self.task.again(c, int(replication))
        return Replay(table, results, errors)

    def extend(self, reps: int, *, n_jobs: int | None = None) -> MonteCarloResults:
        """Return results with ``reps`` more replications in every cell, as if they had been run at once.

        Raises
        ------
        OptionError, StudyError, WorkerError
        """
        more: MonteCarloResults = self.study.extend(self, reps, n_jobs)
        return more

    # ---- files ---------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write numbers, true values and failures to one ``.npz`` file; `disteconometrics.load` reads it.

        The file holds numbers and names, neither the process nor the estimators, so what is loaded has all
        measures, tables and pictures, but no `replay` and no `extend`; ``run(store=)`` keeps what these need.

        Parameters
        ----------
        path : file name or binary file.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import io
        >>> import disteconometrics as de
        >>> file, mean = io.BytesIO(), lambda d: {"mu": (d.mean(), 0.2)}
        >>> mc = de.MonteCarlo(lambda rng: rng.normal(size=25), mean, truth={"mu": 0}).run(reps=50, seed=1)
        >>> mc.save(file)
        >>> de.load(io.BytesIO(file.getvalue())).tidy().equals(mc.tidy())
        True
        """
        blocks = [
            {name: self._assembled[0][c, name] for name in self.estimators} for c in range(len(self.cells))
        ]
        failures = [[f for at, f in self._assembled[1] if at == c] for c in range(len(self.cells))]
        write_study(path, self, blocks, failures)

    @classmethod
    def from_file(cls, saved: Any) -> MonteCarloResults:
        """Rebuild a saved study.

        Raises
        ------
        FileFormatError
        """
        return cls(*read_study(saved))

    # ---- what is wrong with it -----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise where there is nothing to report, or where truth or targets name what nobody estimates."""
        if self.totals is not None:
            some = any(self.totals.named.values())
        else:
            numbers = self._assembled[0].values()
            some = any(v.names and np.isfinite(v.values).any() for v in numbers)
        if not some:
            raise all_failed(self.task, self.blocks, sum(self.counts))
        places = [(c, e) for c in range(len(self.cells)) for e in self.estimators]
        names = list(dict.fromkeys(n for c, e in places for n in self._names(c, e)))
        check_names(self.study, 0, names)

    def warn(self, max_fail: float) -> None:
        """Warn of failures, beyond a share or where parameters come and go, and of draws without a seed."""
        for c in range(len(self.cells)):
            for name in self.estimators:
                self._warn_of_failures(c, name, max_fail)
        random = sorted({name for b in self.blocks for name in b.random})
        if random:
            text = (
                f"{' or '.join(random)} moved numpy's global random state: the same seed may give "
                f"other numbers."
            )
            hint = "give the callable an argument rng and draw from it"
            warn_user(FailedReplicationsWarning(f"{text} {hint.capitalize()}.", hint=hint))

    def _warn_of_failures(self, c: int, name: str, max_fail: float) -> None:
        reasons, R, label = self._reasons(name, c), self.counts[c], self.cells[c].label
        if reasons.total() <= max_fail * R and OTHER not in reasons:
            return
        words = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        first, where = self._failures_of(name, c)[0], f" in {label}" if label else ""
        text = (
            f"{reasons.total():,} of {R:,} replications of {name!r} failed{where} ({words}); measures "
            f"are over the others. "
            f"The first, replication {first.replication}: {first.message or first.reason}"
        )
        warn_user(FailedReplicationsWarning(text, column=name, hint=self._replay_line(c, first)))

    def _replay_line(self, c: int, failure: Failure) -> str:
        label = self.cells[c].label
        return (
            f"mc.replay({label!r}, {failure.replication})" if label else f"mc.replay({failure.replication})"
        )

    # ---- the printed table ---------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """The table of bias, standard errors, coverage, width and rejection, with flags and what failed."""
        wide = self.table()
        sections = [self._section(wide, c) for c in range(len(self.cells))]
        least = min(self.counts)
        reps = f"{least:,}" if least == self.reps else f"{least:,} of {self.reps:,}"
        left = (("Replications", reps), ("Cells", f"{len(self.cells):,}"))
        right = (("Seed", str(self.seed)), ("Level", f"{self.task.level:g}"))
        return Summary("Monte Carlo study", (left, right), tuple(sections), tuple(self._notes(wide)))

    def tidy(self) -> pd.DataFrame:
        """Measures in long form, as `measures` gives them."""
        return self.measures()

    def as_latex(self, measures: Sequence[str] = MEASURES, *, cells_as_rows: bool = False) -> str:
        """One table for a paper, with booktabs' rules and Monte Carlo errors in parentheses.

        Parameters
        ----------
        measures : columns of `table` to print.
        cells_as_rows : bool, whether the cell of the grid is a column, not the heading of a block.

        Returns
        -------
        str

        Raises
        ------
        OptionError
            If there is no such measure.

        Examples
        --------
        >>> import disteconometrics as de
        >>> mean = lambda d: {"mu": (d.mean(), d.std(ddof=1) / 40**0.5)}
        >>> mc = de.MonteCarlo(lambda rng: rng.normal(1, 1, 40), mean, truth={"mu": 1}).run(reps=200, seed=1)
        >>> print(mc.as_latex(["coverage"]))
        \\begin{tabular}{llr}
        \\toprule
        Estimator & Parameter & Coverage \\\\
        \\midrule
        lambda & mu & 0.925 (0.019) \\\\
        \\bottomrule
        \\end{tabular}
        """
        return latex_study(self.table(), measures, cells_as_rows)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        what = f"{len(self.estimators)} estimators, {len(self.cells)} cells, {self.reps:,} replications"
        return printable(f"<Monte Carlo study: {what}, seed {self.seed}>")

    def _repr_html_(self) -> str:
        return self.summary().as_html()

    def _section(self, wide: pd.DataFrame, c: int) -> Section:
        label = self.cells[c].label
        rows = wide.loc[[label]] if label in wide.index.get_level_values(0) else wide.iloc[:0]
        columns = ("bias (MC SE)", "emp. SE", "model SE", "RMSE", "coverage (MC SE)", "width", "reject", "")
        stubs, cells = [], []
        long = max([0, *(len(e) for e in self.estimators)])
        for (_, estimator, parameter), row in rows.iterrows():
            stubs.append(f"{estimator:<{long}} {parameter}")
            cells.append(_cells(row.to_dict(), self.task.level))
        return Section(columns, tuple(stubs), tuple(cells), f"cell {label}" if label else None)

    def _notes(self, wide: pd.DataFrame) -> list[str]:
        level = self.task.level
        notes = [*_flag_notes(wide, level), f"reject: share that reject zero at {1 - level:.3g}."]
        rows = wide.index[wide["truth"].isna() & wide["mean"].notna()]
        unknown = dict.fromkeys(rows.get_level_values("parameter"))
        if unknown:
            notes.append(f"No truth, so no bias or coverage: {', '.join(unknown)}.")
        notes.append(self._failures_note())
        missing = wide["n_se_nan"][wide["n_se_nan"] > 0] if "n_se_nan" in wide else wide.iloc[:0, 0]
        for (cell, e, p), n in missing.items():
            where = f" ({cell})" if cell else ""
            notes.append(f"{e} {p}: {int(n):,} replications without a standard error, left out{where}.")
        told = self.warnings.groupby(["estimator", "warning"], sort=False)["count"].sum()
        if len(told):
            kinds = ", ".join(f"{e} {w} in {n:,}" for (e, w), n in told.items())
            notes.append(f"Warnings: {kinds}; see .warnings.")
        return notes

    def _failures_note(self) -> str:
        """How many replications of each estimator failed, and why."""
        said, total = [], sum(self.counts)
        for name in self.estimators:
            reasons = self._reasons(name)
            words = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
            why = f" of {total:,} ({words})" if reasons else ""
            said.append(f"{name} {reasons.total():,}{why}")
        failed = self._failures
        see = f" See {self._replay_line(*failed[0])}." if failed else ""
        return f"Failures: {', '.join(said)}.{see}"


def _flag_notes(wide: pd.DataFrame, level: float) -> list[str]:
    """What the flags beside the rows mean, in one line."""
    flags = {flag for _, row in wide.iterrows() for flag in _flags(row.to_dict(), level)}
    words = {
        "*": f"* |bias| > {FLAGGED_ERRORS:g} MC SE.",
        "c": f"c coverage is off {level:g} by > {FLAGGED_ERRORS:g} MC SE.",
    }
    return [" ".join(words[flag] for flag in sorted(flags))] if flags else []


def _flags(row: Mapping[str, float], level: float) -> str:
    """Which figures are off by more than their Monte Carlo standard error explains."""
    nan = float("nan")
    bias = abs(row.get("bias", nan)) > FLAGGED_ERRORS * np.hypot(
        row.get("bias_mcse", nan), row.get("truth_mcse", 0.0) or 0.0
    )
    # of a coverage of exactly one, whose own is zero
    nominal = np.sqrt(level * (1 - level) / max(row.get("n_sim", 1.0), 1.0))
    off = abs(row.get("coverage", nan) - level) > FLAGGED_ERRORS * max(row.get("coverage_mcse", nan), nominal)
    return "*" * bool(bias) + "c" * bool(off)


def _cells(row: Mapping[str, float], level: float) -> tuple[str, ...]:
    def number(name: str) -> str:
        value = row.get(name, np.nan)
        return "" if np.isnan(value) else _short(value)

    def pair(name: str, sign: str = "") -> str:
        value, error = row.get(name, np.nan), row.get(f"{name}_mcse", np.nan)
        if np.isnan(value):
            return ""
        if math.isnan(error):
            return f"{value:{sign}.3f}"
        # two digits of the error
        digits = 3 if not 0 < error < 1e-3 else min(1 - math.floor(math.log10(error)), 9)
        return f"{value:{sign}.{digits}f} ({error:.{digits}f})"

    figures = (
        pair("bias", "+"),
        number("empirical_se"),
        number("model_se"),
        number("rmse"),
        pair("coverage"),
        number("width"),
    )
    return (*figures, number("rejection"), _flags(row, level))


def _short(value: float) -> str:
    """Three decimals, or two digits where these would hide the number."""
    return f"{value:.3f}" if value == 0 or 1e-2 <= abs(value) < 1e4 else f"{value:.1e}"
