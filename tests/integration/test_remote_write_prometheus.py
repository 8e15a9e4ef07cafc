"""Debian's Prometheus takes what Braid pushes by remote write. It knows 1.0 only, and takes a 2.0 request for an
empty one."""

import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from braid import CHECKOUT, eventually, free_ports, nonzero
from prometheus import Prometheus
from traffic import CLIENT, ERROR, GrpcSender, gauges_request, span, spans_request, trace_id

CALLS = "traces_spanmetrics_calls_total"
LATENCY = "traces_spanmetrics_latency"
RECEIVER = {"features": ("exemplar-storage", "native-histograms"), "arguments": ("--web.enable-remote-write-receiver",)}


@pytest.fixture
def prometheus(tmp_path):
    made = Prometheus(tmp_path, **RECEIVER)
    yield made
    made.stop()


def config(prometheus, **more):
    return {"correlate": {"settle": "100ms"}, "metrics": {"ingested": {"stale_after": "2s"}},
            "sinks": {"prom": {"type": "prometheus_remote_write", "endpoint": prometheus.url + "/api/v1/write",
                               "interval": "500ms", "retry": {"initial": "10ms", "max": "100ms"}, **more}}}


def send(braid, traces):
    with GrpcSender(braid.grpc) as sender:
        for number in range(traces):
            trace = trace_id()
            root = span(trace, "GET /cart", milliseconds=3 + number)
            pay = span(trace, "charge", root.span_id, CLIENT, 2 + number, ERROR if number % 4 == 0 else 0)
            sender.send(spans_request("cart", [root, pay]))


def series_of(prometheus, match):
    return {tuple(sorted(series.items())) for series in
            prometheus.api("series", **{"match[]": match, "start": prometheus.start - 60, "end": time.time() + 60})}


# Scenario: `auto` towards a Prometheus that answers a 2.0 request with success and takes nothing of it.
# Guarantees: nothing is lost: rates, totals and quantiles are right, the series are those that a scrape of the same
# gateway gives, exemplars resolve, the account has no refusals; after the end of Braid instant queries are empty at
# once, which only markers do (the lookback is five minutes).
def test_auto(start_braid, tmp_path):
    # One Prometheus does both: the scrape gives its series job and instance. Each has to know the other's address.
    (web,) = free_ports(1)
    prometheus = Prometheus(tmp_path, f"127.0.0.1:{web}", **RECEIVER)
    try:
        braid = start_braid({**config(prometheus, external_labels={"pushed": "yes"}),
                             "web": {"listen": f"127.0.0.1:{web}"}}, ready=False)
        braid.web, braid.web_address = f"http://127.0.0.1:{web}", f"127.0.0.1:{web}"
        braid.wait_ready()
        for _ in range(8):
            send(braid, 5)
            time.sleep(0.4)  # Traffic over several rounds, so that there is a rate: not a wait for a result.
        cart = 'span_name="GET /cart",pushed="yes"'
        eventually(lambda: prometheus.value(f"{CALLS}{{{cart}}}") == 40)
        eventually(lambda: prometheus.value(f'{CALLS}{{span_name="GET /cart",pushed=""}}') == 40, 30)
        assert prometheus.value(f"rate({CALLS}{{{cart}}}[30s])") > 0
        # Five traces of 3 to 7 ms, eight times.
        p50 = prometheus.value(f"histogram_quantile(0.5, {LATENCY}_bucket{{{cart}}})")
        assert 0.003 < p50 < 0.008
        assert prometheus.value(f"{LATENCY}_sum{{{cart}}}") == pytest.approx(8 * 0.025, rel=1e-6)

        def without(series, *names):
            return {tuple(pair for pair in one if pair[0] not in names) for one in series}
        pushed = series_of(prometheus, '{__name__=~"traces_.*",pushed="yes"}')
        scraped = {one for one in series_of(prometheus, '{__name__=~"traces_.*",pushed=""}')
                   if not dict(one)["__name__"].endswith("_created")}
        assert without(pushed, "pushed") == without(scraped, "job", "instance") and len(pushed) > 50

        found = prometheus.api("query_exemplars", query=f'{LATENCY}_bucket{{pushed="yes"}}', start=prometheus.start,
                               end=time.time() + 1)
        exemplars = [(series["seriesLabels"], e) for series in found for e in series["exemplars"]]
        assert len(exemplars) >= 3
        for labels, exemplar in exemplars:
            trace = braid.trace(exemplar["labels"]["trace_id"])
            (named,) = [s for s in trace["spans"] if s["spanId"] == exemplar["labels"]["span_id"]]
            assert named["name"] == labels["span_name"]
            assert float(exemplar["value"]) == pytest.approx(int(named["durationNano"]) / 1e9)
        assert len({(e["timestamp"], tuple(sorted(l.items()))) for l, e in exemplars}) == len(exemplars)

        status = braid.status()
        entry = status["account"]["sinks"]["prom"]["metrics"]
        assert entry["delivered"] > 0 and not nonzero(entry["dropped"])
        assert status["pushes"][0]["protocol"] == "1.0"
        assert braid.stop() == 0
        assert prometheus.value(f"count({{pushed=\"yes\"}})") is None
        assert prometheus.api("query", query=f"{CALLS}{{pushed=\"yes\"}}[1m]")["result"]
    finally:
        prometheus.stop()


