"""Joint densities as products: p(y1)·p(y2 | y1)·…, each factor by any estimator of one outcome."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import linalg

from disteconometrics.arrays import Array, Seed
from disteconometrics.data.design import RowCount, build_design
from disteconometrics.data.formula import split_sides
from disteconometrics.data.joint_design import joint_rows, read_outcomes
from disteconometrics.data.outcome import Outcome
from disteconometrics.data.settle import refuse_recorders
from disteconometrics.data.table import Table
from disteconometrics.distributions.joint import DRAWS, JointLaw, PooledLaw, ProductLaw, joint_functionals
from disteconometrics.errors import FileFormatError, FormulaError, OptionError
from disteconometrics.estimators.refit import ONE_OUTCOME
from disteconometrics.estimators.results import FilePart, FitFacts, FittedResult, SavedResult
from disteconometrics.estimators.rows import row_facts
from disteconometrics.estimators.specification import set_checked
from disteconometrics.fields import AnyFloat, Count, Positive
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.resample import take_rows
from disteconometrics.report.summary import rows_dropped
from disteconometrics.tables import Section, Summary, number, printable
from disteconometrics.words import TakesWords, tells_words

__all__ = [
    "JointDensity",
    "JointFacts",
    "JointResults",
    "JointSides",
    "Product",
    "joint",
    "joint_law",
    "joint_results",
]

ROUNDING = 1e-9  # of the sum of weights
# Kinds of files of results of one outcome that have a density.
FACTORS = ("CLogLog", "FlowDensity", "Logit", "NormalRegression", "Probit", "TrainedFlow")


@dataclass(frozen=True)
class JointDensity(TakesWords):
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
        set_checked(self, {"factors": factors})
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

    def fit(self, data: Any, *, seed: Seed = None, **options: Any) -> JointResults:
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
        complete, count = complete_rows(self.factors, data)
        parts = tuple(f.fit(complete, **options, **_seed_of(f, seed)) for f in self.factors)
        return joint_results(self, (Product(parts),), count, loglik=float(sum(p.llf for p in parts)))


def _seed_of(factor: Any, seed: Any) -> dict[str, Any]:
    """The seed as an argument of a factor's ``fit``, if it draws."""
    draws = seed is not None and "seed" in signature(factor.fit).parameters
    return {"seed": seed} if draws else {}


@tells_words
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
    for f in factors:
        refuse_recorders(f.formula, "joint()")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every factor's own fit tells what it has to tell
        designs = [
            build_design(f.formula, data, outcome="numeric", weights=f.weights, weight_type=f.weight_type)
            for f in factors
        ]
    shared = joint_rows(designs)
    return (data if shared.rows.used == shared.rows.given else take_rows(data, shared.kept)), shared.rows


@dataclass(frozen=True)
class JointSides:
    """The specifications of the factors' columns; it answers what a design's specification answers."""

    parts: tuple[Any, ...]

    @classmethod
    def of(cls, written: Sequence[str], parts: Sequence[Any]) -> JointSides:
        """Those of fitted factors, in the order in which the outcomes were ``written``."""
        named = {p.spec.outcome.name: p.spec for p in parts}
        return cls(tuple(named[y] for y in written) if set(written) == set(named) else tuple(named.values()))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes, as written."""
        return tuple(p.outcome.name for p in self.parts)

    @property
    def outcome(self) -> Outcome:
        """All of them under one name."""
        return Outcome(" + ".join(self.outcomes), "numeric")

    @property
    def formula(self) -> str:
        """The formulas of the factors, one after the other."""
        return "; ".join(p.formula for p in self.parts)

    def outcome_values(self, new: Any) -> Array:
        """Outcomes (m, d) of new rows; NaN where one is missing."""
        return np.column_stack([p.outcome_values(new) for p in self.parts])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: the outcomes, as the factors have their own columns."""
        return {"outcomes": list(self.outcomes)}


