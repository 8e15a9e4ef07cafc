"""A node graph, its nodes in layers from left to right. An edge across a layer has a place of its own in it, so that it goes
between the nodes."""

import math
from collections import defaultdict

from pictures import units
from pictures.graphs import Box
from pictures.svg import clipped, short, width_of

RADIUS = 31
ROUNDS = 8  # of putting each layer in order by its neighbours


def _layers(nodes, edges):
    """{id: layer}: each node right of all that call it, as far as calls go in no circle."""
    layer = {node["id"]: 0 for node in nodes}
    for _ in nodes:
        for edge in edges:
            if layer[edge["target"]] <= layer[edge["source"]] < len(nodes):
                layer[edge["target"]] = layer[edge["source"]] + 1
    return layer


def _places(nodes, edges):
    """({id: (layer, position from 0 to 1)}, {edge's id: the same of the places that it passes})"""
    layer = _layers(nodes, edges)
    columns, neighbours, passed = defaultdict(list), defaultdict(list), {}
    for node in nodes:
        columns[layer[node["id"]]].append(node["id"])
    for edge in edges:
        step = 1 if layer[edge["target"]] > layer[edge["source"]] else -1
        between = [(edge["id"], at) for at in range(layer[edge["source"]] + step, layer[edge["target"]], step)]
        passed[edge["id"]] = between
        for place in between:
            columns[place[1]].append(place)
        chain = [edge["source"], *between, edge["target"]]
        for one, next_ in zip(chain, chain[1:]):
            neighbours[one].append(next_)
            neighbours[next_].append(one)
    position = {}

    def settle(column):
        # A node takes twice the room of an edge that passes.
        sizes = [1.0 if isinstance(name, str) else 0.6 for name in column]
        at = 0.0
        for name, size in zip(column, sizes):
            position[name] = (at + size / 2) / sum(sizes)
            at += size

    for column in columns.values():
        column.sort(key=str)
        settle(column)
    for turn in range(ROUNDS):
        for index in sorted(columns, reverse=bool(turn % 2)):
            column = columns[index]
            column.sort(key=lambda name: (_mean([position[other] for other in neighbours[name]]), str(name)))
            settle(column)
    return ({name: (layer[name], position[name]) for name in layer},
            {edge: [(place[1], position[place]) for place in between] for edge, between in passed.items()})


def _mean(values):
    return sum(values) / len(values) if values else 0.5


def draw(svg, box, nodes, edges, panel):
    places, passed = _places(nodes, edges)
    inner = Box(box.x + 60, box.y + 4, box.width - 120, box.height - 28)
    columns = max(max(index for index, _ in places.values()), 1)

    def point(place):
        index, position = place
        return inner.x + inner.width * index / columns, inner.y + inner.height * position

    options, labels = panel["options"], []
    centres = [point(place) for place in places.values()]
    for edge in edges:
        line = [point(places[edge["source"]]), *map(point, passed[edge["id"]]), point(places[edge["target"]])]
        _line(svg, line, edge)
        labels.append((_free(line, centres, [at for at, _ in labels]), edge))
    for (x, y), edge in labels:
        main, secondary = (units.number(round(edge[stat], 9)) + " " + options["edges"][f"{name}StatUnit"]
                           for stat, name in (("mainstat", "main"), ("secondarystat", "secondary")))
        width = max(width_of(main, 10), width_of(secondary, 10)) + 4
        svg.rect(x - width / 2, y - 12, width, 24, fill="#fff", fill_opacity=".85")
        svg.text(x, y - 2, main, "mb")
        svg.text(x, y + 9, secondary, "mbd")
    for node in nodes:
        _node(svg, *point(places[node["id"]]), node, options["nodes"])


def _free(line, centres, labels):
    """A place on the line for its label, away from nodes and other labels."""
    def crowd(at):
        near_nodes = sum(max(0, RADIUS + 32 - math.dist(at, (x, y))) for x, y in centres)
        near_names = sum(max(0, 80 - abs(at[0] - x)) * max(0, 26 - abs(at[1] - y - RADIUS - 18)) for x, y in centres) / 20
        near_labels = sum(max(0, 84 - abs(at[0] - x)) * max(0, 28 - abs(at[1] - y)) for x, y in labels) / 20
        return near_nodes + near_names + near_labels

    candidates = []
    for (x1, y1), (x2, y2) in zip(line, line[1:]):
        candidates += [(abs(t - 10), (x1 + (x2 - x1) * t / 20, y1 + (y2 - y1) * t / 20)) for t in range(5, 16)]
    return min(candidates, key=lambda one: (round(crowd(one[1])), one[0]))[1]


def _line(svg, line, edge):
    def cut(start, end, by):
        length = math.dist(start, end) or 1
        return start[0] + (end[0] - start[0]) * by / length, start[1] + (end[1] - start[1]) * by / length

    first, last = cut(line[0], line[1], RADIUS), cut(line[-1], line[-2], RADIUS + 7)
    tip = cut(line[-1], line[-2], RADIUS + 1)
    path = f"M{short(first[0])} {short(first[1])}"
    for place, after in zip(line[1:-1], line[2:]):
        # Around the place instead of a corner in it.
        before_it, after_it = cut(place, first, 30), cut(place, after, 30)
        path += f"L{short(before_it[0])} {short(before_it[1])}Q{short(place[0])} {short(place[1])} {short(after_it[0])} {short(after_it[1])}"
        first = place
    path += f"L{short(last[0])} {short(last[1])}"
    dash = f' stroke-dasharray="{edge["strokedasharray"]}"' if edge.get("strokedasharray") else ""
    svg.add(f'<path class="l" stroke="{edge["color"]}"{dash} d="{path}"/>')
    ux, uy = (tip[0] - last[0]) / 6, (tip[1] - last[1]) / 6
    corners = (tip, (last[0] - uy * 3.5, last[1] + ux * 3.5), (last[0] + uy * 3.5, last[1] - ux * 3.5))
    svg.add(f'<path fill="{edge["color"]}" d="M' + "L".join(f"{short(x)} {short(y)}" for x, y in corners) + 'z"/>')


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
            svg.add(f'<path fill="none" stroke="{arc["color"]}" stroke-width="4" d="M{short(x1)} {short(y1)}A{RADIUS} {RADIUS} 0 '
                    f'{1 if share > 0.5 else 0} 1 {short(x2)} {short(y2)}"/>')
            turn = end
    for i, (stat, name) in enumerate((("mainstat", "main"), ("secondarystat", "secondary"))):
        svg.text(x, y - 2 + 12 * i, units.number(round(node[stat], 9)) + " " + options[f"{name}StatUnit"], "mb")
    svg.text(x, y + RADIUS + 14, clipped(node["title"], 130, bold=True), "mt")
    svg.text(x, y + RADIUS + 26, node["subtitle"], "mbd")
