# SPDX-License-Identifier: Apache-2.0
"""The plots of ``nicsec report``, as SVG; the same figures give the same bytes."""

import io
import math
from collections.abc import Iterable
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from .limits import LINE_RATES, line_bits
from .report import Build, detailed, goal, grouped_blocks, lane_series, shared_points, sizes_of

__all__ = ["plots"]

_INK, _FAINT, _LINE = "#1f2933", "#9aa5b1", "#d9dee4"
_BLUE, _ORANGE, _GREEN, _RED = "#2b6cb0", "#c05621", "#2f855a", "#c53030"
_CYCLE = (_BLUE, _ORANGE, _GREEN, "#6b46c1", "#b83280", "#4a5568", "#b7791f", "#0987a0", _RED, "#718096")
_STYLE = {
    "svg.hashsalt": "nicsec", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9,
    "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _INK, "ytick.color": _INK, "axes.grid": True,
    "axes.grid.axis": "y", "grid.color": _LINE, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "figure.constrained_layout.use": True, "legend.frameon": False, "legend.fontsize": 8,
    "figure.facecolor": "white",
    "axes.prop_cycle": plt.cycler(color=_CYCLE),
}
_SUITES_A_ROW = 3


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def plots(builds: list[Build]) -> dict[str, tuple[str, str, str]]:
    """``{file name: (section of the page, what it shows, SVG)}``; only of what was measured."""
    found = {}
    with plt.rc_context(_STYLE):
        for build in detailed(builds):
            slug = _slug(build.name)
            if build.shape is not None:
                told = "{} mode, {} SA".format(*build.shape) + "s" * (build.shape[1] > 1)
                what = "Gb/s by suite and frame size, against the limit and Ethernet" if build.fmax else (
                    "bits a cycle by suite and frame size, against the limit")
                found[f"throughput-{slug}.svg"] = "Throughput", f"{build.name}: {what}; {told}", _throughput(build)
                what = "share of the limit that is reached"
                found[f"limit-{slug}.svg"] = "Limits and utilisation", f"{build.name}: {what}; {told}", _limit(build)
                what = "latency of a packet through the idle engine"
                found[f"latency-{slug}.svg"] = "Latency", f"{build.name}: {what}; {told}", _latency(build)
            if build.synthesised:
                found[f"area-{slug}.svg"] = "Area by block", f"{build.name}: area by block", _area(build)
            for packet in build.cycles:
                name = f"cycles-{slug}-{_slug(packet['suite'])}.svg"
                found[name] = ("Where the cycles go", f"{build.name}: where the cycles of {packet['bytes']} bytes go, "
                               f"{packet['suite']}", _waterfall(packet))
        if dense := [build for build in detailed(builds) if build.fmax and build.points]:
            found["density.svg"] = "Throughput for area", "Gb/s per 1,000 LUT4, 1518 bytes", _density(dense)
        for group in lane_series(builds):
            name = group[0].name
            if (svg := _lanes(group)) is not None:
                found[f"lanes-{_slug(name)}.svg"] = "Lanes", f"{name}: throughput and area against lanes", svg
    return found


def _points(build: Build, suite: str) -> dict[Any, dict[str, Any]]:
    """Points of a suite in the build's main shape, by size."""
    return {key[3]: point for key, point in build.points.items() if key[:3] == (suite, *build.shape)}


def _suites(build: Build) -> list[str]:
    return list(dict.fromkeys(key[0] for key in build.points if key[1:3] == build.shape))


def _panels(count: int, height: float) -> tuple[Any, list[Any]]:
    """A figure of ``count`` panels, three in a row, with one scale."""
    columns = min(count, _SUITES_A_ROW)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(9.6, 0.5 + height * rows), sharey=True, squeeze=False)
    flat = list(axes.flat)
    for axis in flat[count:]:
        axis.set_axis_off()
    return figure, flat[:count]


