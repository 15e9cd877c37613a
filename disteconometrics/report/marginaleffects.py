"""A result as the ``marginaleffects`` package takes a model, new data coded through its specification.

That package asks a model for its rows, its coefficients and their covariance, a design for new rows, and
predictions at any coefficients; it takes derivatives by differences.  Its own reading of formulas is left
out: variables that enter through levels are handed over as levels, base first, numbers in ``C()`` among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.data.design import Design
from disteconometrics.data.scenario import Scenario
from disteconometrics.errors import WithheldError

__all__ = ["marginaleffects_model"]


def marginaleffects_model(
    design: Design,
    coefficients: Array,
    predict: Callable[[Array, Array, Array], Array],
    covariance: Callable[[Any], Array],
    df: float,
) -> Any:
    """Return a model for ``marginaleffects.predictions``, ``comparisons``, ``slopes`` and their averages.

    Parameters
    ----------
    design : Design of the fit, whose rows effects are averaged over.
    coefficients : (k,) float64 array.
    predict : function of coefficients (k,), design rows (m, k) and offsets (m,) that gives predictions (m,).
    covariance : function that gives the covariance matrix (k, k) for what is passed as ``vcov=``.
    df : float, degrees of freedom of t (infinite: normal).

    Returns
    -------
    marginaleffects ModelAbstract

    Raises
    ------
    ImportError
        If marginaleffects is not installed.
    WithheldError
        If the formula holds ``lag()``: that package puts rows next to others than their neighbours.

    Notes
    -----
    marginaleffects 0.6 takes text levels under polars 1 only (polars 2 removed what it calls); numbers, true
    and false, and numbers in ``C()`` work under both.  Its standard errors rest on one-sided differences: 0.1
    % off at its default step in ``slopes``, and equal to those of ``margins`` to four digits and more with
    ``eps_vcov=1e-6``.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + C(PSI)").fit(de.datasets.spector(), cov="HC1")
    >>> import marginaleffects  # doctest: +SKIP
    >>> marginaleffects.avg_slopes(res.to_marginaleffects(), eps_vcov=1e-6)  # doctest: +SKIP
    """
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError as error:
        raise ImportError("to_marginaleffects() needs the package: pip install marginaleffects.") from error
    spec = design.spec
    if spec.parsed.lags:
        raise WithheldError(
            "lag() needs rows beside their neighbours, which marginaleffects does not keep; use margins()."
        )
    rows = Scenario.of_design(design)
    columns = {name: _column(pl, rows, name) for name in spec.variables}

    class Model(ModelAbstract):  # type: ignore[misc]  # the package says nothing about its types
        """What marginaleffects asks of a model."""

        df_resid = float(df)

        def validation(self) -> None:
            """Say the kinds of the variables; all else is right by construction.

            The package's own checks fail under polars 2.
            """
            self.coef, self.response_name = coefficients, spec.outcome.name
            self.vault.variables_type = {name: kind for name, (_, kind) in columns.items()}

        def get_exog(self, newdata: Any) -> Array:
            """Design of new rows (m, k) with the offset as one more column."""
            coded = spec.matrix(newdata)
            return np.column_stack(
                [coded.X, np.zeros(len(coded.X)) if coded.offset is None else coded.offset]
            )

        def get_predict(self, params: Any, newdata: Array) -> Any:
            """Predictions of rows from `get_exog`."""
            p = predict(as_floats(params), newdata[:, :-1], newdata[:, -1])
            return pl.DataFrame({"rowid": np.arange(len(p), dtype=np.int32), "estimate": p})

        def get_vcov(self, vcov: Any = True) -> Array | None:
            """Covariance of the coefficients, of the fit or of another kind."""
            return None if vcov is None or vcov is False else covariance(vcov)

    used = (
        spec.variables if spec.offset is None else (*spec.variables, spec.offset)
    )  # missing there: the row is left out
    left = spec.parsed.left.variables
    frame = pl.DataFrame([column for column, _ in columns.values()])
    for name in dict.fromkeys((*left, spec.weights, spec.offset)):
        if name is not None and name not in frame.columns:
            frame = frame.with_columns(pl.Series(name, design.column(name, "marginaleffects").tolist()))
    vault = ModelVault(
        coef=coefficients.copy(),
        coefnames=np.array(spec.names),
        formula=" + ".join(f"`{name}`" for name in used),
        modeldata=frame,
        package="disteconometrics",
        variable_names=[spec.outcome.name, *spec.variables],
    )
    return Model(design, vault)


def _column(pl: Any, rows: Scenario, name: str) -> tuple[Any, str]:
    """A column of the fit, and what marginaleffects calls its kind; text levels are an Enum, base first."""
    values, (kind, known), levels = rows.values(name), rows.spec.columns[name], rows.levels(name)
    if kind == "bool":
        return pl.Series(name, values.astype(bool)), "boolean"
    if levels is None:
        return pl.Series(name, values), "binary" if np.isin(values, (0.0, 1.0)).all() else "numeric"
    found = [known[v] if kind == "level" else v for v in values.tolist()]
    if any(isinstance(level, str) for level in levels):
        return pl.Series(name, found, dtype=pl.Enum(list(map(str, levels)))), "character"
    whole = all(
        float(level).is_integer() for level in levels
    )  # numbers stay numbers: an Enum would read new ones as codes
    return pl.Series(name, np.array(found, dtype=np.int64 if whole else np.float64)), "character"
