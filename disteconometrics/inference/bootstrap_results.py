"""The result of a bootstrap: draws, standard errors, bias, intervals, failures by reason, a summary."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, ClassVar

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.archive import write_archive
from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.fields import AnyFloat, Count, Numbers, SavedSeed
from disteconometrics.inference.estimates import Estimated, Estimates, check_level
from disteconometrics.inference.score_bootstrap import ScoreTests
from disteconometrics.pictures import Pictured
from disteconometrics.tables import Section, Summary, number, p_value, printable

__all__ = ["BootstrapResults", "LeaveOut"]

LeaveOut = Callable[[bool], tuple[Array, Array]]

METHODS = ("percentile", "basic", "normal", "bca", "score")
NO_ROWS = "a saved bootstrap has no rows, and was saved before they were asked for"


@dataclass(frozen=True)
class _SavedFit:
    """What a saved bootstrap knows of the fit to all rows."""

    label: str
    nobs: AnyFloat | None


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    kind: str
    scheme: str
    names: tuple[str, ...]
    reasons: tuple[str, ...]
    cluster: str | None
    units: Count
    seed: SavedSeed
    fit: _SavedFit


_ARRAYS = {
    "values": Numbers("q"),
    "draws": Numbers("R q", "any"),
    "acceleration": Numbers("q", optional=True),
}


@dataclass(frozen=True, eq=False)
class BootstrapResults(Estimated, Pictured):
    """Draws of a statistic and what follows from them.

    ``result`` is the fit to all rows and ``values`` (q,) its statistic; ``draws`` (reps × names) has a row of
    NaN for a failed replication, whose reason is in ``reasons`` (reps,), empty where it succeeded; ``units``
    rows or clusters were drawn. It refers to the data of the fit (no copy), from which the acceleration of
    BCa limits is computed when asked for.

    Examples
    --------
    >>> import disteconometrics as de
    >>> logit, fair = de.Logit("affair ~ age"), de.datasets.fair()
    >>> boot = de.bootstrap(logit, fair, reps=199, seed=1, statistic="exp(age)")
    >>> boot.draws.columns.tolist(), boot.conf_int(method="basic").shape
    (['exp(age)'], (1, 2))
    """

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    result: Any
    kind: str
    scheme: str
    names: tuple[str, ...]
    values: Array
    draws: pd.DataFrame
    reasons: tuple[str, ...]
    cluster: str | None
    units: int
    seed: Any
    leave_out: LeaveOut | str = field(repr=False, default="")
    score_tests: ScoreTests | None = field(repr=False, default=None)
    known_acceleration: Array | None = field(repr=False, default=None)  # of a file

    @cached_property
    def _good(self) -> Array:
        """Draws that succeeded (m, q)."""
        kept = np.array([not reason for reason in self.reasons])
        return np.asarray(self.draws.to_numpy()[kept])

    @property
    def failures(self) -> pd.Series:
        """Failed replications by reason."""
        found = [reason for reason in self.reasons if reason]
        names, counts = np.unique(np.array(found, dtype=object), return_counts=True)
        return pd.Series(counts, index=pd.Index(names, dtype=object), dtype=np.int64)

    @property
    def bias(self) -> pd.Series:
        """Mean of the draws less the estimate (q,)."""
        return self.named(self._good.mean(axis=0) - self.values)

    @cached_property
    def estimates(self) -> Estimates:
        """The estimates with the covariance of the draws; tests and limits from the normal law."""
        return Estimates(self.names, self.values, np.atleast_2d(np.cov(self._good.T)))

    @property
    def nobs(self) -> float | None:
        """Observations of the fit to all rows, None where it does not say."""
        return getattr(self.result, "nobs", None)

    @property
    def covariance(self) -> str:
        """What the errors are, as a comparison prints it."""
        return f"bootstrap ({self.kind})"

    @property
    def model_label(self) -> str:
        """What a comparison calls the estimator."""
        if isinstance(self.result, _SavedFit):
            return self.result.label
        return type(getattr(self.result, "model", self.result)).__name__

    @cached_property
    def pvalues(self) -> pd.Series:
        """p-values (q,) of zero coefficients, by the score bootstrap or else of the normal law."""
        if self.score_tests is None:
            return self.named(self.estimates.p_value)
        return self.named(np.array([self.score_tests.p_value(j, 0.0) for j in range(len(self.names))]))

    def pvalue(self, name: str, value: float) -> float:
        """p-value of the hypothesis that a coefficient has a value, by the score bootstrap.

        Raises: OptionError for an unknown name; WithheldError for other kinds.
        """
        if self.score_tests is None:
            raise WithheldError(
                "Only kind='score' imposes the hypothesis; see whether conf_int() holds the value."
            )
        if name not in self.names:
            raise OptionError(f"{name!r} is not among {', '.join(self.names)}.")
        return self.score_tests.p_value(self.names.index(name), float(value))

    def conf_int(
        self,
        alpha: float | None = None,
        *,
        level: float = 0.95,
        method: str | None = None,
        jackknife: str = "units",
    ) -> pd.DataFrame:
        """Confidence limits (q, 2), columns 0 and 1.

        Parameters
        ----------
        alpha : float or None, 1 − level.
        level : float, confidence level.
        method : {"percentile", "basic", "normal", "bca", "score"} or None
            Quantiles of the draws; the same mirrored at the estimate; estimate less bias ± z standard errors;
            bias-corrected and accelerated quantiles, with the acceleration from one-step leave-one-out (or
            leave-one-cluster-out) values for functions of coefficients and from refits for other statistics;
            values that the score bootstrap does not reject. None is "percentile", and "score" for
            kind="score", which has no other.
        jackknife : {"units", "groups"}
            What refits for BCa limits leave out: each of the rows (or clusters) that are drawn, a fit for
            each, up to 5,000, or each of 200 random groups of them, whose acceleration has an error of .002.
            Functions of coefficients need no refits: ``statistic="exp(x)"`` costs nothing more, where
            ``statistic=lambda r: r.margins()`` of 600 rows takes longer than 199 draws by units (2.1 s
            beside 1.3) and .8 s by groups.

        Returns
        -------
        pandas DataFrame

        Raises
        ------
        OptionError, WithheldError
        """
        level = check_level(level, alpha)
        if jackknife not in ("units", "groups"):
            raise OptionError(f"jackknife={jackknife!r} is not known; use 'units' or 'groups'.")
        method = method or ("score" if self.score_tests is not None else "percentile")
        if method not in METHODS:
            raise OptionError(f"method={method!r} is not known; use one of {', '.join(map(repr, METHODS))}.")
        if (method == "score") != (self.score_tests is not None):
            raise WithheldError(f"method={method!r} has no theory for kind={self.kind!r}; leave method= out.")
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if self.score_tests is not None:
            limits = np.array([self.score_tests.interval(j, 1 - level) for j in range(len(self.names))])
        elif method == "normal":
            centre, se = self.values - self.bias.to_numpy(), self.bse.to_numpy()
            limits = centre[:, None] + special.ndtri(tails) * se[:, None]
        elif method == "bca":
            limits = self._bca(tails, self.acceleration if jackknife == "units" else self._grouped)
        else:
            limits = np.quantile(self._good, tails, axis=0, method="weibull").T
            if method == "basic":
                limits = 2 * self.values[:, None] - limits[:, ::-1]
        return pd.DataFrame(limits, index=pd.Index(self.names))

    @cached_property
    def acceleration(self) -> pd.Series:
        """Acceleration a (q,) of the BCa limits.  Raises: WithheldError where it is not defined."""
        known = self.known_acceleration
        return self._accelerated(groups=False) if known is None else self.named(known)

    @cached_property
    def _grouped(self) -> pd.Series:
        return self._accelerated(groups=True)

    def _accelerated(self, groups: bool) -> pd.Series:
        if isinstance(self.leave_out, str):
            raise WithheldError(f"No BCa limits: {self.leave_out}.")
        changes, copies = self.leave_out(groups)
        changes = changes - copies @ changes / copies.sum()
        spread = np.maximum(copies @ changes**2, 1e-300)
        return self.named(copies @ changes**3 / (6 * spread**1.5))

    def _bca(self, tails: Array, acceleration: pd.Series) -> Array:
        a, draws = acceleration.to_numpy(), self._good
        below = (draws < self.values).mean(axis=0) + (draws == self.values).mean(axis=0) / 2
        if np.any((below == 0) | (below == 1)):
            raise WithheldError(
                "No BCa limits: all draws of a statistic are on one side of its estimate; use "
                "method='percentile'."
            )
        z0 = special.ndtri(below)
        z = z0[:, None] + special.ndtri(tails)
        at = special.ndtr(z0[:, None] + z / (1 - a[:, None] * z))
        return np.array([np.quantile(draws[:, j], at[j], method="weibull") for j in range(len(self.names))])

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write estimates and draws to one ``.npz`` file; `disteconometrics.load` reads it.

        A file holds neither the fit nor its rows, so BCa limits are kept if they were asked for before.

        Parameters
        ----------
        path : file name or binary file.

        Raises
        ------
        WithheldError
            For kind="score", whose limits come from fits under every value that is tested.
        OSError
            If the file cannot be written.
        """
        if self.score_tests is not None:
            raise WithheldError(
                "A score bootstrap is not saved: its limits need the rows. Keep tidy(), which has them."
            )
        header = {
            "kind": self.kind,
            "scheme": self.scheme,
            "names": self.names,
            "reasons": self.reasons,
            "cluster": self.cluster,
            "units": int(self.units),
            "seed": self.seed,
            "fit": {"label": self.model_label, "nobs": None if self.nobs is None else float(self.nobs)},
        }
        arrays = {"values": self.values, "draws": self.draws.to_numpy()}
        if "acceleration" in vars(self) or self.known_acceleration is not None:
            arrays["acceleration"] = self.acceleration.to_numpy()
        write_archive(path, "Bootstrap", header, arrays)

    @classmethod
    def from_file(cls, saved: Any) -> BootstrapResults:
        """Rebuild a saved bootstrap.

        Raises
        ------
        FileFormatError
        """
        head = saved.fields(_Header)
        arrays = saved.numbers(_ARRAYS, q=len(head.names), R=len(head.reasons))
        return cls(
            head.fit,
            head.kind,
            head.scheme,
            head.names,
            arrays["values"],
            pd.DataFrame(arrays["draws"], columns=list(head.names)),
            head.reasons,
            head.cluster,
            head.units,
            head.seed,
            leave_out=NO_ROWS,
            known_acceleration=arrays.get("acceleration"),
        )

    def tidy(self, *, level: float = 0.95) -> pd.DataFrame:
        """Table (q, 7) of broom: errors are those of the draws, limits those of `conf_int`."""
        table, limits = super().tidy(level=level), self.conf_int(level=level)
        table["p_value"] = self.pvalues.to_numpy()
        return table.assign(conf_low=limits[0].to_numpy(), conf_high=limits[1].to_numpy())

    def summary(self, level: float = 0.95, method: str | None = None) -> Summary:
        """Estimates, bootstrap standard errors, bias and limits, with the facts a reader would ask for."""
        low, high = self.conf_int(level=level, method=method).to_numpy().T
        scored = self.score_tests is not None
        middle = self.pvalues if scored else self.bias
        columns = (
            "estimate",
            "std_error",
            "p" if scored else "bias",
            f"[{100 * level:g}% conf.",
            "interval]",
        )
        cells = tuple(
            (number(b), number(se), p_value(m) if scored else number(m), number(lo), number(hi))
            for b, se, m, lo, hi in zip(self.values, self.bse, middle, low, high, strict=True)
        )
        unit = "rows" if self.cluster is None else f"clusters of {self.cluster}"
        name = method or ("score" if scored else "percentile")
        left = (("Kind", self.kind), ("Scheme", self.scheme), ("Limits", name))
        right = (
            ("Replications", f"{len(self.draws):,} ({int(self.failures.sum()):,} failed)"),
            ("Units", f"{self.units:,} {unit}"),
            ("Seed", str(self.seed)),
        )
        notes = tuple(f"Failed: {reason} ({count})." for reason, count in self.failures.items())
        return Summary("Bootstrap", (left, right), (Section(columns, self.names, cells),), notes)

    def __repr__(self) -> str:
        return printable(
            self.summary().as_text()
            if self.score_tests is None
            else f"<{self.kind} bootstrap, {len(self.draws)} draws>"
        )
