"""What is drawn over time: lines, areas, heatmaps, and the line behind a single number."""

import math
import time
from dataclasses import dataclass

from pictures import units
from pictures.svg import SERIES, Path, clipped, color, width_of

LEGEND_ROW = 13
CALCS = {"lastNotNull": ("Last", lambda values: values[-1]), "max": ("Max", max), "min": ("Min", min),
         "mean": ("Mean", lambda values: sum(values) / len(values))}


@dataclass
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass
class Line:
    name: str
    points: list  # (time, value)
    color: str = ""


@dataclass
class Span:
    """The time that is shown."""

    start: float
    end: float
    step: float

    def x(self, at, box):
        return box.x + (at - self.start) / (self.end - self.start) * box.width

    def ticks(self, width):
        most = max(width / 60, 1)
        every = next(e for e in (60, 120, 180, 300, 600, 1800, 3600) if (self.end - self.start) / e <= most)
        first = math.ceil(self.start / every) * every
        return range(first, int(self.end) + 1, every)


def _axis(values, least, most, thresholds, unit, rows):
    """(low, high, ticks): round numbers around everything, and no more than there has to be."""
    low, high = min(values, default=0), max(values, default=1)
    if least is not None:
        low = min(least, low) if most is None else least
    if most is not None:
        high = most
    if high <= low:
        high = low + (abs(low) or 1)
    for line in thresholds:  # one that is near is worth seeing
        if most is None and low < line < high * 1.3:
            high = max(high, line)
    marks = units.ticks(low, high, rows, unit)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    if most is None:
        high = math.ceil(high / step - 1e-9) * step
    if least is None:
        low = math.floor(low / step + 1e-9) * step
    return low, high, units.ticks(low, high, rows, unit)


def _frame(svg, box, span, labels, gutter):
    """Grid, labels of both axes; `labels` are (y, text). Returns the box of what is drawn in it."""
    inner = Box(box.x + gutter, box.y, box.width - gutter - 6, box.height - 14)
    grid = "".join(f"M{inner.x:.0f} {y:.1f}h{inner.width:.0f}" for y, _ in labels)
    for at in span.ticks(inner.width):
        x = span.x(at, inner)
        grid += f"M{x:.0f} {inner.y:.0f}v{inner.height:.0f}"
        if inner.x + 10 < x < inner.x + inner.width - 8:
            svg.text(x, box.y + box.height - 2, time.strftime("%H:%M", time.gmtime(at)), "dmb")
    svg.add(f'<path class="g" d="{grid}"/>')
    for y, words in labels:
        svg.text(inner.x - 5, y + 3.5, words, "deb")
    return inner


