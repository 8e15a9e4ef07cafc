#include "correlate/derive/series_owner.h"

#include <absl/container/flat_hash_set.h>
#include <xxhash.h>

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

#include "correlate/model/inbox.h"

namespace braid::correlate {
namespace {

constexpr uint64_t kExemplarTicks = 300;  // as SeriesTable::kExemplarTicks

// The names one kind of dashboard queries (reference: Tempo's metrics generator and Grafana's service tab).
struct Dialect {
  FamilyView calls;
  FamilyView latency;
  FamilyView size;
  std::string_view service;
  std::string_view span_name;
  std::string_view span_kind;
  std::string_view status_code;
  std::string_view overflow;
};

constexpr Dialect kTempo = {
    .calls = {"traces_spanmetrics_calls", "Spans by service, name, kind and status.", "",
              MetricType::kCounter},
    .latency = {"traces_spanmetrics_latency", "Duration of spans in seconds.", "", MetricType::kHistogram},
    .size = {"traces_spanmetrics_size", "Serialised size of spans in bytes.", "", MetricType::kCounter},
    .service = "service",
    .span_name = "span_name",
    .span_kind = "span_kind",
    .status_code = "status_code",
    .overflow = "metric_overflow",
};

constexpr std::array<std::string_view, 6> kKinds = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                                    "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                                    "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER"};
constexpr std::array<std::string_view, 3> kStatuses = {"STATUS_CODE_UNSET", "STATUS_CODE_OK",
                                                       "STATUS_CODE_ERROR"};

// 0.001 s per ms to the last bit: the quotient is formed in 64 bits of mantissa and rounded once more.
double Seconds(unsigned __int128 ns) {
  return static_cast<double>(static_cast<long double>(ns) / 1'000'000'000.0L);
}

struct Key {
  std::string_view service;
  std::string_view name;
  uint8_t kind = 0;
  uint8_t status = 0;
  bool overflow = false;

  friend bool operator==(const Key&, const Key&) = default;
};

struct Series {
  std::array<uint64_t, latency::kBuckets> buckets{};
  unsigned __int128 sum_ns = 0;
  uint64_t bytes = 0;
  uint64_t created_ns = 0;
  const char* labels = nullptr;
  uint32_t service_size = 0;
  uint32_t name_size = 0;
  uint32_t exemplars = 0;  // 1 + index of the first slot
  uint8_t kind = 0;
  uint8_t status = 0;
  bool overflow = false;

  Key key() const {
    return {{labels, service_size}, {labels + service_size, name_size}, kind, status, overflow};
  }
  uint64_t calls() const {
    uint64_t sum = 0;
    for (const uint64_t n : buckets) sum += n;
    return sum;
  }
};

uint64_t HashOf(const Key& key) {
  const uint64_t dims =
      static_cast<uint64_t>(key.kind) << 16 | static_cast<uint64_t>(key.status) << 8 | key.overflow;
  const uint64_t service = XXH3_64bits_withSeed(key.service.data(), key.service.size(), dims);
  return XXH3_64bits_withSeed(key.name.data(), key.name.size(), service);
}

// Looks series up by their dimensions without storing them twice. The order of the set is never used.
struct ByKey {
  using is_transparent = void;
  const std::vector<Series>* series;
  Key Of(uint32_t id) const { return (*series)[id].key(); }
  const Key& Of(const Key& key) const { return key; }

  template <typename T>
  size_t operator()(const T& value) const {
    return HashOf(Of(value));
  }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return Of(a) == Of(b);
  }
};

ExemplarView View(const Exemplar& exemplar, double value) {
  return {.value = value,
          .time_ns = exemplar.time_ns,
          .trace = exemplar.trace,
          .span = exemplar.span,
          .extra = {}};
}

// The labels of one series, ready for a writer.
class LabelSet {
 public:
  LabelSet(const Dialect& dialect, const Series& series) {
    const Key key = series.key();
    if (series.overflow) Add(dialect.overflow, "true");
    if (!key.service.empty()) Add(dialect.service, key.service);
    if (!key.name.empty()) Add(dialect.span_name, key.name);
    Add(dialect.span_kind, kKinds[series.kind]);
    Add(dialect.status_code, kStatuses[series.status]);
  }
  std::span<const Label> span() const { return {labels_.data(), size_}; }

