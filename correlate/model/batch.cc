#include "correlate/model/batch.h"

#include "base/wire.h"

namespace braid {

std::string_view Batch::ItemBytes(uint32_t offset) const {
  const char* begin = body.data() + offset;
  uint64_t length = 0;
  const char* p = wire::ReadVarint(begin, body.data() + body.size(), &length);
  return {p, static_cast<size_t>(length)};
}

uint16_t Batch::GroupOf(uint32_t offset) const {
  size_t low = 0;
  size_t high = groups.size();
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    if (groups[middle].begin <= offset) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return static_cast<uint16_t>(low);
}

void BatchRef::Release() {
  Batch* batch = std::exchange(batch_, nullptr);
  if (batch == nullptr) return;
  if (batch->holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) batch->pool_->GiveBack(batch);
}

BatchPool::~BatchPool() {
  for (Batch* batch : idle_) delete batch;
}

BatchRef BatchPool::Take() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      Batch* batch = idle_.back();
      idle_.pop_back();
      return BatchRef(batch);
    }
  }
  auto* batch = new Batch;
  batch->pool_ = this;
  return BatchRef(batch);
}

void BatchPool::GiveBack(Batch* batch) {
  batch->body.Reset();
  batch->ranges.clear();
  batch->resources.clear();
  batch->groups.clear();
  batch->tenant = 0;
  batch->sequence = 0;
  batch->intact_items = 0;
  {
    MutexLock lock(mutex_);
    if (idle_.size() < kMaxIdle) {
      idle_.push_back(batch);
      return;
    }
  }
  delete batch;
}

void SliceRecycler::operator()(Slice* slice) const { pool->GiveBack(slice); }

SlicePool::~SlicePool() {
  for (Slice* slice : idle_) delete slice;
}

SlicePtr SlicePool::Take() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      Slice* slice = idle_.back();
      idle_.pop_back();
      return SlicePtr(slice, SliceRecycler{this});
    }
  }
  return SlicePtr(new Slice, SliceRecycler{this});
}

void SlicePool::GiveBack(Slice* slice) {
  slice->batch.Release();
  slice->items.clear();
  slice->notes.clear();
  slice->links.clear();
  slice->votes.clear();
  slice->count = 0;
  {
    MutexLock lock(mutex_);
    if (idle_.size() < kMaxIdle) {
      idle_.push_back(slice);
      return;
    }
  }
  delete slice;
}

}  // namespace braid