def _pieces(points, step):
    """Lines are broken where samples are missing."""
    pieces = []
    for point in points:
        if not pieces or point[0] - pieces[-1][-1][0] > 1.5 * step:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def legend(svg, box, lines, panel, names):
    """A row for each line: its name and the values asked for. What has no room is counted."""
    order = panel["options"]["legend"]
    if "sortBy" in order:
        by = next(calc for header, calc in CALCS.values() if header == order["sortBy"])
        lines = sorted(lines, key=lambda line: by([value for _, value in line.points]), reverse=order["sortDesc"])
    rows = int(box.height // LEGEND_ROW) - 1
    shown = lines if len(lines) <= rows else lines[:rows - 1]
    defaults = panel["fieldConfig"]["defaults"]
    columns = [CALCS[calc] for calc in order["calcs"]]
    width = 72
    for i, (header, _) in enumerate(columns):
        svg.text(box.x + box.width - (len(columns) - 1 - i) * width, box.y + 9, header, "deb")
    y = box.y + 9
    for line in shown:
        y += LEGEND_ROW
        svg.rect(box.x, y - 5.5, 10, 3, fill=line.color)
        svg.text(box.x + 15, y, clipped(line.name, box.width - 18 - width * len(columns) + 20, 10), "b")
        values = [value for _, value in line.points]
        for i, (_, calc) in enumerate(columns):
            value = calc(values)
            words = names.get(value) or units.text(value, defaults["unit"], defaults.get("decimals"))
            svg.text(box.x + box.width - (len(columns) - 1 - i) * width, y, words, "be")
    if len(shown) < len(lines):
        svg.text(box.x + 15, y + LEGEND_ROW, f"and {len(lines) - len(shown)} more", "db")


def time_series(svg, box, span, lines, panel, exemplars=()):
    """`lines` with the settings of `panel`; exemplars are (time, value)."""
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults.get("custom", {}), defaults["unit"]
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    thresholds = []
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        thresholds = [(step["value"], step["color"]) for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    names = {}
    for mapping in defaults.get("mappings", []):
        names |= {float(value): shown["text"] for value, shown in mapping["options"].items()}
    for i, line in enumerate(lines):
        line.color = color(_override(panel, line.name, "color", {}).get("fixedColor", SERIES[i % len(SERIES)]))

    rows = min(len(lines), max(2, int(box.height * 0.5 / LEGEND_ROW) - 1))
    below = LEGEND_ROW * (rows + 1) + 4
    plot = Box(box.x, box.y, box.width, box.height - below)
    drawn = _stack(lines) if stacked else [line.points for line in lines]
    values = [value for points in drawn for _, value in points]
    low, high, marks = _axis(values, defaults.get("min"), defaults.get("max"), [value for value, _ in thresholds], unit,
                             max(2, plot.height / 28))
    height = plot.height - 14

    def y(value):
        return plot.y + height - (min(max(value, low), high) - low) / (high - low) * height

    labels = [(y(mark), units.text(mark, unit, _places(marks, unit))) for mark in marks]
    inner = _frame(svg, plot, span, labels, max((width_of(words, 10) for _, words in labels), default=20) + 10)
    for value, name in thresholds:
        if low < value < high:
            svg.line(inner.x, y(value), inner.x + inner.width, y(value), stroke=color(name), stroke_dasharray="6 4")
    under = {}
    for line, points in zip(lines, drawn):
        for piece in _pieces(points, span.step):
            if stacked:
                _area(svg, inner, span, y, piece, line.color, under)
            else:
                _line(svg, inner, span, y, piece, line.color, custom.get("lineInterpolation") == "stepAfter")
        under = dict(points)
    for at, value in exemplars:
        svg.circle(span.x(at, inner), y(value), 2, fill="#fff", stroke="#3274d9")
    legend(svg, Box(box.x, plot.y + plot.height + 4, box.width - 8, below - 4), lines, panel, names)


def _override(panel, name, what, default):
    for override in panel["fieldConfig"].get("overrides", []):
        if override["matcher"]["options"] == name:
            for entry in override["properties"]:
                if entry["id"] == what:
                    return entry["value"]
    return default


def _places(marks, unit):
    """As many decimals for all marks of an axis as the one with most of them needs."""
    if unit in ("s", "ms", "bytes", "Bps", "short"):
        return None
    shown = [round(mark * (100 if unit == "percentunit" else 1), 9) for mark in marks]
    return max((len(f"{value:.6f}".rstrip("0").split(".")[1]) for value in shown), default=None)


def _stack(lines):
    total, stacked = {}, []
    for line in lines:
        for at, value in line.points:
            total[at] = total.get(at, 0) + value
        stacked.append([(at, total[at]) for at, _ in line.points])
    return stacked


def _line(svg, box, span, y, piece, stroke, steps):
    path = Path()
    for i, (at, value) in enumerate(piece):
        if steps and i:
            path.to(span.x(at, box), y(piece[i - 1][1]))
        path.to(span.x(at, box), y(value))
    if len(piece) == 1:
        svg.circle(span.x(piece[0][0], box), y(piece[0][1]), 1.5, fill=stroke)
    else:
        svg.path(path, class_="l", stroke=stroke)


def _area(svg, box, span, y, piece, fill, under):
    """Down to what it stands on, `under`: {time: value}. Nothing, where there is nothing of it."""
    if all(value - under.get(at, 0) < 1e-9 for at, value in piece):
        return
    area = Path()
    for at, value in piece:
        area.to(span.x(at, box), y(value))
    for at, _ in reversed(piece):
        area.to(span.x(at, box), y(under.get(at, 0)))
    svg.path(area, close=True, fill=fill, fill_opacity=".6")


def spark(svg, box, span, points, stroke, least=None, most=None):
    """The graph in the background of a single number."""
    values = [value for _, value in points]
    low, high = min(values) if least is None else least, max(values) if most is None else most
    area = Path()
    area.to(span.x(points[0][0], box), box.y + box.height)
    for at, value in points:
        share = (value - low) / (high - low) if high > low else 0
        area.to(span.x(at, box), box.y + box.height - share * box.height)
    area.to(span.x(points[-1][0], box), box.y + box.height)
    svg.path(area, close=True, fill=stroke, fill_opacity=".25")


# Light to dark: the scheme YlOrRd on a light background.
_HEAT = ("#ffffcc", "#ffeda0", "#fed976", "#feb24c", "#fd8d3c", "#fc4e2a", "#e31a1c", "#bd0026", "#800026")


def heatmap(svg, box, span, cells, panel, exemplars=()):
    """`cells`: {upper bound: {time: count}}, cumulative as Prometheus has them."""
    defaults = panel["fieldConfig"]["defaults"]
    bounds = sorted(cells)
    counts = {bound: {at: value - (cells[bounds[i - 1]].get(at, 0) if i else 0) for at, value in cells[bound].items()}
              for i, bound in enumerate(bounds)}
    used = [i for i, bound in enumerate(bounds) if any(value > 1e-9 for value in counts[bound].values())]
    bounds = bounds[:used[-1] + 1] if used else bounds  # the rows above are empty
    most = max((value for bound in bounds for value in counts[bound].values()), default=1)
    plot = Box(box.x, box.y, box.width, box.height - 18)
    row = (plot.height - 14) / len(bounds)
    labels = [(plot.y + plot.height - 14 - (i + 1) * row, units.text(bound, defaults["unit"]) if bound < math.inf else "+Inf")
              for i, bound in enumerate(bounds)]
    inner = _frame(svg, plot, span, labels, max(width_of(words, 10) for _, words in labels) + 10)
    by_color = {}
    for i, bound in enumerate(bounds):
        top = inner.y + inner.height - (i + 1) * row
        for at, value in counts[bound].items():
            if value > 1e-9:
                shade = _HEAT[min(int(value / most * len(_HEAT)), len(_HEAT) - 1)]
                left = max(span.x(at - span.step, inner), inner.x)
                by_color.setdefault(shade, []).append(
                    f"M{left:.0f} {top + 0.5:.0f}h{span.x(at, inner) - left - 1:.0f}v{row - 1:.0f}h-{span.x(at, inner) - left - 1:.0f}z")
    for shade, parts in by_color.items():
        svg.add(f'<path fill="{shade}" d="{"".join(parts)}"/>')
    for at, value in exemplars:
        i = next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds) - 1)
        low = bounds[i - 1] if i else 0
        share = (value - low) / (bounds[i] - low) if bounds[i] < math.inf else 0.5
        svg.circle(span.x(at, inner), inner.y + inner.height - (i + share) * row, 2.2, fill="#f0f", fill_opacity=".7")
    unit = panel["options"]["cellValues"]["unit"]
    x, y = inner.x, box.y + box.height - 12
    for i, shade in enumerate(_HEAT):
        svg.rect(x + i * 16, y, 16, 6, fill=shade)
    svg.text(x + len(_HEAT) * 16 + 6, y + 7, f"0 to {units.text(most, unit)} in a cell", "db")
