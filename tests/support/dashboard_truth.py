"""Holds the numbers that dashboards show against those of the demo: counts, rates, error ratios, means, and quantiles, which have
to lie in the bucket in which the true quantile lies.

    comparison = Comparison(scene)
    comparison.services(); comparison.service("cart"); comparison.map(); comparison.objectives()
    comparison.wrong, comparison.looked_at

`change` is put to the text of each dashboard's JSON first: so a test can see that a fault would be found.
"""

import json
import math

import yaml

import node_graph
from dashboard_scene import OTEL_BOUNDS
from dashboards import Board
from demo_truth import Totals

KINDS = {"Requests": "count", "Rate": "rate", "Failed": "errors", "Errors": "ratio", "Mean": "mean", "p50": 0.5, "p95": 0.95,
         "p99": 0.99}
TEMPO_BOUNDS = tuple(2 << n for n in range(14))  # ms
GRAPH_BOUNDS = tuple(100 << n for n in range(8))
TOP = 10
SERVICES = "Services over the time shown"


def near(shown, true, least=0.0):
    """A counter that began late is extrapolated by up to two percent more than others."""
    return abs(shown - true) <= 0.02 * true + least


def one(series, *labels):
    """{label values: last value}"""
    return {tuple(s["metric"].get(label, "") for label in labels): s["samples"][-1][1] for s in series}


def column(view, panel, header):
    """The result of a table's column."""
    (model,) = [p for p in view.board.panels() if p["title"] == panel]
    names = model["transformations"][-1]["options"]["renameByName"]
    (field,) = [name for name, shown in names.items() if shown == header]
    ref = field.removeprefix("Value").removeprefix(" #") or "A"
    return view.run(target(view, panel, ref))


def columns(view, panel):
    """The headers of what a table's queries find."""
    (model,) = [p for p in view.board.panels() if p["title"] == panel]
    names = model["transformations"][-1]["options"]["renameByName"]
    return [shown for name, shown in names.items() if name.startswith("Value")]


def target(view, panel, ref="A"):
    (found,) = [t for t in view.board.targets() if t.panel == panel and t.ref == ref]
    return found


