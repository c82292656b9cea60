# SPDX-License-Identifier: Apache-2.0
"""The plots of ``nicsec report``, as SVG; the same figures give the same bytes."""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from .limits import LINE_RATES, line_bits
from .report import Build, grouped_blocks, lane_series

__all__ = ["plots"]

_STYLE = {"svg.hashsalt": "nicsec", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
          "axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True}


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()


def plots(builds: list[Build]) -> dict[str, tuple[str, str]]:
    """``{file name: (what it shows, SVG)}``; only of what was measured."""
    found = {}
    with plt.rc_context(_STYLE):
        for build in builds:
            slug = "".join(letter if letter.isalnum() else "-" for letter in build.name)
            if any(key[1:3] == ("transport", 1) for key in build.points):
                title = f"{build.name}: throughput by suite and frame size, transport mode, one SA"
                found[f"throughput-{slug}.svg"] = title, _throughput(build)
            if build.runs:
                found[f"area-{slug}.svg"] = f"{build.name}: area by block", _area(build)
            for packet in build.cycles:
                name = f"cycles-{slug}-{packet['suite'].replace('+', '-')}.svg"
                found[name] = f"{build.name}: where the cycles of {packet['bytes']} bytes go, {packet['suite']}", (
                    _waterfall(packet))
        for group in lane_series(builds):
            slug = "".join(letter if letter.isalnum() else "-" for letter in group[0].name)
            found[f"lanes-{slug}.svg"] = f"{group[0].name}: throughput and area against lanes", _lanes(group)
    return found


def _throughput(build: Build) -> str:
    """Gb/s with Ethernet's line rates, or bits a cycle where there is no Fmax; the IMIX as points at its mean size."""
    figure, axes = plt.subplots(figsize=(8, 4.6))
    rate = build.fmax
    suites = dict.fromkeys(key[0] for key in build.points)
    sizes = []
    for number, suite in enumerate(suites):
        points = [point for key, point in build.points.items() if key[:3] == (suite, "transport", 1)]
        lines = sorted((point["frame_bytes"], point["bits_per_cycle"]) for point in points if point["size"] != "imix")
        sizes += [size for size, _ in lines]
        scale = rate / 1000 if rate else 1
        color, style = f"C{number % 10}", ("-", "--", "-.")[number // 10 % 3]
        axes.plot([x for x, _ in lines], [y * scale for _, y in lines], style, color=color, marker=".", label=suite)
        for point in points:
            if point["size"] == "imix":
                axes.plot([point["frame_bytes"]], [point["bits_per_cycle"] * scale], "x", color=color)
    if rate and sizes:
        xs = [min(sizes) + n * (max(sizes) - min(sizes)) / 60 for n in range(61)]
        top = 1.3 * max(build.gbps(point) for point in build.points.values())
        for line in LINE_RATES:
            if line_bits(line, max(sizes)) / 1e9 <= max(top, 1.3):
                axes.plot(xs, [line_bits(line, x) / 1e9 for x in xs], ":", color="0.4")
                end = xs[-1], line_bits(line, xs[-1]) / 1e9
                axes.annotate(f"{line:g}GbE", end, color="0.4", va="bottom", ha="right")
    axes.set_xlabel("bytes of frame without FCS (x: IMIX at its mean)")
    axes.set_ylabel(f"Gb/s at {rate:.1f} MHz" if rate else "bits a cycle")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _svg(figure)


def _area(build: Build) -> str:
    blocks = grouped_blocks(build.runs[0]["blocks"])
    shown = dict(list(blocks.items())[:20])
    figure, axes = plt.subplots(1, 2, figsize=(8, 0.6 + 0.22 * len(shown)), sharey=True)
    for axis, kind, title in ((axes[0], "lut4", "LUT4"), (axes[1], "ff", "FF")):
        axis.barh(list(shown), [block[kind] for block in shown.values()], color="C0" if kind == "lut4" else "C1")
        axis.set_xlabel(title)
    axes[0].invert_yaxis()
    return _svg(figure)


def _lanes(group: list[Build]) -> str:
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
    counts = [build.config["lanes"] for build in group]
    keys = [key for key in group[0].points if key[1:3] == ("transport", 1) and key[3] == 1518
            and all(key in build.points for build in group)]
    for key in keys:
        axes[0].plot(counts, [build.points[key]["bits_per_cycle"] for build in group], marker=".", label=key[0])
    axes[0].set_ylabel("bits a cycle, 1518 bytes")
    if keys:
        axes[0].legend(fontsize=7, frameon=False)
    placed = [build for build in group if build.runs]
    axes[1].plot([build.config["lanes"] for build in placed], [build.runs[0]["lut4"] for build in placed], marker=".")
    axes[1].set_ylabel("LUT4")
    for axis in axes:
        axis.set_xlabel("lanes")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    return _svg(figure)


def _waterfall(packet: dict[str, Any]) -> str:
    steps = packet["steps"]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.2 * len(steps)))
    for row, step in enumerate(steps):
        axes.barh(row, step["cycles"], left=step["start"], color="C0")
        axes.annotate(str(step["cycles"]), (step["start"] + step["cycles"], row), va="center", xytext=(3, 0),
                      textcoords="offset points", fontsize=7)
    axes.set_yticks(range(len(steps)), [step["state"] for step in steps], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"cycles; {packet['cycles']} from one packet to the next")
    return _svg(figure)
