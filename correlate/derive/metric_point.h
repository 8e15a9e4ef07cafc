#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "correlate/derive/metric_labels.h"
#include "correlate/derive/native_histogram.h"
#include "correlate/model/exposition.h"

// OTLP metrics as read from the wire: one Metric, one of its data points, one exemplar. The bytes have been
// validated by decode; views are into them.
namespace braid::correlate {

// Field numbers of opentelemetry.proto.metrics.v1.Metric's oneof.
constexpr uint32_t kMetricGauge = 5, kMetricSum = 7, kMetricHistogram = 9, kMetricExponential = 10,
                   kMetricSummary = 11;
constexpr uint32_t kDataPoints = 1;  // in each of them
constexpr uint64_t kDelta = 1, kCumulative = 2;
constexpr uint64_t kNoRecordedValue = 1;

struct KeptExemplar {
  double value = 0;
  uint64_t time_ns = 0;
  TraceId trace;
  uint64_t span = 0;
  std::vector<NameValue> extra;
};
using KeptExemplarPtr = std::shared_ptr<const KeptExemplar>;

// Null if it has no value.
KeptExemplarPtr ParseExemplar(std::string_view message);

// One Metric: what all of its points share.
struct ParsedMetric {
  std::string_view name;
  std::string_view help;
  std::string_view unit;
  uint32_t data = 0;                    // field number of the oneof's member
  std::vector<std::string_view> parts;  // its messages: a member that occurs twice is merged
  uint64_t temporality = 0;
  bool monotonic = false;

  // From the metadata: what the metric was in Prometheus before it became OTLP (see RemoteWriteTranslator).
  // The name is empty unless it is one that a page can show as it is.
  std::string_view prometheus_name;
  std::string_view prometheus_type;

  // A metric that comes from Prometheus is shown under its own name. So a counter without _total has no type
  // there: pages give counters that suffix. Nor has what nobody knows the type of, nor a part of a histogram.
  MetricType type() const {
    if (!prometheus_name.empty() && (data == kMetricSum || data == kMetricGauge)) {
      if (prometheus_name == "target_info" || prometheus_type == "gauge" || prometheus_type == "info" ||
          prometheus_type == "stateset") {
        return MetricType::kGauge;
      }
      const bool counter = monotonic && prometheus_type == "counter" && prometheus_name.ends_with("_total");
      return counter && prometheus_name != "_total" ? MetricType::kCounter : MetricType::kUnknown;
    }
    switch (data) {
      case kMetricSum: return monotonic ? MetricType::kCounter : MetricType::kGauge;
      case kMetricHistogram:
      case kMetricExponential: return MetricType::kHistogram;
      case kMetricSummary: return MetricType::kSummary;
      default: return MetricType::kGauge;
    }
  }
  bool has_temporality() const {
    return data == kMetricSum || data == kMetricHistogram || data == kMetricExponential;
  }
};
void ParseMetric(std::string_view message, ParsedMetric* metric);

// One data point of any type; what another type has is empty.
struct ParsedPoint {
  std::vector<std::string_view> attributes;
  std::vector<std::string_view> exemplars;
  uint64_t start_ns = 0;
  uint64_t time_ns = 0;
  uint64_t flags = 0;
  bool has_value = false;   // and what there is fits together
  bool too_coarse = false;  // an exponential histogram of a scale below the least schema
  double value = 0;
  uint64_t count = 0;
  bool has_sum = false;
  double sum = 0;
  std::vector<double> counts;
  std::vector<double> bounds;
  std::vector<double> quantiles;
  std::vector<double> values;
  NativeBuckets native;  // of an exponential histogram, within its Limit()

  void Clear() {
    attributes.clear();
    exemplars.clear();
    start_ns = time_ns = flags = count = 0;
    has_value = too_coarse = has_sum = false;
    value = sum = 0;
    counts.clear();
    bounds.clear();
    quantiles.clear();
    values.clear();
    native.Clear();
  }
};
void ParsePoint(const ParsedMetric& metric, std::string_view message, ParsedPoint* point);

}  // namespace braid::correlate
