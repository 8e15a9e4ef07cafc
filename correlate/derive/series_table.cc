#include "correlate/derive/series_table.h"

#include <xxhash.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "correlate/derive/any_value.h"
#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

constexpr size_t kFirstSlots = 1024;
constexpr size_t kMaxRenamed = 256;  // listed with one hand-over
constexpr uint64_t kMsNs = 1'000'000;
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint8_t kServer = 2;
constexpr uint8_t kInternal = 1;

std::vector<uint64_t> Union(std::vector<uint64_t> a, const std::vector<uint64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::sort(a.begin(), a.end());
  a.erase(std::unique(a.begin(), a.end()), a.end());
  return a;
}

}  // namespace

BucketMap SpanBuckets(const DeriveOptions& derive) {
  switch (derive.dialect) {
    case DeriveOptions::Dialect::kTempo: return BucketMap(TempoLatencyBounds());
    case DeriveOptions::Dialect::kOtel: return BucketMap(OtelLatencyBounds());
    case DeriveOptions::Dialect::kBoth: return BucketMap(Union(TempoLatencyBounds(), OtelLatencyBounds()));
  }
  return {};
}

BucketMap GraphBuckets(const DeriveOptions& derive) {
  return BucketMap(derive.tempo() ? TempoGraphBounds() : OtelLatencyBounds());
}

std::vector<NativeMap> NativeMaps(const DeriveOptions& derive) {
  std::vector<NativeMap> maps;
  if (!derive.native()) return maps;
  maps.emplace_back(kSecondNs);
  if (derive.otel()) maps.emplace_back(kMsNs);
  return maps;
}

ExemplarBuckets SpanExemplarBuckets(const DeriveOptions& derive) {
  const NativeMap native(derive.tempo() ? kSecondNs : kMsNs);
  return {SpanBuckets(derive), derive.classic() ? nullptr : &native};
}

ExemplarBuckets EdgeExemplarBuckets(const DeriveOptions& derive) {
  const NativeMap native(kSecondNs);
  return {GraphBuckets(derive), derive.classic() ? nullptr : &native};
}

// ---- StringPool -----------------------------------------------------------------------------------------

uint32_t StringPool::Intern(std::string_view text) {
  if (text.empty()) return 0;
  if (const auto at = ids_.find(text); at != ids_.end()) {
    ++entries_[at->second].refs;
    return at->second;
  }
  uint32_t id = static_cast<uint32_t>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Entry& entry = entries_[id];
  entry.memory = std::make_unique<char[]>(text.size());
  std::copy(text.begin(), text.end(), entry.memory.get());
  entry.text = {entry.memory.get(), text.size()};
  entry.refs = 1;
  bytes_ += text.size();
  ids_.emplace(entry.text, id);
  return id;
}

void StringPool::Release(uint32_t id) {
  if (id == 0) return;
  Entry& entry = entries_[id];
  if (--entry.refs != 0) return;
  ids_.erase(entry.text);
  bytes_ -= entry.text.size();
  entry = Entry{};
  free_.push_back(id);
}

void StringPool::Shrink() {
  if (free_.size() * 2 < entries_.size()) return;
  while (entries_.size() > 1 && entries_.back().refs == 0) entries_.pop_back();
  entries_.shrink_to_fit();
  std::erase_if(free_, [this](uint32_t id) { return id >= entries_.size(); });
  // Lowest last, to be given again first.
  std::sort(free_.begin(), free_.end(), std::greater<>());
  free_.shrink_to_fit();
  ids_.rehash(0);
}

// ---- Rows -------------------------------------------------------------------------------------------------

