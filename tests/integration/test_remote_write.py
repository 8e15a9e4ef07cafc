"""What Braid pushes by Prometheus remote write, to a receiver of our own that is strict and can misbehave."""

import json
import os
import time

import pytest

from braid import OPENMETRICS, check_account, eventually, free_ports, nonzero, samples
from misbehaviour import Rule
from remote_write_receiver import RemoteWriteReceiver
from traffic import CLIENT, ERROR, GrpcSender, gauges_request, span, spans_request, trace_id

CALLS = "traces_spanmetrics_calls_total"
LATENCY = "traces_spanmetrics_latency"


@pytest.fixture
def receiver(request):
    with RemoteWriteReceiver(knows=getattr(request, "param", "2.0")) as made:
        yield made


# Only the families of which the tests know how many series they have.
FEW = {"self_time": False, "graph": {"enabled": False}}


def config(receiver, **more):
    return {"correlate": {"settle": "100ms"}, "metrics": FEW,
            "sinks": {"prom": {"type": "prometheus_remote_write", "endpoint": receiver.endpoint, "interval": "200ms",
                               "retry": {"initial": "10ms", "max": "100ms"}, "timeout": "2s", **more}}}


def send(braid, traces=20, service="cart", names=("GET /cart",)):
    with GrpcSender(braid.grpc) as sender:
        for number in range(traces):
            trace = trace_id()
            root = span(trace, names[number % len(names)], milliseconds=3 + number)
            pay = span(trace, "charge", root.span_id, CLIENT, 2 + number, ERROR if number % 4 == 0 else 0)
            sender.send(spans_request(service, [root, pay]))


def row(braid, sink="prom"):
    status = braid.status()
    check_account(status)
    return status["account"]["sinks"][sink]["metrics"]


def push(braid, sink="prom"):
    (one,) = [p for p in braid.status()["pushes"] if p["sink"] == sink]
    return one


def rounds_after(braid, count=2):
    """Waits until `count` more rounds have been taken."""
    target = push(braid)["rounds"] + count
    eventually(lambda: push(braid)["rounds"] >= target)


def page_series(page):
    """{(name, labels): value} of an OpenMetrics page, without start times."""
    found = {}
    names = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line and line[0] != "#"}
    for name in names:
        if not name.endswith("_created"):
            for labels, value in samples(page, name):
                unescaped = {k: v.encode().decode("unicode_escape") if "\\" in v else v for k, v in labels.items()}
                found[name, tuple(sorted(unescaped.items()))] = value
    return found


# Scenario: spans and metrics come in; then nothing any more. Receivers that know 2.0, and of the three kinds that
# do not.
# Guarantees: every receiver gets the same series with the same values as /metrics shows, in the version that it
# knows; with 2.0 types, help and start times; nothing breaks the specification; the account adds up.
@pytest.mark.parametrize("receiver", ["2.0", "415", "1.0", "400"], indirect=True)
def test_same_as_the_page(start_braid, receiver):
    braid = start_braid({**config(receiver, external_labels={"zone": "eu", "service": "never"}), "metrics": {}})
    send(braid)
    with GrpcSender(braid.grpc) as sender:
        sender.send(gauges_request("cart", {"queue.length": 7.5}))
    receiver.wait_for(lambda r: (p := r.latest(CALLS, span_name="GET /cart")) and p.value == 20)
    receiver.wait_for(lambda r: r.latest("queue_length"))
    rounds_after(braid)

    expected = {}
    for (name, labels), value in page_series(braid.metrics("derived,ingested", OPENMETRICS)).items():
        labels = dict(labels)
        labels.setdefault("zone", "eu")
        labels.setdefault("service", "never")
        expected[name, tuple(sorted(labels.items()))] = value
    pushed = {}
    for series in receiver.all():
        labels = {k: v for k, v in series.labels.items() if k != "__name__"}
        pushed[series.labels["__name__"], tuple(sorted(labels.items()))] = series.points[-1].value
    assert pushed == expected
    assert len(pushed) > 50

    version = "2.0" if receiver.knows == "2.0" else "1.0"
    assert receiver.requests[-1][0] == version
    assert push(braid)["protocol"] == version
    if version == "1.0":
        # It was asked once, and what it did not understand it got again.
        assert [r[0] for r in receiver.requests].count("2.0") == 1
        assert receiver.metadata[CALLS][0] == "counter" and receiver.metadata[LATENCY][0] == "histogram"
        assert receiver.metadata["queue_length"] == ("gauge", "Test value queue.length", "")
    else:
        one = receiver.one(LATENCY + "_bucket", span_name="charge", le="+Inf", status_code="STATUS_CODE_ERROR")
        assert one.metadata[0] == "histogram" and one.metadata[1]
        assert all(abs(p.start_ms - time.time() * 1e3) < 60_000 for p in one.points)
        assert receiver.one("queue_length").points[-1].start_ms == 0
    assert not receiver.faults and receiver.repeated == 0
    final = row(braid)
    assert final["accepted"] > 0 and not nonzero(final["dropped"]) and final["deadLettered"] == 0
    assert samples(braid.metrics("self"), "braid_push_rounds_total") != []


