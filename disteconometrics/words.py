"""Words of other packages: what people try first, and what it is called here."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from disteconometrics.errors import OptionError, WithheldAttributeError

__all__ = ["OTHER_WORDS", "OtherWords", "TakesWords", "tells_words"]

P = ParamSpec("P")
T = TypeVar("T")

# what R, Stata, statsmodels and pandas call it; told where the result has what it begins with
OTHER_WORDS = {
    **dict.fromkeys(("as_latex", "to_latex"), "summary().as_latex()"),
    **dict.fromkeys(("as_html", "to_html"), "summary().as_html()"),
    **dict.fromkeys(("as_markdown", "to_markdown"), "summary().as_markdown()"),
    **dict.fromkeys(("as_text", "summary2"), "summary()"),
    **dict.fromkeys(("summary_frame", "table", "to_csv", "to_frame"), "tidy()"),
    **dict.fromkeys(("ame", "avg_slopes", "marginal_effects", "slopes"), "margins()"),
    **dict.fromkeys(("avg_comparisons", "comparisons", "contrast"), "effect(variable, low, high)"),
    **dict.fromkeys(("b", "coef", "coef_"), "params"),
    **dict.fromkeys(("se", "std_err", "std_errors", "stderr"), "bse"),
    **dict.fromkeys(("cov", "vcov"), "cov_params()"),
    **dict.fromkeys(("pvalue", "p_values"), "pvalues"),
    "confint": "conf_int()",
    **dict.fromkeys(("loglik", "loglike", "log_likelihood"), "llf"),
    **dict.fromkeys(("resid", "residuals"), "resid_response"),
    **dict.fromkeys(("lincom", "linear"), "nlcom('a - b')"),
    **dict.fromkeys(("contrasts", "difference"), "differences"),
    **dict.fromkeys(("n_obs", "n_observations"), "nobs"),
    **dict.fromkeys(("draws", "sims"), "replications"),
    **dict.fromkeys(("f_test", "hypotheses", "linear_hypothesis", "wald_test_terms"), "test('a = b')"),
    "confusion_matrix": "pred_table()",
    **dict.fromkeys(("cutpoints", "cuts", "zeta"), "thresholds"),
    "brant": "proportional_odds()",
    **dict.fromkeys(("relative_risk", "rrr"), "odds_ratios()"),
    **dict.fromkeys(("willingness_to_pay", "wtp"), "nlcom('-a / price')"),
    **dict.fromkeys(("elasticities", "elasticity"), "margins()"),
    **{name: f"distribution().{name}" for name in ("cdf", "logpdf", "pdf", "quantile", "sample")},
    "ppf": "distribution().quantile",
    "rvs": "distribution().sample",
}

# what some results have and others do not: by an attribute of those, why not there and what instead
_TIDY = "its numbers are a table: take "
INSTEAD = {
    "plot_fan": (
        ("probability_curve", "a yes or no has no quantiles to fan out; take plot_effect(variable)"),
        ("probability_shares", "categories have no quantiles to fan out; take plot_effect(variable)"),
        ("elasticities", "a choice has no quantiles to fan out; take elasticities(variable).plot()"),
        ("process", "take plot('quantile_fan', variable), or plot('coefficient_process', term)"),
        ("distribution", "laws are drawn by de.plots.conditional_densities(result, new)"),
        ("", "there is no law given covariates to draw; take plot()"),
    ),
    "plot_effect": (
        ("elasticities", "effects differ by alternative; take elasticities(variable).plot(), or margins"),
        ("process", "effects run along the outcome; take plot('coefficient_process', term)"),
        ("distribution", "laws are drawn by de.plots.conditional_densities(result, new)"),
        ("", "there is no law given covariates to draw; take plot()"),
    ),
    "margins": (
        (
            "derivative",
            "averages of any functional move by derivative(variable), effect(variable, low, high)",
        ),
        ("process", "take effect(variable, low, high), or the coefficients by process(term)"),
        ("", "no probability here moves with a covariate"),
    ),
    "predict": (
        ("distribution", "take distribution(new), whose mean and quantiles are predictions"),
        ("qte", "take counterfactual outcomes by transport(…), effects by qte(levels)"),
        ("", "it has no covariates or no rows to predict for"),
    ),
    "distribution": (
        ("elasticities", "the law of a choice is its probabilities: take predict(new)"),
        ("", "it fits no law of an outcome given covariates"),
    ),
    "lr_test": (
        ("test", "no likelihoods of two fits are compared here; take test('x = 0'), which is Wald's"),
        ("", "it is no fit; ask the result that it is of"),
    ),
    "test": (("", "it has no estimates with a covariance; ask the result that it is of"),),
    "nlcom": (("", "it has no estimates with a covariance; ask the result that it is of"),),
    "glance": (("", "one row of a fit is glance() of its result"),),
    "tidy": (
        ("table", f"{_TIDY}table"),
        ("to_frame", f"{_TIDY}to_frame()"),
        ("functionals", f"{_TIDY}functionals(names).table()"),
        ("", "it is printed; ask the result that it is of for tidy()"),
    ),
    "save": (
        ("tidy", "what is saved is the result that it is of; keep tidy()"),
        ("", "what is saved is the result that it is of; keep its table"),
    ),
    "summary": (("", "print it"),),
    "plot": (("", "there is no picture of it; the result that it is of has plot()"),),
    "as_latex": (("", "give its table to pandas: .to_latex()"),),
    "as_markdown": (("", "give its table to pandas: .to_markdown()"),),
}

# what other packages call arguments, and how they are written here: the first that is taken there
_KEYWORDS = [
    (
        "cluster clusters cluster_col clustervar groups group cov_kwds",
        ("cluster='firm'", "cov=de.Cluster('firm')", "by='group'", "psu='county'"),
    ),
    ("cov cov_type robust se se_type vce vcov vcov_type hc", ("cov='HC1'", "cluster='firm'")),
    ("maxlags nlags lags lag", ("lags=4", "cov=de.HAC('quarter', lags=4)")),
    (
        "alpha level conf_level conf confidence confidence_level ci_level siglevel",
        ("level=0.95", "alpha=0.05"),
    ),
    (
        "B R n_boot nboot n_bootstrap n_bootstraps n_resamples bootstrap draws nreps n_reps rep replications "
        "n_rep nrep repetitions repeats iterations nsim n_sim n_sims sims n_draws ndraws n_iter reps",
        ("reps=999", "draws=999", "permutations=999", "maxiter=100", "steps=1000"),
    ),
    ("n_permutations n_perm nperm perms", ("permutations=999",)),
    ("random_state rng random_seed set_seed generator", ("seed=0",)),
    (
        "cores n_cores ncores ncpus nthreads n_threads njobs n_workers workers parallel processes",
        ("n_jobs=2",),
    ),
    ("max_iter maxit iterate itermax max_iterations", ("maxiter=100", "steps=1000")),
    ("freq_weights fweight fweights frequency_weights", ("weights='w', weight_type='frequency'",)),
    (
        "sample_weight sample_weights sampling_weights pweight pweights var_weights weight aweights",
        ("weights='w', weight_type='sampling'",),
    ),
    ("exposure offsets", ("offset='log_exposure'",)),
    (
        "type which what functional functionals statistic",
        ("names='mean'", "functional='gini'", "functionals=['gini']", "method='bca'"),
    ),
    ("newdata new_data X exog x_new data df", ("new=table", "data=table")),
    ("interval se_fit return_std", ("ci=True",)),
    ("atexog at_values", ("at={'age': 40}",)),
    ("dydx variable vars term terms", ("variables='age'", "variable='age'", "term='age'", "keep=['age']")),
    ("cv k K n_folds nfolds n_splits splits n_components num_components", ("folds=10", "components=8")),
    ("bins n_groups g ngroups n_bins num_bins", ("groups=10", "bins=8")),
    ("cutoff cut thresh", ("threshold=0.5", "thresholds=20")),
    (
        "q qs tau taus quantile quantiles probs percentiles",
        (
            "tau=[0.1, 0.5, 0.9]",
            "levels=[0.1, 0.5, 0.9]",
            "thresholds=20",
            "names='q[0.5]'",
            "functional='q[0.5]'",
        ),
    ),
    ("bw bw_method h smoothing lam", ("bandwidth=0.2", "roughness=1.0")),
    ("epsilon eps reg", ("blur=0.05",)),
    ("mean mu location", ("loc=0.0",)),
    ("sd std stddev sigma", ("scale=1.0",)),
    ("p prob", ("probability=0.5", "probabilities=[0.5, 0.5]", "tau=0.5")),
    ("lower min a", ("low=0.0",)),
    ("upper max b", ("high=1.0",)),
    ("ord order exponent", ("p=2",)),
    ("n_projections num_projections n_slices", ("projections=64",)),
    ("size n n_samples num_samples sample_shape nobs", ("m=1000", "n=1000", "grid={'n': [100, 400]}")),
    ("ids id_col units", ("psu='county'",)),
    ("stratum stratify", ("strata='region'",)),
    ("learning_rate eta", ("lr=0.01", "train=de.Adam(lr=0.01)")),
    ("epochs n_epochs num_epochs n_steps num_steps", ("steps=1000", "train=de.Adam(steps=1000)")),
    ("batch_size batchsize", ("batch=512", "train=de.Adam(batch=512)")),
    ("early_stopping", ("patience=20", "train=de.Adam(patience=20)")),
    ("optimizer optimiser trainer", ("train=de.Adam()",)),
    ("val_split validation_split validation_fraction", ("validation=0.2", "train=de.Adam(validation=0.2)")),
    ("hidden_features hidden_layers hidden_sizes hidden_dims", ("hidden=(64, 64)",)),
    ("transforms n_layers num_layers n_transforms", ("layers=4",)),
    ("groupby over treatment treat", ("by='group'",)),
    ("baseline base_category ref refcat base_outcome", ("base='car'", "reference='a'")),
    ("id case chid", ("choice='id'",)),
    ("firth", ("penalty='firth'",)),
    ("h0 H0 hypothesis r_matrix restriction", ("hypotheses='a = b'",)),
    ("model_names headers column_labels", ("names=['(1)', '(2)']",)),
    ("rename coef_map coef_rename", ("labels={'educ': 'Education'}",)),
    ("omit coef_omit", ("drop=['age']",)),
    ("star significance", ("stars=True",)),
    ("filename fname file path save save_to checkpoint", ("path='fit.npz'", "store='study.npz'")),
    ("axes axis", ("ax=axes",)),
]
KEYWORDS = {word: spellings for words, spellings in _KEYWORDS for word in words.split()}
# arguments of others that nothing here needs, and why
_NEEDLESS = [
    ("disp verbose quiet trace full_output", "nothing is printed: leave it out"),
    (
        "method solver algorithm start_params init tol gtol tolerance",
        "the maximum is found to the last digits from any start: leave it out",
    ),
    (
        "missing na_action dropna subset",
        "incomplete rows are left out and counted; choose others of the table before",
    ),
    ("family distribution link", "the law is the estimator's: de.Logit, de.Probit, de.CLogLog"),
    (
        "fit_intercept add_constant hasconst intercept noconstant",
        "the formula says it: 'y ~ x' has a constant, 'y ~ 0 + x' none",
    ),
]
NEEDLESS = {word: reason for words, reason in _NEEDLESS for word in words.split()}


# ---- keywords ----------------------------------------------------------------------------------------------


def _taken(function: Any) -> frozenset[str] | None:
    """Names that a function takes by keyword; None if it takes any."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARKEYWORDS:
        return None
    first = code.co_posonlyargcount
    return frozenset(code.co_varnames[first : code.co_argcount + code.co_kwonlyargcount]) - {"self"}


