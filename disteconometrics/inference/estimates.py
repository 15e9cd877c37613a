"""Named estimates with a covariance, and everything that follows from these two alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import FewClustersWarning, OptionError, WithheldError, warn_user
from disteconometrics.inference.expressions import evaluate, independent, linear_restrictions, ratio_parts
from disteconometrics.tables import printable
from disteconometrics.words import OtherWords

__all__ = [
    "UNEVEN",
    "ClusterCount",
    "Estimated",
    "Estimates",
    "TestResult",
    "as_far_out",
    "check_level",
    "critical_value",
]

# Of clusters: the share that equal ones are of uneven ones at most; equal clusters for each hypothesis of a
# joint test below which it rejects too often, and uneven ones for each beyond the first
UNEVEN, EACH, UNEVEN_EACH = 0.55, 13, 20


def check_level(level: Any, alpha: Any = None) -> float:
    """Return a confidence level in (0, 1), or 1 − alpha if alpha is given; 95 is refused with OptionError.

    Examples
    --------
    >>> check_level(0.9)
    0.9
    """
    value: Any = level if alpha is None else alpha
    name, example = ("level", 0.95) if alpha is None else ("alpha", 0.05)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0 < float(value) < 1:
        what = "confidence level" if alpha is None else "significance level"
        raise OptionError(f"{name}={value!r}: give a {what} between 0 and 1, such as {example}.")
    return float(value) if alpha is None else 1 - float(value)


def critical_value(level: float, df: float = np.inf) -> float:
    """Two-sided critical value of the t law, of the normal where ``df`` is infinite, at a checked level.

    Examples
    --------
    >>> round(critical_value(0.95), 3), round(critical_value(0.95, 10), 3)
    (1.96, 2.228)
    """
    tail = 0.5 + level / 2
    return float(special.ndtri(tail) if np.isinf(df) else special.stdtrit(df, tail))


def as_far_out(normal: float, df: float) -> float:
    """The value as far out in the tail of t as ``normal`` is in that of the normal law.

    Examples
    --------
    >>> round(as_far_out(1.96, 10), 3), as_far_out(1.96, np.inf)
    (2.228, 1.96)
    """
    return normal if np.isinf(df) else critical_value(2 * float(special.ndtr(normal)) - 1, df)


@dataclass(frozen=True)
class TestResult(OtherWords):
    """A hypothesis test that prints itself.

    ``statistic`` follows ``law`` ("chi2", "F", "z" or "t") with ``df`` degrees of freedom (numerator first)
    under the hypothesis; ``p_value`` is in [0, 1].

    Examples
    --------
    >>> chi2_test("Wald", ["x = 0"], 3.84, 1)
    Wald test of x = 0
      chi2(1) = 3.8400, p = 0.0500
    """

    __test__ = False  # not a test class for pytest

    kind: str
    hypothesis: tuple[str, ...]
    statistic: float
    df: tuple[float, ...]
    p_value: float
    law: str

    def __str__(self) -> str:
        df = ", ".join(f"{d:g}" for d in self.df)
        law = f"{self.law}({df})" if df else self.law
        return printable(
            f"{self.kind} test of {'; '.join(self.hypothesis)}\n  {law} = {self.statistic:.4f}, p = "
            f"{_p(self.p_value)}"
        )

    __repr__ = __str__


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.3g}"


def _numbers(given: Any, hypotheses: Any) -> Array:
    """An array of finite numbers, or an error that lists what a hypothesis may be."""
    try:
        values = np.asarray(given)
        if values.dtype.kind == "O" and all(isinstance(v, Real) for v in values.flat):
            values = values.astype(np.float64)
    except (ValueError, TypeError, OverflowError):  # rows of different lengths, or nothing like an array
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "buif" or not np.all(np.isfinite(values)):
        shown = repr(hypotheses)
        raise OptionError(
            f"{shown if len(shown) <= 60 else shown[:57] + '...'} is no hypothesis; give text such as 'a "
            f"= b, c = 0', a list of "
            "such texts, a matrix R of finite numbers with a column per coefficient, or a pair (R, r)."
        )
    return values.astype(np.float64)


def _are_texts(hypotheses: Any) -> bool:
    listed = hypotheses if isinstance(hypotheses, (list, tuple)) else [hypotheses]
    return all(isinstance(h, str) for h in listed)


def _no_test(names: Sequence[str], values: Array) -> str:
    """Why there is no Wald test of estimates without standard errors."""
    if np.isinf(values).any():
        why = "is infinite (separation), without a standard error"
    elif np.isnan(values).any():
        why = "is withheld; the summary says why"
    else:
        why = "has no standard error; the summary says why"
    return f"No Wald test: {', '.join(names)} {why}."


def _of_one_size(R: Array, r: Array, values: Array, V: Array, error: Array) -> tuple[Array, Array]:
    """R·β − r (q,) and its covariance (q, q), in one standard error of every estimate and rows of one size.

    So nothing overflows.
    """
    unit, largest = np.where(error == 0, 1.0, error), np.abs(R).max(axis=1)
    with np.errstate(over="ignore", under="ignore"):
        rows = R / largest[:, None] * unit
        size = np.abs(rows).max(axis=1)
        size = np.where(size == 0, 1.0, size)
        rows = rows / size[:, None]
        d = rows @ (values / unit) - r / largest / size
        return d, rows @ (V / unit[:, None] / unit) @ rows.T


def quadratic_form(kind: str, d: Array, V: Array, zero: Sequence[str] = ()) -> float:
    """d'V⁻¹d of a test, unless a hypothesis has variance zero or repeats others.

    ``zero`` have standard error zero.
    """
    if not (np.isfinite(V).all() and np.isfinite(d).all()):  # covariances that are not known between errors
        raise WithheldError(f"No {kind} test: the covariance of the estimates is not known in all places.")
    scale = np.sqrt(np.maximum(np.diagonal(V), 0.0))
    if np.any(scale == 0):
        small = f": that of {', '.join(zero)} is zero or too small to compute with; rescale the column"
        raise WithheldError(f"No {kind} test: a hypothesis has variance zero{small if zero else ''}.")
    C = V / np.outer(scale, scale)
    if np.linalg.cond(C) > 1e13:
        raise WithheldError(
            f"No {kind} test: the covariance of the {len(d)} hypotheses is singular (more hypotheses than "
            f"clusters or rows allow)."
        )
    return float(d / scale @ np.linalg.solve(C, d / scale))


def f_test(kind: str, hypothesis: Sequence[str], F: float, q: int, df: float) -> TestResult:
    """A test whose statistic is F with q and ``df`` degrees of freedom.

    Raises
    ------
    WithheldError
        If none are left.
    """
    if df <= 0:
        raise WithheldError(f"No {kind} test: {q} hypotheses leave no degrees of freedom (fewer clusters).")
    return TestResult(kind, tuple(hypothesis), F, (q, df), float(special.fdtrc(q, df, F)), "F")


def chi2_test(kind: str, hypothesis: Sequence[str], statistic: float, df: int) -> TestResult:
    """A test whose statistic is χ² with ``df`` degrees of freedom."""
    p = float(special.chdtrc(df, max(statistic, 0.0)))
    return TestResult(kind, tuple(hypothesis), float(statistic), (df,), p, "chi2")


class ClusterCount(int):
    """A number of clusters that knows how many of one size tell as much as they do, and who corrected for it.

    Examples
    --------
    >>> fifty = ClusterCount.telling(50, 38.0, jackknifed=False)
    >>> fifty, fifty.few_for(2), fifty.few_for(6)
    (50, False, True)
    """

    equal: float | None = None  # None where that is not known
    jackknifed: bool = False

    @classmethod
    def telling(cls, number: int, equal: float | None, *, jackknifed: bool) -> ClusterCount:
        """So many clusters that tell as much as ``equal`` ones of one size."""
        count = cls(number)
        count.equal, count.jackknifed = equal, jackknifed
        return count

    @property
    def uneven(self) -> bool:
        """Whether leverages are more uneven than regressors make those of clusters of one size."""
        return self.equal is not None and self.equal < UNEVEN * self

    def few_for(self, q: int) -> bool:
        """Whether a joint test of q hypotheses rejects too often."""
        if self.equal is None or q < 2:
            return False
        uneven = self.uneven and self.equal < UNEVEN_EACH * (q - 1)
        return uneven or (not self.jackknifed and self.equal < EACH * q)

    def words(self, q: int) -> str:
        """What is wrong with a joint test of q hypotheses; empty where nothing is."""
        if not self.few_for(q):
            return ""
        text = f"Wald tests of {q} hypotheses at once reject too often"
        if self.equal is None or round(self.equal) >= self:
            return f"{text} with {self} clusters"
        return f"{text}: {self} clusters tell as much as {self.equal:.0f} of one size"

    def warn(self, q: int) -> None:
        """Say so of a test."""
        if not self.few_for(q):
            return
        score = "score_test(), which errs towards too few rejections if at all, where the result has it"
        hint = score if self.uneven or self.jackknifed else f"Cluster(…, correction='jackknife') or {score}"
        warn_user(FewClustersWarning(f"{self.words(q)}. Consider {hint}.", hint=hint))


@dataclass(frozen=True, eq=False)
class Estimates(OtherWords):
    """Named estimates, their covariance and the degrees of freedom of t (infinite: normal).

    Parameters
    ----------
    names : k names.
    values : (k,) float64 array.
    covariance : (k, k) float64 array; NaN rows where an estimate has no standard error.
    df : float, degrees of freedom for p-values and intervals.
    limits : function of a level, or None
        Gives intervals (k, 2) that do not come from the standard errors (Fieller's, profile likelihood).
    roots : function without arguments, or None
        Gives what stands in place of estimate over standard error (k,): signed roots of likelihood ratios, or
        NaN where there is no test.
    level : float, the level that the table is printed at.
    clusters : int or None, number of clusters G that the covariance is of: joint tests are F(q, G − q) then,
        and warn of too few for q hypotheses where it is a `ClusterCount`.
    own_df : (k,) float64 array or None
        Degrees of freedom of every single estimate, by which its p-value and limits stand in place of ``df``;
        functions and tests of several take the fewest of theirs.
    title : str, printed above the table: what is estimated, and of whom; functions of these keep it.

    Examples
    --------
    >>> e = Estimates(("a", "b"), np.array([1.0, 2.0]), np.diag([0.25, 1.0]))
    >>> e.table().round(3)
       estimate  std_error  statistic  p_value  conf_low  conf_high
    a       1.0        0.5        2.0    0.046      0.02       1.98
    b       2.0        1.0        2.0    0.046      0.04       3.96
    """

    lacks: ClassVar[Mapping[str, str]] = {
        "plot": "draw it by de.plots.coefficients(estimates)",
        "tidy": "its numbers are table()",
        "test": "take wald('a = b'), of one or several hypotheses",
        "nlcom": "take function('a / b'), or linear('a - b')",
    }

    names: tuple[str, ...]
    values: Array
    covariance: Array
    df: float = np.inf
    limits: Callable[[float], Array] | None = None
    roots: Callable[[], Array] | None = None
    level: float = 0.95
    clusters: int | None = None
    own_df: Array | None = None
    title: str = ""

    @property
    def std_error(self) -> Array:
        """Standard errors (k,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.diagonal(self.covariance)))

    @property
    def statistic(self) -> Array:
        """Estimate over standard error (k,), or signed roots; NaN where one of the two is not finite."""
        if self.roots is not None:
            return self.roots()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(np.isfinite(self.values), self.values / self.std_error, np.nan))

    @property
    def p_value(self) -> Array:
        """Two-sided p-values (k,) of a zero estimate."""
        below = -np.abs(self.statistic)
        if self.own_df is not None:
            return np.asarray(2 * special.stdtr(self.own_df, below))
        return np.asarray(2 * (special.ndtr(below) if np.isinf(self.df) else special.stdtr(self.df, below)))

    def critical(self, level: float = 0.95) -> float:
        """Two-sided critical value of the normal or t law."""
        return critical_value(check_level(level), self.df)

    def interval(self, level: float = 0.95) -> Array:
        """Confidence limits (k, 2)."""
        if self.limits is not None:
            return self.limits(check_level(level))
        own = self.own_df is not None
        check_level(level)
        critical = special.stdtrit(self.own_df, 0.5 + level / 2) if own else self.critical(level)
        half = critical * self.std_error
        return np.column_stack([self.values - half, self.values + half])

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """All six columns, indexed by name."""
        low, high = self.interval(level).T
        return pd.DataFrame(
            {
                "estimate": self.values,
                "std_error": self.std_error,
                "statistic": self.statistic,
                "p_value": self.p_value,
                "conf_low": low,
                "conf_high": high,
            },
            index=pd.Index(self.names),
        )

    def exponentiated(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) with delta-method errors, z and p of β = 0, and limits exp(limits of β), as odds ratios."""
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = np.exp(self.values)
            low, high = np.exp(self.interval(level)).T
            return self.table(level).assign(
                estimate=ratio, std_error=ratio * self.std_error, conf_low=low, conf_high=high
            )

    def __repr__(self) -> str:
        head = f"{self.title}\n" if self.title else ""
        return printable(f"{head}{self.table(self.level).to_string()}")

    def _repr_html_(self) -> str:
        head = f"<p>{escape(self.title)}</p>\n" if self.title else ""
        return f"{head}{self.table(self.level)._repr_html_()}"

    def wald(self, hypotheses: Any, *, quiet: bool = False) -> TestResult:
        """Wald test of linear hypotheses: texts, a matrix R (q, k), or a pair (R, r); see `restrictions`.

        Warns
        -----
        FewClustersWarning
            If clusters are too few for so many hypotheses at once, unless it shall be ``quiet``.
        """
        R, r, texts = self.restrictions(hypotheses)
        used = np.any(R != 0, axis=0)
        names = [n for n, u in zip(self.names, used, strict=True) if u]
        error = self.std_error[used]
        bad = ~np.isfinite(error)
        if bad.any():
            lacking = [n for n, b in zip(names, bad, strict=True) if b]
            raise WithheldError(_no_test(lacking, self.values[used][bad]))
        values = np.where(np.isfinite(self.values), self.values, 0.0)[used]
        d, V = _of_one_size(R[:, used], r, values, self.covariance[np.ix_(used, used)], error)
        zero = [n for n, e in zip(names, error, strict=True) if e == 0]
        statistic, q, G = quadratic_form("Wald", d, V, zero), len(r), self.clusters
        own = self._fewest(used[None])
        if own is not None:  # as of so many clusters and one; of one hypothesis the p-value of its estimate
            left = float(own[0]) + 1 - q
            return f_test("Wald", texts, statistic * left / (own[0] * q), q, left)
        if G is not None and q > 1:  # Hotelling's law; χ²(q) and F(q, G − 1) reject far too often
            if isinstance(G, ClusterCount) and not quiet:
                G.warn(q)
            return f_test("Wald", texts, statistic * (G - q) / ((G - 1) * q), q, G - q)
        if np.isinf(self.df):
            return chi2_test("Wald", texts, statistic, q)
        return f_test("Wald", texts, statistic / q, q, self.df)

    def restrictions(self, hypotheses: Any) -> tuple[Array, Array, list[str]]:
        """R (q, k), r (q,) and texts of hypotheses R·β = r.

        They are texts (see `expressions.linear_restrictions`), a matrix R or a pair (R, r).

        Raises
        ------
        OptionError
            If they cannot be read, or repeat what the others say.
        """
        if _are_texts(hypotheses):
            return linear_restrictions(hypotheses, self.names)
        pair = isinstance(hypotheses, tuple) and len(hypotheses) == 2
        R = np.atleast_2d(_numbers(hypotheses[0] if pair else hypotheses, hypotheses))
        r = np.atleast_1d(_numbers(hypotheses[1], hypotheses)) if pair else np.zeros(len(R))
        if R.shape[1:] != (len(self.names),) or r.shape != (len(R),):
            raise OptionError(
                f"A hypothesis matrix needs {len(self.names)} columns; got {R.shape} with values {r.shape}."
            )
        if not independent(R):
            raise OptionError(
                f"The {len(R)} hypotheses in the rows of the matrix repeat or contradict one another, or "
                f"name no coefficient."
            )
        return R, r, [f"R[{i}]·params = {v:g}" for i, v in enumerate(r)]

    def function(
        self, expressions: str | Sequence[str], *, method: str = "delta", level: float = 0.95
    ) -> Estimates:
        """Functions of the estimates with delta-method errors, and Fieller's limits for ratios on request.

        Parameters
        ----------
        expressions : one or several texts in the names (+ - * / **, exp, log, sqrt).
        method : {"delta", "fieller"}; "fieller" needs quotients of linear expressions, and gives the whole
            line wherever the denominator may be zero at this level (the exact set is then unbounded).
        level : float, confidence level of the printed table.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError
            If an expression cannot be read, or is no ratio where Fieller's limits are asked for.

        References
        ----------
        Fieller (1954), Some problems in interval estimation, J. Royal Statistical Society B 16.
        """
        if method not in ("delta", "fieller"):
            raise OptionError(f"method={method!r} is not known; use 'delta' or 'fieller'.")
        texts: list[Any] = list(expressions) if isinstance(expressions, (list, tuple)) else [expressions]
        if not texts:
            raise OptionError(
                "No expression given: write one, or a list of them, in coefficient names, such as 'educ "
                "/ age'."
            )
        check_level(level)
        duals = [evaluate(t, self.names, self.values) for t in texts]
        G = np.array([d.gradient for d in duals])
        # at an infinite estimate a gradient may vanish, as that of a / b; at a finite point it says what is
        # involved
        finite = np.where(np.isfinite(self.std_error), self.values, 1.0)
        involved = np.array([evaluate(t, self.names, finite, strict=False).gradient != 0 for t in texts])
        values, V = np.array([d.value for d in duals]), self._propagated(G, involved)
        result = self.others(texts, values, V, involved, level=level, title=self.title)
        if method == "delta":
            return result
        limits = partial(_fieller_limits, self, tuple(texts))
        limits(level)  # says so if an expression is no ratio
        return replace(result, limits=limits)

    def others(
        self,
        names: Sequence[str],
        values: Array,
        covariance: Array,
        involved: Mask | None = None,
        *,
        level: float = 0.95,
        title: str = "",
    ) -> Estimates:
        """Other estimates by the same law: its degrees of freedom and clusters stay, and no title.

        ``involved`` (q, k) are the estimates that they are functions of, None for all.
        """
        of = np.ones((len(values), len(self.values)), dtype=bool) if involved is None else involved
        law: dict[str, Any] = {"df": self.df, "clusters": self.clusters, "own_df": self._fewest(of)}
        return Estimates(tuple(names), values, covariance, level=level, title=title, **law)

    def _fewest(self, involved: Mask) -> Array | None:
        """The fewest degrees of freedom (q,) of the estimates (q, k) involved; None where all have ``df``."""
        if self.own_df is None:
            return None
        return np.asarray(np.where(involved, self.own_df, self.df).min(axis=1))

    def _propagated(self, G: Array, involved: Mask) -> Array:
        """G·V·G' (q, q), NaN for a row that involves an estimate without standard error."""
        bad = ~np.isfinite(self.std_error)
        lost = np.any(involved[:, bad], axis=1)
        G = np.where(lost[:, None] | bad, 0.0, G)
        V = G @ np.where(bad[:, None] | bad, 0.0, self.covariance) @ G.T
        return np.asarray(np.where(lost[:, None] | lost, np.nan, V))

    def linear(self, hypotheses: Any) -> Estimates:
        """The combinations R·β − r of linear hypotheses, with standard errors.

        They are ±inf or NaN where an estimate is infinite.
        """
        R, r, texts = self.restrictions(hypotheses)
        with np.errstate(invalid="ignore"):
            values = np.array([row[row != 0] @ self.values[row != 0] for row in R]) - r
        return self.others(texts, values, self._propagated(R, R != 0), R != 0, title=self.title)

    def _fieller(self, text: str, level: float) -> tuple[float, float]:
        """Ratios ρ with (a − ρb)² ≤ c²·Var(a − ρb); the whole line when the denominator may be zero."""
        parts = ratio_parts(text, self.names, self.values)
        if parts is None:
            raise OptionError(f"{text!r} is not a ratio; Fieller's limits need one, such as 'educ / age'.")
        a, b = parts
        far = [p.value for p in ratio_parts(text, self.names, 2 * self.values) or ()]
        if any(abs(2 * p.value - f) > 1e-9 * (1 + abs(f)) for p, f in zip(parts, far, strict=True)):
            raise OptionError(
                f"{text!r}: Fieller's limits need linear expressions without constants above and below "
                f"the line."
            )
        V = self.covariance
        own = self._fewest(((a.gradient != 0) | (b.gradient != 0))[None])
        c2 = critical_value(check_level(level), self.df if own is None else float(own[0])) ** 2
        quadratic = b.value**2 - c2 * (b.gradient @ V @ b.gradient)
        if quadratic <= 0:
            return (-np.inf, np.inf)
        half_linear = a.value * b.value - c2 * (a.gradient @ V @ b.gradient)
        constant = a.value**2 - c2 * (a.gradient @ V @ a.gradient)
        spread = float(np.sqrt(max(float(half_linear**2 - quadratic * constant), 0.0)))
        return (float((half_linear - spread) / quadratic), float((half_linear + spread) / quadratic))


