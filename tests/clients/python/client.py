"""See ../README.md."""

import json
import logging
import os
import sys

from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

resource = Resource.create({"service.name": "client-python"})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
meters = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])

tracer = tracers.get_tracer("story")
log = logging.getLogger("story")
log.setLevel(logging.DEBUG)
log.propagate = False
log.addHandler(LoggingHandler(level=logging.DEBUG, logger_provider=loggers))
orders = meters.get_meter("story").create_counter("client.orders")
duration = meters.get_meter("story").create_histogram("client.order.duration", unit="ms")

traces = []
for number in range(int(sys.argv[1])):
    refused = number % 5 == 0
    with tracer.start_as_current_span("checkout", kind=trace.SpanKind.SERVER) as checkout:
        traces.append(f"{checkout.get_span_context().trace_id:032x}")
        with tracer.start_as_current_span("pay", kind=trace.SpanKind.CLIENT) as pay:
            log.info("paying order %d", number)
            if refused:
                log.error("card refused")
                pay.set_status(trace.StatusCode.ERROR, "card refused")
        orders.add(1, {"refused": refused})
        duration.record(10 + number)

loggers.shutdown()
tracers.shutdown()
meters.shutdown()
print(json.dumps({"traces": traces}))
