"""Debian's Prometheus scrapes Braid, as in the README."""

import subprocess
import time

import pytest

from braid import TEXT, eventually, tool
from prometheus import Prometheus
from traffic import ERROR, SERVER, CLIENT, GrpcSender, gauges_request, log, logs_request, span, spans_request, trace_id

CALLS = "traces_spanmetrics_calls_total"
LATENCY = "traces_spanmetrics_latency"


@pytest.fixture
def scraped(start_braid, tmp_path):
    braid = start_braid({"correlate": {"settle": "100ms"}})
    # What happens before the first scrape has no rate.
    prometheus = Prometheus(tmp_path, braid.web_address).scraping()
    yield braid, prometheus
    prometheus.stop()


def send_shop(sender, traces, refuse_every=4):
    """Returns how many spans went out, and how many of them are errors."""
    for number in range(traces):
        refused = number % refuse_every == 0
        trace = trace_id()
        root = span(trace, "GET /cart", milliseconds=30 + number % 50)
        pay = span(trace, "charge", root.span_id, CLIENT, 3 + number % 20, ERROR if refused else 0)
        sender.send(spans_request("cart", [root, pay]))
        sender.send(logs_request("cart", [log("charging", pay)]))


# Scenario: Prometheus scrapes while a shop sends for some seconds.
# Guarantees: the scrape succeeds in OpenMetrics; totals equal what was sent; rate, error ratio and latency quantile
# per service and operation have values in the right range; each exemplar's trace resolves in Braid's API, and names a
# span of the operation it hangs on.
def test_red_and_exemplars(scraped):
    braid, prometheus = scraped
    rounds, traces = 12, 25
    with GrpcSender(braid.grpc) as sender:
        for _ in range(rounds):
            send_shop(sender, traces)
            sender.send(gauges_request("cart", {"queue.length": 7}))
            time.sleep(0.4)  # Traffic over several scrapes, so that there is a rate: not a wait for a result.
    sent = rounds * traces
    refused = rounds * len(range(0, traces, 4))

    cart = 'service="cart",span_name="GET /cart",span_kind="SPAN_KIND_SERVER"'
    charge = 'service="cart",span_name="charge",span_kind="SPAN_KIND_CLIENT"'
    eventually(lambda: prometheus.value(f"sum({CALLS}{{{cart}}})") == sent)
    eventually(lambda: prometheus.value(f"sum({CALLS}{{{charge}}})") == sent)
    assert prometheus.value(f'sum({CALLS}{{{charge},status_code="STATUS_CODE_ERROR"}})') == refused
    assert prometheus.value(f"sum(rate({CALLS}{{{cart}}}[1m]))") > 0
    ratio = prometheus.value(f'sum(rate({CALLS}{{{charge},status_code="STATUS_CODE_ERROR"}}[1m]))'
                             f" / sum(rate({CALLS}{{{charge}}}[1m]))")
    assert 0.1 < ratio < 0.5, ratio
    p90 = prometheus.value(f"histogram_quantile(0.9, sum by (le) (rate({LATENCY}_bucket{{{cart}}}[1m])))")
    assert 0.03 < p90 < 0.14, p90
    assert prometheus.value(f"sum({LATENCY}_count{{{cart}}})") == sent
    mean = prometheus.value(f"sum({LATENCY}_sum{{{cart}}})") / sent
    assert mean == pytest.approx(sum(0.03 + n % 50 / 1e3 for n in range(traces)) / traces, rel=1e-6)
    assert prometheus.value("queue_length") == 7
    assert prometheus.value('up{job="braid"}') == 1

    # The store holds everything of this short run: every exemplar has to resolve.
    found = prometheus.api("query_exemplars", query=f"{LATENCY}_bucket", start=prometheus.start, end=time.time() + 1)
    exemplars = [(series["seriesLabels"], e) for series in found for e in series["exemplars"]]
    assert len(exemplars) >= 4
    for labels, exemplar in exemplars:
        trace = braid.trace(exemplar["labels"]["trace_id"])
        assert trace is not None, exemplar
        (named,) = [s for s in trace["spans"] if s["spanId"] == exemplar["labels"]["span_id"]]
        assert named["name"] == labels["span_name"] and named["service"] == labels["service"]
        assert float(exemplar["value"]) == pytest.approx(int(named["durationNano"]) / 1e9)
    assert {labels["span_name"] for labels, _ in exemplars} == {"GET /cart", "charge"}


# Scenario: the text page after traffic of all kinds.
# Guarantees: promtool takes it and has nothing to remark about the names that are ours to choose.
def test_promtool(start_braid):
    braid = start_braid({"correlate": {"settle": "100ms"}})
    with GrpcSender(braid.grpc) as sender:
        send_shop(sender, 8)
        sender.send(gauges_request("cart", {"queue.length": 7}))
    eventually(lambda: CALLS in braid.metrics("derived", TEXT))
    page = braid.metrics(accept=TEXT)
    check = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    # The names of the tempo dialect are Tempo's: promtool misses units in them. Ours it must like.
    remarks = [line for line in (check.stdout + check.stderr).splitlines()
               if line.strip() and not line.startswith("traces_spanmetrics_")]
    assert check.returncode in (0, 3) and not remarks, remarks


# Scenario: Debian's Python client reads the page in both formats.
# Guarantees: both parse as a whole, and hold the same derived counters.
def test_python_parser(start_braid):
    from prometheus_client import parser as text_parser
    from prometheus_client.openmetrics import parser as openmetrics_parser

    braid = start_braid({"correlate": {"settle": "100ms"}})
    with GrpcSender(braid.grpc) as sender:
        send_shop(sender, 8)
    eventually(lambda: "trace_id=" in braid.metrics("derived"))

    def calls(families):
        return {tuple(sorted(s.labels.items())): s.value for f in families for s in f.samples if s.name == CALLS}

    modern = list(openmetrics_parser.text_string_to_metric_families(braid.metrics()))
    classic = list(text_parser.text_string_to_metric_families(braid.metrics(accept=TEXT)))
    assert calls(modern) and calls(modern) == calls(classic)
    exemplars = [s.exemplar for f in modern for s in f.samples if s.exemplar]
    assert exemplars and all(len(e.labels["trace_id"]) == 32 and len(e.labels["span_id"]) == 16 for e in exemplars)


# Scenario: the page is asked for one origin at a time.
# Guarantees: derived, ingested and self share no family, and together they are the whole page.
def test_origins_are_separable(start_braid):
    braid = start_braid({"correlate": {"settle": "100ms"}})
    with GrpcSender(braid.grpc) as sender:
        send_shop(sender, 4)
        sender.send(gauges_request("cart", {"queue.length": 7}))

    def families(only=None):
        return {line.split()[2] for line in braid.metrics(only).splitlines() if line.startswith("# TYPE ")}

    eventually(lambda: families("derived") and families("ingested"))
    derived, ingested, own = families("derived"), families("ingested"), families("self")
    assert "queue_length" in ingested
    assert all(name.startswith("traces_") for name in derived) and own
    assert not derived & ingested and not derived & own and not ingested & own
    assert families() == derived | ingested | own
