#include "correlate/store/chunk_store.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/wire.h"

namespace braid::correlate {
namespace {

// opentelemetry-proto: Request.resource_x = 1; ResourceX.scope_x = 2, for all signals.
constexpr char kResourceTag = 0x0a;
constexpr char kScopeTag = 0x12;
constexpr size_t kNestedHeader = 5;  // tag and four bytes of length

constexpr size_t kLeastPinBytes =
    256;  // what a pinned trace is taken to need at least, to bound their number
constexpr size_t kLeastSurvivorBytes = 4 << 10;  // less takes as much memory
constexpr size_t kMaxSurvivorBytes = 1 << 20;

}  // namespace

ChunkStore::ChunkStore(size_t max_bytes, SlabPool& slabs)
    : max_bytes_(max_bytes),
      max_pins_(std::clamp<size_t>(max_bytes / 4 / kLeastPinBytes, 1024, 65'536)),
      survivor_bytes_(std::clamp(max_bytes / 32, kLeastSurvivorBytes, kMaxSurvivorBytes)),
      slabs_(slabs) {}

void ChunkStore::Add(ChunkPtr chunk) {
  bytes_ += chunk->capacity();
  items_ += chunk->items.size();
  chunks_.push_back(std::move(chunk));
  while (bytes() > max_bytes_ && chunks_.size() > 1) PopOldest();
}

void ChunkStore::ShrinkTo(size_t bytes) {
  while (this->bytes() > bytes && !chunks_.empty()) PopOldest();
  Enforce(bytes);
}

// Null beyond the bound.
ChunkStore::Pin* ChunkStore::PinFor(uint64_t trace_lo) {
  if (trace_lo == 0) return nullptr;
  if (const auto at = pins_.find(trace_lo); at != pins_.end()) return &at->second;
  if (pins_.size() >= max_pins_) {
    ++refused_pins_;
    return nullptr;
  }
  Pin& pin = pins_[trace_lo];
  pin.order = next_order_++;
  return &pin;
}

void ChunkStore::Offer(uint64_t trace_lo) {
  if (Pin* pin = PinFor(trace_lo)) pin->offered = true;
}

void ChunkStore::HandOver(std::span<const uint64_t> traces, uint64_t tick) {
  for (const uint64_t trace : traces) {
    if (Pin* pin = PinFor(trace)) pin->until_tick = std::max(pin->until_tick, tick);
  }
  for (auto& [trace, pin] : pins_) pin.offered = false;
  Unpin();
}

void ChunkStore::Vote(uint64_t trace_lo, uint64_t tick) {
  if (Pin* pin = PinFor(trace_lo)) pin->until_tick = std::max(pin->until_tick, tick + kVoteTicks);
}

void ChunkStore::SetPins(std::span<const uint64_t> traces, uint64_t merged_tick) {
  ++round_;
  for (const uint64_t trace : traces) {
    if (const auto at = pins_.find(trace); at != pins_.end()) at->second.round = round_;
  }
  for (auto& [trace, pin] : pins_) {
    if (merged_tick >= pin.until_tick) pin.until_tick = 0;
  }
  // First out, then in: the bound counts neither twice.
  Unpin();
  for (const uint64_t trace : traces) {
    if (Pin* pin = PinFor(trace)) pin->round = round_;
  }
  if (live_bytes_ < pinned_bytes_ / 2 && pinned_bytes_ > survivor_bytes_) Rewrite();
}

void ChunkStore::Unpin() {
  absl::erase_if(pins_, [this](auto& entry) {
    if (Held(entry.second)) return false;
    Forget(&entry.second);
    return true;
  });
}

// Its items in survivors, if any, are nobody's now.
void ChunkStore::Forget(Pin* pin) {
  if (pin->bytes == 0) return;
  live_bytes_ -= pin->bytes;
  pin->bytes = 0;
  --pinned_traces_;
}

bool ChunkStore::Live(const ChunkItem& item) const {
  if (item.trace_lo == 0) return false;
  const auto at = pins_.find(item.trace_lo);
  return at != pins_.end() && !at->second.given_up;
}

void ChunkStore::GatherLive(const Chunk& chunk, std::vector<Source>* out) const {
  for (uint32_t i = 0; i < chunk.items.size(); ++i) {
    if (Live(chunk.items[i])) out->push_back({&chunk, i});
  }
}

void ChunkStore::PopOldest() {
  const ChunkPtr leaving = std::move(chunks_.front());
  chunks_.pop_front();
  bytes_ -= leaving->capacity();
  items_ -= leaving->items.size();
  evicted_ = true;

  std::vector<Source> sources;
  if (!pins_.empty()) GatherLive(*leaving, &sources);
  if (sources.empty()) return;
  for (const Source& source : sources) {
    const ChunkItem& item = leaving->items[source.item];
    Pin& pin = pins_[item.trace_lo];
    if (pin.bytes == 0) ++pinned_traces_;
    pin.bytes += item.size;
    live_bytes_ += item.size;
  }
  AddSurvivor(leaving->signal, Pack(sources));
  Enforce(max_pinned_bytes());
}

// Puts it together with the ones before, as long as those are not much larger: so a byte is copied a
// logarithmic number of times, and there are few survivors.
void ChunkStore::AddSurvivor(Signal signal, ChunkPtr survivor) {
  std::vector<ChunkPtr>& list = survivors_[static_cast<size_t>(signal)];
  std::vector<Source> sources;
  while (survivor != nullptr && !list.empty()) {
    const ChunkPtr before = list.back();
    const size_t size = before->view().size();
    const size_t similar = std::max(2 * survivor->view().size(), kLeastSurvivorBytes);
    if (before->tenant != survivor->tenant || size > similar ||
        size + survivor->view().size() > survivor_bytes_) {
      break;
    }
    sources.clear();
    GatherLive(*before, &sources);
    GatherLive(*survivor, &sources);
    RemoveSurvivor(before);
    list.pop_back();
    survivor = sources.empty() ? nullptr : Pack(sources);
  }
  if (survivor == nullptr) return;
  pinned_bytes_ += survivor->capacity();
  items_ += survivor->items.size();
  list.push_back(std::move(survivor));
}

void ChunkStore::RemoveSurvivor(const ChunkPtr& survivor) {
  pinned_bytes_ -= survivor->capacity();
  items_ -= survivor->items.size();
}

// Survivors shrink to `limit`. A quarter of room is made at a time, so that not every Chunk that leaves has
// them written anew.
void ChunkStore::Enforce(size_t limit) {
  for (size_t target = limit / 4 * 3; pinned_bytes_ > limit; target = target / 4 * 3) {
    GiveUpOldest(target);
    Rewrite();
  }
}

void ChunkStore::GiveUpOldest(uint64_t target) {
  if (live_bytes_ <= target) return;
  std::vector<std::pair<uint64_t, Pin*>> oldest;
  for (auto& [trace, pin] : pins_) {
    if (pin.bytes != 0) oldest.emplace_back(pin.order, &pin);
  }
  std::sort(oldest.begin(), oldest.end());
  for (const auto& [order, pin] : oldest) {
    if (live_bytes_ <= target) break;
    Forget(pin);
    pin->given_up = true;
    ++evicted_traces_;
  }
}

// Leaves out what is not pinned any more. Large survivors of which most is live stay as they are.
void ChunkStore::Rewrite() {
  for (std::vector<ChunkPtr>& list : survivors_) {
    const std::vector<ChunkPtr> before = std::exchange(list, {});
    std::vector<Source> sources;
    std::vector<Source> own;
    size_t size = 0;
    const auto flush = [&] {
      if (sources.empty()) return;
      ChunkPtr packed = Pack(sources);
      pinned_bytes_ += packed->capacity();
      items_ += packed->items.size();
      list.push_back(std::move(packed));
      sources.clear();
      size = 0;
    };
    uint32_t tenant = 0;
    for (const ChunkPtr& survivor : before) {
      own.clear();
      GatherLive(*survivor, &own);
      size_t live = 0;
      for (const Source& source : own) live += survivor->items[source.item].size;
      if (live > survivor_bytes_ / 2 && own.size() == survivor->items.size()) {
        list.push_back(survivor);
        continue;
      }
      RemoveSurvivor(survivor);
      if (tenant != survivor->tenant || size + live > survivor_bytes_) flush();
      tenant = survivor->tenant;
      sources.insert(sources.end(), own.begin(), own.end());
      size += live;
    }
    flush();
  }
  // What is live is counted anew: a trace that came back may have had items left.
  live_bytes_ = 0;
  pinned_traces_ = 0;
  for (auto& [trace, pin] : pins_) pin.bytes = 0;
  for (const std::vector<ChunkPtr>& list : survivors_) {
    for (const ChunkPtr& survivor : list) {
      for (const ChunkItem& item : survivor->items) {
        const auto at = pins_.find(item.trace_lo);
        if (at == pins_.end() || at->second.given_up) continue;
        if (at->second.bytes == 0) ++pinned_traces_;
        at->second.bytes += item.size;
        live_bytes_ += item.size;
      }
    }
  }
}

ChunkPtr ChunkStore::Pack(const std::vector<Source>& sources) {
  struct Group {
    std::string_view resource;
    std::string_view scope;
    uint64_t resource_key = 0;
    uint32_t rank = 0;  // of its resource, by first sight
  };
  std::vector<Group> groups;
  absl::flat_hash_map<std::string_view, uint32_t> ranks;
  absl::flat_hash_map<std::pair<uint32_t, std::string_view>, uint32_t> known;
  std::vector<uint32_t> group_of(sources.size());
  size_t total = 0;
  const Chunk* last_chunk = nullptr;
  uint32_t last_group = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    const Chunk& chunk = *sources[i].chunk;
    const ChunkItem& item = chunk.items[sources[i].item];
    total += item.size;
    if (i != 0 && &chunk == last_chunk && item.group == last_group) {
      group_of[i] = group_of[i - 1];
      continue;
    }
    last_chunk = &chunk;
    last_group = item.group;
    const ChunkGroup& from = chunk.groups[item.group];
    const std::string_view resource = chunk.view(from.resource);
    const std::string_view scope = chunk.view(from.scope);
    const uint32_t rank = ranks.try_emplace(resource, static_cast<uint32_t>(ranks.size())).first->second;
    const auto [at, fresh] = known.try_emplace(std::pair(rank, scope), static_cast<uint32_t>(groups.size()));
    if (fresh) {
      groups.push_back({resource, scope, from.resource_key, rank});
      total += scope.size() + resource.size() + 2 * kNestedHeader;
    }
    group_of[i] = at->second;
  }
  std::vector<uint32_t> order(sources.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(groups[group_of[a]].rank, group_of[a]) <
           std::pair(groups[group_of[b]].rank, group_of[b]);
  });

  auto chunk = std::make_shared<Chunk>();
  const Chunk& first = *sources.front().chunk;
  chunk->signal = first.signal;
  chunk->shard = first.shard;
  chunk->tenant = first.tenant;
  chunk->tick = first.tick;
  chunk->id = next_id_++;
  // Without it nothing could be kept of the Chunk that leaves, which is larger.
  chunk->bytes = slabs_.TakeUnbounded(total);
  chunk->items.reserve(sources.size());
  chunk->groups.reserve(groups.size());
  char* const begin = chunk->bytes.data();
  char* p = begin;
  const auto copy = [&](std::string_view bytes) {
    std::memcpy(p, bytes.data(), bytes.size());
    const ByteRange range{static_cast<uint32_t>(p - begin), static_cast<uint32_t>(bytes.size())};
    p += bytes.size();
    return range;
  };
  char* resource_body = nullptr;
  char* scope_body = nullptr;
  const auto close = [&](char*& body) {
    if (body != nullptr) wire::WritePadded4(static_cast<uint32_t>(p - body), body - 4);
    body = nullptr;
  };
  ByteRange resource_range;
  uint32_t open_group = ~0u;
  uint32_t open_rank = ~0u;
  for (const uint32_t i : order) {
    const Group& group = groups[group_of[i]];
    if (group_of[i] != open_group) {
      close(scope_body);
      open_group = group_of[i];
      if (group.rank != open_rank) {
        close(resource_body);
        open_rank = group.rank;
        *p = kResourceTag;
        p += kNestedHeader;
        resource_body = p;
        resource_range = copy(group.resource);
      }
      *p = kScopeTag;
      p += kNestedHeader;
      scope_body = p;
      ChunkGroup& opened = chunk->groups.emplace_back();
      opened.resource = resource_range;
      opened.resource_key = group.resource_key;
      opened.scope = copy(group.scope);
      opened.first_item = static_cast<uint32_t>(chunk->items.size());
    }
    const Chunk& from = *sources[i].chunk;
    const ChunkItem& item = from.items[sources[i].item];
    ChunkItem& entry = chunk->items.emplace_back(item);
    entry.offset = copy(from.view().substr(item.offset, item.size)).offset;
    entry.group = static_cast<uint32_t>(chunk->groups.size() - 1);
    ++chunk->groups.back().item_count;
    chunk->count += item.count;
    chunk->tick = std::min(chunk->tick, from.tick);
  }
  close(scope_body);
  close(resource_body);
  chunk->bytes.set_size(static_cast<size_t>(p - begin));
  return chunk;
}

std::vector<ChunkPtr> ChunkStore::Snapshot() const {
  std::vector<ChunkPtr> all;
  for (const std::vector<ChunkPtr>& list : survivors_) all.insert(all.end(), list.begin(), list.end());
  all.insert(all.end(), chunks_.begin(), chunks_.end());
  return all;
}

std::vector<StoredItem> FindTrace(const std::vector<ChunkPtr>& chunks, uint64_t trace_lo) {
  std::vector<StoredItem> found;
  if (trace_lo == 0) return found;
  for (const ChunkPtr& chunk : chunks) {
    for (const ChunkItem& item : chunk->items) {
      if (item.trace_lo == trace_lo) found.push_back({chunk, &item});
    }
  }
  return found;
}

uint64_t CountAbsent(const std::vector<ChunkPtr>& chunks, std::span<const uint64_t> traces) {
  absl::flat_hash_set<uint64_t> absent(traces.begin(), traces.end());
  for (const ChunkPtr& chunk : chunks) {
    if (absent.empty()) break;
    for (const ChunkItem& item : chunk->items) absent.erase(item.trace_lo);
  }
  return absent.size();
}

}  // namespace braid::correlate
