"""tests/support/pictures draws what it is given: numbers as Grafana writes them, lines where the values are."""

import os
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "support"))

from pictures import graphs, nodemap, tables, units  # noqa: E402
from pictures.graphs import Box, Line, Span  # noqa: E402
from pictures.svg import Path, Svg, clipped, width_of  # noqa: E402


# Scenario: values of every unit on the dashboards.
# Guarantees: three digits, and the unit that suits the size.
@pytest.mark.parametrize("value, unit, decimals, text", [
    (0.0274, "percentunit", 2, "2.74%"), (1, "percentunit", None, "100%"), (0, "percentunit", None, "0%"),
    (0.00434, "s", None, "4.34 ms"), (1.5, "s", None, "1.50 s"), (90, "s", None, "1.50 min"), (0, "s", None, "0 s"),
    (434.0, "ms", None, "434 ms"), (2000, "ms", None, "2 s"), (0.0000005, "s", None, "500 ns"),
    (26.84, "reqps", None, "26.8 req/s"), (1200, "cps", None, "1.20 K c/s"), (12.128, "reqps", 2, "12.13 req/s"),
    (80530636.8, "bytes", None, "76.8 MiB"), (37500, "Bps", None, "37.5 kB/s"),
    (29600, "short", None, "29.6 K"), (7, "short", None, "7"), (2397.1, "locale", 0, "2,397"), (261.0, "none", None, "261"),
    (1_000_000, "dateTimeFromNow", None, "4 minutes ago"), (float("nan"), "s", None, ""),
])
def test_units(value, unit, decimals, text):
    assert units.text(value, unit, decimals, now=1240) == text


# Scenario: axes of all sizes.
# Guarantees: ticks are inside, evenly spaced, round, and about as many as asked for.
@pytest.mark.parametrize("high, unit, ticks", [
    (0.3, "percentunit", [0, 0.1, 0.2, 0.3]), (2, "s", [0, 0.5, 1, 1.5, 2]), (80 * 2 ** 20, "bytes", [i * 20 * 2 ** 20 for i in range(5)]),
    (300, "s", [0, 120, 240]), (7, "short", [0, 2, 4, 6]),
])
def test_ticks(high, unit, ticks):
    assert units.ticks(0, high, 4, unit) == pytest.approx(ticks)


# Scenario: a line of many points, straight but for one of them.
# Guarantees: the points that matter remain, and steps do not add up their rounding.
def test_paths_keep_what_matters():
    path = Path()
    for i in range(101):
        path.to(i * 0.333, 50 if i == 60 else 10)
    points, (x, y) = [], (0.0, 0.0)
    for kind, numbers in re.findall(r"([Mlhv])([-\d. ]+)", path.d()):
        values = [float(n) for n in re.findall(r"-?[\d.]+", numbers)]
        dx, dy = {"h": (values[0], 0), "v": (0, values[0])}.get(kind, values)
        x, y = (dx, dy) if kind == "M" else (x + dx, y + dy)
        points.append((round(x, 1), round(y, 1)))
    assert (20.0, 50) in points and points[0] == (0, 10) and points[-1] == (33.3, 10)
    assert len(points) == 5


def test_text_is_clipped_to_its_width():
    words = clipped("GET /product/{id}/recommendations", 100)
    assert words.endswith("…") and width_of(words) <= 100
    assert clipped("GET /", 100) == "GET /"


def series(**custom):
    return {"type": "timeseries", "fieldConfig": {"defaults": {"unit": "s", "min": 0, "custom": custom}, "overrides": []},
            "options": {"legend": {"calcs": ["lastNotNull", "max"], "sortBy": "Max", "sortDesc": True}}}


def drawn(draw):
    svg = Svg(400, 200, "T", "D & d")
    draw(svg, Box(10, 20, 380, 170))
    return ElementTree.fromstring(str(svg)), str(svg)


# Scenario: two lines, one with a gap, in a panel whose legend lists the larger first.
# Guarantees: the gap stays one; the legend has the values, in that order.
def test_time_series():
    span = Span(0, 600, 15)
    low = Line("low", [(at, 1.0) for at in range(0, 600, 15) if not 200 < at < 300])
    high = Line("high", [(at, at / 100) for at in range(0, 600, 15)])
    tree, text = drawn(lambda svg, box: graphs.time_series(svg, box, span, [low, high], series()))
    lines = [e for e in tree.iter("{http://www.w3.org/2000/svg}path") if e.get("class") == "l"]
    assert [line.get("stroke") for line in lines] == [low.color, low.color, high.color]
    texts = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.index("high") < texts.index("low")
    assert "5.85 s" in texts and "1 s" in texts
    assert "D &amp; d" in text


# Scenario: cumulative buckets.
# Guarantees: cells are what is in each bucket alone; empty ones and empty rows at the top are left out.
def test_heatmap():
    cells = {0.1: {15: 2.0, 30: 0.0}, 0.2: {15: 2.0, 30: 3.0}, 0.4: {15: 2.0, 30: 3.0}, float("inf"): {15: 2.0, 30: 3.0}}
    panel = {"fieldConfig": {"defaults": {"unit": "s"}}, "options": {"cellValues": {"unit": "reqps"}}}
    tree, text = drawn(lambda svg, box: graphs.heatmap(svg, box, Span(0, 30, 15), cells, panel, [(20, 0.15)]))
    texts = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "200 ms" in texts and "400 ms" not in texts
    assert sum(e.get("d").count("M") for e in tree.iter("{http://www.w3.org/2000/svg}path") if e.get("fill")) == 2
    assert text.count('fill="#f0f"') == 1


# Scenario: a value with a name, one in a named range, one above a threshold, one that is not there.
# Guarantees: each is shown as the column's settings say.
def test_cells():
    def override(**of):
        return {"matcher": {"options": "C"}, "properties": [{"id": id.replace("__", "."), "value": value} for id, value in of.items()]}

    def cell(value, **of):
        return tables._cell({"fieldConfig": {"defaults": {"unit": "short"}, "overrides": [override(**of)]}}, "C", value, 0)

    steps = {"steps": [{"value": None, "color": "green"}, {"value": 0.05, "color": "red"}]}
    text_color = {"custom__cellOptions": {"type": "color-text"}}
    assert cell(1.0, mappings=[{"type": "value", "options": {"1": {"text": "yes", "color": "green"}}}])[0] == "yes"
    under = [{"type": "range", "options": {"from": 0, "to": 0.1, "result": {"text": "under 100 ms"}}}]
    assert cell(0.095, unit="s", mappings=under)[0] == "under 100 ms"
    assert cell(0.2, unit="s", mappings=under) == ("200 ms", None)
    assert cell(0.07, unit="percentunit", thresholds=steps, **text_color) == ("7%", "#e02f44")
    assert cell(0.01, unit="percentunit", thresholds=steps, **text_color) == ("1%", "#56a64b")
    assert cell(None, noValue="–")[0] == "–"


# Scenario: calls across a layer, and in a circle.
# Guarantees: who is called is to the right of the caller where there is no circle; nodes of a layer have places of their own, and
# so has an edge that passes through it.
def test_layers():
    nodes = [{"id": name} for name in "abcde"]
    edges = [{"id": f"{s}{t}", "source": s, "target": t} for s, t in ("ab", "bc", "ac", "bd", "de", "ed")]
    places, passed = nodemap._places(nodes, edges)
    assert places["a"][0] < places["b"][0] < places["c"][0]
    assert len(set(places.values())) == len(places)
    ((layer, at),) = passed["ac"]
    assert layer == places["b"][0] and at != places["b"][1]
