"""What is left of a likelihood without a maximum: its supremum, and the coefficients that stay finite.

Along the recession direction the separated rows are fitted perfectly and drop out; the others do not notice.
So the supremum is the maximum over the overlapped rows, where the columns span fewer dimensions.

References
----------
Geyer (2009), Likelihood inference in exponential families and directions of recession,
Electronic Journal of Statistics 3, doi:10.1214/08-EJS349.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from disteconometrics.arrays import Indices
from disteconometrics.blocks import Block, chosen_rows
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.optim.newton import Maximum, maximise
from disteconometrics.optim.separation import Separation
from disteconometrics.optim.whiten import power_of_two

__all__ = ["Limit", "limit_of"]


@dataclass(frozen=True, eq=False)
class Limit:
    """The limiting model of a separated likelihood.

    ``overlapped`` (m,) positions of the rows that stay; ``columns`` the columns that identify them;
    ``blocks`` those rows and columns; ``maximum`` their maximum, None when nothing stays.
    """

    overlapped: Indices
    columns: Indices
    blocks: tuple[Block, ...]
    maximum: Maximum | None


def limit_of(model: IndexModel, separation: Separation, *, maxiter: int) -> Limit:
    """Fit the rows that a separation leaves overlapped.

    Parameters
    ----------
    model : IndexModel over k columns.
    separation : Separation of its rows.
    maxiter : int, passes at most.

    Returns
    -------
    Limit
    """
    n, k = model.rows, len(separation.direction)
    inside = np.ones(n, dtype=bool)
    inside[separation.rows] = False
    scaled = separation.null * power_of_two(model.column_maxima())[:, None]
    dropped = qr(scaled.T, pivoting=True, mode="r")[1][: scaled.shape[1]]
    columns = np.setdiff1d(np.arange(k), dropped)
    overlapped = np.flatnonzero(inside)
    if not len(overlapped) or not len(columns):
        return Limit(overlapped, columns, (), None)
    blocks = tuple(
        part._replace(X=np.ascontiguousarray(part.X[:, columns]))
        for part in chosen_rows(model.blocks, inside)
    )
    return Limit(overlapped, columns, blocks, maximise(IndexModel(model.kernel, blocks), maxiter=maxiter))
