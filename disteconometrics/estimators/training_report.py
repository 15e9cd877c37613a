"""What results say of a training, and its history in files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.errors import ConvergenceWarning, FileFormatError, warn_user
from disteconometrics.fields import MOST_COUNTED, Rule
from disteconometrics.optim.minibatch import HISTORY, Trained, Trainer

__all__ = [
    "ENDED",
    "Ended",
    "describe_trainer",
    "history_from_file",
    "history_table",
    "history_to_file",
    "warn_of_training",
]

ENDED = {
    "finished": "all steps done",
    "converged": "gradient vanished",
    "patience": "validation no longer improved",
    "interrupted": "INTERRUPTED",
    "lost": "DIVERGED, earlier state kept",
    "snapshot": "a state on the way",
}


Ended = Annotated[str, Rule("an end of a training", lambda v: v in ENDED)]


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


def warn_of_training(trained: Trained, how: Trainer) -> None:
    """Warn of a training that was interrupted, lost, or had steps without a finite loss."""
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
    elif trained.skipped:
        shown = ", ".join(map(str, trained.skipped[:5])) + (", …" if len(trained.skipped) > 5 else "")
        count = f"{len(trained.skipped)} of {trained.steps} steps"
        text = f"The loss was not finite (NaN or infinite) at {count} ({shown}); they were left out."
    else:
        return
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
