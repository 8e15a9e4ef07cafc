#pragma once

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "base/ring_queue.h"
#include "correlate/model/batch.h"

namespace braid::correlate {

// The digests of the last slices, to recognise a request that was sent again. Byte-bounded: the oldest give
// way; `horizon_ticks` tells how far back it remembers. Thread rule: one shard's thread. Never iterated (its
// order differs per process).
class DigestSet {
 public:
  explicit DigestSet(size_t capacity) : capacity_(capacity) { set_.reserve(capacity); }

  // False if the digest is already there.
  bool Insert(const SliceDigest& digest, uint32_t tick) {
    if (!set_.insert(Key{digest.lo, digest.hi}).second) return false;
    queue_.push_back({digest, tick});
    if (queue_.size() > capacity_) {
      const Entry& oldest = queue_.front();
      set_.erase(Key{oldest.digest.lo, oldest.digest.hi});
      queue_.pop_front();
    }
    return true;
  }

  uint32_t horizon_ticks(uint32_t now) { return queue_.empty() ? 0 : now - queue_.front().tick; }
  size_t size() const { return queue_.size(); }

 private:
  struct Key {
    uint64_t lo;
    uint64_t hi;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.lo);
    }
  };
  struct Entry {
    SliceDigest digest;
    uint32_t tick = 0;
  };

  const size_t capacity_;
  absl::flat_hash_set<Key> set_;
  RingQueue<Entry> queue_;
};

}  // namespace braid::correlate
