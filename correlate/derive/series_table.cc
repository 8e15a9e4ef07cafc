#include "correlate/derive/series_table.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

constexpr size_t kFirstSlots = 1024;
constexpr size_t kBlockBytes = 64 << 10;

}  // namespace

SeriesTable::SeriesTable(const Options& options, uint64_t seed)
    : options_(options),
      seed_(seed),
      slots_(kFirstSlots),
      mask_(kFirstSlots - 1),
      pool_(std::make_shared<SeriesDeltaPool>(kDeltas)),
      delta_(pool_->Take(), SeriesDeltaRecycler{pool_}) {}

SeriesTable::~SeriesTable() = default;

SeriesTable::Id SeriesTable::Intern(uint64_t hash, std::string_view service, std::string_view name,
                                    uint8_t kind, uint8_t status) {
  if (kind > 5) kind = 0;
  if (status > 2) status = 0;
  bool cut = false;
  service = Cut(service, &cut);
  name = Cut(name, &cut);
  if (named_ >= options_.max_series ||
      label_bytes_ + service.size() + name.size() > options_.max_label_bytes) {
    return Overflow(service, kind, status);
  }
  ++named_;
  label_bytes_ += service.size() + name.size();
  if (cut) ++delta_->labels_truncated;
  return Add(hash, {service, name, kind, status, false});
}

SeriesTable::Id SeriesTable::Overflow(std::string_view service, uint8_t kind, uint8_t status) {
  uint64_t hash = OverflowHash(service, kind, status);
  if (const Id known = Find(hash); known != kNone) return known;
  if (!service.empty()) {
    // These labels come on top of max_label_bytes: at most max_overflow_series * max_value_bytes.
    if (overflows_ < options_.max_overflow_series) {
      ++overflows_;
      return Add(hash, {service, {}, kind, status, true});
    }
    service = {};
    hash = OverflowHash(service, kind, status);
    if (const Id known = Find(hash); known != kNone) return known;
  }
  return Add(hash, {service, {}, kind, status, true});
}

uint64_t SeriesTable::OverflowHash(std::string_view service, uint8_t kind, uint8_t status) const {
  const uint64_t dims = 1 + static_cast<uint64_t>(kind) * 3 + status;
  return Mix64(XXH3_64bits_withSeed(service.data(), service.size(), seed_) + dims * 0x9e3779b97f4a7c15u);
}

std::string_view SeriesTable::Cut(std::string_view value, bool* cut) const {
  if (value.size() <= options_.max_value_bytes) return value;
  *cut = true;
  size_t end = options_.max_value_bytes;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return value.substr(0, end);
}

SeriesTable::Id SeriesTable::Add(uint64_t hash, const Dims& dims) {
  const Id id = static_cast<Id>(rows_.size());
  const char* labels = CopyLabels(dims.service, dims.name);
  rows_.push_back({labels, static_cast<uint32_t>(dims.service.size()),
                   static_cast<uint32_t>(dims.name.size()), dims.kind, dims.status, dims.overflow});
  bars_.emplace_back();
  if (rows_.size() * 3 > slots_.size() * 2) Grow();
  Place(hash, id);

  SeriesDelta& delta = *delta_;
  if (delta.cells.size() < rows_.size()) delta.cells.resize(rows_.capacity());
  delta.births.push_back({.series = id,
                          .at = static_cast<uint32_t>(delta.labels.size()),
                          .service_size = static_cast<uint32_t>(dims.service.size()),
                          .name_size = static_cast<uint32_t>(dims.name.size()),
                          .kind = dims.kind,
                          .status = dims.status,
                          .overflow = dims.overflow});
  delta.labels.append(dims.service).append(dims.name);
  return id;
}

void SeriesTable::Place(uint64_t hash, Id id) {
  uint64_t at = hash & mask_;
  while (slots_[at].id != kNone) at = (at + 1) & mask_;
  slots_[at] = {hash, id};
}