def _elsewhere(owner: Any, function: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """Where else an argument may belong: the constructor beside a fit, a fit, a result's covariance."""
    if isinstance(owner, type):
        names = ["fit", "run"]
    else:
        names = ["__init__", "with_cov"] if function.__name__ in ("fit", "run") else ["with_cov"]
        owner = type(owner)
    for name in names:
        method = inspect.getattr_static(owner, name, None)
        if inspect.isfunction(method):
            yield owner.__name__ if name == "__init__" else name, _taken(method) or frozenset()


def _meant(word: str, taken: frozenset[str], owner: Any, function: Any) -> str:
    """What an unknown keyword means here, as a sentence."""
    spellings = KEYWORDS.get(word, ())
    for spelling in spellings:
        if spelling.partition("=")[0] in taken:
            return f"write {spelling}."
    for name, known in () if owner is None else _elsewhere(owner, function):
        for spelling in (f"{word}=...", *spellings):
            if spelling.partition("=")[0] in known:
                return f"write {name}(..., {spelling})."
    if word in NEEDLESS and function.__name__ in ("__init__", "fit", "run"):
        return f"{NEEDLESS[word]}."
    from difflib import get_close_matches

    close = [] if spellings else get_close_matches(word, taken, 2, 0.7)
    if close:
        return f"did you mean {' or '.join(f'{name}=' for name in close)}?"
    return f"it takes {_plain_signature(function)}."


def _plain_signature(function: Any) -> str:
    signature = inspect.signature(function)
    own = [p.replace(annotation=p.empty) for name, p in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=own, return_annotation=signature.empty))


