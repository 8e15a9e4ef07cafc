#include "exporters/encode/otlp_metrics.h"

#include <xxhash.h>

#include <algorithm>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "base/ids.h"
#include "base/wire.h"
#include "exporters/encode/otlp_buckets.h"
#include "exporters/encode/otlp_metric_fields.h"
#include "exporters/encode/otlp_point.h"

namespace braid::exporters {

using namespace otlp_fields;

namespace {

constexpr std::string_view kScopeOfAll = "braid";

// A place's mark: what was sent of the point last was rounded.
constexpr uint32_t kRounded = 1;

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

void KeyValue(uint32_t field, std::string_view key, std::string_view value, std::string* out) {
  wire::Writer w(out);
  const size_t pair = w.Begin(field);
  w.Bytes(kKey, key);
  const size_t any = w.Begin(kAnyValue);
  w.Bytes(kStringValue, value);
  w.End(any);
  w.End(pair);
}

}  // namespace

class OtlpRounds::Writer final : public RoundWriter {
 public:
  Writer(const OtlpRounds::Options& options, SlabPool& slabs, SentPoints& sent, Stats& totals,
         int64_t time_ms)
      : RoundWriter({.max_bytes = options.max_bytes}),
        o_(options),
        slabs_(slabs),
        sent_(sent),
        totals_(totals),
        time_ns_(static_cast<uint64_t>(time_ms) * 1'000'000) {}

  size_t bytes() const override { return cut_bytes_ + metrics_.size() + points_bytes_.size(); }

  void PutGone(const SentPoints::Place& place) override {
    const Chunk& chunk = sent_.ChunkOf(place);
    const ChunkItem& item = chunk.items[place.item];
    const OtlpMetricHead head = ReadOtlpMetricHead(chunk.ItemBytes(item));
    if (head.kind != kind_ || head.name != name_) {
      CutMetric();
      kind_ = head.kind;
      name_ = head.name;
      help_ = head.description;
      unit_ = head.unit;
    }
    point_.clear();
    AppendEndOfSeries(kind_, PointAt(place), time_ns_, &point_);
    ++totals_.stale_markers;
    wire::Writer(&points_bytes_).Bytes(kDataPoints, point_);
    Added();
  }

  std::vector<ChunkPtr> Take() override {
    CutMetric();
    CutChunk();
    return std::move(chunks_);
  }

 private:
  void BeginFamily() override {
    kind_ = 0;
    name_ = family().name;
    help_ = family().help;
    unit_ = Ucum(family().unit);
    family_hash_ = XXH3_64bits(name_.data(), name_.size());
  }
  void EndFamily() override { CutMetric(); }

  void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) override {
    Open(kSum, kNumberAttributes);
    Times(created_ns);
    wire::Writer(&point_).Double(kAsDouble, value);
    if (exemplar != nullptr) Exemplar(kNumberExemplars, *exemplar);
    Close();
  }

  void PutGauge(double value) override {
    Open(kGauge, kNumberAttributes);
    Times(0);
    wire::Writer(&point_).Double(kAsDouble, value);
    Close();
  }

