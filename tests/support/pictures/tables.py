"""Tables, single numbers, and lines of logs."""

import time

from pictures import units
from pictures.graphs import Box, spark
from pictures.svg import clipped, color, width_of

ROW = 18


def properties(panel, name):
    """The overrides of a field, {id: value}."""
    found = {}
    for override in panel["fieldConfig"].get("overrides", []):
        if override["matcher"]["options"] == name:
            found |= {entry["id"]: entry["value"] for entry in override["properties"]}
    return found


def step_color(steps, value):
    """The colour of the highest step at or below the value."""
    chosen = steps[0]["color"]
    for step in steps[1:]:
        if value >= step["value"]:
            chosen = step["color"]
    return color(chosen)


def mapped(mappings, value):
    """{"text", "color"} of a value that has a name, or {}."""
    for mapping in mappings or []:
        if mapping["type"] == "special":
            match = mapping["options"]["match"]
            if (match == "null+nan" and value is None) or (match == "empty" and value == ""):
                return mapping["options"]["result"]
        elif mapping["type"] == "range":
            if isinstance(value, float) and mapping["options"]["from"] <= value <= mapping["options"]["to"]:
                return mapping["options"]["result"]
        elif value is not None and not isinstance(value, str):
            return mapping["options"].get(f"{value:g}", {})
    return {}


def _cell(panel, header, value, now):
    """(text, colour or None)"""
    of = properties(panel, header)
    named = mapped(of.get("mappings"), value)
    if named:
        return named["text"], color(named["color"]) if "color" in named else None
    if isinstance(value, str):
        return value, None
    if value is None:
        return of.get("noValue", panel["fieldConfig"]["defaults"].get("noValue", "")), None
    paint = None
    if of.get("custom.cellOptions", {}).get("type") == "color-text" and "thresholds" in of:
        paint = step_color(of["thresholds"]["steps"], value)
    return units.text(value, of.get("unit", panel["fieldConfig"]["defaults"]["unit"]), of.get("decimals"), now), paint


def table(svg, box, frame, panel, now):
    """The table that the panel's transformations end with."""
    renamed = panel["transformations"][-1]["options"]["renameByName"]
    if frame is None or not frame.length:
        words = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        return svg.text(box.x + box.width / 2, box.y + box.height / 2, words, "dm")
    headers = [renamed[name] for name in frame.fields]
    rows = [[row[name] for name in frame.fields] for row in frame.rows()]
    for sort in reversed(panel["options"].get("sortBy", [])):
        at = headers.index(sort["displayName"])
        rows.sort(key=lambda row: (row[at] is not None, "" if row[at] is None else row[at]), reverse=sort["desc"])
    cells = [[_cell(panel, header, value, now) for header, value in zip(headers, row)] for row in rows]
    fit = int((box.height - ROW) // ROW)
    shown = cells if len(cells) <= fit else cells[:fit - 1]

    numbers = [name.startswith("Value") for name in frame.fields]
    wanted = [max([width_of(header, bold=True)] + [width_of(row[i][0]) for row in shown]) + 16 for i, header in enumerate(headers)]
    spare = (box.width - sum(wanted)) / len(wanted)
    if spare >= 0:
        widths = [width + spare for width in wanted]
    else:  # what is longest gives way
        widths = list(wanted)
        while sum(widths) > box.width:
            longest = widths.index(max(widths))
            widths[longest] -= min(4, sum(widths) - box.width + 0.01)
    x = box.x
    for i, (header, width) in enumerate(zip(headers, widths)):
        _put(svg, x, box.y + 12, width, header, "t", numbers[i])
        for at, row in enumerate(shown):
            words, paint = row[i]
            _put(svg, x, box.y + 12 + ROW * (at + 1), width, words, "", numbers[i], paint)
        x += width
    lines = "".join(f"M{box.x:.0f} {box.y + ROW * (i + 1) - 1:.0f}h{box.width:.0f}" for i in range(len(shown)))
    svg.add(f'<path class="g" d="{lines}"/>')
    if len(shown) < len(cells):
        svg.text(box.x, box.y + 12 + ROW * (len(shown) + 1), f"and {len(cells) - len(shown)} more", "d")
    return None


def _put(svg, x, y, width, words, kind, number, paint=None):
    words = clipped(words, width - 10, bold="t" in kind)
    svg.text(x + width - 8 if number else x, y, words, kind + ("e" if number else ""), style=f"fill:{paint}" if paint else None)


def single(svg, box, span, series, panel, now):
    """A stat: one value large, or several side by side."""
    options, defaults = panel["options"], panel["fieldConfig"]["defaults"]
    if not series:
        return svg.text(box.x + box.width / 2, box.y + box.height / 2 + 6, defaults.get("noValue", "No data"), "dm")
    width = box.width / len(series)
    for i, (name, points) in enumerate(series):
        at, value = Box(box.x + i * width, box.y, width, box.height), points[-1][1]
        named = mapped(defaults.get("mappings"), value)
        words = name if options["textMode"] == "name" else named.get("text") or units.text(
            value, defaults["unit"], defaults.get("decimals"), now)
        paint = color(named["color"]) if "color" in named else step_color(defaults["thresholds"]["steps"], value)
        if options["graphMode"] == "area" and len(points) > 1:
            spark(svg, Box(at.x + 4, at.y + at.height * 0.66, at.width - 8, at.height * 0.34 - 2), span, points, paint,
                  defaults.get("min"), defaults.get("max"))
        size = min(26, box.height * 0.5, 26 * (at.width - 16) / max(width_of(words, 26, True), 1))
        svg.text(at.x + at.width / 2, at.y + at.height * 0.3 + size * 0.36, words, "mt",
                 style=f"fill:{paint};font-size:{size:.0f}px")
    return None


def log_lines(svg, box, entries):
    """(time in s, text), latest first."""
    fit = int(box.height // 15)
    for i, (at, words) in enumerate(entries[:fit]):
        y = box.y + 11 + i * 15
        svg.rect(box.x, y - 9, 2, 12, fill=color("red"))
        stamp = time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}"
        svg.text(box.x + 8, y, stamp, "d")
        svg.text(box.x + 96, y, clipped(words, box.width - 104))


def words(svg, box, lines):
    for i, line in enumerate(lines):
        svg.text(box.x + box.width / 2, box.y + box.height / 2 + (i - len(lines) / 2 + 0.5) * 16 + 4, line, "dm")
