"""The metrics derived from spans, held against an oracle that was written apart from them (support/derived_oracle.py).

For each configuration two gateways get the same spans, one over HTTP with two cores and one over gRPC with one core, in
different orders, cut into different requests, with repeated spans and requests. Both must show just what the oracle says,
in every format, and the same as each other to the last bit.
"""

import concurrent.futures
import http.client
import random
import time
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import derived_corpus as corpus
import prometheus_pages as pages
from braid import Braid, check_account, merged
from derived_oracle import OTEL, TEMPO, Config, Histogram, derive, edges, seconds

# Configurations that wait for their implementation: {name: what is missing}. Empty when all is there.
PENDING = {}

SEED = 1
# Seconds. What is sent as one has to arrive well within both, or it is tried again with longer ones.
SETTLE, WAIT = 1.2, 1.6

GRAPH_OFF = {"enabled": False}
CONFIGURATIONS = {
    # name: metrics
    "tempo": {},
    "otel": {"dialect": "otel"},
    "both": {"dialect": "both"},
    "native": {"dialect": "both", "histograms": "native", "graph": {"messaging_latency": True}},
    "native_otel": {"dialect": "otel", "histograms": "native"},
    "classic_and_native": {"dialect": "otel", "histograms": "both", "graph": {"messaging_latency": True}},
    "calls_off": {"calls": False, "self_time": False, "exemplars": False},
    "latency_off": {"latency": False, "graph": GRAPH_OFF},
    "size_off": {"size": False, "dialect": "both"},
    "dimensions": {"dimensions": corpus.DIMENSIONS, "mappings": corpus.MAPPINGS, "status_message": True},
    "dimensions_otel": {
        "dialect": "otel",
        "dimensions": corpus.DIMENSIONS,
        "mappings": corpus.MAPPINGS,
        "status_message": True,
    },
    "dimensions_both": {
        "dialect": "both",
        "dimensions": corpus.DIMENSIONS,
        "mappings": corpus.MAPPINGS,
        "target_info": True,
        "graph": GRAPH_OFF,
    },
    "errors_5xx": {"errors": ["status", "http_5xx"]},
    "errors_all": {"dialect": "otel", "errors": ["status", "http_5xx", "http_4xx", "grpc"], "exceptions": True},
    "errors_grpc": {"errors": ["grpc", "status"], "events": True},
    "events": {
        "dialect": "both",
        "events": True,
        "exceptions": True,
        "dimensions": ["http.request.method"],
        "graph": GRAPH_OFF,
    },
    "events_told": {
        "dimensions": corpus.DIMENSIONS,
        "mappings": corpus.MAPPINGS,
        "status_message": True,
        "events": True,
        "exceptions": True,
        "exception_message": True,
        "target_info": True,
        "graph": GRAPH_OFF,
    },
    "ratio": {
        "sampling": {"ratio_attribute": corpus.RATIO},
        "histograms": "both",
        "events": True,
        "dimensions": [corpus.RATIO],
    },
    "dimension_maps": {
        "dialect": "both",
        "dimensions": [
            {"name": "http.request.method", "default": "none", "label": "verb"},
            {"name": "deployment.environment.name", "default": "nowhere"},
            {"name": "zone", "default": "no zone"},
            {"name": "typed", "label": "span_name"},
            {"name": "not.there", "default": "default"},
            {"name": "service", "default": "no attribute"},
            "2nd",
        ],
        "events": True,
        "exceptions": True,
        "graph": GRAPH_OFF,
    },
    "exclude_labels": {
        "exclude_labels": ["span_kind", "status_code"],
        "dimensions": ["http.request.method"],
        "errors": ["status", "http_5xx", "grpc"],
        "events": True,
        "exceptions": True,
    },
    "exclude_labels_otel": {
        "dialect": "otel",
        "histograms": "both",
        "exclude_labels": ["service", "span_name"],
        "sampling": {"ratio_attribute": corpus.RATIO},
    },
    "target_info": {"target_info": True, "graph": {"connection_info": True}},
    "graph_options": {
        "graph": {
            "virtual_node_label": True,
            "messaging_latency": True,
            "connection_info": True,
            "dimensions": ["service.instance.id", "host_name", "zone", "host.name", "messaging.system"],
        }
    },
    "graph_options_otel": {
        "dialect": "otel",
        "graph": {
            "virtual_node_label": True,
            "messaging_latency": True,
            "connection_info": True,
            "dimensions": ["service.instance.id", "deployment.environment.name"],
        },
    },
    "graph_attributes": {
        "graph": {
            "peer_attributes": ["messaging.destination.name", "service.peer.name"],
            "database_attributes": ["db.system.name"],
        }
    },
    "broker_nodes": {
        "graph": {
            "broker_nodes": True,
            "virtual_node_label": True,
            "messaging_latency": True,
            "connection_info": True,
            "dimensions": ["service.instance.id", "host.name"],
        }
    },
    "broker_nodes_otel": {
        "dialect": "otel",
        "errors": ["status", "http_5xx", "http_4xx", "grpc"],
        "graph": {"broker_nodes": True},
    },
    "include": {
        "include": [
            {"kind": "server", "service": "^(shop|timed)$"},
            {"attribute": "http.request.method", "matches": "^P"},
            {"resource": "deployment.environment.name", "matches": "prod"},
            {"status": "error"},
        ],
    },
    "exclude": {
        "include": [{"kind": "server"}, {"kind": "client"}],
        "exclude": [
            {"span_name": "^kind|edge", "status": "error"},
            {"service": "^cart$"},
            {"attribute": "typed", "matches": "e"},
        ],
    },
    "names_dry_run": {"names": "dry_run", "graph": GRAPH_OFF},
    "everything": {
        "dialect": "both",
        "histograms": "both",
        "dimensions": corpus.DIMENSIONS,
        "mappings": corpus.MAPPINGS,
        "status_message": True,
        "target_info": True,
        "events": True,
        "exceptions": True,
        "exception_message": True,
        "sampling": {"ratio_attribute": corpus.RATIO},
        "errors": ["status", "http_5xx", "http_4xx", "grpc"],
        "graph": {
            "virtual_node_label": True,
            "messaging_latency": True,
            "connection_info": True,
            "dimensions": ["host.name"],
        },
    },
}


