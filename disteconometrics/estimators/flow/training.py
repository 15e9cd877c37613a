"""What summaries and warnings say of a training."""

from __future__ import annotations

from disteconometrics.errors import ConvergenceWarning, warn_user
from disteconometrics.optim.minibatch import Trained, Trainer

__all__ = ["ENDED", "trainer_words", "warn_of_training"]

ENDED = {
    "finished": "all steps done",
    "converged": "gradient vanished",
    "patience": "validation no longer improved",
    "interrupted": "INTERRUPTED",
    "lost": "DIVERGED, earlier state kept",
    "snapshot": "a state on the way",
}


def trainer_words(how: Trainer) -> str:
    """A trainer in a few words.

    Examples
    --------
    >>> from disteconometrics import Adam
    >>> trainer_words(Adam(lr=0.01, batch=64))
    'Adam, batches of 64, lr 0.01'
    """
    rows = "all rows" if how.batch is None else f"batches of {how.batch}"
    kind = {"LBFGS": "L-BFGS"}.get(type(how).__name__, type(how).__name__)
    return f"{kind}, {rows}, lr {how.lr:g}{', one-cycle' if how.schedule == 'one-cycle' else ''}"


def warn_of_training(trained: Trained, how: Trainer) -> None:
    """Warn of a training that was interrupted, lost, or had steps without a finite loss."""
    if trained.ended == "interrupted":
        text = (
            f"Training was interrupted at step {trained.steps} of {how.steps}: the parameters of step "
            f"{trained.best} are kept."
        )
        warn_user(ConvergenceWarning(text, hint="fit again for all steps"))
    elif trained.ended == "lost":
        text = (
            f"The loss was not finite (NaN or infinite) from step "
            f"{trained.skipped[-1] - len(trained.skipped) + 1} on: training "
            f"diverged, and the parameters of step {trained.best} are kept."
        )
        warn_user(ConvergenceWarning(text, hint="a smaller lr, or clip=1.0"))
    elif trained.skipped:
        shown = ", ".join(map(str, trained.skipped[:5])) + (", …" if len(trained.skipped) > 5 else "")
        count = f"{len(trained.skipped)} of {trained.steps} steps"
        text = f"The loss was not finite (NaN or infinite) at {count} ({shown}); they were left out."
        warn_user(ConvergenceWarning(text, hint="a smaller lr, or clip=1.0"))
