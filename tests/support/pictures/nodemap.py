"""A node graph, its nodes in layers from left to right."""

import math
from collections import defaultdict

from pictures import units
from pictures.graphs import Box
from pictures.svg import clipped, width_of

RADIUS = 27


def _layers(nodes, edges):
    """{id: column}: each node right of all that call it, as far as calls go in no circle."""
    layer = {node["id"]: 0 for node in nodes}
    for _ in nodes:
        for edge in edges:
            if layer[edge["target"]] <= layer[edge["source"]] < len(nodes):
                layer[edge["target"]] = layer[edge["source"]] + 1
    return layer


def _order(columns, edges):
    """Sorts each column by where the node's neighbours to the left are, so that fewer edges cross."""
    place = {}
    for column in sorted(columns):
        def middle(name):
            left = [place[edge["source"]] for edge in edges if edge["target"] == name and edge["source"] in place]
            return sum(left) / len(left) if left else 0

        columns[column].sort(key=lambda name: (middle(name), name))
        for i, name in enumerate(columns[column]):
            place[name] = (i + 0.5) / len(columns[column])


def draw(svg, box, nodes, edges, panel):
    layer = _layers(nodes, edges)
    columns = defaultdict(list)
    for node in nodes:
        columns[layer[node["id"]]].append(node["id"])
    _order(columns, edges)
    inner = Box(box.x + 60, box.y + 6, box.width - 120, box.height - 12)
    at = {}
    for column, names in columns.items():
        for i, name in enumerate(names):
            # Columns in turn a little higher and lower, so that an edge across a column passes between its nodes.
            shift = (0.5 if len(names) > 1 else 0) * (column % 2 - 0.5) * 0.35
            at[name] = (inner.x + inner.width * column / max(max(columns), 1),
                        inner.y + inner.height * (i + 0.5 + shift) / len(names))
    options = panel["options"]
    for edge in edges:
        _edge(svg, at[edge["source"]], at[edge["target"]], edge, options["edges"])
    for node in nodes:
        _node(svg, *at[node["id"]], node, options["nodes"])


def _edge(svg, start, end, edge, options):
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1
    ux, uy = dx / length, dy / length
    x1, y1 = start[0] + ux * RADIUS, start[1] + uy * RADIUS
    x2, y2 = end[0] - ux * (RADIUS + 6), end[1] - uy * (RADIUS + 6)
    svg.line(x1, y1, x2, y2, stroke=edge["color"], stroke_width="1.5", stroke_dasharray=edge.get("strokedasharray") or None)
    left, right = (x2 - uy * 3.5, y2 + ux * 3.5), (x2 + uy * 3.5, y2 - ux * 3.5)
    tip = (x2 + ux * 6, y2 + uy * 6)
    svg.add(f'<path fill="{edge["color"]}" d="' + "".join(
        f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate((tip, left, right))) + 'z"/>')
    main, secondary = (units.number(round(edge[stat], 9)) + " " + options[f"{name}StatUnit"]
                       for stat, name in (("mainstat", "main"), ("secondarystat", "secondary")))
    x, y = start[0] + dx * 0.5, start[1] + dy * 0.5
    width = max(width_of(main, 10), width_of(secondary, 10)) + 6
    svg.rect(x - width / 2, y - 12, width, 24, fill="#fff", fill_opacity=".85")
    svg.text(x, y - 2, main, "mb")
    svg.text(x, y + 9, secondary, "mbd")


def _node(svg, x, y, node, options):
    svg.circle(x, y, RADIUS, fill="#fff")
    turn = -math.pi / 2
    for arc in options["arcs"]:
        share = node[arc["field"]]
        if share >= 0.9999:
            svg.circle(x, y, RADIUS, fill="none", stroke=arc["color"], stroke_width=4)
        elif share > 0:
            end = turn + share * 2 * math.pi
            (x1, y1), (x2, y2) = ((x + RADIUS * math.cos(a), y + RADIUS * math.sin(a)) for a in (turn, end))
            svg.add(f'<path fill="none" stroke="{arc["color"]}" stroke-width="4" d="M{x1:.1f} {y1:.1f}A{RADIUS} {RADIUS} 0 '
                    f'{1 if share > 0.5 else 0} 1 {x2:.1f} {y2:.1f}"/>')
            turn = end
    # The panel puts three digits into so little room.
    for i, (stat, name) in enumerate((("mainstat", "main"), ("secondarystat", "secondary"))):
        svg.text(x, y - 2 + 12 * i, units.number(round(node[stat], 9)) + " " + options[f"{name}StatUnit"], "mb")
    svg.text(x, y + RADIUS + 15, clipped(node["title"], 130, bold=True), "mt")
    svg.text(x, y + RADIUS + 27, node["subtitle"], "mbd")
