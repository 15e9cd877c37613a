"""Flows by name, trained by stochastic gradients: what `FlowDensity` does when its flow is a recipe, and the result.

One code for one outcome and several, with covariates and without: rows are standardised, the module is built
from the recipe, trained, and kept as a flow of numpy functions, of which laws are made.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.joint_design import JointDesign, JointSpec, build_joint
from disteconometrics.distributions.families import Normal
from disteconometrics.distributions.flow_law import FlowJointLaw, FlowLaw
from disteconometrics.distributions.functionals import listed
from disteconometrics.distributions.joint import DRAWS, JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.mixture import Mixture
from disteconometrics.distributions.support import Support
from disteconometrics.errors import DataError, NeedsData, OptionError, OutcomeError, WithheldError
from disteconometrics.estimators.flow.flow_density import FlowDensity
from disteconometrics.estimators.flow.held_out import FlowDiagnosis, HeldOut, diagnose
from disteconometrics.estimators.flow.refit import refitting_trained
from disteconometrics.estimators.flow.row_checks import (
    check_columns,
    check_rows,
    check_support,
    ties,
    warn_ties,
)
from disteconometrics.estimators.flow.spread import ResamplingSpread, resampling_spread
from disteconometrics.estimators.flow.training import ENDED, trainer_words, warn_of_training
from disteconometrics.estimators.law_results import LawWithoutErrors
from disteconometrics.flows.fitted import FittedFlow
from disteconometrics.flows.recipes import (
    RQS,
    AffineMap,
    Autoregressive,
    Chain,
    Coupling,
    MixtureCDF,
    Planar,
    chain_of,
    is_mixture,
)
from disteconometrics.flows.training import Rows, train_flow
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.optim.minibatch import LBFGS, AdamW, Trainer
from disteconometrics.report.archive import write_archive
from disteconometrics.report.summary import Section, Summary, number, rows_dropped
from disteconometrics.simulate.self_check import SelfCheck, self_check

__all__ = ["TrainedFacts", "TrainedFlowResults", "fit_trained", "restore_trained"]

Array = NDArray[np.float64]

FRESH = 512  # rows in a step from a sampler
FIRST = 10_000  # rows of a sampler by which outcomes are standardised and the fit is described
AHEAD = 8_192  # rows of a sampler drawn at once
MANY = 4_000  # rows above which "auto" trains in batches
MOST_ROWS = 2_000  # whose laws are averaged in a summary


@dataclass(frozen=True)
class TrainedFacts:
    """Numbers of a training that need no rows; log-likelihoods are sums over observations, in the outcomes' units."""

    outcomes: tuple[str, ...]
    observations: float
    rows: int
    given: int
    dropped: dict[str, int]
    zero_weight: int
    loglik: float
    parameters: int
    trainer: str
    ended: str
    best: int
    steps: int
    skipped: int
    validation: float
    seconds: float
    seed: int | None
    fresh: int = 0
    shared: tuple[str, ...] = ()
    functionals: dict[str, float] = field(default_factory=dict)


def _auto(chain: Chain, n: int, nets: bool) -> Trainer:
    """The trainer of ``train="auto"``."""
    if all(isinstance(m, (AffineMap, Planar)) for m in chain.maps) and not nets:
        return LBFGS()
    if not nets:
        return AdamW(lr=0.02, steps=1_000, weight_decay=0.0)
    return AdamW(
        lr=5e-3,
        steps=1_500 if n <= MANY else 3_000,
        batch=256 if n <= MANY else 512,
        validation=0.2,
        patience=600,
    )


def _trainer(model: FlowDensity, n: int, d: int, c: int) -> Trainer:
    """The trainer of a specification on n rows of d outcomes and c covariates."""
    if isinstance(model.train, Trainer):
        return model.train
    chain = chain_of(model.flow)
    return _auto(chain, n, _uses_nets(chain, d, c))


def _uses_nets(chain: Chain, d: int, c: int) -> bool:
    """Whether a net moves parameters with something."""
    between = any(isinstance(m, (Autoregressive, Coupling)) for m in chain.maps) and d > 1
    return between or (c > 0 and any(getattr(m, "hidden", ()) for m in chain.maps))


def _check(model: FlowDensity, chain: Chain, d: int) -> None:
    if d == 1 and any(isinstance(m, Coupling) for m in chain.maps):
        raise OptionError(
            "Coupling maps one half of the outcomes given the other, and there is one outcome: use "
            "de.RQS(…), "
            "de.Autoregressive(…) or de.Planar(…)."
        )
    if d > 1 and model.support is not None:
        raise OptionError("support= is for one outcome; write log(y1) + log(y2) ~ 1 for positive ones.")


