"""How a law by transport is known: the quantiles of a sample, a net of noise, or quantiles of rows by a net.

Each knows its law, what a summary says of it, and its part of a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.joint import DRAWS, JointLaw
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.pushed import PushedJointLaw, PushedLaw, PushedRows
from disteconometrics.errors import FileFormatError
from disteconometrics.estimators.results import FitFacts, SavedResult
from disteconometrics.estimators.rows import JointFitRows
from disteconometrics.estimators.training_report import Ended, has_converged
from disteconometrics.fields import AnyFloat, Count, Numbers, SavedSeed
from disteconometrics.flows.recipes import MLP
from disteconometrics.tables import Section, number

if TYPE_CHECKING:
    from disteconometrics.flows.pushforward import Pushforward
    from disteconometrics.flows.quantile_net import QuantileNet

__all__ = [
    "ConditionalQuantiles",
    "DensityMap",
    "NetHeader",
    "NoiseMap",
    "SampleQuantiles",
    "TransportFacts",
    "map_from_file",
    "moments_of",
]

Parts: TypeAlias = tuple[dict[str, Any], dict[str, Array]]

DRAWS_SEED = 20250101  # seed of the draws behind a law's quantiles


@dataclass(frozen=True, kw_only=True)
class TransportFacts(FitFacts):
    """Numbers of a fit that need no rows: besides those of every fit its seed, and of a net its training.

    On rows held out, NaN where there are none: ``w2_of_draws`` and ``w2_of_training`` are distances to draws
    and to training rows, of joint outcomes after standardising, ``nearest_ratio`` compares how near draws and
    rows held out come to training rows; given covariates ``crps`` is the mean score of the net and
    ``crps_without_covariates`` that of the training rows.
    """

    outcomes: tuple[str, ...]
    seed: SavedSeed
    loss: str = ""
    trainer: str = ""
    ended: Ended | Literal[""] = ""
    steps: Count = 0
    best: Count = 0
    seconds: float = 0.0
    parameters: Count = 0
    fresh: Count = 0
    w2_of_draws: AnyFloat = float("nan")
    w2_of_training: AnyFloat = float("nan")
    nearest_ratio: AnyFloat = float("nan")
    crps: AnyFloat = float("nan")
    crps_without_covariates: AnyFloat = float("nan")

    @property
    def trained(self) -> bool:
        """Whether a net was trained."""
        return bool(self.ended)

    @property
    def converged(self) -> bool | None:
        """Whether training has settled, see `TrainedFlowResults`; True where none was needed."""
        return has_converged(self.ended)


def moments_of(Y: Array, weights: Array | None) -> tuple[Array, Array]:
    """Mean and standard deviation (d,) of outcomes (n, d), by which a net standardises them.

    Examples
    --------
    >>> moments_of(np.array([[1.0], [3.0]]), None)
    (array([2.]), array([1.]))
    """
    location = np.average(Y, axis=0, weights=weights)
    scale = np.sqrt(np.average(np.square(Y - location), axis=0, weights=weights))
    return location, scale


@dataclass(frozen=True, eq=False)
class SampleQuantiles:
    """The quantile function of outcomes (n,) with weights (n,) or None, the optimal map from any noise.

    Examples
    --------
    >>> float(SampleQuantiles(np.array([1.0, 2.0, 4.0]), None).law(("y",)).quantile(0.5))
    2.0
    """

    values: Array
    weights: Array | None

    words = "quantile function of the sample"
    weighting = ""

    def law(self, outcomes: tuple[str, ...]) -> Law:
        """The law of the sample."""
        return PushedLaw(Empirical(self.values, self.weights)).named(outcomes[0])

    def on(self, rows: JointFitRows) -> SampleQuantiles:
        """The quantile function of other rows."""
        return SampleQuantiles(rows.Y[:, 0], rows.weights)

    def sections(self, facts: TransportFacts) -> tuple[Section, ...]:
        """No section: no row is held out."""
        return ()

    def notes(self, facts: TransportFacts) -> tuple[str, ...]:
        """That nothing was trained."""
        return ("No net was trained: on the line the optimal map from any noise is the quantile function.",)

    def to_file(self) -> Parts:
        """The sample, with its weights in a second column."""
        columns = (self.values,) if self.weights is None else (self.values, self.weights)
        return {}, {"sample": np.column_stack(columns)}


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """Normal noise pushed to outcomes by a net.

    Examples
    --------
    >>> from disteconometrics.flows.pushforward import Pushforward
    >>> found = NoiseMap(Pushforward.begin(MLP(4), np.zeros(2), np.ones(2), seed=0))
    >>> found.words, found.law(("a", "b")).sample(3, seed=1).shape
    ('perceptron (4,)', (3, 2))
    """

    net: Pushforward

    weighting = " Rows were drawn in proportion at every step, so none was held out."

    @property
    def words(self) -> str:
        """The net in a few words."""
        return f"perceptron {self.net.recipe.hidden}"

    def law(self, outcomes: tuple[str, ...]) -> Law | JointLaw:
        """The law of the draws; quantiles of one outcome are those of draws of a fixed seed."""

        def draw(rng: np.random.Generator, m: int) -> Array:
            return self.net.push(rng.normal(size=(m, self.net.noise)))

        if len(outcomes) > 1:
            return PushedJointLaw(outcomes, draw)
        seen = Empirical(draw(np.random.default_rng(DRAWS_SEED), DRAWS)[:, 0])
        return PushedLaw(seen, lambda rng, m: draw(rng, m)[:, 0]).named(outcomes[0])

    def on(self, rows: JointFitRows) -> NoiseMap:
        """The net standardised by other rows, which changes nothing if these are the rows of the fit."""
        location, scale = moments_of(rows.Y, rows.weights)
        return NoiseMap(replace(self.net, location=location, scale=scale))

    def sections(self, facts: TransportFacts) -> tuple[Section, ...]:
        """Distances to rows held out."""
        if not np.isfinite(facts.w2_of_draws):
            return ()
        labels = (
            "W2, draws to held-out rows",
            "W2, training to held-out rows",
            "nearest training row, ratio",
        )
        return (_held_out(labels, (facts.w2_of_draws, facts.w2_of_training, facts.nearest_ratio)),)

    def notes(self, facts: TransportFacts) -> tuple[str, ...]:
        """What distances are, and that functionals are those of draws."""
        drawn = f"Functionals are those of {DRAWS:,} draws."
        if not np.isfinite(facts.w2_of_draws):
            return (drawn,)
        unit = "" if len(facts.outcomes) == 1 else ", of standardised outcomes"
        exact = (
            f"Distances are exact{unit}; the second is the floor. The ratio is of median "
            f"distances to the nearest row of "
            "the training, draws over held-out rows: far below one, the map repeats its data."
        )
        return exact, drawn

    def to_file(self) -> Parts:
        """Recipe and parameters."""
        return _net_parts(self.net, ("location", "scale"))


@dataclass(frozen=True, eq=False)
class ConditionalQuantiles:
    """A net from covariates to quantiles, with those of the rows of the fit and their weights (n·64,).

    Examples
    --------
    >>> from disteconometrics.flows.quantile_net import QuantileNet
    >>> x, y = np.zeros((2, 1)), np.array([1.0, 3.0])
    >>> found = ConditionalQuantiles.of_rows(QuantileNet.begin(MLP(4), y, x, seed=0), x, None)
    >>> found.words, found.given(x, "y").batch_shape, round(float(found.law(("y",)).mean()), 1)
    ('quantiles by perceptron (4,)', (2,), 2.0)
    """

    net: QuantileNet
    values: Array
    weights: Array

    weighting = ""

    @classmethod
    def of_rows(cls, net: QuantileNet, X: Array, weights: Array | None) -> ConditionalQuantiles:
        """The net with the quantiles of rows with covariates (n, c) and weights (n,)."""
        q = net.quantiles(X)
        mass = or_ones(weights, len(X))
        return cls(net, q.ravel(), np.repeat(mass, q.shape[1]))

    @property
    def words(self) -> str:
        """The net in a few words."""
        return f"quantiles by perceptron {self.net.recipe.hidden}"

    def law(self, outcomes: tuple[str, ...]) -> Law:
        """The law averaged over the rows."""
        return PushedLaw(Empirical(self.values, self.weights)).named(outcomes[0])

    def given(self, X: Array, outcome: str) -> Law:
        """The laws of rows with covariates (n, c)."""
        return PushedRows(*self.net.curve(X)).named(outcome)

    def on(self, rows: JointFitRows) -> ConditionalQuantiles:
        """The net with the quantiles of other rows."""
        return ConditionalQuantiles.of_rows(self.net, rows.covariates, rows.weights)

    def sections(self, facts: TransportFacts) -> tuple[Section, ...]:
        """Scores on rows held out."""
        labels = ("CRPS of the net", "CRPS without covariates")
        return (_held_out(labels, (facts.crps, facts.crps_without_covariates)),)

    def notes(self, facts: TransportFacts) -> tuple[str, ...]:
        """What the quantiles and the table of functionals are."""
        return ("Quantiles of every row increase in the noise; the law above is averaged over the rows.",)

    def to_file(self) -> Parts:
        """Recipe and parameters, and the quantiles of the rows with their weights in a second column."""
        header, arrays = _net_parts(self.net, ("location", "scale", "x_location", "x_scale"))
        return header, {"sample": np.column_stack([self.values, self.weights]), **arrays}


DensityMap: TypeAlias = SampleQuantiles | NoiseMap | ConditionalQuantiles


def _held_out(labels: tuple[str, ...], values: tuple[float, ...]) -> Section:
    return Section(("value",), labels, tuple((number(v),) for v in values), "On rows held out")


# ---- files -------------------------------------------------------------------------------------------------


def _net_parts(net: Pushforward | QuantileNet, standard: tuple[str, ...]) -> Parts:
    r = net.recipe
    arrays = {name: np.asarray(getattr(net, name)) for name in standard}
    arrays |= {f"parameter{i}": v for i, v in enumerate(net.parameters)}
    return {"net": {"hidden": list(r.hidden), "activation": r.activation, "noise": r.noise}}, arrays


@dataclass(frozen=True)
class NetHeader:
    """What a file says of a net beside its parameters."""

    hidden: tuple[int, ...]
    activation: str
    noise: int | None

    def recipe(self) -> MLP:
        """The recipe.

        Raises
        ------
        OptionError
        """
        return MLP(*self.hidden, activation=self.activation, noise=self.noise)


def map_from_file(header: NetHeader | None, saved: SavedResult, outcomes: int, covariates: int) -> DensityMap:
    """The map that a file holds.

    Raises
    ------
    FileFormatError, OptionError
    """
    if header is None:
        (sample,) = saved.numbers({"sample": Numbers("n m")}).values()
        return SampleQuantiles(*_sample(sample, outcomes, (1, 2)))
    if covariates:
        (sample,) = saved.numbers({"sample": Numbers("n 2")}).values()
        values, weights = _sample(sample, outcomes, (2,))
        assert weights is not None
        return ConditionalQuantiles(_saved_quantile_net(header.recipe(), saved, covariates), values, weights)
    return NoiseMap(_saved_pushforward(header.recipe(), saved, outcomes))


def _sample(sample: Array, outcomes: int, widths: tuple[int, ...]) -> tuple[Array, Array | None]:
    """Values and weights of a sample in columns."""
    n, m = sample.shape
    weights = sample[:, 1] if m == 2 else None
    weighs = weights is None or bool((weights >= 0).all() and weights.any())
    if outcomes != 1 or not n or m not in widths or not weighs:
        raise FileFormatError("the sample is not one of an outcome with its weights")
    return sample[:, 0], weights


def _saved_pushforward(recipe: MLP, saved: SavedResult, outcomes: int) -> Pushforward:
    from disteconometrics.flows.pushforward import Pushforward

    parameters = _parameters(saved, (recipe.noise or outcomes, *recipe.hidden, outcomes))
    table = {"location": Numbers("d"), "scale": Numbers("d", "not negative")}
    return Pushforward(recipe=recipe, parameters=parameters, **saved.numbers(table, d=outcomes))


def _saved_quantile_net(recipe: MLP, saved: SavedResult, covariates: int) -> QuantileNet:
    from disteconometrics.flows.quantile_net import LEVELS, QuantileNet

    parameters = _parameters(saved, (covariates, *recipe.hidden, LEVELS))
    table = {"location": Numbers(""), "scale": Numbers("", "not negative")}
    location, scale = map(float, saved.numbers(table).values())
    table = {"x_location": Numbers("c"), "x_scale": Numbers("c", "positive")}
    return QuantileNet(recipe, parameters, location, scale, **saved.numbers(table, c=covariates))


def _parameters(saved: SavedResult, widths: tuple[int, ...]) -> tuple[Array, ...]:
    """Weights and biases of layers between these widths."""
    shapes = [shape for a, b in pairwise(widths) for shape in (f"{b} {a}", f"{b}")]
    table = {f"parameter{i}": Numbers(shape) for i, shape in enumerate(shapes)}
    return tuple(saved.numbers(table).values())
