"""Makes OTLP requests with the official protobuf classes and sends them."""

import os
import random
import time
import urllib.error
import urllib.request

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (ExportMetricsServiceRequest,
                                                                          ExportMetricsServiceResponse)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (ExportTraceServiceRequest,
                                                                      ExportTraceServiceResponse)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OK, ERROR = 1, 2
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
PRODUCER, CONSUMER = Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER
INFO, WARN, FATAL_ERROR = 9, 13, 17
SEVERITY_TEXT = {INFO: "INFO", WARN: "WARN", FATAL_ERROR: "ERROR"}

PATHS = {ExportTraceServiceRequest: ("/v1/traces", ExportTraceServiceResponse,
                                     "/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
         ExportLogsServiceRequest: ("/v1/logs", ExportLogsServiceResponse,
                                    "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
         ExportMetricsServiceRequest: ("/v1/metrics", ExportMetricsServiceResponse,
                                       "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")}


def trace_id():
    return os.urandom(16)


def span_id():
    return os.urandom(8)


def set_attributes(target, values):
    for key, value in values.items():
        pair = target.add(key=key)
        kind = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}.get(type(value), "string_value")
        setattr(pair.value, kind, value)


def span(trace, name, parent=b"", kind=SERVER, milliseconds=5.0, status=0, start=None, **attributes):
    start = start if start is not None else time.time_ns() - int(milliseconds * 1e6)
    made = Span(trace_id=trace, span_id=span_id(), parent_span_id=parent, name=name, kind=kind,
                start_time_unix_nano=start, end_time_unix_nano=start + int(milliseconds * 1e6))
    if status:
        made.status.code = status
    set_attributes(made.attributes, attributes)
    return made


def log(body, within=None, severity=INFO, at=None, **attributes):
    """A log record, in the context of the span `within`, or without context."""
    at = at if at is not None else time.time_ns()
    made = LogRecord(time_unix_nano=at, observed_time_unix_nano=at, severity_number=severity,
                     severity_text=SEVERITY_TEXT[severity])
    made.body.string_value = body
    if within is not None:
        made.trace_id, made.span_id = within.trace_id, within.span_id
    set_attributes(made.attributes, attributes)
    return made


def spans_request(service, spans, **resource):
    made = ExportTraceServiceRequest()
    top = made.resource_spans.add()
    set_attributes(top.resource.attributes, {"service.name": service, **resource})
    top.scope_spans.add().spans.extend(spans)
    return made


def logs_request(service, records, **resource):
    made = ExportLogsServiceRequest()
    top = made.resource_logs.add()
    set_attributes(top.resource.attributes, {"service.name": service, **resource})
    top.scope_logs.add().log_records.extend(records)
    return made


def gauges_request(service, values, **resource):
    made = ExportMetricsServiceRequest()
    top = made.resource_metrics.add()
    set_attributes(top.resource.attributes, {"service.name": service, **resource})
    scope = top.scope_metrics.add()
    for name, value in values.items():
        scope.metrics.add(name=name, description=f"Test value {name}").gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=value)
    return made


def post(endpoint, request, timeout=20):
    """OTLP/HTTP. Returns (status, response message or the body of an error)."""
    path, response, _ = PATHS[type(request)]
    body = urllib.request.Request(endpoint + path, request.SerializeToString(),
                                  {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(body, timeout=timeout) as answer:
            return answer.status, response.FromString(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class GrpcSender:
    """One OTLP/gRPC connection."""

    def __init__(self, endpoint):
        self._channel = grpc.insecure_channel(endpoint.removeprefix("http://"),
                                              options=[("grpc.max_send_message_length", 64 << 20)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()

    def send(self, request, timeout=20):
        """The response message. Raises grpc.RpcError."""
        _, response, method = PATHS[type(request)]
        call = self._channel.unary_unary(method, request_serializer=type(request).SerializeToString,
                                         response_deserializer=response.FromString)
        return call(request, timeout=timeout)


def checkout(refused=False, milliseconds=20.0):
    """One trace of the shop: (root span, child span, its logs). Spans and logs are apart, to be sent apart."""
    trace = trace_id()
    root = span(trace, "checkout", milliseconds=milliseconds + 5)
    pay = span(trace, "pay", root.span_id, CLIENT, milliseconds, ERROR if refused else 0)
    logs = [log("paying", pay)] + ([log("card refused", pay, FATAL_ERROR)] if refused else [])
    return root, pay, logs


def rng(seed):
    return random.Random(seed)