# Scenario: exemplars, over many rounds in which nothing new happens, then a new trace.
# Guarantees: each exemplar is sent once, with the IDs of a trace that the API knows, in the order of time.
def test_exemplars_once(start_braid, receiver):
    braid = start_braid(config(receiver))
    send(braid, 5)
    receiver.wait_for(lambda r: any(s.exemplars for s in r.series(LATENCY + "_bucket", span_name="GET /cart")))
    rounds_after(braid, 4)

    def exemplars():
        return [(s.labels, e) for s in receiver.all() for e in s.exemplars]
    before = exemplars()
    rounds_after(braid, 4)
    assert exemplars() == before
    seen = set()
    for labels, (held, value, time_ms) in before:
        held = dict(held)
        key = (tuple(sorted(labels.items())), time_ms)
        assert key not in seen
        seen.add(key)
        trace = braid.trace(held["trace_id"])
        (named,) = [s for s in trace["spans"] if s["spanId"] == held["span_id"]]
        assert named["name"] == labels["span_name"]
        if labels["__name__"] == LATENCY + "_bucket":
            assert value == pytest.approx(int(named["durationNano"]) / 1e9)
    send(braid, 14)  # Slower ones among them: buckets that had no exemplar.
    receiver.wait_for(lambda r: len(exemplars()) > len(before))
    for one in receiver.all():
        times = [e[2] for e in one.exemplars]
        assert times == sorted(set(times))
    assert not receiver.faults


# Scenario: an ingested series is not refreshed any more; then Braid is stopped.
# Guarantees: the one gets a staleness marker when it leaves the page and no sample after it; at the end every series
# has one, after its last value, and what came with the last requests is in it.
def test_staleness(start_braid, receiver):
    braid = start_braid({**config(receiver), "metrics": {**FEW, "ingested": {"stale_after": "1s"}}})
    with GrpcSender(braid.grpc) as sender:
        sender.send(gauges_request("cart", {"fleeting": 1.0}))
    receiver.wait_for(lambda r: (p := r.latest("fleeting")) and not p.stale)
    receiver.wait_for(lambda r: r.latest("fleeting").stale)
    gone = len(receiver.one("fleeting").points)
    send(braid, 3)
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /cart"))
    send(braid, 7)  # Not waited for: the last round has to have them.
    assert braid.stop() == 0
    one = receiver.one("fleeting")
    assert len(one.points) == gone and [p.stale for p in one.points].count(True) == 1
    assert len(receiver.all()) > 40
    for series in receiver.all():
        assert series.points[-1].stale, series.labels
        assert [p.stale for p in series.points].count(True) == 1, series.labels
    calls = receiver.one(CALLS, span_name="GET /cart")
    assert calls.points[-2].value == 10
    assert not receiver.faults


# Scenario: the receiver is dead for a while, then answers 503, 429 and 500 in turn, and hangs up.
# Guarantees: every round of that time arrives, in order, as far as the queue reaches; nothing is refused or lost.
def test_receiver_dead_for_a_while(start_braid):
    (port,) = free_ports(1)
    endpoint = type("Endpoint", (), {"endpoint": f"http://127.0.0.1:{port}/api/v1/write"})
    braid = start_braid(config(endpoint, protocol="2.0"))
    send(braid, 5)
    rounds_after(braid, 8)
    assert row(braid)["delivered"] == 0
    with RemoteWriteReceiver(port) as receiver:
        receiver.rules.set(Rule("unavailable", times=2), Rule("exhausted", times=2), Rule("error", times=5),
                           Rule("half_close", times=2))
        receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /cart"))
        rounds_after(braid, 2)
        eventually(lambda: row(braid)["queued"] == 0)
        calls = receiver.one(CALLS, span_name="GET /cart")
        times = [p.time_ms for p in calls.points]
        assert len(times) >= 6 and times == sorted(set(times))  # Spans show on the page within a second.
        assert max(b - a for a, b in zip(times, times[1:])) < 400  # No round is missing.
        assert not receiver.faults
        assert {r[2] for r in receiver.requests} == {204, 429, 500, 503, None}
        final = row(braid)
        assert not nonzero(final["dropped"]) and final["delivered"] == final["accepted"] - final["queued"]
        assert braid.stop() == 0  # While somebody is there to take what is left.