@dataclass(frozen=True, eq=False)
class Product:
    """The fitted factors of one order, and its weight in the joint law."""

    parts: tuple[Any, ...]
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class JointFacts(FitFacts):
    """Numbers of a fit that need no rows; ``rival`` tells of a flow by name tried beside splines."""

    rival: str = ""


def joint_results(
    model: Any,
    products: tuple[Product, ...],
    count: RowCount,
    *,
    loglik: float,
    trials: pd.DataFrame | None = None,
    rival: str = "",
) -> JointResults:
    """The result of fitted factors.

    Parameters
    ----------
    model : JointDensity, or FlowDensity of several outcomes.
    products : factors by order, the one of largest weight first.
    count : RowCount of the table.
    loglik : float, log-likelihood of the joint law.
    trials : table of the orders that were fitted, None where there is one.
    rival : str, what is told of a flow by name that was tried beside.
    """
    parts = products[0].parts
    written = model.outcomes if isinstance(model, JointDensity) else read_outcomes(model.formula)[0]
    facts = JointFacts(**row_facts(count), observations=float(parts[0].nobs), loglik=loglik, rival=rival)
    return JointResults(
        model=model,
        spec=JointSides.of(written, parts),
        facts=facts,
        rows=tuple(p.rows for p in parts),
        products=products,
        trials=trials,
    )


def joint_law(products: Sequence[Product], sides: JointSides, new: Any = None) -> JointLaw:
    """The joint law of fitted factors, for every row of ``new`` where there are covariates.

    Parameters
    ----------
    products : factors by order.
    sides : JointSides of the first of them.
    new : table with the covariates, or None where there are none.

    Raises
    ------
    OptionError, MissingColumnError
    """
    given, columns = _covariates(products[0].parts, sides), {}
    if given:
        if new is None:
            raise OptionError(
                f"The joint law depends on {', '.join(given)}: give a table with these columns."
            )
        table = Table(new)
        columns = {v: np.asarray(table.raw(v, "the formula")) for v in given}
    laws = tuple(_product_law(p.parts, columns) for p in products)
    if len(laws) == 1 and laws[0].outcomes == sides.outcomes:
        return laws[0]
    return PooledLaw(laws, np.array([p.weight for p in products]), sides.outcomes)


def _covariates(parts: Sequence[Any], sides: JointSides) -> tuple[str, ...]:
    """Columns of the right sides that are no outcomes."""
    earlier = set(sides.outcomes)
    return tuple(dict.fromkeys(v for p in parts for v in p.spec.variables if v not in earlier))


def _product_law(parts: tuple[Any, ...], columns: dict[str, Any]) -> ProductLaw:
    """The law of one order, given columns of covariates."""
    names = tuple(p.spec.outcome.name for p in parts)
    rows = len(next(iter(columns.values()))) if columns else 0

    def given(j: int, before: Array) -> Any:
        own = {name: before[:, i] for i, name in enumerate(names[:j])}
        again = {v: np.resize(c, len(before)) for v, c in columns.items()}
        whole = {"row": np.arange(len(before)), **again, **own}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # draws leave the covariates' range as the data do
            return parts[j].distribution({v: whole[v] for v in ("row", *parts[j].spec.variables)})

    return ProductLaw(names, given, (rows,) if columns else ())


