#include "exporters/encode/samples.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "base/wire.h"

namespace braid::exporters {
namespace {

constexpr uint8_t kKindMask = 0x0f;
constexpr uint8_t kHasExemplars = 0x10;
constexpr uint8_t kHasSeen = 0x20;
constexpr uint8_t kIsFloat = 0x40;

// Field numbers of Histogram and BucketSpan, the same in prometheus.Histogram and io.prometheus.write.v2
// (prompb/types.proto and prompb/io/prometheus/write/v2/types.proto).
constexpr uint32_t kCountInt = 1, kCountFloat = 2, kHistogramSum = 3, kSchema = 4, kZeroThreshold = 5,
                   kZeroCountInt = 6, kZeroCountFloat = 7, kNegativeSpans = 8, kNegativeDeltas = 9,
                   kNegativeCounts = 10, kPositiveSpans = 11, kPositiveDeltas = 12, kPositiveCounts = 13,
                   kHistogramTime = 15;
constexpr uint32_t kSpanOffset = 1, kSpanLength = 2;

const double kStale = std::bit_cast<double>(kStaleNan);

template <typename T>
void Put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void PutText(std::string* out, std::string_view text) {
  Put(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

// Reads what Put() and PutText() wrote. Chunks are our own: nothing is checked.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : p_(bytes.data()) {}

  template <typename T>
  T Get() {
    T value;
    std::memcpy(&value, p_, sizeof value);
    p_ += sizeof value;
    return value;
  }
  std::string_view Text() {
    const auto size = Get<uint32_t>();
    const std::string_view text(p_, size);
    p_ += size;
    return text;
  }

 private:
  const char* p_;
};

void PutLabels(std::string* out, std::span<const Label> labels) {
  Put(out, static_cast<uint32_t>(labels.size()));
  for (const Label& label : labels) {
    PutText(out, label.name);
    PutText(out, label.value);
  }
}

void GetLabels(Reader* in, std::vector<Label>* out) {
  for (auto n = in->Get<uint32_t>(); n > 0; --n) {
    Label& label = out->emplace_back();
    label.name = in->Text();
    label.value = in->Text();
  }
}

bool ByName(const Label& a, const Label& b) { return a.name < b.name; }

bool HasParameter(SampleKind kind) { return kind == SampleKind::kBucket || kind == SampleKind::kQuantile; }

bool IsWhole(double value) { return value >= 0 && value <= 0x1p53 && std::floor(value) == value; }

int64_t Milliseconds(uint64_t ns) { return static_cast<int64_t>(ns / 1'000'000); }

// The spans of one sign's buckets, and their counts: deltas of whole ones, or as they are.
void PutBuckets(std::span<const NativeBucket> buckets, bool whole, uint32_t spans, uint32_t deltas,
                uint32_t counts, std::string* out) {
  wire::Writer w(out);
  std::string part;
  int64_t next = 0;  // the index after the last span
  for (size_t i = 0; i < buckets.size();) {
    size_t end = i + 1;
    while (end < buckets.size() && buckets[end].index == buckets[end - 1].index + 1) ++end;
    part.clear();
    wire::Writer span(&part);
    span.Sint(kSpanOffset, buckets[i].index - next);
    span.Varint(kSpanLength, end - i);
    w.Bytes(spans, part);
    next = int64_t{buckets[end - 1].index} + 1;
    i = end;
  }
  part.clear();
  int64_t before = 0;
  for (const NativeBucket& bucket : buckets) {
    if (whole) {
      const auto count = static_cast<int64_t>(bucket.count);
      const int64_t delta = count - before;
      char varint[10];
      const uint64_t zigzag = static_cast<uint64_t>(delta) << 1 ^ static_cast<uint64_t>(delta >> 63);
      part.append(varint, static_cast<size_t>(wire::WriteVarint(zigzag, varint) - varint));
      before = count;
    } else {
      Put(&part, bucket.count);
    }
  }
  if (!part.empty()) w.Bytes(whole ? deltas : counts, part);
}

bool AllWhole(const NativeView& native) {
  const auto whole = [](const NativeBucket& bucket) { return IsWhole(bucket.count); };
  return IsWhole(native.zero_count) && std::all_of(native.positive.begin(), native.positive.end(), whole) &&
         std::all_of(native.negative.begin(), native.negative.end(), whole);
}

void PutNative(const NativeView& native, double sum, bool whole, int64_t time_ms, std::string* out) {
  wire::Writer w(out);
  const double count = native.count();
  if (whole) {
    w.Varint(kCountInt, static_cast<uint64_t>(count));
  } else {
    w.Double(kCountFloat, count);
  }
  w.Double(kHistogramSum, sum);
  w.Sint(kSchema, native.schema);
  w.Double(kZeroThreshold, native.zero_threshold);
  if (whole) {
    w.Varint(kZeroCountInt, static_cast<uint64_t>(native.zero_count));
  } else {
    w.Double(kZeroCountFloat, native.zero_count);
  }
  PutBuckets(native.negative, whole, kNegativeSpans, kNegativeDeltas, kNegativeCounts, out);
  PutBuckets(native.positive, whole, kPositiveSpans, kPositiveDeltas, kPositiveCounts, out);
  w.Varint(kHistogramTime, static_cast<uint64_t>(time_ms));
}

// A native histogram's marker is one whose sum is the marker.
void PutStaleNative(bool is_float, int64_t time_ms, std::string* out) {
  wire::Writer w(out);
  if (is_float) {
    w.Double(kCountFloat, 0);
  } else {
    w.Varint(kCountInt, 0);
  }
  w.Double(kHistogramSum, kStale);
  w.Varint(kHistogramTime, static_cast<uint64_t>(time_ms));
}

}  // namespace

std::string_view SampleSuffix(SampleKind kind) {
  switch (kind) {
    case SampleKind::kPlain:
    case SampleKind::kQuantile:
    case SampleKind::kNative: return "";
    case SampleKind::kTotal: return "_total";
    case SampleKind::kBucket: return "_bucket";
    case SampleKind::kSum: return "_sum";
    case SampleKind::kCount: return "_count";
  }
  return "";
}

SampleFamily ReadSampleFamily(std::string_view bytes) {
  Reader in(bytes);
  SampleFamily family;
  family.type = static_cast<MetricType>(in.Get<uint8_t>());
  family.name = in.Text();
  family.help = in.Text();
  family.unit = in.Text();
  return family;
}

void ReadSamplePoint(std::string_view bytes, SamplePoint* out) {
  Reader in(bytes);
  out->labels.clear();
  out->entries.clear();
  out->exemplars.clear();
  out->exemplar_labels.clear();
  out->time_ms = in.Get<int64_t>();
  out->created_ms = in.Get<int64_t>();
  GetLabels(&in, &out->labels);
  for (auto n = in.Get<uint32_t>(); n > 0; --n) {
    SamplePoint::Entry& entry = out->entries.emplace_back();
    const auto head = in.Get<uint8_t>();
    entry.kind = static_cast<SampleKind>(head & kKindMask);
    if (HasParameter(entry.kind)) entry.parameter = in.Get<double>();
    if (entry.kind == SampleKind::kNative) {
      entry.native = in.Text();
      entry.native_float = (head & kIsFloat) != 0;
    } else {
      entry.value = in.Get<double>();
    }
    if ((head & kHasSeen) != 0) entry.seen_exemplar_ms = in.Get<int64_t>();
    entry.first_exemplar = static_cast<uint32_t>(out->exemplars.size());
    if ((head & kHasExemplars) == 0) continue;
    entry.exemplar_count = in.Get<uint32_t>();
    for (uint32_t i = 0; i < entry.exemplar_count; ++i) {
      SamplePoint::Exemplar& exemplar = out->exemplars.emplace_back();
      exemplar.value = in.Get<double>();
      exemplar.time_ms = in.Get<int64_t>();
      exemplar.first_label = static_cast<uint32_t>(out->exemplar_labels.size());
      GetLabels(&in, &out->exemplar_labels);
      exemplar.label_count = static_cast<uint32_t>(out->exemplar_labels.size()) - exemplar.first_label;
    }
  }
}

// Takes what has been checked, into Chunks instead of a page.
class SampleRounds::Writer final : public RoundWriter {
 public:
  Writer(const SampleRounds::Options& options, SlabPool& slabs, SentPoints& sent, Stats& totals,
         int64_t time_ms)
      : RoundWriter({.max_bytes = options.max_bytes}),
        o_(options),
        slabs_(slabs),
        sent_(sent),
        totals_(totals),
        time_ms_(time_ms) {}

