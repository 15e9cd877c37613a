"""Laws of outcomes by transport: noise is mapped to outcomes at a small Wasserstein distance from the data.

On the line the best map is known, the quantile function of the sample, so nothing is trained unless a net is
asked for.  Given covariates a net gives the quantile function of every row, increasing in the noise; see
`flows.quantile_net`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Seed
from disteconometrics.checks import check_far
from disteconometrics.data.joint_design import JointSpec
from disteconometrics.distributions.functionals import listed
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.errors import DataError, FileFormatError, FormulaError, OptionError, OutcomeError
from disteconometrics.estimators.law_results import (
    law_section,
    law_title,
    law_values,
    standard_functionals,
    without_errors,
)
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.rows import JointFitRows
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.estimators.training_report import ENDED, history_from_file, history_to_file
from disteconometrics.estimators.transport.density_fit import (
    FRESH,
    Found,
    TrainingPlan,
    fit_noise_map,
    fit_quantile_net,
)
from disteconometrics.estimators.transport.density_maps import (
    ConditionalQuantiles,
    DensityMap,
    NetHeader,
    SampleQuantiles,
    TransportFacts,
    map_from_file,
)
from disteconometrics.fields import Numbers
from disteconometrics.flows.recipes import MLP
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import MOST_SPREADS, Adam, AdamW, Trainer
from disteconometrics.report.summary import rows_dropped
from disteconometrics.tables import Summary
from disteconometrics.transport.losses import Loss, Sinkhorn, Sliced, Sorted

__all__ = ["TransportDensity", "TransportDensityResults"]

FIRST = 100_000  # rows of a sampler by which outcomes are standardised, or that are the law on the line
LEAST = 10  # rows


@dataclass(frozen=True, kw_only=True)
class TransportDensity(Specification):
    """The law of outcomes, as noise mapped to outcomes at a small Wasserstein distance from the data.

    Parameters
    ----------
    formula : str
        ``"y ~ 1"``, ``"y1 + y2 ~ 1"``, or ``"y ~ x"`` for one outcome given covariates.
    map : "auto" or MLP
        "auto" is the quantile function of the sample for one outcome, ``MLP(64, 64, 64)`` for several, and
        ``MLP(32, 32, activation="silu")`` from covariates to quantile functions.
    loss : "auto", Sorted, Sliced or Sinkhorn
        What a net makes small; "auto" is ``Sorted()`` for one outcome and ``Sliced()`` for several, which are
        standardised. Given covariates it is the continuous ranked probability score, and nothing else.
    train : "auto", Adam or AdamW
        How a net is trained; "auto" is AdamW with a one-cycle rate.
    weights, weight_type : str or None
        Column of weights, and "frequency" or "sampling".  The quantile function weighs its rows; a net meets
        rows that are drawn in proportion to them at every step, and none is held out.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Villani (2009), Optimal Transport: Old and New, Springer, chapter 2.
    Bernton, Jacob, Gerber, Robert (2019), On parameter estimation with the Wasserstein distance, Information
    and Inference 8, doi:10.1093/imaiai/iaz003.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = TransportDensity("foodexp ~ 1").fit(de.datasets.engel())
    >>> res.distribution().quantile([0.1, 0.5, 0.9]).round(0)
    array([348., 583., 935.])
    """

    map: str | MLP = "auto"
    loss: str | Loss = "auto"
    train: str | Trainer = "auto"
    weights: str | None = None
    weight_type: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the choices.

        Raises
        ------
        OptionError
        """
        if self.map != "auto" and not isinstance(self.map, MLP):
            raise OptionError(f"map={self.map!r} is not known; use 'auto' or de.MLP(32, 32).")
        if self.loss != "auto" and not isinstance(self.loss, (Sorted, Sliced, Sinkhorn)):
            raise OptionError(
                f"loss={self.loss!r} is not known; use 'auto', de.Sorted(), de.Sliced() or "
                "de.Sinkhorn(blur=…)."
            )
        if self.train != "auto" and not isinstance(self.train, (Adam, AdamW)):
            raise OptionError(
                f"train={self.train!r}: use 'auto', de.Adam(…) or de.AdamW(…), as every step draws fresh "
                "noise."
            )
        if self.weights is not None and isinstance(self.train, Trainer) and self.train.validation:
            raise OptionError("Rows drawn in proportion to weights leave none for validation: train without.")
        check_columns(weights=self.weights, weight_type=self.weight_type)
        return {}

    def fit(self, data: Any, *, seed: Seed = None) -> TransportDensityResults:
        """Find the map.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length; also a sampler or data-generating
            process, called as ``data(rng, n=512)``, which gives fresh rows at every step.
        seed : int, Generator or None, of first parameters, noise and batches; None draws one and keeps it.

        Returns
        -------
        TransportDensityResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError

        Warns
        -----
        ConvergenceWarning
        """
        streams = seed_sequence(seed)
        start, order, draws = (int(s) for s in streams.generate_state(3))
        rng = np.random.default_rng(draws)
        fresh = callable(data) and not hasattr(data, "columns")
        if fresh and self.weights is not None:
            raise OptionError("A sampler draws rows as often as they should be: leave weights out.")
        rows = JointFitRows.read(self, data(rng, n=FIRST) if fresh else data)
        _check(self, rows, fresh)
        found = self._find(rows, data if fresh else None, rng, start, order)
        facts = TransportFacts(
            **rows.facts(),
            observations=rows.observations,
            outcomes=rows.spec.outcomes,
            seed=streams.entropy if isinstance(streams.entropy, int) else None,
            **found.facts,
        )
        return TransportDensityResults(
            model=self, spec=rows.spec, facts=facts, rows=rows, map=found.map, history=found.history
        )

    def _find(
        self, rows: JointFitRows, sampler: Any, rng: np.random.Generator, start: int, order: int
    ) -> Found:
        """A net given covariates, the quantile function of the sample, or a net of noise."""
        if rows.covariates.shape[1]:
            plan = self._plan(_default_quantile_plan(rows.size, start, order))
            return fit_quantile_net(rows.Y[:, 0], rows.covariates, rows.weights, plan)
        if not self.trains(rows):
            return Found(SampleQuantiles(rows.Y[:, 0], rows.weights), {}, pd.DataFrame())
        plan = self._plan(_default_noise_plan(rows.Y.shape[1], start, order))
        blocks = _blocks(rows, sampler, rng, plan.trainer.batch or FRESH)
        return fit_noise_map(rows.Y, rows.weights, blocks, plan)

    def trains(self, rows: JointFitRows) -> bool:
        """Whether a net is trained: the quantile function of one outcome's sample needs none."""
        return self.map != "auto" or rows.covariates.shape[1] > 0 or rows.Y.shape[1] > 1

    def _plan(self, default: TrainingPlan) -> TrainingPlan:
        """The choices made, and those of a plan where they are left open."""
        return default._replace(
            recipe=self.map if isinstance(self.map, MLP) else default.recipe,
            loss=self.loss if isinstance(self.loss, Loss) else default.loss,
            trainer=self.train if isinstance(self.train, Trainer) else default.trainer,
        )


