"""Maps trained by transport, against geomloss in the lecture's task and against a Wasserstein GAN with
gradient penalty.

    python tests/benchmarks/bench_pushforward.py             # the lecture's task, five seeds
    python tests/benchmarks/bench_pushforward.py divergence  # Sinkhorn divergences: value, error and time
    python tests/benchmarks/bench_pushforward.py large       # 50,000 rows a side, a few iterations: peak
    memory python tests/benchmarks/bench_pushforward.py gan 50      # two modes in the plane; epochs of the
    GAN, at most 1,000

*Lecture*: perceptron 1-32-32-1 (ReLU), Adam 1e-3, 500 steps of 512 draws of noise (ours 1,024) against 1,024
fresh draws of the bimodal law; W2² is that of 200,000 draws to the population's quantile function.  *GAN*:
generator and critic of three layers of 128, batches of 32, 15 critic steps, Adam 1e-4, dropout .1, gradient
penalty 5, as in ds-wgan; the law is ½N((−2, −2), I) + ½N((2, 2), S), S with variances 1 and correlation .7,
2,000 rows; excess is exact W2² of 1,000 draws to 1,000 fresh rows less that of fresh rows to fresh rows.  One
thread.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
import warnings
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import disteconometrics as de
from disteconometrics.errors import ConvergenceWarning
from disteconometrics.transport import discrete
from disteconometrics.transport.sinkhorn import sinkhorn_divergence

TARGET = de.dgps.Bimodal()
LEVELS = (np.arange(200_000) + 0.5) / 200_000


def population_distance(quantiles: np.ndarray) -> float:
    return float(np.mean((quantiles - TARGET.law({}).quantile(LEVELS)) ** 2))


def by_geomloss(seed: int) -> tuple[float, float, np.ndarray]:
    """W2², seconds a step, losses (doubled: ours are in units of |x − y|²)."""
    import geomloss
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 1),
    )
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=0.05)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    started = time.perf_counter()
    for _ in range(500):
        optimiser.zero_grad()
        y = torch.tensor(np.asarray(TARGET(rng, n=1_024)["y"]), dtype=torch.float32)[:, None]
        value = loss(net(torch.randn(512, 1)), y)
        value.backward()
        optimiser.step()
        losses.append(2 * float(value.detach()))
    seconds = (time.perf_counter() - started) / 500
    with torch.no_grad():
        draws = net(torch.randn(200_000, 1)).double().numpy()[:, 0]
    return population_distance(np.sort(draws)), seconds, np.array(losses)


def by_ours(loss: Any, seed: int) -> tuple[float, float, np.ndarray]:
    model = de.TransportDensity(
        "y ~ 1", map=de.MLP(32, 32), loss=loss, train=de.Adam(lr=1e-3, steps=500, batch=1_024)
    )
    res = model.fit(TARGET, seed=seed)
    return (
        population_distance(res.distribution().quantile(LEVELS)),
        res.facts.seconds / 500,
        res.history["loss"].to_numpy(),
    )


def by_quantiles(seed: int) -> tuple[float, float, np.ndarray]:
    """All the draws that the net sees, at once."""
    table = TARGET(np.random.default_rng(seed), n=500 * 1_024)
    started = time.perf_counter()
    law = de.TransportDensity("y ~ 1").fit(table).distribution()
    seconds = time.perf_counter() - started
    return population_distance(law.quantile(LEVELS)), seconds / 500, np.zeros(500)


def lecture() -> None:
    sides = {
        "geomloss": by_geomloss,
        "ours, Sinkhorn": lambda seed: by_ours(de.Sinkhorn(blur=0.05), seed),
        "ours, sorted": lambda seed: by_ours(de.Sorted(), seed),
        "ours, auto": by_quantiles,
    }
    found = {name: [fit(seed) for seed in range(5)] for name, fit in sides.items()}
    peer = statistics.median(s for _, s, _ in found["geomloss"])
    for name, values in found.items():
        w2, seconds = (statistics.median(v[k] for v in values) for k in range(2))
        along = np.array([v[2] for v in values])
        steps = np.median(along[:, [0, 100, 200, 300, 400, -1]], axis=0)
        print(
            f"{name:16s} W2² {w2:.5f}  {1e3 * seconds:8.3f} ms a step, geomloss / this "
            f"{peer / seconds:7.1f}, "
            f"losses at steps 0, 100, 200, 300, 400, 499 {steps.round(4).tolist()} (least at the last "
            f"{along[:, -1].min():.4f})",
            flush=True,
        )


def divergence() -> None:
    import geomloss
    import torch

    for n, d in ((1_000, 2), (1_000, 5), (5_000, 2), (5_000, 5)):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(n, d)), 0.8 * rng.normal(size=(n, d)) + 0.5
        exact = sinkhorn_divergence(x, y, blur=0.05, tolerance=1e-3, iterations=5_000).value
        a, b = (torch.tensor(v, dtype=torch.float32) for v in (x, y))
        started = time.perf_counter()
        peer = 2 * float(
            geomloss.SamplesLoss("sinkhorn", p=2, blur=0.05, scaling=0.9, backend="tensorized")(a, b)
        )
        theirs = time.perf_counter() - started
        started = time.perf_counter()
        ours = sinkhorn_divergence(x, y, blur=0.05, tolerance=0.05).value
        seconds = time.perf_counter() - started
        print(
            f"n {n}, d {d}: geomloss error {abs(peer / exact - 1):.1e} in {theirs:.2f} s, ours "
            f"{abs(ours / exact - 1):.1e} in "
            f"{seconds:.2f} s, ratio {theirs / seconds:.1f}",
            flush=True,
        )


def large() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50_000, 2)), rng.normal(size=(50_000, 2)) + 0.5
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sinkhorn_divergence(x, y, blur=0.5, iterations=5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"50,000 rows a side: {time.perf_counter() - started:.0f} s, peak {peak:.2f} GB")


def two_modes(n: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=(n, 2))
    second = z @ np.linalg.cholesky([[1, 0.7], [0.7, 1]]).T + 2
    return np.where(rng.random((n, 1)) < 0.5, z - 2, second)


def wgan(Y: np.ndarray, epochs: int, seed: int) -> tuple[Any, float]:
    import torch
    from torch import nn

    torch.manual_seed(seed)

    def net(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in ((inputs, 128), (128, 128), (128, 128)):
            layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.1)]
        return nn.Sequential(*layers, nn.Linear(128, outputs))

    generator, critic = net(2, 2), net(2, 1)
    m, s = Y.mean(axis=0), Y.std(axis=0)
    rows = torch.tensor((Y - m) / s, dtype=torch.float32)
    by_generator, by_critic = (torch.optim.Adam(k.parameters(), lr=1e-4) for k in (generator, critic))
    started, step = time.process_time(), 0
    for _ in range(epochs):
        for at in torch.randperm(len(rows)).split(32):
            real = rows[at]
            fake = generator(torch.randn(len(real), 2))
            mixed = real + torch.rand(len(real), 1) * (fake.detach() - real)
            mixed.requires_grad_()
            slope = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)[0].norm(dim=1)
            by_critic.zero_grad()
            (
                critic(fake.detach()).mean() - critic(real).mean() + 5 * torch.relu(slope - 1).pow(2).mean()
            ).backward()
            by_critic.step()
            step += 1
            if step % 15 == 0:
                by_generator.zero_grad()
                (-critic(generator(torch.randn(len(real), 2))).mean()).backward()
                by_generator.step()
    seconds = time.process_time() - started
    generator.eval()

    def draw(n: int) -> np.ndarray:
        with torch.no_grad():
            return m + s * generator(torch.randn(n, 2)).double().numpy()

    return draw, seconds


def gan(epochs: int) -> None:
    for seed in (0, 1, 2):
        rng = np.random.default_rng(seed)
        Y = two_modes(2_000, rng)
        fresh = [two_modes(1_000, rng) for _ in range(6)]
        floor = np.mean([discrete.wasserstein(fresh[i], fresh[i + 3]).cost for i in range(3)])
        started = time.process_time()
        res = de.TransportDensity("a + b ~ 1").fit({"a": Y[:, 0], "b": Y[:, 1]}, seed=seed)
        ours = time.process_time() - started
        draw, theirs = wgan(Y, epochs, seed)
        drawn = [res.distribution().sample(1_000, seed=k) for k in range(3)], [draw(1_000) for _ in range(3)]
        a, b = (
            np.mean([discrete.wasserstein(x, y).cost for x, y in zip(d, fresh[3:], strict=True)]) - floor
            for d in drawn
        )
        print(
            f"seed {seed}: floor {floor:.4f}, excess ours {a:.4f} in {ours:.1f} s, WGAN-GP {b:.4f} in "
            f"{theirs:.1f} s of CPU "
            f"({epochs} epochs), ratio {a / b:.2f}",
            flush=True,
        )


def main() -> None:
    import torch

    torch.set_num_threads(1)
    what = sys.argv[1] if len(sys.argv) > 1 else "lecture"
    if what == "gan":
        gan(int(sys.argv[2]) if len(sys.argv) > 2 else 1_000)
    else:
        {"lecture": lecture, "divergence": divergence, "large": large}[what]()


if __name__ == "__main__":
    main()
