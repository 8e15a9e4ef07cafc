#pragma once

#include <array>
#include <cstdint>

#include "base/ids.h"
#include "correlate/window/table_memory.h"

namespace braid::correlate {

// Votes for traces of which nothing has come yet: a metric may be pushed before the spans that it was
// measured in. A vote waits until its trace opens, or until its place is needed for newer ones.
//
// Thread rule: one shard's thread. Bound: `votes` of 32 bytes each, rounded up to buckets of eight.
class EarlyVotes {
 public:
  explicit EarlyVotes(size_t votes);

  enum class Added : uint8_t {
    kNew,
    kRepeated,
    kReplaced
  };  // kReplaced: new, and the oldest of its bucket lost

  // `hash` is the trace's TraceHash().
  Added Add(uint64_t hash, uint32_t tenant, const TraceId& trace);

  // Whether the trace has a vote, which is taken.
  bool Take(uint64_t hash, uint32_t tenant, const TraceId& trace);

  bool Has(uint64_t hash, uint32_t tenant, const TraceId& trace) const {
    return Find(hash, tenant, trace) != nullptr;
  }

  uint64_t waiting() const { return waiting_; }
  size_t bytes() const { return buckets_.bytes(); }

 private:
  static constexpr size_t kBucket = 8;
  struct Vote {
    uint64_t trace_hi = 0;
    uint64_t trace_lo = 0;
    uint64_t order = 0;  // 0: the place is free
    uint32_t tenant = 0;
  };
  static_assert(sizeof(Vote) == 32);
  struct Bucket {
    std::array<Vote, kBucket> votes;
  };

  size_t BucketOf(uint64_t hash) const {
    return static_cast<size_t>((hash & 0xffffffffu) * buckets_.size() >> 32);
  }
  const Vote* Find(uint64_t hash, uint32_t tenant, const TraceId& trace) const;

  TableMemory<Bucket> buckets_;
  uint64_t next_order_ = 1;
  uint64_t waiting_ = 0;
};

}  // namespace braid::correlate
