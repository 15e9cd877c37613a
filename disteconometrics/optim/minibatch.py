"""Training by stochastic gradients.

What to do is a frozen value, `Adam`, `AdamW` or `LBFGS`, and `train` does it.

A step whose loss is not a number is left out; many in a row, or an interrupt, end the training with the
parameters so far.
"""

from __future__ import annotations

import math
import time
from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, ClassVar, final

from disteconometrics.checks import is_real, is_whole, whole
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "HISTORY",
    "LBFGS",
    "MOST_SPREADS",
    "Adam",
    "AdamW",
    "Trained",
    "Trainer",
    "batches",
    "dtype_of",
    "hold_out",
    "judge_on",
    "train",
    "windowed",
]

MOST_SPREADS = 1e5  # times as far out as the others that a value may be: single precision has seven digits
MOST_LOST_STEPS = 25  # steps without a finite loss, one after the other, that end a training
STEPS_BETWEEN_COPIES = 25  # steps between copies of the parameters that a lost training goes back to
SHOWN = 20  # steps between figures on the progress bar
SETTLED = 1e-9  # largest gradient at which L-BFGS has converged
RISING_SHARE = 0.3  # share of the steps of a one-cycle in which the rate rises

HISTORY = ("step", "loss", "validation", "lr", "seconds")

Callback = Callable[[int], "float | None"]


def _number(value: Any, name: str, low: float, high: float = math.inf) -> None:
    if not is_real(value) or not low <= float(value) < high:
        raise OptionError(
            f"{name}={value!r}: give a number of at least "
            f"{low:g}{'' if high == math.inf else f' below {high:g}'}."
        )


def _snapshots(given: Any, steps: int) -> tuple[int, ...]:
    """The steps to keep, in order and each once."""
    if not isinstance(given, (tuple, list)) or not all(map(is_whole, given)):
        raise OptionError(f"snapshots={given!r}: give the steps to keep, such as (100, 500).")
    if any(not 0 <= s <= steps for s in given):
        raise OptionError(f"snapshots={tuple(given)}: steps lie between 0 and {steps}.")
    return tuple(sorted({int(s) for s in given}))


@dataclass(frozen=True, kw_only=True)
class Trainer(TakesWords, ABC):
    """How to train: what all trainers share, described in `Adam`."""

    lr: float = 1e-3
    steps: int = 1000
    batch: int | None = None
    weight_decay: float = 0.0
    schedule: str = "constant"
    validation: float = 0.0
    patience: int | None = None
    clip: float | None = None
    snapshots: tuple[int, ...] = ()
    callback: Callback | None = None
    device: str = "cpu"

    precision: ClassVar[str] = "single"

    def __post_init__(self) -> None:
        _number(self.lr, "lr", 1e-12)
        whole(self.steps, "steps", 1)
        _number(self.weight_decay, "weight_decay", 0)
        _number(self.validation, "validation", 0, 0.9)
        for name in ("batch", "patience"):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name, 1)
        if self.clip is not None:
            _number(self.clip, "clip", 1e-12)
        self._check_kinds()
        object.__setattr__(self, "snapshots", _snapshots(self.snapshots, self.steps))
        if not isinstance(self.device, str):
            raise OptionError(
                f"device={self.device!r}: give the name of a torch device, such as 'cpu' or 'cuda'."
            )

    def _check_kinds(self) -> None:
        if self.schedule not in ("constant", "one-cycle"):
            raise OptionError(f"schedule={self.schedule!r}: give 'constant' or 'one-cycle'.")
        if self.patience is not None and not self.validation:
            raise OptionError(
                "patience counts steps without a better validation loss; set validation=0.2, a share of "
                "the rows."
            )
        if self.callback is not None and not callable(self.callback):
            raise OptionError(
                "callback is a function of the step that returns None or a factor of the step's loss."
            )

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        warm = max(RISING_SHARE * self.steps, 1.0)
        if step < warm:
            return self.lr * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / warm)))
        place = (step - warm) / max(self.steps - 1 - warm, 1)
        return self.lr * (1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * min(place, 1.0))))


@final
@dataclass(frozen=True, kw_only=True)
class Adam(Trainer):
    """Train with Adam.

    Parameters
    ----------
    lr : float, learning rate.
    steps : int, number of steps.
    batch : int or None
        Rows in a step, drawn without replacement epoch by epoch; None for all rows (512 fresh ones from a
        sampler).
    weight_decay : float, added to the gradients as a multiple of the parameters.
    schedule : {"constant", "one-cycle"}
        "one-cycle" raises the rate for 30 % of the steps and lets it fall to nothing along a cosine.
    validation : float, share of the rows kept to choose the best state; 0 keeps the last one.
    patience : int or None, steps without a better validation loss after which training ends.
    clip : float or None, largest norm of the gradient.
    snapshots : tuple of int, steps whose parameters are kept; 0 is the start.
    callback : function of the step or None; a number that it returns multiplies the step's loss.
    device : str, torch device.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Kingma, Ba (2015), Adam: a method for stochastic optimization, ICLR, arXiv:1412.6980.

    Examples
    --------
    >>> Adam(lr=1e-2, steps=500, snapshots=(100, 10)).snapshots
    (10, 100)
    """