class Comparison:
    def __init__(self, scene, change=lambda text: text):
        self.scene = scene
        self.seen = scene.seen
        self.change = change
        self.wrong = []
        self.looked_at = 0
        tempo = scene.dialect == "tempo"
        self.label = "service" if tempo else "service_name"
        # (bounds in ms, milliseconds in the unit that is shown) of span metrics and of the service graph
        self.of_spans = (TEMPO_BOUNDS, 1000) if tempo else (OTEL_BOUNDS, 1)
        self.of_graph = (GRAPH_BOUNDS if tempo else OTEL_BOUNDS, 1000)

    def _view(self, kind, uid, **chosen):
        view = getattr(self.scene, kind)(uid, **chosen)
        board = view.board
        view.board = Board(board.uid, board.dialect, json.loads(self.change(json.dumps(board.model))))
        return view

    def _say(self, right, *where):
        self.looked_at += 1
        if not right:
            self.wrong.append(where)

    def value(self, where, kind, shown, true, seconds, buckets):
        """One number. `shown` is None where there is none."""
        if true.requests < 0.5:  # all of it was there at the first scrape
            return self._say(not shown, where, kind, shown, true)
        if shown is None:
            return self._say(False, where, kind, "absent", true)
        bounds, milliseconds = buckets
        if kind == "count":
            right = near(shown, true.requests, 0.3)
        elif kind == "rate":
            right = near(shown * seconds, true.requests, 0.3)
        elif kind == "errors":
            right = near(shown, true.errors, 0.3)
        elif kind == "failed rate":
            right = near(shown * seconds, true.errors, 0.3)
        elif kind == "answered rate":
            right = near(shown * seconds, true.requests - true.errors, 0.3)
        elif kind == "ratio":
            right = near(shown, true.error_ratio, 1e-9)
        elif kind == "mean":
            right = near(shown * milliseconds / 1000, true.mean)
        else:
            found = true.buckets_of(kind, bounds)
            at = shown * milliseconds
            right = any(low * (1 - 1e-9) <= at <= min(high, bounds[-1]) * (1 + 1e-9) for low, high in found)
            true = found
        return self._say(right, where, kind, shown, true)

    def _table(self, view, panel, keys, true, buckets, every=True):
        """All columns of a table with the labels `keys`. `every`: it has a row for each of `true`."""
        for header in columns(view, panel):
            if header not in KINDS:
                continue
            shown = one(column(view, panel, header), *keys)
            where = (view.board.uid, panel, header)
            self._say(shown.keys() <= true.keys(), where, "rows", shown.keys(), true.keys())
            for key in (true if every else shown):
                self.value((*where, key), KINDS[header], shown.get(key), true.get(key, Totals()), view.seconds, buckets)

    def _last(self, view, panel, ref="A", labels=()):
        """{label values: value at the very end} of a graph."""
        series = view.run(target(view, panel, ref))
        return {tuple(s["metric"].get(label, "") for label in labels): s["samples"][-1][1] for s in series
                if abs(s["samples"][-1][0] - view.end) < 1}

    def _graph(self, view, panel, kind, labels, true, buckets, ref="A", every=True):
        shown = self._last(view, panel, ref, labels)
        where = (view.board.uid, panel, ref)
        self._say(shown.keys() <= true.keys(), where, "series", shown.keys(), true.keys())
        for key in (true if every else shown):
            self.value((*where, key), kind, shown.get(key), true.get(key, Totals()), view.seconds, buckets)

    def _top(self, view, panel, header, keys, true, order):
        """That a table of the first ten has the first ten, by `order`, in whatever order among equals."""
        shown = one(column(view, panel, header), *keys)
        there = [key for key in true if order(true[key]) > 0]
        self._say(len(shown) == min(TOP, len(there)), panel, "rows", shown.keys())
        least = min((order(true[key]) for key in shown if key in true), default=0)
        left_out = [key for key in there if key not in shown and not order(true[key]) <= least * 1.02]
        self._say(not left_out, panel, "left out", left_out)

    def services(self):
        view, whole, spans = self._view("view", "braid-services"), self._view("whole", "braid-services"), self.of_spans
        each = self.seen.served("service")
        everything = self.seen.served()
        self._table(view, SERVICES, [self.label], each, spans)
        keys = [self.label, "span_name"]
        operations = self.seen.served("service", "span_name")
        for panel in ("Operations with most errors", "Slowest operations"):
            self._table(view, panel, keys, operations, spans, every=False)
        self._top(view, "Operations with most errors", "Failed", keys, operations, lambda t: t.errors)
        self._top(view, "Slowest operations", "p95", keys, operations,
                  lambda t: t.buckets_of(0.95, spans[0])[0][1] if t.requests > 0.5 else 0)

        (count,) = self._last(whole, "Services").values()
        self._say(count == len(each), "Services", count, each.keys())
        for panel, kind in (("Requests", "rate"), ("Errors", "ratio"), ("Median of all", 0.5), ("p95 of all", 0.95)):
            self._graph(whole, panel, kind, (), everything, spans)
        for panel, kind in (("Requests by service", "rate"), ("Error ratio by service", "ratio"), ("p50 of duration", 0.5),
                            ("p95 of duration", 0.95), ("p99 of duration", 0.99)):
            self._graph(whole, panel, kind, [self.label], each, spans)

    def service(self, name):
        uid, spans = "braid-service", self.of_spans
        view, whole = self._view("view", uid, service=name), self._view("whole", uid, service=name)
        self._table(view, "Operations", ["span_name"], self.seen.served("span_name", service=name), spans)
        self._table(view, "Callers", ["client", "connection_type"],
                    self.seen.calls("server", "client", "connection_type", server=name), self.of_graph)
        self._table(view, "Calls", ["server", "connection_type"],
                    self.seen.calls("client", "server", "connection_type", client=name), self.of_graph)
        everything = self.seen.served(service=name)
        for panel, kind, ref in (("Requests", "rate", "A"), ("Errors", "ratio", "A"), ("p95 of duration", 0.95, "A"),
                                 ("Requests by outcome", "answered rate", "A"), ("Requests by outcome", "failed rate", "B"),
                                 ("Error ratio", "ratio", "A"), ("Duration", 0.5, "A"), ("Duration", 0.95, "B"),
                                 ("Duration", 0.99, "C")):
            self._graph(whole, panel, kind, (), everything, spans, ref)
        cells = self._last(whole, "Durations", labels=["le"])
        self._say(len(cells) == len(spans[0]) + 1, uid, "Durations", cells)
        for (le,), shown in cells.items():
            bound = float(le) * spans[1]
            true = everything[()].requests if bound == math.inf else everything[()].at_most[round(bound)]
            self._say(near(shown * whole.seconds, true, 0.3), uid, "Durations", le, shown * whole.seconds, true)

    def map(self):
        """Also returns the tables of nodes and edges that the picture is made of."""
        view, whole = self._view("view", "braid-map"), self._view("whole", "braid-map")
        (panel,) = [p for p in view.board.panels() if p["type"] == "nodeGraph"]
        frames = [node_graph.table(t.ref, view.run(t)) for t in view.board.targets() if t.panel_type == "nodeGraph"]
        nodes, edges = node_graph.graph(node_graph.transform(frames, panel["transformations"]))
        milliseconds = (self.of_graph[0], 1)
        ends = self.seen.calls("server", "client", "server")
        shown = {(edge["source"], edge["target"]): edge for edge in edges}
        self._say(shown.keys() == ends.keys() and len(shown) == len(edges), "map", "edges", shown.keys(), ends.keys())
        for key, edge in shown.items():
            true = ends.get(key, Totals())
            self.value(("map", key), "rate", edge["mainstat"], true, view.seconds, milliseconds)
            self.value(("map", key), "ratio", edge["secondarystat"] / 100, true, view.seconds, milliseconds)
        answered, sent = self.seen.calls("server", "server"), self.seen.calls("client", "client")
        self._say({node["id"] for node in nodes} == {name for name, in answered | sent}, "map", "nodes", nodes)
        for node in nodes:
            true = answered.get((node["id"],)) or sent.get((node["id"],), Totals())
            where = ("map", node["id"])
            self.value(where, "rate", node["mainstat"], true, view.seconds, milliseconds)
            self.value(where, "mean", node["secondarystat"], true, view.seconds, milliseconds)
            self.value(where, "ratio", node["arc__failed"], true, view.seconds, milliseconds)
        self._table(view, "Connections", ["client", "server", "connection_type"],
                    self.seen.calls("server", "client", "server", "connection_type"), self.of_graph)
        self._graph(whole, "Busiest connections", "rate", ["client", "server"], ends, self.of_graph, every=False)
        failing = {key: true for key, true in ends.items() if true.errors >= 0.5}
        self._graph(whole, "Failures by connection", "failed rate", ["client", "server"], ends, self.of_graph, every=False)
        self._say(failing, "map", "nothing fails")
        return nodes, edges

    def objectives(self):
        """Burn rates over an hour, which is more than all of the time."""
        view = self._view("view", "braid-slo")
        burns = one(column(view, "Objectives", "Burn, 1 hour"), "service", "slo")
        expected = set()
        for slo in yaml.safe_load(self.scene.objectives)["slos"]:
            services, operations = ([one_] if isinstance(one_, str) else one_ for one_ in (slo["service"], slo.get("operation")))
            for service in services:
                expected.add((service, slo["name"]))
                true = Totals()
                for (name,), totals in self.seen.served("span_name", service=service).items():
                    if operations is None or name in operations:
                        true.add(totals)
                bad = true.errors
                if slo["indicator"] == "latency":
                    bad = true.requests - true.at_most[int(slo["threshold"].removesuffix("ms"))]
                shown = burns.get((service, slo["name"]), -1) * (1 - slo["objective"] / 100)
                self._say(near(shown, bad / true.requests, 1e-6), "slo", service, slo["name"], shown, bad, true.requests)
        self._say(burns.keys() == expected, "slo", "rows", burns.keys(), expected)
