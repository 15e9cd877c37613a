"""Ready data-generating processes, each a frozen value with a known truth.

======================  ======================================================================================
`RandomUtilityLogit`    a choice between two utilities with Gumbel noise: exactly a logit
`RandomUtilityChoice`   a choice among several by utilities with Gumbel noise, in long form
`ClusteredLogit`        a logit whose errors are dependent within clusters
`WeightedLogit`         a logit sampled with probabilities that depend on the outcome, with weights
`HeteroskedasticLogit`  a logit whose scale moves with x: the plain logit is wrong
`QuadraticLogit`        a logit with x², for specifications that leave it out
`Bimodal`               a mixture of two normals
`SkewedMixture`         a normal and a shifted log-normal
`GAndK`                 Tukey's g-and-k law, known by its quantiles
`UniformNormal`         b given a normal with mean and variance a, a uniform
`TwoCircles`            two noisy circles, standardised
`NoisySine`             a sine with normal noise
`LocationScale`         mean and spread linear and log-linear in x
`Roy`                   selection into the better of two sectors
======================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.distributions.families import LOG_ROOT_2PI, Normal
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.maps import Affine, Exp, GAndKMap
from disteconometrics.distributions.mixture import Mixture
from disteconometrics.distributions.transformed import Transformed
from disteconometrics.errors import OptionError
from disteconometrics.simulate.dgp import Process, Table

__all__ = [
    "Bimodal",
    "ClusteredLogit",
    "GAndK",
    "HeteroskedasticLogit",
    "LocationScale",
    "NoisySine",
    "QuadraticLogit",
    "RandomUtilityChoice",
    "RandomUtilityLogit",
    "Roy",
    "SkewedMixture",
    "TwoCircles",
    "UniformNormal",
    "WeightedLogit",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def _column(table: Mapping[str, Any], name: str) -> Array:
    try:
        return as_floats(table[name])
    except KeyError:
        raise OptionError(
            f"The law needs the column {name!r}; the table has {', '.join(map(str, table))}."
        ) from None


def _logit(eta: Array) -> Bernoulli:
    tail = np.exp(-np.abs(eta))
    near, far = 1 / (1 + tail), tail / (1 + tail)
    return Bernoulli(np.where(eta > 0, near, far), complement=np.where(eta > 0, far, near))


# ---- logits ------------------------------------------------------------------------------------------------


class _NormalX(Process):
    """A process whose x is standard normal in the population."""

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """x, standard normal."""
        return {"x": rng.standard_normal(n)}


class _Logit(_NormalX):
    """A process whose rows are Bernoulli with probability Λ(intercept + slope·x), each by itself."""

    intercept: float
    slope: float

    def law(self, table: Mapping[str, Any]) -> Law:
        """Bernoulli with logistic probability."""
        return _logit(self.intercept + self.slope * _column(table, "x"))

    def parameters(self) -> dict[str, float]:
        """Intercept and x."""
        return {"Intercept": self.intercept, "x": self.slope}


@final
@dataclass(frozen=True)
class RandomUtilityLogit(_Logit):
    """y = 1{intercept + slope·x + e₁ > e₀}, e Gumbel, x normal: P(y = 1 | x) = Λ(intercept + slope·x).

    Parameters
    ----------
    intercept, slope : float, the coefficients (defaults 1 and 2).

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers
    in Econometrics.

    Examples
    --------
    >>> process = RandomUtilityLogit()
    >>> table = process(np.random.default_rng(0), n=500)
    >>> list(table), process.truth(["x"]), float(process.law({"x": [0.0]}).mean()[0].round(4))
    (['y', 'x'], {'x': Truth(value=2.0, error=0.0)}, 0.7311)
    """

    intercept: float = 1.0
    slope: float = 2.0

    def outcomes(self, rng: np.random.Generator, table: Table, n: int) -> Array:
        """1 where the second utility is larger."""
        first, second = rng.gumbel(size=n), rng.gumbel(size=n)
        second += self.intercept
        second += self.slope * table["x"]
        chosen: Array = np.greater(second, first).astype(np.float64)
        return chosen


@final
@dataclass(frozen=True)
class RandomUtilityChoice(Process):
    """One of J alternatives is chosen, the one with the largest constant_j + slope·price + Gumbel noise.

    A call draws n choice sets in long form: ``id``, ``alternative`` (0 to J − 1), ``price`` (normal) and
    ``chosen``, J rows a set; ``ConditionalLogit("chosen ~ price + C(alternative)", choice="id")`` is right.

    Parameters
    ----------
    constants : tuple of float, of alternatives 1, 2, …, beside that of alternative 0, which is zero.
    slope : float, coefficient of the price.

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers
    in Econometrics.

    Examples
    --------
    >>> process = RandomUtilityChoice()
    >>> table = process(np.random.default_rng(0), n=4)
    >>> len(table["price"]), table["chosen"].reshape(4, 3).sum(axis=1).tolist()
    (12, [1.0, 1.0, 1.0, 1.0])
    >>> {name: t.value for name, t in process.truth(["price", "C(alternative)[T.2]"]).items()}
    {'price': -1.0, 'C(alternative)[T.2]': -0.5}
    """

    constants: tuple[float, ...] = (0.5, -0.5)
    slope: float = -1.0
    outcome = "chosen"

    @property
    def alternatives(self) -> int:
        """J, the rows of a set."""
        return len(self.constants) + 1

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """Sets, alternatives and prices."""
        J = self.alternatives
        return {
            "id": np.repeat(np.arange(n), J),
            "alternative": np.tile(np.arange(J), n),
            "price": rng.standard_normal(n * J),
        }

    def law(self, table: Mapping[str, Any]) -> Law:
        """Bernoulli of a row: whether its alternative is chosen, given all rows of its set."""
        utility = self._utilities(table)
        sets = np.unique(_column(table, "id"), return_inverse=True)[1]
        total = np.bincount(sets, np.exp(utility))
        return Bernoulli(np.exp(utility) / total[sets])

    def parameters(self) -> dict[str, float]:
        """The price and the constants."""
        names = (f"C(alternative)[T.{j}]" for j in range(1, self.alternatives))
        return {"price": self.slope, **dict(zip(names, self.constants, strict=True))}

    def outcomes(self, rng: np.random.Generator, table: Table, n: int) -> Array:
        """1 where the utility is the largest of its set."""
        utility = (self._utilities(table) + rng.gumbel(size=len(table["id"]))).reshape(n, -1)
        chosen: Array = (utility == utility.max(axis=1, keepdims=True)).astype(np.float64).ravel()
        return chosen

    def _utilities(self, table: Mapping[str, Any]) -> Array:
        constants = np.array([0.0, *self.constants])
        return constants[_column(table, "alternative").astype(np.intp)] + self.slope * _column(table, "price")


@final
@dataclass(frozen=True)
class ClusteredLogit(_Logit):
    """A logit whose errors, and whose x, share a normal factor within clusters; its marginal law is logistic.

    The latent error of a row is Λ⁻¹(Φ(√ρ·a_g + √(1−ρ)·e_i)), so the pooled logit is right and only its
    standard errors are not. n is rounded up to whole clusters when clusters are drawn, and rows beyond n are
    cut.

    Parameters
    ----------
    intercept, slope : float, the coefficients.
    size : int, rows in a cluster.
    correlation : float in [0, 1), ρ, of the normal scores of the errors, and of x, within a cluster.

    Raises
    ------
    OptionError
        If the size is below one or the correlation outside [0, 1).

    References
    ----------
    Moulton (1986), Random group effects and the precision of regression estimates, J. Econometrics 32,
    doi:10.1016/0304-4076(86)90021-7.

    Examples
    --------
    >>> table = ClusteredLogit(size=20)(np.random.default_rng(0), n=100)
    >>> list(table), len(np.unique(table["cluster"]))
    (['y', 'x', 'cluster'], 5)
    """

    intercept: float = 0.5
    slope: float = 1.0
    size: int = 20
    correlation: float = 0.3

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.correlation < 1:
            raise OptionError("size is at least 1, correlation in [0, 1).")

    def _shared(self, rng: np.random.Generator, cluster: Array) -> Array:
        """Standard normals that are correlated within clusters."""
        groups = rng.standard_normal(int(cluster[-1]) + 1)[cluster.astype(np.intp)]
        own = rng.standard_normal(len(cluster))
        return np.asarray(np.sqrt(self.correlation) * groups + np.sqrt(1 - self.correlation) * own)

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """x and the number of the cluster."""
        cluster = np.repeat(np.arange(-(-n // self.size), dtype=np.float64), self.size)[:n]
        return {"x": self._shared(rng, cluster), "cluster": cluster}

    def outcomes(self, rng: np.random.Generator, table: Table, n: int) -> Array:
        """1 where the index exceeds the latent error."""
        eta = self.intercept + self.slope * table["x"]
        error = self._shared(rng, table["cluster"])
        return as_floats(special.ndtr(error) < 1 / (1 + np.exp(-eta)))


@final
@dataclass(frozen=True)
class WeightedLogit(_Logit):
    """A logit in the population, sampled with probabilities that depend on y and x; weights are the inverse.

    A row with y = 1{x > 0} is kept with probability ``agree``, another with ``differ``: without weights every
    coefficient is off.

    Parameters
    ----------
    intercept, slope : float, the coefficients in the population.
    agree, differ : float in (0, 1], probabilities of selection.

    Raises
    ------
    OptionError
        If a probability is not in (0, 1].

    References
    ----------
    Manski, Lerman (1977), The estimation of choice probabilities from choice based samples, Econometrica 45,
    doi:10.2307/1914121.

    Examples
    --------
    >>> table = WeightedLogit()(np.random.default_rng(0), n=2000)
    >>> list(table), sorted(set(table["w"].tolist()))
    (['y', 'x', 'w'], [1.25, 5.0])
    """

    intercept: float = 0.5
    slope: float = 1.0
    agree: float = 0.2
    differ: float = 0.8

    def __post_init__(self) -> None:
        if not (0 < self.agree <= 1 and 0 < self.differ <= 1):
            raise OptionError("agree and differ are probabilities in (0, 1].")

    def draw(self, rng: np.random.Generator, n: int) -> Table:
        """n selected rows with their weights."""
        parts: list[Table] = []
        found = 0
        while found < n:
            rows = self.population(rng, 64 + int((n - found) / min(self.agree, self.differ)))
            chance = np.where(rows["y"] == (rows["x"] > 0), self.agree, self.differ)
            kept = rng.random(len(chance)) < chance
            parts.append({**{name: v[kept] for name, v in rows.items()}, "w": 1 / chance[kept]})
            found += int(kept.sum())
        return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}


@final
@dataclass(frozen=True)
class HeteroskedasticLogit(_NormalX):
    """P(y = 1 | x) = Λ((intercept + slope·x)·exp(−spread·x)), x standard normal.

    The latent error's scale is exp(spread·x).  A plain logit is misspecified; `pseudo_true` says what it
    estimates.

    Parameters
    ----------
    intercept, slope, spread : float.

    Examples
    --------
    >>> HeteroskedasticLogit(spread=0.0).law({"x": [0.0]}).mean().round(4)
    array([0.7311])
    """

    intercept: float = 1.0
    slope: float = 2.0
    spread: float = 0.5

    def law(self, table: Mapping[str, Any]) -> Law:
        """Bernoulli."""
        x = _column(table, "x")
        return _logit((self.intercept + self.slope * x) * np.exp(-self.spread * x))


@final
@dataclass(frozen=True)
class QuadraticLogit(_NormalX):
    """P(y = 1 | x) = Λ(intercept + slope·x + curve·x²), x standard normal, for models that leave x² out.

    No parameter is declared true: which one is depends on the specification, so ask `pseudo_true`.

    Parameters
    ----------
    intercept, slope, curve : float.

    Examples
    --------
    >>> truth = QuadraticLogit().truth(["ame[x]"])["ame[x]"]
    >>> round(truth.value, 2), truth.error < 0.001
    (0.18, True)
    """

    intercept: float = -0.5
    slope: float = 1.0
    curve: float = 0.5

    def law(self, table: Mapping[str, Any]) -> Law:
        """Bernoulli."""
        x = _column(table, "x")
        return _logit(self.intercept + self.slope * x + self.curve * x**2)


# ---- laws of one outcome -----------------------------------------------------------------------------------


class _Alone(Process):
    """A process without covariates."""

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """None."""
        return {}


@final
@dataclass(frozen=True)
class Bimodal(_Alone):
    """y ~ ½N(−1, .5²) + ½N(1, .75²), i.i.d.; entropy 1.4823.

    Parameters
    ----------
    share : float, of the first component.
    means, stds : pairs of float.

    Raises
    ------
    OptionError
        If they are not as described.

    Examples
    --------
    >>> truth = Bimodal().truth(["mean", "q[0.5]", "cdf[0]"])
    >>> {name: round(t.value, 4) for name, t in truth.items()}
    {'mean': 0.0, 'q[0.5]': -0.2, 'cdf[0]': 0.5342}
    """

    share: float = 0.5
    means: tuple[float, float] = (-1.0, 1.0)
    stds: tuple[float, float] = (0.5, 0.75)

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and len(self.means) == len(self.stds) == 2 and min(self.stds) > 0):
            raise OptionError("share lies between 0 and 1, means and stds are pairs, stds positive.")

    def law(self, table: Mapping[str, Any]) -> Law:
        """A mixture of two normals."""
        parts = [Normal(m, s) for m, s in zip(self.means, self.stds, strict=True)]
        return Mixture(parts, [self.share, 1 - self.share])  # type: ignore[arg-type]


@final
@dataclass(frozen=True)
class SkewedMixture(_Alone):
    """y ~ (1 − share)·N(0, 1) + share·(shift + exp(spread·N(0, 1))): a bulk, and a part with a long tail.

    Parameters
    ----------
    share, shift, spread : float.

    Examples
    --------
    >>> round(SkewedMixture().truth(["mean"])["mean"].value, 4)
    0.9399
    """

    share: float = 0.3
    shift: float = 2.0
    spread: float = 0.5

    def law(self, table: Mapping[str, Any]) -> Law:
        """A mixture of a normal and a shifted log-normal."""
        tail = Transformed(Normal(), (Affine(0, self.spread), Exp(), Affine(self.shift, 1)))
        return Mixture((Normal(), tail), [1 - self.share, self.share])  # type: ignore[arg-type]


@final
@dataclass(frozen=True)
class GAndK(_Alone):
    """y = loc + scale·(1 + .8·tanh(g·z/2))·z·(1 + z²)^k, z standard normal: a law known by its quantiles.

    Parameters
    ----------
    loc, scale, g, k : float, as in `GAndKMap`.

    Examples
    --------
    >>> truth = GAndK().truth(["median", "q[0.9]"])
    >>> {name: round(t.value, 4) for name, t in truth.items()}
    {'median': 3.0, 'q[0.9]': 6.5113}
    """

    loc: float = 3.0
    scale: float = 1.0
    g: float = 2.0
    k: float = 0.5

    def law(self, table: Mapping[str, Any]) -> Law:
        """A normal law through the g-and-k map."""
        return Transformed(Normal(), (GAndKMap(self.loc, self.scale, self.g, self.k),))

    def closed_forms(self) -> dict[str, float]:
        """The median."""
        return {"median": self.loc}


# ---- laws of an outcome given another ----------------------------------------------------------------------


@final
@dataclass(frozen=True)
class UniformNormal(Process):
    """b given a ~ N(a, a), a ~ U(low, high); the joint entropy is 1.6121 for a in (1, 2).

    Parameters
    ----------
    low, high : float, 0 < low < high.

    Raises
    ------
    OptionError
        If they are not in order.

    Examples
    --------
    >>> process = UniformNormal()
    >>> table = process(np.random.default_rng(0), n=5)
    >>> list(table), bool(process.joint_logpdf(table)[0] == process.logpdf(table)[0])
    (['b', 'a'], True)
    """

    low: float = 1.0
    high: float = 2.0
    outcome = "b"

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < np.inf:
            raise OptionError("low and high need 0 < low < high.")

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """a."""
        return {"a": rng.uniform(self.low, self.high, n)}

    def law(self, table: Mapping[str, Any]) -> Law:
        """Normal with mean and variance a."""
        a = _column(table, "a")
        return Normal(a, np.sqrt(a))

    def joint_logpdf(self, table: Mapping[str, Any]) -> Array:
        """Log density of (a, b), (n,)."""
        a = _column(table, "a")
        inside = (a >= self.low) & (a <= self.high)
        return np.where(inside, self.logpdf(table) - np.log(self.high - self.low), -np.inf)

    def closed_forms(self) -> dict[str, float]:
        """Mean and variance of b."""
        mean, var = (self.low + self.high) / 2, (self.high - self.low) ** 2 / 12
        return {"mean": mean, "var": mean + var, "std": float(np.sqrt(mean + var))}


@final
@dataclass(frozen=True)
class TwoCircles(Process):
    """Points on two circles with normal noise, both coordinates divided by their standard deviation; i.i.d.

    rows.

    The outcome is x2 given x1; `joint_logpdf` is the exact density of (x1, x2).

    Parameters
    ----------
    radii : pair of float, each with half of the points.
    noise : float, standard deviation of the noise in each coordinate before scaling.
    standardized : bool, whether coordinates are divided by their standard deviation in the population.

    Raises
    ------
    OptionError
        If the noise or a radius is not positive.

    Examples
    --------
    >>> process = TwoCircles()
    >>> table = process(np.random.default_rng(0), n=1000)
    >>> spread = table["x1"].std()
    >>> list(table), bool(abs(spread - 1) < 0.1), process.joint_logpdf({"x1": [0.0], "x2": [0.0]}).round(1)
    (['x2', 'x1'], True, array([-47.7]))
    """

    radii: tuple[float, float] = (1.0, 0.5)
    noise: float = 0.05
    standardized: bool = True
    outcome = "x2"

    def __post_init__(self) -> None:
        if not (len(self.radii) == 2 and min(self.radii) > 0 and self.noise > 0):
            raise OptionError("radii are two positive numbers, and noise is positive.")

    @property
    def scale(self) -> float:
        """What coordinates are divided by."""
        variance = float(np.mean(np.square(self.radii))) / 2 + self.noise**2
        return float(np.sqrt(variance)) if self.standardized else 1.0

    def population(self, rng: np.random.Generator, n: int) -> Table:
        """Both coordinates at once."""
        radius = np.asarray(self.radii)[rng.integers(0, 2, n)]
        angle = rng.uniform(0, 2 * np.pi, n)
        x1 = (radius * np.cos(angle) + self.noise * rng.standard_normal(n)) / self.scale
        x2 = (radius * np.sin(angle) + self.noise * rng.standard_normal(n)) / self.scale
        return {"x2": x2, "x1": x1}

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """x1."""
        return {"x1": self.population(rng, n)["x1"]}

    def outcomes(self, rng: np.random.Generator, table: Table, n: int) -> Array:
        """x2 given x1."""
        draws: Array = self.law(table).sample(1, seed=rng)[:, 0]
        return draws

    def _angles(self) -> tuple[Array, Array]:
        """Radii and angles of points, so many that normals around them blend into circles."""
        count = 2 * int(np.ceil(max(32, 2 * np.pi * max(self.radii) / self.noise)))
        angle = (np.arange(count) + 0.5) * 2 * np.pi / count
        return np.repeat(self.radii, count), np.tile(angle, 2)

    def law(self, table: Mapping[str, Any]) -> Law:
        """x2 given x1: normals around the points of the circles, weighted by how near x1 they are."""
        radius, angle = self._angles()
        x1 = np.atleast_1d(_column(table, "x1"))
        log_weight = -0.5 * ((x1[:, None] * self.scale - radius * np.cos(angle)) / self.noise) ** 2
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        parts = [Normal(c, self.noise / self.scale) for c in radius * np.sin(angle) / self.scale]
        return Mixture(tuple(parts), weight)

    def marginal(self) -> Law:
        """The law of either coordinate."""
        radius, angle = self._angles()
        return Mixture(tuple(Normal(c, self.noise / self.scale) for c in radius * np.sin(angle) / self.scale))

    def joint_logpdf(self, table: Mapping[str, Any]) -> Array:
        """Log density of (x1, x2), (n,): a ring's is exp(−(r − R)²/2σ²)·e^(−rR/σ²)I₀(rR/σ²)/(2πσ²)."""
        r = np.hypot(_column(table, "x1"), _column(table, "x2")) * self.scale
        parts = [
            -0.5 * ((r - R) / self.noise) ** 2 + np.log(special.i0e(r * R / self.noise**2)) - np.log(2.0)
            for R in self.radii
        ]
        return np.asarray(
            np.logaddexp(*parts) - 2 * np.log(self.noise) - 2 * LOG_ROOT_2PI + 2 * np.log(self.scale)
        )


