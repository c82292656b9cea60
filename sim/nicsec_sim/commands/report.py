# SPDX-License-Identifier: Apache-2.0
"""``nicsec report``: one page of throughput, area and where the cycles go, as HTML and Markdown."""

import html
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, RunError
from ..report import Build, Table, load, tables
from . import out

__all__ = ["report"]

_TITLE = "Throughput and area"
_CSS = """body{font:15px/1.45 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0 1.2em;font-size:13px}th,td{padding:.2em .6em;border-bottom:1px solid #ddd}
th{text-align:right;border-bottom:1px solid #888}td{text-align:right}.l{text-align:left}p.n{color:#555;font-size:13px}
code{font-size:12px}svg{max-width:100%;height:auto}"""


def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.json...", help="Written by bench, fit, waterfall.py.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory to write, made if needed.")],
) -> None:
    """Join figures of bench and fit into DIR/report.html and DIR/report.md, with plots as SVG.

    Throughput is bits a cycle times the median of the routed Fmax. What was not measured does not appear.
    """
    builds = load(files)
    try:
        from ..report_plots import plots
    except ImportError:
        raise RunError("the plots need matplotlib (pip install matplotlib)") from None
    try:
        output.mkdir(parents=True, exist_ok=True)
        drawn = plots(builds)
        sections = tables(builds)
        for name, (_, svg) in drawn.items():
            (output / name).write_text(svg)
        (output / "report.md").write_text(markdown(builds, sections, drawn))
        (output / "report.html").write_text(page(builds, sections, drawn))
    except OSError as error:
        raise InputError(f"-o: {error.filename}: {error.strerror}") from None
    out.print(f"{output / 'report.html'}: {len(builds)} builds, {len(drawn)} plots", highlight=False, soft_wrap=True)


def _commands(builds: list[Build]) -> list[str]:
    own = shlex.join(["nicsec", *sys.argv[1:]])
    return [*dict.fromkeys(command for build in builds for command in build.commands), own]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def markdown(builds: list[Build], sections: list[tuple[str, list[Table]]], drawn: dict[str, tuple[str, str]]) -> str:
    """The page for whoever reads the repository."""
    parts = [f"# {_TITLE}", "Made by these commands; no number here is older than what they wrote:",
             "```\n" + "\n".join(_commands(builds)) + "\n```"]
    parts += [f"![{_escaped(title)}]({name})" for name, (title, _) in drawn.items()]
    for heading, found in sections:
        parts.append(f"## {heading}")
        for table in found:
            if table.title:
                parts.append(f"**{_escaped(table.title)}**")
            rules = ["---"] * table.left + ["--:"] * (len(table.headings) - table.left)
            lines = [[_escaped(text) for text in row] for row in (table.headings, *table.rows)]
            parts.append("\n".join("| " + " | ".join(row) + " |" for row in (lines[0], rules, *lines[1:])))
            if table.note:
                parts.append(_escaped(table.note))
    return "\n\n".join(parts) + "\n"


def page(builds: list[Build], sections: list[tuple[str, list[Table]]], drawn: dict[str, tuple[str, str]]) -> str:
    """The same with the plots in it, as one file."""
    escape = html.escape
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>nicsec: {_TITLE}</title><style>{_CSS}</style>",
             f"<h1>{_TITLE}</h1><p>Made by these commands:</p><pre><code>",
             escape("\n".join(_commands(builds))), "</code></pre>"]
    for title, svg in drawn.values():
        parts.append(f"<h3>{escape(title)}</h3>{svg[svg.index('<svg'):]}")
    for heading, found in sections:
        parts.append(f"<h2>{escape(heading)}</h2>")
        for table in found:
            if table.title:
                parts.append(f"<h3>{escape(table.title)}</h3>")
            parts.append("<table>")
            for n, row in enumerate((table.headings, *table.rows)):
                tag = "td" if n else "th"
                left = [" class=l" * (at < table.left) for at in range(len(row))]
                cells = [f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(left, row, strict=True)]
                parts.append(f"<tr>{''.join(cells)}</tr>")
            parts.append("</table>")
            if table.note:
                parts.append(f"<p class=n>{escape(table.note)}</p>")
    return "\n".join(parts) + "\n</html>\n"
