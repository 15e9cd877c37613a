"""Exact optimal transport between samples of rows.

An assignment for equal sizes and masses, else a linear program.

References
----------
Peyré, Cuturi (2019), Computational Optimal Transport, Foundations and Trends in Machine Learning 11,
doi:10.1561/2200000073. Crouse (2016), On implementing 2D rectangular assignment algorithms, IEEE Transactions
on Aerospace and Electronic Systems 52, doi:10.1109/TAES.2016.140952.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import optimize, sparse
from scipy.spatial.distance import cdist

from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.transport.one_dim import Coupling, Exact
from disteconometrics.transport.samples import every_mass, finite_order, masses, pair_of_points, power_above

__all__ = ["Discrete", "wasserstein"]


FEW_PAIRS = 20_000  # of which the linear program takes less time than the import of POT
MOST_PAIRS = 250_000  # of the linear program without POT, some seconds
WARM = 200  # rows of an assignment from which on near prices are worth their time
ENTROPIES = (0.1, 0.03, 0.01, 0.003)  # ε over the median cost
SCALINGS = 15
SMALLEST = 1e-200  # sum divided by
LONG = 1_000  # rows of an assignment from which on POT's simplex is quicker
MOST_ASSIGNED = 6_000  # rows that scipy assigns, in minutes
MOST_PAIRS_OF_POT = 150_000_000  # that POT solves, in minutes
# pairs whose costs are written out, .4 GB with what their solver needs beside; of more POT computes each cost
# when it is asked for, in twice the time
MOST_WRITTEN = 10_000_000
BYTES = 41  # that a pair takes where costs are written out
LAZY = {1.0: "euclidean", 2.0: "sqeuclidean"}  # POT's names of the costs that it computes itself


@dataclass(frozen=True, eq=False)
class Discrete(Exact):
    """The optimal transport of two samples of rows, with the problem it solves.

    Parameters
    ----------
    x, y : (n, d) and (m, d) float64 arrays, as given.
    p : float, order; costs are Euclidean distances to the power p.
    wx, wy : (n,) and (m,) float64 arrays of masses that sum to one, or None for equal ones.
    distance : float, W_p in units of the values.
    coupling : Coupling, the masses moved.
    potentials : (n,) and (m,) float64 arrays f and g with f(x) + g(y) ≤ |x − y|^p, equal on the coupling; Σ
        wx·f = 0.

    Examples
    --------
    >>> t = wasserstein([[0.0, 0.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]], p=2)
    >>> t.distance, t.coupling.target.tolist(), t.map.tolist()
    (1.0, [1, 0], [[0.0, 1.0], [1.0, 1.0]])
    """

    coupling: Coupling
    potentials: tuple[Array, Array]

    @cached_property
    def marginal_error(self) -> float:
        """Σ|masses moved by the coupling − masses given|, the larger of both sides."""
        return self.coupling.misplaced(self.wx, self.wy, len(self.x), len(self.y))

    @property
    def converged(self) -> bool:
        """Whether masses moved are those given and no pair is cheaper than its potentials allow, to 1e-7."""
        f, g = self.potentials
        i, j, mass = self.coupling
        gap = abs(float(mass @ (f[i] + g[j])) - self.cost)
        return self.marginal_error < 1e-7 and gap <= 1e-7 * max(self.cost, 1e-300)

    @cached_property
    def map(self) -> Array:
        """Where each row of x goes on average (n, d): the barycentric map."""
        return np.column_stack([self.coupling.averages(column, len(self.x)) for column in self.y.T])


def wasserstein(x: Any, y: Any, p: float = 2, wx: Any = None, wy: Any = None) -> Discrete:
    """Wasserstein distance of order p between two samples of rows, exact.

    Parameters
    ----------
    x, y : (n, d) and (m, d) arrays of any real dtype, computed in float64.
    p : float of at least 1, finite.
    wx, wy : (n,) and (m,) arrays of any real dtype or None
        Weights, not negative; each is divided by its sum.  None: equal weights.

    Returns
    -------
    Discrete
        ``float(result)`` is the distance.

    Raises
    ------
    DataError
        If samples are not finite, have different numbers of columns, or weights do not fit them.
    OptionError
        If p is below 1 or infinite, or the problem is too large: unequal sizes or weights beyond 250,000
        pairs, and equal ones beyond 6,000 rows, need the extra ``ot`` (the network simplex of POT); 150
        million pairs are the most.  41 bytes a pair are needed and have to be free, but for p = 1 and 2 with
        POT 0.9.7 or later, where ten million pairs are the most that are written out.

    Examples
    --------
    >>> wasserstein([[0.0, 0.0]], [[3.0, 4.0], [0.0, 0.0]], p=1).distance
    2.5
    """
    p = finite_order(p)
    x, y = pair_of_points(x, y)
    a, b = masses(wx, len(x), "wx"), masses(wy, len(y), "wy")
    n, m = len(x), len(y)
    if n * m > MOST_PAIRS_OF_POT:
        raise OptionError(f"{n} × {m} pairs take too long; use a random subsample, or a sliced distance.")
    scale = power_above(max(np.abs(x - x[0]).max(), np.abs(y - x[0]).max()))
    coupling, costs, f, g = _solved(x / scale, y / scale, p, a, b)
    distance = float(coupling.mass @ costs) ** (1 / p) * scale
    centre, unit = f.mean() if a is None else a @ f, scale**p
    return Discrete(x, y, p, a, b, distance, coupling, ((f - centre) * unit, (g + centre) * unit))


def _solved(
    x: Array, y: Array, p: float, a: Array | None, b: Array | None
) -> tuple[Coupling, Array, Array, Array]:
    """The coupling, the costs of its pairs and the prices of both sides."""
    n, m = len(x), len(y)
    ot = _pot() if n * m > MOST_WRITTEN and p in LAZY else None
    if hasattr(ot, "emd2_lazy"):
        return _unwritten(ot, x, y, p, every_mass(a, n), every_mass(b, m))
    _refuse_beyond_memory(n, m)
    C = _costs(x, y, p)
    if a is None and b is None and n == m and (n <= LONG or _pot() is None):
        coupling, f, g = _assignment(C)
    else:
        coupling, f, g = _program(C, every_mass(a, n), every_mass(b, m))
    return coupling, C[coupling.source, coupling.target], f, g


def _unwritten(
    ot: Any, x: Array, y: Array, p: float, a: Array, b: Array
) -> tuple[Coupling, Array, Array, Array]:
    """`_solved` by POT's network simplex without a matrix of costs."""
    _, log = ot.emd2_lazy(
        x, y, a, b, LAZY[p], numItermax=10_000_000, log=True, return_matrix=True, check_marginals=False
    )
    _refuse_early_stop(log["warning"], len(x), len(y))
    plan = sparse.coo_array(log["G"])
    i, j = (np.asarray(at, np.intp) for at in plan.coords)
    costs = np.linalg.norm(x[i] - y[j], axis=1) ** p
    f, g = np.array(log["u"]), np.array(log["v"])
    without, none = a == 0, b == 0  # POT gives these no prices
    f[without] = _highest_prices(x[without], y[~none], g[~none], p)
    g[none] = _highest_prices(y[none], x, f, p)
    return Coupling(i, j, plan.data), costs, f, g


