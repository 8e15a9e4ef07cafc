#include <algorithm>
#include <cstring>

#include "base/wire.h"
#include "correlate/pipeline/shard.h"

namespace braid::correlate {
namespace {

namespace rf = record_flags;

constexpr size_t kSurvivorBytes = 256 << 10;

// Copies items of old Batches, with the headers of their groups, into one fresh Batch.
class Survivor {
 public:
  Survivor(BatchPool& batches, SlabPool& slabs, const Batch& like, size_t bytes) : ref_(batches.Take()) {
    Batch& batch = ref_.mutable_batch();
    batch.signal = like.signal;
    batch.tenant = like.tenant;
    batch.sequence = like.sequence;
    batch.body = slabs.TakeUnbounded(bytes);
  }

  // A new group with the headers of `from`'s.
  void OpenGroup(const Batch& from, uint16_t index) {
    Batch& to = ref_.mutable_batch();
    const BatchGroup& group = from.groups[index];
    const BatchResource& resource = from.resources[group.resource];
    BatchResource copied = resource;
    copied.first_range = static_cast<uint32_t>(to.ranges.size());
    for (uint32_t i = 0; i < resource.range_count; ++i) {
      const ByteRange range = from.ranges[resource.first_range + i];
      const ByteRange moved = CopyRange(from.bytes(range));
      to.ranges.push_back(moved);
      // The service name lies inside one of the resource's ranges.
      if (resource.service_name.offset >= range.offset &&
          resource.service_name.offset < range.offset + range.size) {
        copied.service_name.offset = moved.offset + (resource.service_name.offset - range.offset);
      }
    }
    to.resources.push_back(copied);
    BatchGroup& opened = to.groups.emplace_back(group);
    opened.resource = static_cast<uint32_t>(to.resources.size() - 1);
    opened.first_range = static_cast<uint32_t>(to.ranges.size());
    for (uint32_t i = 0; i < group.range_count; ++i) {
      to.ranges.push_back(CopyRange(from.bytes(from.ranges[group.first_range + i])));
    }
    opened.begin = static_cast<uint32_t>(to.body.size());
  }

  // Returns the item's new offset.
  uint32_t CopyItem(std::string_view item) {
    Slab& body = ref_.mutable_batch().body;
    const auto at = static_cast<uint32_t>(body.size());
    char* p = wire::WriteVarint(item.size(), body.data() + at);
    body.set_size(static_cast<size_t>(p - body.data()));
    body.Append(item);
    return at;
  }

  const BatchRef& ref() const { return ref_; }

 private:
  ByteRange CopyRange(std::string_view bytes) {
    Slab& body = ref_.mutable_batch().body;
    const ByteRange range{static_cast<uint32_t>(body.size()), static_cast<uint32_t>(bytes.size())};
    body.Append(bytes);
    return range;
  }

  BatchRef ref_;
};

}  // namespace

size_t Shard::Evacuate(size_t max_batches) {
  size_t freed = 0;
  for (size_t looked = 0; looked < max_batches && looked < batches_.size(); ++looked) {
    if (evacuate_next_ >= batches_.size()) evacuate_next_ = 0;
    const uint32_t from_slot = evacuate_next_++;
    const BatchTable::Entry& old = batches_[from_slot];
    if (!old.batch || old.survivor || old.first == 0 || old.items < 8) continue;
    if (tick_ - old.tick < 2 * options_.settle_ticks || old.live * 4 >= old.items) continue;

    // What is alive: records that are pending, and items on the keep list.
    live_.clear();
    for (Ordinal o = old.first; o != old.last + 1; ++o) {
      if (window_.Alive(o) && window_[o].Has(rf::kPending) && window_[o].batch() == from_slot) {
        live_.push_back({window_[o].offset, o, nullptr});
      }
    }
    for (KeptItem& item : keep(old.batch->signal).items) {
      if (item.batch == from_slot) live_.push_back({item.offset, 0, &item});
    }
    if (live_.size() != old.live) continue;  // Something else holds it.
    std::sort(live_.begin(), live_.end(), [](const Live& a, const Live& b) { return a.offset < b.offset; });

    const BatchRef source = old.batch;
    size_t bytes = 0;
    for (const Live& item : live_) bytes += source->ItemBytes(item.offset).size() + 10;
    for (const BatchGroup& group : source->groups) {
      for (uint32_t i = 0; i < group.range_count; ++i) bytes += source->ranges[group.first_range + i].size;
      const BatchResource& resource = source->resources[group.resource];
      for (uint32_t i = 0; i < resource.range_count; ++i)
        bytes += source->ranges[resource.first_range + i].size;
    }
    if (bytes * 2 >= source->body.capacity() || bytes > kSurvivorBytes) continue;  // Not worth the copy.

    Survivor survivor(batch_pool_, slabs_, *source, bytes);
    const uint32_t to_slot = batches_.Add(survivor.ref(), old.items, old.tick);
    batches_[to_slot].survivor = true;
    batches_[to_slot].first = batches_[from_slot].first;
    batches_[to_slot].last = batches_[from_slot].last;
    uint32_t open_group = ~0u;
    for (const Live& item : live_) {
      const uint16_t group = source->GroupOf(item.offset);
      if (group != open_group) {
        survivor.OpenGroup(*source, group);
        open_group = group;
      }
      const uint32_t offset = survivor.CopyItem(source->ItemBytes(item.offset));
      batches_.Retain(to_slot);
      if (item.kept != nullptr) {
        item.kept->batch = to_slot;
        item.kept->offset = offset;
      } else {
        Record& record = window_[item.ordinal];
        record.batch_and_flags = (record.batch_and_flags & ~(rf::kBatchSlots - 1)) | to_slot;
        record.offset = offset;
      }
    }
    for (size_t i = 0; i < live_.size(); ++i) batches_.Release(from_slot);
    batches_.Release(to_slot);
    ++stats_.batches_evacuated;
    freed += source->body.capacity() - survivor.ref()->body.capacity();
  }
  return freed;
}

}  // namespace braid::correlate
