"""Whether two checkouts of the package give the same numbers, to the bit, on one machine.

    python tests/benchmarks/same_numbers.py OLD NEW              # two folders that hold disteconometrics/
    python tests/benchmarks/same_numbers.py OLD NEW --expect "flow HAC: *" "*: header(r)"

Each checkout computes every result of `same_numbers.toml` in a fresh process with one thread, both at once.
A reading of a result is an item: its value or its error, with the warnings on the way.  Tables, texts,
pictures and files are taken apart to numbers and words; wall-clock fields are left out by name.  Only the
public API is used, so the program outlives moves inside the package.  What only NEW has is told, and is no
difference.  The exit code is 1 if an item differs that no pattern of ``--expect`` names.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
RESULTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
# wall clock, what a file says of the program that wrote it, and the checksum of a file that holds these
LEFT_OUT = {"seconds", "version", "numpy", "checksum"}
DEEP = 2  # objects within objects that are taken apart
SHOWN = 70  # characters of a value in the report

# ---- the program that each checkout runs -------------------------------------------------------------------


def names_for(folder: Path) -> dict[str, Any]:
    """What the expressions may use: the package, formulas, tables, simulators and small helpers."""
    from scipy import stats

    import disteconometrics as de

    rng = np.random.default_rng(20250101)

    def with_columns(frame: pd.DataFrame) -> pd.DataFrame:
        n = len(frame)
        return frame.assign(
            n=rng.integers(1, 4, n),
            s=rng.uniform(0.5, 2.0, n),
            off=0.1 * rng.normal(size=n),
            firm=rng.integers(0, 30, n),
            year=rng.integers(0, 12, n),
            t=rng.permutation(n),
            region=rng.choice(["east", "north", "west"], n),
            kind=rng.choice(["a", "b"], n),
        )

    fair = with_columns(de.datasets.fair().iloc[::5].reset_index(drop=True))
    fair["almost"] = fair["age"] + 1e-7 * rng.normal(size=len(fair))
    fair["income"] = rng.gamma(2.0, size=len(fair))
    gaps = fair.copy()
    gaps.loc[3:40:4, "age"], gaps.loc[5:9, "income"] = np.nan, np.nan
    x, g = rng.normal(size=60), rng.integers(0, 3, 60)
    apart = pd.DataFrame({"x": x, "y": (x > 0).astype(int), "z": rng.normal(size=60), "g": g})
    apart["h"] = np.where(g == 2, 1, rng.integers(0, 2, 60))
    union = np.repeat(["no", "yes"], [130, 110])
    wage = np.round(rng.gamma(4.0, 2.0, 240) + 1.5 * (union == "yes"), 1)
    cps = with_columns(pd.DataFrame({"wage": wage, "hours": rng.normal(40, 5, 240), "union": union}))
    cps["firm"] += 30 * (union == "yes")
    return {
        "de": de,
        "np": np,
        "io": io,
        "stats": stats,
        "folder": folder,
        "FAIR": "affair ~ rate_marriage + age + yrs_married + religious",
        "FOOD": "foodexp ~ income",
        "PAIR": "income + foodexp ~ 1",
        "WAGE": "wage ~ union",
        "COUNTS": {"weights": "n", "weight_type": "frequency"},
        "SAMPLING": {"weights": "s", "weight_type": "sampling"},
        "STEPS": de.Adam(lr=0.01, steps=12),
        "fair": fair,
        "new": fair.iloc[[0, 10, 500]],
        "gaps": gaps,
        "apart": apart,
        "cps": cps.sample(frac=1, random_state=1, ignore_index=True),
        "engel": with_columns(de.datasets.engel()),
        "incomes": pd.DataFrame({"income": [400.0, 900.0], "off": 0.1, "kind": "a"}),
        "line": lambda theta, x, noise: theta[0] + theta[1] * noise,
        "slope": lambda theta, x, noise: theta[0] + theta[1] * x[:, 0] + theta[2] * noise,
        "saved": saved,
        "header": header,
        "again": lambda result: de.load(file_of(result)),
    }


def file_of(result: Any) -> io.BytesIO:
    """What ``save`` writes."""
    file = io.BytesIO()
    result.save(file)
    return io.BytesIO(file.getvalue())


def header(result: Any) -> Any:
    """The header of the file of a result, its fields in the order of their names."""
    with np.load(file_of(result)) as archive:
        return json.loads(json.dumps(json.loads(bytes(archive["header"]).decode()), sort_keys=True))


def saved(result: Any) -> dict[str, Any]:
    """Arrays of the file of a result, and what is read back from it."""
    import disteconometrics as de

    with np.load(file_of(result)) as archive:
        parts = {name: archive[name] for name in sorted(archive.files) if name != "header"}
    if "history" in parts:  # its columns by name, as wall clock is among them
        columns = ["step", *header(result)["content"]["history"]]
        parts["history"] = pd.DataFrame(parts["history"], columns=columns)
    loaded = de.load(file_of(result))
    return parts | {"loaded": [repr(loaded), str(loaded.summary())]}


def plain(value: Any, depth: int = 0) -> Any:
    """Anything as numbers, text, lists and dicts, to the bit; objects by their readings."""
    from matplotlib.axes import Axes

    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return re.sub(r"0x[0-9a-f]{6,}", "0x", value)  # addresses
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"type": f"{value.dtype} {value.shape}", "values": value.ravel().tolist()}
    if isinstance(value, pd.DataFrame):
        columns = {str(name): value.iloc[:, j].to_numpy() for j, name in enumerate(value.columns)}
        return plain({"index": value.index, **columns}, depth)
    if isinstance(value, pd.Series):
        return plain({"name": value.name, "index": value.index, "values": value.to_numpy()}, depth)
    if isinstance(value, Mapping):
        return {str(k): plain(v, depth) for k, v in value.items() if k not in LEFT_OUT}
    if hasattr(value, "_asdict"):
        return plain(value._asdict(), depth)
    if isinstance(value, (np.ndarray, np.generic, pd.Index)):
        return plain(value.tolist(), depth)
    if isinstance(value, (list, tuple)):
        return [plain(v, depth) for v in value]
    if isinstance(value, Axes):
        return drawn(value)
    words = {"repr": plain(attempt("repr(r)", {"r": value})[0])}
    return words if depth >= DEEP else words | dict(readings(RESULTS["details"], value, {}, depth + 1))


def drawn(ax: Any) -> Any:
    """What a picture shows: words, lines, points, areas and bars."""
    legend = ax.get_legend()
    words = [*ax.texts, *(legend.get_texts() if legend else [])]
    areas = [[np.asarray(c.get_offsets()), *(p.vertices for p in c.get_paths())] for c in ax.collections]
    shown = {
        "words": [ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), *(text.get_text() for text in words)],
        "lines": [line.get_xydata() for line in ax.lines],
        "areas": areas,
        "bars": [p.get_path().transformed(p.get_patch_transform()).vertices for p in ax.patches],
    }
    return plain(shown)


class NotOffered(Exception):
    """A result does not have what is asked of it, or needs arguments for it."""


def from_here(error: Exception) -> bool:
    """Whether an error comes from how this file asks, not from what it asked."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename in (__file__, "<string>")


