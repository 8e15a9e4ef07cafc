"""What Grafana's node graph panel makes of a panel's transformations: the tables of nodes and edges, from the answers to its
queries. Does only the transformations that Braid's dashboards use, as Grafana does them."""

import re


class Frame:
    """A table: {field name: [value a row]}."""

    def __init__(self, ref, fields):
        self.ref = ref
        self.fields = fields

    @property
    def length(self):
        return len(next(iter(self.fields.values()), []))

    def rows(self):
        return [{name: values[i] for name, values in self.fields.items()} for i in range(self.length)]


def table(ref, result, only=False):
    """The answer to an instant query in the format `table`. The value's field is called after the query, unless it is the
    only one of its panel."""
    labels = sorted({label for series in result for label in series["metric"]})
    fields = {"Time": [series["samples"][-1][0] for series in result]}
    for label in labels:
        fields[label] = [series["metric"].get(label, "") for series in result]
    fields["Value" if only else f"Value #{ref}"] = [series["samples"][-1][1] for series in result]
    return Frame(ref, fields)


def transform(frames, transformations):
    for one in transformations:
        matches = _matcher(one.get("filter"))
        chosen = [frame for frame in frames if matches(frame)]
        others = [frame for frame in frames if not matches(frame)]
        frames = _TRANSFORMATIONS[one["id"]](chosen, one["options"]) + others
    return frames


def _matcher(only):
    if only is None:
        return lambda frame: True
    assert only["id"] == "byRefId", only
    pattern = only["options"]
    regex = pattern[1:-1] if pattern.startswith("/") else f"^(?:{pattern})$"
    return lambda frame: frame.ref is not None and re.search(regex, frame.ref) is not None


def _calculate(frames, options):
    assert options["mode"] == "reduceRow" and options["reduce"]["reducer"] == "sum", options
    made = []
    for frame in frames:
        include = [name for name in options["reduce"]["include"] if name in frame.fields]
        if not include:
            made.append(frame)
            continue
        values = [sum(frame.fields[name][i] for name in include) for i in range(frame.length)]
        made.append(Frame(frame.ref, {**frame.fields, options["alias"]: values}))
    return made


def _filter_names(frames, options):
    names = options["include"]["names"]
    kept = [Frame(f.ref, {name: values for name, values in f.fields.items() if name in names}) for f in frames]
    return [frame for frame in kept if frame.fields]


def _merge(frames, _):
    if len(frames) < 2:
        return frames
    fields = list(dict.fromkeys(name for frame in frames for name in frame.fields))
    keys = [name for name in fields if all(name in frame.fields for frame in frames)]
    if not keys:
        return frames
    merged = []  # rows in the order they came
    for frame in frames:
        for row in frame.rows():
            for other in merged:
                if all(other.get(name) == row[name] for name in keys) and \
                        all(name not in other or other[name] == value for name, value in row.items()):
                    other.update(row)
                    break
            else:
                merged.append(dict(row))
    return [Frame(None, {name: [row.get(name) for row in merged] for name in fields})]


def _organize(frames, options):
    """Renames what is displayed, and not the fields: so only their order and absence count here."""
    order = options["indexByName"]
    kept = []
    for frame in frames:
        names = [name for name in frame.fields if not options["excludeByName"].get(name)]
        kept.append(Frame(frame.ref, {name: frame.fields[name] for name in sorted(names, key=lambda n: order.get(n, 99))}))
    return kept


_TRANSFORMATIONS = {"calculateField": _calculate, "filterFieldsByName": _filter_names, "merge": _merge,
                    "organize": _organize}


def graph(frames):
    """(nodes, edges) as rows, told apart as the panel does it; it fails as the panel fails."""
    frames = [frame for frame in frames if "id" in frame.fields]
    edges = [frame for frame in frames if "source" in frame.fields]
    nodes = [frame for frame in frames if "source" not in frame.fields]
    assert len(nodes) == 1 and len(edges) == 1, [(frame.ref, list(frame.fields)) for frame in frames]
    known = set(nodes[0].fields["id"])
    for row in edges[0].rows():
        assert row["source"] in known and row["target"] in known, row
    return nodes[0].rows(), edges[0].rows()
