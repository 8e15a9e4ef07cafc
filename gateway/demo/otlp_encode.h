#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"

// Telemetry as an application has it, and its way into OTLP's wire format: what an SDK is to a real service.
namespace braid::gateway::demo {

using AttributeValue = std::variant<std::string, int64_t, double, bool>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

// opentelemetry-proto's SpanKind.
enum class SpanKind : uint8_t { kInternal = 1, kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5 };

struct SpanEvent {
  std::string name;
  uint64_t time_ns = 0;
  Attributes attributes;
};

struct Span {
  TraceId trace;
  uint64_t id = 0;
  uint64_t parent = 0;
  uint64_t link = 0;  // a span of the same trace; 0: none
  bool parent_remote = false;
  bool error = false;
  SpanKind kind = SpanKind::kInternal;
  std::string name;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;
  Attributes attributes;
  std::vector<SpanEvent> events;
  std::string status_message;
};

// opentelemetry-proto's SeverityNumber.
enum class Severity : uint8_t { kDebug = 5, kInfo = 9, kWarn = 13, kError = 17 };
const char* SeverityText(Severity severity);

struct Log {
  uint64_t time_ns = 0;
  Severity severity = Severity::kInfo;
  std::string body;
  Attributes attributes;
  TraceId trace;  // none: no context
  uint64_t span = 0;
};

struct Exemplar {
  uint64_t time_ns = 0;
  double value = 0;
  TraceId trace;
  uint64_t span = 0;
};

// Cumulative, with explicit bounds.
struct HistogramPoint {
  Attributes attributes;
  uint64_t count = 0;
  double sum = 0;
  std::vector<uint64_t> buckets;                   // one more than bounds
  std::vector<std::optional<Exemplar>> exemplars;  // beside the buckets
};

struct NumberPoint {
  Attributes attributes;
  int64_t value = 0;
};

struct Metric {
  enum class Kind : uint8_t { kGauge, kCounter, kHistogram };

  std::string name;
  std::string unit;
  std::string description;
  Kind kind = Kind::kGauge;
  std::vector<double> bounds;  // kHistogram
  std::vector<HistogramPoint> histogram;
  std::vector<NumberPoint> numbers;
};

// Serialised Export{Trace,Logs,Metrics}ServiceRequests with one resource and one scope.
std::string EncodeSpans(const Attributes& resource, const std::string& scope, const std::vector<Span>& spans);
std::string EncodeLogs(const Attributes& resource, const std::string& scope, const std::vector<Log>& logs);
std::string EncodeMetrics(const Attributes& resource, const std::string& scope,
                          const std::vector<Metric>& metrics, uint64_t start_ns, uint64_t now_ns);

}  // namespace braid::gateway::demo