void SeriesTable::Grow() {
  const std::vector<HashSlot> old = std::exchange(slots_, std::vector<HashSlot>(slots_.size() * 2));
  mask_ = slots_.size() - 1;
  // In the order of the old slots; where a series lands decides nothing but probe lengths.
  for (const HashSlot& slot : old) {
    if (slot.id != kNone) Place(slot.hash, slot.id);
  }
}

const char* SeriesTable::CopyLabels(std::string_view service, std::string_view name) {
  const size_t size = service.size() + name.size();
  if (block_size_ - block_used_ < size) {
    block_size_ = std::max(kBlockBytes, size);
    block_used_ = 0;
    block_bytes_ += block_size_;
    blocks_.push_back(std::make_unique<char[]>(block_size_));
  }
  if (size == 0) return "";
  char* at = blocks_.back().get() + block_used_;
  block_used_ += size;
  std::copy(service.begin(), service.end(), at);
  std::copy(name.begin(), name.end(), at + service.size());
  return at;
}

void SeriesTable::Touch(Id id) {
  delta_->cells[id].touched = 1;
  delta_->touched.push_back(id);
}

void SeriesTable::Carry(Id id, size_t bucket, bool sum) {
  if (sum) delta_->carries.push_back({id, SeriesDelta::Carry::kSum});
  if (delta_->cells[id].buckets[bucket] == 0) delta_->carries.push_back({id, static_cast<uint8_t>(bucket)});
}

bool SeriesTable::Wants(Id id, uint64_t duration_ns, bool failing) const {
  const Bars& bars = bars_[id];
  if (static_cast<uint32_t>(now_) - bars.since > kExemplarTicks) return true;
  return Bar(duration_ns, failing) > bars.bar[latency::Bucket(duration_ns)];
}

void SeriesTable::Offer(Id id, const Exemplar& exemplar) {
  SeriesDelta& delta = *delta_;
  SeriesDelta::Cell& cell = delta.cells[id];
  if (cell.touched == 0) Touch(id);
  const uint8_t bucket = static_cast<uint8_t>(latency::Bucket(exemplar.duration_ns));
  Bars& bars = bars_[id];
  if (static_cast<uint32_t>(now_) - bars.since > kExemplarTicks) {
    bars.bar.fill(0);
    bars.since = static_cast<uint32_t>(now_);
  }
  bars.bar[bucket] = std::max(bars.bar[bucket], Bar(exemplar.duration_ns, exemplar.failing));
  for (uint32_t at = cell.exemplars; at != 0; at = delta.exemplars[at - 1].next) {
    SeriesDelta::Slot& slot = delta.exemplars[at - 1];
    if (slot.bucket != bucket) continue;
    if (now_ - slot.tick > kExemplarTicks || MoreTelling(exemplar, slot.exemplar)) {
      slot.exemplar = exemplar;
      slot.tick = now_;
    }
    return;
  }
  if (delta.exemplars.size() >= options_.max_exemplars) {
    ++delta.exemplars_refused;
    return;
  }
  delta.exemplars.push_back({exemplar, now_, id, cell.exemplars, bucket});
  cell.exemplars = static_cast<uint32_t>(delta.exemplars.size());
}

SeriesDeltaPtr SeriesTable::TakeDelta(uint64_t tick) {
  SeriesDeltaPtr fresh(pool_->Take(), SeriesDeltaRecycler{pool_});
  if (!fresh) return fresh;
  if (fresh->cells.size() < rows_.size()) fresh->cells.resize(rows_.capacity());
  std::swap(fresh, delta_);
  fresh->tick = tick;
  fresh->since = std::exchange(last_tick_, tick);
  return fresh;
}

size_t SeriesTable::bytes() const {
  return slots_.capacity() * sizeof(HashSlot) + rows_.capacity() * sizeof(Row) +
         bars_.capacity() * sizeof(Bars) + block_bytes_ + delta_->ByteSize();
}

}  // namespace braid::correlate
