"""One dashboard, all of its panels in their grid."""

import json

import node_graph
from pictures import graphs, nodemap, tables
from pictures.graphs import Box, Line, Span
from pictures.svg import Svg, clipped

WIDTH = 1000
COLUMN = (WIDTH - 8) / 24
UNIT = 29  # the height of one of the grid's rows
GAP = 6
HEADING = 22
MOST_EXEMPLARS = 24  # of a panel; Grafana leaves some out, too


def draw(view, entries, note):
    """The SVG. `entries(logql)` answers LogQL with (time, line), latest first; `note` is for what is not seen."""
    model = view.board.model
    height = HEADING + 12 + max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in model["panels"]) * UNIT
    svg = Svg(WIDTH, height, model["title"], f"{model['description']} {note}")
    svg.text(8, 17, model["title"], "t", style="font-size:14px")
    chosen = [f"{m['label']}: {_chosen(view.variables[m['name']])}" for m in model["templating"]["list"] if m["type"] != "datasource"]
    svg.text(WIDTH - 8, 17, " · ".join(chosen), "de")
    for panel in model["panels"]:
        at = panel["gridPos"]
        box = Box(4 + at["x"] * COLUMN + GAP / 2, HEADING + 6 + at["y"] * UNIT + GAP / 2, at["w"] * COLUMN - GAP, at["h"] * UNIT - GAP)
        if panel["type"] == "row":
            svg.text(box.x + 4, box.y + 15, panel["title"], "t", style="font-size:13px")
            continue
        svg.rect(box.x, box.y, box.width, box.height, class_="p")
        svg.text(box.x + 8, box.y + 15, clipped(panel["title"], box.width - 16, bold=True), "t")
        inside = Box(box.x + 8, box.y + 26, box.width - 16, box.height - 31)
        _panel(svg, inside, view, panel, [t for t in view.board.targets() if t.panel == panel["title"]], entries)
    return str(svg)


def _chosen(variable):
    return "All" if variable.is_all else variable.value if isinstance(variable.value, str) else ", ".join(variable.value)


def _panel(svg, box, view, panel, targets, entries):
    if targets[0].source == "tempo":
        return tables.words(svg, box, ["Asks Tempo, which this picture has none of:", view.expand(targets[0])])
    if targets[0].source == "loki":
        return tables.log_lines(svg, box, entries(view.expand(targets[0])))
    span = Span(view.end - view.seconds, view.end, view.interval(targets[0].min_interval))
    kind = panel["type"]
    if kind in ("table", "nodeGraph"):
        frames = [node_graph.table(t.ref, view.run(t), only=len(targets) == 1) for t in targets]
        frames = node_graph.transform(frames, panel["transformations"])
        if kind == "nodeGraph":
            return nodemap.draw(svg, box, *node_graph.graph(frames), panel)
        return tables.table(svg, box, frames[0] if frames else None, panel, view.end)
    exemplars = _thinned([(e["timestamp"], float(e["value"])) for t in targets if t.exemplar
                          for series in view.exemplars(t) for e in series["exemplars"]], span)
    if kind == "heatmap":
        (target,) = targets
        cells = {float(s["metric"]["le"]): dict(s["samples"]) for s in view.run(target)}
        return graphs.heatmap(svg, box, span, cells, panel, exemplars)
    lines = [Line(_name(t, s["metric"]), s["samples"]) for t in targets for s in view.run(t)]
    if kind == "stat":
        return tables.single(svg, box, span, [(line.name, line.points) for line in lines], panel, view.end)
    assert kind == "timeseries", kind
    if not lines:
        return tables.words(svg, box, [panel["fieldConfig"]["defaults"].get("noValue", "No data")])
    return graphs.time_series(svg, box, span, lines, panel, exemplars)


def _name(target, labels):
    """A series' name: its legend filled in, or as Prometheus writes it."""
    name = target.legend
    if not name or name == "__auto":
        return json.dumps(labels)
    for label in sorted(labels, key=len, reverse=True):
        name = name.replace("{{" + label + "}}", labels[label])
    return name


def _thinned(exemplars, span):
    """The highest of each piece of the time."""
    best = {}
    for at, value in exemplars:
        piece = int((at - span.start) / (span.end - span.start) * MOST_EXEMPLARS)
        if 0 <= piece < MOST_EXEMPLARS and (piece not in best or best[piece][1] < value):
            best[piece] = (at, value)
    return sorted(best.values())
