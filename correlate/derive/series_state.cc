#include "correlate/derive/series_state.h"

#include <malloc.h>
#include <xxhash.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/wire.h"
#include "correlate/model/inbox.h"

namespace braid::correlate {
namespace {

constexpr uint64_t kExemplarTicks = SeriesTable::kExemplarTicks;
constexpr size_t kExamples = 3;
constexpr int kTrims = 12;  // two minutes

bool IsEdge(RowKind kind) {
  return kind == RowKind::kEdgeServer || kind == RowKind::kEdgeClient || kind == RowKind::kEdgeMessaging;
}

}  // namespace

void SeriesState::Native::Add(int32_t bucket, uint64_t n) {
  const auto at = std::lower_bound(counts.begin(), counts.end(), bucket,
                                   [](const Count& c, int32_t wanted) { return c.bucket < wanted; });
  if (at != counts.end() && at->bucket == bucket) {
    at->n += n;
  } else {
    counts.insert(at, {bucket, n});
  }
}

SeriesState::SeriesState(const SeriesOwner::Options& o, const DeriveOptions& d)
    : options(o),
      derive(d),
      span_buckets(SpanBuckets(derive)),
      graph_buckets(GraphBuckets(derive)),
      native_maps(NativeMaps(derive)),
      windows(native_maps.size()),
      span_exemplars(SpanExemplarBuckets(derive)),
      edge_exemplars(EdgeExemplarBuckets(derive)),
      known(0, ByKey{&series, o.seed}, ByKey{&series, o.seed}),
      admission(o.max_series),
      targets(o.shards),
      waiting(o.shards),
      handed_over(o.shards),
      merged_tick(o.shards) {}

uint64_t SeriesState::WallOf(uint64_t tick) const {
  return anchored ? anchor_ns + (tick - anchor_tick) * kTickMs * 1'000'000 : 0;
}

// Merges the earliest delta as long as no shard can still hand over an earlier one.
void SeriesState::MergeReady(bool all, std::vector<SeriesDeltaPtr>* done) {
  for (;;) {
    size_t first = waiting.size();
    bool crowded = false;
    for (size_t shard = 0; shard < waiting.size(); ++shard) {
      if (waiting[shard].empty()) continue;
      if (first == waiting.size() || waiting[shard].front()->tick < waiting[first].front()->tick)
        first = shard;
      crowded |= waiting[shard].size() > SeriesOwner::kMaxPending;
    }
    if (first == waiting.size()) return;
    const uint64_t tick = waiting[first].front()->tick;
    bool complete = true;
    for (size_t shard = 0; shard < waiting.size(); ++shard) {
      complete &= !waiting[shard].empty() || handed_over[shard] >= tick;
    }
    if (!complete && !crowded && !all) return;
    MergeOne(*waiting[first].front(), static_cast<uint32_t>(first));
    merged_tick[first] = tick;
    done->push_back(std::move(waiting[first].front()));
    waiting[first].pop_front();
    Advance(std::max(tick, last_tick));
  }
}

SeriesState::Plane& SeriesState::PlaneOf(Series* of, uint64_t threshold, bool failed) {
  const auto before = [](const Plane& plane, const std::pair<uint64_t, bool>& wanted) {
    return std::tie(plane.threshold, plane.failed) < std::tie(wanted.first, wanted.second);
  };
  const auto at =
      std::lower_bound(of->planes.begin(), of->planes.end(), std::pair(threshold, failed), before);
  if (at != of->planes.end() && at->threshold == threshold && at->failed == failed) return *at;
  Plane plane;
  plane.threshold = threshold;
  plane.failed = failed;
  const bool spans = of->key.row == RowKind::kSpans;
  const bool edge = IsEdge(of->key.row);
  plane.buckets.resize(spans ? span_buckets.buckets() : edge ? graph_buckets.buckets() : 1);
  if (spans || edge) plane.natives.resize(windows);
  return *of->planes.insert(at, std::move(plane));
}

void SeriesState::Narrow(SeriesKey* key) const {
  const bool of_spans =
      key->row == RowKind::kSpans || key->row == RowKind::kEvents || key->row == RowKind::kExceptions;
  if (!of_spans) return;
  if (derive.without.service) key->text[0] = {};
  if (derive.without.span_name) key->text[1] = {};
  if (derive.without.span_kind) key->kind = 0;
  if (derive.without.status_code) key->status = 0;
}

void SeriesState::MergeOne(const SeriesDelta& delta, uint32_t shard) {
  std::vector<Target>& map = targets[shard];
  const uint64_t created_ns = WallOf(delta.since);
  size_t ended = 0;
  const auto end_until = [&](size_t count) {
    for (; ended < count; ++ended) {
      const uint32_t row = delta.deaths[ended];
      const uint32_t id = map[row].series;
      map[row].live = false;
      if (--series[id].refs == 0) {
        ++expired_series;
        Remove(id);
      }
    }
  };
  for (const SeriesDelta::Birth& birth : delta.births) {
    end_until(birth.deaths);
    SeriesKey key = delta.KeyOf(birth);
    Narrow(&key);
    Target target;
    // In Tempo's shape an edge is one series, whatever came of its requests.
    if (IsEdge(key.row) && derive.tempo()) {
      target.failed = key.status != 0;
      key.status = 0;
    }
    const auto [at, fresh] =
        threshold_ids.try_emplace(birth.threshold, static_cast<uint32_t>(thresholds.size()));
    if (fresh) thresholds.push_back(birth.threshold);
    target.plane_threshold = at->second;
    target.series = Intern(key, created_ns);
    target.live = true;
    if (map.size() <= birth.row) map.resize(birth.row + 1);
    map[birth.row] = target;
    ++series[target.series].refs;
    PlaneOf(&series[target.series], birth.threshold, target.failed);
  }
  end_until(delta.deaths.size());
  const auto plane_of = [&](uint32_t row) -> Plane& {
    const Target& target = map[row];
    return PlaneOf(&series[target.series], thresholds[target.plane_threshold], target.failed);
  };
  for (const uint32_t row : delta.touched) {
    const Cell& cell = delta.cell(row);
    Plane& to = plane_of(row);
    uint64_t count = 0;
    for (size_t i = 0; i < to.buckets.size(); ++i) {
      to.buckets[i] += cell.counts()[i];
      count += cell.counts()[i];
    }
    to.sum_ns += cell.sum_ns;
    to.bytes += cell.bytes;
    to.self_ns += cell.self_ns;
    to.self_spans += cell.self_spans;
    for (size_t i = 0; i < to.natives.size(); ++i) {
      const NativeWindow& window = delta.window(row, i);
      to.natives[i].zero += window.zero;
      if (window.used == 0) continue;
      for (int32_t b = 0; b < NativeWindow::kBuckets; ++b) {
        if (const uint16_t n = window.counts[static_cast<size_t>(b)]; n != 0)
          to.natives[i].Add(window.base + b, n);
      }
    }
    const uint32_t id = map[row].series;
    if (series[id].key.overflow && series[id].key.row == RowKind::kSpans) overflow_spans += count;
    for (uint32_t at = cell.exemplars; at != 0; at = delta.exemplars[at - 1].next)
      Keep(delta.exemplars[at - 1], id);
  }
  for (const SeriesDelta::Carry& carry : delta.carries) {
    using What = SeriesDelta::Carry::What;
    Plane& to = plane_of(carry.row);
    constexpr uint64_t kWrap = uint64_t{1} << 16;
    constexpr unsigned __int128 kWrap64 = static_cast<unsigned __int128>(1) << 64;
    switch (carry.what) {
      case What::kSum: to.sum_ns += kWrap64; break;
      case What::kSelf: to.self_ns += kWrap64; break;
      case What::kBucket:
        to.buckets[static_cast<size_t>(carry.bucket)] += kWrap;
        if (const SeriesKey& key = series[map[carry.row].series].key;
            key.overflow && key.row == RowKind::kSpans) {
          overflow_spans += kWrap;
        }
        break;
      case What::kNative: to.natives[carry.window].Add(carry.bucket, kWrap); break;
      case What::kNativeZero: to.natives[carry.window].zero += kWrap; break;
    }
  }
  for (const SeriesDelta::Spill& spill : delta.spilled)
    plane_of(spill.row).natives[spill.window].Add(spill.bucket, 1);
  List(delta);
  exemplars_refused += delta.exemplars_refused;
  labels_truncated += delta.labels_truncated;
  thresholds_malformed += delta.thresholds_malformed;
  thresholds_coarsened += delta.thresholds_coarsened;
  names_merged += delta.names_merged;
  template_nodes_refused += delta.template_nodes_refused;
  template_nodes_replaced += delta.template_nodes_replaced;
  ++deltas_merged;
}

void SeriesState::List(const SeriesDelta& delta) {
  for (const SeriesDelta::Renamed& renamed : delta.renamed) {
    const std::string_view text = std::string_view(delta.labels).substr(renamed.at);
    const std::string_view service = text.substr(0, renamed.sizes[0]);
    const std::string_view from = text.substr(renamed.sizes[0], renamed.sizes[1]);
    const std::string_view to = text.substr(renamed.sizes[0] + renamed.sizes[1], renamed.sizes[2]);
    std::string id(service);
    id.append(1, '\0').append(to);
    auto at = merged_ids.find(id);
    if (at == merged_ids.end()) {
      if (merged.size() >= options.max_merged_names) continue;
      at = merged_ids.emplace(std::move(id), static_cast<uint32_t>(merged.size())).first;
      merged.push_back({std::string(service), std::string(to), 0, {}});
    }
    Merged& one = merged[at->second];
    ++one.count;
    if (one.examples.size() < kExamples &&
        std::find(one.examples.begin(), one.examples.end(), from) == one.examples.end()) {
      one.examples.emplace_back(from);
    }
  }
}

uint32_t SeriesState::Intern(SeriesKey key, uint64_t created_ns) {
  if (const auto at = known.find(key); at != known.end()) return *at;
  if (!key.overflow) {
    size_t bytes = 0;
    for (const std::string_view text : key.text) bytes += text.size();
    const uint32_t payer = payers.Intern(key.payer());
    if (label_bytes + bytes <= options.max_label_bytes && admission.Admit(payer)) {
      label_bytes += bytes;
      const uint32_t id = Add(key, created_ns);
      series[id].payer = payer;  // with its share
      series[id].admitted = true;
      return id;
    }
    payers.Release(payer);
    key = key.Overflow(true);
    if (const auto at = known.find(key); at != known.end()) return *at;
  }
  if (key.Named()) {
    if (overflows < options.max_overflow_series) {
      ++overflows;
      return Add(key, created_ns);
    }
    key = key.Overflow(false);
    if (const auto at = known.find(key); at != known.end()) return *at;
  }
  return Add(key, created_ns);
}

uint32_t SeriesState::Add(const SeriesKey& key, uint64_t created_ns) {
  uint32_t id = static_cast<uint32_t>(series.size());
  if (free_series.empty()) {
    series.emplace_back();
  } else {
    id = free_series.back();
    free_series.pop_back();
  }
  size_t size = 0;
  for (const std::string_view text : key.text) size += text.size();
  Series& added = series[id];
  added.key = key;
  added.text = std::make_unique<char[]>(size);
  char* at = added.text.get();
  for (std::string_view& text : added.key.text) {
    std::copy(text.begin(), text.end(), at);
    text = {at, text.size()};
    at += text.size();
  }
  added.created_ns = created_ns;
  added.orphan_since = last_tick;
  added.live = true;
  auto& list = by_kind[static_cast<size_t>(key.row)];
  added.place = static_cast<uint32_t>(list.size());
  list.push_back(id);
  known.insert(id);
  if (key.overflow) ++overflow_series;
  ++live;
  return id;
}

void SeriesState::Remove(uint32_t id) {
  known.erase(id);
  Series& gone = series[id];
  for (uint32_t at = gone.exemplars; at != 0;) {
    const uint32_t next = exemplars[at - 1].next;
    exemplars[at - 1].exemplar = {};  // not shown any more
    exemplars[at - 1].next = free_exemplars;
    free_exemplars = at;
    --exemplars_used;
    at = next;
  }
  if (gone.admitted) {
    admission.Release(gone.payer);
    payers.Release(gone.payer);
    for (const std::string_view text : gone.key.text) label_bytes -= text.size();
  }
  if (gone.key.overflow) {
    --overflow_series;
    if (gone.key.Named()) --overflows;
  }
  auto& list = by_kind[static_cast<size_t>(gone.key.row)];
  list[gone.place] = list.back();
  series[list.back()].place = gone.place;
  list.pop_back();
  gone = Series{};
  free_series.push_back(id);
  --live;
}

// Once a while: restored series that nobody came for end, and what a burst took goes back to the system.
void SeriesState::Advance(uint64_t tick) {
  last_tick = tick;
  constexpr uint64_t kSweepTicks = 200;
  if (tick - swept < kSweepTicks) return;
  swept = tick;
  for (uint32_t id = 0; id < series.size(); ++id) {
    const Series& one = series[id];
    if (!one.live || one.refs != 0 || tick - one.orphan_since <= options.expire_ticks) continue;
    ++expired_series;
    Remove(id);
  }
  if (free_series.size() < 4096 || free_series.size() * 4 < series.size() * 3) {
    // The shards' parts of what was packed come back a little later.
    if (trims_left != 0) {
      --trims_left;
      ::malloc_trim(0);
    }
    return;
  }
  // What lives moves to the front; the rows' targets follow.
  std::vector<uint32_t> moved(series.size());
  std::vector<Series> packed;
  packed.reserve(live);
  known.clear();
  for (uint32_t id = 0; id < series.size(); ++id) {
    if (!series[id].live) continue;
    moved[id] = static_cast<uint32_t>(packed.size());
    packed.push_back(std::move(series[id]));
  }
  series = std::move(packed);
  free_series = {};
  known.rehash(0);
  for (uint32_t id = 0; id < series.size(); ++id) {
    by_kind[static_cast<size_t>(series[id].key.row)][series[id].place] = id;
    known.insert(id);
  }
  for (auto& list : by_kind) list.shrink_to_fit();
  for (auto& map : targets) {
    while (!map.empty() && !map.back().live) map.pop_back();
    map.shrink_to_fit();
    for (Target& target : map) target.series = target.live ? moved[target.series] : 0;
  }
  PackExemplars();
  trims_left = kTrims;
  ::malloc_trim(0);
}

void SeriesState::PackExemplars() {
  std::vector<SeriesDelta::Slot> packed;
  packed.reserve(exemplars_used);
  for (uint32_t id = 0; id < series.size(); ++id) {
    uint32_t* link = &series[id].exemplars;
    for (uint32_t at = *link; at != 0; at = exemplars[at - 1].next) {
      packed.push_back(exemplars[at - 1]);
      packed.back().row = id;
      *link = static_cast<uint32_t>(packed.size());
      link = &packed.back().next;  // stays: there is room for all
    }
  }
  exemplars = std::move(packed);
  free_exemplars = 0;
}

void SeriesState::Keep(const SeriesDelta::Slot& offered, uint32_t id) {
  size_t kept = 0;
  for (uint32_t at = series[id].exemplars; at != 0; at = exemplars[at - 1].next) {
    SeriesDelta::Slot& slot = exemplars[at - 1];
    ++kept;
    if (slot.bucket != offered.bucket) continue;
    const bool old = offered.tick > slot.tick && offered.tick - slot.tick > kExemplarTicks;
    if (old || MoreTelling(offered.exemplar, slot.exemplar)) {
      slot.exemplar = offered.exemplar;
      slot.tick = offered.tick;
    }
    return;
  }
  const ExemplarBuckets& buckets = series[id].key.row == RowKind::kSpans ? span_exemplars : edge_exemplars;
  if (kept >= buckets.most()) {
    SeriesDelta::Slot& slot = buckets.GivesWay(exemplars, series[id].exemplars);
    slot.exemplar = offered.exemplar;
    slot.tick = offered.tick;
    slot.bucket = offered.bucket;
    return;
  }
  uint32_t at = free_exemplars;
  if (at != 0) {
    free_exemplars = exemplars[at - 1].next;
  } else if (exemplars.size() < options.max_exemplars) {
    exemplars.emplace_back();
    at = static_cast<uint32_t>(exemplars.size());
  } else {
    ++exemplars_refused;
    return;
  }
  ++exemplars_used;
  SeriesDelta::Slot& slot = exemplars[at - 1];
  slot = offered;
  slot.row = id;
  slot.next = series[id].exemplars;
  series[id].exemplars = at;
}

uint64_t SeriesState::Digest() const {
  std::vector<uint32_t> order;
  for (uint32_t id = 0; id < series.size(); ++id) {
    if (series[id].live) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const SeriesKey& x = series[a].key;
    const SeriesKey& y = series[b].key;
    return std::tie(x.row, x.text, x.kind, x.status, x.detail, x.overflow) <
           std::tie(y.row, y.text, y.kind, y.status, y.detail, y.overflow);
  });
  uint64_t digest = 0;
  const auto mix = [&](uint64_t word) { digest = XXH3_64bits_withSeed(&word, sizeof word, digest); };
  const auto mix128 = [&](unsigned __int128 word) {
    mix(static_cast<uint64_t>(word));
    mix(static_cast<uint64_t>(word >> 64));
  };
  for (const uint32_t id : order) {
    const Series& one = series[id];
    mix(HashOf(one.key, 0));
    for (const Plane& plane : one.planes) {
      mix(plane.threshold << 1 | (plane.failed ? 1 : 0));
      for (const uint64_t n : plane.buckets) mix(n);
      mix128(plane.sum_ns);
      mix128(plane.bytes);
      mix128(plane.self_ns);
      mix(plane.self_spans);
      for (const Native& native : plane.natives) {
        mix(native.zero);
        for (const Native::Count& count : native.counts) {
          mix(static_cast<uint64_t>(count.bucket));
          mix(count.n);
        }
      }
    }
  }
  return digest;
}