  void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) override {
    if (histogram.native != nullptr) {
      PutExponential(*histogram.native, histogram, created_ns);
      return;
    }
    Open(kHistogram, kHistogramAttributes);
    wire::Writer w(&point_);
    Times(created_ns);
    buckets_.SetExplicit(histogram.counts, Before(OtlpBuckets::HasFraction(histogram.counts), created_ns));
    rounded_ = buckets_.rounded();
    w.Fixed64(kCount, buckets_.count());
    if (classic_sum) w.Double(kPointSum, histogram.sum);
    const std::span<const uint64_t> counts = buckets_.counts();
    w.Bytes(kBucketCounts, {reinterpret_cast<const char*>(counts.data()), counts.size_bytes()});
    part_.clear();
    for (const double bound : histogram.bounds) Append(&part_, bound);
    if (!part_.empty()) w.Bytes(kBounds, part_);
    for (const ExemplarView* exemplar : histogram.exemplars) {
      if (exemplar != nullptr) Exemplar(kHistogramExemplars, *exemplar);
    }
    Close();
  }

  void PutExponential(const NativeView& native, const HistogramView& histogram, uint64_t created_ns) {
    Open(kExponential, kExponentialAttributes);
    wire::Writer w(&point_);
    Times(created_ns);
    buckets_.SetExponential(native, Before(OtlpBuckets::HasFraction(native), created_ns));
    rounded_ = buckets_.rounded();
    w.Fixed64(kCount, buckets_.count());
    if (histogram.has_sum) w.Double(kPointSum, histogram.sum);
    w.Sint(kScale, buckets_.scale());
    w.Fixed64(kZeroCount, buckets_.zero_count());
    const OtlpBuckets& b = buckets_;
    Buckets(
        kPositive, b.positive(), [&b](size_t i) { return b.positive_index(i); },
        [&b](size_t i) { return b.positive_count(i); });
    Buckets(
        kNegative, b.negative(), [&b](size_t i) { return b.negative_index(i); },
        [&b](size_t i) { return b.negative_count(i); });
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
    Open(kSummary, kSummaryAttributes);
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
    Close();
  }

  // What was sent of this histogram since it began, if that matters.
  OtlpSentHistogram* Before(bool fraction, uint64_t created_ns) {
    if (!has_before_ || (!fraction && sent_[id_].mark != kRounded)) return nullptr;
    before_.Read(kind_, PointAt(sent_[id_]));
    return before_.start_ns == created_ns ? &before_ : nullptr;
  }

  template <typename Index, typename Count>
  void Buckets(uint32_t field, size_t size, Index index, Count count) {
    if (size == 0) return;
    part_.clear();
    int64_t next = index(0);
    for (size_t i = 0; i < size; ++i, ++next) {
      for (; next < index(i); ++next) part_ += '\0';
      char varint[10];
      part_.append(varint, static_cast<size_t>(wire::WriteVarint(count(i), varint) - varint));
    }
    more_.clear();
    wire::Writer w(&more_);
    w.Sint(kOffset, int64_t{index(0)} - 1);
    w.Bytes(kOffsetCounts, part_);
    wire::Writer(&point_).Bytes(field, more_);
  }

  // Begins a point, with the labels that were checked.
  void Open(uint32_t kind, uint32_t attributes) {
    if (kind_ != kind) CutMetric();
    kind_ = kind;
    point_.clear();
    for (const Label& label : labels()) KeyValue(attributes, label.name, label.value, &point_);
    const XXH128_hash_t hash = XXH3_128bits_withSeed(point_.data(), point_.size(), family_hash_ ^ kind);
    SentPoints::Seen seen;
    std::tie(id_, seen) = sent_.Find({hash.low64, hash.high64});
    has_before_ = seen == SentPoints::Seen::kBefore;
    rounded_ = false;
  }

  void Close() {
    ++points_;
    sent_[id_].mark = rounded_ ? kRounded : 0;
    under_way_.push_back({id_, static_cast<uint32_t>(points_bytes_.size())});
    wire::Writer(&points_bytes_).Bytes(kDataPoints, point_);
    Added();
  }

  void Added() {
    ++point_count_;
    if (points_bytes_.size() >= o_.metric_bytes) CutMetric();
  }

  // The content of a point of the round before.
  std::string_view PointAt(const SentPoints::Place& place) const {
    const Chunk& chunk = sent_.ChunkOf(place);
    const ChunkItem& item = chunk.items[place.item];
    wire::Cursor point(chunk.view().substr(item.offset + place.at, item.size - place.at));
    return point.Next() ? point.field().bytes : std::string_view();
  }

  void Times(uint64_t created_ns) {
    wire::Writer w(&point_);
    if (created_ns != 0) w.Fixed64(kStart, created_ns);
    w.Fixed64(kTime, time_ns_);
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
    ++totals_.exemplars;
  }

  // The points so far become one Metric, an item of the chunk under way.
  void CutMetric() {
    if (point_count_ == 0) return;
    if (!metrics_.empty() && metrics_.size() + points_bytes_.size() > o_.chunk_bytes) CutChunk();
    const size_t begin = metrics_.size();
    wire::Writer w(&metrics_);
    const size_t metric = w.Begin(kMetric);
    w.Bytes(kName, name_);
    if (!help_.empty()) w.Bytes(kDescription, help_);
    if (!unit_.empty()) w.Bytes(kUnit, unit_);
    const size_t data = w.Begin(kind_);
    for (const auto& [id, at] : under_way_) {
      SentPoints::Place& place = sent_[id];
      place.chunk = static_cast<uint32_t>(chunks_.size());
      place.item = static_cast<uint32_t>(items_.size());
      place.at = static_cast<uint32_t>(data - begin) + at;
    }
    under_way_.clear();
    metrics_ += points_bytes_;
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
    points_bytes_.clear();
    point_count_ = 0;
  }

  void CutChunk() {
    if (items_.empty()) return;
    auto chunk = std::make_shared<Chunk>();
    chunk->signal = Signal::kMetrics;
    chunk->in_order = true;
    chunk->count = count_;
    std::string request;
    request.reserve(metrics_.size() + 128);
    wire::Writer w(&request);
    ChunkGroup group;
    const size_t resource_metrics = w.Begin(kResourceMetrics);
    size_t begin = request.size();
    const size_t resource = w.Begin(kResource);
    for (const auto& [key, value] : o_.resource) KeyValue(kResourceAttributes, key, value, &request);
    w.End(resource);
    group.resource = {static_cast<uint32_t>(begin), static_cast<uint32_t>(request.size() - begin)};
    const size_t scope_metrics = w.Begin(kScopeMetrics);
    begin = request.size();
    const size_t scope = w.Begin(kScope);
    w.Bytes(kScopeName, kScopeOfAll);
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
    totals_.samples += count_;
    chunks_.push_back(std::move(chunk));
    items_.clear();
    metrics_.clear();
    count_ = 0;
  }

  const OtlpRounds::Options& o_;
  SlabPool& slabs_;
  SentPoints& sent_;
  Stats& totals_;
  const uint64_t time_ns_;
  std::vector<ChunkPtr> chunks_;
  size_t cut_bytes_ = 0;

  // The chunk under way.
  std::string metrics_;
  std::vector<ChunkItem> items_;
  uint64_t count_ = 0;

  // The Metric under way: its points, which are all of one kind, a field number of Metric; and where in them
  // those lie that are to be found again.
  uint32_t kind_ = 0;
  std::string name_;
  std::string help_;
  std::string unit_;
  uint64_t family_hash_ = 0;
  std::string points_bytes_;
  uint32_t point_count_ = 0;
  std::vector<std::pair<uint32_t, uint32_t>> under_way_;

  // The point under way.
  std::string point_;
  uint32_t id_ = 0;  // in sent_
  bool has_before_ = false;
  bool rounded_ = false;
  OtlpSentHistogram before_;
  OtlpBuckets buckets_;
  std::string part_;
  std::string more_;
  std::vector<Label> exemplar_labels_;
};

std::unique_ptr<RoundWriter> OtlpRounds::NewWriter(int64_t time_ms) {
  return std::make_unique<Writer>(options_, slabs_, sent_, stats_, time_ms);
}

}  // namespace braid::exporters
