#include "ingest/decode/schema.h"

namespace braid::ingest {
namespace {

using enum FieldKind;

constexpr FieldSchema One(uint32_t number, FieldKind kind, std::string_view name, std::string_view json) {
  return {.number = number, .kind = kind, .repeated = false, .name = name, .json = json};
}
constexpr FieldSchema Choice(uint32_t number, FieldKind kind, std::string_view name, std::string_view json,
                             const MessageSchema* message = nullptr) {
  return {.number = number,
          .kind = kind,
          .repeated = false,
          .name = name,
          .json = json,
          .message = message,
          .presence = true};
}
constexpr FieldSchema Many(uint32_t number, FieldKind kind, std::string_view name, std::string_view json) {
  return {.number = number, .kind = kind, .repeated = true, .name = name, .json = json};
}
constexpr FieldSchema Message(uint32_t number, std::string_view name, std::string_view json,
                              const MessageSchema* message) {
  return {
      .number = number, .kind = kMessage, .repeated = false, .name = name, .json = json, .message = message};
}
constexpr FieldSchema Messages(uint32_t number, std::string_view name, std::string_view json,
                               const MessageSchema* message) {
  return {
      .number = number, .kind = kMessage, .repeated = true, .name = name, .json = json, .message = message};
}
constexpr FieldSchema Enumeration(uint32_t number, std::string_view name, std::string_view json,
                                  std::span<const EnumValue> values) {
  return {.number = number, .kind = kEnum, .repeated = false, .name = name, .json = json, .values = values};
}

constexpr EnumValue kSpanKinds[] = {
    {"SPAN_KIND_UNSPECIFIED", 0}, {"SPAN_KIND_INTERNAL", 1}, {"SPAN_KIND_SERVER", 2},
    {"SPAN_KIND_CLIENT", 3},      {"SPAN_KIND_PRODUCER", 4}, {"SPAN_KIND_CONSUMER", 5},
};
constexpr EnumValue kStatusCodes[] = {
    {"STATUS_CODE_UNSET", 0}, {"STATUS_CODE_OK", 1}, {"STATUS_CODE_ERROR", 2}};
constexpr EnumValue kSeverities[] = {
    {"SEVERITY_NUMBER_UNSPECIFIED", 0}, {"SEVERITY_NUMBER_TRACE", 1},   {"SEVERITY_NUMBER_TRACE2", 2},
    {"SEVERITY_NUMBER_TRACE3", 3},      {"SEVERITY_NUMBER_TRACE4", 4},  {"SEVERITY_NUMBER_DEBUG", 5},
    {"SEVERITY_NUMBER_DEBUG2", 6},      {"SEVERITY_NUMBER_DEBUG3", 7},  {"SEVERITY_NUMBER_DEBUG4", 8},
    {"SEVERITY_NUMBER_INFO", 9},        {"SEVERITY_NUMBER_INFO2", 10},  {"SEVERITY_NUMBER_INFO3", 11},
    {"SEVERITY_NUMBER_INFO4", 12},      {"SEVERITY_NUMBER_WARN", 13},   {"SEVERITY_NUMBER_WARN2", 14},
    {"SEVERITY_NUMBER_WARN3", 15},      {"SEVERITY_NUMBER_WARN4", 16},  {"SEVERITY_NUMBER_ERROR", 17},
    {"SEVERITY_NUMBER_ERROR2", 18},     {"SEVERITY_NUMBER_ERROR3", 19}, {"SEVERITY_NUMBER_ERROR4", 20},
    {"SEVERITY_NUMBER_FATAL", 21},      {"SEVERITY_NUMBER_FATAL2", 22}, {"SEVERITY_NUMBER_FATAL3", 23},
    {"SEVERITY_NUMBER_FATAL4", 24},
};
constexpr EnumValue kTemporalities[] = {
    {"AGGREGATION_TEMPORALITY_UNSPECIFIED", 0},
    {"AGGREGATION_TEMPORALITY_DELTA", 1},
    {"AGGREGATION_TEMPORALITY_CUMULATIVE", 2},
};

extern const MessageSchema kAnyValueMessage;
extern const MessageSchema kKeyValueMessage;

// common.proto
constexpr FieldSchema kArrayValue[] = {Messages(1, "values", "values", &kAnyValueMessage)};
constexpr MessageSchema kArrayValueMessage = {"ArrayValue", kArrayValue};
constexpr FieldSchema kKeyValueList[] = {Messages(1, "values", "values", &kKeyValueMessage)};
constexpr MessageSchema kKeyValueListMessage = {"KeyValueList", kKeyValueList};
constexpr FieldSchema kAnyValue[] = {
    Choice(1, kString, "string_value", "stringValue"),
    Choice(2, kBool, "bool_value", "boolValue"),
    Choice(3, kInt64, "int_value", "intValue"),
    Choice(4, kDouble, "double_value", "doubleValue"),
    Choice(5, kMessage, "array_value", "arrayValue", &kArrayValueMessage),
    Choice(6, kMessage, "kvlist_value", "kvlistValue", &kKeyValueListMessage),
    Choice(7, kBytes, "bytes_value", "bytesValue"),
};
constexpr MessageSchema kAnyValueMessage = {"AnyValue", kAnyValue};
constexpr FieldSchema kKeyValue[] = {
    One(1, kString, "key", "key"),
    Message(2, "value", "value", &kAnyValueMessage),
};
constexpr MessageSchema kKeyValueMessage = {"KeyValue", kKeyValue};
constexpr FieldSchema kScope[] = {
    One(1, kString, "name", "name"),
    One(2, kString, "version", "version"),
    Messages(3, "attributes", "attributes", &kKeyValueMessage),
    One(4, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
};
constexpr MessageSchema kScopeMessage = {"InstrumentationScope", kScope};
constexpr FieldSchema kEntityRef[] = {
    One(1, kString, "schema_url", "schemaUrl"),
    One(2, kString, "type", "type"),
    Many(3, kString, "id_keys", "idKeys"),
    Many(4, kString, "description_keys", "descriptionKeys"),
};
constexpr MessageSchema kEntityRefMessage = {"EntityRef", kEntityRef};

// resource.proto
constexpr FieldSchema kResource[] = {
    Messages(1, "attributes", "attributes", &kKeyValueMessage),
    One(2, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
    Messages(3, "entity_refs", "entityRefs", &kEntityRefMessage),
};
constexpr MessageSchema kResourceMessage = {"Resource", kResource};

// trace.proto
constexpr FieldSchema kEvent[] = {
    One(1, kFixed64, "time_unix_nano", "timeUnixNano"),
    One(2, kString, "name", "name"),
    Messages(3, "attributes", "attributes", &kKeyValueMessage),
    One(4, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
};
constexpr MessageSchema kEventMessage = {"Event", kEvent};
constexpr FieldSchema kLink[] = {
    One(1, kTraceId, "trace_id", "traceId"),
    One(2, kSpanId, "span_id", "spanId"),
    One(3, kString, "trace_state", "traceState"),
    Messages(4, "attributes", "attributes", &kKeyValueMessage),
    One(5, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
    One(6, kFixed32, "flags", "flags"),
};
constexpr MessageSchema kLinkMessage = {"Link", kLink};
constexpr FieldSchema kStatus[] = {
    One(2, kString, "message", "message"),
    Enumeration(3, "code", "code", kStatusCodes),
};
constexpr MessageSchema kStatusMessage = {"Status", kStatus};
constexpr FieldSchema kSpan[] = {
    One(1, kTraceId, "trace_id", "traceId"),
    One(2, kSpanId, "span_id", "spanId"),
    One(3, kString, "trace_state", "traceState"),
    One(4, kSpanId, "parent_span_id", "parentSpanId"),
    One(5, kString, "name", "name"),
    Enumeration(6, "kind", "kind", kSpanKinds),
    One(7, kFixed64, "start_time_unix_nano", "startTimeUnixNano"),
    One(8, kFixed64, "end_time_unix_nano", "endTimeUnixNano"),
    Messages(9, "attributes", "attributes", &kKeyValueMessage),
    One(10, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
    Messages(11, "events", "events", &kEventMessage),
    One(12, kUint32, "dropped_events_count", "droppedEventsCount"),
    Messages(13, "links", "links", &kLinkMessage),
    One(14, kUint32, "dropped_links_count", "droppedLinksCount"),
    Message(15, "status", "status", &kStatusMessage),
    One(16, kFixed32, "flags", "flags"),
};
constexpr MessageSchema kSpanMessage = {"Span", kSpan};
constexpr FieldSchema kScopeSpans[] = {
    Message(1, "scope", "scope", &kScopeMessage),
    Messages(2, "spans", "spans", &kSpanMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kScopeSpansMessage = {"ScopeSpans", kScopeSpans};
constexpr FieldSchema kResourceSpans[] = {
    Message(1, "resource", "resource", &kResourceMessage),
    Messages(2, "scope_spans", "scopeSpans", &kScopeSpansMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kResourceSpansMessage = {"ResourceSpans", kResourceSpans};
constexpr FieldSchema kTraceRequestFields[] = {
    Messages(1, "resource_spans", "resourceSpans", &kResourceSpansMessage)};
constexpr MessageSchema kTraceRequest = {"ExportTraceServiceRequest", kTraceRequestFields};

// logs.proto
constexpr FieldSchema kLogRecord[] = {
    One(1, kFixed64, "time_unix_nano", "timeUnixNano"),
    Enumeration(2, "severity_number", "severityNumber", kSeverities),
    One(3, kString, "severity_text", "severityText"),
    Message(5, "body", "body", &kAnyValueMessage),
    Messages(6, "attributes", "attributes", &kKeyValueMessage),
    One(7, kUint32, "dropped_attributes_count", "droppedAttributesCount"),
    One(8, kFixed32, "flags", "flags"),
    One(9, kTraceId, "trace_id", "traceId"),
    One(10, kSpanId, "span_id", "spanId"),
    One(11, kFixed64, "observed_time_unix_nano", "observedTimeUnixNano"),
    One(12, kString, "event_name", "eventName"),
};
constexpr MessageSchema kLogRecordMessage = {"LogRecord", kLogRecord};
constexpr FieldSchema kScopeLogs[] = {
    Message(1, "scope", "scope", &kScopeMessage),
    Messages(2, "log_records", "logRecords", &kLogRecordMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kScopeLogsMessage = {"ScopeLogs", kScopeLogs};
constexpr FieldSchema kResourceLogs[] = {
    Message(1, "resource", "resource", &kResourceMessage),
    Messages(2, "scope_logs", "scopeLogs", &kScopeLogsMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kResourceLogsMessage = {"ResourceLogs", kResourceLogs};
constexpr FieldSchema kLogsRequestFields[] = {
    Messages(1, "resource_logs", "resourceLogs", &kResourceLogsMessage)};
constexpr MessageSchema kLogsRequest = {"ExportLogsServiceRequest", kLogsRequestFields};

// metrics.proto
constexpr FieldSchema kExemplar[] = {
    One(2, kFixed64, "time_unix_nano", "timeUnixNano"),
    Choice(3, kDouble, "as_double", "asDouble"),
    One(4, kSpanId, "span_id", "spanId"),
    One(5, kTraceId, "trace_id", "traceId"),
    Choice(6, kSfixed64, "as_int", "asInt"),
    Messages(7, "filtered_attributes", "filteredAttributes", &kKeyValueMessage),
};
constexpr MessageSchema kExemplarMessage = {"Exemplar", kExemplar};
constexpr FieldSchema kNumberDataPoint[] = {
    One(2, kFixed64, "start_time_unix_nano", "startTimeUnixNano"),
    One(3, kFixed64, "time_unix_nano", "timeUnixNano"),
    Choice(4, kDouble, "as_double", "asDouble"),
    Messages(5, "exemplars", "exemplars", &kExemplarMessage),
    Choice(6, kSfixed64, "as_int", "asInt"),
    Messages(7, "attributes", "attributes", &kKeyValueMessage),
    One(8, kUint32, "flags", "flags"),
};
constexpr MessageSchema kNumberDataPointMessage = {"NumberDataPoint", kNumberDataPoint};
constexpr FieldSchema kHistogramDataPoint[] = {
    One(2, kFixed64, "start_time_unix_nano", "startTimeUnixNano"),
    One(3, kFixed64, "time_unix_nano", "timeUnixNano"),
    One(4, kFixed64, "count", "count"),
    Choice(5, kDouble, "sum", "sum"),  // optional: presence matters
    Many(6, kFixed64, "bucket_counts", "bucketCounts"),
    Many(7, kDouble, "explicit_bounds", "explicitBounds"),
    Messages(8, "exemplars", "exemplars", &kExemplarMessage),
    Messages(9, "attributes", "attributes", &kKeyValueMessage),
    One(10, kUint32, "flags", "flags"),
    Choice(11, kDouble, "min", "min"),
    Choice(12, kDouble, "max", "max"),
};
constexpr MessageSchema kHistogramDataPointMessage = {"HistogramDataPoint", kHistogramDataPoint};
constexpr FieldSchema kBuckets[] = {
    One(1, kSint32, "offset", "offset"),
    Many(2, kUint64, "bucket_counts", "bucketCounts"),
};
constexpr MessageSchema kBucketsMessage = {"Buckets", kBuckets};
constexpr FieldSchema kExponentialDataPoint[] = {
    Messages(1, "attributes", "attributes", &kKeyValueMessage),
    One(2, kFixed64, "start_time_unix_nano", "startTimeUnixNano"),
    One(3, kFixed64, "time_unix_nano", "timeUnixNano"),
    One(4, kFixed64, "count", "count"),
    Choice(5, kDouble, "sum", "sum"),
    One(6, kSint32, "scale", "scale"),
    One(7, kFixed64, "zero_count", "zeroCount"),
    Message(8, "positive", "positive", &kBucketsMessage),
    Message(9, "negative", "negative", &kBucketsMessage),
    One(10, kUint32, "flags", "flags"),
    Messages(11, "exemplars", "exemplars", &kExemplarMessage),
    Choice(12, kDouble, "min", "min"),
    Choice(13, kDouble, "max", "max"),
    One(14, kDouble, "zero_threshold", "zeroThreshold"),
};
constexpr MessageSchema kExponentialDataPointMessage = {"ExponentialHistogramDataPoint",
                                                        kExponentialDataPoint};
constexpr FieldSchema kQuantile[] = {
    One(1, kDouble, "quantile", "quantile"),
    One(2, kDouble, "value", "value"),
};
constexpr MessageSchema kQuantileMessage = {"ValueAtQuantile", kQuantile};
constexpr FieldSchema kSummaryDataPoint[] = {
    One(2, kFixed64, "start_time_unix_nano", "startTimeUnixNano"),
    One(3, kFixed64, "time_unix_nano", "timeUnixNano"),
    One(4, kFixed64, "count", "count"),
    One(5, kDouble, "sum", "sum"),
    Messages(6, "quantile_values", "quantileValues", &kQuantileMessage),
    Messages(7, "attributes", "attributes", &kKeyValueMessage),
    One(8, kUint32, "flags", "flags"),
};
constexpr MessageSchema kSummaryDataPointMessage = {"SummaryDataPoint", kSummaryDataPoint};
constexpr FieldSchema kGauge[] = {Messages(1, "data_points", "dataPoints", &kNumberDataPointMessage)};
constexpr MessageSchema kGaugeMessage = {"Gauge", kGauge};
constexpr FieldSchema kSum[] = {
    Messages(1, "data_points", "dataPoints", &kNumberDataPointMessage),
    Enumeration(2, "aggregation_temporality", "aggregationTemporality", kTemporalities),
    One(3, kBool, "is_monotonic", "isMonotonic"),
};
constexpr MessageSchema kSumMessage = {"Sum", kSum};
constexpr FieldSchema kHistogram[] = {
    Messages(1, "data_points", "dataPoints", &kHistogramDataPointMessage),
    Enumeration(2, "aggregation_temporality", "aggregationTemporality", kTemporalities),
};
constexpr MessageSchema kHistogramMessage = {"Histogram", kHistogram};
constexpr FieldSchema kExponential[] = {
    Messages(1, "data_points", "dataPoints", &kExponentialDataPointMessage),
    Enumeration(2, "aggregation_temporality", "aggregationTemporality", kTemporalities),
};
constexpr MessageSchema kExponentialMessage = {"ExponentialHistogram", kExponential};
constexpr FieldSchema kSummary[] = {Messages(1, "data_points", "dataPoints", &kSummaryDataPointMessage)};
constexpr MessageSchema kSummaryMessage = {"Summary", kSummary};
constexpr FieldSchema kMetric[] = {
    One(1, kString, "name", "name"),
    One(2, kString, "description", "description"),
    One(3, kString, "unit", "unit"),
    Choice(5, kMessage, "gauge", "gauge", &kGaugeMessage),
    Choice(7, kMessage, "sum", "sum", &kSumMessage),
    Choice(9, kMessage, "histogram", "histogram", &kHistogramMessage),
    Choice(10, kMessage, "exponential_histogram", "exponentialHistogram", &kExponentialMessage),
    Choice(11, kMessage, "summary", "summary", &kSummaryMessage),
    Messages(12, "metadata", "metadata", &kKeyValueMessage),
};
constexpr MessageSchema kMetricMessage = {"Metric", kMetric};
constexpr FieldSchema kScopeMetrics[] = {
    Message(1, "scope", "scope", &kScopeMessage),
    Messages(2, "metrics", "metrics", &kMetricMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kScopeMetricsMessage = {"ScopeMetrics", kScopeMetrics};
constexpr FieldSchema kResourceMetrics[] = {
    Message(1, "resource", "resource", &kResourceMessage),
    Messages(2, "scope_metrics", "scopeMetrics", &kScopeMetricsMessage),
    One(3, kString, "schema_url", "schemaUrl"),
};
constexpr MessageSchema kResourceMetricsMessage = {"ResourceMetrics", kResourceMetrics};
constexpr FieldSchema kMetricsRequestFields[] = {
    Messages(1, "resource_metrics", "resourceMetrics", &kResourceMetricsMessage)};
constexpr MessageSchema kMetricsRequest = {"ExportMetricsServiceRequest", kMetricsRequestFields};

}  // namespace

const MessageSchema& RequestSchema(Signal signal) {
  switch (signal) {
    case Signal::kTraces: return kTraceRequest;
    case Signal::kLogs: return kLogsRequest;
    case Signal::kMetrics: return kMetricsRequest;
  }
  return kTraceRequest;
}

}  // namespace braid::ingest
