"""What people have goes in: functions, results of other packages; words of other packages are told."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.api as sm
import statsmodels.formula.api as smf
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import OptionError
from disteconometrics.words import KEYWORDS, TakesWords


def draw(rng: np.random.Generator, n: int = 60) -> pd.DataFrame:
    x = rng.normal(size=n)
    return pd.DataFrame({"x": x, "y": 1 + 2 * x + rng.normal(size=n)})


class Own:
    """A class of somebody's own."""

    def fit(self, data: pd.DataFrame) -> Own:
        fitted = smf.ols("y ~ x", data).fit()
        self.params, self.bse = fitted.params, fitted.bse
        return self


def by_formula(data: pd.DataFrame) -> Any:
    return smf.ols("y ~ x", data).fit()


def by_arrays(data: pd.DataFrame) -> Any:
    return sm.OLS(data["y"].to_numpy(), sm.add_constant(data["x"].to_numpy())).fit()


@pytest.mark.parametrize(
    ("estimator", "slope"),
    [
        (by_formula, "x"),
        (by_arrays, "x1"),
        (lambda d: by_formula(d).params, "x"),
        (Own(), "x"),
        (lambda d: {"x": by_formula(d).params["x"]}, "x"),
        (lambda d: de.NormalRegression("y ~ x").fit(d), "x"),
    ],
)
def test_studies_and_bootstraps_take_functions_and_results_of_others(estimator: Any, slope: str) -> None:
    data = draw(np.random.default_rng(1))
    exact = by_formula(data).params["x"]
    boot = de.bootstrap(estimator, data, reps=19, seed=1)
    assert boot.params[slope] == pytest.approx(exact)
    rows = de.bootstrap(de.NormalRegression("y ~ x"), data, reps=19, seed=1)
    np.testing.assert_allclose(boot.draws[slope], rows.draws["x"], rtol=1e-10)
    table = de.MonteCarlo(draw, {"it": estimator}, truth={slope: 2}).run(reps=20, seed=1).table()
    ours = de.MonteCarlo(draw, {"it": by_formula}, truth={"x": 2}).run(reps=20, seed=1).table()
    assert table.loc[("", "it", slope), "bias"] == pytest.approx(ours.loc[("", "it", "x"), "bias"])
    # a Series or a dict of numbers has no errors, so no coverage
    without = callable(estimator) and isinstance(estimator(data), (pd.Series, dict))
    known = "coverage" in table and np.isfinite(table.loc[("", "it", slope), "coverage"])
    assert known == (not without)


def test_a_studys_limits_of_statsmodels_are_its_own() -> None:
    study = de.MonteCarlo(draw, {"ols": by_formula}, truth={"x": 2}, level=0.9).run(reps=3, seed=1)
    low = study.numbers().values[0, 1, 2]
    fitted = by_formula(study.replay(0).table)
    assert low == pytest.approx(fitted.conf_int(0.1).loc["x", 0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: de.bootstrap("ols", d, reps=9), "is no estimator"),
        (lambda d: de.bootstrap(de.NormalRegression("y ~ x").fit(d), d, reps=9), "res.model"),
        (lambda d: de.bootstrap(smf.ols("y ~ x", d), d, reps=9), "lambda data: smf.ols"),
        (
            lambda d: de.bootstrap(de.Logit("y ~ x"), de.Parts(lambda: iter([d])), reps=9),
            "make a table first",
        ),
        (lambda d: de.bootstrap(lambda t: t, d, reps=9), "a result with .params"),
        (lambda d: de.cross_validate(by_formula, d, folds=3), "has no law of the outcome"),
        (lambda d: de.MonteCarlo(draw, {"a": lambda t: "no"}).run(reps=2), ".params and .bse"),
    ],
)
def test_what_is_no_estimator_names_the_protocol(call: Any, words: str) -> None:
    errors = (OptionError, de.errors.NeedsRows, de.errors.StudyError)
    with pytest.raises(errors, match=re.escape(words)):
        call(draw(np.random.default_rng(1)))


