"""Metrics of every kind from OpenTelemetry's SDK, through Braid, to Debian's Prometheus with native histograms."""

import math
import random
import subprocess
import urllib.request

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import (Counter, Histogram, MeterProvider, ObservableCounter, ObservableGauge,
                                       ObservableUpDownCounter, UpDownCounter)
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from braid import TEXT, eventually, samples, tool
from prometheus import Prometheus

BOUNDS = (0.005, 0.05, 0.5, 5)
KINDS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)


class Shop:
    """An application with one instrument of each kind. What it observed is kept beside, as the truth."""

    def __init__(self, braid, service, temporality, mixed):
        self.latencies, self.orders, self.carts = [], 0, 0
        exporter = OTLPMetricExporter(endpoint=braid.http + "/v1/metrics",
                                      preferred_temporality={kind: temporality for kind in KINDS})
        self._provider = MeterProvider(
            [PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)],
            resource=Resource({"service.name": service}),
            views=[View(instrument_name="latency", aggregation=ExponentialBucketHistogramAggregation()),
                   View(instrument_name="mixed", aggregation=mixed),
                   View(instrument_name="latency.explicit", aggregation=ExplicitBucketHistogramAggregation(BOUNDS))])
        meter = self._provider.get_meter("shop")
        self._histograms = [meter.create_histogram(name, "s", "Time.") for name in ("latency", "latency.explicit", "mixed")]
        self._orders = meter.create_counter("orders", "", "Orders.")
        self._carts = meter.create_up_down_counter("open.carts", "", "Carts.")
        meter.create_observable_gauge("load", [lambda _: [Observation(len(self.latencies) / 8)]], "", "Load.")
        self._tracer = TracerProvider().get_tracer("shop")
        self.traces = set()

    def serve(self, latencies):
        for number, latency in enumerate(latencies):
            with self._tracer.start_as_current_span("serve") as span:
                self.traces.add(trace.format_trace_id(span.get_span_context().trace_id))
                for histogram in self._histograms:
                    histogram.record(latency)
                self._orders.add(2)
                self._carts.add(1 if number % 3 else -1)
            self.latencies.append(latency)
            self.orders += 2
            self.carts += 1 if number % 3 else -1

    def export(self):
        assert self._provider.force_flush()

    def stop(self):
        self._provider.shutdown()


def quantile(values, q):
    return sorted(values)[math.ceil(q * len(values)) - 1]


def check(prometheus, service, latencies, orders, carts, load_of, native_mixed):
    """What Prometheus holds of one service against what it observed."""
    job = f'{{exported_job="{service}"}}'  # its own name is taken by the scrape's
    count = len(latencies)
    for name in ("latency_seconds",) + (("mixed_seconds",) if native_mixed else ()):
        eventually(lambda name=name: prometheus.value(f"histogram_count({name}{job})") == count)
        assert prometheus.value(f"histogram_sum({name}{job})") == pytest.approx(sum(latencies), rel=1e-12)
        for q in (0.25, 0.5, 0.9, 0.99):
            # 160 buckets for 13 powers of two: 2^(1/8) apart.
            got = prometheus.value(f"histogram_quantile({q}, {name}{job})")
            assert got == pytest.approx(quantile(latencies, q), rel=2 ** (1 / 8) - 1), (name, q)
    for name in ("latency_explicit_seconds",) + (() if native_mixed else ("mixed_seconds",)):
        eventually(lambda name=name: prometheus.value(f"{name}_count{job}") == count)
        assert prometheus.value(f"{name}_sum{job}") == pytest.approx(sum(latencies), rel=1e-12)
        for bound in BOUNDS:
            inside = sum(latency <= bound for latency in latencies)
            got = prometheus.value(f'{name}_bucket{{exported_job="{service}",le="{float(bound)}"}}')
            assert got == inside, (name, bound)
    eventually(lambda: prometheus.value(f"orders_total{job}") == orders)
    assert prometheus.value(f"open_carts{job}") == carts
    assert prometheus.value(f"load{job}") == load_of / 8
    # Neither kind of histogram is there as the other.
    assert prometheus.value(f"latency_seconds_count{job}") is None
    assert prometheus.value(f"histogram_count(latency_explicit_seconds{job})") is None