@dataclass(frozen=True, eq=False, kw_only=True)
class JointResults(FittedResult):
    """A fitted product: its joint law, its factors' results, summary.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.joint(de.NormalRegression("income ~ 1"), de.FlowDensity("foodexp ~ income"))
    >>> law = model.fit(de.datasets.engel()).distribution()
    >>> law.outcomes, bool(law.pdf([[900.0, 600.0]])[0] > law.pdf([[900.0, 100.0]])[0])
    (('income', 'foodexp'), True)
    """

    spec: JointSides
    facts: JointFacts
    rows: tuple[Any, ...] | None = field(default=None, repr=False)
    products: tuple[Product, ...]
    trials: pd.DataFrame | None = None

    pictures: ClassVar[tuple[str, ...]] = ("contours",)

    @property
    def parts(self) -> tuple[Any, ...]:
        """Results of the factors, of the order that has the largest weight."""
        return self.products[0].parts

    @property
    def _distinct(self) -> list[Any]:
        """Results of the factors of all orders, each once."""
        return list({id(p): p for product in self.products for p in product.parts}.values())

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcomes, and every factor's estimates under its outcome's name."""
        pairs = [(p.spec.outcome.name, p.labels()[1]) for p in self.parts]
        return " + ".join(y for y, _ in pairs), [f"{y}: {name}" for y, names in pairs for name in names]

    def solution(self) -> Array:
        """The solutions of the factors, one after the other."""
        return np.concatenate([p.solution() for p in self.parts])

    def fingerprint(self) -> str:
        """The digests of the factors' rows."""
        return "-".join(p.fingerprint() for p in self.parts)

    def fit_again(self, data: Any) -> JointResults:
        """The factors with the rows of ``data``, each checked to be its own."""
        complete, _ = complete_rows([p.model for p in self.parts], data)
        attached = {id(p): p.attach(complete) for p in self._distinct}
        products = tuple(
            replace(product, parts=tuple(attached[id(p)] for p in product.parts)) for product in self.products
        )
        return replace(self, products=products, rows=tuple(p.rows for p in products[0].parts))

    def with_rows(self, again: JointResults) -> JointResults:
        """This result with the rows of an equal one, which its factors hold."""
        return replace(self, products=again.products, rows=again.rows)

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
        return joint_law(self.products, self.spec, new)

    @property
    def llf(self) -> float:
        """Log-likelihood of the joint law, summed over observations."""
        return self.facts.loglik

    @property
    def pooled_loglik(self) -> float | None:
        """The same of a pool of products; None of a single product."""
        return None if self.trials is None else self.facts.loglik

    @property
    def converged(self) -> bool | None:
        """Whether every factor converged; None where a training has not settled."""
        found = [p.converged for p in self.parts]
        return None if None in found and False not in found else all(found)

    @cached_property
    def estimates(self) -> Estimates:
        """Every factor's estimates under its outcome's name; between factors covariances are zero."""
        found = [(p.spec.outcome.name, p.estimates) for p in self.parts]
        names = tuple(f"{y}: {n}" for y, e in found for n in e.names)
        V = linalg.block_diag(*(e.covariance for _, e in found))
        # the law of the factor with the fewest clusters
        law: Estimates = min((e for _, e in found), key=lambda e: e.df)
        return law.others(names, np.concatenate([e.values for _, e in found]), V)

    def _refitting(self) -> Refitting:
        raise OptionError(ONE_OUTCOME)

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The factors in one frame; each has its own ``summary()`` in ``parts``."""
        left = (("Outcomes", ", ".join(self.spec.outcomes)), ("Factors", str(len(self.parts))))
        right = (
            ("Observations", f"{self.nobs:.0f}"),
            ("Log-likelihood per row", f"{self.llf / self.nobs:.4f}"),
        )
        sections = [_factors_section(self.parts)]
        single = not _covariates(self.parts, self.spec)
        if single:
            law = self.distribution().functionals(joint_functionals(self.spec.outcomes))
            cells = tuple((number(v),) for v in law.values())
            sections.append(Section(("estimate",), tuple(law), cells, "Joint law"))
        notes = _notes(self.facts, len(self.products), single, self.trials)
        return Summary("Joint Density Results", (left, right), tuple(sections), tuple(notes))

    def __repr__(self) -> str:
        return printable(
            f"<Joint density results: {self.spec.formula}, n = {self.nobs:g}, llf = {self.llf:.3f}>"
        )

    @property
    def file_kind(self) -> str:
        """The kind of its files, whatever made it."""
        return "JointDensity"

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The factors, each as in a file of its own, and the orders in which they are multiplied."""
        parts = self._distinct
        place = {id(p): i for i, p in enumerate(parts)}
        headers, arrays = [], dict[str, Array]()
        for i, p in enumerate(parts):
            words, own = p.as_part(f"part{i}_")
            headers.append(words)
            arrays |= own
        header = {
            "formula": None if isinstance(self.model, JointDensity) else self.model.formula,
            "parts": headers,
            "products": [
                {"parts": [place[id(p)] for p in product.parts], "weight": product.weight}
                for product in self.products
            ],
            "trials": None if self.trials is None else self.trials.to_dict("list"),
        }
        return header, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> JointResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        words = "is no factor of a joint density"
        parts = [saved.part(p, f"part{i}_", FACTORS, words) for i, p in enumerate(header.parts)]
        products = tuple(_saved_product(p, parts) for p in header.products)
        if not abs(sum(product.weight for product in products) - 1) <= ROUNDING:
            raise FileFormatError("the weights of its products do not sum to one")
        first, outcomes = products[0].parts, header.spec.outcomes
        if any(sorted(p.spec.outcome.name for p in o.parts) != sorted(outcomes) for o in products):
            raise FileFormatError("the outcomes are not those of the factors")
        if header.formula is None:
            model = saved.specification(tuple(p.model for p in first))
        else:  # splines of several outcomes, whose factors differ in the formula alone
            model = replace(first[0].model, formula=header.formula)
        trials = header.trials
        return cls(
            model=model,
            spec=JointSides.of(outcomes, first),
            facts=header.facts,
            products=products,
            trials=None if trials is None else pd.DataFrame(vars(trials)),
        )


