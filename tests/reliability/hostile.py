"""Formulas that try to run code or to fill time and memory, and the child process that fits them one by one.

    python hostile.py FOLDER [STEP]     # every STEP-th formula; prints what went wrong, then a summary

A formula is handled if it ends in a typed error or a fit with typed warnings only, within 5 seconds of the
processor and 300 MB over the warm baseline, and nothing was opened for writing, started or executed.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES = 5.0, 300.0

# {f} is a file that must not come to be
PAYLOADS = [
    "__import__('os').system('touch {f}')",
    "open('{f}', 'w')",
    'eval(\'open("{f}", "w")\')',
    'exec(\'open("{f}", "w")\')',
    "compile('1', '', 'eval')",
    "getattr(x, '__class__')",
    "x.__class__",
    "x.__class__.__mro__[1].__subclasses__()",
    "().__class__.__base__.__subclasses__()",
    "''.join(['a'])",
    "x.to_csv('{f}')",
    "x.values.tofile('{f}')",
    "np.save('{f}', x)",
    "np.savetxt('{f}', x)",
    "np.lib.npyio.save('{f}', x)",
    "np.load('{f}', allow_pickle=True)",
    "np.fromfile('{f}')",
    "np.vectorize(open)(x)",
    "np.log.__self__",
    "log.__globals__['__builtins__']",
    "scale.__wrapped__(x)",
    "C.__init__(x)",
    "(lambda: open('{f}', 'w'))()",
    "(lambda x: x)(x)",
    "[open('{f}', 'w') for i in (1,)]",
    "{{open('{f}', 'w'): 1}}",
    "{{i for i in x}}",
    "(i for i in x)",
    "(t := open('{f}', 'w'))",
    'f\'{{open("{f}", "w")}}\'',
    "f'{{x!r:>{{10**9}}}}'",
    "x if open('{f}', 'w') else z",
    "log(*[open('{f}', 'w')])",
    "log(**{{'x': open('{f}', 'w')}})",
    "x[open('{f}', 'w')]",
    "x[0]",
    "x[::10**9]",
    "globals()['x']",
    "vars()",
    "dir()",
    "breakpoint()",
    "input()",
    "exit()",
    "print(x)",
    "str(x)",
    "type('A', (), {{}})",
    "await x",
    "(yield x)",
    "...",
    "b'x'",
    "1j",
    "x @ z",
    "not x",
    "x and z",
    "x is z",
    "x in z",
    "'%s' % x",
    "'a' * 10**9",
    "[0] * 10**9",
    "hashed(x)",
    "del x",
    "import os",
    "raise x",
    "assert x",
    "x; open('{f}', 'w')",
    "x\nopen('{f}', 'w')",
    "x = 1",
    "@x",
    "os.system('touch {f}')",
    "contr.__class__('{f}')",
    "None",
    "nan",
]

PLACES = [
    "y ~ {p}",
    "y ~ x + {p}",
    "y ~ x * ({p})",
    "y ~ I({p})",
    "y ~ {{{p}}}",
    "y ~ log({p})",
    "y ~ C({p})",
    "y ~ C(g, {p})",
    "y ~ C(g, levels={p})",
    "y ~ C(g, contr.treatment(base={p}))",
    "y ~ scale(x, center={p})",
    "y ~ bs(x, df={p})",
    "y ~ bs(x, knots=[{p}])",
    "y ~ Q({p})",
    "y ~ lag({p})",
    "y ~ poly(I({p}), 2)",
    "y ~ where({p}, x, z)",
    "y ~ (x + z) ** {p}",
    "{p} ~ x",
    "I({p}) ~ x",
    "y ~ `{p}`",
    "y ~ x, {p}",
]

UNICODE = [
    "y ~ \uff4f\uff50\uff45\uff4e('{f}', 'w')",
    "y ~ I(\uff4f\uff50\uff45\uff4e('{f}', 'w'))",
    "y ~ I(__\u1d62mport__('os').system('touch {f}'))",
    "y ~ I(\U0001d426\U0001d42d(x))",
    "y ~ I(\U0001d425\U0001d428\U0001d420(x ** 2 + 1))",
    "y ~ x\uff0e__class__",
    "y ~ I(x\u200b.__class__)",
    "y ~ x\u200b",
    "y ~ x\u202e",
    "y ~ \u202ex",
    "y ~ x\u2028open('{f}', 'w')",
    "y ~ x\u0085",
    "y ~ x\x00",
    "y ~ I(x\x00)",
    "y ~ \x0cx",
    "y ~ x\x1a",
    "\ufeffy ~ x",
    "y ~ x\ud800",
    "y ~ I(x + \ud800)",
    "y ~ `\ud800`",
    "y ~ `x\x00`",
    "y \u223c x",
    "y ~ x \u2212 z",
    "y ~ x \u00d7 z",
    "y ~ x\u00b2",
    "y ~ I(x \u2264 z)",
    "y ~ \u0445",
    "y ~ \u2170",
    "y ~ I(x \\\n + z)",
    "y ~ x \\",
    "y ~ I('\\N{{BULLET}}')",
    "y ~ I('\\x41' == g)",
    'y ~ I("\\u0061" == g)',
    "y ~ Q('\\x78')",
    "y ~ Q('x' 'y')",
    "y ~ Q(f'x')",
    "y ~ Q(b'x')",
    "y ~ Q(u'x')",
    "y ~ Q(r'x')",
    "y ~ '''x'''",
    "y ~ x # {f}",
    "y ~ \t\n x \r\n + z",
    "y ~ \U0001f600",
    "y ~ `\U0001f600`",
    "y ~ x\u0301",
    "y ~ I(\u00aax)",
    "y ~ \u0661",
    "y ~ I(x ** \u0662)",
    "y ~ x:\u0663",
]


def bombs() -> list[str]:
    """Lengths, depths, powers, knots, products, nested calls, huge numbers."""
    out = [
        *(f"y ~ {'(' * d}x{')' * d}" for d in (50, 101, 2_000, 24_000)),
        *(f"y ~ {'[' * d}x{']' * d}" for d in (3, 2_000)),
        *(f"y ~ {'{' * d}x{'}' * d}" for d in (3, 2_000)),
        *(f"y ~ I({'(' * d}x{')' * d})" for d in (50, 199, 2_000)),
        *(
            f"y ~ {f * d}x{')' * d}"
            for f in ("log(", "I(", "scale(", "C(", "lag(", "abs(")
            for d in (40, 99, 5_000)
        ),
        *(
            f"y ~ I({s * d}x)"
            for s in ("-", "+", "~", "not ", "x + ", "x * ", "x ** ", "x < ", "x & ", "x if x else ")
            for d in (60, 4_000)
        ),
        *(
            f"y ~ {s * d}x"
            for s in ("+", "-", "x + ", "x - ", "x:", "x*", "x/", "1 + ", "0 + ", "x ** 2 ** ", "x^2^")
            for d in (60, 4_000)
        ),
        *(
            f"y ~ x{s * d}"
            for s in (
                "'",
                '"',
                "`",
                "'\\",
                '"\\',
                "``",
                "~",
                "|",
                ",",
                ".",
                "%",
                "%in%",
                "\\",
                " ",
                "\n",
                "é",
            )
            for d in (7, 20_000)
        ),
        *(
            f"y ~ (x + z + w + v) ** {e}"
            for e in (2, 9, 40, 99, "999999999999", "-1", "2.5", "x", "1e9", "(9 ** 9)")
        ),
        *(
            f"y ~ I(x ** {e})"
            for e in (
                "99",
                "9 ** 9 ** 9",
                "1e308",
                "-1e308",
                "0.5",
                "(10 ** 1000)",
                "x ** x ** x",
                "9" * 4_000,
                "9" * 5_000,
            )
        ),
        *(
            f"y ~ I({n} * x)"
            for n in (
                "1e308",
                "1e999",
                "-1e999",
                "0x" + "f" * 4_000,
                "0b" + "1" * 9_000,
                "1_0_0",
                "1__0",
                "07",
                "1e-999",
                "9" * 4_300,
            )
        ),
        *(f"y ~ {n}:x" for n in ("1e308", "1e999", "0", "-1", "2.5", "9" * 4_000, "0x10", "1e5", "1j")),
        *(
            f"y ~ C(firm {s})"
            for s in (
                "** 99999999",
                "* 9 ** 9 ** 9",
                "// 0",
                "% 0",
                "* 10 ** 18",
                "* 10 ** 19",
                "- 9 ** 99",
                "** 0.5",
                "> 10 ** 30",
                "* 1e308 * 10",
                "+ x",
            )
        ),
        *(
            "y ~ " + s.join(f"C(firm + {i})" for i in range(k))
            for s in (":", "*", "/", " + ")
            for k in (2, 4, 6, 12, 13, 40)
        ),
        *("y ~ " + "*".join(f"C(firm > {i})" for i in range(k)) for k in (8, 10, 12, 16)),
        *(
            f"y ~ ({' + '.join(f'C(firm + {i})' for i in range(k))}) ** {e}"
            for k, e in ((6, 6), (30, 3), (99, 2))
        ),
        *(f"y ~ {f}" for f in ("C(x)", "C(x) * C(z)", "C(x):z", "C(x) + C(z) + C(w)", "C(x * 10 ** 6 // 1)")),
        *(
            f"y ~ {s}(x, df={d})"
            for s in ("bs", "cr", "cc", "cs")
            for d in (3, 60, 999, 10**9, "1e9", "1e999", -5, 2.5, "None")
        ),
        *(
            f"y ~ bs(x, df={d}, degree={k})"
            for d, k in ((200, 100), (1_000, 100), (1_000, 101), (10, 0), (10, -1))
        ),
        *(f"y ~ bs(x, knots=[{', '.join(str(i / k) for i in range(k))}])" for k in (10, 900, 1_001, 6_000)),
        *(
            f"y ~ {s}"
            for s in (
                "bs(x, df=900):bs(z, df=900)",
                "bs(x, df=60) * bs(z, df=60)",
                "bs(x, df=60) * C(firm)",
                "poly(x, 100)",
                "poly(x, 101)",
                "poly(x, 10 ** 9)",
                "poly(x, 99) * poly(z, 99)",
                "poly(x, 1e9)",
            )
        ),
        *(
            f"y ~ lag(x, {k})"
            for k in (1, -1, 150, 10**9, -(10**9), 10**30, "1e9", "True", "None", "10 ** 9")
        ),
        f"y ~ C(g, levels=[{', '.join(repr(str(i)) for i in range(5_000))}])",
        f"y ~ C(g, levels=['a', 'b', 'c', {', '.join(repr(str(i)) for i in range(5_000))}])",
        f"y ~ C(firm, levels=[{', '.join(map(str, range(8_000)))}])",
        f"y ~ C(g, levels={'[' * 90}'a'{']' * 90})",
        f"y ~ C(g, contr.poly(scores=[{', '.join(['1e308'] * 3)}]))",
        f"y ~ C(firm, contr.poly(scores=[{', '.join(map(str, range(20)))}]))",
        f"y ~ C(g, contr.poly(scores=[{', '.join(['1'] * 9_000)}]))",
        "y ~ " + " + ".join(f"I(x ** {i})" for i in range(2_000)),
        "y ~ " + " + ".join(f"log(x ** 2 + {i})" for i in range(2_000)),
        "y ~ " + " + ".join(f"q_{i}_" for i in range(5_000)),
        "y ~ " + " + ".join(f"`a {i}`" for i in range(5_000)),
        "y ~ " + "x" * 49_000,
        "y ~ " + "x" * 60_000,
        "y ~ Q('" + "x" * 40_000 + "')",
        "y ~ `" + "x" * 40_000 + "`",
        "y ~ I('" + "x" * 40_000 + "' == g)",
        "y" * 40_000 + " ~ x",
        "y ~ where(" * 80 + "x > 0, x, z)" + ", z, x)" * 79,
        "y ~ .",
        "y ~ . ** 9",
        "y ~ .:.:.:.",
        "y ~ (. + .) ** 2 - .",
        "y ~ x | z",
        "y + z ~ x",
        "~ x",
        "y ~",
        "~",
        "",
        " ",
        "y",
        "y ~ 0",
        "y ~ -1",
        "1 ~ x",
        "y ~ y",
        "y ~ 1:1:1",
        "y ~ 5",
        "y ~ x %in% g",
        "y ~ x:" + ":".join(["g"] * 3_000),
    ]
    rng = random.Random(7)  # noise: any characters of formulas in any order
    signs = [
        "x",
        "z",
        "g",
        "y",
        "firm",
        "1",
        "0",
        "2.5",
        "~",
        "+",
        "-",
        "*",
        "/",
        ":",
        "**",
        "^",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "`",
        "'",
        '"',
        ",",
        ".",
        "C(",
        "I(",
        "log(",
        "bs(",
        "%",
        "|",
        "\\",
        "#",
        "=",
        "<",
        "@",
        " ",
        "lambda",
        "__",
    ]
    out += ["y ~ " + "".join(rng.choices(signs, k=rng.randint(3, 40))) for _ in range(150)]
    out += ["".join(rng.choices(signs, k=rng.randint(200, 4_000))) for _ in range(50)]
    return out


def formulas(target: str) -> list[str]:
    """All of them, attempts at code first; ``target`` is the file that they try to make."""
    code = [_put(place, payload, target) for payload in PAYLOADS for place in PLACES]
    return [
        *code,
        *(text.replace("{{", "{").replace("}}", "}").replace("{f}", target) for text in UNICODE),
        *bombs(),
    ]


def _put(place: str, payload: str, target: str) -> str:
    inner = (
        payload.replace("{{", "\0")
        .replace("}}", "\1")
        .replace("{f}", target)
        .replace("\0", "{")
        .replace("\1", "}")
    )
    return place.replace("{{{p}}}", "{" + inner + "}").replace("{p}", inner)


# ---- the child process ------------------------------------------------------------------------------------


def table() -> Any:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    n = 200
    d = pd.DataFrame({name: rng.normal(size=n) for name in "xzwv"})
    d["g"], d["firm"] = rng.choice(list("abc"), n), rng.integers(0, 20, n)
    return d.assign(y=rng.integers(0, 2, n), apart=(d.x > 0).astype(int))


def peak(reset: bool = False) -> float:
    """Megabytes of memory at most since the last reset."""
    if reset:
        handle = os.open("/proc/self/clear_refs", os.O_WRONLY)
        os.write(handle, b"5")
        os.close(handle)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.remove",
    "os.rename",
    "subprocess.",
    "socket.",
    "shutil.",
    "pickle.",
)


def watching(done: list[str]) -> Any:
    """An audit hook that notes what no formula may do."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            done.append(event)
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            done.append(f"open {arguments[0]}")
        if event == "exec" and getattr(arguments[0], "co_filename", "") in ("<string>", "<unknown>"):
            done.append("exec")

    return hook


