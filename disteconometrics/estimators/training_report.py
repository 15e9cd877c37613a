"""What results say of a training, and its history in files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.checks import MOST_COUNTED
from disteconometrics.errors import ConvergenceWarning, FileFormatError, warn_user
from disteconometrics.fields import Rule
from disteconometrics.optim.minibatch import HISTORY, Trained, Trainer

__all__ = [
    "ENDED",
    "NATS",
    "Ended",
    "describe_trainer",
    "has_converged",
    "history_from_file",
    "history_table",
    "history_to_file",
    "warn_of_training",
]

ENDED = {
    "finished": "all steps done",
    "unsettled": "all steps done, NOT SETTLED",
    "converged": "gradient vanished",
    "patience": "validation no longer improved",
    "interrupted": "INTERRUPTED",
    "lost": "DIVERGED, earlier state kept",
    "snapshot": "a state on the way",
}


Ended = Annotated[str, Rule("an end of a training", lambda v: v in ENDED)]
FEWEST_STEPS = 50  # before which nothing tells whether a loss has settled
LAST = 0.2  # share of the steps, or of the looks at rows held out, that are compared with what is before them
FALL = 0.05  # share of the whole fall of a loss that the last steps may add where it has settled
# fall per row that a likelihood may add besides; vignettes and tests of 100 steps on are settled
NATS = 0.005


def describe_trainer(how: Trainer) -> str:
    """A trainer in a few words.

    Examples
    --------
    >>> from disteconometrics import Adam
    >>> describe_trainer(Adam(lr=0.01, batch=64))
    'Adam, batches of 64, lr 0.01'
    """
    rows = "all rows" if how.batch is None else f"batches of {how.batch}"
    kind = {"LBFGS": "L-BFGS"}.get(type(how).__name__, type(how).__name__)
    return f"{kind}, {rows}, lr {how.lr:g}{', one-cycle' if how.schedule == 'one-cycle' else ''}"


def has_converged(ended: str) -> bool | None:
    """Whether a training that ended so has converged; None where all steps were done and it has not settled.

    Examples
    --------
    >>> has_converged("patience"), has_converged("lost"), has_converged("unsettled")
    (True, False, None)
    """
    return None if ended == "unsettled" else ended not in ("interrupted", "lost", "snapshot")


def _still_falls(trained: Trained, tolerance: float) -> bool:
    """Whether the last steps lowered the loss, that of rows held out if there are any, by more than noise."""
    looks, losses = (np.array(trained.history[name]) for name in ("validation", "loss"))
    looks, losses = looks[np.isfinite(looks)], losses[np.isfinite(losses)]
    values = looks if len(looks) >= 2 else losses
    last = max(1, int(LAST * len(values)))
    if len(values) < 2:
        return False
    if len(looks) >= 2:
        before, end, noise = values[:-last].min(), values[-last:].min(), 0.0
    else:
        parts = values[-2 * last : -last], values[-last:]
        before, end = (float(part.mean()) for part in parts)
        noise = 2 * float(np.sqrt(sum(part.var() / len(part) for part in parts)))
    return bool(before - end > max(FALL * (values[0] - end), tolerance, noise))


def warn_of_training(trained: Trained, how: Trainer, tolerance: float = 0.0) -> str:
    """Warn of a training that was interrupted, lost, had steps without a finite loss or was too short.

    Returns how it ended: as it says, or "unsettled" where all steps were done too soon.  ``tolerance`` is the
    fall of the loss that does not count.
    """
    if trained.ended in ("interrupted", "lost") or trained.skipped:
        _warn_of_steps(trained, how)
    if trained.ended != "finished":
        return trained.ended
    falls = _still_falls(trained, tolerance)
    if falls:
        text = f"The loss still fell when all {trained.steps} steps were done: training has not settled."
        warn_user(ConvergenceWarning(text, hint="more steps, or a larger lr; see plot_history()"))
    return "unsettled" if falls or trained.steps < FEWEST_STEPS else "finished"


def _warn_of_steps(trained: Trained, how: Trainer) -> None:
    """Warn of an interrupt, or of steps without a finite loss."""
    hint = "a smaller lr, or clip=1.0"
    if trained.ended == "interrupted":
        hint = "fit again for all steps"
        text = (
            f"Training was interrupted at step {trained.steps} of {how.steps}: the parameters of step "
            f"{trained.best} are kept."
        )
    elif trained.ended == "lost":
        text = (
            f"The loss was not finite (NaN or infinite) from step "
            f"{trained.skipped[-1] - len(trained.skipped) + 1} on: training "
            f"diverged, and the parameters of step {trained.best} are kept."
        )
    else:
        shown = ", ".join(map(str, trained.skipped[:5])) + (", …" if len(trained.skipped) > 5 else "")
        count = f"{len(trained.skipped)} of {trained.steps} steps"
        text = f"The loss was not finite (NaN or infinite) at {count} ({shown}); they were left out."
    warn_user(ConvergenceWarning(text, hint=hint))


def history_table(trained: Trained) -> pd.DataFrame:
    """The history of a training: a row a step."""
    return pd.DataFrame(trained.history).set_index("step")


def history_to_file(history: pd.DataFrame) -> Array:
    """Steps and columns of a history (steps, columns + 1), as a file keeps them.

    Examples
    --------
    >>> history_to_file(pd.DataFrame({"loss": [0.5]}, index=[1]))
    array([[1. , 0.5]])
    """
    return np.column_stack([history.index, history]).astype(np.float64)


def history_from_file(columns: Sequence[str], values: Array) -> pd.DataFrame:
    """The history that a file holds.

    Raises
    ------
    FileFormatError
        If its columns or steps are not those of a training.

    Examples
    --------
    >>> history_from_file(["loss"], np.array([[1.0, 0.5]])).index.name
    'step'
    """
    steps = values[:, 0]
    if len(set(columns)) < len(columns) or not set(columns) <= set(HISTORY):
        raise FileFormatError("the columns of the history are not those of a training")
    if not ((steps >= 0) & (steps <= MOST_COUNTED) & (steps == np.rint(steps))).all():
        raise FileFormatError("the steps of the history are no counts")
    table = pd.DataFrame(values[:, 1:], columns=list(columns))
    table.index = pd.Index(values[:, 0].astype(int), name="step")
    return table