SeriesTable::SeriesTable(const Options& options, const DeriveOptions& derive, uint64_t seed)
    : options_(options),
      derive_(derive),
      seed_(seed),
      buckets_(SpanBuckets(derive)),
      graph_buckets_(GraphBuckets(derive)),
      natives_(NativeMaps(derive)),
      exemplar_buckets_(SpanExemplarBuckets(derive)),
      edge_exemplar_buckets_(EdgeExemplarBuckets(derive)),
      bar_count_(derive.classic() ? std::max(buckets_.buckets(), graph_buckets_.buckets()) : kNativeBars),
      bars_((sizeof(uint32_t) * (1 + bar_count_) + 63) / 64 * 64),
      slots_(kFirstSlots),
      mask_(kFirstSlots - 1),
      span_windows_from_(derive.tempo() ? 0 : 1),
      room_(options_, 1),
      room_uncounted_(options_, 4),
      labels_(derive),
      templates_({.max_nodes = options.max_template_nodes, .idle_ticks = options.expire_ticks * 4}, seed),
      pool_(std::make_shared<SeriesDeltaPool>(
          CellLayout(std::max(buckets_.buckets(), graph_buckets_.buckets()), natives_.size()), kDeltas)),
      delta_(pool_->Take(), SeriesDeltaRecycler{pool_}) {
  nodes_.emplace_back();
  if (derive.lend.enabled) screens_.emplace_back();
}

SeriesTable::~SeriesTable() = default;

std::string_view SeriesTable::Cut(std::string_view value, bool* cut) const {
  const std::string_view kept = CutToCharacter(value, options_.max_value_bytes);
  *cut |= kept.size() != value.size();
  return kept;
}

uint64_t SeriesTable::RowHash(const SeriesKey& key, uint64_t threshold, bool counts) const {
  return Mix64(HashOf(key, seed_) + Mix64(threshold * 2 + (counts ? 1 : 0)));
}

std::vector<SeriesTable::Threshold>::iterator SeriesTable::ThresholdAt(uint64_t threshold) {
  return std::lower_bound(thresholds_.begin(), thresholds_.end(), threshold,
                          [](const Threshold& a, uint64_t value) { return a.value < value; });
}

// Thresholds are few where samplers are configured by people. Where a sampler makes them up as it goes they
// are rounded, so that rows stay bounded.
uint64_t SeriesTable::Coarsened(uint64_t threshold) {
  if (threshold == 0 || thresholds_.size() < options_.max_thresholds) return threshold;
  const auto at = ThresholdAt(threshold);
  if (at != thresholds_.end() && at->value == threshold) return threshold;
  ++delta_->thresholds_coarsened;
  constexpr unsigned kBits = 5;  // the leading one, and sixteen steps
  const uint64_t kept = (uint64_t{1} << 56) - threshold;
  const auto width = static_cast<unsigned>(std::bit_width(kept));
  if (width <= kBits) return threshold;
  const uint64_t half = uint64_t{1} << (width - kBits - 1);
  return (uint64_t{1} << 56) - ((kept + half) >> (width - kBits) << (width - kBits));
}

SeriesTable::Place SeriesTable::Intern(uint64_t signature, const Batch& batch, uint16_t group,
                                       std::string_view span, uint8_t kind, uint8_t status, bool root) {
  if (kind > 5) kind = 0;
  if (status > 2) status = 0;
  labels_.Read(batch, group, span, kind, status);
  bool cut = false;
  const std::string_view service = Cut(labels_.service(), &cut);
  std::string_view name = Cut(labels_.name(), &cut);
  bool renamed = false;
  if (derive_.names != DeriveOptions::Names::kRaw) {
    const std::string_view merged = Cut(templates_.Apply(service, name, labels_.route()), &cut);
    if (merged != name) {
      Renamed(service, name, merged);
      if (derive_.names == DeriveOptions::Names::kTemplates) {
        name = merged;
        renamed = true;
      }
    }
  }
  std::string_view extras = labels_.extras();
  if (extras.size() > options_.max_value_bytes) {
    // Only then may one of the values be too long.
    cut_extras_.clear();
    while (!extras.empty()) label_block::Append(&cut_extras_, Cut(label_block::Take(&extras), &cut));
    extras = cut_extras_;
  }
  if (cut) ++delta_->labels_truncated;
  if (labels_.threshold_malformed()) ++delta_->thresholds_malformed;

  SeriesKey key;
  key.kind = kind;
  key.status = labels_.status();
  key.detail = static_cast<uint8_t>(labels_.error_source());
  key.text = {service, name, extras, {}};
  const Id row = RowFor(key, Coarsened(labels_.threshold()), labels_.counted());
  rows_[RowOf(row)].renamed |= renamed;
  uint32_t target_row = 0;
  if (!labels_.target().empty() && labels_.counted()) {
    SeriesKey target;
    target.row = RowKind::kTarget;
    target.text[0] = labels_.target();
    target_row = RowOf(RowFor(target, 0, true));
    rows_[target_row].last_tick = static_cast<uint32_t>(now_);
    if (!rows_[target_row].born) Bear(target_row);
    ++target_row;
  }
  MatchKey match;
  if (derive_.lend.enabled)
    match = ReadSpanMatch(batch, group, span, derive_.lend.match, seed_, &match_value_);
  const uint32_t node = NodeFor(root, target_row, match.Usable() ? &match : nullptr);
  // As many signatures as rows, twice: beyond that they are read again each time.
  if (used_slots_ < options_.max_series * 2) Remember(signature, row, node);
  return {row, node, labels_.counted()};
}

