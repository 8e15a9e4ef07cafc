#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cstdint>

#include "base/prefetch.h"
#include "correlate/window/record.h"
#include "correlate/window/table_memory.h"

namespace braid::correlate {

// Finds the newest Record of a span by a hash of (trace, span): 8 bytes per entry, a 32-bit tag and an
// Ordinal, eight to a cache line, two candidate lines per key. Nothing is erased: an entry is dead once its
// Ordinal has left the window, and dead places are taken first.
//
// The caller verifies a candidate against its Record; the tag only makes that rare.
// Two choices keep lines from overflowing at the design's load of 0.75; an insertion that finds all sixteen
// places alive replaces the oldest and returns true, so that the loss can be counted.
//
// Thread rule: one shard's thread.
class SpanIndex {
 public:
  // For a window of `capacity` Records.
  explicit SpanIndex(size_t capacity);

  BRAID_PREFETCHER void Prefetch(uint64_t hash) const {
    __builtin_prefetch(&lines_[First(hash)], 1);
    __builtin_prefetch(&lines_[Second(hash)], 1);
  }

  // Calls `touch(ordinal)` for what Find() would look at; useful when the lines are there already.
  template <typename Touch>
  void ForCandidates(uint64_t hash, Touch touch) const;

  // The first candidate Ordinal for which `matches(ordinal)` holds, or 0. `matches` must reject Ordinals that
  // are outside the window.
  template <typename Matches>
  Ordinal Find(uint64_t hash, Matches matches) const;

  // Points the key at `ordinal`, taking the place of `previous` (a result of Find for this hash) if that is
  // not 0. `alive(ordinal)` tells whether an Ordinal is still in the window.
  template <typename Alive>
  bool Put(uint64_t hash, Ordinal previous, Ordinal ordinal, Ordinal newest, Alive alive);

  size_t bytes() const { return lines_.bytes(); }

 private:
  struct alignas(64) Line {
    uint32_t tags[8];
    Ordinal ordinals[8];
  };
  static_assert(sizeof(Line) == 64);

  size_t First(uint64_t hash) const { return Reduce(hash); }
  size_t Second(uint64_t hash) const { return Reduce(hash * 0x9e3779b97f4a7c15u); }
  size_t Reduce(uint64_t hash) const { return static_cast<size_t>((hash >> 32) * lines_.size() >> 32); }
  // One bit for each of the line's tags that equals `tag`.
  static unsigned TagHits(const Line& line, uint32_t tag) {
#if defined(__SSE2__)
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
    const auto* tags = reinterpret_cast<const __m128i*>(line.tags);
    const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
    const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted);
    return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(low)) |
                                 _mm_movemask_ps(_mm_castsi128_ps(high)) << 4);
#else
    unsigned hits = 0;
    for (unsigned i = 0; i < 8; ++i) hits |= static_cast<unsigned>(line.tags[i] == tag) << i;
    return hits;
#endif
  }

  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash) | 1; }

  TableMemory<Line> lines_;
};

template <typename Touch>
void SpanIndex::ForCandidates(uint64_t hash, Touch touch) const {
  const Line* const lines[2] = {&lines_[First(hash)], &lines_[Second(hash)]};
  for (const Line* const line : lines) {
    for (unsigned left = TagHits(*line, TagOf(hash)); left != 0; left &= left - 1)
      touch(line->ordinals[__builtin_ctz(left)]);
  }
}

template <typename Matches>
Ordinal SpanIndex::Find(uint64_t hash, Matches matches) const {
  // Both lines are asked for before either is looked at, so that their misses overlap.
  const Line* const lines[2] = {&lines_[First(hash)], &lines_[Second(hash)]};
  const unsigned hits[2] = {TagHits(*lines[0], TagOf(hash)), TagHits(*lines[1], TagOf(hash))};
  for (int which = 0; which < 2; ++which) {
    for (unsigned left = hits[which]; left != 0; left &= left - 1) {
      const Ordinal candidate = lines[which]->ordinals[__builtin_ctz(left)];
      if (matches(candidate)) return candidate;
    }
  }
  return 0;
}

template <typename Alive>
bool SpanIndex::Put(uint64_t hash, Ordinal previous, Ordinal ordinal, Ordinal newest, Alive alive) {
  const uint32_t tag = TagOf(hash);
  Line* const candidates[2] = {&lines_[First(hash)], &lines_[Second(hash)]};
  if (previous != 0) {
    for (Line* line : candidates) {
      for (unsigned i = 0; i < 8; ++i) {
        if (line->tags[i] == tag && line->ordinals[i] == previous) {
          line->ordinals[i] = ordinal;
          return false;
        }
      }
    }
  }
  // The emptier of the two lines; the oldest entry where both are full.
  unsigned alive_mask[2] = {0, 0};
  for (int which = 0; which < 2; ++which) {
    for (unsigned i = 0; i < 8; ++i) {
      const Ordinal o = candidates[which]->ordinals[i];
      alive_mask[which] |= static_cast<unsigned>(o != 0 && alive(o)) << i;
    }
  }
  const int best = __builtin_popcount(alive_mask[1]) < __builtin_popcount(alive_mask[0]) ? 1 : 0;
  if (alive_mask[best] != 0xff) {
    const unsigned i = static_cast<unsigned>(__builtin_ctz(~alive_mask[best]));
    candidates[best]->tags[i] = tag;
    candidates[best]->ordinals[i] = ordinal;
    return false;
  }
  Line* oldest_line = candidates[0];
  unsigned oldest = 0;
  uint32_t oldest_age = 0;
  for (Line* line : candidates) {
    for (unsigned i = 0; i < 8; ++i) {
      const uint32_t age = newest - line->ordinals[i];
      if (age >= oldest_age) {
        oldest_age = age;
        oldest_line = line;
        oldest = i;
      }
    }
  }
  oldest_line->tags[oldest] = tag;
  oldest_line->ordinals[oldest] = ordinal;
  return true;
}

}  // namespace braid::correlate
