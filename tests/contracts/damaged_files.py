"""Files of results, damaged in every way: header fields and arrays replaced, bytes flipped, bombs.

Most are written with the checksum that belongs to them, so that what is tested is what checks their content.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from results_table import RESULTS, fitted, table

import disteconometrics as de
from disteconometrics.errors import DisteconometricsError, FileFormatError

__all__ = ["BOMBS", "Damaged", "damaged", "outcome_of"]

OLD = Path(__file__).parents[1] / "reference" / "files_0_1_0"
GONE = object()
VALUES: tuple[Any, ...] = (
    *(None, [], {}, "", "text", "-1", "\ud800", GONE, GONE, True, False),
    *(0, -1, -7, 0.5, 3, 10**6, 2**70, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
    *([1], [[1, 2], [3]], ["a", "b", "c"], {"a": 1}, [None], {"kind": "Chain", "maps": []}, -float("inf")),
    *(
        "x" * 10**5,
        "y ~ " + "x + " * 10**4 + "x",
        [0] * 10**5,
        ["x"] * 10**4,
        {f"{i}": i for i in range(10**4)},
    ),
    "y ~ " + "(" * 200 + "x" + ")" * 200,
)


# ---- files as members --------------------------------------------------------------------------------------


def npy(a: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(a), allow_pickle=True)
    return buffer.getvalue()


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    """A file of these members, with a checksum that belongs to them where it had one."""
    members = dict(members)
    if "checksum" in members:
        total = hashlib.sha256()
        for name in sorted(set(members) - {"checksum"}):
            total.update(f"{name}\0{len(members[name])}\0".encode() + members[name])
        members["checksum"] = npy(np.frombuffer(total.digest(), np.uint8))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return out.getvalue()


def document_of(members: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(np.load(io.BytesIO(members["header"]))))
    return found


def with_document(members: dict[str, bytes], document: Any) -> dict[str, bytes]:
    return {**members, "header": npy(np.frombuffer(json.dumps(document).encode(), np.uint8))}


@dataclass(frozen=True)
class Source:
    """A file that is right, and the table of its fit."""

    name: str
    content: bytes
    data: pd.DataFrame


def study() -> bytes:
    """The file of a study with cells, failures and warnings."""
    estimators = {"logit": de.Logit("y ~ x"), "mean": lambda d: {"m": d["y"].mean()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mc = de.MonteCarlo(de.dgps.RandomUtilityLogit(), estimators, grid={"n": [12, 30]}).run(40, seed=1)
    mc.save(file := io.BytesIO())
    return file.getvalue()


@cache
def sources() -> tuple[Source, ...]:
    """A file of every row of the table of results, and those of 0.1.0, which have no checksum."""
    found = []
    for name in RESULTS:
        file = io.BytesIO()
        fitted(name).save(file)
        found.append(Source(name, file.getvalue(), table(RESULTS[name].data)))
    found.append(Source("a study", study(), table("spector")))
    engel, classes = table("engel"), table("spector")
    apart = pd.DataFrame({"x": np.arange(12.0), "z": np.arange(12) % 3 / 2.0, "y": np.arange(12) > 5})
    for path in sorted(OLD.glob("*.npz")):
        data = apart if "separat" in path.stem else classes if path.stem[:5] in ("logit", "probi") else engel
        found.append(Source(f"0.1.0 {path.stem}", path.read_bytes(), data))
    return tuple(found)


# ---- damage ------------------------------------------------------------------------------------------------


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a JSON document; of long lists the first and the last."""
    if at:
        yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for i in sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from places(value[i], (*at, i))


def value_at(document: Any, at: tuple[Any, ...]) -> Any:
    for key in at:
        document = document[key]
    return document