// The row of a label set, or the overflow row that stands in for it.
SeriesTable::Id SeriesTable::RowFor(SeriesKey key, uint64_t threshold, bool counts) {
  uint64_t hash = RowHash(key, threshold, counts);
  const auto known = [&]() -> Id {
    const auto at = by_hash_.find(hash);
    if (at == by_hash_.end()) return kNone;
    return at->second | static_cast<Id>(rows_[at->second].generation) << kRowBits;
  };
  if (const Id id = known(); id != kNone) return id;
  const auto finish = [&](Id id) {
    rows_[RowOf(id)].counts = counts;
    return id;
  };
  Room& room = RoomOf(counts);
  if (!key.overflow) {
    size_t bytes = 0;
    for (const std::string_view text : key.text) bytes += text.size();
    const uint32_t payer = strings_.Intern(key.payer());
    if (bytes <= room.label_bytes_left && rows_.size() < (1u << kRowBits) - 1 &&
        room.admission.Admit(payer)) {
      const Id id = Add(hash, key, threshold);
      Row& row = rows_[RowOf(id)];
      row.payer = payer;  // with its share
      row.admitted = true;
      row.label_bytes = static_cast<uint32_t>(bytes);
      room.label_bytes_left -= bytes;
      return finish(id);
    }
    strings_.Release(payer);
    key = key.Overflow(true);
    hash = RowHash(key, threshold, counts);
    if (const Id again = known(); again != kNone) return again;
  }
  if (key.Named()) {
    // These labels come on top of max_label_bytes: at most max_overflow_series * max_value_bytes.
    if (room.overflows_left > 0) {
      --room.overflows_left;
      const Id id = Add(hash, key, threshold);
      rows_[RowOf(id)].named_overflow = true;
      return finish(id);
    }
    key = key.Overflow(false);
    hash = RowHash(key, threshold, counts);
    if (const Id again = known(); again != kNone) return again;
  }
  return finish(Add(hash, key, threshold));
}

SeriesTable::Id SeriesTable::Add(uint64_t hash, const SeriesKey& key, uint64_t threshold) {
  uint32_t at = static_cast<uint32_t>(rows_.size());
  if (free_rows_.empty()) {
    rows_.emplace_back();
  } else {
    std::pop_heap(free_rows_.begin(), free_rows_.end(), std::greater<>());
    at = free_rows_.back();
    free_rows_.pop_back();
  }
  Row& row = rows_[at];
  const uint8_t generation = row.generation;
  row = Row{};
  row.generation = generation;
  row.hash = hash;
  row.threshold = threshold;
  for (size_t i = 0; i < row.text.size(); ++i) row.text[i] = strings_.Intern(key.text[i]);
  row.last_tick = static_cast<uint32_t>(now_);
  row.row = key.row;
  row.kind = key.kind;
  row.status = key.status;
  row.detail = key.detail;
  row.overflow = key.overflow;
  row.server_pays = key.server_pays;
  row.live = true;
  if (threshold != 0) {
    auto known = ThresholdAt(threshold);
    if (known == thresholds_.end() || known->value != threshold)
      known = thresholds_.insert(known, {.value = threshold});
    ++known->rows;
  }
  by_hash_[hash] = at;
  ++live_rows_;
  if (bars_.rows() < rows_.size()) bars_.Resize(rows_.size());
  std::memset(bars_[at], 0, sizeof(uint32_t));
  if (delta_->cells.rows() < rows_.size()) delta_->cells.Resize(rows_.size());
  return at | static_cast<Id>(generation) << kRowBits;
}

