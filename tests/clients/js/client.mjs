// See ../README.md.
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

// The packages of the three encodings differ in one word of their names.
const word = { grpc: "grpc", "http/protobuf": "proto", "http/json": "http" }[process.env.OTEL_EXPORTER_OTLP_PROTOCOL];
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${word}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${word}`);
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${word}`);

const resource = resourceFromAttributes({ "service.name": "client-js" });
const tracers = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })] });
const meters = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })] });

const tracer = tracers.getTracer("story");
const log = loggers.getLogger("story");
const orders = meters.getMeter("story").createCounter("client.orders");
const duration = meters.getMeter("story").createHistogram("client.order.duration", { unit: "ms" });

const traces = [];
for (let number = 0; number < Number(process.argv[2]); number++) {
  const refused = number % 5 === 0;
  const checkout = tracer.startSpan("checkout", { kind: SpanKind.SERVER });
  traces.push(checkout.spanContext().traceId);
  const pay = tracer.startSpan("pay", { kind: SpanKind.CLIENT }, trace.setSpan(context.active(), checkout));
  const within = trace.setSpan(context.active(), pay);
  log.emit({ severityNumber: SeverityNumber.INFO, severityText: "INFO", body: `paying order ${number}`, context: within });
  if (refused) {
    log.emit({ severityNumber: SeverityNumber.ERROR, severityText: "ERROR", body: "card refused", context: within });
    pay.setStatus({ code: SpanStatusCode.ERROR, message: "card refused" });
  }
  pay.end();
  checkout.end();
  orders.add(1, { refused });
  duration.record(10 + number);
}

await loggers.shutdown();
await tracers.shutdown();
await meters.shutdown();
console.log(JSON.stringify({ traces }));
