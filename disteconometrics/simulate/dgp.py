"""Data-generating processes: a draw of covariates and a law of the outcome, so that the truth is known.

A process is a value: frozen, printable, called with a random generator.  Its truth comes from the law that it
draws from: in closed form where the process declares one, and else as an average over many draws whose error
is stated.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from numbers import Integral
from typing import Any, Self, final

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import evaluate, functional_name
from disteconometrics.distributions.law import Law
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords, tells_words

__all__ = ["DGP", "Process", "Table", "Truth", "pseudo_true"]

Table = dict[str, Array]

SEED = 20250101  # of every truth that is an integral
ROWS = 200_000  # over which covariates are averaged
FEW_ROWS = 4_000  # where the mean of every row is an integral itself
DRAWS = 1_000_000  # of the outcome, for functionals that are no averages
BATCHES = 20  # of those draws, from whose spread the error comes
STEP = 1e-3  # of a standard deviation, in the derivative of an average effect (error of order 1e-12)

_AVERAGES = ("mean", "cdf", "sf", "pdf", "prob")  # functionals that are linear in the law
_EFFECT = re.compile(r"ame\[([^:\]]+)(?::([^\]]+)->([^\]]+))?\]")


@dataclass(frozen=True)
class Truth(TakesWords):
    """A true value and the standard error of its computation, zero for a closed form.

    Examples
    --------
    >>> Truth(2.0)
    Truth(value=2.0, error=0.0)
    """

    value: float
    error: float = 0.0


class Process(TakesWords, ABC):
    """A data-generating process; subclasses say how covariates are drawn and the law of the outcome.

    They are frozen dataclasses.  ``process(rng, n=1000)`` draws a table, a dict of float64 arrays (n,); other
    keywords change fields of the process for this call, so a grid of a Monte Carlo study may vary them.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import disteconometrics as de
    >>> @dataclass(frozen=True)
    ... class Wages(de.Process):
    ...     slope: float = 0.1
    ...     outcome = "wage"
    ...     def covariates(self, rng, n):
    ...         return {"educ": rng.integers(8, 18, n).astype(float)}
    ...     def law(self, table):
    ...         return de.law(de.Normal(1 + self.slope * table["educ"], 0.5), [de.Exp()])
    >>> process = Wages()
    >>> process(np.random.default_rng(1), n=3)["wage"].round(2)
    array([10.65,  5.2 , 19.16])
    >>> truth = process.truth(["mean", "gini", "ame[educ]"], slope=0.0)
    >>> {name: (round(t.value, 2), t.error < 0.01) for name, t in truth.items()}
    {'mean': (3.08, True), 'gini': (0.28, True), 'ame[educ]': (0.0, True)}
    """

    outcome: str = "y"

    @abstractmethod
    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """Columns other than the outcome in the population, (n,) each; an empty dict if there are none."""

    @abstractmethod
    def law(self, table: Mapping[str, Any]) -> Law:
        """The law of the outcome given the rows' covariates, batch shape (n,); () if there are none."""

    def parameters(self) -> dict[str, float]:
        """Coefficients of the right specification, by the names that estimators give them."""
        return {}

    def closed_forms(self) -> dict[str, float]:
        """Functionals of the outcome's law in the population that are known exactly, by name."""
        return {}

    def marginal(self) -> Law | None:
        """The outcome's law in the population, batch shape (); None where covariates must be averaged."""
        alone = self.law(self.covariates(np.random.default_rng(SEED), 2))
        return None if alone.batch_shape else alone

    def outcomes(self, rng: np.random.Generator, table: Table, n: int) -> Array:
        """Outcomes (n,) given covariates, in the population."""
        law = self.law(table)
        return law.draw_with(rng, 1)[:, 0] if law.batch_shape else law.draw_with(rng, n)

    def population(self, rng: np.random.Generator, n: int) -> Table:
        """n rows of the population."""
        x = self.covariates(rng, n)
        return {self.outcome: self.outcomes(rng, x, n), **x}

    def draw(self, rng: np.random.Generator, n: int) -> Table:
        """n rows as they are sampled: of the population, unless a process samples otherwise."""
        return self.population(rng, n)

    def __call__(self, rng: np.random.Generator, n: int = 1000, **changes: Any) -> Table:
        """Draw a table of n rows with a generator, which is advanced."""
        if isinstance(n, bool) or not isinstance(n, (int, Integral)) or n < 1:
            raise OptionError(f"n={n!r}: give the number of rows, a whole number of at least 1.")
        if not isinstance(rng, np.random.Generator):
            raise OptionError(
                "A process is called with a random generator: process(np.random.default_rng(1), n=1000)."
            )
        return (self.changed(**changes) if changes else self).draw(rng, int(n))

    def changed(self, **changes: Any) -> Self:
        """The process with other values of some fields.

        Raises
        ------
        OptionError
            If the process has no such field.
        """
        if not changes:
            return self
        known = tuple(getattr(self, "__dataclass_fields__", ()))
        wrong = [name for name in changes if name not in known]
        if wrong or not is_dataclass(self):
            raise OptionError(
                f"{type(self).__name__} has no {wrong[0]!r} to change; it has n, {', '.join(known)}."
            )
        return replace(self, **changes)

    def truth(
        self, names: Sequence[str | Callable[[Law], Any]], *, n: int | None = None, **changes: Any
    ) -> dict[str, Truth]:
        """True values of parameters, of functionals of the outcome in the population and of average effects.

        Parameters
        ----------
        names : list of str or functions of a law
            Names of `parameters`; functionals such as ``"mean"``, ``"q[0.9]"``; ``"ame[x]"``, the average
            derivative of E(y | x), and ``"ame[x:0->1]"``, the average change of it.
        n : not used; accepted because a cell of a Monte Carlo study holds it.
        **changes : other values of the process's fields.

        Returns
        -------
        dict of name to Truth; the error is zero where there is a closed form.

        Raises
        ------
        OptionError
            If a name is none of these.
        """
        return _Truths(self.changed(**changes)).all(names)

    def logpdf(self, table: Mapping[str, Any]) -> Array:
        """Log density of each row's outcome given its covariates, (n,)."""
        return self.law(table).logpdf(table[self.outcome])


