#include "correlate/derive/series_delta.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <tuple>

namespace braid::correlate {

uint64_t HashOf(const SeriesKey& key, uint64_t seed) {
  uint64_t hash = seed ^ (static_cast<uint64_t>(key.row) << 32 | static_cast<uint64_t>(key.kind) << 24 |
                          static_cast<uint64_t>(key.status) << 16 | static_cast<uint64_t>(key.detail) << 8 |
                          static_cast<uint64_t>(key.overflow));
  // Chained, so that a text which moves from one place to the next makes a difference.
  for (const std::string_view text : key.text) hash = XXH3_64bits_withSeed(text.data(), text.size(), hash);
  return hash;
}

SeriesKey SeriesKey::Overflow(bool named) const {
  SeriesKey key;
  key.row = row;
  key.kind = kind;
  key.status = status;
  key.overflow = true;
  if (!named || row == RowKind::kTarget) return key;
  const size_t whose = server_pays ? 1 : 0;
  key.text[whose] = text[whose];
  return key;
}

namespace label_block {

void Append(std::string* block, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  block->append(reinterpret_cast<const char*>(&size), sizeof size);
  block->append(text);
}

std::string_view Take(std::string_view* block) {
  uint32_t size;
  std::memcpy(&size, block->data(), sizeof size);
  const std::string_view text = block->substr(sizeof size, size);
  block->remove_prefix(sizeof size + size);
  return text;
}

}  // namespace label_block

bool MoreTelling(const Exemplar& a, const Exemplar& b) {
  const auto rank = [](const Exemplar& e) {
    return std::tie(e.failing, e.duration_ns, e.time_ns, e.trace.hi, e.trace.lo, e.span);
  };
  return rank(a) > rank(b);
}

void RowPages::Free::operator()(char* page) const { std::free(page); }

void RowPages::Resize(size_t rows) {
  const size_t pages = (rows + kRows - 1) / kRows;
  if (pages < pages_.size()) pages_.resize(pages);
  while (pages_.size() < pages) {
    void* page = std::aligned_alloc(64, kRows * stride_);
    if (page == nullptr) throw std::bad_alloc();
    std::memset(page, 0, kRows * stride_);
    pages_.emplace_back(static_cast<char*>(page));
  }
}

SeriesKey SeriesDelta::KeyOf(const Birth& birth) const {
  SeriesKey key{birth.kind, birth.span_kind,  birth.status, birth.detail, birth.overflow,
                {},         birth.server_pays};
  std::string_view rest = std::string_view(labels).substr(birth.at);
  for (size_t i = 0; i < key.text.size(); ++i) {
    key.text[i] = rest.substr(0, birth.sizes[i]);
    rest.remove_prefix(birth.sizes[i]);
  }
  return key;
}

void SeriesDelta::Clear() {
  for (const uint32_t row : touched) std::memset(cells[row], 0, layout.stride);
  const auto empty = [](auto& list) {
    // A burst's room is not kept for ever.
    if (list.capacity() > 1024 && list.size() < list.capacity() / 8) list.shrink_to_fit();
    list.clear();
  };
  empty(touched);
  empty(carries);
  empty(spilled);
  empty(exemplars);
  empty(births);
  empty(deaths);
  empty(renamed);
  empty(candidates);
  empty(labels);
  tick = 0;
  since = 0;
  exemplars_refused = 0;
  candidates_refused = 0;
  labels_truncated = 0;
  thresholds_malformed = 0;
  thresholds_coarsened = 0;
  names_merged = 0;
  template_nodes_refused = 0;
  template_nodes_replaced = 0;
}

size_t SeriesDelta::ByteSize() const {
  return cells.bytes() + touched.capacity() * sizeof(uint32_t) + carries.capacity() * sizeof(Carry) +
         spilled.capacity() * sizeof(Spill) + exemplars.capacity() * sizeof(Slot) +
         births.capacity() * sizeof(Birth) + candidates.capacity() * sizeof(Candidate) +
         deaths.capacity() * sizeof(uint32_t) + labels.capacity();
}

void SeriesDeltaRecycler::operator()(SeriesDelta* delta) const { pool->GiveBack(delta); }

SeriesDeltaPool::~SeriesDeltaPool() {
  for (SeriesDelta* delta : idle_) delete delta;
}

SeriesDelta* SeriesDeltaPool::Take() {
  MutexLock lock(mutex_);
  if (!idle_.empty()) {
    // The one that has been idle longest: each comes round, and gives back what a burst left in it.
    SeriesDelta* delta = idle_.front();
    idle_.erase(idle_.begin());
    return delta;
  }
  if (made_ == max_deltas_) return nullptr;
  ++made_;
  idle_.reserve(max_deltas_);
  return new SeriesDelta(layout_);
}

void SeriesDeltaPool::GiveBack(SeriesDelta* delta) {
  delta->Clear();
  MutexLock lock(mutex_);
  idle_.push_back(delta);
}

}  // namespace braid::correlate