def ended(formula: str, data: Any) -> str:
    """How a fit ended: "fit", the class of a typed error, or "raw …"."""
    import disteconometrics as de

    try:
        str(de.Logit(formula).fit(data))
    except de.errors.DisteconometricsError as error:
        return type(error).__name__ if str(error) else "raw: an error without words"
    except BaseException as error:
        return f"raw {type(error).__name__}: {str(error)[:200]}"
    return "fit"


def trouble_with(formula: str, data: Any, base: float, done: list[str]) -> tuple[str, list[str]]:
    """How a fit ended, and what was wrong with that."""
    from disteconometrics.errors import DisteconometricsWarning

    done.clear()
    peak(reset=True)
    start = time.process_time()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        how = ended(formula, data)
    seconds, memory = time.process_time() - start, peak() - base
    wrong = [how] if how.startswith("raw") else []
    wrong += [str(w.message)[:100] for w in raised if not issubclass(w.category, DisteconometricsWarning)]
    wrong += [*done, *([f"{seconds:.1f} s"] if seconds > SECONDS else [])]
    wrong += [f"{memory:.0f} MB"] if memory > MEGABYTES else []
    return how.partition(":")[0], wrong


WARM = (
    "y ~ x + bs(z, df=5) + poly(w, 2) + C(g) * scale(v)",
    "y ~ x + nosuch",
    "y ~ open(x)",
    "apart ~ x * z",
)


def main(folder: str, step: int) -> int:
    target = Path(folder) / "touched"
    data, given = table(), formulas(str(target))[::step]
    before, done, counts, wrong = data.copy(), [], Counter[str](), 0
    for formula in WARM:
        trouble_with(formula, data, 0.0, done)
    gc.collect()
    sys.addaudithook(watching(done))
    base = peak(reset=True)
    for formula in given:
        how, trouble = trouble_with(formula, data, base, done)
        counts[how] += 1
        trouble += ["made a file"] if target.exists() else []
        if trouble:
            wrong += 1
            print(json.dumps({"formula": formula[:150], "characters": len(formula), "trouble": trouble}))
    changed = not before.equals(data)
    print(json.dumps({"formulas": len(given), "wrong": wrong, "table changed": changed, "ended": counts}))
    return 1 if wrong or changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1))