# Scenario: native histograms beside the classic ones, derived from spans of which some carry a sampling threshold.
# Guarantees: Prometheus has both under their names, with the same counts and sums; the native quantile lies near the
# classic one; the fractional weights of sampled spans arrive as they are.
def test_derived_native_histograms(start_braid, prometheus):
    made = config(prometheus)
    made["metrics"]["histograms"] = "both"
    braid = start_braid(made)
    send(braid, 40)
    sampled = span(trace_id(), "sampled", milliseconds=8)
    sampled.trace_state = "ot=th:4"  # three quarters are kept: a weight of 4/3
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("cart", [sampled]))
    cart = '{span_name="GET /cart"}'
    eventually(lambda: prometheus.value(f"histogram_count({LATENCY}{cart})") == 40)
    assert prometheus.value(f"{LATENCY}_count{cart}") == 40
    assert prometheus.value(f"histogram_sum({LATENCY}{cart})") == prometheus.value(f"{LATENCY}_sum{cart}")
    median = prometheus.value(f"histogram_quantile(0.5, {LATENCY}{cart})")
    assert 0.020 < median < 0.026  # 3 to 42 ms
    weight = eventually(lambda: prometheus.value(f'histogram_count({LATENCY}{{span_name="sampled"}})'))
    assert weight == pytest.approx(4 / 3) == prometheus.value(f'{LATENCY}_count{{span_name="sampled"}}')
    assert not nonzero(braid.status()["account"]["sinks"]["prom"]["metrics"]["dropped"])
    assert braid.stop() == 0
    assert prometheus.api("query", query=f"{LATENCY}{cart}")["result"] == []


# Scenario: an ingested gauge stops.
# Guarantees: it is gone for Prometheus as soon as it leaves the page, while others go on.
def test_stale_while_running(start_braid, prometheus):
    braid = start_braid(config(prometheus, protocol="1.0"))
    send(braid, 2)
    with GrpcSender(braid.grpc) as sender:
        sender.send(gauges_request("cart", {"fleeting": 3}))
    eventually(lambda: prometheus.value("fleeting") == 3)
    eventually(lambda: prometheus.value("fleeting") is None, 20)
    assert prometheus.value(f'sum({CALLS}{{span_name="GET /cart"}})') == 2


