"""Joint densities as products: p(y1)·p(y2 | y1)·…, each factor by any estimator of one outcome."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from disteconometrics.data.design import RowCount, build_design
from disteconometrics.data.joint_design import build_joint, joint_rows, read_outcomes
from disteconometrics.data.outcome import Outcome
from disteconometrics.data.table import Table
from disteconometrics.distributions.joint import DRAWS, JointLaw, PooledLaw, ProductLaw, joint_functionals
from disteconometrics.errors import FormulaError, OptionError
from disteconometrics.estimators.flow.auto import rival_of
from disteconometrics.inference.estimates import Estimated, Estimates
from disteconometrics.inference.resample import take_rows
from disteconometrics.report.summary import Section, Summary, number, rows_dropped

if TYPE_CHECKING:
    from disteconometrics.estimators.flow.flow_density import FlowDensity

__all__ = ["JointDensity", "JointResults", "Product", "fit_product", "joint", "stacking_weights"]

Array = NDArray[np.float64]

MOST_OUTCOMES = 4  # whose orders are all fitted
EM_STEPS = 500
SMALLEST = 0.02  # weight of an order that is kept


@dataclass(frozen=True)
class JointDensity:
    """The specification that `joint` makes: factors of one outcome each, later ones given the earlier.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.joint(de.NormalRegression("x1 ~ 1"), de.FlowDensity("x2 ~ x1")).outcomes
    ('x1', 'x2')
    """

    factors: tuple[Any, ...]

    def __post_init__(self) -> None:
        factors = tuple(self.factors)
        if len(factors) < 2 or not all(
            hasattr(f, "formula") and callable(getattr(f, "fit", None)) for f in factors
        ):
            raise OptionError(
                "joint takes two or more specifications of one outcome each, such as "
                "de.joint(de.FlowDensity('x1 ~ 1'), de.FlowDensity('x2 ~ x1'))."
            )
        object.__setattr__(self, "factors", factors)
        sides = [read_outcomes(f.formula) for f in factors]
        if any(len(left) > 1 for left, _ in sides):
            raise FormulaError(
                "Each factor of a joint density has one outcome; give the outcomes a formula each."
            )
        if len(set(self.outcomes)) < len(factors):
            raise FormulaError(
                f"An outcome appears twice: {', '.join(self.outcomes)}; each factor has its own."
            )

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The left sides, in order."""
        return tuple(read_outcomes(f.formula)[0][0] for f in self.factors)

    @property
    def formula(self) -> str:
        """The formulas of the factors, one after the other."""
        return "; ".join(f.formula for f in self.factors)

    def fit(
        self, data: Any, *, seed: int | np.random.Generator | None = None, **options: Any
    ) -> JointResults:
        """Fit every factor to the same rows; a row with a missing value in one of them is left out of all.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        seed : of factors that draw.
        options : passed to every factor's ``fit``, such as ``cov``.

        Returns
        -------
        JointResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError
        """
        if seed is not None:
            options["seed"] = seed
        complete, count = complete_rows(self.factors, data)
        parts = tuple(f.fit(complete, **options) for f in self.factors)
        return JointResults(self, (Product(parts),), count=count)


def joint(*factors: Any) -> JointDensity:
    """Join specifications of one outcome each to one of their joint law, p(y1)·p(y2 | y1)·….

    Parameters
    ----------
    factors : specifications such as ``de.FlowDensity("x1 ~ 1")`` and ``de.FlowDensity("x2 ~ x1")``, in that
        order; outcomes that later factors use are columns as they are, without a transform.

    Returns
    -------
    JointDensity

    Raises
    ------
    OptionError, FormulaError

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> res = joint(de.NormalRegression("income ~ 1"), de.NormalRegression("foodexp ~ income")).fit(engel)
    >>> round(res.llf / res.nobs, 2), res.distribution().sample(2, seed=1).shape
    (-13.82, (2, 2))
    """
    return JointDensity(tuple(factors))


