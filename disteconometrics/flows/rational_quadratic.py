"""Monotone rational-quadratic splines in numpy, with their gradients by hand.

On batches of a few hundred rows torch spends more time on the calls of its many small operations and of their
gradients than on the numbers; numpy's calls take a third, and the gradient of a spline needs few more numbers
than its value.  Bins are the first axis, so that every operation runs along the rows.

References
----------
Gregory, Delbourgo (1982), Piecewise rational quadratic interpolation to monotonic data, IMA Journal of
Numerical Analysis 2, doi:10.1093/imanum/2.2.123.
Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS 32, arXiv:1906.04032.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from disteconometrics.arrays import Array, Indices, Mask

__all__ = ["START", "Spline", "inverse"]


# Arrays here are float32 or float64, as they come in.
SMALLEST = 1e-3  # width, height and slope of a bin
START = math.log(math.expm1(1 - SMALLEST))  # raw slope of the identity


class _Bins(NamedTuple):
    """Shares, lengths, right ends (2, K, …) of the bins in y and z, raw slopes at their ends (K + 1, …)."""

    shares: Array
    lengths: Array
    ends: Array
    raw_slopes: Array

    @staticmethod
    def of(raw: Array, count: int, bound: float) -> _Bins:
        lead = raw.shape[:-1]
        columns = np.ascontiguousarray(raw.reshape(-1, raw.shape[-1]).T).reshape(-1, *lead)
        shares = columns[: 2 * count].reshape(2, count, *lead)
        shares = np.exp(shares - np.maximum.reduce(shares, 1, keepdims=True))
        shares /= np.add.reduce(shares, 1, keepdims=True)
        lengths = shares * _free(count, bound)
        lengths += 2 * bound * SMALLEST
        until = np.tri(count, dtype=raw.dtype)  # numpy's cumulated sums are slow along any axis but the last
        ends = (until @ lengths.reshape(2, count, -1)).reshape(lengths.shape)
        ends -= bound
        raw_slopes = np.empty((count + 1, *lead), raw.dtype)
        raw_slopes[0] = raw_slopes[-1] = START
        raw_slopes[1:-1] = columns[2 * count :]
        return _Bins(shares, lengths, ends, raw_slopes)


def _free(count: int, bound: float) -> float:
    """The length that is left to share when every bin has its smallest."""
    return 2 * bound * (1 - SMALLEST * count)


class _Place(NamedTuple):
    """The bin (…) of every point, which inner knots (K − 1, …) it has passed.

    The bin's left ends, lengths and slopes (2, …).
    """

    bin: Indices
    passed: Mask
    starts: Array
    lengths: Array
    slopes: Array

    @staticmethod
    def of(points: Array, bins: _Bins, side: int) -> _Place:
        passed = points >= bins.ends[side, :-1]
        place = np.add.reduce(passed, 0)
        lead = bins.raw_slopes.shape[1:]
        size = math.prod(lead)
        at = place * size + np.arange(size).reshape(lead)
        lengths = bins.lengths.reshape(2, -1).take(at, 1)
        starts = bins.ends.reshape(2, -1).take(at, 1)
        starts -= lengths
        raw = bins.raw_slopes.reshape(-1).take(np.array([at, at + size]))
        slopes = np.log1p(np.exp(-np.abs(raw)))
        slopes += np.maximum(raw, 0)
        slopes += SMALLEST
        return _Place(place, passed, starts, lengths, slopes)


class _Curve(NamedTuple):
    """What a bin's function is made of at shares t of the way, all (…).

    ``rise`` is from 0 to 1, ``slope`` that of the spline.
    """

    t: Array
    steep: Array
    square: Array
    u: Array
    rest: Array
    bend: Array
    top: Array
    rise: Array
    slope: Array

    @staticmethod
    def of(t: Array, steep: Array, below: Array, above: Array) -> _Curve:
        square = t * t
        u = t - square
        rest = 1 - t - u
        bend = steep + (below + above - 2 * steep) * u
        top = above * square + 2 * steep * u + below * rest
        rise = (steep * square + below * u) / bend
        return _Curve(t, steep, square, u, rest, bend, top, rise, np.square(steep / bend) * top)


@final
@dataclass(frozen=True, eq=False)
class _Passed:
    """What a pass forward leaves to the gradient.

    ``beyond`` says which points are outside the bound, None where none is.
    """

    bins: _Bins
    place: _Place
    curve: _Curve
    beyond: Mask | None


def _aligned(y: Array, raw: Array) -> tuple[Array, Array]:
    """Both with the same number of leading axes, at least one."""
    axes = max(y.ndim, raw.ndim - 1, 1)
    return y.reshape((1,) * (axes - y.ndim) + y.shape), raw.reshape((1,) * (axes + 1 - raw.ndim) + raw.shape)


def _forward(y: Array, raw: Array, count: int, bound: float) -> tuple[Array, Array, _Passed]:
    """z and log dz/dy (…) at points (…) with raw parameters (…, 3·count − 1)."""
    y, raw = _aligned(y, raw)
    inside = np.minimum(np.maximum(y, -bound), bound)
    bins = _Bins.of(raw, count, bound)
    place = _Place.of(inside, bins, 0)
    (x, low), (w, h), (below, above) = place.starts, place.lengths, place.slopes
    curve = _Curve.of((inside - x) / w, h / w, below, above)
    z, log_slope = low + h * curve.rise, np.log(curve.slope)
    beyond = y != inside
    if not beyond.any():
        return z, log_slope, _Passed(bins, place, curve, None)
    z, log_slope = np.where(beyond, y, z), np.where(beyond, log_slope.dtype.type(0), log_slope)
    return z, log_slope, _Passed(bins, place, curve, beyond)


def _backward(of_z: Array, of_log: Array, passed: _Passed, bound: float) -> tuple[Array, Array]:
    """Gradients for points (…) and, with the points' leading axes, for raw parameters (…, 3·count − 1)."""
    bins, place, beyond = passed.bins, passed.place, passed.beyond
    t, steep, square, u, rest, bend, top, rise, slope = passed.curve
    (w, h), (below, above) = place.lengths, place.slopes
    of_z, of_log = of_z.reshape(place.bin.shape), of_log.reshape(place.bin.shape)
    own_z, own_log = (of_z, of_log) if beyond is None else (of_z * ~beyond, of_log * ~beyond)
    # first for t and the bin's slope h/w, of which z = low + h·rise and log slope = 2 log steep + log top − 2
    # log bend
    by_top, by_bend, z_bend = own_log / top, 2 * own_log / bend, own_z * h / bend
    turn, less = 1 - 2 * t, 1 - 2 * u
    of_t = (
        own_z * slope * w
        + 2 * by_top * (above * t + steep * turn - below * (1 - t))
        - by_bend * turn * (below + above - 2 * steep)
    )
    of_steep = (z_bend * (square - rise * less) + 2 * by_top * u - by_bend * less + 2 * own_log / steep) / w
    of_t /= w
    moved = (z_bend - by_bend) * u
    sunk = z_bend * u * rise
    of_slopes = np.array([moved - sunk + by_top * rest, by_top * square - by_bend * u - sunk])
    of_slopes *= 1 - np.exp(SMALLEST - place.slopes)  # the logistic function of the raw slope
    of_lengths = np.array([-(of_t * t + of_steep * steep), own_z * rise + of_steep])
    of_starts = np.array([-of_t, own_z])
    # a start is the sum of the lengths before it
    shape, count = place.bin.shape, len(bins.raw_slopes) - 1
    size = math.prod(shape)
    at = place.bin.reshape(-1) * size + np.arange(size)
    out = np.zeros((3 * count - 1, *shape), of_t.dtype)
    of_shares = out[: 2 * count].reshape(2, count, *shape)
    np.multiply(place.passed, of_starts[:, None], out=of_shares[:, :-1])
    for side in (0, 1):
        of_shares[side].put(at, of_lengths[side])
    of_shares -= np.add.reduce(of_shares * bins.shares, 1, keepdims=True)
    of_shares *= bins.shares
    of_shares *= _free(count, bound)
    of_raw = np.zeros((count + 1, *shape), of_t.dtype)
    of_raw.put(at, of_slopes[0])
    of_raw.put(at + size, of_slopes[1])
    out[2 * count :] = of_raw[1:-1]
    return of_t if beyond is None else np.where(beyond, of_z, of_t), out.reshape(len(out), -1).T.reshape(
        *shape, -1
    )