// Tells the owner of a row, when something is counted in it for the first time.
void SeriesTable::Bear(uint32_t at) {
  Row& row = rows_[at];
  row.born = true;
  SeriesDelta& delta = *delta_;
  SeriesDelta::Birth birth;
  birth.threshold = row.threshold;
  birth.row = at;
  birth.at = static_cast<uint32_t>(delta.labels.size());
  birth.deaths = static_cast<uint32_t>(delta.deaths.size());
  birth.kind = row.row;
  birth.span_kind = row.kind;
  birth.status = row.status;
  birth.detail = row.detail;
  birth.overflow = row.overflow;
  birth.server_pays = row.server_pays;
  for (size_t i = 0; i < row.text.size(); ++i) {
    const std::string_view text = strings_[row.text[i]];
    birth.sizes[i] = static_cast<uint32_t>(text.size());
    delta.labels.append(text);
  }
  delta.births.push_back(birth);
}

void SeriesTable::End(uint32_t at) {
  Row& row = rows_[at];
  Room& room = RoomOf(row.counts);
  if (row.admitted) {
    room.admission.Release(row.payer);
    strings_.Release(row.payer);
  }
  if (row.named_overflow) ++room.overflows_left;
  room.label_bytes_left += row.label_bytes;
  if (row.threshold != 0) {
    const auto known = ThresholdAt(row.threshold);
    if (--known->rows == 0) thresholds_.erase(known);
  }
  by_hash_.erase(row.hash);
  for (const uint32_t text : row.text) strings_.Release(text);
  if (row.born) delta_->deaths.push_back(at);
  const uint8_t generation = static_cast<uint8_t>(row.generation + 1);
  row = Row{};
  row.generation = generation;
  --live_rows_;
  ++ended_;
  free_rows_.push_back(at);
  std::push_heap(free_rows_.begin(), free_rows_.end(), std::greater<>());
}

void SeriesTable::Renamed(std::string_view service, std::string_view from, std::string_view to) {
  SeriesDelta& delta = *delta_;
  ++delta.names_merged;
  if (delta.renamed.size() >= kMaxRenamed) return;
  SeriesDelta::Renamed renamed;
  renamed.at = static_cast<uint32_t>(delta.labels.size());
  renamed.sizes = {static_cast<uint32_t>(service.size()), static_cast<uint32_t>(from.size()),
                   static_cast<uint32_t>(to.size())};
  delta.labels.append(service).append(from).append(to);
  delta.renamed.push_back(renamed);
}

SeriesTable::Id SeriesTable::EdgeRow(RowKind row, uint32_t client, uint32_t server, Connection connection,
                                     bool failed, uint8_t virtual_side, bool server_pays,
                                     std::string_view dimensions, uint64_t threshold) {
  SeriesKey key;
  key.row = row;
  key.kind = static_cast<uint8_t>(connection);
  key.status = failed ? 1 : 0;
  key.detail = virtual_side;
  key.server_pays = server_pays;
  key.text = {strings_[client], strings_[server], dimensions, {}};
  return RowFor(key, threshold, true);
}