def needs(name):
    if name in PENDING:
        pytest.skip(f"waits for {PENDING[name]}")


# --- sending ---


class TooSlow(Exception):
    """The machine took so long that what was sent as one did not arrive as one."""


def send_http(gateway, requests):
    connection = http.client.HTTPConnection(gateway.http.removeprefix("http://"), timeout=30)
    try:
        for body, refused in requests:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, (answer.status, said)
            rejected = ExportTraceServiceResponse.FromString(said).partial_success.rejected_spans
            assert rejected == refused, (rejected, refused)
    finally:
        connection.close()


def send_grpc(gateway, requests):
    with grpc.insecure_channel(gateway.grpc.removeprefix("http://")) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                                     response_deserializer=ExportTraceServiceResponse.FromString)
        for body, refused in requests:
            rejected = export(body, timeout=30).partial_success.rejected_spans
            assert rejected == refused, (rejected, refused)


# (how it is sent, cores, seed of the order): what must make no difference.
REPLICAS = ((send_http, 2, "first order"), (send_grpc, 1, "second order"))


# --- comparing ---


def close(a, b):
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def show(key):
    name, labels = key
    return name + "{" + ", ".join(f"{k}={str(v)[:60]!r}" for k, v in sorted(labels)) + "}"


def differences(expected, found):
    """Both ways between two of {(sample, labels): number}."""
    lines = []
    for key in expected.keys() | found.keys():
        want, have = expected.get(key), found.get(key)
        if want is None:
            lines.append(f"extra    {show(key)} = {have}")
        elif have is None:
            lines.append(f"missing  {show(key)} = {want}")
        elif not close(want, have):
            lines.append(f"wrong    {show(key)} = {have!r}, should be {want!r}")
    return sorted(lines)