def test_laws_name_the_word_for_what_others_call_it() -> None:
    for word, ours in {"log_prob": "logpdf", "ppf": "quantile", "rvs": "sample"}.items():
        with pytest.raises(AttributeError, match=f"{ours!r} here"):
            getattr(de.Normal(), word)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        getattr(de.Normal(), "nothing")  # noqa: B009 - a type checker knows that it is not there


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("ame", "'margins()'"),
        ("coef", "'params'"),
        ("to_latex", "'summary().as_latex()'"),
        ("pdf", "'distribution().pdf'"),
        ("f_test", "test('a = b')"),
    ],
)
def test_results_name_the_word_for_what_others_call_it(attribute: str, words: str) -> None:
    result = de.Logit("GRADE ~ PSI").fit(de.datasets.spector())
    with pytest.raises(AttributeError, match=re.escape(words)):
        getattr(result, attribute)
    for table in (result.summary(), de.compare([result])):
        with pytest.raises(AttributeError, match=r"'as_latex\(\)' here"):
            _ = table.to_latex
    for lacking in (result, result.margins()):  # no thresholds, so none are promised
        with pytest.raises(AttributeError, match=r"no attribute 'cutpoints'$"):
            _ = lacking.cutpoints


@pytest.mark.parametrize(("name", "word"), [("logit", "Logit"), ("Tobit", "topcoded"), ("polr", "Ordered")])
def test_the_package_names_what_others_call_it(name: str, word: str) -> None:
    with pytest.raises(AttributeError, match=word):
        getattr(de, name)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("de.Logit('GRADE ~ PSI', maxiter=5)", r"write fit\(..., maxiter=...\)"),
        ("de.Logit('GRADE ~ PSI', robust=True)", r"write fit\(..., cov='HC1'\)"),
        ("de.Logit('GRADE ~ PSI').fit(data, cluster='firm')", r"write cov=de.Cluster\('firm'\)"),
        ("de.Logit('GRADE ~ PSI').fit(data, weights='w')", r"write Logit\(..., weights=...\)"),
        ("de.Logit('GRADE ~ PSI').fit(data, disp=0)", "nothing is printed"),
        ("de.bootstrap(de.Logit('GRADE ~ PSI'), data, B=9)", "write reps="),
        ("de.MonteCarlo(None, None, nsim=9)", r"write run\(..., reps="),
        ("de.TransportMap('GPA ~ PSI').fit(data, vcov='v')", "write cluster="),
        ("de.FlowDensity('GPA ~ 1', epochs=9)", "train=de.Adam"),
        ("de.Normal(mean=1)", "write loc="),
        ("de.Normal().sample(size=3)", "write m="),
        ("de.scores.crps(law=1, points=2)", r"takes \(law, y, \*, of=None\)"),
        ("res.summary(alpha=0.1)", "write level="),
        ("res.summary(cov='HC1')", r"write with_cov\("),
        ("res.predict(type='response')", "write names="),
        ("res.margins(variabels=['PSI'])", "did you mean variables=?"),
        ("de.TransportMap('GPA ~ PSI', cov='v')", r"write fit\(..., cluster="),
        ("res.margins().test(\"'PSI: 1 - 0' = 0\")", "backticks: `PSI: 1 - 0`"),
        ("res.margins().nlcom(\"'PSI'\")", "backticks: `PSI: 1 - 0`"),
        ("res.plot('coefficients', conf=0.9)", "write level="),
        ("res.effect('PSI', 0, 1, conf=0.9)", r"takes \(variable, low, high"),
        ("res.margins(method='eyex')", r"takes \(variables=None, \*, at="),
        ("res.predict(data, 'mean', True)", r"too many positional .* after \* by name"),
        ("res.effect('PSI')", "missing a required argument: 'low'"),
        ("de.Survey('unit', strata='s')", "multiple values for argument 'strata'"),
        ("de.Survey(strata='s', cluster='unit')", "write psu="),
        ("de.Inequality('GPA ~ 1', ['gini'])", "by name"),
        ("de.MonteCarlo(None, None, n=[9])", "write grid="),
        ("de.long_choices(data, 'PSI', ['price'])", "with braces"),
    ],
)
def test_unknown_keywords_name_the_word(call: str, words: str) -> None:
    data = de.datasets.spector()
    res = de.Logit("GRADE ~ PSI").fit(data) if call.startswith("res") else None
    with pytest.raises(OptionError, match=words):
        eval(call, {"de": de, "data": data, "res": res})