def _throughput(build: Build) -> str:
    """A panel a suite: a bar a size, a mark for the limit, a step for each line rate near by."""
    scale = build.fmax / 1000 if build.fmax else 1
    suites = _suites(build)
    sizes = sizes_of(point for suite in suites for point in _points(build, suite).values())
    rate = goal(build)
    peak = max(scale * point["bits_per_cycle"] for suite in suites for point in _points(build, suite).values())
    rates = [one for one in LINE_RATES if rate and line_bits(one, 1518) / 1e9 <= max(1.25 * peak, rate)]
    figure, panels = _panels(len(suites), 1.9)
    for suite, axis in zip(suites, panels, strict=True):
        points = _points(build, suite)
        for at, size in enumerate(sizes):
            if (point := points.get(size)) is None:
                continue
            value, limit = (scale * bits for bits in (point["bits_per_cycle"], point["limit"]["bits_per_cycle"]))
            line = line_bits(rate, point["frame_bytes"]) / 1e9 if rate else 0
            axis.bar(at, value, width=0.7, color=_GREEN if rate and value >= line else _BLUE)
            axis.plot([at - 0.4, at + 0.4], [limit] * 2, color=_INK, linewidth=1.2)
            label = f"{value:.1f}" if value >= 10 else f"{value:.2f}"
            # Above the bar, where the mark of the limit is not.
            inside = 0 <= limit - value < 0.15 * max(peak, rate or 0)
            axis.annotate(label, (at, value), ha="center", va="top" if inside else "bottom", fontsize=6.5,
                          xytext=(0, -1.5 if inside else 1), textcoords="offset points", zorder=5,
                          color="white" if inside else _INK,
                          bbox=None if inside else {"color": "white", "alpha": 0.7, "pad": 0.2})
            for other in rates:
                height = line_bits(other, point["frame_bytes"]) / 1e9
                style = {"color": _RED, "linestyle": "--"} if other == rate else {"color": _FAINT, "linestyle": ":"}
                axis.plot([at - 0.5, at + 0.5], [height] * 2, linewidth=1, **style)
                if at == len(sizes) - 1:
                    axis.annotate(f"{other:g}G", (at + 0.55, height), va="center", fontsize=6.5, color=style["color"],
                                  annotation_clip=False)
        axis.set_title(suite)
        axis.set_xticks(range(len(sizes)), [str(size).replace("imix", "IMIX") for size in sizes], fontsize=7)
        axis.set_xlim(-0.6, len(sizes) - 0.2)
    panels[0].set_ylim(0, 1.3 * max(peak, rate or 0))
    for axis in panels[-_SUITES_A_ROW:]:
        axis.set_xlabel("bytes of frame without FCS", fontsize=7.5)
    for axis in panels[::_SUITES_A_ROW]:
        axis.set_ylabel(f"Gb/s at {build.fmax:.0f} MHz" if build.fmax else "bits a cycle")
    keys = [plt.Line2D([], [], color=_INK, linewidth=1.2, label="limit of the units and the bus")]
    if rate:
        keys = [plt.Rectangle((0, 0), 1, 1, color=_GREEN, label=f"reaches {rate:g}GbE"),
                plt.Rectangle((0, 0), 1, 1, color=_BLUE, label="does not"), *keys,
                plt.Line2D([], [], color=_RED, linestyle="--", linewidth=1, label=f"line rate of {rate:g}GbE")]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return _svg(figure)


def _limit(build: Build) -> str:
    """A field a suite and size, the darker the nearer to the limit, with the unit that binds."""
    suites = _suites(build)
    sizes = sizes_of(point for suite in suites for point in _points(build, suite).values())
    figure, axis = plt.subplots(figsize=(9.6, 0.9 + 0.32 * len(suites)))
    colors = matplotlib.colors.LinearSegmentedColormap.from_list("share", ["#f7fafc", "#2c5282"])
    for row, suite in enumerate(suites):
        points = _points(build, suite)
        for at, size in enumerate(sizes):
            if (point := points.get(size)) is None:
                continue
            share = point["limit"]["share"]
            axis.add_patch(plt.Rectangle((at - 0.48, row - 0.46), 0.96, 0.92, color=colors(min(share, 1))))
            axis.annotate(f"{100 * share:.0f} %  {point['limit']['unit']}", (at, row), ha="center", va="center",
                          fontsize=7, color="white" if share > 0.55 else _INK)
    axis.set_xticks(range(len(sizes)), [str(size).replace("imix", "IMIX") for size in sizes])
    axis.set_yticks(range(len(suites)), suites)
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    axis.set_ylim(len(suites) - 0.5, -0.5)
    axis.grid(False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_xlabel("bytes of frame without FCS")
    return _svg(figure)


def _latency(build: Build) -> str:
    figure, axis = plt.subplots(figsize=(9.6, 3.4))
    for number, suite in enumerate(_suites(build)):
        found = sorted((point["frame_bytes"], point["latency"]["alone"]) for point in _points(build, suite).values()
                       if point["latency"]["alone"] is not None)
        style = ("-", "--", "-.")[number // len(_CYCLE) % 3]
        axis.plot([x for x, _ in found], [y for _, y in found], style, marker=".", label=suite)
    axis.set_xlabel("bytes of frame without FCS")
    axis.set_ylabel("cycles, first beat in to last beat out")
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure)


def _area(build: Build) -> str:
    blocks = grouped_blocks(build.synthesised["blocks"])
    shown = dict(list(blocks.items())[:18])
    if left := list(blocks.values())[18:]:
        shown["all others"] = {kind: sum(block[kind] for block in left) for kind in ("lut4", "ff", "bram", "dsp")}
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 0.7 + 0.21 * len(shown)), sharey=True, width_ratios=(3, 3, 1.6))
    for axis, kind, title, color in zip(axes, ("lut4", "ff", "bram"), ("LUT4", "FF", "block RAM"),
                                        (_BLUE, _ORANGE, _GREEN), strict=True):
        values = [block[kind] for block in shown.values()]
        axis.barh(list(shown), values, color=color)
        for row, value in enumerate(values):
            if value:
                axis.annotate(f"{value:,}", (value, row), va="center", xytext=(2, 0), textcoords="offset points",
                              fontsize=6.5)
        axis.set_title(f"{title}: {sum(values):,}")
        axis.grid(visible=False, axis="y")
        axis.grid(visible=True, axis="x")
        axis.set_xlim(right=1.22 * max(*values, 1))
        axis.tick_params(axis="y", length=0, labelsize=7.5)
    axes[0].invert_yaxis()
    return _svg(figure)


