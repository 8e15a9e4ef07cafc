// The two sets of names under which Braid shows what it derives from spans (`metrics.dialect`). Everything that
// differs between the dashboards in tempo/ and otel/ is here; docs/metrics.md has the whole table.

export type DialectName = "tempo" | "otel";

export interface Dialect {
  readonly name: DialectName;
  /** Label that names a span's service. */
  readonly service: string;
  /** Label that marks the series of what came beyond `metrics.max_series`. */
  readonly overflow: string;
  /** Counter of spans. */
  readonly calls: string;
  /** Histogram of spans' durations, without `_bucket`. */
  readonly latency: string;
  /** Grafana's name for the unit of `latency`. */
  readonly latencyUnit: "s" | "ms";
  /** Counters of self time, always in seconds, and of the spans it is known of. */
  readonly selfSeconds: string;
  readonly selfSpans: string;
  /** Below which bound of the service graph's buckets, in seconds, quantiles are guesses, where that matters. */
  readonly graphBuckets?: { to: number; text: string };
}

const tempo: Dialect = {
  name: "tempo",
  service: "service",
  overflow: "metric_overflow",
  calls: "traces_spanmetrics_calls_total",
  latency: "traces_spanmetrics_latency",
  latencyUnit: "s",
  selfSeconds: "traces_spanmetrics_self_seconds_total",
  selfSpans: "traces_spanmetrics_self_spans_total",
  graphBuckets: { to: 0.1, text: "under 100 ms" },
};

const otel: Dialect = {
  name: "otel",
  service: "service_name",
  overflow: "otel_metric_overflow",
  calls: "traces_span_metrics_calls_total",
  latency: "traces_span_metrics_duration_milliseconds",
  latencyUnit: "ms",
  selfSeconds: "traces_span_metrics_self_seconds_total",
  selfSpans: "traces_span_metrics_self_spans_total",
};

export const dialects: readonly Dialect[] = [tempo, otel];

/** The service graph has the same names, and seconds, in both dialects. */
export const graph = {
  requests: "traces_service_graph_request_total",
  failed: "traces_service_graph_request_failed_total",
  serverSeconds: "traces_service_graph_request_server_seconds",
  clientSeconds: "traces_service_graph_request_client_seconds",
} as const;
