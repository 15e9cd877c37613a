"""Hand-written likelihood terms against automatic differentiation and exact decimals;
sums that no chunking changes.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest

from disteconometrics import blocks as blocks_module
from disteconometrics.blocks import Block
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import (
    LOGISTIC,
    inverse_logit,
    logistic,
    logistic_density,
    logistic_score,
)

AUTODIFF = 1e-13  # relative to the sum of absolute terms: two float64 computations of the same sum
ROUNDING = 6 * np.finfo(float).eps  # a handful of operations, none of which cancels
CHUNKS = 1e-12  # the same terms added in another order
TAILS = np.array([0.0, 1e-8, 1e-3, 0.5, 1.0, 5.0, 20.0, 36.7, 40.0, 100.0, 300.0, 699.0])
FAR = np.array([701.0, 745.0, 800.0, 1000.0])  # beyond exp's range

N, K = 3001, 4
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, K)) * [1.0, 0.3, 2.0, 5.0]
X[:, 0] = 1.0
BETA = np.array([0.3, -1.0, 0.7, 0.2])
Y = (RNG.random(N) < inverse_logit(X @ BETA)).astype(float)
WEIGHTS = RNG.gamma(2.0, size=N)
OFFSET = RNG.normal(size=N)
VARIANTS = {
    "plain": (None, None),
    "weights": (WEIGHTS, None),
    "offset": (None, OFFSET),
    "weights and offset": (WEIGHTS, OFFSET),
}


def exact(y: float, eta: float) -> tuple[float, float, float, float]:
    """Log-likelihood, score, root of the information and probability to hundreds of digits, rounded once."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = (
            400,
            -(10**6),
            10**6,
        )  # 1 + exp(−699) must not lose its second term
        h = Decimal(float(eta))
        v = (-h if y else h).exp()
        sign = 1 if y else -1
        terms = (-(1 + v).ln(), sign * v / (1 + v), v.sqrt() / (1 + v), 1 / (1 + (-h).exp()))
        return tuple(float(t) for t in terms)  # type: ignore[return-value]


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_terms_are_accurate_in_both_tails(y: float, sign: float) -> None:
    eta = sign * TAILS
    loglik, score, root, p = np.array([exact(y, h) for h in eta]).T
    terms = logistic(np.full(len(eta), y), eta)
    assert (np.abs(terms.loglik - loglik) <= ROUNDING * np.abs(loglik)).all()
    assert (np.abs(terms.score - score) <= ROUNDING * np.abs(score)).all()
    assert (np.abs(terms.root_weight - root) <= ROUNDING * root).all()
    assert (np.abs(inverse_logit(eta) - p) <= ROUNDING * p).all()
    assert (np.abs(logistic_density(eta) - root**2) <= 2 * ROUNDING * root**2).all()
    assert (np.abs(logistic_score(np.full(len(eta), y), eta) - score) <= ROUNDING).all()


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_terms_stay_finite_and_right_far_out(y: float, sign: float) -> None:
    eta = sign * FAR
    before = eta.copy()
    wrong = (y == 1) == (sign < 0)
    with np.errstate(over="raise", invalid="raise"):
        terms = logistic(np.full(len(eta), y), eta)
    assert np.allclose(terms.loglik, -FAR if wrong else 0.0, rtol=0, atol=1e-300)
    assert np.allclose(terms.score, (2 * y - 1) * wrong, rtol=0, atol=1e-300)
    assert (terms.root_weight >= 0).all()
    assert (terms.root_weight <= 1e-150).all()
    assert np.array_equal(eta, before)
    assert np.array_equal(inverse_logit(eta) > 0.5, eta > 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_score_and_information_are_those_of_autodiff(variant: str) -> None:
    torch = pytest.importorskip("torch")
    w, o = VARIANTS[variant]
    Xt, s = torch.from_numpy(X), torch.from_numpy(2 * Y - 1)
    wt = torch.from_numpy(np.ones(N) if w is None else w)
    ot = torch.from_numpy(np.zeros(N) if o is None else o)

    def loglik(b: torch.Tensor) -> torch.Tensor:
        return (wt * torch.nn.functional.logsigmoid(s * (Xt @ b + ot))).sum()

    b = torch.from_numpy(BETA).requires_grad_()
    value = loglik(b)
    (gradient,) = torch.autograd.grad(value, b)
    hessian = torch.autograd.functional.hessian(loglik, b.detach())
    model = IndexModel(LOGISTIC, [Block(Y, X, w, o)])
    p = model.evaluate(BETA)
    size = (np.ones(N) if w is None else w) @ np.abs(X)  # of the score's terms, at most
    assert abs(p.loglik - value.item()) <= AUTODIFF * abs(p.loglik)
    for score in (p.score, model.score(BETA), model.exact_score(BETA, np.zeros(len(BETA)))):
        assert (np.abs(score - gradient.numpy()) <= AUTODIFF * size).all()
    scale = np.sqrt(np.diagonal(p.information))
    assert (np.abs(p.information + hessian.numpy()) <= AUTODIFF * np.outer(scale, scale)).all()


@pytest.mark.parametrize("rows", [256, 257, 1000, 3000, 3001, 10_000])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_chunks_blocks_and_order_do_not_matter(
    rows: int, blocks: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = IndexModel(LOGISTIC, [Block(Y, X, WEIGHTS, OFFSET)])
    monkeypatch.setattr(blocks_module, "CHUNK_BYTES", 8 * K * N)
    expected, step = whole.evaluate(BETA), np.array([1.0, -2.0, 0.5, 0.1])
    change = np.abs(X @ step).max()
    monkeypatch.setattr(blocks_module, "CHUNK_BYTES", 8 * K * rows)
    parts = np.array_split(np.arange(N), blocks)
    model = IndexModel(
        LOGISTIC, [Block(Y[i], np.array(X[i], order=order), WEIGHTS[i], OFFSET[i]) for i in parts]
    )
    assert model.rows == N
    p = model.evaluate(BETA)
    size, scale = WEIGHTS @ np.abs(X), np.sqrt(np.diagonal(expected.information))
    assert abs(p.loglik - expected.loglik) <= CHUNKS * abs(expected.loglik)
    assert (np.abs(p.score - expected.score) <= CHUNKS * size).all()
    assert (np.abs(model.score(BETA) - expected.score) <= CHUNKS * size).all()
    assert (np.abs(p.information - expected.information) <= CHUNKS * np.outer(scale, scale)).all()
    assert p.smallest_root == pytest.approx(expected.smallest_root, rel=CHUNKS)
    assert np.array_equal(model.column_maxima(), np.abs(X).max(axis=0))
    assert model.largest_change(step) == pytest.approx(change, rel=CHUNKS)


@pytest.mark.parametrize("frequency", [False, True])
@pytest.mark.parametrize("rows", [None, 400])
def test_rows_of_scores_add_up(frequency: bool, rows: int | None) -> None:
    model = IndexModel(LOGISTIC, [Block(Y, X, WEIGHTS, OFFSET)])
    p = model.evaluate(BETA)
    score, information, seen = np.zeros(K), np.zeros((K, K)), 0
    for part in model.score_rows(BETA, frequency=frequency, rows=rows):
        count = np.ones(len(part.scores)) if part.copies is None else part.copies
        assert (part.copies is None) is not frequency
        score += count @ part.scores
        information += (part.roots * count[:, None]).T @ part.roots
        seen += len(part.scores)
    assert seen == N
    assert np.allclose(score, p.score, rtol=0, atol=CHUNKS * N)
    assert np.allclose(information, p.information, rtol=CHUNKS, atol=CHUNKS * N)


def test_inputs_are_left_alone_and_samples_repeat() -> None:
    copies = [a.copy() for a in (Y, X, WEIGHTS, OFFSET)]
    model = IndexModel(LOGISTIC, [Block(Y, X, WEIGHTS, OFFSET)])
    model.evaluate(BETA)
    model.score(BETA)
    a, b = model.subsample(1000), model.subsample(1000)
    assert a.rows == sum(len(block.y) for block in a.blocks)
    assert 800 <= a.rows <= 1200
    for left, right in zip(a.blocks[0], b.blocks[0], strict=True):
        assert np.array_equal(left, right)
    known = {row.tobytes() for row in X}
    assert all(row.tobytes() in known for row in np.ascontiguousarray(a.blocks[0].X))
    for old, new in zip(copies, (Y, X, WEIGHTS, OFFSET), strict=True):
        assert np.array_equal(old, new)