class Spline(torch.autograd.Function):
    """z and log dz/dy (…) at points (…) with raw parameters (…, 3·count − 1), leading axes broadcast.

    Identity beyond ± bound.
    """

    @staticmethod
    def forward(y: Tensor, raw: Tensor, count: int, bound: float) -> tuple[Tensor, Tensor, _Passed]:
        """Values, and what the gradient needs."""
        with np.errstate(all="ignore"):  # a step too far gives NaN, which training steps back from
            z, log_slope, passed = _forward(y.numpy(force=True), raw.numpy(force=True), count, bound)
        shape = z.shape if y.ndim or raw.ndim > 1 else ()
        return (
            torch.from_numpy(z).to(y.device).view(shape),
            torch.from_numpy(log_slope).to(y.device).view(shape),
            passed,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep it."""
        y, raw, _, ctx.bound = inputs
        ctx.shapes, ctx.passed = (y.shape, raw.shape), output[2]

    @staticmethod
    def backward(ctx: Any, of_z: Tensor, of_log: Tensor, _: Any) -> Any:
        """Gradients."""
        with np.errstate(all="ignore"):
            found = _backward(of_z.numpy(force=True), of_log.numpy(force=True), ctx.passed, ctx.bound)
        sums: list[Tensor | None] = [None, None]
        for i, (gradient, shape) in enumerate(zip(found, ctx.shapes, strict=True)):
            if ctx.needs_input_grad[i]:
                made = torch.from_numpy(gradient).to(of_z.device)
                sums[i] = made if made.shape == shape else made.sum_to_size(shape)
        return *sums, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], y: Tensor, raw: Tensor, count: int, bound: float
    ) -> Any:
        """Many sets of parameters or points at once: one more leading axis."""
        axes = max(y.ndim - (in_dims[0] is not None), raw.ndim - 1 - (in_dims[1] is not None))
        if in_dims[0] is not None:
            y = y.movedim(in_dims[0], 0)
            y = y.reshape(len(y), *[1] * (axes + 1 - y.ndim), *y.shape[1:])
        if in_dims[1] is not None:
            raw = raw.movedim(in_dims[1], 0)
            raw = raw.reshape(len(raw), *[1] * (axes + 2 - raw.ndim), *raw.shape[1:])
        return Spline.apply(y, raw, count, bound), (0, 0, None)  # type: ignore[no-untyped-call]


# torch binds the arguments by the signature at every call, and would work it out at each
Spline.forward.__signature__ = inspect.signature(Spline.forward)  # type: ignore[attr-defined]


def inverse(z: Tensor, raw: Tensor, count: int, bound: float) -> Tensor:
    """The points (…) whose spline is z (…), the root of a quadratic, polished; no gradient goes through.

    Examples
    --------
    >>> raw = torch.linspace(-1, 1, 11).double()
    >>> y = torch.tensor([-7.0, 0.3, 2.0]).double()
    >>> torch.allclose(inverse(Spline.apply(y, raw, 4, 5.0)[0], raw, 4, 5.0), y)
    True
    """
    values, parameters = _aligned(z.numpy(force=True), raw.numpy(force=True))
    inside = np.minimum(np.maximum(values, -bound), bound)
    place = _Place.of(inside, _Bins.of(parameters, count, bound), 1)
    (x, low), (w, h), (below, above) = place.starts, place.lengths, place.slopes
    steep, rest = h / w, inside - low
    both = rest * (below + above - 2 * steep)
    a, b, c = h * (steep - below) + both, h * below - both, -steep * rest
    t = np.clip(2 * c / (-b - np.sqrt(np.maximum(b * b - 4 * a * c, 0))), 0, 1)
    for _ in range(2):  # the discriminant cancels where a bin is steep: Newton's steps bring the last digits
        curve = _Curve.of(t, steep, below, above)
        t = np.clip(t - (h * curve.rise - rest) / (curve.slope * w), 0, 1)
    found = torch.from_numpy(np.where(values != inside, values, x + w * t)).to(z.device)
    return found if z.ndim or raw.ndim > 1 else found[0]