def complete_rows(factors: Sequence[Any], data: Any) -> tuple[Any, RowCount]:
    """The table without the rows that one of several specifications cannot use, and what became of the rows.

    Raises
    ------
    DataError, FormulaError, MissingColumnError, OutcomeError

    Examples
    --------
    >>> import disteconometrics as de
    >>> factors = (de.NormalRegression("a ~ 1"), de.NormalRegression("b ~ a"))
    >>> table, count = complete_rows(factors, {"a": [1.0, 2.0, 4.0], "b": [0.0, np.nan, 1.0]})
    >>> table["a"].tolist(), count.missing
    ([1.0, 4.0], {'b': 1})
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every factor's own fit tells what it has to tell
        designs = [
            build_design(f.formula, data, outcome="numeric", weights=f.weights, weight_type=f.weight_type)
            for f in factors
        ]
    shared = joint_rows(designs)
    return (data if shared.rows.used == shared.rows.given else take_rows(data, shared.kept)), shared.rows


@dataclass(frozen=True)
class _Sides:
    """What cross-validation asks a joint result's specification for."""

    parts: tuple[Any, ...]

    @property
    def outcomes(self) -> tuple[str, ...]:
        return tuple(p.outcome.name for p in self.parts)

    @property
    def outcome(self) -> Outcome:
        return Outcome(" + ".join(self.outcomes), "numeric")

    @property
    def formula(self) -> str:
        return "; ".join(p.formula for p in self.parts)

    def outcome_values(self, new: Any) -> Array:
        return np.column_stack([p.outcome_values(new) for p in self.parts])