def native_differences(output, natives):
    """The same for native histograms: exact buckets at whatever resolution was right."""
    lines, left = [], dict(natives)
    for name, (kind, series) in output.families.items():
        for labels, histogram in series.items() if kind == "histogram" else ():
            have = left.pop((name, labels), None)
            where = show((name, labels))
            if have is None:
                lines.append(f"missing  native {where}")
                continue
            if have.schema not in histogram.native_schemas():
                lines.append(f"schema   {where}: {have.schema}, should be in {histogram.native_schemas()}")
            zeros, buckets = histogram.native(have.schema)
            if have.negative or not close(float(zeros), have.zero_count) or not 0 <= have.zero_threshold < 1e-9:
                lines.append(
                    f"zeros    {where}: {have.zero_count} up to {have.zero_threshold}, {have.negative}, should be {float(zeros)}"
                )
            if buckets.keys() != have.buckets.keys() or not all(close(float(n), have.buckets[i]) for i, n in buckets.items()):
                lines.append(
                    f"buckets  {where}: {have.buckets}, should be {({i: float(n) for i, n in sorted(buckets.items())})}"
                )
            if not close(float(histogram.count), have.count) or not close(float(histogram.sum), have.sum):
                lines.append(
                    f"totals   {where}: {have.count}, {have.sum}, should be {float(histogram.count)}, {float(histogram.sum)}"
                )
    return lines + [f"extra    native {show(key)}" for key in left]


def report(lines):
    return "\n".join([f"{len(lines)} differences"] + lines[:30])


def settled(gateway, want, until):
    """Waits until the page shows the samples `want`; the last differences otherwise."""
    lines, seen = ["no page"], None
    while True:
        body = pages.fetch(gateway, "text")
        if body != seen:
            seen, lines = body, differences(want, pages.read_text(body).samples)
        if not lines or time.monotonic() > until:
            return lines
        time.sleep(0.15)


def check_pages(gateway, expected, want, histograms):
    """All three formats against the oracle's families and samples."""
    for form in ("text", "openmetrics"):
        page = pages.read(gateway, form)
        assert not (lines := differences(want, page.samples)), f"{form}: {report(lines)}"
    page = pages.read(gateway, "protobuf")
    classic = {} if histograms == "native" else want
    if histograms == "native":
        classic = {key: value for key, value in want.items() if key[0] in expected.families}
    assert not (lines := differences(classic, page.samples)), f"protobuf: {report(lines)}"
    types = {name: kind for name, (kind, _) in expected.families.items()}
    assert page.types == types, (page.types, types)
    if histograms != "classic":
        assert not (lines := native_differences(expected, page.natives)), f"native: {report(lines)}"
    else:
        assert not page.natives


@dataclass
class Run:
    gateways: list = field(default_factory=list)
    config: Config = None
    want: dict = None  # The samples that text has to show now.


def feed(run, phases, deadline):
    """Gives each replica every phase in its own order; a phase begins when the one before has had its effect. Asserts that
    each phase's effect is what the oracle says, and returns what it says of all."""
    arrived, clock = [], 0.0
    for number, phase in enumerate(phases):
        for span in phase:
            span.arrival = clock
        arrived += phase
        expected = derive(arrived, run.config)
        run.want = expected.samples(run.config.histograms)

        def one(replica):
            gateway, (send, _, seed) = replica
            requests = corpus.requests(phase, f"{seed} {number}")
            began = time.monotonic()
            send(gateway, requests)
            if time.monotonic() - began > deadline:
                raise TooSlow(f"{len(requests)} requests took {time.monotonic() - began:.1f} s")
            until = time.monotonic() + 3 * deadline + 8
            return settled(gateway, run.want, until)

        with concurrent.futures.ThreadPoolExecutor(len(run.gateways)) as pool:
            for lines in pool.map(one, zip(run.gateways, REPLICAS)):
                assert not lines, report(lines)
        clock += 1000
    return expected


