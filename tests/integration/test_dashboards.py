"""The Grafana dashboards with three minutes of demo traffic: every query of every panel, in both dialects, against a real
Prometheus, and what they show against what the demo says it did.

Grafana itself is not here. tests/support/dashboards.py fills variables in as it does, and node_graph.py puts the service
map's tables together as it does.
"""

import re
from collections import defaultdict

import pytest

import metric_catalogue
import node_graph
from dashboard_scene import Scene
from dashboard_truth import Comparison, column, one
from dashboards import DIALECTS, load

SECONDS = 180
RATE = 20  # requests to the shop a second

# Queries that find nothing here, and why that is right.
EMPTY = {
    "braid-operations: Turned away by listeners: B": "nothing was turned away",
    "braid-operations: Lost and set aside: C": "nothing was dropped",
    "braid-operations: Spans beyond the limit by service: A": "there are fewer label sets than metrics.max_series",
    "braid-operations: Alerts on Braid: A": "Braid's own alerts are not evaluated here",
}
# What an alert does in three minutes depends on how the demo went.
MAY_BE_EMPTY = {"braid-slo: Alerts: A"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    running = {}
    try:
        for dialect in DIALECTS:
            running[dialect] = Scene(dialect, tmp_path_factory.mktemp(dialect), SECONDS, RATE)
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


# Scenario: rate, errors and duration of all services and of each, over the whole time, in tables, graphs and single numbers.
# Guarantees: counts, rates and error ratios are the demo's own, and 0 where nothing failed; each quantile lies in the bucket
# in which the true one lies; so do all cells of the heatmap; the tables of the worst have the worst.
def test_services_against_truth(scene):
    comparison = Comparison(scene)
    comparison.services()
    for service in scene.view("braid-service").variables["service"].options:
        comparison.service(service)
    assert comparison.wrong == []
    assert comparison.looked_at > 500


# Scenario: the service map's queries, put through its transformations.
# Guarantees: the panel gets one table of nodes and one of edges, with the columns that it looks for; edges, their rates and
# their failures are the demo's, and so are the times of nodes; every end is a node, databases are marked, and each ring is whole.
def test_map_against_truth(scene):
    comparison = Comparison(scene)
    nodes, edges = comparison.map()
    assert comparison.wrong == []
    shown = {(edge["source"], edge["target"]): edge for edge in edges}
    assert len({edge["id"] for edge in edges}) == len(edges)
    colors = {ends: edge["color"] for ends, edge in shown.items()}
    for ends, edge in shown.items():
        expected = "242" if edge["secondarystat"] >= 5 else "255" if edge["secondarystat"] >= 1 else "115"
        assert colors[ends].startswith(f"rgb({expected},"), (ends, edge)

    by_id = {node["id"]: node for node in nodes}
    assert len(by_id) == len(nodes)
    services = {operation["service"] for operation in scene.truth["operations"]}
    databases = {edge["server"] for edge in scene.truth["edges"] if edge["type"] == "database"}
    for name, node in by_id.items():
        assert node["title"] == name
        kind = "database" if name in databases else "service" if name in services else "no spans"
        assert node["subtitle"] == kind, node
        assert node["icon"] == {"database": "database", "no spans": "cloud"}.get(kind, ""), node
        assert node["arc__ok"] + node["arc__failed"] == pytest.approx(1) and node["mainstat"] > 0
        assert node["secondarystat"] > 0


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
    assert last("Exemplars that found their trace") > 0.9
    delays = [t for t in view.board.targets() if t.panel == "Join delay"]
    p50, p95, p99 = (max(value for _, value in view.run(t)[0]["samples"]) for t in delays)
    assert 0 <= p50 <= p95 <= p99 < 10


# Scenario: the SLO dashboard with the rules of the example's objectives for the demo's shop.
# Guarantees: each objective has its row; budgets follow from error ratios; burn rates are those of the demo's own errors and of
# its own durations above the threshold.
def test_slo_against_truth(scene):
    comparison = Comparison(scene)
    comparison.objectives()
    assert comparison.wrong == []
    view = scene.view("braid-slo")
    objectives, ratios, left = (one(column(view, "Objectives", header), "service", "slo")
                                for header in ("Objective", "Errors, 30 days", "Budget left"))
    assert len(objectives) > 2 and objectives.keys() == ratios.keys() == left.keys()
    for key, objective in objectives.items():
        assert left[key] == pytest.approx(1 - ratios[key] / (1 - objective), abs=0.02), key


FAULTS = {
    "buckets of operations, not added up": ("sum by (le", "max by (le"),
    "another quantile": ("histogram_quantile(0.95", "histogram_quantile(0.8"),
    "the client's time for the server's": ("_server_seconds", "_client_seconds"),
    "calls among requests": ("SPAN_KIND_(SERVER|CONSUMER)", "SPAN_KIND_(SERVER|CLIENT)"),
    "successes as errors": ("STATUS_CODE_ERROR", "STATUS_CODE_UNSET"),
    "a rate for a count": ("sum by (client, server, connection_type) (increase(", "sum by (client, server, connection_type) (rate("),
    "the least of ten": ("topk(10", "bottomk(3"),
    "an hour of another burn": ("error_ratio:rate1h", "error_ratio:rate30d"),
}


# Scenario: the same comparisons with a fault in the queries.
# Guarantees: each is found.
@pytest.mark.parametrize("fault", FAULTS)
def test_comparisons_find_faults(scene, fault):
    right, wrong = FAULTS[fault]
    seen = []

    def change(text):
        seen.append(right in text)
        return text.replace(right, wrong)

    comparison = Comparison(scene, change)
    comparison.services()
    comparison.service("frontend")
    comparison.map()
    comparison.objectives()
    assert any(seen)
    assert comparison.wrong