def _called(function: Any, owner: Any) -> str:
    of = owner if isinstance(owner, type) else type(owner)
    name = of.__name__ if function.__name__ == "__init__" else function.__name__
    return f"{name}()" + ("" if owner is None or name == of.__name__ else f" of {of.__name__}")


def _refuse(function: Any, owner: Any, unknown: set[str], taken: frozenset[str]) -> NoReturn:
    word, called = sorted(unknown)[0], _called(function, owner)
    raise OptionError(f"{called} has no argument {word}=; {_meant(word, taken, owner, function)}")


def _misfit(function: Any, owner: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    """What is wrong with a call by its signature, "" if nothing."""
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError as error:
        what = f"{_called(function, owner)}: {error}; it takes {_plain_signature(function)}"
        return f"{what}, those after * by name." if "positional" in str(error) else f"{what}."
    return ""


def tells_words(function: Callable[P, T], *, method: bool = False) -> Callable[P, T]:
    """A function that says what an unknown keyword is called here; signature and docstring stay.

    Parameters
    ----------
    function : any function; one that takes all keywords is left as it is.
    method : whether its first argument is the object that it belongs to.

    Returns
    -------
    function

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.bootstrap(de.Logit("GRADE ~ PSI"), de.datasets.spector(), B=99)
    Traceback (most recent call last):
    ...
    disteconometrics.errors.OptionError: bootstrap() has no argument B=; write reps=999.
    """
    taken = _taken(function)
    if taken is None:
        return function

    @functools.wraps(function)
    def told(*args: P.args, **options: P.kwargs) -> T:
        if options and not taken.issuperset(options):
            _refuse(function, args[0] if method else None, options.keys() - taken, taken)
        try:
            return function(*args, **options)
        except TypeError:  # of the call, or of what it runs
            text = _misfit(function, args[0] if method else None, args, options)
            if not text:
                raise
            raise OptionError(text) from None

    return told


class TakesWords:
    """A class whose constructor and public methods say what an unknown keyword is called here.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Logit("y ~ x", maxiter=50)
    Traceback (most recent call last):
    ...
    disteconometrics.errors.OptionError: Logit() has no argument maxiter=; write fit(..., maxiter=...).
    """

    if not TYPE_CHECKING:  # the signature is that of __init__

        def __new__(cls, *args, **options):
            taken = _taken(cls.__init__) if options else None
            if taken is not None and not taken.issuperset(options):
                _refuse(cls.__init__, cls, options.keys() - taken, taken)
            code = getattr(cls.__init__, "__code__", None) if args else None
            if code is not None and (
                len(args) >= code.co_argcount
                or not options.keys().isdisjoint(code.co_varnames[1 : len(args) + 1])
            ):
                text = _misfit(cls.__init__, cls, (None, *args), options)
                if text:
                    raise OptionError(text)
            return super().__new__(cls)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(cls, name, tells_words(method, method=True))


# ---- attributes --------------------------------------------------------------------------------------------


class OtherWords(TakesWords):
    """What lacks an attribute says what it is called here, where it has it under another name.

    Examples
    --------
    >>> class Fit(OtherWords):
    ...     params = (1.0, 2.0)
    >>> Fit().coef
    Traceback (most recent call last):
    ...
    AttributeError: 'Fit' object has no attribute 'coef'; it is called 'params' here
    """

    other_words: ClassVar[Mapping[str, str]] = OTHER_WORDS
    lacks: ClassVar[Mapping[str, str]] = {}  # what others of its kind have: why not here, and what instead

    def _has(self, name: str) -> bool:
        return hasattr(type(self), name) or name in vars(self)

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            if hasattr(type(self), name):  # a property that raised: its own error
                object.__getattribute__(self, name)
            if name in self.lacks:
                raise WithheldAttributeError(f"{type(self).__name__} has no {name}: {self.lacks[name]}.")
            form = re.sub("^(as|to)_", lambda found: "to_" if found[1] == "as" else "as_", name)
            for word in (form + "()" if form != name else "", self.other_words.get(name, "")):
                first = re.split(r"\W", word, maxsplit=1)[0]
                if word and (first == "de" or self._has(first)):
                    break
            else:
                word = ""
            for attribute, reason in () if word else INSTEAD.get(name, ()):
                if not attribute or self._has(attribute):
                    raise WithheldAttributeError(f"{type(self).__name__} has no {name}: {reason}.")
            known = f"; it is called {word!r} here" if word else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{known}")
