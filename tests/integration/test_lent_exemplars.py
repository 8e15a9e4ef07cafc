"""A service of OpenTelemetry's SDK whose histograms have no exemplars gets them from its spans, up to Prometheus."""

import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from braid import eventually, samples
from prometheus import Prometheus

NAME = "http.server.request.duration"
FAMILY = "http_server_request_duration_seconds"
BOUNDS = (0.01, 0.1, 1)
# Route, status and duration of each request; what is slow is rare.
REQUESTS = [("/cart", 200, 0.004), ("/cart", 200, 0.05), ("/cart", 500, 0.5), ("/pay", 200, 0.03), ("/pay", 200, 3.0)]


class Shop:
    def __init__(self, braid):
        resource = Resource({"service.name": "shop", "service.namespace": "eu"})
        self._tracers = TracerProvider(resource=resource)
        self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=braid.http + "/v1/traces")))
        self._meters = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=braid.http + "/v1/metrics"),
                                           export_interval_millis=3_600_000)],
            resource=resource, exemplar_filter=AlwaysOffExemplarFilter(),
            views=[View(instrument_name=NAME, aggregation=ExplicitBucketHistogramAggregation(BOUNDS))])
        self._tracer = self._tracers.get_tracer("shop")
        self._duration = self._meters.get_meter("shop").create_histogram(NAME, "s", "Time.")

    def serve(self, route, status, seconds):
        attributes = {"http.request.method": "GET", "http.route": route, "http.response.status_code": status}
        end = time.time_ns()
        made = self._tracer.start_span(f"GET {route}", kind=trace.SpanKind.SERVER, attributes=attributes,
                                       start_time=end - round(seconds * 1e9))
        # A call within: the same method and code, but another kind.
        self._tracer.start_span("GET", trace.set_span_in_context(made), trace.SpanKind.CLIENT,
                                {key: attributes[key] for key in attributes if key != "http.route"},
                                start_time=end - round(seconds * 0.9e9)).end(end)
        made.end(end)
        self._duration.record(seconds, attributes)

    def export(self):
        assert self._tracers.force_flush() and self._meters.force_flush()

    def stop(self):
        self._tracers.shutdown()
        self._meters.shutdown()


# Scenario: a shop sends server and client spans, and a histogram whose exemplars are off; Prometheus scrapes. Then the
# same with a gateway that lends nothing.
# Guarantees: every bucket that counted something gets an exemplar, and no other; each resolves through the API to a
# server span of the service with the route and code of the series, its duration in the bucket and the exemplar's value.
# What was lent is counted. Without the option there is none.
def test_lent_to_sdk_histograms(start_braid, tmp_path):
    braid = start_braid({"correlate": {"settle": "100ms"}, "metrics": {"ingested": {"exemplars": {"enabled": True}}}})
    shop = Shop(braid)
    prometheus = Prometheus(tmp_path, braid.web_address)
    try:
        def exemplars():
            # A span is lent only if it ended after the series began, which the first measurement does.
            for request in REQUESTS:
                shop.serve(*request)
            shop.export()
            found = prometheus.api("query_exemplars", query=f"{FAMILY}_bucket", start=prometheus.start - 10,
                                   end=time.time() + 1)
            got = [(series["seriesLabels"], e) for series in found for e in series["exemplars"]]
            return got if {bucket_of(labels) for labels, _ in got} >= expected else None

        def bucket_of(labels):
            return labels["http_route"], labels["http_response_status_code"], labels["le"]

        expected = {(route, str(status), next((f"{float(b)}" for b in BOUNDS if seconds <= b), "+Inf"))
                    for route, status, seconds in REQUESTS}
        got = eventually(exemplars, 60, every=1)
        assert {bucket_of(labels) for labels, _ in got} == expected
        for labels, exemplar in got:
            shown = braid.trace(exemplar["labels"]["trace_id"])
            assert shown is not None, exemplar
            (span,) = [s for s in shown["spans"] if s["spanId"] == exemplar["labels"]["span_id"]]
            assert labels["exported_job"] == "eu/shop" and span["service"] == "shop"
            assert span["name"] == f"GET {labels['http_route']}", span
            attributes = {a["key"]: a["value"] for a in span["attributes"]} if isinstance(span["attributes"], list) \
                else span["attributes"]
            assert str(attributes["http.response.status_code"]).strip('"') == labels["http_response_status_code"], span
            seconds = int(span["durationNano"]) / 1e9
            assert float(exemplar["value"]) == seconds
            upper = float(labels["le"])
            lower = max([b for b in BOUNDS if b < upper], default=0)
            assert lower < seconds <= upper
        own = braid.metrics("self")
        assert samples(own, "braid_exemplar_candidates")[0][1] >= len(REQUESTS)
        assert samples(own, "braid_exemplar_candidates_bytes")[0][1] > 0
        assert samples(own, "braid_exemplars_lent_total")[0][1] >= len(REQUESTS)
        assert samples(own, "braid_exemplar_candidates_refused_total")[0][1] == 0
    finally:
        prometheus.stop()
        shop.stop()

    plain = start_braid({"correlate": {"settle": "100ms"}})
    shop = Shop(plain)
    shop.serve(*REQUESTS[0])
    shop.export()
    shop.stop()
    eventually(lambda: "trace_id=" in plain.metrics("derived"))
    page = plain.metrics("ingested")
    assert f"{FAMILY}_count" in page and "trace_id=" not in page
    assert "braid_exemplar" not in plain.metrics("self")