# Scenario: the receiver asks for a pause of a second with 429.
# Guarantees: it gets it.
def test_retry_after(start_braid, receiver):
    braid = start_braid(config(receiver))
    send(braid, 1)
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /cart"))
    receiver.rules.set(Rule("exhausted", times=1, retry_after=1))
    receiver.wait_for(lambda r: any(request[2] == 429 for request in r.requests))
    begin = time.monotonic()
    count = len(receiver.requests)
    receiver.wait_for(lambda r: len(r.requests) > count)
    assert time.monotonic() - begin > 0.9


# Scenario: one series that the receiver refuses with 400, for good; without a word on what it wrote, in both versions.
# Guarantees: the points of that label set are lost, counted, and written to the dead letter; everything else arrives,
# round after round.
@pytest.mark.parametrize("receiver", ["2.0", "1.0"], indirect=True)
@pytest.mark.parametrize("dead_letter", [True, False])
def test_poisoned_series(start_braid, receiver, dead_letter, tmp_path):
    receiver.rules.set(Rule("reject", matching="poison"))
    path = tmp_path / "dead.jsonl"
    braid = start_braid(config(receiver, **({"dead_letter": str(path)} if dead_letter else {})))
    send(braid, 12, names=("GET /cart", "poison", "GET /shop"))
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /shop"))
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="charge", status_code="STATUS_CODE_ERROR"))
    rounds_after(braid, 3)
    cart = len(receiver.one(CALLS, span_name="GET /cart").points)
    receiver.wait_for(lambda r: len(r.one(CALLS, span_name="GET /cart").points) > cart)
    assert not receiver.series(CALLS, span_name="poison") and not receiver.faults

    def lost():
        entry = row(braid)
        assert sum(nonzero(entry["dropped"]).values()) == (0 if dead_letter else entry["dropped"]["rejected"])
        return entry["deadLettered"] if dead_letter else entry["dropped"]["rejected"]
    # Calls, size, and 17 of the histogram; looked at while they are being found, one by one.
    eventually(lambda: lost() > 0 and lost() % 19 == 0)
    assert samples(braid.metrics("self"), "braid_sink_bisections_total")[0][1] > 0
    if dead_letter:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        letters = [line for line in lines if "labels" in line]
        assert letters and {line["labels"]["span_name"] for line in letters} == {"poison"}
        assert all("out of order sample" in line["reason"] for line in lines if "reason" in line)
        assert {line["labels"]["__name__"] for line in letters} == {
            CALLS, LATENCY + "_bucket", LATENCY + "_sum", LATENCY + "_count", "traces_spanmetrics_size_total"}


# Scenario: a 2.0 receiver writes all but one series, says so with 400, and how much it wrote.
# Guarantees: what it did not write is counted as rejected, what it wrote as delivered; nothing is sent again; the
# status page says what was refused.
def test_partial_write(start_braid, receiver):
    receiver.rules.set(Rule("partial", matching="poison"))
    braid = start_braid(config(receiver))
    send(braid, 12, names=("GET /cart", "poison"))
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /cart"))
    rounds_after(braid, 3)
    eventually(lambda: row(braid)["queued"] == 0)
    final = row(braid)
    assert final["dropped"]["rejected"] > 0 and final["dropped"]["rejected"] % 19 == 0
    assert final["delivered"] > 0
    assert receiver.repeated == 0 and not receiver.faults
    (lane,) = [l for l in braid.status()["lanes"] if l["sink"] == "prom"]
    assert "refused 19 of " in lane["lastError"] and "some are out of order" in lane["lastError"]
    assert lane["retries"] == 0


# Scenario: 2.0 is demanded, the receiver only knows 1.0: it answers 415, or a success that says nothing.
# Guarantees: nothing counts as delivered; it is counted as rejected, with the reason on the status page.
@pytest.mark.parametrize("receiver", ["415", "1.0"], indirect=True)
def test_demanded_version_is_not_known(start_braid, receiver):
    braid = start_braid(config(receiver, protocol="2.0"))
    send(braid, 2)
    eventually(lambda: row(braid)["dropped"]["rejected"] > 0)
    assert row(braid)["delivered"] == 0 and not receiver.all()
    (lane,) = [l for l in braid.status()["lanes"] if l["sink"] == "prom"]
    assert "415" in lane["lastError"] or "does not know remote write 2.0" in lane["lastError"]


# Scenario: 1.0 is demanded of a receiver that knows both.
# Guarantees: it never sees 2.0.
def test_demanded_1_0(start_braid, receiver):
    braid = start_braid(config(receiver, protocol="1.0"))
    send(braid, 2)
    receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /cart"))
    assert {r[0] for r in receiver.requests} == {"1.0"} and not receiver.faults