// ---- As one value
// ----------------------------------------------------------------------------------------------

// docs/formats/series-state.md
namespace {
constexpr uint32_t kStateVersion = 1, kStateSpanBound = 2, kStateGraphBound = 3, kStateWindows = 4,
                   kStateSeries = 5;
constexpr uint32_t kSeriesRow = 1, kSeriesKind = 2, kSeriesStatus = 3, kSeriesDetail = 4, kSeriesOverflow = 5,
                   kSeriesText = 6, kSeriesCreated = 7, kSeriesPlane = 8, kSeriesServerPays = 9;
constexpr uint32_t kPlaneThreshold = 1, kPlaneFailed = 2, kPlaneBucket = 3, kPlaneSumLow = 4,
                   kPlaneSumHigh = 5, kPlaneBytesLow = 6, kPlaneBytesHigh = 7, kPlaneSelfLow = 8,
                   kPlaneSelfHigh = 9, kPlaneSelfSpans = 10, kPlaneNative = 11;
constexpr uint32_t kNativeZero = 1, kNativeBucket = 2, kNativeCount = 3;
constexpr uint64_t kVersion = 1;

uint64_t Low(unsigned __int128 word) { return static_cast<uint64_t>(word); }
uint64_t High(unsigned __int128 word) { return static_cast<uint64_t>(word >> 64); }
uint64_t ZigZag(int32_t n) {
  return (static_cast<uint64_t>(static_cast<int64_t>(n)) << 1) ^
         static_cast<uint64_t>(static_cast<int64_t>(n) >> 63);
}
int32_t UnZigZag(uint64_t n) { return static_cast<int32_t>((n >> 1) ^ (~(n & 1) + 1)); }
}  // namespace

