"""Pictures by name: a result says which it has, and finds them in `plots` when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from disteconometrics.errors import OptionError
from disteconometrics.words import OtherWords

__all__ = ["Pictured"]


class Pictured(OtherWords):
    """A result with pictures, functions of `disteconometrics.plots` that take it.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Logit("GRADE ~ PSI").fit(de.datasets.spector()).pictures[0]
    'coefficients'
    """

    pictures: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[Mapping[str, str]] = {}  # shorter words for pictures

    def plot(self, kind: str | None = None, *args: Any, **options: Any) -> Any:
        """Draw a picture of the result by its name in `disteconometrics.plots`.

        None is the first of ``pictures``.

        Parameters
        ----------
        kind : one of ``pictures``, or a word for one in ``kinds``.
        args, options : of that picture, such as ``ax=``.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        OptionError
            If the result has no such picture.
        """
        chosen = self.pictures[0] if kind is None and self.pictures else self.kinds.get(str(kind), kind)
        if chosen not in self.pictures:
            known = ", ".join(map(repr, (*self.pictures, *self.kinds))) or "none"
            raise OptionError(f"kind={kind!r} is no picture of this result; it has {known}.")
        # by name, when it is drawn: what is drawn stands below the pictures and does not load them
        return getattr(import_module("disteconometrics.plots"), str(chosen))(self, *args, **options)
