"""The house rules, read off the source: who may import whom, which room may know which library,
how long a file may be.

Nothing of the package is run here except in the last part, which starts fresh interpreters to see what an
import costs and loads.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import io
import os
import re
import resource
import statistics
import subprocess
import sys
import textwrap
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from radon.complexity import cc_visit

PACKAGE = "disteconometrics"

# Imports go down only: a room may use the layers before its own.
LAYERS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"arrays", "errors", "threads"},
            {"words"},
            {"blocks", "checks", "files", "pictures", "tables"},
            {"archive", "fields"},
            {"data", "likelihoods", "optim", "flows", "transport"},
            {"distributions"},
            {"inference"},
            {"simulate", "report", "plots"},
            {"estimators"},
            {"__init__"},
            {"__main__"},
        ),
    )
)
# Rooms of one layer do not know each other, with two exceptions: an optimiser evaluates log-likelihoods, and
# the index model is what makes a pass over rows fast, so `optim` drives it directly; the other way round
# stays closed.  Flows are trained by `optim.minibatch`, which knows nothing of flows.
# Whoever has pictures finds them by name when one is drawn, and pictures know no result.
SIDEWAYS = {("optim", "likelihoods"), ("flows", "optim"), ("pictures", "plots")}
ALONE = frozenset({"datasets"})  # imports libraries only

# Library: where it may be imported (a room, or a file).
FENCES: dict[str, tuple[str, ...]] = {
    "formulaic": ("data/",),
    "torch": ("flows/", "transport/torch_losses.py", "optim/minibatch.py"),
    "matplotlib": ("plots/",),
    "statsmodels": ("datasets.py",),
}
NOT_IN: dict[str, tuple[str, ...]] = {"pandas": ("likelihoods/", "optim/", "flows/", "transport/")}

MOST_CODE_LINES = 500
PLAIN, HARD, MOST_OVER = (
    10,
    15,
    0.025,
)  # complexity by radon, and the share of functions that may be over the first
EXAMPLES_IN = ("plots/", "simulate/dgps.py", "distributions/scores.py", "datasets.py")

IMPORT_BAR_MS = 15.0  # over a bare interpreter, median of pairs
IMPORT_PAIRS = 9
HEAVY = (
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scipy.stats",
    "statsmodels",
    "matplotlib",
    "formulaic",
    "sklearn",
)
NOT_FOR_A_LOGIT = ("torch", "matplotlib", "scipy.stats", "scipy.optimize", "patsy")

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


# ---- reading the source ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One imported module, as written at ``line``; ``function`` is the dotted place of the function around
    it, if any.
    """

    module: str
    line: int
    function: str | None
    statements: int  # of that function, its docstring apart
    typing_only: bool