def _check_rows(model: FlowDensity, design: JointDesign) -> tuple[str, ...]:
    """Check rows, warn of shared values, and return what is told of them.

    Raises
    ------
    DataError, OutcomeError, CollinearityError, FormulaError
    """
    spec, Y = design.spec, design.Y
    told = []
    for j, name in enumerate(spec.outcomes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_rows(Y[:, j], design.covariates.shape[1], name)
        check_support(Y[:, j], model.domain, name)
        shared = ties(Y[:, j], design.weights if model.weight_type == "frequency" else None)
        if shared is not None:
            warn_ties(shared, name, float(len(Y)))
            told.append(shared.words(name, float(len(Y))))
    check_columns(design.X, Y[:, 0], spec.names, "Intercept" in spec.names)
    if Y.shape[1] > 1:
        Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
        if np.linalg.svd(Z, compute_uv=False)[-1] < 1e-8 * np.sqrt(len(Z)):
            raise OutcomeError(
                f"The outcomes {' and '.join(spec.outcomes)} are linearly dependent and have no joint "
                f"density: leave one out."
            )
    return tuple(told)


def _on_line(model: FlowDensity, design: JointDesign) -> tuple[Rows, float]:
    """Rows with their outcomes brought to the line, and the mean log slope of that map."""
    w = design.weights
    if w is not None and model.weight_type == "sampling":
        w = w / w.mean()
    slope = float(np.average(model.domain.log_slope(design.Y).sum(axis=1), weights=w))
    return Rows(np.asarray(model.domain.to_line(design.Y), dtype=np.float64), design.covariates, w), slope


def _standard(values: Array, weights: Array | None) -> tuple[Array, Array]:
    mean = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average(np.square(values - mean), axis=0, weights=weights))
    return mean, np.where(spread > 0, spread, 1.0)


