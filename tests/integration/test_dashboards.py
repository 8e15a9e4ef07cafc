"""The Grafana dashboards with three minutes of demo traffic: every query of every panel, in both dialects, against a real
Prometheus, and what they show against what the demo says it did.

Grafana itself is not here. tests/support/dashboards.py fills variables in as it does, and node_graph.py puts the service
map's tables together as it does.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import time
from collections import defaultdict

import pytest

import metric_catalogue
import node_graph
from braid import BINARY, CHECKOUT, Braid, eventually
from dashboards import DIALECTS, View, load
from loki_receiver import LokiReceiver
from otlp_receiver import OtlpReceiver
from prometheus import Prometheus

SECONDS = 180
RATE = 20  # requests to the shop a second
OTEL_BOUNDS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000)  # ms
SERVED = ("SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")

# Queries that find nothing here, and why that is right.
EMPTY = {
    "braid-operations: Turned away by listeners: B": "nothing was turned away",
    "braid-operations: Lost and set aside: C": "nothing was dropped",
    "braid-operations: Spans beyond the limit by service: A": "there are fewer label sets than metrics.max_series",
    "braid-operations: Alerts on Braid: A": "Braid's own alerts are not evaluated here",
}
# What an alert does in three minutes depends on how the demo went.
MAY_BE_EMPTY = {"braid-slo: Alerts: A"}


class Scene:
    """A gateway with sinks, the demo's traffic, and a Prometheus that scrapes and evaluates the SLO rules."""

    def __init__(self, dialect, folder):
        self.dialect = dialect
        self.truth = None
        with contextlib.ExitStack() as stack:
            self.otlp = stack.enter_context(OtlpReceiver())
            self.loki = stack.enter_context(LokiReceiver())
            self.braid = stack.enter_context(Braid({"metrics": {"dialect": dialect}, "sinks": {
                "backend": {"type": "otlp_grpc", "endpoint": self.otlp.grpc_endpoint},
                "loki": {"type": "loki", "endpoint": self.loki.endpoint}}}))
            self.prometheus = stack.enter_context(
                Prometheus(folder / "prometheus", self.braid.web_address, rules=[self._rules(folder)])).scraping()
            self.demo = subprocess.Popen(
                [BINARY, "demo", "--endpoint", self.braid.grpc.removeprefix("http://"), "--rate", str(RATE), "--seed", "11",
                 "--duration", f"{SECONDS}s", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            stack.callback(self.demo.kill)
            self.start = time.time()
            self.stop = stack.pop_all().close

    def _rules(self, folder):
        """Those of the example's SLOs, evaluated more often than one would."""
        objectives = (pathlib.Path(CHECKOUT) / "config" / "examples" / "slo.yaml").read_text()
        if self.dialect == "otel":  # Thresholds are bounds of buckets, and those of the example are tempo's.
            objectives = re.sub(r"(?<=threshold: )(\d+)ms", lambda m: f"{min(OTEL_BOUNDS, key=lambda b: abs(b - int(m[1])))}ms",
                                objectives)
        mine = folder / "slo.yaml"
        mine.write_text(objectives)
        made = self.braid.run("rules", "export", "--only", "slo", "--slo", str(mine), "--dialect", self.dialect)
        assert made.returncode == 0, made.stderr
        path = folder / "slo-rules.yaml"
        path.write_text(re.sub(r"interval: \w+", "interval: 2s", made.stdout))
        return path

    def finish(self):
        """Waits for the demo's end, and until all of it has been scraped."""
        out, _ = self.demo.communicate(timeout=SECONDS + 60)
        self.truth = json.loads(out)
        calls = "traces_spanmetrics_calls_total" if self.dialect == "tempo" else "traces_span_metrics_calls_total"
        eventually(lambda: self.prometheus.value(f"sum({calls})") == self.truth["spans"], 30)
        # Calls that nothing answered become edges only after metrics.graph.wait.
        edges = 'sum(traces_service_graph_request_total{client!="user"})'
        eventually(lambda: self.prometheus.value(edges) == sum(edge["calls"] for edge in self.truth["edges"]), 60)
        self.end = time.time()

    def view(self, uid, **chosen):
        return View(load(self.dialect)[uid], self.prometheus, self.end, self.end - self.start, chosen or None)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    running = {}
    try:
        for dialect in DIALECTS:
            running[dialect] = Scene(dialect, tmp_path_factory.mktemp(dialect))
        for scene in running.values():
            scene.finish()
        yield running
    finally:
        for scene in running.values():
            scene.stop()


@pytest.fixture(params=DIALECTS)
def scene(request, scenes):
    return scenes[request.param]


def targets(scene, source):
    """(view, target) of every dashboard."""
    for uid in load(scene.dialect):
        view = scene.view(uid)
        for target in view.board.targets():
            if target.source == source:
                yield view, target


def close(value, truth, lost=12):
    """Prometheus misses what a counter had at its first scrape, and extrapolates half a scrape at both ends."""
    return abs(value - truth) <= lost + 0.03 * truth


def one(series, *labels):
    """{label values: last value}"""
    return {tuple(s["metric"].get(label, "") for label in labels): s["samples"][-1][1] for s in series}


def column(view, panel, header):
    """The result of a table's column."""
    (model,) = [p for p in view.board.panels() if p["title"] == panel]
    names = model["transformations"][-1]["options"]["renameByName"]
    (field,) = [name for name, shown in names.items() if shown == header]
    ref = field.removeprefix("Value").removeprefix(" #") or "A"
    (target,) = [t for t in view.board.targets() if t.panel == panel and t.ref == ref]
    return view.run(target)


# Scenario: Grafana opens each dashboard, with the last three minutes, and asks everything that is on it.
# Guarantees: every variable has something to choose; no query is refused; none is empty that is not listed as such with
# its reason, and none that is listed finds anything.
def test_every_query_finds_something(scene):
    empty = set()
    for view, target in targets(scene, "prometheus"):
        if not view.run(target):
            empty.add(str(target))
    assert empty - MAY_BE_EMPTY == EMPTY.keys()
    for uid in load(scene.dialect):
        for variable in scene.view(uid).variables.values():
            assert variable.options, (uid, variable.name)


# Scenario: the same for every service that there is, as one gets there by links.
# Guarantees: nothing is refused; what is empty is so because nobody calls the service, or it calls nobody, or has no
# complete traces.
def test_every_service(scene):
    edges = [(edge["client"], edge["server"]) for edge in scene.truth["edges"]]
    services = scene.view("braid-service").variables["service"].options
    assert set(services) == {operation["service"] for operation in scene.truth["operations"]}
    for service in services:
        view = scene.view("braid-service", service=service)
        for target in view.board.targets():
            if target.source != "prometheus" or view.run(target):
                continue
            assert target.panel in ("Callers", "Calls"), (service, str(target))
            mine = 1 if target.panel == "Callers" else 0
            assert not [edge for edge in edges if edge[mine] == service], (service, str(target))


# Scenario: the catalogue that the queries are checked against when they are generated.
# Guarantees: all of it is on the page, with those types, labels and values.
def test_catalogue_is_true(scene):
    assert metric_catalogue.differences(scene.braid.metrics(), scene.dialect) == []


# Scenario: rate, errors and duration of all services, over the whole time.
# Guarantees: counts, error ratios and rates are the demo's own; services without an error show 0, not nothing.
def test_services_against_truth(scene):
    label = {"tempo": "service", "otel": "service_name"}[scene.dialect]
    spans, errors, nanoseconds = defaultdict(int), defaultdict(int), defaultdict(int)
    for operation in scene.truth["operations"]:
        if operation["span_kind"] in SERVED:
            spans[operation["service"]] += operation["spans"]
            errors[operation["service"]] += operation["errors"]
            nanoseconds[operation["service"]] += operation["duration_ns"]
    view = scene.view("braid-services")
    panel = "Services over the time shown"
    counts = one(column(view, panel, "Requests"), label)
    rates = one(column(view, panel, "Rate"), label)
    ratios = one(column(view, panel, "Errors"), label)
    assert {service for service, in counts} == spans.keys() == {service for service, in ratios}
    for service, total in spans.items():
        assert close(counts[service,], total), (service, counts, total)
        assert rates[service,] == pytest.approx(counts[service,] / view.seconds, rel=1e-6)
        # The first error of each operation makes its series, so that there is no increase from 0 to 1.
        assert close(ratios[service,] * total, errors[service], 8), (service, ratios, errors[service] / total)
        if not errors[service]:
            assert ratios[service,] == 0
    worst = one(column(view, "Operations with most errors", "Failed"), label, "span_name")
    failed = {(o["service"], o["span_name"]): o["errors"] for o in scene.truth["operations"]
              if o["span_kind"] in SERVED and o["errors"]}
    assert worst and all(close(value, failed[operation], 3) for operation, value in worst.items()), (worst, failed)
    # A quantile lies between the bounds of its bucket; the mean of what is above p50 cannot be below it.
    for service in spans:
        p50, p95, p99 = (one(column(view, panel, header), label)[service,] for header in ("p50", "p95", "p99"))
        assert 0 < p50 <= p95 <= p99
        unit = {"tempo": 1e9, "otel": 1e6}[scene.dialect]
        assert p50 / 2 <= 2 * nanoseconds[service] / spans[service] / unit, (service, p50)


# Scenario: the service map's queries, put through its transformations.
# Guarantees: the panel gets one table of nodes and one of edges, with the columns that it looks for; edges, their rates and
# their failures are the demo's; every end is a node, databases are marked, and each ring is whole.
def test_map_against_truth(scene):
    view = scene.view("braid-map")
    (panel,) = [p for p in view.board.panels() if p["type"] == "nodeGraph"]
    frames = [node_graph.table(t.ref, view.run(t)) for t in view.board.targets() if t.panel_type == "nodeGraph"]
    nodes, edges = node_graph.graph(node_graph.transform(frames, panel["transformations"]))

    truth = {(edge["client"], edge["server"]): edge for edge in scene.truth["edges"]}
    shown = {(edge["source"], edge["target"]): edge for edge in edges}
    # Of the browsers that call the shop the demo does not speak.
    assert shown.keys() - truth.keys() == {("user", "frontend")} and truth.keys() <= shown.keys()
    for ends, edge in truth.items():
        assert close(shown[ends]["mainstat"] * view.seconds, edge["calls"]), (ends, shown[ends], edge)
        assert close(shown[ends]["secondarystat"] / 100 * edge["calls"], edge["failed"], 3), (ends, shown[ends], edge)
    assert len({edge["id"] for edge in edges}) == len(edges)
    colors = {ends: edge["color"] for ends, edge in shown.items()}
    for ends, edge in shown.items():
        expected = "242" if edge["secondarystat"] >= 5 else "255" if edge["secondarystat"] >= 1 else "115"
        assert colors[ends].startswith(f"rgb({expected},"), (ends, edge)

    by_id = {node["id"]: node for node in nodes}
    assert len(by_id) == len(nodes) and by_id.keys() == {end for ends in shown for end in ends}
    services = {operation["service"] for operation in scene.truth["operations"]}
    databases = {edge["server"] for edge in scene.truth["edges"] if edge["type"] == "database"}
    for name, node in by_id.items():
        assert node["title"] == name
        kind = "database" if name in databases else "service" if name in services else "no spans"
        assert node["subtitle"] == kind, node
        assert node["icon"] == {"database": "database", "no spans": "cloud"}.get(kind, ""), node
        assert node["arc__ok"] + node["arc__failed"] == pytest.approx(1) and node["mainstat"] > 0
        assert node["secondarystat"] > 0

    # The table below it says the same.
    counts = one(column(view, "Connections", "Requests"), "client", "server")
    assert counts.keys() == shown.keys()
    assert all(close(counts[ends], edge["calls"]) for ends, edge in truth.items())


# Scenario: the tables, put through their transformations.
# Guarantees: each shows its keys first, then its columns in their order, and no row twice.
def test_tables(scene):
    for uid in load(scene.dialect):
        view = scene.view(uid)
        for panel in view.board.panels():
            mine = [t for t in view.board.targets() if t.panel == panel["title"] and t.source == "prometheus"]
            if panel["type"] != "table" or not mine:
                continue
            frames = [node_graph.table(t.ref, view.run(t), only=len(mine) == 1) for t in mine]
            if not any(frame.length for frame in frames):
                continue
            (frame,) = node_graph.transform(frames, panel["transformations"])
            order = panel["transformations"][-1]["options"]["indexByName"]
            assert list(frame.fields) == [name for name in order if name in frame.fields], (uid, panel["title"])
            keys = [name for name in frame.fields if not name.startswith("Value")]
            rows = [tuple(row[key] for key in keys) for row in frame.rows()]
            assert len(set(rows)) == len(rows), (uid, panel["title"], rows)
            first = f"Value #{mine[0].ref}" if len(mine) > 1 else "Value"
            assert all(row[first] is not None for row in frame.rows()), (uid, panel["title"])


# Scenario: graphs and heatmaps that are drawn with exemplars.
# Guarantees: Prometheus has some for each, and Braid has the trace of each.
def test_exemplars_lead_to_traces(scene):
    seen = set()
    for view, target in targets(scene, "prometheus"):
        if not target.exemplar:
            continue
        found = [e["labels"]["trace_id"] for series in view.exemplars(target) for e in series["exemplars"]]
        assert found, target
        seen.update(found)
    assert len(seen) > 20
    # Newest first: what is shown now. Older ones gave way to others on the page, and may be gone from the store.
    page = scene.braid.metrics("derived")
    shown = set(re.findall(r'trace_id="([0-9a-f]{32})"', page)) & seen
    assert shown
    gone = [trace for trace in shown if scene.braid.trace(trace) is None]
    assert len(gone) <= 0.01 * len(shown), gone


def evaluate(logql, entries):
    """The one form of LogQL that is on the dashboards: a stream and a filter of its metadata."""
    match = re.fullmatch(r'\{(\w+)="([^"]*)"\} \| severity_number >= (\d+) or detected_level=~"([^"]*)"', logql)
    assert match, logql
    label, value, least, level = match.groups()
    return [entry for labels, entry in entries if labels.get(label) == value and (
        int(entry.metadata.get("severity_number", 0)) >= int(least)
        or re.fullmatch(level, entry.metadata.get("detected_level", "")))]


# Scenario: a service's error logs, asked of what Braid's Loki sink really stored (and Loki did not add a level to).
# Guarantees: it finds as many as the demo wrote with severity ERROR, each with a trace to go to.
def test_error_logs(scene):
    written = defaultdict(int)
    for row in scene.truth["logs_by_severity"]:
        if row["severity"] in ("ERROR", "FATAL"):
            written[row["service"]] += row["records"]
    assert written
    scene.loki.wait_for(scene.truth["logs"])
    for service in scene.view("braid-service").variables["service"].options:
        view = scene.view("braid-service", service=service)
        (target,) = [t for t in view.board.targets() if t.source == "loki"]
        found = evaluate(view.expand(target), scene.loki.entries())
        assert len(found) == written[service], service
        assert all(re.fullmatch("[0-9a-f]{32}", entry.metadata["trace_id"]) for entry in found)


# Scenario: the account on the Operations dashboard, after the traffic has ended.
# Guarantees: the columns add up, and Accepted is what the demo sent.
def test_account(scene):
    view = scene.view("braid-operations")
    names = ("Accepted", "Held", "Queued", "Delivered", "Dead-lettered", "Dropped", "Adds up")
    columns = {name: one(column(view, "Account by sink", name), "sink", "signal") for name in names}
    assert set(columns["Accepted"]) == {(sink, signal) for sink in ("braid", "backend") for signal in
                                        ("traces", "logs", "metrics")} | {("loki", "logs")}
    for key, accepted in columns["Accepted"].items():
        assert accepted == sum(columns[name][key] for name in names[1:-1]), key
        assert columns["Adds up"][key] == 1
    for sink, signal, truth in (("backend", "traces", "spans"), ("loki", "logs", "logs")):
        assert columns["Accepted"][sink, signal] == scene.truth[truth]


# Scenario: correlation quality of traffic in which nearly every log names its span, and all spans come.
# Guarantees: the ratios say so, and the delays are those of holds, not of the seconds in between.
def test_correlation_quality(scene):
    view = scene.view("braid-correlation")

    def last(panel):
        (target,) = [t for t in view.board.targets() if t.panel == panel]
        ((_, value),) = one(view.run(target)).items()
        return value

    assert last("Logs joined") > 0.99 and last("Traces complete") > 0.9
    assert 0 < last("Exemplars that found their trace") <= 1
    delays = [t for t in view.board.targets() if t.panel == "Join delay"]
    p50, p95, p99 = (max(value for _, value in view.run(t)[0]["samples"]) for t in delays)
    assert 0 <= p50 <= p95 <= p99 < 10


# Scenario: the SLO dashboard with the rules of the example's objectives for the demo's shop.
# Guarantees: each objective has its row; budgets follow from error ratios, and the burn rate of the shop's availability from
# the demo's own errors.
def test_slo_against_truth(scene):
    view = scene.view("braid-slo")
    objectives = one(column(view, "Objectives", "Objective"), "service", "slo")
    ratios = one(column(view, "Objectives", "Errors, 30 days"), "service", "slo")
    burns = one(column(view, "Objectives", "Burn, 1 hour"), "service", "slo")
    left = one(column(view, "Objectives", "Budget left"), "service", "slo")
    assert len(objectives) > 2 and objectives.keys() == ratios.keys() == burns.keys() == left.keys()
    for key, objective in objectives.items():
        assert left[key] == pytest.approx(1 - ratios[key] / (1 - objective), abs=0.02), key
    shop = ("frontend", "shop-availability")
    mine = [o for o in scene.truth["operations"] if o["service"] == "frontend" and o["span_kind"] in SERVED]
    total, failed = (sum(o[what] for o in mine) for what in ("spans", "errors"))
    assert close(burns[shop] * (1 - objectives[shop]) * total, failed, 8), (burns, objectives, failed / total)