@final
@dataclass(frozen=True)
class NoisySine(Process):
    """x1 = sin(x2) + N(0, noise²), x2 ~ U(−3, 3); the joint entropy is .9081.

    Parameters
    ----------
    noise : float, positive.

    Examples
    --------
    >>> NoisySine().law({"x2": [0.0, np.pi / 2]}).mean()
    array([0., 1.])
    """

    noise: float = 0.1
    outcome = "x1"

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """x2."""
        return {"x2": rng.uniform(-3.0, 3.0, n)}

    def law(self, table: Mapping[str, Any]) -> Law:
        """Normal around the sine."""
        return Normal(np.sin(_column(table, "x2")), self.noise)

    def joint_logpdf(self, table: Mapping[str, Any]) -> Array:
        """Log density of (x1, x2), (n,)."""
        inside = np.abs(_column(table, "x2")) <= 3
        return np.where(inside, self.logpdf(table) - np.log(6.0), -np.inf)

    def closed_forms(self) -> dict[str, float]:
        """Mean and variance of x1."""
        var = 0.5 - np.sin(6.0) / 12 + self.noise**2
        return {"mean": 0.0, "var": float(var), "std": float(np.sqrt(var))}


@final
@dataclass(frozen=True)
class LocationScale(Process):
    """y = intercept + slope·x + exp(log_scale + log_slope·x)·e, x ~ U(0, 1), e standard normal.

    Parameters
    ----------
    intercept, slope : float, of the mean, which least squares estimates.
    log_scale, log_slope : float, of the logarithm of the standard deviation.

    Examples
    --------
    >>> LocationScale().truth(["x", "ame[x]"])
    {'x': Truth(value=2.0, error=0.0), 'ame[x]': Truth(value=2.0, error=0.0)}
    """

    intercept: float = 1.0
    slope: float = 2.0
    log_scale: float = -1.0
    log_slope: float = 1.0

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """x, uniform."""
        return {"x": rng.random(n)}

    def law(self, table: Mapping[str, Any]) -> Law:
        """Normal."""
        x = _column(table, "x")
        return Normal(self.intercept + self.slope * x, np.exp(self.log_scale + self.log_slope * x))

    def parameters(self) -> dict[str, float]:
        """Intercept and x of the mean."""
        return {"Intercept": self.intercept, "x": self.slope}

    def closed_forms(self) -> dict[str, float]:
        """The mean of y and the average effect of x."""
        return {"mean": self.intercept + self.slope / 2, "ame[x]": self.slope}