@dataclass(frozen=True, eq=False)
class Source:
    """A file of the package: its path from the package's folder, text and syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def room(self) -> str:
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def is_room_init(self) -> bool:
        return self.path.endswith("/__init__.py")

    @property
    def is_public(self) -> bool:
        name = self.path.rsplit("/", 1)[-1].removesuffix(".py")
        return not name.startswith("_")


def folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


@cache
def sources() -> tuple[Source, ...]:
    root = folder()
    found = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(root).as_posix(), text, ast.parse(text)))
    return tuple(found)


def docstring_of(node: ast.AST) -> ast.Constant | None:
    body = getattr(node, "body", None)
    if not isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) or not body:
        return None
    first = body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return first.value
    return None


def statements(function: Function) -> int:
    inner = [n for n in ast.walk(function) if isinstance(n, ast.stmt) and n is not function]
    return len(inner) - (docstring_of(function) is not None)


def is_typing_guard(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def dynamic_module(call: ast.Call) -> str | None:
    """The module that ``import_module("…")`` or ``__import__("…")`` names, "?" when it is computed;
    None for another call.
    """
    name = (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )
    if name not in ("import_module", "__import__") or not call.args:
        return None
    given = call.args[0]
    if isinstance(given, ast.JoinedStr) and given.values and isinstance(given.values[0], ast.Constant):
        given = given.values[0]
    if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value:
        return given.value.rstrip(".")
    return "?"


@cache
def imports(source: Source) -> tuple[Import, ...]:
    """Every import of a file: at the top, inside functions, under TYPE_CHECKING and through importlib."""
    package = [PACKAGE, *source.path.split("/")[:-1]]
    found: list[Import] = []

    def modules(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            return [".".join(filter(None, (*above, node.module, alias.name))) for alias in node.names]
        name = dynamic_module(node) if isinstance(node, ast.Call) else None
        return [] if name is None else [name]

    def visit(node: ast.AST, place: tuple[str, ...], function: Function | None, typing_only: bool) -> None:
        for module in modules(node):
            where = None if function is None else ".".join((source.dotted, *place))
            count = 0 if function is None else statements(function)
            found.append(Import(module, getattr(node, "lineno", 0), where, count, typing_only))
        guarded = node.body if isinstance(node, ast.If) and is_typing_guard(node) else []
        for child in ast.iter_child_nodes(node):
            inside = (*place, child.name) if isinstance(child, (ast.ClassDef, *FUNCTIONS)) else place
            visit(
                child,
                inside,
                child if isinstance(child, FUNCTIONS) else function,
                typing_only or child in guarded,
            )

    visit(source.tree, (), None, False)
    return tuple(found)


@cache
def rooms() -> frozenset[str]:
    return frozenset(s.room for s in sources())


def room_of(module: str) -> str | None:
    """The room that a module of the package belongs to; None for a library."""
    head, _, rest = module.partition(".")
    if head != PACKAGE:
        return None
    room = rest.partition(".")[0]
    return room if room in rooms() else "__init__"  # a lazy public name, or the package itself


def layer_of(room: str) -> int:
    for i, layer in enumerate(LAYERS):
        if room in layer:
            return i
    raise AssertionError(f"{room} is in no layer: add it to LAYERS with a reason")


def is_lazy_name(source: Source, found: Import) -> bool:
    """Whether an import gives a type checker the names that the root or ``plots`` load on first use."""
    return source.path in ("__init__.py", "plots/__init__.py") and (
        found.typing_only or found.function is not None
    )


def allowed(here: str, there: str) -> bool:
    if here == there:
        return True
    if there in ALONE:
        return layer_of(here) >= layer_of("__init__")
    return layer_of(there) < layer_of(here) or (here, there) in SIDEWAYS


# ---- the walk itself ---------------------------------------------------------------------------------------


def test_the_walk_sees_every_kind_of_import() -> None:
    text = """
    import torch.nn as nn
    from disteconometrics import data, Logit
    if TYPE_CHECKING:
        from disteconometrics.plots import estimates
    class A:
        def plot(self):
            "Draw."
            from disteconometrics.plots.estimates import effect
            return effect(self)
    import_module("disteconometrics.report"), __import__(f"scipy.{name}"), import_module(name)
    from ..data import design
    """
    text = textwrap.dedent(text)
    found = imports(Source("estimators/made_up.py", text, ast.parse(text)))
    assert [f.module for f in found] == [
        "torch.nn",
        "disteconometrics.data",
        "disteconometrics.Logit",
        "disteconometrics.plots.estimates",
        "disteconometrics.plots.estimates.effect",
        "disteconometrics.report",
        "scipy",
        "?",
        "disteconometrics.data.design",
    ]
    assert [f.typing_only for f in found] == [False, False, False, True, False, False, False, False, False]
    assert (found[4].function, found[4].statements) == ("estimators.made_up.A.plot", 2)
    assert [room_of(f.module) for f in found[:3]] == [None, "data", "__init__"]


def test_code_lines_leave_out_prose() -> None:
    text = (
        '"""Title.\n\nMore.\n"""\n\n# comment\nx = (\n    1,  # one\n\n)\n\n\ndef f():\n    '
        '"""Say."""\n    return """a\nb"""\n'
    )
    assert code_lines(Source("x.py", text, ast.parse(text))) == 6


# ---- layers ------------------------------------------------------------------------------------------------


def test_every_room_has_a_layer() -> None:
    known = frozenset().union(*LAYERS) | ALONE
    assert rooms() <= known


def test_imports_go_down_only() -> None:
    wrong = []
    for source in sources():
        for found in imports(source):
            there = room_of(found.module)
            if there is None or is_lazy_name(source, found):
                continue
            if source.room in ALONE or not allowed(source.room, there):
                wrong.append(f"{source.path}:{found.line} imports {found.module}")
    assert not wrong, "\n".join(wrong)


# Derived forms of a law: methods of the base class ask, when called, for the law that they make of it.
DERIVED = "distributions/law.py"


def file_of(module: str) -> str | None:
    """The file that a dotted module of the package, or a name in it, stands in."""
    parts = module.split(".")[1:] if module.split(".")[0] == PACKAGE else []
    paths = {s.path for s in sources()}
    while parts:
        for path in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if path in paths:
                return path
        parts = parts[:-1]
    return None


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Which files a file imports, at load, when a function is called, or for a type checker."""
    found = {}
    for source in sources():
        used = {
            file_of(i.module)
            for i in imports(source)
            if not is_lazy_name(source, i) and not (source.path == DERIVED and i.function)
        }
        found[source.path] = frozenset(p for p in used - {None, source.path} if p is not None)
    return found