def _highest_prices(x: Array, y: Array, g: Array, p: float) -> Array:
    """The prices (n,) of rows that those of the other side (m,) allow."""
    step = max(1, MOST_WRITTEN // len(y))
    parts = (_costs(x[i : i + step], y, p) - g for i in range(0, len(x), step))
    return np.concatenate([np.zeros(0), *(part.min(axis=1) for part in parts)])


def _refuse_beyond_memory(n: int, m: int) -> None:
    """Refuse what does not fit into the free memory, where the system tells it."""
    need, free = BYTES * n * m, _free_memory()
    if need > free:
        raise OptionError(
            f"Exact transport of {n} × {m} pairs needs {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} are "
            "free; use a random subsample, a sliced distance, or p=1 or p=2 with POT 0.9.7 or later "
            "(pip install -U 'disteconometrics[ot]'), which need none."
        )


def _free_memory() -> float:
    """Bytes that are available, infinite where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return np.inf
    return 1024.0 * float(found.split()[1])


def _costs(x: Array, y: Array, p: float) -> Array:
    """|x − y|^p of all pairs (n, m)."""
    C: Array = cdist(x, y)
    if p == 2:
        return C * C
    return C if p == 1 else C**p


def _assignment(C: Array) -> tuple[Coupling, Array, Array]:
    """The cheapest permutation and its dual prices."""
    n = len(C)
    if n > MOST_ASSIGNED:
        raise OptionError(
            f"Exact transport of {n} rows on either side takes scipy very long: pip install "
            f"'disteconometrics[ot]', or use a "
            "random subsample, or a sliced distance."
        )
    # near prices leave reduced costs close to zero on the solution, so that the search for it is short; they
    # do not change it
    f0, g0 = _near_prices(C) if n >= WARM else (np.zeros(n), np.zeros(n))
    R = C - f0[:, None]
    R -= g0
    rows, columns = optimize.linear_sum_assignment(R)
    # prices g with R(i, j) − g(j) least at j = σ(i): shortest paths in the graph of exchanges, which has no
    # negative cycle
    own = R[rows, columns]
    g = np.zeros(n)
    slack = R
    slack -= own[:, None]
    most = C[rows, columns].max(initial=1.0)
    for _ in range(n):
        best = (slack + g[columns][:, None]).min(axis=0)
        if (best >= g - 1e-15 * most).all():
            break
        g = np.minimum(g, best)
    return Coupling(rows, columns, np.full(n, 1 / n)), f0 + own - g[columns], g0 + g


def _near_prices(C: Array) -> tuple[Array, Array]:
    """Prices of the entropic problem, roughly.

    Few scalings of the kernel exp(−C/ε) for each of some falling ε.
    """
    f, g = np.zeros(len(C)), C.min(axis=0)
    unit = float(np.median(C[:: max(1, len(C) // 64)]))
    for share in ENTROPIES:
        epsilon = share * unit
        if epsilon == 0:
            break
        f = (C - g).min(axis=1)
        K = f[:, None] - C
        K += g
        K /= epsilon
        np.exp(K, out=K)
        u, v = np.ones(len(C)), np.ones(len(C))
        for _ in range(SCALINGS):
            u = 1 / np.maximum(K @ v, SMALLEST)
            v = 1 / np.maximum(u @ K, SMALLEST)
        f, g = f + epsilon * np.log(u), g + epsilon * np.log(v)
    return f, g


def _program(C: Array, a: Array, b: Array) -> tuple[Coupling, Array, Array]:
    """The transport problem with masses.

    POT's network simplex where it is installed, else a linear program of scipy.
    """
    n, m = C.shape
    ot = _pot() if n * m > FEW_PAIRS else None
    if ot is None:
        return _linear_program(C, a, b)
    plan, log = ot.emd(a, b, C, numItermax=10_000_000, log=True, numThreads=1, check_marginals=False)
    _refuse_early_stop(log["warning"], n, m)
    i, j = np.nonzero(plan)
    f, g = np.array(log["u"]), np.array(log["v"])
    return Coupling(i, j, plan[i, j]), f, g


def _refuse_early_stop(warning: str | None, n: int, m: int) -> None:
    if warning is not None:
        raise WithheldError(f"The network simplex stopped early on {n} × {m} pairs: {warning}")


def _pot() -> Any:
    """POT, or None where it is not installed.

    Its import draws from numpy's global random state, which is put back.
    """
    state = np.random.get_state()  # noqa: NPY002
    try:
        return importlib.import_module("ot")
    except ImportError:
        return None
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _linear_program(C: Array, a: Array, b: Array) -> tuple[Coupling, Array, Array]:
    n, m = C.shape
    if n * m > MOST_PAIRS:
        raise OptionError(
            f"Exact transport of {n} × {m} pairs with unequal sizes or weights needs the network simplex "
            f"of POT: "
            "pip install 'disteconometrics[ot]'; or use a random subsample of equal sizes."
        )
    A = sparse.vstack(
        [sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))],
        format="csr",
    )
    # one row follows from the others
    done = optimize.linprog(C.ravel(), A_eq=A[:-1], b_eq=np.concatenate([a, b])[:-1], method="highs")
    if done.status != 0:
        raise WithheldError(f"The linear program of {n} × {m} pairs was not solved: {done.message}")
    plan = done.x.reshape(n, m)
    prices = np.append(done.eqlin.marginals, 0.0)
    i, j = np.nonzero(plan > 0)
    return Coupling(i, j, plan[i, j]), prices[:n], prices[n:]
