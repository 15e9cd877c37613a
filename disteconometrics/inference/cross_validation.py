"""`cross_validate`: how well estimators forecast the law of outcomes they have not seen.

All that is asked of an estimator is the protocol of fits: ``fit(table)`` gives a result with
``distribution(table)``, a law for every row, and ``spec.outcome_values(table)``, the outcomes as the formula
writes them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import AnyArray, Array, Indices, Seed
from disteconometrics.data.recorded import Records
from disteconometrics.data.table import Table
from disteconometrics.distributions import scores
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.scales import maps_to
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DisteconometricsWarning,
    FailedReplicationsWarning,
    MissingColumnError,
    OptionError,
    SeparationError,
    WithheldError,
    warn_user,
)
from disteconometrics.inference.foreign import as_estimator
from disteconometrics.inference.parallel import progress
from disteconometrics.inference.resample import seed_sequence, take_rows
from disteconometrics.tables import printable
from disteconometrics.threads import on_one_thread
from disteconometrics.words import OtherWords, tells_words

__all__ = ["CrossValidation", "cross_validate"]

OF_ROWS = (DataError, CollinearityError, SeparationError)  # what may go wrong in one fold alone
_MODULO = re.compile(r"row mod (\d+)")


@dataclass(frozen=True, eq=False)
class CrossValidation(OtherWords):
    """Held-out scores of estimators, row by row.

    ``log_scores`` and ``crps`` (n rows, estimators) are in the outcome's own units, NaN where a row has a
    missing value; ``transforms`` holds the held-out F(y); ``folds`` (n,) says where a row was held out;
    ``outcome`` is what was forecast, as the first formula has it.

    Examples
    --------
    >>> import disteconometrics as de
    >>> line = de.NormalRegression("log(foodexp) ~ log(income)")
    >>> cv = de.cross_validate(line, de.datasets.engel(), folds="row mod 10")
    >>> cv.table()["log_score"].round(4).tolist(), cv.uniformity("NormalRegression")
    ([0.5593], Uniformity(ks=0.065, cvm=0.209, n=235, p_value=0.271))
    """

    log_scores: pd.DataFrame
    crps: pd.DataFrame
    transforms: pd.DataFrame
    folds: Indices
    outcome: str
    seed: int | None

    def table(self) -> pd.DataFrame:
        """Mean scores by estimator, best log score first.

        Columns are log_score, its error, the difference from the best and its error; crps likewise, not of
        joint outcomes, brackets and intervals; n.  Errors are those of means over rows (of differences,
        paired): the part that comes from refitting is not in them.  An estimator that failed in a fold has no
        scores, and n = 0.
        """
        scored = self.log_scores.columns[self.log_scores.notna().any()]  # the others failed in some fold
        log, crps = self.log_scores[scored], self.crps[scored]
        joint = bool(crps.isna().all(axis=None))
        ranked = crps.columns[crps.notna().any()]
        whole = log.notna().all(axis=1) & crps[ranked].notna().all(axis=1)
        log, crps = log[whole], crps[whole]
        n = int(whole.sum())
        order = log.mean().sort_values(ascending=False, kind="stable").index
        rows = {}
        for name in order:
            row: dict[str, float] = {}
            for label, table in (("log_score", log), *([] if joint else [("crps", crps)])):
                gap = table[name] - table[order[0]]
                row |= {
                    label: float(table[name].mean()),
                    f"{label}_error": float(table[name].std() / np.sqrt(n)),
                }
                row |= {
                    f"{label}_difference": float(gap.mean()),
                    f"{label}_difference_error": float(gap.std() / np.sqrt(n)),
                }
            rows[name] = {**row, "n": n}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table = table.reindex([*order, *self.log_scores.columns.difference(scored, sort=False)])
        return table.fillna({"n": 0}).astype({"n": int})

    def uniformity(self, name: str) -> scores.Uniformity:
        """Whether held-out transforms of an estimator are uniform, with a p-value (`scores.uniformity`)."""
        if name not in self.transforms:
            raise OptionError(
                f"{name!r} is not among the estimators {', '.join(map(repr, self.transforms.columns))}."
            )
        return scores.uniformity(self.transforms[name], held_out=True)

    def __repr__(self) -> str:
        count = len(np.unique(self.folds))
        lost = len(self.folds) - int(self.table()["n"].iloc[0])
        missing = f", {lost} rows with missing values" if lost else ""
        drawn = "" if self.seed is None else f" (seed {self.seed})"
        return printable(
            f"Held-out scores of {self.outcome}, {count} "
            f"folds{drawn}{missing}\n{self.table().round(4).to_string()}"
        )


def _fold_of(folds: Any, table: Table, seed: Seed) -> tuple[Indices, int | None]:
    """The fold (n,) of each row, and the seed where folds were drawn."""
    n = len(table)
    if isinstance(folds, str) and (found := _MODULO.fullmatch(folds.strip())):
        return _enough(np.arange(n) % max(int(found[1]), 1)), None
    if isinstance(folds, Integral) and not isinstance(folds, bool):
        return _drawn(folds, n, seed)
    labels = pd.Series(_labels(folds, table))
    if labels.shape != (n,) or labels.isna().any():
        raise OptionError(f"folds needs one label, not missing, for each of the {n} rows; got {len(labels)}.")
    return _enough(pd.factorize(labels, sort=True)[0].astype(np.intp)), None


def _drawn(folds: Integral, n: int, seed: Seed) -> tuple[Indices, int | None]:
    """Folds of about one size, drawn."""
    if not 2 <= int(folds) <= n:
        raise OptionError(f"folds={folds!r}: give a number from 2 to the {n} rows.")
    sequence = seed_sequence(seed)
    order = np.random.default_rng(sequence).permutation(n)
    entropy = sequence.entropy if isinstance(sequence.entropy, int) else None
    return _enough(np.argsort(order, kind="stable") % int(folds)), entropy


def _labels(folds: Any, table: Table) -> AnyArray:
    if isinstance(folds, str):
        return np.asarray(table.raw(folds, "folds"))
    if isinstance(folds, (list, tuple, np.ndarray, pd.Series)):
        return np.asarray(folds)
    raise OptionError(
        f"folds={folds!r}: give a number, the name of a column, labels of the rows, or 'row mod 10'."
    )


def _enough(fold: Indices) -> Indices:
    if len(np.unique(fold)) < 2:
        raise OptionError("Cross-validation needs at least two folds with rows in them.")
    return fold


def _named(estimators: Any) -> dict[str, Any]:
    given = dict(estimators) if isinstance(estimators, Mapping) else {type(estimators).__name__: estimators}
    if not given:
        raise OptionError(
            "estimators is empty; give at least one, such as {'normal': de.NormalRegression('y ~ x')}."
        )
    return {str(name): as_estimator(estimator) for name, estimator in given.items()}


def _held_out(
    estimator: Any, train: Any, test: Any, on: str | None, seed: int
) -> tuple[tuple[str, str], Array]:
    """The outcome's name, and as it was written; log scores, CRPS and transforms (3, m) of held-out rows.

    What is known of recorded outcomes has a probability, and its transform is drawn, by a ``seed`` for each
    fold: the same draws in all folds would be fewer than the rows.
    """
    result = estimator.fit(train)
    if not hasattr(result, "distribution") or not hasattr(result, "spec"):
        raise OptionError(
            f"{type(result).__name__} has no law of the outcome to score: cross_validate needs results with "
            f"distribution(new) and spec.outcome_values(new), as those of this package."
        )
    law, told = result.distribution(test), result.spec.outcome
    maps: list[Any] = []
    if on is not None:
        law, maps = law.on(on), maps_to(told.name, on)
    name = told.name if on is None else on
    if getattr(told, "recorders", ()):
        side = f"{name} ({', '.join(map(str, told.recorders))})"
        written = side if on is not None else result.spec.formula.partition("~")[0].strip()
        return (side, written), np.stack(
            _of_records(law, _through(maps, result.spec.outcome_records(test)), seed)
        )
    y = result.spec.outcome_values(test)
    if isinstance(law, JointLaw):
        score = law.logpdf(y)
        values = [score, np.full(score.shape, np.nan), np.full(score.shape, np.nan)]
    else:
        y = _through(maps, Records(y, y)).lower
        values = [scores.log_score(law, y), scores.crps(law, y), scores.pit(law, y, seed=seed)]
    return (name, name), np.stack(values)


def _through(maps: Sequence[Any], records: Records) -> Records:
    """Records on the scale that increasing maps lead to."""
    lower, upper = records.lower, records.upper
    with np.errstate(over="ignore"):
        for m in maps:
            lower, upper = m.forward(lower)[0], m.forward(upper)[0]
    return Records(lower, upper, records.at_mass)


def _of_records(law: Law, records: Records, seed: int) -> list[Array]:
    """Log probabilities, CRPS and transforms of records, without CRPS where these are no numbers."""
    score, pit = scores.record_scores(law, records.lower, records.upper, seed=seed)
    if not np.any(records.lower < records.upper):  # as beside a mass
        return [score, scores.crps(law, records.lower, of="outcome"), pit]
    try:
        ranked = scores.crps(law, law.recording.values(records))
    except WithheldError:
        ranked = np.full(score.shape, np.nan)
    return [score, ranked, pit]


@tells_words
@on_one_thread
def cross_validate(
    estimators: Any, data: Any, *, folds: Any = 10, seed: Seed = None, on: str | None = None
) -> CrossValidation:
    """Score the laws of outcomes that estimators have not seen, fold by fold.

    Parameters
    ----------
    estimators : a specification such as ``de.NormalRegression("y ~ x")``, or a dict of names to these
        A function of the data may stand for one, if what it returns has a law, ``distribution(new)``.
        All of them forecast the same left side, written the same way, or one variable ``on`` a scale.
    data : pandas or polars DataFrame, or dict of arrays of one length.
    folds : int, str or (n,) labels
        A number of folds drawn at random, the name of a column, labels, or ``"row mod 10"``: the row's
        position modulo 10.
    seed : int, Generator or None, for folds that are drawn; None draws one and keeps it.
    on : the variable under functions on the left sides, ``"wage"`` of ``wage`` and ``log(wage)``, on whose
        scale all are scored; None for outcomes as written.

    Returns
    -------
    CrossValidation

    Raises
    ------
    OptionError, DataError
        If an argument is not as described, or the left sides differ.
    DataError, CollinearityError, SeparationError
        If every estimator fails in some fold: that of the first, with a note that says where.

    Warns
    -----
    DisteconometricsWarning
        What fits and laws told, once for each estimator and class, with the number of folds and the first
        message.
    FailedReplicationsWarning
        If an estimator fails in a fold, as ``bs(x)`` does where it does not extrapolate: it has no scores.

    References
    ----------
    Gneiting, Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102,
    doi:10.1198/016214506000001437.

    Examples
    --------
    >>> import disteconometrics as de
    >>> pair = {"line": de.NormalRegression("foodexp ~ income"), "mean": de.NormalRegression("foodexp ~ 1")}
    >>> cv = cross_validate(pair, de.datasets.engel(), folds=5, seed=1)
    >>> cv.table()[["log_score", "crps", "n"]].round(2)
          log_score    crps    n
    line      -6.24   58.28  235
    mean      -7.05  146.39  235
    """
    given, table = _named(estimators), Table(data)
    fold, drawn = _fold_of(folds, table, seed)
    numbers = np.unique(fold)
    found = np.full((3, len(fold), len(given)), np.nan)  # log scores, CRPS and transforms
    outcomes: dict[str, tuple[str, str]] = {}
    told: dict[tuple[str, type[Warning]], list[Any]] = {}
    failed: dict[str, Exception] = {}
    for f in progress(list(numbers), "folds"):
        inside = np.flatnonzero(fold == f)
        train, test = take_rows(data, np.flatnonzero(fold != f)), take_rows(data, inside)
        for j, (name, estimator) in enumerate(given.items()):
            if name in failed:
                continue
            with warnings.catch_warnings(record=True) as raised:
                warnings.simplefilter("always")
                try:
                    outcomes[name], found[:, inside, j] = _held_out(estimator, train, test, on, int(f))
                except Exception as e:
                    e.add_note(f"cross_validate: estimator {name!r}, fold {f} of {fold.max() + 1} held out.")
                    if isinstance(e, MissingColumnError) or not isinstance(e, OF_ROWS):
                        raise
                    failed[name], found[:, :, j] = e, np.nan
            for category in {w.category for w in raised}:
                first = next(w.message for w in raised if w.category is category)
                told.setdefault((name, category), []).append(first)
    _tell(told, len(numbers))
    _tell_failed(failed, len(given))
    sides = sorted({name for name, _ in outcomes.values()})
    if len(sides) > 1:
        scale = ", or give on=, the name of a variable on whose scale all are scored" if on is None else ""
        raise DataError(
            f"Scores of different outcomes cannot be compared: {', '.join(map(repr, sides))}; write one "
            f"left side{scale}."
        )
    withheld = np.isnan(found[1]) & ~np.isnan(found[0])  # withheld in a fold: of no use in the others
    found[1][:, withheld.any(axis=0)] = np.nan
    log, crps, pit = (pd.DataFrame(values, index=table.index, columns=list(given)) for values in found)
    return CrossValidation(log, crps, pit, fold, next(iter(outcomes.values()))[1], drawn)


def _tell_failed(failed: Mapping[str, Exception], given: int) -> None:
    """Warn of estimators without scores; where none has any, raise what the first did."""
    if len(failed) == given:
        raise next(iter(failed.values()))
    for name, error in failed.items():
        text = f"{name} has no scores, as it failed in a fold: {error} ({error.__notes__[-1]})"
        warn_user(FailedReplicationsWarning(text, column=name, hint="change its formula, or the folds"))


def _tell(told: Mapping[tuple[str, type[Warning]], Sequence[Any]], folds: int) -> None:
    """Warn once for each estimator and class of warning, with the first message."""
    for (name, category), messages in told.items():
        first, ours = messages[0], DisteconometricsWarning
        if issubclass(category, DisteconometricsWarning):
            ours = category
        text = f"{name}, in {len(messages)} of {folds} folds: {first}"
        warn_user(ours(text, column=getattr(first, "column", None), hint=getattr(first, "hint", None)))
