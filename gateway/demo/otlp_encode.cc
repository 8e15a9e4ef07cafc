#include "gateway/demo/otlp_encode.h"

#include <cstring>
#include <string_view>

#include "base/wire.h"

namespace braid::gateway::demo {
namespace {

// Field numbers are those of opentelemetry-proto v1.

void WriteValue(wire::Writer& w, const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) w.Bytes(1, *text);
  if (const auto* flag = std::get_if<bool>(&value)) w.Varint(2, *flag ? 1 : 0);
  if (const auto* number = std::get_if<int64_t>(&value)) w.Varint(3, static_cast<uint64_t>(*number));
  if (const auto* real = std::get_if<double>(&value)) w.Double(4, *real);
}

void WriteAttributes(wire::Writer& w, uint32_t field, const Attributes& attributes) {
  for (const auto& [key, value] : attributes) {
    const size_t pair = w.Begin(field);
    w.Bytes(1, key);
    const size_t any = w.Begin(2);
    WriteValue(w, value);
    w.End(any);
    w.End(pair);
  }
}

void WriteTraceId(wire::Writer& w, uint32_t field, const TraceId& id) {
  char bytes[16];
  StoreBigEndian64(id.hi, bytes);
  StoreBigEndian64(id.lo, bytes + 8);
  w.Bytes(field, {bytes, sizeof bytes});
}

void WriteSpanId(wire::Writer& w, uint32_t field, uint64_t id) {
  char bytes[8];
  StoreBigEndian64(id, bytes);
  w.Bytes(field, {bytes, sizeof bytes});
}

constexpr uint32_t kSampled = 0x1;
constexpr uint32_t kHasIsRemote = 0x100;
constexpr uint32_t kIsRemote = 0x200;

void WriteSpan(wire::Writer& w, const Span& span) {
  WriteTraceId(w, 1, span.trace);
  WriteSpanId(w, 2, span.id);
  if (span.parent != 0) WriteSpanId(w, 4, span.parent);
  w.Bytes(5, span.name);
  w.Varint(6, static_cast<uint64_t>(span.kind));
  w.Fixed64(7, span.start_ns);
  w.Fixed64(8, span.end_ns);
  WriteAttributes(w, 9, span.attributes);
  for (const SpanEvent& event : span.events) {
    const size_t at = w.Begin(11);
    w.Fixed64(1, event.time_ns);
    w.Bytes(2, event.name);
    WriteAttributes(w, 3, event.attributes);
    w.End(at);
  }
  if (span.link != 0) {
    const size_t at = w.Begin(13);
    WriteTraceId(w, 1, span.trace);
    WriteSpanId(w, 2, span.link);
    w.End(at);
  }
  if (span.error) {
    const size_t at = w.Begin(15);
    if (!span.status_message.empty()) w.Bytes(2, span.status_message);
    w.Varint(3, 2);
    w.End(at);
  }
  w.Fixed32(16, kSampled | kHasIsRemote | (span.parent_remote ? kIsRemote : 0));
}

void WriteLog(wire::Writer& w, const Log& log) {
  w.Fixed64(1, log.time_ns);
  w.Varint(2, static_cast<uint64_t>(log.severity));
  w.Bytes(3, SeverityText(log.severity));
  const size_t body = w.Begin(5);
  w.Bytes(1, log.body);
  w.End(body);
  WriteAttributes(w, 6, log.attributes);
  if (log.trace.valid()) {
    w.Fixed32(8, kSampled);
    WriteTraceId(w, 9, log.trace);
    WriteSpanId(w, 10, log.span);
  }
  w.Fixed64(11, log.time_ns);
}

void WriteExemplar(wire::Writer& w, const Exemplar& exemplar) {
  w.Fixed64(2, exemplar.time_ns);
  w.Double(3, exemplar.value);
  WriteSpanId(w, 4, exemplar.span);
  WriteTraceId(w, 5, exemplar.trace);
}

template <typename T>
std::string_view AsBytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

constexpr uint64_t kCumulative = 2;

void WriteMetric(wire::Writer& w, const Metric& metric, uint64_t start_ns, uint64_t now_ns) {
  w.Bytes(1, metric.name);
  w.Bytes(2, metric.description);
  w.Bytes(3, metric.unit);
  if (metric.kind == Metric::Kind::kHistogram) {
    const size_t data = w.Begin(9);
    for (const HistogramPoint& point : metric.histogram) {
      const size_t at = w.Begin(1);
      w.Fixed64(2, start_ns);
      w.Fixed64(3, now_ns);
      w.Fixed64(4, point.count);
      w.Double(5, point.sum);
      w.Bytes(6, AsBytes(point.buckets));  // packed
      w.Bytes(7, AsBytes(metric.bounds));
      for (const auto& exemplar : point.exemplars) {
        if (!exemplar) continue;
        const size_t nested = w.Begin(8);
        WriteExemplar(w, *exemplar);
        w.End(nested);
      }
      WriteAttributes(w, 9, point.attributes);
      w.End(at);
    }
    w.Varint(2, kCumulative);
    w.End(data);
    return;
  }
  const bool counter = metric.kind == Metric::Kind::kCounter;
  const size_t data = w.Begin(counter ? 7 : 5);
  for (const NumberPoint& point : metric.numbers) {
    const size_t at = w.Begin(1);
    if (counter) w.Fixed64(2, start_ns);
    w.Fixed64(3, now_ns);
    w.Fixed64(6, static_cast<uint64_t>(point.value));
    WriteAttributes(w, 7, point.attributes);
    w.End(at);
  }
  if (counter) {
    w.Varint(2, kCumulative);
    w.Varint(3, 1);  // is_monotonic
  }
  w.End(data);
}

// Resource*{1 resource, 2 scope {1 scope, 2 items}}, the same shape for all signals.
template <typename Items, typename WriteItem>
std::string Encode(const Attributes& resource, const std::string& scope, const Items& items,
                   WriteItem write) {
  std::string out;
  wire::Writer w(&out);
  const size_t outer = w.Begin(1);
  const size_t res = w.Begin(1);
  WriteAttributes(w, 1, resource);
  w.End(res);
  const size_t inner = w.Begin(2);
  const size_t name = w.Begin(1);
  w.Bytes(1, scope);
  w.Bytes(2, "1.0.0");
  w.End(name);
  for (const auto& item : items) {
    const size_t at = w.Begin(2);
    write(w, item);
    w.End(at);
  }
  w.End(inner);
  w.End(outer);
  return out;
}

}  // namespace

const char* SeverityText(Severity severity) {
  switch (severity) {
    case Severity::kDebug: return "DEBUG";
    case Severity::kInfo: return "INFO";
    case Severity::kWarn: return "WARN";
    case Severity::kError: return "ERROR";
  }
  return "";
}

std::string EncodeSpans(const Attributes& resource, const std::string& scope,
                        const std::vector<Span>& spans) {
  return Encode(resource, scope, spans, WriteSpan);
}

std::string EncodeLogs(const Attributes& resource, const std::string& scope, const std::vector<Log>& logs) {
  return Encode(resource, scope, logs, WriteLog);
}

std::string EncodeMetrics(const Attributes& resource, const std::string& scope,
                          const std::vector<Metric>& metrics, uint64_t start_ns, uint64_t now_ns) {
  return Encode(resource, scope, metrics,
                [&](wire::Writer& w, const Metric& metric) { WriteMetric(w, metric, start_ns, now_ns); });
}

}  // namespace braid::gateway::demo
