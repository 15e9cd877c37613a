"""Words of other packages: what people try first, and what it is called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NoReturn

__all__ = ["OtherWords"]

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


class OtherWords:
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

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            if hasattr(type(self), name):  # a property that raised: its own error
                object.__getattribute__(self, name)
            word = self.other_words.get(name, "")
            first = re.split(r"\W", word, maxsplit=1)[0]
            has = word and (first == "de" or hasattr(type(self), first) or first in vars(self))
            known = f"; it is called {word!r} here" if has else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{known}")