@final
@dataclass(frozen=True, kw_only=True)
class AdamW(Trainer):
    """Train with AdamW, whose weight decay is decoupled from the gradient; by default with a one-cycle rate.

    Parameters
    ----------
    lr, steps, batch, weight_decay, schedule, validation, patience, clip, snapshots, callback, device : as in
        `Adam`.

    Raises
    ------
    OptionError

    References
    ----------
    Loshchilov, Hutter (2019), Decoupled weight decay regularization, ICLR, arXiv:1711.05101.
    Smith, Topin (2019), Super-convergence: very fast training of neural networks using large learning rates,
    arXiv:1708.07120.

    Examples
    --------
    >>> how = AdamW(steps=1000)
    >>> how.rate(300) == how.lr, how.rate(999) < 0.001 * how.lr
    (True, True)
    """

    lr: float = 5e-3
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"


@final
@dataclass(frozen=True, kw_only=True)
class LBFGS(Trainer):
    """Train with L-BFGS and a strong Wolfe line search, on all rows and in double precision.

    For flows with few parameters.

    Parameters
    ----------
    lr : float, first length tried by a line search.
    steps : int, most iterations; it ends earlier where the gradient vanishes.
    snapshots, callback, device : as in `Adam`; the other options have no meaning here and keep their
        defaults.

    Raises
    ------
    OptionError
        If a batch, weight decay, schedule or clip is given.

    References
    ----------
    Liu, Nocedal (1989), On the limited memory BFGS method for large scale optimization, Mathematical
    Programming 45, doi:10.1007/BF01589116.

    Examples
    --------
    >>> LBFGS().steps
    500
    """

    lr: float = 1.0
    steps: int = 500

    precision: ClassVar[str] = "double"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.batch, self.weight_decay, self.schedule, self.clip) != (None, 0, "constant", None):
            raise OptionError(
                "L-BFGS takes all rows at a constant rate: no batch, weight_decay, schedule or clip."
            )


@dataclass(frozen=True, eq=False)
class Trained:
    """How a training went: history, states kept, the step whose parameters are returned, why it ended."""

    history: dict[str, list[float]]
    kept: dict[int, list[Tensor]]
    best: int
    steps: int
    ended: str  # finished, converged, patience, interrupted, lost
    skipped: list[int] = field(default_factory=list)