def test_every_public_callable_tells_words_and_keeps_its_signature() -> None:
    """Every argument that is advised exists; every public method of every class is wrapped."""

    def below(cls: type) -> set[type]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    public = {name: getattr(de, name) for name in de.__all__ if callable(getattr(de, name))}
    de.plots.density, de.scores.crps, de.dgps.Bimodal  # noqa: B018 - rooms load
    functions = [f for f in public.values() if inspect.isfunction(f) and f is not de.pseudo_true]
    classes = below(TakesWords) - {TakesWords}
    assert [c for c in public.values() if isinstance(c, type) and c not in classes] == []
    for cls in classes:
        names = [n for n in dir(cls) if not n.startswith("_")]
        functions += [f for n in names if inspect.isfunction(f := inspect.getattr_static(cls, n))]
    takes_all = inspect.Parameter.VAR_KEYWORD
    known: set[str] = set()
    for function in [*functions, *(c.__init__ for c in classes)]:
        parameters = inspect.signature(function).parameters
        known |= parameters.keys()
        if function.__name__ != "__init__" and takes_all not in [p.kind for p in parameters.values()]:
            assert hasattr(function, "__wrapped__"), function.__qualname__
    known |= {"ax", "bins"}  # of pictures
    assert not {s for told in KEYWORDS.values() for s in told if s.partition("=")[0] not in known}
    assert list(inspect.signature(de.Logit.fit).parameters)[:3] == ["self", "data", "cov"]
    assert next(iter(inspect.signature(de.Logit).parameters)) == "formula"


def test_a_whole_factor_and_a_variable_in_all_equations_are_hypotheses() -> None:
    rng = np.random.default_rng(1)
    g, x = rng.choice(list("abc"), 300), rng.normal(size=300)
    table = pd.DataFrame({"g": g, "x": x, "y": rng.choice(list("uvw"), 300), "z": rng.normal(size=300)})
    line = de.NormalRegression("z ~ C(g)*x").fit(table, cov="HC1")
    levels = "`C(g)[T.b]`, `C(g)[T.c]`"  # and not the interactions
    assert line.test("C(g)") == line.test("g") == line.test(levels)
    assert line.test("g, x = 0") == line.test(f"{levels}, x")
    votes = de.MultinomialLogit("y ~ g + x").fit(table)
    assert votes.test("x") == votes.test("`v[x]`, `w[x]`")
    assert votes.test("g") == votes.test("`v[g[T.b]]`, `v[g[T.c]]`, `w[g[T.b]]`, `w[g[T.c]]`")
    with pytest.raises(OptionError, match="not a coefficient"):
        line.nlcom("g")


def test_results_of_others_stand_beside_ours() -> None:
    data = draw(np.random.default_rng(2))
    ours, theirs = de.NormalRegression("y ~ x").fit(data), by_formula(data)
    table = de.compare({"ours": ours, "theirs": theirs, "arrays": by_arrays(data)})
    cells = table.to_frame()
    for kind in ("estimate", "std_error"):
        assert cells.loc[("x", kind), "ours"] == pytest.approx(cells.loc[("x", kind), "theirs"])
    assert cells.loc[("x", "p_value"), "theirs"] == pytest.approx(theirs.pvalues["x"], rel=1e-9)
    assert "OLS" in str(table)
    assert "nonrobust" in str(table)
    grades = data.assign(y=pd.cut(data["y"], 3, labels=False))
    with pytest.raises(
        OptionError, match="one name each"
    ):  # a table of coefficients has no one name for each
        de.compare([smf.mnlogit("y ~ x", grades).fit(disp=0)])
    with pytest.raises(OptionError, match=r"names=\[…\]"):
        de.compare([ours], labels=["ours"])