def gateway_config(metrics, cores, settle, wait):
    return {"threads": {"cores": cores}, "memory": {"budget": "128MiB"},
            "correlate": {"settle": f"{round(settle * 1000)}ms"},
            "metrics": merged({"graph": {"wait": f"{round(wait * 1000)}ms"}}, metrics)}


def with_replicas(metrics, phases, check):
    """Feeds fresh replicas and hands check(run, expected) the result. Tried again, more slowly, where the machine could
    not keep up: the oracle needs to know what arrived together."""
    for factor in (1, 4, 16):
        settle, wait = SETTLE * factor, WAIT * factor
        configs = [gateway_config(metrics, cores, settle, wait) for _, cores, _ in REPLICAS]
        run, done = Run(config=Config(configs[0]["metrics"], settle)), False
        try:
            for config in configs:
                run.gateways.append(Braid(config))
            check(run, feed(run, phases, 0.7 * settle))
            for gateway in run.gateways:
                assert check_account(gateway.status()) > 0
            done = True
        except TooSlow as slow:
            print(slow)
        finally:
            codes = [gateway.stop() for gateway in run.gateways]
        assert codes == [0] * len(codes), codes
        if done:
            return
    pytest.fail("the machine is too slow to send this at once")


@lru_cache
def whole_corpus():
    return corpus.measure(corpus.everything(SEED, time.time_ns()))


def plain_lines(gateway):
    """The sample lines of the text page: without order, comments, and the time-dependent OpenMetrics extras."""
    return sorted(line for line in pages.fetch(gateway, "text").splitlines() if line and not line.startswith(b"#"))


def check_both(run, expected):
    first, second = run.gateways
    check_pages(first, expected, run.want, run.config.histograms)
    assert plain_lines(first) == plain_lines(second)
    assert pages.read(first, "protobuf").natives == pages.read(second, "protobuf").natives


# --- tests ---


# Scenario: two thousand spans of every kind (derived_corpus.everything) go to two gateways, in two orders.
# Guarantees: every series of every family, and nothing else, is on the page of each with the oracle's value, in text,
# OpenMetrics and protobuf; both pages are equal bit for bit; broken spans are refused alone.
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_equals_oracle(name):
    needs(name)
    with_replicas(CONFIGURATIONS[name], [whole_corpus()], check_both)


# Scenario: children, parents and missing links of traces come after `graph.wait` and the verdict, and everything that
# came before comes again with them.
# Guarantees: a virtual edge is not taken back or doubled, a client that was answered in time gets its later answers too,
# a client that comes after its server is matched, self time is not counted for what was incomplete, repeats change nothing.
@pytest.mark.parametrize("dialect, brokers", [("tempo", False), ("otel", False), ("tempo", True)])
def test_late(dialect, brokers):
    needs("late")
    early, tardy = corpus.late(SEED, time.time_ns())
    corpus.measure(early + tardy)
    def check(run, expected):
        check_both(run, expected)
        for gateway, (send, _, seed) in zip(run.gateways, REPLICAS):
            send(gateway, corpus.requests(early + tardy, seed + " again"))
        time.sleep(run.config.settle + seconds(run.config.graph["wait"]) + 1.5)  # That nothing happens has no sign.
        check_both(run, expected)

    graph = {"virtual_node_label": True, "broker_nodes": brokers, "messaging_latency": brokers}
    with_replicas({"dialect": dialect, "graph": graph}, [early, tardy], check)


def read_totals(samples, name, by):
    totals = {}
    for (sample, labels), value in samples.items():
        if sample == name:
            have = dict(labels)
            key = tuple(have.get(label, "") for label in by)
            totals[key] = totals.get(key, 0) + value
    return totals