  size_t bytes() const override { return cut_bytes_ + content_.size(); }

  void PutGone(const SentPoints::Place& place) override {
    const Chunk& chunk = sent_.ChunkOf(place);
    const std::string_view family = chunk.view(chunk.groups[chunk.items[place.item].group].scope);
    if (family != family_bytes_) {
      family_bytes_ = family;
      group_open_ = false;
    }
    ReadSamplePoint(ItemOf(place), &before_);
    Stale(before_, before_.entries);
  }

  std::vector<ChunkPtr> Take() override {
    Cut();
    return std::move(chunks_);
  }

 private:
  struct Entry {
    SampleKind kind = SampleKind::kPlain;
    double parameter = 0;
    double value = 0;
    const NativeView* native = nullptr;
    std::span<const ExemplarView* const> exemplars;
  };

  void BeginFamily() override {
    family_bytes_.clear();
    Put(&family_bytes_, static_cast<uint8_t>(family().type));
    PutText(&family_bytes_, family().name);
    PutText(&family_bytes_, family().help);
    PutText(&family_bytes_, family().unit);
    family_hash_ = XXH3_64bits(family().name.data(), family().name.size());
    group_open_ = false;
  }

  void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) override {
    if (!Open(created_ns)) return;
    Add(SampleKind::kTotal, 0, value, {&exemplar, 1});
    Close();
  }