def test_any_law_and_every_diagnosis_is_drawn() -> None:
    data = draw(np.random.default_rng(2), 200).assign(b=lambda d: (d.y > 1).astype(int))
    logit, flow = de.Logit("b ~ x").fit(data), de.FlowDensity("y ~ x").fit(data)
    laws = flow.distribution({"x": [0.0, 1.0]})
    curve = de.plots.density(scipy.stats.norm(1, 2)).data
    np.testing.assert_allclose(curve["estimate"], scipy.stats.norm(1, 2).pdf(curve["y"]))
    ax = de.plots.conditional_densities(laws, labels=["low", "high"])
    assert ax.get_xlabel() == de.plots.cdf_area(laws.average(), de.Normal()).get_xlabel() == "y"
    assert de.plots.density(laws.named("log(wage)")).get_xlabel() == "log(wage)"
    drawn = ax.data
    np.testing.assert_array_equal(
        drawn["high"], de.plots.conditional_densities(flow, {"x": [0.0, 1.0]}).data.iloc[:, 2]
    )
    boot = de.bootstrap(de.Logit("b ~ x"), data, reps=49, seed=1)
    limits = boot.plot().data.loc["x", ["conf_low", "conf_high"]]
    np.testing.assert_array_equal(limits, boot.conf_int().loc["x"])
    np.testing.assert_array_equal(boot.tidy()[["conf_low", "conf_high"]], boot.conf_int())
    for found in (logit.roc(), logit.calibration(), logit.influence(), flow.diagnose(folds=2, seed=1)):
        assert found.plot().data.shape[0] > 1
    with pytest.raises(OptionError, match="it has 'roc'"):
        logit.roc().plot("calibration")
    plt.close("all")


def test_tables_of_a_paper() -> None:
    data = draw(np.random.default_rng(3), 90).assign(g=lambda d: np.repeat(["a", "b", "c"], 30))
    data["b"] = (data["y"] > 1).astype(int)
    logit = de.Logit("b ~ x + I(x ** 2)").fit(data)
    line = de.NormalRegression("y ~ x * g").fit(data)
    boot = de.bootstrap(de.Logit("b ~ x"), data, reps=19, seed=1)
    table = de.compare([logit, logit.margins(), boot, line], labels={"x": "Income"}, drop=["g"])
    assert [row[0] for row in table.body[::2]] == ["Intercept", "Income", "I(x ** 2)", "x:g[T.b]", "x:g[T.c]"]
    assert table.foot[0] == ("Model", "Logit", "Margins (dydx)", "Logit", "NormalRegression")
    assert table.foot[1][1:] == ("90",) * 4
    assert "2 of 7 terms are not shown." in table.notes
    latex = table.as_latex()
    assert "phantom" not in latex
    for words in ("x$^{2}$", r"x $\times$ g: b", "Income"):
        assert words in latex
    assert "phantom" in de.compare([line], stars=True).as_latex()
    assert [row[0] for row in de.compare([line], keep=["g", "x"]).body[::2]] == ["g[T.b]", "g[T.c]", "x"]
    for options, words in (
        ({"keep": ["z"]}, "'z'"),
        ({"drop": "x"}, "list"),
        ({"keep": [], "drop": []}, "both"),
    ):
        with pytest.raises(OptionError, match=words):
            de.compare([line], **options)
    text = line.summary().as_markdown()
    assert text.count("|:--|") == 2
    assert r"x:g\[T.b\]" in text