def check_totals(page, expected, dialect, names):
    """Sums by what overflow has to keep."""
    by = (dialect.service, "span_kind", "status_code")
    for name in names:
        family = name.removesuffix("_count")
        want, have = expected.totals(family, by), read_totals(page.samples, name, by)
        assert want.keys() == have.keys(), (name, want.keys() ^ have.keys())
        for key, value in want.items():
            assert close(float(value), have[key]), (name, key, float(value), have[key])


# Scenario: many more label sets than max_series, in both dialects, with dimensions that multiply them.
# Guarantees: no more than max_series are shown by name; the rest is in overflow series that keep service, kind and
# status and nothing else; the sums by those are exact for calls, latency and size, whatever overflowed.
@pytest.mark.parametrize("dialect", [TEMPO, OTEL], ids=lambda d: d.name)
def test_overflow(dialect):
    needs("overflow")
    limit = 60
    metrics = {"dialect": dialect.name, "max_series": limit, "graph": GRAPH_OFF, "self_time": False,
               "dimensions": ["http.request.method", "typed"]}
    config = Config(metrics)
    spans = whole_corpus()
    expected = derive(spans, config)
    calls, size = dialect.prefix + "_calls_total", dialect.prefix + "_size_total"
    assert len(expected.families[calls][1]) > 3 * limit

    gateways = [Braid(gateway_config(metrics, cores, SETTLE, WAIT)) for _, cores, _ in REPLICAS]
    try:
        for gateway, (send, _, seed) in zip(gateways, REPLICAS):
            send(gateway, corpus.requests(spans, seed))
        want = float(sum(expected.families[calls][1].values()))
        for gateway in gateways:
            until = time.monotonic() + 15
            while True:
                page = pages.read(gateway, "text")
                have = sum(value for (name, _), value in page.samples.items() if name == calls)
                if close(want, have) or time.monotonic() > until:
                    break
                time.sleep(0.1)
            for form in pages.READERS:
                page = pages.read(gateway, form)
                check_totals(page, expected, dialect, [calls, size, dialect.latency + "_count"])
                named, overflown = [], []
                for name, labels in page.samples:
                    if name == calls:
                        (overflown if (dialect.overflow, "true") in labels else named).append(labels)
                assert len(named) <= limit and overflown
                for labels in overflown:
                    assert {k for k, _ in labels} <= {dialect.service, "span_kind", "status_code", dialect.overflow}, labels
                for labels in named:
                    assert labels in expected.families[calls][1], labels
                    assert page.samples[calls, labels] <= float(expected.families[calls][1][labels]) * (1 + 1e-9)
    finally:
        assert [gateway.stop() for gateway in gateways] == [0, 0]


# Scenario: span names are templated.
# Guarantees: whatever the names become, no call is lost and none moves to another service, kind or status.
def test_templates_conserve():
    needs("templates")
    metrics = {"names": "templates", "graph": GRAPH_OFF, "self_time": False}
    spans = whole_corpus()
    expected = derive(spans, Config(metrics))
    with Braid(gateway_config(metrics, 2, SETTLE, WAIT)) as gateway:
        send_http(gateway, corpus.requests(spans, "templates"))
        until = time.monotonic() + 15
        while True:
            page = pages.read(gateway, "text")
            have = sum(value for (name, _), value in page.samples.items() if name == "traces_spanmetrics_calls_total")
            want = sum(expected.families["traces_spanmetrics_calls_total"][1].values())
            if close(float(want), have) or time.monotonic() > until:
                break
            time.sleep(0.1)
        check_totals(page, expected, TEMPO, ["traces_spanmetrics_calls_total", "traces_spanmetrics_size_total",
                                             "traces_spanmetrics_latency_count"])


