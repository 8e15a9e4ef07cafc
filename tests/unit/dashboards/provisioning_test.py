"""The provisioning files as Grafana reads them: parsed, environment variables filled in, data sources wired."""

import os
import re
import sys

import pytest
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(CHECKOUT, "tests", "support"))

from dashboards import load  # noqa: E402

PROVISIONING = os.path.join(CHECKOUT, "dashboards", "grafana", "provisioning")
SOURCES = {"tempo": os.path.join(PROVISIONING, "datasources", "braid.yaml"),
           "otel": os.path.join(PROVISIONING, "otel", "datasources", "braid.yaml")}
UIDS = {"prometheus": "braid-prometheus", "loki": "braid-loki", "tempo": "braid-tempo", "jaeger": "braid-jaeger"}


def environment(text, variables=()):
    """As Grafana fills a provisioning file's values in: $$ is $, and $NAME and ${NAME} are environment variables, empty
    where there are none."""
    known = dict(variables)
    parts = [re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda m: known.get(m[1] or m[2], ""), part) for part in text.split("$$")]
    return "$".join(parts)


def filled(value):
    if isinstance(value, str):
        return environment(value)
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return value


def read(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@pytest.fixture(params=["tempo", "otel"])
def sources(request):
    """{type: data source}, and the dialect."""
    document = filled(read(SOURCES[request.param]))
    assert document["apiVersion"] == 1
    found = {source["type"]: source for source in document["datasources"]}
    assert len(found) == len(document["datasources"]) == 4
    return found, request.param


# Scenario: Grafana reads the data sources.
# Guarantees: the four have the uids that others rely on, addresses of loopback only, and none claims to be the default,
# of which there may be one; every uid that one names is one of theirs.
def test_uids_resolve(sources):
    found, _ = sources
    assert {kind: source["uid"] for kind, source in found.items()} == UIDS
    assert len({source["name"] for source in found.values()}) == 4
    for source in found.values():
        assert source["url"].startswith("http://127.0.0.1:") and source["access"] == "proxy"
        assert not source.get("isDefault")

    def named(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "datasourceUid":
                    yield inner
                else:
                    yield from named(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from named(inner)

    names = [uid for source in found.values() for uid in named(source["jsonData"])]
    assert len(names) == 1 + 1 + 3 + 2 and set(names) <= set(UIDS.values())


# Scenario: a value has a reference of Grafana's own, as ${__value.raw}, and Grafana fills in environment variables first.
# Guarantees: all such references are still there afterwards, because every $ is doubled; what is not doubled would be lost.
def test_dollars_survive(sources):
    _, dialect = sources
    for text in strings(read(SOURCES[dialect])):
        assert "$" not in text.replace("$$", ""), text
    assert environment("$${__value.raw}") == "${__value.raw}"
    assert environment("${__value.raw}/$HOME", {"HOME": "x"}) == "${__value.raw}/x"  # No name: a dot is in it.
    assert environment("{$__tags}") == "{}"
    left = [text for source in sources[0].values() for text in strings(source["jsonData"]) if "$" in text]
    references = sorted({name for text in left for name in re.findall(r"\$\{?(__[\w.]+)", text)})
    assert references == ["__rate_interval", "__tags", "__trace.traceId", "__value.raw"]


# Scenario: an exemplar is clicked.
# Guarantees: the label is the one that Braid writes; it leads to Tempo, and to Braid's own API.
def test_exemplar_to_trace(sources):
    destinations = sources[0]["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert [one["name"] for one in destinations] == ["trace_id", "trace_id"]
    assert destinations[0]["datasourceUid"] == UIDS["tempo"] and "url" not in destinations[0]
    assert destinations[1]["url"] == "http://127.0.0.1:9464/api/v1/traces/${__value.raw}"
    assert all(one["urlDisplayLabel"] for one in destinations)


def metadata_keys():
    """What Braid's Loki sink may write beside a line: its own names, its stamps, and attributes as they came."""
    with open(os.path.join(CHECKOUT, "correlate", "model", "stamp.h"), encoding="utf-8") as file:
        stamps = re.findall(r'constexpr std::string_view k\w+ = "([\w.]+)"', file.read())
    assert "correlation.state" in stamps and len(stamps) > 10
    with open(os.path.join(CHECKOUT, "exporters", "encode", "loki.cc"), encoding="utf-8") as file:
        own = re.findall(r'metadata\.Add\("(\w+)"', file.read())
    assert {"trace_id", "span_id", "severity_number"} <= set(own)
    attributes = ["http.route", "exception.type", "db.collection.name", "parent.trace_id", "trace_id.upstream", "otel_trace_id",
                  "trace_ids", "dd.trace_id", "service.instance.id", "TRACE_ID", "trace-id", "traceid"]
    return [re.sub(r"\W", "_", key) for key in [*own, *stamps, *attributes]]


# Scenario: a log line has all the labels and metadata that Braid and senders may give it. Grafana looks for the derived
# field's expression anywhere in each of their names.
# Guarantees: it is found in trace_id alone, so no other value becomes a link; the link leads to Tempo, and to Braid.
def test_log_to_trace(sources):
    fields = sources[0]["loki"]["jsonData"]["derivedFields"]
    labels = ["service_name", "namespace", "environment", "cluster", "detected_level", *metadata_keys()]
    for one in fields:
        assert one["matcherType"] == "label"
        assert {label for label in labels if re.search(one["matcherRegex"], label)} == {"trace_id"}
    assert fields[0]["datasourceUid"] == UIDS["tempo"] and fields[0]["url"] == "${__value.raw}"
    assert fields[1]["url"].endswith("/api/v1/traces/${__value.raw}") and "datasourceUid" not in fields[1]
    assert len({one["name"] for one in fields}) == 2
    # Without its anchors the expression would find others: that is what they are for.
    assert len([label for label in labels if re.search("trace_id", label)]) > 3


# Scenario: a span of Tempo or Jaeger is opened.
# Guarantees: it leads to its trace's logs by the label and the metadata that the Loki sink writes, and to its service's
# metrics by the label that the dialect has.
@pytest.mark.parametrize("kind", ["tempo", "jaeger"])
def test_trace_to_logs_and_metrics(sources, kind):
    found, dialect = sources
    data = found[kind]["jsonData"]
    logs = data["tracesToLogsV2"]
    assert logs["datasourceUid"] == UIDS["loki"] and logs["customQuery"] is True
    assert logs["query"] == '{${__tags}} | trace_id="${__trace.traceId}"'
    assert logs["tags"] == [{"key": "service.name", "value": "service_name"}]
    metrics = data["tracesToMetrics"]
    label = {"tempo": "service", "otel": "service_name"}[dialect]
    assert metrics["datasourceUid"] == UIDS["prometheus"]
    assert metrics["tags"] == [{"key": "service.name", "value": label}]
    names = {"tempo": "traces_spanmetrics_", "otel": "traces_span_metrics_"}[dialect]
    assert len(metrics["queries"]) == 3
    for query in metrics["queries"]:
        assert query["name"] and names in query["query"] and "$__tags" in query["query"]
    assert data["nodeGraph"] == {"enabled": True}


# Guarantees: the Service Graph tab has its metrics, and search does not wait for a stream that is not there.
def test_tempo(sources):
    data = sources[0]["tempo"]["jsonData"]
    assert data["serviceMap"] == {"datasourceUid": UIDS["prometheus"]}
    assert data["streamingEnabled"] == {"search": False}


# Scenario: the two dialects' files side by side.
# Guarantees: they differ in what a trace leads to, and in nothing else.
def test_dialects_differ_in_metrics_only():
    tempo, otel = (read(SOURCES[dialect]) for dialect in ("tempo", "otel"))
    for document in (tempo, otel):
        for source in document["datasources"]:
            source["jsonData"].pop("tracesToMetrics", None)
    assert tempo == otel


# Scenario: Grafana reads the folder provider.
# Guarantees: one provider of files, with a folder and a path; it changes no dashboard; and the dashboards' data source
# variables are of types that the data sources have.
def test_folder_provider():
    document = filled(read(os.path.join(PROVISIONING, "dashboards", "braid.yaml")))
    (provider,) = document["providers"]
    assert document["apiVersion"] == 1 and provider["type"] == "file" and provider["folder"] == "Braid"
    assert provider["options"]["path"].startswith("/") and provider["allowUiUpdates"] is False
    for dialect in ("tempo", "otel"):
        wanted = {v["query"] for board in load(dialect).values() for v in board.variables() if v["type"] == "datasource"}
        assert wanted == {"prometheus", "loki", "tempo"} <= set(UIDS)
