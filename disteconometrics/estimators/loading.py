"""Read saved results: a list of known classes, and nothing in the file is run."""

from __future__ import annotations

import os
from typing import IO

from disteconometrics.errors import DisteconometricsError, FileFormatError
from disteconometrics.estimators.binary import BinaryResults, restore
from disteconometrics.estimators.logit import Logit
from disteconometrics.estimators.probit import Probit
from disteconometrics.likelihoods.binary import LOGISTIC
from disteconometrics.likelihoods.probit import PROBIT
from disteconometrics.report.archive import read_archive

__all__ = ["load"]

_KNOWN = {"Logit": (Logit, LOGISTIC), "Probit": (Probit, PROBIT)}


def load(path: str | os.PathLike[str] | IO[bytes]) -> BinaryResults:
    """Read a result that ``save`` wrote; it holds no rows.

    Parameters
    ----------
    path : file name or binary file.

    Returns
    -------
    BinaryResults

    Raises
    ------
    FileFormatError
        If the file is damaged, of another kind, of a newer format, or holds a formula that is not allowed.

    Examples
    --------
    >>> import io
    >>> from disteconometrics import datasets
    >>> res, file = Logit("GRADE ~ PSI").fit(datasets.spector()), io.BytesIO()
    >>> res.save(file)
    >>> bool((load(io.BytesIO(file.getvalue())).params == res.params).all())
    True
    """
    kind, header, arrays = read_archive(path)
    if kind not in _KNOWN:
        raise FileFormatError(f"{path} holds a {kind!r}; this version reads {', '.join(_KNOWN)}.")
    specification, kernel = _KNOWN[kind]
    try:
        return restore(specification(**header["estimator"]), kernel, header, arrays)
    except (KeyError, TypeError, ValueError) as e:
        if isinstance(e, DisteconometricsError) and not isinstance(e, FileFormatError):
            raise FileFormatError(f"{path} is not a valid {kind} file: {e}") from e
        raise FileFormatError(f"{path} is not a valid {kind} file: a field is missing or of another type.") from e
