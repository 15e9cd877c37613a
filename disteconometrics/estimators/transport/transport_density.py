"""The law of outcomes by transport: noise is mapped to outcomes so that a Wasserstein distance to the data is small.

On the line the best map is known, the quantile function of the sample, so nothing is trained unless a net is
asked for.  Given covariates a net gives the quantile function of every row, increasing in the noise; see
`flows.quantile_net`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from disteconometrics.data.joint_design import JointDesign, JointSpec, build_joint
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.joint import DRAWS, JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.pushed import PushedJointLaw, PushedLaw, PushedRows
from disteconometrics.distributions.scores import crps
from disteconometrics.errors import DataError, FormulaError, NeedsData, OptionError, OutcomeError
from disteconometrics.estimators.flow.training import ENDED, trainer_words, warn_of_training
from disteconometrics.estimators.law_results import LawWithoutErrors
from disteconometrics.estimators.specification import specify
from disteconometrics.estimators.transport.groups import check_squares
from disteconometrics.flows.recipes import MLP
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import Adam, AdamW, Trained, Trainer
from disteconometrics.report.archive import write_archive
from disteconometrics.report.summary import Section, Summary, number, rows_dropped
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.losses import Loss, Sinkhorn, Sliced, Sorted

if TYPE_CHECKING:
    from disteconometrics.flows.pushforward import Pushforward
    from disteconometrics.flows.quantile_net import QuantileNet

__all__ = ["TransportDensity", "TransportDensityResults", "restore_transport_density"]

Array = NDArray[np.float64]

FRESH = 512  # draws in a step where the trainer leaves it open
FIRST = 100_000  # rows of a sampler by which outcomes are standardised, or that are the law on the line
HELD = 0.2  # share of the rows kept from the training of a net
COMPARED = 1_000  # rows in exact distances of joint outcomes
SEEN = 20250101  # seed of the draws behind a law's quantiles


@dataclass(frozen=True, init=False)
class TransportDensity:
    """The law of one outcome or several, as noise mapped to outcomes at a small Wasserstein distance from the data.

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

    formula: str
    map: str | MLP
    loss: str | Loss
    train: str | Trainer
    weights: str | None
    weight_type: str | None

    def __init__(
        self,
        formula: str,
        data: None = None,
        *,
        map: str | MLP = "auto",
        loss: str | Loss = "auto",
        train: str | Trainer = "auto",
        weights: str | None = None,
        weight_type: str | None = None,
    ) -> None:
        if map != "auto" and not isinstance(map, MLP):
            raise OptionError(f"map={map!r} is not known; use 'auto' or de.MLP(32, 32).")
        if loss != "auto" and not isinstance(loss, (Sorted, Sliced, Sinkhorn)):
            raise OptionError(
                f"loss={loss!r} is not known; use 'auto', de.Sorted(), de.Sliced() or de.Sinkhorn(blur=…)."
            )
        if train != "auto" and not isinstance(train, (Adam, AdamW)):
            raise OptionError(
                f"train={train!r}: use 'auto', de.Adam(…) or de.AdamW(…), as every step draws fresh noise."
            )
        if weights is not None and isinstance(train, Trainer) and train.validation:
            raise OptionError("Rows drawn in proportion to weights leave none for validation: train without.")
        more: dict[str, Any] = {"map": map, "loss": loss, "train": train}
        specify(self, data, formula=formula, weights=weights, weight_type=weight_type, offset=None, **more)

    def fit(self, data: Any, *, seed: int | np.random.Generator | None = None) -> TransportDensityResults:
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
        fresh = callable(data) and not hasattr(data, "columns")
        rng = np.random.default_rng(draws)
        if fresh and self.weights is not None:
            raise OptionError("A sampler draws rows as often as they should be: leave weights out.")
        table = data(rng, n=FIRST) if fresh else data
        design = build_joint(self.formula, table, weights=self.weights, weight_type=self.weight_type)
        _check(self, design, fresh)
        counts = design.weights if self.weight_type == "frequency" else None
        entropy = streams.entropy if isinstance(streams.entropy, int) else None
        rows = design.rows
        facts = TransportFacts(
            outcomes=design.spec.outcomes,
            rows=len(design.Y),
            given=rows.given,
            dropped={**rows.missing, **rows.transformed},
            zero_weight=rows.zero_weight,
            observations=float(len(design.Y) if counts is None else counts.sum()),
            seed=entropy,
        )
        if design.covariates.shape[1]:
            return _given_covariates(self, design, facts, start, order)
        if design.Y.shape[1] == 1 and self.map == "auto":
            sample = design.Y if design.weights is None else np.column_stack([design.Y, design.weights])
            return TransportDensityResults(self, design.spec, None, sample, facts, pd.DataFrame(), design)
        sampler = _blocks(design.spec, data, rng, _size(self)) if fresh else None
        if design.weights is not None:
            sampler = _weighted(design.Y, design.weights / design.weights.sum(), rng, _size(self))
        return _trained(self, design, facts, sampler, start, order)


