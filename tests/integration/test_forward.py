"""What a backend behind Braid gets, compared item by item with what was sent."""

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from braid import check_account
from traffic import GrpcSender, log, logs_request, span, spans_request, trace_id

STAMPS = ("correlation.", "span.", "trace.", "log.")
SERVICES = ["shop", "pay", "stock", "shop", "mail"]


def agent_requests(spans_each):
    """One request a signal with many resources and scopes, as agents send, and everything in it by span ID and body."""
    traces, logs, sent_spans, sent_logs = ExportTraceServiceRequest(), ExportLogsServiceRequest(), {}, {}
    for number, service in enumerate(SERVICES):
        spans = [span(trace_id(), f"{service} {number} {i}", marker=service) for i in range(spans_each)]
        records = [log(f"{service} {number} {i}", within=s) for i, s in enumerate(spans)]
        part = spans_request(service, spans, part=number)
        part.resource_spans[0].scope_spans[0].scope.name = f"scope {number}"
        traces.MergeFrom(part)
        part = logs_request(service, records, part=number)
        part.resource_logs[0].scope_logs[0].scope.name = f"scope {number}"
        logs.MergeFrom(part)
        for s in spans:
            sent_spans[s.span_id] = (s, service, number)
        for record in records:
            sent_logs[record.body.string_value] = (record, service, number)
    return traces, logs, sent_spans, sent_logs


def attributes(item):
    return {a.key: a.value for a in item.attributes}


def check_home(resource, scope, service, number):
    home = attributes(resource)
    assert home["service.name"].string_value == service
    assert home["part"].int_value == number
    assert scope.name == f"scope {number}"


def check_same(got, sent):
    """Everything that was sent is there unchanged; what was added says that it is ours."""
    added = {key for key in attributes(got) if key not in attributes(sent)}
    assert all(key.startswith(STAMPS) for key in added), added
    stripped = type(got)()
    stripped.CopyFrom(got)
    del stripped.attributes[:]
    stripped.attributes.extend(a for a in got.attributes if a.key not in added)
    assert stripped == sent


# Scenario: requests with the spans and logs of five resources, small and large, to sinks of both kinds, spans held for
# their verdict or sent on at once.
# Guarantees: every span and log arrives once, unchanged but for stamps, under the resource and scope it came with.
@pytest.mark.parametrize("spans_each", [3, 100])
@pytest.mark.parametrize("wait", ["verdict", "none"])
@pytest.mark.parametrize("kind", ["otlp_grpc", "otlp_http"])
def test_items_arrive_unchanged_in_their_place(kind, wait, spans_each, start_braid, otlp):
    endpoint = otlp.grpc_endpoint if kind == "otlp_grpc" else otlp.http_endpoint
    braid = start_braid({"correlate": {"settle": "100ms", "spans": {"wait": wait}},
                         "sinks": {"backend": {"type": kind, "endpoint": endpoint, "signals": ["traces", "logs"]}}})
    traces, logs, sent_spans, sent_logs = agent_requests(spans_each)
    with GrpcSender(braid.grpc) as sender:
        sender.send(traces)
        sender.send(logs)
    assert otlp.wait_for("traces", len(sent_spans)) == len(sent_spans)
    assert otlp.wait_for("logs", len(sent_logs)) == len(sent_logs)
    seen = set()
    for got, scope, resource in otlp.items("traces"):
        sent, service, number = sent_spans[got.span_id]
        check_home(resource, scope, service, number)
        check_same(got, sent)
        seen.add(got.span_id)
    assert len(seen) == len(sent_spans)
    seen = set()
    for got, scope, resource in otlp.items("logs"):
        sent, service, number = sent_logs[got.body.string_value]
        check_home(resource, scope, service, number)
        check_same(got, sent)
        assert attributes(got)["span.service"].string_value == service
        seen.add(got.body.string_value)
    assert len(seen) == len(sent_logs)
    check_account(braid.status())