  void PutGauge(double value) override {
    if (!Open(0)) return;
    Add(SampleKind::kPlain, 0, value);
    Close();
  }

  void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) override {
    if (!Open(created_ns)) return;
    const bool native = histogram.native != nullptr && o_.native_histograms;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (!histogram.counts.empty() || !native) {
      double cumulative = 0;
      for (size_t i = 0; i < histogram.counts.size(); ++i) {
        cumulative += histogram.counts[i];
        const bool has = i < histogram.exemplars.size();
        Add(SampleKind::kBucket, i < histogram.bounds.size() ? histogram.bounds[i] : kInfinity, cumulative,
            has ? histogram.exemplars.subspan(i, 1) : std::span<const ExemplarView* const>());
      }
      if (histogram.counts.empty()) {
        cumulative = histogram.count();
        Add(SampleKind::kBucket, kInfinity, cumulative);
      }
      if (classic_sum) Add(SampleKind::kSum, 0, histogram.sum);
      Add(SampleKind::kCount, 0, cumulative);
    }
    if (native) AddNative(*histogram.native, histogram.has_sum ? histogram.sum : 0);
    Close();
  }

  void PutSummary(const SummaryView& summary, uint64_t created_ns) override {
    if (!Open(created_ns)) return;
    for (size_t i = 0; i < summary.quantiles.size(); ++i) {
      Add(SampleKind::kQuantile, summary.quantiles[i], summary.values[i]);
    }
    Add(SampleKind::kSum, 0, summary.sum);
    Add(SampleKind::kCount, 0, static_cast<double>(summary.count));
    Close();
  }

  // Begins a point with the labels that were checked; false if external labels made it equal to another one.
  bool Open(uint64_t created_ns) {
    merged_.assign(labels().begin(), labels().end());
    for (const auto& [name, value] : o_.external_labels) {
      const bool own =
          std::any_of(merged_.begin(), merged_.end(), [&](const Label& l) { return l.name == name; });
      if (!own) merged_.push_back({name, value});
    }
    std::sort(merged_.begin(), merged_.end(), ByName);
    StartItem(merged_, Milliseconds(created_ns));
    const XXH128_hash_t hash = XXH3_128bits_withSeed(item_.data() + 2 * sizeof(int64_t),
                                                     entries_at_ - 2 * sizeof(int64_t), family_hash_);
    SentPoints::Seen seen;
    std::tie(id_, seen) = sent_.Find({hash.low64, hash.high64});
    if (seen == SentPoints::Seen::kThisRound) {
      ++totals_.merged;
      return false;
    }
    has_before_ = seen == SentPoints::Seen::kBefore;
    before_read_ = false;
    shape_ = 0;
    return true;
  }

  void StartItem(std::span<const Label> labels, int64_t created_ms) {
    item_.clear();
    Put(&item_, time_ms_);
    Put(&item_, created_ms);
    PutLabels(&item_, labels);
    entries_at_ = item_.size();
    Put(&item_, uint32_t{0});
    entries_ = 0;
  }

  void Add(SampleKind kind, double parameter, double value,
           std::span<const ExemplarView* const> exemplars = {}) {
    const size_t head = OpenEntry(kind, parameter);
    Put(&item_, value);
    Exemplars(head, kind, parameter, exemplars);
  }