def attempt(text: str, names: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The value of an expression, or its error, and the warnings on the way.

    Raises
    ------
    NotOffered
        If ``r`` does not have what the expression asks of it, or needs arguments for it.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            value = eval(text, dict(names))
            value = value() if callable(value) and text[2:].isidentifier() else value
        except Exception as error:
            if "r" in names and from_here(error):
                raise NotOffered from None
            value = f"{type(error).__name__}: {error}"
    return value, [f"{type(w.message).__name__}: {w.message}" for w in told]


def readings(texts: str, result: Any, names: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """What a result says of itself: text and plain value of every reading that it has."""
    from matplotlib import pyplot as plt

    for text in filter(None, map(str.strip, re.split(r"[;\n]", texts))):
        try:
            value, told = attempt(f"r.{text}" if text.isidentifier() else text, {**names, "r": result})
        except NotOffered:
            continue
        yield text, plain([value, told] if told else value, depth)
        plt.close("all")


def specification(text: str, names: Mapping[str, Any]) -> Any:
    """How a specification prints, and whether two of them and a copy are equal and hash alike."""
    one, two = eval(text, dict(names)), eval(text, dict(names))
    again = copy.deepcopy(one)
    return plain([repr(one), one == two == again, hash(one) == hash(two) == hash(again)])


def items(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of every reading of every result."""
    for family in RESULTS["family"]:
        for name, text in family["results"].items():
            result, told = attempt(text, names)
            yield f"{name}: result", plain([result, told])
            if not type(result).__module__.startswith("disteconometrics"):  # an error, numbers or tables
                continue
            if made := re.match(r"(de\.(?!compare)\w+\(.*?\))\.(fit|run)\(", text):
                yield f"{name}: specification", specification(made[1], names)
            for reading, value in readings(family["readings"] + "\n" + RESULTS["always"], result, names):
                yield f"{name}: {reading}", value


def produce(file: Path) -> None:
    """Write the items of the package on the path, a line of JSON each."""
    import matplotlib
    import torch

    import disteconometrics as de

    if not Path(de.__file__).is_relative_to(os.environ["PYTHONPATH"]):
        raise SystemExit(f"{de.__file__} was imported, not the package of {os.environ['PYTHONPATH']}.")
    matplotlib.use("Agg")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, file.open("w", encoding="utf-8") as out:
        for item in items(names_for(Path(folder))):
            out.write(json.dumps(item) + "\n")


# ---- the comparison ----------------------------------------------------------------------------------------


def start(checkout: Path, file: Path) -> subprocess.Popen[bytes]:
    """The program on a checkout, in a process of its own."""
    environment = os.environ | THREADS | {"PYTHONPATH": str(checkout.resolve())}
    return subprocess.Popen([sys.executable, __file__, "--produce", str(file)], env=environment)


def difference(old: Any, new: Any, at: str = "") -> str:
    """The first place where two values differ, with both, shortened; empty if there is none."""
    if type(old) is type(new) and isinstance(old, (dict, list)) and len(old) == len(new):
        keys = old if isinstance(old, dict) else range(len(old))
        if isinstance(old, list) or list(old) == list(new):
            return next(filter(None, (difference(old[k], new[k], f"{at}[{k!r}]") for k in keys)), "")
    a, b = (json.dumps(value, ensure_ascii=False) for value in (old, new))
    if a == b:
        return ""
    same = next((i for i, (p, q) in enumerate(zip(a, b, strict=False)) if p != q), min(len(a), len(b)))
    shown = slice(max(same - SHOWN // 2, 0), max(same - SHOWN // 2, 0) + SHOWN)
    return f"{at} {a[shown]} | {b[shown]}".strip()


def report(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> int:
    """Print a line for every item that differs, and how many do; return how many no pattern names."""
    differing = unexpected = 0
    for name, value in old.items():
        told = difference(value, new[name]) if name in new else "is missing in NEW"
        if told:
            known = any(fnmatchcase(name, pattern) for pattern in expected)
            differing, unexpected = differing + 1, unexpected + (not known)
            print(f"{'expected: ' if known else ''}{name} {told}")
    for name in new:
        if name not in old:
            print(f"only in NEW: {name}")
    results = len({name.split(": ")[0] for name in old})
    words = f"{differing:,} differ, {differing - unexpected:,} of them expected" if differing else "equal"
    print(f"{results} results, {len(old):,} items: {words}")
    return unexpected


def main() -> None:
    """Run both checkouts and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT", help="OLD and NEW")
    parser.add_argument(
        "--expect", nargs="+", default=[], metavar="ITEM", help="items that may differ; * is any text"
    )
    parser.add_argument(
        "--produce", type=Path, metavar="FILE", help="only write the items of the package on the path"
    )
    given = parser.parse_args()
    if given.produce:
        produce(given.produce)
        return
    if len(given.checkouts) != 2:
        parser.error("give two checkouts, OLD and NEW")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("old", "new")]
        running = [start(checkout, file) for checkout, file in zip(given.checkouts, files, strict=True)]
        if any([process.wait() for process in running]):
            raise SystemExit("The program stopped with an error in a checkout; see above.")
        old, new = (dict(map(json.loads, file.read_text(encoding="utf-8").splitlines())) for file in files)
    sys.exit(1 if report(old, new, given.expect) else 0)


if __name__ == "__main__":
    main()
