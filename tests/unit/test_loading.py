"""Files whose parts do not fit one another are refused when they are read, not when they are used."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics import datasets
from disteconometrics.archive import read_archive, write_archive
from disteconometrics.errors import FileFormatError

Change = Callable[[dict[str, Any], dict[str, Any]], Any]
FILE = io.BytesIO()
FIT = de.Logit("GRADE ~ PSI + GPA").fit(datasets.spector())
FIT.save(FILE)


def changed(change: Change) -> io.BytesIO:
    kind, header, arrays = read_archive(io.BytesIO(FILE.getvalue()))
    change(header, arrays)
    out = io.BytesIO()
    write_archive(out, kind, header, arrays)
    return io.BytesIO(out.getvalue())


def test_an_unchanged_file_is_read() -> None:
    assert de.load(changed(lambda header, arrays: None)).params.equals(FIT.params)


CHANGES: dict[str, Change] = {
    "one estimate": lambda h, a: a.update(params=np.ones(1)),
    "estimates in two dimensions": lambda h, a: a.update(params=np.ones((3, 1))),
    "another covariance": lambda h, a: a.update(covariance=np.eye(2)),
    "a direction that is too long": lambda h, a: a.update(
        direction=np.ones(4), null=np.ones((3, 1)), extremes=np.ones((3, 1))
    ),
    "text for a number": lambda h, a: h["facts"].update(loglik="abc"),
    "a number for a dict": lambda h, a: h["facts"].update(dropped=3),
    "text in a dict": lambda h, a: h["facts"].update(dropped={"x": "a"}),
    "yes for true": lambda h, a: h["facts"].update(converged="yes"),
    "true for a count": lambda h, a: h["facts"].update(rows=True),
    "a number for text": lambda h, a: h["facts"].update(separation=3),
    "no degrees of freedom": lambda h, a: h["covariance"].update(degrees_of_freedom=None),
    "text for use_t": lambda h, a: h.update(use_t="no"),
    "no facts": lambda h, a: h.update(facts=[]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_parts_that_do_not_fit_are_refused(case: str) -> None:
    with pytest.raises(FileFormatError):
        de.load(changed(CHANGES[case]))
