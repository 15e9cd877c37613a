"""Damaged files of every class are refused, or do no harm in later use, in seconds and in little memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from damaged_files import BOMBS, Damaged, damaged, outcome_of, sources

MOST_SECONDS = 5.0
MOST_BYTES = 300e6  # over what is in memory when all is loaded and was used once
STATUS = Path("/proc/self/status")


def peak() -> float:
    """The most memory (bytes) that this process had since `forget_peak`; zero where no system says it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return 1024.0 * int(found[1]) if found else 0.0


def forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def told(case: Damaged) -> str:
    """What becomes of a file, and in what time and memory."""
    forget_peak()
    before, started = peak(), time.process_time()
    found = outcome_of(case.content, case.data, case.source)
    seconds, more = time.process_time() - started, peak() - before
    if seconds > MOST_SECONDS or more > MOST_BYTES:
        return f"{seconds:.1f} s, {more / 1e6:.0f} MB"
    return found


def run(cases: list[Damaged]) -> Counter[str]:
    """How many files were refused and how many did no harm; none did anything else."""
    count, failed = Counter[str](), []
    for case in cases:
        found = told(case)
        count[found] += 1
        if found not in ("refused", "harmless"):
            failed.append(f"{case.source}, {case.damage}: {found}")
    assert not failed, "\n".join(failed)
    return count


def test_the_files_are_right_before_they_are_damaged() -> None:
    whole = [Damaged(s.name, "none", s.content, s.data) for s in sources()]
    assert run(whole) == {"harmless": len(whole)}


def test_a_few_damaged_files() -> None:
    count = run(list(damaged(150, seed=0)))
    assert count["refused"] > 75
    assert count["harmless"] > 15


@pytest.mark.slow
def test_many_damaged_files() -> None:
    count = run(list(damaged(2000, seed=1)))
    print(dict(count))
    assert count["refused"] > 1000
    assert count["harmless"] > 200


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    source = sources()[0]
    content = BOMBS[name]()
    assert run([Damaged(source.name, name, content, source.data)]) == {"refused": 1}