# ---- selection ---------------------------------------------------------------------------------------------


def _both_below(h: Array, k: Array, rho: float) -> Array:
    """P(U ≤ h, V ≤ k) of standard normals with correlation ρ, |ρ| < 1, through Owen's T."""
    root = np.sqrt(1 - rho**2)
    h, k = np.broadcast_arrays(np.where(h == 0, 1e-300, h), np.where(k == 0, 1e-300, k))
    apart = np.where(h * k < 0, 0.5, 0.0)
    ends = special.owens_t(h, (k / h - rho) / root) + special.owens_t(k, (h / k - rho) / root)
    return np.asarray(np.clip((special.ndtr(h) + special.ndtr(k)) / 2 - ends - apart, 0.0, 1.0))


@final
@dataclass(frozen=True, eq=False)
class _Selected(Law):
    """Outcome W_d of the sector d that pays better: both normal, chosen by an index that goes with them."""

    means: tuple[float, float]
    stds: tuple[float, float]
    rhos: tuple[float, float]  # correlation of each sector's outcome with the index that selects it
    index: Array  # (n,) standardised mean of the index of sector 1

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """(n,)."""
        return self.index.shape

    def support(self) -> tuple[Array, Array]:
        """The line."""
        missing = 0 * self.index
        return missing - np.inf, missing + np.inf

    def _sectors(self, y: Array) -> list[tuple[Array, float, float, Array]]:
        """For each sector: standardised outcome, its scale, correlation with the index, mean of the index."""
        signs = (-1.0, 1.0)
        parts = zip(self.means, self.stds, self.rhos, signs, strict=True)
        return [((y - m) / s, s, rho, sign * self.index[:, None]) for m, s, rho, sign in parts]

    def _logpdf(self, y: Array) -> Array:
        parts = [
            -0.5 * z**2 - LOG_ROOT_2PI - np.log(s) + special.log_ndtr((a + rho * z) / np.sqrt(1 - rho**2))
            for z, s, rho, a in self._sectors(y)
        ]
        return np.asarray(np.logaddexp(*parts))

    def _cdf(self, y: Array) -> Array:
        return np.asarray(sum(_both_below(z, a, -rho) for z, _, rho, a in self._sectors(y)))

    def _sf(self, y: Array) -> Array:
        return np.asarray(sum(_both_below(-z, a, rho) for z, _, rho, a in self._sectors(y)))

    def _mean(self) -> Array:
        parts = zip(self.means, self.stds, self.rhos, (-1.0, 1.0), strict=True)
        a, density = self.index, np.exp(-0.5 * self.index**2 - LOG_ROOT_2PI)
        return np.asarray(sum(m * special.ndtr(sign * a) + s * rho * density for m, s, rho, sign in parts))