def _fieller_limits(estimates: Estimates, texts: tuple[str, ...], level: float) -> Array:
    return np.array([estimates._fieller(text, level) for text in texts])


class Estimated(OtherWords, ABC):
    """A result with a table of estimates, read in statsmodels' words; it adds what it knows beyond the table.

    Examples
    --------
    >>> class Fit(Estimated):
    ...     estimates = Estimates(("a", "b"), np.array([1.0, 2.0]), np.diag([0.25, 1.0]))
    >>> Fit().bse.to_dict(), Fit().test("a = b").df
    ({'a': 0.5, 'b': 1.0}, (1,))
    """

    @property
    @abstractmethod
    def estimates(self) -> Estimates:
        """The table of estimates with standard errors, tests and intervals."""

    def summary(self, level: float = 0.95) -> Any:
        """What prints: of a result that says no more, its table."""
        return self.estimates.table(level)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        shown = self.summary()
        return str(shown.as_html() if hasattr(shown, "as_html") else shown.to_html())

    def named(self, values: Array) -> pd.Series:
        """Values (k,) under the names of the estimates."""
        # a copy, since pandas 2 would hand out our own array
        return pd.Series(values.copy(), index=pd.Index(list(self.estimates.names)))

    @property
    def params(self) -> pd.Series:
        """Estimates (k,) by name: of a logit the log-odds, of margins the effects."""
        return self.named(self.estimates.values)

    @property
    def bse(self) -> pd.Series:
        """Standard errors (k,)."""
        return self.named(self.estimates.std_error)

    @property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors (k,)."""
        return self.named(self.estimates.statistic)

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values (k,)."""
        return self.named(self.estimates.p_value)

    def conf_int(self, alpha: float | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Confidence limits (k, 2), columns 0 and 1 as in statsmodels; ``alpha`` = 1 − level."""
        limits = self.estimates.interval(check_level(level, alpha))
        return pd.DataFrame(limits.copy(), index=pd.Index(self.estimates.names))

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix (k, k) of the estimates."""
        names = pd.Index(self.estimates.names)
        return pd.DataFrame(self.estimates.covariance.copy(), index=names, columns=names)

    def tidy(self, *, level: float = 0.95) -> pd.DataFrame:
        """Table (k, 7) of broom: term, estimate, std_error, statistic, p_value, conf_low, conf_high."""
        return self.estimates.table(level).rename_axis("term").reset_index()

    def test(self, hypotheses: Any) -> TestResult:
        """Wald test of linear hypotheses, with the covariance of the result.

        Parameters
        ----------
        hypotheses : ``"a = b"``, ``"a, b"`` (both zero), a list of such texts, a matrix R (q, k) or a pair
            (R, r).

        Returns
        -------
        TestResult
            χ²(q), or F(q, df) where the result takes t instead of the normal.

        Raises
        ------
        OptionError, WithheldError

        Warns
        -----
        FewClustersWarning
            If clusters are too few for so many hypotheses at once.

        Examples
        --------
        >>> import disteconometrics as de
        >>> print(de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()).test("GPA, PSI"))
        Wald test of GPA = 0; PSI = 0
          chi2(2) = 8.5812, p = 0.0137
        """
        return self.estimates.wald(hypotheses)

    def nlcom(
        self, expressions: str | Sequence[str], *, method: str = "delta", level: float = 0.95
    ) -> Estimates:
        """Functions of the estimates with errors, as ``"educ / age"``; see `Estimates.function`."""
        return self.estimates.function(expressions, method=method, level=level)