# Scenario: Prometheus is stopped and started again, with its data.
# Guarantees: every round of that time is there, in order, and none twice.
def test_outage(start_braid, tmp_path):
    prometheus = Prometheus(tmp_path, **RECEIVER)
    braid = start_braid(config(prometheus))
    send(braid, 5)
    eventually(lambda: prometheus.value(f'{CALLS}{{span_name="GET /cart"}}') == 5)
    prometheus.stop()
    rounds = braid.status()["pushes"][0]["rounds"]
    eventually(lambda: braid.status()["pushes"][0]["rounds"] >= rounds + 4)
    port = prometheus.url.rsplit(":", 1)[1]
    prometheus = Prometheus(tmp_path, port=int(port), **RECEIVER)
    try:
        eventually(lambda: braid.status()["account"]["sinks"]["prom"]["metrics"]["queued"] == 0, 30)
        rounds = braid.status()["pushes"][0]["rounds"]
        eventually(lambda: braid.status()["pushes"][0]["rounds"] >= rounds + 2)

        def gaps():
            (series,) = prometheus.api("query", query=f'{CALLS}{{span_name="GET /cart"}}[5m]')["result"]
            times = [point[0] for point in series["values"]]
            return [b - a for a, b in zip(times, times[1:])]
        # From before the outage to now.
        eventually(lambda: len(gaps()) >= 6)
        assert max(gaps()) < 0.9
        entry = braid.status()["account"]["sinks"]["prom"]["metrics"]
        assert not nonzero(entry["dropped"])
        assert braid.stop() == 0
    finally:
        prometheus.stop()


# Scenario: the encoder's sample of everything, native histograms with whole and fractional counts among it, in three
# rounds and an end, as 1.0.
# Guarantees: Prometheus takes all of it; counts, sums and quantiles of the native histograms are those that were
# written; with the end they are gone.
def test_native_histograms(prometheus):
    program = os.path.join(os.environ.get("BRAID_BUILD") or os.path.dirname(os.path.dirname(
        os.environ.get("BRAID_BINARY") or os.path.join(CHECKOUT, "build", "release", "gateway", "braid"))),
        "tests", "unit", "exporters", "encode", "remote_write", "remote_write_body")
    assert os.access(program, os.X_OK), "build remote_write_body"

    def write(time_ms, step):
        body = subprocess.run([program, "1", str(time_ms), str(step)], capture_output=True, check=True).stdout
        request = urllib.request.Request(prometheus.url + "/api/v1/write", body, {
            "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    now = int(time.time() * 1e3)
    for step in range(3):
        assert write(now - 30_000 + 10_000 * step, step) == (204, "")
    at = (now - 10_000) / 1e3

    def value(query):
        result = prometheus.api("query", query=query, time=at)["result"]
        assert len(result) == 1, (query, result)
        return float(result[0]["value"][1])

    assert value('histogram_count(native_seconds{mode="x"})') == 26
    assert value('histogram_sum(native_seconds{mode="x"})') == 5.5
    assert value('histogram_count(native_seconds{odd="weights"})') == pytest.approx(0.25 + 0.5 + 4 / 3)
    # By rising bucket: 5 negative, 2 zero, 1, 4, 3, then 10 in (2^(6/8), 2^(7/8)], and 1.
    assert 2 ** (6 / 8) <= value('histogram_quantile(0.9, native_seconds{mode="x"})') <= 2 ** (7 / 8)
    assert value('histogram_count(increase(native_seconds{mode="x"}[25s]))') > 0
    assert value("histogram_count(both_seconds)") == 7 and value("both_seconds_count") == 7
    assert value('lat_seconds_bucket{le="1.0",mode="x"}') == 5
    assert value('sizes{quantile="0.5"}') == 3 and value('calls_total{mode="x"}') == 5
    found = prometheus.api("query_exemplars", query="native_seconds", start=at - 60, end=at + 10)
    assert {e["labels"]["trace_id"] for series in found for e in series["exemplars"]} >= {
        "00000000000000010000000000000002", "01020304050607080000000000000009"}
    assert write(now - 5_000, "end") == (204, "")
    for name in ("native_seconds", "both_seconds", "lat_seconds_count", "odd"):
        assert prometheus.api("query", query=name, time=now / 1e3)["result"] == [], name