def batches(
    tensors: Sequence[Tensor], size: int | None, rng: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Endless batches of rows, without replacement epoch by epoch.

    All rows at every step where size is None or too large.

    Examples
    --------
    >>> import torch
    >>> rows = batches([torch.arange(5)], 2, torch.Generator().manual_seed(0))
    >>> len({int(v) for _ in range(2) for v in next(rows)[0]})
    4
    """
    import torch

    n = len(tensors[0])
    if size is None or size >= n:
        while True:
            yield tuple(tensors)
    while True:
        order = torch.randperm(n, generator=rng).to(tensors[0].device)
        mixed = [t.index_select(0, order) for t in tensors]  # once an epoch, so that a batch is a slice
        for i in range(0, n - size + 1, size):
            yield tuple(t[i : i + size] for t in mixed)


def windowed(
    read: Callable[[int, int], Sequence[Tensor]], windows: int, size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Endless batches of rows of which one window is held at a time, without replacement epoch by epoch.

    Parameters
    ----------
    read : function of an epoch and the number of a window in it, whose rows it gives; windows of an epoch
        share the rows at random. A single one is read once.
    windows : int, windows in an epoch.
    size : int, rows in a batch.
    rng : of the order inside a window.

    Examples
    --------
    >>> import torch
    >>> rows = windowed(lambda epoch, i: [torch.arange(i, 6, 2)], 2, 3, torch.Generator())
    >>> [sorted(next(rows)[0].tolist()) for _ in range(3)]
    [[0, 2, 4], [1, 3, 5], [0, 2, 4]]
    """
    if windows == 1:
        yield from batches(read(0, 0), size, rng)
    for epoch in count():
        for number in range(windows):
            rows = read(epoch, number)
            yield from islice(batches(rows, size, rng), max(1, len(rows[0]) // size))


def hold_out(
    tensors: Sequence[Tensor], share: float, rng: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """A share of the rows, at least one, drawn at random to judge by, and the others.

    Examples
    --------
    >>> import torch
    >>> [apart], [rest] = hold_out([torch.arange(5)], 0.4, torch.Generator().manual_seed(0))
    >>> len(apart), sorted(torch.cat([apart, rest]).tolist())
    (2, [0, 1, 2, 3, 4])
    """
    import torch

    n = len(tensors[0])
    held = max(1, round(share * n))
    place = torch.randperm(n, generator=rng).to(tensors[0].device)
    return [t[place[:held]] for t in tensors], [t[place[held:]] for t in tensors]


def judge_on(rows: Sequence[Tensor], loss: Callable[..., Tensor]) -> Callable[[], float]:
    """The loss on rows held out, without gradients, as a function to call.

    Examples
    --------
    >>> import torch
    >>> judge_on([torch.ones(3)], lambda y: y.sum())()
    3.0
    """
    import torch

    def judge() -> float:
        with torch.no_grad():
            return float(loss(*rows))

    return judge


def dtype_of(how: Trainer) -> torch.dtype:
    """The type of number that a trainer computes with.

    Examples
    --------
    >>> dtype_of(LBFGS())
    torch.float64
    """
    import torch

    return torch.float64 if how.precision == "double" else torch.float32


def _optimiser(how: Trainer, parameters: Sequence[Tensor]) -> Any:
    import torch

    if isinstance(how, LBFGS):
        return torch.optim.LBFGS(
            parameters,
            lr=how.lr,
            max_iter=1,
            max_eval=25,
            history_size=50,
            line_search_fn="strong_wolfe",
            tolerance_change=0.0,
        )
    return _Moments(parameters[0], how.weight_decay, decoupled=isinstance(how, AdamW))


@final
class _Moments:
    """Adam's moving averages of one vector's gradient, and its step.

    To the bit that of `torch.optim.Adam` with ``fused=True``, whose first step loads torch's compiler.
    """

    def __init__(self, flat: Tensor, decay: float, *, decoupled: bool) -> None:
        import torch

        self.flat, self.decay = flat, decay
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = torch.zeros((), dtype=torch.float32, device=flat.device)
        self.kernel: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def step(self, rate: float) -> None:
        """Move the vector by one step."""
        import torch

        with torch.no_grad():
            self.steps += 1
            self.kernel(
                [self.flat],
                [self.flat.grad],
                [self.first],
                [self.second],
                [],
                [self.steps],
                amsgrad=False,
                lr=rate,
                beta1=0.9,
                beta2=0.999,
                weight_decay=self.decay,
                eps=1e-8,
                maximize=False,
            )


def _joined(parameters: Sequence[Tensor]) -> Tensor:
    """One vector whose parts, with their gradients, the parameters are from now on.

    An optimiser's step is a few calls then.
    """
    import torch

    flat = torch.cat([p.detach().reshape(-1) for p in parameters]).requires_grad_()
    flat.grad = torch.zeros_like(flat)
    sizes = [p.numel() for p in parameters]
    parts = (torch.split(v, sizes) for v in (flat.detach(), flat.grad))
    for p, value, gradient in zip(parameters, *parts, strict=True):
        p.data, p.grad = value.view_as(p), gradient.view_as(p)
    return flat


def train(
    parameters: Sequence[Tensor],
    loss: Callable[..., Tensor],
    rows: Iterator[tuple[Tensor, ...]],
    how: Trainer,
    *,
    judge: Callable[[], float] | None = None,
    progress: bool | None = None,
    title: str = "flow",
) -> Trained:
    """Minimise a mean loss over batches; the parameters end at the best validated state, or the last one.

    Parameters
    ----------
    parameters : tensors to change, in place.
    loss : function of a batch's tensors → scalar Tensor.
    rows : iterator of batches.
    how : Trainer.
    judge : function that gives the loss on rows held out, or None.
    progress : bool or None, whether a bar is shown; None for a terminal only.
    title : str, of the bar.

    Returns
    -------
    Trained

    Examples
    --------
    >>> import torch
    >>> b = torch.zeros(1, requires_grad=True)
    >>> rows = batches([torch.tensor([1.0, 2.0, 6.0])], None, torch.Generator())
    >>> done = train([b], lambda y: ((y - b) ** 2).mean(), rows, Adam(lr=0.1, steps=300), progress=False)
    >>> b.detach().round(decimals=2), done.ended, len(done.history["loss"])
    (tensor([3.]), 'finished', 300)
    """
    import torch
    from tqdm.auto import tqdm

    run = _Run(parameters, how, judge)
    started = time.perf_counter()
    bar = tqdm(total=how.steps, desc=title, disable=None if progress is None else not progress, leave=False)
    ended = "finished"
    if 0 in how.snapshots:
        run.keep(0)
    try:
        for step in range(how.steps):
            value = run.step(step, loss, next(rows), time.perf_counter() - started)
            if step % SHOWN == 0:
                bar.update(min(SHOWN, how.steps - step))
                bar.set_postfix_str(f"log-likelihood {-value:.4f}", refresh=False)
            ended = run.verdict(step)
            if step + 1 in how.snapshots:
                run.keep(step + 1)
            if ended:
                break
    except KeyboardInterrupt:
        ended = "interrupted"
    finally:
        bar.close()
    with torch.no_grad():
        best = run.finish(ended)
    return Trained(run.history, run.kept, best, len(run.history["step"]), ended or "finished", run.skipped)


@final
class _Run:
    """The state of a training."""

    def __init__(self, parameters: Sequence[Tensor], how: Trainer, judge: Callable[[], float] | None) -> None:
        self.parameters, self.how, self.judge = parameters, how, judge
        self.flat = _joined(parameters)
        self.optimiser = _optimiser(how, [self.flat])
        self.history: dict[str, list[float]] = {name: [] for name in HISTORY}
        self.kept: dict[int, list[Tensor]] = {}
        self.skipped: list[int] = []
        self.good, self.good_step = self._copy(), 0
        self.best: list[Tensor] | None = None
        self.best_step, self.best_value = 0, math.inf
        self.row = self.still = 0

    def _copy(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def keep(self, step: int) -> None:
        self.kept[step] = self._copy()

    def step(
        self, step: int, loss: Callable[..., Tensor], batch: tuple[Tensor, ...], seconds: float
    ) -> float:
        """One step, its record, and its loss before the step."""
        import torch

        how, found = self.how, math.nan
        factor = how.callback(step) if how.callback is not None else None
        rate, gradient = how.rate(step), self.flat.grad
        assert gradient is not None

        def closure() -> Tensor:
            nonlocal found
            gradient.zero_()
            value = loss(*batch)
            value = value if factor is None else value * factor
            number = float(value.detach())
            if math.isnan(found):
                found = number
            if math.isfinite(number):
                value.backward()  # type: ignore[no-untyped-call]
            return value

        if isinstance(how, LBFGS):
            before = self._copy()
            self.optimiser.step(closure)
            if not math.isfinite(found):
                self._put(before)
        else:
            closure()
            if math.isfinite(found):
                if how.clip is not None:
                    torch.nn.utils.clip_grad_norm_(self.flat, how.clip)
                self.optimiser.step(rate)
        for name, value in zip(HISTORY, (step, found, math.nan, rate, seconds), strict=True):
            self.history[name].append(value)
        return found

    def verdict(self, step: int) -> str:
        """Why training ends after this step, or nothing; the states to go back to are kept here."""
        if not math.isfinite(self.history["loss"][-1]):
            self.skipped.append(step)
            self.row += 1
            return "lost" if self.row >= MOST_LOST_STEPS else ""
        self.row = 0
        if step % STEPS_BETWEEN_COPIES == 0:
            self.good, self.good_step = self._copy(), step
        if self.judge is not None and self._out_of_patience(step, self.judge):
            return "patience"
        return "converged" if isinstance(self.how, LBFGS) and self._settled() else ""

    def _out_of_patience(self, step: int, judge: Callable[[], float]) -> bool:
        """At every hundredth of the way: judge by the rows held out, and say whether patience is over."""
        every = max(1, self.how.steps // 100)
        if step % every != every - 1 and step != self.how.steps - 1:
            return False
        value = judge()
        self.history["validation"][-1] = value
        if value < self.best_value:
            self.best, self.best_step, self.best_value = self._copy(), step + 1, value
        return self.how.patience is not None and step + 1 - self.best_step >= self.how.patience

    def _settled(self) -> bool:
        """Whether the loss has stood still for three steps, or the gradient has vanished."""
        losses = self.history["loss"]
        stands = len(losses) > 1 and losses[-2] - losses[-1] <= 1e-15 * abs(losses[-1])
        self.still = self.still + 1 if stands else 0
        assert self.flat.grad is not None
        return self.still >= 3 or float(self.flat.grad.abs().max()) <= SETTLED

    def _put(self, values: list[Tensor]) -> None:
        for p, v in zip(self.parameters, values, strict=True):
            p.detach().copy_(v)

    def finish(self, ended: str) -> int:
        """Leave the parameters at the best state, and say of which step they are."""
        if self.best is not None:
            self._put(self.best)
            return self.best_step
        if ended == "lost":
            self._put(self.good)
            return self.good_step
        return len(self.history["step"])
