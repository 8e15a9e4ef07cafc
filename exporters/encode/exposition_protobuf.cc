#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/wire.h"
#include "exporters/encode/exposition.h"

namespace braid::exporters {

std::unique_ptr<PageWriter> NewProtobufWriter(const PageWriter::Options& options);

namespace {

// Field numbers of io.prometheus.client (prometheus/client_model io/prometheus/client/metrics.proto).
constexpr uint32_t kFamilyName = 1, kFamilyHelp = 2, kFamilyType = 3, kFamilyMetric = 4, kFamilyUnit = 5;
constexpr uint32_t kMetricLabel = 1, kMetricGauge = 2, kMetricCounter = 3, kMetricSummary = 4,
                   kMetricUntyped = 5, kMetricHistogram = 7;
constexpr uint32_t kLabelName = 1, kLabelValue = 2;
constexpr uint32_t kValue = 1, kCounterExemplar = 2, kCounterCreated = 3;
constexpr uint32_t kSampleCount = 1, kSampleSum = 2, kSummaryQuantile = 3, kSummaryCreated = 4;
constexpr uint32_t kSampleCountFloat = 4, kHistogramBucket = 3, kHistogramCreated = 15;
constexpr uint32_t kBucketCount = 1, kBucketBound = 2, kBucketExemplar = 3, kBucketCountFloat = 4;
constexpr uint32_t kQuantile = 1, kQuantileValue = 2;
constexpr uint32_t kExemplarLabel = 1, kExemplarValue = 2, kExemplarTime = 3;
constexpr uint32_t kTimeSeconds = 1, kTimeNanos = 2;

constexpr size_t kLengthBytes = 5;

// What a double holds exactly as a whole number.
bool IsWhole(double value) { return value >= 0 && value <= 0x1p53 && std::floor(value) == value; }

uint64_t TypeNumber(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return 0;
    case MetricType::kGauge: return 1;
    case MetricType::kSummary: return 2;
    case MetricType::kUnknown: return 3;
    case MetricType::kHistogram: return 4;
  }
  return 3;
}

// Messages nest in strings of their own, inner first, so that every length is known when it is written.
class ProtobufWriter final : public PageWriter {
 public:
  explicit ProtobufWriter(const Options& options) : PageWriter(options) {}

 private:
  void BeginFamily() override {
    // The family's length stands before it and is filled in behind it: a varint padded to full width.
    length_at_ = bytes();
    out().append(kLengthBytes, '\0');
    wire::Writer w(&out());
    w.Bytes(kFamilyName, family().type == MetricType::kCounter ? family().name + "_total" : family().name);
    if (!family().help.empty()) w.Bytes(kFamilyHelp, family().help);
    w.Varint(kFamilyType, TypeNumber(family().type));
    if (!family().unit.empty()) w.Bytes(kFamilyUnit, family().unit);
  }

  void EndFamily() override {
    uint64_t length = bytes() - length_at_ - kLengthBytes;
    char padded[kLengthBytes];
    for (size_t i = 0; i < kLengthBytes; ++i, length >>= 7) {
      padded[i] = static_cast<char>((length & 0x7f) | (i + 1 < kLengthBytes ? 0x80 : 0));
    }
    Patch(length_at_, {padded, kLengthBytes});
  }

  void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) override {
    point_.clear();
    wire::Writer w(&point_);
    w.Double(kValue, value);
    Exemplar(kCounterExemplar, exemplar, &point_);
    Time(kCounterCreated, created_ns, &point_);
    Metric(kMetricCounter);
  }

  void PutGauge(double value) override {
    point_.clear();
    wire::Writer(&point_).Double(kValue, value);
    Metric(family().type == MetricType::kUnknown ? kMetricUntyped : kMetricGauge);
  }