SeriesTable::Id SeriesTable::DetailRow(RowKind row, Id span, std::string_view detail,
                                       std::string_view message) {
  const Row& of = rows_[RowOf(span)];
  SeriesKey key;
  key.row = row;
  key.kind = of.kind;
  key.status = of.status;
  key.detail = of.detail;
  key.overflow = of.overflow;
  bool cut = false;
  detail = Cut(detail, &cut);
  if (row == RowKind::kExceptions && derive_.exception_message) {
    detail_.clear();
    label_block::Append(&detail_, detail);
    label_block::Append(&detail_, Cut(message, &cut));
    detail = detail_;
  }
  key.text = {strings_[of.text[0]], strings_[of.text[1]], strings_[of.text[2]], detail};
  if (cut) ++delta_->labels_truncated;
  if (of.overflow) key.text[3] = {};
  return RowFor(key, of.threshold, true);
}

uint32_t SeriesTable::NodeFor(bool root, uint32_t target, const MatchKey* match) {
  const uint8_t kind = labels_.kind();
  const bool sided = derive_.graph.enabled && kind != kInternal && !(kind == kServer && !root);
  bool cut = false;
  const std::string_view peer = sided ? Cut(labels_.peer().name, &cut) : std::string_view();
  const std::string& dimensions = labels_.graph_dimensions();
  if (match != nullptr && nodes_.size() - free_nodes_.size() > options_.max_series) {
    // The other half is the service graph's.
    ++delta_->candidates_refused;
    match = nullptr;
  }
  if (peer.empty() && dimensions.empty() && target == 0 && match == nullptr) return 0;
  const auto connection = peer.empty() ? Connection::kDirect : labels_.peer().connection;
  uint64_t hash =
      XXH3_64bits_withSeed(dimensions.data(), dimensions.size(),
                           XXH3_64bits_withSeed(peer.data(), peer.size(),
                                                seed_ ^ target << 8 ^ static_cast<uint64_t>(connection)));
  if (match != nullptr) hash = Mix64(hash ^ match->Digest());
  if (const auto at = nodes_by_hash_.find(hash); at != nodes_by_hash_.end()) return at->second;
  // A node is small, and there are at most as many as signatures at work.
  if (nodes_.size() - free_nodes_.size() > options_.max_series * 2) return 0;
  uint32_t at = static_cast<uint32_t>(nodes_.size());
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
  } else {
    at = free_nodes_.back();
    free_nodes_.pop_back();
  }
  Node& node = nodes_[at];
  node.hash = hash;
  if (derive_.lend.enabled) {
    screens_.resize(nodes_.size());
    screens_[at] = {.lends = match != nullptr};
  }
  node.peer = strings_.Intern(peer);
  node.dimensions = strings_.Intern(dimensions);
  node.connection = connection;
  node.target = target;
  if (target != 0) ++rows_[target - 1].refs;
  node.refs = 0;
  node.last_tick = static_cast<uint32_t>(now_);
  nodes_by_hash_.emplace(hash, at);
  return at;
}

// ---- Signatures -------------------------------------------------------------------------------------------

void SeriesTable::Remember(uint64_t signature, Id row, uint32_t node) {
  if ((used_slots_ + 1) * 3 > slots_.size() * 2) Rehash(slots_.size() * 2);
  uint64_t at = signature & mask_;
  while (slots_[at].row != kNone) at = (at + 1) & mask_;
  slots_[at] = {signature, row, node | kUsed | (rows_[RowOf(row)].counts ? 0 : kIgnored)};
  ++used_slots_;
  ++rows_[RowOf(row)].refs;
  ++nodes_[node].refs;
}

// Empties a slot and closes the gap, so that no probe ends early.
void SeriesTable::Forget(uint64_t at) {
  --rows_[RowOf(slots_[at].row)].refs;
  Node& node = nodes_[slots_[at].node & kNodeMask];
  --node.refs;
  node.last_tick = static_cast<uint32_t>(now_);
  --used_slots_;
  for (uint64_t next = (at + 1) & mask_;; next = (next + 1) & mask_) {
    if (slots_[next].row == kNone) break;
    const uint64_t home = slots_[next].signature & mask_;
    if (((next - home) & mask_) < ((next - at) & mask_)) continue;
    slots_[at] = slots_[next];
    at = next;
  }
  slots_[at] = Slot{};
}