def _blocks(
    model: FlowDensity, spec: JointSpec, sampler: Any, rng: np.random.Generator, size: int
) -> Iterator[Rows]:
    """Endless blocks of new rows, a whole number of steps each."""
    many = size * max(1, AHEAD // size)
    while True:
        table = sampler(rng, n=many)
        Y = spec.outcome_values(table).reshape(many, -1)
        yield Rows(model.domain.to_line(Y), spec.without_constant(spec.matrix(table).X))


def fit_trained(model: FlowDensity, data: Any, seed: int | np.random.Generator | None) -> TrainedFlowResults:
    """Train the flow that a specification names.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError

    Warns
    -----
    ConvergenceWarning, DiscreteOutcomeWarning
    """
    chain = chain_of(model.flow)
    streams = seed_sequence(seed)
    start, order, draws = (int(s) for s in streams.generate_state(3))
    fresh = callable(data) and not hasattr(data, "columns")
    rng = np.random.default_rng(draws)
    table = data(rng, n=FIRST) if fresh else data
    design = build_joint(model.formula, table, weights=model.weights, weight_type=model.weight_type)
    d = design.Y.shape[1]
    _check(model, chain, d)
    told = _check_rows(model, design)
    rows, slope = _on_line(model, design)
    c = rows.X.shape[1]
    how = _trainer(model, len(rows.Y), d, c)
    base = "logistic" if is_mixture(chain) else "normal"
    base = base if model.base == "auto" else model.base
    if fresh and (how.validation or isinstance(how, LBFGS)):
        raise OptionError(
            "A sampler gives fresh rows at every step: Adam or AdamW without validation is what trains "
            "on them."
        )
    size = how.batch or FRESH
    blocks = _blocks(model, design.spec, data, rng, size) if fresh else None
    begun = _begin(chain, base, rows, start)
    found, trained, kept, seconds = train_flow(begun, rows, how, order, blocks=blocks, size=size)
    shift = float(np.log(found.scale).sum()) - slope
    history = pd.DataFrame(trained.history).set_index("step")
    history[["loss", "validation"]] += shift
    warn_of_training(trained, how)
    counted = design.weights if model.weight_type == "frequency" else None
    facts = TrainedFacts(
        outcomes=design.spec.outcomes,
        observations=float(len(rows.Y) if counted is None else counted.sum()),
        rows=len(rows.Y),
        given=design.rows.given,
        dropped={**design.rows.missing, **design.rows.transformed},
        zero_weight=design.rows.zero_weight,
        loglik=_loglik(found, rows, slope),
        parameters=found.size,
        trainer=trainer_words(how),
        ended=trained.ended,
        best=trained.best,
        steps=trained.steps,
        skipped=len(trained.skipped),
        validation=float(history["validation"].min()) if how.validation else float("nan"),
        seconds=seconds,
        seed=streams.entropy if isinstance(streams.entropy, int) else None,
        fresh=size if fresh else 0,
        shared=told,
    )
    return TrainedFlowResults(model, design.spec, found, facts, history, kept, design)


def _begin(chain: Chain, base: str, rows: Rows, seed: int) -> FittedFlow:
    """The flow before its training, with rows standardised."""
    covariates = _standard(rows.X, rows.weights) if rows.X.shape[1] else (np.zeros(0), np.ones(0))
    return FittedFlow.begin(chain, base, *_standard(rows.Y, rows.weights), *covariates, seed)


def _scalar_law(flow: FittedFlow, X: Array, domain: Support, single: bool = False) -> Law:
    """The law of one outcome; a mixture of normals, whose moments and scores are exact, where the flow is one."""
    parts = flow.normal_parts(X) if domain.kind == "line" and not np.isnan(X).any() else None
    if parts is None:
        return FlowLaw(flow, X, domain, single)
    mean, scale, weights = (np.ascontiguousarray(a[0] if single else a) for a in parts)
    return Mixture(tuple(Normal(mean[..., k], scale[..., k]) for k in range(mean.shape[-1])), weights)


def _loglik(flow: FittedFlow, data: Rows, slope: float) -> float:
    contributions = flow.logpdf(data.Y, data.X if data.X.shape[1] else np.zeros((1, 0)))
    w = np.ones(len(data.Y)) if data.weights is None else data.weights
    return float(w @ contributions) + slope * float(w.sum())


@dataclass(frozen=True, eq=False)
class TrainedFlowResults(LawWithoutErrors):
    """A trained flow: its law for one outcome or several, the history of the training, kept states, summary.

    ``history`` has the loss and the validation loss (per observation, in the outcomes' units), the learning
    rate and the seconds of every step.  The functionals have no standard errors: `bootstrap` shows how they
    move when rows are drawn again.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.FlowDensity("log(foodexp) ~ 1", flow=de.RQS(bins=6), train=de.Adam(lr=0.02, steps=60, snapshots=(20,)))
    >>> res = model.fit(de.datasets.engel(), seed=0)
    >>> bool(res.history["loss"].iloc[-1] < res.history["loss"].iloc[0]), res.at_step(20).llf < res.llf
    (True, True)
    """

    model: FlowDensity
    spec: JointSpec
    flow: FittedFlow
    facts: TrainedFacts
    history: pd.DataFrame
    kept: dict[int, FittedFlow]
    rows: JointDesign | None

    loss_label: ClassVar[str] = "loss per observation"

    # ---- laws ----------------------------------------------------------------------------------------------

    def _covariates(self, new: Any) -> Array:
        if new is None:
            return self._need_rows().covariates
        return self.spec.without_constant(self.spec.matrix(new).X)

    def _need_rows(self) -> JointDesign:
        if self.rows is None:
            raise NeedsData(
                "This result was loaded from a file, which holds no rows: give them as new=, or fit again."
            )
        return self.rows

    def distribution(self, new: Any = None) -> Law | JointLaw:
        """The law of the outcome for every row of ``new`` (None: the rows of the fit); a single law for ``~ 1``.

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
        single = not self.flow.covariates
        return self._law(np.zeros((1, 0)) if single else self._covariates(new), single)

    def _law(self, X: Array, single: bool = False) -> Law | JointLaw:
        if self.flow.outcomes > 1:
            return FlowJointLaw(self.flow, self.facts.outcomes, X, single)
        return _scalar_law(self.flow, X, self.model.domain, single).named(self.facts.outcomes[0])

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
        flow = self.kept[step]
        loglik = float("nan")
        if self.rows is not None:
            loglik = _loglik(flow, *_on_line(self.model, self.rows))
        facts = replace(self.facts, loglik=loglik, best=step, ended="snapshot", functionals={})
        return replace(self, flow=flow, facts=facts)

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def converged(self) -> bool:
        """Whether training ended as it was told to: not interrupted, not lost."""
        return self.facts.ended not in ("interrupted", "lost")

    @property
    def nobs(self) -> float:
        """Observations: rows used, or the sum of frequency weights."""
        return self.facts.observations

    @property
    def llf(self) -> float:
        """Log-likelihood of the rows of the fit, summed."""
        return self.facts.loglik

    # ---- functionals ---------------------------------------------------------------------------------------

    def _whole_law(self) -> Law | JointLaw:
        """The law of a row drawn at random; of many rows, that of every k-th."""
        if not self.flow.covariates:
            return self.distribution()
        design = self._need_rows()
        step = -(-len(design.Y) // MOST_ROWS)
        law, w = self._law(design.covariates[::step]), design.weights
        return law if isinstance(law, JointLaw) else law.average(None if w is None else w[::step])

    def bootstrap(
        self, reps: int = 50, names: Any = None, *, seed: int | np.random.Generator | None = None
    ) -> ResamplingSpread:
        """Show how functionals move when rows are weighted anew: all draws are trained at once, from the fit's parameters.

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
        return resampling_spread(self, reps, self.standard_names if names is None else listed(names), seed)

    def training_rows(self) -> Rows:
        """The rows of the fit as the flow is trained on them: outcomes on the line, covariates without constant, weights."""
        return _on_line(self.model, self._need_rows())[0]

    @property
    def trainer(self) -> Trainer:
        """How the flow was trained, "auto" resolved."""
        return _trainer(self.model, self.facts.rows, self.flow.outcomes, self.flow.covariates)

    def refitted(self, take: NDArray[np.intp], seed: int) -> FittedFlow:
        """The flow trained anew on some of its rows, in the same way.

        Parameters
        ----------
        take : (m,) positions among the rows of the fit.
        seed : int.
        """
        rows = self.training_rows()
        own = Rows(rows.Y[take], rows.X[take], None if rows.weights is None else rows.weights[take])
        how = replace(self.trainer, snapshots=(), callback=None)
        return train_flow(_begin(self.flow.chain, self.flow.base, own, seed), own, how, seed, progress=False)[
            0
        ]

    def held_out(self, train: NDArray[np.intp], test: NDArray[np.intp], seed: int) -> HeldOut:
        """Transforms and scores of rows of the fit by the flow trained on others; joint outcomes have no CRPS."""
        flow, design = self.refitted(train, seed), self._need_rows()
        single = not flow.covariates
        law = replace(self, flow=flow)._law(np.zeros((1, 0)) if single else design.covariates[test], single)
        if isinstance(law, FlowJointLaw):
            return HeldOut(BASES[flow.base].cdf(law.noise(design.Y[test])), law.logpdf(design.Y[test]), None)
        assert isinstance(law, Law)
        return HeldOut.of(law, design.Y[test, 0])

    def diagnose(self, folds: int = 5, *, seed: int | np.random.Generator | None = None) -> FlowDiagnosis:
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
        return diagnose(
            len(self._need_rows().Y), self.model.weight_type == "frequency", folds, seed, self.held_out
        )

    def monte_carlo(
        self, reps: int = 100, *, seed: Any = None, n_jobs: int | None = None, progress: bool | None = None
    ) -> SelfCheck:
        """Check the functionals by simulation with this flow as the truth: outcomes are drawn from it and flows trained anew.

        Parameters
        ----------
        reps : int, replications.
        seed, n_jobs, progress : as in the ``monte_carlo`` of `Logit`'s results.

        Returns
        -------
        SelfCheck
            Bias and spread; a trained flow has no standard errors to check.

        Raises
        ------
        OptionError, WithheldError, NeedsData, StudyError
        """
        options = {"seed": seed, "design": None, "law": None, "n_jobs": n_jobs, "progress": progress}
        return self_check(refitting_trained(self), reps, **options)

    # ---- pictures ------------------------------------------------------------------------------------------

    def plot(self, **options: Any) -> Any:
        """Draw the density over the data: a curve over the histogram, or contours of two outcomes; see `plots.flows`."""
        from disteconometrics.plots.flows import trained

        return trained(self, **options)

    def plot_history(self, **options: Any) -> Any:
        """Draw the loss along the steps; see `plots.loss`."""
        from disteconometrics.plots.flows import loss

        return loss(self, **options)

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        return _summary(self)

    def __repr__(self) -> str:
        return (
            f"<FlowDensity results: {self.spec.formula}, {self.model.flow}, n = {self.nobs:g}, llf = "
            f"{self.llf:.3f}>"
        )

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result without its rows to one ``.npz`` file; `disteconometrics.load` reads it."""
        header, arrays = self.flow.to_parts()
        named = dict(zip(self.estimates.names, self.estimates.values.tolist(), strict=True))
        facts = asdict(replace(self.facts, functionals=named))
        whole = {
            "formula": self.model.formula,
            "support": self.model.support,
            "weights": [self.model.weights, self.model.weight_type],
            "base": self.model.base,
            "spec": self.spec.to_dict(),
            "facts": facts,
            "flow": header,
            "kept": list(self.kept),
            "history": list(self.history.columns),
        }
        arrays |= {"history": np.column_stack([self.history.index, self.history]).astype(np.float64)}
        for step, flow in self.kept.items():
            arrays |= {f"kept{step}_{k}": v for k, v in flow.parameters.items()}
        write_archive(path, "TrainedFlow", whole, arrays)


def describe(chain: Chain, d: int) -> str:
    """A flow in a few words.

    Examples
    --------
    >>> from disteconometrics import RQS
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
    f = r.facts
    rows = f.rows if r.model.weight_type != "frequency" else f.observations
    count = f"{f.fresh} fresh a step" if f.fresh else f"{f.observations:.0f} ({f.given - f.rows} dropped)"
    left = [
        ("Outcome" if len(f.outcomes) == 1 else "Outcomes", ", ".join(f.outcomes)),
        ("Base", f"{r.flow.base}{' (chosen)' if r.model.base == 'auto' else ''}"),
        ("Parameters", f"{f.parameters}"),
        ("Steps", f"{f.best} of {f.steps}" if f.best != f.steps else f"{f.steps}"),
    ]
    right = [
        ("Observations", count),
        ("Log-likelihood per row", f"{f.loglik / rows:.4f}"),
        ("Held out, per row", f"{-f.validation:.4f}" if np.isfinite(f.validation) else "none held out"),
        ("Seed", "spawned" if f.seed is None else str(f.seed)),
    ]
    e = r.estimates
    averaged = ", averaged over the sample" if r.flow.covariates else ""
    table = Section(
        ("estimate",),
        e.names,
        tuple((number(v),) for v in e.values),
        f"Law of {', '.join(f.outcomes)}{averaged}",
    )
    notes = [
        f"Flow: {describe(r.flow.chain, r.flow.outcomes)}. Trained by {f.trainer}: {ENDED[f.ended]}"
        + (f", {f.skipped} steps without a finite loss left out." if f.skipped else ".")
    ]
    if len(f.outcomes) > 1:
        notes.append(f"Moments are those of {DRAWS:,} draws of the fitted law.")
    notes.append(
        "No standard errors: nets have none that a study supports; bootstrap() shows the resampling spread."
    )
    if r.model.weights is not None:
        notes.append(f"Weights: {r.model.weights} ({r.model.weight_type}).")
    notes += rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)
    notes += f.shared
    return Summary("Flow Density Results", (tuple(left), tuple(right)), (table,), tuple(notes))