  void AddNative(const NativeView& native, double sum) {
    const size_t head = OpenEntry(SampleKind::kNative, 0);
    const bool whole = AllWhole(native);
    if (!whole) SetFlag(head, kIsFloat);
    part_.clear();
    PutNative(native, sum, whole, time_ms_, &part_);
    PutText(&item_, part_);
    native_exemplars_.clear();
    for (const ExemplarView& exemplar : native.exemplars) native_exemplars_.push_back(&exemplar);
    std::sort(native_exemplars_.begin(), native_exemplars_.end(),
              [](const ExemplarView* a, const ExemplarView* b) { return a->time_ns < b->time_ns; });
    Exemplars(head, SampleKind::kNative, 0, native_exemplars_);
  }

  size_t OpenEntry(SampleKind kind, double parameter) {
    const size_t head = item_.size();
    Put(&item_, static_cast<uint8_t>(kind));
    if (HasParameter(kind)) Put(&item_, parameter);
    shape_ =
        (shape_ ^ static_cast<uint64_t>(kind) ^ std::bit_cast<uint64_t>(parameter)) * 0x9e3779b97f4a7c15u;
    shape_ ^= shape_ >> 29;
    ++entries_;
    return head;
  }

  void SetFlag(size_t head, uint8_t flag) { item_[head] = static_cast<char>(item_[head] | flag); }

  // Appends those that are later than the last one sent of this series. Receivers take a series' exemplars in
  // the order of their times only.
  void Exemplars(size_t head, SampleKind kind, double parameter,
                 std::span<const ExemplarView* const> exemplars) {
    if (!o_.exemplars) return;
    int64_t seen = -1;
    uint32_t count = 0;
    size_t count_at = 0;
    part_.clear();
    for (const ExemplarView* exemplar : exemplars) {
      if (exemplar == nullptr || exemplar->time_ns == 0) continue;
      if (seen < 0) seen = SeenBefore(kind, parameter);
      const int64_t at = Milliseconds(exemplar->time_ns);
      if (at <= seen || !ExemplarLabels(*exemplar, &exemplar_labels_)) continue;
      std::sort(exemplar_labels_.begin(), exemplar_labels_.end(), ByName);
      if (count++ == 0) {
        count_at = part_.size();
        Put(&part_, uint32_t{0});
      }
      Put(&part_, exemplar->value);
      Put(&part_, at);
      PutLabels(&part_, exemplar_labels_);
      seen = at;
    }
    if (seen > 0) {
      SetFlag(head, kHasSeen);
      Put(&item_, seen);
    }
    if (count == 0) return;
    SetFlag(head, kHasExemplars);
    std::memcpy(part_.data() + count_at, &count, sizeof count);
    item_ += part_;
    totals_.exemplars += count;
  }

  void ReadBefore() {
    if (std::exchange(before_read_, true)) return;
    ReadSamplePoint(ItemOf(sent_[id_]), &before_);
  }

  int64_t SeenBefore(SampleKind kind, double parameter) {
    if (!has_before_) return 0;
    ReadBefore();
    const auto same = [&](const SamplePoint::Entry& e) { return e.kind == kind && e.parameter == parameter; };
    // Nearly always in the same place as before.
    const size_t place = entries_ - 1;
    if (place < before_.entries.size() && same(before_.entries[place])) {
      return before_.entries[place].seen_exemplar_ms;
    }
    const auto at = std::find_if(before_.entries.begin(), before_.entries.end(), same);
    return at == before_.entries.end() ? 0 : at->seen_exemplar_ms;
  }

  void Close() {
    const auto shape = static_cast<uint32_t>(shape_ >> 32);
    SentPoints::Place& place = sent_[id_];
    const bool changed = has_before_ && place.mark != shape;
    if (changed) ReadBefore();
    ++points_;
    AppendItem();
    // The chunk may have been cut before the item: only now its place is known.
    place.chunk = static_cast<uint32_t>(chunks_.size());
    place.item = static_cast<uint32_t>(items_.size() - 1);
    place.mark = shape;
    if (!changed) return;
    // The point goes on with other series: those that it had and has no more.
    ReadSamplePoint(std::string_view(content_).substr(items_.back().offset, items_.back().size), &now_);
    std::vector<SamplePoint::Entry> gone;
    for (const SamplePoint::Entry& entry : before_.entries) {
      const bool stays = std::any_of(now_.entries.begin(), now_.entries.end(), [&](const auto& e) {
        return e.kind == entry.kind && e.parameter == entry.parameter;
      });
      if (!stays) gone.push_back(entry);
    }
    if (!gone.empty()) Stale(before_, gone);
  }