void SeriesTable::Rehash(size_t size) {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(size));
  mask_ = size - 1;
  sweep_slot_ = 0;
  // In the order of the old slots; where a signature lands decides nothing but probe lengths.
  for (const Slot& slot : old) {
    if (slot.row == kNone) continue;
    uint64_t at = slot.signature & mask_;
    while (slots_[at].row != kNone) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

// ---- Counting
// -----------------------------------------------------------------------------------------------

void SeriesTable::Touch(uint32_t row) {
  Cell& cell = delta_->cell(row);
  if (cell.touched == 0) {
    delta_->touched.push_back(row);
    if (!rows_[row].born) Bear(row);
  }
  cell.touched = period_;
  recent_.push_back(row);
}

void SeriesTable::Carry(uint32_t row, size_t bucket, bool sum) {
  using What = SeriesDelta::Carry::What;
  if (sum) delta_->carries.push_back({row, What::kSum, 0, 0});
  if (delta_->cell(row).counts()[bucket] == 0)
    delta_->carries.push_back({row, What::kBucket, 0, static_cast<int32_t>(bucket)});
}

void SeriesTable::CountNative(uint32_t row, uint64_t duration_ns) {
  for (size_t i = span_windows_from_; i < natives_.size(); ++i) CountWindow(row, i, duration_ns);
}

void SeriesTable::CountWindow(uint32_t row, size_t i, uint64_t duration_ns) {
  using What = SeriesDelta::Carry::What;
  NativeWindow& window = delta_->window(row, i);
  const auto number = static_cast<uint8_t>(i);
  if (duration_ns == 0) {
    if (++window.zero == 0) delta_->carries.push_back({row, What::kNativeZero, number, 0});
    return;
  }
  const int32_t bucket = natives_[i].Of(duration_ns);
  if (window.used == 0) {
    window.used = 1;
    window.base = static_cast<int16_t>(bucket - NativeWindow::kBuckets / 3);
  }
  const int32_t place = bucket - window.base;
  if (place < 0 || place >= NativeWindow::kBuckets) {
    delta_->spilled.push_back({row, static_cast<uint32_t>(i), bucket});
    return;
  }
  if (++window.counts[static_cast<size_t>(place)] == 0)
    delta_->carries.push_back({row, What::kNative, number, bucket});
}

void SeriesTable::CountEdge(Id id, uint64_t duration_ns) {
  const uint32_t row = RowOf(id);
  Cell& cell = delta_->cell(row);
  if (cell.touched != period_) Touch(row);
  const size_t bucket = graph_buckets_.Of(duration_ns);
  const bool wrapped = __builtin_add_overflow(cell.sum_ns, duration_ns, &cell.sum_ns);
  if (++cell.counts()[bucket] == 0 || wrapped) Carry(row, bucket, wrapped);
  if (!natives_.empty()) CountWindow(row, 0, duration_ns);
}

void SeriesTable::CountOne(Id id) {
  const uint32_t row = RowOf(id);
  Cell& cell = delta_->cell(row);
  if (cell.touched != period_) Touch(row);
  if (++cell.counts()[0] == 0) Carry(row, 0, false);
}

void SeriesTable::CountSelf(Id id, uint64_t self_ns) {
  const uint32_t row = RowOf(id);
  if (!rows_[row].counts) return;
  Cell& cell = delta_->cell(row);
  if (cell.touched != period_) Touch(row);
  ++cell.self_spans;  // 2^32 within one hand-over is beyond any machine
  if (__builtin_add_overflow(cell.self_ns, self_ns, &cell.self_ns))
    delta_->carries.push_back({row, SeriesDelta::Carry::What::kSelf, 0, 0});
}

// ---- Exemplars
// ------------------------------------------------------------------------------------------------

bool SeriesTable::Wants(Id id, uint64_t duration_ns, bool failing) const {
  const uint32_t row = RowOf(id);
  const Bars& bars = BarsOf(row);
  if (static_cast<uint32_t>(now_) - bars.since > kExemplarTicks) return true;
  const ExemplarBuckets& buckets = ExemplarBucketsOf(rows_[row]);
  const int16_t bucket = buckets.Of(duration_ns);
  const uint32_t bar = BarAt(row)[BarOf(buckets, bucket)];
  if (bar != 0 && buckets.by_native() && buckets.Of(DurationOf(bar)) != bucket) return true;
  return Bar(duration_ns, failing) > bar;
}

void SeriesTable::Offer(Id id, const Exemplar& exemplar) {
  const uint32_t row = RowOf(id);
  if (!Alive(id) || !rows_[row].counts) return;
  SeriesDelta& delta = *delta_;
  Cell& cell = delta.cell(row);
  if (cell.touched != period_) Touch(row);
  const ExemplarBuckets& buckets = ExemplarBucketsOf(rows_[row]);
  const int16_t bucket = buckets.Of(exemplar.duration_ns);
  Bars& bars = *reinterpret_cast<Bars*>(bars_[row]);
  if (static_cast<uint32_t>(now_) - bars.since > kExemplarTicks) {
    std::fill(BarAt(row), BarAt(row) + bar_count_, 0u);
    bars.since = static_cast<uint32_t>(now_);
  }
  uint32_t& bar = BarAt(row)[BarOf(buckets, bucket)];
  if (bar != 0 && buckets.by_native() && buckets.Of(DurationOf(bar)) != bucket) bar = 0;
  bar = std::max(bar, Bar(exemplar.duration_ns, exemplar.failing));
  size_t kept = 0;
  for (uint32_t at = cell.exemplars; at != 0; at = delta.exemplars[at - 1].next) {
    SeriesDelta::Slot& slot = delta.exemplars[at - 1];
    ++kept;
    if (slot.bucket != bucket) continue;
    if (now_ - slot.tick > kExemplarTicks || MoreTelling(exemplar, slot.exemplar)) {
      slot.exemplar = exemplar;
      slot.tick = now_;
    }
    return;
  }
  if (kept >= buckets.most()) {
    SeriesDelta::Slot& slot = buckets.GivesWay(delta.exemplars, cell.exemplars);
    slot.exemplar = exemplar;
    slot.tick = now_;
    slot.bucket = bucket;
    return;
  }
  if (delta.exemplars.size() >= options_.max_exemplars) {
    ++delta.exemplars_refused;
    return;
  }
  delta.exemplars.push_back({exemplar, now_, row, cell.exemplars, bucket});
  cell.exemplars = static_cast<uint32_t>(delta.exemplars.size());
}

void SeriesTable::OfferCandidate(const Batch& batch, uint16_t group, std::string_view span,
                                 const Exemplar& exemplar) {
  SeriesDelta& delta = *delta_;
  if (delta.candidates.size() >= options_.max_candidates) {
    ++delta.candidates_refused;
    return;
  }
  delta.candidates.push_back(
      {exemplar, ReadSpanMatch(batch, group, span, derive_.lend.match, seed_, &match_value_)});
}

// ---- Hand-over
// ------------------------------------------------------------------------------------------------

// Forgets signatures and rows that nothing came for. A part of each table at a time, so that no hand-over is
// long.
void SeriesTable::Sweep(uint64_t tick) {
  const uint64_t passed = tick - std::exchange(swept_tick_, tick);
  templates_.Advance(tick);
  delta_->template_nodes_refused += templates_.TakeRefused();
  delta_->template_nodes_replaced += templates_.TakeReplaced();
  const auto share = [&](size_t size, uint64_t period) {
    return passed >= period ? size : std::min<size_t>(size, size * passed / period + 1);
  };
  for (size_t left = share(slots_.size(), std::max<uint64_t>(options_.expire_ticks / 4, 1)); left != 0;
       --left) {
    if (sweep_slot_ >= slots_.size()) {
      sweep_slot_ = 0;
      if (slots_.size() > kFirstSlots && used_slots_ * 8 < slots_.size()) {
        size_t size = slots_.size();
        while (size > kFirstSlots && used_slots_ * 8 < size) size /= 2;
        Rehash(size);
        break;
      }
    }
    Slot& slot = slots_[sweep_slot_];
    if (slot.row != kNone && (slot.node & kUsed) == 0) {
      Forget(sweep_slot_);
      continue;  // another may have taken the place
    }
    slot.node &= ~kUsed;
    ++sweep_slot_;
  }
  for (size_t left = share(nodes_.size(), std::max<uint64_t>(options_.expire_ticks / 4, 1)); left != 0;
       --left) {
    if (++sweep_node_ >= nodes_.size()) sweep_node_ = 1;
    if (sweep_node_ >= nodes_.size()) break;
    Node& node = nodes_[sweep_node_];
    if (node.hash == 0 || node.refs != 0 ||
        static_cast<uint32_t>(tick) - node.last_tick <= options_.expire_ticks / 4) {
      continue;
    }
    nodes_by_hash_.erase(node.hash);
    strings_.Release(node.peer);
    strings_.Release(node.dimensions);
    if (node.target != 0) {
      --rows_[node.target - 1].refs;
      rows_[node.target - 1].last_tick = static_cast<uint32_t>(tick);
    }
    node = Node{};
    if (!screens_.empty()) screens_[sweep_node_] = {};
    free_nodes_.push_back(static_cast<uint32_t>(sweep_node_));
  }
  // Rows at least eight times within their time, so that they end at most an eighth late.
  for (size_t left = share(rows_.size(), std::clamp<uint64_t>(options_.expire_ticks / 8, 1, 1200)); left != 0;
       --left) {
    if (sweep_row_ >= rows_.size()) {
      sweep_row_ = 0;
      Shrink();
      if (rows_.empty()) break;
    }
    const Row& row = rows_[sweep_row_];
    // (What has not been handed over yet keeps its row, should the owner be away for that long.)
    if (row.live && row.refs == 0 && delta_->cell(static_cast<uint32_t>(sweep_row_)).touched == 0 &&
        static_cast<uint32_t>(tick) - row.last_tick > static_cast<uint32_t>(options_.expire_ticks)) {
      End(static_cast<uint32_t>(sweep_row_));
    }
    ++sweep_row_;
  }
}

// Gives back the memory of free rows behind the last one that lives.
void SeriesTable::Shrink() {
  if (free_rows_.size() < RowPages::kRows) return;
  size_t end = rows_.size();
  while (end > 0 && !rows_[end - 1].live) --end;
  end = (end + RowPages::kRows - 1) / RowPages::kRows * RowPages::kRows;
  if (end >= rows_.size()) return;
  // Generations of rows that are cut off begin anew: an ID that old is in no Record any more.
  rows_.resize(end);
  rows_.shrink_to_fit();
  std::erase_if(free_rows_, [&](uint32_t row) { return row >= end; });
  free_rows_.shrink_to_fit();
  std::make_heap(free_rows_.begin(), free_rows_.end(), std::greater<>());
  bars_.Resize(end);
  by_hash_.rehash(0);
  nodes_by_hash_.rehash(0);
  strings_.Shrink();
}

SeriesDeltaPtr SeriesTable::TakeDelta(uint64_t tick) {
  // Whether or not the owner has a delta free: what ends and which numbers are given again is part of the
  // fold.
  for (const uint32_t row : recent_) rows_[row].last_tick = static_cast<uint32_t>(tick);
  recent_.clear();
  period_ = period_ == 0xffff ? 1 : static_cast<uint16_t>(period_ + 1);
  Sweep(tick);
  SeriesDeltaPtr fresh(pool_->Take(), SeriesDeltaRecycler{pool_});
  if (!fresh) return fresh;
  fresh->cells.Resize(rows_.size());
  std::swap(fresh, delta_);
  fresh->tick = tick;
  fresh->since = std::exchange(last_tick_, tick);
  return fresh;
}

size_t SeriesTable::bytes() const {
  return slots_.capacity() * sizeof(Slot) + rows_.capacity() * sizeof(Row) + bars_.bytes() +
         strings_.bytes() + nodes_.capacity() * sizeof(Node) + templates_.bytes() +
         screens_.capacity() * sizeof(SpanScreen) + by_hash_.capacity() * 17 + delta_->ByteSize();
}

}  // namespace braid::correlate