def _default_quantile_plan(n: int, start: int, order: int) -> TrainingPlan:
    size = min(256, max(16, n // 4))
    how = AdamW(lr=2e-3, steps=1_000, batch=size, validation=0.2, patience=200)
    return TrainingPlan(MLP(32, 32, activation="silu"), Sorted(), how, start, order)


def _default_noise_plan(d: int, start: int, order: int) -> TrainingPlan:
    how = AdamW(lr=3e-3, steps=2_000, batch=FRESH, weight_decay=0.0)
    return TrainingPlan(MLP(64, 64, 64), Sorted() if d == 1 else Sliced(), how, start, order)


def _check(model: TransportDensity, rows: JointFitRows, fresh: bool) -> None:
    """Refuse what no map is found for."""
    if rows.covariates.shape[1]:
        _check_conditional(model, rows.Y.shape[1], fresh)
    if rows.size < LEAST:
        raise DataError(f"{rows.size} rows are too few for a law; at least {LEAST} are needed.")
    if rows.Y.shape[1] > 1 and isinstance(model.loss, Sorted):
        raise OptionError(
            "Sorted() matches samples on the line; for several outcomes use de.Sliced() or "
            "de.Sinkhorn(blur=…)."
        )
    for name, column in zip(rows.spec.outcomes, rows.Y.T, strict=True):
        if not float(np.ptp(column)) > 0:
            raise OutcomeError(f"The outcome {name!r} has no variation; its law is a point.")
    if model.trains(rows):
        names = [*rows.spec.outcomes, *rows.spec.names]
        check_far(np.column_stack([rows.Y, rows.X]), names, MOST_SPREADS)


def _check_conditional(model: TransportDensity, outcomes: int, fresh: bool) -> None:
    if outcomes > 1:
        raise FormulaError(
            f"{model.formula!r}: several outcomes have no quantile function to give from covariates; "
            f"take them one by one, "
            "or use de.FlowDensity."
        )
    if model.loss != "auto":
        raise OptionError(
            "Given covariates there is one outcome a row, which the ranked probability score needs: "
            "leave loss out."
        )
    if fresh:
        raise OptionError("Given covariates rows are needed, not a sampler: draw a table first.")


def _blocks(rows: JointFitRows, sampler: Any, rng: np.random.Generator, size: int) -> Iterator[Array] | None:
    """Fresh rows of a sampler, or rows drawn in proportion to their weights; None where there is neither."""
    if sampler is not None:
        return (rows.spec.outcome_values(sampler(rng, n=size)).reshape(size, -1) for _ in repeat(None))
    if rows.weights is None:
        return None
    shares = rows.weights / rows.weights.sum()
    return (rows.Y[rng.choice(rows.size, size=size, p=shares)] for _ in repeat(None))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TransportDensityResults(FittedResult):
    """A law by transport: draws, distribution function, quantiles, functionals.

    ``map`` is how it is known, ``history`` how a net was trained; ``facts`` say how near it comes to data.

    Examples
    --------
    >>> import disteconometrics as de
    >>> how = de.Adam(lr=0.01, steps=100, batch=128)
    >>> model = de.TransportDensity("income + foodexp ~ 1", map=de.MLP(16), train=how)
    >>> res = model.fit(de.datasets.engel(), seed=0)
    >>> res.distribution().sample(5, seed=1).shape, len(res.history)
    ((5, 2), 100)
    """

    model: TransportDensity
    spec: JointSpec
    facts: TransportFacts
    rows: JointFitRows | None = field(default=None, repr=False)
    map: DensityMap
    history: pd.DataFrame

    pictures: ClassVar[tuple[str, ...]] = ("learned", "loss")
    loss_label: ClassVar[str] = "transport loss"
    lost_rows: ClassVar[str] = (
        "This result was loaded from a file, which holds no rows: use attach(data) with the fit's table, or "
        "give a table with the covariates."
    )

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcomes, and the functionals of the table."""
        return " + ".join(self.facts.outcomes), standard_functionals(self.facts.outcomes)

    @cached_property
    def estimates(self) -> Estimates:
        """Functionals of the law averaged over the rows, moments of joint outcomes; no standard errors."""
        return self._titled(law_values(self._law, standard_functionals(self.facts.outcomes)))

    def _titled(self, named: Mapping[str, float]) -> Estimates:
        return without_errors(named, law_title(self.labels()[0], "sample" if self.given else None))

    def functionals(self, names: Any = None) -> Estimates:
        """Functionals of the law averaged over the rows of the fit, without standard errors.

        Parameters
        ----------
        names : one or several names that laws know, or functions of a law; None for those of the summary.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError
        """
        return self.estimates if names is None else self._titled(law_values(self._law, listed(names)))

    @property
    def given(self) -> bool:
        """Whether the law is one of every row, given covariates."""
        return isinstance(self.map, ConditionalQuantiles)

    @cached_property
    def _law(self) -> Law | JointLaw:
        return self.map.law(self.facts.outcomes)

    def distribution(self, new: Any = None) -> Law | JointLaw:
        """The law, which has draws, a distribution function and quantiles, but no density.

        Parameters
        ----------
        new : table with the covariates, if there are any, for a law of each of its rows; None for the rows of
            the fit.

        Returns
        -------
        Law or JointLaw

        Raises
        ------
        MissingColumnError, NeedsData
        """
        if not isinstance(self.map, ConditionalQuantiles):
            return self._law
        if new is None:
            X = self.data_rows().covariates
        else:
            X = self.spec.without_constant(self.spec.matrix(new).X)
        return self.map.given(X, self.facts.outcomes[0])

    def fit_again(self, data: Any) -> TransportDensityResults:
        """The same map on the rows of ``data``; its functionals show whether they are those of the fit."""
        rows = JointFitRows.read(self.model, data)
        facts = replace(self.facts, **rows.facts(), observations=rows.observations)
        return replace(self, rows=rows, facts=facts, map=self.map.on(rows))

    def solution(self) -> Array:
        """The functionals, and the number of rows."""
        return np.append(self.estimates.values, self.facts.rows)

    def _refitting(self) -> Refitting:
        raise OptionError(
            "A law by transport comes without standard errors, so there is nothing to check; study its "
            "functionals with de.MonteCarlo and a process whose law is known."
        )

    def plot_history(self, **options: Any) -> Any:
        """Draw the loss along the steps; see `plots.loss`."""
        return self.plot("loss", **options)

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        f, found, names = self.facts, self.map, ", ".join(self.facts.outcomes)
        count = f"{f.fresh} fresh a step" if f.fresh else f"{f.observations:.0f} ({f.given - f.rows} dropped)"
        left = [("Outcome" if len(f.outcomes) == 1 else "Outcomes", names), ("Map", found.words)]
        right, notes = [("Observations", count), ("Seed", "no random numbers")], [*found.notes(f)]
        if f.trained:
            left.append(("Loss", f.loss))
            right[1:] = ("Seed", "spawned" if f.seed is None else str(f.seed)), ("Steps", f"{f.steps}")
            notes.insert(0, f"Trained by {f.trainer}: {ENDED[f.ended]}. {f.parameters} parameters.")
        notes.append("No standard errors. The law has no density: use de.FlowDensity for one.")
        if self.model.weights is not None:
            notes.append(f"Weights: {self.model.weights} ({self.model.weight_type}).{found.weighting}")
        notes += rows_dropped(f)
        sections = (law_section(self.estimates, f"Law of {names}"), *found.sections(f))
        return Summary("Transport Density Results", (tuple(left), tuple(right)), sections, tuple(notes))

    # ---- files ---------------------------------------------------------------------------------------------

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Formula and weights, history, and the map: of a quantile function values, of a net parameters."""
        m = self.model
        header, arrays = self.map.to_file()
        header |= {
            "formula": m.formula,
            "weights": [m.weights, m.weight_type],
            "history": list(self.history.columns),
        }
        return header, {"history": history_to_file(self.history), **arrays}

    @classmethod
    def from_file(cls, saved: SavedResult) -> TransportDensityResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        spec, (weights, weight_type) = header.spec, header.weights
        covariates = sum(name != "Intercept" for name in spec.names)
        found = map_from_file(header.net, saved, len(spec.outcomes), covariates)
        (history,) = saved.numbers({"history": Numbers("n m", "any")}, m=len(header.history) + 1).values()
        facts = TransportFacts.from_dict(_current_facts(header.facts, found))
        if facts.outcomes != spec.outcomes or facts.trained != (header.net is not None):
            raise FileFormatError("the facts are not those of the map")
        return cls(
            model=saved.specification(
                header.formula,
                map="auto" if isinstance(found, SampleQuantiles) else found.net.recipe,
                weights=weights,
                weight_type=weight_type,
            ),
            spec=spec,
            facts=facts,
            map=found,
            history=history_from_file(header.history, history),
        )


@dataclass(frozen=True)
class _Header:
    """The header of a file; 0.1.0 wrote facts under other names."""

    spec: JointSpec
    facts: dict[str, Any]
    formula: str
    weights: tuple[str | None, str | None]
    history: tuple[str, ...]
    net: NetHeader | None = None


def _current_facts(facts: dict[str, Any], found: DensityMap) -> dict[str, Any]:
    """The facts of a file under the names of this version: files of 0.1.0 name distances and scores alike."""
    scores = isinstance(found, ConditionalQuantiles)
    renamed = {
        "distance": "crps" if scores else "w2_of_draws",
        "floor": "crps_without_covariates" if scores else "w2_of_training",
        "nearest": "nearest_ratio",
    }
    return {renamed.get(name, name): value for name, value in facts.items() if name != "functionals"}