def test_glance_and_completion() -> None:
    data = draw(np.random.default_rng(4))
    line = de.NormalRegression("y ~ x").fit(data)
    assert line.glance().loc[0, "log_lik"] == line.llf
    assert {"r_squared", "aic", "bic", "nobs"} <= set(line.glance())
    assert {"summary", "params", "glance"} <= set(dir(line))
    assert not {"to_file", "fingerprint", "whole_file"} & set(dir(line))


def test_a_study_as_one_latex_table() -> None:
    cells = {"n": [30, 50]}
    study = de.MonteCarlo(draw, {"ols": by_formula}, truth={"x": 2}, grid=cells).run(reps=20, seed=1)
    blocks, rows = study.as_latex(), study.as_latex(["coverage"], cells_as_rows=True)
    assert blocks.count(r"\midrule") == 2
    assert rows.count(r"\midrule") == 1
    assert [line.split(" & ")[0] for line in rows.splitlines()[4:-2]] == ["n=30", "n=30", "n=50", "n=50"]
    with pytest.raises(OptionError, match="'power'"):
        study.as_latex(["power"])
    assert "n=30" in study.plot("zip").get_title(loc="left")
    plt.close("all")


class Neighbours:
    """Quantiles and draws of the outcomes of the nearest rows, as a forest of somebody else says them."""

    def __init__(self, k: int = 25) -> None:
        self.k = k

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"k": self.k}

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = X, y

    def near(self, X: np.ndarray) -> np.ndarray:
        far = np.square(X[:, None] - self.X).sum(axis=2)
        return self.y[np.argsort(far, axis=1)[:, : self.k]]

    def predict(self, X: np.ndarray, quantiles: list[float]) -> np.ndarray:
        return np.quantile(self.near(X), quantiles, axis=1).T


def test_models_of_others_are_scored_beside_ours() -> None:
    data, model = draw(np.random.default_rng(5), 300), Neighbours(k=50)
    normal = lambda m, X, levels: scipy.stats.norm(m.near(X).mean(axis=1), m.near(X).std(axis=1))  # noqa: E731
    pair = {
        "quantiles": de.adapt(model, "y ~ x"),
        "draws": de.adapt(model, "y ~ x", predict=lambda m, X, levels: m.near(X), draws=True),
        "laws": de.adapt(model, "y ~ x", predict=normal),
        "ours": de.NormalRegression("y ~ x"),
    }
    table = de.cross_validate(pair, data, folds=5, seed=1).table()
    assert (table["crps"] < 1.2 * table.loc["ours", "crps"]).all()
    assert (table.drop("ours")["log_score"] < table.loc["ours", "log_score"]).all()
    assert not hasattr(model, "X")  # a copy was fitted
    res = pair["quantiles"].fit(data)
    levels = [0.1, 0.5, 0.9]
    said = res.fitted.predict(data[["x"]][:4].to_numpy(), levels)
    np.testing.assert_allclose(res.distribution(data.iloc[:4]).quantile(levels), said)
    fan = res.plot("quantile_fan", "x").data
    assert len(fan) > 1
    plt.close("all")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: de.adapt(Neighbours, "y ~ x"), "no fit(X, y)"),
        (lambda: de.adapt(Own(), "y ~ x", predict=1), "function of (model, X, levels)"),
        (lambda: de.QuantileLaw([0.5, 0.2], [0.0, 1.0]), "increase"),
        (lambda: de.QuantileLaw([0.2, 0.5], [[0.0, 1.0], [2.0, 2.0]]), "All quantiles of 1 rows are equal"),
        (lambda: de.QuantileLaw([0.2, 0.5], [0.0, 1.0, 2.0]), "shape (3,)"),
    ],
)
def test_models_and_quantiles_that_make_no_law(make: Any, words: str) -> None:
    with pytest.raises(OptionError, match=re.escape(words)):
        make()
