# SPDX-License-Identifier: Apache-2.0
"""``nicsec report``: one page of throughput, area and where the cycles go, as HTML and Markdown."""

import html
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, RunError
from ..report import Build, load
from ..report_tables import Table, tables
from . import out

__all__ = ["report"]

_TITLE = "Throughput and area"
_CSS = """:root{--ink:#1f2933;--faint:#52606d;--line:#d9dee4;--mark:#2b6cb0}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:68rem;margin:2rem auto;padding:0 1.2rem;
color:var(--ink);background:#fff}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.6rem;border-top:1px solid
var(--line)}h3{font-size:.95rem;margin:1.4rem 0 .4rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem;margin:1rem 0}nav a{color:var(--mark)}
.t{overflow-x:auto}table{border-collapse:collapse;margin:.3rem 0;font-size:.82rem;font-variant-numeric:tabular-nums}
th,td{padding:.22rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{border-bottom:1px solid #7b8794;vertical-align:bottom}.l{text-align:left}td.w{white-space:normal}
tbody tr:hover{background:#f5f7fa}p.n{color:var(--faint);font-size:.85rem;margin:.2rem 0 1rem}
figure{margin:1rem 0 1.4rem}figcaption{font-weight:600;font-size:.95rem;margin-bottom:.3rem}
pre{background:#f5f7fa;padding:.8rem 1rem;overflow-x:auto;font-size:.78rem;border-radius:4px}
svg{width:100%;height:auto}details summary{cursor:pointer;color:var(--faint);font-size:.9rem}"""
#: Longer texts in a cell may break.
_LONG = 40


def report(
    files: Annotated[list[Path], typer.Argument(
        metavar="FILE.json...", help="Written by bench, bench --sim-speed, fit, waterfall.py.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory to write, made if needed.")],
    preset: Annotated[list[str] | None, typer.Option(
        help="One that the page is to name even if no file is of it; may be repeated.")] = None,
) -> None:
    """Join figures of bench and fit into DIR/report.html and DIR/report.md, with plots as SVG.

    Throughput is bits a cycle times the median of the routed Fmax. What was not measured is named with the command that
    measures it.
    """
    builds = load(files)
    try:
        from ..report_plots import plots
    except ImportError:
        raise RunError("the plots need matplotlib (pip install matplotlib)") from None
    try:
        output.mkdir(parents=True, exist_ok=True)
        drawn = plots(builds)
        sections = tables(builds, preset or ())
        for name, (*_, svg) in drawn.items():
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


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z]+", "-", heading.lower())


def _lead(builds: list[Build]) -> str:
    return (f"{', '.join(f'`{build.name}`' for build in builds)}: bits a cycle counted in simulation, every frame "
            "compared with the golden model's, times the clock rate after place and route. Frames are counted without "
            "preamble and FCS. What was not measured is listed as missing.")


def markdown(
    builds: list[Build], sections: list[tuple[str, list[Table]]], drawn: dict[str, tuple[str, str, str]]
) -> str:
    """The page for whoever reads the repository."""
    parts = [f"# {_TITLE}", _lead(builds)]
    for heading, found in sections:
        parts.append(f"## {heading}")
        parts += [f"**{_escaped(title)}**\n\n![{_escaped(title)}]({name})"
                  for name, (section, title, _) in drawn.items() if section == heading]
        for table in found:
            if table.title:
                parts.append(f"**{_escaped(table.title)}**")
            rules = ["---"] * table.left + ["--:"] * (len(table.headings) - table.left)
            lines = [[_escaped(text) for text in row] for row in (table.headings, *table.rows)]
            parts.append("\n".join("| " + " | ".join(row) + " |" for row in (lines[0], rules, *lines[1:])))
            if table.note:
                parts.append(_escaped(table.note))
    parts += ["## Commands", "These made the figures, and the last one this page:",
              "```\n" + "\n".join(_commands(builds)) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _html_table(table: Table) -> str:
    escape = html.escape
    parts = ["<div class=t><table><thead>"]
    for n, row in enumerate((table.headings, *table.rows)):
        shares = [None, *table.shares[n - 1]] if n and table.shares else [None] * len(row)
        tag, cells = "td" if n else "th", []
        for at, (text, share) in enumerate(zip(row, shares, strict=True)):
            kind = " class=l" if at < table.left and len(text) <= _LONG else (
                ' class="l w"' if at < table.left or len(text) > _LONG else "")
            depth = 0.5 * min(max(share or 0, 0), 1) ** 2
            shade = "" if share is None else f' style="background:rgba(47,133,90,{depth:.2f})"'
            cells.append(f"<{tag}{kind}{shade}>{escape(text)}</{tag}>")
        parts.append(f"<tr>{''.join(cells)}</tr>" + "</thead><tbody>" * (n == 0))
    parts.append("</tbody></table></div>")
    return "\n".join(parts)


def page(
    builds: list[Build], sections: list[tuple[str, list[Table]]], drawn: dict[str, tuple[str, str, str]]
) -> str:
    """The same with the plots in it, as one file."""
    escape = html.escape
    lead = re.sub(r"`(.*?)`", r"<b>\1</b>", escape(_lead(builds)))
    links = "".join(f"<a href='#{_anchor(heading)}'>{escape(heading)}</a>" for heading, _ in sections)
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>",
             '<meta name=viewport content="width=device-width,initial-scale=1">',
             f"<title>nicsec: {_TITLE}</title><style>{_CSS}</style>", f"<h1>nicsec: {_TITLE.lower()}</h1><p>{lead}</p>",
             f"<nav>{links}<a href='#commands'>Commands</a></nav>"]
    for heading, found in sections:
        parts.append(f"<h2 id='{_anchor(heading)}'>{escape(heading)}</h2>")
        parts += [f"<figure><figcaption>{escape(title)}</figcaption>{svg[svg.index('<svg'):]}</figure>"
                  for section, title, svg in drawn.values() if section == heading]
        for table in found:
            if table.title:
                parts.append(f"<h3>{escape(table.title)}</h3>")
            parts.append(_html_table(table))
            if table.note:
                parts.append(f"<p class=n>{escape(table.note)}</p>")
    parts += ["<h2 id=commands>Commands</h2><p>These made the figures, and the last one this page:</p><pre><code>",
              escape("\n".join(_commands(builds))), "</code></pre>"]
    return "\n".join(parts) + "\n</html>\n"