def _density(builds: list[Build]) -> str:
    """Bars by suite, one for each build that has the suite at 1518 bytes, else at its longest size."""
    values: dict[str, dict[str, float]] = {}
    for build in builds:
        for suite in _suites(build):
            points = _points(build, suite)
            plain = [size for size in points if size != "imix"]
            if plain:
                point = points[1518 if 1518 in points else max(plain)]
                values.setdefault(suite, {})[build.name] = 1000 * build.gbps(point) / build.runs[0]["lut4"]
    names = [build.name for build in builds]
    figure, axis = plt.subplots(figsize=(9.6, 0.8 + (0.1 + 0.14 * len(names)) * len(values)))
    for row, found in enumerate(values.values()):
        for n, name in enumerate(names):
            if name in found:
                at = row + (n - (len(names) - 1) / 2) * 0.8 / len(names)
                axis.barh(at, found[name], height=0.8 / len(names), color=_CYCLE[n % len(_CYCLE)],
                          label=name if all(name not in other for other in list(values.values())[:row]) else None)
                axis.annotate(f"{found[name]:.3f}", (found[name], at), va="center", xytext=(3, 0),
                              textcoords="offset points", fontsize=6.5)
    axis.set_yticks(range(len(values)), list(values), fontsize=7.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.grid(visible=True, axis="x")
    axis.invert_yaxis()
    axis.set_xlabel("Gb/s per 1,000 LUT4")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure)


def _straight(axis: Any, counts: Iterable[int], values: Iterable[float], **style: Any) -> None:
    """Points, and a thin line on from the first two of them: what growth in a straight line would be."""
    counts, values = list(counts), list(values)
    line, = axis.plot(counts, values, marker="o", markersize=4, **style)
    if len(counts) > 2:
        slope = (values[1] - values[0]) / (counts[1] - counts[0])
        axis.plot([counts[0], counts[-1]], [values[0], values[0] + slope * (counts[-1] - counts[0])], ":",
                  color=line.get_color(), linewidth=1)


def _lanes(group: list[Build]) -> str | None:
    """A panel of throughput and one of area, each of the builds that have it; None if no two have."""
    measured, known = [build for build in group if build.points], [build for build in group if build.ecp5_area]
    panels: list[tuple[str, list[Build], dict[str, list[float]]]] = []
    if len(measured) > 1 and (keys := shared_points(measured, (1518,))):
        panels.append(("bits a cycle, 1518 bytes", measured, {
            key[0]: [build.points[key]["bits_per_cycle"] for build in measured] for key in keys}))
    if len(known) > 1:
        panels.append(("LUT4", known, {"": [build.ecp5_area["lut4"] for build in known]}))
    if not panels:
        return None
    figure, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 4), squeeze=False)
    for axis, (title, builds, lines) in zip(axes[0], panels, strict=True):
        counts = [build.config["lanes"] for build in builds]
        for label, values in lines.items():
            _straight(axis, counts, values, label=label)
        if all(lines):
            figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        axis.set_title(title)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlabel("lanes; dotted: straight on from the first two")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.set_xticks(counts)
    return _svg(figure)


def _waterfall(packet: dict[str, Any]) -> str:
    steps = packet["steps"]
    figure, axis = plt.subplots(figsize=(9.6, 0.9 + 0.2 * len(steps)))
    for row, step in enumerate(steps):
        axis.barh(row, step["cycles"], left=step["start"], color=_BLUE)
        axis.annotate(str(step["cycles"]), (step["start"] + step["cycles"], row), va="center", xytext=(3, 0),
                      textcoords="offset points", fontsize=7)
    axis.set_yticks(range(len(steps)), [step["state"] for step in steps], fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.grid(visible=True, axis="x")
    axis.set_ylim(len(steps) - 0.3, -0.7)
    told = "alone, first beat to completion" if packet.get("alone") else "from one packet to the next"
    axis.set_xlabel(f"cycles; {packet['cycles']} {told}")
    return _svg(figure)