def circle(start: str) -> list[str] | None:
    """A way along the arrows from a file back to itself, None if there is none."""
    came: dict[str, str] = {}
    queue = [start]
    while queue:
        here = queue.pop()
        for there in arrows().get(here, ()):
            if there == start:
                way = [here]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return [*reversed(way), start]
            if there not in came:
                came[there] = here
                queue.append(there)
    return None


def test_no_file_imports_itself_in_a_circle() -> None:
    wrong = {" -> ".join(way) for s in sources() if (way := circle(s.path)) is not None}
    assert not wrong, "\n".join(sorted(wrong, key=len)[:10])


# What estimators share does not know the families, but for the table of files; and a family knows no other,
# but for densities of several outcomes, which are products of others.
SHARED = ("loading", "refit", "results", "rows", "specification")


def test_no_arrow_goes_up_inside_estimators() -> None:
    wrong = []
    for here, used in arrows().items():
        if here.count("/") != 1 or not here.startswith("estimators/"):
            continue
        if here.removeprefix("estimators/").removesuffix(".py") in SHARED:
            up = [f for f in used if f.startswith("estimators/") and not f.endswith("__init__.py")]
            shared = {f"estimators/{name}.py" for name in SHARED}
            wrong += [f"{here} imports {f}" for f in up if f not in shared]
    assert not wrong, "\n".join(wrong)


# ---- files -------------------------------------------------------------------------------------------------

WRITING = {"savefig", "savez", "savez_compressed", "to_csv", "tofile", "write_bytes", "write_text"}
# The room of files, the store that appends records, and a picture drawn into a file of that room.
MAY_WRITE = {("files.py", "open"), ("simulate/store.py", "open"), ("__main__.py", "savefig")}


