#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cstdint>
#include <utility>

#include "base/ids.h"
#include "base/prefetch.h"
#include "correlate/model/epoch.h"
#include "correlate/window/record.h"
#include "correlate/window/table_memory.h"

namespace braid::correlate {

enum class Verdict : uint8_t { kUndecided, kKeep, kDrop };

// What the window knows of one trace: a cache line.
struct TraceSlot {
  uint64_t trace_hi = 0;
  uint64_t trace_lo = 0;
  Ordinal head = 0;  // newest Record; 0: the slot is empty
  uint32_t tenant = 0;
  uint32_t opened_tick = 0;  // of the first item
  uint32_t spans = 0;
  uint32_t logs = 0;
  uint32_t pending = 0;        // items whose payload is held
  uint32_t pending_bytes = 0;  // their size, saturating
  uint32_t root_series = 0;    // 1 + series id of the root (else of the first local root), 0: not seen
  Verdict verdict = Verdict::kUndecided;
  bool error = false;       // an ERROR span or log was seen
  bool rooted = false;      // a local root was seen, the settle time runs
  bool true_root = false;   // root_series is of a span without a parent
  bool short_form = false;  // some item carried only the low half of the ID
  bool voted = false;       // an exemplar of an incoming metric points to it
  uint8_t reserved[2] = {};
  uint32_t waiting_logs = 0;  // that the hold queue has
  Ordinal root = 0;           // the span that root_series is of, 0: none since the slot was opened

  TraceId trace() const { return {trace_hi, trace_lo}; }
};
static_assert(sizeof(TraceSlot) == 64);

// What is left of a trace when its slot is reused.
struct Tombstone {
  uint32_t tick = 0;  // when it was made
  uint32_t root_series = 0;
  uint32_t tenant = 0;
  Verdict verdict = Verdict::kUndecided;
  bool error : 1 = false;
  bool voted : 1 = false;
  uint16_t high = 0;  // of the ID's high half, hashed; 0: it was not known
};
static_assert(sizeof(Tombstone) == 16);

// The traces of one shard. Buckets of sixteen slots, found through a line of sixteen tags, so that a probe
// costs two cache lines. A trace dies when its newest Record leaves the window; its slot is then reused,
// and a Tombstone remembers its verdict and root for a while.
//
// Thread rule: one shard's thread. Bound: `slots` traces, `tombstones` remembered.
class TraceTable {
 public:
  static constexpr size_t kBucket = 16;
  static constexpr uint32_t kNone = ~0u;

  TraceTable(const Epoch& epoch, size_t slots, size_t tombstones);

  BRAID_PREFETCHER void Prefetch(uint64_t hash) const {
    __builtin_prefetch(&tags_[BucketOf(hash) * kBucket], 1);
  }

  // Brings the slot's own line, or where a trace that has none would find its tombstone; useful when the tags
  // are there already.
  BRAID_PREFETCHER void PrefetchSlot(uint64_t hash) const {
    const size_t base = BucketOf(hash) * kBucket;
    const unsigned hits = TagHits(&tags_[base], TagOf(hash));
    if (hits == 0) {
      __builtin_prefetch(&tombstones_[TombstoneBucketOf(hash)]);
    } else {
      __builtin_prefetch(&slots_[base + static_cast<unsigned>(__builtin_ctz(hits))], 1);
    }
  }

  // The slot of a trace, or kNone. It may be dead by now: see `alive` of the caller.
  uint32_t Find(uint64_t hash, uint32_t tenant, const TraceId& trace) const;

  // A fresh slot for a trace that Find() did not find. Dead slots of the bucket become tombstones. In a
  // bucket full of living traces the one with the oldest Record gives way: `evict(index)` is called before it
  // is reused.
  template <typename Alive, typename Evict>
  uint32_t Insert(uint64_t hash, uint32_t tenant, const TraceId& trace, uint32_t tick, Ordinal newest,
                  Alive alive, Evict evict);