@dataclass(frozen=True)
class TransportFacts:
    """Numbers of a fit that need no rows; distances are W2 in units of the outcomes, of joint ones after standardising.

    Given covariates ``distance`` and ``floor`` are the mean CRPS of rows held out, by the net and without
    covariates.
    """

    outcomes: tuple[str, ...]
    rows: int
    given: int
    dropped: dict[str, int]
    seed: int | None
    zero_weight: int = 0
    observations: float = 0.0
    loss: str = ""
    trainer: str = ""
    ended: str = ""
    steps: int = 0
    best: int = 0
    seconds: float = 0.0
    parameters: int = 0
    fresh: int = 0
    distance: float = float("nan")
    floor: float = float("nan")
    nearest: float = float("nan")
    functionals: dict[str, float] = field(default_factory=dict)


def _check(model: TransportDensity, design: JointDesign, fresh: bool) -> None:
    Y = design.Y
    if design.covariates.shape[1]:
        if Y.shape[1] > 1:
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
    if len(Y) < 10:
        raise DataError(f"{len(Y)} rows are too few for a law; at least 10 are needed.")
    if Y.shape[1] > 1 and isinstance(model.loss, Sorted):
        raise OptionError(
            "Sorted() matches samples on the line; for several outcomes use de.Sliced() or "
            "de.Sinkhorn(blur=…)."
        )
    for name, column in zip(design.spec.outcomes, Y.T, strict=True):
        check_squares(column, name)
        if not float(np.ptp(column)) > 0:
            raise OutcomeError(f"The outcome {name!r} has no variation; its law is a point.")


def _size(model: TransportDensity) -> int:
    return (model.train.batch if isinstance(model.train, Trainer) else None) or FRESH


def _blocks(spec: JointSpec, sampler: Any, rng: np.random.Generator, size: int) -> Iterator[Array]:
    while True:
        yield np.asarray(spec.outcome_values(sampler(rng, n=size)), dtype=np.float64).reshape(size, -1)


def _weighted(Y: Array, shares: Array, rng: np.random.Generator, size: int) -> Iterator[Array]:
    while True:
        yield Y[rng.choice(len(Y), size=size, p=shares)]


def _told(
    facts: TransportFacts, how: Trainer, trained: Trained, seconds: float, parameters: int
) -> TransportFacts:
    """Warn of a training that did not end as it was told to, and write down how it went."""
    warn_of_training(trained, how)
    return replace(
        facts,
        trainer=trainer_words(how),
        ended=trained.ended,
        steps=trained.steps,
        best=trained.best,
        seconds=seconds,
        parameters=parameters,
    )


def _history(trained: Trained) -> pd.DataFrame:
    return pd.DataFrame(trained.history).set_index("step")