@final
@dataclass(frozen=True)
class Roy(Process):
    """Two sectors with normal outcomes w₀, w₁; d = 1 where w₁ − w₀ > cost + push·z; y is that of sector d.

    z, standard normal, moves the choice and not the outcomes.  The law is that of y given z.

    Parameters
    ----------
    means, stds : pairs of float, of w₀ and w₁.
    correlation : float in (−1, 1), of w₀ and w₁.
    cost, push : float, of choosing sector 1.

    Raises
    ------
    OptionError
        If a standard deviation is not positive or the correlation is not inside (−1, 1).

    References
    ----------
    Roy (1951), Some thoughts on the distribution of earnings, Oxford Economic Papers 3.
    Heckman, Honoré (1990), The empirical content of the Roy model, Econometrica 58, doi:10.2307/2938303.

    Examples
    --------
    >>> truth = Roy().truth(["ate", "att", "mean"])
    >>> {name: (round(t.value, 2), t.error < 0.01) for name, t in truth.items()}
    {'ate': (0.5, True), 'att': (1.07, True), 'mean': (1.63, True)}
    """

    means: tuple[float, float] = (1.0, 1.5)
    stds: tuple[float, float] = (0.5, 1.0)
    correlation: float = 0.3
    cost: float = 0.25
    push: float = 0.5

    def __post_init__(self) -> None:
        if min(self.stds) <= 0 or not -1 < self.correlation < 1:
            raise OptionError("stds must be positive and the correlation inside (−1, 1).")

    def _gain(self) -> tuple[float, float, float]:
        """Mean and standard deviation of w₁ − w₀, and the covariance of w₀ and w₁."""
        shared = self.correlation * self.stds[0] * self.stds[1]
        return (
            self.means[1] - self.means[0],
            float(np.sqrt(self.stds[0] ** 2 + self.stds[1] ** 2 - 2 * shared)),
            shared,
        )

    def covariates(self, rng: np.random.Generator, n: int) -> Table:
        """z."""
        return {"z": rng.standard_normal(n)}

    def population(self, rng: np.random.Generator, n: int) -> Table:
        """y, z and the sector d."""
        z, a, b = rng.standard_normal((3, n))
        w0 = self.means[0] + self.stds[0] * a
        w1 = self.means[1] + self.stds[1] * (self.correlation * a + np.sqrt(1 - self.correlation**2) * b)
        d = w1 - w0 > self.cost + self.push * z
        return {"y": np.where(d, w1, w0), "z": z, "d": d.astype(np.float64)}

    def law(self, table: Mapping[str, Any]) -> Law:
        """y given z."""
        mean, spread, shared = self._gain()
        to_gain = (
            (self.stds[0] ** 2 - shared) / (self.stds[0] * spread),
            (self.stds[1] ** 2 - shared) / (self.stds[1] * spread),
        )
        index = (mean - self.cost - self.push * _column(table, "z")) / spread
        return _Selected(self.means, self.stds, to_gain, index)

    def parameters(self) -> dict[str, float]:
        """Average effect of sector 1 on all, on those in it and on the others, and the share in it."""
        mean, spread, _ = self._gain()
        total = float(np.hypot(spread, self.push))
        a = (mean - self.cost) / total
        density, share = float(np.exp(-0.5 * a**2 - LOG_ROOT_2PI)), float(special.ndtr(a))
        lift = spread**2 / total * density
        return {"ate": mean, "att": mean + lift / share, "atu": mean - lift / (1 - share), "share": share}
