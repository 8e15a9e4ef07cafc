#pragma once

#include <cstdint>
#include <vector>

#include "correlate/model/batch.h"
#include "correlate/window/record.h"

namespace braid::correlate {

// The Batches of which one shard still holds items. A Record names its Batch by a slot here, in 20 bits.
// An entry lets go of its Batch when the last live item of this shard has left.
//
// Thread rule: one shard's thread. Bound: record_flags::kBatchSlots entries; `full()` before.
class BatchTable {
 public:
  struct Entry {
    BatchRef batch;
    uint32_t live = 0;   // items of this shard that have not left
    uint32_t items = 0;  // that came
    Ordinal first = 0;   // Records of this slice lie in [first, last]; 0 if none was made
    Ordinal last = 0;
    uint32_t tick = 0;      // when it came
    bool survivor = false;  // made by evacuation
  };

  // Takes a place; `live` starts at 1, which the caller gives back by Release() when it has read the slice.
  uint32_t Add(BatchRef batch, uint32_t items, uint32_t tick) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Entry& entry = entries_[slot];
    entry = Entry{};
    entry.batch = std::move(batch);
    entry.items = items;
    entry.live = 1;
    entry.tick = tick;
    ++used_;
    return slot;
  }

  void Retain(uint32_t slot) { ++entries_[slot].live; }

  void Release(uint32_t slot) {
    Entry& entry = entries_[slot];
    if (--entry.live != 0) return;
    entry.batch = BatchRef();
    free_.push_back(slot);
    --used_;
  }

  Entry& operator[](uint32_t slot) { return entries_[slot]; }
  const Entry& operator[](uint32_t slot) const { return entries_[slot]; }
  uint32_t size() const { return static_cast<uint32_t>(entries_.size()); }
  uint32_t used() const { return used_; }
  bool full() const { return free_.empty() && entries_.size() + 1 >= record_flags::kBatchSlots; }

 private:
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  uint32_t used_ = 0;
};

}  // namespace braid::correlate