  TraceSlot& operator[](uint32_t index) { return slots_[index]; }
  const TraceSlot& operator[](uint32_t index) const { return slots_[index]; }
  size_t size() const { return slots_.size(); }

  // The tombstone of a trace, or null.
  const Tombstone* FindTombstone(uint64_t hash, uint32_t tenant, const TraceId& trace) const;

  Tombstone* FindTombstone(uint64_t hash, uint32_t tenant, const TraceId& trace) {
    return const_cast<Tombstone*>(std::as_const(*this).FindTombstone(hash, tenant, trace));
  }

  // Remembers a trace whose slot is about to be reused.
  void Bury(const TraceSlot& slot, uint32_t tick);

  size_t bytes() const { return tags_.bytes() + slots_.bytes() + tombstones_.bytes(); }

 private:
  static constexpr size_t kTombstoneBucket = 8;

  // The IDs first: a look in vain, which is the rule, costs one line.
  struct alignas(64) TombstoneBucket {
    uint64_t trace_lo[kTombstoneBucket];
    Tombstone stones[kTombstoneBucket];
  };
  static_assert(sizeof(TombstoneBucket) == 192);

  size_t BucketOf(uint64_t hash) const {
    return static_cast<size_t>((hash & 0xffffffffu) * (slots_.size() / kBucket) >> 32);
  }
  size_t TombstoneBucketOf(uint64_t hash) const {
    return static_cast<size_t>((hash & 0xffffffffu) * tombstones_.size() >> 32);
  }
  // One bit for each of the bucket's tags that equals `tag`.
  BRAID_PREFETCHER static unsigned TagHits(const uint32_t* tags, uint32_t tag) {
#if defined(__SSE2__)
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
    const auto* lanes = reinterpret_cast<const __m128i*>(tags);
    unsigned hits = 0;
    for (unsigned i = 0; i < kBucket / 4; ++i) {
      const __m128i equal = _mm_cmpeq_epi32(_mm_load_si128(lanes + i), wanted);
      hits |= static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(equal))) << 4 * i;
    }
    return hits;
#else
    unsigned hits = 0;
    for (unsigned i = 0; i < kBucket; ++i) hits |= static_cast<unsigned>(tags[i] == tag) << i;
    return hits;
#endif
  }
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 20) | 1; }

  const Epoch epoch_;
  TableMemory<uint32_t> tags_;
  TableMemory<TraceSlot> slots_;
  TableMemory<TombstoneBucket> tombstones_;
};

template <typename Alive, typename Evict>
uint32_t TraceTable::Insert(uint64_t hash, uint32_t tenant, const TraceId& trace, uint32_t tick,
                            Ordinal newest, Alive alive, Evict evict) {
  const size_t base = BucketOf(hash) * kBucket;
  uint32_t place = kNone;
  for (size_t i = 0; i < kBucket && place == kNone; ++i) {
    if (tags_[base + i] == 0) place = static_cast<uint32_t>(base + i);
  }
  if (place == kNone) {
    // Clear out the dead ones, all at once, so that this pass is paid for by up to sixteen insertions.
    uint32_t oldest = kNone;
    uint32_t oldest_age = 0;
    for (size_t i = 0; i < kBucket; ++i) {
      const auto at = static_cast<uint32_t>(base + i);
      TraceSlot& slot = slots_[at];
      if (!alive(slot.head)) {
        Bury(slot, tick);
        tags_[at] = 0;
        place = at;
      } else if (const uint32_t age = newest - slot.head; oldest == kNone || age > oldest_age) {
        oldest = at;
        oldest_age = age;
      }
    }
    if (place == kNone) {
      evict(oldest);
      Bury(slots_[oldest], tick);
      place = oldest;
    }
  }
  tags_[place] = TagOf(hash);
  TraceSlot& slot = slots_[place];
  slot = TraceSlot{};
  slot.trace_hi = trace.hi;
  slot.trace_lo = trace.lo;
  slot.tenant = tenant;
  slot.opened_tick = tick;
  slot.short_form = trace.hi == 0;
  return place;
}

}  // namespace braid::correlate
