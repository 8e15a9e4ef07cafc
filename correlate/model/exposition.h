#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/ids.h"

namespace braid {

struct Label {
  std::string_view name;
  std::string_view value;
};

// The labels that the IDs of an exemplar have where a format has no fields for them. Without a name the ID is
// left out.
struct ExemplarNames {
  std::string_view trace_id = "trace_id";
  std::string_view span_id = "span_id";
};

// One exemplar: a measurement and the trace it came from.
struct ExemplarView {
  double value = 0;
  uint64_t time_ns = 0;
  TraceId trace;
  uint64_t span = 0;
  std::span<const Label>
      extra;  // filtered attributes of an ingested exemplar; first to go at the 128-rune limit
  ExemplarNames names = {};
};

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram, kSummary, kUnknown };

inline constexpr std::array<std::string_view, 3> kCounterSuffixes = {"", "_total", "_created"};
inline constexpr std::array<std::string_view, 5> kHistogramSuffixes = {"", "_bucket", "_sum", "_count",
                                                                       "_created"};
inline constexpr std::array<std::string_view, 4> kSummarySuffixes = {"", "_sum", "_count", "_created"};
inline constexpr std::array<std::string_view, 1> kPlainSuffixes = {""};

// What follows a family's name in the names of its samples, and "" for the name itself: no other family of a
// page may use any of them (OpenMetrics 1.0, "Metric Naming").
constexpr std::span<const std::string_view> SampleSuffixes(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return kCounterSuffixes;
    case MetricType::kHistogram: return kHistogramSuffixes;
    case MetricType::kSummary: return kSummarySuffixes;
    case MetricType::kGauge:
    case MetricType::kUnknown: return kPlainSuffixes;
  }
  return {};
}

struct FamilyView {
  std::string_view name;  // without _total, _bucket, ...; a valid metric name
  std::string_view help;
  std::string_view unit;  // OpenMetrics UNIT; empty, or a suffix of the name
  MetricType type = MetricType::kUnknown;
};

// One bucket of a native histogram: values in (2^((index - 1) / 2^schema), 2^(index / 2^schema)], or the
// negatives of them.
struct NativeBucket {
  int32_t index = 0;
  double count = 0;  // not cumulative

  friend bool operator==(const NativeBucket&, const NativeBucket&) = default;
};

inline constexpr int32_t kNativeMinSchema = -4;
inline constexpr int32_t kNativeMaxSchema = 8;

// A native histogram (Prometheus, model/histogram; OTLP calls it exponential, and its bucket i is our
// i + 1). Counts are doubles, because weighted observations are.
struct NativeView {
  int32_t schema = 3;         // kNativeMinSchema..kNativeMaxSchema: 2^schema buckets for each power of two
  double zero_threshold = 0;  // |values| up to it are in zero_count
  double zero_count = 0;
  std::span<const NativeBucket> positive = {};  // by rising index, none twice, counts above 0
  std::span<const NativeBucket> negative = {};
  std::span<const ExemplarView> exemplars = {};

  // Added up side by side and the zeros last: Prometheus refuses a whole scrape where what it adds up of both
  // sides, in this order, exceeds the count, be it by a rounding.
  double count() const {
    double below = 0;
    double above = 0;
    for (const NativeBucket& bucket : negative) below += bucket.count;
    for (const NativeBucket& bucket : positive) above += bucket.count;
    return below + above + zero_count;
  }
};

// A histogram in classic buckets, native ones, or both (then of the same observations).
struct HistogramView {
  std::span<const double> bounds = {};  // upper bounds, rising, without +Inf
  std::span<const double> counts = {};  // per bucket, not cumulative; bounds.size() + 1 of them, or none
  double sum = 0;
  bool has_sum = true;                                  // false where negative observations forbid one
  std::span<const ExemplarView* const> exemplars = {};  // per classic bucket, null where none; or empty
  const NativeView* native = nullptr;                   // not null where `counts` is empty

  double count() const {
    if (counts.empty()) return native != nullptr ? native->count() : 0;
    double sum_of_counts = 0;
    for (const double n : counts) sum_of_counts += n;
    return sum_of_counts;
  }
};

struct SummaryView {
  std::span<const double> quantiles;
  std::span<const double> values;
  double sum = 0;
  uint64_t count = 0;
};

// Receives metric families one by one; writes one page in one format. A producer calls Family() and then
// only points of that family, so pages are contiguous by construction. Nothing passed in needs to outlive the
// call.
class ExpositionWriter {
 public:
  virtual ~ExpositionWriter() = default;

  virtual void Family(const FamilyView& family) = 0;

  // `created_ns` 0: unknown. `exemplar` may be null.
  virtual void Counter(std::span<const Label> labels, double value, uint64_t created_ns,
                       const ExemplarView* exemplar) = 0;
  virtual void Gauge(std::span<const Label> labels, double value) = 0;
  virtual void Histogram(std::span<const Label> labels, const HistogramView& histogram,
                         uint64_t created_ns) = 0;
  virtual void Summary(std::span<const Label> labels, const SummaryView& summary, uint64_t created_ns) = 0;
};

}  // namespace braid
