"""Everything the package raises or warns with: one exception root, one warning root.

An exception class is also the builtin that a caller would expect (``ValueError``, ``TypeError``,
``KeyError``), so existing ``except`` clauses keep working.  A warning carries ``.column`` (what it is about)
and ``.hint`` (what to do).
"""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path
from typing import Any

__all__ = [
    "AtMassWarning",
    "CollinearityError",
    "ConditioningWarning",
    "ConvergenceWarning",
    "CovarianceWarning",
    "DataError",
    "DiscreteOutcomeWarning",
    "DisteconometricsError",
    "DisteconometricsWarning",
    "ExtrapolationWarning",
    "FailedReplicationsWarning",
    "FewClustersWarning",
    "FileFormatError",
    "FormulaError",
    "HardEdgeWarning",
    "HeavyTailWarning",
    "IncidentalParametersWarning",
    "InfiniteMomentWarning",
    "LevelError",
    "LeverageWarning",
    "LikelihoodRatioWarning",
    "LonelyUnitWarning",
    "MissingColumnError",
    "MissingValuesWarning",
    "NeedsData",
    "NeedsRows",
    "OptionError",
    "OutcomeError",
    "RecordingWarning",
    "SeparationError",
    "SeparationWarning",
    "SmallSampleWarning",
    "StudyError",
    "UnidentifiedWarning",
    "UnsafeFormulaError",
    "WithheldAttributeError",
    "WithheldError",
    "WorkerError",
    "warn_user",
]

_OURS = (str(Path(__file__).parent), functools.__file__)  # cached properties are called through functools


class DisteconometricsError(Exception):
    """Root of every exception that the package raises on purpose."""


class OptionError(DisteconometricsError, ValueError, TypeError):
    """An argument has a type or value that is not allowed; the message lists what is."""


class FormulaError(DisteconometricsError, ValueError):
    """The formula cannot be read, or asks for something that a formula may not hold."""


class UnsafeFormulaError(FormulaError):
    """The formula holds code, as an attribute or a foreign call, not columns and known transforms."""


class DataError(DisteconometricsError, ValueError):
    """The table cannot be used as given: lengths, index, types, infinite values, no rows left."""


class MissingColumnError(DataError, KeyError):
    """A column that the formula or an option names is not in the table."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class OutcomeError(DataError):
    """The outcome is not what the estimator needs, or does not vary."""


class LevelError(DataError):
    """New data hold a level that the fitted formula has not seen."""


class CollinearityError(DisteconometricsError, ValueError):
    """Columns of the design are linearly dependent; the message writes the dependence out."""


class SeparationError(DisteconometricsError, ValueError):
    """A linear combination of the columns predicts outcomes perfectly, so no finite maximum exists."""


class NeedsData(DisteconometricsError, ValueError):
    """The result was loaded from a file, which holds no rows, and the call needs them: pass ``data=``."""


class NeedsRows(DisteconometricsError, ValueError):
    """The call needs rows of a stream that are not kept, or lie in other parts, or replications not kept."""


class WithheldError(DisteconometricsError, ValueError):
    """The number has no valid meaning for this fit; the message says why and what to use."""


class WithheldAttributeError(WithheldError, AttributeError):
    """An attribute of a result has no valid meaning for this fit: ``hasattr`` says no, and tables go on."""


class FileFormatError(DisteconometricsError, ValueError):
    """A file is damaged, of another kind or of an unknown version."""


class StudyError(DisteconometricsError, RuntimeError):
    """Every replication of an estimator in a Monte Carlo study failed; the message carries the first cause.

    ``results`` holds what was done until then, None where nobody succeeded.
    """

    results: Any = None


class WorkerError(DisteconometricsError, RuntimeError):
    """A worker of a parallel run died, or the work could not be sent to it; the message says at what.

    ``results`` holds what a study had done until then, None where there is nothing.
    """

    results: Any = None


class DisteconometricsWarning(UserWarning):
    """Root of every warning: ``column`` says what it is about, ``hint`` what to do."""

    def __init__(self, message: str, *, column: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint


class SeparationWarning(DisteconometricsWarning):
    """Some coefficients are infinite at the supremum of the likelihood."""


class ConvergenceWarning(DisteconometricsWarning):
    """The iterations stopped before the maximum was reached."""


class ConditioningWarning(DisteconometricsWarning):
    """Columns are so close to dependent that reported digits are in doubt."""


class MissingValuesWarning(DisteconometricsWarning):
    """A transform in the formula made missing values out of complete rows."""


class RecordingWarning(DisteconometricsWarning):
    """An outcome looks as if it had been recorded otherwise than the formula says."""


class FewClustersWarning(DisteconometricsWarning):
    """Cluster-robust standard errors rest on few or very uneven clusters."""


class LonelyUnitWarning(DisteconometricsWarning):
    """A stratum of a survey has a single unit, whose spread nobody sees."""


class CovarianceWarning(DisteconometricsWarning):
    """A covariance matrix was not positive semi-definite and was repaired."""


class LikelihoodRatioWarning(DisteconometricsWarning):
    """A likelihood-ratio statistic does not take the robust covariance that was asked for."""


class FailedReplicationsWarning(DisteconometricsWarning):
    """Replications of a study, more than allowed, or folds failed, so that what is measured changes."""


class DiscreteOutcomeWarning(DisteconometricsWarning):
    """A density was fitted to an outcome that has none at some values: discrete, heaped, or with atoms."""


class ExtrapolationWarning(DisteconometricsWarning):
    """Rows lie outside the covariates that a law was fitted on; the message says what was done with them."""


class HardEdgeWarning(DisteconometricsWarning):
    """An outcome piles up at its smallest or largest value, where a density on the line goes on beyond."""


class IncidentalParametersWarning(DisteconometricsWarning):
    """Levels of a factor have so few rows that the other slopes of a non-linear model are biased."""


class InfiniteMomentWarning(DisteconometricsWarning):
    """A functional has no finite value, as the tail of the law is too heavy to have that moment."""


class UnidentifiedWarning(DisteconometricsWarning):
    """A functional lies where the records of the outcome do not tell its law: withheld, or by smoothness."""


class AtMassWarning(DisteconometricsWarning):
    """A quantile lies so near to the share of rows at a mass that what is made of it has no error."""


class HeavyTailWarning(DisteconometricsWarning):
    """A tail of the data is so heavy that moments which errors and limits rest on are in doubt."""


class LeverageWarning(DisteconometricsWarning):
    """Rows far out in the covariates decide an answer: their laws are wide, or its variance is theirs."""


class SmallSampleWarning(DisteconometricsWarning):
    """There are too few rows for what was asked, and something simpler was done."""


def warn_user(warning: DisteconometricsWarning) -> None:
    """Warn, pointing at the first line of code outside the package: the user's."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)