std::string SeriesState::Serialize() const {
  std::string out, one_series, one_plane, one_native;
  wire::Writer w(&out);
  w.Varint(kStateVersion, kVersion);
  for (const uint64_t bound : span_buckets.bounds()) w.Varint(kStateSpanBound, bound);
  for (const uint64_t bound : graph_buckets.bounds()) w.Varint(kStateGraphBound, bound);
  w.Varint(kStateWindows, windows);
  for (const Series& one : series) {
    if (!one.live) continue;
    one_series.clear();
    wire::Writer s(&one_series);
    s.Varint(kSeriesRow, static_cast<uint64_t>(one.key.row));
    s.Varint(kSeriesKind, one.key.kind);
    s.Varint(kSeriesStatus, one.key.status);
    s.Varint(kSeriesDetail, one.key.detail);
    s.Varint(kSeriesOverflow, one.key.overflow ? 1 : 0);
    if (one.key.server_pays) s.Varint(kSeriesServerPays, 1);
    for (const std::string_view text : one.key.text) s.Bytes(kSeriesText, text);
    s.Varint(kSeriesCreated, one.created_ns);
    for (const Plane& plane : one.planes) {
      one_plane.clear();
      wire::Writer p(&one_plane);
      p.Varint(kPlaneThreshold, plane.threshold);
      p.Varint(kPlaneFailed, plane.failed ? 1 : 0);
      for (const uint64_t n : plane.buckets) p.Varint(kPlaneBucket, n);
      p.Varint(kPlaneSumLow, Low(plane.sum_ns));
      p.Varint(kPlaneSumHigh, High(plane.sum_ns));
      p.Varint(kPlaneBytesLow, Low(plane.bytes));
      p.Varint(kPlaneBytesHigh, High(plane.bytes));
      p.Varint(kPlaneSelfLow, Low(plane.self_ns));
      p.Varint(kPlaneSelfHigh, High(plane.self_ns));
      p.Varint(kPlaneSelfSpans, plane.self_spans);
      for (const Native& native : plane.natives) {
        one_native.clear();
        wire::Writer n(&one_native);
        n.Varint(kNativeZero, native.zero);
        for (const Native::Count& count : native.counts) {
          n.Varint(kNativeBucket, ZigZag(count.bucket));
          n.Varint(kNativeCount, count.n);
        }
        p.Bytes(kPlaneNative, one_native);
      }
      s.Bytes(kSeriesPlane, one_plane);
    }
    w.Bytes(kStateSeries, one_series);
  }
  const uint64_t sum = XXH3_64bits(out.data(), out.size());
  out.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return out;
}

