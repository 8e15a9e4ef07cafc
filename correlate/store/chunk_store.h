#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "correlate/model/chunk.h"

namespace braid::correlate {

// The newest finished telemetry of one shard, kept for queries: Chunks in order, the oldest leaving when the
// bytes are used up. A Chunk still queued for a sink is shared, not copied.
//
// There is no index: a trace is found by looking through the item directories, 24 bytes an item, which takes
// about a millisecond for 64 MiB and is done off the shard's thread, on a snapshot.
//
// Thread rule: one shard's thread; what Snapshot() returns may go anywhere.
// Bound: `max_bytes` of Chunk memory, or one Chunk.
class ChunkStore {
 public:
  explicit ChunkStore(size_t max_bytes) : max_bytes_(max_bytes) {}

  void Add(ChunkPtr chunk);

  // Lets the oldest go until at most `bytes` are held: when memory is short.
  void ShrinkTo(size_t bytes);

  // Oldest first.
  std::vector<ChunkPtr> Snapshot() const { return {chunks_.begin(), chunks_.end()}; }

  size_t bytes() const { return bytes_; }
  size_t chunks() const { return chunks_.size(); }
  uint64_t items() const { return items_; }

  // The tick of the oldest Chunk: what was finished since then can be found. 0 while nothing was evicted: all
  // of it.
  uint64_t horizon_tick() const {
    return evicted_ ? chunks_.empty() ? ~uint64_t{0} : chunks_.front()->tick : 0;
  }

 private:
  void PopOldest();

  const size_t max_bytes_;
  std::deque<ChunkPtr> chunks_;
  size_t bytes_ = 0;
  uint64_t items_ = 0;
  bool evicted_ = false;
};

// One item of a stored trace.
struct StoredItem {
  ChunkPtr chunk;
  const ChunkItem* item = nullptr;
};

// Every item of the trace with this low half of its ID, in stored order.
std::vector<StoredItem> FindTrace(const std::vector<ChunkPtr>& chunks, uint64_t trace_lo);

}  // namespace braid::correlate
