// See ../README.md.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	ctx := context.Background()
	res := resource.NewSchemaless(attribute.String("service.name", "client-go"))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(must(autoexport.NewSpanExporter(ctx))))
	loggers := sdklog.NewLoggerProvider(sdklog.WithResource(res),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(must(autoexport.NewLogExporter(ctx)))))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(must(autoexport.NewMetricReader(ctx))))

	tracer := tracers.Tracer("story")
	log := loggers.Logger("story")
	orders := must(meters.Meter("story").Int64Counter("client.orders"))
	duration := must(meters.Meter("story").Float64Histogram("client.order.duration", metric.WithUnit("ms")))

	write := func(ctx context.Context, severity otellog.Severity, text, body string) {
		var record otellog.Record
		record.SetSeverity(severity)
		record.SetSeverityText(text)
		record.SetBody(attribute.StringValue(body))
		log.Emit(ctx, record)
	}

	traces := []string{}
	for number := range must(strconv.Atoi(os.Args[1])) {
		refused := number%5 == 0
		outer, checkout := tracer.Start(ctx, "checkout", trace.WithSpanKind(trace.SpanKindServer))
		traces = append(traces, checkout.SpanContext().TraceID().String())
		inner, pay := tracer.Start(outer, "pay", trace.WithSpanKind(trace.SpanKindClient))
		write(inner, otellog.SeverityInfo, "INFO", fmt.Sprintf("paying order %d", number))
		if refused {
			write(inner, otellog.SeverityError, "ERROR", "card refused")
			pay.SetStatus(codes.Error, "card refused")
		}
		pay.End()
		checkout.End()
		orders.Add(ctx, 1, metric.WithAttributes(attribute.Bool("refused", refused)))
		duration.Record(ctx, float64(10+number))
	}

	for _, shutdown := range []func(context.Context) error{loggers.Shutdown, tracers.Shutdown, meters.Shutdown} {
		if err := shutdown(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println(string(must(json.Marshal(map[string]any{"traces": traces}))))
}
