"""The metrics page of a running gateway, read by independent parsers in each of its formats."""

import subprocess
import urllib.request

import pytest
from google.protobuf.internal.decoder import _DecodeVarint
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from braid import OPENMETRICS, TEXT, Braid, eventually, free_ports, tool
from every_metric import everything, feed

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
# The parser is Debian's python3-prometheus-client, so it runs under Debian's Python.
PARSE = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as p;" \
        "print(sum(len(f.samples) for f in p(sys.stdin.read())))"


def request(service, fill):
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    fill(resource.scope_metrics.add().metrics.add())
    return message


def counter(metric, name="shop.orders", value=7, trace=None):
    metric.name, metric.description = name, 'Orders, "all"\n\\ of them.'
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = AGGREGATION_TEMPORALITY_CUMULATIVE, True
    point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=2_000_000_000, as_int=value)
    attribute = point.attributes.add(key="pay.kind")
    attribute.value.string_value = 'a"b\\c\nd'
    if trace:
        point.exemplars.add(time_unix_nano=2_000_000_000, as_int=1, trace_id=trace, span_id=trace[:8])


def gauge(metric, name):
    metric.name = name
    metric.gauge.data_points.add(time_unix_nano=1_000_000_000, as_double=0.1)


def send(gateway, message):
    post = urllib.request.Request(gateway.http + "/v1/metrics", message.SerializeToString(),
                                  {"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(post, timeout=10) as answer:
        assert answer.status == 200


def fetch(gateway, accept):
    with urllib.request.urlopen(urllib.request.Request(gateway.web + "/metrics", headers={"Accept": accept})) as answer:
        return answer.headers["Content-Type"], answer.read()


# Scenario: applications push a counter with an exemplar, then others that contradict it or take Braid's names.
# Guarantees: the first is re-exposed with its exemplar, the rest are counted by reason, parsers accept each format, and
# `only` separates the three origins.
def test_pages(start_braid):
    gateway = start_braid()
    trace = bytes(range(1, 17))
    send(gateway, request("shop", lambda m: counter(m, trace=trace)))
    line = 'shop_orders_total{job="shop",pay_kind="a\\"b\\\\c\\nd"} 7 # {trace_id="%s",span_id="%s"} 1 2.0' % (
        trace.hex(), trace[:8].hex())
    assert eventually(lambda: line in gateway.metrics("ingested").splitlines())

    send(gateway, request("other", lambda m: gauge(m, "shop.orders")))
    send(gateway, request("other", lambda m: gauge(m, "braid.ingress.items")))
    send(gateway, request("other", lambda m: gauge(m, "process.cpu.seconds")))
    send(gateway, request("other", lambda m: gauge(m, "shop.load")))
    assert eventually(lambda: 'shop_load{job="other"} 0.1' in gateway.metrics())
    own = gateway.metrics("self")
    assert 'braid_ingested_not_exposed_points_total{reason="type_conflict"} 1\n' in own
    assert 'braid_ingested_not_exposed_points_total{reason="reserved_name"} 2\n' in own
    assert 'braid_journal_mode_info{mode="memory"} 1\n' in own
    assert "shop_orders" not in own and "braid_" not in gateway.metrics("ingested")
    assert "shop_orders" not in gateway.metrics("derived") and "braid_" not in gateway.metrics("derived")

    kind, page = fetch(gateway, OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    parsed = subprocess.run(["/usr/bin/python3", "-c", PARSE], input=page, capture_output=True)
    assert parsed.returncode == 0 and int(parsed.stdout) > 40, parsed.stderr.decode()

    kind, page = fetch(gateway, TEXT)
    assert kind.startswith("text/plain; version=0.0.4")
    promtool = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True)
    assert promtool.returncode in (0, 3), promtool
    assert b"braid_" not in promtool.stdout + promtool.stderr, promtool

    kind, page = fetch(gateway, PROTOBUF)
    assert kind.startswith("application/vnd.google.protobuf")
    at, families = 0, 0
    while at < len(page):
        size, at = _DecodeVarint(page, at)
        assert size > 0 and at + size <= len(page)
        at, families = at + size, families + 1
    assert families > 20 and b"shop_orders_total" in page


# Scenario: every option on, in each dialect, and traffic for each of them.
# Guarantees: promtool finds nothing wrong with the text form but the unit that the Collector's name has.
@pytest.mark.parametrize("dialect", ["tempo", "otel", "both"])
def test_promtool_with_everything_on(dialect):
    config = everything(free_ports(4))
    config["metrics"]["dialect"] = dialect
    with Braid(config) as braid:
        braid.may_end_with.add(1)
        feed(braid)
        kind, page = fetch(braid, TEXT)
        promtool = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True)
    said = (promtool.stdout + promtool.stderr).decode().strip()
    allowed = 'traces_span_metrics_duration_milliseconds use base unit "seconds" instead of "milliseconds"'
    assert b"traces_service_graph_request_messaging_system_seconds_bucket" in page
    assert said == ("" if dialect == "tempo" else allowed), said
    assert promtool.returncode == (0 if dialect == "tempo" else 3), promtool
