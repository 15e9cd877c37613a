"""One small file of each kind that version 0.1.0 wrote, and what it said of them; run once, by that version.

    python tests/reference/files_0_1_0/write.py

`tests/unit/test_old_files.py` reads them with later versions.  Rows are public data, or exact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import disteconometrics as de

FOLDER = Path(__file__).parent
REPS = 6  # of the study that is stored; later ones are done when it resumes
ENGEL = de.datasets.engel()
ENGEL["rich"] = np.where(ENGEL["income"] > 900, "yes", "no")
ENGEL["parish"] = np.arange(len(ENGEL)) % 20
CLASSES = de.datasets.spector()
APART = {"x": np.arange(12.0), "z": np.arange(12) % 3 / 2.0, "y": (np.arange(12) > 5).astype(int)}
FEW = de.Adam(lr=0.01, steps=10)


def line(theta: Any, x: Any, noise: Any) -> Any:
    """A normal law as a simulator."""
    return theta[0] + theta[1] * noise


def coins(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """A process whose draws are the same on every processor."""
    x = rng.integers(0, 4, n) / 4
    return {"x": x, "y": (rng.random(n) < 0.25 + x / 2).astype(float)}


STUDY = de.MonteCarlo(
    coins,
    {"mle": de.Logit("y ~ x"), "robust": (de.Logit("y ~ x"), {"cov": "HC1"})},
    truth={"x": 2.0},
    grid={"n": [12, 60]},
)


ROWS = {
    **dict.fromkeys(("logit", "logit_firth", "probit"), CLASSES),
    **dict.fromkeys(("logit_separated", "logit_separation_firth"), APART),
    **dict.fromkeys(("normal", "flow", "flow_alone"), ENGEL),
}  # what results can be attached to, those that can


def fits() -> dict[str, Any]:
    """Every kind of result that has a file."""
    classes, clusters, pair = "GRADE ~ PSI + GPA", de.Cluster("parish"), "income + foodexp ~"
    flows = (de.AffineMap(), de.Autoregressive(de.RQS(4), hidden=(4,)))
    start = {"mu": 500.0, "sigma": 200.0}
    return {
        "logit": de.Logit(f"{classes} + I(GPA**2)").fit(CLASSES, cov="HC1", use_t=True),
        "logit_firth": de.Logit(classes, penalty="firth").fit(CLASSES),
        "logit_separated": de.Logit("y ~ x + z").fit(APART),
        "logit_separation_firth": de.Logit("y ~ x + z", separation="firth").fit(APART),
        "probit": de.Probit(classes).fit(CLASSES),
        "normal": de.NormalRegression("foodexp ~ income + C(rich)").fit(ENGEL, cov=clusters),
        "flow": de.FlowDensity("foodexp ~ income + rich", support="positive").fit(ENGEL, cov=clusters),
        "flow_alone": de.FlowDensity("log(foodexp) ~ 1").fit(ENGEL),
        "trained": de.FlowDensity("foodexp ~ income", flow=de.MixtureCDF(3, (4,)), train=FEW).fit(
            ENGEL, seed=0
        ),
        "trained_joint": de.FlowDensity(f"{pair} rich", flow=flows, train=FEW).fit(ENGEL, seed=0),
        "distance": de.WassersteinDistance("foodexp ~ rich", permutations=99).fit(ENGEL, seed=1),
        "map": de.TransportMap("foodexp ~ rich").fit(ENGEL),
        "map_joint": de.TransportMap(f"{pair} rich").fit(ENGEL[::5]),
        "law": de.TransportDensity("foodexp ~ 1").fit(ENGEL, seed=1),
        "law_net": de.TransportDensity("foodexp ~ 1", map=de.MLP(4), train=FEW).fit(ENGEL, seed=1),
        "law_joint": de.TransportDensity(f"{pair} 1", map=de.MLP(4), train=FEW).fit(ENGEL, seed=1),
        "law_given": de.TransportDensity("foodexp ~ income", map=de.MLP(8), train=FEW).fit(
            ENGEL[::7], seed=1
        ),
        "simulator": de.MinimumWasserstein("foodexp ~ 1", line, start=start).fit(ENGEL, seed=1),
    }


def said(result: Any) -> dict[str, Any]:
    """What a loaded result says: words to the letter, and numbers."""
    try:
        estimates = result.estimates.table().to_dict("list")
    except de.errors.WithheldError:  # of a joint map
        estimates = {}
    return {
        "repr": repr(result),
        "summary": str(result.summary()),
        "estimates": estimates,
        "law": law(result),
    }


def law(result: Any) -> list[float]:
    """Draws of a result's law for two households, or students; none where it has no law without its rows."""
    rows = {"income": [500.0, 900.0], "rich": ["no", "yes"], "PSI": [0.0, 1.0], "GPA": [2.5, 3.5]}
    try:
        found = result.distribution({**rows, "x": [2.0, 9.0], "z": [0.0, 1.0]})
    except (
        AttributeError,
        TypeError,
    ):  # a distance, a map, or a law of which the simulator is not in the file
        return []
    return np.ravel(found.sample(3, seed=1)).tolist()


def attached(name: str, result: Any) -> str:
    """The summary of a loaded result with its rows and other standard errors."""
    kind = "HC0" if name.startswith(("normal", "flow")) else "nonrobust"
    return str(result.attach(ROWS[name]).with_cov(kind).summary())


def main() -> None:
    """Write the files, the store, and what is said of them."""
    told = {}
    for name, result in fits().items():
        result.save(FOLDER / f"{name}.npz")
        told[name] = said(de.load(FOLDER / f"{name}.npz"))
        if name in ROWS:
            told[name]["attached"] = attached(name, de.load(FOLDER / f"{name}.npz"))
    study = STUDY.run(REPS, seed=1, store=FOLDER / "study.store", resume=False)
    told["study"] = study.replications.to_dict("list")
    (FOLDER / "said.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
