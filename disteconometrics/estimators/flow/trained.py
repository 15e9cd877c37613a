"""The result of a flow by name, trained by stochastic gradients: laws, history, resampling spread, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Seed
from disteconometrics.checks import whole
from disteconometrics.data.joint_design import JointSpec
from disteconometrics.distributions.families import Normal
from disteconometrics.distributions.flow_law import FlowJointLaw, FlowLaw
from disteconometrics.distributions.functionals import listed
from disteconometrics.distributions.joint import DRAWS, JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.mixture import Mixture
from disteconometrics.distributions.support import Support
from disteconometrics.errors import DataError, FileFormatError, NeedsData, OptionError, WithheldError
from disteconometrics.estimators.flow import spread
from disteconometrics.estimators.flow.held_out import FlowDiagnosis, HeldOut, diagnose
from disteconometrics.estimators.flow.row_checks import check_support
from disteconometrics.estimators.flow.trained_fit import TrainedFacts, Training, train_on_rows
from disteconometrics.estimators.law_results import (
    law_section,
    law_title,
    law_values,
    standard_functionals,
    without_errors,
)
from disteconometrics.estimators.refit import AVERAGED, ONE_OUTCOME, refitting
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.rows import FitRows, JointFitRows
from disteconometrics.estimators.streamed_rows import AVERAGED as MOST_ROWS
from disteconometrics.estimators.streamed_rows import StreamedRows, open_rows
from disteconometrics.estimators.training_report import (
    ENDED,
    describe_trainer,
    has_converged,
    history_from_file,
    history_to_file,
)
from disteconometrics.fields import AnyFloat, Count, Numbers, read_dict
from disteconometrics.flows.fitted import FittedFlow, file_arrays
from disteconometrics.flows.recipes import RQS, AffineMap, Chain, Coupling, MixtureCDF, Planar
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.protocols import Refitting
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.optim.minibatch import LBFGS, Adam, AdamW, Trainer
from disteconometrics.report.summary import rows_dropped
from disteconometrics.tables import Summary, printable

__all__ = ["TrainedFlowResults", "describe", "fit_trained"]


REPLICATIONS = 100  # of a check by simulation, where none is asked for
TRAINERS = {how.__name__: how for how in (Adam, AdamW, LBFGS)}


def fit_trained(model: Any, data: Any, seed: Seed, n_jobs: int | None = None) -> TrainedFlowResults:
    """Train the flow that a specification names.

    Parameters
    ----------
    model : FlowDensity with a flow by name.
    data : table, source, or a sampler.
    seed : of first parameters and batches.
    n_jobs : joblib workers that read the parts of a source.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, NeedsRows

    Warns
    -----
    ConvergenceWarning, DiscreteOutcomeWarning

    Examples
    --------
    >>> import disteconometrics as de
    >>> fit_trained(de.FlowDensity("foodexp ~ 1", flow=de.AffineMap()), de.datasets.engel(), 0).nobs
    235.0
    """
    fit = train_on_rows(model, data, seed, n_jobs)
    return TrainedFlowResults(model=model, spec=fit.rows.spec, **fit._asdict())


def _scalar_law(flow: FittedFlow, X: Array, domain: Support, single: bool) -> Law:
    """The law of one outcome; where the flow is one, a mixture of normals, whose moments are exact."""
    parts = flow.normal_parts(X) if domain.kind == "line" and not np.isnan(X).any() else None
    if parts is None:
        return FlowLaw(flow, X, domain, single)
    mean, scale, weights = (np.ascontiguousarray(a[0] if single else a) for a in parts)
    return Mixture(tuple(Normal(mean[..., k], scale[..., k]) for k in range(mean.shape[-1])), weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedFlowResults(FittedResult):
    """A trained flow: its law for one outcome or several, the history of the training, kept states, summary.

    ``history`` has the loss and the validation loss (per observation, in the outcomes' units), the learning
    rate and the seconds of every step.  The functionals have no standard errors: `bootstrap` shows how they
    move when rows are drawn again.

    Examples
    --------
    >>> import disteconometrics as de
    >>> how = de.Adam(lr=0.02, steps=60, snapshots=(20,))
    >>> model = de.FlowDensity("log(foodexp) ~ 1", flow=de.RQS(bins=6), train=how)
    >>> res = model.fit(de.datasets.engel(), seed=0)
    >>> bool(res.history["loss"].iloc[-1] < res.history["loss"].iloc[0]), res.at_step(20).llf < res.llf
    (True, True)
    """

    facts: TrainedFacts
    rows: JointFitRows | StreamedRows | None = field(default=None, repr=False)
    flow: FittedFlow
    history: pd.DataFrame
    kept: dict[int, FittedFlow]

    pictures: ClassVar[tuple[str, ...]] = ("trained", "loss")
    loss_label: ClassVar[str] = "loss per observation"
    lost_rows: ClassVar[str] = (
        "This result was loaded from a file, which holds no rows: give rows as new=, or use attach(data) "
        "with the fit's table."
    )

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcomes, and the functionals of the summary."""
        outcomes = self.facts.outcomes
        return " + ".join(outcomes), list(self.facts.functionals or standard_functionals(outcomes))

    def solution(self) -> Array:
        """The parameters of the flow, one after the other."""
        return np.concatenate([np.zeros(0), *(v.ravel() for v in self.flow.parameters.values())])

    def fit_again(self, data: Any) -> TrainedFlowResults:
        """The same flow with the rows of ``data``: only the log-likelihood is computed anew.

        Raises
        ------
        DataError, MissingColumnError, NeedsData
        """
        if self.facts.fresh:
            raise NeedsData("The flow was trained on fresh rows of a sampler: no table holds them.")
        rows = open_rows(self.model, data)
        if rows.spec.names != self.spec.names:
            raise DataError("data= does not hold the rows of the fit: the columns there are others.")
        if isinstance(rows, JointFitRows):
            for name, y in zip(self.facts.outcomes, rows.Y.T, strict=True):
                check_support(y, self.model.domain, name)
        loglik = Training.of(self.model).loglik(self.flow, rows)
        return replace(self, rows=rows, facts=replace(self.facts, loglik=loglik))

    # ---- laws ----------------------------------------------------------------------------------------------

    def distribution(self, new: Any = None) -> Law | JointLaw:
        """The law of the outcome for every row of ``new`` (None: rows of the fit); a single law for ``~ 1``.

        Parameters
        ----------
        new : table with the columns of the right side, or None.

        Returns
        -------
        Law of one outcome, JointLaw of several

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        if not self.flow.covariates:
            return self._law(self.flow)
        if new is None:
            return self._law(self.flow, self.data_rows().covariates)
        return self._law(self.flow, self.spec.without_constant(self.spec.matrix(new).X))

    def _law(self, flow: FittedFlow, X: Array | None = None) -> Law | JointLaw:
        """Laws of rows with covariates X (n, c) under a flow of this shape; None: a single one."""
        single = X is None
        X = np.zeros((1, 0)) if X is None else X
        if flow.outcomes > 1:
            return FlowJointLaw(flow, self.facts.outcomes, X, single)
        return _scalar_law(flow, X, self.model.domain, single).named(self.facts.outcomes[0])

    def average_law(self, flow: FittedFlow | None = None) -> Law | JointLaw:
        """The law of a row of the fit drawn at random; of many rows, that of every k-th.

        Parameters
        ----------
        flow : a flow of the same shape in place of the result's own, or None.

        Raises
        ------
        NeedsData
        """
        flow = self.flow if flow is None else flow
        if not flow.covariates:
            return self._law(flow)
        X, w = self.data_rows().some_covariates(MOST_ROWS)
        law = self._law(flow, X)
        return law if isinstance(law, JointLaw) else law.average(w)

    def at_step(self, step: int) -> TrainedFlowResults:
        """The result as it was after a step that ``snapshots`` kept.

        Raises
        ------
        OptionError
            If it was not kept.
        """
        if step not in self.kept:
            named = ", ".join(map(str, self.kept)) or "none"
            raise OptionError(
                f"Step {step!r} was not kept; kept are {named}. Ask for it in the trainer: "
                f"snapshots=({step},)."
            )
        flow, loglik = self.kept[step], float("nan")
        if self.rows is not None:
            loglik = Training.of(self.model).loglik(flow, self.rows)
        facts = replace(self.facts, loglik=loglik, best=step, ended="snapshot", functionals={})
        return replace(self, flow=flow, facts=facts)

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def converged(self) -> bool | None:
        """Whether training has settled: the gradient vanished, or the last fifth of the steps gained nothing.

        Rows held out decide if there are any.  None where all steps were done and it has not, or they were
        fewer than 50; False of a state on the way, and of a training that was interrupted or lost.
        """
        return has_converged(self.facts.ended) if np.isfinite(self.facts.loglik) else False

    @property
    def llf(self) -> float:
        """Log-likelihood of the rows of the fit, summed."""
        return self.facts.loglik

    @property
    def training(self) -> Training:
        """How the flow was trained, as its specification says.

        Raises
        ------
        OptionError
            If the file that the result was loaded from does not say.
        """
        read = Training.of(self.model)
        in_parts = bool(self.facts.readings)
        how = read.how(self.facts.rows, self.flow.outcomes, self.flow.covariates, in_parts=in_parts)
        if describe_trainer(how) != self.facts.trainer:
            raise OptionError(
                f"The file was written by 0.1.0, which did not keep the trainer ({self.facts.trainer}): fit "
                "again to train anew."
            )
        return replace(read, trainer=how)

    # ---- functionals ---------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates:
        """Functionals of the law averaged over the rows, of joint outcomes moments, without errors."""
        return self._titled(self.facts.functionals or self._values(self.flow, self.labels()[1]))

    def _titled(self, named: Mapping[str, float]) -> Estimates:
        title = law_title(self.labels()[0], "sample" if self.flow.covariates else None)
        return without_errors(named, title)

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
        OptionError, NeedsData
        """
        return self.estimates if names is None else self._titled(self._values(self.flow, listed(names)))

    def _values(self, flow: FittedFlow, names: Sequence[Any], draws: int = DRAWS) -> dict[str, float]:
        return law_values(self.average_law(flow), names, draws)

    def bootstrap(self, reps: int = 50, names: Any = None, *, seed: Seed = None) -> spread.ResamplingSpread:
        """Show how functionals move when rows are weighted anew; all draws are trained at once, from the fit.

        Parameters
        ----------
        reps : int, draws of exponential weights.
        names : as in `functionals`; None for those of the summary.
        seed : of the weights.

        Returns
        -------
        ResamplingSpread

        Raises
        ------
        OptionError, NeedsData
        """
        given = standard_functionals(self.facts.outcomes) if names is None else listed(names)
        whole(reps, "reps", 2)
        if self.model.weight_type == "frequency":
            raise OptionError(
                "Frequency weights stand for several rows, each drawn apart: repeat the rows first."
            )
        rows, training = self.data_rows(), self.training
        how = training.how(rows.size, self.flow.outcomes, self.flow.covariates)

        def values(flow: FittedFlow) -> dict[str, float]:
            return self._values(flow, given, spread.DRAWS)

        data, _ = training.on_line(rows)
        return spread.resampling_spread(self.flow, data, how, self.facts.best, values, reps, seed)

    def diagnose(self, folds: int = 5, *, seed: Seed = None) -> FlowDiagnosis:
        """Probability transforms and scores of rows that the flow has not seen, trained anew fold by fold.

        Transforms of joint outcomes are the coordinates of the noise, which are uniform and independent under
        a right flow.

        Parameters
        ----------
        folds : int.
        seed : of the division into folds and of the trainings.

        Returns
        -------
        FlowDiagnosis

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        if self.facts.fresh:
            raise WithheldError(
                "A sampler gives as many rows unseen as you like: score those with "
                "res.distribution().logpdf(…)."
            )
        rows, training = self.data_rows(), self.training

        def held_out(train: Indices, test: Indices, seed: int) -> HeldOut:
            flow, Y = training.refitted(rows, train, seed), rows.Y[test]
            law = self._law(flow, rows.covariates[test] if flow.covariates else None)
            if isinstance(law, FlowJointLaw):
                return HeldOut(BASES[flow.base].cdf(law.noise(Y)), law.logpdf(Y), None)
            assert isinstance(law, Law)
            return HeldOut.of(law, Y[:, 0])

        return diagnose(rows.size, self.model.weight_type == "frequency", folds, seed, held_out)

    def _refitting(self) -> Refitting:
        if self.flow.outcomes > 1:
            raise OptionError(ONE_OUTCOME)
        if self.facts.fresh:
            raise WithheldError(
                "The flow was trained on fresh rows of a sampler: study that with de.MonteCarlo."
            )
        rows = self.data_rows()
        how = self.training.how(rows.size, 1, self.flow.covariates)
        return refitting(
            replace(self.model, train=replace(how, snapshots=(), callback=None)),
            FitRows(rows.design.first),
            "nonrobust",
            outcome=rows.Y[:, 0],
            law=self._law(self.flow, rows.covariates),
            truth=self.params.to_dict(),
            options={},
            fitted_only=AVERAGED if self.spec.variables else "",
            reps=REPLICATIONS,
        )

    def plot_history(self, **options: Any) -> Any:
        """Draw the loss along the steps; see `plots.loss`."""
        return self.plot("loss", **options)

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        return _summary(self)

    def __repr__(self) -> str:
        return printable(
            f"<FlowDensity results: {self.spec.formula}, {self.model.flow}, n = {self.nobs:g}, llf = "
            f"{self.llf:.3f}>"
        )

    @property
    def file_kind(self) -> str:
        """The kind of its files, which are not those of splines."""
        return "TrainedFlow"

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, flow, functionals, the states kept, and the history."""
        flow, arrays = self.flow.to_parts()
        header = {
            "formula": self.model.formula,
            "support": self.model.support,
            "weights": [self.model.weights, self.model.weight_type],
            "base": self.model.base,
            "train": _trainer_to_file(self.model.train),
            "facts": asdict(
                replace(self.facts, functionals=self.params.to_dict(), fingerprint=self.fingerprint())
            ),
            "flow": flow,
            "kept": list(self.kept),
            "history": list(self.history.columns),
        }
        arrays["history"] = history_to_file(self.history)
        for step, state in self.kept.items():
            arrays |= {f"kept{step}_{k}": v for k, v in state.parameters.items()}
        return header, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> TrainedFlowResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        spec, facts = header.spec, header.facts
        d, c = len(spec.outcomes), sum(name != "Intercept" for name in spec.names)
        flow = FittedFlow.from_parts(header.flow, saved.numbers(file_arrays(saved.arrays), d=d, c=c))
        if facts.outcomes != spec.outcomes:
            raise FileFormatError("the outcomes are not those of the flow")
        (history,) = saved.numbers({"history": Numbers("n m", "any")}, m=len(header.history) + 1).values()
        weights, weight_type = header.weights
        model = saved.specification(
            header.formula,
            flow=flow.chain.maps[0] if len(flow.chain.maps) == 1 else flow.chain,
            base=header.base,
            support=header.support,
            weights=weights,
            weight_type=weight_type,
            train=_trainer_from_file(header.train),
        )
        return cls(
            model=model,
            spec=spec,
            facts=facts,
            flow=flow,
            history=history_from_file(header.history, history),
            kept={step: _kept(flow, saved, f"kept{step}_") for step in header.kept},
        )


@dataclass(frozen=True)
class _Header:
    """The header of a file; those of 0.1.0 do not have the trainer."""

    spec: JointSpec
    facts: TrainedFacts
    formula: str
    support: tuple[AnyFloat, AnyFloat] | None
    weights: tuple[str | None, str | None]
    base: str
    flow: dict[str, Any]
    kept: tuple[Count, ...]
    history: tuple[str, ...]
    train: dict[str, Any] | None = None


def _kept(flow: FittedFlow, saved: SavedResult, start: str) -> FittedFlow:
    """A flow with the parameters that a file holds under names with this beginning."""
    table = {start + name: Numbers("...") for name in flow.parameters}
    state = replace(flow, parameters={k.removeprefix(start): v for k, v in saved.numbers(table).items()})
    state.check()
    return state


def _trainer_to_file(how: str | Trainer) -> dict[str, Any] | None:
    """A trainer in JSON, its callback apart; None for "auto"."""
    if not isinstance(how, Trainer):
        return None
    named = {f.name: getattr(how, f.name) for f in fields(how) if f.name != "callback"}
    return {"kind": type(how).__name__, **named}


def _trainer_from_file(written: dict[str, Any] | None) -> str | Trainer:
    if written is None:
        return "auto"
    how = TRAINERS.get(str(written.get("kind")))
    if how is None:
        raise FileFormatError("the trainer is not known")
    own = {k: v for k, v in written.items() if k != "kind"}
    return how(**read_dict(how, own, "train", ["callback"], bounded=False))


def describe(chain: Chain, d: int) -> str:
    """A flow in a few words.

    Examples
    --------
    >>> from disteconometrics import RQS
    >>> from disteconometrics.flows.recipes import chain_of
    >>> describe(chain_of(RQS(bins=8)), 1)
    'rational-quadratic spline, 8 bins'
    """

    def one(m: Any) -> str:
        if isinstance(m, AffineMap):
            return "affine map" if m.scale == "constant" else "location-scale layer"
        if isinstance(m, RQS):
            return f"rational-quadratic spline, {m.bins} bins"
        if isinstance(m, MixtureCDF):
            return f"normal mixture, {m.components} components"
        if isinstance(m, Planar):
            return f"planar, {m.layers} layers"
        inner = "affine" if isinstance(m.of, AffineMap) else one(m.of)
        kind = "coupling" if isinstance(m, Coupling) else "autoregressive"
        return f"{m.layers} {kind} layer{'s' * (m.layers != 1)} ({inner})"

    return ", then ".join(one(m) for m in chain.maps)


def _summary(r: TrainedFlowResults) -> Summary:
    f, e = r.facts, r.estimates
    rows = f.rows if r.model.weight_type != "frequency" else f.observations
    count = f"{f.fresh} fresh a step" if f.fresh else f"{f.observations:.0f} ({f.given - f.rows} dropped)"
    left = (
        ("Outcome" if len(f.outcomes) == 1 else "Outcomes", ", ".join(f.outcomes)),
        ("Base", f"{r.flow.base}{' (chosen)' if r.model.base == 'auto' else ''}"),
        ("Parameters", f"{f.parameters}"),
        ("Steps", f"{f.best} of {f.steps}" if f.best != f.steps else f"{f.steps}"),
    )
    right = (
        ("Observations", count),
        ("Log-likelihood per row", f"{f.loglik / rows:.4f}"),
        ("Held out, per row", f"{-f.validation:.4f}" if np.isfinite(f.validation) else "none held out"),
        ("Seed", "spawned" if f.seed is None else str(f.seed)),
    )
    averaged = ", averaged over the sample" if r.flow.covariates else ""
    table = law_section(e, f"Law of {', '.join(f.outcomes)}{averaged}")
    return Summary("Flow Density Results", (left, right), (table,), tuple(_notes(r)))


def _notes(r: TrainedFlowResults) -> Sequence[str]:
    f = r.facts
    notes = [
        f"Flow: {describe(r.flow.chain, r.flow.outcomes)}. Trained by {f.trainer}: {ENDED[f.ended]}"
        + (f", {f.skipped} steps without a finite loss left out." if f.skipped else ".")
    ]
    if f.readings:
        times = "once" if f.readings == 1 else f"{f.readings} times"
        notes.append(f"The source was read {times}; no rows are kept but {MOST_ROWS:,} to average over.")
    if len(f.outcomes) > 1:
        notes.append(f"Moments are those of {DRAWS:,} draws of the fitted law.")
    notes.append(
        "No standard errors: nets have none that a study supports; bootstrap() shows the resampling spread."
    )
    if r.model.weights is not None:
        notes.append(f"Weights: {r.model.weights} ({r.model.weight_type}).")
    notes += rows_dropped(f)
    return [*notes, *f.shared]