  // Markers for some of a point's entries.
  void Stale(const SamplePoint& point, std::span<const SamplePoint::Entry> entries) {
    StartItem(point.labels, 0);
    for (const SamplePoint::Entry& entry : entries) {
      const size_t head = OpenEntry(entry.kind, entry.parameter);
      if (entry.kind == SampleKind::kNative) {
        if (entry.native_float) SetFlag(head, kIsFloat);
        part_.clear();
        PutStaleNative(entry.native_float, time_ms_, &part_);
        PutText(&item_, part_);
      } else {
        Put(&item_, kStale);
      }
    }
    totals_.stale_markers += entries.size();
    AppendItem();
  }

  void AppendItem() {
    std::memcpy(item_.data() + entries_at_, &entries_, sizeof entries_);
    const bool full = content_.size() + item_.size() > o_.chunk_bytes || count_ + entries_ > o_.chunk_samples;
    if (full && !items_.empty()) Cut();
    if (!group_open_) {
      group_open_ = true;
      ChunkGroup& group = groups_.emplace_back();
      group.scope = {static_cast<uint32_t>(content_.size()), static_cast<uint32_t>(family_bytes_.size())};
      group.first_item = static_cast<uint32_t>(items_.size());
      content_ += family_bytes_;
    }
    items_.push_back({.trace_lo = 0,
                      .offset = static_cast<uint32_t>(content_.size()),
                      .size = static_cast<uint32_t>(item_.size()),
                      .group = static_cast<uint32_t>(groups_.size() - 1),
                      .count = entries_});
    ++groups_.back().item_count;
    content_ += item_;
    count_ += entries_;
  }

  void Cut() {
    if (items_.empty()) return;
    auto chunk = std::make_shared<Chunk>();
    chunk->content = Chunk::Content::kSamples;
    chunk->signal = Signal::kMetrics;
    chunk->in_order = true;
    chunk->count = count_;
    chunk->bytes = slabs_.TakeUnbounded(content_.size());
    chunk->bytes.Append(content_);
    chunk->items = items_;
    chunk->groups = groups_;
    totals_.samples += count_;
    chunks_.push_back(std::move(chunk));
    cut_bytes_ += content_.size();
    content_.clear();
    items_.clear();
    groups_.clear();
    count_ = 0;
    group_open_ = false;
  }

  // The item that a place of the round before points to.
  std::string_view ItemOf(const SentPoints::Place& place) const {
    const Chunk& chunk = sent_.ChunkOf(place);
    const ChunkItem& item = chunk.items[place.item];
    return chunk.view().substr(item.offset, item.size);
  }

  const SampleRounds::Options& o_;
  SlabPool& slabs_;
  SentPoints& sent_;
  Stats& totals_;
  const int64_t time_ms_;
  std::vector<ChunkPtr> chunks_;
  size_t cut_bytes_ = 0;

  // The chunk under way.
  std::string content_;
  std::vector<ChunkItem> items_;
  std::vector<ChunkGroup> groups_;
  uint64_t count_ = 0;
  bool group_open_ = false;  // the family's group is the last one

  std::string family_bytes_;
  uint64_t family_hash_ = 0;

  // The point under way.
  std::string item_;
  size_t entries_at_ = 0;
  uint32_t entries_ = 0;
  uint64_t shape_ = 0;  // hash of its entries' kinds and parameters
  uint32_t id_ = 0;     // in sent_
  bool has_before_ = false;
  bool before_read_ = false;
  SamplePoint before_;  // the same point, or a vanished one, in the round before
  SamplePoint now_;
  std::vector<Label> merged_;
  std::vector<Label> exemplar_labels_;
  std::vector<const ExemplarView*> native_exemplars_;
  std::string part_;
};

SampleRounds::SampleRounds(Options options, SlabPool& slabs) : options_(std::move(options)), slabs_(slabs) {
  std::sort(options_.external_labels.begin(), options_.external_labels.end());
}

std::unique_ptr<RoundWriter> SampleRounds::NewWriter(int64_t time_ms) {
  return std::make_unique<Writer>(options_, slabs_, sent_, stats_, time_ms);
}

}  // namespace braid::exporters
