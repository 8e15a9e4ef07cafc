#include "exporters/encode/otlp_metrics.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/wire.h"

namespace braid::exporters {
namespace {

// Field numbers of opentelemetry-proto (metrics.proto, common.proto, resource.proto).
constexpr uint32_t kResourceMetrics = 1, kScopeMetrics = 2, kMetric = 2;  // in request, resource, scope
constexpr uint32_t kResource = 1, kResourceAttributes = 1, kScope = 1, kScopeName = 1;
constexpr uint32_t kKey = 1, kAnyValue = 2, kStringValue = 1;
constexpr uint32_t kName = 1, kDescription = 2, kUnit = 3, kGauge = 5, kSum = 7, kHistogram = 9,
                   kExponential = 10, kSummary = 11;
constexpr uint32_t kDataPoints = 1, kTemporality = 2, kMonotonic = 3;
constexpr uint64_t kCumulative = 2;
constexpr uint32_t kStart = 2, kTime = 3, kCount = 4, kPointSum = 5;  // of every kind of point
constexpr uint32_t kNumberAttributes = 7, kAsDouble = 4, kNumberExemplars = 5;
constexpr uint32_t kHistogramAttributes = 9, kBucketCounts = 6, kBounds = 7, kHistogramExemplars = 8;
constexpr uint32_t kExponentialAttributes = 1, kScale = 6, kZeroCount = 7, kPositive = 8, kNegative = 9,
                   kExponentialExemplars = 11, kZeroThreshold = 14;
constexpr uint32_t kOffset = 1, kOffsetCounts = 2;
constexpr uint32_t kSummaryAttributes = 7, kQuantiles = 6, kQuantile = 1, kQuantileValue = 2;
constexpr uint32_t kExemplarTime = 2, kExemplarDouble = 3, kExemplarSpan = 4, kExemplarTrace = 5,
                   kExemplarAttributes = 7;

// OTLP's buckets lie one beside the other; a histogram that is spread wider is made coarser.
constexpr int64_t kMostBuckets = 1024;
constexpr int32_t kLeastScale = -10;

uint64_t Whole(double count) { return count > 0 ? static_cast<uint64_t>(std::llround(count)) : 0; }

// UCUM's spelling of what OpenMetrics calls it.
std::string_view Ucum(std::string_view unit) {
  if (unit == "seconds") return "s";
  if (unit == "milliseconds") return "ms";
  if (unit == "bytes") return "By";
  if (unit == "ratio") return "1";
  return unit;
}

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

class Writer final : public OtlpMetricsWriter {
 public:
  Writer(const Options& options, SlabPool& slabs)
      : OtlpMetricsWriter(PageWriter::Options{.max_bytes = options.max_bytes}), o_(options), slabs_(slabs) {}

  size_t bytes() const override { return cut_bytes_ + metrics_.size() + points_.size(); }

  std::vector<ChunkPtr> Take() override { return std::move(chunks_); }

 private:
  void BeginFamily() override { kind_ = 0; }
  void EndFamily() override { CutMetric(); }
  void PutEnd() override {
    CutMetric();
    CutChunk();
  }

  void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) override {
    Open(kSum);
    Attributes(kNumberAttributes);
    Times(created_ns);
    wire::Writer(&point_).Double(kAsDouble, value);
    if (exemplar != nullptr) Exemplar(kNumberExemplars, *exemplar);
    Close();
  }

  void PutGauge(double value) override {
    Open(kGauge);
    Attributes(kNumberAttributes);
    Times(0);
    wire::Writer(&point_).Double(kAsDouble, value);
    Close();
  }

  void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) override {
    if (histogram.native != nullptr) {
      PutExponential(*histogram.native, histogram, created_ns);
      return;
    }
    Open(kHistogram);
    wire::Writer w(&point_);
    Times(created_ns);
    uint64_t count = 0;
    part_.clear();
    for (const double one : histogram.counts) {
      count += Whole(one);
      Append(&part_, Whole(one));
    }
    w.Fixed64(kCount, count);
    if (classic_sum) w.Double(kPointSum, histogram.sum);
    w.Bytes(kBucketCounts, part_);
    part_.clear();
    for (const double bound : histogram.bounds) Append(&part_, bound);
    if (!part_.empty()) w.Bytes(kBounds, part_);
    for (const ExemplarView* exemplar : histogram.exemplars) {
      if (exemplar != nullptr) Exemplar(kHistogramExemplars, *exemplar);
    }
    Attributes(kHistogramAttributes);
    Close();
  }

