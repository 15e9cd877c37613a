"""`res.monte_carlo()`: a result checked by simulation, with its own fitted law or rows as the truth.

The estimator that made the result is run again on data whose truth is known: outcomes drawn from the fitted
law at the sample's own covariates, or rows or clusters drawn from the sample, for which the sample is the
population.  So bias, standard errors and intervals are judged at this sample size, with these covariates and
this many clusters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, Indices, Seed, as_floats
from disteconometrics.errors import OptionError
from disteconometrics.inference.parallel import check_jobs
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.resample import take_rows
from disteconometrics.simulate.dgp import pseudo_true
from disteconometrics.simulate.results import MonteCarloResults
from disteconometrics.simulate.study import MonteCarlo
from disteconometrics.tables import Section, Summary, number, printable
from disteconometrics.words import OtherWords, TakesWords

__all__ = ["SelfCheck", "SelfChecking", "self_check"]

DESIGNS = ("fitted", "pairs", "cluster")
LARGE_SAMPLE = 400_000  # rows of the fit that finds what the estimator aims at under another law
MOST_COPIES = 2_000
FALSE_ALARM_RATE = 0.01  # that anything is called trouble by Monte Carlo error alone
# What matters: of an empirical standard error, of the ratio from one, of a coverage
BIAS, RATIO, COVERAGE = 0.2, 0.05, 0.01
NAME = "refit"


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Outcomes from a law at the sample's covariates."""

    of: Refitting
    law: Any

    def __call__(self, rng: np.random.Generator) -> dict[str, Any]:
        return self.of.with_outcome(draws(self.law, 1, rng, self.of.rows)[:, 0])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Rows of the sample, drawn with replacement."""

    of: Refitting

    def __call__(self, rng: np.random.Generator) -> Any:
        return take_rows(self.of.table, rng.integers(self.of.rows, size=self.of.rows))


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Whole clusters of the sample, drawn with replacement; two copies of one are different clusters."""

    of: Refitting
    members: tuple[Indices, ...]

    def __call__(self, rng: np.random.Generator) -> Any:
        picked = rng.integers(len(self.members), size=len(self.members))
        rows = [self.members[g] for g in picked]
        copy = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        return take_rows(self.of.table, np.concatenate(rows), **{self.of.clusters[0]: copy})


