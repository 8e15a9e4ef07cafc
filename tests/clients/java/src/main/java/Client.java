// See ../../../../README.md.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.resources.Resource;
import java.util.ArrayList;
import java.util.List;

public final class Client {
  public static void main(String[] args) {
    OpenTelemetrySdk sdk =
        AutoConfiguredOpenTelemetrySdk.builder()
            .addResourceCustomizer(
                (resource, config) ->
                    resource.merge(Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), "client-java"))))
            .build()
            .getOpenTelemetrySdk();
    Tracer tracer = sdk.getTracer("story");
    Logger log = sdk.getLogsBridge().get("story");
    LongCounter orders = sdk.getMeter("story").counterBuilder("client.orders").build();
    DoubleHistogram duration = sdk.getMeter("story").histogramBuilder("client.order.duration").setUnit("ms").build();

    List<String> traces = new ArrayList<>();
    for (int number = 0; number < Integer.parseInt(args[0]); number++) {
      boolean refused = number % 5 == 0;
      Span checkout = tracer.spanBuilder("checkout").setSpanKind(SpanKind.SERVER).startSpan();
      traces.add("\"" + checkout.getSpanContext().getTraceId() + "\"");
      Span pay =
          tracer.spanBuilder("pay").setSpanKind(SpanKind.CLIENT).setParent(Context.root().with(checkout)).startSpan();
      Context within = Context.root().with(pay);
      log.logRecordBuilder().setContext(within).setSeverity(Severity.INFO).setSeverityText("INFO")
          .setBody("paying order " + number).emit();
      if (refused) {
        log.logRecordBuilder().setContext(within).setSeverity(Severity.ERROR).setSeverityText("ERROR")
            .setBody("card refused").emit();
        pay.setStatus(StatusCode.ERROR, "card refused");
      }
      pay.end();
      checkout.end();
      orders.add(1, Attributes.of(AttributeKey.booleanKey("refused"), refused));
      duration.record(10 + number);
    }

    sdk.close();
    System.out.println("{\"traces\": [" + String.join(",", traces) + "]}");
  }
}