  void PutExponential(const NativeView& native, const HistogramView& histogram, uint64_t created_ns) {
    Open(kExponential);
    wire::Writer w(&point_);
    Attributes(kExponentialAttributes);
    Times(created_ns);
    positive_.assign(native.positive.begin(), native.positive.end());
    negative_.assign(native.negative.begin(), native.negative.end());
    int32_t scale = native.schema;
    while ((Spread(positive_) > kMostBuckets || Spread(negative_) > kMostBuckets) && scale > kLeastScale) {
      Coarsen(&positive_);
      Coarsen(&negative_);
      --scale;
    }
    uint64_t count = Whole(native.zero_count);
    for (const NativeBucket& bucket : positive_) count += Whole(bucket.count);
    for (const NativeBucket& bucket : negative_) count += Whole(bucket.count);
    w.Fixed64(kCount, count);
    if (histogram.has_sum) w.Double(kPointSum, histogram.sum);
    w.Sint(kScale, scale);
    w.Fixed64(kZeroCount, Whole(native.zero_count));
    Buckets(kPositive, positive_);
    Buckets(kNegative, negative_);
    for (const ExemplarView& exemplar : native.exemplars) Exemplar(kExponentialExemplars, exemplar);
    if (native.exemplars.empty()) {
      for (const ExemplarView* exemplar : histogram.exemplars) {
        if (exemplar != nullptr) Exemplar(kExponentialExemplars, *exemplar);
      }
    }
    w.Double(kZeroThreshold, native.zero_threshold);
    Close();
  }

  void PutSummary(const SummaryView& summary, uint64_t created_ns) override {
    Open(kSummary);
    wire::Writer w(&point_);
    Times(created_ns);
    w.Fixed64(kCount, summary.count);
    w.Double(kPointSum, summary.sum);
    for (size_t i = 0; i < summary.quantiles.size(); ++i) {
      part_.clear();
      wire::Writer q(&part_);
      q.Double(kQuantile, summary.quantiles[i]);
      q.Double(kQuantileValue, summary.values[i]);
      w.Bytes(kQuantiles, part_);
    }
    Attributes(kSummaryAttributes);
    Close();
  }

  static int64_t Spread(const std::vector<NativeBucket>& buckets) {
    return buckets.empty() ? 0 : int64_t{buckets.back().index} - buckets.front().index + 1;
  }

  // Halves the resolution: two neighbours, of which the upper one has an even index, become one.
  static void Coarsen(std::vector<NativeBucket>* buckets) {
    size_t kept = 0;
    for (const NativeBucket& bucket : *buckets) {
      // Rounds towards +infinity, below zero too.
      const int32_t index = (bucket.index >> 1) + (bucket.index & 1);
      if (kept > 0 && (*buckets)[kept - 1].index == index) {
        (*buckets)[kept - 1].count += bucket.count;
      } else {
        (*buckets)[kept++] = {index, bucket.count};
      }
    }
    buckets->resize(kept);
  }

  void Buckets(uint32_t field, const std::vector<NativeBucket>& buckets) {
    if (buckets.empty()) return;
    part_.clear();
    int64_t next = buckets.front().index;
    for (const NativeBucket& bucket : buckets) {
      for (; next < bucket.index; ++next) part_ += '\0';
      char varint[10];
      part_.append(varint, static_cast<size_t>(wire::WriteVarint(Whole(bucket.count), varint) - varint));
      ++next;
    }
    more_.clear();
    wire::Writer w(&more_);
    w.Sint(kOffset, int64_t{buckets.front().index} - 1);
    w.Bytes(kOffsetCounts, part_);
    wire::Writer(&point_).Bytes(field, more_);
  }

  void Open(uint32_t kind) {
    if (kind_ != kind) CutMetric();
    kind_ = kind;
    point_.clear();
  }

  void Close() {
    wire::Writer(&points_).Bytes(kDataPoints, point_);
    ++point_count_;
    if (points_.size() >= o_.metric_bytes) CutMetric();
  }

  void Times(uint64_t created_ns) {
    wire::Writer w(&point_);
    if (created_ns != 0) w.Fixed64(kStart, created_ns);
    w.Fixed64(kTime, o_.time_ns);
  }

  static void KeyValue(uint32_t field, std::string_view key, std::string_view value, std::string* out) {
    wire::Writer w(out);
    const size_t pair = w.Begin(field);
    w.Bytes(kKey, key);
    const size_t any = w.Begin(kAnyValue);
    w.Bytes(kStringValue, value);
    w.End(any);
    w.End(pair);
  }

  void Attributes(uint32_t field) {
    for (const Label& label : labels()) KeyValue(field, label.name, label.value, &point_);
  }