  void PutHistogram(const HistogramView& histogram, uint64_t created_ns) override {
    // Weighted counts need not be whole; then the message has them as doubles.
    const bool whole = std::all_of(histogram.counts.begin(), histogram.counts.end(), IsWhole);
    point_.clear();
    wire::Writer w(&point_);
    if (whole) {
      w.Varint(kSampleCount, static_cast<uint64_t>(histogram.count()));
    } else {
      w.Double(kSampleCountFloat, histogram.count());
    }
    if (histogram.has_sum) w.Double(kSampleSum, histogram.sum);
    double cumulative = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      cumulative += histogram.counts[i];
      bucket_.clear();
      wire::Writer b(&bucket_);
      if (whole) {
        b.Varint(kBucketCount, static_cast<uint64_t>(cumulative));
      } else {
        b.Double(kBucketCountFloat, cumulative);
      }
      b.Double(kBucketBound,
               i < histogram.bounds.size() ? histogram.bounds[i] : std::numeric_limits<double>::infinity());
      if (i < histogram.exemplars.size()) Exemplar(kBucketExemplar, histogram.exemplars[i], &bucket_);
      w.Bytes(kHistogramBucket, bucket_);
    }
    Time(kHistogramCreated, created_ns, &point_);
    Metric(kMetricHistogram);
  }

  void PutSummary(const SummaryView& summary, uint64_t created_ns) override {
    point_.clear();
    wire::Writer w(&point_);
    w.Varint(kSampleCount, summary.count);
    w.Double(kSampleSum, summary.sum);
    for (size_t i = 0; i < summary.quantiles.size(); ++i) {
      bucket_.clear();
      wire::Writer q(&bucket_);
      q.Double(kQuantile, summary.quantiles[i]);
      q.Double(kQuantileValue, summary.values[i]);
      w.Bytes(kSummaryQuantile, bucket_);
    }
    Time(kSummaryCreated, created_ns, &point_);
    Metric(kMetricSummary);
  }

  // point_ as the value `field` of a Metric with the point's labels.
  void Metric(uint32_t field) {
    metric_.clear();
    for (const Label& label : labels()) LabelPair(kMetricLabel, label, &metric_);
    wire::Writer(&metric_).Bytes(field, point_);
    wire::Writer(&out()).Bytes(kFamilyMetric, metric_);
  }

  void LabelPair(uint32_t field, const Label& label, std::string* to) {
    label_.clear();
    wire::Writer w(&label_);
    w.Bytes(kLabelName, label.name);
    w.Bytes(kLabelValue, label.value);
    wire::Writer(to).Bytes(field, label_);
  }

  void Exemplar(uint32_t field, const ExemplarView* exemplar, std::string* to) {
    if (exemplar == nullptr || !ExemplarLabels(*exemplar, &exemplar_labels_)) return;
    exemplar_.clear();
    for (const Label& label : exemplar_labels_) LabelPair(kExemplarLabel, label, &exemplar_);
    wire::Writer(&exemplar_).Double(kExemplarValue, exemplar->value);
    Time(kExemplarTime, exemplar->time_ns, &exemplar_);
    wire::Writer(to).Bytes(field, exemplar_);
  }

  static void Time(uint32_t field, uint64_t ns, std::string* to) {
    if (ns == 0) return;
    std::string time;  // at most 17 bytes: stays inside the object or one small block
    wire::Writer w(&time);
    w.Varint(kTimeSeconds, ns / 1'000'000'000);
    w.Varint(kTimeNanos, ns % 1'000'000'000);
    wire::Writer(to).Bytes(field, time);
  }

  size_t length_at_ = 0;
  std::string metric_;
  std::string point_;
  std::string bucket_;
  std::string label_;
  std::string exemplar_;
  std::vector<Label> exemplar_labels_;
};

}  // namespace

std::unique_ptr<PageWriter> NewProtobufWriter(const PageWriter::Options& options) {
  return std::make_unique<ProtobufWriter>(options);
}

}  // namespace braid::exporters
