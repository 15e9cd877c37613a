"""What stands behind every answer, gathered from the pages of studies and the stored references.

::

    python tests/statistical/evidence.py --write

writes ``disteconometrics/report/evidence.json``, which `de.evidence` reads; ``test_evidence.py`` compares.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disteconometrics.estimators.loading import KINDS, _loaded
from disteconometrics.report.evidence import BOUNDS

HERE = Path(__file__).parent
STORED = HERE.parents[1] / "disteconometrics" / "report" / "evidence.json"
COVERAGE = re.compile(r"(?<![\d.,])(?:0?\.\d{3,4}|1\.000)(?!\d)")


@dataclass(frozen=True)
class Rows:
    """Rows of a table of a page: of what they are, and which columns hold coverages."""

    page: str
    where: str = ""  # what the labels of a row hold, a regular expression
    columns: str = "^coverage"
    table: int = 0
    labels: int = 1
    across: bool = False  # columns are designs and rows are answers
    sizes: bool = False  # shares of true hypotheses that a test rejects at 5 %


@dataclass(frozen=True)
class Targets:
    """Records of a file of references, by group and quantity; ``tol`` where the test states it for all."""

    file: str
    group: str = ""
    quantity: str = ""
    tol: float | None = None


MAP, CHOICE, FLOWS = "coverage.md", "coverage_of_choice.md", "coverage_of_flows_and_transport.md"
ANSWERS, STEPS, RECORDED = "coverage_of_answers.md", "steps_and_edges.md", "coverage_of_recorded_flows.md"
REGRESSION, INEQUALITY = "coverage_of_distribution_regression.md", "coverage_of_inequality.md"
ABSORBED, PARTS = "coverage_of_absorbed.md", "coverage_of_decompositions.md"
TOBIT, TESTS, GROUPS = "coverage_of_recorded_normal.md", "clustered_tests.md", "coverage_of_group_answers.md"
SLOPES = "^500 rows|^2,000 rows"
CPS = "distribution_regression_targets"

# Answer: what is stored on it.  A page's tables are counted from zero.
EVIDENCE: dict[str, tuple[Rows | Targets, ...]] = {
    "AbsorbedLogit.margins": (Rows(ABSORBED, "^(?!probit).*average effect", labels=3),),
    "AbsorbedLogit.params": (Rows(ABSORBED, "^(?!probit|.*least sq|.*average eff)", labels=3),),
    "AbsorbedNormal.params": (Rows(ABSORBED, "least squares", labels=3),),
    "AbsorbedProbit.margins": (Rows(ABSORBED, "^probit.*average effect", labels=3),),
    "AbsorbedProbit.params": (Rows(ABSORBED, "^probit.*, x$", labels=3),),
    "Bootstrap.conf_int": (Rows(MAP, "pairs bootstrap", labels=3),),
    "Bootstrap.score_tests": (Rows(MAP, "score bootstrap", "^size", labels=3, sizes=True),),
    "CLogLog.params": (Rows(MAP, "log-log", labels=3),),
    "ConditionalLogit.margins": (Rows(CHOICE, "^conditional, effects.*(of|income)", labels=3),),
    "ConditionalLogit.params": (Rows(CHOICE, "^conditional(, sev.*)?, (mle|HC1)", labels=3),),
    "ConditionalLogit.willingness_to_pay": (Rows(CHOICE, "worth", labels=3),),
    "Decomposition.params": (
        Targets(CPS, "", "dr_(total|comp|struc)|gap|oaxaca"),
        Rows(PARTS, "limits", "", across=True),
    ),
    "Decomposition.quantiles": (Targets(CPS, "", "_q"), Rows(PARTS, "^band", "", across=True)),
    "DistributionRegression.counterfactual": (Rows(PARTS, "^band, counter", "^regression", across=True),),
    "DistributionRegression.effect": (Rows(REGRESSION, "^effect", "", table=1, across=True),),
    "DistributionRegression.functionals": (
        Rows(REGRESSION, "of its mean", "", across=True),
        Rows(REGRESSION, "of d = ", "", table=1, across=True),
    ),
    "DistributionRegression.predict": (Rows(REGRESSION, "^prediction", "", table=1, across=True),),
    "DistributionRegression.process": (
        Targets(CPS, "", "dr_coef"),
        Rows(REGRESSION, "coefficient of|limits, |process|band, ", "", across=True),
    ),
    "DistributionRegression.quantiles": (
        Targets(CPS, "", "fitted"),
        Rows(REGRESSION, "quantile", "", across=True),
    ),
    "FlowDensity.band": (Rows(FLOWS, "uniform bands: cdf"),),
    "FlowDensity.counterfactual": (Rows(PARTS, "^band, counter", "^flow", across=True),),
    "FlowDensity.derivative": (
        Rows(ANSWERS, "spline", "slopes", labels=2),
        Rows(ANSWERS, "slope", SLOPES, table=1, labels=2),
        Rows(STEPS, "slope", labels=3),
    ),
    "FlowDensity.effect": (
        Rows(ANSWERS, "spline", "contrast", labels=2),
        Rows(ANSWERS, "effect of", SLOPES, table=1, labels=2),
        Rows(ANSWERS, table=3, labels=2),
        Rows(FLOWS, "effects of a 0/1|three regressors", labels=2),
        Rows(RECORDED, "^(?!.*(ignored|normal law))", "effect", labels=2),
        Rows(RECORDED, "", "effect", table=1),
        Rows(STEPS, "contrast|effect of", labels=3),
    ),
    "FlowDensity.effects": (
        Rows(ANSWERS, "spline", "coefficients", labels=2),
        Rows(STEPS, "coefficient", labels=3),
    ),
    "FlowDensity.functionals": (
        Rows(ANSWERS, "spline", "functionals", labels=2),
        Rows(FLOWS, "two normals: mean|functionals at|50 clusters", labels=2),
        Rows(RECORDED, "^(?!.*(ignored|normal law))", "^(q|mean)", labels=2),
        Rows(RECORDED, "", "^(q|mean)", table=1),
    ),
    "FlowDensity.predict": (Rows(ANSWERS, "^x =", "^q", table=-1),),
    "HurdleFlowDensity.effect": (Rows(RECORDED, "", "effect", table=1),),
    "HurdleFlowDensity.functionals": (Rows(RECORDED, "", "^(q|mean)", table=1),),
    "HurdleFlowDensity.predict": (
        Rows(RECORDED, "^(positive )?flow.*x =", "^(the|[−+])", table=3, labels=2),
    ),
    "HurdleNormalRegression.effect": (Rows(TOBIT, "", "effect", table=1),),
    "HurdleNormalRegression.functionals": (Rows(TOBIT, "", "^(q|mean)", table=1),),
    "HurdleNormalRegression.predict": (Rows(RECORDED, "^normal.*x =", "^(the|[−+])", table=3, labels=2),),
    "Inequality.lorenz": (
        Targets("inequality_targets", "", "lorenz"),
        Rows(INEQUALITY, "^Lor", "", across=True),
    ),
    "Inequality.params": (
        Targets("inequality_targets", "cps85_inequality"),
        Rows(INEQUALITY, "^(?!Lor|width)", "", across=True),
        Rows(INEQUALITY, "", "", table=1),
    ),
    "Logit.lr_test": (Rows(MAP, "tests, LR", "^size", labels=3, sizes=True),),
    "Logit.margins": (Targets("logit_margins"), Rows(MAP, "average marginal", labels=3)),
    "Logit.nlcom": (Rows(MAP, "fieller", labels=3),),
    "Logit.params": (
        Targets("logit_targets"),
        Targets("logit_firth"),
        Rows(MAP, "right model, (mle|HC1)|(logit|nonrobust|, t|profile), [^,]*$", labels=3),
    ),
    "Logit.score_test": (
        Rows(MAP, "tests, score$", "^size", labels=3, sizes=True),
        Rows(TESTS, "", "score", labels=2, sizes=True),
    ),
    "Logit.test": (
        Rows(MAP, "tests, (Wald|sandwich)", "^size", labels=3, sizes=True),
        Rows(TESTS, "", "^Wald", labels=2, sizes=True),
    ),
    "MinimumWasserstein.params": (Rows(FLOWS, "g-and-k|a scale that|three covar|two shocks", labels=2),),
    "MultinomialLogit.margins": (Rows(CHOICE, "^multinomial, effects", labels=3),),
    "MultinomialLogit.params": (Rows(CHOICE, "^multinomial(?!, eff)", labels=3),),
    "NormalRegression.counterfactual": (Rows(PARTS, "^band, counter", "^normal", across=True),),
    "NormalRegression.effect": (
        Rows(ANSWERS, "Normal", "contrast", labels=2),
        Rows(TOBIT, "", "effect", table=1),
    ),
    "NormalRegression.effects": (Rows(ANSWERS, "Normal", "coefficients", labels=2),),
    "NormalRegression.functionals": (
        Rows(ANSWERS, "Normal", "functionals", labels=2),
        Rows(TOBIT, "^(mean|q)", "", across=True),
        Rows(TOBIT, "", "^(q|mean)", table=1),
    ),
    "NormalRegression.params": (
        Targets("recorded_targets", tol=1e-6),
        Rows(TOBIT, "^(?!mean|q)", "", across=True),
        Rows(MAP, "tobit", labels=3),
    ),
    "NormalRegression.test": (Rows(TESTS, "", "Wald|jackknife", table=2, labels=3, sizes=True),),
    "OrderedLogit.margins": (Rows(MAP, "OrderedLogit.*: 1 - 0", labels=3),),
    "OrderedLogit.params": (Rows(MAP, "OrderedLogit, (mle|HC1)", labels=3),),
    "OrderedLogit.predict": (Rows(MAP, "OrderedLogit.*P\\(", labels=3),),
    "OrderedLogit.proportional_odds": (
        Rows(MAP, "OrderedLogit.*proportional", "^size", labels=3, sizes=True),
    ),
    "OrderedProbit.margins": (Rows(MAP, "OrderedProbit.*: 1 - 0", labels=3),),
    "OrderedProbit.params": (Rows(MAP, "OrderedProbit, (mle|HC1)", labels=3),),
    "OrderedProbit.predict": (Rows(MAP, "OrderedProbit.*P\\(", labels=3),),
    "OrderedProbit.proportional_odds": (
        Rows(MAP, "OrderedProbit.*proportional", "^size", labels=3, sizes=True),
    ),
    "Probit.score_test": (Rows(TESTS, "", "^score", table=1, labels=3, sizes=True),),
    "Probit.test": (Rows(TESTS, "", "^Wald|jackknife", table=1, labels=3, sizes=True),),
    "RIFRegression.params": (Rows(INEQUALITY, "", "", table=2, across=True),),
    "RecordedNormal.functionals": (Rows(TOBIT, "^(mean|q)", "", across=True),),
    "RecordedNormal.params": (
        Targets("recorded_targets", tol=1e-6),
        Rows(TOBIT, "^(?!mean|q)", "", across=True),
        Rows(MAP, "tobit", labels=3),
    ),
    "TransportMap.mean_difference": (
        Targets("transport_targets", "nsw_qte", "^ate"),
        Rows(FLOWS, "", "difference of means", table=1, labels=2),
    ),
    "TransportMap.qte": (
        Targets("transport_targets", "nsw_qte", "qte"),
        Rows(FLOWS, "uniform bands of q", labels=2),
        Rows(FLOWS, "", "quantile|band", table=1, labels=2),
    ),
    "WassersteinDistance.params": (
        Targets("transport_targets", "", "^w"),
        Rows(FLOWS, "", table=2, labels=2),
        Rows(FLOWS, "", "W", table=1, labels=2),
    ),
}
# What studies of averages by group have of every law: which rows of its page are an answer's.  Margins for
# the population are numbers of `effects` and `derivative` too (`contracts/test_answers.py`).
MARGINS, SLOPE_OF_GROUPS = "margin$|x, g = b.* less", ", x, g = [ab](?!.*effect)"
OF_GROUPS = {
    "functionals": r"functional$|(mean|\]), g = b less",
    "effect": "effect of x$",
    "derivative": f"slope in x$|{SLOPE_OF_GROUPS}",
    "effects": MARGINS,
    "margins": MARGINS,
    "odds_ratios": "odds ratio$",
    "predict": "prediction$",
}
TESTED = ("test", "lr_test", "score_test", "link_test", "hosmer_lemeshow", "test_term", "test_categories")
GROUPED = (
    "Logit",
    "Probit",
    "CLogLog",
    "OrderedLogit",
    "OrderedProbit",
    "MultinomialLogit",
    "NormalRegression",
)


def of_groups(law: str) -> Iterator[tuple[str, Rows]]:
    """Answers of a law in the studies of averages by group, and of its tests."""
    for answer, where in OF_GROUPS.items():
        yield answer, Rows(GROUPS, f"^{law},(?!.*tests).*({where})", labels=3)
    for test in TESTED:
        yield test, Rows(GROUPS, f"^{law}, tests, {test}$", "^size", table=1, labels=2, sizes=True)


def added() -> dict[str, tuple[Rows | Targets, ...]]:
    """`EVIDENCE` with the rows of averages by group."""
    found = dict(EVIDENCE)
    for law in GROUPED:
        for answer, rows in of_groups(law):
            if list(figures(rows)):
                found[f"{law}.{answer}"] = (*found.get(f"{law}.{answer}", ()), rows)
    return found


# Words for answers, of which every result that has one is listed, with nothing where nothing is stored.
ANSWERS = (
    "params margins predict functionals effect effects derivative band quantiles process counterfactual "
    "nlcom odds_ratios test lr_test score_test test_no_effect test_linear_normal test_categories test_term "
    "hosmer_lemeshow link_test fit_test profile elasticities differences within_between bootstrap map"
)
FUNCTIONS = ("joint", "rif_decompose")  # whose answers are no result's of their own


def listed() -> dict[str, tuple[Rows | Targets, ...]]:
    """`EVIDENCE`, and every other answer of a result, with nothing."""
    kinds = {kind: _loaded(KINDS[kind][1]) for kind in KINDS if kind != "MonteCarlo"}
    others = [
        f"{kind}.{name}"
        for kind, result in kinds.items()
        for name in ANSWERS.split()
        if hasattr(result, name)
    ]
    return dict(sorted((dict.fromkeys([*others, *FUNCTIONS], ()) | added()).items()))


def tables(page: str) -> list[list[list[str]]]:
    """The tables of a page, rows of cells, the head first."""
    found: list[list[list[str]]] = []
    before = False
    for line in (HERE / page).read_text(encoding="utf-8").splitlines():
        here = line.startswith("|")
        if here and not before:
            found.append([])
        if here and not re.fullmatch(r"\|[ :|-]+\|", line):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found[-1].append(
                [c.strip().replace("\\|", "|").replace("**", "").replace("`", "") for c in cells]
            )
        before = here
    return found


def figures(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """Coverages of a table, with the label of the row above where a row says "the same"."""
    head, *body = tables(rows.page)[rows.table]
    widths = [j for j, name in enumerate(head) if "width" in name and "before" not in name]
    taken = [j for j in range(rows.labels, len(head)) if re.search(rows.columns, head[j])]
    above = ""
    for cells in body:
        first = re.sub(r"^(the same\b|$)", lambda _: above, cells[0])  # noqa: B023
        above = first if not cells[0].startswith("the same,") else above
        more = [
            sized(name, cell) for name, cell in zip(head[1 : rows.labels], cells[1:], strict=False) if cell
        ]
        label = ", ".join([first, *more])
        if label.startswith("samples") or not re.search(rows.where, label):
            continue
        for j in taken:
            if not COVERAGE.search(cells[j]):
                continue
            column = (
                [] if head[j] == "coverage" or rows.across else [head[j].removeprefix("coverage (MC SE)")]
            )
            answer = label if rows.across else ", ".join(filter(None, more + column))
            width = cells[widths[0]] if widths and len(taken) == 1 else ""
            design = head[j] if rows.across else sized(head[0], first)
            yield figure(rows.page, design, answer, cells[j], width, rows.sizes)


def sized(name: str, cell: str) -> str:
    """A label with its unit where it is a count."""
    if name == "q":
        return f"q = {cell}"
    return f"n = {cell}" if name in ("n", "rows") else f"{cell} villages" if name == "villages" else cell


def figure(page: str, design: str, answer: str, cell: str, width: str, sizes: bool) -> tuple[Any, ...]:
    """Design, answer, coverage, width and outside; of recorded outcomes widths stand in brackets."""
    inside = re.findall(r"\(([^)]*)\)", cell)
    told = re.sub(r" *\([^)]*\)", "", cell)
    if not width and page in (RECORDED, TOBIT):
        width = " ".join(inside)
    numbers = [1 - float(n) if sizes else float(n) for n in COVERAGE.findall(told)]
    told = f"size {told}" if sizes else told
    outside = not all(BOUNDS[0] <= n <= BOUNDS[1] for n in numbers)
    return design, answer, told, width, outside


def records(targets: Targets) -> list[tuple[str, float]]:
    """Source and tolerance of every record."""
    document = json.loads((HERE.parent / "reference" / f"{targets.file}.json").read_text(encoding="utf-8"))
    stored = document.get("targets", document.get("groups"))
    if isinstance(stored, list):
        chosen = [r for r in stored if re.search(targets.group, r["group"])]
    elif targets.tol is not None:
        numbers = [q for group in stored.values() for q in group if q != "call"]
        chosen = [{"quantity": q, "source": document["note"], "tol": targets.tol} for q in numbers]
    else:
        chosen = [r for group in stored.values() for r in group["records"]]
    return [(source(r["source"]), r["tol"]) for r in chosen if re.search(targets.quantity, r["quantity"])]


def source(text: str) -> str:
    """The program or publication, without the call."""
    kind, _, rest = text.partition(": ") if text.startswith(("computed", "published")) else ("", "", text)
    name = re.split(r"[;,(]| \+ | as stored", rest)[0].strip() or text
    return f"{name}, published" if kind == "published" else name


def references(targets: Targets) -> Iterator[dict[str, Any]]:
    """By source: how many values, and the largest tolerance."""
    by: dict[str, list[float]] = {}
    for name, tol in records(targets):
        by.setdefault(name, []).append(tol)
    for name, tols in by.items():
        yield {"file": f"{targets.file}.json", "source": name, "values": len(tols), "tolerance": max(tols)}


def by_page(parts: list[Rows]) -> dict[str, list[tuple[Any, ...]]]:
    """The figures of tables, by page."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for part in parts:
        found.setdefault(part.page, []).extend(figures(part))
    return found


def gathered() -> dict[str, Any]:
    """All that is stored, by answer."""
    return {
        answer: {
            "references": [r for part in parts if isinstance(part, Targets) for r in references(part)],
            "coverage": by_page([part for part in parts if isinstance(part, Rows)]),
        }
        for answer, parts in listed().items()
    }


def text() -> str:
    """The file's text, an answer a line."""
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in gathered().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--write", action="store_true", help="write the file; otherwise say whether it is stale"
    )
    if parser.parse_args().write:
        STORED.write_text(text(), encoding="utf-8")
    else:
        print("fresh" if STORED.read_text(encoding="utf-8") == text() else "stale: run again with --write")
