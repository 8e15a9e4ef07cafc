"""dashboards/grafana/src/catalogue.json: which metrics there are for dashboards to query, and their labels.

The file is written by hand where it says what a page need not show (rules, overflow); the rest can be had from a running
gateway:

    python metric_catalogue.py TEMPO_PAGE OTEL_PAGE

with two pages of /metrics?only=self,derived in OpenMetrics, of gateways with sinks and traffic. `differences` compares, for
tests.
"""

import json
import os
import re
import sys

from braid import CHECKOUT

PATH = os.path.join(CHECKOUT, "dashboards", "grafana", "src", "catalogue.json")

# Labels with values that Braid chooses from a fixed list. Of the others, anything may be in them.
CLOSED = ("signal", "outcome", "place", "reason", "result", "trigger", "what", "state", "side", "complete", "listener",
          "receiver", "mode", "span_kind", "status_code", "connection_type", "failed")

# What a page may lack, and queries may ask for.
MORE = {
    "tempo": {"traces_spanmetrics_calls_total": {"metric_overflow": ["true"]}},
    "otel": {"traces_span_metrics_calls_total": {"otel_metric_overflow": ["true"]}},
}
KINDS = [f"SPAN_KIND_{kind}" for kind in ("CLIENT", "CONSUMER", "INTERNAL", "PRODUCER", "SERVER", "UNSPECIFIED")]
STATUSES = [f"STATUS_CODE_{status}" for status in ("ERROR", "OK", "UNSET")]
CONNECTIONS = ["database", "messaging_system", "virtual_node"]


def describe(page):
    """{name: {"type", "labels": {label: [values], or null}}} of a page; histograms under their family's name."""
    found, kind = {}, {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind_name = line.split()
            kind[name] = kind_name
            continue
        if line.startswith("#"):
            continue
        sample, labels = re.match(r"(\w+)(?:\{(.*?)\} | )", line).groups()
        if sample.endswith("_created"):
            continue
        family = re.sub(r"_(total|bucket|sum|count)$", "", sample)
        if family not in kind:
            family = sample
        name = sample if kind[family] != "histogram" else family
        metric = found.setdefault(name, {"type": kind[family], "labels": {}})
        for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""):
            if label == "le":
                continue
            if label in CLOSED:
                values = metric["labels"].setdefault(label, [])
                if value not in values:
                    values.append(value)
            else:
                metric["labels"][label] = None
    for metric in found.values():
        for label, everything in (("span_kind", KINDS), ("status_code", STATUSES), ("connection_type", CONNECTIONS)):
            if label in metric["labels"]:
                metric["labels"][label] = list(everything)
        metric["labels"] = {label: values and sorted(values) for label, values in sorted(metric["labels"].items())}
    return dict(sorted(found.items()))


def split(described):
    """(self, derived)"""
    return tuple({name: metric for name, metric in described.items() if name.startswith("traces_") == derived}
                 for derived in (False, True))


def load():
    with open(PATH, encoding="utf-8") as file:
        return json.load(file)


def differences(page, dialect):
    """Where the catalogue says what a page of that dialect does not, in words. A page may show more."""
    catalogue = load()
    own, derived = split(describe(page))
    wrong = []
    for part, shown in (("self", own), (dialect, derived)):
        for name in sorted(catalogue[part]):
            listed, seen = catalogue[part][name], shown.get(name)
            if seen is None:
                wrong.append(f"{name} is in the catalogue and not on the page")
            elif listed["type"] != seen["type"]:
                wrong.append(f"{name} is a {seen['type']}, the catalogue says {listed['type']}")
            else:
                wrong += _labels(name, listed["labels"], seen["labels"], MORE.get(dialect, {}).get(name, {}))
    return wrong


def _labels(name, listed, seen, more):
    for label in sorted(listed.keys() | seen.keys()):
        if label not in seen:
            if label not in more:
                yield f"{name} has no label {label}"
        elif label not in listed:
            yield f"{name} has the label {label}, the catalogue does not know it"
        elif listed[label] is not None and not set(seen[label]) <= set(listed[label]):
            yield f"{name}: {label} has values that the catalogue does not know: {set(seen[label]) - set(listed[label])}"


def main(tempo_page, otel_page):
    old = load() if os.path.exists(PATH) else {}
    with open(tempo_page, encoding="utf-8") as file:
        own, tempo = split(describe(file.read()))
    with open(otel_page, encoding="utf-8") as file:
        _, otel = split(describe(file.read()))
    for dialect, metrics in (("tempo", tempo), ("otel", otel)):
        for name, labels in MORE[dialect].items():
            metrics[name]["labels"].update(labels)
    with open(PATH, "w", encoding="utf-8") as file:
        json.dump({"self": own, "tempo": tempo, "otel": otel, "rules": old.get("rules", {})}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