def _given_covariates(
    model: TransportDensity, design: JointDesign, facts: TransportFacts, start: int, order: int
) -> TransportDensityResults:
    from disteconometrics.flows.quantile_net import QuantileNet, levels, train_quantiles

    y, X, w = design.Y[:, 0], design.covariates, design.weights
    recipe = model.map if isinstance(model.map, MLP) else MLP(32, 32, activation="silu")
    size = min(256, max(16, len(y) // 4))
    how = (
        model.train
        if isinstance(model.train, Trainer)
        else AdamW(lr=2e-3, steps=1_000, batch=size, validation=0.2, patience=200)
    )
    place = np.random.default_rng(order).permutation(len(y))
    held, rest = place[: int(HELD * len(y))], place[int(HELD * len(y)) :]
    apart, own = (None, None) if w is None else (w[held], w[rest])
    net, trained, seconds = train_quantiles(
        QuantileNet.begin(recipe, y[rest], X[rest], start), y[rest], X[rest], own, how, order
    )
    laws = PushedRows(*net.curve(X[held])), Empirical(y[rest], own)
    scores = [np.average(crps(law, y[held]), weights=apart) for law in laws]
    told = replace(
        _told(facts, how, trained, seconds, net.size),
        loss="ranked probability",
        distance=float(scores[0]),
        floor=float(scores[1]),
    )
    values = np.column_stack(
        [net.quantiles(X).ravel(), np.repeat(np.ones(len(y)) if w is None else w, len(levels()))]
    )
    return TransportDensityResults(model, design.spec, net, values, told, _history(trained), design)


def _trained(
    model: TransportDensity,
    design: JointDesign,
    facts: TransportFacts,
    blocks: Iterator[Array] | None,
    start: int,
    order: int,
) -> TransportDensityResults:
    from disteconometrics.flows.pushforward import Pushforward, train_pushforward
    from disteconometrics.transport.torch_losses import loss_of

    Y = design.Y
    d = Y.shape[1]
    recipe = model.map if isinstance(model.map, MLP) else MLP(64, 64, 64)
    given: Loss = model.loss if isinstance(model.loss, Loss) else (Sorted() if d == 1 else Sliced())
    how = (
        model.train
        if isinstance(model.train, Trainer)
        else AdamW(lr=3e-3, steps=2_000, batch=FRESH, weight_decay=0.0)
    )
    if blocks is not None and how.validation:
        raise OptionError("A sampler gives fresh rows at every step: train without validation.")
    location = np.average(Y, axis=0, weights=design.weights)
    scale = np.sqrt(np.average(np.square(Y - location), axis=0, weights=design.weights))
    place = np.random.default_rng(order).permutation(len(Y))
    held, rest = (
        (place[: int(HELD * len(Y))], place[int(HELD * len(Y)) :]) if blocks is None else (place[:0], place)
    )
    net, trained, seconds = train_pushforward(
        Pushforward.begin(recipe, location, scale, start),
        Y[rest],
        how,
        lambda rng: loss_of(given, rng),
        order,
        unit=scale if d > 1 else 1.0,
        blocks=blocks,
        size=how.batch or (FRESH if blocks is not None else len(rest)),
    )
    told = replace(
        _told(facts, how, trained, seconds, net.size),
        loss=type(given).__name__ + (f"(blur={given.blur:g})" if isinstance(given, Sinkhorn) else "()"),
        fresh=_size(model) if blocks is not None and model.weights is None else 0,
    )
    result = TransportDensityResults(model, design.spec, net, None, told, _history(trained), design)
    if len(held) >= 20:
        distance, floor, nearest = _checks(net, Y[rest], Y[held], np.random.default_rng(order))
        result = replace(result, facts=replace(told, distance=distance, floor=floor, nearest=nearest))
    return result


def _checks(
    net: Pushforward, rest: Array, held: Array, rng: np.random.Generator
) -> tuple[float, float, float]:
    """W2 of draws and of training rows to rows held out, and how near draws lie to training rows against rows held out."""
    m = min(len(held), len(rest), COMPARED if held.shape[1] > 1 else len(held))
    held = held[:m]
    own = rest[rng.permutation(len(rest))[:m]]
    drawn = net.push(rng.normal(size=(m, net.noise)))
    if held.shape[1] == 1:
        near = [one_dim.wasserstein(a[:, 0], held[:, 0], 2).distance for a in (drawn, own)]
    else:
        near = [discrete.wasserstein(a / net.scale, held / net.scale, 2).distance for a in (drawn, own)]
    tree = cKDTree(rest / net.scale)
    by_draws, by_held = (float(np.median(tree.query(a / net.scale)[0])) for a in (drawn, held))
    return near[0], near[1], by_draws / by_held if by_held > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class TransportDensityResults(LawWithoutErrors):
    """A law by transport: draws, distribution function, quantiles, functionals; how the map was found and how near it comes.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.TransportDensity("income + foodexp ~ 1", map=de.MLP(16), train=de.Adam(lr=0.01, steps=100, batch=128))
    >>> res = model.fit(de.datasets.engel(), seed=0)
    >>> res.distribution().sample(5, seed=1).shape, len(res.history)
    ((5, 2), 100)
    """

    model: TransportDensity
    spec: JointSpec
    net: Pushforward | QuantileNet | None
    sample: Array | None
    facts: TransportFacts
    history: pd.DataFrame
    rows: JointDesign | None

    loss_label: ClassVar[str] = "transport loss"

    @property
    def given(self) -> bool:
        """Whether the law is one of every row, given covariates."""
        return self.net is not None and self.sample is not None

    @cached_property
    def _law(self) -> Law | JointLaw:
        names = self.facts.outcomes
        if self.sample is not None:
            values, weights = self.sample[:, 0], self.sample[:, 1] if self.sample.shape[1] > 1 else None
            return PushedLaw(Empirical(values, weights)).named(names[0])
        net: Any = self.net

        def draw(rng: np.random.Generator, m: int) -> Array:
            return np.asarray(net.push(rng.normal(size=(m, net.noise))))

        if len(names) > 1:
            return PushedJointLaw(names, draw)
        seen = Empirical(draw(np.random.default_rng(SEEN), DRAWS)[:, 0])
        return PushedLaw(seen, lambda rng, m: draw(rng, m)[:, 0]).named(names[0])

    def distribution(self, new: Any = None) -> Law | JointLaw:
        """The law: draws, distribution function and quantiles (of joint outcomes those of marginals), no density.

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
        if not self.given:
            return self._law
        if new is None:
            if self.rows is None:
                raise NeedsData(
                    "This result was loaded from a file, which holds no rows: give a table with the "
                    "covariates."
                )
            X = self.rows.covariates
        else:
            X = self.spec.without_constant(self.spec.matrix(new).X)
        net: Any = self.net
        law: Law = PushedRows(*net.curve(X)).named(self.facts.outcomes[0])
        return law

    @property
    def converged(self) -> bool:
        """Whether training ended as it was told to; True where none was needed."""
        return self.facts.ended not in ("interrupted", "lost")

    @property
    def nobs(self) -> float:
        """Rows used, frequency weights counted."""
        return self.facts.observations

    def _whole_law(self) -> Law | JointLaw:
        return self._law

    def plot(self, **options: Any) -> Any:
        """Draw the learned distribution against the data: quantiles of one outcome, draws of two; see `plots.qq`, `samples`.

        Raises
        ------
        OptionError, NeedsData
        """
        from disteconometrics.plots.flows import learned

        return learned(self, **options)

    def plot_history(self, **options: Any) -> Any:
        """Draw the loss along the steps; see `plots.loss`."""
        from disteconometrics.plots.flows import loss

        return loss(self, **options)

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        f, e = self.facts, self.estimates
        how = (
            "quantile function of the sample" if self.net is None else f"perceptron {self.net.recipe.hidden}"
        )
        how = how.replace("perceptron", "quantiles by perceptron") if self.given else how
        left = [("Outcome" if len(f.outcomes) == 1 else "Outcomes", ", ".join(f.outcomes)), ("Map", how)]
        count = f"{f.fresh} fresh a step" if f.fresh else f"{f.observations:.0f} ({f.given - f.rows} dropped)"
        seed = "no random numbers" if self.net is None else "spawned" if f.seed is None else str(f.seed)
        right = [("Observations", count), ("Seed", seed)]
        sections = [
            Section(
                ("estimate",),
                e.names,
                tuple((number(v),) for v in e.values),
                f"Law of {', '.join(f.outcomes)}",
            )
        ]
        if self.net is None:
            notes = [
                "No net was trained: on the line the optimal map from any noise is the quantile function."
            ]
        else:
            left.append(("Loss", f.loss))
            right.append(("Steps", f"{f.steps}"))
            notes = [f"Trained by {f.trainer}: {ENDED[f.ended]}. {f.parameters} parameters."]
            if self.given:
                scores = tuple((number(v),) for v in (f.distance, f.floor))
                sections.append(
                    Section(
                        ("value",), ("CRPS of the net", "CRPS without covariates"), scores, "On rows held out"
                    )
                )
                notes.append(
                    "Quantiles of every row increase in the noise; the law above is averaged over the rows."
                )
            elif np.isfinite(f.distance):
                cells = tuple((number(v),) for v in (f.distance, f.floor, f.nearest))
                labels = (
                    "W2, draws to held-out rows",
                    "W2, training to held-out rows",
                    "nearest training row, ratio",
                )
                sections.append(Section(("value",), labels, cells, "On rows held out"))
                unit = "" if len(f.outcomes) == 1 else ", of standardised outcomes"
                notes.append(
                    f"Distances are exact{unit}; the second is the floor. The ratio is of median "
                    f"distances to the nearest row of "
                    "the training, draws over held-out rows: far below one, the map repeats its data."
                )
        if len(f.outcomes) > 1 or (self.net is not None and not self.given):
            notes.append(f"Functionals are those of {DRAWS:,} draws.")
        notes.append("No standard errors. The law has no density: use de.FlowDensity for one.")
        if self.model.weights is not None:
            drawn = (
                ""
                if self.sample is not None
                else " Rows were drawn in proportion at every step, so none was held out."
            )
            notes.append(f"Weights: {self.model.weights} ({self.model.weight_type}).{drawn}")
        notes += rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)
        return Summary(
            "Transport Density Results", (tuple(left), tuple(right)), tuple(sections), tuple(notes)
        )

    def __repr__(self) -> str:
        return f"<TransportDensity results: {self.spec.formula}, n = {self.nobs:g}>"

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result to one ``.npz`` file; `disteconometrics.load` reads it.

        The quantile function is the sample: its values are in the file.  Of a net the parameters are.
        """
        named = dict(zip(self.estimates.names, self.estimates.values.tolist(), strict=True))
        header: dict[str, Any] = {
            "formula": self.model.formula,
            "weights": [self.model.weights, self.model.weight_type],
            "spec": self.spec.to_dict(),
            "facts": asdict(replace(self.facts, functionals=named)),
            "history": list(self.history.columns),
        }
        arrays: dict[str, Array] = {
            "history": np.column_stack([self.history.index, self.history]).astype(np.float64)
        }
        if self.sample is not None:
            arrays["sample"] = np.asarray(self.sample)
        if self.net is not None:
            r = self.net.recipe
            header["net"] = {"hidden": list(r.hidden), "activation": r.activation, "noise": r.noise}
            standard = ("location", "scale", "x_location", "x_scale")
            arrays |= {
                name: np.asarray(getattr(self.net, name)) for name in standard if hasattr(self.net, name)
            }
            arrays |= {f"parameter{i}": v for i, v in enumerate(self.net.parameters)}
        write_archive(path, "TransportDensity", header, arrays)


def restore_transport_density(header: dict[str, Any], arrays: dict[str, Array]) -> TransportDensityResults:
    """Rebuild a saved result, without rows.

    Raises
    ------
    FileFormatError, KeyError, TypeError, ValueError
    """
    facts = dict(header["facts"])
    facts["outcomes"] = tuple(facts["outcomes"])
    spec = JointSpec.from_dict(header["spec"])
    history = pd.DataFrame(arrays["history"][:, 1:], columns=list(header["history"]))
    history.index = pd.Index(arrays["history"][:, 0].astype(int), name="step")
    net: Any = None
    sample, mapped = arrays.get("sample"), None
    if "net" in header:
        from disteconometrics.flows.pushforward import Pushforward
        from disteconometrics.flows.quantile_net import QuantileNet

        own = header["net"]
        recipe = MLP(*own["hidden"], activation=own["activation"], noise=own["noise"])
        values = tuple(arrays[f"parameter{i}"] for i in range(2 * len(recipe.hidden) + 2))
        if sample is not None:
            begun: Any = QuantileNet.begin(
                recipe, np.arange(2.0), np.zeros((2, len(arrays["x_location"]))), 0
            )
            standard = {"location": float(arrays["location"]), "scale": float(arrays["scale"])}
            begun = replace(begun, **standard, x_location=arrays["x_location"], x_scale=arrays["x_scale"])
        else:
            begun = Pushforward.begin(recipe, arrays["location"], arrays["scale"], 0)
        if [v.shape for v in values] != [v.shape for v in begun.parameters]:
            raise DataError("the parameters are not those of the net")
        net, mapped = replace(begun, parameters=values), recipe
    elif sample is None:
        raise DataError("the file has neither a net nor a sample")
    weights, weight_type = header["weights"]
    model = TransportDensity(
        header["formula"], map=mapped or "auto", weights=weights, weight_type=weight_type
    )
    return TransportDensityResults(model, spec, net, sample, TransportFacts(**facts), history, None)