def writes(node: ast.Call) -> str | None:
    """What a call is that writes a file by its name, such as ``open(name, "wb")``; None for others."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    texts = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
    modes = [t for t in texts if isinstance(t, str) and re.fullmatch(r"[rwaxbt+]{1,3}", t)]
    opens = name == "open" and any(set(mode) & set("wax+") for mode in modes)
    return name if opens or name in WRITING else None


def test_files_are_written_in_one_room() -> None:
    calls = [(s.path, n) for s in sources() for n in ast.walk(s.tree) if isinstance(n, ast.Call)]
    found = {(path, wrote) for path, node in calls if (wrote := writes(node))}
    assert found == MAY_WRITE


# ---- private names -----------------------------------------------------------------------------------------

# Methods of named tuples, and what notebooks call.
OPEN = frozenset({"_replace", "_asdict", "_fields", "_make", "_repr_html_"})
# Hooks that laws offer one another stand in these files, and only laws use them.
LAWS = ("distributions/law.py", "distributions/joint.py")


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def owned(tree: ast.Module) -> set[str]:
    """Underscore names that a file defines: functions, classes, attributes, fields, methods, arguments."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_no_module_touches_the_private_names_of_another() -> None:
    owners = {s.path: owned(s.tree) for s in sources()}
    ours = frozenset().union(*owners.values())
    hooks = frozenset().union(*(owners[path] for path in LAWS))
    wrong = []
    for source in sources():
        free = owners[source.path] | OPEN | (hooks if source.room == "distributions" else frozenset())
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                wrong += [
                    f"{source.path}:{node.lineno} imports {a.name}" for a in node.names if private(a.name)
                ]
            if isinstance(node, ast.Attribute) and private(node.attr) and node.attr in ours - free:
                wrong.append(f"{source.path}:{node.lineno} reads .{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_imports_are_written_out() -> None:
    """No relative import; a star or a computed module name only where names load on first use."""
    wrong = []
    for source in sources():
        wrong += [
            f"{source.path}:{node.lineno} has a relative or star import"
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom)
            and (
                node.level or (any(a.name == "*" for a in node.names) and source.path != "plots/__init__.py")
            )
        ]
        wrong += [
            f"{source.path}:{f.line} imports a computed name"
            for f in imports(source)
            if f.module == "?" and source.path not in ("__init__.py", "plots/__init__.py")
        ]
    assert not wrong, "\n".join(wrong)


def test_rooms_import_nothing() -> None:
    wrong = []
    for source in sources():
        if not source.is_room_init:
            continue
        for found in imports(source):
            lazy = is_lazy_name(source, found) or found.module.startswith(("importlib.", "typing."))
            if not (found.module.startswith("__future__.") or (source.path == "plots/__init__.py" and lazy)):
                wrong.append(f"{source.path}:{found.line} imports {found.module}")
    assert not wrong, "\n".join(wrong)


def test_the_root_loads_names_on_first_use() -> None:
    root = next(s for s in sources() if s.path == "__init__.py")
    at_once = {f.module.split(".")[0] for f in imports(root) if not is_lazy_name(root, f)}
    assert at_once <= {"__future__", "importlib", "typing"}


# ---- fences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [*FENCES, *NOT_IN])
def test_fences(library: str) -> None:
    wrong = []
    for source in sources():
        inside = (
            source.path.startswith(FENCES[library])
            if library in FENCES
            else not source.path.startswith(NOT_IN[library])
        )
        if not inside:
            wrong += [
                f"{source.path}:{f.line} imports {f.module}"
                for f in imports(source)
                if f.module.split(".")[0] == library
            ]
    assert not wrong, "\n".join(wrong)


# ---- size, names, words ------------------------------------------------------------------------------------