def restore_trained(header: dict[str, Any], arrays: dict[str, Array]) -> TrainedFlowResults:
    """Rebuild a saved result, without rows.

    Raises
    ------
    FileFormatError, KeyError, TypeError, ValueError
    """
    own = {k: v for k, v in arrays.items() if not k.startswith("kept") and k != "history"}
    flow = FittedFlow.from_parts(header["flow"], own)
    weights, weight_type = header["weights"]
    support = None if header["support"] is None else tuple(header["support"])
    recipe = flow.chain.maps[0] if len(flow.chain.maps) == 1 else flow.chain
    model = FlowDensity(
        header["formula"],
        flow=recipe,
        base=header["base"],
        support=support,
        weights=weights,
        weight_type=weight_type,
    )
    facts = dict(header["facts"])
    for name in ("outcomes", "shared"):
        facts[name] = tuple(facts[name])
    table = pd.DataFrame(arrays["history"][:, 1:], columns=list(header["history"]))
    table.index = pd.Index(arrays["history"][:, 0].astype(int), name="step")
    kept = {}
    for step in map(int, header["kept"]):
        start = f"kept{step}_"
        parts = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
        kept[step] = replace(flow, parameters=parts)
        kept[step].fresh()
    spec = JointSpec.from_dict(header["spec"])
    if len(spec.outcomes) != flow.outcomes or len(facts["outcomes"]) != flow.outcomes:
        raise DataError("the outcomes are not those of the flow")
    return TrainedFlowResults(model, spec, flow, TrainedFacts(**facts), table, kept, None)