def draws(law: Any, m: int, rng: np.random.Generator, rows: int) -> Array:
    """m outcomes of every row (n, m) from laws of the rows or one of all, or from a result that has them.

    Raises
    ------
    OptionError
        If it is no law, or one of other rows.

    Examples
    --------
    >>> from disteconometrics import Bernoulli
    >>> draws(Bernoulli(np.array([0.0, 1.0])), 3, np.random.default_rng(1), 2).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    law = law.distribution() if hasattr(law, "distribution") else law
    if not hasattr(law, "sample"):
        raise OptionError(
            f"law is a law with sample(m, seed=), or a result that has a distribution(), not "
            f"{type(law).__name__}."
        )
    if getattr(law, "batch_shape", None) == ():  # one law for all rows
        return as_floats(law.sample(rows * m, seed=rng)).reshape(rows, m)
    sample = as_floats(law.sample(m, seed=rng))
    if sample.shape != (rows, m):
        raise OptionError(
            f"law has draws of shape {sample.shape}; it needs one law for each of the {rows} rows of the fit."
        )
    return sample


@dataclass(frozen=True, eq=False)
class _Copies:
    """Many copies of the sample's rows with outcomes from a law, each copy with clusters of its own."""

    of: Refitting
    law: Any

    def __call__(self, rng: np.random.Generator, n: int) -> Any:
        of = self.of
        copies = max(2, min(MOST_COPIES, n // of.rows))
        sample = draws(self.law, copies, rng, of.rows)
        if of.labels is not None and not np.isin(sample, (0, 1)).all():
            raise OptionError("law draws outcomes other than 0 and 1, which this model does not have.")
        rows = np.tile(np.arange(of.rows), copies)
        columns: dict[str, Any] = {of.outcome: of.with_outcome(sample.T.ravel())[of.outcome]}
        for name in of.clusters:
            codes = pd.factorize(pd.Series(of.table[name]))[0]
            columns[name] = codes[rows] + np.repeat(np.arange(copies), of.rows) * (codes.max() + 1)
        return take_rows(of.table, rows, **columns)


class SelfChecking(TakesWords):
    """A result checked by simulation with its own fit as the truth; `_refitting` says how it is made again.

    Examples
    --------
    >>> import disteconometrics as de
    >>> isinstance(de.NormalRegression("income ~ 1").fit(de.datasets.engel()), SelfChecking)
    True
    """

    def _refitting(self) -> Refitting:
        raise NotImplementedError

    def monte_carlo(
        self,
        reps: int | None = None,
        *,
        seed: Seed = None,
        design: str | None = None,
        law: Any = None,
        n_jobs: int | None = None,
        progress: bool | None = None,
    ) -> SelfCheck:
        """Check the estimates by simulation, as bias, errors, coverage and size where this fit is the truth.

        Parameters
        ----------
        reps : int, replications, or None for 500, and for fewer of what takes long.
        seed : int, numpy Generator (spawned from, not advanced) or None (drawn, and kept).
        design : {"fitted", "pairs", "cluster"} or None
            Outcomes from the fitted law at the sample's covariates, recorded as those of the sample were;
            rows drawn with their outcomes; clusters drawn whole, which keeps the dependence within them. None
            is "cluster" where the covariance is clustered, else "fitted"; groups that are compared are drawn
            as "pairs" or "cluster" only.
        law : law, or result with a ``distribution()``, or None
            Another law of the outcome for every row; the truth is then what this estimator aims at under it.
        n_jobs, progress : as in `MonteCarlo.run`.

        Returns
        -------
        SelfCheck

        Raises
        ------
        OptionError, WithheldError, NeedsData, StudyError, WorkerError

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.Logit("affair ~ age + yrs_married").fit(de.datasets.fair())
        >>> res.monte_carlo(200, seed=1).verdict[:61]
        'If the fitted model is right, nothing is wrong that 200 repli'
        """
        of = self._refitting()
        reps = of.reps if reps is None else reps
        return self_check(of, reps, seed=seed, design=design, law=law, n_jobs=n_jobs, progress=progress)


def _chosen_design(of: Refitting, design: str | None, law: Any) -> str:
    """How data are drawn: what was asked for where the result allows it, or the default."""
    if of.only_design is None:
        if design is None:
            design = "cluster" if of.clusters and law is None and not of.fitted_only else "fitted"
        _check_design(of, design, law)
        return design
    if design not in (None, of.only_design) or law is not None:
        raise OptionError(
            f"{type(of.estimator).__name__} is checked with design={of.only_design!r} and its own law only: "
            "leave design= and law= out."
        )
    return of.only_design


def _check_design(of: Refitting, design: str, law: Any) -> None:
    if design not in DESIGNS:
        raise OptionError(f"design={design!r} is not known; use one of {', '.join(map(repr, DESIGNS))}.")
    if design == "fitted":
        return
    if law is not None:
        raise OptionError(
            f"design={design!r} draws outcomes with their rows, so law= has no use; leave one of them out."
        )
    if of.fitted_only:
        raise OptionError(f"design={design!r}: {of.fitted_only}; use design='fitted'.")
    if design == "cluster" and len(of.clusters) != 1:
        raise OptionError(
            "design='cluster' draws the clusters of a one-way covariance: ask for one with "
            "res.with_cov(de.Cluster('column')), "
            "or use design='fitted' or 'pairs'."
        )


def self_check(
    of: Refitting,
    reps: int | None,
    *,
    seed: Seed,
    design: str | None,
    law: Any,
    n_jobs: int | None,
    progress: bool | None = None,
) -> SelfCheck:
    """Run the study of a result and judge it; arguments as in the ``monte_carlo`` of results.

    Examples
    --------
    >>> from disteconometrics import Bernoulli
    >>> class Mean:
    ...     def fit(self, d):
    ...         p = d["y"].mean(), d["y"].std() / len(d["y"]) ** 0.5
    ...         return type("Result", (), {"estimates": {"p": p}})
    >>> law = Bernoulli(np.full(200, 0.4))
    >>> of = Refitting(Mean(), {}, {"y": np.zeros(200)}, "y", law, np.array([0, 1]), {"p": 0.4})
    >>> check = self_check(of, 500, seed=1, design=None, law=None, n_jobs=None)
    >>> check.verdict[:60]
    'If the fitted model is right, nothing is wrong that 500 repl'
    """
    check_jobs(n_jobs)
    design = _chosen_design(of, design, law)
    truth: Mapping[str, Any] = of.truth
    if law is not None:
        truth = pseudo_true(of.estimator, _Copies(of, law), n=LARGE_SAMPLE, fit=of.robust or of.options)
    dgp = _process(of, design, law)
    targets = None if of.told is None else tuple(of.truth)  # what records do not tell is withheld
    study = MonteCarlo(dgp, {NAME: (of.estimator, dict(of.options))}, targets, truth=truth)
    found = study.run(of.reps if reps is None else reps, seed=seed, n_jobs=n_jobs, progress=progress)
    units, clusters = (len(dgp.members), of.clusters) if isinstance(dgp, _Clusters) else (of.rows, ())
    return SelfCheck(found, design, law is not None, units, clusters)


def _process(of: Refitting, design: str, law: Any) -> _Fitted | _Pairs | _Clusters:
    """What draws data."""
    if design == "fitted":
        return _Fitted(of, of.law if law is None else law)
    if design == "pairs":
        return _Pairs(of)
    codes, labels = pd.factorize(pd.Series(of.table[of.clusters[0]]))
    order = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return _Clusters(of, tuple(order[: len(labels)]))


@dataclass(frozen=True, eq=False)
class SelfCheck(OtherWords):
    """A result checked by simulation: the study behind it, a table, and a verdict in a sentence.

    ``study`` holds the replications; ``design`` says how data were drawn, ``other_law`` whether from a law
    that is not the fitted one; ``units`` rows or clusters were drawn.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ PSI").fit(de.datasets.spector())
    >>> check = res.monte_carlo(200, seed=1)
    >>> check.table().columns.tolist()[:4]
    ['truth', 'bias', 'bias_mcse', 'se_ratio']
    """

    study: MonteCarloResults
    design: str
    other_law: bool
    units: int
    clusters: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Truth, bias, model over empirical standard error, coverage and size, with Monte Carlo errors.

        Size is the share of replications that reject the truth.
        """
        wide = self.study.table().droplevel(["cell", "estimator"])
        nan = pd.Series(np.nan, index=wide.index)  # of what too few replications or estimates have
        found = {name: wide.get(name, nan) for name in ("truth", "bias", "bias_mcse")}
        for name, source, shift, scale in (
            ("se_ratio", "relative_error", 1.0, 100.0),
            ("coverage", "coverage", 0.0, 1.0),
        ):
            found[name] = wide.get(source, nan) / scale + shift
            found[f"{name}_mcse"] = wide.get(f"{source}_mcse", nan) / scale
        found["size"], found["size_mcse"] = 1 - found["coverage"], found["coverage_mcse"]
        found |= {name: wide[name] for name in ("empirical_se", "model_se", "n_sim") if name in wide}
        if self.other_law:
            found["truth_error"] = wide.get("truth_mcse", nan)
        return pd.DataFrame(found)

    def tidy(self) -> pd.DataFrame:
        """All measures of the study in long form, as `MonteCarloResults.tidy` gives them."""
        return self.study.tidy()

    def plot(self, kind: str | None = None, *args: Any, **options: Any) -> Any:
        """Draw a picture of the study by its name; see `MonteCarloResults.plot`."""
        return self.study.plot(kind, *args, **options)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the study to a file, which `disteconometrics.load` reads; see `MonteCarloResults.save`."""
        self.study.save(path)

    @property
    def premise(self) -> str:
        """What the verdict supposes."""
        if self.other_law:
            return "If the law given is right"
        return {
            "fitted": "If the fitted model is right",
            "pairs": "If the sample's rows stand for all",
            "cluster": f"If the sample's {self.units} clusters stand for all",
        }[self.design]

    @property
    def troubles(self) -> list[str]:
        """What is off by more than Monte Carlo error, and by enough to matter."""
        table, level = self.table(), self.study.task.level
        critical = -special.ndtri(FALSE_ALARM_RATE / (6 * max(len(table), 1)))
        found = []
        for name, row in table.iterrows():
            error = math.hypot(row["bias_mcse"], row.get("truth_error", 0.0))
            spread = row.get("empirical_se", np.nan)
            share = row["bias"] / spread if spread != 0 else 0.0
            if abs(row["bias"]) > critical * error and abs(share) > BIAS:
                found.append(
                    f"{name} is off by {number(row['bias'])}, {abs(share):.2f} of its standard error"
                )
            ratio = row["se_ratio"]
            if abs(ratio - 1) > max(critical * row["se_ratio_mcse"], RATIO):  # never, if that is NaN
                found.append(
                    f"standard errors of {name} are too {'small' if ratio < 1 else 'large'}: {ratio:.2f} "
                    f"of the truth"
                )
            nominal = math.sqrt(level * (1 - level) / max(row["n_sim"], 1))
            if abs(row["coverage"] - level) > max(COVERAGE, critical * max(row["coverage_mcse"], nominal)):
                found.append(f"{100 * level:g}% intervals of {name} cover {row['coverage']:.3f}")
        return found

    @property
    def verdict(self) -> str:
        """One sentence on bias, standard errors and intervals."""
        table, troubles = self.table(), self.troubles
        done, failed = self.study.counts[0], self.study.failed()
        if troubles:
            return f"{self.premise}, this estimator has trouble at this sample: {'; '.join(troubles)}."
        if table["se_ratio"].isna().all():
            text = f"{self.premise}, nothing is wrong that {done:,} replications can see in the estimates, "
            alone = "which come without standard errors"
            text += alone if table["coverage"].isna().all() else "too few to judge their standard errors"
            return text + (f"; {failed:,} replications failed." if failed else ".")
        low, high = table["se_ratio"].min(), table["se_ratio"].max()
        covers = f"{table['coverage'].min():.3f} to {table['coverage'].max():.3f}"
        text = (
            f"{self.premise}, nothing is wrong that {done:,} replications can see: standard errors "
            f"are {low:.2f} to {high:.2f} "
        )
        text += (
            f"of the spread of the estimates and {100 * self.study.task.level:g}% intervals cover {covers}"
        )
        return text + (f"; {failed:,} replications failed." if failed else ".")

    def summary(self) -> Summary:
        """The table with the verdict under it."""
        rows = []
        for _, row in self.table().iterrows():
            pairs = [
                "none" if math.isnan(row[n]) else f"{row[n]:.3f} ({row[f'{n}_mcse']:.3f})"
                for n in ("se_ratio", "coverage")
            ]
            error = "none" if math.isnan(row["bias_mcse"]) else number(row["bias_mcse"])
            bias = "none" if math.isnan(row["bias"]) else f"{number(row['bias'])} ({error})"
            rows.append(
                (
                    number(row["truth"]),
                    bias,
                    *pairs,
                    "none" if math.isnan(row["size"]) else f"{row['size']:.3f}",
                )
            )
        what = "pseudo-true" if self.other_law else "truth"
        section = Section(
            (what, "bias (MC SE)", "SE ratio (MC SE)", "coverage (MC SE)", "size"),
            tuple(self.table().index),
            tuple(rows),
        )
        drawn = {
            "fitted": f"outcomes of {self.units:,} rows",
            "pairs": f"{self.units:,} rows",
            "cluster": f"{self.units:,} clusters",
        }
        left = (("Replications", f"{self.study.counts[0]:,}"), ("Drawn", drawn[self.design]))
        right = (("Seed", str(self.study.seed)), ("Failed", f"{self.study.failed():,}"))
        notes = ["SE ratio: model / empirical. Size: share that reject the truth (MC SE of coverage)."]
        told = self.study.warnings.groupby("warning", sort=False)["count"].sum()
        notes += [f"{warning} in {count:,} replications." for warning, count in told.items()]
        if self.other_law:
            notes.append(
                "Pseudo-true values: what the estimator aims at under the law given, from one large fit."
            )
        if self.design == "fitted" and not self.other_law:
            notes.append("Outcomes are drawn independently, covariates are those of the sample.")
        return Summary("Monte Carlo check", (left, right), (section,), (self.verdict, *notes))

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return printable(f"<Monte Carlo check: {self.verdict}>")

    def _repr_html_(self) -> str:
        return self.summary().as_html()
