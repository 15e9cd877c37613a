"""Optimal transport between normal laws, in closed form.

References
----------
Dowson, Landau (1982), The Fréchet distance between multivariate normal distributions, Journal of Multivariate
Analysis 12, doi:10.1016/0047-259X(82)90077-X.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from disteconometrics.arrays import as_floats
from disteconometrics.errors import DataError

__all__ = ["gaussian_wasserstein"]


def gaussian_wasserstein(mean_x: Any, covariance_x: Any, mean_y: Any, covariance_y: Any) -> float:
    """W2 between N(mean_x, covariance_x) and N(mean_y, covariance_y).

    Parameters
    ----------
    mean_x, mean_y : (d,) arrays.
    covariance_x, covariance_y : (d, d) arrays, symmetric and positive semi-definite.

    Returns
    -------
    float
        √(|mean_x − mean_y|² + tr(A + B − 2·(A^½ B A^½)^½)), in units of the variables.

    Raises
    ------
    DataError
        If shapes differ or a covariance is not symmetric.

    References
    ----------
    Dowson, Landau (1982), doi:10.1016/0047-259X(82)90077-X.

    Examples
    --------
    >>> gaussian_wasserstein([0.0], [[1.0]], [3.0], [[25.0]])  # 3² + (5 − 1)²
    5.0
    """
    m, k = (np.atleast_1d(as_floats(v)) for v in (mean_x, mean_y))
    A, B = (np.atleast_2d(as_floats(v)) for v in (covariance_x, covariance_y))
    d = len(m)
    if m.shape != k.shape or A.shape != (d, d) or B.shape != (d, d):
        raise DataError(
            f"Means have shapes {m.shape}, {k.shape} and covariances {A.shape}, {B.shape}; give (d,) and "
            f"(d, d)."
        )
    finite = all(np.isfinite(v).all() for v in (m, k, A, B))
    if not (finite and np.allclose(A, A.T) and np.allclose(B, B.T)):
        raise DataError("Means and covariances must be finite, and covariances symmetric.")
    values, vectors = np.linalg.eigh(A)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(linalg.eigvalsh(root @ B @ root), 0)).sum()
    return float(np.sqrt(max((m - k) @ (m - k) + np.trace(A) + np.trace(B) - 2 * cross, 0.0)))
