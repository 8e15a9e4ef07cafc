#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
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
constexpr uint32_t kSchema = 5, kZeroThreshold = 6, kZeroCount = 7, kZeroCountFloat = 8, kNativeExemplar = 16;
struct SideFields {
  uint32_t span, delta, count;
};
constexpr SideFields kNegative = {9, 10, 11}, kPositive = {12, 13, 14};
constexpr uint32_t kSpanOffset = 1, kSpanLength = 2;
constexpr uint32_t kBucketCount = 1, kBucketBound = 2, kBucketExemplar = 3, kBucketCountFloat = 4;
constexpr uint32_t kQuantile = 1, kQuantileValue = 2;
constexpr uint32_t kExemplarLabel = 1, kExemplarValue = 2, kExemplarTime = 3;
constexpr uint32_t kTimeSeconds = 1, kTimeNanos = 2;

constexpr size_t kLengthBytes = 5;

// What a zero bucket of no width is written with. Prometheus before 2.47 knows a native histogram by its zero
// bucket or its deltas only, so without a width it takes one that is empty, or has counts as doubles, for a
// classic one. Prometheus itself gives this width to what it receives over OTLP.
constexpr double kLeastZeroThreshold = 1e-128;

// What a double holds exactly as a whole number.
bool IsWhole(double value) { return value >= 0 && value <= 0x1p53 && std::floor(value) == value; }

bool IsWholeNative(const NativeView& native) {
  const auto whole = [](const NativeBucket& bucket) { return IsWhole(bucket.count); };
  return IsWhole(native.zero_count) && std::all_of(native.positive.begin(), native.positive.end(), whole) &&
         std::all_of(native.negative.begin(), native.negative.end(), whole);
}

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
    natives_.reset();
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
    wire::Writer(&point_).Double(kValue, Plain(value));
    Metric(family().type == MetricType::kUnknown ? kMetricUntyped : kMetricGauge);
  }

  void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) override {
    const NativeView* native = histogram.native;
    Separate(native != nullptr);
    // Weighted counts need not be whole; then the message has them as doubles.
    const double count = native != nullptr ? native->count() : histogram.count();
    const bool whole = IsWhole(count) &&
                       std::all_of(histogram.counts.begin(), histogram.counts.end(), IsWhole) &&
                       (native == nullptr || IsWholeNative(*native));
    point_.clear();
    wire::Writer w(&point_);
    Count(kSampleCount, kSampleCountFloat, count, whole, &point_);
    // Absent, a sum reads as 0, which is wrong where it is unknown. Native histograms have a place for that.
    if (native != nullptr) {
      w.Double(kSampleSum, histogram.has_sum ? Plain(histogram.sum) : kNaN);
    } else if (classic_sum) {
      w.Double(kSampleSum, histogram.sum);
    }
    double cumulative = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      cumulative += histogram.counts[i];
      bucket_.clear();
      wire::Writer b(&bucket_);
      Count(kBucketCount, kBucketCountFloat, cumulative, whole, &bucket_);
      b.Double(kBucketBound,
               i < histogram.bounds.size() ? histogram.bounds[i] : std::numeric_limits<double>::infinity());
      if (i < histogram.exemplars.size()) Exemplar(kBucketExemplar, histogram.exemplars[i], &bucket_);
      w.Bytes(kHistogramBucket, bucket_);
    }
    if (native != nullptr) Native(*native, whole, histogram.counts.empty());
    Time(kHistogramCreated, created_ns, &point_);
    Metric(kMetricHistogram);
  }

  // Older readers know no fractions, so a count that has one is there rounded too; readers that know them are
  // to prefer them.
  static void Count(uint32_t field, uint32_t float_field, double count, bool whole, std::string* to) {
    wire::Writer w(to);
    w.Varint(field, static_cast<uint64_t>(std::min(std::round(count), kMaxCount)));
    if (!whole) w.Double(float_field, count);
  }

  // Prometheus 2 decides by a family's first histogram what all of them are, and refuses the page if a
  // classic one follows a native one. So each kind has a message of its own, of the same name.
  void Separate(bool native) {
    if (natives_ && *natives_ != native) {
      EndFamily();
      BeginFamily();
    }
    natives_ = native;
  }

  void Native(const NativeView& native, bool whole, bool alone) {
    wire::Writer w(&point_);
    w.Sint(kSchema, native.schema);
    w.Double(kZeroThreshold, std::max(native.zero_threshold, kLeastZeroThreshold));
    if (whole) {
      w.Varint(kZeroCount, static_cast<uint64_t>(native.zero_count));
    } else {
      w.Double(kZeroCountFloat, native.zero_count);
    }
    Side(native.negative, whole, kNegative);
    Side(native.positive, whole, kPositive);
    // Readers know a native histogram by its spans: one without any has an empty one.
    if (native.positive.empty() && native.negative.empty()) Span(kPositive.span, 0, 0);
    if (!alone) return;
    for (const ExemplarView& exemplar : native.exemplars) {
      if (exemplar.time_ns == 0) {
        DropExemplar();
      } else {
        Exemplar(kNativeExemplar, &exemplar, &point_);
      }
    }
  }

  // Runs of neighbouring buckets, then what is in all of them.
  void Side(std::span<const NativeBucket> buckets, bool whole, const SideFields& fields) {
    if (buckets.empty()) return;
    bucket_.clear();
    int32_t next = 0;  // the index after the run before
    int64_t last = 0;
    for (size_t begin = 0, end = 1; begin < buckets.size(); begin = end++) {
      while (end < buckets.size() && buckets[end].index == buckets[end - 1].index + 1) ++end;
      Span(fields.span, buckets[begin].index - next, end - begin);
      next = buckets[end - 1].index + 1;
    }
    for (const NativeBucket& bucket : buckets) {
      char word[10];
      if (whole) {
        const int64_t count = static_cast<int64_t>(bucket.count);
        const int64_t delta = count - std::exchange(last, count);
        const uint64_t zigzag = static_cast<uint64_t>(delta) << 1 ^ static_cast<uint64_t>(delta >> 63);
        bucket_.append(word, wire::WriteVarint(zigzag, word));
      } else {
        std::memcpy(word, &bucket.count, sizeof bucket.count);
        bucket_.append(word, sizeof bucket.count);
      }
    }
    wire::Writer(&point_).Bytes(whole ? fields.delta : fields.count, bucket_);
  }

  void Span(uint32_t field, int32_t offset, size_t length) {
    label_.clear();
    wire::Writer w(&label_);
    w.Sint(kSpanOffset, offset);
    w.Varint(kSpanLength, length);
    wire::Writer(&point_).Bytes(field, label_);
  }

  void PutSummary(const SummaryView& summary, uint64_t created_ns) override {
    point_.clear();
    wire::Writer w(&point_);
    w.Varint(kSampleCount, summary.count);
    w.Double(kSampleSum, Plain(summary.sum));
    for (size_t i = 0; i < summary.quantiles.size(); ++i) {
      bucket_.clear();
      wire::Writer q(&bucket_);
      q.Double(kQuantile, summary.quantiles[i]);
      q.Double(kQuantileValue, Plain(summary.values[i]));
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

  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  static constexpr double kMaxCount = 0x1p63;

  // Of all the numbers that are none, Prometheus takes one for the end of a series.
  static double Plain(double value) { return std::isnan(value) ? kNaN : value; }

  size_t length_at_ = 0;
  std::optional<bool> natives_;  // what the open family's message has so far
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