# Scenario: two shops send instruments of all kinds over several exports, one cumulatively, one as deltas, with
# latencies that spread further each time, so that the scale falls; both have "mixed", one as an exponential histogram
# and one as an explicit one. Then both restart.
# Guarantees: Prometheus takes every page. Counts and sums of native and classic histograms are those of what was
# observed, each classic bucket too; quantiles are within a bucket of the true ones; counters, sums and gauges are
# exact. After the restart the cumulative shop's values begin again, and the deltas' totals go on.
def test_all_kinds(start_braid, tmp_path):
    braid = start_braid()
    explicit, exponential = ExplicitBucketHistogramAggregation(BOUNDS), ExponentialBucketHistogramAggregation()

    def shops():
        return (Shop(braid, "cumulative", AggregationTemporality.CUMULATIVE, exponential),
                Shop(braid, "delta", AggregationTemporality.DELTA, explicit))

    chance = random.Random(7)
    cumulative, delta = shops()
    prometheus = Prometheus(tmp_path, braid.web_address, ("exemplar-storage", "native-histograms"))
    try:
        eventually(lambda: prometheus.value("up") == 1, 30)
        for spread in (0.05, 0.5, 1, 1.5):
            for shop in (cumulative, delta):
                drawn = [min(max(chance.lognormvariate(-2.5, spread), 0.002), 10) for _ in range(400)]
                shop.serve(drawn + [0])
                shop.export()
                # Nothing recorded, as at night: deltas leave the interval out.
                shop.export()
                check(prometheus, "cumulative" if shop is cumulative else "delta", shop.latencies, shop.orders, shop.carts,
                      len(shop.latencies), native_mixed=shop is cumulative)

        before = delta
        cumulative.stop()
        delta.stop()
        cumulative, delta = shops()
        for shop in (cumulative, delta):
            shop.serve([0.25] * 7 + [0.125] * 3)
            shop.export()
        check(prometheus, "cumulative", cumulative.latencies, cumulative.orders, cumulative.carts, 10, native_mixed=True)
        check(prometheus, "delta", before.latencies + delta.latencies, before.orders + delta.orders,
              before.carts + delta.carts, 10, native_mixed=False)
        for name in ("orders_total", "latency_explicit_seconds_count"):
            assert prometheus.value(f'resets({name}{{exported_job="cumulative"}}[10m])') == 1
            assert prometheus.value(f'resets({name}{{exported_job="delta"}}[10m])') == 0

        # What text formats have of a native histogram, with an exemplar of the last span.
        ((labels, count),) = [(found, n) for found, n in samples(braid.metrics("ingested"), "latency_seconds_bucket")
                              if found["job"] == "cumulative"]
        assert labels["le"] == "+Inf" and count == 10
        (line,) = [line for line in braid.metrics("ingested").splitlines()
                   if line.startswith("latency_seconds_bucket{") and 'job="cumulative"' in line]
        assert line.split('trace_id="')[1][:32] in cumulative.traces
    finally:
        prometheus.stop()
        cumulative.stop()
        delta.stop()

    text = braid.metrics("ingested", TEXT)
    promtool = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    remarks = [line for line in (promtool.stdout + promtool.stderr).splitlines() if line.strip()]
    assert promtool.returncode == 0 and not remarks, remarks
    modern = braid.metrics("ingested")
    parse = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as p;" \
            "print(sum(len(f.samples) for f in p(sys.stdin.read())))"
    parsed = subprocess.run(["/usr/bin/python3", "-c", parse], input=modern, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0 and int(parsed.stdout) > 20, parsed.stderr
    not_exposed = samples(braid.metrics("self"), "braid_ingested_not_exposed_points_total")
    assert not_exposed and all(count == 0 for _, count in not_exposed), not_exposed


def post(braid, fill):
    message = ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.exponential_histogram.aggregation_temporality = 2
    fill(metric, metric.exponential_histogram.data_points.add(time_unix_nano=1_000_000_000))
    request = urllib.request.Request(braid.http + "/v1/metrics", message.SerializeToString(),
                                     {"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


# Scenario: points at the edges of what a native histogram can be: without observations, with observations below 0 and
# without a sum, finer than any schema, at the ends of what a double holds; and one that is coarser than any schema.
# Guarantees: Prometheus takes the page and holds each as a native histogram of the right count and quantile; the last
# is not shown, and counted.
def test_edges(start_braid, tmp_path):
    braid = start_braid()

    def empty(metric, point):
        metric.name, point.scale = "edge_empty", 3

    def below(metric, point):
        metric.name, point.scale, point.count, point.zero_count = "edge_below", 0, 7, 1
        point.negative.offset = 1
        point.negative.bucket_counts.extend([2, 0, 4])  # (2, 4], (8, 16], negated

    def fine(metric, point):
        metric.name, point.scale, point.count, point.sum = "edge_fine", 20, 3, 3
        point.positive.offset = -1
        point.positive.bucket_counts.extend([2, 1])  # around 1

    def ends(metric, point):
        metric.name, point.scale, point.count = "edge_ends", 0, 2
        point.positive.offset = -1074
        point.positive.bucket_counts.extend([1] + [0] * (1074 + 1023 - 1) + [1])

    def coarse(metric, point):
        metric.name, point.scale = "edge_coarse", -5

    for fill in (empty, below, fine, ends, coarse):
        post(braid, fill)
    prometheus = Prometheus(tmp_path, braid.web_address, ("native-histograms",))
    try:
        eventually(lambda: prometheus.value("histogram_count(edge_fine)") == 3, 30)
        assert prometheus.value("histogram_count(edge_empty)") == 0
        assert prometheus.value("edge_empty_count") is None
        assert prometheus.value("histogram_count(edge_below)") == 7
        assert math.isnan(prometheus.value("histogram_sum(edge_below)"))
        assert -16 <= prometheus.value("histogram_quantile(0.3, edge_below)") <= -8
        assert prometheus.value("histogram_fraction(-4, -2, edge_below)") == pytest.approx(2 / 7)
        assert prometheus.value("histogram_quantile(0.3, edge_fine)") == pytest.approx(1, rel=2 ** (1 / 256) - 1)
        assert prometheus.value("histogram_sum(edge_fine)") == 3
        assert prometheus.value("histogram_count(edge_ends)") == 2
        assert prometheus.value("up") == 1
        assert prometheus.value("edge_coarse") is None
        (by_scale,) = [n for labels, n in samples(braid.metrics("self"), "braid_ingested_not_exposed_points_total")
                       if labels["reason"] == "scale"]
        assert by_scale == 1
    finally:
        prometheus.stop()