# Scenario: a consistent sampler keeps spans with p = 0.75, 0.4, 0.382, 0.1 and 0.01, with and without rv.
# Guarantees: each counter is the sum of 1/p over the spans kept, to 1e-9, and within three standard errors of what was
# offered; classic and native histograms count the same; replicas agree bit for bit.
def test_sampling_weights():
    needs("weights")
    offered = 4000
    groups = corpus.sampled(SEED, time.time_ns(), offered)
    spans = corpus.measure([span for _, kept in groups for span in kept])

    def check(run, expected):
        check_both(run, expected)
        page = pages.read(run.gateways[0], "protobuf")
        for probability, kept in groups:
            (have,) = [value for (name, labels), value in page.samples.items()
                       if name == "traces_spanmetrics_calls_total" and ("span_name", f"p={probability}") in labels]
            exact = Fraction(2**56, 2**56 - corpus.threshold(probability))
            assert close(have, float(exact * len(kept)))
            assert close(have, len(kept) / probability)
            error = ((1 - probability) / (probability * offered)) ** 0.5
            assert abs(have / offered - 1) <= 3 * error, (probability, have, offered, error)
            (native,) = [native for (name, labels), native in page.natives.items()
                         if name == "traces_spanmetrics_latency" and ("span_name", f"p={probability}") in labels]
            assert close(native.count, have) and close(native.zero_count + sum(native.buckets.values()), have)

    with_replicas({"histograms": "both", "graph": GRAPH_OFF}, [spans], check)


# --- of the oracle itself ---


# Scenario: the traces that Tempo tests its service graph with.
# Guarantees: the oracle finds the edges that Tempo's tests expect, but for the one that is explained beside the case.
@pytest.mark.parametrize("name", corpus.tempo_cases(SEED, 0))
def test_oracle_agrees_with_tempo(name):
    spans, expected = corpus.tempo_cases(SEED, 10**18)[name]
    found = {}
    for edge in edges(spans, Config()):
        total, failed = found.get((edge.client, edge.server, edge.kind), (0, 0))
        found[edge.client, edge.server, edge.kind] = total + edge.weight, failed + edge.failed
    assert found == expected


# Scenario: the traces that the Collector tests its service graph with.
# Guarantees: the oracle's families are those that the Collector's tests expect, but for what is explained beside the case.
@pytest.mark.parametrize("name", corpus.collector_cases(SEED, 0))
def test_oracle_agrees_with_collector(name):
    spans, graph, expected = corpus.collector_cases(SEED, 10**18)[name]
    output = derive(spans, Config({"dialect": "otel", "graph": graph, "self_time": False}))
    found = {family.removeprefix("traces_service_graph_request_"): series
             for family, (_, series) in output.families.items() if family.startswith("traces_service_graph_")}
    assert found.keys() <= {"total", "failed_total", "server_seconds", "client_seconds"}
    wanted = {frozenset(labels.items()): rest for labels, *rest in expected}
    for series in found.values():
        assert series.keys() == wanted.keys()
    for labels, (calls, server, client) in wanted.items():
        assert found["total"][labels] == calls
        assert found["failed_total"][labels] == (calls if ("failed", "true") in labels else 0)
        for side, seconds_ in (("server", server), ("client", client)):
            histogram = found[side + "_seconds"][labels]
            assert histogram.count == calls and close(float(histogram.sum), seconds_)
            assert len(histogram.bounds) == 16


# Scenario: durations on powers of the native base and beside them, by floating point.
# Guarantees: the oracle's exact native buckets are those that logarithms give, wherever those can be trusted.
def test_oracle_native_buckets():
    import math
    r = random.Random(SEED)
    for _ in range(500):
        ns = r.randrange(1, 10 ** r.randrange(1, 13))
        for schema in (3, 1, 0, -2):
            histogram = Histogram((), 10**9)
            histogram.observe(ns, 1)
            (index,) = histogram.native(schema)[1]
            exact = math.log2(ns / 1e9) * 2.0**schema
            assert index == math.ceil(exact) or abs(exact - round(exact)) < 1e-9
    for seconds_, index in ((1, 0), (2, 8), (Fraction(1, 2), -8), (4, 16)):
        histogram = Histogram((), 10**9)
        histogram.observe(int(seconds_ * 10**9), 1)
        assert histogram.native(3)[1] == {index: 1}
