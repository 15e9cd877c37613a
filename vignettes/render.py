"""Run the vignettes.

``python vignettes/render.py [NN_name …]`` writes ``NN_name.md`` and ``NN_name_1.png`` … beside each script; a
path of a script is taken too.

A script in percent format has cells that begin with ``# %%`` (code) or ``# %% [markdown]`` (text in
comments).  Code cells run in one namespace; what they print follows them in a fenced block, and every figure
they leave open follows as a picture.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["cells", "render", "scripts"]

DPI = 110


def cells(source: str) -> list[tuple[str, str, int]]:
    """Cut a percent-format script into cells.

    Parameters
    ----------
    source : str.

    Returns
    -------
    list of (kind, text, line)
        kind is "markdown" (comment signs removed) or "code"; line is the number of the cell's first line,
        from 1.

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> cells("# %% [markdown]\\n# Hello\\n# %%\\nx = 1\\n")
    [('markdown', 'Hello', 2), ('code', 'x = 1', 4)]
    """
    out: list[tuple[str, list[str], int]] = []
    for number, line in enumerate(source.splitlines(), 1):
        marker = re.fullmatch(r"# %%\s*(\[markdown\])?\s*", line)
        if marker:
            out.append(("markdown" if marker.group(1) else "code", [], number + 1))
        elif out:
            out[-1][1].append(re.sub(r"^# ?", "", line) if out[-1][0] == "markdown" else line)
    return [(kind, "\n".join(lines).strip("\n"), start) for kind, lines, start in out]


def _pictures(stem: str, folder: Path, count: int) -> list[str]:
    """Save and close the open figures, in at most 256 colours.

    Return their names, numbered from ``count`` + 1.
    """
    from matplotlib import pyplot as plt
    from PIL import Image

    names = []
    for i, number in enumerate(plt.get_fignums(), count + 1):
        names.append(f"{stem}_{i}.png")
        drawn = io.BytesIO()
        plt.figure(number).savefig(drawn, dpi=DPI)
        plt.close(number)
        picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        picture.save(folder / names[-1], optimize=True)
    return names


def render(script: str | Path, folder: str | Path | None = None) -> Path:
    """Run one script and write its page and pictures.

    Parameters
    ----------
    script : path of a percent-format script.
    folder : where to write, None for the folder of the script.

    Returns
    -------
    Path
        The page that was written.

    Raises
    ------
    Whatever a cell raises; then nothing is written but pictures of the cells before.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    script = Path(script)
    folder = script.parent if folder is None else Path(folder)
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(script)}
    page: list[str] = []
    count = 0
    for kind, text, line in cells(script.read_text(encoding="utf-8")):
        if kind == "markdown":
            page.append(text)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + text, str(script), "exec"), namespace)
        page.append(f"```python\n{text}\n```")
        if printed.getvalue().strip():
            lines = [row.rstrip() for row in printed.getvalue().rstrip().splitlines()]
            page.append("\n".join(["```text", *lines, "```"]))
        names = _pictures(script.stem, folder, count)
        count += len(names)
        page.extend(f"![]({name})" for name in names)
    target = folder / f"{script.stem}.md"
    target.write_text("\n\n".join(page) + "\n", encoding="utf-8")
    return target


def scripts(names: Sequence[str], folder: Path) -> list[Path]:
    """The scripts of a folder by name, or at paths; all of them where none is named.

    Examples
    --------
    >>> [path.as_posix() for path in scripts(["01_start", "pages/02_more.py"], Path("vignettes"))]
    ['vignettes/01_start.py', 'pages/02_more.py']
    """
    named = [Path(name) if name.endswith(".py") else folder / f"{name}.py" for name in names]
    return named or sorted(folder.glob("[0-9]*.py"))


if __name__ == "__main__":
    for path in scripts(sys.argv[1:], Path(__file__).parent):
        print(render(path))
