#include "correlate/store/chunk_store.h"

#include <utility>

namespace braid::correlate {

void ChunkStore::Add(ChunkPtr chunk) {
  bytes_ += chunk->capacity();
  items_ += chunk->items.size();
  chunks_.push_back(std::move(chunk));
  while (bytes_ > max_bytes_ && chunks_.size() > 1) PopOldest();
}

void ChunkStore::ShrinkTo(size_t bytes) {
  while (bytes_ > bytes && !chunks_.empty()) PopOldest();
}

void ChunkStore::PopOldest() {
  bytes_ -= chunks_.front()->capacity();
  items_ -= chunks_.front()->items.size();
  chunks_.pop_front();
  evicted_ = true;
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

}  // namespace braid::correlate