def code_lines(source: Source) -> int:
    """Lines that hold code: no docstrings, comments or blank lines."""
    prose: set[int] = set()
    for node in ast.walk(source.tree):
        doc = docstring_of(node)
        if doc is not None:
            prose.update(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    silent = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in silent:
            used.update(range(token.start[0], token.end[0] + 1))
    return len(used - prose)


def test_files_are_short() -> None:
    counts = sorted(((code_lines(s), s.path) for s in sources()), reverse=True)
    print("\ncode lines", *(f"{count:6d} {path}" for count, path in counts), sep="\n")
    long = [f"{path}: {count}" for count, path in counts if count > MOST_CODE_LINES]
    assert not long, f"more than {MOST_CODE_LINES} code lines: {', '.join(long)}"


def complexities() -> list[tuple[int, str]]:
    """Radon's cyclomatic complexity of every function and method."""
    found = {
        (block.complexity, f"{source.path} {block.fullname}")
        for source in sources()
        for block in cc_visit(source.text)
        if block.letter != "C"
    }
    return sorted(found, reverse=True)


def test_functions_are_plain() -> None:
    counts = complexities()
    over = [f"{count} {name}" for count, name in counts if count > PLAIN]
    share = len(over) / len(counts)
    print(f"\n{len(over)} of {len(counts)} functions ({100 * share:.1f} %) over {PLAIN}", *over, sep="\n")
    hard = [f"{count} {name}" for count, name in counts if count > HARD]
    assert not hard, f"more than {HARD}:\n" + "\n".join(hard)
    assert share <= MOST_OVER, f"{100 * share:.1f} % of the functions are over {PLAIN}:\n" + "\n".join(over)


def definitions(source: Source) -> dict[str, ast.AST]:
    """Names bound at the top of a file, under TYPE_CHECKING included."""
    found: dict[str, ast.AST] = {}

    def bind(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
                found[node.name] = node
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update({(a.asname or a.name).split(".")[0]: node for a in node.names})
            elif isinstance(node, ast.Assign):
                found.update(
                    {
                        t.id: node
                        for target in node.targets
                        for t in ast.walk(target)
                        if isinstance(t, ast.Name)
                    }
                )
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and isinstance(node.target, ast.Name):
                found[node.target.id] = node
            elif isinstance(node, ast.If):
                bind(node.body + node.orelse)

    bind(source.tree.body)
    return found


def public_names(source: Source) -> list[str] | None:
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            if isinstance(node.value, ast.Call):  # sorted names of a table
                return list(
                    importlib.import_module(f"{PACKAGE}.{source.dotted}".removesuffix(".__init__")).__all__
                )
            return list(ast.literal_eval(node.value))
    return None


def test_all_that_prints_itself_goes_through_one_room() -> None:
    """`tables.printable` knows what a terminal can print; texts without a name in them are plain anyway."""
    plain = {"errors.py", "distributions/support.py", "distributions/scores.py"}
    wrong = [
        f"{s.path}:{node.lineno}"
        for s in sources()
        if s.path not in plain
        for node in ast.walk(s.tree)
        if isinstance(node, FUNCTIONS) and node.name in ("__str__", "__repr__")
        if not isinstance(node.body[-1], ast.Return)
        or not ast.unparse(node.body[-1]).startswith(("return printable(", "return str(self."))
    ]
    assert not wrong


def test_public_modules_say_what_is_public() -> None:
    wrong = []
    for source in sources():
        names = public_names(source)
        if names is None:
            if source.is_public or source.path == "__init__.py":
                wrong.append(f"{source.path} has no __all__")
            continue
        siblings = rooms() if source.path == "__init__.py" else frozenset()
        bound = set(names) if source.path == "plots/__init__.py" else set(definitions(source))
        missing = set(names) - bound - siblings
        if missing:
            wrong.append(f"{source.path} lists names it does not have: {sorted(missing)}")
        if len(set(names)) != len(names):
            wrong.append(f"{source.path} lists a name twice")
    assert not wrong, "\n".join(wrong)


def is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


def public_objects(source: Source) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Public functions and classes of a file with their public methods;
    what a Protocol lists is described by the Protocol.
    """
    if not source.is_public and source.path != "__main__.py":
        return
    for node in source.tree.body:
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)) or node.name.startswith("_"):
            continue
        yield f"{source.dotted}.{node.name}", node
        if isinstance(node, ast.ClassDef) and not is_protocol(node):
            for method in node.body:
                if isinstance(method, FUNCTIONS) and not method.name.startswith("_"):
                    yield f"{source.dotted}.{node.name}.{method.name}", method


# The first line holds the first sentence to its end; abbreviations and numbers do not end one.
FIRST_SENTENCE = re.compile(r"\S.*?[.?!:](?=\s|$|\))")


def test_public_objects_say_what_they_are() -> None:
    wrong = []
    for source in sources():
        if not docstring_of(source.tree):
            wrong.append(f"{source.path} has no docstring")
        for name, node in public_objects(source):
            doc = docstring_of(node)
            if doc is None:
                wrong.append(f"{name} has no docstring")
            elif not FIRST_SENTENCE.match(str(doc.value).split("\n")[0]):
                wrong.append(
                    f"{name}: the first line of the docstring is no sentence: "
                    f"{str(doc.value).splitlines()[:1]}"
                )
    assert not wrong, "\n".join(wrong)


def met_by_users(source: Source, name: str, node: ast.AST) -> bool:
    """Whether users meet a name: at the root, in a room of pictures, data or scores, or as a result."""
    root = importlib.import_module(PACKAGE)
    homes = {(module, n) for module, names in root._NAMES.items() for n in names}
    results = isinstance(node, ast.ClassDef) and {"FittedResult", "Estimated"} & {
        ast.unparse(base) for base in node.bases
    }
    return (source.dotted, name) in homes or source.path.startswith(EXAMPLES_IN) or bool(results)


def test_users_names_have_examples() -> None:
    wrong, seen = [], 0
    for source in sources():
        bound = {} if source.is_room_init else definitions(source)
        for name in public_names(source) or ():
            node = bound.get(name)
            if not isinstance(node, (ast.ClassDef, *FUNCTIONS)) or is_protocol(node):
                continue  # constants, and shapes that other classes fill
            if not met_by_users(source, name, node):
                continue
            seen += 1
            inside = node.body if isinstance(node, ast.ClassDef) else []
            docs = [docstring_of(node), *map(docstring_of, inside)]
            if not any(doc is not None and ">>>" in str(doc.value) for doc in docs):
                wrong.append(f"{source.dotted}.{name}")
    assert seen > 100
    assert not wrong, "no example:\n" + "\n".join(wrong)


# ---- what an import costs ----------------------------------------------------------------------------------


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter that finds the same package."""
    path = os.pathsep.join([str(folder().parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    shown = fresh(f"import sys\n{code}\nprint('loaded:', *[n for n in {names!r} if n in sys.modules])").stdout
    return shown.splitlines()[-1].split()[1:]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded(f"import {PACKAGE}", HEAVY) == []


def test_importing_the_package_is_quick() -> None:
    def used() -> float:  # of the processor, which other work on the machine hardly moves
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    def seconds(code: str) -> float:
        start = used()
        fresh(code)
        return used() - start

    bare, package = "pass", f"import {PACKAGE}"
    fresh(package)  # compiled files are there from now on
    extra = [1000 * (seconds(package) - seconds(bare)) for _ in range(IMPORT_PAIRS)]
    spread = f"{min(extra):.1f} to {max(extra):.1f}, {IMPORT_PAIRS} pairs"
    figure = f"import {PACKAGE}: {statistics.median(extra):.1f} ms over bare python ({spread})"
    print(f"\n{figure}")
    assert statistics.median(extra) <= IMPORT_BAR_MS, figure


def test_a_logit_loads_no_torch_and_no_pictures() -> None:
    code = (
        f"import {PACKAGE} as de\nprint(de.Logit('GRADE ~ GPA + PSI').fit(de.datasets.spector()).summary())"
    )
    assert loaded(code, NOT_FOR_A_LOGIT) == []


# ---- versions ----------------------------------------------------------------------------------------------


def test_the_oldest_versions_tested_are_the_bounds() -> None:
    """pyproject.toml promises lowest versions; with exactly these `.ci/run` tests the package once more."""
    tests = Path(__file__).parent
    project = tomllib.loads((tests.parent / "pyproject.toml").read_text())["project"]
    bounds = {}
    for extra in ("test", "dask", "ot"):
        for text in (*project["dependencies"], *project["optional-dependencies"][extra]):
            required = Requirement(text)
            [bound] = required.specifier
            assert bound.operator == ">=", text
            bounds[canonicalize_name(required.name)] = Version(bound.version)
    lines = (tests / "constraints-oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    assert {name: pinned.get(name) for name in bounds} == bounds


def test_the_version_stands_in_one_place_and_heads_the_changelog() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": f"{PACKAGE}.__version__"}
    changes = root / "CHANGELOG.md"
    if changes.exists():  # an installed package is tested without it
        heads = re.findall(r"^## \[(.+?)\]", changes.read_text(), re.MULTILINE)
        known = [head for head in heads if head != "Unreleased"]
        assert known[0] == importlib.import_module(PACKAGE).__version__
