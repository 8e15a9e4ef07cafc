#include "correlate/window/trace_table.h"

#include <algorithm>

namespace braid::correlate {
namespace {

size_t RoundUp(size_t n, size_t multiple) {
  return std::max((n + multiple - 1) / multiple, size_t{1}) * multiple;
}

// Sixteen bits of an ID's high half; 0 only if there is none.
uint16_t High(uint64_t trace_hi) {
  return trace_hi == 0 ? uint16_t{0} : static_cast<uint16_t>(Mix64(trace_hi) | 1);
}

}  // namespace

TraceTable::TraceTable(const Epoch& epoch, size_t slots, size_t tombstones)
    : epoch_(epoch),
      tags_(RoundUp(slots, kBucket)),
      slots_(RoundUp(slots, kBucket)),
      tombstones_(RoundUp(tombstones, kTombstoneBucket) / kTombstoneBucket) {}

uint32_t TraceTable::Find(uint64_t hash, uint32_t tenant, const TraceId& trace) const {
  const size_t base = BucketOf(hash) * kBucket;
  unsigned hits = TagHits(&tags_[base], TagOf(hash));
  while (hits != 0) {
    const auto at = static_cast<uint32_t>(base + static_cast<unsigned>(__builtin_ctz(hits)));
    const TraceSlot& slot = slots_[at];
    if (slot.tenant == tenant && slot.trace().SameTrace(trace)) return at;
    hits &= hits - 1;
  }
  return kNone;
}

const Tombstone* TraceTable::FindTombstone(uint64_t hash, uint32_t tenant, const TraceId& trace) const {
  const TombstoneBucket& bucket = tombstones_[TombstoneBucketOf(hash)];
  for (size_t i = 0; i < kTombstoneBucket; ++i) {
    if (bucket.trace_lo[i] != trace.lo) continue;
    const Tombstone& stone = bucket.stones[i];
    if (stone.tenant != tenant || stone.verdict == Verdict::kUndecided) continue;
    const uint16_t high = High(trace.hi);
    if (stone.high == high || stone.high == 0 || high == 0) return &stone;
  }
  return nullptr;
}

void TraceTable::Bury(const TraceSlot& slot, uint32_t tick) {
  if (slot.verdict == Verdict::kUndecided) return;
  const uint64_t hash = TraceHash(epoch_, slot.tenant, slot.trace_lo);
  TombstoneBucket& bucket = tombstones_[TombstoneBucketOf(hash)];
  size_t oldest = 0;
  for (size_t i = 0; i < kTombstoneBucket; ++i) {
    const Tombstone& stone = bucket.stones[i];
    if (stone.verdict == Verdict::kUndecided) {
      oldest = i;
      break;
    }
    if (stone.tick < bucket.stones[oldest].tick) oldest = i;
  }
  bucket.trace_lo[oldest] = slot.trace_lo;
  Tombstone& stone = bucket.stones[oldest];
  stone.tick = tick;
  stone.root_series = slot.root_series;
  stone.tenant = slot.tenant;
  stone.verdict = slot.verdict;
  stone.error = slot.error;
  stone.voted = slot.voted;
  stone.high = High(slot.trace_hi);
}

}  // namespace braid::correlate