 private:
  void Add(std::string_view name, std::string_view value) { labels_[size_++] = {name, value}; }

  std::array<Label, 5> labels_;
  size_t size_ = 0;
};

}  // namespace

struct SeriesOwner::State {
  explicit State(const Options& o)
      : options(o),
        known(0, ByKey{&series}, ByKey{&series}),
        ids(o.shards),
        waiting(o.shards),
        handed_over(o.shards) {}

  void MergeReady(bool all, std::vector<SeriesDeltaPtr>* done);
  void MergeOne(const SeriesDelta& delta, uint32_t shard);
  uint32_t Intern(Key key, uint64_t created_ns);
  uint32_t Add(const Key& key, uint64_t created_ns);
  void Keep(const SeriesDelta::Slot& offered, uint32_t id);
  uint64_t WallOf(uint64_t tick) const { return anchor_ns + (tick - anchor_tick) * kTickMs * 1'000'000; }

  const Options& options;
  bool anchored = false;
  uint64_t anchor_tick = 0;
  uint64_t anchor_ns = 0;

  std::vector<Series> series;  // in order of first sight
  std::vector<SeriesDelta::Slot> exemplars;
  absl::flat_hash_set<uint32_t, ByKey, ByKey> known;
  std::vector<std::unique_ptr<char[]>> labels;
  size_t label_bytes = 0;
  size_t named = 0;
  size_t overflows = 0;

  std::vector<std::vector<uint32_t>> ids;  // by shard: the shard's ID to ours
  std::vector<std::deque<SeriesDeltaPtr>> waiting;
  std::vector<uint64_t> handed_over;  // tick of each shard's last delta