@dataclass(frozen=True)
class _Outcomes:
    outcomes: tuple[str, ...]


@dataclass(frozen=True)
class _Product:
    parts: tuple[Count, ...]
    weight: Positive


@dataclass(frozen=True)
class _Trials:
    order: list[str]
    leave_one_out: list[AnyFloat]
    weight: list[AnyFloat]

    def __post_init__(self) -> None:
        if not len(self.order) == len(self.leave_one_out) == len(self.weight):
            raise FileFormatError("the columns of the orders have different lengths")


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    spec: _Outcomes
    facts: JointFacts
    formula: str | None
    parts: tuple[FilePart, ...]
    products: tuple[_Product, ...]
    trials: _Trials | None


def _saved_product(written: _Product, parts: list[Any]) -> Product:
    if not written.parts or max(written.parts) >= len(parts):
        raise FileFormatError("an order names factors that are not there")
    return Product(tuple(parts[i] for i in written.parts), written.weight)


def _factors_section(parts: Sequence[Any]) -> Section:
    cells = []
    for p in parts:
        score = f"{p.leave_one_out:.4f}" if hasattr(p, "leave_one_out") else ""
        right = split_sides(p.spec.formula)[1].strip()
        cells.append((right, type(p.model).__name__, number(p.llf / p.nobs), score))
    columns = ("given", "estimator", "log-likelihood", "leave-one-out")
    names = tuple(p.spec.outcome.name for p in parts)
    return Section(columns, names, tuple(cells), "Factors, per row")


def _notes(f: JointFacts, products: int, single: bool, trials: pd.DataFrame | None) -> list[str]:
    what = "the product of the factors" if products == 1 else "a pool of products of factors"
    notes = [f"The density is {what}; each factor has its own summary in .parts."]
    if single:
        notes.append(f"Moments of the joint law are those of {DRAWS:,} draws.")
    notes += rows_dropped(f)
    if trials is not None:
        used = trials[trials["weight"] > 0]
        told = "; ".join(f"{o} ({w:.2f})" for o, w in zip(used["order"], used["weight"], strict=True))
        notes.append(
            f"{len(trials)} orders of the outcomes were fitted and pooled with the weights that "
            f"maximise the "
            f"leave-one-out log density: {told}. The factors shown are those of the first."
        )
    return notes + ([f.rival] if f.rival else [])