# Scenario: the receiver is dead, the queue small and the series many.
# Guarantees: the oldest rounds leave, counted; memory stays within the queue's bound; the account adds up; when the
# receiver is back the newest arrive.
def test_queue_is_bounded(start_braid):
    (port,) = free_ports(1)
    endpoint = type("Endpoint", (), {"endpoint": f"http://127.0.0.1:{port}/api/v1/write"})
    braid = start_braid(config(endpoint, queue={"max_bytes": "1MiB"}))
    send(braid, 400, names=[f"GET /{n}" for n in range(200)])
    eventually(lambda: row(braid)["dropped"]["queue_full"] > 0, 40)
    (lane,) = [l for l in braid.status()["lanes"] if l["sink"] == "prom"]
    assert lane["queuedBytes"] <= 1 << 20
    with RemoteWriteReceiver(port) as receiver:
        receiver.wait_for(lambda r: r.latest(CALLS, span_name="GET /7"))
        assert not receiver.faults
        assert braid.stop() == 0


# Scenario: only Braid's own metrics, and no exemplars.
# Guarantees: exactly the self part of the page comes.
def test_origins(start_braid, receiver):
    braid = start_braid(config(receiver, origins=["self"], exemplars=False))
    send(braid, 2)
    receiver.wait_for(lambda r: r.latest("braid_account_items_total", signal="traces", sink="braid",
                                         outcome="accepted"))
    rounds_after(braid)
    pushed = receiver.names()
    shown = {name for name, _ in page_series(braid.metrics("self", OPENMETRICS))}
    assert pushed == shown
    assert not any(s.exemplars for s in receiver.all()) and not receiver.faults


# Scenario: derived metrics go to an OTLP sink that takes the ingested ones too, over gRPC and HTTP.
# Guarantees: they come from service braid, cumulative, with start times, the values of /metrics and exemplars that
# name traces; the account of the sink counts them and adds up.
@pytest.mark.parametrize("kind", ["otlp_grpc", "otlp_http"])
def test_derived_over_otlp(start_braid, otlp, kind):
    braid = start_braid({
        "correlate": {"settle": "100ms"}, "metrics": FEW,
        "sinks": {"backend": {"type": kind, "signals": ["metrics"],
                              "endpoint": otlp.grpc_endpoint if kind == "otlp_grpc" else otlp.http_endpoint,
                              "derived_metrics": {"enabled": True, "interval": "200ms"}}}})
    send(braid, 20)
    with GrpcSender(braid.grpc) as sender:
        sender.send(gauges_request("cart", {"queue.length": 7}))

    def attributes(point):
        return {a.key: a.value.string_value for a in point.attributes}

    def latest():
        found = {}
        for metric, resource in otlp.metrics():
            if resource.get("service.name") != "braid":
                assert metric.name == "queue.length"
                continue
            data = getattr(metric, metric.WhichOneof("data"))
            for point in data.data_points:
                found[metric.name, tuple(sorted(attributes(point).items()))] = (metric, point)
        return found

    cart = {"service": "cart", "span_name": "GET /cart", "span_kind": "SPAN_KIND_SERVER",
            "status_code": "STATUS_CODE_UNSET"}
    key = tuple(sorted(cart.items()))
    eventually(lambda: (found := latest().get(("traces_spanmetrics_calls", key))) and found[1].as_double == 20)
    eventually(lambda: latest()[LATENCY, key][1].count == 20 and latest()[LATENCY, key][1].exemplars)
    calls, point = latest()["traces_spanmetrics_calls", key]
    assert calls.sum.is_monotonic and calls.sum.aggregation_temporality == 2
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    latency, point = latest()[LATENCY, key]
    assert latency.histogram.aggregation_temporality == 2
    assert sum(point.bucket_counts) == 20 and len(point.bucket_counts) == len(point.explicit_bounds) + 1 == 15
    page = page_series(braid.metrics("derived", OPENMETRICS))
    assert point.sum == page[LATENCY + "_sum", key]
    running = 0
    for bound, count in zip(list(point.explicit_bounds) + [float("inf")], point.bucket_counts):
        running += count
        le = "+Inf" if bound == float("inf") else repr(bound)
        assert page[LATENCY + "_bucket", tuple(sorted({**cart, "le": le}.items()))] == running
    for exemplar in point.exemplars:
        trace = braid.trace(exemplar.trace_id.hex())
        (named,) = [s for s in trace["spans"] if s["spanId"] == exemplar.span_id.hex()]
        assert named["name"] == "GET /cart"
        assert exemplar.as_double == pytest.approx(int(named["durationNano"]) / 1e9)
    assert {m for m, _ in latest()} == {"traces_spanmetrics_calls", LATENCY, "traces_spanmetrics_size"}
    entry = row(braid, "backend")
    assert entry["delivered"] >= 10 and not nonzero(entry["dropped"])
    assert braid.stop() == 0