  uint64_t overflow_series = 0;
  uint64_t overflow_spans = 0;
  uint64_t exemplars_refused = 0;
  uint64_t labels_truncated = 0;
  uint64_t deltas_merged = 0;
};

// Merges the earliest delta as long as no shard can still hand over an earlier one.
void SeriesOwner::State::MergeReady(bool all, std::vector<SeriesDeltaPtr>* done) {
  for (;;) {
    size_t first = waiting.size();
    bool crowded = false;
    for (size_t shard = 0; shard < waiting.size(); ++shard) {
      if (waiting[shard].empty()) continue;
      if (first == waiting.size() || waiting[shard].front()->tick < waiting[first].front()->tick)
        first = shard;
      crowded |= waiting[shard].size() > kMaxPending;
    }
    if (first == waiting.size()) return;
    const uint64_t tick = waiting[first].front()->tick;
    bool complete = true;
    for (size_t shard = 0; shard < waiting.size(); ++shard) {
      complete &= !waiting[shard].empty() || handed_over[shard] >= tick;
    }
    if (!complete && !crowded && !all) return;
    MergeOne(*waiting[first].front(), static_cast<uint32_t>(first));
    done->push_back(std::move(waiting[first].front()));
    waiting[first].pop_front();
  }
}

void SeriesOwner::State::MergeOne(const SeriesDelta& delta, uint32_t shard) {
  std::vector<uint32_t>& map = ids[shard];
  const uint64_t created_ns = anchored ? WallOf(delta.since) : 0;
  for (const SeriesDelta::Birth& birth : delta.births) {
    const std::string_view strings = delta.labels;
    const Key key{strings.substr(birth.at, birth.service_size),
                  strings.substr(birth.at + birth.service_size, birth.name_size), birth.kind, birth.status,
                  birth.overflow};
    if (map.size() <= birth.series) map.resize(birth.series + 1);
    map[birth.series] = Intern(key, created_ns);
  }
  for (const uint32_t from : delta.touched) {
    const SeriesDelta::Cell& cell = delta.cells[from];
    const uint32_t id = map[from];
    Series& to = series[id];
    uint64_t calls = 0;
    for (size_t i = 0; i < to.buckets.size(); ++i) {
      to.buckets[i] += cell.buckets[i];
      calls += cell.buckets[i];
    }
    to.sum_ns += cell.sum_ns;
    to.bytes += cell.bytes;
    if (to.overflow) overflow_spans += calls;
    for (uint32_t at = cell.exemplars; at != 0; at = delta.exemplars[at - 1].next)
      Keep(delta.exemplars[at - 1], id);
  }
  for (const SeriesDelta::Carry& carry : delta.carries) {
    Series& to = series[map[carry.series]];
    if (carry.bucket == SeriesDelta::Carry::kSum) {
      to.sum_ns += static_cast<unsigned __int128>(1) << 64;
    } else {
      to.buckets[carry.bucket] += uint64_t{1} << 16;
      if (to.overflow) overflow_spans += uint64_t{1} << 16;
    }
  }
  exemplars_refused += delta.exemplars_refused;
  labels_truncated += delta.labels_truncated;
  ++deltas_merged;
}

uint32_t SeriesOwner::State::Intern(Key key, uint64_t created_ns) {
  if (const auto at = known.find(key); at != known.end()) return *at;
  if (!key.overflow) {
    if (named < options.max_series &&
        label_bytes + key.service.size() + key.name.size() <= options.max_label_bytes) {
      ++named;
      label_bytes += key.service.size() + key.name.size();
      return Add(key, created_ns);
    }
    key.name = {};
    key.overflow = true;
    if (const auto at = known.find(key); at != known.end()) return *at;
  }
  if (!key.service.empty()) {
    if (overflows < options.max_overflow_series) {
      ++overflows;
      return Add(key, created_ns);
    }
    key.service = {};
    if (const auto at = known.find(key); at != known.end()) return *at;
  }
  return Add(key, created_ns);
}

uint32_t SeriesOwner::State::Add(const Key& key, uint64_t created_ns) {
  const size_t size = key.service.size() + key.name.size();
  labels.push_back(std::make_unique<char[]>(size));
  char* at = labels.back().get();
  std::copy(key.name.begin(), key.name.end(), std::copy(key.service.begin(), key.service.end(), at));
  const uint32_t id = static_cast<uint32_t>(series.size());
  Series& added = series.emplace_back();
  added.created_ns = created_ns;
  added.labels = at;
  added.service_size = static_cast<uint32_t>(key.service.size());
  added.name_size = static_cast<uint32_t>(key.name.size());
  added.kind = key.kind;
  added.status = key.status;
  added.overflow = key.overflow;
  if (key.overflow) ++overflow_series;
  known.insert(id);
  return id;
}

void SeriesOwner::State::Keep(const SeriesDelta::Slot& offered, uint32_t id) {
  for (uint32_t at = series[id].exemplars; at != 0; at = exemplars[at - 1].next) {
    SeriesDelta::Slot& slot = exemplars[at - 1];
    if (slot.bucket != offered.bucket) continue;
    const bool old = offered.tick > slot.tick && offered.tick - slot.tick > kExemplarTicks;
    if (old || MoreTelling(offered.exemplar, slot.exemplar)) {
      slot.exemplar = offered.exemplar;
      slot.tick = offered.tick;
    }
    return;
  }
  if (exemplars.size() >= options.max_exemplars) {
    ++exemplars_refused;
    return;
  }
  exemplars.push_back(offered);
  exemplars.back().series = id;
  exemplars.back().next = series[id].exemplars;
  series[id].exemplars = static_cast<uint32_t>(exemplars.size());
}

SeriesOwner::SeriesOwner(const Options& options)
    : options_(options), state_(std::make_unique<State>(options_)) {}

SeriesOwner::~SeriesOwner() = default;

void SeriesOwner::Anchor(uint64_t tick, uint64_t unix_ns) {
  MutexLock lock(mutex_);
  if (std::exchange(state_->anchored, true)) return;
  state_->anchor_tick = tick;
  state_->anchor_ns = unix_ns;
}

void SeriesOwner::Merge(SeriesDeltaPtr delta, uint32_t shard) {
  // Merged deltas are emptied for their next round after the lock is released.
  std::vector<SeriesDeltaPtr> done;
  MutexLock lock(mutex_);
  state_->handed_over[shard] = delta->tick;
  state_->waiting[shard].push_back(std::move(delta));
  state_->MergeReady(false, &done);
}

void SeriesOwner::Flush() {
  std::vector<SeriesDeltaPtr> done;
  MutexLock lock(mutex_);
  state_->MergeReady(true, &done);
}

void SeriesOwner::Write(ExpositionWriter& writer) const {
  // A copy makes the page exact at one instant, and formatting independent of merging. The strings that
  // the copies point to are never moved.
  std::vector<Series> series;
  std::vector<SeriesDelta::Slot> exemplars;
  {
    MutexLock lock(mutex_);
    series = state_->series;
    exemplars = state_->exemplars;
  }
  const Dialect& dialect = kTempo;

  writer.Family(dialect.calls);
  for (const Series& one : series) {
    const Exemplar* latest = nullptr;
    for (uint32_t at = one.exemplars; at != 0; at = exemplars[at - 1].next) {
      const Exemplar& exemplar = exemplars[at - 1].exemplar;
      if (latest == nullptr || exemplar.time_ns > latest->time_ns) latest = &exemplar;
    }
    const uint64_t calls = one.calls();
    // The exemplar of a count is one call.
    const ExemplarView view = latest == nullptr ? ExemplarView{} : View(*latest, 1);
    writer.Counter(LabelSet(dialect, one).span(), static_cast<double>(calls), one.created_ns,
                   latest == nullptr ? nullptr : &view);
  }

  writer.Family(dialect.latency);
  for (const Series& one : series) {
    std::array<ExemplarView, latency::kBuckets> views;
    std::array<const ExemplarView*, latency::kBuckets> pointers{};
    for (uint32_t at = one.exemplars; at != 0; at = exemplars[at - 1].next) {
      const SeriesDelta::Slot& slot = exemplars[at - 1];
      views[slot.bucket] = View(slot.exemplar, Seconds(slot.exemplar.duration_ns));
      pointers[slot.bucket] = &views[slot.bucket];
    }
    HistogramView histogram;
    histogram.bounds = latency::kBoundSeconds;
    std::array<double, latency::kBuckets> counts;
    std::copy(one.buckets.begin(), one.buckets.end(), counts.begin());
    histogram.counts = counts;
    histogram.sum = Seconds(one.sum_ns);
    if (one.exemplars != 0) histogram.exemplars = pointers;
    writer.Histogram(LabelSet(dialect, one).span(), histogram, one.created_ns);
  }

  if (!options_.size_total) return;
  writer.Family(dialect.size);
  for (const Series& one : series) {
    writer.Counter(LabelSet(dialect, one).span(), static_cast<double>(one.bytes), one.created_ns, nullptr);
  }
}

SeriesOwner::Stats SeriesOwner::stats() const {
  MutexLock lock(mutex_);
  const State& state = *state_;
  Stats stats;
  stats.series = state.series.size();
  stats.overflow_series = state.overflow_series;
  stats.overflow_spans = state.overflow_spans;
  stats.exemplars = state.exemplars.size();
  stats.exemplars_refused = state.exemplars_refused;
  stats.labels_truncated = state.labels_truncated;
  stats.deltas_merged = state.deltas_merged;
  stats.bytes = state.series.capacity() * sizeof(Series) +
                state.exemplars.capacity() * sizeof(SeriesDelta::Slot) + state.label_bytes +
                state.known.capacity() * (sizeof(uint32_t) + 1);
  for (const auto& map : state.ids) stats.bytes += map.capacity() * sizeof(uint32_t);
  for (const auto& queue : state.waiting) stats.deltas_pending += queue.size();
  return stats;
}

uint64_t SeriesOwner::Digest() const {
  MutexLock lock(mutex_);
  const std::vector<Series>& series = state_->series;
  std::vector<uint32_t> order(series.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Key x = series[a].key();
    const Key y = series[b].key();
    return std::tie(x.service, x.name, x.kind, x.status, x.overflow) <
           std::tie(y.service, y.name, y.kind, y.status, y.overflow);
  });
  uint64_t digest = 0;
  for (const uint32_t id : order) {
    const Series& one = series[id];
    digest = XXH3_64bits_withSeed(one.buckets.data(), sizeof one.buckets, digest ^ HashOf(one.key()));
    const std::array<uint64_t, 3> rest = {static_cast<uint64_t>(one.sum_ns),
                                          static_cast<uint64_t>(one.sum_ns >> 64), one.bytes};
    digest = XXH3_64bits_withSeed(rest.data(), sizeof rest, digest);
  }
  return digest;
}

}  // namespace braid::correlate