@dataclass(frozen=True, eq=False)
class Product:
    """The fitted factors of one order, and its weight in the joint law."""

    parts: tuple[Any, ...]
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class JointResults(Estimated):
    """A fitted product: its joint law, its factors' results, summary.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.joint(de.NormalRegression("income ~ 1"), de.FlowDensity("foodexp ~ income")).fit(de.datasets.engel())
    >>> law = res.distribution()
    >>> law.outcomes, bool(law.pdf([[900.0, 600.0]])[0] > law.pdf([[900.0, 100.0]])[0])
    (('income', 'foodexp'), True)
    """

    model: Any
    products: tuple[Product, ...]
    trials: pd.DataFrame | None = None
    pooled_loglik: float | None = None
    count: RowCount | None = None
    rival: str = ""

    @property
    def parts(self) -> tuple[Any, ...]:
        """Results of the factors, of the order that has the largest weight."""
        return self.products[0].parts

    @property
    def spec(self) -> Any:
        """The outcomes, in the order in which they were written, and formulas of the factors."""
        written = (
            self.model.outcomes
            if isinstance(self.model, JointDensity)
            else read_outcomes(self.model.formula)[0]
        )
        named = {p.spec.outcome.name: p.spec for p in self.parts}
        return _Sides(
            tuple(named[y] for y in written) if set(written) == set(named) else tuple(named.values())
        )

    @cached_property
    def _given(self) -> tuple[str, ...]:
        """Columns of the right sides that are no outcomes."""
        earlier = set(self.spec.outcomes)
        return tuple(dict.fromkeys(v for p in self.parts for v in p.spec.variables if v not in earlier))

    def distribution(self, new: Any = None) -> JointLaw:
        """The joint law, for every row of ``new`` where there are covariates besides the outcomes.

        Parameters
        ----------
        new : table with the covariates, or None where there are none.

        Returns
        -------
        JointLaw

        Raises
        ------
        OptionError, MissingColumnError
        """
        columns: dict[str, Any] = {}
        if self._given:
            if new is None:
                raise OptionError(
                    f"The joint law depends on {', '.join(self._given)}: give a table with these columns."
                )
            table = Table(new)
            columns = {v: np.asarray(table.raw(v, "the formula")) for v in self._given}
        laws = tuple(_product_law(p.parts, columns) for p in self.products)
        outcomes = self.spec.outcomes
        if len(laws) == 1 and laws[0].outcomes == outcomes:
            return laws[0]
        return PooledLaw(laws, np.array([p.weight for p in self.products]), outcomes)

    @property
    def nobs(self) -> float:
        """Observations."""
        return float(self.parts[0].nobs)

    @property
    def llf(self) -> float:
        """Log-likelihood of the joint law, summed over observations."""
        return float(sum(p.llf for p in self.parts)) if self.pooled_loglik is None else self.pooled_loglik

    @property
    def converged(self) -> bool:
        """Whether every factor converged."""
        return all(bool(p.converged) for p in self.parts)

    def _table_names(self) -> tuple[str, Sequence[str]]:
        pairs = [(p.spec.outcome.name, p._table_names()[1]) for p in self.parts]
        return " + ".join(y for y, _ in pairs), [f"{y}: {name}" for y, names in pairs for name in names]

    @cached_property
    def estimates(self) -> Estimates:
        """Every factor's estimates under its outcome's name; factors are estimated apart, so their covariance is zero."""
        found = [(p.spec.outcome.name, p.estimates) for p in self.parts]
        names = tuple(f"{y}: {n}" for y, e in found for n in e.names)
        V = np.zeros((len(names), len(names)))
        at = 0
        for _, e in found:
            k = len(e.names)
            V[at : at + k, at : at + k] = e.covariance
            at += k
        return Estimates(names, np.concatenate([e.values for _, e in found]), V)

    def plot(self, **options: Any) -> Any:
        """Draw contours of two outcomes over the data; see `plots.contours`."""
        from disteconometrics.plots.flows import contours

        return contours(self.distribution(), **options)

    def summary(self, level: float = 0.95) -> Summary:
        """The factors in one frame; each has its own ``summary()`` in ``parts``."""
        left = [("Outcomes", ", ".join(self.spec.outcomes)), ("Factors", str(len(self.parts)))]
        right = [
            ("Observations", f"{self.nobs:.0f}"),
            ("Log-likelihood per row", f"{self.llf / self.nobs:.4f}"),
        ]
        cells = []
        for p in self.parts:
            score = f"{p.leave_one_out:.4f}" if hasattr(p, "leave_one_out") else ""
            cells.append(
                (
                    p.spec.formula.partition("~")[2].strip(),
                    type(p.model).__name__,
                    number(p.llf / p.nobs),
                    score,
                )
            )
        columns = ("given", "estimator", "log-likelihood", "leave-one-out")
        names = tuple(p.spec.outcome.name for p in self.parts)
        sections = [Section(columns, names, tuple(cells), "Factors, per row")]
        if not self._given:
            law = self.distribution().functionals(joint_functionals(self.spec.outcomes))
            sections.append(
                Section(("estimate",), tuple(law), tuple((number(v),) for v in law.values()), "Joint law")
            )
        what = "the product of the factors" if len(self.products) == 1 else "a pool of products of factors"
        notes = [f"The density is {what}; each factor has its own summary in .parts."]
        if not self._given:
            notes.append(f"Moments of the joint law are those of {DRAWS:,} draws.")
        if self.count is not None:
            c = self.count
            notes += rows_dropped(c.given, c.used, {**c.missing, **c.transformed}, c.zero_weight)
        if self.trials is not None:
            used = self.trials[self.trials["weight"] > 0]
            told = "; ".join(f"{o} ({w:.2f})" for o, w in zip(used["order"], used["weight"], strict=True))
            notes.append(
                f"{len(self.trials)} orders of the outcomes were fitted and pooled with the weights that "
                f"maximise the "
                f"leave-one-out log density: {told}. The factors shown are those of the first."
            )
        notes += [self.rival] if self.rival else []
        return Summary("Joint Density Results", (tuple(left), tuple(right)), tuple(sections), tuple(notes))

    def __repr__(self) -> str:
        return f"<Joint density results: {self.spec.formula}, n = {self.nobs:g}, llf = {self.llf:.3f}>"

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Not for a product: save its factors.

        Raises
        ------
        OptionError
            Always.
        """
        raise OptionError(
            "Save the factors one by one: for i, part in enumerate(res.parts): part.save(f'part{i}.npz')."
        )


def _product_law(parts: tuple[Any, ...], columns: dict[str, Any]) -> ProductLaw:
    """The law of one order, given columns of covariates."""
    names = tuple(p.spec.outcome.name for p in parts)
    rows = len(next(iter(columns.values()))) if columns else 0

    def given(j: int, before: Array) -> Any:
        own = {name: before[:, i] for i, name in enumerate(names[:j])}
        whole = {"row": np.arange(len(before)), **columns, **own}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # draws leave the covariates' range as the data do
            return parts[j].distribution({v: whole[v] for v in ("row", *parts[j].spec.variables)})

    return ProductLaw(names, given, (rows,) if columns else ())


def _formula(outcome: str, before: Sequence[str], right: str) -> str:
    terms = [*before, *([right] if right != "1" else [])]
    return f"{outcome} ~ {' + '.join(terms) or '1'}"


def fit_product(model: FlowDensity, data: Any, cov: Any, seed: Any) -> Any:
    """Products of monotone splines in every order of the outcomes, pooled by leave-one-out, or a rival that beats the pool.

    Outcomes are columns as they are.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError
    """
    outcomes, right = read_outcomes(model.formula)
    if len(outcomes) > MOST_OUTCOMES:
        raise OptionError(
            f"{len(outcomes)} outcomes have too many orders to compare; name a flow, such as "
            f"flow=de.Autoregressive(de.RQS()), "
            "or write the factors with de.joint(…)."
        )
    design = build_joint(model.formula, data, weights=model.weights, weight_type=model.weight_type)
    if design.rows.used < design.rows.given:
        data = take_rows(data, design.kept)
    found: dict[tuple[str, frozenset[str]], Any] = {}
    kinds: dict[str, Any] = {} if cov is None else {"cov": cov}

    def part(outcome: str, before: tuple[str, ...]) -> Any:
        key = (outcome, frozenset(before))
        if key not in found:
            formula = _formula(outcome, [y for y in outcomes if y in before], right)
            found[key] = replace(model, formula=formula).fit(data, **kinds)
        return found[key]

    orders = list(itertools.permutations(outcomes))
    each = [tuple(part(y, order[:i]) for i, y in enumerate(order)) for order in orders]
    left_out = np.stack([np.sum([p.rows.left_out for p in parts], axis=0) for parts in each])
    rows = each[0][0].rows.sample.weights
    weights = stacking_weights(left_out, rows)
    ranked = np.argsort(-weights, kind="stable")
    trials = pd.DataFrame(
        {
            "order": [", then ".join(orders[k]) for k in ranked],
            "leave_one_out": [float(np.average(left_out[k], weights=rows)) for k in ranked],
            "weight": weights[ranked],
        }
    )
    pooled = np.asarray(special.logsumexp(left_out, axis=0, b=weights[:, None]))
    rival = rival_of(model, data, np.arange(len(pooled)), pooled, rows, seed) if cov is None else None
    if rival is not None and rival.wins:
        return rival.fitted(data, seed)
    found_products = tuple(Product(each[k], float(weights[k])) for k in ranked if weights[k] > 0)
    result = JointResults(model, found_products, trials, rival=rival.words if rival is not None else "")
    contributions = result.distribution(data if result._given else None).logpdf(design.Y)
    return replace(
        result,
        count=design.rows,
        pooled_loglik=float(contributions @ (np.ones(len(design.Y)) if rows is None else rows)),
    )


def stacking_weights(left_out: Array, rows: Array | None = None) -> Array:
    """Weights (k,) of a pool of laws that maximise its leave-one-out log density, by the EM algorithm; small ones become zero.

    Parameters
    ----------
    left_out : (k, n) float64 array, leave-one-out log densities of each law.
    rows : (n,) float64 array or None, weights of the rows.

    References
    ----------
    Yao, Vehtari, Simpson, Gelman (2018), Using stacking to average Bayesian predictive distributions,
    Bayesian Analysis 13, doi:10.1214/17-BA1091.

    Examples
    --------
    >>> stacking_weights(np.log([[0.9, 0.1], [0.1, 0.9], [0.05, 0.05]])).round(2).tolist()
    [0.5, 0.5, 0.0]
    """
    density = np.exp(left_out - left_out.max(axis=0))
    w = np.full(len(density), 1 / len(density))
    for _ in range(EM_STEPS):
        share = w[:, None] * density
        w = np.average(share / share.sum(axis=0), axis=1, weights=rows)
    w = np.where(w < SMALLEST, 0.0, w)
    return np.asarray(w / w.sum())
