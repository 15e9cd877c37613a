"""Results whose estimates are functionals of a law and come without standard errors: trained flows and transport densities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.distributions.joint import DRAWS, JointLaw, joint_functionals
from disteconometrics.distributions.law import Law
from disteconometrics.estimators.flow.flow_density import FUNCTIONALS
from disteconometrics.inference.estimates import Estimated, Estimates

__all__ = ["LawWithoutErrors"]


class LawWithoutErrors(Estimated):
    """A result with ``facts`` (outcomes, functionals kept in a file) and one law for the sample, of which estimates are read.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.TransportDensity("foodexp ~ 1").fit(de.datasets.engel())
    >>> isinstance(res, LawWithoutErrors), res.functionals("mean").values.round(1).tolist()
    (True, [624.2])
    """

    facts: Any

    @abstractmethod
    def _whole_law(self) -> Law | JointLaw:
        """The law of a row drawn at random."""

    def _table_names(self) -> tuple[str, Sequence[str]]:
        return " + ".join(self.facts.outcomes), list(self.facts.functionals or self.standard_names)

    @cached_property
    def estimates(self) -> Estimates:
        """Functionals of the law averaged over the rows, of joint outcomes moments, without standard errors."""
        return _without_errors(self.facts.functionals or self.values(self.standard_names))

    def functionals(self, names: Any = None) -> Estimates:
        """Functionals of the law averaged over the rows of the fit, without standard errors.

        Parameters
        ----------
        names : one or several names that laws know, or functions of a law; None for those of the summary.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError, NeedsData
        """
        return self.estimates if names is None else _without_errors(self.values(listed(names)))

    @property
    def standard_names(self) -> Sequence[str]:
        """Functionals of the summary: moments and quantiles of one outcome, moments of several."""
        return FUNCTIONALS if len(self.facts.outcomes) == 1 else joint_functionals(self.facts.outcomes)

    def values(self, names: Sequence[Any], draws: int = DRAWS) -> dict[str, float]:
        """Functionals by name; those of joint outcomes from so many draws."""
        law = self._whole_law()
        if isinstance(law, JointLaw):
            return law.functionals(names, draws)
        return {functional_name(n): float(n(law) if callable(n) else law.functional(n)) for n in names}


def _without_errors(named: dict[str, float]) -> Estimates:
    return Estimates(tuple(named), np.array(list(named.values())), np.full((len(named),) * 2, np.nan))
