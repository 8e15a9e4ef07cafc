#pragma once

// The messages of Prometheus remote write as they arrive, checked and made addressable, before anything is
// made of them. Written from the field numbers of prompb/remote.proto and prompb/types.proto (1.0) and
// prompb/io/prometheus/write/v2/types.proto (2.0) of github.com/prometheus/prometheus.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "base/status.h"

namespace braid::ingest {

enum class RemoteWriteVersion : uint8_t { k1, k2 };
inline constexpr int kRemoteWriteVersions = 2;

// What a family is said to be; the numbers are those of both versions' MetricType.
enum class PrometheusType : uint8_t {
  kUnknown,
  kCounter,
  kGauge,
  kHistogram,
  kGaugeHistogram,
  kSummary,
  kInfo,
  kStateset,
};

// "counter", "gaugehistogram", ...: the word of a TYPE line, and of OTLP's metadata key prometheus.type.
std::string_view PrometheusTypeName(PrometheusType type);

// Why a series, or a part of one, will never be accepted.
enum class SeriesFault : uint8_t {
  kNone,
  kBadUtf8,         // a label or the metadata
  kNoName,          // no __name__, or an empty one
  kLabelName,       // empty, or there twice
  kLabelOrder,      // names do not rise
  kReference,       // an odd number of label references, or one beyond the symbols
  kNoSample,        // neither sample, histogram nor exemplar
  kMixed,           // samples and native histograms in one series
  kTimestamp,       // not positive, or beyond what nanoseconds in 63 bits hold
  kHistogram,       // a native histogram that contradicts itself, or of an unknown schema
  kGaugeHistogram,  // a native histogram that may fall: OTLP has none
  kFractional,      // a native histogram with counts that are no integers: OTLP has none
  kMetadata,        // a METADATA entry without name, or not UTF-8
};
inline constexpr int kSeriesFaults = 13;
std::string_view SeriesFaultName(SeriesFault fault);

struct WireLabel {
  std::string_view name;
  std::string_view value;
};

struct WireSample {
  double value = 0;
  int64_t time_ms = 0;
  int64_t start_ms = 0;  // 2.0; 0: unknown
};

struct WireSeries {
  uint32_t labels = 0, label_count = 0;  // first and number in the request's table
  uint32_t samples = 0, sample_count = 0;
  uint32_t histograms = 0, histogram_count = 0;
  uint32_t exemplars = 0, exemplar_count = 0;
  PrometheusType type = PrometheusType::kUnknown;  // 2.0
  SeriesFault fault = SeriesFault::kNone;
  uint32_t fault_label = 0;  // the label at fault, counted within the series
  std::string_view help;     // 2.0
  std::string_view unit;     // 2.0
};

// 1.0
struct WireMetadata {
  PrometheusType type = PrometheusType::kUnknown;
  SeriesFault fault = SeriesFault::kNone;
  std::string_view family;
  std::string_view help;
  std::string_view unit;
};

// One request. Views point into its bytes, tables into `memory`.
struct RemoteWriteRequest {
  RemoteWriteVersion version = RemoteWriteVersion::k1;
  std::span<std::string_view> symbols;  // 2.0; what is not UTF-8 has no data()
  std::span<WireSeries> series;
  std::span<WireLabel> labels;
  std::span<WireSample> samples;
  std::span<std::string_view> histograms;  // messages, for ParseNativeHistogram()
  std::span<std::string_view> exemplars;   // messages, for ParseExemplar()
  std::span<WireMetadata> metadata;
  Slab memory;

  std::span<WireLabel> LabelsOf(const WireSeries& s) const { return labels.subspan(s.labels, s.label_count); }
  std::span<WireSample> SamplesOf(const WireSeries& s) const {
    return samples.subspan(s.samples, s.sample_count);
  }
  std::span<std::string_view> HistogramsOf(const WireSeries& s) const {
    return histograms.subspan(s.histograms, s.histogram_count);
  }
  std::span<std::string_view> ExemplarsOf(const WireSeries& s) const {
    return exemplars.subspan(s.exemplars, s.exemplar_count);
  }
};

// Reads prometheus.WriteRequest (1.0) or io.prometheus.write.v2.Request (2.0).
//
// At least as strict as generated protobuf about framing, which costs the request (kInvalidArgument, with
// the place); also refused are groups, which proto3 has none of. What is wrong with a series costs that
// series: see WireSeries::fault. Label values may be empty, which means that the label is absent; such labels
// are left out.
//
// The request is walked twice: once to check and count, then, with the tables' exact size known, to fill
// them.
//   kResourceExhausted  the tables would take more than `max_tables` bytes
//   kUnavailable        the pool refuses
// Lifetime: `body` outlives the result. Thread rule: any thread.
Result<RemoteWriteRequest> ParseRemoteWrite(RemoteWriteVersion version, std::string_view body,
                                            size_t max_tables, SlabPool& pool);

struct BucketSpan {
  int32_t offset = 0;
  uint32_t length = 0;
};

// One native histogram, as sent. Reused, so that its vectors keep their room.
struct NativeHistogram {
  // Buckets and spans in one histogram; beyond it `too_large` is set, and no more are kept.
  static constexpr size_t kMaxBuckets = 1u << 16;

  bool count_is_float = false;
  uint64_t count_int = 0;
  double count_float = 0;
  double sum = 0;
  int32_t schema = 0;
  double zero_threshold = 0;
  bool zero_is_float = false;
  uint64_t zero_int = 0;
  double zero_float = 0;
  std::vector<BucketSpan> negative_spans;
  std::vector<int64_t> negative_deltas;
  std::vector<double> negative_counts;
  std::vector<BucketSpan> positive_spans;
  std::vector<int64_t> positive_deltas;
  std::vector<double> positive_counts;
  std::vector<double> custom_values;
  uint32_t reset_hint = 0;
  int64_t time_ms = 0;
  int64_t start_ms = 0;  // 2.0
  bool too_large = false;

  void Clear();
};

// False if the framing is broken, which ParseRemoteWrite() has excluded for its histograms.
bool ParseNativeHistogram(RemoteWriteVersion version, std::string_view message, NativeHistogram* to);

struct WireExemplar {
  // Labels of one exemplar; OpenMetrics allows 128 characters in all of them together. One with more is at
  // fault.
  static constexpr size_t kMaxLabels = 64;

  std::vector<WireLabel> labels;
  double value = 0;
  int64_t time_ms = 0;
  SeriesFault fault = SeriesFault::kNone;
};

// False if the framing is broken, which ParseRemoteWrite() has excluded for its exemplars.
bool ParseExemplar(const RemoteWriteRequest& request, std::string_view message, WireExemplar* to);

}  // namespace braid::ingest