class _Truths:
    """Truths of one process; draws are shared between the names that need them."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.known = {**process.closed_forms(), **process.parameters()}
        self._rows: tuple[Table, Law] | None = None
        self._draws: Array | None = None

    def all(self, names: Sequence[Any]) -> dict[str, Truth]:
        if isinstance(names, str) or callable(names):
            raise OptionError(f"names is a list, as in truth([{names!r}]).")
        return {functional_name(name): self.one(name) for name in names}

    def one(self, name: Any) -> Truth:
        if isinstance(name, str) and name in self.known:
            return Truth(float(self.known[name]))
        effect = _EFFECT.fullmatch(name.replace(" ", "")) if isinstance(name, str) else None
        if effect:
            return self._effect(*effect.groups())
        return self._functional(name)

    def rows(self, count: int = ROWS) -> tuple[Table, Law]:
        if self._rows is None or self._rows[1].batch_shape != (count,):
            table = self.process.covariates(np.random.default_rng(SEED), count)
            self._rows = table, self.process.law(table)
        return self._rows

    def _functional(self, name: Any) -> Truth:
        marginal = self.process.marginal()
        few = marginal or self._two_rows()
        try:
            value = evaluate(few, name)  # an unknown name is refused before anything is drawn
        except OptionError as e:
            known = ", ".join(self.known) or "none"
            raise OptionError(f"{e} Parameters of this process: {known}.") from None
        if marginal is not None:
            return Truth(float(value))
        head = name.partition("[")[0].strip() if isinstance(name, str) else ""
        if head in _AVERAGES and not (head == "mean" and few.integrates_mean):
            return _mean(evaluate(self.rows()[1], name))
        return self._of_draws(name)

    def _two_rows(self) -> Law:
        return self.process.law(self.process.covariates(np.random.default_rng(SEED), 2))

    def _of_draws(self, name: Any) -> Truth:
        """A functional of many draws, whose error comes from the spread between batches."""
        if self._draws is None:
            rng = np.random.default_rng(SEED + 1)
            self._draws = self.process.population(rng, DRAWS)[self.process.outcome]
        whole = float(evaluate(Empirical(self._draws), name))
        parts = [float(evaluate(Empirical(part), name)) for part in np.split(self._draws, BATCHES)]
        return Truth(whole, float(np.std(parts, ddof=1) / np.sqrt(BATCHES)))

    def _effect(self, column: str, old: str | None, new: str | None) -> Truth:
        table, law = self.rows(FEW_ROWS if self._two_rows().integrates_mean else ROWS)
        if column not in table:
            raise OptionError(
                f"The process has no covariate {column!r}; it has {', '.join(table) or 'none'}."
            )

        def at(values: Any) -> Array:
            moved = np.broadcast_to(as_floats(values), law.batch_shape)
            return self.process.law({**table, column: moved}).mean()

        if old is not None and new is not None:
            try:
                low, high = float(old), float(new)
            except ValueError:
                raise OptionError(
                    f"ame[{column}:{old}->{new}] needs numbers, as in ame[{column}:0->1]."
                ) from None
            return _mean(at(high) - at(low))
        x, h = table[column], STEP * float(np.std(table[column]))
        near, far = at(x + h) - at(x - h), at(x + 2 * h) - at(x - 2 * h)
        return _mean((8 * near - far) / (12 * h))


def _mean(values: Array) -> Truth:
    """An average over covariates, with its standard error."""
    spread = float(np.std(values, ddof=1))
    return Truth(float(np.mean(values)), spread / len(values) ** 0.5)


@final
@dataclass(frozen=True, init=False, eq=False)
class DGP(Process):
    """A data-generating process out of two functions.

    Parameters
    ----------
    law : Law, or callable from a table of covariates to the law of the outcome
        A law of batch shape () alone makes i.i.d. outcomes.
    covariates : callable (rng, n) → dict of arrays (n,), or None.
    outcome : str, the name of the outcome's column.
    parameters : dict of true coefficients by the names that estimators give them, or None.

    Raises
    ------
    OptionError
        If an argument is not one of these.

    Examples
    --------
    >>> normal = lambda t: de.Normal(1 + 2 * t["x"], 1)
    >>> dgp = DGP(normal, lambda rng, n: {"x": rng.random(n)}, parameters={"x": 2.0})
    >>> sorted(dgp(np.random.default_rng(1), n=4)), dgp.truth(["x", "ame[x:0->1]"])["ame[x:0->1]"]
    (['x', 'y'], Truth(value=2.0, error=0.0))
    >>> DGP(de.Normal(1, 2)).truth(["q[0.5]", "std"])
    {'q[0.5]': Truth(value=1.0, error=0.0), 'std': Truth(value=2.0, error=0.0)}
    """

    given: Law | Callable[[Mapping[str, Any]], Law]
    x: Callable[[np.random.Generator, int], Table] | None
    outcome: str
    true: Mapping[str, float]

    def __init__(
        self,
        law: Law | Callable[[Mapping[str, Any]], Law],
        covariates: Callable[[np.random.Generator, int], Table] | None = None,
        *,
        outcome: str = "y",
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        if not (isinstance(law, Law) or callable(law)) or not (covariates is None or callable(covariates)):
            raise OptionError(
                "DGP takes a law, or a function of covariates that returns one, and a function (rng, n) "
                "of covariates."
            )
        if isinstance(law, Law) and law.batch_shape:
            raise OptionError(
                "A law with rows belongs to those rows; give a function of covariates, DGP(lambda t: …, "
                "covariates)."
            )
        true = dict(parameters or {})
        for name, value in {"given": law, "x": covariates, "outcome": outcome, "true": true}.items():
            object.__setattr__(self, name, value)

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """What the function of covariates draws."""
        return {} if self.x is None else dict(self.x(rng, n))

    def law(self, table: Mapping[str, Any]) -> Law:
        """The law of the outcome given covariates."""
        found = self.given if isinstance(self.given, Law) else self.given(table)
        if not isinstance(found, Law):
            raise OptionError(
                f"The law of a DGP must be a law, not {type(found).__name__}; wrap scipy's with de.law(...)."
            )
        return found

    def parameters(self) -> dict[str, float]:
        """The parameters that were given."""
        return dict(self.true)

    def changed(self, **changes: Any) -> Self:
        """A process out of functions has no fields to change."""
        if changes:
            raise OptionError(
                f"A DGP out of functions has no {next(iter(changes))!r} to change; write a Process with "
                f"fields."
            )
        return self


@tells_words
def pseudo_true(
    estimator: Any,
    dgp: Callable[..., Any],
    *,
    n: int = 200_000,
    fit: Mapping[str, Any] | None = None,
    **cell: Any,
) -> dict[str, Truth]:
    """What an estimator aims at under a process: its estimates from one large sample of fixed seed.

    Parameters
    ----------
    estimator : a specification; all that is asked of it is ``fit(table).estimates``.
    dgp : callable ``dgp(rng, n=n, **cell)`` → table.
    n : int, rows.
    fit : options of the fit, such as ``{"cov": "HC1"}``: a specification that is wrong needs robust standard
        errors.
    **cell : passed on to the process.

    Returns
    -------
    dict of name to Truth, whose error is the standard error of the fit.

    Raises
    ------
    OptionError
        If the estimator has no ``fit`` or the process cannot be called.

    Examples
    --------
    >>> import disteconometrics as de
    >>> found = pseudo_true(de.Logit("y ~ x"), de.dgps.HeteroskedasticLogit(), fit={"cov": "HC0"})
    >>> {name: round(t.value, 1) for name, t in found.items()}, max(t.error for t in found.values()) < 0.02
    ({'Intercept': 0.6, 'x': 1.6}, True)
    """
    if not callable(getattr(estimator, "fit", None)) or not callable(dgp):
        raise OptionError("pseudo_true takes a specification with fit(data) and a process, dgp(rng, n=...).")
    table = dgp(np.random.default_rng(SEED), n=n, **cell)
    e = estimator.fit(table, **dict(fit or {})).estimates
    return {
        str(name): Truth(float(b), float(s))
        for name, b, s in zip(e.names, e.values, e.std_error, strict=True)
    }