Status SeriesState::Restore(std::string_view bytes, uint64_t tick) {
  uint64_t sum = 0;
  if (bytes.size() < sizeof sum) return InvalidArgument("series state: shorter than its checksum");
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  bytes.remove_suffix(sizeof sum);
  if (XXH3_64bits(bytes.data(), bytes.size()) != sum)
    return InvalidArgument("series state: checksum differs");
  // Behind a good checksum the content is what Serialize() wrote; what is left to check is that it fits.
  uint64_t version = 0, native_windows = 0;
  std::vector<uint64_t> spans, graph;
  for (wire::Cursor c(bytes); c.Next();) {
    switch (c.field().number) {
      case kStateVersion: version = c.field().scalar; break;
      case kStateSpanBound: spans.push_back(c.field().scalar); break;
      case kStateGraphBound: graph.push_back(c.field().scalar); break;
      case kStateWindows: native_windows = c.field().scalar; break;
      default: break;
    }
  }
  if (version != kVersion) return InvalidArgument("series state: version " + std::to_string(version));
  if (!std::equal(spans.begin(), spans.end(), span_buckets.bounds().begin(), span_buckets.bounds().end()) ||
      !std::equal(graph.begin(), graph.end(), graph_buckets.bounds().begin(), graph_buckets.bounds().end()) ||
      native_windows != windows) {
    return InvalidArgument("series state: of other histograms (metrics.dialect or metrics.histograms)");
  }
  last_tick = std::max(last_tick, tick);
  for (wire::Cursor c(bytes); c.Next();) {
    if (c.field().number != kStateSeries) continue;
    SeriesKey key;
    size_t texts = 0;
    uint64_t created = 0;
    std::vector<std::string_view> planes;
    for (wire::Cursor s(c.field().bytes); s.Next();) {
      const wire::Field& f = s.field();
      switch (f.number) {
        case kSeriesRow: key.row = static_cast<RowKind>(f.scalar); break;
        case kSeriesKind: key.kind = static_cast<uint8_t>(f.scalar); break;
        case kSeriesStatus: key.status = static_cast<uint8_t>(f.scalar); break;
        case kSeriesDetail: key.detail = static_cast<uint8_t>(f.scalar); break;
        case kSeriesOverflow: key.overflow = f.scalar != 0; break;
        case kSeriesServerPays: key.server_pays = f.scalar != 0; break;
        case kSeriesText:
          if (texts < key.text.size()) key.text[texts++] = f.bytes;
          break;
        case kSeriesCreated: created = f.scalar; break;
        case kSeriesPlane: planes.push_back(f.bytes); break;
        default: break;
      }
    }
    Narrow(&key);
    Series& to = series[Intern(key, created)];
    to.orphan_since = tick;
    if (created != 0 && (to.created_ns == 0 || created < to.created_ns)) to.created_ns = created;
    for (const std::string_view bytes_of_plane : planes) {
      uint64_t threshold = 0;
      bool failed = false;
      for (wire::Cursor p(bytes_of_plane); p.Next();) {
        if (p.field().number == kPlaneThreshold) threshold = p.field().scalar;
        if (p.field().number == kPlaneFailed) failed = p.field().scalar != 0;
      }
      Plane& plane = PlaneOf(&to, threshold, failed);
      size_t bucket = 0, window = 0;
      const auto high = [](uint64_t word) { return static_cast<unsigned __int128>(word) << 64; };
      for (wire::Cursor p(bytes_of_plane); p.Next();) {
        const wire::Field& f = p.field();
        switch (f.number) {
          case kPlaneBucket:
            if (bucket < plane.buckets.size()) plane.buckets[bucket++] += f.scalar;
            break;
          case kPlaneSumLow: plane.sum_ns += f.scalar; break;
          case kPlaneSumHigh: plane.sum_ns += high(f.scalar); break;
          case kPlaneBytesLow: plane.bytes += f.scalar; break;
          case kPlaneBytesHigh: plane.bytes += high(f.scalar); break;
          case kPlaneSelfLow: plane.self_ns += f.scalar; break;
          case kPlaneSelfHigh: plane.self_ns += high(f.scalar); break;
          case kPlaneSelfSpans: plane.self_spans += f.scalar; break;
          case kPlaneNative: {
            if (window >= plane.natives.size()) break;
            Native& native = plane.natives[window++];
            int32_t at = 0;
            for (wire::Cursor n(f.bytes); n.Next();) {
              if (n.field().number == kNativeZero) native.zero += n.field().scalar;
              if (n.field().number == kNativeBucket) at = UnZigZag(n.field().scalar);
              if (n.field().number == kNativeCount) native.Add(at, n.field().scalar);
            }
            break;
          }
          default: break;
        }
      }
    }
  }
  return {};
}

}  // namespace braid::correlate