  void Exemplar(uint32_t field, const ExemplarView& exemplar) {
    // What ExemplarLabels() lets pass, without the IDs, which have fields of their own.
    ExemplarView plain = exemplar;
    plain.names = {};
    if (!ExemplarLabels(plain, &exemplar_labels_)) return;
    more_.clear();
    wire::Writer w(&more_);
    if (exemplar.time_ns != 0) w.Fixed64(kExemplarTime, exemplar.time_ns);
    w.Double(kExemplarDouble, exemplar.value);
    char id[16];
    if (exemplar.span != 0) {
      StoreBigEndian64(exemplar.span, id);
      w.Bytes(kExemplarSpan, {id, 8});
    }
    if (exemplar.trace.valid()) {
      StoreBigEndian64(exemplar.trace.hi, id);
      StoreBigEndian64(exemplar.trace.lo, id + 8);
      w.Bytes(kExemplarTrace, {id, 16});
    }
    const size_t ids = (exemplar.trace.valid() ? 1u : 0u) + (exemplar.span != 0 ? 1u : 0u);
    for (size_t i = ids; i < exemplar_labels_.size(); ++i) {
      KeyValue(kExemplarAttributes, exemplar_labels_[i].name, exemplar_labels_[i].value, &more_);
    }
    wire::Writer(&point_).Bytes(field, more_);
  }

  // The points so far become one Metric, an item of the chunk under way.
  void CutMetric() {
    if (point_count_ == 0) return;
    if (!metrics_.empty() && metrics_.size() + points_.size() > o_.chunk_bytes) CutChunk();
    const size_t begin = metrics_.size();
    wire::Writer w(&metrics_);
    const size_t metric = w.Begin(kMetric);
    w.Bytes(kName, family().name);
    if (!family().help.empty()) w.Bytes(kDescription, family().help);
    if (!family().unit.empty()) w.Bytes(kUnit, Ucum(family().unit));
    const size_t data = w.Begin(kind_);
    metrics_ += points_;
    if (kind_ == kSum || kind_ == kHistogram || kind_ == kExponential) w.Varint(kTemporality, kCumulative);
    if (kind_ == kSum) w.Varint(kMonotonic, 1);
    w.End(data);
    w.End(metric);
    items_.push_back({.trace_lo = 0,
                      .offset = static_cast<uint32_t>(begin),
                      .size = static_cast<uint32_t>(metrics_.size() - begin),
                      .group = 0,
                      .count = point_count_});
    count_ += point_count_;
    points_.clear();
    point_count_ = 0;
  }

  void CutChunk() {
    if (items_.empty()) return;
    auto chunk = std::make_shared<Chunk>();
    chunk->signal = Signal::kMetrics;
    chunk->count = count_;
    std::string request;
    request.reserve(metrics_.size() + 128);
    wire::Writer w(&request);
    ChunkGroup group;
    const size_t resource_metrics = w.Begin(kResourceMetrics);
    size_t begin = request.size();
    const size_t resource = w.Begin(kResource);
    KeyValue(kResourceAttributes, "service.name", o_.service, &request);
    w.End(resource);
    group.resource = {static_cast<uint32_t>(begin), static_cast<uint32_t>(request.size() - begin)};
    const size_t scope_metrics = w.Begin(kScopeMetrics);
    begin = request.size();
    const size_t scope = w.Begin(kScope);
    w.Bytes(kScopeName, o_.service);
    w.End(scope);
    group.scope = {static_cast<uint32_t>(begin), static_cast<uint32_t>(request.size() - begin)};
    begin = request.size();
    request += metrics_;
    w.End(scope_metrics);
    w.End(resource_metrics);
    for (ChunkItem& item : items_) item.offset += static_cast<uint32_t>(begin);
    group.item_count = static_cast<uint32_t>(items_.size());
    group.resource_key = 1;
    chunk->groups.push_back(group);
    chunk->items = std::move(items_);
    chunk->bytes = slabs_.TakeUnbounded(request.size());
    chunk->bytes.Append(request);
    cut_bytes_ += request.size();
    chunks_.push_back(std::move(chunk));
    items_.clear();
    metrics_.clear();
    count_ = 0;
  }

  const Options o_;
  SlabPool& slabs_;
  std::vector<ChunkPtr> chunks_;
  size_t cut_bytes_ = 0;

  // The chunk under way.
  std::string metrics_;
  std::vector<ChunkItem> items_;
  uint64_t count_ = 0;

  // The Metric under way: its points, which are all of one kind, a field number of Metric.
  uint32_t kind_ = 0;
  std::string points_;
  uint32_t point_count_ = 0;

  std::string point_;
  std::string part_;
  std::string more_;
  std::vector<Label> exemplar_labels_;
  std::vector<NativeBucket> positive_;
  std::vector<NativeBucket> negative_;
};

}  // namespace

std::unique_ptr<OtlpMetricsWriter> OtlpMetricsWriter::New(const Options& options, SlabPool& slabs) {
  return std::make_unique<Writer>(options, slabs);
}

}  // namespace braid::exporters