def replaced(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    holder = value_at(document, at[:-1])
    if value is GONE:
        del holder[at[-1]]
    else:
        holder[at[-1]] = value
    return document


def in_header(members: dict[str, bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    document = document_of(members)
    known = list(places(document["content"], ("content",)))
    at = known[rng.integers(len(known))]
    if rng.random() < 0.03:
        at = (list(document)[rng.integers(len(document))],)
    value = VALUES[rng.integers(len(VALUES))]
    luck = rng.random()
    if luck < 0.2:  # what stands elsewhere
        value = value_at(document, known[rng.integers(len(known))])
    elif luck < 0.4 and isinstance(now := value_at(document, at), (int, float)):
        value = [now + 1, -now, now * 1000, now / 3, float(now)][rng.integers(5)]
    changed = replaced(document, at, value)
    return f"{at} = {value!r:.40}", packed(with_document(members, changed))


def spoilt(a: Any, kind: str, rng: np.random.Generator) -> Any:
    """An array of another type, of another shape or with other values."""
    flat = a.ravel()
    at = int(rng.integers(max(a.size, 1)))

    def put(value: float) -> Any:
        b = np.append(flat, 0.0) if not a.size else flat.copy()
        b[at] = value
        return b.reshape(a.shape) if a.size else b

    changes: dict[str, Callable[[], Any]] = {
        "text": lambda: a.astype(str),
        "dates": lambda: np.zeros(a.shape, "datetime64[s]"),
        "complex": lambda: a + 1j,
        "objects": lambda: np.full(a.shape, None),
        "whole": lambda: np.nan_to_num(a, posinf=0, neginf=0).clip(-1e9, 1e9).astype(np.int64),
        "single": lambda: np.nan_to_num(a).clip(-1e30, 1e30).astype(np.float32),
        "big-endian": lambda: a.astype(">f8"),
        "shorter": lambda: a[:-1] if a.ndim else a.reshape(1),
        "empty": lambda: a[..., :0] if a.ndim else np.zeros(0),
        "longer": lambda: np.concatenate([a, a]) if a.ndim else np.zeros(2),
        "flat": lambda: flat,
        "deeper": lambda: a[None],
        "turned": lambda: a.T,
        "one number": lambda: np.float64(1.0),
        "nan": lambda: put(np.nan),
        "inf": lambda: put(np.inf),
        "all nan": lambda: np.full(a.shape, np.nan),
        "huge": lambda: put(1e308),
        "tiny": lambda: put(1e-320),
        "negative": lambda: -a - 1,
        "zeros": lambda: np.zeros(a.shape),
        "one changed": lambda: put(float(rng.normal() * 10.0 ** rng.integers(-5, 6))),
        "reversed": lambda: a[::-1] if a.ndim else a,
    }
    return changes[kind]()


KINDS = (
    *("text", "dates", "complex", "objects", "whole", "single", "big-endian", "shorter", "empty", "longer"),
    *("flat", "deeper", "turned", "one number", "nan", "inf", "all nan", "huge", "tiny", "negative", "zeros"),
    *("one changed", "reversed"),
)


def in_array(members: dict[str, bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    names = sorted(set(members) - {"header", "checksum"})
    if not names:
        return "an unknown array", packed({**members, "other": npy(np.zeros(3))})
    name = names[rng.integers(len(names))]
    kind = (*KINDS, "gone", "unknown", "renamed", "another's")[rng.integers(len(KINDS) + 4)]
    changed = dict(members)
    if kind in KINDS:
        changed[name] = npy(spoilt(np.load(io.BytesIO(members[name])), kind, rng))
    elif kind == "gone":
        del changed[name]
    elif kind == "unknown":
        changed["other"] = members[name]
    elif kind == "renamed":
        changed[name + "_"] = changed.pop(name)
    else:
        changed[name] = members[names[rng.integers(len(names))]]
    return f"{name}: {kind}", packed(changed)


def in_bytes(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Cut off, bits flipped (of the whole file or of the directory at its end), or a piece cut out."""
    at = int(rng.integers(len(content)))
    kind = int(rng.integers(4))
    if kind == 0:
        return f"cut at {at}", content[:at]
    if kind == 1:
        return f"cut out at {at}", content[:at] + content[at + int(rng.integers(1, 50)) :]
    spoilt = bytearray(content)
    start = 0 if kind == 2 else content.rfind(b"PK\x01\x02")
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(start, len(content)))
        spoilt[at] ^= 1 << int(rng.integers(8))
    return f"bits flipped near {at}", bytes(spoilt)


@dataclass(frozen=True)
class Damaged:
    """A damaged file: what it was, what was done to it, its bytes, and the table of its fit."""

    source: str
    damage: str
    content: bytes
    data: pd.DataFrame


def damaged(count: int, seed: int) -> Iterator[Damaged]:
    """So many damaged files, of all sources in turn: half by the header, two fifths by arrays, else bytes."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        source = sources()[i % len(sources())]
        members, which = members_of(source.content), rng.random()
        if which < 0.1:
            damage, content = in_bytes(source.content, rng)
        else:
            damage, content = (in_header if which < 0.6 else in_array)(members, rng)
        yield Damaged(source.name, damage, content, source.data)


# ---- bombs -------------------------------------------------------------------------------------------------


def _with_array(head: str) -> bytes:
    """A logit whose estimates have this header and no data."""
    text = head.ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    return packed({**members_of(sources()[0].content), "params": member})


def _grows() -> bytes:
    """A logit with a member that is not known, 400 MB of zeros in half a megabyte."""
    out = io.BytesIO(sources()[0].content)
    with (
        zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("other.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(100):
            member.write(bytes(4_000_000))
    return out.getvalue()


def _header(text: str) -> bytes:
    return packed({**members_of(sources()[0].content), "header": npy(np.frombuffer(text.encode(), np.uint8))})


def _of_net(**recipe: Any) -> bytes:
    """A trained flow whose recipe asks for another net than there is."""
    members = members_of(next(s.content for s in sources() if s.name == "FlowDensity, trained"))
    document = document_of(members)
    document["content"]["flow"]["chain"]["maps"] = [recipe]
    return packed(with_document(members, document))


def _of_map(hidden: list[int]) -> bytes:
    members = members_of(next(s.content for s in sources() if s.name == "TransportDensity, net"))
    document = document_of(members)
    document["content"]["net"]["hidden"] = hidden
    return packed(with_document(members, document))


def _twice() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(out, "w") as archive:
            for name, member in members_of(sources()[0].content).items():
                archive.writestr(f"{name}.npy", member)
                archive.writestr(f"{name}.npy", member)
    return out.getvalue()


def _compressed_otherwise() -> bytes:
    content = bytearray(sources()[0].content)
    content[content.rfind(b"PK\x01\x02") + 10] = 99
    return bytes(content)


SHAPE = "{'descr': '<f8', 'fortran_order': False, 'shape': "
BOMBS: dict[str, Callable[[], bytes]] = {
    "an unknown member that grows": _grows,
    "a member by another method": _compressed_otherwise,
    "a shape of 10^12": lambda: _with_array(SHAPE + "(1000000000000,), }"),
    "a negative shape": lambda: _with_array(SHAPE + "(-1,), }"),
    "a shape of no numbers": lambda: _with_array(SHAPE + "(0, 1000000000000000000000), }"),
    "code in a shape": lambda: _with_array(SHAPE + "(print(1),), }"),
    "a shape in brackets": lambda: _with_array("(" * 100),
    "every member twice": _twice,
    "a deep header": lambda: _header("[" * 100_000),
    "a header of lists": lambda: _header("[" + "[]," * 4_000_000 + "[]]"),
    "a header of blanks": lambda: _header(" " * 40_000_000 + "{}"),
    "a number of many digits": lambda: _header('{"magic": ' + "9" * 100_000 + "}"),
    "a flow of wide nets": lambda: _of_net(
        kind="Autoregressive", of={"kind": "RQS"}, layers=64, hidden=[4096] * 50
    ),
    "a flow of many layers": lambda: _of_net(kind="Planar", layers=256, hidden=[4096, 4096]),
    "a map of wide nets": lambda: _of_map([10**9, 10**9]),
}


# ---- use ---------------------------------------------------------------------------------------------------


def _answers(result: Any, data: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """What is asked of a loaded result: its words, its numbers, its law at new rows, and itself in a file."""
    rows = data.iloc[:5]
    return {
        "repr": lambda: repr(result),
        "summary": lambda: (str(result.summary()), result.summary().as_html(), result.summary().as_latex()),
        "numbers": lambda: (result.nobs, result.converged, result.labels(), result.solution()),
        "params": lambda: (result.params, result.bse, result.pvalues, result.conf_int(0.9)),
        "table": lambda: result.estimates.table(0.9),
        "cov_params": lambda: result.cov_params(),
        "test": lambda: result.test(f"`{result.estimates.names[0]}` = 0"),
        "nlcom": lambda: result.nlcom(f"`{result.estimates.names[-1]}` / 2"),
        "save": lambda: result.save(io.BytesIO()),
        "criteria": lambda: (result.llf, result.aic, result.bic, result.df_model, result.df_resid),
        "distribution": lambda: _law(result.distribution(), data),
        "distribution of rows": lambda: _law(result.distribution(rows), data),
        "predict": lambda: result.predict(rows),
        "predict, ci": lambda: result.predict(rows, ci=True),
        "answers at rows": lambda: result.at(rows, ["mean", "q[0.5]"]),
        "functionals": lambda: result.functionals(),
        "effects": lambda: str(result.effects().summary()),
        "margins": lambda: result.margins().summary(),
        "what binary results have": lambda: (result.prsquared, result.llr, result.llr_pvalue),
        "odds": lambda: result.odds_ratios(),
        "glance": lambda: result.glance(),
        "sigma": lambda: (result.sigma, result.rsquared, result.sigma_estimates.table()),
        "joint": lambda: result.joint_covariance.matrix,
        "effective": lambda: (result.trials, result.leave_one_out, result.edf),
        "history": lambda: (result.history, result.at_step(10)),
        "pairs": lambda: (result.table(), result.pvalue),
        "map": lambda: (result.qte(), result.mean_difference),
        "simulator": lambda: (result.distance, result.fit_test(19)),
        "study": lambda: (result.tidy(), result.replications, result.failures, result.warnings),
        "pictures of a study": lambda: pictured(result),
        "parts": lambda: [str(p.summary()) for p in result.parts],
    }


def pictured(mc: Any) -> None:
    from matplotlib import pyplot

    try:
        for kind in mc.pictures:
            mc.plot(kind, **({} if kind in ("lollipop", "nested_loop") else {"estimator": mc.estimators[0]}))
    finally:
        pyplot.close("all")


def _law(law: Any, data: pd.DataFrame) -> None:
    law.sample(2, seed=1)
    outcomes = getattr(law, "outcomes", None)
    if outcomes is not None:
        y = (
            data[list(outcomes)].to_numpy()[:5]
            if set(outcomes) <= set(data)
            else np.zeros((5, len(outcomes)))
        )
        law.logpdf(y)
        return
    for q in (0.1, 0.5):
        law.quantile(q)
    for ask in (law.mean, law.std, lambda: law.cdf(500.0), lambda: law.logpdf(500.0)):
        with suppress(DisteconometricsError, NotImplementedError):
            ask()


def _raises(ask: Callable[[], Any]) -> str:
    """The error of a call that nobody promised, or nothing."""
    try:
        ask()
    except DisteconometricsError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@cache
def _known(source: str) -> frozenset[str]:
    """The answers that results of a source have."""
    whole = next(s for s in sources() if s.name == source)
    asked = _answers(de.load(io.BytesIO(whole.content)), whole.data)
    return frozenset(name for name, ask in asked.items() if not _raises(ask))


def outcome_of(content: bytes, data: pd.DataFrame, source: str) -> str:
    """What becomes of a file: "refused", "harmless", or the error that nobody promised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = _known(source)
        try:
            result = de.load(io.BytesIO(content))
        except FileFormatError as error:
            return "refused" if "object at 0x" not in str(error) else f"load: unclear {error}"
        except Exception as error:
            return f"load: {type(error).__name__}: {error}"
        for name, ask in _answers(result, data).items():
            raw = _raises(ask) if name in known else ""
            if raw:
                return f"{name}: {raw}"
    return "harmless"
